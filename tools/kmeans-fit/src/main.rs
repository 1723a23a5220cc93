//! `kmeans-fit`: vectors in, centroids out.
//!
//! The rows are gone over again and again, wherever they are; what they come to is whole numbers, so that neither
//! threads nor memory, nor parts that are added up elsewhere, change a byte. Memory: what `--memory` says, but at least
//! some blocks of rows, the centroids, and sums of their size for each thread.

mod batches;
mod checkpoint;
mod fit;
mod flags;
mod gauge;
mod report;

use assign::Devices;
use cluster::Model;
use flags::{Args, TOOL};
use pipe::failure::Failure;
use pipe::output::Output;
use std::process::ExitCode;

fn main() -> ExitCode {
    pipe::start(&TOOL, run)
}

fn run(args: Args) -> Result<(), Failure> {
    Output::stdout().refuse_terminal("centroids")?;
    let devices = Devices::open(&args.common)?;
    let first = args.centroids.as_deref().map(|path| Model::open(path, args.metric)).transpose()?;
    let (state, report) = fit::from_rows(&args, first.map(|model| model.centroids), &devices)?;
    state.model().write(Output::stdout())?;
    report.write(&args.common, &state, &devices)
}

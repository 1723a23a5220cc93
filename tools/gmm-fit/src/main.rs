//! `gmm-fit`: vectors in, a mixture of Gaussians out.
//!
//! The rows are gone over again and again, wherever they are; what they come to is whole numbers, so that neither
//! threads nor memory, nor parts that are added up elsewhere, change a byte. Memory: what `--memory` says, but at least
//! some blocks of rows, the mixture, and sums of eight times its size for each thread.

mod checkpoint;
mod fit;
mod flags;
mod start;

use flags::{Args, TOOL};
use pipe::failure::Failure;
use pipe::output::Output;
use std::process::ExitCode;

fn main() -> ExitCode {
    pipe::start(&TOOL, run)
}

fn run(args: Args) -> Result<(), Failure> {
    Output::stdout().refuse_terminal("mixtures")?;
    let begin = start::Begin::open(&args)?;
    let (state, report) = fit::from_rows(&args, begin)?;
    state.model().write(Output::stdout())?;
    report.write(&args.common, &state)
}

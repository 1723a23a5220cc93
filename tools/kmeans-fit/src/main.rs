//! `kmeans-fit`: vectors in, centroids out.
//!
//! The rows are gone over again and again, wherever they are; what they come to is whole numbers, so that neither threads nor memory,
//! nor parts that are added up elsewhere, change a byte. Memory: what `--memory` says, but at least some blocks of rows, the
//! centroids, and sums of their size for each thread.

mod batches;
mod block;
mod checkpoint;
mod empties;
mod feed;
mod fit;
mod flags;
mod gpus;
mod held;
mod job;
mod memory;
mod report;
mod rows;
mod seeding;
mod spool;

use cluster::Model;
use cluster::sums::Partial;
use compute::kmeans::Centroids;
use fit::State;
use flags::{Args, Init, TOOL, check_combinations};
use gpu::device::Device;
use pipe::failure::Failure;
use pipe::output::Output;
use pipe::settings::Common;
use report::Report;
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    pipe::start(&TOOL, run)
}

fn run(args: Args) -> Result<(), Failure> {
    check_combinations(&args)?;
    let devices = open_gpus(&args.common)?;
    let first = match &args.init {
        Some(Init::File(path)) => Some(Model::open(path, args.metric)?),
        _ => None,
    };
    let (model, report) = match first {
        Some(model) if args.from_sums => from_sums(&args, model)?,
        first => job::from_rows(&args, first, devices)?,
    };
    model.write(Output::stdout())?;
    report.write(&args.common, &model)
}

/// The GPUs that were asked for.
fn open_gpus(common: &Common) -> Result<Vec<Device>, Failure> {
    let Some(gpus) = &common.gpus else { return Ok(Vec::new()) };
    Device::open_all(&gpus.numbers).map_err(|why| Failure::work(format!("--device {}: {why}", gpus.name)))
}

/// The next model, from sums that others made.
fn from_sums(args: &Args, model: Model) -> Result<(Model, Report), Failure> {
    let dash = [PathBuf::from("-")];
    let paths = if args.common.operands.is_empty() { &dash[..] } else { &args.common.operands };
    let mut sum = Partial::new(&model.centroids);
    for path in paths {
        let partial = Partial::open(path)?;
        if partial.model != sum.model {
            let (theirs, ours) = (partial.model, sum.model);
            let why = format!("sums made with another model ({theirs:016x}) than --init names ({ours:016x})");
            return Err(Failure::file(path, why));
        }
        sum.merge(&partial).map_err(|why| Failure::file(path, why))?;
    }
    let mut state = State::of(model);
    if args.k.is_some_and(|k| k != state.centroids.k()) {
        return Err(wrong_k(args, &state.centroids));
    }
    state.origin.insert("empty".to_string(), args.empty_name());
    let k = state.centroids.k();
    if fit::rows(&sum) < k as u64 {
        return Err(seeding::too_few(fit::rows(&sum), k));
    }
    let ended = state.step(&sum, &args.rule(), args.empty);
    let report = Report::of_sums(&sum, &state);
    Ok((state.model(ended.then_some(&sum)), report))
}

fn wrong_k(args: &Args, centroids: &Centroids) -> Failure {
    let (asked, found) = (args.k.unwrap_or_default(), centroids.k());
    Failure::usage(format!("-k {asked}: the file that --init names has {found} centroids"))
}

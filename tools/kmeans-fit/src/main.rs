//! `kmeans-fit`: vectors in, centroids out.
//!
//! The rows are gone over again and again, wherever they are; what they come to is whole numbers, so that neither
//! threads nor memory, nor parts that are added up elsewhere, change a byte. Memory: what `--memory` says, but at least
//! some blocks of rows, the centroids, and sums of their size for each thread.

mod batches;
mod checkpoint;
mod fit;
mod flags;
mod memory;
mod report;
mod seeding;

use assign::Devices;
use cluster::Model;
use cluster::fit::{State, too_few_rows};
use cluster::sums::Partial;
use compute::kmeans::Centroids;
use flags::{Args, Init, TOOL, check_combinations};
use pipe::failure::Failure;
use pipe::output::Output;
use report::Report;
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    pipe::start(&TOOL, run)
}

fn run(args: Args) -> Result<(), Failure> {
    check_combinations(&args)?;
    let devices = Devices::open(&args.common)?;
    let first = match &args.init {
        Some(Init::File(path)) => Some(Model::open(path, args.metric)?),
        _ => None,
    };
    let (state, report) = match first {
        Some(model) if args.from_sums => from_sums(&args, model)?,
        first => fit::from_rows(&args, first, &devices)?,
    };
    state.model().write(Output::stdout())?;
    report.write(&args.common, &state, &devices)
}

/// The next model, from sums that others made.
fn from_sums(args: &Args, model: Model) -> Result<(State, Report), Failure> {
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
    if sum.rows() < k as u64 {
        return Err(too_few_rows(sum.rows(), k));
    }
    state.step(&sum, &args.stopping(), args.empty);
    Ok((state, Report::of_sums(&sum)))
}

fn wrong_k(args: &Args, centroids: &Centroids) -> Failure {
    let (asked, found) = (args.k.unwrap_or_default(), centroids.k());
    Failure::usage(format!("-k {asked}: the file that --init names has {found} centroids"))
}

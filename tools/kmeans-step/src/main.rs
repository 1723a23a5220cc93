//! `kmeans-step`: centroids and sums of parts in, the next centroids out.
//!
//! One iteration of k-means, or its end, from what kmeans-sum made of the parts; to the byte what kmeans-fit makes of
//! all rows. Memory: a few times the centroids.

use cluster::Model;
use cluster::fit::{State, too_few_rows};
use cluster::flags::{Iterates, Iterations, empty, iters, metric_of_file, patience, tol};
use cluster::model::METRICS;
use cluster::sums::Partial;
use compute::kmeans::{Centroids, Metric};
use pipe::failure::{Failure, name};
use pipe::flags::{Example, Flag, Options, Rule, Tool};
use pipe::lines::Tally;
use pipe::output::Output;
use pipe::settings::Common;
use pipe::shared;
use pipe::stats::Stats;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Default)]
struct Args {
    common: Common,
    iterations: Iterations,
    centroids: PathBuf,
    metric: Option<Metric>,
}

impl Options for Args {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

impl Iterates for Args {
    fn iterations(&mut self) -> &mut Iterations {
        &mut self.iterations
    }
}

const FLAGS: &[Flag<Args>] = &[
    shared::centroids(|args: &mut Args, value| {
        args.centroids = value.path()?;
        Ok(())
    }),
    metric_of_file(|args: &mut Args, value| {
        args.metric = Some(value.choice(&METRICS)?);
        Ok(())
    }),
    iters().default(|_| Iterations::ITERS.to_string()),
    tol(),
    patience(),
    empty(),
    shared::stats(),
];

const RULES: &[Rule] = &[Rule::Needed("centroids", "sums are of the rows nearest to each of them")];

const TOOL: Tool<Args> = Tool {
    name: "kmeans-step",
    summary: "centroids and sums of parts to the next centroids",
    operands: "[FILE]...",
    description: &[
        "Reads what kmeans-sum(1) made of parts of the rows with the model that --centroids names, from the FILEs or \
         from standard input, adds it up, in any order, and prints the model that comes of it in one iteration, as \
         kmeans-fit(1) writes it. Where the fit ends, that is the same centroids, with their sizes and inertia, as \
         often as it is asked.",
        "Give the same --iters, --tol, --patience and --empty in every step. The first model is that of `kmeans-fit \
         --iters 0`; the last one is, to the byte, that of one kmeans-fit over all parts. scripts/kmeans.mk does this \
         with make(1).",
        "Sums of other centroids are refused, as are fewer rows than clusters.",
    ],
    sections: &[(
        "Model",
        &["See kmeans-fit(1), also for how a fit ends and what becomes of empty clusters. The model carries the \
             inertias of all iterations so far, by which the end is decided."],
    )],
    flags: FLAGS,
    rules: RULES,
    examples: &[Example {
        about: "One iteration in two parts:",
        command: "jsonl-embed docs.jsonl > vectors.npy\nkmeans-fit -k 8 --iters 0 vectors.npy > 0.model\n\
                  for i in 0 1; do\n  kmeans-sum --centroids 0.model --shard $i/2 vectors.npy > sums.$i\ndone\n\
                  kmeans-step --centroids 0.model sums.0 sums.1 > 1.model",
        output: "",
    }],
    see_also: &["kmeans-sum(1)", "kmeans-fit(1)", "corpus-utils(7)"],
};

fn main() -> ExitCode {
    pipe::start(&TOOL, run)
}

fn run(args: Args) -> Result<(), Failure> {
    Output::stdout().refuse_terminal("centroids")?;
    let model = Model::open(&args.centroids, args.metric)?;
    let (sums, bytes) = sums(&args, &model.centroids)?;
    let k = model.centroids.k();
    if sums.rows() < k as u64 {
        return Err(too_few_rows(sums.rows(), k));
    }
    let (mut state, empty) = (State::of(model), args.iterations.empty);
    state.origin.insert("empty".to_string(), empty.name().to_string());
    state.step(&sums, &args.iterations.stopping(Iterations::ITERS), empty);
    state.model().write(Output::stdout())?;
    report(&args.common, &state, &sums, bytes)
}

/// The sums of all parts, and how many bytes the parts have.
fn sums(args: &Args, centroids: &Centroids) -> Result<(Partial, u64), Failure> {
    let dash = [PathBuf::from("-")];
    let paths = if args.common.operands.is_empty() { &dash[..] } else { &args.common.operands };
    let (mut all, mut bytes) = (Partial::new(centroids), 0);
    for path in paths {
        let (part, size) = Partial::open(path)?;
        if part.model != all.model {
            let (theirs, ours, named) = (part.model, all.model, name(&args.centroids));
            let why = format!("sums made with another model ({theirs:016x}) than {named} ({ours:016x})");
            return Err(Failure::file(path, why));
        }
        all.merge(&part).map_err(|why| Failure::file(path, why))?;
        bytes += size;
    }
    Ok((all, bytes))
}

fn report(common: &Common, state: &State, sums: &Partial, bytes: u64) -> Result<(), Failure> {
    state.note_repairs(common);
    let tally = Tally { rows: sums.rows() + sums.rows_missing, bad: sums.rows_bad, bytes, ..Tally::default() };
    let stats = Stats::new(common, &tally).with("rows_used", sums.rows()).with("rows_missing", sums.rows_missing);
    state.describe(stats).write(common)
}

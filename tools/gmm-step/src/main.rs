//! `gmm-step`: a mixture and sums of parts in, the next mixture out.
//!
//! One iteration of gmm-fit from what gmm-sum made of the parts; to the byte what gmm-fit makes of all rows. Memory: a
//! few times the sums.

use compute::kmeans::Metric;
use compute::mixture::Origin;
use mixture::Model;
use mixture::fit::{Rule as Steps, State, enough, first, origin_of_file};
use mixture::flags::{Iterates, iters, reg_covar, tol};
use mixture::sums::Partial;
use pipe::failure::{Failure, name};
use pipe::flags::{Example, Flag, Options, Rule, Tool};
use pipe::lines::Tally;
use pipe::output::Output;
use pipe::settings::Common;
use pipe::shared;
use pipe::stats::Stats;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Default)]
struct Args {
    common: Common,
    rule: Steps,
    mixture: Option<PathBuf>,
    centroids: Option<PathBuf>,
}

impl Options for Args {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

impl Iterates for Args {
    fn rule(&mut self) -> &mut Steps {
        &mut self.rule
    }
}

const FLAGS: &[Flag<Args>] = &[
    mixture::flags::mixture(|args: &mut Args, value| {
        args.mixture = Some(value.path()?);
        Ok(())
    }),
    Flag {
        help: "For the first step, with the sums that were made with them: it gives the first mixture. An array has \
               the shape (k, dim), of 16, 32 or 64-bit floats; the latter are rounded to 32 bits.",
        ..shared::centroids(|args: &mut Args, value| {
            args.centroids = Some(value.path()?);
            Ok(())
        })
    },
    iters(),
    tol(),
    reg_covar(),
    shared::stats(),
];

const RULES: &[Rule] =
    &[Rule::OneOf(&["mixture", "centroids"], "sums are of the rows as they belong to its components")];

const TOOL: Tool<Args> = Tool {
    name: "gmm-step",
    summary: "a mixture and sums of parts to the next mixture",
    operands: "[FILE]...",
    description: &[
        "Reads what gmm-sum(1) made of parts of the rows with the mixture that --mixture names, from the FILEs or from \
         standard input, adds it up, in any order, and prints the mixture that comes of it in one iteration, as \
         gmm-fit(1) writes it. Where the fit has ended, that is the same mixture, as often as it is asked.",
        "Give the same --iters, --tol and --reg-covar in every step. The first model is that of `gmm-fit --iters 0`, \
         or of gmm-sum and gmm-step with --centroids; the last one is, to the byte, that of one gmm-fit over all \
         parts.",
        "Sums of another mixture are refused, as are fewer rows than components.",
    ],
    sections: &[(
        "Model",
        &["See gmm-fit(1), also for how a fit ends. The model carries the lower bounds of all iterations so far, by \
             which the end is decided."],
    )],
    flags: FLAGS,
    rules: RULES,
    examples: &[Example {
        about: "One iteration in two parts:",
        command: "jsonl-embed docs.jsonl > vectors.npy\ngmm-fit -k 2 --iters 0 vectors.npy > 0.gmm\n\
                  for i in 0 1; do\n  gmm-sum --mixture 0.gmm --shard $i/2 vectors.npy > sums.$i\ndone\n\
                  gmm-step --mixture 0.gmm sums.0 sums.1 > 1.gmm",
        output: "",
    }],
    see_also: &["gmm-sum(1)", "gmm-fit(1)", "corpus-utils(7)"],
};

fn main() -> ExitCode {
    pipe::start(&TOOL, run)
}

fn run(args: Args) -> Result<(), Failure> {
    Output::stdout().refuse_terminal("mixtures")?;
    let (state, sums, bytes) = match &args.mixture {
        Some(path) => step(&args, path)?,
        None => begin(&args, args.centroids.as_deref().expect("one of the two is there"))?,
    };
    state.model().write(Output::stdout())?;
    let rows = sums.moments.rows;
    let tally = Tally { rows: rows + sums.rows_missing, bad: sums.rows_bad, bytes, ..Tally::default() };
    let stats = Stats::new(&args.common, &tally).with("rows_used", rows).with("rows_missing", sums.rows_missing);
    state.describe(stats).write(&args.common)
}

/// The next mixture, the sums, and how many bytes they have.
fn step(args: &Args, path: &Path) -> Result<(State, Partial, u64), Failure> {
    let model = Model::open(path)?;
    let (sums, bytes) = sums(&args.common, path, Partial::of_mixture(&model.mixture))?;
    enough(sums.moments.rows, model.mixture.k())?;
    let mut state = State::of(model);
    state.origin.insert("reg_covar".to_string(), args.rule.reg_covar.to_string());
    state.step(&sums, &args.rule)?;
    Ok((state, sums, bytes))
}

/// The first mixture, of rows in clusters.
fn begin(args: &Args, path: &Path) -> Result<(State, Partial, u64), Failure> {
    let centroids = cluster::Model::open(path, Some(Metric::Euclidean))?.centroids;
    let (sums, bytes) = sums(&args.common, path, Partial::of_centroids(&centroids))?;
    enough(sums.moments.rows, centroids.k())?;
    let mut origin = origin_of_file(cluster::model::fingerprint(&centroids));
    origin.insert("reg_covar".to_string(), args.rule.reg_covar.to_string());
    let mixture = first(&sums.moments, &Origin::of_centroids(&centroids), &args.rule)?;
    Ok((State::new(mixture, origin), sums, bytes))
}

/// The sums of all parts, and how many bytes the parts have.
fn sums(common: &Common, model: &Path, mut all: Partial) -> Result<(Partial, u64), Failure> {
    let dash = [PathBuf::from("-")];
    let paths = if common.operands.is_empty() { &dash[..] } else { &common.operands };
    let mut bytes = 0;
    for path in paths {
        let (part, size) = Partial::open(path)?;
        if part.model != all.model {
            let (theirs, ours, named) = (part.model, all.model, name(model));
            let why = format!("sums made with another model ({theirs:016x}) than {named} ({ours:016x})");
            return Err(Failure::file(path, why));
        }
        all.merge(&part).map_err(|why| Failure::file(path, why))?;
        bytes += size;
    }
    Ok((all, bytes))
}

//! `gmm-sum`: vectors and a mixture in, what the vectors of each component add up to out.
//!
//! One part of an iteration of gmm-fit: what parts come to adds up, to the byte, to what the whole comes to. Memory:
//! the mixture, sums of eight times its size for each thread, and a few blocks of about 1 MB a thread; it does not grow
//! with the input. With `--add` sums of parts in, those of all of them out: a few times one file's size.

mod sum;

use cluster::blocks::Blocks;
use compute::kmeans::{Cpu as Nearby, Metric};
use compute::mixture::{Cpu, Origin};
use mixture::Model;
use mixture::sums::{Partial, TOO_MANY};
use pipe::crew;
use pipe::failure::Failure;
use pipe::flags::{Example, Flag, Options, Rule, Tool};
use pipe::lines::Tally;
use pipe::output::Output;
use pipe::progress::Meter;
use pipe::settings::Common;
use pipe::shared;
use pipe::stats::Stats;
use pipe::vectors::Vectors;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use sum::{Counts, Held, Summer};

#[derive(Default)]
struct Args {
    common: Common,
    mixture: Option<PathBuf>,
    centroids: Option<PathBuf>,
    add: bool,
}

impl Options for Args {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

const FLAGS: &[Flag<Args>] = &[
    mixture::flags::mixture(|args: &mut Args, value| {
        args.mixture = Some(value.path()?);
        Ok(())
    }),
    Flag {
        help: "For the first step: a vector counts for the nearest (euclidean). An array has the shape (k, dim), of \
               16, 32 or 64-bit floats; the latter are rounded to 32 bits.",
        ..shared::centroids(|args: &mut Args, value| {
            args.centroids = Some(value.path()?);
            Ok(())
        })
    },
    Flag {
        help: "The FILEs are sums of parts, and the output is those of all of them. Sums of different mixtures are \
               refused.",
        ..shared::add(|args: &mut Args, _| {
            args.add = true;
            Ok(())
        })
    },
    shared::headerless(),
    shared::shard_of_rows(),
    shared::on_error(),
    shared::stats(),
    shared::threads(),
    shared::progress(),
];

const RULES: &[Rule] = &[
    Rule::OneOf(
        &["mixture", "centroids", "add"],
        "sums are of the vectors as they belong to its components, and know of which when they are added up",
    ),
    Rule::Excludes(
        "add",
        &["headerless", "shard", "on-error"],
        "sums are added whole, and no vectors are read; give it to the runs that make them",
    ),
];

const TOOL: Tool<Args> = Tool {
    name: "gmm-sum",
    summary: "vectors and a mixture to the sums of the components",
    operands: "[FILE]...",
    description: &[
        "Reads vectors, as jsonl-embed(1) writes them, from the FILEs or from standard input, computes how likely each \
         comes from each component of a mixture, as gmm-score(1) does, and prints what the vectors of each component \
         add up to: a `.safetensors` file, from which gmm-step(1) makes the next mixture.",
        "This is how gmm-fit(1) goes over parts that are anywhere: an iteration is a gmm-sum over each part and one \
         gmm-step over their sums. Where parts are many, --add makes one file of the sums of some, in any tree.",
        "A vector of NaN alone is missing: it is counted and left out. A vector with other values that are not finite, \
         and one that is, in some coordinate, more than 2^18 times as far from 0 as the mean and the standard \
         deviation of any component, is a bad record.",
    ],
    sections: &[(
        "Exactness",
        &["Sums are of what is left of vectors when the mean of the component is taken away, and whole numbers of \
             128 bits in a unit that follows from the mixture: those of parts add up to those of the whole, to the \
             byte, in any order, and neither threads nor shards change one."],
    )],
    flags: FLAGS,
    rules: RULES,
    examples: &[
        Example {
            about: "What vectors add up to, in two parts:",
            command: "jsonl-embed docs.jsonl > vectors.npy\ngmm-fit -k 2 --iters 0 vectors.npy > 0.gmm\n\
                  for i in 0 1; do\n  gmm-sum --mixture 0.gmm --shard $i/2 vectors.npy > sums.$i\ndone",
            output: "",
        },
        Example {
            about: "Added up, they are the sums of the whole:",
            command: "gmm-sum --mixture 0.gmm vectors.npy > sums\ngmm-sum --add sums.0 sums.1 | cmp - sums",
            output: "",
        },
    ],
    see_also: &["gmm-step(1)", "gmm-fit(1)", "gmm-score(1)", "jsonl-embed(1)", "corpus-utils(7)"],
};

fn main() -> ExitCode {
    pipe::start(&TOOL, run)
}

fn run(args: Args) -> Result<(), Failure> {
    Output::stdout().refuse_terminal("sums")?;
    if args.add {
        return add_parts(&args.common);
    }
    let threads = args.common.threads;
    if let Some(path) = &args.mixture {
        let Model { mixture, .. } = Model::open(path)?;
        let (cpu, origin) = (Arc::new(Cpu::new(&mixture)), Arc::new(Origin::of_mixture(&mixture)));
        let summers = (0..threads).map(|_| Summer::new(Held::mixture(cpu.clone()), origin.clone())).collect();
        return add_up(&args.common, path, Partial::of_mixture(&mixture), summers, mixture.dim);
    }
    let path = args.centroids.as_deref().expect("one of the two is there");
    let centroids = cluster::Model::open(path, Some(Metric::Euclidean))?.centroids;
    let (cpu, origin) = (Arc::new(Nearby::new(centroids.clone())), Arc::new(Origin::of_centroids(&centroids)));
    let summers = (0..threads).map(|_| Summer::new(Held::centroids(cpu.clone()), origin.clone())).collect();
    add_up(&args.common, path, Partial::of_centroids(&centroids), summers, centroids.dim)
}

/// Adds up what earlier runs wrote, one file after another.
fn add_parts(common: &Common) -> Result<(), Failure> {
    let dash = [PathBuf::from("-")];
    let paths = if common.operands.is_empty() { &dash[..] } else { &common.operands };
    let (mut all, mut bytes) = Partial::open(&paths[0])?;
    for path in &paths[1..] {
        let (part, size) = Partial::open(path)?;
        all.merge(&part).map_err(|why| Failure::file(path, why))?;
        bytes += size;
    }
    all.write(Output::stdout())?;
    let rows = all.moments.rows + all.rows_missing;
    let tally = Tally { rows, bad: all.rows_bad, bytes, ..Tally::default() };
    Stats::new(common, &tally).with("rows_missing", all.rows_missing).with("parts", paths.len()).write(common)
}

/// Values of a block of rows: about 1 MB.
const BLOCK: usize = 1 << 18;

/// Sends all vectors through the threads, and writes what they come to.
fn add_up(common: &Common, path: &Path, mut partial: Partial, summers: Vec<Summer>, dim: usize) -> Result<(), Failure> {
    let vectors = Vectors::open(&common.operands, common.raw, common.shard)?;
    vectors.check_dim(dim, path)?;
    let blocks = Blocks::new(vectors, None, dim, BLOCK);
    let (mut meter, mut counts) = (Meter::new(common, blocks.bytes_total()), Counts::default());
    let rounding = blocks.rounding();
    let summers = crew::run(summers, blocks.dealt(), |done| {
        counts.add(done, common.on_error)?;
        meter.show(counts.tally.bytes, counts.tally.rows);
        Ok(ControlFlow::Continue(()))
    })?;
    meter.end();
    for summer in summers {
        summer.adder.end().and_then(|part| partial.moments.merge(&part)).map_err(|_| Failure::work(TOO_MANY))?;
    }
    (partial.rows_missing, partial.rows_bad) = (counts.missing + counts.tally.bad, counts.tally.bad);
    partial.write(Output::stdout())?;
    counts.tally.report(common);
    Stats::new(common, &counts.tally)
        .with("rows_missing", partial.rows_missing)
        .with("rounded", rounding.happened())
        .with("k", partial.moments.masses.len())
        .with("dim", dim)
        .with("lower_bound", partial.moments.lower_bound())
        .write(common)
}

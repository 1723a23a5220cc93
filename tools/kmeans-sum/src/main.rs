//! `kmeans-sum`: vectors and centroids in, what the vectors of each cluster add up to out.
//!
//! One part of an iteration of k-means: what parts come to adds up, to the byte, to what the whole comes to. Memory:
//! the centroids, sums of their size for each thread, and a few blocks of about 1 MB a thread; it does not grow with
//! the input. With `--add` sums of parts in, those of all of them out: a few times one file's size.

mod sum;

use assign::Devices;
use cluster::blocks::Blocks;
use cluster::flags::{WEIGHTS, metric_of_file};
use cluster::model::{METRICS, Model, metric_name};
use cluster::sums::Partial;
use cluster::weights::Weights;
use compute::kmeans::{Centroids, Metric};
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
use std::path::PathBuf;
use std::process::ExitCode;
use sum::{Adder, Counts};

#[derive(Default)]
struct Args {
    common: Common,
    centroids: PathBuf,
    metric: Option<Metric>,
    weights: Option<PathBuf>,
    add: bool,
}

impl Options for Args {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

const FLAGS: &[Flag<Args>] = &[
    shared::centroids(|args: &mut Args, value| {
        args.centroids = value.path()?;
        Ok(())
    }),
    Flag {
        help: WEIGHTS,
        ..shared::weights(|args: &mut Args, value| {
            args.weights = Some(value.path()?);
            Ok(())
        })
    },
    Flag {
        help: "The FILEs are sums of parts, and the output is those of all of them. Sums of different centroids are \
               refused.",
        ..shared::add(|args: &mut Args, _| {
            args.add = true;
            Ok(())
        })
    },
    shared::headerless(),
    shared::shard_of_rows(),
    shared::on_error(),
    metric_of_file(|args: &mut Args, value| {
        args.metric = Some(value.choice(&METRICS)?);
        Ok(())
    }),
    shared::stats(),
    shared::device_or_gpu(),
    shared::threads(),
    shared::progress(),
];

const RULES: &[Rule] = &[
    Rule::OneOf(
        &["centroids", "add"],
        "sums are of the vectors that are nearest to each of them, and know of which when they are added up",
    ),
    Rule::Excludes(
        "add",
        &["weights", "headerless", "shard", "on-error", "metric", "device"],
        "sums are added whole, and no vectors are read; give it to the runs that make them",
    ),
];

const TOOL: Tool<Args> = Tool {
    name: "kmeans-sum",
    summary: "vectors and centroids to the sums of the clusters",
    operands: "[FILE]...",
    description: &[
        "Reads vectors, as jsonl-embed(1) writes them, from the FILEs or from standard input, assigns each to its \
         nearest centroid, as kmeans-assign(1) does, and prints what the vectors of each cluster add up to: a \
         `.safetensors` file, from which kmeans-step(1) makes the next centroids.",
        "This is how k-means goes over parts that are anywhere: an iteration is a kmeans-sum over each part and one \
         kmeans-step over their sums. Where parts are many, --add makes one file of the sums of some, in any tree. \
         scripts/kmeans.mk does this with make(1).",
        "A vector of NaN alone is missing: it is counted and left out. A vector with other values that are not \
         finite, under the cosine one of zeros, and one more than 2^19 times as far out as any centroid, is a bad \
         record.",
    ],
    sections: &[
        (
            "Exactness",
            &[
                "Sums are whole numbers of a unit that follows from the centroids, so those of parts add up to those \
                 of the whole, to the byte, in any order, and neither threads nor shards nor devices change one. With \
                 them goes the row farthest from its centroid, of each cluster, to start an empty cluster anew; of \
                 equally far ones it is the one with the larger first value that differs. With --shard the column of \
                 --weights is that of the whole input, too.",
                "--stats reports the inertia, the sum of the squared distances (euclidean) or of the distances \
                 (cosine), the mean distance, and the share of vectors that were re-ranked.",
            ],
        ),
        (
            "GPU",
            &[
                "With --device cuda the vectors are assigned and added up on an NVIDIA GPU, or on several, with the \
                 same bytes: see kmeans-assign(1), also for what GPU and driver are needed.",
                "This code has never yet run on a GPU: its kernels were compiled for GPUs, and tested in an emulation \
                 on a processor only, several GPUs likewise. Until it has, `auto` is the CPU. Compare with `--device \
                 cpu` before you rely on it, or on its speed.",
            ],
        ),
    ],
    flags: FLAGS,
    rules: RULES,
    examples: &[
        Example {
            about: "What vectors add up to around the first three, in two parts:",
            command: "jsonl-embed docs.jsonl > vectors.npy\nhead -n 3 docs.jsonl | jsonl-embed > three.npy\n\
                  for i in 0 1; do\n  kmeans-sum --centroids three.npy --shard $i/2 vectors.npy > sums.$i\ndone",
            output: "",
        },
        Example {
            about: "Added up, they are the sums of the whole:",
            command: "kmeans-sum --centroids three.npy vectors.npy > sums\nkmeans-sum --add sums.0 sums.1 | cmp - sums",
            output: "",
        },
    ],
    see_also: &["kmeans-step(1)", "kmeans-assign(1)", "kmeans-fit(1)", "jsonl-embed(1)", "corpus-utils(7)"],
};

fn main() -> ExitCode {
    pipe::start(&TOOL, run)
}

fn run(args: Args) -> Result<(), Failure> {
    Output::stdout().refuse_terminal("sums")?;
    if args.add {
        return add_parts(&args.common);
    }
    let devices = Devices::open(&args.common)?;
    let Model { centroids, .. } = Model::open(&args.centroids, args.metric)?;
    let weights = args.weights.as_deref().map(Weights::open).transpose()?;
    let vectors = Vectors::open(&args.common.operands, args.common.raw, args.common.shard)?;
    vectors.check_dim(centroids.dim, &args.centroids)?;
    let blocks = Blocks::new(vectors, weights, centroids.dim, devices.block_values());
    add_up(&args.common, &centroids, &devices, blocks)
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
    let tally = Tally { rows: all.rows() + all.rows_missing, bad: all.rows_bad, bytes, ..Tally::default() };
    Stats::new(common, &tally).with("rows_missing", all.rows_missing).with("parts", paths.len()).write(common)
}

/// Sends all vectors through the threads, and writes what they come to.
fn add_up(common: &Common, centroids: &Centroids, devices: &Devices, blocks: Blocks) -> Result<(), Failure> {
    let (dim, metric) = (centroids.dim, centroids.metric);
    let pass = devices.summing_pass(centroids, Partial::new(centroids), None)?;
    let workers = pass.workers(common.threads, blocks.piece_rows())?;
    let adders = workers.into_iter().map(|worker| Adder { worker, dim, metric }).collect();
    let (mut meter, mut counts) = (Meter::new(common, blocks.bytes_total()), Counts::default());
    let rounding = blocks.rounding();
    let adders = crew::run(adders, blocks.dealt(), |done| {
        counts.add(done, common.on_error)?;
        meter.show(counts.tally.bytes, counts.tally.rows);
        Ok(ControlFlow::Continue(()))
    })?;
    meter.end();
    let (mut partial, reranked) = pass.sums(adders.into_iter().map(|adder| adder.worker).collect())?;
    (partial.rows_missing, partial.rows_bad) = (counts.missing + counts.tally.bad, counts.tally.bad);
    partial.write(Output::stdout())?;
    counts.tally.report(common);
    let stats = Stats::new(common, &counts.tally).with("rows_missing", partial.rows_missing);
    devices
        .report(stats)
        .with("k", centroids.k())
        .with("dim", dim)
        .with("metric", metric_name(metric))
        .with("inertia", partial.sums.inertia())
        .with("mean_distance", partial.sums.distance() / partial.weight())
        .with("reranked_share", reranked as f64 / counts.tally.rows as f64)
        .with("rounded", rounding.happened())
        .write(common)
}

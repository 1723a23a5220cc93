//! `kmeans-assign`: vectors and centroids in, a column of the nearest centroids out.
//!
//! One output line per vector, in the same order; a line depends on its vector and the centroids alone. Memory: the
//! centroids, and a few blocks of about 1 MB a thread; it does not grow with the input.

mod column;

use assign::Devices;
use cluster::blocks::Blocks;
use cluster::flags::metric_of_file;
use cluster::model::{METRICS, Model, metric_name};
use column::{Column, Outcome, Writer};
use compute::kmeans::{Centroids, Metric};
use pipe::crew;
use pipe::failure::Failure;
use pipe::flags::{Example, Flag, Options, Rule, Tool};
use pipe::output::Output;
use pipe::progress::Meter;
use pipe::settings::Common;
use pipe::shared;
use pipe::stats::Stats;
use pipe::vectors::Vectors;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;

struct Args {
    common: Common,
    centroids: PathBuf,
    metric: Option<Metric>,
    similarity: bool,
    nearest: usize,
}

impl Default for Args {
    fn default() -> Args {
        Args { common: Common::default(), centroids: PathBuf::new(), metric: None, similarity: false, nearest: 1 }
    }
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
    shared::headerless(),
    shared::shard_of_rows(),
    shared::on_error(),
    metric_of_file(|args: &mut Args, value| {
        args.metric = Some(value.choice(&METRICS)?);
        Ok(())
    }),
    Flag::value(
        "nearest",
        "M",
        "Print the M nearest centroids, nearest first",
        "M pairs a line, 65,536 at the most. Where there are fewer, the rest is `-1<TAB>nan`.",
        |args: &mut Args, value| {
            args.nearest =
                value.positive().ok().filter(|&nearest| nearest <= NEAREST_MAX).ok_or("expected 1 to 65536")?;
            Ok(())
        },
    )
    .default(|args| args.nearest.to_string()),
    Flag::switch("similarity", "Print the cosine, not 1 minus the cosine", "", |args: &mut Args, _| {
        args.similarity = true;
        Ok(())
    })
    .output(),
    shared::stats(),
    shared::device_or_gpu(),
    shared::threads(),
    shared::progress(),
];

const RULES: &[Rule] = &[
    Rule::Needed("centroids", "of these the nearest are found"),
    Rule::Excludes("similarity", &["metric=euclidean"], "it is the cosine's; a distance has none"),
];

const TOOL: Tool<Args> = Tool {
    name: "kmeans-assign",
    summary: "vectors and centroids to a column of clusters",
    operands: "[FILE]...",
    description: &[
        "Reads vectors from the FILEs or from standard input, `.npy` arrays one after the other as jsonl-embed(1) \
         writes them or with --headerless, and prints for each the nearest centroid and how far it is: \
         `cluster<TAB>distance`, one line a vector, in the same order. Clusters are counted from 0.",
        "The distance is 1 minus the cosine of the angle (cosine: lengths do not matter, neither of vectors nor of \
         centroids), as ClusterClip reports it (Shao et al., 2024, Balanced Data Sampling for Language Model Training \
         with Clustering), or the length of the difference (euclidean), computed in 64-bit floats and printed as the \
         nearest 32-bit float in shortest decimals.",
        "A vector of NaN alone is a missing row, and stays one: `-1<TAB>nan`. A vector with other values that are not \
         finite, under cosine one of zeros, which has no direction, is a bad record.",
    ],
    sections: &[
        (
            "Exactness",
            &[
                "The nearest centroid is decided in 64-bit floats, as if every distance were computed so; of equally \
                 near ones the lowest number wins. With x a vector and c a centroid, the cosine's largest `x.c / \
                 sqrt(c.c)` is nearest, at the distance `1 - x.c / sqrt(c.c) / sqrt(x.x)`; the euclidean's smallest \
                 `sum (x_i - c_i)^2`, at its square root. Term i of a sum goes to partial sum i mod 16 by a fused \
                 multiply-add, i ascending; then partial sum l takes l + 8, then l + 4, l + 2, l + 1. This order does \
                 not change between releases.",
                "A fast pass in fewer bits goes before, with a proven bound on its error: where that leaves one \
                 candidate, it is the nearest, and where it leaves several, they are re-ranked in 64 bits. So the \
                 output is the same on every processor. `reranked_share` of --stats says for what share of the rows.",
                "--stats reports the inertia, the sum of the squared distances (euclidean) or of the distances \
                 (cosine), and the mean distance.",
            ],
        ),
        (
            "GPU",
            &[
                "With --device cuda the rows go over the tensor cores of an NVIDIA GPU of compute capability 8.0 \
                 (Ampere) or newer, with driver 550 or newer; nothing else need be installed. The bound on the error \
                 there follows published measurements of tensor cores (Fasi, Higham, Mikaitis and Pranesh, 2021, \
                 Numerical behavior of NVIDIA tensor cores; Khattak and Mikaitis, 2025, Accurate Models of NVIDIA \
                 Tensor Cores), and what it leaves open is decided in the order above, so the output has the same \
                 bytes. With --nearest above 1 all distances are computed in 64 bits. Several GPUs (`cuda:0,1`) get \
                 blocks of vectors in turn; the output is in order, and the same. Where the GPU's memory is short, \
                 fewer rows go at a time: `gpu_rows_max` of --stats is how many it came to at the most.",
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
            about: "Which of the first three documents is each nearest to? How many to each:",
            command: "jsonl-embed docs.jsonl > vectors.npy\nhead -n 3 docs.jsonl | jsonl-embed > three.npy\n\
                      kmeans-assign --centroids three.npy vectors.npy > clusters.tsv\n\
                      cut -f 1 clusters.tsv | sort -n | uniq -c",
            output: "",
        },
        Example {
            about: "The documents of cluster 2, nearest first:",
            command: "paste clusters.tsv docs.jsonl | awk '$1 == 2' | sort -k2,2g | cut -f 3-",
            output: "",
        },
    ],
    see_also: &[
        "kmeans-fit(1)",
        "kmeans-sum(1)",
        "cluster-stats(1)",
        "cluster-split(1)",
        "jsonl-embed(1)",
        "corpus-utils(7)",
    ],
};

/// Beyond this, a line is no longer for people or programs.
const NEAREST_MAX: usize = 1 << 16;

fn main() -> ExitCode {
    pipe::start(&TOOL, run)
}

fn run(args: Args) -> Result<(), Failure> {
    let (common, path) = (&args.common, &args.centroids);
    let devices = Devices::open(common)?;
    let Model { centroids, .. } = Model::open(path, args.metric)?;
    if args.similarity && centroids.metric != Metric::Cosine {
        return Err(Failure::file(path, "--similarity is the cosine's, and the metric is euclidean"));
    }
    let vectors = Vectors::open(&common.operands, common.raw, common.shard)?;
    vectors.check_dim(centroids.dim, path)?;
    // A pair is held in as many bytes as four values.
    let blocks = Blocks::new(vectors, None, centroids.dim.max(4 * args.nearest), devices.block_values());
    write_column(&args, &centroids, &devices, blocks)
}

/// Sends all vectors through the threads, and writes the column.
fn write_column(args: &Args, centroids: &Centroids, devices: &Devices, blocks: Blocks) -> Result<(), Failure> {
    let common = &args.common;
    let pass = devices.pass(centroids, args.nearest)?;
    let column = Column { similarity: args.similarity, on_error: common.on_error };
    let workers = pass.workers(common.threads, blocks.piece_rows())?;
    let writers = workers.into_iter().map(|worker| Writer { worker, column }).collect();
    let mut meter = Meter::new(common, blocks.bytes_total());
    let (mut output, mut outcome, rounding) = (Output::stdout(), Outcome::default(), blocks.rounding());
    let writers = crew::run(writers, blocks.dealt(), |done| {
        output.write(&done.text)?;
        outcome.add(done, common.on_error)?;
        meter.show(outcome.tally.bytes, outcome.tally.rows);
        Ok(ControlFlow::Continue(()))
    })?;
    meter.end();
    pass.end(writers.into_iter().map(|writer| writer.worker).collect());
    outcome.tally.report(common);
    let stats = Stats::new(common, &outcome.tally).with("rows_missing", outcome.rows_missing);
    devices
        .report(stats)
        .with("k", centroids.k())
        .with("dim", centroids.dim)
        .with("metric", metric_name(centroids.metric))
        .with("inertia", outcome.inertia(centroids.metric))
        .with("mean_distance", outcome.mean_distance())
        .with("reranked_share", outcome.reranked_share())
        .with("rounded", rounding.happened())
        .write(common)
}

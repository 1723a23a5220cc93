//! `kmeans-assign`: vectors and centroids in, a column of the nearest centroids out, or what the vectors add up to.
//!
//! One output line per vector, in the same order; a line depends on its vector and the centroids alone. Memory: the
//! centroids, and a few blocks of about 1 MB a thread (with --sums the sums, too); it does not grow with the input.

mod column;
mod sum;

use assign::Devices;
use cluster::blocks::Blocks;
use cluster::model::{METRICS, Model, metric_name};
use cluster::sums::Partial;
use cluster::weights::Weights;
use column::{Column, Outcome, Writer};
use compute::kmeans::{Centroids, Metric};
use pipe::crew;
use pipe::failure::Failure;
use pipe::flags::{Example, Flag, Options, Tool};
use pipe::output::Output;
use pipe::progress::Meter;
use pipe::settings::Common;
use pipe::settings::exclude;
use pipe::shared;
use pipe::stats::Stats;
use pipe::vectors::Vectors;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use sum::{Adder, Counts};

#[derive(Default)]
struct Args {
    common: Common,
    centroids: Option<PathBuf>,
    metric: Option<Metric>,
    similarity: bool,
    top: Option<usize>,
    sums: Option<PathBuf>,
    weights: Option<PathBuf>,
}

impl Options for Args {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

const FLAGS: &[Flag<Args>] = &[
    Flag::value(
        "centroids",
        "FILE",
        "The centroids: a model as kmeans-fit(1) writes it, or a `.npy` array of shape (k, dim) of 16, 32 or 64-bit floats; the latter are rounded to 32 bits",
        "",
        |args: &mut Args, value| {
            args.centroids = Some(value.path()?);
            Ok(())
        },
    ),
    Flag::value(
        "metric",
        "cosine|euclidean",
        "What nearness means, where the centroids do not say it (without it cosine)",
        "One that contradicts the model is refused.",
        |args: &mut Args, value| {
            args.metric = Some(value.choice(&METRICS)?);
            Ok(())
        },
    ),
    Flag::switch(
        "similarity",
        "Print the cosine similarity, 1 minus the distance, instead of the distance",
        "",
        |args: &mut Args, _| {
            args.similarity = true;
            Ok(())
        },
    ),
    Flag::value(
        "top",
        "M",
        "Print the M nearest centroids, nearest first: M pairs a row, 65,536 at the most",
        "Where there are fewer, the rest is `-1<TAB>nan`.",
        |args: &mut Args, value| {
            args.top = Some(value.positive().ok().filter(|&top| top <= TOP_MAX).ok_or("expected 1 to 65536")?);
            Ok(())
        },
    ),
    Flag::value(
        "sums",
        "FILE",
        "Print no column; write what the vectors of each cluster add up to, from which `kmeans-fit --from-sums` makes the next centroids",
        "",
        |args: &mut Args, value| {
            args.sums = Some(value.path()?);
            Ok(())
        },
    ),
    Flag::value(
        "weights",
        "COLUMN",
        "With --sums: how often each vector counts, a line each; the first field, a number of 0 or more, below 2^40, rounded to a multiple of 2^-20",
        "A vector beside `nan` is missing. With --shard the column is that of the whole input, too.",
        |args: &mut Args, value| {
            args.weights = Some(value.path()?);
            Ok(())
        },
    ),
    shared::headerless(),
    shared::shard_of_rows(),
    shared::on_error(),
    shared::device_or_gpu(),
    shared::threads(),
    shared::stats(),
    shared::progress(),
];

const TOOL: Tool<Args> = Tool {
    name: "kmeans-assign",
    summary: "vectors and centroids to a column of clusters",
    operands: "[FILE]...",
    description: &[
        "Reads vectors from the FILEs or from standard input, `.npy` arrays one after the other as jsonl-embed(1) writes them or headerless with --raw, and prints for each the nearest centroid and how far it is: `cluster<TAB>distance`, one line a vector, in the same order. Clusters are counted from 0.",
        "The distance is 1 minus the cosine of the angle (cosine: lengths do not matter, neither of vectors nor of centroids), as ClusterClip reports it (Shao et al., 2024, Balanced Data Sampling for Language Model Training with Clustering), or the length of the difference (euclidean), computed in 64-bit floats and printed as the nearest 32-bit float in shortest decimals.",
        "A vector of NaN alone is a missing row, and stays one: `-1<TAB>nan`. A vector with other values that are not finite, under cosine one of zeros, which has no direction, and with --sums one more than 2^19 times as far out as any centroid, is a bad record.",
    ],
    sections: &[
        (
            "Exactness",
            &[
                "The nearest centroid is decided in 64-bit floats, as if every distance were computed so; of equally near ones the lowest number wins. With x a vector and c a centroid, the cosine's largest `x.c / sqrt(c.c)` is nearest, at the distance `1 - x.c / sqrt(c.c) / sqrt(x.x)`; the euclidean's smallest `sum (x_i - c_i)^2`, at its square root. Term i of a sum goes to partial sum i mod 16 by a fused multiply-add, i ascending; then partial sum l takes l + 8, then l + 4, l + 2, l + 1. This order does not change between releases.",
                "A fast pass in fewer bits goes before, with a proven bound on its error: where that leaves one candidate, it is the nearest, and where it leaves several, all of them are computed in 64 bits. So the output is the same on every processor. --stats says what share of the rows needed that second look.",
                "Sums are whole numbers of a unit that follows from the centroids, so those of parts add up to those of the whole, to the byte, in any order. With them goes the row farthest from its centroid, of each cluster, to start an empty cluster anew; of equally far ones it is the one with the larger first value that differs.",
                "--stats reports the inertia, the sum of the squared distances (euclidean) or of the distances (cosine), and the mean distance.",
            ],
        ),
        (
            "GPU",
            &[
                "With --device cuda the rows go over the tensor cores of an NVIDIA GPU of compute capability 8.0 (Ampere) or newer, with driver 550 or newer; nothing else need be installed. The bound on the error there follows published measurements of tensor cores (Fasi, Higham, Mikaitis and Pranesh, 2021, Numerical behavior of NVIDIA tensor cores; Khattak and Mikaitis, 2025, Accurate Models of NVIDIA Tensor Cores), and what it leaves open is decided in the order above, so the output has the same bytes. With --top above 1 all distances are computed in 64 bits. With --sums the vectors are added up there, too. Several GPUs (`cuda:0,1`) get blocks of vectors in turn; the output is in order, and the same. Where the GPU's memory is short, fewer rows go at a time: `gpu_rows_max` of --stats is how many it came to at the most.",
                "This code has never yet run on a GPU: its kernels were compiled for GPUs, and tested in an emulation on a processor only, several GPUs likewise. Until it has, `auto` is the CPU. Compare with `--device cpu` before you rely on it, or on its speed.",
            ],
        ),
    ],
    flags: FLAGS,
    rules: &[],
    examples: &[
        Example {
            about: "Which of the first three documents is each nearest to? How many to each:",
            command: "jsonl-embed docs.jsonl > vectors.npy\nhead -n 3 docs.jsonl | jsonl-embed > three.npy\nkmeans-assign --centroids three.npy vectors.npy > clusters.tsv\ncut -f 1 clusters.tsv | sort -n | uniq -c",
            output: "",
        },
        Example {
            about: "The documents of cluster 2, nearest first:",
            command: "paste clusters.tsv docs.jsonl | awk '$1 == 2' | sort -k2,2g | cut -f 3-",
            output: "",
        },
        Example {
            about: "What the vectors add up to, in two parts:",
            command: "for i in 0 1; do kmeans-assign --centroids three.npy --shard $i/2 --sums sums.$i vectors.npy; done",
            output: "",
        },
    ],
    see_also: &["kmeans-fit(1)", "cluster-stats(1)", "cluster-split(1)", "jsonl-embed(1)", "corpus-utils(7)"],
};

/// Beyond this, a line is no longer for people or programs.
const TOP_MAX: usize = 1 << 16;

fn main() -> ExitCode {
    pipe::start(&TOOL, run)
}

fn run(args: Args) -> Result<(), Failure> {
    let path = args.centroids.as_deref().ok_or_else(|| Failure::usage("--centroids FILE is needed"))?;
    check_combinations(&args, path)?;
    let devices = Devices::open(&args.common)?;
    let model = Model::open(path, args.metric)?;
    if args.similarity && model.centroids.metric != Metric::Cosine {
        return Err(Failure::file(path, "--similarity is the cosine's, and the metric is euclidean"));
    }
    let weights = args.weights.as_deref().map(Weights::open).transpose()?;
    let sums = args.sums.as_deref().map(Output::create).transpose()?;
    let vectors = Vectors::open(&args.common.operands, args.common.raw, args.common.shard)?;
    vectors.check_dim(model.centroids.dim, &path.display().to_string())?;
    match sums {
        Some(output) => write_sums(&args, &model.centroids, &devices, (vectors, weights), output),
        None => write_column(&args, &model.centroids, &devices, vectors),
    }
}

/// Values of a block, about: 1 MB, and 16 MB for a GPU, which a few of them fill.
fn block_values(devices: &Devices) -> usize {
    if devices.are_gpus() { 1 << 22 } else { 1 << 18 }
}

fn write_column(args: &Args, centroids: &Centroids, devices: &Devices, vectors: Vectors) -> Result<(), Failure> {
    let (common, count) = (&args.common, args.top.unwrap_or(1));
    // A pair is held in as many bytes as four values.
    let blocks = Blocks::new(vectors, None, centroids.dim.max(4 * count), block_values(devices));
    let pass = devices.pass(centroids, count)?;
    let column = Column { similarity: args.similarity, on_error: common.on_error };
    // Two pieces a block: one is copied while the other is computed.
    let workers = pass.workers(common.threads, blocks.rows_max().div_ceil(2))?;
    let writers = workers.into_iter().map(|worker| Writer { worker, column }).collect();
    let mut meter = Meter::new(common, blocks.bytes_total());
    let (mut output, mut outcome) = (Output::stdout(), Outcome::default());
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
    let stats = about(devices.report(stats), centroids).with("inertia", outcome.inertia(centroids.metric));
    let stats = stats.with("mean_distance", outcome.mean_distance());
    stats.with("second_look_share", outcome.reranked_share()).write(common)
}

fn write_sums(
    args: &Args,
    centroids: &Centroids,
    devices: &Devices,
    (vectors, weights): (Vectors, Option<Weights>),
    output: Output,
) -> Result<(), Failure> {
    let (common, dim, metric) = (&args.common, centroids.dim, centroids.metric);
    let blocks = Blocks::new(vectors, weights, dim, block_values(devices));
    let pass = devices.summing_pass(centroids, Partial::new(centroids), None)?;
    let workers = pass.workers(common.threads, blocks.rows_max().div_ceil(2))?;
    let adders = workers.into_iter().map(|worker| Adder { worker, dim, metric }).collect();
    let (mut meter, mut counts) = (Meter::new(common, blocks.bytes_total()), Counts::default());
    let adders = crew::run(adders, blocks.dealt(), |done| {
        counts.add(done, common.on_error)?;
        meter.show(counts.tally.bytes, counts.tally.rows);
        Ok(ControlFlow::Continue(()))
    })?;
    meter.end();
    let (mut partial, reranked) = pass.sums(adders.into_iter().map(|adder| adder.worker).collect())?;
    (partial.rows_missing, partial.rows_bad) = (counts.missing, counts.tally.bad);
    counts.tally.report(common);
    partial.write(output)?;
    let stats = Stats::new(common, &counts.tally).with("rows_missing", counts.missing);
    let stats = about(devices.report(stats), centroids).with("inertia", partial.sums.inertia());
    let stats = stats.with("mean_distance", partial.sums.distance() / partial.weight());
    stats.with("second_look_share", reranked as f64 / counts.tally.rows as f64).write(common)
}

fn about(stats: Stats, centroids: &Centroids) -> Stats {
    stats.with("k", centroids.k()).with("dim", centroids.dim).with("metric", metric_name(centroids.metric))
}

fn check_combinations(args: &Args, centroids: &Path) -> Result<(), Failure> {
    exclude(("sums", args.sums.is_some()), ("top", args.top.is_some()))?;
    exclude(("sums", args.sums.is_some()), ("similarity", args.similarity))?;
    if args.weights.is_some() && args.sums.is_none() {
        return Err(Failure::usage("--weights goes with --sums: the nearest centroid does not depend on them"));
    }
    let is_standard = |path: &Path| path == Path::new("-");
    let operands = &args.common.operands;
    let vectors = operands.is_empty() || operands.iter().any(|path| is_standard(path));
    let sides = [Some(centroids), args.weights.as_deref()].into_iter().flatten();
    if sides.filter(|path| is_standard(path)).count() + usize::from(vectors) > 1 {
        return Err(Failure::usage("standard input can be one thing only: vectors, --centroids or --weights"));
    }
    Ok(())
}

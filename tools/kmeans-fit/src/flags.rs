//! The command line.

use assign::seeding::Method;
use cluster::fit::{Stopping, origin_of_file};
use cluster::flags::{
    Iterates, Iterations, WEIGHTS, checkpoint, empty, iters, k, memory, metric, number_of_clusters, patience, resume,
    runs, tol,
};
use cluster::model::METRICS;
use compute::kmeans::{Centroids, Metric};
use pipe::flags::{Example, Flag, Options, Rule, Tool};
use pipe::settings::Common;
use pipe::shared;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What the command line asks for.
pub struct Args {
    pub common: Common,
    pub iterations: Iterations,
    pub k: usize,
    pub metric: Option<Metric>,
    pub init: Method,
    pub centroids: Option<PathBuf>,
    pub runs: u64,
    pub batch: Option<usize>,
    pub sample: Option<f64>,
    pub weights: Option<PathBuf>,
    pub memory: Option<u64>,
    pub checkpoint: Option<PathBuf>,
    pub resume: bool,
}

impl Default for Args {
    fn default() -> Args {
        Args {
            common: Common::default(),
            iterations: Iterations::default(),
            k: 0,
            metric: None,
            init: Method::Parallel,
            centroids: None,
            runs: 1,
            batch: None,
            sample: None,
            weights: None,
            memory: None,
            checkpoint: None,
            resume: false,
        }
    }
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

/// The words for ways to begin.
const METHODS: [(&str, Method); 3] =
    [("k-means||", Method::Parallel), ("k-means++", Method::PlusPlus), ("random", Method::Random)];

const FLAGS: &[Flag<Args>] = &[
    shared::headerless(),
    Flag {
        help: WEIGHTS,
        ..shared::weights(|args: &mut Args, value| {
            args.weights = Some(value.path()?);
            Ok(())
        })
    },
    Flag::value(
        "sample",
        "F",
        "Fit on a share F of the rows",
        "Chosen by seed and row number; a larger share contains the smaller one. The model says so.",
        |args: &mut Args, value| {
            args.sample = Some(value.number()?).filter(|share| *share > 0.0 && *share <= 1.0);
            if args.sample.is_some() { Ok(()) } else { Err("expected a number above 0, at most 1".to_string()) }
        },
    )
    .input(),
    shared::on_error(),
    k(|args: &mut Args, value| {
        args.k = number_of_clusters(&value)?;
        Ok(())
    }),
    Flag {
        help: "With `cosine` this is spherical k-means: rows count as unit vectors, and centroids have length 1 after \
               every iteration. What --centroids names may say it.",
        ..metric(|args: &mut Args, value| {
            args.metric = Some(value.choice(&METRICS)?);
            Ok(())
        })
    }
    .default(|_| "cosine".to_string()),
    Flag::value(
        "init",
        "k-means|||k-means++|random",
        "Which rows are the first centroids",
        "Rows that are far from each other, found in a few passes (`k-means||`) or in two passes a centroid \
         (`k-means++`), or rows at random. Those of a file go with --centroids.",
        |args: &mut Args, value| {
            args.init = value.choice(&METHODS)?;
            Ok(())
        },
    )
    .default(|_| METHODS[0].0.to_string()),
    Flag {
        help: "The fit begins with them. An array has the shape (k, dim), of 16, 32 or 64-bit floats; the latter are \
               rounded to 32 bits.",
        ..shared::centroids(|args: &mut Args, value| {
            args.centroids = Some(value.path()?);
            Ok(())
        })
    },
    Flag { help: "With --batch, passes. Without it 100; with --batch 1.", ..iters() },
    tol(),
    patience(),
    Flag {
        help: "That with the smallest inertia. Each begins with other first centroids; of equals it is the first.",
        ..runs(|args: &mut Args, value| {
            args.runs = value.positive()?;
            Ok(())
        })
    }
    .default(|args| args.runs.to_string()),
    Flag::value(
        "batch",
        "B",
        "Mini-batches: move the centroids after every B rows",
        "One pass, so that a pipe is never kept.",
        |args: &mut Args, value| {
            args.batch = Some(value.positive()?);
            Ok(())
        },
    ),
    empty(),
    shared::seed(),
    checkpoint(|args: &mut Args, value| {
        args.checkpoint = Some(value.path()?);
        Ok(())
    }),
    shared::stats(),
    resume(|args: &mut Args, _| {
        args.resume = true;
        Ok(())
    }),
    memory(|args: &mut Args, value| {
        args.memory = Some(value.bytes()?);
        Ok(())
    }),
    shared::device_or_gpu(),
    shared::threads(),
    shared::progress(),
];

const RULES: &[Rule] = &[
    Rule::OneOf(&["k", "centroids"], "say how many clusters, or begin with the centroids of a file, which are as many"),
    Rule::Excludes("centroids", &["init", "runs>1"], "the fit begins with what the file has, in every run alike"),
    Rule::Excludes("batch", &["checkpoint"], "a fit in mini-batches goes over the rows once: begin it anew"),
    Rule::Excludes("batch", &["iters=0"], "mini-batches need a pass; leave --batch out for the first centroids alone"),
    Rule::Needs("resume", &["checkpoint"], "that is the file to go on from"),
];

/// The tool.
pub const TOOL: Tool<Args> = Tool {
    name: "kmeans-fit",
    summary: "vectors to the centroids of k-means",
    operands: "[FILE]...",
    description: &[
        "Reads vectors, as jsonl-embed(1) writes them, from the FILEs or from standard input, and prints a model: K \
         centroids, in a `.safetensors` file.",
        "Which centroid is nearest is decided exactly, and what rows add up to is whole numbers (corpus-utils(7) says \
         which), so the model is a function of the rows and the flags: the same bytes on any number of threads, in any \
         memory, killed and resumed, or added up from parts.",
        "Rows that are all NaN are missing: they are counted and left out. A row with some other value that is not \
         finite, or, under the cosine, of zeros alone, is a bad record (--on-error). Fewer rows than K are an error.",
    ],
    sections: &[
        (
            "Iterations",
            &[
                "An iteration assigns every row to its nearest centroid (of equals the lowest number) and moves each \
                 centroid to the mean of its rows, under the cosine to their direction (Lloyd 1982; Dhillon and Modha \
                 2001). Inertia is the sum of squared distances, under the cosine of distances (1 - cosine), times \
                 weights. The fit ends after --iters, or --patience idle iterations in a row. The rows are then \
                 assigned once more: sizes and inertia of the model are those of its centroids.",
                "From 128 clusters of 32 values or so on, each row is held only against groups of centroids that may \
                 have a nearer one than its last (exact bounds: Elkan 2003; Ding et al. 2015), where there is memory \
                 for 4 bytes a row and group: an eighth of what the rows take at the most. Later iterations are so \
                 much faster; the bytes are the same.",
                "With --batch the centroid of a cluster is the mean of all rows it ever got, after each batch (Sculley \
                 2010; the same rule as scikit-learn's MiniBatchKMeans, without its reassignment of small clusters). \
                 The first centroids come from the first three batches, or 3 K rows if that is more. Batches have B \
                 rows whatever the blocks of a pipe; the last one may be shorter and counts as well. Sizes, inertia \
                 and distances are then those of the rows as they passed, in the last pass. More than one pass, or \
                 run, over a pipe keeps its rows as above.",
            ],
        ),
        (
            "First centroids",
            &[
                "All draws are keyed by seed, step and row number (from 0, over all FILEs). `random`: K rows, with \
                 probabilities in proportion to their weights. `k-means++` (Arthur and Vassilvitskii 2007): row after \
                 row, in proportion to the weighted squared distance to those before; of 2 + ln K draws each time the \
                 one that leaves the smallest sum, as scikit-learn does. It reads the rows 2 K times. `k-means||` \
                 (Bahmani et al. 2012, in four passes): 2 K rows by weight (4 K where K is at most 256; from 2,048 on \
                 4,096, or K if that is more), as many more by weighted squared distance to the first K / 4 of those \
                 (all, where K is at most 256), each of these candidates weighed with the rows that are nearest to \
                 it, and k-means++ over them; above K = 2,048 in groups of at most 1,024 that lie together, each with \
                 its share of K. On embeddings, a fit from it ends as low as one from k-means++. The passes take the \
                 time of four iterations, above K = 4,096 of two; what comes after them takes, for 384 values on two \
                 cores, 0.6 s for K = 1,000, 2 s for 2,000, 0.5 s for 4,096, 1 s for 8,192.",
                "Where fewer rows differ than there are clusters, the first of them is repeated; of equal centroids \
                 all but one stay empty.",
            ],
        ),
        (
            "Empty clusters",
            &["A cluster is empty where its rows weigh nothing. `split`: the cluster of the largest weight (of \
                 equals the lowest number) whose inertia is not 0 is halved: both centroids are moved from where it \
                 is, in opposite directions, by a 64th of the root mean squared distance of its rows, up in even and \
                 down in odd coordinates (further halvings of one cluster in other such patterns). `farthest`: the \
                 rows farthest from their centroids, one of each cluster. `keep`: they stay. A note on stderr and the \
                 model say how many there were. Where the unit vectors of a cluster cancel, its centroid stays."],
        ),
        (
            "In parts",
            &["An iteration over rows that are in many places is a kmeans-sum(1) over each part and one \
                 kmeans-step(1) over their sums. The first model is that of `kmeans-fit --iters 0`; the last one is, \
                 to the byte, that of one kmeans-fit over all parts. scripts/kmeans.mk does this with make(1)."],
        ),
        (
            "GPU",
            &[
                "With --device cuda, or `cuda:0,1` for several, the rows go over the GPUs in every pass that computes \
                 distances: iterations, the last assignment, mini-batches, the passes of `k-means||` and `k-means++`. \
                 The model has the same bytes as on the CPU: distances are decided there in the same order (see \
                 kmeans-assign(1), also for what GPU and driver are needed), and sums are whole numbers. Reading, \
                 draws, means, empty clusters, and the last step of `k-means||` remain with the processor.",
                "The rows stream through the GPUs from where they are, in each pass, so neither their number nor the \
                 GPU's memory matters. (k-means++ keeps them there where they fit.) Where the GPU's memory is short, \
                 fewer rows go at a time, and --stats says how many: `gpu_rows_max`. Less than 128 rows at a time, or \
                 no room for the centroids, is an error, as are a lost GPU and one that is not there; nothing is \
                 computed on the CPU instead. With mini-batches a large GPU waits for small batches.",
                "This code has never yet run on a GPU: its kernels were compiled for GPUs, and tested in an emulation \
                 on a processor only, several GPUs likewise. Until it has, `auto` is the CPU. Compare with `--device \
                 cpu` before you rely on it, or on its speed.",
            ],
        ),
        (
            "Model",
            &[
                "Tensors `centroids` (F32, K rows) and `sizes` (I64: rows of each cluster). Metadata: tool, version, \
                 metric, k, dim, seed, init, init_model (of --centroids: a fingerprint), sample, batch, runs and run \
                 (from 0), empty, iterations, inertia, mean_distance, inertias and mean_distances (of the first \
                 centroids and after each iteration), rows, rows_missing (bad ones included), weight (of all rows), \
                 size_min, size_median, size_max, imbalance (K times the sum of squared sizes over the square of their \
                 sum: 1 where all are equal), empties_repaired, empties_left (after the last iteration), collapsed.",
                "--stats has the same as JSON, and: iteration_seconds (of each assignment of all rows), seed_seconds, \
                 reranked_share (of assignments: those that the fast pass left open), rows_in (memory, files, a \
                 temporary file), passes_read, rounded (whether 64-bit floats came); with a GPU gpu_rows_max.",
            ],
        ),
    ],
    flags: FLAGS,
    rules: RULES,
    examples: &[
        Example {
            about: "Cluster documents:",
            command: "jsonl-embed docs.jsonl > vectors.npy\nkmeans-fit -k 8 vectors.npy > model.safetensors",
            output: "",
        },
        Example {
            about: "Fit while embedding, and make an array of the stream of vectors that was kept:",
            command: "jsonl-embed docs.jsonl | tee vectors.stream | kmeans-fit --batch 128 -k 8 > model.safetensors\n\
                      npy-cat vectors.stream > vectors.npy",
            output: "",
        },
    ],
    see_also: &[
        "jsonl-embed(1)",
        "kmeans-assign(1)",
        "kmeans-sum(1)",
        "kmeans-step(1)",
        "npy-cat(1)",
        "corpus-utils(7)",
    ],
};

impl Args {
    /// When a fit ends.
    pub fn stopping(&self) -> Stopping {
        self.iterations.stopping(if self.batch.is_some() { 1 } else { Iterations::ITERS })
    }

    /// What nearness means, where no file says it.
    pub fn metric(&self) -> Metric {
        self.metric.unwrap_or(Metric::Cosine)
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.common.seed.unwrap_or(0)
    }

    /// What a model says of how it came to be, besides what [`State`](cluster::fit::State) knows.
    pub fn origin(&self, first: Option<&Centroids>) -> BTreeMap<String, String> {
        let mut origin = first.map_or_else(BTreeMap::new, origin_of_file);
        let mut put = |name: &str, value: String| drop(origin.insert(name.to_string(), value));
        if let Some((name, _)) = METHODS.iter().find(|(_, method)| first.is_none() && *method == self.init) {
            put("init", name.to_string());
        }
        if first.is_none() || self.sample.is_some() {
            put("seed", self.seed().to_string());
        }
        if let Some(share) = self.sample {
            put("sample", share.to_string());
        }
        if let Some(batch) = self.batch {
            put("batch", batch.to_string());
        }
        put("empty", self.iterations.empty.name().to_string());
        origin
    }
}

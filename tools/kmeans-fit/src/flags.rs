//! The command line.

use crate::memory;
use crate::seeding::Method;
use cluster::empties::Empty;
use cluster::fit::{Stopping, origin_of_file};
use cluster::model::METRICS;
use compute::kmeans::{Centroids, Metric};
use pipe::failure::Failure;
use pipe::flags::{Example, Flag, Options, Tool};
use pipe::settings::Common;
use pipe::settings::exclude;
use pipe::shared;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Where the first centroids come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Init {
    Rows(Method),
    File(PathBuf),
}

/// What the command line asks for.
pub struct Args {
    pub common: Common,
    pub k: Option<usize>,
    pub metric: Option<Metric>,
    pub init: Option<Init>,
    pub iters: Option<u64>,
    pub tol: f64,
    pub patience: u64,
    pub runs: u64,
    pub batch: Option<usize>,
    pub sample: Option<f64>,
    pub weights: Option<PathBuf>,
    pub empty: Empty,
    pub memory: Option<u64>,
    pub checkpoint: Option<PathBuf>,
    pub resume: Option<PathBuf>,
    pub from_sums: bool,
}

impl Default for Args {
    fn default() -> Args {
        Args {
            common: Common::default(),
            k: None,
            metric: None,
            init: None,
            iters: None,
            tol: 0.0001,
            patience: 1,
            runs: 1,
            batch: None,
            sample: None,
            weights: None,
            empty: Empty::default(),
            memory: None,
            checkpoint: None,
            resume: None,
            from_sums: false,
        }
    }
}

impl Options for Args {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

/// Iterations where nobody says how many.
const ITERS: u64 = 100;

/// The words for ways to begin.
const METHODS: [(&str, Method); 3] =
    [("k-means||", Method::Parallel), ("k-means++", Method::PlusPlus), ("random", Method::Random)];

/// The words for what becomes of empty clusters.
const EMPTIES: [(&str, Empty); 3] = [("split", Empty::Split), ("farthest", Empty::Farthest), ("keep", Empty::Keep)];

const FLAGS: &[Flag<Args>] = &[
    Flag::value("clusters", "K", "How many centroids", "Needed, but with --init FILE.", |args: &mut Args, value| {
        let k: u32 = value.positive()?;
        args.k = Some(k as usize);
        if k < u32::MAX { Ok(()) } else { Err("expected less than 2^32 - 1".to_string()) }
    })
    .short('k'),
    Flag::value(
        "metric",
        "cosine|euclidean",
        "What nearness means",
        "With `cosine` this is spherical k-means: rows count as unit vectors, and centroids have length 1 after every iteration.",
        |args: &mut Args, value| {
            args.metric = Some(value.choice(&METRICS)?);
            Ok(())
        },
    )
    .default(|_| "cosine".to_string()),
    Flag::value(
        "init",
        "k-means|||k-means++|random|FILE",
        "Where the first centroids come from: rows that are far from each other, found in a few passes (`k-means||`) or in two passes a centroid (`k-means++`), rows at random, or a file: a model of kmeans-fit or a `.npy` array",
        "",
        |args: &mut Args, value| {
            let word = value.text().ok();
            let method = METHODS.iter().find(|(name, _)| Some(*name) == word).map(|&(_, method)| Init::Rows(method));
            args.init = Some(method.map_or_else(|| value.path().map(Init::File), Ok)?);
            Ok(())
        },
    )
    .default(|_| METHODS[0].0.to_string()),
    Flag::value("iters", "N", "Iterations at the most; with --batch, passes", "Without it 100; with --batch 1.", |args: &mut Args, value| {
        args.iters = Some(value.number()?);
        Ok(())
    }),
    Flag::value(
        "tol",
        "X",
        "An iteration that lowers the inertia by a share of X or less, or raises it, counts as idle",
        "",
        |args: &mut Args, value| {
            args.tol = value.not_negative()?;
            Ok(())
        },
    )
    .default(|args| args.tol.to_string()),
    Flag::value("patience", "N", "End after N idle iterations in a row", "", |args: &mut Args, value| {
        args.patience = value.positive()?;
        Ok(())
    })
    .default(|args| args.patience.to_string()),
    Flag::value(
        "runs",
        "R",
        "Fit R times from different first centroids, and write the fit with the smallest inertia (of equals the first)",
        "",
        |args: &mut Args, value| {
            args.runs = value.positive()?;
            Ok(())
        },
    )
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
    Flag::value(
        "sample",
        "F",
        "Fit on a share F of the rows, chosen by seed and row number; a larger share contains the smaller one",
        "The model says so.",
        |args: &mut Args, value| {
            args.sample = Some(value.number()?).filter(|share| *share > 0.0 && *share <= 1.0);
            if args.sample.is_some() { Ok(()) } else { Err("expected a number above 0, at most 1".to_string()) }
        },
    ),
    Flag::value(
        "weights",
        "COLUMN",
        "A column whose first field is the weight of the row beside it: 0 or more, in units of 2^-20; `nan` leaves the row out",
        "",
        |args: &mut Args, value| {
            args.weights = Some(value.path()?);
            Ok(())
        },
    ),
    Flag::value(
        "empty",
        "split|farthest|keep",
        "What a cluster without rows gets: half of the largest cluster; the row that is farthest from its centroid; nothing",
        "",
        |args: &mut Args, value| {
            args.empty = value.choice(&EMPTIES)?;
            Ok(())
        },
    )
    .default(|_| EMPTIES[0].0.to_string()),
    Flag::value(
        "memory",
        "M",
        "Bytes of memory, such as 512M or 4G (powers of 1024)",
        "What does not fit is read again in every pass; a pipe goes into a temporary file. Without it half of what is free. The output does not depend on it.",
        |args: &mut Args, value| {
            args.memory = Some(memory::read_size(value.text()?).ok_or("expected a size such as 512M or 4G")?);
            Ok(())
        },
    ),
    Flag::value(
        "checkpoint",
        "FILE",
        "Write where the fit stands into FILE after each iteration: whole, or as it was",
        "",
        |args: &mut Args, value| {
            args.checkpoint = Some(value.path()?);
            Ok(())
        },
    ),
    Flag::value(
        "resume",
        "FILE",
        "Go on from a checkpoint of the same rows and flags",
        "The output is that of a fit that was not interrupted.",
        |args: &mut Args, value| {
            args.resume = Some(value.path()?);
            Ok(())
        },
    ),
    Flag::switch(
        "from-sums",
        "The FILEs are sums of parts of the rows, as `kmeans-assign --sums` writes them with the model that --init names: add them, in any order, and write what comes of that model in one iteration",
        "",
        |args: &mut Args, _| {
            args.from_sums = true;
            Ok(())
        },
    ),
    shared::headerless(),
    shared::seed(),
    shared::on_error(),
    shared::threads(),
    shared::device_or_gpu(),
    shared::stats(),
    shared::progress(),
];

/// The tool.
pub const TOOL: Tool<Args> = Tool {
    name: "kmeans-fit",
    summary: "vectors to the centroids of k-means",
    operands: "[FILE]...",
    description: &[
        "Reads vectors, as jsonl-embed(1) writes them, from the FILEs or from standard input, and prints a model: K centroids, in a `.safetensors` file.",
        "Which centroid is nearest is decided exactly, and what rows add up to is whole numbers (corpus-utils(7) says which), so the model is a function of the rows and the flags: the same bytes on any number of threads, in any memory, killed and resumed, or added up from parts.",
        "Rows that are all NaN are missing: they are counted and left out. A row with some other value that is not finite, or, under the cosine, of zeros alone, is a bad record (--on-error). Fewer rows than K are an error.",
    ],
    sections: &[
        (
            "Iterations",
            &[
                "An iteration assigns every row to its nearest centroid (of equals the lowest number) and moves each centroid to the mean of its rows, under the cosine to their direction (Lloyd 1982; Dhillon and Modha 2001). Inertia is the sum of squared distances, under the cosine of distances (1 - cosine), times weights. The fit ends after --iters, or --patience idle iterations in a row. The rows are then assigned once more: sizes and inertia of the model are those of its centroids.",
                "With --batch the centroid of a cluster is the mean of all rows it ever got, after each batch (Sculley 2010; the same rule as scikit-learn's MiniBatchKMeans, without its reassignment of small clusters). The first centroids come from the first three batches, or 3 K rows if that is more. Batches have B rows whatever the blocks of a pipe; the last one may be shorter and counts as well. Sizes, inertia and distances are then those of the rows as they passed, in the last pass. More than one pass, or run, over a pipe keeps its rows as above.",
            ],
        ),
        (
            "First centroids",
            &[
                "All draws are keyed by seed, step and row number (from 0, over all FILEs). `random`: K rows, with probabilities in proportion to their weights. `k-means++` (Arthur and Vassilvitskii 2007): row after row, in proportion to the weighted squared distance to those before; of 2 + ln K draws each time the one that leaves the smallest sum, as scikit-learn does. It reads the rows 2 K times. `k-means||` (Bahmani et al. 2012, in four passes): 2 K rows by weight (4 K where K is at most 256; from 2,048 on 4,096, or K if that is more), as many more by weighted squared distance to those, each of these candidates weighed with the rows that are nearest to it, and k-means++ over them. On embeddings, a fit from it ends as low as one from k-means++. The last step takes time in proportion to K^2, and more above K = 4,096, where the distances between the candidates no longer fit memory: for 384 values on two cores 0.8 s for K = 1,024, 3 s for 2,048, 5 s for 4,096, 50 s for 6,144. Where K is so large, `random` is an alternative, or a GPU.",
                "Where fewer rows differ than there are clusters, the first of them is repeated; of equal centroids all but one stay empty.",
            ],
        ),
        (
            "Empty clusters",
            &[
                "A cluster is empty where its rows weigh nothing. `split`: the cluster of the largest weight (of equals the lowest number) whose inertia is not 0 is halved: both centroids are moved from where it is, in opposite directions, by a 64th of the root mean squared distance of its rows, up in even and down in odd coordinates (further halvings of one cluster in other such patterns). `farthest`: the rows farthest from their centroids, one of each cluster. `keep`: they stay. A note on stderr and the model say how many there were. Where the unit vectors of a cluster cancel, its centroid stays.",
            ],
        ),
        (
            "In parts",
            &[
                "`kmeans-assign --sums` adds up a part of the rows. From all parts, `kmeans-fit --from-sums --init MODEL` makes the next model, with the same --iters, --tol, --patience and --empty in every step; where the fit ends, it writes the same centroids with their sizes and inertia, as often as it is asked. The first model is that of `kmeans-fit --iters 0`. The last one is, to the byte, that of one kmeans-fit over all parts. scripts/kmeans.mk does this with make(1).",
            ],
        ),
        (
            "GPU",
            &[
                "With --device cuda, or `cuda:0,1` for several, the rows go over the GPUs in every pass that computes distances: iterations, the last assignment, mini-batches, the passes of `k-means||` and `k-means++`. The model has the same bytes as on the CPU: distances are decided there in the same order (see kmeans-assign(1), also for what GPU and driver are needed), and sums are whole numbers. Reading, draws, means, empty clusters, and the last step of `k-means||` up to K = 4,096 remain with the processor.",
                "The rows stream through the GPUs from where they are, in each pass, so neither their number nor the GPU's memory matters. (k-means++ keeps them there where they fit.) Where the GPU's memory is short, fewer rows go at a time, and --stats says how many: `gpu_rows_max`. Less than 128 rows at a time, or no room for the centroids, is an error, as are a lost GPU and one that is not there; nothing is computed on the CPU instead. With mini-batches a large GPU waits for small batches.",
                "This code has never yet run on a GPU: its kernels were compiled for GPUs, and tested in an emulation on a processor only, several GPUs likewise. Until it has, `auto` is the CPU. Compare with `--device cpu` before you rely on it, or on its speed.",
            ],
        ),
        (
            "Model",
            &[
                "Tensors `centroids` (F32, K rows) and `sizes` (I64: rows of each cluster). Metadata: tool, version, metric, k, dim, seed, init, init_model (of --init FILE: a fingerprint), sample, batch, runs and run (from 0), empty, iterations, inertia, mean_distance, inertias and mean_distances (of the first centroids and after each iteration), rows, rows_missing (bad ones included), weight (of all rows), size_min, size_median, size_max, imbalance (K times the sum of squared sizes over the square of their sum: 1 where all are equal), empties_repaired, empties_left (after the last iteration), collapsed.",
                "--stats has the same as JSON, and: iteration_seconds (of each assignment of all rows), seed_seconds, second_looks (the share of assignments that the fast pass left open), rows_in (memory, files, a temporary file), passes_read; with a GPU gpu_rows_max.",
            ],
        ),
    ],
    flags: FLAGS,
    rules: &[],
    examples: &[
        Example {
            about: "Cluster documents:",
            command: "jsonl-embed docs.jsonl > vectors.npy\nkmeans-fit -k 8 vectors.npy > model.safetensors",
            output: "",
        },
        Example {
            about: "Fit while embedding, and make an array of the stream of vectors that was kept:",
            command: "jsonl-embed docs.jsonl | tee vectors.stream | kmeans-fit --batch 128 -k 8 > model.safetensors\nnpy-cat vectors.stream > vectors.npy",
            output: "",
        },
        Example {
            about: "One iteration in two parts:",
            command: "kmeans-fit -k 8 --iters 0 vectors.npy > 0.model\nfor i in 0 1; do\n  kmeans-assign --centroids 0.model --sums sums.$i --shard $i/2 vectors.npy\ndone\nkmeans-fit --from-sums --init 0.model sums.0 sums.1 > 1.model",
            output: "",
        },
    ],
    see_also: &["jsonl-embed(1)", "kmeans-assign(1)", "npy-cat(1)", "corpus-utils(7)"],
};

/// Refuses what does not go together.
pub fn check_combinations(args: &Args) -> Result<(), Failure> {
    let from_file = matches!(args.init, Some(Init::File(_)));
    if args.k.is_none() && !from_file {
        return Err(Failure::usage("-k K is needed"));
    }
    if args.from_sums && !from_file {
        return Err(Failure::usage("--from-sums needs --init MODEL: the model that the sums were made with"));
    }
    exclude(("runs", args.runs > 1), ("init FILE", from_file))?;
    for (flag, given) in [("checkpoint", args.checkpoint.is_some()), ("resume", args.resume.is_some())] {
        exclude(("batch", args.batch.is_some()), (flag, given))?;
    }
    if args.batch.is_some() && args.iters == Some(0) {
        return Err(Failure::usage("--batch needs at least one pass: --iters 1"));
    }
    for (flag, given) in [
        ("runs", args.runs > 1),
        ("batch", args.batch.is_some()),
        ("sample", args.sample.is_some()),
        ("weights", args.weights.is_some()),
        ("checkpoint", args.checkpoint.is_some()),
        ("resume", args.resume.is_some()),
        ("headerless", args.common.raw.is_some()),
        ("seed", args.common.seed.is_some()),
        ("memory", args.memory.is_some()),
        ("device cuda", args.common.gpus.is_some()),
    ] {
        exclude(("from-sums", args.from_sums), (flag, given))?;
    }
    Ok(())
}

impl Args {
    /// When a fit ends.
    pub fn stopping(&self) -> Stopping {
        let iters = self.iters.unwrap_or(if self.batch.is_some() { 1 } else { ITERS });
        Stopping { iters, tol: self.tol, patience: self.patience }
    }

    /// What nearness means, where no file says it.
    pub fn metric(&self) -> Metric {
        self.metric.unwrap_or(Metric::Cosine)
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.common.seed.unwrap_or(0)
    }

    /// The word for what becomes of empty clusters.
    pub fn empty_name(&self) -> String {
        let found = EMPTIES.iter().find(|(_, empty)| *empty == self.empty);
        found.expect("every way has a name").0.to_string()
    }

    /// What a model says of how it came to be, besides what [`State`] knows.
    pub fn origin(&self, first: Option<&Centroids>) -> BTreeMap<String, String> {
        let mut origin = first.map_or_else(BTreeMap::new, origin_of_file);
        let mut put = |name: &str, value: String| drop(origin.insert(name.to_string(), value));
        if let Some((name, _)) = METHODS.iter().find(|(_, method)| first.is_none() && *method == self.method()) {
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
        put("empty", self.empty_name());
        origin
    }

    /// How the first centroids are found, where they come from no file.
    pub fn method(&self) -> Method {
        match self.init {
            Some(Init::Rows(method)) => method,
            _ => METHODS[0].1,
        }
    }
}

//! `kmeans-fit`: vectors in, centroids out.
//!
//! The rows are gone over again and again, wherever they are; what they come to is whole numbers, so that neither threads nor memory,
//! nor parts that are added up elsewhere, change a byte. Memory: what `--memory` says, but at least some blocks of rows, the
//! centroids, and sums of their size for each thread.

mod batches;
mod checkpoint;
mod empties;
mod feed;
mod fit;
mod memory;
mod report;
mod rows;
mod seeding;
mod spool;

use batches::Plan;
use checkpoint::Checkpoint;
use cluster::Model;
use cluster::model::{METRICS, metric_name};
use cluster::sums::Partial;
use compute::kmeans::{Centroids, Metric};
use empties::Empty;
use feed::{Feed, Filter};
use fit::{Rule, State};
use pipe::common::{self, Common, exclude};
use pipe::failure::Failure;
use pipe::flags::{Example, Flag, Options, Tool};
use pipe::output::Output;
use pipe::progress::Meter;
use pipe::vectors::Vectors;
use report::Report;
use rows::Rows;
use seeding::{Draws, Method};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use xxhash_rust::xxh3::Xxh3;

/// Where the first centroids come from.
#[derive(Debug, Clone, PartialEq)]
enum Init {
    Rows(Method),
    File(PathBuf),
}

struct Args {
    common: Common,
    k: Option<usize>,
    metric: Option<Metric>,
    init: Option<Init>,
    iters: Option<u64>,
    tol: f64,
    patience: u64,
    runs: u64,
    batch: Option<usize>,
    sample: Option<f64>,
    weights: Option<PathBuf>,
    empty: Empty,
    memory: Option<u64>,
    checkpoint: Option<PathBuf>,
    resume: Option<PathBuf>,
    from_sums: bool,
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
    Flag::value("clusters", "K", "How many centroids. Needed, but with --init FILE.", |args: &mut Args, value| {
        let k: u32 = value.positive()?;
        args.k = Some(k as usize);
        if k < u32::MAX { Ok(()) } else { Err("expected less than 2^32 - 1".to_string()) }
    })
    .short('k'),
    Flag::value(
        "metric",
        "cosine|euclidean",
        "What nearness means. With `cosine` this is spherical k-means: rows count as unit vectors, and centroids have length 1 after every iteration.",
        |args: &mut Args, value| {
            args.metric = Some(value.choice(&METRICS)?);
            Ok(())
        },
    )
    .default(|_| "cosine".to_string()),
    Flag::value(
        "init",
        "k-means|||k-means++|random|FILE",
        "Where the first centroids come from: rows that are far from each other, found in a few passes (`k-means||`) or in two passes a centroid (`k-means++`), rows at random, or a file: a model of kmeans-fit or a `.npy` array.",
        |args: &mut Args, value| {
            let word = value.text().ok();
            let method = METHODS.iter().find(|(name, _)| Some(*name) == word).map(|&(_, method)| Init::Rows(method));
            args.init = Some(method.map_or_else(|| value.path().map(Init::File), Ok)?);
            Ok(())
        },
    )
    .default(|_| METHODS[0].0.to_string()),
    Flag::value("iters", "N", "Iterations at the most; with --batch, passes. Without it 100; with --batch 1.", |args: &mut Args, value| {
        args.iters = Some(value.number()?);
        Ok(())
    }),
    Flag::value(
        "tol",
        "X",
        "An iteration that lowers the inertia by a share of X or less, or raises it, counts as idle.",
        |args: &mut Args, value| {
            args.tol = value.not_negative()?;
            Ok(())
        },
    )
    .default(|args| args.tol.to_string()),
    Flag::value("patience", "N", "End after N idle iterations in a row.", |args: &mut Args, value| {
        args.patience = value.positive()?;
        Ok(())
    })
    .default(|args| args.patience.to_string()),
    Flag::value(
        "runs",
        "R",
        "Fit R times from different first centroids, and write the fit with the smallest inertia (of equals the first).",
        |args: &mut Args, value| {
            args.runs = value.positive()?;
            Ok(())
        },
    )
    .default(|args| args.runs.to_string()),
    Flag::value(
        "batch",
        "B",
        "Mini-batches: move the centroids after every B rows. One pass, so that a pipe is never kept.",
        |args: &mut Args, value| {
            args.batch = Some(value.positive()?);
            Ok(())
        },
    ),
    Flag::value(
        "sample",
        "F",
        "Fit on a share F of the rows, chosen by seed and row number; a larger share contains the smaller one. The model says so.",
        |args: &mut Args, value| {
            args.sample = Some(value.number()?).filter(|share| *share > 0.0 && *share <= 1.0);
            if args.sample.is_some() { Ok(()) } else { Err("expected a number above 0, at most 1".to_string()) }
        },
    ),
    Flag::value(
        "weights",
        "COLUMN",
        "A column whose first field is the weight of the row beside it: 0 or more, in units of 2^-20; `nan` leaves the row out.",
        |args: &mut Args, value| {
            args.weights = Some(value.path()?);
            Ok(())
        },
    ),
    Flag::value(
        "empty",
        "split|farthest|keep",
        "What a cluster without rows gets: half of the largest cluster; the row that is farthest from its centroid; nothing.",
        |args: &mut Args, value| {
            args.empty = value.choice(&EMPTIES)?;
            Ok(())
        },
    )
    .default(|_| EMPTIES[0].0.to_string()),
    Flag::value(
        "memory",
        "M",
        "Bytes of memory, such as 512M or 4G (powers of 1024). What does not fit is read again in every pass; a pipe goes into a temporary file. Without it half of what is free. The output does not depend on it.",
        |args: &mut Args, value| {
            args.memory = Some(memory::read_size(value.text()?).ok_or("expected a size such as 512M or 4G")?);
            Ok(())
        },
    ),
    Flag::value(
        "checkpoint",
        "FILE",
        "Write where the fit stands into FILE after each iteration: whole, or as it was.",
        |args: &mut Args, value| {
            args.checkpoint = Some(value.path()?);
            Ok(())
        },
    ),
    Flag::value(
        "resume",
        "FILE",
        "Go on from a checkpoint of the same rows and flags. The output is that of a fit that was not interrupted.",
        |args: &mut Args, value| {
            args.resume = Some(value.path()?);
            Ok(())
        },
    ),
    Flag::switch(
        "from-sums",
        "The FILEs are sums of parts of the rows, as `kmeans-assign --sums` writes them with the model that --init names: add them, in any order, and write what comes of that model in one iteration.",
        |args: &mut Args, _| {
            args.from_sums = true;
            Ok(())
        },
    ),
    common::raw(),
    common::seed(),
    common::on_error(),
    common::threads(),
    common::device(),
    common::stats(),
    common::progress(),
];

const TOOL: Tool<Args> = Tool {
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
                "All draws are keyed by seed, step and row number (from 0, over all FILEs). `random`: K rows, with probabilities in proportion to their weights. `k-means++` (Arthur and Vassilvitskii 2007): row after row, in proportion to the weighted squared distance to those before; of 2 + ln K draws each time the one that leaves the smallest sum, as scikit-learn does. It reads the rows 2 K times. `k-means||` (Bahmani et al. 2012, in four passes): 2 K rows by weight (4 K where K is at most 256), as many more by weighted squared distance to those, each of these candidates weighed with the rows that are nearest to it, and k-means++ over them. On embeddings, a fit from it ends as low as one from k-means++.",
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
            "Model",
            &[
                "Tensors `centroids` (F32, K rows) and `sizes` (I64: rows of each cluster). Metadata: tool, version, metric, k, dim, seed, init, init_model (of --init FILE: a fingerprint), sample, batch, runs and run (from 0), empty, iterations, inertia, mean_distance, inertias and mean_distances (of the first centroids and after each iteration), rows, rows_missing (bad ones included), weight (of all rows), size_min, size_median, size_max, imbalance (K times the sum of squared sizes over the square of their sum: 1 where all are equal), empties_repaired, empties_left (after the last iteration), collapsed.",
                "--stats has the same as JSON, and: iteration_seconds (of each assignment of all rows), seed_seconds, second_looks (the share of assignments that the fast pass left open), rows_in (memory, files, a temporary file), passes_read.",
            ],
        ),
    ],
    flags: FLAGS,
    examples: &[
        Example {
            about: "Cluster documents:",
            command: "jsonl-embed docs.jsonl > vectors.npy\nkmeans-fit -k 8 vectors.npy > model.safetensors",
            output: "",
        },
        Example {
            about: "Fit while embedding:",
            command: "jsonl-embed docs.jsonl | tee vectors.npy | kmeans-fit --batch 128 -k 8 > model.safetensors",
            output: "",
        },
        Example {
            about: "One iteration in two parts:",
            command: "kmeans-fit -k 8 --iters 0 vectors.npy > 0.model\nfor i in 0 1; do\n  kmeans-assign --centroids 0.model --sums sums.$i --shard $i/2 vectors.npy\ndone\nkmeans-fit --from-sums --init 0.model sums.0 sums.1 > 1.model",
            output: "",
        },
    ],
    see_also: &["jsonl-embed(1)", "kmeans-assign(1)", "corpus-utils(7)"],
};

fn main() -> ExitCode {
    pipe::start(&TOOL, run)
}

fn run(args: Args) -> Result<(), Failure> {
    check_combinations(&args)?;
    if let Some(gpu) = &args.common.gpu {
        return Err(Failure::work(format!("--device {gpu}: this version computes on the CPU only")));
    }
    let first = match &args.init {
        Some(Init::File(path)) => Some(Model::open(path, args.metric)?),
        _ => None,
    };
    let (model, report) = match first {
        Some(model) if args.from_sums => from_sums(&args, model)?,
        first => from_rows(&args, first)?,
    };
    model.write(Output::stdout())?;
    report.write(&args.common, &model)
}

fn check_combinations(args: &Args) -> Result<(), Failure> {
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
        ("raw", args.common.raw.is_some()),
        ("seed", args.common.seed.is_some()),
        ("memory", args.memory.is_some()),
    ] {
        exclude(("from-sums", args.from_sums), (flag, given))?;
    }
    Ok(())
}

impl Args {
    fn rule(&self) -> Rule {
        let iters = self.iters.unwrap_or(if self.batch.is_some() { 1 } else { ITERS });
        Rule { iters, tol: self.tol, patience: self.patience }
    }

    fn metric(&self) -> Metric {
        self.metric.unwrap_or(Metric::Cosine)
    }

    fn seed(&self) -> u64 {
        self.common.seed.unwrap_or(0)
    }

    fn empty_name(&self) -> String {
        let found = EMPTIES.iter().find(|(_, empty)| *empty == self.empty);
        found.expect("every way has a name").0.to_string()
    }

    /// What a model says of how it came to be, besides what [`State`] knows.
    fn origin(&self, first: Option<&Centroids>) -> BTreeMap<String, String> {
        let mut origin = first.map_or_else(BTreeMap::new, fit::origin_of_file);
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

    fn method(&self) -> Method {
        match self.init {
            Some(Init::Rows(method)) => method,
            _ => METHODS[0].1,
        }
    }
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

/// A model of rows.
fn from_rows(args: &Args, first: Option<Model>) -> Result<(Model, Report), Failure> {
    if let Some(first) = first.as_ref().filter(|first| args.k.is_some_and(|k| k != first.centroids.k())) {
        return Err(wrong_k(args, &first.centroids));
    }
    let k = first.as_ref().map_or(args.k.unwrap_or_default(), |first| first.centroids.k());
    let vectors = Vectors::open(&args.common.operands, args.common.raw, None)?;
    let Some(dim) = vectors.dim() else { return Err(seeding::too_few(0, k)) };
    if let Some(first) = first.as_ref().filter(|first| first.centroids.dim != dim) {
        let found = first.centroids.dim;
        return Err(Failure::work(format!(
            "the file that --init names has centroids of {found} values, the rows have {dim}"
        )));
    }
    let (bytes, rows_total) = (vectors.bytes_total(), vectors.rows_total());
    let metric = first.as_ref().map_or(args.metric(), |first| first.centroids.metric);
    let filter = Filter {
        metric,
        on_error: args.common.on_error,
        sample: args.sample,
        seed: args.seed(),
        weights: args.weights.clone(),
    };
    let feed = Feed::open(vectors, dim, filter)?;
    let threads = args.common.threads;
    let rows = if args.batch.is_some() && args.rule().iters == 1 && args.runs == 1 {
        Rows::once(feed, threads)
    } else {
        let memory = args.memory.unwrap_or_else(memory::half_of_free).saturating_sub(overhead(k, dim, threads));
        Rows::open(feed, memory, bytes, threads)?
    };
    let (first, before, report) = (first.map(|model| model.centroids), fit::Before::default(), Report::default());
    let mut job = Job { args, k, metric, first, rows, before, report };
    let model = match args.batch {
        Some(batch) => job.fit_batches(batch)?,
        None => job.fit(rows_total)?,
    };
    let Job { rows, mut report, .. } = job;
    report.rows(&rows);
    Ok((model, report))
}

/// What a fit takes besides its rows: centroids and candidates in several forms, sums and blocks of each thread.
fn overhead(k: usize, dim: usize, threads: usize) -> u64 {
    let (k, dim, threads) = (k as u64, dim as u64, threads as u64);
    let candidates = 4 * dim * k * (2 * (threads + 1) + 12);
    let sums = 16 * dim * k * (threads + 2);
    candidates.max(sums) + 8 * dim * k + (threads + 4) * (3 << 20) + (16 << 20)
}

/// A fit of rows.
struct Job<'a> {
    args: &'a Args,
    k: usize,
    metric: Metric,
    first: Option<Centroids>,
    rows: Rows,
    before: fit::Before,
    report: Report,
}

impl Job<'_> {
    /// Lloyd's iterations, once or in several runs.
    fn fit(&mut self, rows_total: Option<u64>) -> Result<Model, Failure> {
        let job = if self.args.checkpoint.is_some() || self.args.resume.is_some() {
            self.name(rows_total)?
        } else {
            String::new()
        };
        let resumed = self.args.resume.as_deref().map(|path| Checkpoint::open(path, &job)).transpose()?;
        let (mut run, mut state, mut best) = match resumed {
            Some(Checkpoint { run, state, best }) => (run, Some(state), best),
            None => (0, None, None),
        };
        while run < self.args.runs {
            let mut at = Checkpoint { run, state: self.begin(run, state.take())?, best };
            let (model, repairs) = self.run(&mut at, &job)?;
            best = Some(match at.best {
                Some(best) if inertia(&best) <= inertia(&model) => best,
                _ => {
                    self.report.repairs = repairs;
                    model
                }
            });
            run += 1;
        }
        Ok(best.expect("there is a run"))
    }

    /// The state that a run begins with.
    fn begin(&mut self, run: u64, resumed: Option<State>) -> Result<State, Failure> {
        if let Some(state) = resumed {
            return Ok(state);
        }
        let mut origin = self.args.origin(self.first.as_ref());
        if self.args.runs > 1 {
            origin.insert("runs".to_string(), self.args.runs.to_string());
            origin.insert("run".to_string(), run.to_string());
        }
        let centroids = match &self.first {
            Some(first) => first.clone(),
            None => self.report.seeding(|| {
                let draws = Draws { seed: self.args.seed(), run };
                seeding::seed(&mut self.rows, self.metric, self.k, self.args.method(), draws)
            })?,
        };
        Ok(State::new(centroids, origin))
    }

    /// One run to its end.
    fn run(&mut self, at: &mut Checkpoint, job: &str) -> Result<(Model, empties::Repairs), Failure> {
        let mut meter = Meter::new(&self.args.common, None);
        self.report.begin();
        loop {
            if let Some(path) = &self.args.checkpoint {
                at.write(path, job)?;
            }
            let (sum, looks) = fit::measure(&mut self.rows, &at.state.centroids, &mut self.before)?;
            seeding::enough(&self.rows, self.k)?;
            let ended = at.state.step(&sum, &self.args.rule(), self.args.empty);
            self.report.iteration(fit::rows(&sum), looks);
            let (run, iteration, measure) = (at.run, at.state.history.len(), at.state.history.last());
            let inertia = measure.map_or(f64::NAN, |measure| measure.inertia);
            let rows = self.rows.counts.used;
            meter.say(|| format!("run {run}, {iteration} times {rows} rows, inertia {inertia:.6}"));
            if ended {
                return Ok((at.state.model(Some(&sum)), at.state.repairs));
            }
        }
    }

    /// Mini-batches, once or in several runs.
    fn fit_batches(&mut self, batch: usize) -> Result<Model, Failure> {
        let mut best: Option<Model> = None;
        for run in 0..self.args.runs {
            let first = self.rows.first(batches::first_rows(batch, self.k))?;
            let exponent = batches::unit(self.metric, self.rows.dim, first.values.clone());
            let first = Rows::in_memory(&first, self.rows.dim, self.rows.threads);
            let all = std::mem::replace(&mut self.rows, first);
            let begun = self.begin(run, None);
            self.rows = all;
            let mut state = begun?;
            self.report.begin();
            let plan = Plan { batch, exponent, rule: self.args.rule(), empty: self.args.empty };
            let (sum, looks) = batches::fit(&mut self.rows, &mut state, &plan)?;
            seeding::enough(&self.rows, self.k)?;
            self.report.iteration(fit::rows(&sum) * state.iterations, looks);
            let model = state.model(Some(&sum));
            if best.as_ref().is_none_or(|best| inertia(&model) < inertia(best)) {
                self.report.repairs = state.repairs;
                best = Some(model);
            }
        }
        Ok(best.expect("there is a run"))
    }

    /// What a checkpoint must be of: all that decides the outcome, and the rows as far as they are known before they are read.
    fn name(&mut self, rows_total: Option<u64>) -> Result<String, Failure> {
        let rows = rows_total.unwrap_or(self.rows.counts.rows);
        let first = self.rows.first(1024)?;
        let mut hasher = Xxh3::new();
        first.numbers.iter().chain(&first.weights).for_each(|number| hasher.update(&number.to_le_bytes()));
        first.values.iter().for_each(|value| hasher.update(&value.to_le_bytes()));
        let Rule { iters, tol, patience } = self.args.rule();
        let origin = self.args.origin(self.first.as_ref());
        let origin: Vec<_> = origin.iter().map(|(name, value)| format!("{name}={value}")).collect();
        Ok(format!(
            "k={} dim={} metric={} {} iters={iters} tol={tol} patience={patience} runs={} weights={} rows={rows} first={:016x}",
            self.k,
            self.rows.dim,
            metric_name(self.metric),
            origin.join(" "),
            self.args.runs,
            if self.args.weights.is_some() { "yes" } else { "no" },
            hasher.digest(),
        ))
    }
}

/// What a model says of its inertia.
fn inertia(model: &Model) -> f64 {
    model.metadata.get("inertia").and_then(|text| text.parse().ok()).unwrap_or(f64::INFINITY)
}

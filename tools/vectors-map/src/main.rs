//! `vectors-map`: vectors in, a column out: where each lies on a map, two numbers.
//!
//! One output line per vector, in the same order. The vectors are read twice; those of a pipe wait in a temporary file.
//! Memory: the squares of the dimension (8 bytes each, twice) or of the landmarks, and a few blocks of about 1 MB a
//! thread; it does not grow with the input.

mod axes;
mod column;
mod moments;
mod neighbours;
mod sample;

use axes::Axes;
use cluster::Model;
use cluster::blocks::Blocks;
use cluster::vector::check;
use column::{Places, Writer};
use compute::kmeans::Metric;
use moments::Moments;
use neighbours::{Map, Work};
use pipe::crew;
use pipe::failure::Failure;
use pipe::flags::{Example, Flag, Options, Rule, Tool};
use pipe::lines::Tally;
use pipe::output::Output;
use pipe::progress::Meter;
use pipe::scratch::Scratch;
use pipe::settings::Common;
use pipe::shared;
use pipe::stats::Stats;
use pipe::vectors::{Dtype, Raw, Vectors};
use sample::Sample;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// How the map is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Method {
    Pca,
    Tsne,
}

struct Args {
    common: Common,
    method: Method,
    landmarks: usize,
    perplexity: f64,
    centroids: Option<PathBuf>,
}

impl Default for Args {
    fn default() -> Args {
        Args { common: Common::default(), method: Method::Pca, landmarks: 2000, perplexity: 30.0, centroids: None }
    }
}

impl Options for Args {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

const FLAGS: &[Flag<Args>] = &[
    Flag::value(
        "method",
        "pca|tsne",
        "What puts vectors near to each other",
        "`pca`: the two principal axes. `tsne`: the nearest neighbours, by t-SNE of some landmarks.",
        |args: &mut Args, value| {
            args.method = value.choice(&[("pca", Method::Pca), ("tsne", Method::Tsne)])?;
            Ok(())
        },
    )
    .default(|_| "pca".to_string()),
    Flag::value(
        "landmarks",
        "N",
        "How many vectors t-SNE places; the rest lie among them",
        "From 1 to 10000, drawn by --seed. The time of all iterations grows with the square, as memory does: 8 bytes \
         a pair, 32 MB for 2000.",
        |args: &mut Args, value| {
            args.landmarks = value.within(1, 10_000)?;
            Ok(())
        },
    )
    .default(|args| args.landmarks.to_string()),
    Flag::value(
        "perplexity",
        "X",
        "About how many neighbours a landmark has in t-SNE",
        "1 or more; a third of the other landmarks at the most.",
        |args: &mut Args, value| {
            args.perplexity = value.not_negative().ok().filter(|&x| x >= 1.0).ok_or("expected 1 or more")?;
            Ok(())
        },
    )
    .default(|args| args.perplexity.to_string()),
    shared::seed(),
    Flag {
        help: "They are printed in place of the vectors, a line each, from cluster 0 on, where they lie on the map of \
               the vectors: what cluster-report(1) reads as --map. A model of kmeans-fit(1), or a `.npy` array.",
        ..shared::centroids(|args: &mut Args, value| {
            args.centroids = Some(value.path()?);
            Ok(())
        })
    },
    shared::headerless(),
    shared::on_error(),
    shared::stats(),
    shared::threads(),
    shared::progress(),
];

const RULES: &[Rule] =
    &[Rule::OnlyWith(&["landmarks", "perplexity", "seed"], &["method=tsne"], "the principal axes are of all vectors")];

const TOOL: Tool<Args> = Tool {
    name: "vectors-map",
    summary: "vectors to a column of places on a map",
    operands: "[FILE]...",
    description: &[
        "Reads vectors from the FILEs or from standard input, `.npy` arrays one after the other as jsonl-embed(1) \
         writes them or with --headerless, and prints for each where it lies on a map: `x<TAB>y`, one line a vector, \
         in the same order, as the nearest 32-bit floats in shortest decimals.",
        "The map of `pca` is the plane in which all vectors vary most, around their mean: what scikit-learn's \
         `PCA(n_components=2)` gives. Far apart there is far apart; near there need not be near.",
        "The map of `tsne` is that of t-SNE (van der Maaten and Hinton, 2008) for a sample of the vectors, the \
         landmarks, with the constants of scikit-learn's `TSNE`, all pairs computed, from the principal axes on. Every \
         other vector lies beside its nearest landmark, within half the way to the next one on the map, towards the \
         mean of its 10 nearest (weighed by one over the square of the distance). Near there is mostly near; how large \
         or how far apart groups are says little.",
        "A vector of NaN alone is a missing row, and stays one: `nan<TAB>nan`. A vector with other values that are not \
         finite is a bad record.",
    ],
    sections: &[
        (
            "Exactness",
            &["The output is a function of the vectors and the flags: the same bytes on any threads and any \
                 processor. Covariances are sums over the rows in their order, in 64-bit floats, each product rounded \
                 before it is added; axes are found by subspace iteration to 1e-13 of the largest eigenvalue. Of an \
                 axis the value that is farthest from 0 is above it. Landmarks are the vectors with the smallest noise \
                 bits of seed and row. --stats reports the shares of the variance that the two axes have."],
        ),
        (
            "A dot a document",
            &[
                "To look at all documents, put their places and clusters beside them: `vectors-map vectors.npy | \
                 paste - clusters.tsv > dots.tsv`, and in Python `docs = pandas.read_json(\"docs.jsonl\", \
                 lines=True)`, `dots = pandas.read_csv(\"dots.tsv\", sep=\"\\t\", names=[\"x\", \"y\", \"cluster\", \
                 \"distance\"])`, `dots = docs.join(dots).dropna(subset=[\"x\"])`.",
                "In a browser, with embedding-atlas: `dots.to_parquet(\"dots.parquet\")`, then `embedding-atlas \
                 dots.parquet --text text --x x --y y`. As a picture, with datamapplot: \
                 `datamapplot.create_plot(dots[[\"x\", \"y\"]].to_numpy(), dots.cluster.astype(str).to_numpy())`.",
            ],
        ),
    ],
    flags: FLAGS,
    rules: RULES,
    examples: &[
        Example {
            about: "Clusters where they lie, on a page:",
            command: "jsonl-embed docs.jsonl > vectors.npy\n\
                      kmeans-fit -k 5 vectors.npy > centroids\n\
                      kmeans-assign --centroids centroids vectors.npy | cluster-stats --documents docs.jsonl > \
                      clusters.jsonl\n\
                      vectors-map --centroids centroids vectors.npy > map.tsv\n\
                      cluster-report --map map.tsv clusters.jsonl > report.html",
            output: "",
        },
        Example {
            about: "The same by nearest neighbours, and where each document lies:",
            command: "vectors-map --method tsne --landmarks 100 --centroids centroids vectors.npy > map.tsv\n\
                      vectors-map --method tsne --landmarks 100 vectors.npy > dots.tsv",
            output: "",
        },
    ],
    see_also: &["jsonl-embed(1)", "kmeans-fit(1)", "cluster-report(1)", "cluster-stats(1)", "corpus-utils(7)"],
};

/// Values of a block of rows: about 1 MB.
const BLOCK: usize = 1 << 18;

fn main() -> ExitCode {
    pipe::start(&TOOL, run)
}

fn run(args: Args) -> Result<(), Failure> {
    let common = &args.common;
    let model = args.centroids.as_deref().map(|path| Model::open(path, None)).transpose()?;
    let vectors = Vectors::open(&common.operands, common.raw, None)?;
    if let (Some(model), Some(path)) = (&model, &args.centroids) {
        vectors.check_dim(model.centroids.dim, path)?;
    }
    let Some(dim) = vectors.dim() else { return Ok(()) };
    let mut reading = Reading::new(&args, vectors, dim)?;
    while reading.next(&args)? {}
    let Reading { vectors, spool, moments, sample, seen, .. } = reading;
    let rounded = vectors.rounding().happened();
    let axes = axes_of(&moments);
    let shares = axes.shares.to_vec();
    let places = places(&args, dim, axes, sample)?;
    let mut output = Output::stdout();
    match model {
        Some(model) => {
            let mut text = Vec::new();
            places.write(&model.centroids.values, dim, &mut Work::default(), &mut text);
            output.write(&text)?;
        }
        None => write_column(&args, dim, again(vectors, spool.as_ref(), dim)?, places, &mut output)?,
    }
    output.finish()?;
    seen.tally.report(common);
    Stats::new(common, &seen.tally)
        .with("rows_missing", seen.missing)
        .with("rounded", rounded)
        .with("dim", dim)
        .with("explained_variance_ratio", shares)
        .write(common)
}

/// What there was.
#[derive(Default)]
struct Seen {
    tally: Tally,
    missing: u64,
}

/// The first time that the vectors are read.
struct Reading {
    vectors: Vectors,
    dim: usize,
    values: Vec<f32>,
    /// What comes only once.
    spool: Option<Scratch>,
    moments: Moments,
    sample: Option<Sample>,
    seen: Seen,
    meter: Meter,
}

impl Reading {
    fn new(args: &Args, vectors: Vectors, dim: usize) -> Result<Reading, Failure> {
        let common = &args.common;
        let spool = if vectors.rereadable() { None } else { Some(Scratch::new()?) };
        let sample = (args.method == Method::Tsne).then(|| Sample::new(common.seed.unwrap_or(0), args.landmarks));
        let meter = Meter::new(common, vectors.bytes_total());
        let (moments, values, seen) = (Moments::new(dim), Vec::new(), Seen::default());
        Ok(Reading { vectors, dim, values, spool, moments, sample, seen, meter })
    }

    /// Takes a block in; `false`: there are no more.
    fn next(&mut self, args: &Args) -> Result<bool, Failure> {
        let dim = self.dim;
        if self.vectors.next(&mut self.values, (4 * BLOCK / dim).max(1))? == 0 {
            return Ok(false);
        }
        if let Some(spool) = &mut self.spool {
            spool.append(&self.values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())?;
        }
        let mut good = Vec::new();
        for (place, row) in self.values.chunks_exact(dim).enumerate() {
            let bad = match check(row, Metric::Euclidean) {
                Ok(()) => {
                    good.extend_from_slice(row);
                    self.sample.iter_mut().for_each(|sample| sample.see(self.seen.tally.rows, row));
                    None
                }
                Err(None) => {
                    self.seen.missing += 1;
                    None
                }
                Err(Some(why)) => Some(format!("{}: {why}", self.vectors.place(place))),
            };
            self.seen.tally.add(1, u64::from(bad.is_some()), bad, args.common.on_error)?;
        }
        self.moments.add(&good, args.common.threads)?;
        self.seen.tally.bytes = self.vectors.bytes();
        self.meter.show(self.seen.tally.bytes, self.seen.tally.rows);
        Ok(true)
    }
}

fn axes_of(moments: &Moments) -> Axes {
    if moments.rows == 0 {
        // Nothing lies anywhere.
        return Axes::of(Vec::new(), &[]);
    }
    Axes::of(moments.mean(), &moments.covariances())
}

fn places(args: &Args, dim: usize, axes: Axes, sample: Option<Sample>) -> Result<Arc<Places>, Failure> {
    let landmarks = sample.map(Sample::values).filter(|landmarks| !landmarks.is_empty());
    Ok(Arc::new(match landmarks {
        None => Places::Plane(axes),
        Some(landmarks) => {
            let start: Vec<_> = landmarks.chunks_exact(dim).map(|row| axes.place(row)).collect();
            Places::Among(Map::new(landmarks, dim, &start, args.perplexity, args.common.threads)?)
        }
    }))
}

/// The vectors from the first on.
fn again(mut vectors: Vectors, spool: Option<&Scratch>, dim: usize) -> Result<Vectors, Failure> {
    match spool {
        Some(spool) if vectors.rows_overall() > 0 => {
            Vectors::open(&[spool.path()], Some(Raw { dim, dtype: Dtype::F32 }), None)
        }
        Some(_) => Ok(vectors),
        None => vectors.rewind().map(|()| vectors),
    }
}

/// Sends all vectors through the threads.
fn write_column(
    args: &Args,
    dim: usize,
    vectors: Vectors,
    places: Arc<Places>,
    output: &mut Output,
) -> Result<(), Failure> {
    let writers = (0..args.common.threads).map(|_| Writer::new(places.clone(), dim)).collect();
    let collect = |text: Vec<u8>| {
        output.write(&text)?;
        Ok(ControlFlow::Continue(()))
    };
    crew::run(writers, Blocks::new(vectors, None, dim, BLOCK).dealt(), collect).map(drop)
}

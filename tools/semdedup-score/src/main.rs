//! `semdedup-score`: vectors and their clusters in, a column out: how like each is to a better one of its cluster.
//!
//! One output line per vector, in the same order; it is a function of the vectors, their clusters and the flags.
//! Memory: what `--memory` says, whatever the number of rows and the size of clusters; the rest goes through temporary
//! files, which are written and read from end to end.

mod rank;
mod search;
mod sorter;

use cluster::flags::memory;
use cluster::memory::half_of_free;
use cluster::vector::check;
use compute::kmeans::Metric;
use pipe::clusters::read_cluster;
use pipe::column::{field, more_than, write_integer, write_number};
use pipe::failure::Failure;
use pipe::flags::{Example, Flag, Options, Rule, Tool};
use pipe::lines::Tally;
use pipe::output::Output;
use pipe::progress::Meter;
use pipe::rows::Rows;
use pipe::settings::{Common, Shard};
use pipe::shared;
use pipe::stats::Stats;
use pipe::vectors::Vectors;
use rank::{Keep, Ranking, end, read_distance, unequal};
use search::Search;
use sorter::{Sorted, Sorter};
use std::path::PathBuf;
use std::process::ExitCode;

struct Args {
    common: Common,
    clusters: PathBuf,
    cluster_field: usize,
    distance_field: Option<usize>,
    keep: Keep,
    part: Option<Shard>,
    memory: Option<u64>,
}

impl Default for Args {
    fn default() -> Args {
        Args {
            common: Common::default(),
            clusters: PathBuf::new(),
            cluster_field: 1,
            distance_field: None,
            keep: Keep::Farthest,
            part: None,
            memory: None,
        }
    }
}

impl Options for Args {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

const FLAGS: &[Flag<Args>] = &[
    shared::clusters(|args: &mut Args, value| {
        args.clusters = value.path()?;
        Ok(())
    }),
    shared::cluster_field(|args: &mut Args, value| {
        args.cluster_field = value.positive()?;
        Ok(())
    })
    .default(|args| args.cluster_field.to_string()),
    shared::distance_field(|args: &mut Args, value| {
        args.distance_field = Some(value.positive()?);
        Ok(())
    }),
    Flag::value(
        "keep",
        "nearest|farthest|first|random|FILE",
        "Which rows of a cluster come before which",
        "What is nearest to the centroid or farthest from it comes first, by the distance in the column of clusters; \
         or what comes first in the input; or what --seed says. FILE is a column, a row a vector, whose first field \
         says how much the vector is worth: what has most comes first, what has `nan` last. (`./first` is a file of \
         that name.) Among equals the earlier row comes first.",
        |args: &mut Args, value| {
            args.keep = Keep::of(value.path()?);
            Ok(())
        },
    )
    .reads()
    .default(|_| "farthest".to_string()),
    shared::seed(),
    Flag::value(
        "part",
        "I/N",
        "Do the I-th (from 0) of N parts of the clusters",
        "Those whose number leaves I when it is divided by N. The other rows are printed as `nan<TAB>-1`.",
        |args: &mut Args, value| {
            args.part = Some(Shard::parse(value.text()?).ok_or("expected I/N with 0 <= I < N")?);
            Ok(())
        },
    )
    .input(),
    shared::headerless(),
    shared::on_error(),
    shared::stats(),
    Flag {
        help: "What does not fit goes through temporary files. Without it half of what is free. The output does not \
               depend on it.",
        ..memory(|args: &mut Args, value| {
            args.memory = Some(value.bytes()?);
            Ok(())
        })
    },
    shared::threads(),
    shared::progress(),
];

const RULES: &[Rule] = &[
    Rule::Needed("clusters", "rows are held against those of their cluster"),
    Rule::OnlyWith(&["seed"], &["keep=random"], "nothing else is drawn"),
];

const TOOL: Tool<Args> = Tool {
    name: "semdedup-score",
    summary: "vectors and their clusters to a column of near-duplicates",
    operands: "[FILE]...",
    description: &[
        "Reads vectors from the FILEs or from standard input, `.npy` arrays one after the other as jsonl-embed(1) \
         writes them or with --headerless, and beside them their clusters. Within a cluster rows have an order \
         (--keep). Prints for each vector the highest cosine of the angle between it and one of its cluster that comes \
         before it, and the number of that row, counted from 0 over all input: `cosine<TAB>row`, one line a vector, in \
         the same order.",
        "This is semantic deduplication, SemDeDup (Abbas et al., 2023, SemDeDup: Data-efficient learning at web-scale \
         through semantic deduplication), without a threshold: to remove at eps, keep the rows whose cosine is not \
         above 1 - eps. The order of SemDeDup's own code and of NeMo Curator's `hard` is `farthest`, that of `easy` is \
         `nearest`.",
        "The row that comes first in its cluster is like none: `-1<TAB>-1`, which is below every threshold. A vector \
         of NaN alone is a missing row, as is one whose cluster is `-1` or `nan`: `nan<TAB>-1`; such rows are nobody's \
         duplicates. A vector with other values that are not finite, or of zeros, which has no direction, is a bad \
         record.",
        "A row may be most like one that is itself removed. SemDeDup removes it all the same, and so does a threshold \
         on this column: chains of near-duplicates go but for their first.",
    ],
    sections: &[
        (
            "Exactness",
            &[
                "Of rows that are equally like, the one that comes first is named. With x a vector and c one that \
                 comes before it, the largest `x.c / sqrt(c.c)` is most like, and the cosine is `x.c / sqrt(c.c) / \
                 sqrt(x.x)`, in 64-bit floats, in shortest decimals that read back as the same number; of copies it \
                 may be off 1 by 2^-52. Term i of a sum goes to partial sum i mod 16 by a fused multiply-add, i \
                 ascending; then partial sum l takes l + 8, then l + 4, l + 2, l + 1. This order does not change \
                 between releases.",
                "A fast pass in fewer bits goes before, with a proven bound on its error: where that leaves one \
                 candidate, it is the answer, and where it leaves several, they are decided in 64 bits. So the output \
                 is the same on every processor. `reranked_share` of --stats says for what share of the passes.",
            ],
        ),
        (
            "Memory",
            &["Half of --memory holds rows until they are sorted by cluster and order. What is more is sorted in \
                 parts, which go to a temporary file (in TMPDIR, as large as the vectors in 32 bits) and are merged \
                 from there, so that rows are read and written one after the other. A cluster that is larger than the \
                 other half is done in chunks: each time, what is left of it is written once and read once."],
        ),
        (
            "Parts",
            &["Clusters have nothing to do with each other, so several machines may do some each, with --part: of \
                 the N columns, at the most one has a number in a row. See the last example."],
        ),
    ],
    flags: FLAGS,
    rules: RULES,
    examples: &[
        Example {
            about: "What is left without near-duplicates, at an eps of 0.05:",
            command: "jsonl-embed docs.jsonl > vectors.npy\n\
                      kmeans-fit -k 5 vectors.npy > centroids\n\
                      kmeans-assign --centroids centroids vectors.npy > clusters.tsv\n\
                      semdedup-score --clusters clusters.tsv vectors.npy > near.tsv\n\
                      paste near.tsv docs.jsonl | awk -F '\\t' '!($1 > 0.95)' | cut -f 3- > kept.jsonl",
            output: "",
        },
        Example {
            about: "The same column in two parts:",
            command: "for i in 0 1; do semdedup-score --part $i/2 --clusters clusters.tsv vectors.npy > part$i.tsv; \
                      done\n\
                      paste part0.tsv part1.tsv |\n\
                      awk '{ print ($1 == \"nan\" ? $3 \"\\t\" $4 : $1 \"\\t\" $2) }' | cmp - near.tsv",
            output: "",
        },
    ],
    see_also: &["kmeans-assign(1)", "cluster-stats(1)", "topk-resample(1)", "jsonl-embed(1)", "corpus-utils(7)"],
};

/// Bytes of a row's key: its cluster, its rank, its number.
const KEY: usize = 20;

/// What a result holds: the cosine, and the number of the other row.
const RESULT: usize = 16;

/// Vectors are read in this many values at once, or one vector.
const READ: usize = 1 << 18;

/// Bytes of text that are written together.
const WRITE: usize = 1 << 20;

fn main() -> ExitCode {
    pipe::start(&TOOL, run)
}

fn run(args: Args) -> Result<(), Failure> {
    let common = &args.common;
    let mut input = Input::open(&args)?;
    let Some(dim) = input.vectors.dim() else { return write_stats(&args, &input.end()?) };
    let memory = args.memory.unwrap_or_else(half_of_free);
    let mut sorter = Sorter::new(4 * dim, memory / 2);
    let mut meter = Meter::new(common, input.vectors.bytes_total());
    while input.sort_block(&args, dim, &mut sorter)? {
        meter.show(input.vectors.bytes(), input.counts.tally.rows);
    }
    let mut counts = input.end()?;
    let mut results = Sorter::new(RESULT, memory / 8);
    let mut search = Search::new(dim, common.threads, memory / 8 * 3);
    let rows = counts.tally.rows;
    search.run(&mut sorter.finish()?, &mut results, |done| meter.say(|| format!("{done} of {rows} rows")))?;
    meter.end();
    (counts.dim, counts.clusters) = (dim, search.clusters);
    counts.reranked_share = search.reranked as f64 / search.passed as f64;
    write_column(rows, results.finish()?)?;
    counts.tally.report(common);
    write_stats(&args, &counts)
}

/// What there was.
#[derive(Default)]
struct Counts {
    tally: Tally,
    /// Rows without a vector or a cluster.
    missing: u64,
    clusters: u64,
    dim: usize,
    reranked_share: f64,
    rounded: bool,
}

/// Vectors, with what stands beside them.
struct Input {
    vectors: Vectors,
    values: Vec<f32>,
    clusters: Rows,
    ranking: Ranking,
    counts: Counts,
}

impl Input {
    fn open(args: &Args) -> Result<Input, Failure> {
        let common = &args.common;
        let clusters = Rows::open(std::slice::from_ref(&args.clusters))?;
        let ranking = Ranking::open(&args.keep, common.seed.unwrap_or(0))?;
        let vectors = Vectors::open(&common.operands, common.raw, None)?;
        Ok(Input { vectors, values: Vec::new(), clusters, ranking, counts: Counts::default() })
    }

    /// Sends the next vectors to the sorter; `false`: there are no more.
    fn sort_block(&mut self, args: &Args, dim: usize, sorter: &mut Sorter<KEY>) -> Result<bool, Failure> {
        let mut values = std::mem::take(&mut self.values);
        let rows = self.vectors.next(&mut values, (READ / dim).max(1))?;
        for (place, row) in values.chunks_exact(dim).enumerate() {
            let number = self.counts.tally.rows;
            let cluster = self.clusters.next_or_end(|line| args.read_cluster(line))?;
            let cluster = cluster.ok_or_else(|| unequal(more_than(number), "--clusters", number))?;
            let rank = self.ranking.next(number, cluster.map_or(0.0, |(_, distance)| distance))?;
            let bad = match (check(row, Metric::Cosine), cluster) {
                (Ok(()), Some((cluster, _))) if args.has_part(cluster) => {
                    let key = [&cluster.to_be_bytes()[..], &rank.to_be_bytes(), &number.to_be_bytes()].concat();
                    let key = key.try_into().expect("a key of this length");
                    sorter.add(key, |to| to.extend(row.iter().flat_map(|value| value.to_le_bytes())))?;
                    None
                }
                (Ok(()), Some(_)) => None,
                (Err(Some(why)), _) => Some(format!("{}: {why}", self.vectors.place(place))),
                (Ok(()) | Err(None), _) => {
                    self.counts.missing += 1;
                    None
                }
            };
            self.counts.tally.add(1, u64::from(bad.is_some()), bad, args.common.on_error)?;
        }
        self.values = values;
        Ok(rows > 0)
    }

    /// Checks that all end together.
    fn end(self) -> Result<Counts, Failure> {
        let Input { vectors, clusters, ranking, mut counts, .. } = self;
        end(clusters, "--clusters", counts.tally.rows)?;
        ranking.end(counts.tally.rows)?;
        (counts.tally.bytes, counts.rounded) = (vectors.bytes(), vectors.rounding().happened());
        Ok(counts)
    }
}

impl Args {
    /// The cluster of a row, and its distance where that matters.
    fn read_cluster(&self, line: &[u8]) -> Result<Option<(u32, f64)>, String> {
        let place = self.cluster_field;
        let Some(cluster) = read_cluster(field(line, place, "a cluster")?, place)? else { return Ok(None) };
        if !self.keep.by_distance() {
            return Ok(Some((cluster, 0.0)));
        }
        let place = self.distance_field.unwrap_or(place + 1);
        let text = field(line, place, "a distance (or --keep first, which needs none)")?;
        Ok(Some((cluster, read_distance(text, place)?)))
    }

    fn has_part(&self, cluster: u32) -> bool {
        self.part.is_none_or(|part| u64::from(cluster) % part.count == part.index)
    }
}

/// Writes a line for each row, also for those that have no result.
fn write_column(rows: u64, mut results: Sorted<8>) -> Result<(), Failure> {
    let (mut output, mut text) = (Output::stdout(), Vec::new());
    for row in 0..rows {
        if results.key() == Some(row.to_be_bytes()) {
            results.next(|result| write_result(result, &mut text))?;
        } else {
            text.extend_from_slice(b"nan\t-1\n");
        }
        if text.len() >= WRITE {
            output.write(&text)?;
            text.clear();
        }
    }
    output.write(&text)?;
    output.finish()
}

fn write_result(result: &[u8], text: &mut Vec<u8>) {
    let (cosine, other) = result.split_at(8);
    let cosine = f64::from_le_bytes(cosine.try_into().expect("8 bytes"));
    if cosine == f64::NEG_INFINITY {
        return text.extend_from_slice(b"-1\t-1\n");
    }
    write_number(cosine + 0.0, text);
    text.push(b'\t');
    write_integer(u64::from_le_bytes(other.try_into().expect("8 bytes")), text);
    text.push(b'\n');
}

fn write_stats(args: &Args, counts: &Counts) -> Result<(), Failure> {
    Stats::new(&args.common, &counts.tally)
        .with("rows_missing", counts.missing)
        .with("clusters", counts.clusters)
        .with("dim", counts.dim)
        .with("reranked_share", counts.reranked_share)
        .with("rounded", counts.rounded)
        .write(&args.common)
}

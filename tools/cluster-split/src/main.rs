//! `cluster-split`: documents and a column of clusters in, a folder for each cluster out.
//!
//! Lines go into `DIR/cluster_N/data_0.jsonl` and so on in input order, byte for byte; those without a cluster into
//! `DIR/missing`. `DIR` appears when all is written. One file is open at a time, and memory stays below 100 MB, and
//! three times the longest line, however many clusters and documents there are.

mod annotation;
mod partition;

use annotation::{Documents, Examiner, Form, write_fields};
use partition::{Limits, Partition};
use pipe::column::{field, read_cluster, read_number, unexpected};
use pipe::failure::Failure;
use pipe::flags::{Example, Flag, Options, Rule, Tool};
use pipe::folder::Folder;
use pipe::input::Input;
use pipe::lines::Lines;
use pipe::note;
use pipe::rows::Rows;
use pipe::settings::Common;
use pipe::shared;
use pipe::stats::Stats;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;

struct Args {
    common: Common,
    clusters: PathBuf,
    out: PathBuf,
    limits: Limits,
    annotate: bool,
    cluster_field: usize,
    score_field: Option<usize>,
}

impl Default for Args {
    fn default() -> Args {
        Args {
            common: Common::default(),
            clusters: PathBuf::new(),
            out: PathBuf::new(),
            limits: Limits { lines: u64::MAX, bytes: u64::MAX },
            annotate: false,
            cluster_field: 1,
            score_field: None,
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
    Flag::value(
        "score-field",
        "I",
        "Field of the score, counted from 1",
        "Without it the one behind the cluster.",
        |args: &mut Args, value| {
            args.score_field = Some(value.positive()?);
            Ok(())
        },
    )
    .input(),
    Flag::switch(
        "annotate",
        "Add the cluster and its score to each document",
        "Behind the last field come `label`, the cluster, and `score`, the number beside it in the column; all other \
         bytes stay. A document that is not an object, or has one of these fields, is a bad record.",
        |args: &mut Args, _| {
            args.annotate = true;
            Ok(())
        },
    ),
    Flag {
        help: "It is a folder: an empty one may be there; one with something in it is refused.",
        ..shared::out(|args: &mut Args, value| {
            args.out = value.path()?;
            Ok(())
        })
    },
    Flag::value("max-lines", "N", "Begin another file of the cluster after N lines", "", |args: &mut Args, value| {
        args.limits.lines = value.positive()?;
        Ok(())
    })
    .output(),
    Flag::value(
        "max-bytes",
        "BYTES",
        "Begin another file where one line more would exceed BYTES",
        "Such as 65536, 512M or 4G, for each file of a cluster. A line that is longer has a file to itself.",
        |args: &mut Args, value| {
            args.limits.bytes = value.bytes()?;
            if args.limits.bytes > 0 { Ok(()) } else { Err("expected a number of bytes above zero".to_string()) }
        },
    )
    .output(),
    Flag {
        help: "What a document that --annotate cannot add to does: end the run with exit 1, or go to DIR/missing as it \
         is, counted and reported at the end.",
        ..shared::on_error()
    },
    shared::shard(),
    shared::threads(),
    shared::stats(),
    shared::progress(),
];

const TOOL: Tool<Args> = Tool {
    name: "cluster-split",
    summary: "documents and clusters to a folder a cluster",
    operands: "[FILE]...",
    description: &[
        "Reads documents, any lines, from the FILEs or from standard input, and a column of clusters, and writes the \
         documents of cluster N to DIR/cluster_N/data_0.jsonl, data_1.jsonl and so on, in input order and byte for \
         byte. That is the layout in which ClusterClip groups its data.",
        "Documents without a cluster go to DIR/missing/data_0.jsonl and so on, and a note on stderr says how many they \
         are. Without --annotate, documents are not looked into.",
        "DIR is filled beside its place, under a name that begins with a dot and ends with `.tmp`, and renamed when it \
         is complete: it is there whole or not at all. What a killed run leaves under the other name can be removed.",
    ],
    sections: &[
        (
            "Annotation",
            &[
                "With --annotate, `{\"text\": \"a\"}` in cluster 3 at distance 0.25 becomes `{\"text\": \"a\", \"label\": 3, \"score\": 0.25}`. The names are ClusterClip's, whose score is the similarity: `kmeans-assign --similarity` writes such a column.",
            ],
        ),
        (
            "Memory and files",
            &["64 MiB of lines are collected, sorted by cluster, and appended to their files, one open at a time; so \
                 memory does not depend on the number of clusters or documents, but for some 60 bytes a cluster. Each \
                 line has to fit, three times."],
        ),
        (
            "Shards",
            &["With --shard the column is that of the shard. Each shard has a DIR of its own; the files of a \
                 cluster, shard by shard, are one after another those of the whole."],
        ),
    ],
    flags: FLAGS,
    rules: &[
        Rule::Needed("clusters", "it says which document goes where; kmeans-assign(1) writes it"),
        Rule::Needed("out", "there is a file a cluster, and standard output is one only"),
        Rule::OnlyWith(&["score-field"], &["annotate"], "without it nobody asks for a score"),
    ],
    examples: &[
        Example {
            about: "Two clusters by a column that is made by hand:",
            command: "awk '{ print NR % 2 \"\\t0.5\" }' docs.jsonl > clusters.tsv\n\
                      cluster-split --clusters clusters.tsv --out parts docs.jsonl\nfind parts -type f | sort",
            output: "parts/cluster_0/data_0.jsonl\nparts/cluster_1/data_0.jsonl\n",
        },
        Example {
            about: "The same with labels, at most 150 documents a file:",
            command: "cluster-split --annotate --max-lines 150 --clusters clusters.tsv --out labelled docs.jsonl\n\
                      wc -l < labelled/cluster_1/data_1.jsonl\n\
                      tail -n 1 labelled/cluster_1/data_1.jsonl | grep -o '\"label.*'",
            output: "50\n\"label\": 1, \"score\": 0.5}\n",
        },
    ],
    see_also: &["kmeans-assign(1)", "cluster-stats(1)", "clip-sample(1)", "corpus-utils(7)"],
};

fn main() -> ExitCode {
    pipe::start(&TOOL, run)
}

fn run(args: Args) -> Result<(), Failure> {
    let layout = Layout::new(&args);
    let documents = Input::open(&args.common)?;
    let mut rows = Rows::open(std::slice::from_ref(&args.clusters))?;
    let occupied = "expected no folder or an empty one, found one with something in it";
    let mut partition = Partition::new(Folder::create(&args.out, occupied)?, args.limits);

    let mut missing = 0;
    let (tally, _) = Lines::new(&args.common, documents).run(
        || Examiner::new(args.annotate),
        |documents| place(&documents, &mut rows, &layout, &mut partition, &mut missing).map(ControlFlow::Continue),
    )?;
    rows.end()?;
    let stats = Stats::new(&args.common, &tally).with("rows_missing", missing);
    let stats = stats.with("clusters", partition.clusters());
    let files = partition.finish()?;
    if missing > 0 {
        let folder = args.out.join("missing");
        let message =
            format!("{missing} of {} documents have no cluster: they are in {}", tally.rows, folder.display());
        note(&args.common, &message);
    }
    tally.report(&args.common);
    stats.with("files", files).write(&args.common)
}

/// In which fields of the column, counted from 1, things are.
struct Layout {
    cluster: usize,
    /// `None`: nobody asks.
    score: Option<usize>,
}

impl Layout {
    fn new(args: &Args) -> Layout {
        let cluster = args.cluster_field;
        Layout { cluster, score: args.annotate.then(|| args.score_field.unwrap_or(cluster + 1)) }
    }

    /// The cluster of a row and its score (0 where nobody asks).
    fn read(&self, row: &[u8]) -> Result<Option<(u32, f64)>, String> {
        let cluster = read_cluster(field(row, self.cluster, "a cluster")?, self.cluster)?;
        let Some((cluster, number)) = cluster.zip(self.score) else { return Ok(cluster.map(|cluster| (cluster, 0.0))) };
        let text = field(row, number, "a score")?;
        let score = read_number(text, number)?;
        if score.is_finite() { Ok(Some((cluster, score))) } else { Err(unexpected(text, number, "a finite number")) }
    }
}

/// Hands documents on with the next rows of the column. Those that have no row are only counted, by others.
fn place(
    documents: &Documents,
    rows: &mut Rows,
    layout: &Layout,
    partition: &mut Partition,
    missing: &mut u64,
) -> Result<(), Failure> {
    let mut fields = Vec::new();
    for (line, form) in documents.iter() {
        let row = rows.next(|row| layout.read(row))?;
        fields.clear();
        let at = match (row, form) {
            (Some((cluster, score)), Form::Open { at, empty }) => {
                write_fields(cluster, score, empty, &mut fields);
                at
            }
            _ => line.len(),
        };
        let cluster = row.map(|(cluster, _)| cluster).filter(|_| form != Form::Bad);
        *missing += u64::from(cluster.is_none());
        partition.push(cluster, [&line[..at], &fields, &line[at..]])?;
    }
    Ok(())
}

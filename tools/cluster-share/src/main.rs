//! `cluster-share`: a table of clusters in, the share of each and how many documents it gives out.
//!
//! One row a cluster, in order of the ids. What comes out is a plan that clip-sample draws by. Memory: the table.

mod numbers;
mod share;
mod table;

use numbers::{Numbers, Rounding};
use pipe::clusters::read_list;
use pipe::column::{write_integer, write_number};
use pipe::failure::Failure;
use pipe::flags::{Example, Flag, Options, Rule, Tool};
use pipe::lines::Tally;
use pipe::output::Output;
use pipe::settings::Common;
use pipe::stats::Stats;
use pipe::{note, shared};
use share::{Measure, Weights};
use std::path::PathBuf;
use std::process::ExitCode;
use table::Cluster;

/// A document is drawn at most so often.
const CLIP_MAX: u32 = 65_535;

#[derive(Default)]
struct Args {
    common: Common,
    count: Option<u64>,
    fraction: Option<f64>,
    measure: Measure,
    exclude: Option<PathBuf>,
    clip: Option<u32>,
    drawn: Option<bool>,
    size_weight: Option<f64>,
    density_weight: Option<f64>,
    diversity_weight: Option<f64>,
    minicorpus: bool,
}

impl Options for Args {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

const FLAGS: &[Flag<Args>] = &[
    Flag::value(
        "measure",
        "equal|size|density|diversity|loss",
        "What a cluster's share is in proportion to",
        "See Measures.",
        |args: &mut Args, value| {
            args.measure = value.choice(&[
                ("equal", Measure::Equal),
                ("size", Measure::Size),
                ("density", Measure::Density),
                ("diversity", Measure::Diversity),
                ("loss", Measure::Loss),
            ])?;
            Ok(())
        },
    )
    .default(|_| "equal".to_string()),
    Flag::value("size-weight", "W", "How much the size counts", "Without it 0.33.", |args: &mut Args, value| {
        args.size_weight = Some(value.not_negative()?);
        Ok(())
    }),
    Flag::value(
        "density-weight",
        "W",
        "How much the mean distance counts",
        "Without it 0.5 by density, 0.33 by diversity.",
        |args: &mut Args, value| {
            args.density_weight = Some(value.not_negative()?);
            Ok(())
        },
    ),
    Flag::value(
        "diversity-weight",
        "W",
        "How much the distance to the other clusters counts",
        "Without it 0.33.",
        |args: &mut Args, value| {
            args.diversity_weight = Some(value.not_negative()?);
            Ok(())
        },
    ),
    shared::exclude(|args: &mut Args, value| {
        args.exclude = Some(value.path()?);
        Ok(())
    }),
    shared::clip(|args: &mut Args, value| {
        args.clip = Some(value.number()?).filter(|clip| (1..=CLIP_MAX).contains(clip));
        args.clip.map(drop).ok_or_else(|| format!("expected a whole number from 1 to {CLIP_MAX}"))
    }),
    shared::shares(|args: &mut Args, value| {
        args.drawn = Some(value.choice(&[("exact", false), ("drawn", true)])?);
        Ok(())
    }),
    Flag {
        help: "`minicorpus`: each cluster's number is rounded as they do, and what it cannot fill is dropped: see \
         Measures.",
        ..shared::compat(|args: &mut Args, value| {
            args.minicorpus = value.choice(&[("minicorpus", true)])?;
            Ok(())
        })
    },
    shared::count(|args: &mut Args, value| {
        args.count = Some(value.number()?);
        Ok(())
    }),
    Flag {
        help: "Of the documents of the clusters that are not excluded, rounded to the nearest; above 1 it takes \
         --clip.",
        ..shared::fraction(|args: &mut Args, value| {
            args.fraction = Some(value.not_negative()?);
            Ok(())
        })
    },
    shared::seed(),
    shared::stats(),
];

const RULES: &[Rule] = &[
    Rule::AtMostOne(&["count", "fraction"], "both say how many documents there are to share out"),
    Rule::Needs("compat", &["count", "fraction"], "the scripts round numbers, so say how many documents are wanted"),
    Rule::Excludes(
        "compat",
        &["clip>1", "shares=drawn"],
        "the scripts take no document twice and leave no number to chance",
    ),
    Rule::OnlyWith(&["size-weight", "diversity-weight"], &["measure=diversity"], "no other measure has these parts"),
    Rule::OnlyWith(
        &["density-weight"],
        &["measure=density", "measure=diversity"],
        "no other measure looks at distances",
    ),
    Rule::OnlyWith(&["clip", "shares"], &["count", "fraction"], "they say how shares become numbers"),
    Rule::OnlyWith(&["seed"], &["shares=drawn", "clip>1"], "nothing else is left to chance"),
];

const TOOL: Tool<Args> = Tool {
    name: "cluster-share",
    summary: "a table of clusters to the share of each, and how many documents that is",
    operands: "[FILE]...",
    description: &[
        "Reads what is known of the clusters from the FILEs or from standard input, and prints a table with a header \
         and a row a cluster: cluster, size and share; with --count or --fraction also documents, how many the \
         cluster gives, and repeats, how often one of its documents is drawn on average.",
        "clip-sample(1) takes the table: `--plan FILE` draws the numbers of documents, `--by FILE` shares out any \
         number, a budget of tokens or a split in proportion to the shares. What a cluster cannot fill goes to the \
         others in proportion to their shares, until as many are placed as were asked for, or nothing is left; then a \
         note on stderr says how many are missing.",
        "A FILE is JSON Lines, an object a cluster as cluster-stats(1) prints it, or TAB-separated text with a header. \
         Of its fields `cluster` (or `cluster_idx`, as MiniCorpus calls it) and `total_examples` are needed; \
         `sum_distance` or `average_distance` are for density and diversity, `diversity` for diversity, and \
         `mean_loss` for loss. Others are ignored. Further FILEs add to what the first says of its clusters: a file \
         of losses need not have sizes, nor clusters that are excluded.",
    ],
    sections: &[(
        "Measures",
        &[
            "With n the size of a cluster, d the mean distance of its documents to its centroid, v the mean distance \
             of its centroid to the other centroids, and sums and maxima over the clusters that are not excluded, a \
             cluster's share is in proportion to:",
            "`equal`: 1. MiniPile (Kaddour, 2023) takes as many from each cluster; ClusterClip (Shao et al., 2024) \
             draws clusters evenly.",
            "`size`: n.",
            "`density`: n (1 - w d), with w = --density-weight: large clusters, less so where documents lie far from \
             the centroid (MiniCorpus, idea 3). d must be a cosine distance, or small: a share below 0 is an error.",
            "`diversity`: a n / sum(n) + b (1 - d) + c v / max(v), with a = --size-weight, b = --density-weight, c = \
             --diversity-weight (MiniCorpus, idea 6).",
            "`loss`: the mean loss of some model on documents of the cluster (MiniCorpus, idea 2).",
            "Shares become whole numbers by the divisor method of Webster and Sainte-Lague: documents are given out \
             one by one, each to the cluster with the largest share / (2 has + 1), ties to the lower id, and full \
             clusters take no further part. So numbers add up exactly, and more documents never make a number \
             smaller. With --shares drawn they are those of drawing clusters one after another, as clip-sample(1) \
             says.",
            "--compat minicorpus computes what the scripts of MiniCorpus (github.com/MK2112/minicorpus) do. `equal`: N \
             over the number of clusters, rounded down, and one more for the first clusters until that adds up to N. \
             Others: N times the proportion, rounded down (`loss`: to the nearest), where the proportion is the share \
             over the sum of all shares, but for `density` n / sum(n) (1 - w d), which does not add up to 1. Then \
             what exceeds the size of a cluster is dropped. So the total is seldom N: as a rule less, for `loss` \
             perhaps a few more; the note on stderr says how many are missing.",
        ],
    )],
    flags: FLAGS,
    rules: RULES,
    examples: &[
        Example {
            about: "What shares by size and density come to:",
            command: "printf 'cluster\\ttotal_examples\\tsum_distance\\n0\\t500\\t100\\n1\\t300\\t90\\n2\\t8\\t1\\n\
                      ' > table.tsv\ncluster-share --measure density -n 100 table.tsv | cut -f 1,2,4",
            output: "cluster\tsize\tdocuments\n0\t500\t63\n1\t300\t36\n2\t8\t1\n",
        },
        Example {
            about: "Clusters of a column, their shares, and documents drawn by these:",
            command: "sed 's/.*\"kind\": \"\\(.\\)\".*/\\1/; y/abc/012/' docs.jsonl | awk '{ print $1 \"\\t0.25\" }' \
                      > clusters.tsv\ncluster-stats clusters.tsv | cluster-share --measure density -n 99 > plan.tsv\n\
                      clip-sample --plan plan.tsv --clusters clusters.tsv docs.jsonl | wc -l",
            output: "99\n",
        },
    ],
    see_also: &["cluster-stats(1)", "clip-sample(1)", "corpus-utils(7)"],
};

fn main() -> ExitCode {
    pipe::start(&TOOL, run)
}

fn run(args: Args) -> Result<(), Failure> {
    let (clusters, tally) = clusters(&args)?;
    let shares = match args.minicorpus {
        true => share::proportions(&clusters, args.measure, weights(&args))?,
        false => share::shares(&clusters, args.measure, weights(&args))?,
    };
    let wanted = args.count.or(args.fraction.map(|fraction| table::fraction(&clusters, fraction)));
    let numbers = numbers(&args, &clusters, &shares);
    let given = wanted.map(|total| numbers.of(total));
    Output::stdout().write(&text(&clusters, &shares, args.minicorpus, given.as_deref()))?;
    let mut stats = Stats::new(&args.common, &tally).with("clusters", clusters.len());
    if let Some((wanted, given)) = wanted.zip(given) {
        let placed = given.iter().sum();
        if placed < wanted {
            note(&args.common, &numbers.shortfall(wanted, placed));
        }
        stats = stats.with("draws", placed).with("wanted", wanted).with("shortfall", wanted.saturating_sub(placed));
    }
    stats.write(&args.common)
}

/// The clusters of the tables, some of them excluded.
fn clusters(args: &Args) -> Result<(Vec<Cluster>, Tally), Failure> {
    let standard = [PathBuf::from("-")];
    let paths = if args.common.operands.is_empty() { &standard[..] } else { &args.common.operands };
    let Some(list) = &args.exclude else { return table::read(paths) };
    let excluded = read_list(list)?;
    let (mut clusters, tally) = table::read(paths)?;
    table::exclude(&mut clusters, &excluded, list, &paths[0])?;
    Ok((clusters, tally))
}

fn weights(args: &Args) -> Weights {
    let third = |weight: Option<f64>| weight.unwrap_or(0.33);
    let density = if args.measure == Measure::Density { 0.5 } else { 0.33 };
    Weights {
        size: third(args.size_weight),
        density: args.density_weight.unwrap_or(density),
        diversity: third(args.diversity_weight),
    }
}

fn numbers<'a>(args: &Args, clusters: &'a [Cluster], shares: &'a [f64]) -> Numbers<'a> {
    let clip = args.clip.unwrap_or(1);
    let rounding = match args.drawn {
        _ if args.minicorpus => Rounding::MiniCorpus(args.measure),
        Some(true) => Rounding::Drawn(args.common.seed.unwrap_or(0)),
        None if clip > 1 => Rounding::Drawn(args.common.seed.unwrap_or(0)),
        _ => Rounding::Exact,
    };
    Numbers { clusters, shares, rounding, clip }
}

/// The table. MiniCorpus' shares are of the whole already, and need not add up to it.
fn text(clusters: &[Cluster], shares: &[f64], of_whole: bool, given: Option<&[u64]>) -> Vec<u8> {
    let whole: f64 = if of_whole { 1.0 } else { shares.iter().sum() };
    let ratio = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
    let header = ["cluster", "size", "share", "documents", "repeats"];
    let mut text = header[..if given.is_some() { 5 } else { 3 }].join("\t").into_bytes();
    for (place, (cluster, &share)) in clusters.iter().zip(shares).enumerate() {
        text.push(b'\n');
        write_integer(u64::from(cluster.id), &mut text);
        text.push(b'\t');
        write_integer(cluster.size, &mut text);
        text.push(b'\t');
        write_number(ratio(share, whole), &mut text);
        if let Some(given) = given {
            text.push(b'\t');
            write_integer(given[place], &mut text);
            text.push(b'\t');
            write_number(ratio(given[place] as f64, cluster.size as f64), &mut text);
        }
    }
    text.push(b'\n');
    text
}

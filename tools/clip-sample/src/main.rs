//! `clip-sample`: documents and a column of their clusters in, documents drawn evenly from the clusters out.
//!
//! Lines leave byte for byte, as often as they are drawn. Each cluster has a share of the whole, and what is drawn from it is
//! decided by keys, so it depends on the data, the flags and nothing else. Memory: 12 bytes a row (16 with a budget of tokens),
//! and 4 with --cut; documents are streamed.

mod apportion;
mod census;
mod cut;
mod draws;
mod emission;
mod plan;
mod rows;
mod share;
mod shuffle;
mod temporary;

use cut::Cut;
use draws::{Draws, Parts, Pool};
use emission::{Emission, Sink, Taken};
use pipe::cut::first_row;
use pipe::failure::Failure;
use pipe::flags::{Example, Flag, Options, Tool};
use pipe::input::Input;
use pipe::lines::Tally;
use pipe::output::Output;
use pipe::settings::Common;
use pipe::settings::exclude;
use pipe::shared;
use pipe::stats::Stats;
use plan::{Plan, Rounding, Rules};
use rows::{Layout, Rows};
use share::{By, Weights};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use temporary::Spool;

/// A document is drawn at most so often.
const CLIP_MAX: u32 = 65_535;

#[derive(Default)]
struct Args {
    common: Common,
    clusters: Option<PathBuf>,
    count: Option<u64>,
    fraction: Option<f64>,
    tokens_max: Option<u64>,
    split: Option<Vec<(String, u64)>>,
    out: Option<PathBuf>,
    by: Option<By>,
    table: Option<PathBuf>,
    exclude: Option<PathBuf>,
    clip: Option<u32>,
    drawn: Option<bool>,
    size_weight: Option<f64>,
    density_weight: Option<f64>,
    diversity_weight: Option<f64>,
    minicorpus: bool,
    plan: bool,
    print_keys: bool,
    random_order: bool,
    cluster_field: Option<usize>,
    distance_field: Option<usize>,
    length_field: Option<usize>,
    key_field: Option<usize>,
    write_cut: Option<PathBuf>,
    cut: Option<PathBuf>,
    first_row: Option<u64>,
}

impl Options for Args {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

const FLAGS: &[Flag<Args>] = &[
    Flag::value(
        "clusters",
        "FILE",
        "The column of clusters: a row a document, as kmeans-assign(1) writes it, the cluster and the distance; other columns will do that have the cluster alone",
        "A row whose cluster is `-1` or `nan` is missing and never drawn.",
        |args: &mut Args, value| {
            args.clusters = Some(value.path()?);
            Ok(())
        },
    ),
    Flag::value("count", "N", "Draw N documents, repeats counted", "", |args: &mut Args, value| {
        args.count = Some(value.number()?);
        Ok(())
    })
    .short('n'),
    Flag::value(
        "fraction",
        "F",
        "Draw this many times the documents of the clusters that are not excluded, rounded to the nearest; above 1 it takes --clip",
        "",
        |args: &mut Args, value| {
            args.fraction = Some(value.not_negative()?);
            Ok(())
        },
    ),
    Flag::value(
        "tokens-max",
        "T",
        "Draw documents that have T tokens together at the most, each cluster as many as its share of T allows, up to the first that does not fit",
        "Needs --length-field.",
        |args: &mut Args, value| {
            args.tokens_max = Some(value.number()?);
            Ok(())
        },
    ),
    Flag::value(
        "split",
        "NAME=N,...",
        "Draw several corpora at once, N documents for each NAME, which share no document",
        "Needs --out.",
        |args: &mut Args, value| {
            args.split = Some(parts(value.text()?)?);
            Ok(())
        },
    ),
    Flag::value(
        "out",
        "DIR",
        "The folder for the files of a split, `DIR/NAME.jsonl`",
        "It must not be there, or be empty; it appears when all is written.",
        |args: &mut Args, value| {
            args.out = Some(value.path()?);
            Ok(())
        },
    ),
    Flag::value(
        "by",
        "equal|size|density|diversity|loss|FILE",
        "What a cluster's share goes by: see Shares",
        "A FILE has a line for each cluster: the cluster, TAB, its share on any scale.",
        |args: &mut Args, value| {
            args.by = Some(match value.text()? {
                "equal" => By::Equal,
                "size" => By::Size,
                "density" => By::Density,
                "diversity" => By::Diversity,
                "loss" => By::Loss,
                _ => By::File(value.path()?),
            });
            Ok(())
        },
    )
    .default(|_| "equal".to_string()),
    Flag::value(
        "table",
        "FILE",
        "What is known of the clusters: the output of cluster-stats(1), or TAB-separated text with a header that names its columns",
        "See Tables.",
        |args: &mut Args, value| {
            args.table = Some(value.path()?);
            Ok(())
        },
    ),
    Flag::value("exclude", "FILE", "Clusters to leave out, one a line", "", |args: &mut Args, value| {
        args.exclude = Some(value.path()?);
        Ok(())
    }),
    Flag::value(
        "clip",
        "C",
        "Draw a document C times at the most, up to 65535",
        "1, the default, is sampling without replacement; with more, a document that was drawn C times leaves the pool, as in ClusterClip.",
        |args: &mut Args, value| {
            args.clip = Some(value.number()?).filter(|clip| (1..=CLIP_MAX).contains(clip));
            args.clip.map(drop).ok_or_else(|| format!("expected a whole number from 1 to {CLIP_MAX}"))
        },
    ),
    Flag::value(
        "shares",
        "exact|drawn",
        "How shares become numbers: exact gives each cluster its share to the document; drawn draws one cluster after another in proportion to the shares, so that numbers vary with the seed as they do in ClusterClip",
        "Without it, exact where --clip is 1 or a budget is in tokens, otherwise drawn.",
        |args: &mut Args, value| {
            args.drawn = Some(value.choice(&[("exact", false), ("drawn", true)])?);
            Ok(())
        },
    ),
    Flag::value(
        "size-weight",
        "W",
        "With --by diversity: how much the size counts",
        "Without it 0.33.",
        |args: &mut Args, value| {
            args.size_weight = Some(value.not_negative()?);
            Ok(())
        },
    ),
    Flag::value(
        "density-weight",
        "W",
        "With --by density or diversity: how much the mean distance counts",
        "Without it 0.5 and 0.33.",
        |args: &mut Args, value| {
            args.density_weight = Some(value.not_negative()?);
            Ok(())
        },
    ),
    Flag::value(
        "diversity-weight",
        "W",
        "With --by diversity: how much the distance to the other clusters counts",
        "Without it 0.33.",
        |args: &mut Args, value| {
            args.diversity_weight = Some(value.not_negative()?);
            Ok(())
        },
    ),
    Flag::value(
        "compat",
        "minicorpus",
        "Round each cluster's number as MiniCorpus' scripts do, and drop what a cluster cannot fill: see Shares",
        "Goes with --clip 1 and a --count or --fraction.",
        |args: &mut Args, value| {
            args.minicorpus = value.choice(&[("minicorpus", true)])?;
            Ok(())
        },
    ),
    Flag::switch(
        "plan",
        "Print what would be drawn from each cluster of the --table, and read no documents: a header, then cluster, size, share, documents, and how often a document is drawn on average",
        "",
        |args: &mut Args, _| {
            args.plan = true;
            Ok(())
        },
    ),
    Flag::switch(
        "print-keys",
        "Print the key of each document, a row a document, and draw nothing",
        "paste(1) puts it beside the column for --key-field.",
        |args: &mut Args, _| {
            args.print_keys = true;
            Ok(())
        },
    ),
    Flag::value(
        "order",
        "input|random",
        "The order of the output: that of the input, repeats one after another, or a random one of all draws, in which only documents that are equal to the byte stand together",
        "",
        |args: &mut Args, value| {
            args.random_order = value.choice(&[("input", false), ("random", true)])?;
            Ok(())
        },
    )
    .default(|_| "input".to_string()),
    Flag::value("cluster-field", "I", "Field of the cluster, counted from 1", "Without it 1.", |args: &mut Args, value| {
        args.cluster_field = Some(value.positive()?);
        Ok(())
    }),
    Flag::value(
        "distance-field",
        "I",
        "Field of the distance, which --by density reads where there is no table",
        "Without it the one behind the cluster.",
        |args: &mut Args, value| {
            args.distance_field = Some(value.positive()?);
            Ok(())
        },
    ),
    Flag::value("length-field", "I", "Field of the length in tokens", "", |args: &mut Args, value| {
        args.length_field = Some(value.positive()?);
        Ok(())
    }),
    Flag::value(
        "key-field",
        "I",
        "Field of the document's key",
        "Without it keys are made from the documents, which are read twice then, or copied to a temporary file where they come from a pipe.",
        |args: &mut Args, value| {
            args.key_field = Some(value.positive()?);
            Ok(())
        },
    ),
    Flag::value(
        "write-cut",
        "FILE",
        "Draw nothing; write the thresholds that this sample comes down to",
        "The column holds all shards, one after another; documents are read for their keys only, and not at all with --key-field.",
        |args: &mut Args, value| {
            args.write_cut = Some(value.path()?);
            Ok(())
        },
    ),
    Flag::value(
        "cut",
        "FILE",
        "Apply thresholds to one shard: the documents and the column are the shard's",
        "",
        |args: &mut Args, value| {
            args.cut = Some(value.path()?);
            Ok(())
        },
    ),
    Flag::value(
        "first-row",
        "R",
        "With --cut: how many rows stand before this shard",
        "Needed only where a cut falls between equal documents.",
        |args: &mut Args, value| {
            args.first_row = Some(value.number()?);
            Ok(())
        },
    ),
    shared::seed(),
    shared::id_field(),
    shared::shard(),
    shared::threads(),
    shared::stats(),
    shared::progress(),
];

const TOOL: Tool<Args> = Tool {
    name: "clip-sample",
    summary: "documents and their clusters to a balanced sample",
    operands: "[FILE]...",
    description: &[
        "Reads documents, any lines, from the FILEs or from standard input, and a column of their clusters, and prints documents drawn from the clusters, byte for byte, each as often as it is drawn. Every cluster gets a share, and its documents are drawn at random with equal chances.",
        "What is drawn is a function of the seed and the documents' keys, so the same documents are drawn whatever their order, in one run or in shards, and a larger sample contains the smaller one. What a cluster cannot fill goes to the others in proportion to their shares, until exactly as many are drawn as were asked for, or nothing is left; then a note on stderr says how many are missing.",
        "Exactly one of --count, --fraction, --tokens-max and --split says how many.",
    ],
    sections: &[
        (
            "Shares",
            &[
                "With n the size of a cluster, d the mean distance of its documents to its centroid, v the mean distance of its centroid to the other centroids, and sums and maxima over the clusters that are not excluded, a cluster's share is in proportion to:",
                "`equal`: 1. MiniPile (Kaddour, 2023) takes as many from each cluster; ClusterClip (Shao et al., 2024) draws clusters evenly.",
                "`size`: n.",
                "`density`: n (1 - w d), with w = --density-weight: large clusters, less so where documents lie far from the centroid (MiniCorpus, idea 3). d must be a cosine distance, or small: a share below 0 is an error.",
                "`diversity`: a n / sum(n) + b (1 - d) + c v / max(v), with a = --size-weight, b = --density-weight, c = --diversity-weight (MiniCorpus, idea 6).",
                "`loss`: the mean loss of some model on documents of the cluster (MiniCorpus, idea 2).",
                "Shares become whole numbers by the divisor method of Webster and Sainte-Lague: documents are given out one by one, each to the cluster with the largest share / (2 has + 1), ties to the lower id, and full clusters take no further part. So numbers add up exactly, and more documents never make a number smaller.",
                "--compat minicorpus computes what the scripts of MiniCorpus (github.com/MK2112/minicorpus) do. `equal`: N over the number of clusters, rounded down, and one more for the first clusters until that adds up to N. Others: N times the proportion, rounded down (`loss`: to the nearest), where the proportion is the share over the sum of all shares, but for `density` n / sum(n) (1 - w d), which does not add up to 1. Then what exceeds the size of a cluster is dropped. So the total is seldom N: as a rule less, for `loss` perhaps a few more; the note on stderr says how many are missing.",
            ],
        ),
        (
            "Draws",
            &[
                "Each document has a clock that rings C = --clip times: the waits are C independent standard exponential numbers, made from the seed, the document's key and the purposes `clip-1`, `clip-2` and so on as corpus-utils(7) says, and the time of a ring is the sum of the waits so far. What is drawn from a cluster is its first m rings; ties go to the smaller key, then to the earlier row. Since waits have no memory, at every ring each document with rings left is equally likely to be the next. So m draws have exactly the distribution of drawing m times from the pool with equal chances, where a document that was drawn C times leaves the pool.",
                "With --shares drawn the numbers m are those of drawing clusters one after another, with chances in proportion to the shares of the clusters that have draws left: turn t (from 0) takes the noise bits of corpus-utils(7) for the key t and the purpose `clip-turn` (with a split `clip-turn-1` for its first part, and so on), and draws the cluster in which bits / 2^64 of the sum of these shares falls, in order of the ids. --by equal --clip C with C above 1 is ClusterClip to the letter: draw a cluster evenly, draw a document in it, drop it after C draws. With --shares exact each cluster has its exact number of draws, which are those that ClusterClip has on average while no cluster runs out, without the chance in them; documents are then drawn as above.",
                "Documents that are equal to the byte have equal keys and are drawn equally often but for a tie at the threshold; give them an --id-field to tell them apart.",
            ],
        ),
        (
            "Splits",
            &[
                "A split gives each part a share of the keys in proportion to its N: a document is in the part in whose share its noise for the purpose `clip-split` falls. From each part's documents its N are then drawn with the same shares of the clusters as everywhere. So a document is in the same part whatever else is in the corpus, however the clusters are drawn from, and for any N in the same proportions; and all its repeats are in that part.",
            ],
        ),
        (
            "Tables",
            &[
                "A table is JSON Lines, an object a cluster as cluster-stats(1) prints it, or TAB-separated text with a header. Of its fields `cluster` and `total_examples` are needed; `sum_distance` or `average_distance` are for density and diversity, `diversity` for diversity, and `mean_loss` for loss. Others are ignored. Beside documents it must be the table of their column: as many documents in each cluster. Without a table the clusters are those that have documents.",
            ],
        ),
        (
            "Memory",
            &[
                "12 bytes a row of the column: a cluster and a key; 4 more with --tokens-max; 4 in all with --cut. Where thresholds fall between documents that are equal to the byte, 40 bytes for each of these. Up to 4,294,967,295 rows. Cluster ids are below 16,777,216, and each id up to the highest costs some 200 bytes for each part of a split. --order random takes up to 150 MB more, and temporary files as large as the output, those of a pipe's documents as large as these. They are in TMPDIR (without it /tmp), have no name, and are gone when the run is, however it ends.",
            ],
        ),
        (
            "Shards",
            &[
                "A sample is one threshold on times for each cluster. So a corpus that is spread over jobs is sampled in three steps: each job assigns its shard to clusters; one run with --write-cut reads all columns, one after another, and writes the thresholds; each job applies them to its shard with --cut. The outputs, one after another, are that of a single run. The cut carries the seed, the clip and the split. The one run needs the keys: from the documents, or from a field of the column (--key-field) that the jobs have put there (--print-keys).",
                "Where several equal documents stand right at a threshold and only some of them fit, a shard must know how many rows stand before it: --shard counts them itself, otherwise --first-row says it. Such a shard without it is refused. --order random shuffles each shard by itself.",
            ],
        ),
    ],
    flags: FLAGS,
    rules: &[],
    examples: &[
        Example {
            about: "Two documents of each kind, kinds being the clusters here:",
            command: "sed 's/.*\"kind\": \"\\(.\\)\".*/\\1/; y/abc/012/' docs.jsonl > clusters.tsv\nclip-sample -n 6 --clusters clusters.tsv docs.jsonl > sample.jsonl\nsed 's/.*\"kind\": \"\\(.\\)\".*/\\1/' sample.jsonl | sort | uniq -c | tr -s ' '",
            output: " 2 a\n 2 b\n 2 c\n",
        },
        Example {
            about: "ClusterClip with each document five times at the most, in random order:",
            command: "clip-sample -n 1000 --clip 5 --order random --clusters clusters.tsv docs.jsonl | wc -l",
            output: "1000\n",
        },
        Example {
            about: "What shares by size and density come to:",
            command: "printf 'cluster\\ttotal_examples\\tsum_distance\\n0\\t500\\t100\\n1\\t300\\t90\\n2\\t8\\t1\\n' > table.tsv\nclip-sample --plan --by density -n 100 --table table.tsv",
            output: "",
        },
        Example {
            about: "A corpus to train on and two to test with:",
            command: "clip-sample --split train=100,validation=10,test=10 --out corpus --clusters clusters.tsv docs.jsonl\nwc -l < corpus/train.jsonl",
            output: "100\n",
        },
        Example {
            about: "In two shards, the same as in one run:",
            command: "clip-sample -n 6 --clusters clusters.tsv --write-cut cut docs.jsonl\nhead -n 200 clusters.tsv > c.0; tail -n +201 clusters.tsv > c.1\nhead -n 200 docs.jsonl > d.0; tail -n +201 docs.jsonl > d.1\nfor i in 0 1; do clip-sample --cut cut --clusters c.$i d.$i; done | cmp - sample.jsonl",
            output: "",
        },
        Example {
            about: "The same cut from columns and keys alone, as the jobs would make them:",
            command: "for i in 0 1; do clip-sample --print-keys d.$i | paste c.$i - > k.$i; done\ncat k.0 k.1 | clip-sample -n 6 --clusters - --key-field 2 --write-cut cut.2\ncmp cut cut.2",
            output: "",
        },
    ],
    see_also: &["kmeans-assign(1)", "cluster-stats(1)", "topk-resample(1)", "corpus-utils(7)"],
};

fn main() -> ExitCode {
    pipe::start(&TOOL, run)
}

/// Reads `NAME=N,...`.
fn parts(text: &str) -> Result<Vec<(String, u64)>, String> {
    let mut parts: Vec<(String, u64)> = Vec::new();
    for part in text.split(',') {
        let pair = part.split_once('=').and_then(|(name, count)| Some((name.to_string(), count.parse().ok()?)));
        let (name, count) =
            pair.filter(|(_, count)| *count < 1 << 48).ok_or("expected NAME=N, with commas between them")?;
        let sensible = name.chars().all(|letter| letter.is_alphanumeric() || "-_.".contains(letter));
        if name.is_empty() || name.starts_with('.') || !sensible {
            return Err(format!("{name:?}: expected a name of letters, digits, -, _ and ."));
        }
        if parts.iter().any(|(other, _)| *other == name) {
            return Err(format!("{name} comes twice"));
        }
        parts.push((name, count));
    }
    Ok(parts)
}

fn run(args: Args) -> Result<(), Failure> {
    if args.print_keys {
        return print_keys(&args);
    }
    check_combinations(&args)?;
    if args.plan {
        return print_plan(&args);
    }
    let column = args.clusters.as_deref().ok_or_else(|| Failure::usage("--clusters FILE is needed"))?;
    check_inputs(&args, column)?;
    match args.cut.as_deref() {
        Some(path) => apply(&args, &Cut::open(path)?, column),
        None => sample(&args, column),
    }
}

fn check_combinations(args: &Args) -> Result<(), Failure> {
    let amounts = [
        ("count", args.count.is_some()),
        ("fraction", args.fraction.is_some()),
        ("tokens-max", args.tokens_max.is_some()),
        ("split", args.split.is_some()),
    ];
    let (plan, cut, write) =
        (("plan", args.plan), ("cut", args.cut.is_some()), ("write-cut", args.write_cut.is_some()));
    let compat = ("compat", args.minicorpus);
    for flag in amounts {
        exclude(cut, flag)?;
    }
    for flag in [
        ("by", args.by.is_some()),
        ("table", args.table.is_some()),
        ("exclude", args.exclude.is_some()),
        ("clip", args.clip.is_some()),
        ("shares", args.drawn.is_some()),
        compat,
        write,
        ("seed", args.common.seed.is_some()),
        ("size-weight", args.size_weight.is_some()),
        ("density-weight", args.density_weight.is_some()),
        ("diversity-weight", args.diversity_weight.is_some()),
        ("key-field", args.key_field.is_some()),
    ] {
        exclude(cut, flag)?;
    }
    for flag in [cut, write, amounts[2], amounts[3], ("clusters", args.clusters.is_some()), ("out", args.out.is_some())]
    {
        exclude(plan, flag)?;
    }
    exclude(plan, ("order random", args.random_order))?;
    exclude(write, ("order random", args.random_order))?;
    exclude(write, ("out", args.out.is_some()))?;
    exclude(compat, ("tokens-max", args.tokens_max.is_some()))?;
    exclude(compat, ("split", args.split.is_some()))?;
    exclude(compat, ("clip above 1", args.clip.unwrap_or(1) > 1))?;
    exclude(compat, ("shares drawn", args.drawn == Some(true)))?;
    exclude(("tokens-max", args.tokens_max.is_some()), ("shares drawn", args.drawn == Some(true)))?;
    if !cut.1 && amounts.iter().filter(|(_, given)| *given).count() != 1 {
        return Err(Failure::usage("expected exactly one of --count, --fraction, --tokens-max and --split"));
    }
    check_needs(args)
}

fn check_needs(args: &Args) -> Result<(), Failure> {
    let needs = |given: bool, has: bool, why: &str| if given && !has { Err(Failure::usage(why)) } else { Ok(()) };
    let by = args.by.clone().unwrap_or_default();
    needs(args.first_row.is_some(), args.cut.is_some(), "--first-row goes with --cut")?;
    needs(args.plan, args.table.is_some(), "--plan needs a --table")?;
    needs(args.plan, args.common.operands.is_empty(), "--plan reads no documents, but there are operands")?;
    needs(args.tokens_max.is_some(), args.length_field.is_some(), "--tokens-max needs a --length-field")?;
    needs(args.split.is_some() && args.write_cut.is_none(), args.out.is_some(), "--split needs --out DIR")?;
    needs(args.out.is_some(), args.split.is_some() || args.cut.is_some(), "--out goes with --split")?;
    needs(by == By::Diversity, args.table.is_some(), "--by diversity needs a --table")?;
    needs(by == By::Loss, args.table.is_some(), "--by loss needs a --table")?;
    let density = matches!(by, By::Density | By::Diversity);
    needs(args.density_weight.is_some(), density, "--density-weight goes with --by density or diversity")?;
    needs(args.size_weight.is_some(), by == By::Diversity, "--size-weight goes with --by diversity")?;
    needs(args.diversity_weight.is_some(), by == By::Diversity, "--diversity-weight goes with --by diversity")
}

/// Standard input can be one thing only, and nothing is read that is not needed.
fn check_inputs(args: &Args, column: &Path) -> Result<(), Failure> {
    let operands = &args.common.operands;
    let is_standard = |path: &Path| path == Path::new("-");
    let reads_documents = args.write_cut.is_none() || args.key_field.is_none();
    if !reads_documents && !operands.is_empty() {
        return Err(Failure::usage("--write-cut with --key-field reads no documents, but there are operands"));
    }
    let by = match &args.by {
        Some(By::File(path)) => Some(path.as_path()),
        _ => None,
    };
    let sides = [Some(column), args.table.as_deref(), args.exclude.as_deref(), by, args.cut.as_deref()];
    let standard = sides.into_iter().flatten().filter(|path| is_standard(path)).count()
        + operands.iter().filter(|path| is_standard(path)).count()
        + usize::from(reads_documents && operands.is_empty());
    if standard > 1 {
        return Err(Failure::usage("standard input can be one thing only: documents, --clusters or another file"));
    }
    Ok(())
}

/// `--print-keys`.
fn print_keys(args: &Args) -> Result<(), Failure> {
    let amounts = [args.count.is_some(), args.fraction.is_some(), args.tokens_max.is_some(), args.split.is_some()];
    let others = [args.clusters.is_some(), args.plan, args.cut.is_some(), args.write_cut.is_some(), args.out.is_some()];
    if amounts.into_iter().chain(others).any(|given| given) {
        return Err(Failure::usage("--print-keys draws nothing: it goes with --id-field and the documents alone"));
    }
    let tally = rows::print_keys(&args.common, Input::open(&args.common)?, Output::stdout())?;
    Stats::new(&args.common, &tally).write(&args.common)
}

/// What the numbers of clusters depend on, by the flags.
fn rules(args: &Args) -> Rules {
    let by = args.by.clone().unwrap_or_default();
    let third = |weight: Option<f64>| weight.unwrap_or(0.33);
    let density = if by == By::Density { 0.5 } else { 0.33 };
    let weights = Weights {
        size: third(args.size_weight),
        density: args.density_weight.unwrap_or(density),
        diversity: third(args.diversity_weight),
    };
    let (clip, in_tokens) = (args.clip.unwrap_or(1), args.tokens_max.is_some());
    let rounding = match args.drawn {
        _ if args.minicorpus => Rounding::MiniCorpus,
        Some(true) => Rounding::Drawn,
        None if clip > 1 && !in_tokens => Rounding::Drawn,
        _ => Rounding::Exact,
    };
    let unit = if in_tokens { "tokens" } else { "documents" };
    Rules { by, weights, rounding, clip, seed: args.common.seed.unwrap_or(0), unit }
}

/// `--plan`.
fn print_plan(args: &Args) -> Result<(), Failure> {
    let table = args.table.as_deref().ok_or_else(|| Failure::usage("--plan needs a --table"))?;
    let clusters = census::read_table(table)?;
    let plan = Plan::new(&args.common, rules(args), clusters, args.exclude.as_deref(), Some(table))?;
    let total = args.count.unwrap_or_else(|| plan.fraction(args.fraction.unwrap_or(1.0)));
    let (text, placed) = plan.table(total);
    Output::stdout().write(&text)?;
    let stats = Stats::new(&args.common, &Tally::default()).with("clusters", plan.clusters()).with("draws", placed);
    stats.with("wanted", total).with("shortfall", total.saturating_sub(placed)).write(&args.common)
}

/// Everything in one run, or the cut of it.
fn sample(args: &Args, column: &Path) -> Result<(), Failure> {
    let (common, rules) = (&args.common, rules(args));
    let (seed, clip) = (rules.seed, rules.clip);
    let mut files = open(args)?;
    let table = args.table.as_deref().map(census::read_table).transpose()?;
    let with_distances = table.is_none() && rules.by == By::Density;
    let mut rows = Rows::read(common, column, layout(args, with_distances))?;
    if let (Some(table), Some(path)) = (&table, &args.table) {
        census::compare(table, &rows.sizes, path, column)?;
    }
    let clusters = table.unwrap_or_else(|| rows.census(with_distances));
    let plan = Plan::new(common, rules, clusters, args.exclude.as_deref(), args.table.as_deref())?;
    if args.key_field.is_none() {
        let documents = files.documents.take().expect("documents without a key field are opened");
        rows.add_keys(common, documents, files.spool.as_mut())?;
    }
    let parts = Parts::new(totals(args, &plan), seed);
    let draws = Draws::new(seed, clip);
    let pool = Pool { rows: &rows, draws: &draws, parts: &parts, threads: common.threads };
    let stock = pool.stock();
    let budgets = plan.budgets(&parts, &stock, rows.sizes.len());
    let wanted = parts.list.iter().map(|(_, count)| count).sum::<u64>();
    let missing = wanted.saturating_sub(budgets.iter().sum());
    let cut = Cut::new(seed, clip, parts.clone(), &pool.bounds(&stock, &budgets));
    let taken = match (files.cut.take(), files.sink.take()) {
        (Some(mut file), _) => {
            file.write(&cut.text())?;
            file.finish()?;
            Taken::default()
        }
        (None, Some(sink)) => {
            let emission = Emission { common, rows: &rows, cut: &cut, draws: &draws, first_row: 0 };
            emission.run(files.documents_again(common)?, sink)?
        }
        (None, None) => unreachable!("a cut or documents are written"),
    };
    stats(common, &taken, &rows, Some((wanted, missing)))
}

/// What a sample reads and writes besides the column; all of it is opened before anything is read.
struct Files {
    documents: Option<Input>,
    spool: Option<Spool>,
    sink: Option<Sink>,
    cut: Option<Output>,
}

fn open(args: &Args) -> Result<Files, Failure> {
    let common = &args.common;
    let from_pipe = common.operands.is_empty() || !common.operands.iter().all(|path| path.is_file());
    let (keyed, cuts) = (args.key_field.is_some(), args.write_cut.is_some());
    let by = match &args.by {
        Some(By::File(path)) => Some(path),
        _ => None,
    };
    for path in [args.table.as_ref(), args.exclude.as_ref(), by].into_iter().flatten() {
        Input::of(std::slice::from_ref(path), None)?;
    }
    let documents = if keyed && cuts { None } else { Some(Input::open(common)?) };
    let spool = if from_pipe && !keyed && !cuts { Some(Spool::new()?) } else { None };
    let names: Vec<&str> = args.split.iter().flatten().map(|(name, _)| name.as_str()).collect();
    let shuffle = args.random_order.then_some(common.seed.unwrap_or(0));
    let sink = if cuts { None } else { Some(Sink::new(args.out.as_deref(), &names, shuffle)?) };
    let cut = args.write_cut.as_deref().map(Output::create).transpose()?;
    Ok(Files { documents, spool, sink, cut })
}

impl Files {
    /// The documents from their beginning, after they were read for their keys, if they were.
    fn documents_again(&mut self, common: &Common) -> Result<Input, Failure> {
        match (self.documents.take(), &self.spool) {
            (Some(unread), _) => Ok(unread),
            (None, Some(spool)) => Input::of(&[spool.path()], None),
            (None, None) => Input::open(common),
        }
    }
}

/// How much is wanted: in all, or of each part.
fn totals(args: &Args, plan: &Plan) -> Vec<(String, u64)> {
    let one = |count: u64| vec![(String::new(), count)];
    match (args.count, args.fraction, args.tokens_max, &args.split) {
        (Some(count), ..) => one(count),
        (_, Some(fraction), ..) => one(plan.fraction(fraction)),
        (_, _, Some(tokens), _) => one(tokens),
        (.., split) => split.clone().unwrap_or_default(),
    }
}

/// One shard by a cut.
fn apply(args: &Args, cut: &Cut, column: &Path) -> Result<(), Failure> {
    let common = &args.common;
    let names: Vec<&str> = cut.parts.list.iter().map(|(name, _)| name.as_str()).collect();
    if (names != [""]) != args.out.is_some() {
        return Err(Failure::usage("--out goes with a --cut that was made with --split, and with no other"));
    }
    let input = Input::open(common)?;
    let sink = Sink::new(args.out.as_deref(), &names, args.random_order.then_some(cut.seed))?;
    let rows = Rows::read(common, column, layout(args, false))?;
    let draws = Draws::new(cut.seed, cut.clip);
    let first_row = first_row(cut.needs_rows(), args.first_row, common)?;
    let taken = Emission { common, rows: &rows, cut, draws: &draws, first_row }.run(input, sink)?;
    stats(common, &taken, &rows, None)
}

fn layout(args: &Args, with_distances: bool) -> Layout {
    let cluster = args.cluster_field.unwrap_or(1);
    let distance = args.distance_field.unwrap_or(cluster + 1);
    let distance = with_distances.then_some(distance);
    Layout { cluster, distance, length: args.length_field, key: args.key_field }
}

/// Writes the statistics; `plan` is how many were wanted, and how many of these are missing.
fn stats(common: &Common, taken: &Taken, rows: &Rows, plan: Option<(u64, u64)>) -> Result<(), Failure> {
    let mut stats = Stats::new(common, &taken.tally)
        .with("rows", rows.clusters.len())
        .with("rows_missing", rows.missing)
        .with("clusters", rows.sizes.iter().filter(|&&size| size > 0).count())
        .with("draws", taken.draws)
        .with("documents", taken.documents);
    if !rows.lengths.is_empty() {
        stats = stats.with("tokens", taken.tokens);
    }
    if let Some((wanted, missing)) = plan {
        stats = stats.with("wanted", wanted).with("shortfall", missing);
    }
    stats.write(common)
}

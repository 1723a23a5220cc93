//! `clip-sample`: documents and a column of their clusters in, documents drawn evenly from the clusters out.
//!
//! Lines leave byte for byte, as often as they are drawn. Each cluster has a share of the whole, and what is drawn from
//! it is decided by keys, so it depends on the data, the flags and nothing else. Memory: 12 bytes a row (16 with a
//! budget of tokens), and 4 with --cut; documents are streamed.

mod budget;
mod cut;
mod draws;
mod emission;
mod plan;
mod rows;
mod split;

use cut::Cut;
use draws::{Draws, Parts, Pool};
use emission::{Emission, Sink, Taken};
use pipe::cut::first_row;
use pipe::failure::Failure;
use pipe::flags::{Example, Flag, Options, Rule, Tool};
use pipe::input::Input;
use pipe::output::Output;
use pipe::scratch::Scratch;
use pipe::settings::Common;
use pipe::shared;
use pipe::stats::Stats;
use plan::{By, Plan, Rules};
use rows::{Layout, Rows};
use split::Split;
use std::path::PathBuf;
use std::process::ExitCode;

/// A document is drawn at most so often.
const CLIP_MAX: u32 = 65_535;

#[derive(Default)]
struct Args {
    common: Common,
    clusters: PathBuf,
    count: Option<u64>,
    fraction: Option<f64>,
    budget: Option<u64>,
    split: Option<Split>,
    out: Option<PathBuf>,
    by: By,
    exclude: Option<PathBuf>,
    clip: Option<u32>,
    drawn: Option<bool>,
    cluster_field: Option<usize>,
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
    shared::clusters(|args: &mut Args, value| {
        args.clusters = value.path()?;
        Ok(())
    }),
    Flag::value(
        "by",
        "equal|size|FILE",
        "What a cluster's share of the draws goes by",
        "`equal`: all alike. `size`: the number of its documents. A FILE is a table of cluster-share(1), or has a line \
         for each cluster: the cluster, TAB, its share on any scale.",
        |args: &mut Args, value| {
            args.by = match value.text()? {
                "equal" => By::Equal,
                "size" => By::Size,
                _ => By::Shares(value.path()?),
            };
            Ok(())
        },
    )
    .reads()
    .default(|_| "equal".to_string()),
    shared::exclude(|args: &mut Args, value| {
        args.exclude = Some(value.path()?);
        Ok(())
    }),
    Flag {
        help: "From 1 to 65535. 1, the default, is sampling without replacement; with more, a document that was drawn \
         C times leaves the pool, as in ClusterClip.",
        ..shared::clip(|args: &mut Args, value| {
            args.clip = Some(value.number()?).filter(|clip| (1..=CLIP_MAX).contains(clip));
            args.clip.map(drop).ok_or_else(|| format!("expected a whole number from 1 to {CLIP_MAX}"))
        })
    },
    Flag {
        help: "`exact` gives each cluster its share to the document. `drawn` draws one cluster after another in \
         proportion to the shares, so that numbers vary with the seed as they do in ClusterClip. Without it, exact \
         where --clip is 1 or with --budget, otherwise drawn.",
        ..shared::shares(|args: &mut Args, value| {
            args.drawn = Some(value.choice(&[("exact", false), ("drawn", true)])?);
            Ok(())
        })
    },
    Flag {
        help: "Repeats are counted.",
        ..shared::count(|args: &mut Args, value| {
            args.count = Some(value.number()?);
            Ok(())
        })
    },
    Flag {
        help: "Of the documents of the clusters that are not excluded, rounded to the nearest; above 1 it takes \
         --clip.",
        ..shared::fraction(|args: &mut Args, value| {
            args.fraction = Some(value.not_negative()?);
            Ok(())
        })
    },
    Flag {
        help: "Each cluster gives as many documents as its share of N allows; what is left of N goes to others until \
         nothing more fits. See Budgets.",
        ..shared::budget(|args: &mut Args, value| {
            args.budget = Some(value.number()?);
            Ok(())
        })
    },
    Flag::value(
        "split",
        "NAME=N,...",
        "Divide into parts that share no document",
        "N documents for each NAME, or P% of all that are not excluded, in files of their own. See Splits.",
        |args: &mut Args, value| {
            args.split = Some(Split::parse(value.text()?)?);
            Ok(())
        },
    )
    .count(),
    Flag {
        help: "It must be a plan for these clusters: as many documents in each.",
        ..shared::plan(|args: &mut Args, value| {
            args.by = By::Plan(value.path()?);
            Ok(())
        })
    }
    .count(),
    Flag {
        help: "The folder for the files of a split, `PATH/NAME.jsonl`. It must not be there, or be empty; it appears \
         when all is written.",
        ..shared::out(|args: &mut Args, value| {
            args.out = Some(value.path()?);
            Ok(())
        })
    },
    Flag {
        help: "Without it 1.",
        ..shared::cluster_field(|args: &mut Args, value| {
            args.cluster_field = Some(value.positive()?);
            Ok(())
        })
    },
    Flag {
        help: "The length is in tokens.",
        ..shared::length_field(|args: &mut Args, value| {
            args.length_field = Some(value.positive()?);
            Ok(())
        })
    },
    Flag {
        help: "jsonl-key(1) makes the column; each key is compared with that of its document (--id-field, as the \
         column was made). Without it keys are made from the documents, which are read twice then, or copied to a \
         temporary file where they come from a pipe.",
        ..shared::key_field(|args: &mut Args, value| {
            args.key_field = Some(value.positive()?);
            Ok(())
        })
    },
    Flag {
        help: "Nothing is drawn. The column holds all shards, one after another; documents are read for their keys \
         only, and not at all with --key-field.",
        ..shared::write_cut(|args: &mut Args, value| {
            args.write_cut = Some(value.path()?);
            Ok(())
        })
    },
    shared::cut(|args: &mut Args, value| {
        args.cut = Some(value.path()?);
        Ok(())
    }),
    shared::first_row(|args: &mut Args, value| {
        args.first_row = Some(value.number()?);
        Ok(())
    }),
    shared::seed(),
    shared::id_field_of_keys(),
    shared::shard(),
    shared::threads(),
    shared::stats(),
    shared::progress(),
];

const RULES: &[Rule] = &[
    Rule::Needed("clusters", "it says which cluster each document is in, as kmeans-assign(1) does"),
    Rule::OneOf(&["count", "fraction", "budget", "split", "plan", "cut"], "each says how many documents are drawn"),
    Rule::Excludes(
        "cut",
        &["by", "exclude", "clip", "shares", "write-cut", "seed", "key-field"],
        "the thresholds of a cut have been chosen already; say so where it is written",
    ),
    Rule::Excludes("plan", &["by", "exclude", "shares"], "the numbers stand in the plan; say so to cluster-share(1)"),
    Rule::Excludes("budget", &["shares=drawn"], "clusters that are drawn give documents, not tokens"),
    Rule::Needs("budget", &["length-field"], "the column must say how long each document is"),
    Rule::Needs("split", &["out", "write-cut"], "each part is a file of its own"),
    Rule::OnlyWith(&["out"], &["split", "cut"], "one sample is standard output"),
    Rule::Excludes("write-cut", &["out"], "nothing is drawn; name the folder where the cut is applied"),
    Rule::NoOperands("write-cut&key-field", "the keys are in the column, and nothing is drawn"),
    Rule::OnlyWith(&["first-row"], &["cut"], "a whole sample begins at row 0"),
];

const TOOL: Tool<Args> = Tool {
    name: "clip-sample",
    summary: "documents and their clusters to a balanced sample",
    operands: "[FILE]...",
    description: &[
        "Reads documents, any lines, from the FILEs or from standard input, and a column of their clusters, and prints \
         documents drawn from the clusters, byte for byte, each as often as it is drawn. Every cluster gets a share, \
         and its documents are drawn at random with equal chances.",
        "What is drawn is a function of the seed and the documents' keys, so the same documents are drawn whatever \
         their order, in one run or in shards, and a larger sample contains the smaller one. What a cluster cannot \
         fill goes to the others in proportion to their shares, until exactly as many are drawn as were asked for, or \
         nothing is left; then a note on stderr says how many are missing.",
    ],
    sections: &[
        (
            "Shares",
            &[
                "`equal` is the rule of MiniPile (Kaddour, 2023), which takes as many from each cluster, and of \
                 ClusterClip (Shao et al., 2024), which draws clusters evenly. cluster-share(1) has more: density, \
                 diversity and loss, and the numbers of MiniCorpus' scripts.",
                "Shares become whole numbers by the divisor method of Webster and Sainte-Lague: documents are given \
                 out one by one, each to the cluster with the largest share / (2 has + 1), ties to the lower id, and \
                 full clusters take no further part. So numbers add up exactly, and more documents never make a \
                 number smaller.",
            ],
        ),
        (
            "Draws",
            &[
                "Each document has a clock that rings C = --clip times: the waits are C independent standard \
                 exponential numbers, made from the seed, the document's key and the purposes `clip-1`, `clip-2` and \
                 so on as corpus-utils(7) says, and the time of a ring is the sum of the waits so far. What is drawn \
                 from a cluster is its first m rings; ties go to the smaller key, then to the earlier row. Since \
                 waits have no memory, at every ring each document with rings left is equally likely to be the next. \
                 So m draws have exactly the distribution of drawing m times from the pool with equal chances, where \
                 a document that was drawn C times leaves the pool.",
                "With --shares drawn the numbers m are those of drawing clusters one after another, with chances in \
                 proportion to the shares of the clusters that have draws left: turn t (from 0) takes the noise bits \
                 of corpus-utils(7) for the key t and the purpose `clip-turn` (with a split `clip-turn-1` for its \
                 first part, and so on), and draws the cluster in which bits / 2^64 of the sum of these shares falls, \
                 in order of the ids. --by equal --clip C with C above 1 is ClusterClip to the letter: draw a cluster \
                 evenly, draw a document in it, drop it after C draws. With --shares exact each cluster has its exact \
                 number of draws, which are those that ClusterClip has on average while no cluster runs out, without \
                 the chance in them; documents are then drawn as above.",
                "Documents that are equal to the byte have equal keys and are drawn equally often but for a tie at the \
                 threshold; give them an --id-field to tell them apart.",
            ],
        ),
        (
            "Budgets",
            &[
                "Each cluster gives documents in the order of its draws, up to the first that does not fit into its \
                 share of the --budget. What all of them leave is shared out again in the same way, on top of the \
                 budget, for as long as that brings documents and these fit. In the end each cluster, from the one \
                 that leaves most of its share, gets its next document if that fits. So no cluster is more than a \
                 document above its share, and what is left is shorter than the next document of every other. A \
                 larger budget contains a smaller one but for those documents at the end.",
                "Lengths are a field of the column. tokens-length(1) counts tokens, and paste(1) puts its column \
                 beside that of the clusters.",
            ],
        ),
        (
            "Splits",
            &[
                "A split gives each part a share of the keys in proportion to its N: a document is in the part in \
                 whose share its noise for the purpose `clip-split` falls. From each part's documents its N are then \
                 drawn with the same shares of the clusters as everywhere. So a document is in the same part whatever \
                 else is in the corpus, however the clusters are drawn from, and for any N in the same proportions; \
                 and all its repeats are in that part.",
                "Shares of keys hold on average: where nearly all documents are wanted, a part may have too few while \
                 another has some to spare. Then the ends of the shares are moved so that each part has documents in \
                 proportion to its N, and every part is filled if there are enough. That depends on the corpus, and \
                 --write-cut carries the ends.",
            ],
        ),
        (
            "Memory",
            &["12 bytes a row of the column: a cluster and a key; 4 more with --budget; 4 in all with --cut. Where \
                 thresholds fall between documents that are equal to the byte, 40 bytes for each of these. Up to \
                 4,294,967,295 rows. Cluster ids are below 16,777,216, and each id up to the highest costs 12 bytes. \
                 Documents that come from a pipe without keys are copied to a temporary file in TMPDIR (without it \
                 /tmp), which has no name and is gone when the run is, however it ends."],
        ),
        (
            "Shards",
            &[
                "A sample is one threshold on times for each cluster. So a corpus that is spread over jobs is sampled \
                 in three steps: each job assigns its shard to clusters; one run with --write-cut reads all columns, \
                 one after another, and writes the thresholds; each job applies them to its shard with --cut. The \
                 outputs, one after another, are that of a single run. The cut carries the seed, the clip and the \
                 split. The one run needs the keys: from the documents, or from a field of the column (--key-field) \
                 that the jobs have put there (jsonl-key(1)).",
                "Where several equal documents stand right at a threshold and only some of them fit, a shard must know \
                 how many rows stand before it: --shard counts them itself, otherwise --first-row says it. Such a \
                 shard without it is refused.",
            ],
        ),
    ],
    flags: FLAGS,
    rules: RULES,
    examples: &[
        Example {
            about: "Two documents of each kind, kinds being the clusters here:",
            command: "sed 's/.*\"kind\": \"\\(.\\)\".*/\\1/; y/abc/012/' docs.jsonl > clusters.tsv\n\
                      clip-sample -n 6 --clusters clusters.tsv docs.jsonl > sample.jsonl\n\
                      sed 's/.*\"kind\": \"\\(.\\)\".*/\\1/' sample.jsonl | sort | uniq -c | tr -s ' '",
            output: " 2 a\n 2 b\n 2 c\n",
        },
        Example {
            about: "ClusterClip with each document five times at the most, in random order:",
            command: "clip-sample -n 1000 --clip 5 --clusters clusters.tsv docs.jsonl | jsonl-shuffle | wc -l",
            output: "1000\n",
        },
        Example {
            about: "By a plan that cluster-share(1) works out, here from distances that are all 0.25:",
            command: "sed 's/$/\\t0.25/' clusters.tsv | cluster-stats | cluster-share --measure size -n 100 > \
                      plan.tsv\nclip-sample --plan plan.tsv --clusters clusters.tsv docs.jsonl | wc -l",
            output: "100\n",
        },
        Example {
            about: "A corpus to train on and two to test with:",
            command: "clip-sample --split train=100,validation=10,test=10 --out corpus --clusters clusters.tsv \
                      docs.jsonl\nwc -l < corpus/train.jsonl",
            output: "100\n",
        },
        Example {
            about: "In two shards, the same as in one run:",
            command: "clip-sample -n 6 --clusters clusters.tsv --write-cut cut docs.jsonl\n\
                      head -n 200 clusters.tsv > c.0; tail -n +201 clusters.tsv > c.1\n\
                      head -n 200 docs.jsonl > d.0; tail -n +201 docs.jsonl > d.1\n\
                      for i in 0 1; do clip-sample --cut cut --clusters c.$i d.$i; done | cmp - sample.jsonl",
            output: "",
        },
        Example {
            about: "The same cut from columns and keys alone, as the jobs would make them:",
            command: "for i in 0 1; do jsonl-key d.$i | paste c.$i - > k.$i; done\n\
                      cat k.0 k.1 | clip-sample -n 6 --clusters - --key-field 2 --write-cut cut.2\ncmp cut cut.2",
            output: "",
        },
    ],
    see_also: &[
        "kmeans-assign(1)",
        "cluster-share(1)",
        "jsonl-key(1)",
        "jsonl-shuffle(1)",
        "tokens-length(1)",
        "topk-resample(1)",
        "corpus-utils(7)",
    ],
};

fn main() -> ExitCode {
    pipe::start(&TOOL, run)
}

fn run(args: Args) -> Result<(), Failure> {
    match args.cut.as_deref() {
        Some(path) => apply(&args, &Cut::open(path)?),
        None => sample(&args),
    }
}

/// What the numbers of clusters depend on, by the flags.
fn rules(args: &Args) -> Rules {
    let (clip, in_tokens) = (args.clip.unwrap_or(1), args.budget.is_some());
    let drawn = args.drawn.unwrap_or(clip > 1 && !in_tokens);
    let unit = if in_tokens { "tokens" } else { "documents" };
    Rules { by: args.by.clone(), drawn, clip, seed: args.common.seed.unwrap_or(0), unit }
}

/// Everything in one run, or the cut of it.
fn sample(args: &Args) -> Result<(), Failure> {
    let (common, rules) = (&args.common, rules(args));
    let (seed, clip) = (rules.seed, rules.clip);
    let mut files = open(args)?;
    let mut rows = Rows::read(common, &args.clusters, layout(args))?;
    let plan = Plan::new(common, rules, (&rows.ids, &rows.sizes), args.exclude.as_deref())?;
    if args.key_field.is_none() {
        let documents = files.documents.take().expect("documents without a key field are opened");
        rows.add_keys(common, documents, files.copy.as_mut())?;
    }
    let draws = Draws::new(seed, clip);
    let parts = fitted(Parts::new(totals(args, &plan), seed), &rows, &plan, clip);
    let pool = Pool { rows: &rows, draws: &draws, parts: &parts, threads: common.threads };
    let stock = pool.stock();
    let budgets = plan.budgets(&parts, &stock);
    let wanted = parts.list.iter().map(|(_, count)| count).sum::<u64>();
    let missing = wanted.saturating_sub(budgets.iter().sum());
    let lasts = match args.budget {
        Some(wanted) => budget::fill(&pool, &plan, &stock, wanted),
        None => pool.last(&stock, &budgets),
    };
    let bounds: Vec<_> = lasts.iter().map(|last| last.bound).collect();
    let cut = Cut::new(seed, clip, parts.clone(), &rows.ids, &bounds);
    let taken = match (files.cut.take(), files.sink.take()) {
        (Some(mut file), _) => {
            file.write(&cut.text())?;
            file.finish()?;
            Taken::default()
        }
        (None, Some(sink)) => {
            let compares = args.key_field.is_some();
            let emission = Emission { common, rows: &rows, compares, cut: &cut, draws: &draws, first_row: 0 };
            emission.run(files.documents_again()?, sink)?
        }
        (None, None) => unreachable!("a cut or documents are written"),
    };
    stats(common, &taken, &rows, Some((wanted, missing)))
}

/// What a sample reads and writes besides the column; all of it is opened before anything is read.
struct Files {
    documents: Option<Input>,
    /// The same once more, where they are files that are read twice.
    again: Option<Input>,
    /// A copy of documents that come from a pipe and are read twice.
    copy: Option<Scratch>,
    sink: Option<Sink>,
    cut: Option<Output>,
}

fn open(args: &Args) -> Result<Files, Failure> {
    let common = &args.common;
    let from_pipe = common.operands.is_empty() || !common.operands.iter().all(|path| path.is_file());
    let (keyed, cuts) = (args.key_field.is_some(), args.write_cut.is_some());
    let by = match &args.by {
        By::Shares(path) | By::Plan(path) => Some(path),
        By::Equal | By::Size => None,
    };
    for path in [args.exclude.as_ref(), by].into_iter().flatten() {
        Input::of(std::slice::from_ref(path), None)?;
    }
    let documents = if keyed && cuts { None } else { Some(Input::open(common)?) };
    let again = if from_pipe || keyed || cuts { None } else { Some(Input::open(common)?.held()) };
    let copy = if from_pipe && !keyed && !cuts { Some(Scratch::new()?) } else { None };
    let names = args.split.as_ref().map(Split::names).unwrap_or_default();
    let sink = if cuts { None } else { Some(Sink::new(args.out.as_deref(), &names)?) };
    let cut = args.write_cut.as_deref().map(Output::create).transpose()?;
    Ok(Files { documents, again, copy, sink, cut })
}

impl Files {
    /// The documents from their beginning, after they were read for their keys, if they were.
    fn documents_again(&mut self) -> Result<Input, Failure> {
        match (self.documents.take(), self.again.take(), &self.copy) {
            (Some(unread), ..) => Ok(unread),
            (None, Some(again), _) => Ok(again),
            (None, None, Some(copy)) => Input::of(&[copy.path()], None),
            (None, None, None) => unreachable!("what is read again are files, or are copied"),
        }
    }
}

/// The parts; moved where one has too few documents and another more than it gives.
fn fitted(parts: Parts, rows: &Rows, plan: &Plan, clip: u32) -> Parts {
    if parts.list.len() == 1 {
        return parts;
    }
    let taken = rows.clusters.iter().zip(&rows.keys).filter(|(cluster, _)| plan.takes(**cluster));
    let bits: Vec<u64> = taken.map(|(_, &key)| parts.bits(key)).collect();
    let mut there = vec![0_u64; parts.list.len()];
    bits.iter().for_each(|&bits| there[parts.at(bits)] += u64::from(clip));
    let short = there.iter().zip(&parts.list).any(|(there, (_, wanted))| there < wanted);
    let spare = there.iter().zip(&parts.list).any(|(there, (_, wanted))| there > wanted);
    if short && spare { parts.fitted(bits) } else { parts }
}

/// How much is wanted: in all, or of each part.
fn totals(args: &Args, plan: &Plan) -> Vec<(String, u64)> {
    let one = |count: u64| vec![(String::new(), count)];
    match (args.count, args.fraction, args.budget, &args.split) {
        (Some(count), ..) => one(count),
        (_, Some(fraction), ..) => one((fraction * plan.documents() as f64).round() as u64),
        (_, _, Some(tokens), _) => one(tokens),
        (.., Some(split)) => split.numbers(plan.documents()),
        _ => one(plan.total()),
    }
}

/// One shard by a cut.
fn apply(args: &Args, cut: &Cut) -> Result<(), Failure> {
    let common = &args.common;
    let names: Vec<&str> = cut.parts.list.iter().map(|(name, _)| name.as_str()).collect();
    if (names != [""]) != args.out.is_some() {
        return Err(Failure::usage("--out goes with a --cut that was made with --split, and with no other"));
    }
    let input = Input::open(common)?;
    let sink = Sink::new(args.out.as_deref(), &names)?;
    let rows = Rows::read(common, &args.clusters, layout(args))?;
    let draws = Draws::new(cut.seed, cut.clip);
    let first_row = first_row(cut.needs_rows(), args.first_row, common)?;
    let taken = Emission { common, rows: &rows, compares: false, cut, draws: &draws, first_row }.run(input, sink)?;
    stats(common, &taken, &rows, None)
}

fn layout(args: &Args) -> Layout {
    Layout { cluster: args.cluster_field.unwrap_or(1), length: args.length_field, key: args.key_field }
}

/// Writes the statistics; `plan` is how many were wanted, and how many of these are missing.
fn stats(common: &Common, taken: &Taken, rows: &Rows, plan: Option<(u64, u64)>) -> Result<(), Failure> {
    let mut stats = Stats::new(common, &taken.tally)
        .with("rows", rows.clusters.len())
        .with("rows_missing", rows.missing)
        .with("clusters", rows.ids.len())
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

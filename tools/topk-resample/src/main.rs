//! `topk-resample`: documents and a column of weights in, the chosen documents out.
//!
//! Chosen lines leave in input order, byte for byte. Every choice is a threshold on the documents' keys, so it depends
//! on the data, the flags and nothing else. Memory: 24 bytes a row (28 with groups), 8 for a key of the
//! column that is compared with the document's, and one bit; documents are streamed once.

mod candidates;
mod choice;
mod cut;
mod groups;

use candidates::{Column, Keys, Layout, Method, Scoring};
use choice::{Amount, Choice, Rounding, Wanted, emit};
use cut::{Cut, is_temperature};
use groups::Groups;
use ngram::counts::Counts;
use pipe::cut::first_row;
use pipe::failure::Failure;
use pipe::flags::{Example, Flag, Options, Rule, Tool};
use pipe::input::Input;
use pipe::lines::Tally;
use pipe::note;
use pipe::output::Output;
use pipe::settings::Common;
use pipe::shared;
use pipe::stats::Stats;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Default)]
struct Args {
    common: Common,
    weights: PathBuf,
    count: Option<u64>,
    fraction: Option<f64>,
    budget: Option<u64>,
    method: Option<Method>,
    temperature: Option<f64>,
    length_min: Option<u64>,
    proportions: Option<Vec<f64>>,
    targets: Vec<PathBuf>,
    group: Option<PathBuf>,
    per_group_fraction: Option<f64>,
    rounding: Rounding,
    keys_from_documents: bool,
    weight_field: Option<usize>,
    length_field: Option<usize>,
    key_field: Option<usize>,
    write_cut: Option<PathBuf>,
    cut: Option<PathBuf>,
    first_row: Option<u64>,
    print_score: bool,
}

impl Options for Args {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

const FLAGS: &[Flag<Args>] = &[
    Flag {
        help: "As dsir-weight(1) writes it: one log weight or several, then the length, then the key. A row whose \
         weight is `nan` is missing and never chosen.",
        ..shared::weights(|args: &mut Args, value| {
            args.weights = value.path()?;
            Ok(())
        })
    },
    Flag::switch("top", "Choose the largest weights, without noise", "", |args: &mut Args, _| {
        args.method = Some(Method::Top);
        Ok(())
    }),
    Flag::switch("bottom", "Choose the smallest weights, without noise", "", |args: &mut Args, _| {
        args.method = Some(Method::Bottom);
        Ok(())
    }),
    Flag::value(
        "temperature",
        "X",
        "Divide the log weights by X before the draw",
        "Below 1 the choice is closer to --top, above 1 closer to uniform. Without it 1.",
        |args: &mut Args, value| {
            args.temperature = Some(value.number()?);
            let sensible = args.temperature.is_some_and(is_temperature);
            if sensible { Ok(()) } else { Err("expected a number above zero".to_string()) }
        },
    ),
    Flag {
        help: "The length is the column's, in words by dsir-weight(1).",
        ..shared::min_length(|args: &mut Args, value| {
            args.length_min = Some(value.number()?);
            Ok(())
        })
    },
    Flag::value(
        "proportions",
        "A,B,...",
        "The share of each of several weights in the choice",
        "The column has as many weights as there are numbers here, and for each weight, in order, its proportion of \
         the whole is chosen. Nothing is chosen twice.",
        |args: &mut Args, value| {
            args.proportions = Some(proportions(value.text()?)?);
            Ok(())
        },
    ),
    Flag {
        help: "Once for each weight of the column, in order, as it was given to dsir-weight(1). The --proportions are \
         then the sizes of the targets, their numbers of n-grams, which is DSIR's own default.",
        ..shared::target(|args: &mut Args, value| {
            args.targets.push(value.path()?);
            Ok(())
        })
    },
    Flag::value(
        "group",
        "FILE",
        "A column whose first field is the group of each row",
        "`nan` and `-1` are none, and do not qualify.",
        |args: &mut Args, value| {
            args.group = Some(value.path()?);
            Ok(())
        },
    )
    .reads(),
    shared::count(|args: &mut Args, value| {
        args.count = Some(value.number()?);
        Ok(())
    }),
    Flag {
        help: "From 0 to 1, rounded to the nearest.",
        ..shared::fraction(|args: &mut Args, value| {
            args.fraction = Some(value.share()?);
            Ok(())
        })
    },
    Flag {
        help: "Best first, up to the first that does not fit.",
        ..shared::budget(|args: &mut Args, value| {
            args.budget = Some(value.number()?);
            Ok(())
        })
    },
    Flag::value(
        "per-group-fraction",
        "F",
        "Of each group this share of those that qualify",
        "From 0 to 1, rounded as --round says.",
        |args: &mut Args, value| {
            args.per_group_fraction = Some(value.share()?);
            Ok(())
        },
    )
    .count(),
    Flag::value(
        "round",
        "nearest|up",
        "How the share of a group becomes a number",
        "`up` takes the ceiling in each group.",
        |args: &mut Args, value| {
            args.rounding = value.choice(&[("nearest", Rounding::Nearest), ("up", Rounding::Up)])?;
            Ok(())
        },
    )
    .count()
    .default(|_| "nearest".to_string()),
    Flag {
        help: "`small2large`: of each group one of its parts, the share's reciprocal rounded to a whole number being \
         how many parts there are, and the first ones having one row more where they are not of one size: of 100 rows \
         0.3 takes 34, 0.7 all. Ties go to the earlier row, and no keys are read.",
        ..shared::compat(|args: &mut Args, value| {
            args.rounding = value.choice(&[("small2large", Rounding::Parts)])?;
            Ok(())
        })
    }
    .count(),
    Flag::value(
        "keys",
        "column|documents",
        "Where the documents' keys come from",
        "The column of weights, or the documents themselves, which must be files then, since they are read twice. Each \
         key of a column is compared with that of its document (--id-field, as the column was made): another order is \
         an error.",
        |args: &mut Args, value| {
            args.keys_from_documents = value.choice(&[("column", false), ("documents", true)])?;
            Ok(())
        },
    )
    .input()
    .default(|_| "column".to_string()),
    Flag::value(
        "weight-field",
        "I",
        "Field of the (first) weight, counted from 1",
        "Without it 1.",
        |args: &mut Args, value| {
            args.weight_field = Some(value.positive()?);
            Ok(())
        },
    )
    .input(),
    Flag {
        help: "Without it the one behind the weights.",
        ..shared::length_field(|args: &mut Args, value| {
            args.length_field = Some(value.positive()?);
            Ok(())
        })
    },
    Flag {
        help: "Without it the second one behind the weights.",
        ..shared::key_field(|args: &mut Args, value| {
            args.key_field = Some(value.positive()?);
            Ok(())
        })
    },
    Flag {
        help: "Nothing is chosen, and no documents are read unless for their keys. The column holds all shards, one \
         after another.",
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
    Flag::switch(
        "print-score",
        "Print the score that decides, and a TAB, before each line",
        "A plain decimal number, larger for better: see Score. Without a number to choose, all that qualify are \
         printed.",
        |args: &mut Args, _| {
            args.print_score = true;
            Ok(())
        },
    )
    .output(),
    shared::seed(),
    shared::id_field_of_keys(),
    shared::shard(),
    shared::threads(),
    shared::stats(),
    shared::progress(),
];

const RULES: &[Rule] = &[
    Rule::Needed("weights", "it says how much each document is worth, as dsir-weight(1) does"),
    Rule::AnyOf(
        &["count", "fraction", "budget", "per-group-fraction", "cut", "print-score"],
        "say how many documents are chosen, or print the scores of all",
    ),
    Rule::AtMostOne(
        &["count", "fraction", "budget", "per-group-fraction", "cut"],
        "each says how many documents are chosen",
    ),
    Rule::AtMostOne(&["top", "bottom"], "they choose the two ends"),
    Rule::Excludes("temperature", &["top", "bottom"], "there is no noise that it could weaken"),
    Rule::Excludes("write-cut", &["print-score"], "no document is printed; apply the cut to print scores"),
    Rule::Excludes("print-score", &["proportions", "target"], "a document has a score for each of several weights"),
    Rule::AtMostOne(
        &["proportions", "target"],
        "either the shares of the weights are given, or they follow from the targets",
    ),
    Rule::Excludes(
        "cut",
        &["write-cut", "top", "bottom", "temperature", "min-length", "proportions", "target", "seed"],
        "the thresholds of a cut have been chosen already; say so where it is written",
    ),
    Rule::OnlyWith(&["first-row"], &["cut"], "a whole choice begins at row 0"),
    Rule::Needs("per-group-fraction", &["group"], "a column must say which group each row is in"),
    Rule::OnlyWith(&["group"], &["per-group-fraction", "cut"], "nothing else chooses within groups"),
    Rule::OnlyWith(&["round"], &["per-group-fraction"], "nothing else is rounded in each group"),
    Rule::Needs("compat", &["per-group-fraction"], "those scripts choose within clusters"),
    Rule::Needs("compat", &["top", "bottom"], "those scripts know no noise"),
    Rule::Excludes(
        "compat",
        &["round", "write-cut", "cut", "keys=documents", "key-field", "proportions", "target"],
        "those scripts round in their own way, in one run, and break ties by rows",
    ),
    Rule::NoOperands("write-cut&keys=column", "the keys are in the column, and nothing is printed"),
];

const TOOL: Tool<Args> = Tool {
    name: "topk-resample",
    summary: "documents and weights to the chosen documents",
    operands: "[FILE]...",
    description: &[
        "Reads documents, any lines, from the FILEs or from standard input, and a column of log weights, and prints \
         the chosen documents, in input order and byte for byte.",
        "By default the choice is a random sample without replacement in proportion to the weights: each log weight \
         gets Gumbel noise, and the N largest sums are taken (Gumbel top-k). The noise is a function of the seed and \
         the document's key, so the same document draws the same noise wherever it stands, a larger N contains the \
         smaller one, and documents that are equal to the byte stand or fall together but for a tie at the cut. Ties \
         go to the smaller key, then to the earlier row.",
        "If fewer documents qualify than are asked for, all of them are chosen, and a note on stderr says so. \
         Importance weights like short documents: the weight of an empty one is 0, which is high where most are \
         below. So say --min-length (DSIR's own default is 100); where more than 5 % of a thousand or more that are \
         chosen is shorter than 10 words, a note says that (not with --bottom, whose weights are seldom importance \
         weights).",
    ],
    sections: &[
        (
            "Shards",
            &[
                "A choice is one threshold on the score (for each weight and group). So a corpus that is spread over \
                 jobs is sampled in three steps: each job weighs its shard; one run with --write-cut reads all \
                 columns, one after another, and writes the threshold; each job applies it to its shard with --cut. \
                 The chosen documents are those of a single run over everything, to the byte. The cut carries the \
                 method, the seed, the temperature and the minimal length.",
                "Where several equal documents stand right at the threshold and only some of them fit, a shard must \
                 know how many rows stand before it: --shard counts them itself, otherwise --first-row says it. Such \
                 a shard without it is refused.",
            ],
        ),
        (
            "Score",
            &["With log weight w, temperature X, seed S and document key K: `w / X + g`, where g is a standard \
                 Gumbel number made from S, K and the purpose `topk-1` (`topk-2` for the second weight, and so on) as \
                 corpus-utils(7) says; w with --top, -w with --bottom."],
        ),
    ],
    flags: FLAGS,
    rules: RULES,
    examples: &[
        Example {
            about: "Choose two documents out of a corpus, like those of a target:",
            command: "ngram-hash docs.jsonl > raw.counts\nngram-hash target.jsonl > target.counts\n\
                      dsir-weight --raw raw.counts --target target.counts docs.jsonl > weights.tsv\n\
                      topk-resample -n 2 --min-length 10 --weights weights.tsv docs.jsonl > chosen.jsonl",
            output: "",
        },
        Example {
            about: "The same in two shards:",
            command: "cat weights.tsv | topk-resample -n 2 --min-length 10 --weights - --write-cut cut\nfor i in 0 1; \
             do\n  dsir-weight --raw raw.counts --target target.counts --shard $i/2 docs.jsonl > w.$i\n  \
             topk-resample --cut cut --weights w.$i --shard $i/2 docs.jsonl\ndone | cmp - chosen.jsonl",
            output: "",
        },
        Example {
            about: "Let sort(1) choose:",
            command: "topk-resample --print-score --weights weights.tsv docs.jsonl | sort -k1,1gr | head -n 2 | cut \
                      -f 2-",
            output: "",
        },
    ],
    see_also: &["ngram-hash(1)", "dsir-weight(1)", "corpus-utils(7)"],
};

fn main() -> ExitCode {
    pipe::start(&TOOL, run)
}

fn proportions(text: &str) -> Result<Vec<f64>, String> {
    let numbers = text.split(',').map(|part| part.parse().ok().filter(|x: &f64| *x >= 0.0 && x.is_finite()));
    let numbers: Option<Vec<f64>> = numbers.collect();
    let numbers = numbers.filter(|numbers| numbers.iter().sum::<f64>() > 0.0);
    numbers.ok_or_else(|| "expected numbers of 0 or more, not all 0, with commas between them".to_string())
}

/// The sizes of targets: how many n-grams each has.
fn sizes(targets: &[PathBuf]) -> Result<Vec<f64>, Failure> {
    let sizes = targets.iter().map(|path| Ok(Counts::open_sum(path)?.grams() as f64));
    let sizes = sizes.collect::<Result<Vec<_>, Failure>>()?;
    if sizes.iter().sum::<f64>() > 0.0 { Ok(sizes) } else { Err(Failure::work("no target has any n-grams")) }
}

fn run(mut args: Args) -> Result<(), Failure> {
    if !args.targets.is_empty() {
        args.proportions = Some(sizes(&args.targets)?);
    }
    let given = args.cut.as_deref().map(Cut::open).transpose()?;
    let scoring = given.as_ref().map_or_else(|| scoring(&args), |cut| cut.scoring.clone());
    let wanted = if given.is_some() { None } else { wanted(&args) };
    check_inputs(&args, &scoring)?;
    if given.as_ref().is_some_and(|cut| cut.per_group != args.group.is_some()) {
        return Err(Failure::usage("--group goes with a --cut that was made with it, and with no other"));
    }
    let documents = if args.write_cut.is_some() { None } else { Some(Input::open(&args.common)?.held()) };
    let groups = args.group.as_deref().map(|path| Groups::read(&args.common, path)).transpose()?;
    let layout = layout(&args, &scoring);
    let column =
        Column { common: &args.common, path: &args.weights, layout, scoring: &scoring, groups: groups.as_ref() };

    let mut choice = Choice::new(args.print_score);
    match (&given, &wanted) {
        (Some(cut), _) => choice.apply(&column, cut, first_row(cut.needs_rows(), args.first_row, &args.common)?)?,
        (None, Some(wanted)) => {
            let (cut, shortfalls) = choice.make(&column, wanted)?;
            shortfalls.iter().for_each(|shortfall| note(&args.common, shortfall));
            let shortness = choice.shortness().filter(|_| scoring.method != Method::Bottom);
            shortness.iter().for_each(|shortness| note(&args.common, shortness));
            if let Some(path) = &args.write_cut {
                let mut file = Output::create(path)?;
                file.write(&cut.text())?;
                file.finish()?;
            }
        }
        (None, None) => choice.take_all(&column)?,
    }
    let tally = documents.map_or_else(|| Ok(Tally::default()), |input| emit(&args.common, input, &choice))?;
    let stats = Stats::new(&args.common, &tally).with("rows", choice.rows).with("rows_missing", choice.missing);
    stats.with("rows_qualified", choice.qualified).with("rows_chosen", choice.chosen).write(&args.common)
}

/// How many are wanted; `None` for all that qualify.
fn wanted(args: &Args) -> Option<Wanted> {
    let share = args.fraction.or(args.per_group_fraction).map(Amount::Fraction);
    let amount = args.count.map(Amount::Rows).or(args.budget.map(Amount::Words)).or(share)?;
    let proportions = args.proportions.clone().unwrap_or_else(|| vec![1.0]);
    Some(Wanted { amount, proportions, per_group: args.per_group_fraction.is_some(), rounding: args.rounding })
}

fn scoring(args: &Args) -> Scoring {
    Scoring {
        method: args.method.unwrap_or(Method::Gumbel),
        seed: args.common.seed.unwrap_or(0),
        temperature: args.temperature.unwrap_or(1.0),
        length_min: args.length_min.unwrap_or(0),
        weights: args.proportions.as_ref().map_or(1, Vec::len),
    }
}

fn layout(args: &Args, scoring: &Scoring) -> Layout {
    let weight = args.weight_field.unwrap_or(1);
    let needs_length = args.budget.is_some() || scoring.length_min > 0;
    let field = || Keys::Field(args.key_field.unwrap_or(weight + scoring.weights + 1));
    Layout {
        weight,
        length: args.length_field.unwrap_or(weight + scoring.weights),
        needs_length,
        keys: match args.rounding {
            Rounding::Parts => Keys::None,
            _ if args.keys_from_documents => Keys::Documents,
            _ => field(),
        },
        compares: args.write_cut.is_none(),
    }
}

/// What is read twice must be a file.
fn check_inputs(args: &Args, scoring: &Scoring) -> Result<(), Failure> {
    let operands = &args.common.operands;
    let is_file = |path: &Path| path != Path::new("-") && path.is_file();
    if scoring.weights > 1 && !is_file(&args.weights) {
        return Err(Failure::usage("several weights are read one after the other: --weights must be a regular file"));
    }
    if args.keys_from_documents && (operands.is_empty() || !operands.iter().all(|path| is_file(path))) {
        return Err(Failure::usage("--keys documents reads the documents twice: they must be regular files"));
    }
    Ok(())
}

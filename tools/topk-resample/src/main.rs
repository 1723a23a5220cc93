//! `topk-resample`: documents and a column of weights in, the chosen documents out.
//!
//! Chosen lines leave in input order, byte for byte. Every choice is a threshold on the documents' keys, so it depends on the
//! data, the flags and nothing else. Memory: 24 bytes a row (28 with groups) and one bit; documents are streamed once.

mod candidates;
mod choice;
mod cut;
mod groups;

use candidates::{Column, Layout, Method, Scoring};
use choice::{Amount, Choice, Wanted, emit};
use cut::Cut;
use groups::Groups;
use pipe::cut::first_row;
use pipe::failure::Failure;
use pipe::flags::{Example, Flag, Options, Tool};
use pipe::input::Input;
use pipe::lines::Tally;
use pipe::note;
use pipe::output::Output;
use pipe::settings::Common;
use pipe::settings::exclude;
use pipe::shared;
use pipe::stats::Stats;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Default)]
struct Args {
    common: Common,
    weights: Option<PathBuf>,
    count: Option<u64>,
    fraction: Option<f64>,
    tokens_max: Option<u64>,
    method: Option<Method>,
    temperature: Option<f64>,
    length_min: Option<u64>,
    proportions: Option<Vec<f64>>,
    group: Option<PathBuf>,
    per_group_fraction: Option<f64>,
    keys_from_documents: bool,
    weight_field: Option<usize>,
    length_field: Option<usize>,
    key_field: Option<usize>,
    write_cut: Option<PathBuf>,
    cut: Option<PathBuf>,
    first_row: Option<u64>,
    print_key: bool,
}

impl Options for Args {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

const FLAGS: &[Flag<Args>] = &[
    Flag::value(
        "weights",
        "FILE",
        "The column of weights: a row a document, as dsir-weight(1) writes it: one log weight or several, then the length, then the key",
        "A row whose weight is `nan` is missing and never chosen.",
        |args: &mut Args, value| {
            args.weights = Some(value.path()?);
            Ok(())
        },
    ),
    Flag::value("count", "N", "Choose N documents", "", |args: &mut Args, value| {
        args.count = Some(value.number()?);
        Ok(())
    })
    .short('n'),
    Flag::value("fraction", "F", "Choose this share of the documents that qualify, rounded to the nearest", "", |args: &mut Args, value| {
        args.fraction = Some(fraction(value.number()?)?);
        Ok(())
    }),
    Flag::value(
        "tokens-max",
        "T",
        "Choose as many documents, best first, as have T words together at the most",
        "",
        |args: &mut Args, value| {
            args.tokens_max = Some(value.number()?);
            Ok(())
        },
    ),
    Flag::switch("top", "Choose the largest weights, without noise", "", |args: &mut Args, _| set_method(args, Method::Top)),
    Flag::switch("bottom", "Choose the smallest weights, without noise", "", |args: &mut Args, _| {
        set_method(args, Method::Bottom)
    }),
    Flag::value(
        "temperature",
        "X",
        "Divide the log weights by X before the draw: below 1 closer to --top, above 1 closer to uniform",
        "Without it 1.",
        |args: &mut Args, value| {
            args.temperature = Some(value.number()?);
            let sensible = args.temperature.is_some_and(|x: f64| x > 0.0 && x.is_finite());
            if sensible { Ok(()) } else { Err("expected a number above zero".to_string()) }
        },
    ),
    Flag::value("min-length", "L", "Documents of fewer than L words do not qualify", "", |args: &mut Args, value| {
        args.length_min = Some(value.number()?);
        Ok(())
    }),
    Flag::value(
        "proportions",
        "A,B,...",
        "The column has as many weights as there are numbers here: choose for each weight, in order, its proportion of the whole",
        "Nothing is chosen twice.",
        |args: &mut Args, value| {
            args.proportions = Some(proportions(value.text()?)?);
            Ok(())
        },
    ),
    Flag::value(
        "group",
        "FILE",
        "A column whose first field says which group a document is in; `nan` and `-1` are none, and do not qualify",
        "Goes with --per-group-fraction.",
        |args: &mut Args, value| {
            args.group = Some(value.path()?);
            Ok(())
        },
    ),
    Flag::value(
        "per-group-fraction",
        "F",
        "Choose this share of the documents that qualify within each group, rounded to the nearest",
        "",
        |args: &mut Args, value| {
            args.per_group_fraction = Some(fraction(value.number()?)?);
            Ok(())
        },
    ),
    Flag::value(
        "keys",
        "column|documents",
        "Where the documents' keys come from: the column of weights, or the documents themselves, which must be files then, since they are read twice",
        "",
        |args: &mut Args, value| {
            args.keys_from_documents = value.choice(&[("column", false), ("documents", true)])?;
            Ok(())
        },
    )
    .default(|_| "column".to_string()),
    Flag::value("weight-field", "I", "Field of the (first) weight, counted from 1", "Without it 1.", |args: &mut Args, value| {
        args.weight_field = Some(value.positive()?);
        Ok(())
    }),
    Flag::value("length-field", "I", "Field of the length", "Without it the one behind the weights.", |args: &mut Args, value| {
        args.length_field = Some(value.positive()?);
        Ok(())
    }),
    Flag::value("key-field", "I", "Field of the key", "Without it the second one behind the weights.", |args: &mut Args, value| {
        args.key_field = Some(value.positive()?);
        Ok(())
    }),
    Flag::value(
        "write-cut",
        "FILE",
        "Read no documents; write the threshold that this choice comes down to",
        "The column holds all shards, one after another.",
        |args: &mut Args, value| {
            args.write_cut = Some(value.path()?);
            Ok(())
        },
    ),
    Flag::value(
        "cut",
        "FILE",
        "Apply a threshold to one shard: the documents and the column are the shard's",
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
    Flag::switch(
        "print-key",
        "Print the sampling key, a plain decimal number and larger for better, and a TAB before each line; without a number to choose, print all that qualify",
        "",
        |args: &mut Args, _| {
            args.print_key = true;
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
    name: "topk-resample",
    summary: "documents and weights to the chosen documents",
    operands: "[FILE]...",
    description: &[
        "Reads documents, any lines, from the FILEs or from standard input, and a column of log weights, and prints the chosen documents, in input order and byte for byte.",
        "By default the choice is a random sample without replacement in proportion to the weights: each log weight gets Gumbel noise, and the N largest sums are taken (Gumbel top-k). The noise is a function of the seed and the document's key, so the same document draws the same noise wherever it stands, a larger N contains the smaller one, and documents that are equal to the byte stand or fall together but for a tie at the cut. Ties go to the smaller key, then to the earlier row.",
        "Exactly one of --count, --fraction, --tokens-max and --per-group-fraction says how many. If fewer documents qualify, all of them are chosen, and a note on stderr says so.",
    ],
    sections: &[
        (
            "Shards",
            &[
                "A choice is one threshold on the sampling key (for each weight and group). So a corpus that is spread over jobs is sampled in three steps: each job weighs its shard; one run with --write-cut reads all columns, one after another, and writes the threshold; each job applies it to its shard with --cut. The chosen documents are those of a single run over everything, to the byte. The cut carries the method, the seed, the temperature and the minimal length.",
                "Where several equal documents stand right at the threshold and only some of them fit, a shard must know how many rows stand before it: --shard counts them itself, otherwise --first-row says it. Such a shard without it is refused.",
            ],
        ),
        (
            "Sampling key",
            &[
                "With log weight w, temperature X, seed S and document key K: `w / X + g`, where g is a standard Gumbel number made from S, K and the purpose `topk-1` (`topk-2` for the second weight, and so on) as corpus-utils(7) says; w with --top, -w with --bottom.",
            ],
        ),
    ],
    flags: FLAGS,
    rules: &[],
    examples: &[
        Example {
            about: "Choose two documents out of a corpus, like those of a target:",
            command: "ngram-hash docs.jsonl > raw.counts\nngram-hash target.jsonl > target.counts\ndsir-weight --raw raw.counts --target target.counts docs.jsonl > weights.tsv\ntopk-resample -n 2 --weights weights.tsv docs.jsonl > chosen.jsonl",
            output: "",
        },
        Example {
            about: "The same in two shards:",
            command: "cat weights.tsv | topk-resample -n 2 --weights - --write-cut cut\nfor i in 0 1; do\n  dsir-weight --raw raw.counts --target target.counts --shard $i/2 docs.jsonl > w.$i\n  topk-resample --cut cut --weights w.$i --shard $i/2 docs.jsonl\ndone | cmp - chosen.jsonl",
            output: "",
        },
        Example {
            about: "Let sort(1) choose:",
            command: "topk-resample --print-key --weights weights.tsv docs.jsonl | sort -k1,1gr | head -n 2 | cut -f 2-",
            output: "",
        },
    ],
    see_also: &["ngram-hash(1)", "dsir-weight(1)", "corpus-utils(7)"],
};

fn main() -> ExitCode {
    pipe::start(&TOOL, run)
}

fn fraction(share: f64) -> Result<f64, String> {
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("expected a number from 0 to 1".to_string()) }
}

fn proportions(text: &str) -> Result<Vec<f64>, String> {
    let numbers = text.split(',').map(|part| part.parse().ok().filter(|x: &f64| *x >= 0.0 && x.is_finite()));
    let numbers: Option<Vec<f64>> = numbers.collect();
    let numbers = numbers.filter(|numbers| numbers.iter().sum::<f64>() > 0.0);
    numbers.ok_or_else(|| "expected numbers of 0 or more, not all 0, with commas between them".to_string())
}

fn set_method(args: &mut Args, method: Method) -> Result<(), String> {
    match args.method.replace(method) {
        Some(other) if other != method => Err("--top does not go with --bottom".to_string()),
        _ => Ok(()),
    }
}

fn run(args: Args) -> Result<(), Failure> {
    let weights = args.weights.as_deref().ok_or_else(|| Failure::usage("--weights FILE is needed"))?;
    check_combinations(&args)?;
    let given = args.cut.as_deref().map(Cut::open).transpose()?;
    let scoring = given.as_ref().map_or_else(|| scoring(&args), |cut| cut.scoring.clone());
    let wanted = if given.is_some() { None } else { wanted(&args)? };
    check_inputs(&args, weights, &scoring)?;
    if given.as_ref().is_some_and(|cut| cut.per_group != args.group.is_some()) {
        return Err(Failure::usage("--group goes with a --cut that was made with it, and with no other"));
    }
    let documents = if args.write_cut.is_some() { None } else { Some(Input::open(&args.common)?) };
    let groups = args.group.as_deref().map(|path| Groups::read(&args.common, path)).transpose()?;
    let layout = layout(&args, &scoring);
    let column = Column { common: &args.common, path: weights, layout, scoring: &scoring, groups: groups.as_ref() };

    let mut choice = Choice::new(args.print_key);
    match (&given, &wanted) {
        (Some(cut), _) => choice.apply(&column, cut, first_row(cut.needs_rows(), args.first_row, &args.common)?)?,
        (None, Some(wanted)) => {
            let (cut, shortfalls) = choice.make(&column, wanted)?;
            shortfalls.iter().for_each(|shortfall| note(&args.common, shortfall));
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

fn check_combinations(args: &Args) -> Result<(), Failure> {
    let noiseless = args.method.is_some();
    exclude(("temperature", args.temperature.is_some()), ("top or --bottom", noiseless))?;
    exclude(("write-cut", args.write_cut.is_some()), ("print-key", args.print_key))?;
    exclude(("print-key", args.print_key), ("proportions", args.proportions.is_some()))?;
    let cut = ("cut", args.cut.is_some());
    for (flag, given) in [
        ("write-cut", args.write_cut.is_some()),
        ("count", args.count.is_some()),
        ("fraction", args.fraction.is_some()),
        ("tokens-max", args.tokens_max.is_some()),
        ("per-group-fraction", args.per_group_fraction.is_some()),
        ("top or --bottom", noiseless),
        ("temperature", args.temperature.is_some()),
        ("min-length", args.length_min.is_some()),
        ("proportions", args.proportions.is_some()),
        ("seed", args.common.seed.is_some()),
    ] {
        exclude(cut, (flag, given))?;
    }
    if args.cut.is_none() && args.first_row.is_some() {
        return Err(Failure::usage("--first-row goes with --cut"));
    }
    if args.cut.is_none() && args.group.is_some() != args.per_group_fraction.is_some() {
        return Err(Failure::usage("--group and --per-group-fraction go together"));
    }
    Ok(())
}

/// How many are wanted; `None` for all that qualify, with --print-key.
fn wanted(args: &Args) -> Result<Option<Wanted>, Failure> {
    let amounts = [
        args.count.map(Amount::Rows),
        args.fraction.map(Amount::Fraction),
        args.tokens_max.map(Amount::Words),
        args.per_group_fraction.map(Amount::Fraction),
    ];
    let mut amounts = amounts.into_iter().flatten();
    let amount = match (amounts.next(), amounts.next()) {
        (Some(amount), None) => amount,
        (None, _) if args.print_key => return Ok(None),
        _ => {
            let message = "expected exactly one of --count, --fraction, --tokens-max and --per-group-fraction";
            return Err(Failure::usage(message));
        }
    };
    let proportions = args.proportions.clone().unwrap_or_else(|| vec![1.0]);
    Ok(Some(Wanted { amount, proportions, per_group: args.per_group_fraction.is_some() }))
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
    let needs_length = args.tokens_max.is_some() || scoring.length_min > 0;
    Layout {
        weight,
        length: needs_length.then(|| args.length_field.unwrap_or(weight + scoring.weights)),
        key: (!args.keys_from_documents).then(|| args.key_field.unwrap_or(weight + scoring.weights + 1)),
    }
}

/// What is read twice must be a file, and standard input can be one thing only.
fn check_inputs(args: &Args, weights: &Path, scoring: &Scoring) -> Result<(), Failure> {
    let operands = &args.common.operands;
    let is_standard = |path: &Path| path == Path::new("-");
    let is_file = |path: &Path| !is_standard(path) && path.is_file();
    let reads_documents = args.write_cut.is_none() || args.keys_from_documents;
    if !reads_documents && !operands.is_empty() {
        return Err(Failure::usage("--write-cut reads no documents, but there are operands"));
    }
    let columns = [Some(weights), args.group.as_deref()].into_iter().flatten();
    let documents = reads_documents && (operands.is_empty() || operands.iter().any(|path| is_standard(path)));
    if columns.filter(|path| is_standard(path)).count() + usize::from(documents) > 1 {
        return Err(Failure::usage("standard input can be one thing only: documents, --weights or --group"));
    }
    if scoring.weights > 1 && !is_file(weights) {
        return Err(Failure::usage("several weights are read one after the other: --weights must be a regular file"));
    }
    if args.keys_from_documents && (operands.is_empty() || !operands.iter().all(|path| is_file(path))) {
        return Err(Failure::usage("--keys documents reads the documents twice: they must be regular files"));
    }
    Ok(())
}

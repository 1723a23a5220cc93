//! `jsonl-classify`: documents in, a column of what a classifier says of them out.
//!
//! One output line per input line, in the same order. A row depends on its own text and the flags: not on its
//! neighbours, on threads or on batches. Memory: the model, and a few batches of lines a thread; it does not grow with
//! the input.

mod classification;
mod rows;

use classification::Classification;
use compute::encoder::{Encoder, Precision};
use model::classifier::{Activation, Classifier};
use model::fasttext::FastText;
use pipe::failure::Failure;
use pipe::flags::{Example, Flag, Options, Rule, Tool};
use pipe::input::Input;
use pipe::lines::Lines;
use pipe::output::Output;
use pipe::record::Reader;
use pipe::settings::Common;
use pipe::shared;
use pipe::stats::Stats;
use rows::{ClassRows, Plan, Shown};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

struct Args {
    common: Common,
    model: PathBuf,
    likeliest: Option<usize>,
    labels: Vec<String>,
    threshold: f32,
    activation: Option<Activation>,
    length_max: Option<usize>,
    precision: Precision,
}

impl Default for Args {
    fn default() -> Args {
        Args {
            common: Common::default(),
            model: PathBuf::new(),
            likeliest: None,
            labels: Vec::new(),
            threshold: f32::NEG_INFINITY,
            activation: None,
            length_max: None,
            precision: Precision::Exact,
        }
    }
}

impl Options for Args {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

const FLAGS: &[Flag<Args>] = &[
    Flag::value(
        "model",
        "DIR|FILE",
        "The folder of a model",
        "As Hugging Face writes it. Or a file of fastText, `.bin` or `.ftz`.",
        |args: &mut Args, value| {
            args.model = value.path()?;
            Ok(())
        },
    ),
    Flag::value(
        "activation",
        "none|softmax|sigmoid",
        "How what the last layer gives becomes numbers",
        "`none`: as it is; `softmax`: probabilities of labels of which one is right; `sigmoid`: of labels that are \
         right or wrong each by itself. Without it, what the folder says.",
        |args: &mut Args, value| {
            let choices =
                [("none", Activation::None), ("softmax", Activation::Softmax), ("sigmoid", Activation::Sigmoid)];
            args.activation = Some(value.choice(&choices)?);
            Ok(())
        },
    ),
    Flag {
        help: "Without it, what the folder says.",
        ..shared::max_length(|args: &mut Args, value| {
            args.length_max = Some(value.positive()?);
            Ok(())
        })
    },
    shared::precision(|args: &mut Args, value| {
        args.precision = value.choice(&Precision::NAMES)?;
        Ok(())
    })
    .default(|_| "exact".to_string()),
    Flag::value(
        "likeliest",
        "N",
        "Print the N likeliest labels, likeliest first",
        "Each with its number.",
        |args: &mut Args, value| {
            args.likeliest = Some(value.positive()?);
            Ok(())
        },
    )
    .default(|_| "1".to_string())
    .output(),
    Flag::value(
        "label",
        "NAME",
        "Print the number of this label",
        "Instead of labels; given again for each further one. With or without the `__label__` of fastText.",
        |args: &mut Args, value| {
            args.labels.push(value.text()?.to_string());
            Ok(())
        },
    )
    .output(),
    Flag::value(
        "threshold",
        "P",
        "Leave out labels with a smaller number",
        "`nan` stands in their place, for the label and for the number.",
        |args: &mut Args, value| {
            args.threshold = value.number()?;
            Ok(())
        },
    )
    .output(),
    shared::field(),
    shared::template(),
    shared::id_field(),
    shared::shard(),
    shared::on_error(),
    shared::threads(),
    shared::stats(),
    shared::progress(),
];

const TOOL: Tool<Args> = Tool {
    name: "jsonl-classify",
    summary: "documents to what a classifier says of them",
    operands: "[FILE]...",
    description: &[
        "Reads documents as JSON Lines from the FILEs or from standard input and prints, for each, what a classifier \
         makes of it: its language, its quality, its topic.",
        "A row is `label<TAB>number<TAB>key`: the likeliest label, its probability, and the document's key in 16 \
         hexadecimal digits. With --likeliest N there are N labels, each with its number; with --label there are no \
         labels, but the numbers of those that are named, and so it is where the model has one label only, such as a \
         score. A missing row is `nan` in every field. Numbers are 32-bit floats in shortest decimals.",
        "A document's row does not depend on its neighbours, on threads or shards. That of a folder may differ in the \
         last digits on a processor with other instructions; that of fastText does not.",
    ],
    sections: &[
        (
            "fastText",
            &[
                "Models are files of fastText, `.bin` and quantised `.ftz`, trained with any of its losses. Labels and \
                 probabilities are those that its own `predict` gives, to the rounding. What it prints is 0.00001 more \
                 than the probability, and may be more than 1; so is it here, since published thresholds are of these \
                 numbers. To it a document is one line: newlines are spaces, and a word `</s>` ends the text. Labels \
                 are printed without the `__label__` before them.",
                "Of a text of which the model knows no word and no n-gram it says nothing: `nan` for label and number, \
                 counted in --stats (`unknown_rows`). Most models know the end of a line, and so have a label for the \
                 empty text, too. Where a label is called `nan`, its number tells it from a missing row.",
            ],
        ),
        (
            "Folders",
            &[
                "Models are folders with config.json, model.safetensors and tokenizer.json, of the classes \
                 ...ForSequenceClassification of transformers for BERT, RoBERTa, XLM-RoBERTa, MPNet, NomicBERT and \
                 ModernBERT; any other is refused by name. Labels are those of `id2label`. `problem_type` says what \
                 becomes of the last layer: `regression` none, `single_label_classification` softmax, \
                 `multi_label_classification` sigmoid; without it softmax, but none where there is a single label.",
                "A text that is longer than the model takes is cut, and counted in --stats (`truncated_rows`). \
                 --precision exact gives the numbers of transformers in 32-bit floats to about 0.00001.",
            ],
        ),
    ],
    flags: FLAGS,
    rules: &[
        Rule::Needed("model", "what labels there are, only a model says"),
        Rule::Excludes(
            "label",
            &["likeliest", "threshold"],
            "it prints the number of that label, whatever it is; awk(1) compares it",
        ),
    ],
    examples: &[
        Example {
            about: "The documents that are English, by fastText's model of 176 languages, if it is more than half sure:",
            command: "jsonl-classify --model lid.176.ftz docs.jsonl > languages.tsv\n\
                      paste languages.tsv docs.jsonl | awk '$1 == \"en\" && $2 > 0.5' | cut -f 4- > english.jsonl",
            output: "",
        },
        Example {
            about: "Those of several languages, as ClusterClip's --support_languages has it:",
            command: "paste languages.tsv docs.jsonl |\n\
                      awk 'BEGIN { split(\"en de fr\", l); for (i in l) wanted[l[i]] } $1 in wanted' | cut -f 4- > \
                      chosen.jsonl",
            output: "",
        },
        Example {
            about: "DCLM's filter: what its model finds good with more than the threshold that was published, and the \
             hundred documents that it finds best:",
            command: "jsonl-classify --model fasttext-oh-eli5.bin --label hq docs.jsonl > quality.tsv\n\
                      paste quality.tsv docs.jsonl | awk '$1 > 0.018112' | cut -f 3- > good.jsonl\n\
                      topk-resample --top -n 100 --key-field 2 --weights quality.tsv docs.jsonl > best.jsonl",
            output: "",
        },
        Example {
            about: "FineWeb-Edu's filter: its classifier has one label, a score from 0 to 5:",
            command: "jsonl-classify --model fineweb-edu-classifier docs.jsonl > scores.tsv\n\
                      paste scores.tsv docs.jsonl | awk '$1 >= 2.5' | cut -f 3- > educational.jsonl",
            output: "",
        },
    ],
    see_also: &["topk-resample(1)", "lm-score(1)", "jsonl-embed(1)", "corpus-utils(7)"],
};

/// Bytes of lines that a thread classifies at a time with an encoder: about a second's work at the most, so that
/// threads end together.
const ENCODER_BATCH: usize = 32 << 10;

fn main() -> ExitCode {
    pipe::start(&TOOL, run)
}

fn run(args: Args) -> Result<(), Failure> {
    let reader = Reader::new(&args.common)?;
    let mut input = Input::open(&args.common)?;
    let classification = if args.model.is_dir() {
        input.read_size = ENCODER_BATCH;
        folder(&args)?
    } else {
        refuse_folder_flags(&args)?;
        Classification::FastText(Box::new(FastText::open(&args.model).map_err(Failure::work)?))
    };
    let shown = shown(&args, classification.labels())?;
    let plan = Arc::new(Plan { classification, shown, threshold: args.threshold });
    let mut output = Output::stdout();
    let (mut unknown, mut cut) = (0, 0);
    let worker = || ClassRows::new(plan.clone(), reader.clone());
    let (tally, _) = Lines::new(&args.common, input).run(worker, |rows| {
        unknown += rows.unknown;
        cut += rows.cut;
        output.write(&rows.text).map(ControlFlow::Continue)
    })?;
    tally.report(&args.common);
    let stats = Stats::new(&args.common, &tally).with("labels", plan.classification.labels().len());
    let stats = stats.with("precision", plan.classification.precision());
    stats.with("truncated_rows", cut).with("unknown_rows", unknown).write(&args.common)
}

/// Only the file tells that it is none, so that no rule of the table can.
fn refuse_folder_flags(args: &Args) -> Result<(), Failure> {
    let given = ["activation", "max-length", "precision"].into_iter().find(|flag| args.common.given(flag));
    match given.filter(|_| args.model.is_file()) {
        Some(flag) => Err(Failure::usage(format!("--{flag}: only a model in a folder can heed it, not fastText"))),
        None => Ok(()),
    }
}

fn folder(args: &Args) -> Result<Classification, Failure> {
    args.precision.check().map_err(Failure::work)?;
    let mut model = Classifier::open(&args.model).map_err(Failure::work)?;
    model.activation = args.activation.unwrap_or(model.activation);
    if let Some(length_max) = args.length_max {
        model.set_length_max(length_max).map_err(Failure::usage)?;
    }
    let encoder = Encoder::new(&model.transformer, args.precision);
    // The encoder has packed them; nobody needs them twice.
    model.transformer.blocks.clear();
    model.transformer.tokens.values = Vec::new();
    Ok(Classification::Folder { model: Box::new(model), encoder: Box::new(encoder), precision: args.precision })
}

/// What stands in a row: the name of a model's only label goes without saying.
fn shown(args: &Args, labels: &[String]) -> Result<Shown, Failure> {
    if !args.labels.is_empty() {
        return args.labels.iter().map(|name| number_of(name, labels)).collect::<Result<_, _>>().map(Shown::Numbers);
    }
    match args.likeliest {
        None if labels.len() == 1 && !args.common.given("threshold") => Ok(Shown::Numbers(vec![0])),
        Some(count) if count > labels.len() => {
            Err(Failure::usage(format!("--likeliest {count}: the model has {} labels", labels.len())))
        }
        count => Ok(Shown::Best(count.unwrap_or(1))),
    }
}

fn number_of(name: &str, labels: &[String]) -> Result<u32, Failure> {
    const SHOWN: usize = 20;
    let plain = name.strip_prefix("__label__").unwrap_or(name);
    let found = labels.iter().position(|label| label == name || label == plain);
    found.map(|label| label as u32).ok_or_else(|| {
        let first = labels[..SHOWN.min(labels.len())].join(", ");
        let more = if labels.len() > SHOWN { ", ..." } else { "" };
        Failure::usage(format!("--label {name}: expected one of the model's {} labels: {first}{more}", labels.len()))
    })
}

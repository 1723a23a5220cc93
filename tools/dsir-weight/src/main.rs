//! `dsir-weight`: documents and n-gram counts in, a column of log importance weights out.
//!
//! One output line per input line, in the same order: a weight for each target, the length in words, the document's
//! key. Memory: one table of log ratios, and a few batches of lines a thread; it does not grow with the input.

mod weight;

use ngram::buckets::Parameters;
use ngram::counts::{Counts, difference};
use pipe::failure::Failure;
use pipe::flags::{Example, Flag, Options, Rule, Tool};
use pipe::input::Input;
use pipe::lines::Lines;
use pipe::output::Output;
use pipe::record::Reader;
use pipe::settings::Common;
use pipe::shared;
use pipe::stats::Stats;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use weight::{LogRatios, WeightRows};

#[derive(Default)]
struct Args {
    common: Common,
    raw: PathBuf,
    targets: Vec<PathBuf>,
    smoothing: f64,
}

impl Options for Args {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

const FLAGS: &[Flag<Args>] = &[
    Flag::value(
        "raw",
        "FILE",
        "Counts of the corpus to choose from",
        "As ngram-hash(1) writes them.",
        |args: &mut Args, value| {
            args.raw = value.path()?;
            Ok(())
        },
    )
    .reads(),
    Flag {
        help: "Given again, another target with a weight column of its own.",
        ..shared::target(|args: &mut Args, value| {
            args.targets.push(value.path()?);
            Ok(())
        })
    },
    Flag {
        help: "To those of the targets.",
        default: |args| args.smoothing.to_string(),
        ..shared::smoothing(|args: &mut Args, value| {
            args.smoothing = value.not_negative()?;
            Ok(())
        })
    },
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
    name: "dsir-weight",
    summary: "documents to log importance weights",
    operands: "[FILE]...",
    description: &[
        "Reads documents as JSON Lines and prints, for each, how much more likely its n-grams are under the target \
         than under the raw corpus: the log importance weight of DSIR (Xie et al., 2023, Data Selection for Language \
         Models via Importance Resampling).",
        "A row is `weight<TAB>length<TAB>key`, with one weight for each --target in order: the weight in nats, the \
         length in words, and the document's key in 16 hexadecimal digits, from which topk-resample(1) draws. A \
         missing row is `nan` in every field.",
        "The key is that of the line, or of the field that --id-field names. A line that is written anew, with other \
         spaces or another order of fields, has another key, and a sample by it is another sample; `--id-field text` \
         survives that.",
        "The parameters of the n-grams come from the counts; counts made with different ones are refused.",
    ],
    sections: &[(
        "Estimator",
        &[
            "With p and q the share of a bucket among the n-grams of the target and of the raw corpus, a text's weight \
             is the sum of `ln(p + 1e-8) - ln(q + 1e-8)` over the buckets of its n-grams, in 64-bit floats and a \
             fixed order. With --smoothing A, p is (count + A) / (grams + A * buckets). The length is DSIR's: with g \
             n-grams of 1 to n words, (g + n (n - 1) / 2) / n rounded down, which is the number of words.",
            "With --hash sha256 in ngram-hash(1) and no smoothing, weights equal those of the Python package \
             data-selection 1.0.3 up to rounding. The package estimates the raw corpus from 1e9 n-grams at the most \
             unless told otherwise; ngram-hash(1) takes all, or as many words as --words-max says.",
        ],
    )],
    flags: FLAGS,
    rules: &[
        Rule::Needed("raw", "a weight compares the target with the corpus to choose from; ngram-hash(1) counts it"),
        Rule::Needed("target", "a weight says how much a document is like a target; ngram-hash(1) counts it"),
    ],
    examples: &[
        Example {
            about: "Weigh a corpus against a target:",
            command: "ngram-hash docs.jsonl > raw.counts\nngram-hash target.jsonl > target.counts\n\
                      dsir-weight --raw raw.counts --target target.counts docs.jsonl > weights.tsv",
            output: "",
        },
        Example {
            about: "The five documents most like the target, with their weights:",
            command: "paste weights.tsv docs.jsonl | sort -k1,1gr | head -n 5 | cut -f 1,4-",
            output: "",
        },
    ],
    see_also: &["ngram-hash(1)", "topk-resample(1)", "corpus-utils(7)"],
};

fn main() -> ExitCode {
    pipe::start(&TOOL, run)
}

fn run(args: Args) -> Result<(), Failure> {
    let reader = Reader::new(&args.common)?;
    let (parameters, ratios) = ratios(&args.raw, &args.targets, args.smoothing)?;
    let lines = Lines::new(&args.common, Input::open(&args.common)?);
    let mut output = Output::stdout();
    let worker = || WeightRows::new(&parameters, ratios.clone(), reader.clone());
    let (tally, _) = lines.run(worker, |rows| output.write(&rows).map(ControlFlow::Continue))?;
    tally.report(&args.common);
    Stats::new(&args.common, &tally).write(&args.common)
}

fn ratios(raw: &Path, targets: &[PathBuf], smoothing: f64) -> Result<(Parameters, Arc<LogRatios>), Failure> {
    let raw_counts = Counts::open_sum(raw)?;
    let raw_shares = raw_counts.probabilities(0.0).map_err(|why| Failure::file(raw, why))?;
    let mut target_shares = Vec::new();
    for path in targets {
        let counts = Counts::open_sum(path)?;
        if let Some(difference) = difference(&raw_counts.parameters, &counts.parameters) {
            return Err(Failure::file(path, difference));
        }
        target_shares.push(counts.probabilities(smoothing).map_err(|why| Failure::file(path, why))?);
    }
    Ok((raw_counts.parameters, Arc::new(LogRatios::new(&raw_shares, &target_shares))))
}

//! `ngram-hash`: documents in, counts of hashed n-grams out.
//!
//! One count file for the whole input, or with `--per-document` one sparse row a document, in the same order; with
//! `--add` count files in, their sum out. Memory: one table of counts a thread; it does not grow with the input.

mod tally;

use ngram::buckets::{BUCKETS_MAX, Hash, NGRAMS_MAX, Parameters};
use ngram::counts::Counts;
use ngram::words::Tokenizer;
use pipe::failure::Failure;
use pipe::flags::{Example, Flag, Options, Rule, Tool};
use pipe::input::Input;
use pipe::lines::{Lines, Tally};
use pipe::output::Output;
use pipe::record::Reader;
use pipe::settings::Common;
use pipe::shared;
use pipe::stats::Stats;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;
use tally::{Prefix, PrefixTally, SparseRows, TableTally};

#[derive(Default)]
struct Args {
    common: Common,
    parameters: Parameters,
    words_max: Option<u64>,
    per_document: bool,
    add: bool,
}

impl Options for Args {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

const FLAGS: &[Flag<Args>] = &[
    Flag::value("ngrams", "N", "Count n-grams of 1 to N words", "", |args: &mut Args, value| {
        args.parameters.ngrams = value.within(1, NGRAMS_MAX)?;
        Ok(())
    })
    .default(|args| args.parameters.ngrams.to_string()),
    Flag::value("buckets", "B", "How many buckets the n-grams are hashed into", "", |args: &mut Args, value| {
        args.parameters.buckets = value.within(1, BUCKETS_MAX)?;
        Ok(())
    })
    .default(|args| args.parameters.buckets.to_string()),
    Flag::value(
        "hash",
        "xxh3|sha256",
        "The hash that chooses the bucket of an n-gram",
        "`sha256` gives the very buckets of the Python package data-selection 1.0.3, several times slower.",
        |args: &mut Args, value| {
            args.parameters.hash = value.choice(&[("xxh3", Hash::Xxh3), ("sha256", Hash::Sha256)])?;
            Ok(())
        },
    )
    .default(|args| args.parameters.hash.to_string()),
    Flag::value(
        "word-tokenizer",
        "wordpunct|whitespace|words",
        "What is a word of the lower-cased text",
        "`wordpunct`: runs of letters, digits and _, and runs of what is neither these nor white space. `whitespace`: \
         what stands between white space. `words`: the runs of letters, digits and _ alone.",
        |args: &mut Args, value| {
            let choices = [
                ("wordpunct", Tokenizer::Wordpunct),
                ("whitespace", Tokenizer::Whitespace),
                ("words", Tokenizer::Words),
            ];
            args.parameters.tokenizer = value.choice(&choices)?;
            Ok(())
        },
    )
    .default(|args| args.parameters.tokenizer.to_string()),
    Flag::value(
        "words-max",
        "N",
        "Stop after the document in which word N is counted",
        "The first documents stand for all.",
        |args: &mut Args, value| {
            args.words_max = Some(value.positive()?);
            Ok(())
        },
    )
    .count(),
    Flag::switch(
        "per-document",
        "Print one row of counts a document, instead of their sum",
        "The row has `bucket:count` pairs in order of the buckets. A document without words is an empty row, a missing \
         one `nan`.",
        |args: &mut Args, _| {
            args.per_document = true;
            Ok(())
        },
    )
    .output(),
    Flag {
        help: "The FILEs are count files, and the output is their sum. Counts made with different parameters are \
         refused.",
        ..shared::add(|args: &mut Args, _| {
            args.add = true;
            Ok(())
        })
    },
    shared::field(),
    shared::template(),
    shared::shard(),
    shared::on_error(),
    shared::threads(),
    shared::stats(),
    shared::progress(),
];

const TOOL: Tool<Args> = Tool {
    name: "ngram-hash",
    summary: "documents to counts of hashed n-grams",
    operands: "[FILE]...",
    description: &[
        "Reads documents as JSON Lines from the FILEs or from standard input and counts the n-grams of their texts, \
         hashed into a fixed number of buckets: the features of DSIR (Xie et al., 2023, Data Selection for Language \
         Models via Importance Resampling).",
        "The output is one count file: a header line that names the parameters and the totals, then `bucket<TAB>count` \
         for each bucket that was hit. Counts of parts of a corpus add up (--add) to the counts of the whole, in any \
         order and any tree.",
    ],
    sections: &[(
        "Hashing",
        &[
            "The text is lower-cased and cut into words as CPython 3.11 does it (`str.lower()`, `re`, Unicode 14.0), \
             whatever is installed. A lone surrogate, which Python writes as `\\ud800`, is a punctuation character of \
             three bytes.",
            "xxh3: a word's hash is XXH3-64 of its bytes, that of an n-gram of two and more words XXH3-64 of its \
             words' hashes, 8 bytes each in little endian. The bucket is the hash times B, shifted right by 64 bits.",
            "sha256: the words of an n-gram joined by single spaces; the bucket is their SHA-256, a big-endian number, \
             modulo B.",
        ],
    )],
    flags: FLAGS,
    rules: &[
        Rule::Excludes(
            "add",
            &["per-document", "words-max", "shard"],
            "count files are added whole, and say nothing of single documents; choose where the documents are counted",
        ),
        Rule::Excludes(
            "per-document",
            &["words-max"],
            "the rows are those of all documents; head(1) takes the first ones",
        ),
    ],
    examples: &[
        Example {
            about: "Count a corpus, and a smaller one that it should resemble:",
            command: "ngram-hash docs.jsonl > raw.counts\nngram-hash target.jsonl > target.counts",
            output: "",
        },
        Example {
            about: "Count in two parts, as two jobs would, and add:",
            command: "ngram-hash --shard 0/2 docs.jsonl > part0\nngram-hash --shard 1/2 docs.jsonl > part1\n\
                      ngram-hash --add part0 part1 | cmp - raw.counts",
            output: "",
        },
        Example {
            about: "One sparse row a document:",
            command: "printf '%s\\n' '{\"text\": \"to be or not to be\"}' | ngram-hash --per-document --buckets 100",
            output: "5:2 11:1 29:1 37:2 46:2 61:1 80:1 97:1\n",
        },
    ],
    see_also: &["dsir-weight(1)", "ngram-kl(1)", "topk-resample(1)", "corpus-utils(7)"],
};

fn main() -> ExitCode {
    pipe::start(&TOOL, run)
}

fn run(args: Args) -> Result<(), Failure> {
    let reader = Reader::new(&args.common)?;
    let stats = match (args.add, args.per_document, args.words_max) {
        (true, ..) => add(&args)?,
        (_, true, _) => rows(&args, reader)?,
        (.., Some(words_max)) => prefix(&args, reader, words_max)?,
        _ => count(&args, reader)?,
    };
    stats.write(&args.common)
}

fn add(args: &Args) -> Result<Stats, Failure> {
    let standard = [PathBuf::from("-")];
    let paths = if args.common.operands.is_empty() { &standard[..] } else { &args.common.operands };
    let mut sum = Counts::open_sum(&paths[0])?;
    for path in &paths[1..] {
        sum.add(&Counts::open_sum(path)?).map_err(|why| Failure::file(path, why))?;
    }
    print(args, &sum, &Tally::default())
}

fn count(args: &Args, reader: Reader) -> Result<Stats, Failure> {
    let lines = Lines::new(&args.common, Input::open(&args.common)?);
    let worker = || TableTally::new(&args.parameters, reader.clone());
    let (tally, workers) = lines.run(worker, |()| Ok(ControlFlow::Continue(())))?;
    let mut sum = Counts::new(&args.parameters);
    for worker in &workers {
        sum.add(&worker.counts).map_err(Failure::work)?;
    }
    print(args, &sum, &tally)
}

fn prefix(args: &Args, reader: Reader, words_max: u64) -> Result<Stats, Failure> {
    let lines = Lines::new(&args.common, Input::open(&args.common)?);
    let worker = || PrefixTally::new(&args.parameters, reader.clone());
    let mut prefix = Prefix::new(&args.parameters, words_max);
    let (tally, _) = lines.run(worker, |documents| Ok(prefix.add(&documents)))?;
    let first_bad = tally.first_bad.filter(|_| prefix.bad > 0);
    print(args, &prefix.counts, &Tally { rows: prefix.rows, bad: prefix.bad, first_bad, ..tally })
}

fn print(args: &Args, counts: &Counts, tally: &Tally) -> Result<Stats, Failure> {
    Output::stdout().write(counts.text().as_bytes())?;
    tally.report(&args.common);
    let stats = Stats::new(&args.common, tally);
    Ok(stats.with("documents", counts.documents).with("words", counts.words).with("grams", counts.grams()))
}

fn rows(args: &Args, reader: Reader) -> Result<Stats, Failure> {
    let lines = Lines::new(&args.common, Input::open(&args.common)?);
    let mut output = Output::stdout();
    let worker = || SparseRows::new(&args.parameters, reader.clone());
    let (tally, _) = lines.run(worker, |rows| output.write(&rows).map(ControlFlow::Continue))?;
    tally.report(&args.common);
    Ok(Stats::new(&args.common, &tally))
}

//! `tokens-length`: documents as tokens in, a column of their lengths out.
//!
//! One output line per document, in the same order. Memory: one document.

use pipe::column::write_integer;
use pipe::failure::Failure;
use pipe::flags::{Example, Flag, Options, Tool};
use pipe::input::Bytes;
use pipe::lines::Tally;
use pipe::output::Output;
use pipe::progress::Meter;
use pipe::settings::Common;
use pipe::shared;
use pipe::stats::Stats;
use pipe::tokens::TokenReader;
use std::path::PathBuf;
use std::process::ExitCode;

/// Bytes of lengths that are written at a time: few, so that the next program has something to do.
const BUFFER: usize = 8 << 10;

#[derive(Default)]
struct Args {
    common: Common,
}

impl Options for Args {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

const FLAGS: &[Flag<Args>] = &[shared::stats(), shared::progress()];

const TOOL: Tool<Args> = Tool {
    name: "tokens-length",
    summary: "documents as tokens to a column of their lengths",
    operands: "[FILE]...",
    description: &[
        "Reads token streams, as jsonl-tokenize(1) writes them, from the FILEs or from standard input, and prints how \
         many tokens each document has, one number a line. Special tokens that the tokenizer has put there count.",
        "Beside another column (paste(1)), that is the length for the --budget of clip-sample(1) or topk-resample(1), \
         in tokens of the model that is to be trained. A document without tokens stands for a missing row, and is \
         `nan`: neither program chooses it.",
    ],
    sections: &[],
    flags: FLAGS,
    rules: &[],
    examples: &[
        Example {
            about: "How many tokens are there?",
            command: "jsonl-tokenize --tokenizer tokenizer.json docs.jsonl | tokens-length > lengths.tsv\n\
                      wc -l < lengths.tsv; awk '{ tokens += $1 } END { print (tokens > 1000) }' lengths.tsv",
            output: "400\n1\n",
        },
        Example {
            about: "Documents of 2,000 tokens together, evenly from clusters (all in one, here):",
            command: "sed 's/.*/0/' docs.jsonl | paste - lengths.tsv > clusters.tsv\n\
                      clip-sample --budget 2000 --length-field 2 --clusters clusters.tsv docs.jsonl > sample.jsonl\n\
                      jsonl-tokenize --tokenizer tokenizer.json sample.jsonl | tokens-length | awk '{ tokens += $1 } \
                      END { print (tokens > 1900 && tokens <= 2000) }'",
            output: "1\n",
        },
    ],
    see_also: &["jsonl-tokenize(1)", "clip-sample(1)", "topk-resample(1)", "corpus-utils(7)"],
};

fn main() -> ExitCode {
    pipe::start(&TOOL, run)
}

fn run(args: Args) -> Result<(), Failure> {
    let standard = [PathBuf::from("-")];
    let files = if args.common.operands.is_empty() { &standard[..] } else { &args.common.operands };
    let sizes = files.iter().map(|file| Bytes::check(file)).collect::<Result<Vec<_>, _>>()?;
    let mut lengths = Lengths {
        output: Output::stdout(),
        meter: Meter::new(&args.common, sizes.iter().copied().sum()),
        tally: Tally::default(),
        tokens: 0,
        missing: 0,
    };
    files.iter().try_for_each(|file| lengths.append(TokenReader::open(file)?))?;
    lengths.meter.end();
    lengths.output.finish()?;
    let stats = Stats::new(&args.common, &lengths.tally).with("rows_missing", lengths.missing);
    stats.with("tokens", lengths.tokens).write(&args.common)
}

/// The column, and what is in it.
struct Lengths {
    output: Output,
    meter: Meter,
    tally: Tally,
    tokens: u64,
    missing: u64,
}

impl Lengths {
    /// Writes the lengths of the documents of one file.
    fn append(&mut self, mut reader: TokenReader) -> Result<(), Failure> {
        let (mut document, mut rows) = (Vec::new(), Vec::new());
        while reader.next(&mut document)? {
            match document.len() {
                0 => rows.extend_from_slice(b"nan"),
                length => write_integer(length as u64, &mut rows),
            }
            rows.push(b'\n');
            self.tally.rows += 1;
            self.tokens += document.len() as u64;
            self.missing += u64::from(document.is_empty());
            if rows.len() >= BUFFER {
                self.output.write(&rows)?;
                rows.clear();
                self.meter.show(self.tally.bytes + reader.bytes_read(), self.tally.rows);
            }
        }
        self.tally.bytes += reader.bytes_read();
        self.meter.show(self.tally.bytes, self.tally.rows);
        self.output.write(&rows)
    }
}

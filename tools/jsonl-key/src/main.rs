//! `jsonl-key`: documents in, a column of their keys out: one row a document, in the same order.
//!
//! A key is a function of the document's identity alone, its line or a field, by the recipe of corpus-utils(7). Memory:
//! a few MB.

use pipe::failure::Failure;
use pipe::flags::{Example, Flag, Options, Tool};
use pipe::input::Input;
use pipe::key::write_key;
use pipe::keys::{KeyReader, Keyed};
use pipe::lines::Lines;
use pipe::output::Output;
use pipe::settings::Common;
use pipe::shared;
use pipe::stats::Stats;
use std::ops::ControlFlow;
use std::process::ExitCode;

#[derive(Default)]
struct Args {
    common: Common,
}

impl Options for Args {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

const FLAGS: &[Flag<Args>] = &[
    shared::id_field_of_keys(),
    shared::shard(),
    shared::on_error(),
    shared::threads(),
    shared::stats(),
    shared::progress(),
];

const TOOL: Tool<Args> = Tool {
    name: "jsonl-key",
    summary: "documents to the keys that samples are drawn by",
    operands: "[FILE]...",
    description: &[
        "Reads documents, any lines, from the FILEs or from standard input, and prints a row a document: its key, 16 \
         hexadecimal digits, `nan` where it is missing. paste(1) puts keys beside a column, where topk-resample(1) \
         and clip-sample(1) take them (--key-field), so that one run can choose by the columns of all shards without \
         reading a document.",
        "The key of a document is XXH3-64 of its line, or of the field that --id-field names. By the line, a document \
         that is written anew with other spaces, another order of its fields or another escape is another document, \
         and a sample by its key another sample. `--id-field text` makes the key of the text, which survives that.",
    ],
    sections: &[],
    flags: FLAGS,
    rules: &[],
    examples: &[
        Example {
            about: "The same as xxhsum(1) of each line:",
            command: "printf '{\"text\": \"one\"}\\n' | jsonl-key",
            output: "60140307584d2ea3\n",
        },
        Example {
            about: "Written otherwise, the text keeps its key:",
            command: "printf '{\"text\": \"one\"}\\n{\"text\":\"one\"}\\n\
                      ' | jsonl-key --id-field text | uniq -c | tr -s ' ' | cut -d ' ' -f 2",
            output: "2\n",
        },
        Example {
            about: "How many documents come more than once:",
            command: "cat docs.jsonl docs.jsonl | jsonl-key | sort | uniq -d | wc -l",
            output: "400\n",
        },
    ],
    see_also: &["clip-sample(1)", "topk-resample(1)", "dsir-weight(1)", "jsonl-shuffle(1)", "corpus-utils(7)"],
};

fn main() -> ExitCode {
    pipe::start(&TOOL, run)
}

fn run(args: Args) -> Result<(), Failure> {
    let common = &args.common;
    let reader = KeyReader::new(common, false)?;
    let input = Input::open(common)?;
    let mut output = Output::stdout();
    let (tally, _) = Lines::new(common, input)
        .run(|| reader.clone(), |Keyed { keys, .. }| output.write(&text(&keys)).map(ControlFlow::Continue))?;
    tally.report(common);
    Stats::new(common, &tally).write(common)
}

/// A line for each key.
fn text(keys: &[Option<u64>]) -> Vec<u8> {
    let mut text = Vec::with_capacity(17 * keys.len());
    for key in keys {
        match key {
            Some(key) => write_key(*key, &mut text),
            None => text.extend_from_slice(b"nan"),
        }
        text.push(b'\n');
    }
    text
}

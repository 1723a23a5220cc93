//! `jsonl-from-json`: a JSON array in, its elements as JSON Lines out.
//!
//! One output line per element, in the same order. Strings and numbers leave byte for byte; only space between tokens
//! is left out. Memory: one element.

mod elements;

use elements::Elements;
use pipe::failure::{Failure, reading_reason};
use pipe::flags::{Example, Flag, Options, Tool};
use pipe::input::Bytes;
use pipe::lines::Tally;
use pipe::output::Output;
use pipe::progress::Meter;
use pipe::settings::Common;
use pipe::shared;
use pipe::stats::Stats;
use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;

/// Bytes asked for in one read.
const READ: usize = 256 << 10;

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
    name: "jsonl-from-json",
    summary: "a JSON array to JSON Lines",
    operands: "[FILE]...",
    description: &[
        "Reads a JSON array from each FILE or from standard input, as instruction data in Alpaca's form is one, and \
         prints each of its elements on a line of its own.",
        "Strings and numbers leave byte for byte, names in the order in which they stand; spaces, tabs and newlines \
         between them are left out. Each element is checked to be JSON in UTF-8, and what is not is an error that \
         names the line of the file and the byte of the line. An array of any size is read in the memory of its \
         largest element.",
    ],
    sections: &[],
    flags: FLAGS,
    rules: &[],
    examples: &[
        Example {
            about: "An array of two:",
            command: "printf '[{\"instruction\": \"Add.\",\\n  \"input\": \"1 2\"},\\n {\"x\": 1e400}]' | \
             jsonl-from-json",
            output: "{\"instruction\":\"Add.\",\"input\":\"1 2\"}\n{\"x\":1e400}\n",
        },
        Example {
            about: "And lines as an array:",
            command: "printf '{\"a\": 1}\\n{\"a\": 2}\\n' | sed '1s/^/[/; $!s/$/,/; $s/$/]/' | jsonl-from-json",
            output: "{\"a\":1}\n{\"a\":2}\n",
        },
    ],
    see_also: &["jsonl-embed(1)", "lp-rank(1)", "corpus-utils(7)"],
};

fn main() -> ExitCode {
    pipe::start(&TOOL, run)
}

fn run(args: Args) -> Result<(), Failure> {
    let standard = [PathBuf::from("-")];
    let files = if args.common.operands.is_empty() { &standard[..] } else { &args.common.operands };
    let sizes = files.iter().map(|file| Bytes::check(file)).collect::<Result<Vec<_>, _>>()?;
    let mut meter = Meter::new(&args.common, sizes.iter().copied().sum());
    let (mut output, mut tally) = (Output::stdout(), Tally::default());
    for file in files {
        lines(Bytes::open(file)?, &mut output, &mut tally, &mut meter)?;
    }
    meter.end();
    output.finish()?;
    Stats::new(&args.common, &tally).write(&args.common)
}

/// Writes the lines of one array.
fn lines(mut input: Bytes, output: &mut Output, tally: &mut Tally, meter: &mut Meter) -> Result<(), Failure> {
    let (mut elements, mut buffer, mut out) = (Elements::default(), vec![0; READ], Vec::new());
    loop {
        let read = input.read(&mut buffer);
        let read = read.map_err(|why| Failure::work(format!("{}: {}", input.name, reading_reason(why))))?;
        let wrong = |why| Failure::work(format!("{}:{why}", input.name));
        if read == 0 {
            return elements.end().map_err(wrong);
        }
        let taken = elements.take(&buffer[..read], &mut out);
        output.write(&out)?;
        out.clear();
        tally.rows += taken.map_err(wrong)?;
        tally.bytes += read as u64;
        meter.show(tally.bytes, tally.rows);
    }
}

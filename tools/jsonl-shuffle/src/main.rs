//! `jsonl-shuffle`: lines in, the same lines out in random order.
//!
//! The order is a function of the seed and of what the lines are, not of the order in which they come, of threads or of
//! memory. Memory: up to 200 MB; temporary files of twice the input.
//!
//! # The order
//!
//! Each line has a key, and each time that a key comes has 64 bits: the noise of the key for the purpose
//! `clip-order-N`, at its N-th time. The output is sorted by these bits. So repeats of a line are spread like other
//! lines, lines that are equal need no telling apart, and another order of the input gives the same output. It is one
//! of all orders of the lines with equal chances, as far as a hash is random: every line draws its place by itself,
//! which is the sort of random keys that spreadsheets and MapReduce use; bits that are equal (of n lines, n^2 / 2^65
//! pairs) keep the order of the input.
//!
//! To know which time it is, lines are sorted by their keys before: twice the temporary files of a shuffle that knows
//! no repeats. Tried and dropped: the noise of the key alone (repeats stand side by side, which is what a shuffle is
//! there to prevent), the number of the line as its key (another order of the input is another output), a table of the
//! keys that came (8 bytes a line of memory).
//!
//! # Stability
//!
//! Keys and noise are those of `pipe::key`, whose recipe is frozen.

mod sorter;

use pipe::failure::Failure;
use pipe::flags::{Example, Flag, Options, Tool};
use pipe::input::Input;
use pipe::key::noise_bits;
use pipe::keys::{KeyReader, Keyed};
use pipe::lines::{Lines, Tally, split};
use pipe::output::Output;
use pipe::settings::Common;
use pipe::shared;
use pipe::stats::Stats;
use sorter::Sorter;
use std::ops::ControlFlow;
use std::process::ExitCode;

/// Bytes of output that are written together.
const BLOCK: usize = 1 << 20;

#[derive(Default)]
struct Args {
    common: Common,
}

impl Options for Args {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

const FLAGS: &[Flag<Args>] =
    &[shared::seed(), shared::id_field_of_keys(), shared::threads(), shared::stats(), shared::progress()];

const TOOL: Tool<Args> = Tool {
    name: "jsonl-shuffle",
    summary: "documents to the same documents in random order",
    operands: "[FILE]...",
    description: &[
        "Reads documents, any lines, from the FILEs or from standard input, and prints all of them in random order, \
         byte for byte.",
        "The order is a function of the seed and of the lines alone: the same lines in another order, from other files \
         or from shards give the same output. Lines that come several times, as clip-sample(1) draws them, are spread \
         like others. The N-th time that a line comes, its place is decided by the noise bits of corpus-utils(7) for \
         its key and the purpose `clip-order-N`; smaller bits come first.",
        "With --id-field the key is that of the field. Then lines that differ may have one key; which of them is the \
         first is decided by the order of the input.",
    ],
    sections: &[(
        "Memory",
        &["Up to 200 MB, however large the input is, and temporary files of twice its size and 32 bytes a line. They \
             are in TMPDIR (without it /tmp), have no name, and are gone when the run is, however it ends. What is \
             smaller than some 8 MB stays in memory."],
    )],
    flags: FLAGS,
    rules: &[],
    examples: &[
        Example {
            about: "Documents in random order, whatever their order was:",
            command: "jsonl-shuffle docs.jsonl > shuffled.jsonl\n\
                      sort -r docs.jsonl | jsonl-shuffle | cmp - shuffled.jsonl",
            output: "",
        },
        Example {
            about: "Each document five times, spread over the whole:",
            command: "for i in 1 2 3 4 5; do cat docs.jsonl; done | jsonl-shuffle --seed 7 | uniq -d | wc -l",
            output: "",
        },
    ],
    see_also: &["clip-sample(1)", "topk-resample(1)", "jsonl-key(1)", "shuf(1)", "corpus-utils(7)"],
};

fn main() -> ExitCode {
    pipe::start(&TOOL, run)
}

fn run(args: Args) -> Result<(), Failure> {
    let common = &args.common;
    let input = Input::open(common)?;
    let (by_key, tally) = by_key(common, input)?;
    print(by_noise(by_key, common.seed.unwrap_or(0))?)?;
    Stats::new(common, &tally).write(common)
}

/// All lines, to be sorted by their keys.
fn by_key(common: &Common, input: Input) -> Result<(Sorter, Tally), Failure> {
    let reader = KeyReader::new(common, true)?;
    let mut sorter = Sorter::new()?;
    let (tally, _) = Lines::new(common, input).strict().run(
        || reader.clone(),
        |Keyed { keys, lines }| {
            let mut keyed = keys.into_iter().flatten().zip(split(&lines));
            keyed.try_for_each(|(key, line)| sorter.add(key, line)).map(ControlFlow::Continue)
        },
    )?;
    Ok((sorter, tally))
}

/// The same, to be sorted by what is drawn for each key and time.
fn by_noise(by_key: Sorter, seed: u64) -> Result<Sorter, Failure> {
    let mut sorter = Sorter::new()?;
    let (mut last, mut time) = (None, 0_u64);
    by_key.finish(&mut |key: u64, line: &[u8]| {
        time = if last.replace(key) == Some(key) { time + 1 } else { 1 };
        sorter.add(noise_bits(seed, &format!("clip-order-{time}"), key), line)
    })?;
    Ok(sorter)
}

/// Prints all lines in order.
fn print(sorted: Sorter) -> Result<(), Failure> {
    let (mut output, mut block) = (Output::stdout(), Vec::new());
    sorted.finish(&mut |_, line: &[u8]| {
        block.extend_from_slice(line);
        block.push(b'\n');
        if block.len() < BLOCK {
            return Ok(());
        }
        output.write(&block)?;
        block.clear();
        Ok(())
    })?;
    output.write(&block)
}

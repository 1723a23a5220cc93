//! `npy-cat`: arrays and streams in, one array out.
//!
//! All rows of vectors, or all documents of tokens, in the order in which they come; values leave as the bytes that
//! came in. Memory: a block of rows, or the longest document; it does not grow with the input.

mod rows;
mod tokens;

use pipe::failure::Failure;
use pipe::flags::{Example, Flag, Options, Tool};
use pipe::input::Bytes;
use pipe::lines::Tally;
use pipe::output::Output;
use pipe::progress::Meter;
use pipe::settings::Common;
use pipe::shared;
use pipe::stats::Stats;
use rows::Rows;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokens::Documents;

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
    name: "npy-cat",
    summary: "arrays and streams to one array",
    operands: "[FILE]...",
    description: &[
        "Reads `.npy` arrays and streams of vectors or of tokens, one after another, from the FILEs or from standard \
         input, and writes all of their rows, or documents, as one. Into a regular file goes one array, which \
         numpy.load reads; into a pipe, or behind what a file holds already (>>), goes a stream, which says when it \
         is whole: see corpus-utils(7).",
        "So it makes an array of a stream that was kept, puts shards together, and tells whether a file is whole. A \
         stream without its end is an error; so is an empty file. Regular files are checked from header to header \
         before anything is written.",
        "Vectors, and any other rows of numbers, must be of one type and as many values a row; their bytes do not \
         change. Fortran order becomes C order, where the file is a regular one and not compressed.",
        "Documents of tokens may be in integers of several types. The array has the widest of the regular files, else \
         the first one, and a wider one where its lengths or the number of documents do not fit; a token that does \
         not fit is an error. Lengths that are to stand in front wait in memory, 4 MB of them, then in a temporary \
         file (TMPDIR).",
    ],
    sections: &[],
    flags: FLAGS,
    rules: &[],
    examples: &[
        Example {
            about: "Keep the vectors that go through a pipe, and make an array of them:",
            command: "jsonl-embed docs.jsonl | tee vectors.stream | kmeans-fit --batch 128 -k 8 > model.safetensors\n\
                      npy-cat vectors.stream > vectors.npy",
            output: "",
        },
        Example {
            about: "Put shards together:",
            command: "for i in 0 1 2; do jsonl-embed --shard $i/3 docs.jsonl > shard.$i; done\n\
                      npy-cat shard.0 shard.1 shard.2 > vectors.npy",
            output: "",
        },
        Example {
            about: "Is a file whole, and how many rows has it?",
            command: "npy-cat --stats stats.json vectors.npy > /dev/null && cat stats.json",
            output: "",
        },
    ],
    see_also: &["jsonl-embed(1)", "jsonl-tokenize(1)", "kmeans-fit(1)", "pack-tokens(1)", "corpus-utils(7)"],
};

fn main() -> ExitCode {
    pipe::start(&TOOL, run)
}

/// What was put together.
#[derive(Default)]
struct Joined {
    /// Rows or documents, and bytes read.
    tally: Tally,
    /// The type of a value.
    dtype: String,
    /// Values of a row.
    dim: Option<usize>,
    /// Tokens of all documents.
    tokens: Option<u64>,
}

fn run(args: Args) -> Result<(), Failure> {
    let common = &args.common;
    let standard = [PathBuf::from("-")];
    let files = if common.operands.is_empty() { &standard[..] } else { &common.operands };
    let sizes = files.iter().map(|file| Bytes::check(file)).collect::<Result<Vec<_>, _>>()?;
    let mut meter = Meter::new(common, sizes.iter().copied().sum());
    let seen = Seen::of(files, &sizes)?;
    let mut first = Bytes::open(&files[0])?;
    let of_tokens = seen.of_tokens.map_or_else(|| one_dimension(&mut first), Ok)?;
    let inputs = std::iter::once(Ok(first)).chain(files[1..].iter().map(|file| Bytes::open(file)));
    let joined = match of_tokens {
        true => seen.tokens.join(inputs, Output::stdout(), &mut meter)?,
        false => seen.rows.join(inputs, Output::stdout(), &mut meter)?,
    };
    meter.end();
    let stats = Stats::new(common, &joined.tally).with("dtype", joined.dtype);
    stats.with("dim", joined.dim).with("tokens", joined.tokens).write(common)
}

/// What is known beforehand.
#[derive(Default)]
struct Seen {
    rows: Rows,
    tokens: Documents,
    /// Whether there are tokens, not rows.
    of_tokens: Option<bool>,
}

impl Seen {
    /// Goes through all plain files, from header to header; standard input has its turn later.
    fn of(files: &[PathBuf], sizes: &[Option<u64>]) -> Result<Seen, Failure> {
        let mut seen = Seen::default();
        for (file, size) in files.iter().zip(sizes).filter(|(file, _)| *file != Path::new("-")) {
            let Some(size) = size else { continue };
            let mut bytes = Bytes::open(file)?;
            if bytes.is_plain_file() {
                let of_tokens = seen.of_tokens.map_or_else(|| one_dimension(&mut bytes), Ok)?;
                seen.of_tokens = Some(of_tokens);
                if of_tokens { seen.tokens.survey(bytes)? } else { seen.rows.survey(bytes, *size)? }
            }
        }
        Ok(seen)
    }
}

/// Whether an input begins with an array or a stream of tokens: of one dimension. What is no array is said when it is
/// read.
fn one_dimension(bytes: &mut Bytes) -> Result<bool, Failure> {
    Ok(bytes.header()?.is_some_and(|header| header.shape.len() == 1))
}

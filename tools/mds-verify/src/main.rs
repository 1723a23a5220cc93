//! `mds-verify`: Mosaic datasets in, what is in each out, after a look at every byte.
//!
//! In: folders. Out: a JSON object a folder; the first thing that is wrong ends the run. Memory: a shard, and its
//! numbers as 64-bit ones.

mod verification;

use dataset::selection;
use pipe::failure::Failure;
use pipe::flags::{Example, Flag, Options, Rule, Tool};
use pipe::lines::Tally;
use pipe::output::Output;
use pipe::settings::Common;
use pipe::shared;
use pipe::stats::Stats;
use std::process::ExitCode;
use verification::{Expected, verify};

/// What the command line asks for.
#[derive(Default)]
struct Args {
    common: Common,
    expected: Expected,
}

impl Options for Args {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

const FLAGS: &[Flag<Args>] = &[
    Flag::value("vocab-size", "N", "A token of N or more is an error", "", |args: &mut Args, value| {
        args.expected.vocabulary = Some(value.positive()?);
        Ok(())
    })
    .input(),
    Flag {
        help: "A sequence of another length is an error.",
        ..selection::length(|args: &mut Args, value| {
            args.expected.length = Some(selection::length_of(&value)?);
            Ok(())
        })
    },
    shared::stats(),
];

const TOOL: Tool<Args> = Tool {
    name: "mds-verify",
    summary: "look at every byte of Mosaic datasets",
    operands: "DIR...",
    description: &[
        "Reads every byte of the Mosaic streaming datasets (MDS) in the DIRs: sizes and sums of the files, places and \
         sizes of samples and columns, types, ids below --vocab-size, sequences of --length tokens, shards that no \
         index knows. Prints what is in each as a JSON object a line: `shards`, `samples`, `bytes`, `tokens`, \
         `token_max`, `lengths` (least and most numbers of each column), `domains`, and `values_not_looked_into`, \
         which are of encodings other than `str`, `ndarray`, and pickles as pack-tokens(1) writes them.",
        "The first thing that is wrong is an error that names the shard and the sample. An index may come from \
         anywhere: a shard's name must stay below its folder, only regular files are opened, and sizes that are wrong \
         take no memory.",
        "In memory is a shard, unpacked, and its longest sample.",
    ],
    sections: &[],
    flags: FLAGS,
    rules: &[Rule::AnyOf(&["FILE"], "name the folders to look at")],
    examples: &[Example {
        about: "A dataset, and a look at it:",
        command: "pack-tokens --length 4 --mode within --format mds --hashes xxh3_64 --out dataset tokens.npy\n\
                  mds-verify --length 4 dataset",
        output: "",
    }],
    see_also: &["pack-tokens(1)", "mds-merge(1)", "corpus-utils(7)"],
};

fn main() -> ExitCode {
    pipe::start(&TOOL, run)
}

fn run(args: Args) -> Result<(), Failure> {
    let (mut output, mut reports) = (Output::stdout(), Vec::new());
    for folder in &args.common.operands {
        let report = verify(folder, args.expected)?;
        output.write(format!("{report}\n").as_bytes())?;
        reports.push(report);
    }
    Stats::new(&args.common, &Tally::default()).with("reports", reports).write(&args.common)
}

//! How a filter meets the world: flags and their manual, input files, lines in parallel, records, columns, document keys,
//! checked output, failures and exit codes.
//!
//! A tool is a table of [`flags::Flag`]s, a run function, and a [`lines::Worker`] that turns lines into output:
//! [`start`] does the rest.

pub mod apportion;
pub mod array;
pub mod clusters;
pub mod column;
pub mod command;
mod completion;
pub mod crew;
pub mod cut;
mod entries;
pub mod failure;
pub mod flags;
pub mod folder;
mod help;
pub mod input;
pub mod key;
pub mod keys;
pub mod lines;
mod manual;
pub mod npy;
pub mod output;
pub mod progress;
pub mod record;
pub mod rows;
pub mod rules;
pub mod safetensors;
pub mod scratch;
pub mod settings;
pub mod shared;
pub mod stats;
pub mod tokens;
pub mod value;
pub mod vectors;

use command::Parsed;
use failure::Failure;
use flags::{Options, Tool};
use settings::Common;
use std::process::ExitCode;

/// Parses the command line, answers `--help` and its kin, runs the tool, and turns its failure into a message and an exit code.
pub fn start<A: Options>(tool: &Tool<A>, run: fn(A) -> Result<(), Failure>) -> ExitCode {
    let outcome = command::parse(tool, lexopt::Parser::from_env()).and_then(|parsed| match parsed {
        Parsed::Run(options) => run(options),
        Parsed::Print(text) => output::Output::stdout().write(text.as_bytes()),
    });
    match outcome {
        Ok(()) | Err(Failure::ReaderLeft) => ExitCode::SUCCESS,
        Err(Failure::Usage(message)) => {
            eprintln!("{}: {message}", tool.name);
            eprintln!("Try '{} --help'.", tool.name);
            ExitCode::from(2)
        }
        Err(Failure::Work(message)) => {
            eprintln!("{}: {message}", tool.name);
            ExitCode::from(1)
        }
    }
}

/// Tells the user something that is not an error, on stderr.
pub fn note(common: &Common, message: &str) {
    eprintln!("{}: {message}", common.tool);
}

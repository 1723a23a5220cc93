//! How a filter meets the world: flags and their manual, input files, lines in parallel, records, columns, document
//! keys, checked output, failures and exit codes.
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
mod descriptor;
mod digest;
mod entries;
pub mod failure;
pub mod flags;
mod floats;
pub mod folder;
mod format;
mod help;
pub mod identity;
pub mod input;
mod interruption;
pub mod key;
pub mod keys;
pub mod lines;
mod manual;
mod memory;
mod newlines;
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
mod stream;
mod temporary;
pub mod tokens;
pub mod value;
pub mod vectors;

use command::Parsed;
use failure::Failure;
use flags::{Options, Tool};
use settings::Common;
use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;
use std::sync::OnceLock;

/// The program that runs, for messages that are not about its data.
static NAME: OnceLock<&str> = OnceLock::new();

fn name() -> &'static str {
    NAME.get().copied().unwrap_or("corpus-utils")
}

/// Parses the command line, answers `--help` and its kin, runs the tool, and turns its failure into a message and an
/// exit code.
pub fn start<A: Options>(tool: &Tool<A>, run: fn(A) -> Result<(), Failure>) -> ExitCode {
    let _ = NAME.set(tool.name);
    let outcome = command::parse(tool, lexopt::Parser::from_env()).and_then(|parsed| match parsed {
        Parsed::Run(mut options) => {
            if options.common().stats.is_some() {
                digest::want();
            }
            run(options)
        }
        Parsed::Print(text) => output::Output::stdout().write(text.as_bytes()),
    });
    let outcome = outcome.and_then(|()| output::finish_stdout());
    temporary::settle();
    match outcome {
        Ok(()) | Err(Failure::ReaderLeft) => ExitCode::SUCCESS,
        Err(Failure::Usage(message)) => {
            say(tool.name, format_args!("{message}\nTry '{} --help'.", tool.name));
            ExitCode::from(2)
        }
        Err(Failure::Work(message)) => {
            say(tool.name, message);
            ExitCode::from(1)
        }
    }
}

/// Tells the user something that is not an error, on stderr.
pub fn note(common: &Common, message: &str) {
    say(common.tool, message);
}

/// Writes a line to stderr, in one piece. A full disk there, or nobody to read it, is no reason to stop.
fn say(tool: &str, message: impl Display) {
    let _ = std::io::stderr().write_all(format!("{tool}: {message}\n").as_bytes());
}

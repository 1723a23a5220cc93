//! How a filter meets the world: flags and their manual, input files, lines in parallel, records, columns, document keys,
//! checked output, failures and exit codes.
//!
//! A tool is a table of [`flags::Flag`]s, a run function, and a [`lines::Worker`] that turns lines into output:
//! [`start`] does the rest.

pub mod array;
pub mod column;
pub mod common;
pub mod crew;
pub mod cut;
mod descriptor;
pub mod failure;
pub mod flags;
pub mod folder;
mod format;
pub mod input;
mod interruption;
pub mod key;
pub mod lines;
mod manual;
mod memory;
pub mod npy;
pub mod output;
pub mod progress;
pub mod record;
pub mod rows;
pub mod safetensors;
pub mod stats;
mod temporary;
pub mod tokens;
pub mod vectors;

use common::Common;
use failure::Failure;
use flags::{Options, Parsed, Tool};
use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;
use std::sync::OnceLock;

/// The program that runs, for messages that are not about its data.
static NAME: OnceLock<&str> = OnceLock::new();

fn name() -> &'static str {
    NAME.get().copied().unwrap_or("corpus-utils")
}

/// Parses the command line, answers `--help` and its kin, runs the tool, and turns its failure into a message and an exit code.
pub fn start<A: Options>(tool: &Tool<A>, run: fn(A) -> Result<(), Failure>) -> ExitCode {
    let _ = NAME.set(tool.name);
    let outcome = flags::parse(tool, lexopt::Parser::from_env()).and_then(|parsed| match parsed {
        Parsed::Run(mut options) => check_threads(options.common().threads).and_then(|()| run(options)),
        Parsed::Print(text) => output::Output::stdout().write(text.as_bytes()),
    });
    let outcome = outcome.and_then(|()| output::finish_stdout());
    interruption::settle();
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

/// More threads than this are a slip of the pen, and would run out of something else.
const THREADS_MAX: usize = 1024;

fn check_threads(threads: usize) -> Result<(), Failure> {
    let message = format!("--threads {threads}: expected a whole number from 1 to {THREADS_MAX}");
    if threads <= THREADS_MAX { Ok(()) } else { Err(Failure::Usage(message)) }
}

/// Tells the user something that is not an error, on stderr.
pub fn note(common: &Common, message: &str) {
    say(common.tool, message);
}

/// Writes a line to stderr, in one piece. A full disk there, or nobody to read it, is no reason to stop.
fn say(tool: &str, message: impl Display) {
    let _ = std::io::stderr().write_all(format!("{tool}: {message}\n").as_bytes());
}

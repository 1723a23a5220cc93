//! Why a run ended early, and with which exit code.

use std::fmt::Display;
use std::io;
use std::path::Path;

/// The end of a run that did not do all its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Exit 2: asked wrongly; nothing was read or written.
    Usage(String),
    /// Exit 1: the work could not be done (bad data, input, output).
    Work(String),
    /// Exit 0: whoever read the output went away.
    ReaderLeft,
}

impl Failure {
    /// The command line asks for something that cannot be.
    pub fn usage(message: impl Display) -> Failure {
        Failure::Usage(message.to_string())
    }

    /// The work cannot be done.
    pub fn work(message: impl Display) -> Failure {
        Failure::Work(message.to_string())
    }

    /// The work on one file cannot be done: `FILE: why`.
    pub fn file(path: &Path, why: impl Display) -> Failure {
        Failure::Work(format!("{}: {}", name(path), reason(why)))
    }

    /// A line of a file, the first is 1, is in the way: `FILE:LINE: why`.
    pub fn line(path: &Path, line: usize, why: impl Display) -> Failure {
        Failure::Work(format!("{}:{line}: {why}", name(path)))
    }
}

/// What messages call a file: its path, or `<stdin>` for `-`.
pub fn name(path: &Path) -> String {
    if path == Path::new("-") { "<stdin>".to_string() } else { path.display().to_string() }
}

/// An operating system's message without Rust's ` (os error 2)` behind it.
pub fn reason(why: impl Display) -> String {
    let text = why.to_string();
    match text.find(" (os error ") {
        Some(end) => text[..end].to_string(),
        None => text,
    }
}

/// Why reading failed: input that ends too early is said in one word.
pub fn reading_reason(why: io::Error) -> String {
    if why.kind() == io::ErrorKind::UnexpectedEof { "truncated".to_string() } else { reason(why) }
}

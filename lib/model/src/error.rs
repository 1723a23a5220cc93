//! Why a model cannot be used.

use pipe::failure::Failure;
use std::fmt::Display;
use std::path::Path;

/// Why a model cannot be used: one line that names the file, then the field or tensor, then what was found and
/// expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(String);

impl Error {
    /// `FILE: why`.
    pub(crate) fn new(file: &Path, why: impl Display) -> Error {
        Error(format!("{}: {why}", file.display()))
    }

    /// The same of what should be there; what looks like a name on the Hub is told how to get it.
    pub(crate) fn absent(path: &Path, why: impl Display) -> Error {
        let Some(name) = path.to_str().filter(|name| !path.exists() && is_hub_name(name)) else {
            return Error::new(path, why);
        };
        let how = "(in share/corpus-utils where the programs are installed, in scripts of the source)";
        Error::new(path, format!("{why}; of the Hub? get-model {name} DIR brings it {how}"))
    }

    /// An operating system's refusal, without Rust's ` (os error 2)` behind it.
    pub(crate) fn io(file: &Path, why: &std::io::Error) -> Error {
        let text = why.to_string();
        let end = text.find(" (os error ").unwrap_or(text.len());
        Error::new(file, &text[..end])
    }
}

/// Whether this can be `ORGANISATION/NAME`.
fn is_hub_name(name: &str) -> bool {
    let may_be = |part: &str| {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
        part.starts_with(|first: char| first.is_ascii_alphanumeric()) && part.chars().all(plain)
    };
    name.split_once('/').is_some_and(|(organisation, name)| may_be(organisation) && may_be(name))
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Error {
        match failure {
            Failure::Work(message) | Failure::Usage(message) => Error(message),
            Failure::ReaderLeft => unreachable!("nothing is written"),
        }
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_the_hub_is_told_how_to_get_it() {
        let said = |path: &str| Error::absent(Path::new(path), "no such folder").to_string();
        let name = "sentence-transformers/all-MiniLM-L6-v2";
        assert!(
            said(name).starts_with(&format!("{name}: no such folder; of the Hub? get-model {name} DIR brings it "))
        );
        for path in ["model", "/a/b", "./model", "a/b/c", "../b", "a/", "a b/c", "a/.b"] {
            assert_eq!(said(path), format!("{path}: no such folder"));
        }
    }
}

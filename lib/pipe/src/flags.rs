//! The command line of a tool as one table.
//!
//! A [`Flag`] holds its name, its text, its default and its effect. Parsing, `-h`, `--help`, the man page and the shell
//! completions all come from that table, so a flag that is not in it cannot exist.

use crate::common::Common;
use crate::failure::Failure;
use crate::manual;
use lexopt::Arg;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::str::FromStr;

/// What a tool's command line is parsed into. The defaults are those of `Default`.
pub trait Options: Default + 'static {
    /// The part that all tools share.
    fn common(&mut self) -> &mut Common;
}

/// One flag: everything there is to know about it.
pub struct Flag<A> {
    /// Long name without the dashes.
    pub long: &'static str,
    /// Short name.
    pub short: Option<char>,
    /// Name of the value in upper case; empty for a switch. Alternatives are written `a|b`.
    pub value: &'static str,
    /// What it does: sentences, without the default.
    pub help: &'static str,
    /// The default as a user would type it; empty where there is none.
    pub default: fn(&A) -> String,
    /// Its effect; the error says what is wrong with the value.
    pub set: fn(&mut A, Value) -> Result<(), String>,
}

/// A worked example, run by the tests.
pub struct Example {
    /// What it does, one sentence.
    pub about: &'static str,
    /// One or more lines for a POSIX shell.
    pub command: &'static str,
    /// What it prints, where that is worth showing.
    pub output: &'static str,
}

/// A tool's command line and manual.
pub struct Tool<A: 'static> {
    /// Name of the program.
    pub name: &'static str,
    /// `documents to counts of hashed n-grams`: completes "NAME - ..." of the man page.
    pub summary: &'static str,
    /// What the operands are, `[FILE]...`.
    pub operands: &'static str,
    /// Paragraphs of the description.
    pub description: &'static [&'static str],
    /// Further sections: a title, its paragraphs.
    pub sections: &'static [(&'static str, &'static [&'static str])],
    /// The flags in the order of the manual.
    pub flags: &'static [Flag<A>],
    /// Worked examples.
    pub examples: &'static [Example],
    /// Other manual pages, `name(1)`.
    pub see_also: &'static [&'static str],
}

/// The value that a flag was given.
#[derive(Debug)]
pub struct Value(pub OsString);

/// What the command line asks for.
pub enum Parsed<A> {
    /// Do the work.
    Run(A),
    /// Print this and be done: help, manual, version, completion.
    Print(String),
}

impl<A> Flag<A> {
    /// A switch: it takes no value.
    pub const fn switch(
        long: &'static str,
        help: &'static str,
        set: fn(&mut A, Value) -> Result<(), String>,
    ) -> Flag<A> {
        Flag { long, short: None, value: "", help, default: |_| String::new(), set }
    }

    /// A flag with a value and no default.
    pub const fn value(
        long: &'static str,
        value: &'static str,
        help: &'static str,
        set: fn(&mut A, Value) -> Result<(), String>,
    ) -> Flag<A> {
        Flag { long, short: None, value, help, default: |_| String::new(), set }
    }

    /// The same flag with a short name.
    pub const fn short(self, short: char) -> Flag<A> {
        Flag { short: Some(short), ..self }
    }

    /// The same flag with its default shown in the manual.
    pub const fn default(self, default: fn(&A) -> String) -> Flag<A> {
        Flag { default, ..self }
    }
}

impl Value {
    /// The value as text.
    pub fn text(&self) -> Result<&str, String> {
        self.0.to_str().ok_or_else(|| "expected UTF-8 text".to_string())
    }

    /// The value as a number of type `T`.
    pub fn number<T: FromStr>(&self) -> Result<T, String> {
        self.text()?.parse().map_err(|_| format!("expected {}", number_kind::<T>()))
    }

    /// The value as a number that is not zero.
    pub fn positive<T: FromStr + PartialOrd + Default>(&self) -> Result<T, String> {
        match self.number::<T>()? {
            number if number > T::default() => Ok(number),
            _ => Err("expected a number above zero".to_string()),
        }
    }

    /// The value as a finite number of 0 or more.
    pub fn not_negative(&self) -> Result<f64, String> {
        match self.number::<f64>()? {
            number if number >= 0.0 && number.is_finite() => Ok(number),
            _ => Err("expected 0 or more".to_string()),
        }
    }

    /// The value as one of a few words.
    pub fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Result<T, String> {
        let found = choices.iter().find(|(word, _)| OsStr::new(word) == self.0);
        found.map(|&(_, choice)| choice).ok_or_else(|| {
            let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
            format!("expected {}", words.join(" or "))
        })
    }

    /// The value as the name of a file.
    pub fn path(&self) -> Result<PathBuf, String> {
        if self.0.is_empty() { Err("expected a file name".to_string()) } else { Ok(PathBuf::from(&self.0)) }
    }
}

fn number_kind<T>() -> &'static str {
    match std::any::type_name::<T>() {
        "f64" | "f32" => "a number",
        _ => "a whole number in range",
    }
}

/// The flags that every tool answers by itself.
pub(crate) const PRINTING: &[(&str, &str, &str)] = &[
    ("help", "", "Print this text; `-h` prints a short form."),
    ("version", "", "Print the version."),
    ("man", "", "Print the manual page (roff; read it with `man -l -`)."),
    ("completion", "bash|zsh|fish", "Print a completion script for the shell."),
];

/// Reads the command line. Nothing is read or written before it is known to be right.
pub fn parse<A: Options>(tool: &Tool<A>, mut parser: lexopt::Parser) -> Result<Parsed<A>, Failure> {
    let mut options = A::default();
    options.common().tool = tool.name;
    while let Some(arg) = parser.next().map_err(Failure::usage)? {
        let printed = match arg {
            Arg::Value(operand) => {
                options.common().operands.push(PathBuf::from(operand));
                None
            }
            Arg::Short('h') => Some(manual::short(tool)),
            Arg::Long("help") => Some(manual::long(tool)),
            Arg::Long("version") => Some(format!("{} {}\n", tool.name, env!("CARGO_PKG_VERSION"))),
            Arg::Long("man") => Some(manual::page(tool)),
            Arg::Long("completion") => Some(completion(tool, &mut parser)?),
            Arg::Long(name) => {
                let flag = tool.flags.iter().find(|flag| flag.long == name);
                let flag = flag.ok_or_else(|| unknown(tool, name))?;
                set(flag, &mut options, &mut parser)?;
                None
            }
            Arg::Short(letter) => {
                let flag = tool.flags.iter().find(|flag| flag.short == Some(letter));
                let flag = flag.ok_or_else(|| Failure::usage(format!("unknown flag -{letter}")))?;
                set(flag, &mut options, &mut parser)?;
                None
            }
        };
        if let Some(text) = printed {
            return Ok(Parsed::Print(text));
        }
    }
    Ok(Parsed::Run(options))
}

fn completion<A: Options>(tool: &Tool<A>, parser: &mut lexopt::Parser) -> Result<String, Failure> {
    let shell = Value(parser.value().map_err(Failure::usage)?);
    shell
        .choice(&[("bash", manual::bash as fn(&Tool<A>) -> String), ("zsh", manual::zsh), ("fish", manual::fish)])
        .map(|script| script(tool))
        .map_err(|why| Failure::usage(format!("--completion: {why}")))
}

fn set<A>(flag: &Flag<A>, options: &mut A, parser: &mut lexopt::Parser) -> Result<(), Failure> {
    let value = if flag.value.is_empty() {
        OsString::new()
    } else {
        parser.value().map_err(|_| Failure::usage(format!("--{} needs a value: {}", flag.long, flag.value)))?
    };
    let shown = value.to_string_lossy().into_owned();
    (flag.set)(options, Value(value)).map_err(|why| Failure::usage(format!("--{} {shown}: {why}", flag.long)))
}

fn unknown<A>(tool: &Tool<A>, name: &str) -> Failure {
    let names = tool.flags.iter().map(|flag| flag.long).chain(PRINTING.iter().map(|flag| flag.0));
    let nearest = names.map(|known| (strsim::damerau_levenshtein(name, known), known)).min();
    match nearest {
        Some((distance, known)) if distance <= 1 + name.chars().count() / 3 => {
            Failure::usage(format!("unknown flag --{name}; did you mean --{known}?"))
        }
        _ => Failure::usage(format!("unknown flag --{name}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Args {
        common: Common,
        ngrams: u32,
    }

    impl Options for Args {
        fn common(&mut self) -> &mut Common {
            &mut self.common
        }
    }

    const TOOL: Tool<Args> = Tool {
        name: "probe",
        summary: "a tool for these tests",
        operands: "[FILE]...",
        description: &[],
        sections: &[],
        flags: &[Flag::value("ngrams", "N", "Sets N.", |args: &mut Args, value| {
            args.ngrams = value.positive()?;
            Ok(())
        })
        .short('n')],
        examples: &[],
        see_also: &[],
    };

    fn run(words: &[&str]) -> Result<Args, Failure> {
        let parser = lexopt::Parser::from_iter(std::iter::once("probe").chain(words.iter().copied()));
        match parse(&TOOL, parser)? {
            Parsed::Run(args) => Ok(args),
            Parsed::Print(_) => panic!("printed instead of ran"),
        }
    }

    fn refusal(words: &[&str]) -> String {
        match run(words) {
            Err(Failure::Usage(message)) => message,
            _ => panic!("{words:?} was not refused"),
        }
    }

    #[test]
    fn flags_and_operands_mix() {
        let args = run(&["a", "-n3", "-", "--", "--b"]).unwrap();
        assert_eq!(args.ngrams, 3);
        assert_eq!(args.common.operands, ["a", "-", "--b"].map(PathBuf::from));
    }

    #[test]
    fn a_misspelt_flag_gets_a_suggestion() {
        assert_eq!(refusal(&["--ngram", "2"]), "unknown flag --ngram; did you mean --ngrams?");
        assert_eq!(refusal(&["--xyzzy"]), "unknown flag --xyzzy");
    }

    #[test]
    fn a_wrong_value_is_named() {
        assert_eq!(refusal(&["--ngrams", "two"]), "--ngrams two: expected a whole number in range");
        assert_eq!(refusal(&["--ngrams", "0"]), "--ngrams 0: expected a number above zero");
        assert_eq!(refusal(&["--ngrams"]), "--ngrams needs a value: N");
    }
}

//! Reads a command line by a tool's table.

use crate::completion;
use crate::entries::PRINTING;
use crate::failure::Failure;
use crate::flags::{Flag, Options, Tool, Value};
use crate::rules::{self, OPERANDS, Rule, Said, Term, both};
use crate::{help, manual};
use lexopt::Arg;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// What the command line asks for.
pub enum Parsed<A> {
    /// Do the work.
    Run(A),
    /// Print this and be done: help, manual, version, completion.
    Print(String),
}

/// What other programs call a flag of ours.
const MEANINGS: &[(&str, &[&str])] = &[
    ("num", &["count"]),
    ("number", &["count"]),
    ("limit", &["count"]),
    ("n-samples", &["count"]),
    ("size", &["count", "length"]),
    ("jobs", &["threads"]),
    ("workers", &["threads"]),
    ("num-workers", &["threads"]),
    ("n-jobs", &["threads"]),
    ("cpus", &["threads"]),
    ("random-state", &["seed"]),
    ("random-seed", &["seed"]),
    ("column", &["field"]),
    ("key", &["field", "id-field"]),
    ("text-field", &["field"]),
    ("text-column", &["field"]),
    ("id", &["id-field"]),
    ("clusters", &["k"]),
    ("n-clusters", &["k"]),
    ("num-clusters", &["k"]),
    ("n-components", &["k"]),
    ("components", &["k"]),
    ("max-iter", &["iters"]),
    ("max-iters", &["iters"]),
    ("niter", &["iters"]),
    ("iterations", &["iters"]),
    ("n-init", &["runs"]),
    ("nredo", &["runs"]),
    ("batch-size", &["batch"]),
    ("tolerance", &["tol"]),
    ("distance", &["metric"]),
    ("raw", &["headerless"]),
    ("gpu", &["device"]),
    ("output", &["out"]),
    ("output-dir", &["out"]),
    ("max-tokens", &["tokens-max", "max-length", "budget"]),
    ("tokens-max", &["budget", "words-max"]),
    ("max-words", &["words-max"]),
    ("truncate", &["max-length"]),
    ("max-seq-length", &["max-length"]),
    ("sequence-length", &["length"]),
    ("seq-len", &["length"]),
    ("min-tokens", &["min-length"]),
    ("topk", &["top", "nearest"]),
    ("top", &["nearest"]),
    ("neighbours", &["nearest"]),
    ("neighbors", &["nearest"]),
    ("quiet", &["progress"]),
    ("verbose", &["progress", "stats"]),
    ("skip-errors", &["on-error"]),
    ("ignore-errors", &["on-error"]),
    ("minicorpus", &["compat"]),
    ("tokenizer", &["word-tokenizer"]),
];

/// Reads the command line. Nothing is read or written before it is known to be right.
///
/// # Errors
/// [`Failure::Usage`]: an unknown flag, a wrong value, flags that do not go together, standard input asked for twice.
pub fn parse<A: Options>(tool: &Tool<A>, mut parser: lexopt::Parser) -> Result<Parsed<A>, Failure> {
    debug_assert_eq!(unsound(tool), None, "the table of {}", tool.name);
    let mut options = A::default();
    options.common().tool = tool.name;
    let mut given = Given { tool, defaults: A::default(), values: Vec::new(), operands: Vec::new() };
    while let Some(arg) = parser.next().map_err(Failure::usage)? {
        match arg {
            Arg::Value(operand) => given.operands.push(PathBuf::from(operand)),
            Arg::Short('h') => return Ok(Parsed::Print(help::short(tool, help::width()))),
            Arg::Long("help") => return Ok(Parsed::Print(help::long(tool, help::width()))),
            Arg::Long("version") => {
                return Ok(Parsed::Print(format!("{} {}\n", tool.name, env!("CARGO_PKG_VERSION"))));
            }
            Arg::Long("man") => return Ok(Parsed::Print(manual::page(tool))),
            Arg::Long("completion") => return Ok(Parsed::Print(completion(tool, &mut parser)?)),
            Arg::Long(name) => {
                let flag = tool.flags.iter().find(|flag| flag.long == name);
                let flag = flag.ok_or_else(|| unknown(tool, name))?;
                given.values.push((flag.long, set(flag, &mut options, &mut parser)?));
            }
            Arg::Short(letter) => {
                let flag = tool.flags.iter().find(|flag| flag.short == Some(letter));
                let flag = flag.ok_or_else(|| Failure::usage(format!("unknown flag -{letter}")))?;
                given.values.push((flag.long, set(flag, &mut options, &mut parser)?));
            }
        }
    }
    rules::check(tool.rules, &given)?;
    given.standard_input_is_read_once()?;
    options.common().given = given.values.iter().map(|&(name, _)| name).collect();
    options.common().side_files = given.side_files();
    options.common().operands = given.operands;
    Ok(Parsed::Run(options))
}

/// What was given so far.
struct Given<'a, A: 'static> {
    tool: &'a Tool<A>,
    defaults: A,
    values: Vec<(&'static str, OsString)>,
    operands: Vec<PathBuf>,
}

impl<A> Given<'_, A> {
    /// The last value that a flag was given, or its default.
    fn value(&self, name: &str) -> Option<String> {
        let given = self.values.iter().rev().find(|(long, _)| *long == name);
        given.map(|(_, value)| value.to_string_lossy().into_owned()).or_else(|| {
            let flag = self.tool.flags.iter().find(|flag| flag.long == name)?;
            Some((flag.default)(&self.defaults)).filter(|default| !default.is_empty())
        })
    }

    /// The values of flags that name an input, as they stand.
    fn side_files(&self) -> Vec<PathBuf> {
        let reads = |name: &str| self.tool.flags.iter().any(|flag| flag.long == name && flag.reads);
        self.values.iter().filter(|(name, _)| reads(name)).map(|(_, value)| PathBuf::from(value)).collect()
    }

    /// At most one of the operands and of the flags that name an input is standard input.
    fn standard_input_is_read_once(&self) -> Result<(), Failure> {
        let reads = |name: &str| self.tool.flags.iter().any(|flag| flag.long == name && flag.reads);
        let sides = self.values.iter().filter(|(name, value)| reads(name) && is_stdin(Path::new(value)));
        let mut readers: Vec<_> = sides.map(|(name, _)| format!("--{name}")).collect();
        let unread = self.tool.rules.iter().any(|rule| matches!(rule, Rule::NoOperands(term, _) if both(term, self)));
        let asked = self.operands.iter().filter(|operand| is_stdin(operand)).count();
        let implied = usize::from(self.operands.is_empty() && !unread && !self.tool.operands.is_empty());
        readers.extend((0..asked + implied).map(|_| "the operands".to_string()));
        match &readers[..] {
            [first, second, ..] => Err(Failure::usage(format!(
                "standard input can be one thing only, and both {first} and {second} read it: name a file for one of \
                 them"
            ))),
            _ => Ok(()),
        }
    }
}

impl<A> Said for Given<'_, A> {
    fn holds(&self, term: Term) -> bool {
        if term == OPERANDS {
            return !self.operands.is_empty();
        }
        match (term.split_once('='), term.split_once('>')) {
            (Some((name, value)), _) => self.value(name).is_some_and(|given| is(&given, value)),
            (_, Some((name, least))) => self.value(name).and_then(|value| number(&value)) > number(least),
            _ => self.values.iter().any(|&(name, _)| name == term),
        }
    }
}

/// Whether a flag was given a value, settings behind a colon or not: `hash` and `hash:256` are both `hash`.
fn is(given: &str, value: &str) -> bool {
    given.strip_prefix(value).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
}

/// A number as flags take it, `1K` too.
fn number(text: &str) -> Option<f64> {
    let value = Value(text.into());
    value.number::<i64>().map(|number| number as f64).or_else(|_| value.number()).ok()
}

/// Whether a name stands for standard input.
fn is_stdin(path: &Path) -> bool {
    ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"].iter().any(|name| path == Path::new(name))
}

fn completion<A: Options>(tool: &Tool<A>, parser: &mut lexopt::Parser) -> Result<String, Failure> {
    let shell = Value(parser.value().map_err(Failure::usage)?);
    let shells =
        [("bash", completion::bash as fn(&Tool<A>) -> String), ("zsh", completion::zsh), ("fish", completion::fish)];
    shell.choice(&shells).map(|script| script(tool)).map_err(|why| Failure::usage(format!("--completion: {why}")))
}

fn set<A>(flag: &Flag<A>, options: &mut A, parser: &mut lexopt::Parser) -> Result<OsString, Failure> {
    let value = if flag.value.is_empty() {
        OsString::new()
    } else {
        parser.value().map_err(|_| Failure::usage(format!("--{} needs a value: {}", flag.long, flag.value)))?
    };
    let shown = value.to_string_lossy().into_owned();
    (flag.set)(options, Value(value.clone()))
        .map_err(|why| Failure::usage(format!("--{} {shown}: {why}", flag.long)))?;
    Ok(value)
}

fn unknown<A>(tool: &Tool<A>, name: &str) -> Failure {
    match meant(tool, name).or_else(|| nearest(tool, name)) {
        Some(known) => Failure::usage(format!("unknown flag --{name}; did you mean --{known}?")),
        None => Failure::usage(format!("unknown flag --{name}")),
    }
}

/// The flag of ours that other programs call so.
fn meant<A>(tool: &Tool<A>, name: &str) -> Option<&'static str> {
    let names = MEANINGS.iter().filter(|(other, _)| *other == name).flat_map(|(_, ours)| ours.iter());
    names.copied().find(|ours| tool.flags.iter().any(|flag| flag.long == *ours))
}

/// The flag that is spelt most alike.
fn nearest<A>(tool: &Tool<A>, name: &str) -> Option<&'static str> {
    let names = tool.flags.iter().map(|flag| flag.long).chain(PRINTING.iter().map(|flag| flag.0));
    let nearest = names.map(|known| (strsim::damerau_levenshtein(name, known), known)).min();
    nearest.filter(|(distance, _)| *distance <= 1 + name.chars().count() / 3).map(|(_, known)| known)
}

/// What is wrong with a tool's table; looked for wherever debug assertions are on.
fn unsound<A>(tool: &Tool<A>) -> Option<String> {
    let known = |name: &str| name == OPERANDS || tool.flags.iter().any(|flag| flag.long == name);
    let stranger = tool.rules.iter().flat_map(rules::terms).find(|term| !known(rules::name(term)));
    let wordy = tool.flags.iter().find(|flag| flag.summary.is_empty() || flag.summary.ends_with('.'));
    let twice =
        tool.flags.iter().enumerate().find(|(i, flag)| tool.flags[..*i].iter().any(|other| other.long == flag.long));
    stranger
        .map(|term| format!("a rule speaks of --{term}, which is no flag"))
        .or(wordy.map(|flag| format!("--{}: a summary without a full stop is needed", flag.long)))
        .or(twice.map(|(_, flag)| format!("--{} is there twice", flag.long)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Common;

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

    const NOTHING: fn(&mut Args, Value) -> Result<(), String> = |_, _| Ok(());

    const TOOL: Tool<Args> = Tool {
        name: "probe",
        summary: "a tool for these tests",
        operands: "[FILE]...",
        description: &[],
        sections: &[],
        flags: &[
            Flag::value("ngrams", "N", "Set N", "", |args: &mut Args, value| {
                args.ngrams = value.positive()?;
                Ok(())
            })
            .short('n'),
            Flag::value("count", "N", "How many", "", NOTHING),
            Flag::value("weights", "FILE", "A column", "", NOTHING).reads(),
            Flag::value("order", "a|b", "The order", "", NOTHING).default(|_| "a".to_string()),
            Flag::switch("plan", "A switch", "", NOTHING),
            Flag::switch("mixed", "A switch", "", NOTHING),
        ],
        rules: &[
            Rule::NoOperands("plan", "it only looks at the table"),
            Rule::Excludes("order=b", &["count>5"], "b is slow"),
            Rule::OnlyWith(&["mixed"], &["order=a"], "b is mixed already"),
        ],
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
        assert!(args.common.given("ngrams") && !args.common.given("order"));
    }

    #[test]
    fn a_misspelt_flag_gets_a_suggestion() {
        assert_eq!(refusal(&["--ngram", "2"]), "unknown flag --ngram; did you mean --ngrams?");
        assert_eq!(refusal(&["--xyzzy"]), "unknown flag --xyzzy");
    }

    #[test]
    fn a_flag_of_another_program_gets_ours() {
        assert_eq!(refusal(&["--num", "2"]), "unknown flag --num; did you mean --count?");
        assert_eq!(refusal(&["--jobs", "2"]), "unknown flag --jobs", "this tool has no --threads");
    }

    #[test]
    fn a_wrong_value_is_named() {
        assert_eq!(refusal(&["--ngrams", "two"]), "--ngrams two: expected a whole number from 0 to 4294967295");
        assert_eq!(refusal(&["--ngrams", "0"]), "--ngrams 0: expected a number above zero");
        assert_eq!(refusal(&["--ngrams"]), "--ngrams needs a value: N");
    }

    #[test]
    fn rules_see_what_was_given_and_defaults() {
        assert!(run(&["--mixed", "--count", "6"]).is_ok());
        assert!(run(&["--order", "b", "--count", "5"]).is_ok());
        let wrong = refusal(&["--order", "b", "--count", "1K"]);
        assert_eq!(wrong, "--order b does not go with --count above 5: b is slow");
        assert!(refusal(&["--order", "b:7", "--count", "6"]).starts_with("--order b does not go with"));
        assert!(run(&["--order", "bb", "--count", "6"]).is_ok());
        assert_eq!(refusal(&["--mixed", "--order=b"]), "--mixed goes only with --order a: b is mixed already");
        let operands = refusal(&["--plan", "docs"]);
        assert_eq!(operands, "--plan reads no operands, but there are some: it only looks at the table");
    }

    #[test]
    fn standard_input_is_one_thing() {
        for twice in [&["--weights", "-"][..], &["--weights", "/dev/stdin", "-"], &["-", "a", "-"]] {
            assert!(refusal(twice).starts_with("standard input can be one thing only"), "{twice:?}");
        }
        for once in [&["--weights", "-", "docs"][..], &["--weights", "-", "--plan"], &["a", "-"], &[]] {
            assert!(run(once).is_ok(), "{once:?}");
        }
    }
}

//! The command line of a tool as one table.
//!
//! A [`Flag`] holds its name, its texts, its default and its effect; [`Rule`]s say what goes with what. Parsing, `-h`,
//! `--help`, the manual page and the shell completions all come from that table, so a flag that is not in it cannot
//! exist.

pub use crate::rules::Rule;
use crate::settings::Common;
pub use crate::value::Value;

/// What a tool's command line is parsed into. The defaults are those of `Default`.
pub trait Options: Default + 'static {
    /// The part that all tools share.
    fn common(&mut self) -> &mut Common;
}

/// The groups in which `-h`, `--help` and the manual show flags, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// What is read, and how.
    Input,
    /// What the tool does with it.
    Method,
    /// How many rows are chosen.
    Count,
    /// What is written, and where.
    Output,
    /// How the tool runs.
    Common,
}

/// One flag: everything there is to know about it.
pub struct Flag<A> {
    /// Long name without the dashes.
    pub long: &'static str,
    /// Short name.
    pub short: Option<char>,
    /// Name of the value in upper case; empty for a switch. Alternatives are written `a|b`.
    pub value: &'static str,
    /// What it is, in at most 60 characters and without a full stop: the same in every tool that has the flag.
    pub summary: &'static str,
    /// Further sentences, without the default; may be empty.
    pub help: &'static str,
    /// Where the help shows it.
    pub group: Group,
    /// Whether its value names a file that is read, or `-` for standard input.
    pub reads: bool,
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
    /// The flags; the manual shows them by [`Group`], in this order.
    pub flags: &'static [Flag<A>],
    /// What goes with what.
    pub rules: &'static [Rule],
    /// Worked examples.
    pub examples: &'static [Example],
    /// Other manual pages, `name(1)`.
    pub see_also: &'static [&'static str],
}

impl Group {
    /// All of them, in order.
    pub const ALL: [Group; 5] = [Group::Input, Group::Method, Group::Count, Group::Output, Group::Common];

    /// Its heading.
    pub fn title(self) -> &'static str {
        match self {
            Group::Input => "Input",
            Group::Method => "What",
            Group::Count => "How many",
            Group::Output => "Output",
            Group::Common => "Common",
        }
    }
}

impl<A> Flag<A> {
    /// A switch: it takes no value.
    pub const fn switch(
        long: &'static str,
        summary: &'static str,
        help: &'static str,
        set: fn(&mut A, Value) -> Result<(), String>,
    ) -> Flag<A> {
        Flag::value(long, "", summary, help, set)
    }

    /// A flag with a value and no default.
    pub const fn value(
        long: &'static str,
        value: &'static str,
        summary: &'static str,
        help: &'static str,
        set: fn(&mut A, Value) -> Result<(), String>,
    ) -> Flag<A> {
        let (short, group, default) = (None, Group::Method, (|_| String::new()) as fn(&A) -> String);
        Flag { long, short, value, summary, help, group, reads: false, default, set }
    }

    /// The same flag with a short name.
    pub const fn short(self, short: char) -> Flag<A> {
        Flag { short: Some(short), ..self }
    }

    /// The same flag with its default shown in the manual.
    pub const fn default(self, default: fn(&A) -> String) -> Flag<A> {
        Flag { default, ..self }
    }

    /// The same flag, whose value names a file that is read, or `-`: at most one of those, operands included, is
    /// standard input.
    pub const fn reads(self) -> Flag<A> {
        Flag { reads: true, group: Group::Input, ..self }
    }

    /// The same flag among those of [`Group::Input`].
    pub const fn input(self) -> Flag<A> {
        Flag { group: Group::Input, ..self }
    }

    /// The same flag among those of [`Group::Count`].
    pub const fn count(self) -> Flag<A> {
        Flag { group: Group::Count, ..self }
    }

    /// The same flag among those of [`Group::Output`].
    pub const fn output(self) -> Flag<A> {
        Flag { group: Group::Output, ..self }
    }

    /// The same flag among those of [`Group::Common`].
    pub const fn common(self) -> Flag<A> {
        Flag { group: Group::Common, ..self }
    }
}

//! The flags of a tool as help, manual and completions show them, the ones that every tool answers by itself included.

use crate::flags::{Flag, Group, Options, Tool};

/// A flag as it is shown.
pub struct Entry {
    /// Long name without the dashes.
    pub long: &'static str,
    /// Short name.
    pub short: Option<char>,
    /// Name of the value; empty for a switch.
    pub value: &'static str,
    /// What it is, without a full stop.
    pub summary: &'static str,
    /// All that is said of it: the summary as a sentence, further ones, the default.
    pub help: String,
    /// Where it stands.
    pub group: Group,
}

/// The flags that every tool answers by itself: name, value, summary, further sentences.
pub const PRINTING: &[(&str, &str, &str, &str)] = &[
    ("help", "", "Print this text", "With -h a short form."),
    ("version", "", "Print the version", ""),
    ("man", "", "Print the manual page", "It is roff: read it with `man -l -`."),
    ("completion", "bash|zsh|fish", "Print a completion script for the shell", ""),
];

/// The flags by group, each in the order of the table.
pub fn entries<A: Options>(tool: &Tool<A>) -> Vec<Entry> {
    let defaults = A::default();
    let own = tool.flags.iter().map(|flag| Entry {
        long: flag.long,
        short: flag.short,
        value: flag.value,
        summary: flag.summary,
        help: sentences(flag, &defaults),
        group: flag.group,
    });
    let printing = PRINTING.iter().map(|&(long, value, summary, help)| Entry {
        long,
        short: (long == "help").then_some('h'),
        value,
        summary,
        help: format!("{summary}. {help}").trim_end().to_string(),
        group: Group::Common,
    });
    let mut entries: Vec<_> = own.chain(printing).collect();
    entries.sort_by_key(|entry| entry.group);
    entries
}

fn sentences<A>(flag: &Flag<A>, defaults: &A) -> String {
    let default = match (flag.default)(defaults) {
        default if default.is_empty() => default,
        default => format!("Default: {default}."),
    };
    let parts = [&format!("{}.", flag.summary), flag.help, &default];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

//! A tool's table as text: short and long help, manual page, shell completions.

use crate::flags::{Example, Flag, Options, PRINTING, Tool};
use std::fmt::Write;

/// Text width of `--help`.
const WIDTH: usize = 100;

/// A flag as the manual shows it, the built-in ones included.
struct Entry {
    long: &'static str,
    short: Option<char>,
    value: &'static str,
    help: String,
}

fn entries<A: Options>(tool: &Tool<A>) -> Vec<Entry> {
    let defaults = A::default();
    let own = tool.flags.iter().map(|flag| Entry {
        long: flag.long,
        short: flag.short,
        value: flag.value,
        help: help_with_default(flag, &defaults),
    });
    let printing = PRINTING.iter().map(|&(long, value, help)| Entry {
        long,
        short: (long == "help").then_some('h'),
        value,
        help: help.replace("`-h` prints", "-h prints"),
    });
    own.chain(printing).collect()
}

fn help_with_default<A>(flag: &Flag<A>, defaults: &A) -> String {
    match (flag.default)(defaults) {
        default if default.is_empty() => flag.help.to_string(),
        default => format!("{} Default: {default}.", flag.help),
    }
}

fn usage<A>(tool: &Tool<A>) -> String {
    format!("Usage: {} [FLAG]... {}\n{}.\n", tool.name, tool.operands, capitalised(tool.summary))
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

fn name(entry: &Entry) -> String {
    let short = entry.short.map_or("    ".to_string(), |letter| format!("-{letter}, "));
    let value = if entry.value.is_empty() { String::new() } else { format!(" {}", entry.value) };
    format!("{short}--{}{value}", entry.long)
}

/// `-h`: one line a flag.
pub fn short<A: Options>(tool: &Tool<A>) -> String {
    let mut text = usage(tool) + "\n";
    let entries = entries(tool);
    let column = entries.iter().map(|entry| name(entry).len()).max().unwrap_or(0).min(34) + 2;
    for entry in &entries {
        let first =
            entry.help.split_inclusive(['.', ';', ':']).next().unwrap_or_default().trim_end_matches(['.', ';', ':']);
        let _ = writeln!(text, "  {:column$}{first}", name(entry));
    }
    text
}

/// `--help`: everything, for a terminal.
pub fn long<A: Options>(tool: &Tool<A>) -> String {
    let mut text = usage(tool);
    for paragraph in tool.description {
        let _ = write!(text, "\n{}", wrapped(paragraph, 0));
    }
    text += "\nFlags:\n";
    for entry in entries(tool) {
        let _ = write!(text, "  {}\n{}", name(&entry), wrapped(&entry.help, 10));
    }
    for (title, paragraphs) in tool.sections {
        let _ = write!(text, "\n{title}:\n");
        let body: Vec<_> = paragraphs.iter().map(|paragraph| wrapped(paragraph, 2)).collect();
        text += &body.join("\n");
    }
    text += "\nExamples:\n";
    for example in tool.examples {
        let _ = write!(text, "{}{}", wrapped(example.about, 2), indented(example, "      "));
    }
    text
}

fn indented(example: &Example, margin: &str) -> String {
    let prompt =
        example.command.lines().enumerate().map(|(i, line)| format!("{} {line}", if i == 0 { '$' } else { ' ' }));
    let lines = prompt.chain(example.output.lines().map(str::to_string));
    lines.map(|line| format!("{margin}{line}\n")).collect()
}

fn wrapped(text: &str, margin: usize) -> String {
    let mut lines = String::new();
    let mut width = 0;
    for word in text.replace('`', "").split(' ') {
        if width > 0 && width + 1 + word.chars().count() > WIDTH - margin {
            lines.push('\n');
            width = 0;
        }
        let lead = if width == 0 { " ".repeat(margin) } else { " ".to_string() };
        lines += &lead;
        lines += word;
        width += word.chars().count() + usize::from(width > 0);
    }
    lines + "\n"
}

/// `--man`: the manual page in roff's man macros.
pub fn page<A: Options>(tool: &Tool<A>) -> String {
    let mut text = format!(
        ".\\\" Printed by {0} --man; do not edit.\n.TH {1} 1 \"\" \"corpus-utils {2}\" \"User Commands\"\n.SH NAME\n{3} \\- {4}\n.SH SYNOPSIS\n.B {3}\n[\\fIFLAG\\fR]... {5}\n.SH DESCRIPTION\n",
        tool.name,
        tool.name.to_uppercase(),
        env!("CARGO_PKG_VERSION"),
        roff(tool.name),
        roff(tool.summary),
        roff(tool.operands),
    );
    text += &paragraphs(tool.description);
    text += ".SH OPTIONS\n";
    for entry in entries(tool) {
        let _ = write!(text, ".TP\n{}\n{}\n", roff_name(&entry), roff(&entry.help));
    }
    for (title, body) in tool.sections {
        let _ = write!(text, ".SH {}\n{}", title.to_uppercase(), paragraphs(body));
    }
    text += ".SH EXIT STATUS\n0: all done, or the reader of the output went away.\n1: the work could not be done; the message names file and line.\n2: asked wrongly; nothing was read or written.\n.SH EXAMPLES\n";
    let examples: Vec<_> = tool.examples.iter().map(roff_example).collect();
    text += &examples.join(".PP\n");
    let see_also: Vec<_> = tool.see_also.iter().map(|page| roff_reference(page)).collect();
    text + ".SH SEE ALSO\n" + &see_also.join(",\n") + "\n"
}

fn paragraphs(body: &[&str]) -> String {
    let body: Vec<_> = body.iter().map(|paragraph| roff(paragraph) + "\n").collect();
    body.join(".PP\n")
}

fn roff_example(example: &Example) -> String {
    let lines: String = indented(example, "")
        .lines()
        .map(|line| roff_line(&line.replace('\\', "\\e").replace('-', "\\-")) + "\n")
        .collect();
    format!("{}\n.PP\n.nf\n.RS 4\n{lines}.RE\n.fi\n", roff(example.about))
}

fn roff_name(entry: &Entry) -> String {
    let short = entry.short.map_or(String::new(), |letter| format!("\\fB\\-{letter}\\fR, "));
    let value = if entry.value.is_empty() { String::new() } else { format!(" \\fI{}\\fR", roff(entry.value)) };
    format!("{short}\\fB\\-\\-{}\\fR{value}", roff(entry.long))
}

fn roff_reference(page: &str) -> String {
    let (name, section) = page.split_once('(').unwrap_or((page, ""));
    format!(".BR {} ({section}", roff(name))
}

/// Text for roff: dashes and backslashes escaped, `code` in bold, one sentence a line.
fn roff(text: &str) -> String {
    let mut escaped = String::new();
    let mut bold = false;
    for letter in text.chars() {
        match letter {
            '\\' => escaped += "\\e",
            '-' => escaped += "\\-",
            '`' => {
                escaped += if bold { "\\fR" } else { "\\fB" };
                bold = !bold;
            }
            '~' => escaped += "\\(ti",
            '^' => escaped += "\\(ha",
            letter => escaped.push(letter),
        }
    }
    let lines: Vec<_> = escaped.replace(". ", ".\n").lines().map(roff_line).collect();
    lines.join("\n")
}

/// A line that begins with a dot or a quote is a request to roff: a zero-width character in front makes it text.
fn roff_line(line: &str) -> String {
    if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line.to_string() }
}

/// A completion script for bash.
pub fn bash<A: Options>(tool: &Tool<A>) -> String {
    let function = format!("_{}", tool.name.replace('-', "_"));
    let flags: Vec<_> = entries(tool).iter().map(|entry| format!("--{}", entry.long)).collect();
    let mut cases = String::new();
    for entry in entries(tool).iter().filter(|entry| entry.value.contains('|')) {
        let words = entry.value.replace('|', " ");
        let _ = writeln!(cases, "    --{}) COMPREPLY=($(compgen -W '{words}' -- \"$word\")); return ;;", entry.long);
    }
    format!(
        "{function}() {{\n  local word=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}}\n  case $previous in\n{cases}  esac\n  if [[ $word == -* ]]; then\n    COMPREPLY=($(compgen -W '{}' -- \"$word\"))\n  else\n    COMPREPLY=($(compgen -f -- \"$word\"))\n  fi\n}}\ncomplete -o filenames -F {function} {}\n",
        flags.join(" "),
        tool.name
    )
}

/// A completion script for zsh.
pub fn zsh<A: Options>(tool: &Tool<A>) -> String {
    let mut text = format!("#compdef {}\n_arguments -s \\\n", tool.name);
    for entry in entries(tool) {
        let help = first_sentence(&entry.help)
            .replace('\'', "'\\''")
            .replace('[', "\\[")
            .replace(']', "\\]")
            .replace(':', "\\:");
        let action = match entry.value {
            "" => String::new(),
            value if value.contains('|') => format!(":value:({})", value.replace('|', " ")),
            value if value.contains("FILE") || value.contains("DIR") => format!(":{value}:_files"),
            value => format!(":{value}:"),
        };
        let _ = writeln!(text, "  '--{}[{help}]{action}' \\", entry.long);
    }
    text + "  '*:file:_files'\n"
}

/// A completion script for fish.
pub fn fish<A: Options>(tool: &Tool<A>) -> String {
    let mut text = String::new();
    for entry in entries(tool) {
        let help = first_sentence(&entry.help).replace('\\', "\\\\").replace('\'', "\\'");
        let short = entry.short.map_or(String::new(), |letter| format!(" -s {letter}"));
        let value = match entry.value {
            "" => String::new(),
            value if value.contains('|') => format!(" -x -a '{}'", value.replace('|', " ")),
            _ => " -r".to_string(),
        };
        let _ = writeln!(text, "complete -c {} -l {}{short}{value} -d '{help}'", tool.name, entry.long);
    }
    text
}

fn first_sentence(help: &str) -> String {
    let end = help.find(". ").or(help.strip_suffix('.').map(str::len)).unwrap_or(help.len());
    help[..end].replace('`', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roff_text_has_no_requests_in_it() {
        assert_eq!(roff("a. 'b' `--c` \\d"), "a.\n\\&'b' \\fB\\-\\-c\\fR \\ed");
    }

    #[test]
    fn lines_wrap_at_words() {
        let text = wrapped(&"word ".repeat(50), 4);
        assert!(text.lines().all(|line| line.len() <= WIDTH && line.starts_with("    ")), "{text}");
        assert_eq!(text.split_whitespace().count(), 50);
    }
}

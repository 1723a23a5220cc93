//! A tool's table as a manual page, in roff's man macros.

use crate::entries::{Entry, entries};
use crate::flags::{Example, Group, Options, Tool};
use crate::help::indented;
use crate::rules;
use std::fmt::Write;

/// `--man`: the manual page in roff's man macros.
pub fn page<A: Options>(tool: &Tool<A>) -> String {
    let mut text = format!(
        ".\\\" Printed by {0} --man; do not edit.\n.TH {1} 1 \"\" \"corpus-utils {2}\" \"User Commands\"\n.SH \
         NAME\n{3} \\- {4}\n.SH SYNOPSIS\n.B {3}\n[\\fIFLAG\\fR]... {5}\n.SH DESCRIPTION\n",
        tool.name,
        tool.name.to_uppercase(),
        env!("CARGO_PKG_VERSION"),
        roff(tool.name),
        roff(tool.summary),
        roff(tool.operands),
    );
    text += &paragraphs(tool.description);
    text += ".SH OPTIONS\n";
    let entries = entries(tool);
    for group in Group::ALL {
        let shown: Vec<_> = entries.iter().filter(|entry| entry.group == group).collect();
        if !shown.is_empty() {
            let _ = writeln!(text, ".SS {}", group.title());
        }
        for entry in shown {
            let _ = write!(text, ".TP\n{}\n{}\n", roff_name(entry), roff(&entry.help));
        }
    }
    if !tool.rules.is_empty() {
        let sentences: Vec<_> = tool.rules.iter().map(|rule| roff(&rules::sentence(rule)) + "\n").collect();
        let _ = write!(text, ".SH WHAT GOES WITH WHAT\n{}", sentences.join(".PP\n"));
    }
    for (title, body) in tool.sections {
        let _ = write!(text, ".SH {}\n{}", title.to_uppercase(), paragraphs(body));
    }
    text += ".SH EXIT STATUS\n0: all done, or the reader of the output went away.\n1: the work could not be done; the \
     message names file and line.\n2: asked wrongly; nothing was read or written.\n.SH EXAMPLES\n";
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roff_text_has_no_requests_in_it() {
        assert_eq!(roff("a. 'b' `--c` \\d"), "a.\n\\&'b' \\fB\\-\\-c\\fR \\ed");
    }
}

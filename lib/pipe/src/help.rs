//! A tool's table as text for a terminal: `-h` and `--help`.

use crate::entries::{Entry, entries};
use crate::flags::{Example, Group, Options, Tool};
use crate::rules;
use std::fmt::Write;

/// Text width where no terminal says another.
const WIDTH: usize = 80;

/// In `-h` a longer name has its summary on the next line.
const NAME_MAX: usize = 28;

/// `-h`: the summary of each flag, by group, in lines of at most `width` characters.
pub fn short<A: Options>(tool: &Tool<A>, width: usize) -> String {
    let mut text = usage(tool, width);
    let entries = entries(tool);
    let shown = entries.iter().map(|entry| name(entry).len()).filter(|&length| length <= NAME_MAX);
    let column = shown.max().unwrap_or(0) + 4;
    for (title, group) in by_group(&entries) {
        let _ = write!(text, "\n{title}:\n");
        for entry in group {
            text += &row(&name(entry), entry.summary, column, width);
        }
    }
    let _ = write!(text, "\nMore: {} --help\n", tool.name);
    text
}

fn row(name: &str, summary: &str, column: usize, width: usize) -> String {
    let wrapped = wrapped(summary, column, width);
    if name.len() + 4 <= column {
        format!("  {name}{}", &wrapped[name.len() + 2..])
    } else {
        format!("  {name}\n{wrapped}")
    }
}

fn by_group(entries: &[Entry]) -> impl Iterator<Item = (&'static str, Vec<&Entry>)> {
    let of = |group| entries.iter().filter(|entry| entry.group == group).collect::<Vec<_>>();
    let groups = Group::ALL.map(|group| (group.title(), of(group)));
    groups.into_iter().filter(|(_, entries)| !entries.is_empty())
}

/// `--help`: everything, in lines of at most `width` characters (but for examples).
pub fn long<A: Options>(tool: &Tool<A>, width: usize) -> String {
    let mut text = usage(tool, width);
    for paragraph in tool.description {
        let _ = write!(text, "\n{}", wrapped(paragraph, 0, width));
    }
    let entries = entries(tool);
    for (title, group) in by_group(&entries) {
        let _ = write!(text, "\n{title}:\n");
        for entry in group {
            let _ = write!(text, "  {}\n{}", name(entry), wrapped(&entry.help, 10, width));
        }
    }
    if !tool.rules.is_empty() {
        text += "\nWhat goes with what:\n";
        text.extend(tool.rules.iter().map(|rule| wrapped(&rules::sentence(rule), 2, width)));
    }
    for (title, paragraphs) in tool.sections {
        let _ = write!(text, "\n{title}:\n");
        let body: Vec<_> = paragraphs.iter().map(|paragraph| wrapped(paragraph, 2, width)).collect();
        text += &body.join("\n");
    }
    text += "\nExamples:\n";
    for example in tool.examples {
        let _ = write!(text, "{}{}", wrapped(example.about, 2, width), indented(example, "      "));
    }
    text
}

/// The width of the terminal that standard output is; 80 where it is none.
pub fn width() -> usize {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ writes one winsize, which is there; on anything but a terminal it fails and writes nothing.
    let found = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &mut size) };
    if found == 0 && size.ws_col >= 40 { usize::from(size.ws_col) } else { WIDTH }
}

fn usage<A>(tool: &Tool<A>, width: usize) -> String {
    let usage = format!("Usage: {} [FLAG]... {}\n", tool.name, tool.operands);
    usage + &wrapped(&format!("{}.", capitalised(tool.summary)), 0, width)
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

/// The lines of an example: the command behind a prompt, what it prints.
pub fn indented(example: &Example, margin: &str) -> String {
    let prompt =
        example.command.lines().enumerate().map(|(i, line)| format!("{} {line}", if i == 0 { '$' } else { ' ' }));
    let lines = prompt.chain(example.output.lines().map(str::to_string));
    lines.map(|line| format!("{margin}{line}\n")).collect()
}

fn wrapped(text: &str, margin: usize, width: usize) -> String {
    let mut lines = String::new();
    let mut column = 0;
    for word in text.replace('`', "").split(' ') {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > width {
            lines.push('\n');
            column = 0;
        }
        let gap = if column == 0 { margin } else { 1 };
        lines += &" ".repeat(gap);
        lines += word;
        column += gap + length;
    }
    lines + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_wrap_at_words() {
        let text = wrapped("word ".repeat(50).trim_end(), 4, 80);
        assert!(text.lines().all(|line| line.len() <= 80 && line.starts_with("    word")), "{text}");
        assert_eq!(text.split_whitespace().count(), 50);
        assert_eq!(text.lines().map(str::len).max(), Some(78));
    }

    #[test]
    fn a_long_name_has_its_summary_below() {
        assert_eq!(row("    --a N", "Text", 15, 80), "      --a N    Text\n");
        assert_eq!(row("    --abcdef NAME", "Text", 15, 80), "      --abcdef NAME\n               Text\n");
    }
}

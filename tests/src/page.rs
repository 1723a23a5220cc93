//! The commands on manual pages, and what they print.

/// One example: a command of one or more lines, and what it prints where the page shows that.
#[derive(Debug, PartialEq)]
pub struct Example {
    /// What a shell runs.
    pub command: String,
    /// What it prints; empty where the page does not show it.
    pub output: String,
}

/// The examples of a section. The prompt of a command's first line is `$ `, that of the others two spaces.
pub fn examples(section: &str) -> Vec<Example> {
    let blocks = section.split(".RS 4\n").skip(1);
    blocks.map(|block| example(block.split(".RE\n").next().unwrap_or_default())).collect()
}

fn example(block: &str) -> Example {
    let mut example = Example { command: String::new(), output: String::new() };
    for line in block.lines() {
        let line = plain(line) + "\n";
        match line.strip_prefix("$ ").or(line.strip_prefix("  ")) {
            Some(command) => example.command += command,
            None => example.output += &line,
        }
    }
    example
}

/// A line of roff as it is shown.
fn plain(line: &str) -> String {
    let escapes = [("\\-", "-"), ("\\(aq", "'"), ("\\(ha", "^"), ("\\(ti", "~"), ("\\(ga", "`"), ("\\e", "\\")];
    let line = line.trim_start_matches("\\&").to_string();
    escapes.iter().fold(line, |line, (escape, letter)| line.replace(escape, letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_taken_apart() {
        let section = "Count:\n.PP\n.nf\n.RS 4\n$ a \\-b '\\en' \\(aq\\(aq\n  \
         c\n1\\-2\n\\&.x\n.RE\n.fi\n.PP\nAgain:\n.PP\n.nf\n.RS 4\n$ d\n.RE\n.fi\n";
        let expected = [("a -b '\\n' ''\nc\n", "1-2\n.x\n"), ("d\n", "")];
        let expected = expected.map(|(command, output)| Example { command: command.into(), output: output.into() });
        assert_eq!(examples(section), expected);
    }
}

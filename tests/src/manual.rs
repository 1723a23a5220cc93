//! The command line explains itself and refuses what it does not know.

use crate::folder::Folder;
use crate::tool::Tool;
use std::fs;
use std::path::Path;

/// `-h` and `--help` name every flag that the completions know.
pub fn help_names_every_flag(tool: &Tool) {
    let flags = tool.flags();
    for wanted in ["--help", "--version", "--man", "--completion"] {
        assert!(flags.iter().any(|flag| flag == wanted), "{wanted} is not completed");
    }
    for help in ["-h", "--help"] {
        let text = tool.bare(&Folder::new()).args([help]).text();
        assert!(text.starts_with(&format!("Usage: {} ", tool.name)), "{text}");
        let words: Vec<_> = text.split_whitespace().collect();
        flags.iter().for_each(|flag| assert!(words.contains(&flag.as_str()), "{flag} is not in {help}"));
    }
}

/// `-h` and `--help` fit 80 columns where they are not shown on a terminal, but for examples, which are to be copied.
pub fn help_fits_eighty_columns(tool: &Tool) {
    for help in ["-h", "--help"] {
        let text = tool.bare(&Folder::new()).args([help]).text();
        let shown = text.split("\nExamples:\n").next().unwrap_or_default();
        let long: Vec<_> = shown.lines().filter(|line| line.chars().count() > 80).collect();
        assert!(long.is_empty(), "{} {help}:\n{}", tool.name, long.join("\n"));
    }
}

/// `--version` is the name and a version, on a line.
pub fn version_is_one_line(tool: &Tool) {
    let text = tool.bare(&Folder::new()).args(["--version"]).text();
    let version = text.strip_prefix(tool.name).and_then(|rest| rest.strip_suffix('\n')).unwrap_or_default();
    assert!(version.starts_with(' ') && version[1..].split('.').all(|part| part.parse::<u32>().is_ok()), "{text:?}");
}

/// `--man` prints a manual page, the one in `man`.
pub fn manual_page_is_the_committed_one(tool: &Tool) {
    let page = tool.bare(&Folder::new()).args(["--man"]).text();
    let begin = page.lines().find(|line| !line.starts_with(".\\\""));
    assert!(begin.is_some_and(|line| line.starts_with(&format!(".TH {} 1 ", tool.name.to_uppercase()))), "{begin:?}");
    let path = Path::new(tool.source).join("../../man").join(format!("{}.1", tool.name));
    let committed = fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    assert!(page == committed, "{} is not what --man prints: run scripts/man", path.display());
}

/// Each shell's script names every flag.
pub fn completions_are_for_three_shells(tool: &Tool) {
    let flags = tool.flags();
    for shell in ["bash", "zsh", "fish"] {
        let script = tool.bare(&Folder::new()).args(["--completion", shell]).text();
        for flag in &flags {
            let name = if shell == "fish" { flag.replace("--", "-l ") } else { flag.to_string() };
            assert!(script.contains(&name), "{name} is not in the script for {shell}");
        }
    }
    tool.bare(&Folder::new()).args(["--completion", "tcsh"]).outcome().expect_refusal(2, &["--completion", "bash"]);
}

/// A flag that is misspelt is exit 2 with the flag that was meant; one like no other has no suggestion.
pub fn misspelt_flag_is_refused_with_a_suggestion(tool: &Tool) {
    let folder = tool.folder(3);
    for flag in tool.flags().iter().filter(|flag| flag.len() > 6) {
        let misspelt = format!("{}q", &flag[..flag.len() - 1]);
        let said = [tool.name, &misspelt, &format!("did you mean {flag}?")];
        tool.run_on_input(&folder).args([&misspelt]).outcome().expect_refusal(2, &said);
    }
    let strange = tool.run_on_input(&folder).args(["--xyzzyxyzzy"]).outcome();
    strange.expect_refusal(2, &["unknown flag --xyzzyxyzzy\n", "--help"]);
    tool.run_on_input(&folder).args(["-Z"]).outcome().expect_refusal(2, &["-Z"]);
}

/// A value that a flag cannot take is exit 2 and named with its flag, before anything is read.
pub fn wrong_values_are_refused_by_name(tool: &Tool) {
    let shared = [
        ("--threads", "0"),
        ("--threads", "many"),
        ("--shard", "3/3"),
        ("--shard", "1"),
        ("--on-error", "ignore"),
        ("--progress", "yes"),
        ("--stats", ""),
        ("--field", "a..b"),
        ("--template", "no field"),
        ("--seed", "-1"),
    ];
    let folder = tool.folder(3);
    let known = shared.into_iter().filter(|(flag, _)| tool.has(flag));
    for (flag, value) in known.chain(tool.wrong_values.iter().copied()) {
        let refused = tool.run(&folder).args([flag, value]).waiting().outcome();
        refused.expect_refusal(2, &[tool.name, flag.trim_start_matches('-'), value]);
    }
}

/// A flag whose value is left out is exit 2 and says what it wants.
pub fn missing_values_are_refused(tool: &Tool) {
    let help = tool.bare(&Folder::new()).args(["-h"]).text();
    let with_value = |flag: &&String| {
        let after = help.split(&format!("{flag} ")).nth(1).unwrap_or_default();
        after.starts_with(|letter: char| letter != ' ')
    };
    let flags = tool.flags();
    let flags: Vec<_> = flags.iter().filter(with_value).collect();
    assert!(!flags.is_empty());
    for flag in flags {
        tool.bare(&Folder::new()).args([flag]).outcome().expect_refusal(2, &[flag]);
    }
}

//! What a program is given to read from and write to may be closed, full, scarce, or a file by another name.

use crate::folder::Folder;
use crate::run::{Outcome, Run};
use crate::tool::{INPUT, Tool};

/// Runs of a script that is to end well.
const TIMES: usize = 10;

fn shell(tool: &Tool, rest: &str, folder: &Folder) -> Outcome {
    Run::shell(&format!("{} {rest}", tool.command()), folder).outcome()
}

/// Standard output that was closed (`>&-`) is exit 1: what was to be written is not there.
pub fn closed_output_is_an_error(tool: &Tool) {
    let outcome = shell(tool, &format!("{INPUT} >&-"), &tool.folder(20));
    outcome.expect(1);
    assert_eq!(outcome.stderr, format!("{}: <stdout>: Bad file descriptor\n", tool.name));
}

/// Standard input that was closed (`<&-`) is not an empty one.
pub fn closed_input_is_an_error(tool: &Tool) {
    shell(tool, "- <&-", &tool.folder(20)).expect_refusal(1, &["<stdin>: Bad file descriptor"]);
}

/// Messages that cannot be written change neither data nor exit codes.
pub fn full_or_closed_stderr_changes_nothing(tool: &Tool) {
    let (folder, expected) = (tool.folder(20), tool.output(20));
    let progress = if tool.has("--progress") { "--progress always" } else { "" };
    for stderr in ["2>/dev/full", "2>&-"] {
        let outcome = shell(tool, &format!("{INPUT} {progress} {stderr}"), &folder);
        outcome.expect(0);
        assert!(outcome.stdout == expected, "{stderr}");
        shell(tool, &format!("not-there {stderr}"), &folder).expect(1);
        shell(tool, &format!("--xyzzyxyzzy {stderr}"), &folder).expect(2);
    }
}

/// `--stats /dev/stderr` and its kin write where the descriptor is, behind what is there, and replace no file.
pub fn descriptors_are_written_to(tool: &Tool) {
    if !tool.has("--stats") {
        return;
    }
    let expected = tool.output(20);
    for (stats, to) in [
        ("/dev/stderr", "2>>log"),
        ("/dev/fd/2", "2>>log"),
        ("link", "2>>log"),
        ("/dev/stderr", "2>log"),
        ("/proc/self/fd/2", "2>log"),
        ("/dev/fd/7", "7>>log"),
    ] {
        let folder = tool.folder(20);
        std::os::unix::fs::symlink("/dev/stderr", folder.path().join("link")).expect("a link");
        folder.write("log", "before\n");
        let outcome = shell(tool, &format!("{INPUT} --stats {stats} {to}"), &folder);
        outcome.expect(0);
        assert!(outcome.stdout == expected, "--stats {stats} {to}");
        let log = folder.text("log");
        let before = if to.contains(">>") { "before\n{\"" } else { "{\"" };
        assert!(log.starts_with(before) && log.ends_with("}\n"), "--stats {stats} {to}: {log:?}");
    }
    let folder = tool.folder(20);
    shell(tool, &format!("{INPUT} > plain"), &folder).expect(0);
    shell(tool, &format!("{INPUT} --stats /dev/stdout > both"), &folder).expect(0);
    let (plain, both) = (folder.read("plain"), folder.read("both"));
    assert!(both.starts_with(&plain) && both[plain.len()..].starts_with(b"{\"") && both.ends_with(b"}\n"));
}

/// A link that lies where a temporary file was once made is not followed.
pub fn links_in_wait_are_not_followed(tool: &Tool) {
    if !tool.has("--stats") {
        return;
    }
    let folder = tool.folder(20);
    folder.write("victim", "before");
    let script = format!("ln -s victim .stats.$$.tmp; exec {} {INPUT} --stats stats", tool.command());
    Run::shell(&script, &folder).outcome().expect(0);
    assert_eq!(folder.text("victim"), "before");
    assert!(folder.text("stats").starts_with("{\""));
}

/// Too few descriptors are exit 1, more threads than there can be are exit 1 or 2; neither is a crash.
pub fn scarcity_is_no_crash(tool: &Tool) {
    let folder = tool.folder(20);
    for limits in ["ulimit -n 4", "ulimit -n 5"] {
        let outcome = Run::shell(&format!("{limits}; {} {INPUT}", tool.command()), &folder).outcome();
        assert!(matches!(outcome.code, Some(0 | 1)), "{limits}: {:?} {}", outcome.code, outcome.stderr);
    }
    if tool.has("--threads") {
        shell(tool, &format!("{INPUT} --threads 18446744073709551615"), &folder).expect_refusal(2, &["--threads"]);
        for (kib, threads) in [(300_000, 300), (600_000, 1000), (100_000, 50)] {
            let script = format!("ulimit -v {kib}; {} {INPUT} --threads {threads}", tool.command());
            let outcome = Run::shell(&script, &folder).outcome();
            assert!(matches!(outcome.code, Some(0 | 1)), "{script}: {:?} {}", outcome.code, outcome.stderr);
        }
    }
}

/// A named pipe is opened once: whoever writes into it has a reader until all is read.
pub fn named_pipes_are_read_whole(tool: &Tool) {
    let (folder, expected) = (tool.folder(20), tool.output(20));
    let command = format!(
        "mv {INPUT} f; mkfifo {INPUT}; cat f > {INPUT} & timeout 20 {} {INPUT}; wait; mv f {INPUT}",
        tool.command()
    );
    for _ in 0..TIMES {
        let outcome = Run::shell(&command, &folder).outcome();
        outcome.expect(0);
        assert!(outcome.stdout == expected);
    }
}

/// A terminal gets text: what is not text is not written to it, and it is said what to do.
pub fn terminals_get_no_binary_output(tool: &Tool) {
    let folder = tool.folder(20);
    folder.write("run", format!("{} {INPUT} 2> said", tool.command()));
    let outcome = Run::shell("script --quiet --return --command 'sh run' /dev/null", &folder).outcome();
    if outcome.code == Some(0) {
        let shown = std::str::from_utf8(&outcome.stdout).expect("a terminal is shown text");
        let control = shown.chars().find(|&one| one.is_control() && !matches!(one, '\t' | '\r' | '\n'));
        assert_eq!(control, None, "{shown}");
        return;
    }
    outcome.expect(2);
    let said = folder.text("said");
    let expected = "cannot be shown on a terminal: send them into a file (> FILE) or a program (|)";
    assert!(said.contains(expected), "{said}");
}

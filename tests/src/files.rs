//! Files come in whole or not at all, and go out in the same way.

use crate::folder::Folder;
use crate::packed;
use crate::run::Run;
use crate::tool::{INPUT, Tool};
use xxhash_rust::xxh3::xxh3_64;

/// An operand that is not there is exit 1 with its name, and nothing is written.
pub fn missing_file_is_named(tool: &Tool) {
    let folder = tool.folder(3);
    tool.run(&folder).args(["not-there"]).outcome().expect_refusal(1, &["not-there: No such file or directory\n"]);
    // Also where it stands behind others: these are not read before it is known that all are there.
    tool.run_on_input(&folder).args(["not-there"]).outcome().expect_refusal(1, &["not-there: No such file"]);
}

/// A folder for an operand is exit 1 with its name, and how to read its files.
pub fn folder_is_refused(tool: &Tool) {
    let folder = tool.folder(3);
    let said = format!("find / -type f -print0 | sort -z | xargs -0 {} ", tool.name);
    tool.run(&folder).args(["/"]).outcome().expect_refusal(1, &["/: is a directory", &said]);
}

/// A side file that is missing is exit 1 with its name though standard input never ends; so is one that is a folder.
pub fn side_files_are_checked_before_input_is_read(tool: &Tool) {
    let folder = tool.folder(3);
    for flag in tool.side_files {
        for (name, why) in [("not-there", "No such file or directory"), (".", "is a directory")] {
            let args: Vec<_> = tool.args.split(|arg| arg == flag).map(<[&str]>::to_vec).collect();
            let [before, after] = &args[..] else { panic!("{flag} is not once among the arguments") };
            let run = tool.bare(&folder).args(before).args([flag, name]).args(&after[1..]).waiting();
            run.outcome().expect_refusal(1, &[&format!("{name}: {why}")]);
        }
    }
}

/// gzip and zstd, one part or many, under any name: the same output as plain.
pub fn packed_input_is_the_same(tool: &Tool) {
    let rows = 2000;
    let (input, expected) = ((tool.input)(rows), tool.output(rows));
    let (gzip, zstd) = (packed::gzip as fn(&[u8]) -> Vec<u8>, packed::zstd as fn(&[u8]) -> Vec<u8>);
    // A skippable frame in front, as parallel compressors write it.
    let skippable = [b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd".to_vec(), zstd(&input)].concat();
    let forms = [gzip(&input), zstd(&input), packed::in_parts(gzip, &input), packed::in_parts(zstd, &input), skippable];
    for (form, packed) in forms.iter().enumerate() {
        assert!(tool.run_on_input(&tool.folder_of(rows, packed)).output() == expected, "form {form}");
    }
}

/// gzip or zstd that ends too early is exit 1 and says so, wherever it was cut.
pub fn truncated_input_is_an_error(tool: &Tool) {
    let input = (tool.input)(200);
    for packed in [packed::gzip(&input), packed::zstd(&input)] {
        for length in [8, packed.len() / 2, packed.len() - 1] {
            let outcome = tool.run_on_input(&tool.folder_of(200, &packed[..length])).outcome();
            outcome.expect(1);
            assert_eq!(outcome.stderr, format!("{}: {INPUT}: truncated\n", tool.name), "{length} of {}", packed.len());
        }
    }
}

/// A full disk is exit 1 and is said, for help as for data.
pub fn full_disk_is_an_error(tool: &Tool) {
    let folder = tool.folder(3);
    for run in [tool.run_on_input(&folder), tool.bare(&folder).args(["--help"])] {
        let outcome = run.into_file("/dev/full").outcome();
        outcome.expect(1);
        assert_eq!(outcome.stderr, format!("{}: <stdout>: No space left on device\n", tool.name));
    }
}

/// Two runs write the same bytes.
pub fn same_input_twice_is_the_same(tool: &Tool) {
    assert!(tool.output(3000) == tool.output(3000));
}

/// `--stats` writes one JSON object that says what was run and over how much.
pub fn stats_are_one_object(tool: &Tool) {
    if !tool.has("--stats") {
        return;
    }
    let (rows, input) = (50, (tool.input)(50));
    let folder = tool.folder(rows);
    let plain = tool.output(rows);
    assert!(tool.run_on_input(&folder).args(["--stats", "stats"]).output() == plain, "--stats changes the output");
    let text = folder.text("stats");
    assert!(text.ends_with("}\n") && text.lines().count() == 1, "{text}");
    let stats: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    assert_eq!(stats["tool"], tool.name);
    assert_eq!(stats["device"], "cpu");
    assert_eq!((&stats["rows"], &stats["bad_rows"]), (&rows.into(), &0.into()), "{text}");
    assert_eq!(stats["bytes"], input.len(), "{text}");
    assert!(stats["seconds"].as_f64().is_some_and(|seconds| seconds >= 0.0), "{text}");
    assert!(stats["version"].as_str().is_some_and(|version| version.contains('.')), "{text}");
    let arguments: Vec<_> =
        stats["arguments"].as_array().expect("a list").iter().filter_map(|arg| arg.as_str()).collect();
    assert_eq!(arguments, [tool.args, &[INPUT, "--stats", "stats"]].concat());
    let sum = |bytes: &[u8]| format!("{:016x}", xxh3_64(bytes));
    if !plain.is_empty() {
        assert_eq!(file(&stats, "outputs", "<stdout>"), (plain.len().into(), sum(&plain).into()), "{text}");
    }
    let read = file(&stats, "inputs", INPUT);
    assert!(read == (input.len().into(), sum(&input).into()) || read == Default::default(), "{text}");
}

/// How many bytes `--stats` says that a file has, and their sum; both are `null` where it does not know.
pub fn file(stats: &serde_json::Value, side: &str, name: &str) -> (serde_json::Value, serde_json::Value) {
    let mut files = stats[side].as_array().expect("a list").iter().filter(|file| file["name"] == name);
    let file = files.next().unwrap_or_else(|| panic!("{name} is not among the {side} of {stats}"));
    assert!(files.next().is_none(), "{name} is twice among the {side} of {stats}");
    (file["bytes"].clone(), file["xxh3"].clone())
}

/// A tool that is killed while it writes its statistics leaves what was there before, and nothing where there was
/// nothing.
pub fn stats_survive_a_kill_whole_or_not_at_all(tool: &Tool) {
    if !tool.has("--stats") {
        return;
    }
    let folder = tool.folder(3);
    // Long arguments make long statistics, which do not fit under the limit.
    let command = format!("{} {INPUT}{}", tool.command(), " --stats stats".repeat(60));
    killed_at_512_bytes(&command, &folder);
    assert!(!folder.has("stats"), "half a file under the final name");
    folder.write("stats", "before");
    killed_at_512_bytes(&command, &folder);
    assert_eq!(folder.text("stats"), "before");
}

/// Runs a command that writes a file of more than 512 bytes, and gets a signal there. Standard output is a pipe, which
/// has no limit.
pub fn killed_at_512_bytes(command: &str, folder: &Folder) {
    let outcome = Run::shell(&format!("ulimit -f 1; exec {command}"), folder).outcome();
    assert_eq!(outcome.code, None, "{command} was to be killed by SIGXFSZ: {}", outcome.stderr);
}

/// A run that is told to end while it writes with these arguments more leaves nothing, and ends by the signal.
pub fn signals_leave_nothing(tool: &Tool, args: &[&str]) {
    let names = |folder: &Folder| {
        let entries = std::fs::read_dir(folder.path()).expect("a folder").flatten();
        entries.map(|entry| entry.file_name()).collect::<std::collections::BTreeSet<_>>()
    };
    for (name, number) in [("INT", 2), ("TERM", 15), ("HUP", 1)] {
        let folder = tool.folder(2000);
        let before = names(&folder);
        let run = tool.run(&folder).args(args).stdin((tool.input)(2000)).waiting();
        let outcome = run.signalled(name, &folder).outcome();
        assert_eq!((outcome.code, outcome.signal), (None, Some(number)), "{}", outcome.stderr);
        assert_eq!(names(&folder), before, "after {name}");
    }
}

/// A command that reads documents from a pipe keeps them in TMPDIR: nothing is left there after a run, a full disk, a
/// kill; a folder that is not there is named. Gives what a run prints.
pub fn temporary_files_are_gone(folder: &Folder, name: &str, args: &str) -> Vec<u8> {
    Run::shell("mkdir tmp", folder).output();
    let run = |tmp: &str| format!("cat {INPUT} | TMPDIR=$PWD/{tmp} {name} {args}");
    let (run, elsewhere) = (run("tmp"), run("not"));
    let empty = "test -z \"$(ls -A tmp)\"";
    Run::shell(&format!("{run} > out; {empty}"), folder).output();
    // A full disk, which the shell's limit stands for: no file is larger than 100 KiB. Then a kill, by the same limit.
    let full = Run::shell(&format!("trap '' XFSZ; ulimit -f 200; {run} > /dev/null"), folder).outcome();
    full.expect_refusal(1, &[&format!("{name}: a temporary file in "), "/tmp (TMPDIR): File too large\n"]);
    let killed = Run::shell(&format!("ulimit -f 200; {run}"), folder).outcome();
    assert!(killed.code.is_none_or(|code| code > 128), "{killed:?}");
    Run::shell(empty, folder).output();
    let missing = Run::shell(&elsewhere, folder).outcome();
    missing.expect_refusal(1, &["not (TMPDIR): No such file or directory"]);
    folder.read("out")
}

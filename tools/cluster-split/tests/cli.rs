//! `cluster-split` keeps the contract of all tools, as far as it is about more than standard output, which it does not
//! write.

use contract::corpus::{self, Numbers};
use contract::folder::Folder;
use contract::packed;
use contract::run::Run;
use contract::tool::{INPUT, Tool};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

fn tool() -> Tool {
    Tool {
        name: "cluster-split",
        program: env!("CARGO_BIN_EXE_cluster-split"),
        source: env!("CARGO_MANIFEST_DIR"),
        args: &["--clusters", "clusters.tsv", "--out", "parts"],
        side_files: &["--clusters"],
        wrong_values: &[
            ("--clusters", ""),
            ("--out", ""),
            ("--max-lines", "0"),
            ("--max-bytes", "1Q"),
            ("--cluster-field", "0"),
            ("--score-field", "x"),
        ],
        prepare: |folder, rows| folder.write("clusters.tsv", clusters(rows, 5)),
        input: |rows| corpus::documents(rows).into_bytes(),
    }
}

contract::holds!(tool: manual);
contract::holds!(@tests tool files:
    missing_file_is_named, folder_is_refused, truncated_input_is_an_error, side_files_are_checked_before_input_is_read,
    stats_are_one_object);
contract::holds!(@tests tool documents:
    no_documents_are_no_rows, shards_of_what_cannot_be_cut_are_refused, progress_is_not_data,
    formats_without_lines_are_named, endless_documents_beside_a_column_are_an_error);
contract::holds!(@tests tool descriptors:
    closed_input_is_an_error, links_in_wait_are_not_followed, scarcity_is_no_crash);

#[test]
fn signals_leave_nothing() {
    contract::files::signals_leave_nothing(&tool(), &[]);
}

/// A column of so many rows: one of `k` clusters, a distance.
fn clusters(rows: usize, k: u64) -> String {
    let mut numbers = Numbers(5);
    (0..rows).map(|_| format!("{}\t0.{}\n", numbers.below(k), numbers.below(1000))).collect()
}

/// The files of a folder and what is in them; empty folders are a name and nothing.
type Tree = BTreeMap<String, Vec<u8>>;

fn tree(folder: &Folder, name: &str) -> Tree {
    let mut found = Tree::new();
    collect(&folder.path().join(name), "", &mut found);
    found
}

fn collect(path: &Path, name: &str, found: &mut Tree) {
    for entry in fs::read_dir(path).unwrap_or_else(|why| panic!("{}: {why}", path.display())) {
        let entry = entry.unwrap();
        let name = format!("{name}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            collect(&entry.path(), &(name + "/"), found);
        } else {
            found.insert(name, fs::read(entry.path()).unwrap());
        }
    }
}

/// What should come out, the plain way.
fn expected(lines: &[Vec<u8>], clusters: &[&str], lines_max: usize, bytes_max: usize) -> Tree {
    let mut files: BTreeMap<String, Vec<Vec<Vec<u8>>>> = BTreeMap::new();
    for (line, cluster) in lines.iter().zip(clusters) {
        let name = if *cluster == "-1" { "missing".to_string() } else { format!("cluster_{cluster}") };
        let files = files.entry(name).or_default();
        let bytes = |file: &Vec<Vec<u8>>| file.iter().map(|line| line.len() + 1).sum::<usize>();
        match files.last_mut() {
            Some(last) if last.len() < lines_max && bytes(last) + line.len() < bytes_max => last.push(line.clone()),
            _ => files.push(vec![line.clone()]),
        }
    }
    let mut tree = Tree::new();
    for (name, files) in files {
        for (number, lines) in files.into_iter().enumerate() {
            let text = lines.into_iter().flat_map(|line| [line, b"\n".to_vec()].concat()).collect();
            tree.insert(format!("{name}/data_{number}.jsonl"), text);
        }
    }
    tree
}

#[test]
fn documents_are_in_the_folder_of_their_cluster() {
    let mut numbers = Numbers(11);
    for round in 0..30 {
        let rows = [0, 1, 2, 50, 3000][round % 5];
        let k = [1, 3, 700][round % 3];
        let mut line = |_| {
            let length = [0, 1, 3, 20, 200][numbers.below(5) as usize];
            (0..length).map(|_| b"\xff\0\r{}\t ab"[numbers.below(9) as usize]).collect::<Vec<u8>>()
        };
        let mut lines: Vec<Vec<u8>> = (0..rows).map(&mut line).collect();
        // A last line that is empty and has no newline is no line.
        lines.last_mut().into_iter().for_each(|last| last.push(b'x'));
        let names: Vec<_> = (0..rows).map(|_| (numbers.below(k) as i64 * 7 - 1).to_string()).collect();
        let names: Vec<_> = names.iter().map(|name| if name.starts_with('-') { "-1" } else { name }).collect();
        let folder = tool().folder_of(0, &lines.join(&b'\n'));
        folder.write("clusters.tsv", names.iter().map(|name| format!("{name}\tx\n")).collect::<String>());
        for (lines_max, bytes_max, flags) in [
            (usize::MAX, usize::MAX, &["--threads", "1"][..]),
            (usize::MAX, usize::MAX, &["--threads", "7"]),
            (3, usize::MAX, &["--max-lines", "3"]),
            (usize::MAX, 100, &["--max-bytes", "100", "--threads", "2"]),
            (2, 30, &["--max-lines", "2", "--max-bytes", "30"]),
        ] {
            tool().run_on_input(&folder).args(flags).outcome().expect(0);
            assert!(tree(&folder, "parts") == expected(&lines, &names, lines_max, bytes_max), "{rows} {k} {flags:?}");
            fs::remove_dir_all(folder.path().join("parts")).unwrap();
        }
    }
}

/// More lines than wait in memory, so that files are opened again; few open files are allowed, and many are made.
#[test]
fn many_clusters_need_few_open_files_and_little_memory() {
    let rows = 2_000_000;
    let folder = Folder::new();
    folder.write(INPUT, (0..rows).map(|row| format!("{row}\n")).collect::<String>());
    folder.write("clusters.tsv", (0..rows).map(|row| format!("{}\n", row * 7919 % 20_000)).collect::<String>());
    let script = format!("ulimit -n 64; exec cluster-split --clusters clusters.tsv --out parts --max-lines 60 {INPUT}");
    let outcome = Run::shell(&script, &folder).outcome();
    outcome.expect(0);
    assert!(outcome.resident_max_kib < 100 << 10, "{} KiB", outcome.resident_max_kib);
    let mut expected = vec![String::new(); 20_000];
    (0..rows).for_each(|row| expected[row * 7919 % 20_000] += &format!("{row}\n"));
    for (cluster, expected) in expected.iter().enumerate() {
        let files = [0, 1].map(|number| folder.text(&format!("parts/cluster_{cluster}/data_{number}.jsonl")));
        assert!(files.concat() == *expected && files[0].lines().count() == 60, "cluster {cluster}");
    }
    assert_eq!(fs::read_dir(folder.path().join("parts")).unwrap().count(), 20_000);
}

#[test]
fn annotated_documents_are_the_same_with_two_more_fields() {
    let folder = tool().folder(3000);
    tool().run_on_input(&folder).output();
    let plain = tree(&folder, "parts");
    tool().run(&folder).args(["--annotate", "--out", "labelled", INPUT]).output();
    let labelled = tree(&folder, "labelled");
    assert!(plain.keys().eq(labelled.keys()) && plain.len() == 5);
    let mut rows: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in folder.text("clusters.tsv").lines() {
        let (cluster, score) = row.split_once('\t').unwrap();
        let score: f64 = score.parse().unwrap();
        let added = format!(", \"label\": {cluster}, \"score\": {score}}}");
        rows.entry(format!("cluster_{cluster}/data_0.jsonl")).or_default().push(added);
    }
    for (name, file) in &plain {
        let lines = str::from_utf8(file).unwrap().lines().zip(&rows[name]);
        let expected: String =
            lines.map(|(line, added)| line.strip_suffix('}').unwrap().to_string() + added + "\n").collect();
        assert!(labelled[name] == expected.as_bytes(), "{name}");
        let read = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
        assert!(expected.lines().all(|line| read(line)["label"].is_u64() && read(line)["score"].is_number()));
    }
}

#[test]
fn documents_that_cannot_be_annotated_end_the_run_or_go_to_missing() {
    let lines = ["{}", "{\"label\": 1}", "[]", "{\"a\": 1} ", "{\"b\": 2}"];
    let folder = tool().folder_of(0, lines.join("\n").as_bytes());
    folder.write("clusters.tsv", "0\t1e-3\n1\t2\n0\t3\n0\t.5\n-1\tnan\n");
    let refused = tool().run_on_input(&folder).args(["--annotate"]).outcome();
    let said = "docs.jsonl:2: field \"label\": expected none, which --annotate would add, found one\n";
    refused.expect_refusal(1, &[said]);
    assert_eq!(names(&folder), ["clusters.tsv", INPUT]);
    let skip = ["--annotate", "--on-error", "skip", "--stats", "stats"];
    let outcome = tool().run_on_input(&folder).args(skip).outcome();
    outcome.expect(0);
    let said: Vec<_> = outcome.stderr.lines().collect();
    assert_eq!(said[0], "cluster-split: 3 of 5 documents have no cluster: they are in parts/missing");
    assert!(said[1].starts_with("cluster-split: skipped 2 bad of 5 rows; the first: docs.jsonl:2: field"), "{said:?}");
    let text = |name: &str| folder.text(&format!("parts/{name}/data_0.jsonl"));
    assert_eq!(text("missing"), "{\"label\": 1}\n[]\n{\"b\": 2}\n");
    assert_eq!(text("cluster_0"), "{\"label\": 0, \"score\": 0.001}\n{\"a\": 1, \"label\": 0, \"score\": 0.5} \n");
    assert_eq!(tree(&folder, "parts").len(), 2);
    let stats: serde_json::Value = serde_json::from_slice(&folder.read("stats")).unwrap();
    let numbers = ["rows", "bad_rows", "rows_missing", "clusters", "files"].map(|name| stats[name].as_u64());
    assert_eq!(numbers, [Some(5), Some(2), Some(3), Some(1), Some(2)]);
}

/// What a folder has in it, hidden or not.
fn names(folder: &Folder) -> Vec<String> {
    let entries = fs::read_dir(folder.path()).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_folder_with_something_in_it_is_left_alone() {
    let folder = tool().folder(9);
    fs::create_dir(folder.path().join("parts")).unwrap();
    tool().run_on_input(&folder).output();
    let before = tree(&folder, "parts");
    assert!(!before.is_empty());
    folder.write("clusters.tsv", "0\n".repeat(9));
    let refused = tool().run_on_input(&folder).outcome();
    refused.expect_refusal(1, &["parts: expected no folder or an empty one, found one with something in it\n"]);
    assert!(tree(&folder, "parts") == before);
    for (out, said) in
        [("clusters.tsv", "Not a directory"), ("a/b", "a/b: No such file or directory"), ("..", "..: expected")]
    {
        tool()
            .bare(&folder)
            .args(["--clusters", "clusters.tsv", "--out", out, INPUT])
            .outcome()
            .expect_refusal(1, &[said]);
    }
    assert_eq!(names(&folder), ["clusters.tsv", INPUT, "parts"]);
}

#[test]
fn a_run_that_fails_leaves_nothing() {
    for (documents, rows) in [(5, 6), (6, 5), (0, 3), (3, 0), (20_000, 19_999), (19_999, 20_000)] {
        let folder = tool().folder(rows);
        folder.write(INPUT, corpus::documents(documents));
        let said = match documents > rows {
            true => format!("documents: more than {rows}; rows of clusters: {rows}; expected as many"),
            false => format!("documents: {documents}; rows of clusters: more than {documents}; expected as many"),
        };
        tool().run_on_input(&folder).outcome().expect_refusal(1, &[&said]);
        assert_eq!(names(&folder), ["clusters.tsv", INPUT]);
    }
    let folder = tool().folder(3);
    for (row, flags, said) in [
        ("", &[][..], "field 1: expected the number of a cluster (-1: none), found \"\""),
        ("1.5", &[], "field 1: expected the number of a cluster (-1: none), found \"1.5\""),
        ("4294967296", &[], "field 1: expected the number of a cluster (-1: none), found \"4294967296\""),
        ("1", &["--annotate"], "expected a score in field 2, found 1 fields"),
        ("1\tnan", &["--annotate"], "field 2: expected a finite number, found \"nan\""),
        ("1\tinf", &["--annotate"], "field 2: expected a finite number, found \"inf\""),
        ("1\t2", &["--cluster-field", "3"], "expected a cluster in field 3, found 2 fields"),
    ] {
        folder.write("clusters.tsv", format!("1\t1\t1\n{row}\n1\t1\t1\n"));
        let refused = tool().run_on_input(&folder).args(flags).outcome();
        refused.expect_refusal(1, &[&format!("cluster-split: clusters.tsv:2: {said}\n")]);
    }
    assert_eq!(names(&folder), ["clusters.tsv", INPUT]);
    for (flags, said) in [
        (&["--clusters", "-"][..], "standard input can be one thing only"),
        (&["--clusters", "c", "--out", "o", "--score-field", "2", "x"], "--score-field goes only with --annotate"),
        (&["--clusters", "c"], "--out is needed"),
        (&["--out", "o"], "--clusters is needed"),
    ] {
        tool()
            .bare(&folder)
            .args(flags)
            .args((flags.len() == 2 && flags[1] == "-").then_some("--out=o"))
            .outcome()
            .expect_refusal(2, &[said]);
    }
}

/// A signal and a full disk, by a limit on the size of files.
#[test]
fn a_run_that_is_cut_short_leaves_no_folder() {
    let folder = tool().folder(100);
    let command = format!("cluster-split --clusters clusters.tsv --out parts {INPUT}");
    contract::files::killed_at_512_bytes(&command, &folder);
    assert!(!folder.has("parts"));
    let full = Run::shell(&format!("ulimit -f 1; trap '' XFSZ; exec {command}"), &folder).outcome();
    full.expect_refusal(1, &["cluster-split: parts/cluster_", "/data_0.jsonl: File too large\n"]);
    assert!(!folder.has("parts"));
    assert_eq!(names(&folder).len(), 3, "the killed run leaves a hidden folder, the other nothing");
    Run::shell(&command, &folder).output();
    assert_eq!(tree(&folder, "parts").len(), 5);
}

#[test]
fn input_may_be_packed_piped_or_in_parts() {
    let folder = tool().folder(500);
    tool().run_on_input(&folder).output();
    let whole = tree(&folder, "parts");
    let documents = folder.read(INPUT);
    folder.write("packed", packed::in_parts(packed::gzip, &documents));
    folder.write("clusters.packed", packed::zstd(&folder.read("clusters.tsv")));
    let run = |args: &[&str]| tool().bare(&folder).args(args);
    run(&["--clusters", "clusters.packed", "--out", "a", "packed"]).output();
    run(&["--clusters", "clusters.tsv", "--out", "b"]).stdin(documents).output();
    run(&["--clusters", "-", "--out", "c", INPUT]).stdin(folder.read("clusters.tsv")).output();
    assert!(["a", "b", "c"].iter().all(|name| tree(&folder, name) == whole));
}

#[test]
fn shards_one_after_another_are_the_whole() {
    let folder = tool().folder(500);
    tool().run_on_input(&folder).output();
    let whole = tree(&folder, "parts");
    for count in [1, 3, 8] {
        let script = format!(
            "cp clusters.tsv rest; for i in $(seq 0 {}); do
               rows=$(cluster-split --shard $i/{count} --clusters rest --out none {INPUT} 2>&1 |
                 sed 's/.*documents: \\([0-9]*\\);.*/\\1/')
               head -n ${{rows:-500}} rest > rows; tail -n +$((${{rows:-500}} + 1)) rest > other; mv other rest
               cluster-split --shard $i/{count} --clusters rows --out {count}.$i {INPUT}
             done; rm -rf none",
            count - 1
        );
        Run::shell(&script, &folder).output();
        let mut joined = Tree::new();
        for index in 0..count {
            for (name, bytes) in tree(&folder, &format!("{count}.{index}")) {
                joined.entry(name).or_default().extend(bytes);
            }
        }
        assert!(joined == whole, "{count} shards");
    }
}

#[test]
fn a_very_long_line_is_a_line() {
    let input = corpus::very_long_line();
    let folder = tool().folder_of(1, &input);
    folder.write("clusters.tsv", "3\t0.5\n");
    let outcome = tool().run_on_input(&folder).args(["--annotate"]).outcome();
    outcome.expect(0);
    assert!(outcome.resident_max_kib < 5 * (200 << 10), "{} KiB", outcome.resident_max_kib);
    let annotated = folder.read("parts/cluster_3/data_0.jsonl");
    assert!(annotated == [&input[..input.len() - 2], b", \"label\": 3, \"score\": 0.5}\n"].concat());
}

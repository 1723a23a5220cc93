//! `clip-sample` keeps the contract of all tools.

use contract::corpus::{self, Numbers};
use contract::files::{killed_at_512_bytes, temporary_files_are_gone};
use contract::folder::Folder;
use contract::packed;
use contract::run::Run;
use contract::tool::{INPUT, Tool, lines};
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_64;

fn tool() -> Tool {
    Tool {
        name: "clip-sample",
        program: env!("CARGO_BIN_EXE_clip-sample"),
        source: env!("CARGO_MANIFEST_DIR"),
        args: &["--clusters", "clusters.tsv", "--key-field", "3", "--fraction", "0.9"],
        side_files: &["--clusters"],
        wrong_values: &[
            ("--count", "-1"),
            ("--fraction", "-0.5"),
            ("--fraction", "nan"),
            ("--budget", "x"),
            ("--clip", "0"),
            ("--clip", "65536"),
            ("--shares", "both"),
            ("--split", "train"),
            ("--split", "train=1,train=2"),
            ("--split", "../train=1"),
            ("--split", "=1"),
            ("--split", "a=1,b=2%"),
            ("--split", "a=60%,b=41%"),
            ("--cluster-field", "0"),
            ("--clusters", ""),
            ("--out", ""),
            ("--by", ""),
            ("--plan", ""),
        ],
        prepare: |folder, rows| folder.write("clusters.tsv", column(rows)),
        input: |rows| corpus::documents(rows).into_bytes(),
    }
}

/// The same with keys from the documents.
fn without_keys() -> Tool {
    Tool { args: &["--clusters", "clusters.tsv", "--fraction", "0.9"], ..tool() }
}

/// A column of so many rows for `corpus::documents`: cluster (of 7, some large, some small), distance, key, length.
fn column(rows: usize) -> String {
    let mut numbers = Numbers(3);
    let documents = corpus::documents(rows);
    let mut row = |document: &str| {
        let cluster = [0, 0, 0, 0, 1, 1, 2, 3, 3, 5, 9][numbers.below(11) as usize];
        let (distance, length) = (numbers.below(1000) as f64 / 1000.0, numbers.below(50));
        format!("{cluster}\t{distance}\t{:016x}\t{length}\n", xxh3_64(document.as_bytes()))
    };
    documents.lines().map(&mut row).collect()
}

/// The same where every document is drawn.
fn all() -> Tool {
    Tool { args: &["--clusters", "clusters.tsv", "--fraction", "1"], ..tool() }
}

contract::holds!(tool: manual, files);
contract::holds!(@tests tool documents:
    no_documents_are_no_rows, last_line_needs_no_newline, standard_input_is_a_file, operands_are_read_in_order,
    threads_change_nothing, reader_may_leave, reader_may_leave_while_input_waits,
    shards_of_what_cannot_be_cut_are_refused, progress_is_not_data, byte_order_mark_is_no_part_of_a_line,
    formats_without_lines_are_named);

/// Lines that end otherwise are other documents to a column that has keys.
mod other_lines {
    use super::all;
    contract::holds!(@tests all documents: carriage_returns_change_no_row, very_long_line_is_a_line);
}

/// What holds for every tool, where the keys come from the documents: these are read twice, or copied.
#[test]
fn documents_may_come_from_anywhere_without_keys() {
    let tool = without_keys();
    contract::documents::no_documents_are_no_rows(&tool);
    contract::documents::last_line_needs_no_newline(&tool);
    contract::documents::standard_input_is_a_file(&tool);
    contract::documents::operands_are_read_in_order(&tool);
    contract::documents::threads_change_nothing(&tool);
    contract::documents::reader_may_leave(&tool);
    contract::documents::shards_of_what_cannot_be_cut_are_refused(&tool);
    contract::files::packed_input_is_the_same(&tool);
    contract::files::truncated_input_is_an_error(&tool);
    contract::files::stats_are_one_object(&tool);
}

/// A run with only these arguments and the column.
fn draw(folder: &Folder, args: &[&str]) -> Run {
    tool().bare(folder).args(["--clusters", "clusters.tsv"]).args(args)
}

/// The lines in the order of their bytes.
fn sorted(text: &[u8]) -> Vec<&[u8]> {
    let mut lines = lines(text);
    lines.sort_unstable();
    lines
}

/// How many lines of each cluster there are.
fn by_cluster(folder: &Folder, text: &[u8]) -> BTreeMap<String, usize> {
    let (documents, column) = (folder.read(INPUT), folder.text("clusters.tsv"));
    let clusters: BTreeMap<_, _> = lines(&documents).into_iter().zip(column.lines().map(first)).collect();
    let mut counts = BTreeMap::new();
    lines(text).into_iter().for_each(|line| *counts.entry(clusters[line].to_string()).or_insert(0) += 1);
    counts
}

fn first(row: &str) -> &str {
    row.split('\t').next().unwrap_or_default()
}

fn stats(folder: &Folder, names: &[&str]) -> Vec<Option<u64>> {
    let stats: serde_json::Value = serde_json::from_slice(&folder.read("stats")).expect("it is JSON");
    names.iter().map(|name| stats[name].as_u64()).collect()
}

#[test]
fn keys_of_the_column_and_of_the_documents_draw_the_same() {
    let folder = tool().folder(2000);
    for args in [&["-n", "300"][..], &["--fraction", "2.5", "--clip", "4"], &["-n", "99", "--by", "size"]] {
        let from_column = draw(&folder, args).args(["--key-field", "3", INPUT]).output();
        assert!(draw(&folder, args).args([INPUT]).output() == from_column);
        assert!(draw(&folder, args).stdin(folder.read(INPUT)).output() == from_column);
        folder.write("packed", packed::zstd(&folder.read(INPUT)));
        assert!(draw(&folder, args).args(["packed"]).output() == from_column);
        let other = draw(&folder, args).args(["--seed", "1", INPUT]).output();
        assert!(other != from_column);
    }
}

/// What is drawn does not change between releases.
#[test]
fn draws_are_frozen() {
    let folder = tool().folder(40);
    let ids = |args: &[&str]| {
        let drawn = draw(&folder, args).args([INPUT]).text();
        let id = |line: &str| line.split([' ', ',']).nth(1).and_then(|id| id.parse().ok());
        drawn.lines().filter_map(id).collect::<Vec<u32>>()
    };
    assert_eq!(ids(&["-n", "8"]), [9, 11, 17, 18, 26, 32, 33, 39]);
    assert_eq!(ids(&["-n", "12", "--clip", "3", "--seed", "7"]), [9, 9, 9, 15, 17, 17, 21, 32, 34, 34, 34, 35]);
    draw(&folder, &["--split", "a=5,b=5", "--out", "parts", INPUT]).output();
    let a = lines(&folder.read("parts/a.jsonl")).iter().map(|line| xxh3_64(line)).fold(0, |sum, key| sum ^ key);
    assert_eq!(a, 0xcfd44c738cfe1f41);
}

/// With this clip there are more draws to choose from than are ever sorted, so thresholds are found by counting; with
/// that one there are not. No document is drawn fifty times, so the draws are the same.
#[test]
fn thresholds_found_by_counting_draw_the_same() {
    let folder = tool().folder(5000);
    for amount in [&["-n", "7500"][..], &["--budget", "175000", "--length-field", "4"]] {
        let args = [amount, &["--shares", "exact", "--by", "size", INPUT]].concat();
        let args: Vec<_> =
            args.into_iter().filter(|flag| amount.len() == 2 || !["--shares", "exact"].contains(flag)).collect();
        let sorted = draw(&folder, &args).args(["--clip", "50"]).output();
        for threads in ["1", "2", "7"] {
            assert!(
                draw(&folder, &args).args(["--clip", "65535", "--threads", threads]).output() == sorted,
                "{args:?}"
            );
        }
    }
}

#[test]
fn clusters_alike_get_as_many_and_what_does_not_fit_goes_to_the_others() {
    let folder = tool().folder(2000);
    let sizes = by_cluster(&folder, &folder.read(INPUT));
    for count in [0, 1, 6, 7, 100, 600, 1100, 1999, 2000] {
        let drawn = draw(&folder, &["-n", &count.to_string(), INPUT]).output();
        let counts = by_cluster(&folder, &drawn);
        assert_eq!(lines(&drawn).len(), count);
        // Full clusters have all, the others are alike within one.
        let open = sizes.iter().filter(|(id, size)| counts.get(*id).unwrap_or(&0) < size);
        let open: Vec<_> = open.map(|(id, _)| counts.get(id).copied().unwrap_or(0)).collect();
        let most = counts.values().copied().max().unwrap_or(0);
        let (low, high) = (open.iter().min().copied().unwrap_or(most), open.iter().max().copied().unwrap_or(most));
        assert!(high - low <= 1 && most <= low + 1, "{count}: {counts:?} of {sizes:?}");
    }
}

#[test]
fn lines_leave_in_input_order_byte_for_byte_with_repeats_together() {
    let odd = [&b""[..], b"\xff\xfe\0\r", b"{\"a\":  1e400, \"a\": 1}", b"a\tb", "\u{2028}".as_bytes(), b"\r"];
    let folder = tool().folder_of(odd.len(), &odd.join(&b'\n'));
    assert_eq!(lines(&draw(&folder, &["-n", "6", INPUT]).output()), odd);
    let thrice: Vec<_> = odd.iter().flat_map(|line| [*line; 3]).collect();
    assert_eq!(lines(&draw(&folder, &["-n", "18", "--clip", "3", INPUT]).output()), thrice);
    assert_eq!(lines(&draw(&folder, &["-n", "18", "--clip", "3"]).stdin(folder.read(INPUT)).output()), thrice);
}

#[test]
fn a_larger_sample_contains_the_smaller() {
    let folder = tool().folder(700);
    for more in [&["--by", "size"][..], &["--clip", "3"], &["--clip", "3", "--shares", "exact"]] {
        let mut before: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
        for count in [1, 2, 3, 10, 11, 50, 51, 52, 53, 400, 699] {
            let drawn = draw(&folder, &["-n", &count.to_string(), INPUT]).args(more).output();
            let mut now = BTreeMap::new();
            lines(&drawn).into_iter().for_each(|line| *now.entry(line.to_vec()).or_insert(0) += 1);
            assert!(before.iter().all(|(line, times)| now.get(line) >= Some(times)), "{more:?}: {count}");
            before = now;
        }
    }
}

#[test]
fn the_order_of_documents_changes_no_draw() {
    let folder = tool().folder(900);
    let (documents, column) = (corpus::documents(900), column(900));
    let mut rows: Vec<_> = documents.lines().zip(column.lines()).collect();
    rows.sort_by_key(|(line, _)| xxh3_64(line.as_bytes()));
    folder.write("other.jsonl", rows.iter().map(|(line, _)| format!("{line}\n")).collect::<String>());
    folder.write("other.tsv", rows.iter().map(|(_, row)| format!("{row}\n")).collect::<String>());
    for args in [
        &["-n", "200"][..],
        &["--by", "size", "-n", "200"],
        &["--clip", "3", "-n", "1500"],
        &["--budget", "5000", "--length-field", "4"],
    ] {
        let one = draw(&folder, args).args([INPUT]).output();
        let other = tool().bare(&folder).args(["--clusters", "other.tsv"]).args(args).args(["other.jsonl"]).output();
        assert!(sorted(&one) == sorted(&other), "{args:?}");
        assert!(one != other, "{args:?}");
    }
}

#[test]
fn budgets_of_tokens_are_kept_and_shared() {
    let folder = tool().folder(2000);
    let lengths: BTreeMap<Vec<u8>, u64> = {
        let (documents, column) = (folder.read(INPUT), folder.text("clusters.tsv"));
        let lengths = column.lines().filter_map(|row| row.rsplit('\t').next()?.parse().ok());
        lines(&documents).into_iter().map(<[u8]>::to_vec).zip(lengths).collect()
    };
    for (budget, clip) in [(0, "1"), (10, "1"), (5000, "1"), (30_000, "1"), (60_000, "2"), (90_000, "3")] {
        let args = ["--budget", &budget.to_string(), "--length-field", "4", "--clip", clip, "--stats", "stats"];
        let drawn = draw(&folder, &args).args([INPUT]).output();
        let tokens: u64 = lines(&drawn).iter().map(|line| lengths[*line]).sum();
        assert!(tokens <= budget && tokens + 50 > budget, "{tokens} of {budget}");
        assert_eq!(stats(&folder, &["tokens", "wanted", "shortfall"]), [Some(tokens), Some(budget), Some(0)]);
    }
    let outcome = draw(&folder, &["--budget", "999999", "--length-field", "4", INPUT]).outcome();
    outcome.expect(0);
    assert!(outcome.stdout == folder.read(INPUT));
    let all: u64 = lengths.values().sum();
    let said = format!("clip-sample: wanted: 999999 tokens; clusters give: {all}; all documents are drawn\n");
    assert_eq!(outcome.stderr, said);
}

/// Long documents leave much of their clusters' shares, which goes to the others.
#[test]
fn what_clusters_leave_of_a_budget_goes_to_the_others() {
    let mut numbers = Numbers(5);
    let lengths: Vec<u64> = (0..3000).map(|_| 20 + numbers.below(40).pow(4) / 200).collect();
    let clusters: Vec<u64> = (0..3000).map(|_| numbers.below(22)).collect();
    let folder = tool().folder(3000);
    let row = |(cluster, length): (&u64, &u64)| format!("{cluster}\t{length}\n");
    folder.write("clusters.tsv", clusters.iter().zip(&lengths).map(row).collect::<String>());
    let place: BTreeMap<_, _> = lines(&folder.read(INPUT)).into_iter().map(<[u8]>::to_vec).zip(0..).collect();
    let longest = *lengths.iter().max().expect("lengths");
    for (budget, clip) in [(3000, "1"), (50_000, "1"), (50_000, "4"), (400_000, "1")] {
        let args = ["--budget", &budget.to_string(), "--length-field", "2", "--clip", clip, INPUT];
        let mut of_cluster = [0; 22];
        for line in lines(&draw(&folder, &args).output()) {
            let row: usize = place[line];
            of_cluster[clusters[row] as usize] += lengths[row];
        }
        let tokens = of_cluster.iter().sum::<u64>();
        let least = budget - (budget / 20).max(300);
        assert!((least..=budget).contains(&tokens), "clip {clip}: {tokens} of {budget}");
        // No cluster is more than a document above its share, and so none more than two above another.
        let (low, high) = (of_cluster.iter().min().expect("clusters"), of_cluster.iter().max().expect("clusters"));
        assert!(high - low <= 2 * longest, "clip {clip}: {of_cluster:?}");
    }
}

/// One document that nothing holds keeps no cluster from taking what is left.
#[test]
fn a_document_above_the_budget_leaves_it_to_the_others() {
    let folder = tool().folder(1000);
    let row = |row: usize| format!("{}\t{}\n", row % 2, if row.is_multiple_of(2) { 100_000 } else { 7 });
    folder.write("clusters.tsv", (0..1000).map(row).collect::<String>());
    let drawn = draw(&folder, &["--budget", "1000", "--length-field", "2", INPUT]).output();
    assert_eq!(lines(&drawn).len(), 142, "142 times 7 is 994");
}

#[test]
fn asking_for_more_than_there_is_gives_all_and_says_so() {
    let folder = tool().folder(5);
    let outcome = draw(&folder, &["-n", "9", "--stats", "stats", INPUT]).outcome();
    outcome.expect(0);
    assert!(outcome.stdout == folder.read(INPUT));
    assert_eq!(outcome.stderr, "clip-sample: wanted: 9 documents; clusters give: 5; all documents are drawn\n");
    let names = ["wanted", "shortfall", "draws", "documents", "rows", "rows_missing"];
    assert_eq!(stats(&folder, &names), [Some(9), Some(4), Some(5), Some(5), Some(5), Some(0)]);
    for shares in ["exact", "drawn"] {
        let outcome = draw(&folder, &["-n", "19", "--clip", "3", "--shares", shares, INPUT]).outcome();
        assert_eq!(
            outcome.stderr,
            "clip-sample: wanted: 19 documents; clusters give: 15; every document is drawn 3 times\n"
        );
    }
    let split = ["--split", "a=3,b=9", "--out", "parts", "--stats", "stats", INPUT];
    let outcome = draw(&folder, &split).outcome();
    outcome.expect(0);
    assert!(outcome.stderr.contains("clip-sample: b: wanted: 9 documents; clusters give: "), "{}", outcome.stderr);
}

#[test]
fn rows_without_cluster_and_excluded_clusters_are_never_drawn() {
    let folder = tool().folder(6);
    folder.write("clusters.tsv", "0\t0.1\n-1\tnan\n3\t0.5\nnan\n3\t0.25\n7\t0\n");
    let documents = corpus::documents(6);
    let kept =
        |rows: &[usize]| rows.iter().filter_map(|&row| documents.split_inclusive('\n').nth(row)).collect::<String>();
    let all = draw(&folder, &["--fraction", "1", "--stats", "stats", INPUT]).text();
    assert_eq!(all, kept(&[0, 2, 4, 5]));
    assert_eq!(stats(&folder, &["rows", "rows_missing", "clusters"]), [Some(6), Some(2), Some(3)]);
    folder.write("out", "7\n0\n");
    assert_eq!(draw(&folder, &["--fraction", "1", "--exclude", "out", INPUT]).text(), kept(&[2, 4]));
    folder.write("shares", "3\t1\n");
    assert_eq!(draw(&folder, &["-n", "2", "--by", "shares", "--exclude", "out", INPUT]).text(), kept(&[2, 4]));
    folder.write("out", "7\n12\n");
    let outcome = draw(&folder, &["--fraction", "1", "--exclude", "out", INPUT]).outcome();
    outcome.expect(0);
    assert_eq!(outcome.text(), kept(&[0, 2, 4]));
    assert_eq!(outcome.stderr, "clip-sample: no documents are in the excluded clusters 12\n");
}

#[test]
fn documents_and_column_must_be_as_many() {
    for (documents, rows) in [(5, 6), (6, 5), (0, 3), (3, 0), (20_000, 19_999), (19_999, 20_000), (20_000, 1)] {
        let folder = tool().folder(rows);
        folder.write(INPUT, corpus::documents(documents));
        for more in [&[][..], &["--key-field", "3"]] {
            let outcome = draw(&folder, &["-n", "1", INPUT]).args(more).outcome();
            outcome.expect(1);
            let counted = if documents > rows { format!("more than {rows}") } else { documents.to_string() };
            let said = format!(
                "documents: {counted}; rows of clusters: {rows}; expected as many of the one as of the other\n"
            );
            assert!(outcome.stderr.ends_with(&said), "{}", outcome.stderr);
        }
        let split = ["--split", "a=1", "--out", "parts", "--key-field", "3", INPUT];
        draw(&folder, &split).outcome().expect(1);
        assert!(!folder.has("parts"), "half a split");
    }
}

#[test]
fn bad_rows_are_described_with_their_place() {
    let folder = tool().folder(3);
    let cluster = "field 1: expected a cluster (a whole number below 16777216, or -1 for none), found";
    for (row, said) in [
        ("", format!("{cluster} \"\"")),
        ("x\t1", format!("{cluster} \"x\"")),
        ("1.0\t1", format!("{cluster} \"1.0\"")),
        ("-2\t1", format!("{cluster} \"-2\"")),
        ("16777216\t1", format!("{cluster} \"16777216\"")),
        ("1", "expected a length in field 4, found 1 fields".to_string()),
        ("1\t2\tk\t-1", "field 4: expected a whole number, found \"-1\"".to_string()),
        ("1\t2\tk\t4294967296", "a length of 4294967296: expected less than 2^32".to_string()),
        ("1\t1\tk\t1", "field 3: expected a key of 16 hexadecimal digits, found \"k\"".to_string()),
    ] {
        let good = "1\t0.5\t0123456789abcdef\t9\n";
        folder.write("clusters.tsv", format!("{good}{row}\n{good}"));
        let args = ["--by", "size", "--budget", "9", "--length-field", "4", "--key-field", "3", INPUT];
        let refused = draw(&folder, &args).outcome();
        refused.expect_refusal(1, &[&format!("clip-sample: clusters.tsv:2: {said}")]);
    }
    folder.write("clusters.tsv", "1\n2\n3\n");
    folder.write(INPUT, "{\"id\": 1}\n{\"id\": 1.5}\n{\"id\": 2}\n");
    let said = "docs.jsonl:2: field \"id\": expected a string or a whole number, found number";
    draw(&folder, &["-n", "1", "--id-field", "id", INPUT]).outcome().expect_refusal(1, &[said]);
    folder.write("good", "{\"id\": 1}\n{\"id\": 3}\n{\"id\": 2}\n");
    draw(&folder, &["-n", "3", "--write-cut", "cut", "--id-field", "id", "good"]).output();
    let refused = draw(&folder, &["--cut", "cut", "--id-field", "id", INPUT]).outcome();
    refused.expect(1);
    assert_eq!(refused.stderr, format!("clip-sample: {said}\n"));
}

#[test]
fn bad_side_files_are_described_with_their_place() {
    let folder = tool().folder(3);
    folder.write("clusters.tsv", "1\n2\n2\n");
    let table = "cluster\tsize\tshare\tdocuments\n1\t1\t1\t1\n";
    for (text, said) in [
        ("", "side: expected a table of clusters, found nothing"),
        ("a\tb\n", "side:1: expected JSON objects, or a header that names cluster and other columns"),
        ("cluster\tsize\n", "side:1: expected JSON objects, or a header that names documents"),
        (&format!("{table}2\n"), "side:3: expected 4 fields as in the header, found 1"),
        (&format!("{table}x\t1\t1\t1\n"), "side:3: field 1: expected a number, found \"x\""),
        (&format!("{table}1.5\t1\t1\t1\n"), "side:3: field \"cluster\": expected a whole number, found 1.5"),
        (&format!("{table}2\tnan\t1\t1\n"), "side:3: field \"size\": expected a whole number, found NaN"),
        (&format!("{table}2\t2\t1\t-1\n"), "side:3: field \"documents\": expected a whole number, found -1"),
        (&format!("{table}1\t2\t1\t1\n"), "side:3: cluster 1 comes twice"),
        (&format!("{table}2\t9\t1\t1\n"), "side: cluster 2: 9 documents here, 2 in the column of clusters"),
        (&format!("{table}2\t2\t1\t3\n"), "side: cluster 2: 3 of 2 documents are to be drawn; --clip says"),
        (&format!("{table}2\t2\t1\t2\n3\t1\t1\t1\n"), "side: cluster 3: 1 documents here, 0 in the column"),
        (table, "side: cluster 2: 0 documents here, 2 in the column of clusters; expected a plan for that column"),
        ("{\"cluster\": 1}\n", "side:1: field \"documents\": missing"),
        ("{\"cluster\": \"1\"}\n", "side:1: field \"cluster\": expected a number, found \"1\""),
        ("{\"cluster\": 1, \"documents\": 1, \"size\": 1}\n{\"x\n", "side:2: not JSON: "),
    ] {
        folder.write("side", text);
        draw(&folder, &["--plan", "side", INPUT]).outcome().expect_refusal(1, &[said]);
    }
    for (text, said) in [
        ("1\n", "side:1: expected a cluster and its share with a TAB between them, found 1 fields"),
        ("1\t1\nx\t1\n", "side:2: field 1: expected a cluster"),
        ("1\t1\n1\t2\n", "side:2: cluster 1 comes twice"),
        ("1\tx\n", "side:1: field 2: expected a number, found \"x\""),
        ("1\t1\n", "cluster 2: there is no share in side"),
        ("1\t1\n2\t-1\n", "cluster 2: a share of -1: expected 0 or more"),
        ("1\t1\n2\tnan\n", "cluster 2: a share of NaN: expected 0 or more"),
        ("1\t0\n2\t0\n", "the shares of all clusters are 0"),
    ] {
        folder.write("side", text);
        draw(&folder, &["-n", "1", "--by", "side", INPUT]).outcome().expect_refusal(1, &[said]);
    }
    folder.write("side", "1\n\n");
    draw(&folder, &["-n", "1", "--exclude", "side", INPUT])
        .outcome()
        .expect_refusal(1, &["side:2: field 1: expected a cluster"]);
    folder.write("side", "# topk-resample-cut 1\n");
    let refused = draw(&folder, &["--cut", "side", INPUT]).outcome();
    refused.expect_refusal(1, &["side:1: expected the header of a cut file of clip-sample"]);
    // Whatever is missing is said before any input is read.
    for name in ["--plan", "--exclude", "--by", "--cut", "--clusters"] {
        let amount = if ["--cut", "--plan"].contains(&name) { &[][..] } else { &["-n", "1"] };
        let column = if name == "--clusters" { &[][..] } else { &["--clusters", "clusters.tsv"] };
        for (file, why) in [("not-there", "No such file or directory"), (".", "is a directory")] {
            if name == "--by" && file == "." {
                continue;
            }
            let run = tool().bare(&folder).args(column).args(amount).args([name, file]);
            run.waiting().outcome().expect_refusal(1, &[&format!("{file}: {why}")]);
        }
    }
}

#[test]
fn flags_that_exclude_each_other_are_refused() {
    let folder = tool().folder(3);
    draw(&folder, &["-n", "1", "--write-cut", "cut", INPUT]).output();
    for (flags, said) in [
        (&[][..], "--count, --fraction, --budget, --split, --plan or --cut is needed"),
        (&["-n", "1", "--fraction", "0.5"], "--count does not go with --fraction"),
        (&["-n", "1", "--first-row", "3"], "--first-row goes only with --cut"),
        (&["-n", "1", "--out", "x"], "--out goes only with --split or --cut"),
        (&["--split", "a=1"], "--split needs --out or --write-cut"),
        (&["--split", "a=1", "--write-cut", "other", "--out", "x"], "--write-cut does not go with --out"),
        (&["--budget", "1"], "--budget needs --length-field"),
        (&["--budget", "1", "--length-field", "4", "--shares", "drawn"], "--budget does not go with --shares drawn"),
        (&["-n", "1", "--plan", "clusters.tsv"], "--count does not go with --plan"),
        (&["--plan", "clusters.tsv", "--by", "size"], "--plan does not go with --by"),
        (
            &["-n", "1", "--write-cut", "other", "--key-field", "3"],
            "--write-cut with --key-field reads no operands, but there are some",
        ),
        (&["--cut", "cut", "-n", "1"], "--count does not go with --cut"),
        (&["--cut", "cut", "--seed", "1"], "--cut does not go with --seed"),
        (&["--cut", "cut", "--clip", "1"], "--cut does not go with --clip"),
        (&["--cut", "cut", "--write-cut", "other"], "--cut does not go with --write-cut"),
        (&["--cut", "cut", "--out", "x"], "--out goes with a --cut that was made with --split"),
        (&["-n", "1", "--clusters", "-", "-"], "standard input can be one thing only"),
        (&["-n", "1", "--exclude", "-", "-"], "standard input can be one thing only"),
        (&["-n", "1", "--by", "-", "-"], "standard input can be one thing only"),
    ] {
        draw(&folder, flags).args([INPUT]).outcome().expect_refusal(2, &[said]);
    }
    assert!(!folder.has("other") && !folder.has("x"), "a refused run wrote something");
    tool().bare(&folder).args(["-n", "1", INPUT]).outcome().expect_refusal(2, &["--clusters is needed"]);
}

/// Every fifth document three times, one after another, with the cluster of the first.
fn with_repeats(rows: usize) -> (String, String) {
    let (documents, column) = (corpus::documents(rows), column(rows));
    let times = |row: usize| if row.is_multiple_of(5) { 3 } else { 1 };
    let repeat =
        |text: &str| text.split_inclusive('\n').enumerate().map(|(row, line)| line.repeat(times(row))).collect();
    (repeat(&documents), repeat(&column))
}

#[test]
fn shards_draw_what_one_run_draws() {
    for (documents, column) in [(corpus::documents(600), column(600)), with_repeats(300)] {
        let folder = Folder::new();
        folder.write(INPUT, &documents);
        folder.write("clusters.tsv", &column);
        for args in [
            &["-n", "37"][..],
            &["-n", "0"],
            &["-n", "5000", "--clip", "9"],
            &["--fraction", "0.25", "--seed", "5", "--by", "size"],
            &["--clip", "3", "-n", "700", "--seed", "9"],
            &["--clip", "3", "-n", "701", "--shares", "exact"],
            &["--budget", "3333", "--length-field", "4"],
        ] {
            let whole = draw(&folder, args).args([INPUT]).outcome().stdout;
            draw(&folder, args).args(["--write-cut", "cut", INPUT]).outcome().expect(0);
            let cut = folder.read("cut");
            draw(&folder, args).args(["--write-cut", "cut", "--key-field", "3"]).outcome().expect(0);
            assert!(folder.read("cut") == cut, "{args:?}: the keys of the column make another cut");
            for count in [1, 3, 8] {
                let mut rest = column.as_str();
                let joined: Vec<u8> = (0..count)
                    .flat_map(|index| {
                        let shard = format!("{index}/{count}");
                        let rows = rows_of_shard(&documents, index, count);
                        let end = rest.split_inclusive('\n').take(rows).map(str::len).sum();
                        let (own, others) = rest.split_at(end);
                        rest = others;
                        folder.write("clusters.tsv", own);
                        draw(&folder, &["--cut", "cut", "--shard", &shard, INPUT]).output()
                    })
                    .collect();
                assert!(joined == whole, "{args:?}: {count} shards are not one run");
            }
            folder.write("clusters.tsv", &column);
        }
    }
}

/// How many lines begin in a shard's range of bytes.
fn rows_of_shard(text: &str, index: usize, count: usize) -> usize {
    let range = text.len() * index / count..text.len() * (index + 1) / count;
    let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1));
    starts.filter(|start| *start < text.len() && range.contains(start)).count()
}

#[test]
fn a_cut_between_equal_documents_needs_the_rows_before() {
    let folder = Folder::new();
    folder.write(INPUT, "same\n".repeat(10));
    folder.write("clusters.tsv", "4\n".repeat(10));
    draw(&folder, &["-n", "7", "--write-cut", "cut", INPUT]).output();
    folder.write("part", "same\n".repeat(5));
    folder.write("clusters.tsv", "4\n".repeat(5));
    draw(&folder, &["--cut", "cut", "part"]).outcome().expect_refusal(2, &["--first-row R"]);
    assert_eq!(draw(&folder, &["--cut", "cut", "--first-row", "5", "part"]).text(), "same\nsame\n");
    assert_eq!(draw(&folder, &["--cut", "cut", "--shard", "0/1", "part"]).text(), "same\n".repeat(5));
}

/// A column that has keys is of these documents in this order, or nothing is drawn.
#[test]
fn a_column_of_another_order_is_noticed() {
    let folder = tool().folder(100);
    let mut lines: Vec<_> = folder.text(INPUT).lines().map(str::to_string).collect();
    lines.swap(60, 61);
    let (found, expected) = (xxh3_64(lines[60].as_bytes()), xxh3_64(lines[61].as_bytes()));
    folder.write(INPUT, lines.join("\n"));
    let said = format!("{INPUT}:61: key {found:016x}: the column has {expected:016x}; expected documents in the order");
    for args in [&["-n", "10"][..], &["--split", "a=5,b=5", "--out", "out"]] {
        draw(&folder, args).args(["--key-field", "3", INPUT]).outcome().expect_refusal(1, &[&said]);
    }
    assert!(!folder.has("out"));
}

/// A cut that lost its last lines draws nothing; neither does one whose names would lead out of the folder, whole
/// though it is.
#[test]
fn a_cut_is_trusted_no_further_than_a_command_line() {
    let folder = tool().folder(100);
    draw(&folder, &["--split", "train=60,test=20", "--write-cut", "cut", INPUT]).output();
    let cut = folder.text("cut");
    let apply = |cut: &str| {
        folder.write("cut", cut);
        draw(&folder, &["--cut", "cut", "--out", "out", INPUT]).outcome()
    };
    let lines: Vec<_> = cut.lines().collect();
    for end in [1, lines.len() - 2, lines.len() - 1] {
        let said = format!("cut:{end}: truncated: expected a last line that begins with \"# end \"");
        apply(&(lines[..end].join("\n") + "\n")).expect_refusal(1, &[&said]);
    }
    apply(&cut.replace("train=60", "train=61")).expect_refusal(1, &["damaged"]);
    let whole = |header: &str| {
        let text = [&[header], &lines[1..lines.len() - 1]].concat().join("\n") + "\n";
        format!("{text}# end lines={} xxh3={:016x}\n", lines.len() - 1, xxh3_64(text.as_bytes()))
    };
    for name in ["../../X", "/tmp/X", "..", ".", "a/b", "", "a\0b"] {
        let outcome = apply(&whole(&lines[0].replace("train=", &format!("{name}="))));
        outcome.expect_refusal(1, &["cut:1: expected the header of a cut file of clip-sample"]);
    }
    assert!(!folder.has("out") && !folder.has("../X") && !folder.has("../../X"));
    apply(&whole(lines[0])).expect(0);
}

/// A cluster takes memory where it has documents, whatever its number is, also where there are many parts.
#[test]
fn large_numbers_of_clusters_take_no_memory() {
    let folder = tool().folder(100);
    let column: String = (0..100).map(|row| format!("{}\n", [0, 16_777_215][row % 2])).collect();
    folder.write("clusters.tsv", column);
    let parts = (0..8).map(|part| format!("p{part}=10")).collect::<Vec<_>>().join(",");
    for args in [&["--out", "out"][..], &["--write-cut", "cut"]] {
        let outcome = draw(&folder, &["--split", &parts, INPUT]).args(args).outcome();
        outcome.expect(0);
        assert!(outcome.resident_max_kib < 300 << 10, "{} KiB", outcome.resident_max_kib);
    }
    let outcome = draw(&folder, &["--cut", "cut", "--out", "again", INPUT]).outcome();
    outcome.expect(0);
    assert!(outcome.resident_max_kib < 300 << 10, "{} KiB", outcome.resident_max_kib);
    for part in 0..8 {
        let name = format!("p{part}.jsonl");
        assert!(folder.read(&format!("out/{name}")) == folder.read(&format!("again/{name}")));
    }
}

#[test]
fn endless_documents_are_an_error() {
    contract::documents::endless_documents_beside_a_column_are_an_error(&tool());
    contract::documents::endless_documents_beside_a_column_are_an_error(&without_keys());
}

#[test]
fn signals_leave_nothing() {
    contract::files::signals_leave_nothing(&without_keys(), &["--write-cut", "cut"]);
}

#[test]
fn splits_share_no_document_and_keep_sides() {
    let folder = tool().folder(4000);
    let split = |sizes: &str, out: &str, more: &[&str]| {
        draw(&folder, &["--split", sizes, "--out", out, INPUT]).args(more).output();
        ["train", "test"].map(|name| folder.read(&format!("{out}/{name}.jsonl")))
    };
    let [train, test] = split("train=900,test=100", "small", &[]);
    assert_eq!((lines(&train).len(), lines(&test).len()), (900, 100));
    for part in [&train, &test] {
        let counts = by_cluster(&folder, part);
        assert!(counts.values().max() <= counts.values().min().map(|low| low + 1).as_ref(), "{counts:?}");
    }
    // Another N in the same proportions, other shares, repeats, other rows: nothing changes sides.
    let others = [
        split("train=2700,test=300", "large", &["--by", "size"]),
        split("train=4500,test=500", "repeats", &["--clip", "3"]),
    ];
    for other in &others {
        let (inside, outside) = (sorted(&other[0]), sorted(&other[1]));
        assert!(lines(&train).iter().all(|line| outside.binary_search(line).is_err()));
        assert!(lines(&test).iter().all(|line| inside.binary_search(line).is_err()));
        assert!(inside.iter().all(|line| outside.binary_search(line).is_err()), "both sides have a document");
    }
    assert_eq!(
        others.each_ref().map(|parts| (lines(&parts[0]).len(), lines(&parts[1]).len())),
        [(2700, 300), (4500, 500)]
    );
    // In shards.
    draw(&folder, &["--split", "train=900,test=100", "--write-cut", "cut", INPUT]).output();
    draw(&folder, &["--cut", "cut", "--out", "cut-out", INPUT]).output();
    assert!(folder.read("cut-out/train.jsonl") == train && folder.read("cut-out/test.jsonl") == test);
    draw(&folder, &["--cut", "cut", INPUT])
        .outcome()
        .expect_refusal(2, &["--out goes with a --cut that was made with --split"]);
}

/// Where nearly everything is wanted, what one part has too many goes to those that have too few.
#[test]
fn every_part_of_a_split_is_filled() {
    let folder = tool().folder(1057);
    let names = ["train", "val", "test"];
    let sizes = |out: &str| names.map(|name| lines(&folder.read(&format!("{out}/{name}.jsonl"))).len());
    let split = |what: &str, out: &str, more: &[&str]| {
        let outcome = draw(&folder, &["--split", what, "--out", out, INPUT]).args(more).outcome();
        outcome.expect(0);
        outcome.stderr
    };
    assert_eq!((split("train=900,val=50,test=100", "one", &[]).as_str(), sizes("one")), ("", [900, 50, 100]));
    assert_eq!((split("train=98%,val=1%,test=1%", "two", &[]).as_str(), sizes("two")), ("", [1035, 11, 11]));
    let all: Vec<_> = names.iter().flat_map(|name| folder.read(&format!("two/{name}.jsonl"))).collect();
    assert!(sorted(&all) == sorted(&folder.read(INPUT)), "each document once");
    assert_eq!(split("train=50%,val=1%,test=1%", "three", &["--by", "size", "--clip", "2"]), "");
    assert_eq!(sizes("three"), [528, 11, 11]);
    // In shards.
    draw(&folder, &["--split", "train=900,val=50,test=100", "--write-cut", "cut", INPUT]).output();
    assert!(folder.text("cut").lines().next().is_some_and(|header| header.contains(" ends=")));
    draw(&folder, &["--cut", "cut", "--out", "four", INPUT]).output();
    assert!(
        names
            .iter()
            .all(|name| folder.read(&format!("four/{name}.jsonl")) == folder.read(&format!("one/{name}.jsonl")))
    );
    let split = folder.text("cut").replace("train=", "../train=");
    folder.write("cut", split);
    let refused = draw(&folder, &["--cut", "cut", "--out", "five", INPUT]).outcome();
    refused.expect_refusal(1, &["cut:1: expected the header of a cut file of clip-sample"]);
}

#[test]
fn a_split_is_there_whole_or_not_at_all() {
    let folder = tool().folder(100);
    folder.write("clusters.tsv", "1\n".repeat(100));
    let command = "clip-sample --clusters clusters.tsv --split train=50,test=10 --out parts docs.jsonl";
    killed_at_512_bytes(command, &folder);
    assert!(!folder.has("parts"), "half a split under the final name");
    Run::shell(command, &folder).output();
    let before = folder.read("parts/train.jsonl");
    let again = Run::shell(&format!("{command} --seed 1"), &folder).outcome();
    again.expect_refusal(1, &["clip-sample: parts: is there and is not empty: expected a new folder"]);
    assert!(folder.read("parts/train.jsonl") == before);
    Run::shell(
        "mkdir empty; clip-sample --clusters clusters.tsv --split a=1 --out empty docs.jsonl; test -s empty/a.jsonl",
        &folder,
    )
    .output();
    let stale = "mkdir .again.$$.tmp; echo > .again.$$.tmp/x; exec ";
    Run::shell(&format!("{stale}{}", command.replace("parts", "again")), &folder).output();
    assert!(folder.read("again/train.jsonl") == before && !folder.has("again/x"));
    folder.write("file", "");
    let refused = Run::shell(&command.replace("parts", "file"), &folder).outcome();
    refused.expect_refusal(1, &["file: Not a directory"]);
    let refused = Run::shell(&command.replace("parts", "no/parts"), &folder).outcome();
    refused.expect_refusal(1, &["no/parts: No such file or directory"]);
}

#[test]
fn temporary_files_are_in_tmpdir_and_gone_after() {
    let folder = tool().folder(20_000);
    let args = "--clusters clusters.tsv --fraction 1";
    let out = temporary_files_are_gone(&folder, "clip-sample", args);
    assert!(sorted(&out) == sorted(&folder.read(INPUT)));
}

/// A table of cluster-share is taken as it is: its numbers by --plan, its shares by --by.
#[test]
fn a_plan_gives_the_numbers_and_a_table_the_shares() {
    let folder = tool().folder(2000);
    let sizes = by_cluster(&folder, &folder.read(INPUT));
    let numbers: BTreeMap<_, _> = sizes.iter().map(|(id, size)| (id.clone(), size / 3)).collect();
    let row = |(id, size): (&String, &usize)| format!("{id}\t{size}\t0.25\t{}\t0.3\n", size / 3);
    let plan = "cluster\tsize\tshare\tdocuments\trepeats\n".to_string() + &sizes.iter().map(row).collect::<String>();
    folder.write("plan", &plan);
    let drawn = draw(&folder, &["--plan", "plan", "--stats", "stats", INPUT]).output();
    assert_eq!(by_cluster(&folder, &drawn), numbers);
    let total: usize = numbers.values().sum();
    assert_eq!(stats(&folder, &["wanted", "shortfall", "draws"]), [Some(total as u64), Some(0), Some(total as u64)]);
    let row = |(id, size): (&String, &usize)| {
        format!("{{\"cluster\": {id}, \"size\": {size}, \"documents\": {}, \"share\": 1}}\n", size / 3)
    };
    let json = sizes.iter().map(row).collect::<String>();
    let from_pipe =
        tool().bare(&folder).args(["--clusters", "clusters.tsv", "--plan", "-", INPUT]).stdin(json.as_str());
    assert!(from_pipe.output() == drawn);
    draw(&folder, &["--plan", "plan", "--write-cut", "cut", INPUT]).output();
    assert!(draw(&folder, &["--cut", "cut", INPUT]).output() == drawn);
    for shares in [plan.as_str(), &json] {
        folder.write("shares", shares);
        let drawn = draw(&folder, &["--by", "shares", "-n", "300", INPUT]).output();
        assert!(drawn == draw(&folder, &["-n", "300", INPUT]).output());
    }
    folder.write("twice", plan.replace(&format!("\t{}\t0.3", sizes["9"] / 3), &format!("\t{}\t2", sizes["9"] * 2)));
    let drawn = draw(&folder, &["--plan", "twice", "--clip", "2", INPUT]).output();
    assert_eq!(by_cluster(&folder, &drawn)["9"], 2 * sizes["9"]);
}

//! `cluster-stats` keeps the contract of all tools; its sums, quantiles and examples are held against a plain
//! reference.

use contract::corpus::{self, Numbers};
use contract::folder::Folder;
use contract::packed;
use contract::run::{Outcome, Run};
use contract::tool::{INPUT, Tool, lines};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The column alone.
fn column_alone() -> Tool {
    Tool {
        name: "cluster-stats",
        program: env!("CARGO_BIN_EXE_cluster-stats"),
        source: env!("CARGO_MANIFEST_DIR"),
        args: &["--centroids", "centroids.npy", "--diversity"],
        side_files: &["--centroids"],
        wrong_values: &[
            ("--documents", ""),
            ("--examples", "-1"),
            ("--chars", "x"),
            ("--quantiles", "0.5,1.5"),
            ("--quantiles", "0.5,0.5"),
            ("--quantiles", ""),
            ("--cluster-field", "0"),
            ("--distance-field", "x"),
            ("--value", ""),
            ("--value-field", "0"),
            ("--value-name", "mean loss"),
            ("--random", "-1"),
            ("--words", "x"),
            ("--length-field", "0"),
            ("--length-name", "in tokens"),
            ("--length-name", "examples"),
        ],
        prepare: |folder, _| {
            folder.write("centroids.npy", npy(&[[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0], [0.0, -1.0], [5.0, 5.0]]))
        },
        input: |rows| column(rows, 5).into_bytes(),
    }
}

/// The documents beside a column; the contract's input are the documents.
fn with_documents() -> Tool {
    Tool {
        args: &["--documents", "texts.jsonl"],
        side_files: &["--documents"],
        prepare: |folder, rows| folder.write("texts.jsonl", corpus::documents(rows)),
        ..column_alone()
    }
}

/// The documents as the input, the column on the side.
fn by_documents() -> Tool {
    Tool {
        args: &["clusters.tsv", "--documents"],
        side_files: &[],
        prepare: |folder, rows| folder.write("clusters.tsv", column(rows, 5)),
        input: |rows| corpus::documents(rows).into_bytes(),
        ..column_alone()
    }
}

contract::holds!(column_alone: manual, files);
contract::holds!(@tests column_alone documents:
    last_line_needs_no_newline, carriage_returns_change_no_row, standard_input_is_a_file, operands_are_read_in_order,
    threads_change_nothing, reader_may_leave, shards_of_what_cannot_be_cut_are_refused, progress_is_not_data);

mod beside {
    use super::with_documents;
    contract::holds!(@tests with_documents files:
        missing_file_is_named, folder_is_refused, packed_input_is_the_same, truncated_input_is_an_error,
        full_disk_is_an_error,
        same_input_twice_is_the_same, side_files_are_checked_before_input_is_read);
    contract::holds!(@tests with_documents documents:
        no_documents_are_no_rows, last_line_needs_no_newline, carriage_returns_change_no_row, standard_input_is_a_file,
        operands_are_read_in_order, threads_change_nothing, reader_may_leave, progress_is_not_data,
        byte_order_mark_is_no_part_of_a_line, formats_without_lines_are_named);
}

mod texts {
    use super::by_documents;
    contract::holds!(@tests by_documents files: packed_input_is_the_same, truncated_input_is_an_error);
    contract::holds!(@tests by_documents documents: last_line_needs_no_newline, very_long_line_is_a_line);
    contract::holds!(@tests by_documents records: deep_nesting_is_no_crash);
}

/// A column of so many rows: one of `k` clusters, a distance.
fn column(rows: usize, k: u64) -> String {
    let mut numbers = Numbers(5);
    (0..rows).map(|_| format!("{}\t0.{}\n", numbers.below(k), numbers.below(1000))).collect()
}

/// An array of 64-bit floats.
fn npy(rows: &[[f64; 2]]) -> Vec<u8> {
    let header = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': ({}, 2), }}", rows.len());
    let header = format!("{header:<117}\n");
    let values = rows.iter().flatten().flat_map(|value| value.to_le_bytes());
    [b"\x93NUMPY\x01\x00v\x00", header.as_bytes()].concat().into_iter().chain(values).collect()
}

/// A run with these arguments.
fn run(folder: &Folder, args: &[&str]) -> Run {
    column_alone().bare(folder).args(args)
}

/// Output as objects by cluster; checks their order.
fn objects(output: &[u8]) -> BTreeMap<u64, Value> {
    let values: Vec<Value> = lines(output).into_iter().map(|line| serde_json::from_slice(line).unwrap()).collect();
    let clusters: Vec<_> = values.iter().map(|value| value["cluster"].as_u64().unwrap()).collect();
    assert!(clusters.is_sorted_by(|a, b| a < b), "{clusters:?}");
    clusters.into_iter().zip(values).collect()
}

/// The text of a number in a line.
fn raw<'a>(line: &'a [u8], name: &str) -> &'a str {
    let rest = str::from_utf8(line).unwrap().split(&format!("\"{name}\":")).nth(1).unwrap();
    rest.split([',', '}']).next().unwrap()
}

/// A row of a random corpus: cluster, distance in units of 1e-9, document, its text.
struct Row {
    cluster: i64,
    units: i64,
    document: String,
    text: String,
}

impl Row {
    fn key(&self) -> u64 {
        xxhash_rust::xxh3::xxh3_64(self.document.as_bytes())
    }
}

/// `units` of 1e-9 as a decimal with all places.
fn decimal(units: i64) -> String {
    let size = units.unsigned_abs();
    format!("{}{}.{:09}", if units < 0 { "-" } else { "" }, size / 1_000_000_000, size % 1_000_000_000)
}

/// Without what does not count.
fn trimmed(decimal: &str) -> &str {
    decimal.trim_end_matches('0').trim_end_matches('.')
}

/// Rows with ties, repeated documents, missing clusters; written as `clusters.tsv` and `docs.jsonl`.
fn corpus(numbers: &mut Numbers, rows: usize, k: u64, folder: &Folder) -> Vec<Row> {
    let mut row = |_| {
        let units = match numbers.below(4) {
            0 => numbers.below(4) as i64 * 250_000_000,
            1 => -(numbers.below(90) as i64),
            _ => numbers.below(3_000_000_000) as i64,
        };
        let text = ["aé€😀z", "", "the same", "x"][numbers.below(4) as usize].repeat(numbers.below(3) as usize);
        let document = format!("{{\"id\": {}, \"text\": \"{text}\"}}", numbers.below(rows as u64));
        Row { cluster: numbers.below(k + 1) as i64 - 1, units, document, text }
    };
    let rows: Vec<Row> = (0..rows).map(&mut row).collect();
    folder.write(INPUT, rows.iter().map(|row| row.document.clone() + "\n").collect::<String>());
    let column =
        |row: &Row| format!("{}\t{}\n", row.cluster, if row.cluster < 0 { "nan".into() } else { decimal(row.units) });
    folder.write("clusters.tsv", rows.iter().map(column).collect::<String>());
    rows
}

/// The best of one end, the plain way.
fn best(rows: &[&Row], sign: i64, count: usize, chars: usize) -> Value {
    let mut sorted: Vec<_> = rows.iter().map(|row| (sign * row.units, row.key(), row.units, &row.text)).collect();
    sorted.sort();
    let shown = sorted.into_iter().take(count).map(|(_, key, units, text)| {
        let text: String = text.chars().take(chars).collect();
        json!({"text": text, "distance": decimal(units).parse::<f64>().unwrap() + 0.0, "key": format!("{key:016x}")})
    });
    Value::Array(shown.map(with_whole_numbers).collect())
}

/// The documents with the smallest keys, the plain way: those whose keys differ, and how many rows have each.
fn random(rows: &[&Row], count: usize, chars: usize) -> Value {
    let mut keys: BTreeMap<u64, Vec<(i64, String)>> = BTreeMap::new();
    for row in rows {
        keys.entry(row.key()).or_default().push((row.units, row.text.chars().take(chars).collect()));
    }
    let shown = keys.into_iter().take(count).map(|(key, same)| {
        let (units, text) = same.iter().min().unwrap();
        let distance = decimal(*units).parse::<f64>().unwrap() + 0.0;
        json!({"text": text, "distance": distance, "key": format!("{key:016x}"), "rows": same.len()})
    });
    Value::Array(shown.map(with_whole_numbers).collect())
}

/// JSON tells 1 from 1.0.
fn with_whole_numbers(mut example: Value) -> Value {
    let distance = example["distance"].as_f64().unwrap();
    if distance.fract() == 0.0 {
        example["distance"] = json!(distance as i64);
    }
    example
}

#[test]
fn each_cluster_is_what_its_rows_come_to() {
    let mut numbers = Numbers(17);
    for (rows, k, count, chars) in [(1, 1, 5, 256), (40, 3, 2, 3), (500, 7, 5, 4), (3000, 300, 1, 0), (3000, 2, 0, 9)] {
        let folder = Folder::new();
        let rows = corpus(&mut numbers, rows, k, &folder);
        let (examples, chars_flag) = (count.to_string(), chars.to_string());
        let flags = ["--documents", INPUT, "--examples", &examples, "--chars", &chars_flag, "clusters.tsv"];
        let outcome = run(&folder, &flags).args(["--random", "4"]).outcome();
        outcome.expect(0);
        let missing = rows.iter().filter(|row| row.cluster < 0).count();
        let note = format!("cluster-stats: {missing} of {} rows have no cluster\n", rows.len());
        assert_eq!(outcome.stderr, if missing > 0 { note } else { String::new() });
        let mut clusters: BTreeMap<u64, Vec<&Row>> = BTreeMap::new();
        rows.iter()
            .filter(|row| row.cluster >= 0)
            .for_each(|row| clusters.entry(row.cluster as u64).or_default().push(row));
        let found = objects(&outcome.stdout);
        assert!(found.keys().eq(clusters.keys()));
        for (line, (cluster, rows)) in lines(&outcome.stdout).into_iter().zip(&clusters) {
            let value = &found[cluster];
            let mut units: Vec<i64> = rows.iter().map(|row| row.units).collect();
            units.sort_unstable();
            let total = units.len();
            assert_eq!(value["total_examples"], total);
            let sum: i64 = units.iter().sum();
            assert_eq!(raw(line, "sum_distance"), trimmed(&decimal(sum)));
            let average = raw(line, "average_distance").parse::<f64>().unwrap();
            assert!((average - sum as f64 / 1e9 / total as f64).abs() < 1e-15);
            assert_eq!(
                [raw(line, "min"), raw(line, "max")],
                [units[0], units[total - 1]].map(|units| trimmed(&decimal(units)).to_string())
            );
            for (name, found) in value["quantiles"].as_object().unwrap() {
                let rank = (name.parse::<f64>().unwrap() * total as f64).ceil() as usize;
                let exact = units[rank.max(1) - 1] as f64 / 1e9;
                assert!(
                    (found.as_f64().unwrap() - exact).abs() <= exact.abs() / 127.9,
                    "{name}: {found}, exactly {exact}"
                );
            }
            assert_eq!(value["closest"], best(rows, 1, count, chars), "{line:?}");
            assert_eq!(value["farthest"], best(rows, -1, count, chars));
            assert_eq!(value["textless"], 0);
            assert_eq!(value["random"], random(rows, 4, chars));
            let word_count =
                |text: &str| text.split(|sign: char| !sign.is_alphanumeric()).filter(|w| !w.is_empty()).count();
            let mut lengths: Vec<usize> = rows.iter().map(|row| word_count(&row.text)).collect();
            lengths.sort_unstable();
            let words: usize = lengths.iter().sum();
            assert_eq!(value["total_words"], words);
            let average = raw(line, "average_words").parse::<f64>().unwrap();
            assert!((average - words as f64 / total as f64).abs() < 1e-12);
            for (name, found) in value["quantiles_words"].as_object().unwrap() {
                let rank = (name.parse::<f64>().unwrap() * total as f64).ceil() as usize;
                assert_eq!(found.as_u64().unwrap() as usize, lengths[rank.max(1) - 1], "{name}");
            }
        }
        // Without documents the same, without texts.
        let alone = run(&folder, &["clusters.tsv"]).outcome();
        let strip = |mut value: Value| {
            value.as_object_mut().unwrap().retain(|name, _| {
                !["closest", "farthest", "textless", "random", "words"].contains(&name.as_str())
                    && !name.ends_with("_words")
            });
            value
        };
        assert!(objects(&alone.stdout).into_values().eq(found.into_values().map(strip)));
    }
}

#[test]
fn parts_add_up_to_the_whole() {
    let mut numbers = Numbers(23);
    for (rows, k, flags) in [
        (1, 1, "--examples 5"),
        (300, 4, "--examples 3 --chars 4 --random 3"),
        (2000, 150, "--examples 2 --quantiles 0,0.5,1 --id-field id"),
        (300, 5, "--centroids centroids.npy --diversity"),
        (50, 5, "--examples 0 --words 2"),
        (500, 5, "--random 0"),
    ] {
        let folder = Folder::new();
        (column_alone().prepare)(&folder, 0);
        let mut all = corpus(&mut numbers, rows, k, &folder);
        // Texts that cannot be read.
        all.iter_mut().step_by(7).skip(1).for_each(|row| row.document = "{\"id\": 1}".to_string());
        let documents: Vec<_> = all.iter().map(|row| row.document.clone() + "\n").collect();
        folder.write(INPUT, documents.concat());
        let sh = |script: &str| {
            let outcome = Run::shell(script, &folder).outcome();
            outcome.expect(0);
            outcome.stdout
        };
        let stats = format!("cluster-stats {flags} --on-error skip");
        let whole = sh(&format!("{stats} --documents docs.jsonl clusters.tsv"));
        let alone = sh(&format!("{stats} clusters.tsv"));
        let show = flags.replace("--id-field id", "").replace("--centroids centroids.npy --diversity", "");
        for count in [1, 3, 8] {
            let mut rows = folder.text("clusters.tsv").lines().map(|row| row.to_string() + "\n").collect::<Vec<_>>();
            for index in 0..count {
                let shard = format!("{index}/{count}");
                let size = sh(&format!("ngram-hash --per-document --shard {shard} --on-error skip docs.jsonl | wc -l"));
                let size: usize = String::from_utf8(size).unwrap().trim().parse().unwrap();
                let rest = rows.split_off(size);
                folder.write("rows.tsv", rows.concat());
                rows = rest;
                sh(&format!("{stats} --shard {shard} --documents docs.jsonl rows.tsv > part.{index}"));
                sh(&format!("{stats} --shard {shard} clusters.tsv > alone.{index}"));
            }
            let add = format!("cluster-stats --add {show}");
            assert!(sh(&format!("{add} part.*")) == whole, "{flags}: {count} parts");
            assert!(sh(&format!("{add} $(ls part.* | sort -r)")) == whole, "{flags}: {count} parts, the last first");
            assert!(sh(&format!("cat part.* | {add} --threads 7")) == whole);
            let tree = format!("(cat part.0; cat part.* | tail -n +$(($(wc -l < part.0) + 1)) | {add}) | {add}");
            assert!(sh(&tree) == whole, "{flags}: a tree of {count} parts");
            assert!(sh(&format!("{add} alone.*")) == alone, "{flags}: {count} parts without texts");
            sh("rm part.* alone.*");
        }
        assert!(sh(&format!("cluster-stats --add {show} /dev/null")).is_empty());
    }
}

#[test]
fn parts_that_do_not_go_together_are_refused() {
    let folder = column_alone().folder(300);
    folder.write("texts.jsonl", corpus::documents(300));
    folder.write("other.npy", npy(&[[1.0, 0.5], [0.0, 2.0], [-3.0, 0.0], [0.0, -1.0], [5.0, 5.0]]));
    for (script, said) in [
        (
            "cluster-stats --examples 2 --documents texts.jsonl docs.jsonl | cluster-stats --add",
            "<stdin>:1: field \"closest\": expected 5 documents, found 2: a smaller --examples made it",
        ),
        (
            "(cluster-stats docs.jsonl; cluster-stats --documents texts.jsonl docs.jsonl) | cluster-stats --add",
            "some parts were made with --documents and some without",
        ),
        (
            "cluster-stats --random 2 --documents texts.jsonl docs.jsonl | cluster-stats --add",
            "<stdin>:1: field \"random\": 2 documents of 2 rows in ",
        ),
        (
            "cluster-stats --documents texts.jsonl docs.jsonl | sed 's/\"rows\":/&9/' | cluster-stats --add",
            "they are too many",
        ),
        (
            "(cluster-stats docs.jsonl; cluster-stats --length-field 1 docs.jsonl) | cluster-stats --add",
            "some parts were made with other lengths (--length-field) than others",
        ),
        (
            "cluster-stats --length-field 1 docs.jsonl | sed 's/histogram_tokens\":\\[\\[[0-9]*,/&9/' | \
             cluster-stats --add",
            "<stdin>:1: field \"histogram_tokens\": expected ",
        ),
        (
            "for i in centroids other; do cluster-stats --diversity --centroids $i.npy docs.jsonl; done | \
             cluster-stats --add",
            "cluster 0: diversity ",
        ),
        (
            "cluster-stats --compat minicorpus docs.jsonl | cluster-stats --add",
            "<stdin>:1: expected the JSON object of a cluster",
        ),
        (
            "cluster-stats docs.jsonl | sed '3s/total_examples\":/&1/' | cluster-stats --add",
            "<stdin>:3: field \"histogram\": expected counts that add up to total_examples",
        ),
        (
            "cluster-stats docs.jsonl | sed '2s/\"min\"/\"mix\"/' | cluster-stats --add",
            "<stdin>:2: field \"min\": missing",
        ),
        (
            "cluster-stats docs.jsonl | sed '2s/sum_distance\":/&x/' | cluster-stats --add",
            "<stdin>:2: expected the JSON object of a cluster",
        ),
        ("cluster-stats docs.jsonl | sed '2s/sum_distance\":/&1e30/' | cluster-stats --add", "<stdin>:2: "),
        (
            "cluster-stats docs.jsonl | sed '2s/cluster\":1/cluster\":5/' | cluster-stats --add --centroids \
             centroids.npy",
            "<stdin>:2: cluster 5: expected one of the 5 centroids, counted from 0",
        ),
        ("cluster-stats --add docs.jsonl", "docs.jsonl:1: expected the JSON object of a cluster"),
    ] {
        Run::shell(script, &folder).outcome().expect_refusal(1, &[said]);
    }
}

#[test]
fn bad_rows_and_documents_are_described_with_their_place() {
    let folder = by_documents().folder(3);
    for (row, flags, said) in [
        ("", &[][..], "field 1: expected the number of a cluster (-1: none), found \"\""),
        ("-2\t1", &[], "field 1: expected the number of a cluster (-1: none), found \"-2\""),
        ("1", &[], "expected a distance in field 2, found 1 fields"),
        ("1\tnan", &[], "field 2: expected a number below 10^20, found \"nan\""),
        ("1\t1e20", &[], "field 2: expected a number below 10^20, found \"1e20\""),
        ("1\t1\t2", &["--distance-field", "4"], "expected a distance in field 4, found 3 fields"),
        ("5\t1", &["--centroids", "centroids.npy"], "cluster 5: expected one of the 5 centroids, counted from 0"),
    ] {
        (column_alone().prepare)(&folder, 0);
        folder.write("clusters.tsv", format!("1\t1\t1\t1\n{row}\n1\t1\t1\t1\n"));
        for more in [&[][..], &["--documents", INPUT]] {
            let refused = run(&folder, flags).args(more).args(["clusters.tsv"]).outcome();
            refused.expect_refusal(1, &[&format!("cluster-stats: clusters.tsv:2: {said}\n")]);
        }
    }
    folder.write("clusters.tsv", column(3, 1));
    for (line, said) in [
        (&b""[..], "expected a JSON object, found an empty line"),
        (b"{\"text\": 5}", "field \"text\": expected a string, found number"),
        (b"{\"text\": \"\xff\"}", "not UTF-8: byte 11 of the line"),
    ] {
        folder.write(INPUT, [b"{\"text\": \"a\"}\n", line, b"\n{\"text\": \"\\ud800b\"}\n"].concat());
        let refused = by_documents().run_on_input(&folder).outcome();
        refused.expect_refusal(1, &[&format!("cluster-stats: docs.jsonl:2: {said}\n")]);
        let skipped = by_documents().run_on_input(&folder).args(["--on-error", "skip"]).outcome();
        skipped.expect(0);
        assert!(skipped.stderr.starts_with("cluster-stats: skipped 1 bad of 3 rows; the first: docs.jsonl:2: "));
        let object = &objects(&skipped.stdout)[&0];
        assert_eq!((&object["total_examples"], &object["textless"]), (&json!(3), &json!(1)));
        let mut texts: Vec<_> = object["closest"].as_array().unwrap().iter().map(|example| &example["text"]).collect();
        texts.sort_by_key(|text| text.as_str());
        assert_eq!(texts, [&json!("a"), &json!("\u{fffd}b")]);
    }
    let huge = "0\t99999999999999999999\n0\t99999999999999999999\n";
    let refused = run(&folder, &[]).stdin(huge).outcome();
    refused.expect_refusal(1, &["cluster 0: the distances of the cluster add up to 10^20 or more\n"]);
}

#[test]
fn documents_and_rows_must_be_as_many() {
    for (documents, rows) in [(5, 6), (6, 5), (0, 3), (3, 0), (20_000, 19_999), (19_999, 20_000)] {
        let folder = by_documents().folder(rows);
        folder.write(INPUT, corpus::documents(documents));
        let said = match documents > rows {
            true => format!("documents: more than {rows}; rows of clusters: {rows}; expected as many"),
            false => format!("documents: {documents}; rows of clusters: more than {documents}; expected as many"),
        };
        by_documents().run_on_input(&folder).outcome().expect_refusal(1, &[&said]);
    }
}

/// The first document or row too many ends the run, not the last, which there may not be.
#[test]
fn what_goes_on_without_end_is_an_error() {
    let folder = by_documents().folder(20);
    for (command, said) in [
        (
            "(cat docs.jsonl docs.jsonl; yes) | cluster-stats --documents - clusters.tsv",
            "documents: more than 20; rows of clusters: 20;",
        ),
        (
            "(cat clusters.tsv; yes) | cluster-stats --documents docs.jsonl",
            "documents: 20; rows of clusters: more than 20;",
        ),
    ] {
        Run::shell(command, &folder).outcome().expect_refusal(1, &[said]);
    }
}

#[test]
fn what_does_not_go_together_is_asked_wrongly() {
    for (flags, said) in [
        (&["--add", "--documents", "x"][..], "--add does not go with --documents"),
        (&["--add", "--shard", "0/2", "x"], "--add does not go with --shard"),
        (&["--add", "--cluster-field", "1"], "--add does not go with --cluster-field"),
        (&["--diversity"], "--diversity needs --centroids: "),
        (&["--documents", "-"], "standard input can be one thing only"),
        (&["--documents", "-", "--documents", "-", "x"], "standard input can be one thing only"),
        (&["--centroids", "-", "-"], "standard input can be one thing only"),
    ] {
        run(&Folder::new(), flags).outcome().expect_refusal(2, &[said]);
    }
}

#[test]
fn foreign_columns_are_read() {
    let folder = Folder::new();
    let expected = run(&folder, &[]).stdin("1\t0.125\n0\t-0.5\n-1\tnan\n").outcome();
    for (flags, column) in [
        (&[][..], "1\t1.250000000000000000e-01\r\n0\t-5E-1\r\nnan\tnan"),
        (&[], "1\t.125\tmore\n0\t-00.5\n-1\n"),
        (&["--cluster-field", "2"], "x\t1\t0.125\nx\t0\t-0.5\n\t-1\n"),
        (&["--cluster-field", "3", "--distance-field", "1"], "0.125\t\t1\n-0.5\t\t0\nx\t\t-1\n"),
    ] {
        let outcome = run(&folder, flags).stdin(column).outcome();
        assert_eq!((outcome.text(), &outcome.stderr), (expected.text(), &expected.stderr), "{column:?}");
    }
    assert_eq!(objects(&expected.stdout).len(), 2);
}

#[test]
fn each_centroid_has_an_object_and_its_distance_to_the_others() {
    let folder = column_alone().folder_of(0, b"2\t0.25\n2\t0.5\n");
    let objects = objects(&column_alone().run_on_input(&folder).output());
    let half = 0.5_f64.sqrt();
    // Right, up, left, down, and right and up: the cosines of each with the others.
    let cosines = [
        [0.0, -1.0, 0.0, half],
        [0.0, 0.0, -1.0, half],
        [-1.0, 0.0, 0.0, -half],
        [0.0, -1.0, 0.0, -half],
        [half, half, -half, -half],
    ];
    assert_eq!(objects.len(), 5);
    for (cluster, cosines) in cosines.iter().enumerate() {
        let expected = cosines.iter().map(|cosine| 1.0 - cosine).sum::<f64>() / 4.0;
        let found = objects[&(cluster as u64)]["diversity"].as_f64().unwrap();
        assert!((found - expected).abs() < 1e-15, "{cluster}: {found}, expected {expected}");
    }
    let empty = &objects[&0];
    assert_eq!(
        (&empty["total_examples"], &empty["sum_distance"], &empty["average_distance"]),
        (&json!(0), &json!(0), &json!(0))
    );
    assert_eq!(
        (&empty["min"], &empty["quantiles"]["0.5"], &empty["histogram"]),
        (&Value::Null, &Value::Null, &json!([]))
    );
    assert_eq!(objects[&2]["average_distance"], 0.375);
    folder.write("centroids.npy", npy(&[[1.0, 1.0]]));
    let alone = column_alone().run(&folder).stdin("0\t1\n").output();
    assert!(str::from_utf8(&alone).unwrap().contains("\"diversity\":null,"));
    assert!(run(&folder, &["--add"]).stdin(alone.clone()).output() == alone);
}

/// It would be 4,294,967,296 entries.
#[test]
fn minicorpus_has_an_end() {
    let folder = Folder::new();
    folder.write("clusters.tsv", "0\t0.5\n4294967295\t0.5\n");
    let refused = run(&folder, &["--compat", "minicorpus", "clusters.tsv"]).outcome();
    refused.expect_refusal(1, &["cluster 4294967295: --compat minicorpus has an entry for each number up to the last"]);
    run(&folder, &["clusters.tsv"]).output();
}

#[test]
fn minicorpus_gets_its_one_object() {
    let folder = Folder::new();
    folder.write(INPUT, "{\"text\": \"a \\\"b\\\" \\u20ac\"}\n{\"text\": \"c\"}\n");
    folder.write("clusters.tsv", "1\t0.25\n1\t0.5\n");
    let text = run(&folder, &["--compat", "minicorpus", "--documents", INPUT, "clusters.tsv"]).text();
    let expected = r#"{
  "0": {
    "closest": [],
    "farthest": [],
    "total_examples": 0,
    "average_distance": 0,
    "sum_distance": 0
  },
  "1": {
    "closest": [
      {
        "text": "a \"b\" €",
        "distance": 0.25
      },
      {
        "text": "c",
        "distance": 0.5
      }
    ],
    "farthest": [
      {
        "text": "c",
        "distance": 0.5
      },
      {
        "text": "a \"b\" €",
        "distance": 0.25
      }
    ],
    "total_examples": 2,
    "average_distance": 0.375,
    "sum_distance": 0.75
  }
}
"#;
    assert_eq!(text, expected);
    let parts = "cluster-stats --documents docs.jsonl clusters.tsv | cluster-stats --add --compat minicorpus";
    assert_eq!(Run::shell(parts, &folder).text(), expected);
    assert_eq!(run(&folder, &["--compat", "minicorpus"]).text(), "{}\n");
}

#[test]
fn documents_may_be_packed_and_in_several_files() {
    let folder = by_documents().folder(500);
    let expected = by_documents().run_on_input(&folder).output();
    let documents = folder.read(INPUT);
    folder.write("a", packed::zstd(&documents[..documents.len() / 2]));
    let cut = documents[..documents.len() / 2].iter().rposition(|&byte| byte == b'\n').unwrap() + 1;
    folder.write("a", packed::zstd(&documents[..cut]));
    folder.write("b", packed::in_parts(packed::gzip, &documents[cut..]));
    assert!(run(&folder, &["clusters.tsv", "--documents", "a", "--documents", "b"]).output() == expected);
    let piped = run(&folder, &["--documents", "-", "clusters.tsv"]).stdin(documents).output();
    assert!(piped == expected);
    let stats = by_documents().run_on_input(&folder).args(["--stats", "stats"]).output();
    assert!(stats == expected);
    let stats: Value = serde_json::from_slice(&folder.read("stats")).unwrap();
    assert_eq!((&stats["rows"], &stats["rows_missing"], &stats["clusters"]), (&json!(500), &json!(0), &json!(5)));
}

#[test]
fn memory_depends_on_the_clusters_and_not_on_the_rows() {
    let folder = Folder::new();
    folder.write(INPUT, corpus::documents(20_000).repeat(20));
    folder.write("clusters.tsv", column(20_000, 20).repeat(20));
    let peak = |flags: &[&str]| {
        let outcome: Outcome = run(&folder, flags).args(["--threads", "2", "clusters.tsv"]).outcome();
        outcome.expect(0);
        outcome.resident_max_kib
    };
    for flags in [&[][..], &["--documents", INPUT]] {
        let kib = peak(flags);
        assert!(kib < 32 << 10, "{flags:?}: {kib} KiB");
    }
}

/// Numbers beside each row of a column, some of them missing, and what their clusters average.
#[test]
fn numbers_beside_the_rows_are_averaged() {
    let (folder, rows) = (Folder::new(), 500);
    let clusters = column(rows, 5).replace("3\t", "-1\t");
    let mut numbers = Numbers(9);
    let losses: Vec<Option<i64>> = (0..rows)
        .map(|_| (numbers.below(4) > 0).then(|| numbers.below(9_000_000_000) as i64 - 1_000_000_000))
        .collect();
    let losses = |first: usize, end: usize| -> String {
        let row = |loss: &Option<i64>| format!("x\t{}\n", loss.map_or("nan".to_string(), decimal));
        losses[first..end].iter().map(row).collect()
    };
    folder.write("clusters.tsv", &clusters);
    folder.write("losses.tsv", losses(0, rows));
    folder.write("docs.jsonl", corpus::documents(rows));
    let flags = ["--value", "losses.tsv", "--value-field", "2", "--value-name", "loss"];
    // Rows without a cluster are noted on stderr.
    let output = |run: Run| {
        let outcome = run.outcome();
        outcome.expect(0);
        outcome.stdout
    };
    let whole = output(run(&folder, &[&flags[..], &["clusters.tsv"]].concat()));
    let mut sums: BTreeMap<u64, (i64, i64)> = BTreeMap::new();
    for (cluster, loss) in clusters.lines().zip(losses(0, rows).lines()) {
        let Ok(cluster) = cluster.split('\t').next().expect("a cluster").parse::<u64>() else { continue };
        let sum = sums.entry(cluster).or_default();
        if let Some(units) = loss.strip_prefix("x\t").filter(|loss| *loss != "nan") {
            *sum = (sum.0 + 1, sum.1 + units.replace('.', "").parse::<i64>().expect("units"));
        }
    }
    assert_eq!(sums.len(), 4);
    for line in lines(&whole) {
        let (count, sum) = sums[&raw(line, "cluster").parse().expect("a cluster")];
        assert_eq!(raw(line, "rows_loss"), count.to_string());
        assert_eq!(raw(line, "sum_loss"), trimmed(&decimal(sum)));
        let mean: f64 = raw(line, "mean_loss").parse().expect("a number");
        assert!((mean - sum as f64 / count as f64 / 1e9).abs() < 1e-12);
    }
    let with_texts = output(run(&folder, &[&flags[..], &["--documents", "docs.jsonl", "clusters.tsv"]].concat()));
    for (line, alone) in lines(&with_texts).into_iter().zip(lines(&whole)) {
        assert_eq!(raw(line, "sum_loss"), raw(alone, "sum_loss"));
    }
    let mut parts = Vec::new();
    for (first, end) in [(0, 123), (123, rows)] {
        let part: String = clusters.lines().skip(first).take(end - first).map(|line| format!("{line}\n")).collect();
        folder.write("part.tsv", part);
        folder.write("losses.part", losses(first, end));
        let flags = ["--value", "losses.part", "--value-field", "2", "--value-name", "loss", "part.tsv"];
        parts.extend(output(run(&folder, &flags)));
    }
    assert_eq!(run(&folder, &["--add"]).stdin(parts.clone()).output(), whole);
    parts.extend(output(run(&folder, &["clusters.tsv"])));
    run(&folder, &["--add"]).stdin(parts).outcome().expect_refusal(1, &["other numbers (--value)"]);
}

#[test]
fn numbers_go_with_the_rows_of_clusters() {
    let folder = Folder::new();
    folder.write("clusters.tsv", "0\t1\n1\t1\n-1\tnan\n");
    let refused = |numbers: &str, said: &str| {
        folder.write("numbers", numbers);
        run(&folder, &["--value", "numbers", "clusters.tsv"]).outcome().expect_refusal(1, &[said]);
    };
    refused("1\n2\n", "rows of clusters: more than 2; rows of numbers: 2");
    refused("1\n2\n3\n4\n", "rows of clusters: 3; rows of numbers: more than 3");
    refused("1\nx\n3\n", "numbers:2: field 1: expected a number below 10^20, found \"x\"");
    folder.write("numbers", "1\nnan\n7\n");
    let found = run(&folder, &["--value", "numbers", "clusters.tsv"]).outcome();
    found.expect(0);
    let found = objects(&found.stdout);
    assert_eq!((&found[&0]["mean_value"], &found[&1]["mean_value"]), (&json!(1), &Value::Null));
    assert_eq!(found[&1]["rows_value"], 0);
    run(&folder, &["--value-name", "loss", "clusters.tsv"]).outcome().expect_refusal(2, &["goes only with --value"]);
}

/// Lengths beside the clusters, some of them missing, and their sum over parts.
#[test]
fn lengths_of_the_column_are_counted() {
    let folder = Folder::new();
    folder.write("docs.jsonl", "{\"text\": \"a b c\"}\n".repeat(5));
    folder.write("clusters.tsv", "0\t1\t5\n0\t1\t7\n1\t1\tnan\n-1\tnan\t9\n0\t1\t4000\n");
    let flags = ["--length-field", "3", "--length-name", "pieces", "--quantiles", "0.5,1"];
    let alone = run(&folder, &flags).args(["clusters.tsv"]).outcome();
    alone.expect(0);
    let found = objects(&alone.stdout);
    assert_eq!((&found[&0]["total_pieces"], &found[&1]["total_pieces"]), (&json!(4012), &json!(0)));
    let averages = lines(&alone.stdout).into_iter().map(|line| raw(line, "average_pieces")).collect::<Vec<_>>();
    assert_eq!(averages, ["1337.333333333333333333", "null"]);
    assert_eq!(found[&0]["quantiles_pieces"]["0.5"], 7);
    let long = found[&0]["quantiles_pieces"]["1"].as_f64().unwrap();
    assert!((long - 4000.0).abs() <= 4000.0 / 127.9);
    assert_eq!(found[&0]["histogram_pieces"], json!([[8272, 1], [8304, 1], [8893, 1]]));
    assert_eq!(found[&1]["histogram_pieces"], json!([]));
    // They stand for the words of the documents.
    let both = run(&folder, &flags).args(["--documents", "docs.jsonl", "clusters.tsv"]).outcome();
    both.expect(0);
    assert_eq!(objects(&both.stdout)[&0]["total_pieces"], 4012);
    assert!(!both.text().contains("total_words"));
    let parts = "for i in 1 2 3 4 5; do sed -n ${i}p clusters.tsv | cluster-stats --length-field 3 --length-name \
                 pieces; done 2> /dev/null | cluster-stats --add --quantiles 0.5,1";
    assert!(Run::shell(parts, &folder).output() == alone.stdout);
    for (row, said) in [
        ("0\t1\n", "clusters.tsv:1: expected a length in field 3, found 2 fields"),
        ("0\t1\t1.5\n", "clusters.tsv:1: field 3: expected a whole number, found \"1.5\""),
        ("0\t1\t-1\n", "clusters.tsv:1: field 3: expected a whole number"),
        ("0\t1\t18446744073709551615\n0\t1\t1\n", "cluster 0: the lengths of the cluster add up to more than 64 bits"),
    ] {
        folder.write("clusters.tsv", row);
        run(&folder, &flags).args(["clusters.tsv"]).outcome().expect_refusal(1, &[said]);
    }
    run(&folder, &["--length-name", "x"]).outcome().expect_refusal(2, &["--length-name goes only with --length-field"]);
}

/// What a cluster's documents have more often than those of others.
#[test]
fn words_that_tell_a_cluster_are_found() {
    let folder = Folder::new();
    let text = |i: usize| match i % 3 {
        0 => format!("the river and its Water, number {i}"),
        1 => format!("the engine with oil, number {i}"),
        _ => format!("the verse of a Poem \u{e9}t\u{e9}, number {i}"),
    };
    let texts: String = (0..300).map(|i| format!("{}\n", json!({"text": text(i)}))).collect();
    folder.write(INPUT, texts);
    folder.write("clusters.tsv", (0..300).map(|i| format!("{}\t0.5\n", i % 3)).collect::<String>());
    let found = objects(&run(&folder, &["--documents", INPUT, "--words", "4", "clusters.tsv"]).output());
    let words = |cluster: u64| -> Vec<&str> {
        found[&cluster]["words"].as_array().unwrap().iter().map(|pair| pair[0].as_str().unwrap()).collect()
    };
    assert_eq!(words(0), ["and", "its", "river", "water"]);
    assert_eq!(words(1), ["engine", "oil", "with"]);
    assert_eq!(words(2), ["of", "poem", "verse", "\u{e9}t\u{e9}"]);
    assert_eq!(found[&0]["words"][0][1], json!(1.099), "ln 3");
    let none = run(&folder, &["--documents", INPUT, "--random", "0", "clusters.tsv"]).output();
    assert!(objects(&none).values().all(|one| one["words"] == json!([]) && one["random"] == json!([])));
}

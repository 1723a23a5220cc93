//! Agreement with DSIR: what PyPI's data-selection 1.0.3 says of `data/raw.jsonl` against `data/target.jsonl`, which
//! `scripts/fixtures` wrote down, and what the programs say of them. Real text and adversarial Unicode are among the
//! documents.

use contract::folder::Folder;
use contract::run::{Run, program};
use contract::tool::lines;
use std::fs;
use std::path::PathBuf;

/// A weight is the same number where it is this near, relatively.
const RELATIVE: f64 = 1e-9;

/// Where the terms of a weight cancel, the order of summation alone moves it by this share of the sum of their absolute
/// values.
const CANCELLED: f64 = 1e-13;

const SETTINGS: [(&str, &str); 6] =
    [("1", "997"), ("2", "997"), ("3", "997"), ("1", "10000"), ("2", "10000"), ("3", "10000")];

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(data(name)).unwrap_or_else(|why| panic!("{name}: {why}"))
}

/// A count file without its header.
fn body(counts: &str) -> &str {
    counts.split_once('\n').map_or("", |(_, body)| body)
}

/// Counts both corpora and weighs the raw one: `raw`, `target` and `column` in a folder.
fn weighed(ngrams: &str, buckets: &str) -> Folder {
    let folder = Folder::new();
    for name in ["raw", "target"] {
        let run = Run::new(program("ngram-hash"), &folder);
        let run = run.args(["--hash", "sha256", "--ngrams", ngrams, "--buckets", buckets]);
        folder.write(name, run.args([data(&format!("{name}.jsonl"))]).output());
    }
    let run = Run::new(env!("CARGO_BIN_EXE_dsir-weight"), &folder);
    folder.write("column", run.args(["--raw", "raw", "--target", "target"]).args([data("raw.jsonl")]).output());
    folder
}

#[test]
fn counts_are_those_of_dsir() {
    let sums = text("counts.sha256");
    assert_eq!(sums.lines().count(), 2 * SETTINGS.len());
    for (ngrams, buckets) in SETTINGS {
        let folder = weighed(ngrams, buckets);
        for name in ["raw", "target"] {
            let (file, counts) = (format!("counts-{name}-n{ngrams}-b{buckets}.tsv"), folder.text(name));
            if data(&file).exists() {
                assert_eq!(body(&counts), text(&file), "{file}");
            }
            folder.write(&file, body(&counts));
            let sum = Run::shell(&format!("sha256sum {file}"), &folder).text();
            assert!(sums.contains(&sum), "{file} is not DSIR's");
        }
    }
}

#[test]
fn weights_and_lengths_are_those_of_dsir() {
    for (ngrams, buckets) in SETTINGS {
        let (file, folder) = (format!("weights-n{ngrams}-b{buckets}.tsv"), weighed(ngrams, buckets));
        let (expected, column) = (text(&file), folder.text("column"));
        let magnitudes = magnitudes(&folder, ngrams, buckets);
        assert_eq!(column.lines().count(), expected.lines().count(), "{file}");
        for (row, (ours, theirs)) in column.lines().zip(expected.lines()).enumerate() {
            let (ours, theirs): (Vec<_>, Vec<_>) = (ours.split('\t').collect(), theirs.split('\t').collect());
            let number = |text: &str| text.parse::<f64>().unwrap_or_else(|_| panic!("{file}: {text}"));
            let (weight, wanted) = (number(ours[0]), number(theirs[0]));
            let allowed = (RELATIVE * wanted.abs()).max(CANCELLED * magnitudes[row]);
            assert!((weight - wanted).abs() <= allowed, "{file}, row {row}: {weight}, DSIR {wanted}");
            assert_eq!(ours[1], theirs[1], "{file}: length of row {row}");
        }
    }
}

/// For each document the sum of the absolute values of its weight's terms, from the counts and the sparse rows.
fn magnitudes(folder: &Folder, ngrams: &str, buckets: &str) -> Vec<f64> {
    let shares = |name: &str| {
        let mut shares = vec![0.0; buckets.parse().expect("a number")];
        let (counts, number) = (folder.text(name), |text: &str| text.parse::<usize>().expect("a number"));
        let rows = body(&counts).lines().map(|row| row.split_once('\t').expect("two fields"));
        rows.for_each(|(bucket, count)| shares[number(bucket)] = number(count) as f64);
        let total: f64 = shares.iter().sum();
        shares.into_iter().map(|count| count / total).collect::<Vec<f64>>()
    };
    let (raw, target) = (shares("raw"), shares("target"));
    let term = |bucket: usize| ((target[bucket] + 1e-8).ln() - (raw[bucket] + 1e-8).ln()).abs();
    let run = Run::new(program("ngram-hash"), folder).args(["--hash", "sha256", "--ngrams", ngrams]);
    let sparse = run.args(["--buckets", buckets, "--per-document"]).args([data("raw.jsonl")]).text();
    let pair = |pair: &str| {
        let (bucket, count) = pair.split_once(':').expect("a pair");
        term(bucket.parse().expect("a bucket")) * count.parse::<f64>().expect("a count")
    };
    sparse.lines().map(|row| row.split_whitespace().map(pair).sum()).collect()
}

#[test]
fn top_chooses_the_documents_of_dsir() {
    let raw = fs::read(data("raw.jsonl")).expect("the documents are there");
    let raw = lines(&raw);
    let top = text("top.tsv");
    assert_eq!(top.lines().filter(|line| !line.starts_with('#')).count(), 3 * SETTINGS.len());
    for (ngrams, buckets) in SETTINGS {
        let folder = weighed(ngrams, buckets);
        for choice in top.lines().filter(|line| line.starts_with(&format!("{ngrams}\t{buckets}\t"))) {
            let fields: Vec<_> = choice.split('\t').collect();
            let run = Run::new(program("topk-resample"), &folder);
            let run = run.args(["--top", "--weights", "column", "--min-length", fields[2], "-n", fields[3]]);
            let chosen = run.args([data("raw.jsonl")]).output();
            let rows = fields[4].split(',').map(|row| row.parse::<usize>().expect("a row"));
            assert!(lines(&chosen) == rows.map(|row| raw[row]).collect::<Vec<_>>(), "{choice}");
        }
    }
}

//! `ngram-kl` keeps the contract of all tools, and agrees with a calculation by hand.

use contract::folder::Folder;
use contract::run::Run;
use contract::tool::{INPUT, Tool};

fn tool() -> Tool {
    Tool {
        name: "ngram-kl",
        program: env!("CARGO_BIN_EXE_ngram-kl"),
        source: env!("CARGO_MANIFEST_DIR"),
        args: &["p.counts"],
        side_files: &[],
        wrong_values: &[("--smoothing", "-1"), ("--smoothing", "inf"), ("--smoothing", "nan"), ("--smoothing", "x")],
        prepare: |folder, rows| folder.write("p.counts", counts(&vec![1; rows])),
        input: |rows| counts(&(1..=rows as u64).collect::<Vec<_>>()).into_bytes(),
    }
}

/// A count file of 1-grams; 4,000 buckets where there are more than a few.
fn counts(hits: &[u64]) -> String {
    let buckets = if hits.len() > 2 { 4000 } else { 2 };
    let grams: u64 = hits.iter().sum();
    let header = format!("# ngram-hash 1 ngrams=1 buckets={buckets} hash=xxh3 tokenizer=wordpunct");
    let rows: Vec<_> = hits
        .iter()
        .enumerate()
        .filter(|(_, hits)| **hits > 0)
        .map(|(bucket, hits)| format!("{bucket}\t{hits}\n"))
        .collect();
    format!("{header} documents=1 words={grams} grams={grams}\n{}", rows.concat())
}

contract::holds!(tool: manual, files);

/// The divergence between two tables.
fn divergence(p: &[u64], q: &[u64], flags: &[&str]) -> f64 {
    let folder = Folder::new();
    folder.write("p", counts(p));
    folder.write("q", counts(q));
    let text = Run::new(tool().program, &folder).args(flags).args(["p", "q"]).text();
    let number = text.strip_suffix("\tq\n").and_then(|number| number.parse().ok());
    number.unwrap_or_else(|| panic!("{text:?}"))
}

fn near(found: f64, expected: f64) {
    assert!((found - expected).abs() <= 1e-7, "{found}, expected {expected}");
}

#[test]
fn two_buckets_by_hand() {
    // 3/4 ln((3/4)/(1/4)) + 1/4 ln((1/4)/(3/4)) = 1/2 ln 3
    near(divergence(&[3, 1], &[1, 3], &[]), 0.549_306_144_334_054_8);
    // With one more in each bucket: 4/6 ln 2 - 2/6 ln 2 = 1/3 ln 2
    near(divergence(&[3, 1], &[1, 3], &["--smoothing", "1"]), 0.231_049_060_186_648_4);
    // 1 ln(1 / 1e-8) = 8 ln 10
    near(divergence(&[1, 0], &[0, 1], &[]), 18.420_680_743_952_367);
    assert_eq!(divergence(&[3, 1], &[300, 100], &[]), 0.0);
}

#[test]
fn one_line_a_file_in_order() {
    let folder = tool().folder(10);
    folder.write("same", folder.read("p.counts"));
    let text = tool().run_on_input(&folder).args(["same", INPUT]).text();
    let names: Vec<_> = text.lines().filter_map(|line| line.split('\t').nth(1)).collect();
    assert_eq!(names, [INPUT, "same", INPUT]);
    assert_eq!(text.lines().nth(1), Some("0\tsame"));
}

#[test]
fn other_parameters_and_too_few_files_are_refused() {
    let folder = tool().folder(10);
    folder.write("other", folder.text("p.counts").replace("buckets=4000", "buckets=4001"));
    let other = tool().run_on_input(&folder).args(["other"]).outcome();
    other.expect_refusal(1, &["other: the counts disagree: buckets=4000 and buckets=4001"]);
    tool().run(&folder).outcome().expect_refusal(2, &["second count file"]);
    tool().bare(&folder).outcome().expect_refusal(2, &["P Q..."]);
    folder.write("nothing", counts(&[0, 0, 0]));
    tool().run(&folder).args(["nothing"]).outcome().expect_refusal(1, &["nothing: no n-grams were counted"]);
}

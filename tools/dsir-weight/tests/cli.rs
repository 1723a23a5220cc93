//! `dsir-weight` keeps the contract of all tools.

use contract::corpus;
use contract::folder::Folder;
use contract::run::{Run, program};
use contract::tool::{Tool, lines};
use xxhash_rust::xxh3::xxh3_64;

fn tool() -> Tool {
    Tool {
        name: "dsir-weight",
        program: env!("CARGO_BIN_EXE_dsir-weight"),
        source: env!("CARGO_MANIFEST_DIR"),
        args: &["--raw", "raw.counts", "--target", "target.counts"],
        side_files: &["--raw", "--target"],
        wrong_values: &[
            ("--smoothing", "-1"),
            ("--smoothing", "inf"),
            ("--smoothing", "x"),
            ("--raw", ""),
            ("--target", ""),
        ],
        prepare: |folder, _| {
            folder.write("raw.counts", counts(corpus::documents(300), &[]));
            folder.write("target.counts", counts(corpus::target(100), &[]));
        },
        input: |rows| corpus::documents(rows).into_bytes(),
    }
}

/// What `ngram-hash` makes of some documents.
fn counts(documents: String, flags: &[&str]) -> Vec<u8> {
    Run::new(program("ngram-hash"), &Folder::new()).args(flags).stdin(documents).output()
}

contract::holds!(tool: manual, files, documents, records, rows);

/// The field, from 1, of each row.
fn field(output: &[u8], number: usize) -> Vec<String> {
    let field = |row: &[u8]| String::from_utf8_lossy(row).split('\t').nth(number - 1).unwrap_or_default().to_string();
    lines(output).into_iter().map(field).collect()
}

#[test]
fn keys_are_xxh3_of_the_line_or_of_the_id() {
    let (folder, input) = (tool().folder(50), (tool().input)(50));
    let hex = |bytes: &[u8]| format!("{:016x}", xxh3_64(bytes));
    let of_lines: Vec<_> = lines(&input).into_iter().map(hex).collect();
    assert_eq!(field(&tool().run_on_input(&folder).output(), 3), of_lines);
    let of_ids: Vec<_> = (0..50).map(|id| hex(id.to_string().as_bytes())).collect();
    assert_eq!(field(&tool().run_on_input(&folder).args(["--id-field", "id"]).output(), 3), of_ids);
    let of_kinds: Vec<_> =
        corpus::kinds(str::from_utf8(&input).expect("text")).lines().map(|kind| hex(kind.as_bytes())).collect();
    assert_eq!(field(&tool().run_on_input(&folder).args(["--id-field", "kind"]).output(), 3), of_kinds);
}

#[test]
fn each_target_has_a_column() {
    let folder = tool().folder(100);
    folder.write("other.counts", counts(corpus::documents(20), &[]));
    let one =
        |target: &str| tool().bare(&folder).args(["--raw", "raw.counts", "--target", target, "docs.jsonl"]).output();
    let both = tool().run_on_input(&folder).args(["--target", "other.counts"]).output();
    assert_eq!(field(&both, 1), field(&one("target.counts"), 1));
    assert_eq!(field(&both, 2), field(&one("other.counts"), 1));
    for place in [2, 3] {
        assert_eq!(field(&both, place + 1), field(&one("other.counts"), place));
    }
}

#[test]
fn other_parameters_are_refused_by_name() {
    let folder = tool().folder(3);
    for (flags, said) in [
        (["--ngrams", "3"], "ngrams=2 and ngrams=3"),
        (["--buckets", "77"], "buckets=10000 and buckets=77"),
        (["--hash", "sha256"], "hash=xxh3 and hash=sha256"),
        (["--word-tokenizer", "whitespace"], "tokenizer=wordpunct and tokenizer=whitespace"),
    ] {
        folder.write("other.counts", counts(corpus::documents(20), &flags));
        let refused = tool().run_on_input(&folder).args(["--target", "other.counts"]).outcome();
        refused.expect_refusal(1, &["other.counts: the counts disagree: ", said]);
    }
}

#[test]
fn counts_are_needed() {
    let folder = tool().folder(3);
    tool().bare(&folder).waiting().outcome().expect_refusal(2, &["--raw is needed"]);
    tool().bare(&folder).args(["--raw", "raw.counts"]).waiting().outcome().expect_refusal(2, &["--target is needed"]);
    folder.write("empty.counts", counts(String::new(), &[]));
    let outcome = tool().bare(&folder).args(["--raw", "raw.counts", "--target", "empty.counts"]).waiting().outcome();
    outcome.expect_refusal(1, &["empty.counts: no n-grams were counted"]);
}

#[test]
fn text_may_be_anywhere() {
    let folder = tool().folder(0);
    folder.write("docs.jsonl", "{\"m\": {\"b\": [\"x\", \"the corpus\"]}, \"t\": \"of words\"}\n");
    folder.write("flat", "{\"text\": \"the corpus\"}\n{\"text\": \"of words: the corpus\"}\n");
    let flat = tool().run(&folder).args(["flat"]).output();
    let (weights, lengths) = (field(&flat, 1), field(&flat, 2));
    let nested = tool().run_on_input(&folder).args(["--field", "m.b.1"]).output();
    assert_eq!((field(&nested, 1), field(&nested, 2)), (weights[..1].to_vec(), lengths[..1].to_vec()));
    let joined = tool().run_on_input(&folder).args(["--template", "{t}: {m.b.1}"]).output();
    assert_eq!((field(&joined, 1), field(&joined, 2)), (weights[1..].to_vec(), lengths[1..].to_vec()));
}

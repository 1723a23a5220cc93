//! `ngram-hash` keeps the contract of all tools.

use contract::corpus;
use contract::folder::Folder;
use contract::tool::Tool;

/// One row a document: the contract speaks of rows.
fn rows() -> Tool {
    Tool { args: &["--per-document"], ..sums() }
}

/// One table for all documents.
fn sums() -> Tool {
    Tool {
        name: "ngram-hash",
        program: env!("CARGO_BIN_EXE_ngram-hash"),
        source: env!("CARGO_MANIFEST_DIR"),
        args: &[],
        side_files: &[],
        wrong_values: &[
            ("--ngrams", "0"),
            ("--ngrams", "two"),
            ("--buckets", "0"),
            ("--buckets", "268435457"),
            ("--hash", "md5"),
            ("--word-tokenizer", "bpe"),
            ("--words-max", "0"),
        ],
        prepare: |_, _| (),
        input: |rows| corpus::documents(rows).into_bytes(),
    }
}

contract::holds!(rows: manual, files, documents, records, rows);

mod table {
    use super::sums;
    contract::holds!(sums: files, records);
}

#[test]
fn threads_change_no_table() {
    let tool = sums();
    let folder = tool.folder(20_000);
    for more in [&[][..], &["--ngrams", "3"], &["--hash", "sha256"], &["--words-max", "1000"]] {
        let run = |threads: &str| tool.run_on_input(&folder).args(more).args(["--threads", threads]).output();
        let one = run("1");
        assert!(one == run("2") && one == run("7"), "{more:?}");
    }
}

#[test]
fn no_documents_are_a_table_of_nothing() {
    let header = "# ngram-hash 1 ngrams=2 buckets=10000 hash=xxh3 tokenizer=wordpunct documents=0 words=0 grams=0\n";
    assert_eq!(sums().run_on_input(&sums().folder(0)).text(), header);
}

#[test]
fn carriage_returns_and_a_missing_newline_change_no_count() {
    let tool = sums();
    let text = corpus::documents(50);
    for other in [text.replace('\n', "\r\n"), text.trim_end().to_string()] {
        assert!(tool.run_on_input(&tool.folder_of(50, other.as_bytes())).output() == tool.output(50));
    }
}

#[test]
fn skipped_records_are_not_counted() {
    let (tool, text) = (sums(), corpus::documents(50));
    let spoilt = text.replacen('\n', "\nnot JSON\n", 3);
    let outcome = tool.run(&Folder::new()).args(["--on-error", "skip"]).stdin(spoilt).outcome();
    outcome.expect(0);
    assert!(outcome.stdout == tool.output(50));
    assert!(
        outcome
            .stderr
            .starts_with("ngram-hash: skipped 3 bad of 53 rows; the first: <stdin>:2: expected a JSON object")
    );
}

#[test]
fn flags_that_exclude_each_other_are_refused() {
    let folder = sums().folder(1);
    for (flags, said) in [
        (&["--add", "--per-document"][..], "--add does not go with --per-document"),
        (&["--add", "--words-max", "5"], "--add does not go with --words-max"),
        (&["--add", "--shard", "0/1"], "--add does not go with --shard"),
        (&["--per-document", "--words-max", "5"], "--per-document does not go with --words-max"),
    ] {
        sums().run_on_input(&folder).args(flags).outcome().expect_refusal(2, &[said]);
    }
}

#[test]
fn damaged_counts_are_refused() {
    let folder = Folder::new();
    let counts = String::from_utf8(sums().output(20)).expect("counts are text");
    folder.write("good", &counts);
    for (wrong, said) in [
        (String::new(), "wrong:1: expected the header"),
        (counts[..counts.len() - 5].to_string(), "wrong"),
        (corpus::documents(1), "wrong:1: expected the header"),
        (counts.replace("grams=", "grams=1"), "do not add up"),
    ] {
        folder.write("wrong", wrong);
        sums().bare(&folder).args(["--add", "good", "wrong"]).outcome().expect_refusal(1, &[said]);
    }
}

//! `jsonl-key` keeps the contract of all tools.

use contract::corpus;
use contract::folder::Folder;
use contract::run::Run;
use contract::tool::{INPUT, Tool, lines};
use xxhash_rust::xxh3::xxh3_64;

/// By a field, so that there are bad records.
fn tool() -> Tool {
    Tool {
        name: "jsonl-key",
        program: env!("CARGO_BIN_EXE_jsonl-key"),
        source: env!("CARGO_MANIFEST_DIR"),
        args: &["--id-field", "text"],
        side_files: &[],
        wrong_values: &[("--threads", "0"), ("--on-error", "stop")],
        prepare: |_, _| (),
        input: |rows| corpus::documents(rows).into_bytes(),
    }
}

/// By the line.
fn of_lines() -> Tool {
    Tool { args: &[], ..tool() }
}

contract::holds!(tool: manual, files, documents);

/// What holds for every tool that writes a row a document, and here of lines that are not looked into.
#[test]
fn there_is_a_row_a_document() {
    contract::rows::shards_put_together_are_the_whole(&tool());
    contract::rows::shards_put_together_are_the_whole(&of_lines());
    contract::documents::no_documents_are_no_rows(&of_lines());
    contract::documents::last_line_needs_no_newline(&of_lines());
    contract::documents::operands_are_read_in_order(&of_lines());
    contract::documents::threads_change_nothing(&of_lines());
}

fn keys<'a>(identities: impl Iterator<Item = &'a str>) -> String {
    identities.map(|identity| format!("{:016x}\n", xxh3_64(identity.as_bytes()))).collect()
}

#[test]
fn a_key_is_the_hash_of_the_line_or_of_the_field() {
    let folder = tool().folder(3000);
    let documents = corpus::documents(3000);
    assert_eq!(of_lines().run_on_input(&folder).text(), keys(documents.lines()));
    let text = |line: &str| serde_json::from_str::<serde_json::Value>(line).expect("it is JSON")["text"].clone();
    let texts: Vec<_> = documents.lines().map(text).collect();
    let texts = texts.iter().map(|text| text.as_str().expect("a text"));
    assert_eq!(tool().run_on_input(&folder).text(), keys(texts));
    assert_eq!(
        of_lines().run_on_input(&folder).args(["--id-field", "id"]).text(),
        keys(ids().iter().map(String::as_str))
    );
}

fn ids() -> Vec<String> {
    (0..3000).map(|id| id.to_string()).collect()
}

/// A document that is written anew keeps the key of its text, and loses that of its line.
#[test]
fn the_key_of_the_text_survives_another_writing() {
    let folder = tool().folder(200);
    let again = |line: &[u8]| {
        let value: serde_json::Value = serde_json::from_slice(line).expect("it is JSON");
        value.to_string().replace("\":", "\" :") + "\n"
    };
    let written: String = lines(&folder.read(INPUT)).into_iter().map(again).collect();
    folder.write("again", written);
    assert_eq!(tool().run(&folder).args(["again"]).text(), tool().run_on_input(&folder).text());
    assert_ne!(of_lines().run(&folder).args(["again"]).text(), of_lines().run_on_input(&folder).text());
}

#[test]
fn a_field_that_is_no_identity_is_named() {
    let folder = Folder::new();
    folder.write(INPUT, "{\"id\": 1}\n{\"id\": 1.5}\n{}\n");
    let run = |args: &[&str]| Run::new(tool().program, &folder).args(["--id-field", "id", INPUT]).args(args).outcome();
    let said = "docs.jsonl:2: field \"id\": expected a string or a whole number, found number";
    let refused = run(&[]);
    refused.expect(1);
    assert_eq!(refused.stderr, format!("jsonl-key: {said}\n"));
    let skipped = run(&["--on-error", "skip"]);
    skipped.expect(0);
    assert_eq!(skipped.text(), keys(["1"].into_iter()) + "nan\nnan\n");
    assert_eq!(skipped.stderr, format!("jsonl-key: skipped 2 bad of 3 rows; the first: {said}\n"));
}

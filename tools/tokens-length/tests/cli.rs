//! `tokens-length` keeps the contract of all tools that read tokens, and counts as jsonl-tokenize does.

use contract::corpus;
use contract::folder::Folder;
use contract::run::Run;
use contract::tool::{INPUT, Tool};

fn tool() -> Tool {
    Tool {
        name: "tokens-length",
        program: env!("CARGO_BIN_EXE_tokens-length"),
        source: env!("CARGO_MANIFEST_DIR"),
        args: &[],
        side_files: &[],
        wrong_values: &[("--progress", "maybe")],
        prepare: |_, _| (),
        // A row of the output has four bytes, so that many do not fit into a pipe.
        input: |rows| documents(&(0..rows).map(|row| [0, 100, 101, 102, 103][row % 5]).collect::<Vec<_>>()),
    }
}

contract::holds!(tool: manual, files, streams);
contract::holds!(@tests tool documents:
    standard_input_is_a_file, reader_may_leave, reader_may_leave_while_input_waits,
    progress_is_not_data);

/// Documents of these lengths, in arrays of 300.
fn documents(lengths: &[u16]) -> Vec<u8> {
    let arrays = lengths.chunks(300).map(corpus::tokens);
    if lengths.is_empty() { corpus::tokens(&[]) } else { arrays.collect::<Vec<_>>().concat() }
}

#[test]
fn a_number_a_document_and_nan_where_there_is_none() {
    let folder = tool().folder_of(9, &documents(&[3, 0, 700, 1]));
    let outcome = tool().run_on_input(&folder).args(["--stats", "stats"]).outcome();
    assert_eq!(outcome.text(), "3\nnan\n700\n1\n");
    let stats: serde_json::Value = serde_json::from_slice(&folder.read("stats")).expect("it is JSON");
    assert_eq!((&stats["rows"], &stats["rows_missing"], &stats["tokens"]), (&4.into(), &1.into(), &704.into()));
    assert_eq!(tool().run_on_input(&tool().folder(0)).text(), "");
    let many: Vec<u16> = (0..1000).map(|row| 1 + row * 37 % 2000).collect();
    let folder = tool().folder_of(9, &documents(&many));
    let expected: String = many.iter().map(|length| format!("{length}\n")).collect();
    assert_eq!(tool().run_on_input(&folder).text(), expected);
}

/// A bad document is chosen by nobody: its length is missing, and so is its row for a sampler.
#[test]
fn missing_documents_are_missing_rows_of_the_samplers() {
    let folder = Folder::new();
    folder.write("lengths.npy", documents(&[5, 0, 5, 5]));
    folder.write(INPUT, "a\nb\nc\nd\n");
    let script = "tokens-length lengths.npy | sed 's/^/0\\t/' > clusters.tsv
        clip-sample --budget 99 --length-field 2 --clusters clusters.tsv docs.jsonl 2> note";
    assert_eq!(Run::shell(script, &folder).text(), "a\nc\nd\n");
    let script = "tokens-length lengths.npy | sed 's/^/0.5\\t/; s/$/\\t0123456789abcdef/' > weights.tsv
        topk-resample --keys documents --budget 10 --weights weights.tsv docs.jsonl";
    assert_eq!(Run::shell(script, &folder).text().lines().count(), 2);
}

//! `jsonl-from-json` keeps the contract of all tools, and loses no byte that says something.

use contract::corpus;
use contract::folder::Folder;
use contract::tool::{INPUT, Tool};

fn tool() -> Tool {
    Tool {
        name: "jsonl-from-json",
        program: env!("CARGO_BIN_EXE_jsonl-from-json"),
        source: env!("CARGO_MANIFEST_DIR"),
        args: &[],
        side_files: &[],
        wrong_values: &[("--progress", "maybe")],
        prepare: |_, _| (),
        input: |rows| array(&corpus::documents(rows)).into_bytes(),
    }
}

contract::holds!(tool: manual, files);
contract::holds!(@tests tool documents:
    standard_input_is_a_file, reader_may_leave, reader_may_leave_while_input_waits, progress_is_not_data);

/// Lines as an array that is indented by two.
fn array(lines: &str) -> String {
    let elements: Vec<_> = lines.lines().map(|line| line.replace("\": ", "\":\n    ")).collect();
    if elements.is_empty() { "[]\n".to_string() } else { format!("[\n  {}\n]\n", elements.join(",\n  ")) }
}

#[test]
fn lines_come_back() {
    let folder = tool().folder(2000);
    let outcome = tool().run_on_input(&folder).args(["--stats", "stats"]).outcome();
    let expected = corpus::documents(2000).replace("\": ", "\":").replace(", \"", ",\"");
    assert_eq!(outcome.text(), expected);
    let stats: serde_json::Value = serde_json::from_slice(&folder.read("stats")).expect("it is JSON");
    assert_eq!(stats["rows"], 2000);
    let one_line = format!("[{}]", corpus::documents(2000).trim_end().replace('\n', ","));
    assert_eq!(tool().run(&folder).stdin(one_line).text(), expected);
}

#[test]
fn several_arrays_are_read_in_order_and_empty_ones_are_no_lines() {
    let folder = Folder::new();
    for (name, text) in [("a", "[1, 2]"), ("b", " [ ] "), ("c", "[3]\n")] {
        folder.write(name, text);
    }
    assert_eq!(tool().bare(&folder).args(["a", "b", "c"]).text(), "1\n2\n3\n");
}

#[test]
fn numbers_and_strings_are_not_written_anew() {
    let folder = Folder::new();
    let element = "{\"z\":123456789012345678901234567890,\"a\":1.0e+05,\"a\":-0.10,\"t\":\"\\u00e9\\ud83d \\/ [\"}";
    folder.write(INPUT, format!("[ {} ]", element.replace(":", " : ")));
    assert_eq!(tool().run_on_input(&folder).text(), format!("{element}\n"));
}

#[test]
fn what_is_wrong_is_named_by_file_and_line() {
    let folder = Folder::new();
    folder.write("good", "[1]");
    for (text, said) in [
        ("[{\"a\": 1},\n {\"a\" 2}]", "docs.jsonl:2: not JSON: expected `:` at byte 7 of the line"),
        ("[\n1,\n2", "docs.jsonl:3: the array is truncated at byte 2 of the line"),
        ("{\"a\": 1}\n", "docs.jsonl:1: expected a JSON array, found '{' at byte 1 of the line"),
        ("", "docs.jsonl:1: expected a JSON array, found nothing at byte 1 of the line"),
    ] {
        folder.write(INPUT, text);
        let outcome = tool().bare(&folder).args(["good", INPUT]).outcome();
        outcome.expect(1);
        assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
        assert!(outcome.text().starts_with("1\n"), "what was right before is written");
    }
}

//! `lp-rank` keeps the contract of all tools, and computes what the formula says from every form.

use contract::corpus::Numbers;
use contract::folder::Folder;
use contract::run::{Outcome, Run};
use contract::tool::Tool;

fn tool() -> Tool {
    Tool {
        name: "lp-rank",
        program: env!("CARGO_BIN_EXE_lp-rank"),
        source: env!("CARGO_MANIFEST_DIR"),
        args: &[],
        side_files: &[],
        wrong_values: &[],
        prepare: |_, _| (),
        input: |rows| perplexities(rows).iter().map(|row| tsv(row)).collect::<String>().into_bytes(),
    }
}

contract::holds!(tool: manual, files);
contract::holds!(@tests tool documents:
    no_documents_are_no_rows, last_line_needs_no_newline, carriage_returns_change_no_row, standard_input_is_a_file,
    reader_may_leave, reader_may_leave_while_input_waits);

/// Before training, after three epochs; some as before.
fn perplexities(rows: usize) -> Vec<[f64; 4]> {
    let mut numbers = Numbers(8);
    let mut number = || 1.0 + numbers.below(1 << 20) as f64 / 1000.0;
    let row = |_| {
        let before = number();
        [before, number(), number(), if before < 300.0 { before } else { number() }]
    };
    (0..rows).map(row).collect()
}

fn tsv(row: &[f64]) -> String {
    row.iter().map(f64::to_string).collect::<Vec<_>>().join("\t") + "\n"
}

/// `pickle.dumps(list, 4)` of a list of floats.
fn pickled(list: &[f64]) -> Vec<u8> {
    let numbers = list.iter().flat_map(|number| [&b"G"[..], &number.to_be_bytes()].concat());
    let length = (5 + 9 * list.len()) as u64;
    [b"\x80\x04\x95", &length.to_le_bytes()[..], b"]\x94(", &numbers.collect::<Vec<_>>(), b"e."].concat()
}

fn run(folder: &Folder, files: &[&str]) -> Outcome {
    Run::new(tool().program, folder).args(files).outcome()
}

#[test]
fn every_form_says_the_same_to_the_last_digit() {
    let (rows, folder) = (perplexities(300), Folder::new());
    let share = |part: f64, whole: f64| if whole == 0.0 { 0.0 } else { part / whole };
    let expected =
        |row: &[f64; 4]| format!("{}\t{}\n", share(row[0] - row[1], row[0] - row[3]), share(row[0] - row[1], row[0]));
    let expected: String = rows.iter().map(expected).collect();
    assert!(expected.contains("\n0\t"), "some stay as they are");
    folder.write("all.tsv", rows.iter().map(|row| tsv(row)).collect::<String>());
    folder.write("all.jsonl", rows.iter().map(|row| format!("{row:?}\n")).collect::<String>());
    for epoch in 0..4 {
        let list: Vec<f64> = rows.iter().map(|row| row[epoch]).collect();
        folder.write(&format!("{epoch}.pkl"), pickled(&list));
        folder.write(&format!("{epoch}.tsv"), list.iter().map(|number| format!("{number}\n")).collect::<String>());
    }
    folder.write("middle.jsonl", rows.iter().map(|row| format!("[ {},{} ]\n", row[1], row[2])).collect::<String>());
    for files in [
        &["all.tsv"][..],
        &["all.jsonl"],
        &["0.pkl", "1.pkl", "2.pkl", "3.pkl"],
        &["0.tsv", "1.pkl", "3.tsv"],
        &["0.pkl", "middle.jsonl", "3.tsv"],
    ] {
        assert_eq!(run(&folder, files).text(), expected, "{files:?}");
    }
}

#[test]
fn missing_perplexities_are_missing_rows() {
    let folder = Folder::new();
    folder.write("p", "4\t3\t2\nnan\t3\t2\n4\t3\tnan\n[4, null, 2]\n[4, 3, Infinity]\n[4, NaN, 2]\n4\t3\t4\n0\t0\t1\n");
    let outcome = run(&folder, &["--stats", "stats", "p"]);
    assert_eq!(outcome.text(), "0.5\t0.25\nnan\tnan\nnan\t0.25\nnan\tnan\nnan\t0.25\nnan\tnan\n0\t0.25\n-0\t0\n");
    let stats: serde_json::Value = serde_json::from_slice(&folder.read("stats")).expect("it is JSON");
    assert_eq!((&stats["rows"], &stats["rows_missing"]), (&8.into(), &5.into()));
}

#[test]
fn what_is_no_row_of_perplexities_is_named() {
    let folder = Folder::new();
    folder.write("one.pkl", pickled(&[1.0, 2.0]));
    folder.write("evil.pkl", b"\x80\x02cos\nsystem\nq\0X\x02\0\0\0lsq\x01\x85q\x02Rq\x03.");
    folder.write("renamed", pickled(&[1.0]));
    for (text, said) in [
        ("1\t2\n1\n", "p:2: expected 2 perplexities, as in the first row, found 1"),
        ("1\n2\n", "p:1: expected two perplexities or more, before training and after an epoch, found one"),
        ("1\t2\n1\tx\n", "p:2: field 2: expected a number, found \"x\""),
        ("1\t2\n\n", "p:2: field 1: expected a number"),
        ("[1, 2]\n[1, 2\n", "p:2: field 1: expected a number, found \"[1, 2\""),
        ("[1, \"2\"]\n", "p:1: field 2: expected a number"),
        ("[]\n", "p:1: field 1: expected a number"),
    ] {
        folder.write("p", text);
        run(&folder, &["p"]).expect_refusal(1, &[said]);
    }
    folder.write("p", "1\t2\n");
    run(&folder, &["p", "one.pkl"])
        .expect_refusal(1, &["p:2: expected another row, as one.pkl has one, found the end"]);
    run(&folder, &["one.pkl", "p"])
        .expect_refusal(1, &["p:2: expected another row, as one.pkl has one, found the end"]);
    let said = "evil.pkl: byte 2: expected a pickled list of floats, found instruction 0x63";
    run(&folder, &["evil.pkl"]).expect_refusal(1, &[said]);
    run(&folder, &["renamed"])
        .expect_refusal(1, &["renamed:1: a Python pickle; it is read where the file's name ends in .pkl"]);
}

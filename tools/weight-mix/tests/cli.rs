//! `weight-mix` keeps the contract of all tools, and mixes as is told.

use contract::corpus::Numbers;
use contract::folder::Folder;
use contract::run::{Outcome, Run};
use contract::tool::{INPUT, Tool};

fn tool() -> Tool {
    Tool {
        name: "weight-mix",
        program: env!("CARGO_BIN_EXE_weight-mix"),
        source: env!("CARGO_MANIFEST_DIR"),
        args: &["--coefficients", "-0.5"],
        side_files: &[],
        wrong_values: &[
            ("--alpha", "1.5"),
            ("--alpha", "nan"),
            ("--coefficients", "1,,2"),
            ("--coefficients", "inf,1"),
            ("--spreads", "0,1"),
            ("--spreads", "-1,1"),
        ],
        prepare: |_, _| (),
        input: |rows| column(rows, 2).into_bytes(),
    }
}

contract::holds!(tool: manual, files);
contract::holds!(@tests tool documents:
    no_documents_are_no_rows, last_line_needs_no_newline, carriage_returns_change_no_row, standard_input_is_a_file,
    reader_may_leave, reader_may_leave_while_input_waits);

/// Weights, lengths and keys; the keys are the same for any seed.
fn column(rows: usize, seed: u64) -> String {
    let mut numbers = Numbers(seed);
    let mut row = |row: usize| format!("{}\t{}\t{row:016x}\n", numbers.below(9000) as f64 / -64.0, 100 + row % 7);
    (0..rows).map(&mut row).collect()
}

/// What comes of columns in files that are named by their places: a, b, ...
fn mix(columns: &[&str], args: &[&str]) -> Outcome {
    let folder = Folder::new();
    let names = ["a", "b", "c"];
    columns.iter().zip(names).for_each(|(column, name)| folder.write(name, *column));
    Run::new(tool().program, &folder).args(args).args(&names[..columns.len()]).outcome()
}

#[test]
fn sums_keep_the_fields_of_the_first_column() {
    let (ngram, gmm) = ("1.5\t7\t00000000000000aa\n-3\t8\t00000000000000bb\r\nnan\tnan\tnan", "10\n-20\n5\n");
    let mixed = mix(&[ngram, gmm], &["--alpha", "0.25"]);
    assert_eq!(mixed.text(), "7.875\t7\t00000000000000aa\n-15.75\t8\t00000000000000bb\nnan\tnan\tnan\n");
    let all = mix(&["1\n2\n", "3\tx\n4\ty\n", "5\n6\n"], &["--coefficients", "1,-1,0.5"]);
    assert_eq!(all.text(), "0.5\n1\n");
    assert_eq!(mix(&["1\n2\n"], &["--coefficients", "3"]).text(), "3\n6\n");
    // All of one column is that column, whatever stands in the other, but for what is missing there.
    assert_eq!(mix(&["0.1\t5\n7\t6\n2\n", "inf\n-2\nnan\n"], &["--alpha", "1"]).text(), "0.1\t5\n7\t6\nnan\n");
}

#[test]
fn standardised_columns_are_divided_by_their_spread() {
    let (a, b) = ("1\tx\n2\ty\n3\tz\nnan\t\n", "-100\n300\n200\n1\n");
    let one = mix(&[a, b], &["--alpha", "0.25", "--standardise"]).text().to_string();
    // Of a: median 2, deviations 1, 0, 1. Of b: median 100.5, deviations 200.5, 199.5, 99.5, 99.5.
    let (a_spread, b_spread) = (1.4826, 1.4826 * 149.5);
    let expected: Vec<f64> =
        [(1.0, -100.0), (2.0, 300.0), (3.0, 200.0)].map(|(a, b)| 0.25 * (a / a_spread) + 0.75 * (b / b_spread)).into();
    let expected = format!("{}\tx\n{}\ty\n{}\tz\nnan\t\n", expected[0], expected[1], expected[2]);
    assert_eq!(one, expected);
    let spreads = format!("{a_spread},{b_spread}");
    assert_eq!(mix(&[a, b], &["--alpha", "0.25", "--spreads", &spreads]).text(), expected);
    assert_eq!(mix(&["", ""], &["--alpha", "0.25", "--standardise"]).text(), "");
    let flat = mix(&["1\n1\n1\n2\n", "1\n2\n3\n4\n"], &["--alpha", "0.25", "--standardise"]);
    flat.expect_refusal(1, &["a: half of the weights are the same"]);
    mix(&["nan\n", "1\n"], &["--alpha", "0.25", "--standardise"]).expect_refusal(1, &["a: no weight is finite"]);
}

/// The spreads that --stats says let shards be mixed as the whole is.
#[test]
fn shards_with_the_spreads_of_the_whole_are_the_whole() {
    let folder = tool().folder(500);
    folder.write("first.tsv", column(500, 1));
    let script = "weight-mix --alpha 0.3 --standardise --stats stats first.tsv docs.jsonl > whole
        spreads=$(grep -o '\"spreads\":[^]]*' stats | tr -d '\"spread:[')
        for part in 1,200 201,500; do
            sed -n ${part}p first.tsv > f; sed -n ${part}p docs.jsonl > s; weight-mix --alpha 0.3 --spreads $spreads f s
        done | cmp - whole";
    assert_eq!(Run::shell(script, &folder).text(), "");
}

#[test]
fn rows_that_do_not_stand_beside_each_other_are_named() {
    let keyed = "1\t5\t00000000000000aa\n2\t5\t00000000000000bb\n";
    let said = "b:2: its key is 00000000000000cc, and that of the first FILE's row 00000000000000bb";
    let other = "1\t00000000000000aa\n2\t00000000000000cc\n";
    mix(&[keyed, other], &["--alpha", "0.5"]).expect_refusal(1, &[said]);
    mix(&[keyed, "1\n"], &["--alpha", "0.5"]).expect_refusal(1, &["b:2: expected another row, as a has one"]);
    mix(&["1\n", "1\n2\n"], &["--alpha", "0.5"]).expect_refusal(1, &["a:2: expected another row, as b has one"]);
    mix(&["", "1\n"], &["--alpha", "0.5"]).expect_refusal(1, &["a:1: expected another row, as b has one"]);
    let said = "b:2: field 1: expected a number, found \"x\"";
    mix(&["1\n2\n", "1\nx\n"], &["--alpha", "0.5"]).expect_refusal(1, &[said]);
    mix(&["1\n2\n", "1\n\n"], &["--alpha", "0.5"]).expect_refusal(1, &["b:2: field 1: expected a number"]);
}

#[test]
fn numbers_and_files_must_be_as_many() {
    mix(&["1\n"], &["--alpha", "0.5"]).expect_refusal(2, &["expected 2 FILEs, one for each coefficient, found 1"]);
    mix(&["1\n", "1\n"], &["--coefficients", "1,2,3"]).expect_refusal(2, &["expected 3 FILEs"]);
    let spreads = mix(&["1\n", "1\n"], &["--alpha", "0.5", "--spreads", "1"]);
    spreads.expect_refusal(2, &["--spreads has 1 number, and there are 2 FILEs"]);
    mix(&["1\n"], &[]).expect_refusal(2, &["--alpha or --coefficients is needed"]);
    let both = mix(&["1\n", "1\n"], &["--alpha", "0.5", "--spreads", "1,1", "--standardise"]);
    both.expect_refusal(2, &["--standardise does not go with --spreads"]);
    let folder = tool().folder(3);
    let both = Run::new(tool().program, &folder).args(["--alpha", "0.5", INPUT, "-"]).stdin(column(3, 2));
    assert_eq!(both.text(), column(3, 2), "half of it and half of it");
}

//! Vectors come in as arrays one after another, or headerless, and damage is said.
//!
//! For a tool whose [`Tool::input`] is [`input`], with side files for vectors of [`DIM`] values.

use crate::corpus::Numbers;
use crate::packed;
use crate::tool::{INPUT, Tool};

/// Values of a vector.
pub const DIM: usize = 8;

/// Rows of an array of [`input`] at the most.
const ARRAY: usize = 1000;

/// So many vectors; their values have few bits, so that 16 hold them. No vector is zero.
pub fn rows(count: usize) -> Vec<Vec<f32>> {
    let mut numbers = Numbers(3);
    (0..count).map(|_| (0..DIM).map(|i| if i == 0 { 1.0 } else { value(&mut numbers) }).collect()).collect()
}

fn value(numbers: &mut Numbers) -> f32 {
    (numbers.below(257) as f32 - 128.0) / 64.0
}

/// A stream of so many vectors, as a pipe from jsonl-embed carries it.
pub fn input(count: usize) -> Vec<u8> {
    if count == 0 { array(&[]) } else { rows(count).chunks(ARRAY).flat_map(array).collect() }
}

/// One array, as NumPy writes it.
pub fn array(rows: &[Vec<f32>]) -> Vec<u8> {
    [header("<f4", "False", &format!("({}, {})", rows.len(), rows.first().map_or(DIM, Vec::len))), records(rows)]
        .concat()
}

/// The same in 16-bit floats; of values that [`rows`] has.
pub fn half_array(rows: &[Vec<f32>]) -> Vec<u8> {
    [header("<f2", "False", &format!("({}, {DIM})", rows.len())), half_records(rows)].concat()
}

/// The values alone.
pub fn records(rows: &[Vec<f32>]) -> Vec<u8> {
    rows.iter().flatten().flat_map(|value| value.to_le_bytes()).collect()
}

fn half_records(rows: &[Vec<f32>]) -> Vec<u8> {
    rows.iter().flatten().flat_map(|&value| half(value).to_le_bytes()).collect()
}

fn half(value: f32) -> u16 {
    let (bits, magnitude) = (value.to_bits(), value.to_bits() & 0x7fff_ffff);
    let whole = if value == 0.0 { 0 } else { (magnitude >> 13) - (112 << 10) };
    (bits >> 16 & 0x8000) as u16 | whole as u16
}

/// A header of version 1.0.
pub fn header(descr: &str, fortran_order: &str, shape: &str) -> Vec<u8> {
    header_of(&format!("{{'descr': '{descr}', 'fortran_order': {fortran_order}, 'shape': {shape}, }}"))
}

fn header_of(text: &str) -> Vec<u8> {
    let length = (10 + text.len() + 1).next_multiple_of(64);
    let padded = format!("{text:width$}\n", width = length - 11);
    [b"\x93NUMPY\x01\x00", &(padded.len() as u16).to_le_bytes()[..], padded.as_bytes()].concat()
}

/// However rows are divided into arrays and files, they are the same rows.
pub fn arrays_and_files_are_one_stream(tool: &Tool) {
    let (all, expected) = (rows(50), tool.output(50));
    let pieces = [&all[..1], &[], &all[1..20], &all[20..]].map(array);
    assert!(tool.run_on_input(&tool.folder_of(50, &pieces.concat())).output() == expected, "arrays in a file");
    assert!(tool.run(&tool.folder(50)).stdin(pieces.concat()).output() == expected, "arrays in a pipe");
    let folder = tool.folder(50);
    ["a", "b", "c"].iter().zip(&pieces).for_each(|(name, piece)| folder.write(name, piece));
    folder.write("c", packed::gzip(&[&pieces[2][..], &pieces[3]].concat()));
    folder.write("none", array(&[]));
    assert!(tool.run(&folder).args(["a", "none", "b", "c"]).output() == expected, "files");
    assert!(tool.run(&folder).args(["a", "-"]).stdin(pieces[2..].concat()).output() == expected, "a file and a pipe");
}

/// An array of no rows makes no rows.
pub fn no_vectors_are_no_rows(tool: &Tool) {
    let folder = tool.folder(0);
    for run in [tool.run_on_input(&folder), tool.run(&folder).stdin((tool.input)(0))] {
        let outcome = run.outcome();
        outcome.expect(0);
        assert_eq!(outcome.text(), "");
    }
}

/// 16-bit floats are the 32-bit floats of the same value, also beside them.
pub fn half_precision_is_the_same(tool: &Tool) {
    let (all, expected) = (rows(50), tool.output(50));
    for stream in [half_array(&all), [half_array(&all[..7]), array(&all[7..])].concat()] {
        assert!(tool.run_on_input(&tool.folder_of(50, &stream)).output() == expected);
    }
}

/// 64-bit floats are rounded to 32 bits, and --stats says so.
pub fn double_precision_is_rounded(tool: &Tool) {
    let (all, expected) = (rows(50), tool.output(50));
    let values = all.iter().flatten().flat_map(|&value| (f64::from(value) * (1.0 + 1e-12)).to_le_bytes());
    let doubles = [header("<f8", "False", "(50, 8)"), values.collect()].concat();
    let folder = tool.folder_of(50, &doubles);
    assert!(tool.run_on_input(&folder).args(["--stats", "stats"]).output() == expected);
    let rounded = || {
        let stats: serde_json::Value = serde_json::from_slice(&folder.read("stats")).expect("it is JSON");
        stats["rounded"].clone()
    };
    assert_eq!(rounded(), true);
    tool.run(&folder).stdin((tool.input)(50)).args(["--stats", "stats"]).output();
    assert_eq!(rounded(), false);
    assert!(tool.run(&folder).stdin([doubles, array(&all[..0])].concat()).output() == expected, "a pipe");
}

/// An array of columns one after the other is read where it is a plain file, and refused where it is not.
pub fn fortran_order_is_read_from_files(tool: &Tool) {
    let (all, expected) = (rows(2000), tool.output(2000));
    let columns = |all: &[Vec<f32>]| -> Vec<u8> {
        let values = (0..DIM).flat_map(|at| all.iter().flat_map(move |row| row[at].to_le_bytes())).collect();
        [header("<f4", "True", &format!("({}, {DIM})", all.len())), values].concat()
    };
    let folder =
        tool.folder_of(2000, &[columns(&all[..1500]), array(&all[1500..1600]), columns(&all[1600..])].concat());
    assert!(tool.run_on_input(&folder).output() == expected);
    let shards = tool.has("--shard").then(|| tool.run_on_input(&folder).args(["--shard", "1/3"]).output());
    assert!(
        shards.is_none_or(|shard| shard == tool.run_on_input(&tool.folder(2000)).args(["--shard", "1/3"]).output())
    );
    let whole = columns(&all);
    for stdin in [whole.clone(), packed::zstd(&whole)] {
        let outcome = tool.run(&folder).stdin(stdin).outcome();
        outcome.expect(1);
        assert!(outcome.stderr.contains("array 0: Fortran order: expected C order"), "{}", outcome.stderr);
    }
    let cut = tool.folder_of(2000, &whole[..whole.len() - 1]);
    tool.run_on_input(&cut).outcome().expect_refusal(1, &[INPUT, "truncated: row 1999 "]);
}

/// `--headerless DIM:DTYPE` reads records without a header, from files, pipes and compressed input, and says what does
/// not fit.
pub fn headerless_records_are_the_same(tool: &Tool) {
    let (all, expected) = (rows(2000), tool.output(2000));
    let (full, half) = (records(&all), half_records(&all));
    let run =
        |input: &[u8], raw: &str| tool.run_on_input(&tool.folder_of(2000, input)).args(["--headerless", raw]).outcome();
    for (input, raw) in [(&full, "8:f32"), (&half, "8:f16"), (&packed::zstd(&full), "8:f32")] {
        let outcome = run(input, raw);
        outcome.expect(0);
        assert!(outcome.stdout == expected, "{raw}");
    }
    assert!(
        tool.run(&tool.folder(2000)).args(["--headerless", "8:f32"]).stdin(full.clone()).output() == expected,
        "a pipe"
    );
    let cut = &full[..full.len() - 3];
    run(cut, "8:f32").expect_refusal(1, &[INPUT, "63997 bytes are 1999 records of 32 bytes and 29 over"]);
    let outcome = run(&packed::gzip(cut), "8:f32");
    outcome.expect(1);
    assert!(outcome.stderr.contains(&format!("{INPUT}: truncated: row 1999 is not whole")), "{}", outcome.stderr);
    run(&array(&all), "8:f32").expect_refusal(1, &[INPUT, "leave --headerless out"]);
    for raw in ["8", "0:f32", "8:f64", "x:f32", "8:", "99999999999999999999:f32"] {
        run(&full, raw).expect_refusal(2, &["--headerless", raw, "expected DIM:f32 or DIM:f16"]);
    }
}

/// Each field of a header that is not as it should be is exit 1, with the file and what is wrong, before anything is
/// written.
pub fn damaged_headers_are_named(tool: &Tool) {
    let values = records(&rows(9));
    let good = ("<f4", "False", "(9, 8)");
    let of = |descr, order, shape| [header(descr, order, shape), values.clone()].concat();
    let dictionary = |text: &str| [header_of(text), values.clone()].concat();
    let changed = |at: usize, byte: u8| {
        let mut bytes = of(good.0, good.1, good.2);
        bytes[at] = byte;
        bytes
    };
    assert!(tool.run_on_input(&tool.folder_of(9, &of(good.0, good.1, good.2))).output() == tool.output(9));
    for (bytes, said) in [
        (of(">f4", "False", "(9, 8)"), "type \">f4\": expected little-endian floats"),
        (of("<f8", "False", "(9, 8)"), "truncated: row 4 "),
        (of("<i4", "False", "(9, 8)"), "type \"<i4\": expected"),
        (of("|b1", "False", "(9, 8)"), "type \"|b1\": expected"),
        (of("", "False", "(9, 8)"), "type \"\": expected"),
        (of("<f4", "0", "(9, 8)"), "header: expected True or False, found \"0"),
        (of("<f4", "False", "()"), "shape []: expected two dimensions"),
        (of("<f4", "False", "(72,)"), "shape [72]: expected two dimensions"),
        (of("<f4", "False", "(9, 4, 2)"), "shape [9, 4, 2]: expected two dimensions"),
        (of("<f4", "False", "9, 8"), "header: expected '('"),
        (of("<f4", "False", "(-9, 8)"), "header: expected a shape of whole numbers"),
        (of("<f4", "False", "(9, 0)"), "rows of 0 values"),
        (of("<f4", "False", "(0, 99999999)"), "rows of 99999999 values"),
        (of("<f4", "False", "(10, 8)"), "truncated: row 9 "),
        (of("<f4", "False", "(1099511627776, 8)"), "truncated: row 9 "),
        (of("<f4", "False", "(576460752303423488, 8)"), "more bytes than a file can have"),
        (of("<f4", "False", "(18446744073709551615, 8)"), "more bytes than a file can have"),
        (of("<f4", "False", "(18446744073709551616, 8)"), "whole numbers"),
        (of("<f4", "False", "(8, 8)"), "array 1: expected a .npy array"),
        (dictionary("{'fortran_order': False, 'shape': (9, 8)}"), "\"descr\" is missing"),
        (dictionary("{'descr': '<f4', 'shape': (9, 8)}"), "\"fortran_order\" is missing"),
        (dictionary("{'descr': '<f4', 'fortran_order': False}"), "\"shape\" is missing"),
        (dictionary("{'descr': '<f4', 'fortran_order': False, 'shape': (9, 8), 'x': 1}"), "\"x\": expected only"),
        (dictionary("{'descr': '<f4', 'fortran_order': False, 'shape': (9, 8)"), "expected '}'"),
        (changed(0, b'X'), "array 0: expected a .npy array, which begins with \"\\x93NUMPY\", found \"XNUMPY"),
        (changed(6, 9), "version 9.0 of .npy"),
        (changed(8, 10), "header: "),
        (b"{\"text\": \"a\"}\n".to_vec(), "expected a .npy array"),
    ] {
        let folder = tool.folder_of(9, &bytes);
        tool.run_on_input(&folder).outcome().expect_refusal(1, &[&format!("{}: {INPUT}: ", tool.name), said]);
        let piped = tool.run(&folder).stdin(bytes).outcome();
        piped.expect(1);
        assert!(piped.stderr.contains("<stdin>: ") && piped.stderr.contains(said), "{said}: {}", piped.stderr);
    }
}

/// Whatever byte of a header changes, the run ends with 0 or 1.
pub fn changed_headers_are_no_crash(tool: &Tool) {
    let good = array(&rows(9));
    for (at, byte) in (0..good.len() - 9 * DIM * 4).zip([0, b'9', 255, b'\''].into_iter().cycle()) {
        let mut bytes = good.clone();
        bytes[at] = byte;
        let outcome = tool.run_on_input(&tool.folder_of(9, &bytes)).outcome();
        assert!(matches!(outcome.code, Some(0 | 1)), "byte {at} is {byte}: {:?} {}", outcome.code, outcome.stderr);
    }
}

/// A stream that ends within a header or a row is exit 1 and says so, plain and compressed.
pub fn half_a_row_is_an_error(tool: &Tool) {
    let good = [array(&rows(3)), array(&rows(9))].concat();
    let (first, row) = (array(&rows(3)).len(), 4 * DIM);
    for (length, said) in [
        (3, "truncated"),
        (9, "truncated"),
        (100, "truncated"),
        (128, "truncated: row 0 and all behind it are missing, 3 of its array"),
        (129, "truncated: row 0 "),
        (128 + 2 * row, "truncated: row 2 and all behind it are missing, 1 of its array"),
        (first + 1, "truncated"),
        (first + 128 + row / 2, "truncated: row 3 and all behind it are missing, 9 of its array"),
        (good.len() - 1, "truncated: row 11 "),
    ] {
        let folder = tool.folder_of(9, &good[..length]);
        tool.run_on_input(&folder).outcome().expect_refusal(1, &[&format!("{}: {INPUT}: {said}", tool.name)]);
        for run in [tool.run(&folder).stdin(&good[..length]), tool.run(&folder).stdin(packed::zstd(&good[..length]))] {
            let outcome = run.outcome();
            outcome.expect(1);
            assert!(outcome.stderr.contains(&format!("<stdin>: {said}")), "{length}: {}", outcome.stderr);
        }
    }
}

/// Vectors of another dimension are exit 1, and named by file and array.
pub fn another_dimension_is_refused(tool: &Tool) {
    let other = array(&[vec![1.0; 5], vec![2.0; 5]]);
    let folder = tool.folder_of(9, &[array(&rows(9)), other.clone()].concat());
    folder.write("good", array(&rows(9)));
    folder.write("other", &other);
    let said = |file: &str, array: u32| format!("{file}: array {array}: vectors of 5 values: expected 8, as ");
    tool.run_on_input(&folder).outcome().expect_refusal(1, &[&said(INPUT, 1)]);
    tool.run(&folder).args(["good", "other"]).outcome().expect_refusal(1, &[&said("other", 0), "as good has"]);
    let piped = tool.run(&folder).args(["good", "-"]).stdin(other).outcome();
    piped.expect(1);
    assert!(piped.stderr.contains(&said("<stdin>", 0)), "{}", piped.stderr);
}

/// A vector with some values that are not finite is a bad record, named by its row in its file, also of a shard.
pub fn values_that_are_no_numbers_are_named(tool: &Tool) {
    for (value, found) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (f32::NEG_INFINITY, "-inf")] {
        let mut bad = rows(300);
        bad[250][3] = value;
        let folder = tool.folder_of(300, &array(&bad));
        folder.write("good", array(&rows(9)));
        let said = format!("{INPUT}: row 250: value 3: expected a finite number, found {found}");
        let runs = [tool.run_on_input(&folder), tool.run(&folder).args(["good", INPUT])];
        let shard = tool.has("--shard").then(|| tool.run_on_input(&folder).args(["--shard", "1/2"]));
        for run in runs.into_iter().chain(shard) {
            let outcome = run.outcome();
            outcome.expect(1);
            assert_eq!(outcome.stderr, format!("{}: {said}\n", tool.name));
        }
    }
}

/// A vector of NaN alone is a missing row, not a bad one: at the most it is noted.
pub fn missing_vectors_are_no_error(tool: &Tool) {
    let mut some = rows(300);
    some[7].fill(f32::NAN);
    let outcome = tool.run_on_input(&tool.folder_of(300, &array(&some))).args(["--stats", "stats"]).outcome();
    outcome.expect(0);
    let noted = format!("{}: left out 1 of 300 rows: they are missing\n", tool.name);
    assert!(["", &noted].contains(&outcome.stderr.as_str()), "{}", outcome.stderr);
}

/// `--on-error skip`: bad vectors are as if they were missing, and the last line on stderr counts them.
pub fn skipped_vectors_are_missing(tool: &Tool) {
    let (mut bad, mut missing) = (rows(2000), rows(2000));
    bad[700][0] = f32::INFINITY;
    bad[1999][7] = f32::NAN;
    missing[700].fill(f32::NAN);
    missing[1999].fill(f32::NAN);
    let expected = tool.run_on_input(&tool.folder_of(2000, &array(&missing))).outcome();
    expected.expect(0);
    let folder = tool.folder_of(2000, &array(&bad));
    for threads in ["1", "3"] {
        let run = tool.run_on_input(&folder).args(["--on-error", "skip", "--stats", "stats", "--threads", threads]);
        let outcome = run.outcome();
        outcome.expect(0);
        assert!(outcome.stdout == expected.stdout, "{threads} threads");
        let said = format!("{}: skipped 2 bad of 2000 rows; the first: {INPUT}: row 700: value 0: ", tool.name);
        assert!(outcome.stderr.lines().last().unwrap_or_default().starts_with(&said), "{}", outcome.stderr);
        let stats: serde_json::Value = serde_json::from_slice(&folder.read("stats")).expect("it is JSON");
        assert_eq!((&stats["rows"], &stats["bad_rows"]), (&2000.into(), &2.into()));
    }
}

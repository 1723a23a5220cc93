//! `tokens-where` keeps the contract of all tools, and finds what is in a table, by bisection or not. Whether the
//! tables say what is true: the tests of pack-tokens.

use contract::folder::Folder;
use contract::run::Run;
use contract::tool::{INPUT, Tool};

fn tool() -> Tool {
    Tool {
        name: "tokens-where",
        program: env!("CARGO_BIN_EXE_tokens-where"),
        source: env!("CARGO_MANIFEST_DIR"),
        args: &[],
        side_files: &[],
        wrong_values: &[("--sequence", "-1"), ("--token", "x"), ("--row", "1.5"), ("--key", "12"), ("--key", "")],
        prepare: |_, _| (),
        input: |rows| table(&records(rows as u64)),
    }
}

contract::holds!(tool: manual, files);
contract::holds!(@tests tool documents:
    standard_input_is_a_file, reader_may_leave, reader_may_leave_while_input_waits, progress_is_not_data);

/// sequence, row, key, begin, length, at.
type Record = (u64, u64, u64, u32, u32, i32);

/// So many records: sequences of one to three documents of ten tokens, with five tokens before them.
fn records(count: u64) -> Vec<Record> {
    let mut sequence = 0;
    let record = |place: u64| {
        sequence += u64::from(place > 0 && place * 7 % 5 < 3);
        (sequence, place / 2, (place / 2) << 60 | 0xabc, 10 * (place % 2) as u32, 10, 10 * (place % 3) as i32 - 5)
    };
    (0..count).map(record).collect()
}

/// A file of these records, as the manual of pack-tokens has it, with a header as long as NumPy's.
fn table(records: &[Record]) -> Vec<u8> {
    let fields = "[('sequence', '<u8'), ('row', '<u8'), ('key', '<u8'), ('begin', '<u4'), ('length', '<u4'), \
                  ('at', '<i4')]";
    let header = format!("{{'descr': {fields}, 'fortran_order': False, 'shape': ({},), }}", records.len());
    let mut bytes = b"\x93NUMPY\x01\0\xb6\0".to_vec();
    bytes.extend(format!("{header:<181}\n").bytes());
    for &(sequence, row, key, begin, length, at) in records {
        bytes.extend([sequence, row, key].into_iter().flat_map(u64::to_le_bytes));
        bytes.extend([begin, length].into_iter().flat_map(u32::to_le_bytes));
        bytes.extend(at.to_le_bytes());
    }
    bytes
}

fn lines<'a>(records: impl IntoIterator<Item = &'a Record>) -> String {
    let line = |&(sequence, row, key, begin, length, at): &Record| {
        format!("{sequence}\t{row}\t{begin}\t{length}\t{at}\t{key:016x}\n")
    };
    records.into_iter().map(line).collect()
}

/// What is printed of a file, and of the same in a pipe.
fn found(folder: &Folder, args: &[&str], files: &[&str]) -> String {
    let of_files = tool().bare(folder).args(args).args(files).text();
    let together = files.iter().flat_map(|name| folder.read(name)).collect::<Vec<_>>();
    assert_eq!(tool().bare(folder).args(args).stdin(together).text(), of_files, "{args:?} in a pipe");
    of_files
}

#[test]
fn each_sequence_row_and_key_is_found() {
    let all = records(60);
    let folder = tool().folder(60);
    assert_eq!(found(&folder, &[], &[INPUT]), lines(&all));
    for sequence in 0..=all[59].0 {
        let expected = lines(all.iter().filter(|record| record.0 == sequence));
        assert!(!expected.is_empty());
        assert_eq!(found(&folder, &["--sequence", &sequence.to_string()], &[INPUT]), expected);
    }
    for row in 0..=31 {
        let expected = lines(all.iter().filter(|record| record.1 == row));
        assert_eq!(found(&folder, &["--row", &row.to_string()], &[INPUT]), expected);
        let key = row << 60 | 0xabc;
        let expected = lines(all.iter().filter(|record| record.2 == key));
        assert_eq!(found(&folder, &["--key", &format!("{key:016x}")], &[INPUT]), expected);
    }
    let token = |token: &str| found(&folder, &["--sequence", "1", "--token", token], &[INPUT]);
    let of_token = |token: i32| {
        let has = |record: &&Record| record.0 == 1 && (record.5..record.5 + 10).contains(&token);
        lines(all.iter().filter(has))
    };
    let there: Vec<i32> = (0..30).filter(|&token| !of_token(token).is_empty()).collect();
    assert!(there.len() > 4, "{there:?}");
    there.into_iter().for_each(|number| assert_eq!(token(&number.to_string()), of_token(number)));
}

/// Sequences of files, and of tables in one file, are counted on; only what is asked for is read of a plain file.
#[test]
fn tables_one_after_another_are_counted_on() {
    let (one, two) = (records(9000), records(7));
    let folder = Folder::new();
    folder.write("a", table(&one));
    folder.write("b", [table(&two), table(&[]), table(&two)].concat());
    let on = |before: &[Record], records: &[Record]| {
        let from = before.last().map_or(0, |last| last.0 + 1);
        records.iter().map(|r| (r.0 + from, r.1, r.2, r.3, r.4, r.5)).collect::<Vec<Record>>()
    };
    let mut all = one.clone();
    all.extend(on(&all, &two));
    all.extend(on(&all, &two));
    assert_eq!(found(&folder, &[], &["a", "b"]), lines(&all));
    for sequence in [0, 1, one[4095].0, one[4096].0, one[8999].0, all[9000].0, all[9006].0, all[9007].0, all[9013].0] {
        let expected = lines(all.iter().filter(|record| record.0 == sequence));
        assert_eq!(found(&folder, &["--sequence", &sequence.to_string()], &["a", "b"]), expected, "{sequence}");
    }
    let stats = |args: &[&str]| {
        tool().bare(&folder).args(args).args(["--stats", "s", "a"]).output();
        serde_json::from_slice::<serde_json::Value>(&folder.read("s")).expect("it is JSON")
    };
    let (whole, part) = (stats(&[]), stats(&["--sequence", "4000"]));
    assert_eq!((&whole["rows"], &whole["sequences"]), (&9000.into(), &(one[8999].0 + 1).into()));
    assert_eq!(part["sequences"], whole["sequences"]);
    assert!(part["rows"].as_u64().expect("a number") <= 4096, "{part}");
    assert_eq!(stats(&["--row", "4400"])["rows"], 9000);
}

#[test]
fn what_is_not_there_is_said() {
    let folder = tool().folder(60);
    let last = records(60)[59].0;
    let refused = |args: &[&str], code: i32, said: &str| {
        tool().bare(&folder).args(args).args([INPUT]).outcome().expect_refusal(code, &[said]);
    };
    let next = (last + 1).to_string();
    refused(&["--sequence", &next], 1, &format!("--sequence {next}: expected one of {next}, from 0"));
    refused(&["--sequence", "1", "--token", "5000"], 1, "--token 5000: the sequence has no such token");
    refused(&["--token", "1"], 2, "--token goes only with --sequence");
    refused(
        &["--row", "1", "--key", "0000000000000abc"],
        2,
        "--row does not go with --key: each says which lines are printed",
    );
    assert_eq!(tool().bare(&folder).args(["--row", "1000", INPUT]).text(), "", "a document that is in none");
}

#[test]
fn damage_is_named() {
    let all = records(60);
    let whole = table(&all);
    let changed = |place: usize, sequence: u64| {
        let mut records = all.clone();
        records[place].0 = sequence;
        table(&records)
    };
    for (bytes, said) in [
        (Vec::new(), "f: is empty: expected a file that pack-tokens --provenance wrote"),
        (whole[..100].to_vec(), "f: truncated"),
        (whole[..whole.len() - 1].to_vec(), "f: truncated"),
        ([&whole[..], &[0]].concat(), "f: truncated"),
        ([&whole[..], &[0; 36]].concat(), "f: expected a file that pack-tokens --provenance wrote"),
        (b"1\t2\t3 and more\n".to_vec(), "f: expected a file that pack-tokens --provenance wrote"),
        (changed(0, 1), "f: record 0: sequence 1: expected 0"),
        (changed(40, 1), "f: record 40: sequence 1: expected "),
        (changed(59, u64::MAX), "f: record 59: sequence 18446744073709551615: "),
        (String::from_utf8_lossy(&whole).replace("(60,)", "(6000000000000,)").into_bytes(), "f: "),
    ] {
        let folder = Folder::new();
        folder.write("f", &bytes);
        let run = |args: &[&str]| tool().bare(&folder).args(args).args(["f"]).outcome();
        let outcome = run(&[]);
        outcome.expect(1);
        assert!(outcome.stderr.contains(said), "{said}: {}", outcome.stderr);
        let by_bisection = run(&["--sequence", "30"]);
        assert!(matches!(by_bisection.code, Some(0 | 1)), "{said}: {}", by_bisection.stderr);
        by_bisection.stdout.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).for_each(|line| {
            assert!(line.starts_with(b"30\t"), "{said}");
        });
    }
    let unfinished = String::from_utf8_lossy(&whole[10..192]).replace("(60,), }", "(1099511627776,), }");
    let folder = Folder::new();
    folder.write("f", [&whole[..10], &unfinished.as_bytes()[..182], &whole[192..]].concat());
    Run::new(tool().program, &folder)
        .args(["f"])
        .outcome()
        .expect_refusal(1, &["f: more records than a file can hold"]);
}

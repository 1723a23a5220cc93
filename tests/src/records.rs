//! A record that cannot be read says where it is, what was found and what was expected.

use crate::tool::{INPUT, Tool};

/// Lines that are no documents, and what is said of them.
const BAD: &[(&[u8], &str)] = &[
    (b"", "expected a JSON object, found an empty line"),
    (b"\r", "expected a JSON object, found an empty line"),
    (b"[1, 2]", "expected a JSON object"),
    (b"\"text\"", "expected a JSON object"),
    (b"{\"text\": \"a\"", "not JSON: EOF"),
    (b"{\"text\": \"a\"} {}", "not JSON: trailing characters at byte 15 of the line"),
    (b"{\"text\": \"a\", \"b\": tru}", "not JSON: "),
    (b"{\"text\": \"a\tb\"}", "not JSON: control character"),
    (b"{\"text\": \"\\x\"}", "not JSON: invalid escape"),
    (b"{'text': 'a'}", "not JSON: "),
    (b"{\"txt\": \"a\"}", "field \"text\": missing"),
    (b"{}", "field \"text\": missing"),
    (b"{\"text\": 5}", "field \"text\": expected a string, found number"),
    (b"{\"text\": null}", "field \"text\": expected a string, found null"),
    (b"{\"text\": [\"a\"]}", "field \"text\": expected a string, found array"),
    (b"{\"text\": {\"text\": \"a\"}}", "field \"text\": expected a string, found object"),
    (b"{\"text\": \"\xff\"}", "not UTF-8: byte 11 of the line"),
    (b"{\"text\": \"a\", \"b\": \"\xed\xa0\x80\"}", "not UTF-8: byte 21 of the line"),
];

/// A bad record in the middle is exit 1, and named with its file and line.
pub fn bad_records_are_described_with_their_place(tool: &Tool) {
    for (bad, said) in BAD {
        let outcome = tool.run_on_input(&tool.folder_of(9, &with_line(tool, 9, 4, bad))).outcome();
        outcome.expect(1);
        let place = format!("{}: {INPUT}:5: {said}", tool.name);
        assert!(outcome.stderr.starts_with(&place), "{:?}: {}", String::from_utf8_lossy(bad), outcome.stderr);
        assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
    }
    let outcome = tool.run(&tool.folder(9)).stdin(with_line(tool, 9, 4, b"x")).outcome();
    outcome.expect(1);
    assert!(outcome.stderr.contains(": <stdin>:5: "), "{}", outcome.stderr);
}

/// The line number is that of the file, not that of the shard.
pub fn bad_record_of_a_shard_has_its_place_in_the_file(tool: &Tool) {
    let folder = tool.folder_of(300, &with_line(tool, 300, 250, b"bad"));
    let outcome = tool.run_on_input(&folder).args(["--shard", "1/2"]).outcome();
    outcome.expect(1);
    assert!(outcome.stderr.contains(&format!("{INPUT}:251: ")), "{}", outcome.stderr);
    tool.run_on_input(&folder).args(["--shard", "0/2"]).output();
}

/// Lines are counted from the start of each file.
pub fn bad_record_of_a_second_file_names_it(tool: &Tool) {
    let folder = tool.folder(9);
    folder.write("second", with_line(tool, 9, 2, b"bad"));
    let outcome = tool.run_on_input(&folder).args(["second"]).outcome();
    outcome.expect(1);
    assert!(outcome.stderr.contains(": second:3: "), "{}", outcome.stderr);
}

/// A line nested 100,000 deep is read or refused; it does not overflow the stack.
pub fn deep_nesting_is_no_crash(tool: &Tool) {
    let (open, close) = ("[".repeat(100_000), "]".repeat(100_000));
    let objects = "{\"text\":".repeat(100_000);
    let bad = [open.clone(), format!("{{\"text\": {open}"), format!("{{\"text\": {open}{close}}}"), objects];
    for line in bad {
        let outcome = tool.run_on_input(&tool.folder_of(9, &with_line(tool, 9, 4, line.as_bytes()))).outcome();
        outcome.expect(1);
        assert!(outcome.stderr.contains(&format!("{INPUT}:5: ")), "{}", outcome.stderr);
    }
    let aside = format!("{{\"x\": {open}{close}, \"text\": \"a\"}}");
    let outcome = tool.run_on_input(&tool.folder_of(9, &with_line(tool, 9, 4, aside.as_bytes()))).outcome();
    assert!(matches!(outcome.code, Some(0 | 1)), "{:?} {}", outcome.signal, outcome.stderr);
}

/// An input of so many rows, of which one (from 0) is this line.
pub fn with_line(tool: &Tool, rows: usize, row: usize, line: &[u8]) -> Vec<u8> {
    let input = (tool.input)(rows);
    let mut lines = crate::tool::lines(&input);
    lines[row] = line;
    lines.iter().flat_map(|line| [line, &b"\n"[..]]).flatten().copied().collect()
}

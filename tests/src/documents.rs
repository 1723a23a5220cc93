//! One line a document, however the lines come in and however the rows go out.

use crate::corpus;
use crate::packed;
use crate::run::Run;
use crate::tool::{INPUT, Tool, lines};

/// More output than a pipe holds, several times.
const MANY: usize = 20_000;

/// No documents are no rows, and exit 0.
pub fn no_documents_are_no_rows(tool: &Tool) {
    let folder = tool.folder(0);
    for run in [tool.run_on_input(&folder), tool.run(&folder)] {
        let outcome = run.outcome();
        outcome.expect(0);
        assert_eq!(outcome.text(), "");
    }
}

/// The newline at the end of the input may be missing.
pub fn last_line_needs_no_newline(tool: &Tool) {
    let input = (tool.input)(20);
    let cut = input.strip_suffix(b"\n").expect("the input ends with a newline");
    assert!(tool.run_on_input(&tool.folder_of(20, cut)).output() == tool.output(20));
}

/// A carriage return before the newline is white space behind the document: the first field of each row is the same.
pub fn carriage_returns_change_no_row(tool: &Tool) {
    let input = String::from_utf8((tool.input)(20)).expect("the input is text").replace('\n', "\r\n");
    let with = tool.run_on_input(&tool.folder_of(20, input.as_bytes())).output();
    let first = |row: &[u8]| {
        let row = row.strip_suffix(b"\r").unwrap_or(row);
        row.split(|&byte| byte == b'\t').next().map(<[u8]>::to_vec)
    };
    let firsts = |output: &[u8]| lines(output).into_iter().map(first).collect::<Vec<_>>();
    assert_eq!(firsts(&with), firsts(&tool.output(20)));
}

/// Standard input, as a pipe, as a file, or as `-`, is read as a file is.
pub fn standard_input_is_a_file(tool: &Tool) {
    let (folder, expected) = (tool.folder(300), tool.output(300));
    let input = (tool.input)(300);
    assert!(tool.run(&folder).stdin(input.clone()).output() == expected, "a pipe");
    assert!(tool.run(&folder).args(["-"]).stdin(input).output() == expected, "-");
    assert!(Run::shell(&format!("{} < {INPUT}", tool.command()), &folder).output() == expected, "a file");
}

/// Several operands are one input; a last line without a newline does not run into the next file.
pub fn operands_are_read_in_order(tool: &Tool) {
    let (folder, input) = (tool.folder(9), (tool.input)(9));
    let cut = input.iter().position(|&byte| byte == b'\n').expect("there is a newline");
    folder.write("a", &input[..cut]);
    folder.write("b", "");
    folder.write("c", packed::gzip(&input[cut + 1..]));
    assert!(tool.run(&folder).args(["a", "b", "c"]).output() == tool.output(9));
    assert!(tool.run(&folder).args(["a", "-"]).stdin(&input[cut + 1..]).output() == tool.output(9));
}

/// Any number of threads writes the same bytes.
pub fn threads_change_nothing(tool: &Tool) {
    let (folder, expected) = (tool.folder(MANY), tool.output(MANY));
    for threads in ["1", "2", "7"] {
        assert!(tool.run_on_input(&folder).args(["--threads", threads]).output() == expected, "{threads} threads");
    }
}

/// `| head -1` is exit 0 without a word, for data and for help.
pub fn reader_may_leave(tool: &Tool) {
    let folder = tool.folder(MANY);
    for bytes in [0, 1, 100_000] {
        tool.run_on_input(&folder).reader_leaves_after(bytes).output();
    }
    Run::shell(&format!("{} --help | :", tool.name), &folder).output();
}

/// The same where standard input has no more to say and stays open.
pub fn reader_may_leave_while_input_waits(tool: &Tool) {
    let folder = tool.folder(MANY);
    tool.run(&folder).stdin((tool.input)(MANY)).waiting().reader_leaves_after(1).output();
}

/// A line of 200 MB is a line, in at most sixteen times its memory: a text is held with a few numbers for each of its
/// words.
pub fn very_long_line_is_a_line(tool: &Tool) {
    let input = corpus::very_long_line();
    let outcome = tool.run_on_input(&tool.folder_of(1, &input)).outcome();
    outcome.expect(0);
    assert_eq!(outcome.stdout.iter().filter(|&&byte| byte == b'\n').count(), 1);
    assert!(outcome.resident_max_kib < 16 * (200 << 10), "{} KiB", outcome.resident_max_kib);
}

/// `--shard` of a pipe and of compressed input is exit 2 with the reason.
pub fn shards_of_what_cannot_be_cut_are_refused(tool: &Tool) {
    let (folder, input) = (tool.folder(20), (tool.input)(20));
    let shard = ["--shard", "0/2"];
    let pipe = tool.run(&folder).args(shard).stdin(input.clone()).outcome();
    pipe.expect_refusal(2, &["<stdin>", "--shard needs regular files"]);
    for packed in [packed::gzip(&input), packed::zstd(&input)] {
        let outcome = tool.run_on_input(&tool.folder_of(20, &packed)).args(shard).outcome();
        outcome.expect_refusal(2, &[INPUT, "--shard cannot cut compressed input"]);
    }
}

/// `--progress always` shows on stderr that something was done, and changes no data.
pub fn progress_is_not_data(tool: &Tool) {
    let outcome = tool.run_on_input(&tool.folder(50)).args(["--progress", "always"]).outcome();
    outcome.expect(0);
    assert!(outcome.stdout == tool.output(50));
    assert!(outcome.stderr.contains("rows"), "{:?}", outcome.stderr);
}

/// The mark that Windows' programs put in front of a text is not part of its first line; neither in each of several
/// files, packed or not, nor in a shard.
pub fn byte_order_mark_is_no_part_of_a_line(tool: &Tool) {
    let (input, expected) = ((tool.input)(300), tool.output(300));
    let marked = [b"\xef\xbb\xbf", &input[..]].concat();
    for form in [marked.clone(), packed::gzip(&marked), packed::zstd(&marked)] {
        assert!(tool.run_on_input(&tool.folder_of(300, &form)).output() == expected);
    }
    let folder = tool.folder(300);
    let cut = input.iter().position(|&byte| byte == b'\n').expect("there is a newline") + 1;
    folder.write("a", &marked[..cut + 3]);
    folder.write("b", [b"\xef\xbb\xbf", &input[cut..]].concat());
    assert!(tool.run(&folder).args(["a", "b"]).output() == expected, "in each file");
}

/// What has no lines is named, with the command that makes some, before anything is written.
pub fn formats_without_lines_are_named(tool: &Tool) {
    for (first, said) in [
        (
            &b"PAR1\x15\x04"[..],
            "is Parquet, which has no lines of text; this makes some: duckdb -c \"COPY (FROM 'docs.jsonl')",
        ),
        (b"ARROW1\0\0", "Arrow"),
        (b"\xff\xff\xff\xff\x10", "an Arrow stream"),
        (b"BZh91AY&SY\0", "bzip2, which has no lines of text; this makes some: bzcat docs.jsonl\n"),
        (b"\xfd7zXZ\0\0", "xzcat docs.jsonl\n"),
        (b"PK\x03\x04\x14", "unzip -p docs.jsonl\n"),
        (b"\xff\xfe{\0", "UTF-16, which has no lines of text; this makes some: iconv -f UTF-16 -t UTF-8 docs.jsonl\n"),
        (b"\xfe\xff\0{", "iconv -f UTF-16 "),
        (b"{\0\"\0", "iconv -f UTF-16LE "),
    ] {
        let bytes = [first, &[0; 100]].concat();
        let outcome = tool.run_on_input(&tool.folder_of(20, &bytes)).outcome();
        outcome.expect_refusal(1, &[&format!("{}: {INPUT}: is ", tool.name), said]);
        let piped = tool.run(&tool.folder(20)).stdin(bytes).outcome();
        piped.expect_refusal(1, &["<stdin>: is "]);
    }
}

/// Documents without an end beside a column that has one: the first document too many ends the run.
pub fn endless_documents_beside_a_column_are_an_error(tool: &Tool) {
    let folder = tool.folder(20);
    let outcome =
        Run::shell(&format!("cat {INPUT} {INPUT} > twice; (cat twice; yes) | {}", tool.command()), &folder).outcome();
    outcome.expect(1);
    assert!(outcome.stderr.contains("documents: more than 20; rows of "), "{}", outcome.stderr);
}

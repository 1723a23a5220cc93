//! `topk-resample` keeps the contract of all tools.

use contract::corpus::{self, Numbers};
use contract::files::killed_at_512_bytes;
use contract::folder::Folder;
use contract::run::Run;
use contract::tool::{INPUT, Tool, lines};
use xxhash_rust::xxh3::xxh3_64;

fn tool() -> Tool {
    Tool {
        name: "topk-resample",
        program: env!("CARGO_BIN_EXE_topk-resample"),
        source: env!("CARGO_MANIFEST_DIR"),
        args: &["--weights", "weights.tsv", "--fraction", "0.9"],
        side_files: &["--weights"],
        wrong_values: &[
            ("--count", "-1"),
            ("--fraction", "1.5"),
            ("--fraction", "nan"),
            ("--temperature", "0"),
            ("--temperature", "inf"),
            ("--min-length", "x"),
            ("--proportions", "1,,2"),
            ("--proportions", "0,0"),
            ("--proportions", "-1,2"),
            ("--per-group-fraction", "2"),
            ("--round", "down"),
            ("--budget", "-1"),
            ("--keys", "both"),
            ("--weight-field", "0"),
            ("--weights", ""),
        ],
        prepare: |folder, rows| folder.write("weights.tsv", weights(rows)),
        input: |rows| corpus::documents(rows).into_bytes(),
    }
}

/// A column for so many of `corpus::documents`: weight, length, key.
fn weights(rows: usize) -> String {
    weights_of(corpus::documents(rows).lines().map(str::as_bytes))
}

/// A column for these documents.
fn weights_of<'d>(documents: impl Iterator<Item = &'d [u8]>) -> String {
    let mut numbers = Numbers(3);
    let mut row = |document| {
        let (weight, length, key) = (numbers.below(1000), 10 + numbers.below(50), xxh3_64(document));
        format!("{}\t{length}\t{key:016x}\n", weight as f64 / -10.0)
    };
    documents.map(&mut row).collect()
}

/// The same with keys from the documents, where every document is chosen.
fn all() -> Tool {
    Tool { args: &["--weights", "weights.tsv", "--fraction", "1", "--keys", "documents"], ..tool() }
}

contract::holds!(tool: manual, files);
contract::holds!(@tests tool documents:
    no_documents_are_no_rows, last_line_needs_no_newline, standard_input_is_a_file, operands_are_read_in_order,
    threads_change_nothing, reader_may_leave, reader_may_leave_while_input_waits,
    shards_of_what_cannot_be_cut_are_refused, progress_is_not_data, byte_order_mark_is_no_part_of_a_line,
    formats_without_lines_are_named);

/// Lines that end otherwise are other documents to a column that has keys.
mod other_lines {
    use super::all;
    contract::holds!(@tests all documents: carriage_returns_change_no_row, very_long_line_is_a_line);
}

/// A column that has keys is of these documents in this order, or the run ends at the first that differs.
#[test]
fn a_column_of_another_order_is_noticed() {
    let folder = tool().folder(100);
    let mut lines: Vec<_> = folder.text(INPUT).lines().map(str::to_string).collect();
    choose(&folder, &["-n", "10", "--write-cut", "cut"]).output();
    lines.swap(60, 61);
    let (found, expected) = (xxh3_64(lines[60].as_bytes()), xxh3_64(lines[61].as_bytes()));
    folder.write("swapped", lines.join("\n"));
    let said = format!("swapped:61: key {found:016x}: the column has {expected:016x}; expected documents in the order");
    for args in [&["-n", "10"][..], &["--top", "-n", "1"], &["--cut", "cut"], &["--print-score"]] {
        choose(&folder, args).args(["swapped"]).outcome().expect_refusal(1, &[&said]);
    }
    let shard = choose(&folder, &["--cut", "cut", "--shard", "1/2", "swapped"]);
    let rows = folder.text(INPUT)[..folder.text(INPUT).len() / 2].lines().count();
    folder.write("weights.tsv", weights(100).lines().skip(rows).map(|row| format!("{row}\n")).collect::<String>());
    shard.outcome().expect_refusal(1, &[&said]);
    folder.write("weights.tsv", weights(100));
    choose(&folder, &["-n", "10", "--keys", "documents", "swapped"]).output();
}

#[test]
fn endless_documents_are_an_error() {
    contract::documents::endless_documents_beside_a_column_are_an_error(&tool());
}

/// A run on the input with only these arguments and the weights.
fn choose(folder: &Folder, args: &[&str]) -> Run {
    tool().bare(folder).args(["--weights", "weights.tsv"]).args(args)
}

#[test]
fn documents_and_weights_must_be_as_many() {
    for (documents, rows) in [(5, 6), (6, 5), (0, 3), (3, 0), (20_000, 19_999), (19_999, 20_000), (20_000, 1)] {
        let folder = tool().folder(rows);
        folder.write(INPUT, corpus::documents(documents));
        for more in [&["-n", "1"][..], &["-n", "1", "--keys", "documents"]] {
            let outcome = choose(&folder, more).args([INPUT]).outcome();
            outcome.expect(1);
            let counted = if documents > rows { format!("more than {rows}") } else { documents.to_string() };
            let said =
                format!("documents: {counted}; rows of weights: {rows}; expected as many of the one as of the other\n");
            assert!(outcome.stderr.ends_with(&said), "{}", outcome.stderr);
        }
        folder.write("groups", "a\n".repeat(documents));
        let grouped = choose(&folder, &["--group", "groups", "--per-group-fraction", "1", INPUT]).outcome();
        let said = format!("groups: {documents} rows, but weights.tsv has {rows}: they must be as many");
        grouped.expect_refusal(1, &[&said]);
    }
}

#[test]
fn bad_rows_are_described_with_their_place() {
    let folder = tool().folder(3);
    let key = "0123456789abcdef";
    for (row, said) in [
        ("", "field 1: expected a number, found \"\""),
        ("x\t1\tk", "field 1: expected a number, found \"x\""),
        ("0.5\t1", "expected a key (--keys documents makes keys from the documents) in field 3, found 2 fields"),
        (&format!("0.5\t1\t{}", &key[1..]), "field 3: expected a key of 16 hexadecimal digits"),
        (&format!("0.5\t-1\t{key}"), "field 2: expected a whole number, found \"-1\""),
        (&format!("0.5\t1.5\t{key}"), "field 2: expected a whole number, found \"1.5\""),
        (&format!("0.5\t4294967296\t{key}"), "a length of 4294967296: expected less than 2^32"),
    ] {
        folder.write("weights.tsv", format!("1\t1\t{key}\n{row}\n1\t1\t{key}\n"));
        let refused = choose(&folder, &["-n", "1", "--min-length", "1", INPUT]).outcome();
        refused.expect_refusal(1, &[&format!("topk-resample: weights.tsv:2: {said}")]);
    }
    folder.write("weights.tsv", weights(3));
    folder.write("groups", "a\n\nb\n");
    let refused = choose(&folder, &["--group", "groups", "--per-group-fraction", "1", INPUT]).outcome();
    refused.expect_refusal(1, &["groups:2: expected a group in field 1, found nothing"]);
    folder.write(INPUT, "{\"id\": 1}\n{\"id\": 1.5}\n{\"id\": 2}\n");
    let refused = choose(&folder, &["-n", "1", "--keys", "documents", "--id-field", "id", INPUT]).outcome();
    refused.expect_refusal(1, &["docs.jsonl:2: field \"id\": expected a string or a whole number, found number"]);
}

#[test]
fn flags_that_exclude_each_other_are_refused() {
    let folder = tool().folder(3);
    folder.write("cut", choose_cut(&folder));
    for (flags, said) in [
        (&[][..], "--count, --fraction, --budget, --per-group-fraction, --cut or --print-score is needed"),
        (&["-n", "1", "--fraction", "0.5"], "--count does not go with --fraction"),
        (&["-n", "1", "--round", "up"], "--round goes only with --per-group-fraction"),
        (&["-n", "1", "--top", "--bottom"], "--top does not go with --bottom"),
        (&["-n", "1", "--top", "--temperature", "2"], "--temperature does not go with --top"),
        (&["-n", "1", "--print-score", "--proportions", "1,1"], "--print-score does not go with --proportions"),
        (&["-n", "1", "--first-row", "3"], "--first-row goes only with --cut"),
        (&["-n", "1", "--group", "weights.tsv"], "--group goes only with --per-group-fraction or --cut"),
        (&["--per-group-fraction", "1"], "--per-group-fraction needs --group"),
        (&["--cut", "cut", "-n", "1"], "--count does not go with --cut"),
        (&["--cut", "cut", "--seed", "1"], "--cut does not go with --seed"),
        (&["--cut", "cut", "--write-cut", "other"], "--cut does not go with --write-cut"),
        (&["--cut", "cut", "--group", "weights.tsv"], "--group goes with a --cut that was made with it"),
        (&["-n", "1", "--write-cut", "other"], "--write-cut with --keys column reads no operands, but there are some"),
        (&["-n", "1", "--weights", "-", "-"], "standard input can be one thing only"),
        (&["-n", "1", "--proportions", "1,1", "--weights", "/dev/null"], "--weights must be a regular file"),
        (&["-n", "1", "--keys", "documents", "-"], "--keys documents reads the documents twice"),
    ] {
        choose(&folder, flags).args([INPUT]).outcome().expect_refusal(2, &[said]);
    }
    assert!(!folder.has("other"), "a refused run wrote a file");
    tool().bare(&folder).args(["-n", "1", INPUT]).outcome().expect_refusal(2, &["--weights is needed"]);
}

/// Of each group the ceiling.
#[test]
fn shares_of_groups_are_rounded_up_where_that_is_asked_for() {
    let folder = tool().folder(20);
    folder.write("groups", "a\n".repeat(10) + &"b\n".repeat(7) + &"c\n".repeat(3));
    let counts = |args: &[&str]| {
        let args = [&["--group", "groups", "--top", INPUT][..], args].concat();
        let chosen = choose(&folder, &args).text();
        let id = |line: &str| line.split([' ', ',']).nth(1).and_then(|id| id.parse().ok());
        let ids: Vec<u32> = chosen.lines().filter_map(id).collect();
        [0..10_u32, 10..17, 17..20].map(|group| ids.iter().filter(|id| group.contains(*id)).count())
    };
    assert_eq!(counts(&["--per-group-fraction", "0.3"]), [3, 2, 1]);
    assert_eq!(counts(&["--per-group-fraction", "0.3", "--round", "nearest"]), [3, 2, 1]);
    assert_eq!(counts(&["--per-group-fraction", "0.3", "--round", "up"]), [3, 3, 1]);
    assert_eq!(counts(&["--per-group-fraction", "0.01", "--round", "up"]), [1, 1, 1]);
    assert_eq!(counts(&["--per-group-fraction", "0", "--round", "up"]), [0, 0, 0]);
    assert_eq!(counts(&["--per-group-fraction", "1", "--round", "up"]), [10, 7, 3]);
}

/// Small2Large's scripts cut a group into `round(100 / percent)` parts and take the first, ties in the order of rows.
#[test]
fn the_shares_of_small2large_are_parts() {
    let folder = tool().folder(107);
    folder.write("groups", "a\n".repeat(100) + &"b\n".repeat(7));
    folder.write("weights.tsv", (0..107).map(|row| format!("{}\n", row % 2)).collect::<String>());
    let chosen = |share: &str, end: &str| {
        let args = ["--group", "groups", "--compat", "small2large", "--per-group-fraction", share, end, INPUT];
        let text = choose(&folder, &args).text();
        let id = |line: &str| line.split([' ', ',']).nth(1).and_then(|id| id.parse().ok());
        text.lines().filter_map(id).collect::<Vec<usize>>()
    };
    let counts = |share: &str| {
        let rows = chosen(share, "--top");
        let first = rows.iter().filter(|&&row| row < 100).count();
        [first, rows.len() - first]
    };
    // 100/3 = 33.3, 100/30 = 3.3, 100/40 = 2.5 (to even: 2), 100/70 = 1.4 parts.
    for (share, expected) in [("0.03", [4, 1]), ("0.3", [34, 3]), ("0.4", [50, 4]), ("0.7", [100, 7]), ("0", [0, 0])] {
        assert_eq!(counts(share), expected, "{share}");
    }
    let (odd, even) = ((1..20).step_by(2).chain([101]), (0..20).step_by(2).chain([100]));
    assert_eq!(chosen("0.1", "--top"), odd.collect::<Vec<_>>());
    assert_eq!(chosen("0.1", "--bottom"), even.collect::<Vec<_>>());
    let without = ["--group", "groups", "--compat", "small2large", "--per-group-fraction", "0.3", INPUT];
    choose(&folder, &without).outcome().expect_refusal(2, &["--compat needs --top or --bottom"]);
    let other = ["--group", "groups", "--compat", "minicorpus", "--per-group-fraction", "0.3", "--top", INPUT];
    choose(&folder, &other).outcome().expect_refusal(2, &["small2large"]);
}

/// A column of two weights without --proportions: the message says what is missing.
#[test]
fn several_weights_without_proportions_are_explained() {
    let folder = tool().folder(2);
    folder.write("weights.tsv", "1\t2\t9\t0123456789abcdef\n1\t2\t9\t0123456789abcdef\n");
    let said = "weights.tsv:1: field 3: expected a key of 16 hexadecimal digits, found \"9\"; a column of 2 weights \
     takes --proportions with 2 numbers, or the --target of each";
    choose(&folder, &["-n", "1", INPUT]).outcome().expect_refusal(1, &[said]);
    folder.write("weights.tsv", "1\t2.5\t9\t0123456789abcdef\n1\t2\t9\t0123456789abcdef\n");
    let said = "weights.tsv:1: field 2: expected a whole number, found \"2.5\"; a column of 2 weights takes \
     --proportions with 2 numbers, or the --target of each";
    choose(&folder, &["-n", "1", "--min-length", "3", INPUT]).outcome().expect_refusal(1, &[said]);
}

/// DSIR's own default: each target has its share by the number of its n-grams.
#[test]
fn targets_have_proportions_by_their_sizes() {
    let folder = tool().folder(300);
    let row = |row: usize| format!("{}\t{}\t9\t{row:016x}\n", row * 7 % 300, row * 11 % 300);
    folder.write("weights.tsv", (0..300).map(row).collect::<String>());
    let counts = |grams: &str| {
        let header = "# ngram-hash 1 ngrams=1 buckets=3 hash=xxh3 tokenizer=wordpunct documents=1";
        format!("{header} words={grams} grams={grams}\n2\t{grams}\n")
    };
    folder.write("one.counts", counts("10"));
    folder.write("two.counts", counts("37"));
    let targets = ["--target", "one.counts", "--target", "two.counts"];
    let by_sizes = choose(&folder, &["--keys", "documents", "-n", "50", INPUT]).args(targets).text();
    assert_eq!(by_sizes, choose(&folder, &["--keys", "documents", "-n", "50", "--proportions", "10,37", INPUT]).text());
    assert_ne!(by_sizes, choose(&folder, &["--keys", "documents", "-n", "50", "--proportions", "1,1", INPUT]).text());
    let both = ["-n", "5", "--target", "one.counts", "--proportions", "1,2", INPUT];
    choose(&folder, &both).outcome().expect_refusal(2, &["--proportions does not go with --target"]);
    choose(&folder, &["-n", "5", "--target", "none", INPUT]).outcome().expect_refusal(1, &["none"]);
}

/// Importance weights like short documents, which nobody wants in silence.
#[test]
fn many_short_documents_are_worth_a_note() {
    let folder = tool().folder(2000);
    let noted = |end: &str, count: usize| {
        let length = |row: usize| if row < count { 9 } else { 10 };
        let row = |(row, line): (usize, &str)| {
            format!("{}\t{}\t{:016x}\n", 2000 - row, length(row), xxh3_64(line.as_bytes()))
        };
        folder.write("weights.tsv", folder.text(INPUT).lines().enumerate().map(row).collect::<String>());
        let outcome = choose(&folder, &[end, "-n", "1000", INPUT]).outcome();
        outcome.expect(0);
        outcome.stderr
    };
    let short = |count: usize| noted("--top", count);
    assert_eq!(short(50), "");
    let said = "topk-resample: shorter than 10 words: 51 of the 1000 chosen; --min-length L leaves such out\n";
    assert_eq!(short(51), said);
    assert_eq!(noted("--bottom", 2000), "", "the smallest weights are seldom importance weights");
}

/// The cut for one document of a folder.
fn choose_cut(folder: &Folder) -> Vec<u8> {
    choose(folder, &["-n", "1", "--write-cut", "cut"]).output();
    folder.read("cut")
}

#[test]
fn killed_while_writing_a_cut_leaves_what_was_there() {
    let folder = tool().folder(100);
    folder.write("groups", (0..100).map(|row| format!("group-{row}\n")).collect::<String>());
    let command = "topk-resample --weights weights.tsv --group groups --per-group-fraction 1 --write-cut cut";
    killed_at_512_bytes(command, &folder);
    assert!(!folder.has("cut"), "half a cut under the final name");
    folder.write("cut", "before");
    killed_at_512_bytes(command, &folder);
    assert_eq!(folder.text("cut"), "before");
    contract::run::Run::shell(command, &folder).output();
    assert_eq!(folder.text("cut").lines().count(), 102);
}

/// A cut that lost its last lines, or a digit, or names what the command line would not take, chooses nothing.
#[test]
fn a_cut_that_is_not_whole_is_refused() {
    let folder = tool().folder(100);
    choose(&folder, &["-n", "10", "--write-cut", "cut"]).output();
    let cut = folder.text("cut");
    let lines: Vec<_> = cut.lines().collect();
    for (changed, said) in [
        (lines[..2].join("\n") + "\n", "cut:2: truncated: expected a last line that begins with \"# end \""),
        (lines[0].to_string() + "\n", "cut:1: truncated"),
        (cut.replace("\n# end", "\n# end lines=1 # end"), "cut:3: damaged"),
        (cut.replacen("\t", "", 1), "cut:3: damaged"),
        (cut.replace("temperature=1 ", "temperature=nan "), "cut:1: expected the header of a cut file"),
    ] {
        assert!(changed != cut, "{said}");
        folder.write("cut", changed);
        tool()
            .bare(&folder)
            .args(["--weights", "weights.tsv", "--cut", "cut", INPUT])
            .outcome()
            .expect_refusal(1, &[said]);
    }
}

#[test]
fn asking_for_more_than_there_is_gives_all_and_says_so() {
    let folder = tool().folder(5);
    for (amount, said) in [
        (["-n", "9"], "wanted: 9; documents that qualify: 5; all of them are chosen"),
        (["--budget", "999"], "all 5 documents that qualify have no more than 999 words: all of them are chosen"),
    ] {
        let outcome = choose(&folder, &amount).args([INPUT]).outcome();
        outcome.expect(0);
        assert!(outcome.stdout == folder.read(INPUT));
        assert_eq!(outcome.stderr, format!("topk-resample: {said}\n"));
        let args = amount.join(" ");
        let unheard =
            Run::shell(&format!("topk-resample --weights weights.tsv {args} {INPUT} 2>/dev/full"), &folder).outcome();
        unheard.expect(0);
        assert!(unheard.stdout == outcome.stdout, "a note that cannot be written loses no document");
    }
}

#[test]
fn chosen_lines_are_the_very_bytes() {
    let odd = [&b""[..], b"\xff\xfe\0\r", b"{\"a\":  1e400, \"a\": 1}", b"a\tb", "\u{2028}".as_bytes(), b"\r"];
    let folder = tool().folder_of(odd.len(), &odd.join(&b'\n'));
    folder.write("weights.tsv", weights_of(odd.into_iter()));
    let outcome = choose(&folder, &["-n", "6", INPUT]).output();
    assert_eq!(lines(&outcome), odd);
    let keyed = choose(&folder, &["--print-score", INPUT]).output();
    let stripped = lines(&keyed).into_iter().map(|line| line.splitn(2, |&byte| byte == b'\t').nth(1));
    assert_eq!(stripped.collect::<Option<Vec<_>>>().expect("a key before each line"), odd);
}

#[test]
fn rows_without_weight_or_group_are_never_chosen() {
    let folder = tool().folder(6);
    let rows = weights(6);
    let mut rows: Vec<_> = rows.lines().collect();
    (rows[1], rows[4]) = ("nan\tnan\tnan", "nan\t3\tnan");
    folder.write("weights.tsv", rows.join("\n"));
    let documents = corpus::documents(6);
    let kept = |rows: &[usize]| {
        rows.iter().map(|&row| documents.split_inclusive('\n').nth(row).unwrap_or_default()).collect::<String>()
    };
    for flags in [&["--top"][..], &["--bottom"], &[], &["--min-length", "0"]] {
        assert_eq!(choose(&folder, flags).args(["--fraction", "1", INPUT]).text(), kept(&[0, 2, 3, 5]), "{flags:?}");
    }
    folder.write("groups", "a\na\nnan\n-1\nb\nb\n");
    let grouped = choose(&folder, &["--group", "groups", "--per-group-fraction", "1", "--stats", "stats", INPUT]);
    assert_eq!(grouped.text(), kept(&[0, 5]));
    let stats: serde_json::Value = serde_json::from_slice(&folder.read("stats")).expect("it is JSON");
    let numbers = ["rows", "rows_missing", "rows_qualified", "rows_chosen"].map(|name| stats[name].as_u64());
    assert_eq!(numbers, [Some(6), Some(4), Some(2), Some(2)]);
}

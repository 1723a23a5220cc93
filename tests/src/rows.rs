//! Exactly one row a document.

use crate::records::with_line;
use crate::tool::{INPUT, Tool, lines};

/// `--on-error skip`: a bad record is a row of `nan`, the others do not change, and the last line on stderr counts
/// them.
pub fn skipped_records_are_missing_rows(tool: &Tool) {
    let whole = tool.output(2000);
    let mut expected = lines(&whole);
    let row = with_line(tool, 2000, 700, b"{\"text\": 5}");
    let bad: Vec<_> =
        lines(&row).into_iter().enumerate().map(|(at, line)| if at == 1999 { &b""[..] } else { line }).collect();
    let bad = bad.iter().flat_map(|line| [line, &b"\n"[..]]).flatten().copied().collect::<Vec<_>>();
    let folder = tool.folder_of(2000, &bad);
    let skip = ["--on-error", "skip"];
    let outcome = tool.run_on_input(&folder).args(skip).args(["--stats", "stats"]).outcome();
    outcome.expect(0);
    let missing = expected[0].split(|&byte| byte == b'\t').map(|_| "nan").collect::<Vec<_>>().join("\t");
    expected[700] = missing.as_bytes();
    expected[1999] = missing.as_bytes();
    assert!(lines(&outcome.stdout) == expected, "rows have shifted, or are not {missing:?}");
    let last = outcome.stderr.lines().last().unwrap_or_default();
    let said = format!("{}: skipped 2 bad of 2000 rows; the first: {INPUT}:701: field \"text\": expected", tool.name);
    assert!(last.starts_with(&said), "{last}");
    let stats: serde_json::Value = serde_json::from_slice(&folder.read("stats")).expect("it is JSON");
    assert_eq!((&stats["rows"], &stats["bad_rows"]), (&2000.into(), &2.into()));
    for threads in ["1", "3"] {
        let again = tool.run_on_input(&folder).args(skip).args(["--threads", threads]).outcome();
        assert!((again.stdout, again.stderr) == (outcome.stdout.clone(), outcome.stderr.clone()), "{threads} threads");
    }
}

/// The rows of all shards, one after another, are the rows of the whole, also where there are more shards than rows.
pub fn shards_put_together_are_the_whole(tool: &Tool) {
    for rows in [0, 1, 5, 2000] {
        let (folder, whole) = (tool.folder(rows), tool.output(rows));
        for count in [1, 3, 8] {
            let shard = |index: u32| tool.run_on_input(&folder).args(["--shard", &format!("{index}/{count}")]).output();
            let joined: Vec<_> = (0..count).flat_map(shard).collect();
            assert!(joined == whole, "{count} shards of {rows} rows");
        }
    }
}

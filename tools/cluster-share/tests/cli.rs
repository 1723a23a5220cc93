//! `cluster-share` keeps the contract of all tools, and gives the numbers of MiniCorpus' scripts.

use contract::corpus::Numbers;
use contract::folder::Folder;
use contract::run::Run;
use contract::tool::{INPUT, Tool};
use std::collections::BTreeMap;

fn tool() -> Tool {
    Tool {
        name: "cluster-share",
        program: env!("CARGO_BIN_EXE_cluster-share"),
        source: env!("CARGO_MANIFEST_DIR"),
        args: &["--exclude", "out", "--fraction", "0.5"],
        side_files: &["--exclude"],
        wrong_values: &[
            ("--measure", "weight"),
            ("--count", "-1"),
            ("--fraction", "nan"),
            ("--clip", "0"),
            ("--clip", "65536"),
            ("--shares", "both"),
            ("--density-weight", "-1"),
            ("--compat", "minipile"),
            ("--exclude", ""),
        ],
        prepare: |folder, rows| folder.write("out", if rows > 0 { "0\n" } else { "" }),
        input: |rows| text(&table(&mut Numbers(4), rows as u64)).into_bytes(),
    }
}

contract::holds!(tool: manual, files);

fn share(folder: &Folder, args: &[&str]) -> Run {
    tool().bare(folder).args(args)
}

fn stats(folder: &Folder, names: &[&str]) -> Vec<Option<u64>> {
    let stats: serde_json::Value = serde_json::from_slice(&folder.read("stats")).expect("it is JSON");
    names.iter().map(|name| stats[name].as_u64()).collect()
}

struct Row {
    id: u32,
    size: u64,
    distance: f64,
    diversity: f64,
    loss: f64,
}

fn table(numbers: &mut Numbers, count: u64) -> Vec<Row> {
    let mut unit = |end: f64| numbers.below(1 << 40) as f64 / (1_u64 << 40) as f64 * end;
    let row = |id: u64| Row {
        id: 2 * id as u32,
        size: unit(40_000.0) as u64,
        distance: unit(1.2),
        diversity: 0.05 + unit(0.1),
        loss: 1.0 + unit(2.0),
    };
    (0..count).map(row).collect()
}

fn text(rows: &[Row]) -> String {
    let mut text = "cluster\tother\ttotal_examples\tsum_distance\tdiversity\tmean_loss\n".to_string();
    for Row { id, size, distance, diversity, loss } in rows {
        text += &format!("{id}\tx\t{size}\t{}\t{diversity}\t{loss}\n", distance * *size as f64);
    }
    text
}

fn json(rows: &[Row]) -> String {
    let one = |Row { id, size, distance, diversity, loss }: &Row| {
        let sum = distance * *size as f64;
        format!(
            "{{\"cluster\": {id}, \"total_examples\": {size}, \"sum_distance\": {sum}, \"average_distance\": null, \"nearest\": [\"a\"], \"diversity\": {diversity}, \"mean_loss\": {loss}}}\n"
        )
    };
    rows.iter().map(one).collect()
}

/// What the scripts take from each cluster that is not left out.
fn minicorpus(rows: &[Row], by: &str, n: u64) -> Vec<u64> {
    let total: u64 = rows.iter().map(|row| row.size).sum();
    let density = |row: &Row| if row.size > 0 { row.distance * row.size as f64 / row.size as f64 } else { 0.0 };
    let widest = rows.iter().map(|row| row.diversity).fold(0.0, f64::max);
    let score = |row: &Row| {
        0.33 * (row.size as f64 / total as f64) + 0.33 * (1.0 - density(row)) + 0.33 * (row.diversity / widest)
    };
    let scores: f64 = rows.iter().map(score).sum();
    let losses: f64 = rows.iter().map(|row| row.loss).sum();
    let number = |(place, row): (usize, &Row)| match by {
        "equal" => n / rows.len() as u64 + u64::from((place as u64) < n % rows.len() as u64),
        "size" => (n as f64 * (row.size as f64 / total as f64)) as u64,
        "density" => (n as f64 * (row.size as f64 / total as f64 * (1.0 - 0.5 * density(row)))) as u64,
        "diversity" => (n as f64 * (score(row) / scores)) as u64,
        _ => (row.loss / losses * n as f64).round() as u64,
    };
    rows.iter().enumerate().map(|one| number(one).min(one.1.size)).collect()
}

fn numbers_of(plan: &str) -> BTreeMap<u32, u64> {
    let row = |line: &str| {
        let fields: Vec<_> = line.split('\t').collect();
        Some((fields[0].parse().ok()?, fields[3].parse().ok()?))
    };
    plan.lines().skip(1).filter_map(row).collect()
}

#[test]
fn plans_are_those_of_minicorpus_or_exact() {
    let folder = Folder::new();
    let mut numbers = Numbers(8);
    for count in [1, 7, 60] {
        let mut all = table(&mut numbers, count);
        folder.write("table.tsv", text(&all));
        folder.write("table.json", json(&all));
        let out: Vec<u32> = all.iter().map(|row| row.id).filter(|id| id % 8 == 6).collect();
        folder.write("out", out.iter().map(|id| format!("{id}\n")).collect::<String>());
        all.retain(|row| !out.contains(&row.id));
        let room: u64 = all.iter().map(|row| row.size).sum();
        for by in ["equal", "size", "density", "diversity", "loss"] {
            for n in [0, 1, 999, room / 3, room, room + 5] {
                let count = n.to_string();
                let args = ["--measure", by, "-n", &count, "--exclude", "out"];
                let plan = |table: &str, more: &[&str]| {
                    let outcome = share(&folder, &args).args([table]).args(more).outcome();
                    outcome.expect(0);
                    numbers_of(outcome.text())
                };
                let compat = plan("table.tsv", &["--compat", "minicorpus"]);
                assert!(out.iter().all(|id| compat[id] == 0));
                let found: Vec<u64> = all.iter().map(|row| compat[&row.id]).collect();
                assert_eq!(found, minicorpus(&all, by, n), "{by} {n}");
                let exact = plan("table.tsv", &[]);
                assert_eq!(exact.values().sum::<u64>(), n.min(room), "{by} {n}");
                assert!(all.iter().all(|row| exact[&row.id] <= row.size));
                assert_eq!(exact, plan("table.json", &[]));
                assert_eq!(plan("table.tsv", &["--clip", "2"]).values().sum::<u64>(), n.min(2 * room));
            }
        }
    }
}

#[test]
fn a_plan_is_a_table() {
    let folder = Folder::new();
    folder.write("table", "cluster\ttotal_examples\n3\t10\n5\t4\n7\t0\n8\t6\n");
    folder.write("out", "8\tadverts, mostly\n");
    let run = |args: &[&str]| tool().bare(&folder).args(["table", "--exclude", "out"]).args(args);
    let plan = run(&["-n", "9", "--stats", "stats"]).text();
    let expected = "3\t10\t0.3333333333333333\t5\t0.5\n5\t4\t0.3333333333333333\t4\t1\n7\t0\t0.3333333333333333\t0\t0\n8\t6\t0\t0\t0\n";
    assert_eq!(plan, format!("cluster\tsize\tshare\tdocuments\trepeats\n{expected}"));
    assert_eq!(stats(&folder, &["wanted", "shortfall", "clusters"]), [Some(9), Some(0), Some(4)]);
    let outcome = run(&["-n", "9", "--compat", "minicorpus"]).outcome();
    let said = "cluster-share: wanted: 9 documents; clusters give: 6; the others are dropped, as MiniCorpus does\n";
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), said));
    let shares = run(&[]).text();
    let third = "0.3333333333333333";
    let expected = format!("cluster\tsize\tshare\n3\t10\t{third}\n5\t4\t{third}\n7\t0\t{third}\n8\t6\t0\n");
    assert_eq!(shares, expected);
}

/// MiniCorpus' own file of losses: the name of the cluster is another, sizes are not in it, nor clusters that are left
/// out.
#[test]
fn losses_may_stand_in_a_file_of_their_own() {
    let folder = Folder::new();
    folder.write("table", "cluster\ttotal_examples\n0\t100\n1\t100\n2\t100\n");
    folder.write(
        "losses",
        "{\"cluster_idx\": 2, \"mean_loss\": 3.0, \"proportion\": 5.5}\n{\"cluster_idx\": 0, \"mean_loss\": 1}\n",
    );
    folder.write("out", "1\n");
    let loss = ["--measure", "loss", "-n", "40", "table", "losses"];
    let numbers = numbers_of(&share(&folder, &loss).args(["--exclude", "out"]).text());
    assert_eq!(numbers, [(0, 10), (1, 0), (2, 30)].into());
    share(&folder, &loss).outcome().expect_refusal(1, &["cluster 1: there is no mean_loss"]);
    let one = "{\"cluster_idx\": 0, \"total_examples\": 1, \"mean_loss\": 1}\n";
    folder.write("losses", one);
    share(&folder, &loss).outcome().expect_refusal(1, &["losses: cluster 0: total_examples comes twice"]);
    folder.write("losses", one.replace(": 0", ": 7"));
    share(&folder, &loss).outcome().expect_refusal(1, &["losses: cluster 7 is not in table"]);
}

#[test]
fn bad_tables_are_described_with_their_place() {
    let folder = Folder::new();
    let table = "cluster\ttotal_examples\n1\t1\n2\t2\n";
    for (text, said) in [
        ("", "side: expected a table of clusters, found nothing"),
        ("a\tb\n", "side:1: expected JSON objects, or a header that names cluster and other columns"),
        ("cluster\tsize\n", "side:1: expected JSON objects, or a header that names total_examples"),
        (&format!("{table}3\n"), "side:4: expected 2 fields as in the header, found 1"),
        (&format!("{table}x\t1\n"), "side:4: field 1: expected a number, found \"x\""),
        (&format!("{table}1.5\t1\n"), "side:4: field \"cluster\": expected a whole number, found 1.5"),
        (&format!("{table}-1\t1\n"), "side:4: field \"cluster\": expected a whole number, found -1"),
        (&format!("{table}3\tnan\n"), "side:4: field \"total_examples\": expected a whole number, found NaN"),
        (&format!("{table}2\t9\n"), "side:4: cluster 2 comes twice"),
        ("{\"cluster\": 1}\n", "side:1: field \"total_examples\": missing"),
        ("{\"cluster\": \"1\"}\n", "side:1: field \"cluster\": expected a number, found \"1\""),
        ("{\"cluster\": 1, \"total_examples\": 1}\n{\"x\n", "side:2: not JSON: "),
    ] {
        folder.write("side", text);
        share(&folder, &["-n", "1", "side"]).outcome().expect_refusal(1, &[said]);
    }
    folder.write("table", table);
    for (measure, said) in [
        ("diversity", "cluster 1: there is no diversity"),
        ("loss", "cluster 1: there is no mean_loss"),
        ("density", "cluster 1: there is no distance"),
    ] {
        share(&folder, &["-n", "1", "--measure", measure, "table"]).outcome().expect_refusal(1, &[said]);
    }
    folder.write("side", "1\n\n");
    let refused = share(&folder, &["--exclude", "side", "table"]).outcome();
    refused.expect_refusal(1, &["side:2: field 1: expected a cluster"]);
    folder.write("side", "9\n");
    share(&folder, &["--exclude", "side", "table"]).outcome().expect_refusal(1, &["side: cluster 9 is not in table"]);
    folder.write("side", "cluster\ttotal_examples\taverage_distance\n1\t5\t3\n");
    let refused = share(&folder, &["--measure", "density", "side"]).outcome();
    refused.expect_refusal(1, &["cluster 1: a share of -2.5: expected 0 or more"]);
}

#[test]
fn flags_that_exclude_each_other_are_refused() {
    let folder = tool().folder(3);
    for (flags, said) in [
        (&["-n", "1", "--fraction", "1"][..], "--count does not go with --fraction"),
        (&["--compat", "minicorpus"], "--compat needs --count or --fraction"),
        (&["-n", "1", "--compat", "minicorpus", "--clip", "2"], "--compat does not go with --clip above 1"),
        (&["-n", "1", "--compat", "minicorpus", "--shares", "drawn"], "--compat does not go with --shares drawn"),
        (&["--density-weight", "1"], "--density-weight goes only with --measure density or --measure diversity"),
        (&["--measure", "density", "--size-weight", "1"], "--size-weight goes only with --measure diversity"),
        (&["--clip", "2"], "--clip goes only with --count or --fraction"),
        (&["-n", "1", "--seed", "2"], "--seed goes only with --shares drawn or --clip above 1"),
        (&["--exclude", "-", "-"], "standard input can be one thing only"),
    ] {
        share(&folder, flags).args([INPUT]).outcome().expect_refusal(2, &[said]);
    }
}

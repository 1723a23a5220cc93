//! `semdedup-score` keeps the contract of all tools that read vectors, and finds what plain loops find.

use compute::kmeans::exact::{dot, norm};
use contract::corpus::Numbers;
use contract::folder::Folder;
use contract::tool::{INPUT, Tool};
use contract::vectors::{DIM, array, input, rows};

fn tool() -> Tool {
    Tool {
        name: "semdedup-score",
        program: env!("CARGO_BIN_EXE_semdedup-score"),
        source: env!("CARGO_MANIFEST_DIR"),
        args: &["--clusters", "clusters.tsv"],
        side_files: &["--clusters"],
        wrong_values: &[
            ("--clusters", ""),
            ("--keep", ""),
            ("--part", "2/2"),
            ("--part", "1"),
            ("--cluster-field", "0"),
            ("--distance-field", "x"),
            ("--memory", "much"),
            ("--headerless", "8"),
        ],
        prepare: |folder, count| folder.write("clusters.tsv", column(&some_clusters(count, 5))),
        input,
    }
}

contract::holds!(tool: manual, files, vectors, skipped_vectors, streams);

#[test]
fn no_vectors_are_no_rows() {
    contract::vectors::no_vectors_are_no_rows(&tool());
}

/// Ranked by a column, which must be there before anything is read.
#[test]
fn the_column_of_worths_is_checked_before_input_is_read() {
    let by_column = Tool {
        args: &["--clusters", "clusters.tsv", "--keep", "worth"],
        side_files: &["--clusters", "--keep"],
        prepare: |folder, count| {
            (tool().prepare)(folder, count);
            folder.write("worth", "1\n".repeat(count));
        },
        ..tool()
    };
    contract::files::side_files_are_checked_before_input_is_read(&by_column);
}

/// A cluster and a distance, or none.
type Cluster = Option<(u32, f32)>;

/// Some of `k` clusters, of quite different sizes; one row in twenty has none.
fn some_clusters(count: usize, k: u64) -> Vec<Cluster> {
    let mut numbers = Numbers(11);
    let mut one = || {
        let cluster = numbers.below(k).min(numbers.below(k));
        // Few distances, so that many are equal.
        let distance = numbers.below(9) as f32 / 8.0;
        (numbers.below(20) > 0).then_some((cluster as u32 * 3, distance))
    };
    (0..count).map(|_| one()).collect()
}

fn column(clusters: &[Cluster]) -> String {
    let line = |cluster: &Cluster| match cluster {
        Some((cluster, distance)) => format!("{cluster}\t{distance}\n"),
        None => "-1\tnan\n".to_string(),
    };
    clusters.iter().map(line).collect()
}

/// Vectors of which many are copies of others, nearly so, or their multiples; some are missing.
fn vectors(count: usize, dim: usize) -> Vec<Vec<f32>> {
    let mut numbers = Numbers(12);
    let mut all: Vec<Vec<f32>> = Vec::new();
    for i in 0..count {
        let mut value = || numbers.below(2001) as f32 / 1000.0 - 1.0;
        let fresh: Vec<f32> = (0..dim).map(|i| if i == 0 { 1.5 } else { value() }).collect();
        let (kind, other) = (numbers.below(8), numbers.below(i.max(1) as u64) as usize);
        all.push(match kind {
            0 if i > 0 => all[other].clone(),
            1 if i > 0 => all[other].iter().zip(&fresh).map(|(a, b)| a + b * 1e-6).collect(),
            2 if i > 0 => all[other].iter().map(|a| a * 0.3).collect(),
            3 if i.is_multiple_of(5) => vec![f32::NAN; dim],
            _ => fresh,
        });
    }
    all
}

/// Every pair of a cluster; rows of a smaller rank come before, then earlier rows.
fn plainly(vectors: &[Vec<f32>], clusters: &[Cluster], rank: impl Fn(usize) -> f64) -> String {
    let there = |i: usize| clusters[i].filter(|_| !vectors[i][0].is_nan()).map(|(cluster, _)| cluster);
    let line = |i: usize| {
        let Some(cluster) = there(i) else { return "nan\t-1\n".to_string() };
        let before = |&j: &usize| there(j) == Some(cluster) && (rank(j), j) < (rank(i), i);
        let mut earlier: Vec<usize> = (0..vectors.len()).filter(before).collect();
        earlier.sort_by(|&a, &b| rank(a).total_cmp(&rank(b)).then(a.cmp(&b)));
        let mut best = (f64::NEG_INFINITY, 0);
        for j in earlier {
            let score = dot(&vectors[i], &vectors[j]) / norm(&vectors[j]);
            if score > best.0 {
                best = (score, j);
            }
        }
        match best.0 {
            f64::NEG_INFINITY => "-1\t-1\n".to_string(),
            score => format!("{}\t{}\n", score / norm(&vectors[i]) + 0.0, best.1),
        }
    };
    (0..vectors.len()).map(line).collect()
}

fn folder(vectors: &[Vec<f32>], clusters: &[Cluster]) -> Folder {
    let folder = Folder::new();
    folder.write(INPUT, array(vectors));
    folder.write("clusters.tsv", column(clusters));
    folder
}

fn distance(clusters: &[Cluster], i: usize) -> f64 {
    clusters[i].map_or(0.0, |(_, distance)| f64::from(distance))
}

#[test]
fn every_row_is_that_of_plain_loops_in_any_memory_and_on_any_threads() {
    for (count, dim, k) in [(600, 40, 6), (400, 3, 1), (300, 384, 100), (1, 5, 1)] {
        let (vectors, clusters) = (vectors(count, dim), some_clusters(count, k));
        let folder = folder(&vectors, &clusters);
        let worth = |i: usize| (i * 31 % 17) as f64 - 5.0;
        let worths = (0..count)
            .map(|i| if i.is_multiple_of(13) { "nan\tx\n".to_string() } else { format!("{}\tx\n", worth(i)) });
        folder.write("worth", worths.collect::<String>());
        let by_worth = |i: usize| if i.is_multiple_of(13) { f64::INFINITY } else { -worth(i) };
        let expected = [
            ("farthest", plainly(&vectors, &clusters, |i| -distance(&clusters, i))),
            ("nearest", plainly(&vectors, &clusters, |i| distance(&clusters, i))),
            ("first", plainly(&vectors, &clusters, |_| 0.0)),
            ("worth", plainly(&vectors, &clusters, by_worth)),
        ];
        for (keep, expected) in &expected {
            for (threads, memory) in [("2", "1G"), ("1", "100K"), ("3", "20K"), ("2", "1")] {
                let flags = ["--keep", keep, "--threads", threads, "--memory", memory];
                let found = tool().run_on_input(&folder).args(flags).text();
                assert!(found == *expected, "{count} x {dim}, {k} clusters, {flags:?}");
            }
        }
        assert_eq!(tool().run_on_input(&folder).text(), expected[0].1, "the default");
    }
}

/// More rows than a piece has, in a cluster that is larger than memory, and in one that is not.
#[test]
fn a_large_cluster_is_done_in_pieces() {
    let (vectors, clusters) = (vectors(5000, 4), vec![Some((0, 0.0)); 5000]);
    let folder = folder(&vectors, &clusters);
    let expected = plainly(&vectors, &clusters, |_| 0.0);
    for memory in ["1G", "1M", "300K"] {
        assert!(tool().run_on_input(&folder).args(["--memory", memory]).text() == expected, "{memory}");
    }
}

#[test]
fn the_order_of_chance_is_the_seeds() {
    let count = 300;
    let (vectors, clusters) = (vectors(count, 20), some_clusters(count, 3));
    let folder = folder(&vectors, &clusters);
    let run = |seed: &str| tool().run_on_input(&folder).args(["--keep", "random", "--seed", seed]).text();
    assert_eq!(run("0"), tool().run_on_input(&folder).args(["--keep", "random"]).text());
    assert_ne!(run("0"), run("1"));
    let firsts = |text: String| text.lines().filter(|line| *line == "-1\t-1").count();
    assert_eq!((firsts(run("1")), firsts(run("2"))), (3, 3));
}

#[test]
fn parts_of_the_clusters_are_parts_of_the_column() {
    let folder = tool().folder(2000);
    let whole = tool().run_on_input(&folder).text();
    let part = |i: usize| tool().run_on_input(&folder).args(["--part", &format!("{i}/4")]).text();
    let parts: Vec<String> = (0..4).map(part).collect();
    for (row, expected) in whole.lines().enumerate() {
        let found: Vec<&str> = parts.iter().filter_map(|part| part.lines().nth(row)).collect();
        let said: Vec<&&str> = found.iter().filter(|line| **line != "nan\t-1").collect();
        match expected {
            "nan\t-1" => assert!(found.len() == 4 && said.is_empty()),
            _ => assert_eq!((found.len(), said), (4, vec![&expected])),
        }
    }
}

#[test]
fn columns_that_do_not_fit_are_refused() {
    let folder = tool().folder(9);
    let refused = |args: &[&str], said: &str| {
        tool().run_on_input(&folder).args(args).outcome().expect_refusal(1, &[said]);
    };
    folder.write("few", "1\n".repeat(8));
    folder.write("many", "1\n".repeat(10));
    let few = |name: &str| format!("vectors: more than 8; rows of {name}: 8; expected as many of the one as of the");
    let many = |name: &str| format!("vectors: 9; rows of {name}: more than 9; expected as many");
    refused(&["--keep", "few"], &few("--keep"));
    refused(&["--keep", "many"], &many("--keep"));
    let other = |column: &str| {
        let run = tool().bare(&folder).args(["--keep", "first", "--clusters", column, INPUT]);
        run.outcome()
    };
    other("few").expect_refusal(1, &[&few("--clusters")]);
    other("many").expect_refusal(1, &[&many("--clusters")]);
    folder.write("words", "1\n2\nthree\n".repeat(3));
    refused(&["--keep", "words"], "words:3: field 1: expected a number, found \"three\"");
    other("words").expect_refusal(1, &["words:3: field 1: expected a cluster"]);
    folder.write("clusters.tsv", "1\n".repeat(9));
    refused(&[], "clusters.tsv:1: expected a distance (or --keep first, which needs none) in field 2, found 1 fields");
    folder.write("clusters.tsv", "1\tnan\n".repeat(9));
    refused(&[], "clusters.tsv:1: field 2: expected a distance, found \"nan\"");
    folder.write("clusters.tsv", "0.5\tx\t1\n".repeat(9));
    let fields = ["--cluster-field", "3", "--distance-field", "1"];
    assert_eq!(tool().run_on_input(&folder).args(fields).text().lines().count(), 9);
}

#[test]
fn what_does_not_go_together_is_refused() {
    let folder = tool().folder(4);
    tool().bare(&folder).waiting().outcome().expect_refusal(2, &["--clusters is needed"]);
    let seed = ["--seed", "1"];
    tool().run_on_input(&folder).args(seed).outcome().expect_refusal(2, &["--seed goes only with --keep random"]);
}

#[test]
fn rows_that_are_missing_stay_rows() {
    let mut with = rows(6);
    with[1].fill(f32::NAN);
    with[4] = vec![0.0; DIM];
    let clusters = [Some((1, 0.5)), Some((1, 0.4)), None, Some((1, 0.3)), Some((1, 0.2)), Some((1, 0.1))];
    let folder = folder(&with, &clusters);
    let outcome = tool().run_on_input(&folder).args(["--stats", "stats"]).outcome();
    outcome.expect_refusal(1, &["row 4: all values are 0"]);
    let outcome = tool().run_on_input(&folder).args(["--on-error", "skip", "--stats", "stats"]).outcome();
    outcome.expect(0);
    let text = outcome.text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines.len(), lines[0]), (6, "-1\t-1"));
    assert_eq!([lines[1], lines[2], lines[4]], ["nan\t-1"; 3]);
    assert!(lines[3].ends_with("\t0") && (lines[5].ends_with("\t0") || lines[5].ends_with("\t3")), "{text}");
    let stats: serde_json::Value = serde_json::from_slice(&folder.read("stats")).expect("it is JSON");
    assert_eq!([&stats["rows"], &stats["bad_rows"], &stats["rows_missing"], &stats["clusters"]], [6, 1, 2, 1]);
}

#[test]
fn ten_times_the_rows_take_the_same_memory() {
    let resident = |count: usize| {
        let folder = Folder::new();
        folder.write(INPUT, array(&rows(count)));
        folder.write("clusters.tsv", (0..count).map(|row| format!("{}\n", row % 400)).collect::<String>());
        let outcome =
            tool().run_on_input(&folder).args(["--keep", "first", "--memory", "1M", "--threads", "2"]).outcome();
        outcome.expect(0);
        outcome.resident_max_kib
    };
    let (few, many) = (resident(10_000), resident(100_000));
    // The rows alone are 3 MB, and with what belongs to them 8 MB.
    assert!(few > 0 && many < few + 3000, "{few} KiB, then {many}");
}

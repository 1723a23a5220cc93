//! `kmeans-sum` keeps the contract of all tools that read vectors, and what it writes of parts adds up to the whole.

use cluster::sums::Partial;
use compute::kmeans::{Assigner, Centroids, Metric, Nearest, Reference, Totals, WEIGHT_ONE};
use contract::folder::Folder;
use contract::tool::Tool;
use contract::vectors::{DIM, array, input, rows};
use pipe::output::Output;

const K: usize = 5;

fn tool() -> Tool {
    Tool {
        name: "kmeans-sum",
        program: env!("CARGO_BIN_EXE_kmeans-sum"),
        source: env!("CARGO_MANIFEST_DIR"),
        args: &["--centroids", "centroids.npy"],
        side_files: &["--centroids"],
        wrong_values: &[
            ("--centroids", ""),
            ("--metric", "manhattan"),
            ("--weights", ""),
            ("--headerless", "8"),
            ("--device", "gpu"),
        ],
        prepare: |folder, _| folder.write("centroids.npy", array(&centroids())),
        input,
    }
}

contract::holds!(tool: manual, files, vectors, streams);

/// Some vectors that are not among the rows.
fn centroids() -> Vec<Vec<f32>> {
    rows(100).into_iter().rev().take(K).map(|row| row.into_iter().rev().collect()).collect()
}

/// What a run over the input writes.
fn sums(folder: &Folder, args: &[&str]) -> Vec<u8> {
    tool().run_on_input(folder).args(args).output()
}

/// Sums that were written.
fn partial(bytes: &[u8]) -> Partial {
    let folder = Folder::new();
    folder.write("sums", bytes);
    Partial::open(&folder.path().join("sums")).expect("they can be read").0
}

/// The sums of parts, added up.
fn added(parts: &[Vec<u8>]) -> Vec<u8> {
    let mut parts = parts.iter().map(|part| partial(part)).rev();
    let mut whole = parts.next().expect("there is one");
    parts.for_each(|part| whole.merge(&part).expect("they are of one model"));
    let folder = Folder::new();
    whole.write(Output::create(&folder.path().join("added")).expect("a file")).expect("it is written");
    folder.read("added")
}

/// The slow reference adds the rows up one by one.
#[test]
fn sums_are_those_of_rows_one_by_one() {
    let (all, values) = (rows(300), centroids().concat());
    for (name, metric) in [("cosine", Metric::Cosine), ("euclidean", Metric::Euclidean)] {
        let centroids = Centroids::new(metric, DIM, values.clone()).expect("centroids");
        let (reference, mut expected) = (Reference::new(centroids.clone()), Partial::new(&centroids));
        for row in &all {
            let mut found = [Nearest::MISSING];
            reference.nearest(row, &mut found, &mut ());
            expected.add(row, found[0], WEIGHT_ONE).expect("it fits");
        }
        assert_eq!(partial(&sums(&tool().folder(300), &["--metric", name])), expected);
    }
    assert_eq!(partial(&sums(&tool().folder(0), &[])).rows(), 0);
}

#[test]
fn sums_are_the_same_for_any_threads_and_shards() {
    let mut some = rows(3000);
    some[5].fill(f32::NAN);
    some[2000][1] = f32::INFINITY;
    let folder = tool().folder_of(3000, &some.chunks(700).flat_map(array).collect::<Vec<_>>());
    folder.write("weights", (0..3000).map(|i| format!("{}\tx\n", i % 7)).collect::<String>());
    for metric in ["cosine", "euclidean"] {
        for weights in [&[][..], &["--weights", "weights"]] {
            let run = |args: &[&str]| {
                let args = [&["--metric", metric, "--on-error", "skip"], weights, args].concat();
                let outcome = tool().run_on_input(&folder).args(args).outcome();
                outcome.expect(0);
                outcome.stdout
            };
            let whole = run(&["--threads", "1"]);
            for threads in ["2", "7"] {
                assert!(run(&["--threads", threads]) == whole, "{threads} threads");
            }
            for count in [1, 3, 8] {
                let parts: Vec<_> = (0..count).map(|i| run(&["--shard", &format!("{i}/{count}")])).collect();
                assert!(added(&parts) == whole, "{count} shards");
            }
        }
    }
}

#[test]
fn weights_count_rows_several_times() {
    let folder = tool().folder(60);
    folder.write("ones", "1\n".repeat(60));
    assert!(sums(&folder, &["--weights", "ones"]) == sums(&folder, &[]));
    // A weight of 0 is a row that weighs nothing, `nan` is no row.
    folder.write("some", "0.5\n2\t7\r\nnan\n".repeat(20));
    let partial = partial(&sums(&folder, &["--weights", "some"]));
    let total = |of: fn(&Totals) -> u64| partial.sums.totals.iter().map(of).sum::<u64>();
    assert_eq!((total(|t| t.rows), total(|t| t.weight), partial.rows_missing), (40, 50 << 20, 20));
    for (column, said) in [
        ("1\n".repeat(59), "column: 59 rows: fewer than there are vectors beside them"),
        ("1\n".repeat(61), "column: more rows than the 60 vectors beside them"),
        ("1\n-1\n".repeat(30), "column:2: field 1: a weight of -1: expected 0 or more"),
        ("1\ninf\n".repeat(30), "column:2: field 1: a weight of inf"),
        ("1\n1e13\n".repeat(30), "column:2: field 1: a weight of 10000000000000"),
        ("1\n\n".repeat(30), "column:2: field 1: expected a number, found \"\""),
    ] {
        folder.write("column", column);
        tool().run_on_input(&folder).args(["--weights", "column"]).outcome().expect_refusal(1, &[said]);
    }
}

#[test]
fn weights_stand_beside_the_rows_of_all_files() {
    let folder = tool().folder(60);
    folder.write("a", array(&rows(60)[..13]));
    folder.write("b", array(&rows(60)[13..]));
    folder.write("weights", (0..60).map(|i| format!("{i}\n")).collect::<String>());
    let whole = sums(&folder, &["--weights", "weights"]);
    let of_both = |args: &[&str]| tool().run(&folder).args(["--weights", "weights", "a", "b"]).args(args).output();
    assert!(of_both(&[]) == whole);
    assert!(added(&[of_both(&["--shard", "0/2"]), of_both(&["--shard", "1/2"])]) == whole);
    let piped = tool().run(&folder).args(["--weights", "weights", "a", "-"]);
    assert!(piped.stdin(array(&rows(60)[13..])).output() == whole);
}

/// Rows without a weight are left out; bad ones among them are bad all the same, and the first is named.
#[test]
fn bad_rows_are_named_in_order_whatever_their_weight() {
    let mut some = rows(90);
    some[20][3] = f32::INFINITY;
    some[30][3] = f32::INFINITY;
    for (unweighted, first) in [(20, 20), (30, 20), (0, 20)] {
        let folder = tool().folder_of(90, &array(&some));
        let weight = |row| if row == unweighted { "nan\n" } else { "1\n" };
        folder.write("weights", (0..90).map(weight).collect::<String>());
        let run = |args: &[&str]| tool().run_on_input(&folder).args(["--weights", "weights"]).args(args).outcome();
        run(&[]).expect_refusal(1, &[&format!("docs.jsonl: row {first}: value 3: expected a finite number")]);
        let skipped = run(&["--on-error", "skip"]);
        skipped.expect(0);
        assert!(skipped.stderr.contains(&format!("skipped 2 bad of 90 rows; the first: docs.jsonl: row {first}")));
        let sums = partial(&skipped.stdout);
        let missing = u64::from(unweighted == 0);
        assert_eq!((sums.rows(), sums.rows_missing, sums.rows_bad), (88 - missing, missing + 2, 2));
    }
}

#[test]
fn a_row_too_far_out_is_a_bad_record() {
    let mut some = rows(9);
    some[4][2] = 1e9;
    let folder = tool().folder_of(9, &array(&some));
    let run = |args: &[&str]| tool().run_on_input(&folder).args(["--metric", "euclidean"]).args(args).outcome();
    run(&[]).expect_refusal(1, &["docs.jsonl: row 4: too far out, or too heavy, for sums"]);
    let skipped = run(&["--on-error", "skip"]);
    skipped.expect(0);
    assert_eq!((partial(&skipped.stdout).rows(), partial(&skipped.stdout).rows_bad), (8, 1));
}

/// Bad rows are counted apart, and else as if they were missing.
#[test]
fn skipped_rows_are_missing_and_bad() {
    let (mut bad, mut missing) = (rows(2000), rows(2000));
    (bad[700][0], bad[1999][7]) = (f32::INFINITY, f32::NAN);
    (missing[700], missing[1999]) = (vec![f32::NAN; DIM], vec![f32::NAN; DIM]);
    let expected = partial(&sums(&tool().folder_of(0, &array(&missing)), &[]));
    for threads in ["1", "3"] {
        let folder = tool().folder_of(0, &array(&bad));
        let skipped = tool().run_on_input(&folder).args(["--on-error", "skip", "--threads", threads]).outcome();
        skipped.expect(0);
        assert!(skipped.stderr.contains("skipped 2 bad of 2000 rows; the first: docs.jsonl: row 700: value 0"));
        assert_eq!(partial(&skipped.stdout), Partial { rows_bad: 2, ..expected.clone() });
    }
}

/// A row that is too heavy by itself is a bad one; rows that fit, and are too many, are no row's fault.
#[test]
fn sums_beyond_64_bits_are_refused() {
    let folder = tool().folder(400);
    folder.write("weights", "549755813888\n".repeat(400));
    let heavy = tool().run_on_input(&folder).args(["--weights", "weights"]).outcome();
    heavy.expect_refusal(1, &["docs.jsonl: row 0: too far out, or too heavy, for sums"]);
    let folder = tool().folder_of(0, &array(&vec![vec![1.0; DIM]; 40_000]));
    folder.write("weights", "500000\n".repeat(40_000));
    for threads in ["1", "3"] {
        let outcome = tool().run_on_input(&folder).args(["--weights", "weights", "--threads", threads]).outcome();
        outcome.expect_refusal(1, &["more rows than 64 bits can add up"]);
    }
}

#[test]
fn statistics_tell_inertia_and_mean_distance() {
    let folder = tool().folder(300);
    for metric in ["cosine", "euclidean"] {
        let sums = partial(&sums(&folder, &["--metric", metric, "--stats", "stats"]));
        let stats: serde_json::Value = serde_json::from_slice(&folder.read("stats")).expect("JSON");
        let close = |name: &str, to: f64| (stats[name].as_f64().expect("a number") / to - 1.0).abs() < 1e-9;
        assert!(
            close("inertia", sums.sums.inertia()) && close("mean_distance", sums.sums.distance() / 300.0),
            "{stats}"
        );
        assert_eq!((&stats["k"], &stats["dim"], &stats["metric"]), (&K.into(), &DIM.into(), &metric.into()));
        assert!(stats["reranked_share"].as_f64().is_some_and(|share| (0.0..=1.0).contains(&share)));
    }
}

#[test]
fn what_cannot_be_asked_is_refused() {
    let folder = tool().folder(9);
    tool().bare(&folder).waiting().outcome().expect_refusal(2, &["--centroids or --add is needed"]);
    for (args, code, said) in [
        (&["--device", "cuda:4000000000"][..], 1, "--device cuda:4000000000: GPU"),
        (&["--weights", "-"], 2, "standard input"),
    ] {
        tool().run(&folder).args(args).waiting().outcome().expect_refusal(code, &[said]);
    }
    folder.write("centroids.npy", array(&[vec![1.0; 5]]));
    let said = "docs.jsonl: vectors of 8 values: expected 5, as centroids.npy has";
    tool().run_on_input(&folder).outcome().expect_refusal(1, &[said]);
}

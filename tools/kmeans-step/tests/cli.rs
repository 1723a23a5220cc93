//! `kmeans-step` keeps the contract of all tools, and from the sums of parts comes what comes of all rows.

use cluster::Model;
use cluster::sums::Partial;
use compute::kmeans::{Assigner, Centroids, Metric, Nearest, Reference, WEIGHT_ONE};
use contract::folder::Folder;
use contract::run::Run;
use contract::tool::{INPUT, Tool};
use contract::vectors::{DIM, array, rows};
use pipe::output::Output;

fn tool() -> Tool {
    Tool {
        name: "kmeans-step",
        program: env!("CARGO_BIN_EXE_kmeans-step"),
        source: env!("CARGO_MANIFEST_DIR"),
        args: &["--centroids", "centroids.npy"],
        side_files: &["--centroids"],
        wrong_values: &[
            ("--centroids", ""),
            ("--metric", "manhattan"),
            ("--iters", "x"),
            ("--tol", "-1"),
            ("--patience", "0"),
            ("--empty", "drop"),
        ],
        prepare: |folder, _| folder.write("centroids.npy", array(&first())),
        input: |count| sums(&centroids(), &rows(count.max(9))),
    }
}

contract::holds!(tool: manual, files);

fn first() -> Vec<Vec<f32>> {
    rows(9).split_off(6)
}

fn centroids() -> Centroids {
    Centroids::new(Metric::Cosine, DIM, first().concat()).expect("centroids")
}

/// What rows come to with some centroids, added up one by one by the slow reference, as a file.
fn sums(centroids: &Centroids, rows: &[Vec<f32>]) -> Vec<u8> {
    let (reference, mut partial) = (Reference::new(centroids.clone()), Partial::new(centroids));
    for row in rows {
        let mut found = [Nearest::MISSING];
        reference.nearest(row, &mut found, &mut ());
        partial.add(row, found[0], WEIGHT_ONE).expect("it fits");
    }
    let folder = Folder::new();
    partial.write(Output::create(&folder.path().join("sums")).expect("a folder")).expect("it is written");
    folder.read("sums")
}

/// A model that was written.
fn model(bytes: &[u8]) -> Model {
    let folder = Folder::new();
    folder.write("model", bytes);
    Model::open(&folder.path().join("model"), None).expect("it is a model")
}

/// With make, over files and shards, a test of pipelines does the same with all programs.
#[test]
fn steps_over_parts_in_any_order_are_one_fit_to_the_byte() {
    let all = rows(400);
    for (metric, empty) in [("cosine", "split"), ("euclidean", "farthest")] {
        let folder = Folder::new();
        folder.write("all.npy", array(&all));
        let begin = format!("kmeans-fit -k 15 --init random --metric {metric} --empty {empty} all.npy");
        let rule = "--iters 6 --tol 0.001";
        let whole = Run::shell(&format!("{begin} {rule}"), &folder).outcome();
        folder.write("model", Run::shell(&format!("{begin} --iters 0"), &folder).outcome().stdout);
        for step in 0..9 {
            let centroids = Model::open(&folder.path().join("model"), None).expect("a model").centroids;
            for (name, part) in [("a", 0..133), ("b", 133..134), ("c", 134..400)] {
                folder.write(name, sums(&centroids, &all[part]));
            }
            let next = [["a", "b", "c"], ["c", "a", "b"]].map(|order| {
                let args = ["--centroids", "model", "--empty", empty].into_iter().chain(rule.split(' ')).chain(order);
                let outcome = tool().bare(&folder).args(args).outcome();
                outcome.expect(0);
                outcome.stdout
            });
            assert!(next[0] == next[1], "{metric} {step}");
            folder.write("model", &next[0]);
        }
        assert!(folder.read("model") == whole.stdout, "{metric}");
    }
}

#[test]
fn one_iteration_moves_the_centroids_and_no_iteration_measures_them() {
    let folder = tool().folder(60);
    let moved = model(&tool().run_on_input(&folder).args(["--stats", "stats"]).output());
    assert_eq!((moved.metadata["iterations"].as_str(), &moved.sizes), ("1", &None));
    assert!(moved.centroids != centroids());
    let stats: serde_json::Value = serde_json::from_slice(&folder.read("stats")).expect("JSON");
    assert_eq!((&stats["rows"], &stats["rows_used"], &stats["iterations"]), (&60.into(), &60.into(), &1.into()));
    let measured = model(&tool().run_on_input(&folder).args(["--iters", "0", "--stats", "stats"]).output());
    assert_eq!((measured.metadata["iterations"].as_str(), measured.centroids), ("0", centroids()));
    assert_eq!(measured.sizes.map(|sizes| sizes.iter().sum::<u64>()), Some(60));
    let stats: serde_json::Value = serde_json::from_slice(&folder.read("stats")).expect("JSON");
    assert!(stats["sizes"]["max"].as_u64().is_some_and(|max| max >= 20), "{stats}");
}

#[test]
fn sums_come_from_standard_input_too() {
    let folder = tool().folder(60);
    let expected = tool().run_on_input(&folder).output();
    for args in [&[][..], &["-"]] {
        assert!(tool().run(&folder).args(args).stdin(folder.read(INPUT)).output() == expected);
    }
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let folder = tool().folder(60);
    tool().bare(&folder).waiting().outcome().expect_refusal(2, &["--centroids is needed"]);
    let twice = tool().bare(&folder).args(["--centroids", "-"]).waiting().outcome();
    twice.expect_refusal(2, &["standard input"]);
    folder.write("model", tool().run_on_input(&folder).output());
    let said = "docs.jsonl: sums made with another model";
    let other = tool().bare(&folder).args(["--centroids", "model", INPUT]).outcome();
    other.expect_refusal(1, &[said, "than model ("]);
    tool().run_on_input(&folder).args(["--metric", "euclidean"]).outcome().expect_refusal(1, &[said]);
    tool().run(&folder).args(["model"]).outcome().expect_refusal(1, &["model: not the sums of a k-means"]);
    folder.write("few", sums(&centroids(), &rows(2)));
    tool().run(&folder).args(["few"]).outcome().expect_refusal(1, &["-k 3: there are 2 rows to cluster"]);
}

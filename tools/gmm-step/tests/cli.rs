//! `gmm-step` keeps the contract of all tools, and from the sums of parts comes what comes of all rows.

use compute::mixture::exact::Densities;
use compute::mixture::{Adder, Mixture, Origin};
use contract::folder::Folder;
use contract::run::Run;
use contract::tool::{INPUT, Tool};
use contract::vectors::{DIM, array, rows};
use mixture::Model;
use mixture::sums::Partial;
use pipe::output::Output;
use std::collections::BTreeMap;
use std::sync::Arc;

const K: usize = 3;

fn tool() -> Tool {
    Tool {
        name: "gmm-step",
        program: env!("CARGO_BIN_EXE_gmm-step"),
        source: env!("CARGO_MANIFEST_DIR"),
        args: &["--mixture", "mixture"],
        side_files: &["--mixture"],
        wrong_values: &[
            ("--mixture", ""),
            ("--centroids", ""),
            ("--iters", "x"),
            ("--tol", "-1"),
            ("--reg-covar", "-1"),
        ],
        prepare: |folder, _| {
            let model = Model { mixture: mixture(), metadata: BTreeMap::new() };
            model.write(Output::create(&folder.path().join("mixture")).expect("a file")).expect("it is written");
        },
        input: |count| sums(&mixture(), &rows(count.max(9))),
    }
}

contract::holds!(tool: manual, files);

fn mixture() -> Mixture {
    let means = rows(9).split_off(6).concat().into_iter().map(f64::from).collect();
    Mixture::new(DIM, vec![0.2, 0.3, 0.5], means, vec![2.0; K * DIM]).expect("a mixture")
}

/// What rows come to with a mixture, added up one by one in the slow way, as a file.
fn sums(mixture: &Mixture, rows: &[Vec<f32>]) -> Vec<u8> {
    let (densities, mut adder) = (Densities::new(mixture), Adder::new(Arc::new(Origin::of_mixture(mixture))));
    rows.iter().for_each(|row| adder.add(row, &densities.posterior(row)).expect("it fits"));
    let (folder, moments) = (Folder::new(), adder.end().expect("they fit"));
    let partial = Partial { moments, ..Partial::of_mixture(mixture) };
    partial.write(Output::create(&folder.path().join("sums")).expect("a folder")).expect("it is written");
    folder.read("sums")
}

/// A model that was written.
fn model(bytes: &[u8]) -> Model {
    let folder = Folder::new();
    folder.write("model", bytes);
    Model::open(&folder.path().join("model")).expect("it is a model")
}

#[test]
fn steps_over_parts_in_any_order_are_one_fit_to_the_byte() {
    let all = rows(400);
    let folder = Folder::new();
    folder.write("all.npy", array(&all));
    for rule in ["--iters 4 --tol 0", "--iters 50 --tol 0.5", "--iters 2 --reg-covar 0.01"] {
        let whole = Run::shell(&format!("gmm-fit -k 4 all.npy {rule}"), &folder).outcome();
        whole.expect(0);
        folder.write("model", Run::shell(&format!("gmm-fit -k 4 all.npy {rule} --iters 0"), &folder).outcome().stdout);
        for step in 0..60 {
            let before = folder.read("model");
            let Model { mixture, .. } = model(&before);
            for (name, part) in [("a", 0..133), ("b", 133..134), ("c", 134..400)] {
                folder.write(name, sums(&mixture, &all[part]));
            }
            let next = [["a", "b", "c"], ["c", "a", "b"]].map(|order| {
                tool().bare(&folder).args(["--mixture", "model"]).args(rule.split(' ')).args(order).output()
            });
            assert!(next[0] == next[1], "{rule} {step}");
            if next[0] == before {
                break;
            }
            folder.write("model", &next[0]);
        }
        assert!(folder.read("model") == whole.stdout, "{rule}");
    }
}

/// From k-means in parts to the mixture in parts.
#[test]
fn the_first_step_is_made_of_clusters() {
    let folder = Folder::new();
    folder.write("all.npy", array(&rows(300)));
    let script = "kmeans-fit -k 4 --metric euclidean all.npy > centroids\n\
                  for i in 0 1 2; do gmm-sum --centroids centroids --shard $i/3 all.npy > $i; done\n\
                  gmm-step --centroids centroids 2 0 1 > first\n\
                  gmm-fit --centroids centroids --iters 0 all.npy > same\n\
                  gmm-fit -k 4 --iters 0 all.npy > kmeans";
    Run::shell(script, &folder).outcome().expect(0);
    assert_eq!(model(&folder.read("first")), model(&folder.read("same")));
    assert_eq!(model(&folder.read("first")).mixture, model(&folder.read("kmeans")).mixture);
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
    tool().bare(&folder).waiting().outcome().expect_refusal(2, &["--mixture", "--centroids"]);
    folder.write("model", tool().run_on_input(&folder).output());
    let other = tool().bare(&folder).args(["--mixture", "model", INPUT]).outcome();
    other.expect_refusal(1, &["docs.jsonl: sums made with another model", "than model ("]);
    tool().run(&folder).args(["model"]).outcome().expect_refusal(1, &["model: not the sums of a mixture"]);
    folder.write("few", sums(&mixture(), &rows(2)));
    tool().run(&folder).args(["few"]).outcome().expect_refusal(1, &["-k 3: there are 2 rows"]);
    let sums = folder.read(INPUT);
    for end in (0..sums.len()).step_by(7) {
        folder.write("cut", &sums[..end]);
        assert_eq!(tool().run(&folder).args(["cut"]).outcome().code, Some(1), "{end}");
    }
}

//! `gmm-sum` keeps the contract of all tools that read vectors, and what it writes of parts adds up to the whole.

use compute::kmeans::{Assigner, Centroids, Metric, Nearest, Reference};
use compute::mixture::exact::Densities;
use compute::mixture::{Adder, Mixture, Origin, Posterior};
use contract::folder::Folder;
use contract::run::Run;
use contract::tool::{INPUT, Tool};
use contract::vectors::{DIM, array, input, rows};
use mixture::Model;
use mixture::sums::Partial;
use pipe::output::Output;
use std::collections::BTreeMap;
use std::sync::Arc;

const K: usize = 4;

fn tool() -> Tool {
    Tool {
        name: "gmm-sum",
        program: env!("CARGO_BIN_EXE_gmm-sum"),
        source: env!("CARGO_MANIFEST_DIR"),
        args: &["--mixture", "mixture"],
        side_files: &["--mixture"],
        wrong_values: &[("--mixture", ""), ("--centroids", ""), ("--headerless", "8")],
        prepare: |folder, _| write_model(folder),
        input,
    }
}

contract::holds!(tool: manual, files, vectors);

/// The same with centroids, which must be there before anything is read.
fn by_centroids() -> Tool {
    Tool {
        args: &["--centroids", "centroids.npy"],
        side_files: &["--centroids"],
        prepare: |folder, _| folder.write("centroids.npy", array(&means())),
        ..tool()
    }
}

#[test]
fn the_file_of_centroids_is_checked_before_input_is_read() {
    contract::files::side_files_are_checked_before_input_is_read(&by_centroids());
}

/// Some vectors that are not among the rows.
fn means() -> Vec<Vec<f32>> {
    rows(100).into_iter().rev().take(K).map(|row| row.into_iter().rev().collect()).collect()
}

/// Components that overlap.
fn mixture() -> Mixture {
    let means = means().concat().into_iter().map(f64::from).collect();
    Mixture::new(DIM, vec![0.1, 0.2, 0.3, 0.4], means, vec![2.0; K * DIM]).expect("a mixture")
}

fn write_model(folder: &Folder) {
    let model = Model { mixture: mixture(), metadata: BTreeMap::new() };
    model.write(Output::create(&folder.path().join("mixture")).expect("a file")).expect("it is written");
}

/// What a run over the input writes.
fn sums(run: Run) -> Partial {
    partial(&run.output())
}

/// Sums that were written.
fn partial(bytes: &[u8]) -> Partial {
    let folder = Folder::new();
    folder.write("sums", bytes);
    Partial::open(&folder.path().join("sums")).expect("they can be read").0
}

#[test]
fn sums_are_those_of_the_slow_way() {
    let (folder, densities) = (tool().folder(500), Densities::new(&mixture()));
    let mut adder = Adder::new(Arc::new(Origin::of_mixture(&mixture())));
    rows(500).iter().for_each(|row| adder.add(row, &densities.posterior(row)).expect("it fits"));
    let expected = Partial { moments: adder.end().expect("they fit"), ..Partial::of_mixture(&mixture()) };
    assert!(expected.moments.masses.iter().all(|&mass| mass > 1 << 70), "every component has rows");
    assert!(sums(tool().run_on_input(&folder)) == expected);
}

#[test]
fn sums_about_centroids_are_those_of_the_nearest() {
    let (folder, centroids) =
        (by_centroids().folder(500), Centroids::new(Metric::Euclidean, DIM, means().concat()).expect("centroids"));
    let mut adder = Adder::new(Arc::new(Origin::of_centroids(&centroids)));
    for row in rows(500) {
        let mut nearest = [Nearest::MISSING];
        Reference::new(centroids.clone()).nearest(&row, &mut nearest, &mut ());
        let found = Posterior { log_likelihood: 0.0, parts: vec![(nearest[0].cluster, 1.0)] };
        adder.add(&row, &found).expect("it fits");
    }
    let expected = Partial { moments: adder.end().expect("they fit"), ..Partial::of_centroids(&centroids) };
    assert!(sums(by_centroids().run_on_input(&folder)) == expected);
}

#[test]
fn parts_add_up_to_the_whole_in_any_order() {
    for tool in [tool(), by_centroids()] {
        let folder = tool.folder(300);
        let whole = tool.run_on_input(&folder).output();
        for count in [2, 3, 7] {
            let mut parts: Vec<_> = (0..count)
                .map(|i| sums(tool.run_on_input(&folder).args(["--shard", &format!("{i}/{count}")])))
                .collect();
            parts.rotate_left(1);
            let mut added = parts.remove(0);
            parts.iter().for_each(|part| added.merge(part).expect("of one model"));
            assert!(added == partial(&whole), "{count}");
        }
    }
}

#[test]
fn rows_that_are_missing_or_bad_are_counted_and_left_out() {
    let folder = tool().folder(40);
    let mut with = rows(40);
    with.insert(3, vec![f32::NAN; DIM]);
    with.insert(9, with[0].iter().map(|_| f32::INFINITY).collect());
    with.insert(20, vec![1e30; DIM]);
    folder.write("with.npy", array(&with));
    let expected = sums(tool().run_on_input(&folder));
    let skipped = tool().run(&folder).args(["with.npy", "--on-error", "skip"]).outcome();
    skipped.expect(0);
    let found = partial(&skipped.stdout);
    assert!(found.moments == expected.moments);
    assert_eq!((found.rows_missing, found.rows_bad), (3, 2));
    let outcome = tool().run(&folder).args(["with.npy"]).outcome();
    outcome.expect_refusal(1, &["with.npy: row 9: value 0: expected a finite number, found inf"]);
    folder.write("far.npy", array(&[vec![1e30; DIM]]));
    let outcome = tool().run(&folder).args(["far.npy"]).outcome();
    outcome.expect_refusal(1, &["far.npy: row 0: too far out to be added up"]);
}

#[test]
fn what_does_not_go_together_is_refused() {
    let folder = tool().folder(20);
    folder.write("centroids.npy", array(&means()));
    for args in [&["--centroids", "centroids.npy", "--mixture", "mixture"][..], &[]] {
        tool().bare(&folder).args(args).args([INPUT]).outcome().expect_refusal(2, &["--mixture", "--centroids"]);
    }
    let outcome = tool().bare(&folder).args(["--mixture", "centroids.npy", INPUT]).outcome();
    outcome.expect_refusal(1, &["centroids.npy"]);
}

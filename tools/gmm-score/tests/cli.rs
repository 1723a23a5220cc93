//! `gmm-score` keeps the contract of all tools that read vectors, and its numbers are those of plain loops.

use compute::mixture::Mixture;
use contract::folder::Folder;
use contract::tool::{INPUT, Tool, lines};
use contract::vectors::{DIM, array, input, rows};
use mixture::Model;
use pipe::output::Output;
use std::collections::BTreeMap;

const K: usize = 4;

fn tool() -> Tool {
    Tool {
        name: "gmm-score",
        program: env!("CARGO_BIN_EXE_gmm-score"),
        source: env!("CARGO_MANIFEST_DIR"),
        args: &["--mixture", "mixture"],
        side_files: &["--mixture"],
        wrong_values: &[("--mixture", ""), ("--against", ""), ("--headerless", "8")],
        prepare: |folder, _| write(folder, "mixture", &mixture(0)),
        input,
    }
}

contract::holds!(tool: manual, files, vectors, skipped_vectors, vector_rows, streams);

/// One against the other, which must be there before anything is read.
fn against() -> Tool {
    Tool {
        args: &["--mixture", "mixture", "--against", "other"],
        side_files: &["--mixture", "--against"],
        prepare: |folder, _| {
            write(folder, "mixture", &mixture(0));
            write(folder, "other", &mixture(5));
        },
        ..tool()
    }
}

#[test]
fn both_mixtures_are_checked_before_input_is_read() {
    contract::files::side_files_are_checked_before_input_is_read(&against());
}

/// Components that overlap, about some rows.
fn mixture(first: usize) -> Mixture {
    let means = rows(100)[first..first + K].concat().into_iter().map(f64::from).collect();
    let variances = (0..K * DIM).map(|i| 0.5 + (i % 7) as f64).collect();
    Mixture::new(DIM, vec![0.1, 0.2, 0.3, 0.4], means, variances).expect("a mixture")
}

fn write(folder: &Folder, name: &str, mixture: &Mixture) {
    let model = Model { mixture: mixture.clone(), metadata: BTreeMap::new() };
    model.write(Output::create(&folder.path().join(name)).expect("a file")).expect("it is written");
}

/// Log-likelihood and responsibilities in plain loops.
fn plain(mixture: &Mixture, row: &[f32]) -> (f64, Vec<f64>) {
    let density = |k: usize| {
        let term = |i: usize| {
            let (mean, variance) = (mixture.means[k * DIM + i], mixture.variances[k * DIM + i]);
            (f64::from(row[i]) - mean).powi(2) / variance + (2.0 * std::f64::consts::PI * variance).ln()
        };
        mixture.weights[k] * (-(0..DIM).map(term).sum::<f64>() / 2.0).exp()
    };
    let densities: Vec<f64> = (0..K).map(density).collect();
    let all: f64 = densities.iter().sum();
    (all.ln(), densities.into_iter().map(|density| density / all).collect())
}

fn numbers(output: &[u8]) -> Vec<Vec<f64>> {
    let number = |field: &[u8]| str::from_utf8(field).expect("text").parse().expect("a number");
    lines(output).into_iter().map(|line| line.split(|&byte| byte == b'\t').map(number).collect()).collect()
}

fn near(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= 1e-12 * expected.abs().max(1.0)
}

#[test]
fn scores_are_those_of_plain_loops() {
    let folder = against().folder(200);
    let scores = numbers(&tool().run_on_input(&folder).output());
    let ratios = numbers(&against().run_on_input(&folder).output());
    let shares = numbers(&tool().run_on_input(&folder).args(["--responsibilities"]).output());
    assert_eq!((scores.len(), ratios.len(), shares.len()), (200, 200, 200));
    for (i, row) in rows(200).iter().enumerate() {
        let (score, parts) = plain(&mixture(0), row);
        assert!(scores[i].len() == 1 && near(scores[i][0], score), "{i}: {:?} {score}", scores[i]);
        let ratio = score - plain(&mixture(5), row).0;
        assert!(ratios[i].len() == 1 && near(ratios[i][0], ratio), "{i}: {:?} {ratio}", ratios[i]);
        assert!(shares[i].len() == 1 + K && shares[i][0] == scores[i][0]);
        for (&found, expected) in shares[i][1..].iter().zip(parts) {
            assert!(near(found, expected), "{i}: {found} {expected}");
        }
    }
    assert!(shares.iter().any(|row| row[1] > 0.1 && row[2] > 0.1), "rows are shared");
}

#[test]
fn rows_that_are_missing_stay_rows() {
    let folder = against().folder(4);
    let mut with = rows(4);
    with.insert(1, vec![f32::NAN; DIM]);
    folder.write("with.npy", array(&with));
    let text = tool().run(&folder).args(["--responsibilities", "with.npy"]).text();
    assert_eq!(text.lines().nth(1), Some("nan\tnan\tnan\tnan\tnan"));
    let text = against().run(&folder).args(["with.npy"]).text();
    assert_eq!(text.lines().nth(1), Some("nan"));
    assert_eq!(text.lines().count(), 5);
}

#[test]
fn a_row_without_a_density_is_bad() {
    let folder = tool().folder(3);
    let narrow = Mixture::new(DIM, vec![1.0], vec![0.0; DIM], vec![1e-250; DIM]).expect("a mixture");
    write(&folder, "narrow", &narrow);
    folder.write("far.npy", array(&[vec![0.0; DIM], vec![3e38; DIM]]));
    for args in [&["--mixture", "narrow"][..], &["--mixture", "mixture", "--against", "narrow"]] {
        let run = || tool().bare(&folder).args(args).args(["far.npy"]);
        let outcome = run().outcome();
        outcome.expect(1);
        assert!(outcome.stderr.contains("far.npy: row 1: too far out"), "{}", outcome.stderr);
        let outcome = run().args(["--on-error", "skip"]).outcome();
        outcome.expect(0);
        assert_eq!(outcome.text().lines().nth(1), Some("nan"));
    }
}

#[test]
fn what_does_not_go_together_is_refused() {
    let folder = against().folder(4);
    let both = ["--responsibilities", INPUT];
    against().run(&folder).args(both).outcome().expect_refusal(2, &["--responsibilities does not go with --against"]);
    tool().bare(&folder).waiting().outcome().expect_refusal(2, &["--mixture is needed"]);
    write(&folder, "flat", &Mixture::new(1, vec![1.0], vec![0.0], vec![1.0]).expect("a mixture"));
    let outcome = tool().run(&folder).args(["--against", "flat", INPUT]).outcome();
    outcome.expect_refusal(1, &["flat: components of 1 values; those of mixture have"]);
    folder.write("centroids.npy", array(&rows(3)));
    tool().bare(&folder).args(["--mixture", "centroids.npy", INPUT]).outcome().expect_refusal(1, &["centroids.npy"]);
}

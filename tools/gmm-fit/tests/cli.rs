//! `gmm-fit` keeps the contract of all tools that read vectors, and its mixtures are those of plain loops.

use compute::mixture::Mixture;
use contract::corpus::Numbers;
use contract::folder::Folder;
use contract::packed;
use contract::run::Run;
use contract::tool::{INPUT, Tool};
use contract::vectors::{DIM, array, input, rows};
use mixture::Model;
use std::process::{Command, Stdio};
use std::time::Duration;
use xxhash_rust::xxh3::xxh3_64;

fn tool() -> Tool {
    Tool {
        name: "gmm-fit",
        program: env!("CARGO_BIN_EXE_gmm-fit"),
        source: env!("CARGO_MANIFEST_DIR"),
        args: &["-k", "3"],
        side_files: &[],
        wrong_values: &[
            ("--k", "0"),
            ("--k", "4294967295"),
            ("--mixture", ""),
            ("--centroids", ""),
            ("--iters", "x"),
            ("--tol", "-1"),
            ("--reg-covar", "-1"),
            ("--runs", "0"),
            ("--memory", "much"),
            ("--headerless", "8"),
        ],
        prepare: |_, _| (),
        input,
    }
}

/// The same with a file to begin with, which must be there before anything is read.
fn from_file() -> Tool {
    Tool {
        args: &["--centroids", "first.npy"],
        side_files: &["--centroids"],
        prepare: |folder, _| folder.write("first.npy", array(&rows(3))),
        ..tool()
    }
}

contract::holds!(tool: manual, files, vectors, skipped_vectors, streams);

#[test]
fn the_file_to_begin_with_is_checked_before_input_is_read() {
    contract::files::side_files_are_checked_before_input_is_read(&from_file());
}

/// Vectors in so many groups that overlap a little: centers with values from -2 to 2, rows around them.
fn groups(count: usize, dim: usize, groups: u64) -> Vec<Vec<f32>> {
    let center = |group: u64, i: usize| (xxh3_64(&[group as u8, i as u8]) % 257) as f32 / 64.0 - 2.0;
    let mut numbers = Numbers(7);
    let row = |_| {
        let group = numbers.below(groups);
        let mut around = || (0..4).map(|_| numbers.below(257) as f32 - 128.0).sum::<f32>() / 128.0;
        (0..dim).map(|i| center(group, i) + around()).collect()
    };
    (0..count).map(row).collect()
}

/// What a run on these rows writes.
fn fit(rows: &[Vec<f32>], args: &[&str]) -> Model {
    model(&tool().bare(&tool().folder_of(0, &array(rows))).args(args).args([INPUT]).output())
}

/// A model that was written.
fn model(bytes: &[u8]) -> Model {
    let folder = Folder::new();
    folder.write("model", bytes);
    Model::open(&folder.path().join("model")).expect("it is a model")
}

fn said<'a>(model: &'a Model, name: &str) -> &'a str {
    model.metadata.get(name).map_or("", String::as_str)
}

fn bounds(model: &Model) -> Vec<f64> {
    said(model, "lower_bounds").split(' ').filter_map(|number| number.parse().ok()).collect()
}

/// One step in plain loops, as scikit-learn does it: from responsibilities to the mixture.
fn maximised(rows: &[Vec<f32>], shares: &[Vec<f64>], reg_covar: f64) -> Mixture {
    let (k, dim) = (shares[0].len(), rows[0].len());
    let masses: Vec<f64> =
        (0..k).map(|j| shares.iter().map(|share| share[j]).sum::<f64>() + 10.0 * f64::EPSILON).collect();
    let sum: f64 = masses.iter().sum();
    let mean_of = |j: usize, value: &dyn Fn(f64) -> f64, i: usize| {
        rows.iter().zip(shares).map(|(row, share)| share[j] * value(f64::from(row[i]))).sum::<f64>() / masses[j]
    };
    let (mut means, mut variances) = (Vec::new(), Vec::new());
    for j in 0..k {
        for i in 0..dim {
            let mean = mean_of(j, &|x| x, i);
            means.push(mean);
            variances.push(mean_of(j, &|x| x * x, i) - mean * mean + reg_covar);
        }
    }
    Mixture::new(dim, masses.iter().map(|mass| mass / sum).collect(), means, variances).expect("a mixture")
}

/// Responsibilities in plain loops, and the mean log-likelihood.
fn expected(rows: &[Vec<f32>], mixture: &Mixture) -> (Vec<Vec<f64>>, f64) {
    let (mut shares, mut sum) = (Vec::new(), 0.0);
    for row in rows {
        let density = |j: usize| {
            let term = |i: usize| {
                let (mean, variance) = (mixture.means[j * row.len() + i], mixture.variances[j * row.len() + i]);
                (f64::from(row[i]) - mean).powi(2) / variance + (2.0 * std::f64::consts::PI * variance).ln()
            };
            mixture.weights[j].ln() - (0..row.len()).map(term).sum::<f64>() / 2.0
        };
        let logs: Vec<f64> = (0..mixture.k()).map(density).collect();
        let top = logs.iter().fold(f64::NEG_INFINITY, |a, &b| a.max(b));
        let all = top + logs.iter().map(|log| (log - top).exp()).sum::<f64>().ln();
        shares.push(logs.iter().map(|log| (log - all).exp()).collect());
        sum += all;
    }
    (shares, sum / rows.len() as f64)
}

fn near(found: &[f64], expected: &[f64]) -> bool {
    let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-9 * (1.0 + b.abs());
    found.len() == expected.len() && found.iter().zip(expected).all(near)
}

#[test]
fn iterations_are_those_of_plain_loops() {
    let all = groups(600, 5, 6);
    let folder = tool().folder_of(0, &array(&all));
    let first = &all[..4];
    folder.write("first.npy", array(first));
    let label = |row: &Vec<f32>| {
        let far = |c: &Vec<f32>| row.iter().zip(c).map(|(a, b)| (a - b).powi(2)).sum::<f32>();
        (0..4).min_by(|&a, &b| far(&first[a]).total_cmp(&far(&first[b]))).expect("there are some")
    };
    let clusters: Vec<Vec<f64>> =
        all.iter().map(|row| (0..4).map(|j| f64::from(u8::from(j == label(row)))).collect()).collect();
    let mut plain = maximised(&all, &clusters, 0.01);
    let mut history = Vec::new();
    for iters in 0..7 {
        let iters = iters.to_string();
        let args = ["--centroids", "first.npy", "--tol", "0", "--reg-covar", "0.01", "--iters", &iters, INPUT];
        let found = model(&tool().bare(&folder).args(args).output());
        let Mixture { weights, means, variances, .. } = &found.mixture;
        assert!(near(weights, &plain.weights) && near(means, &plain.means) && near(variances, &plain.variances));
        assert!(near(&bounds(&found), &history), "{:?} {history:?}", bounds(&found));
        let (shares, bound) = expected(&all, &plain);
        assert!(shares.iter().any(|share| share.iter().all(|&share| share < 0.9)), "rows are shared");
        history.push(bound);
        plain = maximised(&all, &shares, 0.01);
    }
}

/// Ways to fit.
const WAYS: [&[&str]; 3] =
    [&["-k", "7", "--iters", "5"], &["-k", "40", "--iters", "2", "--seed", "3"], &["-k", "2", "--runs", "2"]];

#[test]
fn neither_threads_nor_memory_nor_the_kind_of_input_change_a_byte() {
    // Three blocks of 1 MB, the last one not whole.
    let all = groups(3000, 200, 15);
    let folder = tool().folder_of(0, &array(&all));
    let stream: Vec<u8> = all.chunks(77).flat_map(array).collect();
    folder.write("stream.zst", packed::zstd(&stream));
    for way in WAYS {
        let run = |args: &[&str]| tool().bare(&folder).args(way).args(args).output();
        let expected = run(&["--threads", "1", INPUT]);
        for args in [
            &["--threads", "2", INPUT][..],
            &["--threads", "7", INPUT],
            &["--memory", "1", "--threads", "3", INPUT],
            &["--memory", "1", "stream.zst"],
            &["--memory", "100G", "stream.zst"],
        ] {
            assert!(run(args) == expected, "{way:?} {args:?}");
        }
        let pipe = tool().bare(&folder).args(way).args(["--memory", "1"]).stdin(stream.clone()).output();
        assert!(pipe == expected, "{way:?} as a pipe");
    }
}

#[test]
fn models_are_frozen() {
    let all = groups(500, 6, 8);
    let hash = |way: &&[&str]| format!("{:016x}", mixture::model::fingerprint(&fit(&all, way).mixture));
    assert_eq!(WAYS.iter().map(hash).collect::<Vec<_>>(), FROZEN);
}

/// Fingerprints of the mixtures of [`WAYS`].
const FROZEN: [&str; 3] = ["8acc7cce08ae993c", "b46e7758f3261fec", "0c2fb73405f45d32"];

#[test]
fn the_first_mixture_is_that_of_kmeans_fit() {
    let folder = tool().folder_of(0, &array(&groups(500, 6, 8)));
    let kmeans = format!("kmeans-fit -k 8 --metric euclidean --seed 5 {INPUT} > centroids");
    Run::shell(&kmeans, &folder).outcome().expect(0);
    let from = |args: &[&str]| model(&tool().bare(&folder).args(args).args([INPUT]).output()).mixture;
    assert_eq!(from(&["-k", "8", "--seed", "5"]), from(&["--centroids", "centroids"]));
    assert!(from(&["-k", "8"]) != from(&["--centroids", "centroids"]));
}

#[test]
fn a_fit_goes_on_from_a_mixture() {
    let folder = tool().folder_of(0, &array(&groups(500, 6, 8)));
    let run = |args: &[&str]| tool().bare(&folder).args(args).args([INPUT]).output();
    let long = model(&run(&["-k", "5", "--iters", "6", "--tol", "0"]));
    folder.write("first", run(&["-k", "5", "--iters", "4", "--tol", "0"]));
    let rest = model(&run(&["--mixture", "first", "--iters", "2", "--tol", "0"]));
    assert_eq!(rest.mixture, long.mixture);
    assert_eq!(bounds(&rest), bounds(&long)[4..]);
    assert_eq!((said(&rest, "init"), said(&rest, "iterations")), ("file", "2"));
}

#[test]
fn the_fit_ends_when_it_no_longer_pays() {
    let all = groups(500, 4, 3);
    let found = fit(&all, &["-k", "3", "--tol", "0.01"]);
    let bounds = bounds(&found);
    assert_eq!((said(&found, "converged"), said(&found, "iterations")), ("true", bounds.len().to_string().as_str()));
    let small: Vec<_> = bounds.windows(2).map(|pair| (pair[1] - pair[0]).abs() < 0.01).collect();
    assert!(bounds.len() > 2 && small.iter().position(|&small| small) == Some(small.len() - 1), "{bounds:?}");
    assert!(bounds.windows(2).all(|pair| pair[1] >= pair[0]), "{bounds:?}");
    let found = fit(&all, &["-k", "3", "--tol", "0", "--iters", "3"]);
    assert_eq!((said(&found, "converged"), said(&found, "iterations")), ("false", "3"));
}

#[test]
fn the_best_run_is_written_whole() {
    let all = groups(400, 3, 12);
    let args = |runs| ["-k", "12", "--iters", "4", "--runs", runs];
    let (one, several) = (fit(&all, &args("1")), fit(&all, &args("8")));
    let last = |model: &Model| *bounds(model).last().expect("there is one");
    assert!(last(&several) > last(&one), "{} {}", last(&several), last(&one));
    assert_eq!((said(&several, "runs"), said(&one, "runs")), ("8", ""));
    assert!(said(&several, "run").parse::<u64>().is_ok_and(|run| run > 0), "{:?}", several.metadata);
}

#[test]
fn rows_without_a_vector_are_left_out() {
    let all = groups(300, 4, 3);
    let mut with = all.clone();
    with.insert(7, vec![f32::NAN; 4]);
    with.insert(99, vec![f32::NAN; 4]);
    // First rows, and so clusters, follow row numbers: begin alike.
    let folder = tool().folder_of(0, &array(&all));
    folder.write("with.npy", array(&with));
    folder.write("first.npy", array(&all[..3]));
    let run = |file| model(&tool().bare(&folder).args(["--centroids", "first.npy", file]).output());
    let (expected, found) = (run(INPUT), run("with.npy"));
    assert_eq!(found.mixture, expected.mixture);
    assert_eq!((said(&found, "rows"), said(&found, "rows_missing")), ("300", "2"));
    with[7][0] = 1.0;
    folder.write("bad.npy", array(&with));
    let outcome = tool().run(&folder).args(["bad.npy"]).outcome();
    outcome.expect_refusal(1, &["bad.npy: row 7: value 1: expected a finite number, found NaN"]);
    let args = ["--centroids", "first.npy", "bad.npy", "--on-error", "skip"];
    let skipped = tool().bare(&folder).args(args).outcome();
    skipped.expect(0);
    assert_eq!(model(&skipped.stdout).mixture, expected.mixture);
}

#[test]
fn degenerate_components_are_as_scikit_learn_has_them() {
    // Two different rows, and a centroid that no row is near to: it ends at 0, with a mass of 10 epsilon.
    let all: Vec<_> = (0..20).map(|i| vec![if i % 2 == 0 { 1.0 } else { 3.0 }, 5.0]).collect();
    let folder = tool().folder_of(0, &array(&all));
    folder.write("first.npy", array(&[vec![1.0, 5.0], vec![3.0, 5.0], vec![-90.0, 0.0]]));
    let run = |args: &[&str]| tool().bare(&folder).args(["--centroids", "first.npy", INPUT]).args(args).outcome();
    let found = run(&["--iters", "3"]);
    found.expect(0);
    let Mixture { weights, means, variances, .. } = model(&found.stdout).mixture;
    assert!(near(&means, &[1.0, 5.0, 3.0, 5.0, 0.0, 0.0]), "{means:?}");
    assert!(near(&weights, &[0.5, 0.5, 0.0]) && (weights[2] * 20.0 / f64::EPSILON - 10.0).abs() < 1e-6, "{weights:?}");
    assert!(variances.iter().all(|variance| (variance - 1e-6).abs() < 1e-12), "{variances:?}");
    run(&["--reg-covar", "0"]).expect_refusal(1, &["variance", "use a larger --reg-covar"]);
    // Fewer different rows than components.
    let found = fit(&all, &["-k", "5"]);
    assert!((found.mixture.weights.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{:?}", found.mixture);
}

#[test]
fn fewer_rows_than_components_are_refused() {
    for (count, args) in [(2, &["-k", "3"][..]), (0, &["-k", "3"]), (2, &["--centroids", "first.npy"])] {
        let folder = tool().folder_of(0, &array(&rows(count.max(1))[..count]));
        folder.write("first.npy", array(&rows(3)));
        let outcome = tool().bare(&folder).args(args).args([INPUT]).outcome();
        outcome.expect_refusal(1, &[&format!("-k 3: there are {count} rows")]);
    }
    let found = fit(&rows(3), &["-k", "3"]);
    assert_eq!(found.mixture.k(), 3);
}

#[test]
fn a_row_far_outside_is_refused_and_named() {
    let mut all = rows(50);
    all.push(vec![1e9; DIM]);
    let folder = tool().folder_of(0, &array(&all));
    folder.write("first.npy", array(&rows(3)));
    let outcome = tool().bare(&folder).args(["--centroids", "first.npy", INPUT]).outcome();
    outcome.expect_refusal(1, &["row 50 (from 0, over all files): too far out to be added up"]);
}

#[test]
fn a_killed_fit_goes_on_to_the_same_bytes() {
    let all = groups(6000, 24, 60);
    for args in
        [&["-k", "50", "--iters", "25", "--tol", "0"][..], &["-k", "50", "--iters", "6", "--tol", "0", "--runs", "3"]]
    {
        let folder = tool().folder_of(0, &array(&all));
        let expected = tool().bare(&folder).args(args).args([INPUT]).output();
        let mut kills = 0;
        for wait in [0, 40, 150, 400] {
            let mut child = Command::new(tool().program)
                .args(args)
                .args([INPUT, "--checkpoint", "checkpoint"])
                .current_dir(folder.path())
                .stdout(Stdio::null())
                .spawn()
                .expect("it starts");
            while !folder.has("checkpoint") {
                std::thread::sleep(Duration::from_millis(1));
            }
            std::thread::sleep(Duration::from_millis(wait));
            child.kill().expect("it can be killed");
            kills += u32::from(child.wait().expect("it ends").code().is_none());
            let resume = ["--resume", "--checkpoint", "checkpoint", INPUT];
            assert!(tool().bare(&folder).args(args).args(resume).output() == expected, "{args:?} after {wait} ms");
            // Memory and threads may differ.
            let other = ["--resume", "--checkpoint", "checkpoint", "--memory", "1", "--threads", "1", INPUT];
            assert!(tool().bare(&folder).args(args).args(other).output() == expected);
            std::fs::remove_file(folder.path().join("checkpoint")).expect("it is there");
        }
        assert!(kills > 0, "the test must kill a fit under way");
    }
}

#[test]
fn a_checkpoint_of_another_fit_is_refused() {
    let folder = tool().folder(300);
    folder.write("other.npy", array(&rows(301)));
    folder.write("changed.npy", array(&rows(300).into_iter().rev().collect::<Vec<_>>()));
    folder.write("first.npy", array(&rows(3)));
    let resume = ["--checkpoint", "checkpoint", "--resume"];
    // Where there is none yet, the fit begins.
    let expected = tool().run_on_input(&folder).args(resume).output();
    let checkpoint = folder.read("checkpoint");
    assert!(tool().run_on_input(&folder).args(resume).output() == expected);
    assert!(folder.read("checkpoint") == checkpoint);
    for args in [
        &["--seed", "1", INPUT][..],
        &["--iters", "7", INPUT],
        &["--tol", "0", INPUT],
        &["--reg-covar", "0.1", INPUT],
        &["--runs", "2", INPUT],
        &["-k", "4", INPUT],
        &["other.npy"],
        &["changed.npy"],
    ] {
        let outcome = tool().run(&folder).args(resume).args(args).outcome();
        outcome.expect_refusal(1, &["checkpoint: of another fit: it is of k=3"]);
    }
    let outcome = tool().bare(&folder).args(resume).args(["--centroids", "first.npy", INPUT]).outcome();
    outcome.expect_refusal(1, &["checkpoint: of another fit: it is of k=3"]);
    for end in [200, checkpoint.len() - 1] {
        folder.write("checkpoint", &checkpoint[..end]);
        tool().run_on_input(&folder).args(resume).outcome().expect(1);
    }
    folder.write("model", tool().run_on_input(&folder).output());
    let outcome = tool().run_on_input(&folder).args(["--checkpoint", "model", "--resume"]).outcome();
    outcome.expect_refusal(1, &["not a checkpoint of gmm-fit"]);
    assert!(tool().run_on_input(&folder).args(["--checkpoint", "not/there"]).outcome().code == Some(1));
}

#[test]
fn rows_are_where_the_statistics_say() {
    let all = groups(3000, 200, 15);
    let folder = tool().folder_of(0, &array(&all));
    let stats = |run: Run| -> serde_json::Value {
        run.args(["--iters", "1", "--stats", "stats"]).outcome().expect(0);
        serde_json::from_str(&folder.text("stats")).expect("JSON")
    };
    let run = || tool().run(&folder);
    assert_eq!(stats(run().args([INPUT]))["rows_in"], "memory");
    assert_eq!(stats(run().args(["--memory", "1", INPUT]))["rows_in"], "files");
    let pipe = stats(run().args(["--memory", "1"]).stdin(array(&all)));
    assert_eq!((&pipe["rows_in"], &pipe["rows_used"]), (&"temporary file".into(), &3000.into()));
    assert_eq!(pipe["lower_bound"].as_array().map(Vec::len), Some(1));
}

#[test]
fn what_does_not_go_together_is_refused() {
    let folder = tool().folder(20);
    folder.write("first.npy", array(&rows(3)));
    folder.write("flat.npy", array(&[vec![1.0], vec![2.0]]));
    for (args, code, said) in [
        (&[][..], 2, "--centroids"),
        (&["-k", "3", "--centroids", "first.npy"], 2, "--centroids"),
        (&["--mixture", "m", "--centroids", "first.npy"], 2, "--centroids"),
        (&["--centroids", "first.npy", "--runs", "2"], 2, "--centroids does not go with --runs above 1"),
        (&["--mixture", "m", "--runs", "2"], 2, "--mixture does not go with --runs above 1"),
        (&["-k", "3", "--resume"], 2, "--resume needs --checkpoint"),
        (&["--centroids", "flat.npy"], 1, "flat.npy"),
        (&["--mixture", "first.npy"], 1, "first.npy"),
    ] {
        tool().bare(&folder).args(args).args([INPUT]).outcome().expect_refusal(code, &[said]);
    }
}

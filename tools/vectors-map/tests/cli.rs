//! `vectors-map` keeps the contract of all tools that read vectors, and its axes are those of plain loops.

use contract::folder::Folder;
use contract::tool::{INPUT, Tool};
use contract::vectors::{DIM, array, input, rows};

fn tool() -> Tool {
    Tool {
        name: "vectors-map",
        program: env!("CARGO_BIN_EXE_vectors-map"),
        source: env!("CARGO_MANIFEST_DIR"),
        args: &[],
        side_files: &[],
        wrong_values: &[
            ("--method", "umap"),
            ("--landmarks", "0"),
            ("--landmarks", "10001"),
            ("--perplexity", "0.5"),
            ("--centroids", ""),
            ("--headerless", "8"),
        ],
        prepare: |_, _| (),
        input,
    }
}

contract::holds!(tool: manual, files, vectors, skipped_vectors, streams);

/// The same by nearest neighbours.
fn by_neighbours() -> Tool {
    Tool { args: &["--method", "tsne", "--landmarks", "50"], ..tool() }
}

mod neighbours {
    use super::by_neighbours;
    contract::holds!(@tests by_neighbours vectors: arrays_and_files_are_one_stream, half_precision_is_the_same,
        skipped_vectors_are_missing, no_vectors_are_no_rows);
    contract::holds!(@tests by_neighbours documents: standard_input_is_a_file, threads_change_nothing);
}

#[test]
fn no_vectors_are_no_rows() {
    contract::vectors::no_vectors_are_no_rows(&tool());
}

#[test]
fn the_centroids_are_checked_before_input_is_read() {
    let of_centroids = Tool {
        args: &["--centroids", "centroids.npy"],
        side_files: &["--centroids"],
        prepare: |folder, _| folder.write("centroids.npy", array(&rows(3))),
        ..tool()
    };
    contract::files::side_files_are_checked_before_input_is_read(&of_centroids);
}

fn places(text: &str) -> Vec<[f64; 2]> {
    let number = |field: &str| field.parse().expect("a number");
    let place = |line: &str| line.split_once('\t').map(|(x, y)| [number(x), number(y)]).expect("two fields");
    text.lines().map(place).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// What is projected on an eigenvector of the covariances gives that vector back, and no axis shows more than the
/// first.
#[test]
fn places_are_those_on_the_principal_axes() {
    let count = 500;
    let stretched = |(i, row): (usize, Vec<f32>)| {
        let far = if i % 2 == 0 { 100.0 } else { 103.0 };
        row.into_iter().enumerate().map(|(j, value)| value * (j + 1) as f32 + if j == 5 { far } else { 0.0 }).collect()
    };
    let all: Vec<Vec<f32>> = rows(count).into_iter().enumerate().map(stretched).collect();
    let folder = Folder::new();
    folder.write(INPUT, array(&all));
    let places = places(&tool().run_on_input(&folder).text());
    let mean = |j: usize| all.iter().map(|row| f64::from(row[j])).sum::<f64>() / count as f64;
    let means: Vec<f64> = (0..DIM).map(mean).collect();
    let centred: Vec<Vec<f64>> =
        all.iter().map(|row| row.iter().zip(&means).map(|(&value, mean)| f64::from(value) - mean).collect()).collect();
    let column = |j: usize| centred.iter().map(|row| row[j]).collect::<Vec<f64>>();
    let axis = |i: usize| places.iter().map(|place| place[i]).collect::<Vec<f64>>();
    for i in 0..2 {
        let image: Vec<f64> = (0..DIM).map(|j| dot(&column(j), &axis(i))).collect();
        let norm = dot(&image, &image).sqrt();
        let far = image.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs()));
        assert!(far.expect("an axis") > 0.0, "the sign of axis {i}");
        for (row, place) in centred.iter().zip(&places) {
            assert!((dot(row, &image) / norm - place[i]).abs() < 1e-4, "axis {i}: {place:?}");
        }
    }
    assert!(dot(&axis(0), &axis(1)).abs() < 1e-2);
    let spread = |values: &[f64]| dot(values, values);
    assert!(spread(&axis(0)) > spread(&axis(1)));
    assert!((0..DIM).all(|j| spread(&column(j)) <= spread(&axis(0)) * (1.0 + 1e-6)));
}

#[test]
fn rows_that_are_missing_stay_rows() {
    let mut with = rows(9);
    with[3].fill(f32::NAN);
    let folder = Folder::new();
    folder.write(INPUT, array(&with));
    let all_missing = vec![vec![f32::NAN; DIM]; 2];
    folder.write("none", array(&all_missing));
    for args in [&["--method", "pca"][..], &["--method", "tsne"]] {
        let text = tool().run_on_input(&folder).args(args).text();
        let nowhere: Vec<usize> = (0..9).filter(|&row| text.lines().nth(row) == Some("nan\tnan")).collect();
        assert_eq!((text.lines().count(), nowhere), (9, vec![3]));
        assert_eq!(tool().run(&folder).args(args).args(["none"]).text(), "nan\tnan\nnan\tnan\n");
        // In a pipe, which is read once.
        assert_eq!(tool().run(&folder).args(args).stdin(array(&with)).text(), text);
    }
}

/// A centroid that is a vector lies where this does.
#[test]
fn centroids_lie_on_the_map_of_the_vectors() {
    let folder = tool().folder(300);
    let centroids: Vec<_> = rows(300).into_iter().skip(200).step_by(25).collect();
    folder.write("centroids.npy", array(&centroids));
    for args in [&["--method", "pca"][..], &["--method", "tsne", "--landmarks", "1000", "--seed", "4"]] {
        let of_vectors = tool().run_on_input(&folder).args(args).text();
        let of_centroids = tool().run_on_input(&folder).args(args).args(["--centroids", "centroids.npy"]).text();
        let expected: Vec<_> = of_vectors.lines().skip(200).step_by(25).collect();
        assert_eq!(of_centroids.lines().collect::<Vec<_>>(), expected);
    }
    folder.write("short.npy", array(&[vec![1.0; 3]]));
    let outcome = tool().run_on_input(&folder).args(["--centroids", "short.npy"]).outcome();
    outcome.expect_refusal(1, &[INPUT, "vectors of 8 values: expected 3, as short.npy has"]);
}

#[test]
fn the_seed_draws_landmarks() {
    let folder = tool().folder(400);
    let run = |seed: &str| by_neighbours().run_on_input(&folder).args(["--seed", seed]).text();
    assert_eq!(run("0"), by_neighbours().run_on_input(&folder).text());
    assert_ne!(run("0"), run("1"));
    for args in [["--seed", "1"], ["--landmarks", "10"], ["--perplexity", "5"]] {
        let said = format!("{} goes only with --method tsne", args[0]);
        tool().run_on_input(&folder).args(args).outcome().expect_refusal(2, &[&said]);
    }
}

#[test]
fn stats_say_what_the_axes_show() {
    let folder = Folder::new();
    folder.write(INPUT, array(&[[1.0, 2.0], [3.0, 2.0], [2.0, 2.5], [2.0, 1.5]].map(|row| row.to_vec())));
    let text = tool().run_on_input(&folder).args(["--stats", "stats"]).text();
    let found = places(&text);
    for (found, expected) in found.iter().zip([[-1.0, 0.0], [1.0, 0.0], [0.0, 0.5], [0.0, -0.5]]) {
        assert!((0..2).all(|axis| (found[axis] - expected[axis]).abs() < 1e-6), "{text}");
    }
    let stats: serde_json::Value = serde_json::from_slice(&folder.read("stats")).expect("it is JSON");
    let shares: Vec<f64> = serde_json::from_value(stats["explained_variance_ratio"].clone()).expect("two numbers");
    assert!((shares[0] - 0.8).abs() < 1e-12 && (shares[1] - 0.2).abs() < 1e-12, "{shares:?}");
}

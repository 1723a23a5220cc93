//! `kmeans-fit` keeps the contract of all tools that read vectors, and its models are those of plain loops.

use cluster::Model;
use cluster::sums::Partial;
use compute::kmeans::{Assigner, Metric, Reference, WEIGHT_ONE};
use contract::corpus::Numbers;
use contract::folder::Folder;
use contract::packed;
use contract::run::Run;
use contract::tool::{INPUT, Tool};
use contract::vectors::{array, half_array, input, rows};
use std::process::{Command, Stdio};
use std::time::Duration;
use xxhash_rust::xxh3::xxh3_64;

fn tool() -> Tool {
    Tool {
        name: "kmeans-fit",
        program: env!("CARGO_BIN_EXE_kmeans-fit"),
        source: env!("CARGO_MANIFEST_DIR"),
        args: &["-k", "3"],
        side_files: &[],
        wrong_values: &[
            ("--k", "0"),
            ("--k", "4294967295"),
            ("--metric", "manhattan"),
            ("--init", "first.npy"),
            ("--centroids", ""),
            ("--tol", "-1"),
            ("--patience", "0"),
            ("--runs", "0"),
            ("--batch", "0"),
            ("--sample", "0"),
            ("--sample", "1.5"),
            ("--empty", "drop"),
            ("--memory", "much"),
            ("--headerless", "8"),
            ("--device", "gpu"),
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
        prepare: |folder, _| folder.write("first.npy", array(&first(3))),
        ..tool()
    }
}

contract::holds!(tool: manual, files, vectors, skipped_vectors, streams);

#[test]
fn the_file_of_first_centroids_is_checked_before_input_is_read() {
    contract::files::side_files_are_checked_before_input_is_read(&from_file());
}

/// First centroids that are not among the rows.
fn first(k: usize) -> Vec<Vec<f32>> {
    rows(100).into_iter().rev().take(k).map(|row| row.into_iter().rev().collect()).collect()
}

/// Vectors in so many groups: centers with values from -8 to 8, rows around them.
fn groups(count: usize, dim: usize, groups: u64) -> Vec<Vec<f32>> {
    let center = |group: u64, i: usize| (xxh3_64(&[group as u8, i as u8]) % 1025) as f32 / 64.0 - 8.0;
    let mut numbers = Numbers(7);
    let row = |_| {
        let group = numbers.below(groups);
        (0..dim).map(|i| center(group, i) + (numbers.below(257) as f32 - 128.0) / 64.0).collect()
    };
    (0..count).map(row).collect()
}

/// What a run on these rows writes. It may have something to say of empty clusters.
fn fit(rows: &[Vec<f32>], args: &[&str]) -> Vec<u8> {
    written(tool().bare(&tool().folder_of(0, &array(rows))).args(args).args([INPUT]))
}

fn written(run: Run) -> Vec<u8> {
    let outcome = run.outcome();
    outcome.expect(0);
    outcome.stdout
}

/// A model that was written.
fn model(bytes: &[u8]) -> Model {
    let folder = Folder::new();
    folder.write("model", bytes);
    Model::open(&folder.path().join("model"), None).expect("it is a model")
}

fn said<'a>(model: &'a Model, name: &str) -> &'a str {
    model.metadata.get(name).map_or("", String::as_str)
}

fn number(model: &Model, name: &str) -> f64 {
    said(model, name).parse().unwrap_or_else(|_| panic!("{name}: {:?}", said(model, name)))
}

/// What rows and weights come to with a model's centroids, added up one by one by the slow reference.
fn sums(model: &Model, rows: &[Vec<f32>], weights: Option<&[u64]>) -> Partial {
    let reference = Reference::new(model.centroids.clone());
    let mut partial = Partial::new(&model.centroids);
    for (i, row) in rows.iter().enumerate() {
        let mut found = [compute::kmeans::Nearest::MISSING];
        reference.nearest(row, &mut found, &mut ());
        partial.add(row, found[0], weights.map_or(1, |weights| weights[i]) * WEIGHT_ONE).expect("it fits");
    }
    partial
}

/// The sizes and the inertia that a model claims are those of its centroids.
fn belongs_together(model: &Model, rows: &[Vec<f32>]) {
    let partial = sums(model, rows, None);
    let sizes: Vec<_> = partial.sums.totals.iter().map(|totals| totals.rows).collect();
    assert_eq!(model.sizes.as_ref(), Some(&sizes));
    assert_eq!(number(model, "inertia"), partial.sums.inertia());
    assert_eq!(said(model, "inertias").rsplit(' ').next(), Some(said(model, "inertia")));
    assert_eq!(number(model, "rows"), rows.len() as f64);
}

#[test]
fn iterations_are_those_of_plain_loops() {
    let all = groups(700, 5, 9);
    for (metric, k) in [("cosine", 7), ("euclidean", 12)] {
        let folder = tool().folder_of(0, &array(&all));
        folder.write("first.npy", array(&all[..k]));
        let mut expected: Vec<Vec<f64>> =
            all[..k].iter().map(|row| row.iter().map(|&x| f64::from(x)).collect()).collect();
        for iters in 0..5 {
            let count = iters.to_string();
            let args =
                ["--centroids", "first.npy", "--metric", metric, "--iters", &count, "--tol", "0", "--patience", "99"];
            let model = model(&tool().bare(&folder).args(args).args([INPUT]).output());
            assert_eq!(said(&model, "iterations"), count);
            for (j, row) in expected.iter().enumerate() {
                for (&expected, &found) in row.iter().zip(model.centroids.row(j)) {
                    assert!((expected - f64::from(found)).abs() < 1e-5, "{metric} {iters} {j}: {expected} {found}");
                }
            }
            belongs_together(&model, &all);
            expected = plain(&all, &expected, metric);
        }
    }
}

/// One iteration in 64-bit floats.
fn plain(rows: &[Vec<f32>], centroids: &[Vec<f64>], metric: &str) -> Vec<Vec<f64>> {
    let length = |row: &[f64]| row.iter().map(|x| x * x).sum::<f64>().sqrt();
    let mut sums = vec![(0.0, vec![0.0; rows[0].len()]); centroids.len()];
    for row in rows {
        let row: Vec<f64> = row.iter().map(|&x| f64::from(x)).collect();
        let rank = |c: &Vec<f64>| match metric {
            "cosine" => -row.iter().zip(c).map(|(x, c)| x * c).sum::<f64>() / length(c),
            _ => row.iter().zip(c).map(|(x, c)| (x - c) * (x - c)).sum::<f64>(),
        };
        let ranks: Vec<f64> = centroids.iter().map(rank).collect();
        let nearest = (0..ranks.len()).min_by(|&a, &b| ranks[a].total_cmp(&ranks[b])).expect("there are centroids");
        let scale = if metric == "cosine" { length(&row) } else { 1.0 };
        sums[nearest].0 += 1.0;
        sums[nearest].1.iter_mut().zip(&row).for_each(|(sum, x)| *sum += x / scale);
    }
    let mean = |(count, sum): &(f64, Vec<f64>)| {
        let scale = if metric == "cosine" { length(sum) } else { *count };
        sum.iter().map(|sum| sum / scale).collect()
    };
    assert!(sums.iter().all(|(count, _)| *count > 0.0), "the test must not meet empty clusters");
    sums.iter().map(mean).collect()
}

/// Ways to fit that are to come to the same bytes wherever the rows are.
const WAYS: [&[&str]; 8] = [
    &["-k", "12"],
    &["-k", "12", "--init", "k-means++", "--metric", "euclidean"],
    &["-k", "12", "--init", "random", "--empty", "farthest", "--iters", "4"],
    &["-k", "12", "--batch", "100"],
    &["-k", "12", "--batch", "333", "--iters", "3", "--metric", "euclidean"],
    &["-k", "12", "--sample", "0.3", "--seed", "5"],
    &["-k", "12", "--runs", "3", "--iters", "2"],
    &["-k", "12", "--runs", "2", "--batch", "500"],
];

#[test]
fn neither_threads_nor_memory_nor_the_kind_of_input_change_a_byte() {
    // Three blocks of 1 MB, the last one not whole.
    let all = groups(3000, 200, 15);
    let folder = tool().folder_of(0, &array(&all));
    let stream: Vec<u8> = all.chunks(77).flat_map(array).collect();
    folder.write("stream.zst", packed::zstd(&stream));
    for way in WAYS {
        let run = |args: &[&str]| tool().bare(&folder).args(way).args(args).outcome();
        let expected = run(&["--threads", "1", INPUT]);
        expected.expect(0);
        for args in [
            &["--threads", "2", INPUT][..],
            &["--threads", "7", INPUT],
            &["--memory", "1", INPUT],
            &["--memory", "1", "--threads", "3", INPUT],
            &["--memory", "1", "stream.zst"],
            &["--memory", "100G", "stream.zst"],
        ] {
            assert!(run(args).stdout == expected.stdout, "{way:?} {args:?}");
        }
        for memory in ["1", "100G"] {
            let pipe = tool().bare(&folder).args(way).args(["--memory", memory]).stdin(stream.clone()).outcome();
            assert!(pipe.stdout == expected.stdout, "{way:?} as a pipe, {memory}");
        }
    }
}

#[test]
fn rows_are_where_the_statistics_say() {
    let all = groups(3000, 200, 15);
    let folder = tool().folder_of(0, &array(&all));
    let place = |run: Run| {
        run.args(["--stats", "stats"]).outcome().expect(0);
        let stats: serde_json::Value = serde_json::from_str(&folder.text("stats")).expect("JSON");
        stats["rows_in"].as_str().expect("a word").to_string()
    };
    let run = || tool().run(&folder);
    assert_eq!(place(run().args([INPUT])), "memory");
    assert_eq!(place(run().args(["--memory", "1", INPUT])), "files");
    assert_eq!(place(run().args(["--memory", "1"]).stdin(array(&all))), "temporary file");
    assert_eq!(place(run().args(["--batch", "100"]).stdin(array(&all))), "nowhere");
    let temporary = Folder::new();
    let script = format!("TMPDIR={} kmeans-fit -k 3 --memory 1 < {INPUT} > model", temporary.path().display());
    Run::shell(&script, &folder).output();
    assert_eq!(std::fs::read_dir(temporary.path()).expect("a folder").count(), 0);
    let script = format!("cat {INPUT} | TMPDIR=/not-there kmeans-fit -k 3 --memory 1");
    Run::shell(&script, &folder).outcome().expect_refusal(1, &["a temporary file in /not-there", "TMPDIR"]);
}

#[test]
fn half_precision_is_the_same_wherever_it_is_kept() {
    let all = rows(20_000);
    for memory in ["1", "100G"] {
        let run = |bytes: Vec<u8>| tool().run(&Folder::new()).args(["--memory", memory]).stdin(bytes).output();
        assert!(run(half_array(&all)) == run(array(&all)));
    }
}

/// With memory to spare a pass leaves out what cannot be nearer; without, every row is held against all centroids.
#[test]
fn what_is_left_out_changes_nothing() {
    let all = groups(1500, 64, 90);
    let folder = tool().folder_of(0, &array(&all));
    for metric in ["cosine", "euclidean"] {
        let args = ["-k", "300", "--iters", "12", "--tol", "0", "--metric", metric];
        let run = |more: &[&str]| written(tool().bare(&folder).args(args).args(more).args([INPUT]));
        let expected = run(&["--memory", "1"]);
        for more in [&["--threads", "1"][..], &["--threads", "3", "--runs", "1"], &["--memory", "1G", "--threads", "2"]]
        {
            assert!(run(more) == expected, "{metric} {more:?}");
        }
        assert!(run(&["--runs", "2"]) == run(&["--runs", "2", "--memory", "1"]), "{metric}");
    }
}

#[test]
fn models_are_frozen() {
    let all = groups(500, 6, 8);
    let hash = |way: &&[&str]| format!("{:016x}", xxh3_64(&model_bytes(&fit(&all, way))));
    let found: Vec<_> = WAYS.iter().map(hash).collect();
    assert_eq!(found, FROZEN);
}

/// Hashes of the centroids of [`WAYS`].
const FROZEN: [&str; 8] = [
    "adf3b212969788e6",
    "897831d763fa468e",
    "e43f195ed6abfb35",
    "0e0025c65bb7cd77",
    "6a860b2fed7822c2",
    "b292637a0f829e3c",
    "db2b53ebf17fd874",
    "822d856a1914cc7f",
];

fn model_bytes(bytes: &[u8]) -> Vec<u8> {
    model(bytes).centroids.values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

#[test]
fn the_first_centroids_are_rows_and_seeds_change_them() {
    let all = groups(300, 4, 5);
    for init in ["random", "k-means++", "k-means||"] {
        for metric in ["cosine", "euclidean"] {
            let first = |seed: &str| {
                let args = ["-k", "20", "--iters", "0", "--init", init, "--metric", metric, "--seed", seed];
                let model = model(&fit(&all, &args));
                assert_eq!((said(&model, "iterations"), said(&model, "init"), said(&model, "seed")), ("0", init, seed));
                belongs_together(&model, &all);
                let mut rows: Vec<_> = (0..20).map(|j| model.centroids.row(j).to_vec()).collect();
                assert!(rows.iter().all(|row| all.contains(row)), "{init}");
                rows.sort_by(|a, b| a.partial_cmp(b).expect("numbers"));
                rows.dedup();
                assert_eq!(rows.len(), 20, "{init}: rows are drawn once");
                rows
            };
            assert_ne!(first("0"), first("1"), "{init}");
        }
    }
}

#[test]
fn seeding_finds_groups_that_are_far_apart() {
    let all = groups(600, 16, 6);
    for init in ["k-means++", "k-means||"] {
        let finds = |seed: &u32| {
            let args =
                ["-k", "6", "--iters", "0", "--metric", "euclidean", "--init", init, "--seed", &seed.to_string()];
            // A row is about sqrt(16 (2^2 / 3 + 2^2 / 3)) from another of its group: 600 times its square, against 16 *
            // 2 * 64 / 3 between groups.
            number(&model(&fit(&all, &args)), "inertia") < 600.0 * 60.0
        };
        // Of few draws all may fall into groups that have a centroid.
        let found = (0..10).filter(finds).count();
        assert!(found >= 8, "{init}: {found} of 10");
    }
}

#[test]
fn draws_are_in_proportion_to_weights() {
    let all: Vec<Vec<f32>> = (0..4).map(|i| vec![1.0, i as f32]).collect();
    let folder = tool().folder_of(0, &array(&all));
    folder.write("weights", "1\n2\n5\n0\n");
    let mut drawn = [0; 4];
    for seed in 0..400 {
        let args = ["-k", "1", "--init", "random", "--iters", "0", "--weights", "weights", "--seed", &seed.to_string()];
        let model = model(&tool().bare(&folder).args(args).args([INPUT]).output());
        drawn[model.centroids.row(0)[1] as usize] += 1;
    }
    // Of 400 draws 50, 100, 250 and none; a standard deviation is 10 at the most.
    assert!((10..90).contains(&drawn[0]) && (60..140).contains(&drawn[1]) && drawn[3] == 0, "{drawn:?}");
}

#[test]
fn a_weight_is_as_many_rows() {
    let all = groups(200, 5, 4);
    let weights: Vec<u64> = (0..200).map(|i| i % 4).collect();
    let repeated: Vec<_> = all.iter().zip(&weights).flat_map(|(row, &n)| vec![row.clone(); n as usize]).collect();
    let folder = tool().folder_of(0, &array(&all));
    folder.write("first.npy", array(&all[1..5]));
    folder.write("repeated.npy", array(&repeated));
    folder.write("weights", weights.iter().map(|weight| format!("{weight}\tmore\n")).collect::<String>());
    for metric in ["cosine", "euclidean"] {
        let run = |args: &[&str]| {
            model(&tool().bare(&folder).args(["--centroids", "first.npy", "--metric", metric]).args(args).output())
        };
        let (weighted, expected) = (run(&["--weights", "weights", INPUT]), run(&["repeated.npy"]));
        assert_eq!(weighted.centroids, expected.centroids);
        assert!((number(&weighted, "inertia") - number(&expected, "inertia")).abs() < 1e-6);
        assert_eq!(said(&weighted, "weight"), "300");
        assert_eq!(run(&["--weights", "weights", "--memory", "1", INPUT]), weighted);
    }
    for (column, said) in
        [("1\n2\n", "2 rows: fewer"), (&"1\n".repeat(201), "more rows"), ("x\n", "weights:1:"), ("-1\n", "weights:1:")]
    {
        folder.write("weights", column);
        let outcome = tool().run_on_input(&folder).args(["--weights", "weights"]).outcome();
        outcome.expect_refusal(1, &["weights", said]);
    }
}

#[test]
fn rows_without_a_vector_or_weight_are_left_out() {
    let all = groups(60, 4, 3);
    let mut holes = all.clone();
    holes.insert(10, vec![f32::NAN; 4]);
    holes.insert(61, vec![f32::NAN; 4]);
    let args = ["--centroids", "first.npy"];
    let run = |rows: &[Vec<f32>], more: &[&str]| {
        let folder = tool().folder_of(0, &array(rows));
        folder.write("first.npy", array(&all[..3]));
        folder.write("weights", "1\n".repeat(20) + "nan\n" + &"1\n".repeat(rows.len() - 21));
        tool().bare(&folder).args(args).args(more).args([INPUT]).outcome()
    };
    let (whole, with_holes) = (run(&all, &[]), run(&holes, &[]));
    let noted = ["", "kmeans-fit: left out 2 of 62 rows: they are missing\n"];
    assert_eq!([&whole.stderr, &with_holes.stderr], noted);
    let (expected, found) = (model(&whole.stdout), model(&with_holes.stdout));
    assert_eq!((&found.centroids, &found.sizes), (&expected.centroids, &expected.sizes));
    assert_eq!((said(&found, "rows"), said(&found, "rows_missing")), ("60", "2"));
    let weighted = model(&run(&holes, &["--weights", "weights"]).stdout);
    assert_eq!((said(&weighted, "rows"), said(&weighted, "rows_missing")), ("59", "3"));
    for bad in [vec![1.0, f32::NAN, 1.0, 1.0], vec![0.0; 4], vec![1.0, 1.0, f32::INFINITY, 1.0]] {
        holes[30] = bad;
        run(&holes, &[]).expect_refusal(1, &[&format!("{INPUT}: row 30: ")]);
        let skipped = run(&holes, &["--on-error", "skip"]);
        skipped.expect(0);
        let last = skipped.stderr.lines().last().unwrap_or_default();
        assert!(
            last.starts_with(&format!("kmeans-fit: skipped 1 bad of 62 rows; the first: {INPUT}: row 30: ")),
            "{last}"
        );
        assert_eq!(said(&model(&skipped.stdout), "rows_missing"), "3");
    }
    // Of the Euclidean metric zeros are a row like others.
    holes[30] = vec![0.0; 4];
    run(&holes, &["--metric", "euclidean"]).expect(0);
}

#[test]
fn fewer_rows_than_clusters_are_refused() {
    let all = rows(5);
    let first = ["--centroids", "first.npy"];
    for (count, args) in [
        (0, &["-k", "3"][..]),
        (2, &["-k", "3"]),
        (2, &["-k", "3", "--batch", "9"]),
        (2, &["-k", "3", "--init", "random"]),
        (2, &first),
    ] {
        let folder = tool().folder_of(0, &array(&all[..count]));
        folder.write("first.npy", array(&all[2..]));
        let outcome = tool().bare(&folder).args(args).args([INPUT]).outcome();
        outcome.expect_refusal(1, &["-k 3", &format!("{count} rows"), "expected at least as many"]);
    }
    tool().run(&Folder::new()).stdin(array(&[])).outcome().expect_refusal(1, &["-k 3", "0 rows"]);
    let missing = [all[0].clone(), vec![f32::NAN; 8], vec![f32::NAN; 8], all[1].clone()];
    tool().run_on_input(&tool().folder_of(0, &array(&missing))).outcome().expect_refusal(1, &["2 rows"]);
}

#[test]
fn fewer_different_rows_than_clusters_leave_clusters_empty() {
    let all: Vec<_> = rows(3).into_iter().cycle().take(300).collect();
    for init in ["k-means||", "k-means++"] {
        for metric in ["cosine", "euclidean"] {
            for empty in ["split", "farthest", "keep"] {
                let folder = tool().folder_of(0, &array(&all));
                let args = ["-k", "5", "--init", init, "--metric", metric, "--empty", empty];
                let outcome = tool().bare(&folder).args(args).args([INPUT, "--stats", "stats"]).outcome();
                outcome.expect(0);
                let model = model(&outcome.stdout);
                let mut sizes = model.sizes.clone().expect("sizes");
                sizes.sort_unstable();
                assert_eq!(sizes, [0, 0, 100, 100, 100], "{init} {metric} {empty}");
                assert!(number(&model, "inertia").abs() < 1e-9);
                assert_eq!(said(&model, "empties_left"), "2");
                assert!(outcome.stderr.contains("after the last iteration 2 stayed empty"), "{}", outcome.stderr);
                let stats: serde_json::Value = serde_json::from_str(&folder.text("stats")).expect("JSON");
                assert_eq!((&stats["empties_left"], &stats["sizes"]["min"]), (&2.into(), &0.into()));
            }
        }
    }
}

#[test]
fn empty_clusters_are_filled_as_asked() {
    // Ten rows near (8, 0), five near (0, 8), and two centroids far from all.
    let near = |x: f32, y: f32, i: usize| vec![x + i as f32 / 16.0, y - i as f32 / 32.0];
    let all: Vec<_> = (0..10).map(|i| near(8.0, 0.0, i)).chain((0..5).map(|i| near(0.0, 8.0, i))).collect();
    let first = vec![vec![8.0, 0.0], vec![0.0, 8.0], vec![-50.0, -50.0], vec![-60.0, -60.0]];
    let folder = tool().folder_of(0, &array(&all));
    folder.write("first.npy", array(&first));
    let run = |empty: &str, iters: &str| {
        let args = [
            "--centroids",
            "first.npy",
            "--metric",
            "euclidean",
            "--empty",
            empty,
            "--iters",
            iters,
            "--patience",
            "9",
        ];
        let outcome = tool().bare(&folder).args(args).args([INPUT]).outcome();
        outcome.expect(0);
        (model(&outcome.stdout), outcome.stderr)
    };
    let (kept, note) = run("keep", "1");
    assert_eq!((kept.centroids.row(2), &kept.sizes), (&[-50.0, -50.0][..], &Some(vec![10, 5, 0, 0])));
    assert!(note.contains("empty clusters: 0 times one was filled; after the last iteration 2 stayed empty"), "{note}");
    let (farthest, _) = run("farthest", "1");
    assert_eq!((farthest.centroids.row(2), farthest.centroids.row(3)), (&all[9][..], &all[14][..]));
    let (split, note) = run("split", "1");
    assert!(note.contains("empty clusters: 2 times one was filled; after the last iteration 0 stayed empty"), "{note}");
    // The ten are halved; then fives stand against fives, of which the lowest number is halved.
    let mean = |rows: &[Vec<f32>], i: usize| rows.iter().map(|row| f64::from(row[i])).sum::<f64>() / rows.len() as f64;
    let middle = |j: usize, i: usize| f64::from(split.centroids.row(j)[i]);
    let step = |j: usize| (middle(j, 0) - mean(&all[..10], 0), middle(j, 1) - mean(&all[..10], 1));
    assert!(step(2).0 < 0.0 && step(2).1 > 0.0, "the empty one goes down in even and up in odd coordinates");
    let radius = (all[..10].iter().map(|row| (row[0] - 8.0).powi(2) + row[1].powi(2)).sum::<f32>() / 10.0).sqrt();
    let expected = f64::from(radius) / 64.0 / 2f64.sqrt();
    assert!((step(2).0 + expected).abs() < 1e-6 && (step(2).1 - expected).abs() < 1e-6, "{:?} {expected}", step(2));
    assert_eq!(split.sizes.as_ref().map(|sizes| sizes.iter().sum::<u64>()), Some(15));
    let (all_used, _) = run("split", "20");
    assert!(all_used.sizes.as_ref().is_some_and(|sizes| !sizes.contains(&0)), "{:?}", all_used.sizes);
    belongs_together(&all_used, &all);
}

#[test]
fn directions_that_cancel_leave_their_centroid() {
    let all = vec![vec![1.0, 0.0], vec![-1.0, 0.0], vec![0.0, -1.0]];
    let folder = tool().folder_of(0, &array(&all));
    folder.write("first.npy", array(&[vec![0.0, 1.0], vec![0.0, -1.0]]));
    let outcome = tool().bare(&folder).args(["--centroids", "first.npy", "--iters", "1", INPUT]).outcome();
    outcome.expect(0);
    let model = model(&outcome.stdout);
    assert_eq!((model.centroids.row(0), said(&model, "collapsed")), (&[0.0, 1.0][..], "1"));
    assert!(outcome.stderr.contains("rows cancel: 1 times"), "{}", outcome.stderr);
}

#[test]
fn centroids_under_the_cosine_have_length_1() {
    let model = model(&fit(&groups(400, 7, 6), &["-k", "9"]));
    for j in 0..9 {
        let length: f64 = model.centroids.row(j).iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        assert!((length - 1.0).abs() < 1e-6, "{length}");
    }
}

#[test]
fn the_fit_ends_when_it_no_longer_pays() {
    let all = groups(500, 4, 30);
    let run = |args: &[&str]| model(&fit(&all, &[&["-k", "20", "--init", "random"], args].concat()));
    let inertias = |model: &Model| -> Vec<f64> {
        said(model, "inertias").split(' ').map(|number| number.parse().expect("a number")).collect()
    };
    let long = inertias(&run(&["--tol", "0", "--patience", "1000", "--iters", "60"]));
    assert_eq!(long.len(), 61);
    for (tol, patience) in [(0.0001, 1), (0.01, 1), (0.01, 3), (0.0, 2)] {
        let found = inertias(&run(&["--tol", &tol.to_string(), "--patience", &patience.to_string()]));
        let idle = |pair: &[f64]| pair[0] - pair[1] <= tol * pair[0];
        let ends = |&at: &usize| at >= patience && (at - patience..at).all(|i| idle(&long[i..i + 2]));
        let expected = (0..61).find(ends).expect("it ends");
        assert_eq!(found, long[..=expected], "{tol} {patience}");
    }
}

#[test]
fn the_best_run_is_written_whole() {
    let all = groups(300, 4, 25);
    let args = ["-k", "20", "--iters", "3", "--init", "random"];
    let best = model(&fit(&all, &[&args[..], &["--runs", "6"]].concat()));
    belongs_together(&best, &all);
    // Fewer runs are the first of these.
    let prefix = |runs: usize| model(&fit(&all, &[&args[..], &["--runs", &runs.to_string()]].concat()));
    let bests: Vec<_> = (2..=6).map(prefix).collect();
    let inertias: Vec<_> = bests.iter().map(|model| number(model, "inertia")).collect();
    assert!(inertias.windows(2).all(|pair| pair[1] <= pair[0]) && inertias[0] > inertias[4], "{inertias:?}");
    let run: usize = said(&best, "run").parse().expect("a number");
    assert!(run > 0 && inertias[run.max(1) - 1] == inertias[4], "run {run}: {inertias:?}");
}

#[test]
fn a_sample_is_a_fit_on_fewer_rows_and_says_so() {
    let all = groups(2000, 4, 5);
    let run = |share: &str| model(&fit(&all, &["-k", "5", "--sample", share]));
    let (fifth, half) = (run("0.2"), run("0.5"));
    assert_eq!((said(&fifth, "sample"), said(&half, "sample")), ("0.2", "0.5"));
    // 400 and 1000 rows, with standard deviations of 18 and 22.
    assert!((328.0..472.0).contains(&number(&fifth, "rows")) && (912.0..1088.0).contains(&number(&half, "rows")));
    let (whole, plain) = (run("1"), model(&fit(&all, &["-k", "5"])));
    assert_eq!((whole.centroids, whole.sizes), (plain.centroids, plain.sizes));
    assert!(!plain.metadata.contains_key("sample"));
}

#[test]
fn mini_batches_are_those_of_plain_loops() {
    let all = groups(250, 3, 4);
    let folder = tool().folder_of(0, &array(&all));
    folder.write("first.npy", array(&all[..4]));
    let args = ["--centroids", "first.npy", "--metric", "euclidean", "--batch", "100"];
    let model = model(&tool().bare(&folder).args(args).args([INPUT]).output());
    let mut centroids: Vec<Vec<f64>> = all[..4].iter().map(|row| row.iter().map(|&x| f64::from(x)).collect()).collect();
    let mut sums = vec![(0.0, vec![0.0; 3]); 4];
    for batch in all.chunks(100) {
        let near: Vec<usize> = batch
            .iter()
            .map(|row| {
                let square = |c: &[f64]| row.iter().zip(c).map(|(&x, c)| (f64::from(x) - c).powi(2)).sum::<f64>();
                (0..4)
                    .min_by(|&a, &b| square(&centroids[a]).total_cmp(&square(&centroids[b])))
                    .expect("there are centroids")
            })
            .collect();
        for (row, near) in batch.iter().zip(near) {
            sums[near].0 += 1.0;
            sums[near].1.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
        }
        for (centroid, (count, sum)) in centroids.iter_mut().zip(&sums) {
            *centroid = sum.iter().map(|sum| sum / count).collect();
        }
    }
    for (j, row) in centroids.iter().enumerate() {
        assert!(row.iter().zip(model.centroids.row(j)).all(|(a, &b)| (a - f64::from(b)).abs() < 1e-6), "{j}");
    }
    let sizes: Vec<u64> = sums.iter().map(|(count, _)| *count as u64).collect();
    assert_eq!((&model.sizes, said(&model, "batch")), (&Some(sizes), "100"));
}

#[test]
fn a_killed_fit_goes_on_to_the_same_bytes() {
    let all = groups(6000, 24, 60);
    for args in [
        &["-k", "50", "--iters", "40", "--tol", "0", "--patience", "99"][..],
        &[
            "-k",
            "50",
            "--iters",
            "12",
            "--tol",
            "0",
            "--patience",
            "99",
            "--runs",
            "3",
            "--init",
            "random",
            "--metric",
            "euclidean",
        ],
    ] {
        let folder = tool().folder_of(0, &array(&all));
        let expected = written(tool().bare(&folder).args(args).args([INPUT]));
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
            assert!(written(tool().bare(&folder).args(args).args(resume)) == expected, "{args:?} after {wait} ms");
            // Memory and threads may differ.
            let other = ["--resume", "--checkpoint", "checkpoint", "--memory", "1", "--threads", "1", INPUT];
            assert!(written(tool().bare(&folder).args(args).args(other)) == expected);
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
    let resume = ["--checkpoint", "checkpoint", "--resume"];
    // Where there is none yet, the fit begins.
    let expected = tool().run_on_input(&folder).args(resume).output();
    let checkpoint = folder.read("checkpoint");
    assert!(tool().run_on_input(&folder).args(resume).output() == expected);
    assert!(folder.read("checkpoint") == checkpoint);
    for args in [
        &["--seed", "1", INPUT][..],
        &["--iters", "7", INPUT],
        &["-k", "4", INPUT],
        &["--metric", "euclidean", INPUT],
        &["--init", "random", INPUT],
        &["--empty", "keep", INPUT],
        &["--sample", "0.5", INPUT],
        &["other.npy"],
        &["changed.npy"],
    ] {
        let outcome = tool().run(&folder).args(resume).args(args).outcome();
        outcome.expect_refusal(1, &["checkpoint: of another fit: it is of k=3"]);
    }
    folder.write("checkpoint", &folder.read("checkpoint")[..200]);
    tool().run_on_input(&folder).args(resume).outcome().expect(1);
    let model = tool().run_on_input(&folder).output();
    folder.write("model", model);
    let outcome = tool().run_on_input(&folder).args(["--checkpoint", "model", "--resume"]).outcome();
    outcome.expect_refusal(1, &["not a checkpoint of kmeans-fit"]);
    assert!(tool().run_on_input(&folder).args(["--checkpoint", "not/there"]).outcome().code == Some(1));
}

#[test]
fn a_gpu_gives_the_bytes_of_the_cpu_or_is_refused() {
    let folder = tool().folder_of(0, &array(&groups(3000, 40, 30)));
    for way in WAYS {
        let run = |device| tool().bare(&folder).args(way).args(["--device", device, INPUT]).outcome();
        let outcome = run("cuda");
        if outcome.code == Some(0) {
            assert!(outcome.stdout == run("cpu").stdout, "{way:?}");
        } else {
            // Never a quiet run on the CPU.
            assert!(std::env::var_os("REQUIRE_CUDA").is_none(), "REQUIRE_CUDA is set, and there is no GPU");
            outcome.expect_refusal(1, &["--device cuda: GPU", "--device cpu"]);
        }
    }
}

#[test]
fn what_does_not_go_together_is_refused() {
    let folder = tool().folder(20);
    folder.write("first.npy", array(&first(3)));
    folder.write("other.npy", array(&[vec![1.0; 5]]));
    for (args, code, said) in [
        (&[][..], 2, "--k or --centroids is needed"),
        (&["-k", "4", "--centroids", "first.npy"], 2, "--k does not go with --centroids"),
        (&["--centroids", "other.npy"], 1, "vectors of 8 values: expected 5, as other.npy has"),
        (&["--centroids", "first.npy", "--runs", "2"], 2, "--centroids does not go with --runs above 1"),
        (&["--centroids", "first.npy", "--init", "random"], 2, "--centroids does not go with --init"),
        (&["-k", "3", "--batch", "9", "--checkpoint", "c"], 2, "--batch does not go with --checkpoint"),
        (&["-k", "3", "--batch", "9", "--iters", "0"], 2, "--batch does not go with --iters 0"),
        (&["-k", "3", "--resume"], 2, "--resume needs --checkpoint"),
        (&["-k", "3", "--device", "cuda:0,4000000000"], 1, "--device cuda:0,4000000000: GPU"),
        (&["-k", "3", "--device", "cuda:1,1"], 2, "expected each GPU once"),
    ] {
        tool().bare(&folder).args(args).args([INPUT]).outcome().expect_refusal(code, &[said]);
    }
    folder.write("model", tool().run_on_input(&folder).args(["--metric", "euclidean"]).output());
    let outcome = tool().bare(&folder).args(["--centroids", "model", "--metric", "cosine", INPUT]).outcome();
    outcome.expect_refusal(1, &["model: the model's metric is euclidean"]);
    let model = model(&tool().bare(&folder).args(["--centroids", "model", INPUT]).output());
    assert_eq!((model.centroids.metric, said(&model, "init")), (Metric::Euclidean, "file"));
}

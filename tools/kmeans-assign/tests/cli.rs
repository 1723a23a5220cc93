//! `kmeans-assign` keeps the contract of all tools that read vectors, and finds the nearest centroids.

use contract::folder::Folder;
use contract::packed;
use contract::tool::{INPUT, Tool, lines};
use contract::vectors::{DIM, array, half_array, header, input, records, rows};

const K: usize = 5;

fn tool() -> Tool {
    Tool {
        name: "kmeans-assign",
        program: env!("CARGO_BIN_EXE_kmeans-assign"),
        source: env!("CARGO_MANIFEST_DIR"),
        args: &["--centroids", "centroids.npy"],
        side_files: &["--centroids"],
        wrong_values: &[
            ("--centroids", ""),
            ("--metric", "manhattan"),
            ("--nearest", "0"),
            ("--nearest", "x"),
            ("--nearest", "65537"),
            ("--headerless", "8"),
            ("--device", "gpu"),
        ],
        prepare: |folder, _| folder.write("centroids.npy", array(&centroids())),
        input,
    }
}

contract::holds!(tool: manual, files, vectors, skipped_vectors, vector_rows, streams);

/// Some vectors that are not among the rows.
fn centroids() -> Vec<Vec<f32>> {
    rows(100).into_iter().rev().take(K).map(|row| row.into_iter().rev().collect()).collect()
}

/// The pairs of each row.
fn pairs(output: &[u8]) -> Vec<Vec<(i64, f64)>> {
    let number = |field: &&[u8]| str::from_utf8(field).expect("text").parse::<f64>().expect("a number");
    let row = |line: &[u8]| {
        let numbers: Vec<_> = line.split(|&byte| byte == b'\t').map(|field| number(&field)).collect();
        numbers.chunks(2).map(|pair| (pair[0] as i64, pair[1])).collect()
    };
    lines(output).into_iter().map(row).collect()
}

/// All distances in plain loops.
fn distances(row: &[f32], centroids: &[Vec<f32>], metric: &str) -> Vec<f64> {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    let distance = |c: &Vec<f32>| match metric {
        "cosine" => 1.0 - dot(row, c) / (dot(row, row) * dot(c, c)).sqrt(),
        _ => row.iter().zip(c).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum::<f64>().sqrt(),
    };
    centroids.iter().map(distance).collect()
}

/// Numbers of all sizes, by a linear congruence.
fn random(count: usize, dim: usize, seed: u64) -> Vec<Vec<f32>> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count)
        .map(|_| {
            let scale = 2f32.powi((next() * 10.0) as i32);
            (0..dim).map(|_| next() * scale).collect()
        })
        .collect()
}

#[test]
fn the_nearest_centroids_are_those_of_plain_loops() {
    for (dim, k, seed) in [(1, 3, 1), (2, 1, 2), (3, 40, 3), (31, 33, 4), (384, 17, 5), (1000, 5, 6)] {
        let (rows, centroids) = (random(500, dim, seed), random(k, dim, seed + 100));
        let folder = Folder::new();
        folder.write(INPUT, array(&rows));
        folder.write("centroids.npy", array(&centroids));
        for metric in ["cosine", "euclidean"] {
            let run =
                |args: &[&str]| pairs(&tool().run_on_input(&folder).args(["--metric", metric]).args(args).output());
            let (nearest, several) = (run(&[]), run(&["--nearest", "4"]));
            for ((row, found), several) in rows.iter().zip(&nearest).zip(&several) {
                let distances = distances(row, &centroids, metric);
                let mut order: Vec<_> = (0..k).collect();
                order.sort_by(|&a, &b| distances[a].total_cmp(&distances[b]));
                assert_eq!(several.len(), 4);
                assert_eq!(found[..], several[..1]);
                for (place, &(cluster, distance)) in several.iter().enumerate() {
                    let Some(&expected) = order.get(place) else {
                        assert!(cluster == -1 && distance.is_nan());
                        continue;
                    };
                    // Where two are as near as 64-bit floats can tell, either order is right here.
                    let (own, best) = (distances[cluster as usize], distances[expected]);
                    assert!((own - best).abs() <= 1e-12 * best.max(1.0), "{metric} {dim} {cluster} {expected}");
                    assert!((distance - own).abs() <= 2e-7 * own.max(1.0), "{metric} {dim}: {distance} {own}");
                }
            }
        }
    }
}

#[test]
fn a_similarity_is_one_minus_the_distance() {
    let folder = tool().folder(300);
    let (near, alike) = (tool().run_on_input(&folder), tool().run_on_input(&folder).args(["--similarity"]));
    for (near, alike) in pairs(&near.output()).iter().zip(pairs(&alike.output())) {
        assert_eq!(near[0].0, alike[0].0);
        assert!((near[0].1 + alike[0].1 - 1.0).abs() < 1e-6);
    }
    let euclidean = ["--similarity", "--metric", "euclidean"];
    let said = "--similarity does not go with --metric euclidean";
    tool().run_on_input(&folder).args(euclidean).outcome().expect_refusal(2, &[said]);
    folder.write("centroids.npy", safetensors(r#"{"metric":"euclidean"}"#, "F32", "[5,8]", &records(&centroids())));
    let model = tool().run_on_input(&folder).args(["--similarity"]).outcome();
    model.expect_refusal(1, &["centroids.npy: --similarity is the cosine's"]);
}

/// A safetensors file with a tensor of that type, written by hand.
fn safetensors(metadata: &str, dtype: &str, shape: &str, bytes: &[u8]) -> Vec<u8> {
    let tensor = format!(r#"{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,{}]}}"#, bytes.len());
    let header = format!(r#"{{"__metadata__":{metadata},"centroids":{tensor}}}"#);
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), bytes].concat()
}

#[test]
fn centroids_come_in_any_form() {
    let (folder, expected) = (tool().folder(300), tool().output(300));
    let values = records(&centroids());
    let wide: Vec<u8> = centroids().iter().flatten().flat_map(|&value| f64::from(value).to_le_bytes()).collect();
    let model = safetensors(r#"{"metric":"cosine","tool":"x"}"#, "F32", "[5,8]", &values);
    let unsaid = safetensors("{}", "F32", "[5,8]", &values);
    for (form, bytes) in [
        ("f8", [header("<f8", "False", "(5, 8)"), wide].concat()),
        ("f2", half_array(&centroids())),
        ("a model", model.clone()),
        ("no metric", unsaid),
        ("packed", packed::zstd(&model)),
    ] {
        folder.write("centroids.npy", bytes);
        assert!(tool().run_on_input(&folder).output() == expected, "{form}");
    }
    let piped = tool().bare(&folder).args(["--centroids", "-", INPUT]).stdin(model);
    assert!(piped.output() == expected);
}

#[test]
fn centroids_that_do_not_fit_are_refused() {
    let folder = tool().folder(9);
    let values = records(&centroids());
    let zero = [&values[..64], &[0; 32], &values[96..]].concat();
    let nan = [&values[..64], &f32::NAN.to_le_bytes(), &values[68..]].concat();
    let npy = |descr, order, shape, values: &[u8]| [&header(descr, order, shape), values].concat();
    let five = array(&[vec![1.0; 5]]);
    for (bytes, args, said) in [
        (five, &[][..], "docs.jsonl: vectors of 8 values: expected 5, as centroids.npy has"),
        (npy("<f4", "False", "(5, 8)", &zero), &[], "centroids.npy: centroid 2: all values are 0"),
        (npy("<f4", "False", "(5, 8)", &nan), &["--metric", "euclidean"], "centroid 2: value 0 is NaN"),
        (npy("<f4", "True", "(5, 8)", &values), &[], "centroids.npy: Fortran order"),
        (npy("<i4", "False", "(5, 8)", &values), &[], "type \"<i4\": expected little-endian floats"),
        (npy("<f4", "False", "(40,)", &values), &[], "shape [40]: expected two dimensions"),
        (npy("<f4", "False", "(0, 8)", &[]), &[], "shape [0, 8]: expected 1 to"),
        (npy("<f4", "False", "(6, 8)", &values), &[], "shape [6, 8]"),
        (npy("<f4", "False", "(4, 8)", &values), &[], "shape [4, 8]"),
        (npy("<f4", "False", "(4611686018427387904, 8)", &values), &[], "shape [4611686018427387904, 8]"),
        (b"text".to_vec(), &[], "centroids.npy: not safetensors"),
        (safetensors("{}", "I32", "[5,8]", &values), &[], "type I32 cannot be read"),
        (safetensors("{}", "F32", "[40]", &values), &[], "tensor \"centroids\": shape [40]"),
        (safetensors("{}", "F32", "[5,8]", &zero), &[], "tensor \"centroids\": centroid 2: all values are 0"),
        (
            safetensors(r#"{"metric":"angle"}"#, "F32", "[5,8]", &values),
            &[],
            "metric \"angle\": expected cosine or euclidean",
        ),
        (
            safetensors(r#"{"metric":"cosine"}"#, "F32", "[5,8]", &values),
            &["--metric", "euclidean"],
            "centroids.npy: the model's metric is cosine, --metric euclidean was asked for",
        ),
    ] {
        folder.write("centroids.npy", bytes);
        tool().run_on_input(&folder).args(args).outcome().expect_refusal(1, &[said]);
    }
}

#[test]
fn zero_has_no_direction_but_a_place() {
    let mut some = rows(9);
    some[4].fill(0.0);
    let folder = tool().folder_of(9, &array(&some));
    let refused = tool().run_on_input(&folder).outcome();
    refused.expect(1);
    assert!(refused.stderr.ends_with("docs.jsonl: row 4: all values are 0, which has no direction and so no cosine\n"));
    assert_eq!(lines(&refused.stdout).len(), 4, "the rows before it");
    tool().run_on_input(&folder).args(["--metric", "euclidean"]).output();
    let skipped = tool().run_on_input(&folder).args(["--on-error", "skip"]).outcome();
    assert_eq!(lines(&skipped.stdout)[4], b"-1\tnan");
}

#[test]
fn a_missing_row_has_no_cluster() {
    let mut some = rows(3);
    some[1].fill(f32::NAN);
    let folder = tool().folder_of(3, &array(&some));
    assert_eq!(lines(&tool().run_on_input(&folder).output())[1], b"-1\tnan");
    let most = tool().run_on_input(&folder).args(["--nearest", "65536"]).output();
    assert_eq!(pairs(&most).iter().map(Vec::len).collect::<Vec<_>>(), [65536; 3]);
    let top = tool().run_on_input(&folder).args(["--nearest", "2", "--stats", "stats"]).output();
    assert_eq!(lines(&top)[1], b"-1\tnan\t-1\tnan");
    let stats: serde_json::Value = serde_json::from_slice(&folder.read("stats")).expect("JSON");
    assert_eq!((&stats["rows"], &stats["rows_missing"], &stats["bad_rows"]), (&3.into(), &1.into(), &0.into()));
}

#[test]
fn statistics_tell_inertia_and_mean_distance() {
    let folder = tool().folder(300);
    for metric in ["cosine", "euclidean"] {
        let args = ["--metric", metric, "--stats", "stats"];
        let found = pairs(&tool().run_on_input(&folder).args(args).output());
        let stats: serde_json::Value = serde_json::from_slice(&folder.read("stats")).expect("JSON");
        let power = if metric == "cosine" { 1 } else { 2 };
        let inertia: f64 = found.iter().map(|row| row[0].1.powi(power)).sum();
        let mean = found.iter().map(|row| row[0].1).sum::<f64>() / 300.0;
        let close = |name: &str, to: f64| (stats[name].as_f64().expect("a number") / to - 1.0).abs() < 1e-6;
        assert!(close("inertia", inertia) && close("mean_distance", mean), "{stats}");
        assert_eq!((&stats["k"], &stats["dim"], &stats["metric"]), (&K.into(), &DIM.into(), &metric.into()));
        assert!(stats["reranked_share"].as_f64().is_some_and(|share| (0.0..=1.0).contains(&share)));
    }
}

#[test]
fn a_gpu_gives_the_bytes_of_the_cpu_or_is_refused() {
    let folder = tool().folder(300);
    for args in [&[][..], &["--metric", "euclidean"], &["--nearest", "3"]] {
        let outcome = tool().run_on_input(&folder).args(args).args(["--device", "cuda"]).outcome();
        if outcome.code == Some(0) {
            assert!(outcome.stdout == tool().run_on_input(&folder).args(args).output(), "{args:?}");
        } else {
            // Never a quiet run on the CPU.
            assert!(std::env::var_os("REQUIRE_CUDA").is_none(), "REQUIRE_CUDA is set, and there is no GPU");
            outcome.expect_refusal(1, &["--device cuda: GPU", "--device cpu"]);
        }
    }
}

#[test]
fn what_cannot_be_asked_is_refused() {
    let folder = tool().folder(9);
    tool().bare(&folder).waiting().outcome().expect_refusal(2, &["--centroids is needed"]);
    let device = tool().run(&folder).args(["--device", "cuda:4000000000"]).waiting().outcome();
    device.expect_refusal(1, &["--device cuda:4000000000: GPU"]);
    let twice = tool().bare(&folder).args(["--centroids", "-"]).waiting().outcome();
    twice.expect_refusal(2, &["standard input"]);
}

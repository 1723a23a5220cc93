//! `--device cuda` beside a stand-in for the driver that runs the kernels in emulation: the bytes are those of the CPU,
//! and what goes wrong on a GPU ends the run with the reason.

use contract::driver::{OnGpus, said};
use contract::vectors::{DIM, array, rows};

fn setup() -> Option<OnGpus> {
    let setup = OnGpus::new(env!("CARGO_BIN_EXE_kmeans-sum"), "--centroids centroids.npy vectors.npy")?;
    setup.folder.write("vectors.npy", array(&rows(400)));
    setup.folder.write("centroids.npy", array(&rows(600).split_off(560)));
    Some(setup)
}

/// Several blocks of several pieces, with rows of every kind that is bad or missing.
fn agree_by(metric: &str) {
    let Some(setup) = setup() else { return };
    let mut all = rows(17_000);
    all[5] = vec![f32::NAN; DIM];
    all[9000][3] = f32::INFINITY;
    all[16_500] = vec![0.0; DIM];
    all[16_801][0] = 1e30;
    setup.folder.write("vectors.npy", array(&all));
    let weights = |i: usize| if i.is_multiple_of(7) { "nan\n".to_string() } else { format!("{}\n", i % 5) };
    setup.folder.write("weights", (0..all.len()).map(weights).collect::<String>());
    for weights in ["", "--weights weights"] {
        let args = format!("--metric {metric} {weights}");
        // Refused is what the CPU refuses, with the same words.
        let refused = setup.agree(&args, &["cuda"]);
        assert!(refused.status.code() == Some(1) && refused.stdout.is_empty(), "{}", said(&refused));
        assert!(said(&refused).contains("row 9000"), "{}", said(&refused));
        let skipped = setup.agree(&format!("{args} --on-error skip"), &["cuda:1,0"]);
        assert!(skipped.status.code() == Some(0) && said(&skipped).contains("2 bad"), "{}", said(&skipped));
    }
    let launched = setup.kernels(&format!("--metric {metric} --device cuda:0,1 --on-error skip"));
    assert!(launched.contains("0\tkmeans_sums_add_i64") && launched.contains("1\tkmeans_sums_add_i64"), "{launched}");
}

#[test]
fn sums_of_gpus_are_those_of_the_cpu_by_cosines() {
    agree_by("cosine");
}

#[test]
fn sums_of_gpus_are_those_of_the_cpu_by_distances() {
    agree_by("euclidean");
}

#[test]
fn sums_beyond_64_bits_are_refused() {
    let Some(setup) = setup() else { return };
    setup.folder.write("weights", "549755813888\n".repeat(400));
    let refused = setup.agree("--weights weights", &["cuda"]);
    assert_eq!((refused.status.code(), refused.stdout.len()), (Some(1), 0), "{}", said(&refused));
}

#[test]
fn short_memory_means_fewer_rows_at_a_time() {
    let Some(setup) = setup() else { return };
    // Enough for one tile of rows, centroids and sums on one thread, not for 400 rows.
    let enough = 128 * (DIM * 4 + 64 + 36 + 64) + 128 * (64 + 16 + DIM * 4) + 60_000 + 40 * (8 * DIM + 72);
    let expected = setup.run("", &[]);
    let args = "--device cuda --threads 1 --stats stats";
    let gpu = setup.run(args, &[("EMULATE_MEMORY", &enough.to_string())]);
    assert_eq!((gpu.status.code(), said(&gpu)), (Some(0), String::new()));
    assert!(gpu.stdout == expected.stdout);
    let rows = setup.stats()["gpu_rows_max"].as_u64().unwrap();
    assert!((100..300).contains(&rows), "{rows}");
}

#[test]
fn a_gpu_that_is_lost_ends_the_run() {
    let Some(setup) = setup() else { return };
    setup.refuses("--device cuda:1,0", &[("EMULATE_LOST", "1"), ("EMULATE_GPUS", "2")], &["GPU 1: "]);
}

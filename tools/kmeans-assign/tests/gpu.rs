//! `--device cuda` beside a stand-in for the driver that runs the kernels in emulation: the bytes are those of the CPU,
//! and what goes wrong on a GPU ends the run with the reason.

use contract::driver::{OnGpus, said};
use contract::vectors::{DIM, array, rows};

fn setup() -> Option<OnGpus> {
    let setup = OnGpus::new(env!("CARGO_BIN_EXE_kmeans-assign"), "--centroids centroids.npy vectors.npy")?;
    setup.folder.write("vectors.npy", array(&rows(400)));
    setup.folder.write("centroids.npy", array(&rows(600).split_off(560)));
    Some(setup)
}

#[test]
fn gpus_give_the_bytes_of_the_cpu() {
    let Some(setup) = setup() else { return };
    for args in ["", "--metric euclidean", "--nearest 3", "--similarity --threads 1"] {
        assert_eq!(setup.agree(args, &["cuda", "cuda:2,0", "cuda:0,1,2"]).status.code(), Some(0));
    }
    setup.run("--device cuda:1,0 --stats stats", &[]);
    assert_eq!(setup.stats()["device"], "Emulated GPU, Emulated GPU");
}

/// Several blocks of several pieces, with rows of every kind that is bad or missing.
#[test]
fn columns_of_many_blocks_are_in_order() {
    let Some(setup) = setup() else { return };
    let mut all = rows(40_000);
    all[5] = vec![f32::NAN; DIM];
    all[19_000][3] = f32::INFINITY;
    all[36_500] = vec![0.0; DIM];
    setup.folder.write("vectors.npy", array(&all));
    let refused = setup.agree("", &["cuda"]);
    assert!(refused.status.code() == Some(1) && said(&refused).contains("row 19000"), "{}", said(&refused));
    let skipped = setup.agree("--on-error skip", &["cuda:1,0"]);
    assert!(skipped.status.code() == Some(0) && said(&skipped).contains("2 bad"), "{}", said(&skipped));
}

#[test]
fn short_memory_means_fewer_rows_at_a_time() {
    let Some(setup) = setup() else { return };
    // Enough for one tile of rows and centroids on one thread, not for 400 rows.
    let enough = (128 * (DIM * 4 + 64 + 36 + 64) + 128 * (64 + 16 + DIM * 4) + 60_000).to_string();
    for args in ["", "--metric euclidean", "--nearest 3"] {
        let expected = setup.run(args, &[]);
        let args = format!("{args} --device cuda --threads 1 --stats stats");
        let gpu = setup.run(&args, &[("EMULATE_MEMORY", &enough)]);
        assert_eq!((gpu.status.code(), said(&gpu)), (Some(0), String::new()), "{args}");
        assert!(gpu.stdout == expected.stdout, "{args}");
        let rows = setup.stats()["gpu_rows_max"].as_u64().unwrap();
        assert!((100..300).contains(&rows), "{args}: {rows}");
    }
    setup.refuses("--device cuda", &[("EMULATE_MEMORY", "20000")], &["out of memory"]);
}

#[test]
fn a_gpu_that_is_old_or_lost_or_not_there_ends_the_run() {
    let Some(setup) = setup() else { return };
    for (variable, reason) in
        [("EMULATE_OLD", "GPU 1: Emulated GPU has compute capability 7.0, expected 8.0"), ("EMULATE_LOST", "GPU 1: ")]
    {
        for args in ["--device cuda:1", "--device cuda:1,0 --nearest 2"] {
            setup.refuses(args, &[(variable, "1"), ("EMULATE_GPUS", "2")], &[reason]);
        }
    }
    for (device, count, reason) in [
        ("cuda:7", "2", "GPU 7: there is none; the driver shows 2, numbered from 0"),
        ("cuda:0,2", "2", "GPU 2: there is none"),
        ("cuda", "0", "the driver shows none"),
    ] {
        let asked = format!("--device {device}: ");
        setup.refuses(&format!("--device {device}"), &[("EMULATE_GPUS", count)], &[&asked, reason]);
    }
}

//! `--device cuda` beside a stand-in for the driver that runs the kernels in emulation: the bytes are those of the CPU,
//! and what goes wrong on a GPU ends the run with the reason.

use contract::corpus::Numbers;
use contract::driver::{OnGpus, said};
use contract::vectors::array;

const DIM: usize = 12;

/// A folder with so many vectors.
fn setup(rows: usize) -> Option<OnGpus> {
    let setup = OnGpus::new(env!("CARGO_BIN_EXE_kmeans-fit"), "")?;
    setup.folder.write("vectors.npy", array(&vectors(rows)));
    Some(setup)
}

/// In groups, with some of each kind that is hard: equal to others, far out, missing.
fn vectors(count: usize) -> Vec<Vec<f32>> {
    let mut numbers = Numbers(11);
    let mut all: Vec<Vec<f32>> = Vec::new();
    for i in 0..count {
        let group = numbers.below(9) as f32;
        let row = match i % 11 {
            3 if i > 20 => all[i - 17].clone(),
            5 => vec![f32::NAN; DIM],
            7 => (0..DIM).map(|_| 1000.0 * (numbers.below(513) as f32 - 256.0)).collect(),
            _ => (0..DIM).map(|j| group * (j % 3) as f32 - 8.0 + numbers.below(1000) as f32 / 256.0).collect(),
        };
        all.push(row);
    }
    all
}

/// Ways to fit.
const WAYS: [&str; 9] = [
    "-k 12 vectors.npy",
    "-k 12 --metric euclidean --init k-means++ vectors.npy",
    "-k 9 --init k-means++ --iters 3 --weights weights vectors.npy",
    "-k 12 --init random --empty farthest --iters 4 --metric euclidean vectors.npy",
    "-k 40 --init random --empty keep --iters 2 vectors.npy",
    "-k 12 --batch 200 vectors.npy",
    "-k 12 --batch 333 --iters 2 --metric euclidean --weights weights vectors.npy",
    "-k 7 --sample 0.4 --seed 5 --runs 2 --iters 2 vectors.npy",
    "--centroids first.npy --iters 3 --memory 1 vectors.npy",
];

/// Rows and weights for [`WAYS`].
fn setup_of_ways() -> Option<OnGpus> {
    let setup = setup(900)?;
    setup.folder.write("first.npy", array(&vectors(3)));
    let weight = |i: u64| if i.is_multiple_of(13) { "nan\n".to_string() } else { format!("{}\n", i * 37 % 5) };
    setup.folder.write("weights", (0..900).map(weight).collect::<String>());
    Some(setup)
}

#[test]
fn gpus_give_the_bytes_of_the_cpu() {
    let Some(setup) = setup_of_ways() else { return };
    for (way, device) in WAYS.into_iter().zip(["cuda", "cuda:1,0", "cuda:2", "cuda:0,1,2"].into_iter().cycle()) {
        setup.agree(way, &[device]);
    }
}

#[test]
fn one_thread_gives_two_gpus_the_bytes_of_the_cpu() {
    let Some(setup) = setup_of_ways() else { return };
    for way in WAYS {
        setup.agree(&format!("{way} --threads 1"), &["cuda:0,2"]);
    }
}

#[test]
fn rows_of_any_number_go_through_little_memory() {
    let Some(setup) = setup(3000) else { return };
    // Of 128 rows pieces take 128 * (DIM * 4 + 64 + 100) = 27,000 bytes, two for each thread; k-means++ wants 72 for
    // each of 2,700 rows at once.
    let names = setup.folder.path().join("names");
    for way in ["-k 5 --iters 2", "-k 9 --init k-means++ --iters 1", "-k 5 --batch 400"] {
        let expected = setup.run(&format!("{way} vectors.npy"), &[]);
        for threads in [1, 4] {
            let args = format!("{way} --device cuda --threads {threads} --stats stats vectors.npy");
            let found = setup.run(&args, &[("EMULATE_MEMORY", "150000"), ("EMULATE_NAMES", names.to_str().unwrap())]);
            assert_eq!((found.status.code(), said(&found)), (Some(0), said(&expected)), "{way}, {threads}");
            assert!(found.stdout == expected.stdout, "{way}, {threads}");
            let rows = setup.stats()["gpu_rows_max"].as_u64().unwrap();
            assert!((128..3000).contains(&rows), "{way}, {threads}: {rows}");
        }
    }
    // They came again in each pass of k-means++.
    assert!(setup.folder.text("names").matches("kmeans_seed_norms_f64").count() > 10);
    setup.refuses("-k 5 --device cuda vectors.npy", &[("EMULATE_MEMORY", "30000")], &["out of memory"]);
}

/// What may be asked for and is not done on the GPU would be a quiet run on the CPU.
#[test]
fn every_pass_is_on_the_gpus_that_were_asked_for() {
    let Some(setup) = setup(2000) else { return };
    for (way, kernels) in [
        ("-k 6 --iters 2", &["kmeans_propose_f16", "kmeans_sums_add_i64"][..]),
        (
            "-k 6 --iters 1 --init k-means++",
            &["kmeans_seed_nearer_f64", "kmeans_seed_masses_i128", "kmeans_sums_add_i64"],
        ),
        ("-k 6 --batch 300", &["kmeans_propose_f16", "kmeans_sums_add_i64"]),
    ] {
        let names = setup.kernels(&format!("{way} --device cuda:0,2 --stats stats --memory 1 vectors.npy"));
        // Few rows may all go to one of the two.
        for kernel in kernels {
            assert!(names.contains(&format!("\t{kernel}\n")), "{way}: {kernel}");
        }
        assert!(!names.contains("1\tkmeans"), "{way}");
        assert_eq!(setup.stats()["device"], "Emulated GPU, Emulated GPU");
    }
}

#[test]
fn rows_too_far_out_are_named() {
    let Some(setup) = setup(0) else { return };
    let mut all = vectors(1000);
    all[990] = vec![1e30; DIM];
    setup.folder.write("vectors.npy", array(&all));
    setup.folder.write("first.npy", array(&vectors(3)));
    for way in [
        "--centroids first.npy --metric euclidean vectors.npy",
        "--centroids first.npy --metric euclidean --batch 200 vectors.npy",
    ] {
        let refused = said(&setup.agree(way, &["cuda:0,1"]));
        assert!(refused.contains("row 990"), "{way}: {refused}");
    }
}

#[test]
fn pipes_and_checkpoints_do_as_on_the_cpu() {
    let Some(setup) = setup(900) else { return };
    let expected = setup.run("-k 6 --iters 5 --tol 0 vectors.npy", &[]).stdout;
    for device in ["cpu", "cuda"] {
        // Interrupted on one device, and continued on another.
        let args = "-k 6 --iters 5 --tol 0 --checkpoint check vectors.npy";
        setup.run(&format!("{args} --device cuda"), &[]);
        let resumed = setup.run(&format!("{args} --resume --device {device}"), &[]);
        assert!(resumed.stdout == expected, "{device}: {}", said(&resumed));
    }
    let piped = setup.piped("-k 6 --iters 5 --tol 0 --memory 1 --device cuda", "vectors.npy");
    assert!(piped.stdout == expected, "{}", said(&piped));
}

#[test]
fn a_gpu_that_is_old_or_lost_or_not_there_ends_the_run() {
    let Some(setup) = setup(1500) else { return };
    for (variable, reason) in
        [("EMULATE_OLD", "GPU 1: Emulated GPU has compute capability 7.0, expected 8.0"), ("EMULATE_LOST", "GPU 1: ")]
    {
        for way in ["--device cuda:1", "--device cuda:1 --init k-means++", "--device cuda:1 --batch 100"] {
            setup.refuses(&format!("-k 5 {way} vectors.npy"), &[(variable, "1")], &[reason]);
        }
    }
    let reason = "--device cuda:7: GPU 7: there is none; the driver shows 3";
    setup.refuses("-k 5 --device cuda:7 vectors.npy", &[], &[reason]);
}

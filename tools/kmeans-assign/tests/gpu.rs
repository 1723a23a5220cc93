//! `--device cuda` beside a stand-in for the driver that runs the kernels in emulation: the bytes are those of the CPU,
//! and what goes wrong on a GPU ends the run with the reason.

use contract::driver::driver;
use contract::folder::Folder;
use contract::vectors::{DIM, array, rows};
use std::process::{Command, Output};
use std::sync::Arc;

/// A folder with vectors and centroids, and the driver.
struct Setup {
    driver: Arc<Folder>,
    folder: Folder,
}

/// Exit code, output, messages, sums.
type Outcome = (Option<i32>, Vec<u8>, String, Option<Vec<u8>>);

impl Setup {
    fn new() -> Option<Setup> {
        let setup = Setup { driver: driver()?, folder: Folder::new() };
        setup.folder.write("vectors.npy", array(&rows(400)));
        setup.folder.write("centroids.npy", array(&rows(600).split_off(560)));
        Some(setup)
    }

    fn run(&self, args: &str, environment: &[(&str, &str)]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kmeans-assign"));
        command.args(["--centroids", "centroids.npy"]).args(args.split_whitespace()).arg("vectors.npy");
        command.current_dir(self.folder.path()).env("LD_LIBRARY_PATH", self.driver.path());
        command.envs(environment.iter().copied()).output().unwrap()
    }

    fn outcome(&self, args: &str, device: &str) -> Outcome {
        let output = self.run(&format!("{args} --device {device}"), &[("EMULATE_GPUS", "3")]);
        let sums = self.folder.has("sums").then(|| self.folder.read("sums"));
        let _ = std::fs::remove_file(self.folder.path().join("sums"));
        let said = said(&output);
        (output.status.code(), output.stdout, said, sums)
    }

    /// GPUs do what the CPU does; gives that.
    fn agree(&self, args: &str, devices: &[&str]) -> Outcome {
        let expected = self.outcome(args, "cpu");
        for device in devices {
            let found = self.outcome(args, device);
            assert!(found == expected, "{args}, {device}: {:?}, {}", found.0, found.2);
        }
        expected
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn gpus_give_the_bytes_of_the_cpu() {
    let Some(setup) = Setup::new() else { return };
    for args in ["", "--metric euclidean", "--top 3", "--similarity --threads 1"] {
        assert_eq!(setup.agree(args, &["cuda", "cuda:2,0", "cuda:0,1,2"]).0, Some(0));
    }
    assert_eq!(setup.agree("--metric euclidean --similarity", &["cuda"]).0, Some(1));
    setup.run("--device cuda:1,0 --stats stats", &[("EMULATE_GPUS", "2")]);
    assert!(setup.folder.text("stats").contains(r#""device":"Emulated GPU, Emulated GPU""#));
}

#[test]
fn sums_of_gpus_are_those_of_the_cpu() {
    let Some(setup) = Setup::new() else { return };
    let mut all = rows(17_000);
    all[5] = vec![f32::NAN; DIM];
    all[9000][3] = f32::INFINITY;
    all[16_500] = vec![0.0; DIM];
    all[16_801][0] = 1e30;
    setup.folder.write("vectors.npy", array(&all));
    let weights = |i: usize| if i.is_multiple_of(7) { "nan\n".to_string() } else { format!("{}\n", i % 5) };
    setup.folder.write("weights", (0..all.len()).map(weights).collect::<String>());
    for metric in ["cosine", "euclidean"] {
        for weights in ["", "--weights weights"] {
            let args = format!("--metric {metric} {weights} --sums sums");
            // Refused is what the CPU refuses, with the same words.
            let (code, _, said, sums) = setup.agree(&args, &["cuda"]);
            assert!(code == Some(1) && sums.is_none() && said.contains("row 9000"), "{said}");
            let (code, _, said, sums) = setup.agree(&format!("{args} --on-error skip"), &["cuda:1,0"]);
            assert!(code == Some(0) && sums.is_some() && said.contains("2 bad"), "{said}");
        }
    }
    // On both.
    let names = setup.folder.path().join("names");
    let environment = [("EMULATE_GPUS", "2"), ("EMULATE_NAMES", names.to_str().unwrap())];
    setup.run("--device cuda:0,1 --sums sums --on-error skip", &environment);
    let names = setup.folder.text("names");
    assert!(names.contains("0\tkmeans_sums_add_i64") && names.contains("1\tkmeans_sums_add_i64"), "{names}");
}

#[test]
fn sums_beyond_64_bits_are_refused() {
    let Some(setup) = Setup::new() else { return };
    setup.folder.write("weights", "549755813888\n".repeat(400));
    let gpu = setup.run("--device cuda --sums sums --weights weights", &[]);
    assert_eq!((gpu.status.code(), setup.folder.has("sums")), (Some(1), false), "{}", said(&gpu));
    assert_eq!(setup.run("--sums sums --weights weights", &[]).status.code(), Some(1));
}

#[test]
fn short_memory_means_fewer_rows_at_a_time() {
    let Some(setup) = Setup::new() else { return };
    // Enough for one tile of rows and centroids on one thread, not for 400 rows; with sums, for those, too.
    let enough = 128 * (DIM * 4 + 64 + 36 + 64) + 128 * (64 + 16 + DIM * 4) + 60_000;
    for (args, more) in [("", 0), ("--sums sums", 40 * (8 * DIM + 72)), ("--metric euclidean", 0), ("--top 3", 0)] {
        let expected = setup.outcome(args, "cpu");
        let args = format!("{args} --device cuda --threads 1 --stats stats");
        let gpu = setup.run(&args, &[("EMULATE_MEMORY", &(enough + more).to_string())]);
        assert_eq!((gpu.status.code(), gpu.stdout), (Some(0), expected.1), "{args}");
        assert!(expected.3.is_none_or(|sums| sums == setup.folder.read("sums")));
        let _ = std::fs::remove_file(setup.folder.path().join("sums"));
        let stats = setup.folder.text("stats");
        let rows = stats.split(r#""gpu_rows_max":"#).nth(1).and_then(|rest| rest.split(',').next()).unwrap();
        assert!((100..300).contains(&rows.parse().unwrap()), "{stats}");
    }
    let gpu = setup.run("--device cuda", &[("EMULATE_MEMORY", "20000")]);
    assert_eq!(gpu.status.code(), Some(1));
    assert!(said(&gpu).contains("out of memory") && said(&gpu).contains("--device cpu"), "{}", said(&gpu));
}

#[test]
fn a_gpu_that_is_old_or_lost_or_not_there_ends_the_run() {
    let Some(setup) = Setup::new() else { return };
    for (variable, reason) in
        [("EMULATE_OLD", "GPU 1: Emulated GPU has compute capability 7.0, expected 8.0"), ("EMULATE_LOST", "GPU 1: ")]
    {
        for args in ["--device cuda:1", "--device cuda:1,0 --top 2", "--device cuda:1,0 --sums sums"] {
            let gpu = setup.run(args, &[(variable, "1"), ("EMULATE_GPUS", "2")]);
            assert_eq!((gpu.status.code(), gpu.stdout.len()), (Some(1), 0), "{args}: {}", said(&gpu));
            assert!(said(&gpu).contains(reason) && said(&gpu).contains("--device cpu"), "{}", said(&gpu));
            assert!(!setup.folder.has("sums"));
        }
    }
    for (device, count, reason) in [
        ("cuda:7", "2", "GPU 7: there is none; the driver shows 2, numbered from 0"),
        ("cuda:0,2", "2", "GPU 2: there is none"),
        ("cuda", "0", "the driver shows none"),
    ] {
        let gpu = setup.run(&format!("--device {device}"), &[("EMULATE_GPUS", count)]);
        assert_eq!((gpu.status.code(), gpu.stdout.len()), (Some(1), 0), "{device}: {}", said(&gpu));
        assert!(said(&gpu).contains(&format!("--device {device}: ")) && said(&gpu).contains(reason), "{}", said(&gpu));
        assert!(said(&gpu).contains("--device cpu"), "{}", said(&gpu));
    }
}

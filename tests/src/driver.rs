//! A stand-in for NVIDIA's driver that runs the kernels in emulation, for programs that compute on GPUs:
//! `lib/kernels/emulate_driver.cpp`.

use crate::folder::Folder;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// A folder with the stand-in, for `LD_LIBRARY_PATH`; tests that run together share it. `None`, and says so, where it
/// cannot be compiled.
pub fn driver() -> Option<Arc<Folder>> {
    static SHARED: Mutex<Weak<Folder>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = shared.upgrade().or_else(|| compile().map(Arc::new))?;
    *shared = Arc::downgrade(&folder);
    Some(folder)
}

fn compile() -> Option<Folder> {
    let folder = Folder::new();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../lib/kernels/emulate_driver.cpp");
    let options =
        "-std=c++17 -O2 -march=native -ffp-contract=off -fwrapv -fPIC -shared -Wno-unknown-pragmas -o libcuda.so.1";
    let Ok(done) = Command::new("c++").args(options.split(' ')).arg(source).current_dir(folder.path()).output() else {
        assert!(std::env::var_os("REQUIRE_EMULATION").is_none(), "REQUIRE_EMULATION is set, and there is no c++");
        eprintln!("skipped: no c++ here to compile the emulation with");
        return None;
    };
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    // Whichever name is asked for first.
    std::fs::hard_link(folder.path().join("libcuda.so.1"), folder.path().join("libcuda.so")).unwrap();
    Some(folder)
}

/// A program in a folder, beside the stand-in, of which three GPUs are there unless the environment says otherwise.
pub struct OnGpus {
    driver: Arc<Folder>,
    /// Where the program runs.
    pub folder: Folder,
    program: &'static str,
    /// What it is always given.
    args: &'static str,
}

impl OnGpus {
    /// `None`, and says so, where the stand-in cannot be compiled.
    pub fn new(program: &'static str, args: &'static str) -> Option<OnGpus> {
        Some(OnGpus { driver: driver()?, folder: Folder::new(), program, args })
    }

    /// A run with these words, split at spaces.
    pub fn run(&self, args: &str, environment: &[(&str, &str)]) -> Output {
        self.command(args).envs(environment.iter().copied()).output().unwrap()
    }

    /// The same with a file for standard input.
    pub fn piped(&self, args: &str, input: &str) -> Output {
        let input = std::fs::File::open(self.folder.path().join(input)).unwrap();
        self.command(args).stdin(Stdio::from(input)).output().unwrap()
    }

    fn command(&self, args: &str) -> Command {
        let mut command = Command::new(self.program);
        command.args(self.args.split_whitespace()).args(args.split_whitespace());
        command.current_dir(self.folder.path()).env("LD_LIBRARY_PATH", self.driver.path()).env("EMULATE_GPUS", "3");
        command
    }

    /// GPUs write what the CPU writes, and say what it says; gives that.
    pub fn agree(&self, args: &str, devices: &[&str]) -> Output {
        let expected = self.run(args, &[]);
        for device in devices {
            let found = self.run(&format!("{args} --device {device}"), &[]);
            let ends = (found.status.code(), said(&found));
            assert_eq!(ends, (expected.status.code(), said(&expected)), "{args}, {device}");
            assert!(found.stdout == expected.stdout, "{args}, {device}");
        }
        expected
    }

    /// A run that ends with exit code 1, without output, and says what to do and all of these.
    pub fn refuses(&self, args: &str, environment: &[(&str, &str)], reasons: &[&str]) {
        let found = self.run(args, environment);
        let said = said(&found);
        assert_eq!((found.status.code(), found.stdout.len()), (Some(1), 0), "{args}: {said}");
        assert!(said.contains("--device cpu") && reasons.iter().all(|reason| said.contains(reason)), "{args}: {said}");
    }

    /// What a run with `--stats stats` wrote there.
    pub fn stats(&self) -> serde_json::Value {
        serde_json::from_str(&self.folder.text("stats")).expect("JSON")
    }

    /// The kernels that a run launched, each on a line behind the number of its GPU.
    pub fn kernels(&self, args: &str) -> String {
        let names = self.folder.path().join("names");
        let found = self.run(args, &[("EMULATE_NAMES", names.to_str().expect("a name"))]);
        assert_eq!(found.status.code(), Some(0), "{args}: {}", said(&found));
        let launched = self.folder.text("names");
        std::fs::remove_file(names).expect("it is there");
        launched
    }
}

/// What a run said on stderr.
pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

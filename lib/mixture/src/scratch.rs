//! A file for one test.

use pipe::failure::Failure;
use pipe::output::Output;
use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

static NEXT: AtomicU64 = AtomicU64::new(0);

/// A file in the folder for temporary files that goes away with the value.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Scratch {
        let name = format!("mixture-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Scratch(std::env::temp_dir().join(name))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn output(&self) -> Output {
        Output::create(&self.0).unwrap()
    }

    pub fn read(&self) -> Vec<u8> {
        fs::read(&self.0).unwrap()
    }

    /// What is wrong, without the name of the file.
    pub fn why<T: Debug>(&self, outcome: Result<T, Failure>) -> String {
        match outcome.unwrap_err() {
            Failure::Work(why) => why.replace(&format!("{}: ", self.0.display()), ""),
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

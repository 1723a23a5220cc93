//! Scratch files: without a name, in `TMPDIR`, gone when the run is, however it ends.

use crate::failure::{Failure, reason};
use crate::output::nameless;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A file that nobody else sees.
pub struct Scratch {
    file: File,
    folder: PathBuf,
    length: u64,
}

impl Scratch {
    /// An empty one.
    ///
    /// # Errors
    /// The folder of temporary files takes none; the message names it.
    pub fn new() -> Result<Scratch, Failure> {
        let folder = std::env::temp_dir();
        let file = nameless(&folder).map_err(|why| failed(&folder, why))?;
        Ok(Scratch { file, folder, length: 0 })
    }

    /// Appends; gives where the bytes begin.
    ///
    /// # Errors
    /// A full disk, and other failures of writing.
    pub fn append(&mut self, bytes: &[u8]) -> Result<u64, Failure> {
        let start = self.length;
        self.file.write_all(bytes).map_err(|why| failed(&self.folder, why))?;
        self.length += bytes.len() as u64;
        Ok(start)
    }

    /// Fills `buffer` from the bytes that begin at `start`.
    ///
    /// # Errors
    /// Those of reading.
    pub fn read(&self, buffer: &mut [u8], start: u64) -> Result<(), Failure> {
        self.file.read_exact_at(buffer, start).map_err(|why| failed(&self.folder, why))
    }

    /// A name under which this process can open it.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.file.as_raw_fd()))
    }
}

fn failed(folder: &Path, why: io::Error) -> Failure {
    Failure::work(format!("a temporary file in {} (TMPDIR): {}", folder.display(), reason(why)))
}

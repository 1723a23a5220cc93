//! Temporary files without a name, in `TMPDIR`: gone when the run is, however it ends.

use pipe::failure::{Failure, reason};
use pipe::output::nameless;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// A file that nobody else sees. Its name is gone as soon as it is open.
pub struct Temporary {
    file: File,
    folder: PathBuf,
    length: u64,
}

impl Temporary {
    /// Makes one.
    pub fn new() -> Result<Temporary, Failure> {
        let folder = std::env::temp_dir();
        let file = nameless(&folder).map_err(|why| failed(&folder, why))?;
        Ok(Temporary { file, folder, length: 0 })
    }

    /// Appends; gives where the bytes begin.
    pub fn append(&mut self, bytes: &[u8]) -> Result<u64, Failure> {
        let start = self.length;
        self.file.write_all(bytes).map_err(|why| failed(&self.folder, why))?;
        self.length += bytes.len() as u64;
        Ok(start)
    }

    /// Fills `buffer` from the bytes that begin at `start`.
    pub fn read(&self, buffer: &mut [u8], start: u64) -> Result<(), Failure> {
        self.file.read_exact_at(buffer, start).map_err(|why| failed(&self.folder, why))
    }
}

fn failed(folder: &std::path::Path, why: io::Error) -> Failure {
    Failure::work(format!("a temporary file in {} (TMPDIR): {}", folder.display(), reason(why)))
}

/// A copy of documents that come from a pipe.
pub struct Spool(Temporary);

impl Spool {
    /// An empty one.
    pub fn new() -> Result<Spool, Failure> {
        Ok(Spool(Temporary::new()?))
    }

    /// Appends lines.
    pub fn write(&mut self, lines: &[u8]) -> Result<(), Failure> {
        self.0.append(lines).map(drop)
    }

    /// A name under which this process can open it.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.0.file.as_raw_fd()))
    }
}

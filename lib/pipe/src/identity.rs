//! Whether a file is still the one that it was.

use crate::failure::Failure;
use std::fs::{self, File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What tells a regular file from one that was put in its place, or was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
}

impl Identity {
    /// That of the file at `path`; `None`: there is no regular file.
    pub fn of(path: &Path) -> Option<Identity> {
        fs::metadata(path).ok().and_then(|found| Identity::read(&found))
    }

    /// That of an open file; `None`: it is no regular one.
    pub fn of_file(file: &File) -> Option<Identity> {
        file.metadata().ok().and_then(|found| Identity::read(&found))
    }

    fn read(found: &Metadata) -> Option<Identity> {
        let modified = (found.mtime(), found.mtime_nsec());
        let identity = Identity { device: found.dev(), inode: found.ino(), size: found.len(), modified };
        found.is_file().then_some(identity)
    }
}

/// What to say of a file that is another one than it was.
pub fn changed(path: &Path) -> Failure {
    let why = "changed while it was read: expected the same file from the beginning to the end of the run";
    Failure::file(path, why)
}

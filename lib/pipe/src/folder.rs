//! A folder that appears whole or not at all.

use crate::failure::Failure;
use crate::temporary::Temporary;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// A folder on its way: filled beside its place, renamed when complete, removed when given up.
pub struct Folder {
    /// Where it is filled.
    temporary: Temporary,
    final_name: PathBuf,
    /// What messages call it.
    name: PathBuf,
}

impl Folder {
    /// A folder that appears at `path` when it is finished. What is there already must be an empty folder; `occupied`
    /// says what is wrong with another.
    ///
    /// # Errors
    /// Where another lies there, or it cannot be made.
    pub fn create(path: &Path, occupied: &str) -> Result<Folder, Failure> {
        check_is_free(path, occupied)?;
        // A link keeps pointing where it points: the folder behind it is replaced.
        let final_name = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        if final_name.file_name().is_none() {
            return Err(Failure::file(path, "not the name of a folder"));
        }
        let temporary = Temporary::folder(&final_name).map_err(|why| Failure::file(path, why))?;
        Ok(Folder { temporary, final_name, name: path.to_path_buf() })
    }

    /// Where a file of it is until it is finished.
    pub fn place(&self, file: &Path) -> PathBuf {
        self.temporary.path().join(file)
    }

    /// That something could not be done with a file of it.
    pub fn failed(&self, file: &Path, why: std::io::Error) -> Failure {
        Failure::file(&self.name.join(file), why)
    }

    /// Makes it appear.
    ///
    /// # Errors
    /// Where it cannot be renamed.
    pub fn finish(self) -> Result<(), Failure> {
        self.temporary.appear(&self.final_name).map_err(|why| Failure::file(&self.name, why))
    }
}

fn check_is_free(path: &Path, occupied: &str) -> Result<(), Failure> {
    let mut entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(why) if why.kind() == ErrorKind::NotFound => return Ok(()),
        Err(why) => return Err(Failure::file(path, why)),
    };
    match entries.next() {
        None => Ok(()),
        Some(_) => Err(Failure::file(path, occupied)),
    }
}

//! Files and folders that lie beside their place until they are complete, under hidden names that nobody else has.
//!
//! They are taken away when they are given up, and when a signal ends the run (see [`interruption`]). A name is
//! `.NAME.RANDOM.tmp`, made only where nothing has it: neither a run of the same process number in another container
//! nor a link that lies in wait gets in between.

use crate::interruption;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes of a file's name that its temporary name repeats, so that this is not too long.
const NAME_MAX: usize = 200;

/// All temporaries of this process.
static ALL: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// All temporaries; who holds them keeps others from making, renaming and removing any.
fn all() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    ALL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A file or folder on its way; dropped, it is gone.
pub(crate) struct Temporary(PathBuf);

impl Temporary {
    /// A new file beside `place`, open for writing.
    ///
    /// # Errors
    /// Those of making it.
    pub(crate) fn file(place: &Path) -> io::Result<(File, Temporary)> {
        Temporary::make(place, |path| File::options().write(true).create_new(true).open(path))
    }

    /// A new folder beside `place`.
    ///
    /// # Errors
    /// Those of making it.
    pub(crate) fn folder(place: &Path) -> io::Result<Temporary> {
        Temporary::make(place, |path| fs::create_dir(path)).map(|((), folder)| folder)
    }

    fn make<T>(place: &Path, make: impl Fn(&Path) -> io::Result<T>) -> io::Result<(T, Temporary)> {
        interruption::watch(take_away);
        let mut all = all();
        let (made, path) = unused(place, make)?;
        all.insert(path.clone());
        Ok((made, Temporary(path)))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Makes it appear at `place`.
    ///
    /// # Errors
    /// Those of renaming; it is gone then.
    pub(crate) fn appear(self, place: &Path) -> io::Result<()> {
        let mut all = all();
        let renamed = fs::rename(&self.0, place);
        if renamed.is_ok() {
            all.remove(&self.0);
        }
        renamed
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let mut all = all();
        // What has appeared is not one any more.
        if all.remove(&self.0) {
            remove(&self.0);
        }
    }
}

/// Removes all temporaries, and keeps others from making any.
fn take_away() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    let all = all();
    all.iter().for_each(|path| remove(path));
    all
}

/// Does not come back once a signal has come: the process is then about to end by it.
pub(crate) fn settle() {
    drop(all());
}

/// Removes all temporaries, where nobody is about to make or rename one.
pub(crate) fn remove_all() {
    if let Ok(all) = ALL.try_lock() {
        all.iter().for_each(|path| remove(path));
    }
}

/// Removes a file, or a folder with all that is in it.
pub(crate) fn remove(path: &Path) {
    if fs::remove_file(path).is_err() {
        // Threads that still write into it may put something there once more.
        (0..100).find(|_| fs::remove_dir_all(path).is_ok() || !path.exists());
    }
}

/// A new file in `folder` for reading and writing, whose name is taken away at once: it is gone when the run is,
/// however that ends.
///
/// # Errors
/// Those of making it.
pub fn nameless(folder: &Path) -> io::Result<File> {
    let open = |path: &Path| File::options().read(true).write(true).create_new(true).mode(0o600).open(path);
    let _all = all();
    let (file, path) = unused(&folder.join("corpus-utils"), open)?;
    fs::remove_file(path).map(|()| file)
}

/// What `make` makes under a hidden name that nothing has.
fn unused<T>(place: &Path, make: impl Fn(&Path) -> io::Result<T>) -> io::Result<(T, PathBuf)> {
    loop {
        let path = hidden(place);
        match make(&path) {
            Err(why) if why.kind() == ErrorKind::AlreadyExists => {}
            made => return made.map(|made| (made, path)),
        }
    }
}

fn hidden(place: &Path) -> PathBuf {
    let name = place.file_name().unwrap_or_default().as_bytes();
    // Random keys of the system's generator, not of the clock or the process number; they decide nothing but this name.
    let random = RandomState::new().hash_one(std::process::id());
    let name = [b".", &name[..name.len().min(NAME_MAX)], format!(".{random:016x}.tmp").as_bytes()].concat();
    place.with_file_name(std::ffi::OsStr::from_bytes(&name))
}

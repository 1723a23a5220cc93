//! Sums of the files that a run reads and writes, for `--stats`: XXH3-64 of their bytes as they pass by, so that
//! nothing is read twice. Without `--stats` nothing is summed.
//!
//! An input that does not pass by from its first byte to its last, one after the other, has no sum: a shard, what is
//! read at several places at once or not to its end. An output whose beginning is filled in afterwards is read once
//! more.

use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use xxhash_rust::xxh3::Xxh3;

/// Whether sums are wanted.
static WANTED: AtomicBool = AtomicBool::new(false);

/// What passes by, and what has passed by.
static FILES: Mutex<Vec<Digest>> = Mutex::new(Vec::new());

/// A file that passes by.
struct Passing {
    side: Side,
    name: String,
    bytes: u64,
    hash: Xxh3,
    /// Whether it passes from its first byte to its last, one after the other.
    whole: bool,
}

/// Where a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Input,
    Output,
}

/// Sums are wanted from now on.
pub(crate) fn want() {
    WANTED.store(true, Ordering::Relaxed);
}

/// The sum of a file so far.
#[derive(Clone)]
pub(crate) struct Digest(Arc<Mutex<Passing>>);

impl Digest {
    /// That of a file of which no byte has passed by, if sums are wanted. An output is known from now on, an input when
    /// it has ended.
    pub(crate) fn begin(side: Side, name: &str) -> Option<Digest> {
        if !WANTED.load(Ordering::Relaxed) {
            return None;
        }
        let passing = Passing { side, name: name.to_string(), bytes: 0, hash: Xxh3::new(), whole: true };
        let digest = Digest(Arc::new(Mutex::new(passing)));
        if side == Side::Output {
            digest.clone().end();
        }
        Some(digest)
    }

    fn passing(&self) -> MutexGuard<'_, Passing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next bytes.
    pub(crate) fn pass(&self, bytes: &[u8]) {
        let mut passing = self.passing();
        if passing.whole {
            passing.bytes += bytes.len() as u64;
            passing.hash.update(bytes);
        }
    }

    /// Some byte that passes by is changed afterwards: there is no sum of what passes.
    pub(crate) fn spoil(&self) {
        self.passing().whole = false;
    }

    /// Whether it [was](Digest::spoil).
    pub(crate) fn is_spoiled(&self) -> bool {
        !self.passing().whole
    }

    /// Sums what was [spoiled](Digest::spoil) from its beginning.
    ///
    /// # Errors
    /// Those of reading; then there is no sum.
    pub(crate) fn again(&self, mut all: impl Read) -> io::Result<()> {
        let mut passing = self.passing();
        (passing.bytes, passing.hash) = (0, Xxh3::new());
        let mut buffer = vec![0; 1 << 20];
        loop {
            match all.read(&mut buffer)? {
                0 => break,
                read => {
                    passing.bytes += read as u64;
                    passing.hash.update(&buffer[..read]);
                }
            }
        }
        passing.whole = true;
        Ok(())
    }

    /// Makes it known.
    fn end(self) {
        FILES.lock().unwrap_or_else(PoisonError::into_inner).push(self);
    }
}

/// Sums what is read to its end.
pub(crate) struct Digested<R> {
    inner: R,
    digest: Option<Digest>,
}

impl<R: Read> Digested<R> {
    /// The rest of an input of which these bytes were read.
    pub(crate) fn rest(name: &str, first: &[u8], inner: R) -> Digested<R> {
        let digest = Digest::begin(Side::Input, name);
        digest.iter().for_each(|digest| digest.pass(first));
        Digested { inner, digest }
    }
}

impl<R: Read> Read for Digested<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        pass_or_end(&mut self.digest, &buffer[..read], buffer.len());
        Ok(read)
    }
}

/// What a read with room for so many bytes gave, which is nothing at the end.
pub(crate) fn pass_or_end(digest: &mut Option<Digest>, bytes: &[u8], room: usize) {
    match bytes {
        [] if room > 0 => digest.take().into_iter().for_each(Digest::end),
        bytes => digest.iter().for_each(|digest| digest.pass(bytes)),
    }
}

/// The files of a side: those of these names, and all others that are known, each once.
pub(crate) fn files(side: Side, names: impl IntoIterator<Item = String>) -> Value {
    let files = FILES.lock().unwrap_or_else(PoisonError::into_inner);
    let known = |one: &Digest| {
        let one = one.passing();
        (one.side == side).then(|| (one.name.clone(), one.whole.then(|| (one.bytes, one.hash.digest()))))
    };
    let known: Vec<_> = files.iter().filter_map(known).collect();
    let names = names.into_iter().chain(known.iter().map(|one| one.0.clone())).collect::<Vec<_>>();
    let known: HashMap<_, _> = known.into_iter().collect();
    let mut once = HashSet::new();
    let file = |name: String| {
        let (bytes, sum) = known.get(&name).copied().flatten().unzip();
        let sum = sum.map(|sum: u64| format!("{sum:016x}"));
        let mut file = json!({ "name": name, "bytes": bytes, "xxh3": sum });
        if let Some(place) = place(&name) {
            file["file"] = place.into();
        }
        file
    };
    names.into_iter().filter(|name| once.insert(name.clone())).map(file).collect()
}

/// Where the regular file is that the shell made standard input or output of, from here if it is below.
fn place(name: &str) -> Option<String> {
    let descriptor = match name {
        "<stdin>" => 0,
        "<stdout>" => 1,
        _ => return None,
    };
    let path = fs::read_link(format!("/proc/self/fd/{descriptor}")).ok()?;
    let is_file = fs::metadata(&path).is_ok_and(|found| found.is_file());
    let here = std::env::current_dir().unwrap_or_default();
    is_file.then(|| path.strip_prefix(here).unwrap_or(&path).display().to_string())
}

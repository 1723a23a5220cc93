//! Checked writing: a full disk is an error, a reader that went away is a quiet end, a file appears whole or not at all.

use crate::failure::{Failure, reason};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Seek, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The flag of a file that is appended to, as Linux has it on every architecture that Rust runs on.
const O_APPEND: i64 = 0o2000;

/// Bytes that are moved at a time.
const MOVED: u64 = 1 << 20;

/// Where data goes: standard output, or a file that appears under its name when it is [finished](Output::finish).
///
/// Nothing is buffered here: callers write whole batches.
pub struct Output {
    file: File,
    name: String,
    place: Option<Place>,
}

/// A file on its way: written beside its place, renamed when complete, removed when given up.
struct Place {
    temporary: PathBuf,
    final_name: PathBuf,
}

impl Output {
    /// Standard output. Not line-buffered, unlike [`std::io::stdout`].
    pub fn stdout() -> Output {
        let file = io::stdout().as_fd().try_clone_to_owned().map(File::from);
        let file = file.expect("standard output can be duplicated");
        Output { file, name: "<stdout>".to_string(), place: None }
    }

    /// A file that appears under `path` when it is finished. A device or pipe at `path` is written to directly.
    pub fn create(path: &Path) -> Result<Output, Failure> {
        let name = path.display().to_string();
        if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            let file = File::options().write(true).open(path).map_err(|why| Failure::file(path, why))?;
            return Ok(Output { file, name, place: None });
        }
        // A link keeps pointing where it points: the file behind it is replaced.
        let final_name = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        let file_name = final_name.file_name().ok_or_else(|| Failure::file(path, "not the name of a file"))?;
        let temporary = format!(".{}.{}.tmp", file_name.to_string_lossy(), std::process::id());
        let temporary = final_name.with_file_name(temporary);
        let file = File::create(&temporary).map_err(|why| Failure::file(path, why))?;
        Ok(Output { file, name, place: Some(Place { temporary, final_name }) })
    }

    /// Writes all of `bytes`.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.file.write_all(bytes).map_err(|why| self.failed(why))
    }

    /// Where in a regular file the next byte goes; `None` for a pipe, and where the shell appends (`>>`): what is written there
    /// cannot be mended later.
    pub fn position(&mut self) -> Option<u64> {
        let appends = |flags: &str| i64::from_str_radix(flags.trim(), 8).is_ok_and(|flags| flags & O_APPEND != 0);
        let about = fs::read_to_string(format!("/proc/self/fdinfo/{}", self.file.as_raw_fd())).ok()?;
        let flags = about.lines().find_map(|line| line.strip_prefix("flags:"))?;
        let is_file = self.file.metadata().is_ok_and(|found| found.is_file());
        (is_file && !appends(flags)).then(|| self.file.stream_position().ok())?
    }

    /// Writes at `position` of a regular file, over what was written there.
    pub fn rewrite(&mut self, position: u64, bytes: &[u8]) -> Result<(), Failure> {
        self.file.write_all_at(bytes, position).map_err(|why| self.failed(why))
    }

    /// Opens a regular file that is being written, to read it back.
    pub fn reader(&self) -> Result<File, Failure> {
        File::open(format!("/proc/self/fd/{}", self.file.as_raw_fd())).map_err(|why| {
            let (name, why) = (&self.name, reason(&why));
            Failure::work(format!(
                "{name}: cannot be read back, which putting in front what is known at the end needs ({why}); a pipe does without"
            ))
        })
    }

    /// Fills `bytes` with what was written at `position` of a regular file.
    pub fn read_at(&self, reader: &File, position: u64, bytes: &mut [u8]) -> Result<(), Failure> {
        reader.read_exact_at(bytes, position).map_err(|why| self.failed(why))
    }

    /// Moves `length` bytes of a regular file. The two places may overlap.
    pub fn shift(&mut self, from: u64, to: u64, length: u64) -> Result<(), Failure> {
        let reader = self.reader()?;
        let mut bytes = vec![0; length.min(MOVED) as usize];
        let pieces = length.div_ceil(MOVED);
        for piece in 0..pieces {
            // In the order in which none is written over before it is moved.
            let start = MOVED * if to < from { piece } else { pieces - 1 - piece };
            let bytes = &mut bytes[..(length - start).min(MOVED) as usize];
            self.read_at(&reader, from + start, bytes)?;
            self.rewrite(to + start, bytes)?;
        }
        Ok(())
    }

    /// Ends a regular file after so many bytes.
    pub fn truncate(&mut self, bytes: u64) -> Result<(), Failure> {
        self.file.set_len(bytes).map_err(|why| self.failed(why))
    }

    /// Makes the file appear under its name. Standard output needs no finishing.
    pub fn finish(mut self) -> Result<(), Failure> {
        let Some(place) = self.place.take() else { return Ok(()) };
        fs::rename(&place.temporary, &place.final_name).map_err(|why| {
            let _ = fs::remove_file(&place.temporary);
            self.failed(why)
        })
    }

    fn failed(&self, why: io::Error) -> Failure {
        match why.kind() {
            ErrorKind::BrokenPipe => Failure::ReaderLeft,
            _ => Failure::work(format!("{}: {}", self.name, reason(why))),
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some(place) = &self.place {
            let _ = fs::remove_file(&place.temporary);
        }
    }
}

/// A new file in `folder` for reading and writing, whose name is taken away at once: it is gone when the run is, however that ends.
pub fn nameless(folder: &Path) -> io::Result<File> {
    for number in 0.. {
        let path = folder.join(format!(".corpus-utils.{}.{number}.tmp", std::process::id()));
        match File::options().read(true).write(true).create_new(true).mode(0o600).open(&path) {
            // Of a run with this number that was killed between the two steps, or of another thread that is between them.
            Err(why) if why.kind() == ErrorKind::AlreadyExists => {}
            file => return file.and_then(|file| fs::remove_file(&path).map(|()| file)),
        }
    }
    unreachable!("some number is not taken")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("output-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn a_file_appears_when_finished() {
        let folder = folder("finished");
        let path = folder.join("a");
        fs::write(&path, "old").unwrap();
        let mut output = Output::create(&path).unwrap();
        output.write(b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        output.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_file_given_up_leaves_nothing() {
        let folder = folder("dropped");
        let mut output = Output::create(&folder.join("a")).unwrap();
        output.write(b"half").unwrap();
        drop(output);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_is_moved_is_whole() {
        let folder = folder("moved");
        let bytes: Vec<u8> = (0..5 * MOVED / 2).map(|place| (place % 251) as u8).collect();
        for (from, to) in [(7, 300), (300, 7), (MOVED * 2, 0), (5, 5)] {
            let path = folder.join("a");
            let mut output = Output::create(&path).unwrap();
            output.rewrite(from, &bytes).unwrap();
            output.shift(from, to, bytes.len() as u64).unwrap();
            output.truncate(to + bytes.len() as u64).unwrap();
            output.finish().unwrap();
            assert!(fs::read(&path).unwrap()[to as usize..] == bytes, "{from} {to}");
        }
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_full_disk_is_a_failure() {
        let mut full = Output::create(Path::new("/dev/full")).unwrap();
        assert_eq!(full.write(b"x"), Err(Failure::work("/dev/full: No space left on device")));
    }
}

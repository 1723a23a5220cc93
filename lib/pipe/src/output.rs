//! Checked writing: a full disk is an error, a reader that went away is a quiet end, a file appears whole or not at
//! all.

use crate::descriptor;
use crate::digest::{Digest, Side};
use crate::failure::{Failure, reason};
use crate::temporary::Temporary;
use std::fs::{self, File};
use std::io::{self, ErrorKind, IsTerminal, Seek, SeekFrom, Write};
use std::mem::{self, ManuallyDrop};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

pub use crate::temporary::nameless;

/// The flag of a file that is appended to, as Linux has it on every architecture that Rust runs on.
const O_APPEND: i64 = 0o2000;

/// Bytes that are moved at a time.
const MOVED: u64 = 1 << 20;

/// Where data goes: standard output, or a file that appears under its name when it is [finished](Output::finish).
///
/// Nothing is buffered here: callers write whole batches.
pub struct Output {
    file: ManuallyDrop<File>,
    /// Whether the file is this one's to close: standard output is closed when the run is over.
    closes: bool,
    /// Whether the process began without standard output, so that this leads nowhere.
    lost: bool,
    name: String,
    place: Option<Place>,
    /// Where what was written over or moved ends, which the next byte may have to come behind.
    end: u64,
    /// Where what is written over later begins.
    begin: u64,
    /// The sum of what is written.
    digest: Option<Digest>,
}

/// A file on its way: written beside its place, renamed when complete, removed when given up.
struct Place {
    temporary: Temporary,
    final_name: PathBuf,
}

impl Output {
    /// Standard output. Not line-buffered, unlike [`std::io::stdout`].
    pub fn stdout() -> Output {
        let lost = descriptor::was_closed(1);
        let (name, digest) = ("<stdout>".to_string(), Digest::begin(Side::Output, "<stdout>"));
        Output { file: descriptor::stdout(), closes: false, lost, name, place: None, end: 0, begin: 0, digest }
    }

    /// A file that appears under `path` when it is finished. A device, a pipe or a descriptor of this process at `path`
    /// is written to directly.
    ///
    /// # Errors
    /// Where it cannot be made or written to.
    pub fn create(path: &Path) -> Result<Output, Failure> {
        let failed = |why| Failure::file(path, why);
        let name = path.display().to_string();
        let digest = Digest::begin(Side::Output, &name);
        if let Some(file) = existing(path) {
            let file = ManuallyDrop::new(file.map_err(failed)?);
            return Ok(Output { file, closes: true, lost: false, name, place: None, end: 0, begin: 0, digest });
        }
        // A link keeps pointing where it points: the file behind it is replaced.
        let final_name = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        if final_name.file_name().is_none() {
            return Err(Failure::file(path, "not the name of a file"));
        }
        let (file, temporary) = Temporary::file(&final_name).map_err(failed)?;
        let place = Some(Place { temporary, final_name });
        Ok(Output { file: ManuallyDrop::new(file), closes: true, lost: false, name, place, end: 0, begin: 0, digest })
    }

    /// Refuses a terminal, on which `what` would be noise.
    ///
    /// # Errors
    /// Where this is one; the message says what to do instead.
    pub fn refuse_terminal(&self, what: &str) -> Result<(), Failure> {
        if !self.file.is_terminal() {
            return Ok(());
        }
        Err(Failure::usage(format!(
            "{what} cannot be shown on a terminal: send them into a file (> FILE) or a program (|)"
        )))
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// Those of writing; [`Failure::ReaderLeft`] where nobody reads any more.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if self.lost {
            return Err(self.failed(io::Error::from_raw_os_error(libc::EBADF)));
        }
        self.file.write_all(bytes).map_err(|why| self.failed(why))?;
        self.digest.iter().for_each(|digest| digest.pass(bytes));
        Ok(())
    }

    /// Where in a regular file the next byte goes; `None` for a pipe, and where the shell appends (`>>`): what is
    /// written there cannot be mended later. From here on nothing is summed before all is written.
    pub fn position(&mut self) -> Option<u64> {
        let appends = |flags: &str| i64::from_str_radix(flags.trim(), 8).is_ok_and(|flags| flags & O_APPEND != 0);
        let about = fs::read_to_string(format!("/proc/self/fdinfo/{}", self.file.as_raw_fd())).ok()?;
        let flags = about.lines().find_map(|line| line.strip_prefix("flags:"))?;
        let is_file = self.file.metadata().is_ok_and(|found| found.is_file());
        let position = (is_file && !appends(flags)).then(|| self.file.stream_position().ok())??;
        self.digest.iter().for_each(|digest| digest.spoil());
        self.begin = position;
        Some(position)
    }

    /// Writes at `position` of a regular file, over what was written there.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn rewrite(&mut self, position: u64, bytes: &[u8]) -> Result<(), Failure> {
        self.end = self.end.max(position + bytes.len() as u64);
        self.digest.iter().for_each(|digest| digest.spoil());
        self.file.write_all_at(bytes, position).map_err(|why| self.failed(why))
    }

    /// Opens a regular file that is being written, to read it back.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub fn reader(&self) -> Result<File, Failure> {
        File::open(format!("/proc/self/fd/{}", self.file.as_raw_fd())).map_err(|why| {
            let (name, why) = (&self.name, reason(&why));
            Failure::work(format!(
                "{name}: cannot be read back, which putting in front what is known at the end needs ({why}); a pipe \
                 does without"
            ))
        })
    }

    /// Fills `bytes` with what was written at `position` of a regular file.
    ///
    /// # Errors
    /// Where it cannot be read, or has not as many bytes there.
    pub fn read_at(&self, reader: &File, position: u64, bytes: &mut [u8]) -> Result<(), Failure> {
        reader.read_exact_at(bytes, position).map_err(|why| self.failed(why))
    }

    /// Moves `length` bytes of a regular file. The two places may overlap.
    ///
    /// # Errors
    /// Where it cannot be read or written.
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
    ///
    /// # Errors
    /// Where its length cannot be set.
    pub fn truncate(&mut self, bytes: u64) -> Result<(), Failure> {
        self.end = self.end.min(bytes);
        self.digest.iter().for_each(|digest| digest.spoil());
        self.file.set_len(bytes).map_err(|why| self.failed(why))
    }

    /// Makes the file appear under its name. What others write to standard output next comes behind what was moved.
    ///
    /// # Errors
    /// What a file system has put off until a file is closed, and those of renaming; nothing appears then.
    pub fn finish(mut self) -> Result<(), Failure> {
        if self.end > 0 && self.file.stream_position().is_ok_and(|position| position < self.end) {
            self.file.seek(SeekFrom::Start(self.end)).map_err(|why| self.failed(why))?;
        }
        self.sum_again()?;
        self.close().map_err(|why| self.failed(why))?;
        let Some(place) = self.place.take() else { return Ok(()) };
        place.temporary.appear(&place.final_name).map_err(|why| self.failed(why))
    }

    /// The sum of what was written over, which did not pass by as it lies there.
    fn sum_again(&mut self) -> Result<(), Failure> {
        let Some(digest) = self.digest.as_ref().filter(|digest| digest.is_spoiled()) else { return Ok(()) };
        let mut all = self.reader()?;
        all.seek(SeekFrom::Start(self.begin)).map_err(|why| self.failed(why))?;
        digest.again(all).map_err(|why| self.failed(why))
    }

    fn close(&mut self) -> io::Result<()> {
        if !mem::take(&mut self.closes) {
            return Ok(());
        }
        // SAFETY: this is the last that is done with it, which `closes` holds.
        descriptor::close(unsafe { ManuallyDrop::take(&mut self.file) })
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
        // Nobody waits for what is given up.
        let _ = self.close();
    }
}

/// Closes standard output when all is written.
///
/// # Errors
/// What its file system has put off until then.
pub(crate) fn finish_stdout() -> Result<(), Failure> {
    descriptor::close_stdout().map_err(|why| Failure::work(format!("<stdout>: {}", reason(why))))
}

/// What is at `path` already and is no regular file, or is named as a descriptor, for writing; `None`: a file can be
/// put there.
fn existing(path: &Path) -> Option<io::Result<File>> {
    if let Some(file) = descriptor::named(path) {
        return Some(file);
    }
    let found = fs::metadata(path).ok()?;
    (!found.is_file()).then(|| File::options().write(true).open(path))
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

    /// As two runs may, whose process numbers are the same where each is in a container of its own.
    #[test]
    fn of_two_at_once_the_last_is_there_whole() {
        let folder = folder("two");
        let path = folder.join("a");
        let mut outputs = [Output::create(&path).unwrap(), Output::create(&path).unwrap()];
        for (output, text) in outputs.iter_mut().zip(["one, longer", "two"]) {
            output.write(text.as_bytes()).unwrap();
        }
        for (output, text) in outputs.into_iter().zip(["one, longer", "two"]) {
            output.finish().unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn any_name_that_a_file_can_have_is_kept() {
        use std::os::unix::ffi::OsStrExt;
        let folder = folder("names");
        for name in [&b"\xff\xfe"[..], &[b'x'; 255], b"a b", b"-"] {
            let path = folder.join(std::ffi::OsStr::from_bytes(name));
            let mut output = Output::create(&path).unwrap();
            output.write(b"x").unwrap();
            output.finish().unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"x");
            fs::remove_file(path).unwrap();
        }
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

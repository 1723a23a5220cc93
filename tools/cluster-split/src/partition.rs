//! Lines into a file a cluster, of which there may be many more than files that can be open, or fit into memory.
//!
//! Lines wait in memory until there are [`WAITING_MAX`] bytes of them. Then they are sorted by cluster, in order of
//! arrival within one, and each cluster's are appended to its file, with one file open at a time. So each round opens a
//! cluster's file once at the most, and what is in which file depends on nothing but the lines and the limits.

use pipe::failure::Failure;
use pipe::folder::Folder;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;

/// Bytes of lines that wait, with what is needed to sort them.
const WAITING_MAX: usize = 64 << 20;

/// Bytes for one write.
const WRITE: usize = 256 << 10;

/// Where a line goes: to a cluster, or to those that have none.
pub type Place = Option<u32>;

/// When a file is full.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Lines of a file.
    pub lines: u64,
    /// Bytes of a file, unless one line has more.
    pub bytes: u64,
}

/// A line that waits.
#[derive(Clone, Copy)]
struct Waiting {
    place: Place,
    start: usize,
    end: usize,
}

/// What a waiting line takes besides its bytes: its entry, half as much again to sort it, and what a growing list
/// leaves unused.
const ENTRY: usize = 3 * size_of::<Waiting>();

/// The file of a cluster that is being filled.
#[derive(Debug, Default)]
struct Part {
    number: u64,
    lines: u64,
    bytes: u64,
}

/// Lines on their way into the files of a folder.
pub struct Partition {
    folder: Folder,
    limits: Limits,
    bytes: Vec<u8>,
    waiting: Vec<Waiting>,
    parts: BTreeMap<Place, Part>,
    files: u64,
}

impl Partition {
    /// Nothing yet.
    pub fn new(folder: Folder, limits: Limits) -> Partition {
        Partition { folder, limits, bytes: Vec::new(), waiting: Vec::new(), parts: BTreeMap::new(), files: 0 }
    }

    /// Clusters that have a line.
    pub fn clusters(&self) -> usize {
        self.parts.keys().flatten().count()
    }

    /// Takes a line that is put together of pieces, without its newline.
    pub fn push(&mut self, place: Place, pieces: [&[u8]; 3]) -> Result<(), Failure> {
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        if self.bytes.len() + length + 1 + (self.waiting.len() + 1) * ENTRY > WAITING_MAX {
            self.write()?;
        }
        let start = self.bytes.len();
        pieces.iter().for_each(|piece| self.bytes.extend_from_slice(piece));
        self.bytes.push(b'\n');
        self.waiting.push(Waiting { place, start, end: self.bytes.len() });
        self.parts.entry(place).or_default();
        Ok(())
    }

    /// Writes what waits, and makes the folder appear. Gives the number of its files.
    pub fn finish(mut self) -> Result<u64, Failure> {
        self.write()?;
        self.folder.finish().map(|()| self.files)
    }

    /// Writes what waits.
    fn write(&mut self) -> Result<(), Failure> {
        self.waiting.sort_by_key(|line| line.place);
        let waiting = std::mem::take(&mut self.waiting);
        for lines in waiting.chunk_by(|a, b| a.place == b.place) {
            self.append(lines)?;
        }
        self.waiting = waiting;
        self.waiting.clear();
        self.bytes.clear();
        // What one very long line took is not kept.
        self.bytes.shrink_to(WAITING_MAX);
        Ok(())
    }

    /// Appends lines of one cluster to its files.
    fn append(&mut self, lines: &[Waiting]) -> Result<(), Failure> {
        let place = lines[0].place;
        let part = self.parts.get_mut(&place).expect("entered with its first line");
        let mut file = Appending::new(&self.folder, place, part.number);
        for line in lines {
            let length = (line.end - line.start) as u64;
            let is_full = part.lines == self.limits.lines || part.bytes.saturating_add(length) > self.limits.bytes;
            if is_full && part.lines > 0 {
                file.write()?;
                *part = Part { number: part.number + 1, ..Part::default() };
                file = Appending::new(&self.folder, place, part.number);
            }
            self.files += u64::from(part.lines == 0);
            part.lines += 1;
            part.bytes += length;
            file.push(&self.bytes[line.start..line.end])?;
        }
        file.write()
    }
}

/// A file that is appended to: opened when there is something to write.
struct Appending<'a> {
    folder: &'a Folder,
    path: PathBuf,
    file: Option<File>,
    bytes: Vec<u8>,
}

impl<'a> Appending<'a> {
    fn new(folder: &'a Folder, place: Place, number: u64) -> Appending<'a> {
        let cluster = place.map_or("missing".to_string(), |cluster| format!("cluster_{cluster}"));
        let path = PathBuf::from(cluster).join(format!("data_{number}.jsonl"));
        Appending { folder, path, file: None, bytes: Vec::new() }
    }

    fn push(&mut self, line: &[u8]) -> Result<(), Failure> {
        if self.bytes.len() + line.len() > WRITE {
            self.write()?;
        }
        if line.len() > WRITE {
            return self.write_bytes(line);
        }
        self.bytes.extend_from_slice(line);
        Ok(())
    }

    /// Writes what is collected.
    fn write(&mut self) -> Result<(), Failure> {
        let bytes = std::mem::take(&mut self.bytes);
        self.write_bytes(&bytes)?;
        self.bytes = bytes;
        self.bytes.clear();
        Ok(())
    }

    fn write_bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let written = self.open().and_then(|mut file| file.write_all(bytes).map(|()| file));
        self.file = Some(written.map_err(|why| self.folder.failed(&self.path, why))?);
        Ok(())
    }

    fn open(&mut self) -> std::io::Result<File> {
        if let Some(file) = self.file.take() {
            return Ok(file);
        }
        let path = self.folder.place(&self.path);
        let open = || File::options().append(true).create(true).open(&path);
        open().or_else(|_| {
            fs::create_dir_all(path.parent().expect("it is in a folder"))?;
            open()
        })
    }
}

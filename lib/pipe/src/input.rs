//! Input: operands or standard input, plain or compressed, whole or one shard, as batches of whole lines.
//!
//! A batch is what one read gave, cut after its last newline, so a slow pipe is passed on as it comes. Lines never span
//! batches, batches never span files, and a last line without a newline counts as a line.

use crate::descriptor;
use crate::digest::{Digest, Digested, Side, pass_or_end};
use crate::failure::{Failure, name, reading_reason, reason};
use crate::format::{BOM, Packing, first_bytes, packing, without_lines};
use crate::identity::{Identity, changed};
use crate::npy::Header;
use crate::settings::{Common, Shard};
use flate2::read::MultiGzDecoder;
use std::fs::{self, File, Metadata};
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes asked for in one read, unless [`Input::read_size`] says otherwise.
const READ: usize = 256 << 10;

/// Whole lines of one source.
pub struct Batch {
    /// Where they come from.
    pub source: Arc<Source>,
    buffer: Vec<u8>,
    length: usize,
}

impl Batch {
    /// The lines; only a source's last line may lack its newline.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[..self.length]
    }

    /// Gives the memory back for a later batch.
    pub fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }
}

/// One input file or standard input.
#[derive(Debug)]
pub struct Source {
    /// What messages call it.
    pub name: String,
    path: PathBuf,
    start: u64,
}

impl Source {
    /// How many lines stand before the part that is read: 0 unless it is a shard. Reads the file up to there: for
    /// messages only.
    pub fn lines_before(&self) -> u64 {
        if self.start == 0 {
            return 0;
        }
        File::open(&self.path).and_then(|file| count_lines(&mut file.take(self.start))).unwrap_or(0)
    }
}

/// How many lines stand before a shard of one file. Where it is a shard of several files, that is not one number.
///
/// # Errors
/// Where it is a shard of several files.
pub fn lines_before(input: &Input) -> Result<u64, Failure> {
    let [opening] = input.waiting.as_slice() else {
        return Err(Failure::usage("--first-row R is needed: --shard of several files is not one run of rows"));
    };
    let (_, start) = opening.reader()?;
    let counted = opening.file().and_then(|mut file| {
        file.rewind()?;
        count_lines(&mut file.take(start))
    });
    counted.map_err(|why| opening.failed(why))
}

/// Reads a whole file (`-`: standard input), decompressed.
///
/// # Errors
/// Where it cannot be read, or not to its end.
pub fn read_whole(path: &Path) -> Result<Vec<u8>, Failure> {
    let (opening, mut bytes) = (Opening::one(path), Vec::new());
    opening.size()?;
    let read = opening.stream().and_then(|mut stream| stream.read_to_end(&mut bytes));
    read.map(|_| bytes).map_err(|why| opening.unread(why))
}

/// Counts newlines.
fn count_lines(reader: &mut impl Read) -> io::Result<u64> {
    let mut buffer = vec![0; READ];
    let mut lines = 0;
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(lines),
            length => lines += memchr::memchr_iter(b'\n', &buffer[..length]).count() as u64,
        }
    }
}

/// All input of a run, in order.
pub struct Input {
    waiting: std::vec::IntoIter<Opening>,
    current: Option<Reading>,
    /// Size of everything, where it is known beforehand.
    pub bytes_total: Option<u64>,
    /// Bytes asked for in one read, and so the size of most batches.
    pub read_size: usize,
}

/// A source that is known to be there.
pub(crate) struct Opening {
    path: Option<PathBuf>,
    shard: Option<Shard>,
    /// What it must still be when it is opened.
    identity: Option<Identity>,
}

struct Reading {
    reader: Box<dyn Read + Send>,
    source: Arc<Source>,
    tail: Vec<u8>,
}

impl Input {
    /// The operands of the command line.
    ///
    /// # Errors
    /// Where a file cannot be opened: before anything is read.
    pub fn open(common: &Common) -> Result<Input, Failure> {
        Input::of(&common.operands, common.shard)
    }

    /// These files (`-`: standard input; none: standard input), or one shard of each.
    ///
    /// # Errors
    /// Where one cannot be opened: before anything is read.
    pub fn of(paths: &[PathBuf], shard: Option<Shard>) -> Result<Input, Failure> {
        let openings: Vec<_> = Opening::all(paths, shard).collect();
        let sizes = openings.iter().map(Opening::size).collect::<Result<Vec<_>, _>>()?;
        let bytes_total = sizes.into_iter().sum();
        Ok(Input { waiting: openings.into_iter(), current: None, bytes_total, read_size: READ })
    }

    /// The same, where each regular file must be what it is now when it is its turn: for what is read once more.
    pub fn held(mut self) -> Input {
        for opening in self.waiting.as_mut_slice() {
            opening.identity = opening.path.as_deref().and_then(Identity::of);
        }
        self
    }

    /// The next lines; `buffer` is memory to use again. `None` at the end of everything.
    ///
    /// # Errors
    /// Where a file cannot be read, or its compressed bytes are broken.
    pub fn next(&mut self, mut buffer: Vec<u8>) -> Result<Option<Batch>, Failure> {
        loop {
            if let Some(reading) = &mut self.current {
                match reading.lines(&mut buffer, self.read_size) {
                    Ok(0) => self.current = None,
                    Ok(length) => return Ok(Some(Batch { source: reading.source.clone(), buffer, length })),
                    Err(why) => {
                        return Err(Failure::work(format!("{}: {}", reading.source.name, reading_reason(why))));
                    }
                }
            }
            if self.current.is_none() {
                let Some(opening) = self.waiting.next() else { return Ok(None) };
                self.current = Some(opening.open()?);
            }
        }
    }
}

impl Opening {
    /// Those of some operands (`-`: standard input; none: standard input).
    pub(crate) fn all(paths: &[PathBuf], shard: Option<Shard>) -> impl Iterator<Item = Opening> {
        let paths = if paths.is_empty() { vec![PathBuf::from("-")] } else { paths.to_vec() };
        paths.into_iter().map(move |path| Opening {
            path: (path != Path::new("-")).then_some(path),
            shard,
            identity: None,
        })
    }

    /// That of one file (`-`: standard input).
    fn one(path: &Path) -> Opening {
        Opening { path: (path != Path::new("-")).then(|| path.to_path_buf()), shard: None, identity: None }
    }

    pub(crate) fn name(&self) -> String {
        self.path.as_deref().map_or("<stdin>".to_string(), name)
    }

    fn failed(&self, why: io::Error) -> Failure {
        Failure::work(format!("{}: {}", self.name(), reason(why)))
    }

    /// The same while reading.
    fn unread(&self, why: io::Error) -> Failure {
        Failure::work(format!("{}: {}", self.name(), reading_reason(why)))
    }

    pub(crate) fn file(&self) -> io::Result<File> {
        self.path.as_ref().map_or_else(descriptor::stdin, File::open)
    }

    /// What is known without opening: a named pipe can be opened once only.
    fn metadata(&self) -> io::Result<Metadata> {
        match &self.path {
            Some(path) => fs::metadata(path),
            None => descriptor::stdin()?.metadata(),
        }
    }

    /// Size of a plain file or of the shard of it, `None` for a pipe. Checks that the file is there.
    pub(crate) fn size(&self) -> Result<Option<u64>, Failure> {
        let found = self.metadata().map_err(|why| self.failed(why))?;
        if found.is_dir() {
            return Err(self.is_directory());
        }
        if self.shard.is_some() && !found.is_file() {
            return Err(self.no_shard());
        }
        if !found.is_file() {
            return Ok(None);
        }
        // Whether it may be read shows on opening, which is done again when it is its turn: there may be too many to
        // keep open.
        self.file().map_err(|why| self.failed(why))?;
        Ok(Some(found.len() / self.shard.map_or(1, |shard| shard.count)))
    }

    /// Where a plain file is to be read from, and its length; `None` for pipes, what is compressed and what does not
    /// know its length, of which no shard can be taken.
    pub(crate) fn plain(&self) -> Result<Option<(u64, u64)>, Failure> {
        let failed = |why| self.failed(why);
        if !self.metadata().map_err(failed)?.is_file() {
            return Ok(None);
        }
        let mut file = self.file().map_err(failed)?;
        let start = file.stream_position().map_err(failed)?;
        let first = first_bytes(&mut file).and_then(|first| file.seek(SeekFrom::Start(start)).map(|_| first));
        let (first, length) = (first.map_err(failed)?, file.metadata().map_err(failed)?.len());
        let packed = packing(&first).is_some();
        let unknown = length == 0 && !first.is_empty();
        match (packed || unknown, self.shard) {
            (false, _) => Ok(Some((start, length))),
            (true, None) => Ok(None),
            (true, Some(_)) => Err(if packed { self.packed_shard() } else { self.no_shard() }),
        }
    }

    /// What comes, decompressed.
    pub(crate) fn stream(&self) -> io::Result<Box<dyn Read + Send>> {
        let mut file = self.file()?;
        let first = first_bytes(&mut file)?;
        let rest = Digested::rest(&self.name(), &first, file);
        decompressed(first, rest)
    }

    /// What comes: from so many bytes on of a plain file, or decompressed.
    pub(crate) fn bytes(&self, plain_from: Option<u64>) -> io::Result<Bytes> {
        let at = |start| self.file().and_then(|mut file| file.seek(SeekFrom::Start(start)).map(|_| file));
        let reader = match plain_from {
            Some(start) => Unpacked::File(at(start)?),
            None => Unpacked::Stream(self.stream()?),
        };
        Ok(Bytes { name: self.name(), reader, digest: None })
    }

    fn packed_shard(&self) -> Failure {
        Failure::usage(format!("--shard cannot cut compressed input, which {} is", self.name()))
    }

    fn no_shard(&self) -> Failure {
        Failure::usage(format!("--shard needs regular files, which {} is not", self.name()))
    }

    fn is_directory(&self) -> Failure {
        let (name, program) = (self.name(), crate::name());
        Failure::work(format!(
            "{name}: is a directory; its files: find {name} -type f -print0 | sort -z | xargs -0 {program} ..."
        ))
    }

    fn open(&self) -> Result<Reading, Failure> {
        let (reader, start) = self.reader()?;
        // Standard input that can be cut into shards is a file, which that name opens anew.
        let path = self.path.clone().unwrap_or_else(|| PathBuf::from("/dev/stdin"));
        let source = Source { name: self.name(), path, start };
        Ok(Reading { reader, source: Arc::new(source), tail: Vec::new() })
    }

    /// Its lines or those of the shard, and where they begin.
    fn reader(&self) -> Result<(Box<dyn Read + Send>, u64), Failure> {
        let failed = |why| self.unread(why);
        let mut file = self.file().map_err(failed)?;
        self.check_identity(&file)?;
        let first = first_bytes(&mut file).map_err(failed)?;
        let Some(shard) = self.shard else {
            return self.text(first, file).map(|text| (text, 0));
        };
        if packing(&first).is_some() {
            return Err(self.packed_shard());
        }
        self.check_text(&first)?;
        let (start, end) = shard_range(&mut file, shard).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        if length == 0 && !first.is_empty() {
            return Err(self.no_shard());
        }
        file.seek(SeekFrom::Start(start)).map_err(failed)?;
        let mut lines = file.take(end - start);
        if start > 0 {
            return Ok((Box::new(lines), start));
        }
        let first = first_bytes(&mut lines).map_err(failed)?;
        Ok((without_mark(first, lines), start))
    }

    /// The text of a file whose first bytes are read, decompressed.
    fn text(&self, first: Vec<u8>, file: File) -> Result<Box<dyn Read + Send>, Failure> {
        let file = Digested::rest(&self.name(), &first, file);
        if packing(&first).is_none() {
            self.check_text(&first)?;
            return Ok(without_mark(first, file));
        }
        let mut text = decompressed(first, file).map_err(|why| self.unread(why))?;
        let first = first_bytes(&mut text).map_err(|why| self.unread(why))?;
        self.check_text(&first)?;
        Ok(without_mark(first, text))
    }

    fn check_identity(&self, file: &File) -> Result<(), Failure> {
        match (&self.path, self.identity) {
            (Some(path), Some(known)) if Identity::of_file(file) != Some(known) => Err(changed(path)),
            _ => Ok(()),
        }
    }

    /// Refuses what has no lines.
    fn check_text(&self, first: &[u8]) -> Result<(), Failure> {
        let foreign = without_lines(first).map(|format| format.describe(&self.name()));
        foreign.map_or(Ok(()), |why| Err(Failure::work(format!("{}: {why}", self.name()))))
    }
}

impl Reading {
    /// Fills `buffer` with whole lines and gives their length: 0 at the end.
    fn lines(&mut self, buffer: &mut Vec<u8>, read_size: usize) -> io::Result<usize> {
        let mut length = self.tail.len();
        reserve(buffer, length);
        buffer[..length].copy_from_slice(&self.tail);
        self.tail.clear();
        loop {
            // A line longer than a read doubles what is asked for, so that it is copied a constant number of times.
            let wanted = read_size.max(length);
            reserve(buffer, length + wanted);
            let read = match self.reader.read(&mut buffer[length..length + wanted]) {
                Err(why) if why.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            let newline = memchr::memrchr(b'\n', &buffer[length..length + read]);
            length += read;
            match newline {
                _ if read == 0 => return Ok(length),
                None => continue,
                Some(at) => {
                    let end = length - read + at + 1;
                    self.tail.extend_from_slice(&buffer[end..length]);
                    return Ok(end);
                }
            }
        }
    }
}

fn reserve(buffer: &mut Vec<u8>, length: usize) {
    if buffer.len() < length {
        buffer.resize(length, 0);
    }
}

/// The bytes of one input, decompressed: for what is not lines.
pub struct Bytes {
    /// What messages call it.
    pub name: String,
    reader: Unpacked,
    /// The sum of a plain file, as long as it is read from its first byte on.
    digest: Option<Digest>,
}

enum Unpacked {
    /// A regular file that is not compressed: what is not wanted can be left out.
    File(File),
    Stream(Box<dyn Read + Send>),
}

impl Bytes {
    /// Checks that a file (`-`: standard input) is there and is no folder; gives the size of a regular file.
    ///
    /// # Errors
    /// Where it is not there, or is a folder.
    pub fn check(path: &Path) -> Result<Option<u64>, Failure> {
        Opening::one(path).size()
    }

    /// The same for a file of which only a shard may be wanted.
    ///
    /// # Errors
    /// As [`Bytes::check`], and where a shard is wanted of what is no regular file.
    pub fn check_for(path: &Path, shard: Option<Shard>) -> Result<Option<u64>, Failure> {
        let opening = Opening::one(path);
        match opening.size()? {
            None if shard.is_some() => Err(opening.no_shard()),
            size => Ok(size),
        }
    }

    /// Opens a file (`-`: standard input), compressed or not.
    ///
    /// # Errors
    /// Where it cannot be opened, or is not of lines.
    pub fn open(path: &Path) -> Result<Bytes, Failure> {
        let opening = Opening::one(path);
        let failed = |why| opening.failed(why);
        let is_file = opening.size()?.is_some();
        let mut file = opening.file().map_err(failed)?;
        let start = if is_file { file.stream_position().map_err(failed)? } else { 0 };
        let first = first_bytes(&mut file).map_err(failed)?;
        let name = opening.name();
        if is_file && packing(&first).is_none() {
            file.seek(SeekFrom::Start(start)).map_err(failed)?;
            let digest = if start == 0 { Digest::begin(Side::Input, &name) } else { None };
            return Ok(Bytes { name, reader: Unpacked::File(file), digest });
        }
        let rest = Digested::rest(&name, &first, file);
        let reader = Unpacked::Stream(decompressed(first, rest).map_err(failed)?);
        Ok(Bytes { name, reader, digest: None })
    }

    /// Whether it can be cut without reading it.
    pub fn is_plain_file(&self) -> bool {
        matches!(self.reader, Unpacked::File(_))
    }

    /// The file, where it is a plain one.
    pub fn plain_file(&mut self) -> Option<&mut File> {
        self.digest = None;
        match &mut self.reader {
            Unpacked::File(file) => Some(file),
            Unpacked::Stream(_) => None,
        }
    }

    /// What the first header says; it is read again afterwards. `None` where there is none, or a damaged one.
    ///
    /// # Errors
    /// Those of reading.
    pub fn header(&mut self) -> Result<Option<Header>, Failure> {
        let digest = self.digest.take();
        let mut copied = Copied { bytes: self, copy: Vec::new(), failed: false };
        let (header, first, failed) = (Header::read(&mut copied), copied.copy, copied.failed);
        self.digest = digest;
        let again = match &mut self.reader {
            Unpacked::File(file) => file.seek_relative(-(first.len() as i64)),
            Unpacked::Stream(stream) => {
                let rest = std::mem::replace(stream, Box::new(io::empty()));
                *stream = Box::new(Cursor::new(first).chain(rest));
                Ok(())
            }
        };
        let header = if failed { header } else { Ok(header.unwrap_or(None)) };
        again.and(header).map_err(|why| Failure::work(format!("{}: {}", self.name, reading_reason(why))))
    }

    /// Leaves out this many bytes of a plain file.
    pub(crate) fn skip(&mut self, bytes: u64) -> io::Result<()> {
        self.digest = None;
        let Unpacked::File(file) = &mut self.reader else { panic!("only plain files can be cut") };
        file.seek(SeekFrom::Current(i64::try_from(bytes).unwrap_or(i64::MAX))).map(drop)
    }
}

/// Keeps a copy of what is read.
struct Copied<'a> {
    bytes: &'a mut Bytes,
    copy: Vec<u8>,
    /// Whether reading did not work.
    failed: bool,
}

impl Read for Copied<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.bytes.read(buffer).inspect_err(|_| self.failed = true)?;
        self.copy.extend_from_slice(&buffer[..read]);
        Ok(read)
    }
}

impl Read for Bytes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match &mut self.reader {
                Unpacked::File(file) => file.read(buffer),
                Unpacked::Stream(stream) => stream.read(buffer),
            };
            match read {
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                read => {
                    let bytes = read.as_ref().map_or(&[][..], |&read| &buffer[..read]);
                    pass_or_end(&mut self.digest, bytes, if read.is_ok() { buffer.len() } else { 0 });
                    return read;
                }
            }
        }
    }
}

/// What comes of a file whose first bytes are read, decompressed.
fn decompressed(first: Vec<u8>, file: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    let kind = packing(&first);
    let whole = Cursor::new(first).chain(file);
    Ok(match kind {
        None => Box::new(whole),
        Some(Packing::Gzip) => Box::new(MultiGzDecoder::new(whole)),
        Some(Packing::Zstd) => Box::new(zstd::Decoder::new(whole)?),
    })
}

/// A text whose first bytes are read, without its byte order mark.
fn without_mark(mut first: Vec<u8>, rest: impl Read + Send + 'static) -> Box<dyn Read + Send> {
    if first.starts_with(BOM) {
        first.drain(..BOM.len());
    }
    Box::new(Cursor::new(first).chain(rest))
}

/// The bytes from the first line that begins in the shard's range to the end of the last one that does.
fn shard_range(file: &mut File, shard: Shard) -> io::Result<(u64, u64)> {
    let length = file.metadata()?.len();
    let mut cut = |index: u64| {
        let at = u128::from(length) * u128::from(index) / u128::from(shard.count);
        line_start(file, at as u64, length)
    };
    Ok((cut(shard.index)?, cut(shard.index + 1)?))
}

/// The first line start at or after `at`.
fn line_start(file: &mut File, at: u64, length: u64) -> io::Result<u64> {
    if at == 0 || at >= length {
        return Ok(at.min(length));
    }
    let mut position = at - 1;
    file.seek(SeekFrom::Start(position))?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = file.read(&mut buffer)?;
        if let Some(newline) = memchr::memchr(b'\n', &buffer[..read]) {
            return Ok(position + newline as u64 + 1);
        }
        if read == 0 {
            return Ok(length);
        }
        position += read as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file(name: &str, bytes: &[u8]) -> PathBuf {
        let path = std::env::temp_dir().join(format!("input-{name}-{}", std::process::id()));
        File::create(&path).unwrap().write_all(bytes).unwrap();
        path
    }

    fn read(path: &Path, shard: Option<Shard>) -> Result<Vec<u8>, Failure> {
        let mut input = Input::of(&[path.to_path_buf()], shard)?;
        let mut all = Vec::new();
        while let Some(batch) = input.next(Vec::new())? {
            all.extend_from_slice(batch.bytes());
        }
        Ok(all)
    }

    #[test]
    fn shards_are_whole_lines_and_nothing_is_lost() {
        let text = b"a\nbb\n\nccc\n\n\ndddddddddd\ne";
        let path = file("shards", text);
        for count in 1..=40 {
            let mut all = Vec::new();
            for index in 0..count {
                let part = read(&path, Some(Shard { index, count })).unwrap();
                assert!(part.is_empty() || part.ends_with(b"\n") || text.ends_with(&part));
                all.extend(part);
            }
            assert_eq!(all, text, "{count} shards");
        }
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_file_that_is_held_must_not_change() {
        let path = file("held", b"a\nb\n");
        let held = || Input::of(std::slice::from_ref(&path), None).unwrap().held();
        let read = |mut input: Input| input.next(Vec::new()).map(|batch| batch.map(Batch::into_buffer).is_some());
        assert_eq!(read(held()), Ok(true));
        let changes: [&dyn Fn(); 3] = [
            &|| std::fs::write(&path, b"a\nb\nc\n").unwrap(),
            &|| File::options().write(true).open(&path).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap(),
            &|| {
                let other = file("held-other", b"x\ny\nz\n");
                File::options().write(true).open(&other).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
                std::fs::rename(other, &path).unwrap();
            },
        ];
        for change in changes {
            let input = held();
            change();
            assert_eq!(read(input), Err(changed(&path)));
        }
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn long_lines_come_whole() {
        let mut text = vec![b'x'; 3 * READ + 17];
        text.extend(b"\nshort\n");
        text.extend(vec![b'y'; READ]);
        let path = file("long", &text);
        let mut input = Input::of(std::slice::from_ref(&path), None).unwrap();
        let mut ends = Vec::new();
        let mut all = Vec::new();
        while let Some(batch) = input.next(vec![0; 10]).unwrap() {
            ends.push(*batch.bytes().last().unwrap());
            all.extend_from_slice(batch.bytes());
        }
        assert_eq!(all, text);
        assert_eq!(ends.split_last(), Some((&b'y', &b"\n".repeat(ends.len() - 1)[..])));
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn compressed_members_are_one_stream_and_truncation_is_an_error() {
        let gzip = |bytes: &[u8]| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        };
        let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 1).unwrap();
        for (name, packed) in [("gz", [gzip(b"one\n"), gzip(b"two\n")]), ("zst", [zstd(b"one\n"), zstd(b"two\n")])] {
            let packed = packed.concat();
            let path = file(name, &packed);
            assert_eq!(read(&path, None).unwrap(), b"one\ntwo\n");
            let refused = read(&path, Some(Shard { index: 0, count: 2 }));
            assert!(matches!(refused, Err(Failure::Usage(_))));
            std::fs::write(&path, &packed[..packed.len() - 3]).unwrap();
            match read(&path, None) {
                Err(Failure::Work(why)) => assert!(why.ends_with(": truncated"), "{why}"),
                other => panic!("{other:?}"),
            }
            std::fs::remove_file(path).unwrap();
        }
    }
}

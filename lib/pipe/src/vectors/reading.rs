//! Reading streams of vectors.
//!
//! Plain files are walked from header to header when they are opened, so that damage is found, and the number of rows known, before
//! anything is read or written; pipes and compressed files are checked as they come.

use super::{Dtype, Raw, widen_f16};
use crate::failure::{Failure, reading_reason};
use crate::floats::DIM_MAX;
use crate::input::Opening;
use crate::npy::{Header, MAGIC, read_up_to};
use crate::settings::Shard;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;

/// Where rows stand, for messages and for columns beside them.
#[derive(Debug, Clone)]
pub struct Place {
    file: Arc<str>,
    /// The first row's number in its file, from 0.
    pub row: u64,
    /// The same in all of the input, the rows that no shard takes included.
    pub row_overall: u64,
}

impl Place {
    /// `FILE: row N`, of the row that stands so many rows behind.
    pub fn of(&self, behind: usize) -> String {
        format!("{}: row {}", self.file, self.row + behind as u64)
    }
}

/// The vectors of all input, or one shard of each file, in order; all of one dimension.
pub struct Vectors {
    sources: Vec<Source>,
    raw: Option<Raw>,
    /// The dimension, and the file that has it.
    dim: Option<(usize, Arc<str>)>,
    /// Sources that were begun.
    begun: usize,
    current: Option<Reading>,
    /// Rows of the sources before the current one.
    rows_before: u64,
    bytes: u64,
    buffer: Vec<u8>,
    last: Place,
}

/// An input that is known to be there.
struct Source {
    opening: Opening,
    name: Arc<str>,
    plain: Option<Plain>,
}

/// A plain file.
#[derive(Clone, Copy)]
struct Plain {
    /// Where the stream begins: standard input may have been read from before.
    start: u64,
    bytes: u64,
    rows: u64,
    /// The rows of the shard.
    from: u64,
    to: u64,
}

/// A source on its way.
struct Reading {
    bytes: Bytes,
    dtype: Dtype,
    /// Rows of the current array that are not read yet.
    rows_left: u64,
    /// Arrays that were begun.
    arrays: u64,
    /// Rows that are read or passed over.
    row: u64,
}

enum Bytes {
    File(File),
    Stream(Box<dyn Read + Send>),
}

impl Read for Bytes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Bytes::File(file) => file.read(buffer),
            Bytes::Stream(stream) => stream.read(buffer),
        }
    }
}

impl Vectors {
    /// These files (`-`: standard input; none: standard input), or one shard of the rows of each. Checks what can be checked without
    /// waiting for a pipe, then reads the first header.
    pub fn open(paths: &[PathBuf], raw: Option<Raw>, shard: Option<Shard>) -> Result<Vectors, Failure> {
        let sources = Opening::all(paths, shard);
        let sources = sources.map(|opening| Source { name: opening.name().into(), opening, plain: None }).collect();
        let last = Place { file: "".into(), row: 0, row_overall: 0 };
        let dim = raw.map(|raw| (raw.dim, "--headerless".into()));
        let mut vectors =
            Vectors { sources, raw, dim, begun: 0, current: None, rows_before: 0, bytes: 0, buffer: Vec::new(), last };
        // First that all are there, then what is in them.
        vectors.sources.iter().try_for_each(|source| source.opening.size().map(drop))?;
        for at in 0..vectors.sources.len() {
            vectors.sources[at].plain = vectors.survey(at, shard)?;
        }
        vectors.rewind_to_start();
        vectors.find_rows()?;
        Ok(vectors)
    }

    /// Values of a vector; `None` where the input has no array at all.
    pub fn dim(&self) -> Option<usize> {
        self.dim.as_ref().map(|&(dim, _)| dim)
    }

    /// Refuses vectors of another dimension than `owner` has.
    pub fn check_dim(&self, dim: usize, owner: &str) -> Result<(), Failure> {
        match &self.dim {
            Some((found, file)) if *found != dim => {
                Err(Failure::work(format!("{file}: vectors of {found} values: expected {dim}, as {owner} has")))
            }
            _ => Ok(()),
        }
    }

    /// How many vectors there are, or are in the shard; known of plain files.
    pub fn rows_total(&self) -> Option<u64> {
        self.sources.iter().map(|source| source.plain.map(|plain| plain.to - plain.from)).sum()
    }

    /// Bytes of all input or of the shard, headers left out with the latter; known of plain files.
    pub fn bytes_total(&self) -> Option<u64> {
        let share = |plain: Plain| match plain.rows {
            0 => plain.bytes,
            rows => (u128::from(plain.bytes) * u128::from(plain.to - plain.from) / u128::from(rows)) as u64,
        };
        self.sources.iter().map(|source| source.plain.map(share)).sum()
    }

    /// Whether the input can be read again: all of it is plain files.
    pub fn rereadable(&self) -> bool {
        self.sources.iter().all(|source| source.plain.is_some())
    }

    /// Goes back to the first row.
    ///
    /// # Panics
    /// Where the input is not [rereadable](Vectors::rereadable).
    pub fn rewind(&mut self) -> Result<(), Failure> {
        assert!(self.rereadable(), "only plain files can be read again");
        self.rewind_to_start();
        self.find_rows().map(drop)
    }

    /// Bytes that were read since the start, after decompression.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next rows, up to so many, replace what is in `rows`; how many they are is returned, 0 at the end. Values come as they are,
    /// 16-bit floats widened. What is returned together is of one array.
    pub fn next(&mut self, rows: &mut Vec<f32>, rows_max: usize) -> Result<usize, Failure> {
        rows.clear();
        while self.find_rows()? {
            let count = self.read_rows(rows, rows_max)?;
            // Only headerless records end without having said so before.
            if count > 0 {
                return Ok(count);
            }
        }
        Ok(0)
    }

    /// Where the first of the rows is that [`Vectors::next`] gave last.
    pub fn last(&self) -> Place {
        self.last.clone()
    }

    /// [`Place::of`] a row that [`Vectors::next`] gave last.
    pub fn place(&self, row_in_last_block: usize) -> String {
        self.last.of(row_in_last_block)
    }

    /// How many rows there are in all of the input, the rows that no shard takes included: known at its end.
    pub fn rows_overall(&self) -> u64 {
        self.rows_before
    }

    fn rewind_to_start(&mut self) {
        (self.begun, self.current, self.rows_before, self.bytes) = (0, None, 0, 0);
    }

    /// Reads up to so many rows of the current array.
    fn read_rows(&mut self, rows: &mut Vec<f32>, rows_max: usize) -> Result<usize, Failure> {
        let dim = self.dim().expect("an array was found");
        let source = &self.sources[self.begun - 1];
        let reading = self.current.as_mut().expect("a source was begun");
        let size = dim * reading.dtype.size();
        let wanted = reading.rows_left.min(source.range().1 - reading.row).min(rows_max as u64) as usize;
        self.buffer.resize(wanted * size, 0);
        let length = read_up_to(&mut reading.bytes, &mut self.buffer).map_err(|why| source.failed(why))?;
        let count = length / size;
        if length < self.buffer.len() {
            if self.raw.is_none() || length % size != 0 {
                return Err(source.cut_short(reading, count as u64, self.raw));
            }
            reading.rows_left = count as u64;
        }
        if self.raw.is_some() && reading.row == 0 && self.buffer.starts_with(MAGIC) {
            let why = "begins like a .npy array, which says its dimension itself: leave --headerless out";
            return Err(source.wrong(reading, why.to_string()));
        }
        widen(&self.buffer[..length], reading.dtype, rows);
        self.bytes += length as u64;
        self.last = Place { file: source.name.clone(), row: reading.row, row_overall: self.rows_before + reading.row };
        reading.row += count as u64;
        reading.rows_left -= count as u64;
        Ok(count)
    }

    /// Goes to where the next row is. `false`: there is none.
    fn find_rows(&mut self) -> Result<bool, Failure> {
        loop {
            let Some(reading) = &mut self.current else {
                let Some(source) = self.sources.get(self.begun) else { return Ok(false) };
                self.current = Some(source.begin(self.raw)?);
                self.begun += 1;
                continue;
            };
            let source = &self.sources[self.begun - 1];
            let (from, to) = source.range();
            let count = reading.rows_left.min(from.saturating_sub(reading.row));
            if count > 0 {
                let dim = self.dim.as_ref().map_or(0, |&(dim, _)| dim);
                reading.pass(count, dim).map_err(|why| source.failed(why))?;
            }
            if reading.rows_left > 0 && reading.row < to {
                return Ok(true);
            }
            if reading.row >= to || !self.find_array()? {
                self.end_source();
            }
        }
    }

    fn end_source(&mut self) {
        let read = self.current.take().map_or(0, |reading| reading.row);
        self.rows_before += self.sources[self.begun - 1].plain.map_or(read, |plain| plain.rows);
    }

    /// Goes to the next array of the current source. `false`: there is none.
    fn find_array(&mut self) -> Result<bool, Failure> {
        let source = &self.sources[self.begun - 1];
        let reading = self.current.as_mut().expect("a source was begun");
        if let Some(raw) = self.raw {
            // All that comes is one array, whose length a pipe does not tell.
            let first = reading.arrays == 0;
            reading.arrays = 1;
            reading.rows_left = if first { source.plain.map_or(u64::MAX, |plain| plain.rows) } else { 0 };
            reading.dtype = raw.dtype;
            return Ok(first && reading.rows_left > 0);
        }
        let Some(header) = Header::read(&mut reading.bytes).map_err(|why| source.failed_in(reading, why))? else {
            return Ok(false);
        };
        self.bytes += header.length;
        let (rows, dim, dtype) = array(&header).map_err(|why| source.wrong(reading, why))?;
        match &self.dim {
            Some((known, place)) if *known != dim => {
                return Err(source.wrong(reading, format!("vectors of {dim} values: expected {known}, as {place} has")));
            }
            Some(_) => {}
            None => self.dim = Some((dim, source.name.clone())),
        }
        (reading.rows_left, reading.dtype) = (rows, dtype);
        reading.arrays += 1;
        Ok(true)
    }

    /// Walks through a plain file; `None` for what is not one.
    fn survey(&mut self, at: usize, shard: Option<Shard>) -> Result<Option<Plain>, Failure> {
        let source = &mut self.sources[at];
        let Some((start, length)) = source.opening.plain()? else { return Ok(None) };
        let bytes = length.saturating_sub(start);
        // Until its rows are known, a file is read whole.
        let mut plain = Plain { start, bytes, rows: 0, from: 0, to: u64::MAX };
        match self.raw {
            Some(raw) => {
                let size = (raw.dim * raw.dtype.size()) as u64;
                if bytes % size != 0 {
                    let why =
                        format!("{bytes} bytes are {} records of {size} bytes and {} over", bytes / size, bytes % size);
                    return Err(Failure::work(format!("{}: {why}", source.name)));
                }
                plain.rows = bytes / size;
            }
            None => {
                source.plain = Some(plain);
                plain.rows = self.walk(at, start + bytes)?;
            }
        }
        let cut = |index: u64, count: u64| (u128::from(plain.rows) * u128::from(index) / u128::from(count)) as u64;
        (plain.from, plain.to) = shard.map_or((0, plain.rows), |s| (cut(s.index, s.count), cut(s.index + 1, s.count)));
        Ok(Some(plain))
    }

    /// Goes from header to header of a plain file and counts rows.
    fn walk(&mut self, at: usize, end: u64) -> Result<u64, Failure> {
        self.current = Some(self.sources[at].begin(None)?);
        self.begun = at + 1;
        while self.find_array()? {
            let (source, dim) = (&self.sources[at], self.dim().expect("an array was found"));
            let reading = self.current.as_mut().expect("a source was begun");
            let size = (dim * reading.dtype.size()) as u64;
            let left = (end - reading.position().map_err(|why| source.failed(why))?) / size;
            if left < reading.rows_left {
                return Err(source.cut_short(reading, left, None));
            }
            reading.pass(reading.rows_left, dim).map_err(|why| source.failed(why))?;
        }
        Ok(self.current.take().map_or(0, |reading| reading.row))
    }
}

impl Source {
    /// The rows that are to be read.
    fn range(&self) -> (u64, u64) {
        self.plain.map_or((0, u64::MAX), |plain| (plain.from, plain.to))
    }

    fn begin(&self, raw: Option<Raw>) -> Result<Reading, Failure> {
        let bytes = match self.plain {
            Some(plain) => {
                let file = self.opening.file();
                let at_start = |mut file: File| file.seek(SeekFrom::Start(plain.start)).map(|_| file);
                file.and_then(at_start).map(Bytes::File)
            }
            None => self.opening.stream().map(Bytes::Stream),
        };
        let bytes = bytes.map_err(|why| self.failed(why))?;
        let dtype = raw.map_or(Dtype::F32, |raw| raw.dtype);
        Ok(Reading { bytes, dtype, rows_left: 0, arrays: 0, row: 0 })
    }

    fn failed(&self, why: io::Error) -> Failure {
        Failure::work(format!("{}: {}", self.name, reading_reason(why)))
    }

    /// A header that cannot be read: what came out of the decompressor is named by the array, what went wrong before it is not.
    fn failed_in(&self, reading: &Reading, why: io::Error) -> Failure {
        if why.kind() == ErrorKind::InvalidData { self.wrong(reading, reading_reason(why)) } else { self.failed(why) }
    }

    fn wrong(&self, reading: &Reading, why: String) -> Failure {
        Failure::work(format!("{}: array {}: {why}", self.name, reading.arrays))
    }

    /// What to say of an array that ends so many rows behind where it was read to.
    fn cut_short(&self, reading: &Reading, behind: u64, raw: Option<Raw>) -> Failure {
        let row = reading.row + behind;
        let why = if raw.is_some() {
            format!("truncated: row {row} is not whole")
        } else {
            let missing = reading.rows_left - behind;
            format!(
                "truncated: row {row} and all behind it are missing, {missing} of its array (is the file still being written?)"
            )
        };
        Failure::work(format!("{}: {why}", self.name))
    }
}

impl Reading {
    /// Goes past rows of a plain file.
    fn pass(&mut self, rows: u64, dim: usize) -> io::Result<()> {
        if let Bytes::File(file) = &mut self.bytes {
            file.seek_relative((rows * (dim * self.dtype.size()) as u64) as i64)?;
        }
        self.row += rows;
        self.rows_left -= rows;
        Ok(())
    }

    fn position(&mut self) -> io::Result<u64> {
        match &mut self.bytes {
            Bytes::File(file) => file.stream_position(),
            Bytes::Stream(_) => Err(ErrorKind::Unsupported.into()),
        }
    }
}

/// Rows, dimension and type of an array of vectors.
fn array(header: &Header) -> Result<(u64, usize, Dtype), String> {
    let dtype = match header.descr.as_str() {
        "<f4" => Dtype::F32,
        "<f2" => Dtype::F16,
        other => {
            return Err(format!("type {other:?}: expected little-endian floats of 32 or 16 bits, \"<f4\" or \"<f2\""));
        }
    };
    let &[rows, dim] = &header.shape[..] else {
        return Err(format!("shape {:?}: expected two dimensions, rows and values", header.shape));
    };
    if header.fortran_order {
        return Err("Fortran order: expected C order, as numpy.ascontiguousarray makes it".to_string());
    }
    if dim == 0 || dim > DIM_MAX {
        return Err(format!("vectors of {dim} values: expected 1 to {DIM_MAX}"));
    }
    let bytes = rows.checked_mul(dim * dtype.size() as u64).filter(|&bytes| bytes <= i64::MAX as u64);
    bytes.ok_or_else(|| format!("shape {:?}: more bytes than a file can have", header.shape))?;
    Ok((rows, dim as usize, dtype))
}

fn widen(bytes: &[u8], dtype: Dtype, values: &mut Vec<f32>) {
    match dtype {
        Dtype::F32 => values.extend(bytes.as_chunks().0.iter().map(|&value| f32::from_le_bytes(value))),
        Dtype::F16 => values.extend(bytes.as_chunks().0.iter().map(|&value| widen_f16(u16::from_le_bytes(value)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Output;
    use crate::vectors::VectorWriter;
    use std::path::Path;

    /// A file of arrays of so many rows; row i is (i, -i).
    fn file(name: &str, arrays: &[u16]) -> PathBuf {
        let path = std::env::temp_dir().join(format!("reading-{name}-{}", std::process::id()));
        let (mut bytes, mut row) = (Vec::new(), 0);
        for &rows in arrays {
            bytes.extend(Header::write("<f4", &[u64::from(rows), 2]));
            for _ in 0..rows {
                bytes.extend([row as f32, -(row as f32)].iter().flat_map(|value| value.to_le_bytes()));
                row += 1;
            }
        }
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// The first value of each row, and the places that blocks say.
    fn read(vectors: &mut Vectors, rows_max: usize) -> Vec<f32> {
        let (mut block, mut all) = (Vec::new(), Vec::new());
        loop {
            let count = vectors.next(&mut block, rows_max).unwrap();
            if count == 0 {
                return all;
            }
            assert!(count <= rows_max && block.len() == 2 * count);
            assert_eq!(vectors.last().row_overall as f32 % 1000.0, block[0]);
            all.extend(block.chunks(2).map(|row| row[0]));
        }
    }

    #[test]
    fn shards_are_whole_rows_and_nothing_is_lost() {
        let path = file("shards", &[3, 0, 1, 6, 1]);
        let expected: Vec<_> = (0..11).map(|row| row as f32).collect();
        for count in 1..=15 {
            for rows_max in [1, 2, 100] {
                let shard =
                    |index| Vectors::open(std::slice::from_ref(&path), None, Some(Shard { index, count })).unwrap();
                let mut all = Vec::new();
                for mut vectors in (0..count).map(shard) {
                    let part = read(&mut vectors, rows_max);
                    assert_eq!((vectors.rows_total(), vectors.rows_overall()), (Some(part.len() as u64), 11));
                    all.extend(part);
                }
                assert_eq!(all, expected, "{count} shards");
            }
        }
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn plain_files_are_read_again() {
        let paths = [file("again-a", &[3, 2]), file("again-b", &[]), file("again-c", &[0, 4])];
        let mut vectors = Vectors::open(&paths[..1], None, None).unwrap();
        assert_eq!((vectors.dim(), vectors.rows_total(), vectors.rereadable()), (Some(2), Some(5), true));
        let first = read(&mut vectors, 2);
        assert_eq!(vectors.bytes_total(), Some(vectors.bytes()));
        vectors.rewind().unwrap();
        assert_eq!(read(&mut vectors, 100), first);
        let mut vectors = Vectors::open(&paths, None, None).unwrap();
        let mut block = Vec::new();
        while vectors.next(&mut block, 3).unwrap() > 0 {}
        assert_eq!((vectors.place(1), vectors.rows_overall()), (format!("{}: row 4", paths[2].display()), 9));
        vectors.rewind().unwrap();
        assert_eq!((vectors.next(&mut block, 100), block[0]), (Ok(3), 0.0));
        assert_eq!(Vectors::open(&paths[1..2], None, None).unwrap().dim(), None);
        paths.iter().for_each(|path| std::fs::remove_file(path).unwrap());
    }

    #[test]
    fn what_the_writer_writes_is_read() {
        let path = std::env::temp_dir().join(format!("reading-written-{}", std::process::id()));
        for dtype in [Dtype::F32, Dtype::F16] {
            let mut writer = VectorWriter::new(Output::create(&path).unwrap(), 2, dtype).unwrap();
            writer.write(&[0.0, -0.0, 1.0, f32::INFINITY, 2.0, 65504.0]).unwrap();
            writer.finish().unwrap();
            assert_eq!(read(&mut Vectors::open(std::slice::from_ref(&path), None, None).unwrap(), 2), [0.0, 1.0, 2.0]);
        }
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_file_that_shrinks_between_passes_is_an_error() {
        let path = file("shrinks", &[5]);
        let mut vectors = Vectors::open(std::slice::from_ref(&path), None, None).unwrap();
        let cut = |path: &Path| File::options().write(true).open(path).and_then(|file| file.set_len(128 + 12)).unwrap();
        cut(&path);
        let why = vectors.next(&mut Vec::new(), 100).unwrap_err();
        let said = format!("{}: truncated: row 1 and all behind it are missing, 4 of its array", path.display());
        assert!(matches!(why, Failure::Work(why) if why.starts_with(&said)));
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn raw_says_dimension_and_type() {
        assert_eq!(Raw::parse("384:f16"), Some(Raw { dim: 384, dtype: Dtype::F16 }));
        for wrong in ["384", ":f32", "0:f32", "16777217:f32", "4:f64", "-1:f32", "4:f32:"] {
            assert_eq!(Raw::parse(wrong), None, "{wrong}");
        }
    }
}

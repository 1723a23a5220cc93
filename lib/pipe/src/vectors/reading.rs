//! Reading arrays and streams of vectors.
//!
//! Plain files are walked from header to header when they are opened, so that damage is found, and the number of rows
//! known, before anything is read or written; pipes and compressed files are checked as they come.

use super::{Dtype, Raw, widen_f16};
use crate::array::RowReader;
use crate::failure::{Failure, name, reading_reason};
use crate::input::Opening;
use crate::npy::MAGIC;
use crate::settings::Shard;
use crate::stream::EMPTY;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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

/// Whether 64-bit floats have come, which are rounded to the nearest of 32 bits; also known where the vectors are read
/// elsewhere.
#[derive(Debug, Clone, Default)]
pub struct Rounding(Arc<AtomicBool>);

impl Rounding {
    /// Whether they have, so far.
    pub fn happened(&self) -> bool {
        self.0.load(Ordering::Relaxed)
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
    current: Option<RowReader>,
    /// How the values of the current array are stored, and whether those of any are rounded.
    dtype: Dtype,
    rounding: Rounding,
    /// Rows of the sources before the current one.
    rows_before: u64,
    bytes: u64,
    buffer: Vec<u8>,
    last: Place,
}

/// An input that is known to be there.
struct Source {
    opening: Opening,
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

impl Vectors {
    /// These files (`-`: standard input; none: standard input), or one shard of the rows of each. Checks what can be
    /// checked without waiting for a pipe, then reads the first header.
    ///
    /// # Errors
    /// Where a file cannot be opened, or its header is none.
    pub fn open(paths: &[PathBuf], raw: Option<Raw>, shard: Option<Shard>) -> Result<Vectors, Failure> {
        let sources = Opening::all(paths, shard);
        let sources = sources.map(|opening| Source { opening, plain: None }).collect();
        let last = Place { file: "".into(), row: 0, row_overall: 0 };
        let dim = raw.map(|raw| (raw.dim, "--headerless".into()));
        let dtype = raw.map_or(Dtype::F32, |raw| raw.dtype);
        let mut vectors = Vectors {
            sources,
            raw,
            dim,
            dtype,
            rounding: Rounding::default(),
            begun: 0,
            current: None,
            rows_before: 0,
            bytes: 0,
            buffer: Vec::new(),
            last,
        };
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

    /// Refuses vectors of another dimension than those of the file `owner` have.
    ///
    /// # Errors
    /// Where they have another; the message names `owner`.
    pub fn check_dim(&self, dim: usize, owner: &Path) -> Result<(), Failure> {
        match &self.dim {
            Some((found, file)) if *found != dim => {
                let owner = name(owner);
                Err(Failure::work(format!("{file}: vectors of {found} values: expected {dim}, as {owner} has")))
            }
            _ => Ok(()),
        }
    }

    /// What is known of rounding, now and later.
    pub fn rounding(&self) -> Rounding {
        self.rounding.clone()
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
    /// # Errors
    /// Where a file cannot be read again.
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

    /// The next rows, up to so many, replace what is in `rows`; how many they are is returned, 0 at the end. Values
    /// come as they are, 16-bit floats widened. What is returned together is of one array.
    ///
    /// # Errors
    /// Where a file cannot be read, ends within a row, or is not of the same vectors.
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
        let source = &self.sources[self.begun - 1];
        let reader = self.current.as_mut().expect("a source was begun");
        let row = reader.row();
        let count = reader.read((source.range().1 - row).min(rows_max as u64), &mut self.buffer)?;
        if self.raw.is_some() && row == 0 && self.buffer.starts_with(MAGIC) {
            let why = "begins like a .npy array, which says its dimension itself: leave --headerless out";
            return Err(reader.wrong(why.to_string()));
        }
        widen(&self.buffer, self.dtype, rows);
        self.bytes += self.buffer.len() as u64;
        self.last = Place { file: reader.name.clone(), row, row_overall: self.rows_before + row };
        Ok(count)
    }

    /// Goes to where the next row is. `false`: there is none.
    fn find_rows(&mut self) -> Result<bool, Failure> {
        loop {
            let Some(reader) = &mut self.current else {
                let Some(source) = self.sources.get(self.begun) else { return Ok(false) };
                self.current = Some(source.begin(self.raw)?);
                self.begun += 1;
                continue;
            };
            let (from, to) = self.sources[self.begun - 1].range();
            let count = reader.rows_left().min(from.saturating_sub(reader.row()));
            if count > 0 {
                reader.pass(count)?;
            }
            if reader.rows_left() > 0 && reader.row() < to {
                return Ok(true);
            }
            if reader.row() >= to || !self.find_array()? {
                self.end_source();
            }
        }
    }

    fn end_source(&mut self) {
        let read = self.current.take().map_or(0, |reader| reader.row());
        self.rows_before += self.sources[self.begun - 1].plain.map_or(read, |plain| plain.rows);
    }

    /// Goes to the next array of the current source. `false`: there is none.
    fn find_array(&mut self) -> Result<bool, Failure> {
        let reader = self.current.as_mut().expect("a source was begun");
        let Some(kind) = reader.next_array()? else { return Ok(false) };
        self.bytes += kind.header;
        self.dtype = Dtype::of_descr(&kind.descr).ok_or_else(|| {
            reader.wrong(format!("type {:?}: expected little-endian floats, \"<f4\", \"<f2\" or \"<f8\"", kind.descr))
        })?;
        if self.dtype == Dtype::F64 {
            self.rounding.0.store(true, Ordering::Relaxed);
        }
        match &self.dim {
            Some((known, place)) if *known != kind.columns => {
                let dim = kind.columns;
                return Err(reader.wrong(format!("vectors of {dim} values: expected {known}, as {place} has")));
            }
            Some(_) => {}
            None => self.dim = Some((kind.columns, reader.name.clone())),
        }
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
                let size = raw.row_bytes() as u64;
                if bytes % size != 0 {
                    let why =
                        format!("{bytes} bytes are {} records of {size} bytes and {} over", bytes / size, bytes % size);
                    return Err(Failure::work(format!("{}: {why}", source.opening.name())));
                }
                if bytes == 0 {
                    return Err(Failure::work(format!("{}: {EMPTY}", source.opening.name())));
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
            self.current.as_mut().expect("a source was begun").pass_all(end)?;
        }
        Ok(self.current.take().map_or(0, |reader| reader.row()))
    }
}

impl Source {
    /// The rows that are to be read. Behind the last row of all there may be the end of a stream.
    fn range(&self) -> (u64, u64) {
        let to = |plain: Plain| if plain.to == plain.rows { u64::MAX } else { plain.to };
        self.plain.map_or((0, u64::MAX), |plain| (plain.from, to(plain)))
    }

    fn begin(&self, raw: Option<Raw>) -> Result<RowReader, Failure> {
        let bytes = self.opening.bytes(self.plain.map(|plain| plain.start));
        let bytes = bytes.map_err(|why| Failure::work(format!("{}: {}", self.opening.name(), reading_reason(why))))?;
        Ok(match raw {
            Some(raw) => RowReader::headerless(bytes, raw.row_bytes(), self.plain.map(|plain| plain.rows)),
            None => RowReader::new(bytes),
        })
    }
}

fn widen(bytes: &[u8], dtype: Dtype, values: &mut Vec<f32>) {
    match dtype {
        Dtype::F32 => values.extend(bytes.as_chunks().0.iter().map(|&value| f32::from_le_bytes(value))),
        Dtype::F16 => values.extend(bytes.as_chunks().0.iter().map(|&value| widen_f16(u16::from_le_bytes(value)))),
        Dtype::F64 => values.extend(bytes.as_chunks().0.iter().map(|&value| f64::from_le_bytes(value) as f32)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::npy::Header;
    use crate::output::Output;
    use crate::vectors::VectorWriter;

    /// A file of arrays of so many rows; row i is (i, -i).
    fn file(name: &str, arrays: &[u16]) -> PathBuf {
        written(name, &arrays.iter().enumerate().flat_map(|(at, &rows)| array(&arrays[..at], rows)).collect::<Vec<_>>())
    }

    fn written(name: &str, bytes: &[u8]) -> PathBuf {
        let path = std::env::temp_dir().join(format!("reading-{name}-{}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn array(before: &[u16], rows: u16) -> Vec<u8> {
        [Header::array("<f4", &[u64::from(rows), 2]), values(before.iter().sum(), rows)].concat()
    }

    /// A stream of blocks of so many rows.
    fn stream(first: u16, blocks: &[u16]) -> Vec<u8> {
        let header = |rows: u16| Header::block("<f4", &[u64::from(rows), 2]);
        let block =
            |at: usize| [header(blocks[at]), values(first + blocks[..at].iter().sum::<u16>(), blocks[at])].concat();
        let end = Header::end("<f4", &[0, 2], &[u64::from(blocks.iter().sum::<u16>())]);
        [header(0), (0..blocks.len()).flat_map(block).collect(), end].concat()
    }

    fn values(first: u16, rows: u16) -> Vec<u8> {
        let row = |row| [f32::from(row), -f32::from(row)].map(f32::to_le_bytes).concat();
        (first..first + rows).flat_map(row).collect()
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
        let arrays = file("shards", &[3, 0, 1, 6, 1]);
        let streams = written("shards-stream", &[stream(0, &[3, 1]), stream(4, &[]), stream(4, &[6, 1])].concat());
        let mixed = written("shards-mixed", &[stream(0, &[3, 4]), array(&[7], 3), stream(10, &[1])].concat());
        let expected: Vec<_> = (0..11).map(|row| row as f32).collect();
        for path in [arrays, streams, mixed] {
            for (count, rows_max) in (1..=15).flat_map(|count| [1, 2, 100].map(|rows_max| (count, rows_max))) {
                let shard =
                    |index| Vectors::open(std::slice::from_ref(&path), None, Some(Shard { index, count })).unwrap();
                let mut all = Vec::new();
                for mut vectors in (0..count).map(shard) {
                    let part = read(&mut vectors, rows_max);
                    assert_eq!((vectors.rows_total(), vectors.rows_overall()), (Some(part.len() as u64), 11));
                    all.extend(part);
                }
                assert_eq!(all, expected, "{count} shards of {}", path.display());
            }
            std::fs::remove_file(path).unwrap();
        }
    }

    /// What is read of these bytes, as a plain file or decompressed, which is read as a pipe is; or why not.
    fn outcome(name: &str, bytes: &[u8], plain: bool) -> Result<u64, String> {
        let path = written(name, &if plain { bytes.to_vec() } else { zstd::encode_all(bytes, 1).unwrap() });
        let run = || {
            let mut vectors = Vectors::open(std::slice::from_ref(&path), None, None)?;
            let (mut block, mut count) = (Vec::new(), 0);
            loop {
                match vectors.next(&mut block, 3)? {
                    0 => return Ok(count),
                    rows => count += rows as u64,
                }
            }
        };
        let outcome = run().map_err(|failure| match failure {
            Failure::Work(why) => why,
            other => panic!("{other:?}"),
        });
        std::fs::remove_file(path).unwrap();
        outcome
    }

    /// A stream is whole or refused, wherever its writer was killed, also where another is behind it.
    #[test]
    fn a_killed_writer_is_seen_at_every_byte() {
        let (one, other) = (stream(0, &[3, 2]), stream(5, &[4]));
        let both = [&one[..], &other].concat();
        for plain in [true, false] {
            assert_eq!(outcome("kill", &one, plain), Ok(5));
            assert_eq!(outcome("kill", &both, plain), Ok(9));
            for end in (0..both.len()).filter(|&end| end != one.len()) {
                let why = outcome("kill", &both[..end], plain).unwrap_err();
                let said = ["truncated", "a stream without its end: ", "empty: "];
                assert!(said.iter().any(|said| why.contains(said)), "{end}: {why}");
            }
            // With nothing at all of the first, there is no trace of it.
            for end in 1..one.len() {
                assert!(outcome("kill", &[&one[..end], &other].concat(), plain).is_err(), "{end}");
            }
        }
    }

    #[test]
    fn plain_files_are_read_again() {
        let paths = [file("again-a", &[3, 2]), file("again-b", &[0]), file("again-c", &[0, 4])];
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
        assert_eq!(Vectors::open(&paths[1..2], None, None).unwrap().dim(), Some(2));
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
        let cut = |path: &Path| {
            std::fs::File::options().write(true).open(path).and_then(|file| file.set_len(128 + 12)).unwrap()
        };
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

//! Rows out of the arrays and streams of one input, as bytes in C order, whatever their type.

use crate::failure::{Failure, reading_reason};
use crate::floats::DIM_MAX;
use crate::input::Bytes;
use crate::npy::{Header, Part, read_up_to};
use crate::stream::{EMPTY, Walk};
use std::io::{self, ErrorKind, Seek};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// The rows of one input, array by array.
pub struct RowReader {
    /// What messages call the input.
    pub name: Arc<str>,
    bytes: Bytes,
    walk: Walk,
    /// Arrays and blocks that were begun.
    begun: u64,
    /// Bytes of a row of the current one, of a value, and its rows that are not read yet.
    row_bytes: usize,
    value_bytes: usize,
    rows_left: u64,
    columns_at: Option<Columns>,
    /// Whether there are no headers.
    headerless: bool,
    row: u64,
}

/// An array of a plain file whose columns come one after the other.
struct Columns {
    start: u64,
    rows: u64,
}

/// What an array or a block says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    /// The type of a value, such as `<f4`.
    pub descr: String,
    /// Bytes of a value.
    pub value_bytes: usize,
    /// Values of a row.
    pub columns: usize,
    /// How many rows it has.
    pub rows: u64,
    /// Bytes of its header.
    pub header: u64,
}

impl RowReader {
    /// The rows of an input.
    pub fn new(bytes: Bytes) -> RowReader {
        let (name, walk) = (bytes.name.as_str().into(), Walk::new(&["rows"]));
        let (begun, row_bytes, value_bytes, rows_left, row) = Default::default();
        let (columns_at, headerless) = (None, false);
        RowReader { name, bytes, walk, begun, row_bytes, value_bytes, rows_left, columns_at, headerless, row }
    }

    /// An input that is one array without a header, of rows of so many bytes; `None`: it has as many as come.
    pub(crate) fn headerless(bytes: Bytes, row_bytes: usize, rows: Option<u64>) -> RowReader {
        let (begun, rows_left) = (1, rows.unwrap_or(u64::MAX));
        RowReader { begun, row_bytes, rows_left, headerless: true, ..RowReader::new(bytes) }
    }

    /// Goes to the next array or block, also one without rows; `None` at the end. All rows of the one before must be
    /// read or passed.
    ///
    /// # Errors
    /// Those of reading; a header that is damaged, or is none of rows; a stream that is not whole; an input without
    /// anything.
    pub fn next_array(&mut self) -> Result<Option<Kind>, Failure> {
        assert_eq!(self.rows_left, 0, "rows are read or passed");
        if self.headerless {
            return Ok(None);
        }
        self.begun += 1;
        let header = self.walk.next(&mut self.bytes).map_err(|why| match why.kind() {
            ErrorKind::InvalidData => self.wrong(reading_reason(why)),
            _ => self.failed(why),
        })?;
        match header {
            None if self.begun == 1 => Err(self.empty()),
            None => Ok(None),
            Some(header) => self.begin(header).map(Some),
        }
    }

    fn begin(&mut self, header: Header) -> Result<Kind, Failure> {
        let (rows, columns, value_bytes) = shape(&header).map_err(|why| self.wrong(why))?;
        (self.row_bytes, self.value_bytes, self.rows_left) = (columns * value_bytes, value_bytes, rows);
        self.columns_at = None;
        if header.fortran_order {
            self.begin_columns(&header, rows)?;
        }
        self.walk.count(&[rows]);
        Ok(Kind { descr: header.descr, value_bytes, columns, rows, header: header.length })
    }

    /// Remembers where the columns are, and goes behind them.
    fn begin_columns(&mut self, header: &Header, rows: u64) -> Result<(), Failure> {
        let length = rows * self.row_bytes as u64;
        let Some(file) = self.bytes.plain_file().filter(|_| header.part == Part::Array) else {
            let expected = "C order, as numpy.ascontiguousarray makes it, or a regular file that is not compressed";
            return Err(self.wrong(format!("Fortran order: expected {expected}")));
        };
        let start = file.stream_position().and_then(|start| file.seek_relative(length as i64).map(|()| start));
        self.columns_at = Some(Columns { start: start.map_err(|why| self.failed(why))?, rows });
        Ok(())
    }

    /// Replaces what is in `buffer` with the next rows, up to so many, of the current array or block; gives how many
    /// they are. Without headers there may be fewer, or none, although they were not known to end.
    ///
    /// # Errors
    /// Those of reading; an array that ends too early.
    pub fn read(&mut self, rows_max: u64, buffer: &mut Vec<u8>) -> Result<usize, Failure> {
        let wanted = self.rows_left.min(rows_max);
        buffer.resize(wanted as usize * self.row_bytes, 0);
        let read = match &self.columns_at {
            None => read_up_to(&mut self.bytes, buffer),
            Some(_) => self.read_columns(buffer),
        };
        let length = read.map_err(|why| self.failed(why))?;
        let count = (length / self.row_bytes) as u64;
        if length < buffer.len() {
            if !self.headerless || length % self.row_bytes != 0 {
                return Err(self.cut_short(count));
            } else if self.row + count == 0 {
                return Err(self.empty());
            }
            self.rows_left = count;
            buffer.truncate(length);
        }
        self.row += count;
        self.rows_left -= count;
        Ok(count as usize)
    }

    /// Fills the buffer with rows out of columns.
    fn read_columns(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (row, value) = (self.row_bytes, self.value_bytes);
        let Columns { start, rows } = *self.columns_at.as_ref().expect("there are columns");
        let first = rows - self.rows_left;
        let file = self.bytes.plain_file().expect("columns are in a plain file");
        let mut column = vec![0; buffer.len() / row * value];
        for at in 0..row / value {
            file.read_exact_at(&mut column, start + (at as u64 * rows + first) * value as u64)?;
            for (row, value_bytes) in buffer.chunks_exact_mut(row).zip(column.chunks_exact(value)) {
                row[at * value..][..value].copy_from_slice(value_bytes);
            }
        }
        Ok(buffer.len())
    }

    /// Goes past rows of the current array of a plain file.
    ///
    /// # Errors
    /// Those of the file.
    pub(crate) fn pass(&mut self, rows: u64) -> Result<(), Failure> {
        if self.columns_at.is_none() {
            self.bytes.skip(rows * self.row_bytes as u64).map_err(|why| self.failed(why))?;
        }
        self.row += rows;
        self.rows_left -= rows;
        Ok(())
    }

    /// Goes past the current array of a plain file, which must end before the file does: at so many bytes.
    ///
    /// # Errors
    /// An array that ends too early; those of the file.
    pub fn pass_all(&mut self, end: u64) -> Result<(), Failure> {
        let position = self.bytes.plain_file().expect("a plain file").stream_position();
        let start = match &self.columns_at {
            Some(columns) => columns.start,
            None => position.map_err(|why| self.failed(why))?,
        };
        let there = end.saturating_sub(start) / self.row_bytes as u64;
        if there < self.rows_left {
            return Err(self.cut_short(there));
        }
        self.pass(self.rows_left)
    }

    /// Rows of the current array or block that are not read yet.
    pub fn rows_left(&self) -> u64 {
        self.rows_left
    }

    /// Rows of the input that are read or passed.
    pub fn row(&self) -> u64 {
        self.row
    }

    /// Says what is wrong with the current array or block.
    pub fn wrong(&self, why: String) -> Failure {
        Failure::work(format!("{}: array {}: {why}", self.name, self.begun - 1))
    }

    fn failed(&self, why: io::Error) -> Failure {
        Failure::work(format!("{}: {}", self.name, reading_reason(why)))
    }

    fn empty(&self) -> Failure {
        Failure::work(format!("{}: {EMPTY}", self.name))
    }

    /// What to say of an array that ends so many rows behind where it was read to.
    fn cut_short(&self, behind: u64) -> Failure {
        let row = self.row + behind;
        let why = if self.headerless {
            format!("row {row} is not whole")
        } else {
            let missing = self.rows_left - behind;
            let asked = "was the program killed that wrote it, or does it still write?";
            format!("row {row} and all behind it are missing, {missing} of its array ({asked})")
        };
        Failure::work(format!("{}: truncated: {why}", self.name))
    }
}

/// Rows, columns, and bytes of a value, of an array of rows.
fn shape(header: &Header) -> Result<(u64, usize, usize), String> {
    let value_bytes = match header.descr.as_str() {
        "|i1" | "|u1" => 1,
        "<f2" | "<u2" => 2,
        "<f4" | "<u4" | "<i4" => 4,
        "<f8" | "<i8" => 8,
        other => return Err(format!("type {other:?}: expected little-endian floats or integers")),
    };
    let &[rows, columns] = &header.shape[..] else {
        return Err(format!("shape {:?}: expected two dimensions, rows and values", header.shape));
    };
    if columns == 0 || columns > DIM_MAX {
        return Err(format!("rows of {columns} values: expected 1 to {DIM_MAX}"));
    }
    let bytes = rows.checked_mul(columns * value_bytes as u64).filter(|&bytes| bytes <= i64::MAX as u64);
    bytes.ok_or_else(|| format!("shape {:?}: more bytes than a file can have", header.shape))?;
    Ok((rows, columns as usize, value_bytes))
}

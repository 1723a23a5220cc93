//! Rows of numbers as `.npy` arrays.
//!
//! Into a regular file goes one array, whose shape is filled in at the end; until then it claims more rows than any
//! file has, so that a run that was killed leaves nothing that loads. Into a pipe, or behind what a file holds already,
//! goes a stream as [`crate::npy`] has it; all blocks of rows but the last have the same number of rows, so that the
//! bytes depend on the rows alone.

mod reading;

pub use reading::{Kind, RowReader};

use crate::failure::Failure;
use crate::npy::{Header, UNFINISHED};
use crate::output::Output;

/// Writes rows of one length.
pub struct RowWriter {
    output: Output,
    descr: String,
    columns: u64,
    /// Bytes of a row, and of a block.
    row: usize,
    block: usize,
    /// Where the header of the one array is; `None`: blocks.
    header_at: Option<u64>,
    /// Whether something is written.
    begun: bool,
    /// Rows that are not written yet; less than a block between calls.
    waiting: Vec<u8>,
    rows: u64,
}

impl RowWriter {
    /// Begins an array or a stream of rows of so many numbers of this type and size. A block has at most `block` bytes
    /// of them, unless one row has more. Writes nothing yet of a stream.
    ///
    /// # Errors
    /// The output cannot be written, or is a terminal.
    pub fn new(
        mut output: Output,
        descr: &str,
        size: usize,
        columns: usize,
        block: usize,
    ) -> Result<RowWriter, Failure> {
        output.refuse_terminal("arrays of numbers")?;
        let (row, header_at) = (columns * size, output.position());
        let columns = columns as u64;
        if header_at.is_some() {
            output.write(&Header::array(descr, &[UNFINISHED, columns]))?;
        }
        let block = (block / row).max(1) * row;
        Ok(RowWriter {
            output,
            descr: descr.to_string(),
            columns,
            row,
            block,
            header_at,
            begun: header_at.is_some(),
            waiting: Vec::new(),
            rows: 0,
        })
    }

    /// Writes the whole rows that `append` puts behind what waits.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn write(&mut self, append: impl FnOnce(&mut Vec<u8>)) -> Result<(), Failure> {
        self.begin()?;
        append(&mut self.waiting);
        assert_eq!(self.waiting.len() % self.row, 0, "whole rows");
        let mut waiting = std::mem::take(&mut self.waiting);
        let blocks = waiting.chunks_exact(self.block);
        let rest = blocks.remainder().len();
        for block in blocks {
            self.write_block(block)?;
        }
        waiting.drain(..waiting.len() - rest);
        self.waiting = waiting;
        Ok(())
    }

    /// Writes the beginning of a stream, once.
    fn begin(&mut self) -> Result<(), Failure> {
        if !std::mem::replace(&mut self.begun, true) {
            self.output.write(&Header::block(&self.descr, &[0, self.columns]))?;
        }
        Ok(())
    }

    fn write_block(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let rows = (bytes.len() / self.row) as u64;
        if self.header_at.is_none() {
            self.output.write(&Header::block(&self.descr, &[rows, self.columns]))?;
        }
        self.rows += rows;
        self.output.write(bytes)
    }

    /// Writes what is left and fills in the shape, or ends the stream.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn finish(mut self) -> Result<(), Failure> {
        self.begin()?;
        let waiting = std::mem::take(&mut self.waiting);
        if !waiting.is_empty() {
            self.write_block(&waiting)?;
        }
        match self.header_at {
            Some(at) => self.output.rewrite(at, &Header::array(&self.descr, &[self.rows, self.columns]))?,
            None => self.output.write(&Header::end(&self.descr, &[0, self.columns], &[self.rows]))?,
        }
        self.output.finish()
    }
}

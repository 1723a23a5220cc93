//! Rows of tokens as `.npy` arrays: one in a regular file, blocks in a pipe ([`pipe::array`]).
//!
//! A row has the context in front of the sequence.

use super::Writer;
use crate::packing::Sequence;
use pipe::array::RowWriter;
use pipe::failure::Failure;
use pipe::output::Output;
use pipe::tokens::Dtype;

/// Bytes of a block, unless one row has more.
const BLOCK: usize = 256 << 10;

/// Writes rows of one length.
pub struct NpyWriter {
    rows: RowWriter,
    dtype: Dtype,
}

impl NpyWriter {
    /// Starts an array with so many tokens a row.
    pub fn new(output: Output, columns: usize, dtype: Dtype) -> Result<NpyWriter, Failure> {
        Ok(NpyWriter { rows: RowWriter::new(output, dtype.descr(), dtype.size(), columns, BLOCK)?, dtype })
    }
}

impl Writer for NpyWriter {
    fn write(&mut self, sequence: &Sequence, _: &str) -> Result<(), Failure> {
        self.rows
            .write(|bytes| [sequence.context, sequence.tokens].into_iter().for_each(|ids| self.dtype.write(ids, bytes)))
    }

    fn finish(self: Box<Self>) -> Result<(), Failure> {
        self.rows.finish()
    }
}

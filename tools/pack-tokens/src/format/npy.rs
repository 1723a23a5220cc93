//! Rows of tokens as `.npy` arrays: one in a regular file, blocks in a pipe ([`pipe::array`]).
//!
//! A row has the context in front of the sequence.

use super::Opening;
use dataset::packing::Sequence;
use dataset::writing::Writer;
use pipe::array::RowWriter;
use pipe::failure::Failure;
use pipe::tokens::Dtype;

/// Bytes of a block, unless one row has more.
const BLOCK: usize = 256 << 10;

/// Writes rows of one length.
struct NpyWriter {
    rows: RowWriter,
    dtype: Dtype,
}

/// Starts an array.
///
/// # Errors
/// It cannot be written.
pub fn open(opening: &Opening) -> Result<Box<dyn Writer>, Failure> {
    let (dtype, columns) = (opening.dtype, opening.shape.prev + opening.shape.length);
    let rows = RowWriter::new(opening.output()?, dtype.descr(), dtype.size(), columns, BLOCK)?;
    Ok(Box::new(NpyWriter { rows, dtype }))
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

//! Streams of vectors: `.npy` arrays back to back, each `(rows, dim)` in C order.
//!
//! Into a regular file goes one array, whose shape is filled in at the end; until then it claims more rows than any file has, so
//! that a run that was killed leaves nothing that loads. Into a pipe, or behind what a file holds already, go blocks, each a
//! complete array; all blocks but the last have the same number of rows, so that the bytes depend on the rows alone.

use crate::failure::Failure;
use crate::output::Output;
use half::f16;

/// How a number is stored, little endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    /// `<f4`.
    F32,
    /// `<f2`, rounded to the nearest, ties to even.
    F16,
}

/// Bytes of a header: enough for any shape, and a multiple of 64 as NumPy has it.
pub const HEADER: usize = 128;

/// Rows of an array that is not complete.
const UNFINISHED: u64 = 1 << 40;

/// The values of a block have at most this many bytes, unless one vector has more.
const BLOCK: usize = 1 << 20;

/// Writes vectors of one dimension.
pub struct VectorWriter {
    output: Output,
    dim: usize,
    dtype: Dtype,
    /// Where the header of the one array is; `None`: blocks.
    header_at: Option<u64>,
    /// Values that are not written yet; less than a block between calls.
    waiting: Vec<u8>,
    rows: u64,
}

impl VectorWriter {
    /// Starts a stream. Writes nothing yet into a pipe.
    pub fn new(mut output: Output, dim: usize, dtype: Dtype) -> Result<VectorWriter, Failure> {
        let header_at = output.position();
        if header_at.is_some() {
            output.write(&header(UNFINISHED, dim, dtype))?;
        }
        Ok(VectorWriter { output, dim, dtype, header_at, waiting: Vec::new(), rows: 0 })
    }

    /// Writes whole vectors, one after the other.
    pub fn write(&mut self, values: &[f32]) -> Result<(), Failure> {
        assert_eq!(values.len() % self.dim, 0, "whole vectors");
        match self.dtype {
            Dtype::F32 => self.waiting.extend(values.iter().flat_map(|value| value.to_le_bytes())),
            Dtype::F16 => self.waiting.extend(values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes())),
        }
        let block = (BLOCK / self.row_size()).max(1) * self.row_size();
        let waiting = std::mem::take(&mut self.waiting);
        let mut blocks = waiting.chunks_exact(block);
        self.waiting.extend(blocks.remainder());
        blocks.try_for_each(|block| self.write_block(block))
    }

    /// Bytes of a vector.
    fn row_size(&self) -> usize {
        self.dim * if self.dtype == Dtype::F32 { 4 } else { 2 }
    }

    fn write_block(&mut self, values: &[u8]) -> Result<(), Failure> {
        let rows = (values.len() / self.row_size()) as u64;
        if self.header_at.is_none() {
            self.output.write(&header(rows, self.dim, self.dtype))?;
        }
        self.rows += rows;
        self.output.write(values)
    }

    /// Writes what is left and fills in the shape. A stream without rows is one array without rows.
    pub fn finish(mut self) -> Result<(), Failure> {
        let waiting = std::mem::take(&mut self.waiting);
        if !waiting.is_empty() || self.rows == 0 {
            self.write_block(&waiting)?;
        }
        if let Some(at) = self.header_at {
            self.output.rewrite(at, &header(self.rows, self.dim, self.dtype))?;
        }
        self.output.finish()
    }
}

/// A header of format version 1.0, padded to [`HEADER`] bytes whatever the shape.
fn header(rows: u64, dim: usize, dtype: Dtype) -> Vec<u8> {
    let descr = if dtype == Dtype::F32 { "<f4" } else { "<f2" };
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((HEADER as u16 - 10).to_le_bytes());
    bytes.extend(format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({rows}, {dim}), }}").bytes());
    assert!(bytes.len() < HEADER, "any shape fits");
    bytes.resize(HEADER - 1, b' ');
    bytes.push(b'\n');
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_file_is_one_array_with_its_shape() {
        let path = std::env::temp_dir().join(format!("vectors-{}.npy", std::process::id()));
        let mut writer = VectorWriter::new(Output::create(&path).unwrap(), 2, Dtype::F16).unwrap();
        writer.write(&[1.0, -2.0, 0.5, f32::NAN]).unwrap();
        writer.write(&[3.0, 4.0]).unwrap();
        writer.finish().unwrap();
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(bytes[..HEADER], header(3, 2, Dtype::F16));
        assert_eq!(bytes[HEADER..HEADER + 6], [0x00, 0x3c, 0x00, 0xc0, 0x00, 0x38]);
        assert_eq!(bytes.len(), HEADER + 12);
    }

    #[test]
    fn headers_are_numpys() {
        let header = header(u64::MAX, usize::MAX, Dtype::F32);
        assert_eq!((header.len(), header.len() % 64, header[127]), (HEADER, 0, b'\n'));
        assert_eq!(&header[..10], b"\x93NUMPY\x01\x00\x76\x00");
    }
}

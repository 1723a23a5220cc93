//! A temporary file for rows of a pipe that memory does not hold. It has no name, so it is gone with the process,
//! however that ends.

use crate::kept::{Kept, Values};
use compute::kmeans::Block;
use half::f16;
use half::slice::HalfFloatSliceExt;
use pipe::failure::{Failure, reason};
use pipe::output::nameless;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::PathBuf;

/// Blocks of rows in a file without a name: rows, bytes of a value, numbers, weights, values.
pub struct Spool {
    writer: BufWriter<File>,
    reader: BufReader<File>,
    folder: PathBuf,
    dim: usize,
}

/// Bytes read or written at once.
const BUFFER: usize = 1 << 20;

impl Spool {
    /// Makes one in the folder that `TMPDIR` names. Fails where that cannot be done.
    pub fn create(dim: usize) -> Result<Spool, Failure> {
        let folder = std::env::temp_dir();
        let file = nameless(&folder).and_then(|file| Ok((file.try_clone()?, file)));
        let (writer, reader) = file.map_err(|why| failed(&folder, why))?;
        let (writer, reader) = (BufWriter::with_capacity(BUFFER, writer), BufReader::with_capacity(BUFFER, reader));
        Ok(Spool { writer, reader, folder, dim })
    }

    /// Adds a block. Fails where the folder is full.
    pub fn write(&mut self, Kept { numbers, weights, values, .. }: &Kept) -> Result<(), Failure> {
        let folder = &self.folder;
        let mut write = |bytes: &[u8]| self.writer.write_all(bytes).map_err(|why| failed(folder, why));
        write(&(numbers.len() as u64).to_le_bytes())?;
        write(&[if matches!(values, Values::Half(_)) { 2 } else { 4 }])?;
        write(&bytes_of(numbers, |number| number.to_le_bytes()))?;
        write(&bytes_of(weights, |weight| weight.to_le_bytes()))?;
        match values {
            Values::Single(values) => write(&bytes_of(values, |value| value.to_le_bytes())),
            Values::Half(values) => write(&bytes_of(values, |value| value.to_le_bytes())),
        }
    }

    /// Goes to the first block. Fails where what was written does not reach the file.
    pub fn rewind(&mut self) -> Result<(), Failure> {
        let done = self.writer.flush().and_then(|()| self.reader.rewind());
        done.map_err(|why| failed(&self.folder, why))
    }

    /// Adds the next rows to the block; `false` at the end. Fails where they cannot be read.
    pub fn read(&mut self, block: &mut Block) -> Result<bool, Failure> {
        let mut rows = [0; 8];
        match self.reader.read_exact(&mut rows) {
            Err(why) if why.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            read => read.map_err(|why| failed(&self.folder, why))?,
        }
        self.read_block(u64::from_le_bytes(rows) as usize, block).map_err(|why| failed(&self.folder, why))?;
        Ok(true)
    }

    fn read_block(&mut self, rows: usize, block: &mut Block) -> io::Result<()> {
        let mut width = [0];
        self.reader.read_exact(&mut width)?;
        let mut bytes = vec![0; rows * (16 + self.dim * usize::from(width[0]))];
        self.reader.read_exact(&mut bytes)?;
        let (numbers, rest) = bytes.split_at(8 * rows);
        let (weights, values) = rest.split_at(8 * rows);
        block.numbers.extend(numbers.as_chunks().0.iter().map(|&bytes| u64::from_le_bytes(bytes)));
        block.weights.extend(weights.as_chunks().0.iter().map(|&bytes| u64::from_le_bytes(bytes)));
        if width[0] == 4 {
            block.values.extend(values.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)));
        } else {
            let half: Vec<_> = values.as_chunks().0.iter().map(|&bytes| f16::from_le_bytes(bytes)).collect();
            let before = block.values.len();
            block.values.resize(before + half.len(), 0.0);
            half.convert_to_f32_slice(&mut block.values[before..]);
        }
        Ok(())
    }
}

fn bytes_of<T: Copy, const N: usize>(values: &[T], bytes: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    values.iter().flat_map(|&value| bytes(value)).collect()
}

fn failed(folder: &std::path::Path, why: io::Error) -> Failure {
    Failure::work(format!("a temporary file in {}: {} (TMPDIR names another folder)", folder.display(), reason(why)))
}

//! Rows of numbers, of vectors above all.

use crate::Joined;
use pipe::array::{Kind, RowReader, RowWriter};
use pipe::failure::Failure;
use pipe::input::Bytes;
use pipe::output::Output;
use pipe::progress::Meter;
use pipe::vectors::BLOCK;
use std::sync::Arc;

/// What all rows must have in common: that of the first array, and the file that has it.
#[derive(Default)]
pub struct Rows {
    first: Option<(Kind, Arc<str>)>,
}

impl Rows {
    /// Goes through a plain file of so many bytes, from header to header.
    ///
    /// # Errors
    /// It cannot be read, is damaged, or has other rows.
    pub fn survey(&mut self, bytes: Bytes, size: u64) -> Result<(), Failure> {
        let mut reader = RowReader::new(bytes);
        while let Some(kind) = reader.next_array()? {
            self.check(&reader, kind)?;
            reader.pass_all(size)?;
        }
        Ok(())
    }

    /// Writes the rows of all inputs.
    ///
    /// # Errors
    /// One cannot be read, is damaged, or has other rows; the output cannot be written.
    pub fn join(
        mut self,
        inputs: impl Iterator<Item = Result<Bytes, Failure>>,
        output: Output,
        meter: &mut Meter,
    ) -> Result<Joined, Failure> {
        let (mut output, mut writer, mut joined, mut block) = (Some(output), None, Joined::default(), Vec::new());
        for bytes in inputs {
            let mut reader = RowReader::new(bytes?);
            while let Some(kind) = reader.next_array()? {
                joined.tally.bytes += kind.header;
                let row = kind.columns * kind.value_bytes;
                self.check(&reader, kind)?;
                if let (Some(output), Some((kind, _))) = (output.take(), &self.first) {
                    writer = Some(RowWriter::new(output, &kind.descr, kind.value_bytes, kind.columns, BLOCK)?);
                }
                let writer = writer.as_mut().expect("just made");
                writer.write(|_| ())?;
                while reader.rows_left() > 0 {
                    joined.tally.rows += reader.read((BLOCK / row).max(1) as u64, &mut block)? as u64;
                    joined.tally.bytes += block.len() as u64;
                    writer.write(|bytes| bytes.extend_from_slice(&block))?;
                    meter.show(joined.tally.bytes, joined.tally.rows);
                }
            }
        }
        writer.map_or(Ok(()), RowWriter::finish)?;
        if let Some((kind, _)) = self.first {
            (joined.dtype, joined.dim) = (kind.descr, Some(kind.columns));
        }
        Ok(joined)
    }

    /// Refuses another type and another number of values than the first array has.
    fn check(&mut self, reader: &RowReader, kind: Kind) -> Result<(), Failure> {
        match &self.first {
            None => self.first = Some((kind, reader.name.clone())),
            Some((first, file)) if (&first.descr, first.columns) != (&kind.descr, kind.columns) => {
                let [found, expected] = [&kind, first].map(|kind| format!("{} of {}", kind.columns, kind.descr));
                return Err(reader.wrong(format!("rows of {found}: expected {expected}, as {file} has")));
            }
            Some(_) => {}
        }
        Ok(())
    }
}

//! Documents of tokens.

use crate::Joined;
use pipe::failure::Failure;
use pipe::input::Bytes;
use pipe::output::Output;
use pipe::progress::Meter;
use pipe::tokens::{Dtype, TokenReader, TokenWriter};

/// Tokens that are written at a time, unless one document has more.
const TOKENS: usize = 1 << 18;

/// The widest type of what was seen beforehand.
#[derive(Default)]
pub struct Documents {
    widest: Option<Dtype>,
}

impl Documents {
    /// Goes through a plain file, from lengths to lengths.
    ///
    /// # Errors
    /// It cannot be read or is damaged.
    pub fn survey(&mut self, bytes: Bytes) -> Result<(), Failure> {
        self.widest = self.widest.max(Some(TokenReader::of(bytes)?.pass_all()?));
        Ok(())
    }

    /// Writes the documents of all inputs.
    ///
    /// # Errors
    /// One cannot be read, is damaged, or has tokens that do not fit; the output cannot be written.
    pub fn join(
        self,
        inputs: impl Iterator<Item = Result<Bytes, Failure>>,
        output: Output,
        meter: &mut Meter,
    ) -> Result<Joined, Failure> {
        let (mut output, mut writer, mut joined, mut total) = (Some(output), None, Joined::default(), 0);
        let (mut dtype, mut document, mut lengths, mut ids) = (Dtype::U16, Vec::new(), Vec::new(), Vec::new());
        for bytes in inputs {
            let mut reader = TokenReader::of(bytes?)?;
            if let Some(output) = output.take() {
                dtype = self.widest.or(reader.first_dtype).unwrap_or(dtype);
                writer = Some(TokenWriter::new(output, dtype, true)?);
            }
            let writer = writer.as_mut().expect("just made");
            while reader.next(&mut document)? {
                check(&document, dtype, &reader)?;
                joined.tally.rows += 1;
                total += document.len() as u64;
                lengths.push(document.len() as u32);
                ids.extend_from_slice(&document);
                if ids.len() + lengths.len() >= TOKENS {
                    writer.write(&lengths, &ids)?;
                    lengths.clear();
                    ids.clear();
                    meter.show(joined.tally.bytes + reader.bytes_read(), joined.tally.rows);
                }
            }
            writer.write(&lengths, &ids)?;
            lengths.clear();
            ids.clear();
            joined.tally.bytes += reader.bytes_read();
        }
        writer.map_or(Ok(()), TokenWriter::finish)?;
        Ok(Joined { dtype: dtype.descr().to_string(), tokens: Some(total), ..joined })
    }
}

/// Refuses tokens that this type cannot hold.
fn check(document: &[u32], dtype: Dtype, reader: &TokenReader) -> Result<(), Failure> {
    if reader.dtype <= dtype {
        return Ok(());
    }
    match document.iter().enumerate().find(|&(_, &id)| id > dtype.id_max()) {
        None => Ok(()),
        Some((at, id)) => {
            let (most, descr) = (dtype.id_max(), dtype.descr());
            let why = "a pipe's type is that of its first array, unless a regular file has a wider one";
            Err(reader.wrong(&format!("token {}: expected 0 to {most}, as {descr} has, found {id} ({why})", at + 1)))
        }
    }
}

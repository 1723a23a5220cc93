//! The likeliest tokens behind each token, beside the documents: a sample a document.

use crate::rows::Rows;
use dataset::mds::{MdsWriter, Settings, Storage, claim};
use dataset::pickle;
use half::f16;
use pipe::array::RowWriter;
use pipe::failure::Failure;
use pipe::output::Output;
use pipe::settings::Common;
use std::fs::File;
use std::path::Path;

/// The column of the tokens, and that of their probabilities.
const INDEX: &str = "target_index";
const PROBABILITY: &str = "target_prob";

/// Bytes of a block of an array.
const BLOCK: usize = 1 << 20;

/// How it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// A Mosaic dataset as CEPE's loader takes it.
    #[default]
    Mds,
    /// Arrays of all documents.
    Npy,
}

/// Writes samples, of so many tokens behind each token.
pub struct Annotation {
    top: usize,
    writer: Writer,
    /// How many were there already.
    pub kept: u64,
}

enum Writer {
    Mds(Box<MdsWriter>),
    Npy(Box<Arrays>),
}

/// Rows of all documents, and how many are each one's.
struct Arrays {
    tokens: RowWriter,
    probabilities: RowWriter,
    counts: RowWriter,
    /// Nobody else writes into the folder.
    _lock: File,
}

impl Annotation {
    /// Begins in a folder.
    ///
    /// # Errors
    /// It holds something, cannot be written, or another run writes there.
    pub fn open(
        folder: &Path,
        format: Format,
        top: usize,
        storage: Storage,
        common: &Common,
    ) -> Result<Annotation, Failure> {
        let lock = claim(folder, storage.resume, common)?;
        if format == Format::Npy {
            let rows = |name: &str, descr: &str, size: usize, columns: usize| {
                RowWriter::new(Output::create(&folder.join(name))?, descr, size, columns, BLOCK)
            };
            let tokens = rows("target_index.npy", "<i4", 4, top)?;
            let probabilities = rows("target_prob.npy", "<f2", 2, top + 1)?;
            let counts = rows("target_count.npy", "<i8", 8, 1)?;
            let writer = Writer::Npy(Box::new(Arrays { tokens, probabilities, counts, _lock: lock }));
            return Ok(Annotation { top, writer, kept: 0 });
        }
        let resume = storage.resume;
        let columns = vec![(INDEX, "pkl"), (PROBABILITY, "pkl")];
        let mut writer = MdsWriter::new(folder, lock, Settings { columns, storage, threads: common.threads })?;
        let kept = if resume { writer.keep()? } else { 0 };
        Ok(Annotation { top, writer: Writer::Mds(Box::new(writer)), kept })
    }

    /// Writes a sample for each document of a batch, an empty one for a missing row.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&mut self, rows: &Rows) -> Result<(), Failure> {
        let (mut start, top) = (0, self.top);
        for score in &rows.scores {
            let end = start + score.told;
            let tokens = bytes_of_tokens(&rows.likeliest.tokens[start * top..end * top]);
            let probabilities = &rows.likeliest.probabilities[start * (top + 1)..end * (top + 1)];
            let probabilities = bytes_of_probabilities(probabilities);
            match &mut self.writer {
                Writer::Mds(writer) => writer.write(|name, to| match name {
                    INDEX => pickle::write_rows(score.told, top, "i4", &tokens, to),
                    _ => pickle::write_rows(score.told, top + 1, "f2", &probabilities, to),
                })?,
                Writer::Npy(arrays) => {
                    arrays.tokens.write(|to| to.extend_from_slice(&tokens))?;
                    arrays.probabilities.write(|to| to.extend_from_slice(&probabilities))?;
                    arrays.counts.write(|to| to.extend((score.told as i64).to_le_bytes()))?;
                }
            }
            start = end;
        }
        Ok(())
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(self) -> Result<(), Failure> {
        match self.writer {
            Writer::Mds(writer) => writer.finish(),
            Writer::Npy(arrays) => {
                let Arrays { tokens, probabilities, counts, _lock } = *arrays;
                tokens.finish()?;
                probabilities.finish()?;
                counts.finish()
            }
        }
    }
}

fn bytes_of_tokens(tokens: &[u32]) -> Vec<u8> {
    tokens.iter().flat_map(|token| token.to_le_bytes()).collect()
}

fn bytes_of_probabilities(probabilities: &[f32]) -> Vec<u8> {
    probabilities.iter().flat_map(|&probability| f16::from_f32(probability).to_le_bytes()).collect()
}

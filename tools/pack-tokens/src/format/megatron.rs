//! Megatron-LM's indexed dataset: PREFIX.bin with the tokens, PREFIX.idx with where they are.
//!
//! The index: `MMIDIDX\0\0`; the version, 1, in 8 bytes; the type of a token, a byte; the number of sequences and the
//! number of document boundaries, 8 bytes each; the length of each sequence, 4 bytes; where each begins in the .bin, in
//! bytes, 8 bytes; the boundaries, 8 bytes each: 0, then the number of sequences up to the end of each document. Little
//! endian.
//!
//! Windows of one document are one document there; sequences that go over documents are a document each. A sequence has
//! its context in front. An index that was there before goes first and the new one appears last, so that a .bin without
//! one is a run that did not finish, and an .idx is never beside the .bin of another run. 12 bytes of memory a sequence
//! at the most.

use super::Opening;
use dataset::packing::{Mode, Sequence};
use dataset::writing::Writer;
use pipe::failure::Failure;
use pipe::output::Output;
use pipe::tokens::Dtype;
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Bytes that are written together.
const BATCH: usize = 4 << 20;

/// Writes the two files.
struct MegatronWriter {
    bin: Output,
    idx: Output,
    /// Where the index will be.
    idx_path: PathBuf,
    dtype: Dtype,
    batch: Vec<u8>,
    lengths: Vec<u32>,
    /// The number of sequences up to the end of each document.
    ends: Vec<u64>,
    /// Whether windows of one document go together, and of which document the last was.
    by_document: bool,
    last: Option<u64>,
}

/// The file of a prefix.
fn file(prefix: &Path, extension: &str) -> PathBuf {
    let mut name = OsString::from(prefix);
    name.push(extension);
    name.into()
}

/// What Megatron calls a type; it has no unsigned 32-bit integers.
fn code(dtype: Dtype) -> u8 {
    match dtype {
        Dtype::I32 | Dtype::U32 => 4,
        Dtype::I64 => 5,
        Dtype::U16 => 8,
    }
}

/// Starts the files of a prefix.
///
/// # Errors
/// They cannot be made.
pub fn open(opening: &Opening) -> Result<Box<dyn Writer>, Failure> {
    let (prefix, dtype, by_document) = (opening.named()?, opening.dtype, opening.shape.mode == Mode::Within);
    let idx_path = file(prefix, ".idx");
    let (bin, idx) = (Output::create(&file(prefix, ".bin"))?, Output::create(&idx_path)?);
    let (batch, lengths, ends) = (Vec::new(), Vec::new(), Vec::new());
    Ok(Box::new(MegatronWriter { bin, idx, idx_path, dtype, batch, lengths, ends, by_document, last: None }))
}

/// Takes an old index away, which the new tokens are not those of.
fn remove(index: &Path) -> Result<(), Failure> {
    match fs::remove_file(index) {
        Err(why) if why.kind() != ErrorKind::NotFound => Err(Failure::file(index, why)),
        _ => Ok(()),
    }
}

impl Writer for MegatronWriter {
    fn write(&mut self, sequence: &Sequence, _: &str) -> Result<(), Failure> {
        if self.by_document && self.last == Some(sequence.document) {
            self.ends.pop();
        }
        self.last = Some(sequence.document);
        for tokens in [sequence.context, sequence.tokens] {
            self.dtype.write(tokens, &mut self.batch);
        }
        self.lengths.push((sequence.context.len() + sequence.tokens.len()) as u32);
        self.ends.push(self.lengths.len() as u64);
        if self.batch.len() >= BATCH {
            self.bin.write(&self.batch)?;
            self.batch.clear();
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), Failure> {
        self.bin.write(&self.batch)?;
        let mut head = b"MMIDIDX\0\0".to_vec();
        head.extend(1_u64.to_le_bytes());
        head.push(code(self.dtype));
        head.extend((self.lengths.len() as u64).to_le_bytes());
        head.extend((self.ends.len() as u64 + 1).to_le_bytes());
        let size = self.dtype.size() as u64;
        let starts = self.lengths.iter().scan(0, |at, &length| {
            let start = *at;
            *at += u64::from(length) * size;
            Some(start)
        });
        let lengths = self.lengths.iter().flat_map(|length| length.to_le_bytes());
        let starts = starts.flat_map(u64::to_le_bytes);
        let ends = std::iter::once(&0).chain(&self.ends).flat_map(|end| end.to_le_bytes());
        write_batches(&mut self.idx, head.into_iter().chain(lengths).chain(starts).chain(ends))?;
        remove(&self.idx_path)?;
        self.bin.finish()?;
        self.idx.finish()
    }
}

fn write_batches(output: &mut Output, mut bytes: impl Iterator<Item = u8>) -> Result<(), Failure> {
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        batch.clear();
        batch.extend(bytes.by_ref().take(BATCH));
        if batch.is_empty() {
            return Ok(());
        }
        output.write(&batch)?;
    }
}

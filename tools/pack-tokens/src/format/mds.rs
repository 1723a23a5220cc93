//! Mosaic's streaming dataset, as [`dataset::mds`] has it: a sample a sequence.

use super::{Columns, Opening};
use dataset::mds::{MdsWriter, Settings, Storage, claim};
use dataset::packing::Sequence;
use dataset::writing::Writer;
use dataset::{DOMAIN, LENGTHS, PREV, TOKENS, ndarray, pickle};
use pipe::failure::Failure;
use pipe::tokens::Dtype;

/// How a column of integers is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// Type, shape and values.
    #[default]
    Ndarray,
    /// A pickled NumPy array, which is what CEPE's loader reads.
    Pickle,
}

/// The flags of this format alone.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// How integers are stored.
    pub encoding: Encoding,
    /// What becomes of shards.
    pub storage: Storage,
}

/// Writes sequences.
struct Sequences {
    writer: MdsWriter,
    encoding: Encoding,
    /// The type of a token.
    dtype: Dtype,
}

/// Starts a dataset in a folder.
///
/// # Errors
/// The folder holds something, cannot be written, or another run writes there.
pub fn open(opening: &Opening) -> Result<Box<dyn Writer>, Failure> {
    let Flags { encoding, storage } = opening.mds.clone();
    let folder = opening.named()?;
    let lock = claim(folder, storage.resume, opening.common)?;
    let settings = Settings { columns: columns(opening.columns(), encoding), storage, threads: opening.common.threads };
    let writer = MdsWriter::new(folder, lock, settings)?;
    Ok(Box::new(Sequences { writer, encoding, dtype: opening.dtype }))
}

/// Names and encodings of the columns, in the order in which they are stored.
fn columns(there: Columns, encoding: Encoding) -> Vec<(&'static str, &'static str)> {
    let integers = if encoding == Encoding::Ndarray { "ndarray" } else { "pkl" };
    let mut columns = vec![(DOMAIN, "str"), (TOKENS, integers)];
    columns.extend(there.prev.then_some((PREV, integers)));
    columns.extend(there.lengths.then_some((LENGTHS, integers)));
    columns.sort_unstable();
    columns
}

impl Writer for Sequences {
    fn write(&mut self, sequence: &Sequence, domain: &str) -> Result<(), Failure> {
        let &mut Sequences { encoding, dtype, .. } = self;
        self.writer.write(|name, to| {
            let (numbers, dtype) = match name {
                DOMAIN => return to.extend(domain.bytes()),
                PREV => (sequence.context, dtype),
                LENGTHS => (sequence.lengths, Dtype::I32),
                _ => (sequence.tokens, dtype),
            };
            match encoding {
                Encoding::Ndarray => ndarray::write_array(numbers, dtype, to),
                Encoding::Pickle => pickle::write_array(numbers, dtype, to),
            }
        })
    }

    fn finish(self: Box<Self>) -> Result<(), Failure> {
        self.writer.finish()
    }
}

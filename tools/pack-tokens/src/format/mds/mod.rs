//! Mosaic's streaming dataset (MDS, version 2): `shard.00000.mds`, ... and, written last, `index.json`.
//!
//! A shard is the number of its samples n, n + 1 places where samples begin and the last ends (32-bit, from the start
//! of the file), the JSON text of its configuration, and the samples. A sample is the size of each column (32-bit) and
//! the columns, in the order of their names. A shard is full when another sample would take it over the size limit. All
//! as Mosaic's MDSWriter has it: without compression and with `ndarray` columns, the same bytes.

mod shard;
mod writer;

use super::{Columns, Opening};
use dataset::mds::Hash;
use dataset::writing::Writer;
use dataset::{DOMAIN, LENGTHS, PREV, TOKENS};
use pipe::failure::Failure;
use pipe::tokens::Dtype;
use serde_json::{Map, Value, json};
use writer::{MdsWriter, claim};

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
#[derive(Debug, Clone)]
pub struct Flags {
    /// How integers are stored.
    pub encoding: Encoding,
    /// Bytes of a shard before compression.
    pub size_limit: u64,
    /// The level of zstd; `None`: shards are not compressed.
    pub compression: Option<i32>,
    /// Sums in the index, in order.
    pub hashes: Vec<Hash>,
    /// Keep what an earlier run has written, where it is the same.
    pub resume: bool,
}

impl Default for Flags {
    fn default() -> Flags {
        // The limit is Mosaic's.
        Flags { encoding: Encoding::Ndarray, size_limit: 1 << 26, compression: None, hashes: Vec::new(), resume: false }
    }
}

/// How a dataset is written.
#[derive(Debug, Clone)]
struct Settings {
    /// What it has beside tokens.
    columns: Columns,
    /// The type of a token.
    dtype: Dtype,
    flags: Flags,
    /// Threads that finish shards.
    threads: usize,
}

/// The level of zstd where none is said: Mosaic's.
pub const LEVEL: i32 = 3;

/// Starts a dataset in a folder.
///
/// # Errors
/// The folder holds something, cannot be written, or another run writes there.
pub fn open(opening: &Opening) -> Result<Box<dyn Writer>, Failure> {
    let (columns, flags) = (opening.columns(), opening.mds.clone());
    let settings = Settings { columns, dtype: opening.dtype, flags, threads: opening.common.threads };
    let folder = opening.named()?;
    let lock = claim(folder, settings.flags.resume, opening.common)?;
    Ok(Box::new(MdsWriter::new(folder, lock, settings)?))
}

impl Settings {
    /// Whether a shard is held whole until it is written, for what is to be done with it.
    fn holds(&self) -> bool {
        self.flags.compression.is_some() || !self.flags.hashes.is_empty() || self.flags.resume
    }

    /// Names and encodings of the columns, in the order in which they are stored.
    fn columns(&self) -> Vec<(&'static str, &'static str)> {
        let integers = if self.flags.encoding == Encoding::Ndarray { "ndarray" } else { "pkl" };
        let mut columns = vec![(DOMAIN, "str"), (TOKENS, integers)];
        columns.extend(self.columns.prev.then_some((PREV, integers)));
        columns.extend(self.columns.lengths.then_some((LENGTHS, integers)));
        columns.sort_unstable();
        columns
    }

    /// The configuration that every shard and the index have.
    fn config(&self) -> Map<String, Value> {
        let columns = self.columns();
        let compression = self.flags.compression.map(|level| match level {
            LEVEL => "zstd".to_string(),
            level => format!("zstd:{level}"),
        });
        let config = json!({
            "version": 2,
            "format": "mds",
            "compression": compression,
            "hashes": self.flags.hashes.iter().map(|hash| hash.name()).collect::<Vec<_>>(),
            "size_limit": self.flags.size_limit,
            "column_names": columns.iter().map(|column| column.0).collect::<Vec<_>>(),
            "column_encodings": columns.iter().map(|column| column.1).collect::<Vec<_>>(),
            "column_sizes": vec![Value::Null; columns.len()],
        });
        config.as_object().cloned().unwrap_or_default()
    }
}

//! Mosaic's streaming dataset (MDS, version 2): `shard.00000.mds`, ... and, written last, `index.json`.
//!
//! A shard is the number of its samples n, n + 1 places where samples begin and the last ends (32-bit, from the start of the
//! file), the JSON text of its configuration, and the samples. A sample is the size of each column (32-bit) and the columns, in the
//! order of their names. A shard is full when another sample would take it over the size limit. All as Mosaic's MDSWriter has
//! it: without compression and with `ndarray` columns, the same bytes.

pub mod merge;
mod shard;
pub mod verify;
pub mod writer;

use crate::format::{Columns, DOMAIN, LENGTHS, PREV, TOKENS};
use pipe::failure::Failure;
use pipe::output::Output;
use pipe::tokens::Dtype;
use serde_json::{Map, Value, json};
use sha2::Digest;
use std::fs;
use std::path::Path;

/// How a column of integers is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Type, shape and values.
    Ndarray,
    /// A pickled NumPy array, which is what CEPE's loader reads.
    Pickle,
}

/// A sum that the index has of every shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hash {
    /// SHA-256.
    Sha256,
    /// XXH3 with 128 bits.
    Xxh3x128,
    /// XXH3 with 64 bits.
    Xxh3x64,
}

impl Hash {
    /// What Mosaic calls it.
    pub fn name(self) -> &'static str {
        match self {
            Hash::Sha256 => "sha256",
            Hash::Xxh3x128 => "xxh3_128",
            Hash::Xxh3x64 => "xxh3_64",
        }
    }

    /// The one of this name.
    pub fn of(name: &str) -> Option<Hash> {
        [Hash::Sha256, Hash::Xxh3x128, Hash::Xxh3x64].into_iter().find(|hash| hash.name() == name)
    }

    /// The sum of some bytes in hexadecimal.
    pub fn sum(self, bytes: &[u8]) -> String {
        match self {
            Hash::Sha256 => sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect(),
            Hash::Xxh3x128 => format!("{:032x}", xxhash_rust::xxh3::xxh3_128(bytes)),
            Hash::Xxh3x64 => format!("{:016x}", xxhash_rust::xxh3::xxh3_64(bytes)),
        }
    }
}

/// How a dataset is written.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What it has beside tokens.
    pub columns: Columns,
    /// The type of a token.
    pub dtype: Dtype,
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
    /// Threads that finish shards.
    pub threads: usize,
}

/// The name of the index.
pub const INDEX: &str = "index.json";

/// The level of zstd where none is said: Mosaic's.
pub const LEVEL: i32 = 3;

impl Settings {
    /// Whether a shard is held whole until it is written, for what is to be done with it.
    fn holds(&self) -> bool {
        self.compression.is_some() || !self.hashes.is_empty() || self.resume
    }

    /// Names and encodings of the columns, in the order in which they are stored.
    fn columns(&self) -> Vec<(&'static str, &'static str)> {
        let integers = if self.encoding == Encoding::Ndarray { "ndarray" } else { "pkl" };
        let mut columns = vec![(DOMAIN, "str"), (TOKENS, integers)];
        columns.extend(self.columns.prev.then_some((PREV, integers)));
        columns.extend(self.columns.lengths.then_some((LENGTHS, integers)));
        columns.sort_unstable();
        columns
    }

    /// The configuration that every shard and the index have.
    fn config(&self) -> Map<String, Value> {
        let columns = self.columns();
        let compression = self.compression.map(|level| match level {
            LEVEL => "zstd".to_string(),
            level => format!("zstd:{level}"),
        });
        let config = json!({
            "version": 2,
            "format": "mds",
            "compression": compression,
            "hashes": self.hashes.iter().map(|hash| hash.name()).collect::<Vec<_>>(),
            "size_limit": self.size_limit,
            "column_names": columns.iter().map(|column| column.0).collect::<Vec<_>>(),
            "column_encodings": columns.iter().map(|column| column.1).collect::<Vec<_>>(),
            "column_sizes": vec![Value::Null; columns.len()],
        });
        config.as_object().cloned().unwrap_or_default()
    }
}

/// JSON as Python's `json.dumps(..., sort_keys=True)` writes it, which is what MDSWriter does.
pub fn python_json(value: &Value, text: &mut String) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<_> = map.keys().collect();
            keys.sort_unstable();
            text.push('{');
            for (place, key) in keys.into_iter().enumerate() {
                text.push_str(if place > 0 { ", " } else { "" });
                python_json(&Value::String(key.clone()), text);
                text.push_str(": ");
                python_json(&map[key], text);
            }
            text.push('}');
        }
        Value::Array(list) => {
            text.push('[');
            for (place, value) in list.iter().enumerate() {
                text.push_str(if place > 0 { ", " } else { "" });
                python_json(value, text);
            }
            text.push(']');
        }
        other => text.push_str(&other.to_string()),
    }
}

/// Reads the shards of an index.
pub fn shards(folder: &Path) -> Result<Vec<Value>, Failure> {
    let path = folder.join(INDEX);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(_) if folder.is_dir() && names(folder)?.iter().any(|name| is_shard(name)) => {
            return Err(Failure::file(
                folder,
                "has no index.json: the run that wrote it did not finish; --resume finishes it",
            ));
        }
        Err(why) => return Err(Failure::file(&path, why)),
    };
    let index: Value = serde_json::from_slice(&text).map_err(|why| Failure::file(&path, why))?;
    match (index["version"].as_u64(), index["shards"].as_array()) {
        (Some(2), Some(shards)) => Ok(shards.clone()),
        (version, _) => Err(Failure::file(&path, format!("expected version 2 and shards, found version {version:?}"))),
    }
}

/// Writes the index of these shards.
pub fn write_index(folder: &Path, shards: Vec<Value>) -> Result<(), Failure> {
    let mut text = String::new();
    python_json(&json!({ "version": 2, "shards": shards }), &mut text);
    let mut output = Output::create(&folder.join(INDEX))?;
    output.write(text.as_bytes())?;
    output.finish()
}

/// The names of what is in a folder, in order.
pub fn names(folder: &Path) -> Result<Vec<String>, Failure> {
    let entries = fs::read_dir(folder).map_err(|why| Failure::file(folder, why))?;
    let mut names: Vec<_> =
        entries.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned())).collect();
    names.sort_unstable();
    Ok(names)
}

/// Whether a file is a shard by its name.
pub fn is_shard(name: &str) -> bool {
    name.starts_with("shard.") && (name.ends_with(".mds") || name.ends_with(".mds.zstd"))
}

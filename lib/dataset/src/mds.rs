//! Mosaic's streaming dataset (MDS, version 2): `shard.00000.mds`, ... and, written last, `index.json`.
//!
//! A shard is the number of its samples n, n + 1 places where samples begin and the last ends (32-bit, from the start
//! of the file), the JSON text of its configuration, and the samples. A sample is the size of each column (32-bit) and
//! the columns, in the order of their names. A shard is full when another sample would take it over the size limit. All
//! as Mosaic's MDSWriter has it: without compression and with `ndarray` columns, the same bytes.
//!
//! An index may come from anywhere, so it is checked like a command line: a shard's name stays below its folder, and
//! sizes are those that a shard can have (its places are 32-bit numbers).

mod reading;
mod shard;
pub mod storage;
mod writer;

pub use reading::{Column, Loaded};
pub use storage::Storage;
pub use writer::{MdsWriter, claim};

use pipe::failure::{Failure, reason};
use pipe::output::Output;
use serde_json::{Map, Value, json};
use sha2::Digest;
use std::fs;
use std::path::{Component, Path};

/// The name of the index.
pub const INDEX: &str = "index.json";

/// Shards and their samples are smaller than this.
const SIZE_MAX: u64 = u32::MAX as u64;

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

/// The level of zstd where none is said: Mosaic's.
pub const LEVEL: i32 = 3;

/// How a dataset is written.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Name and encoding of each column, by name.
    pub columns: Vec<(&'static str, &'static str)>,
    /// Sizes, compression, sums.
    pub storage: Storage,
    /// Threads that finish shards.
    pub threads: usize,
}

impl Settings {
    /// Whether a shard is held whole until it is written, for what is to be done with it.
    fn holds(&self) -> bool {
        self.storage.compression.is_some() || !self.storage.hashes.is_empty() || self.storage.resume
    }

    /// The configuration that every shard and the index have.
    fn config(&self) -> Map<String, Value> {
        let compression = self.storage.compression.map(|level| match level {
            LEVEL => "zstd".to_string(),
            level => format!("zstd:{level}"),
        });
        let config = json!({
            "version": 2,
            "format": "mds",
            "compression": compression,
            "hashes": self.storage.hashes.iter().map(|hash| hash.name()).collect::<Vec<_>>(),
            "size_limit": self.storage.size_limit,
            "column_names": self.columns.iter().map(|column| column.0).collect::<Vec<_>>(),
            "column_encodings": self.columns.iter().map(|column| column.1).collect::<Vec<_>>(),
            "column_sizes": vec![Value::Null; self.columns.len()],
        });
        config.as_object().cloned().unwrap_or_default()
    }
}

/// What an index says of one shard.
#[derive(Debug, Clone)]
pub struct Shard {
    /// All of it.
    pub entry: Value,
    /// Its samples.
    pub samples: u64,
    /// The shard itself.
    pub raw: Part,
    /// The compressed file, where there is one: only that is in the folder.
    pub zip: Option<Part>,
}

/// What an index says of one file.
#[derive(Debug, Clone)]
pub struct Part {
    /// Its name below the folder.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Sums of it, by their names.
    pub hashes: Map<String, Value>,
}

impl Shard {
    /// Reads an entry of an index.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(entry: &Value) -> Result<Shard, String> {
        let samples = entry["samples"].as_u64().filter(|&samples| samples <= SIZE_MAX);
        let samples = samples.ok_or_else(|| format!("{} samples: expected 0 to {SIZE_MAX}", entry["samples"]))?;
        let zip = Some(&entry["zip_data"]).filter(|zip| !zip.is_null()).map(Part::read).transpose()?;
        let raw = Part::read(&entry["raw_data"])?;
        if raw.bytes > SIZE_MAX {
            return Err(format!("{}: {} bytes: expected {SIZE_MAX} at the most", raw.name, raw.bytes));
        }
        Ok(Shard { entry: entry.clone(), samples, raw, zip })
    }

    /// The file that is in the folder.
    pub fn file(&self) -> &Part {
        self.zip.as_ref().unwrap_or(&self.raw)
    }
}

impl Part {
    fn read(about: &Value) -> Result<Part, String> {
        let name = about["basename"].as_str().ok_or("a shard has no name")?;
        let below = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        if name.is_empty() || !below {
            return Err(format!("shard {name:?}: expected a name below the folder"));
        }
        let bytes =
            about["bytes"].as_u64().ok_or_else(|| format!("{name}: expected a size, found {}", about["bytes"]))?;
        let hashes = about["hashes"].as_object().cloned().unwrap_or_default();
        Ok(Part { name: name.to_string(), bytes, hashes })
    }
}

/// Reads the index of a folder.
///
/// # Errors
/// It is not there, cannot be read, or says what cannot be.
pub fn shards(folder: &Path) -> Result<Vec<Shard>, Failure> {
    let path = folder.join(INDEX);
    let text = match read_file(&path) {
        Ok(text) => text,
        Err(_) if !path.exists() && folder.is_dir() && names(folder)?.iter().any(|name| is_shard(name)) => {
            let why = "has no index.json: the run that wrote it did not finish; pack-tokens --resume finishes it";
            return Err(Failure::file(folder, why));
        }
        Err(why) => return Err(Failure::file(&path, why)),
    };
    let index: Value = serde_json::from_slice(&text).map_err(|why| Failure::file(&path, why))?;
    match (index["version"].as_u64(), index["shards"].as_array()) {
        (Some(2), Some(shards)) => {
            let shards: Result<_, _> = shards.iter().map(Shard::read).collect();
            shards.map_err(|why| Failure::file(&path, why))
        }
        (version, _) => Err(Failure::file(&path, format!("expected version 2 and shards, found version {version:?}"))),
    }
}

/// Reads a regular file. Anything else is not even opened: it may never end.
///
/// # Errors
/// It is something else, or cannot be read.
pub fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    match fs::metadata(path) {
        Ok(found) if found.is_file() => fs::read(path).map_err(reason),
        Ok(_) => Err("expected a regular file".to_string()),
        Err(why) => Err(reason(why)),
    }
}

/// Writes the index of these shards.
///
/// # Errors
/// It cannot be written.
pub fn write_index(folder: &Path, shards: Vec<Value>) -> Result<(), Failure> {
    let mut text = String::new();
    python_json(&json!({ "version": 2, "shards": shards }), &mut text);
    let mut output = Output::create(&folder.join(INDEX))?;
    output.write(text.as_bytes())?;
    output.finish()
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

/// The names of what is in a folder, in order.
///
/// # Errors
/// It cannot be read.
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

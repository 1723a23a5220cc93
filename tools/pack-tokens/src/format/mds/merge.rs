//! Joins datasets by their indexes.

use super::{shards, write_index};
use pipe::failure::Failure;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// Writes the index of a folder over the datasets in folders below it, in this order. Tokens stay where they are.
pub fn merge(root: &Path, folders: &[PathBuf]) -> Result<u64, Failure> {
    let absolute = |path: &Path| fs::canonicalize(path).map_err(|why| Failure::file(path, why));
    let above = absolute(root)?;
    let mut all: Vec<Value> = Vec::new();
    for folder in folders {
        let below = absolute(folder)?;
        let below = below.strip_prefix(&above).ok().filter(|below| !below.as_os_str().is_empty());
        let below =
            below.ok_or_else(|| Failure::file(folder, format!("expected a folder below {}", root.display())))?;
        let below = below.to_str().ok_or_else(|| Failure::file(folder, "expected a name in UTF-8"))?;
        for mut shard in shards(folder)? {
            for part in ["raw_data", "zip_data"] {
                if let Some(name) = shard[part]["basename"].as_str() {
                    shard[part]["basename"] = format!("{below}/{name}").into();
                }
            }
            let columns = |shard: &Value| (shard["column_names"].clone(), shard["column_encodings"].clone());
            if let Some(first) = all.first().filter(|first| columns(first) != columns(&shard)) {
                let (found, expected) = (columns(&shard), columns(first));
                let why = format!("columns {} {}: expected {} {}", found.0, found.1, expected.0, expected.1);
                return Err(Failure::file(folder, why));
            }
            all.push(shard);
        }
    }
    let samples = all.iter().filter_map(|shard| shard["samples"].as_u64()).sum();
    write_index(root, all)?;
    Ok(samples)
}

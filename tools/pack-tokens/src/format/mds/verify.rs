//! Looks at every byte of a dataset.

use super::{Hash, INDEX, is_shard, names, python_json, shards};
use crate::format::{DOMAIN, LENGTHS, PREV, TOKENS, ndarray, pickle};
use pipe::failure::{Failure, reason};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// What every sample must be.
#[derive(Debug, Clone, Copy, Default)]
pub struct Expected {
    /// Tokens of a sequence.
    pub length: Option<usize>,
    /// Tokens are below it.
    pub vocabulary: Option<u64>,
}

/// What was found.
#[derive(Debug, Default)]
struct Report {
    shards: u64,
    samples: u64,
    bytes: u64,
    tokens: u64,
    token_max: Option<i64>,
    /// Values that cannot be looked into: of other encodings, or pickled by others.
    opaque: u64,
    lengths: BTreeMap<String, (usize, usize)>,
    domains: BTreeMap<String, u64>,
}

/// Reads every byte of a dataset, and says what is in it. The error names the first thing that is wrong.
pub fn verify(folder: &Path, expected: Expected) -> Result<Value, Failure> {
    let shards = shards(folder)?;
    let mut report = Report::default();
    let mut known = Vec::new();
    for shard in &shards {
        let raw = &shard["raw_data"];
        let zip = Some(&shard["zip_data"]).filter(|zip| !zip.is_null());
        let file = zip.unwrap_or(raw);
        let name =
            file["basename"].as_str().ok_or_else(|| Failure::file(&folder.join(INDEX), "a shard has no name"))?;
        // What a loader has unpacked beside the compressed shard is no stranger.
        known.extend([Some(name), raw["basename"].as_str()].into_iter().flatten().map(str::to_string));
        let path = folder.join(name);
        let mut look = || {
            let found = fs::read(&path).map_err(reason)?;
            check_file(file, &found)?;
            report.bytes += found.len() as u64;
            let size = raw["bytes"].as_u64().ok_or("the index has no size of it")?;
            let whole = match (zip, shard["compression"].as_str()) {
                (None, _) => found,
                (Some(_), Some(kind)) if kind.split(':').next() == Some("zstd") => {
                    zstd::bulk::decompress(&found, size as usize).map_err(|why| format!("zstd: {why}"))?
                }
                (Some(_), kind) => return Err(format!("expected compression by zstd, found {kind:?}")),
            };
            check_file(raw, &whole)?;
            report.look(shard, &whole, expected)
        };
        look().map_err(|why| Failure::file(&path, why))?;
        report.shards += 1;
    }
    if let Some(name) = names(folder)?.iter().find(|name| is_shard(name) && !known.contains(name)) {
        return Err(Failure::file(&folder.join(name), "is not in the index"));
    }
    Ok(report.json())
}

/// Size and sums of a file.
fn check_file(about: &Value, bytes: &[u8]) -> Result<(), String> {
    let size = about["bytes"].as_u64();
    if size != Some(bytes.len() as u64) {
        return Err(format!("{} bytes: expected {}", bytes.len(), size.unwrap_or(0)));
    }
    for (name, sum) in about["hashes"].as_object().unwrap_or(&Map::new()) {
        let hash = Hash::of(name).ok_or_else(|| format!("the index has a hash that is not known here: {name}"))?;
        let found = hash.sum(bytes);
        if sum != found.as_str() {
            return Err(format!("{name} {found}: expected {sum}"));
        }
    }
    Ok(())
}

/// A 32-bit number.
fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let word = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes([word[0], word[1], word[2], word[3]]) as usize)
}

impl Report {
    fn look(&mut self, shard: &Value, bytes: &[u8], expected: Expected) -> Result<(), String> {
        let config_of = |key: &str| (key.to_string(), shard[key].clone());
        let keys = [
            "version",
            "format",
            "compression",
            "hashes",
            "size_limit",
            "column_names",
            "column_encodings",
            "column_sizes",
        ];
        let config: Map<_, _> = keys.into_iter().map(config_of).collect();
        let mut text = String::new();
        python_json(&Value::Object(config), &mut text);
        let count = number(bytes, 0).ok_or("no number of samples")?;
        if Some(count as u64) != shard["samples"].as_u64() {
            return Err(format!("{count} samples: expected {}", shard["samples"]));
        }
        let place = |sample: usize| number(bytes, 4 + 4 * sample).ok_or("the places of its samples are not whole");
        let start = 8 + 4 * count;
        if bytes.get(start..start + text.len()) != Some(text.as_bytes()) || place(0)? != start + text.len() {
            return Err("its configuration is not that of the index".to_string());
        }
        if place(count)? != bytes.len() {
            return Err(format!("samples end at byte {}: expected {}", place(count)?, bytes.len()));
        }
        let list = |key: &str| shard[key].as_array().cloned().unwrap_or_default();
        let columns: Vec<_> =
            list("column_names").into_iter().zip(list("column_encodings")).zip(list("column_sizes")).collect();
        let columns: Vec<_> = columns
            .iter()
            .map(|((name, encoding), size)| {
                (name.as_str().unwrap_or(""), encoding.as_str().unwrap_or(""), size.as_u64())
            })
            .collect();
        for sample in 0..count {
            let whole = bytes.get(place(sample)?..place(sample + 1)?);
            let looked = whole.ok_or_else(|| "its place is not in the file".to_string());
            looked
                .and_then(|whole| self.sample(&columns, whole, expected))
                .map_err(|why| format!("sample {sample}: {why}"))?;
            self.samples += 1;
        }
        Ok(())
    }

    fn sample(
        &mut self,
        columns: &[(&str, &str, Option<u64>)],
        bytes: &[u8],
        expected: Expected,
    ) -> Result<(), String> {
        let mut at = 0;
        let mut sizes = Vec::new();
        for &(name, _, size) in columns {
            sizes.push(match size {
                Some(size) => size as usize,
                None => {
                    at += 4;
                    number(bytes, at - 4).ok_or_else(|| format!("the size of {name} is not whole"))?
                }
            });
        }
        let (mut tokens, mut in_documents) = (0, 0);
        for (&(name, encoding, _), size) in columns.iter().zip(sizes) {
            let value = bytes.get(at..at + size).ok_or_else(|| format!("{name} is not whole"))?;
            at += size;
            let (length, sum) = self.value(name, encoding, value, expected).map_err(|why| format!("{name}: {why}"))?;
            match name {
                TOKENS => tokens = length,
                LENGTHS => in_documents = sum,
                _ => {}
            }
        }
        if at != bytes.len() {
            return Err(format!("{} bytes: expected {at}", bytes.len()));
        }
        if in_documents > tokens as i64 {
            return Err(format!("lengths of {in_documents} tokens: expected at most {tokens}"));
        }
        Ok(())
    }

    /// Looks at one column of a sample; gives the number of its values and their sum.
    fn value(&mut self, name: &str, encoding: &str, value: &[u8], expected: Expected) -> Result<(usize, i64), String> {
        let array = match encoding {
            "str" => {
                let text = str::from_utf8(value).map_err(|_| "expected UTF-8")?;
                if name == DOMAIN {
                    *self.domains.entry(text.to_string()).or_default() += 1;
                }
                return Ok((0, 0));
            }
            "ndarray" => Some(ndarray::read_array(value).ok_or("its header and its values do not go together")?),
            "pkl" => pickle::read_array(value),
            _ => None,
        };
        let Some((kind, values)) = array else {
            self.opaque += 1;
            return Ok((0, 0));
        };
        let numbers =
            integers(kind, values).ok_or_else(|| format!("values of type {:?}", String::from_utf8_lossy(kind)))?;
        let (least, most) = (numbers.iter().min().copied(), numbers.iter().max().copied());
        let lengths = self.lengths.entry(name.to_string()).or_insert((usize::MAX, 0));
        *lengths = (lengths.0.min(numbers.len()), lengths.1.max(numbers.len()));
        if let Some(least) = least.filter(|&least| least < 0) {
            return Err(format!("expected 0 or more, found {least}"));
        }
        if name == TOKENS || name == PREV {
            let below = expected.vocabulary.map_or(i64::MAX, |ids| ids as i64);
            if let Some(most) = most.filter(|&most| most >= below) {
                return Err(format!("expected ids below {below}, found {most}"));
            }
            self.token_max = self.token_max.max(most);
        }
        if name == TOKENS {
            self.tokens += numbers.len() as u64;
            if let Some(length) = expected.length.filter(|&length| length != numbers.len()) {
                return Err(format!("expected {length} tokens, found {}", numbers.len()));
            }
        }
        Ok((numbers.len(), numbers.iter().sum()))
    }

    fn json(self) -> Value {
        json!({
            "shards": self.shards,
            "samples": self.samples,
            "bytes": self.bytes,
            "tokens": self.tokens,
            "token_max": self.token_max,
            "lengths": self.lengths,
            "domains": self.domains,
            "values_not_looked_into": self.opaque,
        })
    }
}

/// Integers of any of the four types.
fn integers(kind: &[u8], values: &[u8]) -> Option<Vec<i64>> {
    let width = match kind {
        b"u2" => 2,
        b"u4" | b"i4" => 4,
        b"i8" => 8,
        _ => return None,
    };
    let wide = |bytes: &[u8]| bytes.iter().rev().fold(0, |value: i64, &byte| value << 8 | i64::from(byte));
    let number = |bytes: &[u8]| if kind == b"i4" { i64::from(wide(bytes) as i32) } else { wide(bytes) };
    Some(values.chunks_exact(width).map(number).collect())
}

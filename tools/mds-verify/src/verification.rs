//! Looks at every byte of a dataset.

use dataset::mds::{Column, Shard, is_shard, names, shards};
use dataset::{DOMAIN, LENGTHS, PREV, TOKENS, ndarray, pickle};
use pipe::failure::Failure;
use serde_json::{Value, json};
use std::collections::BTreeMap;
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

/// Reads every byte of a dataset, and says what is in it.
///
/// # Errors
/// The first thing that is wrong, with the shard and the sample.
pub fn verify(folder: &Path, expected: Expected) -> Result<Value, Failure> {
    let mut report = Report::default();
    let mut known = Vec::new();
    for shard in shards(folder)? {
        report.look(&shard, folder, expected)?;
        report.shards += 1;
        // What a loader has unpacked beside the compressed shard is no stranger.
        known.extend([shard.raw.name, shard.zip.map(|zip| zip.name).unwrap_or_default()]);
    }
    if let Some(name) = names(folder)?.iter().find(|name| is_shard(name) && !known.contains(name)) {
        return Err(Failure::file(&folder.join(name), "is not in the index"));
    }
    Ok(report.json())
}

impl Report {
    fn look(&mut self, shard: &Shard, folder: &Path, expected: Expected) -> Result<(), Failure> {
        let path = folder.join(&shard.file().name);
        let found = shard.load(folder)?;
        self.bytes += found.size;
        for sample in 0..found.samples {
            let looked = found.sample(sample).and_then(|columns| self.sample(&columns, expected));
            looked.map_err(|why| Failure::file(&path, format!("sample {sample}: {why}")))?;
            self.samples += 1;
        }
        Ok(())
    }

    fn sample(&mut self, columns: &[Column], expected: Expected) -> Result<(), String> {
        let (mut tokens, mut in_documents) = (0, 0);
        for &Column { name, encoding, bytes } in columns {
            let (length, sum) = self.value(name, encoding, bytes, expected).map_err(|why| format!("{name}: {why}"))?;
            match name {
                TOKENS => tokens = length,
                LENGTHS => in_documents = sum,
                _ => {}
            }
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
        Ok((numbers.len(), numbers.iter().copied().fold(0, i64::saturating_add)))
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
    Some(match kind {
        b"u2" => widened(values, |bytes| u16::from_le_bytes(bytes).into()),
        b"u4" => widened(values, |bytes| u32::from_le_bytes(bytes).into()),
        b"i4" => widened(values, |bytes| i32::from_le_bytes(bytes).into()),
        b"i8" => widened(values, i64::from_le_bytes),
        _ => return None,
    })
}

fn widened<const WIDTH: usize>(values: &[u8], number: impl Fn([u8; WIDTH]) -> i64) -> Vec<i64> {
    values.as_chunks().0.iter().map(|&bytes| number(bytes)).collect()
}

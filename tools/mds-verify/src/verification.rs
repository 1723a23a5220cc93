//! Looks at every byte of a dataset.

use dataset::mds::{Hash, Part, Shard, is_shard, names, python_json, read_file, shards};
use dataset::{DOMAIN, LENGTHS, PREV, TOKENS, ndarray, pickle};
use pipe::failure::Failure;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;

/// What every shard repeats of its index.
const CONFIG: [&str; 8] =
    ["version", "format", "compression", "hashes", "size_limit", "column_names", "column_encodings", "column_sizes"];

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
        let path = folder.join(&shard.file().name);
        report.look(&shard, &path, expected).map_err(|why| Failure::file(&path, why))?;
        report.shards += 1;
        // What a loader has unpacked beside the compressed shard is no stranger.
        known.extend([shard.raw.name, shard.zip.map(|zip| zip.name).unwrap_or_default()]);
    }
    if let Some(name) = names(folder)?.iter().find(|name| is_shard(name) && !known.contains(name)) {
        return Err(Failure::file(&folder.join(name), "is not in the index"));
    }
    Ok(report.json())
}

/// The bytes of a shard, unpacked; sizes and sums are those of the index. A size that is wrong takes no memory.
fn unpacked(shard: &Shard, found: Vec<u8>) -> Result<Vec<u8>, String> {
    let Some(zip) = &shard.zip else { return Ok(found) };
    let kind = shard.entry["compression"].as_str();
    if kind.and_then(|kind| kind.split(':').next()) != Some("zstd") {
        return Err(format!("expected compression by zstd, found {kind:?}"));
    }
    check_sums(zip, &found)?;
    let (mut whole, size) = (Vec::new(), shard.raw.bytes);
    let unpacking = zstd::stream::read::Decoder::new(&found[..]).map(|decoder| decoder.take(size + 1));
    unpacking.and_then(|mut unpacking| unpacking.read_to_end(&mut whole)).map_err(|why| format!("zstd: {why}"))?;
    match whole.len() as u64 {
        length if length > size => Err(format!("more than {size} bytes, unpacked: expected {size}")),
        length if length < size => Err(format!("{length} bytes, unpacked: expected {size}")),
        _ => Ok(whole),
    }
}

/// The size of a file is looked at before it is read.
fn check_size(path: &Path, part: &Part) -> Result<(), String> {
    match fs::metadata(path) {
        Ok(found) if found.is_file() && found.len() != part.bytes => {
            Err(format!("{} bytes: expected {}", found.len(), part.bytes))
        }
        _ => Ok(()),
    }
}

fn check_sums(part: &Part, bytes: &[u8]) -> Result<(), String> {
    for (name, sum) in &part.hashes {
        let hash = Hash::of(name).ok_or_else(|| format!("the index has a hash that is not known here: {name}"))?;
        let found = hash.sum(bytes);
        if sum != found.as_str() {
            return Err(format!("{name} {found}: expected {sum}"));
        }
    }
    Ok(())
}

/// Name, encoding and fixed size of a column.
type Column<'a> = (&'a str, &'a str, Option<u64>);

/// The columns of a shard.
fn columns(entry: &Value) -> Result<Vec<Column<'_>>, String> {
    let list = |key: &str| entry[key].as_array().map(Vec::as_slice).unwrap_or_default();
    let (names, encodings, sizes) = (list("column_names"), list("column_encodings"), list("column_sizes"));
    if names.len() != encodings.len() || names.len() != sizes.len() {
        let counts = format!("{} names, {} encodings and {} sizes", names.len(), encodings.len(), sizes.len());
        return Err(format!("the index has {counts} of columns: expected as many of each"));
    }
    if !names.iter().chain(encodings).all(Value::is_string) {
        return Err("the index has a column without a name or an encoding".to_string());
    }
    let column = |place: usize| {
        (names[place].as_str().unwrap_or(""), encodings[place].as_str().unwrap_or(""), sizes[place].as_u64())
    };
    Ok((0..names.len()).map(column).collect())
}

/// A 32-bit number.
fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let word = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes([word[0], word[1], word[2], word[3]]) as usize)
}

impl Report {
    fn look(&mut self, shard: &Shard, path: &Path, expected: Expected) -> Result<(), String> {
        check_size(path, shard.file())?;
        let found = read_file(path)?;
        if found.len() as u64 != shard.file().bytes {
            return Err(format!("{} bytes: expected {}", found.len(), shard.file().bytes));
        }
        self.bytes += found.len() as u64;
        let whole = unpacked(shard, found)?;
        check_sums(&shard.raw, &whole)?;
        self.samples(shard, &whole, expected)
    }

    fn samples(&mut self, shard: &Shard, bytes: &[u8], expected: Expected) -> Result<(), String> {
        let config: Map<_, _> = CONFIG.into_iter().map(|key| (key.to_string(), shard.entry[key].clone())).collect();
        let mut text = String::new();
        python_json(&Value::Object(config), &mut text);
        let count = number(bytes, 0).ok_or("no number of samples")?;
        if count as u64 != shard.samples {
            return Err(format!("{count} samples: expected {}", shard.samples));
        }
        let place = |sample: usize| number(bytes, 4 + 4 * sample).ok_or("the places of its samples are not whole");
        let start = 8 + 4 * count;
        if bytes.get(start..start + text.len()) != Some(text.as_bytes()) || place(0)? != start + text.len() {
            return Err("its configuration is not that of the index".to_string());
        }
        if place(count)? != bytes.len() {
            return Err(format!("samples end at byte {}: expected {}", place(count)?, bytes.len()));
        }
        let columns = columns(&shard.entry)?;
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

    fn sample(&mut self, columns: &[Column], bytes: &[u8], expected: Expected) -> Result<(), String> {
        let mut at = 0;
        let mut sizes = Vec::new();
        for &(name, _, size) in columns {
            sizes.push(match size {
                Some(size) => usize::try_from(size).map_err(|_| format!("{name}: a size of {size} bytes"))?,
                None => {
                    at += 4;
                    number(bytes, at - 4).ok_or_else(|| format!("the size of {name} is not whole"))?
                }
            });
        }
        let (mut tokens, mut in_documents) = (0, 0);
        for (&(name, encoding, _), size) in columns.iter().zip(sizes) {
            let end = at.checked_add(size).filter(|&end| end <= bytes.len());
            let value = &bytes[at..end.ok_or_else(|| format!("{name} is not whole"))?];
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

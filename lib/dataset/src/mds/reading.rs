//! Shards of a dataset, read and looked at.

use super::{Hash, Part, Shard, python_json, read_file};
use crate::{ndarray, pickle};
use pipe::failure::Failure;
use pipe::tokens::Dtype;
use serde_json::{Map, Value};
use std::fs;
use std::io::Read;
use std::path::Path;

/// What every shard repeats of its index.
const CONFIG: [&str; 8] =
    ["version", "format", "compression", "hashes", "size_limit", "column_names", "column_encodings", "column_sizes"];

/// A shard in memory. Sizes and sums are those of the index.
pub struct Loaded {
    bytes: Vec<u8>,
    kinds: Vec<Kind>,
    /// How many samples there are.
    pub samples: usize,
    /// Bytes of the file.
    pub size: u64,
}

/// What the values of a column are.
struct Kind {
    name: String,
    encoding: String,
    /// Where all have the same.
    size: Option<u64>,
}

/// The value of a column in a sample.
#[derive(Debug, Clone, Copy)]
pub struct Column<'a> {
    /// What it is called.
    pub name: &'a str,
    /// What Mosaic calls its encoding.
    pub encoding: &'a str,
    /// As they are stored.
    pub bytes: &'a [u8],
}

impl Column<'_> {
    /// Appends its tokens.
    ///
    /// # Errors
    /// It is no array of integers as pack-tokens writes them, or holds what is no token.
    pub fn read_ids(&self, ids: &mut Vec<u32>) -> Result<(), String> {
        let Column { name, encoding, bytes } = *self;
        let array = match encoding {
            "ndarray" => ndarray::read_array(bytes),
            "pkl" => pickle::read_array(bytes),
            _ => None,
        };
        let typed = array.and_then(|(kind, values)| {
            let kind = str::from_utf8(kind).ok()?;
            Some((Dtype::of_descr(&format!("<{kind}"))?, values))
        });
        let (dtype, values) = typed.ok_or_else(|| format!("{name}: expected integers as pack-tokens stores them"))?;
        dtype
            .read(values, ids)
            .map_err(|(place, value)| format!("{name}: token {}: expected 0 to {}, found {value}", place + 1, u32::MAX))
    }
}

impl Shard {
    /// Reads the shard.
    ///
    /// # Errors
    /// The file cannot be read, or is not what the index says.
    pub fn load(&self, folder: &Path) -> Result<Loaded, Failure> {
        let path = folder.join(&self.file().name);
        self.read_whole(&path).map_err(|why| Failure::file(&path, why))
    }

    fn read_whole(&self, path: &Path) -> Result<Loaded, String> {
        check_size(path, self.file())?;
        let found = read_file(path)?;
        let size = found.len() as u64;
        if size != self.file().bytes {
            return Err(format!("{size} bytes: expected {}", self.file().bytes));
        }
        let bytes = unpacked(self, found)?;
        check_sums(&self.raw, &bytes)?;
        check_head(self, &bytes)?;
        Ok(Loaded { bytes, kinds: columns(&self.entry)?, samples: self.samples as usize, size })
    }
}

impl Loaded {
    /// The columns of a sample, counted from 0.
    ///
    /// # Errors
    /// Places or sizes that are wrong.
    pub fn sample(&self, sample: usize) -> Result<Vec<Column<'_>>, String> {
        let whole = self.bytes.get(place(&self.bytes, sample)?..place(&self.bytes, sample + 1)?);
        let whole = whole.ok_or("its place is not in the file")?;
        let mut at = 4 * self.kinds.iter().filter(|kind| kind.size.is_none()).count();
        let (mut said, mut columns) = (0, Vec::new());
        for Kind { name, encoding, size } in &self.kinds {
            let size = match *size {
                Some(size) => usize::try_from(size).map_err(|_| format!("{name}: a size of {size} bytes"))?,
                None => {
                    said += 4;
                    number(whole, said - 4).ok_or_else(|| format!("the size of {name} is not whole"))?
                }
            };
            let end = at.checked_add(size).filter(|&end| end <= whole.len());
            let bytes = whole.get(at..end.unwrap_or(usize::MAX)).ok_or_else(|| format!("{name} is not whole"))?;
            columns.push(Column { name, encoding, bytes });
            at += size;
        }
        if at != whole.len() {
            return Err(format!("{} bytes: expected {at}", whole.len()));
        }
        Ok(columns)
    }
}

/// What stands before the samples.
fn check_head(shard: &Shard, bytes: &[u8]) -> Result<(), String> {
    let config: Map<_, _> = CONFIG.into_iter().map(|key| (key.to_string(), shard.entry[key].clone())).collect();
    let mut text = String::new();
    python_json(&Value::Object(config), &mut text);
    let count = number(bytes, 0).ok_or("no number of samples")?;
    if count as u64 != shard.samples {
        return Err(format!("{count} samples: expected {}", shard.samples));
    }
    let start = 8 + 4 * count;
    if bytes.get(start..start + text.len()) != Some(text.as_bytes()) || place(bytes, 0)? != start + text.len() {
        return Err("its configuration is not that of the index".to_string());
    }
    match place(bytes, count)? {
        end if end != bytes.len() => Err(format!("samples end at byte {end}: expected {}", bytes.len())),
        _ => Ok(()),
    }
}

/// Where a sample begins.
fn place(bytes: &[u8], sample: usize) -> Result<usize, String> {
    number(bytes, 4 + 4 * sample).ok_or_else(|| "the places of its samples are not whole".to_string())
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

/// The columns of a shard.
fn columns(entry: &Value) -> Result<Vec<Kind>, String> {
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
        let text = |list: &[Value]| list[place].as_str().unwrap_or("").to_string();
        Kind { name: text(names), encoding: text(encodings), size: sizes[place].as_u64() }
    };
    Ok((0..names.len()).map(column).collect())
}

/// A 32-bit number.
fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let word = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes([word[0], word[1], word[2], word[3]]) as usize)
}

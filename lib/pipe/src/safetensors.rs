//! Safetensors files: read trusting nothing in them, written the same whoever writes.
//!
//! The format (huggingface/safetensors): eight bytes, the little-endian length of a header; the header, one JSON object
//! that maps each tensor's name to `{"dtype", "shape", "data_offsets": [begin, end]}`, and `__metadata__` to an object
//! of strings; then the data, to which the offsets refer. The tensors must fill the data exactly: no gap, no overlap,
//! nothing behind. All of it is checked on opening, before any data is read or memory asked for, so that [`File::read`]
//! can only meet a file that changed underneath it.

use crate::failure::Failure;
use crate::output::Output;
use crate::vectors::widen_f16;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// As in the reference implementation: more than this is an attack, not a model.
const HEADER_BYTES_MAX: u64 = 100_000_000;

/// The types that the format knows, with their size in bits.
const DTYPES: [(&str, u64); 21] = [
    ("BOOL", 8),
    ("F4", 4),
    ("F6_E2M3", 6),
    ("F6_E3M2", 6),
    ("U8", 8),
    ("I8", 8),
    ("F8_E5M2", 8),
    ("F8_E4M3", 8),
    ("F8_E8M0", 8),
    ("F8_E4M3FNUZ", 8),
    ("F8_E5M2FNUZ", 8),
    ("I16", 16),
    ("U16", 16),
    ("F16", 16),
    ("BF16", 16),
    ("I32", 32),
    ("U32", 32),
    ("F32", 32),
    ("F64", 64),
    ("I64", 64),
    ("U64", 64),
];

/// One tensor's entry, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    /// From the start of the file.
    begin: u64,
    bytes: usize,
}

/// A tensor in 32-bit floats.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Its dimensions; none for a scalar.
    pub shape: Vec<usize>,
    /// Row-major, the last dimension contiguous.
    pub values: Vec<f32>,
}

/// A tensor to be written.
#[derive(Debug)]
pub struct Part {
    /// Its name.
    pub name: &'static str,
    /// Its type, one of [`DTYPES`].
    pub dtype: &'static str,
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// Its values, little endian, row-major.
    pub bytes: Vec<u8>,
}

/// Writes a file and finishes it. As in the reference implementation, types of more bits come first, then names decide;
/// a header is padded with spaces to a multiple of 8, so that values lie where processors like them. Equal contents are
/// equal bytes.
///
/// # Errors
/// Where it cannot be written.
pub fn write(mut output: Output, metadata: &BTreeMap<String, String>, mut parts: Vec<Part>) -> Result<(), Failure> {
    let bits = |dtype: &str| DTYPES.iter().find(|(known, _)| *known == dtype).map(|&(_, bits)| bits);
    parts.sort_by_key(|part| (std::cmp::Reverse(bits(part.dtype)), part.name));
    let mut header = Map::from_iter([("__metadata__".to_string(), json!(metadata))]);
    let mut begin = 0;
    for part in &parts {
        let (values, end) = (part.shape.iter().product::<usize>(), begin + part.bytes.len());
        assert_eq!(
            bits(part.dtype).map(|bits| values as u64 * bits),
            Some(part.bytes.len() as u64 * 8),
            "{}",
            part.name
        );
        let entry = json!({ "dtype": part.dtype, "shape": part.shape, "data_offsets": [begin, end] });
        header.insert(part.name.to_string(), entry);
        begin = end;
    }
    let mut header = Value::Object(header).to_string();
    header += &" ".repeat(header.len().next_multiple_of(8) - header.len());
    output.write(&(header.len() as u64).to_le_bytes())?;
    output.write(header.as_bytes())?;
    parts.iter().try_for_each(|part| output.write(&part.bytes))?;
    output.finish()
}

/// Where a file's bytes are.
trait Bytes: Debug + Read + Seek + Send {}
impl<T: Debug + Read + Seek + Send> Bytes for T {}

/// An open safetensors file.
#[derive(Debug)]
pub struct File {
    path: PathBuf,
    file: Mutex<Box<dyn Bytes>>,
    entries: BTreeMap<String, Entry>,
    metadata: BTreeMap<String, String>,
}

impl File {
    /// Opens a file and checks its whole header against the format and the length of the file.
    ///
    /// # Errors
    /// Where it cannot be read, or is not of the format.
    pub fn open(path: &Path) -> Result<File, Failure> {
        let file = std::fs::File::open(path).map_err(|why| Failure::file(path, why))?;
        let length = file.metadata().map_err(|why| Failure::file(path, why))?.len();
        File::checked(path, Box::new(file), length)
    }

    /// The same where the bytes of the file are in memory; `path` is for messages.
    ///
    /// # Errors
    /// Where they are not of the format.
    pub fn of_bytes(path: &Path, bytes: Vec<u8>) -> Result<File, Failure> {
        let length = bytes.len() as u64;
        File::checked(path, Box::new(Cursor::new(bytes)), length)
    }

    fn checked(path: &Path, mut file: Box<dyn Bytes>, length: u64) -> Result<File, Failure> {
        let header = read_header(path, &mut file, length)?;
        let data_begin = 8 + header.len() as u64;
        let header = parse_header(&header).map_err(|why| Failure::file(path, why))?;
        let entries = check(header.tensors, data_begin, length).map_err(|why| Failure::file(path, why))?;
        Ok(File { path: path.to_path_buf(), file: Mutex::new(file), entries, metadata: header.metadata })
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The strings that the file carries beside its tensors.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// The shape of a tensor, where there is one of that name.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.entries.get(name).map(|e| e.shape.as_slice())
    }

    /// Reads a tensor of type F32, F16 or BF16; the latter two are widened, which is exact.
    ///
    /// # Errors
    /// Where it is not there, or of another type.
    pub fn read(&self, name: &str) -> Result<Tensor, Failure> {
        let entry = self.entry(name)?;
        let bytes = match entry.dtype.as_str() {
            "F32" | "F16" | "BF16" => self.bytes(entry)?,
            other => return Err(self.failed(name, format!(": type {other} cannot be read, only F32, F16 and BF16"))),
        };
        let values = match entry.dtype.as_str() {
            "F32" => bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect(),
            "F16" => bytes.as_chunks().0.iter().map(|&b| widen_f16(u16::from_le_bytes(b))).collect(),
            _ => bytes.as_chunks().0.iter().map(|&b| widen_bf16(u16::from_le_bytes(b))).collect(),
        };
        Ok(Tensor { shape: entry.shape.clone(), values })
    }

    /// Reads a tensor of exactly this type, whose values have `N` bytes: its little-endian values.
    ///
    /// # Errors
    /// Where it is not there, or of another type.
    pub fn read_exactly<const N: usize>(&self, name: &str, dtype: &str) -> Result<Vec<[u8; N]>, Failure> {
        let entry = self.entry(name)?;
        if entry.dtype != dtype {
            return Err(self.failed(name, format!(": expected type {dtype}, found {}", entry.dtype)));
        }
        let bytes = self.bytes(entry)?;
        let (values, rest) = bytes.as_chunks();
        assert!(rest.is_empty(), "{dtype} has {N} bytes");
        Ok(values.to_vec())
    }

    fn entry(&self, name: &str) -> Result<&Entry, Failure> {
        self.entries.get(name).ok_or_else(|| self.failed(name, " is missing".to_string()))
    }

    fn failed(&self, name: &str, why: String) -> Failure {
        Failure::file(&self.path, format!("tensor {name:?}{why}"))
    }

    fn bytes(&self, entry: &Entry) -> Result<Vec<u8>, Failure> {
        let mut bytes = vec![0; entry.bytes];
        let mut file = self.file.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let read = file.seek(SeekFrom::Start(entry.begin)).and_then(|_| file.read_exact(&mut bytes));
        read.map_err(|why| Failure::file(&self.path, why))?;
        Ok(bytes)
    }
}

fn widen_bf16(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

fn read_header(path: &Path, file: &mut impl Read, length: u64) -> Result<Vec<u8>, Failure> {
    let io = |why: std::io::Error| Failure::file(path, why);
    if length < 8 {
        let why = format!("not safetensors: {length} bytes, fewer than the 8 of the header's length");
        return Err(Failure::file(path, why));
    }
    let mut prefix = [0; 8];
    file.read_exact(&mut prefix).map_err(io)?;
    let bytes = u64::from_le_bytes(prefix);
    if bytes > HEADER_BYTES_MAX || bytes > length - 8 {
        let why = format!("not safetensors, or cut short: a header of {bytes} bytes in a file of {length}");
        return Err(Failure::file(path, why));
    }
    let mut header = vec![0; bytes as usize];
    file.read_exact(&mut header).map_err(io)?;
    Ok(header)
}

#[derive(Debug, Default)]
struct Header {
    metadata: BTreeMap<String, String>,
    tensors: Vec<(String, Claim)>,
}

/// What a header says of one tensor.
#[derive(Debug)]
struct Claim {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

fn parse_header(text: &[u8]) -> Result<Header, String> {
    let mut parser = serde_json::Deserializer::from_slice(text);
    let header = Header::deserialize(&mut parser).map_err(|why| format!("header: {why}"))?;
    parser.end().map_err(|why| format!("header: {why}"))?;
    Ok(header)
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Header, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Header;

            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut header = Header::default();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        header.metadata = map.next_value()?;
                    } else {
                        let claim = map.next_value_seed(ClaimOf(&name))?;
                        header.tensors.push((name, claim));
                    }
                }
                Ok(header)
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// Reads a claim; what is wrong with it is said with the tensor's name.
struct ClaimOf<'a>(&'a str);

impl<'de> serde::de::DeserializeSeed<'de> for ClaimOf<'_> {
    type Value = Claim;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Claim, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ClaimOf<'_> {
    type Value = Claim;

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "an object for tensor {:?}", self.0)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Claim, A::Error> {
        let name = self.0;
        let wrong = |field: &str, why: A::Error| serde::de::Error::custom(format!("tensor {name:?}: {field}: {why}"));
        let (mut dtype, mut shape, mut offsets) = (None, None, None);
        while let Some(field) = map.next_key::<String>()? {
            let again = match field.as_str() {
                "dtype" => dtype.replace(map.next_value().map_err(|e| wrong(&field, e))?).is_some(),
                "shape" => shape.replace(map.next_value().map_err(|e| wrong(&field, e))?).is_some(),
                "data_offsets" => offsets.replace(map.next_value().map_err(|e| wrong(&field, e))?).is_some(),
                _ => map.next_value::<IgnoredAny>().map(|_| false)?,
            };
            if again {
                return Err(serde::de::Error::custom(format!("tensor {name:?}: {field} twice")));
            }
        }
        match (dtype, shape, offsets) {
            (Some(dtype), Some(shape), Some(data_offsets)) => Ok(Claim { dtype, shape, data_offsets }),
            (dtype, shape, _) => {
                let lacking = if dtype.is_none() {
                    "dtype"
                } else if shape.is_none() {
                    "shape"
                } else {
                    "data_offsets"
                };
                Err(serde::de::Error::custom(format!("tensor {name:?}: {lacking} is missing")))
            }
        }
    }
}

/// Holds every claim against the format and the file, and against one another.
fn check(claims: Vec<(String, Claim)>, data_begin: u64, length: u64) -> Result<BTreeMap<String, Entry>, String> {
    let data_bytes = length - data_begin;
    let mut order: Vec<usize> = (0..claims.len()).collect();
    order.sort_by_key(|&i| claims[i].1.data_offsets);
    let mut filled = 0;
    let mut before = None;
    for &i in &order {
        let (name, claim) = &claims[i];
        filled = follows(name, claim, filled, before, data_bytes)?;
        before = Some(name.as_str());
    }
    if filled != data_bytes {
        return Err(format!("{} bytes behind the last tensor", data_bytes - filled));
    }
    let mut entries = BTreeMap::new();
    for (name, claim) in claims {
        let entry = entry(&name, claim, data_begin)?;
        if entries.insert(name.clone(), entry).is_some() {
            return Err(format!("tensor {name:?} twice"));
        }
    }
    Ok(entries)
}

/// The end of a tensor that must begin where the one before it ends.
fn follows(name: &str, claim: &Claim, filled: u64, before: Option<&str>, data_bytes: u64) -> Result<u64, String> {
    let [begin, end] = claim.data_offsets;
    if begin > end || end > data_bytes {
        let cut = if begin <= end { " (is the file cut short?)" } else { "" };
        return Err(format!("tensor {name:?}: data from {begin} to {end} in {data_bytes} bytes of data{cut}"));
    }
    if begin != filled {
        let what = if begin < filled { "overlaps" } else { "leaves a gap behind" };
        let other = before.map_or("the header".to_string(), |b| format!("tensor {b:?}"));
        return Err(format!("tensor {name:?}: data from {begin} to {end} {what} {other}, which ends at {filled}"));
    }
    Ok(end)
}

fn entry(name: &str, claim: Claim, data_begin: u64) -> Result<Entry, String> {
    let [begin, end] = claim.data_offsets;
    let Some(&(_, bits)) = DTYPES.iter().find(|(known, _)| *known == claim.dtype) else {
        return Err(format!("tensor {name:?}: unknown type {:?}", claim.dtype));
    };
    let count = claim.shape.iter().try_fold(1u64, |n, &d| n.checked_mul(d));
    let bytes = count.and_then(|n| n.checked_mul(bits)).filter(|bits| bits % 8 == 0).map(|bits| bits / 8);
    if bytes != Some(end - begin) {
        let (dtype, shape, given) = (&claim.dtype, &claim.shape, end - begin);
        return Err(format!("tensor {name:?}: {dtype} of shape {shape:?} does not fill its {given} bytes exactly"));
    }
    let narrow = |n: u64| usize::try_from(n).map_err(|_| format!("tensor {name:?}: too large for this machine"));
    let shape = claim.shape.iter().map(|&d| narrow(d)).collect::<Result<_, _>>()?;
    Ok(Entry { dtype: claim.dtype, shape, begin: data_begin + begin, bytes: narrow(end - begin)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file in the folder for temporary files that goes away with the value.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str, bytes: &[u8]) -> Scratch {
            let path = std::env::temp_dir().join(format!("safetensors-{}-{name}", std::process::id()));
            std::fs::write(&path, bytes).unwrap();
            Scratch(path)
        }

        fn open(&self) -> Result<File, String> {
            File::open(&self.0).map_err(|why| message(why).replace(&format!("{}: ", self.0.display()), ""))
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    fn message(why: Failure) -> String {
        match why {
            Failure::Work(message) => message,
            other => panic!("{other:?}"),
        }
    }

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
    }

    fn refusal(name: &str, header: &str, data_bytes: usize) -> String {
        Scratch::new(name, &file(header, &vec![0; data_bytes])).open().unwrap_err()
    }

    const GOOD: &str = r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},"b":{"dtype":"F16","shape":[3],"data_offsets":[8,14]},"c":{"dtype":"BF16","shape":[],"data_offsets":[14,16]},"d":{"dtype":"I64","shape":[1],"data_offsets":[16,24]},"e":{"dtype":"F32","shape":[0,7],"data_offsets":[24,24]}}"#;

    fn good_data() -> Vec<u8> {
        let mut data = [1.5f32.to_le_bytes(), (-2.0f32).to_le_bytes()].concat();
        data.extend([0x00, 0x3c, 0x00, 0xc0, 0x01, 0x00, 0x80, 0x3f]);
        data.extend(7i64.to_le_bytes());
        data
    }

    #[test]
    fn every_float_type_is_read() {
        let scratch = Scratch::new("good", &file(GOOD, &good_data()));
        let file = scratch.open().unwrap();
        assert_eq!(file.names().collect::<Vec<_>>(), ["a", "b", "c", "d", "e"]);
        assert_eq!(file.metadata()["format"], "pt");
        assert_eq!(file.read("a").unwrap(), Tensor { shape: vec![2, 1], values: vec![1.5, -2.0] });
        assert_eq!(file.read("b").unwrap().values, [1.0, -2.0, 2.0f32.powi(-24)]);
        assert_eq!(file.read("c").unwrap(), Tensor { shape: vec![], values: vec![1.0] });
        assert_eq!(file.read("e").unwrap(), Tensor { shape: vec![0, 7], values: vec![] });
        let why = message(file.read("d").unwrap_err());
        assert!(why.ends_with(r#"tensor "d": type I64 cannot be read, only F32, F16 and BF16"#), "{why}");
        assert!(message(file.read("x").unwrap_err()).ends_with(r#"tensor "x" is missing"#));
    }

    #[test]
    fn what_is_written_is_read_and_is_the_same_however_it_was_given() {
        let part =
            |name, dtype, bytes: &[u8]| Part { name, dtype, shape: vec![1, bytes.len() / 4], bytes: bytes.to_vec() };
        let parts = || {
            [
                part("b", "F32", &[0, 0, 0, 63]),
                part("a", "F32", &[0, 0, 128, 63]),
                Part { shape: vec![2], ..part("z", "I64", &[1; 16]) },
            ]
        };
        let metadata = BTreeMap::from([("k".to_string(), "\"2\"".to_string())]);
        let mut written = Vec::new();
        for order in [[0, 1, 2], [2, 0, 1]] {
            let scratch = Scratch::new("written", b"");
            let [a, b, c] = order.map(|i| parts().into_iter().nth(i).unwrap());
            write(Output::create(&scratch.0).unwrap(), &metadata, vec![a, b, c]).unwrap();
            let file = scratch.open().unwrap();
            assert_eq!(file.metadata(), &metadata);
            assert_eq!((file.read("a").unwrap().values, file.read("b").unwrap().values), (vec![1.0], vec![0.5]));
            assert_eq!(file.read_exactly::<8>("z", "I64").unwrap(), [[1; 8]; 2]);
            assert!(
                message(file.read_exactly::<4>("z", "F32").unwrap_err())
                    .ends_with(r#"tensor "z": expected type F32, found I64"#)
            );
            written.push(std::fs::read(&scratch.0).unwrap());
        }
        assert_eq!(written[0], written[1]);
        let header = u64::from_le_bytes(written[0][..8].try_into().unwrap()) as usize;
        assert_eq!((header % 8, &written[0][8 + header..][..17]), (0, &[&[1; 16][..], &[0]].concat()[..]));
    }

    #[test]
    fn each_lie_of_a_header_is_named() {
        let one = |fields: &str| format!(r#"{{"a":{{{fields}}}}}"#);
        let cases = [
            ("json", "{", 0, "header: EOF while parsing"),
            ("array", "[]", 0, "expected an object of tensors"),
            ("trailing", "{} {}", 0, "trailing characters"),
            ("entry", r#"{"a":3}"#, 0, r#"expected an object for tensor "a""#),
            ("dtype-missing", &one(r#""shape":[],"data_offsets":[0,4]"#), 4, r#"tensor "a": dtype is missing"#),
            ("shape-missing", &one(r#""dtype":"F32","data_offsets":[0,4]"#), 4, r#"tensor "a": shape is missing"#),
            ("offsets-missing", &one(r#""dtype":"F32","shape":[]"#), 4, r#"tensor "a": data_offsets is missing"#),
            ("dtype", &one(r#""dtype":"F33","shape":[],"data_offsets":[0,4]"#), 4, r#"tensor "a": unknown type "F33""#),
            (
                "dtype-kind",
                &one(r#""dtype":5,"shape":[],"data_offsets":[0,4]"#),
                4,
                r#"tensor "a": dtype: invalid type"#,
            ),
            (
                "shape-negative",
                &one(r#""dtype":"F32","shape":[-1],"data_offsets":[0,4]"#),
                4,
                r#"tensor "a": shape: invalid"#,
            ),
            (
                "shape-large",
                &one(r#""dtype":"F32","shape":[2],"data_offsets":[0,4]"#),
                4,
                r#"tensor "a": F32 of shape [2] does not fill its 4 bytes"#,
            ),
            (
                "overflow",
                &one(r#""dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]"#),
                0,
                "does not fill",
            ),
            (
                "overflow-bits",
                &one(r#""dtype":"F32","shape":[1152921504606846976],"data_offsets":[0,0]"#),
                0,
                "does not fill",
            ),
            (
                "offsets-three",
                &one(r#""dtype":"F32","shape":[],"data_offsets":[0,4,8]"#),
                4,
                r#"tensor "a": data_offsets: "#,
            ),
            (
                "offsets-back",
                &one(r#""dtype":"F32","shape":[],"data_offsets":[4,0]"#),
                4,
                r#"tensor "a": data from 4 to 0 in 4 bytes"#,
            ),
            (
                "offsets-far",
                &one(r#""dtype":"F32","shape":[],"data_offsets":[0,18446744073709551615]"#),
                4,
                "in 4 bytes of data (is the file cut short?)",
            ),
            (
                "cut",
                &one(r#""dtype":"F32","shape":[2],"data_offsets":[0,8]"#),
                7,
                "to 8 in 7 bytes of data (is the file cut short?)",
            ),
            ("behind", &one(r#""dtype":"F32","shape":[],"data_offsets":[0,4]"#), 5, "1 bytes behind the last tensor"),
            ("gap", &one(r#""dtype":"F32","shape":[],"data_offsets":[1,5]"#), 5, "leaves a gap behind the header"),
            (
                "field-twice",
                &one(r#""dtype":"F32","dtype":"F32","shape":[],"data_offsets":[0,4]"#),
                4,
                r#"tensor "a": dtype twice"#,
            ),
        ];
        for (name, header, data_bytes, expected) in cases {
            let why = refusal(name, header, data_bytes);
            assert!(why.contains(expected), "{name}: {why}");
        }
    }

    #[test]
    fn two_tensors_neither_overlap_nor_share_a_name() {
        let two = |name: &str, begin: usize| {
            format!(
                r#"{{"a":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}},"{name}":{{"dtype":"F32","shape":[1],"data_offsets":[{begin},{}]}}}}"#,
                begin + 4
            )
        };
        assert!(Scratch::new("two", &file(&two("b", 4), &[0; 8])).open().is_ok());
        assert!(
            refusal("overlap", &two("b", 2), 6)
                .contains(r#"tensor "b": data from 2 to 6 overlaps tensor "a", which ends at 4"#)
        );
        assert!(refusal("same", &two("b", 0), 4).contains("overlaps"));
        assert!(refusal("hole", &two("b", 6), 10).contains("leaves a gap behind tensor \"a\""));
        assert!(refusal("twice", &two("a", 4), 8).contains(r#"tensor "a" twice"#));
    }

    #[test]
    fn a_header_longer_than_the_file_is_not_read() {
        for (name, bytes) in [("huge", u64::MAX), ("one-more", 1), ("limit", HEADER_BYTES_MAX + 1)] {
            let why = Scratch::new(name, &bytes.to_le_bytes()).open().unwrap_err();
            assert_eq!(why, format!("not safetensors, or cut short: a header of {bytes} bytes in a file of 8"));
        }
        assert!(Scratch::new("empty", &[]).open().unwrap_err().starts_with("not safetensors: 0 bytes"));
    }

    /// Every single-byte change of a small file, and every cut of it: an error or tensors that can be read, never a
    /// panic.
    #[test]
    fn changed_bytes_and_cuts_never_panic() {
        let good = file(GOOD, &good_data());
        let mut opened = 0;
        for at in 0..8 + GOOD.len() {
            for flip in [1u8, 2, 4, 8, 16, 32, 64, 128, 255, good[at] ^ b'9', good[at] ^ b'"'] {
                let mut bytes = good.clone();
                bytes[at] ^= flip;
                opened += usize::from(read_all(&bytes));
            }
        }
        assert!(opened > 100, "names and metadata may change: {opened}");
        assert!((0..good.len()).all(|end| !read_all(&good[..end])));
    }

    fn read_all(bytes: &[u8]) -> bool {
        let Ok(file) = Scratch::new("fuzz", bytes).open() else { return false };
        file.names().for_each(|name| drop(file.read(name)));
        true
    }
}

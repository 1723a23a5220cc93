//! Streams of `.npy` arrays, read as the specification of the format says (`numpy.lib.format`, versions 1.0 to 3.0), and not as
//! the tool writes them.

use contract::folder::Folder;
use contract::run::Run;

/// What the header of an array says.
#[derive(Debug, PartialEq)]
pub struct Header {
    /// `<f4` or `<f2`.
    pub descr: String,
    /// The first number of its shape.
    pub rows: u64,
    /// The second.
    pub dim: usize,
    /// Bytes in front of the first value.
    pub length: usize,
}

/// Arrays one after the other.
#[derive(Debug)]
pub struct Stream {
    /// Their headers.
    pub headers: Vec<Header>,
    /// The rows of all of them.
    pub rows: Vec<Vec<f32>>,
}

/// The header that the bytes begin with.
pub fn header(bytes: &[u8]) -> Header {
    assert_eq!(bytes[..6], *b"\x93NUMPY", "every array begins with the magic bytes");
    let (start, size) = match bytes[6] {
        1 => (10, usize::from(u16::from_le_bytes([bytes[8], bytes[9]]))),
        2 | 3 => (12, u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]) as usize),
        version => panic!("version {version}"),
    };
    let length = start + size;
    assert_eq!(length % 64, 0, "the values are aligned");
    let text = str::from_utf8(&bytes[start..length]).expect("the header is text");
    assert!(text.ends_with('\n'), "{text:?}");
    let value = |name: &str, end: char| {
        let rest = text.split(&format!("'{name}': ")).nth(1).unwrap_or_else(|| panic!("no {name} in {text:?}"));
        rest.split(end).next().unwrap_or_default().to_string()
    };
    assert_eq!(value("fortran_order", ','), "False");
    let shape = value("shape", ')');
    let (rows, dim) = shape.trim_start_matches('(').split_once(", ").expect("the shape is of two numbers");
    let descr = value("descr", ',').trim_matches('\'').to_string();
    Header { descr, rows: rows.parse().expect("rows"), dim: dim.parse().expect("dim"), length }
}

/// All arrays; the last must end where the bytes end.
pub fn read(mut bytes: &[u8]) -> Stream {
    let mut stream = Stream { headers: Vec::new(), rows: Vec::new() };
    while !bytes.is_empty() {
        let header = header(bytes);
        let size = match header.descr.as_str() {
            "<f4" => 4,
            "<f2" => 2,
            other => panic!("values of type {other}"),
        };
        let length = header.rows as usize * header.dim * size;
        let (values, rest) = bytes[header.length..].split_at(length);
        let value = |bytes: &[u8]| match *bytes {
            [a, b, c, d] => f32::from_le_bytes([a, b, c, d]),
            [a, b] => half(u16::from_le_bytes([a, b])),
            _ => unreachable!("values have 2 or 4 bytes"),
        };
        stream.rows.extend(values.chunks(size * header.dim).map(|row| row.chunks(size).map(value).collect::<Vec<_>>()));
        stream.headers.push(header);
        bytes = rest;
    }
    stream
}

/// The value of an IEEE 754 binary16.
fn half(bits: u16) -> f32 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023));
    let magnitude = match exponent {
        0 => fraction * 2f32.powi(-24),
        31 if fraction > 0.0 => f32::NAN,
        31 => f32::INFINITY,
        _ => (1024.0 + fraction) * 2f32.powi(exponent - 25),
    };
    if bits >> 15 == 1 { -magnitude } else { magnitude }
}

/// The rows, as bits: equal where they are equal, NaN included.
pub fn bits(bytes: &[u8]) -> Vec<Vec<u32>> {
    read(bytes).rows.iter().map(|row| row.iter().map(|value| value.to_bits()).collect()).collect()
}

/// These texts as JSON Lines.
pub fn documents<S: AsRef<str>>(texts: &[S]) -> String {
    texts.iter().map(|text| serde_json::json!({ "text": text.as_ref() }).to_string() + "\n").collect()
}

/// The vectors of these texts, by a run with these arguments.
pub fn vectors<S: AsRef<str>>(args: &[&str], texts: &[S]) -> Vec<Vec<f32>> {
    let folder = Folder::new();
    let run = Run::new(env!("CARGO_BIN_EXE_jsonl-embed"), &folder).args(args);
    read(&run.stdin(documents(texts)).output()).rows
}

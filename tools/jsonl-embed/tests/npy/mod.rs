//! Vectors out of what the tool writes.

use contract::folder::Folder;
use contract::npy::{self, Array};
use contract::run::Run;

/// Arrays, or blocks of streams, one after the other.
#[derive(Debug)]
pub struct Vectors {
    /// These.
    pub arrays: Vec<Array>,
    /// The rows of all of them.
    pub rows: Vec<Vec<f32>>,
}

/// All arrays and blocks.
pub fn read(bytes: &[u8]) -> Vectors {
    let arrays = npy::read(bytes);
    let rows = arrays.iter().flat_map(|array| {
        let value = |bytes: &[u8]| match (array.descr.as_str(), bytes) {
            ("<f4", &[a, b, c, d]) => f32::from_le_bytes([a, b, c, d]),
            ("<f2", &[a, b]) => half(u16::from_le_bytes([a, b])),
            other => panic!("{other:?}"),
        };
        let width = npy::width(&array.descr);
        let row = move |row: &[u8]| row.chunks(width).map(value).collect::<Vec<_>>();
        array.bytes.chunks(width * array.shape[1] as usize).map(row)
    });
    Vectors { rows: rows.collect(), arrays }
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

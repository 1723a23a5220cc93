//! `.npy` arrays and streams, read as their specifications say (`numpy.lib.format`, versions 1.0 to 3.0, and
//! corpus-utils(7)), and not as the programs read and write them.

/// An array, or a block of a stream that is not its beginning or end.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Whether it is a block of a stream.
    pub in_stream: bool,
    /// Its type, such as `<f4`.
    pub descr: String,
    /// Its dimensions.
    pub shape: Vec<u64>,
    /// Its values.
    pub bytes: Vec<u8>,
}

/// What a header says.
#[derive(Debug, PartialEq)]
pub struct Header {
    /// Its version.
    pub version: [u8; 2],
    /// The type.
    pub descr: String,
    /// The dimensions.
    pub shape: Vec<u64>,
    /// The totals at the end of a stream.
    pub total: Option<Vec<u64>>,
    /// Bytes in front of the first value.
    pub length: usize,
}

/// The header that the bytes begin with.
pub fn header(bytes: &[u8]) -> Header {
    assert_eq!(bytes[..6], *b"\x93NUMPY", "every array begins with the magic bytes");
    let version = [bytes[6], bytes[7]];
    let (start, size) = match version {
        [1, 0] | [83, 1] => (10, usize::from(u16::from_le_bytes([bytes[8], bytes[9]]))),
        [2 | 3, 0] => (12, u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]) as usize),
        version => panic!("version {version:?}"),
    };
    let length = start + size;
    assert_eq!(length % 64, 0, "the values are aligned");
    let text = str::from_utf8(&bytes[start..length]).expect("the header is text");
    assert!(text.ends_with('\n') && text.contains("'fortran_order': False"), "{text:?}");
    let value = |name: &str, end: char| text.split(&format!("'{name}': ")).nth(1)?.split(end).next();
    let tuple = |text: &str| {
        let numbers = text.trim_start_matches('(').split(',').map(str::trim).filter(|number| !number.is_empty());
        numbers.map(|number| number.parse().expect("a number")).collect()
    };
    let descr = value("descr", ',').expect("there is a type").trim_matches('\'').to_string();
    let shape = tuple(value("shape", ')').expect("there is a shape"));
    Header { version, descr, shape, total: value("total", ')').map(tuple), length }
}

/// All arrays, and all blocks of streams, each of which must be whole; the last must end where the bytes end.
pub fn read(mut bytes: &[u8]) -> Vec<Array> {
    let (mut arrays, mut open): (Vec<Array>, Option<usize>) = (Vec::new(), None);
    while !bytes.is_empty() {
        let header = header(bytes);
        let in_stream = header.version == [83, 1];
        let size = header.shape.iter().product::<u64>() as usize * width(&header.descr);
        let (values, rest) = bytes[header.length..].split_at(size);
        bytes = rest;
        let array = Array { in_stream, descr: header.descr, shape: header.shape, bytes: values.to_vec() };
        match (header.total, open) {
            (None, None) if in_stream => {
                assert_eq!(array.shape[0], 0, "a stream begins without rows");
                open = Some(arrays.len());
            }
            (Some(total), Some(first)) => {
                assert_eq!(total, totals(&arrays[first..], array.shape.len()), "the end of a stream has the totals");
                open = None;
            }
            (None, open) if in_stream == open.is_some() => arrays.push(array),
            misplaced => panic!("arrays and streams are not within one another: {misplaced:?}"),
        }
    }
    assert_eq!(open, None, "a stream has an end");
    arrays
}

/// Bytes of a value of a type: its name ends with them.
pub fn width(descr: &str) -> usize {
    descr[2..].parse().expect("a type ends with its width")
}

/// Integers of 16, 32 or 64 bits.
pub fn integers(descr: &str, bytes: &[u8]) -> Vec<i64> {
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte));
    let sign = |number: u64| if descr == "<i4" { i64::from(number as u32 as i32) } else { number as i64 };
    let integers = bytes.chunks_exact(width(descr));
    assert_eq!(integers.remainder(), b"", "whole integers");
    integers.map(|bytes| sign(number(bytes))).collect()
}

/// The totals of arrays or blocks: rows, or documents and their tokens.
pub fn totals(blocks: &[Array], dimensions: usize) -> Vec<u64> {
    let numbers = blocks.iter().map(|block| block.shape[0]).sum();
    if dimensions == 2 {
        return vec![numbers];
    }
    let first = |block: &Array| integers(&block.descr, &block.bytes[..width(&block.descr)])[0] as u64;
    let documents = blocks.iter().map(first).sum();
    vec![documents, numbers - documents - blocks.len() as u64]
}

//! Headers of `.npy` arrays and of the blocks of streams, trusting nothing in them.
//!
//! The format is that of `numpy.lib.format`, versions 1.0 to 3.0: six bytes of magic, two of the version, the length of
//! what follows (two bytes, from version 2.0 on four), and a Python dictionary of `descr`, `fortran_order` and `shape`.
//!
//! # Stability
//!
//! What goes into a pipe, or behind what a file holds already, is a stream: blocks one after another, each a header and
//! the values behind it. A header is laid out as one of version 1.0, always [`HEADER`] bytes long, but its version is
//! [`STREAM`], which NumPy refuses ("we only support format version (1,0), (2,0), and (3,0), not (83, 1)"): a stream is
//! never read short. The first dimension counts a block's rows (of vectors), or numbers (of tokens).
//!
//! - The first block has none: `(0, dim)`, or `(0,)`. It is written before a block of rows is full, so that a run that
//!   is killed until then has left a beginning.
//! - All others have some. Tokens: each block is by itself `[n][len_1..len_n][d_1]..[d_n]`.
//! - The last block has none again, and one more key, `'total'`: a tuple of all rows, or of all documents and all of
//!   their tokens.
//!
//! Streams one after another are read as one, and so are arrays; neither stands within a stream.

use std::io::{self, ErrorKind, Read};

/// Bytes of a header as it is written here: enough for any shape, and a multiple of 64 as NumPy has it.
pub const HEADER: usize = 128;

/// What the first dimension of an array claims until the run that writes it is done: more than any file has, so that
/// what a killed run leaves does not load.
pub const UNFINISHED: u64 = 1 << 40;

/// The version of the blocks of a stream: `S`, for a human who looks, and 1.
pub const STREAM: [u8; 2] = [b'S', 1];

/// More than this is no header: NumPy itself reads 10,000 bytes at the most.
const LENGTH_MAX: usize = 1 << 16;

/// What an array begins with.
pub const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// What a header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// What it belongs to.
    pub part: Part,
    /// The type of a value, such as `<f4`.
    pub descr: String,
    /// Whether the first index is the contiguous one.
    pub fortran_order: bool,
    /// The dimensions.
    pub shape: Vec<u64>,
    /// Bytes in front of the first value.
    pub length: u64,
}

/// What a header belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// An array, whole by itself.
    Array,
    /// A block of a stream; one without rows begins it.
    Block,
    /// The end of a stream, with its totals.
    End(Vec<u64>),
}

impl Header {
    /// The header of an array, of version 1.0, padded to [`HEADER`] bytes whatever the shape.
    pub fn array(descr: &str, shape: &[u64]) -> Vec<u8> {
        written([1, 0], descr, shape, "")
    }

    /// The header of a block of a stream.
    pub fn block(descr: &str, shape: &[u64]) -> Vec<u8> {
        written(STREAM, descr, shape, "")
    }

    /// The last block of a stream of such a shape, with the totals.
    pub fn end(descr: &str, shape: &[u64], total: &[u64]) -> Vec<u8> {
        written(STREAM, descr, shape, &format!("'total': {}, ", tuple(total)))
    }

    /// Reads a header; `None` where there is nothing at all.
    ///
    /// # Errors
    /// Those of reading, [`ErrorKind::UnexpectedEof`] in the middle of it; of kind `InvalidData`: what was found and
    /// expected.
    pub fn read(reader: &mut impl Read) -> io::Result<Option<Header>> {
        let mut begin = [0; 8];
        let length = read_up_to(reader, &mut begin)?;
        if length == 0 {
            return Ok(None);
        }
        let shared = length.min(MAGIC.len());
        if begin[..shared] != MAGIC[..shared] {
            let found = begin[..length].escape_ascii();
            return Err(wrong(format!(r#"expected a .npy array, which begins with "\x93NUMPY", found "{found}""#)));
        }
        if length < begin.len() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let version = [begin[6], begin[7]];
        let size_bytes = match version {
            [1, 0] | STREAM => 2,
            [2 | 3, 0] => 4,
            [major, minor] => return Err(wrong(format!("version {major}.{minor} of .npy: expected 1.0, 2.0 or 3.0"))),
        };
        let mut size = [0; 4];
        reader.read_exact(&mut size[..size_bytes])?;
        let size = u32::from_le_bytes(size) as usize;
        if size > LENGTH_MAX {
            return Err(wrong(format!("a header of {size} bytes: expected {LENGTH_MAX} at the most")));
        }
        let mut text = vec![0; size];
        reader.read_exact(&mut text)?;
        let text = str::from_utf8(&text).map_err(|_| wrong("a header that is not text"))?;
        let header = parse(text, version == STREAM).map_err(|why| wrong(format!("header: {why}")))?;
        Ok(Some(Header { length: (begin.len() + size_bytes + size) as u64, ..header }))
    }
}

fn written(version: [u8; 2], descr: &str, shape: &[u64], more: &str) -> Vec<u8> {
    let mut bytes = [&MAGIC[..], &version, &(HEADER as u16 - 10).to_le_bytes()].concat();
    let shape = tuple(shape);
    bytes.extend(format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, {more}}}").bytes());
    assert!(bytes.len() < HEADER, "one or two dimensions fit");
    bytes.resize(HEADER - 1, b' ');
    bytes.push(b'\n');
    bytes
}

/// Numbers as Python writes a tuple.
fn tuple(numbers: &[u64]) -> String {
    match numbers {
        [one] => format!("({one},)"),
        many => format!("({})", many.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")),
    }
}

/// Reads until the buffer is full or nothing comes any more, and gives the number of bytes.
pub(crate) fn read_up_to(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match reader.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(why) if why.kind() == ErrorKind::Interrupted => {}
            Err(why) => return Err(why),
        }
    }
    Ok(length)
}

fn wrong(why: impl Into<String>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why.into())
}

/// Reads the dictionary, of an array or of a block of a stream.
fn parse(text: &str, of_stream: bool) -> Result<Header, String> {
    let mut scanner = Scanner { rest: text };
    let (mut descr, mut fortran_order, mut shape, mut total) = (None, None, None, None);
    scanner.expect('{')?;
    while !scanner.take('}') {
        let key = scanner.string()?;
        scanner.expect(':')?;
        let again = match key {
            "descr" => descr.replace(scanner.string()?.to_string()).is_some(),
            "fortran_order" => fortran_order.replace(scanner.truth()?).is_some(),
            "shape" => shape.replace(scanner.shape()?).is_some(),
            "total" if of_stream => total.replace(scanner.shape()?).is_some(),
            _ => return Err(format!("{key:?}: expected only 'descr', 'fortran_order' and 'shape'")),
        };
        if again {
            return Err(format!("{key:?} twice"));
        }
        if !scanner.take(',') {
            scanner.expect('}')?;
            break;
        }
    }
    if !scanner.rest.trim().is_empty() {
        return Err(scanner.unexpected("nothing behind the dictionary"));
    }
    let missing = |key: &str| format!("{key:?} is missing");
    let in_stream = total.map_or(Part::Block, Part::End);
    Ok(Header {
        part: if of_stream { in_stream } else { Part::Array },
        descr: descr.ok_or_else(|| missing("descr"))?,
        fortran_order: fortran_order.ok_or_else(|| missing("fortran_order"))?,
        shape: shape.ok_or_else(|| missing("shape"))?,
        length: 0,
    })
}

/// Takes Python literals from the front of a text.
struct Scanner<'a> {
    rest: &'a str,
}

impl<'a> Scanner<'a> {
    fn take(&mut self, letter: char) -> bool {
        let found = self.rest.trim_start().strip_prefix(letter);
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }

    fn expect(&mut self, letter: char) -> Result<(), String> {
        if self.take(letter) { Ok(()) } else { Err(self.unexpected(&format!("'{letter}'"))) }
    }

    fn string(&mut self) -> Result<&'a str, String> {
        let quote = self.rest.trim_start().chars().next().filter(|&letter| letter == '\'' || letter == '"');
        let quote = quote.ok_or_else(|| self.unexpected("a name in quotes"))?;
        let (text, rest) = self.rest.trim_start()[1..].split_once(quote).ok_or("a name without its second quote")?;
        self.rest = rest;
        Ok(text)
    }

    fn truth(&mut self) -> Result<bool, String> {
        for (word, value) in [("True", true), ("False", false)] {
            if let Some(rest) = self.rest.trim_start().strip_prefix(word) {
                self.rest = rest;
                return Ok(value);
            }
        }
        Err(self.unexpected("True or False"))
    }

    /// A tuple of whole numbers.
    fn shape(&mut self) -> Result<Vec<u64>, String> {
        self.expect('(')?;
        let mut sizes = Vec::new();
        while !self.take(')') {
            let text = self.rest.trim_start();
            let digits = text.len() - text.trim_start_matches(|letter: char| letter.is_ascii_digit()).len();
            let number = text[..digits].parse().map_err(|_| self.unexpected("a shape of whole numbers"))?;
            sizes.push(number);
            self.rest = &text[digits..];
            if !self.take(',') {
                self.expect(')')?;
                break;
            }
        }
        Ok(sizes)
    }

    fn unexpected(&self, expected: &str) -> String {
        let found: String = self.rest.trim_start().chars().take(20).collect();
        format!("expected {expected}, found {found:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(version: [u8; 2], text: &str) -> Vec<u8> {
        let length = text.len() as u32;
        let length =
            if version[0] == 1 { (length as u16).to_le_bytes().to_vec() } else { length.to_le_bytes().to_vec() };
        [&MAGIC[..], &version, &length, text.as_bytes()].concat()
    }

    fn read(bytes: &[u8]) -> Result<Option<Header>, String> {
        Header::read(&mut &bytes[..]).map_err(|why| why.to_string())
    }

    #[test]
    fn headers_are_numpys() {
        let header = Header::array("<f4", &[u64::MAX, u64::MAX]);
        assert_eq!((header.len(), header.len() % 64, header[127]), (HEADER, 0, b'\n'));
        assert_eq!(&header[..10], b"\x93NUMPY\x01\x00\x76\x00");
        let one = Header::array("<u2", &[7]);
        assert!(one[10..].starts_with(b"{'descr': '<u2', 'fortran_order': False, 'shape': (7,), }  "));
        assert!(
            Header::array("<f2", &[7, 2])[10..]
                .starts_with(b"{'descr': '<f2', 'fortran_order': False, 'shape': (7, 2), }")
        );
    }

    #[test]
    fn headers_of_streams_are_frozen() {
        for (header, text) in [
            (Header::block("<f4", &[0, 384]), "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 384), }"),
            (Header::block("<u2", &[7]), "{'descr': '<u2', 'fortran_order': False, 'shape': (7,), }"),
            (
                Header::end("<f2", &[0, 384], &[4000]),
                "{'descr': '<f2', 'fortran_order': False, 'shape': (0, 384), 'total': (4000,), }",
            ),
            (
                Header::end("<u4", &[0], &[12, 345]),
                "{'descr': '<u4', 'fortran_order': False, 'shape': (0,), 'total': (12, 345), }",
            ),
        ] {
            let expected = [&b"\x93NUMPYS\x01\x76\x00"[..], format!("{text:<117}\n").as_bytes()].concat();
            assert_eq!(header, expected, "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for shape in [&[0][..], &[0, 4], &[0, u64::MAX]] {
            let (part, total) = (Part::Array, vec![u64::MAX; 3 - shape.len()]);
            let array = Header { part, descr: "<f4".into(), fortran_order: false, shape: shape.into(), length: 128 };
            let block = Header { part: Part::Block, ..array.clone() };
            let end = Header { part: Part::End(total.clone()), ..array.clone() };
            assert_eq!(read(&Header::array("<f4", shape)), Ok(Some(array)));
            assert_eq!(read(&Header::block("<f4", shape)), Ok(Some(block)));
            assert_eq!(read(&Header::end("<f4", shape, &total)), Ok(Some(end)));
        }
        assert_eq!(read(b""), Ok(None));
    }

    #[test]
    fn every_version_and_any_spelling_is_read() {
        for (version, text) in [
            ([1, 0], "{'descr': '<f8', 'fortran_order': True, 'shape': (2, 3), }   \n"),
            ([2, 0], "{\"shape\":(2,3),\"fortran_order\":True,\"descr\":\"<f8\"}"),
            ([3, 0], " { 'descr' : '<f8' , 'shape' : ( 2 , 3 , ) , 'fortran_order' : True } "),
        ] {
            let header = read(&bytes(version, text)).unwrap().unwrap();
            assert_eq!((header.descr.as_str(), header.fortran_order, header.shape), ("<f8", true, vec![2, 3]));
            assert_eq!(header.length, bytes(version, text).len() as u64);
        }
    }

    #[test]
    fn each_damage_is_named() {
        for (text, said) in [
            ("", "expected '{'"),
            ("[]", "expected '{', found \"[]\""),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2)", "expected '}'"),
            (
                "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2)} x",
                "nothing behind the dictionary, found \"x\"",
            ),
            ("{'descr': '<f4', 'fortran_order': False}", "\"shape\" is missing"),
            ("{'descr': '<f4', 'shape': ()}", "\"fortran_order\" is missing"),
            ("{'fortran_order': False, 'shape': ()}", "\"descr\" is missing"),
            ("{'descr': '<f4', 'descr': '<f4'}", "\"descr\" twice"),
            ("{'descr': [('a', '<f4')]}", "expected a name in quotes, found \"[('a'"),
            ("{'descr': '<f4}", "second quote"),
            ("{'fortran_order': 0}", "expected True or False, found \"0}\""),
            ("{'shape': 3}", "expected '(', found \"3}\""),
            ("{'shape': (3 4)}", "expected ')', found \"4)}\""),
            ("{'shape': (-3, 4)}", "whole numbers, found \"-3, 4)}\""),
            ("{'shape': (3.0, 4)}", "expected ')', found \".0, 4)}\""),
            ("{'shape': (18446744073709551616,)}", "whole numbers, found \"1844"),
            ("{'order': False}", "\"order\": expected only"),
            ("{'total': (1,)}", "\"total\": expected only"),
        ] {
            let why = read(&bytes([1, 0], text)).unwrap_err();
            assert!(why.starts_with("header: ") && why.contains(said), "{text}: {why}");
        }
        assert_eq!(read(&bytes([b'S', 2], "{}")), Err("version 83.2 of .npy: expected 1.0, 2.0 or 3.0".into()));
        assert_eq!(read(&bytes([4, 0], "{}")), Err("version 4.0 of .npy: expected 1.0, 2.0 or 3.0".into()));
        assert!(read(b"a\tb\n").unwrap_err().ends_with(r#"found "a\tb\n""#));
        assert!(read(b"\x93NUMPY\x02\x00\xff\xff\xff\xff").unwrap_err().starts_with("a header of 4294967295 bytes"));
        assert_eq!(
            read(&bytes([1, 0], "\u{1}").iter().map(|&b| if b == 1 { 255 } else { b }).collect::<Vec<_>>())
                .unwrap_err(),
            "version 255.0 of .npy: expected 1.0, 2.0 or 3.0"
        );
    }

    /// Every cut and every change of one byte: a header or an error, never a panic.
    #[test]
    fn changed_bytes_and_cuts_never_panic() {
        let good = Header::array("<f4", &[12, 34]);
        for end in 1..good.len() {
            assert!(read(&good[..end]).is_err(), "{end}");
        }
        let changed = |at: usize, byte: u8| [&good[..at], &[byte], &good[at + 1..]].concat();
        let read = (0..good.len())
            .flat_map(|at| (0..=255).map(move |byte| (at, byte)))
            .filter(|&(at, byte)| read(&changed(at, byte)).is_ok());
        assert!((good.len()..good.len() * 256).contains(&read.count()));
    }
}

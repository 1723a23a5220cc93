//! Headers of `.npy` arrays, trusting nothing in them.
//!
//! The format is that of `numpy.lib.format`, versions 1.0 to 3.0: six bytes of magic, two of the version, the length of what
//! follows (two bytes, from version 2.0 on four), and a Python dictionary of `descr`, `fortran_order` and `shape`.

use std::io::{self, ErrorKind, Read};

/// Bytes of a header as it is written here: enough for any shape, and a multiple of 64 as NumPy has it.
pub const HEADER: usize = 128;

/// What the first dimension of an array claims until the run that writes it is done: more than any file has, so that what a killed run
/// leaves does not load.
pub const UNFINISHED: u64 = 1 << 40;

/// More than this is no header: NumPy itself reads 10,000 bytes at the most.
const LENGTH_MAX: usize = 1 << 16;

/// What an array begins with.
pub const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// What a header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The type of a value, such as `<f4`.
    pub descr: String,
    /// Whether the first index is the contiguous one.
    pub fortran_order: bool,
    /// The dimensions.
    pub shape: Vec<u64>,
    /// Bytes in front of the first value.
    pub length: u64,
}

impl Header {
    /// A header of version 1.0, padded to [`HEADER`] bytes whatever the shape.
    pub fn write(descr: &str, shape: &[u64]) -> Vec<u8> {
        let shape: String = shape.iter().map(|size| format!("{size}, ")).collect();
        let shape = if shape.matches(',').count() > 1 { shape.trim_end_matches(", ") } else { shape.trim_end() };
        let mut bytes = [&MAGIC[..], &[1, 0], &(HEADER as u16 - 10).to_le_bytes()].concat();
        bytes.extend(format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}").bytes());
        assert!(bytes.len() < HEADER, "one or two dimensions fit");
        bytes.resize(HEADER - 1, b' ');
        bytes.push(b'\n');
        bytes
    }

    /// Reads a header; `None` where there is nothing at all. Errors of kind `InvalidData` say what was found and expected.
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
        let mut size = [0; 4];
        let size_bytes = match begin[6..] {
            [1, 0] => 2,
            [2 | 3, 0] => 4,
            [major, minor] => return Err(wrong(format!("version {major}.{minor} of .npy: expected 1.0, 2.0 or 3.0"))),
            _ => unreachable!("two bytes are left"),
        };
        reader.read_exact(&mut size[..size_bytes])?;
        let size = u32::from_le_bytes(size) as usize;
        if size > LENGTH_MAX {
            return Err(wrong(format!("a header of {size} bytes: expected {LENGTH_MAX} at the most")));
        }
        let mut text = vec![0; size];
        reader.read_exact(&mut text)?;
        let text = str::from_utf8(&text).map_err(|_| wrong("a header that is not text"))?;
        let header = parse(text).map_err(|why| wrong(format!("header: {why}")))?;
        Ok(Some(Header { length: (begin.len() + size_bytes + size) as u64, ..header }))
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

/// Reads the dictionary.
fn parse(text: &str) -> Result<Header, String> {
    let mut scanner = Scanner { rest: text };
    let (mut descr, mut fortran_order, mut shape) = (None, None, None);
    scanner.expect('{')?;
    while !scanner.take('}') {
        let key = scanner.string()?;
        scanner.expect(':')?;
        let again = match key {
            "descr" => descr.replace(scanner.string()?.to_string()).is_some(),
            "fortran_order" => fortran_order.replace(scanner.truth()?).is_some(),
            "shape" => shape.replace(scanner.shape()?).is_some(),
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
    Ok(Header {
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
        let header = Header::write("<f4", &[u64::MAX, u64::MAX]);
        assert_eq!((header.len(), header.len() % 64, header[127]), (HEADER, 0, b'\n'));
        assert_eq!(&header[..10], b"\x93NUMPY\x01\x00\x76\x00");
        let one = Header::write("<u2", &[7]);
        assert!(one[10..].starts_with(b"{'descr': '<u2', 'fortran_order': False, 'shape': (7,), }  "));
        assert!(
            Header::write("<f2", &[7, 2])[10..]
                .starts_with(b"{'descr': '<f2', 'fortran_order': False, 'shape': (7, 2), }")
        );
    }

    #[test]
    fn what_is_written_is_read() {
        for shape in [&[3][..], &[0, 4], &[u64::MAX, 1]] {
            let expected = Header { descr: "<f4".into(), fortran_order: false, shape: shape.into(), length: 128 };
            assert_eq!(read(&Header::write("<f4", shape)), Ok(Some(expected)));
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
        ] {
            let why = read(&bytes([1, 0], text)).unwrap_err();
            assert!(why.starts_with("header: ") && why.contains(said), "{text}: {why}");
        }
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
        let good = Header::write("<f4", &[12, 34]);
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

//! Where the tokens of each sequence come from: a table of spans beside a dataset.
//!
//! The file is one NumPy array of one dimension, version 1.0, of records of 36 bytes, so that `numpy.load` reads it and
//! maps it into memory. A record says of a sequence which tokens of which document stand where in it; records are in
//! order of their sequences, and within a sequence in order of its tokens; every sequence has at least one. So a
//! sequence is found by bisection.
//!
//! # Stability
//!
//! The names, order and types of the fields do not change between releases: `sequence`, from 0; `row`, the document's
//! place in the input, from 0; `key`, that of its tokens; `begin`, the first token's place in the document; `length`,
//! how many tokens; `at`, the first token's place in the sequence, below 0 in what stands before it.

use crate::packing::{Sequence, Span};
use crate::writing::Writer;
use pipe::failure::Failure;
use pipe::npy::{MAGIC, UNFINISHED};
use pipe::output::Output;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

/// Bytes of a record.
pub const RECORD: usize = 36;

/// Bytes of a header: enough for any number of records, and a multiple of 64 as NumPy has it.
const HEADER: usize = 256;

/// The fields, as NumPy writes them.
const FIELDS: &str = "[('sequence', '<u8'), ('row', '<u8'), ('key', '<u8'), ('begin', '<u4'), ('length', '<u4'), \
                      ('at', '<i4')]";

/// Bytes that are written at a time.
const BUFFER: usize = 64 << 10;

/// One record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// The place of the sequence in its dataset, from 0.
    pub sequence: u64,
    /// Which tokens of which document stand where in it.
    pub span: Span,
}

impl Record {
    /// The bytes of a record in a file.
    pub fn to_bytes(self) -> [u8; RECORD] {
        let Span { document, key, begin, length, at } = self.span;
        let mut bytes = [0; RECORD];
        let wide = [self.sequence, document, key].map(u64::to_le_bytes);
        bytes[..24].copy_from_slice(wide.as_flattened());
        bytes[24..].copy_from_slice([begin, length, at as u32].map(u32::to_le_bytes).as_flattened());
        bytes
    }

    /// The record that such bytes are.
    pub fn of_bytes(bytes: &[u8; RECORD]) -> Record {
        let wide = |field: usize| u64::from_le_bytes(bytes[8 * field..][..8].try_into().expect("8 bytes"));
        let narrow = |field: usize| u32::from_le_bytes(bytes[24 + 4 * field..][..4].try_into().expect("4 bytes"));
        let (begin, length, at) = (narrow(0), narrow(1), narrow(2) as i32);
        Record { sequence: wide(0), span: Span { document: wide(1), key: wide(2), begin, length, at } }
    }
}

/// The header of a file of so many records.
pub fn header(records: u64) -> Vec<u8> {
    let mut bytes = [&MAGIC[..], &[1, 0], &(HEADER as u16 - 10).to_le_bytes()].concat();
    bytes.extend(format!("{{'descr': {FIELDS}, 'fortran_order': False, 'shape': ({records},), }}").bytes());
    bytes.resize(HEADER - 1, b' ');
    bytes.push(b'\n');
    bytes
}

/// Reads a header, also one that NumPy wrote, and gives the number of records, and of its own bytes; `None` where there
/// is nothing at all.
///
/// # Errors
/// Those of reading; of kind `InvalidData` where this is no header of such a file.
pub fn read_header(reader: &mut impl Read) -> io::Result<Option<(u64, u64)>> {
    let mut begin = [0; 10];
    let mut length = 0;
    while length < begin.len() {
        match reader.read(&mut begin[length..])? {
            0 if length == 0 => return Ok(None),
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            read => length += read,
        }
    }
    let wrong = || io::Error::new(ErrorKind::InvalidData, "expected a file that pack-tokens --provenance wrote");
    if begin[..6] != MAGIC[..] || begin[6..8] != [1, 0] {
        return Err(wrong());
    }
    let mut text = vec![0; u16::from_le_bytes([begin[8], begin[9]]).into()];
    reader.read_exact(&mut text)?;
    let expected = format!("{{'descr': {FIELDS}, 'fortran_order': False, 'shape': (");
    let length = (begin.len() + text.len()) as u64;
    let text = str::from_utf8(&text).ok().and_then(|text| text.strip_prefix(&expected));
    let number = text.and_then(|text| text.trim_ascii_end().strip_suffix(",), }")?.parse().ok());
    Ok(Some((number.ok_or_else(wrong)?, length)))
}

/// Writes sequences, and beside them where they come from.
pub struct Traced {
    sequences: Box<dyn Writer>,
    output: Output,
    /// Where the header is.
    header_at: u64,
    /// Sequences and records so far.
    written: (u64, u64),
    bytes: Vec<u8>,
}

impl Traced {
    /// Begins a file of records beside what a writer writes.
    ///
    /// # Errors
    /// It cannot be made, or is no regular file, whose header is written at the end.
    pub fn create(path: &Path, sequences: Box<dyn Writer>) -> Result<Traced, Failure> {
        let mut output = Output::create(path)?;
        let needed = "is no regular file, which --provenance needs: what it begins with is known at the end";
        let header_at = output.position().ok_or_else(|| Failure::usage(format!("{}: {needed}", path.display())))?;
        output.write(&header(UNFINISHED))?;
        Ok(Traced { sequences, output, header_at, written: (0, 0), bytes: Vec::new() })
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.output.write(&self.bytes)?;
        self.bytes.clear();
        Ok(())
    }
}

impl Writer for Traced {
    fn write(&mut self, sequence: &Sequence, domain: &str) -> Result<(), Failure> {
        let (number, records) = self.written;
        for &span in sequence.spans {
            self.bytes.extend(Record { sequence: number, span }.to_bytes());
        }
        self.written = (number + 1, records + sequence.spans.len() as u64);
        if self.bytes.len() >= BUFFER {
            self.flush()?;
        }
        self.sequences.write(sequence, domain)
    }

    /// The records first: where a dataset is whole, so is what says where it comes from.
    fn finish(mut self: Box<Self>) -> Result<(), Failure> {
        self.flush()?;
        self.output.rewrite(self.header_at, &header(self.written.1))?;
        self.output.finish()?;
        self.sequences.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_and_records_are_frozen() {
        let text = "{'descr': [('sequence', '<u8'), ('row', '<u8'), ('key', '<u8'), ('begin', '<u4'), \
                    ('length', '<u4'), ('at', '<i4')], 'fortran_order': False, 'shape': (1099511627776,), }";
        let expected = [&b"\x93NUMPY\x01\x00\xf6\x00"[..], format!("{text:<245}\n").as_bytes()].concat();
        assert_eq!(header(UNFINISHED), expected);
        let span = Span { document: 2, key: 3, begin: 4, length: 5, at: -6 };
        let bytes = Record { sequence: 1, span }.to_bytes();
        let numbers: Vec<u8> = [1_u64, 2, 3].into_iter().flat_map(u64::to_le_bytes).collect();
        let expected = [numbers, [4_i32, 5, -6].into_iter().flat_map(i32::to_le_bytes).collect()].concat();
        assert_eq!(bytes[..], expected);
        assert_eq!(Record::of_bytes(&bytes), Record { sequence: 1, span });
    }

    #[test]
    fn headers_are_read_however_long_they_are_and_nothing_else_is() {
        let read = |bytes: &[u8]| read_header(&mut &bytes[..]).map_err(|why| why.kind());
        for records in [0, 7, u64::MAX] {
            assert_eq!(read(&header(records)), Ok(Some((records, 256))));
        }
        let own = header(7);
        let short = [&own[..8], &[182, 0], &own[10..192]].concat();
        assert_eq!(read(&short), Ok(Some((7, 192))), "NumPy's own header has 192 bytes");
        assert_eq!(read(b""), Ok(None));
        assert_eq!(read(&own[..9]), Err(ErrorKind::UnexpectedEof));
        assert_eq!(read(&own[..100]), Err(ErrorKind::UnexpectedEof));
        for place in [0, 6, 7, 30, 140, 160, 170] {
            let mut other = own.clone();
            other[place] ^= 1;
            assert!(!matches!(read(&other), Ok(Some((7, _)))), "{place}");
        }
        assert_eq!(read(&pipe::npy::Header::array("<f4", &[1, 2])), Err(ErrorKind::InvalidData));
    }
}

//! Documents out of arrays and streams of tokens one after another, each array or block
//! `[n][len_1..len_n][d_1]..[d_n]`.
//!
//! Every one says its own type: `<u2 <u4 <i4 <i8`. What is held in memory is one document, and 4 MB of lengths.
//! Whatever is wrong is said with the number of the document, counted from 1 through all arrays of a file.

use super::Dtype;
use super::lengths::Lengths;
use crate::failure::{Failure, reading_reason};
use crate::input::Bytes;
use crate::npy::{Header, Part, UNFINISHED};
use crate::stream::{EMPTY, Walk};
use std::io::{self, ErrorKind, Read};
use std::ops::Range;
use std::path::Path;

/// Bytes asked for in one read.
const READ: usize = 256 << 10;

/// The documents of one file, or of standard input, in order.
pub struct TokenReader {
    bytes: Buffered,
    walk: Walk,
    /// The type of the array that the last document is in.
    pub dtype: Dtype,
    /// Lengths of those documents of the array that were not given.
    lengths: Lengths,
    /// Documents of the array, and how many of them were given or left out.
    documents: u64,
    next: u64,
    /// Documents of earlier arrays.
    before: u64,
    /// The documents to give, from 0.
    range: Range<u64>,
    /// The type of the first array.
    pub first_dtype: Option<Dtype>,
}

/// What is read and not yet used is `buffer[at..end]`.
struct Buffered {
    bytes: Bytes,
    buffer: Vec<u8>,
    at: usize,
    end: usize,
    /// Bytes read so far.
    read: u64,
}

impl TokenReader {
    /// All documents of a file (`-`: standard input).
    ///
    /// # Errors
    /// The file cannot be read, or its first array is none of tokens.
    pub fn open(path: &Path) -> Result<TokenReader, Failure> {
        TokenReader::open_range(path, 0..u64::MAX)
    }

    /// Some documents of a plain file, counted from 0.
    ///
    /// # Errors
    /// As those of [`TokenReader::open`].
    pub fn open_range(path: &Path, range: Range<u64>) -> Result<TokenReader, Failure> {
        TokenReader::begin(Bytes::open(path)?, range)
    }

    /// All documents of an input.
    ///
    /// # Errors
    /// As those of [`TokenReader::open`].
    pub fn of(bytes: Bytes) -> Result<TokenReader, Failure> {
        TokenReader::begin(bytes, 0..u64::MAX)
    }

    fn begin(bytes: Bytes, range: Range<u64>) -> Result<TokenReader, Failure> {
        let bytes = Buffered { bytes, buffer: Vec::new(), at: 0, end: 0, read: 0 };
        let (walk, dtype) = (Walk::new(&["documents", "tokens"]), Dtype::U16);
        let (lengths, documents, next, before) = Default::default();
        let mut reader = TokenReader { bytes, walk, dtype, lengths, documents, next, before, range, first_dtype: None };
        if !reader.array()? && reader.first_dtype.is_none() {
            return Err(Failure::work(format!("{}: {EMPTY}", reader.name())));
        }
        Ok(reader)
    }

    /// How many documents a plain file holds. Reads the lengths and leaves out the rest.
    ///
    /// # Errors
    /// As those of [`TokenReader::open`]; a file that cannot be cut, for `--shard`; an array that is damaged.
    pub fn count(path: &Path) -> Result<u64, Failure> {
        let mut documents = TokenReader::open(path)?;
        if !documents.bytes.bytes.is_plain_file() {
            let name = documents.name();
            return Err(Failure::usage(format!("--shard cannot cut compressed input, which {name} is")));
        }
        documents.pass_all()?;
        Ok(documents.before)
    }

    /// Goes past all arrays of a plain file, without reading their tokens, and gives the widest type.
    ///
    /// # Errors
    /// An array that is damaged, a stream that is not whole.
    pub fn pass_all(&mut self) -> Result<Dtype, Failure> {
        let mut widest = self.dtype;
        loop {
            widest = widest.max(self.dtype);
            self.leave_out(self.documents - self.next)?;
            if !self.array()? {
                return Ok(widest);
            }
        }
    }

    /// Bytes read so far.
    pub fn bytes_read(&self) -> u64 {
        self.bytes.read
    }

    /// The number of the document that was given last, from 1.
    pub fn number(&self) -> u64 {
        self.before + self.next
    }

    /// Puts the next document into `tokens`, which is emptied before; false at the end.
    ///
    /// # Errors
    /// The file cannot be read, ends too early, or holds what is no token: named by file and document.
    pub fn next(&mut self, tokens: &mut Vec<u32>) -> Result<bool, Failure> {
        tokens.clear();
        loop {
            let (left, number) = (self.documents - self.next, self.number());
            let unwanted = self.range.start.saturating_sub(number).min(left);
            if number >= self.range.end {
                return Ok(false);
            } else if unwanted > 0 {
                self.leave_out(unwanted)?;
            } else if left > 0 {
                break;
            } else if !self.array()? {
                return Ok(false);
            }
        }
        let length = self.lengths.take()?.expect("there is one for each document");
        self.next += 1;
        let size = length as usize * self.dtype.size();
        if !self.fill(size)? {
            let found = self.bytes.waiting() / self.dtype.size();
            return Err(self.wrong(&format!("expected {length} tokens, found {found}: the file ends there")));
        }
        match self.dtype.read(self.bytes.use_up(size), tokens) {
            Ok(()) => Ok(true),
            Err((place, value)) => {
                Err(self.wrong(&format!("token {}: expected 0 to {}, found {value}", place + 1, u32::MAX)))
            }
        }
    }

    /// Passes over documents without reading them.
    fn leave_out(&mut self, documents: u64) -> Result<(), Failure> {
        let (mut left, mut tokens) = (documents, 0);
        while left > 0 {
            let lengths = self.lengths.take_some(left.min(READ as u64) as usize)?;
            left -= lengths.len() as u64;
            tokens += lengths.iter().map(|&length| u64::from(length)).sum::<u64>();
        }
        self.bytes.skip(tokens * self.dtype.size() as u64).map_err(|why| self.failed(why))?;
        self.next += documents;
        Ok(())
    }

    fn fill(&mut self, wanted: usize) -> Result<bool, Failure> {
        self.bytes.fill(wanted).map_err(|why| self.failed(why))
    }

    fn name(&self) -> &str {
        &self.bytes.bytes.name
    }

    fn failed(&self, why: io::Error) -> Failure {
        Failure::work(format!("{}: {}", self.name(), reading_reason(why)))
    }

    /// Something is wrong with the document that was given last.
    pub fn wrong(&self, why: &str) -> Failure {
        Failure::work(format!("{}: document {}: {why}", self.name(), self.number()))
    }

    fn wrong_array(&self, why: &str) -> Failure {
        let place = match self.number() {
            0 => "the first array".to_string(),
            documents => format!("the array behind document {documents}"),
        };
        Failure::work(format!("{}: {place}: {why}", self.name()))
    }

    /// Reads the header and the lengths of the next array; false at the end of the file.
    fn array(&mut self) -> Result<bool, Failure> {
        self.before += self.documents;
        (self.documents, self.next) = (0, 0);
        let total = loop {
            let Some(header) = self.header()? else { return Ok(false) };
            let (dtype, total) = array(&header).map_err(|why| self.wrong_array(&why))?;
            self.dtype = dtype;
            self.first_dtype.get_or_insert(dtype);
            // A stream begins and ends with nothing.
            if total > 0 || header.part == Part::Array {
                break total;
            }
        };
        if total == UNFINISHED {
            return Err(self.wrong_array("not complete: the run that wrote it was killed"));
        }
        if total == 0 {
            return Err(self.wrong_array("expected the number of documents, found nothing"));
        }
        self.lengths = Lengths::default();
        let count = self.integers(1)?;
        let count = count.first().map_or(0, |&count| u64::from(count));
        if count >= total {
            return Err(
                self.wrong_array(&format!("{count} documents: expected at most {} in {total} values", total - 1))
            );
        }
        let tokens = self.lengths(count)?;
        if 1 + count + tokens != total {
            let expected = total - 1 - count;
            let message = format!("the lengths of {count} documents add up to {tokens}: expected {expected}");
            return Err(self.wrong_array(&message));
        }
        self.documents = count;
        self.walk.count(&[count, tokens]);
        Ok(true)
    }

    /// Reads the lengths of so many documents, and gives their sum.
    fn lengths(&mut self, documents: u64) -> Result<u64, Failure> {
        let (mut left, mut tokens) = (documents, 0);
        while left > 0 {
            let lengths = self.integers(left.min(READ as u64 / 8) as usize)?;
            self.lengths.put(&lengths)?;
            left -= lengths.len() as u64;
            tokens += lengths.iter().map(|&length| u64::from(length)).sum::<u64>();
        }
        Ok(tokens)
    }

    /// So many integers that are no tokens: numbers of documents, lengths.
    fn integers(&mut self, count: usize) -> Result<Vec<u32>, Failure> {
        let size = count * self.dtype.size();
        if !self.fill(size)? {
            let found = self.lengths.count;
            return Err(self.wrong_array(&format!("the file ends behind {found} of its lengths")));
        }
        let mut values = Vec::with_capacity(count);
        match self.dtype.read(self.bytes.use_up(size), &mut values) {
            Ok(()) => Ok(values),
            Err((place, value)) => {
                let place = self.lengths.count + place as u64 + 1;
                Err(self
                    .wrong_array(&format!("number {place} of its lengths: expected 0 to {}, found {value}", u32::MAX)))
            }
        }
    }

    /// The next header; none at the end of the file.
    fn header(&mut self) -> Result<Option<Header>, Failure> {
        self.walk.next(&mut self.bytes).map_err(|why| match why.kind() {
            ErrorKind::InvalidData => self.wrong_array(&reading_reason(why)),
            _ => self.failed(why),
        })
    }
}

/// The type of an array's values and their number.
fn array(header: &Header) -> Result<(Dtype, u64), String> {
    let dtype = Dtype::of_descr(&header.descr)
        .ok_or_else(|| format!("type {:?}: expected integers, \"<u2\", \"<u4\", \"<i4\" or \"<i8\"", header.descr))?;
    match header.shape[..] {
        [total] => Ok((dtype, total)),
        _ => Err(format!("shape {:?}: expected one dimension", header.shape)),
    }
}

impl Buffered {
    /// Makes sure that so many bytes wait; false where the file ends before.
    fn fill(&mut self, wanted: usize) -> io::Result<bool> {
        if self.waiting() >= wanted {
            return Ok(true);
        }
        self.buffer.copy_within(self.at..self.end, 0);
        (self.at, self.end) = (0, self.waiting());
        while self.end < wanted {
            // What is asked for doubles with what has come, so that a length that is wrong takes no memory.
            let room = self.end + READ.max(self.end);
            if self.buffer.len() < room {
                self.buffer.resize(room, 0);
            }
            let read = self.bytes.read(&mut self.buffer[self.end..room])?;
            self.end += read;
            self.read += read as u64;
            if read == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Bytes that are read and not yet used.
    fn waiting(&self) -> usize {
        self.end - self.at
    }

    /// Uses so many of the bytes that wait.
    fn use_up(&mut self, size: usize) -> &[u8] {
        self.at += size;
        &self.buffer[self.at - size..self.at]
    }

    /// Passes over bytes; those of a plain file are not even read.
    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let here = bytes.min(self.waiting() as u64);
        self.at += here as usize;
        self.bytes.skip(bytes - here)
    }
}

impl Read for Buffered {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.fill(1)?;
        let some = bytes.len().min(self.waiting());
        bytes[..some].copy_from_slice(self.use_up(some));
        Ok(some)
    }
}

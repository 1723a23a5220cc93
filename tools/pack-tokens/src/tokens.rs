//! Documents out of token streams: `.npy` arrays back to back, each `[n][len_1..len_n][d_1]..[d_n]`.
//!
//! Every array says its own type: `<u2 <u4 <i4 <i8`. What is held in memory is one document, and 4 bytes for each document of
//! the array that it is in. Whatever is wrong is said with the number of the document, counted from 1 through all arrays of a
//! file.

use pipe::failure::Failure;
use pipe::input::Bytes;
use pipe::npy::{MAGIC, UNFINISHED};
use pipe::tokens::Dtype;
use std::ops::Range;
use std::path::Path;

/// Bytes asked for in one read.
const READ: usize = 256 << 10;

/// The documents of one file, or of standard input, in order.
pub struct Documents {
    bytes: Bytes,
    /// What is read and not yet used is `buffer[at..end]`.
    buffer: Vec<u8>,
    at: usize,
    end: usize,
    /// The type of the array that the last document is in.
    pub dtype: Dtype,
    /// Lengths of the documents of the array; those before `next` are done.
    lengths: Vec<u32>,
    next: usize,
    /// Documents of earlier arrays.
    before: u64,
    /// The documents to give, from 0.
    range: Range<u64>,
    /// Bytes read so far.
    pub bytes_read: u64,
    /// The type of the first array.
    pub first_dtype: Option<Dtype>,
}

impl Documents {
    /// All documents of a file (`-`: standard input).
    pub fn open(path: &Path) -> Result<Documents, Failure> {
        Documents::open_range(path, 0..u64::MAX)
    }

    /// Some documents of a plain file, counted from 0.
    pub fn open_range(path: &Path, range: Range<u64>) -> Result<Documents, Failure> {
        let bytes = Bytes::open(path)?;
        let mut documents = Documents {
            bytes,
            buffer: Vec::new(),
            at: 0,
            end: 0,
            dtype: Dtype::U16,
            lengths: Vec::new(),
            next: 0,
            before: 0,
            range,
            bytes_read: 0,
            first_dtype: None,
        };
        documents.array()?;
        Ok(documents)
    }

    /// How many documents a plain file holds. Reads the lengths and leaves out the rest.
    pub fn count(path: &Path) -> Result<u64, Failure> {
        let mut documents = Documents::open(path)?;
        if !documents.bytes.is_plain_file() {
            let name = &documents.bytes.name;
            return Err(Failure::usage(format!("--shard cannot cut compressed input, which {name} is")));
        }
        loop {
            documents.leave_out(documents.lengths.len())?;
            if !documents.array()? {
                break;
            }
        }
        Ok(documents.before)
    }

    /// The number of the document that was given last, from 1.
    pub fn number(&self) -> u64 {
        self.before + self.next as u64
    }

    /// Puts the next document into `tokens`, which is emptied before; false at the end.
    pub fn next(&mut self, tokens: &mut Vec<u32>) -> Result<bool, Failure> {
        tokens.clear();
        while self.next == self.lengths.len() {
            if self.number() >= self.range.end || !self.array()? {
                return Ok(false);
            }
        }
        if self.number() < self.range.start {
            let wanted = (self.range.start - self.number()).min((self.lengths.len() - self.next) as u64);
            self.leave_out(wanted as usize)?;
            return self.next(tokens);
        }
        if self.number() >= self.range.end {
            return Ok(false);
        }
        let length = self.lengths[self.next];
        self.next += 1;
        let size = length as usize * self.dtype.size();
        if !self.fill(size)? {
            let found = (self.end - self.at) / self.dtype.size();
            return Err(self.wrong(&format!("expected {length} tokens, found {found}: the file ends there")));
        }
        let read = self.dtype.read(&self.buffer[self.at..self.at + size], tokens);
        self.at += size;
        match read {
            Ok(()) => Ok(true),
            Err((place, value)) => {
                Err(self.wrong(&format!("token {}: expected 0 to {}, found {value}", place + 1, u32::MAX)))
            }
        }
    }

    /// Passes over documents without reading them.
    fn leave_out(&mut self, documents: usize) -> Result<(), Failure> {
        let lengths = &self.lengths[self.next..self.next + documents];
        let size = lengths.iter().map(|&length| u64::from(length)).sum::<u64>() * self.dtype.size() as u64;
        let here = size.min((self.end - self.at) as u64);
        self.at += here as usize;
        self.bytes.skip(size - here)?;
        self.next += documents;
        Ok(())
    }

    /// Makes sure that so many bytes are in the buffer; false where the file ends before.
    fn fill(&mut self, wanted: usize) -> Result<bool, Failure> {
        if self.end - self.at >= wanted {
            return Ok(true);
        }
        self.buffer.copy_within(self.at..self.end, 0);
        (self.at, self.end) = (0, self.end - self.at);
        while self.end < wanted {
            // What is asked for doubles with what has come, so that a length that is wrong takes no memory.
            let room = self.end + READ.max(self.end);
            if self.buffer.len() < room {
                self.buffer.resize(room, 0);
            }
            let read = self.bytes.read(&mut self.buffer[self.end..room])?;
            self.end += read;
            self.bytes_read += read as u64;
            if read == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Something is wrong with the document that was given last.
    pub fn wrong(&self, why: &str) -> Failure {
        Failure::work(format!("{}: document {}: {why}", self.bytes.name, self.number()))
    }

    fn wrong_array(&self, why: &str) -> Failure {
        let place = match self.number() {
            0 => "the first array".to_string(),
            documents => format!("the array behind document {documents}"),
        };
        Failure::work(format!("{}: {place}: {why}", self.bytes.name))
    }

    /// Reads the header and the lengths of the next array; false at the end of the file.
    fn array(&mut self) -> Result<bool, Failure> {
        self.before += self.lengths.len() as u64;
        self.lengths.clear();
        self.next = 0;
        if !self.fill(1)? {
            return Ok(false);
        }
        let (dtype, total) = self.header()?;
        self.dtype = dtype;
        self.first_dtype.get_or_insert(dtype);
        if total == UNFINISHED {
            return Err(self.wrong_array("not complete: the run that wrote it was killed"));
        }
        if total == 0 {
            return Err(self.wrong_array("expected the number of documents, found nothing"));
        }
        let count = self.integers(1)?;
        let count = count.first().map_or(0, |&count| u64::from(count));
        if count >= total {
            return Err(
                self.wrong_array(&format!("{count} documents: expected at most {} in {total} values", total - 1))
            );
        }
        let mut left = count as usize;
        while left > 0 {
            let some = left.min(READ / 8);
            let lengths = self.integers(some)?;
            self.lengths.extend(lengths);
            left -= some;
        }
        let tokens: u64 = self.lengths.iter().map(|&length| u64::from(length)).sum();
        if 1 + count + tokens != total {
            let expected = total - 1 - count;
            let message = format!("the lengths of {count} documents add up to {tokens}: expected {expected}");
            return Err(self.wrong_array(&message));
        }
        Ok(true)
    }

    /// So many integers that are no tokens: numbers of documents, lengths.
    fn integers(&mut self, count: usize) -> Result<Vec<u32>, Failure> {
        let size = count * self.dtype.size();
        if !self.fill(size)? {
            let found = self.lengths.len();
            return Err(self.wrong_array(&format!("the file ends behind {found} of its lengths")));
        }
        let mut values = Vec::with_capacity(count);
        let read = self.dtype.read(&self.buffer[self.at..self.at + size], &mut values);
        self.at += size;
        match read {
            Ok(()) => Ok(values),
            Err((place, value)) => {
                let place = self.lengths.len() + place + 1;
                Err(self
                    .wrong_array(&format!("number {place} of its lengths: expected 0 to {}, found {value}", u32::MAX)))
            }
        }
    }

    /// The type of the values and their number.
    fn header(&mut self) -> Result<(Dtype, u64), Failure> {
        if !self.fill(12)? || self.buffer[self.at..self.at + 6] != *MAGIC {
            return Err(self.wrong_array("expected a .npy array, found other bytes"));
        }
        let start = &self.buffer[self.at..self.at + 12];
        let (before, length) = match start[6] {
            1 => (10, usize::from(u16::from_le_bytes([start[8], start[9]]))),
            2 | 3 => (12, u32::from_le_bytes([start[8], start[9], start[10], start[11]]) as usize),
            version => return Err(self.wrong_array(&format!(".npy version {version}: expected 1, 2 or 3"))),
        };
        if length > 1 << 16 || !self.fill(before + length)? {
            return Err(self.wrong_array("its header is not whole"));
        }
        let header = String::from_utf8_lossy(&self.buffer[self.at + before..self.at + before + length]).into_owned();
        self.at += before + length;
        let value = |name: &str, end: char| {
            let rest = header.split(&format!("'{name}':")).nth(1)?;
            Some(rest.trim_start().split(end).next()?.trim().to_string())
        };
        let descr = value("descr", ',').unwrap_or_default();
        let dtype = Dtype::of_descr(descr.trim_matches('\''));
        let dtype = dtype.ok_or_else(|| self.wrong_array(&format!("expected <u2, <u4, <i4 or <i8, found {descr}")))?;
        let shape = value("shape", ')').unwrap_or_default();
        let total = shape.strip_prefix('(').and_then(|shape| shape.strip_suffix(',')?.trim().parse().ok());
        let total =
            total.ok_or_else(|| self.wrong_array(&format!("expected one dimension, found the shape {shape})")))?;
        Ok((dtype, total))
    }
}

//! A file's bytes, from the front to the end; all numbers are little endian.

use std::ops::Range;

/// What of a file is not read yet.
pub(super) struct Bytes<'a> {
    all: &'a [u8],
    place: usize,
}

impl<'a> Bytes<'a> {
    pub(super) fn new(all: &'a [u8]) -> Bytes<'a> {
        Bytes { all, place: 0 }
    }

    /// The whole file.
    pub(super) fn all(&self) -> &'a [u8] {
        self.all
    }

    /// Where the next `count` bytes are.
    pub(super) fn range(&mut self, what: &str, count: u64) -> Result<Range<usize>, String> {
        let rest = (self.all.len() - self.place) as u64;
        if count > rest {
            return Err(format!("truncated: expected {count} bytes of {what} at byte {}, found {rest}", self.place));
        }
        let begin = self.place;
        self.place += count as usize;
        Ok(begin..self.place)
    }

    /// Where the next `count` 32-bit floats are, all of which must be finite.
    pub(super) fn floats(&mut self, what: &str, count: u64) -> Result<Range<usize>, String> {
        let range = self.range(what, count.saturating_mul(4))?;
        let values = self.all[range.clone()].as_chunks().0;
        match values.iter().map(|&bytes| f32::from_le_bytes(bytes)).position(|value| !value.is_finite()) {
            Some(at) => Err(format!("{what}: value {at} is {}", f32::from_le_bytes(values[at]))),
            None => Ok(range),
        }
    }

    pub(super) fn take(&mut self, what: &str, count: u64) -> Result<&'a [u8], String> {
        self.range(what, count).map(|range| &self.all[range])
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], String> {
        self.take(what, N as u64).map(|bytes| bytes.try_into().expect("as many as asked for"))
    }

    pub(super) fn i32(&mut self, what: &str) -> Result<i32, String> {
        self.array(what).map(i32::from_le_bytes)
    }

    pub(super) fn i64(&mut self, what: &str) -> Result<i64, String> {
        self.array(what).map(i64::from_le_bytes)
    }

    /// A 32-bit number of at least `least`, which is not negative.
    pub(super) fn size(&mut self, what: &str, least: u32) -> Result<usize, String> {
        let number = self.i32(what)?;
        let size = u32::try_from(number).ok().filter(|&size| size >= least);
        size.map(|size| size as usize).ok_or_else(|| format!("{what}: expected {least} or more, found {number}"))
    }

    /// A 64-bit number that is not negative.
    pub(super) fn long_size(&mut self, what: &str) -> Result<u64, String> {
        let number = self.i64(what)?;
        u64::try_from(number).map_err(|_| format!("{what}: expected 0 or more, found {number}"))
    }

    /// A byte that is 0 or 1.
    pub(super) fn flag(&mut self, what: &str) -> Result<bool, String> {
        match self.array(what)? {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => Err(format!("{what}: expected 0 or 1, found {other}")),
        }
    }

    /// Where the bytes before the next zero are, which is passed.
    pub(super) fn word(&mut self, what: &str) -> Result<Range<usize>, String> {
        let rest = &self.all[self.place..];
        let length = memchr::memchr(0, rest).ok_or_else(|| format!("truncated: {what} has no end"))?;
        let begin = self.place;
        self.place += length + 1;
        Ok(begin..begin + length)
    }

    /// There must be nothing more.
    pub(super) fn end(self) -> Result<(), String> {
        match self.all.len() - self.place {
            0 => Ok(()),
            rest => Err(format!("{rest} bytes behind the model: expected none")),
        }
    }
}

//! Documents of tokens: 1-D `.npy` arrays or a stream, `[n][len_1..len_n][d_1]..[d_n]` each, the layout of CEPE's
//! scripts.
//!
//! Into a regular file goes one array. Lengths stand in front of the tokens but are known after them, so the tokens are
//! written first and moved back at the end; until then the header claims more numbers than any file has, so that what a
//! killed run leaves does not load. Into a pipe, or behind what a file holds already, goes a stream as [`crate::npy`]
//! has it; where its blocks are cut depends on the documents alone. [`TokenReader`] reads both.

mod lengths;
mod reading;

pub use reading::TokenReader;

use crate::failure::Failure;
use crate::npy::{HEADER, Header, UNFINISHED};
use crate::output::Output;
use lengths::Lengths;

/// How a number is stored, little endian, narrowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dtype {
    /// `<u2`.
    U16,
    /// `<i4`.
    I32,
    /// `<u4`.
    U32,
    /// `<i8`.
    I64,
}

impl Dtype {
    /// Bytes of a number.
    pub fn size(self) -> usize {
        match self {
            Dtype::U16 => 2,
            Dtype::I32 | Dtype::U32 => 4,
            Dtype::I64 => 8,
        }
    }

    /// The largest number.
    pub fn number_max(self) -> u64 {
        match self {
            Dtype::U16 => u64::from(u16::MAX),
            Dtype::I32 => i32::MAX as u64,
            Dtype::U32 => u64::from(u32::MAX),
            Dtype::I64 => i64::MAX as u64,
        }
    }

    /// What NumPy calls it.
    pub fn descr(self) -> &'static str {
        match self {
            Dtype::U16 => "<u2",
            Dtype::I32 => "<i4",
            Dtype::U32 => "<u4",
            Dtype::I64 => "<i8",
        }
    }

    /// The type of this name.
    pub fn of_descr(descr: &str) -> Option<Dtype> {
        [Dtype::U16, Dtype::I32, Dtype::U32, Dtype::I64].into_iter().find(|dtype| dtype.descr() == descr)
    }

    /// The largest id that it can hold; no id is larger than 2^32 - 1.
    pub fn id_max(self) -> u32 {
        u32::try_from(self.number_max()).unwrap_or(u32::MAX)
    }

    /// The number that says how many tokens a document has.
    ///
    /// # Errors
    /// More than an array of this type can say.
    pub fn length(self, tokens: usize) -> Result<u32, String> {
        let most = self.number_max().min(u32::MAX.into());
        let length = u32::try_from(tokens).ok().filter(|&length| u64::from(length) <= most);
        length.ok_or_else(|| format!("{tokens} tokens: expected {most} at the most in an array of {}", self.descr()))
    }

    /// Appends the ids that little-endian bytes are.
    ///
    /// # Errors
    /// The place and the value of the first number that is no id.
    pub fn read(self, bytes: &[u8], ids: &mut Vec<u32>) -> Result<(), (usize, i64)> {
        let start = ids.len();
        let wide = || bytes.as_chunks().0.iter().map(|&number| i64::from_le_bytes(number));
        match self {
            Dtype::U16 => ids.extend(bytes.as_chunks().0.iter().map(|&number| u32::from(u16::from_le_bytes(number)))),
            Dtype::I32 | Dtype::U32 => ids.extend(bytes.as_chunks().0.iter().map(|&number| u32::from_le_bytes(number))),
            Dtype::I64 => ids.extend(wide().map(|number| number as u32)),
        }
        // One look at all of them together; where something is wrong, another one for its place.
        let wrong = match self {
            Dtype::U16 | Dtype::U32 => false,
            Dtype::I32 => ids[start..].iter().fold(0, |all, id| all | id) >> 31 != 0,
            Dtype::I64 => wide().fold(0, |all, number| all | number) as u64 >> 32 != 0,
        };
        if !wrong {
            return Ok(());
        }
        let first = match self {
            Dtype::I64 => wide().enumerate().find(|&(_, number)| u32::try_from(number).is_err()),
            _ => (ids[start..].iter().map(|&id| i64::from(id as i32))).enumerate().find(|&(_, number)| number < 0),
        };
        Err(first.expect("one of them is no id"))
    }

    /// Appends ids, which must fit, as little-endian bytes.
    pub fn write(self, ids: &[u32], bytes: &mut Vec<u8>) {
        debug_assert!(ids.iter().all(|&id| id <= self.id_max()), "ids are looked at before");
        bytes.reserve(ids.len() * self.size());
        match self {
            Dtype::U16 => bytes.extend(ids.iter().flat_map(|&id| narrow(id).to_le_bytes())),
            Dtype::I32 | Dtype::U32 => bytes.extend(ids.iter().flat_map(|&id| id.to_le_bytes())),
            Dtype::I64 => bytes.extend(ids.iter().flat_map(|&id| u64::from(id).to_le_bytes())),
        }
    }

    /// The most documents of an array. One less than the largest number: NumPy's scalars overflow silently in `data[1 :
    /// n + 1]`. Never more than 2^32 - 1.
    pub fn documents_max(self) -> u64 {
        (self.number_max() - 1).min(u32::MAX.into())
    }

    /// The narrowest unsigned type in which this number fits.
    pub fn for_ids(id_max: u64) -> Dtype {
        if id_max <= Dtype::U16.number_max() { Dtype::U16 } else { Dtype::U32 }
    }

    /// This type, or the narrowest wider one (u32, then i64), in which so many documents with so many tokens fit.
    fn widened(self, documents: u64, longest: u64) -> Dtype {
        let fits = |dtype: &Dtype| documents <= dtype.documents_max() && longest <= dtype.number_max();
        let wider = [self, Dtype::U32, Dtype::I64].into_iter().filter(|dtype| *dtype >= self);
        wider.into_iter().find(fits).unwrap_or(Dtype::I64)
    }
}

/// An id of at most 16 bits. Clamped around zero and shifted back, because that is one instruction for eight of them
/// (`packssdw`) even where a processor has no other vectors than every x86-64; cutting the upper half off is six.
fn narrow(id: u32) -> u16 {
    (id.wrapping_sub(0x8000) as i32).clamp(-0x8000, 0x7fff) as u16 ^ 0x8000
}

/// A block ends with the document with which it has so many tokens.
const BLOCK_TOKENS: usize = 512 << 10;

/// A block ends with its so manieth document: as many as an array of the narrowest type holds.
const BLOCK_DOCUMENTS: usize = u16::MAX as usize - 1;

/// Tokens that are moved at a time.
const MOVED: u64 = 1 << 20;

/// Writes documents.
pub struct TokenWriter {
    output: Output,
    dtype: Dtype,
    /// Whether an array may be wider where its own numbers demand it.
    may_widen: bool,
    /// Where the header of the one array is; `None`: blocks.
    header_at: Option<u64>,
    /// Whether something is written.
    begun: bool,
    /// Lengths of the documents of the array, and the largest of them.
    lengths_in_front: Lengths,
    longest: u32,
    /// Lengths and tokens of the block.
    lengths: Vec<u32>,
    ids: Vec<u32>,
    /// Documents and tokens that were written.
    documents: u64,
    tokens: u64,
    bytes: Vec<u8>,
}

impl TokenWriter {
    /// Begins an array or a stream of this type. With `may_widen`, an array or block whose number of documents or
    /// longest document does not fit is wider. Writes nothing yet of a stream.
    ///
    /// # Errors
    /// The file cannot be written, or not be read back, or is a terminal.
    pub fn new(mut output: Output, dtype: Dtype, may_widen: bool) -> Result<TokenWriter, Failure> {
        output.refuse_terminal("arrays of tokens")?;
        let header_at = output.position();
        if header_at.is_some() {
            // What is written has to be moved later; better to know now if it cannot be read.
            output.reader()?;
            output.write(&Header::array(dtype.descr(), &[UNFINISHED]))?;
        }
        let (lengths_in_front, longest, documents, tokens) = Default::default();
        let (begun, lengths, ids, bytes) = (header_at.is_some(), Vec::new(), Vec::new(), Vec::new());
        Ok(TokenWriter {
            output,
            dtype,
            may_widen,
            header_at,
            begun,
            lengths_in_front,
            longest,
            lengths,
            ids,
            documents,
            tokens,
            bytes,
        })
    }

    /// Writes whole documents: the length of each, and their tokens one after the other.
    ///
    /// # Errors
    /// The output cannot be written; more documents than one array of a fixed type can say.
    pub fn write(&mut self, lengths: &[u32], ids: &[u32]) -> Result<(), Failure> {
        debug_assert_eq!(lengths.iter().map(|&length| length as usize).sum::<usize>(), ids.len());
        match self.header_at {
            Some(_) => self.write_on(lengths, ids),
            None => self.write_blocks(lengths, ids),
        }
    }

    fn write_on(&mut self, lengths: &[u32], ids: &[u32]) -> Result<(), Failure> {
        self.lengths_in_front.put(lengths)?;
        self.longest = lengths.iter().copied().fold(self.longest, u32::max);
        self.documents += lengths.len() as u64;
        let widest = if self.may_widen { Dtype::I64 } else { self.dtype };
        if self.documents > widest.documents_max() {
            let (most, descr) = (widest.documents_max(), widest.descr());
            return Err(Failure::work(format!("more than {most} documents: expected no more in one array of {descr}")));
        }
        self.tokens += ids.len() as u64;
        self.bytes.clear();
        self.dtype.write(ids, &mut self.bytes);
        self.output.write(&self.bytes)
    }

    /// Writes the beginning of a stream, once.
    fn begin(&mut self) -> Result<(), Failure> {
        if !std::mem::replace(&mut self.begun, true) {
            self.output.write(&Header::block(self.dtype.descr(), &[0]))?;
        }
        Ok(())
    }

    fn write_blocks(&mut self, lengths: &[u32], mut ids: &[u32]) -> Result<(), Failure> {
        self.begin()?;
        for &length in lengths {
            let (document, rest) = ids.split_at(length as usize);
            ids = rest;
            self.ids.extend_from_slice(document);
            self.lengths.push(length);
            if self.ids.len() >= BLOCK_TOKENS || self.lengths.len() >= BLOCK_DOCUMENTS {
                self.write_block()?;
            }
        }
        Ok(())
    }

    fn write_block(&mut self) -> Result<(), Failure> {
        let longest = self.lengths.iter().max().copied().unwrap_or(0);
        let dtype = self.fitting(self.lengths.len() as u64, longest);
        self.bytes.clear();
        self.bytes.extend(Header::block(dtype.descr(), &[1 + (self.lengths.len() + self.ids.len()) as u64]));
        dtype.write(&[self.lengths.len() as u32], &mut self.bytes);
        dtype.write(&self.lengths, &mut self.bytes);
        dtype.write(&self.ids, &mut self.bytes);
        self.documents += self.lengths.len() as u64;
        self.tokens += self.ids.len() as u64;
        self.lengths.clear();
        self.ids.clear();
        self.output.write(&self.bytes)
    }

    /// The type of an array or block of so many documents with so many tokens.
    fn fitting(&self, documents: u64, longest: u32) -> Dtype {
        if self.may_widen { self.dtype.widened(documents, longest.into()) } else { self.dtype }
    }

    /// Writes what is left and ends the stream, or puts the lengths in front. An array without documents says 0.
    ///
    /// # Errors
    /// The output cannot be written, or not be read back.
    pub fn finish(mut self) -> Result<(), Failure> {
        match self.header_at {
            Some(at) => self.complete(at)?,
            None => self.end()?,
        }
        self.output.finish()
    }

    fn end(&mut self) -> Result<(), Failure> {
        self.begin()?;
        if !self.lengths.is_empty() {
            self.write_block()?;
        }
        self.output.write(&Header::end(self.dtype.descr(), &[0], &[self.documents, self.tokens]))
    }

    fn complete(&mut self, at: u64) -> Result<(), Failure> {
        let dtype = self.fitting(self.documents, self.longest);
        let start = at + HEADER as u64;
        self.move_tokens(start, dtype)?;
        self.bytes.clear();
        dtype.write(&[self.documents as u32], &mut self.bytes);
        let mut position = start;
        while !self.bytes.is_empty() {
            self.output.rewrite(position, &self.bytes)?;
            position += self.bytes.len() as u64;
            self.bytes.clear();
            dtype.write(self.lengths_in_front.take_some(MOVED as usize)?, &mut self.bytes);
        }
        let numbers = 1 + self.documents + self.tokens;
        self.output.rewrite(at, &Header::array(dtype.descr(), &[numbers]))
    }

    /// Makes room for the lengths; where the type is a wider one, the last tokens first, so that none is written over
    /// before it is moved.
    fn move_tokens(&mut self, start: u64, dtype: Dtype) -> Result<(), Failure> {
        let (from, to) = (self.dtype.size() as u64, dtype.size() as u64);
        let target = start + (1 + self.documents) * to;
        if self.dtype == dtype {
            return self.output.shift(start, target, self.tokens * from);
        }
        let reader = self.output.reader()?;
        let (mut end, mut read, mut ids) = (self.tokens, Vec::new(), Vec::new());
        while end > 0 {
            let first = end.saturating_sub(MOVED);
            read.resize(((end - first) * from) as usize, 0);
            self.output.read_at(&reader, start + first * from, &mut read)?;
            ids.clear();
            self.dtype.read(&read, &mut ids).expect("what was written are ids");
            self.bytes.clear();
            dtype.write(&ids, &mut self.bytes);
            self.output.rewrite(target + first * to, &self.bytes)?;
            end = first;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn in_a_file(dtype: Dtype, may_widen: bool, documents: &[Vec<u32>]) -> Vec<u8> {
        let path =
            std::env::temp_dir().join(format!("tokens-{}-{:?}.npy", std::process::id(), std::thread::current().id()));
        let mut writer = TokenWriter::new(Output::create(&path).unwrap(), dtype, may_widen).unwrap();
        documents.iter().for_each(|document| writer.write(&[document.len() as u32], document).unwrap());
        writer.finish().unwrap();
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        bytes
    }

    fn numbers(bytes: &[u8]) -> (Dtype, Vec<u64>) {
        let header = str::from_utf8(&bytes[10..HEADER]).unwrap();
        let dtypes = [Dtype::U16, Dtype::I32, Dtype::U32, Dtype::I64];
        let dtype = dtypes.into_iter().find(|dtype| header.contains(&format!("'{}'", dtype.descr()))).unwrap();
        let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte));
        let numbers: Vec<_> = bytes[HEADER..].chunks(dtype.size()).map(number).collect();
        assert!(header.contains(&format!("({},)", numbers.len())), "{header}");
        (dtype, numbers)
    }

    #[test]
    fn a_file_has_its_lengths_in_front() {
        let documents = [vec![7, 8, 65535], vec![], vec![9]];
        for dtype in [Dtype::U16, Dtype::I32, Dtype::U32, Dtype::I64] {
            let expected = (dtype, vec![3, 3, 0, 1, 7, 8, 65535, 9]);
            assert_eq!(numbers(&in_a_file(dtype, false, &documents)), expected);
        }
        assert_eq!(numbers(&in_a_file(Dtype::U16, true, &[])), (Dtype::U16, vec![0]));
    }

    #[test]
    fn a_file_is_wider_where_its_lengths_do_not_fit() {
        let long: Vec<u32> = (0..3 << 20).map(|id| id % 65536).collect();
        let (dtype, found) = numbers(&in_a_file(Dtype::U16, true, &[vec![5], long.clone()]));
        assert_eq!((dtype, &found[..4]), (Dtype::U32, &[2, 1, 3 << 20, 5][..]));
        assert!(found[4..].iter().zip(&long).all(|(&a, &b)| a == u64::from(b)));
        let many = vec![vec![3]; 65535];
        let (dtype, found) = numbers(&in_a_file(Dtype::U16, true, &many));
        assert_eq!((dtype, found[0], found[65536], found.len()), (Dtype::U32, 65535, 3, 1 + 2 * 65535));
        assert_eq!(numbers(&in_a_file(Dtype::U16, true, &many[1..])).0, Dtype::U16);
    }
}

//! Records of one length in the order of their keys, in bounded memory.
//!
//! Records are gathered until memory is full, sorted, and appended to a temporary file as a run; then all runs are read
//! side by side, each in large pieces, and the smallest key goes next. So every record is written once and read once,
//! one after the other. What fits into memory never gets to the disk. Keys are compared as bytes, and are all
//! different.

use pipe::failure::Failure;
use pipe::scratch::Scratch;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Bytes of a run that are read together, unless memory is short.
const READ: usize = if cfg!(test) { 50 } else { 4 << 20 };

/// Records that come in.
pub struct Sorter<const K: usize> {
    width: usize,
    records_max: usize,
    memory: usize,
    keys: Vec<([u8; K], u32)>,
    values: Vec<u8>,
    runs: Vec<(u64, usize)>,
    file: Option<Scratch>,
}

impl<const K: usize> Sorter<K> {
    /// Of values of so many bytes, in about so much memory.
    pub fn new(width: usize, memory: u64) -> Sorter<K> {
        let memory = usize::try_from(memory).unwrap_or(usize::MAX);
        let record = size_of::<([u8; K], u32)>() + width;
        let records_max = (memory / record).clamp(1, u32::MAX as usize);
        Sorter { width, records_max, memory, keys: Vec::new(), values: Vec::new(), runs: Vec::new(), file: None }
    }

    /// Adds a record, whose value `write` appends.
    ///
    /// # Errors
    /// Those of the temporary file.
    pub fn add(&mut self, key: [u8; K], write: impl FnOnce(&mut Vec<u8>)) -> Result<(), Failure> {
        if self.keys.len() == self.records_max {
            self.end_run()?;
        }
        self.keys.push((key, self.keys.len() as u32));
        write(&mut self.values);
        assert_eq!(self.values.len(), self.keys.len() * self.width, "a value of the width");
        Ok(())
    }

    fn end_run(&mut self) -> Result<(), Failure> {
        self.keys.sort_unstable();
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(Scratch::new()?),
        };
        let mut bytes = Vec::new();
        let mut start = None;
        for &(key, place) in &self.keys {
            bytes.extend_from_slice(&key);
            bytes.extend_from_slice(&self.values[place as usize * self.width..][..self.width]);
            if bytes.len() >= READ {
                start.get_or_insert(file.append(&bytes)?);
                bytes.clear();
            }
        }
        let last = file.append(&bytes)?;
        self.runs.push((start.unwrap_or(last), self.keys.len()));
        self.keys.clear();
        self.values.clear();
        Ok(())
    }

    /// All records, sorted.
    ///
    /// # Errors
    /// Those of the temporary file.
    pub fn finish(mut self) -> Result<Sorted<K>, Failure> {
        if self.file.is_none() {
            self.keys.sort_unstable();
            let Sorter { width, keys, values, .. } = self;
            return Ok(Sorted::Memory { width, keys, values, at: 0 });
        }
        self.end_run()?;
        (self.keys, self.values) = (Vec::new(), Vec::new());
        let file = self.file.expect("a run was written");
        let read = (self.memory / self.runs.len()).min(READ);
        let cursor = |&(start, left)| Cursor::new(K + self.width, start, left, read);
        let mut runs: Vec<_> = self.runs.iter().map(cursor).collect();
        let mut heap = BinaryHeap::new();
        for (run, cursor) in runs.iter_mut().enumerate() {
            cursor.advance(&file)?;
            heap.push(Reverse((cursor.key(), run)));
        }
        Ok(Sorted::Runs { file, runs, heap })
    }
}

/// Records that come out.
pub enum Sorted<const K: usize> {
    /// Of memory alone.
    Memory { width: usize, keys: Vec<([u8; K], u32)>, values: Vec<u8>, at: usize },
    /// Of a file; the heap has the next key of each run that has one.
    Runs { file: Scratch, runs: Vec<Cursor>, heap: BinaryHeap<Reverse<([u8; K], usize)>> },
}

impl<const K: usize> Sorted<K> {
    /// The key of the next record; `None`: there is none.
    pub fn key(&self) -> Option<[u8; K]> {
        match self {
            Sorted::Memory { keys, at, .. } => keys.get(*at).map(|&(key, _)| key),
            Sorted::Runs { heap, .. } => heap.peek().map(|&Reverse((key, _))| key),
        }
    }

    /// Shows the value of the next record, and goes on.
    ///
    /// # Errors
    /// Those of the temporary file.
    ///
    /// # Panics
    /// Where there is none.
    pub fn next<T>(&mut self, read: impl FnOnce(&[u8]) -> T) -> Result<T, Failure> {
        match self {
            Sorted::Memory { width, keys, values, at } => {
                let place = keys[*at].1 as usize;
                *at += 1;
                Ok(read(&values[place * *width..][..*width]))
            }
            Sorted::Runs { file, runs, heap } => {
                let Reverse((_, run)) = heap.pop().expect("there is a next record");
                let cursor = &mut runs[run];
                let made = read(&cursor.record()[K..]);
                if cursor.advance(file)? {
                    heap.push(Reverse((cursor.key(), run)));
                }
                Ok(made)
            }
        }
    }
}

/// Records of a temporary file, one after the other.
pub struct Cursor {
    width: usize,
    /// Where the bytes begin that were not read yet.
    start: u64,
    /// Records that were not read yet.
    left: usize,
    /// Records that are read together.
    together: usize,
    buffer: Vec<u8>,
    at: usize,
}

impl Cursor {
    /// So many records of `width` bytes from `start` on, read in pieces of about `read` bytes. It stands before the
    /// first.
    pub fn new(width: usize, start: u64, left: usize, read: usize) -> Cursor {
        Cursor { width, start, left, together: (read / width).max(1), buffer: Vec::new(), at: 0 }
    }

    /// Goes to the next record; `false`: there is none.
    ///
    /// # Errors
    /// Those of the file.
    pub fn advance(&mut self, file: &Scratch) -> Result<bool, Failure> {
        self.at += self.width;
        if self.at < self.buffer.len() {
            return Ok(true);
        }
        let records = self.left.min(self.together);
        self.buffer.resize(records * self.width, 0);
        file.read(&mut self.buffer, self.start)?;
        (self.start, self.left, self.at) = (self.start + self.buffer.len() as u64, self.left - records, 0);
        Ok(records > 0)
    }

    /// The record at which it stands.
    pub fn record(&self) -> &[u8] {
        &self.buffer[self.at..][..self.width]
    }

    /// Its key.
    fn key<const K: usize>(&self) -> [u8; K] {
        self.record()[..K].try_into().expect("a key before the value")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipe::key::noise_bits;

    #[test]
    fn records_come_in_the_order_of_their_keys_whatever_the_memory() {
        for (count, memory) in [(0, 1000), (1, 1), (500, 1 << 20), (500, 10_000), (500, 300), (200, 1), (64, 28 * 32)] {
            let keys: Vec<u64> = (0..count).map(|i| noise_bits(1, "test", i)).collect();
            let mut sorter = Sorter::<8>::new(12, memory);
            for key in &keys {
                let value = [key.to_le_bytes().as_slice(), b"abcd"].concat();
                sorter.add(key.to_be_bytes(), |to| to.extend_from_slice(&value)).unwrap();
            }
            let (mut sorted, mut found) = (sorter.finish().unwrap(), Vec::new());
            while let Some(key) = sorted.key() {
                let value = sorted.next(<[u8]>::to_vec).unwrap();
                assert_eq!(value, [u64::from_be_bytes(key).to_le_bytes().as_slice(), b"abcd"].concat());
                found.push(u64::from_be_bytes(key));
            }
            let mut expected = keys;
            expected.sort_unstable();
            assert_eq!(found, expected, "{count} records in {memory} bytes");
        }
    }
}

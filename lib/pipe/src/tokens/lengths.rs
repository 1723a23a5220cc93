//! Lengths of documents, first in, first out. Those that memory should not hold wait in a file without a name.

use crate::failure::{Failure, reason};
use crate::output::nameless;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// As many are held in memory: 4 MB.
const HELD: usize = 1 << 20;

/// All that are put in, and then all that are taken out.
#[derive(Default)]
pub struct Lengths {
    /// The last that were put in; when taking has begun, some of the next ones.
    held: Vec<u32>,
    /// Of these, those that are taken.
    taken: usize,
    file: Option<File>,
    /// Lengths that were put into the file, and that were taken back.
    filed: u64,
    back: u64,
    /// How many were put in.
    pub count: u64,
}

impl Lengths {
    /// Puts lengths in.
    ///
    /// # Errors
    /// There is no place for a temporary file.
    pub fn put(&mut self, lengths: &[u32]) -> Result<(), Failure> {
        self.count += lengths.len() as u64;
        self.held.extend_from_slice(lengths);
        if self.held.len() >= HELD { self.file().map_err(failed) } else { Ok(()) }
    }

    /// The next length; `None` when all are taken.
    ///
    /// # Errors
    /// The temporary file cannot be written or read.
    pub fn take(&mut self) -> Result<Option<u32>, Failure> {
        let next = self.next_some(1)?.first().copied();
        self.taken += usize::from(next.is_some());
        Ok(next)
    }

    /// Some of the next lengths, all of which are taken: up to so many, none when there are no more.
    ///
    /// # Errors
    /// The temporary file cannot be written or read.
    pub fn take_some(&mut self, most: usize) -> Result<&[u32], Failure> {
        let count = self.next_some(most)?.len();
        self.taken += count;
        Ok(&self.held[self.taken - count..self.taken])
    }

    fn next_some(&mut self, most: usize) -> Result<&[u32], Failure> {
        if self.file.is_some() && self.back == 0 && !self.held.is_empty() {
            self.file().map_err(failed)?;
        }
        if self.taken == self.held.len() && self.back < self.filed {
            self.refill().map_err(failed)?;
        }
        let waiting = &self.held[self.taken..];
        Ok(&waiting[..waiting.len().min(most)])
    }

    /// Moves what is held behind what the file has.
    fn file(&mut self) -> io::Result<()> {
        let file = match self.file.take() {
            Some(file) => file,
            None => nameless(&std::env::temp_dir())?,
        };
        let bytes: Vec<u8> = self.held.iter().flat_map(|length| length.to_le_bytes()).collect();
        self.file.insert(file).write_all_at(&bytes, 4 * self.filed)?;
        self.filed += self.held.len() as u64;
        self.held.clear();
        Ok(())
    }

    fn refill(&mut self) -> io::Result<()> {
        let count = (self.filed - self.back).min(HELD as u64);
        let mut bytes = vec![0; 4 * count as usize];
        self.file.as_ref().expect("some are in it").read_exact_at(&mut bytes, 4 * self.back)?;
        self.held.clear();
        self.held.extend(bytes.as_chunks().0.iter().map(|&length| u32::from_le_bytes(length)));
        (self.taken, self.back) = (0, self.back + count);
        Ok(())
    }
}

fn failed(why: io::Error) -> Failure {
    Failure::work(format!("a temporary file in {} (TMPDIR): {}", std::env::temp_dir().display(), reason(why)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_come_out_in_their_order() {
        for count in [0, 1, HELD - 1, HELD, 3 * HELD + 5] {
            let all: Vec<_> = (0..count as u32).map(|length| length.wrapping_mul(2_654_435_761)).collect();
            let mut lengths = Lengths::default();
            all.chunks(1000).for_each(|some| lengths.put(some).unwrap());
            assert!(lengths.held.len() < HELD + 1000);
            let mut out: Vec<_> = (0..7).filter_map(|_| lengths.take().unwrap()).collect();
            loop {
                match lengths.take_some(1 << 16).unwrap() {
                    [] => break,
                    some => out.extend_from_slice(some),
                }
            }
            assert!(out == all && lengths.count == count as u64, "{count}");
            assert_eq!(lengths.take().unwrap(), None);
        }
    }
}

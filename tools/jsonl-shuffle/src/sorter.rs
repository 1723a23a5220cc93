//! Lines sorted by 64 bits that come with each, in bounded memory.
//!
//! The order is that of the bits; of equal ones the earlier comes first. Lines are dealt into 256 buckets by the
//! highest 8 bits, in a temporary file; then each bucket is read, sorted in memory and passed on. A bucket that is too
//! large is dealt again by the next 8 bits: 16 GB need two passes over temporary files, 4 TB three. Memory: one bucket
//! of at most 64 MiB with a list of its lines, and 8 MiB for each deal. What fits there never gets to the disk.

use pipe::failure::Failure;
use pipe::scratch::Scratch;

const BUCKETS: usize = 256;

/// Bytes of a bucket that are written together.
const BLOCK: usize = if cfg!(test) { 64 } else { 32 << 10 };

/// Larger buckets are dealt again.
const BUCKET_MAX: u64 = if cfg!(test) { 512 } else { 64 << 20 };

/// The bits of a line and its length, before it.
const HEAD: usize = 16;

/// Who gets lines with their bits.
type Pass<'p> = dyn FnMut(u64, &[u8]) -> Result<(), Failure> + 'p;

/// Lines on their way.
pub struct Sorter {
    file: Scratch,
    buckets: Vec<Bucket>,
    /// Which 8 bits choose the bucket, from the highest.
    level: u32,
}

#[derive(Default)]
struct Bucket {
    /// Where in the file its bytes are, in order: start and length.
    blocks: Vec<(u64, usize)>,
    /// The bytes after those.
    rest: Vec<u8>,
    bytes: u64,
}

impl Sorter {
    /// No lines.
    pub fn new() -> Result<Sorter, Failure> {
        Sorter::at(0)
    }

    fn at(level: u32) -> Result<Sorter, Failure> {
        let buckets = (0..BUCKETS).map(|_| Bucket::default()).collect();
        Ok(Sorter { file: Scratch::new()?, buckets, level })
    }

    /// Adds a line.
    pub fn add(&mut self, bits: u64, line: &[u8]) -> Result<(), Failure> {
        let bucket = &mut self.buckets[(bits << (8 * self.level) >> 56) as usize];
        bucket.rest.extend_from_slice(&bits.to_le_bytes());
        bucket.rest.extend_from_slice(&(line.len() as u64).to_le_bytes());
        bucket.rest.extend_from_slice(line);
        bucket.bytes += (HEAD + line.len()) as u64;
        if bucket.rest.len() >= BLOCK {
            let start = self.file.append(&bucket.rest)?;
            bucket.blocks.push((start, bucket.rest.len()));
            // One very long line does not keep its memory.
            bucket.rest.clear();
            bucket.rest.shrink_to(2 * BLOCK);
        }
        Ok(())
    }

    /// Passes all lines on with their bits, in the order of these.
    pub fn finish(mut self, out: &mut Pass) -> Result<(), Failure> {
        for bucket in std::mem::take(&mut self.buckets) {
            if bucket.bytes <= BUCKET_MAX {
                self.sort(bucket, out)?;
            } else if self.level == 7 {
                // All bits are equal: the order is that in which the lines came.
                self.each(bucket, out)?;
            } else {
                let mut deal = Sorter::at(self.level + 1)?;
                self.each(bucket, &mut |bits, line| deal.add(bits, line))?;
                deal.finish(out)?;
            }
        }
        Ok(())
    }

    fn sort(&self, bucket: Bucket, out: &mut Pass) -> Result<(), Failure> {
        let mut bytes = vec![0; bucket.bytes as usize];
        let mut end = 0;
        for (start, length) in bucket.blocks {
            self.file.read(&mut bytes[end..end + length], start)?;
            end += length;
        }
        bytes[end..].copy_from_slice(&bucket.rest);
        let mut lines = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let (bits, length) = head(&bytes[at..]);
            lines.push((bits, at + HEAD, length));
            at += HEAD + length;
        }
        lines.sort_unstable_by_key(|&(bits, at, _)| (bits, at));
        lines.into_iter().try_for_each(|(bits, at, length)| out(bits, &bytes[at..at + length]))
    }

    /// Reads a bucket line by line. Lines do not span blocks.
    fn each(&self, bucket: Bucket, then: &mut Pass) -> Result<(), Failure> {
        let mut block = Vec::new();
        for (start, length) in bucket.blocks {
            block.resize(length, 0);
            self.file.read(&mut block, start)?;
            each_line(&block, then)?;
        }
        each_line(&bucket.rest, then)
    }
}

fn each_line(mut bytes: &[u8], then: &mut Pass) -> Result<(), Failure> {
    while !bytes.is_empty() {
        let (bits, length) = head(bytes);
        let (line, rest) = bytes[HEAD..].split_at(length);
        then(bits, line)?;
        bytes = rest;
    }
    Ok(())
}

fn head(bytes: &[u8]) -> (u64, usize) {
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
    (number(0), number(8) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipe::key::noise_bits;

    #[test]
    fn lines_come_in_the_order_of_their_bits_and_equal_ones_as_they_came() {
        for (count, kinds) in [(0, 1), (3, 9), (5000, u64::MAX), (2000, 40), (100, 1)] {
            let bits = |at: u64| noise_bits(1, "test", at % kinds);
            let lines: Vec<_> =
                (0..count).map(|at| (bits(at), "x".repeat(at as usize % 90) + &at.to_string())).collect();
            let mut sorter = Sorter::new().unwrap();
            lines.iter().for_each(|(bits, line)| sorter.add(*bits, line.as_bytes()).unwrap());
            let (mut out, mut last) = (Vec::new(), 0);
            let taken = sorter.finish(&mut |bits, line: &[u8]| {
                assert!(last <= bits);
                last = bits;
                out.push(String::from_utf8(line.to_vec()).unwrap());
                Ok(())
            });
            taken.unwrap();
            let mut expected = lines;
            expected.sort_by_key(|(bits, _)| *bits);
            assert!(out == expected.into_iter().map(|(_, line)| line).collect::<Vec<_>>(), "{count} lines");
        }
    }
}

//! The records of a file, checked: tables one after another, as those of shards that were put into one file are.

use dataset::provenance::{RECORD, Record, read_header};
use pipe::failure::{Failure, reading_reason};
use pipe::input::Bytes;
use pipe::npy::UNFINISHED;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// More are in no file: a table claims more until it is complete.
const RECORDS_MAX: u64 = UNFINISHED - 1;

/// The tables of one file, or of standard input.
pub struct Table {
    bytes: Bytes,
    /// Whether there was one.
    begun: bool,
    /// How many records the current one has, and how many of them are behind us.
    records: u64,
    next: u64,
    /// The sequence of the last one that is behind us.
    last: Option<u64>,
    buffer: Vec<u8>,
    /// Bytes that were read of all tables, not counting what bisection looked at.
    pub bytes_read: u64,
}

impl Table {
    /// Nothing is read yet.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(path: &Path) -> Result<Table, Failure> {
        let (begun, records, next, last, buffer, bytes_read) = Default::default();
        Ok(Table { bytes: Bytes::open(path)?, begun, records, next, last, buffer, bytes_read })
    }

    /// Begins the next table; false at the end of the file. All records of the one before must be behind us.
    ///
    /// # Errors
    /// Those of reading; what is no such table; a file without any.
    pub fn next(&mut self) -> Result<bool, Failure> {
        let header = read_header(&mut self.bytes).map_err(|why| self.failed(why))?;
        let records = header.map(|header| header.0);
        if records.is_none() && !self.begun {
            return Err(self.wrong("is empty: expected a file that pack-tokens --provenance wrote"));
        }
        if records.is_some_and(|records| records > RECORDS_MAX) {
            return Err(self.wrong("more records than a file can hold: was the program killed that wrote it?"));
        }
        (self.begun, self.next, self.last) = (true, 0, None);
        (self.records, self.bytes_read) = (records.unwrap_or(0), self.bytes_read + header.map_or(0, |header| header.1));
        Ok(records.is_some())
    }

    /// Replaces `records` with the next ones, up to so many; false where the table has no more.
    ///
    /// # Errors
    /// Those of reading; a table that is not whole; sequences that are not in order.
    pub fn read(&mut self, most: u64, records: &mut Vec<Record>) -> Result<bool, Failure> {
        let count = most.min(self.records - self.next);
        self.buffer.resize(count as usize * RECORD, 0);
        let mut buffer = std::mem::take(&mut self.buffer);
        self.bytes.read_exact(&mut buffer).map_err(|why| self.failed(why))?;
        self.bytes_read += buffer.len() as u64;
        records.clear();
        records.extend(buffer.as_chunks().0.iter().map(Record::of_bytes));
        self.buffer = buffer;
        records.iter().try_for_each(|record| self.check(record))?;
        Ok(count > 0)
    }

    /// A sequence is that of the record before, or the next one; the first is 0.
    fn check(&mut self, record: &Record) -> Result<(), Failure> {
        let (next, same) = (self.last.map_or(0, |last| last + 1), self.last);
        if record.sequence != next && Some(record.sequence) != same {
            let found = format!("record {}: sequence {}: expected", self.next, record.sequence);
            return Err(self.wrong(&same.map_or(format!("{found} 0"), |same| format!("{found} {same} or {next}"))));
        }
        (self.last, self.next) = (Some(record.sequence), self.next + 1);
        Ok(())
    }

    /// Goes on with the first record of this sequence, or behind the last of all where there is none; of what is no
    /// plain file, nothing is left out.
    ///
    /// # Errors
    /// Those of reading; a table that is not whole.
    pub fn go_to(&mut self, sequence: u64) -> Result<(), Failure> {
        let (behind, records) = (self.next, self.records);
        let Some(file) = self.bytes.plain_file() else { return Ok(()) };
        let found = bisect(file, behind, records, sequence);
        let (next, last) = found.map_err(|why| self.failed(why))?;
        if last.is_some_and(|last| last >= next) {
            return Err(self.wrong(&format!("record {}: sequence {}: there are fewer", next - 1, last.unwrap_or(0))));
        }
        (self.next, self.last) = (next, last.or(self.last));
        Ok(())
    }

    /// How many sequences the table has, as far as it is read.
    pub fn sequences(&self) -> u64 {
        self.last.map_or(0, |last| last + 1)
    }

    fn failed(&self, why: io::Error) -> Failure {
        self.wrong(&reading_reason(why))
    }

    fn wrong(&self, why: &str) -> Failure {
        Failure::work(format!("{}: {why}", self.bytes.name))
    }
}

/// Goes on in a file whose next record is number `behind` of a table: with the first one of this sequence or of one
/// behind it. Gives its number, and the sequence of the record before it, where that is not behind us.
fn bisect(file: &mut File, behind: u64, records: u64, sequence: u64) -> io::Result<(u64, Option<u64>)> {
    let here = file.stream_position()?;
    let at = |number: u64| here + (number - behind) * RECORD as u64;
    let sequence_of = |number: u64| {
        let mut bytes = [0; RECORD];
        file.read_exact_at(&mut bytes, at(number)).map(|()| Record::of_bytes(&bytes).sequence)
    };
    let (mut low, mut high) = (behind, records);
    // The last one is looked at in any case: it says whether the table is whole.
    if low < high && sequence_of(high - 1)? < sequence {
        low = high;
    }
    while low < high {
        let middle = low + (high - low) / 2;
        if sequence_of(middle)? < sequence { low = middle + 1 } else { high = middle }
    }
    let last = if low > behind { Some(sequence_of(low - 1)?) } else { None };
    file.seek(SeekFrom::Start(at(low)))?;
    Ok((low, last))
}

//! What a thread does with documents: add them to a table, or write each as a sparse row.

use ngram::buckets::{Features, Parameters};
use ngram::counts::Counts;
use pipe::column::write_integer;
use pipe::lines::Worker;
use pipe::record::Reader;
use std::ops::ControlFlow;

/// Adds all documents to one table.
pub struct TableTally {
    /// The sum so far.
    pub counts: Counts,
    reader: Reader,
    features: Features,
}

impl TableTally {
    /// An empty table.
    pub fn new(parameters: &Parameters, reader: Reader) -> TableTally {
        TableTally { counts: Counts::new(parameters), reader, features: Features::new(parameters) }
    }
}

impl Worker for TableTally {
    type Out = ();

    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        let text = self.reader.text(line)?;
        let table = &mut self.counts.counts[..];
        self.counts.words += self.features.each(text, |buckets| {
            buckets.iter().for_each(|&bucket| table[bucket as usize] += 1);
        })?;
        self.counts.documents += 1;
        Ok(())
    }

    fn missing(&mut self) {}

    fn take(&mut self) {}
}

/// The n-grams of some documents, kept apart by document.
#[derive(Default)]
pub struct Documents {
    buckets: Vec<u32>,
    /// Words, and where the document's buckets end; `None` for a bad record.
    ends: Vec<Option<(u64, usize)>>,
}

/// Finds n-grams and leaves the adding to [`Prefix`], which knows where to stop.
pub struct PrefixTally {
    documents: Documents,
    reader: Reader,
    features: Features,
}

impl PrefixTally {
    /// Nothing found yet.
    pub fn new(parameters: &Parameters, reader: Reader) -> PrefixTally {
        PrefixTally { documents: Documents::default(), reader, features: Features::new(parameters) }
    }
}

impl Worker for PrefixTally {
    type Out = Documents;

    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        let text = self.reader.text(line)?;
        let Documents { buckets, ends } = &mut self.documents;
        let words = self.features.each(text, |some| buckets.extend_from_slice(some))?;
        ends.push(Some((words, buckets.len())));
        Ok(())
    }

    fn missing(&mut self) {
        self.documents.ends.push(None);
    }

    fn take(&mut self) -> Documents {
        std::mem::take(&mut self.documents)
    }
}

/// The counts of the first documents, up to the one with the last wanted word.
pub struct Prefix {
    /// The sum so far.
    pub counts: Counts,
    /// Records up to there.
    pub rows: u64,
    /// Bad records among them.
    pub bad: u64,
    words_max: u64,
}

impl Prefix {
    /// Nothing counted yet; to stop at `words_max` words.
    pub fn new(parameters: &Parameters, words_max: u64) -> Prefix {
        Prefix { counts: Counts::new(parameters), rows: 0, bad: 0, words_max }
    }

    /// Adds the next documents; breaks when there are words enough.
    pub fn add(&mut self, documents: &Documents) -> ControlFlow<()> {
        let mut start = 0;
        for document in &documents.ends {
            if self.counts.words >= self.words_max {
                break;
            }
            self.rows += 1;
            let &Some((words, end)) = document else {
                self.bad += 1;
                continue;
            };
            documents.buckets[start..end].iter().for_each(|&bucket| self.counts.counts[bucket as usize] += 1);
            self.counts.words += words;
            self.counts.documents += 1;
            start = end;
        }
        if self.counts.words >= self.words_max { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// Writes each document as a row of `bucket:count` pairs.
pub struct SparseRows {
    rows: Vec<u8>,
    buckets: Vec<u32>,
    reader: Reader,
    features: Features,
}

impl SparseRows {
    /// No rows yet.
    pub fn new(parameters: &Parameters, reader: Reader) -> SparseRows {
        SparseRows { rows: Vec::new(), buckets: Vec::new(), reader, features: Features::new(parameters) }
    }
}

impl Worker for SparseRows {
    type Out = Vec<u8>;

    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        let text = self.reader.text(line)?;
        self.buckets.clear();
        self.features.each(text, |buckets| self.buckets.extend_from_slice(buckets))?;
        self.buckets.sort_unstable();
        for (place, equal) in self.buckets.chunk_by(|a, b| a == b).enumerate() {
            if place > 0 {
                self.rows.push(b' ');
            }
            write_integer(u64::from(equal[0]), &mut self.rows);
            self.rows.push(b':');
            write_integer(equal.len() as u64, &mut self.rows);
        }
        self.rows.push(b'\n');
        Ok(())
    }

    fn missing(&mut self) {
        self.rows.extend_from_slice(b"nan\n");
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.rows)
    }
}

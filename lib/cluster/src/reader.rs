//! Rows as they come in: read, checked, counted, and those left out that do not take part.

use crate::vector::check;
use crate::weights::Weights;
use compute::kmeans::{Block, Metric, WEIGHT_ONE};
use pipe::failure::Failure;
use pipe::key::{noise_bits, uniform};
use pipe::settings::OnError;
use pipe::vectors::Vectors;
use std::path::PathBuf;

/// Which rows take part.
pub struct Filter {
    /// Under the cosine a row of zeros is a bad record.
    pub metric: Metric,
    /// What a bad record does.
    pub on_error: OnError,
    /// The share of rows that take part; `None`: all.
    pub sample: Option<f64>,
    /// Seed of the sample.
    pub seed: u64,
    /// The column of weights; `None`: all weigh the same.
    pub weights: Option<PathBuf>,
}

/// How many rows there were.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counts {
    /// All rows.
    pub rows: u64,
    /// Rows without a vector or weight, bad ones included.
    pub missing: u64,
    /// Bad rows that were skipped.
    pub bad: u64,
    /// The place of the first bad row and what was wrong with it.
    pub first_bad: Option<String>,
    /// Rows that take part.
    pub used: u64,
}

/// The rows of the input, one after the other.
pub struct Reader {
    vectors: Vectors,
    dim: usize,
    filter: Filter,
    weights: Option<Weights>,
    /// What was read so far, from the start.
    pub counts: Counts,
    /// Rows that were read and not given out yet: their values, and the first that is left.
    read: Vec<f32>,
    read_weights: Vec<Option<u64>>,
    left: usize,
    /// Rows in `read`.
    rows: usize,
}

/// Rows are read in this many values at once, or one row.
const READ: usize = 1 << 18;

impl Reader {
    /// Rows of `dim` values.
    ///
    /// # Errors
    /// Where the weights cannot be opened.
    pub fn open(vectors: Vectors, dim: usize, filter: Filter) -> Result<Reader, Failure> {
        let weights = filter.weights.as_deref().map(Weights::open).transpose()?;
        let (counts, read, read_weights) = (Counts::default(), Vec::new(), Vec::new());
        Ok(Reader { vectors, dim, filter, weights, counts, read, read_weights, left: 0, rows: 0 })
    }

    /// Values of a row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Whether the input can be read again.
    pub fn rereadable(&self) -> bool {
        self.vectors.rereadable() && self.filter.weights.as_ref().is_none_or(|path| path.is_file())
    }

    /// How many rows there are, those left out included, where that is known.
    pub fn rows_total(&self) -> Option<u64> {
        self.vectors.rows_total()
    }

    /// Bytes that were read.
    pub fn bytes(&self) -> u64 {
        self.vectors.bytes()
    }

    /// Goes back to the first row.
    ///
    /// # Errors
    /// Where the files cannot be read again.
    ///
    /// # Panics
    /// Where the input is not [rereadable](Reader::rereadable).
    pub fn rewind(&mut self) -> Result<(), Failure> {
        self.counts = Counts::default();
        (self.left, self.rows) = (0, 0);
        self.weights = self.filter.weights.as_deref().map(Weights::open).transpose()?;
        self.vectors.rewind()
    }

    /// Adds rows to the block until it has `rows`, or there are no more. `false`: it has none.
    ///
    /// # Errors
    /// Where rows cannot be read or, by the [`Filter`], are bad.
    pub fn fill(&mut self, block: &mut Block, rows: usize) -> Result<bool, Failure> {
        while block.rows() < rows {
            if self.left == self.rows && !self.read()? {
                break;
            }
            while self.left < self.rows && block.rows() < rows {
                self.take(block)?;
            }
        }
        Ok(block.rows() > 0)
    }

    /// Reads more rows; `false` at the end.
    fn read(&mut self) -> Result<bool, Failure> {
        self.rows = self.vectors.next(&mut self.read, (READ / self.dim).max(1))?;
        self.left = 0;
        match &mut self.weights {
            Some(weights) if self.rows > 0 => weights.next(self.rows, &mut self.read_weights)?,
            // At the end, but once: what was checked is taken away.
            Some(_) => self.weights.take().map_or(Ok(()), |weights| weights.end(self.counts.rows))?,
            None => {}
        }
        Ok(self.rows > 0)
    }

    /// Gives the next row to the block, if it takes part.
    fn take(&mut self, block: &mut Block) -> Result<(), Failure> {
        let (place, number) = (self.left, self.counts.rows);
        let row = &self.read[place * self.dim..][..self.dim];
        self.left += 1;
        self.counts.rows += 1;
        let weight = if self.weights.is_some() { self.read_weights[place] } else { Some(WEIGHT_ONE) };
        let weight = match (check(row, self.filter.metric), weight) {
            (Ok(()), Some(weight)) => weight,
            (Ok(()), None) | (Err(None), _) => {
                self.counts.missing += 1;
                return Ok(());
            }
            (Err(Some(why)), _) => {
                let why = format!("{}: {why}", self.vectors.place(place));
                if self.filter.on_error == OnError::Fail {
                    return Err(Failure::work(why));
                }
                self.counts.missing += 1;
                self.counts.bad += 1;
                self.counts.first_bad.get_or_insert(why);
                return Ok(());
            }
        };
        if self.filter.sample.is_none_or(|share| in_sample(self.filter.seed, number, share)) {
            self.counts.used += 1;
            block.numbers.push(number);
            block.weights.push(weight);
            block.values.extend_from_slice(row);
        }
        Ok(())
    }
}

/// Whether a row belongs to a sample of that share: a larger share contains the smaller one.
fn in_sample(seed: u64, number: u64, share: f64) -> bool {
    uniform(noise_bits(seed, "kmeans-sample", number)) < share
}

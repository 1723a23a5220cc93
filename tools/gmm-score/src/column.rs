//! The column of log-likelihoods, in blocks, in the order of the vectors.

use cluster::blocks::PlacedBlock;
use cluster::vector::check;
use compute::kmeans::Metric;
use compute::mixture::{Cpu, Posterior, Scratch};
use pipe::column::write_number;
use pipe::crew::Hand;
use pipe::failure::Failure;
use pipe::lines::Tally;
use pipe::settings::OnError;
use std::convert::Infallible;
use std::sync::Arc;

/// What the column shows.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Responsibilities, too.
    pub responsibilities: bool,
    /// What becomes of bad rows.
    pub on_error: OnError,
}

/// Writes lines for blocks, on one thread.
pub struct Writer {
    mixture: Arc<Cpu>,
    against: Option<Arc<Cpu>>,
    column: Column,
    scratch: Scratch,
    /// Of the rows of a block, what is taken away.
    others: Vec<f64>,
}

/// What becomes of a block.
#[derive(Default)]
pub struct Done {
    /// The lines.
    pub text: Vec<u8>,
    /// The scores of the rows that have one.
    scores: Vec<f64>,
    rows: u64,
    missing: u64,
    bad: u64,
    decided: u64,
    first_bad: Option<String>,
    bytes: u64,
}

impl Writer {
    /// Scores of one mixture, or of one against another.
    pub fn new(mixture: Arc<Cpu>, against: Option<Arc<Cpu>>, column: Column) -> Writer {
        Writer { mixture, against, column, scratch: Scratch::default(), others: Vec::new() }
    }

    /// Finds what is taken away from the score of each row.
    fn find_others(&mut self, values: &[f32], rows: usize) -> u64 {
        self.others.clear();
        let Some(against) = &self.against else {
            self.others.resize(rows, 0.0);
            return 0;
        };
        let others = &mut self.others;
        let keep = |_: usize, _: &[f32], found: &Posterior| {
            others.push(found.log_likelihood);
            Ok::<_, Infallible>(())
        };
        let Ok(decided) = against.posteriors(values, &mut self.scratch, keep);
        decided
    }
}

impl Hand for Writer {
    type Job = PlacedBlock;
    type Done = Done;

    fn work(&mut self, block: PlacedBlock) -> Done {
        let mut done = Done { bytes: block.bytes, ..Done::default() };
        let view = block.block.view(0);
        done.decided = self.find_others(view.values, view.len());
        let (column, k, others) = (self.column, self.mixture.k(), &self.others);
        let take = |i: usize, row: &[f32], found: &Posterior| {
            // Where both are minus infinity, that is none.
            done.take(row, found, found.log_likelihood - others[i], column, k, || block.place_of(view.numbers[i]));
            Ok::<_, Infallible>(())
        };
        let Ok(decided) = self.mixture.posteriors(view.values, &mut self.scratch, take);
        done.decided += decided;
        done
    }
}

impl Done {
    /// Takes the next row. After one that ends the run there are no lines.
    fn take(
        &mut self,
        row: &[f32],
        found: &Posterior,
        score: f64,
        column: Column,
        k: usize,
        place: impl Fn() -> String,
    ) {
        let why = match check(row, Metric::Euclidean) {
            Ok(()) if score.is_finite() => Ok(score),
            Ok(()) => Err(Some("too far out: the logarithm of its density is no 64-bit float".to_string())),
            Err(why) => Err(why),
        };
        self.rows += 1;
        match &why {
            Ok(score) => self.scores.push(*score),
            Err(None) => self.missing += 1,
            Err(Some(why)) => {
                self.first_bad.get_or_insert_with(|| format!("{}: {why}", place()));
                self.bad += 1;
            }
        }
        if self.first_bad.is_none() || column.on_error == OnError::Skip {
            write_number(why.clone().unwrap_or(f64::NAN), &mut self.text);
            if column.responsibilities {
                write_responsibilities(why.is_ok().then_some(&found.parts), k, &mut self.text);
            }
            self.text.push(b'\n');
        }
    }
}

fn write_responsibilities(parts: Option<&Vec<(u32, f64)>>, k: usize, out: &mut Vec<u8>) {
    let mut parts = parts.map(|parts| parts.iter().copied().peekable());
    for j in 0..k as u32 {
        out.push(b'\t');
        let share = match &mut parts {
            Some(parts) => parts.next_if(|part| part.0 == j).map_or(0.0, |part| part.1),
            None => f64::NAN,
        };
        write_number(share, out);
    }
}

/// What all rows came to, in the order of the rows.
#[derive(Default)]
pub struct Outcome {
    /// Rows, bad rows, bytes.
    pub tally: Tally,
    /// Rows that were missing.
    pub rows_missing: u64,
    /// Log densities that were computed in 64 bits.
    pub decided: u64,
    sum: f64,
}

impl Outcome {
    /// Adds the next block. Fails where a row is bad and bad rows are not skipped.
    pub fn add(&mut self, done: Done, on_error: OnError) -> Result<(), Failure> {
        self.tally.add(done.rows, done.bad, done.first_bad, on_error)?;
        self.tally.bytes = done.bytes;
        self.rows_missing += done.missing;
        self.decided += done.decided;
        // One after the other, so that this number does not depend on blocks either.
        done.scores.iter().for_each(|score| self.sum += score);
        Ok(())
    }

    /// The mean score of the rows that have one.
    pub fn mean(&self) -> f64 {
        self.sum / (self.tally.rows - self.rows_missing - self.tally.bad) as f64
    }
}

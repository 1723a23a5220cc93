//! The column of the nearest centroids, in blocks, in the order of the vectors.

use assign::Worker;
use cluster::blocks::PlacedBlock;
use cluster::vector::why_bad;
use compute::kmeans::{Assigned, Metric, Nearest};
use pipe::crew::Hand;
use pipe::failure::Failure;
use pipe::lines::Tally;
use pipe::settings::OnError;
use std::io::Write;

/// What the column shows.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Similarities instead of distances.
    pub similarity: bool,
    /// What becomes of bad rows.
    pub on_error: OnError,
}

/// Writes lines for blocks, on one thread.
pub struct Writer {
    /// Where the rows go.
    pub worker: Worker,
    /// What is written.
    pub column: Column,
}

/// What becomes of a block.
#[derive(Default)]
pub struct Done {
    /// The lines.
    pub text: Vec<u8>,
    /// Distances of the rows that have one.
    distances: Vec<f64>,
    rows: u64,
    missing: u64,
    bad: u64,
    reranked: u64,
    first_bad: Option<String>,
    /// Why it was not all done: the device was lost.
    lost: Option<Failure>,
    bytes: u64,
}

impl Done {
    /// Takes the next row. After one that ends the run there are no lines.
    fn take(&mut self, row: &Assigned, column: Column, block: &PlacedBlock) {
        match row.nearest[0].cluster {
            Nearest::NONE => match why_bad(row.row) {
                None => self.missing += 1,
                Some(why) => {
                    self.first_bad.get_or_insert_with(|| format!("{}: {why}", block.place_of(row.number)));
                    self.bad += 1;
                }
            },
            _ => self.distances.push(row.nearest[0].distance),
        }
        self.rows += 1;
        if self.first_bad.is_none() || column.on_error == OnError::Skip {
            write(row.nearest, column.similarity, &mut self.text);
        }
    }
}

fn write(nearest: &[Nearest], similarity: bool, out: &mut Vec<u8>) {
    for (place, found) in nearest.iter().enumerate() {
        let between = if place == 0 { "" } else { "\t" };
        let written = match (found.cluster, similarity) {
            (Nearest::NONE, _) => write!(out, "{between}-1\tnan"),
            (cluster, false) => write!(out, "{between}{cluster}\t{}", found.distance as f32 + 0.0),
            (cluster, true) => write!(out, "{between}{cluster}\t{}", (1.0 - found.distance) as f32 + 0.0),
        };
        written.expect("writing to memory cannot fail");
    }
    out.push(b'\n');
}

impl Hand for Writer {
    type Job = PlacedBlock;
    type Done = Done;

    fn work(&mut self, block: PlacedBlock) -> Done {
        let mut done = Done { bytes: block.bytes, ..Done::default() };
        let mut take = |row: &Assigned| {
            done.take(row, self.column, &block);
            Ok(())
        };
        let assigned = self.worker.assign(block.block.view(0), &mut take).and_then(|()| self.worker.flush(&mut take));
        if let Err(why) = assigned {
            return Done { lost: Some(why), ..Done::default() };
        }
        done.reranked = self.worker.take_reranked();
        done
    }
}

/// What all rows came to, in the order of the rows.
#[derive(Default)]
pub struct Outcome {
    /// Rows, bad rows, bytes.
    pub tally: Tally,
    /// Rows that were missing.
    pub rows_missing: u64,
    reranked: u64,
    distance: f64,
    distance_sq: f64,
}

impl Outcome {
    /// Adds the next block. Fails where its device was lost, or a row is bad and bad rows are not skipped.
    pub fn add(&mut self, done: Done, on_error: OnError) -> Result<(), Failure> {
        if let Some(why) = done.lost {
            return Err(why);
        }
        self.tally.add(done.rows, done.bad, done.first_bad, on_error)?;
        self.tally.bytes = done.bytes;
        self.rows_missing += done.missing;
        self.reranked += done.reranked;
        // One after the other, so that these numbers do not depend on blocks either.
        for distance in done.distances {
            self.distance += distance;
            self.distance_sq += distance * distance;
        }
        Ok(())
    }

    /// The sum that k-means makes small.
    pub fn inertia(&self, metric: Metric) -> f64 {
        match metric {
            Metric::Cosine => self.distance,
            Metric::Euclidean => self.distance_sq,
        }
    }

    /// Of the rows that have one.
    pub fn mean_distance(&self) -> f64 {
        self.distance / (self.tally.rows - self.rows_missing - self.tally.bad) as f64
    }

    /// The share of rows that were re-ranked.
    pub fn reranked_share(&self) -> f64 {
        self.reranked as f64 / self.tally.rows as f64
    }
}

//! What a thread does with a block of vectors.

use crate::table::{Looked, Table};
use cluster::rows::{check, why_bad};
use cluster::sums::Partial;
use cluster::weights::Weights;
use compute::kmeans::{Metric, Nearest, Outlier, Sums, Totals, WEIGHT_ONE};
use pipe::crew::Hand;
use pipe::failure::Failure;
use pipe::lines::Tally;
use pipe::settings::OnError;
use pipe::vectors::{Place, Vectors};
use std::io::Write;
use std::sync::mpsc::{Receiver, Sender, channel};

/// Values of a block, about: 1 MB.
const BLOCK: usize = 1 << 18;

/// Values of a block for a GPU: 16 MB. A few such blocks fill it.
const BLOCK_GPU: usize = 1 << 22;

/// Rows of a block at the most, so that short vectors do not make long texts.
const ROWS_MAX: usize = 1 << 14;

/// A block of vectors.
pub struct Job {
    rows: Vec<f32>,
    count: usize,
    /// The weight of each, `None` where it is missing; empty: there is no column of weights.
    weights: Vec<Option<u64>>,
    place: Place,
    /// Bytes of input up to its end.
    bytes: u64,
    spent: Sender<Vec<f32>>,
}

impl Job {
    /// The weights for a table that adds up every row that has a cluster: rows without one become missing.
    fn take_weights(&mut self, dim: usize, metric: Metric) -> Vec<u64> {
        for (row, weight) in self.rows.chunks_exact_mut(dim).zip(&self.weights) {
            // What is bad is said all the same.
            if weight.is_none() && check(row, metric).is_ok() {
                row.fill(f32::NAN);
            }
        }
        self.weights.iter().map(|weight| weight.unwrap_or(0)).collect()
    }
}

/// What becomes of it.
#[derive(Default)]
pub struct Done {
    /// The column.
    pub text: Vec<u8>,
    /// Distances of the rows that have one.
    distances: Vec<f64>,
    rows: u64,
    missing: u64,
    bad: u64,
    second_look: u64,
    first_bad: Option<String>,
    /// Why nothing was done: the device was lost.
    lost: Option<String>,
    bytes: u64,
}

/// Reads blocks, and the weights beside them.
pub struct Jobs {
    vectors: Vectors,
    weights: Option<Weights>,
    dim: usize,
    rows_max: usize,
}

impl Jobs {
    /// Of all these vectors, of which each gets `top` pairs, for a GPU or not.
    pub fn new(vectors: Vectors, weights: Option<Weights>, dim: usize, top: usize, gpu: bool) -> Jobs {
        let block = if gpu { BLOCK_GPU } else { BLOCK };
        // A pair is held in as many bytes as four values.
        Jobs { vectors, weights, dim, rows_max: (block / dim.max(4 * top)).clamp(1, ROWS_MAX) }
    }

    /// Values of a vector.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Size of everything, where it is known.
    pub fn bytes_total(&self) -> Option<u64> {
        self.vectors.bytes_total()
    }

    /// The blocks, one a call. Threads give the memory of a block back when they are done with it.
    pub fn dealt(mut self) -> impl FnMut() -> Option<Result<Job, Failure>> + Send + 'static {
        let (spent, unused) = channel();
        move || self.next(&spent, &unused).transpose()
    }

    fn next(&mut self, spent: &Sender<Vec<f32>>, unused: &Receiver<Vec<f32>>) -> Result<Option<Job>, Failure> {
        let mut rows = unused.try_recv().unwrap_or_default();
        let count = self.vectors.next(&mut rows, self.rows_max)?;
        if count == 0 {
            let rows = self.vectors.rows_overall();
            return self.weights.take().map_or(Ok(()), |weights| weights.end(rows)).map(|()| None);
        }
        let (place, mut weights) = (self.vectors.last(), Vec::new());
        if let Some(column) = &mut self.weights {
            column.pass_to(place.row_overall)?;
            column.next(count, &mut weights)?;
        }
        Ok(Some(Job { rows, count, weights, place, bytes: self.vectors.bytes(), spent: spent.clone() }))
    }
}

/// What the column shows.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Similarities instead of distances.
    pub similarity: bool,
    /// Centroids a row.
    pub top: usize,
    /// Whether there is one at all.
    pub wanted: bool,
}

/// Assigns blocks on one thread.
pub struct Assignment {
    table: Table,
    dim: usize,
    column: Column,
    partial: Option<Partial>,
    on_error: OnError,
    found: Vec<Nearest>,
}

impl Assignment {
    /// No rows yet; what they add up to goes into `partial`, unless it stays with the table.
    pub fn new(table: Table, dim: usize, column: Column, partial: Option<Partial>, on_error: OnError) -> Assignment {
        Assignment { table, dim, column, partial, on_error, found: Vec::new() }
    }

    /// What all rows came to.
    pub fn into_partial(self) -> Option<Partial> {
        self.partial
    }

    /// Finds the centroids, `top` a row.
    fn find(&mut self, job: &mut Job) -> Result<Looked, String> {
        self.found.clear();
        self.found.resize(job.count * self.column.top, Nearest::MISSING);
        let summing = self.partial.as_ref().filter(|_| self.table.sums() && !job.weights.is_empty());
        let weights = summing.map(|partial| job.take_weights(self.dim, partial.sums.metric));
        let looked = self.table.find(&job.rows, weights.as_deref(), self.column.top, &mut self.found);
        looked.map_err(|failure| failure.message)
    }

    /// Takes the row into account that has this for nearest. `false`: the row is missing. The error says why the row is bad.
    fn take(&mut self, row: &[f32], found: Nearest, weight: Option<u64>, looked: &Looked) -> Result<bool, String> {
        if found.cluster == Nearest::NONE {
            return why_bad(row).map_or(Ok(false), Err);
        }
        let Some(partial) = &mut self.partial else { return Ok(true) };
        let Some(weight) = weight else { return Ok(false) };
        let added = if !self.table.sums() {
            partial.add(row, found, weight)
        } else if looked.outliers && !fits(row, weight, &partial.sums) {
            Err(Outlier)
        } else {
            if weight > 0 {
                partial.farthest.add(row, found);
            }
            Ok(())
        };
        let too_far = |_| "too far out for sums: more than 2^19 times as far as any centroid".to_string();
        added.map(|()| true).map_err(too_far)
    }

    fn write(&self, found: &[Nearest], out: &mut Vec<u8>) {
        for (place, found) in found.iter().enumerate() {
            let between = if place == 0 { "" } else { "\t" };
            let written = match (found.cluster, self.column.similarity) {
                (Nearest::NONE, _) => write!(out, "{between}-1\tnan"),
                (cluster, false) => write!(out, "{between}{cluster}\t{}", found.distance as f32 + 0.0),
                (cluster, true) => write!(out, "{between}{cluster}\t{}", (1.0 - found.distance) as f32 + 0.0),
            };
            written.expect("writing to memory cannot fail");
        }
        out.push(b'\n');
    }
}

/// Whether such sums can take the row.
fn fits(row: &[f32], weight: u64, sums: &Sums) -> bool {
    let mut alone = Sums { totals: vec![Totals::default()], coordinates: vec![0; sums.dim], ..*sums };
    alone.add(row, Nearest { cluster: 0, distance: 0.0 }, weight).is_ok()
}

impl Hand for Assignment {
    type Job = Job;
    type Done = Done;

    fn work(&mut self, mut job: Job) -> Done {
        let looked = match self.find(&mut job) {
            Ok(looked) => looked,
            Err(why) => return Done { lost: Some(why), ..Done::default() },
        };
        let found = std::mem::take(&mut self.found);
        let (mut text, mut distances, mut first_bad) = (Vec::new(), Vec::with_capacity(job.count), None);
        let (mut rows, mut missing, mut bad) = (0, 0, 0);
        for (i, (row, found)) in job.rows.chunks_exact(self.dim).zip(found.chunks_exact(self.column.top)).enumerate() {
            let weight = if job.weights.is_empty() { Some(WEIGHT_ONE) } else { job.weights[i] };
            match self.take(row, found[0], weight, &looked) {
                Ok(true) => distances.push(found[0].distance),
                Ok(false) => missing += 1,
                Err(why) => {
                    first_bad.get_or_insert_with(|| format!("{}: {why}", job.place.of(i)));
                    if self.on_error == OnError::Fail {
                        break;
                    }
                    bad += 1;
                }
            }
            rows += 1;
            if self.column.wanted {
                self.write(found, &mut text);
            }
        }
        self.found = found;
        // Nobody takes memory back once all is read.
        let _ = job.spent.send(job.rows);
        Done {
            text,
            distances,
            rows,
            missing,
            bad,
            second_look: looked.second as u64,
            first_bad,
            lost: None,
            bytes: job.bytes,
        }
    }
}

/// What all rows came to, in the order of the rows.
#[derive(Default)]
pub struct Outcome {
    /// Rows, bad rows, bytes.
    pub tally: Tally,
    /// Rows that were missing.
    pub rows_missing: u64,
    second_look: u64,
    distance: f64,
    distance_sq: f64,
}

impl Outcome {
    /// Adds the next block; a lost device ends the run, and a bad row does unless bad rows are skipped.
    pub fn add(&mut self, done: Done, on_error: OnError) -> Result<(), Failure> {
        if let Some(why) = done.lost {
            return Err(Failure::Work(why));
        }
        if let Some(why) = done.first_bad {
            if on_error == OnError::Fail {
                return Err(Failure::Work(why));
            }
            self.tally.first_bad.get_or_insert(why);
        }
        self.tally.rows += done.rows;
        self.tally.bad += done.bad;
        self.tally.bytes = done.bytes;
        self.rows_missing += done.missing;
        self.second_look += done.second_look;
        // One after the other, so that these numbers do not depend on blocks either.
        for distance in done.distances {
            self.distance += distance;
            self.distance_sq += distance * distance;
        }
        Ok(())
    }

    /// Inertia, sum of the distances, rows that have one.
    pub fn distances(&self, metric: Metric) -> (f64, f64, f64) {
        let inertia = match metric {
            Metric::Cosine => self.distance,
            Metric::Euclidean => self.distance_sq,
        };
        (inertia, self.distance, (self.tally.rows - self.rows_missing - self.tally.bad) as f64)
    }

    /// The share of rows that needed the second look.
    pub fn second_look_share(&self) -> f64 {
        self.second_look as f64 / self.tally.rows as f64
    }
}

//! Mini-batches: the centroids move after each batch of rows (Sculley 2010; the cumulative means of scikit-learn's
//! MiniBatchKMeans).
//!
//! Each cluster keeps the sum and the weight of all rows that it ever got; its centroid is their mean (their
//! direction). The first centroids come from the first rows, [`first_rows`] of them, and their share in a sum ends with
//! the first row a cluster gets. Sums go on over all passes: where each pass began anew, rows in an order (documents by
//! kind, say) drew the centroids after the batch at hand, and the inertia over 60,000 embeddings came out 1.3 % higher
//! after 10 passes.
//!
//! # Stability
//!
//! The unit of the sums follows, instead of the centroids that move, the first rows: `2^E` is the smallest power of two
//! above every absolute value among them. A cluster that never got a row is empty; after each batch
//! [`cluster::empties`] applies; the cluster that was halved is where its sum says again after the next batch. What is
//! written of sizes, inertia and distances is of the rows as they passed, in the last pass, each with the centroids of
//! its moment: one pass cannot know more.

use crate::gauge::Gauge;
use assign::Devices;
use cluster::empties::Empty;
use cluster::fit::{Measure, State, Stopping, Summary};
use cluster::rows::Rows;
use cluster::sums::Partial;
use compute::kmeans::{BlockView, Centroids, Totals};
use pipe::failure::Failure;
use std::ops::ControlFlow;

/// Rows that the first centroids come from: three batches or 3 K rows, what is more, in whole batches.
pub fn first_rows(batch: usize, k: usize) -> usize {
    (3 * batch).max(3 * k).next_multiple_of(batch)
}

/// How to go over rows in batches.
pub struct Batches<'a> {
    /// Where they are assigned.
    pub devices: &'a Devices,
    /// On so many threads.
    pub threads: usize,
    /// Rows of a batch.
    pub rows: usize,
    /// The unit of the sums, from the first rows.
    pub exponent: i32,
    /// When to end.
    pub stopping: Stopping,
    /// What becomes of empty clusters.
    pub empty: Empty,
}

impl Batches<'_> {
    /// Goes over the rows in batches, once or more often. Returns how many rows were re-ranked in all. Fails where rows
    /// cannot be read, or are bad, or cannot be added up, or a GPU fails.
    pub fn fit(&self, rows: &mut Rows, state: &mut State, mut gauge: Gauge) -> Result<u64, Failure> {
        let (mut all, mut reranked) = (nothing(&state.centroids, self.exponent), 0);
        loop {
            let before = all.sums.totals.clone();
            rows.in_order(self.rows, |batch| {
                let (partial, more) = self.assign(batch, &state.centroids)?;
                reranked += more;
                gauge.pass(batch.len() as u64);
                all.merge(&partial).map_err(Failure::work)?;
                // Rows of earlier batches were far from where centroids were then.
                all.farthest = partial.farthest;
                state.move_centroids(&all, self.empty);
                Ok(ControlFlow::Continue(()))
            })?;
            let mut pass = all.clone();
            pass.sums.totals = all.sums.totals.iter().zip(&before).map(|(now, before)| since(now, before)).collect();
            pass.rows_missing = rows.counts.missing;
            state.iterations += 1;
            state.history.push(Measure::of(&pass));
            if self.stopping.ends(state.iterations, &state.history) {
                state.summary = Some(Summary::of(&pass));
                return Ok(reranked);
            }
            gauge.next(rows.counts.used, state.history.last().map(|measure| measure.inertia));
        }
    }

    /// What a batch comes to, and how many of its rows were re-ranked.
    fn assign(&self, mut batch: BlockView, centroids: &Centroids) -> Result<(Partial, u64), Failure> {
        let pass = self.devices.summing_pass(centroids, nothing(centroids, self.exponent), None)?;
        pass.add_up(&mut batch, self.threads)
    }
}

/// Sums of no rows. They are not those of one model, since the centroids move.
fn nothing(centroids: &Centroids, exponent: i32) -> Partial {
    let mut partial = Partial::new(centroids);
    partial.model = 0;
    partial.sums.exponent = exponent;
    partial
}

/// What came to the totals since.
fn since(now: &Totals, before: &Totals) -> Totals {
    Totals {
        rows: now.rows - before.rows,
        weight: now.weight - before.weight,
        distance: now.distance - before.distance,
        distance_sq: now.distance_sq - before.distance_sq,
        reach: now.reach - before.reach,
    }
}

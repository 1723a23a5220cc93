//! Mini-batches: the centroids move after each batch of rows (Sculley 2010; the cumulative means of scikit-learn's MiniBatchKMeans).
//!
//! Each cluster keeps the sum and the weight of all rows that it ever got; its centroid is their mean (their direction). The first
//! centroids come from the first rows, [`first_rows`] of them, and their share in a sum ends with the first row a cluster gets.
//! Sums go on over all passes: where each pass began anew, rows in an order (documents by kind, say) drew the centroids after the batch at
//! hand, and the inertia over 60,000 embeddings came out 1.3 % higher after 10 passes.
//!
//! # Stability
//!
//! The unit of the sums follows, instead of the centroids that move, the first rows: `2^E` is the smallest power of two above every
//! absolute value among them. A cluster that never got a row is empty; after each batch [`crate::empties`] applies; the cluster that was halved is
//! where its sum says again after the next batch. What is written of sizes, inertia and distances is of the rows as they passed, in the last
//! pass, each with the centroids of its moment: one pass cannot know more.

use crate::block::{View, block_rows};
use crate::empties::{Empty, next};
use crate::fit::{Adder, Measure, Rule, State, together};
use crate::gpus::Gpus;
use crate::rows::Rows;
use cluster::sums::Partial;
use compute::kmeans::{Centroids, Cpu, Metric, Totals, unit_exponent};
use pipe::failure::Failure;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Rows that the first centroids come from: three batches or 3 K rows, what is more, in whole batches.
pub fn first_rows(batch: usize, k: usize) -> usize {
    (3 * batch).max(3 * k).next_multiple_of(batch)
}

/// The unit of the sums, from the first rows.
pub fn unit(metric: Metric, dim: usize, values: Vec<f32>) -> i32 {
    unit_exponent(&Centroids { metric, dim, values })
}

/// Goes over the rows in batches, once or more often. Gives what the rows of the last pass came to as they passed, and how many needed
/// a second look in all.
pub fn fit(rows: &mut Rows, state: &mut State, plan: &Plan) -> Result<(Partial, u64), Failure> {
    let (mut all, mut looks) = (nothing(&state.centroids, plan.exponent), 0);
    let (threads, gpus) = (rows.threads, rows.gpus.clone());
    loop {
        let before = all.sums.totals.clone();
        rows.in_order(plan.batch, |view| {
            let (partial, more) = assign(view, &state.centroids, plan.exponent, threads, gpus.as_deref())?;
            looks += more;
            all.merge(&partial).map_err(Failure::work)?;
            // Rows of earlier batches were far from where centroids were then.
            all.farthest = partial.farthest;
            let (centroids, repairs) = next(&state.centroids, &all, plan.empty);
            state.centroids = centroids;
            state.repairs.repaired += repairs.repaired;
            state.repairs.left = repairs.left;
            state.repairs.collapsed += repairs.collapsed;
            Ok(ControlFlow::Continue(()))
        })?;
        let mut pass = all.clone();
        pass.sums.totals = all.sums.totals.iter().zip(&before).map(|(now, before)| since(now, before)).collect();
        pass.rows_missing = rows.counts.missing;
        state.iterations += 1;
        state.history.push(Measure::of(&pass));
        if plan.rule.ends(state.iterations, &state.history) {
            return Ok((pass, looks));
        }
    }
}

/// How to go over them.
pub struct Plan {
    /// Rows of a batch.
    pub batch: usize,
    /// The [unit].
    pub exponent: i32,
    /// When to end.
    pub rule: Rule,
    /// What becomes of empty clusters.
    pub empty: Empty,
}

/// Sums of no rows. They are not those of one model, since the centroids move.
fn nothing(centroids: &Centroids, exponent: i32) -> Partial {
    let mut partial = Partial::new(centroids);
    partial.model = 0;
    partial.sums.exponent = exponent;
    partial
}

/// What a batch comes to, on several threads, perhaps on GPUs.
fn assign(
    view: View,
    centroids: &Centroids,
    exponent: i32,
    threads: usize,
    gpus: Option<&Gpus>,
) -> Result<(Partial, u64), Failure> {
    let empty = nothing(centroids, exponent);
    if let Some(gpus) = gpus {
        let mut batch = Rows::in_memory(&view.to_block(), centroids.dim, threads);
        if let Some(measured) = gpus.measure(&mut batch, centroids, &empty)? {
            return Ok(measured);
        }
        // A row is too far out: below is said which.
    }
    let (table, next) = (Cpu::new(centroids.clone()), AtomicUsize::new(0));
    let (rows, part) = (view.numbers.len(), block_rows(centroids.dim));
    let work = || {
        let mut adder = Adder::new(&table, &empty.sums);
        loop {
            let from = part * next.fetch_add(1, Ordering::Relaxed);
            if from >= rows {
                return Ok(adder);
            }
            adder.add(view.part(from..rows.min(from + part)), &mut Vec::new())?;
        }
    };
    let adders: Result<Vec<_>, Failure> = thread::scope(|scope| {
        let hands: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        hands.into_iter().map(|hand| hand.join().expect("a worker does not panic")).collect()
    });
    together(adders?, empty)
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

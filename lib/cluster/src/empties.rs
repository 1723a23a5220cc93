//! From sums to the next centroids, and what becomes of clusters without rows.
//!
//! # Stability
//!
//! A cluster is empty where its rows weigh nothing. One whose unit vectors cancel has rows and no mean: its centroid
//! stays. Empty ones, in order of their numbers:
//!
//! - `split`: each halves the cluster of the largest weight (of equals the lowest number) among those whose inertia is
//!   not 0. With c its new centroid and r the root of the mean squared distance of its rows (chords, under the cosine),
//!   the two become `c + v` and `c - v`, the latter the empty one, where `v_i = s_i r / 64 / sqrt(dim)` and `s_i` is 1
//!   or -1 as the number of one bits of `i & n` is even or odd, n counting the halvings of this cluster in this
//!   iteration from 1: so that the first tells even from odd coordinates, and those that follow go in other directions.
//!   Half of the weight (rounded down) goes to the empty one, which may be halved in turn. Where no cluster has an
//!   inertia, empty ones stay as they are.
//! - `farthest`: the rows that are farthest from their centroids, one of each cluster, farthest first (of equals the
//!   lowest cluster first), become the centroids. Rows at distance 0 do not.
//! - `keep`: they stay where they are.

use crate::sums::{Farthest, Partial};
use compute::kmeans::{Centroids, Metric, Sums};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What becomes of empty clusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Empty {
    /// Each gets half of the largest.
    #[default]
    Split,
    /// Each gets a row that is far from its centroid.
    Farthest,
    /// They stay.
    Keep,
}

impl Empty {
    /// The words that flags and files use for them.
    pub const NAMES: [(&str, Empty); 3] =
        [("split", Empty::Split), ("farthest", Empty::Farthest), ("keep", Empty::Keep)];

    /// The word for it.
    pub fn name(self) -> &'static str {
        let found = Empty::NAMES.iter().find(|(_, empty)| *empty == self);
        found.expect("every way has a name").0
    }
}

/// What happened to empty clusters and the like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Repairs {
    /// Empty clusters that got a new centroid.
    pub repaired: u64,
    /// Empty clusters that did not.
    pub left: u64,
    /// Clusters with rows that have no mean.
    pub collapsed: u64,
}

/// The centroids of what was added up.
pub fn next(centroids: &Centroids, partial: &Partial, empty: Empty) -> (Centroids, Repairs) {
    let (sums, dim) = (&partial.sums, centroids.dim);
    let (mut values, mut repairs, mut empties) = (centroids.values.clone(), Repairs::default(), Vec::new());
    for (j, place) in values.chunks_exact_mut(dim).enumerate() {
        match sums.centroid(j) {
            Some(mean) => place.copy_from_slice(&mean),
            None if sums.totals[j].weight == 0 => empties.push(j),
            None => repairs.collapsed += 1,
        }
    }
    repairs.repaired = match empty {
        Empty::Split => split(&mut values, sums, &empties),
        Empty::Farthest => farthest(&mut values, dim, &partial.farthest, sums.totals.len(), &empties),
        Empty::Keep => 0,
    };
    repairs.left = empties.len() as u64 - repairs.repaired;
    let next = Centroids::new(centroids.metric, dim, values).expect("means of finite rows are finite");
    (next, repairs)
}

fn split(values: &mut [f32], sums: &Sums, empties: &[usize]) -> u64 {
    if empties.is_empty() {
        return 0;
    }
    let mut radius = vec![0.0; sums.totals.len()];
    let mut halvings = vec![0_usize; sums.totals.len()];
    let mut largest = BinaryHeap::new();
    for (j, totals) in sums.totals.iter().enumerate() {
        radius[j] = spread(sums, j);
        if radius[j] > 0.0 {
            largest.push((totals.weight, Reverse(j)));
        }
    }
    for (done, &empty) in empties.iter().enumerate() {
        let Some((weight, Reverse(from))) = largest.pop() else { return done as u64 };
        halvings[from] += 1;
        let step = radius[from] / 64.0 / (sums.dim as f64).sqrt();
        let old = values[from * sums.dim..][..sums.dim].to_vec();
        for (cluster, step) in [(from, step), (empty, -step)] {
            let place = &mut values[cluster * sums.dim..][..sums.dim];
            move_from(&old, step, halvings[from], sums.metric, place);
        }
        (radius[empty], halvings[empty]) = (radius[from], halvings[from]);
        largest.push((weight - weight / 2, Reverse(from)));
        largest.push((weight / 2, Reverse(empty)));
    }
    empties.len() as u64
}

/// The root of the mean squared distance of a cluster's rows.
fn spread(sums: &Sums, cluster: usize) -> f64 {
    let alone = Sums { totals: vec![sums.totals[cluster]], coordinates: Vec::new(), ..*sums };
    let weight = sums.totals[cluster].weight as f64 / compute::kmeans::WEIGHT_ONE as f64;
    let squares = match sums.metric {
        Metric::Cosine => 2.0 * alone.inertia(),
        Metric::Euclidean => alone.inertia(),
    };
    if weight > 0.0 && squares > 0.0 { (squares / weight).sqrt() } else { 0.0 }
}

/// `old + v`; under the cosine of length 1.
fn move_from(old: &[f32], step: f64, mask: usize, metric: Metric, place: &mut [f32]) {
    let moved = old.iter().enumerate().map(|(i, &value)| {
        let odd = (i & mask).count_ones() % 2 == 1;
        f64::from(value) + if odd { -step } else { step }
    });
    let length = match metric {
        Metric::Cosine => moved.clone().map(|value| value * value).sum::<f64>().sqrt(),
        Metric::Euclidean => 1.0,
    };
    for (place, value) in place.iter_mut().zip(moved) {
        // What cannot be moved stays: a vector of length 0, or one beyond 32 bits.
        let value = (value / length) as f32;
        if value.is_finite() {
            *place = value;
        }
    }
}

fn farthest(values: &mut [f32], dim: usize, farthest: &Farthest, k: usize, empties: &[usize]) -> u64 {
    let mut rows: Vec<_> = (0..k).filter_map(|j| farthest.of(j)).filter(|&(distance, _)| distance > 0.0).collect();
    // The sort is stable: of equals the lowest cluster comes first.
    rows.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (&empty, (_, row)) in empties.iter().zip(&rows) {
        values[empty * dim..][..dim].copy_from_slice(row);
    }
    empties.len().min(rows.len()) as u64
}

//! Races: draws in proportion to a mass, without replacement, that are a function of the rows alone.

use compute::kmeans::{Centroids, Metric};
use pipe::key::{exponential, uniform};
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::fmt::Display;

/// What decides a draw.
#[derive(Debug, Clone, Copy)]
pub struct Draws {
    /// Of `--seed`.
    pub seed: u64,
    /// Which of the runs.
    pub run: u64,
}

impl Draws {
    pub(crate) fn purpose(self, draw: impl Display) -> String {
        format!("kmeans-{}-{draw}", self.run)
    }
}

/// A row that has won so far.
#[derive(Debug)]
pub(crate) struct Winner {
    key: f64,
    pub(crate) number: u64,
    pub(crate) weight: u64,
    pub(crate) values: Vec<f32>,
}

impl Ord for Winner {
    fn cmp(&self, other: &Winner) -> Ordering {
        self.key.total_cmp(&other.key).then(self.number.cmp(&other.number))
    }
}

impl PartialOrd for Winner {
    fn partial_cmp(&self, other: &Winner) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Winner {
    fn eq(&self, other: &Winner) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Winner {}

/// The best of a race so far, the worst of them on top, and the largest mass.
pub(crate) struct Race {
    count: usize,
    heap: BinaryHeap<Winner>,
    largest: f64,
}

impl Race {
    pub(crate) fn new(count: usize) -> Race {
        Race { count, heap: BinaryHeap::new(), largest: 0.0 }
    }

    pub(crate) fn offer(&mut self, bits: u64, mass: f64, (number, weight, row): (u64, u64, &[f32])) {
        self.largest = self.largest.max(mass);
        if mass <= 0.0 || mass.is_nan() {
            return;
        }
        let worst = if self.heap.len() == self.count { self.heap.peek().map(|worst| worst.key) } else { None };
        // -ln(u) is never below 1 - u: most rows need no logarithm.
        if worst.is_some_and(|worst| (1.0 - uniform(bits)) / mass > worst) {
            return;
        }
        let winner = Winner { key: exponential(bits) / mass, number, weight, values: row.to_vec() };
        self.push(winner);
    }

    /// The winners, best first.
    pub(crate) fn ended(self) -> Vec<Winner> {
        self.heap.into_sorted_vec()
    }

    fn push(&mut self, winner: Winner) {
        if self.heap.len() < self.count {
            self.heap.push(winner);
        } else if let Some(mut worst) = self.heap.peek_mut()
            && winner < *worst
        {
            *worst = winner;
        }
    }
}

/// The winners of races over parts of the rows, best first, and the largest mass.
pub(crate) fn winners(races: Vec<Race>, count: usize) -> (Vec<Winner>, f64) {
    let mut all = Race::new(count);
    for race in races {
        all.largest = all.largest.max(race.largest);
        race.heap.into_iter().for_each(|winner| all.push(winner));
    }
    let largest = all.largest;
    (all.ended(), largest)
}

/// Rows as centroids.
pub(crate) fn centroids(metric: Metric, dim: usize, values: Vec<f32>) -> Centroids {
    Centroids::new(metric, dim, values).expect("rows that take part are valid centroids")
}

/// Those of winners.
pub(crate) fn centroids_of(metric: Metric, dim: usize, winners: &[Winner]) -> Centroids {
    centroids(metric, dim, winners.iter().flat_map(|winner| winner.values.iter().copied()).collect())
}

/// How many draws are tried for the next centroid, as in scikit-learn.
pub(crate) fn trials(k: usize) -> usize {
    2 + libm::log(k as f64) as usize
}

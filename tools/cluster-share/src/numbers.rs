//! Shares as numbers of documents.

use crate::share::{self, Measure};
use crate::table::Cluster;
use pipe::apportion;

/// How shares become numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// Exactly, by a divisor method.
    Exact,
    /// By drawing clusters one after another, with this seed.
    Drawn(u64),
    /// As MiniCorpus' scripts do for this measure.
    MiniCorpus(Measure),
}

/// What the numbers depend on.
pub struct Numbers<'a> {
    /// The clusters.
    pub clusters: &'a [Cluster],
    /// Their shares, on any scale; with MiniCorpus' rounding, of the whole.
    pub shares: &'a [f64],
    /// How shares become numbers.
    pub rounding: Rounding,
    /// How often a document is taken at the most.
    pub clip: u32,
}

impl Numbers<'_> {
    /// How many each cluster gives of `total`.
    pub fn of(&self, total: u64) -> Vec<u64> {
        let limits: Vec<u64> =
            self.clusters.iter().map(|cluster| cluster.size.saturating_mul(u64::from(self.clip))).collect();
        match self.rounding {
            Rounding::Exact => apportion::exact(self.shares, &limits, total),
            Rounding::Drawn(seed) => apportion::drawn(self.shares, &limits, total, seed, "clip-turn"),
            Rounding::MiniCorpus(measure) => share::minicorpus(self.clusters, measure, self.shares, total),
        }
    }

    /// What to say where fewer are placed than were wanted.
    pub fn shortfall(&self, wanted: u64, placed: u64) -> String {
        let why = match (self.rounding, self.clip) {
            (Rounding::MiniCorpus(_), _) => "the others are dropped, as MiniCorpus does".to_string(),
            (_, 1) => "all documents are drawn".to_string(),
            (_, clip) => format!("every document is drawn {clip} times"),
        };
        format!("wanted: {wanted} documents; clusters give: {placed}; {why}")
    }
}

//! k-means: which centroid is nearest, exactly, and sums that may be added in any order.
//!
//! Every answer here is a function of the rows and the centroids alone. Two things make it so, on every machine and
//! device:
//!
//! - **Distances are decided in [`exact`]**: 64-bit floats, one stated order of additions, explicit fused multiply-add;
//!   of equal centroids the lowest number wins. A fast pass may propose, but only with a proven bound on its error:
//!   wherever the bound leaves two candidates, `exact` decides.
//! - **[`Sums`] are whole numbers** of a stated unit, so that any order, any split and any tree of additions gives the
//!   same.

mod block;
mod bounds;
mod candidates;
mod cpu;
mod earlier;
pub mod exact;
mod pairs;
mod product;
mod sparse;
mod sums;
mod table;
#[doc(hidden)]
pub mod trials;

pub use block::{Assigned, Block, BlockView, block_rows};
pub use bounds::{Bounds, Within};
pub use cpu::{Cpu, GROUP, Scratch};
pub use earlier::{Alike, Earlier};
pub use pairs::Pairs;
pub use sums::{Moves, Outlier, Sums, Totals, WEIGHT_ONE, power_of_two, summable, unit_exponent, unit_of};

/// How far two vectors are from each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// One minus the cosine of the angle between them. A vector of zeros has no direction and is near to nothing.
    Cosine,
    /// The length of their difference.
    Euclidean,
}

/// The centroids of a model: `k` rows of `dim` values, 32-bit floats.
#[derive(Debug, Clone, PartialEq)]
pub struct Centroids {
    /// What nearness means.
    pub metric: Metric,
    /// Values of a row.
    pub dim: usize,
    /// Row-major, all finite; with [`Metric::Cosine`] no row is zero.
    pub values: Vec<f32>,
}

impl Centroids {
    /// Checks what the fields promise.
    ///
    /// # Errors
    /// The first row that is in the way.
    pub fn new(metric: Metric, dim: usize, values: Vec<f32>) -> Result<Centroids, String> {
        assert!(dim > 0 && values.len().is_multiple_of(dim), "whole rows");
        for (j, row) in values.chunks_exact(dim).enumerate() {
            if let Some(i) = row.iter().position(|value| !value.is_finite()) {
                return Err(format!("centroid {j}: value {i} is {}, expected a finite number", row[i]));
            }
            if metric == Metric::Cosine && row.iter().all(|&value| value == 0.0) {
                return Err(format!("centroid {j}: all values are 0, which has no direction and so no cosine"));
            }
        }
        Ok(Centroids { metric, dim, values })
    }

    /// How many there are.
    pub fn k(&self) -> usize {
        self.values.len() / self.dim
    }

    /// Centroid `j`.
    pub fn row(&self, j: usize) -> &[f32] {
        &self.values[j * self.dim..][..self.dim]
    }
}

/// The centroid nearest to a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Nearest {
    /// Its number, or [`Nearest::NONE`].
    pub cluster: u32,
    /// Its distance by the metric; NaN where there is none.
    pub distance: f64,
}

impl Nearest {
    /// The cluster of a row that is near to nothing: a value is not finite, or all are 0 under [`Metric::Cosine`].
    pub const NONE: u32 = u32::MAX;

    /// A row without a cluster.
    pub const MISSING: Nearest = Nearest { cluster: Nearest::NONE, distance: f64::NAN };
}

/// Finds nearest centroids on some device. Threads share it; each brings its own scratch memory.
pub trait Assigner: Send + Sync {
    /// What a thread keeps from call to call.
    type Scratch: Default + Send;

    /// Writes the nearest centroid of each row of `rows` (row-major, `dim` values each, any values) into `found`, by
    /// the rule of [`exact::nearest`], bit for bit. Returns how many rows were re-ranked: those that the fast pass left
    /// more than one candidate.
    ///
    /// A cluster that stands in `found` before, from the last iteration perhaps, is a guess: it may save time and
    /// changes nothing else.
    ///
    /// # Panics
    /// Where `rows` is not `found.len()` rows.
    fn nearest(&self, rows: &[f32], found: &mut [Nearest], scratch: &mut Self::Scratch) -> usize;

    /// Writes the `count` nearest centroids of each row into `found`, `count` a row: nearest first, of equal distance
    /// the lowest number first, filled with [`Nearest::MISSING`] where there are no more.
    ///
    /// # Panics
    /// Where `rows` is not `found.len() / count` rows.
    fn nearest_several(&self, rows: &[f32], count: usize, found: &mut [Nearest], scratch: &mut Self::Scratch) -> usize;
}

/// Every distance in 64-bit floats: slow, obviously right, what all others are held against.
#[derive(Debug)]
pub struct Reference {
    centroids: Centroids,
    norms: Vec<f64>,
}

impl Reference {
    /// Takes the centroids.
    pub fn new(centroids: Centroids) -> Reference {
        let norms = exact::norms(&centroids);
        Reference { centroids, norms }
    }
}

impl Assigner for Reference {
    type Scratch = ();

    fn nearest(&self, rows: &[f32], found: &mut [Nearest], _: &mut ()) -> usize {
        assert_eq!(rows.len(), found.len() * self.centroids.dim, "whole rows");
        for (row, found) in rows.chunks_exact(self.centroids.dim).zip(&mut *found) {
            *found = exact::nearest(row, &self.centroids, &self.norms, 0..self.centroids.k() as u32);
        }
        found.len()
    }

    fn nearest_several(&self, rows: &[f32], count: usize, found: &mut [Nearest], _: &mut ()) -> usize {
        assert_eq!(rows.len() * count, found.len() * self.centroids.dim, "whole rows");
        for (row, found) in rows.chunks_exact(self.centroids.dim).zip(found.chunks_exact_mut(count)) {
            exact::nearest_several(row, &self.centroids, &self.norms, 0..self.centroids.k() as u32, found);
        }
        found.len() / count
    }
}

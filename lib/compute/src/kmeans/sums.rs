//! Sums of rows by cluster, in whole numbers of a stated unit.
//!
//! # Stability
//!
//! What centroids come out follows from these roundings, which never change between releases; all are to the nearest,
//! halves to even, and every product is one rounded multiplication in 64-bit floats.
//!
//! - The unit of coordinates is `2^(E - 32)`, where `2^E` is the smallest power of two above every absolute value of
//!   the centroids that the rows were assigned to; under [`Metric::Cosine`], where rows count as unit vectors, `E = 0`
//!   ([`unit_exponent`]).
//! - A weight w counts as `W = round(w 2^20)`, and from then on as `w' = W / 2^20`; without weights `w' = 1`.
//! - A row x adds `round(x_i s)` to coordinate `i` of its cluster, with `s = 2^(32 - E) w'`, under cosine
//!   `s = 2^32 / norm(x) w'`.
//! - A distance d adds `round(d w' 2^(40 - E))` and its square `round((d w') d 2^(40 - 2 E))`, in 128 bits.
//! - A new centroid is `sum_i / (W total) 2^(E - 12)` in 64-bit floats, rounded to 32 bits; under cosine
//!   `sum_i / norm(sum)`, the norm by the order of [`exact`](super::exact) over 64-bit floats.

use super::{Centroids, Metric, Nearest};
use crate::partial::PARTIAL;

/// A weight of 1.
pub const WEIGHT_ONE: u64 = 1 << 20;

/// The largest value that a row may add to a coordinate: what 64-bit floats round to whole numbers without a branch.
const ADDEND_MAX: f64 = (1_u64 << 51) as f64;

/// What a cluster's coordinates may reach, so that their sums are within 64 bits.
const REACH_MAX: u64 = i64::MAX as u64;

/// A row that sums of this unit cannot take: more than 2^19 times as far out as any centroid (times its weight), or one
/// row too many for 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outlier;

/// `E` of the [module's doc](self).
pub fn unit_exponent(centroids: &Centroids) -> i32 {
    unit_of(centroids.metric, &centroids.values)
}

/// The same of values.
pub fn unit_of(metric: Metric, values: &[f32]) -> i32 {
    let largest = values.iter().fold(f32::MIN_POSITIVE, |max, value| max.max(value.abs()));
    match metric {
        Metric::Cosine => 0,
        // Of a positive normal number with biased exponent b, 2^(b - 126) is the smallest power of two above.
        Metric::Euclidean => (largest.to_bits() >> 23) as i32 - 126,
    }
}

/// Whether sums of this metric and unit can take a row of this weight: whether it is no [`Outlier`].
pub fn summable(metric: Metric, exponent: i32, row: &[f32], weight: u64) -> bool {
    reach(row, Unit { metric, exponent }.scale(row, weight)).is_ok()
}

/// What one cluster's rows come to, besides coordinates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Rows.
    pub rows: u64,
    /// Their weights, in units of 2^-20.
    pub weight: u64,
    /// Their distances times weights, in units of `2^(E - 40)`.
    pub distance: i128,
    /// Their squared distances times weights, in units of `2^(2 E - 40)`.
    pub distance_sq: i128,
    /// A bound on the absolute value of every coordinate's sum.
    pub reach: u64,
}

/// Sums of the rows of `k` clusters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sums {
    /// The metric of the centroids.
    pub metric: Metric,
    /// Values of a row.
    pub dim: usize,
    /// `E` of the [module's doc](self).
    pub exponent: i32,
    /// Of each cluster.
    pub totals: Vec<Totals>,
    /// `k` rows of `dim` sums, row-major.
    pub coordinates: Vec<i64>,
}

impl Sums {
    /// Empty sums for rows that are assigned to these centroids.
    pub fn new(centroids: &Centroids) -> Sums {
        Sums {
            metric: centroids.metric,
            dim: centroids.dim,
            exponent: unit_exponent(centroids),
            totals: vec![Totals::default(); centroids.k()],
            coordinates: vec![0; centroids.values.len()],
        }
    }

    /// Adds a row to the cluster that was found for it; `weight` in units of 2^-20. A row without a cluster adds
    /// nothing.
    ///
    /// # Errors
    /// Where the row is too far out, or one too many; then nothing was added.
    pub fn add(&mut self, row: &[f32], found: Nearest, weight: u64) -> Result<(), Outlier> {
        assert_eq!(row.len(), self.dim, "values of a row");
        let unit = self.unit();
        let Some(totals) = self.totals.get_mut(found.cluster as usize) else { return Ok(()) };
        let scale = unit.scale(row, weight);
        let [distance, distance_sq] = unit.distances(found, weight);
        let one = Totals { rows: 1, weight, distance, distance_sq, reach: reach(row, scale)? };
        *totals = totals.plus(&one).ok_or(Outlier)?;
        add_rounded(&mut self.coordinates[found.cluster as usize * self.dim..][..self.dim], row, scale);
        Ok(())
    }

    /// The sums of a pass over the same rows, from these of the pass before and what has changed.
    ///
    /// # Errors
    /// More rows than 64 bits hold.
    ///
    /// # Panics
    /// Where the moves are of sums of another shape, metric or unit.
    pub fn after(&self, moves: &Moves) -> Result<Sums, Outlier> {
        assert_eq!(self.shape(), (moves.unit, self.dim, moves.totals.len()), "moves within these sums");
        let totals: Option<Vec<_>> =
            self.totals.iter().zip(&moves.totals).map(|(before, moved)| moved.from(before)).collect();
        let coordinates = self.coordinates.iter().zip(&moves.coordinates).map(|(sum, &moved)| sum.wrapping_add(moved));
        Ok(Sums { totals: totals.ok_or(Outlier)?, coordinates: coordinates.collect(), ..*self })
    }

    /// Adds what other rows came to.
    ///
    /// # Errors
    /// More rows than 64 bits hold; nothing was added.
    ///
    /// # Panics
    /// Where the sums are of another shape, metric or unit.
    pub fn merge(&mut self, other: &Sums) -> Result<(), Outlier> {
        assert_eq!(self.shape(), other.shape(), "sums of one model");
        let totals: Option<Vec<_>> = self.totals.iter().zip(&other.totals).map(|(a, b)| a.plus(b)).collect();
        self.totals = totals.ok_or(Outlier)?;
        self.coordinates.iter_mut().zip(&other.coordinates).for_each(|(a, b)| *a += b);
        Ok(())
    }

    /// The mean of a cluster's rows, under cosine its direction. `None`: a cluster without rows or weight, or whose
    /// unit vectors cancel.
    pub fn centroid(&self, cluster: usize) -> Option<Vec<f32>> {
        let totals = self.totals[cluster];
        let sums = self.coordinates[cluster * self.dim..][..self.dim].iter().map(|&sum| sum as f64);
        let mean: Vec<f32> = match self.metric {
            Metric::Euclidean => {
                let unit = power_of_two(self.exponent - 12);
                sums.map(|sum| (sum / totals.weight as f64 * unit) as f32).collect()
            }
            Metric::Cosine => {
                let norm = norm(sums.clone());
                sums.map(|sum| (sum / norm) as f32).collect()
            }
        };
        (totals.weight > 0 && mean.iter().all(|value| value.is_finite())).then_some(mean)
    }

    /// Sum of the weighted distances of all clusters.
    pub fn distance(&self) -> f64 {
        self.totals.iter().map(|totals| totals.distance).sum::<i128>() as f64 * power_of_two(self.exponent - 40)
    }

    /// What k-means makes small: Euclidean, the sum of the weighted squared distances; cosine, the sum of the weighted
    /// distances (half the squared distance of unit vectors).
    pub fn inertia(&self) -> f64 {
        match self.metric {
            Metric::Cosine => self.distance(),
            Metric::Euclidean => {
                let sum: i128 = self.totals.iter().map(|totals| totals.distance_sq).sum();
                sum as f64 * power_of_two(2 * self.exponent - 40)
            }
        }
    }

    fn unit(&self) -> Unit {
        Unit { metric: self.metric, exponent: self.exponent }
    }

    fn shape(&self) -> (Unit, usize, usize) {
        (self.unit(), self.dim, self.totals.len())
    }
}

/// What a pass over the rows changes in the [`Sums`] of the pass before.
///
/// The outcome ([`Sums::after`]) is what adding every row to empty sums gives, as sums are whole numbers; but only rows
/// that move from one cluster to another cost time. Where the rows are shared among threads, a row may leave a cluster
/// on one thread that it was counted for on another: so changes have signs, and nothing is checked before all of them
/// are together.
#[derive(Debug, Clone)]
pub struct Moves {
    unit: Unit,
    dim: usize,
    totals: Vec<Change>,
    /// Modulo 2^64: what comes of them in the end is within 64 bits where the reach is.
    coordinates: Vec<i64>,
}

/// [`Totals`] with signs; distances are those of this pass alone.
#[derive(Debug, Clone, Copy, Default)]
struct Change {
    rows: i128,
    weight: i128,
    distance: i128,
    distance_sq: i128,
    reach: i128,
}

impl Moves {
    /// No rows yet, of a pass that leads from these sums on.
    pub fn new(sums: &Sums) -> Moves {
        let (unit, dim, k) = sums.shape();
        Moves { unit, dim, totals: vec![Change::default(); k], coordinates: vec![0; k * dim] }
    }

    /// Counts a row of this weight, which was in cluster `before` ([`Nearest::NONE`]: in none) in the sums of the pass
    /// before.
    ///
    /// # Errors
    /// Where the row is too far out, or one too many; then nothing was changed.
    pub fn add(&mut self, row: &[f32], before: u32, found: Nearest, weight: u64) -> Result<(), Outlier> {
        assert_eq!(row.len(), self.dim, "values of a row");
        if before != found.cluster {
            let scale = self.unit.scale(row, weight);
            let reach = reach(row, scale)?;
            self.relocate(row, found.cluster, scale, [1, i128::from(weight), i128::from(reach)]);
            // The nearest of -x is minus the nearest of x.
            self.relocate(row, before, -scale, [-1, -i128::from(weight), -i128::from(reach)]);
        }
        if let Some(totals) = self.totals.get_mut(found.cluster as usize) {
            let [distance, distance_sq] = self.unit.distances(found, weight);
            totals.distance += distance;
            totals.distance_sq += distance_sq;
        }
        Ok(())
    }

    fn relocate(&mut self, row: &[f32], cluster: u32, scale: f64, [rows, weight, reach]: [i128; 3]) {
        if let Some(totals) = self.totals.get_mut(cluster as usize) {
            totals.rows += rows;
            totals.weight += weight;
            totals.reach += reach;
            add_rounded(&mut self.coordinates[cluster as usize * self.dim..][..self.dim], row, scale);
        }
    }

    /// Adds the changes that other rows of the same pass make.
    ///
    /// # Panics
    /// Where they are of sums of another shape, metric or unit.
    pub fn merge(&mut self, other: &Moves) {
        let shape = |moves: &Moves| (moves.unit, moves.dim, moves.totals.len());
        assert_eq!(shape(self), shape(other), "moves within the same sums");
        for (ours, theirs) in self.totals.iter_mut().zip(&other.totals) {
            ours.rows += theirs.rows;
            ours.weight += theirs.weight;
            ours.distance += theirs.distance;
            ours.distance_sq += theirs.distance_sq;
            ours.reach += theirs.reach;
        }
        for (ours, &theirs) in self.coordinates.iter_mut().zip(&other.coordinates) {
            *ours = ours.wrapping_add(theirs);
        }
    }
}

impl Change {
    /// The totals after the change; `None` where 64 bits are too few.
    fn from(&self, before: &Totals) -> Option<Totals> {
        let after = |before: u64, change: i128| u64::try_from(i128::from(before) + change).ok();
        Some(Totals {
            rows: after(before.rows, self.rows)?,
            weight: after(before.weight, self.weight)?,
            distance: self.distance,
            distance_sq: self.distance_sq,
            reach: after(before.reach, self.reach).filter(|&reach| reach <= REACH_MAX)?,
        })
    }
}

/// The unit of sums.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Unit {
    metric: Metric,
    exponent: i32,
}

impl Unit {
    /// `s` of the [module's doc](self).
    fn scale(self, row: &[f32], weight: u64) -> f64 {
        let scale = match self.metric {
            Metric::Cosine => power_of_two(32) / super::exact::norm(row),
            Metric::Euclidean => power_of_two(32 - self.exponent),
        };
        scale * (weight as f64 / WEIGHT_ONE as f64)
    }

    /// What a row's distance adds, and its square.
    fn distances(self, found: Nearest, weight: u64) -> [i128; 2] {
        let weighted = found.distance * (weight as f64 / WEIGHT_ONE as f64);
        let distance = rounded(weighted * power_of_two(40 - self.exponent));
        [distance, rounded(weighted * found.distance * power_of_two(40 - 2 * self.exponent))]
    }
}

impl Totals {
    /// Both; `None` where 64 bits are too few.
    fn plus(&self, other: &Totals) -> Option<Totals> {
        Some(Totals {
            rows: self.rows.checked_add(other.rows)?,
            weight: self.weight.checked_add(other.weight)?,
            distance: self.distance.checked_add(other.distance)?,
            distance_sq: self.distance_sq.checked_add(other.distance_sq)?,
            reach: self.reach.checked_add(other.reach).filter(|&reach| reach <= REACH_MAX)?,
        })
    }
}

/// The largest absolute value that a row times `scale` adds to a coordinate.
fn reach(row: &[f32], scale: f64) -> Result<u64, Outlier> {
    let reach = (f64::from(furthest(row)) * scale).ceil();
    if reach <= ADDEND_MAX { Ok(reach as u64) } else { Err(Outlier) }
}

/// The largest absolute value of a row.
fn furthest(row: &[f32]) -> f32 {
    f32::from_bits(row.iter().fold(0, |max, value| max.max(value.abs().to_bits())))
}

/// The nearest whole number, of two the even one.
fn rounded(value: f64) -> i128 {
    // Small ones without the library.
    if value.abs() < ADDEND_MAX { i128::from(rounded_small(value)) } else { value.round_ties_even() as i128 }
}

/// The same of values up to [`ADDEND_MAX`]: next to 1.5 * 2^52 floats are whole numbers, one apart.
#[inline(always)]
fn rounded_small(value: f64) -> i64 {
    const WHOLE: f64 = 6_755_399_441_055_744.0;
    (value + WHOLE).to_bits() as i64 - WHOLE.to_bits() as i64
}

/// Adds the row times `scale`, each value rounded.
fn add_rounded(sums: &mut [i64], row: &[f32], scale: f64) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,avx512f,avx512dq,avx512vl")]
        fn on_avx512(sums: &mut [i64], row: &[f32], scale: f64) {
            add_each_rounded(sums, row, scale);
        }
        #[target_feature(enable = "avx2")]
        fn on_avx2(sums: &mut [i64], row: &[f32], scale: f64) {
            add_each_rounded(sums, row, scale);
        }
        if crate::cpu::has_avx512() {
            // SAFETY: the processor was asked.
            return unsafe { on_avx512(sums, row, scale) };
        }
        if crate::cpu::has_avx2() {
            // SAFETY: the processor was asked.
            return unsafe { on_avx2(sums, row, scale) };
        }
    }
    add_each_rounded(sums, row, scale);
}

#[inline(always)]
fn add_each_rounded(sums: &mut [i64], row: &[f32], scale: f64) {
    for (sum, &value) in sums.iter_mut().zip(row) {
        *sum = sum.wrapping_add(rounded_small(f64::from(value) * scale));
    }
}

/// `2^exponent`, exactly.
///
/// # Panics
/// Where that is not a normal number.
pub fn power_of_two(exponent: i32) -> f64 {
    assert!((-1022..=1023).contains(&exponent));
    f64::from_bits(((exponent + 1023) as u64) << 52)
}

/// The length of a vector, summed in the order of [`exact`](super::exact).
fn norm(values: impl Iterator<Item = f64>) -> f64 {
    let mut partial = [0.0_f64; PARTIAL];
    for (i, value) in values.enumerate() {
        partial[i % PARTIAL] = value.mul_add(value, partial[i % PARTIAL]);
    }
    for width in [8, 4, 2, 1] {
        for l in 0..width {
            partial[l] += partial[l + width];
        }
    }
    partial[0].sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn euclidean(values: Vec<f32>) -> Centroids {
        Centroids::new(Metric::Euclidean, 2, values).unwrap()
    }

    #[test]
    fn the_unit_follows_the_largest_value() {
        for (value, exponent) in [(1.0, 1), (0.99, 0), (-2.0, 2), (f32::MAX, 128), (0.0, -125)] {
            assert_eq!(unit_exponent(&euclidean(vec![0.0, value])), exponent, "{value}");
        }
    }

    #[test]
    fn a_centroid_is_the_weighted_mean() {
        let mut sums = Sums::new(&euclidean(vec![0.0, 4.0]));
        let found = Nearest { cluster: 0, distance: 2.0 };
        sums.add(&[1.0, 2.0], found, WEIGHT_ONE).unwrap();
        sums.add(&[2.0, -4.0], found, 3 * WEIGHT_ONE).unwrap();
        assert_eq!(sums.centroid(0), Some(vec![1.75, -2.5]));
        assert_eq!((sums.distance(), sums.inertia()), (8.0, 16.0));
    }

    #[test]
    fn a_direction_ignores_lengths_and_opposites_cancel() {
        let mut sums = Sums::new(&Centroids::new(Metric::Cosine, 2, vec![1.0, 0.0]).unwrap());
        let found = Nearest { cluster: 0, distance: 0.5 };
        sums.add(&[100.0, 0.0], found, WEIGHT_ONE).unwrap();
        sums.add(&[0.0, 1e-30], found, WEIGHT_ONE).unwrap();
        let half = 0.5_f64.sqrt() as f32;
        assert_eq!(sums.centroid(0), Some(vec![half, half]));
        sums.add(&[-1.0, 0.0], found, WEIGHT_ONE).unwrap();
        sums.add(&[0.0, -1.0], found, WEIGHT_ONE).unwrap();
        assert_eq!(sums.centroid(0), None);
        assert_eq!(sums.inertia(), 2.0);
    }

    #[test]
    fn what_does_not_fit_is_refused_and_adds_nothing() {
        let mut sums = Sums::new(&euclidean(vec![0.5, 0.5]));
        let before = sums.clone();
        let found = Nearest { cluster: 0, distance: 1.0 };
        assert_eq!(sums.add(&[524289.0, 0.0], found, WEIGHT_ONE), Err(Outlier));
        assert_eq!(sums.add(&[1.0, 0.0], found, u64::MAX), Err(Outlier));
        assert_eq!(sums, before);
        let mut moves = Moves::new(&sums);
        assert_eq!(moves.add(&[524289.0, 0.0], Nearest::NONE, found, WEIGHT_ONE), Err(Outlier));
        assert_eq!(sums.after(&moves), Ok(before));
        sums.totals[0].reach = i64::MAX as u64;
        assert_eq!(sums.add(&[1.0, 0.0], found, WEIGHT_ONE), Err(Outlier));
        moves.add(&[1.0, 0.0], Nearest::NONE, found, WEIGHT_ONE).unwrap();
        assert_eq!(sums.after(&moves), Err(Outlier));
        assert_eq!(sums.clone().merge(&sums), Err(Outlier));
    }

    #[test]
    fn rows_that_move_leave_the_sums_of_rows_that_were_there() {
        let mut state = 5_u64;
        let mut random = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as u32
        };
        for metric in [Metric::Cosine, Metric::Euclidean] {
            let centroids = Centroids::new(metric, 19, (0..5 * 19).map(|i| i as f32 + 1.0).collect()).unwrap();
            let mut rows: Vec<Vec<f32>> =
                (0..40).map(|_| (0..19).map(|_| random() as f32 / 16.0 - 5e5).collect()).collect();
            rows[7].fill(f32::NAN);
            let weights: Vec<u64> = (0..40).map(|_| u64::from(random())).collect();
            let mut moved = Sums::new(&centroids);
            let mut before = [Nearest::NONE; 40];
            for _ in 0..10 {
                let mut fresh = Sums::new(&centroids);
                // Rows come to other threads in each pass.
                let mut threads = [Moves::new(&moved), Moves::new(&moved), Moves::new(&moved)];
                for i in 0..40 {
                    let cluster = if i == 7 { Nearest::NONE } else { random() % 5 };
                    let found = Nearest { cluster, distance: f64::from(random()) / 3.0 };
                    fresh.add(&rows[i], found, weights[i]).unwrap();
                    threads[random() as usize % 3].add(&rows[i], before[i], found, weights[i]).unwrap();
                    before[i] = cluster;
                }
                let [mut all, second, third] = threads;
                all.merge(&third);
                all.merge(&second);
                moved = moved.after(&all).unwrap();
                assert_eq!(moved, fresh);
            }
        }
    }

    #[test]
    fn rounding_is_to_even() {
        for value in
            [0.0, 0.5, -0.5, 1.5, -1.5, 2.5, 0.49999999999999994, 1e15 + 0.5, ADDEND_MAX - 0.5, ADDEND_MAX, -ADDEND_MAX]
        {
            assert_eq!(rounded_small(value), value.round_ties_even() as i64, "{value}");
            assert_eq!(rounded(value * 3.0), (value * 3.0).round_ties_even() as i128, "{value}");
        }
        let row: Vec<f32> = (0..37).map(|i| i as f32 * 0.25 - 4.0).collect();
        let mut sums = vec![i64::MAX / 2; 37];
        add_rounded(&mut sums, &row, 2.0);
        add_rounded(&mut sums, &row, -2.0);
        assert_eq!(sums, [i64::MAX / 2; 37]);
        add_rounded(&mut sums, &row, 2.0);
        let expected: Vec<i64> = row.iter().map(|v| i64::MAX / 2 + (v * 2.0).round_ties_even() as i64).collect();
        assert_eq!(sums, expected);
    }
}

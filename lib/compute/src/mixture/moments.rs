//! Sums of rows by component, in whole numbers of a stated unit.
//!
//! # Stability
//!
//! What mixtures come out follows from these roundings, which never change between releases; all are to the nearest,
//! halves to even, and every product is one rounded multiplication in 64-bit floats.
//!
//! - Rows are centred about the [origin](Origin): the means of the mixture that they were held against, or the
//!   centroids of the clusters that they are in.
//! - The unit of coordinate i is `U_i = 2^(E_i)`, where `2^(E_i)` is the smallest power of two above every absolute
//!   value of the origins' coordinate i, and above the standard deviations there; of centroids, which have none, but no
//!   less than a 2^10-th of the largest such power of all coordinates. `E_i` is -500 at the least.
//! - A row x of the responsibility r adds `round(r 2^80)` to the mass of a component of the origin c, and with `t_i =
//!   (x_i - c_i) / U_i` it adds `round(r t_i 2^80)` to the first moments, and `round((r t_i) t_i 2^80)` to the second.
//! - Its log-likelihood adds `round(l 2^32)`.
//!
//! All are 128-bit numbers.

use super::{Mixture, Posterior};
use crate::as_wide_as_can_be;
use crate::kmeans::{Centroids, power_of_two};
use std::ops::Range;
use std::sync::Arc;

/// Bits behind the point of masses and moments.
const FRACTION: i32 = 80;

/// Bits behind the point of the upper half of a moment, on its way.
const UPPER: i32 = 36;

/// Bits between the halves.
const LOWER: i32 = FRACTION - UPPER;

/// Bits behind the point of log-likelihoods.
const LIKELIHOOD: i32 = 32;

/// A row that moments cannot take: in some coordinate 2^18 times as far from 0 as any component reaches, or of a
/// density below exp(-2^60).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outlier;

/// More rows than 128 bits can add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany;

/// What rows are centred about, and in which units they are added up.
#[derive(Debug, Clone, PartialEq)]
pub struct Origin {
    /// Values of a row.
    pub dim: usize,
    /// `k` rows of `dim` values.
    pub means: Vec<f64>,
    /// `E` of each coordinate.
    pub exponents: Vec<i32>,
}

impl Origin {
    /// The means of a mixture.
    pub fn of_mixture(mixture: &Mixture) -> Origin {
        let reach =
            mixture.means.iter().zip(&mixture.variances).map(|(mean, variance)| mean.abs().max(variance.sqrt()));
        let exponents = exponents(mixture.dim, reach);
        Origin { dim: mixture.dim, means: mixture.means.clone(), exponents }
    }

    /// Centroids.
    pub fn of_centroids(centroids: &Centroids) -> Origin {
        let means: Vec<f64> = centroids.values.iter().map(|&value| f64::from(value)).collect();
        let mut exponents = exponents(centroids.dim, means.iter().map(|mean| mean.abs()));
        let floor = exponents.iter().max().expect("a row has values") - 10;
        exponents.iter_mut().for_each(|exponent| *exponent = floor.max(*exponent));
        Origin { dim: centroids.dim, means, exponents }
    }

    /// How many components there are.
    pub fn k(&self) -> usize {
        self.means.len() / self.dim
    }
}

/// Of each coordinate, the exponent of the smallest power of two above all its values.
fn exponents(dim: usize, values: impl Iterator<Item = f64>) -> Vec<i32> {
    let mut largest = vec![power_of_two(-501); dim];
    for (i, value) in values.enumerate() {
        let place = &mut largest[i % dim];
        *place = place.max(value);
    }
    // Of a positive normal number with biased exponent b, 2^(b - 1022) is the smallest power of two above.
    largest.into_iter().map(|value| (value.to_bits() >> 52) as i32 - 1022).collect()
}

/// What rows come to, by component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moments {
    /// Rows.
    pub rows: u64,
    /// Their log-likelihoods, in units of 2^-32.
    pub log_likelihood: i128,
    /// Of each component the sum of the responsibilities, in units of 2^-80.
    pub masses: Vec<i128>,
    /// `k` rows of `dim` sums, row-major, in units of `2^(E_i - 80)`.
    pub first: Vec<i128>,
    /// The same of squares, in units of `2^(2 E_i - 80)`.
    pub second: Vec<i128>,
}

impl Moments {
    /// Those of no rows.
    pub fn new(origin: &Origin) -> Moments {
        let (k, values) = (origin.k(), origin.means.len());
        Moments { rows: 0, log_likelihood: 0, masses: vec![0; k], first: vec![0; values], second: vec![0; values] }
    }

    /// Adds what other rows came to about the same origin.
    ///
    /// # Errors
    /// More rows than 128 bits hold; then nothing is promised of what is here.
    ///
    /// # Panics
    /// Where the moments are of another shape.
    pub fn merge(&mut self, other: &Moments) -> Result<(), TooMany> {
        assert!(self.masses.len() == other.masses.len() && self.first.len() == other.first.len(), "of one origin");
        self.rows = self.rows.checked_add(other.rows).ok_or(TooMany)?;
        self.log_likelihood = self.log_likelihood.checked_add(other.log_likelihood).ok_or(TooMany)?;
        add_all(&mut self.masses, &other.masses)?;
        add_all(&mut self.first, &other.first)?;
        add_all(&mut self.second, &other.second)
    }

    /// The mean log-likelihood of a row.
    pub fn lower_bound(&self) -> f64 {
        self.log_likelihood as f64 * power_of_two(-LIKELIHOOD) / self.rows as f64
    }

    /// Of component `k` the mass, and in coordinate `i` the sums of `r (x_i - c_i)` and `r (x_i - c_i)^2`.
    pub fn of(&self, origin: &Origin, k: usize, i: usize) -> [f64; 3] {
        let (place, exponent) = (k * origin.dim + i, origin.exponents[i]);
        let unit = power_of_two(-FRACTION);
        let scale = power_of_two(exponent);
        [
            self.masses[k] as f64 * unit,
            self.first[place] as f64 * unit * scale,
            self.second[place] as f64 * unit * scale * scale,
        ]
    }
}

fn add_all(sums: &mut [i128], others: &[i128]) -> Result<(), TooMany> {
    for (sum, &other) in sums.iter_mut().zip(others) {
        *sum = sum.checked_add(other).ok_or(TooMany)?;
    }
    Ok(())
}

/// Adds rows up, on one thread.
///
/// Rows wait until there are so many that several of them are of the same component: then its sums stay in registers
/// while they are added. Moments are gathered as two 64-bit numbers, an upper half of 36 bits behind the point and a
/// lower one of 44 more, and go into the 128 bits every so many rows.
#[derive(Debug)]
pub struct Adder {
    origin: Arc<Origin>,
    moments: Moments,
    /// `2^(36 - E_i)` of each coordinate.
    scales: Vec<f64>,
    /// The means of the origin times the scales: of a [step](STEP) of coordinates those of one component after the
    /// other, then those of the next step, filled up with 0.
    centers: Vec<[f64; STEP]>,
    waiting: Waiting,
    /// In the same order, each time the upper halves of the first moments, the lower ones, and those of the second.
    halves: Vec<[[i64; STEP]; 4]>,
    /// Rows of each component in the halves.
    gathered: Vec<u32>,
    too_many: bool,
}

/// Rows that are not in the halves yet.
#[derive(Debug, Default)]
struct Waiting {
    values: Vec<f32>,
    parts: Vec<Part>,
    rows: usize,
}

/// That a component takes part in a row that waits.
#[derive(Debug, Clone, Copy)]
struct Part {
    component: u32,
    row: u32,
    share: f64,
    /// Whether the upper half of all its moments is 0.
    faint: bool,
}

/// Parts of one component, all faint or none, that stand one after another.
#[derive(Debug)]
struct Group {
    component: usize,
    faint: bool,
    parts: Range<usize>,
}

/// Rows that wait, at the most.
const WAITING_MAX: usize = 128;

/// Rows that the halves of a component take: each adds up to 2^51, in absolute value.
const GATHERED_MAX: u32 = 1 << 11;

/// Up to this `|t|`, the upper half of no square is above 2^51.
const NEAR: f64 = 128.0;

/// From this `x_i / U_i` on a row is an outlier, as its `t_i` may have a square of 2^38 or more.
const FAR: f64 = (1 << 18) as f64;

impl Adder {
    /// No rows yet.
    pub fn new(origin: Arc<Origin>) -> Adder {
        let scales: Vec<_> = origin.exponents.iter().map(|&exponent| power_of_two(UPPER - exponent)).collect();
        let centers = centers(&origin, &scales);
        let (halves, gathered) = (vec![[[0; STEP]; 4]; centers.len()], vec![0; origin.k()]);
        let (moments, waiting) = (Moments::new(&origin), Waiting::default());
        Adder { origin, moments, scales, centers, waiting, halves, gathered, too_many: false }
    }

    /// Adds a row. Where the rows come to more than 128 bits, [`Adder::end`] says so.
    ///
    /// # Errors
    /// The row is an outlier: nothing was added.
    ///
    /// # Panics
    /// Where the row has another length.
    pub fn add(&mut self, row: &[f32], found: &Posterior) -> Result<(), Outlier> {
        assert_eq!(row.len(), self.origin.dim, "values of a row");
        let far = farthest(row, &self.scales) * power_of_two(-UPPER);
        if !(far < FAR && found.log_likelihood.abs() < power_of_two(60)) {
            return Err(Outlier);
        }
        self.moments.rows += 1;
        self.add_to(|m| &mut m.log_likelihood, whole(found.log_likelihood * power_of_two(LIKELIHOOD)));
        for &(k, share) in &found.parts {
            self.add_to(|m| &mut m.masses[k as usize], whole(share * power_of_two(FRACTION)));
        }
        // The origin is within 1 of 0.
        let reach = far + 1.0;
        if reach > NEAR {
            found.parts.iter().for_each(|&(k, share)| self.add_far(row, k as usize, share));
            return Ok(());
        }
        let faint = 0.25 * power_of_two(-UPPER) / (reach * reach);
        let Waiting { values, parts, rows } = &mut self.waiting;
        let part = |&(component, share)| Part { component, row: *rows as u32, share, faint: share < faint };
        parts.extend(found.parts.iter().map(part));
        values.extend_from_slice(row);
        *rows += 1;
        if *rows == WAITING_MAX {
            self.add_waiting();
        }
        Ok(())
    }

    fn add_to(&mut self, sum: impl Fn(&mut Moments) -> &mut i128, more: i128) {
        let sum = sum(&mut self.moments);
        let (after, overflow) = sum.overflowing_add(more);
        *sum = after;
        self.too_many |= overflow;
    }

    fn add_waiting(&mut self) {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.parts.sort_unstable_by_key(|part| (part.component, part.faint));
        let groups = groups(&waiting.parts);
        for group in &groups {
            let (k, rows) = (group.component, group.parts.len() as u32);
            if self.gathered[k] + rows > GATHERED_MAX {
                self.flush(k);
            }
            self.gathered[k] += rows;
        }
        add_halves(&waiting, &groups, &self.scales, &self.centers, &mut self.halves);
        waiting.values.clear();
        waiting.parts.clear();
        waiting.rows = 0;
        self.waiting = waiting;
    }

    /// The same sums without halves.
    #[cold]
    fn add_far(&mut self, row: &[f32], k: usize, share: f64) {
        let (dim, one) = (self.origin.dim, power_of_two(LOWER));
        for (i, &value) in row.iter().enumerate() {
            let place = k * dim + i;
            let t = (f64::from(value) - self.origin.means[place]) * self.scales[i];
            let first = share * t;
            self.add_to(|m| &mut m.first[place], whole(first * one));
            self.add_to(|m| &mut m.second[place], whole(first * (t * power_of_two(-UPPER)) * one));
        }
    }

    fn flush(&mut self, k: usize) {
        let (dim, components) = (self.origin.dim, self.origin.k());
        let whole = |upper: i64, lower: i64| (i128::from(upper) << LOWER) + i128::from(lower);
        for i in 0..dim {
            let halves = &self.halves[i / STEP * components + k];
            let [upper_1, lower_1, upper_2, lower_2] = halves.map(|halves| halves[i % STEP]);
            self.add_to(|m| &mut m.first[k * dim + i], whole(upper_1, lower_1));
            self.add_to(|m| &mut m.second[k * dim + i], whole(upper_2, lower_2));
        }
        self.halves.iter_mut().skip(k).step_by(components).for_each(|halves| *halves = [[0; STEP]; 4]);
        self.gathered[k] = 0;
    }

    /// What the rows came to.
    ///
    /// # Errors
    /// More rows than 128 bits hold. (Which squares and masses do not hold depends on no order; and where they hold, so
    /// do the first moments.)
    pub fn end(mut self) -> Result<Moments, TooMany> {
        self.add_waiting();
        for k in 0..self.gathered.len() {
            if self.gathered[k] > 0 {
                self.flush(k);
            }
        }
        if self.too_many { Err(TooMany) } else { Ok(self.moments) }
    }
}

/// The nearest whole number, of two the even one.
fn whole(value: f64) -> i128 {
    value.round_ties_even() as i128
}

/// The largest `|x_i| s_i`; NaN where there is one.
fn farthest(row: &[f32], scales: &[f64]) -> f64 {
    as_wide_as_can_be!(farthest_of(row: &[f32], scales: &[f64]) -> f64)
}

#[inline(always)]
fn farthest_of(row: &[f32], scales: &[f64]) -> f64 {
    // Numbers that are not negative are in the order of their bits, NaN behind them.
    let bits = |(&value, scale): (&f32, &f64)| (f64::from(value.abs()) * scale).to_bits();
    f64::from_bits(row.iter().zip(scales).map(bits).fold(0, u64::max))
}

/// Of sorted parts.
fn groups(parts: &[Part]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        let (component, faint) = (part.component as usize, part.faint);
        match groups.last_mut() {
            Some(last) if (last.component, last.faint) == (component, faint) => last.parts.end = at + 1,
            _ => groups.push(Group { component, faint, parts: at..at + 1 }),
        }
    }
    groups
}

/// The means of an origin times the scales, by steps of coordinates.
fn centers(origin: &Origin, scales: &[f64]) -> Vec<[f64; STEP]> {
    let steps = scales.len().div_ceil(STEP);
    let mut centers = vec![[0.0; STEP]; steps * origin.k()];
    for (at, mean) in origin.means.iter().enumerate() {
        let (k, i) = (at / origin.dim, at % origin.dim);
        centers[i / STEP * origin.k() + k][i % STEP] = mean * scales[i];
    }
    centers
}

/// Adds what rows come to, to upper and lower halves of the first moments of their components and of the second.
fn add_halves(
    waiting: &Waiting,
    groups: &[Group],
    scales: &[f64],
    centers: &[[f64; STEP]],
    halves: &mut [[[i64; STEP]; 4]],
) {
    as_wide_as_can_be!(add_in_steps(waiting: &Waiting, groups: &[Group], scales: &[f64],
        centers: &[[f64; STEP]], halves: &mut [[[i64; STEP]; 4]]))
}

/// Coordinates whose sums are in registers together.
const STEP: usize = 16;

/// Some coordinates of all rows after the other: they stay in the cache from component to component.
#[inline(always)]
fn add_in_steps(
    waiting: &Waiting,
    groups: &[Group],
    scales: &[f64],
    centers: &[[f64; STEP]],
    halves: &mut [[[i64; STEP]; 4]],
) {
    let components = centers.len() / scales.len().div_ceil(STEP);
    let steps = centers.chunks_exact(components).zip(halves.chunks_exact_mut(components));
    let (dim, mut values) = (scales.len(), [[0.0; STEP]; WAITING_MAX]);
    for ((first, scales), (centers, halves)) in (0..).step_by(STEP).zip(scales.chunks(STEP)).zip(steps) {
        for (row, values) in waiting.values.chunks_exact(dim).zip(&mut values) {
            scale(&row[first..], scales, values);
        }
        for Group { component, faint, parts } in groups {
            let (parts, center, halves) =
                (&waiting.parts[parts.clone()], &centers[*component], &mut halves[*component]);
            if *faint {
                add_group::<true>(&values, parts, center, halves);
            } else {
                add_group::<false>(&values, parts, center, halves);
            }
        }
    }
}

/// A step of coordinates times their scales; behind them 0, which adds 0.
#[inline(always)]
fn scale(row: &[f32], scales: &[f64], to: &mut [f64; STEP]) {
    if let (Some(row), Some(scales)) = (row.first_chunk::<STEP>(), scales.first_chunk::<STEP>()) {
        *to = std::array::from_fn(|i| f64::from(row[i]) * scales[i]);
        return;
    }
    *to = [0.0; STEP];
    for (to, (&value, scale)) in to.iter_mut().zip(row.iter().zip(scales)) {
        *to = f64::from(value) * scale;
    }
}

/// Next to it floats are whole numbers, one apart; next to it times a power of two they are that power apart. So what
/// is added to it is rounded to a multiple of that power, which can be read from the bits.
const WHOLE: f64 = 6_755_399_441_055_744.0;

/// Adds a step of coordinates. Squares are in the unit of upper halves times `2^-36`.
#[inline(always)]
fn add_group<const FAINT: bool>(
    values: &[[f64; STEP]; WAITING_MAX],
    parts: &[Part],
    center: &[f64; STEP],
    halves: &mut [[i64; STEP]; 4],
) {
    // Of the first moments the upper half and the lower one, and of the second.
    let units = [0, -LOWER, UPPER, UPPER - LOWER].map(|exponent| WHOLE * power_of_two(exponent));
    let mut sums = [[0_u64; STEP]; 4];
    for part in parts {
        let row = &values[part.row as usize];
        for i in 0..STEP {
            let t = row[i] - center[i];
            let first = part.share * t;
            for (at, mut value) in [(0, first), (2, first * t)] {
                if !FAINT {
                    let upper = value + units[at];
                    sums[at][i] = sums[at][i].wrapping_add(upper.to_bits());
                    value -= upper - units[at];
                }
                sums[at + 1][i] = sums[at + 1][i].wrapping_add((value + units[at + 1]).to_bits());
            }
        }
    }
    let used: &[usize] = if FAINT { &[1, 3] } else { &[0, 1, 2, 3] };
    for &at in used {
        let offset = units[at].to_bits().wrapping_mul(parts.len() as u64);
        for (half, sum) in halves[at].iter_mut().zip(sums[at]) {
            *half = half.wrapping_add(sum.wrapping_sub(offset) as i64);
        }
    }
}

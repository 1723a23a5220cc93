//! The arithmetic that decides, one row and component at a time.
//!
//! # Stability
//!
//! With x a row and w, m, v a component's weight, means and variances: `s_i = 1 / sqrt(v_i)`, `b_i = -(m_i s_i)`, and
//! `z_i = x_i s_i + b_i` rounded once (a fused multiply-add). Term `i` of the sum `q` of `z_i^2` goes to partial sum `i
//! mod 16` by a fused multiply-add, in ascending `i`; then partial sum `l` takes partial sum `l + 8`, then `l + 4`, `l
//! + 2`, `l + 1`. The constant of a component is `(ln w + sum_i ln s_i) - dim / 2 * ln(2 pi)`, the sum in ascending
//! `i`, and its log density `constant - q / 2`.
//!
//! A component takes part in a row where its log density is at most 44 below the largest, `top`: others weigh less than
//! 2^-63 of it. With `e_k = exp(log density - top)` and S their sum in ascending `k`, the log-likelihood of the row is
//! `top + ln S`, and the responsibility of component `k` is `e_k / S`. `exp` and `ln` are those of the `libm` crate.

use super::{Mixture, Posterior};
use crate::partial::{self, PARTIAL, Partial};

/// How far below the largest a log density may be.
pub const CUT: f64 = 44.0;

/// A mixture, prepared.
#[derive(Debug)]
pub struct Densities {
    dim: usize,
    /// `dim`, padded to whole partial sums.
    padded: usize,
    /// `s` of each component, padded with 0.
    scales: Vec<f64>,
    /// `b` of each component, padded with 0.
    shifts: Vec<f64>,
    constants: Vec<f64>,
}

impl Densities {
    /// Prepares a mixture.
    pub fn new(mixture: &Mixture) -> Densities {
        let (dim, padded) = (mixture.dim, mixture.dim.next_multiple_of(PARTIAL));
        let mut densities = Densities {
            dim,
            padded,
            scales: Vec::new(),
            shifts: Vec::new(),
            constants: Vec::with_capacity(mixture.k()),
        };
        let rows = mixture.means.chunks_exact(dim).zip(mixture.variances.chunks_exact(dim));
        for (&weight, (means, variances)) in mixture.weights.iter().zip(rows) {
            let before = densities.scales.len();
            densities.scales.extend(variances.iter().map(|variance| 1.0 / variance.sqrt()));
            densities.shifts.extend(means.iter().zip(&densities.scales[before..]).map(|(mean, scale)| -(mean * scale)));
            let logs: f64 = densities.scales[before..].iter().map(|&scale| libm::log(scale)).sum();
            let plane = dim as f64 / 2.0 * libm::log(2.0 * std::f64::consts::PI);
            densities.constants.push((libm::log(weight) + logs) - plane);
            densities.scales.resize(before + padded, 0.0);
            densities.shifts.resize(before + padded, 0.0);
        }
        densities
    }

    /// Values of a row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// How many components there are.
    pub fn k(&self) -> usize {
        self.constants.len()
    }

    /// What is known of component `k`: its constant, scales and shifts.
    pub(super) fn component(&self, k: usize) -> (f64, &[f64], &[f64]) {
        let place = k * self.padded..k * self.padded + self.dim;
        (self.constants[k], &self.scales[place.clone()], &self.shifts[place])
    }

    /// Rows of whole sixteens as [`Densities::log_densities`] wants them: `rows` themselves, or their copies in
    /// `padded` with zeros behind each.
    pub(super) fn pad<'a>(&self, rows: &'a [f32], padded: &'a mut Vec<f32>) -> &'a [f32] {
        if self.dim == self.padded {
            return rows;
        }
        padded.clear();
        for row in rows.chunks_exact(self.dim) {
            padded.extend_from_slice(row);
            padded.resize(padded.len().next_multiple_of(self.padded), 0.0);
        }
        padded
    }

    /// The log densities of component `k` for some of the [padded](Densities::pad) rows, those whose bit in `which` is
    /// set: each is shown with its number.
    pub(super) fn log_densities(&self, rows: &[f32], which: u64, k: usize, mut each: impl FnMut(usize, f64)) {
        let place = k * self.padded..(k + 1) * self.padded;
        let (scales, shifts) = (&self.scales[place.clone()], &self.shifts[place]);
        let mut found = [0.0; 64];
        squares(rows, which, scales, shifts, &mut found);
        for row in bits(which) {
            each(row, self.constants[k] - found[row] / 2.0);
        }
    }

    /// What the mixture says of one row: slow, obviously right, what the fast way is held against.
    ///
    /// # Panics
    /// Where the row has another length.
    pub fn posterior(&self, row: &[f32]) -> Posterior {
        assert_eq!(row.len(), self.dim, "values of a row");
        let mut padded = Vec::new();
        let row = self.pad(row, &mut padded);
        let mut found = Posterior::default();
        for k in 0..self.k() {
            self.log_densities(row, 1, k, |_, density| found.parts.push((k as u32, density)));
        }
        settle(&mut found);
        found
    }
}

/// Makes responsibilities of log densities, which stand in their places: of all components, or of all that may take
/// part.
pub(super) fn settle(found: &mut Posterior) {
    let top = found.parts.iter().fold(f64::NEG_INFINITY, |top, &(_, density)| top.max(density));
    if top == f64::NEG_INFINITY {
        *found = Posterior { log_likelihood: top, parts: Vec::new() };
        return;
    }
    found.parts.retain(|&(_, density)| density >= top - CUT);
    found.parts.iter_mut().for_each(|(_, density)| *density = libm::exp(*density - top));
    let sum: f64 = found.parts.iter().map(|&(_, share)| share).sum();
    found.parts.iter_mut().for_each(|(_, share)| *share /= sum);
    found.log_likelihood = top + libm::log(sum);
}

/// The numbers of the bits that are set, in ascending order.
fn bits(mut which: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = which.trailing_zeros() as usize;
        which &= which.wrapping_sub(1);
        (bit < 64).then_some(bit)
    })
}

/// The sums of `(x_i s_i + b_i)^2` of some rows, those whose bit in `which` is set, of whole sixteens, with the same
/// bits by any instructions.
fn squares(rows: &[f32], which: u64, s: &[f64], b: &[f64], sums: &mut [f64; 64]) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512dq")]
        fn on_avx512(rows: &[f32], which: u64, s: &[f64], b: &[f64], sums: &mut [f64; 64]) {
            // SAFETY: the instructions are enabled.
            unsafe { squares_by::<partial::Avx512>(rows, which, s, b, sums) }
        }
        #[target_feature(enable = "avx2,fma")]
        fn on_avx2(rows: &[f32], which: u64, s: &[f64], b: &[f64], sums: &mut [f64; 64]) {
            // SAFETY: the instructions are enabled.
            unsafe { squares_by::<partial::Avx2>(rows, which, s, b, sums) }
        }
        if crate::cpu::has_avx512() {
            // SAFETY: the processor was asked.
            return unsafe { on_avx512(rows, which, s, b, sums) };
        }
        if crate::cpu::has_avx2() {
            // SAFETY: the processor was asked.
            return unsafe { on_avx2(rows, which, s, b, sums) };
        }
    }
    // SAFETY: no special instructions.
    unsafe { squares_by::<partial::Plain>(rows, which, s, b, sums) }
}

/// # Safety
/// The processor has the instructions.
#[inline(always)]
unsafe fn squares_by<P: Partial>(rows: &[f32], which: u64, s: &[f64], b: &[f64], sums: &mut [f64; 64]) {
    let row = |number: usize| sixteens(&rows[number * s.len()..][..s.len()]);
    let (s, b, mut which) = (sixteens(s), sixteens(b), bits(which));
    // Two rows at a time: the additions of one wait for each other.
    while let Some(first) = which.next() {
        let second = which.next();
        // SAFETY: the caller's promise.
        let [one, other] = unsafe { square_by::<P, 2>([row(first), row(second.unwrap_or(first))], s, b) };
        sums[first] = one;
        sums[second.unwrap_or(first)] = other;
    }
}

/// # Safety
/// The processor has the instructions.
#[inline(always)]
unsafe fn square_by<P: Partial, const N: usize>(
    rows: [&[[f32; PARTIAL]]; N],
    s: &[[f64; PARTIAL]],
    b: &[[f64; PARTIAL]],
) -> [f64; N] {
    // SAFETY: the caller's promise.
    unsafe {
        let mut sums = [P::zero(); N];
        for (at, (s, b)) in s.iter().zip(b).enumerate() {
            let (s, b) = (P::load(s), P::load(b));
            for (sum, row) in sums.iter_mut().zip(rows) {
                let z = P::widen(&row[at]).mul_add(s, b);
                *sum = z.mul_add(z, *sum);
            }
        }
        sums.map(|sum| sum.total())
    }
}

#[inline(always)]
fn sixteens<T>(values: &[T]) -> &[[T; PARTIAL]] {
    let (whole, rest) = values.as_chunks();
    assert!(rest.is_empty(), "padded rows");
    whole
}

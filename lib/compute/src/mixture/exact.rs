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

    /// Widens rows into `wide`, each padded with zeros as [`Densities::log_density`] wants it.
    pub(super) fn widen(&self, rows: &[f32], wide: &mut Vec<f64>) {
        wide.clear();
        for row in rows.chunks_exact(self.dim) {
            wide.extend(row.iter().map(|&value| f64::from(value)));
            wide.resize(wide.len().next_multiple_of(self.padded), 0.0);
        }
    }

    /// The log densities of component `k` for some of the widened rows, those whose bit in `which` is set: each is
    /// shown with its number.
    pub(super) fn log_densities(&self, wide: &[f64], which: u64, k: usize, mut each: impl FnMut(usize, f64)) {
        let place = k * self.padded..(k + 1) * self.padded;
        let (scales, shifts) = (&self.scales[place.clone()], &self.shifts[place]);
        let mut left = which;
        while left != 0 {
            let row = left.trailing_zeros() as usize;
            left &= left - 1;
            let square = square(&wide[row * self.padded..(row + 1) * self.padded], scales, shifts);
            each(row, self.constants[k] - square / 2.0);
        }
    }

    /// What the mixture says of one row: slow, obviously right, what the fast way is held against.
    ///
    /// # Panics
    /// Where the row has another length.
    pub fn posterior(&self, row: &[f32]) -> Posterior {
        assert_eq!(row.len(), self.dim, "values of a row");
        let mut wide = Vec::new();
        self.widen(row, &mut wide);
        let mut found = Posterior::default();
        for k in 0..self.k() {
            self.log_densities(&wide, 1, k, |_, density| found.parts.push((k as u32, density)));
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

/// The sum of `(x_i s_i + b_i)^2`, of whole sixteens, with the same bits by any instructions.
fn square(x: &[f64], s: &[f64], b: &[f64]) -> f64 {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512dq")]
        fn on_avx512(x: &[f64], s: &[f64], b: &[f64]) -> f64 {
            // SAFETY: the instructions are enabled.
            unsafe { square_by::<partial::Avx512>(x, s, b) }
        }
        #[target_feature(enable = "avx2,fma")]
        fn on_avx2(x: &[f64], s: &[f64], b: &[f64]) -> f64 {
            // SAFETY: the instructions are enabled.
            unsafe { square_by::<partial::Avx2>(x, s, b) }
        }
        if crate::cpu::has_avx512() {
            // SAFETY: the processor was asked.
            return unsafe { on_avx512(x, s, b) };
        }
        if crate::cpu::has_avx2() {
            // SAFETY: the processor was asked.
            return unsafe { on_avx2(x, s, b) };
        }
    }
    // SAFETY: no special instructions.
    unsafe { square_by::<partial::Plain>(x, s, b) }
}

/// # Safety
/// The processor has the instructions.
#[inline(always)]
unsafe fn square_by<P: Partial>(x: &[f64], s: &[f64], b: &[f64]) -> f64 {
    let (x, s, b) = (sixteens(x), sixteens(s), sixteens(b));
    // SAFETY: the caller's promise.
    unsafe {
        let mut sum = P::zero();
        for ((x, s), b) in x.iter().zip(s).zip(b) {
            let z = P::load(x).mul_add(P::load(s), P::load(b));
            sum = z.mul_add(z, sum);
        }
        sum.total()
    }
}

#[inline(always)]
fn sixteens(values: &[f64]) -> &[[f64; PARTIAL]] {
    let (whole, rest) = values.as_chunks();
    assert!(rest.is_empty(), "padded rows");
    whole
}

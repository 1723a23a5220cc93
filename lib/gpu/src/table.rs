//! Centroids rounded for tensor cores, and how wide a row's window must be: the host's part of
//! `lib/kernels/kmeans_assign.cu`, where the bound is derived.

use crate::kernels::Limits;
use crate::modules::{STEP, TILE};
use compute::kmeans::{Centroids, Metric, power_of_two};
use half::f16;

/// The bound is derived for rows that are no longer.
pub(crate) const DIM_MAX: usize = 65536;

/// What the kernels are given.
pub(crate) struct Table {
    pub(crate) values: Vec<u16>,
    pub(crate) halves: Vec<f32>,
    pub(crate) middle: Vec<f32>,
    pub(crate) limits: Limits,
}

impl Table {
    /// Rounds the centroids; `norms` as [`compute::kmeans::exact::norms`] gives them.
    pub(crate) fn new(centroids: &Centroids, norms: &[f64]) -> Table {
        let (k, dim) = (centroids.k(), centroids.dim);
        assert!((1..=DIM_MAX).contains(&dim) && k > 0);
        let dim_padded = dim.next_multiple_of(STEP);
        // The tensor core's error, relative to lengths: G.
        let gain = (dim_padded / 16) as f64 * power_of_two(-18);
        let placed = Placed::new(centroids, norms);
        let mut values = vec![0; k.next_multiple_of(TILE) * dim_padded];
        let mut halves = Vec::with_capacity(k);
        let (mut reach, mut error, mut rest) = (0.0_f64, 0.0_f64, 0.0_f64);
        for (j, rounded) in values.chunks_exact_mut(dim_padded).take(k).enumerate() {
            let (mut square, mut rounded_square, mut error_square) = (0.0, 0.0, 0.0);
            for (to, value) in rounded.iter_mut().zip(placed.row(centroids, norms, j)) {
                let bits = f16::from_f64(value);
                let lost = value - bits.to_f64();
                *to = bits.to_bits();
                square += value * value;
                rounded_square += bits.to_f64() * bits.to_f64();
                error_square += lost * lost;
            }
            let half = if centroids.metric == Metric::Euclidean { square / 2.0 } else { 0.0 };
            halves.push(half as f32);
            reach = reach.max(square.sqrt());
            error = error.max(error_square.sqrt() + gain * rounded_square.sqrt());
            rest = rest.max((gain + power_of_two(-23)) * half + power_of_two(-38) * square);
        }
        error += gain * power_of_two(-14) + power_of_two(-23) * reach + power_of_two(-38);
        rest += gain * power_of_two(-14) + power_of_two(-100);
        let limits = Limits { exponent: placed.exponent, reach: above(reach), error: above(error), rest: above(rest) };
        Table { values, halves, middle: placed.middle.iter().map(|&middle| middle as f32).collect(), limits }
    }
}

/// Where centroids stand: the mean is taken away, and one power of two scales the rest.
struct Placed {
    middle: Vec<f64>,
    exponent: i32,
}

impl Placed {
    fn new(centroids: &Centroids, norms: &[f64]) -> Placed {
        let mut middle = vec![0.0; centroids.dim];
        for (j, row) in centroids.values.chunks_exact(centroids.dim).enumerate() {
            let length = norms.get(j).copied().unwrap_or(1.0);
            middle.iter_mut().zip(row).for_each(|(middle, &value)| *middle += f64::from(value) / length);
        }
        middle.iter_mut().for_each(|middle| *middle /= centroids.k() as f64);
        if centroids.metric == Metric::Cosine {
            return Placed { middle, exponent: 0 };
        }
        // Rows take the same vector away, in 32-bit floats.
        middle.iter_mut().for_each(|middle| *middle = f64::from(*middle as f32));
        let rows = centroids.values.chunks_exact(centroids.dim);
        let offsets =
            rows.flat_map(|row| row.iter().zip(&middle).map(|(&value, middle)| (f64::from(value) - middle).abs()));
        let largest = offsets.fold(0.0, f64::max);
        let exponent = if largest > 0.0 { 1023 - (largest.to_bits() >> 52) as i32 } else { 0 };
        Placed { middle, exponent: exponent.clamp(-126, 126) }
    }

    fn row(&self, centroids: &Centroids, norms: &[f64], j: usize) -> impl Iterator<Item = f64> {
        let length = norms.get(j).copied().unwrap_or(1.0);
        let scale = power_of_two(self.exponent);
        centroids
            .row(j)
            .iter()
            .zip(&self.middle)
            .map(move |(&value, middle)| (f64::from(value) / length - middle) * scale)
    }
}

/// A 32-bit float that is not below, after whatever rounding 64-bit sums of 65536 terms had.
fn above(value: f64) -> f32 {
    (value * (1.0 + power_of_two(-20))) as f32
}

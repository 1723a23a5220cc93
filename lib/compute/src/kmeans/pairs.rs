//! How far some rows are from each other: what [`exact`](super::exact) says, many pairs at a time.

use super::exact::{distance, norms, squared};
use super::{Centroids, Metric};
use crate::partial::{self, PARTIAL, Partial};
use std::ops::Range;

/// Rows in 64 bits.
#[derive(Debug)]
pub struct Pairs {
    metric: Metric,
    /// Values of a row, padded with 0 to whole partial sums.
    padded: usize,
    values: Vec<f64>,
    norms: Vec<f64>,
}

impl Pairs {
    /// Takes the rows.
    pub fn new(rows: &Centroids) -> Pairs {
        let padded = rows.dim.next_multiple_of(PARTIAL);
        let mut values = Vec::with_capacity(rows.k() * padded);
        for row in rows.values.chunks_exact(rows.dim) {
            values.extend(row.iter().copied().map(f64::from));
            values.resize(values.len().next_multiple_of(padded), 0.0);
        }
        Pairs { metric: rows.metric, padded, values, norms: norms(rows) }
    }

    /// The [squared] distance of each of some rows from each of others, row-major; of two rows the later one is the row
    /// and the earlier one the centroid. From itself a row is 0 away.
    ///
    /// # Panics
    /// Where there are not so many rows.
    pub fn squares(&self, rows: Range<usize>, others: Range<usize>, found: &mut Vec<f64>) {
        found.clear();
        found.resize(rows.len() * others.len(), 0.0);
        sums(self, rows.clone(), others.clone(), found);
        for (i, found) in rows.zip(found.chunks_exact_mut(others.len().max(1))) {
            for (j, found) in others.clone().zip(found) {
                *found = self.square(i.max(j), i.min(j), *found);
            }
        }
    }

    /// Of the sum over two rows.
    fn square(&self, row: usize, centroid: usize, sum: f64) -> f64 {
        let (rank, norm) = match self.metric {
            _ if row == centroid => return 0.0,
            Metric::Cosine => (-(sum / self.norms[centroid]), self.norms[row]),
            Metric::Euclidean => (sum, 1.0),
        };
        squared(self.metric, distance(self.metric, rank, norm))
    }

    fn row(&self, number: usize) -> &[[f64; PARTIAL]] {
        self.values[number * self.padded..][..self.padded].as_chunks().0
    }
}

/// The sums of products, or of squared differences, of each row and each other.
fn sums(pairs: &Pairs, rows: Range<usize>, others: Range<usize>, found: &mut [f64]) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512dq")]
        fn on_avx512(pairs: &Pairs, rows: Range<usize>, others: Range<usize>, found: &mut [f64]) {
            // SAFETY: the instructions are enabled.
            unsafe { sums_by::<partial::Avx512, 2, 4>(pairs, rows, others, found) }
        }
        #[target_feature(enable = "avx2,fma")]
        fn on_avx2(pairs: &Pairs, rows: Range<usize>, others: Range<usize>, found: &mut [f64]) {
            // SAFETY: the instructions are enabled.
            unsafe { sums_by::<partial::Avx2, 1, 2>(pairs, rows, others, found) }
        }
        if crate::cpu::has_avx512() {
            // SAFETY: the processor was asked.
            return unsafe { on_avx512(pairs, rows, others, found) };
        }
        if crate::cpu::has_avx2() {
            // SAFETY: the processor was asked.
            return unsafe { on_avx2(pairs, rows, others, found) };
        }
    }
    // SAFETY: no special instructions.
    unsafe { sums_by::<partial::Plain, 1, 1>(pairs, rows, others, found) }
}

/// `R` rows and `N` others at a time, so that their sums stay in registers; the last ones stand in for missing ones.
///
/// # Safety
/// The processor has the instructions.
#[inline(always)]
unsafe fn sums_by<P: Partial, const R: usize, const N: usize>(
    pairs: &Pairs,
    rows: Range<usize>,
    others: Range<usize>,
    found: &mut [f64],
) {
    let (first_row, first_other, width) = (rows.start, others.start, others.len());
    for i in rows.clone().step_by(R) {
        let row: [usize; R] = std::array::from_fn(|r| (i + r).min(rows.end - 1));
        for j in others.clone().step_by(N) {
            let other: [usize; N] = std::array::from_fn(|n| (j + n).min(others.end - 1));
            // SAFETY: the caller's promise.
            let sums = unsafe {
                match pairs.metric {
                    Metric::Cosine => block(pairs, row, other, |x: P, c: P, sum| x.mul_add(c, sum)),
                    Metric::Euclidean => block(pairs, row, other, |x: P, c: P, sum| {
                        let difference = x.sub(c);
                        difference.mul_add(difference, sum)
                    }),
                }
            };
            for (row, sums) in row.into_iter().zip(sums) {
                for (other, sum) in other.into_iter().zip(sums) {
                    found[(row - first_row) * width + other - first_other] = sum;
                }
            }
        }
    }
}

/// # Safety
/// The processor has the instructions.
#[inline(always)]
unsafe fn block<P: Partial, const R: usize, const N: usize>(
    pairs: &Pairs,
    rows: [usize; R],
    others: [usize; N],
    term: impl Fn(P, P, P) -> P,
) -> [[f64; N]; R] {
    let (rows, others) = (rows.map(|row| pairs.row(row)), others.map(|other| pairs.row(other)));
    // SAFETY: the caller's promise.
    unsafe {
        let mut sums = [[P::zero(); N]; R];
        for at in 0..pairs.padded / PARTIAL {
            let others = others.map(|other| P::load(&other[at]));
            for (sums, row) in sums.iter_mut().zip(rows) {
                let row = P::load(&row[at]);
                for (sum, other) in sums.iter_mut().zip(others) {
                    *sum = term(row, other, *sum);
                }
            }
        }
        sums.map(|sums| sums.map(|sum| sum.total()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::exact::Seeds;
    use super::super::trials::{METRICS, Random};
    use super::*;

    #[test]
    fn squares_are_those_of_one_pair_at_a_time() {
        let mut random = Random(3);
        for metric in METRICS {
            for (dim, count) in [(1, 3), (16, 9), (37, 14), (384, 7)] {
                let rows = Centroids::new(metric, dim, random.vector(dim * count)).unwrap();
                let (pairs, seeds) = (Pairs::new(&rows), Seeds::new(rows.clone()));
                let square = |i: usize, j: usize| {
                    let row = rows.row(i.max(j));
                    let there = seeds.squared_distance(row, i.min(j) as u32, seeds.row_norm(row));
                    if i == j { 0.0 } else { there }
                };
                for (these, those) in [(0..count, 0..count), (1..2, 0..count), (0..3, count - 1..count), (2..2, 0..1)] {
                    let mut found = Vec::new();
                    pairs.squares(these.clone(), those.clone(), &mut found);
                    let expected = these.flat_map(|i| those.clone().map(move |j| (i, j)));
                    let expected: Vec<_> = expected.map(|(i, j)| square(i, j).to_bits()).collect();
                    assert_eq!(found.iter().map(|v| v.to_bits()).collect::<Vec<_>>(), expected, "{metric:?} {dim}");
                }
            }
        }
    }

    #[test]
    fn all_machines_have_the_same_bits() {
        type Sums = unsafe fn(&Pairs, Range<usize>, Range<usize>, &mut [f64]);
        let mut machines: Vec<Sums> = vec![|pairs, rows, others, found| sums(pairs, rows, others, found)];
        #[cfg(target_arch = "x86_64")]
        if crate::cpu::has_avx2() {
            machines.push(sums_by::<partial::Avx2, 1, 2>);
        }
        let mut random = Random(4);
        for metric in METRICS {
            let pairs = Pairs::new(&Centroids::new(metric, 50, random.vector(50 * 11)).unwrap());
            let mut expected = vec![0.0; 11 * 11];
            // SAFETY: no special instructions.
            unsafe { sums_by::<partial::Plain, 1, 1>(&pairs, 0..11, 0..11, &mut expected) };
            for machine in &machines {
                let mut found = vec![0.0; 11 * 11];
                // SAFETY: only machines that run here are in the list.
                unsafe { machine(&pairs, 0..11, 0..11, &mut found) };
                assert_eq!(found, expected, "{metric:?}");
            }
        }
    }
}

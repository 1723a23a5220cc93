//! Means and covariances of vectors, the same whatever the blocks and the threads.
//!
//! # Stability
//!
//! With f the first row, each row counts as its difference from f, in 64-bit floats. A sum adds the rows one after
//! another; each entry of the products is such a sum of its own, of products that are rounded before they are added (no
//! fused multiply-add). So any number of rows may be taken together, and any thread may do any entry.

use compute::as_wide_as_can_be;
use pipe::crew::beside;
use pipe::failure::Failure;

/// Rows that go over the products together, from the second-level cache.
const TOGETHER: usize = 32;

/// Sums over rows.
pub struct Moments {
    dim: usize,
    /// How many rows there were.
    pub rows: u64,
    first: Vec<f64>,
    sums: Vec<f64>,
    /// Row i from column i on.
    products: Vec<Vec<f64>>,
    differences: Vec<f64>,
}

/// The number of a row of the products, and the row from its diagonal on.
type Line<'a> = (usize, &'a mut [f64]);

impl Moments {
    /// Of no rows of so many values.
    pub fn new(dim: usize) -> Moments {
        let products = (0..dim).map(|i| vec![0.0; dim - i]).collect();
        Moments { dim, rows: 0, first: Vec::new(), sums: vec![0.0; dim], products, differences: Vec::new() }
    }

    /// Adds rows, on several threads.
    ///
    /// # Errors
    /// Where threads cannot be started.
    pub fn add(&mut self, rows: &[f32], threads: usize) -> Result<(), Failure> {
        let dim = self.dim;
        if rows.is_empty() {
            return Ok(());
        }
        if self.first.is_empty() {
            self.first = rows.iter().take(dim).map(|&value| f64::from(value)).collect();
        }
        self.rows += (rows.len() / dim) as u64;
        self.differences.clear();
        for row in rows.chunks_exact(dim) {
            self.differences.extend(row.iter().zip(&self.first).map(|(&value, first)| f64::from(value) - first));
        }
        for row in self.differences.chunks_exact(dim) {
            self.sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        }
        // Later entries are shorter: each thread gets some of every length.
        let mut bands: Vec<Vec<Line>> = (0..threads.min(dim)).map(|_| Vec::new()).collect();
        let count = bands.len();
        for (i, line) in self.products.iter_mut().enumerate() {
            bands[i % count].push((i, line));
        }
        let differences = &self.differences;
        beside(bands.into_iter(), |mut band| add_products(&mut band, differences, dim), || ()).map(drop)
    }

    /// The mean of the rows.
    pub fn mean(&self) -> Vec<f64> {
        self.first.iter().zip(&self.sums).map(|(first, sum)| first + sum / self.rows as f64).collect()
    }

    /// The covariances, row by row, times the number of rows.
    pub fn covariances(&self) -> Vec<f64> {
        let (dim, rows) = (self.dim, self.rows as f64);
        let mut whole = vec![0.0; dim * dim];
        for i in 0..dim {
            for j in i..dim {
                let covariance = self.products[i][j - i] - self.sums[i] * self.sums[j] / rows;
                (whole[i * dim + j], whole[j * dim + i]) = (covariance, covariance);
            }
        }
        whole
    }
}

/// Compiled once more for wider registers, with the same bits: an entry has its own chain of additions.
fn add_products(band: &mut [Line], rows: &[f64], dim: usize) {
    as_wide_as_can_be!(add_plainly(band: &mut [Line], rows: &[f64], dim: usize));
}

#[inline(always)]
fn add_plainly(band: &mut [Line], rows: &[f64], dim: usize) {
    for some in rows.chunks(TOGETHER * dim) {
        for (i, line) in &mut *band {
            let mut fours = some.chunks_exact(4 * dim);
            for four in &mut fours {
                let [a, b, c, d] = [0, 1, 2, 3].map(|row| &four[row * dim + *i..][..dim - *i]);
                for (j, sum) in line.iter_mut().enumerate() {
                    *sum = (((*sum + a[0] * a[j]) + b[0] * b[j]) + c[0] * c[j]) + d[0] * d[j];
                }
            }
            for row in fours.remainder().chunks_exact(dim) {
                let row = &row[*i..];
                line.iter_mut().zip(row).for_each(|(sum, value)| *sum += row[0] * value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use compute::kmeans::trials::Random;

    #[test]
    fn blocks_and_threads_change_no_bit() {
        let mut random = Random(1);
        for (dim, count) in [(1, 5), (3, 100), (33, 70)] {
            let rows = random.vector(dim * count);
            let sums = |cuts: &[usize], threads: usize| {
                let mut moments = Moments::new(dim);
                for ends in cuts.windows(2) {
                    moments.add(&rows[ends[0] * dim..ends[1] * dim], threads).unwrap();
                }
                (moments.rows, moments.mean(), moments.covariances())
            };
            let whole = sums(&[0, count], 1);
            assert_eq!(sums(&[0, 1, 4, count], 3), whole);
            assert_eq!(sums(&[0, 3, count - 1, count], 100), whole);
            // Beside plain loops.
            let mean = |j: usize| (0..count).map(|i| f64::from(rows[i * dim + j])).sum::<f64>() / count as f64;
            for (i, j) in [(0, 0), (0, dim - 1), (dim / 2, dim - 1)] {
                let term = |row: &[f32]| (f64::from(row[i]) - mean(i)) * (f64::from(row[j]) - mean(j));
                let expected: f64 = rows.chunks(dim).map(term).sum();
                assert!((whole.2[i * dim + j] - expected).abs() < 1e-12, "{dim} {i} {j}");
                assert!((whole.1[j] - mean(j)).abs() < 1e-14);
            }
        }
    }
}

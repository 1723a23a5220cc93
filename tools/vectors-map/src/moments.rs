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
const TOGETHER: usize = 64;

/// Rows and columns of the products that stay in registers while rows go over them: six registers of the widest kind,
/// twelve of half of it.
const TALL: usize = 6;
const WIDE: usize = 8;

/// Sums over rows.
pub struct Moments {
    dim: usize,
    /// How many rows there were.
    pub rows: u64,
    first: Vec<f64>,
    sums: Vec<f64>,
    /// Row by row, each of so many values; below the diagonal is nothing.
    products: Vec<f64>,
    stride: usize,
    differences: Vec<f64>,
}

/// [`TALL`] rows of the products, and the number of the first.
type Band<'a> = (usize, &'a mut [f64]);

impl Moments {
    /// Of no rows of so many values.
    pub fn new(dim: usize) -> Moments {
        // Rows of a power of two would take each other's places in the cache.
        let stride = dim.next_multiple_of(TALL * WIDE) + WIDE;
        let products = vec![0.0; dim.next_multiple_of(TALL) * stride];
        Moments { dim, rows: 0, first: Vec::new(), sums: vec![0.0; dim], products, stride, differences: Vec::new() }
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
        // What is behind the values of a row stays 0.
        self.differences.resize(rows.len() / dim * self.stride, 0.0);
        for (row, to) in rows.chunks_exact(dim).zip(self.differences.chunks_exact_mut(self.stride)) {
            to.iter_mut()
                .zip(row.iter().zip(&self.first))
                .for_each(|(to, (&value, first))| *to = f64::from(value) - first);
            self.sums.iter_mut().zip(&*to).for_each(|(sum, value)| *sum += value);
        }
        // Later rows are shorter: each thread gets some of every length.
        let bands = self.products.chunks_exact_mut(TALL * self.stride).enumerate();
        let mut shares: Vec<Vec<Band>> = (0..threads.min(bands.len())).map(|_| Vec::new()).collect();
        let count = shares.len();
        bands.for_each(|(i, band)| shares[i % count].push((i * TALL, band)));
        let (differences, stride) = (&self.differences, self.stride);
        beside(shares.into_iter(), |mut share| add_products(&mut share, differences, dim, stride), || ()).map(drop)
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
                let covariance = self.products[i * self.stride + j] - self.sums[i] * self.sums[j] / rows;
                (whole[i * dim + j], whole[j * dim + i]) = (covariance, covariance);
            }
        }
        whole
    }
}

/// Compiled once more for wider registers, with the same bits: an entry has its own chain of additions.
fn add_products(bands: &mut [Band], rows: &[f64], dim: usize, stride: usize) {
    as_wide_as_can_be!(add_plainly(bands: &mut [Band], rows: &[f64], dim: usize, stride: usize));
}

#[inline(always)]
fn add_plainly(bands: &mut [Band], rows: &[f64], dim: usize, stride: usize) {
    for some in rows.chunks(TOGETHER * stride) {
        for (i, band) in &mut *bands {
            for j in (*i / WIDE * WIDE..dim).step_by(WIDE) {
                let mut tile = [[0.0; WIDE]; TALL];
                for (line, row) in tile.iter_mut().zip(band.chunks_exact(stride)) {
                    line.copy_from_slice(&row[j..j + WIDE]);
                }
                for row in some.chunks_exact(stride) {
                    let (left, right) = (&row[*i..*i + TALL], &row[j..j + WIDE]);
                    for (line, left) in tile.iter_mut().zip(left) {
                        line.iter_mut().zip(right).for_each(|(sum, right)| *sum += left * right);
                    }
                }
                for (line, row) in tile.iter().zip(band.chunks_exact_mut(stride)) {
                    row[j..j + WIDE].copy_from_slice(line);
                }
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

//! The steps of greedy k-means++ that go over all rows, on a GPU: see `lib/kernels/kmeans_seed.cu`.
//!
//! Who draws, and by what rule, is not known here. Rows that do not fit one [`Seeding`] go into several: squares are of each row alone, and
//! masses are whole numbers that add up.

use crate::device::{Array, Device, Failure};
use crate::kernels::{self, SEED_CANDIDATES, Seeded, Shape};
use compute::kmeans::{Centroids, Metric, exact};

/// Rows in the memory of a GPU, and how far each is from the centroids so far.
pub struct Seeding {
    device: Device,
    metric: Metric,
    dim: usize,
    rows: Seeded,
}

impl Seeding {
    /// Brings rows onto the GPU, infinitely far from any centroid: all finite, none zero under [`Metric::Cosine`]; `weights` in units
    /// of 2^-20.
    ///
    /// # Panics
    /// Where there is not one weight a row.
    pub fn new(device: &Device, metric: Metric, dim: usize, rows: &[f32], weights: &[u64]) -> Result<Seeding, Failure> {
        let n = weights.len();
        assert_eq!(rows.len(), n * dim, "whole rows, a weight each");
        let rows = Seeded {
            rows: device.array_of(rows)?,
            row_norms: device.array(n)?,
            squares: device.array_of(&vec![f64::INFINITY; n])?,
            weights: device.array_of(weights)?,
        };
        let seeding = Seeding { device: device.clone(), metric, dim, rows };
        let stream = device.stream()?;
        // SAFETY: the rows live until `wait` has returned; `stream` is dropped before they are where a call fails.
        unsafe { kernels::seed_norms(&stream, seeding.shape(1), &seeding.rows)? };
        stream.wait()?;
        drop(stream);
        Ok(seeding)
    }

    /// Says how far the rows are from the centroids so far: what [`Seeding::nearer`] gave.
    ///
    /// # Panics
    /// Where there is not one square a row.
    pub fn set_squares(&mut self, squares: &[f64]) -> Result<(), Failure> {
        assert_eq!(squares.len(), self.rows.squares.len(), "a square a row");
        let stream = self.device.stream()?;
        // SAFETY: both live until `wait` has returned, or `stream` has been dropped where the call fails.
        unsafe { stream.upload(squares, &mut self.rows.squares)? };
        stream.wait()
    }

    /// The values of a row.
    pub fn row(&self, row: usize) -> Result<Vec<f32>, Failure> {
        let mut values = vec![0.0; self.dim];
        let stream = self.device.stream()?;
        // SAFETY: both live until `wait` has returned, or `stream` has been dropped where the call fails.
        unsafe { stream.download_at(&self.rows.rows, row * self.dim, &mut values)? };
        stream.wait()?;
        drop(stream);
        Ok(values)
    }

    /// Takes one more centroid in, and gives the squared distance of each row to the nearest so far: 1 - cosine, not below 0, or the square of
    /// the distance, in the arithmetic of [`exact`].
    ///
    /// # Panics
    /// Where this is not one centroid of the rows' kind.
    pub fn nearer(&mut self, centroid: &Centroids) -> Result<Vec<f64>, Failure> {
        assert_eq!((centroid.k(), centroid.dim, centroid.metric), (1, self.dim, self.metric), "one centroid");
        let on_device = self.bring(centroid)?;
        let mut squares = vec![0.0; self.rows.squares.len()];
        let stream = self.device.stream()?;
        // SAFETY: everything lives until `wait` has returned, or `stream` has been dropped where a call fails.
        unsafe {
            kernels::seed_nearer(&stream, self.shape(1), &self.rows, &on_device)?;
            stream.download(&self.rows.squares, &mut squares)?;
        }
        stream.wait()?;
        drop(stream);
        Ok(squares)
    }

    /// What each candidate would leave as a centroid: the sum of all rows' `min(square to it, square so far) weight`, each times `scale` rounded
    /// to a whole number, halves to even.
    ///
    /// # Panics
    /// Where the candidates are not of the rows' kind.
    pub fn masses(&self, candidates: &Centroids, scale: f64) -> Result<Vec<u128>, Failure> {
        assert_eq!((candidates.dim, candidates.metric), (self.dim, self.metric), "candidates of the rows' kind");
        let mut masses = Vec::new();
        for values in candidates.values.chunks(SEED_CANDIDATES * self.dim) {
            let some = Centroids { metric: self.metric, dim: self.dim, values: values.to_vec() };
            let on_device = self.bring(&some)?;
            let sums: Array<u64> = self.device.array(2 * some.k())?;
            let mut words = vec![0; 2 * some.k()];
            let stream = self.device.stream()?;
            // SAFETY: everything lives until `wait` has returned, or `stream` has been dropped where a call fails.
            unsafe {
                kernels::seed_masses(&stream, self.shape(some.k()), &self.rows, &on_device, scale, &sums)?;
                stream.download(&sums, &mut words)?;
            }
            stream.wait()?;
            drop(stream);
            masses.extend(words.chunks_exact(2).map(|words| (u128::from(words[1]) << 64) | u128::from(words[0])));
        }
        Ok(masses)
    }

    fn bring(&self, centroids: &Centroids) -> Result<kernels::Centroids, Failure> {
        let (values, norms) = (self.device.array_of(&centroids.values)?, exact::norms(centroids));
        Ok(kernels::Centroids { values, norms: self.device.array_of(&norms)? })
    }

    fn shape(&self, k: usize) -> Shape {
        Shape { n: self.rows.squares.len(), k, dim: self.dim, metric: self.metric }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::machines;
    use compute::kmeans::trials::{METRICS, Random};

    /// A row's squared distance, in the order that is frozen on the CPU.
    fn square(row: &[f32], j: u32, centroids: &Centroids) -> f64 {
        let norm = exact::row_norm(row, centroids.metric).unwrap();
        let rank = exact::rank(row, j, centroids, &exact::norms(centroids));
        let distance = exact::distance(centroids.metric, rank, norm);
        match centroids.metric {
            Metric::Cosine => distance.max(0.0),
            Metric::Euclidean => distance * distance,
        }
    }

    #[test]
    fn squares_and_masses_are_those_of_the_cpu() {
        let mut random = Random(14);
        for (metric, (n, dim)) in
            METRICS.into_iter().flat_map(|metric| [(1, 1), (40, 37), (2100, 3)].map(|shape| (metric, shape)))
        {
            let mut rows = random.vector(n * dim);
            rows[0] = 0.5;
            let weights: Vec<u64> = (0..n).map(|_| random.bits() << random.below(20)).collect();
            let take = |from: usize, k: usize| {
                let values = rows.iter().copied().cycle().skip(from * dim).take(k * dim).collect();
                Centroids::new(metric, dim, values).unwrap()
            };
            let (first, trials, scale) = (take(0, 1), take(n / 2, 5), 2_f64.powi(30));
            let squares: Vec<f64> = rows.chunks_exact(dim).map(|row| square(row, 0, &first)).collect();
            let mut masses = vec![0_u128; 5];
            for ((row, &known), &weight) in rows.chunks_exact(dim).zip(&squares).zip(&weights) {
                for (j, mass) in masses.iter_mut().enumerate() {
                    let left = square(row, j as u32, &trials).min(known) * weight as f64;
                    *mass += (left * scale).round_ties_even() as u128;
                }
            }
            for device in machines() {
                let mut seeding = Seeding::new(&device, metric, dim, &rows, &weights).unwrap();
                assert_eq!(seeding.nearer(&first).unwrap(), squares, "{metric:?}, {device:?}, {n} x {dim}");
                assert_eq!(seeding.masses(&trials, scale).unwrap(), masses, "{metric:?}, {device:?}, {n} x {dim}");
                // The same, of rows that went and came again.
                let mut again = Seeding::new(&device, metric, dim, &rows, &weights).unwrap();
                again.set_squares(&squares).unwrap();
                assert_eq!(again.masses(&trials, scale).unwrap(), masses, "{metric:?}, {device:?}, {n} x {dim}");
                assert_eq!(again.row(n / 2).unwrap(), rows[n / 2 * dim..][..dim]);
                let nearer = seeding.nearer(&take(n / 3, 1)).unwrap();
                assert!(nearer.iter().zip(&squares).all(|(after, before)| after <= before));
                assert_eq!(nearer[n / 3], square(&rows[n / 3 * dim..][..dim], 0, &take(n / 3, 1)).min(squares[n / 3]));
            }
        }
    }
}

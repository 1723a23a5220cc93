//! The steps of greedy k-means++ that go over all rows, on a GPU: see `lib/kernels/kmeans_seed.cu`.
//!
//! Who draws, and by what rule, is not known here. Rows that do not fit one [`Seeding`] go into several: squares are of
//! each row alone, and masses are whole numbers that add up.

use crate::device::{Array, Device, Failure, Stream};
use crate::kernels::{self, SEED_CANDIDATES, Seeded, Shape};
use compute::kmeans::{Centroids, Metric, exact};

/// Rows in the memory of a GPU, and how far each is from the centroids so far.
pub struct Seeding {
    /// First, so that it is dropped first, and waits before the rest is freed. Every call waits, too.
    stream: Stream,
    metric: Metric,
    dim: usize,
    rows: Seeded,
    /// Places for a few candidates and what each would leave, so that no call needs more memory.
    candidates: kernels::Centroids,
    masses: Array<u64>,
}

impl Seeding {
    /// Brings rows onto the GPU, infinitely far from any centroid: all finite, none zero under [`Metric::Cosine`];
    /// `weights` in units of 2^-20. Up to `candidates` are to be tried at a time.
    ///
    /// # Errors
    /// Where the GPU fails; `out_of_memory` where fewer rows might do.
    ///
    /// # Panics
    /// Where there is not one weight a row.
    pub fn new(
        device: &Device,
        metric: Metric,
        dim: usize,
        rows: &[f32],
        weights: &[u64],
        candidates: usize,
    ) -> Result<Seeding, Failure> {
        let (n, candidates) = (weights.len(), candidates.clamp(1, SEED_CANDIDATES));
        assert_eq!(rows.len(), n * dim, "whole rows, a weight each");
        let norms = if metric == Metric::Cosine { candidates } else { 0 };
        let seeding = Seeding {
            stream: device.stream()?,
            metric,
            dim,
            rows: Seeded {
                rows: device.array_of(rows)?,
                row_norms: device.array(n)?,
                squares: device.array_of(&vec![f64::INFINITY; n])?,
                weights: device.array_of(weights)?,
            },
            candidates: kernels::Centroids { values: device.array(candidates * dim)?, norms: device.array(norms)? },
            masses: device.array(2 * candidates)?,
        };
        // SAFETY: the rows live until `wait` has returned.
        let queued = unsafe { kernels::seed_norms(&seeding.stream, seeding.shape(1), &seeding.rows) };
        seeding.stream.wait_after(queued)?;
        Ok(seeding)
    }

    /// Says how far the rows are from the centroids so far: what [`Seeding::nearer`] gave.
    ///
    /// # Errors
    /// Where the GPU fails.
    ///
    /// # Panics
    /// Where there is not one square a row.
    pub fn set_squares(&mut self, squares: &[f64]) -> Result<(), Failure> {
        assert_eq!(squares.len(), self.rows.squares.len(), "a square a row");
        // SAFETY: both live until `wait` has returned.
        let queued = unsafe { self.stream.upload(squares, &mut self.rows.squares) };
        self.stream.wait_after(queued)
    }

    /// The values of a row.
    ///
    /// # Errors
    /// Where the GPU fails.
    pub fn row(&self, row: usize) -> Result<Vec<f32>, Failure> {
        let mut values = vec![0.0; self.dim];
        // SAFETY: both live until `wait` has returned.
        let queued = unsafe { self.stream.download_at(&self.rows.rows, row * self.dim, &mut values) };
        self.stream.wait_after(queued)?;
        Ok(values)
    }

    /// Takes one more centroid in, and gives the squared distance of each row to the nearest so far: 1 - cosine, not
    /// below 0, or the square of the distance, in the arithmetic of [`exact`].
    ///
    /// # Errors
    /// Where the GPU fails.
    ///
    /// # Panics
    /// Where this is not one centroid of the rows' kind.
    pub fn nearer(&mut self, centroid: &Centroids) -> Result<Vec<f64>, Failure> {
        assert_eq!((centroid.k(), centroid.dim, centroid.metric), (1, self.dim, self.metric), "one centroid");
        let (norms, mut squares) = (exact::norms(centroid), vec![0.0; self.rows.squares.len()]);
        // SAFETY: everything lives until `wait` has returned.
        let queued = unsafe {
            self.bring(&centroid.values, &norms)
                .and_then(|()| kernels::seed_nearer(&self.stream, self.shape(1), &self.rows, &self.candidates))
                .and_then(|()| self.stream.download(&self.rows.squares, &mut squares))
        };
        self.stream.wait_after(queued)?;
        Ok(squares)
    }

    /// What each candidate would leave as a centroid: the sum of all rows' `min(square to it, square so far) weight`,
    /// each times `scale` rounded to a whole number, halves to even.
    ///
    /// # Errors
    /// Where the GPU fails.
    ///
    /// # Panics
    /// Where the candidates are not of the rows' kind.
    pub fn masses(&mut self, candidates: &Centroids, scale: f64) -> Result<Vec<u128>, Failure> {
        assert_eq!((candidates.dim, candidates.metric), (self.dim, self.metric), "candidates of the rows' kind");
        let (norms, at_once) = (exact::norms(candidates), self.masses.len() / 2);
        let mut masses = Vec::new();
        for (start, values) in (0..).step_by(at_once).zip(candidates.values.chunks(at_once * self.dim)) {
            let count = values.len() / self.dim;
            let norms = norms.get(start..start + count).unwrap_or_default();
            let (zeros, mut words) = (vec![0; 2 * count], vec![0; 2 * count]);
            // SAFETY: everything lives until `wait` has returned.
            let queued = unsafe {
                self.bring(values, norms)
                    .and_then(|()| self.stream.upload(&zeros, &mut self.masses))
                    .and_then(|()| {
                        let shape = self.shape(count);
                        kernels::seed_masses(&self.stream, shape, &self.rows, &self.candidates, scale, &self.masses)
                    })
                    .and_then(|()| self.stream.download(&self.masses, &mut words))
            };
            self.stream.wait_after(queued)?;
            masses.extend(words.chunks_exact(2).map(|words| (u128::from(words[1]) << 64) | u128::from(words[0])));
        }
        Ok(masses)
    }

    /// Queues a copy of candidates into their places.
    ///
    /// # Safety
    /// They live until the next `wait`.
    unsafe fn bring(&mut self, values: &[f32], norms: &[f64]) -> Result<(), Failure> {
        // SAFETY: the caller's promise.
        unsafe {
            self.stream.upload(values, &mut self.candidates.values)?;
            self.stream.upload(norms, &mut self.candidates.norms)
        }
    }

    fn shape(&self, k: usize) -> Shape {
        Shape { n: self.rows.squares.len(), k, dim: self.dim, metric: self.metric }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::machines;
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
                let mut seeding = Seeding::new(&device, metric, dim, &rows, &weights, 3).unwrap();
                assert_eq!(seeding.nearer(&first).unwrap(), squares, "{metric:?}, {device:?}, {n} x {dim}");
                assert_eq!(seeding.masses(&trials, scale).unwrap(), masses, "{metric:?}, {device:?}, {n} x {dim}");
                // The same, of rows that went and came again.
                let mut again = Seeding::new(&device, metric, dim, &rows, &weights, 3).unwrap();
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

//! Nearest centroids and sums on a GPU, bit for bit as on the CPU.
//!
//! Rows stream ([`crate::flow`]): a call is cut into pieces, of which two are in flight. Where memory is short, pieces are halved; answers do
//! not depend on it. How it is computed, and why it is exact, stands in `lib/kernels/kmeans_assign.cu` and `kmeans_sums.cu`.

use crate::device::{Device, Failure};
use crate::flow::{Memory, whole_tiles};
use crate::kernels::{self, Rounded, Shape, TILE, TOTALS};
use crate::table::{DIM_MAX, Table};
use compute::kmeans::{Assigner, Centroids, Metric, Nearest, Outlier, Sums, Totals, exact};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of rows in a piece, and of ranks where several nearest are asked for: enough to fill a large GPU.
const PIECE_BYTES: usize = 64 << 20;

/// Finds nearest centroids on a GPU.
pub struct Cuda {
    device: Device,
    centroids: Centroids,
    exact: kernels::Centroids,
    rounded: Rounded,
    /// Rows of a piece; less where memory was short.
    piece: AtomicUsize,
}

impl Cuda {
    /// Brings the centroids onto the GPU.
    pub fn new(device: &Device, centroids: Centroids) -> Result<Cuda, Failure> {
        let mut one = Cuda::on_each(std::slice::from_ref(device), &centroids)?;
        Ok(one.remove(0))
    }

    /// Brings the same centroids onto each of several GPUs.
    pub fn on_each(devices: &[Device], centroids: &Centroids) -> Result<Vec<Cuda>, Failure> {
        if centroids.dim > DIM_MAX {
            let message =
                format!("GPU: vectors of {} values, expected {DIM_MAX} at most; run with --device cpu", centroids.dim);
            return Err(Failure { message, out_of_memory: false });
        }
        let norms = exact::norms(centroids);
        let table = Table::new(centroids, &norms);
        let bring = |device: &Device| {
            let exact =
                kernels::Centroids { values: device.array_of(&centroids.values)?, norms: device.array_of(&norms)? };
            let rounded = Rounded {
                values: device.array_of(&table.values)?,
                halves: device.array_of(&table.halves)?,
                middle: device.array_of(&table.middle)?,
                limits: table.limits,
            };
            let piece = AtomicUsize::new(whole_tiles(PIECE_BYTES / 4 / centroids.dim));
            Ok(Cuda { device: device.clone(), centroids: centroids.clone(), exact, rounded, piece })
        };
        devices.iter().map(bring).collect()
    }

    /// The centroids.
    pub fn centroids(&self) -> &Centroids {
        &self.centroids
    }

    /// Rows that are computed at a time. Smaller calls leave a large GPU idle; it is halved where memory is short.
    pub fn piece(&self) -> usize {
        self.piece.load(Ordering::Relaxed)
    }

    /// As [`Assigner::nearest`], whose promise it keeps, or why the GPU could not.
    ///
    /// # Panics
    /// Where `rows` is not `found.len()` rows.
    pub fn assign(&self, rows: &[f32], found: &mut [Nearest], memory: &mut Memory) -> Result<usize, Failure> {
        self.stream(rows, None, found, memory, None)
    }

    /// As [`Cuda::assign`], and adds each row to the cluster that was found for it; `weights` in units of 2^-20, none for 1. With it,
    /// whether the sums could not take some row so far, of this call or of another.
    ///
    /// # Panics
    /// Where `rows` or `weights` are not `found.len()` rows.
    pub fn assign_and_add(
        &self,
        rows: &[f32],
        weights: Option<&[u64]>,
        found: &mut [Nearest],
        memory: &mut Memory,
        sums: &DeviceSums,
    ) -> Result<(usize, bool), Failure> {
        let looks = self.stream(rows, weights, found, memory, Some(sums))?;
        Ok((looks, memory.slots.iter().any(|slot| slot.outliers() > 0)))
    }

    /// Empty sums on the GPU, for rows that are assigned to these centroids, of the unit `exponent` ([`compute::kmeans::unit_exponent`]).
    pub fn sums(&self, exponent: i32) -> Result<DeviceSums, Failure> {
        let (k, dim) = (self.centroids.k(), self.centroids.dim);
        let sums = kernels::Sums {
            exponent,
            coordinates: self.device.array(k * dim)?,
            totals: self.device.array(k * TOTALS)?,
            outliers: self.device.array(1)?,
        };
        Ok(DeviceSums { device: self.device.clone(), metric: self.centroids.metric, dim, sums })
    }

    /// As [`Assigner::nearest_several`], or why the GPU could not: all ranks of a piece are computed in 64-bit floats and sorted here.
    ///
    /// # Panics
    /// Where `rows` is not `found.len() / count` rows.
    pub fn assign_several(&self, rows: &[f32], count: usize, found: &mut [Nearest]) -> Result<usize, Failure> {
        assert_eq!(rows.len() * count, found.len() * self.centroids.dim, "whole rows");
        let (k, dim) = (self.centroids.k(), self.centroids.dim);
        self.piece.fetch_min((PIECE_BYTES / 8 / k).max(1), Ordering::Relaxed);
        let (piece, (mut on_device, ranks, row_norms)) = loop {
            let piece = self.piece().min(rows.len() / dim).max(1);
            let take =
                || Ok((self.device.array(piece * dim)?, self.device.array(piece * k)?, self.device.array(piece)?));
            match take() {
                Ok(taken) => break (piece, taken),
                Err(Failure { out_of_memory: true, .. }) if piece > 1 => {
                    self.piece.fetch_min(piece / 2, Ordering::Relaxed);
                }
                Err(failure) => return Err(failure),
            }
        };
        let (mut ranks_here, mut row_norms_here) = (vec![0.0; piece * k], vec![0.0; piece]);
        // Last, so that it is dropped first: then it waits.
        let stream = self.device.stream()?;
        for (rows, found) in rows.chunks(piece * dim).zip(found.chunks_mut(piece * count)) {
            let shape = self.shape(rows.len() / dim);
            // SAFETY: everything lives until `wait` has returned, or `stream` has been dropped where a call fails.
            unsafe {
                stream.upload(rows, &mut on_device)?;
                kernels::rank_naive(&stream, shape, &on_device, &self.exact, &ranks, &row_norms)?;
                stream.download(&ranks, &mut ranks_here[..shape.n * k])?;
                stream.download(&row_norms, &mut row_norms_here[..shape.n])?;
            }
            stream.wait()?;
            let rows = ranks_here.chunks_exact(k).zip(&row_norms_here);
            for ((ranks, &row_norm), found) in rows.zip(found.chunks_exact_mut(count)) {
                self.sort(ranks, row_norm, found);
            }
        }
        Ok(rows.len() / dim)
    }

    /// The nearest of all ranks of a row.
    fn sort(&self, ranks: &[f64], row_norm: f64, found: &mut [Nearest]) {
        found.fill(Nearest::MISSING);
        if row_norm.is_nan() {
            return;
        }
        let mut order: Vec<u32> = (0..ranks.len() as u32).collect();
        // Of equals the lowest number first: the sort is stable.
        order.sort_by(|&a, &b| ranks[a as usize].total_cmp(&ranks[b as usize]));
        for (place, &cluster) in found.iter_mut().zip(&order) {
            let distance = exact::distance(self.centroids.metric, ranks[cluster as usize], row_norm);
            *place = Nearest { cluster, distance };
        }
    }

    /// Where it is.
    pub fn device(&self) -> &Device {
        &self.device
    }

    pub(crate) fn rounded(&self) -> &Rounded {
        &self.rounded
    }

    pub(crate) fn exact(&self) -> &kernels::Centroids {
        &self.exact
    }

    pub(crate) fn shape(&self, n: usize) -> Shape {
        Shape { n, k: self.centroids.k(), dim: self.centroids.dim, metric: self.centroids.metric }
    }

    fn stream(
        &self,
        rows: &[f32],
        weights: Option<&[u64]>,
        found: &mut [Nearest],
        memory: &mut Memory,
        sums: Option<&DeviceSums>,
    ) -> Result<usize, Failure> {
        let (n, dim) = (found.len(), self.centroids.dim);
        assert_eq!(rows.len(), n * dim, "whole rows");
        assert!(weights.is_none_or(|weights| weights.len() == n), "a weight a row");
        let piece = self.take_memory(n, memory)?;
        let mut pieces = || {
            let (slots, mut looks) = (&mut memory.slots, 0);
            for (turn, start) in (0..n).step_by(piece).enumerate() {
                let range = start..n.min(start + piece);
                let slot = &mut slots[turn % 2];
                looks += slot.finish(found)?;
                slot.fill(0, &rows[range.start * dim..range.end * dim], weights.map(|weights| &weights[range.clone()]));
                slot.launch(self, range, weights.is_some(), sums)?;
            }
            for slot in slots {
                looks += slot.finish(found)?;
            }
            Ok(looks)
        };
        let done = pieces();
        if done.is_err() {
            // Waits for what is still queued, while all that it works on is alive.
            memory.slots.clear();
        }
        done
    }

    /// Slots for pieces of `n` rows, or of as many as there is memory for: one for a single piece, else two. Returns how many rows.
    fn take_memory(&self, n: usize, memory: &mut Memory) -> Result<usize, Failure> {
        loop {
            let piece = self.piece().min(n.max(1).next_multiple_of(TILE));
            let needed = n.div_ceil(piece).clamp(1, 2);
            if memory.slots.len() >= needed && memory.slots.iter().all(|slot| slot.capacity >= piece) {
                return Ok(piece);
            }
            memory.slots.clear();
            match Memory::of(&self.device, self.centroids.dim, piece, needed) {
                Ok(taken) => *memory = taken,
                Err(failure) if failure.out_of_memory && piece > TILE => {
                    self.piece.fetch_min(whole_tiles(piece / 2), Ordering::Relaxed);
                }
                Err(failure) => return Err(failure),
            }
        }
    }
}

impl Assigner for Cuda {
    type Memory = Memory;

    /// # Panics
    /// Where the GPU fails.
    fn nearest(&self, rows: &[f32], found: &mut [Nearest], memory: &mut Memory) -> usize {
        self.assign(rows, found, memory).unwrap_or_else(|failure| panic!("{failure}"))
    }

    /// # Panics
    /// Where the GPU fails.
    fn nearest_several(&self, rows: &[f32], count: usize, found: &mut [Nearest], _: &mut Memory) -> usize {
        self.assign_several(rows, count, found).unwrap_or_else(|failure| panic!("{failure}"))
    }
}

/// Sums that stay on the GPU until they are asked for.
pub struct DeviceSums {
    device: Device,
    metric: Metric,
    dim: usize,
    sums: kernels::Sums,
}

impl DeviceSums {
    pub(crate) fn kernel(&self) -> &kernels::Sums {
        &self.sums
    }

    /// What all rows added so far come to ([`Outlier`]: one row too many for 64 bits), and how many rows could not be added, being too far
    /// out: those that [`Sums::add`] refuses.
    pub fn collect(&self) -> Result<(Result<Sums, Outlier>, u32), Failure> {
        let mut coordinates = vec![0; self.sums.coordinates.len()];
        let mut totals = vec![0; self.sums.totals.len()];
        let mut outliers = [0];
        // Last, so that it is dropped first: then it waits.
        let stream = self.device.stream()?;
        // SAFETY: everything lives until `wait` has returned, or `stream` has been dropped where a call fails.
        unsafe {
            stream.download(&self.sums.coordinates, &mut coordinates)?;
            stream.download(&self.sums.totals, &mut totals)?;
            stream.download(&self.sums.outliers, &mut outliers)?;
        }
        stream.wait()?;
        let totals: Option<Vec<_>> = totals.chunks_exact(TOTALS).map(totals_of).collect();
        let sums = totals.ok_or(Outlier).map(|totals| Sums {
            metric: self.metric,
            dim: self.dim,
            exponent: self.sums.exponent,
            totals,
            coordinates: coordinates.into_iter().map(|sum: u64| sum as i64).collect(),
        });
        Ok((sums, outliers[0]))
    }
}

/// Totals out of the kernel's words; `None` where 64 bits are too few.
fn totals_of(words: &[u64]) -> Option<Totals> {
    let wide = |at: usize| (i128::from(words[at + 1] as i64) << 64) | i128::from(words[at]);
    Some(Totals {
        rows: words[0],
        weight: u64::try_from(wide(1)).ok()?,
        distance: wide(3),
        distance_sq: wide(5),
        reach: i64::try_from(wide(7)).ok()? as u64,
    })
}

#[cfg(test)]
mod tests;

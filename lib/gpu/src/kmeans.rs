//! Centroids and sums in the memory of a GPU, bit for bit as on the CPU.
//!
//! Rows stream past them in a flow. How it is computed, and why it is exact, stands in
//! `lib/kernels/kmeans_assign.cu` and `kmeans_sums.cu`.

use crate::device::{Device, Failure};
use crate::kernels::{self, Rounded, Shape};
use crate::modules::TOTALS;
use crate::table::{DIM_MAX, Table};
use compute::kmeans::{Centroids, Metric, Nearest, Outlier, Sums, Totals, exact, summable};

/// Finds nearest centroids on a GPU.
pub struct Cuda {
    device: Device,
    centroids: Centroids,
    exact: kernels::Centroids,
    rounded: Rounded,
}

impl Cuda {
    /// Brings the centroids onto the GPU.
    ///
    /// # Errors
    /// Where the GPU fails, or where they have more values than its bound is derived for.
    pub fn new(device: &Device, centroids: Centroids) -> Result<Cuda, Failure> {
        let mut one = Cuda::on_each(std::slice::from_ref(device), &centroids)?;
        Ok(one.remove(0))
    }

    /// Brings the same centroids onto each of several GPUs.
    ///
    /// # Errors
    /// As [`Cuda::new`].
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
            Ok(Cuda { device: device.clone(), centroids: centroids.clone(), exact, rounded })
        };
        devices.iter().map(bring).collect()
    }

    /// The centroids.
    pub fn centroids(&self) -> &Centroids {
        &self.centroids
    }

    /// Empty sums on the GPU, for rows that are assigned to these centroids, of the unit `exponent`
    /// ([`compute::kmeans::unit_exponent`]).
    ///
    /// # Errors
    /// Where the GPU fails.
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

    /// Writes the `count` nearest centroids of each row into `found`, as [`compute::kmeans::Assigner::nearest_several`]
    /// does: all ranks are computed in 64-bit floats and sorted here.
    ///
    /// # Errors
    /// Where the GPU fails; `out_of_memory` where fewer rows might do.
    ///
    /// # Panics
    /// Where `rows` is not `found.len() / count` rows.
    pub fn nearest_several(&self, rows: &[f32], count: usize, found: &mut [Nearest]) -> Result<(), Failure> {
        assert_eq!(rows.len() * count, found.len() * self.centroids.dim, "whole rows");
        let (n, k) = (rows.len() / self.centroids.dim, self.centroids.k());
        let on_device = self.device.array_of(rows)?;
        let (ranks, row_norms) = (self.device.array(n * k)?, self.device.array(n)?);
        let (mut ranks_here, mut row_norms_here) = (vec![0.0; n * k], vec![0.0; n]);
        // Last, so that it is dropped first: then it waits.
        let stream = self.device.stream()?;
        // SAFETY: everything lives until `wait` has returned, or `stream` has been dropped where a call fails.
        unsafe {
            kernels::rank_naive(&stream, self.shape(n), &on_device, &self.exact, &ranks, &row_norms)?;
            stream.download(&ranks, &mut ranks_here)?;
            stream.download(&row_norms, &mut row_norms_here)?;
        }
        stream.wait()?;
        let rows = ranks_here.chunks_exact(k).zip(&row_norms_here);
        for ((ranks, &row_norm), found) in rows.zip(found.chunks_exact_mut(count)) {
            self.sort(ranks, row_norm, found);
        }
        Ok(())
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

    /// Whether they take a row of this weight: those that they do not are counted, and not added.
    pub fn can_take(&self, row: &[f32], weight: u64) -> bool {
        summable(self.metric, self.sums.exponent, row, weight)
    }

    /// What all rows added so far come to ([`Outlier`]: one row too many for 64 bits), and how many rows could not be
    /// added, being too far out: those that [`Sums::add`] refuses.
    ///
    /// # Errors
    /// Where the GPU fails.
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

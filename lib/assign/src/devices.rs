//! What `--device` asked for.

use gpu::device::{Device, Failure as GpuFailure};
use gpu::flow::ROWS_MIN;
use gpu::pool::{FEEDERS, Pool};
use pipe::failure::Failure;
use pipe::settings::Common;
use pipe::stats::Stats;
use std::sync::Arc;

/// Bytes of the values of a piece of rows for a GPU, and its rows at the most: what the threads of a GPU have in flight
/// together fills a large one.
const PIECE: usize = 32 << 20;
const PIECE_ROWS: usize = 1 << 16;

/// The processor, or GPUs.
pub struct Devices {
    pub(crate) gpus: Option<Arc<Pool>>,
}

impl Devices {
    /// Opens what was asked for.
    ///
    /// # Errors
    /// Where a GPU is not there, or too old.
    pub fn open(common: &Common) -> Result<Devices, Failure> {
        let open = |gpus: &pipe::settings::Gpus| {
            let failed = |why: GpuFailure| Failure::work(format!("--device {}: {why}", gpus.name));
            Device::open_all(&gpus.numbers).map(|devices| Arc::new(Pool::new(devices))).map_err(failed)
        };
        Ok(Devices { gpus: common.gpus.as_ref().map(open).transpose()? })
    }

    /// Whether they are GPUs.
    pub fn are_gpus(&self) -> bool {
        self.gpus.is_some()
    }

    /// Values of a block of rows that is waited for: about 1 MB, and 16 MB for a GPU, which a few of them fill.
    pub fn block_values(&self) -> usize {
        if self.are_gpus() { 1 << 22 } else { 1 << 18 }
    }

    /// Bytes of the processor's memory that a pass over rows of `dim` values takes, besides sums.
    pub fn bytes_here(&self, dim: usize) -> u64 {
        let count = self.gpus.as_ref().map_or(0, |pool| pool.devices().len());
        // Of a row: its values, number, weight, cluster and distance.
        (count * FEEDERS * 2 * piece_rows(dim) * (4 * dim + 28)) as u64
    }

    /// Says which GPUs computed, and how many rows at a time.
    pub fn report(&self, stats: Stats) -> Stats {
        let Some(pool) = &self.gpus else { return stats };
        let names: Vec<_> = pool.devices().iter().map(Device::name).collect();
        stats.with("device", names.join(", ")).with("gpu_rows_max", pool.rows_max())
    }
}

/// Rows of a piece where memory is not short.
pub(crate) fn piece_rows(dim: usize) -> usize {
    (PIECE / 4 / dim).clamp(ROWS_MIN, PIECE_ROWS)
}

//! Where vectors are held against the centroids: on the processor, or on GPUs, which also add them up.

use cluster::sums::{Partial, TOO_MANY};
use compute::kmeans::{Assigner, Centroids, Cpu, Memory, Nearest, unit_exponent};
use gpu::device::{Device, Failure};
use gpu::flow;
use gpu::kmeans::{Cuda, DeviceSums};
use pipe::stats::Stats;
use std::sync::Arc;

/// Threads that feed a GPU: each holds blocks in pinned memory, and a few keep it busy.
const HANDS_GPU: usize = 4;

/// The centroids, wherever they are.
pub enum Tables {
    /// On the processor.
    Cpu(Arc<Cpu>),
    /// On each of several GPUs.
    Gpus(Vec<Gpu>),
}

/// The centroids on one GPU, and what the vectors there add up to, where that is asked for.
#[derive(Clone)]
pub struct Gpu {
    cuda: Arc<Cuda>,
    sums: Option<Arc<DeviceSums>>,
}

impl Tables {
    /// Of these centroids, on these devices (none: the processor), for sums or not.
    pub fn new(devices: &[Device], centroids: &Centroids, summing: bool) -> Result<Tables, Failure> {
        if devices.is_empty() {
            return Ok(Tables::Cpu(Arc::new(Cpu::new(centroids.clone()))));
        }
        let gpu = |cuda: Cuda| {
            let sums = summing.then(|| cuda.sums(unit_exponent(centroids))).transpose()?;
            Ok(Gpu { cuda: Arc::new(cuda), sums: sums.map(Arc::new) })
        };
        Cuda::on_each(devices, centroids)?.into_iter().map(gpu).collect::<Result<_, _>>().map(Tables::Gpus)
    }

    /// One for each of so many threads, as far as they are of use; each GPU has one.
    pub fn dealt(&self, threads: usize) -> Vec<Table> {
        match self {
            Tables::Cpu(cpu) => (0..threads).map(|_| Table::Cpu(cpu.clone(), Box::default())).collect(),
            Tables::Gpus(gpus) => {
                let threads = threads.clamp(gpus.len(), gpus.len() * HANDS_GPU);
                gpus.iter().cycle().take(threads).map(|gpu| Table::Gpu(gpu.clone(), Default::default())).collect()
            }
        }
    }

    /// Adds what GPUs have added up.
    pub fn add_sums(&self, partial: &mut Partial) -> Result<(), String> {
        let Tables::Gpus(gpus) = self else { return Ok(()) };
        for sums in gpus.iter().filter_map(|gpu| gpu.sums.as_ref()) {
            // Who could not be added was told row by row.
            let (sums, _) = sums.collect().map_err(|failure| failure.message)?;
            sums.and_then(|sums| partial.sums.merge(&sums)).map_err(|_| TOO_MANY)?;
        }
        Ok(())
    }

    /// Says which GPUs computed, and in what portions.
    pub fn report(&self, stats: Stats) -> Stats {
        let Tables::Gpus(gpus) = self else { return stats };
        let rows = gpus.iter().map(|gpu| gpu.cuda.piece()).min();
        let names: Vec<_> = gpus.iter().map(|gpu| gpu.cuda.device().name()).collect();
        stats.with("device", names.join(", ")).with("gpu_rows_max", rows)
    }
}

/// The centroids for one thread.
pub enum Table {
    /// On the processor.
    Cpu(Arc<Cpu>, Box<Memory>),
    /// On a GPU.
    Gpu(Gpu, flow::Memory),
}

/// What became of a block.
#[derive(Default)]
pub struct Looked {
    /// Vectors that needed a second look.
    pub second: usize,
    /// Whether some vector may have been too far out for the sums.
    pub outliers: bool,
}

impl Table {
    /// Whether this adds vectors up by itself.
    pub fn sums(&self) -> bool {
        matches!(self, Table::Gpu(Gpu { sums: Some(_), .. }, _))
    }

    /// Finds the `top` nearest centroids of each row. `weights`: of rows that are to be added up, if this does so; none where all are 1.
    pub fn find(
        &mut self,
        rows: &[f32],
        weights: Option<&[u64]>,
        top: usize,
        found: &mut [Nearest],
    ) -> Result<Looked, Failure> {
        let (second, outliers) = match (self, top) {
            (Table::Cpu(cpu, memory), 1) => (cpu.nearest(rows, found, memory), false),
            (Table::Cpu(cpu, memory), top) => (cpu.nearest_several(rows, top, found, memory), false),
            (Table::Gpu(Gpu { cuda, sums: Some(sums) }, memory), _) => {
                cuda.assign_and_add(rows, weights, found, memory, sums)?
            }
            (Table::Gpu(Gpu { cuda, .. }, memory), 1) => (cuda.assign(rows, found, memory)?, false),
            (Table::Gpu(Gpu { cuda, .. }, _), top) => (cuda.assign_several(rows, top, found)?, false),
        };
        Ok(Looked { second, outliers })
    }
}

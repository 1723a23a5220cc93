//! One thread of a pass.

use cluster::sums::Farthest;
use compute::kmeans::{Assigned, Assigner, BlockView, Cpu, Moves, Nearest, Scratch, Within};
use gpu::flow::{Buffers, Flow};
use gpu::kmeans::{Cuda, DeviceSums};
use gpu::pool::Pool;
use pipe::failure::Failure;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Assigns blocks of rows, and adds them up where the pass does, on one thread.
pub struct Worker {
    engine: Engine,
    count: usize,
    adding: Option<Adding>,
    found: Vec<Nearest>,
    reranked: u64,
}

/// Where a worker's rows go.
pub(crate) enum Engine {
    Cpu {
        cpu: Arc<Cpu>,
        scratch: Box<Scratch>,
    },
    Gpu {
        number: usize,
        flow: Box<Flow>,
    },
    /// All distances are computed, and sorted here.
    GpuSeveral {
        cuda: Arc<Cuda>,
        pool: Arc<Pool>,
    },
}

impl Engine {
    pub(crate) fn cpu(cpu: Arc<Cpu>) -> Engine {
        Engine::Cpu { cpu, scratch: Box::default() }
    }

    pub(crate) fn gpu(number: usize, cuda: Arc<Cuda>, sums: Option<Arc<DeviceSums>>, buffers: Buffers) -> Engine {
        Engine::Gpu { number, flow: Box::new(Flow::new(cuda, sums, buffers)) }
    }

    /// The number of the GPU and what was taken from it.
    pub(crate) fn into_buffers(self) -> Option<(usize, Buffers)> {
        match self {
            Engine::Gpu { number, flow } => Some((number, flow.end())),
            _ => None,
        }
    }
}

/// What a thread's rows come to.
pub(crate) struct Adding {
    /// On the processor; a GPU adds by itself.
    pub(crate) moves: Option<Moves>,
    pub(crate) farthest: Farthest,
    /// Where each row was in the last pass, and then where it is.
    pub(crate) labels: Option<Arc<[AtomicU32]>>,
    /// How far it is from groups of centroids at least.
    pub(crate) within: Option<Within>,
}

/// Bytes of the ranks that a GPU gives at a time where several nearest are asked for.
const RANKS: usize = 64 << 20;

impl Worker {
    pub(crate) fn new(engine: Engine, count: usize, adding: Option<Adding>) -> Worker {
        Worker { engine, count, adding, found: Vec::new(), reranked: 0 }
    }

    pub(crate) fn into_parts(self) -> (Engine, Option<Adding>, u64) {
        (self.engine, self.adding, self.reranked)
    }

    /// Finds the nearest centroids of rows. `each` gets rows, of this block or of those before, in order, as they come
    /// out.
    ///
    /// # Errors
    /// Where a GPU or `each` fails.
    ///
    /// # Panics
    /// Where rows have not as many values as the centroids.
    pub fn assign(
        &mut self,
        block: BlockView,
        mut each: impl FnMut(&Assigned) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        match &mut self.engine {
            Engine::Cpu { .. } => self.assign_here(block, each),
            Engine::GpuSeveral { .. } => self.assign_several(block, each),
            Engine::Gpu { flow, .. } => {
                let (mut outcome, adding) = (Ok(()), &mut self.adding);
                flow.push(block, |row| emerge(adding, row, &mut outcome, &mut each)).map_err(Failure::work)?;
                outcome
            }
        }
    }

    /// Waits until all rows are out.
    ///
    /// # Errors
    /// Where a GPU or `each` fails.
    pub fn flush(&mut self, mut each: impl FnMut(&Assigned) -> Result<(), Failure>) -> Result<(), Failure> {
        let Engine::Gpu { flow, .. } = &mut self.engine else { return Ok(()) };
        let (mut outcome, adding) = (Ok(()), &mut self.adding);
        flow.flush(|row| emerge(adding, row, &mut outcome, &mut each)).map_err(Failure::work)?;
        self.reranked += flow.take_reranked();
        outcome
    }

    /// How many of the rows that came out since the last call were re-ranked.
    pub fn take_reranked(&mut self) -> u64 {
        std::mem::take(&mut self.reranked)
    }

    fn assign_here(
        &mut self,
        block: BlockView,
        mut each: impl FnMut(&Assigned) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let Engine::Cpu { cpu, scratch } = &mut self.engine else { return Ok(()) };
        let (n, count) = (block.len(), self.count);
        let mut adding = self.adding.as_mut();
        let labels = adding.as_ref().and_then(|adding| adding.labels.clone());
        let labels = labels.as_ref().map(|labels| &labels[block.first..block.first + n]);
        self.found.clear();
        match labels {
            // A guess.
            Some(labels) => self
                .found
                .extend(labels.iter().map(|label| Nearest { cluster: label.load(Relaxed), ..Nearest::MISSING })),
            None => self.found.resize(n * count, Nearest::MISSING),
        }
        let within = adding.as_ref().and_then(|adding| adding.within.as_ref());
        let reranked = match (count, within) {
            (1, Some(within)) => cpu.nearest_within(block.values, &mut self.found, (within, block.first), scratch),
            (1, None) => cpu.nearest(block.values, &mut self.found, scratch),
            _ => cpu.nearest_several(block.values, count, &mut self.found, scratch),
        };
        self.reranked += reranked as u64;
        for (i, ((number, weight, row), nearest)) in block.rows().zip(self.found.chunks_exact(count)).enumerate() {
            let label = labels.map(|labels| &labels[i]);
            let summable = adding.as_mut().is_none_or(|adding| adding.add(row, nearest[0], weight, label));
            each(&Assigned { number, weight, row, nearest, summable })?;
        }
        Ok(())
    }

    fn assign_several(
        &mut self,
        block: BlockView,
        mut each: impl FnMut(&Assigned) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let Engine::GpuSeveral { cuda, pool } = &mut self.engine else { return Ok(()) };
        pool.limit((RANKS / 8 / cuda.centroids().k()).max(1));
        let mut from = 0;
        while from < block.len() {
            let part = block.part(from..block.len().min(from + pool.rows_max()));
            self.found.clear();
            self.found.resize(part.len() * self.count, Nearest::MISSING);
            if let Err(failure) = cuda.nearest_several(part.values, self.count, &mut self.found) {
                pool.halve(part.len(), 1, failure).map_err(Failure::work)?;
                continue;
            }
            for ((number, weight, row), nearest) in part.rows().zip(self.found.chunks_exact(self.count)) {
                each(&Assigned { number, weight, row, nearest, summable: true })?;
            }
            from += part.len();
        }
        self.reranked += block.len() as u64;
        Ok(())
    }
}

impl Adding {
    /// Adds a row on the processor, where its label says where it was. `false`: it is an outlier.
    #[inline]
    fn add(&mut self, row: &[f32], found: Nearest, weight: u64, label: Option<&AtomicU32>) -> bool {
        let before = label.map_or(Nearest::NONE, |label| label.load(Relaxed));
        if self.moves.as_mut().is_some_and(|moves| moves.add(row, before, found, weight).is_err()) {
            return false;
        }
        // Each row is in one block, so nobody else writes here meanwhile.
        label.inspect(|label| label.store(found.cluster, Relaxed));
        if weight > 0 {
            self.farthest.add(row, found);
        }
        true
    }
}

/// Takes a row that comes from a GPU, which has added it.
fn emerge(
    adding: &mut Option<Adding>,
    row: Assigned,
    outcome: &mut Result<(), Failure>,
    mut each: impl FnMut(&Assigned) -> Result<(), Failure>,
) {
    if let Some(adding) = adding.as_mut().filter(|_| row.weight > 0 && row.summable) {
        adding.farthest.add(row.row, row.nearest[0]);
    }
    if outcome.is_ok() {
        *outcome = each(&row);
    }
}

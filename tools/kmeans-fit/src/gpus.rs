//! Passes over rows on GPUs: the same bytes as on the processor, since what decides is computed in the same order, and sums are whole
//! numbers.
//!
//! Rows come from wherever they are, on a few threads a GPU ([`Rows::pass`]); each fills pieces of pinned memory, of which one is computed
//! while the other is filled. How many rows there are does not matter to a GPU, and so neither does its memory.

use crate::rows::Rows;
use cluster::sums::{Farthest, Partial};
use compute::kmeans::{Centroids, Nearest, Outlier, Sums};
use gpu::device::{Device, Failure as Lost};
use gpu::flow::{Flow, Memory, ROWS_MIN};
use gpu::kmeans::{Cuda, DeviceSums};
use pipe::failure::Failure;
use pipe::stats::Stats;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Threads that feed a GPU.
const HANDS: usize = 4;

/// Bytes of the values of a piece, and its rows at the most: what the threads of a GPU have in flight together fills a large one.
const PIECE: usize = 32 << 20;
const PIECE_ROWS: usize = 1 << 16;

/// The GPUs of a fit.
pub struct Gpus {
    devices: Vec<Device>,
    dim: usize,
    /// Memory for pieces, of each GPU, while no pass has it.
    memories: Mutex<Vec<Vec<Memory>>>,
    /// Rows of a piece; fewer where memory was short.
    piece: AtomicUsize,
}

/// What a pass came to.
pub struct Assigned<S> {
    /// The states of the threads.
    pub states: Vec<S>,
    /// The sums, where they were asked for. [`Outlier`]: some row was too far out, or one too many.
    pub sums: Option<Result<Sums, Outlier>>,
    /// Rows that needed a second look.
    pub looks: u64,
}

/// The centroids on one GPU.
struct Table {
    cuda: Cuda,
    sums: Option<DeviceSums>,
}

impl Gpus {
    /// For rows of `dim` values.
    pub fn new(devices: Vec<Device>, dim: usize) -> Gpus {
        let (memories, piece) = (devices.iter().map(|_| Vec::new()).collect(), pieces(dim));
        Gpus { devices, dim, memories: Mutex::new(memories), piece: AtomicUsize::new(piece) }
    }

    /// Bytes of the processor's memory that passes on so many GPUs take.
    pub fn bytes_here(count: usize, dim: usize) -> u64 {
        // Of a row: its values, number, weight, cluster and distance.
        (count * HANDS * 2 * pieces(dim) * (4 * dim + 28)) as u64
    }

    /// The GPUs, in the order they were asked for.
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// Says which GPUs computed, and how many rows at a time.
    pub fn report(&self, stats: Stats) -> Stats {
        let names: Vec<_> = self.devices.iter().map(Device::name).collect();
        stats.with("device", names.join(", ")).with("gpu_rows_max", self.rows_max())
    }

    /// Threads that feed them, of so many.
    pub fn hands(&self, threads: usize) -> usize {
        threads.clamp(self.devices.len(), HANDS * self.devices.len())
    }

    /// Rows that are computed at a time.
    pub fn rows_max(&self) -> usize {
        self.piece.load(Relaxed)
    }

    /// Halves what is computed at a time, from so many rows, where memory is short; gives the failure back where that is the least.
    pub fn halve(&self, rows: usize, short: Lost) -> Result<(), Lost> {
        if !short.out_of_memory || rows <= ROWS_MIN {
            return Err(short);
        }
        self.piece.fetch_min((rows / 2).next_multiple_of(ROWS_MIN), Relaxed);
        Ok(())
    }

    /// Gives the memory of pieces back to the GPUs.
    pub fn free(&self) {
        self.memories().iter_mut().for_each(Vec::clear);
    }

    /// What all rows come to with these centroids, and how many needed a second look. `None`: there is one that sums cannot take.
    /// `empty` has the unit of the sums.
    pub fn measure(
        &self,
        rows: &mut Rows,
        centroids: &Centroids,
        empty: &Partial,
    ) -> Result<Option<(Partial, u64)>, Failure> {
        let start = || Farthest::new(centroids.k(), centroids.dim);
        let Assigned { states, sums, looks } =
            self.assign(rows, centroids, Some(empty.sums.exponent), start, |farthest, _, weight, row, found| {
                if weight > 0 {
                    farthest.add(row, found);
                }
            })?;
        let mut partial = empty.clone();
        states.iter().for_each(|farthest| partial.farthest.merge(farthest));
        Ok(sums.and_then(Result::ok).map(|sums| (Partial { sums, ..partial }, looks)))
    }

    /// Finds the centroid that is nearest to each row, and adds up the rows where a unit for that is given. Each thread has a state, which `start`
    /// makes; `see` shows it rows with what was found: number, weight, values, nearest.
    pub fn assign<S: Send>(
        &self,
        rows: &mut Rows,
        centroids: &Centroids,
        unit: Option<i32>,
        start: impl Fn() -> S + Sync,
        see: impl Fn(&mut S, u64, u64, &[f32], Nearest) + Sync,
    ) -> Result<Assigned<S>, Failure> {
        let tables = self.tables(centroids, unit).map_err(Failure::work)?;
        let memories = self.take(rows.threads).map_err(Failure::work)?;
        let (hands, memories) = (memories.len(), Mutex::new(memories));
        let begin = || {
            let memory = memories.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let (gpu, memory) = memory.expect("there is memory for each thread");
            let table: &Table = &tables[gpu];
            (gpu, Flow::new(&table.cuda, table.sums.as_ref(), memory), start())
        };
        let flows = rows.pass_on(hands, begin, |(_, flow, state), view| {
            let see = |number, weight, row: &[f32], found| see(state, number, weight, row, found);
            flow.push(view.numbers, view.weights, view.values, see).map_err(Failure::work)
        })?;
        // All go on their way before the first is waited for.
        let flows: Result<Vec<_>, Lost> =
            flows.into_iter().map(|(gpu, flow, state)| Ok((gpu, flow.end()?, state))).collect();
        let mut assigned = Assigned { states: Vec::new(), sums: None, looks: 0 };
        for (gpu, flow, mut state) in flows.map_err(Failure::work)? {
            let done = flow.finish(|number, weight, row, found| see(&mut state, number, weight, row, found));
            let (memory, looks) = done.map_err(Failure::work)?;
            self.memories()[gpu].push(memory);
            assigned.looks += looks as u64;
            assigned.states.push(state);
        }
        assigned.sums = unit.map(|_| together(&tables)).transpose().map_err(Failure::work)?;
        Ok(assigned)
    }

    /// The centroids, and places for sums, on each GPU.
    fn tables(&self, centroids: &Centroids, unit: Option<i32>) -> Result<Vec<Table>, Lost> {
        let make = || {
            let table = |cuda: Cuda| {
                let sums = unit.map(|unit| cuda.sums(unit)).transpose()?;
                Ok(Table { cuda, sums })
            };
            Cuda::on_each(&self.devices, centroids)?.into_iter().map(table).collect::<Result<_, Lost>>()
        };
        make().or_else(|failure: Lost| {
            if !failure.out_of_memory {
                return Err(failure);
            }
            // Pieces can be smaller, centroids cannot.
            self.free();
            make()
        })
    }

    /// Memory for the pieces of threads, which share the GPUs evenly: of so many, as far as they are of use. Where it is short, pieces are
    /// halved, and then threads.
    fn take(&self, threads: usize) -> Result<Vec<(usize, Memory)>, Lost> {
        let (mut memories, gpus) = (self.memories(), self.devices.len());
        let mut hands = self.hands(threads);
        loop {
            let rows = self.rows_max();
            let mut take = |hand: usize| match memories[hand % gpus].pop() {
                Some(memory) if memory.rows() == rows => Ok((hand % gpus, memory)),
                _ => Ok((hand % gpus, Memory::new(&self.devices[hand % gpus], self.dim, rows)?)),
            };
            match (0..hands).map(&mut take).collect() {
                Ok(taken) => return Ok(taken),
                Err(Lost { out_of_memory: true, .. }) if rows == ROWS_MIN && hands > gpus => {
                    hands = (hands / 2).max(gpus);
                }
                Err(failure) => self.halve(rows, failure)?,
            }
            memories.iter_mut().for_each(Vec::clear);
        }
    }

    fn memories(&self) -> MutexGuard<'_, Vec<Vec<Memory>>> {
        self.memories.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Rows of a piece where memory is not short.
fn pieces(dim: usize) -> usize {
    (PIECE / 4 / dim).clamp(ROWS_MIN, PIECE_ROWS)
}

/// The sums of all GPUs.
fn together(tables: &[Table]) -> Result<Result<Sums, Outlier>, Lost> {
    let mut all: Option<Sums> = None;
    for sums in tables.iter().filter_map(|table| table.sums.as_ref()) {
        let (sums, outliers) = sums.collect()?;
        let Ok(sums) = sums.and_then(|sums| if outliers == 0 { Ok(sums) } else { Err(Outlier) }) else {
            return Ok(Err(Outlier));
        };
        match &mut all {
            None => all = Some(sums),
            Some(all) => {
                if all.merge(&sums).is_err() {
                    return Ok(Err(Outlier));
                }
            }
        }
    }
    Ok(all.ok_or(Outlier))
}

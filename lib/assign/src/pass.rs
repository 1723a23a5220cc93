//! One pass: all rows, the same centroids.

use crate::devices::{Devices, piece_rows};
use crate::worker::{Adding, Engine, Worker};
use cluster::passes::Passes;
use cluster::sums::{Farthest, Partial, TOO_MANY};
use compute::kmeans::{Assigned, BlockView, Bounds, Centroids, Cpu, Moves, Nearest, Sums, Within};
use gpu::device::Failure as GpuFailure;
use gpu::kmeans::{Cuda, DeviceSums};
use gpu::pool::Pool;
use pipe::failure::Failure;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// What the last pass over the same rows came to: the next one adds only rows that move from one cluster to another,
/// and holds rows only against centroids that may be nearer than the last one.
#[derive(Default)]
pub struct Previous {
    sums: Option<Sums>,
    /// The cluster of each row, in the order of a pass; none where there is no memory for them.
    labels: Option<Arc<[AtomicU32]>>,
    bounds: Option<Bounds>,
}

impl Previous {
    /// Nothing yet, of so many rows at the most, with so many bounds of 4 bytes a row; `None`: nothing is remembered.
    pub fn of(rows: Option<usize>, bounds: usize) -> Previous {
        let labels = rows.map(|rows| (0..rows).map(|_| AtomicU32::new(Nearest::NONE)).collect());
        Previous { sums: None, labels, bounds: rows.map(|rows| Bounds::of(rows, bounds)) }
    }

    /// Forgets how far rows are from centroids: others come.
    pub fn forget_bounds(&mut self) {
        self.bounds.iter_mut().for_each(Bounds::forget);
    }

    /// Keeps what the rows came to, if it keeps their labels.
    pub fn keep(&mut self, partial: &Partial) {
        self.sums = self.labels.as_ref().map(|_| partial.sums.clone());
    }

    /// What sums go on from: those of the last pass, where they have the unit of these, or these, which are empty.
    fn take(&mut self, empty: Sums) -> Sums {
        match self.sums.take() {
            Some(sums) if sums.exponent == empty.exponent => sums,
            // Of another unit, or none: all rows are added anew.
            _ => {
                self.labels
                    .iter()
                    .flat_map(|labels| labels.iter())
                    .for_each(|label| label.store(Nearest::NONE, Relaxed));
                empty
            }
        }
    }
}

/// Centroids where rows meet them.
pub struct Pass<'a> {
    devices: &'a Devices,
    dim: usize,
    /// Nearest centroids that each row wants.
    count: usize,
    loaded: Loaded,
    /// What rows are added to, where they are.
    start: Option<Partial>,
    labels: Option<Arc<[AtomicU32]>>,
    within: Option<Within>,
}

enum Loaded {
    Cpu(Arc<Cpu>),
    Gpus(Vec<Gpu>),
}

/// The centroids on one GPU, and what rows come to there.
struct Gpu {
    cuda: Arc<Cuda>,
    sums: Option<Arc<DeviceSums>>,
}

impl Devices {
    /// Brings centroids to where rows meet them: each row gets the `count` nearest.
    ///
    /// # Errors
    /// Where a GPU fails.
    pub fn pass(&self, centroids: &Centroids, count: usize) -> Result<Pass<'_>, Failure> {
        self.begin(centroids, count, None, None)
    }

    /// The same for rows that are also added up, each to the nearest centroid. `empty` has the unit of the sums.
    ///
    /// # Errors
    /// Where a GPU fails.
    pub fn summing_pass(
        &self,
        centroids: &Centroids,
        empty: Partial,
        previous: Option<&mut Previous>,
    ) -> Result<Pass<'_>, Failure> {
        // A GPU adds all rows as they stream past.
        let Some(previous) = previous.filter(|_| !self.are_gpus()) else {
            return self.begin(centroids, 1, Some(empty), None);
        };
        let start = Some(Partial { sums: previous.take(empty.sums), ..empty });
        let labels = previous.labels.clone();
        match previous.bounds.as_mut().and_then(|bounds| bounds.next(centroids)) {
            Some((cpu, within)) => {
                let (loaded, within) = (Loaded::Cpu(Arc::new(cpu)), Some(within));
                Ok(Pass { devices: self, dim: centroids.dim, count: 1, loaded, start, labels, within })
            }
            None => self.begin(centroids, 1, start, labels),
        }
    }

    fn begin(
        &self,
        centroids: &Centroids,
        count: usize,
        start: Option<Partial>,
        labels: Option<Arc<[AtomicU32]>>,
    ) -> Result<Pass<'_>, Failure> {
        let unit = start.as_ref().map(|start| start.sums.exponent);
        let loaded = match &self.gpus {
            None => Loaded::Cpu(Arc::new(Cpu::new(centroids.clone()))),
            Some(pool) => Loaded::Gpus(bring(pool, centroids, unit).map_err(Failure::work)?),
        };
        Ok(Pass { devices: self, dim: centroids.dim, count, loaded, start, labels, within: None })
    }
}

/// Brings the centroids, and places for sums, onto each GPU.
fn bring(pool: &Pool, centroids: &Centroids, unit: Option<i32>) -> Result<Vec<Gpu>, GpuFailure> {
    let gpu = |cuda: Cuda| {
        let sums = unit.map(|unit| cuda.sums(unit)).transpose()?;
        Ok(Gpu { cuda: Arc::new(cuda), sums: sums.map(Arc::new) })
    };
    let bring = || Cuda::on_each(pool.devices(), centroids)?.into_iter().map(gpu).collect::<Result<_, _>>();
    bring().or_else(|failure: GpuFailure| {
        if !failure.out_of_memory {
            return Err(failure);
        }
        // Pieces can be smaller, centroids cannot.
        pool.free();
        bring()
    })
}

impl Pass<'_> {
    /// A worker for each of so many threads, as far as they are of use; on GPUs for pieces of so many rows at the most,
    /// fewer where their memory is short.
    ///
    /// # Errors
    /// Where a GPU fails.
    pub fn workers(&self, threads: usize, piece_rows: usize) -> Result<Vec<Worker>, Failure> {
        let engines: Vec<_> = match (&self.loaded, &self.devices.gpus) {
            (Loaded::Gpus(gpus), Some(pool)) if self.count > 1 => {
                let several = |gpu: &Gpu| Engine::GpuSeveral { cuda: gpu.cuda.clone(), pool: pool.clone() };
                gpus.iter().cycle().take(pool.feeders(threads)).map(several).collect()
            }
            (Loaded::Gpus(gpus), Some(pool)) => {
                pool.limit(piece_rows);
                let taken = pool.take(threads, self.dim).map_err(Failure::work)?;
                let engine = |(number, buffers)| {
                    let Gpu { cuda, sums } = &gpus[number];
                    Engine::gpu(number, cuda.clone(), sums.clone(), buffers)
                };
                taken.into_iter().map(engine).collect()
            }
            (Loaded::Cpu(cpu), _) => (0..threads).map(|_| Engine::cpu(cpu.clone())).collect(),
            (Loaded::Gpus(_), None) => unreachable!("GPUs are in a pool"),
        };
        Ok(engines.into_iter().map(|engine| Worker::new(engine, self.count, self.adding())).collect())
    }

    fn adding(&self) -> Option<Adding> {
        self.start.as_ref().map(|start| Adding {
            farthest: Farthest::new(start.sums.totals.len(), start.sums.dim),
            moves: matches!(self.loaded, Loaded::Cpu(_)).then(|| Moves::new(&start.sums)),
            labels: self.labels.clone(),
            within: self.within.clone(),
        })
    }

    /// Sends all rows past the centroids, on so many threads. Each thread has a state that `start` makes, and `see`
    /// shows it every row as it comes out.
    ///
    /// # Errors
    /// Where rows cannot be read, a GPU fails, or `see` does.
    pub fn run<S: Send>(
        &self,
        rows: &mut impl Passes,
        threads: usize,
        start: impl Fn() -> S,
        see: impl Fn(&mut S, &Assigned) -> Result<(), Failure> + Sync,
    ) -> Result<(Vec<S>, Vec<Worker>), Failure> {
        let workers = self.workers(threads, piece_rows(self.dim))?;
        let states = workers.into_iter().map(|worker| (worker, start())).collect();
        let step = |(worker, state): &mut (Worker, S), block: BlockView| worker.assign(block, |row| see(state, row));
        let ended = rows.pass(states, step, |(mut worker, mut state)| {
            worker.flush(|row| see(&mut state, row))?;
            Ok((state, worker))
        })?;
        Ok(ended.into_iter().unzip())
    }

    /// Sends all rows past the centroids and adds them up: what they come to, and how many were re-ranked.
    ///
    /// # Errors
    /// Where rows cannot be read, or one of them cannot be added up, or a GPU fails.
    ///
    /// # Panics
    /// Where the pass adds no rows up.
    pub fn add_up(self, rows: &mut impl Passes, threads: usize) -> Result<(Partial, u64), Failure> {
        let (_, workers) = self.run(rows, threads, || (), |(), row| refuse_outlier(row))?;
        self.sums(workers)
    }

    /// What the rows came to, and how many of them were re-ranked: the fast pass left them several candidates.
    ///
    /// # Errors
    /// Where a GPU fails, or rows are too many to be added up.
    ///
    /// # Panics
    /// Where the pass adds no rows up.
    pub fn sums(mut self, workers: Vec<Worker>) -> Result<(Partial, u64), Failure> {
        let start = self.start.take().expect("a pass that adds rows up");
        let (adding, reranked) = self.take_apart(workers);
        let mut adding = adding.into_iter();
        let Adding { mut moves, mut farthest, .. } = adding.next().expect("there is a worker");
        for part in adding {
            farthest.merge(&part.farthest);
            moves.iter_mut().zip(&part.moves).for_each(|(all, moves)| all.merge(moves));
        }
        let sums = match (&self.loaded, &moves) {
            (Loaded::Cpu(_), Some(moves)) => start.sums.after(moves).map_err(too_many)?,
            (Loaded::Gpus(gpus), _) => collect(gpus, start.sums)?,
            (Loaded::Cpu(_), None) => unreachable!("the processor adds"),
        };
        Ok((Partial { sums, farthest, ..start }, reranked))
    }

    /// Gives back what the workers took. Returns how many of the rows were re-ranked.
    pub fn end(self, workers: Vec<Worker>) -> u64 {
        self.take_apart(workers).1
    }

    fn take_apart(&self, workers: Vec<Worker>) -> (Vec<Adding>, u64) {
        let (mut reranked, mut adding) = (0, Vec::new());
        for worker in workers {
            let (engine, part, count) = worker.into_parts();
            reranked += count;
            adding.extend(part);
            if let (Some((gpu, buffers)), Some(pool)) = (engine.into_buffers(), &self.devices.gpus) {
                pool.give_back(gpu, buffers);
            }
        }
        (adding, reranked)
    }
}

/// Adds what the rows came to on all GPUs.
fn collect(gpus: &[Gpu], start: Sums) -> Result<Sums, Failure> {
    let mut all = start;
    for sums in gpus.iter().filter_map(|gpu| gpu.sums.as_ref()) {
        // Which rows could not be added was said row by row.
        let (sums, _) = sums.collect().map_err(Failure::work)?;
        sums.and_then(|sums| all.merge(&sums)).map_err(too_many)?;
    }
    Ok(all)
}

/// Refuses a row that sums cannot take.
fn refuse_outlier(row: &Assigned) -> Result<(), Failure> {
    if row.summable {
        return Ok(());
    }
    let number = row.number;
    Err(Failure::work(format!(
        "row {number} (from 0, over all files): too far out, or too heavy, to be added up: \
         more than 2^19 times as far from 0 as any centroid"
    )))
}

fn too_many(_: compute::kmeans::Outlier) -> Failure {
    Failure::work(TOO_MANY)
}

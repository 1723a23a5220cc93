//! What k-means++ draws by: the squared distance of each row to the nearest of the centroids that were chosen so far.
//!
//! On GPUs rows stay where they fit, and else come again in each pass. Squared distances are
//! [`exact::squared`](compute::kmeans::exact::squared).

use crate::devices::{Devices, piece_rows};
use cluster::passes::{Passes, share};
use compute::kmeans::exact::Seeds;
use compute::kmeans::{Block, BlockView, Metric};
use gpu::device::Failure as GpuFailure;
use gpu::flow::ROWS_MIN;
use gpu::pool::Pool;
use gpu::seeding::Seeding;
use pipe::failure::Failure;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A row's number, its weight, and its values, none where the row stays on a GPU.
type Row<'a> = (u64, u64, &'a [f32]);

/// The squared distances of all rows.
pub struct Distances {
    storage: Storage,
    threads: usize,
}

enum Storage {
    /// On the processor, in the order of a pass.
    Here(Vec<AtomicU64>),
    /// On GPUs, with the rows.
    Resident(Vec<Mutex<Chunk>>),
    /// On the processor, while rows come to GPUs again.
    Passing(Passing),
}

impl Distances {
    /// Infinitely far from any centroid. `trials` rows at a time are to be tried as the next one.
    ///
    /// # Errors
    /// Where rows cannot be read, or a GPU fails.
    pub fn new(
        devices: &Devices,
        rows: &mut impl Passes,
        metric: Metric,
        trials: usize,
        threads: usize,
    ) -> Result<Distances, Failure> {
        let Some(pool) = &devices.gpus else {
            return Ok(Distances { storage: Storage::Here(infinite(rows.used())), threads });
        };
        pool.free();
        pool.limit(piece_rows(rows.dim()));
        let loader = Loader { pool: pool.clone(), metric, trials };
        let threads = pool.feeders(threads);
        let storage = match loader.load(rows, threads)? {
            Some(chunks) => Storage::Resident(chunks.into_iter().map(Mutex::new).collect()),
            None => Storage::Passing(Passing::new(loader, rows.used())),
        };
        Ok(Distances { storage, threads })
    }

    /// Takes one more centroid in, and shows each row with its squared distance now to states that `start` makes, one a
    /// thread; gives the states.
    ///
    /// # Errors
    /// Where rows cannot be read, or a GPU fails.
    pub fn nearer<S: Send>(
        &mut self,
        rows: &mut impl Passes,
        last: &Seeds,
        start: impl Fn() -> S,
        see: impl Fn(&mut S, Row, f64) + Sync,
    ) -> Result<Vec<S>, Failure> {
        let states = (0..self.threads).map(|_| start()).collect();
        let see_chunk = |state: &mut S, chunk: &mut Chunk| {
            let squares = chunk.seeding.nearer(last.centroids())?;
            chunk.rows().zip(&squares).for_each(|(row, &square)| see(state, row, square));
            chunk.squares = squares;
            Ok(())
        };
        match &self.storage {
            Storage::Here(squares) => {
                let step = |state: &mut S, block: BlockView| {
                    for (row, known) in block.rows().zip(&squares[block.first..]) {
                        let square = last.squared_distance(row.2, 0, last.row_norm(row.2)).min(load(known));
                        // Each row is in one block, so nobody else writes here meanwhile.
                        known.store(square.to_bits(), Relaxed);
                        see(state, row, square);
                    }
                    Ok(())
                };
                rows.pass(states, step, Ok)
            }
            Storage::Resident(chunks) => each(chunks, states, see_chunk),
            Storage::Passing(passing) => passing.each(rows, states, see_chunk),
        }
    }

    /// The sum of the masses that each candidate would leave as a centroid, times `scale`, each rounded to a whole
    /// number, halves to even; a row's mass is its weight times its squared distance to the nearest.
    ///
    /// # Errors
    /// Where rows cannot be read, or a GPU fails.
    pub fn masses(&mut self, rows: &mut impl Passes, candidates: &Seeds, scale: f64) -> Result<Vec<u128>, Failure> {
        let count = candidates.centroids().k();
        let states = vec![vec![0_u128; count]; self.threads];
        let add_chunk = |sums: &mut Vec<u128>, chunk: &mut Chunk| {
            let masses = chunk.seeding.masses(candidates.centroids(), scale)?;
            sums.iter_mut().zip(masses).for_each(|(sum, mass)| *sum += mass);
            Ok(())
        };
        let parts = match &self.storage {
            Storage::Here(squares) => {
                let step = |sums: &mut Vec<u128>, block: BlockView| {
                    for ((_, weight, row), known) in block.rows().zip(&squares[block.first..]) {
                        let (known, norm) = (load(known), candidates.row_norm(row));
                        for (j, sum) in sums.iter_mut().enumerate() {
                            let mass = candidates.squared_distance(row, j as u32, norm).min(known) * weight as f64;
                            *sum += (mass * scale).round_ties_even() as u128;
                        }
                    }
                    Ok(())
                };
                rows.pass(states, step, Ok)?
            }
            Storage::Resident(chunks) => each(chunks, states, add_chunk)?,
            Storage::Passing(passing) => passing.each(rows, states, add_chunk)?,
        };
        Ok((0..count).map(|j| parts.iter().map(|sums| sums[j]).sum()).collect())
    }

    /// The values of a row that stays on a GPU; `None`: this one does not.
    ///
    /// # Errors
    /// Where the GPU fails.
    pub fn row(&self, number: u64) -> Result<Option<Vec<f32>>, Failure> {
        let Storage::Resident(chunks) = &self.storage else { return Ok(None) };
        for chunk in chunks {
            let chunk = lock(chunk);
            if let Ok(at) = chunk.numbers.binary_search(&number) {
                return chunk.seeding.row(at).map(Some).map_err(Failure::work);
            }
        }
        Ok(None)
    }
}

fn infinite(rows: u64) -> Vec<AtomicU64> {
    (0..rows).map(|_| AtomicU64::new(f64::INFINITY.to_bits())).collect()
}

fn load(square: &AtomicU64) -> f64 {
    f64::from_bits(square.load(Relaxed))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Some rows on a GPU.
struct Chunk {
    numbers: Vec<u64>,
    weights: Vec<u64>,
    /// None where the rows stay.
    values: Vec<f32>,
    seeding: Seeding,
    /// What was found last.
    squares: Vec<f64>,
}

impl Chunk {
    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let dim = self.values.len() / self.numbers.len().max(1);
        let known = self.numbers.iter().zip(&self.weights).enumerate();
        known.map(move |(i, (&number, &weight))| (number, weight, &self.values[i * dim..(i + 1) * dim]))
    }
}

/// Each thread takes the next chunk that is left.
fn each<S: Send>(
    chunks: &[Mutex<Chunk>],
    states: Vec<S>,
    step: impl Fn(&mut S, &mut Chunk) -> Result<(), GpuFailure> + Sync,
) -> Result<Vec<S>, Failure> {
    share(chunks.len(), states, |state, i| step(state, &mut lock(&chunks[i])).map_err(Failure::work), Ok)
}

/// Brings rows onto GPUs.
struct Loader {
    pool: Arc<Pool>,
    metric: Metric,
    trials: usize,
}

impl Loader {
    fn chunk(&self, gpu: usize, block: Block) -> Result<Chunk, GpuFailure> {
        let Block { numbers, weights, values } = block;
        let dim = values.len() / numbers.len();
        let seeding = Seeding::new(&self.pool.devices()[gpu], self.metric, dim, &values, &weights, self.trials)?;
        Ok(Chunk { numbers, weights, values, seeding, squares: Vec::new() })
    }

    /// All rows, on so many threads; `None`: they do not fit.
    fn load(&self, rows: &mut impl Passes, threads: usize) -> Result<Option<Vec<Chunk>>, Failure> {
        let short = AtomicBool::new(false);
        let keep = |gpu: usize, gathered: &mut Block, chunks: &mut Vec<Chunk>| {
            match self.chunk(gpu, std::mem::take(gathered)) {
                Ok(chunk) => chunks.push(Chunk { values: Vec::new(), ..chunk }),
                Err(failure) if failure.out_of_memory => short.store(true, Relaxed),
                Err(failure) => return Err(Failure::work(failure)),
            }
            Ok(())
        };
        let states = (0..threads).map(|i| (i % self.pool.devices().len(), Block::default(), Vec::new())).collect();
        let step = |(gpu, gathered, chunks): &mut (usize, Block, Vec<Chunk>), block: BlockView| {
            if !short.load(Relaxed) {
                gathered.extend(block);
                if gathered.rows() >= self.pool.rows_max() {
                    keep(*gpu, gathered, chunks)?;
                }
            }
            Ok(())
        };
        let chunks = rows.pass(states, step, |(gpu, mut gathered, mut chunks)| {
            if gathered.rows() > 0 && !short.load(Relaxed) {
                keep(gpu, &mut gathered, &mut chunks)?;
            }
            Ok(chunks)
        })?;
        Ok((!short.load(Relaxed)).then(|| chunks.into_iter().flatten().collect()))
    }
}

/// Rows that come to the GPUs in each pass.
struct Passing {
    loader: Loader,
    /// In the order of a pass.
    squares: Vec<AtomicU64>,
    /// One GPU's memory is taken by one thread at a time.
    turns: Vec<Mutex<()>>,
}

/// Rows that go to a GPU together, and their places in a pass.
#[derive(Default)]
struct Gathered {
    block: Block,
    places: Vec<usize>,
}

impl Passing {
    fn new(loader: Loader, rows: u64) -> Passing {
        let turns = loader.pool.devices().iter().map(|_| Mutex::new(())).collect();
        Passing { loader, squares: infinite(rows), turns }
    }

    fn each<S: Send>(
        &self,
        rows: &mut impl Passes,
        states: Vec<S>,
        step: impl Fn(&mut S, &mut Chunk) -> Result<(), GpuFailure> + Sync,
    ) -> Result<Vec<S>, Failure> {
        let gpus = self.turns.len();
        let states = states.into_iter().enumerate().map(|(i, state)| (i % gpus, Gathered::default(), state)).collect();
        let gather = |(gpu, gathered, state): &mut (usize, Gathered, S), block: BlockView| {
            gathered.places.extend(block.first..block.first + block.len());
            gathered.block.extend(block);
            if gathered.places.len() >= self.loader.pool.rows_max() {
                self.pass(*gpu, gathered, |chunk| step(state, chunk))?;
            }
            Ok(())
        };
        rows.pass(states, gather, |(gpu, mut gathered, mut state)| {
            self.pass(gpu, &mut gathered, |chunk| step(&mut state, chunk)).map(|()| state)
        })
    }

    /// Brings rows onto a GPU, lets something be done with them, and keeps their squares.
    fn pass(
        &self,
        gpu: usize,
        gathered: &mut Gathered,
        mut step: impl FnMut(&mut Chunk) -> Result<(), GpuFailure>,
    ) -> Result<(), Failure> {
        let _mine = lock(&self.turns[gpu]);
        let (pool, mut from) = (&self.loader.pool, 0);
        while from < gathered.places.len() {
            let to = gathered.places.len().min(from + pool.rows_max());
            let places = &gathered.places[from..to];
            let mut part = Block::default();
            part.extend(gathered.block.view(0).part(from..to));
            let known: Vec<_> = places.iter().map(|&place| load(&self.squares[place])).collect();
            let chunk = self.loader.chunk(gpu, part);
            match chunk.and_then(|mut chunk| chunk.seeding.set_squares(&known).map(|()| chunk)) {
                Ok(mut chunk) => {
                    step(&mut chunk).map_err(Failure::work)?;
                    let found = places.iter().zip(&chunk.squares);
                    found.for_each(|(&place, square)| self.squares[place].store(square.to_bits(), Relaxed));
                    from = to;
                }
                Err(failure) => pool.halve(to - from, ROWS_MIN, failure).map_err(Failure::work)?,
            }
        }
        gathered.block.clear();
        gathered.places.clear();
        Ok(())
    }
}

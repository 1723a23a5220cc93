//! The rows that k-means++ draws from, on GPUs: they stay there where they fit, and else come again in each of its passes.

use crate::block::{Block, View};
use crate::gpus::Gpus;
use crate::rows::Rows;
use compute::kmeans::{Centroids, Metric};
use gpu::device::Failure as Lost;
use gpu::seeding::Seeding;
use pipe::failure::Failure;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Rows on GPUs, each with its squared distance to the nearest centroid so far.
pub struct Held {
    gpus: Arc<Gpus>,
    metric: Metric,
    /// Candidates that are tried at a time.
    trials: usize,
    place: Place,
}

enum Place {
    There(Vec<Chunk>),
    /// One GPU's memory is taken by one thread at a time.
    Passing {
        squares: Vec<AtomicU64>,
        turns: Vec<Mutex<()>>,
    },
}

/// Some rows on a GPU.
pub struct Chunk {
    numbers: Vec<u64>,
    weights: Vec<u64>,
    /// None where the rows stay on the GPU.
    values: Vec<f32>,
    seeding: Seeding,
    /// What [`Chunk::nearer`] has found.
    squares: Vec<f64>,
}

impl Chunk {
    /// Takes one more centroid in: `each` gets number, weight, values (none where the rows stay on the GPU) and squared distance of each row.
    pub fn nearer(
        &mut self,
        centroid: &Centroids,
        mut each: impl FnMut((u64, u64, &[f32]), f64),
    ) -> Result<(), Failure> {
        self.squares = self.seeding.nearer(centroid).map_err(Failure::work)?;
        let dim = self.values.len() / self.numbers.len().max(1);
        let rows = self.numbers.iter().zip(&self.weights).zip(&self.squares);
        for (i, ((&number, &weight), &square)) in rows.enumerate() {
            each((number, weight, &self.values[i * dim..(i + 1) * dim]), square);
        }
        Ok(())
    }

    /// What each candidate would leave: see [`Seeding::masses`].
    pub fn masses(&mut self, candidates: &Centroids, scale: f64) -> Result<Vec<u128>, Failure> {
        self.seeding.masses(candidates, scale).map_err(Failure::work)
    }
}

impl Held {
    /// Brings the rows onto the GPUs, infinitely far from any centroid.
    pub fn new(gpus: Arc<Gpus>, rows: &mut Rows, metric: Metric, trials: usize) -> Result<Held, Failure> {
        gpus.free();
        let (short, turn) = (AtomicBool::new(false), AtomicUsize::new(0));
        let mut held = Held { place: Place::There(Vec::new()), gpus, metric, trials };
        let keep = |gpu: usize, gathered: &mut Block, chunks: &mut Vec<Chunk>| {
            match held.chunk(gpu, gathered.view(0)) {
                Ok(chunk) => chunks.push(Chunk { values: Vec::new(), ..chunk }),
                Err(failure) if failure.out_of_memory => short.store(true, Relaxed),
                Err(failure) => return Err(Failure::work(failure)),
            }
            gathered.clear();
            Ok(())
        };
        let states = rows.pass_on(
            held.gpus.hands(rows.threads),
            || (turn.fetch_add(1, Relaxed) % held.gpus.devices().len(), Block::default(), Vec::new()),
            |(gpu, gathered, chunks), view| {
                if !short.load(Relaxed) {
                    gathered.append(view.to_block());
                    if gathered.rows() >= held.gpus.rows_max() {
                        keep(*gpu, gathered, chunks)?;
                    }
                }
                Ok(())
            },
        )?;
        let mut all = Vec::new();
        for (gpu, mut gathered, mut chunks) in states {
            if gathered.rows() > 0 && !short.load(Relaxed) {
                keep(gpu, &mut gathered, &mut chunks)?;
            }
            all.append(&mut chunks);
        }
        held.place = if short.load(Relaxed) {
            let squares = (0..rows.counts.used).map(|_| AtomicU64::new(f64::INFINITY.to_bits())).collect();
            let turns = held.gpus.devices().iter().map(|_| Mutex::new(())).collect();
            Place::Passing { squares, turns }
        } else {
            Place::There(all)
        };
        Ok(held)
    }

    /// Shows all rows, some at a time, to states that `start` makes, on several threads; gives the states.
    pub fn each<S: Send>(
        &mut self,
        rows: &mut Rows,
        start: impl Fn() -> S + Sync,
        step: impl Fn(&mut S, &mut Chunk) -> Result<(), Failure> + Sync,
    ) -> Result<Vec<S>, Failure> {
        let threads = rows.threads;
        match &mut self.place {
            Place::There(chunks) => each_there(chunks, threads, start, step),
            Place::Passing { .. } => self.each_passing(rows, start, step),
        }
    }

    /// The values of a row that stays on a GPU.
    pub fn row(&self, number: u64) -> Result<Option<Vec<f32>>, Failure> {
        let Place::There(chunks) = &self.place else { return Ok(None) };
        let found = chunks.iter().find_map(|chunk| Some((chunk, chunk.numbers.binary_search(&number).ok()?)));
        found.map(|(chunk, at)| chunk.seeding.row(at).map_err(Failure::work)).transpose()
    }

    fn each_passing<S: Send>(
        &self,
        rows: &mut Rows,
        start: impl Fn() -> S + Sync,
        step: impl Fn(&mut S, &mut Chunk) -> Result<(), Failure> + Sync,
    ) -> Result<Vec<S>, Failure> {
        let turn = AtomicUsize::new(0);
        let begin = || {
            let gpu = turn.fetch_add(1, Relaxed) % self.gpus.devices().len();
            (gpu, Block::default(), Vec::new(), start())
        };
        let states = rows.pass_on(self.gpus.hands(rows.threads), begin, |(gpu, gathered, places, state), view| {
            places.extend(view.first..view.first + view.numbers.len());
            gathered.append(view.to_block());
            if gathered.rows() >= self.gpus.rows_max() {
                self.pass(*gpu, gathered, places, |chunk| step(state, chunk))?;
            }
            Ok(())
        })?;
        let end = |(gpu, mut gathered, mut places, mut state)| {
            self.pass(gpu, &mut gathered, &mut places, |chunk| step(&mut state, chunk)).map(|()| state)
        };
        states.into_iter().map(end).collect()
    }

    /// Brings rows onto a GPU, lets something be done with them, and keeps their squares.
    fn pass(
        &self,
        gpu: usize,
        gathered: &mut Block,
        places: &mut Vec<usize>,
        mut step: impl FnMut(&mut Chunk) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let Place::Passing { squares, turns } = &self.place else { return Ok(()) };
        let _mine = turns[gpu].lock().unwrap_or_else(PoisonError::into_inner);
        let mut from = 0;
        while from < gathered.rows() {
            let to = gathered.rows().min(from + self.gpus.rows_max());
            let known: Vec<_> = places[from..to].iter().map(|&at| f64::from_bits(squares[at].load(Relaxed))).collect();
            let chunk = self.chunk(gpu, gathered.view(0).part(from..to));
            let chunk = chunk.and_then(|mut chunk| chunk.seeding.set_squares(&known).map(|()| chunk));
            match chunk {
                Ok(mut chunk) => {
                    step(&mut chunk)?;
                    for (&at, square) in places[from..to].iter().zip(&chunk.squares) {
                        squares[at].store(square.to_bits(), Relaxed);
                    }
                    from = to;
                }
                Err(failure) => self.gpus.halve(to - from, failure).map_err(Failure::work)?,
            }
        }
        gathered.clear();
        places.clear();
        Ok(())
    }

    fn chunk(&self, gpu: usize, view: View) -> Result<Chunk, Lost> {
        let Block { numbers, weights, values } = view.to_block();
        let dim = values.len() / numbers.len();
        let seeding = Seeding::new(&self.gpus.devices()[gpu], self.metric, dim, &values, &weights, self.trials)?;
        Ok(Chunk { numbers, weights, values, seeding, squares: Vec::new() })
    }
}

/// Each thread takes the next chunk that is left.
fn each_there<S: Send>(
    chunks: &mut [Chunk],
    threads: usize,
    start: impl Fn() -> S + Sync,
    step: impl Fn(&mut S, &mut Chunk) -> Result<(), Failure> + Sync,
) -> Result<Vec<S>, Failure> {
    let left = Mutex::new(chunks.iter_mut());
    let work = || {
        let mut state = start();
        loop {
            let next = left.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(chunk) = next else { return Ok(state) };
            step(&mut state, chunk)?;
        }
    };
    thread::scope(|scope| {
        let hands: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        hands.into_iter().map(|hand| hand.join().expect("a worker does not panic")).collect()
    })
}

//! The rows that a fit goes over again and again: kept in memory, read again from their files, or spooled.
//!
//! Wherever they are, each pass sees the same rows under the same numbers, and what a pass makes of them does not depend on the
//! order: so the answer depends neither on memory nor on threads.

use crate::block::{Block, Values, View, block_rows};
use crate::feed::{Counts, Feed};
use crate::gpus::Gpus;
use crate::spool::Spool;
use half::slice::HalfFloatSliceExt;
use pipe::failure::Failure;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// A block as it is kept.
struct Kept {
    first: usize,
    numbers: Vec<u64>,
    weights: Vec<u64>,
    values: Values,
}

impl Kept {
    /// Adds the rows to a block.
    fn append(&self, block: &mut Block) {
        block.numbers.extend_from_slice(&self.numbers);
        block.weights.extend_from_slice(&self.weights);
        match &self.values {
            Values::Single(values) => block.values.extend_from_slice(values),
            Values::Half(half) => {
                let before = block.values.len();
                block.values.resize(before + half.len(), 0.0);
                half.convert_to_f32_slice(&mut block.values[before..]);
            }
        }
    }
}

enum Place {
    Memory(Vec<Kept>),
    Files(Box<Feed>),
    Spool(Spool),
    /// Rows that come once; the first ones are held until they are asked for.
    Once(Box<Feed>, Block),
}

/// The rows of a fit.
pub struct Rows {
    place: Place,
    /// Values of a row.
    pub dim: usize,
    /// Threads of a pass.
    pub threads: usize,
    /// What came in; complete after the first pass.
    pub counts: Counts,
    /// Passes over all rows, the first included, that read them.
    pub passes_read: u64,
    /// Bytes of the input.
    pub bytes: u64,
    /// Where they are assigned; `None`: on the processor.
    pub gpus: Option<Arc<Gpus>>,
    /// Whether there is memory for a number beside each row.
    pub remember: bool,
}

/// Bytes of the number that a fit keeps beside each row.
const BESIDE: u64 = 4;

impl Rows {
    /// Takes the rows in: up to `memory` bytes are kept. What is more is read again where that is possible (`bytes`: how many there
    /// are, where it is known before), and else goes through a temporary file.
    pub fn open(mut feed: Feed, memory: u64, bytes: Option<u64>, threads: usize) -> Result<Rows, Failure> {
        let dim = feed.dim();
        let mut rows = Rows { remember: true, ..Rows::new(Place::Memory(Vec::new()), dim, threads) };
        let files = |feed: Feed| {
            let remember = feed.rows_total().is_some_and(|rows| BESIDE * rows <= memory);
            Rows { remember, ..Rows::new(Place::Files(Box::new(feed)), dim, threads) }
        };
        if feed.rereadable() && bytes.is_some_and(|bytes| bytes > memory) {
            return Ok(files(feed));
        }
        let (mut block, mut kept, mut kept_bytes, mut first) = (Block::default(), Vec::new(), 0, 0);
        while feed.fill(&mut block, block_rows(dim))? {
            let next = Kept {
                first,
                numbers: std::mem::take(&mut block.numbers),
                weights: std::mem::take(&mut block.weights),
                values: Values::of(&block.values),
            };
            first += next.numbers.len();
            kept_bytes += next.values.bytes() + (16 + BESIDE) * next.numbers.len() as u64;
            kept.push(next);
            block.clear();
            if kept_bytes > memory {
                if feed.rereadable() {
                    feed.rewind()?;
                    return Ok(files(feed));
                }
                let mut spool = Spool::create(dim)?;
                for Kept { numbers, weights, values, .. } in kept {
                    spool.write(&numbers, &weights, &values)?;
                }
                while feed.fill(&mut block, block_rows(dim))? {
                    spool.write(&block.numbers, &block.weights, &Values::of(&block.values))?;
                    block.clear();
                }
                (rows.bytes, rows.counts) = (feed.bytes(), feed.counts);
                rows.remember = BESIDE * rows.counts.used <= memory;
                rows.place = Place::Spool(spool);
                return Ok(rows);
            }
        }
        (rows.bytes, rows.counts) = (feed.bytes(), feed.counts);
        rows.place = Place::Memory(kept);
        Ok(rows)
    }

    /// Nothing known of them yet.
    fn new(place: Place, dim: usize, threads: usize) -> Rows {
        let counts = Counts::default();
        Rows { place, dim, threads, counts, passes_read: 0, bytes: 0, gpus: None, remember: false }
    }

    /// Rows that are in memory already.
    pub fn in_memory(block: &Block, dim: usize, threads: usize) -> Rows {
        let (rows, part) = (block.rows(), block_rows(dim));
        let kept = (0..rows).step_by(part).map(|first| {
            let Block { numbers, weights, values } = block.view(0).part(first..rows.min(first + part)).to_block();
            Kept { first, numbers, weights, values: Values::Single(values) }
        });
        let counts = Counts { rows: rows as u64, used: rows as u64, ..Counts::default() };
        Rows { counts, ..Rows::new(Place::Memory(kept.collect()), dim, threads) }
    }

    /// Other rows that are in memory already, gone over as these are.
    pub fn of(&self, block: &Block) -> Rows {
        Rows { gpus: self.gpus.clone(), ..Rows::in_memory(block, self.dim, self.threads) }
    }

    /// Lets `step` see every row once, on several threads, each with a state of its own that `start` makes; gives the states.
    pub fn pass<S: Send>(
        &mut self,
        start: impl Fn() -> S + Sync,
        step: impl Fn(&mut S, View) -> Result<(), Failure> + Sync,
    ) -> Result<Vec<S>, Failure> {
        self.pass_on(self.threads, start, step)
    }

    /// The same on so many threads.
    pub fn pass_on<S: Send>(
        &mut self,
        threads: usize,
        start: impl Fn() -> S + Sync,
        step: impl Fn(&mut S, View) -> Result<(), Failure> + Sync,
    ) -> Result<Vec<S>, Failure> {
        let dim = self.dim;
        match &mut self.place {
            Place::Memory(kept) => pass_over(kept, threads, start, step),
            Place::Files(feed) => {
                self.passes_read += 1;
                feed.rewind()?;
                let states = pass_through(|block| feed.fill(block, block_rows(dim)), threads, start, step)?;
                (self.counts, self.bytes) = (feed.counts.clone(), feed.bytes());
                Ok(states)
            }
            Place::Spool(spool) => {
                self.passes_read += 1;
                spool.rewind()?;
                pass_through(|block| spool.read(block), threads, start, step)
            }
            Place::Once(..) => unreachable!("these rows are gone over in order"),
        }
    }

    /// Rows that are gone over once, [in order](Rows::in_order), and kept nowhere.
    pub fn once(feed: Feed, threads: usize) -> Rows {
        let dim = feed.dim();
        Rows::new(Place::Once(Box::new(feed), Block::default()), dim, threads)
    }

    /// The first rows, so many or all there are. The next pass begins with them again.
    pub fn first(&mut self, rows: usize) -> Result<Block, Failure> {
        if let Place::Once(feed, held) = &mut self.place {
            feed.fill(held, rows)?;
            return Ok(held.clone());
        }
        let mut first = Block::default();
        self.in_order(rows, |view| {
            first = view.to_block();
            Ok(ControlFlow::Break(()))
        })?;
        Ok(first)
    }

    /// Lets `step` see all rows in order, so many at a time; the last ones may be fewer.
    pub fn in_order(
        &mut self,
        rows: usize,
        mut step: impl FnMut(View) -> Result<ControlFlow<()>, Failure>,
    ) -> Result<(), Failure> {
        let (mut block, mut at, dim) = (Block::default(), 0, self.dim);
        loop {
            while block.rows() < rows && self.more(at, rows, &mut block)? {
                at += 1;
            }
            let count = block.rows().min(rows);
            if count == 0 || step(block.view(0).part(0..count))?.is_break() {
                break;
            }
            block.numbers.drain(..count);
            block.weights.drain(..count);
            block.values.drain(..count * dim);
        }
        if let Place::Files(feed) | Place::Once(feed, _) = &self.place {
            (self.counts, self.bytes) = (feed.counts.clone(), feed.bytes());
        }
        Ok(())
    }

    /// Adds the next rows to a block: the `at`-th call of a pass. Reading goes on until it has `rows`. `false`: there are no more.
    fn more(&mut self, at: usize, rows: usize, block: &mut Block) -> Result<bool, Failure> {
        let before = block.rows();
        match &mut self.place {
            Place::Memory(kept) => {
                let Some(next) = kept.get(at) else { return Ok(false) };
                next.append(block);
            }
            Place::Spool(spool) => {
                if at == 0 {
                    spool.rewind()?;
                }
                spool.read(block)?;
            }
            Place::Files(feed) => {
                if at == 0 {
                    feed.rewind()?;
                }
                feed.fill(block, rows)?;
            }
            Place::Once(feed, held) => {
                block.append(std::mem::take(held));
                feed.fill(block, rows)?;
            }
        }
        self.passes_read += u64::from(at == 0);
        Ok(block.rows() > before)
    }

    /// Where the rows are, for the statistics.
    pub fn place(&self) -> &'static str {
        match self.place {
            Place::Memory(_) => "memory",
            Place::Files(_) => "files",
            Place::Spool(_) => "temporary file",
            Place::Once(..) => "nowhere",
        }
    }
}

/// A pass over what is kept: each thread takes the next block that is left.
fn pass_over<S: Send>(
    kept: &[Kept],
    threads: usize,
    start: impl Fn() -> S + Sync,
    step: impl Fn(&mut S, View) -> Result<(), Failure> + Sync,
) -> Result<Vec<S>, Failure> {
    let next = AtomicUsize::new(0);
    let work = || {
        let (mut state, mut widened) = (start(), Vec::new());
        while let Some(Kept { first, numbers, weights, values }) = kept.get(next.fetch_add(1, Ordering::Relaxed)) {
            let values = match values {
                Values::Single(values) => values,
                Values::Half(half) => {
                    widened.resize(half.len(), 0.0);
                    half.convert_to_f32_slice(&mut widened);
                    &widened
                }
            };
            step(&mut state, View { first: *first, numbers, weights, values })?;
        }
        Ok(state)
    };
    thread::scope(|scope| {
        let hands: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        hands.into_iter().map(|hand| hand.join().expect("a worker does not panic")).collect()
    })
}

/// A pass over what is read meanwhile, on this thread.
fn pass_through<S: Send>(
    mut read: impl FnMut(&mut Block) -> Result<bool, Failure>,
    threads: usize,
    start: impl Fn() -> S + Sync,
    step: impl Fn(&mut S, View) -> Result<(), Failure> + Sync,
) -> Result<Vec<S>, Failure> {
    let (full, queue) = sync_channel::<(usize, Block)>(1);
    let (queue, failed) = (Mutex::new(queue), AtomicBool::new(false));
    let (spent, unused) = channel::<Block>();
    let work = |spent: Sender<Block>| {
        let (mut state, mut outcome) = (start(), Ok(()));
        loop {
            // The lock is let go before the work begins.
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok((first, mut block)) = next else { return outcome.map(|()| state) };
            // After a failure blocks are still taken, so that the reader does not wait for ever.
            if !failed.load(Ordering::Relaxed) {
                outcome = step(&mut state, block.view(first));
                failed.fetch_or(outcome.is_err(), Ordering::Relaxed);
            }
            block.clear();
            // Nobody uses it again where the reading has ended.
            let _ = spent.send(block);
        }
    };
    thread::scope(|scope| {
        let work = &work;
        let hands: Vec<_> = (0..threads)
            .map(|_| {
                let spent = spent.clone();
                scope.spawn(move || work(spent))
            })
            .collect();
        let (mut outcome, mut first) = (Ok(()), 0);
        while !failed.load(Ordering::Relaxed) {
            let mut block = unused.try_recv().unwrap_or_default();
            match read(&mut block) {
                Ok(true) => {
                    let rows = block.rows();
                    full.send((first, block)).expect("the queue is there as long as this");
                    first += rows;
                }
                Ok(false) => break,
                Err(why) => {
                    outcome = Err(why);
                    break;
                }
            }
        }
        drop(full);
        let states: Result<Vec<S>, Failure> =
            hands.into_iter().map(|hand| hand.join().expect("a worker does not panic")).collect();
        outcome.and(states)
    })
}

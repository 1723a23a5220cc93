//! Passes over rows, on several threads.
//!
//! A pass shows every row once, to one of several states, each on a thread of its own. Which state sees which rows
//! depends on chance: what is made of them must not. Of several failures it is the one of the first block.

use compute::kmeans::{Block, BlockView, block_rows};
use pipe::crew::beside;
use pipe::failure::Failure;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{channel, sync_channel};
use std::sync::{Mutex, PoisonError};

/// Rows that can be gone over.
pub trait Passes {
    /// Values of a row.
    fn dim(&self) -> usize;

    /// Rows that take part: those of the last pass, at least.
    fn used(&self) -> u64;

    /// Shows every row to one of the states, in blocks, and lets each end when there are no more. Gives what became of
    /// the states.
    ///
    /// # Errors
    /// Where the rows cannot be read, or a step fails.
    fn pass<S: Send, T: Send>(
        &mut self,
        states: Vec<S>,
        step: impl Fn(&mut S, BlockView) -> Result<(), Failure> + Sync,
        end: impl Fn(S) -> Result<T, Failure> + Sync,
    ) -> Result<Vec<T>, Failure>;
}

impl Passes for BlockView<'_> {
    fn dim(&self) -> usize {
        BlockView::dim(*self)
    }

    fn used(&self) -> u64 {
        self.len() as u64
    }

    fn pass<S: Send, T: Send>(
        &mut self,
        states: Vec<S>,
        step: impl Fn(&mut S, BlockView) -> Result<(), Failure> + Sync,
        end: impl Fn(S) -> Result<T, Failure> + Sync,
    ) -> Result<Vec<T>, Failure> {
        let (rows, size) = (self.len(), block_rows(BlockView::dim(*self).max(1)));
        let part = |i: usize| self.part(i * size..rows.min((i + 1) * size));
        share(rows.div_ceil(size), states, |state, i| step(state, part(i)), end)
    }
}

/// Each state takes the next of the numbers below `count` that is left.
///
/// # Errors
/// Those of `step` and `end`.
pub fn share<S: Send, T: Send>(
    count: usize,
    states: Vec<S>,
    step: impl Fn(&mut S, usize) -> Result<(), Failure> + Sync,
    end: impl Fn(S) -> Result<T, Failure> + Sync,
) -> Result<Vec<T>, Failure> {
    let next = AtomicUsize::new(0);
    let work = |mut state: S| {
        loop {
            let i = next.fetch_add(1, Relaxed);
            if i >= count {
                return end(state).map_err(|why| (usize::MAX, why));
            }
            step(&mut state, i).map_err(|why| (i, why))?;
        }
    };
    together(beside(states.into_iter(), work, || ())?.0)
}

/// What became of the states, or the failure of the first block that has one. Blocks are taken in order, so nobody has
/// passed that one by.
fn together<T>(outcomes: Vec<Result<T, (usize, Failure)>>) -> Result<Vec<T>, Failure> {
    let (mut ended, mut failure) = (Vec::new(), None);
    for outcome in outcomes {
        match outcome {
            Ok(state) => ended.push(state),
            Err((block, why)) if failure.as_ref().is_none_or(|&(first, _)| block < first) => {
                failure = Some((block, why))
            }
            Err(_) => {}
        }
    }
    failure.map_or(Ok(ended), |(_, why)| Err(why))
}

/// A pass over what is read meanwhile, on this thread: each state takes the next block. `read` adds rows to a block;
/// `false`: there are no more.
///
/// # Errors
/// Those of `read`, `step` and `end`.
pub fn pass_through<S: Send, T: Send>(
    mut read: impl FnMut(&mut Block) -> Result<bool, Failure>,
    states: Vec<S>,
    step: impl Fn(&mut S, BlockView) -> Result<(), Failure> + Sync,
    end: impl Fn(S) -> Result<T, Failure> + Sync,
) -> Result<Vec<T>, Failure> {
    let (full, queue) = sync_channel::<(usize, Block)>(1);
    let (queue, failed) = (Mutex::new(queue), AtomicBool::new(false));
    let (spent, unused) = channel::<Block>();
    let work = |mut state: S| {
        let mut outcome = Ok(());
        loop {
            // The lock is let go before the work begins. What was taken before a block that fails is looked at all the
            // same.
            let next = {
                let queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
                queue.recv().map(|next| (next, failed.load(Relaxed)))
            };
            let Ok(((first, mut block), skip)) = next else {
                return outcome.and_then(|()| end(state).map_err(|why| (usize::MAX, why)));
            };
            // After a failure blocks are still taken, so that the reader does not wait for ever.
            if !skip && outcome.is_ok() {
                outcome = step(&mut state, block.view(first)).map_err(|why| (first, why));
                failed.fetch_or(outcome.is_err(), Relaxed);
            }
            block.clear();
            // Nobody uses it again where the reading has ended.
            let _ = spent.send(block);
        }
    };
    let reading = || {
        let full = full;
        let mut first = 0;
        while !failed.load(Relaxed) {
            let mut block = unused.try_recv().unwrap_or_default();
            if !read(&mut block)? {
                break;
            }
            let rows = block.rows();
            full.send((first, block)).expect("the queue is there as long as this");
            first += rows;
        }
        Ok(())
    };
    let (ended, outcome) = beside(states.into_iter(), work, reading)?;
    // What was read before it fails first.
    let ended = together(ended)?;
    outcome.map(|()| ended)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;
    use std::time::Duration;

    const ROWS: usize = 40_000;

    /// Rows of one value, their number.
    fn block() -> Block {
        let numbers: Vec<u64> = (0..ROWS as u64).collect();
        let values = numbers.iter().map(|&number| number as f32).collect();
        Block { weights: vec![1; ROWS], numbers, values }
    }

    /// Reads them, so many at a time.
    fn read(all: &Block, size: usize) -> impl FnMut(&mut Block) -> Result<bool, Failure> {
        let mut at = 0;
        move |block| {
            let to = ROWS.min(at + size);
            block.extend(all.view(0).part(at..to));
            at = to;
            Ok(block.rows() > 0)
        }
    }

    #[test]
    fn every_row_is_seen_once_at_its_place() {
        let (all, expected) = (block(), (0..ROWS).map(|row| (row, row as u64)).collect::<Vec<_>>());
        let see = |seen: &mut Vec<(usize, u64)>, block: BlockView| {
            seen.extend(block.rows().enumerate().map(|(i, (number, weight, row))| {
                assert_eq!((weight, row), (1, &[number as f32][..]));
                (block.first + i, number)
            }));
            Ok(())
        };
        for threads in [1, 2, 5] {
            let states = || vec![Vec::new(); threads];
            let whole = all.view(0).pass(states(), see, Ok).unwrap();
            for seen in [whole, pass_through(read(&all, 777), states(), see, Ok).unwrap()] {
                let mut seen = seen.concat();
                seen.sort_unstable();
                assert!(seen == expected, "{threads}");
            }
        }
    }

    /// Blocks fail in any order, and the reading may fail before them.
    #[test]
    fn the_failure_is_that_of_the_first_block() {
        // The first one takes its time.
        let fail = |at: u64, first: u64| {
            thread::sleep(Duration::from_millis(if at == first { 10 } else { 0 }));
            if at >= first { Err(Failure::work(at)) } else { Ok(()) }
        };
        let all = block();
        for _ in 0..20 {
            let shared = share(1000, vec![(); 4], |_, i| fail(i as u64, 10), Ok);
            let mut reading = read(&all, 100);
            // What is beyond row 20,300 cannot be read.
            let read = |block: &mut Block| match reading(block) {
                Ok(true) if block.numbers[0] > 20_300 => Err(Failure::work("unreadable")),
                read => read,
            };
            let through = pass_through(read, vec![(); 4], |_, block| fail(block.numbers[0], 20_000), Ok);
            assert_eq!((shared, through), (Err(Failure::work(10)), Err(Failure::work(20_000))));
        }
    }
}

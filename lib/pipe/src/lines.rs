//! Lines in parallel, output in input order.
//!
//! The input is cut into batches, which are the jobs of a [crew]: memory does not grow with the input, and the order of
//! the results is that of the lines however many workers there are.

use crate::crew::{self, Hand};
use crate::failure::Failure;
use crate::input::{Batch, Input, Source};
pub use crate::newlines::split;
use crate::progress::Meter;
use crate::settings::{Common, OnError};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

/// A buffer that one very long line has grown beyond this is not kept.
const BUFFER_MAX: usize = 4 << 20;

/// What a tool does with lines, on one thread.
pub trait Worker: Send + 'static {
    /// What it makes of a batch.
    type Out: Send + 'static;

    /// Takes one line, without its newline.
    ///
    /// # Errors
    /// What was found and what was expected.
    fn line(&mut self, line: &[u8]) -> Result<(), String>;

    /// Takes the place of a bad line that was skipped.
    fn missing(&mut self);

    /// Ends a batch: what was made of the lines since the last call.
    fn take(&mut self) -> Self::Out;
}

/// How many lines there were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Lines, bad ones included.
    pub rows: u64,
    /// Bad lines that were skipped.
    pub bad: u64,
    /// Bytes of input after decompression.
    pub bytes: u64,
    /// The place of the first bad line and what was wrong with it.
    pub first_bad: Option<String>,
}

impl Tally {
    /// Counts a block of rows, of which some are bad, the first of them as `first_bad` says.
    ///
    /// # Errors
    /// What `first_bad` says, where bad rows end the run.
    pub fn add(&mut self, rows: u64, bad: u64, first_bad: Option<String>, on_error: OnError) -> Result<(), Failure> {
        if let Some(why) = first_bad {
            if on_error == OnError::Fail {
                return Err(Failure::Work(why));
            }
            self.first_bad.get_or_insert(why);
        }
        self.rows += rows;
        self.bad += bad;
        Ok(())
    }

    /// Tells how many bad lines were skipped, if any: the last line on stderr.
    pub fn report(&self, common: &Common) {
        if let Some(first) = &self.first_bad {
            let message = format!("skipped {} bad of {} rows; the first: {first}", self.bad, self.rows);
            crate::note(common, &message);
        }
    }
}

/// What a worker made of a batch.
struct Done<T> {
    out: T,
    source: Arc<Source>,
    bytes: u64,
    rows: u64,
    bad: u64,
    /// 0-based line within the batch.
    first_bad: Option<(u64, String)>,
}

/// Deals lines out to workers and collects what they make, in order.
pub struct Lines<'a> {
    common: &'a Common,
    input: Input,
    on_error: OnError,
}

impl<'a> Lines<'a> {
    /// Lines of this input, under the run's flags.
    pub fn new(common: &'a Common, input: Input) -> Lines<'a> {
        Lines { common, input, on_error: common.on_error }
    }

    /// The same, where a bad line always ends the run.
    pub fn strict(self) -> Lines<'a> {
        Lines { on_error: OnError::Fail, ..self }
    }

    /// Runs one worker a thread over all lines; `collect` gets what they make, in input order, and may end the run
    /// early. Gives the tally and the workers back; after an early end, the tally is that of the whole last batch, and
    /// a worker may have seen lines that were not collected.
    ///
    /// Threads are not waited for after a failure: the reader may be waiting for a pipe that has nothing more to say.
    ///
    /// # Errors
    /// Those of the input, of bad lines by `--on-error`, and of `collect`.
    pub fn run<W: Worker>(
        self,
        mut worker: impl FnMut() -> W,
        mut collect: impl FnMut(W::Out) -> Result<ControlFlow<()>, Failure>,
    ) -> Result<(Tally, Vec<W>), Failure> {
        let Lines { common, mut input, on_error } = self;
        let mut meter = Meter::new(common, input.bytes_total);
        let (spent, unused) = channel::<Vec<u8>>();
        let hand = |_| Labour { worker: worker(), on_error, spent: spent.clone() };
        let hands: Vec<_> = (0..common.threads).map(hand).collect();
        drop(spent);
        let batches = move || input.next(unused.try_recv().unwrap_or_default()).transpose();

        let mut place = Place::default();
        let hands = crew::run(hands, batches, |done| {
            let flow = place.add(done, on_error, &mut collect)?;
            meter.show(place.tally.bytes, place.tally.rows);
            Ok(flow)
        })?;
        meter.end();
        Ok((place.tally, hands.into_iter().map(|hand| hand.worker).collect()))
    }
}

/// Where in the input the collector is.
#[derive(Default)]
struct Place {
    tally: Tally,
    source: Option<Arc<Source>>,
    /// Lines of the source that are collected.
    lines: u64,
}

impl Place {
    fn add<T>(
        &mut self,
        done: Done<T>,
        on_error: OnError,
        collect: &mut impl FnMut(T) -> Result<ControlFlow<()>, Failure>,
    ) -> Result<ControlFlow<()>, Failure> {
        if !self.source.as_ref().is_some_and(|source| Arc::ptr_eq(source, &done.source)) {
            self.source = Some(done.source.clone());
            self.lines = 0;
        }
        let flow = collect(done.out)?;
        if let Some((line, why)) = done.first_bad.filter(|_| self.tally.first_bad.is_none()) {
            let line = done.source.lines_before() + self.lines + line + 1;
            let message = format!("{}:{line}: {why}", done.source.name);
            match on_error {
                // Who has enough does not care about what comes after, which is in this batch or not as reads happen to
                // fall.
                OnError::Fail if flow.is_break() => {}
                OnError::Fail => return Err(Failure::Work(message)),
                OnError::Skip => self.tally.first_bad = Some(message),
            }
        }
        self.lines += done.rows;
        self.tally.rows += done.rows;
        self.tally.bad += done.bad;
        self.tally.bytes += done.bytes;
        Ok(flow)
    }
}

/// A worker on its thread.
struct Labour<W: Worker> {
    worker: W,
    on_error: OnError,
    spent: Sender<Vec<u8>>,
}

impl<W: Worker> Hand for Labour<W> {
    type Job = Batch;
    type Done = Done<W::Out>;

    fn work(&mut self, batch: Batch) -> Done<W::Out> {
        let done = work(&mut self.worker, &batch, self.on_error);
        give_back(batch.into_buffer(), &self.spent);
        done
    }
}

fn give_back(buffer: Vec<u8>, spent: &Sender<Vec<u8>>) {
    if buffer.len() <= BUFFER_MAX {
        // Nobody takes buffers once the reader is done.
        let _ = spent.send(buffer);
    }
}

fn work<W: Worker>(worker: &mut W, batch: &Batch, on_error: OnError) -> Done<W::Out> {
    let bytes = batch.bytes();
    let (mut rows, mut bad, mut first_bad) = (0, 0, None);
    for line in split(bytes) {
        if let Err(why) = worker.line(line) {
            first_bad.get_or_insert((rows, why));
            if on_error == OnError::Fail {
                break;
            }
            bad += 1;
            worker.missing();
        }
        rows += 1;
    }
    let source = batch.source.clone();
    Done { out: worker.take(), source, bytes: bytes.len() as u64, rows, bad, first_bad }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_last_line_needs_no_newline() {
        let lines =
            |text: &'static str| split(text.as_bytes()).map(|line| str::from_utf8(line).unwrap()).collect::<Vec<_>>();
        assert_eq!(lines(""), [""; 0]);
        assert_eq!(lines("\n"), [""]);
        assert_eq!(lines("a"), ["a"]);
        assert_eq!(lines("a\n"), ["a"]);
        assert_eq!(lines("a\n\nb\r\n"), ["a", "", "b\r"]);
        assert_eq!(lines("a\nb"), ["a", "b"]);
    }
}

//! Jobs in parallel, results in the order of the jobs.
//!
//! A thread deals jobs out to the workers in turn; the calling thread collects the results in the same turn. Every
//! queue is bounded, so memory does not grow with the input, and the order does not depend on how many workers there
//! are.

use crate::failure::{Failure, reason};
use std::hint::black_box;
use std::io::{self, ErrorKind};
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle, ScopedJoinHandle};

/// Jobs waiting for each worker, and results waiting for the collector.
const QUEUE: usize = 2;

/// Address space that a thread must find: its stack of 2 MiB and what it allocates first. Above 32 MiB the C library
/// maps and unmaps, and learns nothing from it for later.
const ROOM: usize = 33 << 20;

/// What is done with jobs, on one thread.
pub trait Hand: Send + 'static {
    /// A piece of input.
    type Job: Send + 'static;
    /// What becomes of it.
    type Done: Send + 'static;

    /// Does one job.
    fn work(&mut self, job: Self::Job) -> Self::Done;
}

/// What a worker is told.
enum Word<J> {
    /// Do this, or pass on that it could not be had.
    Do(Result<J, Failure>),
    /// There is nothing more to do.
    Stop,
}

type Queues<J> = Vec<SyncSender<Word<J>>>;

/// Gives jobs to the hands until there are none, and their results to `collect`, in order; a failure, of the jobs or of
/// the collector, ends it. Gives the hands back; after an early end, one may have done jobs that were not collected.
///
/// The thread that makes the jobs is not waited for after an early end: it may be waiting for a pipe that has nothing
/// more to say.
///
/// # Errors
/// Those of the jobs and of the collector, and where threads cannot be started.
pub fn run<H: Hand>(
    hands: Vec<H>,
    jobs: impl FnMut() -> Option<Result<H::Job, Failure>> + Send + 'static,
    mut collect: impl FnMut(H::Done) -> Result<ControlFlow<()>, Failure>,
) -> Result<Vec<H>, Failure> {
    let count = hands.len();
    let (mut queues, mut results, mut handles) = (Vec::new(), Vec::new(), Vec::new());
    for hand in hands {
        let (queue, jobs) = sync_channel(QUEUE);
        let (sender, done) = sync_channel(QUEUE);
        handles.push(start(count, move || labour(hand, &jobs, &sender))?);
        queues.push(queue);
        results.push(done);
    }
    let dealer = Dealer { queues: queues.clone() };
    start(count, move || dealer.deal(jobs))?;
    for results in results.iter().cycle() {
        let Ok(done) = results.recv() else { break };
        if collect(done?)?.is_break() {
            break;
        }
    }
    drop(results);
    stop(&queues);
    let hands: Result<Vec<H>, _> = handles.into_iter().map(JoinHandle::join).collect();
    hands.map_err(|_| Failure::work("a worker thread panicked"))
}

/// Starts one of so many threads, and waits until it runs.
///
/// # Errors
/// Where the system does not give as many.
pub fn start<T: Send + 'static>(
    threads: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, Failure> {
    begun(|running| {
        thread::Builder::new().spawn(move || {
            drop(running);
            work()
        })
    })
    .map_err(|why| refused(threads, why))
}

/// What becomes of each job, in order, each on a thread of its own, and of `meanwhile`, on this one. Nobody works
/// before all are there.
///
/// # Errors
/// Where the system does not give as many threads: then nothing was done.
///
/// # Panics
/// Where `work` does.
pub fn beside<J: Send, T: Send, M>(
    jobs: impl ExactSizeIterator<Item = J>,
    work: impl Fn(J) -> T + Sync,
    meanwhile: impl FnOnce() -> M,
) -> Result<(Vec<T>, M), Failure> {
    let (work, count) = (&work, jobs.len());
    thread::scope(|scope| {
        let (mut gates, mut hands) = (Vec::new(), Vec::new());
        for job in jobs {
            let (gate, opened) = sync_channel::<()>(1);
            let hand = begun(|running| {
                thread::Builder::new().spawn_scoped(scope, move || {
                    drop(running);
                    opened.recv().ok().map(|()| work(job))
                })
            });
            hands.push(hand.map_err(|why| refused(count, why))?);
            gates.push(gate);
        }
        gates.into_iter().for_each(|gate| gate.send(()).expect("who was started waits"));
        let meanwhile = meanwhile();
        let join = |hand: ScopedJoinHandle<Option<T>>| hand.join().expect("the work does not panic");
        Ok((hands.into_iter().map(|hand| join(hand).expect("its gate was opened")).collect(), meanwhile))
    })
}

/// What becomes of each job, in order, each on a thread of its own; all on this one where the system does not give as
/// many.
///
/// # Panics
/// Where `work` does.
pub fn all_at_once<J: Copy + Send, T: Send>(
    jobs: impl ExactSizeIterator<Item = J> + Clone,
    work: impl Fn(J) -> T + Sync,
) -> Vec<T> {
    beside(jobs.clone(), &work, || ()).map_or_else(|_| jobs.map(&work).collect(), |(done, ())| done)
}

/// Starts a thread, which drops what it is given when it runs.
///
/// Until then the system's libraries set it up, and end the process where there is no memory for that. So where memory
/// has a limit, a thread is started only if there is room for it, and alone. (To wait for each costs half a
/// millisecond, which counts where every pass over some rows starts its own.)
fn begun<H>(spawn: impl FnOnce(SyncSender<()>) -> io::Result<H>) -> io::Result<H> {
    let limited = limited();
    if limited {
        room()?;
    }
    let (running, runs) = sync_channel(0);
    let hand = spawn(running)?;
    if limited {
        let _ = runs.recv();
    }
    Ok(hand)
}

/// Whether the process may have no more than so much memory (`ulimit -v` or `-d`).
fn limited() -> bool {
    let below = |resource| {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the structure is one that the call fills.
        let found = unsafe { libc::getrlimit(resource, &mut limit) };
        found != 0 || limit.rlim_cur != libc::RLIM_INFINITY
    };
    below(libc::RLIMIT_AS) || below(libc::RLIMIT_DATA)
}

/// Whether there is address space for a thread.
fn room() -> io::Result<()> {
    let mut room = Vec::<u8>::new();
    let found = room.try_reserve_exact(ROOM);
    black_box(&room);
    found.map_err(|_| ErrorKind::OutOfMemory.into())
}

fn refused(threads: usize, why: std::io::Error) -> Failure {
    Failure::work(format!("{threads} threads cannot be started: {} (--threads N: with fewer)", reason(why)))
}

/// Tells every worker to stop. One that has jobs waiting has done the next of them then, and ends because nobody takes
/// what it made.
fn stop<J>(queues: &[SyncSender<Word<J>>]) {
    queues.iter().for_each(|queue| drop(queue.send(Word::Stop)));
}

/// The reader thread: jobs to the workers in turn, until the input or the interest ends.
struct Dealer<J> {
    queues: Queues<J>,
}

impl<J> Dealer<J> {
    fn deal(self, mut jobs: impl FnMut() -> Option<Result<J, Failure>>) {
        for queue in self.queues.iter().cycle() {
            let Some(job) = jobs() else { return };
            let last = job.is_err();
            if queue.send(Word::Do(job)).is_err() || last {
                return;
            }
        }
    }
}

impl<J> Drop for Dealer<J> {
    /// However it ends, the workers must not wait for more.
    fn drop(&mut self) {
        stop(&self.queues);
    }
}

/// A worker thread.
fn labour<H: Hand>(mut hand: H, jobs: &Receiver<Word<H::Job>>, results: &SyncSender<Result<H::Done, Failure>>) -> H {
    while let Ok(Word::Do(job)) = jobs.recv() {
        if results.send(job.map(|job| hand.work(job))).is_err() {
            break;
        }
    }
    hand
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    struct Same;

    impl Hand for Same {
        type Job = u64;
        type Done = u64;

        fn work(&mut self, job: u64) -> u64 {
            job
        }
    }

    fn hands(count: usize) -> Vec<Same> {
        (0..count).map(|_| Same).collect()
    }

    #[test]
    fn results_come_in_order_and_all_hands_come_back() {
        for count in [1, 2, 7] {
            let (mut jobs, mut all) = (0..1000, Vec::new());
            let collect = |done| {
                all.push(done);
                Ok(ControlFlow::Continue(()))
            };
            let back = run(hands(count), move || jobs.next().map(Ok), collect).unwrap();
            assert_eq!((back.len(), all), (count, (0..1000).collect()));
        }
    }

    /// The jobs are like those of a pipe that falls silent: the end must not wait for the next.
    #[test]
    fn who_has_enough_does_not_wait_for_more() {
        for (count, jobs_first) in [(1, 1), (2, 1), (7, 3), (2, 100)] {
            let (sender, ended) = channel();
            thread::spawn(move || {
                let mut first = 0..jobs_first;
                let jobs = move || match first.next() {
                    Some(job) => Some(Ok(job)),
                    None => loop {
                        thread::park();
                    },
                };
                let enough = run(hands(count), jobs, |_| Ok(ControlFlow::Break(())));
                sender.send(enough.map(|hands| hands.len())).unwrap();
            });
            assert_eq!(ended.recv_timeout(Duration::from_secs(20)), Ok(Ok(count)), "{count} hands, {jobs_first} jobs");
        }
    }

    #[test]
    fn a_failed_job_ends_it() {
        let mut jobs = [Ok(1), Err(Failure::work("no")), Ok(2)].into_iter();
        let ended = run(hands(2), move || jobs.next(), |_| Ok(ControlFlow::Continue(())));
        assert!(matches!(ended, Err(Failure::Work(why)) if why == "no"));
    }
}

//! How far a fit has come: one line on stderr.

use cluster::passes::Passes;
use compute::kmeans::BlockView;
use pipe::failure::Failure;
use pipe::progress::Meter;
use pipe::settings::Common;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Where a run stands.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    /// The run, from 1, and how many there are.
    run: (u64, u64),
    /// The iteration, from 1, and how many there are at the most.
    iteration: (u64, u64),
    /// Of the iteration before.
    inertia: Option<f64>,
    /// Rows of an iteration, once that is known.
    rows: Option<u64>,
}

/// Shows where a run stands, twice a second at the most.
pub struct Gauge {
    /// Threads that find another one writing go on with their work.
    meter: Mutex<Meter>,
    started: Instant,
    /// The iteration that the run began with: a checkpoint's, or the first.
    first: u64,
    place: Place,
    /// Rows of the iteration that have passed.
    seen: AtomicU64,
}

impl Gauge {
    /// For a run (from 0) of so many, of so many iterations at the most, of which some were done before.
    pub fn new(common: &Common, (run, runs): (u64, u64), (done, iterations): (u64, u64), rows: Option<u64>) -> Gauge {
        let place =
            Place { run: (run + 1, runs), iteration: (done.saturating_add(1), iterations), inertia: None, rows };
        let meter = Mutex::new(Meter::new(common, None));
        Gauge { meter, started: Instant::now(), first: done.saturating_add(1), place, seen: AtomicU64::new(0) }
    }

    /// Goes to the next iteration; the one that ended had so many rows and came to this inertia.
    pub fn next(&mut self, rows: u64, inertia: Option<f64>) {
        let iteration = (self.place.iteration.0 + 1, self.place.iteration.1);
        self.place = Place { iteration, inertia, rows: Some(rows), ..self.place };
        self.seen.store(0, Relaxed);
        self.show(0);
    }

    /// Lets so many more rows pass.
    pub fn pass(&self, rows: u64) {
        let seen = self.seen.fetch_add(rows, Relaxed) + rows;
        self.show(seen);
    }

    fn show(&self, seen: u64) {
        if let Ok(mut meter) = self.meter.try_lock() {
            meter.say(|| line(self.place, self.first, seen, self.started.elapsed()));
        }
    }
}

fn line(place: Place, first: u64, seen: u64, elapsed: Duration) -> String {
    let Place { run, iteration, inertia, rows } = place;
    let run = if run.1 > 1 { format!("run {} of {}, ", run.0, run.1) } else { String::new() };
    let of = rows.map_or(String::new(), |rows| format!(" of {rows}"));
    let inertia = inertia.map_or(String::new(), |inertia| format!(", inertia {inertia:.6}"));
    let within = rows.map_or(0.0, |rows| seen as f64 / rows.max(1) as f64).min(1.0);
    let done = (iteration.0 - first) as f64 + within;
    let left = ((iteration.1 + 1).saturating_sub(first) as f64 - done) * elapsed.as_secs_f64() / done;
    let left = if left.is_finite() { format!(", at most {left:.0} s left") } else { String::new() };
    format!("{run}iteration {} of {}, {seen}{of} rows{inertia}{left}", iteration.0, iteration.1)
}

/// Rows that a gauge sees pass.
pub struct Watched<'a, R> {
    /// The rows.
    pub rows: &'a mut R,
    /// Who sees them.
    pub gauge: &'a Gauge,
}

impl<R: Passes> Passes for Watched<'_, R> {
    fn dim(&self) -> usize {
        self.rows.dim()
    }

    fn used(&self) -> u64 {
        self.rows.used()
    }

    fn pass<S: Send, T: Send>(
        &mut self,
        states: Vec<S>,
        step: impl Fn(&mut S, BlockView) -> Result<(), Failure> + Sync,
        end: impl Fn(S) -> Result<T, Failure> + Sync,
    ) -> Result<Vec<T>, Failure> {
        let watched = |state: &mut S, block: BlockView| {
            self.gauge.pass(block.len() as u64);
            step(state, block)
        };
        self.rows.pass(states, watched, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iterations_and_rows_are_told_of_how_many() {
        let place = Place { run: (1, 1), iteration: (5, 20), inertia: Some(0.25), rows: Some(1000) };
        let said = |place, first, seen| line(place, first, seen, Duration::from_secs(9));
        let expected = "iteration 5 of 20, 500 of 1000 rows, inertia 0.250000, at most 31 s left";
        assert_eq!(said(place, 1, 500), expected);
        // With four iterations done before this run began.
        assert_eq!(said(place, 5, 500), expected.replace("31 s", "279 s"));
        let first = Place { run: (2, 3), iteration: (1, 20), ..Place::default() };
        assert_eq!(said(first, 1, 77), "run 2 of 3, iteration 1 of 20, 77 rows");
        assert_eq!(said(Place { iteration: (20, 20), ..place }, 1, 1000).split(", ").last(), Some("at most 0 s left"));
    }
}

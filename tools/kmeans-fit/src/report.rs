//! What a fit has to say of itself: notes on stderr, and the statistics.

use assign::Devices;
use cluster::fit::State;
use cluster::rows::Rows;
use pipe::failure::Failure;
use pipe::lines::Tally;
use pipe::settings::Common;
use pipe::stats::Stats;
use std::time::Instant;

/// What is known of a run of the program.
#[derive(Default)]
pub struct Report {
    tally: Tally,
    used: u64,
    missing: u64,
    rows_in: &'static str,
    passes_read: u64,
    /// Whether 64-bit floats were rounded.
    pub rounded: bool,
    seed_seconds: f64,
    /// Of each assignment of all rows, all runs one after another.
    seconds: Vec<f64>,
    since: Option<Instant>,
    assigned: u64,
    reranked: u64,
}

impl Report {
    /// Takes the time of the seeding.
    pub fn seeding<T>(&mut self, seed: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let seeded = seed();
        self.seed_seconds += started.elapsed().as_secs_f64();
        seeded
    }

    /// The iterations begin.
    pub fn begin(&mut self) {
        self.since = Some(Instant::now());
    }

    /// So many rows were assigned, of which so many were re-ranked.
    pub fn iteration(&mut self, rows: u64, reranked: u64) {
        let now = Instant::now();
        self.seconds.extend(self.since.map(|since| (now - since).as_secs_f64()));
        self.since = Some(now);
        self.assigned += rows;
        self.reranked += reranked;
    }

    /// All rows were read.
    pub fn rows(&mut self, rows: &Rows) {
        let counts = &rows.counts;
        let first_bad = counts.first_bad.clone();
        self.tally = Tally { rows: counts.rows, bad: counts.bad, bytes: rows.bytes, first_bad };
        (self.used, self.missing) = (counts.used, counts.missing);
        (self.rows_in, self.passes_read) = (rows.place(), rows.passes_read);
    }

    /// Says on stderr what should not go unnoticed, and writes the statistics. Fails where their file cannot be
    /// written.
    pub fn write(self, common: &Common, state: &State, devices: &Devices) -> Result<(), Failure> {
        state.note_repairs(common);
        let missing = self.missing - self.tally.bad;
        if missing > 0 {
            pipe::note(common, &format!("left out {missing} of {} rows: they are missing", self.tally.rows));
        }
        self.tally.report(common);
        let stats = Stats::new(common, &self.tally).with("rows_used", self.used).with("rows_missing", self.missing);
        devices
            .report(state.describe(stats))
            .with("seed_seconds", self.seed_seconds)
            .with("iteration_seconds", self.seconds)
            .with("reranked_share", self.reranked as f64 / (self.assigned as f64).max(1.0))
            .with("rows_in", self.rows_in)
            .with("passes_read", self.passes_read)
            .with("rounded", self.rounded)
            .write(common)
    }
}

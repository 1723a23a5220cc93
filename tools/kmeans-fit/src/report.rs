//! What a fit has to say of itself: notes on stderr, and the statistics.

use crate::empties::Repairs;
use crate::fit::{self, Spread, State};
use crate::gpus::Gpus;
use crate::rows::Rows;
use cluster::Model;
use cluster::sums::Partial;
use pipe::failure::Failure;
use pipe::lines::Tally;
use pipe::note;
use pipe::settings::Common;
use pipe::stats::Stats;
use std::sync::Arc;
use std::time::Instant;

/// What is known of a run of the program.
#[derive(Default)]
pub struct Report {
    /// What happened to empty clusters in the fit that is written.
    pub repairs: Repairs,
    /// Where rows were assigned, if that was on GPUs.
    pub gpus: Option<Arc<Gpus>>,
    tally: Tally,
    used: u64,
    missing: u64,
    rows_in: &'static str,
    passes_read: u64,
    seed_seconds: f64,
    /// Of each assignment of all rows, all runs one after another.
    seconds: Vec<f64>,
    since: Option<Instant>,
    assigned: u64,
    looks: u64,
}

impl Report {
    /// Of a step from sums.
    pub fn of_sums(sum: &Partial, state: &State) -> Report {
        let used = fit::rows(sum);
        let tally = Tally { rows: used + sum.rows_missing, bad: sum.rows_bad, ..Tally::default() };
        Report { repairs: state.repairs, tally, used, missing: sum.rows_missing, rows_in: "sums", ..Report::default() }
    }

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

    /// So many rows were assigned, of which so many needed a second look.
    pub fn iteration(&mut self, rows: u64, looks: u64) {
        let now = Instant::now();
        self.seconds.extend(self.since.map(|since| (now - since).as_secs_f64()));
        self.since = Some(now);
        self.assigned += rows;
        self.looks += looks;
    }

    /// All rows were read.
    pub fn rows(&mut self, rows: &Rows) {
        let counts = &rows.counts;
        let first_bad = counts.first_bad.clone();
        self.tally = Tally { rows: counts.rows, bad: counts.bad, bytes: rows.bytes, first_bad };
        (self.used, self.missing) = (counts.used, counts.missing);
        (self.rows_in, self.passes_read) = (rows.place(), rows.passes_read);
    }

    /// Says on stderr what should not go unnoticed.
    fn note(&self, common: &Common) {
        let Repairs { repaired, left, collapsed } = self.repairs;
        if repaired + left > 0 {
            note(
                common,
                &format!(
                    "empty clusters: {repaired} times one was filled; after the last iteration {left} stayed empty"
                ),
            );
        }
        if collapsed > 0 {
            note(common, &format!("clusters whose rows cancel: {collapsed} times a centroid stayed where it was"));
        }
        self.tally.report(common);
    }

    /// Says it, and writes the statistics.
    pub fn write(self, common: &Common, model: &Model) -> Result<(), Failure> {
        self.note(common);
        let said = |name: &str| model.metadata.get(name).map(String::as_str).unwrap_or_default();
        let list =
            |name: &str| -> Vec<f64> { said(name).split(' ').filter_map(|number| number.parse().ok()).collect() };
        let mut stats = Stats::new(common, &self.tally)
            .with("rows_used", self.used)
            .with("rows_missing", self.missing)
            .with("k", model.centroids.k())
            .with("dim", model.centroids.dim)
            .with("iterations", said("iterations").parse::<u64>().unwrap_or(0))
            .with("inertia", list("inertias"))
            .with("mean_distance", list("mean_distances"))
            .with("empties_repaired", self.repairs.repaired)
            .with("empties_left", self.repairs.left)
            .with("collapsed", self.repairs.collapsed)
            .with("seed_seconds", self.seed_seconds)
            .with("iteration_seconds", self.seconds)
            .with("second_looks", self.looks as f64 / (self.assigned as f64).max(1.0))
            .with("rows_in", self.rows_in)
            .with("passes_read", self.passes_read);
        if let Some(gpus) = &self.gpus {
            stats = gpus.report(stats);
        }
        if let Some(sizes) = &model.sizes {
            let Spread { min, median, max, imbalance } = Spread::of(sizes);
            let sizes = serde_json::json!({ "min": min, "median": median, "max": max, "imbalance": imbalance });
            stats = stats.with("sizes", sizes);
        }
        stats.write(common)
    }
}

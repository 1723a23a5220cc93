//! A mixture of rows: one fit, or the best of several.

use crate::checkpoint::{Checkpoint, Form};
use crate::flags::Args;
use crate::start::{Begin, all, outlier};
use cluster::memory;
use cluster::passes::Passes;
use cluster::reader::{Filter, Reader};
use cluster::rows::Rows;
use compute::kmeans::{BlockView, Metric};
use compute::mixture::{Adder, Cpu, Mixture, Origin, Scratch};
use mixture::fit::{State, enough};
use mixture::model::fingerprint;
use mixture::sums::Partial;
use pipe::failure::Failure;
use pipe::lines::Tally;
use pipe::progress::Meter;
use pipe::settings::Common;
use pipe::stats::Stats;
use pipe::vectors::Vectors;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;
use xxhash_rust::xxh3::Xxh3;

/// A fit of rows to its end. Fails where rows cannot be read, are bad, too few or too far out, a variance is 0, or a
/// checkpoint cannot be read or written.
pub fn from_rows(args: &Args, begin: Begin) -> Result<(State, Report), Failure> {
    let vectors = Vectors::open(&args.common.operands, args.common.raw, None)?;
    let Some(dim) = vectors.dim() else {
        enough(0, begin.k())?;
        unreachable!("there is at least one component");
    };
    if let (Some(expected), Some(path)) = (begin.dim(), args.mixture.as_ref().or(args.centroids.as_ref())) {
        vectors.check_dim(expected, path)?;
    }
    let (rows_total, bytes, rounding) = (vectors.rows_total(), vectors.bytes_total(), vectors.rounding());
    let filter = Filter {
        metric: Metric::Euclidean,
        on_error: args.common.on_error,
        sample: None,
        seed: args.seed(),
        weights: None,
    };
    let reader = Reader::open(vectors, dim, filter)?;
    let memory = args.memory.unwrap_or_else(memory::half_of_free);
    let rows = Rows::open(reader, memory.saturating_sub(overhead(begin.k(), dim, args.common.threads)), bytes)?;
    let mut fit = Fit { args, begin, rows, report: Report::default() };
    let state = fit.in_runs(rows_total)?;
    let Fit { rows, mut report, .. } = fit;
    report.rows(&rows);
    report.rounded = rounding.happened();
    Ok((state, report))
}

/// What a fit takes besides its rows: the mixture in several forms, sums and blocks of each thread.
fn overhead(k: usize, dim: usize, threads: usize) -> u64 {
    let (k, dim, threads) = (k as u64, dim as u64, threads as u64);
    k * dim * (64 * (threads + 1) + 64) + (threads + 4) * (4 << 20) + (16 << 20)
}

struct Fit<'a> {
    args: &'a Args,
    begin: Begin,
    rows: Rows,
    report: Report,
}

impl Fit<'_> {
    /// All runs, or those that are left.
    fn in_runs(&mut self, rows_total: Option<u64>) -> Result<State, Failure> {
        let file = self.args.checkpoint.as_deref();
        let job = file.map(|_| self.name(rows_total)).transpose()?.unwrap_or_default();
        let interrupted = file.filter(|path| self.args.resume && path.exists());
        let form = Form { k: self.begin.k(), dim: self.rows.dim(), runs: self.args.runs, iters: self.args.rule.iters };
        let interrupted = interrupted.map(|path| Checkpoint::open(path, &job, form)).transpose()?;
        let (mut run, mut state, mut best) = match interrupted {
            Some(Checkpoint { run, state, best }) => (run, Some(state), best),
            None => (0, None, None),
        };
        while run < self.args.runs {
            let state = state.take().map_or_else(|| self.state(run), Ok)?;
            let mut at = Checkpoint { run, state, best };
            self.run(&mut at, &job)?;
            best = Some(better(at.best, at.state));
            run += 1;
        }
        Ok(best.expect("there is a run"))
    }

    /// The state that a run begins with.
    fn state(&mut self, run: u64) -> Result<State, Failure> {
        let started = Instant::now();
        let mixture = self.begin.of(&mut self.rows, self.args, run)?;
        self.report.start_seconds += started.elapsed().as_secs_f64();
        let mut origin = self.origin();
        if self.args.runs > 1 {
            origin.insert("runs".to_string(), self.args.runs.to_string());
            origin.insert("run".to_string(), run.to_string());
        }
        Ok(State::new(mixture, origin))
    }

    fn origin(&self) -> BTreeMap<String, String> {
        let mut origin = self.begin.origin(self.args.seed());
        origin.insert("reg_covar".to_string(), self.args.rule.reg_covar.to_string());
        origin
    }

    /// One run to its end.
    fn run(&mut self, at: &mut Checkpoint, job: &str) -> Result<(), Failure> {
        let mut meter = Meter::new(&self.args.common, None);
        loop {
            if let Some(path) = &self.args.checkpoint {
                at.write(path, job)?;
            }
            if at.state.ended(&self.args.rule) {
                return Ok(());
            }
            let started = Instant::now();
            let partial = self.add_up(&at.state.mixture)?;
            at.state.step(&partial, &self.args.rule)?;
            self.report.seconds.push(started.elapsed().as_secs_f64());
            let (run, iteration, bound) = (at.run, at.state.lower_bounds.len(), at.state.lower_bound());
            let rows = self.rows.counts.used;
            meter.say(|| format!("run {run}, {iteration} times {rows} rows, lower bound {bound:.6}"));
        }
    }

    /// What all rows come to with this mixture.
    fn add_up(&mut self, mixture: &Mixture) -> Result<Partial, Failure> {
        let (cpu, origin) = (Cpu::new(mixture), Arc::new(Origin::of_mixture(mixture)));
        let states = (0..self.args.common.threads).map(|_| (Scratch::default(), Adder::new(origin.clone()))).collect();
        let step = |(scratch, adder): &mut (Scratch, Adder), block: BlockView| {
            let add = |i: usize, row: &[f32], found: &_| adder.add(row, found).map_err(|_| outlier(block.numbers[i]));
            cpu.posteriors(block.values, scratch, add).map(drop)
        };
        let adders = self.rows.pass(states, step, |(_, adder)| Ok(adder))?;
        enough(self.rows.counts.used, mixture.k())?;
        let mut partial = Partial::of(fingerprint(mixture), all(adders, &origin)?);
        (partial.rows_missing, partial.rows_bad) = (self.rows.counts.missing, self.rows.counts.bad);
        Ok(partial)
    }

    /// What a checkpoint must be of: all that decides the outcome, and the rows as far as they are known before they
    /// are read.
    fn name(&mut self, rows_total: Option<u64>) -> Result<String, Failure> {
        let rows = rows_total.unwrap_or(self.rows.counts.rows);
        let first = self.rows.first(1024)?;
        let mut hasher = Xxh3::new();
        first.numbers.iter().for_each(|number| hasher.update(&number.to_le_bytes()));
        first.values.iter().for_each(|value| hasher.update(&value.to_le_bytes()));
        let origin: Vec<_> = self.origin().iter().map(|(name, value)| format!("{name}={value}")).collect();
        Ok(format!(
            "k={} dim={} {} iters={} tol={} runs={} rows={rows} first={:016x}",
            self.begin.k(),
            self.rows.dim(),
            origin.join(" "),
            self.args.rule.iters,
            self.args.rule.tol,
            self.args.runs,
            hasher.digest(),
        ))
    }
}

/// The one of two runs that have ended with the larger lower bound, of equals the first.
fn better(best: Option<State>, state: State) -> State {
    match best {
        Some(best) if best.lower_bound() >= state.lower_bound() => best,
        _ => state,
    }
}

/// What a fit has to say of itself.
#[derive(Default)]
pub struct Report {
    tally: Tally,
    used: u64,
    missing: u64,
    rows_in: &'static str,
    passes_read: u64,
    /// Whether 64-bit floats were rounded.
    rounded: bool,
    start_seconds: f64,
    /// Of each iteration, all runs one after another.
    seconds: Vec<f64>,
}

impl Report {
    fn rows(&mut self, rows: &Rows) {
        let counts = &rows.counts;
        let first_bad = counts.first_bad.clone();
        self.tally = Tally { rows: counts.rows, bad: counts.bad, bytes: rows.bytes, first_bad };
        (self.used, self.missing) = (counts.used, counts.missing);
        (self.rows_in, self.passes_read) = (rows.place(), rows.passes_read);
    }

    /// Says on stderr what should not go unnoticed, and writes the statistics. Fails where their file cannot be
    /// written.
    pub fn write(self, common: &Common, state: &State) -> Result<(), Failure> {
        self.tally.report(common);
        let stats = Stats::new(common, &self.tally).with("rows_used", self.used).with("rows_missing", self.missing);
        let stats = state.describe(stats).with("start_seconds", self.start_seconds);
        let stats = stats.with("iteration_seconds", self.seconds);
        let stats = stats.with("rows_in", self.rows_in).with("passes_read", self.passes_read);
        stats.with("rounded", self.rounded).write(common)
    }
}

//! A model of rows: one fit, or the best of several.

use crate::batches::{self, Batches};
use crate::checkpoint::{Checkpoint, Form};
use crate::flags::Args;
use crate::gauge::{Gauge, Watched};
use crate::report::Report;
use assign::seeding::{self, Draws, Seeding};
use assign::{Devices, Previous};
use cluster::fit::{State, Stopping, too_few_rows};
use cluster::memory;
use cluster::model::metric_name;
use cluster::passes::Passes;
use cluster::reader::{Filter, Reader};
use cluster::rows::Rows;
use cluster::sums::Partial;
use compute::kmeans::{Centroids, Metric, unit_of};
use pipe::failure::Failure;
use pipe::vectors::Vectors;
use xxhash_rust::xxh3::Xxh3;

/// A fit of rows, begun perhaps with the centroids of a file, to its end. Fails where rows cannot be read, are bad, too
/// few or too far out, a checkpoint cannot be read or written, or a GPU fails.
pub fn from_rows(args: &Args, first: Option<Centroids>, devices: &Devices) -> Result<(State, Report), Failure> {
    let k = first.as_ref().map_or(args.k, Centroids::k);
    let vectors = Vectors::open(&args.common.operands, args.common.raw, None)?;
    let Some(dim) = vectors.dim() else { return Err(too_few_rows(0, k)) };
    if let Some(path) = &args.centroids {
        vectors.check_dim(first.as_ref().map_or(dim, |first| first.dim), path)?;
    }
    let (rows_total, rounding) = (vectors.rows_total(), vectors.rounding());
    let metric = first.as_ref().map_or(args.metric(), |first| first.metric);
    let rows = open_rows(args, vectors, metric, (k, dim), devices)?;
    // A GPU adds all rows up as they pass.
    let previous = Previous::of(rows.labels.filter(|_| !devices.are_gpus()), rows.bounds());
    let mut fit = Fit { args, k, metric, first, devices, rows, rows_total, previous, report: Report::default() };
    let state = match args.batch {
        Some(batch) => fit.in_batches(batch)?,
        None => fit.in_iterations()?,
    };
    let Fit { rows, mut report, .. } = fit;
    report.rows(&rows);
    report.rounded = rounding.happened();
    Ok((state, report))
}

/// The rows, wherever memory lets them be.
fn open_rows(
    args: &Args,
    vectors: Vectors,
    metric: Metric,
    (k, dim): (usize, usize),
    devices: &Devices,
) -> Result<Rows, Failure> {
    let filter = Filter {
        metric,
        on_error: args.common.on_error,
        sample: args.sample,
        seed: args.seed(),
        weights: args.weights.clone(),
    };
    let bytes = vectors.bytes_total();
    let reader = Reader::open(vectors, dim, filter)?;
    if args.batch.is_some() && args.stopping().iters == 1 && args.runs == 1 {
        return Ok(Rows::once(reader));
    }
    let overhead = overhead(k, dim, args.common.threads) + devices.bytes_here(dim);
    let memory = args.memory.unwrap_or_else(memory::half_of_free).saturating_sub(overhead);
    Rows::open(reader, memory, bytes)
}

/// What a fit takes besides its rows: centroids and candidates in several forms, sums and blocks of each thread.
fn overhead(k: usize, dim: usize, threads: usize) -> u64 {
    let (k, dim, threads) = (k as u64, dim as u64, threads as u64);
    let candidates = 4 * dim * k * (2 * (threads + 1) + 12);
    let sums = 16 * dim * k * (threads + 2);
    candidates.max(sums) + 8 * dim * k + (threads + 4) * (3 << 20) + (16 << 20)
}

struct Fit<'a> {
    args: &'a Args,
    k: usize,
    metric: Metric,
    first: Option<Centroids>,
    devices: &'a Devices,
    rows: Rows,
    /// How many rows there are, where that is known before they are read.
    rows_total: Option<u64>,
    previous: Previous,
    report: Report,
}

impl<'a> Fit<'a> {
    /// Lloyd's iterations, once or in several runs.
    fn in_iterations(&mut self) -> Result<State, Failure> {
        let file = self.args.checkpoint.as_deref();
        let job = file.map(|_| self.name()).transpose()?.unwrap_or_default();
        let interrupted = file.filter(|path| self.args.resume && path.exists());
        let (runs, iters) = (self.args.runs, self.args.stopping().iters);
        let form = Form { k: self.k, dim: self.rows.dim(), metric: self.metric, runs, iters };
        let open = |path| Checkpoint::open(path, &job, form);
        let (mut run, mut state, mut best) = match interrupted.map(open).transpose()? {
            Some(Checkpoint { run, state, best }) => (run, Some(state), best),
            None => (0, None, None),
        };
        while run < self.args.runs {
            let state = state.take().map_or_else(|| self.begin_anywhere(run), Ok)?;
            let mut at = Checkpoint { run, state, best };
            self.run(&mut at, &job)?;
            best = Some(better(at.best, at.state));
            run += 1;
        }
        Ok(best.expect("there is a run"))
    }

    /// The state that a run begins with, of all rows.
    fn begin_anywhere(&mut self, run: u64) -> Result<State, Failure> {
        let seeding = self.seeding(run);
        let first = match &self.first {
            Some(first) => first.clone(),
            None => self.report.seeding(|| seeding.of(&mut self.rows))?,
        };
        Ok(self.state(first, run))
    }

    fn seeding(&self, run: u64) -> Seeding<'a> {
        let draws = Draws { seed: self.args.seed(), run };
        let (devices, threads, method) = (self.devices, self.args.common.threads, self.args.init);
        Seeding { devices, threads, metric: self.metric, k: self.k, method, draws }
    }

    fn state(&self, first: Centroids, run: u64) -> State {
        let mut origin = self.args.origin(self.first.as_ref());
        if self.args.runs > 1 {
            origin.insert("runs".to_string(), self.args.runs.to_string());
            origin.insert("run".to_string(), run.to_string());
        }
        State::new(first, origin)
    }

    /// One run to its end.
    fn run(&mut self, at: &mut Checkpoint, job: &str) -> Result<(), Failure> {
        let mut gauge = self.gauge(at.run, at.state.iterations);
        self.previous.forget_bounds();
        self.report.begin();
        loop {
            if let Some(path) = &self.args.checkpoint {
                at.write(path, job)?;
            }
            let (sums, reranked) = self.add_up(&at.state.centroids, &gauge)?;
            seeding::enough(&self.rows, self.k)?;
            let ended = at.state.step(&sums, &self.args.stopping(), self.args.iterations.empty);
            self.report.iteration(sums.rows(), reranked);
            if ended {
                return Ok(());
            }
            gauge.next(self.rows.counts.used, at.state.history.last().map(|measure| measure.inertia));
        }
    }

    /// Shows how far a run is.
    fn gauge(&self, run: u64, done: u64) -> Gauge {
        let iterations = self.args.stopping().iters;
        Gauge::new(&self.args.common, (run, self.args.runs), (done, iterations), self.rows_total)
    }

    /// What all rows come to with these centroids, and how many were re-ranked.
    fn add_up(&mut self, centroids: &Centroids, gauge: &Gauge) -> Result<(Partial, u64), Failure> {
        let pass = self.devices.summing_pass(centroids, Partial::new(centroids), Some(&mut self.previous))?;
        let mut rows = Watched { rows: &mut self.rows, gauge };
        let (mut sums, reranked) = pass.add_up(&mut rows, self.args.common.threads)?;
        self.previous.keep(&sums);
        sums.rows_missing = self.rows.counts.missing;
        sums.rows_bad = self.rows.counts.bad;
        Ok((sums, reranked))
    }

    /// Mini-batches, once or in several runs. The first centroids come from the first rows.
    fn in_batches(&mut self, batch: usize) -> Result<State, Failure> {
        let mut best: Option<State> = None;
        for run in 0..self.args.runs {
            let first_rows = self.rows.first(batches::first_rows(batch, self.k))?;
            let exponent = unit_of(self.metric, &first_rows.values);
            let seeding = self.seeding(run);
            let first = match &self.first {
                Some(first) => first.clone(),
                None => self.report.seeding(|| seeding.of(&mut first_rows.view(0)))?,
            };
            let mut state = self.state(first, run);
            self.report.begin();
            let (devices, threads, empty) = (self.devices, self.args.common.threads, self.args.iterations.empty);
            let (gauge, stopping) = (self.gauge(run, 0), self.args.stopping());
            let batches = Batches { devices, threads, rows: batch, exponent, stopping, empty };
            let reranked = batches.fit(&mut self.rows, &mut state, gauge)?;
            seeding::enough(&self.rows, self.k)?;
            let rows = state.summary.as_ref().map_or(0, |summary| summary.rows);
            self.report.iteration(rows * state.iterations, reranked);
            best = Some(better(best, state));
        }
        Ok(best.expect("there is a run"))
    }

    /// What a checkpoint must be of: all that decides the outcome, and the rows as far as they are known before they
    /// are read.
    fn name(&mut self) -> Result<String, Failure> {
        let rows = self.rows_total.unwrap_or(self.rows.counts.rows);
        let first = self.rows.first(1024)?;
        let mut hasher = Xxh3::new();
        first.numbers.iter().chain(&first.weights).for_each(|number| hasher.update(&number.to_le_bytes()));
        first.values.iter().for_each(|value| hasher.update(&value.to_le_bytes()));
        let Stopping { iters, tol, patience } = self.args.stopping();
        let origin = self.args.origin(self.first.as_ref());
        let origin: Vec<_> = origin.iter().map(|(name, value)| format!("{name}={value}")).collect();
        Ok(format!(
            "k={} dim={} metric={} {} iters={iters} tol={tol} patience={patience} runs={} weights={} \
             rows={rows} first={:016x}",
            self.k,
            self.rows.dim(),
            metric_name(self.metric),
            origin.join(" "),
            self.args.runs,
            if self.args.weights.is_some() { "yes" } else { "no" },
            hasher.digest(),
        ))
    }
}

/// The one of two runs that have ended with the smaller inertia, of equals the first.
fn better(best: Option<State>, state: State) -> State {
    let inertia = |state: &State| state.summary.as_ref().map_or(f64::INFINITY, |summary| summary.measure.inertia);
    match best {
        Some(best) if inertia(&best) <= inertia(&state) => best,
        _ => state,
    }
}

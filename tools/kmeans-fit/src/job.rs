//! A model of rows: one fit, or the best of several.

use crate::batches::{self, Plan};
use crate::checkpoint::Checkpoint;
use crate::empties;
use crate::feed::{Feed, Filter};
use crate::fit::{self, Rule, State};
use crate::flags::Args;
use crate::gpus::Gpus;
use crate::memory;
use crate::report::Report;
use crate::rows::Rows;
use crate::seeding::{self, Draws};
use crate::wrong_k;
use cluster::Model;
use cluster::model::metric_name;
use compute::kmeans::{Centroids, Metric};
use gpu::device::Device;
use pipe::failure::Failure;
use pipe::progress::Meter;
use pipe::vectors::Vectors;
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3;

/// A model of rows.
pub fn from_rows(args: &Args, first: Option<Model>, devices: Vec<Device>) -> Result<(Model, Report), Failure> {
    if let Some(first) = first.as_ref().filter(|first| args.k.is_some_and(|k| k != first.centroids.k())) {
        return Err(wrong_k(args, &first.centroids));
    }
    let k = first.as_ref().map_or(args.k.unwrap_or_default(), |first| first.centroids.k());
    let vectors = Vectors::open(&args.common.operands, args.common.raw, None)?;
    let Some(dim) = vectors.dim() else { return Err(seeding::too_few(0, k)) };
    if let Some(first) = first.as_ref().filter(|first| first.centroids.dim != dim) {
        let found = first.centroids.dim;
        return Err(Failure::work(format!(
            "the file that --init names has centroids of {found} values, the rows have {dim}"
        )));
    }
    let (bytes, rows_total) = (vectors.bytes_total(), vectors.rows_total());
    let metric = first.as_ref().map_or(args.metric(), |first| first.centroids.metric);
    let filter = Filter {
        metric,
        on_error: args.common.on_error,
        sample: args.sample,
        seed: args.seed(),
        weights: args.weights.clone(),
    };
    let feed = Feed::open(vectors, dim, filter)?;
    let threads = args.common.threads;
    let mut rows = if args.batch.is_some() && args.rule().iters == 1 && args.runs == 1 {
        Rows::once(feed, threads)
    } else {
        let memory =
            args.memory.unwrap_or_else(memory::half_of_free).saturating_sub(overhead(k, dim, threads, devices.len()));
        Rows::open(feed, memory, bytes, threads)?
    };
    let gpus = (!devices.is_empty()).then(|| Arc::new(Gpus::new(devices, dim)));
    rows.gpus = gpus.clone();
    let (first, before, report) = (first.map(|model| model.centroids), fit::Before::default(), Report::default());
    let mut job = Job { args, k, metric, first, rows, before, report };
    let model = match args.batch {
        Some(batch) => job.fit_batches(batch)?,
        None => job.fit(rows_total)?,
    };
    let Job { rows, mut report, .. } = job;
    report.rows(&rows);
    report.gpus = gpus;
    Ok((model, report))
}

/// What a fit takes besides its rows: centroids and candidates in several forms, sums and blocks of each thread, pieces for GPUs.
fn overhead(k: usize, dim: usize, threads: usize, gpus: usize) -> u64 {
    let pieces = Gpus::bytes_here(gpus, dim);
    let (k, dim, threads) = (k as u64, dim as u64, threads as u64);
    let candidates = 4 * dim * k * (2 * (threads + 1) + 12);
    let sums = 16 * dim * k * (threads + 2);
    candidates.max(sums) + 8 * dim * k + (threads + 4) * (3 << 20) + (16 << 20) + pieces
}

/// A fit of rows.
struct Job<'a> {
    args: &'a Args,
    k: usize,
    metric: Metric,
    first: Option<Centroids>,
    rows: Rows,
    before: fit::Before,
    report: Report,
}

impl Job<'_> {
    /// Lloyd's iterations, once or in several runs.
    fn fit(&mut self, rows_total: Option<u64>) -> Result<Model, Failure> {
        let job = if self.args.checkpoint.is_some() || self.args.resume.is_some() {
            self.name(rows_total)?
        } else {
            String::new()
        };
        let resumed = self.args.resume.as_deref().map(|path| Checkpoint::open(path, &job)).transpose()?;
        let (mut run, mut state, mut best) = match resumed {
            Some(Checkpoint { run, state, best }) => (run, Some(state), best),
            None => (0, None, None),
        };
        while run < self.args.runs {
            let mut at = Checkpoint { run, state: self.begin(run, state.take())?, best };
            let (model, repairs) = self.run(&mut at, &job)?;
            best = Some(match at.best {
                Some(best) if inertia(&best) <= inertia(&model) => best,
                _ => {
                    self.report.repairs = repairs;
                    model
                }
            });
            run += 1;
        }
        Ok(best.expect("there is a run"))
    }

    /// The state that a run begins with.
    fn begin(&mut self, run: u64, resumed: Option<State>) -> Result<State, Failure> {
        if let Some(state) = resumed {
            return Ok(state);
        }
        let mut origin = self.args.origin(self.first.as_ref());
        if self.args.runs > 1 {
            origin.insert("runs".to_string(), self.args.runs.to_string());
            origin.insert("run".to_string(), run.to_string());
        }
        let centroids = match &self.first {
            Some(first) => first.clone(),
            None => self.report.seeding(|| {
                let draws = Draws { seed: self.args.seed(), run };
                seeding::seed(&mut self.rows, self.metric, self.k, self.args.method(), draws)
            })?,
        };
        Ok(State::new(centroids, origin))
    }

    /// One run to its end.
    fn run(&mut self, at: &mut Checkpoint, job: &str) -> Result<(Model, empties::Repairs), Failure> {
        let mut meter = Meter::new(&self.args.common, None);
        self.report.begin();
        loop {
            if let Some(path) = &self.args.checkpoint {
                at.write(path, job)?;
            }
            let (sum, looks) = fit::measure(&mut self.rows, &at.state.centroids, &mut self.before)?;
            seeding::enough(&self.rows, self.k)?;
            let ended = at.state.step(&sum, &self.args.rule(), self.args.empty);
            self.report.iteration(fit::rows(&sum), looks);
            let (run, iteration, measure) = (at.run, at.state.history.len(), at.state.history.last());
            let inertia = measure.map_or(f64::NAN, |measure| measure.inertia);
            let rows = self.rows.counts.used;
            meter.say(|| format!("run {run}, {iteration} times {rows} rows, inertia {inertia:.6}"));
            if ended {
                return Ok((at.state.model(Some(&sum)), at.state.repairs));
            }
        }
    }

    /// Mini-batches, once or in several runs.
    fn fit_batches(&mut self, batch: usize) -> Result<Model, Failure> {
        let mut best: Option<Model> = None;
        for run in 0..self.args.runs {
            let first = self.rows.first(batches::first_rows(batch, self.k))?;
            let exponent = batches::unit(self.metric, self.rows.dim, first.values.clone());
            let first = self.rows.of(&first);
            let all = std::mem::replace(&mut self.rows, first);
            let begun = self.begin(run, None);
            self.rows = all;
            let mut state = begun?;
            self.report.begin();
            let plan = Plan { batch, exponent, rule: self.args.rule(), empty: self.args.empty };
            let (sum, looks) = batches::fit(&mut self.rows, &mut state, &plan)?;
            seeding::enough(&self.rows, self.k)?;
            self.report.iteration(fit::rows(&sum) * state.iterations, looks);
            let model = state.model(Some(&sum));
            if best.as_ref().is_none_or(|best| inertia(&model) < inertia(best)) {
                self.report.repairs = state.repairs;
                best = Some(model);
            }
        }
        Ok(best.expect("there is a run"))
    }

    /// What a checkpoint must be of: all that decides the outcome, and the rows as far as they are known before they are read.
    fn name(&mut self, rows_total: Option<u64>) -> Result<String, Failure> {
        let rows = rows_total.unwrap_or(self.rows.counts.rows);
        let first = self.rows.first(1024)?;
        let mut hasher = Xxh3::new();
        first.numbers.iter().chain(&first.weights).for_each(|number| hasher.update(&number.to_le_bytes()));
        first.values.iter().for_each(|value| hasher.update(&value.to_le_bytes()));
        let Rule { iters, tol, patience } = self.args.rule();
        let origin = self.args.origin(self.first.as_ref());
        let origin: Vec<_> = origin.iter().map(|(name, value)| format!("{name}={value}")).collect();
        Ok(format!(
            "k={} dim={} metric={} {} iters={iters} tol={tol} patience={patience} runs={} weights={} rows={rows} first={:016x}",
            self.k,
            self.rows.dim,
            metric_name(self.metric),
            origin.join(" "),
            self.args.runs,
            if self.args.weights.is_some() { "yes" } else { "no" },
            hasher.digest(),
        ))
    }
}

/// What a model says of its inertia.
fn inertia(model: &Model) -> f64 {
    model.metadata.get("inertia").and_then(|text| text.parse().ok()).unwrap_or(f64::INFINITY)
}

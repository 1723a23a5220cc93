//! Lloyd's iterations: assign every row, take the means, until it no longer pays.
//!
//! One iteration is the same whether the rows are here or their sums come from files: [`State::step`].

use crate::Model;
use crate::empties::{Empty, Repairs, next};
use crate::model::{fingerprint, metric_name};
use crate::sums::Partial;
use compute::kmeans::Centroids;
use pipe::column::write_number;
use pipe::failure::Failure;
use pipe::note;
use pipe::settings::Common;
use pipe::stats::Stats;
use serde_json::json;
use std::collections::BTreeMap;

/// When a fit ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stopping {
    /// Iterations at the most.
    pub iters: u64,
    /// A decrease of the inertia by this share or less is none.
    pub tol: f64,
    /// The fit ends after so many iterations in a row without a decrease.
    pub patience: u64,
}

impl Stopping {
    /// Whether a fit ends after so many iterations, with these inertias, first to last.
    pub fn ends(&self, iterations: u64, history: &[Measure]) -> bool {
        let flat = |pair: &[Measure]| pair[0].inertia - pair[1].inertia <= self.tol * pair[0].inertia;
        let idle = history.windows(2).rev().take_while(|pair| flat(pair)).count() as u64;
        iterations >= self.iters || idle >= self.patience
    }
}

/// How good some centroids are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measure {
    /// The sum that k-means makes small.
    pub inertia: f64,
    /// The mean distance of a row.
    pub mean_distance: f64,
}

impl Measure {
    /// Of the sums of all rows.
    pub fn of(partial: &Partial) -> Measure {
        let weight = partial.weight();
        let mean = if weight > 0.0 { partial.sums.distance() / weight } else { 0.0 };
        Measure { inertia: partial.sums.inertia(), mean_distance: mean }
    }
}

/// What all rows come to with the centroids that a fit ended with.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// How good they are.
    pub measure: Measure,
    /// Rows that took part.
    pub rows: u64,
    /// Rows that were missing, bad ones included.
    pub rows_missing: u64,
    /// Of all rows.
    pub weight: f64,
    /// Rows of each cluster.
    pub sizes: Vec<u64>,
}

impl Summary {
    /// Of the sums of all rows.
    pub fn of(partial: &Partial) -> Summary {
        Summary {
            measure: Measure::of(partial),
            rows: partial.rows(),
            rows_missing: partial.rows_missing,
            weight: partial.weight(),
            sizes: partial.sums.totals.iter().map(|totals| totals.rows).collect(),
        }
    }

    /// What a model says; `None` where it was written before its fit ended, or not by us.
    fn read(model: &Model) -> Option<Summary> {
        let said = |name: &str| model.metadata.get(name).map(String::as_str);
        let number = |name: &str| said(name)?.parse().ok();
        let measure = Measure { inertia: number("inertia")?, mean_distance: number("mean_distance")? };
        let rows_missing = said("rows_missing")?.parse().ok()?;
        let sizes = model.sizes.clone()?;
        Some(Summary { measure, rows: said("rows")?.parse().ok()?, rows_missing, weight: number("weight")?, sizes })
    }

    fn write(&self, mut put: impl FnMut(&str, String)) {
        put("inertia", numbers([self.measure.inertia]));
        put("mean_distance", numbers([self.measure.mean_distance]));
        put("rows", self.rows.to_string());
        put("rows_missing", self.rows_missing.to_string());
        let spread = Spread::of(&self.sizes);
        put("size_min", spread.min.to_string());
        put("size_median", spread.median.to_string());
        put("size_max", spread.max.to_string());
        put("imbalance", numbers([spread.imbalance]));
        put("weight", numbers([self.weight]));
    }
}

/// The names under which a model has its [`Summary`].
const SUMMARY: [&str; 9] =
    ["inertia", "mean_distance", "rows", "rows_missing", "size_min", "size_median", "size_max", "imbalance", "weight"];

/// A fit under way.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// The centroids so far.
    pub centroids: Centroids,
    /// What else their model says: how they came to be.
    pub origin: BTreeMap<String, String>,
    /// Iterations so far.
    pub iterations: u64,
    /// Of each iteration's centroids, the first ones included, as far as they are measured.
    pub history: Vec<Measure>,
    /// What happened to empty clusters so far; `left` is of the last iteration.
    pub repairs: Repairs,
    /// Where the fit has ended.
    pub summary: Option<Summary>,
}

impl State {
    /// A fit that begins with these centroids.
    pub fn new(centroids: Centroids, origin: BTreeMap<String, String>) -> State {
        State { centroids, origin, iterations: 0, history: Vec::new(), repairs: Repairs::default(), summary: None }
    }

    /// Takes in what the rows came to with these centroids. `true`: the fit ends with them; else they are the next ones
    /// now.
    pub fn step(&mut self, partial: &Partial, stopping: &Stopping, empty: Empty) -> bool {
        self.history.truncate(self.iterations as usize);
        self.history.push(Measure::of(partial));
        let ends = stopping.ends(self.iterations, &self.history);
        self.summary = ends.then(|| Summary::of(partial));
        if !ends {
            self.move_centroids(partial, empty);
            self.iterations += 1;
        }
        ends
    }

    /// Moves the centroids to where the sums say.
    pub fn move_centroids(&mut self, partial: &Partial, empty: Empty) {
        let (centroids, repairs) = next(&self.centroids, partial, empty);
        self.centroids = centroids;
        self.repairs.repaired += repairs.repaired;
        self.repairs.left = repairs.left;
        self.repairs.collapsed += repairs.collapsed;
    }

    /// The model as it is now.
    pub fn model(&self) -> Model {
        let mut metadata = self.origin.clone();
        let mut put = |name: &str, value: String| drop(metadata.insert(name.to_string(), value));
        put("tool", "kmeans-fit".to_string());
        put("version", env!("CARGO_PKG_VERSION").to_string());
        put("metric", metric_name(self.centroids.metric).to_string());
        put("k", self.centroids.k().to_string());
        put("dim", self.centroids.dim.to_string());
        put("iterations", self.iterations.to_string());
        put("inertias", numbers(self.history.iter().map(|measure| measure.inertia)));
        put("mean_distances", numbers(self.history.iter().map(|measure| measure.mean_distance)));
        put("empties_repaired", self.repairs.repaired.to_string());
        put("empties_left", self.repairs.left.to_string());
        put("collapsed", self.repairs.collapsed.to_string());
        if let Some(summary) = &self.summary {
            summary.write(put);
        }
        let sizes = self.summary.as_ref().map(|summary| summary.sizes.clone());
        Model { centroids: self.centroids.clone(), metadata, sizes }
    }

    /// Says where the fit stands, for `--stats`.
    pub fn describe(&self, stats: Stats) -> Stats {
        let list = |value: fn(&Measure) -> f64| self.history.iter().map(value).collect::<Vec<_>>();
        let stats = stats
            .with("k", self.centroids.k())
            .with("dim", self.centroids.dim)
            .with("iterations", self.iterations)
            .with("inertia", list(|measure| measure.inertia))
            .with("mean_distance", list(|measure| measure.mean_distance))
            .with("empties_repaired", self.repairs.repaired)
            .with("empties_left", self.repairs.left)
            .with("collapsed", self.repairs.collapsed);
        let Some(summary) = &self.summary else { return stats };
        let Spread { min, median, max, imbalance } = Spread::of(&summary.sizes);
        stats.with("sizes", json!({ "min": min, "median": median, "max": max, "imbalance": imbalance }))
    }

    /// Says on stderr what happened to empty clusters, if anything did.
    pub fn note_repairs(&self, common: &Common) {
        let Repairs { repaired, left, collapsed } = self.repairs;
        if repaired + left > 0 {
            let message = format!(
                "empty clusters: {repaired} times one was filled; after the last iteration {left} stayed empty"
            );
            note(common, &message);
        }
        if collapsed > 0 {
            note(common, &format!("clusters whose rows cancel: {collapsed} times a centroid stayed where it was"));
        }
    }

    /// The fit that a model is of. Of centroids from elsewhere, its beginning.
    pub fn of(model: Model) -> State {
        let said = |name: &str| model.metadata.get(name).map(String::as_str);
        if said("tool") != Some("kmeans-fit") {
            let origin = origin_of_file(&model.centroids);
            return State::new(model.centroids, origin);
        }
        let count = |name: &str| said(name).and_then(|text| text.parse().ok()).unwrap_or(0);
        let list = |name: &str| said(name).unwrap_or_default().split(' ').filter_map(|number| number.parse().ok());
        let history = list("inertias").zip(list("mean_distances"));
        let history = history.map(|(inertia, mean_distance)| Measure { inertia, mean_distance }).collect();
        let repairs =
            Repairs { repaired: count("empties_repaired"), left: count("empties_left"), collapsed: count("collapsed") };
        let (iterations, summary) = (count("iterations"), Summary::read(&model));
        let mut origin = model.metadata;
        SUMMARY.iter().for_each(|name| drop(origin.remove(*name)));
        State { iterations, history, repairs, origin, summary, centroids: model.centroids }
    }
}

/// What a model says of first centroids that come from a file.
pub fn origin_of_file(centroids: &Centroids) -> BTreeMap<String, String> {
    let fingerprint = format!("{:016x}", fingerprint(centroids));
    BTreeMap::from([("init".to_string(), "file".to_string()), ("init_model".to_string(), fingerprint)])
}

/// What to say of fewer rows than clusters.
pub fn too_few_rows(rows: u64, k: usize) -> Failure {
    Failure::work(format!("-k {k}: there are {rows} rows to cluster, expected at least as many as clusters"))
}

/// How even clusters are.
pub struct Spread {
    /// The smallest size.
    pub min: u64,
    /// The middle one; of an even number the upper.
    pub median: u64,
    /// The largest.
    pub max: u64,
    /// K times the sum of the squares over the square of the sum, as FAISS has it: 1 where all are equal.
    pub imbalance: f64,
}

impl Spread {
    /// Of at least one size.
    pub fn of(sizes: &[u64]) -> Spread {
        let mut sorted = sizes.to_vec();
        sorted.sort_unstable();
        let sum: f64 = sizes.iter().map(|&size| size as f64).sum();
        let squares: f64 = sizes.iter().map(|&size| size as f64 * size as f64).sum();
        let imbalance = squares * sizes.len() as f64 / (sum * sum).max(1.0);
        Spread { min: sorted[0], median: sorted[sorted.len() / 2], max: sorted[sorted.len() - 1], imbalance }
    }
}

fn numbers(numbers: impl IntoIterator<Item = f64>) -> String {
    let mut text = Vec::new();
    for number in numbers {
        if !text.is_empty() {
            text.push(b' ');
        }
        write_number(number, &mut text);
    }
    String::from_utf8(text).expect("numbers are ASCII")
}

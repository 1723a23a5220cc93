//! Lloyd's iterations: assign every row, take the means, until it no longer pays.
//!
//! One iteration is the same whether the rows are here or their sums come from files: [`State::step`].

use crate::block::{View, block_rows};
use crate::empties::{Empty, Repairs, next};
use crate::rows::Rows;
use cluster::Model;
use cluster::model::metric_name;
use cluster::sums::{Farthest, Partial, TOO_MANY};
use compute::kmeans::{Assigner, Centroids, Cpu, Moves, Nearest, Sums, WEIGHT_ONE};
use pipe::column::write_number;
use pipe::failure::Failure;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// When to end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    /// Iterations at the most.
    pub iters: u64,
    /// A decrease of the inertia by this share or less is none.
    pub tol: f64,
    /// The fit ends after so many iterations in a row without a decrease.
    pub patience: u64,
}

impl Rule {
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
        let weight = weight(partial);
        let mean = if weight > 0.0 { partial.sums.distance() / weight } else { 0.0 };
        Measure { inertia: partial.sums.inertia(), mean_distance: mean }
    }
}

fn weight(partial: &Partial) -> f64 {
    let weight: u128 = partial.sums.totals.iter().map(|totals| u128::from(totals.weight)).sum();
    weight as f64 / WEIGHT_ONE as f64
}

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
}

impl State {
    /// A fit that begins with these centroids.
    pub fn new(centroids: Centroids, origin: BTreeMap<String, String>) -> State {
        State { centroids, origin, iterations: 0, history: Vec::new(), repairs: Repairs::default() }
    }

    /// Takes in what the rows came to with these centroids. `true`: the fit ends with them; else they are the next ones now.
    pub fn step(&mut self, partial: &Partial, rule: &Rule, empty: Empty) -> bool {
        self.history.truncate(self.iterations as usize);
        self.history.push(Measure::of(partial));
        if rule.ends(self.iterations, &self.history) {
            return true;
        }
        let (centroids, repairs) = next(&self.centroids, partial, empty);
        self.centroids = centroids;
        self.iterations += 1;
        self.repairs.repaired += repairs.repaired;
        self.repairs.left = repairs.left;
        self.repairs.collapsed += repairs.collapsed;
        false
    }

    /// The model as it is now; `partial` is what the rows came to with these very centroids, where that is known.
    pub fn model(&self, partial: Option<&Partial>) -> Model {
        let mut metadata = self.origin.clone();
        let mut put = |name: &str, value: String| metadata.insert(name.to_string(), value);
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
        if let Some(partial) = partial {
            let measure = Measure::of(partial);
            put("inertia", numbers([measure.inertia]));
            put("mean_distance", numbers([measure.mean_distance]));
            put("rows", rows(partial).to_string());
            put("rows_missing", partial.rows_missing.to_string());
            let sizes = Spread::of(&sizes_of(partial));
            put("size_min", sizes.min.to_string());
            put("size_median", sizes.median.to_string());
            put("size_max", sizes.max.to_string());
            put("imbalance", numbers([sizes.imbalance]));
            put("weight", numbers([weight(partial)]));
        }
        let sizes = partial.map(sizes_of);
        Model { centroids: self.centroids.clone(), metadata, sizes }
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
        let iterations = count("iterations");
        let mut origin = model.metadata.clone();
        MEASURED.iter().for_each(|name| drop(origin.remove(*name)));
        State { iterations, history, repairs, origin, centroids: model.centroids }
    }
}

/// What a model says of first centroids that come from a file.
pub fn origin_of_file(centroids: &Centroids) -> BTreeMap<String, String> {
    let fingerprint = format!("{:016x}", cluster::model::fingerprint(centroids));
    BTreeMap::from([("init".to_string(), "file".to_string()), ("init_model".to_string(), fingerprint)])
}

/// What is only said of centroids whose rows were added up.
const MEASURED: [&str; 9] =
    ["inertia", "mean_distance", "rows", "rows_missing", "size_min", "size_median", "size_max", "imbalance", "weight"];

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

/// The rows of each cluster.
fn sizes_of(partial: &Partial) -> Vec<u64> {
    partial.sums.totals.iter().map(|totals| totals.rows).collect()
}

/// Rows that take part.
pub fn rows(partial: &Partial) -> u64 {
    partial.sums.totals.iter().map(|totals| totals.rows).sum()
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

/// What the rows came to in the last pass, and where each of them was: the next pass counts only those that move.
#[derive(Default)]
pub struct Before {
    sums: Option<Sums>,
    /// The cluster of each row, of each block of a pass; none where there is no memory for it.
    labels: Mutex<Vec<Vec<u32>>>,
}

impl Before {
    /// The sums to go on from.
    fn sums(&mut self, empty: &Sums) -> Sums {
        match self.sums.take() {
            Some(sums) if sums.exponent == empty.exponent => sums,
            // Of another unit, or none: all rows are counted anew.
            _ => {
                self.labels().clear();
                empty.clone()
            }
        }
    }

    fn labels(&self) -> MutexGuard<'_, Vec<Vec<u32>>> {
        self.labels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The labels of a block, to be put back.
    fn take(&self, block: usize) -> Vec<u32> {
        self.labels().get_mut(block).map(std::mem::take).unwrap_or_default()
    }

    fn put(&self, block: usize, labels: Vec<u32>) {
        let mut all = self.labels();
        let len = all.len().max(block + 1);
        all.resize_with(len, Vec::new);
        all[block] = labels;
    }
}

/// Counts rows by the centroid that is nearest to them, on one thread.
pub struct Adder<'a> {
    table: &'a Cpu,
    found: Vec<Nearest>,
    memory: <Cpu as Assigner>::Memory,
    moves: Moves,
    farthest: Farthest,
    looks: u64,
}

impl<'a> Adder<'a> {
    /// Nothing yet, in a pass that goes on from these sums.
    pub fn new(table: &'a Cpu, sums: &Sums) -> Adder<'a> {
        let farthest = Farthest::new(sums.totals.len(), sums.dim);
        Adder { table, found: Vec::new(), memory: Default::default(), moves: Moves::new(sums), farthest, looks: 0 }
    }

    /// Counts some rows. `labels` says where they were and then where they are; it is empty where they were nowhere.
    pub fn add(&mut self, view: View, labels: &mut Vec<u32>) -> Result<(), Failure> {
        labels.resize(view.numbers.len(), Nearest::NONE);
        self.found.clear();
        self.found.extend(labels.iter().map(|&cluster| Nearest { cluster, ..Nearest::MISSING }));
        self.looks += self.table.nearest(view.values, &mut self.found, &mut self.memory) as u64;
        for (((number, weight, row), &found), label) in view.rows().zip(&self.found).zip(labels) {
            self.moves.add(row, *label, found, weight).map_err(|_| outlier(number))?;
            if weight > 0 {
                self.farthest.add(row, found);
            }
            *label = found.cluster;
        }
        Ok(())
    }
}

fn outlier(number: u64) -> Failure {
    Failure::work(format!(
        "row {number} (from 0, over all files): too far out, or too heavy, to be added up: more than 2^19 times as far from 0 as any centroid"
    ))
}

/// What all rows come to with these centroids, and how many needed a second look.
pub fn measure(rows: &mut Rows, centroids: &Centroids, before: &mut Before) -> Result<(Partial, u64), Failure> {
    let empty = Partial::new(centroids);
    let (mut partial, looks) = match rows.gpus.clone().map(|gpus| gpus.measure(rows, centroids, &empty)).transpose()? {
        Some(Some(measured)) => measured,
        // Where a GPU has met a row that is too far out, the processor says which.
        None | Some(None) => measure_here(rows, centroids, before, empty)?,
    };
    partial.rows_missing = rows.counts.missing;
    partial.rows_bad = rows.counts.bad;
    Ok((partial, looks))
}

/// The same on the processor, but for the rows that are missing.
fn measure_here(
    rows: &mut Rows,
    centroids: &Centroids,
    before: &mut Before,
    empty: Partial,
) -> Result<(Partial, u64), Failure> {
    let table = Cpu::new(centroids.clone());
    let (sums, remember) = (before.sums(&empty.sums), rows.remember);
    let adders = rows.pass(
        || Adder::new(&table, &sums),
        |adder, view| {
            let block = view.first / block_rows(centroids.dim);
            let mut labels = before.take(block);
            adder.add(view, &mut labels)?;
            if remember {
                before.put(block, labels);
            }
            Ok(())
        },
    )?;
    let (partial, looks) = together(adders, Partial { sums, ..empty })?;
    before.sums = remember.then(|| partial.sums.clone());
    Ok((partial, looks))
}

/// What the rows of several threads come to, which went on from `before`.
pub fn together(adders: Vec<Adder>, before: Partial) -> Result<(Partial, u64), Failure> {
    let mut adders = adders.into_iter();
    let Adder { mut moves, mut farthest, mut looks, .. } = adders.next().expect("there is a thread");
    for other in adders {
        moves.merge(&other.moves);
        farthest.merge(&other.farthest);
        looks += other.looks;
    }
    let sums = before.sums.after(&moves).map_err(|_| Failure::work(TOO_MANY))?;
    Ok((Partial { sums, farthest, ..before }, looks))
}

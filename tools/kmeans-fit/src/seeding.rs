//! The first centroids.
//!
//! Every draw is a race (Efraimidis and Spirakis 2006): a row of mass m gets the key `exponential(seed, draw, row) / m`, and the
//! smallest keys win, which is sampling in proportion to the mass, without replacement. The winners are a function of the rows
//! alone, whatever the order they are looked at in, and parts of the rows can be looked at apart.
//!
//! - `random`: the K winners of a race in which the mass is the weight.
//! - `k-means++` (Arthur and Vassilvitskii 2007), greedy as scikit-learn has it: the first centroid is the winner of such a race;
//!   for each next one, the `2 + ln K` (rounded down) winners of a race in which the mass is weight times squared distance to the
//!   nearest centroid so far are tried, and the one that leaves the least sum of masses is taken (the first of equals).
//! - `k-means||` (Bahmani et al. 2012), in a form of few passes: the winners of a race by weight, then of a race by weight times
//!   squared distance to those, 2 K of each (4 K where K is at most 256; from 2,048 on 4,096, or K if that is more); each of these
//!   candidates weighs what the rows nearest to it weigh; `k-means++` over the candidates. Bahmani et al. begin with one row, which takes more rounds, and draw
//!   about as many a round by coin flips, which takes a pass more.
//!
//! Squared distance is 1 - cosine under the cosine: half the squared distance of unit vectors.
//!
//! # Stability
//!
//! Draw D of run R has the purpose `kmeans-R-D` (see `pipe::key`), the key is the number of the row; `exponential` is
//! `-ln(uniform)`. The draws of k-means++ are counted from 0; those of `k-means||` before it are `a` and `b`, that of random is `r`.
//! The logarithm of K is that of `libm`. Over at most 8,192 candidates of `k-means||` twice as many draws are tried (eight times where K
//! is at most 256), squared distances between candidates are rounded to 32-bit floats, and masses are added up in order of the rows in 64-bit floats. Elsewhere
//! sums of masses are whole numbers of 2^-52 of a power of two above the largest mass, rounded to the nearest, halves to even.

use crate::block::Block;
use crate::held::Held;
use crate::rows::Rows;
use compute::kmeans::{Assigner, Centroids, Cpu, Metric, Nearest, exact};
use pipe::failure::Failure;
use pipe::key::{exponential, noise_bits, uniform};
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::thread;

/// How the first centroids are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Rows at random.
    Random,
    /// Rows far from each other.
    PlusPlus,
    /// The same in few passes.
    Parallel,
}

/// Up to so many clusters `k-means||` takes more pains: they cost little, and over 60,000 embeddings the inertia of 220 clusters
/// after 20 iterations was 35,514 instead of 35,530 (means of 20 seeds, standard error 6; scikit-learn: 35,523 over 5 seeds). Of 1,000
/// clusters, where they would take a second, ours was below that of greedy `k-means++` over all rows without.
const FEW: usize = 256;

/// Candidates of each of the two draws of `k-means||`: the more, the better, as long as their matrix is small. (Of 3,072 clusters of 60,000
/// embeddings four times as many candidates took 28 s instead of 5 s and came to 15,430 with 3 draws, 15,378 with 10, instead of 15,385.)
fn drawn(k: usize) -> usize {
    if k <= FEW { 4 * k } else { (2 * k).min(k.max(MATRIX / 2)) }
}

/// How many times as many draws are tried as over all rows.
fn diligence(k: usize) -> usize {
    if k <= FEW { 8 } else { 2 }
}

/// Up to so many candidates have a matrix of their distances: 256 MiB.
const MATRIX: usize = 8192;

/// What decides a draw.
#[derive(Debug, Clone, Copy)]
pub struct Draws {
    /// Of `--seed`.
    pub seed: u64,
    /// Which of the runs.
    pub run: u64,
}

impl Draws {
    fn purpose(self, draw: impl std::fmt::Display) -> String {
        format!("kmeans-{}-{draw}", self.run)
    }
}

/// The first centroids: rows, and rows again where there are fewer different ones than `k`.
pub fn seed(rows: &mut Rows, metric: Metric, k: usize, method: Method, draws: Draws) -> Result<Centroids, Failure> {
    let values = match method {
        Method::Random => by_weight(rows, k, k, draws.seed, &draws.purpose("r"))?,
        Method::PlusPlus => plus_plus(rows, metric, k, draws)?,
        Method::Parallel => {
            let candidates = candidates(rows, metric, k, draws)?;
            if candidates.len() <= MATRIX {
                plus_plus_in_matrix(candidates, metric, rows.dim, k, rows.threads, draws)
            } else {
                plus_plus(&mut rows_of(&candidates, rows), metric, k, draws)?
            }
        }
    };
    let mut values: Vec<f32> = values.into_iter().flat_map(|winner| winner.values).collect();
    // Of equal centroids one alone has rows.
    let first: Vec<f32> = values[..rows.dim].to_vec();
    while values.len() < k * rows.dim {
        values.extend_from_slice(&first);
    }
    Ok(centroids(metric, rows.dim, values))
}

/// Refuses fewer rows than clusters. The rows are counted after the first pass.
pub fn enough(rows: &Rows, k: usize) -> Result<(), Failure> {
    let used = rows.counts.used;
    if used >= k as u64 { Ok(()) } else { Err(too_few(used, k)) }
}

/// What to say of fewer rows than clusters.
pub fn too_few(rows: u64, k: usize) -> Failure {
    Failure::work(format!("-k {k}: there are {rows} rows to cluster, expected at least as many as clusters"))
}

fn centroids(metric: Metric, dim: usize, values: Vec<f32>) -> Centroids {
    Centroids::new(metric, dim, values).expect("rows that take part are valid centroids")
}

/// A row that has won so far.
#[derive(Debug)]
struct Winner {
    key: f64,
    number: u64,
    weight: u64,
    values: Vec<f32>,
}

impl Ord for Winner {
    fn cmp(&self, other: &Winner) -> Ordering {
        self.key.total_cmp(&other.key).then(self.number.cmp(&other.number))
    }
}

impl PartialOrd for Winner {
    fn partial_cmp(&self, other: &Winner) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Winner {
    fn eq(&self, other: &Winner) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Winner {}

/// The best of a race so far, the worst of them on top, and the largest mass.
struct Race {
    count: usize,
    heap: BinaryHeap<Winner>,
    largest: f64,
}

impl Race {
    fn new(count: usize) -> Race {
        Race { count, heap: BinaryHeap::new(), largest: 0.0 }
    }

    fn offer(&mut self, bits: u64, mass: f64, (number, weight, row): (u64, u64, &[f32])) {
        self.largest = self.largest.max(mass);
        if mass <= 0.0 || mass.is_nan() {
            return;
        }
        let worst = if self.heap.len() == self.count { self.heap.peek().map(|worst| worst.key) } else { None };
        // -ln(u) is never below 1 - u: most rows need no logarithm.
        if worst.is_some_and(|worst| (1.0 - uniform(bits)) / mass > worst) {
            return;
        }
        let winner = Winner { key: exponential(bits) / mass, number, weight, values: row.to_vec() };
        self.push(winner);
    }

    fn push(&mut self, winner: Winner) {
        if self.heap.len() < self.count {
            self.heap.push(winner);
        } else if let Some(mut worst) = self.heap.peek_mut()
            && winner < *worst
        {
            *worst = winner;
        }
    }
}

/// The winners of races over parts of the rows, best first, and the largest mass.
fn winners(races: Vec<Race>, count: usize) -> (Vec<Winner>, f64) {
    let mut all = Race::new(count);
    for race in races {
        all.largest = all.largest.max(race.largest);
        race.heap.into_iter().for_each(|winner| all.push(winner));
    }
    (all.heap.into_sorted_vec(), all.largest)
}

/// The winners where the mass is the weight, at least one. Fewer rows than `k` are refused.
fn by_weight(rows: &mut Rows, k: usize, count: usize, seed: u64, purpose: &str) -> Result<Vec<Winner>, Failure> {
    let start = || Race::new(count);
    let races = rows.pass(start, |race, view| {
        view.rows().for_each(|row| race.offer(noise_bits(seed, purpose, row.0), row.1 as f64, row));
        Ok(())
    })?;
    let (winners, _) = winners(races, count);
    enough(rows, k)?;
    if winners.is_empty() { Err(Failure::work("no row has a weight above 0")) } else { Ok(winners) }
}

/// The squared distance that a nearest centroid is at.
fn squared(metric: Metric, distance: f64) -> f64 {
    match metric {
        Metric::Cosine => distance.max(0.0),
        Metric::Euclidean => distance * distance,
    }
}

/// The candidates of `k-means||` with their weights.
fn candidates(rows: &mut Rows, metric: Metric, k: usize, draws: Draws) -> Result<Vec<Winner>, Failure> {
    let (count, dim) = (drawn(k), rows.dim);
    let mut winners = by_weight(rows, k, count, draws.seed, &draws.purpose("a"))?;
    let table = |winners: &[Winner]| {
        let values = winners.iter().flat_map(|winner| winner.values.iter().copied()).collect();
        centroids(metric, dim, values)
    };
    let (first, purpose) = (table(&winners), draws.purpose("b"));
    let start = || Race::new(count);
    let races = assign(rows, &first, start, |race, row, found| {
        let mass = squared(metric, found.distance) * row.1 as f64;
        race.offer(noise_bits(draws.seed, &purpose, row.0), mass, row);
    })?;
    let (more, _) = self::winners(races, count);
    winners.extend(more);
    winners.sort_by_key(|winner| winner.number);
    winners.dedup_by_key(|winner| winner.number);
    weigh(rows, &table(&winners), &mut winners)?;
    Ok(winners)
}

/// Lets states that `start` makes see every row (number, weight, values) with the nearest of some centroids.
fn assign<S: Send>(
    rows: &mut Rows,
    centroids: &Centroids,
    start: impl Fn() -> S + Sync,
    see: impl Fn(&mut S, (u64, u64, &[f32]), Nearest) + Sync,
) -> Result<Vec<S>, Failure> {
    if let Some(gpus) = rows.gpus.clone() {
        let see = |state: &mut S, number, weight, row: &[f32], found| see(state, (number, weight, row), found);
        return Ok(gpus.assign(rows, centroids, None, start, see)?.states);
    }
    let table = Cpu::new(centroids.clone());
    let states = rows.pass(
        || (start(), Vec::new(), Default::default()),
        |(state, found, memory), view| {
            found.clear();
            found.resize(view.numbers.len(), Nearest::MISSING);
            table.nearest(view.values, found, memory);
            view.rows().zip(&*found).for_each(|(row, &found)| see(state, row, found));
            Ok(())
        },
    )?;
    Ok(states.into_iter().map(|(state, ..)| state).collect())
}

/// Winners as rows.
fn rows_of(winners: &[Winner], like: &Rows) -> Rows {
    let block = Block {
        numbers: winners.iter().map(|winner| winner.number).collect(),
        weights: winners.iter().map(|winner| winner.weight).collect(),
        values: winners.iter().flat_map(|winner| winner.values.iter().copied()).collect(),
    };
    like.of(&block)
}

/// Gives each winner the weight of the rows that it is nearest to.
fn weigh(rows: &mut Rows, table: &Centroids, winners: &mut [Winner]) -> Result<(), Failure> {
    let start = || vec![0_u64; winners.len()];
    let parts = assign(rows, table, start, |weights, (_, weight, _), found| {
        weights[found.cluster as usize] = weights[found.cluster as usize].saturating_add(weight);
    })?;
    for (place, winner) in winners.iter_mut().enumerate() {
        winner.weight = parts.iter().fold(0, |sum: u64, weights| sum.saturating_add(weights[place]));
    }
    Ok(())
}

/// Greedy k-means++, in two passes a centroid. Gives fewer than `k` where there are fewer different rows.
fn plus_plus(rows: &mut Rows, metric: Metric, k: usize, draws: Draws) -> Result<Vec<Winner>, Failure> {
    let trials = trials(k);
    let mut chosen = by_weight(rows, k, 1, draws.seed, &draws.purpose(0))?;
    let mut far = Far::new(rows, metric, trials)?;
    while chosen.len() < k {
        let last = Table::of(metric, rows.dim, &chosen[chosen.len() - 1..]);
        let (trial, largest) = far.draw(rows, &last, trials, draws.seed, &draws.purpose(chosen.len()))?;
        if trial.is_empty() {
            break;
        }
        let left = far.left(rows, &Table::of(metric, rows.dim, &trial), largest)?;
        let best = (0..trial.len()).min_by_key(|&place| left[place]);
        chosen.extend(best.and_then(|best| trial.into_iter().nth(best)));
    }
    Ok(chosen)
}

/// Of each row, what separates it from the nearest centroid so far.
enum Far {
    Here(Vec<AtomicU64>),
    Held(Held),
}

impl Far {
    fn new(rows: &mut Rows, metric: Metric, trials: usize) -> Result<Far, Failure> {
        let square = || AtomicU64::new(f64::INFINITY.to_bits());
        Ok(match rows.gpus.clone() {
            None => Far::Here((0..rows.counts.used).map(|_| square()).collect()),
            Some(gpus) => Far::Held(Held::new(gpus, rows, metric, trials)?),
        })
    }

    /// Takes the last centroid in, and draws candidates for the next one; with them, the largest mass of a row.
    fn draw(
        &mut self,
        rows: &mut Rows,
        last: &Table,
        count: usize,
        seed: u64,
        purpose: &str,
    ) -> Result<(Vec<Winner>, f64), Failure> {
        let start = || Race::new(count);
        let offer = |race: &mut Race, row: (u64, u64, &[f32]), square: f64| {
            race.offer(noise_bits(seed, purpose, row.0), square * row.1 as f64, row);
        };
        let races = match self {
            Far::Here(squares) => rows.pass(start, |race, view| {
                for (row, known) in view.rows().zip(&squares[view.first..]) {
                    // Each row is in one block, so nobody else writes here meanwhile.
                    let square = last.square(row.2, 0, last.norm(row.2)).min(f64::from_bits(known.load(Relaxed)));
                    known.store(square.to_bits(), Relaxed);
                    offer(race, row, square);
                }
                Ok(())
            })?,
            Far::Held(held) => held.each(rows, start, |race, chunk| {
                chunk.nearer(&last.centroids, |row, square| offer(race, row, square))
            })?,
        };
        let (mut winners, largest) = winners(races, count);
        if let Far::Held(held) = self {
            for winner in winners.iter_mut().filter(|winner| winner.values.is_empty()) {
                winner.values = held.row(winner.number)?.unwrap_or_default();
            }
        }
        Ok((winners, largest))
    }

    /// The sum of the masses that each of some rows would leave as a centroid, in units of 2^-52 of a power of two above the largest.
    fn left(&mut self, rows: &mut Rows, table: &Table, largest: f64) -> Result<Vec<u128>, Failure> {
        let (count, scale) = (table.centroids.k(), 2_f64.powi(52 - exponent(largest)));
        let start = || vec![0_u128; count];
        let parts = match self {
            Far::Here(squares) => rows.pass(start, |sums, view| {
                for ((_, weight, row), known) in view.rows().zip(&squares[view.first..]) {
                    let (known, norm) = (f64::from_bits(known.load(Relaxed)), table.norm(row));
                    for (j, sum) in sums.iter_mut().enumerate() {
                        let mass = table.square(row, j as u32, norm).min(known) * weight as f64;
                        *sum += (mass * scale).round_ties_even() as u128;
                    }
                }
                Ok(())
            })?,
            Far::Held(held) => held.each(rows, start, |sums, chunk| {
                let masses = chunk.masses(&table.centroids, scale)?;
                sums.iter_mut().zip(masses).for_each(|(sum, mass)| *sum += mass);
                Ok(())
            })?,
        };
        Ok((0..count).map(|j| parts.iter().map(|sums| sums[j]).sum()).collect())
    }
}

/// The same over few rows, whose squared distances from each other are found first. There is time for more trials.
fn plus_plus_in_matrix(
    rows: Vec<Winner>,
    metric: Metric,
    dim: usize,
    k: usize,
    threads: usize,
    draws: Draws,
) -> Vec<Winner> {
    let (count, matrix) = (rows.len(), matrix(&rows, metric, dim, threads));
    let draw = |trials: usize, chosen: usize, squares: &[f32]| -> Vec<usize> {
        let (purpose, mut race) = (draws.purpose(chosen), Race::new(trials));
        for ((place, row), &square) in rows.iter().enumerate().zip(squares) {
            // The place stands for the row, which is in no hurry to be copied.
            let bits = noise_bits(draws.seed, &purpose, row.number);
            race.offer(bits, f64::from(square) * row.weight as f64, (place as u64, row.weight, &[]));
        }
        race.heap.into_sorted_vec().into_iter().map(|winner| winner.number as usize).collect()
    };
    let mut squares = vec![1.0; count];
    let mut chosen = draw(1, 0, &squares);
    squares.fill(f32::INFINITY);
    while let Some(&last) = chosen.last() {
        let row = |place: usize| &matrix[place * count..][..count];
        squares.iter_mut().zip(row(last)).for_each(|(square, new)| *square = square.min(*new));
        if chosen.len() == k {
            break;
        }
        let left = |&place: &usize| -> f64 {
            let masses = squares.iter().zip(row(place)).zip(&rows);
            masses.map(|((known, new), row)| f64::from(known.min(*new)) * row.weight as f64).sum()
        };
        let trials = draw(diligence(k) * trials(k), chosen.len(), &squares);
        let best = trials.iter().map(left).enumerate().min_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
        let Some((best, _)) = best else { break };
        chosen.push(trials[best]);
    }
    let mut rows: Vec<_> = rows.into_iter().map(Some).collect();
    chosen.into_iter().filter_map(|place| rows[place].take()).collect()
}

/// The squared distance of each row from each, rounded to 32 bits.
fn matrix(rows: &[Winner], metric: Metric, dim: usize, threads: usize) -> Vec<f32> {
    let (count, table, next) = (rows.len(), Table::of(metric, dim, rows), AtomicUsize::new(0));
    let squares: Vec<AtomicU32> = (0..count * count).map(|_| AtomicU32::new(0)).collect();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let i = next.fetch_add(1, Relaxed);
                    let Some(row) = rows.get(i) else { return };
                    let norm = table.norm(&row.values);
                    for j in 0..i {
                        let square = (table.square(&row.values, j as u32, norm) as f32).to_bits();
                        squares[i * count + j].store(square, Relaxed);
                        squares[j * count + i].store(square, Relaxed);
                    }
                }
            });
        }
    });
    squares.into_iter().map(|square| f32::from_bits(square.into_inner())).collect()
}

/// How many draws are tried for the next centroid, as in scikit-learn.
fn trials(k: usize) -> usize {
    2 + libm::log(k as f64) as usize
}

/// The power of two above a positive number.
fn exponent(number: f64) -> i32 {
    (number.to_bits() >> 52) as i32 - 1022
}

/// A few rows as centroids.
struct Table {
    centroids: Centroids,
    norms: Vec<f64>,
}

impl Table {
    fn of(metric: Metric, dim: usize, winners: &[Winner]) -> Table {
        let centroids =
            centroids(metric, dim, winners.iter().flat_map(|winner| winner.values.iter().copied()).collect());
        Table { norms: exact::norms(&centroids), centroids }
    }

    /// What [`Table::square`] wants to know of a row.
    fn norm(&self, row: &[f32]) -> f64 {
        exact::row_norm(row, self.centroids.metric).expect("rows that take part have a direction")
    }

    fn square(&self, row: &[f32], j: u32, norm: f64) -> f64 {
        let rank = exact::rank(row, j, &self.centroids, &self.norms);
        squared(self.centroids.metric, exact::distance(self.centroids.metric, rank, norm))
    }
}

//! The first centroids.
//!
//! Every draw is a race (Efraimidis and Spirakis 2006): a row of mass m gets the key
//! `exponential(seed, draw, row) / m`, and the smallest keys win, which is sampling in proportion to the mass, without
//! replacement. The winners are a function of the rows alone, whatever the order they are looked at in, and parts of
//! the rows can be looked at apart.
//!
//! - `random`: the K winners of a race in which the mass is the weight.
//! - `k-means++` (Arthur and Vassilvitskii 2007), greedy as scikit-learn has it: the first centroid is the winner of
//!   such a race; for each next one, the `2 + ln K` (rounded down) winners of a race in which the mass is weight times
//!   squared distance to the nearest centroid so far are tried, and the one that leaves the least sum of masses is
//!   taken (the first of equals).
//! - `k-means||` (Bahmani et al. 2012), in a form of few passes: the winners of a race by weight, then of a race by
//!   weight times squared distance to those, 2 K of each (4 K where K is at most 256; from 2,048 on 4,096, or K if that
//!   is more); each of these candidates weighs what the rows nearest to it weigh; `k-means++` over the candidates.
//!   Bahmani et al. begin with one row, which takes more rounds, and draw about as many a round by coin flips, which
//!   takes a pass more.
//!
//! Squared distance is 1 - cosine under the cosine: half the squared distance of unit vectors.
//!
//! # Stability
//!
//! Draw D of run R has the purpose `kmeans-R-D` (see `pipe::key`), the key is the number of the row; `exponential` is
//! `-ln(uniform)`. The draws of k-means++ are counted from 0; those of `k-means||` before it are `a` and `b`, that of
//! random is `r`. The logarithm of K is that of `libm`. Over at most 8,192 candidates of `k-means||` twice as many
//! draws are tried (eight times where K is at most 256), squared distances between candidates are rounded to 32-bit
//! floats, and masses are added up in order of the rows in 64-bit floats. Elsewhere sums of masses are whole numbers of
//! 2^-52 of a power of two above the largest mass, rounded to the nearest, halves to even.

use crate::{Devices, Distances};
use cluster::fit::too_few_rows;
use cluster::passes::{Passes, share};
use compute::kmeans::exact::{Seeds, squared};
use compute::kmeans::{Assigned, Block, BlockView, Centroids, Metric};
use pipe::failure::Failure;
use pipe::key::{exponential, noise_bits, uniform};
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::fmt::Display;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

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

/// Up to so many clusters `k-means||` takes more pains: they cost little, and over 60,000 embeddings the inertia of 220
/// clusters after 20 iterations was 35,514 instead of 35,530 (means of 20 seeds, standard error 6; scikit-learn: 35,523
/// over 5 seeds). Of 1,000 clusters, where they would take a second, ours was below that of greedy `k-means++` over all
/// rows without.
const FEW: usize = 256;

/// Candidates of each of the two draws of `k-means||`: the more, the better, as long as their matrix is small. (Of
/// 3,072 clusters of 60,000 embeddings four times as many candidates took 28 s instead of 5 s and came to 15,430 with 3
/// draws, 15,378 with 10, instead of 15,385.)
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
    fn purpose(self, draw: impl Display) -> String {
        format!("kmeans-{}-{draw}", self.run)
    }
}

/// How the first centroids are found.
pub struct Seeding<'a> {
    /// Where distances are computed.
    pub devices: &'a Devices,
    /// On so many threads.
    pub threads: usize,
    /// What nearness means.
    pub metric: Metric,
    /// How many centroids.
    pub k: usize,
    /// By which rule.
    pub method: Method,
    /// Which draws decide.
    pub draws: Draws,
}

/// Refuses fewer rows than clusters. The rows are counted after the first pass.
///
/// # Errors
/// Where there are fewer.
pub fn enough(rows: &impl Passes, k: usize) -> Result<(), Failure> {
    if rows.used() >= k as u64 { Ok(()) } else { Err(too_few_rows(rows.used(), k)) }
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

impl Seeding<'_> {
    /// The first centroids: rows, and rows again where there are fewer different ones than K.
    ///
    /// # Errors
    /// Rows cannot be read or are too few, or a GPU fails.
    pub fn of(&self, rows: &mut impl Passes) -> Result<Centroids, Failure> {
        let winners = match self.method {
            Method::Random => self.by_weight(rows, self.k, "r")?,
            Method::PlusPlus => self.plus_plus(rows)?,
            Method::Parallel => {
                let candidates = self.candidates(rows)?;
                if candidates.len() <= MATRIX {
                    self.plus_plus_in_matrix(candidates, rows.dim())
                } else {
                    self.plus_plus(&mut block_of(&candidates).view(0))?
                }
            }
        };
        let dim = rows.dim();
        let mut values: Vec<f32> = winners.into_iter().flat_map(|winner| winner.values).collect();
        // Of equal centroids one alone has rows.
        let first: Vec<f32> = values[..dim].to_vec();
        while values.len() < self.k * dim {
            values.extend_from_slice(&first);
        }
        Ok(centroids(self.metric, dim, values))
    }

    /// The winners where the mass is the weight, at least one. Fewer rows than K are refused.
    fn by_weight(&self, rows: &mut impl Passes, count: usize, draw: impl Display) -> Result<Vec<Winner>, Failure> {
        let (seed, purpose) = (self.draws.seed, self.draws.purpose(draw));
        let races = (0..self.threads).map(|_| Race::new(count)).collect();
        let step = |race: &mut Race, block: BlockView| {
            block.rows().for_each(|row| race.offer(noise_bits(seed, &purpose, row.0), row.1 as f64, row));
            Ok(())
        };
        let (winners, _) = winners(rows.pass(races, step, Ok)?, count);
        enough(rows, self.k)?;
        if winners.is_empty() { Err(Failure::work("no row has a weight above 0")) } else { Ok(winners) }
    }

    /// The candidates of `k-means||` with their weights.
    fn candidates(&self, rows: &mut impl Passes) -> Result<Vec<Winner>, Failure> {
        let (count, dim) = (drawn(self.k), rows.dim());
        let mut winners = self.by_weight(rows, count, "a")?;
        let (seed, purpose) = (self.draws.seed, self.draws.purpose("b"));
        let first = centroids_of(self.metric, dim, &winners);
        let races = self.assign(
            rows,
            &first,
            || Race::new(count),
            |race, row| {
                let mass = squared(self.metric, row.nearest[0].distance) * row.weight as f64;
                race.offer(noise_bits(seed, &purpose, row.number), mass, (row.number, row.weight, row.row));
            },
        )?;
        winners.extend(self::winners(races, count).0);
        winners.sort_by_key(|winner| winner.number);
        winners.dedup_by_key(|winner| winner.number);
        self.weigh(rows, dim, &mut winners)?;
        Ok(winners)
    }

    /// Shows every row with the nearest of some centroids to states that `start` makes.
    fn assign<S: Send>(
        &self,
        rows: &mut impl Passes,
        centroids: &Centroids,
        start: impl Fn() -> S,
        see: impl Fn(&mut S, &Assigned) + Sync,
    ) -> Result<Vec<S>, Failure> {
        let pass = self.devices.pass(centroids, 1)?;
        let (states, workers) = pass.run(rows, self.threads, start, |state, row| {
            see(state, row);
            Ok(())
        })?;
        pass.end(workers);
        Ok(states)
    }

    /// Gives each winner the weight of the rows that it is nearest to.
    fn weigh(&self, rows: &mut impl Passes, dim: usize, winners: &mut [Winner]) -> Result<(), Failure> {
        let (all, start) = (centroids_of(self.metric, dim, winners), || vec![0_u64; winners.len()]);
        let parts = self.assign(rows, &all, start, |weights, row| {
            let weight = &mut weights[row.nearest[0].cluster as usize];
            *weight = weight.saturating_add(row.weight);
        })?;
        for (place, winner) in winners.iter_mut().enumerate() {
            winner.weight = parts.iter().fold(0, |sum: u64, weights| sum.saturating_add(weights[place]));
        }
        Ok(())
    }

    /// Greedy k-means++, in two passes a centroid. Gives fewer than K where there are fewer different rows.
    fn plus_plus(&self, rows: &mut impl Passes) -> Result<Vec<Winner>, Failure> {
        let (trials, dim) = (trials(self.k), rows.dim());
        let mut chosen = self.by_weight(rows, 1, 0)?;
        let mut distances = Distances::new(self.devices, rows, self.metric, trials, self.threads)?;
        while chosen.len() < self.k {
            let last = Seeds::new(centroids_of(self.metric, dim, &chosen[chosen.len() - 1..]));
            let (trial, largest) = self.draw(rows, &mut distances, &last, trials, chosen.len())?;
            if trial.is_empty() {
                break;
            }
            // In units of 2^-52 of a power of two above the largest mass.
            let (seeds, scale) = (centroids_of(self.metric, dim, &trial), 2_f64.powi(52 - exponent(largest)));
            let left = distances.masses(rows, &Seeds::new(seeds), scale)?;
            let best = (0..trial.len()).min_by_key(|&place| left[place]);
            chosen.extend(best.and_then(|best| trial.into_iter().nth(best)));
        }
        Ok(chosen)
    }

    /// Takes the last centroid in, and draws candidates for the next one; with them, the largest mass of a row.
    fn draw(
        &self,
        rows: &mut impl Passes,
        distances: &mut Distances,
        last: &Seeds,
        count: usize,
        chosen: usize,
    ) -> Result<(Vec<Winner>, f64), Failure> {
        let (seed, purpose) = (self.draws.seed, self.draws.purpose(chosen));
        let races = distances.nearer(
            rows,
            last,
            || Race::new(count),
            |race, row, square| {
                race.offer(noise_bits(seed, &purpose, row.0), square * row.1 as f64, row);
            },
        )?;
        let (mut winners, largest) = winners(races, count);
        for winner in winners.iter_mut().filter(|winner| winner.values.is_empty()) {
            winner.values = distances.row(winner.number)?.unwrap_or_default();
        }
        Ok((winners, largest))
    }

    /// The same over few rows, whose squared distances from each other are found first. There is time for more trials.
    fn plus_plus_in_matrix(&self, rows: Vec<Winner>, dim: usize) -> Vec<Winner> {
        let (count, matrix) = (rows.len(), self.matrix(&rows, dim));
        let draw = |trials: usize, chosen: usize, squares: &[f32]| -> Vec<usize> {
            let (purpose, mut race) = (self.draws.purpose(chosen), Race::new(trials));
            for ((place, row), &square) in rows.iter().enumerate().zip(squares) {
                // The place stands for the row, which is in no hurry to be copied.
                let bits = noise_bits(self.draws.seed, &purpose, row.number);
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
            if chosen.len() == self.k {
                break;
            }
            let left = |&place: &usize| -> f64 {
                let masses = squares.iter().zip(row(place)).zip(&rows);
                masses.map(|((known, new), row)| f64::from(known.min(*new)) * row.weight as f64).sum()
            };
            let trials = draw(diligence(self.k) * trials(self.k), chosen.len(), &squares);
            let best = trials.iter().map(left).enumerate().min_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
            let Some((best, _)) = best else { break };
            chosen.push(trials[best]);
        }
        let mut rows: Vec<_> = rows.into_iter().map(Some).collect();
        chosen.into_iter().filter_map(|place| rows[place].take()).collect()
    }

    /// The squared distance of each row from each, rounded to 32 bits.
    fn matrix(&self, rows: &[Winner], dim: usize) -> Vec<f32> {
        let (count, seeds) = (rows.len(), Seeds::new(centroids_of(self.metric, dim, rows)));
        let squares: Vec<AtomicU32> = (0..count * count).map(|_| AtomicU32::new(0)).collect();
        let step = |(): &mut (), i: usize| {
            let row = &rows[i].values;
            let norm = seeds.row_norm(row);
            for j in 0..i {
                let square = (seeds.squared_distance(row, j as u32, norm) as f32).to_bits();
                squares[i * count + j].store(square, Relaxed);
                squares[j * count + i].store(square, Relaxed);
            }
            Ok(())
        };
        share(count, vec![(); self.threads], step, Ok).expect("no step fails");
        squares.into_iter().map(|square| f32::from_bits(square.into_inner())).collect()
    }
}

fn centroids_of(metric: Metric, dim: usize, winners: &[Winner]) -> Centroids {
    centroids(metric, dim, winners.iter().flat_map(|winner| winner.values.iter().copied()).collect())
}

/// Winners as rows.
fn block_of(winners: &[Winner]) -> Block {
    Block {
        numbers: winners.iter().map(|winner| winner.number).collect(),
        weights: winners.iter().map(|winner| winner.weight).collect(),
        values: winners.iter().flat_map(|winner| winner.values.iter().copied()).collect(),
    }
}

/// How many draws are tried for the next centroid, as in scikit-learn.
fn trials(k: usize) -> usize {
    2 + libm::log(k as f64) as usize
}

/// The power of two above a positive number.
fn exponent(number: f64) -> i32 {
    (number.to_bits() >> 52) as i32 - 1022
}

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
//!   weight times squared distance to the first K / 4 (rounded up) of those, 2 K of each (from 2,048 on 4,096, or K if
//!   that is more; where K is at most 256, 4 K, and the distance is that to all); each of these candidates weighs what
//!   the rows nearest to it weigh; greedy `k-means++` over the candidates ([`condense`](crate::condense)). Bahmani et
//!   al. begin with one row, which takes more rounds, and draw about as many a round by coin flips, which takes a pass
//!   more.
//!
//! Squared distance is 1 - cosine under the cosine: half the squared distance of unit vectors.
//!
//! # Stability
//!
//! Draw D of run R has the purpose `kmeans-R-D` (see `pipe::key`), the key is the number of the row; `exponential` is
//! `-ln(uniform)`. The draws of k-means++ are counted from 0; those of `k-means||` before it are `a` and `b`, that of
//! random is `r`. The logarithm of K is that of `libm`. Sums of masses are whole numbers of 2^-52 of a power of two
//! above the largest mass, rounded to the nearest, halves to even.

use crate::condense::{Condensing, FEW};
pub use crate::race::Draws;
use crate::race::{self, Race, Winner, centroids, centroids_of, trials};
use crate::{Devices, Distances};
use cluster::fit::too_few_rows;
use cluster::passes::Passes;
use compute::kmeans::exact::{Seeds, squared};
use compute::kmeans::{Assigned, BlockView, Centroids, Metric};
use pipe::failure::Failure;
use pipe::key::noise_bits;
use std::fmt::Display;

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

/// Candidates of each of the two draws of `k-means||`: the more, the better, but each costs a product with every row.
/// (Of 3,072 clusters of 60,000 embeddings four times as many candidates took 28 s instead of 5 s and came to 15,430
/// with 3 draws, 15,378 with 10, instead of 15,385.)
fn drawn(k: usize) -> usize {
    if k <= FEW { 4 * k } else { (2 * k).min(k.max(4096)) }
}

/// To how many winners of the first draw the distances are that the second one is by. (Of 2,000 clusters of 58,587
/// embeddings a quarter of K comes to the same inertia as all 2 K: 14,655 and 14,666 after ten iterations.)
fn pivots(k: usize) -> usize {
    if k <= FEW { drawn(k) } else { k.div_ceil(4) }
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

impl Seeding<'_> {
    /// The first centroids: rows, and rows again where there are fewer different ones than K.
    ///
    /// # Errors
    /// Rows cannot be read or are too few, a GPU fails, or no thread can be started.
    pub fn of(&self, rows: &mut impl Passes) -> Result<Centroids, Failure> {
        let winners = match self.method {
            Method::Random => self.by_weight(rows, self.k, "r")?,
            Method::PlusPlus => self.plus_plus(rows)?,
            Method::Parallel => {
                let candidates = self.candidates(rows)?;
                let (metric, dim, k) = (self.metric, rows.dim(), self.k);
                Condensing { metric, dim, k, draws: self.draws, threads: self.threads }.of(candidates)?
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
        let (winners, _) = race::winners(rows.pass(races, step, Ok)?, count);
        enough(rows, self.k)?;
        if winners.is_empty() { Err(Failure::work("no row has a weight above 0")) } else { Ok(winners) }
    }

    /// The candidates of `k-means||` with their weights.
    fn candidates(&self, rows: &mut impl Passes) -> Result<Vec<Winner>, Failure> {
        let (count, dim) = (drawn(self.k), rows.dim());
        let mut winners = self.by_weight(rows, count, "a")?;
        let (seed, purpose) = (self.draws.seed, self.draws.purpose("b"));
        let first = centroids_of(self.metric, dim, &winners[..winners.len().min(pivots(self.k))]);
        let races = self.assign(
            rows,
            &first,
            || Race::new(count),
            |race, row| {
                let mass = squared(self.metric, row.nearest[0].distance) * row.weight as f64;
                race.offer(noise_bits(seed, &purpose, row.number), mass, (row.number, row.weight, row.row));
            },
        )?;
        winners.extend(race::winners(races, count).0);
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
        let (mut winners, largest) = race::winners(races, count);
        for winner in winners.iter_mut().filter(|winner| winner.values.is_empty()) {
            winner.values = distances.row(winner.number)?.unwrap_or_default();
        }
        Ok((winners, largest))
    }
}

/// The power of two above a positive number.
fn exponent(number: f64) -> i32 {
    (number.to_bits() >> 52) as i32 - 1022
}

//! Many weighted rows to K of them: the last step of `k-means||`.
//!
//! Greedy k-means++ over rows whose distances from each other are found first. Where K is large the rows are halved,
//! and the halves again, until 1,024 or fewer are in a group, and each group gets its share of K and has its own
//! k-means++: the time grows with K instead of its square, and groups are independent of each other. (A fit of 4,096
//! clusters to 58,587 embeddings, ten iterations: from groups 0.15 % more inertia than from all together; 2.8 % less
//! than from random rows.)
//!
//! # Stability
//!
//! Up to 2,048 clusters there is one group. Else rows are halved about two of them: the winner of a race by weight
//! (`kmeans-R-c.L`, of run R, L halvings below all rows), and that of one by weight times squared distance to it
//! (`kmeans-R-d.L`). Four times, as long as both have rows and are near to something, these become the means of the
//! rows that are nearest to them; then those half of the rows (one more where they are odd) that are nearest to the
//! first, in comparison to the second, come first. Means are sums of weight times value, under the cosine of the
//! row as a unit vector, in 64-bit floats and order of the rows, over the sum of the weights, as 32-bit floats.
//! Each group gets one cluster, and of the others a share (Webster's divisor method, see `pipe::apportion`) by the
//! sum of weight times squared distance to its mean, no more than it has rows.
//!
//! Within a group, the draws of k-means++ are counted from 0 (`kmeans-R-D`), twice as many of them are tried as
//! over all rows (eight times where K is at most 256), squared distances between rows are rounded to 32-bit floats,
//! and masses are added up in order of the rows in 64-bit floats.

use crate::race::{Draws, Race, Winner, centroids, centroids_of, trials};
use cluster::passes::share;
use compute::kmeans::exact::{Seeds, norm};
use compute::kmeans::{Centroids, Metric, Pairs};
use pipe::apportion;
use pipe::failure::Failure;
use pipe::key::noise_bits;
use std::fmt::Display;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Up to so many clusters `k-means||` takes more pains: they cost little, and over 60,000 embeddings the inertia of 220
/// clusters after 20 iterations was 35,514 instead of 35,530 (means of 20 seeds, standard error 6; scikit-learn: 35,523
/// over 5 seeds). Of 1,000 clusters, where they would take a second, ours was below that of greedy `k-means++` over all
/// rows without.
pub(crate) const FEW: usize = 256;

/// Up to so many clusters there is one group.
const WHOLE: usize = 2048;

/// Rows of a group, where there are several: their distances are 4 MiB a thread.
const GROUP: usize = 1024;

/// How often the two rows that others are halved about become means.
const ROUNDS: usize = 4;

/// Rows and others whose distances are found together: so many stay in the cache.
const TILE: usize = 64;

/// Candidates that are tried together: the additions for one wait for each other.
const AT_ONCE: usize = 4;

/// How rows are chosen.
pub(crate) struct Condensing {
    pub(crate) metric: Metric,
    pub(crate) dim: usize,
    pub(crate) k: usize,
    pub(crate) draws: Draws,
    pub(crate) threads: usize,
}

impl Condensing {
    /// K of the rows, which come in ascending order of their numbers; fewer where fewer differ.
    ///
    /// # Errors
    /// No thread can be started.
    pub(crate) fn of(&self, rows: Vec<Winner>) -> Result<Vec<Winner>, Failure> {
        if self.k <= WHOLE {
            return self.plus_plus(rows, self.k, self.threads);
        }
        let mut groups = Vec::new();
        self.halve(rows, 0, &mut groups);
        let spread: Vec<f64> = groups.iter().map(|rows| self.spread(rows)).collect();
        let others: Vec<u64> = groups.iter().map(|rows| rows.len() as u64 - 1).collect();
        let given = apportion::exact(&spread, &others, self.k.saturating_sub(groups.len()) as u64);
        let groups: Vec<_> = groups.into_iter().map(|rows| Mutex::new((rows, Vec::new()))).collect();
        let step = |(): &mut (), i: usize| {
            let mut group = groups[i].lock().expect("nobody panics");
            group.1 = self.plus_plus(std::mem::take(&mut group.0), 1 + given[i] as usize, 1)?;
            Ok(())
        };
        share(groups.len(), vec![(); self.threads], step, Ok)?;
        Ok(groups.into_iter().flat_map(|group| group.into_inner().expect("nobody panics").1).collect())
    }

    /// Adds the groups that rows fall into.
    fn halve(&self, rows: Vec<Winner>, level: u32, groups: &mut Vec<Vec<Winner>>) {
        if rows.len() <= GROUP {
            return groups.push(rows);
        }
        let (sides, half) = (self.sides(&rows, level), rows.len().div_ceil(2));
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by(|&a, &b| sides[a].total_cmp(&sides[b]).then(a.cmp(&b)));
        let mut is_first = vec![false; rows.len()];
        order[..half].iter().for_each(|&place| is_first[place] = true);
        let (first, second): (Vec<_>, Vec<_>) = rows.into_iter().zip(is_first).partition(|&(_, is_first)| is_first);
        for half in [first, second] {
            self.halve(half.into_iter().map(|(row, _)| row).collect(), level + 1, groups);
        }
    }

    /// How much nearer each row is to the second of two than to the first; 0 where there are no two.
    fn sides(&self, rows: &[Winner], level: u32) -> Vec<f64> {
        let draw = |name: char, square: &dyn Fn(&Winner) -> f64| {
            let won = self.draw(rows, format!("{name}.{level}"), 1, |place| square(&rows[place]));
            won.first().map(|&place| rows[place].values.clone())
        };
        let near = |to: &Seeds, row: &Winner, j: u32| to.squared_distance(&row.values, j, to.row_norm(&row.values));
        let seeds = |values: Vec<f32>| Seeds::new(centroids(self.metric, self.dim, values));
        let Some(one) = draw('c', &|_| 1.0) else { return vec![0.0; rows.len()] };
        let first = seeds(one.clone());
        let Some(other) = draw('d', &|row| near(&first, row, 0)) else { return vec![0.0; rows.len()] };
        let sides = |both: &Seeds| rows.iter().map(|row| near(both, row, 0) - near(both, row, 1)).collect::<Vec<_>>();
        let mut found = sides(&seeds([one, other].concat()));
        for _ in 0..ROUNDS {
            let side = |is_first: bool| {
                let there = rows.iter().zip(&found).filter(move |&(_, &side)| (side <= 0.0) == is_first);
                self.mean(there.map(|(row, _)| row))
            };
            let (Some(one), Some(other)) = (side(true), side(false)) else { break };
            let Ok(means) = Centroids::new(self.metric, self.dim, [one, other].concat()) else { break };
            found = sides(&Seeds::new(means));
        }
        found
    }

    /// The mean of rows; none of those that weigh nothing.
    fn mean<'a>(&self, rows: impl Iterator<Item = &'a Winner>) -> Option<Vec<f32>> {
        let (mut sums, mut total) = (vec![0.0; self.dim], 0.0);
        for row in rows {
            let weight = row.weight as f64;
            let scale = if self.metric == Metric::Cosine { weight / norm(&row.values) } else { weight };
            sums.iter_mut().zip(&row.values).for_each(|(sum, &value)| *sum += scale * f64::from(value));
            total += weight;
        }
        (total > 0.0).then(|| sums.into_iter().map(|sum| (sum / total) as f32).collect())
    }

    /// The sum of weight times squared distance to the mean.
    fn spread(&self, rows: &[Winner]) -> f64 {
        let mean = self.mean(rows.iter()).and_then(|mean| Centroids::new(self.metric, self.dim, mean).ok());
        let mean = Seeds::new(mean.unwrap_or_else(|| centroids_of(self.metric, self.dim, &rows[..1])));
        let mass = |row: &Winner| row.weight as f64 * mean.squared_distance(&row.values, 0, mean.row_norm(&row.values));
        rows.iter().map(mass).sum()
    }

    /// The winners of a race by weight times a square, best first, as places among the rows.
    fn draw(&self, rows: &[Winner], name: impl Display, count: usize, square: impl Fn(usize) -> f64) -> Vec<usize> {
        let (purpose, mut race) = (self.draws.purpose(name), Race::new(count));
        for (place, row) in rows.iter().enumerate() {
            // The place stands for the row, which is in no hurry to be copied.
            let bits = noise_bits(self.draws.seed, &purpose, row.number);
            race.offer(bits, square(place) * row.weight as f64, (place as u64, row.weight, &[]));
        }
        race.ended().into_iter().map(|winner| winner.number as usize).collect()
    }

    /// Greedy k-means++ over few rows. There is time for more trials.
    fn plus_plus(&self, rows: Vec<Winner>, k: usize, threads: usize) -> Result<Vec<Winner>, Failure> {
        let (count, matrix) = (rows.len(), self.matrix(&rows, threads)?);
        let draw = |trials: usize, chosen: usize, squares: &[f32]| {
            self.draw(&rows, chosen, trials, |place| f64::from(squares[place]))
        };
        let diligence = if self.k <= FEW { 8 } else { 2 };
        let weights: Vec<f64> = rows.iter().map(|row| row.weight as f64).collect();
        let mut squares = vec![1.0; count];
        let mut chosen = draw(1, 0, &squares);
        squares.fill(f32::INFINITY);
        while let Some(&last) = chosen.last() {
            let row = |place: usize| &matrix[place * count..][..count];
            squares.iter_mut().zip(row(last)).for_each(|(square, new)| *square = square.min(*new));
            if chosen.len() == k {
                break;
            }
            let trials = draw(diligence * trials(self.k), chosen.len(), &squares);
            let left = trials.chunks(AT_ONCE).flat_map(|some| {
                let rows = std::array::from_fn(|i| row(some[i.min(some.len() - 1)]));
                left(&squares, &weights, rows).into_iter().take(some.len())
            });
            let best = left.enumerate().min_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
            let Some((best, _)) = best else { break };
            chosen.push(trials[best]);
        }
        let mut rows: Vec<_> = rows.into_iter().map(Some).collect();
        Ok(chosen.into_iter().filter_map(|place| rows[place].take()).collect())
    }

    /// The squared distance of each row from each, rounded to 32 bits.
    fn matrix(&self, rows: &[Winner], threads: usize) -> Result<Vec<f32>, Failure> {
        let (count, pairs) = (rows.len(), Pairs::new(&centroids_of(self.metric, self.dim, rows)));
        let squares: Vec<AtomicU32> = (0..count * count).map(|_| AtomicU32::new(0)).collect();
        let tile = |number: usize| number * TILE..count.min((number + 1) * TILE);
        let step = |found: &mut Vec<f64>, number: usize| {
            for other in 0..=number {
                let (these, those) = (tile(number), tile(other));
                pairs.squares(these.clone(), those.clone(), found);
                for (i, found) in these.zip(found.chunks_exact(those.len())) {
                    for (j, &square) in those.clone().zip(found) {
                        let square = (square as f32).to_bits();
                        squares[i * count + j].store(square, Relaxed);
                        squares[j * count + i].store(square, Relaxed);
                    }
                }
            }
            Ok(())
        };
        share(count.div_ceil(TILE), vec![Vec::new(); threads], step, Ok)?;
        Ok(squares.into_iter().map(|square| f32::from_bits(square.into_inner())).collect())
    }
}

/// The sum of the masses that each of some candidates would leave, whose squared distances from all rows are given.
fn left(known: &[f32], weights: &[f64], candidates: [&[f32]; AT_ONCE]) -> [f64; AT_ONCE] {
    let mut sums = [0.0; AT_ONCE];
    let candidates = candidates.map(|squares| &squares[..known.len()]);
    for (i, (&known, &weight)) in known.iter().zip(weights).enumerate() {
        for (sum, new) in sums.iter_mut().zip(candidates) {
            *sum += f64::from(known.min(new[i])) * weight;
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use compute::kmeans::WEIGHT_ONE;
    use compute::kmeans::trials::{METRICS, Random};

    const DIM: usize = 3;

    fn condensing(metric: Metric, k: usize, threads: usize) -> Condensing {
        Condensing { metric, dim: DIM, k, draws: Draws { seed: 3, run: 1 }, threads }
    }

    /// Winners of a race that all rows won.
    fn candidates(values: &[f32], weights: impl Fn(u64) -> u64) -> Vec<Winner> {
        let mut race = Race::new(values.len() / DIM);
        for (number, row) in (0..).zip(values.chunks_exact(DIM)) {
            race.offer(number, 1.0, (number, weights(number), row));
        }
        let mut winners = race.ended();
        winners.sort_by_key(|winner| winner.number);
        winners
    }

    fn numbers(rows: &[Winner]) -> Vec<u64> {
        rows.iter().map(|row| row.number).collect()
    }

    #[test]
    fn many_clusters_get_as_many_rows_whatever_the_threads() {
        let values = Random(7).vector(5000 * DIM);
        for metric in METRICS {
            for k in [WHOLE + 1, 2500, 4999, 5000, 6000] {
                let of = |threads| {
                    let rows = candidates(&values, |number| (1 + number % 3) * WEIGHT_ONE);
                    condensing(metric, k, threads).of(rows).unwrap()
                };
                let chosen = numbers(&of(1));
                let mut sorted = chosen.clone();
                sorted.sort_unstable();
                sorted.dedup();
                assert_eq!((chosen.len(), sorted.len()), (k.min(5000), k.min(5000)), "{metric:?}");
                assert_eq!(numbers(&of(3)), chosen, "{metric:?} {k}");
            }
        }
    }

    #[test]
    fn rows_are_halved_into_those_that_lie_together() {
        // Two heaps of unequal size: the halves differ in one coordinate alone.
        let mut random = Random(2);
        let place = |i: usize| {
            let far = if i.is_multiple_of(3) { 100.0 } else { -100.0 };
            [far + random.value(), random.value(), 50.0 + random.value()]
        };
        let values: Vec<f32> = (0..3000).flat_map(place).collect();
        let mut groups = Vec::new();
        for metric in METRICS {
            groups.clear();
            condensing(metric, 2500, 1).halve(candidates(&values, |_| WEIGHT_ONE), 0, &mut groups);
            assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), [750; 4]);
            let left = |rows: &Vec<Winner>| rows.iter().filter(|row| row.values[0] < 0.0).count();
            let mut left: Vec<usize> = groups.iter().map(left).collect();
            left.sort_unstable();
            // 2,000 to the left and 1,000 to the right: 1,500 of the left ones, and the others.
            assert_eq!(left, [0, 500, 750, 750], "{metric:?}");
            assert!(groups.iter().all(|rows| rows.is_sorted_by_key(|row| row.number)));
        }
    }

    #[test]
    fn groups_get_clusters_by_their_spread() {
        // As many rows in a point as in a wide heap.
        let mut random = Random(4);
        let values: Vec<f32> =
            (0..4000).flat_map(|i| if i < 2000 { vec![9.0, 9.0, 9.0] } else { random.vector(DIM) }).collect();
        let rows = condensing(Metric::Euclidean, 2100, 2).of(candidates(&values, |_| WEIGHT_ONE)).unwrap();
        let spread = numbers(&rows).into_iter().filter(|&number| number >= 2000).count();
        assert_eq!(spread, 2000);
    }

    #[test]
    fn equal_rows_and_rows_without_weight_are_not_chosen_again() {
        for metric in METRICS {
            let values: Vec<f32> = [1.0, 2.0, 3.0, -4.0, 1.0, 0.5].repeat(2000);
            let rows = condensing(metric, 3000, 2).of(candidates(&values, |_| WEIGHT_ONE)).unwrap();
            assert!((2..=4 * 2).contains(&rows.len()), "{metric:?} {}", rows.len());
            let rows = condensing(metric, 3000, 2).of(candidates(&values, |_| 0)).unwrap();
            assert!(rows.is_empty(), "{metric:?}");
        }
    }
}

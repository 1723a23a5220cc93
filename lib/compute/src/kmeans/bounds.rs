//! What a pass over rows leaves for the next one, in which centroids have moved a little: how far each row is at least
//! from groups of them.
//!
//! As Elkan (2003) and Ding et al. (Yinyang k-means, 2015) have it: what was at least so far from a group, and no
//! centroid of which has moved by more than so much, is at least so far less that much now. A row whose last nearest
//! centroid is nearer than that need not look at the group. So most products are left out from the third iteration on,
//! and no answer changes: bounds are below what [`exact`] would say by more than its roundings.
//!
//! Distances are those between rows and centroids, under the cosine between unit vectors.

use super::cpu::{Cpu, Scratch, Task};
use super::exact::{self, Seeds};
use super::product::Point;
use super::sparse::Query;
use super::{Centroids, Metric, Nearest};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

/// With fewer groups there is little to leave out.
const GROUPS_MIN: usize = 4;

/// Centroids that are not halved any more.
const ALIKE: usize = 16;

/// What is known of so many rows, between passes.
#[derive(Debug)]
pub struct Bounds {
    rows: usize,
    groups_max: usize,
    made: Option<Made>,
}

#[derive(Debug)]
struct Made {
    order: Vec<u32>,
    before: Centroids,
    lower: Arc<[AtomicU32]>,
}

/// What is known in one pass.
#[derive(Debug, Clone)]
pub struct Within {
    /// Of each row, of each group.
    lower: Arc<[AtomicU32]>,
    moves: Arc<[f32]>,
}

impl Bounds {
    /// Nothing yet, of so many rows at the most, with at most so many groups: 4 bytes a row and group.
    pub fn of(rows: usize, groups_max: usize) -> Bounds {
        Bounds { rows, groups_max, made: None }
    }

    /// Forgets what is known: centroids come that are not the last ones moved.
    pub fn forget(&mut self) {
        self.made = None;
    }

    /// For the next pass; `None`: it is one as any other.
    pub fn next(&mut self, centroids: &Centroids) -> Option<(Cpu, Within)> {
        if self.groups_max < GROUPS_MIN || Cpu::groups_of(centroids.k(), self.groups_max) < GROUPS_MIN {
            return None;
        }
        let made = self.made.take().filter(|made| made.before.values.len() == centroids.values.len());
        let order = made.as_ref().map_or_else(|| similar(centroids), |made| made.order.clone());
        let cpu = Cpu::grouped(centroids.clone(), &order, self.groups_max);
        self.begin(cpu, order, made)
    }

    fn begin(&mut self, cpu: Cpu, order: Vec<u32>, made: Option<Made>) -> Option<(Cpu, Within)> {
        if !cpu.has_table() {
            return None;
        }
        let centroids = cpu.centroids();
        let moves = match &made {
            Some(Made { before, .. }) => {
                let moved = |slots: &[u32]| slots.iter().map(|&j| moved(before, centroids, j)).fold(0.0, f32::max);
                order.chunks(cpu.group_rows()).map(moved).collect()
            }
            None => vec![0.0; cpu.groups()],
        };
        let new = || (0..self.rows * cpu.groups()).map(|_| AtomicU32::new(0)).collect();
        let lower: Arc<[AtomicU32]> = made.map_or_else(new, |made| made.lower);
        let within = Within { lower: lower.clone(), moves: moves.into() };
        self.made = Some(Made { order, before: centroids.clone(), lower });
        Some((cpu, within))
    }
}

/// How far a centroid has moved, or a little more.
fn moved(before: &Centroids, now: &Centroids, j: u32) -> f32 {
    let (metric, before, now) = (now.metric, before.row(j as usize), now.row(j as usize));
    let scale = |row: &[f32]| if metric == Metric::Cosine { exact::norm(row).recip() } else { 1.0 };
    let (a, b) = (scale(before), scale(now));
    let square: f64 = before.iter().zip(now).map(|(x, y)| (f64::from(*x) * a - f64::from(*y) * b).powi(2)).sum();
    // As unit vectors both are as good as 64-bit floats are.
    let slack = if metric == Metric::Cosine { 1e-12 } else { 0.0 };
    (square.sqrt() * (1.0 + 1e-6) + slack) as f32
}

/// Centroids in an order in which those that lie together stand together.
fn similar(centroids: &Centroids) -> Vec<u32> {
    let (seeds, mut order) = (Seeds::new(centroids.clone()), (0..centroids.k() as u32).collect::<Vec<_>>());
    halve(&seeds, &mut order);
    order
}

/// Halves some about two that are far from each other, and the halves again.
fn halve(seeds: &Seeds, some: &mut [u32]) {
    if some.len() <= ALIKE {
        return;
    }
    let far = |a: u32, b: u32| {
        let row = seeds.centroids().row(a as usize);
        seeds.squared_distance(row, b, seeds.row_norm(row))
    };
    let farthest = |from: u32| {
        let squares = some.iter().map(|&one| (far(one, from), one));
        squares.fold((-1.0, from), |best, next| if next.0 > best.0 { next } else { best }).1
    };
    let one = farthest(some[0]);
    let other = farthest(one);
    let mut sides: Vec<(f64, u32)> = some.iter().map(|&c| (far(c, one) - far(c, other), c)).collect();
    sides.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    some.iter_mut().zip(sides).for_each(|(place, (_, c))| *place = c);
    let (first, second) = some.split_at_mut(some.len() / 2);
    halve(seeds, first);
    halve(seeds, second);
}

impl Cpu {
    /// [`Assigner::nearest`](super::Assigner::nearest) for rows from number `first` of those that something is known
    /// of; what stands in `found` is the nearest of the last pass, or none. Returns how many rows had several
    /// candidates.
    ///
    /// # Panics
    /// Where the centroids have no groups, or rows are more than those.
    pub fn nearest_within(
        &self,
        rows: &[f32],
        found: &mut [Nearest],
        (within, first): (&Within, usize),
        scratch: &mut Scratch,
    ) -> usize {
        assert_eq!(rows.len(), found.len() * self.centroids().dim, "whole rows");
        let (centroids, norms, groups) = (self.centroids(), self.norms(), self.groups());
        let lower = &within.lower[first * groups..][..found.len() * groups];
        let (labels, moves, group_blocks) = (&*found, &within.moves[..], self.group_blocks());
        let query = Query { centroids, norms, groups, group_blocks, rows, labels, lower, moves };
        self.run(Task::Some(query), scratch);
        let (several, mut reranked, mut candidates) = (&scratch.several, 0, Vec::new());
        let mut hits = several.hits.iter().peekable();
        for (i, (row, found)) in rows.chunks_exact(centroids.dim).zip(found).enumerate() {
            let known = several.known[i];
            candidates.clear();
            while let Some(&(_, slot)) = hits.next_if(|hit| hit.0 as usize == i) {
                candidates.push(self.order()[slot as usize]);
            }
            *found = match several.points[i] {
                Point::Missing => Nearest::MISSING,
                Point::Beyond => exact::nearest(row, centroids, norms, self.numbers()),
                Point::In if candidates.iter().all(|&one| one == known.cluster) => known,
                Point::In => {
                    candidates.extend(Some(known.cluster).filter(|&known| known != Nearest::NONE));
                    candidates.sort_unstable();
                    candidates.dedup();
                    reranked += usize::from(candidates.len() > 1);
                    exact::nearest(row, centroids, norms, candidates.iter().copied())
                }
            };
            reranked += usize::from(several.points[i] == Point::Beyond);
        }
        reranked
    }
}

#[cfg(test)]
mod tests {
    use super::super::trials::{METRICS, Random, nasty};
    use super::super::{Assigner, Reference};
    use super::*;
    use std::sync::atomic::Ordering::Relaxed;

    /// The distance that bounds are of, in 64 bits.
    fn distance(row: &[f32], centroid: &[f32], metric: Metric) -> f64 {
        let scale = |row: &[f32]| if metric == Metric::Cosine { exact::norm(row).recip() } else { 1.0 };
        let (a, b) = (scale(row), scale(centroid));
        let squares = row.iter().zip(centroid).map(|(x, y)| (f64::from(*x) * a - f64::from(*y) * b).powi(2));
        squares.sum::<f64>().sqrt()
    }

    /// Passes of one machine, each after the centroids have moved a little; the share of products in the last one.
    fn passes(machine: &str, first: &Centroids, rows: &[f32], moves: &[f32], seed: u64) -> f64 {
        let (mut random, mut centroids, dim) = (Random(seed), first.clone(), first.dim);
        let n = rows.len() / dim;
        let (mut bounds, mut found, mut scratch) = (Bounds::of(n, 8), vec![Nearest::MISSING; n], Scratch::default());
        let mut share = 1.0;
        for &by in moves {
            for value in &mut centroids.values {
                *value += by * random.value();
            }
            let made = bounds.made.take();
            let order = made.as_ref().map_or_else(|| similar(&centroids), |made| made.order.clone());
            let cpu = Cpu::in_groups_with(centroids.clone(), machine, &order, 8);
            let (cpu, within) = bounds.begin(cpu, order, made).expect("enough groups");
            // In two calls, as threads take blocks.
            let half = n / 2;
            let (one, other) = found.split_at_mut(half);
            cpu.nearest_within(&rows[..half * dim], one, (&within, 0), &mut scratch);
            let looked = scratch.several.looked;
            cpu.nearest_within(&rows[half * dim..], other, (&within, half), &mut scratch);
            share = (looked + scratch.several.looked) as f64 / (n * cpu.groups()) as f64;
            let mut expected = vec![Nearest::MISSING; n];
            Reference::new(centroids.clone()).nearest(rows, &mut expected, &mut ());
            let bits = |found: &[Nearest]| found.iter().map(|f| (f.cluster, f.distance.to_bits())).collect::<Vec<_>>();
            assert!(bits(&found) == bits(&expected), "{machine}, {:?}, dim {dim}", centroids.metric);
            let order = &bounds.made.as_ref().expect("a pass was made").order;
            for (i, row) in rows.chunks_exact(dim).enumerate() {
                for (g, group) in order.chunks(cpu.group_rows()).enumerate() {
                    let lower = f64::from(f32::from_bits(within.lower[i * cpu.groups() + g].load(Relaxed)));
                    let far = |&j: &u32| distance(row, centroids.row(j as usize), centroids.metric);
                    let nearest = group.iter().map(far).fold(f64::INFINITY, f64::min);
                    assert!(lower == 0.0 || lower <= nearest, "{machine} row {i}, group {g}: {lower} {nearest}");
                }
            }
        }
        share
    }

    #[test]
    fn passes_after_moves_have_the_bits_of_the_reference() {
        for metric in METRICS {
            let mut random = Random(11);
            for (dim, k, n) in [(3, 200, 90), (17, 300, 200), (64, 140, 300), (384, 150, 80)] {
                let (centroids, rows) = nasty(&mut random, metric, dim, k, n);
                for machine in Cpu::machines() {
                    passes(&machine, &centroids, &rows, &[0.0, 0.3, 0.0, 0.1, 0.01, 0.001, 1.0, 0.0], 3);
                }
            }
        }
    }

    #[test]
    fn most_products_are_left_out_where_centroids_move_little() {
        let mut random = Random(12);
        for metric in METRICS {
            let (dim, k) = (32, 600);
            let heaps = random.vector(dim * 20);
            let mut around = |count: usize| -> Vec<f32> {
                let row = |i: usize| heaps[i % 20 * dim..][..dim].to_vec();
                (0..count)
                    .flat_map(|i| row(i).into_iter().map(|v| v + 0.1 * random.value()).collect::<Vec<_>>())
                    .collect()
            };
            let (centroids, rows) = (Centroids::new(metric, dim, around(k)).unwrap(), around(900));
            for machine in Cpu::machines() {
                let share = passes(&machine, &centroids, &rows, &[0.0, 0.01, 0.001, 0.001], 5);
                assert!(share < 0.4, "{machine}, {metric:?}: {share}");
            }
        }
    }

    #[test]
    fn an_order_has_every_centroid_once_and_alike_ones_together() {
        let mut random = Random(13);
        let values: Vec<f32> =
            (0..256).flat_map(|i| [if i % 2 == 0 { 9.0 } else { -9.0 } + random.value(), 1.0]).collect();
        for metric in METRICS {
            let order = similar(&Centroids::new(metric, 2, values.clone()).unwrap());
            let first = order[0] % 2;
            assert!(order[..128].iter().all(|j| j % 2 == first) && order[128..].iter().all(|j| j % 2 != first));
            let mut sorted = order;
            sorted.sort_unstable();
            assert!(sorted.into_iter().eq(0..256));
        }
    }

    #[test]
    fn few_centroids_have_no_bounds() {
        let centroids = Centroids::new(Metric::Euclidean, 4, Random(1).vector(4 * 90)).unwrap();
        assert!(Bounds::of(10, 8).next(&centroids).is_none());
        assert!(Bounds::of(10, 3).next(&centroids).is_none());
    }
}

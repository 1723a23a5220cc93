//! Of the rows that come before a row, the one that is most like it.
//!
//! Rows stand in an order that somebody chose. A piece of them is made into the table of [`Cpu`]; rows that come later
//! go over it, and each keeps the best that all pieces before it had. So half of all products are computed, not all,
//! and no piece need know of another.
//!
//! # Stability
//!
//! With x a row and c one before it, the score is `dot(x, c) / sqrt(dot(c, c))`, the sums in the order of [`exact`];
//! the largest is most like, of equal ones the one that comes first. The cosine is `score / sqrt(dot(x, x))`.
//!
//! A row that is another's copy, bit for bit, has its very scores, and comes later: it can never be the answer, and is
//! left out of the table. So a thousand copies are not a thousand candidates.

use super::cpu::{Cpu, Scratch};
use super::{Centroids, Metric, Nearest, exact};

/// The row that is most like another, of those that come before it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Alike {
    /// The score; minus infinity where there is none.
    pub score: f64,
    /// The number of the row, as it was given.
    pub number: u64,
}

impl Alike {
    /// Where no row comes before.
    pub const NONE: Alike = Alike { score: f64::NEG_INFINITY, number: u64::MAX };

    /// The cosine of the angle between the row that this was found for and the one that was found.
    pub fn cosine(self, row: &[f32]) -> f64 {
        self.score / exact::norm(row)
    }
}

/// A piece of the rows, for those that come later.
#[derive(Debug)]
pub struct Earlier {
    cpu: Cpu,
    /// The rows of the table, as places in the piece, ascending: those that are no copies.
    firsts: Vec<u32>,
    /// Their numbers.
    numbers: Vec<u64>,
}

impl Earlier {
    /// Takes rows in their order, and a number for each.
    ///
    /// # Panics
    /// Where a value is not finite, all of a row are 0, or there are not as many rows as numbers.
    pub fn new(dim: usize, rows: &[f32], numbers: &[u64]) -> Earlier {
        Earlier::of(dim, rows, numbers, Cpu::new)
    }

    fn of(dim: usize, rows: &[f32], numbers: &[u64], cpu: impl FnOnce(Centroids) -> Cpu) -> Earlier {
        assert_eq!(rows.len(), numbers.len() * dim, "a number a row");
        let firsts = firsts(dim, rows);
        let values = firsts.iter().flat_map(|&first| row(dim, rows, first)).copied().collect();
        let centroids = Centroids::new(Metric::Cosine, dim, values).expect("rows that have a direction");
        let numbers = firsts.iter().map(|&first| numbers[first as usize]).collect();
        Earlier { cpu: cpu(centroids), firsts, numbers }
    }

    /// Holds rows that come after the whole piece against all of it. What stands in `found` stays where nothing is more
    /// like. Returns how many rows the fast pass left several candidates.
    ///
    /// # Panics
    /// Where there are not as many rows as places.
    pub fn pass(&self, rows: &[f32], found: &mut [Alike], scratch: &mut Scratch) -> usize {
        self.improve(rows, &vec![self.firsts.len() as u32; found.len()], found, scratch)
    }

    /// Holds rows of the piece, from its row `first` on, each against those before it.
    ///
    /// # Panics
    /// As [`Earlier::pass`].
    pub fn pass_own(&self, rows: &[f32], first: usize, found: &mut [Alike], scratch: &mut Scratch) -> usize {
        let before = |place: usize| self.firsts.partition_point(|&other| (other as usize) < place) as u32;
        let limits: Vec<u32> = (first..first + found.len()).map(before).collect();
        self.improve(rows, &limits, found, scratch)
    }

    fn improve(&self, rows: &[f32], limits: &[u32], found: &mut [Alike], scratch: &mut Scratch) -> usize {
        let (centroids, norms) = (self.cpu.centroids(), self.cpu.norms());
        self.cpu.each_below(rows, limits, scratch, |i, row, candidates| {
            let (rank, c) = match candidates {
                Some(some) => exact::least(row, centroids, norms, some.iter().copied()),
                None => exact::least(row, centroids, norms, 0..limits[i]),
            };
            if c != Nearest::NONE && -rank > found[i].score {
                found[i] = Alike { score: -rank, number: self.numbers[c as usize] };
            }
        })
    }
}

fn row(dim: usize, rows: &[f32], place: u32) -> &[f32] {
    &rows[place as usize * dim..][..dim]
}

/// The rows that are copies of none before them, ascending.
fn firsts(dim: usize, rows: &[f32]) -> Vec<u32> {
    let bits = |&place: &u32| row(dim, rows, place).iter().map(|value| value.to_bits());
    let mut order: Vec<u32> = (0..(rows.len() / dim) as u32).collect();
    // Stable: of copies the first stays the first.
    order.sort_by(|a, b| bits(a).cmp(bits(b)));
    order.dedup_by(|later, first| bits(later).eq(bits(first)));
    order.sort_unstable();
    order
}

#[cfg(test)]
mod tests {
    use super::super::trials::{Random, nasty};
    use super::*;

    /// Every pair in 64 bits.
    fn plainly(dim: usize, rows: &[f32], numbers: &[u64]) -> Vec<Alike> {
        let one = |i: usize| {
            let mut best = Alike::NONE;
            for j in 0..i {
                let (x, c) = (&rows[i * dim..][..dim], &rows[j * dim..][..dim]);
                let score = exact::dot(x, c) / exact::norm(c);
                if score > best.score {
                    best = Alike { score, number: numbers[j] };
                }
            }
            best
        };
        (0..numbers.len()).map(one).collect()
    }

    /// The same in pieces, on a machine.
    fn in_pieces(dim: usize, rows: &[f32], numbers: &[u64], piece: usize, machine: &str) -> Vec<Alike> {
        let (mut found, mut scratch) = (vec![Alike::NONE; numbers.len()], Scratch::default());
        for start in (0..numbers.len()).step_by(piece) {
            let end = numbers.len().min(start + piece);
            let own = &rows[start * dim..end * dim];
            let make = |centroids| Cpu::with(centroids, machine);
            let earlier = Earlier::of(dim, own, &numbers[start..end], make);
            // In two parts, as a piece may be looked at.
            let half = (end - start) / 2;
            for (from, to) in [(0, half), (half, end - start)] {
                earlier.pass_own(&own[from * dim..to * dim], from, &mut found[start + from..start + to], &mut scratch);
            }
            earlier.pass(&rows[end * dim..], &mut found[end..], &mut scratch);
        }
        found
    }

    fn bits(found: &[Alike]) -> Vec<(u64, u64)> {
        found.iter().map(|found| (found.score.to_bits(), found.number)).collect()
    }

    #[test]
    fn not_one_row_differs_from_plain_loops_on_any_machine() {
        let mut random = Random(7);
        for (dim, n) in [(1, 40), (2, 70), (3, 1), (17, 33), (33, 300), (64, 257), (384, 90), (1000, 40)] {
            let rows = nasty(&mut random, Metric::Cosine, dim, n, 0).0.values;
            let numbers: Vec<u64> = (0..n as u64).map(|i| (i * 7919) % 10_007).collect();
            let expected = bits(&plainly(dim, &rows, &numbers));
            for machine in Cpu::machines() {
                for piece in [1, 32, 100, 1000] {
                    let found = bits(&in_pieces(dim, &rows, &numbers, piece, &machine));
                    assert!(found == expected, "{machine}, dim {dim}, {n} rows, pieces of {piece}");
                }
            }
        }
    }

    /// Scales near both ends of 32-bit floats, where no bound can be given.
    #[test]
    fn rows_of_every_size_are_held_against_those_before_only() {
        let (dim, mut random) = (20, Random(8));
        let sized = |i: i32, row: Vec<f32>| row.into_iter().map(move |value| value * f32::powi(10.0, i * 7 % 60 - 35));
        let mut rows: Vec<f32> = (0..60).flat_map(|i| sized(i, random.vector(dim))).collect();
        rows.extend_from_within(..20 * dim);
        let numbers: Vec<u64> = (0..80).collect();
        let expected = bits(&plainly(dim, &rows, &numbers));
        for machine in Cpu::machines() {
            assert!(bits(&in_pieces(dim, &rows, &numbers, 50, &machine)) == expected, "{machine}");
        }
    }

    #[test]
    fn copies_are_like_the_first_of_them() {
        let (dim, mut random) = (48, Random(9));
        let one = random.vector(dim);
        let rows = one.repeat(3000);
        let numbers: Vec<u64> = (100..3100).collect();
        let earlier = Earlier::new(dim, &rows, &numbers);
        assert_eq!(earlier.firsts, [0]);
        let mut found = vec![Alike::NONE; 3000];
        assert_eq!(earlier.pass_own(&rows, 0, &mut found, &mut Scratch::default()), 0);
        assert_eq!(found[0], Alike::NONE);
        assert!(found[1..].iter().all(|found| found.number == 100 && (found.cosine(&one) - 1.0).abs() < 1e-15));
    }

    /// A bound so wide that everything is decided in 64 bits would pass all tests above.
    #[test]
    fn few_rows_are_reranked() {
        let (dim, n, mut random) = (256, 1000, Random(10));
        let rows: Vec<f32> = (0..n).flat_map(|_| random.vector(dim)).collect();
        let earlier = Earlier::new(dim, &rows, &vec![0; n]);
        let mut found = vec![Alike::NONE; n];
        let reranked = earlier.pass_own(&rows, 0, &mut found, &mut Scratch::default());
        assert!(reranked < n / 10, "{reranked} of {n}");
    }
}

//! Shares as whole numbers.
//!
//! # Exact shares
//!
//! Documents are given out one by one, each to the cluster that is furthest behind its share: the one with the largest
//! `w / (2 s + 1)`, where `w` is its share and `s` what it has; ties go to the lower id. This is the divisor method of
//! Webster and Sainte-Laguë. A cluster that is full takes no further part, so what it cannot take goes to the others in
//! proportion to their shares, and exactly as many are placed as were asked for, or everything there is. Since the
//! order in which documents are given out does not depend on how many there are, more documents never make a cluster's
//! number smaller: plans nest, as samples do. (Largest remainders would stay within one of the exact share, but do not
//! nest: with one document more, a cluster may get one less.)
//!
//! The order is never walked: the documents with `2 s + 1 <= L w / 2^64` are the first so many for every L, the largest
//! L that gives too few is found by bisection, and at most one more document a cluster is missing then. All comparisons
//! are in whole numbers, so the result is exact.

use crate::key::noise_bits;
use std::cmp::Ordering;

/// Shares are scaled to this many bits.
const BITS: i32 = 62;

/// Shares as whole numbers: scaled by a power of two so that the largest has 62 bits, and rounded; what is above 0
/// stays so.
fn whole(shares: &[f64]) -> Vec<u64> {
    let largest = shares.iter().copied().fold(0.0, f64::max);
    let mut scale = 1.0;
    while largest > 0.0 && largest * scale < 2_f64.powi(BITS - 1) {
        scale *= 2.0;
    }
    while largest * scale >= 2_f64.powi(BITS) {
        scale /= 2.0;
    }
    let one = |&share: &f64| if share > 0.0 { ((share * scale).round() as u64).max(1) } else { 0 };
    shares.iter().map(one).collect()
}

/// Gives out `total` in proportion to the shares, at most `limits` to each: see the head of this module.
pub fn exact(shares: &[f64], limits: &[u64], total: u64) -> Vec<u64> {
    weighted(&whole(shares), limits, total)
}

/// The same where the shares are whole numbers.
pub fn weighted(weights: &[u64], limits: &[u64], total: u64) -> Vec<u64> {
    let first = |threshold: u128| weights.iter().zip(limits).map(move |(&w, &limit)| taken(w, threshold).min(limit));
    let fits = |threshold: u128| first(threshold).map(u128::from).sum::<u128>() <= u128::from(total);
    if fits(u128::MAX) {
        return first(u128::MAX).collect();
    }
    let (mut low, mut high) = (0_u128, u128::MAX);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if fits(middle) { low = middle } else { high = middle }
    }
    let mut given: Vec<u64> = first(low).collect();
    let mut next: Vec<usize> =
        first(high).zip(&given).enumerate().filter(|(_, (more, has))| more > has).map(|(at, _)| at).collect();
    next.sort_by(|&a, &b| behind((weights[a], given[a]), (weights[b], given[b])).then(a.cmp(&b)));
    let missing = u128::from(total) - given.iter().copied().map(u128::from).sum::<u128>();
    next.into_iter().take(missing as usize).for_each(|at| given[at] += 1);
    given
}

/// How many documents of a share come before the threshold.
fn taken(weight: u64, threshold: u128) -> u64 {
    let odd = threshold.checked_mul(u128::from(weight)).map_or(u128::MAX >> 1, |product| product >> 64);
    if weight == 0 { 0 } else { u64::try_from(odd.div_ceil(2)).unwrap_or(u64::MAX) }
}

/// Which of two (share, what it has) is further behind: that comes first.
fn behind(a: (u64, u64), b: (u64, u64)) -> Ordering {
    let cross = |share: u64, other: u64| u128::from(share) * (2 * u128::from(other) + 1);
    cross(b.0, a.1).cmp(&cross(a.0, b.1))
}

/// Draws a cluster `total` times, in proportion to the shares of those that are not full: the draw at `turn` (from 0)
/// is a function of the seed, the purpose and the turn.
pub fn drawn(shares: &[f64], limits: &[u64], total: u64, seed: u64, purpose: &str) -> Vec<u64> {
    let mut tree = Tree::new(&whole(shares), limits);
    let mut given = vec![0; shares.len()];
    for turn in 0..total {
        if tree.total == 0 {
            break;
        }
        let cluster = tree.find(noise_bits(seed, purpose, turn));
        given[cluster] += 1;
        if given[cluster] == limits[cluster] {
            tree.remove(cluster);
        }
    }
    given
}

/// Sums of shares in a binary indexed tree: finds the one in which a number falls, and removes one, in the logarithm of
/// how many there are.
struct Tree {
    sums: Vec<u128>,
    shares: Vec<u64>,
    total: u128,
}

impl Tree {
    fn new(shares: &[u64], limits: &[u64]) -> Tree {
        // 40 bits for each share leave room for 2^24 clusters in the 64 bits of a draw.
        let room = |(&share, &limit): (&u64, &u64)| if limit > 0 && share > 0 { (share >> 22).max(1) } else { 0 };
        let shares: Vec<u64> = shares.iter().zip(limits).map(room).collect();
        let mut sums = vec![0; shares.len() + 1];
        for (at, &share) in shares.iter().enumerate() {
            sums[at + 1] += u128::from(share);
            let parent = (at + 1) + lowest_bit(at + 1);
            if parent < sums.len() {
                sums[parent] += sums[at + 1];
            }
        }
        let total = shares.iter().copied().map(u128::from).sum();
        Tree { sums, shares, total }
    }

    /// The place in which `bits / 2^64` of the total falls.
    fn find(&self, bits: u64) -> usize {
        let mut left = (u128::from(bits) * self.total) >> 64;
        let (mut at, mut step) = (0, self.sums.len().next_power_of_two());
        while step > 0 {
            if at + step < self.sums.len() && self.sums[at + step] <= left {
                at += step;
                left -= self.sums[at];
            }
            step /= 2;
        }
        at
    }

    fn remove(&mut self, place: usize) {
        let share = u128::from(std::mem::take(&mut self.shares[place]));
        self.total -= share;
        let mut at = place + 1;
        while at < self.sums.len() {
            self.sums[at] -= share;
            at += lowest_bit(at);
        }
    }
}

fn lowest_bit(number: usize) -> usize {
    number & number.wrapping_neg()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers below `end`, never the same.
    fn numbers(seed: u64) -> impl FnMut(u64) -> u64 {
        let mut turn = 0;
        move |end| {
            turn += 1;
            noise_bits(seed, "test", turn) % end
        }
    }

    /// The divisor method as it is told: one by one.
    fn one_by_one(shares: &[f64], limits: &[u64], total: u64) -> Vec<u64> {
        let weights = whole(shares);
        let mut given = vec![0; shares.len()];
        for _ in 0..total {
            let open = (0..shares.len()).filter(|&at| given[at] < limits[at] && weights[at] > 0);
            let next = open.min_by(|&a, &b| behind((weights[a], given[a]), (weights[b], given[b])).then(a.cmp(&b)));
            let Some(next) = next else { break };
            given[next] += 1;
        }
        given
    }

    #[test]
    fn the_short_way_gives_what_one_by_one_gives() {
        let mut next = numbers(1);
        for _ in 0..400 {
            let count = 1 + next(12) as usize;
            let kind = next(3);
            let mut share = || match kind {
                0 => next(4) as f64,
                1 => 1.0,
                _ => (next(1000) as f64).powi(9) * 1e-30,
            };
            let shares: Vec<f64> = (0..count).map(|_| share()).collect();
            let limits: Vec<u64> = (0..count).map(|_| next(40)).collect();
            let total = next(300);
            let expected = one_by_one(&shares, &limits, total);
            assert_eq!(exact(&shares, &limits, total), expected, "{shares:?} {limits:?} {total}");
        }
    }

    #[test]
    fn exactly_as_many_are_placed_or_everything_there_is() {
        let mut next = numbers(2);
        for total in [0, 1, 999, 1_010_500, u64::from(u32::MAX) * 7] {
            let shares: Vec<f64> = (0..500).map(|_| 0.5 + next(1000) as f64).collect();
            let limits: Vec<u64> = (0..500).map(|_| next(20_000)).collect();
            let room: u64 = limits.iter().sum();
            let given = exact(&shares, &limits, total);
            assert_eq!(given.iter().sum::<u64>(), total.min(room));
            assert!(given.iter().zip(&limits).all(|(given, limit)| given <= limit));
        }
        assert_eq!(exact(&[1.0, 0.0], &[3, 9], 5), [3, 0]);
        assert_eq!(exact(&[], &[], 5), [0; 0]);
        assert_eq!(exact(&[1e-300, 1e300], &[5, 5], 7), [2, 5]);
    }

    #[test]
    fn shares_that_cannot_be_filled_go_to_the_others_in_proportion() {
        assert_eq!(exact(&[1.0, 1.0, 2.0], &[100, 100, 100], 40), [10, 10, 20]);
        assert_eq!(exact(&[1.0, 1.0, 2.0], &[100, 4, 100], 40), [12, 4, 24]);
        assert_eq!(exact(&[1.0; 3], &[9; 3], 5), [2, 2, 1]);
    }

    #[test]
    fn more_documents_never_make_a_number_smaller() {
        let shares = [6.0, 6.0, 2.0, 0.3, 5.5];
        let mut before = vec![0; 5];
        for total in 0..200 {
            let given = exact(&shares, &[50; 5], total);
            assert!(given.iter().zip(&before).all(|(now, then)| now >= then), "{total}");
            before = given;
        }
    }

    #[test]
    fn drawn_numbers_follow_the_shares_and_stop_at_the_limits() {
        let (shares, limits) = ([1.0, 2.0, 0.0, 5.0, 8.0], [u64::MAX, 1000, 10, u64::MAX, u64::MAX]);
        let given = drawn(&shares, &limits, 80_000, 3, "test");
        assert_eq!((given.iter().sum::<u64>(), given[1], given[2]), (80_000, 1000, 0));
        for (place, share) in [(0, 1.0), (3, 5.0), (4, 8.0)] {
            let p = share / 14.0;
            // The draws before cluster 1 is full are few, and are all that differs from a draw among the three.
            let off = (given[place] as f64 - 79_000.0 * p) / (79_000.0 * p * (1.0 - p)).sqrt();
            assert!(off.abs() < 4.5, "{place}: {} of 79000, {off} sigma", given[place]);
        }
        assert_eq!(drawn(&[1.0, 1.0], &[2, 0], 9, 0, "test"), [2, 0]);
    }
}

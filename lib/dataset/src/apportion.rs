//! Whole numbers in proportion to whole numbers.

use pipe::apportion::weighted;

/// Shares of a whole number, in proportion to whole numbers, as [`pipe::apportion`] gives them out: where the exact
/// shares are whole numbers it gives these; and nobody's share of a larger whole is smaller, so that larger samples
/// contain smaller ones.
pub fn apportion(whole: u64, weights: &[u64]) -> Vec<u64> {
    weighted(weights, &vec![u64::MAX; weights.len()], whole)
}

/// The largest whole whose shares are all there.
pub fn largest(there: &[u64], weights: &[u64]) -> u64 {
    let (mut low, mut high) = (0, there.iter().sum::<u64>() + 1);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        let fits = apportion(middle, weights).iter().zip(there).all(|(share, there)| share <= there);
        if fits { low = middle } else { high = middle }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_exact_where_they_are_whole_and_never_shrink() {
        assert_eq!(apportion(10, &[5, 3, 2]), [5, 3, 2]);
        let mut before = vec![0; 3];
        for whole in 0..200 {
            let shares = apportion(whole, &[7, 5, 1]);
            assert_eq!(shares.iter().sum::<u64>(), whole);
            assert!(shares.iter().zip(&before).all(|(share, before)| share >= before), "{whole}");
            before = shares;
        }
    }

    /// One by one, to whom most is due by w / (2a + 1), of equals to the first.
    fn one_by_one(whole: u64, weights: &[u64]) -> Vec<u64> {
        let mut shares = vec![0_u64; weights.len()];
        for _ in 0..whole {
            let due = |&a: &usize, &b: &usize| {
                let due = |mine: usize, other: usize| u128::from(weights[mine]) * (2 * u128::from(shares[other]) + 1);
                due(a, b).cmp(&due(b, a)).then(b.cmp(&a))
            };
            let first = (0..weights.len()).max_by(due).expect("there are weights");
            shares[first] += 1;
        }
        shares
    }

    #[test]
    fn shares_are_those_of_one_by_one() {
        let huge = u64::MAX / 4;
        for weights in
            [&[7, 5, 1][..], &[1, 1, 1, 1], &[0, 3, 0, 2], &[huge, huge - 1, 1], &[1 << 53, (1 << 53) + 1], &[9]]
        {
            for whole in 0..120 {
                assert_eq!(apportion(whole, weights), one_by_one(whole, weights), "{whole} {weights:?}");
            }
        }
        assert_eq!(apportion(u64::MAX, &[3]), [u64::MAX]);
        assert_eq!(apportion(1 << 60, &[3, 1]), [3 << 58, 1 << 58]);
    }

    #[test]
    fn the_largest_whole_is_met_by_all() {
        assert_eq!(largest(&[10, 3], &[1, 1]), 7, "4 and 3: of equals, the first");
        assert_eq!(largest(&[0, 3], &[1, 1]), 0);
    }
}

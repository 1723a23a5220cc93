//! The landmarks: a sample of the rows, by the seed and their numbers alone.

use pipe::key::noise_bits;
use std::collections::BTreeMap;

/// The rows with the smallest keys, as many as are wanted.
pub struct Sample {
    seed: u64,
    wanted: usize,
    rows: BTreeMap<(u64, u64), Vec<f32>>,
}

impl Sample {
    /// None yet.
    pub fn new(seed: u64, wanted: usize) -> Sample {
        Sample { seed, wanted, rows: BTreeMap::new() }
    }

    /// Sees a row with its number.
    pub fn see(&mut self, number: u64, row: &[f32]) {
        let key = (noise_bits(self.seed, "vectors-map", number), number);
        if self.rows.len() < self.wanted {
            self.rows.insert(key, row.to_vec());
        } else if let Some(last) = self.rows.last_entry()
            && key < *last.key()
        {
            last.remove();
            self.rows.insert(key, row.to_vec());
        }
    }

    /// The values of the sample, row by row, in the order of their numbers.
    pub fn values(self) -> Vec<f32> {
        let mut rows: Vec<_> = self.rows.into_iter().map(|((_, number), row)| (number, row)).collect();
        rows.sort_unstable_by_key(|&(number, _)| number);
        rows.into_iter().flat_map(|(_, row)| row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_larger_sample_contains_a_smaller_one_and_is_as_large_as_wanted() {
        let taken = |wanted: usize, seed: u64| {
            let mut sample = Sample::new(seed, wanted);
            (0..1000).for_each(|number| sample.see(number, &[number as f32]));
            sample.values()
        };
        let (few, many) = (taken(20, 1), taken(100, 1));
        assert_eq!((few.len(), many.len(), taken(5000, 1).len()), (20, 100, 1000));
        assert!(few.is_sorted_by(|a, b| a < b) && few.iter().all(|row| many.contains(row)));
        assert_ne!(few, taken(20, 2));
    }
}

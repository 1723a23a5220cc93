//! Documents of a cluster that are drawn at random: those with the smallest keys.
//!
//! Keys are hashes, so that the smallest are a sample of the different documents, each as likely as any other; and the
//! smallest of all are among the smallest of each part, so that samples of parts make up that of the whole, and how
//! often each of its documents comes is known exactly.

use crate::decimal::Decimal;
use std::collections::BTreeMap;

/// A document that was drawn.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Drawn {
    /// From its centroid.
    pub distance: Decimal,
    /// Its beginning.
    pub text: String,
    /// How many rows it has.
    pub rows: u64,
}

/// Those that are drawn, by key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Random {
    /// How many are.
    count: usize,
    /// Them.
    pub drawn: BTreeMap<u64, Drawn>,
}

impl Random {
    /// None yet, and so many at the most.
    pub fn new(count: usize) -> Random {
        Random { count, drawn: BTreeMap::new() }
    }

    /// Takes a document that has so many rows. Where a key comes with several texts, the nearest one is shown, then the
    /// smallest.
    pub fn add(&mut self, key: u64, distance: Decimal, text: &str, rows: u64) -> Option<()> {
        if let Some(known) = self.drawn.get_mut(&key) {
            let rows = known.rows.checked_add(rows)?;
            if (distance, text) < (known.distance, &*known.text) {
                (known.distance, known.text) = (distance, text.to_string());
            }
            known.rows = rows;
            return Some(());
        }
        let full = self.drawn.len() == self.count;
        if full && self.drawn.last_key_value().is_none_or(|(&last, _)| last < key) {
            return Some(());
        }
        self.drawn.insert(key, Drawn { distance, text: text.to_string(), rows });
        if full {
            self.drawn.pop_last();
        }
        Some(())
    }

    /// Takes what was drawn of other rows.
    pub fn merge(&mut self, other: Random) -> Option<()> {
        other.drawn.into_iter().try_for_each(|(key, one)| self.add(key, one.distance, &one.text, one.rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_in_any_order_draw_what_the_whole_draws() {
        let number = |tenths: u64| Decimal::from(tenths).over(10);
        // Keys come several times, some with another text.
        let rows: Vec<(u64, u64, String)> =
            (0..200).map(|i: u64| (i * i % 97, i % 7, format!("text {}", i % 3))).collect();
        let draw = |rows: &[(u64, u64, String)]| {
            let mut random = Random::new(9);
            rows.iter().for_each(|(key, tenths, text)| random.add(*key, number(*tenths), text, 1).unwrap());
            random
        };
        let whole = draw(&rows);
        let smallest: std::collections::BTreeSet<u64> = rows.iter().map(|row| row.0).collect();
        assert!(whole.drawn.keys().eq(smallest.iter().take(9)));
        for (key, one) in &whole.drawn {
            let same: Vec<_> = rows.iter().filter(|row| row.0 == *key).collect();
            let best = same.iter().map(|(_, tenths, text)| (number(*tenths), text)).min().unwrap();
            assert_eq!((one.rows, one.distance, &one.text), (same.len() as u64, best.0, best.1));
        }
        for cut in [0, 1, 50, 199] {
            let mut sum = draw(&rows[cut..]);
            sum.merge(draw(&rows[..cut])).unwrap();
            assert_eq!(sum, whole);
        }
        let mut none = Random::new(0);
        none.add(1, number(1), "x", 1).unwrap();
        assert!(none.drawn.is_empty());
    }
}

//! The documents nearest to a centroid and farthest from it.

use crate::decimal::Decimal;
use std::cmp::Ordering;

/// A document that is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// From its centroid.
    pub distance: Decimal,
    /// Of the document.
    pub key: u64,
    /// Its beginning.
    pub text: String,
}

/// Which end of the distances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The smallest first.
    Nearest,
    /// The largest first.
    Farthest,
}

/// The best of one end, best first. Ties go to the smaller key, then to the smaller text, so that the order of arrival
/// says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examples {
    end: End,
    /// How many are kept.
    count: usize,
    /// Those that are.
    pub list: Vec<Example>,
}

impl Examples {
    /// None yet, and so many at the most.
    pub fn new(end: End, count: usize) -> Examples {
        Examples { end, count, list: Vec::new() }
    }

    /// Keeps a document if it is among the best.
    pub fn add(&mut self, distance: Decimal, key: u64, text: &str) {
        let place = self.list.partition_point(|kept| self.order(kept, distance, key, text) != Ordering::Greater);
        if place < self.count {
            self.list.truncate(self.count - 1);
            self.list.insert(place, Example { distance, key, text: text.to_string() });
        }
    }

    fn order(&self, kept: &Example, distance: Decimal, key: u64, text: &str) -> Ordering {
        let by_distance = match self.end {
            End::Nearest => kept.distance.cmp(&distance),
            End::Farthest => distance.cmp(&kept.distance),
        };
        by_distance.then(kept.key.cmp(&key)).then_with(|| kept.text.as_str().cmp(text))
    }
}

/// The first characters of a text. Lone surrogates, which text cannot hold, are shown as U+FFFD.
pub fn beginning(bytes: &[u8], chars: usize) -> impl Iterator<Item = char> {
    let chunks = bytes.utf8_chunks().flat_map(|chunk| {
        // A surrogate comes as three chunks of one byte, of which the first is this one.
        let replaced = (chunk.invalid() == [0xed]).then_some(char::REPLACEMENT_CHARACTER);
        chunk.valid().chars().chain(replaced)
    });
    chunks.take(chars)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_are_kept_whatever_the_order() {
        let number = |text: &str| Decimal::parse(text.as_bytes()).unwrap();
        let all =
            [("0.2", 5, "b"), ("0.2", 5, "a"), ("0.1", 9, "c"), ("0.3", 1, "d"), ("0.3", 0, "e"), ("0.2", 4, "f")];
        for turn in 0..all.len() {
            let (mut nearest, mut farthest) = (Examples::new(End::Nearest, 4), Examples::new(End::Farthest, 3));
            for &(distance, key, text) in all.iter().cycle().skip(turn).take(all.len()) {
                nearest.add(number(distance), key, text);
                farthest.add(number(distance), key, text);
            }
            let texts = |examples: &Examples| examples.list.iter().map(|kept| kept.text.as_str()).collect::<String>();
            assert_eq!((texts(&nearest), texts(&farthest)), ("cfab".to_string(), "edf".to_string()));
        }
        let mut none = Examples::new(End::Nearest, 0);
        none.add(number("1"), 1, "x");
        assert!(none.list.is_empty());
    }

    #[test]
    fn a_beginning_is_whole_characters() {
        let text = |bytes: &[u8], chars| beginning(bytes, chars).collect::<String>();
        assert_eq!(text("aé€😀z".as_bytes(), 4), "aé€😀");
        assert_eq!(text("aé".as_bytes(), 9), "aé");
        assert_eq!(text("a".as_bytes(), 0), "");
        assert_eq!(text(b"a\xed\xa0\x80\xed\xb0\x80b", 4), "a\u{fffd}\u{fffd}b");
    }
}

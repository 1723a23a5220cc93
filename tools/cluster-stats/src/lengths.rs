//! How long the documents of a cluster are.

use crate::decimal::Decimal;
use crate::histogram::Histogram;

/// What to say of lengths that nothing can count any more.
const TOO_MUCH: &str = "the lengths of the cluster add up to more than 64 bits can count";

/// The lengths of some documents: whole numbers. Memory: 16 bytes for each cell of the histogram that is hit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lengths {
    /// All together.
    pub total: u64,
    /// How many are how long.
    pub histogram: Histogram,
}

impl Lengths {
    /// Takes the length of a document.
    pub fn add(&mut self, length: u64) -> Result<(), String> {
        self.total = self.total.checked_add(length).ok_or(TOO_MUCH)?;
        self.histogram.add(length as f32);
        Ok(())
    }

    /// Takes the lengths of other documents.
    pub fn merge(&mut self, other: Lengths) -> Result<(), String> {
        self.total = self.total.checked_add(other.total).ok_or(TOO_MUCH)?;
        Ok(self.histogram.merge(other.histogram).ok_or(TOO_MUCH)?)
    }

    /// The mean; `None` without documents.
    pub fn average(&self) -> Option<Decimal> {
        let count = self.histogram.total();
        (count > 0).then(|| Decimal::from(self.total).over(count))
    }

    /// The quantile as near as the histogram tells it, rounded down: exact below 128. `None` without documents.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        self.histogram.quantile(q).map(f64::floor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_lengths_are_exact_and_long_ones_within_their_bound() {
        for length in (0..1000).chain([12_345, 1 << 30, u64::MAX / 3]) {
            let mut lengths = Lengths::default();
            lengths.add(length).unwrap();
            let (found, exact) = (lengths.quantile(0.5).unwrap(), length as f64);
            let bound = if length < 128 { 0.0 } else { exact / 127.9 };
            assert!((found - exact).abs() <= bound, "{found} for {length}");
            assert_eq!(lengths.average().unwrap().to_string(), length.to_string());
        }
    }

    #[test]
    fn parts_are_the_whole() {
        let lengths = |range: std::ops::Range<u64>| {
            let mut lengths = Lengths::default();
            range.for_each(|length| lengths.add(length * length % 1009).unwrap());
            lengths
        };
        let mut sum = lengths(0..400);
        sum.merge(lengths(400..1000)).unwrap();
        assert_eq!(sum, lengths(0..1000));
        assert_eq!(sum.histogram.total(), 1000);
        let mut most = Lengths { total: u64::MAX, ..Lengths::default() };
        assert_eq!(most.clone().add(1), Err(TOO_MUCH.to_string()));
        assert_eq!(most.merge(sum), Err(TOO_MUCH.to_string()));
        assert_eq!((Lengths::default().average(), Lengths::default().quantile(0.5)), (None, None));
    }
}

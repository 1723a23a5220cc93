//! How many distances or lengths are how large: counts on a fixed grid, which add, and quantiles of them.
//!
//! # Stability
//!
//! A cell is what of a 32-bit float is left without its last 17 bits: sign, exponent and 6 bits of fraction, so 64
//! cells from one power of two to the next. Its number is those bits as a whole number, negated for numbers below 0.

/// Bits of a 32-bit float that are not looked at.
const BITS: u32 = 17;

/// Counts by cell, in ascending order of the cells: 16 bytes for each that has any.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Histogram {
    /// The cell, the count.
    pub cells: Vec<(i16, u64)>,
}

impl Histogram {
    /// Counts one number.
    pub fn add(&mut self, number: f32) {
        let bits = number.to_bits();
        let cell = ((bits & i32::MAX as u32) >> BITS) as i16;
        self.add_cell(if bits >> 31 == 1 { -cell } else { cell }, 1);
    }

    /// Counts several in one cell. `None`: more than 64 bits hold.
    pub fn add_cell(&mut self, cell: i16, count: u64) -> Option<()> {
        match self.cells.binary_search_by_key(&cell, |&(cell, _)| cell) {
            Ok(place) => self.cells[place].1 = self.cells[place].1.checked_add(count)?,
            Err(place) => self.cells.insert(place, (cell, count)),
        }
        Some(())
    }

    /// Counts what another one has counted. `None`: more than 64 bits hold.
    pub fn merge(&mut self, other: Histogram) -> Option<()> {
        other.cells.into_iter().try_for_each(|(cell, count)| self.add_cell(cell, count))
    }

    /// How many were counted.
    pub fn total(&self) -> u64 {
        self.cells.iter().map(|&(_, count)| count).sum()
    }

    /// The middle of the cell in which the `ceil(q n)`-th smallest of the `n` numbers lies, but at least the first;
    /// `None` without any.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let total = self.total();
        let rank = ((q * total as f64).ceil() as u64).clamp(1, total.max(1));
        let mut below = 0;
        let found = self.cells.iter().find(|&&(_, count)| {
            below += count;
            below >= rank
        });
        found.map(|&(cell, _)| middle(cell))
    }
}

/// The middle of a cell; of the one around 0, in which there is nothing else, 0.
fn middle(cell: i16) -> f64 {
    let bits = u32::from(cell.unsigned_abs()) << BITS | 1 << (BITS - 1);
    let size = if cell == 0 { 0.0 } else { f64::from(f32::from_bits(bits)) };
    if cell < 0 { -size } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_their_bound() {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as f64 / (1_u64 << 31) as f64
        };
        for count in [1, 2, 3, 10, 1000] {
            let mut values: Vec<f64> = (0..count).map(|_| (next() - 0.1) * 10_f64.powf(next() * 12.0 - 9.0)).collect();
            let mut histogram = Histogram::default();
            values.iter().for_each(|&value| histogram.add(value as f32));
            values.sort_by(f64::total_cmp);
            for q in [0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.999, 1.0] {
                let rank = ((q * count as f64).ceil() as usize).max(1);
                let (exact, found) = (values[rank - 1], histogram.quantile(q).unwrap());
                assert!((found - exact).abs() <= exact.abs() / 127.99, "{q} of {count}: {found} for {exact}");
            }
        }
        assert_eq!(Histogram::default().quantile(0.5), None);
    }

    #[test]
    fn cells_are_frozen() {
        let mut histogram = Histogram::default();
        for number in [0.0, 1.0, -1.0, 0.18580435, 1e-18, 0.0] {
            histogram.add(number);
        }
        assert_eq!(histogram.cells, [(-8128, 1), (0, 2), (4297, 1), (7967, 1), (8128, 1)]);
        assert_eq!(histogram.quantile(0.5), Some(0.0));
    }
}

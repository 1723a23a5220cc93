//! Rows as they are kept: those that came as 16-bit floats take 2 bytes a value.

use compute::kmeans::{Block, BlockView};
use half::f16;
use half::slice::HalfFloatSliceExt;

/// A block that is kept.
pub struct Kept {
    /// How many rows of a pass come before.
    pub first: usize,
    /// The place of each row in the input.
    pub numbers: Vec<u64>,
    /// Their weights, in units of 2^-20.
    pub weights: Vec<u64>,
    /// Their values.
    pub values: Values,
}

/// Values, one row after the other.
pub enum Values {
    /// As they are.
    Single(Vec<f32>),
    /// Where nothing is lost by it.
    Half(Vec<f16>),
}

impl Values {
    /// Takes values in the smallest form that loses nothing.
    fn of(values: &[f32]) -> Values {
        let exact = |value: f32| f32::from(f16::from_f32(value)).to_bits() == value.to_bits();
        // Real 32-bit values are known within a few.
        if !values.iter().all(|&value| exact(value)) {
            return Values::Single(values.to_vec());
        }
        let mut half = vec![f16::ZERO; values.len()];
        half.convert_from_f32_slice(values);
        Values::Half(half)
    }

    fn bytes(&self) -> u64 {
        match self {
            Values::Single(values) => 4 * values.len() as u64,
            Values::Half(values) => 2 * values.len() as u64,
        }
    }
}

impl Kept {
    /// Takes the rows out of a block, before which so many of the pass come.
    pub fn take(block: &mut Block, first: usize) -> Kept {
        let values = Values::of(&block.values);
        block.values.clear();
        let Block { numbers, weights, .. } = block;
        Kept { first, numbers: std::mem::take(numbers), weights: std::mem::take(weights), values }
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.numbers.len()
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> u64 {
        self.values.bytes() + 16 * self.rows() as u64
    }

    /// The rows, for which `widened` holds what was not kept as 32-bit floats.
    pub fn view<'a>(&'a self, widened: &'a mut Vec<f32>) -> BlockView<'a> {
        let values = match &self.values {
            Values::Single(values) => values,
            Values::Half(half) => {
                widened.resize(half.len(), 0.0);
                half.convert_to_f32_slice(widened);
                widened
            }
        };
        BlockView { first: self.first, numbers: &self.numbers, weights: &self.weights, values }
    }
}

//! Some rows: to be filled, to be looked at, to be kept.

use compute::kmeans::GROUP;
use half::f16;
use half::slice::HalfFloatSliceExt;
use std::ops::Range;

/// Bytes of the values of a block, about.
const BLOCK: usize = 1 << 20;

/// Rows of a block: where rows are small, as many as go over the centroids together, or a multiple of that.
pub fn block_rows(dim: usize) -> usize {
    let rows = (BLOCK / (4 * dim)).max(1);
    if rows < GROUP { rows } else { rows / GROUP * GROUP }
}

/// Some rows, in order of their numbers.
#[derive(Debug, Clone, Default)]
pub struct Block {
    /// The place of each in the input, counted from 0 over all rows, those that are left out included.
    pub numbers: Vec<u64>,
    /// Their weights, in units of 2^-20.
    pub weights: Vec<u64>,
    /// Their values, one row after the other.
    pub values: Vec<f32>,
}

impl Block {
    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.numbers.len()
    }

    /// Forgets all rows.
    pub fn clear(&mut self) {
        self.numbers.clear();
        self.weights.clear();
        self.values.clear();
    }

    /// Adds the rows of another.
    pub fn append(&mut self, mut other: Block) {
        self.numbers.append(&mut other.numbers);
        self.weights.append(&mut other.weights);
        self.values.append(&mut other.values);
    }

    /// All of it, to look at; so many rows of the pass come before.
    pub fn view(&self, first: usize) -> View<'_> {
        View { first, numbers: &self.numbers, weights: &self.weights, values: &self.values }
    }
}

/// A look at some rows: the fields of [`Block`].
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// How many rows of the pass come before.
    pub first: usize,
    /// The place of each in the input.
    pub numbers: &'a [u64],
    /// Their weights.
    pub weights: &'a [u64],
    /// Their values.
    pub values: &'a [f32],
}

impl<'a> View<'a> {
    /// Some of the rows.
    pub fn part(self, rows: Range<usize>) -> View<'a> {
        let dim = self.values.len() / self.numbers.len().max(1);
        View {
            first: self.first + rows.start,
            numbers: &self.numbers[rows.clone()],
            weights: &self.weights[rows.clone()],
            values: &self.values[rows.start * dim..rows.end * dim],
        }
    }

    /// A copy.
    pub fn to_block(self) -> Block {
        Block { numbers: self.numbers.to_vec(), weights: self.weights.to_vec(), values: self.values.to_vec() }
    }

    /// Each row: its number, its weight, its values.
    pub fn rows(self) -> impl Iterator<Item = (u64, u64, &'a [f32])> {
        let dim = self.values.len() / self.numbers.len().max(1);
        let known = self.numbers.iter().copied().zip(self.weights.iter().copied());
        known.zip(self.values.chunks_exact(dim.max(1))).map(|((number, weight), row)| (number, weight, row))
    }
}

/// Values as they are kept: rows that came as 16-bit floats take 2 bytes a value.
pub enum Values {
    /// As they are.
    Single(Vec<f32>),
    /// Where nothing is lost by it.
    Half(Vec<f16>),
}

impl Values {
    /// Takes values in the smallest form that loses nothing.
    pub fn of(values: &[f32]) -> Values {
        let exact = |value: f32| f32::from(f16::from_f32(value)).to_bits() == value.to_bits();
        // Real 32-bit values are known within a few.
        if !values.iter().all(|&value| exact(value)) {
            return Values::Single(values.to_vec());
        }
        let mut half = vec![f16::ZERO; values.len()];
        half.convert_from_f32_slice(values);
        Values::Half(half)
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> u64 {
        match self {
            Values::Single(values) => 4 * values.len() as u64,
            Values::Half(values) => 2 * values.len() as u64,
        }
    }
}

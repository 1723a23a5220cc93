//! Blocks of rows, on their way to the centroids, and rows that have been there.

use super::{GROUP, Nearest};
use std::ops::Range;

/// Bytes of the values of a block, about.
const BLOCK: usize = 1 << 20;

/// Rows of a block of about 1 MB: where rows are small, as many as go over the centroids together, or a multiple of
/// that.
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

    /// Copies rows to the end.
    pub fn extend(&mut self, rows: BlockView) {
        self.numbers.extend_from_slice(rows.numbers);
        self.weights.extend_from_slice(rows.weights);
        self.values.extend_from_slice(rows.values);
    }

    /// Takes the first rows away.
    ///
    /// # Panics
    /// Where there are fewer.
    pub fn drop_first(&mut self, rows: usize, dim: usize) {
        self.numbers.drain(..rows);
        self.weights.drain(..rows);
        self.values.drain(..rows * dim);
    }

    /// All of it, as the rows of a pass before which so many others come.
    pub fn view(&self, first: usize) -> BlockView<'_> {
        BlockView { first, numbers: &self.numbers, weights: &self.weights, values: &self.values }
    }
}

/// The rows of a [`Block`], or some of them, to be read.
#[derive(Debug, Clone, Copy)]
pub struct BlockView<'a> {
    /// How many rows of the pass come before.
    pub first: usize,
    /// The place of each in the input.
    pub numbers: &'a [u64],
    /// Their weights, in units of 2^-20.
    pub weights: &'a [u64],
    /// Their values, one row after the other.
    pub values: &'a [f32],
}

impl<'a> BlockView<'a> {
    /// How many rows there are.
    pub fn len(self) -> usize {
        self.numbers.len()
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.numbers.is_empty()
    }

    /// Some of the rows.
    ///
    /// # Panics
    /// Where there are fewer.
    pub fn part(self, rows: Range<usize>) -> BlockView<'a> {
        let dim = self.dim();
        BlockView {
            first: self.first + rows.start,
            numbers: &self.numbers[rows.clone()],
            weights: &self.weights[rows.clone()],
            values: &self.values[rows.start * dim..rows.end * dim],
        }
    }

    /// Each row: its number, its weight, its values.
    pub fn rows(self) -> impl Iterator<Item = (u64, u64, &'a [f32])> {
        let known = self.numbers.iter().copied().zip(self.weights.iter().copied());
        known.zip(self.values.chunks_exact(self.dim().max(1))).map(|((number, weight), row)| (number, weight, row))
    }

    /// Values of a row; 0 where there are no rows.
    pub fn dim(self) -> usize {
        self.values.len() / self.numbers.len().max(1)
    }
}

/// A row that was held against the centroids.
#[derive(Debug, Clone, Copy)]
pub struct Assigned<'a> {
    /// Its place in the input.
    pub number: u64,
    /// Its weight, in units of 2^-20.
    pub weight: u64,
    /// Its values.
    pub row: &'a [f32],
    /// The nearest centroids, nearest first, as many as were asked for.
    pub nearest: &'a [Nearest],
    /// Whether sums could take the row, where it was to be added up. `false`: it is an [`Outlier`](super::Outlier).
    pub summable: bool,
}

//! Vectors in blocks that know their places, with the weights beside them: for tools that say something of every
//! vector.

use crate::weights::Weights;
use compute::kmeans::{Block, WEIGHT_ONE};
use pipe::failure::Failure;
use pipe::vectors::{Place, Rounding, Vectors};
use std::sync::mpsc::{Receiver, Sender, channel};

/// Rows of a block at the most, so that short vectors do not make long texts.
const ROWS_MAX: usize = 1 << 14;

/// A block of vectors as they come, missing and bad ones included. Its memory is used again once it is dropped.
pub struct PlacedBlock {
    /// The vectors, with their numbers over all files.
    pub block: Block,
    /// Rows of the block whose weight is missing, ascending.
    pub unweighted: Vec<usize>,
    /// Where the first of the vectors is.
    pub place: Place,
    /// Bytes of input up to the block's end.
    pub bytes: u64,
    spent: Sender<Block>,
}

impl PlacedBlock {
    /// `FILE: row N`, of the row with this number.
    pub fn place_of(&self, number: u64) -> String {
        self.place.of((number - self.place.row_overall) as usize)
    }

    /// Takes the rows whose weight is missing out of the block, and shows them to `each`: number and values.
    pub fn take_unweighted(&mut self, dim: usize, mut each: impl FnMut(u64, &[f32])) {
        let mut left_out = std::mem::take(&mut self.unweighted).into_iter().peekable();
        let Block { numbers, weights, values } = &mut self.block;
        let mut kept = 0;
        for row in 0..numbers.len() {
            if left_out.next_if_eq(&row).is_some() {
                each(numbers[row], &values[row * dim..][..dim]);
                continue;
            }
            if kept != row {
                (numbers[kept], weights[kept]) = (numbers[row], weights[row]);
                values.copy_within(row * dim..(row + 1) * dim, kept * dim);
            }
            kept += 1;
        }
        numbers.truncate(kept);
        weights.truncate(kept);
        values.truncate(kept * dim);
    }
}

impl Drop for PlacedBlock {
    fn drop(&mut self) {
        // Nobody takes memory back once all is read.
        let _ = self.spent.send(std::mem::take(&mut self.block));
    }
}

/// Reads blocks, and the weights beside them.
pub struct Blocks {
    vectors: Vectors,
    weights: Option<Weights>,
    read: Vec<Option<u64>>,
    rows_max: usize,
}

impl Blocks {
    /// Of about so many values a block.
    pub fn new(vectors: Vectors, weights: Option<Weights>, dim: usize, values: usize) -> Blocks {
        Blocks { vectors, weights, read: Vec::new(), rows_max: (values / dim).clamp(1, ROWS_MAX) }
    }

    /// Half the rows of a block: of two pieces on a GPU one is copied while the other is computed.
    pub fn piece_rows(&self) -> usize {
        self.rows_max.div_ceil(2)
    }

    /// Whether values are rounded, as far as they are read.
    pub fn rounding(&self) -> Rounding {
        self.vectors.rounding()
    }

    /// Size of everything, where it is known.
    pub fn bytes_total(&self) -> Option<u64> {
        self.vectors.bytes_total()
    }

    /// The blocks, one a call. A call fails where vectors or weights cannot be read, or are not as many.
    pub fn dealt(mut self) -> impl FnMut() -> Option<Result<PlacedBlock, Failure>> + Send + 'static {
        let (spent, unused) = channel();
        move || self.next(&spent, &unused).transpose()
    }

    fn next(&mut self, spent: &Sender<Block>, unused: &Receiver<Block>) -> Result<Option<PlacedBlock>, Failure> {
        let mut block = unused.try_recv().unwrap_or_default();
        let count = self.vectors.next(&mut block.values, self.rows_max)?;
        if count == 0 {
            let rows = self.vectors.rows_overall();
            return self.weights.take().map_or(Ok(()), |weights| weights.end(rows)).map(|()| None);
        }
        let (place, mut unweighted) = (self.vectors.last(), Vec::new());
        block.numbers.clear();
        block.numbers.extend((place.row_overall..).take(count));
        block.weights.clear();
        match &mut self.weights {
            None => block.weights.resize(count, WEIGHT_ONE),
            Some(column) => {
                column.pass_to(place.row_overall)?;
                column.next(count, &mut self.read)?;
                unweighted.extend((0..count).filter(|&row| self.read[row].is_none()));
                block.weights.extend(self.read.iter().map(|weight| weight.unwrap_or(0)));
            }
        }
        Ok(Some(PlacedBlock { block, unweighted, place, bytes: self.vectors.bytes(), spent: spent.clone() }))
    }
}

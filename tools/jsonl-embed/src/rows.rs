//! What a thread does with documents: a vector for each.

use crate::embedding::{Embedding, Long, Vectors};
use compute::backend::Backend;
use pipe::lines::Worker;
use pipe::record::Reader;
use std::sync::Arc;

/// Makes the rows of a batch.
pub struct VectorRows<B: Backend> {
    embedding: Arc<Embedding<B>>,
    long: Long,
    reader: Reader,
    vectors: Vectors<B>,
}

/// The rows of a batch.
pub struct Rows {
    /// Vectors, one after the other.
    pub values: Vec<f32>,
    /// Texts that were cut.
    pub cut: u64,
    /// Tokens that went in.
    pub tokens: u64,
}

impl<B: Backend> VectorRows<B> {
    /// No rows yet.
    pub fn new(embedding: Arc<Embedding<B>>, long: Long, reader: Reader) -> VectorRows<B> {
        VectorRows { vectors: Vectors::new(&embedding), embedding, long, reader }
    }
}

impl<B: Backend> Worker for VectorRows<B> {
    type Out = Rows;

    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        let text = self.reader.text(line)?;
        self.vectors.push(&self.embedding, self.long, text)
    }

    fn missing(&mut self) {
        self.vectors.push_missing(&self.embedding);
    }

    fn take(&mut self) -> Rows {
        self.vectors.finish(&self.embedding);
        let vectors = &mut self.vectors;
        Rows {
            values: std::mem::take(&mut vectors.values),
            cut: std::mem::take(&mut vectors.cut),
            tokens: std::mem::take(&mut vectors.tokens),
        }
    }
}

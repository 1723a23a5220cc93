//! What an embedding asks of whatever computes it: one method, at the height of a whole batch.

use crate::encoder::{Encoder, Scratch};

/// A transformer encoder on some device, weights and all. Threads share it; each brings its own memory.
pub trait Backend: Send + Sync + 'static {
    /// What a thread keeps from call to call.
    type Memory: Default + Send;

    /// The final hidden states of the sequences that stand back to back in `ids`, which have these `lengths`: one row
    /// of the model's hidden size for each token, 32-bit floats.
    ///
    /// A row's bits depend on its own sequence alone: not on the other sequences, their order, the thread or the
    /// memory.
    ///
    /// # Panics
    /// Where `lengths` do not sum up to the number of `ids`, an id is beyond the vocabulary, or a sequence beyond the
    /// position embedding.
    fn hidden_states<'a>(&self, ids: &[u32], lengths: &[usize], memory: &'a mut Self::Memory) -> &'a [f32];
}

/// The CPU: the reference.
impl Backend for Encoder {
    type Memory = Scratch;

    fn hidden_states<'a>(&self, ids: &[u32], lengths: &[usize], memory: &'a mut Scratch) -> &'a [f32] {
        self.forward(ids, lengths, memory)
    }
}

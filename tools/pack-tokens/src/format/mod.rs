//! What sequences are written as.

pub mod arrow;
pub mod jsonl;
pub mod mds;
pub mod megatron;
pub mod ndarray;
pub mod npy;
pub mod passages;
pub mod pickle;

use crate::packing::Sequence;
use pipe::failure::Failure;

/// Takes sequences in order.
pub trait Writer {
    /// Takes the next one, which carries this label.
    fn write(&mut self, sequence: &Sequence, domain: &str) -> Result<(), Failure>;

    /// Writes what is left, and makes the whole appear under its name.
    fn finish(self: Box<Self>) -> Result<(), Failure>;
}

/// What the sequences of a run have beside their tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Columns {
    /// Tokens before the sequence.
    pub prev: bool,
    /// Lengths of the documents in it.
    pub lengths: bool,
}

/// The column of the tokens.
pub const TOKENS: &str = "token_ids";
/// The column of the tokens before them.
pub const PREV: &str = "prev_token_ids";
/// The column of the label.
pub const DOMAIN: &str = "domain";
/// The column of the documents' lengths.
pub const LENGTHS: &str = "lengths";

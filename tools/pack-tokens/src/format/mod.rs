//! What sequences are written as. A format is a file here, and a line in [`FORMATS`].

mod arrow;
mod jsonl;
pub mod mds;
mod megatron;
mod npy;

use dataset::packing::{Mode, Shape};
use dataset::writing::Writer;
use pipe::failure::Failure;
use pipe::output::Output;
use pipe::settings::Common;
use pipe::tokens::Dtype;
use std::path::Path;

/// Starts what is written for one part.
pub type Open = fn(&Opening) -> Result<Box<dyn Writer>, Failure>;

/// The formats by the names that --format takes.
pub const FORMATS: &[(&str, Open)] = &[
    ("npy", npy::open),
    ("jsonl", jsonl::open),
    ("arrow", arrow::open),
    ("mds", mds::open),
    ("megatron", megatron::open),
];

/// What a format is told.
pub struct Opening<'a> {
    /// Where it writes; `None`: to standard output.
    pub place: Option<&'a Path>,
    /// The shape of sequences.
    pub shape: &'a Shape,
    /// The type of a token.
    pub dtype: Dtype,
    /// Flags of all tools.
    pub common: &'a Common,
    /// Flags of `mds` alone.
    pub mds: &'a mds::Flags,
}

/// What the sequences of a run have beside their tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Columns {
    /// Tokens before the sequence.
    pub prev: bool,
    /// Lengths of the documents in it.
    pub lengths: bool,
}

impl Opening<'_> {
    fn columns(&self) -> Columns {
        Columns { prev: self.shape.prev > 0, lengths: self.shape.mode == Mode::BestFit }
    }

    /// The one file, or standard output.
    fn output(&self) -> Result<Output, Failure> {
        self.place.map_or_else(|| Ok(Output::stdout()), Output::create)
    }

    /// The place of several files.
    fn named(&self) -> Result<&Path, Failure> {
        self.place.ok_or_else(|| Failure::usage("--out is needed"))
    }
}

//! What the tools of k-means share but for devices: rows that are gone over, models, partial sums, and the step from
//! one model to the next.

pub mod blocks;
pub mod empties;
pub mod fit;
pub mod flags;
mod kept;
pub mod memory;
pub mod model;
pub mod passes;
pub mod reader;
pub mod rows;
mod spool;
pub mod sums;
pub mod vector;
pub mod weights;

pub use model::Model;

#[cfg(test)]
mod scratch;

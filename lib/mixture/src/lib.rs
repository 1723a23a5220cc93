//! What the tools of Gaussian mixtures share: mixtures and sums in files, and the step from one mixture to the next.

pub mod fit;
pub mod flags;
pub mod model;
pub mod sums;

pub use model::Model;

#[cfg(test)]
mod scratch;

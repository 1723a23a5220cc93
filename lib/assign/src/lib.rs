//! Where rows meet centroids: on the processor, or on GPUs. The only crate that knows both.
//!
//! A program opens its [`Devices`] and begins a [`Pass`] with centroids; each thread has a [`Worker`], which takes
//! blocks of rows and gives every row out again with the centroids that are nearest to it, at once or, from a GPU, a
//! little later. Where rows are to be added up, the pass has their sums at the end. The bytes are the same everywhere:
//! what decides is computed in one stated order, and sums are whole numbers (see [`compute::kmeans`]).
//!
//! A crate of its own, so that tools that read models and sums alone are not built with GPUs.

mod condense;
mod devices;
mod distances;
mod pass;
mod race;
pub mod seeding;
#[cfg(test)]
mod tests;
mod worker;

pub use devices::Devices;
pub use distances::Distances;
pub use pass::{Pass, Previous};
pub use worker::Worker;

//! Numeric kernels behind small interfaces: the CPU is the reference.

mod activation;
mod attention;
pub mod backend;
mod buffer;
mod cpu;
pub mod decoder;
pub mod encoder;
mod head;
pub mod kmeans;
mod lanes;
mod layer;
mod matmul;
pub mod mixture;
mod norm;
mod partial;
pub mod transformer;
mod wide;

#[cfg(test)]
mod reference;

//! Numeric kernels behind small interfaces: the CPU is the reference.

mod activation;
mod attention;
pub mod backend;
mod buffer;
mod cpu;
pub mod encoder;
pub mod kmeans;
mod lanes;
mod matmul;
pub mod mixture;
mod norm;
mod partial;
pub mod transformer;

#[cfg(test)]
mod reference;

//! Numeric kernels behind small interfaces: the CPU is the reference.

pub mod transformer;

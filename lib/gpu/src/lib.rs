//! Numeric kernels on NVIDIA GPUs: what the CPU computes, to the same bits.
//!
//! A crate of its own, so that tools that only read text are not built with it. The kernels are in `lib/kernels`,
//! compiled to PTX that is embedded here; a user needs an NVIDIA driver (550 or newer) and nothing else. Nothing is
//! loaded before a device is asked for.
//!
//! **Never yet run on a GPU.** The kernels are compiled and assembled for every GPU generation from sm_80 on, and the
//! trials that the CPU's k-means has to pass run them in an emulation (`lib/kernels/emulate.h`): that shows that they
//! compute what they should, not that a GPU does.

pub mod device;
#[cfg(test)]
mod emulator;
pub mod flow;
mod kernels;
pub mod kmeans;
mod modules;
pub mod pool;
#[cfg(test)]
mod races;
pub mod resident;
pub mod seeding;
mod table;
#[cfg(test)]
mod tests;

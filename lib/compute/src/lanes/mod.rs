//! A few 32-bit floats side by side, so that a formula is written once for every processor.
//!
//! Every array that meets lanes is a whole number of lanes long and padded with zeros, so no formula has a tail, and a
//! value does not depend on the lane it stands in.
//!
//! Everything that computes with lanes is `#[inline(always)]` down from the function that is compiled for the
//! processor, and hands no arithmetic to a closure: a closure that is called twice stays outside, is compiled without
//! the instructions, and makes a call of each of them (seven times slower when it was tried).

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
pub(crate) mod plain;

/// A vector register. A value exists only where the processor has the instructions of its type: [`Lanes::load`] and
/// [`Lanes::zero`], which make the first one, are unsafe, and all else starts from a value.
pub(crate) trait Lanes: Copy {
    /// Number of floats; divides 16.
    const COUNT: usize;
    /// # Safety
    /// The processor has the instructions.
    unsafe fn zero() -> Self;
    /// # Safety
    /// The processor has the instructions; `from` is readable for `COUNT` floats, of any alignment.
    unsafe fn load(from: *const f32) -> Self;
    /// # Safety
    /// `to` is writable for `COUNT` floats, of any alignment.
    unsafe fn store(self, to: *mut f32);
    /// `value` in every lane; `self` only proves that the instructions are there.
    fn splat(self, value: f32) -> Self;
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    /// `self * factor + term`, rounded once where the processor can.
    fn mul_add(self, factor: Self, term: Self) -> Self;
    fn max(self, other: Self) -> Self;
    fn min(self, other: Self) -> Self;
    /// To the nearest integer, halves to even.
    fn round(self) -> Self;
    /// `self * 2^power` for whole `power` from -126 to 127.
    fn scale(self, power: Self) -> Self;
    /// `1 / self`, relative error below 3e-7, for values from 1e-30 to 1e30.
    fn reciprocal(self) -> Self;
    /// The sum of the lanes, in one order.
    fn sum(self) -> f32;
    /// The largest lane.
    fn largest(self) -> f32;
    /// Bit `i` says whether lane `i` is at least that of `other`; false where either is NaN.
    fn at_least(self, other: Self) -> u32;
}

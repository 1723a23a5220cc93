//! Blocks of 16-bit integers with `vpdpwssd`: two neighbouring `k` at a time, summed exactly in 32-bit integers.
//!
//! The sums of a block are added as floats, so that every kernel has one kind of sums. They must not overflow: the
//! norms of a row and a column, multiplied, stay below 2^31.

use super::avx512bf16;
use super::{AHEAD, GRAIN, Kernel, View};
use crate::buffer::LINE;
use crate::lanes::avx512::Avx512;
use std::arch::x86_64::*;

/// 16-bit integers with AVX512-VNNI.
pub(crate) struct Avx512VnniKernel;

const ROWS: usize = 12;

/// A line is fetched ahead in every so many pairs of `k`.
const EVERY: usize = GRAIN / 2 * LINE / AHEAD;

// SAFETY: AVX-512 and AVX512-VNNI are demanded by the trait's promise.
unsafe impl Kernel for Avx512VnniKernel {
    type Lanes = Avx512;
    type Element = i16;
    const ROWS: usize = ROWS;
    const CHUNK: usize = 384;
    const EXACT: bool = false;

    #[inline(always)]
    unsafe fn block(a: View<i16>, b: *const i16, ahead: *const i16, depth: usize, c: View<f32>, add: bool) {
        // SAFETY: the caller's promise.
        unsafe { block(a, b, ahead, depth, c, add) }
    }

    #[inline(always)]
    unsafe fn store(values: Avx512, to: *mut i16) {
        // SAFETY: the caller's promise.
        unsafe { store(values, to) }
    }

    #[inline(always)]
    unsafe fn pack_transposed(from: View<i16>, rows: usize, width: usize, to: *mut i16) {
        let from = View { start: from.start.cast(), stride: from.stride };
        // SAFETY: the caller's promise; pairs of integers stand as those of bf16.
        unsafe { avx512bf16::pack_transposed(from, rows, width, to.cast()) }
    }
}

/// Sixteen floats rounded to integers.
///
/// # Safety
/// AVX-512 is there and sixteen values are writable.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn store(values: Avx512, to: *mut i16) {
    let rounded = _mm512_cvtsepi32_epi16(_mm512_cvtps_epi32(values.0));
    // SAFETY: the place is the caller's promise.
    unsafe { _mm256_storeu_si256(to.cast(), rounded) }
}

/// # Safety
/// As for [`Kernel::block`].
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn block(a: View<i16>, b: *const i16, ahead: *const i16, depth: usize, c: View<f32>, add: bool) {
    let mut sums = [[_mm512_setzero_si512(); 2]; ROWS];
    // SAFETY: rows, columns and depth are the caller's promise; `k` is even, so pairs are aligned words.
    unsafe {
        let mut thirds: [*const i16; ROWS / 3] = std::array::from_fn(|i| a.at(3 * i, 0).cast_const());
        let mut ahead = ahead;
        for pair in 0..depth / 2 {
            if pair % EVERY == 0 {
                _mm_prefetch::<_MM_HINT_T1>(ahead.cast());
                ahead = ahead.wrapping_byte_add(LINE);
            }
            let line = b.add(pair / 16 * 1024 + pair % 16 * 32);
            let left = _mm512_loadu_si512(line.cast());
            let right = _mm512_loadu_si512(line.add(512).cast());
            for (row, sums) in sums.iter_mut().enumerate() {
                let value = _mm512_set1_epi32(thirds[row / 3].add(row % 3 * a.stride).cast::<i32>().read());
                sums[0] = _mm512_dpwssd_epi32(sums[0], value, left);
                sums[1] = _mm512_dpwssd_epi32(sums[1], value, right);
            }
            thirds = thirds.map(|p| p.add(2));
        }
        for (row, sums) in sums.iter().enumerate() {
            for (half, &sum) in sums.iter().enumerate() {
                let place = c.at(row, 16 * half);
                let before = if add { _mm512_loadu_ps(place) } else { _mm512_setzero_ps() };
                _mm512_storeu_ps(place, _mm512_add_ps(before, _mm512_cvtepi32_ps(sum)));
            }
        }
    }
}

/// The product of two rows of `depth` values, a multiple of [`GRAIN`].
///
/// # Safety
/// AVX512-VNNI is there and so many values are readable.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
pub(crate) unsafe fn dot(a: *const i16, b: *const i16, depth: usize) -> f32 {
    let mut sum = _mm512_setzero_si512();
    for i in (0..depth).step_by(GRAIN) {
        // SAFETY: the caller's promise.
        let (a, b) = unsafe { (_mm512_loadu_si512(a.add(i).cast()), _mm512_loadu_si512(b.add(i).cast())) };
        sum = _mm512_dpwssd_epi32(sum, a, b);
    }
    _mm512_reduce_add_epi32(sum) as f32
}

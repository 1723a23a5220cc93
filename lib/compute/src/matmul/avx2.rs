//! Blocks of floats with AVX2 and FMA: three rows of 32 columns at a time fill twelve of sixteen registers.

use super::{Kernel, PANEL, View};
use crate::lanes::Lanes;
use crate::lanes::avx2::Avx2;
use std::arch::x86_64::*;

/// 32-bit floats with AVX2 and FMA.
pub(crate) struct Avx2Kernel;

const STRIP: usize = 3;

// SAFETY: AVX2 and FMA are demanded by the trait's promise.
unsafe impl Kernel for Avx2Kernel {
    type Lanes = Avx2;
    type Element = f32;
    const ROWS: usize = 12;
    const CHUNK: usize = 192;
    const EXACT: bool = true;

    #[inline(always)]
    unsafe fn block(a: View<f32>, b: *const f32, _ahead: *const f32, depth: usize, c: View<f32>, add: bool) {
        for row in (0..Self::ROWS).step_by(STRIP) {
            // SAFETY: three rows of the block.
            unsafe { strip(a.from(row, 0), b, depth, c.from(row, 0), add) }
        }
    }

    #[inline(always)]
    unsafe fn store(values: Avx2, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { values.store(to) }
    }
}

/// Three rows of a block.
///
/// # Safety
/// As for [`Kernel::block`], with three rows.
#[target_feature(enable = "avx2,fma")]
unsafe fn strip(a: View<f32>, b: *const f32, depth: usize, c: View<f32>, add: bool) {
    const WIDE: usize = PANEL / 8;
    let mut sums = [[_mm256_setzero_ps(); WIDE]; STRIP];
    // SAFETY: rows, columns and depth are the caller's promise.
    unsafe {
        for k in 0..depth {
            let values: [__m256; STRIP] = std::array::from_fn(|row| _mm256_broadcast_ss(&*a.at(row, k)));
            for i in 0..WIDE {
                let weights = _mm256_loadu_ps(b.add(k * PANEL + i * 8));
                for (value, sums) in values.iter().zip(&mut sums) {
                    sums[i] = _mm256_fmadd_ps(*value, weights, sums[i]);
                }
            }
        }
        for (row, sums) in sums.into_iter().enumerate() {
            for (i, sum) in sums.into_iter().enumerate() {
                let place = c.at(row, i * 8);
                let sum = if add { _mm256_add_ps(_mm256_loadu_ps(place), sum) } else { sum };
                _mm256_storeu_ps(place, sum);
            }
        }
    }
}

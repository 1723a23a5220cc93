//! Blocks of floats with AVX-512: twelve rows of 32 columns fill 24 of 32 registers.

use super::{AHEAD, GRAIN, Kernel, PANEL, View, transpose};
use crate::buffer::LINE;
use crate::lanes::Lanes;
use crate::lanes::avx512::Avx512;
use std::arch::x86_64::*;

/// 32-bit floats with AVX-512.
pub(crate) struct Avx512Kernel;

const ROWS: usize = 12;

/// A line is fetched ahead in every so many steps.
const EVERY: usize = GRAIN * LINE / AHEAD;

// SAFETY: AVX-512 is demanded by the trait's promise.
unsafe impl Kernel for Avx512Kernel {
    type Lanes = Avx512;
    type Element = f32;
    const ROWS: usize = ROWS;
    const CHUNK: usize = 192;
    const EXACT: bool = true;

    #[inline(always)]
    unsafe fn block(a: View<f32>, b: *const f32, ahead: *const f32, depth: usize, c: View<f32>, add: bool) {
        // SAFETY: the caller's promise.
        unsafe { block(a, b, ahead, depth, c, add) }
    }

    #[inline(always)]
    unsafe fn store(values: Avx512, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { values.store(to) }
    }

    #[inline(always)]
    unsafe fn pack_transposed(from: View<f32>, rows: usize, width: usize, to: *mut f32) {
        let from = View { start: from.start.cast(), stride: from.stride };
        for row in (0..rows.next_multiple_of(PANEL)).step_by(16) {
            for k in (0..width).step_by(16) {
                // SAFETY: sixteen rows (fewer at the end) and columns of `from`, and their square in panel `row / 32`.
                unsafe {
                    let place = row / PANEL * PANEL * width + k * PANEL + row % PANEL;
                    transpose::square(from.from(row, k), rows.saturating_sub(row), to.add(place).cast(), PANEL);
                }
            }
        }
    }
}

/// # Safety
/// As for [`Kernel::block`].
#[target_feature(enable = "avx512f")]
unsafe fn block(a: View<f32>, b: *const f32, ahead: *const f32, depth: usize, c: View<f32>, add: bool) {
    let mut sums = [[_mm512_setzero_ps(); 2]; ROWS];
    // SAFETY: rows, columns and depth are the caller's promise.
    unsafe {
        // A pointer for every third row keeps all twelve within reach of the address registers.
        let mut thirds: [*const f32; ROWS / 3] = std::array::from_fn(|i| a.at(3 * i, 0).cast_const());
        let (mut weights, mut ahead) = (b, ahead);
        for k in 0..depth {
            if k % EVERY == 0 {
                _mm_prefetch::<_MM_HINT_T1>(ahead.cast());
                ahead = ahead.wrapping_add(LINE / size_of::<f32>());
            }
            let (left, right) = (_mm512_loadu_ps(weights), _mm512_loadu_ps(weights.add(16)));
            for (row, sums) in sums.iter_mut().enumerate() {
                let value = _mm512_set1_ps(*thirds[row / 3].add(row % 3 * a.stride));
                sums[0] = _mm512_fmadd_ps(value, left, sums[0]);
                sums[1] = _mm512_fmadd_ps(value, right, sums[1]);
            }
            thirds = thirds.map(|p| p.add(1));
            weights = weights.add(PANEL);
        }
        if add {
            for (row, sums) in sums.iter_mut().enumerate() {
                sums[0] = _mm512_add_ps(_mm512_loadu_ps(c.at(row, 0)), sums[0]);
                sums[1] = _mm512_add_ps(_mm512_loadu_ps(c.at(row, 16)), sums[1]);
            }
        }
        for (row, sums) in sums.iter().enumerate() {
            _mm512_storeu_ps(c.at(row, 0), sums[0]);
            _mm512_storeu_ps(c.at(row, 16), sums[1]);
        }
    }
}

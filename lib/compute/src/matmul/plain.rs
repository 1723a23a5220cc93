//! Blocks of floats in plain Rust, for any processor.

use super::{Kernel, PANEL, View};
use crate::lanes::Lanes;
use crate::lanes::plain::{Plain, mul_add};

/// Plain 32-bit floats.
pub(crate) struct PlainKernel;

/// Columns of which the sums are kept at a time: with four rows, eight registers of four floats.
const COLUMNS: usize = 8;

// SAFETY: no special instructions.
unsafe impl Kernel for PlainKernel {
    type Lanes = Plain;
    type Element = f32;
    const ROWS: usize = 4;
    const CHUNK: usize = 128;
    const EXACT: bool = true;

    unsafe fn block(a: View<f32>, b: *const f32, _ahead: *const f32, depth: usize, c: View<f32>, add: bool) {
        for column in (0..PANEL).step_by(COLUMNS) {
            let mut sums = [[0.0; COLUMNS]; Self::ROWS];
            for k in 0..depth {
                // SAFETY: row `k` of the panel.
                let weights = unsafe { b.add(k * PANEL + column).cast::<[f32; COLUMNS]>().read() };
                for (row, sums) in sums.iter_mut().enumerate() {
                    // SAFETY: within the block of `a`.
                    let value = unsafe { *a.at(row, k) };
                    *sums = std::array::from_fn(|i| mul_add(value, weights[i], sums[i]));
                }
            }
            for (row, sums) in sums.into_iter().enumerate() {
                // SAFETY: within the block of `c`.
                unsafe {
                    let place = c.at(row, column).cast::<[f32; COLUMNS]>();
                    let before = if add { place.read() } else { [0.0; COLUMNS] };
                    place.write(std::array::from_fn(|i| before[i] + sums[i]));
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn store(values: Plain, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { values.store(to) }
    }
}

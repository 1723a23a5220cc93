//! Squares of 16 x 16 words of 32 bits (floats, or pairs of bf16) turned over with AVX-512.

use super::View;
use std::arch::x86_64::*;

/// Writes the transpose of sixteen rows of sixteen words, rows from `rows` on taken as zero, with `stride` words
/// between the rows of `to`.
///
/// # Safety
/// AVX-512 is there; the rows below `rows` are readable; `to` is writable for sixteen rows of sixteen words.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) unsafe fn square(from: View<i32>, rows: usize, to: *mut i32, stride: usize) {
    let mut r = [_mm512_setzero_si512(); 16];
    for (i, r) in r.iter_mut().enumerate().take(rows) {
        // SAFETY: a row below `rows`.
        *r = unsafe { _mm512_loadu_si512(from.at(i, 0).cast()) };
    }
    // Pairs of rows, then quartets, within each quarter of a register ...
    let mut s = r;
    for i in (0..16).step_by(2) {
        s[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        s[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
    for i in (0..16).step_by(4) {
        r[i] = _mm512_unpacklo_epi64(s[i], s[i + 2]);
        r[i + 1] = _mm512_unpackhi_epi64(s[i], s[i + 2]);
        r[i + 2] = _mm512_unpacklo_epi64(s[i + 1], s[i + 3]);
        r[i + 3] = _mm512_unpackhi_epi64(s[i + 1], s[i + 3]);
    }
    // ... then the quarters: r[4 q + j] holds, in quarter p, word 4 p + j of rows 4 q to 4 q + 3.
    for j in 0..4 {
        let even = |a, b| _mm512_shuffle_i32x4::<0b10_00_10_00>(a, b);
        let odd = |a, b| _mm512_shuffle_i32x4::<0b11_01_11_01>(a, b);
        let (low, high) = ((r[j], r[4 + j]), (r[8 + j], r[12 + j]));
        s[0] = even(low.0, low.1);
        s[1] = even(high.0, high.1);
        s[2] = odd(low.0, low.1);
        s[3] = odd(high.0, high.1);
        let words = [even(s[0], s[1]), even(s[2], s[3]), odd(s[0], s[1]), odd(s[2], s[3])];
        for (p, word) in words.into_iter().enumerate() {
            // SAFETY: row `4 p + j` of sixteen.
            unsafe { _mm512_storeu_si512(to.add((4 * p + j) * stride).cast(), word) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn square_is_the_transpose_with_zeros_for_missing_rows() {
        if !is_x86_feature_detected!("avx512f") {
            return;
        }
        let mut from: Vec<i32> = (0..16 * 20).collect();
        for rows in [1, 7, 16, 40] {
            let mut to = vec![-1; 16 * 17];
            // SAFETY: both arrays are long enough and the processor was asked.
            unsafe { square(View { start: from.as_mut_ptr(), stride: 20 }, rows, to.as_mut_ptr(), 17) }
            for (i, &word) in to.iter().enumerate() {
                let (row, column) = (i / 17, i % 17);
                let expected = match column {
                    16 => -1,
                    c if c < rows => (c * 20 + row) as i32,
                    _ => 0,
                };
                assert_eq!(word, expected, "rows {rows}, row {row}, column {column}");
            }
        }
    }
}

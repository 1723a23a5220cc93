//! Products of activations with packed matrices, block by block.
//!
//! Notation: `C (rows x n) = A (rows x k) · B (k x n)`. `A` stands row-major in a padded stride, `B` is packed once:
//!
//! - columns go in panels of [`PANEL`] = 32, missing ones are zero; `k` is padded with zeros to a multiple of [`GRAIN`]
//!   = 32;
//! - a panel holds its `32 k` values contiguously, for floats as `[k][32]`, for bf16 as tiles take it: `[k / 32][column
//!   / 16][k % 32 / 2][column % 16][k % 2]`, so that one tile is 1 KiB in one piece and a line of it holds two
//!   neighbouring `k` of sixteen columns, which is what `vdpbf16ps` takes too.
//!
//! Numeric contract: an element of `C` is one chain of additions over ascending `k`, the same one in every row and
//! column of a block. Rows are padded to whole blocks with whatever stands in memory; a row of the result does not
//! depend on the others. So a row's bits depend on that row of `A`, on `B`, and on the machine.
//!
//! A product walks over panels outside and over rows inside: a panel (or [`Kernel::CHUNK`] of it) stays in the
//! first-level cache while the activations, a few hundred rows, come from the second level. Weights then leave the
//! third level once for each such set of rows, and a block asks ahead for a part of the next panel while it computes.

#[cfg(target_arch = "x86_64")]
pub(crate) mod amx;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512bf16;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512vnni;
pub(crate) mod plain;
#[cfg(target_arch = "x86_64")]
pub(crate) mod transpose;

use crate::buffer::{Buffer, Plain, round_up};
use crate::lanes::Lanes;
use crate::transformer::Linear;

/// Columns of a panel of `B`.
pub(crate) const PANEL: usize = 32;

/// `k` is a multiple of this.
pub(crate) const GRAIN: usize = 32;

/// Bytes that a block fetches ahead for each [`GRAIN`] of `k`: a panel of bf16 within eight blocks.
pub(crate) const AHEAD: usize = 256;

/// What products are made from: floats, or bf16 as its 16 bits.
pub(crate) trait Element: Plain + Send + Sync {
    fn from_f32(value: f32) -> Self;
    fn to_f32(self) -> f32;
    /// Where row `k` and column `column` (below [`PANEL`]) stand in a panel.
    fn slot(k: usize, column: usize) -> usize;
}

impl Element for f32 {
    #[inline(always)]
    fn from_f32(value: f32) -> f32 {
        value
    }

    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }

    #[inline(always)]
    fn slot(k: usize, column: usize) -> usize {
        k * PANEL + column
    }
}

impl Element for u16 {
    /// Rounded to nearest, halves to even. Weights are finite.
    #[inline(always)]
    fn from_f32(value: f32) -> u16 {
        let bits = value.to_bits();
        let half = 0x7fff + (bits >> 16 & 1);
        (bits.wrapping_add(half) >> 16) as u16
    }

    #[inline(always)]
    fn to_f32(self) -> f32 {
        f32::from_bits(u32::from(self) << 16)
    }

    #[inline(always)]
    fn slot(k: usize, column: usize) -> usize {
        let (tile, half) = (k / GRAIN, column / 16);
        tile * 1024 + half * 512 + k % GRAIN / 2 * 32 + column % 16 * 2 + k % 2
    }
}

/// Whole numbers (values are those of 16 bits), two neighbouring `k` side by side like bf16.
impl Element for i16 {
    #[inline(always)]
    fn from_f32(value: f32) -> i16 {
        // Next to 1.5 * 2^23 floats are whole numbers: no call of a library.
        const WHOLE: f32 = 12_582_912.0;
        (value + WHOLE - WHOLE) as i16
    }

    #[inline(always)]
    fn to_f32(self) -> f32 {
        f32::from(self)
    }

    #[inline(always)]
    fn slot(k: usize, column: usize) -> usize {
        u16::slot(k, column)
    }
}

/// `B`, packed.
#[derive(Debug)]
pub(crate) struct Packed<E> {
    values: Buffer,
    /// `k`, padded.
    pub(crate) depth: usize,
    /// Number of panels.
    pub(crate) panels: usize,
    /// One value a column, padded.
    pub(crate) bias: Vec<f32>,
    element: std::marker::PhantomData<E>,
}

impl<E: Element> Packed<E> {
    /// Packs `depth` rows and `columns` columns; `value` and `bias` are asked for every place, padded ones too.
    pub(crate) fn new(
        depth: usize,
        columns: usize,
        value: impl Fn(usize, usize) -> f32,
        bias: impl Fn(usize) -> f32,
    ) -> Packed<E> {
        let (depth, columns) = (round_up(depth, GRAIN), round_up(columns, PANEL));
        let mut values = Buffer::default();
        let count = depth * columns;
        let start = values.take::<E>(count);
        // SAFETY: `take` gave so many initialised values, and nothing else refers to them.
        let slots = unsafe { std::slice::from_raw_parts_mut(start, count) };
        for (p, panel) in slots.chunks_exact_mut(depth * PANEL).enumerate() {
            for k in 0..depth {
                for c in 0..PANEL {
                    panel[E::slot(k, c)] = E::from_f32(value(k, p * PANEL + c));
                }
            }
        }
        let bias = (0..columns).map(bias).collect();
        Packed { values, depth, panels: columns / PANEL, bias, element: std::marker::PhantomData }
    }

    /// Packs a map.
    pub(crate) fn of(map: &Linear) -> Packed<E> {
        let (outputs, inputs) = (map.weight.rows, map.weight.columns);
        Packed::new(inputs, outputs, |k, n| map.weight(n, k), |n| map.bias(n))
    }

    /// The values of a panel from row `k` on; `k` is a multiple of [`GRAIN`].
    #[inline(always)]
    fn panel(&self, panel: usize, k: usize) -> *const E {
        let first = (panel * self.depth + k) * PANEL;
        self.values.values::<E>(self.panels * self.depth * PANEL)[first..].as_ptr()
    }
}

/// A row-major matrix somewhere in a scratch: the first value and the values from row to row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<E> {
    pub(crate) start: *mut E,
    pub(crate) stride: usize,
}

impl<E: Copy> View<E> {
    /// The value at `row` and `column`.
    ///
    /// # Safety
    /// It lies within the memory that the view was made over.
    #[inline(always)]
    pub(crate) unsafe fn at(self, row: usize, column: usize) -> *mut E {
        // SAFETY: within one allocation by the caller's promise.
        unsafe { self.start.add(row * self.stride + column) }
    }

    /// The matrix from `row` and `column` on.
    ///
    /// # Safety
    /// As for [`View::at`].
    #[inline(always)]
    pub(crate) unsafe fn from(self, row: usize, column: usize) -> View<E> {
        // SAFETY: the same promise.
        View { start: unsafe { self.at(row, column) }, stride: self.stride }
    }
}

/// A processor's way to compute.
///
/// # Safety
/// Every function may be called only where the processor has the machine's instructions.
pub(crate) unsafe trait Kernel {
    /// Its vectors of floats.
    type Lanes: Lanes;
    /// What its products are made from.
    type Element: Element;
    /// Rows of a block.
    const ROWS: usize;
    /// So much of `k` is worked off at a time: 32 columns of it fill half of the first-level cache.
    const CHUNK: usize;
    /// Whether functions are worth 32-bit floats; else bf16 is enough.
    const EXACT: bool;

    /// One block: `C (ROWS x 32) = [C +] A (ROWS x depth) · B (depth x 32)`. In 32-bit floats the product is summed up
    /// from 0 on, whatever is in `C`, next to which its terms may be small. Meanwhile it may fetch [`AHEAD`] bytes
    /// from `ahead` on into the second-level cache, for each [`GRAIN`] of `depth`.
    ///
    /// # Safety
    /// `a` has `ROWS` rows of `depth` values, `b` is a panel of `depth` rows (a multiple of [`GRAIN`]), `c` has `ROWS`
    /// rows of 32 values.
    unsafe fn block(
        a: View<Self::Element>,
        b: *const Self::Element,
        ahead: *const Self::Element,
        depth: usize,
        c: View<f32>,
        add: bool,
    );

    /// # Safety
    /// `Lanes::COUNT` values are writable.
    unsafe fn store(values: Self::Lanes, to: *mut Self::Element);

    /// Stores two registers side by side.
    ///
    /// # Safety
    /// `2 Lanes::COUNT` values are writable.
    #[inline(always)]
    unsafe fn store_pair(values: [Self::Lanes; 2], to: *mut Self::Element) {
        // SAFETY: the caller's promise.
        unsafe {
            Self::store(values[0], to);
            Self::store(values[1], to.add(Self::Lanes::COUNT));
        }
    }

    /// Packs the transpose of `rows` rows of `from` as `B`: `k` runs over `width` columns of `from`, columns over its
    /// rows, missing ones zero.
    ///
    /// # Safety
    /// `from` has so many rows and columns; `to` is writable for `rows` rounded up to panels, times `width`, a multiple
    /// of [`GRAIN`].
    #[inline(always)]
    unsafe fn pack_transposed(from: View<Self::Element>, rows: usize, width: usize, to: *mut Self::Element) {
        for row in 0..round_up(rows, PANEL) {
            for k in 0..width {
                let slot = row / PANEL * PANEL * width + Self::Element::slot(k, row % PANEL);
                // SAFETY: rows below `rows` are readable, and the slot lies in panel `row / 32`.
                unsafe {
                    let value = if row < rows { *from.at(row, k) } else { Self::Element::from_f32(0.0) };
                    *to.add(slot) = value;
                }
            }
        }
    }

    /// Packs `rows` rows of `from` as `B`: `k` runs over rows, missing ones up to a multiple of [`GRAIN`] zero, columns
    /// over `width` columns. As it stands here only for floats, of which a row of a panel is one piece.
    ///
    /// # Safety
    /// As for [`Kernel::pack_transposed`], with `width` a multiple of [`PANEL`].
    #[inline(always)]
    unsafe fn pack_rows(from: View<Self::Element>, rows: usize, width: usize, to: *mut Self::Element) {
        let depth = round_up(rows, GRAIN);
        for column in (0..width).step_by(PANEL) {
            for k in 0..depth {
                // SAFETY: rows below `rows` are readable; a row of panel `column / 32` is 32 values in one piece.
                unsafe {
                    let line = to.add(column * depth + Self::Element::slot(k, 0));
                    if k < rows {
                        std::ptr::copy_nonoverlapping(from.at(k, column), line, PANEL);
                    } else {
                        line.write_bytes(0, PANEL);
                    }
                }
            }
        }
    }
}

/// `C += A · B` in place.
///
/// # Safety
/// The kernel's instructions are there; `a` and `c` have `rows` rounded up to whole blocks, of `b.depth` and `32
/// b.panels` columns.
#[inline(always)]
pub(crate) unsafe fn add_product<K: Kernel>(a: View<K::Element>, rows: usize, b: &Packed<K::Element>, c: View<f32>) {
    // SAFETY: the caller's promise.
    unsafe { walk::<K>(a, rows, b, |row, panel| c.from(row, panel * PANEL), true, |_, _, _| ()) }
}

/// `A · B`, each block handed to `finish` with its first row, its panel and its 32-column values, while they are in the
/// nearest cache.
///
/// # Safety
/// The kernel's instructions are there; `a` has `rows` rounded up to whole blocks, of `b.depth` columns; `blocks` is
/// writable for [`blocks_len`] values.
#[inline(always)]
pub(crate) unsafe fn product<K: Kernel>(
    a: View<K::Element>,
    rows: usize,
    b: &Packed<K::Element>,
    blocks: *mut f32,
    finish: impl FnMut(usize, usize, View<f32>),
) {
    // Of several chunks each block of rows needs sums of its own.
    let apart = if b.depth <= K::CHUNK { 0 } else { PANEL };
    // SAFETY: the caller's promise.
    unsafe {
        walk::<K>(a, rows, b, |row, _| View { start: blocks.add(row * apart), stride: PANEL }, false, finish);
    }
}

/// Computes every block into the place that `sums` names, on top of what stands there if `add`, and calls `finish` when
/// it is complete.
///
/// # Safety
/// As for [`product`], and `sums` names places for whole blocks.
#[inline(always)]
unsafe fn walk<K: Kernel>(
    a: View<K::Element>,
    rows: usize,
    b: &Packed<K::Element>,
    sums: impl Fn(usize, usize) -> View<f32>,
    add: bool,
    mut finish: impl FnMut(usize, usize, View<f32>),
) {
    for panel in 0..b.panels {
        for k in (0..b.depth).step_by(K::CHUNK) {
            let depth = K::CHUNK.min(b.depth - k);
            let weights = b.panel(panel, k);
            let mut ahead = weights.wrapping_add(depth * PANEL);
            for row in (0..rows).step_by(K::ROWS) {
                let c = sums(row, panel);
                // SAFETY: whole blocks within `a`, `b` and `c`.
                unsafe { K::block(a.from(row, k), weights, ahead, depth, c, add || k > 0) }
                ahead = ahead.wrapping_byte_add(depth / GRAIN * AHEAD);
                if k + depth == b.depth {
                    finish(row, panel, c);
                }
            }
        }
    }
}

/// The values that [`product`] needs for its sums, for at most `rows` rows.
pub(crate) fn blocks_len<K: Kernel>(rows: usize) -> usize {
    round_up(rows, K::ROWS) * PANEL
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::Machine;

    /// What 64 ones come to on top of 1e8, next to which floats are 8 apart.
    fn ones_behind_a_large_sum<K: Kernel<Element = f32>>() -> Vec<f32> {
        const DEPTH: usize = 64;
        let (mut a, b) = (vec![1.0; K::ROWS * DEPTH], [1.0; DEPTH * PANEL]);
        let mut c = vec![1e8; K::ROWS * PANEL];
        let (rows, sums) =
            (View { start: a.as_mut_ptr(), stride: DEPTH }, View { start: c.as_mut_ptr(), stride: PANEL });
        // SAFETY: whole blocks, of a kernel whose instructions are there.
        unsafe { K::block(rows, b.as_ptr(), b.as_ptr(), DEPTH, sums, true) }
        c
    }

    #[test]
    fn a_chunk_is_summed_up_by_itself() {
        for machine in Machine::exact() {
            let sums = match machine {
                #[cfg(target_arch = "x86_64")]
                Machine::Avx512 => ones_behind_a_large_sum::<avx512::Avx512Kernel>(),
                #[cfg(target_arch = "x86_64")]
                Machine::Avx2 => ones_behind_a_large_sum::<avx2::Avx2Kernel>(),
                Machine::Plain => ones_behind_a_large_sum::<plain::PlainKernel>(),
                other => panic!("{other:?} is not exact"),
            };
            assert!(sums.iter().all(|&sum| sum == 100_000_064.0), "{machine:?}: {sums:?}");
        }
    }
}

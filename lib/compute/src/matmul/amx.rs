//! Blocks of bf16 with AMX tiles, in assembly: the intrinsics are not in stable Rust.
//!
//! Eight tiles of 16 rows of 64 bytes: 0 to 3 hold the sums of a 32 x 32 block, 4 and 5 sixteen rows each of `A`, 6 and
//! 7 sixteen columns each of `B`. Each step of 32 `k` loads four tiles and makes four products of 16 x 16 x 32.

use super::avx512bf16;
use super::{AHEAD, Kernel, View};
use crate::buffer::LINE;
use crate::lanes::avx512::Avx512;
use std::arch::asm;

/// bf16 with AMX (and AVX512-BF16 for the rest). From block to block either the panel of `B` stays and `A` changes, or
/// the rows of `A` stay and `B` changes: what passes by is loaded with `tileloaddt1`, so that it does not drive what
/// stays out of the nearest cache, which both together fill.
pub(crate) struct AmxKernel<const ROWS_STAY: bool>;

/// The tiles of this thread, configured; given back to the system on drop, so that a switch of threads need not save
/// them.
pub(crate) struct Tiles(());

/// What `ldtilecfg` reads: palette 1, then the bytes of a row and the rows of each tile.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Tiles {
    /// Configures eight full tiles.
    ///
    /// # Safety
    /// The processor has AMX and the system has granted it to the process.
    pub(crate) unsafe fn configure() -> Tiles {
        let first_eight = |i: usize| i < 8;
        let configuration = Configuration {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            row_bytes: std::array::from_fn(|i| if first_eight(i) { 64 } else { 0 }),
            rows: std::array::from_fn(|i| if first_eight(i) { 16 } else { 0 }),
        };
        // SAFETY: AMX is there; the instruction reads the 64 bytes of the configuration.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const configuration, options(nostack, readonly)) }
        Tiles(())
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: the value exists, so AMX is there.
        unsafe { asm!("tilerelease", options(nostack, nomem)) }
    }
}

// SAFETY: AMX, AVX-512 and AVX512-BF16 are demanded by the trait's promise.
unsafe impl<const ROWS_STAY: bool> Kernel for AmxKernel<ROWS_STAY> {
    type Lanes = Avx512;
    type Element = u16;
    const ROWS: usize = 32;
    const CHUNK: usize = 384;
    const EXACT: bool = false;

    #[inline(always)]
    unsafe fn block(a: View<u16>, b: *const u16, ahead: *const u16, depth: usize, c: View<f32>, add: bool) {
        // SAFETY: the caller's promise.
        unsafe { block::<ROWS_STAY>(a, b, ahead, depth, c, add) }
    }

    #[inline(always)]
    unsafe fn store(values: Avx512, to: *mut u16) {
        // SAFETY: the caller's promise.
        unsafe { avx512bf16::store(values, to) }
    }

    #[inline(always)]
    unsafe fn store_pair(values: [Avx512; 2], to: *mut u16) {
        // SAFETY: the caller's promise.
        unsafe { avx512bf16::store_pair(values, to) }
    }

    #[inline(always)]
    unsafe fn pack_transposed(from: View<u16>, rows: usize, width: usize, to: *mut u16) {
        // SAFETY: the caller's promise.
        unsafe { avx512bf16::pack_transposed(from, rows, width, to) }
    }

    #[inline(always)]
    unsafe fn pack_rows(from: View<u16>, rows: usize, width: usize, to: *mut u16) {
        // SAFETY: the caller's promise.
        unsafe { avx512bf16::pack_rows(from, rows, width, to) }
    }
}

/// All steps of a block, with the instructions that load tiles of `A` and of `B`.
macro_rules! steps {
    ($load_a:literal, $load_b:literal, $a:ident, $b:ident, $ahead:ident, $depth:ident) => {
        asm!(
            "2:",
            concat!($load_a, " tmm4, [{a0} + {s}*1]"),
            concat!($load_b, " tmm6, [{b} + {line}*1]"),
            concat!($load_b, " tmm7, [{b} + {line}*1 + 1024]"),
            "prefetcht1 [{ahead}]",
            "prefetcht1 [{ahead} + 64]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            concat!($load_a, " tmm5, [{a1} + {s}*1]"),
            "tdpbf16ps tmm1, tmm4, tmm7",
            "prefetcht1 [{ahead} + 128]",
            "prefetcht1 [{ahead} + 192]",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "add {a0}, 64",
            "add {a1}, 64",
            "add {b}, 2048",
            "add {ahead}, {AHEAD}",
            "dec {n}",
            "jnz 2b",
            a0 = inout(reg) $a.start => _,
            a1 = inout(reg) $a.start.add(16 * $a.stride) => _,
            b = inout(reg) $b => _,
            ahead = inout(reg) $ahead => _,
            n = inout(reg) $depth / 32 => _,
            s = in(reg) $a.stride * 2,
            line = in(reg) LINE,
            AHEAD = const AHEAD,
            options(nostack, readonly),
        )
    };
}

/// # Safety
/// As for [`Kernel::block`], with the tiles configured.
#[inline(always)]
unsafe fn block<const ROWS_STAY: bool>(
    a: View<u16>,
    b: *const u16,
    ahead: *const u16,
    depth: usize,
    c: View<f32>,
    add: bool,
) {
    // SAFETY: AMX is there and configured. 32 rows of `a` of `depth` values, 32 rows of `c` of 32 values and the panel
    // `b` are the caller's promise; the loop runs `depth / 32` times and moves on by 64 bytes of `a` and 2 KiB of `b`.
    unsafe {
        let (c0, c1) = (c.start, c.start.add(16 * c.stride));
        if add {
            asm!(
                "tileloadd tmm0, [{c0} + {cs}*1]",
                "tileloadd tmm1, [{c0} + {cs}*1 + 64]",
                "tileloadd tmm2, [{c1} + {cs}*1]",
                "tileloadd tmm3, [{c1} + {cs}*1 + 64]",
                c0 = in(reg) c0, c1 = in(reg) c1, cs = in(reg) c.stride * 4,
                options(nostack, readonly),
            );
        } else {
            asm!("tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3", options(nostack, nomem));
        }
        if ROWS_STAY {
            steps!("tileloadd", "tileloaddt1", a, b, ahead, depth);
        } else {
            steps!("tileloaddt1", "tileloadd", a, b, ahead, depth);
        }
        asm!(
            "tilestored [{c0} + {cs}*1], tmm0",
            "tilestored [{c0} + {cs}*1 + 64], tmm1",
            "tilestored [{c1} + {cs}*1], tmm2",
            "tilestored [{c1} + {cs}*1 + 64], tmm3",
            c0 = in(reg) c0, c1 = in(reg) c1, cs = in(reg) c.stride * 4,
            options(nostack),
        );
    }
}

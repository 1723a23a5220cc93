//! Which components may take part in rows, in 32-bit floats with a bound on their error.
//!
//! Rows are in lanes: a tile of 64, transposed, passes over four components at a time, each of which is a scale and a
//! shift a coordinate, so that a coordinate of 64 rows and four components is two fused multiply-adds a lane and
//! nothing else. (Expanded into `x^2 p - 2 x m p`, it would be as many, and would lose what is near to the mean.)
//!
//! # The bound
//!
//! With u = 2^-24, z the exact `x s + b` and z' what comes out in 32 bits, `|z' - z| <= 4.1 u (|z| + |b|)`: the scale
//! and the shift are rounded, as is the sum, twice where there is no fused multiply-add. With `Z^2 = q` the sum of the
//! z^2 and B^2 that of the b^2, the sum of the z'^2 is within `u (12.3 q + 4.2 B^2)` of q, and adding it up in 32 bits
//! makes it wrong by a share of `2 d u / (1 - 2 d u)` at the most. So q is within `beta q' + alpha` of what comes out,
//! q', where `beta = 4 d u + 40 u` and `alpha = 8 u B^2` leave room for the rounding of constants and of the bound
//! itself, and one more than [`CUT`] for that of [`exact`](super::exact). Where `d` or a value is so large, or a scale
//! so small, that this does not hold, nothing is left out.

use super::exact::{CUT, Densities};
use crate::buffer::Buffer;
use crate::cpu::Machine;
use crate::lanes::{Lanes, plain};
#[cfg(target_arch = "x86_64")]
use crate::lanes::{avx2, avx512};
#[cfg(target_arch = "x86_64")]
use crate::matmul::{View, transpose};

/// Rows of a tile, a bit of a mask for each.
pub(super) const ROWS: usize = 64;

/// Rows and coordinates that are turned over together.
const SIDE: usize = 16;

/// Components that are computed together.
const GROUP: usize = 4;

/// Half the distance of the floats below 1.
const U: f64 = 1.0 / (1 << 24) as f64;

/// Components in 32-bit floats.
#[derive(Debug)]
pub(super) struct Table {
    machine: Machine,
    dim: usize,
    k: usize,
    /// Of each group of components, a coordinate after the other: scale and shift of each. Missing ones are 0.
    values: Vec<f32>,
    /// Of each component the constant, and what the bound adds to it.
    constants: Vec<(f32, f32)>,
    /// Half of 1 - beta and of 1 + beta: what of a sum is certainly there, and what may be.
    certain: f32,
    possible: f32,
}

/// What a thread keeps from call to call.
#[derive(Debug, Default)]
pub(super) struct Tile {
    /// Of each component, the rows that it may take part in.
    pub(super) masks: Vec<u64>,
    rows: Buffer,
    sums: Buffer,
}

impl Table {
    /// For a machine that runs here.
    pub(super) fn on(densities: &Densities, machine: Machine) -> Table {
        let (dim, k) = (densities.dim(), densities.k());
        let mut values = vec![0.0; k.next_multiple_of(GROUP) * 2 * dim];
        let mut constants = Vec::with_capacity(k);
        let beta = 4.0 * dim as f64 * U + 40.0 * U;
        for j in 0..k {
            let (constant, scales, shifts) = densities.component(j);
            let group = &mut values[j / GROUP * GROUP * 2 * dim..][..GROUP * 2 * dim];
            for (place, (&scale, &shift)) in group.chunks_exact_mut(2 * GROUP).zip(scales.iter().zip(shifts)) {
                (place[2 * (j % GROUP)], place[2 * (j % GROUP) + 1]) = (scale as f32, shift as f32);
            }
            let square: f64 = shifts.iter().map(|shift| shift * shift).sum();
            let within = beta < 0.25 && scales.iter().all(|scale| (1e-30..1e30).contains(scale));
            let bound = 4.0 * U * square + 8.0 * U * constant.abs() + 1e-20;
            constants.push((constant as f32, if within { (bound * 1.01) as f32 } else { f32::INFINITY }));
        }
        let (certain, possible) = ((0.5 - 0.5 * beta) as f32, (0.5 + 0.5 * beta) as f32);
        Table { machine, dim, k, values, constants, certain, possible }
    }

    /// Fills the masks of at most [`ROWS`] rows.
    ///
    /// # Panics
    /// Where `rows` is not whole rows, or they are none or more.
    pub(super) fn propose(&self, rows: &[f32], tile: &mut Tile) {
        let count = rows.len() / self.dim;
        assert!((1..=ROWS).contains(&count) && rows.len() == count * self.dim);
        match self.machine {
            // SAFETY: machines are only made where they run.
            #[cfg(target_arch = "x86_64")]
            Machine::Avx512 | Machine::Avx512Bf16 | Machine::Amx => unsafe { on_avx512(self, rows, tile) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Machine::Avx2 => unsafe { on_avx2(self, rows, tile) },
            // SAFETY: no special instructions.
            Machine::Plain => unsafe {
                transpose_from(0, rows, self.dim, tile.rows.take(self.dim * ROWS));
                propose::<plain::Plain, 1>(self, rows.len() / self.dim, tile);
            },
        }
    }
}

/// # Safety
/// The processor has the instructions.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn on_avx512(table: &Table, rows: &[f32], tile: &mut Tile) {
    let squares = table.dim / SIDE * SIDE;
    let columns: *mut f32 = tile.rows.take(table.dim * ROWS);
    let from = View { start: rows.as_ptr().cast_mut().cast(), stride: table.dim };
    for row in (0..rows.len() / table.dim).step_by(SIDE) {
        for i in (0..squares).step_by(SIDE) {
            // SAFETY: the instructions are enabled; there are as many rows, of `dim` values, and `dim` columns of 64.
            unsafe {
                let there = rows.len() / table.dim - row;
                transpose::square(from.from(row, i), there, columns.add(i * ROWS + row).cast(), ROWS);
            }
        }
    }
    transpose_from(squares, rows, table.dim, columns);
    // SAFETY: the instructions are enabled.
    unsafe { propose::<avx512::Avx512, 4>(table, rows.len() / table.dim, tile) }
}

/// # Safety
/// The processor has the instructions.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn on_avx2(table: &Table, rows: &[f32], tile: &mut Tile) {
    transpose_from(0, rows, table.dim, tile.rows.take(table.dim * ROWS));
    // SAFETY: the instructions are enabled.
    unsafe { propose::<avx2::Avx2, 2>(table, rows.len() / table.dim, tile) }
}

/// With `V` vectors of rows at a time, of `count` rows that are columns in `tile`.
///
/// # Safety
/// The processor has the instructions.
#[inline(always)]
unsafe fn propose<L: Lanes, const V: usize>(table: &Table, count: usize, tile: &mut Tile) {
    let (dim, k) = (table.dim, table.k);
    let columns: *mut f32 = tile.rows.take(dim * ROWS);
    let padded = k.next_multiple_of(GROUP);
    let sums: *mut f32 = tile.sums.take(padded * ROWS);
    let all = u64::MAX >> (ROWS - count);
    tile.masks.clear();
    // SAFETY: the caller's promise; `columns` holds `dim` and `sums` holds `padded` rows of 64.
    unsafe {
        for first in (0..padded).step_by(GROUP) {
            let values = table.values[first * 2 * dim..][..GROUP * 2 * dim].as_ptr();
            for lane in (0..ROWS).step_by(V * L::COUNT) {
                group::<L, V>(values, dim, columns.add(lane), sums.add(first * ROWS + lane));
            }
        }
        let limits = limits::<L>(table, sums);
        tile.masks.extend((0..k).map(|j| all & may::<L>(table, j, sums, &limits)));
    }
}

/// Rows into columns of 64, from coordinate `from` on: as many rows and coordinates at a time as stay in the cache.
#[inline(always)]
fn transpose_from(from: usize, rows: &[f32], dim: usize, columns: *mut f32) {
    assert!(rows.len() <= ROWS * dim);
    for (block, rows) in rows.chunks(SIDE * dim).enumerate() {
        for first in (from..dim).step_by(SIDE) {
            for i in first..dim.min(first + SIDE) {
                for (row, values) in rows.chunks_exact(dim).enumerate() {
                    // SAFETY: there are `dim` columns of 64 values, and no more rows than that.
                    unsafe { *columns.add(i * ROWS + block * SIDE + row) = values[i] };
                }
            }
        }
    }
}

/// The sums of `z'^2` of four components and some rows.
///
/// # Safety
/// The processor has the instructions; `values` has `8 dim` values, `columns` `dim` and `sums` four times `V` vectors,
/// 64 values apart.
#[inline(always)]
unsafe fn group<L: Lanes, const V: usize>(values: *const f32, dim: usize, columns: *const f32, sums: *mut f32) {
    // SAFETY: the caller's promise.
    unsafe {
        let zero = L::zero();
        let mut squares = [[zero; V]; GROUP];
        for i in 0..dim {
            for (c, squares) in squares.iter_mut().enumerate() {
                let place = values.add((i * GROUP + c) * 2);
                let (scale, shift) = (zero.splat(*place), zero.splat(*place.add(1)));
                for (v, square) in squares.iter_mut().enumerate() {
                    let z = L::load(columns.add(i * ROWS + v * L::COUNT)).mul_add(scale, shift);
                    *square = z.mul_add(z, *square);
                }
            }
        }
        for (c, squares) in squares.into_iter().enumerate() {
            for (v, square) in squares.into_iter().enumerate() {
                square.store(sums.add(c * ROWS + v * L::COUNT));
            }
        }
    }
}

/// Of each row, what a log density must reach: certainly further below the largest than [`CUT`]. Minus infinity where
/// nothing is certain.
///
/// # Safety
/// The processor has the instructions; `sums` has 64 values of each component.
#[inline(always)]
unsafe fn limits<L: Lanes>(table: &Table, sums: *const f32) -> [f32; ROWS] {
    let mut limits = [f32::NEG_INFINITY; ROWS];
    // SAFETY: the caller's promise.
    unsafe {
        for lane in (0..ROWS).step_by(L::COUNT) {
            let zero = L::zero();
            let mut top = zero.splat(f32::NEG_INFINITY);
            let share = zero.splat(-table.possible);
            for j in 0..table.k {
                let (constant, bound) = table.constants[j];
                let low = L::load(sums.add(j * ROWS + lane)).mul_add(share, zero.splat(constant - bound));
                // Of a number and NaN the latter operand: what is not a number is no bound.
                top = low.max(top);
            }
            top.sub(zero.splat(CUT as f32 + 1.0)).store(limits.as_mut_ptr().add(lane));
        }
    }
    limits
}

/// The rows whose limit the component may reach.
///
/// # Safety
/// The processor has the instructions; `sums` has 64 values of each component.
#[inline(always)]
unsafe fn may<L: Lanes>(table: &Table, j: usize, sums: *const f32, limits: &[f32; ROWS]) -> u64 {
    let (constant, bound) = table.constants[j];
    let mut below = 0;
    // SAFETY: the caller's promise.
    unsafe {
        for lane in (0..ROWS).step_by(L::COUNT) {
            let zero = L::zero();
            let high =
                L::load(sums.add(j * ROWS + lane)).mul_add(zero.splat(-table.certain), zero.splat(constant + bound));
            let limit = L::load(limits.as_ptr().add(lane));
            // Sums that are beyond 32 bits are below no limit further down.
            let sure = zero.splat(-1e38);
            below |= u64::from(limit.at_least(high) & limit.at_least(sure)) << lane;
        }
    }
    !below
}

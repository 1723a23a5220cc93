//! The product of packed points and centroids, and the candidates that follow from its scores.

use super::candidates::Candidates;
use super::table::{Proposer, Row, Table};
use super::{Metric, exact};
use crate::buffer::{Buffer, round_up, stride};
use crate::lanes::Lanes;
use crate::matmul::{self, Element, Kernel, PANEL, View};
use std::ops::Range;

/// Points that pass over the centroids together: calls with a multiple of it waste nothing.
pub const GROUP: usize = 8 * PANEL;

/// Rows of scores that are looked at together.
const AT_ONCE: usize = 4;

/// The scratch memory of one thread.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) line: Buffer,
    pub(super) rounded: Buffer,
    pub(super) panels: Buffer,
    scores: Buffer,
    pub(super) points: Vec<Point>,
    pub(super) guesses: Vec<u32>,
    /// Of each point, the number below which centroids count; empty: all count.
    pub(super) limits: Vec<u32>,
    alpha: Vec<f32>,
    residual: Vec<f32>,
    norm: Vec<f32>,
    own: Vec<f32>,
    pub(super) candidates: Candidates,
    chosen: Vec<u32>,
    /// Of each group of centroids that is looked at, and each point, a bound above all its scores.
    pub(super) tops: Vec<f32>,
}

/// The rows of a group, and of the next one, which are fetched meanwhile.
#[derive(Clone, Copy)]
pub(super) struct Group<'a> {
    pub(super) these: &'a [f32],
    pub(super) next: &'a [f32],
}

/// What becomes of a point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Point {
    /// It is near to nothing.
    Missing,
    /// No bound: all centroids are candidates.
    Beyond,
    /// It is in the product.
    In,
}

/// Rounds and packs the rows as panels of `B`.
///
/// # Safety
/// The kernel's instructions are there (the tiles configured), and the table was made for it.
#[inline(always)]
pub(super) unsafe fn pack<K: Proposer>(
    (dim, metric): (usize, Metric),
    table: &Table<K::Element>,
    rows: &[f32],
    scratch: &mut Scratch,
) {
    let depth = table.depth;
    let points = rows.len() / dim;
    let padded_points = round_up(points, PANEL);
    scratch.clear(padded_points);
    let rounded = View {
        start: scratch.rounded.take::<K::Element>(PANEL * stride::<K::Element>(depth)),
        stride: stride::<K::Element>(depth),
    };
    let panels = scratch.panels.take::<K::Element>(padded_points * depth);
    let line = scratch.line.take::<f32>(depth);
    // SAFETY: `line` and each row of `rounded` have room for `depth` values, `panels` for `padded_points` times as
    // many.
    unsafe {
        line.write_bytes(0, depth);
        for (p, rows) in rows.chunks(PANEL * dim).enumerate() {
            for (i, row) in rows.chunks_exact(dim).enumerate() {
                let place = p * PANEL + i;
                let to = rounded.at(i, 0);
                let padded = padded(row, line, depth);
                let point = match table.round::<K>(padded, line, to) {
                    Some(rounding) => {
                        scratch.put(place, rounding);
                        let guess = scratch.guesses.get(place).and_then(|&guess| table.slots.get(guess as usize));
                        if let Some(&slot) = guess {
                            scratch.candidates.raise(place, table.lower_bound::<K>(to, &rounding, slot as usize));
                        }
                        Point::In
                    }
                    None => {
                        std::slice::from_raw_parts_mut(to, depth).fill(K::Element::from_f32(0.0));
                        scratch.candidates.close(place);
                        without_bound(row, metric)
                    }
                };
                scratch.points.push(point);
            }
            K::pack_transposed(rounded, rows.len() / dim, depth, panels.add(p * PANEL * depth));
        }
    }
    (points..padded_points).for_each(|i| scratch.candidates.close(i));
}

/// The row itself, or its copy in `line`, where there are zeros behind it.
///
/// # Safety
/// `line` has room for `depth` values.
#[inline(always)]
pub(super) unsafe fn padded(row: &[f32], line: *mut f32, depth: usize) -> *const f32 {
    if row.len() == depth {
        return row.as_ptr();
    }
    // SAFETY: the caller's promise.
    unsafe { line.copy_from_nonoverlapping(row.as_ptr(), row.len()) };
    line
}

/// A point that is not in the product.
#[cold]
pub(super) fn without_bound(row: &[f32], metric: Metric) -> Point {
    if exact::row_norm(row, metric).is_some() { Point::Beyond } else { Point::Missing }
}

impl Scratch {
    /// The candidates of a point, ascending; `None`: all centroids.
    pub(super) fn choose(&mut self, point: usize, order: &[u32]) -> Option<&[u32]> {
        self.chosen.clear();
        match self.points[point] {
            Point::Missing => {}
            Point::Beyond => return None,
            Point::In => {
                self.chosen.extend(self.candidates.left(point)?.map(|slot| order[slot as usize]));
                self.chosen.sort_unstable();
            }
        }
        Some(&self.chosen)
    }

    /// Whether a centroid counts for a point.
    #[inline(always)]
    fn counts(&self, point: usize, centroid: u32) -> bool {
        self.limits.is_empty() || centroid < self.limits[point]
    }

    /// Makes room for so many points that go over so many groups.
    pub(super) fn begin(&mut self, padded: usize, groups: usize) {
        self.clear(padded);
        self.candidates.reset(padded, 1);
        self.limits.clear();
        self.tops.clear();
        self.tops.resize(groups * padded, f32::NEG_INFINITY);
    }

    /// Makes room for what is known of so many points.
    fn clear(&mut self, padded: usize) {
        for part in [&mut self.alpha, &mut self.residual, &mut self.norm, &mut self.own] {
            part.clear();
            part.resize(padded, 0.0);
        }
    }

    /// Keeps what is known of a row.
    #[inline(always)]
    pub(super) fn put(&mut self, point: usize, row: Row) {
        (self.alpha[point], self.residual[point]) = (row.alpha, row.residual);
        (self.norm[point], self.own[point]) = (row.norm, row.own);
    }
}

/// Scores of the centroids of some blocks and the packed points, and the candidates that follow from them; with `TOPS`
/// also what no score of a group of so many blocks is above.
///
/// # Safety
/// As for [`pack`], after it.
#[inline(always)]
pub(super) unsafe fn product<K: Kernel, const TOPS: bool>(
    table: &Table<K::Element>,
    points: usize,
    next: &[f32],
    (blocks, group_blocks): (Range<usize>, usize),
    scratch: &mut Scratch,
) {
    let (panels, depth) = (points.div_ceil(PANEL), table.depth);
    let packed = scratch.panels.take::<K::Element>(panels * PANEL * depth).cast_const();
    // Of several chunks each panel needs sums of its own.
    let apart = if depth <= K::CHUNK { 0 } else { PANEL * K::ROWS };
    let scores = scratch.scores.take::<f32>(panels * PANEL * K::ROWS);
    let mut next = next.as_ptr_range();
    let first = blocks.start;
    for block in blocks {
        let a = table.block(block);
        let tops = if TOPS { (block - first) / group_blocks * panels * PANEL } else { 0 };
        for k in (0..depth).step_by(K::CHUNK) {
            let chunk = K::CHUNK.min(depth - k);
            let fetched = chunk / matmul::GRAIN * matmul::AHEAD;
            let mut next_block = a.start.wrapping_add(K::ROWS * a.stride).cast_const();
            for panel in 0..panels {
                // First the rows of the next group, then the next block.
                let ahead = if next.start < next.end { next.start.cast() } else { next_block };
                // SAFETY: `ROWS` rows of the table, a panel of `depth` rows, and scores for `ROWS` rows of each panel.
                unsafe {
                    let c = View { start: scores.add(panel * apart), stride: PANEL };
                    K::block(a.from(0, k), packed.add((panel * depth + k) * PANEL), ahead, chunk, c, k > 0);
                    if k + chunk == depth {
                        scan::<K, TOPS>(table, block, c, panel * PANEL, tops, scratch);
                    }
                }
                next.start = next.start.wrapping_byte_add(fetched);
                next_block = next_block.wrapping_byte_add(fetched);
            }
        }
    }
}

/// Takes the candidates out of a block of scores, whose columns are the points from `first` on. `tops`: where those of
/// the group begin.
///
/// # Safety
/// The kernel's instructions are there and `scores` is a whole block.
#[inline(always)]
unsafe fn scan<K: Kernel, const TOPS: bool>(
    table: &Table<K::Element>,
    block: usize,
    scores: View<f32>,
    first: usize,
    tops: usize,
    scratch: &mut Scratch,
) {
    let start = block * K::ROWS;
    let rows = K::ROWS.min(table.order.len() - start);
    let bias = &table.bias[start..][..rows];
    let limits = table.limits[block];
    let mut errors = [0.0; PANEL];
    let parts = [&scratch.alpha, &scratch.residual, &scratch.norm, &scratch.own, &scratch.candidates.least];
    assert!(parts.iter().all(|part| part.len() >= first + PANEL), "whole panels");
    assert!(!TOPS || scratch.tops.len() >= tops + first + PANEL, "whole panels of tops");
    for lane in (0..PANEL).step_by(K::Lanes::COUNT) {
        let point = first + lane;
        // SAFETY: within a panel, of which every part has all points; rows below `rows`.
        unsafe {
            let lanes = |part: &Vec<f32>| part.as_ptr().add(point);
            let alpha = K::Lanes::load(lanes(&scratch.alpha));
            let zero = alpha.sub(alpha);
            let size = alpha.max(zero.sub(alpha));
            let error = size.mul_add(zero.splat(limits.alpha), K::Lanes::load(lanes(&scratch.own)));
            let error = K::Lanes::load(lanes(&scratch.norm)).mul_add(zero.splat(limits.norm), error);
            let error = K::Lanes::load(lanes(&scratch.residual)).mul_add(zero.splat(limits.residual), error);
            error.store(errors.as_mut_ptr());
            let mut least = K::Lanes::load(lanes(&scratch.candidates.least)).sub(error);
            let mut seen = zero.splat(f32::NEG_INFINITY);
            for row in (0..rows).step_by(AT_ONCE) {
                // Few rows have a hit: four are asked together.
                let biases = &bias[row..rows.min(row + AT_ONCE)];
                let mut best = zero.splat(f32::NEG_INFINITY);
                for (i, &bias) in biases.iter().enumerate() {
                    let score = K::Lanes::load(scores.at(row + i, lane));
                    best = best.max(alpha.mul_add(zero.splat(bias), score));
                }
                if TOPS {
                    seen = seen.max(best);
                }
                if best.at_least(least) == 0 {
                    continue;
                }
                for (row, &bias) in (row..).zip(biases) {
                    let score = alpha.mul_add(zero.splat(bias), K::Lanes::load(scores.at(row, lane)));
                    let mut hits = score.at_least(least);
                    while hits != 0 {
                        let i = hits.trailing_zeros() as usize;
                        hits &= hits - 1;
                        if !scratch.counts(point + i, table.order[start + row]) {
                            continue;
                        }
                        let score = *scores.at(row, lane + i) + scratch.alpha[point + i] * bias;
                        let (lower, upper) = (score - errors[i], score + errors[i]);
                        scratch.candidates.push(point + i, (start + row) as u32, lower, upper);
                    }
                }
                least = K::Lanes::load(lanes(&scratch.candidates.least)).sub(error);
            }
            if TOPS {
                let top = scratch.tops.as_mut_ptr().add(tops + point);
                K::Lanes::load(top).max(seen.add(error)).store(top);
            }
        }
    }
}

//! Attention of the sequences of a batch, head by head.
//!
//! For a sequence of `t` tokens and a head of `e` values (padded with zeros to `width`, a multiple of 32):
//! `score(i, j) = q(i)·k(j) / sqrt e + bias(j - i)`, `p(i, ·) = softmax`, `context(i) = Σ p(i, j) v(j)`.
//! A key that a query must not see has a `p` of exactly zero.
//!
//! Keys and values are packed as right-hand matrices once for the heads of queries that share them; then some queries
//! at a time (a block of the kernel) have all their scores computed, turned into exponentials (of the score less the
//! largest one, 1 at most), multiplied with the values, and divided by their sum at last. Memory: the scores of a block
//! of queries, `t` each; of a window only its keys and those that fill up panels. Positions enter as one number for a
//! distance, looked up in a line of `2 t - 1` of them made for the head.
//!
//! A query's sums run over its sequence's keys in ascending order from a start that its place in the sequence gives, so
//! the result does not know where in a batch the sequence stands. Where tokens see no later ones, what follows a query
//! adds exact zeros behind its sums: a prefix has the bits that it has alone.

use crate::activation::{exp2, soft_cap};
use crate::buffer::{Buffer, round_up, stride};
use crate::lanes::Lanes;
use crate::matmul::{Element, GRAIN, Kernel, PANEL, View};
use crate::norm::Norm;
use crate::transformer::{self, Rotary};

/// A score that no softmax sees.
const HIDDEN: f32 = -1e30;

/// What is farther below the largest score weighs nothing. No score is, and a hidden one is, also scaled.
const FAR: f32 = 1e27;

/// Sizes of the heads, which all blocks share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heads {
    /// Number of heads of queries.
    pub(crate) count: usize,
    /// Number of heads of keys and values, which divides it.
    pub(crate) key_count: usize,
    /// `e`.
    pub(crate) size: usize,
}

impl Heads {
    /// `e` padded to whole panels.
    pub(crate) fn width(self) -> usize {
        round_up(self.size, PANEL)
    }

    /// Columns of all heads of queries, padded.
    pub(crate) fn columns(self) -> usize {
        self.count * self.width()
    }

    /// Columns of all heads of keys, or of values.
    pub(crate) fn key_columns(self) -> usize {
        self.key_count * self.width()
    }
}

/// What a block's attention knows beside its products.
#[derive(Debug)]
pub(crate) struct Attention {
    pub(crate) heads: Heads,
    pub(crate) is_causal: bool,
    /// Normalisations of a head of queries, and of keys.
    pub(crate) query_norm: Option<Norm>,
    pub(crate) key_norm: Option<Norm>,
    pub(crate) scale: f32,
    pub(crate) soft_cap: Option<f32>,
    pub(crate) positions: transformer::Positions,
    pub(crate) window: Option<usize>,
}

/// Memory of [`Attention::run`], for one thread.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    keys: Buffer,
    values: Buffer,
    scores: Buffer,
    weights: Buffer,
    context: Buffer,
    row: Buffer,
    bias: Vec<f32>,
    turns: Vec<Turns>,
}

/// Cosines and sines of a rotary embedding, one of each a frequency for every position.
#[derive(Debug)]
struct Turns {
    rotary: Rotary,
    positions: usize,
    cosines: Vec<f32>,
    sines: Vec<f32>,
}

impl Turns {
    /// Extends the tables. The angle is made in 32-bit floats as Hugging Face makes it, so that long texts agree with
    /// it.
    fn grow(&mut self, positions: usize) {
        for position in self.positions..positions {
            for &frequency in &self.rotary.frequencies {
                let (sine, cosine) = f64::from(position as f32 * frequency).sin_cos();
                self.cosines.push(cosine as f32 * self.rotary.scale);
                self.sines.push(sine as f32 * self.rotary.scale);
            }
        }
        self.positions = self.positions.max(positions);
    }
}

/// The tables of a rotary embedding, at least `positions` long.
fn turns<'a>(tables: &'a mut Vec<Turns>, rotary: &Rotary, positions: usize) -> &'a Turns {
    let found = tables.iter().position(|t| t.rotary == *rotary);
    let index = found.unwrap_or_else(|| {
        tables.push(Turns { rotary: rotary.clone(), positions: 0, cosines: Vec::new(), sines: Vec::new() });
        tables.len() - 1
    });
    tables[index].grow(positions);
    &tables[index]
}

/// T5's bidirectional bucket of a distance `key - query`, as MPNet computes it.
fn bucket(distance: isize, buckets: usize, distance_max: usize) -> usize {
    let half = buckets / 2;
    let exact = half / 2;
    let n = distance.unsigned_abs();
    let within = if n < exact {
        n
    } else {
        // Logarithms rounded to 32 bits as in PyTorch: at powers of two their ratio is then a whole number.
        let ln = |x: f64| x.ln() as f32;
        let ratio = ln(n as f64 / exact as f64) / ln(distance_max as f64 / exact as f64);
        (exact + (ratio * (half - exact) as f32) as usize).min(half - 1)
    };
    if distance > 0 { half + within } else { within }
}

/// The bias of distance `index - (t - 1)` at `index`, for one head; nothing where positions add none. Padded for whole
/// panels of keys.
fn fill_bias(bias: &mut Vec<f32>, positions: &transformer::Positions, head: usize, t: usize) -> bool {
    let distances = 1 - t as isize..t as isize;
    bias.clear();
    match positions {
        transformer::Positions::Alibi(slopes) => {
            bias.extend(distances.map(|n| -slopes[head] * n.unsigned_abs() as f32));
        }
        transformer::Positions::Relative { table, distance_max } => {
            let (rows, columns) = (table.rows, table.columns);
            bias.extend(distances.map(|n| table.values[bucket(n, rows, *distance_max) * columns + head]));
        }
        transformer::Positions::None | transformer::Positions::Rotary(_) => return false,
    }
    bias.resize(2 * t + PANEL, 0.0);
    true
}

/// The keys and values of one head of one sequence, packed, and what its queries need to know.
struct Head<'a, K: Kernel> {
    queries: View<K::Element>,
    keys: *const K::Element,
    values: *const K::Element,
    /// Values of a head, padded.
    width: usize,
    t: usize,
    attention: &'a Attention,
    bias: Option<&'a [f32]>,
}

/// Working places for one block of queries.
struct Places<E> {
    scores: View<f32>,
    weights: View<E>,
    context: View<f32>,
}

impl Attention {
    /// Attention of sequences of `lengths` standing one after the other: `qkv` holds queries, keys and values of all
    /// heads in its columns, `context` receives the heads side by side.
    ///
    /// # Safety
    /// The kernel's instructions are there; `qkv` has the sum of `lengths` rows and a block more, `context` the sum.
    #[inline(always)]
    pub(crate) unsafe fn run<K: Kernel>(
        &self,
        qkv: View<K::Element>,
        context: View<K::Element>,
        lengths: &[usize],
        scratch: &mut Scratch,
    ) {
        let Heads { count, key_count, .. } = self.heads;
        let (width, key_columns) = (self.heads.width(), self.heads.key_columns());
        let longest = round_up(lengths.iter().copied().max().unwrap_or(0), PANEL);
        let keys = scratch.keys.take(longest * width);
        let values = scratch.values.take(longest * width);
        let places = places::<K>(scratch, longest);
        let mut first = 0;
        for &t in lengths {
            let all = self.heads.columns();
            // SAFETY: rows of this sequence and columns of its heads; keys and values have room for the longest
            // sequence.
            unsafe {
                self.prepare::<K>(qkv.from(first, 0), t, scratch);
                for head in 0..count {
                    let key_head = all + head * key_count / count * width;
                    if (head * key_count).is_multiple_of(count) {
                        K::pack_transposed(qkv.from(first, key_head), t, width, keys);
                        K::pack_rows(qkv.from(first, key_head + key_columns), t, width, values);
                    }
                    let column = head * width;
                    let biased = fill_bias(&mut scratch.bias, &self.positions, head, t);
                    let bias = biased.then_some(&scratch.bias[..]);
                    let queries = qkv.from(first, column);
                    let head = Head::<K> { queries, keys, values, width, t, attention: self, bias };
                    for query in (0..t).step_by(K::ROWS) {
                        head.queries(query, &places, context.from(first + query, column));
                    }
                }
            }
            first += t;
        }
    }

    /// Normalises and turns queries and keys of `t` rows in place.
    ///
    /// # Safety
    /// `qkv` has `t` rows.
    #[inline(always)]
    unsafe fn prepare<K: Kernel>(&self, qkv: View<K::Element>, t: usize, scratch: &mut Scratch) {
        let row: *mut f32 = scratch.row.take(self.heads.width());
        let keys = self.heads.columns();
        // SAFETY: rows and columns of queries and keys.
        unsafe {
            if let Some(norm) = &self.query_norm {
                normalize::<K>(norm, qkv, t, self.heads.count, self.heads.width(), row);
            }
            if let Some(norm) = &self.key_norm {
                normalize::<K>(norm, qkv.from(0, keys), t, self.heads.key_count, self.heads.width(), row);
            }
            if let transformer::Positions::Rotary(rotary) = &self.positions {
                self.rotate::<K>(qkv, t, turns(&mut scratch.turns, rotary, t));
            }
        }
    }

    /// Turns queries and keys of `t` rows in place.
    ///
    /// # Safety
    /// `qkv` has `t` rows.
    #[inline(always)]
    unsafe fn rotate<K: Kernel>(&self, qkv: View<K::Element>, t: usize, turns: &Turns) {
        let pairs = turns.rotary.frequencies.len();
        for row in 0..t {
            let (cosines, sines) = (&turns.cosines[row * pairs..][..pairs], &turns.sines[row * pairs..][..pairs]);
            for head in 0..self.heads.count + self.heads.key_count {
                // SAFETY: queries' heads, then keys' heads, of this row.
                let line = unsafe { std::slice::from_raw_parts_mut(qkv.at(row, head * self.heads.width()), 2 * pairs) };
                rotate(line, cosines, sines);
            }
        }
    }
}

/// Normalises `heads` heads of `width` columns side by side, in place.
///
/// # Safety
/// The kernel's instructions are there; `from` has `t` rows of them, and `row` is writable for `width` floats.
#[inline(always)]
unsafe fn normalize<K: Kernel>(
    norm: &Norm,
    from: View<K::Element>,
    t: usize,
    heads: usize,
    width: usize,
    row: *mut f32,
) {
    for (i, head) in (0..t).flat_map(|i| (0..heads).map(move |head| (i, head))) {
        // SAFETY: a head of a row.
        unsafe {
            let line = from.at(i, head * width);
            for c in 0..width {
                *row.add(c) = (*line.add(c)).to_f32();
            }
            norm.apply::<K::Lanes>(row, row);
            for c in (0..width).step_by(K::Lanes::COUNT) {
                K::store(K::Lanes::load(row.add(c)), line.add(c));
            }
        }
    }
}

/// `(a, b) = (a cos - b sin, b cos + a sin)` for the halves `a` and `b` of a head.
#[inline(always)]
fn rotate<E: Element>(line: &mut [E], cosines: &[f32], sines: &[f32]) {
    let (left, right) = line.split_at_mut(cosines.len());
    let turns = cosines.iter().zip(sines);
    for ((a, b), (&cosine, &sine)) in left.iter_mut().zip(right).zip(turns) {
        let (x, y) = (a.to_f32(), b.to_f32());
        *a = E::from_f32(x * cosine - y * sine);
        *b = E::from_f32(y * cosine + x * sine);
    }
}

/// Room for the scores of one block of queries against `longest` keys.
fn places<K: Kernel>(scratch: &mut Scratch, longest: usize) -> Places<K::Element> {
    let (floats, elements) = (stride::<f32>(longest), stride::<K::Element>(longest));
    Places {
        scores: View { start: scratch.scores.take(K::ROWS * floats), stride: floats },
        weights: View { start: scratch.weights.take(K::ROWS * elements), stride: elements },
        context: View { start: scratch.context.take(K::ROWS * PANEL), stride: PANEL },
    }
}

impl<K: Kernel> Head<'_, K> {
    /// One block of queries from `first` on; `context` is where its first row belongs.
    ///
    /// # Safety
    /// As for [`Attention::run`].
    #[inline(always)]
    unsafe fn queries(&self, first: usize, places: &Places<K::Element>, context: View<K::Element>) {
        let rows = K::ROWS.min(self.t - first);
        let reach = self.attention.window.unwrap_or(self.t);
        // Whole panels that hold every key that any of these queries sees.
        let low = first.saturating_sub(reach) / PANEL * PANEL;
        let ahead = if self.attention.is_causal { 0 } else { reach };
        let high = round_up((first + rows).saturating_add(ahead).min(self.t), PANEL);
        // SAFETY: panels of the packed keys and values; the places have room for all keys of the longest sequence.
        unsafe {
            for panel in (low..high).step_by(PANEL) {
                let keys = self.keys.add(panel * self.width);
                K::block(
                    self.queries.from(first, 0),
                    keys,
                    keys,
                    self.width,
                    places.scores.from(0, panel - low),
                    false,
                );
            }
            let mut shares = [0.0; 32];
            for (row, share) in shares.iter_mut().enumerate().take(rows) {
                let (scores, weights) = (places.scores.at(row, 0), places.weights.at(row, 0));
                *share = 1.0 / self.softmax(first + row, low..high, scores, weights);
            }
            let depth = round_up(self.t, GRAIN);
            for column in (0..self.width).step_by(PANEL) {
                let values = self.values.add(column * depth + low * PANEL);
                K::block(places.weights, values, values, high - low, places.context, false);
                for (row, &share) in shares.iter().enumerate().take(rows) {
                    for i in (0..PANEL).step_by(2 * K::Lanes::COUNT) {
                        let left = K::Lanes::load(places.context.at(row, i));
                        let right = K::Lanes::load(places.context.at(row, i + K::Lanes::COUNT));
                        let share = left.splat(share);
                        K::store_pair([left.mul(share), right.mul(share)], context.at(row, column + i));
                    }
                }
            }
        }
    }

    /// Turns the scores of one query with the keys of a range into their exponentials and returns the sum of these.
    ///
    /// # Safety
    /// `scores` and `weights` have a value for each key of the range, a multiple of 32.
    #[inline(always)]
    unsafe fn softmax(
        &self,
        query: usize,
        keys: std::ops::Range<usize>,
        scores: *mut f32,
        weights: *mut K::Element,
    ) -> f32 {
        let count = keys.len();
        // SAFETY: all indices lie below `count`; the bias line has `2 t - 1` values and 32 more.
        unsafe {
            let mut scale = self.attention.scale;
            if let Some(cap) = self.attention.soft_cap {
                cap_scores::<K::Lanes>(scores, scale, cap, count);
                scale = 1.0;
            }
            if let Some(bias) = self.bias {
                let bias = bias[self.t - 1 - query + keys.start..][..count].as_ptr();
                add_bias::<K::Lanes>(scores, bias, scale, count);
                scale = 1.0;
            }
            if let Some(window) = self.attention.window {
                let hidden = (keys.start..query.saturating_sub(window))
                    .chain(query.saturating_add(window).saturating_add(1)..keys.end);
                for key in hidden {
                    *scores.add(key - keys.start) = HIDDEN;
                }
            }
            let end = if self.attention.is_causal { query + 1 } else { self.t };
            for panel in (end / PANEL * PANEL..keys.end).step_by(PANEL) {
                hide_end::<K::Lanes>(scores.add(panel - keys.start), PANEL - end.saturating_sub(panel));
            }
            exponentials::<K>(scores, scale, count, weights)
        }
    }
}

/// `cap · tanh(score · scale / cap)`, in place.
///
/// # Safety
/// `scores` has `count` values, a multiple of 32.
#[inline(always)]
unsafe fn cap_scores<L: Lanes>(scores: *mut f32, scale: f32, cap: f32, count: usize) {
    for i in (0..count).step_by(L::COUNT) {
        // SAFETY: all indices lie below `count`.
        unsafe {
            let score = L::load(scores.add(i));
            soft_cap(score.mul(score.splat(scale)), cap).store(scores.add(i));
        }
    }
}

/// `score · scale + bias`, in place.
///
/// # Safety
/// Both have `count` values, a multiple of 32.
#[inline(always)]
unsafe fn add_bias<L: Lanes>(scores: *mut f32, bias: *const f32, scale: f32, count: usize) {
    // SAFETY: all indices lie below `count`.
    unsafe {
        let scale = L::zero().splat(scale);
        for i in (0..count).step_by(L::COUNT) {
            L::load(scores.add(i)).mul_add(scale, L::load(bias.add(i))).store(scores.add(i));
        }
    }
}

/// Hides the last `hidden` of the 32 keys of a panel. Whole registers are read and written, because reading one back
/// that was written in pieces would wait for the cache.
///
/// # Safety
/// `scores` has 32 values.
#[inline(always)]
unsafe fn hide_end<L: Lanes>(scores: *mut f32, hidden: usize) {
    const EDGE: [f32; 2 * PANEL] = {
        let mut edge = [0.0; 2 * PANEL];
        let mut i = PANEL;
        while i < 2 * PANEL {
            edge[i] = HIDDEN;
            i += 1;
        }
        edge
    };
    let edge: &'static [f32] = const { &EDGE };
    for i in (0..PANEL).step_by(L::COUNT) {
        // SAFETY: within the panel.
        unsafe { L::load(scores.add(i)).add(L::load(edge[hidden + i..].as_ptr())).store(scores.add(i)) }
    }
}

/// `exp(scale · (score - largest))` of each score into `weights`, zero of a hidden one; returns their sum.
///
/// # Safety
/// Both have `count` values, a multiple of 32.
#[inline(always)]
unsafe fn exponentials<K: Kernel>(scores: *const f32, scale: f32, count: usize, weights: *mut K::Element) -> f32 {
    // SAFETY: all indices lie below `count`.
    unsafe {
        let mut most = K::Lanes::load(scores);
        for i in (0..count).step_by(K::Lanes::COUNT) {
            most = most.max(K::Lanes::load(scores.add(i)));
        }
        let scale = scale * std::f32::consts::LOG2_E;
        let shift = most.splat(-most.largest() * scale);
        let scale = most.splat(scale);
        let mut sum = K::Lanes::zero();
        for i in (0..count).step_by(2 * K::Lanes::COUNT) {
            let left = K::Lanes::load(scores.add(i)).mul_add(scale, shift);
            let right = K::Lanes::load(scores.add(i + K::Lanes::COUNT)).mul_add(scale, shift);
            let pair = if K::EXACT {
                [exp2::<_, true>(left), exp2::<_, true>(right)]
            } else {
                [exp2::<_, false>(left), exp2::<_, false>(right)]
            };
            let pair = [pair[0].mul(seen(left)), pair[1].mul(seen(right))];
            K::store_pair(pair, weights.add(i));
            sum = sum.add(pair[0].add(pair[1]));
        }
        sum.sum()
    }
}

/// One for a score, zero for a hidden one, given its distance from the largest.
#[inline(always)]
fn seen<L: Lanes>(distance: L) -> L {
    distance.add(distance.splat(FAR)).max(distance.splat(0.0)).min(distance.splat(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sixty-four scores, of which the odd ones are hidden, by a kernel.
    fn hidden_weights<K: Kernel>(scale: f32) -> Vec<f32> {
        let mut scores: Vec<f32> = (0..64).map(|i| if i % 2 == 0 { i as f32 - 200.0 } else { HIDDEN }).collect();
        let mut weights = vec![K::Element::from_f32(7.0); 64];
        // SAFETY: both have 64 values, and the caller chose a kernel that runs here.
        let sum = unsafe { exponentials::<K>(scores.as_mut_ptr(), scale, 64, weights.as_mut_ptr()) };
        assert!(sum >= 1.0);
        weights.into_iter().map(Element::to_f32).collect()
    }

    #[test]
    fn hidden_keys_weigh_exactly_nothing() {
        for scale in [1.0, 0.125, 1.0 / 64.0] {
            let mut all = vec![hidden_weights::<crate::matmul::plain::PlainKernel>(scale)];
            #[cfg(target_arch = "x86_64")]
            if crate::cpu::has_avx2() {
                all.push(hidden_weights::<crate::matmul::avx2::Avx2Kernel>(scale));
            }
            for weights in all {
                let is_right = |(i, &weight): (usize, &f32)| (weight == 0.0) == (i % 2 == 1);
                assert!(weights.iter().enumerate().all(is_right), "{scale}: {weights:?}");
            }
        }
    }

    #[test]
    fn buckets_are_those_of_t5() {
        // From transformers 4.57, MPNetEncoder.relative_position_bucket with 32 buckets and distance 128.
        let expected = [
            (0, 0),
            (-1, 1),
            (-7, 7),
            (-8, 8),
            (-11, 8),
            (-12, 9),
            (-16, 10),
            (-31, 11),
            (-32, 12),
            (-63, 13),
            (-64, 14),
            (-90, 14),
            (-91, 15),
            (-500, 15),
            (1, 17),
            (8, 24),
            (200, 31),
        ];
        for (distance, wanted) in expected {
            assert_eq!(bucket(distance, 32, 128), wanted, "distance {distance}");
        }
    }
}

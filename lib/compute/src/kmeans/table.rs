//! Centroids and rows rounded for a fast product, and how far its scores are from the truth.
//!
//! # What is proposed
//!
//! A score is the larger the nearer, and adding to all scores of a row alike changes nothing. So with `m` the mean of
//! what the rows of the product are (`c_j / |c_j|`, or `c_j`), `v_j = c_j / |c_j| - m` or `c_j - m`, and `t = x - a m`:
//!
//! - cosine, any `a` (the one that makes `t` shortest): `x . c_j / |c_j|` less `x . m` is `t . v_j + a b_j`, with
//!   `b_j = m . v_j`;
//! - Euclidean, `a = 1`: `(|t|^2 - |x - c_j|^2) / 2` is `t . v_j + b_j`, with `b_j = -|v_j|^2 / 2`.
//!
//! What is far from the origin, or lies in a narrow cone around one direction, is thus as easy as what does not. All
//! `v` are scaled by one number that makes the longest [`NORM`] long, each `t` by one of its own that makes it as long:
//! `v'` and `t'` are what is left after rounding to bf16, 16-bit integers or 32-bit floats, and the score is
//! `t' . v' + alpha b_j`, `alpha` being `a` times the scale of `t`.
//!
//! # The bound
//!
//! With `t = t' + e` and `v = v' + f`, all scaled, `t . v - t' . v' = e . v + t' . f`, at most `|e| |v| + |t'| |f|`.
//! The residuals `e` and `f` are measured, not assumed: their norms are smaller than the worst case of rounding by a
//! factor of more than two.
//!
//! The product itself: products of two bf16 are exact in 32 bits, those of floats are rounded or fused, those of
//! integers are exact like their sums. Whatever the order in which an instruction adds (`tdpbf16ps` takes pairs), a
//! term passes through at most one rounding for each term of the padded depth, and the rounding is faithful, so with
//! `h = depth + 40` (the 40 leave room for the bias and for comparing) and `u = 2^-23` the error is at most
//! `g |t'| |v'|`, `g = h u / (1 - h u)` (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1). What is
//! flushed to zero (factors, products, sums below 2^-126) comes to less than `h 2^-100 |t'|`, as `|t'|` and `|v'|` are
//! about [`NORM`].
//!
//! The bias adds `2^-21 |alpha b_j|` at most, for its rounding and its addition. [`exact`](super::exact) rounds as
//! well: it may call a centroid nearest whose true score is below the best by what its `d / 16 + 20` roundings of
//! relative size `2^-53` amount to: with `r = (d + 64) 2^-50` below `r |x|` for the cosine and below `r (|t|^2 +
//! |v|^2)` for the Euclidean score, scaled.
//!
//! So with maxima over a block of centroids (which stand in the order of `|v|`, so that a far one spoils the bound of
//! its neighbours only), `error <= |e| max|v| + |t'| max(|f| + g |v'| + ..) + |alpha| max(2^-21 |b| + ..) + ..`, see
//! [`Limits`] and [`Row`]. A centroid whose score plus its error is below another's score minus its error is not the
//! nearest.

use super::{Centroids, Metric, exact};
use crate::buffer::{Buffer, round_up, stride};
use crate::lanes::Lanes;
use crate::matmul::{self, Element, GRAIN, Kernel, View};

/// How long rows and the longest centroid are: no value is beyond 16 bits, and no sum of products beyond 32.
const NORM: f64 = 32_000.0;

/// What a row may come to by roundings.
const NORM_MAX: f64 = 32_500.0;

/// Values are used between powers of two with these exponents: none that comes near to where 32-bit floats end.
const EXPONENT_MAX: i32 = 100;
const SQUARE_MAX: f32 = (1_u128 << 80) as f32;

/// Deeper products would say nothing.
const DEPTH_MAX: usize = 1 << 18;

/// A kernel that proposes.
pub(super) trait Proposer: Kernel {
    /// What the elements of the product make of a value, without leaving floats: floats keep it.
    #[inline(always)]
    fn represented(value: Self::Lanes) -> Self::Lanes {
        value
    }

    /// The product of two rows, in some order that the bound covers.
    ///
    /// # Safety
    /// The kernel's instructions are there; both have `depth` values, a multiple of [`GRAIN`].
    unsafe fn product(a: *const Self::Element, b: *const Self::Element, depth: usize) -> f32;
}

/// [`Proposer::product`] of floats.
///
/// # Safety
/// As there.
#[inline(always)]
unsafe fn product<K: Kernel<Element = f32>>(a: *const f32, b: *const f32, depth: usize) -> f32 {
    // SAFETY: the caller's promise.
    unsafe {
        let mut sum = K::Lanes::zero();
        for i in (0..depth).step_by(K::Lanes::COUNT) {
            sum = K::Lanes::load(a.add(i)).mul_add(K::Lanes::load(b.add(i)), sum);
        }
        sum.sum()
    }
}

impl Proposer for matmul::plain::PlainKernel {
    #[inline(always)]
    unsafe fn product(a: *const f32, b: *const f32, depth: usize) -> f32 {
        // SAFETY: the caller's promise.
        unsafe { product::<Self>(a, b, depth) }
    }
}

#[cfg(target_arch = "x86_64")]
impl Proposer for matmul::avx2::Avx2Kernel {
    #[inline(always)]
    unsafe fn product(a: *const f32, b: *const f32, depth: usize) -> f32 {
        // SAFETY: the caller's promise.
        unsafe { product::<Self>(a, b, depth) }
    }
}

#[cfg(target_arch = "x86_64")]
impl Proposer for matmul::avx512::Avx512Kernel {
    #[inline(always)]
    unsafe fn product(a: *const f32, b: *const f32, depth: usize) -> f32 {
        // SAFETY: the caller's promise.
        unsafe { product::<Self>(a, b, depth) }
    }
}

#[cfg(target_arch = "x86_64")]
impl Proposer for matmul::avx512vnni::Avx512VnniKernel {
    #[inline(always)]
    fn represented(value: Self::Lanes) -> Self::Lanes {
        value.round()
    }

    #[inline(always)]
    unsafe fn product(a: *const i16, b: *const i16, depth: usize) -> f32 {
        // SAFETY: the caller's promise.
        unsafe { matmul::avx512vnni::dot(a, b, depth) }
    }
}

#[cfg(target_arch = "x86_64")]
impl Proposer for matmul::amx::AmxKernel<true> {
    /// Dekker's split: the nearest value of eight bits, which is a bf16.
    #[inline(always)]
    fn represented(value: Self::Lanes) -> Self::Lanes {
        let wide = value.mul(value.splat(65537.0));
        wide.sub(wide.sub(value))
    }

    #[inline(always)]
    unsafe fn product(a: *const u16, b: *const u16, depth: usize) -> f32 {
        // SAFETY: the caller's promise.
        unsafe { matmul::avx512bf16::dot(a, b, depth) }
    }
}

/// Centroids as the product takes them.
#[derive(Debug)]
pub(super) struct Table<E> {
    values: Buffer,
    stride: usize,
    /// Values of a row, padded.
    pub(super) depth: usize,
    /// Rows of a block.
    block: usize,
    /// Which centroid stands in a row.
    pub(super) order: Vec<u32>,
    /// In which row a centroid stands.
    pub(super) slots: Vec<u32>,
    /// `b`.
    pub(super) bias: Vec<f32>,
    /// One a block.
    pub(super) limits: Vec<Limits>,
    rows: RowShift,
    element: std::marker::PhantomData<E>,
}

/// What rows are turned into `t` by.
#[derive(Debug)]
struct RowShift {
    metric: Metric,
    /// `m`, padded with zeros.
    middle: Vec<f32>,
    /// `m / |m|^2`, whose product with a row is `a` under [`Metric::Cosine`]; zeros where `m` is as good as zero.
    along: Vec<f32>,
    /// `|m|` under [`Metric::Cosine`], where `a m` is rounded.
    length: f64,
    /// What `t` is multiplied by first under [`Metric::Euclidean`]: the power of two that brings `v` near 1.
    power: f32,
    /// What `v` is multiplied by after that.
    scale: f64,
    /// `r`.
    exact_error: f64,
}

/// The parts of the error that come from the centroids of a block.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Limits {
    /// Times the norm of a row's residual.
    pub(super) residual: f32,
    /// Times the norm of a row.
    pub(super) norm: f32,
    /// Times `|alpha|`.
    pub(super) alpha: f32,
}

/// A row's factor of the bias, and the parts of the error that come from a row.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Row {
    pub(super) alpha: f32,
    pub(super) residual: f32,
    pub(super) norm: f32,
    pub(super) own: f32,
    /// What `t` was multiplied by; 0 where the row was multiplied by something before.
    pub(super) scale: f32,
}

impl<E: Element> Table<E> {
    /// Rounds the centroids, in blocks of so many rows, in a given order or that of `|v|`; `None` where their scale is
    /// beyond what a product can do.
    pub(super) fn new(centroids: &Centroids, norms: &[f64], block: usize, order: Option<&[u32]>) -> Option<Table<E>> {
        let (k, dim) = (centroids.k(), centroids.dim);
        let depth = round_up(dim, GRAIN);
        let mut shift = Shift::new(centroids, norms)?;
        if depth > DEPTH_MAX {
            return None;
        }
        let (mut vector, mut rounded, mut residual) = (vec![0.0; dim], vec![0.0; dim], vec![0.0; dim]);
        let mut lengths: Vec<(f64, u32)> = (0..k as u32)
            .map(|j| {
                shift.apply(centroids, norms, j, &mut vector);
                (product_of(&vector, &vector).sqrt(), j)
            })
            .collect();
        // Centroids that are all but the same have no scale worth a score.
        let longest = lengths.iter().map(|&(length, _)| length).max_by(f64::total_cmp).unwrap_or(1.0);
        let scale = NORM / longest.max(1e-6);
        match order {
            Some(order) => lengths = order.iter().map(|&j| lengths[j as usize]).collect(),
            None => lengths.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))),
        }
        shift.scale *= scale;
        let rows = RowShift::new(&shift, centroids.metric, depth, scale);

        let (stride, blocks) = (stride::<E>(depth), k.div_ceil(block));
        let mut values = Buffer::default();
        let count = blocks * block * stride;
        let start = values.take::<E>(count);
        // SAFETY: `take` gave so many initialised values, and nothing else refers to them.
        let elements = unsafe { std::slice::from_raw_parts_mut(start, count) };
        let mut bias = Vec::with_capacity(k);
        let mut limits = vec![Limits::default(); blocks];
        for (slot, &(length, j)) in lengths.iter().enumerate() {
            shift.apply(centroids, norms, j, &mut vector);
            for (i, to) in elements[slot * stride..][..dim].iter_mut().enumerate() {
                *to = E::from_f32(vector[i] as f32);
                rounded[i] = f64::from(to.to_f32());
                residual[i] = vector[i] - rounded[i];
            }
            let b = match centroids.metric {
                Metric::Cosine => product_of(&vector, &shift.middle),
                Metric::Euclidean => -length * length / 2.0 * scale,
            };
            let norms = [&rounded, &residual].map(|v| product_of(v, v).sqrt());
            bias.push(b as f32);
            let one = Limits::new(&rows, depth, length * scale, norms, b);
            limits[slot / block].widen(one);
        }
        let order: Vec<u32> = lengths.iter().map(|&(_, j)| j).collect();
        let mut slots = vec![0; k];
        order.iter().zip(0..).for_each(|(&j, slot)| slots[j as usize] = slot);
        Some(Table {
            values,
            stride,
            depth,
            block,
            order,
            slots,
            bias,
            limits,
            rows,
            element: std::marker::PhantomData,
        })
    }

    /// A block as the product takes it, to be read only.
    pub(super) fn block(&self, block: usize) -> View<E> {
        let values = self.values.values::<E>(self.limits.len() * self.block * self.stride);
        View { start: values[block * self.block * self.stride..].as_ptr().cast_mut(), stride: self.stride }
    }
}

/// What is taken away from centroids, and what they are multiplied by then.
struct Shift {
    middle: Vec<f64>,
    power: f32,
    scale: f64,
}

impl Shift {
    fn new(centroids: &Centroids, norms: &[f64]) -> Option<Shift> {
        let k = centroids.k() as f64;
        let mut middle = vec![0.0; centroids.dim];
        for (j, row) in centroids.values.chunks_exact(centroids.dim).enumerate() {
            let scale = reciprocal(norms, j);
            middle.iter_mut().zip(row).for_each(|(middle, &value)| *middle += f64::from(value) * scale);
        }
        // Rows are floats, and the same vector is taken away from them.
        middle.iter_mut().for_each(|middle| *middle = f64::from((*middle / k) as f32));
        if centroids.metric == Metric::Cosine {
            return Some(Shift { middle, power: 1.0, scale: 1.0 });
        }
        let mut largest = 0.0_f64;
        for row in centroids.values.chunks_exact(centroids.dim) {
            largest = row.iter().zip(&middle).fold(largest, |max, (&c, m)| max.max((f64::from(c) - m).abs()));
        }
        let exponent = if largest > 0.0 { (largest.to_bits() >> 52) as i32 - 1023 } else { 0 };
        let power = (exponent.abs() <= EXPONENT_MAX).then(|| power_of_two(-exponent))?;
        Some(Shift { middle, power, scale: f64::from(power) })
    }

    /// `v` of a centroid, scaled.
    fn apply(&self, centroids: &Centroids, norms: &[f64], j: u32, to: &mut [f64]) {
        let factor = reciprocal(norms, j as usize);
        for ((to, &value), middle) in to.iter_mut().zip(centroids.row(j as usize)).zip(&self.middle) {
            *to = (f64::from(value) * factor - middle) * self.scale;
        }
    }
}

/// In an order that suits vector registers; whoever calls allows for any.
fn product_of(a: &[f64], b: &[f64]) -> f64 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut sums = [0.0; 8];
    for (a, b) in a.iter().zip(b) {
        (0..8).for_each(|i| sums[i] += a[i] * b[i]);
    }
    sums.iter().sum::<f64>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f64>()
}

/// What makes a centroid a unit vector, where it has to be one.
fn reciprocal(norms: &[f64], j: usize) -> f64 {
    norms.get(j).map_or(1.0, |norm| norm.recip())
}

/// For exponents of normal numbers.
#[inline(always)]
fn power_of_two(exponent: i32) -> f32 {
    f32::from_bits(((exponent + 127) as u32) << 23)
}

/// A little above, as a float: whatever is computed from it with floats has fewer than eight roundings of 2^-24.
#[inline(always)]
fn above(value: f64) -> f32 {
    (value * (1.0 + 4e-6)) as f32
}

impl RowShift {
    fn new(shift: &Shift, metric: Metric, depth: usize, scale: f64) -> RowShift {
        let dim = shift.middle.len();
        let square: f64 = shift.middle.iter().map(|m| m * m).sum();
        let pad = |factor: f64| {
            let mut padded: Vec<f32> = shift.middle.iter().map(|m| (m * factor) as f32).collect();
            padded.resize(depth, 0.0);
            padded
        };
        let (length, along) = match metric {
            Metric::Cosine => (square.sqrt(), if square > 1e-12 { 1.0 / square } else { 0.0 }),
            Metric::Euclidean => (0.0, 0.0),
        };
        let exact_error = (dim + 64) as f64 * f64::powi(2.0, -50);
        RowShift { metric, middle: pad(1.0), along: pad(along), length, power: shift.power, scale, exact_error }
    }
}

impl Limits {
    /// Of a centroid of this length, with the norms of what it was rounded to and of the rest, and its bias.
    fn new(rows: &RowShift, depth: usize, length: f64, [rounded, residual]: [f64; 2], b: f64) -> Limits {
        let roundings = (depth + 40) as f64;
        let relative = roundings * f64::powi(2.0, -23);
        let sum_error = relative / (1.0 - relative);
        let flushed = roundings * f64::powi(2.0, -100);
        // `v` itself was computed in 64 bits.
        let computed = rows.exact_error * (rows.scale + length);
        let exact = match rows.metric {
            Metric::Cosine => 0.0,
            Metric::Euclidean => rows.exact_error * length * length / rows.scale,
        };
        Limits {
            residual: above(length + computed),
            norm: above(residual + sum_error * rounded + computed + flushed),
            alpha: above(f64::powi(2.0, -21) * b.abs() + exact + computed + flushed),
        }
    }

    fn widen(&mut self, other: Limits) {
        self.residual = self.residual.max(other.residual);
        self.norm = self.norm.max(other.norm);
        self.alpha = self.alpha.max(other.alpha);
    }
}

impl<E: Element> Table<E> {
    /// Rounds a row (padded with zeros); `None` where it is beyond what a product can do. May write over `line`, which
    /// may be the row.
    ///
    /// # Safety
    /// The kernel's instructions are there; `row` is readable, `line` and `to` are writable for `depth` values.
    #[inline(always)]
    pub(super) unsafe fn round<K: Proposer<Element = E>>(
        &self,
        row: *const f32,
        line: *mut f32,
        to: *mut E,
    ) -> Option<Row> {
        // SAFETY: the caller's promise.
        unsafe {
            let (mut row, mut as_it_is) = (row, 1.0);
            let mut part = self.part::<K>(row);
            if !part.fits() && self.rows.metric == Metric::Cosine {
                self.bring_near_one::<K>(row, line)?;
                (row, as_it_is) = (line, 0.0);
                part = self.part::<K>(row);
            }
            if !part.fits() {
                return None;
            }
            let scale = NORM as f32 / part.square.sqrt();
            let (norm_sq, residual_sq) = self.store::<K>(row, part.a, scale, to);
            let rounded = || Row { scale: scale * as_it_is, ..self.row(part.a, scale, norm_sq, residual_sq) };
            (norm_sq <= (NORM_MAX * NORM_MAX) as f32).then(rounded)
        }
    }

    /// `a`, and `|t|^2` closely enough for a scale.
    ///
    /// # Safety
    /// As for [`Table::round`].
    #[inline(always)]
    unsafe fn part<K: Kernel>(&self, row: *const f32) -> Part {
        // SAFETY: `middle` and `along` are as long as the row.
        unsafe {
            let zero = K::Lanes::zero();
            if self.rows.metric == Metric::Euclidean {
                return Part { a: 1.0, square: self.square::<K>(row, 1.0) };
            }
            let (mut a, mut square) = (zero, zero);
            for i in (0..self.depth).step_by(K::Lanes::COUNT) {
                let x = K::Lanes::load(row.add(i));
                a = x.mul_add(K::Lanes::load(self.rows.along.as_ptr().add(i)), a);
                square = x.mul_add(x, square);
            }
            let (a, whole) = (a.sum(), square.sum());
            let square = whole - a * a * (self.rows.length * self.rows.length) as f32;
            // In a narrow cone the difference says little.
            let square = if square < whole / 64.0 { self.square::<K>(row, a) } else { square };
            Part { a, square }
        }
    }

    /// `|t|^2`.
    ///
    /// # Safety
    /// As for [`Table::round`].
    #[inline(always)]
    unsafe fn square<K: Kernel>(&self, row: *const f32, a: f32) -> f32 {
        // SAFETY: `middle` is as long as the row.
        unsafe {
            let (away, mut square) = (K::Lanes::zero().splat(-a), K::Lanes::zero());
            let power = away.splat(self.rows.power);
            for i in (0..self.depth).step_by(K::Lanes::COUNT) {
                let middle = K::Lanes::load(self.rows.middle.as_ptr().add(i));
                let t = self.t(K::Lanes::load(row.add(i)), middle, away).mul(power);
                square = t.mul_add(t, square);
            }
            square.sum()
        }
    }

    /// `x - a m`, rounded once where `a` is 1, in any case to within what [`Table::row`] allows for.
    #[inline(always)]
    fn t<L: Lanes>(&self, x: L, middle: L, away: L) -> L {
        match self.rows.metric {
            Metric::Cosine => middle.mul_add(away, x),
            Metric::Euclidean => x.sub(middle),
        }
    }

    /// The row times a power of two that brings its largest value into 1 to 2; `None` where there is none.
    ///
    /// # Safety
    /// As for [`Table::round`].
    #[cold]
    #[inline(never)]
    unsafe fn bring_near_one<K: Kernel>(&self, row: *const f32, line: *mut f32) -> Option<()> {
        // SAFETY: the caller's promise.
        unsafe {
            let power = power_that_makes_one(largest(std::slice::from_raw_parts(row, self.depth)))?;
            (0..self.depth).for_each(|i| *line.add(i) = *row.add(i) * power);
        }
        Some(())
    }

    /// `t'`, and the squares of `|t'|` and of the norm of what rounding took away.
    ///
    /// # Safety
    /// As for [`Table::round`].
    #[inline(always)]
    unsafe fn store<K: Proposer<Element = E>>(&self, row: *const f32, a: f32, scale: f32, to: *mut E) -> (f32, f32) {
        // SAFETY: the caller's promise.
        unsafe {
            let zero = K::Lanes::zero();
            let (away, scale) = (zero.splat(-a), zero.splat(scale * self.rows.power));
            let (mut norm_sq, mut residual_sq) = (zero, zero);
            for i in (0..self.depth).step_by(K::Lanes::COUNT) {
                let middle = K::Lanes::load(self.rows.middle.as_ptr().add(i));
                let value = self.t(K::Lanes::load(row.add(i)), middle, away).mul(scale);
                let rounded = K::represented(value);
                let residual = value.sub(rounded);
                K::store(rounded, to.add(i));
                norm_sq = rounded.mul_add(rounded, norm_sq);
                residual_sq = residual.mul_add(residual, residual_sq);
            }
            (norm_sq.sum(), residual_sq.sum())
        }
    }

    /// What is to be known of a row; the squares are as exact as `depth` roundings of 2^-23 leave them.
    #[inline(always)]
    fn row(&self, a: f32, scale: f32, norm_sq: f32, residual_sq: f32) -> Row {
        let (depth, rows) = (self.depth as f64, &self.rows);
        let root = |square: f32| (f64::from(square) * (1.0 + depth * f64::powi(2.0, -21)) + f64::powi(2.0, -80)).sqrt();
        let (norm, residual) = (root(norm_sq), root(residual_sq));
        let alpha = a * scale;
        // Taken away, in scaled units.
        let middle = f64::from(alpha.abs()) * rows.length;
        let computed = (norm + middle) * f64::powi(2.0, -21);
        let exact = match rows.metric {
            Metric::Cosine => rows.exact_error * (norm + middle) * rows.scale,
            Metric::Euclidean => 2.0 * rows.exact_error * norm * norm / f64::from(scale) * rows.scale,
        };
        Row { alpha, residual: above(residual + computed), norm: above(norm), own: above(exact), scale }
    }
}

/// How a row is taken apart.
#[derive(Debug, Clone, Copy)]
struct Part {
    a: f32,
    /// `|t|^2`, under [`Metric::Euclidean`] times the square of the power of two.
    square: f32,
}

impl Part {
    /// Whether a scale brings it to [`NORM`] without leaving 32-bit floats. NaN does not.
    fn fits(&self) -> bool {
        self.a.is_finite() && (1.0 / SQUARE_MAX..=SQUARE_MAX).contains(&self.square)
    }
}

impl<E: Element> Table<E> {
    /// A bound below the score of the centroid in `slot` and a row that was [rounded](Table::round).
    ///
    /// # Safety
    /// The kernel's instructions are there; `rounded` has `depth` values.
    #[inline(always)]
    pub(super) unsafe fn lower_bound<K: Proposer<Element = E>>(
        &self,
        rounded: *const E,
        row: &Row,
        slot: usize,
    ) -> f32 {
        let centroid =
            self.values.values::<E>(self.limits.len() * self.block * self.stride)[slot * self.stride..].as_ptr();
        // SAFETY: the caller's promise, and rows of the table are as long.
        let product = unsafe { K::product(rounded, centroid, self.depth) };
        let limits = self.limits[slot / self.block];
        let error = row.residual * limits.residual + row.norm * limits.norm + row.alpha.abs() * limits.alpha + row.own;
        product + row.alpha * self.bias[slot] - error
    }
}

/// What scores are distances by, of one row: `x . m` and `|x|` under the cosine, else `|x - m|^2` and 1.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Away {
    own: f64,
    norm: f64,
}

/// What squares of distances may be wrong by, between vectors of length 1 or as a share: far more than 64-bit floats
/// of [`exact`](super::exact) are.
pub(super) const SLACK: f64 = 1.0 / (1_u64 << 32) as f64;

impl<E> Table<E> {
    /// How far a row is from `m`.
    pub(super) fn away(&self, row: &[f32]) -> Away {
        let middle = &self.rows.middle[..row.len()];
        match self.rows.metric {
            Metric::Cosine => {
                let (own, square) = exact::dots(row, middle);
                Away { own, norm: square.sqrt() }
            }
            Metric::Euclidean => Away { own: exact::squared_distance(row, middle), norm: 1.0 },
        }
    }

    /// How far all centroids are at least, to whom the row has scores of at most `top`, errors included: the length of
    /// the difference of unit vectors under the cosine. 0 where nothing is known.
    pub(super) fn at_least(&self, away: Away, row: &Row, top: f32) -> f32 {
        let rows = &self.rows;
        let top = f64::from(top) + f64::from(top.abs()) * f64::powi(2.0, -22);
        let score = top / (f64::from(row.scale) * rows.scale);
        let square = match rows.metric {
            Metric::Cosine => 2.0 - 2.0 * (score + away.own) / away.norm - SLACK,
            Metric::Euclidean => {
                let score = 2.0 * score / (f64::from(rows.power) * f64::from(rows.power));
                away.own - score - SLACK * (away.own + score.abs())
            }
        };
        // Neither NaN nor what comes of a scale of 0 is a bound.
        if square > 0.0 && square.is_finite() { below(square.sqrt()) } else { 0.0 }
    }
}

/// A little below, as a float.
pub(super) fn below(value: f64) -> f32 {
    (value * (1.0 - 4e-7)).min(f64::from(f32::MAX)) as f32
}

/// The largest absolute value; infinite or NaN where any is.
fn largest(row: &[f32]) -> f32 {
    f32::from_bits(row.iter().fold(0, |max, value| max.max(value.abs().to_bits())))
}

/// The power of two that brings a value into 1 to 2; `None` where it is too large, too small or not a number.
#[inline(always)]
fn power_that_makes_one(value: f32) -> Option<f32> {
    let exponent = (value.to_bits() >> 23) as i32 - 127;
    (exponent.abs() <= EXPONENT_MAX).then(|| power_of_two(-exponent))
}

#[cfg(test)]
mod tests {
    use super::super::exact;
    use super::super::trials::{Random, nasty};
    use super::*;
    use crate::matmul::PANEL;

    /// Asserts that scores of a block and of [`Proposer::product`] are as near to the truth as the bound says; the
    /// largest share of the bound that an error used up, and how many scores were held against it.
    ///
    /// # Safety
    /// The kernel's instructions are there (the tiles configured).
    unsafe fn check<K: Proposer>(centroids: &Centroids, rows: &[f32]) -> (f64, usize) {
        let norms = exact::norms(centroids);
        let Some(table) = Table::<K::Element>::new(centroids, &norms, K::ROWS, None) else { return (0.0, 0) };
        let mut shift = Shift::new(centroids, &norms).unwrap();
        shift.scale *= table.rows.scale;
        let (dim, depth) = (centroids.dim, table.depth);
        let (mut worst, mut seen) = (0.0_f64, 0);
        let (mut rounded, mut panel, mut scores) = (Buffer::default(), Buffer::default(), Buffer::default());
        let to = rounded.take::<K::Element>(depth);
        let panel = panel.take::<K::Element>(depth * PANEL);
        let scores = View { start: scores.take::<f32>(K::ROWS * PANEL), stride: PANEL };
        for x in rows.chunks_exact(dim) {
            let mut line = x.to_vec();
            line.resize(depth, 0.0);
            // SAFETY: buffers of `depth` values, a panel of one row and scores of a block.
            let (part, row) = unsafe {
                let part = table.part::<K>(line.as_ptr());
                let mut space = vec![0.0; depth];
                let Some(row) = table.round::<K>(line.as_ptr(), space.as_mut_ptr(), to) else { continue };
                K::pack_transposed(View { start: to, stride: depth }, 1, depth, panel);
                (part, row)
            };
            // Others were brought near 1 by a power of two that is not known here.
            if !part.fits() {
                continue;
            }
            let scale = f64::from(NORM as f32 / part.square.sqrt() * table.rows.power);
            let mut v = vec![0.0; dim];
            for (block, limits) in table.limits.iter().enumerate() {
                for k in (0..depth).step_by(K::CHUNK) {
                    let chunk = K::CHUNK.min(depth - k);
                    // SAFETY: as above.
                    unsafe {
                        K::block(table.block(block).from(0, k), panel.add(k * PANEL), panel, chunk, scores, k > 0);
                    }
                }
                for slot in block * K::ROWS..table.order.len().min((block + 1) * K::ROWS) {
                    shift.apply(centroids, &norms, table.order[slot], &mut v);
                    // The whole sum in one piece: `t . v + a b` with nothing rounded to 32 bits.
                    let truth: f64 = match centroids.metric {
                        Metric::Cosine => x.iter().zip(&v).map(|(&x, v)| scale * f64::from(x) * v).sum(),
                        Metric::Euclidean => {
                            let length_sq: f64 = product_of(&v, &v) / table.rows.scale;
                            let away = x.iter().zip(&shift.middle).map(|(&x, m)| (f64::from(x) - m) * scale);
                            away.zip(&v).map(|(t, v)| t * v).sum::<f64>()
                                - length_sq / 2.0 * scale / f64::from(table.rows.power)
                        }
                    };
                    let error = f64::from(row.residual * limits.residual + row.norm * limits.norm)
                        + f64::from(row.alpha.abs() * limits.alpha + row.own);
                    // SAFETY: as above.
                    let score = unsafe { *scores.at(slot - block * K::ROWS, 0) } + row.alpha * table.bias[slot];
                    // SAFETY: as above.
                    let lower = unsafe { table.lower_bound::<K>(to, &row, slot) };
                    let used = (f64::from(score) - truth).abs() / error;
                    assert!(used <= 1.0, "{:?}, d {dim}: {score} for {truth}, bound {error}", centroids.metric);
                    assert!(f64::from(lower) <= truth, "{:?}, d {dim}: {lower} below {truth}", centroids.metric);
                    (worst, seen) = (worst.max(used), seen + 1);
                }
            }
        }
        (worst, seen)
    }

    /// [`check`] on this machine's kernels: names and what came out.
    fn check_all(centroids: &Centroids, rows: &[f32]) -> Vec<(&'static str, f64, usize)> {
        let mut all = Vec::new();
        // SAFETY: only kernels that run here.
        unsafe {
            let (worst, seen) = check::<matmul::plain::PlainKernel>(centroids, rows);
            all.push(("plain", worst, seen));
            #[cfg(target_arch = "x86_64")]
            {
                if crate::cpu::has_avx2() {
                    let (worst, seen) = check::<matmul::avx2::Avx2Kernel>(centroids, rows);
                    all.push(("avx2", worst, seen));
                }
                if crate::cpu::has_avx512() {
                    let (worst, seen) = check::<matmul::avx512::Avx512Kernel>(centroids, rows);
                    all.push(("avx512", worst, seen));
                }
                if crate::cpu::has_avx512vnni() {
                    let (worst, seen) = check::<matmul::avx512vnni::Avx512VnniKernel>(centroids, rows);
                    all.push(("vnni", worst, seen));
                }
                if crate::cpu::has_amx_bf16() {
                    let _tiles = matmul::amx::Tiles::configure();
                    let (worst, seen) = check::<matmul::amx::AmxKernel<true>>(centroids, rows);
                    all.push(("amx", worst, seen));
                }
            }
        }
        all
    }

    #[test]
    fn no_error_is_above_its_bound() {
        let mut random = Random(10);
        for metric in [Metric::Cosine, Metric::Euclidean] {
            for dim in [1, 2, 3, 17, 64, 100, 384, 1000, 4096] {
                let (centroids, rows) = nasty(&mut random, metric, dim, 40, 32);
                check_all(&centroids, &rows);
                // Values that round up all, then down all: errors that add up.
                for bits in [0x3f80_7fff_u32, 0x3f80_8001, 0x3fff_7fff, 0x3f80_0001] {
                    let one = f32::from_bits(bits);
                    let signs = |random: &mut Random, n: usize| -> Vec<f32> {
                        (0..n * dim).map(|_| if random.below(8) == 0 { -one } else { one }).collect()
                    };
                    let centroids = Centroids::new(metric, dim, signs(&mut random, 20)).unwrap();
                    check_all(&centroids, &signs(&mut random, 10));
                }
            }
        }
    }

    #[test]
    fn bounds_are_not_much_wider_than_errors() {
        let mut random = Random(11);
        for metric in [Metric::Cosine, Metric::Euclidean] {
            for (dim, share) in [(4, 0.2), (64, 0.1), (384, 0.05)] {
                let centroids = Centroids::new(metric, dim, random.vector(dim * 100)).unwrap();
                let rows = random.vector(dim * 50);
                for (name, worst, seen) in check_all(&centroids, &rows) {
                    assert_eq!(seen, 5000, "{name}");
                    // Of floats the roundings of the sum are the bound, and they cancel more the more there are.
                    let share = if ["vnni", "amx"].contains(&name) { share } else { share / 50.0 };
                    assert!(worst > share, "{name}, {metric:?}, d {dim}: {worst}");
                }
            }
        }
    }
}

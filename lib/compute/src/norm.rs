//! Normalisation of padded rows.

use crate::lanes::Lanes;
use crate::matmul::{Kernel, PANEL, View};
use crate::transformer::{self, NormKind};

/// A normalisation with its weights padded: beyond `d` both are zero, so the padding of a row stays zero.
#[derive(Debug)]
pub(crate) struct Norm {
    kind: NormKind,
    weight: Vec<f32>,
    bias: Vec<f32>,
    /// For the last panel: one where a column is real, else zero.
    real: [f32; PANEL],
    epsilon: f32,
    width: usize,
}

impl Norm {
    /// Pads to `padded` columns.
    pub(crate) fn new(norm: &transformer::Norm, padded: usize) -> Norm {
        let pad = |values: &[f32]| {
            let mut values = values.to_vec();
            values.resize(padded, 0.0);
            values
        };
        let width = norm.weight.len();
        Norm {
            kind: norm.kind,
            weight: pad(&norm.weight),
            bias: pad(&norm.bias),
            real: std::array::from_fn(|i| if padded - PANEL + i < width { 1.0 } else { 0.0 }),
            epsilon: norm.epsilon,
            width,
        }
    }

    /// Normalises `row` into `to`, which may be `row` itself: mean (where the kind has one), then variance of what is
    /// left, each in one order.
    ///
    /// # Safety
    /// The instructions of the lanes are there; both are rows of the padded width.
    #[inline(always)]
    pub(crate) unsafe fn apply<L: Lanes>(&self, row: *const f32, to: *mut f32) {
        let columns = self.weight.len();
        let count = self.width as f32;
        // SAFETY: all arrays have the padded width, whole panels.
        unsafe {
            let mean = match self.kind {
                NormKind::Layer => L::zero().splat(sum::<L>(row, columns) / count),
                NormKind::RootMeanSquare => L::zero(),
            };
            let squares = squares_from(row, columns, mean, &self.real);
            let scale = mean.splat(1.0 / (squares / count + self.epsilon).sqrt());
            for i in (0..columns).step_by(L::COUNT) {
                let (weight, bias) = (L::load(self.weight[i..].as_ptr()), L::load(self.bias[i..].as_ptr()));
                let away = L::load(row.add(i)).sub(mean);
                away.mul(scale).mul_add(weight, bias).store(to.add(i));
            }
        }
    }
}

/// The sum of `columns` values: even and odd registers apart, so that two chains of additions run at a time, then
/// across.
///
/// # Safety
/// So many values, a multiple of 32, are readable.
#[inline(always)]
unsafe fn sum<L: Lanes>(row: *const f32, columns: usize) -> f32 {
    // SAFETY: the caller's promise.
    unsafe {
        let (mut even, mut odd) = (L::zero(), L::zero());
        for i in (0..columns).step_by(2 * L::COUNT) {
            even = even.add(L::load(row.add(i)));
            odd = odd.add(L::load(row.add(i + L::COUNT)));
        }
        even.add(odd).sum()
    }
}

/// The sum of the squares of the distances from `mean`, in the order of [`sum`]; of the last panel where `real` is one.
///
/// # Safety
/// As for [`sum`].
#[inline(always)]
unsafe fn squares_from<L: Lanes>(row: *const f32, columns: usize, mean: L, real: &[f32; PANEL]) -> f32 {
    let last = columns - PANEL;
    // SAFETY: the caller's promise; the mask is one panel.
    unsafe {
        let (mut even, mut odd) = (L::zero(), L::zero());
        for i in (0..last).step_by(2 * L::COUNT) {
            let (left, right) = (L::load(row.add(i)).sub(mean), L::load(row.add(i + L::COUNT)).sub(mean));
            even = left.mul_add(left, even);
            odd = right.mul_add(right, odd);
        }
        for i in (0..PANEL).step_by(L::COUNT) {
            let away = L::load(row.add(last + i)).sub(mean).mul(L::load(real[i..].as_ptr()));
            even = away.mul_add(away, even);
        }
        even.add(odd).sum()
    }
}

/// What becomes of the residual stream between two parts.
pub(crate) struct Between<'a> {
    /// Normalises the stream itself (`NormPlace::After`).
    pub(crate) stream: Option<&'a Norm>,
    /// Normalises only what the next part sees (`NormPlace::Before`).
    pub(crate) seen: Option<&'a Norm>,
    /// Added to the stream for the next part's sum, which then needs no epilogue; empty: none.
    pub(crate) bias: &'a [f32],
}

/// Takes `rows` rows of the stream `x` past [`Between`]; `seen` receives what the next product is made from.
///
/// # Safety
/// The kernel's instructions are there; both have so many rows of `width` columns, a multiple of 32.
#[inline(always)]
pub(crate) unsafe fn pass<K: Kernel>(
    x: View<f32>,
    seen: View<K::Element>,
    rows: usize,
    width: usize,
    between: &Between,
    row_buffer: *mut f32,
) {
    for row in 0..rows {
        // SAFETY: rows of `width` columns.
        unsafe {
            let line = x.at(row, 0);
            if let Some(norm) = between.stream {
                norm.apply::<K::Lanes>(line, line);
            }
            let shown = match between.seen {
                Some(norm) => {
                    norm.apply::<K::Lanes>(line, row_buffer);
                    row_buffer
                }
                None => line,
            };
            for i in (0..width).step_by(2 * K::Lanes::COUNT) {
                let pair = [K::Lanes::load(shown.add(i)), K::Lanes::load(shown.add(i + K::Lanes::COUNT))];
                K::store_pair(pair, seen.at(row, i));
            }
            for (i, bias) in between.bias.chunks_exact(K::Lanes::COUNT).enumerate() {
                let at = line.add(i * K::Lanes::COUNT);
                K::Lanes::load(at).add(K::Lanes::load(bias.as_ptr())).store(at);
            }
        }
    }
}

//! Layer normalisation of padded rows.

use crate::lanes::Lanes;
use crate::matmul::{Kernel, View};
use crate::transformer;

/// A normalisation with its weights padded: beyond `d` both are zero, so the padding of a row stays zero.
#[derive(Debug)]
pub(crate) struct Norm {
    weight: Vec<f32>,
    bias: Vec<f32>,
    /// One where a column is real, else zero.
    real: Vec<f32>,
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
            weight: pad(&norm.weight),
            bias: pad(&norm.bias),
            real: pad(&vec![1.0; width]),
            epsilon: norm.epsilon,
            width,
        }
    }

    /// Normalises `row` into `to`, which may be `row` itself: mean and variance in two passes, each one sum per lane, then over the lanes.
    ///
    /// # Safety
    /// The kernel's instructions are there; both are rows of the padded width.
    #[inline(always)]
    pub(crate) unsafe fn apply<L: Lanes>(&self, row: *const f32, to: *mut f32) {
        let columns = self.weight.len();
        let count = self.width as f32;
        // SAFETY: all arrays have the padded width, a whole number of lanes.
        unsafe {
            let mut sum = L::zero();
            for i in (0..columns).step_by(L::COUNT) {
                sum = sum.add(L::load(row.add(i)));
            }
            let mean = sum.splat(sum.sum() / count);
            let mut squares = L::zero();
            for i in (0..columns).step_by(L::COUNT) {
                let away = L::load(row.add(i)).sub(mean).mul(L::load(self.real[i..].as_ptr()));
                squares = away.mul_add(away, squares);
            }
            let scale = sum.splat(1.0 / (squares.sum() / count + self.epsilon).sqrt());
            for i in (0..columns).step_by(L::COUNT) {
                let away = L::load(row.add(i)).sub(mean).mul(scale);
                let value = away.mul_add(L::load(self.weight[i..].as_ptr()), L::load(self.bias[i..].as_ptr()));
                value.store(to.add(i));
            }
        }
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
            for i in (0..width).step_by(K::Lanes::COUNT) {
                K::store(K::Lanes::load(shown.add(i)), seen.at(row, i));
            }
            for (i, bias) in between.bias.chunks_exact(K::Lanes::COUNT).enumerate() {
                let at = line.add(i * K::Lanes::COUNT);
                K::Lanes::load(at).add(K::Lanes::load(bias.as_ptr())).store(at);
            }
        }
    }
}

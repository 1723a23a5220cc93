//! Exponentials and the non-linearities, as polynomials over [`Lanes`].
//!
//! Bounds, found by trying a dense grid against 64-bit functions (see the tests):
//!
//! | function | `EXACT` | coarse (its result is rounded to bf16) |
//! |---|---|---|
//! | `exp2` on [-120, 127] | 2.5e-7 relative | 1.5e-4 relative |
//! | GELU by `erf` | 1e-6 of max(1, \|x\|) | 1.5e-4 of max(1, \|x\|) |
//! | GELU by `tanh`, SiLU | 1e-6 of max(1, \|x\|) | 1.5e-4 of max(1, \|x\|) |
//!
//! One evaluation order, no branch, no table: the result is a function of the value alone, not of its lane.

use crate::lanes::Lanes;
use crate::transformer::Activation;

const LOG2_E: f32 = std::f32::consts::LOG2_E;

/// `c[0] + c[1] x + ...`, by Horner's rule.
#[inline(always)]
fn polynomial<L: Lanes, const N: usize>(x: L, c: [f32; N]) -> L {
    let mut y = x.splat(c[N - 1]);
    for i in (0..N - 1).rev() {
        y = y.mul_add(x, x.splat(c[i]));
    }
    y
}

/// `2^x`; below -120 it stays at about `2^-120`, so that nothing is ever denormal (which costs 100 cycles) or, for
/// -infinity, not a number.
#[inline(always)]
pub(crate) fn exp2<L: Lanes, const EXACT: bool>(x: L) -> L {
    let x = x.max(x.splat(-120.0)).min(x.splat(127.0));
    let whole = x.round();
    let part = x.sub(whole);
    // Minimax on [-1/2, 1/2] in relative error: 7.5e-8 of degree 5 and 7.5e-5 of degree 3.
    let power = if EXACT {
        let c = [1.000_000_1, 0.693_146_94, 0.240_221_2, 0.055_507_13, 0.009_675_542, 0.001_327_647_2];
        polynomial(part, c)
    } else {
        polynomial(part, [0.999_928_06, 0.693_260_97, 0.242_611_14, 0.055_171_67])
    };
    power.scale(whole)
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
fn sigmoid<L: Lanes, const EXACT: bool>(x: L) -> L {
    // exp2 stops at 2^-120 and 2^99 here, so the reciprocal stays in its range.
    let power = x.mul(x.splat(-LOG2_E)).min(x.splat(99.0));
    exp2::<L, EXACT>(power).add(x.splat(1.0)).reciprocal()
}

/// `x Φ(x) = x / 2 · (1 + erf(x / sqrt 2))`.
#[inline(always)]
fn gelu<L: Lanes, const EXACT: bool>(x: L) -> L {
    if EXACT { gelu_exact(x) } else { gelu_coarse(x) }
}

/// With erf as the rational approximation of Eigen and XLA on [-4, 4] (odd of degree 13 over even of degree 8).
#[inline(always)]
fn gelu_exact<L: Lanes>(x: L) -> L {
    let z = x.mul(x.splat(std::f32::consts::FRAC_1_SQRT_2)).max(x.splat(-4.0)).min(x.splat(4.0));
    let square = z.mul(z);
    let above = polynomial(
        square,
        [1.609_603_3e-2, 2.954_6e-3, 7.349_906_3e-4, 5.692_506_4e-5, 2.101_024e-6, -2.770_681_4e-8, 2.726_142_3e-10],
    );
    let below = polynomial(square, [1.426_473_9e-2, 7.373_329_2e-3, 1.682_827e-3, 2.133_740_6e-4, 1.456_607_2e-5]);
    let erf = z.mul(above).mul(below.reciprocal());
    let half = x.mul(x.splat(0.5));
    half.mul_add(erf, half)
}

/// With `erf(x / sqrt 2) = x P(x²)` on [-4, 4], minimax in the error of the product; no exponential, no division.
#[inline(always)]
fn gelu_coarse<L: Lanes>(x: L) -> L {
    // Left of -4 the value stays at that of -4, which is zero to within the bound; right of 4 only Φ stays.
    let bounded = x.max(x.splat(-4.0));
    let z = bounded.min(x.splat(4.0));
    let p = polynomial(
        z.mul(z),
        [
            0.797_346_8,
            -0.131_775_69,
            0.019_010_797,
            -0.002_012_981,
            0.000_149_710_13,
            -7.314_268_3e-6,
            2.083_921_8e-7,
            -2.602_590_1e-9,
        ],
    );
    let half = bounded.mul(x.splat(0.5));
    half.mul(z).mul_add(p, half)
}

/// `x / 2 · (1 + tanh(sqrt(2/π) (x + 0.044715 x³)))`, which is `x · sigmoid(2 sqrt(2/π) (x + 0.044715 x³))`.
#[inline(always)]
fn gelu_tanh<L: Lanes, const EXACT: bool>(x: L) -> L {
    const TWICE: f32 = 1.595_769;
    let inner = x.mul(x).mul_add(x.splat(0.044_715 * TWICE), x.splat(TWICE));
    x.mul(sigmoid::<L, EXACT>(x.mul(inner)))
}

/// `cap · tanh(x / cap)`, to within 1e-6 of the cap: `tanh(y) = 2 sigmoid(2 y) - 1`.
#[inline(always)]
pub(crate) fn soft_cap<L: Lanes>(x: L, cap: f32) -> L {
    let twice = x.splat(2.0 * cap);
    sigmoid::<L, true>(x.mul(x.splat(2.0 / cap))).mul_add(twice, x.splat(-cap))
}

/// The activation's value.
#[inline(always)]
pub(crate) fn activate<L: Lanes, const EXACT: bool>(activation: Activation, x: L) -> L {
    match activation {
        Activation::Gelu => gelu::<L, EXACT>(x),
        Activation::GeluTanh => gelu_tanh::<L, EXACT>(x),
        Activation::Silu => x.mul(sigmoid::<L, EXACT>(x)),
        Activation::Relu => x.max(x.splat(0.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::plain::Plain;
    use crate::reference;

    /// Floats from 1e-6 to 200 at even steps of their bits, and their negatives.
    fn grid() -> impl Iterator<Item = f32> {
        let ends = 1e-6f32.to_bits()..200f32.to_bits();
        ends.step_by(4099).map(f32::from_bits).flat_map(|x| [x, -x])
    }

    fn value<L: Lanes>(f: impl Fn(L) -> L, x: f32) -> f64 {
        let mut values = [x; 16];
        // SAFETY: sixteen floats are there, and the caller chose lanes that run here.
        unsafe { f(L::load(values.as_ptr())).store(values.as_mut_ptr()) }
        assert!(values[..L::COUNT].iter().all(|v| v.to_bits() == values[0].to_bits()));
        f64::from(values[0])
    }

    fn hold_bounds<L: Lanes>() {
        for x in grid() {
            if (-120.0..=127.0).contains(&x) {
                let wanted = f64::from(x).exp2();
                let error = |found: f64| (found / wanted - 1.0).abs();
                let (exact, coarse) = (error(value(exp2::<L, true>, x)), error(value(exp2::<L, false>, x)));
                assert!(exact <= 2.5e-7 && coarse <= 1.5e-4, "exp2({x}): {exact:e}, {coarse:e}");
            }
            for activation in [Activation::Gelu, Activation::GeluTanh, Activation::Silu, Activation::Relu] {
                let wanted = reference::activate(activation, f64::from(x));
                let error = |found: f64| (found - wanted).abs() / f64::from(x.abs().max(1.0));
                let exact = error(value(|x| activate::<L, true>(activation, x), x));
                let coarse = error(value(|x| activate::<L, false>(activation, x), x));
                assert!(exact <= 1e-6 && coarse <= 1.5e-4, "{activation:?}({x}): {exact:e}, {coarse:e}");
            }
        }
    }

    #[test]
    fn bounds_hold_in_plain_lanes() {
        hold_bounds::<Plain>();
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn bounds_hold_in_wide_lanes() {
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            hold_bounds::<crate::lanes::avx2::Avx2>();
        }
        if is_x86_feature_detected!("avx512f") {
            hold_bounds::<crate::lanes::avx512::Avx512>();
        }
    }

    #[test]
    fn soft_cap_is_the_scaled_tangent() {
        for x in grid() {
            for cap in [30.0f32, 50.0] {
                let wanted = f64::from(cap) * (f64::from(x) / f64::from(cap)).tanh();
                let error = (value(|x| soft_cap::<Plain>(x, cap), x) - wanted).abs() / f64::from(cap);
                assert!(error <= 1e-6, "{cap} tanh({x} / {cap}): {error:e}");
            }
        }
    }

    #[test]
    fn exponential_of_the_lowest_is_tiny_and_finite() {
        for x in [f32::NEG_INFINITY, -1e30, -127.0] {
            assert!(value(exp2::<Plain, true>, x) < 1e-36 && value(exp2::<Plain, false>, x) > 0.0);
        }
    }
}

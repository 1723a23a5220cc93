//! The arithmetic that decides, one value at a time.
//!
//! # Stability
//!
//! Clusters and distances follow from this order, which never changes between releases: term `i` of a sum goes to
//! partial sum `i mod 16` by a fused multiply-add in 64-bit floats, in ascending `i`; then partial sum `l` takes
//! partial sum `l + 8`, then `l + 4`, `l + 2`, `l + 1`. Products of two 32-bit floats are exact in 64 bits and never
//! overflow there.
//!
//! With x a row and c a centroid:
//!
//! - cosine: the score is `dot(x, c) / sqrt(dot(c, c))`, the largest is nearest; the distance is
//!   `1 - score / sqrt(dot(x, x))`;
//! - Euclidean: the score is the sum of `(x_i - c_i)^2`, the smallest is nearest; the distance is its square root.
//!
//! Of equal scores the centroid with the lowest number is nearest.

use super::{Centroids, Metric, Nearest};
use crate::partial::{self, PARTIAL, Partial};

/// Calls a sum compiled for the instructions of this processor, with the same bits. (Without a fused multiply-add of
/// the processor's own, each one is a call of a library.)
macro_rules! by_machine {
    ($sum:ident($x:expr, $c:expr) -> $total:ty) => {{
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512dq")]
            fn on_avx512(x: &[f32], c: &[f32]) -> $total {
                // SAFETY: the instructions are enabled.
                unsafe { $sum::<partial::Avx512>(x, c) }
            }
            #[target_feature(enable = "avx2,fma")]
            fn on_avx2(x: &[f32], c: &[f32]) -> $total {
                // SAFETY: the instructions are enabled.
                unsafe { $sum::<partial::Avx2>(x, c) }
            }
            if crate::cpu::has_avx512() {
                // SAFETY: the processor was asked.
                return unsafe { on_avx512($x, $c) };
            }
            if crate::cpu::has_avx2() {
                // SAFETY: the processor was asked.
                return unsafe { on_avx2($x, $c) };
            }
        }
        // SAFETY: no special instructions.
        unsafe { $sum::<partial::Plain>($x, $c) }
    }};
}

/// The sum of `x_i c_i`.
pub fn dot(x: &[f32], c: &[f32]) -> f64 {
    by_machine!(products(x, c) -> f64)
}

/// The sum of `(x_i - c_i)^2`.
pub fn squared_distance(x: &[f32], c: &[f32]) -> f64 {
    by_machine!(squared_differences(x, c) -> f64)
}

/// `dot(x, c)` and `dot(x, x)`, in the time of one.
pub(super) fn dots(x: &[f32], c: &[f32]) -> (f64, f64) {
    by_machine!(products_and_squares(x, c) -> (f64, f64))
}

/// `sqrt(dot(x, x))`.
pub fn norm(x: &[f32]) -> f64 {
    dot(x, x).sqrt()
}

/// # Safety
/// The processor has the instructions.
#[inline(always)]
unsafe fn products<P: Partial>(x: &[f32], c: &[f32]) -> f64 {
    let (whole, rest) = sixteens(x, c);
    // SAFETY: the caller's promise.
    unsafe {
        let mut partial = P::zero();
        for (x, c) in whole {
            partial = P::widen(x).mul_add(P::widen(c), partial);
        }
        // What is padded adds +0, which changes no bit: no partial sum is ever -0.
        P::widen(&rest.0).mul_add(P::widen(&rest.1), partial).total()
    }
}

/// # Safety
/// The processor has the instructions.
#[inline(always)]
unsafe fn products_and_squares<P: Partial>(x: &[f32], c: &[f32]) -> (f64, f64) {
    let (whole, rest) = sixteens(x, c);
    // SAFETY: the caller's promise.
    unsafe {
        let (mut products, mut squares) = (P::zero(), P::zero());
        for (x, c) in whole {
            let x = P::widen(x);
            products = x.mul_add(P::widen(c), products);
            squares = x.mul_add(x, squares);
        }
        let x = P::widen(&rest.0);
        (x.mul_add(P::widen(&rest.1), products).total(), x.mul_add(x, squares).total())
    }
}

/// # Safety
/// The processor has the instructions.
#[inline(always)]
unsafe fn squared_differences<P: Partial>(x: &[f32], c: &[f32]) -> f64 {
    let (whole, rest) = sixteens(x, c);
    // SAFETY: the caller's promise.
    unsafe {
        let mut partial = P::zero();
        for (x, c) in whole {
            let difference = P::widen(x).sub(P::widen(c));
            partial = difference.mul_add(difference, partial);
        }
        let difference = P::widen(&rest.0).sub(P::widen(&rest.1));
        difference.mul_add(difference, partial).total()
    }
}

type Sixteen = [f32; PARTIAL];

/// Both vectors in sixteens, and what is left over, padded with zeros.
#[inline(always)]
fn sixteens<'a>(x: &'a [f32], c: &'a [f32]) -> (impl Iterator<Item = (&'a Sixteen, &'a Sixteen)>, (Sixteen, Sixteen)) {
    assert_eq!(x.len(), c.len());
    let ((xs, x), (cs, c)) = (x.as_chunks(), c.as_chunks());
    let mut rest = ([0.0; PARTIAL], [0.0; PARTIAL]);
    rest.0[..x.len()].copy_from_slice(x);
    rest.1[..c.len()].copy_from_slice(c);
    (xs.iter().zip(cs), rest)
}

/// The norms of all centroids under [`Metric::Cosine`]; empty under [`Metric::Euclidean`], which needs none.
pub fn norms(centroids: &Centroids) -> Vec<f64> {
    match centroids.metric {
        Metric::Cosine => centroids.values.chunks_exact(centroids.dim).map(norm).collect(),
        Metric::Euclidean => Vec::new(),
    }
}

/// What is compared between centroids, the smaller the nearer: the score, negated for the cosine.
#[inline]
pub fn rank(x: &[f32], j: u32, centroids: &Centroids, norms: &[f64]) -> f64 {
    let c = centroids.row(j as usize);
    match centroids.metric {
        Metric::Cosine => -(dot(x, c) / norms[j as usize]),
        Metric::Euclidean => squared_distance(x, c),
    }
}

/// The distance of a row whose [rank](rank) is this.
#[inline]
pub fn distance(metric: Metric, rank: f64, row_norm: f64) -> f64 {
    match metric {
        Metric::Cosine => 1.0 - -rank / row_norm,
        Metric::Euclidean => rank.sqrt(),
    }
}

/// Whether a row is near to anything at all, and its norm (1 where the metric does not ask for it).
#[inline]
pub fn row_norm(x: &[f32], metric: Metric) -> Option<f64> {
    // All of them, as a loop without an exit is a few instructions.
    if !x.iter().fold(true, |all, value| all & value.is_finite()) {
        return None;
    }
    match metric {
        Metric::Cosine => Some(norm(x)).filter(|&norm| norm > 0.0),
        Metric::Euclidean => Some(1.0),
    }
}

/// The squared distance of a row that is at this distance from a centroid: 1 - cosine, not below 0, which is half the
/// square between unit vectors, or the square.
pub fn squared(metric: Metric, distance: f64) -> f64 {
    match metric {
        Metric::Cosine => distance.max(0.0),
        Metric::Euclidean => distance * distance,
    }
}

/// Rows that were chosen to be centroids, to say how far others are from them.
#[derive(Debug)]
pub struct Seeds {
    centroids: Centroids,
    norms: Vec<f64>,
}

impl Seeds {
    /// Takes them.
    pub fn new(centroids: Centroids) -> Seeds {
        Seeds { norms: norms(&centroids), centroids }
    }

    /// The rows.
    pub fn centroids(&self) -> &Centroids {
        &self.centroids
    }

    /// What [`Seeds::squared_distance`] wants to know of a row.
    ///
    /// # Panics
    /// Where the row is near to nothing.
    pub fn row_norm(&self, row: &[f32]) -> f64 {
        row_norm(row, self.centroids.metric).expect("a row that takes part is near to something")
    }

    /// The [squared] distance of a row to number `j`.
    #[inline]
    pub fn squared_distance(&self, row: &[f32], j: u32, row_norm: f64) -> f64 {
        let rank = rank(row, j, &self.centroids, &self.norms);
        squared(self.centroids.metric, distance(self.centroids.metric, rank, row_norm))
    }
}

/// The only candidate of a row that is near to something, as [`nearest`] gives it.
pub(super) fn only(x: &[f32], centroids: &Centroids, norms: &[f64], j: u32) -> Nearest {
    let (rank, row_norm) = match centroids.metric {
        Metric::Cosine => {
            let (score, square) = dots(x, centroids.row(j as usize));
            (-(score / norms[j as usize]), square.sqrt())
        }
        Metric::Euclidean => (rank(x, j, centroids, norms), 1.0),
    };
    Nearest { cluster: j, distance: distance(centroids.metric, rank, row_norm) }
}

/// The nearest of some candidates, which come in ascending order.
pub fn nearest(x: &[f32], centroids: &Centroids, norms: &[f64], candidates: impl Iterator<Item = u32>) -> Nearest {
    let Some(row_norm) = row_norm(x, centroids.metric) else { return Nearest::MISSING };
    let (rank, cluster) = least(x, centroids, norms, candidates);
    Nearest { cluster, distance: distance(centroids.metric, rank, row_norm) }
}

/// The smallest [rank] of some candidates, which come in ascending order, and the first that has it;
/// [`Nearest::NONE`] where there are none.
pub(super) fn least(
    x: &[f32],
    centroids: &Centroids,
    norms: &[f64],
    candidates: impl Iterator<Item = u32>,
) -> (f64, u32) {
    let mut best = (f64::INFINITY, Nearest::NONE);
    for j in candidates {
        let rank = rank(x, j, centroids, norms);
        if rank < best.0 || best.1 == Nearest::NONE {
            best = (rank, j);
        }
    }
    best
}

/// The nearest candidates, as many as `found` has places: nearest first, of equal rank the lowest number first, the
/// rest missing.
pub fn nearest_several(
    x: &[f32],
    centroids: &Centroids,
    norms: &[f64],
    candidates: impl Iterator<Item = u32>,
    found: &mut [Nearest],
) {
    found.fill(Nearest::MISSING);
    let Some(row_norm) = row_norm(x, centroids.metric) else { return };
    let mut ranks: Vec<_> = candidates.map(|j| (rank(x, j, centroids, norms), j)).collect();
    ranks.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    for (place, (rank, cluster)) in found.iter_mut().zip(ranks) {
        *place = Nearest { cluster, distance: distance(centroids.metric, rank, row_norm) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_additions_is_frozen() {
        // 1 and 2^53 share a partial sum, in which 1 is lost; -2^53 does not.
        let mut x = vec![0.0_f32; 33];
        let ones = vec![1.0_f32; 33];
        (x[0], x[16], x[17]) = (9007199254740992.0, 1.0, -9007199254740992.0);
        assert_eq!(dot(&x, &ones), 0.0);
        (x[16], x[18]) = (0.0, 1.0);
        // 0 takes 8, 4, 2 and then 1: 2^53 + 1 is 2^53 again.
        assert_eq!(dot(&x, &ones), 0.0);
        (x[18], x[25]) = (0.0, 1.0);
        // 1 takes 9 first: -2^53 + 1 is exact.
        assert_eq!(dot(&x, &ones), 1.0);
    }

    #[test]
    fn the_lowest_of_equal_centroids_wins() {
        for metric in [Metric::Cosine, Metric::Euclidean] {
            let centroids = Centroids::new(metric, 2, vec![0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0, -1.0]).unwrap();
            let norms = norms(&centroids);
            assert_eq!(nearest(&[1.0, 0.0], &centroids, &norms, 0..4), Nearest { cluster: 1, distance: 0.0 });
            assert_eq!(nearest(&[-3.0, 0.0], &centroids, &norms, 0..1).cluster, 0);
            let mut found = [Nearest::MISSING; 5];
            nearest_several(&[1.0, 0.0], &centroids, &norms, 0..4, &mut found);
            assert_eq!(found.map(|found| found.cluster), [1, 2, 0, 3, Nearest::NONE]);
        }
    }

    #[test]
    fn rows_near_to_nothing_are_missing() {
        let centroids = Centroids::new(Metric::Cosine, 2, vec![0.0, 1.0]).unwrap();
        for row in [[0.0, -0.0], [f32::NAN, 1.0], [f32::INFINITY, 0.0]] {
            assert_eq!(nearest(&row, &centroids, &[1.0], 0..1).cluster, Nearest::NONE);
        }
        let centroids = Centroids::new(Metric::Euclidean, 2, vec![0.0, 1.0]).unwrap();
        assert_eq!(nearest(&[0.0, 0.0], &centroids, &[], 0..1), Nearest { cluster: 0, distance: 1.0 });
    }

    /// The stated order, written down.
    fn plainly(x: &[f32], c: &[f32], term: impl Fn(f64, f64, f64) -> f64) -> f64 {
        let mut partial = [0.0; PARTIAL];
        for i in 0..x.len() {
            partial[i % PARTIAL] = term(partial[i % PARTIAL], f64::from(x[i]), f64::from(c[i]));
        }
        for width in [8, 4, 2, 1] {
            for l in 0..width {
                partial[l] += partial[l + width];
            }
        }
        partial[0]
    }

    #[test]
    fn all_machines_have_the_bits_of_the_stated_order() {
        type Sum = unsafe fn(&[f32], &[f32]) -> f64;
        let mut machines: Vec<(Sum, Sum)> = vec![
            (products::<partial::Plain>, squared_differences::<partial::Plain>),
            (|x, c| dot(x, c), |x, c| squared_distance(x, c)),
        ];
        #[cfg(target_arch = "x86_64")]
        if crate::cpu::has_avx2() {
            machines.push((products::<partial::Avx2>, squared_differences::<partial::Avx2>));
        }
        let mut state = 9_u64;
        let mut random = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            f32::from_bits((state >> 32) as u32)
        };
        for dim in (1..70).chain([384, 1000]) {
            let mut finite =
                || std::iter::repeat_with(&mut random).filter(|v| v.is_finite()).take(dim).collect::<Vec<_>>();
            let (x, c) = (finite(), finite());
            let norm_sq = plainly(&x, &x, |p, x, c| x.mul_add(c, p));
            for (dot, squared_distance) in &machines {
                // SAFETY: only machines that run here are in the list.
                let found = unsafe { (dot(&x, &c), squared_distance(&x, &c)) };
                let expected =
                    (plainly(&x, &c, |p, x, c| x.mul_add(c, p)), plainly(&x, &c, |p, x, c| (x - c).mul_add(x - c, p)));
                assert_eq!(found.0.to_bits(), expected.0.to_bits(), "dim {dim}");
                assert_eq!(found.1.to_bits(), expected.1.to_bits(), "dim {dim}");
                assert_eq!(dots(&x, &c), (expected.0, norm_sq), "dim {dim}");
            }
        }
    }
}

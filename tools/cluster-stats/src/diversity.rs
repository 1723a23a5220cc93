//! How far each centroid is from the others.

use compute::kmeans::{Centroids, exact};

/// The mean cosine distance of each centroid to all others; NaN where there are none. A centroid of zeros is at
/// distance 1 from all.
///
/// With unit vectors u and their sum s, the cosines of u with all others add up to u s - u u, so one pass over the
/// centroids is enough. 64-bit floats; sums over the centroids in their order.
pub fn diversities(centroids: &Centroids) -> Vec<f64> {
    let (k, dim) = (centroids.k(), centroids.dim);
    let unit = |j: usize| {
        let row = centroids.row(j);
        let norm = Some(exact::norm(row)).filter(|&norm| norm > 0.0).unwrap_or(1.0);
        row.iter().map(move |&value| f64::from(value) / norm)
    };
    let mut sum = vec![0.0; dim];
    (0..k).for_each(|j| sum.iter_mut().zip(unit(j)).for_each(|(sum, value)| *sum += value));
    let others = |j: usize| unit(j).zip(&sum).map(|(value, sum)| value * (sum - value)).sum::<f64>();
    (0..k).map(|j| 1.0 - others(j) / (k - 1) as f64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use compute::kmeans::Metric;

    #[test]
    fn each_is_the_mean_over_all_others() {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1664525).wrapping_add(1013904223);
            (state >> 8) as f32 / (1 << 23) as f32 - 0.7
        };
        for (k, dim) in [(2, 1), (3, 4), (50, 33)] {
            let mut values: Vec<f32> = (0..k * dim).map(|_| next() * 100.0).collect();
            values[..dim].fill(0.0);
            let centroids = Centroids::new(Metric::Euclidean, dim, values).unwrap();
            let cosine = |a: &[f32], b: &[f32]| {
                let dot =
                    |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
                let norms = (dot(a, a) * dot(b, b)).sqrt();
                if norms > 0.0 { dot(a, b) / norms } else { 0.0 }
            };
            for (i, found) in diversities(&centroids).into_iter().enumerate() {
                let others = (0..k).filter(|&j| j != i);
                let sum: f64 = others.map(|j| 1.0 - cosine(centroids.row(i), centroids.row(j))).sum();
                let expected = sum / (k - 1) as f64;
                assert!((found - expected).abs() <= 1e-13, "{i} of {k}: {found}, expected {expected}");
            }
        }
        let alone = Centroids::new(Metric::Cosine, 1, vec![1.0]).unwrap();
        assert!(diversities(&alone)[0].is_nan());
    }
}

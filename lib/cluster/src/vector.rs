//! Which vectors are of no use.

use compute::kmeans::Metric;

/// What is wrong with a vector that is near to nothing: it is bad, or (`None`) it is missing, NaN and nothing else.
///
/// # Panics
/// Where nothing is wrong with it.
pub fn why_bad(row: &[f32]) -> Option<String> {
    if row.iter().all(|value| value.is_nan()) {
        return None;
    }
    Some(match row.iter().position(|value| !value.is_finite()) {
        Some(i) => format!("value {i}: expected a finite number, found {}", row[i]),
        None => {
            assert!(row.iter().all(|&value| value == 0.0), "nothing is wrong with this vector");
            "all values are 0, which has no direction and so no cosine".to_string()
        }
    })
}

/// Whether a vector can be assigned to a cluster.
///
/// # Errors
/// That of [`why_bad`].
pub fn check(row: &[f32], metric: Metric) -> Result<(), Option<String>> {
    let finite = row.iter().all(|value| value.is_finite());
    let far = metric == Metric::Euclidean || row.iter().any(|&value| value != 0.0);
    if finite && far { Ok(()) } else { Err(why_bad(row)) }
}

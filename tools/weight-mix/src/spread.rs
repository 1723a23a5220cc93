//! How far numbers are from each other, in a way that a few extreme ones do not change.

/// Makes the median absolute deviation of a normal distribution its standard deviation.
const NORMAL: f64 = 1.4826;

/// 1.4826 times the median absolute deviation from the median, of the finite numbers; `None` where there are none.
pub fn robust(mut numbers: Vec<f64>) -> Option<f64> {
    numbers.retain(|number| number.is_finite());
    let middle = median(&mut numbers)?;
    numbers.iter_mut().for_each(|number| *number = (*number - middle).abs());
    median(&mut numbers).map(|deviation| NORMAL * deviation)
}

/// The median, of an even number the mean of the middle two; the order of the numbers is lost.
fn median(numbers: &mut [f64]) -> Option<f64> {
    let half = numbers.len() / 2;
    if numbers.is_empty() {
        return None;
    }
    let odd = numbers.len() % 2 == 1;
    let (below, upper, _) = numbers.select_nth_unstable_by(half, f64::total_cmp);
    let lower = below.iter().copied().max_by(f64::total_cmp).filter(|_| !odd);
    Some(lower.map_or(*upper, |lower| lower + (*upper - lower) / 2.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_by_hand() {
        assert_eq!(median(&mut []), None);
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn extreme_and_missing_numbers_change_little() {
        let numbers: Vec<f64> = (-50..=50).map(f64::from).collect();
        assert_eq!(robust(numbers.clone()), Some(NORMAL * 25.0));
        let spoilt = [numbers, vec![f64::NAN, f64::INFINITY, 1e300, -1e300]].concat();
        assert_eq!(robust(spoilt), Some(NORMAL * 26.0));
        assert_eq!(robust(vec![f64::NAN]), None);
        assert_eq!(robust(vec![2.0; 9]), Some(0.0));
    }
}

use super::exact::{CUT, Densities};
use super::tile::{Table, Tile};
use super::*;
use crate::cpu::Machine;
use crate::kmeans::{Centroids, Metric, power_of_two};
use std::sync::Arc;

/// Numbers by a linear congruence, from -1 to 1.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f64 / f64::from(1 << 23) - 1.0
    }
}

/// A mixture of means that are about `spread` apart, and rows around them.
fn drawn(k: usize, dim: usize, rows: usize, spread: f64, numbers: &mut Numbers) -> (Mixture, Vec<f32>) {
    let weights = (0..k).map(|_| 0.01 + numbers.next().abs()).collect();
    let means: Vec<f64> = (0..k * dim).map(|_| numbers.next() * spread).collect();
    let variances = (0..k * dim).map(|_| 0.1 + numbers.next().abs()).collect();
    let row = |row: usize| (row * 7 % k) * dim;
    let mut values = Vec::new();
    for at in (0..rows).map(row) {
        values.extend(means[at..at + dim].iter().map(|mean| (mean + numbers.next()) as f32));
    }
    (Mixture::new(dim, weights, means, variances).unwrap(), values)
}

/// Log-likelihood and responsibilities as in a textbook.
fn textbook(mixture: &Mixture, row: &[f32]) -> (f64, Vec<f64>) {
    let density = |k: usize| {
        let place = k * mixture.dim..(k + 1) * mixture.dim;
        let terms = row.iter().zip(&mixture.means[place.clone()]).zip(&mixture.variances[place]);
        let log = |((&x, m), v): ((&f32, &f64), &f64)| {
            -(f64::from(x) - m).powi(2) / v / 2.0 - (2.0 * std::f64::consts::PI * v).ln() / 2.0
        };
        mixture.weights[k].ln() + terms.map(log).sum::<f64>()
    };
    let logs: Vec<f64> = (0..mixture.k()).map(density).collect();
    let top = logs.iter().fold(f64::NEG_INFINITY, |a, &b| a.max(b));
    let all = top + logs.iter().map(|log| (log - top).exp()).sum::<f64>().ln();
    (all, logs.iter().map(|log| (log - all).exp()).collect())
}

#[test]
fn densities_are_those_of_a_textbook() {
    let mut numbers = Numbers(1);
    for (k, dim, spread) in [(1, 1, 1.0), (5, 3, 2.0), (9, 16, 0.5), (3, 40, 5.0)] {
        let (mixture, rows) = drawn(k, dim, 50, spread, &mut numbers);
        let densities = Densities::new(&mixture);
        for row in rows.chunks_exact(dim) {
            let (expected, shares) = textbook(&mixture, row);
            let found = densities.posterior(row);
            assert!((found.log_likelihood - expected).abs() <= 1e-12 * expected.abs().max(1.0));
            for (j, share) in shares.into_iter().enumerate() {
                let part = found.parts.iter().find(|part| part.0 == j as u32).map_or(0.0, |part| part.1);
                assert!((part - share).abs() <= 1e-11, "{part} {share}");
                assert!(part > 0.0 || share < (-CUT).exp() * 1.001);
            }
        }
    }
}

/// The bits of a log-likelihood and of responsibilities.
const FROZEN: (u64, [(u32, u64); 2]) =
    (13_838_128_223_234_376_804, [(0, 4_598_011_116_233_751_196), (1, 4_604_971_644_814_213_465)]);

#[test]
fn a_posterior_is_frozen() {
    let mixture =
        Mixture::new(3, vec![0.25, 0.75], vec![0.0, 1.0, 2.0, 1.0, 1.0, 1.0], vec![1.0, 0.5, 2.0, 0.25, 3.0, 1.5]);
    let found = Densities::new(&mixture.unwrap()).posterior(&[0.5, 1.5, 1.0]);
    let bits: Vec<_> = found.parts.iter().map(|&(j, share)| (j, share.to_bits())).collect();
    assert_eq!((found.log_likelihood.to_bits(), &bits[..]), (FROZEN.0, &FROZEN.1[..]));
}

/// The fast way, on every machine that runs here, against the slow one: bit for bit.
#[test]
fn the_fast_way_is_the_slow_one() {
    let mut numbers = Numbers(2);
    let shapes = [(1, 1, 1), (2, 5, 63), (4, 16, 64), (5, 17, 65), (70, 33, 130), (33, 100, 7)];
    for (k, dim, count) in shapes {
        for spread in [0.0, 0.3, 3.0, 1000.0] {
            let (mut mixture, mut rows) = drawn(k, dim, count, spread, &mut numbers);
            agrees(&mixture, &rows);
            // What 32 bits do not hold, weights of 0, and values that are no numbers.
            mixture.variances[0] = 1e-70;
            mixture.variances[k * dim / 2] = 1e70;
            mixture.means[k * dim - 1] = 1e200;
            rows[0] = 3e38;
            rows[count * dim / 2] = f32::NAN;
            rows[count * dim - 1] = f32::NEG_INFINITY;
            agrees(&mixture, &rows);
            mixture.weights.fill(0.0);
            mixture.weights[k / 2] = 1.0;
            agrees(&mixture, &rows);
        }
    }
}

fn agrees(mixture: &Mixture, rows: &[f32]) {
    let densities = Densities::new(mixture);
    let expected: Vec<_> = rows.chunks_exact(mixture.dim).map(|row| densities.posterior(row)).collect();
    for machine in Machine::exact() {
        let (cpu, mut scratch, mut found) = (Cpu::on(mixture, machine), Scratch::default(), Vec::new());
        let keep = |i: usize, row: &[f32], posterior: &Posterior| {
            assert!(i == found.len() && row.as_ptr() == rows[i * mixture.dim..].as_ptr());
            found.push(posterior.clone());
            Ok::<_, ()>(())
        };
        cpu.posteriors(rows, &mut scratch, keep).unwrap();
        assert_eq!(found.len(), expected.len());
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert!(found == expected, "{machine:?}, row {i}: {found:?} {expected:?}");
        }
    }
}

/// Far apart, one component is left; near to each other, all of them are.
#[test]
fn what_is_certainly_too_far_is_left_out() {
    let mut numbers = Numbers(3);
    for (spread, most, least) in [(100.0, 64, 64), (0.0, 64 * 40, 64 * 40)] {
        let (mut mixture, rows) = drawn(40, 50, 64, spread, &mut numbers);
        mixture.variances.fill(1.0);
        for machine in Machine::exact() {
            let mut tile = Tile::default();
            Table::on(&Densities::new(&mixture), machine).propose(&rows, &mut tile);
            let left: u32 = tile.masks.iter().map(|mask| mask.count_ones()).sum();
            assert!((least..=most).contains(&left), "{machine:?}, {spread}: {left}");
        }
    }
}

#[test]
fn a_row_that_is_too_far_out_has_no_density() {
    let mixture = Mixture::new(1, vec![1.0], vec![0.0], vec![1e-300]).unwrap();
    let found = Densities::new(&mixture).posterior(&[3e38]);
    assert_eq!(found, Posterior { log_likelihood: f64::NEG_INFINITY, parts: Vec::new() });
}

fn moments(mixture: &Mixture, rows: &[&[f32]]) -> Moments {
    let (densities, mut adder) = (Densities::new(mixture), Adder::new(Arc::new(Origin::of_mixture(mixture))));
    rows.iter().for_each(|row| adder.add(row, &densities.posterior(row)).unwrap());
    adder.end().unwrap()
}

#[test]
fn moments_are_those_of_plain_loops_in_any_order_and_any_parts() {
    let mut numbers = Numbers(4);
    // Some rows are far out, so that halves are too narrow for them; and there are more than halves take.
    let (mixture, mut rows) = drawn(3, 5, 5000, 1.0, &mut numbers);
    rows.iter_mut().step_by(1001).for_each(|value| *value *= 5000.0);
    let rows: Vec<_> = rows.chunks_exact(5).collect();
    let all = moments(&mixture, &rows);
    let backwards: Vec<_> = rows.iter().rev().copied().collect();
    assert!(moments(&mixture, &backwards) == all);
    let mut parts = moments(&mixture, &rows[..1]);
    parts.merge(&moments(&mixture, &rows[1234..])).unwrap();
    parts.merge(&moments(&mixture, &rows[1..1234])).unwrap();
    assert!(parts == all);
    let origin = Origin::of_mixture(&mixture);
    for j in 0..3 {
        for i in 0..5 {
            let mut expected = [0.0; 3];
            for row in &rows {
                let share = textbook(&mixture, row).1[j];
                let t = f64::from(row[i]) - mixture.means[j * 5 + i];
                expected = [expected[0] + share, expected[1] + share * t, expected[2] + share * t * t];
            }
            for (found, expected) in all.of(&origin, j, i).into_iter().zip(expected) {
                assert!((found - expected).abs() <= 1e-9 * expected.abs().max(1.0), "{found} {expected}");
            }
        }
    }
}

/// The roundings that are promised, one number at a time.
fn stated(mixture: &Mixture, rows: &[&[f32]]) -> Moments {
    let (densities, origin) = (Densities::new(mixture), Origin::of_mixture(mixture));
    let mut sums = Moments::new(&origin);
    let whole = |value: f64, bits: i32| (value * power_of_two(bits)).round_ties_even() as i128;
    for row in rows {
        let found = densities.posterior(row);
        sums.rows += 1;
        sums.log_likelihood += whole(found.log_likelihood, 32);
        for &(k, share) in &found.parts {
            sums.masses[k as usize] += whole(share, 80);
            for (i, &value) in row.iter().enumerate() {
                let place = k as usize * row.len() + i;
                let t = (f64::from(value) - origin.means[place]) * power_of_two(-origin.exponents[i]);
                sums.first[place] += whole(share * t, 80);
                sums.second[place] += whole(share * t * t, 80);
            }
        }
    }
    sums
}

#[test]
fn moments_are_the_stated_roundings() {
    let mut numbers = Numbers(5);
    // Whole steps of coordinates and some more; shares from 1 down to the least that count; far ones, too.
    for (k, dim, spread) in [(6, 37, 0.3), (2, 16, 0.0), (9, 3, 4.0)] {
        let (mixture, mut rows) = drawn(k, dim, 700, spread, &mut numbers);
        rows.iter_mut().step_by(1777).for_each(|value| *value *= 300.0);
        let rows: Vec<_> = rows.chunks_exact(dim).collect();
        let expected = stated(&mixture, &rows);
        assert!(moments(&mixture, &rows) == expected, "{k} {dim}");
    }
}

#[test]
fn units_follow_each_coordinate() {
    let mixture =
        Mixture::new(3, vec![0.5; 2], vec![1.0, 0.1, 0.0, -3.0, 0.0, 0.0], vec![1.0, 0.25, 1e-6, 1.0, 1e-9, 1e-6]);
    assert_eq!(Origin::of_mixture(&mixture.unwrap()).exponents, [2, 0, -9]);
    let centroids = Centroids::new(Metric::Euclidean, 3, vec![1000.0, 2.0, 0.0]).unwrap();
    assert_eq!(Origin::of_centroids(&centroids).exponents, [10, 2, 0]);
}

#[test]
fn what_does_not_fit_is_refused_and_adds_nothing() {
    let mixture = Mixture::new(2, vec![1.0], vec![0.5, 0.5], vec![0.01, 0.01]).unwrap();
    let mut adder = Adder::new(Arc::new(Origin::of_mixture(&mixture)));
    let found = Posterior { log_likelihood: -1.0, parts: vec![(0, 1.0)] };
    assert_eq!(adder.add(&[0.0, 262_144.0], &found), Err(Outlier));
    let far = Posterior { log_likelihood: -2e18, parts: vec![(0, 1.0)] };
    assert_eq!(adder.add(&[0.0, 0.0], &far), Err(Outlier));
    let none = Posterior { log_likelihood: f64::NEG_INFINITY, parts: Vec::new() };
    assert_eq!(adder.add(&[0.0, 0.0], &none), Err(Outlier));
    assert_eq!(adder.end(), Ok(Moments::new(&Origin::of_mixture(&mixture))));
    // Squares of 2^36 and a bit, in 47 bits before the point.
    let mut adder = Adder::new(Arc::new(Origin::of_mixture(&mixture)));
    for _ in 0..2100 {
        adder.add(&[0.0, 262_143.0], &found).unwrap();
    }
    assert_eq!(adder.end(), Err(TooMany));
}

#[test]
fn mixtures_that_cannot_be_are_refused() {
    let refused = |weights: &[f64], mean: f64, variance: f64| {
        Mixture::new(1, weights.to_vec(), vec![mean; weights.len()], vec![variance; weights.len()]).is_err()
    };
    assert!(!refused(&[1.0, 0.0], 0.0, 1.0));
    for (weights, mean, variance) in [
        (&[0.0, 0.0][..], 0.0, 1.0),
        (&[-1.0, 2.0], 0.0, 1.0),
        (&[f64::NAN], 0.0, 1.0),
        (&[1.0], f64::INFINITY, 1.0),
        (&[1.0], 0.0, 0.0),
        (&[1.0], 0.0, f64::INFINITY),
        (&[1.0], 0.0, f64::NAN),
    ] {
        assert!(refused(weights, mean, variance), "{weights:?} {mean} {variance}");
    }
}

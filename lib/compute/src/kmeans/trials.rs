//! What every [`Assigner`] is tried with, on whatever device: rows and centroids that are hard to tell apart, too
//! large, too small, not numbers, and of awkward shapes. Each trial holds all assigners that `make` gives against
//! [`Reference`], bit for bit.

#![doc(hidden)]
#![allow(missing_docs, reason = "names say it, and only tests call")]

use super::{Assigner, Centroids, Metric, Nearest, Reference};

pub const METRICS: [Metric; 2] = [Metric::Cosine, Metric::Euclidean];

/// A small generator of its own, so that no test depends on another's numbers.
pub struct Random(pub u64);

impl Random {
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    pub fn below(&mut self, n: usize) -> usize {
        self.bits() as usize % n
    }

    /// Between -1 and 1.
    pub fn value(&mut self) -> f32 {
        self.bits() as f32 / (1_u64 << 30) as f32 - 1.0
    }

    pub fn vector(&mut self, dim: usize) -> Vec<f32> {
        (0..dim).map(|_| self.value()).collect()
    }
}

/// Asserts that all answer as the reference, and returns the largest share of re-ranked rows.
pub fn agree<A: Assigner>(
    make: impl Fn(&Centroids) -> Vec<(String, A)>,
    centroids: &Centroids,
    rows: &[f32],
    what: &str,
) -> f64 {
    let n = rows.len() / centroids.dim;
    let mut expected = vec![Nearest::MISSING; n];
    Reference::new(centroids.clone()).nearest(rows, &mut expected, &mut ());
    let mut share = 0.0_f64;
    for (name, assigner) in make(centroids) {
        let mut found = vec![Nearest { cluster: 12345, distance: -1.0 }; n];
        let reranked = assigner.nearest(rows, &mut found, &mut A::Scratch::default());
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert_eq!(bits(found), bits(expected), "{what}, {name}, {:?}, row {i} of {n}", centroids.metric);
        }
        share = share.max(reranked as f64 / n.max(1) as f64);
    }
    share
}

/// The same for several nearest.
pub fn agree_on_several<A: Assigner>(
    make: impl Fn(&Centroids) -> Vec<(String, A)>,
    centroids: &Centroids,
    rows: &[f32],
    count: usize,
    what: &str,
) {
    let n = rows.len() / centroids.dim;
    let mut expected = vec![Nearest::MISSING; n * count];
    Reference::new(centroids.clone()).nearest_several(rows, count, &mut expected, &mut ());
    for (name, assigner) in make(centroids) {
        let mut found = vec![Nearest { cluster: 12345, distance: -1.0 }; n * count];
        assigner.nearest_several(rows, count, &mut found, &mut A::Scratch::default());
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert_eq!(bits(found), bits(expected), "{what}, {name}, {:?}, place {i}", centroids.metric);
        }
    }
}

fn bits(nearest: &Nearest) -> (u32, u64) {
    (nearest.cluster, nearest.distance.to_bits())
}

/// `k` random centroids and `n` rows of every nasty kind in turn.
pub fn nasty(random: &mut Random, metric: Metric, dim: usize, k: usize, n: usize) -> (Centroids, Vec<f32>) {
    let mut values: Vec<f32> = Vec::new();
    for j in 0..k {
        let earlier = |random: &mut Random, values: &[f32]| values[random.below(j) * dim..][..dim].to_vec();
        let row = match random.below(6) {
            // A duplicate, a near duplicate, a multiple of an earlier one.
            0 if j > 0 => earlier(random, &values),
            1 if j > 0 => earlier(random, &values).iter().map(|v| v * (1.0 + 1e-7 * random.value())).collect(),
            2 if j > 0 => earlier(random, &values).iter().map(|v| v * 0.5).collect(),
            _ => random.vector(dim),
        };
        values.extend(row);
    }
    if metric == Metric::Cosine {
        values.chunks_exact_mut(dim).filter(|row| row.iter().all(|&v| v == 0.0)).for_each(|row| row[0] = 1.0);
    }
    let centroids = Centroids::new(metric, dim, values).unwrap();
    let mut rows = Vec::new();
    for i in 0..n {
        let (a, b) = (random.below(k), random.below(k));
        let (a, b) = (centroids.row(a), centroids.row(b));
        let middle = || a.iter().zip(b).map(|(a, b)| (a + b) / 2.0);
        let row: Vec<f32> = match i % 16 {
            0 => a.to_vec(),
            1 => middle().collect(),
            2 => middle().map(|v| v * (1.0 + 1e-7 * random.value())).collect(),
            3 => middle().map(|v| v + 1e-9 * random.value()).collect(),
            4 => a.iter().map(|v| v * 1e-38).collect(),
            5 => a.iter().map(|v| v * 1e38).collect(),
            6 => random.vector(dim).iter().map(|v| v * 1e-44).collect(),
            7 => random.vector(dim).iter().map(|v| v * f32::powi(10.0, random.below(76) as i32 - 38)).collect(),
            8 => vec![0.0; dim],
            9 => with(a, random.below(dim), f32::NAN),
            10 => with(a, random.below(dim), f32::NEG_INFINITY),
            11 => with(a, random.below(dim), 3e38),
            12 => with(&vec![0.0; dim], random.below(dim), f32::MIN_POSITIVE / 8.0),
            13 => a.iter().map(|v| -v).collect(),
            _ => random.vector(dim),
        };
        rows.extend(row);
    }
    (centroids, rows)
}

fn with(row: &[f32], at: usize, value: f32) -> Vec<f32> {
    let mut row = row.to_vec();
    row[at] = value;
    row
}

pub fn nasty_rows<A: Assigner>(make: impl Fn(&Centroids) -> Vec<(String, A)>, dims: &[usize], ks: &[usize]) {
    let mut random = Random(1);
    for metric in METRICS {
        for (&dim, &k) in dims.iter().flat_map(|dim| ks.iter().map(move |k| (dim, k))) {
            let n = 16 + random.below(60);
            let (centroids, rows) = nasty(&mut random, metric, dim, k, n);
            agree(&make, &centroids, &rows, &format!("d {dim}, k {k}"));
        }
    }
}

pub fn tails<A: Assigner>(make: impl Fn(&Centroids) -> Vec<(String, A)>, ns: impl Iterator<Item = usize> + Clone) {
    let mut random = Random(2);
    for metric in METRICS {
        for n in ns.clone() {
            let (centroids, rows) = nasty(&mut random, metric, 20, 40, n);
            agree(&make, &centroids, &rows, &format!("n {n}"));
        }
    }
}

/// Dimensions, centroids, rows.
pub fn shapes<A: Assigner>(make: impl Fn(&Centroids) -> Vec<(String, A)>, shapes: &[(usize, usize, usize)]) {
    let mut random = Random(3);
    for metric in METRICS {
        for &(dim, k, n) in shapes {
            let (centroids, rows) = nasty(&mut random, metric, dim, k, n);
            agree(&make, &centroids, &rows, &format!("d {dim}, k {k}"));
        }
    }
}

/// Of two, to these exponents.
pub fn scales<A: Assigner>(make: impl Fn(&Centroids) -> Vec<(String, A)>, exponents: &[i32]) {
    let mut random = Random(4);
    for metric in METRICS {
        for &exponent in exponents {
            let scale = f64::powi(2.0, exponent);
            let (centroids, rows) = nasty(&mut random, metric, 24, 40, 64);
            let scaled =
                |values: &[f32]| -> Vec<f32> { values.iter().map(|&v| (f64::from(v) * scale) as f32).collect() };
            let Ok(small) = Centroids::new(metric, 24, scaled(&centroids.values)) else { continue };
            agree(&make, &small, &rows, &format!("centroids by 2^{exponent}"));
            agree(&make, &small, &scaled(&rows), &format!("all by 2^{exponent}"));
            // And centroids of all scales together.
            let mut mixed = centroids.values.clone();
            mixed[..480].copy_from_slice(&small.values[..480]);
            let mixed = Centroids::new(metric, 24, mixed).unwrap();
            agree(&make, &mixed, &rows, &format!("half of the centroids by 2^{exponent}"));
            agree(&make, &mixed, &scaled(&rows), &format!("half of the centroids and the rows by 2^{exponent}"));
        }
    }
}

pub fn far_from_the_origin<A: Assigner>(make: impl Fn(&Centroids) -> Vec<(String, A)>) {
    let mut random = Random(5);
    for metric in METRICS {
        for offset in [1e2, 1e4, 1e6] {
            let mut near = |n: usize| -> Vec<f32> { (0..n * 48).map(|_| offset + random.value()).collect() };
            let centroids = Centroids::new(metric, 48, near(100)).unwrap();
            agree(&make, &centroids, &near(100), &format!("offset {offset}"));
        }
    }
}

/// Rows from which all centroids are about as far: what pads centroids to whole blocks must not pass for one in the
/// middle.
pub fn in_the_middle<A: Assigner>(make: impl Fn(&Centroids) -> Vec<(String, A)>, ks: &[usize]) {
    let mut random = Random(13);
    for metric in METRICS {
        for &k in ks {
            let centroids = Centroids::new(metric, 8, random.vector(8 * k)).unwrap();
            let rows: Vec<f32> = random.vector(8 * 40).iter().map(|v| v * 1e-3).collect();
            agree(&make, &centroids, &rows, &format!("in the middle of {k}"));
        }
    }
}

pub fn more_alike_than_lists_have_room<A: Assigner>(make: impl Fn(&Centroids) -> Vec<(String, A)>) {
    let mut random = Random(6);
    for metric in METRICS {
        let row = random.vector(40);
        let mut values: Vec<f32> = row.iter().copied().cycle().take(40 * 150).collect();
        values.extend(random.vector(40 * 50));
        values.extend((0..200).flat_map(|_| row.iter().map(|v| v * (1.0 + 1e-7 * random.value())).collect::<Vec<_>>()));
        let centroids = Centroids::new(metric, 40, values).unwrap();
        let rows: Vec<f32> = row.iter().copied().cycle().take(40 * 40).chain(random.vector(40 * 40)).collect();
        agree(&make, &centroids, &rows, "many duplicates");
        agree_on_several(&make, &centroids, &rows, 5, "many duplicates");
    }
}

/// Dimensions, centroids, rows; how many nearest.
pub fn several<A: Assigner>(
    make: impl Fn(&Centroids) -> Vec<(String, A)>,
    shapes: &[(usize, usize, usize)],
    counts: &[usize],
) {
    let mut random = Random(7);
    for metric in METRICS {
        for (&(dim, k, n), &count) in shapes.iter().flat_map(|shape| counts.iter().map(move |count| (shape, count))) {
            let (centroids, rows) = nasty(&mut random, metric, dim, k, n);
            agree_on_several(&make, &centroids, &rows, count, &format!("d {dim}, k {k}, top {count}"));
        }
    }
}

/// The share of re-ranked rows where rows lie around a centroid each, nearer to it than to any other, but not by far.
pub fn reranked_share<A: Assigner>(
    make: impl Fn(&Centroids) -> Vec<(String, A)>,
    metric: Metric,
    dim: usize,
    k: usize,
    offset: f32,
) -> f64 {
    let mut random = Random(8);
    let values: Vec<f32> = (0..k * dim).map(|_| offset + random.value()).collect();
    let rows = values.iter().map(|v| v + 0.5 * random.value()).collect::<Vec<_>>();
    agree(make, &Centroids::new(metric, dim, values).unwrap(), &rows, "well separated")
}

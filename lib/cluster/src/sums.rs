//! What one part of the rows comes to, in a file that adds to others of its kind.
//!
//! # Stability
//!
//! A safetensors file with the metadata `kind` = `kmeans-sums`, `metric`, `exponent`, `model` (the [fingerprint] of the
//! centroids that the rows were assigned to, 16 hexadecimal digits), `rows_missing`, `rows_bad`, and with these
//! tensors, of which the meaning and the units stand at [`compute::kmeans::Sums`]:
//!
//! - `coordinates`: I64 of shape `(k, dim)`;
//! - `rows`, `weight`, `reach`: U64 of shape `(k)`;
//! - `distance`, `distance_sq`: U64 of shape `(k, 2)`, 128-bit numbers of which the lower half comes first;
//! - `farthest`: F32 of shape `(k, dim)`, each cluster's [farthest](Farthest) row, and `farthest_distance`: F64 of
//!   shape `(k)`, -1 where there is none.
//!
//! Adding is associative and commutative, so any tree of parts, of any size, comes to the same file.

use crate::model::{fingerprint, metric_name, metric_of};
use compute::kmeans::{Centroids, Nearest, Outlier, Sums, Totals, WEIGHT_ONE};
use pipe::failure::Failure;
use pipe::input::read_whole;
use pipe::output::Output;
use pipe::safetensors::{self, File, Part};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::Path;

/// Sums of some rows, and what else must be known of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Partial {
    /// The [fingerprint] of the centroids.
    pub model: u64,
    /// Rows, weights, distances and coordinates of each cluster.
    pub sums: Sums,
    /// Candidates to start an empty cluster anew.
    pub farthest: Farthest,
    /// Rows that were missing, skipped ones included.
    pub rows_missing: u64,
    /// Bad rows that were skipped.
    pub rows_bad: u64,
}

/// The row farthest from its centroid, of each cluster; of equally far ones the one with the larger first value that
/// differs.
#[derive(Debug, Clone, PartialEq)]
pub struct Farthest {
    dim: usize,
    distances: Vec<f64>,
    rows: Vec<f32>,
}

impl Farthest {
    /// No rows of `k` clusters.
    pub fn new(k: usize, dim: usize) -> Farthest {
        Farthest { dim, distances: vec![-1.0; k], rows: vec![0.0; k * dim] }
    }

    /// A cluster's farthest row and its distance; `None` where the cluster has no rows.
    pub fn of(&self, cluster: usize) -> Option<(f64, &[f32])> {
        let row = &self.rows[cluster * self.dim..][..self.dim];
        Some((self.distances[cluster], row)).filter(|&(distance, _)| distance > NO_ROW)
    }

    /// Takes a row into account.
    #[inline]
    pub fn add(&mut self, row: &[f32], found: Nearest) {
        let cluster = found.cluster as usize;
        if found.cluster != Nearest::NONE && found.distance >= self.distances[cluster] {
            self.replace(cluster, row, found.distance);
        }
    }

    /// Takes the rows into account that others come from.
    pub fn merge(&mut self, other: &Farthest) {
        for cluster in 0..other.distances.len() {
            if let Some((distance, row)) = other.of(cluster) {
                self.add(row, Nearest { cluster: cluster as u32, distance });
            }
        }
    }

    #[cold]
    fn replace(&mut self, cluster: usize, row: &[f32], distance: f64) {
        let place = &mut self.rows[cluster * self.dim..][..self.dim];
        let order = distance.total_cmp(&self.distances[cluster]).then_with(|| {
            let differing = row.iter().zip(&*place).map(|(a, b)| a.total_cmp(b)).find(|order| order.is_ne());
            differing.unwrap_or(Ordering::Equal)
        });
        if order.is_gt() {
            place.copy_from_slice(row);
            self.distances[cluster] = distance;
        }
    }
}

/// The distance of no row. A distance is a little below 0 at the lowest: one minus the cosine of equal vectors,
/// rounded.
const NO_ROW: f64 = -1.0;

impl Partial {
    /// The sums of no rows.
    pub fn new(centroids: &Centroids) -> Partial {
        Partial {
            model: fingerprint(centroids),
            sums: Sums::new(centroids),
            farthest: Farthest::new(centroids.k(), centroids.dim),
            rows_missing: 0,
            rows_bad: 0,
        }
    }

    /// Adds a row; `weight` in units of 2^-20.
    ///
    /// # Errors
    /// Where the row is too far out, or one too many; then nothing was added.
    pub fn add(&mut self, row: &[f32], found: Nearest, weight: u64) -> Result<(), Outlier> {
        self.sums.add(row, found, weight)?;
        if weight > 0 {
            self.farthest.add(row, found);
        }
        Ok(())
    }

    /// Adds other rows.
    ///
    /// # Errors
    /// Why they are not rows of the same model, or are too many; then nothing was added.
    pub fn merge(&mut self, other: &Partial) -> Result<(), String> {
        let alike = self.shape() == other.shape() && self.sums.metric == other.sums.metric;
        if self.model != other.model || !alike {
            let (ours, theirs) = (self.model, other.model);
            return Err(format!("sums of another model ({theirs:016x}) than the others ({ours:016x})"));
        }
        let both = |a: u64, b: u64| a.checked_add(b).ok_or(TOO_MANY);
        let (missing, bad) = (both(self.rows_missing, other.rows_missing)?, both(self.rows_bad, other.rows_bad)?);
        self.sums.merge(&other.sums).map_err(|_| TOO_MANY)?;
        self.farthest.merge(&other.farthest);
        (self.rows_missing, self.rows_bad) = (missing, bad);
        Ok(())
    }

    /// Rows that take part.
    pub fn rows(&self) -> u64 {
        self.sums.totals.iter().map(|totals| totals.rows).sum()
    }

    /// What they weigh together.
    pub fn weight(&self) -> f64 {
        let weight: u128 = self.sums.totals.iter().map(|totals| u128::from(totals.weight)).sum();
        weight as f64 / WEIGHT_ONE as f64
    }

    fn shape(&self) -> (usize, usize, i32) {
        (self.sums.totals.len(), self.sums.dim, self.sums.exponent)
    }

    /// Reads what [`Partial::write`] wrote (`-`: standard input), and tells how many bytes that was.
    ///
    /// # Errors
    /// Where that cannot be read, or is something else.
    pub fn open(path: &Path) -> Result<(Partial, u64), Failure> {
        let bytes = read_whole(path)?;
        let size = bytes.len() as u64;
        Ok((Partial::of_bytes(path, bytes)?, size))
    }

    fn of_bytes(path: &Path, bytes: Vec<u8>) -> Result<Partial, Failure> {
        let file = File::of_bytes(path, bytes)?;
        let wrong = |why: String| Failure::file(path, why);
        let said = |name: &str| file.metadata().get(name).map(String::as_str).unwrap_or_default();
        if said("kind") != KIND {
            return Err(wrong("not the sums of a k-means: metadata \"kind\" is not \"kmeans-sums\"".to_string()));
        }
        let unreadable = |name: &str| wrong(format!("metadata {name:?}: {:?} cannot be read", said(name)));
        let number = |name: &str| said(name).parse::<u64>().map_err(|_| unreadable(name));
        let metric = metric_of(said("metric")).ok_or_else(|| unreadable("metric"))?;
        let exponent = said("exponent").parse().ok().filter(|exponent| (-200..=200).contains(exponent));
        let exponent = exponent.ok_or_else(|| unreadable("exponent"))?;
        let model = pipe::key::read_key(said("model").as_bytes()).ok_or_else(|| unreadable("model"))?;
        let dim = check_shapes(&file).map_err(wrong)?;
        let coordinates = file.read_exactly("coordinates", "I64")?.into_iter().map(i64::from_le_bytes).collect();
        let sums = Sums { metric, dim, exponent, totals: totals(&file)?, coordinates };
        if !within_reach(&sums) {
            return Err(wrong("tensor \"coordinates\": a sum beyond what its rows can come to".to_string()));
        }
        let farthest = Farthest {
            dim,
            distances: file.read_exactly("farthest_distance", "F64")?.into_iter().map(f64::from_le_bytes).collect(),
            rows: file.read_exactly("farthest", "F32")?.into_iter().map(f32::from_le_bytes).collect(),
        };
        Ok(Partial { model, sums, farthest, rows_missing: number("rows_missing")?, rows_bad: number("rows_bad")? })
    }

    /// Writes the sums and finishes the output.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn write(&self, output: Output) -> Result<(), Failure> {
        let (sums, (k, dim, exponent)) = (&self.sums, self.shape());
        let metadata = BTreeMap::from(
            [
                ("kind", KIND.to_string()),
                ("metric", metric_name(sums.metric).to_string()),
                ("exponent", exponent.to_string()),
                ("model", format!("{:016x}", self.model)),
                ("rows_missing", self.rows_missing.to_string()),
                ("rows_bad", self.rows_bad.to_string()),
            ]
            .map(|(name, value)| (name.to_string(), value)),
        );
        let totals = |value: fn(&Totals) -> u64| sums.totals.iter().flat_map(|t| value(t).to_le_bytes()).collect();
        let long = |value: fn(&Totals) -> i128| sums.totals.iter().flat_map(|t| value(t).to_le_bytes()).collect();
        let part = |name, dtype, shape: &[usize], bytes| Part { name, dtype, shape: shape.to_vec(), bytes };
        let farthest = &self.farthest;
        let parts = vec![
            part("coordinates", "I64", &[k, dim], sums.coordinates.iter().flat_map(|x| x.to_le_bytes()).collect()),
            part("rows", "U64", &[k], totals(|totals| totals.rows)),
            part("weight", "U64", &[k], totals(|totals| totals.weight)),
            part("reach", "U64", &[k], totals(|totals| totals.reach)),
            part("distance", "U64", &[k, 2], long(|totals| totals.distance)),
            part("distance_sq", "U64", &[k, 2], long(|totals| totals.distance_sq)),
            part("farthest", "F32", &[k, dim], farthest.rows.iter().flat_map(|x| x.to_le_bytes()).collect()),
            part("farthest_distance", "F64", &[k], farthest.distances.iter().flat_map(|x| x.to_le_bytes()).collect()),
        ];
        safetensors::write(output, &metadata, parts)
    }
}

const KIND: &str = "kmeans-sums";

/// Why sums cannot be added.
pub const TOO_MANY: &str = "more rows than 64 bits can add up";

/// Checks that all tensors are of as many clusters, and gives the dimension. Of tensors that are missing, reading
/// tells.
fn check_shapes(file: &File) -> Result<usize, String> {
    let shape = file.shape("coordinates").unwrap_or_default();
    let &[k, dim] = shape else {
        return Err(format!("tensor \"coordinates\": expected two dimensions, found {shape:?}"));
    };
    for (name, shape) in [
        ("rows", &[k][..]),
        ("weight", &[k]),
        ("reach", &[k]),
        ("distance", &[k, 2]),
        ("distance_sq", &[k, 2]),
        ("farthest", &[k, dim]),
        ("farthest_distance", &[k]),
    ] {
        if let Some(found) = file.shape(name).filter(|&found| found != shape) {
            return Err(format!("tensor {name:?}: expected shape {shape:?}, found {found:?}"));
        }
    }
    Ok(dim)
}

fn totals(file: &File) -> Result<Vec<Totals>, Failure> {
    let words = |name: &str| file.read_exactly(name, "U64").map(|words| words.into_iter().map(u64::from_le_bytes));
    let long = |name: &str| {
        let words: Vec<_> = words(name)?.collect();
        let number = |&[low, high]: &[u64; 2]| (u128::from(low) | u128::from(high) << 64) as i128;
        Ok::<_, Failure>(words.as_chunks().0.iter().map(number).collect::<Vec<_>>())
    };
    let distances = long("distance")?.into_iter().zip(long("distance_sq")?);
    let counts = words("rows")?.zip(words("weight")?).zip(words("reach")?);
    let totals = counts.zip(distances).map(|(((rows, weight), reach), (distance, distance_sq))| Totals {
        rows,
        weight,
        distance,
        distance_sq,
        reach,
    });
    Ok(totals.collect())
}

/// Whether every coordinate is within its cluster's reach, which is what keeps additions within 64 bits.
fn within_reach(sums: &Sums) -> bool {
    let mut clusters = sums.totals.iter().zip(sums.coordinates.chunks(sums.dim.max(1)));
    clusters.all(|(totals, sums)| {
        totals.reach <= i64::MAX as u64 && sums.iter().all(|sum| sum.unsigned_abs() <= totals.reach)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use compute::kmeans::{Assigner, Metric, Reference};

    const DIM: usize = 3;

    /// Numbers between -1 and 1, by a linear congruence.
    fn random(count: usize) -> Vec<f32> {
        let mut state = 7_u64;
        let next = |_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..count).map(next).collect()
    }

    fn centroids(metric: Metric) -> Centroids {
        Centroids::new(metric, DIM, random(4 * DIM)).unwrap()
    }

    fn partial(metric: Metric, rows: &[f32]) -> Partial {
        let centroids = centroids(metric);
        let mut found = vec![Nearest::MISSING; rows.len() / DIM];
        Reference::new(centroids.clone()).nearest(rows, &mut found, &mut ());
        let mut partial = Partial::new(&centroids);
        for (row, found) in rows.chunks_exact(DIM).zip(found) {
            partial.add(row, found, WEIGHT_ONE / 3).unwrap();
        }
        Partial { rows_missing: 1, ..partial }
    }

    #[test]
    fn what_is_written_is_read_and_frozen() {
        let scratch = Scratch::new();
        for metric in [Metric::Cosine, Metric::Euclidean] {
            // The last cluster gets no rows.
            let mut partial = partial(metric, &random(5 * DIM));
            partial.sums.totals[0].distance = -1;
            partial.write(scratch.output()).unwrap();
            assert_eq!(Partial::open(scratch.path()).map(|(read, _)| read), Ok(partial));
        }
        partial(Metric::Euclidean, &random(100 * DIM)).write(scratch.output()).unwrap();
        assert_eq!(format!("{:016x}", pipe::key::document_key(&scratch.read())), "ac581e35fc84698f");
    }

    #[test]
    fn any_tree_of_parts_is_the_whole() {
        let rows = random(200 * DIM);
        for metric in [Metric::Cosine, Metric::Euclidean] {
            let parts = || rows.chunks(31 * DIM).map(|rows| partial(metric, rows)).collect::<Vec<_>>();
            let mut whole = partial(metric, &rows);
            whole.rows_missing = parts().len() as u64;
            let add = |mut a: Partial, b: Partial| a.merge(&b).map(|()| a).unwrap();
            assert_eq!(parts().into_iter().reduce(add), Some(whole.clone()));
            assert_eq!(parts().into_iter().rev().reduce(add), Some(whole.clone()));
            let mut halves = parts();
            let second = halves.split_off(3).into_iter().reduce(add).unwrap();
            assert_eq!(add(second, halves.into_iter().reduce(add).unwrap()), whole);
        }
    }

    #[test]
    fn the_farthest_row_does_not_depend_on_the_order() {
        let found = |distance| Nearest { cluster: 1, distance };
        let rows = [([1.0, 2.0], 3.0), ([1.0, 3.0], 3.0), ([9.0, 9.0], 2.0), ([1.0, 2.5], 3.0)];
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]] {
            let mut farthest = Farthest::new(2, 2);
            order.iter().for_each(|&i: &usize| farthest.add(&rows[i].0, found(rows[i].1)));
            farthest.add(&[7.0, 7.0], Nearest::MISSING);
            assert_eq!((farthest.of(0), farthest.of(1)), (None, Some((3.0, &[1.0, 3.0][..]))));
        }
        // A row that is where its centroid is can be farthest, too, also where rounding takes it a little nearer than
        // that.
        let mut farthest = Farthest::new(2, 2);
        farthest.add(&[1.0, 0.0], found(-1e-16));
        assert!(farthest.of(1).is_some());
    }

    #[test]
    fn sums_of_other_models_are_refused() {
        let mut ours = partial(Metric::Cosine, &random(9));
        let before = ours.clone();
        let other = Centroids::new(Metric::Cosine, DIM, vec![1.0; 4 * DIM]).unwrap();
        for other in [partial(Metric::Euclidean, &random(9)), Partial::new(&other)] {
            let why = ours.merge(&other).unwrap_err();
            assert!(why.starts_with(&format!("sums of another model ({:016x})", other.model)), "{why}");
            assert_eq!(ours, before);
        }
    }

    #[test]
    fn files_that_are_no_sums_are_named() {
        let scratch = Scratch::new();
        crate::Model::new(centroids(Metric::Cosine)).write(scratch.output()).unwrap();
        assert!(scratch.why(Partial::open(scratch.path())).starts_with("not the sums of a k-means"));
        partial(Metric::Cosine, &random(9)).write(scratch.output()).unwrap();
        let good = scratch.read();
        let header = 8 + u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
        for (from, to, said) in [
            ("kmeans-sums", "kmeans-fums", "not the sums of a k-means"),
            ("\"exponent\":\"0\"", "\"exponent\":\"x\"", "metadata \"exponent\": \"x\" cannot be read"),
            ("\"cosine\"", "\"cosima\"", "metadata \"metric\": \"cosima\" cannot be read"),
            ("\"rows_bad\":\"0\"", "\"rows_bad\":\"-\"", "metadata \"rows_bad\": \"-\" cannot be read"),
            ("\"model\":\"", "\"modem\":\"", "metadata \"model\": \"\" cannot be read"),
            ("\"reach\"", "\"reech\"", "tensor \"reach\" is missing"),
            ("\"shape\":[4,2]", "\"shape\":[2,4]", "expected shape [4, 2], found [2, 4]"),
        ] {
            let text = String::from_utf8(good[8..header].to_vec()).unwrap().replacen(from, to, 1);
            scratch.write(&[&good[..8], text.as_bytes(), &good[header..]].concat());
            let why = scratch.why(Partial::open(scratch.path()));
            assert!(why.contains(said), "{to}: {why}");
        }
        for end in 0..good.len() {
            assert!(Partial::of_bytes(scratch.path(), good[..end].to_vec()).is_err(), "{end}");
        }
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 128;
            // What can be read can be added to itself, or refused.
            if let Ok(mut read) = Partial::of_bytes(scratch.path(), bytes) {
                let other = read.clone();
                let _ = read.merge(&other);
            }
        }
    }
}

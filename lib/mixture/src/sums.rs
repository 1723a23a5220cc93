//! What one part of the rows comes to, in a file that adds to others of its kind.
//!
//! # Stability
//!
//! A safetensors file with the metadata `kind` = `gmm-sums`, `model` (the fingerprint of the mixture, or of the
//! centroids, that the rows were held against, 16 hexadecimal digits), `rows`, `rows_missing`, `rows_bad`, and with
//! these tensors of 128-bit numbers, U64 of which the lower half comes first; what they mean and their units stand at
//! [`compute::mixture::Moments`]:
//!
//! - `masses`: of shape `(k, 2)`;
//! - `first` and `second`: of shape `(k, dim, 2)`;
//! - `log_likelihood`: of shape `(1, 2)`.
//!
//! Adding is associative and commutative, so any tree of parts, of any size, comes to the same mixture.

use crate::model;
use cluster::model::fingerprint;
use compute::kmeans::Centroids;
use compute::mixture::{Mixture, Moments, Origin};
use pipe::failure::Failure;
use pipe::input::read_whole;
use pipe::output::Output;
use pipe::safetensors::{self, File, Part};
use std::collections::BTreeMap;
use std::path::Path;

/// Sums of some rows, and what else must be known of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Partial {
    /// The fingerprint of the mixture, or of the centroids.
    pub model: u64,
    /// Masses and moments of each component.
    pub moments: Moments,
    /// Rows that were missing.
    pub rows_missing: u64,
    /// Bad rows that were skipped.
    pub rows_bad: u64,
}

impl Partial {
    /// The sums of no rows about a mixture.
    pub fn of_mixture(mixture: &Mixture) -> Partial {
        Partial::of(model::fingerprint(mixture), Moments::new(&Origin::of_mixture(mixture)))
    }

    /// The sums of no rows about centroids.
    pub fn of_centroids(centroids: &Centroids) -> Partial {
        Partial::of(fingerprint(centroids), Moments::new(&Origin::of_centroids(centroids)))
    }

    /// Sums of rows, none of them missing or bad.
    pub fn of(model: u64, moments: Moments) -> Partial {
        Partial { model, moments, rows_missing: 0, rows_bad: 0 }
    }

    /// Adds other rows. The error says why they are not rows of the same model, or are too many; then nothing is
    /// promised of these here.
    ///
    /// # Errors
    /// As said.
    pub fn merge(&mut self, other: &Partial) -> Result<(), String> {
        let shape = |moments: &Moments| (moments.masses.len(), moments.first.len());
        if self.model != other.model || shape(&self.moments) != shape(&other.moments) {
            let (ours, theirs) = (self.model, other.model);
            return Err(format!("sums made with another model ({theirs:016x}) than that of the others ({ours:016x})"));
        }
        self.moments.merge(&other.moments).map_err(|_| TOO_MANY)?;
        self.rows_missing = self.rows_missing.checked_add(other.rows_missing).ok_or(TOO_MANY)?;
        self.rows_bad = self.rows_bad.checked_add(other.rows_bad).ok_or(TOO_MANY)?;
        Ok(())
    }

    /// Reads what [`Partial::write`] wrote (`-`: standard input), and tells how many bytes that was.
    ///
    /// # Errors
    /// The file cannot be read, or is something else.
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
            return Err(wrong("not the sums of a mixture: metadata \"kind\" is not \"gmm-sums\"".to_string()));
        }
        let unreadable = |name: &str| wrong(format!("metadata {name:?}: {:?} cannot be read", said(name)));
        let number = |name: &str| said(name).parse::<u64>().map_err(|_| unreadable(name));
        let model = pipe::key::read_key(said("model").as_bytes()).ok_or_else(|| unreadable("model"))?;
        check_shapes(&file).map_err(wrong)?;
        let sums = |name: &str| -> Result<Vec<i128>, Failure> {
            let halves: Vec<_> = file.read_exactly(name, "U64")?.into_iter().map(u64::from_le_bytes).collect();
            let whole = |&[lower, upper]: &[u64; 2]| (u128::from(upper) << 64 | u128::from(lower)) as i128;
            Ok(halves.as_chunks().0.iter().map(whole).collect())
        };
        let moments = Moments {
            rows: number("rows")?,
            log_likelihood: sums("log_likelihood")?[0],
            masses: sums("masses")?,
            first: sums("first")?,
            second: sums("second")?,
        };
        if moments.masses.iter().chain(&moments.second).any(|&sum| sum < 0) {
            return Err(wrong("a mass, or a sum of squares, below 0".to_string()));
        }
        Ok(Partial { model, moments, rows_missing: number("rows_missing")?, rows_bad: number("rows_bad")? })
    }

    /// Writes the sums and finishes the output.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, output: Output) -> Result<(), Failure> {
        let moments = &self.moments;
        let metadata = BTreeMap::from(
            [
                ("kind", KIND.to_string()),
                ("model", format!("{:016x}", self.model)),
                ("rows", moments.rows.to_string()),
                ("rows_missing", self.rows_missing.to_string()),
                ("rows_bad", self.rows_bad.to_string()),
            ]
            .map(|(name, value)| (name.to_string(), value)),
        );
        let (k, values) = (moments.masses.len(), moments.first.len());
        let part = |name, sums: &[i128], shape: &[usize]| {
            let bytes = sums.iter().flat_map(|sum| sum.to_le_bytes()).collect();
            Part { name, dtype: "U64", shape: shape.to_vec(), bytes }
        };
        let parts = vec![
            part("log_likelihood", &[moments.log_likelihood], &[1, 2]),
            part("masses", &moments.masses, &[k, 2]),
            part("first", &moments.first, &[k, values / k, 2]),
            part("second", &moments.second, &[k, values / k, 2]),
        ];
        safetensors::write(output, &metadata, parts)
    }
}

const KIND: &str = "gmm-sums";

/// Why sums cannot be added.
pub const TOO_MANY: &str = "more rows than 128 bits can add up";

/// What is wrong with a row that sums cannot take.
pub const OUTLIER: &str = "too far out to be added up: in some coordinate more than 2^18 times as far from 0 as the \
                           mean and the deviation of any component";

/// Checks that all tensors are of as many components and values. Of tensors that are missing, reading tells.
fn check_shapes(file: &File) -> Result<(), String> {
    let shape = file.shape("first").unwrap_or_default();
    let &[k, dim, 2] = shape else {
        return Err(format!("tensor \"first\": expected components, values and halves, found {shape:?}"));
    };
    if k == 0 || dim == 0 {
        return Err(format!("tensor \"first\": shape {shape:?}: expected at least one component and value"));
    }
    for (name, expected) in [("second", &[k, dim, 2][..]), ("masses", &[k, 2]), ("log_likelihood", &[1, 2])] {
        let found = file.shape(name).unwrap_or(expected);
        if found != expected {
            return Err(format!("tensor {name:?}: expected shape {expected:?}, found {found:?}"));
        }
    }
    Ok(())
}

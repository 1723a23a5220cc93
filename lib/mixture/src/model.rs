//! Mixtures in a file.
//!
//! # Stability
//!
//! A model is a safetensors file with the tensors `weights` (F64, of shape `(k)`), `means` and `covariances` (F64, of
//! shape `(k, dim)`; the latter are the diagonals), and strings beside them. Equal models are equal bytes.
//!
//! The [fingerprint] of a mixture is XXH3-64 (seed 0) of the dimension (8 bytes, little endian), then the values of the
//! three tensors (64-bit floats, little endian).

use compute::mixture::Mixture;
use pipe::failure::Failure;
use pipe::input::read_whole;
use pipe::output::Output;
use pipe::safetensors::{self, File, Part};
use std::collections::BTreeMap;
use std::path::Path;
use xxhash_rust::xxh3::Xxh3;

/// What a fit makes of a corpus.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// The components.
    pub mixture: Mixture,
    /// Whatever else the file says.
    pub metadata: BTreeMap<String, String>,
}

/// What tells mixtures apart: see the [module's doc](self).
pub fn fingerprint(mixture: &Mixture) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(&(mixture.dim as u64).to_le_bytes());
    for values in [&mixture.weights, &mixture.means, &mixture.variances] {
        values.iter().for_each(|value| hasher.update(&value.to_le_bytes()));
    }
    hasher.digest()
}

impl Model {
    /// Reads a model (`-`: standard input).
    ///
    /// # Errors
    /// The file cannot be read, or is not a mixture.
    pub fn open(path: &Path) -> Result<Model, Failure> {
        Model::of_bytes(path, read_whole(path)?)
    }

    fn of_bytes(path: &Path, bytes: Vec<u8>) -> Result<Model, Failure> {
        let file = File::of_bytes(path, bytes)?;
        let mixture = read_mixture(&file, NAMES)?;
        Ok(Model { mixture, metadata: file.metadata().clone() })
    }

    /// Writes the model and finishes the output.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, output: Output) -> Result<(), Failure> {
        safetensors::write(output, &self.metadata, parts(&self.mixture, NAMES))
    }
}

/// The names of the tensors of a mixture: weights, means and covariances.
pub type Names = [&'static str; 3];

/// In a model.
pub const NAMES: Names = ["weights", "means", "covariances"];

/// The tensors of a mixture, under these names.
pub fn parts(mixture: &Mixture, names: Names) -> Vec<Part> {
    let (k, dim) = (mixture.k(), mixture.dim);
    let values = [(&mixture.weights, vec![k]), (&mixture.means, vec![k, dim]), (&mixture.variances, vec![k, dim])];
    let part = |(name, (values, shape)): (_, (&Vec<f64>, _))| {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Part { name, dtype: "F64", shape, bytes }
    };
    names.into_iter().zip(values).map(part).collect()
}

/// The mixture that stands under these names.
///
/// # Errors
/// The tensors are missing, of other types or shapes, or not those of a mixture.
pub fn read_mixture(file: &File, names: Names) -> Result<Mixture, Failure> {
    let wrong = |why: String| Failure::file(file.path(), why);
    let read = |name: &str| -> Result<Vec<f64>, Failure> {
        Ok(file.read_exactly(name, "F64")?.into_iter().map(f64::from_le_bytes).collect())
    };
    let [weights, means, variances] = [read(names[0])?, read(names[1])?, read(names[2])?];
    let shape = file.shape(names[1]).unwrap_or_default();
    let &[k, dim] = shape else {
        return Err(wrong(format!("tensor {:?}: shape {shape:?}: expected two dimensions", names[1])));
    };
    if k == 0 || dim == 0 || k >= u32::MAX as usize {
        let most = u32::MAX - 1;
        return Err(wrong(format!("tensor {:?}: shape {shape:?}: expected 1 to {most} components", names[1])));
    }
    for (name, expected) in [(names[0], &[k][..]), (names[2], &[k, dim])] {
        let found = file.shape(name).unwrap_or_default();
        if found != expected {
            return Err(wrong(format!("tensor {name:?}: expected shape {expected:?}, found {found:?}")));
        }
    }
    Mixture::new(dim, weights, means, variances).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    fn model() -> Model {
        let mixture = Mixture::new(2, vec![0.25, 0.75], vec![1.0, 0.0, -0.5, 2.0], vec![1.0, 0.5, 0.25, 2.0]).unwrap();
        Model { mixture, metadata: BTreeMap::from([("k".to_string(), "2".to_string())]) }
    }

    #[test]
    fn what_is_written_is_read() {
        let scratch = Scratch::new();
        model().write(scratch.output()).unwrap();
        assert_eq!(Model::open(scratch.path()), Ok(model()));
    }

    #[test]
    fn a_models_bytes_are_frozen() {
        let scratch = Scratch::new();
        model().write(scratch.output()).unwrap();
        let header = concat!(
            r#"{"__metadata__":{"k":"2"},"#,
            r#""covariances":{"data_offsets":[0,32],"dtype":"F64","shape":[2,2]},"#,
            r#""means":{"data_offsets":[32,64],"dtype":"F64","shape":[2,2]},"#,
            r#""weights":{"data_offsets":[64,80],"dtype":"F64","shape":[2]}}"#
        );
        let bytes = scratch.read();
        assert_eq!(String::from_utf8_lossy(&bytes[8..bytes.len() - 80]).trim_end(), header);
        assert_eq!(bytes[bytes.len() - 8..], 0.75_f64.to_le_bytes());
        assert_eq!(format!("{:016x}", fingerprint(&model().mixture)), "7a436db55b1c18cf");
    }

    #[test]
    fn mixtures_that_cannot_be_are_named() {
        let scratch = Scratch::new();
        let why = |change: fn(&mut Mixture)| {
            let mut model = model();
            change(&mut model.mixture);
            model.write(scratch.output()).unwrap();
            scratch.why(Model::open(scratch.path()))
        };
        assert_eq!(why(|m| m.weights[1] = -0.5), "component 1: weight -0.5: expected a finite number, 0 or more");
        assert_eq!(why(|m| m.weights.fill(0.0)), "all weights are 0");
        assert_eq!(why(|m| m.means[3] = f64::NAN), "component 1: mean 1 is NaN, expected a finite number");
        let said = "component 0: variance 1 is 0, expected a finite number above 0";
        assert_eq!(why(|m| m.variances[1] = 0.0), said);
        let part = |name, shape: &[usize]| Part { name, dtype: "F64", shape: shape.to_vec(), bytes: vec![0; 16] };
        let parts = vec![part("weights", &[2]), part("means", &[1, 2]), part("covariances", &[1, 2])];
        safetensors::write(scratch.output(), &BTreeMap::new(), parts).unwrap();
        let said = "tensor \"weights\": expected shape [1], found [2]";
        assert_eq!(scratch.why(Model::open(scratch.path())), said);
    }

    /// Every cut and many changes of a file: a model or an error, never a panic.
    #[test]
    fn damaged_files_never_panic() {
        let scratch = Scratch::new();
        model().write(scratch.output()).unwrap();
        let good = scratch.read();
        for end in 0..good.len() {
            assert!(Model::of_bytes(scratch.path(), good[..end].to_vec()).is_err(), "{end}");
        }
        for at in 0..good.len() {
            for flip in [1, 16, 128] {
                let mut bytes = good.clone();
                bytes[at] ^= flip;
                let _ = Model::of_bytes(scratch.path(), bytes);
            }
        }
    }
}

//! Centroids in a file.
//!
//! # Stability
//!
//! A model is a safetensors file with a tensor `centroids` (F32, of shape `(k, dim)`), where it is known how many rows
//! each has `sizes` (I64, of shape `(k)`), and strings beside them, of which `metric` (`cosine` or `euclidean`) is
//! always there. Equal models are equal bytes. Foreign centroids are read from a `.npy` array of little-endian floats
//! of 16, 32 or 64 bits; the latter are rounded to the nearest 32-bit float.
//!
//! The [fingerprint] of centroids is XXH3-64 (seed 0) of the metric's name, the dimension (8 bytes, little endian),
//! then the values (32-bit floats, little endian).

use compute::kmeans::{Centroids, Metric, Nearest};
use pipe::failure::{Failure, reading_reason};
use pipe::input::read_whole;
use pipe::npy::{self, Header, MAGIC};
use pipe::output::Output;
use pipe::safetensors::{self, File, Part};
use pipe::vectors::widen_f16;
use std::collections::BTreeMap;
use std::path::Path;
use xxhash_rust::xxh3::Xxh3;

/// What k-means makes of a corpus.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// The centroids and their metric.
    pub centroids: Centroids,
    /// Whatever else the file says; `metric` is always that of the centroids.
    pub metadata: BTreeMap<String, String>,
    /// Rows of each cluster, where they were counted.
    pub sizes: Option<Vec<u64>>,
}

/// The words that flags and files use for metrics.
pub const METRICS: [(&str, Metric); 2] = [("cosine", Metric::Cosine), ("euclidean", Metric::Euclidean)];

/// The word for a metric.
pub fn metric_name(metric: Metric) -> &'static str {
    METRICS.into_iter().find(|&(_, known)| known == metric).map(|(name, _)| name).expect("all metrics have names")
}

/// The metric of that name.
pub fn metric_of(name: &str) -> Option<Metric> {
    METRICS.into_iter().find(|&(known, _)| known == name).map(|(_, metric)| metric)
}

/// What tells models apart: see the [module's doc](self).
pub fn fingerprint(centroids: &Centroids) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(metric_name(centroids.metric).as_bytes());
    hasher.update(&(centroids.dim as u64).to_le_bytes());
    centroids.values.iter().for_each(|value| hasher.update(&value.to_le_bytes()));
    hasher.digest()
}

impl Model {
    /// A model that says nothing of itself but its centroids.
    pub fn new(centroids: Centroids) -> Model {
        let metadata = BTreeMap::from([("metric".to_string(), metric_name(centroids.metric).to_string())]);
        Model { centroids, metadata, sizes: None }
    }

    /// Reads a model or foreign centroids (`-`: standard input). Where the file does not say its metric, it is the
    /// given one, or cosine; a metric that is given and contradicts the file is refused.
    ///
    /// # Errors
    /// Where the file cannot be read, is no model, or is of another metric than the given one.
    pub fn open(path: &Path, metric: Option<Metric>) -> Result<Model, Failure> {
        Model::of_bytes(path, read_whole(path)?, metric)
    }

    fn of_bytes(path: &Path, bytes: Vec<u8>, metric: Option<Metric>) -> Result<Model, Failure> {
        if bytes.starts_with(MAGIC) {
            Model::of_npy(path, &bytes, metric)
        } else {
            Model::of_safetensors(path, bytes, metric)
        }
    }

    /// Writes the model and finishes the output.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn write(&self, output: Output) -> Result<(), Failure> {
        let mut metadata = self.metadata.clone();
        metadata.insert("metric".to_string(), metric_name(self.centroids.metric).to_string());
        let values = self.centroids.values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let shape = vec![self.centroids.k(), self.centroids.dim];
        let mut parts = vec![Part { name: "centroids", dtype: "F32", shape, bytes: values }];
        if let Some(sizes) = &self.sizes {
            assert_eq!(sizes.len(), self.centroids.k(), "a size for each");
            let bytes = sizes.iter().flat_map(|size| size.to_le_bytes()).collect();
            parts.push(Part { name: "sizes", dtype: "I64", shape: vec![sizes.len()], bytes });
        }
        safetensors::write(output, &metadata, parts)
    }

    fn of_safetensors(path: &Path, bytes: Vec<u8>, metric: Option<Metric>) -> Result<Model, Failure> {
        let file = File::of_bytes(path, bytes)?;
        let metric = agreed_metric(file.metadata().get("metric"), metric).map_err(|why| Failure::file(path, why))?;
        let tensor = file.read("centroids")?;
        let centroids = centroids(metric, &tensor.shape, tensor.values)
            .map_err(|why| Failure::file(path, format!("tensor \"centroids\": {why}")))?;
        let mut model = Model { metadata: file.metadata().clone(), ..Model::new(centroids) };
        model.metadata.insert("metric".to_string(), metric_name(metric).to_string());
        if let Some(shape) = file.shape("sizes") {
            let wrong = |why: String| Failure::file(path, format!("tensor \"sizes\": {why}"));
            if shape != [model.centroids.k()] {
                return Err(wrong(format!(
                    "shape {shape:?}: expected one for each of {} centroids",
                    model.centroids.k()
                )));
            }
            let sizes =
                file.read_exactly("sizes", "I64")?.into_iter().map(|size| u64::try_from(i64::from_le_bytes(size)));
            model.sizes = Some(sizes.collect::<Result<_, _>>().map_err(|_| wrong("a size below 0".to_string()))?);
        }
        Ok(model)
    }

    fn of_npy(path: &Path, bytes: &[u8], metric: Option<Metric>) -> Result<Model, Failure> {
        let wrong = |why: String| Failure::file(path, why);
        let mut rest = bytes;
        let header = Header::read(&mut rest).map_err(|why| wrong(reading_reason(why)))?.expect("there is something");
        if header.part != npy::Part::Array {
            return Err(wrong("is a stream: expected an array, which npy-cat makes of it".to_string()));
        }
        let (size, value): (u64, fn(&[u8]) -> f32) = match header.descr.as_str() {
            "<f2" => (2, |bytes| widen_f16(u16::from_le_bytes([bytes[0], bytes[1]]))),
            "<f4" => (4, |bytes| f32::from_le_bytes(bytes.try_into().expect("4 bytes"))),
            "<f8" => (8, |bytes| f64::from_le_bytes(bytes.try_into().expect("8 bytes")) as f32),
            other => {
                return Err(wrong(format!(
                    "type {other:?}: expected little-endian floats, \"<f2\", \"<f4\" or \"<f8\""
                )));
            }
        };
        if header.fortran_order {
            return Err(wrong("Fortran order: expected C order, as numpy.ascontiguousarray makes it".to_string()));
        }
        let claimed = header.shape.iter().try_fold(size, |bytes, &size| bytes.checked_mul(size));
        if claimed != Some(rest.len() as u64) {
            let (shape, found) = (&header.shape, rest.len());
            return Err(wrong(format!("values of shape {shape:?}, {size} bytes each, expected; found {found} bytes")));
        }
        let shape: Vec<_> = header.shape.iter().map(|&size| size as usize).collect();
        let values = rest.chunks_exact(size as usize).map(value).collect();
        centroids(metric.unwrap_or(Metric::Cosine), &shape, values).map(Model::new).map_err(wrong)
    }
}

fn agreed_metric(said: Option<&String>, given: Option<Metric>) -> Result<Metric, String> {
    let Some(said) = said else { return Ok(given.unwrap_or(Metric::Cosine)) };
    let metric = metric_of(said).ok_or_else(|| format!("metric {said:?}: expected cosine or euclidean"))?;
    match given {
        Some(given) if given != metric => {
            Err(format!("the model's metric is {said}, --metric {} was asked for", metric_name(given)))
        }
        _ => Ok(metric),
    }
}

fn centroids(metric: Metric, shape: &[usize], values: Vec<f32>) -> Result<Centroids, String> {
    let &[k, dim] = shape else {
        return Err(format!("shape {shape:?}: expected two dimensions, centroids and values"));
    };
    if k == 0 || dim == 0 || k >= Nearest::NONE as usize {
        return Err(format!("shape {shape:?}: expected 1 to {} centroids of at least one value", Nearest::NONE - 1));
    }
    Centroids::new(metric, dim, values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    fn model() -> Model {
        let centroids = Centroids::new(Metric::Euclidean, 2, vec![1.0, 0.0, -0.5, 2.0, 3.0, 3.0]).unwrap();
        let mut model = Model::new(centroids);
        model.metadata.insert("k".to_string(), "3".to_string());
        Model { sizes: Some(vec![7, 0, 1]), ..model }
    }

    #[test]
    fn what_is_written_is_read() {
        let scratch = Scratch::new();
        for model in [model(), Model { sizes: None, ..model() }] {
            model.write(scratch.output()).unwrap();
            assert_eq!(Model::open(scratch.path(), None), Ok(model.clone()));
            assert_eq!(Model::open(scratch.path(), Some(Metric::Euclidean)), Ok(model));
            let why = scratch.why(Model::open(scratch.path(), Some(Metric::Cosine)));
            assert_eq!(why, "the model's metric is euclidean, --metric cosine was asked for");
        }
    }

    #[test]
    fn a_models_bytes_are_frozen() {
        let scratch = Scratch::new();
        model().write(scratch.output()).unwrap();
        let header = concat!(
            r#"{"__metadata__":{"k":"3","metric":"euclidean"},"#,
            r#""centroids":{"data_offsets":[24,48],"dtype":"F32","shape":[3,2]},"#,
            r#""sizes":{"data_offsets":[0,24],"dtype":"I64","shape":[3]}}"#
        );
        let bytes = scratch.read();
        let text = String::from_utf8_lossy(&bytes[8..8 + header.len().next_multiple_of(8)]).into_owned();
        assert_eq!(text.trim_end(), header);
        assert_eq!(bytes.len(), 8 + text.len() + 48);
        assert_eq!(bytes[8 + text.len()..][..9], [7, 0, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn fingerprints_are_frozen_and_tell_metrics_apart() {
        let centroids = model().centroids;
        assert_eq!(format!("{:016x}", fingerprint(&centroids)), "7aa7414699458c50");
        let cosine = Centroids { metric: Metric::Cosine, ..centroids.clone() };
        let flat = Centroids { dim: 3, ..centroids.clone() };
        assert!(fingerprint(&cosine) != fingerprint(&centroids) && fingerprint(&flat) != fingerprint(&centroids));
    }

    #[test]
    fn sizes_that_cannot_be_are_named() {
        let scratch = Scratch::new();
        model().write(scratch.output()).unwrap();
        let mut bytes = scratch.read();
        let place = bytes.len() - 48;
        bytes[place..place + 8].fill(255);
        scratch.write(&bytes);
        assert_eq!(scratch.why(Model::open(scratch.path(), None)), "tensor \"sizes\": a size below 0");
        let part = |name, dtype, shape: &[usize]| Part { name, dtype, shape: shape.to_vec(), bytes: vec![0; 8] };
        let parts = vec![part("centroids", "F32", &[1, 2]), part("sizes", "I64", &[1, 1])];
        safetensors::write(scratch.output(), &BTreeMap::from([("metric".into(), "euclidean".into())]), parts).unwrap();
        assert_eq!(
            scratch.why(Model::open(scratch.path(), None)),
            "tensor \"sizes\": shape [1, 1]: expected one for each of 1 centroids"
        );
    }

    #[test]
    fn a_stream_is_told_to_become_an_array() {
        let scratch = Scratch::new();
        scratch.write(&[Header::block("<f4", &[0, 2]), Header::end("<f4", &[0, 2], &[0])].concat());
        let why = scratch.why(Model::open(scratch.path(), None));
        assert_eq!(why, "is a stream: expected an array, which npy-cat makes of it");
    }

    /// Every cut and many changes of a file: a model or an error, never a panic.
    #[test]
    fn damaged_files_never_panic() {
        let scratch = Scratch::new();
        model().write(scratch.output()).unwrap();
        let good = scratch.read();
        for end in 0..good.len() {
            assert!(Model::of_bytes(scratch.path(), good[..end].to_vec(), None).is_err(), "{end}");
        }
        for at in 0..good.len() {
            for flip in [1, 16, 128] {
                let mut bytes = good.clone();
                bytes[at] ^= flip;
                let _ = Model::of_bytes(scratch.path(), bytes, None);
            }
        }
    }
}

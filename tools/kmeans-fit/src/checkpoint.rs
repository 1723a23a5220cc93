//! A fit under way, in a file.
//!
//! # Stability
//!
//! A safetensors file with the metadata `kind` = `kmeans-checkpoint`, `job` (what the fit is of: flags and data),
//! `run`, those of the run under way with `now.` before their names, those of the best run that has ended with `best.`,
//! and the tensors `centroids` and `best_centroids`, `best_sizes` of both.

use cluster::Model;
use cluster::fit::State;
use cluster::model::{METRICS, metric_of};
use compute::kmeans::Centroids;
use pipe::failure::Failure;
use pipe::output::Output;
use pipe::safetensors::{self, File, Part};
use std::collections::BTreeMap;
use std::path::Path;

/// Where a fit stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// Which run is under way, from 0.
    pub run: u64,
    /// How far it is.
    pub state: State,
    /// The best of the runs before.
    pub best: Option<State>,
}

const KIND: &str = "kmeans-checkpoint";

impl Checkpoint {
    /// Writes it; `job` says what the fit is of. Fails where the file cannot be written.
    pub fn write(&self, path: &Path, job: &str) -> Result<(), Failure> {
        let now = self.state.model();
        let mut metadata = BTreeMap::from([
            ("kind".to_string(), KIND.to_string()),
            ("job".to_string(), job.to_string()),
            ("run".to_string(), self.run.to_string()),
        ]);
        let mut parts = vec![matrix("centroids", &now.centroids)];
        metadata.extend(now.metadata.into_iter().map(|(name, value)| (format!("now.{name}"), value)));
        if let Some(best) = self.best.as_ref().map(State::model) {
            metadata.extend(best.metadata.iter().map(|(name, value)| (format!("best.{name}"), value.clone())));
            parts.push(matrix("best_centroids", &best.centroids));
            let sizes = best.sizes.as_deref().unwrap_or_default();
            let bytes = sizes.iter().flat_map(|size| size.to_le_bytes()).collect();
            parts.push(Part { name: "best_sizes", dtype: "U64", shape: vec![sizes.len()], bytes });
        }
        safetensors::write(Output::create(path)?, &metadata, parts)
    }

    /// Reads it. Fails where it cannot be read, is damaged, or is of another job.
    pub fn open(path: &Path, job: &str) -> Result<Checkpoint, Failure> {
        let file = File::open(path)?;
        let wrong = |why: String| Failure::file(path, why);
        let said = |name: &str| file.metadata().get(name).map(String::as_str).unwrap_or_default();
        if said("kind") != KIND {
            return Err(wrong("not a checkpoint of kmeans-fit".to_string()));
        }
        if said("job") != job {
            return Err(wrong(format!("of another fit: it is of {}; this one is of {job}", said("job"))));
        }
        let run = said("run").parse().map_err(|_| wrong(format!("metadata \"run\": {:?}", said("run"))))?;
        let part = |prefix: &str| -> BTreeMap<String, String> {
            let own = file.metadata().iter();
            own.filter_map(|(name, value)| Some((name.strip_prefix(prefix)?.to_string(), value.clone()))).collect()
        };
        let model = |name: &str, metadata: BTreeMap<String, String>| {
            let tensor = file.read(name)?;
            let metric = metadata.get("metric").and_then(|metric| metric_of(metric)).unwrap_or(METRICS[0].1);
            let dim = tensor.shape.last().copied().filter(|&dim| dim > 0 && tensor.shape.len() == 2);
            let dim = dim.ok_or_else(|| wrong(format!("tensor {name:?}: shape {:?}", tensor.shape)))?;
            let centroids = Centroids::new(metric, dim, tensor.values).map_err(wrong)?;
            Ok(Model { centroids, metadata, sizes: None })
        };
        let state = State::of(model("centroids", part("now."))?);
        let mut best = None;
        if file.shape("best_centroids").is_some() {
            let sizes = file.read_exactly("best_sizes", "U64")?.into_iter().map(u64::from_le_bytes);
            let model = Model { sizes: Some(sizes.collect()), ..model("best_centroids", part("best."))? };
            best = Some(State::of(model)).filter(|state| state.summary.is_some());
            best.as_ref().ok_or_else(|| wrong("metadata: of the best run numbers are missing".to_string()))?;
        }
        Ok(Checkpoint { run, state, best })
    }
}

fn matrix(name: &'static str, centroids: &Centroids) -> Part {
    let bytes = centroids.values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Part { name, dtype: "F32", shape: vec![centroids.k(), centroids.dim], bytes }
}

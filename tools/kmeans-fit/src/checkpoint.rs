//! A fit under way, in a file.
//!
//! # Stability
//!
//! A safetensors file with the metadata `kind` = `kmeans-checkpoint`, `job` (what the fit is of: flags and data),
//! `run`, those of the run under way with `now.` before their names, those of the best run that has ended with `best.`,
//! and the tensors `centroids` and `best_centroids`, `best_sizes` of both.

use cluster::Model;
use cluster::fit::State;
use cluster::model::{metric_name, metric_of};
use compute::kmeans::{Centroids, Metric};
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

/// What a checkpoint must be like to be gone on from.
#[derive(Debug, Clone, Copy)]
pub struct Form {
    /// Centroids.
    pub k: usize,
    /// Values of each.
    pub dim: usize,
    /// How rows are compared with them.
    pub metric: Metric,
    /// Runs of the fit.
    pub runs: u64,
    /// Iterations of a run at the most.
    pub iters: u64,
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

    /// Reads it.
    ///
    /// # Errors
    /// Where it cannot be read, is damaged, is of another job, or holds what no fit of this form can be at.
    pub fn open(path: &Path, job: &str, form: Form) -> Result<Checkpoint, Failure> {
        let file = File::open(path)?;
        let wrong = |why: String| Failure::file(path, why);
        let said = |name: &str| file.metadata().get(name).map(String::as_str).unwrap_or_default();
        if said("kind") != KIND {
            return Err(wrong("not a checkpoint of kmeans-fit".to_string()));
        }
        if said("job") != job {
            return Err(wrong(format!("of another fit: it is of {}; this one is of {job}", said("job"))));
        }
        let run = said("run").parse().ok().filter(|&run| run < form.runs);
        let expected = format!("expected a whole number below {}, found {:?}", form.runs, said("run"));
        let run = run.ok_or_else(|| wrong(format!("metadata \"run\": {expected}")))?;
        let part = |prefix: &str| -> BTreeMap<String, String> {
            let own = file.metadata().iter();
            own.filter_map(|(name, value)| Some((name.strip_prefix(prefix)?.to_string(), value.clone()))).collect()
        };
        let model = |name: &str, metadata: BTreeMap<String, String>| {
            let tensor = file.read(name)?;
            let Form { k, dim, metric, .. } = form;
            if tensor.shape != [k, dim] {
                return Err(wrong(format!("tensor {name:?}: shape {:?}: expected [{k}, {dim}]", tensor.shape)));
            }
            if metadata.get("metric").and_then(|metric| metric_of(metric)) != Some(metric) {
                return Err(wrong(format!("tensor {name:?}: expected the metric {:?}", metric_name(metric))));
            }
            let centroids = Centroids::new(metric, dim, tensor.values).map_err(wrong)?;
            Ok(Model { centroids, metadata, sizes: None })
        };
        let state = State::of(model("centroids", part("now."))?);
        if state.iterations > form.iters {
            let (found, most) = (state.iterations, form.iters);
            return Err(wrong(format!("metadata \"now.iterations\": expected no more than {most}, found {found}")));
        }
        let mut best = None;
        if file.shape("best_centroids").is_some() != (run > 0) {
            return Err(wrong(format!(
                "tensor \"best_centroids\": expected where a run has ended: this is run {run}, from 0"
            )));
        }
        if run > 0 {
            let sizes: Vec<_> = file.read_exactly("best_sizes", "U64")?.into_iter().map(u64::from_le_bytes).collect();
            if sizes.len() != form.k {
                return Err(wrong(format!("tensor \"best_sizes\": {}: expected {}", sizes.len(), form.k)));
            }
            let model = Model { sizes: Some(sizes), ..model("best_centroids", part("best."))? };
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

#[cfg(test)]
mod tests {
    use super::*;
    use cluster::fit::{Measure, Summary};
    use std::path::PathBuf;

    const FORM: Form = Form { k: 2, dim: 3, metric: Metric::Euclidean, runs: 2, iters: 9 };

    fn state(k: usize, dim: usize, metric: Metric, sizes: Option<usize>) -> State {
        let values = (0..k * dim).map(|value| if value % dim == 0 { 1.0 } else { 0.0 }).collect();
        let mut state = State::new(Centroids::new(metric, dim, values).unwrap(), BTreeMap::new());
        let measure = Measure { inertia: 1.5, mean_distance: 0.5 };
        state.summary = sizes.map(|k| Summary { measure, rows: 9, rows_missing: 0, weight: 9.0, sizes: vec![9; k] });
        state
    }

    fn written(run: u64, state: State, best: Option<State>) -> Result<Checkpoint, String> {
        let name = format!("checkpoint-{}-{:?}", std::process::id(), std::thread::current().id());
        let path: PathBuf = std::env::temp_dir().join(name);
        Checkpoint { run, state, best }.write(&path, "job").unwrap();
        let read = Checkpoint::open(&path, "job", FORM);
        std::fs::remove_file(&path).unwrap();
        read.map_err(|why| match why {
            Failure::Work(why) => why.replace(&format!("{}: ", path.display()), ""),
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn what_no_fit_of_this_form_can_be_at_is_refused() {
        let plain = |k, dim| state(k, dim, Metric::Euclidean, None);
        let best = |k, dim, sizes| Some(state(k, dim, Metric::Euclidean, Some(sizes)));
        assert!(written(0, plain(2, 3), None).is_ok());
        assert!(written(1, plain(2, 3), best(2, 3, 2)).is_ok());
        let late = State { iterations: 10, ..plain(2, 3) };
        for (run, state, best, said) in [
            (2, plain(2, 3), best(2, 3, 2), "metadata \"run\": expected a whole number below 2, found \"2\""),
            (0, plain(3, 3), None, "tensor \"centroids\": shape [3, 3]: expected [2, 3]"),
            (0, plain(2, 4), None, "tensor \"centroids\": shape [2, 4]: expected [2, 3]"),
            (0, state(2, 3, Metric::Cosine, None), None, "tensor \"centroids\": expected the metric \"euclidean\""),
            (1, plain(2, 3), best(3, 3, 2), "tensor \"best_centroids\": shape [3, 3]: expected [2, 3]"),
            (1, plain(2, 3), best(2, 5, 2), "tensor \"best_centroids\": shape [2, 5]: expected [2, 3]"),
            (1, plain(2, 3), best(2, 3, 7), "tensor \"best_sizes\": 7: expected 2"),
            (1, plain(2, 3), None, "tensor \"best_centroids\": expected where a run has ended: this is run 1, from 0"),
            (
                0,
                plain(2, 3),
                best(2, 3, 2),
                "tensor \"best_centroids\": expected where a run has ended: this is run 0, from 0",
            ),
            (0, late, None, "metadata \"now.iterations\": expected no more than 9, found 10"),
        ] {
            assert_eq!(written(run, state, best).map(|_| ()), Err(said.to_string()));
        }
    }
}

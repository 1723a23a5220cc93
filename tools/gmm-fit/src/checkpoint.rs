//! A fit under way, in a file.
//!
//! # Stability
//!
//! A safetensors file with the metadata `kind` = `gmm-checkpoint`, `job` (what the fit is of: flags and data), `run`,
//! those of the run under way with `now.` before their names, those of the best run that has ended with `best.`, and
//! the tensors `weights`, `means`, `covariances` and `best_weights`, `best_means`, `best_covariances` of both.

use mixture::Model;
use mixture::fit::State;
use mixture::model::{NAMES, Names, parts, read_mixture};
use pipe::failure::Failure;
use pipe::output::Output;
use pipe::safetensors::{self, File};
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

const KIND: &str = "gmm-checkpoint";

const BEST: Names = ["best_weights", "best_means", "best_covariances"];

impl Checkpoint {
    /// Writes it; `job` says what the fit is of. Fails where the file cannot be written.
    pub fn write(&self, path: &Path, job: &str) -> Result<(), Failure> {
        let mut metadata = BTreeMap::from([
            ("kind".to_string(), KIND.to_string()),
            ("job".to_string(), job.to_string()),
            ("run".to_string(), self.run.to_string()),
        ]);
        let mut tensors = Vec::new();
        let now = Some((&self.state, "now", NAMES));
        for (state, prefix, names) in now.into_iter().chain(self.best.as_ref().map(|best| (best, "best", BEST))) {
            let Model { mixture, metadata: said } = state.model();
            metadata.extend(said.into_iter().map(|(name, value)| (format!("{prefix}.{name}"), value)));
            tensors.extend(parts(&mixture, names));
        }
        safetensors::write(Output::create(path)?, &metadata, tensors)
    }

    /// Reads it. Fails where it cannot be read, is damaged, or is of another job.
    pub fn open(path: &Path, job: &str) -> Result<Checkpoint, Failure> {
        let file = File::open(path)?;
        let wrong = |why: String| Failure::file(path, why);
        let said = |name: &str| file.metadata().get(name).map(String::as_str).unwrap_or_default();
        if said("kind") != KIND {
            return Err(wrong("not a checkpoint of gmm-fit".to_string()));
        }
        if said("job") != job {
            return Err(wrong(format!("of another fit: it is of {}; this one is of {job}", said("job"))));
        }
        let run = said("run").parse().map_err(|_| wrong(format!("metadata \"run\": {:?}", said("run"))))?;
        let state = |prefix: &str, names: Names| -> Result<State, Failure> {
            let own = file.metadata().iter();
            let own = own.filter_map(|(name, value)| Some((name.strip_prefix(prefix)?.to_string(), value.clone())));
            Ok(State::of(Model { mixture: read_mixture(&file, names)?, metadata: own.collect() }))
        };
        let best = file.shape(BEST[0]).map(|_| state("best.", BEST)).transpose()?;
        Ok(Checkpoint { run, state: state("now.", NAMES)?, best })
    }
}

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

/// What a checkpoint must be like to be gone on from.
#[derive(Debug, Clone, Copy)]
pub struct Form {
    /// Components.
    pub k: usize,
    /// Values of a row.
    pub dim: usize,
    /// Runs of the fit.
    pub runs: u64,
    /// Iterations of a run at the most.
    pub iters: u64,
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

    /// Reads it.
    ///
    /// # Errors
    /// Where it cannot be read, is damaged, is of another job, or holds what no fit of this form can be at.
    pub fn open(path: &Path, job: &str, form: Form) -> Result<Checkpoint, Failure> {
        let file = File::open(path)?;
        let wrong = |why: String| Failure::file(path, why);
        let said = |name: &str| file.metadata().get(name).map(String::as_str).unwrap_or_default();
        if said("kind") != KIND {
            return Err(wrong("not a checkpoint of gmm-fit".to_string()));
        }
        if said("job") != job {
            return Err(wrong(format!("of another fit: it is of {}; this one is of {job}", said("job"))));
        }
        let run = said("run").parse().ok().filter(|&run| run < form.runs);
        let expected = format!("expected a whole number below {}, found {:?}", form.runs, said("run"));
        let run = run.ok_or_else(|| wrong(format!("metadata \"run\": {expected}")))?;
        let state = |prefix: &str, names: Names| -> Result<State, Failure> {
            let own = file.metadata().iter();
            let own = own.filter_map(|(name, value)| Some((name.strip_prefix(prefix)?.to_string(), value.clone())));
            let mixture = read_mixture(&file, names)?;
            if (mixture.k(), mixture.dim) != (form.k, form.dim) {
                let (found, expected) = ([mixture.k(), mixture.dim], [form.k, form.dim]);
                return Err(wrong(format!("tensor {:?}: shape {found:?}: expected {expected:?}", names[1])));
            }
            let state = State::of(Model { mixture, metadata: own.collect() });
            let (found, most) = (state.lower_bounds.len() as u64, form.iters);
            if found > most {
                let why = format!("metadata \"{prefix}lower_bounds\": expected no more than {most}, found {found}");
                return Err(wrong(why));
            }
            Ok(state)
        };
        if file.shape(BEST[0]).is_some() != (run > 0) {
            let why = format!("tensor {:?}: expected where a run has ended: this is run {run}, from 0", BEST[0]);
            return Err(wrong(why));
        }
        let best = (run > 0).then(|| state("best.", BEST)).transpose()?;
        Ok(Checkpoint { run, state: state("now.", NAMES)?, best })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use compute::mixture::Mixture;
    use std::path::PathBuf;

    const FORM: Form = Form { k: 2, dim: 3, runs: 2, iters: 9 };

    fn state(k: usize, dim: usize, iterations: usize) -> State {
        let mixture = Mixture::new(dim, vec![1.0 / k as f64; k], vec![0.5; k * dim], vec![1.0; k * dim]).unwrap();
        State { lower_bounds: vec![-1.5; iterations], ..State::new(mixture, BTreeMap::new()) }
    }

    fn written(run: u64, state: State, best: Option<State>) -> Result<Checkpoint, String> {
        let name = format!("gmm-checkpoint-{}-{:?}", std::process::id(), std::thread::current().id());
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
    fn what_is_written_is_read() {
        let read = written(1, state(2, 3, 4), Some(state(2, 3, 9))).unwrap();
        assert_eq!((read.run, read.state.lower_bounds, read.state.mixture), (1, vec![-1.5; 4], state(2, 3, 0).mixture));
        assert_eq!(read.best.map(|best| best.lower_bounds), Some(vec![-1.5; 9]));
        assert!(written(0, state(2, 3, 0), None).is_ok());
    }

    #[test]
    fn what_no_fit_of_this_form_can_be_at_is_refused() {
        for (run, now, best, said) in [
            (2, state(2, 3, 0), Some(state(2, 3, 1)), "metadata \"run\": expected a whole number below 2, found \"2\""),
            (0, state(3, 3, 0), None, "tensor \"means\": shape [3, 3]: expected [2, 3]"),
            (0, state(2, 4, 0), None, "tensor \"means\": shape [2, 4]: expected [2, 3]"),
            (1, state(2, 3, 0), Some(state(1, 3, 1)), "tensor \"best_means\": shape [1, 3]: expected [2, 3]"),
            (0, state(2, 3, 10), None, "metadata \"now.lower_bounds\": expected no more than 9, found 10"),
            (1, state(2, 3, 0), None, "tensor \"best_weights\": expected where a run has ended: this is run 1, from 0"),
            (
                0,
                state(2, 3, 0),
                Some(state(2, 3, 1)),
                "tensor \"best_weights\": expected where a run has ended: this is run 0, from 0",
            ),
        ] {
            assert_eq!(written(run, now, best).map(drop), Err(said.to_string()));
        }
    }
}

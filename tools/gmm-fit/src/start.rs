//! The mixture that a fit begins with: one from a file, or that of rows in clusters.

use crate::flags::Args;
use assign::seeding::{Draws, Method, Seeding, enough};
use assign::{Devices, Previous};
use cluster::empties::Empty;
use cluster::fit::State;
use cluster::flags::Iterations;
use cluster::rows::Rows;
use cluster::sums::Partial;
use compute::kmeans::{Assigned, Centroids, Metric};
use compute::mixture::{Adder, Mixture, Moments, Origin, Posterior};
use mixture::fit::{first, origin_of_file};
use mixture::model::fingerprint;
use mixture::sums::TOO_MANY;
use pipe::failure::Failure;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a fit begins with.
pub enum Begin {
    /// A mixture.
    Mixture(Mixture),
    /// The clusters of these centroids.
    Centroids(Centroids),
    /// The clusters that k-means makes, so many.
    Kmeans(usize),
}

impl Begin {
    /// Reads what the command line names. Fails where that cannot be read.
    pub fn open(args: &Args) -> Result<Begin, Failure> {
        if let Some(path) = &args.mixture {
            return Ok(Begin::Mixture(mixture::Model::open(path)?.mixture));
        }
        let Some(path) = &args.centroids else { return Ok(Begin::Kmeans(args.k)) };
        Ok(Begin::Centroids(cluster::Model::open(path, Some(Metric::Euclidean))?.centroids))
    }

    /// How many components there are.
    pub fn k(&self) -> usize {
        match self {
            Begin::Mixture(mixture) => mixture.k(),
            Begin::Centroids(centroids) => centroids.k(),
            &Begin::Kmeans(k) => k,
        }
    }

    /// Values of a row, where that is known.
    pub fn dim(&self) -> Option<usize> {
        match self {
            Begin::Mixture(mixture) => Some(mixture.dim),
            Begin::Centroids(centroids) => Some(centroids.dim),
            Begin::Kmeans(_) => None,
        }
    }

    /// What a model says of it.
    pub fn origin(&self, seed: u64) -> BTreeMap<String, String> {
        match self {
            Begin::Mixture(mixture) => origin_of_file(fingerprint(mixture)),
            Begin::Centroids(centroids) => origin_of_file(cluster::model::fingerprint(centroids)),
            Begin::Kmeans(_) => {
                let said = [("init", "k-means".to_string()), ("seed", seed.to_string())];
                said.into_iter().map(|(name, value)| (name.to_string(), value)).collect()
            }
        }
    }

    /// The first mixture of a run. Fails where rows cannot be read, are bad, too few or too far out.
    pub fn of(&self, rows: &mut Rows, args: &Args, run: u64) -> Result<Mixture, Failure> {
        match self {
            Begin::Mixture(mixture) => Ok(mixture.clone()),
            Begin::Centroids(centroids) => of_clusters(rows, args, centroids),
            &Begin::Kmeans(k) => {
                let centroids = kmeans(rows, args, k, run)?;
                of_clusters(rows, args, &centroids)
            }
        }
    }
}

/// The centroids of `kmeans-fit --metric euclidean`, as it is without further flags.
fn kmeans(rows: &mut Rows, args: &Args, k: usize, run: u64) -> Result<Centroids, Failure> {
    let (devices, threads) = (&Devices::open(&args.common)?, args.common.threads);
    let (metric, draws) = (Metric::Euclidean, Draws { seed: args.seed(), run });
    let seeding = Seeding { devices, threads, metric, k, method: Method::Parallel, draws };
    let mut state = State::new(seeding.of(rows)?, BTreeMap::new());
    let stopping = Iterations::default().stopping(Iterations::ITERS);
    let mut previous = Previous::of(rows.labels, rows.bounds());
    loop {
        let pass = devices.summing_pass(&state.centroids, Partial::new(&state.centroids), Some(&mut previous))?;
        let (sums, _) = pass.add_up(rows, threads)?;
        previous.keep(&sums);
        if state.step(&sums, &stopping, Empty::default()) {
            return Ok(state.centroids);
        }
    }
}

/// The mixture of rows that are each in the cluster of the nearest centroid.
fn of_clusters(rows: &mut Rows, args: &Args, centroids: &Centroids) -> Result<Mixture, Failure> {
    let (devices, origin) = (Devices::open(&args.common)?, Arc::new(Origin::of_centroids(centroids)));
    let pass = devices.pass(centroids, 1)?;
    let add = |adder: &mut Adder, row: &Assigned| {
        let found = Posterior { log_likelihood: 0.0, parts: vec![(row.nearest[0].cluster, 1.0)] };
        adder.add(row.row, &found).map_err(|_| outlier(row.number))
    };
    let (adders, workers) = pass.run(rows, args.common.threads, || Adder::new(origin.clone()), add)?;
    pass.end(workers);
    enough(rows, centroids.k())?;
    first(&all(adders, &origin)?, &origin, &args.rule)
}

/// What the rows of all threads came to. Fails where that is too much.
pub fn all(adders: Vec<Adder>, origin: &Origin) -> Result<Moments, Failure> {
    let mut all = Moments::new(origin);
    for adder in adders {
        adder.end().and_then(|part| all.merge(&part)).map_err(|_| Failure::work(TOO_MANY))?;
    }
    Ok(all)
}

/// What to say of a row that moments cannot take.
pub fn outlier(number: u64) -> Failure {
    Failure::work(format!("row {number} (from 0, over all files): {}", mixture::sums::OUTLIER))
}

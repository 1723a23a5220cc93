//! Expectation and maximisation: hold every row against the mixture, take the mixture that fits best what came of it,
//! until it no longer pays.
//!
//! One iteration is the same whether the rows are here or their sums come from files: [`State::step`].
//!
//! # Stability
//!
//! As scikit-learn's `GaussianMixture(covariance_type="diag")` has it: with M the mass of a component, `N = M + 10
//! epsilon` (epsilon is 2^-52) and S1, S2 the sums of `r (x - c)` and `r (x - c)^2` in one coordinate, about the origin
//! c, the new mean is `c + d` with `d = (S1 - 10 epsilon c) / N`, and the new variance `(S2 - 2 d S1 + d^2 M + 10
//! epsilon mean^2) / N`, 0 at the least, plus `--reg-covar`: every component is as if it had a mass of 10 epsilon at
//! 0. The new weights are the N over their sum; of the first mixture, over the number of rows.

use crate::Model;
use crate::model::fingerprint;
use crate::sums::Partial;
use compute::mixture::{Mixture, Moments, Origin};
use pipe::column::write_number;
use pipe::failure::Failure;
use pipe::stats::Stats;
use std::collections::BTreeMap;

/// How mixtures move, and when they no longer do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    /// Iterations at the most.
    pub iters: u64,
    /// The fit ends where the lower bound changes by less.
    pub tol: f64,
    /// Added to every variance.
    pub reg_covar: f64,
}

impl Default for Rule {
    fn default() -> Rule {
        Rule { iters: 100, tol: 1e-3, reg_covar: 1e-6 }
    }
}

/// A fit under way.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// The mixture so far.
    pub mixture: Mixture,
    /// What else its model says: how it came to be.
    pub origin: BTreeMap<String, String>,
    /// The mean log-likelihood of a row under each iteration's mixture, the first one included, but for the last.
    pub lower_bounds: Vec<f64>,
    /// Whether the last change was below `--tol`.
    pub converged: bool,
    /// Rows of the last iteration: those that took part, and those that were missing, bad ones included.
    pub rows: (u64, u64),
}

impl State {
    /// A fit that begins with this mixture.
    pub fn new(mixture: Mixture, origin: BTreeMap<String, String>) -> State {
        State { mixture, origin, lower_bounds: Vec::new(), converged: false, rows: (0, 0) }
    }

    /// Whether the fit has ended.
    pub fn ended(&self, rule: &Rule) -> bool {
        self.converged || self.lower_bounds.len() as u64 >= rule.iters
    }

    /// Takes in what the rows came to with this mixture: there is the next one now. A fit that [has
    /// ended](State::ended) stays as it is.
    ///
    /// # Errors
    /// The mixture cannot be: a variance is 0.
    pub fn step(&mut self, partial: &Partial, rule: &Rule) -> Result<(), Failure> {
        if self.ended(rule) {
            return Ok(());
        }
        let (moments, origin) = (&partial.moments, Origin::of_mixture(&self.mixture));
        let masses = masses(moments, &origin);
        let sum: f64 = masses.iter().sum();
        self.mixture = maximised(moments, &origin, masses.iter().map(|mass| mass / sum).collect(), rule)?;
        let bound = moments.lower_bound();
        self.converged = self.lower_bounds.last().is_some_and(|before| (bound - before).abs() < rule.tol);
        self.lower_bounds.push(bound);
        self.rows = (moments.rows, partial.rows_missing);
        Ok(())
    }

    /// The last lower bound; minus infinity where there is none.
    pub fn lower_bound(&self) -> f64 {
        self.lower_bounds.last().copied().unwrap_or(f64::NEG_INFINITY)
    }

    /// The model as it is now.
    pub fn model(&self) -> Model {
        let mut metadata = self.origin.clone();
        let mut put = |name: &str, value: String| drop(metadata.insert(name.to_string(), value));
        put("tool", "gmm-fit".to_string());
        put("version", env!("CARGO_PKG_VERSION").to_string());
        put("covariance", "diag".to_string());
        put("k", self.mixture.k().to_string());
        put("dim", self.mixture.dim.to_string());
        put("iterations", self.lower_bounds.len().to_string());
        put("lower_bounds", numbers(&self.lower_bounds));
        put("converged", self.converged.to_string());
        put("rows", self.rows.0.to_string());
        put("rows_missing", self.rows.1.to_string());
        Model { mixture: self.mixture.clone(), metadata }
    }

    /// The fit that a model is of. Of a mixture from elsewhere, its beginning.
    pub fn of(model: Model) -> State {
        let said = |name: &str| model.metadata.get(name).map(String::as_str).unwrap_or_default();
        if said("tool") != "gmm-fit" {
            let origin = origin_of_file(fingerprint(&model.mixture));
            return State::new(model.mixture, origin);
        }
        let count = |name: &str| said(name).parse().unwrap_or(0);
        let lower_bounds = said("lower_bounds").split(' ').filter_map(|number| number.parse().ok()).collect();
        let (converged, rows) = (said("converged") == "true", (count("rows"), count("rows_missing")));
        State { lower_bounds, converged, rows, origin: model.metadata, mixture: model.mixture }
    }

    /// Says where the fit stands, for `--stats`.
    pub fn describe(&self, stats: Stats) -> Stats {
        stats
            .with("k", self.mixture.k())
            .with("dim", self.mixture.dim)
            .with("iterations", self.lower_bounds.len())
            .with("lower_bound", self.lower_bounds.clone())
            .with("converged", self.converged)
    }
}

/// What a model says of a beginning that comes from a file with this fingerprint.
pub fn origin_of_file(fingerprint: u64) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("init".to_string(), "file".to_string()),
        ("init_model".to_string(), format!("{fingerprint:016x}")),
    ])
}

/// The mixture of rows that are each in one cluster, as they add up about the centroids.
///
/// # Errors
/// The mixture cannot be: a variance is 0.
pub fn first(moments: &Moments, origin: &Origin, rule: &Rule) -> Result<Mixture, Failure> {
    let weights = masses(moments, origin).into_iter().map(|mass| mass / moments.rows as f64).collect();
    maximised(moments, origin, weights, rule)
}

/// What to say of fewer rows than components.
///
/// # Errors
/// There are fewer.
pub fn enough(rows: u64, k: usize) -> Result<(), Failure> {
    if rows >= k as u64 {
        return Ok(());
    }
    Err(Failure::work(format!("-k {k}: there are {rows} rows, expected at least as many as components")))
}

/// What a component has besides its rows.
const MASS: f64 = 10.0 * f64::EPSILON;

fn masses(moments: &Moments, origin: &Origin) -> Vec<f64> {
    (0..origin.k()).map(|k| moments.of(origin, k, 0)[0] + MASS).collect()
}

fn maximised(moments: &Moments, origin: &Origin, weights: Vec<f64>, rule: &Rule) -> Result<Mixture, Failure> {
    let (mut means, mut variances) = (Vec::new(), Vec::new());
    for (at, &center) in origin.means.iter().enumerate() {
        let [mass, first, second] = moments.of(origin, at / origin.dim, at % origin.dim);
        let all = mass + MASS;
        let moved = (first - MASS * center) / all;
        let mean = center + moved;
        let square = second - 2.0 * moved * first + moved * moved * mass + MASS * mean * mean;
        means.push(mean);
        variances.push((square / all).max(0.0) + rule.reg_covar);
    }
    Mixture::new(origin.dim, weights, means, variances)
        .map_err(|why| Failure::work(format!("{why}: use a larger --reg-covar, or fewer components")))
}

fn numbers(numbers: &[f64]) -> String {
    let mut text = Vec::new();
    for &number in numbers {
        if !text.is_empty() {
            text.push(b' ');
        }
        write_number(number, &mut text);
    }
    String::from_utf8(text).expect("numbers are ASCII")
}

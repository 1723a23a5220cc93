//! Mixtures of Gaussians with diagonal covariances: how likely rows are, which components they come from, and sums that
//! may be added in any order.
//!
//! Every answer here is a function of the rows and the mixture alone, on every machine:
//!
//! - **Densities are decided in [`exact`]**: 64-bit floats, one stated order of additions, explicit fused
//!   multiply-add, logarithms and exponentials of `libm`. A fast pass in 32 bits goes before ([`Cpu`]), with a bound on
//!   its error, and leaves out only components that [`exact`] would leave out.
//! - **[`Moments`] are whole numbers** of a stated unit, so that any order, any split and any tree of additions gives
//!   the same.

mod cpu;
pub mod exact;
mod moments;
#[cfg(test)]
mod tests;
mod tile;

pub use cpu::{Cpu, Scratch};
pub use moments::{Adder, Moments, Origin, Outlier, TooMany};

/// A mixture of `k` Gaussians with diagonal covariances, in 64-bit floats.
#[derive(Debug, Clone, PartialEq)]
pub struct Mixture {
    /// Values of a row.
    pub dim: usize,
    /// Of each component: 0 or more, at least one above 0.
    pub weights: Vec<f64>,
    /// `k` rows of `dim` values, all finite.
    pub means: Vec<f64>,
    /// `k` rows of `dim` values, all finite and above 0.
    pub variances: Vec<f64>,
}

impl Mixture {
    /// Checks what the fields promise.
    ///
    /// # Errors
    /// Names the first component that is in the way.
    ///
    /// # Panics
    /// Where means and variances are not as many as there are weights.
    pub fn new(dim: usize, weights: Vec<f64>, means: Vec<f64>, variances: Vec<f64>) -> Result<Mixture, String> {
        assert!(dim > 0 && means.len() == dim * weights.len() && variances.len() == means.len(), "whole rows");
        let good = |weight: f64| weight.is_finite() && weight >= 0.0;
        if let Some(j) = weights.iter().position(|&weight| !good(weight)) {
            return Err(format!("component {j}: weight {}: expected a finite number, 0 or more", weights[j]));
        }
        if weights.iter().all(|&weight| weight == 0.0) {
            return Err("all weights are 0".to_string());
        }
        if let Some(i) = means.iter().position(|mean| !mean.is_finite()) {
            return Err(format!("component {}: mean {} is {}, expected a finite number", i / dim, i % dim, means[i]));
        }
        if let Some(i) = variances.iter().position(|&variance| !(variance.is_finite() && variance > 0.0)) {
            let (j, place, found) = (i / dim, i % dim, variances[i]);
            return Err(format!("component {j}: variance {place} is {found}, expected a finite number above 0"));
        }
        Ok(Mixture { dim, weights, means, variances })
    }

    /// How many components there are.
    pub fn k(&self) -> usize {
        self.weights.len()
    }
}

/// What a mixture says of a row.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Posterior {
    /// The logarithm of the row's density; minus infinity where the row is too far out for 64-bit floats.
    pub log_likelihood: f64,
    /// The components that the row may come from, in ascending order, with their probabilities (responsibilities).
    pub parts: Vec<(u32, f64)>,
}

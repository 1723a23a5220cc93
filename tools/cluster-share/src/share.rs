//! What share each cluster gets.
//!
//! The measures are those of the literature: `equal` of MiniPile (Kaddour, 2023, arXiv:2304.08442, section 2) and
//! ClusterClip (Shao et al., 2024, arXiv:2402.14526, section 3.2); `size` is proportionate allocation; `loss`,
//! `density` and `diversity` are ideas 2, 3 and 6 of MiniCorpus (github.com/MK2112/minicorpus, `distill` scripts).
//! Guaranteed: shares are 0 or more, and those of excluded clusters are 0; what is left out depends on nothing but the
//! table and the flags. Numbers by `--compat` are those of the scripts to the document, with their floats, operation by
//! operation, so that sums that are equal on paper round alike.
//!
//! Tried and dropped: normalising `density` in the scripts' mode (its proportions do not add up to 1, and the published
//! corpora are smaller for it); filling up what the scripts drop (without `--compat` that is what happens).

use crate::table::Cluster;
use pipe::failure::Failure;

/// What a cluster's share is in proportion to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Measure {
    /// All clusters alike.
    #[default]
    Equal,
    /// The number of documents.
    Size,
    /// Size, less where documents lie far from the centroid.
    Density,
    /// Size, density, and distance to the other clusters.
    Diversity,
    /// A loss.
    Loss,
}

/// How much each part of a score counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weights {
    /// The size.
    pub size: f64,
    /// The mean distance.
    pub density: f64,
    /// The distance to the other clusters.
    pub diversity: f64,
}

/// The share of each cluster, on any scale; 0 for those that are excluded.
///
/// # Errors
/// What the measure needs is not known of a cluster, a share is not a number of 0 or more, or all are 0.
pub fn shares(clusters: &[Cluster], measure: Measure, weights: Weights) -> Result<Vec<f64>, Failure> {
    let census = Census::of(clusters);
    let mut shares = Vec::with_capacity(clusters.len());
    for cluster in clusters {
        let share = if cluster.excluded { 0.0 } else { census.share(cluster, measure, weights)? };
        if !(share >= 0.0 && share.is_finite()) {
            return Err(Failure::work(format!("cluster {}: a share of {share}: expected 0 or more", cluster.id)));
        }
        shares.push(share);
    }
    if clusters.iter().any(|cluster| !cluster.excluded) && shares.iter().all(|&share| share == 0.0) {
        return Err(Failure::work("the shares of all clusters are 0: expected one above 0"));
    }
    Ok(shares)
}

/// The proportion of each cluster as MiniCorpus' scripts compute it, operation by operation.
///
/// # Errors
/// Those of [`shares`].
pub fn proportions(clusters: &[Cluster], measure: Measure, weights: Weights) -> Result<Vec<f64>, Failure> {
    let shares = shares(clusters, measure, weights)?;
    let census = Census::of(clusters);
    let total: f64 = shares.iter().sum();
    let proportion = |(cluster, share): (&Cluster, &f64)| match measure {
        _ if cluster.excluded => 0.0,
        Measure::Equal => 1.0 / census.count as f64,
        Measure::Size => cluster.size as f64 / census.documents,
        // Of the whole without the discount: that these do not add up to 1 is why its corpora come out smaller than
        // asked for.
        Measure::Density => {
            cluster.size as f64 / census.documents * (1.0 - weights.density * cluster.distance.unwrap_or(0.0))
        }
        Measure::Diversity | Measure::Loss => share / total,
    };
    Ok(clusters.iter().zip(&shares).map(proportion).collect())
}

/// How many documents MiniCorpus' scripts take from each cluster: rounded, and what a cluster does not have is dropped.
pub fn minicorpus(clusters: &[Cluster], measure: Measure, proportions: &[f64], count: u64) -> Vec<u64> {
    let mut turn = 0;
    let all = Census::of(clusters).count;
    let wanted = |(cluster, proportion): (&Cluster, &f64)| match measure {
        _ if cluster.excluded => 0,
        Measure::Equal => {
            turn += 1;
            count / all + u64::from(turn <= count % all)
        }
        Measure::Loss => (count as f64 * proportion).round_ties_even() as u64,
        _ => (count as f64 * proportion) as u64,
    };
    clusters
        .iter()
        .zip(proportions)
        .map(wanted)
        .zip(clusters)
        .map(|(wanted, cluster)| wanted.min(cluster.size))
        .collect()
}

/// Totals over the clusters that are not excluded.
struct Census {
    count: u64,
    documents: f64,
    diversity_max: f64,
}

impl Census {
    fn of(clusters: &[Cluster]) -> Census {
        let taken = || clusters.iter().filter(|cluster| !cluster.excluded);
        Census {
            count: taken().count() as u64,
            documents: taken().map(|cluster| cluster.size).sum::<u64>() as f64,
            diversity_max: taken().filter_map(|cluster| cluster.diversity).fold(0.0, f64::max),
        }
    }

    fn share(&self, cluster: &Cluster, measure: Measure, weights: Weights) -> Result<f64, Failure> {
        let size = cluster.size as f64;
        let distance = || match cluster.size {
            0 => Ok(0.0),
            _ => known(cluster, cluster.distance, "distance (sum_distance or average_distance)"),
        };
        Ok(match measure {
            Measure::Equal => 1.0,
            Measure::Size => size,
            Measure::Density => size * (1.0 - weights.density * distance()?),
            Measure::Diversity => {
                let diversity = known(cluster, cluster.diversity, "diversity")?;
                let part = if self.diversity_max > 0.0 { diversity / self.diversity_max } else { 0.0 };
                let documents = self.documents.max(1.0);
                weights.size * (size / documents) + weights.density * (1.0 - distance()?) + weights.diversity * part
            }
            Measure::Loss => known(cluster, cluster.loss, "mean_loss")?,
        })
    }
}

fn known(cluster: &Cluster, value: Option<f64>, what: &str) -> Result<f64, Failure> {
    value.ok_or_else(|| Failure::work(format!("cluster {}: there is no {what}", cluster.id)))
}

//! What is known of each cluster, row by row or part by part.

use crate::decimal::Decimal;
use crate::examples::{End, Examples};
use crate::histogram::Histogram;
use crate::lengths::Lengths;
use crate::random::Random;
use std::collections::BTreeMap;

/// A document as it is shown.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a> {
    /// Its key.
    pub key: u64,
    /// The beginning of its text.
    pub beginning: &'a str,
    /// How many words the text has.
    pub words: u64,
}

/// How many documents are shown of a cluster.
#[derive(Debug, Clone, Copy)]
pub struct Most {
    /// At each end of the distances.
    pub examples: usize,
    /// At random.
    pub random: usize,
}

/// One cluster. Memory: some 350 bytes, 16 for each cell of the histograms, and the texts.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Rows.
    pub total: u64,
    /// Of their distances.
    pub sum: Decimal,
    /// The smallest and the largest; `None` without rows.
    pub range: Option<(Decimal, Decimal)>,
    /// All distances.
    pub histogram: Histogram,
    /// Rows whose document could not be read.
    pub textless: u64,
    /// The documents nearest to the centroid, nearest first.
    pub nearest: Examples,
    /// The documents farthest from it, farthest first.
    pub farthest: Examples,
    /// Documents drawn at random.
    pub random: Random,
    /// Of the documents, where they are known.
    pub lengths: Lengths,
    /// The mean cosine distance of its centroid to all others, NaN where there are none; `None`: nobody asks.
    pub diversity: Option<f64>,
    /// Rows that have a number beside them, and the sum of those numbers.
    pub values: (u64, Decimal),
}

/// What to say of a sum that has outgrown its digits.
const TOO_MUCH: &str = "the distances of the cluster add up to 10^20 or more";
const TOO_MANY: &str = "the rows of the cluster are more than 64 bits can count";
const VALUES_TOO_MUCH: &str = "the numbers of the cluster add up to 10^20 or more";

impl Summary {
    /// A cluster without rows, of which so many documents will be shown.
    pub fn new(most: Most) -> Summary {
        Summary {
            total: 0,
            sum: Decimal::default(),
            range: None,
            histogram: Histogram::default(),
            textless: 0,
            nearest: Examples::new(End::Nearest, most.examples),
            farthest: Examples::new(End::Farthest, most.examples),
            random: Random::new(most.random),
            lengths: Lengths::default(),
            diversity: None,
            values: Default::default(),
        }
    }

    /// Takes a row. On an error nothing is changed but what does not matter any more.
    pub fn add(&mut self, distance: Decimal) -> Result<(), String> {
        self.sum = self.sum.plus(distance).ok_or(TOO_MUCH)?;
        self.total += 1;
        self.widen((distance, distance));
        self.histogram.add(distance.to_f64() as f32);
        Ok(())
    }

    /// Takes the document of a row that was taken; `None`: it could not be read.
    pub fn show(&mut self, distance: Decimal, text: Option<Text>) {
        let Some(Text { key, beginning, .. }) = text else {
            self.textless += 1;
            return;
        };
        self.nearest.add(distance, key, beginning);
        self.farthest.add(distance, key, beginning);
        self.random.add(key, distance, beginning, 1).expect("there are no more of one document than rows");
    }

    /// Takes the number beside a row.
    pub fn add_value(&mut self, value: Decimal) -> Result<(), String> {
        self.values = (self.values.0 + 1, self.values.1.plus(value).ok_or(VALUES_TOO_MUCH)?);
        Ok(())
    }

    /// Takes what is known of other rows of the cluster.
    pub fn merge(&mut self, other: Summary) -> Result<(), String> {
        self.sum = self.sum.plus(other.sum).ok_or(TOO_MUCH)?;
        self.total = self.total.checked_add(other.total).ok_or(TOO_MANY)?;
        self.textless = self.textless.checked_add(other.textless).ok_or(TOO_MANY)?;
        let (values, sum) = (self.values.0.checked_add(other.values.0), self.values.1.plus(other.values.1));
        self.values = (values.ok_or(TOO_MANY)?, sum.ok_or(VALUES_TOO_MUCH)?);
        other.range.into_iter().for_each(|range| self.widen(range));
        self.histogram.merge(other.histogram).ok_or(TOO_MANY)?;
        self.lengths.merge(other.lengths)?;
        self.random.merge(other.random).ok_or(TOO_MANY)?;
        for (mine, theirs) in [(&mut self.nearest, other.nearest), (&mut self.farthest, other.farthest)] {
            theirs.list.into_iter().for_each(|example| mine.add(example.distance, example.key, &example.text));
        }
        if let (Some(mine), Some(theirs)) = (self.diversity, other.diversity)
            && mine.to_bits() != theirs.to_bits()
        {
            return Err(format!("diversity {theirs}: another part says {mine}, so its centroids were others"));
        }
        self.diversity = self.diversity.or(other.diversity);
        Ok(())
    }

    /// The mean distance; 0 without rows, as MiniCorpus has it.
    pub fn average(&self) -> Decimal {
        if self.total == 0 { Decimal::default() } else { self.sum.over(self.total) }
    }

    /// The mean of the numbers beside the rows; `None` without any.
    pub fn mean_value(&self) -> Option<Decimal> {
        let (count, sum) = self.values;
        (count > 0).then(|| sum.over(count))
    }

    /// The quantile of the distances, as near as the histogram tells it; `None` without rows.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let (smallest, largest) = self.range?;
        self.histogram.quantile(q).map(|middle| middle.clamp(smallest.to_f64(), largest.to_f64()))
    }

    fn widen(&mut self, (smallest, largest): (Decimal, Decimal)) {
        self.range = Some(match self.range {
            None => (smallest, largest),
            Some((low, high)) => (low.min(smallest), high.max(largest)),
        });
    }
}

/// All clusters.
pub struct Table {
    most: Most,
    /// By number.
    pub clusters: BTreeMap<u32, Summary>,
}

impl Table {
    /// So many clusters without rows, and room for others.
    pub fn new(most: Most, clusters: u32) -> Table {
        let clusters = (0..clusters).map(|cluster| (cluster, Summary::new(most))).collect();
        Table { most, clusters }
    }

    /// The cluster of that number.
    pub fn cluster(&mut self, cluster: u32) -> &mut Summary {
        self.clusters.entry(cluster).or_insert_with(|| Summary::new(self.most))
    }
}

/// Which clusters there may be.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// The number of centroids; `None`: nobody knows.
    pub k: Option<u32>,
}

impl Known {
    /// Refuses a cluster that has no centroid.
    pub fn check(self, cluster: u32) -> Result<(), String> {
        match self.k.filter(|&k| cluster >= k) {
            Some(k) => Err(format!("cluster {cluster}: expected one of the {k} centroids, counted from 0")),
            None => Ok(()),
        }
    }
}

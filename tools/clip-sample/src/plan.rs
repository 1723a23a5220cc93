//! What each cluster gives: its share, and the number that this comes to.

use crate::apportion;
use crate::census::{self, Cluster};
use crate::draws::{Parts, Stock};
use crate::share::{self, By, Weights};
use pipe::column::{write_integer, write_number};
use pipe::failure::Failure;
use pipe::note;
use pipe::settings::Common;
use std::path::Path;

/// How shares become numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// Exactly, by a divisor method.
    Exact,
    /// By drawing clusters one after another.
    Drawn,
    /// As MiniCorpus' scripts do.
    MiniCorpus,
}

/// What the numbers depend on.
#[derive(Debug, Clone)]
pub struct Rules {
    /// What shares go by.
    pub by: By,
    /// How much each part of a score counts.
    pub weights: Weights,
    /// How shares become numbers.
    pub rounding: Rounding,
    /// How often a document is taken at the most.
    pub clip: u32,
    /// The seed.
    pub seed: u64,
    /// What is counted: `documents` or `tokens`.
    pub unit: &'static str,
}

/// Clusters and their shares.
pub struct Plan<'a> {
    common: &'a Common,
    rules: Rules,
    clusters: Vec<Cluster>,
    /// On any scale; with MiniCorpus' rounding, of the whole.
    shares: Vec<f64>,
}

impl Plan<'_> {
    /// The shares of these clusters, but for those that the file `exclude` names. `table` is where they come from, if not from
    /// the column.
    pub fn new<'a>(
        common: &'a Common,
        rules: Rules,
        mut clusters: Vec<Cluster>,
        exclude: Option<&Path>,
        table: Option<&Path>,
    ) -> Result<Plan<'a>, Failure> {
        if let Some(path) = exclude {
            let strangers = census::exclude(&mut clusters, path)?;
            let named: Vec<_> = strangers.iter().map(u32::to_string).collect();
            match table {
                _ if named.is_empty() => {}
                Some(table) => {
                    return Err(Failure::file(path, format!("cluster {} is not in {}", named[0], table.display())));
                }
                None => note(common, &format!("no documents are in the excluded clusters {}", named.join(", "))),
            }
        }
        if let By::File(path) = &rules.by {
            census::read_shares(&mut clusters, path)?;
        }
        let shares = match rules.rounding {
            Rounding::MiniCorpus => share::proportions(&clusters, &rules.by, rules.weights)?,
            _ => share::shares(&clusters, &rules.by, rules.weights)?,
        };
        Ok(Plan { common, rules, clusters, shares })
    }

    /// How many there are in the table, or the column.
    pub fn clusters(&self) -> usize {
        self.clusters.len()
    }

    /// What a fraction of the documents of the clusters that are not excluded comes to.
    pub fn fraction(&self, fraction: f64) -> u64 {
        let taken = self.clusters.iter().filter(|cluster| !cluster.excluded);
        (fraction * taken.map(|cluster| cluster.size).sum::<u64>() as f64).round() as u64
    }

    /// How many each cluster gives of `total`, and says how many are missing. `room` is what each has, without repeats.
    fn numbers(&self, room: &[u64], part: &str, total: u64, purpose: &str) -> Vec<u64> {
        let Rules { by, rounding, clip, seed, .. } = &self.rules;
        let limits: Vec<u64> = room.iter().map(|room| room.saturating_mul(u64::from(*clip))).collect();
        let numbers = match rounding {
            Rounding::Exact => apportion::exact(&self.shares, &limits, total),
            Rounding::Drawn => apportion::drawn(&self.shares, &limits, total, *seed, purpose),
            Rounding::MiniCorpus => share::minicorpus(&self.clusters, by, &self.shares, total),
        };
        let placed = numbers.iter().sum();
        if placed < total {
            note(self.common, &(part.to_string() + &self.shortfall(total, placed)));
        }
        numbers
    }

    fn shortfall(&self, total: u64, placed: u64) -> String {
        let why = match (self.rules.rounding, self.rules.clip) {
            (Rounding::MiniCorpus, _) => "the others are dropped, as MiniCorpus does".to_string(),
            (_, 1) => "all documents are drawn".to_string(),
            (_, clip) => format!("every document is drawn {clip} times"),
        };
        format!("wanted: {total} {unit}; clusters give: {placed}; {why}", unit = self.rules.unit)
    }

    /// The plan as a table, for a total; and how many of that are placed.
    pub fn table(&self, total: u64) -> (Vec<u8>, u64) {
        let room: Vec<u64> = self.clusters.iter().map(|cluster| cluster.size).collect();
        let numbers = self.numbers(&room, "", total, "clip-turn");
        let whole = if self.rules.rounding == Rounding::MiniCorpus { 1.0 } else { self.shares.iter().sum() };
        let mut text = b"cluster\tsize\tshare\tdocuments\trepeats\n".to_vec();
        for ((cluster, share), &number) in self.clusters.iter().zip(&self.shares).zip(&numbers) {
            write_integer(u64::from(cluster.id), &mut text);
            text.push(b'\t');
            write_integer(cluster.size, &mut text);
            text.push(b'\t');
            write_number(if whole > 0.0 { share / whole } else { 0.0 }, &mut text);
            text.push(b'\t');
            write_integer(number, &mut text);
            text.push(b'\t');
            write_number(if cluster.size > 0 { number as f64 / cluster.size as f64 } else { 0.0 }, &mut text);
            text.push(b'\n');
        }
        (text, numbers.iter().sum())
    }

    /// The budget of each stratum: of each part, those of the clusters, by the ids that are below `ids`.
    pub fn budgets(&self, parts: &Parts, stock: &[Stock], ids: usize) -> Vec<u64> {
        let mut budgets = vec![0; parts.list.len() * ids];
        for (part, (name, total)) in parts.list.iter().enumerate() {
            let strata = || self.clusters.iter().map(|cluster| part * ids + cluster.id as usize);
            let room: Vec<u64> = strata().map(|at| stock.get(at).map_or(0, |stock| stock.weight)).collect();
            let (said, purpose) = match name.as_str() {
                "" => (String::new(), "clip-turn".to_string()),
                name => (format!("{name}: "), format!("clip-turn-{}", part + 1)),
            };
            let numbers = self.numbers(&room, &said, *total, &purpose);
            // A table may have empty clusters beyond the last one of the column.
            strata().zip(numbers).filter(|(_, number)| *number > 0).for_each(|(at, number)| budgets[at] = number);
        }
        budgets
    }
}

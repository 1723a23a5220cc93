//! What each cluster gives: its share, and the number that this comes to.

use crate::draws::{Parts, Stock};
use pipe::clusters::{parse_table, read_cluster, read_list, read_table, whole};
use pipe::column::{fields, read_number};
use pipe::failure::{Failure, name};
use pipe::input::read_whole;
use pipe::lines::split;
use pipe::settings::Common;
use pipe::{apportion, note};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where the numbers come from.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum By {
    /// All clusters have the same share.
    #[default]
    Equal,
    /// The share is the number of documents.
    Size,
    /// A file says the shares.
    Shares(PathBuf),
    /// A file says the numbers.
    Plan(PathBuf),
}

/// What the numbers depend on.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Where they come from.
    pub by: By,
    /// Whether clusters are drawn one after another, rather than given their exact number.
    pub drawn: bool,
    /// How often a document is taken at the most.
    pub clip: u32,
    /// The seed.
    pub seed: u64,
    /// What is counted: `documents` or `tokens`.
    pub unit: &'static str,
}

/// A cluster that has documents.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Cluster {
    id: u32,
    size: u64,
    /// On any scale; 0: nothing is taken.
    share: f64,
}

/// Clusters and their shares.
pub struct Plan<'a> {
    common: &'a Common,
    rules: Rules,
    clusters: Vec<Cluster>,
    /// The clusters that are left out, in order.
    excluded: Vec<u32>,
    /// The number of each cluster, where a file says it.
    numbers: Option<Vec<u64>>,
}

impl Plan<'_> {
    /// The shares of clusters of these ids and sizes, but for those that the file `exclude` names.
    ///
    /// # Errors
    /// A file cannot be read, says nothing of a cluster, or what no share is; or all shares are 0.
    pub fn new<'a>(
        common: &'a Common,
        rules: Rules,
        (ids, sizes): (&[u32], &[u64]),
        exclude: Option<&Path>,
    ) -> Result<Plan<'a>, Failure> {
        let mut excluded = exclude.map_or_else(|| Ok(Vec::new()), read_list)?;
        excluded.sort_unstable();
        let strangers = excluded.iter().filter(|id| ids.binary_search(id).is_err());
        let strangers: Vec<_> = strangers.map(u32::to_string).collect();
        if !strangers.is_empty() {
            note(common, &format!("no documents are in the excluded clusters {}", strangers.join(", ")));
        }
        let cluster = |(&id, &size): (&u32, &u64)| Cluster { id, size, share: 0.0 };
        let clusters = ids.iter().zip(sizes).map(cluster).collect();
        let mut plan = Plan { common, rules, clusters, excluded, numbers: None };
        match plan.rules.by.clone() {
            By::Equal => plan.share(|_| Ok(1.0))?,
            By::Size => plan.share(|cluster| Ok(cluster.size as f64))?,
            By::Shares(path) => {
                let shares = read_shares(&path)?;
                let missing = |id| Failure::work(format!("cluster {id}: there is no share in {}", name(&path)));
                plan.share(|cluster| shares.get(&cluster.id).copied().ok_or_else(|| missing(cluster.id)))?;
            }
            By::Plan(path) => plan.numbers = Some(read_numbers(&path, &plan.clusters, plan.rules.clip)?),
        }
        Ok(plan)
    }

    fn share(&mut self, share: impl Fn(&Cluster) -> Result<f64, Failure>) -> Result<(), Failure> {
        for cluster in &mut self.clusters {
            if self.excluded.binary_search(&cluster.id).is_ok() {
                continue;
            }
            cluster.share = share(cluster)?;
            if !(cluster.share >= 0.0 && cluster.share.is_finite()) {
                let Cluster { id, share, .. } = cluster;
                return Err(Failure::work(format!("cluster {id}: a share of {share}: expected 0 or more")));
            }
        }
        let open = |cluster: &Cluster| self.excluded.binary_search(&cluster.id).is_err();
        if self.clusters.iter().any(open) && self.clusters.iter().all(|cluster| cluster.share == 0.0) {
            return Err(Failure::work("the shares of all clusters are 0: expected one above 0"));
        }
        Ok(())
    }

    /// How many documents the clusters have that are not excluded.
    pub fn documents(&self) -> u64 {
        let taken = self.clusters.iter().filter(|cluster| self.excluded.binary_search(&cluster.id).is_err());
        taken.map(|cluster| cluster.size).sum()
    }

    /// Whether anything may be taken from the cluster at a place.
    pub fn takes(&self, place: u32) -> bool {
        self.clusters.get(place as usize).is_some_and(|cluster| cluster.share > 0.0)
    }

    /// How many documents a plan says, all clusters together.
    pub fn total(&self) -> u64 {
        self.numbers.iter().flatten().sum()
    }

    /// How many each cluster gives of `total`, and says how many are missing. `room` is what each has, without repeats.
    fn numbers(&self, room: &[u64], part: &str, total: u64, purpose: &str) -> Vec<u64> {
        if let Some(numbers) = &self.numbers {
            return numbers.clone();
        }
        let Rules { clip, unit, .. } = self.rules;
        let numbers = self.apportioned(room, total, purpose);
        let placed: u64 = numbers.iter().sum();
        if placed < total {
            let why = match clip {
                1 => "all documents are drawn".to_string(),
                clip => format!("every document is drawn {clip} times"),
            };
            note(self.common, &format!("{part}wanted: {total} {unit}; clusters give: {placed}; {why}"));
        }
        numbers
    }

    /// A total over the clusters, what there is at the most to each.
    fn apportioned(&self, room: &[u64], total: u64, purpose: &str) -> Vec<u64> {
        let Rules { drawn, clip, seed, .. } = self.rules;
        let limits: Vec<u64> = room.iter().map(|room| room.saturating_mul(u64::from(clip))).collect();
        let shares: Vec<f64> = self.clusters.iter().map(|cluster| cluster.share).collect();
        match drawn {
            false => apportion::exact(&shares, &limits, total),
            true => apportion::drawn(&shares, &limits, total, seed, purpose),
        }
    }

    /// A total of tokens over the clusters.
    pub fn tokens(&self, stock: &[Stock], total: u64) -> Vec<u64> {
        let room: Vec<u64> = stock.iter().map(|stock| stock.weight).collect();
        self.apportioned(&room, total, "")
    }

    /// The budget of each stratum: of each part, those of the clusters.
    pub fn budgets(&self, parts: &Parts, stock: &[Stock]) -> Vec<u64> {
        let mut budgets = vec![0; parts.list.len() * self.clusters.len()];
        for (part, (name, total)) in parts.list.iter().enumerate() {
            let strata = || (0..self.clusters.len()).map(|place| part * self.clusters.len() + place);
            let room: Vec<u64> = strata().map(|at| stock[at].weight).collect();
            let (said, purpose) = match name.as_str() {
                "" => (String::new(), "clip-turn".to_string()),
                name => (format!("{name}: "), format!("clip-turn-{}", part + 1)),
            };
            let numbers = self.numbers(&room, &said, *total, &purpose);
            strata().zip(numbers).for_each(|(at, number)| budgets[at] = number);
        }
        budgets
    }
}

/// Reads shares: a table of cluster-share, or lines of a cluster and its share.
fn read_shares(path: &Path) -> Result<BTreeMap<u32, f64>, Failure> {
    let text = read_whole(path)?;
    let first = split(&text).next().unwrap_or_default();
    if fields(first).any(|name| name == b"share") || first.starts_with(b"{") {
        let table = parse_table(path, &text, "share", &["share"], |_| Ok(()))?;
        return Ok(table.into_iter().filter_map(|(id, values)| Some((id, *values.get("share")?))).collect());
    }
    let mut shares = BTreeMap::new();
    for (number, line) in split(&text).enumerate() {
        let at = |why: String| Failure::line(path, number + 1, why);
        let (id, share) = share_line(line).map_err(at)?;
        if shares.insert(id, share).is_some() {
            return Err(at(format!("cluster {id} comes twice")));
        }
    }
    Ok(shares)
}

fn share_line(line: &[u8]) -> Result<(u32, f64), String> {
    let found: Vec<_> = fields(line).collect();
    let [id, share] = found[..] else {
        return Err(format!("expected a cluster and its share with a TAB between them, found {} fields", found.len()));
    };
    let id = read_cluster(id, 1)?.ok_or("field 1: expected a cluster, found none")?;
    Ok((id, read_number(share, 2)?))
}

/// Reads the number of documents of each cluster, and checks that it is a plan for clusters of these sizes.
fn read_numbers(path: &Path, clusters: &[Cluster], clip: u32) -> Result<Vec<u64>, Failure> {
    let number = |values: &_, name: &str| {
        let number = whole(values, name, (1_u64 << 53) as f64)?;
        number.ok_or_else(|| format!("field {name:?}: missing"))
    };
    let check = |values: &_| number(values, "documents").and_then(|_| number(values, "size")).map(drop);
    let table = read_table(path, "documents", &["documents", "size"], check)?;
    let of =
        |id: u32, name: &str| table.get(&id).map_or(0, |values| number(values, name).expect("what is read is checked"));
    let failed = |why: String| Err(Failure::file(path, why));
    let sizes: BTreeMap<u32, u64> = clusters.iter().map(|cluster| (cluster.id, cluster.size)).collect();
    for &id in sizes.keys().chain(table.keys()) {
        let (planned, there) = (of(id, "size"), sizes.get(&id).copied().unwrap_or(0));
        if planned != there {
            let why = format!("cluster {id}: {planned} documents here, {there} in the column of clusters");
            return failed(why + "; expected a plan for that column");
        }
        if of(id, "documents") > there.saturating_mul(u64::from(clip)) {
            let (wanted, why) = (of(id, "documents"), "--clip says how often each may be drawn");
            return failed(format!("cluster {id}: {wanted} of {there} documents are to be drawn; {why}"));
        }
    }
    Ok(clusters.iter().map(|cluster| of(cluster.id, "documents")).collect())
}

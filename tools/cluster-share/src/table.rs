//! What is known of the clusters.

use pipe::clusters::{self, Values};
use pipe::failure::{Failure, name};
use pipe::input::read_whole;
use pipe::lines::Tally;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One cluster.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cluster {
    /// Its number.
    pub id: u32,
    /// How many documents are in it.
    pub size: u64,
    /// Mean distance of its documents to its centroid.
    pub distance: Option<f64>,
    /// Mean distance of its centroid to the others.
    pub diversity: Option<f64>,
    /// Mean loss of some model on its documents.
    pub loss: Option<f64>,
    /// Nothing is taken from it.
    pub excluded: bool,
}

/// The column that says how many documents a cluster has.
const SIZE: &str = "total_examples";

/// The columns that shares may go by.
const COLUMNS: [&str; 5] = [SIZE, "sum_distance", "average_distance", "diversity", "mean_loss"];

/// Reads tables, the first with the sizes; the others may say more of its clusters. In order of the ids; and how much
/// was read.
///
/// # Errors
/// A table cannot be read, says of a cluster what another has said, or knows a cluster that the first does not; or a
/// size is missing.
pub fn read(paths: &[PathBuf]) -> Result<(Vec<Cluster>, Tally), Failure> {
    let texts = paths.iter().map(|path| read_whole(path)).collect::<Result<Vec<_>, _>>()?;
    let mut tables = paths.iter().zip(&texts);
    let (first, text) = tables.next().expect("there is a table");
    let mut known = clusters::parse_table(first, text, SIZE, &COLUMNS, |values| size(values).map(drop))?;
    let mut rows = known.len();
    for (path, text) in tables {
        let table = clusters::parse_table(path, text, "mean_loss", &COLUMNS, |_| Ok(()))?;
        rows += table.len();
        add(&mut known, table, first, path)?;
    }
    let bytes = texts.iter().map(Vec::len).sum::<usize>() as u64;
    let found = known.iter().map(|(&id, values)| cluster(id, values).map_err(|why| Failure::file(first, why)));
    Ok((found.collect::<Result<_, _>>()?, Tally { rows: rows as u64, bytes, ..Tally::default() }))
}

type Table = BTreeMap<u32, Values>;

fn add(known: &mut Table, table: Table, first: &Path, path: &Path) -> Result<(), Failure> {
    for (id, values) in table {
        let failed = |why: String| Failure::file(path, format!("cluster {id}{why}"));
        let all = known.get_mut(&id).ok_or_else(|| failed(format!(" is not in {}", name(first))))?;
        for (name, value) in values {
            if all.insert(name.clone(), value).is_some() {
                return Err(failed(format!(": {name} comes twice")));
            }
        }
    }
    Ok(())
}

fn size(values: &Values) -> Result<u64, String> {
    let size = clusters::whole(values, SIZE, (1_u64 << 53) as f64)?;
    size.ok_or_else(|| format!("field {SIZE:?}: missing"))
}

fn cluster(id: u32, values: &Values) -> Result<Cluster, String> {
    let size = size(values)?;
    let number = |name: &str| values.get(name).copied().filter(|value| !value.is_nan());
    let mean = number("sum_distance").filter(|_| size > 0).map(|sum| sum / size as f64);
    Ok(Cluster {
        id,
        size,
        distance: mean.or(number("average_distance")),
        diversity: number("diversity"),
        loss: number("mean_loss"),
        excluded: false,
    })
}

/// Marks the clusters that the file `list` names.
///
/// # Errors
/// One of them is not in the table.
pub fn exclude(clusters: &mut [Cluster], ids: &[u32], list: &Path, table: &Path) -> Result<(), Failure> {
    for id in ids {
        let place = clusters.binary_search_by_key(id, |cluster| cluster.id);
        let place = place.map_err(|_| Failure::file(list, format!("cluster {id} is not in {}", name(table))))?;
        clusters[place].excluded = true;
    }
    Ok(())
}

/// What a fraction of the documents of the clusters that are not excluded comes to.
pub fn fraction(clusters: &[Cluster], fraction: f64) -> u64 {
    let taken = clusters.iter().filter(|cluster| !cluster.excluded);
    (fraction * taken.map(|cluster| cluster.size).sum::<u64>() as f64).round() as u64
}

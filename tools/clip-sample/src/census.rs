//! What is known of the clusters: sizes, distances, and values that shares may go by.

use pipe::column::{self, fields, read_number};
use pipe::failure::Failure;
use pipe::input::read_whole;
use pipe::lines::split;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// Cluster ids are below this, so that counters can be indexed by them.
pub const CLUSTERS_MAX: u32 = 1 << 24;

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
    /// Its share, as a file says.
    pub given: Option<f64>,
    /// Nothing is taken from it.
    pub excluded: bool,
}

/// Reads a cluster's number; `None` for -1 and `nan`, which are no cluster.
pub fn read_cluster(text: &[u8], field: usize) -> Result<Option<u32>, String> {
    let expected = "a cluster (a whole number below 16777216, or -1 for none)";
    let id = column::read_cluster(text, field).ok().filter(|id| id.is_none_or(|id| id < CLUSTERS_MAX));
    id.ok_or_else(|| column::unexpected(text, field, expected))
}

/// Reads a table of clusters: the JSON Lines of cluster-stats, or TAB-separated text with a header. In order of the ids.
pub fn read_table(path: &Path) -> Result<Vec<Cluster>, Failure> {
    let text = read_whole(path)?;
    let mut lines = split(&text).enumerate().peekable();
    let mut known = BTreeMap::new();
    let header = match lines.peek() {
        None => return Err(Failure::file(path, "expected a table of clusters, found nothing")),
        Some((_, line)) if line.trim_ascii_start().starts_with(b"{") => None,
        Some(_) => {
            let (_, line) = lines.next().expect("there is a first line");
            Some(header(line).map_err(|why| at(path, 0, why))?)
        }
    };
    for (number, line) in lines {
        let values = match &header {
            None => object(line),
            Some(names) => row(names, line),
        };
        let cluster = values.and_then(|values| cluster(&values)).map_err(|why| at(path, number, why))?;
        let id = cluster.id;
        if known.insert(id, cluster).is_some() {
            return Err(at(path, number, format!("cluster {id} comes twice")));
        }
    }
    Ok(known.into_values().collect())
}

fn at(path: &Path, line: usize, why: impl std::fmt::Display) -> Failure {
    Failure::work(format!("{}:{}: {why}", path.display(), line + 1))
}

type Values = BTreeMap<String, f64>;

fn header(line: &[u8]) -> Result<Vec<String>, String> {
    let names: Vec<_> = fields(line).map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    let missing = ["cluster", "total_examples"].into_iter().find(|wanted| !names.iter().any(|name| name == wanted));
    missing.map_or(Ok(names), |name| {
        Err(format!("expected JSON objects, or a header that names {name} and other columns, with TABs between them"))
    })
}

fn row(names: &[String], line: &[u8]) -> Result<Values, String> {
    let found = fields(line).count();
    if found != names.len() {
        return Err(format!("expected {} fields as in the header, found {found}", names.len()));
    }
    let mut values = Values::new();
    for (place, (name, text)) in names.iter().zip(fields(line)).enumerate().filter(|(_, (name, _))| used(name)) {
        values.insert(name.clone(), read_number(text, place + 1)?);
    }
    Ok(values)
}

fn object(line: &[u8]) -> Result<Values, String> {
    let Value::Object(object) = serde_json::from_slice(line).map_err(|why| format!("not JSON: {why}"))? else {
        return Err("expected a JSON object".to_string());
    };
    let mut values = Values::new();
    for (name, value) in object.iter().filter(|(name, value)| used(name) && !value.is_null()) {
        let number = value.as_f64().ok_or_else(|| format!("field {name:?}: expected a number, found {value}"))?;
        values.insert(name.clone(), number);
    }
    Ok(values)
}

fn used(name: &str) -> bool {
    ["cluster", "total_examples", "sum_distance", "average_distance", "diversity", "mean_loss"].contains(&name)
}

fn cluster(values: &Values) -> Result<Cluster, String> {
    let whole = |name: &str, end: f64| {
        let value = *values.get(name).ok_or_else(|| format!("field {name:?}: missing"))?;
        let sensible = value.fract() == 0.0 && (0.0..end).contains(&value);
        sensible
            .then_some(value as u64)
            .ok_or_else(|| format!("field {name:?}: expected a whole number, found {value}"))
    };
    let number = |name: &str| values.get(name).copied().filter(|value| !value.is_nan());
    let (id, size) = (whole("cluster", f64::from(CLUSTERS_MAX))?, whole("total_examples", (1_u64 << 53) as f64)?);
    let mean = number("sum_distance").filter(|_| size > 0).map(|sum| sum / size as f64);
    Ok(Cluster {
        id: id as u32,
        size,
        distance: mean.or(number("average_distance")),
        diversity: number("diversity"),
        loss: number("mean_loss"),
        ..Cluster::default()
    })
}

/// Marks the clusters that a file names, one a line. Gives those that it names and that are not there.
pub fn exclude(clusters: &mut [Cluster], path: &Path) -> Result<Vec<u32>, Failure> {
    let mut strangers = Vec::new();
    for (number, line) in split(&read_whole(path)?).enumerate() {
        let text = line.trim_ascii();
        let id = read_cluster(text, 1).and_then(|id| id.ok_or("field 1: expected a cluster, found none".to_string()));
        let id = id.map_err(|why| at(path, number, why))?;
        match clusters.binary_search_by_key(&id, |cluster| cluster.id) {
            Ok(place) => clusters[place].excluded = true,
            Err(_) => strangers.push(id),
        }
    }
    Ok(strangers)
}

/// Reads `cluster<TAB>share` lines into the clusters that are there.
pub fn read_shares(clusters: &mut [Cluster], path: &Path) -> Result<(), Failure> {
    for (number, line) in split(&read_whole(path)?).enumerate() {
        let (id, share) = share_line(line).map_err(|why| at(path, number, why))?;
        let Ok(place) = clusters.binary_search_by_key(&id, |cluster| cluster.id) else { continue };
        if clusters[place].given.replace(share).is_some() {
            return Err(at(path, number, format!("cluster {id} comes twice")));
        }
    }
    Ok(())
}

fn share_line(line: &[u8]) -> Result<(u32, f64), String> {
    let found: Vec<_> = fields(line).collect();
    let [id, share] = found[..] else {
        return Err(format!("expected a cluster and its share with a TAB between them, found {} fields", found.len()));
    };
    let id = read_cluster(id, 1)?.ok_or("field 1: expected a cluster, found none")?;
    Ok((id, read_number(share, 2)?))
}

/// Fails unless a table says of each cluster what the column does: the same number of documents.
pub fn compare(table: &[Cluster], sizes: &[u64], path: &Path, column: &Path) -> Result<(), Failure> {
    let listed =
        |id: usize| table.binary_search_by_key(&id, |cluster| cluster.id as usize).ok().map(|at| table[at].size);
    let ids = (0..sizes.len()).chain(table.iter().map(|cluster| cluster.id as usize));
    for id in ids {
        let (rows, size) = (sizes.get(id).copied().unwrap_or(0), listed(id).unwrap_or(0));
        if rows != size {
            let why = format!("cluster {id}: {size} documents here, {rows} in {}", column.display());
            return Err(Failure::file(path, why + "; expected a table of that column"));
        }
    }
    Ok(())
}

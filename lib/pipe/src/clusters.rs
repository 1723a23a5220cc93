//! Tables of clusters: a cluster a line, as JSON Lines or as TAB-separated text with a header; and lists of clusters.

use crate::column::{self, fields, read_number};
use crate::failure::Failure;
use crate::input::read_whole;
use crate::lines::split;
use bstr::ByteSlice;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// Cluster ids are below this, so that counters can be indexed by them.
pub const CLUSTERS_MAX: u32 = 1 << 24;

/// The names under which a cluster's number stands; the second is MiniCorpus'.
const NAMES: [&str; 2] = ["cluster", "cluster_idx"];

/// What a table says of a cluster: the numbers in the columns that are asked for, by name. Missing ones are not there.
pub type Values = BTreeMap<String, f64>;

/// Reads a cluster's number; `None` for -1 and `nan`, which are no cluster.
///
/// # Errors
/// It is something else, or 2^24 or more.
pub fn read_cluster(text: &[u8], field: usize) -> Result<Option<u32>, String> {
    let expected = "a cluster (a whole number below 16777216, or -1 for none)";
    let id = column::read_cluster(text, field).ok().filter(|id| id.is_none_or(|id| id < CLUSTERS_MAX));
    id.ok_or_else(|| column::unexpected(text, field, expected))
}

/// Reads a list of clusters, one a line; what stands behind a TAB is a note.
///
/// # Errors
/// The file cannot be read, or a line is no cluster; the message has its place.
pub fn read_list(path: &Path) -> Result<Vec<u32>, Failure> {
    Ok(read_notes(path)?.into_iter().map(|(id, _)| id).collect())
}

/// Reads a list of clusters with their notes, empty where there is none.
///
/// # Errors
/// Those of [`read_list`]; and where a note is not UTF-8.
pub fn read_notes(path: &Path) -> Result<Vec<(u32, String)>, Failure> {
    let read = |line: &[u8]| {
        let (id, note) = line.split_once_str("\t").unwrap_or((line, b""));
        let id = read_cluster(id.trim_ascii(), 1)?.ok_or("field 1: expected a cluster, found none")?;
        let note = str::from_utf8(note).map_err(|_| "field 2: a note that is not UTF-8")?;
        Ok::<_, String>((id, note.trim().to_string()))
    };
    let lines = read_whole(path)?;
    split(&lines)
        .enumerate()
        .map(|(number, line)| read(line).map_err(|why| Failure::line(path, number + 1, why)))
        .collect()
}

/// Reads a table of clusters, as far as the columns that are asked for go. `needed` must be in a header; `check` says
/// what is wrong with a row.
///
/// # Errors
/// The file cannot be read, a line is not as expected, or a cluster comes twice; the message has the place.
pub fn read_table(
    path: &Path,
    needed: &str,
    wanted: &[&str],
    check: impl Fn(&Values) -> Result<(), String>,
) -> Result<BTreeMap<u32, Values>, Failure> {
    parse_table(path, &read_whole(path)?, needed, wanted, check)
}

/// [`read_table`] of a text that was read from `path`.
///
/// # Errors
/// Those of [`read_table`], but for reading.
pub fn parse_table(
    path: &Path,
    text: &[u8],
    needed: &str,
    wanted: &[&str],
    check: impl Fn(&Values) -> Result<(), String>,
) -> Result<BTreeMap<u32, Values>, Failure> {
    let mut lines = split(text).enumerate().peekable();
    let header = match lines.peek() {
        None => return Err(Failure::file(path, "expected a table of clusters, found nothing")),
        Some((_, line)) if line.trim_ascii_start().starts_with(b"{") => None,
        Some(_) => {
            lines.next().map(|(_, line)| header(line, needed).map_err(|why| Failure::line(path, 1, why))).transpose()?
        }
    };
    let used = |name: &str| NAMES.contains(&name) || wanted.contains(&name);
    let mut table = BTreeMap::new();
    for (number, line) in lines {
        let values = match &header {
            None => object(line, used),
            Some(names) => row(names, line, used),
        };
        let (id, values) = values.and_then(entry).map_err(|why| Failure::line(path, number + 1, why))?;
        check(&values).map_err(|why| Failure::line(path, number + 1, why))?;
        if table.insert(id, values).is_some() {
            return Err(Failure::line(path, number + 1, format!("cluster {id} comes twice")));
        }
    }
    Ok(table)
}

/// A whole number below `end` out of a row; `None` where it is missing.
///
/// # Errors
/// It is another number.
pub fn whole(values: &Values, name: &str, end: f64) -> Result<Option<u64>, String> {
    let Some(&value) = values.get(name) else { return Ok(None) };
    let sensible = value.fract() == 0.0 && (0.0..end).contains(&value);
    sensible
        .then_some(Some(value as u64))
        .ok_or_else(|| format!("field {name:?}: expected a whole number, found {value}"))
}

fn header(line: &[u8], needed: &str) -> Result<Vec<String>, String> {
    let names: Vec<_> = fields(line).map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    let missing = match () {
        () if !names.iter().any(|name| NAMES.contains(&name.as_str())) => Some(NAMES[0]),
        () => Some(needed).filter(|needed| !names.iter().any(|name| name == needed)),
    };
    missing.map_or(Ok(names), |name| {
        Err(format!("expected JSON objects, or a header that names {name} and other columns, with TABs between them"))
    })
}

fn row(names: &[String], line: &[u8], used: impl Fn(&str) -> bool) -> Result<Values, String> {
    let found = fields(line).count();
    if found != names.len() {
        return Err(format!("expected {} fields as in the header, found {found}", names.len()));
    }
    let columns = names.iter().zip(fields(line)).enumerate().filter(|(_, (name, _))| used(name));
    columns.map(|(place, (name, text))| Ok((name.clone(), read_number(text, place + 1)?))).collect()
}

fn object(line: &[u8], used: impl Fn(&str) -> bool) -> Result<Values, String> {
    let Value::Object(object) = serde_json::from_slice(line).map_err(|why| format!("not JSON: {why}"))? else {
        return Err("expected a JSON object".to_string());
    };
    let number = |(name, value): (&String, &Value)| {
        let number = value.as_f64().ok_or_else(|| format!("field {name:?}: expected a number, found {value}"))?;
        Ok((name.clone(), number))
    };
    object.iter().filter(|(name, value)| used(name) && !value.is_null()).map(number).collect()
}

fn entry(mut values: Values) -> Result<(u32, Values), String> {
    let end = f64::from(CLUSTERS_MAX);
    let mut id = None;
    for name in NAMES {
        id = id.or(whole(&values, name, end)?);
        values.remove(name);
    }
    Ok((id.ok_or_else(|| format!("field {:?}: missing", NAMES[0]))? as u32, values))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Result<BTreeMap<u32, Values>, Failure> {
        let path = std::env::temp_dir().join(format!("clusters-{}-{}", std::process::id(), text.len()));
        std::fs::write(&path, text).unwrap();
        let table = read_table(&path, "size", &["size", "share"], |_| Ok(()));
        std::fs::remove_file(path).unwrap();
        table
    }

    #[test]
    fn text_and_json_are_the_same_table() {
        let text = table("cluster\tother\tsize\tshare\n7\tx\t3\t0.5\n2\ty\t4\t1\n").unwrap();
        let json = table(
            "{\"cluster_idx\": 7, \"size\": 3, \"share\": 0.5, \"x\": []}\n{\"cluster\": 2, \"share\": 1, \"size\": \
             4}\n",
        );
        assert_eq!(text, json.unwrap());
        assert_eq!(text.keys().collect::<Vec<_>>(), [&2, &7]);
        assert_eq!(text[&7]["share"], 0.5);
    }

    #[test]
    fn damage_is_named() {
        let said = |text: &str| match table(text).unwrap_err() {
            Failure::Work(message) => message.split_once(':').unwrap().1.to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(said(""), " expected a table of clusters, found nothing");
        assert!(said("cluster\n").contains("a header that names size"));
        assert_eq!(said("cluster\tsize\n1\t2\n1\t2\n"), "3: cluster 1 comes twice");
        assert_eq!(said("cluster\tsize\n1.5\t2\n"), "2: field \"cluster\": expected a whole number, found 1.5");
        assert_eq!(said("{\"size\": 1}\n"), "1: field \"cluster\": missing");
    }
}

//! What is known of the clusters: every number, label and text that a table has of them.

use pipe::column::{fields, write_number};
use pipe::failure::Failure;
use pipe::lines::split;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::path::Path;

/// Clusters by their numbers.
pub type Table = BTreeMap<u32, Cluster>;

/// One cluster. What is JSON here was checked, and stands as it was written.
#[derive(Debug, Default)]
pub struct Cluster {
    /// Numbers, by name.
    pub numbers: BTreeMap<String, String>,
    /// Strings as JSON, by name.
    pub labels: BTreeMap<String, String>,
    /// What is counted how often, by name: cells as cluster-stats numbers them, and their counts.
    pub histograms: BTreeMap<String, Vec<(i16, u64)>>,
    /// Words, as JSON strings, and how telling they are.
    pub words: Vec<(String, String)>,
    /// Texts nearest to the centroid.
    pub closest: Vec<Example>,
    /// Texts farthest from it.
    pub farthest: Vec<Example>,
    /// Texts at random.
    pub random: Vec<Example>,
}

/// A text of a cluster.
#[derive(Debug)]
pub struct Example {
    /// A JSON string.
    pub text: String,
    /// A JSON number.
    pub distance: Option<String>,
    /// A JSON string.
    pub key: Option<String>,
    /// How many documents it stands for, a JSON number.
    pub rows: Option<String>,
}

/// The histogram that has no name of its own.
pub const DISTANCE: &str = "distance";

/// The names of the field that has a cluster's number; the second is MiniCorpus'.
const NAMES: [&str; 2] = ["cluster", "cluster_idx"];

type Object = BTreeMap<String, Box<RawValue>>;

/// Adds what the file `path` says, whose text this is, to what is known; how many clusters it has.
///
/// # Errors
/// Where the text is no table, says of a cluster what is known already, or of one that no table before had; the message
/// has file and line.
pub fn add(known: &mut Table, path: &Path, text: &[u8]) -> Result<u64, Failure> {
    let first = known.is_empty();
    let found = read(path, text)?;
    let rows = found.len() as u64;
    for (id, (line, cluster)) in found {
        let failed = |why: &str| Failure::line(path, line, format!("cluster {id} {why}"));
        if !first && !known.contains_key(&id) {
            return Err(failed("is not in the first table"));
        }
        known.entry(id).or_default().take(cluster).map_err(|why| failed(&why))?;
    }
    Ok(rows)
}

impl Cluster {
    fn take(&mut self, other: Cluster) -> Result<(), String> {
        for (mine, others) in [(&mut self.numbers, other.numbers), (&mut self.labels, other.labels)] {
            for (name, value) in others {
                if mine.contains_key(&name) {
                    return Err(format!("has {name} twice"));
                }
                mine.insert(name, value);
            }
        }
        let lists = [
            (&mut self.closest, other.closest),
            (&mut self.farthest, other.farthest),
            (&mut self.random, other.random),
        ];
        lists.into_iter().for_each(|(mine, others)| mine.extend(others));
        for (name, cells) in other.histograms {
            if self.histograms.insert(name.clone(), cells).is_some() {
                return Err(format!("has a histogram of {name} twice"));
            }
        }
        self.words.extend(other.words);
        Ok(())
    }

    /// Takes in a field of an object.
    fn field(&mut self, name: &str, raw: &RawValue) -> Result<(), String> {
        let expected = |what: &str| format!("field {name:?}: expected {what}");
        let histogram = if name == "histogram" { Some(DISTANCE) } else { name.strip_prefix("histogram_") };
        match (name, raw.get().as_bytes()[0], histogram) {
            (_, b'[', Some(of)) => {
                let cells: Vec<(i16, u64)> = parsed(raw).ok_or_else(|| expected("pairs of a cell and a count"))?;
                self.histograms.insert(of.to_string(), cells);
            }
            ("closest" | "farthest", ..) | ("random", b'[', _) => {
                let list = parsed::<Vec<Object>>(raw).and_then(|list| list.into_iter().map(example).collect());
                let list = list.ok_or_else(|| expected("a list of objects with a text and a distance"))?;
                match name {
                    "closest" => self.closest = list,
                    "farthest" => self.farthest = list,
                    _ => self.random = list,
                }
            }
            ("words", ..) => {
                let list: Option<Vec<(Box<RawValue>, Box<RawValue>)>> = parsed(raw);
                let pair = |(word, score): (Box<RawValue>, Box<RawValue>)| Some((string(&word)?, number(&score)?));
                let list = list.and_then(|list| list.into_iter().map(pair).collect());
                self.words = list.ok_or_else(|| expected("pairs of a word and a number"))?;
            }
            (_, b'-' | b'0'..=b'9', _) => {
                self.numbers.insert(name.to_string(), raw.get().to_string());
            }
            (_, b'"', _) => {
                self.labels.insert(name.to_string(), raw.get().to_string());
            }
            (_, b'{', _) => {
                let inner: Object = parsed(raw).ok_or_else(|| expected("an object"))?;
                for (part, raw) in inner {
                    if let Some(number) = number(&raw) {
                        self.numbers.insert(format!("{name}.{part}"), number);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// The clusters of one text, with their lines.
fn read(path: &Path, text: &[u8]) -> Result<BTreeMap<u32, (usize, Cluster)>, Failure> {
    let mut found = BTreeMap::new();
    let mut put = |line: usize, id: u32, cluster: Cluster| match found.insert(id, (line, cluster)) {
        None => Ok(()),
        Some(_) => Err(Failure::line(path, line, format!("cluster {id} comes twice"))),
    };
    if let Some(all) = minicorpus(text) {
        for (id, fields) in all {
            put(1, id, cluster(fields).map_err(|why| Failure::line(path, 1, format!("cluster {id}: {why}")))?)?;
        }
        return Ok(found);
    }
    let mut lines = split(text).enumerate().map(|(place, line)| (place + 1, line)).peekable();
    let header = match lines.peek() {
        None => return Err(Failure::file(path, "expected a table of clusters, found nothing")),
        Some((_, line)) if line.trim_ascii_start().starts_with(b"{") => None,
        Some(_) => lines.next().map(|(_, line)| header(line).map_err(|why| Failure::line(path, 1, why))).transpose()?,
    };
    for (place, line) in lines {
        let read = match &header {
            None => object(line),
            Some(names) => row(names, line),
        };
        let (id, cluster) = read.map_err(|why| Failure::line(path, place, why))?;
        put(place, id, cluster)?;
    }
    Ok(found)
}

/// The one object of MiniCorpus' `cluster_info_for_inspection.json`, whose names are the clusters' numbers.
fn minicorpus(text: &[u8]) -> Option<Vec<(u32, Object)>> {
    let all: BTreeMap<String, Object> = serde_json::from_slice(text).ok()?;
    all.into_iter().map(|(name, fields)| Some((name.parse().ok()?, fields))).collect()
}

fn object(line: &[u8]) -> Result<(u32, Cluster), String> {
    let mut fields: Object =
        serde_json::from_slice(line).map_err(|why| format!("expected the JSON object of a cluster: {why}"))?;
    let id = NAMES.into_iter().find_map(|name| fields.remove(name));
    let id = id.ok_or("field \"cluster\": missing")?;
    Ok((of_number(id.get())?, cluster(fields)?))
}

fn cluster(fields: Object) -> Result<Cluster, String> {
    let mut cluster = Cluster::default();
    fields.iter().try_for_each(|(name, raw)| cluster.field(name, raw))?;
    Ok(cluster)
}

fn header(line: &[u8]) -> Result<Vec<String>, String> {
    let names: Vec<_> = fields(line).map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    let known = names.iter().any(|name| NAMES.contains(&name.as_str()));
    known.then_some(names).ok_or_else(|| {
        "expected JSON objects, or a header that names cluster and other columns, with TABs between them".to_string()
    })
}

fn row(names: &[String], line: &[u8]) -> Result<(u32, Cluster), String> {
    let found = fields(line).count();
    if found != names.len() {
        return Err(format!("expected {} fields as in the header, found {found}", names.len()));
    }
    let (mut id, mut cluster) = (None, Cluster::default());
    for (name, text) in names.iter().zip(fields(line)) {
        let text = std::str::from_utf8(text).map_err(|_| format!("field {name:?}: not UTF-8"))?;
        if NAMES.contains(&name.as_str()) {
            id = Some(of_number(text)?);
            continue;
        }
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => {
                let mut json = Vec::new();
                write_number(number, &mut json);
                cluster.numbers.insert(name.clone(), String::from_utf8_lossy(&json).into_owned());
            }
            Ok(_) => {}
            Err(_) => {
                let json = serde_json::to_string(text).expect("text is JSON");
                cluster.labels.insert(name.clone(), json);
            }
        }
    }
    Ok((id.expect("the header names it"), cluster))
}

fn of_number(text: &str) -> Result<u32, String> {
    let found = || text.chars().take(40).collect::<String>();
    text.parse().map_err(|_| format!("field \"cluster\": expected a whole number below 2^32, found {}", found()))
}

fn example(mut fields: Object) -> Option<Example> {
    let mut optional = |name: &str, read: fn(&RawValue) -> Option<String>| match fields.remove(name) {
        Some(raw) if raw.get() != "null" => read(&raw).map(Some),
        _ => Some(None),
    };
    Some(Example {
        distance: optional("distance", number)?,
        key: optional("key", string)?,
        rows: optional("rows", number)?,
        text: optional("text", string)??,
    })
}

fn string(raw: &RawValue) -> Option<String> {
    raw.get().starts_with('"').then(|| raw.get().to_string())
}

fn number(raw: &RawValue) -> Option<String> {
    raw.get().starts_with(|sign: char| sign == '-' || sign.is_ascii_digit()).then(|| raw.get().to_string())
}

fn parsed<T: serde::de::DeserializeOwned>(raw: &RawValue) -> Option<T> {
    serde_json::from_str(raw.get()).ok()
}

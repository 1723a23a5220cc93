//! The page: one HTML file with its style, its script and all data.
//!
//! What comes from a table stands in the page as JSON in elements of type `application/json`, in which no `<`, `>` or
//! `&` is left (they are `\u003c` and so on), so that nothing of it is markup. The security policy allows the page's
//! own script and style by their digests and nothing else: no address, no other script.

use crate::table::{Cluster, DISTANCE, Example, Table};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pipe::key::document_key;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// These columns come first, in this order; then others, and last what these begin with.
const FIRST: [&str; 7] =
    ["total_examples", "plan.documents", "average_distance", "diversity", "mean_loss", "plan.repeats", "plan.share"];
const LAST: [&str; 6] = ["min", "max", "quantiles", "sum_", "rows_", "textless"];

/// What stands between the name of a column and whose it is, where two runs are compared.
pub const OF: char = '@';

/// All that is shown.
pub struct Report<'a> {
    /// The heading.
    pub title: &'a str,
    /// The clusters, with what another run says of them under names that end in `@` and its name.
    pub table: &'a Table,
    /// The name of the other run, and its clusters.
    pub other: Option<(&'a str, &'a Table)>,
    /// Notes of those that are excluded from the beginning.
    pub excluded: &'a BTreeMap<u32, String>,
    /// Where clusters lie.
    pub map: Option<&'a BTreeMap<u32, [f64; 2]>>,
}

impl Report<'_> {
    /// The file.
    pub fn html(&self) -> String {
        let title = escaped(self.title);
        let (script_hash, style_hash, data) = (digest(SCRIPT), digest(STYLE), self.data());
        let parts = [
            ("title", title.as_str()),
            ("script-hash", &script_hash),
            ("style-hash", &style_hash),
            ("style", STYLE),
            ("script", SCRIPT),
            ("data", &data),
        ];
        fill(PAGE, &parts)
    }

    /// The elements that hold data: one for what the page shows at first, and one for the texts of each cluster.
    fn data(&self) -> String {
        let mut out = element("clusters", &self.clusters());
        for (&id, cluster) in self.table {
            let texts = [("closest", &cluster.closest), ("random", &cluster.random), ("farthest", &cluster.farthest)];
            if texts.iter().any(|(_, examples)| !examples.is_empty()) {
                let texts = texts.map(|(name, examples)| format!("\"{name}\":{}", list(examples)));
                out += &element(&format!("texts-{id}"), &format!("{{{}}}", texts.join(",")));
            }
        }
        out
    }

    fn clusters(&self) -> String {
        let (columns, labels, histograms) = (self.columns(), self.labels(), self.histograms());
        let compared = self.other.map(|(name, _)| json(name));
        let one = |(id, cluster): (&u32, &Cluster)| self.cluster(*id, cluster, &columns, &labels, &histograms);
        format!(
            "{{\"key\":{},\"compare\":{},\"areas\":{},\"map\":{},\"columns\":{},\"labels\":{},\"histograms\":{},\"clusters\":[{}]}}",
            json(&self.key()),
            compared.unwrap_or_else(|| "null".to_string()),
            json(&areas(&columns)),
            self.map.is_some(),
            json(&columns),
            json(&labels),
            json(&histograms),
            self.table.iter().map(one).collect::<Vec<_>>().join(",\n")
        )
    }

    /// What marks are kept under: the clusters and their sizes.
    fn key(&self) -> String {
        let mut identity = String::new();
        for (id, cluster) in self.table {
            let size = cluster.numbers.get(FIRST[0]).map_or("", String::as_str);
            writeln!(identity, "{id}\t{size}").expect("writing to memory cannot fail");
        }
        format!("{:016x}", document_key(identity.as_bytes()))
    }

    fn columns(&self) -> Vec<&str> {
        let names: BTreeSet<&str> =
            self.table.values().flat_map(|cluster| cluster.numbers.keys()).map(String::as_str).collect();
        let mut names: Vec<&str> = names.into_iter().collect();
        let last = |name: &str| LAST.iter().any(|last| name.starts_with(last));
        let other = |name: &str| FIRST.len() + usize::from(last(name));
        names.sort_by_key(|name| FIRST.iter().position(|first| *first == own(name)).unwrap_or_else(|| other(name)));
        names
    }

    fn labels(&self) -> Vec<&str> {
        let names: BTreeSet<&str> =
            self.table.values().flat_map(|cluster| cluster.labels.keys()).map(String::as_str).collect();
        names.into_iter().collect()
    }

    /// What is counted of the clusters, distances first.
    fn histograms(&self) -> Vec<&str> {
        let others = self.other.iter().flat_map(|(_, table)| table.values());
        let all = self.table.values().chain(others).flat_map(|cluster| cluster.histograms.keys());
        let names: BTreeSet<&str> = all.map(String::as_str).collect();
        let mut names: Vec<&str> = names.into_iter().collect();
        names.sort_by_key(|&name| name != DISTANCE);
        names
    }

    fn cluster(&self, id: u32, cluster: &Cluster, columns: &[&str], labels: &[&str], histograms: &[&str]) -> String {
        let or_null = |values: &BTreeMap<String, String>, name: &&str| {
            values.get(*name).map_or("null".to_string(), String::clone)
        };
        let numbers: Vec<_> = columns.iter().map(|name| or_null(&cluster.numbers, name)).collect();
        let labels: Vec<_> = labels.iter().map(|name| or_null(&cluster.labels, name)).collect();
        let words: Vec<_> = cluster.words.iter().map(|(word, score)| format!("[{word},{score}]")).collect();
        let points = |cluster: &Cluster| histograms.iter().map(|name| points(cluster, name)).collect::<Vec<_>>();
        let other = self.other.and_then(|(_, table)| table.get(&id)).map(points).unwrap_or_default();
        let mut out = format!(
            "{{\"id\":{id},\"numbers\":[{}],\"labels\":[{}],\"words\":[{}],\"histograms\":{},\"other\":{}",
            numbers.join(","),
            labels.join(","),
            words.join(","),
            json(&points(cluster)),
            json(&other)
        );
        if let Some(note) = self.excluded.get(&id) {
            out += &format!(",\"mark\":\"exclude\",\"note\":{}", json(note));
        }
        if let Some(place) = self.map.and_then(|map| map.get(&id)) {
            out += &format!(",\"at\":{}", json(place));
        }
        out + "}"
    }
}

/// Which columns areas stand for: sizes, and what becomes of them.
fn areas<'a>(columns: &[&'a str]) -> Vec<&'a str> {
    let wanted = |name: &&&str| own(name) == FIRST[0] || own(name) == FIRST[1];
    columns.iter().filter(wanted).copied().collect()
}

/// A column's name without whose it is.
fn own(name: &str) -> &str {
    name.split(OF).next().unwrap_or(name)
}

/// The middles of a histogram's cells, rounded down but for distances, and their counts. A cell is the upper half of a
/// 32-bit float but for its last bit, negated below 0.
fn points(cluster: &Cluster, name: &str) -> Vec<(f32, u64)> {
    let middle = |cell: i16| {
        let size = f32::from_bits(u32::from(cell.unsigned_abs()) << 17 | 1 << 16);
        let size = if name == DISTANCE { size } else { size.floor() };
        if cell < 0 { -size } else { size }
    };
    let cells = cluster.histograms.get(name).map_or(&[][..], Vec::as_slice);
    cells.iter().map(|&(cell, count)| (middle(cell), count)).filter(|(at, _)| at.is_finite()).collect()
}

fn list(examples: &[Example]) -> String {
    let or_null = |value: &Option<String>| value.clone().unwrap_or_else(|| "null".to_string());
    let one = |example: &Example| {
        let rows = example.rows.as_ref().map_or(String::new(), |rows| format!(",{rows}"));
        format!("[{},{},{}{rows}]", example.text, or_null(&example.distance), or_null(&example.key))
    };
    format!("[{}]", examples.iter().map(one).collect::<Vec<_>>().join(","))
}

fn json<T: serde::Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("names and numbers are JSON")
}

/// An element of data. In JSON, `<`, `>` and `&` stand in strings only.
fn element(id: &str, json: &str) -> String {
    let json = json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
    format!("<script type=\"application/json\" id=\"{id}\">{json}</script>\n")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn digest(text: &str) -> String {
    STANDARD.encode(Sha256::digest(text))
}

/// The template with each `{name}` of these in its place; what is put in is not looked at again.
fn fill(template: &str, parts: &[(&str, &str)]) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let part = parts.iter().find_map(|(name, part)| Some((part, after.strip_prefix(name)?.strip_prefix('}')?)));
        let (part, after) = part.expect("the template names parts only");
        out += before;
        out += part;
        rest = after;
    }
    out + rest
}

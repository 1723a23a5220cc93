//! Clusters as JSON: an object a line, which is read again, or the one object of MiniCorpus.
//!
//! # Stability
//!
//! The names of the fields and the meaning of `histogram` do not change between releases; fields may be added behind
//! them.

use crate::decimal::Decimal;
use crate::examples::{Example, Examples, beginning};
use crate::histogram::Histogram;
use crate::random::{Drawn, Random};
use crate::summary::{Known, Most, Summary};
use crate::telling::Telling;
use pipe::key::{read_key, write_key};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt::Write;

/// What is printed beside the sums.
pub struct Shown {
    /// From 0 to 1, as they were written.
    pub quantiles: Vec<(String, f64)>,
    /// Whether there are texts.
    pub texts: bool,
    /// What the numbers beside the rows are called, where there are any.
    pub value: Option<String>,
    /// What lengths are in, where there are any.
    pub lengths: Option<String>,
}

/// The line of a cluster, and its telling words.
pub fn line(cluster: u32, summary: &Summary, shown: &Shown, words: &[Telling]) -> String {
    let (smallest, largest) = summary.range.unzip();
    let mut out = format!(
        "{{\"cluster\":{cluster},\"total_examples\":{},\"sum_distance\":{},\"average_distance\":{},\"min\":{},\"max\":{},\"quantiles\":{{{}}}",
        summary.total,
        summary.sum,
        summary.average(),
        or_null(smallest.map(|smallest| smallest.to_string())),
        or_null(largest.map(|largest| largest.to_string())),
        shown.quantiles(|q| summary.quantile(q)),
    );
    if let Some(diversity) = summary.diversity {
        let number = Some(diversity).filter(|number| !number.is_nan());
        push(&mut out, format_args!(",\"diversity\":{}", or_null(number.map(|number| number.to_string()))));
    }
    if let Some(name) = &shown.value {
        let (count, sum) = summary.values;
        let mean = or_null(summary.mean_value().map(|mean| mean.to_string()));
        push(&mut out, format_args!(",\"rows_{name}\":{count},\"sum_{name}\":{sum},\"mean_{name}\":{mean}"));
    }
    if shown.texts {
        push(&mut out, format_args!(",\"closest\":[{}]", joined(&summary.nearest.list, ",", example)));
        push(&mut out, format_args!(",\"farthest\":[{}]", joined(&summary.farthest.list, ",", example)));
        push(&mut out, format_args!(",\"textless\":{}", summary.textless));
    }
    push(&mut out, format_args!(",\"histogram\":[{}]", cells(&summary.histogram)));
    if let Some(name) = &shown.lengths {
        let lengths = &summary.lengths;
        let average = or_null(lengths.average().map(|average| average.to_string()));
        push(&mut out, format_args!(",\"total_{name}\":{},\"average_{name}\":{average}", lengths.total));
        let quantiles = shown.quantiles(|q| lengths.quantile(q));
        push(&mut out, format_args!(",\"quantiles_{name}\":{{{quantiles}}}"));
        push(&mut out, format_args!(",\"histogram_{name}\":[{}]", cells(&lengths.histogram)));
    }
    if shown.texts {
        let texts: Vec<_> = summary.random.drawn.iter().map(drawn).collect();
        push(&mut out, format_args!(",\"random\":[{}]", texts.join(",")));
        let word = |(word, weight): &Telling| format!("[{},{weight:.3}]", quoted(word));
        push(&mut out, format_args!(",\"words\":[{}]", joined(words, ",", word)));
    }
    out + "}\n"
}

impl Shown {
    /// The quantiles as fields of an object.
    fn quantiles(&self, of: impl Fn(f64) -> Option<f64>) -> String {
        let one =
            |&(ref name, q): &(String, f64)| format!("\"{name}\":{}", or_null(of(q).map(|value| value.to_string())));
        joined(&self.quantiles, ",", one)
    }
}

fn or_null(number: Option<String>) -> String {
    number.unwrap_or_else(|| "null".to_string())
}

fn cells(histogram: &Histogram) -> String {
    joined(&histogram.cells, ",", |(cell, count)| format!("[{cell},{count}]"))
}

/// An entry of MiniCorpus' `cluster_info_for_inspection.json`, as its scripts indent it.
pub fn minicorpus_entry(cluster: u32, summary: &Summary) -> String {
    let example = |example: &Example| {
        let Example { distance, text, .. } = example;
        format!("\n      {{\n        \"text\": {},\n        \"distance\": {distance}\n      }}", quoted(text))
    };
    let list = |examples: &Examples| match examples.list.is_empty() {
        true => "[]".to_string(),
        false => format!("[{}\n    ]", joined(&examples.list, ",", example)),
    };
    format!(
        "  \"{cluster}\": {{\n    \"closest\": {},\n    \"farthest\": {},\n    \"total_examples\": {},\n    \"average_distance\": {},\n    \"sum_distance\": {}\n  }}",
        list(&summary.nearest),
        list(&summary.farthest),
        summary.total,
        summary.average(),
        summary.sum
    )
}

fn example(example: &Example) -> String {
    format!("{{{}}}", fields_of(&example.text, example.distance, example.key))
}

fn drawn((&key, one): (&u64, &Drawn)) -> String {
    format!("{{{},\"rows\":{}}}", fields_of(&one.text, one.distance, key), one.rows)
}

fn fields_of(text: &str, distance: Decimal, key: u64) -> String {
    let mut digits = Vec::new();
    write_key(key, &mut digits);
    format!("\"text\":{},\"distance\":{distance},\"key\":\"{}\"", quoted(text), String::from_utf8_lossy(&digits))
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("text is JSON")
}

fn joined<T>(list: &[T], between: &str, show: impl Fn(&T) -> String) -> String {
    list.iter().map(show).collect::<Vec<_>>().join(between)
}

fn push(out: &mut String, text: std::fmt::Arguments) {
    out.write_fmt(text).expect("writing to memory cannot fail");
}

/// What a line has to show to be one of a cluster.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Documents.
    pub most: Most,
    /// Characters of a text.
    pub chars: usize,
    /// Which clusters there may be.
    pub known: Known,
}

/// The fields of an object, raw.
type Fields<'a> = BTreeMap<String, &'a RawValue>;

/// What the lines of a run show alike.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parts {
    /// Whether there are texts.
    pub texts: bool,
    /// What the numbers beside the rows are called, where there are any.
    pub value: Option<String>,
    /// What lengths are in, where there are any.
    pub lengths: Option<String>,
}

/// Reads a line that [`line`] wrote: the cluster, what is known of it, and what it shows.
pub fn read(line: &[u8], wanted: Wanted) -> Result<(u32, Summary, Parts), String> {
    let fields: Fields =
        serde_json::from_slice(line).map_err(|_| "expected the JSON object of a cluster".to_string())?;
    let mut summary = Summary::new(wanted.most);
    let cluster = number(&fields, "cluster")?;
    wanted.known.check(cluster)?;
    summary.total = number(&fields, "total_examples")?;
    summary.sum = number(&fields, "sum_distance")?;
    if summary.total > 0 {
        summary.range = Some((number(&fields, "min")?, number(&fields, "max")?));
    }
    let (histogram, counts) = read_histogram(&fields, "histogram")?;
    if counts != summary.total {
        return Err("field \"histogram\": expected counts that add up to total_examples".to_string());
    }
    summary.histogram = histogram;
    if fields.contains_key("diversity") {
        let diversity: Option<f64> = json(&fields, "diversity", "a number or null")?;
        summary.diversity = Some(diversity.unwrap_or(f64::NAN));
    }
    let value = fields.keys().find_map(|name| name.strip_prefix("rows_")).map(str::to_string);
    if let Some(name) = &value {
        summary.values = (number(&fields, &format!("rows_{name}"))?, number(&fields, &format!("sum_{name}"))?);
    }
    let lengths = fields.keys().find_map(|name| name.strip_prefix("histogram_")).map(str::to_string);
    if let Some(name) = &lengths {
        summary.lengths.total = number(&fields, &format!("total_{name}"))?;
        let (field, rows) = (format!("histogram_{name}"), summary.total);
        let (histogram, counts) = read_histogram(&fields, &field)?;
        if counts > rows {
            return Err(format!("field {field:?}: expected {rows} documents at the most, found {counts}"));
        }
        summary.lengths.histogram = histogram;
    }
    let texts = fields.contains_key("closest");
    if texts {
        summary.textless = number(&fields, "textless")?;
        let rows = summary.total.saturating_sub(summary.textless);
        read_examples(&fields, "closest", rows, wanted, &mut summary.nearest)?;
        read_examples(&fields, "farthest", rows, wanted, &mut summary.farthest)?;
        read_random(&fields, rows, wanted, &mut summary.random)?;
    }
    Ok((cluster, summary, Parts { texts, value, lengths }))
}

/// A histogram and how many it counts.
fn read_histogram(fields: &Fields, name: &str) -> Result<(Histogram, u64), String> {
    let cells: Vec<(i16, u64)> = json(fields, name, "pairs of a cell and a count")?;
    let counts = cells.iter().try_fold(0_u64, |sum, &(_, count)| sum.checked_add(count));
    let counts = counts.filter(|_| cells.is_sorted_by(|a, b| a.0 < b.0));
    let counts = counts.ok_or_else(|| format!("field {name:?}: expected ascending cells and their counts"))?;
    Ok((Histogram { cells }, counts))
}

fn read_examples(fields: &Fields, name: &str, rows: u64, wanted: Wanted, out: &mut Examples) -> Result<(), String> {
    let all: Vec<Fields> = json(fields, name, "a list of objects")?;
    let count = (wanted.most.examples as u64).min(rows);
    if (all.len() as u64) < count {
        let found = all.len();
        return Err(format!("field {name:?}: expected {count} documents, found {found}: a smaller --examples made it"));
    }
    for fields in all {
        let (key, distance, text) = read_document(&fields, wanted)?;
        out.add(distance, key, &text);
    }
    Ok(())
}

/// All documents are there, or as many as are wanted.
fn read_random(fields: &Fields, rows: u64, wanted: Wanted, out: &mut Random) -> Result<(), String> {
    let all: Vec<Fields> = json(fields, "random", "a list of objects")?;
    let (count, mut counted) = (all.len(), 0_u64);
    for fields in all {
        let (key, distance, text) = read_document(&fields, wanted)?;
        let rows = number(&fields, "rows")?;
        counted = counted.saturating_add(rows);
        out.add(key, distance, &text, rows).ok_or("field \"rows\": more than 64 bits can count")?;
    }
    let found = format!("field \"random\": {count} documents of {counted} rows in {rows}");
    match () {
        () if counted > rows => Err(format!("{found}: they are too many")),
        () if count < wanted.most.random && counted < rows => Err(format!("{found}: a smaller --random made it")),
        () => Ok(()),
    }
}

/// Key, distance and beginning of a document.
fn read_document(fields: &Fields, wanted: Wanted) -> Result<(u64, Decimal, String), String> {
    let text: String = json(fields, "text", "a string")?;
    let key: &str = json(fields, "key", "a key of 16 hexadecimal digits")?;
    let key = read_key(key.as_bytes()).ok_or("field \"key\": expected a key of 16 hexadecimal digits")?;
    Ok((key, number(fields, "distance")?, beginning(text.as_bytes(), wanted.chars).collect()))
}

fn json<'a, T: serde::Deserialize<'a>>(fields: &Fields<'a>, name: &str, expected: &str) -> Result<T, String> {
    let raw = fields.get(name).ok_or_else(|| format!("field {name:?}: missing"))?;
    serde_json::from_str(raw.get()).map_err(|_| format!("field {name:?}: expected {expected}"))
}

/// A field's number as it stands, which a 64-bit float might not hold.
fn number<T: Number>(fields: &Fields, name: &str) -> Result<T, String> {
    let raw = fields.get(name).ok_or_else(|| format!("field {name:?}: missing"))?.get();
    let shown: String = raw.chars().take(40).collect();
    T::read(raw).ok_or_else(|| format!("field {name:?}: expected {}, found {shown}", T::EXPECTED))
}

/// What a number of a line is.
trait Number: Sized {
    const EXPECTED: &'static str;
    fn read(text: &str) -> Option<Self>;
}

impl Number for Decimal {
    const EXPECTED: &'static str = "a number below 10^20";
    fn read(text: &str) -> Option<Decimal> {
        Decimal::parse(text.as_bytes())
    }
}

impl Number for u64 {
    const EXPECTED: &'static str = "a whole number";
    fn read(text: &str) -> Option<u64> {
        text.parse().ok()
    }
}

impl Number for u32 {
    const EXPECTED: &'static str = "a whole number below 2^32";
    fn read(text: &str) -> Option<u32> {
        text.parse().ok()
    }
}

//! Adding `label` and `score` to a document without touching its bytes.

use pipe::column::write_number;
use pipe::lines::Worker;
use pipe::record::names;
use std::io::Write;

/// The names that are added, as ClusterClip has them.
const NAMES: [&str; 2] = ["label", "score"];

/// What can be done with a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// It is left as it is.
    Whole,
    /// Fields can be added at this byte; `empty`: it has none yet.
    Open {
        /// Behind the last field, or the brace.
        at: usize,
        /// Whether it is the first field that would be added.
        empty: bool,
    },
    /// It is not an object that could take them.
    Bad,
}

/// Where in an object without `label` and `score` these can be added: behind its last field, so that what is white
/// stays at the end.
fn opening(line: &[u8]) -> Result<Form, String> {
    let mut taken = None;
    names(line, |name| {
        taken = taken.or(NAMES.into_iter().find(|&known| known == name));
    })?;
    if let Some(name) = taken {
        return Err(format!("field {name:?}: expected none, which --annotate would add, found one"));
    }
    let brace = line.trim_ascii_end().len() - 1;
    let at = line[..brace].trim_ascii_end().len();
    // In front of the last brace of an object, a brace that opens can only be its own.
    Ok(Form::Open { at, empty: line[at - 1] == b'{' })
}

/// Writes `"label": 3, "score": 0.25`, with the comma in front that a field before it needs.
pub fn write_fields(cluster: u32, score: f64, empty: bool, out: &mut Vec<u8>) {
    let [label, score_name] = NAMES;
    let comma = if empty { "" } else { ", " };
    write!(out, "{comma}\"{label}\": {cluster}, \"{score_name}\": ").expect("writing to memory cannot fail");
    write_number(score, out);
}

/// Documents of a batch, one after another, without their newlines.
#[derive(Debug, Default)]
pub struct Documents {
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<(usize, Form)>,
}

impl Documents {
    /// Each document and what can be done with it.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Form)> {
        let mut start = 0;
        self.ends.iter().map(move |&(end, form)| {
            let line = &self.bytes[start..end];
            start = end;
            (line, form)
        })
    }
}

/// Looks at documents on one thread.
pub struct Examiner {
    annotate: bool,
    out: Documents,
}

impl Examiner {
    /// One that finds where fields can be added, or one that looks at nothing.
    pub fn new(annotate: bool) -> Examiner {
        Examiner { annotate, out: Documents::default() }
    }
}

impl Worker for Examiner {
    type Out = Documents;

    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        let form = if self.annotate { opening(line) } else { Ok(Form::Whole) };
        self.out.bytes.extend_from_slice(line);
        self.out.ends.push((self.out.bytes.len(), *form.as_ref().unwrap_or(&Form::Bad)));
        form.map(drop)
    }

    fn missing(&mut self) {}

    fn take(&mut self) -> Documents {
        std::mem::take(&mut self.out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_go_behind_the_last() {
        for (line, expected) in [
            ("{}", r#"{"label": 3, "score": 0.5}"#),
            ("{ \t}  \r", "{\"label\": 3, \"score\": 0.5 \t}  \r"),
            (r#"  {"a": {} }"#, r#"  {"a": {}, "label": 3, "score": 0.5 }"#),
            (r#"{"a": "}", "b": {"label": 1}}"#, r#"{"a": "}", "b": {"label": 1}, "label": 3, "score": 0.5}"#),
            (r#"{"a": "{"}"#, r#"{"a": "{", "label": 3, "score": 0.5}"#),
            (r#"{"{": "é"}"#, r#"{"{": "é", "label": 3, "score": 0.5}"#),
        ] {
            let Ok(Form::Open { at, empty }) = opening(line.as_bytes()) else { panic!("{line}") };
            let mut out = line.as_bytes()[..at].to_vec();
            write_fields(3, 0.5, empty, &mut out);
            out.extend_from_slice(&line.as_bytes()[at..]);
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
    }

    #[test]
    fn what_cannot_take_them_is_refused() {
        let said = |line: &str| opening(line.as_bytes()).unwrap_err();
        assert_eq!(said("[]"), "expected a JSON object");
        assert_eq!(said("{} {}"), "not JSON: trailing characters at byte 4 of the line");
        let taken = r#"field "score": expected none, which --annotate would add, found one"#;
        assert_eq!(said(r#"{"a": 1, "score": null}"#), taken);
        assert_eq!(said(r#"{"\u0073core": 1}"#), taken);
    }
}

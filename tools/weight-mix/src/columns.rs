//! Columns of weights that stand beside each other.

use pipe::column::{fields, read_number};
use pipe::failure::{Failure, name};
use pipe::key::read_key;
use pipe::rows::Rows;
use std::path::PathBuf;

/// A row of all columns.
pub struct Row<'a> {
    /// The weight of each column; NaN: missing.
    pub weights: &'a [f64],
    /// What follows the weight in the first column, from its TAB on.
    pub rest: &'a [u8],
}

/// Files that stand beside each other.
pub struct Columns {
    files: Vec<(String, Rows)>,
    weights: Vec<f64>,
    rest: Vec<u8>,
}

impl Columns {
    /// The columns in these files (`-`: standard input).
    ///
    /// # Errors
    /// A file that cannot be opened.
    pub fn open(paths: &[PathBuf]) -> Result<Columns, Failure> {
        let file = |path: &PathBuf| Ok((name(path), Rows::open(std::slice::from_ref(path))?));
        let files = paths.iter().map(file).collect::<Result<_, Failure>>()?;
        Ok(Columns { files, weights: Vec::new(), rest: Vec::new() })
    }

    /// Bytes that were read of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|(_, rows)| rows.bytes).sum()
    }

    /// The next row; `None` behind the last.
    ///
    /// # Errors
    /// A first field that is no number, keys that differ, files that do not end together.
    pub fn next(&mut self) -> Result<Option<Row<'_>>, Failure> {
        let Columns { files, weights, rest } = self;
        weights.clear();
        let (mut ended, mut going) = (None, None);
        for (place, (name, rows)) in files.iter_mut().enumerate() {
            let read = |row: &[u8]| {
                weights.push(read_number(fields(row).next().unwrap_or_default(), 1)?);
                if place == 0 {
                    keep(row, rest);
                    Ok(())
                } else {
                    same_key(row, rest)
                }
            };
            match rows.next_or_end(read)? {
                Some(()) => going = going.or(Some(&*name)),
                None => ended = ended.or(Some((&*name, rows.count))),
            }
        }
        match (ended, going) {
            (None, _) => Ok(Some(Row { weights, rest })),
            (_, None) => Ok(None),
            (Some((name, count)), Some(other)) => {
                let why = format!("expected another row, as {other} has one, found the end");
                Err(Failure::work(format!("{name}:{}: {why}", count + 1)))
            }
        }
    }
}

fn keep(row: &[u8], rest: &mut Vec<u8>) {
    let row = row.strip_suffix(b"\r").unwrap_or(row);
    let begin = memchr::memchr(b'\t', row).unwrap_or(row.len());
    rest.clear();
    rest.extend_from_slice(&row[begin..]);
}

/// Refuses a row whose key is another than that of the first column.
fn same_key(row: &[u8], rest: &[u8]) -> Result<(), String> {
    match (key(row), key(rest)) {
        (Some(own), Some(first)) if own != first => Err(format!(
            "its key is {own:016x}, and that of the first FILE's row {first:016x}: the rows are in another order"
        )),
        _ => Ok(()),
    }
}

/// The document's key in the last field, if that is one.
fn key(row: &[u8]) -> Option<u64> {
    fields(row).next_back().and_then(read_key)
}

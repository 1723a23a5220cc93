//! Perplexities out of files that stand beside each other.

use crate::pickle;
use pipe::column::{fields, read_number};
use pipe::failure::{Failure, name};
use pipe::input::read_whole;
use pipe::rows::Rows;
use std::path::{Path, PathBuf};

/// One file.
enum Column {
    /// Lines of numbers.
    Lines(Rows),
    /// A list of Python's.
    List { bytes: u64, rest: std::vec::IntoIter<f64> },
}

/// Files that stand beside each other.
pub struct Perplexities {
    columns: Vec<(String, Column)>,
    row: Vec<f64>,
    /// How many perplexities each file has in a row; empty before the first row.
    widths: Vec<usize>,
    /// Rows that were given.
    count: u64,
}

impl Perplexities {
    /// The perplexities in these files, or on standard input where there is none.
    ///
    /// # Errors
    /// A file that cannot be read, and a pickle that is not a list of floats.
    pub fn open(paths: &[PathBuf]) -> Result<Perplexities, Failure> {
        let input = [PathBuf::from("-")];
        let paths = if paths.is_empty() { &input } else { paths };
        let columns = paths.iter().map(|path| column(path)).collect::<Result<_, _>>()?;
        Ok(Perplexities { columns, row: Vec::new(), widths: Vec::new(), count: 0 })
    }

    /// Bytes that were read of all files.
    pub fn bytes(&self) -> u64 {
        let bytes = |column: &Column| match column {
            Column::Lines(rows) => rows.bytes,
            Column::List { bytes, .. } => *bytes,
        };
        self.columns.iter().map(|(_, column)| bytes(column)).sum()
    }

    /// The next row: at least two perplexities, as many as in every row. `None` behind the last.
    ///
    /// # Errors
    /// A line that is no row of numbers, more or fewer of them than before, files that do not end together.
    pub fn next(&mut self) -> Result<Option<&[f64]>, Failure> {
        self.row.clear();
        let (mut ended, mut going) = (None, None);
        for (place, (name, column)) in self.columns.iter_mut().enumerate() {
            let before = self.row.len();
            match column.append(&mut self.row, self.widths.get(place))? {
                true => going = going.or(Some(&*name)),
                false => ended = ended.or(Some(&*name)),
            }
            if self.widths.len() == place && self.row.len() > before {
                self.widths.push(self.row.len() - before);
            }
        }
        match (ended, going) {
            (_, None) => Ok(None),
            (Some(name), Some(other)) => {
                let why = format!("expected another row, as {other} has one, found the end");
                Err(Failure::work(format!("{name}:{}: {why}", self.count + 1)))
            }
            (None, Some(name)) if self.row.len() < 2 => {
                let why = "expected two perplexities or more, before training and after an epoch, found one";
                Err(Failure::work(format!("{name}:{}: {why}", self.count + 1)))
            }
            (None, _) => {
                self.count += 1;
                Ok(Some(&self.row))
            }
        }
    }
}

fn column(path: &Path) -> Result<(String, Column), Failure> {
    let pickled = path.extension().is_some_and(|end| end == "pkl" || end == "pickle");
    let column = if pickled {
        let pickle = read_whole(path)?;
        let list = pickle::floats(&pickle).map_err(|why| Failure::file(path, why))?;
        Column::List { bytes: pickle.len() as u64, rest: list.into_iter() }
    } else {
        Column::Lines(Rows::open(&[path.to_path_buf()])?)
    };
    Ok((name(path), column))
}

impl Column {
    /// Appends the numbers of the next row, `width` of them if that is known; `false` behind the last.
    fn append(&mut self, row: &mut Vec<f64>, width: Option<&usize>) -> Result<bool, Failure> {
        match self {
            Column::List { rest, .. } => Ok(rest.next().map(|perplexity| row.push(perplexity)).is_some()),
            Column::Lines(rows) => Ok(rows.next_or_end(|line| numbers(line, row, width))?.is_some()),
        }
    }
}

/// Appends the numbers of a line: with TABs between them, or a JSON array.
fn numbers(line: &[u8], row: &mut Vec<f64>, width: Option<&usize>) -> Result<(), String> {
    let before = row.len();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match line {
        [b'[', list @ .., b']'] => {
            for (place, number) in list.split(|&byte| byte == b',').enumerate() {
                row.push(json_number(number.trim_ascii(), place + 1)?);
            }
        }
        [0x80, ..] => return Err("a Python pickle; it is read where the file's name ends in .pkl".to_string()),
        _ => {
            for (place, field) in fields(line).enumerate() {
                row.push(read_number(field, place + 1)?);
            }
        }
    }
    match (width, row.len() - before) {
        (Some(&expected), found) if expected != found => {
            Err(format!("expected {expected} perplexities, as in the first row, found {found}"))
        }
        _ => Ok(()),
    }
}

fn json_number(text: &[u8], place: usize) -> Result<f64, String> {
    match text {
        b"null" => Ok(f64::NAN),
        text => read_number(text, place),
    }
}

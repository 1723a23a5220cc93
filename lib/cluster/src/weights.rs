//! A column of weights beside rows of vectors.
//!
//! # Stability
//!
//! The first field of a line is the weight of the row that stands beside it: a finite number, 0 or more, rounded to the
//! nearest multiple of 2^-20 (halves to even), below 2^40; `nan` is missing.

use compute::kmeans::WEIGHT_ONE;
use pipe::column::{fields, read_number};
use pipe::failure::{Failure, name};
use pipe::input::{Batch, Input};
use std::path::Path;

/// Above any weight.
const WEIGHT_END: f64 = (1_u64 << 40) as f64;

/// The weights of rows, in order.
pub struct Weights {
    name: String,
    input: Input,
    batch: Option<Batch>,
    /// Bytes of the batch that are read.
    at: usize,
    /// Rows that are read.
    row: u64,
}

impl Weights {
    /// Opens a column (`-`: standard input).
    ///
    /// # Errors
    /// Where it is not there.
    pub fn open(path: &Path) -> Result<Weights, Failure> {
        let input = Input::of(&[path.to_path_buf()], None)?;
        Ok(Weights { name: name(path), input, batch: None, at: 0, row: 0 })
    }

    /// Goes past rows, up to this one.
    ///
    /// # Errors
    /// Where there are not so many.
    pub fn pass_to(&mut self, row: u64) -> Result<(), Failure> {
        while self.row < row {
            self.line(|_| Ok(()))?.ok_or_else(|| self.too_few())?;
        }
        Ok(())
    }

    /// The weights of the next rows replace what is in `weights`, in units of 2^-20; `None`: missing.
    ///
    /// # Errors
    /// Where there are not so many, or one is no weight.
    pub fn next(&mut self, rows: usize, weights: &mut Vec<Option<u64>>) -> Result<(), Failure> {
        weights.clear();
        for _ in 0..rows {
            let weight = self.line(weight)?.ok_or_else(|| self.too_few())?;
            weights.push(weight);
        }
        Ok(())
    }

    /// Checks the number of rows.
    ///
    /// # Errors
    /// Where the column has not so many rows; those that were not read may be as they like.
    pub fn end(mut self, rows: u64) -> Result<(), Failure> {
        self.pass_to(rows)?;
        match self.line(|_| Ok(()))? {
            None => Ok(()),
            Some(()) => Err(Failure::work(format!("{}: more rows than the {rows} vectors beside them", self.name))),
        }
    }

    fn too_few(&self) -> Failure {
        Failure::work(format!("{}: {} rows: fewer than there are vectors beside them", self.name, self.row))
    }

    /// Reads the next line; `None` at the end.
    fn line<T>(&mut self, read: impl Fn(&[u8]) -> Result<T, String>) -> Result<Option<T>, Failure> {
        if self.batch.as_ref().is_none_or(|batch| self.at == batch.bytes().len()) {
            let spent = self.batch.take().map_or_else(Vec::new, Batch::into_buffer);
            (self.batch, self.at) = (self.input.next(spent)?, 0);
        }
        let Some(batch) = &self.batch else { return Ok(None) };
        let rest = &batch.bytes()[self.at..];
        let end = rest.iter().position(|&byte| byte == b'\n');
        let line = &rest[..end.unwrap_or(rest.len())];
        self.at += end.map_or(rest.len(), |end| end + 1);
        self.row += 1;
        let failed = |why| Failure::work(format!("{}:{}: {why}", self.name, self.row));
        read(line).map(Some).map_err(failed)
    }
}

fn weight(line: &[u8]) -> Result<Option<u64>, String> {
    let number = read_number(fields(line).next().unwrap_or_default(), 1)?;
    if number.is_nan() {
        return Ok(None);
    }
    if !(0.0..WEIGHT_END).contains(&number) {
        return Err(format!("field 1: a weight of {number}: expected 0 or more, below 2^40"));
    }
    Ok(Some((number * WEIGHT_ONE as f64).round_ties_even() as u64))
}

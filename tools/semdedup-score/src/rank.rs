//! In which order the rows of a cluster are looked at: the first is kept, whatever comes behind it.

use pipe::column::{fields, more_than, read_number, uneven, unexpected};
use pipe::failure::Failure;
use pipe::key::noise_bits;
use pipe::rows::Rows;
use std::path::PathBuf;

/// What comes first.
#[derive(Debug, Clone, PartialEq)]
pub enum Keep {
    /// What is nearest to its centroid.
    Nearest,
    /// What is farthest from it.
    Farthest,
    /// What comes first in the input.
    First,
    /// What the seed says.
    Random,
    /// What a column says most of.
    Worth(PathBuf),
}

impl Keep {
    /// What a word means; anything else is the name of a file.
    pub fn of(word: PathBuf) -> Keep {
        match word.to_str() {
            Some("nearest") => Keep::Nearest,
            Some("farthest") => Keep::Farthest,
            Some("first") => Keep::First,
            Some("random") => Keep::Random,
            _ => Keep::Worth(word),
        }
    }

    /// Whether it asks for the distance to the centroid.
    pub fn by_distance(&self) -> bool {
        matches!(self, Keep::Nearest | Keep::Farthest)
    }
}

/// Gives each row its rank, one after the other.
pub struct Ranking {
    keep: Keep,
    seed: u64,
    worth: Option<Rows>,
}

impl Ranking {
    /// Opens the column, where there is one.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub fn open(keep: &Keep, seed: u64) -> Result<Ranking, Failure> {
        let worth = match keep {
            Keep::Worth(path) => Some(Rows::open(std::slice::from_ref(path))?),
            _ => None,
        };
        Ok(Ranking { keep: keep.clone(), seed, worth })
    }

    /// The rank of the next row, which has this number and, where it matters, this distance: the smaller comes first.
    /// It is to be called for every row.
    ///
    /// # Errors
    /// Where the column has no number for it.
    pub fn next(&mut self, number: u64, distance: f64) -> Result<u64, Failure> {
        Ok(match self.keep {
            Keep::Nearest => ascending(distance),
            Keep::Farthest => !ascending(distance),
            Keep::First => 0,
            Keep::Random => noise_bits(self.seed, "semdedup", number),
            Keep::Worth(_) => {
                let column = self.worth.as_mut().expect("it was opened");
                let worth = column.next_or_end(|line| read_number(fields(line).next().unwrap_or_default(), 1))?;
                worth.map(by_worth).ok_or_else(|| unequal(more_than(number), "--keep", number))?
            }
        })
    }

    /// Ends with the vectors.
    ///
    /// # Errors
    /// Where the column goes on.
    pub fn end(self, vectors: u64) -> Result<(), Failure> {
        self.worth.map_or(Ok(()), |column| end(column, "--keep", vectors))
    }
}

/// Ends a column with the vectors.
///
/// # Errors
/// Where it goes on.
pub fn end(mut column: Rows, name: &str, vectors: u64) -> Result<(), Failure> {
    match column.next_or_end(|_| Ok(()))? {
        None => Ok(()),
        Some(()) => Err(unequal(vectors, name, more_than(vectors))),
    }
}

/// What to say when the vectors and a column do not end together.
pub fn unequal(vectors: impl std::fmt::Display, column: &str, rows: impl std::fmt::Display) -> Failure {
    uneven("vectors", vectors, &format!("rows of {column}"), rows)
}

/// Reads a distance.
///
/// # Errors
/// It is none.
pub fn read_distance(text: &[u8], field: usize) -> Result<f64, String> {
    let distance = read_number(text, field)?;
    if distance.is_nan() { Err(unexpected(text, field, "a distance")) } else { Ok(distance) }
}

/// What is worth most comes first, and what has no number last.
fn by_worth(worth: f64) -> u64 {
    if worth.is_nan() { u64::MAX } else { !ascending(worth) }
}

/// Whole numbers in the order of numbers that are not NaN; both zeros are one.
fn ascending(number: f64) -> u64 {
    let bits = (number + 0.0).to_bits();
    if bits >> 63 == 0 { bits | 1 << 63 } else { !bits }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_in_the_order_of_the_numbers() {
        let numbers = [f64::NEG_INFINITY, -1e300, -2.0, -1e-300, 0.0, 1e-300, 0.5, 2.0, f64::INFINITY];
        assert!(numbers.map(ascending).is_sorted_by(|a, b| a < b));
        assert!(numbers.map(by_worth).is_sorted_by(|a, b| a > b));
        assert_eq!(ascending(-0.0), ascending(0.0));
        assert!(by_worth(f64::NAN) > by_worth(f64::NEG_INFINITY));
    }

    #[test]
    fn words_are_words_and_all_else_is_a_file() {
        assert_eq!(Keep::of("first".into()), Keep::First);
        assert_eq!(Keep::of("./first".into()), Keep::Worth("./first".into()));
    }
}

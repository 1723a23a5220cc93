//! The rows of a weights column as candidates for a choice.

use crate::groups::Groups;
use pipe::column::{field, fields, more_than, read_integer, read_number, unexpected};
use pipe::cut::Standing;
use pipe::failure::Failure;
use pipe::input::Input;
use pipe::key::{gumbel, noise_bits, read_key};
use pipe::keys::KeyReader;
use pipe::lines::{Lines, Worker};
use pipe::settings::Common;
use std::cmp::Ordering;
use std::fmt::Display;
use std::ops::ControlFlow;
use std::path::Path;

/// A row that may be chosen. 24 bytes: there is one for each row of the corpus.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// The sampling key: larger is better. Never NaN, never -0.
    pub score: f64,
    /// The document's key.
    pub key: u64,
    /// Place in the column.
    pub row: u32,
    /// Length in words; [`UNKNOWN`] where the column does not say it, and nobody asks.
    pub length: u32,
}

/// The length of a row that has none.
pub const UNKNOWN: u32 = u32::MAX;

impl Candidate {
    /// Best first: larger score, then smaller key, then earlier row. No two rows are equal.
    pub fn order(&self, other: &Candidate) -> Ordering {
        self.standing().order(&other.standing())
    }

    /// What decides whether it is chosen.
    pub fn standing(&self) -> Standing {
        Standing { score: self.score, key: self.key, row: self.row }
    }
}

/// How a weight becomes a sampling key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Weight plus Gumbel noise.
    Gumbel,
    /// The weight.
    Top,
    /// The negative weight.
    Bottom,
}

/// What decides a row's sampling key, and whether it qualifies.
#[derive(Debug, Clone, PartialEq)]
pub struct Scoring {
    /// Noise or none.
    pub method: Method,
    /// Seed of the noise.
    pub seed: u64,
    /// Divides the log weights.
    pub temperature: f64,
    /// Shorter documents do not qualify.
    pub length_min: u64,
    /// Weights in a row.
    pub weights: usize,
}

/// What the noise for the weight at `place` (from 0) is drawn for.
fn purpose(place: usize) -> String {
    format!("topk-{}", place + 1)
}

impl Scoring {
    /// The noise of a document for one [`purpose`].
    fn noise(&self, purpose: &str, key: u64) -> f64 {
        if self.method == Method::Gumbel { gumbel(noise_bits(self.seed, purpose, key)) } else { 0.0 }
    }

    /// The sampling key without its noise. Adding 0 turns -0 into 0, so that equal numbers are equal.
    fn scaled(&self, weight: f64) -> f64 {
        match self.method {
            Method::Gumbel => weight / self.temperature,
            Method::Top => weight + 0.0,
            Method::Bottom => -weight + 0.0,
        }
    }
}

/// Where the documents' keys come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// A field, counted from 1.
    Field(usize),
    /// The documents.
    Documents,
    /// Nowhere: all keys are the same, so that rows decide.
    None,
}

/// In which fields, counted from 1, things are.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// The weight, or the first of several.
    pub weight: usize,
    /// The length.
    pub length: usize,
    /// Whether there must be one.
    pub needs_length: bool,
    /// The keys.
    pub keys: Keys,
    /// Whether documents are read beside the column, so that their keys are compared with its own.
    pub compares: bool,
}

/// A weights column, to be read once for each weight.
pub struct Column<'a> {
    /// The run's flags.
    pub common: &'a Common,
    /// Where it is.
    pub path: &'a Path,
    /// What is in which field.
    pub layout: Layout,
    /// How weights become sampling keys.
    pub scoring: &'a Scoring,
    /// The group of each row.
    pub groups: Option<&'a Groups>,
}

/// The rows that qualify, in order of the rows.
#[derive(Default)]
pub struct Candidates {
    /// One for each row that qualifies.
    pub list: Vec<Candidate>,
    /// All rows.
    pub rows: u64,
    /// Rows without a weight or a group.
    pub missing: u64,
    /// The key of every row, 0 where it has none; empty where nobody compares.
    pub keys: Vec<u64>,
}

impl Column<'_> {
    /// Reads the weight at `place` (from 0) of every row.
    pub fn candidates(&self, place: usize) -> Result<Candidates, Failure> {
        let compares = self.layout.compares && place == 0;
        let layout = Layout { weight: self.layout.weight + place, compares, ..self.layout };
        let input = Input::of(&[self.path.to_path_buf()], None)?;
        let worker =
            || RowReader { layout, scoring: self.scoring.clone(), purpose: purpose(place), out: Candidates::default() };
        let mut all = Candidates::default();
        Lines::new(self.common, input)
            .strict()
            .run(worker, |part| self.append(&mut all, part).map(ControlFlow::Continue))?;
        if let Some(groups) = self.groups {
            groups.check(all.rows, self.path)?;
        }
        if self.layout.keys == Keys::Documents {
            self.add_keys(&mut all, place)?;
        }
        Ok(all)
    }

    fn append(&self, all: &mut Candidates, part: Candidates) -> Result<(), Failure> {
        let before = all.rows;
        all.rows += part.rows;
        all.missing += part.missing;
        all.keys.extend(part.keys);
        if all.rows > u64::from(u32::MAX) {
            let why = "more than 4,294,967,295 rows: make a --write-cut of a sample, or choose in parts";
            return Err(Failure::file(self.path, why));
        }
        let moved =
            part.list.into_iter().map(|candidate| Candidate { row: candidate.row + before as u32, ..candidate });
        let Some(groups) = self.groups else {
            all.list.extend(moved);
            return Ok(());
        };
        for candidate in moved {
            if groups.of(candidate.row).is_some() {
                all.list.push(candidate);
            } else {
                all.missing += 1;
            }
        }
        Ok(())
    }

    /// Reads the documents for their keys, and adds the noise that goes with them.
    fn add_keys(&self, all: &mut Candidates, place: usize) -> Result<(), Failure> {
        let keys = KeyReader::new(self.common, false)?;
        let purpose = purpose(place);
        let worker = || NoiseReader { keys: keys.clone(), scoring: self.scoring.clone(), purpose: purpose.clone() };
        let mut waiting = all.list.iter_mut().peekable();
        let (mut row, rows) = (0, all.rows);
        let input = Input::open(self.common)?;
        let (tally, _) = Lines::new(self.common, input).strict().run(worker, |keys: Vec<(u64, f64)>| {
            for (key, noise) in keys {
                if let Some(candidate) = waiting.next_if(|candidate| u64::from(candidate.row) == row) {
                    candidate.key = key;
                    candidate.score += noise;
                }
                row += 1;
                if row > rows {
                    return Err(unequal(more_than(rows), rows));
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
        if tally.rows == all.rows { Ok(()) } else { Err(unequal(tally.rows, all.rows)) }
    }
}

/// What to say when documents and weights do not end together.
pub fn unequal(documents: impl Display, rows: u64) -> Failure {
    pipe::column::unequal(documents, "rows of weights", rows)
}

/// Reads rows on one thread; rows are counted from the start of the batch.
struct RowReader {
    layout: Layout,
    scoring: Scoring,
    purpose: String,
    out: Candidates,
}

impl RowReader {
    /// The length of a row, `None` where one is asked for and missing.
    fn length(&self, line: &[u8]) -> Result<Option<u32>, String> {
        let number = self.layout.length;
        if !self.layout.needs_length {
            let length = fields(line).nth(number - 1).and_then(|text| read_integer(text, number).ok()?);
            return Ok(Some(length.and_then(|length| u32::try_from(length).ok()).unwrap_or(UNKNOWN)));
        }
        let length =
            read_integer(field(line, number, "the length")?, number).map_err(|why| self.explained(why, line))?;
        let fits = |length| u32::try_from(length).map_err(|_| format!("a length of {length}: expected less than 2^32"));
        length.map(fits).transpose()
    }

    fn key(&self, line: &[u8], number: usize) -> Result<u64, String> {
        let text = field(line, number, "a key (--keys documents makes keys from the documents)")?;
        let wrong = || self.explained(unexpected(text, number, "a key of 16 hexadecimal digits"), line);
        read_key(text).ok_or_else(wrong)
    }

    /// What is wrong, and where a row has more weights than were asked for, what is missing.
    fn explained(&self, wrong: String, line: &[u8]) -> String {
        let weights = fields(line).count().saturating_sub(1 + self.layout.weight);
        match fields(line).next_back().and_then(read_key) {
            Some(_) if weights > self.scoring.weights => format!(
                "{wrong}; a column of {weights} weights takes --proportions with {weights} numbers, or the --target of \
                 each"
            ),
            _ => wrong,
        }
    }
}

impl Worker for RowReader {
    type Out = Candidates;

    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        let row = self.out.rows as u32;
        self.out.rows += 1;
        if let (Keys::Field(number), true) = (self.layout.keys, self.layout.compares) {
            self.out.keys.push(fields(line).nth(number - 1).and_then(read_key).unwrap_or(0));
        }
        let number = self.layout.weight;
        let weight = read_number(field(line, number, "a weight")?, number)?;
        if weight.is_nan() {
            self.out.missing += 1;
            return Ok(());
        }
        let Some(length) = self.length(line)? else {
            self.out.missing += 1;
            return Ok(());
        };
        if u64::from(length) < self.scoring.length_min {
            return Ok(());
        }
        let mut score = self.scoring.scaled(weight);
        let mut key = 0;
        if let Keys::Field(number) = self.layout.keys {
            key = self.key(line, number)?;
            score += self.scoring.noise(&self.purpose, key);
        }
        self.out.list.push(Candidate { score, key, row, length });
        Ok(())
    }

    fn missing(&mut self) {}

    fn take(&mut self) -> Candidates {
        std::mem::take(&mut self.out)
    }
}

/// Makes keys and their noise from documents.
struct NoiseReader {
    keys: KeyReader,
    scoring: Scoring,
    purpose: String,
}

impl Worker for NoiseReader {
    type Out = Vec<(u64, f64)>;

    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        self.keys.line(line)
    }

    fn missing(&mut self) {
        self.keys.missing();
    }

    fn take(&mut self) -> Vec<(u64, f64)> {
        let keys = self.keys.take().keys.into_iter().flatten();
        keys.map(|key| (key, self.scoring.noise(&self.purpose, key))).collect()
    }
}

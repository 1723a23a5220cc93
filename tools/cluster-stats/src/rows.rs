//! The input: rows of a column, texts of documents, clusters of other runs.

use crate::decimal::Decimal;
use crate::examples::beginning;
use crate::layout::{self, Parts, Wanted};
use crate::summary::{Known, Summary, Text};
use ngram::words::{Tokenizer, Words};
use pipe::column::{self, field, more_than, read_cluster, read_integer, uneven, unexpected};
use pipe::failure::Failure;
use pipe::key::document_key;
use pipe::lines::Worker;
use pipe::record::Reader;
use pipe::rows::Rows;
use std::fmt::Display;
use std::path::PathBuf;

/// In which fields of the column, counted from 1, things are.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// The cluster.
    pub cluster: usize,
    /// The distance.
    pub distance: usize,
    /// The length, where there is one.
    pub length: Option<usize>,
    /// Which clusters there may be.
    pub known: Known,
}

/// A row that has a cluster.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The cluster's number.
    pub cluster: u32,
    /// From its centroid.
    pub distance: Decimal,
    /// Of the document; `None`: nobody asks, or it is missing.
    pub length: Option<u64>,
}

impl Layout {
    /// Reads a row; `None`: it has no cluster.
    pub fn read(self, row: &[u8]) -> Result<Option<Row>, String> {
        let Some(cluster) = read_cluster(field(row, self.cluster, "a cluster")?, self.cluster)? else {
            return Ok(None);
        };
        self.known.check(cluster)?;
        let text = field(row, self.distance, "a distance")?;
        let distance = Decimal::parse(text);
        let distance = distance.ok_or_else(|| unexpected(text, self.distance, "a number below 10^20"))?;
        let length = self.length.map_or(Ok(None), |number| read_integer(field(row, number, "a length")?, number))?;
        Ok(Some(Row { cluster, distance, length }))
    }
}

/// Reads rows on one thread.
pub struct RowReader {
    layout: Layout,
    out: Vec<Option<Row>>,
}

impl RowReader {
    /// One for columns of this layout.
    pub fn new(layout: Layout) -> RowReader {
        RowReader { layout, out: Vec::new() }
    }
}

impl Worker for RowReader {
    type Out = Vec<Option<Row>>;

    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        self.out.push(self.layout.read(line)?);
        Ok(())
    }

    fn missing(&mut self) {}

    fn take(&mut self) -> Vec<Option<Row>> {
        std::mem::take(&mut self.out)
    }
}

/// Numbers beside the rows of clusters, one at a time.
pub struct Values {
    rows: Rows,
    /// In which field, counted from 1, the number is.
    field: usize,
}

impl Values {
    /// The numbers of a file.
    pub fn open(path: PathBuf, field: usize) -> Result<Values, Failure> {
        Ok(Values { rows: Rows::open(&[path])?, field })
    }

    /// The number of the next row; `None`: it is missing.
    pub fn next(&mut self) -> Result<Option<Decimal>, Failure> {
        let field = self.field;
        let value = self.rows.next_or_end(|row| match column::field(row, field, "a number")? {
            b"nan" => Ok(None),
            text => Decimal::parse(text).map(Some).ok_or_else(|| unexpected(text, field, "a number below 10^20")),
        })?;
        value.ok_or_else(|| unequal(more_than(self.rows.count), self.rows.count))
    }

    /// Ends with the clusters.
    pub fn end(mut self) -> Result<(), Failure> {
        let clusters = self.rows.count;
        match self.rows.next_or_end(|_| Ok(()))? {
            Some(()) => Err(unequal(clusters, more_than(clusters))),
            None => Ok(()),
        }
    }
}

fn unequal(clusters: impl Display, numbers: impl Display) -> Failure {
    uneven("rows of clusters", clusters, "rows of numbers", numbers)
}

/// The beginnings of the texts of a batch of documents, their keys and their words.
#[derive(Debug, Default)]
pub struct Texts {
    text: String,
    /// Of each; `None`: it could not be read.
    ends: Vec<Option<End>>,
}

#[derive(Debug, Clone, Copy)]
struct End {
    /// Where the beginning of the text ends.
    place: usize,
    key: u64,
    words: u64,
}

impl Texts {
    /// Each document's.
    pub fn iter(&self) -> impl Iterator<Item = Option<Text<'_>>> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            end.map(|End { place, key, words }| {
                let beginning = &self.text[start..place];
                start = place;
                Text { key, beginning, words }
            })
        })
    }
}

/// Reads documents on one thread.
pub struct TextReader {
    reader: Reader,
    chars: usize,
    /// Where words are counted.
    words: Option<Words>,
    out: Texts,
}

impl TextReader {
    /// One that takes so many characters of each, and counts the words where they are wanted; they are 0 if not.
    pub fn new(reader: Reader, chars: usize, counted: bool) -> TextReader {
        let words = counted.then(|| Words::new(Tokenizer::Words));
        TextReader { reader, chars, words, out: Texts::default() }
    }
}

impl Worker for TextReader {
    type Out = Texts;

    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        let (text, identity) = self.reader.document(line)?;
        let key = document_key(identity);
        let words = self.words.as_mut().map_or(Ok(0), |words| Ok::<_, String>(words.find(text)?.len() as u64))?;
        self.out.text.extend(beginning(text, self.chars));
        self.out.ends.push(Some(End { place: self.out.text.len(), key, words }));
        Ok(())
    }

    fn missing(&mut self) {
        self.out.ends.push(None);
    }

    fn take(&mut self) -> Texts {
        std::mem::take(&mut self.out)
    }
}

/// Reads clusters that other runs wrote, on one thread.
pub struct PartReader {
    wanted: Wanted,
    out: Vec<(u32, Summary, Parts)>,
}

impl PartReader {
    /// One for parts that show at least this.
    pub fn new(wanted: Wanted) -> PartReader {
        PartReader { wanted, out: Vec::new() }
    }
}

impl Worker for PartReader {
    type Out = Vec<(u32, Summary, Parts)>;

    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        self.out.push(layout::read(line, self.wanted)?);
        Ok(())
    }

    fn missing(&mut self) {}

    fn take(&mut self) -> Self::Out {
        std::mem::take(&mut self.out)
    }
}

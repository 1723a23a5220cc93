//! The input: rows of a column, texts of documents, clusters of other runs.

use crate::decimal::Decimal;
use crate::examples::beginning;
use crate::layout::{self, Parts, Wanted};
use crate::summary::{Known, Summary, Text};
use pipe::column::{self, field, more_than, read_cluster, uneven, unexpected};
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
    /// Which clusters there may be.
    pub known: Known,
}

/// A row: its cluster and distance; `None`: it has no cluster.
pub type Row = Option<(u32, Decimal)>;

impl Layout {
    /// Reads a row.
    pub fn read(self, row: &[u8]) -> Result<Row, String> {
        let Some(cluster) = read_cluster(field(row, self.cluster, "a cluster")?, self.cluster)? else {
            return Ok(None);
        };
        self.known.check(cluster)?;
        let text = field(row, self.distance, "a distance")?;
        let distance = Decimal::parse(text);
        let distance = distance.ok_or_else(|| unexpected(text, self.distance, "a number below 10^20"))?;
        Ok(Some((cluster, distance)))
    }
}

/// Reads rows on one thread.
pub struct RowReader {
    layout: Layout,
    out: Vec<Row>,
}

impl RowReader {
    /// One for columns of this layout.
    pub fn new(layout: Layout) -> RowReader {
        RowReader { layout, out: Vec::new() }
    }
}

impl Worker for RowReader {
    type Out = Vec<Row>;

    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        self.out.push(self.layout.read(line)?);
        Ok(())
    }

    fn missing(&mut self) {}

    fn take(&mut self) -> Vec<Row> {
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

/// The beginnings of the texts of a batch of documents, and their keys.
#[derive(Debug, Default)]
pub struct Texts {
    text: String,
    /// Where each ends, and its key; `None`: it could not be read.
    ends: Vec<Option<(usize, u64)>>,
}

impl Texts {
    /// Each document's.
    pub fn iter(&self) -> impl Iterator<Item = Option<Text<'_>>> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            end.map(|(end, key)| {
                let text = &self.text[start..end];
                start = end;
                (key, text)
            })
        })
    }
}

/// Reads documents on one thread.
pub struct TextReader {
    reader: Reader,
    chars: usize,
    out: Texts,
}

impl TextReader {
    /// One that takes so many characters of each.
    pub fn new(reader: Reader, chars: usize) -> TextReader {
        TextReader { reader, chars, out: Texts::default() }
    }
}

impl Worker for TextReader {
    type Out = Texts;

    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        let (text, identity) = self.reader.document(line)?;
        let key = document_key(identity);
        self.out.text.extend(beginning(text, self.chars));
        self.out.ends.push(Some((self.out.text.len(), key)));
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

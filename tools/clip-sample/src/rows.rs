//! The column of clusters, and the keys of the documents beside it.

use crate::census::{Cluster, read_cluster};
use crate::temporary::Spool;
use pipe::column::{fields, read_integer, read_number, unequal, unexpected};
use pipe::failure::Failure;
use pipe::input::Input;
use pipe::key::{document_key, read_key, write_key};
use pipe::lines::{Lines, Tally, Worker};
use pipe::output::Output;
use pipe::record::Reader;
use pipe::settings::Common;
use std::ops::ControlFlow;
use std::path::Path;

/// The cluster of rows that are in none.
pub const NONE: u32 = u32::MAX;

/// Distances are summed as whole multiples of 2^-60, so that the sum does not depend on the order.
const DISTANCE_ONE: f64 = (1_u64 << 60) as f64;

/// Distances are below this, so that their sum fits.
const DISTANCE_MAX: f64 = (1_u64 << 32) as f64;

/// In which fields of the column, counted from 1, things are; `None`: nobody asks.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// The cluster.
    pub cluster: usize,
    /// The distance to the centroid.
    pub distance: Option<usize>,
    /// The length in tokens.
    pub length: Option<usize>,
    /// The document's key.
    pub key: Option<usize>,
}

/// The rows of the column: 4 bytes each, 4 more with lengths, 8 more with keys.
#[derive(Default)]
pub struct Rows {
    /// The cluster of each row, or [`NONE`].
    pub clusters: Vec<u32>,
    /// The length of each row; empty where nobody asks.
    pub lengths: Vec<u32>,
    /// The key of each row; empty until they are known.
    pub keys: Vec<u64>,
    /// How many rows each cluster has, by its id.
    pub sizes: Vec<u64>,
    /// Rows without a cluster, or without a length where that is asked for.
    pub missing: u64,
    /// The sum of the distances in each cluster, by its id, as multiples of 2^-60.
    pub distances: Vec<i128>,
}

impl Rows {
    /// Reads the column.
    pub fn read(common: &Common, path: &Path, layout: Layout) -> Result<Rows, Failure> {
        let mut rows = Rows::default();
        let input = Input::of(&[path.to_path_buf()], None)?;
        let worker = || RowReader { layout, out: Part::default() };
        Lines::new(common, input).strict().run(worker, |part| rows.append(part, path).map(ControlFlow::Continue))?;
        Ok(rows)
    }

    fn append(&mut self, part: Part, path: &Path) -> Result<(), Failure> {
        if self.clusters.len() + part.clusters.len() > u32::MAX as usize {
            let why = "more than 4,294,967,295 rows: choose in parts, or --write-cut a sample's cut and apply it";
            return Err(Failure::file(path, why));
        }
        for (place, &cluster) in part.clusters.iter().enumerate() {
            if cluster == NONE {
                self.missing += 1;
                continue;
            }
            let id = cluster as usize;
            if self.sizes.len() <= id {
                self.sizes.resize(id + 1, 0);
                self.distances.resize(id + 1, 0);
            }
            self.sizes[id] += 1;
            self.distances[id] += part.distances.get(place).copied().unwrap_or(0);
        }
        self.clusters.extend(part.clusters);
        self.lengths.extend(part.lengths);
        self.keys.extend(part.keys);
        Ok(())
    }

    /// The clusters that have rows, in order of their ids; their mean distances too, if those were read.
    pub fn census(&self, with_distances: bool) -> Vec<Cluster> {
        let found = self.sizes.iter().zip(&self.distances).enumerate().filter(|(_, (size, _))| **size > 0);
        let cluster = |(id, (&size, &sum)): (usize, (&u64, &i128))| Cluster {
            id: id as u32,
            size,
            distance: with_distances.then(|| sum as f64 / DISTANCE_ONE / size as f64),
            ..Cluster::default()
        };
        found.map(cluster).collect()
    }

    /// Makes the keys from the documents; keeps a copy of these in `spool` where they come from a pipe.
    pub fn add_keys(&mut self, common: &Common, documents: Input, spool: Option<&mut Spool>) -> Result<(), Failure> {
        let reader = Reader::of_identity(common)?;
        let keep = spool.is_some();
        let worker = || KeyReader { reader: reader.clone(), keep, keys: Vec::new(), lines: Vec::new() };
        let mut spool = spool;
        let (keys, rows) = (&mut self.keys, self.clusters.len());
        keys.reserve_exact(rows);
        let (tally, _) = Lines::new(common, documents).strict().run(worker, |(part, lines): (Vec<u64>, Vec<u8>)| {
            // Keys beyond the column are counted, not kept.
            keys.extend(part.into_iter().take(rows - keys.len()));
            if let Some(spool) = &mut spool {
                spool.write(&lines)?;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        if tally.rows == rows as u64 { Ok(()) } else { Err(unequal(tally.rows, "rows of clusters", rows as u64)) }
    }
}

/// Prints the key of each document.
pub fn print_keys(common: &Common, documents: Input, mut output: Output) -> Result<Tally, Failure> {
    let reader = Reader::of_identity(common)?;
    let worker = || KeyReader { reader: reader.clone(), keep: false, keys: Vec::new(), lines: Vec::new() };
    let (tally, _) = Lines::new(common, documents).strict().run(worker, |(keys, _): (Vec<u64>, Vec<u8>)| {
        let mut text = Vec::with_capacity(17 * keys.len());
        for key in keys {
            write_key(key, &mut text);
            text.push(b'\n');
        }
        output.write(&text).map(ControlFlow::Continue)
    })?;
    Ok(tally)
}

/// What a batch of rows says.
#[derive(Default)]
struct Part {
    clusters: Vec<u32>,
    distances: Vec<i128>,
    lengths: Vec<u32>,
    keys: Vec<u64>,
}

/// Reads rows on one thread.
struct RowReader {
    layout: Layout,
    out: Part,
}

impl RowReader {
    fn field<'a>(&self, line: &'a [u8], number: usize, what: &str) -> Result<&'a [u8], String> {
        let found = fields(line).nth(number - 1);
        found.ok_or_else(|| format!("expected {what} in field {number}, found {} fields", fields(line).count()))
    }

    fn length(&self, line: &[u8]) -> Result<Option<u32>, String> {
        let Some(number) = self.layout.length else { return Ok(Some(0)) };
        let length = read_integer(self.field(line, number, "a length")?, number)?;
        let fits = |length| u32::try_from(length).map_err(|_| format!("a length of {length}: expected less than 2^32"));
        length.map(fits).transpose()
    }

    fn distance(&self, line: &[u8], number: usize) -> Result<i128, String> {
        let text = self.field(line, number, "a distance")?;
        let distance = read_number(text, number)?;
        if distance.abs() < DISTANCE_MAX {
            Ok((distance * DISTANCE_ONE).round() as i128)
        } else {
            Err(unexpected(text, number, "a distance below 4294967296"))
        }
    }

    fn key(&self, line: &[u8], number: usize) -> Result<u64, String> {
        let text = self.field(line, number, "a key")?;
        read_key(text).ok_or_else(|| unexpected(text, number, "a key of 16 hexadecimal digits"))
    }
}

impl Worker for RowReader {
    type Out = Part;

    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        let number = self.layout.cluster;
        let cluster = read_cluster(self.field(line, number, "a cluster")?, number)?;
        // What is missing needs no length, distance or key.
        let length = if cluster.is_some() { self.length(line)? } else { None };
        let there = cluster.filter(|_| length.is_some());
        self.out.clusters.push(there.unwrap_or(NONE));
        if self.layout.length.is_some() {
            self.out.lengths.push(length.unwrap_or(0));
        }
        if let Some(number) = self.layout.distance {
            self.out.distances.push(if there.is_some() { self.distance(line, number)? } else { 0 });
        }
        if let Some(number) = self.layout.key {
            self.out.keys.push(if there.is_some() { self.key(line, number)? } else { 0 });
        }
        Ok(())
    }

    fn missing(&mut self) {}

    fn take(&mut self) -> Part {
        std::mem::take(&mut self.out)
    }
}

/// Makes keys from documents, and keeps the documents where they cannot be read again.
struct KeyReader {
    reader: Reader,
    keep: bool,
    keys: Vec<u64>,
    lines: Vec<u8>,
}

impl Worker for KeyReader {
    type Out = (Vec<u64>, Vec<u8>);

    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        self.keys.push(document_key(self.reader.document(line)?.1));
        if self.keep {
            self.lines.extend_from_slice(line);
            self.lines.push(b'\n');
        }
        Ok(())
    }

    fn missing(&mut self) {}

    fn take(&mut self) -> (Vec<u64>, Vec<u8>) {
        (std::mem::take(&mut self.keys), std::mem::take(&mut self.lines))
    }
}

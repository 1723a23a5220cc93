//! The column of clusters, and the keys of the documents beside it.

use pipe::clusters::read_cluster;
use pipe::column::{field, more_than, read_integer, unequal, unexpected};
use pipe::failure::Failure;
use pipe::input::Input;
use pipe::key::read_key;
use pipe::keys::{KeyReader, Keyed};
use pipe::lines::{Lines, Worker};
use pipe::scratch::Scratch;
use pipe::settings::Common;
use std::ops::ControlFlow;
use std::path::Path;

/// The cluster of rows that are in none.
pub const NONE: u32 = u32::MAX;

/// In which fields of the column, counted from 1, things are; `None`: nobody asks.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// The cluster.
    pub cluster: usize,
    /// The length in tokens.
    pub length: Option<usize>,
    /// The document's key.
    pub key: Option<usize>,
}

/// The rows of the column: 4 bytes each, 4 more with lengths, 8 more with keys.
#[derive(Default)]
pub struct Rows {
    /// The ids of the clusters that have rows, ascending; by their places here clusters are known to all else.
    pub ids: Vec<u32>,
    /// The cluster of each row, by its place among the ids, or [`NONE`].
    pub clusters: Vec<u32>,
    /// The length of each row; empty where nobody asks.
    pub lengths: Vec<u32>,
    /// The key of each row; empty until they are known.
    pub keys: Vec<u64>,
    /// How many rows each cluster has.
    pub sizes: Vec<u64>,
    /// Rows without a cluster, or without a length where that is asked for.
    pub missing: u64,
}

impl Rows {
    /// Reads the column.
    ///
    /// # Errors
    /// It cannot be read, a row is bad, or there are 2^32 rows or more.
    pub fn read(common: &Common, path: &Path, layout: Layout) -> Result<Rows, Failure> {
        let mut rows = Rows::default();
        let input = Input::of(&[path.to_path_buf()], None)?;
        let worker = || RowReader { layout, out: Part::default() };
        Lines::new(common, input).strict().run(worker, |part| rows.append(part, path).map(ControlFlow::Continue))?;
        rows.number_clusters();
        Ok(rows)
    }

    /// Leaves out the clusters that have no rows, of which there may be millions.
    fn number_clusters(&mut self) {
        self.ids = (0..).zip(&self.sizes).filter(|(_, size)| **size > 0).map(|(id, _)| id).collect();
        let mut places = vec![NONE; self.sizes.len()];
        (0..).zip(&self.ids).for_each(|(place, &id)| places[id as usize] = place);
        self.clusters.iter_mut().filter(|id| **id != NONE).for_each(|id| *id = places[*id as usize]);
        self.sizes.retain(|&size| size > 0);
        self.sizes.shrink_to_fit();
    }

    fn append(&mut self, part: Part, path: &Path) -> Result<(), Failure> {
        if self.clusters.len() + part.clusters.len() > u32::MAX as usize {
            let why = "more than 4,294,967,295 rows: choose in parts, or --write-cut a sample's cut and apply it";
            return Err(Failure::file(path, why));
        }
        for &cluster in &part.clusters {
            if cluster == NONE {
                self.missing += 1;
                continue;
            }
            let id = cluster as usize;
            if self.sizes.len() <= id {
                self.sizes.resize(id + 1, 0);
            }
            self.sizes[id] += 1;
        }
        self.clusters.extend(part.clusters);
        self.lengths.extend(part.lengths);
        self.keys.extend(part.keys);
        Ok(())
    }

    /// Makes the keys from the documents; keeps a copy of these in `copy` where they come from a pipe.
    ///
    /// # Errors
    /// A document has no key, there are not as many documents as rows, or the copy cannot be written.
    pub fn add_keys(
        &mut self,
        common: &Common,
        documents: Input,
        mut copy: Option<&mut Scratch>,
    ) -> Result<(), Failure> {
        let reader = KeyReader::new(common, copy.is_some())?;
        let (all, rows) = (&mut self.keys, self.clusters.len());
        all.reserve_exact(rows);
        let (tally, _) = Lines::new(common, documents).strict().run(
            || reader.clone(),
            |Keyed { keys, lines }| {
                all.extend(keys.into_iter().flatten());
                if all.len() > rows {
                    return Err(unequal(more_than(rows as u64), "rows of clusters", rows));
                }
                if let Some(copy) = &mut copy {
                    copy.append(&lines)?;
                }
                Ok(ControlFlow::Continue(()))
            },
        )?;
        if tally.rows == rows as u64 { Ok(()) } else { Err(unequal(tally.rows, "rows of clusters", rows as u64)) }
    }
}

/// What a batch of rows says.
#[derive(Default)]
struct Part {
    clusters: Vec<u32>,
    lengths: Vec<u32>,
    keys: Vec<u64>,
}

/// Reads rows on one thread.
struct RowReader {
    layout: Layout,
    out: Part,
}

impl RowReader {
    fn length(&self, line: &[u8]) -> Result<Option<u32>, String> {
        let Some(number) = self.layout.length else { return Ok(Some(0)) };
        let length = read_integer(field(line, number, "a length")?, number)?;
        let fits = |length| u32::try_from(length).map_err(|_| format!("a length of {length}: expected less than 2^32"));
        length.map(fits).transpose()
    }

    fn key(&self, line: &[u8], number: usize) -> Result<u64, String> {
        let text = field(line, number, "a key")?;
        read_key(text).ok_or_else(|| unexpected(text, number, "a key of 16 hexadecimal digits"))
    }
}

impl Worker for RowReader {
    type Out = Part;

    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        let number = self.layout.cluster;
        let cluster = read_cluster(field(line, number, "a cluster")?, number)?;
        // What is missing needs no length, distance or key.
        let length = if cluster.is_some() { self.length(line)? } else { None };
        let there = cluster.filter(|_| length.is_some());
        self.out.clusters.push(there.unwrap_or(NONE));
        if self.layout.length.is_some() {
            self.out.lengths.push(length.unwrap_or(0));
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

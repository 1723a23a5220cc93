//! Letting the chosen documents through: as often as they are taken, to the part that they are in.

use crate::cut::Cut;
use crate::draws::Draws;
use crate::rows::{NONE, Rows};
use pipe::column::{more_than, unequal, unlike};
use pipe::cut::Bound;
use pipe::failure::Failure;
use pipe::folder::Folder;
use pipe::input::{Input, Source};
use pipe::key::document_key;
use pipe::lines::{Tally, split};
use pipe::output::Output;
use pipe::progress::Meter;
use pipe::record::Reader;
use pipe::settings::Common;
use std::path::Path;
use std::sync::Arc;

/// Bytes of output that are written together.
const BLOCK: usize = 1 << 20;

/// What is said of a folder for a split that holds something.
const OCCUPIED: &str = "is there and is not empty: expected a new folder";

/// What was let through.
#[derive(Debug, Default)]
pub struct Taken {
    /// Lines read.
    pub tally: Tally,
    /// Lines written, repeats counted.
    pub draws: u64,
    /// Documents that were written at least once.
    pub documents: u64,
    /// Lengths of what was written, where lengths are known.
    pub tokens: u64,
}

/// What decides.
pub struct Emission<'a> {
    /// The run's flags.
    pub common: &'a Common,
    /// The column; without keys, these come from the documents.
    pub rows: &'a Rows,
    /// Whether the keys are the column's own, so that those of the documents are compared with them.
    pub compares: bool,
    /// The bounds.
    pub cut: &'a Cut,
    /// The rings.
    pub draws: &'a Draws,
    /// How many rows stand before this shard.
    pub first_row: u64,
}

impl Emission<'_> {
    /// Lets the documents through, all of them or none where they go to a folder.
    ///
    /// # Errors
    /// A document has no key, there are not as many documents as rows, or the output cannot be written.
    pub fn run(&self, mut input: Input, mut sink: Sink) -> Result<Taken, Failure> {
        let mut meter = Meter::new(self.common, input.bytes_total);
        let mut reader = Reader::of_identity(self.common)?;
        let bounds = self.cut.bounds(&self.rows.ids);
        let mut taken = Taken::default();
        let rows = self.rows.clusters.len() as u64;
        let mut buffer = Vec::new();
        let mut source: Option<Arc<Source>> = None;
        let mut number = 0;
        while let Some(batch) = input.next(buffer)? {
            if !source.as_ref().is_some_and(|source| Arc::ptr_eq(source, &batch.source)) {
                (source, number) = (Some(batch.source.clone()), 0);
            }
            for line in split(batch.bytes()) {
                number += 1;
                if taken.tally.rows < rows {
                    let place = taken.tally.rows as usize;
                    self.line(place, line, &bounds, &mut reader, &mut sink, &mut taken).map_err(|why| match why {
                        Stop::Bad(why) => {
                            let line = batch.source.lines_before() + number;
                            Failure::work(format!("{}:{line}: {why}", batch.source.name))
                        }
                        Stop::Failed(failure) => failure,
                    })?;
                }
                taken.tally.rows += 1;
            }
            sink.flush()?;
            if taken.tally.rows > rows {
                return Err(unequal(more_than(rows), "rows of clusters", rows));
            }
            taken.tally.bytes += batch.bytes().len() as u64;
            meter.show(taken.tally.bytes, taken.tally.rows);
            buffer = batch.into_buffer();
        }
        meter.end();
        if taken.tally.rows < rows {
            return Err(unequal(taken.tally.rows, "rows of clusters", rows));
        }
        sink.finish()?;
        Ok(taken)
    }

    fn line(
        &self,
        place: usize,
        line: &[u8],
        bounds: &[Vec<Option<Bound>>],
        reader: &mut Reader,
        sink: &mut Sink,
        taken: &mut Taken,
    ) -> Result<(), Stop> {
        let cluster = self.rows.clusters[place];
        if cluster == NONE {
            return Ok(());
        }
        let key = self.key(place, line, reader).map_err(Stop::Bad)?;
        let part = self.cut.parts.of(key);
        let Some(bound) = &bounds[part][cluster as usize] else { return Ok(()) };
        let repeats = self.draws.repeats(bound, key, place as u32, self.first_row);
        if repeats > 0 {
            sink.put(part, repeats, line).map_err(Stop::Failed)?;
            taken.draws += repeats;
            taken.documents += 1;
            taken.tokens += repeats * self.rows.lengths.get(place).map_or(0, |&length| u64::from(length));
        }
        Ok(())
    }

    /// The key of the document at a place.
    fn key(&self, place: usize, line: &[u8], reader: &mut Reader) -> Result<u64, String> {
        let known = self.rows.keys.get(place).copied();
        if let Some(key) = known.filter(|_| !self.compares) {
            return Ok(key);
        }
        let key = document_key(reader.document(line)?.1);
        known.filter(|&known| known != key).map_or(Ok(key), |known| Err(unlike(known, key)))
    }
}

/// Why a line ends the run.
enum Stop {
    Bad(String),
    Failed(Failure),
}

/// Where documents go.
pub struct Sink {
    outputs: Vec<Output>,
    blocks: Vec<Vec<u8>>,
    /// The folder of the outputs, where they are files.
    folder: Option<Folder>,
}

impl Sink {
    /// Standard output, or a file for each of the names in a folder.
    ///
    /// # Errors
    /// The folder cannot be made, or holds something.
    pub fn new(folder: Option<&Path>, names: &[&str]) -> Result<Sink, Failure> {
        let folder = folder.map(|path| Folder::create(path, OCCUPIED)).transpose()?;
        let outputs = match &folder {
            None => vec![Output::stdout()],
            Some(folder) => {
                let paths = names.iter().map(|name| folder.place(Path::new(&format!("{name}.jsonl"))));
                paths.map(|path| Output::create(&path)).collect::<Result<_, _>>()?
            }
        };
        let blocks = vec![Vec::new(); outputs.len()];
        Ok(Sink { outputs, blocks, folder })
    }

    fn put(&mut self, part: usize, repeats: u64, line: &[u8]) -> Result<(), Failure> {
        for _ in 0..repeats {
            append(&mut self.outputs[part], &mut self.blocks[part], line)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        for (output, block) in self.outputs.iter_mut().zip(&mut self.blocks).filter(|(_, block)| !block.is_empty()) {
            output.write(block)?;
            block.clear();
        }
        Ok(())
    }

    /// Writes what is left, and makes the files appear.
    fn finish(mut self) -> Result<(), Failure> {
        self.flush()?;
        self.outputs.into_iter().try_for_each(Output::finish)?;
        self.folder.map_or(Ok(()), Folder::finish)
    }
}

fn append(output: &mut Output, block: &mut Vec<u8>, line: &[u8]) -> Result<(), Failure> {
    block.extend_from_slice(line);
    block.push(b'\n');
    if block.len() >= BLOCK {
        output.write(block)?;
        block.clear();
    }
    Ok(())
}

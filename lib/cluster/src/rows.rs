//! Rows that are gone over again and again: kept in memory, read again from their files, or spooled.
//!
//! Wherever they are, each pass sees the same rows under the same numbers, and what a pass makes of them does not
//! depend on the order: so the answer depends neither on memory nor on threads.

use crate::kept::Kept;
use crate::passes::{Passes, pass_through, share};
use crate::reader::{Counts, Reader};
use crate::spool::Spool;
use compute::kmeans::{Block, BlockView, block_rows};
use pipe::failure::Failure;
use std::ops::ControlFlow;

enum Storage {
    Memory(Vec<Kept>),
    Files(Box<Reader>),
    Spool(Spool),
    /// Rows that come once; the first ones are held until they are asked for.
    Once(Box<Reader>, Block),
}

/// The rows of a fit.
pub struct Rows {
    storage: Storage,
    dim: usize,
    /// What came in; complete after the first pass.
    pub counts: Counts,
    /// Passes over all rows, the first included, that read them.
    pub passes_read: u64,
    /// Bytes of the input.
    pub bytes: u64,
    /// How many rows there are at the most, where there is memory for a label of 4 bytes beside each.
    pub labels: Option<usize>,
    /// How many numbers of 4 bytes there is memory for besides, beside each of these rows.
    spare: usize,
}

/// Bytes of the label that a fit keeps beside each row.
const LABEL: u64 = 4;

/// [`Rows::labels`] of so many rows beside which there is so much memory, and what it is to spare then.
fn beside(memory: u64, rows: u64) -> (Option<usize>, usize) {
    let Some(left) = memory.checked_sub(LABEL * rows) else { return (None, 0) };
    (Some(rows as usize), usize::try_from(left / (4 * rows.max(1))).unwrap_or(usize::MAX))
}

impl Rows {
    /// Takes the rows in: up to `memory` bytes are kept. What is more is read again where that is possible (`bytes`:
    /// how many there are, where it is known before), and else goes through a temporary file.
    ///
    /// # Errors
    /// Where rows cannot be read, or are bad.
    pub fn open(mut reader: Reader, memory: u64, bytes: Option<u64>) -> Result<Rows, Failure> {
        if reader.rereadable() && bytes.is_some_and(|bytes| bytes > memory) {
            return Ok(Rows::in_files(reader, memory));
        }
        let (mut block, mut kept, mut kept_bytes, mut rows) = (Block::default(), Vec::new(), 0, 0);
        while reader.fill(&mut block, block_rows(reader.dim()))? {
            let next = Kept::take(&mut block, rows);
            rows += next.rows();
            kept_bytes += next.bytes();
            kept.push(next);
            if kept_bytes + LABEL * rows as u64 > memory {
                if !reader.rereadable() {
                    return Rows::in_spool(reader, kept, memory);
                }
                reader.rewind()?;
                return Ok(Rows::in_files(reader, memory));
            }
        }
        let (dim, bytes, counts) = (reader.dim(), reader.bytes(), reader.counts);
        let (labels, spare) = beside(memory - kept_bytes, rows as u64);
        Ok(Rows { bytes, counts, labels, spare, ..Rows::new(Storage::Memory(kept), dim) })
    }

    /// Rows that are gone over once, [in order](Rows::in_order), and kept nowhere.
    pub fn once(reader: Reader) -> Rows {
        let dim = reader.dim();
        Rows::new(Storage::Once(Box::new(reader), Block::default()), dim)
    }

    fn in_files(reader: Reader, memory: u64) -> Rows {
        let (labels, spare) = reader.rows_total().map_or((None, 0), |rows| beside(memory, rows));
        let dim = reader.dim();
        Rows { labels, spare, ..Rows::new(Storage::Files(Box::new(reader)), dim) }
    }

    fn in_spool(mut reader: Reader, kept: Vec<Kept>, memory: u64) -> Result<Rows, Failure> {
        let (dim, mut block) = (reader.dim(), Block::default());
        let mut spool = Spool::create(dim)?;
        for block in kept {
            spool.write(&block)?;
        }
        while reader.fill(&mut block, block_rows(dim))? {
            spool.write(&Kept::take(&mut block, 0))?;
        }
        let (bytes, counts) = (reader.bytes(), reader.counts);
        let (labels, spare) = beside(memory, counts.used);
        Ok(Rows { bytes, counts, labels, spare, ..Rows::new(Storage::Spool(spool), dim) })
    }

    /// How many bounds of 4 bytes a fit keeps beside each row: in all an eighth of what its values take, or what there
    /// is memory for.
    pub fn bounds(&self) -> usize {
        self.spare.min(self.dim / 8)
    }

    /// Nothing known of them yet.
    fn new(storage: Storage, dim: usize) -> Rows {
        Rows { storage, dim, counts: Counts::default(), passes_read: 0, bytes: 0, labels: None, spare: 0 }
    }

    /// The first rows, so many or all there are. The next pass begins with them again.
    ///
    /// # Errors
    /// Where rows cannot be read, or are bad.
    pub fn first(&mut self, rows: usize) -> Result<Block, Failure> {
        if let Storage::Once(reader, held) = &mut self.storage {
            reader.fill(held, rows)?;
            return Ok(held.clone());
        }
        let mut first = Block::default();
        self.in_order(rows, |block| {
            first.extend(block);
            Ok(ControlFlow::Break(()))
        })?;
        Ok(first)
    }

    /// Lets `step` see all rows in order, so many at a time; the last ones may be fewer.
    ///
    /// # Errors
    /// Where rows cannot be read, or are bad, or a step fails.
    pub fn in_order(
        &mut self,
        rows: usize,
        mut step: impl FnMut(BlockView) -> Result<ControlFlow<()>, Failure>,
    ) -> Result<(), Failure> {
        let (mut block, mut at, dim) = (Block::default(), 0, self.dim);
        loop {
            while block.rows() < rows && self.more(at, rows, &mut block)? {
                at += 1;
            }
            let count = block.rows().min(rows);
            if count == 0 || step(block.view(0).part(0..count))?.is_break() {
                break;
            }
            block.drop_first(count, dim);
        }
        if let Storage::Files(reader) | Storage::Once(reader, _) = &mut self.storage {
            (self.counts, self.bytes) = (reader.counts.clone(), reader.bytes());
        }
        Ok(())
    }

    /// Adds the next rows to a block: the `at`-th call of a pass. Reading goes on until it has `rows`. `false`: there
    /// are no more.
    fn more(&mut self, at: usize, rows: usize, block: &mut Block) -> Result<bool, Failure> {
        let before = block.rows();
        match &mut self.storage {
            Storage::Memory(kept) => {
                let Some(next) = kept.get(at) else { return Ok(false) };
                block.extend(next.view(&mut Vec::new()));
            }
            Storage::Spool(spool) => {
                if at == 0 {
                    spool.rewind()?;
                }
                spool.read(block)?;
            }
            Storage::Files(reader) => {
                if at == 0 {
                    reader.rewind()?;
                }
                reader.fill(block, rows)?;
            }
            Storage::Once(reader, held) => {
                block.extend(held.view(0));
                *held = Block::default();
                reader.fill(block, rows)?;
            }
        }
        self.passes_read += u64::from(at == 0);
        Ok(block.rows() > before)
    }

    /// Where the rows are, for the statistics.
    pub fn place(&self) -> &'static str {
        match self.storage {
            Storage::Memory(_) => "memory",
            Storage::Files(_) => "files",
            Storage::Spool(_) => "temporary file",
            Storage::Once(..) => "nowhere",
        }
    }
}

impl Passes for Rows {
    fn dim(&self) -> usize {
        self.dim
    }

    fn used(&self) -> u64 {
        self.counts.used
    }

    fn pass<S: Send, T: Send>(
        &mut self,
        states: Vec<S>,
        step: impl Fn(&mut S, BlockView) -> Result<(), Failure> + Sync,
        end: impl Fn(S) -> Result<T, Failure> + Sync,
    ) -> Result<Vec<T>, Failure> {
        let dim = self.dim;
        self.passes_read += u64::from(!matches!(self.storage, Storage::Memory(_)));
        match &mut self.storage {
            Storage::Memory(kept) => {
                let states = states.into_iter().map(|state| (state, Vec::new())).collect();
                let step = |(state, widened): &mut (S, Vec<f32>), i: usize| step(state, kept[i].view(widened));
                share(kept.len(), states, step, |(state, _)| end(state))
            }
            Storage::Files(reader) => {
                reader.rewind()?;
                let states = pass_through(|block| reader.fill(block, block_rows(dim)), states, step, end)?;
                (self.counts, self.bytes) = (reader.counts.clone(), reader.bytes());
                Ok(states)
            }
            Storage::Spool(spool) => {
                spool.rewind()?;
                pass_through(|block| spool.read(block), states, step, end)
            }
            Storage::Once(..) => unreachable!("these rows are gone over in order"),
        }
    }
}

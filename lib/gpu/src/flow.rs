//! Rows that stream through a GPU, piece by piece: two pieces are in flight, so that one is copied from pinned memory while the other is computed.

use crate::device::{Array, Device, Failure, Pinned, Stream};
use crate::kernels::{self, CANDIDATES, Found, Proposed, TILE};
use crate::kmeans::{Cuda, DeviceSums};
use compute::kmeans::Nearest;
use std::ops::Range;

/// What a thread keeps from call to call: pieces in memory of the host and of the GPU.
#[derive(Default)]
pub struct Memory {
    pub(crate) slots: Vec<Slot>,
}

impl Memory {
    /// Two pieces of so many rows, in whole tiles, of `dim` values.
    pub fn new(device: &Device, dim: usize, rows: usize) -> Result<Memory, Failure> {
        Memory::of(device, dim, rows, 2)
    }

    /// Rows of a piece.
    pub fn rows(&self) -> usize {
        self.slots.first().map_or(0, |slot| slot.capacity)
    }

    pub(crate) fn of(device: &Device, dim: usize, rows: usize, pieces: usize) -> Result<Memory, Failure> {
        let slots: Result<_, _> = (0..pieces).map(|_| Slot::new(device, dim, whole_tiles(rows))).collect();
        Ok(Memory { slots: slots? })
    }
}

/// The smallest piece there is.
pub const ROWS_MIN: usize = TILE;

/// As many rows in whole tiles, at least one tile.
pub(crate) fn whole_tiles(rows: usize) -> usize {
    (rows / TILE).max(1) * TILE
}

/// Rows go in, however many at a time, and come out again with what was found for them, in the same order, later.
pub struct Flow<'a> {
    cuda: &'a Cuda,
    sums: Option<&'a DeviceSums>,
    memory: Memory,
    /// The numbers of the rows of each piece.
    numbers: [Vec<u64>; 2],
    /// The piece that is being filled.
    filling: usize,
    looks: usize,
}

impl<'a> Flow<'a> {
    /// Through these centroids; the rows are added to `sums`, if there are any. `memory` has two pieces on the same GPU.
    pub fn new(cuda: &'a Cuda, sums: Option<&'a DeviceSums>, memory: Memory) -> Flow<'a> {
        assert_eq!(memory.slots.len(), 2, "two pieces");
        Flow { cuda, sums, memory, numbers: [const { Vec::new() }; 2], filling: 0, looks: 0 }
    }

    /// Takes rows in: of each, a number for the caller to know it by, the weight in units of 2^-20, the values. `each` gets rows
    /// that went in before, as they come out: number, weight, values, and the nearest centroid.
    ///
    /// # Panics
    /// Where there are not as many numbers as weights and rows.
    pub fn push(
        &mut self,
        numbers: &[u64],
        weights: &[u64],
        rows: &[f32],
        mut each: impl FnMut(u64, u64, &[f32], Nearest),
    ) -> Result<(), Failure> {
        let (n, dim) = (numbers.len(), self.cuda.centroids().dim);
        assert_eq!((weights.len(), rows.len()), (n, n * dim), "whole rows, a number and a weight each");
        let mut from = 0;
        while from < n {
            let (slot, held) = (&mut self.memory.slots[self.filling], &mut self.numbers[self.filling]);
            let to = n.min(from + slot.capacity - held.len());
            slot.fill(held.len(), &rows[from * dim..to * dim], Some(&weights[from..to]));
            held.extend_from_slice(&numbers[from..to]);
            from = to;
            if held.len() == slot.capacity {
                self.launch()?;
                self.emerge(&mut each)?;
            }
        }
        Ok(())
    }

    /// Lets the last rows go on their way, without waiting for them.
    pub fn end(mut self) -> Result<Ending<'a>, Failure> {
        self.launch()?;
        Ok(Ending(self))
    }

    /// Queues the piece that was filled; the other one is filled next.
    fn launch(&mut self) -> Result<(), Failure> {
        let rows = self.numbers[self.filling].len();
        if rows > 0 {
            self.memory.slots[self.filling].launch(self.cuda, 0..rows, true, self.sums)?;
            self.filling = 1 - self.filling;
        }
        Ok(())
    }

    /// Waits for the piece that is to be filled next, and hands its rows out.
    fn emerge(&mut self, each: &mut impl FnMut(u64, u64, &[f32], Nearest)) -> Result<(), Failure> {
        let (slot, numbers) = (&mut self.memory.slots[self.filling], &mut self.numbers[self.filling]);
        self.looks += slot.wait()?;
        let rows = slot.rows_here.chunks_exact(self.cuda.centroids().dim).zip(slot.weights_here.iter());
        for ((&number, (row, &weight)), found) in numbers.iter().zip(rows).zip(slot.found()) {
            each(number, weight, row, found);
        }
        numbers.clear();
        Ok(())
    }
}

/// The last rows are on their way.
pub struct Ending<'a>(Flow<'a>);

impl Ending<'_> {
    /// Waits for them. Gives the memory back, and how many rows of the flow had several candidates.
    pub fn finish(self, mut each: impl FnMut(u64, u64, &[f32], Nearest)) -> Result<(Memory, usize), Failure> {
        let Ending(mut flow) = self;
        // The older piece first.
        for _ in 0..2 {
            flow.emerge(&mut each)?;
            flow.filling = 1 - flow.filling;
        }
        Ok((flow.memory, flow.looks))
    }
}

/// A piece.
pub(crate) struct Slot {
    /// First, so that it is dropped first, and waits before the rest is freed.
    stream: Stream,
    pub(crate) capacity: usize,
    rows_here: Pinned<f32>,
    weights_here: Pinned<u64>,
    cluster_here: Pinned<u32>,
    distance_here: Pinned<f64>,
    /// Rows with several candidates, and rows that sums could not take, of all pieces so far.
    looks_here: Pinned<u32>,
    outliers_here: Pinned<u32>,
    rows: Array<f32>,
    weights: Array<u64>,
    proposed: Proposed,
    found: Found,
    looks: Array<u32>,
    looks_before: u32,
    /// Which rows of a call are in flight.
    pending: Option<Range<usize>>,
}

impl Slot {
    fn new(device: &Device, dim: usize, capacity: usize) -> Result<Slot, Failure> {
        Ok(Slot {
            stream: device.stream()?,
            capacity,
            rows_here: device.pinned(capacity * dim)?,
            weights_here: device.pinned(capacity)?,
            cluster_here: device.pinned(capacity)?,
            distance_here: device.pinned(capacity)?,
            looks_here: device.pinned(1)?,
            outliers_here: device.pinned(1)?,
            rows: device.array(capacity * dim)?,
            weights: device.array(capacity)?,
            proposed: Proposed {
                rounded: device.array(capacity * dim.next_multiple_of(kernels::STEP))?,
                row_norms: device.array(capacity)?,
                windows: device.array(capacity)?,
                counts: device.array(capacity)?,
                ids: device.array(capacity * CANDIDATES)?,
            },
            found: Found { cluster: device.array(capacity)?, distance: device.array(capacity)? },
            looks: device.array(1)?,
            looks_before: 0,
            pending: None,
        })
    }

    /// Puts rows behind the first `at`.
    pub(crate) fn fill(&mut self, at: usize, rows: &[f32], weights: Option<&[u64]>) {
        assert!(self.pending.is_none(), "the rows before are out");
        let dim = self.rows.len() / self.capacity;
        self.rows_here[at * dim..][..rows.len()].copy_from_slice(rows);
        if let Some(weights) = weights {
            self.weights_here[at..][..weights.len()].copy_from_slice(weights);
        }
    }

    /// Queues everything for the first rows of the piece, those of this range of a call.
    pub(crate) fn launch(
        &mut self,
        cuda: &Cuda,
        range: Range<usize>,
        weighted: bool,
        sums: Option<&DeviceSums>,
    ) -> Result<(), Failure> {
        assert!(self.pending.is_none() && range.len() <= self.capacity);
        let shape = cuda.shape(range.len());
        self.pending = Some(range);
        let stream = &self.stream;
        // SAFETY: what is queued on the slot's own arrays is waited for by `wait`, or by dropping the slot, before anyone else touches them.
        // Centroids and sums are borrowed by whoever holds the slot, who waits, or after a failure drops it, before they end.
        unsafe {
            stream.upload(&self.rows_here[..shape.n * shape.dim], &mut self.rows)?;
            kernels::prepare(stream, shape, &self.rows, cuda.rounded(), &self.proposed)?;
            kernels::propose(stream, shape, cuda.rounded(), &self.proposed)?;
            kernels::decide(stream, shape, &self.rows, cuda.exact(), &self.proposed, &self.found, &self.looks)?;
            if let Some(sums) = sums {
                let norms = &self.proposed.row_norms;
                if weighted {
                    stream.upload(&self.weights_here[..shape.n], &mut self.weights)?;
                }
                let weights = weighted.then_some(&self.weights);
                kernels::sums_add(stream, shape, &self.rows, &self.found, norms, weights, sums.kernel())?;
                stream.download(&sums.kernel().outliers, &mut self.outliers_here)?;
            }
            stream.download(&self.found.cluster, &mut self.cluster_here[..shape.n])?;
            stream.download(&self.found.distance, &mut self.distance_here[..shape.n])?;
            stream.download(&self.looks, &mut self.looks_here)
        }
    }

    /// Waits for the piece in flight, if there is one. Returns how many of its rows had several candidates.
    fn wait(&mut self) -> Result<usize, Failure> {
        if self.pending.is_none() {
            return Ok(0);
        }
        self.stream.wait()?;
        self.pending = None;
        let looks = self.looks_here[0].wrapping_sub(self.looks_before);
        self.looks_before = self.looks_here[0];
        Ok(looks as usize)
    }

    /// What was found for each row of the piece, as far as it was filled.
    fn found(&self) -> impl Iterator<Item = Nearest> {
        let columns = self.cluster_here.iter().zip(self.distance_here.iter());
        columns.map(|(&cluster, &distance)| Nearest { cluster, distance })
    }

    /// Waits for the piece in flight, if there is one, and writes what was found. Returns how many rows had several candidates.
    pub(crate) fn finish(&mut self, found: &mut [Nearest]) -> Result<usize, Failure> {
        let Some(range) = self.pending.clone() else { return Ok(0) };
        let looks = self.wait()?;
        found[range].iter_mut().zip(self.found()).for_each(|(place, found)| *place = found);
        Ok(looks)
    }

    /// Rows that the sums of the last piece could not take, and those of other pieces before.
    pub(crate) fn outliers(&self) -> u32 {
        self.outliers_here[0]
    }
}

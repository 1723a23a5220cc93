//! Rows that stream through a GPU, piece by piece: two pieces are in flight, so that one is copied from pinned memory
//! while the other is computed.

use crate::device::{Array, Device, Failure, Pinned, Stream};
use crate::kernels::{self, Found, Proposed};
use crate::kmeans::{Cuda, DeviceSums};
use crate::modules::{CANDIDATES, STEP, TILE};
use compute::kmeans::{Assigned, BlockView, Nearest};
use std::sync::Arc;

/// Two pieces, each in pinned memory of the host and in memory of the GPU: what a thread needs for a [`Flow`].
pub struct Buffers {
    pieces: [Piece; 2],
}

impl Buffers {
    /// Pieces of so many rows of `dim` values, in whole tiles, at least one.
    ///
    /// # Errors
    /// Where the GPU fails; `out_of_memory` where fewer rows might do.
    pub fn new(device: &Device, dim: usize, rows: usize) -> Result<Buffers, Failure> {
        let rows = whole_tiles(rows);
        Ok(Buffers { pieces: [Piece::new(device, dim, rows)?, Piece::new(device, dim, rows)?] })
    }

    /// Rows of a piece, and values of a row.
    pub fn shape(&self) -> (usize, usize) {
        let piece = &self.pieces[0];
        (piece.capacity, piece.rows.len() / piece.capacity)
    }
}

/// The smallest piece there is.
pub const ROWS_MIN: usize = TILE;

/// As many rows in whole tiles, at least one tile.
pub fn whole_tiles(rows: usize) -> usize {
    (rows / TILE).max(1) * TILE
}

/// Rows go in, however many at a time, and come out again with the nearest centroid, in the same order, later.
pub struct Flow {
    /// First, so that they are dropped first: that waits for what is still queued, while all that it works on is alive.
    buffers: Buffers,
    cuda: Arc<Cuda>,
    sums: Option<Arc<DeviceSums>>,
    /// The numbers of the rows of each piece.
    numbers: [Vec<u64>; 2],
    /// The piece that is being filled.
    filling: usize,
    reranked: u64,
}

impl Flow {
    /// Through these centroids; the rows are added to `sums`, if there are any. The buffers are on the same GPU.
    ///
    /// # Panics
    /// Where the buffers are for rows of another dimension.
    pub fn new(cuda: Arc<Cuda>, sums: Option<Arc<DeviceSums>>, buffers: Buffers) -> Flow {
        assert_eq!(buffers.shape().1, cuda.centroids().dim, "buffers for such rows");
        Flow { buffers, cuda, sums, numbers: [const { Vec::new() }; 2], filling: 0, reranked: 0 }
    }

    /// Takes rows in. `each` gets rows that went in before, as they come out.
    ///
    /// # Errors
    /// Where the GPU fails.
    ///
    /// # Panics
    /// Where rows have not as many values as the centroids.
    pub fn push(&mut self, rows: BlockView, mut each: impl FnMut(Assigned)) -> Result<(), Failure> {
        let n = rows.len();
        assert_eq!(rows.values.len(), n * self.cuda.centroids().dim, "whole rows");
        let mut from = 0;
        while from < n {
            let (piece, numbers) = (&mut self.buffers.pieces[self.filling], &mut self.numbers[self.filling]);
            let to = n.min(from + piece.capacity - numbers.len());
            piece.fill(numbers.len(), rows.part(from..to));
            numbers.extend_from_slice(&rows.numbers[from..to]);
            from = to;
            if numbers.len() == piece.capacity {
                self.launch()?;
                self.emerge(&mut each)?;
            }
        }
        Ok(())
    }

    /// Waits until all rows are out.
    ///
    /// # Errors
    /// Where the GPU fails.
    pub fn flush(&mut self, mut each: impl FnMut(Assigned)) -> Result<(), Failure> {
        self.launch()?;
        // The older piece first.
        for _ in 0..2 {
            self.emerge(&mut each)?;
            self.filling = 1 - self.filling;
        }
        Ok(())
    }

    /// How many of the rows that came out since the last call were re-ranked: those with several candidates.
    pub fn take_reranked(&mut self) -> u64 {
        std::mem::take(&mut self.reranked)
    }

    /// Gives the buffers back.
    ///
    /// # Panics
    /// Where rows are still on their way.
    pub fn end(self) -> Buffers {
        assert!(self.numbers.iter().all(Vec::is_empty), "the flow was flushed");
        self.buffers
    }

    /// Queues the piece that was filled; the other one is filled next.
    fn launch(&mut self) -> Result<(), Failure> {
        let rows = self.numbers[self.filling].len();
        if rows > 0 {
            self.buffers.pieces[self.filling].launch(&self.cuda, rows, self.sums.as_deref())?;
            self.filling = 1 - self.filling;
        }
        Ok(())
    }

    /// Waits for the piece that is to be filled next, and gives its rows out.
    fn emerge(&mut self, each: &mut impl FnMut(Assigned)) -> Result<(), Failure> {
        let (piece, numbers) = (&mut self.buffers.pieces[self.filling], &mut self.numbers[self.filling]);
        self.reranked += piece.wait()?;
        let outliers = piece.outliers_here[0] > 0;
        let rows = piece.rows_here.chunks_exact(self.cuda.centroids().dim).zip(piece.weights_here.iter());
        for ((&number, (row, &weight)), nearest) in numbers.iter().zip(rows).zip(piece.nearest()) {
            // Which of all rows so far they are, the GPU does not say.
            let summable = !outliers || self.sums.as_ref().is_none_or(|sums| sums.can_take(row, weight));
            each(Assigned { number, weight, row, nearest: &[nearest], summable });
        }
        numbers.clear();
        Ok(())
    }
}

/// Rows that are computed together.
struct Piece {
    /// First, so that it is dropped first, and waits before the rest is freed.
    stream: Stream,
    capacity: usize,
    rows_here: Pinned<f32>,
    weights_here: Pinned<u64>,
    cluster_here: Pinned<u32>,
    distance_here: Pinned<f64>,
    /// Rows that were re-ranked, and rows that sums could not take, of all pieces so far.
    reranked_here: Pinned<u32>,
    outliers_here: Pinned<u32>,
    rows: Array<f32>,
    weights: Array<u64>,
    proposed: Proposed,
    found: Found,
    reranked: Array<u32>,
    reranked_before: u32,
    in_flight: bool,
}

impl Piece {
    fn new(device: &Device, dim: usize, capacity: usize) -> Result<Piece, Failure> {
        Ok(Piece {
            stream: device.stream()?,
            capacity,
            rows_here: device.pinned(capacity * dim)?,
            weights_here: device.pinned(capacity)?,
            cluster_here: device.pinned(capacity)?,
            distance_here: device.pinned(capacity)?,
            reranked_here: device.pinned(1)?,
            outliers_here: device.pinned(1)?,
            rows: device.array(capacity * dim)?,
            weights: device.array(capacity)?,
            proposed: Proposed {
                rounded: device.array(capacity * dim.next_multiple_of(STEP))?,
                row_norms: device.array(capacity)?,
                windows: device.array(capacity)?,
                counts: device.array(capacity)?,
                ids: device.array(capacity * CANDIDATES)?,
            },
            found: Found { cluster: device.array(capacity)?, distance: device.array(capacity)? },
            reranked: device.array(1)?,
            reranked_before: 0,
            in_flight: false,
        })
    }

    /// Puts rows after the first `at`.
    fn fill(&mut self, at: usize, rows: BlockView) {
        assert!(!self.in_flight, "the rows before are out");
        let dim = self.rows.len() / self.capacity;
        self.rows_here[at * dim..][..rows.values.len()].copy_from_slice(rows.values);
        self.weights_here[at..][..rows.len()].copy_from_slice(rows.weights);
    }

    /// Queues everything for the first `n` rows of the piece.
    fn launch(&mut self, cuda: &Cuda, n: usize, sums: Option<&DeviceSums>) -> Result<(), Failure> {
        assert!(!self.in_flight && n <= self.capacity);
        let shape = cuda.shape(n);
        self.in_flight = true;
        let stream = &self.stream;
        // SAFETY: what is queued on the piece's own arrays is waited for by `wait`, or by dropping the piece, before
        // anyone else touches them. Centroids and sums are kept alive by the flow, which drops its pieces first.
        unsafe {
            stream.upload(&self.rows_here[..shape.n * shape.dim], &mut self.rows)?;
            kernels::prepare(stream, shape, &self.rows, cuda.rounded(), &self.proposed)?;
            kernels::propose(stream, shape, cuda.rounded(), &self.proposed)?;
            kernels::decide(stream, shape, &self.rows, cuda.exact(), &self.proposed, &self.found, &self.reranked)?;
            if let Some(sums) = sums {
                stream.upload(&self.weights_here[..shape.n], &mut self.weights)?;
                let (norms, weights) = (&self.proposed.row_norms, Some(&self.weights));
                kernels::sums_add(stream, shape, &self.rows, &self.found, norms, weights, sums.kernel())?;
                stream.download(&sums.kernel().outliers, &mut self.outliers_here)?;
            }
            stream.download(&self.found.cluster, &mut self.cluster_here[..shape.n])?;
            stream.download(&self.found.distance, &mut self.distance_here[..shape.n])?;
            stream.download(&self.reranked, &mut self.reranked_here)
        }
    }

    /// Waits for the piece if it is in flight. Returns how many of its rows were re-ranked.
    fn wait(&mut self) -> Result<u64, Failure> {
        if !self.in_flight {
            return Ok(0);
        }
        self.stream.wait()?;
        self.in_flight = false;
        let reranked = self.reranked_here[0].wrapping_sub(self.reranked_before);
        self.reranked_before = self.reranked_here[0];
        Ok(u64::from(reranked))
    }

    /// What was found for each row of the piece, as far as it was filled.
    fn nearest(&self) -> impl Iterator<Item = Nearest> {
        let columns = self.cluster_here.iter().zip(self.distance_here.iter());
        columns.map(|(&cluster, &distance)| Nearest { cluster, distance })
    }
}

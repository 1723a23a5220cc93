//! Clusters, one after another, each in the order of its ranks: of every row, the one before it that is most like it.
//!
//! As many rows as memory takes are a chunk: whole clusters, and the beginning of one more. Each cluster of a chunk is
//! cut into pieces, which become tables; its rows, in groups, go over the pieces up to their own. The rest of the last
//! cluster goes over its pieces as it comes, and into a temporary file with what was found so far; then it is a cluster
//! of its own, to which the same is done. So no cluster is too large, no row is read out of order, and what is found
//! depends on none of this: pieces come in the order of ranks, and only what is more like takes another's place.

use crate::KEY;
use crate::sorter::{Cursor, Sorted, Sorter};
use cluster::passes::share;
use compute::kmeans::{Alike, Earlier, GROUP, Scratch as Working};
use pipe::failure::Failure;
use pipe::scratch::Scratch;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Rows of a piece: the larger, the less time goes into packing rows for it; the smaller, the less into products with
/// rows that do not come before. A multiple of [`GROUP`].
const PIECE: usize = 8 * GROUP;

/// Bytes of a row beside its values, here and in the table that it becomes a part of.
const BESIDE: u64 = 100;

/// Where rows come from: by cluster, and within one by rank.
trait Source {
    /// The cluster of the next row; `None`: there is none.
    fn cluster(&self) -> Option<u32>;

    /// Moves the next row into a chunk. Fails where it cannot be read.
    fn take(&mut self, chunk: &mut Chunk) -> Result<(), Failure>;
}

/// Rows, with what was found for them.
#[derive(Default)]
struct Chunk {
    numbers: Vec<u64>,
    values: Vec<f32>,
    found: Vec<Alike>,
    /// The rows of each cluster, and its number.
    clusters: Vec<(Range<usize>, u32)>,
}

impl Chunk {
    /// The next rows, so many at the most.
    fn of(source: &mut dyn Source, rows_max: usize) -> Result<Chunk, Failure> {
        let mut chunk = Chunk::default();
        while let Some(cluster) = source.cluster()
            && chunk.numbers.len() < rows_max
        {
            chunk.take(source, cluster)?;
        }
        Ok(chunk)
    }

    /// The next rows of one cluster, so many at the most, in place of those that were here.
    fn refill(&mut self, source: &mut dyn Source, cluster: u32, rows_max: usize) -> Result<bool, Failure> {
        self.numbers.clear();
        self.values.clear();
        self.found.clear();
        self.clusters.clear();
        while source.cluster() == Some(cluster) && self.numbers.len() < rows_max {
            self.take(source, cluster)?;
        }
        Ok(!self.numbers.is_empty())
    }

    fn take(&mut self, source: &mut dyn Source, cluster: u32) -> Result<(), Failure> {
        source.take(self)?;
        let rows = self.numbers.len();
        match self.clusters.last_mut() {
            Some((range, last)) if *last == cluster => range.end = rows,
            _ => self.clusters.push((rows - 1..rows, cluster)),
        }
        Ok(())
    }

    /// The ranges of the pieces.
    fn cuts(&self) -> Vec<Range<usize>> {
        let cut = |(range, _): &(Range<usize>, u32)| {
            let end = range.end;
            range.clone().step_by(PIECE).map(move |start| start..end.min(start + PIECE))
        };
        self.clusters.iter().flat_map(cut).collect()
    }
}

impl Source for Sorted<KEY> {
    fn cluster(&self) -> Option<u32> {
        self.key().map(|key| u32::from_be_bytes(key[..4].try_into().expect("4 bytes")))
    }

    fn take(&mut self, chunk: &mut Chunk) -> Result<(), Failure> {
        let key = self.key().expect("there is a next row");
        chunk.numbers.push(u64::from_be_bytes(key[KEY - 8..].try_into().expect("8 bytes")));
        chunk.found.push(Alike::NONE);
        self.next(|bytes| chunk.values.extend(bytes.as_chunks().0.iter().map(|&value| f32::from_le_bytes(value))))
    }
}

/// The rest of a cluster, in a temporary file: of each row its number, what was found, its values.
struct Rest {
    cluster: u32,
    file: Scratch,
    rows: usize,
    buffer: Vec<u8>,
    cursor: Cursor,
}

/// Bytes before the values.
const HEAD: usize = 24;

impl Rest {
    fn new(cluster: u32) -> Result<Rest, Failure> {
        Ok(Rest { cluster, file: Scratch::new()?, rows: 0, buffer: Vec::new(), cursor: Cursor::new(1, 0, 0, 1) })
    }

    fn append(&mut self, chunk: &Chunk, dim: usize) -> Result<(), Failure> {
        self.buffer.clear();
        for (i, row) in chunk.values.chunks_exact(dim).enumerate() {
            self.buffer.extend_from_slice(&chunk.numbers[i].to_le_bytes());
            self.buffer.extend_from_slice(&chunk.found[i].score.to_le_bytes());
            self.buffer.extend_from_slice(&chunk.found[i].number.to_le_bytes());
            self.buffer.extend(row.iter().flat_map(|value| value.to_le_bytes()));
        }
        self.rows += chunk.numbers.len();
        self.file.append(&self.buffer).map(drop)
    }

    /// What was appended, to be read.
    fn begin(mut self, dim: usize) -> Result<Rest, Failure> {
        self.cursor = Cursor::new(HEAD + 4 * dim, 0, self.rows, READ);
        self.buffer = Vec::new();
        self.cursor.advance(&self.file).map(|_| self)
    }
}

/// Bytes of the rest of a cluster that are read together.
const READ: usize = 1 << 20;

impl Source for Rest {
    fn cluster(&self) -> Option<u32> {
        (self.rows > 0).then_some(self.cluster)
    }

    fn take(&mut self, chunk: &mut Chunk) -> Result<(), Failure> {
        let (head, values) = self.cursor.record().split_at(HEAD);
        let part = |at: usize| head[at..at + 8].try_into().expect("8 bytes");
        chunk.numbers.push(u64::from_le_bytes(part(0)));
        chunk.found.push(Alike { score: f64::from_le_bytes(part(8)), number: u64::from_le_bytes(part(16)) });
        chunk.values.extend(values.as_chunks().0.iter().map(|&value| f32::from_le_bytes(value)));
        self.rows -= 1;
        self.cursor.advance(&self.file).map(drop)
    }
}

/// Goes through the clusters.
pub struct Search {
    dim: usize,
    threads: usize,
    /// Rows of a chunk at the most, and of what goes over its pieces at a time.
    rows_max: usize,
    block_rows: usize,
    /// Rows that the fast pass left several candidates, once for each piece.
    pub reranked: u64,
    /// Rows that went over a piece, once for each.
    pub passed: u64,
    /// Clusters.
    pub clusters: u64,
}

impl Search {
    /// In about so much memory.
    pub fn new(dim: usize, threads: usize, memory: u64) -> Search {
        // Values are held once here, once in the table's rows, and once or half in what it computes with.
        let row = 12 * dim as u64 + BESIDE;
        let rows = usize::try_from(memory / row).unwrap_or(usize::MAX);
        // With fewer rows at a time, starting threads would be most of the work.
        let (rows_max, block_rows) = ((rows / 4 * 3).max(16), (rows / 4).clamp(64, 1 << 16));
        Search { dim, threads, rows_max, block_rows, reranked: 0, passed: 0, clusters: 0 }
    }

    /// Finds the row that is most like each, and adds it to the results. `seen` is told how many rows are done.
    ///
    /// # Errors
    /// Those of temporary files, and where threads cannot be started.
    pub fn run(
        &mut self,
        sorted: &mut Sorted<KEY>,
        results: &mut Sorter<8>,
        mut seen: impl FnMut(u64),
    ) -> Result<(), Failure> {
        let (mut rest, mut done) = (None, 0);
        loop {
            let chunk = match &mut rest {
                Some(rest) => Chunk::of(rest, self.rows_max)?,
                None => Chunk::of(sorted, self.rows_max)?,
            };
            if chunk.numbers.is_empty() {
                return Ok(());
            }
            done += chunk.numbers.len() as u64;
            self.clusters += chunk.clusters.len() as u64 - u64::from(rest.is_some());
            rest = match &mut rest {
                Some(rest) => self.round(chunk, rest, results)?,
                None => self.round(chunk, sorted, results)?,
            };
            seen(done);
        }
    }

    /// Does a chunk; what comes behind it in its last cluster is the next rest.
    fn round(
        &mut self,
        mut chunk: Chunk,
        source: &mut dyn Source,
        results: &mut Sorter<8>,
    ) -> Result<Option<Rest>, Failure> {
        let cuts = chunk.cuts();
        let pieces = self.tables(&chunk, &cuts)?;
        self.within(&mut chunk, &cuts, &pieces)?;
        chunk.report(self.dim, results)?;
        let (range, cluster) = chunk.clusters.last().cloned().expect("a chunk has rows");
        if source.cluster() != Some(cluster) {
            return Ok(None);
        }
        let own = cuts.iter().position(|cut| cut.start >= range.start).expect("it was cut");
        let (mut rest, mut block) = (Rest::new(cluster)?, chunk);
        while block.refill(source, cluster, self.block_rows)? {
            self.beyond(&mut block, &pieces[own..])?;
            rest.append(&block, self.dim)?;
        }
        drop(pieces);
        rest.begin(self.dim).map(Some)
    }

    /// The table of each piece.
    fn tables(&self, chunk: &Chunk, cuts: &[Range<usize>]) -> Result<Vec<Earlier>, Failure> {
        let dim = self.dim;
        let make = |made: &mut Vec<(usize, Earlier)>, i: usize| {
            let Range { start, end } = cuts[i];
            made.push((i, Earlier::new(dim, &chunk.values[start * dim..end * dim], &chunk.numbers[start..end])));
            Ok(())
        };
        let states = (0..self.threads.min(cuts.len())).map(|_| Vec::new()).collect();
        let mut made: Vec<_> = share(cuts.len(), states, make, Ok)?.into_iter().flatten().collect();
        made.sort_unstable_by_key(|&(i, _)| i);
        Ok(made.into_iter().map(|(_, piece)| piece).collect())
    }

    /// Holds the rows of a chunk against those of it that come before.
    fn within(&mut self, chunk: &mut Chunk, cuts: &[Range<usize>], pieces: &[Earlier]) -> Result<(), Failure> {
        let Chunk { values, found, clusters, .. } = chunk;
        let firsts = clusters.iter().map(|(range, _)| range.start);
        let firsts: Vec<usize> = firsts.map(|start| cuts.partition_point(|cut| cut.start < start)).collect();
        let cluster_of = |piece: usize| firsts[firsts.partition_point(|&first| first <= piece) - 1];
        // A group belongs to one piece.
        let groups: Vec<(usize, Range<usize>)> = (0..cuts.len())
            .flat_map(|piece| {
                let end = cuts[piece].end;
                cuts[piece].clone().step_by(GROUP).map(move |start| (piece, start..end.min(start + GROUP)))
            })
            .collect();
        let places = split(found, groups.iter().map(|(_, rows)| rows.len()));
        self.spread(&places, |i, found, working| {
            let (own, rows) = &groups[i];
            let values = &values[rows.start * self.dim..rows.end * self.dim];
            let before = pieces[cluster_of(*own)..*own].iter();
            let reranked: usize = before.map(|piece| piece.pass(values, found, working)).sum();
            let passed = (own - cluster_of(*own) + 1) * found.len();
            (reranked + pieces[*own].pass_own(values, rows.start - cuts[*own].start, found, working), passed)
        })
        .map(|(reranked, passed)| self.count(reranked, passed))
    }

    /// Holds rows that come behind some pieces against them.
    fn beyond(&mut self, block: &mut Chunk, pieces: &[Earlier]) -> Result<(), Failure> {
        let Chunk { values, found, .. } = block;
        let lengths = values.chunks(GROUP * self.dim).map(|group| group.len() / self.dim);
        let places = split(found, lengths);
        self.spread(&places, |i, found, working| {
            let values = &values[i * GROUP * self.dim..][..found.len() * self.dim];
            let reranked = pieces.iter().map(|piece| piece.pass(values, found, working)).sum();
            (reranked, pieces.len() * found.len())
        })
        .map(|(reranked, passed)| self.count(reranked, passed))
    }

    fn count(&mut self, reranked: usize, passed: usize) {
        self.reranked += reranked as u64;
        self.passed += passed as u64;
    }

    /// Does all groups, on several threads, each of which takes the next; the sums of what `work` returns.
    fn spread(
        &self,
        places: &[Mutex<&mut [Alike]>],
        work: impl Fn(usize, &mut [Alike], &mut Working) -> (usize, usize) + Sync,
    ) -> Result<(usize, usize), Failure> {
        let states = (0..self.threads.min(places.len())).map(|_| (Working::default(), (0, 0))).collect();
        let step = |(working, sum): &mut (Working, (usize, usize)), i: usize| {
            let mut found = places[i].lock().unwrap_or_else(PoisonError::into_inner);
            let (reranked, passed) = work(i, &mut found, working);
            *sum = (sum.0 + reranked, sum.1 + passed);
            Ok(())
        };
        let sums = share(places.len(), states, step, |(_, sum)| Ok(sum))?;
        Ok(sums.into_iter().fold((0, 0), |all, sum| (all.0 + sum.0, all.1 + sum.1)))
    }
}

impl Chunk {
    /// Adds what was found to the results.
    fn report(&self, dim: usize, results: &mut Sorter<8>) -> Result<(), Failure> {
        for (i, row) in self.values.chunks_exact(dim).enumerate() {
            let found = self.found[i];
            results.add(self.numbers[i].to_be_bytes(), |to| {
                to.extend_from_slice(&found.cosine(row).to_le_bytes());
                to.extend_from_slice(&found.number.to_le_bytes());
            })?;
        }
        Ok(())
    }
}

/// Parts of these lengths.
fn split(mut found: &mut [Alike], lengths: impl Iterator<Item = usize>) -> Vec<Mutex<&mut [Alike]>> {
    lengths
        .map(|length| {
            let (part, rest) = std::mem::take(&mut found).split_at_mut(length);
            found = rest;
            Mutex::new(part)
        })
        .collect()
}

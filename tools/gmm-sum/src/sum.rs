//! What vectors add up to, by component.

use cluster::blocks::PlacedBlock;
use cluster::vector::check;
use compute::kmeans::{self, Assigner, BlockView, Metric, Nearest};
use compute::mixture::{Adder, Cpu, Origin, Posterior, Scratch};
use mixture::sums::OUTLIER;
use pipe::crew::Hand;
use pipe::failure::Failure;
use pipe::lines::Tally;
use pipe::settings::OnError;
use std::convert::Infallible;
use std::sync::Arc;

/// What rows are held against.
pub enum Held {
    /// The components of a mixture.
    Mixture(Arc<Cpu>, Scratch),
    /// Centroids: a row is in one cluster alone.
    Centroids(Arc<kmeans::Cpu>, Box<kmeans::Scratch>),
}

impl Held {
    /// A mixture.
    pub fn mixture(cpu: Arc<Cpu>) -> Held {
        Held::Mixture(cpu, Scratch::default())
    }

    /// Centroids.
    pub fn centroids(cpu: Arc<kmeans::Cpu>) -> Held {
        Held::Centroids(cpu, Box::default())
    }

    /// Shows each row with where it may come from.
    fn each(&mut self, block: BlockView, mut see: impl FnMut(u64, &[f32], &Posterior)) {
        match self {
            Held::Mixture(cpu, scratch) => {
                let show = |i: usize, row: &[f32], found: &Posterior| {
                    see(block.numbers[i], row, found);
                    Ok::<_, Infallible>(())
                };
                let Ok(_) = cpu.posteriors(block.values, scratch, show);
            }
            Held::Centroids(cpu, scratch) => {
                let mut nearest = vec![Nearest::MISSING; block.len()];
                cpu.nearest(block.values, &mut nearest, scratch);
                for ((number, _, row), nearest) in block.rows().zip(nearest) {
                    see(number, row, &Posterior { log_likelihood: 0.0, parts: vec![(nearest.cluster, 1.0)] });
                }
            }
        }
    }
}

/// Adds blocks up, on one thread.
pub struct Summer {
    held: Held,
    /// What came of them.
    pub adder: Adder,
}

impl Summer {
    /// No rows yet.
    pub fn new(held: Held, origin: Arc<Origin>) -> Summer {
        Summer { held, adder: Adder::new(origin) }
    }
}

/// What becomes of a block.
#[derive(Default)]
pub struct Done {
    rows: u64,
    missing: u64,
    bad: u64,
    first_bad: Option<String>,
    bytes: u64,
}

impl Hand for Summer {
    type Job = PlacedBlock;
    type Done = Done;

    fn work(&mut self, block: PlacedBlock) -> Done {
        let mut done = Done { bytes: block.bytes, rows: block.block.rows() as u64, ..Done::default() };
        let Summer { held, adder } = self;
        held.each(block.block.view(0), |number, row, found| {
            let added = check(row, Metric::Euclidean)
                .and_then(|()| adder.add(row, found).map_err(|_| Some(OUTLIER.to_string())));
            match added {
                Ok(()) => {}
                Err(None) => done.missing += 1,
                Err(Some(why)) => {
                    done.bad += 1;
                    done.first_bad.get_or_insert_with(|| format!("{}: {why}", block.place_of(number)));
                }
            }
        });
        done
    }
}

/// How many rows there were.
#[derive(Default)]
pub struct Counts {
    /// Rows, bad rows, bytes.
    pub tally: Tally,
    /// Rows that were missing.
    pub missing: u64,
}

impl Counts {
    /// Adds the next block. Fails where a row is bad and bad rows are not skipped.
    pub fn add(&mut self, done: Done, on_error: OnError) -> Result<(), Failure> {
        self.tally.add(done.rows, done.bad, done.first_bad, on_error)?;
        self.tally.bytes = done.bytes;
        self.missing += done.missing;
        Ok(())
    }
}

//! What vectors add up to, by the nearest centroid.

use assign::Worker;
use cluster::blocks::PlacedBlock;
use cluster::vector::{check, why_bad};
use compute::kmeans::{Assigned, Metric, Nearest};
use pipe::crew::Hand;
use pipe::failure::Failure;
use pipe::lines::Tally;
use pipe::settings::OnError;

/// Adds blocks up, on one thread.
pub struct Adder {
    /// Where the rows go.
    pub worker: Worker,
    /// Values of a row.
    pub dim: usize,
    /// What nearness means.
    pub metric: Metric,
}

/// What becomes of a block.
#[derive(Default)]
pub struct Done {
    rows: u64,
    missing: u64,
    bad: u64,
    /// The number of the first bad row and what is wrong with it.
    first_bad: Option<(u64, String)>,
    place: String,
    /// Why it was not all done: the device was lost.
    lost: Option<Failure>,
    bytes: u64,
}

impl Done {
    fn refuse(&mut self, number: u64, why: String) {
        self.bad += 1;
        if self.first_bad.as_ref().is_none_or(|&(first, _)| number < first) {
            self.first_bad = Some((number, why));
        }
    }

    /// Takes a row that is near to nothing, or has no weight; it may be bad all the same.
    fn leave_out(&mut self, number: u64, why: Option<String>) {
        match why {
            None => self.missing += 1,
            Some(why) => self.refuse(number, why),
        }
    }

    fn take(&mut self, row: &Assigned) {
        if row.nearest[0].cluster == Nearest::NONE {
            self.leave_out(row.number, why_bad(row.row));
        } else if !row.summable {
            self.refuse(
                row.number,
                "too far out, or too heavy, for sums: more than 2^19 times as far as any centroid".to_string(),
            );
        }
    }
}

impl Hand for Adder {
    type Job = PlacedBlock;
    type Done = Done;

    fn work(&mut self, mut block: PlacedBlock) -> Done {
        let mut done = Done { bytes: block.bytes, rows: block.block.rows() as u64, ..Done::default() };
        block.take_unweighted(self.dim, |number, row| {
            done.leave_out(number, check(row, self.metric).err().flatten());
        });
        let mut take = |row: &Assigned| {
            done.take(row);
            Ok(())
        };
        let assigned = self.worker.assign(block.block.view(0), &mut take).and_then(|()| self.worker.flush(&mut take));
        done.lost = assigned.err();
        done.place = done.first_bad.as_ref().map(|&(number, _)| block.place_of(number)).unwrap_or_default();
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
    /// Adds the next block. Fails where its device was lost, or a row is bad and bad rows are not skipped.
    pub fn add(&mut self, done: Done, on_error: OnError) -> Result<(), Failure> {
        if let Some(why) = done.lost {
            return Err(why);
        }
        let first_bad = done.first_bad.map(|(_, why)| format!("{}: {why}", done.place));
        self.tally.add(done.rows, done.bad, first_bad, on_error)?;
        self.tally.bytes = done.bytes;
        self.missing += done.missing;
        Ok(())
    }
}

//! The GPUs of a run, and the buffers of the threads that feed them.

use crate::device::{Device, Failure};
use crate::flow::{Buffers, ROWS_MIN, whole_tiles};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Threads that feed a GPU: each has pieces in pinned memory, and a few keep it busy.
pub const FEEDERS: usize = 4;

/// Several GPUs, which threads share evenly.
pub struct Pool {
    devices: Vec<Device>,
    /// Buffers that no thread has, of each GPU.
    spare: Mutex<Vec<Vec<Buffers>>>,
    /// Rows of a piece at the most; fewer where memory was short.
    rows_max: AtomicUsize,
}

impl Pool {
    /// Of these GPUs.
    pub fn new(devices: Vec<Device>) -> Pool {
        let spare = devices.iter().map(|_| Vec::new()).collect();
        Pool { devices, spare: Mutex::new(spare), rows_max: AtomicUsize::new(usize::MAX) }
    }

    /// The GPUs, in the order they were asked for.
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// How many of so many threads are of use, but one a GPU at least.
    pub fn feeders(&self, threads: usize) -> usize {
        threads.clamp(self.devices.len(), FEEDERS * self.devices.len())
    }

    /// Rows that are computed at a time at the most.
    pub fn rows_max(&self) -> usize {
        self.rows_max.load(Relaxed)
    }

    /// Lets no more rows be computed at a time.
    pub fn limit(&self, rows: usize) {
        self.rows_max.fetch_min(rows, Relaxed);
    }

    /// Takes buffers for pieces of [`Pool::rows_max`] rows of `dim` values, for as many of the threads as are of use,
    /// with the number of their GPU. Where memory is short, pieces are halved, and then threads.
    ///
    /// # Errors
    /// Where the GPU fails, or has not even memory for the smallest.
    pub fn take(&self, threads: usize, dim: usize) -> Result<Vec<(usize, Buffers)>, Failure> {
        let (mut spare, gpus) = (self.spare(), self.devices.len());
        let mut feeders = self.feeders(threads);
        loop {
            let rows = whole_tiles(self.rows_max());
            self.limit(rows);
            spare.iter_mut().for_each(|spare| spare.retain(|buffers| buffers.shape() == (rows, dim)));
            let mut take = |feeder: usize| match spare[feeder % gpus].pop() {
                Some(buffers) => Ok((feeder % gpus, buffers)),
                None => Ok((feeder % gpus, Buffers::new(&self.devices[feeder % gpus], dim, rows)?)),
            };
            match (0..feeders).map(&mut take).collect() {
                Ok(taken) => return Ok(taken),
                Err(Failure { out_of_memory: true, .. }) if rows == ROWS_MIN && feeders > gpus => {
                    feeders = (feeders / 2).max(gpus);
                }
                Err(failure) => self.halve(rows, ROWS_MIN, failure)?,
            }
            spare.iter_mut().for_each(Vec::clear);
        }
    }

    /// Keeps buffers for the next who takes some.
    pub fn give_back(&self, gpu: usize, buffers: Buffers) {
        self.spare()[gpu].push(buffers);
    }

    /// Halves what is computed at a time, from so many rows, in multiples of `least`.
    ///
    /// # Errors
    /// The failure, where it is not of memory, or that is the least.
    pub fn halve(&self, rows: usize, least: usize, failure: Failure) -> Result<(), Failure> {
        if !failure.out_of_memory || rows <= least {
            return Err(failure);
        }
        self.limit((rows / 2).next_multiple_of(least));
        Ok(())
    }

    /// Frees the memory of all buffers that no thread has.
    pub fn free(&self) {
        self.spare().iter_mut().for_each(Vec::clear);
    }

    fn spare(&self) -> MutexGuard<'_, Vec<Vec<Buffers>>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::Emulator;

    const DIM: usize = 32;

    /// A GPU with memory for so many pieces of so many rows of `DIM` values.
    fn pool(pieces: usize, rows: usize) -> Option<Pool> {
        // Values in 32 and 16 bits; weight, norm, window, count, 16 candidates, cluster, distance.
        let row = DIM * 6 + 8 + 8 + 4 + 4 + 64 + 4 + 8;
        // Ten arrays between fences.
        let limit = pieces * (rows * row + 10 * 1040);
        let pool = Pool::new(vec![Device::emulated(Emulator::new(false)?.with_limit(limit))]);
        pool.limit(4100);
        Some(pool)
    }

    #[test]
    fn short_memory_means_smaller_pieces_then_fewer_threads_then_failure() {
        for (room, feeders, rows) in
            [((8, 8192), 4, 4096), ((8, 4000), 4, 2048), ((8, 128), 4, 128), ((7, 128), 2, 128), ((2, 128), 1, 128)]
        {
            let Some(pool) = pool(room.0, room.1) else { return };
            let taken = pool.take(9, DIM).unwrap();
            assert_eq!(
                (taken.len(), taken[0].1.shape().0, pool.rows_max()),
                (feeders, rows, rows),
                "room for {room:?}"
            );
        }
        let failure = pool(1, 128).unwrap().take(9, DIM).err().unwrap();
        assert!(failure.out_of_memory);
    }

    #[test]
    fn buffers_are_used_again() {
        let Some(pool) = pool(8, 4096) else { return };
        for _ in 0..3 {
            let taken = pool.take(4, DIM).unwrap();
            assert_eq!((taken.len(), taken[0].1.shape().0), (4, 4096));
            taken.into_iter().for_each(|(gpu, buffers)| pool.give_back(gpu, buffers));
        }
        // Buffers of another size give way.
        pool.halve(4096, ROWS_MIN, Failure { message: String::new(), out_of_memory: true }).unwrap();
        assert_eq!(pool.take(4, DIM).unwrap()[0].1.shape().0, 2048);
    }
}

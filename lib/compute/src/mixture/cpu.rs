//! What a mixture says of rows on the CPU, fast: 32-bit floats propose, [`exact`](super::exact) decides.
//!
//! Rows go in tiles of 64, a bit of a mask for each. The [proposer](super::tile) leaves out components that are
//! certainly too far below another one; where it can say nothing, all components are looked at: slow, and right.

use super::exact::{Densities, settle};
use super::tile::{ROWS, Table, Tile};
use super::{Mixture, Posterior};
use crate::cpu::Machine;

/// A mixture, prepared for this processor.
#[derive(Debug)]
pub struct Cpu {
    densities: Densities,
    table: Table,
}

/// What a thread keeps from call to call.
#[derive(Debug, Default)]
pub struct Scratch {
    padded: Vec<f32>,
    tile: Tile,
    found: Vec<Posterior>,
}

impl Cpu {
    /// Prepares a mixture for the best instructions of this processor.
    pub fn new(mixture: &Mixture) -> Cpu {
        Cpu::on(mixture, Machine::exact()[0])
    }

    /// The same for a machine that runs here.
    pub(super) fn on(mixture: &Mixture, machine: Machine) -> Cpu {
        let densities = Densities::new(mixture);
        Cpu { table: Table::on(&densities, machine), densities }
    }

    /// Values of a row.
    pub fn dim(&self) -> usize {
        self.densities.dim()
    }

    /// How many components there are.
    pub fn k(&self) -> usize {
        self.densities.k()
    }

    /// Shows what the mixture says of each row (row-major, `dim` values each), in order, with the number of the
    /// row: bit for bit what [`Densities::posterior`] says. A row with a
    /// value that is not finite has no density. Returns how many densities were computed in 64 bits.
    ///
    /// # Errors
    /// That of `each`, which ends it.
    ///
    /// # Panics
    /// Where `rows` is not whole rows.
    pub fn posteriors<E>(
        &self,
        rows: &[f32],
        scratch: &mut Scratch,
        mut each: impl FnMut(usize, &[f32], &Posterior) -> Result<(), E>,
    ) -> Result<u64, E> {
        let dim = self.densities.dim();
        assert!(rows.len().is_multiple_of(dim), "whole rows");
        let mut decided = 0;
        for (tile, rows) in rows.chunks(ROWS * dim).enumerate() {
            decided += self.look_at(rows, scratch);
            for (row, (values, found)) in rows.chunks_exact(dim).zip(&scratch.found).enumerate() {
                each(tile * ROWS + row, values, found)?;
            }
        }
        Ok(decided)
    }

    /// Finds what is to be said of the rows of a tile.
    fn look_at(&self, rows: &[f32], scratch: &mut Scratch) -> u64 {
        let Scratch { padded, tile, found } = scratch;
        let count = rows.len() / self.densities.dim();
        let padded = self.densities.pad(rows, padded);
        found.resize_with(ROWS, Posterior::default);
        found.iter_mut().for_each(|found| found.parts.clear());
        self.table.propose(rows, tile);
        let mut decided = 0;
        for (k, &which) in tile.masks.iter().enumerate() {
            self.densities.log_densities(padded, which, k, |row, density| found[row].parts.push((k as u32, density)));
            decided += u64::from(which.count_ones());
        }
        found[..count].iter_mut().for_each(settle);
        decided
    }
}

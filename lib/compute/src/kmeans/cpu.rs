//! The nearest centroid on the CPU, fast: a product proposes, [`exact`] decides.
//!
//! Centroids are the rows of `A`, points the packed columns of `B` (see [`matmul`](crate::matmul)). A group of points
//! passes over all blocks of centroids: the block stays in the first-level cache while the group's panels come from the
//! second. Scores live in one block of 32 columns at a time. Each point keeps the best bound below a score so far, and
//! those centroids whose bound above reaches it; at the end these few are what [`exact`] sees. Where a bound cannot be
//! given (values near the ends of 32-bit floats), or too many centroids are alike, that is all of them: slow, and
//! right.

pub use super::product::GROUP;
use super::product::{self, Group};
use super::sparse::{self, Query, Several};
use super::table::{Proposer, Table};
use super::{Assigner, Centroids, Nearest, exact};
use crate::buffer::round_up;
#[cfg(target_arch = "x86_64")]
use crate::cpu;
use crate::matmul::{self, Kernel, PANEL};
use std::ops::Range;
use std::sync::LazyLock;

/// Centroids of a group at the least.
const GROUPED: usize = 32;

/// Finds nearest centroids with the best instructions of this processor, bit for bit as
/// [`Reference`](super::Reference).
#[derive(Debug)]
pub struct Cpu {
    machine: Machine,
    centroids: Centroids,
    norms: Vec<f64>,
    tables: Tables,
    /// Blocks of the table that are a group of centroids, where it has groups.
    group_blocks: usize,
}

/// The arithmetic that proposes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Machine {
    /// bf16 products by tiles.
    #[cfg(target_arch = "x86_64")]
    Amx,
    /// Products of 16-bit integers: nearer to the truth than bf16, and twice as fast as floats.
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
    /// 32-bit floats, AVX-512.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// 32-bit floats, AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// 32-bit floats, any processor.
    Plain,
}

#[derive(Debug)]
enum Tables {
    /// No product can help.
    None,
    F32(Box<Table<f32>>),
    #[cfg(target_arch = "x86_64")]
    I16(Box<Table<i16>>),
    #[cfg(target_arch = "x86_64")]
    Bf16(Box<Table<u16>>),
}

/// The scratch memory of one thread.
#[derive(Debug, Default)]
pub struct Scratch {
    product: product::Scratch,
    pub(super) several: Several,
}

/// What is done by the instructions of a machine.
pub(super) enum Task<'a> {
    /// The candidates of rows, all centroids looked at.
    Group(Group<'a>),
    /// Those of rows of which something is known.
    Some(Query<'a>),
}

/// The machines that run here, best first.
fn machines() -> impl Iterator<Item = Machine> {
    #[cfg(target_arch = "x86_64")]
    let special = [
        cpu::has_amx_bf16().then_some(Machine::Amx),
        cpu::has_avx512vnni().then_some(Machine::Avx512Vnni),
        cpu::has_avx512().then_some(Machine::Avx512),
        cpu::has_avx2().then_some(Machine::Avx2),
    ];
    #[cfg(not(target_arch = "x86_64"))]
    let special = [None];
    special.into_iter().flatten().chain([Machine::Plain])
}

/// The machines by name, best first.
const NAMES: [&str; 5] = ["amx", "avx512vnni", "avx512", "avx2", "plain"];

/// The place among [`NAMES`] before which no machine is taken.
static LIMIT: LazyLock<usize> = LazyLock::new(|| {
    let wanted = std::env::var("CORPUS_UTILS_CPU").unwrap_or_default();
    NAMES.iter().position(|name| *name == wanted).unwrap_or(0)
});

impl Machine {
    /// Rows of a block of the table.
    fn rows_of_block(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Machine::Amx => matmul::amx::AmxKernel::<true>::ROWS,
            #[cfg(target_arch = "x86_64")]
            Machine::Avx512Vnni => matmul::avx512vnni::Avx512VnniKernel::ROWS,
            #[cfg(target_arch = "x86_64")]
            Machine::Avx512 => matmul::avx512::Avx512Kernel::ROWS,
            #[cfg(target_arch = "x86_64")]
            Machine::Avx2 => matmul::avx2::Avx2Kernel::ROWS,
            Machine::Plain => matmul::plain::PlainKernel::ROWS,
        }
    }

    /// Blocks of each group where so many centroids are in at most so many groups.
    fn group_blocks(self, k: usize, groups_max: usize) -> usize {
        let block = self.rows_of_block();
        GROUPED.div_ceil(block).max(k.div_ceil(block).div_ceil(groups_max))
    }

    /// The best one, or the best up to the limit.
    fn best() -> Machine {
        machines().find(|machine| machine.place() >= *LIMIT).expect("the plain machine is everywhere")
    }

    fn named(name: &str) -> Machine {
        machines().find(|machine| format!("{machine:?}") == name).expect("a machine that runs here")
    }

    fn place(self) -> usize {
        let name = format!("{self:?}").to_lowercase();
        NAMES.iter().position(|known| *known == name).expect("all machines have names")
    }
}

impl Cpu {
    /// Prepares the centroids for the best machine, or the best up to the one that `CORPUS_UTILS_CPU` names, for
    /// measurements: no answer depends on it.
    pub fn new(centroids: Centroids) -> Cpu {
        Cpu::in_order(centroids, Machine::best(), None)
    }

    /// The machines that run here, best first, by name: for [`Cpu::with`].
    #[doc(hidden)]
    pub fn machines() -> Vec<String> {
        machines().map(|machine| format!("{machine:?}")).collect()
    }

    /// For tests and measurements: a machine of [`Cpu::machines`].
    ///
    /// # Panics
    /// Where the machine is not one of them.
    #[doc(hidden)]
    pub fn with(centroids: Centroids, machine: &str) -> Cpu {
        Cpu::in_order(centroids, Machine::named(machine), None)
    }

    /// With the centroids in an order in which those that lie together stand together, in at most so many groups of
    /// [`GROUPED`] or more.
    pub(super) fn grouped(centroids: Centroids, order: &[u32], groups_max: usize) -> Cpu {
        Cpu::in_groups(centroids, Machine::best(), order, groups_max)
    }

    /// The same for tests: a machine of [`Cpu::machines`].
    #[cfg(test)]
    pub(super) fn in_groups_with(centroids: Centroids, machine: &str, order: &[u32], groups_max: usize) -> Cpu {
        Cpu::in_groups(centroids, Machine::named(machine), order, groups_max)
    }

    fn in_groups(centroids: Centroids, machine: Machine, order: &[u32], groups_max: usize) -> Cpu {
        let group_blocks = machine.group_blocks(centroids.k(), groups_max);
        Cpu { group_blocks, ..Cpu::in_order(centroids, machine, Some(order)) }
    }

    fn in_order(centroids: Centroids, machine: Machine, order: Option<&[u32]>) -> Cpu {
        let (norms, block) = (exact::norms(&centroids), machine.rows_of_block());
        let tables = match machine {
            #[cfg(target_arch = "x86_64")]
            Machine::Amx => Table::new(&centroids, &norms, block, order).map(|table| Tables::Bf16(Box::new(table))),
            #[cfg(target_arch = "x86_64")]
            Machine::Avx512Vnni => {
                Table::new(&centroids, &norms, block, order).map(|table| Tables::I16(Box::new(table)))
            }
            _ => Table::new(&centroids, &norms, block, order).map(|table| Tables::F32(Box::new(table))),
        };
        let tables = tables.unwrap_or(Tables::None);
        Cpu { machine, centroids, norms, tables, group_blocks: 0 }
    }

    /// In how many groups [`Cpu::grouped`] would have so many centroids.
    pub(super) fn groups_of(k: usize, groups_max: usize) -> usize {
        let best = Machine::best();
        k.div_ceil(best.rows_of_block() * best.group_blocks(k, groups_max))
    }

    /// Groups of centroids.
    pub(super) fn groups(&self) -> usize {
        self.centroids.k().div_ceil(self.group_rows())
    }

    /// The centroids of each group, as [`Cpu::order`] has them.
    pub(super) fn group_rows(&self) -> usize {
        self.machine.rows_of_block() * self.group_blocks
    }

    /// Blocks of a group.
    pub(super) fn group_blocks(&self) -> usize {
        self.group_blocks
    }

    /// The centroids.
    pub fn centroids(&self) -> &Centroids {
        &self.centroids
    }

    /// Their norms, as [`exact`] has them.
    pub(super) fn norms(&self) -> &[f64] {
        &self.norms
    }

    /// Fills `scratch.candidates` for the rows of one group.
    fn propose(&self, group: Group, count: usize, scratch: &mut Scratch) {
        scratch.product.points.clear();
        scratch.product.candidates.reset(round_up(group.these.len() / self.centroids.dim, PANEL), count);
        if let Tables::None = self.tables {
            return self.all_beyond(group.these, scratch);
        }
        self.run(Task::Group(group), scratch);
    }

    /// Does something by the instructions of the machine. There is a table.
    pub(super) fn run(&self, task: Task, scratch: &mut Scratch) {
        // SAFETY: a machine is chosen where the processor has its instructions.
        unsafe {
            match (self.machine, &self.tables) {
                (Machine::Plain, Tables::F32(table)) => {
                    propose::<matmul::plain::PlainKernel>(self, table, task, scratch)
                }
                #[cfg(target_arch = "x86_64")]
                (Machine::Avx2, Tables::F32(table)) => on_avx2(self, table, task, scratch),
                #[cfg(target_arch = "x86_64")]
                (Machine::Avx512, Tables::F32(table)) => on_avx512(self, table, task, scratch),
                #[cfg(target_arch = "x86_64")]
                (Machine::Avx512Vnni, Tables::I16(table)) => on_avx512vnni(self, table, task, scratch),
                #[cfg(target_arch = "x86_64")]
                (Machine::Amx, Tables::Bf16(table)) => {
                    let _tiles = matmul::amx::Tiles::configure();
                    on_amx(self, table, task, scratch);
                }
                _ => unreachable!("the table is made for the machine"),
            }
        }
    }

    /// Whether products can help.
    pub(super) fn has_table(&self) -> bool {
        !matches!(self.tables, Tables::None)
    }

    fn all_beyond(&self, rows: &[f32], scratch: &mut Scratch) {
        let rows = rows.chunks_exact(self.centroids.dim);
        scratch.product.points.extend(rows.map(|row| product::without_bound(row, self.centroids.metric)));
    }

    /// Order of the table's rows.
    pub(super) fn order(&self) -> &[u32] {
        match &self.tables {
            Tables::None => &[],
            Tables::F32(table) => &table.order,
            #[cfg(target_arch = "x86_64")]
            Tables::I16(table) => &table.order,
            #[cfg(target_arch = "x86_64")]
            Tables::Bf16(table) => &table.order,
        }
    }

    /// Calls `one` with each row, its place and its candidates (ascending), or none for all. Returns how many rows had
    /// several. What stands in `found`, `count` places a row, is taken as a guess where `count` is 1.
    fn each(
        &self,
        rows: &[f32],
        count: usize,
        scratch: &mut Scratch,
        found: &mut [Nearest],
        mut one: impl FnMut(&[f32], Option<&[u32]>, &mut [Nearest]),
    ) -> usize {
        let (dim, order) = (self.centroids.dim, self.order());
        let mut reranked = 0;
        let mut groups = rows.chunks(GROUP * dim).peekable();
        for found in found.chunks_mut(GROUP * count) {
            let these = groups.next().expect("as many groups of rows as of places");
            scratch.product.limits.clear();
            scratch.product.guesses.clear();
            // With several places a guess would count twice.
            scratch.product.guesses.extend(found.iter().filter(|_| count == 1).map(|found| found.cluster));
            self.propose(Group { these, next: groups.peek().unwrap_or(&&[][..]) }, count, scratch);
            for (i, (row, found)) in these.chunks_exact(dim).zip(found.chunks_exact_mut(count)).enumerate() {
                let left = scratch.product.choose(i, order);
                reranked += usize::from(left.is_none_or(|left| left.len() > count));
                one(row, left, found);
            }
        }
        reranked
    }

    /// Calls `one` with the place of each row, the row, and its candidates (ascending) among the centroids below its
    /// limit, or none for all of those. Returns how many rows had several.
    ///
    /// # Panics
    /// Where there are not as many limits as rows.
    pub(super) fn each_below(
        &self,
        rows: &[f32],
        limits: &[u32],
        scratch: &mut Scratch,
        mut one: impl FnMut(usize, &[f32], Option<&[u32]>),
    ) -> usize {
        let (dim, order) = (self.centroids.dim, self.order());
        assert_eq!(rows.len(), limits.len() * dim, "a limit a row");
        let mut reranked = 0;
        let mut groups = rows.chunks(GROUP * dim).peekable();
        for (group, limits) in limits.chunks(GROUP).enumerate() {
            let these = groups.next().expect("as many groups of rows as of limits");
            scratch.product.guesses.clear();
            scratch.product.limits.clear();
            scratch.product.limits.extend_from_slice(limits);
            scratch.product.limits.resize(round_up(limits.len(), PANEL), 0);
            self.propose(Group { these, next: groups.peek().unwrap_or(&&[][..]) }, 1, scratch);
            for (i, row) in these.chunks_exact(dim).enumerate() {
                let left = scratch.product.choose(i, order);
                reranked += usize::from(left.is_none_or(|left| left.len() > 1));
                one(group * GROUP + i, row, left);
            }
        }
        reranked
    }

    /// All centroids.
    pub(super) fn numbers(&self) -> Range<u32> {
        0..self.centroids.k() as u32
    }
}

impl Assigner for Cpu {
    type Scratch = Scratch;

    fn nearest(&self, rows: &[f32], found: &mut [Nearest], scratch: &mut Scratch) -> usize {
        assert_eq!(rows.len(), found.len() * self.centroids.dim, "whole rows");
        let (centroids, norms) = (&self.centroids, &self.norms[..]);
        self.each(rows, 1, scratch, found, |row, candidates, found| {
            found[0] = match candidates {
                Some([]) => Nearest::MISSING,
                Some(&[only]) => exact::only(row, centroids, norms, only),
                Some(several) => exact::nearest(row, centroids, norms, several.iter().copied()),
                None => exact::nearest(row, centroids, norms, self.numbers()),
            }
        })
    }

    fn nearest_several(&self, rows: &[f32], count: usize, found: &mut [Nearest], scratch: &mut Scratch) -> usize {
        assert_eq!(rows.len() * count, found.len() * self.centroids.dim, "whole rows");
        let (centroids, norms) = (&self.centroids, &self.norms[..]);
        self.each(rows, count, scratch, found, |row, candidates, found| match candidates {
            Some(some) => exact::nearest_several(row, centroids, norms, some.iter().copied(), found),
            None => exact::nearest_several(row, centroids, norms, self.numbers(), found),
        })
    }
}

/// Compiles everything below [`propose`] once more, with the instructions of a machine.
#[cfg(target_arch = "x86_64")]
macro_rules! compiled_for {
    ($name:ident, $kernel:ty, $features:literal) => {
        /// # Safety
        /// The processor has the instructions.
        #[target_feature(enable = $features)]
        unsafe fn $name(cpu: &Cpu, table: &Table<<$kernel as Kernel>::Element>, task: Task, scratch: &mut Scratch) {
            // SAFETY: the caller's promise.
            unsafe { propose::<$kernel>(cpu, table, task, scratch) }
        }
    };
}

#[cfg(target_arch = "x86_64")]
compiled_for!(on_avx2, matmul::avx2::Avx2Kernel, "avx2,fma");
#[cfg(target_arch = "x86_64")]
compiled_for!(on_avx512, matmul::avx512::Avx512Kernel, "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl");
#[cfg(target_arch = "x86_64")]
compiled_for!(
    on_avx512vnni,
    matmul::avx512vnni::Avx512VnniKernel,
    "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni"
);
#[cfg(target_arch = "x86_64")]
compiled_for!(on_amx, matmul::amx::AmxKernel<true>, "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16");

/// Candidates for one group of rows, or for rows of which something is known.
///
/// # Safety
/// The kernel's instructions are there (the tiles configured), and the table was made for it.
#[inline(always)]
unsafe fn propose<K: Proposer>(cpu: &Cpu, table: &Table<K::Element>, task: Task, scratch: &mut Scratch) {
    // SAFETY: the caller's promise.
    unsafe {
        match task {
            Task::Group(group) => {
                let Centroids { dim, metric, .. } = cpu.centroids;
                product::pack::<K>((dim, metric), table, group.these, &mut scratch.product);
                let all = (0..table.limits.len(), 1);
                product::product::<K, false>(table, group.these.len() / dim, group.next, all, &mut scratch.product);
            }
            Task::Some(query) => sparse::look::<K>(table, &query, &mut scratch.product, &mut scratch.several),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::trials::{self, METRICS};
    use super::*;

    /// Answers as [`Cpu`], after it was asked once more with guesses.
    struct Guessing(Cpu);

    impl Assigner for Guessing {
        type Scratch = Scratch;

        fn nearest(&self, rows: &[f32], found: &mut [Nearest], scratch: &mut Scratch) -> usize {
            let bits = |found: &[Nearest]| found.iter().map(|f| (f.cluster, f.distance.to_bits())).collect::<Vec<_>>();
            let reranked = self.0.nearest(rows, found, scratch);
            let expected = found.to_vec();
            // Guesses, right or wrong, change nothing.
            for turn in 0..2 {
                self.0.nearest(rows, found, scratch);
                assert_eq!(bits(found), bits(&expected), "guesses {turn}");
                found.rotate_left(found.len() / 3);
            }
            found.copy_from_slice(&expected);
            reranked
        }

        fn nearest_several(&self, rows: &[f32], count: usize, found: &mut [Nearest], scratch: &mut Scratch) -> usize {
            self.0.nearest_several(rows, count, found, scratch)
        }
    }

    fn every_machine(centroids: &Centroids) -> Vec<(String, Guessing)> {
        let cpu = |name: &str| Guessing(Cpu::with(centroids.clone(), name));
        Cpu::machines().into_iter().map(|name| (name.clone(), cpu(&name))).collect()
    }

    #[test]
    fn not_one_nasty_row_differs() {
        let dims = [1, 2, 3, 15, 16, 17, 31, 33, 64, 100, 384, 768, 1000];
        trials::nasty_rows(every_machine, &dims, &[1, 2, 15, 16, 17, 33, 220]);
    }

    #[test]
    fn every_tail_is_whole() {
        trials::tails(every_machine, (0..=67).chain([255, 256, 257, 520]));
    }

    #[test]
    fn wide_and_many() {
        trials::shapes(every_machine, &[(4096, 50, 40), (384, 1000, 70), (8, 3000, 70)]);
    }

    #[test]
    fn scales_of_every_size() {
        trials::scales(every_machine, &[-149, -140, -126, -110, -99, -60, 0, 60, 99, 110, 120, 126]);
    }

    #[test]
    fn far_from_the_origin_and_close_together() {
        trials::far_from_the_origin(every_machine);
    }

    #[test]
    fn padding_is_no_centroid() {
        trials::in_the_middle(every_machine, &[1, 15, 31, 47, 127]);
    }

    #[test]
    fn more_alike_than_lists_have_room() {
        trials::more_alike_than_lists_have_room(every_machine);
    }

    #[test]
    fn several_nearest_are_those_of_the_reference() {
        trials::several(every_machine, &[(3, 2, 40), (33, 50, 70), (384, 220, 70)], &[1, 2, 3, 10, 60]);
    }

    /// A bound so wide that everything is decided in 64 bits would pass all tests above.
    #[test]
    fn few_rows_are_reranked() {
        for metric in METRICS {
            for (dim, offset) in [(64, 0.0), (384, 0.0), (384, 50.0)] {
                let share = trials::reranked_share(every_machine, metric, dim, 300, offset);
                assert!(share < 0.02, "{metric:?}, d {dim}, offset {offset}: {share}");
            }
        }
    }
}

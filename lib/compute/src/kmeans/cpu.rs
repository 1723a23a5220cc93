//! The nearest centroid on the CPU, fast: a product proposes, [`exact`] decides.
//!
//! Centroids are the rows of `A`, points the packed columns of `B` (see [`matmul`](crate::matmul)). A group of points
//! passes over all blocks of centroids: the block stays in the first-level cache while the group's panels come from the
//! second. Scores live in one block of 32 columns at a time. Each point keeps the best bound below a score so far, and
//! those centroids whose bound above reaches it; at the end these few are what [`exact`] sees. Where a bound cannot be
//! given (values near the ends of 32-bit floats), or too many centroids are alike, that is all of them: slow, and
//! right.

use super::candidates::Candidates;
use super::exact;
use super::table::{Proposer, Row, Table};
use super::{Assigner, Centroids, Metric, Nearest};
use crate::buffer::{Buffer, round_up, stride};
#[cfg(target_arch = "x86_64")]
use crate::cpu;
use crate::lanes::Lanes;
use crate::matmul::{self, Element, Kernel, PANEL, View};
use std::sync::LazyLock;

/// Rows of scores that are looked at together.
const AT_ONCE: usize = 4;

/// Points that pass over the centroids together: calls with a multiple of it waste nothing.
pub const GROUP: usize = 8 * PANEL;

/// Finds nearest centroids with the best instructions of this processor, bit for bit as
/// [`Reference`](super::Reference).
#[derive(Debug)]
pub struct Cpu {
    machine: Machine,
    centroids: Centroids,
    norms: Vec<f64>,
    tables: Tables,
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
    line: Buffer,
    rounded: Buffer,
    panels: Buffer,
    scores: Buffer,
    points: Vec<Point>,
    guesses: Vec<u32>,
    /// Of each point, the number below which centroids count; empty: all count.
    limits: Vec<u32>,
    alpha: Vec<f32>,
    residual: Vec<f32>,
    norm: Vec<f32>,
    own: Vec<f32>,
    candidates: Candidates,
    chosen: Vec<u32>,
}

/// The rows of a group, and of the next one, which are fetched meanwhile.
#[derive(Clone, Copy)]
struct Group<'a> {
    these: &'a [f32],
    next: &'a [f32],
}

/// What becomes of a point.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Point {
    /// It is near to nothing.
    Missing,
    /// No bound: all centroids are candidates.
    Beyond,
    /// It is in the product.
    In,
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
    fn place(self) -> usize {
        let name = format!("{self:?}").to_lowercase();
        NAMES.iter().position(|known| *known == name).expect("all machines have names")
    }
}

impl Cpu {
    /// Prepares the centroids for the best machine, or the best up to the one that `CORPUS_UTILS_CPU` names, for
    /// measurements: no answer depends on it.
    pub fn new(centroids: Centroids) -> Cpu {
        let best = machines().find(|machine| machine.place() >= *LIMIT).expect("the plain machine is everywhere");
        Cpu::on(centroids, best)
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
        let machine = machines().find(|one| format!("{one:?}") == machine);
        Cpu::on(centroids, machine.expect("a machine that runs here"))
    }

    fn on(centroids: Centroids, machine: Machine) -> Cpu {
        let norms = exact::norms(&centroids);
        let rows_of_block = match machine {
            #[cfg(target_arch = "x86_64")]
            Machine::Amx => matmul::amx::AmxKernel::<true>::ROWS,
            #[cfg(target_arch = "x86_64")]
            Machine::Avx512Vnni => matmul::avx512vnni::Avx512VnniKernel::ROWS,
            #[cfg(target_arch = "x86_64")]
            Machine::Avx512 => matmul::avx512::Avx512Kernel::ROWS,
            #[cfg(target_arch = "x86_64")]
            Machine::Avx2 => matmul::avx2::Avx2Kernel::ROWS,
            Machine::Plain => matmul::plain::PlainKernel::ROWS,
        };
        let tables = match machine {
            #[cfg(target_arch = "x86_64")]
            Machine::Amx => Table::new(&centroids, &norms, rows_of_block).map(|table| Tables::Bf16(Box::new(table))),
            #[cfg(target_arch = "x86_64")]
            Machine::Avx512Vnni => {
                Table::new(&centroids, &norms, rows_of_block).map(|table| Tables::I16(Box::new(table)))
            }
            _ => Table::new(&centroids, &norms, rows_of_block).map(|table| Tables::F32(Box::new(table))),
        };
        let tables = tables.unwrap_or(Tables::None);
        Cpu { machine, centroids, norms, tables }
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
        scratch.points.clear();
        scratch.candidates.reset(round_up(group.these.len() / self.centroids.dim, PANEL), count);
        // SAFETY: a machine is chosen where the processor has its instructions.
        unsafe {
            match (self.machine, &self.tables) {
                (_, Tables::None) => self.all_beyond(group.these, scratch),
                (Machine::Plain, Tables::F32(table)) => {
                    propose::<matmul::plain::PlainKernel>(self, table, group, scratch)
                }
                #[cfg(target_arch = "x86_64")]
                (Machine::Avx2, Tables::F32(table)) => on_avx2(self, table, group, scratch),
                #[cfg(target_arch = "x86_64")]
                (Machine::Avx512, Tables::F32(table)) => on_avx512(self, table, group, scratch),
                #[cfg(target_arch = "x86_64")]
                (Machine::Avx512Vnni, Tables::I16(table)) => on_avx512vnni(self, table, group, scratch),
                #[cfg(target_arch = "x86_64")]
                (Machine::Amx, Tables::Bf16(table)) => {
                    let _tiles = matmul::amx::Tiles::configure();
                    on_amx(self, table, group, scratch);
                }
                #[cfg(target_arch = "x86_64")]
                _ => unreachable!("the table is made for the machine"),
            }
        }
    }

    fn all_beyond(&self, rows: &[f32], scratch: &mut Scratch) {
        let rows = rows.chunks_exact(self.centroids.dim);
        scratch.points.extend(rows.map(|row| without_bound(row, self.centroids.metric)));
    }

    /// Order of the table's rows.
    fn order(&self) -> &[u32] {
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
            scratch.limits.clear();
            scratch.guesses.clear();
            // With several places a guess would count twice.
            scratch.guesses.extend(found.iter().filter(|_| count == 1).map(|found| found.cluster));
            self.propose(Group { these, next: groups.peek().unwrap_or(&&[][..]) }, count, scratch);
            for (i, (row, found)) in these.chunks_exact(dim).zip(found.chunks_exact_mut(count)).enumerate() {
                let left = scratch.choose(i, order);
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
            scratch.guesses.clear();
            scratch.limits.clear();
            scratch.limits.extend_from_slice(limits);
            scratch.limits.resize(round_up(limits.len(), PANEL), 0);
            self.propose(Group { these, next: groups.peek().unwrap_or(&&[][..]) }, 1, scratch);
            for (i, row) in these.chunks_exact(dim).enumerate() {
                let left = scratch.choose(i, order);
                reranked += usize::from(left.is_none_or(|left| left.len() > 1));
                one(group * GROUP + i, row, left);
            }
        }
        reranked
    }

    /// All centroids.
    fn numbers(&self) -> std::ops::Range<u32> {
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
        unsafe fn $name(cpu: &Cpu, table: &Table<<$kernel as Kernel>::Element>, group: Group, scratch: &mut Scratch) {
            // SAFETY: the caller's promise.
            unsafe { propose::<$kernel>(cpu, table, group, scratch) }
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

/// Candidates for one group of rows.
///
/// # Safety
/// The kernel's instructions are there (the tiles configured), and the table was made for it.
#[inline(always)]
unsafe fn propose<K: Proposer>(cpu: &Cpu, table: &Table<K::Element>, group: Group, scratch: &mut Scratch) {
    // SAFETY: the caller's promise.
    unsafe {
        pack::<K>(cpu, table, group.these, scratch);
        product::<K>(table, group.these.len() / cpu.centroids.dim, group.next, scratch);
    }
}

/// Rounds and packs the rows as panels of `B`.
///
/// # Safety
/// As for [`propose`].
#[inline(always)]
unsafe fn pack<K: Proposer>(cpu: &Cpu, table: &Table<K::Element>, rows: &[f32], scratch: &mut Scratch) {
    let (dim, depth) = (cpu.centroids.dim, table.depth);
    let points = rows.len() / dim;
    let padded = round_up(points, PANEL);
    for part in [&mut scratch.alpha, &mut scratch.residual, &mut scratch.norm, &mut scratch.own] {
        part.clear();
        part.resize(padded, 0.0);
    }
    let rounded = View {
        start: scratch.rounded.take::<K::Element>(PANEL * stride::<K::Element>(depth)),
        stride: stride::<K::Element>(depth),
    };
    let panels = scratch.panels.take::<K::Element>(padded * depth);
    let line = scratch.line.take::<f32>(depth);
    // SAFETY: `line` and each row of `rounded` have room for `depth` values, `panels` for `padded` times as many.
    unsafe {
        line.write_bytes(0, depth);
        for (p, rows) in rows.chunks(PANEL * dim).enumerate() {
            for (i, row) in rows.chunks_exact(dim).enumerate() {
                let place = p * PANEL + i;
                let to = rounded.at(i, 0);
                let padded = if dim == depth {
                    row.as_ptr()
                } else {
                    line.copy_from_nonoverlapping(row.as_ptr(), dim);
                    line.cast_const()
                };
                let point = match table.round::<K>(padded, line, to) {
                    Some(rounding) => {
                        scratch.put(place, rounding);
                        let guess = scratch.guesses.get(place).and_then(|&guess| table.slots.get(guess as usize));
                        if let Some(&slot) = guess {
                            scratch.candidates.raise(place, table.lower_bound::<K>(to, &rounding, slot as usize));
                        }
                        Point::In
                    }
                    None => {
                        std::slice::from_raw_parts_mut(to, depth).fill(K::Element::from_f32(0.0));
                        scratch.candidates.close(place);
                        without_bound(row, cpu.centroids.metric)
                    }
                };
                scratch.points.push(point);
            }
            K::pack_transposed(rounded, rows.len() / dim, depth, panels.add(p * PANEL * depth));
        }
    }
    (points..padded).for_each(|i| scratch.candidates.close(i));
}

/// A point that is not in the product.
#[cold]
fn without_bound(row: &[f32], metric: Metric) -> Point {
    if exact::row_norm(row, metric).is_some() { Point::Beyond } else { Point::Missing }
}

impl Scratch {
    /// The candidates of a point, ascending; `None`: all centroids.
    fn choose(&mut self, point: usize, order: &[u32]) -> Option<&[u32]> {
        self.chosen.clear();
        match self.points[point] {
            Point::Missing => {}
            Point::Beyond => return None,
            Point::In => {
                self.chosen.extend(self.candidates.left(point)?.map(|slot| order[slot as usize]));
                self.chosen.sort_unstable();
            }
        }
        Some(&self.chosen)
    }

    /// Whether a centroid counts for a point.
    #[inline(always)]
    fn counts(&self, point: usize, centroid: u32) -> bool {
        self.limits.is_empty() || centroid < self.limits[point]
    }

    /// Keeps what is known of a row.
    #[inline(always)]
    fn put(&mut self, point: usize, row: Row) {
        (self.alpha[point], self.residual[point]) = (row.alpha, row.residual);
        (self.norm[point], self.own[point]) = (row.norm, row.own);
    }
}

/// Scores of all centroids and the packed points, and the candidates that follow from them.
///
/// # Safety
/// As for [`propose`], after [`pack`].
#[inline(always)]
unsafe fn product<K: Kernel>(table: &Table<K::Element>, points: usize, next: &[f32], scratch: &mut Scratch) {
    let (panels, depth) = (points.div_ceil(PANEL), table.depth);
    let packed = scratch.panels.take::<K::Element>(panels * PANEL * depth).cast_const();
    // Of several chunks each panel needs sums of its own.
    let apart = if depth <= K::CHUNK { 0 } else { PANEL * K::ROWS };
    let scores = scratch.scores.take::<f32>(panels * PANEL * K::ROWS);
    let mut next = next.as_ptr_range();
    for block in 0..table.limits.len() {
        let a = table.block(block);
        for k in (0..depth).step_by(K::CHUNK) {
            let chunk = K::CHUNK.min(depth - k);
            let fetched = chunk / matmul::GRAIN * matmul::AHEAD;
            let mut next_block = a.start.wrapping_add(K::ROWS * a.stride).cast_const();
            for panel in 0..panels {
                // First the rows of the next group, then the next block.
                let ahead = if next.start < next.end { next.start.cast() } else { next_block };
                // SAFETY: `ROWS` rows of the table, a panel of `depth` rows, and scores for `ROWS` rows of each panel.
                unsafe {
                    let c = View { start: scores.add(panel * apart), stride: PANEL };
                    K::block(a.from(0, k), packed.add((panel * depth + k) * PANEL), ahead, chunk, c, k > 0);
                    if k + chunk == depth {
                        scan::<K>(table, block, c, panel * PANEL, scratch);
                    }
                }
                next.start = next.start.wrapping_byte_add(fetched);
                next_block = next_block.wrapping_byte_add(fetched);
            }
        }
    }
}

/// Takes the candidates out of a block of scores, whose columns are the points from `first` on.
///
/// # Safety
/// The kernel's instructions are there and `scores` is a whole block.
#[inline(always)]
unsafe fn scan<K: Kernel>(
    table: &Table<K::Element>,
    block: usize,
    scores: View<f32>,
    first: usize,
    scratch: &mut Scratch,
) {
    let start = block * K::ROWS;
    let rows = K::ROWS.min(table.order.len() - start);
    let bias = &table.bias[start..][..rows];
    let limits = table.limits[block];
    let mut errors = [0.0; PANEL];
    let parts = [&scratch.alpha, &scratch.residual, &scratch.norm, &scratch.own, &scratch.candidates.least];
    assert!(parts.iter().all(|part| part.len() >= first + PANEL), "whole panels");
    for lane in (0..PANEL).step_by(K::Lanes::COUNT) {
        let point = first + lane;
        // SAFETY: within a panel, of which every part has all points; rows below `rows`.
        unsafe {
            let lanes = |part: &Vec<f32>| part.as_ptr().add(point);
            let alpha = K::Lanes::load(lanes(&scratch.alpha));
            let zero = alpha.sub(alpha);
            let size = alpha.max(zero.sub(alpha));
            let error = size.mul_add(zero.splat(limits.alpha), K::Lanes::load(lanes(&scratch.own)));
            let error = K::Lanes::load(lanes(&scratch.norm)).mul_add(zero.splat(limits.norm), error);
            let error = K::Lanes::load(lanes(&scratch.residual)).mul_add(zero.splat(limits.residual), error);
            error.store(errors.as_mut_ptr());
            let mut least = K::Lanes::load(lanes(&scratch.candidates.least)).sub(error);
            for row in (0..rows).step_by(AT_ONCE) {
                // Few rows have a hit: four are asked together.
                let biases = &bias[row..rows.min(row + AT_ONCE)];
                let mut best = zero.splat(f32::NEG_INFINITY);
                for (i, &bias) in biases.iter().enumerate() {
                    let score = K::Lanes::load(scores.at(row + i, lane));
                    best = best.max(alpha.mul_add(zero.splat(bias), score));
                }
                if best.at_least(least) == 0 {
                    continue;
                }
                for (row, &bias) in (row..).zip(biases) {
                    let score = alpha.mul_add(zero.splat(bias), K::Lanes::load(scores.at(row, lane)));
                    let mut hits = score.at_least(least);
                    while hits != 0 {
                        let i = hits.trailing_zeros() as usize;
                        hits &= hits - 1;
                        if !scratch.counts(point + i, table.order[start + row]) {
                            continue;
                        }
                        let score = *scores.at(row, lane + i) + scratch.alpha[point + i] * bias;
                        let (lower, upper) = (score - errors[i], score + errors[i]);
                        scratch.candidates.push(point + i, (start + row) as u32, lower, upper);
                    }
                }
                least = K::Lanes::load(lanes(&scratch.candidates.least)).sub(error);
            }
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

//! Rows of which something is known: which centroid was nearest, and how far each group of centroids is at least. Only
//! groups that may have a nearer one are looked at.
//!
//! A row that may be near to more than half of the groups goes over all of them, with others of its kind. The others
//! are gathered group by group. Whoever is looked at learns anew how far that group is at least.

use super::product::{self, GROUP, Point, Scratch, product};
use super::table::{Away, Proposer, Row, SLACK, Table, below};
use super::{Centroids, Metric, Nearest, exact};
use crate::buffer::{Buffer, round_up, stride};
use crate::matmul::{PANEL, View};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Rows, and what is known of them.
#[derive(Clone, Copy)]
pub(super) struct Query<'a> {
    pub(super) centroids: &'a Centroids,
    pub(super) norms: &'a [f64],
    /// Groups of centroids, and blocks of the table of each.
    pub(super) groups: usize,
    pub(super) group_blocks: usize,
    pub(super) rows: &'a [f32],
    /// Which centroid was the nearest of each row, if any was.
    pub(super) labels: &'a [Nearest],
    /// Of each row, how far each group was at least: bits of floats.
    pub(super) lower: &'a [AtomicU32],
    /// How far a centroid of each group has moved at the most.
    pub(super) moves: &'a [f32],
}

/// What a thread keeps, and what was found.
#[derive(Debug, Default)]
pub(super) struct Several {
    rounded: Buffer,
    staged: Buffer,
    rows: Vec<Row>,
    away: Vec<Away>,
    least: Vec<f32>,
    /// Rows that go over all groups, and those that go over each.
    everywhere: Vec<u32>,
    somewhere: Vec<Vec<u32>>,
    asked: Vec<u32>,
    /// What becomes of each row.
    pub(super) points: Vec<Point>,
    /// The nearest of before, as it is now.
    pub(super) known: Vec<Nearest>,
    /// Rows, and places in the table, of centroids that may be nearer than that.
    pub(super) hits: Vec<(u32, u32)>,
    /// Groups that rows went over.
    pub(super) looked: usize,
}

impl Several {
    fn begin(&mut self, rows: usize, groups: usize) {
        self.rows.clear();
        self.rows.resize(rows, Row::default());
        self.away.clear();
        self.away.resize(rows, Away::default());
        self.least.clear();
        self.least.resize(rows, f32::NEG_INFINITY);
        self.known.clear();
        self.known.resize(rows, Nearest::MISSING);
        self.points.clear();
        self.hits.clear();
        self.looked = 0;
        self.everywhere.clear();
        self.somewhere.resize_with(groups, Vec::new);
        self.somewhere.iter_mut().for_each(Vec::clear);
    }

    /// Finds out over which groups a row goes.
    fn ask(&mut self, row: usize, query: &Query) {
        let known = self.known[row];
        let reach = match query.centroids.metric {
            Metric::Cosine => (2.0 * known.distance.max(0.0) + SLACK).sqrt(),
            Metric::Euclidean => known.distance * (1.0 + SLACK),
        };
        self.asked.clear();
        let lower = &query.lower[row * query.groups..][..query.groups];
        for ((group, lower), &moved) in (0..).zip(lower).zip(query.moves) {
            let left = below((f64::from(f32::from_bits(lower.load(Relaxed))) - f64::from(moved)).max(0.0));
            lower.store(left.to_bits(), Relaxed);
            // Of NaN nothing is known.
            if f64::from(left) > reach {
                continue;
            }
            self.asked.push(group);
        }
        if known.cluster == Nearest::NONE || 2 * self.asked.len() > query.groups {
            self.everywhere.push(row as u32);
        } else {
            self.asked.iter().for_each(|&group| self.somewhere[group as usize].push(row as u32));
        }
    }
}

/// Fills `several`.
///
/// # Safety
/// The kernel's instructions are there (the tiles configured), and the table was made for it.
#[inline(always)]
pub(super) unsafe fn look<K: Proposer>(
    table: &Table<K::Element>,
    query: &Query,
    scratch: &mut Scratch,
    several: &mut Several,
) {
    let (dim, depth) = (query.centroids.dim, table.depth);
    several.begin(query.labels.len(), query.groups);
    let stride = stride::<K::Element>(depth);
    let rounded = View { start: several.rounded.take::<K::Element>(query.labels.len() * stride), stride };
    let line = scratch.line.take::<f32>(depth);
    // SAFETY: `line` and each row of `rounded` have room for `depth` values.
    unsafe {
        line.write_bytes(0, depth);
        for (i, (row, label)) in query.rows.chunks_exact(dim).zip(query.labels).enumerate() {
            let padded = product::padded(row, line, depth);
            let Some(rounding) = table.round::<K>(padded, line, rounded.at(i, 0)) else {
                several.points.push(product::without_bound(row, query.centroids.metric));
                query.lower[i * query.groups..][..query.groups].iter().for_each(|lower| lower.store(0, Relaxed));
                continue;
            };
            several.points.push(Point::In);
            (several.rows[i], several.away[i]) = (rounding, table.away(row));
            if let Some(&slot) = table.slots.get(label.cluster as usize) {
                several.known[i] = exact::only(row, query.centroids, query.norms, label.cluster);
                several.least[i] = table.lower_bound::<K>(rounded.at(i, 0), &rounding, slot as usize);
            }
            several.ask(i, query);
        }
        let everywhere = std::mem::take(&mut several.everywhere);
        over::<K>(table, query, (&everywhere, 0..query.groups), rounded, scratch, several);
        several.everywhere = everywhere;
        for group in 0..query.groups {
            let some = std::mem::take(&mut several.somewhere[group]);
            over::<K>(table, query, (&some, group..group + 1), rounded, scratch, several);
            several.somewhere[group] = some;
        }
    }
    several.hits.sort_unstable();
}

/// Sends rows over groups.
///
/// # Safety
/// As for [`look`]; `rounded` has all rows.
#[inline(always)]
unsafe fn over<K: Proposer>(
    table: &Table<K::Element>,
    query: &Query,
    (rows, groups): (&[u32], Range<usize>),
    rounded: View<K::Element>,
    scratch: &mut Scratch,
    several: &mut Several,
) {
    let depth = table.depth;
    let blocks = groups.start * query.group_blocks..table.limits.len().min(groups.end * query.group_blocks);
    let staged = View { start: several.staged.take::<K::Element>(PANEL * rounded.stride), stride: rounded.stride };
    several.looked += rows.len() * groups.len();
    for rows in rows.chunks(GROUP) {
        let padded = round_up(rows.len(), PANEL);
        scratch.begin(padded, groups.len());
        let panels = scratch.panels.take::<K::Element>(padded * depth);
        for (p, rows) in rows.chunks(PANEL).enumerate() {
            for (i, &row) in rows.iter().enumerate() {
                let (place, row) = (p * PANEL + i, row as usize);
                scratch.put(place, several.rows[row]);
                scratch.candidates.raise(place, several.least[row]);
                // SAFETY: both have `depth` values.
                unsafe { staged.at(i, 0).copy_from_nonoverlapping(rounded.at(row, 0), depth) };
            }
            // SAFETY: `panels` has room for `padded` rows, `staged` has so many.
            unsafe { K::pack_transposed(staged, rows.len(), depth, panels.add(p * PANEL * depth)) };
        }
        (rows.len()..padded).for_each(|place| scratch.candidates.close(place));
        // SAFETY: the caller's promise; the rows are packed.
        unsafe { product::<K, true>(table, rows.len(), &[], (blocks.clone(), query.group_blocks), scratch) };
        for (place, &row) in rows.iter().enumerate() {
            let at = row as usize;
            match scratch.candidates.left(place) {
                Some(slots) => several.hits.extend(slots.map(|slot| (row, slot))),
                None => several.points[at] = Point::Beyond,
            }
            several.least[at] = several.least[at].max(scratch.candidates.least[place]);
            let lower = &query.lower[at * query.groups..][groups.clone()];
            for (lower, tops) in lower.iter().zip(scratch.tops.chunks_exact(padded)) {
                let least = table.at_least(several.away[at], &several.rows[at], tops[place]);
                lower.store(least.to_bits(), Relaxed);
            }
        }
    }
}

//! The centroids that may be nearest, of each point of a group.

/// What a point may keep beside four for each that is asked for. More are sorted out, and where that is not enough, all
/// centroids are candidates.
const ROOM: usize = 64;

/// A centroid's place in the table and a bound above its score.
type Entry = (u32, f32);

/// Lists of candidates, one a point.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    /// How many centroids each point asks for.
    count: usize,
    room: usize,
    entries: Vec<Entry>,
    len: Vec<usize>,
    /// Of each point, the `count` largest bounds below scores, ascending.
    lower: Vec<f32>,
    /// Of each point, the first of these: what no candidate's upper bound is below.
    pub(super) least: Vec<f32>,
    full: Vec<bool>,
}

impl Candidates {
    /// Forgets everything; `points` lists for the `count` nearest of each.
    pub(super) fn reset(&mut self, points: usize, count: usize) {
        (self.count, self.room) = (count, ROOM + 4 * count);
        self.entries.resize(points * self.room, (0, 0.0));
        self.len.clear();
        self.len.resize(points, 0);
        self.lower.clear();
        self.lower.resize(points * count, f32::NEG_INFINITY);
        self.least.clear();
        self.least.resize(points, f32::NEG_INFINITY);
        self.full.clear();
        self.full.resize(points, false);
    }

    /// Takes no candidate for a point.
    pub(super) fn close(&mut self, point: usize) {
        self.least[point] = f32::INFINITY;
    }

    /// One more candidate, whose score lies between the bounds.
    #[inline]
    pub(super) fn push(&mut self, point: usize, slot: u32, lower: f32, upper: f32) {
        self.raise(point, lower);
        if self.len[point] == self.room && !self.sort_out(point) {
            self.full[point] = true;
            self.close(point);
            return;
        }
        self.entries[point * self.room + self.len[point]] = (slot, upper);
        self.len[point] += 1;
    }

    /// The candidates of a point that are left; `None`: they were too many.
    pub(super) fn left(&self, point: usize) -> Option<impl Iterator<Item = u32>> {
        let least = self.least[point];
        let entries = &self.entries[point * self.room..][..self.len[point]];
        (!self.full[point]).then(|| entries.iter().filter(move |entry| entry.1 >= least).map(|entry| entry.0))
    }

    /// Puts a lower bound in its place.
    #[inline]
    pub(super) fn raise(&mut self, point: usize, lower: f32) {
        let ascending = &mut self.lower[point * self.count..][..self.count];
        if lower > ascending[0] {
            let place = ascending.iter().take_while(|&&other| other < lower).count();
            ascending.copy_within(1..place, 0);
            ascending[place - 1] = lower;
            self.least[point] = ascending[0];
        }
    }

    /// Drops whom better ones have overtaken. Whether there is room now.
    #[cold]
    fn sort_out(&mut self, point: usize) -> bool {
        let (least, entries) = (self.least[point], &mut self.entries[point * self.room..][..self.room]);
        let mut kept = 0;
        for i in 0..entries.len() {
            if entries[i].1 >= least {
                entries[kept] = entries[i];
                kept += 1;
            }
        }
        self.len[point] = kept;
        kept < self.room
    }
}

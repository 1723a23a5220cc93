//! Byte-pair encoding: the adjacent pair of symbols that comes first in the list of merges becomes one symbol, the
//! leftmost first among equals, until no pair is in the list.
//!
//! Short words are searched for their best pair each time. Long ones keep the places of pairs by their rank: time in
//! proportion, and some 30 bytes of memory a symbol.

use std::collections::BTreeMap;

/// A pair of ids that becomes one.
#[derive(Clone, Copy)]
struct Merge {
    left: u32,
    right: u32,
    rank: u32,
}

/// The list of merges.
pub struct Merges {
    /// By pair: a merge is at the place that its hash says or behind it, before the next place that is free. At least
    /// half of the places are.
    places: Vec<Merge>,
    /// A bit for each of 16 hashes a merge: most pairs are none, and are seen not to be without a look at `places`.
    seen: Vec<u64>,
    /// What becomes of a pair, by rank.
    ids: Vec<u32>,
}

/// No pair that can be merged.
const NEVER: u32 = u32::MAX;

/// A place without a merge.
const FREE: Merge = Merge { left: NEVER, right: NEVER, rank: NEVER };

/// Nothing comes before or behind.
const END: u32 = u32::MAX;

/// Longer words keep places.
const SHORT: usize = 40;

#[derive(Clone, Copy)]
struct Symbol {
    /// [`NEVER`]: merged into the one before.
    id: u32,
    previous: u32,
    next: u32,
}

/// Memory to use again.
#[derive(Default)]
pub struct Scratch {
    /// The symbols to merge, and what they became.
    pub ids: Vec<u32>,
    symbols: Vec<Symbol>,
    waiting: Waiting,
}

#[inline]
fn hash(left: u32, right: u32) -> u32 {
    let pair = u64::from(left) << 32 | u64::from(right);
    (pair.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
}

impl Merges {
    /// From pairs and what becomes of them, in the order of their ranks. A pair that comes again has the later rank.
    pub fn new(merges: impl ExactSizeIterator<Item = (u32, u32, u32)>) -> Merges {
        let places = (2 * merges.len()).next_power_of_two().max(8);
        let mut all =
            Merges { places: vec![FREE; places], seen: vec![0; places / 8], ids: Vec::with_capacity(merges.len()) };
        for (rank, (left, right, id)) in (0..).zip(merges) {
            let hash = hash(left, right);
            let place = all.place(hash, left, right);
            all.places[place] = Merge { left, right, rank };
            let (word, bit) = all.bit(hash);
            all.seen[word] |= bit;
            all.ids.push(id);
        }
        all
    }

    /// The word of `seen`, and the bit in it.
    #[inline]
    fn bit(&self, hash: u32) -> (usize, u64) {
        (hash as usize >> 6 & (self.seen.len() - 1), 1 << (hash & 63))
    }

    /// Where this pair is, or would be.
    #[inline]
    fn place(&self, hash: u32, left: u32, right: u32) -> usize {
        let mask = self.places.len() - 1;
        let mut place = hash as usize & mask;
        loop {
            let found = &self.places[place];
            if (found.left == left && found.right == right) || found.rank == NEVER {
                return place;
            }
            place = (place + 1) & mask;
        }
    }

    #[inline]
    fn rank(&self, left: u32, right: u32) -> u32 {
        let hash = hash(left, right);
        let (word, bit) = self.bit(hash);
        if self.seen[word] & bit == 0 {
            return NEVER;
        }
        self.places[self.place(hash, left, right)].rank
    }

    /// Merges `scratch.ids`.
    pub fn apply(&self, scratch: &mut Scratch) {
        if scratch.ids.len() <= SHORT { self.apply_short(scratch) } else { self.apply_long(scratch) }
    }

    /// Symbols stay where they are, each with the next one and the one before; a pair's rank is at its left symbol.
    fn apply_short(&self, Scratch { ids, .. }: &mut Scratch) {
        let (mut next, mut previous) = ([0_u8; SHORT + 1], [0_u8; SHORT + 1]);
        let mut ranks = [NEVER; SHORT];
        let count = ids.len();
        for at in 0..count {
            (next[at], previous[at + 1]) = (at as u8 + 1, at as u8);
        }
        ids.windows(2).zip(&mut ranks).for_each(|(pair, rank)| *rank = self.rank(pair[0], pair[1]));
        loop {
            let (mut at, mut least) = (0, NEVER);
            for (place, &rank) in ranks[..count].iter().enumerate() {
                (at, least) = if rank < least { (place, rank) } else { (at, least) };
            }
            if least == NEVER {
                break;
            }
            let merged = usize::from(next[at]);
            let after = usize::from(next[merged]);
            (ids[at], ids[merged], ranks[merged]) = (self.ids[least as usize], NEVER, NEVER);
            (next[at], previous[after]) = (after as u8, at as u8);
            ranks[at] = if after < count { self.rank(ids[at], ids[after]) } else { NEVER };
            if at > 0 {
                let before = usize::from(previous[at]);
                ranks[before] = self.rank(ids[before], ids[at]);
            }
        }
        ids.retain(|&id| id != NEVER);
    }

    /// Pairs of one rank are merged from left to right, then those of the next. A pair of a lower rank that comes up
    /// meanwhile, which lists that were trained do not have, goes first.
    fn apply_long(&self, Scratch { ids, symbols, waiting, .. }: &mut Scratch) {
        let count = ids.len();
        symbols.clear();
        symbols.extend(ids.iter().enumerate().map(|(at, &id)| Symbol {
            id,
            previous: if at == 0 { END } else { at as u32 - 1 },
            next: if at + 1 == count { END } else { at as u32 + 1 },
        }));
        (0..).zip(ids.windows(2)).for_each(|(at, pair)| waiting.push(self.rank(pair[0], pair[1]), at));
        while let Some((rank, mut places)) = waiting.0.pop_first() {
            places.sort_unstable();
            let mut places = places.into_iter();
            for at in places.by_ref() {
                let left = symbols[at as usize];
                if left.id == NEVER || left.next == END {
                    continue;
                }
                let right = symbols[left.next as usize];
                if self.rank(left.id, right.id) != rank {
                    continue;
                }
                let id = self.ids[rank as usize];
                symbols[left.next as usize].id = NEVER;
                symbols[at as usize] = Symbol { id, next: right.next, ..left };
                if right.next != END {
                    symbols[right.next as usize].previous = at;
                    waiting.push(self.rank(id, symbols[right.next as usize].id), at);
                }
                if left.previous != END {
                    waiting.push(self.rank(symbols[left.previous as usize].id, id), left.previous);
                }
                if waiting.0.first_key_value().is_some_and(|(&lower, _)| lower < rank) {
                    break;
                }
            }
            places.for_each(|at| waiting.push(rank, at));
        }
        ids.clear();
        ids.extend(symbols.iter().map(|symbol| symbol.id).filter(|&id| id != NEVER));
        // A giant word's memory is not kept.
        if symbols.len() > 1 << 16 {
            *symbols = Vec::new();
        }
    }
}

/// Places of pairs by their rank.
#[derive(Default)]
struct Waiting(BTreeMap<u32, Vec<u32>>);

impl Waiting {
    fn push(&mut self, rank: u32, at: u32) {
        if rank != NEVER {
            self.0.entry(rank).or_default().push(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_and_short_words_are_merged_alike() {
        let mut state = 1_u64;
        let mut below = |end: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) % end
        };
        for _ in 0..2000 {
            let list: Vec<_> = (0..below(12)).map(|rank| [below(3 + rank), below(3 + rank), 3 + rank]).collect();
            let merges = Merges::new(list.iter().map(|merge| merge.map(|id| id as u32).into()));
            let ids: Vec<u32> = (0..below(40)).map(|_| below(3) as u32).collect();
            let (mut short, mut long) =
                (Scratch { ids: ids.clone(), ..Default::default() }, Scratch { ids, ..Default::default() });
            merges.apply_short(&mut short);
            merges.apply_long(&mut long);
            assert_eq!(short.ids, long.ids);
        }
    }
}

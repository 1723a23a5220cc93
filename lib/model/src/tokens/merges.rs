//! Byte-pair encoding: the adjacent pair of symbols that comes first in the list of merges becomes one symbol, the
//! leftmost first among equals, until no pair is in the list.
//!
//! Short words are searched for their best pair each time. Long ones keep the places of pairs by their rank: time in
//! proportion, and some 30 bytes of memory a symbol.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

/// A hasher of numbers, and of short texts that nobody chooses to harm: one multiplication spreads eight bytes well
/// enough.
#[derive(Default, Clone)]
pub struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(8) {
            let mut number = [0; 8];
            number[..part.len()].copy_from_slice(part);
            self.write_u64(u64::from_le_bytes(number));
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        let product = u128::from(self.0 ^ number ^ 0x9e37_79b9_7f4a_7c15) * 0xa076_1d64_78bd_642f;
        self.0 = (product >> 64) as u64 ^ product as u64;
    }
}

/// A map with numbers for keys.
pub type NumberMap<K, V> = HashMap<K, V, BuildHasherDefault<NumberHasher>>;

/// A set of numbers.
pub type NumberSet<K> = std::collections::HashSet<K, BuildHasherDefault<NumberHasher>>;

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
    ranks: Vec<u32>,
    symbols: Vec<Symbol>,
    waiting: Waiting,
}

impl Merges {
    /// From pairs and what becomes of them, in the order of their ranks. A pair that comes again has the later rank.
    pub fn new(merges: impl ExactSizeIterator<Item = (u32, u32, u32)>) -> Merges {
        let places = (2 * merges.len()).next_power_of_two().max(2);
        let mut all = Merges { places: vec![FREE; places], ids: Vec::with_capacity(merges.len()) };
        for (rank, (left, right, id)) in (0..).zip(merges) {
            let place = all.place(left, right);
            all.places[place] = Merge { left, right, rank };
            all.ids.push(id);
        }
        all
    }

    /// Where this pair is, or would be.
    fn place(&self, left: u32, right: u32) -> usize {
        let mask = self.places.len() - 1;
        let pair = u64::from(left) << 32 | u64::from(right);
        let hash = pair.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut place = (hash >> 32) as usize & mask;
        loop {
            let found = &self.places[place];
            if (found.left == left && found.right == right) || found.rank == NEVER {
                return place;
            }
            place = (place + 1) & mask;
        }
    }

    fn rank(&self, left: u32, right: u32) -> u32 {
        self.places[self.place(left, right)].rank
    }

    /// Merges `scratch.ids`.
    pub fn apply(&self, scratch: &mut Scratch) {
        if scratch.ids.len() <= SHORT { self.apply_short(scratch) } else { self.apply_long(scratch) }
    }

    fn apply_short(&self, Scratch { ids, ranks, .. }: &mut Scratch) {
        ranks.clear();
        ranks.extend(ids.windows(2).map(|pair| self.rank(pair[0], pair[1])));
        while let Some((at, _)) =
            ranks.iter().enumerate().min_by_key(|&(_, rank)| rank).filter(|&(_, &rank)| rank != NEVER)
        {
            ids[at] = self.ids[ranks[at] as usize];
            ids.remove(at + 1);
            ranks.remove(at);
            if at > 0 {
                ranks[at - 1] = self.rank(ids[at - 1], ids[at]);
            }
            if at < ranks.len() {
                ranks[at] = self.rank(ids[at], ids[at + 1]);
            }
        }
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

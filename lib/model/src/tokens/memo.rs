//! Words that were tokenized before, with their ids. A tokenizer's ids of a word depend on the word alone, so what is
//! remembered is exact; what is forgotten is computed again.

use super::Failed;
use super::near::{Ids, Key, Near};
use super::window::{self, Starts};
use xxhash_rust::xxh3::xxh3_64;

/// Longer words are rarely met again.
pub const KEY_MAX: usize = 64;

/// Places of the table; half of them are used at the most.
const SLOTS: usize = 1 << 17;

struct Entry {
    hash: u64,
    key: u32,
    ids: u32,
    key_len: u8,
    ids_len: u8,
}

/// A table of words, forgotten all at once when it is full. Some 5 MB.
pub struct Memo {
    /// Place in `entries` plus one; 0: free.
    slots: Vec<u32>,
    entries: Vec<Entry>,
    keys: Vec<u8>,
    ids: Vec<u32>,
}

impl Memo {
    pub fn new() -> Memo {
        Memo { slots: vec![0; SLOTS], entries: Vec::new(), keys: Vec::new(), ids: Vec::new() }
    }

    /// The ids of a word of [`KEY_MAX`] bytes at the most.
    pub fn get(&self, key: &[u8]) -> Option<&[u32]> {
        let hash = xxh3_64(key);
        let mut slot = hash as usize % SLOTS;
        loop {
            let entry = &self.entries[self.slots[slot].checked_sub(1)? as usize];
            if entry.hash == hash && self.keys[entry.key as usize..][..entry.key_len.into()] == *key {
                return Some(&self.ids[entry.ids as usize..][..entry.ids_len.into()]);
            }
            slot = (slot + 1) % SLOTS;
        }
    }

    /// Remembers the ids of a word that is not there.
    pub fn insert(&mut self, key: &[u8], ids: &[u32]) {
        let hash = xxh3_64(key);
        let Ok(ids_len) = u8::try_from(ids.len()) else { return };
        if self.entries.len() == SLOTS / 2 {
            self.slots.fill(0);
            self.entries.clear();
            self.keys.clear();
            self.ids.clear();
        }
        let (key_at, ids_at) = (self.keys.len() as u32, self.ids.len() as u32);
        self.keys.extend_from_slice(key);
        self.ids.extend_from_slice(ids);
        self.entries.push(Entry { hash, key: key_at, ids: ids_at, key_len: key.len() as u8, ids_len });
        let mut slot = hash as usize % SLOTS;
        while self.slots[slot] != 0 {
            slot = (slot + 1) % SLOTS;
        }
        self.slots[slot] = self.entries.len() as u32;
    }
}

/// Words of texts: most are short and have few ids, and are found with one look.
pub struct Words {
    near: Near,
    far: Memo,
}

impl Words {
    pub fn new() -> Words {
        Words { near: Near::new(), far: Memo::new() }
    }

    /// Looks for the short words of a window, all before the ids of any are used: so the processor waits for all at
    /// once.
    #[inline]
    pub fn look(&self, text: &[u8], starts: Starts, found: &mut [Ids; window::BYTES]) {
        for ((start, end), found) in starts.zip(found) {
            *found = Key::new(&text[start..], end - start).map_or(Ids::NONE, |key| self.near.get(&key));
        }
    }

    /// Appends the ids of the word of so many bytes that the text begins with: those that are remembered, or those that
    /// `encode` appends, which are remembered then unless the word is long.
    ///
    /// # Errors
    /// Those of `encode`.
    #[inline(never)]
    pub fn append_or(
        &mut self,
        text: &[u8],
        length: usize,
        ids: &mut Vec<u32>,
        encode: impl FnOnce(&mut Vec<u32>) -> Result<(), Failed>,
    ) -> Result<(), Failed> {
        if length > KEY_MAX {
            return encode(ids);
        }
        if self.append(text, length, ids) {
            return Ok(());
        }
        let start = ids.len();
        encode(ids)?;
        self.insert(&text[..length], &ids[start..]);
        Ok(())
    }

    /// Appends the ids of the word of so many bytes, [`KEY_MAX`] at the most, that the text begins with; false: it is
    /// not remembered.
    fn append(&self, text: &[u8], length: usize, ids: &mut Vec<u32>) -> bool {
        if let Some(key) = Key::new(text, length) {
            let near = self.near.get(&key);
            if near == Ids::NONE {
                return false;
            }
            if near.append(ids) {
                return true;
            }
        }
        let far = self.far.get(&text[..length]);
        far.inspect(|known| ids.extend_from_slice(known)).is_some()
    }

    /// Remembers the ids of a word that is not there.
    fn insert(&mut self, word: &[u8], ids: &[u32]) {
        if !Key::new(word, word.len()).is_some_and(|key| self.near.insert(key, ids)) {
            self.far.insert(word, ids);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_right_also_after_forgetting() {
        let mut memo = Memo::new();
        let mut forgotten = 0;
        for number in 0..400_000_u32 {
            let key = (number % 150_000).to_string();
            if let Some(ids) = memo.get(key.as_bytes()) {
                assert_eq!(ids, [number % 150_000]);
            } else {
                forgotten += u32::from(number >= 150_000);
                memo.insert(key.as_bytes(), &[number % 150_000]);
            }
        }
        assert!(forgotten > 0, "the table must have been full");
        assert_eq!(memo.get(b"399999"), None);
    }

    #[test]
    fn words_of_all_lengths_and_numbers_of_ids_are_remembered() {
        let mut words = Words::new();
        let text: Vec<u8> = (0..60).map(|at| b'a' + at % 26).collect();
        let (mut found, mut state) = (0, 1_u64);
        for _ in 0..20_000 {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let (start, length) = ((state >> 33) as usize % 20, 1 + (state >> 40) as usize % 40);
            let word = &text[start..start + length];
            let expected: Vec<u32> = (0..length as u32 / 4 + 1).map(|at| start as u32 * 100 + at).collect();
            let mut ids = vec![7];
            if words.append(&text[start..], length, &mut ids) {
                assert_eq!(ids[1..], expected);
                found += 1;
            } else {
                assert_eq!(ids, [7]);
                words.insert(word, &expected);
            }
        }
        assert!(found > 18_000, "{found}");
    }
}

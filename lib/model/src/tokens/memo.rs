//! Words that were tokenized before, with their ids. A tokenizer's ids of a word depend on the word alone, so what is
//! remembered is exact; what is forgotten is computed again.

use xxhash_rust::xxh3::xxh3_64;

/// Longer words are rarely met again.
pub const KEY_MAX: usize = 64;

/// Places of the table; half of them are used at the most.
const SLOTS: usize = 1 << 18;

struct Entry {
    hash: u64,
    key: u32,
    ids: u32,
    key_len: u8,
    ids_len: u8,
}

/// A table of words, forgotten all at once when it is full. Some 10 MB.
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

    /// The ids of a word of [`KEY_MAX`] bytes at the most, or its hash for [`Memo::insert`].
    #[inline]
    pub fn get(&self, key: &[u8]) -> Result<&[u32], u64> {
        let hash = xxh3_64(key);
        let mut slot = hash as usize % SLOTS;
        loop {
            let Some(entry) = self.slots[slot].checked_sub(1) else { return Err(hash) };
            let entry = &self.entries[entry as usize];
            if entry.hash == hash && self.keys[entry.key as usize..][..entry.key_len.into()] == *key {
                return Ok(&self.ids[entry.ids as usize..][..entry.ids_len.into()]);
            }
            slot = (slot + 1) % SLOTS;
        }
    }

    /// Appends the ids of a word, or gives its hash for [`Memo::insert`].
    #[inline]
    pub fn append(&self, key: &[u8], ids: &mut Vec<u32>) -> Result<(), u64> {
        self.get(key).map(|known| ids.extend_from_slice(known))
    }

    /// Remembers the ids of a word that is not there.
    pub fn insert(&mut self, hash: u64, key: &[u8], ids: &[u32]) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_right_also_after_forgetting() {
        let mut memo = Memo::new();
        let mut forgotten = 0;
        for number in 0..400_000_u32 {
            let key = (number % 150_000).to_string();
            match memo.get(key.as_bytes()) {
                Ok(ids) => assert_eq!(ids, [number % 150_000]),
                Err(hash) => {
                    forgotten += u32::from(number >= 150_000);
                    memo.insert(hash, key.as_bytes(), &[number % 150_000]);
                }
            }
        }
        assert!(forgotten > 0, "the table must have been full");
        assert_eq!(memo.get(b"399999").ok(), None);
    }
}

//! Short words with few ids, which most words of a text are: two of them to a line of memory, so that a look is one
//! access.

/// Longer words have no [`Key`].
const BYTES_MAX: usize = 16;

/// The first bytes of a word, by their number.
static FIRST: [u128; BYTES_MAX + 1] = {
    let (mut first, mut length) = ([0; BYTES_MAX + 1], 1);
    while length <= BYTES_MAX {
        first[length] = first[length - 1] << 8 | 0xff;
        length += 1;
    }
    first
};

/// More ids do not fit.
const IDS_MAX: usize = 3;

/// Lines of 64 bytes: 4 MB.
const LINES: usize = 1 << 16;

/// Bytes of a large page.
const LARGE_PAGE: usize = 2 << 20;

/// Parts of a line: a word, its ids, another word, its ids.
const PARTS: usize = 4;

/// Words by a line each, which holds the two that came last.
pub struct Near {
    /// A word is its bytes, the first lowest. Behind it are its ids in 32 bits each, then its length and the number of
    /// ids in 8 bits each. A length of 0: nothing.
    parts: Vec<u128>,
    /// Parts before the first line, which begins where a large page does.
    before: usize,
}

/// A word as it is remembered.
#[derive(Clone, Copy)]
pub struct Key {
    word: u128,
    length: u8,
}

impl Key {
    /// The word of so many bytes that the text begins with.
    #[inline]
    pub fn new(text: &[u8], length: usize) -> Option<Key> {
        if length > BYTES_MAX {
            return None;
        }
        let bytes = match text.first_chunk() {
            Some(bytes) => *bytes,
            None => {
                let mut bytes = [0; BYTES_MAX];
                bytes[..length].copy_from_slice(&text[..length]);
                bytes
            }
        };
        Some(Key { word: u128::from_le_bytes(bytes) & FIRST[length], length: length as u8 })
    }

    #[inline]
    fn line(&self) -> usize {
        let (low, high) = (self.word as u64, (self.word >> 64) as u64 ^ u64::from(self.length));
        let product = u128::from(low ^ 0x9e37_79b9_7f4a_7c15) * u128::from(high ^ 0xa076_1d64_78bd_642f);
        ((product >> 64) as usize ^ product as usize) % LINES
    }

    #[inline]
    fn is(&self, word: u128, ids: u128) -> bool {
        (word == self.word) & ((ids >> 96) as u8 == self.length)
    }
}

/// What is known of the ids of a word: nothing (0), the ids, or that they are [`Ids::ELSEWHERE`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Ids(u128);

impl Ids {
    pub const NONE: Ids = Ids(0);

    /// The bit of words with more ids than fit.
    const ELSEWHERE: u128 = 1 << 127;

    /// Appends them; false: they are not here.
    #[inline]
    pub fn append(self, out: &mut Vec<u32>) -> bool {
        // Neither 0 nor the highest bit.
        if (self.0 as i128) <= 0 {
            return false;
        }
        let id = |place: u32| (self.0 >> (32 * place)) as u32;
        let start = out.len();
        out.extend_from_slice(&[id(0), id(1), id(2)]);
        out.truncate(start + usize::from((self.0 >> 104) as u8));
        true
    }
}

impl Near {
    pub fn new() -> Near {
        // Zeros are not written: memory comes when it is first used.
        let parts = vec![0; PARTS * LINES + LARGE_PAGE / size_of::<u128>()];
        let address = parts.as_ptr().addr();
        let near = Near { before: (address.next_multiple_of(LARGE_PAGE) - address) / size_of::<u128>(), parts };
        near.ask_for_large_pages();
        near
    }

    /// A look is anywhere in the table: with pages of 4 KB most would have to find their page first. Where there are
    /// none, all is as it was.
    fn ask_for_large_pages(&self) {
        let lines = &self.parts[self.before..][..PARTS * LINES];
        #[cfg(target_os = "linux")]
        // SAFETY: the memory is ours, and stays what it is.
        unsafe {
            libc::madvise(lines.as_ptr().cast_mut().cast(), size_of_val(lines), libc::MADV_HUGEPAGE);
        }
    }

    #[inline]
    fn place(&self, key: &Key) -> usize {
        self.before + PARTS * key.line()
    }

    /// What is known of a word. Nothing here depends on what is found, so that the next words are looked for while
    /// memory is waited for.
    #[inline]
    pub fn get(&self, key: &Key) -> Ids {
        let start = self.place(key);
        let &[first, first_ids, second, second_ids] = self.parts[start..].first_chunk().expect("it is a line");
        let mask = |found| 0_u128.wrapping_sub(u128::from(found));
        Ids(first_ids & mask(key.is(first, first_ids)) | second_ids & mask(key.is(second, second_ids)))
    }

    /// Remembers a word that is not there, in place of the older one of its line; false: it has too many ids, and only
    /// that is remembered.
    pub fn insert(&mut self, key: Key, ids: &[u32]) -> bool {
        let fits = ids.len() <= IDS_MAX;
        let numbers = if fits { (ids.len() as u128) << 104 } else { Ids::ELSEWHERE } | u128::from(key.length) << 96;
        let ids = (0..).zip(ids).take(IDS_MAX).fold(numbers, |all, (place, &id)| all | u128::from(id) << (32 * place));
        let start = self.place(&key);
        self.parts.copy_within(start..start + 2, start + 2);
        self.parts[start..start + 2].copy_from_slice(&[key.word, ids]);
        fits
    }
}

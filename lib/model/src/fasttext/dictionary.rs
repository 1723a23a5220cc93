//! From a text to rows of the input matrix: words, n-grams of letters, n-grams of words.

use super::bytes::Bytes;
use super::settings::Settings;
use std::ops::Range;

/// The word that ends every text.
const END: &[u8] = b"</s>";

/// What labels begin with; a word that begins so and is not known is passed over.
const LABEL: &[u8] = b"__label__";

/// The step from one word of an n-gram to the next.
const WORD_STEP: u64 = 116_049_371;

/// Fibonacci hashing: the upper bits of the product are spread evenly.
const SPREAD: u32 = 0x9e37_79b1;

/// No entry.
const NONE: u32 = u32::MAX;

/// The words of a model and the numbers of its n-grams. Rows of the input are words, then n-grams.
#[derive(Debug)]
pub(super) struct Dictionary {
    settings: Settings,
    words: usize,
    /// Where the words, then the labels begin in the file; a zero ends each.
    begins: Vec<usize>,
    /// Entries by the hash of their word, with linear probing; a power of two of slots, half of them empty at least.
    slots: Vec<u32>,
    /// Which n-grams are left; `None`: all.
    kept: Option<Kept>,
}

/// The n-grams that pruning has left: from hash to place. A power of two of slots, as above.
#[derive(Debug)]
struct Kept {
    slots: Vec<(u32, u32)>,
    shift: u32,
    place_max: Option<u32>,
}

/// The buffers of a thread.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// A word between `<` and `>`.
    word: Vec<u8>,
    /// The hashes of the words of a text.
    hashes: Vec<i32>,
}

impl Dictionary {
    pub(super) fn read(reader: &mut Bytes, settings: &Settings) -> Result<Dictionary, String> {
        let size = reader.size("entries of the dictionary", 1)?;
        let (words, labels) = (reader.size("words", 0)?, reader.size("labels", 1)?);
        if words + labels != size {
            return Err(format!("dictionary: expected {words} words and {labels} labels, found {size} entries"));
        }
        reader.i64("tokens")?;
        let pruned = reader.i64("pruned n-grams")?;
        let mut entries = Vec::new();
        for entry in 0..size {
            entries.push(read_entry(reader, entry, entry >= words)?);
        }
        if pruned > i64::from(settings.buckets) {
            return Err(format!("pruned n-grams: expected at most {}, found {pruned}", settings.buckets));
        }
        let kept = (pruned >= 0).then(|| Kept::read(reader, pruned as u64)).transpose()?;
        let slots = slots(reader.all(), &entries);
        let begins = entries.into_iter().map(|word| word.start).collect();
        Ok(Dictionary { settings: *settings, words, begins, slots, kept })
    }

    /// Every row that a text can lead to must be there.
    pub(super) fn check(&self, rows: usize, is_quantised: bool) -> Result<(), String> {
        let ngrams = match &self.kept {
            Some(_) if !is_quantised => return Err("pruned, but not quantised: an old file; expected a new one".into()),
            Some(kept) => kept.place_max.map_or(0, |most| most as usize + 1),
            None if self.settings.word_ngrams <= 1 && self.settings.letters_max == 0 => 0,
            None => self.settings.buckets as usize,
        };
        match self.words + ngrams {
            needed if needed > rows => {
                Err(format!("input: expected {} words and {ngrams} n-grams, found {rows} rows", self.words))
            }
            _ => Ok(()),
        }
    }

    /// The labels, without what they begin with.
    pub(super) fn labels(&self, bytes: &[u8]) -> Result<Vec<String>, String> {
        let label = |(number, &begin): (usize, &usize)| {
            let label = word_at(bytes, begin);
            let text = str::from_utf8(label.strip_prefix(LABEL).unwrap_or(label));
            let text = text.ok().filter(|text| !text.contains(['\t', '\n', '\r']));
            text.map(str::to_string).ok_or_else(|| format!("label {number}: expected UTF-8 without tabs and newlines"))
        };
        self.begins[self.words..].iter().enumerate().map(label).collect()
    }

    /// How often each label occurred in training.
    pub(super) fn label_counts<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = i64> {
        self.begins[self.words..].iter().map(move |&begin| {
            let count = &bytes[begin + word_at(bytes, begin).len() + 1..][..8];
            i64::from_le_bytes(count.try_into().expect("eight bytes"))
        })
    }

    /// Gives the rows of a text to `see`, in the order in which fastText adds them up. A newline is a space, and the
    /// text ends with the word that ends lines, also where it stands in the middle.
    pub(super) fn rows(&self, bytes: &[u8], text: &[u8], scratch: &mut Scratch, mut see: impl FnMut(usize)) {
        let Scratch { word, hashes } = scratch;
        hashes.clear();
        let spaces = |&byte: &u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t' | 0x0b | 0x0c | 0);
        let words = text.split(spaces).filter(|token| !token.is_empty()).take_while(|&token| token != END);
        for token in words.chain([END]) {
            let hash = hash(token);
            match self.find(bytes, token, hash) {
                Some(label) if label >= self.words => continue,
                None if token.starts_with(LABEL) => continue,
                known => {
                    known.into_iter().for_each(&mut see);
                    if token != END {
                        self.letters(token, word, &mut see);
                    }
                }
            }
            hashes.push(hash as i32);
        }
        self.word_ngrams(hashes, see);
    }

    /// The rows of the n-grams of a word's letters, `<` and `>` around it included; a letter is what UTF-8 says.
    fn letters(&self, token: &[u8], word: &mut Vec<u8>, see: &mut impl FnMut(usize)) {
        let Settings { letters_min, letters_max, .. } = self.settings;
        if letters_max == 0 {
            return;
        }
        word.clear();
        word.push(b'<');
        word.extend_from_slice(token);
        word.push(b'>');
        let is_inside = |&byte: &u8| byte & 0xc0 == 0x80;
        for begin in 0..word.len() {
            if is_inside(&word[begin]) {
                continue;
            }
            let (mut hash, mut end) = (HASH, begin);
            for letters in 1..=letters_max {
                if end == word.len() {
                    break;
                }
                let next = 1 + word[end + 1..].iter().take_while(|byte| is_inside(byte)).count();
                hash = word[end..end + next].iter().fold(hash, step);
                end += next;
                let is_bracket = letters == 1 && (begin == 0 || end == word.len());
                if letters >= letters_min && !is_bracket {
                    self.ngram(u64::from(hash), see);
                }
            }
        }
    }

    fn word_ngrams(&self, hashes: &[i32], mut see: impl FnMut(usize)) {
        for (begin, &first) in hashes.iter().enumerate() {
            let mut hash = first as u64;
            for &next in hashes[begin + 1..].iter().take(self.settings.word_ngrams.saturating_sub(1)) {
                hash = hash.wrapping_mul(WORD_STEP).wrapping_add(next as u64);
                self.ngram(hash, &mut see);
            }
        }
    }

    fn ngram(&self, hash: u64, see: &mut impl FnMut(usize)) {
        let bucket = match u32::try_from(hash) {
            Ok(hash) => hash % self.settings.buckets,
            Err(_) => (hash % u64::from(self.settings.buckets)) as u32,
        };
        match &self.kept {
            None => see(self.words + bucket as usize),
            Some(kept) => kept.place(bucket).into_iter().for_each(|place| see(self.words + place as usize)),
        }
    }

    fn find(&self, bytes: &[u8], token: &[u8], hash: u32) -> Option<usize> {
        let entry = self.slots[slot(&self.slots, hash, |entry| is_word(bytes, self.begins[entry], token))];
        (entry != NONE).then_some(entry as usize)
    }
}

/// Where the word of an entry is.
fn read_entry(reader: &mut Bytes, entry: usize, is_label: bool) -> Result<Range<usize>, String> {
    let word = reader.word("a word of the dictionary")?;
    reader.i64("the count of a word")?;
    match reader.take("the kind of a word", 1)? {
        [kind] if *kind == u8::from(is_label) => Ok(word),
        kind => {
            let expected = if is_label { "a label (1)" } else { "a word (0)" };
            Err(format!("dictionary: entry {entry}: expected {expected}, found {}", kind[0]))
        }
    }
}

fn word_at(bytes: &[u8], begin: usize) -> &[u8] {
    let rest = &bytes[begin..];
    &rest[..memchr::memchr(0, rest).unwrap_or(rest.len())]
}

fn is_word(bytes: &[u8], begin: usize, token: &[u8]) -> bool {
    bytes[begin..].starts_with(token) && bytes.get(begin + token.len()) == Some(&0)
}

/// Of equal words the last is found.
fn slots(bytes: &[u8], words: &[Range<usize>]) -> Vec<u32> {
    let mut slots = vec![NONE; (2 * words.len()).next_power_of_two()];
    for (entry, word) in words.iter().enumerate() {
        let word = &bytes[word.clone()];
        let at = slot(&slots, hash(word), |other| bytes[words[other].clone()] == *word);
        slots[at] = entry as u32;
    }
    slots
}

/// The slot of the entry that is the right one, else the empty one where it would be.
fn slot(slots: &[u32], hash: u32, is_right: impl Fn(usize) -> bool) -> usize {
    let mask = slots.len() - 1;
    let mut at = hash as usize & mask;
    while slots[at] != NONE && !is_right(slots[at] as usize) {
        at = (at + 1) & mask;
    }
    at
}

impl Kept {
    fn read(reader: &mut Bytes, count: u64) -> Result<Kept, String> {
        let pairs = reader.take("pruned n-grams", count.saturating_mul(8))?.as_chunks::<8>().0;
        let bits = (2 * pairs.len()).max(2).next_power_of_two().trailing_zeros();
        let mut kept = Kept { slots: vec![(NONE, 0); 1 << bits], shift: 32 - bits, place_max: None };
        for pair in pairs {
            let number = |at: usize| i32::from_le_bytes([pair[at], pair[at + 1], pair[at + 2], pair[at + 3]]);
            let (Ok(bucket), Ok(place)) = (u32::try_from(number(0)), u32::try_from(number(4))) else {
                return Err(format!("pruned n-grams: expected 0 or more, found {} and {}", number(0), number(4)));
            };
            let at = kept.slot(bucket);
            kept.slots[at] = (bucket, place);
            kept.place_max = kept.place_max.max(Some(place));
        }
        Ok(kept)
    }

    /// The slot of a bucket, else the empty one where it would be.
    fn slot(&self, bucket: u32) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = (bucket.wrapping_mul(SPREAD) >> self.shift) as usize;
        while self.slots[at].0 != bucket && self.slots[at].0 != NONE {
            at = (at + 1) & mask;
        }
        at
    }

    fn place(&self, bucket: u32) -> Option<u32> {
        let (found, place) = self.slots[self.slot(bucket)];
        (found == bucket).then_some(place)
    }
}

/// The hash of no bytes.
const HASH: u32 = 2_166_136_261;

/// FNV-1a, but that a byte is extended by its sign.
fn step(hash: u32, byte: &u8) -> u32 {
    (hash ^ *byte as i8 as u32).wrapping_mul(16_777_619)
}

fn hash(bytes: &[u8]) -> u32 {
    bytes.iter().fold(HASH, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the source of fastText: the sign of a byte counts.
    #[test]
    fn bytes_are_signed() {
        assert_eq!(hash(b""), 2_166_136_261);
        assert_eq!(hash(b"a"), 0xe40c_292c);
        assert_eq!(hash(b"foobar"), 0xbf9c_f968);
        assert_eq!(hash(b"\xc3"), (2_166_136_261_u32 ^ 0xffff_ffc3).wrapping_mul(16_777_619));
    }
}

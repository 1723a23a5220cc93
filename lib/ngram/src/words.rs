//! Words of a text in lower case, as DSIR sees them.
//!
//! The text is lower-cased into a buffer while the class of each byte (word, white space, punctuation) is noted as
//! bits; then a word is a run of ones, found by counting trailing zeros. ASCII goes 64 bytes at a time; any other
//! character is looked up in CPython's tables ([`letters`](crate::letters)). The text is UTF-8 in which lone surrogates
//! may stand as three bytes; bytes that are neither are taken for one unassigned character each.

use crate::letters::{
    CAPITAL_SIGMA, Class, DOTTED_I, DOTTED_I_LOWER, FINAL_SIGMA, Letters, SMALL_SIGMA, Sigma, letters,
};
use crate::marks::{Kernel, Mask, Plain};
pub use crate::span::Span;

/// What is a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tokenizer {
    /// Runs of `\w`, and runs of what is neither `\w` nor `\s`: NLTK's `WordPunctTokenizer` on `str.lower()`.
    Wordpunct,
    /// Runs of anything but white space: `str.lower().split()`.
    Whitespace,
    /// Runs of `\w`: what [`Tokenizer::Wordpunct`] finds, without the punctuation.
    Words,
}

/// Finds words; keeps its buffers from text to text.
#[derive(Clone)]
pub struct Words {
    tokenizer: Tokenizer,
    letters: &'static Letters,
    lower: Vec<u8>,
    /// Bytes of `lower` that are text; what is behind them is padding.
    filled: usize,
    marks: Vec<Mask>,
    /// The marks of the last `filled % 64` bytes.
    open: Mask,
    starts: Places,
    ends: Places,
}

/// The words of a text.
pub struct Found<'a> {
    /// The text in lower case, and [`PADDING`] bytes of padding behind it.
    pub lower: &'a [u8],
    starts: &'a [u32],
    ends: &'a [u32],
}

/// Bytes behind the text that may be looked at.
pub const PADDING: usize = 32;

/// The longest text, in bytes: places are 32 bits, and lower case can be half as long again (U+0130).
pub const TEXT_MAX: usize = (u32::MAX / 2) as usize;

impl Words {
    /// A finder of words.
    pub fn new(tokenizer: Tokenizer) -> Words {
        Words {
            tokenizer,
            letters: letters(),
            lower: Vec::new(),
            filled: 0,
            marks: Vec::new(),
            open: Mask::default(),
            starts: Places::default(),
            ends: Places::default(),
        }
    }

    /// Finds the words of `text`.
    ///
    /// # Errors
    /// Above [`TEXT_MAX`] bytes.
    pub fn find(&mut self, text: &[u8]) -> Result<Found<'_>, String> {
        self.find_with(text, Plain)
    }

    /// The same with another kernel; in line, so that it takes on the caller's target features.
    #[inline(always)]
    pub(crate) fn find_with(&mut self, text: &[u8], kernel: impl Kernel) -> Result<Found<'_>, String> {
        if text.len() > TEXT_MAX {
            return Err(format!("a text of {} bytes: expected {TEXT_MAX} at the most", text.len()));
        }
        self.lower(text, kernel);
        match self.tokenizer {
            Tokenizer::Wordpunct => self.runs(kernel, |mask| (mask.word, !(mask.word | mask.space))),
            Tokenizer::Whitespace => self.runs(kernel, |mask| (!mask.space, 0)),
            Tokenizer::Words => self.runs(kernel, |mask| (mask.word, 0)),
        }
        Ok(Found { lower: &self.lower[..self.filled + PADDING], starts: self.starts.all(), ends: self.ends.all() })
    }

    #[inline(always)]
    fn lower(&mut self, text: &[u8], kernel: impl Kernel) {
        let room = text.len() + text.len() / 2 + 64 + PADDING;
        if self.lower.len() < room {
            self.lower.resize(room, 0);
        }
        self.marks.clear();
        (self.filled, self.open) = (0, Mask::default());
        let mut at = 0;
        while at < text.len() {
            let rest = &text[at..];
            let block = rest.first_chunk().map_or_else(|| kernel.block(&padded(rest)), |bytes| kernel.block(bytes));
            let ascii = rest.len().min(block.foreign.trailing_zeros() as usize);
            self.lower[self.filled..self.filled + 64].copy_from_slice(&block.lower);
            self.mark(block.mask, ascii);
            at += ascii;
            while at < text.len() && !text[at].is_ascii() {
                at += self.character(text, at);
            }
        }
        self.marks.push(self.open);
    }

    /// Notes the classes of the next `count` (at most 64) bytes, which are in place.
    #[inline(always)]
    fn mark(&mut self, mask: Mask, count: usize) {
        if count == 0 {
            return;
        }
        let kept = u64::MAX >> (64 - count);
        let mask = Mask { word: mask.word & kept, space: mask.space & kept };
        let shift = self.filled as u32 % 64;
        self.open.word |= mask.word << shift;
        self.open.space |= mask.space << shift;
        if shift as usize + count >= 64 {
            self.marks.push(self.open);
            // In two steps, because a shift by 64 is none.
            let rest = |bits: u64| bits >> 1 >> (63 - shift);
            self.open = Mask { word: rest(mask.word), space: rest(mask.space) };
        }
        self.filled += count;
    }

    /// Takes the character that begins at `at`; gives its length.
    fn character(&mut self, text: &[u8], at: usize) -> usize {
        let (code, length) = decode(&text[at..]);
        match code {
            DOTTED_I => DOTTED_I_LOWER.iter().for_each(|&code| self.push(code)),
            CAPITAL_SIGMA => self.push(self.sigma(text, at, length)),
            _ => self.push(self.letters.get(code).lower),
        }
        length
    }

    /// Appends a code point that is in lower case.
    fn push(&mut self, code: u32) {
        let class = self.letters.get(code).class;
        let (bytes, length) = encode(code);
        self.lower[self.filled..self.filled + 4].copy_from_slice(&bytes);
        let bits = |wanted| if class == wanted { u64::MAX } else { 0 };
        self.mark(Mask { word: bits(Class::Word), space: bits(Class::Space) }, length);
    }

    /// The lower case of a capital sigma: final after a cased letter and not before one, ignorable ones looked past.
    fn sigma(&self, text: &[u8], at: usize, length: usize) -> u32 {
        let kind = |code: u32| Some(self.letters.get(code).sigma).filter(|&sigma| sigma != Sigma::Ignorable);
        let before = code_points_before(&text[..at]).find_map(kind);
        let after = code_points(&text[at + length..]).find_map(kind);
        if before == Some(Sigma::Cased) && after != Some(Sigma::Cased) { FINAL_SIGMA } else { SMALL_SIGMA }
    }

    /// Finds where the runs of either of two classes start and end.
    #[inline(always)]
    fn runs(&mut self, kernel: impl Kernel, classes: impl Fn(&Mask) -> (u64, u64)) {
        self.starts.clear();
        self.ends.clear();
        let (mut last_one, mut last_other) = (0, 0);
        for (place, mask) in self.marks.iter().enumerate() {
            let base = 64 * place;
            // The last block is followed by one that is in no class, so that every run ends.
            let valid = match self.filled - base {
                0 => 0,
                bytes => u64::MAX >> (64 - bytes.min(64)),
            };
            let (one, other) = classes(mask);
            let (one, other) = (one & valid, other & valid);
            let (one_before, other_before) = (one << 1 | last_one, other << 1 | last_other);
            self.starts.push(kernel, one & !one_before | other & !other_before, base as u32);
            self.ends.push(kernel, !one & one_before | !other & other_before, base as u32);
            (last_one, last_other) = (one >> 63, other >> 63);
        }
    }
}

impl Found<'_> {
    /// Number of words.
    #[inline]
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// The words in order.
    #[inline(always)]
    pub fn spans(&self) -> impl Iterator<Item = Span> + '_ {
        self.starts.iter().zip(self.ends).map(|(&start, &end)| Span { start, end })
    }

    /// The words' bytes in order.
    pub fn words(&self) -> impl Iterator<Item = &[u8]> {
        self.spans().map(|span| span.of(self.lower))
    }
}

/// Places in a text, collected from bits.
#[derive(Debug, Clone, Default)]
struct Places {
    list: Vec<u32>,
    count: usize,
}

impl Places {
    fn clear(&mut self) {
        self.count = 0;
    }

    fn all(&self) -> &[u32] {
        &self.list[..self.count]
    }

    /// Appends `base` plus the place of each bit.
    #[inline(always)]
    fn push(&mut self, kernel: impl Kernel, bits: u64, base: u32) {
        if self.list.len() < self.count + 64 {
            self.list.resize(2 * self.count + 64, 0);
        }
        let places = self.list[self.count..].first_chunk_mut().expect("there is room for 64");
        kernel.places(bits, base, places);
        self.count += bits.count_ones() as usize;
    }
}

fn padded(rest: &[u8]) -> [u8; 64] {
    let mut bytes = [0; 64];
    bytes[..rest.len()].copy_from_slice(rest);
    bytes
}

/// The first code point and its length. Surrogates are code points here; a byte that begins nothing is U+FFFF,
/// unassigned for ever.
fn decode(bytes: &[u8]) -> (u32, usize) {
    let tail = |place: usize| bytes.get(place).filter(|&&byte| byte & 0xc0 == 0x80).map(|&byte| u32::from(byte & 0x3f));
    let first = u32::from(bytes[0]);
    let code = match first {
        0..0x80 => Some((first, 1)),
        0xc2..0xe0 => tail(1).map(|a| ((first & 0x1f) << 6 | a, 2)),
        0xe0..0xf0 => tail(1).zip(tail(2)).map(|(a, b)| ((first & 0xf) << 12 | a << 6 | b, 3)),
        0xf0..0xf5 => {
            let last = tail(2).zip(tail(3));
            tail(1).zip(last).map(|(a, (b, c))| ((first & 7) << 18 | a << 12 | b << 6 | c, 4))
        }
        _ => None,
    };
    code.filter(|&(code, _)| code < 0x11_0000).unwrap_or((0xffff, 1))
}

fn encode(code: u32) -> ([u8; 4], usize) {
    let tail = |shift: u32| 0x80 | (code >> shift & 0x3f) as u8;
    match code {
        0..0x80 => ([code as u8, 0, 0, 0], 1),
        0x80..0x800 => ([0xc0 | (code >> 6) as u8, tail(0), 0, 0], 2),
        0x800..0x1_0000 => ([0xe0 | (code >> 12) as u8, tail(6), tail(0), 0], 3),
        _ => ([0xf0 | (code >> 18) as u8, tail(12), tail(6), tail(0)], 4),
    }
}

fn code_points(mut bytes: &[u8]) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let (code, length) = (!bytes.is_empty()).then(|| decode(bytes))?;
        bytes = &bytes[length..];
        Some(code)
    })
}

fn code_points_before(mut bytes: &[u8]) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let last = bytes.len().checked_sub(1)?;
        let start = (last.saturating_sub(3)..=last).rev().find(|&at| bytes[at] & 0xc0 != 0x80).unwrap_or(last);
        let code = decode(&bytes[start..]).0;
        bytes = &bytes[..start];
        Some(code)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(tokenizer: Tokenizer, text: &str) -> Vec<String> {
        let mut words = Words::new(tokenizer);
        let found = words.find(text.as_bytes()).unwrap();
        found.words().map(|word| String::from_utf8(word.to_vec()).unwrap()).collect()
    }

    #[test]
    fn words_and_punctuation_alternate() {
        use Tokenizer::{Whitespace, Wordpunct};
        assert_eq!(
            words(Wordpunct, "Good muffins cost $3.88\nin_NY."),
            ["good", "muffins", "cost", "$", "3", ".", "88", "in_ny", "."]
        );
        assert_eq!(
            words(Whitespace, "Good muffins cost $3.88\nin_NY."),
            ["good", "muffins", "cost", "$3.88", "in_ny."]
        );
        assert_eq!(
            words(Tokenizer::Words, "Good muffins cost $3.88\nin_NY."),
            ["good", "muffins", "cost", "3", "88", "in_ny"]
        );
        assert_eq!(words(Wordpunct, ""), [""; 0]);
        assert_eq!(words(Wordpunct, " \x1c\u{85}\u{2028}\u{3000}"), [""; 0]);
    }

    #[test]
    fn lower_case_is_pythons() {
        use Tokenizer::Wordpunct;
        assert_eq!(words(Wordpunct, "ΟΔΥΣΣΕΥΣ Σ ΑΣ' ΑΣ'Α"), ["οδυσσευς", "σ", "ας", "'", "ασ", "'", "α"]);
        assert_eq!(words(Wordpunct, "İI\u{212a}ẞ²Ⅷ"), ["i", "\u{307}", "ikß²ⅷ"]);
    }

    #[test]
    fn runs_across_blocks_are_one_word() {
        for length in [1, 63, 64, 65, 127, 128, 129, 1000] {
            for lead in 0..70 {
                let text = " ".repeat(lead) + &"a".repeat(length);
                assert_eq!(words(Tokenizer::Wordpunct, &text), [&text[lead..]], "{lead} {length}");
                assert_eq!(
                    words(Tokenizer::Wordpunct, &(text.clone() + "é!")),
                    [&(text[lead..].to_string() + "é"), "!"]
                );
            }
        }
    }

    #[test]
    fn marks_do_not_depend_on_alignment() {
        let pattern = "ab, é. ΑΣ 漢字\u{1f600} x_1 ";
        let expected = words(Tokenizer::Wordpunct, pattern);
        let many = words(Tokenizer::Wordpunct, &pattern.repeat(50));
        assert!(many.chunks(expected.len()).all(|chunk| chunk == expected));
    }

    #[test]
    fn surrogates_and_stray_bytes_are_punctuation() {
        let mut words = Words::new(Tokenizer::Wordpunct);
        let found = words.find(b"a\xed\xa0\x80b\xffc\xe2\x82").unwrap();
        let words: Vec<_> = found.words().collect();
        assert_eq!(words.len(), 6);
        assert_eq!(words[..3], [&b"a"[..], b"\xed\xa0\x80", b"b"]);
    }
}

//! Where words end in the next 64 bytes of a text, all at once.
//!
//! A window begins where a word begins. Each class of characters is a number with a bit a byte, the first lowest, and
//! the rules of a pattern are a few operations on these. A window ends before the first character that is not ASCII;
//! what is not certain from the bytes in it is left to the next window, or to the rules by hand.

/// Bytes of a window.
pub const BYTES: usize = 64;

/// The classes of the bytes of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Masks {
    /// `\p{L}`
    letters: u64,
    /// `\p{N}`
    numbers: u64,
    /// `\s`
    white: u64,
    /// The space.
    space: u64,
    /// `[\r\n]`
    line_ends: u64,
    apostrophes: u64,
    /// Not ASCII: in no other class.
    beyond: u64,
}

/// The next bytes of a text.
pub struct Window<'t> {
    text: &'t [u8],
    masks: Masks,
    /// `[^\s\p{L}\p{N}]`
    marks: u64,
    /// Bytes that are in the window.
    length: u32,
    /// Whether the text ends with it.
    is_last: bool,
}

/// The beginnings of words in a window that are certain, from the lowest bit, which is always set. Between two is a
/// word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Starts(u64);

impl<'t> Window<'t> {
    /// The window at the beginning of a text, where a word begins.
    #[inline]
    pub fn new(text: &'t [u8]) -> Window<'t> {
        let masks = match text.first_chunk() {
            Some(bytes) => Masks::new(bytes),
            None => {
                let mut bytes = [0; BYTES];
                bytes[..text.len()].copy_from_slice(text);
                Masks::new(&bytes)
            }
        };
        let ascii = masks.beyond.trailing_zeros();
        let length = ascii.min(text.len().min(BYTES) as u32);
        let inside = below(length);
        let masks = masks.within(inside);
        let marks = inside & !(masks.letters | masks.numbers | masks.white);
        Window { text, masks, marks, length, is_last: text.len() < BYTES && length as usize == text.len() }
    }

    /// The words of GPT-2's pattern.
    #[inline]
    pub fn gpt2(&self) -> Starts {
        let Masks { letters, numbers, white, space, .. } = self.masks;
        let dark = letters | numbers | self.marks;
        let runs = first(letters) | first(numbers) | first(self.marks);
        // White space, of which the last character stands by itself, or with what follows if it is a space.
        let mut starts = first(white) | white & dark >> 1 | runs & !(space << 1);
        self.contractions(starts, |&letter| letter, |at, length| starts = starts & !bit(at + 1) | bit(at + length));
        self.certain(starts, u32::MAX)
    }

    /// The words of GPT-4's pattern, numbers of so many digits.
    #[inline]
    pub fn gpt4(&self, digits: usize) -> Starts {
        let Masks { letters, numbers, line_ends, space, .. } = self.masks;
        // Line ends that go with the marks before them.
        let behind_marks = line_ends & self.marks << 1;
        let white = self.masks.white & !(line_ends & !line_ends.wrapping_add(behind_marks));
        let (line_ends, blanks) = (white & line_ends, white & !line_ends);
        let dark = letters | numbers | self.marks;
        // A mark that stands alone goes with the letters behind it, as blanks do.
        let marks = first(self.marks) & !(space << 1);
        let single = marks & !(self.marks << 1);
        let mut starts = first(white)
            | blanks & (line_ends << 1 | dark >> 1)
            | marks
            | first(letters) & !((blanks | single) << 1)
            | first(numbers);
        let mut groups = first(numbers);
        while groups != 0 {
            groups = (0..digits).fold(groups, |groups, _| groups << 1 & numbers);
            starts |= groups;
        }
        self.contractions(starts, u8::to_ascii_lowercase, |at, length| starts |= bit(at + length));
        // White space goes up to its last line end, wherever that is.
        let open = if self.is_last { 0 } else { white & 1 << (self.length.max(1) - 1) };
        let unclear = open | line_ends & blanks << 1;
        let run = first(white) & below(unclear.trailing_zeros() + 1);
        self.certain(starts, if unclear == 0 { u32::MAX } else { BYTES as u32 - run.leading_zeros() })
    }

    /// Calls `found` with place and length of each `'s`, `'t`, `'re`, `'ve`, `'m`, `'ll` and `'d` that begins at one of
    /// these.
    #[inline]
    fn contractions(&self, starts: u64, letter: impl Fn(&u8) -> u8, mut found: impl FnMut(u32, u32)) {
        let mut left = self.masks.apostrophes & starts;
        while left != 0 {
            let at = left.trailing_zeros();
            left &= left - 1;
            let at_place = |place: u32| self.text.get((at + place) as usize).map(&letter);
            match (at_place(1), at_place(2)) {
                (Some(b's' | b't' | b'm' | b'd'), _) => found(at, 2),
                (Some(b'r' | b'v'), Some(b'e')) | (Some(b'l'), Some(b'l')) => found(at, 3),
                _ => {}
            }
        }
    }

    /// Those below `end` that do not depend on what is behind the window; where the text ends with it, its end too.
    fn certain(&self, starts: u64, end: u32) -> Starts {
        let (starts, known) = match self.is_last {
            true => (starts | bit(self.length), self.length + 1),
            false => (starts, self.length.saturating_sub(1)),
        };
        Starts(starts & below(end.min(known)) | 1)
    }
}

impl Starts {
    /// None but the window's own: no word is certain.
    pub const NONE: Starts = Starts(1);

    /// Where the last word begins, or the text ends.
    #[inline]
    pub fn end(self) -> usize {
        BYTES - 1 - self.0.leading_zeros() as usize
    }
}

/// Beginning and end of each word.
impl Iterator for Starts {
    type Item = (usize, usize);

    #[inline]
    fn next(&mut self) -> Option<(usize, usize)> {
        let start = self.0.trailing_zeros();
        self.0 &= self.0.wrapping_sub(1);
        (self.0 != 0).then(|| (start as usize, self.0.trailing_zeros() as usize))
    }
}

/// The first of each run.
#[inline]
fn first(mask: u64) -> u64 {
    mask & !(mask << 1)
}

/// The bit of this place; none beyond a window.
#[inline]
fn bit(place: u32) -> u64 {
    1_u64.checked_shl(place).unwrap_or(0)
}

/// The bits before this place.
#[inline]
fn below(place: u32) -> u64 {
    bit(place).wrapping_sub(1)
}

impl Masks {
    #[inline]
    fn within(self, inside: u64) -> Masks {
        let Masks { letters, numbers, white, space, line_ends, apostrophes, beyond } = self;
        let (letters, numbers, white, space) = (letters & inside, numbers & inside, white & inside, space & inside);
        Masks {
            letters,
            numbers,
            white,
            space,
            line_ends: line_ends & inside,
            apostrophes: apostrophes & inside,
            beyond,
        }
    }

    #[cfg(any(test, not(target_arch = "x86_64")))]
    fn plain(bytes: &[u8; BYTES]) -> Masks {
        let mask = |is_in: fn(&u8) -> bool| {
            bytes.iter().enumerate().fold(0, |mask, (place, byte)| mask | u64::from(is_in(byte)) << place)
        };
        Masks {
            letters: mask(u8::is_ascii_alphabetic),
            numbers: mask(u8::is_ascii_digit),
            white: mask(|byte| matches!(byte, b'\t'..=b'\r' | b' ')),
            space: mask(|&byte| byte == b' '),
            line_ends: mask(|byte| matches!(byte, b'\r' | b'\n')),
            apostrophes: mask(|&byte| byte == b'\''),
            beyond: mask(|byte| !byte.is_ascii()),
        }
    }

    #[inline]
    fn new(bytes: &[u8; BYTES]) -> Masks {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: every processor of this kind has SSE2.
        unsafe {
            Masks::sse2(bytes)
        }
        #[cfg(not(target_arch = "x86_64"))]
        Masks::plain(bytes)
    }

    /// Sixteen bytes at a time.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "sse2")]
    #[inline]
    fn sse2(bytes: &[u8; BYTES]) -> Masks {
        use std::arch::x86_64::{
            __m128i, _mm_and_si128, _mm_cmpeq_epi8, _mm_cmpgt_epi8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x,
            _mm_set1_epi8,
        };
        let all = |byte: u8| _mm_set1_epi8(byte as i8);
        let is = |bytes, byte| _mm_cmpeq_epi8(bytes, all(byte));
        // Signed: what is not ASCII is below all.
        let between = |bytes, first: u8, last: u8| {
            _mm_and_si128(_mm_cmpgt_epi8(bytes, all(first - 1)), _mm_cmpgt_epi8(all(last + 1), bytes))
        };
        let either = |a, b| _mm_or_si128(a, b);
        let mut masks = Masks::default();
        for (place, part) in bytes.chunks_exact(16).enumerate() {
            let half = |at: usize| i64::from_le_bytes(part[at..at + 8].try_into().expect("8 bytes"));
            let part = _mm_set_epi64x(half(8), half(0));
            let bits = |found: __m128i| u64::from(_mm_movemask_epi8(found) as u16) << (16 * place);
            masks.letters |= bits(between(either(part, all(0x20)), b'a', b'z'));
            masks.numbers |= bits(between(part, b'0', b'9'));
            masks.white |= bits(either(is(part, b' '), between(part, b'\t', b'\r')));
            masks.space |= bits(is(part, b' '));
            masks.line_ends |= bits(either(is(part, b'\r'), is(part, b'\n')));
            masks.apostrophes |= bits(is(part, b'\''));
            masks.beyond |= bits(part);
        }
        masks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_those_of_every_byte() {
        for first in 0..=255_u8 {
            let bytes = std::array::from_fn(|place| first.wrapping_add((place * 37) as u8));
            assert_eq!(Masks::new(&bytes), Masks::plain(&bytes));
        }
    }
}

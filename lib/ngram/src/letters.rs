//! What CPython 3.11 thinks of a code point: word or space or punctuation, its lower case, its part in a final sigma.
//!
//! DSIR reads a text as `WordPunctTokenizer().tokenize(text.lower())`, that is as runs of `\w` and of `[^\w\s]` of
//! Python's `re` in `str.lower()`. Python's sets are neither Unicode's properties nor Rust's: `\w` is `isalnum() or
//! '_'` (no combining marks, but `²` and `Ⅷ`), `\s` is `isspace()` (with U+001C..U+001F), and both move with the
//! Unicode version, which is 14.0 in CPython 3.11 and another one in every rustc. So the answers are asked of Python
//! once (`scripts/unicode-tables`) and kept as ranges; a flat table for U+0000..U+FFFF is expanded from them at the
//! first use (256 KiB, under a millisecond), and the planes above are searched.
//!
//! NLTK from 3.10.3 on runs that tokenizer on the `regex` package instead of `re`: another Unicode version, marks
//! inside words, `²` outside them, U+001C..U+001F no spaces (30,472 code points change class). NLTK 3.8.1, which DSIR
//! names, to 3.10.2 use `re`, and so do we.
//!
//! Lone surrogates are code points like others here, because a Python string may hold them (JSON's `"\ud800"`).
//!
//! Two code points have a lower case that one [`Letter`] cannot hold; the caller compares for them:
//!
//! - U+0130, `İ` ([`DOTTED_I`]), becomes two, [`DOTTED_I_LOWER`]; the second, U+0307, is [`Class::Punct`]. Its `lower`
//!   is the first of them.
//! - U+03A3, `Σ` ([`CAPITAL_SIGMA`]), becomes [`FINAL_SIGMA`] if, going back over every [`Sigma::Ignorable`], there is
//!   a [`Sigma::Cased`], and, going forward over every [`Sigma::Ignorable`], there is none; else [`SMALL_SIGMA`], which
//!   is its `lower`. Both looks are at the text as it was before any of it was lower-cased, and neither has a limit.
//!
//! # Stability
//!
//! Every hashed n-gram, and so every weight and every choice, depends on these answers: they never change. A test
//! freezes a checksum of all 1,114,112 of them, which `scripts/unicode-tables --check` computes from Python.

use std::sync::OnceLock;

use crate::unicode::{KINDS, LOWERS};

/// `İ`, LATIN CAPITAL LETTER I WITH DOT ABOVE: the only code point whose lower case is two.
pub const DOTTED_I: u32 = 0x130;
/// The lower case of [`DOTTED_I`]: `i`, and COMBINING DOT ABOVE, which is punctuation.
pub const DOTTED_I_LOWER: [u32; 2] = [0x69, 0x307];
/// `Σ`, the only code point whose lower case depends on its neighbours.
pub const CAPITAL_SIGMA: u32 = 0x3a3;
/// `σ`, the lower case of [`CAPITAL_SIGMA`] anywhere but at the end of a word.
pub const SMALL_SIGMA: u32 = 0x3c3;
/// `ς`, the lower case of [`CAPITAL_SIGMA`] at the end of a word.
pub const FINAL_SIGMA: u32 = 0x3c2;

/// Which part of a text a code point belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Class {
    /// Neither of the others, unassigned code points and surrogates included: `[^\w\s]`.
    Punct = 0,
    /// `\w`: `str.isalnum()`, or `_`.
    Word = 1,
    /// `\s`: `str.isspace()`.
    Space = 2,
}

/// What a code point beside a capital sigma tells about the end of the word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Sigma {
    /// The word ends here: neither of the others.
    Other = 0,
    /// A letter with a case: the word goes on.
    Cased = 1,
    /// To be looked past, even where Unicode calls it cased as well (`ʰ`, U+0345).
    Ignorable = 2,
}

/// What there is to know about one code point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Word, space or punctuation; a letter and its lower case are of one class ([`DOTTED_I_LOWER`]'s second is not).
    pub class: Class,
    /// Its part in deciding about a capital sigma nearby.
    pub sigma: Sigma,
    /// The code point that it becomes in lower case, itself mostly; see [`DOTTED_I`] and [`CAPITAL_SIGMA`].
    pub lower: u32,
}

/// The answers, ready to look up; there is one, from [`letters`].
pub struct Letters {
    /// U+0000..U+FFFF, packed: class in bits 0 and 1, sigma in 2 and 3, lower from 4 on.
    bmp: Box<[u32]>,
}

const BMP: u32 = 0x1_0000;

/// What CPython 3.11 thinks of `code_point`; in a loop, take [`letters`] once and ask that.
#[inline]
pub fn letter(code_point: u32) -> Letter {
    letters().get(code_point)
}

/// The table, expanded at the first call.
#[inline]
pub fn letters() -> &'static Letters {
    static LETTERS: OnceLock<Letters> = OnceLock::new();
    LETTERS.get_or_init(Letters::expand)
}

impl Letters {
    /// What CPython 3.11 thinks of `code_point`. Past U+10FFFF everything is punctuation and its own lower case.
    #[inline]
    pub fn get(&self, code_point: u32) -> Letter {
        match self.bmp.get(code_point as usize) {
            Some(&packed) => unpack(packed),
            None => search(code_point),
        }
    }

    fn expand() -> Letters {
        let mut bmp: Box<[u32]> = (0..BMP).map(|code_point| code_point << 4).collect();
        for &(first, last, kind) in KINDS.iter().take_while(|range| range.0 < BMP) {
            for packed in &mut bmp[first as usize..=last.min(BMP - 1) as usize] {
                *packed |= u32::from(kind);
            }
        }
        for &(first, last, step, delta) in LOWERS.iter().take_while(|range| range.0 < BMP) {
            for code_point in (first..=last.min(BMP - 1)).step_by(step as usize) {
                let packed = &mut bmp[code_point as usize];
                *packed = *packed & 0xf | code_point.wrapping_add_signed(delta) << 4;
            }
        }
        Letters { bmp }
    }
}

#[inline]
fn unpack(packed: u32) -> Letter {
    let class = match packed & 3 {
        1 => Class::Word,
        2 => Class::Space,
        _ => Class::Punct,
    };
    let sigma = match packed >> 2 & 3 {
        1 => Sigma::Cased,
        2 => Sigma::Ignorable,
        _ => Sigma::Other,
    };
    Letter { class, sigma, lower: packed >> 4 }
}

/// The answer from the ranges alone, for any code point.
fn search(code_point: u32) -> Letter {
    let range = KINDS.partition_point(|range| range.1 < code_point);
    let kind = KINDS.get(range).filter(|range| range.0 <= code_point).map_or(0, |range| range.2);
    let range = LOWERS.partition_point(|range| range.1 < code_point);
    let delta = LOWERS
        .get(range)
        .filter(|range| range.0 <= code_point && (code_point - range.0).is_multiple_of(range.2))
        .map_or(0, |range| range.3);
    Letter { lower: code_point.wrapping_add_signed(delta), ..unpack(u32::from(kind)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fnv1a_64(letters: impl Iterator<Item = Letter>) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325;
        for letter in letters {
            for byte in [letter.class as u8, letter.sigma as u8].into_iter().chain(letter.lower.to_le_bytes()) {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
            }
        }
        hash
    }

    /// `scripts/unicode-tables --check` with CPython 3.11. Never to change.
    const FROZEN: u64 = 0x1cab_9547_f06f_65df;

    #[test]
    fn table_is_pythons() {
        assert_eq!(fnv1a_64((0..0x11_0000).map(letter)), FROZEN);
    }

    #[test]
    fn ranges_alone_are_pythons() {
        assert_eq!(fnv1a_64((0..0x11_0000).map(search)), FROZEN);
    }

    #[test]
    fn ranges_are_sorted_and_disjoint() {
        assert!(KINDS.windows(2).all(|pair| pair[0].1 < pair[1].0));
        assert!(LOWERS.windows(2).all(|pair| pair[0].1 < pair[1].0));
        assert!(KINDS.iter().all(|range| range.0 <= range.1));
        assert!(LOWERS.iter().all(|range| range.0 <= range.1 && (range.1 - range.0).is_multiple_of(range.2)));
    }

    #[test]
    fn lower_case_keeps_the_class_and_is_its_own_lower_case() {
        for code_point in 0..0x11_0000 {
            let (upper, lower) = (letter(code_point), letter(letter(code_point).lower));
            assert_eq!(upper.class, lower.class, "U+{code_point:04X}");
            assert_eq!(lower.lower, upper.lower, "U+{code_point:04X}");
        }
    }

    #[test]
    fn letters_that_callers_treat_apart() {
        let letter_of = |class, sigma, lower| Letter { class, sigma, lower };
        assert_eq!(letter(DOTTED_I), letter_of(Class::Word, Sigma::Cased, DOTTED_I_LOWER[0]));
        assert_eq!(letter(DOTTED_I_LOWER[1]), letter_of(Class::Punct, Sigma::Ignorable, 0x307));
        assert_eq!(letter(CAPITAL_SIGMA), letter_of(Class::Word, Sigma::Cased, SMALL_SIGMA));
        assert_eq!(letter(FINAL_SIGMA), letter_of(Class::Word, Sigma::Cased, FINAL_SIGMA));
        assert_eq!(letter(0x1c), letter_of(Class::Space, Sigma::Other, 0x1c));
        assert_eq!(letter(0xd800), letter_of(Class::Punct, Sigma::Other, 0xd800));
        assert_eq!(letter(0x11_0000), letter_of(Class::Punct, Sigma::Other, 0x11_0000));
        assert_eq!(letter(u32::MAX), letter_of(Class::Punct, Sigma::Other, u32::MAX));
    }
}

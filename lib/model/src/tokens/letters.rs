//! Which of the classes that pre-tokenizers' patterns ask for a character is in: `\p{L}`, `\p{N}`, `\s`, or none; and
//! its case.

use regex_syntax::hir::{Class as HirClass, HirKind};

/// A class of characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Class {
    /// None of the others.
    Other,
    /// `\p{L}`.
    Letter,
    /// `\p{N}`.
    Number,
    /// `\s`.
    Space,
}

/// What a character can stand beside within a word of GPT-4o's pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Case {
    /// No letter and no mark.
    None,
    /// `[\p{Lu}\p{Lt}]`.
    Upper,
    /// `\p{Ll}`.
    Lower,
    /// `[\p{Lm}\p{Lo}\p{M}]`.
    Either,
}

/// The class of every character, by the tables of the regular expressions that the reference uses: 1.1 MB.
pub struct Letters(Vec<Class>);

/// The case of every character, by the same tables: 1.1 MB.
pub struct Cases(Vec<Case>);

/// The value of each of the patterns for the characters that are in it.
fn table<T: Copy>(other: T, patterns: &[(&str, T)]) -> Vec<T> {
    let mut table = vec![other; 0x11_0000];
    for &(pattern, value) in patterns {
        let parsed = regex_syntax::parse(pattern).expect("it is a pattern").into_kind();
        let HirKind::Class(HirClass::Unicode(ranges)) = parsed else { unreachable!("it is a class of characters") };
        ranges.iter().for_each(|range| table[range.start() as usize..=range.end() as usize].fill(value));
    }
    table
}

impl Letters {
    /// Makes the table.
    pub fn new() -> Letters {
        Letters(table(Class::Other, &[(r"\p{L}", Class::Letter), (r"\p{N}", Class::Number), (r"\s", Class::Space)]))
    }

    /// The class of a character.
    #[inline]
    pub fn class(&self, letter: char) -> Class {
        self.0[letter as usize]
    }
}

impl Cases {
    /// Makes the table.
    pub fn new() -> Cases {
        let (upper, either) = (r"[\p{Lu}\p{Lt}]", r"[\p{Lm}\p{Lo}\p{M}]");
        Cases(table(Case::None, &[(upper, Case::Upper), (r"\p{Ll}", Case::Lower), (either, Case::Either)]))
    }

    /// The case of a character.
    #[inline]
    pub fn case(&self, letter: char) -> Case {
        self.0[letter as usize]
    }
}

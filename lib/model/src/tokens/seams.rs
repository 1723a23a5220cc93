//! Where byte-pair encoding certainly ends a token: between two neighbours that stand side by side in no token that
//! merges make.
//!
//! Merges on the two sides of such a place never meet, so the ids of the whole are those of the parts one after the
//! other. Texts that no pre-tokenizer cuts are cut here into words, and giant words into small ones.

use crate::numbers::NumberSet;

/// Letters that have a row and a column of their own: ASCII and `▁`.
const FEW: usize = 129;

/// The neighbours in tokens, as characters.
pub struct LetterSeams {
    /// Whether there is a seam between two of the few.
    few: Vec<bool>,
    joined: NumberSet<u64>,
    /// Characters that are tokens; `None`: those that are not are made of bytes that are.
    known: Option<NumberSet<u32>>,
}

fn few(letter: char) -> Option<usize> {
    match letter {
        '\u{2581}' => Some(FEW - 1),
        letter => letter.is_ascii().then_some(letter as usize),
    }
}

fn pair(left: char, right: char) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

impl LetterSeams {
    /// From the tokens that merges make. Beside a character that is not `known` is no seam: neighbours of that kind may
    /// become one unknown token, or none.
    pub fn new<'a>(tokens: impl Iterator<Item = &'a str>, known: Option<NumberSet<u32>>) -> LetterSeams {
        let mut joined = NumberSet::default();
        for token in tokens {
            joined.extend(token.chars().zip(token.chars().skip(1)).map(|(left, right)| pair(left, right)));
        }
        let mut seams = LetterSeams { few: Vec::new(), joined, known };
        let letter = |at: usize| if at == FEW - 1 { '\u{2581}' } else { char::from(at as u8) };
        seams.few = (0..FEW * FEW).map(|at| seams.look_up(letter(at / FEW), letter(at % FEW))).collect();
        seams
    }

    fn look_up(&self, left: char, right: char) -> bool {
        let is_known = |letter: char| self.known.as_ref().is_none_or(|known| known.contains(&u32::from(letter)));
        !self.joined.contains(&pair(left, right)) && is_known(left) && is_known(right)
    }

    fn between(&self, left: char, right: char) -> bool {
        match (few(left), few(right)) {
            (Some(left), Some(right)) => self.few[left * FEW + right],
            _ => self.look_up(left, right),
        }
    }

    /// Calls `part` with the parts of the text between seams, until it fails.
    pub fn split<'t, E>(&self, text: &'t str, mut part: impl FnMut(&'t str) -> Result<(), E>) -> Result<(), E> {
        let mut start = 0;
        let mut letters = text.char_indices();
        let Some((_, mut before)) = letters.next() else { return Ok(()) };
        for (at, letter) in letters {
            if self.between(before, letter) {
                part(&text[start..at])?;
                start = at;
            }
            before = letter;
        }
        part(&text[start..])
    }
}

/// The neighbours in tokens, as bytes.
pub struct ByteSeams(Vec<bool>);

impl ByteSeams {
    /// From the tokens that merges make.
    pub fn new(tokens: impl Iterator<Item = Vec<u8>>) -> ByteSeams {
        let mut seams = vec![true; 1 << 16];
        for token in tokens {
            token.windows(2).for_each(|pair| seams[usize::from(pair[0]) << 8 | usize::from(pair[1])] = false);
        }
        ByteSeams(seams)
    }

    /// The parts of a word between seams.
    pub fn split<'t>(&self, word: &'t [u8]) -> impl Iterator<Item = &'t [u8]> {
        word.chunk_by(|&left, &right| !self.0[usize::from(left) << 8 | usize::from(right)])
    }
}

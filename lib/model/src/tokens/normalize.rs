//! What a tokenizer.json does to a text before it is cut into words.
//!
//! Normalizers that work on a character and the marks behind it are the reference's own, applied to a character at a
//! time where that is certainly the same, and to the stretch between two such places elsewhere. The simple ones that
//! look at whole texts are done here.

use super::Failed;
use serde_json::Value;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use tokenizers::{NormalizedString, Normalizer, NormalizerWrapper};

/// The longest stretch for the reference, which takes some hundred bytes of memory for each byte.
pub const STRETCH_MAX: usize = 16 << 20;

/// One step.
pub enum Step {
    /// The reference's, a character or stretch at a time.
    Local(Box<Local>),
    /// Puts this before a text that is not empty.
    Prepend(String),
    /// Replaces each of the first by the second.
    Replace(String, String),
    /// Replaces runs of two or more spaces.
    Collapse(String),
    /// Takes white space away at the start, at the end.
    Strip(bool, bool),
}

impl Step {
    /// The steps of a normalizer as tokenizer.json says it; `None`: it is not known well enough.
    pub fn all(file: &Value) -> Option<Vec<Step>> {
        let text = |name: &str| file[name].as_str().map(str::to_string);
        let one = match file["type"].as_str() {
            None if file.is_null() => return Some(Vec::new()),
            Some("Sequence") => {
                let steps = file["normalizers"].as_array()?.iter().map(Step::all).collect::<Option<Vec<_>>>()?;
                return Some(steps.into_iter().flatten().collect());
            }
            Some("Prepend") => Step::Prepend(text("prepend")?),
            Some("Replace") => match &file["pattern"] {
                pattern if pattern["Regex"] == " {2,}" => Step::Collapse(text("content")?),
                pattern => Step::Replace(
                    pattern["String"].as_str().filter(|text| !text.is_empty())?.to_string(),
                    text("content")?,
                ),
            },
            Some("Strip") => Step::Strip(file["strip_left"].as_bool()?, file["strip_right"].as_bool()?),
            Some("Precompiled" | "NFC" | "NFD" | "NFKC" | "NFKD" | "Lowercase" | "StripAccents" | "Nmt") => {
                Step::Local(Box::new(Local::new(serde_json::from_value(file.clone()).ok()?)))
            }
            _ => return None,
        };
        Some(vec![one])
    }

    /// Whether it only adds and replaces spaces.
    pub fn is_about_spaces(&self) -> bool {
        match self {
            Step::Prepend(_) | Step::Collapse(_) => true,
            Step::Replace(from, _) => from == " ",
            Step::Local(_) | Step::Strip(..) => false,
        }
    }

    /// Does it to `text`; `spare` is memory to use.
    pub fn apply(
        &self,
        text: &mut String,
        spare: &mut String,
        letters: &mut Vec<Remembered>,
        place: usize,
    ) -> Result<(), Failed> {
        spare.clear();
        match self {
            Step::Local(local) => {
                if letters.len() <= place {
                    letters.resize_with(place + 1, HashMap::default);
                }
                local.apply(text, spare, &mut letters[place])?;
            }
            Step::Prepend(_) if text.is_empty() => return Ok(()),
            Step::Prepend(prefix) => spare.extend([prefix.as_str(), text.as_str()]),
            Step::Replace(from, to) => replace(text, from, to, spare),
            Step::Collapse(to) => collapse(text, to, spare),
            Step::Strip(left, right) => {
                let kept = if *left { text.trim_start() } else { text.as_str() };
                spare.push_str(if *right { kept.trim_end() } else { kept });
            }
        }
        std::mem::swap(text, spare);
        Ok(())
    }
}

fn replace(text: &str, from: &str, to: &str, out: &mut String) {
    let mut parts = text.split(from);
    out.push_str(parts.next().unwrap_or_default());
    parts.for_each(|part| out.extend([to, part]));
}

fn collapse(text: &str, to: &str, out: &mut String) {
    let mut rest = text;
    while let Some(at) = memchr::memmem::find(rest.as_bytes(), b"  ") {
        out.push_str(&rest[..at]);
        out.push_str(to);
        rest = rest[at..].trim_start_matches(' ');
    }
    out.push_str(rest);
}

/// What became of a character.
pub type Remembered = HashMap<char, Box<str>>;

/// A normalizer that looks at a character with the marks around it, and no further.
pub struct Local {
    normalizer: NormalizerWrapper,
    /// What becomes of each ASCII character.
    ascii: Vec<Box<str>>,
    /// Whether that is the character itself.
    same: [bool; 128],
}

impl Local {
    fn new(normalizer: NormalizerWrapper) -> Local {
        let mut local = Local { normalizer, ascii: Vec::new(), same: [false; 128] };
        for byte in 0..128_u8 {
            let letter = char::from(byte).to_string();
            let normal = local.reference(&letter).unwrap_or_else(|_| letter.clone());
            local.same[usize::from(byte)] = normal == letter;
            local.ascii.push(normal.into());
        }
        local
    }

    fn reference(&self, stretch: &str) -> Result<String, Failed> {
        if stretch.len() > STRETCH_MAX {
            let why = format!("{} bytes that belong together: expected {STRETCH_MAX} at the most", stretch.len());
            return Err(Failed(why));
        }
        let mut normalized = NormalizedString::from(stretch);
        self.normalizer.normalize(&mut normalized).map_err(Failed::new)?;
        Ok(normalized.get().to_string())
    }

    fn apply(&self, text: &str, out: &mut String, letters: &mut Remembered) -> Result<(), Failed> {
        let mut rest = text;
        while !rest.is_empty() {
            let stretch = &rest[..stretch_length(rest)];
            rest = &rest[stretch.len()..];
            let mut alone = stretch.chars();
            match (alone.next(), alone.next()) {
                (Some(letter), None) if letter.is_ascii() => {
                    // Most texts are ASCII, and most of that stays as it is.
                    if self.same[letter as usize] {
                        let same = self.same_length(rest);
                        out.push(letter);
                        out.push_str(&rest[..same]);
                        rest = &rest[same..];
                    } else {
                        out.push_str(&self.ascii[letter as usize]);
                    }
                }
                (Some(letter), None) => match letters.entry(letter) {
                    Entry::Occupied(known) => out.push_str(known.get()),
                    Entry::Vacant(unknown) => out.push_str(unknown.insert(self.reference(stretch)?.into())),
                },
                _ => out.push_str(&self.reference(stretch)?),
            }
        }
        Ok(())
    }

    /// How many characters from here on are ASCII that stays as it is, the last of them before another such character.
    fn same_length(&self, text: &str) -> usize {
        let same = |byte: &&u8| byte.is_ascii() && self.same[usize::from(**byte)] && !matches!(byte, b'\r' | b'\n');
        text.as_bytes().iter().take_while(same).count().saturating_sub(1)
    }
}

/// Bytes up to the next place where whatever comes behind cannot change what comes before, or the reverse.
fn stretch_length(text: &str) -> usize {
    let mut letters = text.char_indices();
    let Some((_, mut before)) = letters.next() else { return 0 };
    for (at, letter) in letters {
        // Carriage return and line feed are one grapheme.
        if stands_alone(before) && stands_alone(letter) && (before, letter) != ('\r', '\n') {
            return at;
        }
        before = letter;
    }
    text.len()
}

/// Characters that never combine with each other: starters for normalisation forms, which do not compose with one
/// another, and graphemes of their own, without marks, joiners, prepended marks and conjoining letters.
fn stands_alone(letter: char) -> bool {
    matches!(letter,
        '\0'..='\x7f' | 'À'..='Ö' | 'Ø'..='ö' | 'ø'..='ʯ' | 'Α'..='Ρ' | 'Σ'..='ώ' | 'Ѐ'..='ҁ' | 'Ҋ'..='ԯ' | 'א'..='ת'
        | 'ء'..='غ' | 'ف'..='ي'
        | '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{205e}' | '\u{3000}'..='\u{3003}' | '\u{3008}'..='\u{3011}'
        | 'ぁ'..='ゖ' | 'ァ'..='ヺ'
        | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '가'..='힣' | '\u{ff01}'..='\u{ff60}')
}

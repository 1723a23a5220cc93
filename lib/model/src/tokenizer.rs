//! Text to token ids, exactly as Hugging Face's `tokenizers` does it with the same `tokenizer.json`.
//!
//! The file's own truncation and padding are put aside (all-MiniLM-L6-v2's says 128 where the model reads 256). Special
//! tokens are added, and special tokens written out in a text are recognised, both as the reference does.

use crate::patterns::Patterns;
use crate::{Error, definition};
use std::path::{Path, PathBuf};
use tokenizers::{Encoding, NormalizerWrapper, PostProcessor, Token, Tokenizer as Inner, normalizers};

/// No vocabulary has this id: marks the place of the text among the special tokens.
const PLACE: u32 = u32::MAX;

/// A tokenizer, ready for any number of threads.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: Inner,
    patterns: Patterns,
    path: PathBuf,
    /// Special tokens before and behind every text.
    before: Vec<u32>,
    behind: Vec<u32>,
    length_max: usize,
    ids: usize,
    /// Where the tokens of the text so far are the first tokens of the whole text.
    seam: Seam,
}

/// A place in a text where a tokenizer certainly ends a word, so that what comes behind it changes no token before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seam {
    /// Before any space or newline.
    Space,
    /// Before a space that stands between two ASCII letters.
    SpaceBetweenLetters,
    /// Nowhere that is known.
    None,
}

impl Seam {
    /// The first seam at or after `from`.
    fn find(self, text: &[u8], from: usize) -> Option<usize> {
        let letter = |byte: u8| byte.is_ascii_alphabetic();
        let found = match self {
            Seam::Space => text[from..].iter().position(|b| matches!(b, b' ' | b'\n')),
            Seam::SpaceBetweenLetters => {
                let three = |three: &[u8]| letter(three[0]) && three[1] == b' ' && letter(three[2]);
                text[from..].windows(3).position(three).map(|at| at + 1)
            }
            Seam::None => None,
        };
        found.map(|at| from + at)
    }
}

/// The longest text that is tokenized in one piece: the tokenizer takes some hundred bytes of memory for each of its
/// bytes.
pub const TEXT_MAX: usize = 16 << 20;

/// Bytes of text a token that are looked at first when a text may be cut; more only where these were too few.
const BYTES_PER_TOKEN: usize = 6;

impl Tokenizer {
    /// Reads a `tokenizer.json`; texts are cut to `length_max` tokens, special tokens included.
    ///
    /// # Errors
    /// Where the file cannot be read, or has what this does not know.
    pub fn open(path: &Path, length_max: usize) -> Result<Tokenizer, Error> {
        let text = std::fs::read(path).map_err(|why| Error::io(path, &why))?;
        let mut inner = definition::read(&text).map_err(|why| Error::new(path, why))?;
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|why| Error::new(path, why))?;
        let (before, behind) = special_tokens(&inner).map_err(|why| Error::new(path, why))?;
        let most = inner.get_vocab(true).into_values().chain(before.iter().chain(&behind).copied()).max();
        let ids = most.map_or(0, |id| id as usize + 1);
        let seam = seam(&text);
        let path = path.to_path_buf();
        let patterns = Patterns::of(&inner);
        Tokenizer { inner, patterns, path, before, behind, length_max: 0, ids, seam }.with_length_max(length_max)
    }

    /// The same with another limit, special tokens included.
    ///
    /// # Errors
    /// Where the limit leaves no room for text.
    pub fn with_length_max(mut self, length_max: usize) -> Result<Tokenizer, Error> {
        let special = self.before.len() + self.behind.len();
        if length_max < special {
            let why = format!("a limit of {length_max} tokens leaves no room for the {special} special ones");
            return Err(Error::new(&self.path, why));
        }
        self.length_max = length_max;
        Ok(self)
    }

    /// Lower-cases before all else, unless the tokenizer does already (`do_lower_case` of sentence-transformers).
    pub(crate) fn lower_case(&mut self) -> Result<(), Error> {
        let lower = NormalizerWrapper::Lowercase(normalizers::Lowercase);
        let all = match self.inner.get_normalizer() {
            Some(NormalizerWrapper::Lowercase(_)) => return Ok(()),
            Some(NormalizerWrapper::Sequence(all)) => {
                let all: &[NormalizerWrapper] = all.as_ref();
                if all.iter().any(|n| matches!(n, NormalizerWrapper::Lowercase(_))) {
                    return Ok(());
                }
                [&[lower], all].concat()
            }
            Some(other) => vec![lower, other.clone()],
            None => vec![lower],
        };
        let changed = self.inner.with_normalizer(Some(normalizers::Sequence::new(all))).map(|_| ());
        changed.map_err(|why| Error::new(&self.path, why))
    }

    /// The most tokens of a text, special ones included.
    pub fn length_max(&self) -> usize {
        self.length_max
    }

    /// One more than the largest id that can come out.
    pub fn ids(&self) -> usize {
        self.ids
    }

    /// How many special tokens every text gets.
    pub fn special_tokens(&self) -> usize {
        self.before.len() + self.behind.len()
    }

    /// The special tokens that every text gets before it, and behind it.
    pub fn around(&self) -> (&[u32], &[u32]) {
        (&self.before, &self.behind)
    }

    /// The id of a token by its name.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Puts the token ids of a text into `ids`, which is emptied before, without special ones around it: the first
    /// `room` of them. True: there are more.
    ///
    /// # Errors
    /// Where the tokenizer refuses the text.
    pub fn encode_bare(&self, text: &str, room: usize, ids: &mut Vec<u32>) -> Result<bool, Error> {
        let encoding = self.tokens_beyond(text, room)?;
        let kept = encoding.len().min(room);
        ids.clear();
        ids.extend_from_slice(&encoding.get_ids()[..kept]);
        Ok(kept < encoding.len())
    }

    /// Puts the token ids of a text into `ids`, which is emptied before; true: the text was cut at the limit.
    ///
    /// # Errors
    /// Where the tokenizer refuses the text.
    pub fn encode(&self, text: &str, ids: &mut Vec<u32>) -> Result<bool, Error> {
        let room = self.length_max - self.special_tokens();
        let encoding = self.tokens_beyond(text, room)?;
        let kept = encoding.len().min(room);
        ids.clear();
        self.wrap(&encoding.get_ids()[..kept], ids);
        Ok(kept < encoding.len())
    }

    /// The whole text in windows, one after the other without overlap, each with its special tokens and none longer
    /// than the limit. Calls `window` at least once, for a text without tokens with the special ones alone.
    ///
    /// # Errors
    /// Where the tokenizer refuses the text.
    pub fn encode_windows(&self, text: &str, ids: &mut Vec<u32>, mut window: impl FnMut(&[u32])) -> Result<(), Error> {
        let encoding = self.tokens(text)?;
        let room = (self.length_max - self.special_tokens()).max(1);
        let mut rest = encoding.get_ids();
        loop {
            let (now, later) = rest.split_at(rest.len().min(room));
            ids.clear();
            self.wrap(now, ids);
            window(ids);
            rest = later;
            if rest.is_empty() {
                return Ok(());
            }
        }
    }

    fn tokens(&self, text: &str) -> Result<Encoding, Error> {
        if text.len() > TEXT_MAX {
            let why = format!("a text of {} bytes: expected {TEXT_MAX} at the most to be tokenized whole", text.len());
            return Err(Error::new(&self.path, why));
        }
        self.patterns.check(&self.inner, text).map_err(|why| Error::new(&self.path, why))?;
        self.inner.encode_fast(text, false).map_err(|why| Error::new(&self.path, why))
    }

    /// The first tokens of a text: all of them, or more than `room`.
    ///
    /// A document is often ten times as long as what a model reads of it; where a seam is known, the rest is not looked
    /// at.
    fn tokens_beyond(&self, text: &str, room: usize) -> Result<Encoding, Error> {
        let mut bytes = BYTES_PER_TOKEN.saturating_mul(room.saturating_add(1));
        while bytes < text.len() / 2 {
            let Some(end) = self.seam.find(text.as_bytes(), bytes) else { break };
            let encoding = self.tokens(&text[..end])?;
            if encoding.len() > room {
                return Ok(encoding);
            }
            bytes = 2 * end;
        }
        self.tokens(text)
    }

    fn wrap(&self, tokens: &[u32], ids: &mut Vec<u32>) {
        ids.extend_from_slice(&self.before);
        ids.extend_from_slice(tokens);
        ids.extend_from_slice(&self.behind);
    }
}

/// Where the tokenizer of a tokenizer.json certainly ends a word.
///
/// BERT's kind works within the words between spaces: cleaning, lower case and accents a character (with the marks
/// behind it) at a time, splitting at every space, WordPiece a word at a time. Byte-level BPE with GPT-2's pattern puts
/// a space to the word behind it and merges nothing across words; a space between two letters is no part of a longer
/// run of spaces, and NFC leaves it alone. Added tokens are found before that, and must not reach over a space either.
fn seam(text: &[u8]) -> Seam {
    let Ok(file) = serde_json::from_slice::<serde_json::Value>(text) else { return Seam::None };
    let kind = |part: &str| file[part]["type"].as_str();
    let added = file["added_tokens"].as_array().map(Vec::as_slice).unwrap_or_default();
    let within_word =
        |token: &serde_json::Value| token["content"].as_str().is_some_and(|text| !text.contains(char::is_whitespace));
    match (kind("normalizer"), kind("pre_tokenizer"), kind("model")) {
        _ if !added.iter().all(within_word) => Seam::None,
        (Some("BertNormalizer"), Some("BertPreTokenizer"), Some("WordPiece")) => Seam::Space,
        (None | Some("NFC"), Some("ByteLevel"), Some("BPE")) if file["pre_tokenizer"]["use_regex"] != false => {
            Seam::SpaceBetweenLetters
        }
        _ => Seam::None,
    }
}

/// What the post-processor puts before and behind a single text, seen from what it does to one token that cannot occur.
pub(crate) fn special_tokens(inner: &Inner) -> Result<(Vec<u32>, Vec<u32>), String> {
    let Some(processor) = inner.get_post_processor() else { return Ok((Vec::new(), Vec::new())) };
    let place = Encoding::from_tokens(vec![Token::new(PLACE, "a".to_string(), (0, 1))], 0);
    let whole = processor.process(place, None, true).map_err(|why| why.to_string())?;
    let ids = whole.get_ids();
    match ids.iter().filter(|&&id| id == PLACE).count() {
        1 => {
            let at = ids.iter().position(|&id| id == PLACE).unwrap_or_default();
            Ok((ids[..at].to_vec(), ids[at + 1..].to_vec()))
        }
        times => Err(format!("post_processor: expected every text once in its place, found it {times} times")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokenizer(fixture: &str, length_max: usize) -> Tokenizer {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(fixture).join("tokenizer.json");
        Tokenizer::open(&path, length_max).unwrap()
    }

    /// Texts of letters, spaces of many kinds, marks, special tokens and what is near them.
    fn text(seed: u64) -> String {
        let parts = [
            "a",
            "the ",
            " ",
            "\n",
            "\u{301}",
            " \u{301}",
            "É",
            "ß",
            "Σ",
            "\u{a0}",
            "\u{2003}",
            "\0",
            "日",
            "🙂",
            "[SEP]",
            "[",
            " [CLS] ",
            "!",
            "word",
            "clustering",
        ];
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as usize
        };
        let count = next() % 400;
        (0..count).map(|_| parts[next() % parts.len()]).collect()
    }

    #[test]
    fn looking_at_the_first_words_only_changes_no_id() {
        for (fixture, seam) in [("bert", Seam::Space), ("roberta", Seam::SpaceBetweenLetters)] {
            let mut short = 0;
            for length_max in [2, 3, 8, 20] {
                let quick = tokenizer(fixture, length_max);
                let whole = Tokenizer { seam: Seam::None, ..quick.clone() };
                assert_eq!(quick.seam, seam);
                for seed in 0..500 {
                    let (text, mut a, mut b) = (text(seed), Vec::new(), Vec::new());
                    assert_eq!(quick.encode(&text, &mut a).unwrap(), whole.encode(&text, &mut b).unwrap(), "{text:?}");
                    assert_eq!(a, b, "{text:?}");
                    let some = quick.tokens_beyond(&text, length_max - 2).unwrap().len();
                    short += usize::from(some < whole.tokens(&text).unwrap().len());
                }
            }
            assert!(short > 1000, "{fixture}: the test must meet the short way: {short}");
        }
    }

    #[test]
    fn a_text_that_would_not_fit_in_memory_is_refused() {
        let long = "x".repeat(TEXT_MAX + 1);
        let refused = tokenizer("bert", 8).encode(&long, &mut Vec::new()).unwrap_err().to_string();
        assert!(
            refused.ends_with("a text of 16777217 bytes: expected 16777216 at the most to be tokenized whole"),
            "{refused}"
        );
        let spaced = "word ".repeat(TEXT_MAX / 4);
        assert_eq!(tokenizer("bert", 8).encode(&spaced, &mut Vec::new()), Ok(true));
        assert!(tokenizer("bert", 8).encode_windows(&spaced, &mut Vec::new(), |_| ()).is_err());
    }

    #[test]
    fn a_text_that_the_pattern_gives_up_on_is_refused() {
        let text = format!("a {}b", " ".repeat(1_500_000));
        let refused = tokenizer("roberta", 8).encode(&text, &mut Vec::new()).unwrap_err().to_string();
        assert!(refused.contains("a pattern of the tokenizer gives up on the text: "), "{refused}");
        assert_eq!(tokenizer("bert", 8).encode(&text, &mut Vec::new()), Ok(false));
    }

    #[test]
    fn added_tokens_with_spaces_leave_no_seam() {
        let added = br#"{"normalizer":{"type":"BertNormalizer"},"pre_tokenizer":{"type":"BertPreTokenizer"},"model":{"type":"WordPiece"},"added_tokens":[{"content":"New York"}]}"#;
        assert_eq!(seam(added), Seam::None);
    }
}

//! `tokenizer.json`, as Hugging Face's `tokenizers` reads it.
//!
//! The reference crate reads the file. What it does to texts is done here where all parts of the file are known:
//! cutting into words, byte-pair encoding, Unigram, with the ids of words remembered. Any other file goes through the
//! reference as a whole. Of byte-pair encoding it reads tokens and merges only when it is needed, which takes several
//! times as long as to read them here.

use super::Failed;
use super::letters::Letters;
use super::memo::{self, KEY_MAX};
use super::merges::{self, Merges};
use super::near::Ids;
use super::normalize::{Remembered, STRETCH_MAX, Step};
use super::seams::{ByteSeams, LetterSeams};
use super::split::{Pattern, Take};
use super::trie::Trie;
use super::unigram::{self, Sums, Unigram};
use super::window::{self, Starts};
use crate::definition::{self, Definition, Merge, Vocabulary};
use crate::numbers::{NumberMap, NumberSet};
use crate::patterns::Patterns;
use crate::tokenizer::special_tokens;
use aho_corasick::{AhoCorasick, MatchKind};
use serde_json::Value;
use std::sync::OnceLock;
use tokenizers::Tokenizer as Reference;

const SPACE: char = '\u{2581}';

/// What is done to texts.
pub struct Json {
    /// The file, for the reference; empty where that is there from the start.
    bytes: Vec<u8>,
    /// The whole of it, once it is needed.
    reference: OnceLock<Reference>,
    patterns: Patterns,
    added: Option<Added>,
    plan: Plan,
    /// The largest id of its vocabulary, added tokens included.
    pub id_max: u32,
    /// What it puts before and behind every text by itself.
    pub around: (Vec<u32>, Vec<u32>),
}

/// Tokens that are found in texts before all else.
struct Added {
    finder: AhoCorasick,
    ids: Vec<u32>,
    /// Whether they are cut out as they stand; if not, a text with one of them is the reference's.
    plain: Vec<bool>,
}

enum Plan {
    /// All of it by the reference.
    Whole,
    Bert(Box<Bert>),
    Words(Box<Words>),
}

/// Words by a model.
struct Words {
    steps: Vec<Step>,
    split: Split,
    model: Model,
}

/// BERT's: words end at ASCII white space and punctuation, and beside Chinese characters, whatever else normalizing
/// does.
struct Bert {
    splits_chinese: bool,
    lowers: bool,
    /// A longer word is the unknown token.
    word_max: usize,
    unknown: u32,
    /// Pieces that words begin with.
    beginnings: Trie,
    /// Pieces that they go on with, without their mark.
    continuations: Trie,
}

/// How a text is cut into words.
enum Split {
    /// By a pattern, with a space put in front or not; words become bytes.
    Pattern { pattern: Pattern, prefix: bool, letters: Letters },
    /// Before each `▁`.
    Metaspace(Prefix),
    /// At white space, which becomes `▁`, and before each `▁`.
    WhiteSpace,
    /// Not at all; `Some`: spaces become `▁`.
    Nowhere(Option<Prefix>),
}

/// Where `▁` is put in front of a text that does not begin with it.
#[derive(Clone, Copy, PartialEq)]
enum Prefix {
    Always,
    First,
    Never,
}

enum Model {
    Bytes(Box<ByteBpe>),
    Letters(Box<LetterBpe>),
    Unigram(Box<WordUnigram>),
}

/// Byte-pair encoding of bytes.
struct ByteBpe {
    merges: Merges,
    ids: [u32; 256],
    seams: ByteSeams,
    /// Words that are tokens as they are, whatever merges make of them.
    whole: NumberMap<Vec<u8>, u32>,
}

/// Byte-pair encoding of characters.
struct LetterBpe {
    merges: Merges,
    ids: NumberMap<u32, u32>,
    bytes: Option<[u32; 256]>,
    unknown: Option<u32>,
    fuses_unknown: bool,
    seams: LetterSeams,
}

/// Unigram, with what becomes of characters that no piece covers.
struct WordUnigram {
    unigram: Unigram,
    ids: NumberMap<String, u32>,
    bytes: Option<[Option<u32>; 256]>,
    unknown: Option<u32>,
}

/// Memory of one thread.
pub struct Memory {
    memo: memo::Words,
    text: String,
    spare: String,
    letters: Vec<Remembered>,
    merges: merges::Scratch,
    unigram: unigram::Scratch,
}

impl Memory {
    pub fn new() -> Memory {
        let (text, spare, letters, merges, unigram) = Default::default();
        Memory { memo: memo::Words::new(), text, spare, letters, merges, unigram }
    }
}

impl Json {
    /// Looks for the parts that are known.
    pub fn new(bytes: Vec<u8>) -> Result<Json, Failed> {
        let definition = Definition::new(&bytes)?;
        if let Some((rest, merges)) = definition.without_vocabulary() {
            let vocabulary = definition.vocabulary();
            let tokens = definition.added(&vocabulary);
            let file = serde_json::to_value(&rest).map_err(Failed::new)?;
            let plan = plan(&file, Some(&Bpe::new(&vocabulary, &merges)));
            if let Some(plan) = plan.filter(|plan| plan.goes_with(&tokens)) {
                let last = vocabulary.values().copied().max().unwrap_or(0);
                let json = Json::by(plan, &rest, &tokens, last)?;
                return Ok(Json { bytes, ..json });
            }
        }
        let mut reference = definition.whole()?;
        neither_cut_nor_fill(&mut reference)?;
        // As the reference understood it: with every field, and nothing twice.
        let file = serde_json::to_value(&reference).map_err(Failed::new)?;
        let tokens = file["added_tokens"].as_array().map(Vec::as_slice).unwrap_or_default();
        let plan = plan(&file, None).filter(|plan| plan.goes_with(tokens)).unwrap_or(Plan::Whole);
        let json = Json::by(plan, &reference, tokens, vocabulary_max(&file["model"]["vocab"]))?;
        Ok(Json { reference: reference.into(), ..json })
    }

    /// By a plan, with what the reference says of all but the model, its added tokens, and the largest id of its model.
    fn by(plan: Plan, reference: &Reference, tokens: &[Value], last: u32) -> Result<Json, Failed> {
        Ok(Json {
            bytes: Vec::new(),
            reference: OnceLock::new(),
            patterns: Patterns::of(reference),
            added: added(tokens)?,
            plan,
            id_max: last.max(id_max(tokens)),
            around: special_tokens(reference)?,
        })
    }

    /// Whether it is the reference that tokenizes.
    pub fn is_reference(&self) -> bool {
        matches!(self.plan, Plan::Whole)
    }

    fn reference(&self) -> Result<&Reference, Failed> {
        if let Some(reference) = self.reference.get() {
            return Ok(reference);
        }
        let mut whole = definition::read(&self.bytes)?;
        neither_cut_nor_fill(&mut whole)?;
        Ok(self.reference.get_or_init(|| whole))
    }

    /// The id of a token by its name.
    pub fn id(&self, token: &str) -> Option<u32> {
        match self.reference.get() {
            Some(reference) => reference.token_to_id(token),
            None => Definition::new(&self.bytes).ok()?.id(token),
        }
    }

    /// The text of some ids, without special tokens.
    pub fn decode(&self, ids: &[u32]) -> Result<String, Failed> {
        self.reference()?.decode(ids, true).map_err(Failed::new)
    }

    /// Appends the ids of a text, without special tokens around it.
    pub fn encode(&self, text: &str, memory: &mut Memory, ids: &mut Vec<u32>) -> Result<(), Failed> {
        if self.is_reference() {
            return self.encode_by_reference(text, ids);
        }
        let Some(added) = &self.added else { return self.encode_part(text, true, memory, ids) };
        let start = ids.len();
        let mut end = 0;
        for found in added.finder.find_iter(text) {
            let token = found.pattern().as_usize();
            if !added.plain[token] {
                ids.truncate(start);
                return self.encode_by_reference(text, ids);
            }
            self.encode_part(&text[end..found.start()], end == 0, memory, ids)?;
            ids.push(added.ids[token]);
            end = found.end();
        }
        self.encode_part(&text[end..], end == 0, memory, ids)
    }

    fn encode_by_reference(&self, text: &str, ids: &mut Vec<u32>) -> Result<(), Failed> {
        if text.len() > STRETCH_MAX {
            return Err(Failed(format!(
                "a text of {} bytes: expected {STRETCH_MAX} at the most with this tokenizer",
                text.len()
            )));
        }
        let reference = self.reference()?;
        self.patterns.check(reference, text)?;
        let encoding = reference.encode_fast(text, false).map_err(Failed::new)?;
        ids.extend_from_slice(encoding.get_ids());
        Ok(())
    }

    /// A part without added tokens.
    fn encode_part(&self, part: &str, is_first: bool, memory: &mut Memory, ids: &mut Vec<u32>) -> Result<(), Failed> {
        match &self.plan {
            Plan::Whole => self.encode_by_reference(part, ids),
            Plan::Bert(bert) => bert.split(part, |rest, length| self.encode_bert(bert, rest, length, memory, ids)),
            Plan::Words(words) => {
                let Words { steps, split, model } = &**words;
                if part.is_empty() {
                    return Ok(());
                }
                let Memory { text, spare, letters, .. } = memory;
                let (mut text, mut spare) = (std::mem::take(text), std::mem::take(spare));
                let normal = match split.takes_as_it_is(steps, part) {
                    true => part,
                    false => {
                        text.clear();
                        text.push_str(part);
                        for (place, step) in steps.iter().enumerate() {
                            step.apply(&mut text, &mut spare, letters, place)?;
                        }
                        split.mark_spaces(&mut text, &mut spare, is_first);
                        text.as_str()
                    }
                };
                split.split(normal, &mut Encoding { model, memory, ids, found: [Ids::NONE; window::BYTES] })?;
                // A giant text's memory is not kept.
                if text.capacity() <= 4 << 20 {
                    (memory.text, memory.spare) = (text, spare);
                }
                Ok(())
            }
        }
    }

    /// A word at the beginning of what is left of a text.
    fn encode_bert(
        &self,
        bert: &Bert,
        rest: &str,
        length: usize,
        memory: &mut Memory,
        ids: &mut Vec<u32>,
    ) -> Result<(), Failed> {
        let word = &rest[..length];
        let is_ascii = || word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte.is_ascii_punctuation());
        let encode = |ids: &mut Vec<u32>| match is_ascii() {
            true => {
                bert.encode_ascii(word, ids);
                Ok(())
            }
            false => self.encode_by_reference(word, ids),
        };
        memory.memo.append_or(rest.as_bytes(), length, ids, encode)
    }
}

fn neither_cut_nor_fill(reference: &mut Reference) -> Result<(), Failed> {
    reference.with_padding(None);
    reference.with_truncation(None).map_err(Failed::new).map(drop)
}

/// The largest id of a vocabulary, which is a map or a list.
fn vocabulary_max(vocabulary: &Value) -> u32 {
    let last = vocabulary.as_array().and_then(|list| list.len().checked_sub(1)).map(|last| last as u64);
    let ids = vocabulary.as_object().into_iter().flat_map(|map| map.values()).filter_map(Value::as_u64);
    ids.chain(last).max().unwrap_or(0) as u32
}

/// The largest id of tokens.
fn id_max(tokens: &[Value]) -> u32 {
    tokens.iter().filter_map(|token| token["id"].as_u64()).max().unwrap_or(0) as u32
}

/// Everything that a text may have in it that is a token by itself.
fn added(tokens: &[Value]) -> Result<Option<Added>, Failed> {
    let content = |token: &Value| token["content"].as_str().map(str::to_string).unwrap_or_default();
    let tokens: Vec<_> = tokens.iter().filter(|token| !content(token).is_empty()).collect();
    if tokens.is_empty() {
        return Ok(None);
    }
    let is_plain =
        |token: &&Value| ["single_word", "lstrip", "rstrip", "normalized"].iter().all(|flag| token[flag] == false);
    let finder =
        AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(tokens.iter().map(|token| content(token)));
    Ok(Some(Added {
        finder: finder.map_err(Failed::new)?,
        ids: tokens.iter().map(|token| token["id"].as_u64().unwrap_or_default() as u32).collect(),
        plain: tokens.iter().map(is_plain).collect(),
    }))
}

impl Plan {
    /// Whether these tokens are found in texts as the reference finds them: one that is looked for in the normalized
    /// text is found only where nothing but spaces may have changed.
    fn goes_with(&self, tokens: &[Value]) -> bool {
        let about_spaces = matches!(self, Plan::Words(words) if words.steps.iter().all(Step::is_about_spaces));
        about_spaces || tokens.iter().all(|token| token["normalized"] == false)
    }
}

/// How the file's texts are tokenized; `None`: it has a part that is not known. The tokens and merges of byte-pair
/// encoding are not in the file.
fn plan(file: &Value, bpe: Option<&Bpe>) -> Option<Plan> {
    let (normalizer, pre_tokenizer, model) = (&file["normalizer"], &file["pre_tokenizer"], &file["model"]);
    let kinds = (normalizer["type"].as_str(), pre_tokenizer["type"].as_str(), model["type"].as_str());
    if let (Some("BertNormalizer"), Some("BertPreTokenizer"), Some("WordPiece")) = kinds {
        return Bert::new(normalizer, model).map(Box::new).map(Plan::Bert);
    }
    let steps = Step::all(normalizer)?;
    let split = split(pre_tokenizer, &steps)?;
    let model = match (kinds.2?, &split) {
        ("BPE", Split::Pattern { .. }) => Model::Bytes(Box::new(ByteBpe::new(bpe?, model)?)),
        ("BPE", _) => Model::Letters(Box::new(LetterBpe::new(bpe?, model)?)),
        ("Unigram", Split::Metaspace(_) | Split::WhiteSpace) => Model::Unigram(Box::new(WordUnigram::new(model)?)),
        _ => return None,
    };
    Some(Plan::Words(Box::new(Words { steps, split, model })))
}

fn split(file: &Value, steps: &[Step]) -> Option<Split> {
    let by_pattern = |pattern, prefix| Split::Pattern { pattern, prefix, letters: Letters::new() };
    let kinds = |file: &Value| file["type"].as_str().map(str::to_string);
    let parts = file["pretokenizers"].as_array().map(Vec::as_slice);
    match (kinds(file).as_deref(), parts) {
        (None, _) if file.is_null() => Some(Split::Nowhere(None)),
        (Some("ByteLevel"), _) if file["use_regex"] == true => {
            Some(by_pattern(Pattern::Gpt2, file["add_prefix_space"].as_bool()?))
        }
        (Some("Metaspace"), _) => {
            let prefix = prefix(file)?;
            Some(if file["split"] == true { Split::Metaspace(prefix) } else { Split::Nowhere(Some(prefix)) })
        }
        // Cutting at spaces where none are left.
        (Some("Split"), _) if file["pattern"]["String"] == " " => {
            let none_left = matches!(steps.last(), Some(Step::Replace(from, to)) if from == " " && !to.contains(' '));
            none_left.then_some(Split::Nowhere(None))
        }
        (Some("Sequence"), Some([split, bytes])) if kinds(split).as_deref() == Some("Split") => {
            let is_plain = kinds(bytes).as_deref() == Some("ByteLevel")
                && bytes["use_regex"] == false
                && bytes["add_prefix_space"] == false;
            let is_plain = is_plain && split["behavior"] == "Isolated" && split["invert"] == false;
            let pattern = Pattern::of_regex(split["pattern"]["Regex"].as_str()?)?;
            is_plain.then(|| by_pattern(pattern, false))
        }
        (Some("Sequence"), Some([white, meta])) if kinds(white).as_deref() == Some("WhitespaceSplit") => {
            let is_known =
                kinds(meta).as_deref() == Some("Metaspace") && meta["split"] == true && prefix(meta)? == Prefix::Always;
            is_known.then_some(Split::WhiteSpace)
        }
        _ => None,
    }
}

fn prefix(metaspace: &Value) -> Option<Prefix> {
    if metaspace["replacement"] != SPACE.to_string() {
        return None;
    }
    match metaspace["prepend_scheme"].as_str()? {
        "always" => Some(Prefix::Always),
        "first" => Some(Prefix::First),
        "never" => Some(Prefix::Never),
        _ => None,
    }
}

impl Split {
    /// Whether a text needs no copy.
    fn takes_as_it_is(&self, steps: &[Step], text: &str) -> bool {
        steps.is_empty() && matches!(self, Split::Pattern { prefix, .. } if !prefix || text.starts_with(' '))
    }

    /// Puts in the spaces that words are cut at.
    fn mark_spaces(&self, text: &mut String, spare: &mut String, is_first: bool) {
        spare.clear();
        match self {
            _ if text.is_empty() => return,
            Split::Nowhere(None) => return,
            Split::Pattern { prefix, .. } if !prefix || text.starts_with(' ') => return,
            Split::Pattern { .. } => spare.extend([" ", text.as_str()]),
            Split::Metaspace(prefix) | Split::Nowhere(Some(prefix)) => {
                let wanted = *prefix == Prefix::Always || *prefix == Prefix::First && is_first;
                if wanted && !text.starts_with([' ', SPACE]) {
                    spare.push(SPACE);
                }
                mark(text, spare);
            }
            Split::WhiteSpace => {
                for word in text.split_whitespace() {
                    if !word.starts_with(SPACE) {
                        spare.push(SPACE);
                    }
                    spare.push_str(word);
                }
            }
        }
        std::mem::swap(text, spare);
    }

    /// Gives away the words of a text.
    fn split<'t>(&self, text: &'t str, take: &mut impl Take<'t>) -> Result<(), Failed> {
        match self {
            Split::Pattern { pattern, letters, .. } => pattern.split(letters, text, take),
            Split::Nowhere(_) if text.is_empty() => Ok(()),
            Split::Nowhere(_) => take.word(text, text.len()),
            Split::Metaspace(_) | Split::WhiteSpace => {
                let mut start = 0;
                for at in memchr::memmem::find_iter(text.as_bytes(), "\u{2581}").filter(|&at| at > 0) {
                    take.word(&text[start..], at - start)?;
                    start = at;
                }
                if start < text.len() { take.word(&text[start..], text.len() - start) } else { Ok(()) }
            }
        }
    }
}

/// Appends the text with `▁` for each space.
fn mark(text: &str, out: &mut String) {
    let mut parts = text.split(' ');
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        out.push(SPACE);
        out.push_str(part);
    }
}

impl Bert {
    fn new(normalizer: &Value, model: &Value) -> Option<Bert> {
        let vocabulary = model["vocab"]
            .as_object()?
            .iter()
            .map(|(piece, id)| Some((piece.as_str(), u32::try_from(id.as_u64()?).ok()?)));
        let vocabulary = vocabulary.collect::<Option<Vec<_>>>()?;
        let mark = model["continuing_subword_prefix"].as_str()?;
        let unknown = model["unk_token"].as_str()?;
        let continuations =
            vocabulary.iter().filter_map(|&(piece, id)| Some((piece.strip_prefix(mark)?.as_bytes(), id)));
        Some(Bert {
            splits_chinese: normalizer["handle_chinese_chars"].as_bool()?,
            lowers: normalizer["lowercase"].as_bool()?,
            word_max: model["max_input_chars_per_word"].as_u64()? as usize,
            unknown: vocabulary.iter().find(|&&(piece, _)| piece == unknown)?.1,
            beginnings: Trie::new(vocabulary.iter().map(|&(piece, id)| (piece.as_bytes(), id))),
            continuations: Trie::new(continuations),
        })
    }

    /// Calls `word` for each part that is tokenized by itself: with the text from there on, and its length. White space
    /// is left out.
    fn split<'t>(
        &self,
        text: &'t str,
        mut word: impl FnMut(&'t str, usize) -> Result<(), Failed>,
    ) -> Result<(), Failed> {
        let mut rest = text;
        while let Some(&byte) = rest.as_bytes().first() {
            let length = match byte {
                b' ' | b'\t' | b'\n' | b'\r' => 1,
                byte if byte.is_ascii_punctuation() => 1,
                _ => self.word_length(rest),
            };
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                word(rest, length)?;
            }
            rest = &rest[length..];
        }
        Ok(())
    }

    fn word_length(&self, text: &str) -> usize {
        let ends = |letter: char| letter.is_ascii_punctuation() || matches!(letter, ' ' | '\t' | '\n' | '\r');
        let mut letters = text.char_indices();
        let first = letters.next().map_or(' ', |(_, first)| first);
        if self.splits_chinese && is_chinese(first) {
            return first.len_utf8();
        }
        let end = letters.find(|&(_, letter)| ends(letter) || self.splits_chinese && is_chinese(letter));
        end.map_or(text.len(), |(at, _)| at)
    }

    /// Appends the ids of a word of ASCII letters and digits, or of one mark.
    fn encode_ascii(&self, word: &str, ids: &mut Vec<u32>) {
        let lower = word.to_ascii_lowercase();
        let mut rest = if self.lowers { lower.as_bytes() } else { word.as_bytes() };
        let start = ids.len();
        while !rest.is_empty() && word.len() <= self.word_max {
            let pieces = if ids.len() == start { &self.beginnings } else { &self.continuations };
            let Some((length, id)) = pieces.longest(rest) else { break };
            ids.push(id);
            rest = &rest[length..];
        }
        if !rest.is_empty() {
            ids.truncate(start);
            ids.push(self.unknown);
        }
    }
}

/// What BERT's normalizer puts spaces around.
fn is_chinese(letter: char) -> bool {
    matches!(u32::from(letter),
        0x4e00..=0x9fff | 0x3400..=0x4dbf | 0x2_0000..=0x2_a6df | 0x2_a700..=0x2_b73f | 0x2_b740..=0x2_b81f
        | 0x2_b920..=0x2_ceaf
        | 0xf900..=0xfaff | 0x2_f800..=0x2_fa1f)
}

/// Words become ids.
struct Encoding<'m> {
    model: &'m Model,
    memory: &'m mut Memory,
    ids: &'m mut Vec<u32>,
    found: [Ids; window::BYTES],
}

impl<'t> Take<'t> for Encoding<'_> {
    #[inline]
    fn word(&mut self, rest: &'t str, length: usize) -> Result<(), Failed> {
        let Encoding { model, memory, ids, .. } = self;
        if length > KEY_MAX {
            return model.encode_long(&rest[..length], memory, ids);
        }
        let Memory { memo, merges, unigram, .. } = &mut **memory;
        let encode = |ids: &mut Vec<u32>| model.encode_new(&rest[..length], merges, unigram, ids);
        memo.append_or(rest.as_bytes(), length, ids, encode)
    }

    #[inline]
    fn words(&mut self, rest: &'t str, starts: Starts) -> Result<(), Failed> {
        self.memory.memo.look(rest.as_bytes(), starts, &mut self.found);
        for (place, (start, end)) in starts.enumerate() {
            if !self.found[place].append(self.ids) {
                self.word(&rest[start..], end - start)?;
            }
        }
        Ok(())
    }
}

impl Model {
    /// Appends the ids of a word that is not remembered.
    #[cold]
    fn encode_new(
        &self,
        word: &str,
        merges: &mut merges::Scratch,
        unigram: &mut unigram::Scratch,
        ids: &mut Vec<u32>,
    ) -> Result<(), Failed> {
        match self {
            Model::Bytes(bpe) => bpe.encode(word.as_bytes(), merges, ids),
            Model::Letters(bpe) => bpe.encode_parts(word, merges, ids),
            Model::Unigram(model) => model.encode(word, unigram, ids)?,
        }
        Ok(())
    }

    fn encode_long(&self, word: &str, memory: &mut Memory, ids: &mut Vec<u32>) -> Result<(), Failed> {
        match self {
            Model::Bytes(bpe) => {
                bpe.encode(word.as_bytes(), &mut memory.merges, ids);
                Ok(())
            }
            Model::Unigram(unigram) => unigram.encode(word, &mut memory.unigram, ids),
            Model::Letters(bpe) => bpe.seams.split(word, |part| {
                let Memory { memo, merges, .. } = memory;
                memo.append_or(part.as_bytes(), part.len(), ids, |ids| {
                    bpe.encode(part, merges, ids);
                    Ok(())
                })
            }),
        }
    }
}

/// Byte-pair encoding as a file has it.
struct Bpe<'f> {
    vocabulary: &'f Vocabulary<'f>,
    merges: &'f [Merge<'f>],
    /// The tokens that merges make.
    made: Vec<String>,
}

impl<'f> Bpe<'f> {
    fn new(vocabulary: &'f Vocabulary<'f>, merges: &'f [Merge<'f>]) -> Bpe<'f> {
        let made = merges.iter().map(|(left, right)| [&**left, right].concat()).collect();
        Bpe { vocabulary, merges, made }
    }

    /// `None`: one is not in the vocabulary.
    fn merges(&self) -> Option<Merges> {
        let id = |token: &str| self.vocabulary.get(token).copied();
        let merges = self.merges.iter().zip(&self.made);
        let merges = merges.map(|((left, right), made)| Some((id(left)?, id(right)?, id(made)?)));
        Some(Merges::new(merges.collect::<Option<Vec<_>>>()?.into_iter()))
    }
}

/// Whether everything of a BPE model is known.
fn is_plain(model: &Value) -> bool {
    let is_unset = |name: &str| model[name].is_null() || model[name] == "" || model[name] == 0.0;
    ["dropout", "continuing_subword_prefix", "end_of_word_suffix"].iter().all(|name| is_unset(name))
}

/// The character that stands for each byte in the vocabularies of byte-level tokenizers: visible ones for themselves,
/// others for 256 and up, in order.
fn byte_letters() -> [char; 256] {
    let mut next = 256;
    std::array::from_fn(|byte| match byte {
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => char::from(byte as u8),
        _ => {
            next += 1;
            char::from_u32(next - 1).expect("it is a letter of Latin Extended")
        }
    })
}

impl ByteBpe {
    fn new(bpe: &Bpe, model: &Value) -> Option<ByteBpe> {
        if !is_plain(model) {
            return None;
        }
        let letters = byte_letters();
        let mut ids = [0; 256];
        for (byte, letter) in letters.iter().enumerate() {
            ids[byte] = *bpe.vocabulary.get(letter.to_string().as_str())?;
        }
        let mut bytes = [None; 512];
        letters.iter().zip(0..=255).for_each(|(&letter, byte)| bytes[letter as usize] = Some(byte));
        let of_letter = |letter: char| bytes.get(letter as usize).copied().flatten();
        let of_letters = |token: &str| token.chars().map(of_letter).collect::<Option<Vec<u8>>>();
        let whole = match model["ignore_merges"].as_bool()? {
            true => bpe.vocabulary.iter().filter_map(|(token, &id)| Some((of_letters(token)?, id))).collect(),
            false => NumberMap::default(),
        };
        let tokens = bpe.made.iter().map(|token| of_letters(token)).collect::<Option<Vec<_>>>()?;
        Some(ByteBpe { merges: bpe.merges()?, ids, seams: ByteSeams::new(tokens.into_iter()), whole })
    }

    fn encode(&self, word: &[u8], scratch: &mut merges::Scratch, ids: &mut Vec<u32>) {
        if let Some(&id) = self.whole.get(word) {
            return ids.push(id);
        }
        for part in self.seams.split(word) {
            scratch.ids.clear();
            scratch.ids.extend(part.iter().map(|&byte| self.ids[usize::from(byte)]));
            self.merges.apply(scratch);
            ids.extend_from_slice(&scratch.ids);
        }
    }
}

/// The ids of the tokens `<0x00>` to `<0xFF>`.
fn byte_tokens(id: impl Fn(&str) -> Option<u32>) -> [Option<u32>; 256] {
    std::array::from_fn(|byte| id(&format!("<0x{byte:02X}>")))
}

impl LetterBpe {
    fn new(bpe: &Bpe, model: &Value) -> Option<LetterBpe> {
        // A word is not known as a whole where it may be a part of a longer one.
        if !is_plain(model) || model["ignore_merges"] != false {
            return None;
        }
        let vocabulary = bpe.vocabulary;
        let bytes = match model["byte_fallback"].as_bool()? {
            true => {
                let all: Vec<u32> =
                    byte_tokens(|token| vocabulary.get(token).copied()).into_iter().collect::<Option<_>>()?;
                all.try_into().ok()
            }
            false => None,
        };
        let is_byte = |token: &str| token.len() == 6 && token.starts_with("<0x") && token.ends_with('>');
        if bpe.merges.iter().any(|(left, right)| is_byte(left) || is_byte(right)) {
            return None;
        }
        let unknown = match model["unk_token"].as_str() {
            Some(token) => Some(*vocabulary.get(token)?),
            None => None,
        };
        let letter = |token: &str| {
            let mut letters = token.chars();
            letters.next().filter(|_| letters.next().is_none()).map(u32::from)
        };
        let ids: NumberMap<u32, u32> =
            vocabulary.iter().filter_map(|(token, &id)| Some((letter(token)?, id))).collect();
        let known: Option<NumberSet<u32>> = bytes.is_none().then(|| ids.keys().copied().collect());
        Some(LetterBpe {
            merges: bpe.merges()?,
            ids,
            bytes,
            unknown,
            fuses_unknown: model["fuse_unk"].as_bool()?,
            seams: LetterSeams::new(bpe.made.iter().map(String::as_str), known),
        })
    }

    fn encode_parts(&self, word: &str, scratch: &mut merges::Scratch, ids: &mut Vec<u32>) {
        let done: Result<(), ()> = self.seams.split(word, |part| {
            self.encode(part, scratch, ids);
            Ok(())
        });
        done.expect("nothing fails");
    }

    fn encode(&self, word: &str, scratch: &mut merges::Scratch, ids: &mut Vec<u32>) {
        let symbols = &mut scratch.ids;
        symbols.clear();
        let mut unknown = None;
        for letter in word.chars() {
            if let Some(&id) = self.ids.get(&u32::from(letter)) {
                symbols.extend(unknown.take());
                symbols.push(id);
            } else if let Some(bytes) = &self.bytes {
                symbols.extend(letter.encode_utf8(&mut [0; 4]).bytes().map(|byte| bytes[usize::from(byte)]));
            } else if self.unknown.is_some() {
                if !self.fuses_unknown {
                    symbols.extend(unknown);
                }
                unknown = self.unknown;
            }
        }
        symbols.extend(unknown);
        self.merges.apply(scratch);
        ids.extend_from_slice(&scratch.ids);
    }
}

impl WordUnigram {
    fn new(model: &Value) -> Option<WordUnigram> {
        let pieces = model["vocab"].as_array()?.iter().map(|piece| Some((piece[0].as_str()?, piece[1].as_f64()?)));
        let pieces = pieces.collect::<Option<Vec<_>>>()?;
        let ids: NumberMap<String, u32> =
            pieces.iter().zip(0..).map(|((piece, _), id)| (piece.to_string(), id)).collect();
        // Of a piece that comes twice, the reference takes the last id.
        let with_ids = pieces.iter().map(|(piece, _)| (piece.as_bytes(), ids[*piece], pieces[ids[*piece] as usize].1));
        let unknown = model["unk_id"].as_u64().map(|id| id as u32);
        let score_min = pieces.iter().map(|&(_, score)| score).fold(f64::INFINITY, f64::min);
        let unigram = Unigram::new(with_ids, pieces.len(), score_min, Vec::new(), unknown, Sums::F64);
        let bytes = (model["byte_fallback"] == true).then(|| byte_tokens(|token| ids.get(token).copied()));
        Some(WordUnigram { unigram, ids, bytes, unknown })
    }

    fn encode(&self, word: &str, scratch: &mut unigram::Scratch, ids: &mut Vec<u32>) -> Result<(), Failed> {
        // Neighbouring unknown pieces are one.
        let mut unknown = String::new();
        self.unigram.encode(word, 0.0, scratch, |piece, id| {
            if Some(id) == self.unknown {
                unknown.push_str(piece);
            } else {
                self.push_unknown(&mut unknown, ids);
                ids.push(id);
            }
        })?;
        self.push_unknown(&mut unknown, ids);
        Ok(())
    }

    fn push_unknown(&self, unknown: &mut String, ids: &mut Vec<u32>) {
        if unknown.is_empty() {
            return;
        }
        let bytes = || unknown.bytes().map(|byte| self.bytes?[usize::from(byte)]).collect::<Option<Vec<u32>>>();
        match self.ids.get(unknown.as_str()) {
            Some(&id) => ids.push(id),
            None => match bytes() {
                Some(bytes) => ids.extend(bytes),
                None => ids.extend(self.unknown),
            },
        }
        unknown.clear();
    }
}

//! SentencePiece models (`.model`): normalizing, Unigram and BPE, as the library of that name does them.
//!
//! The file is a message in Google's protocol buffers, of which the fields that decide about ids are read. A character
//! or piece that is not in the vocabulary becomes its bytes where the model has tokens for them, and else one unknown
//! token together with its neighbours of the same kind.

use super::Failed;
use super::memo::{KEY_MAX, Memo};
use super::seams::LetterSeams;
use super::surfaces::{Surface, Surfaces};
use super::trie::Trie;
use super::unigram::{self, Sums, Unigram};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

const SPACE: &str = "\u{2581}";

/// What is shown for what is unknown, where the model says nothing.
const UNKNOWN: &str = " \u{2047} ";

/// What a piece is for.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

struct Piece {
    text: String,
    score: f32,
    kind: Kind,
}

/// What the file says.
struct File {
    pieces: Vec<Piece>,
    is_bpe: bool,
    falls_back_to_bytes: bool,
    space_is_suffix: bool,
    bos: i32,
    eos: i32,
    charsmap: Vec<u8>,
    adds_space: bool,
    removes_spaces: bool,
    escapes_spaces: bool,
    unknown_surface: String,
    /// Whether texts that pieces become are normalized another time.
    denormalizes: bool,
}

/// A model that is ready.
pub struct SentencePiece {
    rules: Rules,
    model: Model,
    unknown: u32,
    bytes: Option<[u32; 256]>,
    /// Pieces by text, reserved ones first.
    ids: HashMap<String, u32>,
    bos: Option<u32>,
    eos: Option<u32>,
    surfaces: Surfaces,
    denormalizes: bool,
}

enum Model {
    /// With whether a text can be cut before each `▁`.
    Unigram(Unigram, Seam),
    Bpe(Bpe),
}

/// Where no piece goes on: before a `▁` that does not follow another one, behind one that none follows, or nowhere.
#[derive(Clone, Copy, PartialEq)]
enum Seam {
    BeforeSpace,
    BehindSpace,
    None,
}

/// Memory of one thread.
pub struct Memory {
    memo: Memo,
    text: String,
    pieces: Vec<u32>,
    unigram: unigram::Scratch,
}

impl Memory {
    pub fn new() -> Memory {
        let (text, pieces, unigram) = Default::default();
        Memory { memo: Memo::new(), text, pieces, unigram }
    }
}

impl SentencePiece {
    pub fn new(bytes: &[u8]) -> Result<SentencePiece, Failed> {
        let file = File::read(bytes)?;
        let place = |kind| file.pieces.iter().position(|piece| piece.kind == kind).map(|id| id as u32);
        let unknown = place(Kind::Unknown).ok_or_else(|| Failed::new("no piece for what is unknown"))?;
        let is_reserved = |piece: &Piece| matches!(piece.kind, Kind::Unknown | Kind::Control | Kind::Byte);
        let mut ids = HashMap::new();
        for (id, piece) in file.pieces.iter().enumerate() {
            if piece.text.is_empty() {
                return Err(Failed(format!("piece {id} is empty")));
            }
            if is_reserved(piece) || !ids.contains_key(&piece.text) {
                ids.insert(piece.text.clone(), id as u32);
            }
        }
        let byte = |byte: usize| ids.get(&format!("<0x{byte:02X}>")).copied();
        let bytes: Option<Vec<u32>> = (0..256).map(byte).collect();
        let bytes = match (file.falls_back_to_bytes, bytes) {
            (false, _) => None,
            (true, Some(bytes)) => bytes.try_into().ok(),
            (true, None) => return Err(Failed::new("not all bytes have a piece, and byte_fallback is set")),
        };
        let special = |id: i32| u32::try_from(id).ok().filter(|&id| (id as usize) < file.pieces.len());
        Ok(SentencePiece {
            model: Model::new(&file, unknown),
            unknown,
            bytes,
            bos: special(file.bos),
            eos: special(file.eos),
            surfaces: file.surfaces(&ids)?,
            denormalizes: file.denormalizes,
            ids,
            rules: Rules::new(file)?,
        })
    }

    /// How many pieces there are.
    pub fn count(&self) -> usize {
        self.surfaces.pieces.len()
    }

    /// The text of some ids.
    pub fn decode(&self, ids: &[u32]) -> Result<String, Failed> {
        if self.denormalizes {
            return Err(Failed::new("a model with a denormalizer, which is not supported"));
        }
        self.surfaces.decode(ids)
    }

    /// The id of a piece.
    pub fn id(&self, piece: &str) -> Option<u32> {
        self.ids.get(piece).copied()
    }

    /// The piece that begins texts.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// The piece that ends texts.
    pub fn eos(&self) -> Option<u32> {
        self.eos
    }

    /// Appends the ids of a text.
    pub fn encode(&self, text: &str, memory: &mut Memory, ids: &mut Vec<u32>) -> Result<(), Failed> {
        let mut normal = std::mem::take(&mut memory.text);
        normal.clear();
        self.rules.normalize(text, &mut normal)?;
        let mut out = Out { ids, unknown: self.unknown, bytes: self.bytes.as_ref(), after_unknown: false };
        match &self.model {
            Model::Unigram(unigram, seam) => {
                let mut sum = 0.0;
                for part in seam.parts(&normal) {
                    sum = unigram.encode(part, sum, &mut memory.unigram, |piece, id| out.push(piece, id))?;
                }
            }
            Model::Bpe(bpe) => bpe.encode_parts(&normal, memory, &mut out),
        }
        // A giant text's memory is not kept.
        if normal.capacity() <= 4 << 20 {
            memory.text = normal;
        }
        Ok(())
    }
}

/// Where ids go.
struct Out<'i> {
    ids: &'i mut Vec<u32>,
    unknown: u32,
    bytes: Option<&'i [u32; 256]>,
    after_unknown: bool,
}

impl Out<'_> {
    fn push(&mut self, piece: &str, id: u32) {
        let is_unknown = id == self.unknown;
        match self.bytes {
            Some(bytes) if is_unknown => self.ids.extend(piece.bytes().map(|byte| bytes[usize::from(byte)])),
            _ if is_unknown && self.after_unknown => {}
            _ => self.ids.push(id),
        }
        self.after_unknown = is_unknown;
    }
}

impl Seam {
    /// The place in texts that is inside no piece that may come out.
    fn of<'p>(pieces: impl Iterator<Item = &'p str> + Clone) -> Seam {
        let pairs =
            |piece: &'p str| piece.chars().zip(piece.chars().skip(1)).map(|(left, right)| (left == '▁', right == '▁'));
        let has = |pair| pieces.clone().any(|piece| pairs(piece).any(|found| found == pair));
        match (has((false, true)), has((true, false))) {
            (false, _) => Seam::BeforeSpace,
            (true, false) => Seam::BehindSpace,
            (true, true) => Seam::None,
        }
    }

    fn parts(self, text: &str) -> impl Iterator<Item = &str> {
        let mut rest = text;
        std::iter::from_fn(move || {
            let length = match self {
                _ if rest.is_empty() => return None,
                Seam::None => rest.len(),
                Seam::BeforeSpace => {
                    let start = rest.len() - rest.trim_start_matches(SPACE).len();
                    memchr::memmem::find(&rest.as_bytes()[start..], SPACE.as_bytes())
                        .map_or(rest.len(), |at| start + at)
                }
                Seam::BehindSpace => {
                    let at = memchr::memmem::find(rest.as_bytes(), SPACE.as_bytes()).unwrap_or(rest.len());
                    rest.len() - rest[at..].trim_start_matches(SPACE).len()
                }
            };
            let (part, behind) = rest.split_at(length);
            rest = behind;
            Some(part)
        })
    }
}

impl Model {
    fn new(file: &File, unknown: u32) -> Model {
        let in_texts = |piece: &Piece| matches!(piece.kind, Kind::Normal | Kind::UserDefined | Kind::Unused);
        if file.is_bpe {
            return Model::Bpe(Bpe::new(file, unknown));
        }
        let normal = file.pieces.iter().filter(|piece| piece.kind == Kind::Normal).map(|piece| piece.score);
        let score_min = f64::from(normal.fold(f32::MAX, f32::min));
        let used = file.pieces.iter().zip(0..).filter(|(piece, _)| in_texts(piece) && piece.kind != Kind::Unused);
        let favoured = file.pieces.iter().map(|piece| piece.kind == Kind::UserDefined).collect();
        let pieces = used.clone().map(|(piece, id)| (piece.text.as_bytes(), id, f64::from(piece.score)));
        let unigram = Unigram::new(pieces, file.pieces.len(), score_min, favoured, Some(unknown), Sums::F32);
        Model::Unigram(unigram, Seam::of(used.map(|(piece, _)| piece.text.as_str())))
    }
}

/// Byte-pair encoding as SentencePiece does it: of all neighbours that are a piece together, those with the best score
/// are joined first, the leftmost among equals.
struct Bpe {
    pieces: HashMap<String, (u32, f32)>,
    /// Pieces that are taken apart again into the two that they were made of.
    unused: Vec<bool>,
    has_unused: bool,
    ids: HashMap<String, u32>,
    user_defined: Trie,
    has_user_defined: bool,
    seams: LetterSeams,
    unknown: u32,
}

struct Symbol {
    start: usize,
    end: usize,
    previous: usize,
    next: usize,
    is_frozen: bool,
}

/// Nothing comes before or behind.
const END: usize = usize::MAX;

/// Two neighbours that may be joined.
struct Pair {
    left: usize,
    right: usize,
    length: usize,
}

/// Pairs by their score, the best first.
#[derive(Default)]
struct Agenda(BTreeMap<Reverse<u32>, Vec<Pair>>);

impl Agenda {
    fn push(&mut self, score: f32, pair: Pair) {
        // The order of floats as an order of numbers; both zeros are one.
        let bits = (score + 0.0).to_bits();
        let order = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
        self.0.entry(Reverse(order)).or_default().push(pair);
    }
}

impl Bpe {
    fn new(file: &File, unknown: u32) -> Bpe {
        let in_texts = |piece: &Piece| matches!(piece.kind, Kind::Normal | Kind::UserDefined | Kind::Unused);
        let pieces = file.pieces.iter().zip(0..).filter(|(piece, _)| in_texts(piece));
        let ids = file.pieces.iter().zip(0..).filter(|(piece, _)| !in_texts(piece));
        let user_defined: Vec<_> = pieces.clone().filter(|(piece, _)| piece.kind == Kind::UserDefined).collect();
        Bpe {
            unused: file.pieces.iter().map(|piece| piece.kind == Kind::Unused).collect(),
            has_unused: file.pieces.iter().any(|piece| piece.kind == Kind::Unused),
            ids: ids.map(|(piece, id)| (piece.text.clone(), id)).collect(),
            has_user_defined: !user_defined.is_empty(),
            user_defined: Trie::new(user_defined.iter().map(|(piece, id)| (piece.text.as_bytes(), *id))),
            // A text is never cut within a piece, user-defined ones included; what is unknown is joined behind.
            seams: LetterSeams::new(pieces.clone().map(|(piece, _)| piece.text.as_str()), None),
            pieces: pieces.map(|(piece, id)| (piece.text.clone(), (id, piece.score))).collect(),
            unknown,
        }
    }

    fn id(&self, piece: &str) -> u32 {
        let known = self.ids.get(piece).copied().or_else(|| Some(self.pieces.get(piece)?.0));
        known.unwrap_or(self.unknown)
    }

    fn encode_parts(&self, text: &str, memory: &mut Memory, out: &mut Out) {
        let Memory { memo, pieces: found, .. } = memory;
        let done: Result<(), ()> = self.seams.split(text, |part| {
            let key = part.as_bytes();
            if let Some(ids) = (key.len() <= KEY_MAX).then(|| memo.get(key)).flatten() {
                ids.iter().for_each(|&id| out.push("", id));
                return Ok(());
            }
            found.clear();
            let mut has_unknown = false;
            self.encode(part, |piece, id| {
                has_unknown |= id == self.unknown;
                found.push(id);
                out.push(piece, id);
            });
            // What is unknown depends on more than the ids.
            if key.len() <= KEY_MAX && !has_unknown {
                memo.insert(key, found);
            }
            Ok(())
        });
        done.expect("nothing fails");
    }

    fn encode(&self, text: &str, mut out: impl FnMut(&str, u32)) {
        let mut symbols = self.symbols(text);
        let mut agenda = Agenda::default();
        let mut halves = HashMap::new();
        for right in 1..symbols.len() {
            self.offer(text, &symbols, right - 1, right, &mut agenda, &mut halves);
        }
        // Pairs of one score from left to right; where one that is as good or better comes up meanwhile, all those are
        // looked at anew.
        while let Some((score, mut pairs)) = agenda.0.pop_first() {
            pairs.sort_by_key(|pair| pair.left);
            let mut pairs = pairs.into_iter();
            for pair in pairs.by_ref() {
                self.join(text, &mut symbols, &pair, &mut agenda, &mut halves);
                if agenda.0.first_key_value().is_some_and(|(better, _)| *better <= score) {
                    break;
                }
            }
            if pairs.len() > 0 {
                agenda.0.entry(score).or_default().extend(pairs);
            }
        }
        let mut at = 0;
        while at != END {
            self.take_apart(&text[symbols[at].start..symbols[at].end], &halves, &mut out);
            at = symbols[at].next;
        }
    }

    /// The characters of a text, and the user-defined pieces in it.
    fn symbols(&self, text: &str) -> Vec<Symbol> {
        let mut symbols: Vec<Symbol> = Vec::new();
        let mut start = 0;
        while let Some(letter) = text[start..].chars().next() {
            let whole = if self.has_user_defined { self.user_defined.longest(&text.as_bytes()[start..]) } else { None };
            let end = start + whole.map_or(letter.len_utf8(), |(length, _)| length);
            let previous = symbols.len().checked_sub(1).unwrap_or(END);
            let next = if end == text.len() { END } else { symbols.len() + 1 };
            symbols.push(Symbol { start, end, previous, next, is_frozen: whole.is_some() });
            start = end;
        }
        symbols
    }

    /// Joins two neighbours, if they still are what they were.
    fn join<'t>(
        &self,
        text: &'t str,
        symbols: &mut [Symbol],
        &Pair { left, right, length }: &Pair,
        agenda: &mut Agenda,
        halves: &mut HashMap<&'t str, (&'t str, &'t str)>,
    ) {
        let size = |at: usize| symbols[at].end - symbols[at].start;
        if size(left) == 0 || size(right) == 0 || size(left) + size(right) != length {
            return;
        }
        let (previous, next) = (symbols[left].previous, symbols[right].next);
        symbols[left].end = symbols[right].end;
        symbols[left].next = next;
        symbols[right].end = symbols[right].start;
        if previous != END {
            self.offer(text, symbols, previous, left, agenda, halves);
        }
        if next != END {
            symbols[next].previous = left;
            self.offer(text, symbols, left, next, agenda, halves);
        }
    }

    fn offer<'t>(
        &self,
        text: &'t str,
        symbols: &[Symbol],
        left: usize,
        right: usize,
        agenda: &mut Agenda,
        halves: &mut HashMap<&'t str, (&'t str, &'t str)>,
    ) {
        let (one, other) = (&symbols[left], &symbols[right]);
        if one.is_frozen || other.is_frozen {
            return;
        }
        let whole = &text[one.start..other.end];
        let Some(&(id, score)) = self.pieces.get(whole) else { return };
        agenda.push(score, Pair { left, right, length: whole.len() });
        if self.has_unused && self.unused[id as usize] {
            halves.insert(whole, (&text[one.start..one.end], &text[other.start..other.end]));
        }
    }

    fn take_apart<'t>(
        &self,
        piece: &'t str,
        halves: &HashMap<&'t str, (&'t str, &'t str)>,
        out: &mut impl FnMut(&str, u32),
    ) {
        let id = self.id(piece);
        match halves.get(piece).filter(|_| self.unused[id as usize]) {
            Some((left, right)) => {
                self.take_apart(left, halves, out);
                self.take_apart(right, halves, out);
            }
            None => out(piece, id),
        }
    }
}

/// What is done to a text before it is cut into pieces.
struct Rules {
    /// Replacements: for the longest that fits, a place in `replacements`, up to the next zero byte.
    trie: Vec<u32>,
    replacements: Vec<u8>,
    user_defined: Option<Trie>,
    adds_space: bool,
    space_is_suffix: bool,
    removes_spaces: bool,
    space: &'static str,
}

impl Rules {
    fn new(file: File) -> Result<Rules, Failed> {
        let broken = || Failed::new("precompiled_charsmap: not a table of replacements");
        let (mut trie, mut replacements) = (Vec::new(), Vec::new());
        if let Some((size, rest)) = file.charsmap.split_first_chunk() {
            let (units, text) = rest.split_at_checked(u32::from_le_bytes(*size) as usize).ok_or_else(broken)?;
            trie = units.as_chunks().0.iter().map(|&unit| u32::from_le_bytes(unit)).collect();
            replacements = text.to_vec();
        }
        let user_defined: Vec<_> = file.pieces.iter().filter(|piece| piece.kind == Kind::UserDefined).collect();
        let user_defined = Trie::new(user_defined.iter().map(|piece| (piece.text.as_bytes(), 0)));
        Ok(Rules {
            trie,
            replacements,
            user_defined: file.pieces.iter().any(|piece| piece.kind == Kind::UserDefined).then_some(user_defined),
            adds_space: file.adds_space,
            space_is_suffix: file.space_is_suffix,
            removes_spaces: file.removes_spaces,
            space: if file.escapes_spaces { SPACE } else { " " },
        })
    }

    /// Appends the normal form of a text.
    fn normalize(&self, text: &str, out: &mut String) -> Result<(), Failed> {
        let mut rest = text;
        while self.removes_spaces && !rest.is_empty() {
            let (normal, length) = self.prefix(rest)?;
            if normal != " " {
                break;
            }
            rest = &rest[length..];
        }
        if rest.is_empty() {
            return Ok(());
        }
        if self.adds_space && !self.space_is_suffix {
            out.push_str(self.space);
        }
        let mut after_space = self.removes_spaces;
        while !rest.is_empty() {
            let (mut normal, length) = self.prefix(rest)?;
            rest = &rest[length..];
            if after_space {
                normal = normal.trim_start_matches(' ');
            }
            if normal.is_empty() {
                continue;
            }
            after_space = self.removes_spaces && normal.ends_with(' ');
            match normal.contains(' ') {
                true => normal.chars().for_each(|letter| match letter {
                    ' ' => out.push_str(self.space),
                    letter => out.push(letter),
                }),
                false => out.push_str(normal),
            }
        }
        if self.removes_spaces {
            out.truncate(out.trim_end_matches(self.space).len());
        }
        if self.adds_space && self.space_is_suffix {
            out.push_str(self.space);
        }
        Ok(())
    }

    /// What the beginning of a text becomes, and how long it is.
    fn prefix<'t>(&'t self, text: &'t str) -> Result<(&'t str, usize), Failed> {
        if let Some((length, _)) = self.user_defined.as_ref().and_then(|pieces| pieces.longest(text.as_bytes())) {
            return Ok((&text[..length], length));
        }
        let Some((length, place)) = self.longest(text.as_bytes()) else {
            let length = text.chars().next().map_or(0, char::len_utf8);
            return Ok((&text[..length], length));
        };
        let replacement = self.replacements.get(place as usize..).unwrap_or_default();
        let end = memchr::memchr(0, replacement).unwrap_or(replacement.len());
        let replacement =
            str::from_utf8(&replacement[..end]).map_err(|why| Failed(format!("precompiled_charsmap: {why}")))?;
        if !text.is_char_boundary(length) {
            return Err(Failed::new("precompiled_charsmap: a replacement for half a character"));
        }
        Ok((replacement, length))
    }

    /// Looks in the double array, as the Darts library lays it out: offset and label of a node in the bits of a number.
    fn longest(&self, text: &[u8]) -> Option<(usize, u32)> {
        let offset = |unit: u32| (unit >> 10) << ((unit & 1 << 9) >> 6);
        let mut at = offset(*self.trie.first()?);
        let mut longest = None;
        for (length, &byte) in (1..).zip(text) {
            at ^= u32::from(byte);
            let Some(&unit) = self.trie.get(at as usize) else { break };
            if unit & (1 << 31 | 0xff) != u32::from(byte) {
                break;
            }
            at ^= offset(unit);
            if unit >> 8 & 1 == 1 {
                longest = self.trie.get(at as usize).map(|value| (length, value & !(1 << 31)));
            }
        }
        longest
    }
}

/// A field of a message.
enum Field<'b> {
    Number(u64),
    Bytes(&'b [u8]),
}

/// Calls `field` with the number and value of each field of a message.
fn fields<'b>(
    mut message: &'b [u8],
    mut field: impl FnMut(u64, Field<'b>) -> Result<(), Failed>,
) -> Result<(), Failed> {
    let broken = || Failed::new("not a SentencePiece model, nor JSON");
    while !message.is_empty() {
        let key = number(&mut message).ok_or_else(broken)?;
        let size = match key & 7 {
            0 => {
                field(key >> 3, Field::Number(number(&mut message).ok_or_else(broken)?))?;
                continue;
            }
            1 => 8,
            2 => number(&mut message).ok_or_else(broken)?,
            5 => 4,
            _ => return Err(broken()),
        };
        let (bytes, rest) =
            usize::try_from(size).ok().and_then(|size| message.split_at_checked(size)).ok_or_else(broken)?;
        message = rest;
        field(key >> 3, Field::Bytes(bytes))?;
    }
    Ok(())
}

fn number(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(byte & 127) << shift;
        if byte < 128 {
            return Some(value);
        }
    }
    None
}

impl File {
    fn read(bytes: &[u8]) -> Result<File, Failed> {
        let mut file = File {
            pieces: Vec::new(),
            is_bpe: false,
            falls_back_to_bytes: false,
            space_is_suffix: false,
            bos: 1,
            eos: 2,
            charsmap: Vec::new(),
            adds_space: true,
            removes_spaces: true,
            escapes_spaces: true,
            unknown_surface: UNKNOWN.to_string(),
            denormalizes: false,
        };
        fields(bytes, |key, field| match (key, field) {
            (1, Field::Bytes(piece)) => {
                file.pieces.push(Piece::read(piece)?);
                Ok(())
            }
            (2, Field::Bytes(spec)) => fields(spec, |key, field| file.trainer(key, &field)),
            (3, Field::Bytes(spec)) => fields(spec, |key, field| {
                file.normalizer(key, field);
                Ok(())
            }),
            (5, Field::Bytes(spec)) => fields(spec, |key, field| {
                file.denormalizes |= key == 2 && matches!(field, Field::Bytes(charsmap) if !charsmap.is_empty());
                Ok(())
            }),
            _ => Ok(()),
        })?;
        if file.pieces.is_empty() {
            return Err(Failed::new("not a SentencePiece model, nor JSON"));
        }
        Ok(file)
    }

    fn trainer(&mut self, key: u64, field: &Field) -> Result<(), Failed> {
        let value = match *field {
            Field::Bytes(text) if key == 44 => {
                self.unknown_surface = String::from_utf8(text.to_vec()).map_err(Failed::new)?;
                return Ok(());
            }
            Field::Bytes(_) => return Ok(()),
            Field::Number(value) => value,
        };
        match (key, value) {
            (3, 1) => self.is_bpe = false,
            (3, 2) => self.is_bpe = true,
            (3, 3) => return Err(Failed::new("a model of type WORD is not supported, only UNIGRAM and BPE")),
            (3, 4) => return Err(Failed::new("a model of type CHAR is not supported, only UNIGRAM and BPE")),
            (24, value) => self.space_is_suffix = value != 0,
            (35, value) => self.falls_back_to_bytes = value != 0,
            (41, value) => self.bos = value as i32,
            (42, value) => self.eos = value as i32,
            _ => {}
        }
        Ok(())
    }

    /// What pieces show. A piece that is there twice is the one that its text has as its id.
    fn surfaces(&self, ids: &HashMap<String, u32>) -> Result<Surfaces, Failed> {
        let surface = |piece: &Piece| match self.pieces[ids[&piece.text] as usize].kind {
            Kind::Unknown => Ok(Surface::Unknown),
            Kind::Control => Ok(Surface::Hidden),
            Kind::Byte => Surface::byte(&piece.text),
            Kind::Normal | Kind::UserDefined | Kind::Unused => Ok(Surface::text(&piece.text)),
        };
        Ok(Surfaces {
            pieces: self.pieces.iter().map(surface).collect::<Result<_, _>>()?,
            unknown: self.unknown_surface.clone(),
            drops_space: self.adds_space || self.removes_spaces,
            drops_spaces: self.removes_spaces,
        })
    }

    fn normalizer(&mut self, key: u64, field: Field) {
        match (key, field) {
            (2, Field::Bytes(charsmap)) => self.charsmap = charsmap.to_vec(),
            (3, Field::Number(value)) => self.adds_space = value != 0,
            (4, Field::Number(value)) => self.removes_spaces = value != 0,
            (5, Field::Number(value)) => self.escapes_spaces = value != 0,
            _ => {}
        }
    }
}

impl Piece {
    fn read(message: &[u8]) -> Result<Piece, Failed> {
        let mut piece = Piece { text: String::new(), score: 0.0, kind: Kind::Normal };
        fields(message, |key, field| {
            match (key, field) {
                (1, Field::Bytes(text)) => piece.text = String::from_utf8(text.to_vec()).map_err(Failed::new)?,
                (2, Field::Bytes(&[a, b, c, d])) => piece.score = f32::from_le_bytes([a, b, c, d]),
                (3, Field::Number(kind)) => {
                    let kinds =
                        [Kind::Normal, Kind::Unknown, Kind::Control, Kind::UserDefined, Kind::Unused, Kind::Byte];
                    let kind = (kind as usize).checked_sub(1).and_then(|kind| kinds.get(kind));
                    piece.kind = *kind.ok_or_else(|| Failed::new("a piece of unknown type"))?;
                }
                _ => {}
            }
            Ok(())
        })?;
        Ok(piece)
    }
}

//! Documents to sequences of `length` tokens.
//!
//! Notation: T tokens a sequence, P tokens before it (its context).
//!
//! - **Concat**: documents end to end; sequence i is tokens [iT + P, iT + P + T) of that, its context the P tokens
//!   before.
//! - **Within**: the same in every document by itself: a document of L tokens has floor((L - P) / T) windows.
//! - **Best fit**: whole documents into as few sequences as best-fit decreasing finds: of what has come since the last
//!   time (`window` tokens), longest first, each goes where the least room is left that it fits in. Only a document of
//!   more than T tokens is cut: into pieces of T, and a rest. Equal lengths in input order; of equal rooms the one
//!   opened first. Sequences leave in the order of their first documents, and documents stand in input order within
//!   them, so that the result does not show how it was found. (Ding et al., *Fewer Truncations Improve Language
//!   Modeling*, 2024.)
//! - **Passages**: the T-token pieces of every document by themselves, each with up to T tokens behind it (its
//!   context).
//!
//! Memory: one document; in best fit, the window.
//!
//! Where it is asked for, each sequence says where its tokens come from: a run of tokens is made of pieces, each of one
//! document, and a sequence and what stands before it are a range of that run.

use std::collections::BTreeSet;
use std::ops::Range;

/// How documents become sequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Documents end to end.
    Concat,
    /// Windows of one document.
    Within,
    /// Whole documents.
    BestFit,
    /// Pieces of a document with what follows.
    Passages,
}

/// What becomes of tokens that do not fill a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// They are left out.
    Drop,
    /// They are filled up.
    Pad,
    /// They are a shorter sequence.
    Keep,
}

/// The shape of sequences.
#[derive(Debug, Clone)]
pub struct Shape {
    /// How documents become sequences.
    pub mode: Mode,
    /// T.
    pub length: usize,
    /// P.
    pub prev: usize,
    /// What fills up.
    pub pad: Option<u32>,
    /// What becomes of tokens that do not fill a sequence.
    pub tail: Tail,
    /// Tokens that best fit looks at together.
    pub window: usize,
}

impl Shape {
    /// Whether a sequence is of one document.
    pub fn by_document(&self) -> bool {
        matches!(self.mode, Mode::Within | Mode::Passages)
    }
}

/// One sequence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sequence<'a> {
    /// Its tokens.
    pub tokens: &'a [u32],
    /// The tokens before it; of a passage, those behind it.
    pub context: &'a [u32],
    /// Lengths of its documents, one after another, padding not counted; empty but in best fit.
    pub lengths: &'a [u32],
    /// Where its tokens and those before it come from, in order, padding left out; empty unless that is asked for.
    pub spans: &'a [Span],
    /// The document that it ends in, in the order of all, from 0.
    pub document: u64,
    /// Its place in that document, 0 for the first window; where sequences go over documents, its place in the stream.
    pub place: u64,
}

/// Tokens of a sequence that are one after another in a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The place of the document in the whole input, from 0.
    pub document: u64,
    /// Its key.
    pub key: u64,
    /// The place of the first of them in the document, from 0.
    pub begin: u32,
    /// How many they are.
    pub length: u32,
    /// The place of the first of them in the sequence, from 0; below 0 in what stands before it.
    pub at: i32,
}

/// What a run of tokens has of one document.
struct Piece {
    /// Where it ends.
    end: usize,
    /// Where the document's first token is, or would be.
    origin: i64,
    document: u64,
    key: u64,
}

/// What went in and did not come out, or the other way round.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waste {
    /// Tokens in no sequence.
    pub dropped: u64,
    /// Tokens that are padding.
    pub padding: u64,
    /// Documents without a sequence, since they are too short.
    pub short: u64,
    /// Documents that were cut, in best fit.
    pub cut: u64,
}

/// Makes sequences of documents.
pub struct Packer {
    shape: Shape,
    /// Tokens of several documents: of those that are not used up, or of the window.
    stream: Vec<u32>,
    /// What the stream is made of, in best fit; elsewhere only where `trace` is set.
    pieces: Vec<Piece>,
    /// Whether sequences say where they come from.
    trace: bool,
    spans: Vec<Span>,
    padded: (Vec<u32>, Vec<u32>),
    last: u64,
    /// Sequences made of the stream so far.
    emitted: u64,
    /// What was lost and gained.
    pub waste: Waste,
}

impl Packer {
    /// Nothing packed yet. `trace`: sequences say where they come from.
    pub fn new(shape: &Shape, trace: bool) -> Packer {
        Packer {
            shape: shape.clone(),
            stream: Vec::new(),
            pieces: Vec::new(),
            trace,
            spans: Vec::new(),
            padded: Default::default(),
            last: 0,
            emitted: 0,
            waste: Waste::default(),
        }
    }

    /// How many sequences a document of so many tokens has by itself (`Within`, `Passages`).
    pub fn windows(shape: &Shape, tokens: usize) -> u64 {
        let Shape { length, prev, pad, tail, .. } = *shape;
        if shape.mode == Mode::Passages {
            return (tokens / length) as u64;
        }
        if tokens < length + prev && pad.is_some() {
            return u64::from(tokens > 0);
        }
        let (whole, rest) = (tokens.saturating_sub(prev) / length, tokens.saturating_sub(prev) % length);
        (whole + usize::from(rest > 0 && tail != Tail::Drop)) as u64
    }

    /// Takes a document, the `number`-th of all, with its key, which only `trace` asks for.
    ///
    /// # Errors
    /// Those of `emit`.
    pub fn add<E>(
        &mut self,
        tokens: &[u32],
        (number, key): (u64, u64),
        mut emit: impl FnMut(&Sequence) -> Result<(), E>,
    ) -> Result<(), E> {
        match self.shape.mode {
            Mode::Concat => {
                self.last = number;
                let origin = self.stream.len() as i64;
                self.stream.extend_from_slice(tokens);
                if self.trace {
                    self.pieces.push(Piece { end: self.stream.len(), origin, document: number, key });
                }
                let stream = std::mem::take(&mut self.stream);
                let used = self.cut(&stream, (number, self.emitted), &mut emit)?;
                self.emitted += (used / self.shape.length) as u64;
                self.stream = stream;
                self.stream.drain(..used);
                Ok(())
            }
            Mode::Within => {
                self.pieces.clear();
                if self.trace {
                    self.pieces.push(Piece { end: tokens.len(), origin: 0, document: number, key });
                }
                let used = self.cut(tokens, (number, 0), &mut emit)?;
                self.rest(&tokens[used..], number, (used / self.shape.length) as u64, &mut emit)
            }
            Mode::Passages => self.passages(tokens, number, emit),
            Mode::BestFit => {
                self.waste.cut += u64::from(tokens.len() > self.shape.length);
                for (place, piece) in tokens.chunks(self.shape.length).enumerate() {
                    let origin = self.stream.len() as i64 - (place * self.shape.length) as i64;
                    self.stream.extend_from_slice(piece);
                    self.pieces.push(Piece { end: self.stream.len(), origin, document: number, key });
                    if self.stream.len() >= self.shape.window {
                        self.fit(&mut emit)?;
                    }
                }
                Ok(())
            }
        }
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// Those of `emit`.
    pub fn finish<E>(&mut self, mut emit: impl FnMut(&Sequence) -> Result<(), E>) -> Result<(), E> {
        match self.shape.mode {
            Mode::Concat if !self.stream.is_empty() => {
                let stream = std::mem::take(&mut self.stream);
                self.rest(&stream, self.last, self.emitted, &mut emit)
            }
            Mode::BestFit => self.fit(&mut emit),
            _ => Ok(()),
        }
    }

    /// Gives all windows of a run of tokens, the first of which has this document and place; and how many tokens are
    /// behind us.
    fn cut<E>(
        &mut self,
        tokens: &[u32],
        (document, first): (u64, u64),
        emit: &mut impl FnMut(&Sequence) -> Result<(), E>,
    ) -> Result<usize, E> {
        let Shape { length, prev, .. } = self.shape;
        let windows = tokens.len().saturating_sub(prev) / length;
        for place in 0..windows {
            let start = place * length;
            let (context, own) = tokens[start..][..prev + length].split_at(prev);
            trace(&self.pieces, start..start + prev + length, start + prev, &mut self.spans);
            let place = first + place as u64;
            emit(&Sequence { tokens: own, context, lengths: &[], spans: &self.spans, document, place })?;
        }
        self.use_up(windows * length);
        Ok(windows * length)
    }

    /// The run of tokens begins so many later.
    fn use_up(&mut self, used: usize) {
        if used > 0 {
            self.pieces.drain(..self.pieces.partition_point(|piece| piece.end <= used));
            for piece in &mut self.pieces {
                (piece.end, piece.origin) = (piece.end - used, piece.origin - used as i64);
            }
        }
    }

    /// What is left behind the windows, of which there were `windows`: P tokens that were used, and some that were not.
    fn rest<E>(
        &mut self,
        rest: &[u32],
        number: u64,
        windows: u64,
        emit: &mut impl FnMut(&Sequence) -> Result<(), E>,
    ) -> Result<(), E> {
        let Shape { prev, length, pad, tail, .. } = self.shape;
        let new = if windows > 0 { rest.len() - prev } else { rest.len() };
        // A short document that is kept ends where the sequence does.
        let kept_whole = windows == 0 && pad.is_some();
        let zero = if kept_whole { rest.len().saturating_sub(length) } else { prev };
        trace(&self.pieces, 0..rest.len(), zero, &mut self.spans);
        let spans = &self.spans[..];
        let sequence =
            |tokens, context| Sequence { tokens, context, lengths: &[], spans, document: number, place: windows };
        match (tail, pad) {
            _ if new == 0 => Ok(()),
            // A short document: its end is the sequence, what stands before is the context, and padding stands outside
            // of both.
            (_, Some(pad)) if windows == 0 => {
                let (before, own) = rest.split_at(zero);
                let (context, tokens) = &mut self.padded;
                context.clear();
                context.resize(prev - before.len(), pad);
                context.extend_from_slice(before);
                tokens.clear();
                tokens.extend_from_slice(own);
                tokens.resize(length, pad);
                self.waste.padding += (prev + length - rest.len()) as u64;
                emit(&sequence(tokens, context))
            }
            (Tail::Pad, Some(pad)) => {
                let (context, own) = rest.split_at(prev);
                let tokens = &mut self.padded.1;
                tokens.clear();
                tokens.extend_from_slice(own);
                tokens.resize(length, pad);
                self.waste.padding += (length - own.len()) as u64;
                emit(&sequence(tokens, context))
            }
            (Tail::Keep, _) if rest.len() > prev => emit(&sequence(&rest[prev..], &rest[..prev])),
            _ => {
                self.waste.dropped += new as u64;
                self.waste.short += u64::from(windows == 0);
                Ok(())
            }
        }
    }

    fn passages<E>(
        &mut self,
        tokens: &[u32],
        number: u64,
        mut emit: impl FnMut(&Sequence) -> Result<(), E>,
    ) -> Result<(), E> {
        let length = self.shape.length;
        let passages = tokens.chunks_exact(length);
        self.waste.dropped += passages.remainder().len() as u64;
        self.waste.short += u64::from(tokens.len() < length && !tokens.is_empty());
        for (place, own) in passages.enumerate() {
            let end = (place + 1) * length;
            let context = &tokens[end..tokens.len().min(end + length)];
            let (lengths, spans) = Default::default();
            emit(&Sequence { tokens: own, context, lengths, spans, document: number, place: place as u64 })?;
        }
        Ok(())
    }

    /// Best-fit decreasing over the window.
    fn fit<E>(&mut self, emit: &mut impl FnMut(&Sequence) -> Result<(), E>) -> Result<(), E> {
        let start = |piece: usize| if piece == 0 { 0 } else { self.pieces[piece - 1].end };
        let size = |piece: usize| self.pieces[piece].end - start(piece);
        let mut order: Vec<usize> = (0..self.pieces.len()).collect();
        order.sort_by_key(|&piece| (std::cmp::Reverse(size(piece)), piece));
        let mut bins: Vec<Vec<usize>> = Vec::new();
        // The room left in each bin that is not full, and the bin.
        let mut rooms = BTreeSet::new();
        for piece in order {
            let (room, bin) =
                rooms.range((size(piece), 0)..).next().copied().unwrap_or((self.shape.length, bins.len()));
            rooms.remove(&(room, bin));
            if bin == bins.len() {
                bins.push(Vec::new());
            }
            bins[bin].push(piece);
            if room > size(piece) {
                rooms.insert((room - size(piece), bin));
            }
        }
        bins.iter_mut().for_each(|bin| bin.sort_unstable());
        bins.sort_unstable();
        let (mut tokens, mut lengths) = (Vec::with_capacity(self.shape.length), Vec::new());
        for bin in &bins {
            tokens.clear();
            lengths.clear();
            self.spans.clear();
            for &piece in bin {
                let Piece { end, origin, document, key } = self.pieces[piece];
                let (begin, length) = ((start(piece) as i64 - origin) as u32, size(piece) as u32);
                if self.trace {
                    self.spans.push(Span { document, key, begin, length, at: tokens.len() as i32 });
                }
                tokens.extend_from_slice(&self.stream[start(piece)..end]);
                lengths.push(length);
            }
            if let Some(pad) = self.shape.pad {
                self.waste.padding += (self.shape.length - tokens.len()) as u64;
                tokens.resize(self.shape.length, pad);
            }
            let document = bin.last().map_or(0, |&piece| self.pieces[piece].document);
            let (context, spans) = (&[][..], &self.spans[..]);
            emit(&Sequence { tokens: &tokens, context, lengths: &lengths, spans, document, place: self.emitted })?;
            self.emitted += 1;
        }
        self.stream.clear();
        self.pieces.clear();
        Ok(())
    }
}

/// Where the tokens in a range of a run come from, for a sequence whose first token is at `zero`.
fn trace(pieces: &[Piece], range: Range<usize>, zero: usize, spans: &mut Vec<Span>) {
    spans.clear();
    let mut start = range.start;
    for piece in &pieces[pieces.partition_point(|piece| piece.end <= start)..] {
        if start >= range.end {
            break;
        }
        let (end, first) = (piece.end.min(range.end), start as i64);
        let (begin, at) = ((first - piece.origin) as u32, (first - zero as i64) as i32);
        spans.push(Span { document: piece.document, key: piece.key, begin, length: (end - start) as u32, at });
        start = end;
    }
}

impl Waste {
    /// Adds that of another part.
    pub fn add(&mut self, other: &Waste) {
        self.dropped += other.dropped;
        self.padding += other.padding;
        self.short += other.short;
        self.cut += other.cut;
    }
}

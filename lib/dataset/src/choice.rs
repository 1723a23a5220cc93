//! Which documents go to which split, and which sequences are taken.
//!
//! There is no text here, so the key of a document is made of its tokens: XXH3-64 (seed 0) of the tokens as
//! little-endian 32-bit integers, whatever the type they are stored in. The key of a sequence is that of its own T
//! tokens, context left aside. The noise is that of corpus-utils(7), with the purposes `pack-split` for documents and
//! `pack` for sequences. So documents that are equal go to one side, wherever they stand, and a sequence that was
//! chosen stays chosen with a larger number, in another order, or beside other documents.
//!
//! What is to be taken is the front of all in the order of their noise bits, smallest first; of equal ones, the
//! earlier. What is kept in memory is that front: 24 bytes for each sequence (each document, for `--split` by counts)
//! of those wanted.
//!
//! # Stability
//!
//! The recipe of the keys and the purposes do not change between releases; tests freeze them.

use crate::apportion::{apportion, largest};
use crate::corpus::{Corpus, Document, Seen, Step};
use crate::packing::{Packer, Sequence, Shape, Waste};
use pipe::failure::Failure;
use pipe::key::{document_key, noise_bits, uniform};
use pipe::tokens::TokenReader;
use std::borrow::Cow;
use std::collections::BinaryHeap;
use std::slice;

/// How much a split gets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Amount {
    /// That many sequences.
    Sequences(u64),
    /// That share of the documents.
    Share(f64),
}

/// A part of the documents, with its name.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// Its name.
    pub name: String,
    /// How much it gets.
    pub amount: Amount,
}

/// What is to be taken.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Parts by document; empty: everything is one part.
    pub splits: Vec<Split>,
    /// Whether a part may have nothing.
    pub allow_empty: bool,
    /// Sequences in all, or of each part.
    pub count: Option<u64>,
    /// The shares of the domains, as whole numbers.
    pub mix: Option<Vec<u64>>,
    /// Seed of the noise.
    pub seed: u64,
}

/// A place in the order of the noise. 24 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    noise: u64,
    document: u64,
    /// The window of the document.
    window: u32,
    /// What it counts: 1, or the sequences or tokens of a document.
    weight: u32,
}

/// A bottom-k sample: the first of all in order that weigh as much as is wanted.
struct BottomK {
    wanted: u64,
    heap: BinaryHeap<Place>,
    weight: u64,
    /// All that there is.
    whole: u64,
}

impl BottomK {
    fn new(wanted: u64) -> BottomK {
        BottomK { wanted, heap: BinaryHeap::new(), weight: 0, whole: 0 }
    }

    fn push(&mut self, place: Place) {
        self.whole += u64::from(place.weight);
        if self.weight >= self.wanted && self.heap.peek().is_none_or(|last| *last < place) {
            return;
        }
        self.weight += u64::from(place.weight);
        self.heap.push(place);
        while let Some(last) = self.heap.peek() {
            let without = self.weight - u64::from(last.weight);
            if without < self.wanted {
                break;
            }
            self.weight = without;
            self.heap.pop();
        }
    }
}

/// Where a split of one domain ends.
#[derive(Debug, Clone, Copy, PartialEq)]
struct End {
    /// Its last document; `None`: it has none.
    last: Option<(u64, u64)>,
    /// How many windows of the last one.
    windows: u64,
    /// Sequences that it may have.
    sequences: u64,
}

/// The last sequence of each split for each domain.
type Cuts = Vec<Vec<Option<Place>>>;

/// A choice that is made.
#[derive(Debug, Default)]
pub struct Choice {
    /// Upper bounds of the noise, for splits by share.
    bounds: Option<Vec<f64>>,
    /// The end of each split for each domain, for splits by count.
    ends: Option<Vec<Vec<End>>>,
    /// `None`: no sequence is left out.
    cuts: Option<Cuts>,
    /// How many sequences each split has in all shards together, where that is known beforehand.
    found: Option<Vec<u64>>,
}

/// Packs what a corpus holds as a choice says.
pub struct Packing<'a> {
    /// The documents.
    pub corpus: &'a Corpus<'a>,
    /// The shape of sequences.
    pub shape: &'a Shape,
    /// What is to be taken.
    pub wanted: &'a Wanted,
    /// Whether sequences say where they come from.
    pub trace: bool,
}

/// What a run over the documents came to.
#[derive(Debug, Clone, Default)]
pub struct Packed {
    /// The documents.
    pub seen: Seen,
    /// Documents in no split.
    pub unsplit: u64,
    /// Tokens lost and added.
    pub waste: Waste,
}

impl Packing<'_> {
    /// Makes the choice. Reads the documents once or more where that takes a look at all of them.
    /// Also gives a sentence where there was less than wanted; [`Packing::short_parts`] speaks of splits.
    ///
    /// # Errors
    /// Documents that cannot be read; a mixture that cannot be had.
    pub fn choose(&self) -> Result<(Choice, Vec<String>), Failure> {
        let mut choice = Choice::default();
        let mut shortfalls = Vec::new();
        match self.wanted.splits.first().map(|split| split.amount) {
            Some(Amount::Share(_)) => choice.bounds = Some(self.bounds()),
            Some(Amount::Sequences(_)) => {
                let (ends, found) = self.ends()?;
                (choice.ends, choice.found) = (Some(ends), Some(found));
            }
            None => {}
        }
        let by_sequence = self.wanted.count.is_some() || self.wanted.mix.is_some();
        if by_sequence && choice.ends.is_none() {
            let (cuts, found, short) = self.cuts(&choice)?;
            (choice.cuts, choice.found) = (Some(cuts), Some(found));
            shortfalls = short;
        }
        Ok((choice, shortfalls))
    }

    /// Splits by share: a document is in the first split whose bound its noise is below.
    fn bounds(&self) -> Vec<f64> {
        let mut sum = 0.0;
        let add = |split: &Split| {
            sum += if let Amount::Share(share) = split.amount { share } else { 0.0 };
            sum
        };
        self.wanted.splits.iter().map(add).collect()
    }

    /// How much each split gets of each domain, in sequences.
    fn targets(&self) -> Vec<Vec<u64>> {
        let counts = self.wanted.splits.iter().map(|split| match split.amount {
            Amount::Sequences(count) => count,
            Amount::Share(_) => 0,
        });
        let one = vec![1];
        let mix = self.wanted.mix.as_ref().unwrap_or(&one);
        counts.map(|count| apportion(count, mix)).collect()
    }

    /// Splits by count: the first documents in the order of their noise, until they have enough; then the next split.
    /// Also how many sequences each finds: exactly, where sequences are of one document.
    fn ends(&self) -> Result<(Vec<Vec<End>>, Vec<u64>), Failure> {
        let targets = self.targets();
        let Shape { length, prev, .. } = *self.shape;
        let by_window = self.shape.by_document();
        // How much documents must weigh for so many sequences.
        let weight = |sequences: u64| match sequences {
            0 => 0,
            _ if by_window => sequences,
            _ => (prev as u64).saturating_add(sequences.saturating_mul(length as u64)),
        };
        let sequences_of =
            |weight: u64| if by_window { weight } else { weight.saturating_sub(prev as u64) / length as u64 };
        let domains = targets[0].len();
        let mut slack = vec![0; domains];
        loop {
            let wanted =
                |domain: usize| targets.iter().map(|t| weight(t[domain])).fold(slack[domain], u64::saturating_add);
            let mut samples: Vec<_> = (0..domains).map(|domain| BottomK::new(wanted(domain))).collect();
            self.corpus.each(false, None, |step| {
                let Step::Document(document) = step else { return Ok(()) };
                let tokens = document.tokens;
                let weight = if by_window { Packer::windows(self.shape, tokens.len()) } else { tokens.len() as u64 };
                let noise = noise_bits(self.wanted.seed, "pack-split", key(tokens));
                let sample = &mut samples[self.fold(document.domain)];
                sample.push(Place { noise, document: document.number, window: 0, weight: weight as u32 });
                Ok(())
            })?;
            let mut ends = vec![Vec::new(); targets.len()];
            let (mut found, mut short, mut again) = (vec![0; targets.len()], None, false);
            for (domain, sample) in samples.into_iter().enumerate() {
                let all = sample.weight == sample.whole;
                let of_domain = targets.iter().map(|t| (t[domain], weight(t[domain])));
                let (of_domain, weights, missing) = ends_of(sample, by_window, of_domain);
                // Documents that are equal to the last of a split are in no other: so more than was thought are needed.
                if let Some((split, lacking)) = missing {
                    slack[domain] += lacking;
                    again |= !all;
                    let (wanted, found) = (targets[split][domain], sequences_of(weights[split]));
                    short.get_or_insert_with(|| self.shortfall(Some(split), domain, wanted, found));
                }
                found.iter_mut().zip(weights).for_each(|(found, weight)| *found += sequences_of(weight));
                ends.iter_mut().zip(of_domain).for_each(|(split, end)| split.push(end));
            }
            if !again {
                self.tell(short.into_iter().collect())?;
                return Ok((ends, found));
            }
        }
    }

    fn shortfall(&self, split: Option<usize>, domain: usize, wanted: u64, found: u64) -> String {
        let split = split.and_then(|split| self.wanted.splits.get(split));
        let split = split.map_or(String::new(), |split| format!("split {}: ", split.name));
        let of = match &self.wanted.mix {
            Some(mix) if mix.len() > 1 => format!(" of {}", self.corpus.domains[domain].name),
            _ => String::new(),
        };
        format!("{split}wanted {wanted} sequences{of}, found {found}")
    }

    /// Without exact proportions there is no mixture; without them, less than wanted is worth a note.
    fn tell(&self, shortfalls: Vec<String>) -> Result<Vec<String>, Failure> {
        match shortfalls.first() {
            Some(first) if self.wanted.mix.is_some() => Err(Failure::work(format!("--mix: {first}"))),
            _ => Ok(shortfalls),
        }
    }

    /// How many sequences a split is to have; `None`: whatever is in its share.
    pub fn wanted_of(&self, split: usize) -> Option<u64> {
        match self.wanted.splits[split].amount {
            Amount::Sequences(count) => Some(count),
            Amount::Share(_) => self.wanted.count,
        }
    }

    /// What each split wanted and got, where one got less. `sequences`: of each, in this shard.
    ///
    /// # Errors
    /// One got nothing, although it wanted something.
    pub fn short_parts(&self, choice: &Choice, sequences: &[u64]) -> Result<Option<String>, Failure> {
        // Of a shard, what the whole has is what counts, as far as that is known.
        let got = if self.corpus.common.shard.is_some() { choice.found.as_deref() } else { Some(sequences) };
        let Some(got) = got.filter(|_| !self.wanted.splits.is_empty()) else { return Ok(None) };
        let splits = || self.wanted.splits.iter().enumerate().zip(got);
        let short = |place: usize, got: u64| self.wanted_of(place).is_some_and(|wanted| got < wanted);
        let empty = |place: usize, got: u64| {
            let wants = match self.wanted.splits[place].amount {
                Amount::Share(share) => share > 0.0 && self.wanted_of(place) != Some(0),
                Amount::Sequences(count) => count > 0,
            };
            wants && got == 0
        };
        if !splits().any(|((place, _), &got)| short(place, got) || empty(place, got)) {
            return Ok(None);
        }
        let tell = |((place, split), got): ((usize, &Split), &u64)| {
            let of = if let Amount::Share(share) = split.amount {
                format!("{share} of the documents")
            } else {
                String::new()
            };
            let wanted = match (self.wanted_of(place), of.is_empty()) {
                (Some(count), true) => format!("{count} sequences"),
                (Some(count), false) => format!("{count} sequences of {of}"),
                (None, _) => of,
            };
            format!("{} wanted {wanted}, got {got} sequences", split.name)
        };
        let told = format!("--split: {}", splits().map(tell).collect::<Vec<_>>().join("; "));
        match splits().any(|((place, _), &got)| empty(place, got)) && !self.wanted.allow_empty {
            true => Err(Failure::work(format!("{told}: a part of nothing is fine with --allow-empty only"))),
            false => Ok(Some(told)),
        }
    }

    /// Without --mix, domains are one.
    fn fold(&self, domain: usize) -> usize {
        if self.wanted.mix.is_some() { domain } else { 0 }
    }

    /// The last sequence of each split and domain, in the order of the noise.
    /// Also how many sequences each split has then, and a sentence where all together are too few.
    fn cuts(&self, choice: &Choice) -> Result<(Cuts, Vec<u64>, Vec<String>), Failure> {
        let splits = self.wanted.splits.len().max(1);
        let domains = self.wanted.mix.as_ref().map_or(1, Vec::len);
        let one = vec![1];
        let mix = self.wanted.mix.as_ref().unwrap_or(&one);
        let targets: Vec<Vec<u64>> = match self.wanted.count {
            Some(count) => vec![apportion(count, mix); splits],
            None => {
                let mut there = vec![vec![0; domains]; splits];
                self.pack(choice, false, None, |split, domain, _| {
                    there[split][self.fold(domain)] += 1;
                    Ok(())
                })?;
                there.iter().map(|there| apportion(largest(there, mix), mix)).collect()
            }
        };
        let row = |targets: &Vec<u64>| targets.iter().map(|&wanted| BottomK::new(wanted)).collect::<Vec<_>>();
        let mut samples: Vec<_> = targets.iter().map(row).collect();
        self.pack(choice, false, None, |split, domain, sequence| {
            samples[split][self.fold(domain)].push(place(sequence, self.wanted.seed));
            Ok(())
        })?;
        let mut shortfalls = Vec::new();
        for (split, samples) in samples.iter().enumerate() {
            let short = samples.iter().enumerate().filter(|(_, sample)| sample.whole < sample.wanted);
            shortfalls.extend(short.map(|(domain, s)| self.shortfall(Some(split), domain, s.wanted, s.whole)));
        }
        let mut shortfalls = self.tell(shortfalls)?;
        if !self.wanted.splits.is_empty() {
            shortfalls.clear();
        }
        let found = |samples: &Vec<BottomK>| samples.iter().map(|sample| sample.whole.min(sample.wanted)).sum();
        let found = samples.iter().map(found).collect();
        let cut = |sample: &BottomK| Some(sample.heap.peek().copied().unwrap_or(NOTHING));
        let cuts = samples.iter().map(|samples| samples.iter().map(cut).collect()).collect();
        Ok((cuts, found, shortfalls))
    }

    /// Packs the documents, and gives every sequence that is chosen with its split and domain. `shard`: of this shard
    /// only.
    ///
    /// # Errors
    /// Documents that cannot be read, and those of `emit`.
    pub fn pack(
        &self,
        choice: &Choice,
        shard: bool,
        first: Option<TokenReader>,
        mut emit: impl FnMut(usize, usize, &Sequence) -> Result<(), Failure>,
    ) -> Result<Packed, Failure> {
        let splits = self.wanted.splits.len().max(1);
        let domains = self.corpus.domains.len();
        let mut packers: Vec<Vec<_>> =
            (0..splits).map(|_| (0..domains).map(|_| Packer::new(self.shape, self.trace)).collect()).collect();
        let mut given = vec![vec![0; domains]; splits];
        let mut unsplit = 0;
        let seed = self.wanted.seed;
        let mut pass = |split: usize, domain: usize, sequence: &Sequence| {
            let taken = choice.takes(split, self.fold(domain), sequence, seed, &mut given);
            if taken { emit(split, domain, sequence) } else { Ok(()) }
        };
        let seen = self.corpus.each(shard, first, |step| match step {
            Step::Document(document) => {
                let domain = document.domain;
                let Some((split, windows)) = choice.split_of(&document, self.fold(domain), seed) else {
                    unsplit += 1;
                    return Ok(());
                };
                let key = if self.trace { key(document.tokens) } else { 0 };
                packers[split][domain].add(document.tokens, (document.number, key), |sequence| {
                    if sequence.place < windows { pass(split, domain, sequence) } else { Ok(()) }
                })
            }
            Step::End(domain) => packers
                .iter_mut()
                .enumerate()
                .try_for_each(|(split, packers)| packers[domain].finish(|sequence| pass(split, domain, sequence))),
        })?;
        let mut waste = Waste::default();
        packers.iter().flatten().for_each(|packer| waste.add(&packer.waste));
        Ok(Packed { seen, unsplit, waste })
    }
}

/// Before all places: chooses nothing.
const NOTHING: Place = Place { noise: 0, document: 0, window: 0, weight: 0 };

impl Choice {
    /// The split of a document, and how many of its windows are in it.
    fn split_of(&self, document: &Document, domain: usize, seed: u64) -> Option<(usize, u64)> {
        if self.bounds.is_none() && self.ends.is_none() {
            return Some((0, u64::MAX));
        }
        let noise = noise_bits(seed, "pack-split", key(document.tokens));
        if let Some(bounds) = &self.bounds {
            let split = bounds.iter().position(|&bound| uniform(noise) < bound);
            return split.map(|split| (split, u64::MAX));
        }
        let here = (noise, document.number);
        for (split, ends) in self.ends.iter().flatten().enumerate() {
            let Some(last) = ends[domain].last else { continue };
            if here < last {
                return Some((split, u64::MAX));
            }
            if here.0 == last.0 {
                // The last one, or one that is equal to it and came too late.
                return (here == last).then_some((split, ends[domain].windows));
            }
        }
        None
    }

    /// Whether a sequence is taken.
    fn takes(&self, split: usize, domain: usize, sequence: &Sequence, seed: u64, given: &mut [Vec<u64>]) -> bool {
        if let Some(cuts) = &self.cuts {
            return cuts[split][domain].is_none_or(|cut| place(sequence, seed) <= cut);
        }
        if let Some(ends) = &self.ends {
            given[split][domain] += 1;
            return given[split][domain] <= ends[split][domain].sequences;
        }
        true
    }
}

/// Where a sequence stands in the order of the noise.
fn place(sequence: &Sequence, seed: u64) -> Place {
    let noise = noise_bits(seed, "pack", key(sequence.tokens));
    Place { noise, document: sequence.document, window: sequence.place as u32, weight: 1 }
}

/// The key of some tokens.
pub fn key(tokens: &[u32]) -> u64 {
    document_key(&little_endian(tokens))
}

/// Their bytes, which on most machines are there already: packing is so fast that another copy would be felt.
fn little_endian(tokens: &[u32]) -> Cow<'_, [u8]> {
    if cfg!(target_endian = "little") {
        // SAFETY: so many bytes are there, any byte is a u8, and the slice is borrowed for as long as the tokens are.
        return Cow::Borrowed(unsafe { slice::from_raw_parts(tokens.as_ptr().cast(), size_of_val(tokens)) });
    }
    Cow::Owned(tokens.iter().flat_map(|token| token.to_le_bytes()).collect())
}

/// The ends of the splits of one domain, for targets in sequences and in weight; how much each weighs; and which lacks
/// how much.
fn ends_of(
    sample: BottomK,
    by_window: bool,
    targets: impl Iterator<Item = (u64, u64)>,
) -> (Vec<End>, Vec<u64>, Option<(usize, u64)>) {
    let places = sample.heap.into_sorted_vec();
    let mut places = places.iter().peekable();
    let (mut ends, mut weights) = (Vec::new(), Vec::new());
    let (mut missing, mut noise_before) = (None, None);
    for (split, (sequences, target)) in targets.enumerate() {
        while noise_before.is_some() && places.next_if(|place| Some(place.noise) == noise_before).is_some() {}
        let (mut sum, mut last) = (0, None);
        while sum < target
            && let Some(place) = places.next()
        {
            sum += u64::from(place.weight);
            last = Some(place);
        }
        if sum < target && missing.is_none() {
            missing = Some((split, target - sum));
        }
        weights.push(sum.min(target));
        let windows = last.map_or(0, |last| u64::from(last.weight) - sum.saturating_sub(target));
        let last = last.map(|last| (last.noise, last.document));
        // Where sequences go over documents, their number is the limit.
        let windows = if by_window { windows } else { u64::MAX };
        noise_before = last.map(|last| last.0).or(noise_before);
        ends.push(End { last, windows, sequences });
    }
    (ends, weights, missing)
}

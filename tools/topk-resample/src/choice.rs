//! Choosing rows, and letting their documents through.
//!
//! # Source, and what is guaranteed
//!
//! Gumbel top-k: log weight plus standard Gumbel noise, the k largest sums (Kool, van Hoof and Welling, 2019,
//! arXiv:1903.06059, who go back to Yellott, 1977), which is what DSIR does (Xie et al., 2023, arXiv:2302.03169,
//! section 3) and what Efraimidis and Spirakis (2006) do with exponential keys: successive draws without replacement in
//! proportion to the weights. Guaranteed: exactly k rows where so many qualify; the same rows whatever their order, on
//! any threads, in shards; a larger k contains the smaller; the output in input order. Not guaranteed: inclusion
//! probabilities in proportion to the weights, which no draw without replacement of this kind has.
//!
//! Tried and dropped: a heap of the best k (slower than quickselect once k is above a few thousand, and a budget is
//! unknown before the lengths are); numpy's generator, as DSIR has it, advanced row by row (the choice depends on the
//! order and on who works); noise that is printed by dsir-weight (another seed would need other weights, and a column
//! would not be data alone).
//!
//! # How
//!
//! The best of a list are put in front by quickselect: linear in the rows, and the same set whatever the order of the
//! list, since no two candidates are equal. A budget of words is met in the same way, by halving the part where it runs
//! out.

use crate::candidates::{Candidate, Column, unequal};
use crate::cut::{Cut, between};
use pipe::column::{more_than, unlike};
use pipe::failure::Failure;
use pipe::input::Input;
use pipe::key::document_key;
use pipe::lines::{Tally, split};
use pipe::output::Output;
use pipe::progress::Meter;
use pipe::record::Reader;
use pipe::settings::Common;
use std::io::Write;
use std::sync::Arc;

/// A document of fewer words is short.
const SHORT: u32 = 10;

/// More short ones than this among the chosen are worth a note.
const SHORT_PERCENT: u64 = 5;

/// Of fewer documents a percentage says little.
const MANY: u64 = 1000;

/// How many to choose.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Amount {
    /// That many rows.
    Rows(u64),
    /// This share of those that qualify.
    Fraction(f64),
    /// As many, best first, as have that many words together at the most.
    Words(u64),
}

impl Amount {
    /// A share of so many rows as their number, unless it is to be rounded to the nearest.
    fn rounded(self, rows: usize, rounding: Rounding) -> Amount {
        match (self, rounding) {
            (Amount::Fraction(share), Rounding::Up) => Amount::Rows(ceiling(share * rows as f64)),
            (Amount::Fraction(share), Rounding::Parts) => Amount::Rows(first_part(share, rows as u64)),
            _ => self,
        }
    }
}

/// How a share of a group becomes a number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Rounding {
    /// To the nearest.
    #[default]
    Nearest,
    /// Up.
    Up,
    /// As Small2Large's scripts do: see [`first_part`].
    Parts,
}

/// Rounded up. What is a whole number but for the rounding of floats is that.
fn ceiling(exact: f64) -> u64 {
    let near = exact.round();
    let whole = (exact - near).abs() <= exact * 4.0 * f64::EPSILON;
    (if whole { near } else { exact.ceil() }) as u64
}

/// The rows of the first of several parts that are as equal as can be, larger ones first: the rule of Small2Large's
/// scripts, `array_split(rows, round(100 / percent))[0]`, where Python rounds halves to even.
fn first_part(share: f64, rows: u64) -> u64 {
    if share > 0.0 { rows.div_ceil((1.0 / share).round_ties_even() as u64) } else { 0 }
}

/// How many to choose for each weight.
pub struct Wanted {
    /// For all weights together, or in each group.
    pub amount: Amount,
    /// The share of each weight.
    pub proportions: Vec<f64>,
    /// Whether the amount is that of each group.
    pub per_group: bool,
    /// How the share of a group becomes a number.
    pub rounding: Rounding,
}

impl Wanted {
    /// The amount for each weight. As in DSIR each is rounded down, and the last takes what is left.
    fn split(&self, qualified: u64) -> Vec<Amount> {
        let split = |total: u64| {
            let sum: f64 = self.proportions.iter().sum();
            let mut parts: Vec<u64> =
                self.proportions.iter().map(|part| (total as f64 * (part / sum)) as u64).collect();
            let others: u64 = parts.iter().rev().skip(1).sum();
            *parts.last_mut().expect("there is a weight") = total.saturating_sub(others);
            parts
        };
        match self.amount {
            _ if self.proportions.len() == 1 => vec![self.amount],
            Amount::Rows(rows) => split(rows).into_iter().map(Amount::Rows).collect(),
            Amount::Words(words) => split(words).into_iter().map(Amount::Words).collect(),
            Amount::Fraction(share) => split(share_of(share, qualified)).into_iter().map(Amount::Rows).collect(),
        }
    }
}

/// A share of `rows`, rounded to the nearest.
fn share_of(share: f64, rows: u64) -> u64 {
    (share * rows as f64).round() as u64
}

/// The rows that are chosen so far: one bit each, and their sampling keys where these are to be printed.
pub struct Choice {
    /// Rows of the weights column.
    pub rows: u64,
    /// Rows without a weight.
    pub missing: u64,
    /// Rows that could be chosen (for the first weight).
    pub qualified: u64,
    /// Rows that are.
    pub chosen: u64,
    /// Those of them that are shorter than [`SHORT`] words, as far as the column says.
    short: u64,
    bits: Vec<u64>,
    scores: Option<Vec<(u32, f64)>>,
    /// The key of every row, 0 where it has none; empty where nobody compares.
    keys: Vec<u64>,
}

impl Choice {
    /// Nothing chosen; `with_scores` keeps sampling keys.
    pub fn new(with_scores: bool) -> Choice {
        let scores = with_scores.then(Vec::new);
        Choice { rows: 0, missing: 0, qualified: 0, chosen: 0, short: 0, bits: Vec::new(), scores, keys: Vec::new() }
    }

    /// Chooses as many as are wanted. Gives the cut that this comes down to, and a sentence wherever fewer qualified.
    pub fn make(&mut self, column: &Column, wanted: &Wanted) -> Result<(Cut, Vec<String>), Failure> {
        let mut cut = Cut::new(column.scoring, wanted.per_group);
        let mut shortfalls = Vec::new();
        for place in 0..column.scoring.weights {
            let mut list = self.candidates(column, place)?;
            let amount = wanted.split(self.qualified)[place];
            for part in parts(&mut list, column, wanted.per_group) {
                let chosen = front(part, amount.rounded(part.len(), wanted.rounding));
                shortfalls.extend(shortfall(amount, part.len(), chosen));
                let group = column.groups.filter(|_| wanted.per_group).zip(part.first());
                let group = group.and_then(|(groups, first)| groups.of(first.row)).unwrap_or_default();
                cut.push(place, group, between(part, chosen));
                self.add(&part[..chosen]);
            }
        }
        Ok((cut, shortfalls))
    }

    /// What to say where many of the chosen are short: importance weights like empty documents.
    pub fn shortness(&self) -> Option<String> {
        let Choice { short, chosen, .. } = self;
        let many = *chosen >= MANY && short * 100 > chosen * SHORT_PERCENT;
        many.then(|| {
            format!("shorter than {SHORT} words: {short} of the {chosen} chosen; --min-length L leaves such out")
        })
    }

    /// Chooses what passes a cut, where `first_row` rows stand before this shard.
    pub fn apply(&mut self, column: &Column, cut: &Cut, first_row: u64) -> Result<(), Failure> {
        for place in 0..column.scoring.weights {
            let mut list = self.candidates(column, place)?;
            list.retain(|candidate| {
                let group = column.groups.and_then(|groups| groups.of(candidate.row)).unwrap_or_default();
                cut.passes(place, group, candidate, first_row)
            });
            self.add(&list);
        }
        Ok(())
    }

    /// Chooses all that qualify.
    pub fn take_all(&mut self, column: &Column) -> Result<(), Failure> {
        let list = self.candidates(column, 0)?;
        self.add(&list);
        Ok(())
    }

    /// What qualifies for a weight and is not chosen yet.
    fn candidates(&mut self, column: &Column, place: usize) -> Result<Vec<Candidate>, Failure> {
        let mut candidates = column.candidates(place)?;
        if place == 0 {
            self.rows = candidates.rows;
            self.keys = std::mem::take(&mut candidates.keys);
            self.missing = candidates.missing;
            self.qualified = candidates.list.len() as u64;
            self.bits = vec![0; self.rows.div_ceil(64) as usize];
        } else {
            candidates.list.retain(|candidate| !self.has(u64::from(candidate.row)));
        }
        Ok(candidates.list)
    }

    fn add(&mut self, chosen: &[Candidate]) {
        self.chosen += chosen.len() as u64;
        self.short += chosen.iter().filter(|candidate| candidate.length < SHORT).count() as u64;
        chosen.iter().for_each(|candidate| self.bits[candidate.row as usize / 64] |= 1 << (candidate.row % 64));
        if let Some(scores) = &mut self.scores {
            scores.extend(chosen.iter().map(|candidate| (candidate.row, candidate.score)));
            scores.sort_unstable_by_key(|&(row, _)| row);
        }
    }

    /// Refuses the document at a row that has another key than the column says.
    fn check_key(&self, row: u64, line: &[u8], reader: &mut Reader) -> Result<(), String> {
        let Some(&known) = self.keys.get(row as usize).filter(|&&known| known != 0) else { return Ok(()) };
        let found = document_key(reader.document(line)?.1);
        if found == known { Ok(()) } else { Err(unlike(known, found)) }
    }

    fn has(&self, row: u64) -> bool {
        self.bits.get((row / 64) as usize).is_some_and(|bits| bits >> (row % 64) & 1 == 1)
    }
}

/// The candidates of each group, groups in order of first appearance; all together without groups.
fn parts<'a>(list: &'a mut [Candidate], column: &Column, per_group: bool) -> Vec<&'a mut [Candidate]> {
    let Some(groups) = column.groups.filter(|_| per_group) else { return vec![list] };
    list.sort_unstable_by_key(|candidate| groups.id(candidate.row));
    list.chunk_by_mut(|a, b| groups.id(a.row) == groups.id(b.row)).collect()
}

/// Puts the best in front; gives how many they are.
fn front(list: &mut [Candidate], amount: Amount) -> usize {
    let rows = match amount {
        Amount::Words(words) => return front_words(list, words),
        Amount::Rows(rows) => rows,
        Amount::Fraction(share) => share_of(share, list.len() as u64),
    };
    let rows = rows.min(list.len() as u64) as usize;
    if rows > 0 && rows < list.len() {
        list.select_nth_unstable_by(rows, Candidate::order);
    }
    rows
}

/// Puts the longest run of best candidates whose lengths fit in front.
fn front_words(list: &mut [Candidate], mut words: u64) -> usize {
    let (mut fitting, mut end) = (0, list.len());
    while fitting < end {
        let middle = (end - fitting).div_ceil(2);
        let part = &mut list[fitting..end];
        if middle < part.len() {
            part.select_nth_unstable_by(middle, Candidate::order);
        }
        let needed: u64 = part[..middle].iter().map(|candidate| u64::from(candidate.length)).sum();
        if needed <= words {
            words -= needed;
            fitting += middle;
        } else if middle == 1 {
            break;
        } else {
            end = fitting + middle;
        }
    }
    fitting
}

fn shortfall(amount: Amount, qualified: usize, chosen: usize) -> Option<String> {
    match amount {
        Amount::Rows(wanted) if wanted > chosen as u64 => {
            Some(format!("wanted: {wanted}; documents that qualify: {qualified}; all of them are chosen"))
        }
        Amount::Words(wanted) if chosen == qualified => Some(format!(
            "all {qualified} documents that qualify have no more than {wanted} words: all of them are chosen"
        )),
        _ => None,
    }
}

/// Lets the chosen documents through.
///
/// # Errors
/// Where documents and rows are not as many, or have other keys; where they cannot be read, or written.
pub fn emit(common: &Common, mut input: Input, choice: &Choice) -> Result<Tally, Failure> {
    let mut meter = Meter::new(common, input.bytes_total);
    let mut output = Output::stdout();
    let mut scores = choice.scores.iter().flatten();
    let mut tally = Tally::default();
    let mut reader = Reader::of_identity(common)?;
    let (mut buffer, mut out) = (Vec::new(), Vec::new());
    let (mut source, mut number) = (None, 0);
    while let Some(batch) = input.next(buffer)? {
        out.clear();
        if !source.as_ref().is_some_and(|source| Arc::ptr_eq(source, &batch.source)) {
            (source, number) = (Some(batch.source.clone()), 0);
        }
        for line in split(batch.bytes()) {
            number += 1;
            let checked = choice.check_key(tally.rows, line, &mut reader);
            checked.map_err(|why| {
                let line = batch.source.lines_before() + number;
                Failure::work(format!("{}:{line}: {why}", batch.source.name))
            })?;
            if choice.has(tally.rows) {
                if let Some((_, score)) = scores.next() {
                    write!(out, "{score}\t").expect("writing to memory cannot fail");
                }
                out.extend_from_slice(line);
                out.push(b'\n');
            }
            tally.rows += 1;
        }
        output.write(&out)?;
        if tally.rows > choice.rows {
            return Err(unequal(more_than(choice.rows), choice.rows));
        }
        tally.bytes += batch.bytes().len() as u64;
        meter.show(tally.bytes, tally.rows);
        buffer = batch.into_buffer();
    }
    if tally.rows == choice.rows { Ok(tally) } else { Err(unequal(tally.rows, choice.rows)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(scores: &[f64]) -> Vec<Candidate> {
        let candidate = |(row, &score): (usize, &f64)| Candidate { score, key: 7, row: row as u32, length: row as u32 };
        scores.iter().enumerate().map(candidate).collect()
    }

    fn best(list: &mut [Candidate], amount: Amount) -> Vec<u32> {
        let chosen = front(list, amount);
        let mut rows: Vec<_> = list[..chosen].iter().map(|candidate| candidate.row).collect();
        rows.sort_unstable();
        rows
    }

    #[test]
    fn ties_go_to_the_earlier_row() {
        assert_eq!(best(&mut list(&[1.0, 2.0, 2.0, 2.0, 3.0]), Amount::Rows(3)), [1, 2, 4]);
        assert_eq!(best(&mut list(&[0.0; 5]), Amount::Fraction(0.5)), [0, 1, 2]);
        assert_eq!(best(&mut list(&[0.0; 5]), Amount::Rows(9)), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_budget_takes_the_longest_run_that_fits() {
        for budget in 0..60 {
            let scores: Vec<f64> = (0..11).map(|row| f64::from(row * 7 % 11)).collect();
            let mut sorted = list(&scores);
            sorted.sort_by(Candidate::order);
            let mut left = budget;
            let fits = sorted.iter().take_while(|candidate| {
                let length = u64::from(candidate.length);
                let fits = length <= left;
                left = left.saturating_sub(length);
                fits
            });
            let mut expected: Vec<_> = fits.map(|candidate| candidate.row).collect();
            expected.sort_unstable();
            assert_eq!(best(&mut list(&scores), Amount::Words(budget)), expected, "{budget}");
        }
    }

    #[test]
    fn proportions_are_rounded_down_and_the_last_takes_the_rest() {
        let wanted =
            |amount| Wanted { amount, proportions: vec![1.0, 1.0, 1.0], per_group: false, rounding: Rounding::Nearest };
        let rows = |parts: [u64; 3]| parts.map(Amount::Rows).to_vec();
        assert_eq!(wanted(Amount::Rows(10)).split(100), rows([3, 3, 4]));
        assert_eq!(wanted(Amount::Fraction(0.29)).split(100), rows([9, 9, 11]));
    }
}

//! Which documents and sequences a command line asks for: the flags that pack-tokens and tokens-passages share.

use crate::choice::{Amount, Split, Wanted};
use crate::corpus::{Corpus, Domain};
use pipe::failure::Failure;
use pipe::flags::{Flag, Options, Rule, Value};
use pipe::shared;
use std::fs;
use std::path::PathBuf;

/// What those flags are parsed into.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Documents of fewer tokens do not qualify.
    pub tokens_min: Option<u64>,
    /// Documents of more tokens do not qualify.
    pub tokens_max: Option<u64>,
    /// Tokens are below it.
    pub vocabulary: Option<u64>,
    /// Sequences in all, or of each part.
    pub count: Option<u64>,
    /// The parts; none: everything is one.
    pub splits: Vec<Split>,
    /// A part may have nothing.
    pub allow_empty: bool,
    /// The label of everything.
    pub domain: Option<String>,
    /// The domains and their shares, as whole numbers; none: there is one domain.
    pub mix: Vec<(String, u64)>,
    /// Where the output goes.
    pub out: Option<PathBuf>,
}

/// Options with a selection in them.
pub trait Selects: Options {
    /// The selection.
    fn selection(&mut self) -> &mut Selection;
}

/// `--tokens-min N`.
pub const fn tokens_min<A: Selects>() -> Flag<A> {
    Flag::value("tokens-min", "N", "Leave out documents of fewer than N tokens", "", |args: &mut A, value| {
        args.selection().tokens_min = Some(value.number()?);
        Ok(())
    })
    .input()
}

/// `--tokens-max N`.
pub const fn tokens_max<A: Selects>() -> Flag<A> {
    Flag::value("tokens-max", "N", "Leave out documents of more than N tokens", "", |args: &mut A, value| {
        args.selection().tokens_max = Some(value.number()?);
        Ok(())
    })
    .input()
}

/// `--vocab-size N`.
pub const fn vocab_size<A: Selects>() -> Flag<A> {
    Flag::value("vocab-size", "N", "A token of N or more is an error", "", |args: &mut A, value| {
        args.selection().vocabulary = Some(value.positive()?);
        Ok(())
    })
    .input()
}

/// `--length T`.
pub const fn length<A: Options>(set: fn(&mut A, Value) -> Result<(), String>) -> Flag<A> {
    Flag::value("length", "T", "Tokens of a sequence, or of a passage", "", set)
}

/// A number of tokens above zero. Lengths are 32-bit numbers in most formats.
///
/// # Errors
/// It is none, or is 2^31 or more.
pub fn length_of(value: &Value) -> Result<usize, String> {
    bounded(value.positive()?)
}

/// A number of tokens as most formats can say it.
///
/// # Errors
/// It is 2^31 or more.
pub fn bounded(length: usize) -> Result<usize, String> {
    if length <= i32::MAX as usize { Ok(length) } else { Err("expected less than 2^31".to_string()) }
}

/// `--shard I/N` of token files.
pub const fn shard<A: Selects>() -> Flag<A> {
    Flag { help: "Parts are cut between documents. Refused for pipes and compressed input.", ..shared::shard() }
}

/// `-n, --count N`.
pub const fn count<A: Selects>() -> Flag<A> {
    Flag {
        help: "By their keys: a larger N contains a smaller one. With --split by shares, N of each part. The tokens \
         are read twice, so they must be files.",
        ..shared::count(|args: &mut A, value| {
            args.selection().count = Some(value.number()?);
            Ok(())
        })
    }
}

/// `--split NAME=N,...`.
pub const fn split<A: Selects>() -> Flag<A> {
    Flag::value(
        "split",
        "NAME=N,...",
        "Divide into parts that share no document",
        "N is a number (`test=35000,train=2500000`; files that are read twice), or a share of the documents \
         (`test=1%,train=99%`, `test=0.01,train=0.99`). Each part goes to a place of its own: --out with `{split}` \
         replaced by NAME, or with `/NAME` behind it. A part of nothing is an error.",
        |args: &mut A, value| {
            args.selection().splits = splits(value.text()?)?;
            Ok(())
        },
    )
    .count()
}

/// `--allow-empty`.
pub const fn allow_empty<A: Selects>() -> Flag<A> {
    Flag::switch("allow-empty", "A part of --split may have nothing", "", |args: &mut A, _| {
        args.selection().allow_empty = true;
        Ok(())
    })
    .count()
}

/// `--mix NAME=W,...`.
pub const fn mix<A: Selects>() -> Flag<A> {
    Flag::value(
        "mix",
        "NAME=W,...",
        "Domains and their weights",
        "An operand is `NAME=FILE`, or a FILE whose name is NAME up to the first dot; NAME is its label. Sequences are \
         taken in exact proportion: of --count or of each --split by counts, otherwise as many as there are.",
        |args: &mut A, value| {
            args.selection().mix = proportions(value.text()?)?;
            Ok(())
        },
    )
    .count()
}

/// `--domain NAME`.
pub const fn domain<A: Selects>() -> Flag<A> {
    Flag::value("domain", "NAME", "The label of everything; empty without it", "", |args: &mut A, value| {
        args.selection().domain = Some(value.text()?.to_string());
        Ok(())
    })
    .output()
}

/// `--out PATH`.
pub const fn out<A: Selects>(help: &'static str) -> Flag<A> {
    Flag {
        help,
        ..shared::out(|args: &mut A, value| {
            args.selection().out = Some(value.path()?);
            Ok(())
        })
    }
}

/// Each part has a place of its own.
pub const SPLIT_NEEDS_OUT: Rule = Rule::Needs("split", &["out"], "each part goes to a place of its own");

/// There is nothing else that may be empty.
pub const ALLOW_EMPTY_NEEDS_SPLIT: Rule = Rule::OnlyWith(&["allow-empty"], &["split"], "it speaks of parts");

/// Both give labels.
pub const MIX_OR_DOMAIN: Rule = Rule::AtMostOne(&["mix", "domain"], "both say what the label is");

impl Selection {
    /// The flag that takes more than one look at the tokens.
    pub fn reads_twice(&self) -> Option<&'static str> {
        let flags = [("mix", !self.mix.is_empty()), ("count", self.count.is_some()), ("split", self.splits_by_count())];
        flags.iter().find(|flag| flag.1).map(|flag| flag.0)
    }

    /// Whether parts are numbers of sequences.
    fn splits_by_count(&self) -> bool {
        self.splits.iter().any(|split| matches!(split.amount, Amount::Sequences(_)))
    }

    /// What is to be taken.
    ///
    /// # Errors
    /// Parts that are numbers already, and another number.
    pub fn wanted(&self, seed: Option<u64>) -> Result<Wanted, Failure> {
        if self.count.is_some() && self.splits_by_count() {
            let why = "--count does not go with --split by numbers, which says how many each part gets: give shares";
            return Err(Failure::usage(why));
        }
        Ok(Wanted {
            splits: self.splits.clone(),
            allow_empty: self.allow_empty,
            count: self.count,
            mix: (!self.mix.is_empty()).then(|| self.mix.iter().map(|(_, weight)| *weight).collect()),
            seed: seed.unwrap_or(0),
        })
    }

    /// Where sequences go over documents, a shard has sequences of its own.
    ///
    /// # Errors
    /// Something looks at all of them.
    pub fn check_shard_over_documents(&self) -> Result<(), Failure> {
        match self.reads_twice() {
            Some(flag) => {
                let why = "--shard goes with it in --mode within only: in other modes a shard has sequences of its own";
                Err(Failure::usage(format!("--{flag}: {why}")))
            }
            None => Ok(()),
        }
    }

    /// Says which documents of a corpus qualify.
    pub fn qualify(&self, corpus: &mut Corpus) {
        corpus.length_min = self.tokens_min.unwrap_or(0);
        corpus.length_max = self.tokens_max.unwrap_or(u64::MAX);
    }

    /// The largest token that may come.
    pub fn token_max(&self) -> u32 {
        u32::try_from(self.vocabulary.map_or(u64::from(u32::MAX), |ids| ids - 1)).unwrap_or(u32::MAX)
    }

    /// The operands, one domain; with --mix, by domain.
    ///
    /// # Errors
    /// A file of no domain, a domain without files.
    pub fn domains(&self, operands: &[PathBuf]) -> Result<Vec<Domain>, Failure> {
        let standard = [PathBuf::from("-")];
        let files = if operands.is_empty() { &standard[..] } else { operands };
        if self.mix.is_empty() {
            return Ok(vec![Domain { name: self.domain.clone().unwrap_or_default(), files: files.to_vec() }]);
        }
        let domain = |(name, _): &(String, u64)| Domain { name: name.clone(), files: Vec::new() };
        let mut domains: Vec<_> = self.mix.iter().map(domain).collect();
        for file in files {
            let text = file.to_string_lossy();
            let name = file.file_name().map(|name| name.to_string_lossy());
            let labelled = text.split_once('=').filter(|(name, _)| domains.iter().any(|domain| domain.name == *name));
            let (name, path) = match labelled {
                Some((name, path)) => (name.to_string(), PathBuf::from(path)),
                None => {
                    (name.and_then(|name| Some(name.split('.').next()?.to_string())).unwrap_or_default(), file.clone())
                }
            };
            match domains.iter_mut().find(|domain| domain.name == name) {
                Some(domain) => domain.files.push(path),
                None => return Err(Failure::usage(format!("{text}: which domain of --mix? Write it as NAME={text}"))),
            }
        }
        match domains.iter().find(|domain| domain.files.is_empty()) {
            Some(domain) => Err(Failure::usage(format!("--mix: no file for {}", domain.name))),
            None => Ok(domains),
        }
    }

    /// Where each part goes; one place without parts. `None` is standard output.
    pub fn places(&self) -> Vec<Option<PathBuf>> {
        self.places_of(self.out.as_ref())
    }

    /// Where what each part has of a path goes.
    pub fn places_of(&self, path: Option<&PathBuf>) -> Vec<Option<PathBuf>> {
        let place = |split: &Split| {
            let text = path?.to_string_lossy();
            let own = text.replace("{split}", &split.name);
            Some(PathBuf::from(if text.contains("{split}") { own } else { format!("{text}/{}", split.name) }))
        };
        if self.splits.is_empty() { vec![path.cloned()] } else { self.splits.iter().map(place).collect() }
    }

    /// Makes the folders of what is written for a part at a path.
    ///
    /// # Errors
    /// One cannot be made.
    pub fn make_folders(&self, path: Option<&PathBuf>) -> Result<(), Failure> {
        for place in self.places_of(path).iter().flatten().filter(|_| !self.splits.is_empty()) {
            if let Some(folder) = place.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                fs::create_dir_all(folder).map_err(|why| Failure::file(folder, why))?;
            }
        }
        Ok(())
    }
}

/// `NAME=VALUE,...`, each name once.
fn pairs(text: &str) -> Result<Vec<(&str, &str)>, String> {
    let pairs: Option<Vec<_>> = text.split(',').map(|pair| pair.split_once('=')).collect();
    let pairs = pairs.ok_or("expected NAME=VALUE, with commas between them")?;
    for (place, (name, _)) in pairs.iter().enumerate() {
        let sensible = name.chars().all(|letter| letter.is_alphanumeric() || "-_.".contains(letter));
        if name.is_empty() || name.starts_with('.') || !sensible {
            return Err(format!("{name:?}: expected a name of letters, digits, -, _ and ."));
        }
        if pairs[..place].iter().any(|(other, _)| other == name) {
            return Err(format!("{name} comes twice"));
        }
    }
    Ok(pairs)
}

/// A share of the documents, with a point or `%`, or a number of sequences.
fn amount(text: &str) -> Option<Amount> {
    let percent = text.strip_suffix('%').map(|number| number.parse().map(|percent: f64| percent / 100.0));
    match percent.or_else(|| text.contains('.').then(|| text.parse())) {
        Some(Ok(share)) => Some(share).filter(|share| (0.0..=1.0).contains(share)).map(Amount::Share),
        // `1.5M` has a point, too.
        _ => Value(text.into()).number().ok().map(Amount::Sequences),
    }
}

/// The largest number of all parts together.
const SEQUENCES_MAX: u64 = 1 << 40;

fn splits(text: &str) -> Result<Vec<Split>, String> {
    let mut splits = Vec::new();
    for (name, value) in pairs(text)? {
        let amount =
            amount(value).ok_or_else(|| format!("{name}={value}: expected a number, or a share as 5% or 0.05"))?;
        splits.push(Split { name: name.to_string(), amount });
    }
    let share = |split: &Split| if let Amount::Share(share) = split.amount { Some(share) } else { None };
    let shares: Vec<_> = splits.iter().filter_map(share).collect();
    if !shares.is_empty() && shares.len() < splits.len() {
        return Err("expected either numbers or shares".to_string());
    }
    if shares.iter().sum::<f64>() > 1.0 + 1e-9 {
        return Err("expected shares that are 1 together at the most".to_string());
    }
    let number = |split: &Split| if let Amount::Sequences(number) = split.amount { number } else { 0 };
    if splits.iter().try_fold(0_u64, |sum, split| sum.checked_add(number(split))).is_none_or(|sum| sum > SEQUENCES_MAX)
    {
        return Err("expected 2^40 sequences at the most".to_string());
    }
    Ok(splits)
}

/// Decimals as whole numbers in the same proportion.
fn proportions(text: &str) -> Result<Vec<(String, u64)>, String> {
    let mut weights = Vec::new();
    for (name, value) in pairs(text)? {
        let weight = millionths(value).ok_or_else(|| {
            format!("{name}={value}: expected a number above zero of up to six digits before and behind the point")
        })?;
        weights.push((name.to_string(), weight));
    }
    let divisor = weights.iter().fold(0, |divisor, (_, weight)| common_divisor(divisor, *weight));
    Ok(weights.into_iter().map(|(name, weight)| (name, weight / divisor)).collect())
}

fn millionths(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.len() <= 6 && text.bytes().all(|byte| byte.is_ascii_digit());
    let right = digits(whole) && digits(part) && !(whole.is_empty() && part.is_empty());
    let number = || format!("{whole}{part:0<6}").parse::<u64>().ok().filter(|&weight| weight > 0);
    right.then(number).flatten()
}

fn common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_numbers_or_shares() {
        for (text, amount) in [
            ("12", Amount::Sequences(12)),
            ("1.5K", Amount::Sequences(1500)),
            ("2e3", Amount::Sequences(2000)),
            ("0.25", Amount::Share(0.25)),
            ("98%", Amount::Share(0.98)),
            ("0.5%", Amount::Share(0.005)),
        ] {
            assert_eq!(splits(&format!("a-1={text}")).unwrap(), [Split { name: "a-1".to_string(), amount }], "{text}");
        }
        for wrong in
            ["a", "a=", "a=1,a=2", "../a=1", ".a=1", "a/b=1", "=1", "a=0.6,b=50%", "a=0.5,b=3", "a=-1", "a=101%"]
        {
            assert!(splits(wrong).is_err(), "{wrong}");
        }
        assert!(splits("a=1T,b=1T").is_err(), "more than memory can hold");
    }

    #[test]
    fn proportions_are_the_smallest_whole_numbers() {
        let found = proportions("a=0.5,b=0.25,c=1").unwrap();
        assert_eq!(found.iter().map(|(_, weight)| *weight).collect::<Vec<_>>(), [2, 1, 4]);
        assert!(["a=0", "a=0.0000001", "a=1e3", "a=."].iter().all(|wrong| proportions(wrong).is_err()));
    }
}

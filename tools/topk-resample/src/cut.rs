//! A choice as thresholds, and the file that carries them to shards.
//!
//! # Stability
//!
//! A cut file is text: a header line with what makes the sampling keys, then one line for each weight and group from which
//! anything was chosen: `weight<TAB>group<TAB>score<TAB>key<TAB>row`, the last candidate that was chosen. A row is chosen
//! if it is not worse than that: larger score, then smaller key, then earlier row. The row is `any` unless the next candidate
//! has the same score and key.

use crate::candidates::{Candidate, Method, Scoring};
use pipe::column::write_number;
use pipe::common::Common;
use pipe::failure::Failure;
use pipe::input::{Input, lines_before, read_whole};
use pipe::key::{read_key, write_key};
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// The last candidate that is chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bound {
    score: f64,
    key: u64,
    /// `None`: all rows of this score and key are chosen.
    row: Option<u64>,
}

impl Bound {
    /// The bound of a list whose first `chosen` are the best; `None` where nothing is chosen.
    pub fn between(list: &[Candidate], chosen: usize) -> Option<Bound> {
        let (best, rest) = list.split_at(chosen);
        let last = best.iter().copied().max_by(Candidate::order)?;
        let equal = |other: &Candidate| other.score.total_cmp(&last.score) == Ordering::Equal && other.key == last.key;
        let row = rest.iter().any(equal).then_some(u64::from(last.row));
        Some(Bound { score: last.score, key: last.key, row })
    }

    fn admits(&self, candidate: &Candidate, first_row: u64) -> bool {
        let by_score = self.score.total_cmp(&candidate.score);
        let by_row = self.row.map_or(Ordering::Less, |row| (first_row + u64::from(candidate.row)).cmp(&row));
        by_score.then(candidate.key.cmp(&self.key)).then(by_row) != Ordering::Greater
    }
}

/// One bound for each weight and group.
#[derive(Debug, Clone, PartialEq)]
pub struct Cut {
    /// What makes the sampling keys.
    pub scoring: Scoring,
    /// Whether there is a bound for each group.
    pub per_group: bool,
    /// By weight (counted from 0) and group (empty: no groups).
    bounds: BTreeMap<usize, BTreeMap<Vec<u8>, Bound>>,
}

/// The methods by name.
const METHODS: &[(&str, Method)] = &[("gumbel", Method::Gumbel), ("top", Method::Top), ("bottom", Method::Bottom)];

impl Cut {
    /// A cut that nothing passes.
    pub fn new(scoring: &Scoring, per_group: bool) -> Cut {
        Cut { scoring: scoring.clone(), per_group, bounds: BTreeMap::new() }
    }

    /// Sets the bound of a weight (counted from 0) in a group (empty: no groups).
    pub fn push(&mut self, place: usize, group: &[u8], bound: Option<Bound>) {
        self.bounds.entry(place).or_default().extend(bound.map(|bound| (group.to_vec(), bound)));
    }

    /// Whether a row is chosen for the weight at `place`, where `first_row` rows stand before the first candidate's.
    pub fn passes(&self, place: usize, group: &[u8], candidate: &Candidate, first_row: u64) -> bool {
        let bound = self.bounds.get(&place).and_then(|groups| groups.get(group));
        bound.is_some_and(|bound| bound.admits(candidate, first_row))
    }

    /// The cut file.
    pub fn text(&self) -> Vec<u8> {
        let Scoring { method, seed, temperature, length_min, weights } = &self.scoring;
        let (method, _) = METHODS.iter().find(|(_, known)| known == method).expect("every method has a name");
        let mut text = format!(
            "# topk-resample-cut 1 method={method} seed={seed} temperature={temperature} min-length={length_min} weights={weights} groups={}\n",
            if self.per_group { "yes" } else { "no" }
        )
        .into_bytes();
        let bounds = self
            .bounds
            .iter()
            .flat_map(|(place, groups)| groups.iter().map(move |(group, bound)| (place, group, bound)));
        for (place, group, bound) in bounds {
            text.extend(format!("{}\t", place + 1).bytes());
            text.extend_from_slice(group);
            text.push(b'\t');
            write_number(bound.score, &mut text);
            text.push(b'\t');
            write_key(bound.key, &mut text);
            text.extend(bound.row.map_or("\tany\n".to_string(), |row| format!("\t{row}\n")).bytes());
        }
        text
    }

    /// Reads a cut file.
    pub fn open(path: &Path) -> Result<Cut, Failure> {
        let text = read_whole(path)?;
        Cut::read(&text).map_err(|(line, why)| Failure::work(format!("{}:{line}: {why}", path.display())))
    }

    fn read(text: &[u8]) -> Result<Cut, (usize, String)> {
        let mut lines = text.strip_suffix(b"\n").unwrap_or(text).split(|&byte| byte == b'\n');
        let header = lines.next().and_then(header);
        let mut cut = header.ok_or((1, "expected the header of a cut file".to_string()))?;
        for (number, line) in lines.enumerate() {
            let bound = bound(line).ok_or_else(|| {
                let expected = "expected weight, group, score, key and row, with TABs between them";
                (number + 2, expected.to_string())
            })?;
            let (place, group, bound) = bound;
            cut.push(place, &group, Some(bound));
        }
        Ok(cut)
    }
}

fn header(header: &[u8]) -> Option<Cut> {
    let fields = str::from_utf8(header).ok()?.strip_prefix("# topk-resample-cut 1 ")?;
    let values: HashMap<&str, &str> = fields.split(' ').filter_map(|field| field.split_once('=')).collect();
    let method = METHODS.iter().find(|(name, _)| values.get("method") == Some(name))?.1;
    let scoring = Scoring {
        method,
        seed: values.get("seed")?.parse().ok()?,
        temperature: values.get("temperature")?.parse().ok()?,
        length_min: values.get("min-length")?.parse().ok()?,
        weights: values.get("weights")?.parse().ok()?,
    };
    Some(Cut::new(&scoring, *values.get("groups")? == "yes"))
}

fn bound(line: &[u8]) -> Option<(usize, Vec<u8>, Bound)> {
    let fields: Vec<_> = line.split(|&byte| byte == b'\t').collect();
    let [place, group, score, key, row] = fields[..] else { return None };
    let text = |bytes| str::from_utf8(bytes).ok();
    let row = if row == b"any" { None } else { Some(text(row)?.parse().ok()?) };
    let place: usize = text(place)?.parse().ok()?;
    let bound = Bound { score: text(score)?.parse().ok()?, key: read_key(key)?, row };
    Some((place.checked_sub(1)?, group.to_vec(), bound))
}

/// How many rows stand before this shard: what the flag says, or what `--shard` skips. Needed only where a bound names a row.
pub fn first_row(cut: &Cut, given: Option<u64>, common: &Common) -> Result<u64, Failure> {
    if given.is_some() || cut.bounds.values().flat_map(BTreeMap::values).all(|bound| bound.row.is_none()) {
        return Ok(given.unwrap_or(0));
    }
    if common.shard.is_none() {
        let why = "this cut falls between equal documents: say how many rows stand before this shard (--first-row R)";
        return Err(Failure::usage(why));
    }
    lines_before(&Input::open(common)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Cut {
        let scoring = Scoring { method: Method::Gumbel, seed: 3, temperature: 0.5, length_min: 10, weights: 2 };
        let mut cut = Cut::new(&scoring, true);
        cut.push(0, b"a b", Some(Bound { score: -1.25, key: 5, row: None }));
        cut.push(1, b"", Some(Bound { score: 1e300, key: u64::MAX, row: Some(17) }));
        cut.push(1, b"none", None);
        cut
    }

    #[test]
    fn a_cut_reads_back() {
        assert_eq!(Cut::read(&sample().text()), Ok(sample()));
    }

    #[test]
    fn damage_is_named() {
        let text = String::from_utf8(sample().text()).unwrap();
        assert_eq!(Cut::read(b"").unwrap_err().0, 1);
        assert_eq!(Cut::read(text.replace("gumbel", "gumble").as_bytes()).unwrap_err().0, 1);
        assert_eq!(Cut::read(text.replace("-1.25", "x").as_bytes()).unwrap_err().0, 2);
    }

    #[test]
    fn a_bound_admits_itself_and_better() {
        let candidate = |score, key, row| Candidate { score, key, row, length: 0 };
        let list = [candidate(2.0, 1, 0), candidate(1.0, 5, 3), candidate(1.0, 5, 4), candidate(1.0, 6, 1)];
        for chosen in 1..=4 {
            let bound = Bound::between(&list, chosen).unwrap();
            let admitted: Vec<_> = list.iter().filter(|candidate| bound.admits(candidate, 0)).collect();
            assert_eq!(admitted, list[..chosen].iter().collect::<Vec<_>>());
        }
        assert_eq!(Bound::between(&list, 2).unwrap().row, Some(3));
        assert_eq!(Bound::between(&list, 1).unwrap().row, None);
        assert_eq!(Bound::between(&list, 0), None);
    }
}

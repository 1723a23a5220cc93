//! A choice as thresholds, and the file that carries them to shards.
//!
//! # Stability
//!
//! A cut file is text: a header line with what makes the sampling keys, then one line for each weight and group from
//! which anything was chosen: `weight<TAB>group<TAB>` and its [`Bound`], then the end that [`cut`] describes.

use crate::candidates::{Candidate, Method, Scoring};
use pipe::cut::{self, Bound};
use pipe::failure::Failure;
use pipe::lines::split;
use std::collections::BTreeMap;
use std::path::Path;

/// The bound of a list whose first `chosen` are the best; `None` where nothing is chosen.
pub fn between(list: &[Candidate], chosen: usize) -> Option<Bound> {
    let (best, rest) = list.split_at(chosen);
    let last = best.iter().max_by(|one, other| one.order(other))?;
    Some(Bound::between(last.standing(), rest.iter().map(Candidate::standing)))
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
        bound.is_some_and(|bound| bound.admits(candidate.standing(), first_row))
    }

    /// Whether it falls between equal documents, so that rows decide.
    pub fn needs_rows(&self) -> bool {
        self.bounds.values().flat_map(BTreeMap::values).any(Bound::needs_rows)
    }

    /// The cut file.
    pub fn text(&self) -> Vec<u8> {
        let Scoring { method, seed, temperature, length_min, weights } = &self.scoring;
        let (method, _) = METHODS.iter().find(|(_, known)| known == method).expect("every method has a name");
        let mut text = format!(
            "# topk-resample-cut 2 method={method} seed={seed} temperature={temperature} min-length={length_min} \
             weights={weights} groups={}\n",
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
            bound.write(&mut text);
            text.push(b'\n');
        }
        cut::end(&mut text);
        text
    }

    /// Reads a cut file.
    pub fn open(path: &Path) -> Result<Cut, Failure> {
        cut::open(path, Cut::read)
    }

    fn read(text: &[u8]) -> Result<Cut, (usize, String)> {
        let mut lines = split(text);
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
    let values = cut::header(header, "# topk-resample-cut 2 ")?;
    let method = METHODS.iter().find(|(name, _)| values.get("method") == Some(name))?.1;
    let scoring = Scoring {
        method,
        seed: values.get("seed")?.parse().ok()?,
        temperature: values.get("temperature")?.parse().ok().filter(|&temperature| is_temperature(temperature))?,
        length_min: values.get("min-length")?.parse().ok()?,
        weights: values.get("weights")?.parse().ok().filter(|&weights| weights > 0)?,
    };
    let per_group = [("yes", true), ("no", false)].into_iter().find(|(word, _)| values.get("groups") == Some(word))?.1;
    Some(Cut::new(&scoring, per_group))
}

/// Whether the command line takes it.
pub fn is_temperature(temperature: f64) -> bool {
    temperature > 0.0 && temperature.is_finite()
}

fn bound(line: &[u8]) -> Option<(usize, Vec<u8>, Bound)> {
    let fields: Vec<_> = line.split(|&byte| byte == b'\t').collect();
    let [place, group, score, key, row] = fields[..] else { return None };
    let place: usize = str::from_utf8(place).ok()?.parse().ok()?;
    Some((place.checked_sub(1)?, group.to_vec(), Bound::read([score, key, row])?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Cut {
        let scoring = Scoring { method: Method::Gumbel, seed: 3, temperature: 0.5, length_min: 10, weights: 2 };
        let mut cut = Cut::new(&scoring, true);
        cut.push(0, b"a b", Bound::read([b"-1.25", b"0000000000000005", b"any"]));
        cut.push(1, b"", Bound::read([b"1e300", b"ffffffffffffffff", b"17"]));
        cut.push(1, b"none", None);
        cut
    }

    fn read(text: &[u8]) -> Result<Cut, (usize, String)> {
        let end = text.windows(6).rposition(|bytes| bytes == b"# end ").unwrap_or(text.len());
        Cut::read(&text[..end])
    }

    #[test]
    fn a_cut_reads_back() {
        assert_eq!(read(&sample().text()), Ok(sample()));
    }

    #[test]
    fn damage_is_named() {
        let text = String::from_utf8(sample().text()).unwrap();
        let line = |from: &str, to: &str| {
            assert!(text.contains(from), "{from}");
            read(text.replace(from, to).as_bytes()).unwrap_err().0
        };
        assert_eq!(read(b"").unwrap_err().0, 1);
        assert_eq!(line("gumbel", "gumble"), 1);
        for temperature in ["nan", "0", "-1", "inf", "-0"] {
            assert_eq!(line("temperature=0.5", &format!("temperature={temperature}")), 1, "{temperature}");
        }
        assert_eq!((line("weights=2", "weights=0"), line("groups=yes", "groups=maybe")), (1, 1));
        assert_eq!(line("-1.25", "x"), 2);
    }

    #[test]
    fn the_bound_of_a_choice_is_its_last_candidate() {
        let candidate = |score, key, row| Candidate { score, key, row, length: 0 };
        let list = [candidate(2.0, 1, 0), candidate(1.0, 5, 3), candidate(1.0, 5, 4), candidate(1.0, 6, 1)];
        for chosen in 1..=4 {
            let bound = between(&list, chosen).unwrap();
            let admitted: Vec<_> = list.iter().filter(|candidate| bound.admits(candidate.standing(), 0)).collect();
            assert_eq!(admitted, list[..chosen].iter().collect::<Vec<_>>());
        }
        assert!(between(&list, 0).is_none());
    }
}

//! Bounds: what a choice comes down to, so that shards can apply it by themselves.
//!
//! # Stability
//!
//! Things to choose from are ordered: larger score, then smaller key, then earlier row. A bound is the last one that is
//! chosen, as text `score<TAB>key<TAB>row`. The row is `any` unless the next one has the same score and key. A cut file
//! is text: a header line of `name=value` fields behind what kind it is, then lines that end with a bound each, then `#
//! end lines=N xxh3=HASH`, where N is the number of lines before it and HASH the XXH3 of their bytes, 16 hexadecimal
//! digits: a file that was cut short is noticed.

use crate::column::write_number;
use crate::failure::Failure;
use crate::input::{Input, lines_before, read_whole};
use crate::key::{read_key, write_key};
use crate::settings::Common;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::path::Path;
use xxhash_rust::xxh3::xxh3_64;

/// Reads a cut file. `read` gets it without its end, and says which line is wrong, from 1, and why.
///
/// # Errors
/// Where the file cannot be read, is not whole, or `read` says so.
pub fn open<T>(path: &Path, read: impl Fn(&[u8]) -> Result<T, (usize, String)>) -> Result<T, Failure> {
    let text = read_whole(path)?;
    // What is no cut of this kind at all has no end to be missed.
    let header = &text[..memchr::memchr(b'\n', &text).unwrap_or(text.len())];
    let read = read(header).and_then(|_| whole(&text)).and_then(read);
    read.map_err(|(line, why)| Failure::line(path, line, why))
}

/// Ends a cut file.
pub fn end(text: &mut Vec<u8>) {
    let line = end_of(text);
    text.extend(line.bytes());
}

fn end_of(lines: &[u8]) -> String {
    let count = memchr::memchr_iter(b'\n', lines).count();
    format!("# end lines={count} xxh3={:016x}\n", xxh3_64(lines))
}

/// A cut file without its end, which must be there and be right.
fn whole(text: &[u8]) -> Result<&[u8], (usize, String)> {
    let before = text.strip_suffix(b"\n").unwrap_or(text);
    let (lines, last) = before.split_at(memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1));
    let end = end_of(lines);
    if last == end.trim_end().as_bytes() {
        return Ok(lines);
    }
    let line = memchr::memchr_iter(b'\n', lines).count() + 1;
    let why = match last.starts_with(b"# end ") {
        true => format!("damaged: the lines above come to {:?}", end.trim_end()),
        false => "truncated: expected a last line that begins with \"# end \"".to_string(),
    };
    Err((line, why))
}

/// The fields of a header line that begins with `kind`.
pub fn header<'h>(line: &'h [u8], kind: &str) -> Option<HashMap<&'h str, &'h str>> {
    let fields = str::from_utf8(line).ok()?.strip_prefix(kind)?;
    Some(fields.split(' ').filter_map(|field| field.split_once('=')).collect())
}

/// What decides whether a thing is chosen. The row is counted from the start of the shard.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standing {
    /// Larger is better. Never NaN, never -0.
    pub score: f64,
    /// The document's key.
    pub key: u64,
    /// Place in the column.
    pub row: u32,
}

impl Standing {
    /// Best first. No two rows are equal.
    pub fn order(&self, other: &Standing) -> Ordering {
        let by_score = other.score.total_cmp(&self.score);
        by_score.then(self.key.cmp(&other.key)).then(self.row.cmp(&other.row))
    }

    /// Whether only the row tells the two apart.
    pub fn ties(&self, other: &Standing) -> bool {
        self.score.total_cmp(&other.score) == Ordering::Equal && self.key == other.key
    }
}

/// The last one that is chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bound {
    score: f64,
    key: u64,
    /// `None`: all rows of this score and key are chosen.
    row: Option<u64>,
}

impl Bound {
    /// The bound that is met by all of at least this score.
    pub fn at_least(score: f64) -> Bound {
        Bound { score, key: u64::MAX, row: None }
    }

    /// The bound between the last that is chosen and those that are not, where rows count from the first of all.
    pub fn between(last: Standing, mut rest: impl Iterator<Item = Standing>) -> Bound {
        let row = rest.any(|other| other.ties(&last)).then_some(u64::from(last.row));
        Bound { score: last.score, key: last.key, row }
    }

    /// Whether one is chosen, where `first_row` rows stand before its shard.
    pub fn admits(&self, standing: Standing, first_row: u64) -> bool {
        let by_score = self.score.total_cmp(&standing.score);
        let by_row = self.row.map_or(Ordering::Less, |row| (first_row + u64::from(standing.row)).cmp(&row));
        by_score.then(standing.key.cmp(&self.key)).then(by_row) != Ordering::Greater
    }

    /// Whether it falls between equal documents, so that rows decide.
    pub fn needs_rows(&self) -> bool {
        self.row.is_some()
    }

    /// Appends `score<TAB>key<TAB>row`.
    pub fn write(&self, text: &mut Vec<u8>) {
        write_number(self.score, text);
        text.push(b'\t');
        write_key(self.key, text);
        text.extend(self.row.map_or("\tany".to_string(), |row| format!("\t{row}")).bytes());
    }

    /// Reads what [`Bound::write`] writes, cut into its fields.
    pub fn read(fields: [&[u8]; 3]) -> Option<Bound> {
        let [score, key, row] = fields;
        let text = |bytes| str::from_utf8(bytes).ok();
        let row = if row == b"any" { None } else { Some(text(row)?.parse().ok()?) };
        let score: f64 = text(score)?.parse().ok()?;
        Some(Bound { score, key: read_key(key)?, row }).filter(|_| !score.is_nan())
    }
}

/// How many rows stand before this shard: what the flag says, or what `--shard` skips. Needed only where a bound names
/// a row.
///
/// # Errors
/// Where that is needed and nobody says it.
pub fn first_row(needed: bool, given: Option<u64>, common: &Common) -> Result<u64, Failure> {
    if given.is_some() || !needed {
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

    #[test]
    fn a_bound_admits_itself_and_better() {
        let standing = |score, key, row| Standing { score, key, row };
        let list = [standing(2.0, 1, 0), standing(1.0, 5, 3), standing(1.0, 5, 4), standing(1.0, 6, 1)];
        for chosen in 1..=4 {
            let bound = Bound::between(list[chosen - 1], list[chosen..].iter().copied());
            assert_eq!(list.iter().filter(|one| bound.admits(**one, 0)).count(), chosen);
            assert_eq!(bound.needs_rows(), chosen == 2);
        }
        assert!(!Bound::between(list[1], list[2..].iter().copied()).admits(list[1], 1));
        assert!(list.iter().all(|one| Bound::at_least(1.0).admits(*one, 9)));
    }

    #[test]
    fn a_cut_that_is_not_whole_is_noticed() {
        let lines = b"# kind 1 seed=3\n1\t7\t-1.25\t0000000000000005\t17\n1\t8\t-1.5\t0000000000000006\t18\n";
        let mut text = lines.to_vec();
        end(&mut text);
        assert!(text.ends_with(b"18\n# end lines=3 xxh3=") || text[lines.len()..].starts_with(b"# end lines=3 xxh3="));
        assert_eq!(whole(&text), Ok(&lines[..]));
        assert_eq!(whole(text.trim_ascii_end()), Ok(&lines[..]));
        for length in 0..text.len() - 1 {
            assert!(whole(&text[..length]).is_err(), "{length}");
        }
        for at in 0..lines.len() {
            let mut changed = text.clone();
            changed[at] ^= 1;
            assert!(whole(&changed).is_err(), "{at}");
        }
        assert_eq!(
            whole(lines).unwrap_err(),
            (3, "truncated: expected a last line that begins with \"# end \"".to_string())
        );
        let lost = [&lines[..lines.len() - 2], &text[lines.len() - 1..]].concat();
        assert!(
            matches!(whole(&lost), Err((4, why)) if why.starts_with("damaged: the lines above come to \"# end lines=3 "))
        );
    }

    #[test]
    fn a_bound_reads_back() {
        for bound in [
            Bound { score: -1.25, key: 5, row: None },
            Bound { score: 1e300, key: u64::MAX, row: Some(17) },
            Bound::at_least(f64::NEG_INFINITY),
        ] {
            let mut text = Vec::new();
            bound.write(&mut text);
            let fields: Vec<_> = text.split(|&byte| byte == b'\t').collect();
            assert_eq!(Bound::read([fields[0], fields[1], fields[2]]), Some(bound));
        }
        assert_eq!(Bound::read([b"nan", b"0000000000000005", b"any"]), None);
        assert_eq!(Bound::read([b"1", b"5", b"any"]), None);
    }
}

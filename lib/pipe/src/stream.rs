//! Where a reader stands among arrays and streams that come one after another, as [`crate::npy`] describes them.

use crate::npy::{Header, Part};
use std::io::{self, ErrorKind, Read};

/// What is said of a file without anything in it.
pub(crate) const EMPTY: &str =
    "empty: an array or a stream is not, even of no rows (was the program killed that should have written it?)";

/// Reads headers in turn, and sees to it that each stream is whole.
pub(crate) struct Walk {
    /// The totals at the end of a stream.
    totals: &'static [&'static str],
    /// What has come of the stream that is open.
    open: Option<Vec<u64>>,
}

impl Walk {
    /// Of streams whose end says these totals.
    pub fn new(totals: &'static [&'static str]) -> Walk {
        Walk { totals, open: None }
    }

    /// The next header; `None` at the end of everything. All that the one before announces must be read, and
    /// [counted](Walk::count).
    ///
    /// # Errors
    /// Those of [`Header::read`]; a stream that does not end or not begin, or has other totals than came, of kind
    /// `InvalidData`.
    pub fn next(&mut self, reader: &mut impl Read) -> io::Result<Option<Header>> {
        let header = Header::read(reader)?;
        self.step(header.as_ref()).map_err(|why| io::Error::new(ErrorKind::InvalidData, why))?;
        Ok(header)
    }

    /// Adds what has come to each total.
    pub fn count(&mut self, more: &[u64]) {
        for (total, more) in self.open.iter_mut().flatten().zip(more) {
            *total = total.saturating_add(*more);
        }
    }

    fn step(&mut self, header: Option<&Header>) -> Result<(), String> {
        let has_rows = header.is_some_and(|header| header.shape.first() != Some(&0));
        match (header.map(|header| &header.part), &self.open) {
            (None | Some(Part::Array), None) => Ok(()),
            (Some(Part::Block), None) if !has_rows => {
                self.open = Some(vec![0; self.totals.len()]);
                Ok(())
            }
            (Some(_), None) => Err("a stream without its beginning".to_string()),
            (Some(Part::Block), Some(_)) if has_rows => Ok(()),
            (Some(Part::End(said)), Some(came)) if said == came && !has_rows => {
                self.open = None;
                Ok(())
            }
            (Some(Part::End(said)), Some(came)) => {
                let (totals, has) = (self.totals.join(" and "), if has_rows { ", with rows of its own" } else { "" });
                Err(format!("a stream that is not whole: {totals}: its end says {said:?}{has}, {came:?} came"))
            }
            (found, Some(came)) => {
                let found = found.map_or("nothing", |part| if *part == Part::Array { "an array" } else { "another" });
                let (came, what) = (came[0], self.totals[0]);
                Err(format!(
                    "a stream without its end: {came} {what} came, then {found} (was the program killed that wrote it?)"
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong with these headers one after another, and how many were read.
    fn walk(headers: &[Vec<u8>]) -> (usize, Option<String>) {
        let bytes = headers.concat();
        let (mut rest, mut walk, mut count) = (&bytes[..], Walk::new(&["rows"]), 0);
        loop {
            match walk.next(&mut rest) {
                Ok(None) => return (count, None),
                Ok(Some(header)) => walk.count(&header.shape[..1]),
                Err(why) => return (count, Some(why.to_string())),
            }
            count += 1;
        }
    }

    #[test]
    fn arrays_and_whole_streams_follow_each_other() {
        let array = |rows| Header::array("<f4", &[rows, 2]);
        let block = |rows| Header::block("<f4", &[rows, 2]);
        let end = |total| Header::end("<f4", &[0, 2], &[total]);
        let good = [array(3), block(0), block(2), block(1), end(3), block(0), end(0), array(0), array(1)];
        assert_eq!(walk(&good), (9, None));
        assert_eq!(walk(&[]), (0, None));
        for (headers, read, said) in [
            (vec![block(0)], 1, "without its end: 0 rows came, then nothing"),
            (vec![block(0), block(5)], 2, "without its end: 5 rows came, then nothing (was the program killed"),
            (vec![block(0), block(5), array(1)], 2, "without its end: 5 rows came, then an array"),
            (vec![block(0), block(0), end(0)], 1, "without its end: 0 rows came, then another"),
            (vec![block(0), block(5), block(0), end(0)], 2, "without its end: 5 rows came, then another"),
            (vec![block(0), block(5), end(4)], 2, "rows: its end says [4], [5] came"),
            (vec![block(0), Header::end("<f4", &[0, 2], &[0, 0])], 1, "its end says [0, 0], [0] came"),
            (vec![block(0), Header::end("<f4", &[1, 2], &[0])], 1, "its end says [0], with rows of its own"),
            (vec![block(1), end(1)], 0, "without its beginning"),
            (vec![array(1), end(0)], 1, "without its beginning"),
        ] {
            let (count, why) = walk(&headers);
            let why = why.unwrap_or_default();
            assert!(count == read && why.contains(said), "{said}: {count} {why}");
        }
    }
}

//! A choice as one bound for each part and cluster, and the file that carries it to shards.
//!
//! # Stability
//!
//! A cut file is text: a header line with the seed, the clip and the parts (and the ends of their shares of the keys,
//! where these were moved), then a line for each part (counted from 1) and cluster from which anything is taken:
//! `part<TAB>cluster<TAB>score<TAB>key<TAB>row`, where the last three are a [`Bound`] and the score is the negative
//! time of a ring, so that the earliest is the best, then the end that [`cut`] describes.

use crate::CLIP_MAX;
use crate::draws::Parts;
use crate::split;
use pipe::clusters::read_cluster;
use pipe::cut::{self, Bound};
use pipe::failure::Failure;
use pipe::lines;
use std::collections::BTreeMap;
use std::path::Path;

/// What decides how often a document is taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Cut {
    /// Seed of the rings and parts.
    pub seed: u64,
    /// How often a document is taken at the most.
    pub clip: u32,
    /// The parts that documents go to.
    pub parts: Parts,
    /// By part, then by cluster.
    bounds: Vec<BTreeMap<u32, Bound>>,
}

impl Cut {
    /// The cut of these bounds: those of the first part, of these clusters, then those of the next.
    pub fn new(seed: u64, clip: u32, parts: Parts, clusters: &[u32], bounds: &[Option<Bound>]) -> Cut {
        let of_part = |bounds: &[Option<Bound>]| {
            let bounds = clusters.iter().zip(bounds).filter_map(|(&cluster, bound)| Some((cluster, (*bound)?)));
            bounds.collect()
        };
        let mut bounds: Vec<_> = bounds.chunks(clusters.len().max(1)).map(of_part).collect();
        bounds.resize(parts.list.len(), BTreeMap::new());
        Cut { seed, clip, parts, bounds }
    }

    /// The bounds of these clusters in each part; `None`: nothing is taken.
    pub fn bounds(&self, clusters: &[u32]) -> Vec<Vec<Option<Bound>>> {
        let of_part = |bounds: &BTreeMap<u32, Bound>| clusters.iter().map(|id| bounds.get(id).copied()).collect();
        self.bounds.iter().map(of_part).collect()
    }

    /// Whether it falls between equal documents, so that rows decide.
    pub fn needs_rows(&self) -> bool {
        self.bounds.iter().flat_map(BTreeMap::values).any(Bound::needs_rows)
    }

    /// The cut file.
    pub fn text(&self) -> Vec<u8> {
        let parts: Vec<_> = self.parts.list.iter().map(|(name, count)| format!("{name}={count}")).collect();
        let mut header = format!("# clip-sample-cut 2 seed={} clip={} split={}", self.seed, self.clip, parts.join(","));
        if self.parts.moved {
            let ends: Vec<_> = self.parts.ends.iter().map(u64::to_string).collect();
            header += &format!(" ends={}", ends.join(","));
        }
        let mut text = (header + "\n").into_bytes();
        for (part, bounds) in self.bounds.iter().enumerate() {
            for (cluster, bound) in bounds {
                text.extend(format!("{}\t{cluster}\t", part + 1).bytes());
                bound.write(&mut text);
                text.push(b'\n');
            }
        }
        cut::end(&mut text);
        text
    }

    /// Reads a cut file.
    pub fn open(path: &Path) -> Result<Cut, Failure> {
        cut::open(path, Cut::read)
    }

    fn read(text: &[u8]) -> Result<Cut, (usize, String)> {
        let mut lines = lines::split(text);
        let header = lines.next().and_then(header);
        let mut cut = header.ok_or((1, "expected the header of a cut file of clip-sample".to_string()))?;
        for (number, line) in lines.enumerate() {
            let expected = "expected part, cluster, score, key and row, with TABs between them";
            let (part, cluster, bound) = bound(line).ok_or((number + 2, expected.to_string()))?;
            let bounds = cut.bounds.get_mut(part).ok_or((number + 2, format!("part {}: there is none", part + 1)))?;
            bounds.insert(cluster, bound);
        }
        Ok(cut)
    }
}

fn header(header: &[u8]) -> Option<Cut> {
    let values = cut::header(header, "# clip-sample-cut 2 ")?;
    let seed = values.get("seed")?.parse().ok()?;
    let clip = values.get("clip")?.parse().ok().filter(|clip| (1..=CLIP_MAX).contains(clip))?;
    let part = |part: &str| {
        let (name, count) = part.split_once('=')?;
        Some((name.to_string(), count.parse().ok()?))
    };
    let parts: Vec<_> = values.get("split")?.split(',').map(part).collect::<Option<_>>()?;
    // A cut may come from anywhere; its names become names of files.
    let nameless = parts.len() == 1 && parts[0].0.is_empty();
    let sound = nameless || parts.iter().all(|(name, _)| split::is_name(name));
    let parts = Some(Parts::new(parts, seed)).filter(|_| sound)?;
    let parts = match values.get("ends") {
        None => parts,
        Some(ends) => parts.with_ends(ends.split(',').map(|end| end.parse().ok()).collect::<Option<_>>()?)?,
    };
    Some(Cut::new(seed, clip, parts, &[], &[]))
}

fn bound(line: &[u8]) -> Option<(usize, u32, Bound)> {
    let fields: Vec<_> = line.split(|&byte| byte == b'\t').collect();
    let [part, cluster, score, key, row] = fields[..] else { return None };
    let part: usize = str::from_utf8(part).ok()?.parse().ok()?;
    let cluster = read_cluster(cluster, 2).ok()??;
    Some((part.checked_sub(1)?, cluster, Bound::read([score, key, row])?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Cut {
        let parts = Parts::new(vec![("train".to_string(), 90), ("test".to_string(), 10)], 3);
        let bound = Bound::read([b"-1.25", b"0000000000000005", b"17"]);
        Cut::new(3, 2, parts, &[5, 16_777_215], &[None, bound, Some(Bound::at_least(f64::NEG_INFINITY)), None])
    }

    fn read(text: &[u8]) -> Result<Cut, (usize, String)> {
        let end = text.windows(6).rposition(|bytes| bytes == b"# end ").unwrap_or(text.len());
        Cut::read(&text[..end])
    }

    #[test]
    fn a_cut_reads_back() {
        let read = read(&sample().text()).unwrap();
        assert_eq!(read.text(), sample().text());
        assert!(read.needs_rows());
        let bounds = read.bounds(&[5, 7, 16_777_215]);
        let there: Vec<Vec<bool>> = bounds.iter().map(|part| part.iter().map(Option::is_some).collect()).collect();
        assert_eq!(there, [[false, false, true], [true, false, false]]);
    }

    #[test]
    fn moved_ends_read_back() {
        let mut cut = sample();
        cut.parts = cut.parts.with_ends(vec![7]).unwrap();
        let read = read(&cut.text()).unwrap();
        assert!(read.text() == cut.text() && read.parts == cut.parts);
    }

    #[test]
    fn damage_is_named() {
        let text = String::from_utf8(sample().text()).unwrap();
        let line = |text: &str| read(text.as_bytes()).unwrap_err().0;
        assert_eq!(line(""), 1);
        assert_eq!(line(&text.replace("clip=2", "clip=0")), 1);
        assert_eq!(line(&text.replace("clip=2", "clip=65536")), 1);
        assert_eq!(line(&text.replace("train=", "../train=")), 1);
        assert_eq!(line(&text.replace("test=10", "test=10 ends=5,6")), 1);
        assert_eq!(line(&text.replace("-1.25", "x")), 2);
        assert_eq!(line(&text.replace("\n2\t", "\n3\t")), 3);
    }
}

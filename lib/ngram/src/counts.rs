//! Counts of hashed n-grams, and the file that they are kept in.
//!
//! # Stability
//!
//! A count file is text. Its first line names the parameters and the totals:
//!
//! ```text
//! # ngram-hash 1 ngrams=2 buckets=10000 hash=xxh3 tokenizer=wordpunct documents=2 words=31 grams=60
//! ```
//!
//! and each further line is `bucket<TAB>count`, buckets ascending, empty ones left out. `grams` is the sum of the
//! counts, so a file that was cut short is noticed. Files one after another in a stream are read as several.

use crate::buckets::{BUCKETS_MAX, Hash, NGRAMS_MAX, Parameters};
use crate::words::Tokenizer;
use pipe::failure::{Failure, name};
use pipe::input::read_whole;
use std::fmt::Write;
use std::path::Path;

/// How often each bucket was hit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// What the buckets mean.
    pub parameters: Parameters,
    /// Documents that were counted.
    pub documents: u64,
    /// Words that were counted.
    pub words: u64,
    /// One count a bucket.
    pub counts: Vec<u64>,
}

impl Counts {
    /// Nothing counted yet.
    pub fn new(parameters: &Parameters) -> Counts {
        let counts = vec![0; parameters.buckets as usize];
        Counts { parameters: parameters.clone(), documents: 0, words: 0, counts }
    }

    /// The number of n-grams: the sum of all counts.
    pub fn grams(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Adds other counts.
    ///
    /// # Errors
    /// Names the difference where the parameters disagree, or the sum, of all buckets too, has more than 64 bits.
    pub fn add(&mut self, other: &Counts) -> Result<(), String> {
        if let Some(difference) = difference(&self.parameters, &other.parameters) {
            return Err(difference);
        }
        self.grams().checked_add(other.grams()).ok_or(OVERFLOW)?;
        let pairs = self.counts.iter_mut().zip(&other.counts);
        let totals = [(&mut self.documents, &other.documents), (&mut self.words, &other.words)];
        pairs.chain(totals).try_for_each(|(sum, more)| add(sum, *more))
    }

    /// The probability of each bucket, `(count + smoothing) / (grams + smoothing * buckets)`.
    ///
    /// # Errors
    /// Where nothing was counted.
    pub fn probabilities(&self, smoothing: f64) -> Result<Vec<f64>, String> {
        let total = self.grams() as f64 + smoothing * self.counts.len() as f64;
        if total == 0.0 {
            return Err("no n-grams were counted: there is nothing to estimate from".to_string());
        }
        Ok(self.counts.iter().map(|&count| (count as f64 + smoothing) / total).collect())
    }

    /// The count file.
    pub fn text(&self) -> String {
        let Parameters { ngrams, buckets, hash, tokenizer } = &self.parameters;
        let Counts { documents, words, .. } = self;
        let mut text = format!(
            "# ngram-hash 1 ngrams={ngrams} buckets={buckets} hash={hash} tokenizer={tokenizer} documents={documents} \
             words={words} grams={}\n",
            self.grams()
        );
        for (bucket, count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            writeln!(text, "{bucket}\t{count}").expect("writing to memory cannot fail");
        }
        text
    }

    /// Reads the counts at `path` (`-`: standard input); those of several files one after another are added.
    ///
    /// # Errors
    /// Where they cannot be read, or are not what they should be.
    pub fn open_sum(path: &Path) -> Result<Counts, Failure> {
        let text = read_whole(path)?;
        Counts::read(&text).map_err(|why| Failure::work(format!("{}:{why}", name(path))))
    }

    /// Reads one count file, or several one after another, which are added. Memory is that of one, however many they
    /// are.
    ///
    /// # Errors
    /// What is wrong; begins with the line's number.
    pub fn read(text: &[u8]) -> Result<Counts, String> {
        let mut reading: Option<Reading> = None;
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        for (number, line) in text.split(|&byte| byte == b'\n').enumerate() {
            let line = str::from_utf8(line).map_err(|_| format!("{}: not UTF-8", number + 1))?;
            let read = match &mut reading {
                Some(file) if line.starts_with('#') => file.next_header(line),
                Some(file) => file.row(line),
                None => Reading::new(line).map(|file| reading = Some(file)),
            };
            read.map_err(|why| format!("{}: {why}", number + 1))?;
        }
        let reading = reading.expect("the first line is a header");
        reading.end().map_err(|why| format!(" {why}"))?;
        Ok(reading.sum)
    }
}

const OVERFLOW: &str = "the sum of the counts is larger than 64 bits";

fn add(sum: &mut u64, more: u64) -> Result<(), String> {
    *sum = sum.checked_add(more).ok_or(OVERFLOW)?;
    Ok(())
}

/// The first parameter on which two sets disagree, in words.
pub fn difference(one: &Parameters, other: &Parameters) -> Option<String> {
    let shown = |p: &Parameters| {
        [
            ("ngrams", p.ngrams.to_string()),
            ("buckets", p.buckets.to_string()),
            ("hash", p.hash.to_string()),
            ("tokenizer", p.tokenizer.to_string()),
        ]
    };
    let pairs = shown(one).into_iter().zip(shown(other));
    let (one, other) = pairs.into_iter().find(|(one, other)| one != other)?;
    Some(format!("the counts disagree: {}={} and {}={}", one.0, one.1, other.0, other.1))
}

/// What a header says.
struct Header {
    parameters: Parameters,
    documents: u64,
    words: u64,
    grams: u64,
}

/// Count files that are being read.
struct Reading {
    /// All of them.
    sum: Counts,
    /// Of all of them.
    grams: u64,
    /// What the header of the current one says, and what its rows have come to.
    grams_expected: u64,
    grams_found: u64,
    next: usize,
}

impl Header {
    fn read(line: &str) -> Result<Header, String> {
        let fields = line.strip_prefix("# ngram-hash 1 ");
        let fields = fields.ok_or_else(|| format!("expected the header of a count file, found {:?}", excerpt(line)))?;
        let field = |name: &str| {
            let values = fields.split(' ').filter_map(|field| field.split_once('='));
            let value = values.into_iter().find(|(known, _)| *known == name).map(|(_, value)| value);
            value.ok_or_else(|| format!("the header of the counts has no {name}"))
        };
        let number = |name: &str| {
            let value = field(name)?;
            value.parse::<u64>().map_err(|_| format!("{name}={value}: expected a whole number"))
        };
        let below = |name: &str, most: u32| {
            let value = number(name)?;
            let inside = u32::try_from(value).ok().filter(|value| (1..=most).contains(value));
            inside.ok_or_else(|| format!("{name}={value}: expected 1 to {most}"))
        };
        let parameters = Parameters {
            ngrams: below("ngrams", NGRAMS_MAX as u32)? as usize,
            buckets: below("buckets", BUCKETS_MAX)?,
            hash: match field("hash")? {
                "xxh3" => Hash::Xxh3,
                "sha256" => Hash::Sha256,
                other => return Err(format!("hash={other}: not known")),
            },
            tokenizer: match field("tokenizer")? {
                "wordpunct" => Tokenizer::Wordpunct,
                "whitespace" => Tokenizer::Whitespace,
                "words" => Tokenizer::Words,
                other => return Err(format!("tokenizer={other}: not known")),
            },
        };
        Ok(Header { parameters, documents: number("documents")?, words: number("words")?, grams: number("grams")? })
    }
}

impl Reading {
    fn new(line: &str) -> Result<Reading, String> {
        let Header { parameters, documents, words, grams } = Header::read(line)?;
        let sum = Counts { documents, words, ..Counts::new(&parameters) };
        Ok(Reading { sum, grams, grams_expected: grams, grams_found: 0, next: 0 })
    }

    /// Ends a file where another begins.
    fn next_header(&mut self, line: &str) -> Result<(), String> {
        self.end()?;
        let header = Header::read(line)?;
        if let Some(difference) = difference(&self.sum.parameters, &header.parameters) {
            return Err(difference);
        }
        add(&mut self.sum.documents, header.documents)?;
        add(&mut self.sum.words, header.words)?;
        add(&mut self.grams, header.grams)?;
        (self.grams_expected, self.grams_found, self.next) = (header.grams, 0, 0);
        Ok(())
    }

    fn row(&mut self, line: &str) -> Result<(), String> {
        let row = line.split_once('\t').and_then(|(bucket, count)| Some((bucket.parse().ok()?, count.parse().ok()?)));
        let (bucket, count): (usize, u64) =
            row.ok_or_else(|| format!("expected BUCKET<TAB>COUNT, found {:?}", excerpt(line)))?;
        if bucket < self.next {
            return Err(format!("bucket {bucket} is out of order"));
        }
        let buckets = self.sum.counts.len();
        let place =
            self.sum.counts.get_mut(bucket).ok_or_else(|| format!("bucket {bucket}: there are only {buckets}"))?;
        add(&mut self.grams_found, count)?;
        add(place, count)?;
        self.next = bucket + 1;
        Ok(())
    }

    fn end(&self) -> Result<(), String> {
        if self.grams_found == self.grams_expected {
            return Ok(());
        }
        Err(format!("truncated or damaged: the counts do not add up to grams={}", self.grams_expected))
    }
}

fn excerpt(line: &str) -> String {
    line.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(buckets: u32, hits: &[(usize, u64)]) -> Counts {
        let mut counts = Counts::new(&Parameters { buckets, ..Parameters::default() });
        hits.iter().for_each(|&(bucket, count)| counts.counts[bucket] = count);
        Counts { documents: 2, words: 5, ..counts }
    }

    #[test]
    fn a_file_reads_back() {
        let counts = sample(100, &[(0, 3), (99, 4)]);
        assert_eq!(Counts::read(counts.text().as_bytes()), Ok(counts.clone()));
        let mut twice = counts.clone();
        twice.add(&counts).unwrap();
        assert_eq!(Counts::read((counts.text() + &counts.text()).as_bytes()), Ok(twice));
    }

    #[test]
    fn sums_do_not_depend_on_order() {
        let (a, b) = (sample(10, &[(1, 2)]), sample(10, &[(1, 5), (9, 1)]));
        let (mut one, mut other) = (a.clone(), b.clone());
        one.add(&b).unwrap();
        other.add(&a).unwrap();
        assert_eq!(one, other);
        assert_eq!((one.counts[1], one.counts[9], one.documents), (7, 1, 4));
    }

    #[test]
    fn other_parameters_are_refused_by_name() {
        let refused = sample(10, &[]).add(&sample(11, &[])).unwrap_err();
        assert_eq!(refused, "the counts disagree: buckets=10 and buckets=11");
        assert!(sample(10, &[(1, u64::MAX)]).add(&sample(10, &[(1, 1)])).is_err());
    }

    #[test]
    fn a_sum_of_more_than_64_bits_is_refused_though_each_bucket_fits() {
        let (one, other) = (sample(10, &[(1, 1 << 63)]), sample(10, &[(2, 1 << 63)]));
        assert_eq!(one.clone().add(&other), Err(OVERFLOW.to_string()));
        let refused = Counts::read((one.text() + &other.text()).as_bytes()).unwrap_err();
        assert_eq!(refused, format!("3: {OVERFLOW}"));
    }

    /// Each would be 2 GB if it were kept by itself.
    #[test]
    fn many_files_take_the_memory_of_one() {
        let one = format!(
            "{}7\t2\n",
            sample(100, &[]).text().replace("buckets=100", "buckets=268435456").replace("grams=0", "grams=2")
        );
        let sum = Counts::read(one.repeat(1000).as_bytes()).unwrap();
        assert_eq!((sum.counts[7], sum.documents), (2000, 2000));
    }

    #[test]
    fn damage_is_noticed() {
        let text = sample(100, &[(0, 3), (50, 4)]).text();
        for (wrong, why) in [
            (String::new(), "1: expected the header"),
            (text.replace("50\t4\n", ""), " truncated"),
            (text.replace("50\t4", "50\t"), "3: expected BUCKET"),
            (text.replace("50\t4", "100\t4"), "3: bucket 100: there are only 100"),
            (text.replace("50\t4", "0\t4"), "3: bucket 0 is out of order"),
            (text.replace("buckets=100 ", "buckets=0 "), "1: buckets=0: expected 1 to 268435456"),
            (text.replace("ngrams=2 ", "ngrams=1000000000 "), "1: ngrams=1000000000: expected 1 to 1000"),
            (text.replace("ngrams=2 ", "ngrams=0 "), "1: ngrams=0: expected 1 to 1000"),
            (text.replace("buckets=100 ", ""), "1: the header of the counts has no buckets"),
            (text.replace("buckets=100 ", "buckets=99999999999 "), "1: buckets=99999999999: expected 1 to 268435456"),
            (text.replace("ngram-hash 1", "ngram-hash 2"), "1: expected the header"),
            (text.replace("50\t4", "50\t18446744073709551615"), &format!("3: {OVERFLOW}")),
            (text.replace("50\t4\n", "") + &text, "3: truncated or damaged"),
        ] {
            let refused = Counts::read(wrong.as_bytes()).unwrap_err();
            assert!(refused.starts_with(why), "{refused}");
        }
    }
}

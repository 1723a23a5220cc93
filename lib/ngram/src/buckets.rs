//! N-grams hashed into buckets.
//!
//! An n-gram is a run of `n` words of a text; 1-grams up to `ngrams`-grams are counted together, as DSIR does.
//!
//! # Stability
//!
//! These recipes never change between releases; tests freeze values of each. `B` is the number of buckets.
//!
//! - [`Hash::Xxh3`]: a word's hash is XXH3-64 (seed 0) of its bytes in lower case. An n-gram's hash, for `n` above 1,
//!   is XXH3-64 of its words' hashes, 8 bytes each in little endian. The bucket is `hash * B >> 64`.
//! - [`Hash::Sha256`]: the words joined by single spaces; SHA-256 of that, read as a big-endian number, modulo `B`.
//!   These are the buckets of PyPI's `data-selection` 1.0.3 (`hash_buckets`); a lone surrogate, which it cannot encode,
//!   counts as its three bytes.

use crate::marks::{self, Kernel};
use crate::sha256::Sha256;
use crate::short::{LANES, Lanes, SHORT, buckets_of, xxh3_lanes, xxh3_pairs};
use crate::words::{Found, Span, Tokenizer, Words};
use std::fmt;
use xxhash_rust::xxh3::xxh3_64;

/// How an n-gram becomes a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    /// XXH3, fast.
    Xxh3,
    /// SHA-256, the buckets of the DSIR package.
    Sha256,
}

/// The most buckets: their counts take 2 GiB.
pub const BUCKETS_MAX: u32 = 1 << 28;

/// Longer n-grams are a slip of the pen: each of them takes its time at each word.
pub const NGRAMS_MAX: usize = 1000;

/// What decides which bucket a piece of text falls into. Counts made with different parameters do not mix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameters {
    /// The longest n-gram, in words.
    pub ngrams: usize,
    /// Number of buckets.
    pub buckets: u32,
    /// The hash.
    pub hash: Hash,
    /// What is a word.
    pub tokenizer: Tokenizer,
}

impl Default for Parameters {
    fn default() -> Parameters {
        Parameters { ngrams: 2, buckets: 10_000, hash: Hash::Xxh3, tokenizer: Tokenizer::Wordpunct }
    }
}

impl Parameters {
    /// DSIR's estimate of a text's length in words from its number of n-grams: `(grams + n (n - 1) / 2) / n`, rounded
    /// down. It is exact for texts of at least `n - 1` words.
    pub fn length(&self, grams: u64) -> u64 {
        let n = self.ngrams as u64;
        (grams + n * (n - 1) / 2) / n
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(if *self == Hash::Xxh3 { "xxh3" } else { "sha256" })
    }
}

impl fmt::Display for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Tokenizer::Wordpunct => "wordpunct",
            Tokenizer::Whitespace => "whitespace",
            Tokenizer::Words => "words",
        })
    }
}

/// Turns texts into buckets. One a thread; it keeps its buffers.
#[derive(Clone)]
pub struct Features {
    parameters: Parameters,
    instructions: Instructions,
    words: Words,
    hashes: Vec<u64>,
    gram_hashes: Vec<u64>,
    spans: Vec<Span>,
    sha256: Option<Sha256>,
}

/// What the processor offers. The answers do not depend on it.
#[derive(Clone, Copy)]
enum Instructions {
    Plain,
    #[cfg(target_arch = "x86_64")]
    Avx2(marks::Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(marks::Avx512),
}

impl Instructions {
    #[cfg(target_arch = "x86_64")]
    fn detect() -> Instructions {
        let bits = is_x86_feature_detected!("bmi1") && is_x86_feature_detected!("popcnt");
        let wide = is_x86_feature_detected!("avx512dq") && is_x86_feature_detected!("avx512vl");
        match (marks::Avx2::detect().filter(|_| bits), marks::Avx512::detect().filter(|_| wide)) {
            (Some(_), Some(kernel)) => Instructions::Avx512(kernel),
            (Some(kernel), None) => Instructions::Avx2(kernel),
            (None, _) => Instructions::Plain,
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn detect() -> Instructions {
        Instructions::Plain
    }
}

impl Features {
    /// Features with these parameters.
    pub fn new(parameters: &Parameters) -> Features {
        Features {
            instructions: Instructions::detect(),
            words: Words::new(parameters.tokenizer),
            hashes: Vec::new(),
            gram_hashes: Vec::new(),
            spans: Vec::new(),
            sha256: (parameters.hash == Hash::Sha256).then(|| Sha256::new(parameters.buckets)),
            parameters: parameters.clone(),
        }
    }

    /// Calls `act` with the buckets of all n-grams of the text, 1-grams first, in runs of no particular length. Gives
    /// the number of words.
    ///
    /// # Errors
    /// Where the text is too long for [`Words::find`].
    pub fn each(&mut self, text: &[u8], act: impl FnMut(&[u32])) -> Result<u64, String> {
        match self.instructions {
            Instructions::Plain => self.each_with(text, marks::Plain, act),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the processor was asked and has them.
            Instructions::Avx2(kernel) => unsafe { self.each_avx2(text, kernel, act) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the processor was asked and has them.
            Instructions::Avx512(kernel) => unsafe { self.each_avx512(text, kernel, act) },
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,bmi1,popcnt")]
    fn each_avx2(&mut self, text: &[u8], kernel: marks::Avx2, act: impl FnMut(&[u32])) -> Result<u64, String> {
        self.each_with(text, kernel, act)
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512bw,avx512vbmi2,avx512dq,avx512vl,avx2,bmi1,popcnt")]
    fn each_avx512(&mut self, text: &[u8], kernel: marks::Avx512, act: impl FnMut(&[u32])) -> Result<u64, String> {
        self.each_with(text, kernel, act)
    }

    /// In line, so that it takes on the caller's target features.
    #[inline(always)]
    fn each_with(&mut self, text: &[u8], kernel: impl Kernel, mut act: impl FnMut(&[u32])) -> Result<u64, String> {
        let found = self.words.find_with(text, kernel)?;
        self.spans.clear();
        self.spans.extend(found.spans().filter(|_| self.sha256.is_some()));
        self.hashes.clear();
        hash_words(&found, &mut self.hashes);
        for n in 1..=self.parameters.ngrams {
            let hashes = match n {
                1 => &self.hashes,
                n => {
                    hash_grams(&self.hashes, n, &mut self.gram_hashes);
                    &self.gram_hashes
                }
            };
            match &mut self.sha256 {
                Some(sha256) => {
                    let digests = |grams: &_, count| kernel.digests(grams, count);
                    sha256.each(digests, found.lower, &self.spans, n, hashes, &mut act);
                }
                None => each_bucket(hashes, self.parameters.buckets, &mut act),
            }
        }
        Ok(found.len() as u64)
    }
}

/// Appends the hash of every word.
#[inline(always)]
fn hash_words(found: &Found, hashes: &mut Vec<u64>) {
    let mut spans = found.spans();
    let (mut heads, mut lengths, mut some) = ([0; LANES], [0; LANES], [0; LANES]);
    for first in (0..found.len()).step_by(LANES) {
        let count = LANES.min(found.len() - first);
        let mut long = [(0, Span::default()); LANES];
        let mut longs = 0;
        for (lane, span) in spans.by_ref().take(count).enumerate() {
            heads[lane] = u64::from_le_bytes(*span.head::<SHORT>(found.lower));
            lengths[lane] = span.length() as u64;
            long[longs] = (lane, span);
            longs += usize::from(span.length() > SHORT);
        }
        xxh3_lanes(&heads, &lengths, &mut some);
        for &(lane, span) in &long[..longs] {
            some[lane] = xxh3_64(span.of(found.lower));
        }
        hashes.extend_from_slice(&some[..count]);
    }
}

/// Makes the hashes of all n-grams, for n above 1, of words with these hashes.
#[inline(always)]
fn hash_grams(hashes: &[u64], n: usize, gram_hashes: &mut Vec<u64>) {
    gram_hashes.clear();
    if n > 2 {
        let bytes: Vec<_> = hashes.iter().map(|hash| hash.to_le_bytes()).collect();
        gram_hashes.extend(bytes.windows(n).map(|gram| xxh3_64(gram.as_flattened())));
        return;
    }
    let pairs = hashes.len().saturating_sub(1);
    let mut some = [0; LANES];
    for first in (0..pairs).step_by(LANES) {
        let count = LANES.min(pairs - first);
        match hashes[first..].first_chunk::<{ LANES + 1 }>() {
            Some(words) => xxh3_pairs(lanes(&words[..LANES]), lanes(&words[1..]), &mut some),
            None => {
                let mut words = [0; LANES + 1];
                words[..=count].copy_from_slice(&hashes[first..]);
                xxh3_pairs(lanes(&words[..LANES]), lanes(&words[1..]), &mut some);
            }
        }
        gram_hashes.extend_from_slice(&some[..count]);
    }
}

#[inline(always)]
fn lanes(words: &[u64]) -> &Lanes {
    words.try_into().expect("as many as there are lanes")
}

#[inline(always)]
fn each_bucket(hashes: &[u64], buckets: u32, act: &mut impl FnMut(&[u32])) {
    let mut some = [0; LANES];
    let (whole, rest) = hashes.as_chunks();
    for hashes in whole {
        buckets_of(hashes, buckets, &mut some);
        act(&some);
    }
    if !rest.is_empty() {
        let mut padded = [0; LANES];
        padded[..rest.len()].copy_from_slice(rest);
        buckets_of(&padded, buckets, &mut some);
        act(&some[..rest.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(parameters: &Parameters, text: &str) -> Vec<u32> {
        let mut found = Vec::new();
        Features::new(parameters).each(text.as_bytes(), |buckets| found.extend_from_slice(buckets)).unwrap();
        found
    }

    #[test]
    fn xxh3_buckets_are_frozen() {
        let parameters = Parameters { ngrams: 4, ..Parameters::default() };
        assert_eq!(buckets(&parameters, "The quick, brown fox"), XXH3);
    }

    const XXH3: [u32; 14] = [7932, 6426, 1984, 553, 7570, 4837, 4456, 3664, 440, 5008, 4527, 1429, 5332, 3636];

    #[test]
    fn sha256_buckets_are_frozen() {
        let parameters = Parameters { ngrams: 3, hash: Hash::Sha256, ..Parameters::default() };
        assert_eq!(buckets(&parameters, "The quick, brown fox"), SHA256);
    }

    const SHA256: [u32; 12] = [8288, 6186, 4887, 1756, 144, 7420, 9268, 7971, 6382, 9250, 8801, 1690];

    #[test]
    fn remembering_changes_nothing() {
        let parameters = Parameters { hash: Hash::Sha256, ..Parameters::default() };
        let text: String = (0..3000).map(|i| format!("w{} a-{} ", i % 700, i % 13)).collect();
        let mut features = Features::new(&parameters);
        let mut rounds = [Vec::new(), Vec::new()];
        for round in &mut rounds {
            features.each(text.as_bytes(), |buckets| round.extend_from_slice(buckets)).unwrap();
        }
        assert_eq!(rounds[0], rounds[1]);
    }

    #[test]
    fn the_length_is_dsirs() {
        let length = |ngrams, words: u64| {
            let parameters = Parameters { ngrams, ..Parameters::default() };
            let grams = (1..=ngrams as u64).map(|n| (words + 1).saturating_sub(n)).sum();
            parameters.length(grams)
        };
        for words in 3..50 {
            assert_eq!([1, 2, 3, 4].map(|ngrams| length(ngrams, words)), [words; 4]);
        }
        assert_eq!([length(2, 0), length(4, 0), length(3, 1)], [0, 1, 1]);
    }
}

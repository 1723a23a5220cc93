//! The embedder that needs no file: signed hashing of word unigrams and bigrams.
//!
//! It knows no meaning: texts are near when they share words and pairs of words. It runs on a fresh machine, is fast,
//! and gives the same bytes everywhere, so a pipeline can be tried whole before a model is fetched.
//!
//! The idea is feature hashing (Weinberger et al. 2009, arXiv:0902.2206) with several signed positions a feature, as in
//! sparse Johnson-Lindenstrauss projections (Kane and Nelson 2014), so that in few dimensions single collisions matter
//! less. Word weights are sublinear in the count (Manning et al. 2008, section 6.4.1).
//!
//! # Stability
//!
//! The recipe is frozen by tests; `scripts/model/hash.py` is the same in Python. For a vector of `D` values:
//!
//! 1. The words of a text `w_1 .. w_n`: bytes, in order, as the caller splits and lower-cases them.
//! 2. Features are byte strings: each word, and each pair of neighbours joined by one byte 0x20. A text without words
//!    has one feature, the empty string. A feature's key is its `xxh3_64` with seed 0; features with one key are one
//!    feature.
//! 3. A feature that occurs `c` times has the weight `round(2^20 · (1 + ln c))`, a whole number: `ln` is libm's `log`
//!    in 64-bit floats, `round` takes halves away from zero.
//! 4. For `j` = 0 .. 7, `h = xxh3_64(key as 8 little-endian bytes, seed j)`. The position is `floor((h >> 32) · D /
//!    2^32)`; the weight is added there where bit 0 of `h` is 1, else subtracted. Sums are 64-bit integers: their order
//!    does not matter.
//! 5. Each sum `s_i` becomes `s_i / sqrt(S)`, with `S = Σ s_i²` exact, rounded to a 64-bit float; root, quotient and
//!    the final rounding to 32 bits as IEEE 754 has them. If all sums are 0, the vector is 1, 0, 0, ...
//!
//! So every vector has length one. That holds for a text without words too, because nobody downstream then meets a zero
//! or a NaN: all such texts share one vector, and k-means puts them together in one place, as it does with a real
//! model's vector of an empty text.

use std::collections::HashMap;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// Signed positions a feature.
const POSITIONS: u64 = 8;
/// Weights are counted in units of `2^-20`.
const UNIT: f64 = 1_048_576.0;
/// The dimension when none is asked for.
pub const DIM: usize = 384;
/// The largest dimension.
pub const DIM_MAX: usize = 1 << 16;

/// Embeds texts, one after the other: [`Embedder::word`] for each word, then [`Embedder::finish`].
#[derive(Debug, Clone)]
pub struct Embedder {
    dim: usize,
    counts: HashMap<u64, u64, Keyed>,
    sums: Vec<i64>,
    /// The word before, and room for the pair.
    pair: Vec<u8>,
    has_words: bool,
}

impl Embedder {
    /// For vectors of `dim` values, 1 to [`DIM_MAX`].
    ///
    /// # Panics
    ///
    /// With another `dim`.
    pub fn new(dim: usize) -> Embedder {
        assert!((1..=DIM_MAX).contains(&dim), "dimension {dim}");
        Embedder { dim, counts: HashMap::default(), sums: vec![0; dim], pair: Vec::new(), has_words: false }
    }

    /// Values of a vector.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The next word of the text.
    pub fn word(&mut self, word: &[u8]) {
        self.count(xxh3_64(word));
        if self.has_words {
            let before = self.pair.len();
            self.pair.push(b' ');
            self.pair.extend_from_slice(word);
            self.count(xxh3_64(&self.pair));
            self.pair.drain(..=before);
        } else {
            self.pair.clear();
            self.pair.extend_from_slice(word);
            self.has_words = true;
        }
    }

    fn count(&mut self, key: u64) {
        *self.counts.entry(key).or_insert(0) += 1;
    }

    /// Writes the vector of the words since the last call, `dim` values, and begins a new text.
    pub fn finish(&mut self, vector: &mut [f32]) {
        assert_eq!(vector.len(), self.dim);
        if !self.has_words {
            self.count(xxh3_64(b""));
        }
        self.sums.fill(0);
        for (key, count) in self.counts.drain() {
            scatter(key, weight(count), &mut self.sums);
        }
        unit(&self.sums, vector);
        self.has_words = false;
    }
}

/// `round(2^20 · (1 + ln count))`.
fn weight(count: u64) -> i64 {
    if count == 1 { UNIT as i64 } else { libm::round(UNIT * (1.0 + libm::log(count as f64))) as i64 }
}

fn scatter(key: u64, weight: i64, sums: &mut [i64]) {
    for j in 0..POSITIONS {
        let h = xxh3_64_with_seed(&key.to_le_bytes(), j);
        let at = ((h >> 32) * sums.len() as u64) >> 32;
        sums[at as usize] += if h & 1 == 1 { weight } else { -weight };
    }
}

/// `sums` divided by its length.
fn unit(sums: &[i64], vector: &mut [f32]) {
    let squares: u128 = sums.iter().map(|s| u128::from(s.unsigned_abs()).pow(2)).sum();
    if squares == 0 {
        vector.fill(0.0);
        vector[0] = 1.0;
        return;
    }
    let length = (squares as f64).sqrt();
    vector.iter_mut().zip(sums).for_each(|(out, &s)| *out = (s as f64 / length) as f32);
}

/// Keys are hashes already: the map takes them as they are.
#[derive(Debug, Clone, Copy, Default)]
struct Keyed;

impl std::hash::BuildHasher for Keyed {
    type Hasher = KeyedHasher;

    fn build_hasher(&self) -> KeyedHasher {
        KeyedHasher(0)
    }
}

#[derive(Debug)]
struct KeyedHasher(u64);

impl std::hash::Hasher for KeyedHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64(bytes);
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn embed(dim: usize, words: &[&str]) -> Vec<f32> {
        let mut vector = vec![f32::NAN; dim];
        let mut embedder = Embedder::new(dim);
        words.iter().for_each(|w| embedder.word(w.as_bytes()));
        embedder.finish(&mut vector);
        vector
    }

    /// Written by `scripts/model/hash.py`: the same recipe in Python. Never change them: vectors that people keep would
    /// move.
    #[test]
    fn frozen_vectors() {
        let text = include_str!("../tests/data/hash.jsonl");
        let mut checked = 0;
        for line in text.lines() {
            let case: serde_json::Value = serde_json::from_str(line).unwrap();
            let words: Vec<&str> = case["words"].as_array().unwrap().iter().map(|w| w.as_str().unwrap()).collect();
            let bits: Vec<u64> = case["bits"].as_array().unwrap().iter().map(|b| b.as_u64().unwrap()).collect();
            let found: Vec<u64> = embed(bits.len(), &words).iter().map(|x| u64::from(x.to_bits())).collect();
            assert_eq!(found, bits, "{words:?}");
            checked += 1;
        }
        assert!(checked >= 10);
    }

    #[test]
    fn every_vector_has_length_one() {
        for dim in [1, 2, 3, 16, 384, 1000] {
            for words in
                [&[][..], &[""], &["a"], &["a", "b"], &["a", "a", "a"], &["the", "cat", "sat", "on", "the", "mat"]]
            {
                let length: f64 = embed(dim, words).iter().map(|&x| f64::from(x) * f64::from(x)).sum();
                assert!((length - 1.0).abs() < 1e-6, "{dim} {words:?}: {length}");
            }
        }
    }

    #[test]
    fn an_embedder_forgets_the_text_before() {
        let mut embedder = Embedder::new(64);
        let mut vector = vec![f32::NAN; 64];
        embedder.word(b"before");
        embedder.finish(&mut vector);
        embedder.word(b"x");
        embedder.word(b"y");
        embedder.finish(&mut vector);
        assert_eq!(vector, embed(64, &["x", "y"]));
        embedder.finish(&mut vector);
        assert_eq!(vector, embed(64, &[]));
    }

    #[test]
    fn shared_words_bring_texts_near() {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
        let cats = embed(384, &["the", "cat", "sat", "on", "the", "mat"]);
        let more = embed(384, &["a", "cat", "sat", "on", "a", "mat"]);
        let other = embed(384, &["integrals", "over", "compact", "manifolds", "converge"]);
        assert!(dot(&cats, &more) > 0.4 && dot(&cats, &other).abs() < 0.2);
        assert!(
            dot(&embed(384, &["dog", "bites", "man"]), &embed(384, &["man", "bites", "dog"])) < 0.9,
            "order counts"
        );
    }
}

//! Document keys and keyed noise: the randomness of every sample.
//!
//! No generator is ever advanced. What is drawn for a document is a pure function of the seed, the purpose of the draw
//! and the document's key, so threads, shards, order and added documents change nothing, and a larger sample contains
//! the smaller one.
//!
//! # Stability
//!
//! These recipes never change between releases; tests freeze values of each.
//!
//! - key: XXH3-64 (seed 0) of the document's line without the newline, or of the value of its `--id-field`
//!   (a string's UTF-8 bytes, a whole number's digits);
//! - noise bits: XXH3-64, seeded with `--seed`, of the key's 8 bytes (little endian) followed by the purpose in ASCII;
//! - uniform: `(bits >> 12 + 1/2) / 2^52`, exact, never 0 and never 1;
//! - exponential: `-ln(uniform)`; Gumbel: `-ln(exponential)`, with the logarithm of the `libm` crate (0.2).

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The key of a document whose identity is these bytes.
pub fn document_key(identity: &[u8]) -> u64 {
    xxh3_64(identity)
}

/// The random bits of one document for one purpose.
pub fn noise_bits(seed: u64, purpose: &str, key: u64) -> u64 {
    let mut input = [0; 40];
    let length = 8 + purpose.len();
    input[..8].copy_from_slice(&key.to_le_bytes());
    input[8..length].copy_from_slice(purpose.as_bytes());
    xxh3_64_with_seed(&input[..length], seed)
}

/// A number strictly between 0 and 1, each of 2^52 equally likely.
pub fn uniform(bits: u64) -> f64 {
    ((bits >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
}

/// A draw from the standard exponential distribution.
pub fn exponential(bits: u64) -> f64 {
    -libm::log(uniform(bits))
}

/// A draw from the standard Gumbel distribution.
pub fn gumbel(bits: u64) -> f64 {
    -libm::log(exponential(bits))
}

/// A key as columns show it: 16 hexadecimal digits, as `xxhsum -H3` prints them.
pub fn write_key(key: u64, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend((0..16).map(|place| DIGITS[(key >> (60 - 4 * place)) as usize & 15]));
}

/// Reads what [`write_key`] writes.
pub fn read_key(text: &[u8]) -> Option<u64> {
    let digit = |&byte: &u8| (byte as char).to_digit(16).map(u64::from);
    let digits = text.iter().try_fold(0, |key: u64, byte| Some(key << 4 | digit(byte)?));
    digits.filter(|_| text.len() == 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_frozen() {
        assert_eq!(document_key(b""), 0x2d06800538d394c2);
        assert_eq!(document_key(br#"{"text": "one"}"#), 0x60140307584d2ea3);
    }

    #[test]
    fn noise_is_frozen() {
        assert_eq!(noise_bits(0, "topk", 1), 0x992b86dda99159c2);
        assert_eq!(noise_bits(1, "topk", 1), 0xe388961a5fe77e40);
        assert_eq!(gumbel(noise_bits(0, "topk", 1)).to_bits(), 0x3fe551f4a2aa12a0);
    }

    #[test]
    fn the_ends_of_the_uniform_are_open() {
        assert_eq!(uniform(0), 0.5 / 4503599627370496.0);
        assert!(uniform(u64::MAX) < 1.0);
        assert!(gumbel(0).is_finite() && gumbel(u64::MAX).is_finite());
    }

    #[test]
    fn keys_survive_their_text() {
        for key in [0, 1, 0x0123456789abcdef, u64::MAX] {
            let mut text = Vec::new();
            write_key(key, &mut text);
            assert_eq!(read_key(&text), Some(key));
        }
        assert_eq!(read_key(b"0123456789abcde"), None);
        assert_eq!(read_key(b"0123456789abcdefg"), None);
        assert_eq!(read_key(b"0123456789abcdeg"), None);
    }

    /// Chi-square of 1,000 cells over 1,000,000 consecutive keys: 999 degrees of freedom, so mean 999 and standard
    /// deviation 44.7.
    #[test]
    fn noise_is_uniform() {
        for (seed, purpose) in [(0, "topk"), (1, "topk"), (0, "clip")] {
            let mut cells = vec![0_u32; 1000];
            (0..1_000_000).for_each(|key| cells[(uniform(noise_bits(seed, purpose, key)) * 1000.0) as usize] += 1);
            let chi_square: f64 = cells.iter().map(|&n| (f64::from(n) - 1000.0).powi(2) / 1000.0).sum();
            assert!((999.0 - 4.0 * 44.7..999.0 + 4.0 * 44.7).contains(&chi_square), "{chi_square}");
        }
    }
}

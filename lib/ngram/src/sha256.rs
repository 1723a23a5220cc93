//! SHA-256 of n-grams modulo the number of buckets: the DSIR package's buckets.
//!
//! SHA-256 is slow, and language repeats itself. So each thread remembers the n-grams that it met last, byte for byte,
//! with their buckets; those that it does not know are hashed sixteen at a time where the processor has AVX-512 (20 ns
//! each on a Sapphire Rapids core, 85 ns with its SHA instructions one after the other).

use crate::span::Span;

/// Buckets of n-grams. One a thread.
#[derive(Clone)]
pub struct Sha256 {
    buckets: u64,
    /// `2^(32 i)` modulo the number of buckets.
    powers: [u64; 8],
    /// N-grams and their buckets. Compared byte for byte, so remembering changes no answer.
    recent: Vec<ShortGram>,
    recent_buckets: Vec<u32>,
    joined: Vec<[u8; 64]>,
    lengths: Vec<usize>,
    some: Vec<u32>,
    unknown: Vec<Unknown>,
}

/// An n-gram of up to 31 bytes: its bytes, zeros, and the length in the last byte.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(align(32))]
pub struct ShortGram([u8; 32]);

/// A short n-gram that is not remembered.
#[derive(Clone, Copy)]
struct Unknown {
    gram: ShortGram,
    /// Its place in the chunk.
    lane: usize,
    /// Its place in the memory.
    place: usize,
}

/// N-grams that are looked at together.
const CHUNK: usize = 256;

/// Entries remembered: 4 MiB and a half a thread.
const RECENT: usize = 1 << RECENT_BITS;
const RECENT_BITS: u32 = 17;

/// Unknown n-grams that are hashed together.
pub const TOGETHER: usize = 16;

impl Sha256 {
    /// Buckets of this number.
    pub fn new(buckets: u32) -> Sha256 {
        let buckets = u64::from(buckets);
        let mut powers = [1 % buckets; 8];
        (1..8).for_each(|i| powers[i] = (powers[i - 1] << 32) % buckets);
        Sha256 {
            buckets,
            powers,
            // No n-gram is empty, so that none is taken for this one.
            recent: vec![ShortGram([0; 32]); RECENT],
            recent_buckets: vec![0; RECENT],
            joined: vec![[0; 64]; CHUNK],
            lengths: vec![0; CHUNK],
            some: vec![0; CHUNK],
            unknown: Vec::new(),
        }
    }

    /// The buckets of all n-grams of one `n`, whose XXH3 hashes say where to look for them; `digests` hashes those
    /// that are not known. In line, so that it takes on the caller's target features.
    #[inline(always)]
    pub fn each(
        &mut self,
        digests: impl Fn(&[ShortGram; TOGETHER], usize) -> [[u32; 8]; TOGETHER],
        lower: &[u8],
        spans: &[Span],
        n: usize,
        hashes: &[u64],
        act: &mut impl FnMut(&[u32]),
    ) {
        for (first, hashes) in (0..).step_by(CHUNK).zip(hashes.chunks(CHUNK)) {
            let grams = spans[first..].windows(n);
            // All are joined before the first is read: reading what was just written in pieces makes the processor
            // wait.
            for ((gram, joined), length) in grams.zip(&mut self.joined).zip(&mut self.lengths) {
                *length = join_short(gram, lower, joined);
            }
            for (lane, hash) in hashes.iter().enumerate() {
                if self.lengths[lane] < 32 {
                    self.look_up(lane, (hash >> (64 - RECENT_BITS)) as usize);
                } else {
                    self.some[lane] = self.modulo(digest(&join(&spans[first + lane..][..n], lower)));
                }
            }
            self.hash_unknown(&digests);
            act(&self.some[..hashes.len()]);
        }
    }

    #[inline(always)]
    fn look_up(&mut self, lane: usize, place: usize) {
        let gram = short(&self.joined[lane], self.lengths[lane]);
        if self.recent[place] == gram {
            self.some[lane] = self.recent_buckets[place];
        } else {
            self.unknown.push(Unknown { gram, lane, place });
        }
    }

    #[inline(always)]
    fn hash_unknown(&mut self, digests: impl Fn(&[ShortGram; TOGETHER], usize) -> [[u32; 8]; TOGETHER]) {
        for unknown in self.unknown.chunks(TOGETHER) {
            let mut grams = [ShortGram([0; 32]); TOGETHER];
            unknown.iter().zip(&mut grams).for_each(|(unknown, gram)| *gram = unknown.gram);
            let digests = digests(&grams, unknown.len());
            for (unknown, digest) in unknown.iter().zip(digests) {
                let bucket = self.modulo(digest);
                self.some[unknown.lane] = bucket;
                self.recent_buckets[unknown.place] = bucket;
                self.recent[unknown.place] = unknown.gram;
            }
        }
        self.unknown.clear();
    }

    /// A big-endian number of 8 words modulo the number of buckets. No term reaches 2^60, so their sum fits.
    #[inline(always)]
    fn modulo(&self, words: [u32; 8]) -> u32 {
        let terms = words.iter().rev().zip(&self.powers).map(|(&word, power)| u64::from(word) * power);
        (terms.sum::<u64>() % self.buckets) as u32
    }
}

/// Joins the words of an n-gram by spaces.
fn join(gram: &[Span], lower: &[u8]) -> Vec<u8> {
    let words: Vec<_> = gram.iter().map(|span| span.of(lower)).collect();
    words.join(&b' ')
}

/// Joins the words of an n-gram by spaces and gives its length; from 32 on, nothing is joined. The copies are of a
/// fixed size: each word brings what stands behind it in the text, and the space and the next word cover that.
#[inline(always)]
fn join_short(gram: &[Span], lower: &[u8], joined: &mut [u8; 64]) -> usize {
    let length = gram.iter().map(Span::length).sum::<usize>() + gram.len() - 1;
    let mut at = 0;
    for span in gram.iter().take(if length < 32 { gram.len() } else { 0 }) {
        joined[at..at + 32].copy_from_slice(span.head::<32>(lower));
        at += span.length() + 1;
        joined[at - 1] = b' ';
    }
    length
}

/// The numbers from 0 on.
pub const NUMBERS: [u8; 64] = {
    let mut numbers = [0; 64];
    let mut number = 0;
    while number < 64 {
        numbers[number] = number as u8;
        number += 1;
    }
    numbers
};

/// The first `length` bytes. In whole vectors: a byte that is put in later would make the processor wait.
#[inline(always)]
fn short(joined: &[u8; 64], length: usize) -> ShortGram {
    let mut gram = ShortGram([0; 32]);
    let length = length as u8;
    for ((byte, joined), place) in gram.0.iter_mut().zip(joined).zip(NUMBERS) {
        let inside = u8::from(place < length).wrapping_neg();
        let last = u8::from(place == 31).wrapping_neg();
        *byte = joined & inside | length & last;
    }
    gram
}

impl ShortGram {
    fn bytes(&self) -> &[u8] {
        &self.0[..usize::from(self.0[31])]
    }

    /// The words of the only block of its message that are not zero: the first 8, and the last.
    #[cfg(target_arch = "x86_64")]
    fn message(&self) -> ([u32; 8], u32) {
        let length = self.0[31];
        let mut bytes = self.0;
        bytes[31] = 0;
        bytes[usize::from(length)] = 0x80;
        let mut words = [0; 8];
        words.iter_mut().zip(bytes.as_chunks().0).for_each(|(word, &four)| *word = u32::from_be_bytes(four));
        (words, 8 * u32::from(length))
    }
}

/// What SHA-256 begins with.
const START: [u32; 8] =
    [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];

/// SHA-256 (FIPS 180-4): the message in blocks of 64 bytes, a one bit and the length behind it.
fn digest(message: &[u8]) -> [u32; 8] {
    let mut state = START;
    let (blocks, rest) = message.as_chunks::<64>();
    if !blocks.is_empty() {
        sha2::block_api::compress256(&mut state, blocks);
    }
    let mut last = [[0; 64]; 2];
    let needed = 1 + usize::from(rest.len() > 55);
    let end = last.as_flattened_mut();
    end[..rest.len()].copy_from_slice(rest);
    end[rest.len()] = 0x80;
    end[64 * needed - 8..64 * needed].copy_from_slice(&(8 * message.len() as u64).to_be_bytes());
    sha2::block_api::compress256(&mut state, &last[..needed]);
    state
}

/// SHA-256 of the first `count` n-grams, one after the other.
pub fn digests_plain(grams: &[ShortGram; TOGETHER], count: usize) -> [[u32; 8]; TOGETHER] {
    let mut digests = [[0; 8]; TOGETHER];
    grams[..count].iter().zip(&mut digests).for_each(|(gram, out)| *out = digest(gram.bytes()));
    digests
}

/// The round constants of SHA-256.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const ROUNDS: [u32; 64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
];

/// SHA-256 of sixteen n-grams, one in each lane of a vector.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
pub fn digests_avx512(grams: &[ShortGram; TOGETHER]) -> [[u32; 8]; TOGETHER] {
    use std::arch::x86_64::*;
    let mut message = [[0; TOGETHER]; 16];
    for (lane, gram) in grams.iter().enumerate() {
        let (words, bits) = gram.message();
        words.iter().zip(&mut message).for_each(|(&word, lanes)| lanes[lane] = word);
        message[15][lane] = bits;
    }
    // SAFETY: each of the sixteen arrays has the 64 bytes; these loads need no alignment.
    let mut w = message.map(|lanes| unsafe { _mm512_loadu_si512(lanes.as_ptr().cast()) });
    let add = |a, b| _mm512_add_epi32(a, b);
    let xor = |a, b, c| _mm512_ternarylogic_epi32::<0x96>(a, b, c);
    let small_0 = |x| xor(_mm512_ror_epi32::<7>(x), _mm512_ror_epi32::<18>(x), _mm512_srli_epi32::<3>(x));
    let small_1 = |x| xor(_mm512_ror_epi32::<17>(x), _mm512_ror_epi32::<19>(x), _mm512_srli_epi32::<10>(x));
    let big_0 = |x| xor(_mm512_ror_epi32::<2>(x), _mm512_ror_epi32::<13>(x), _mm512_ror_epi32::<22>(x));
    let big_1 = |x| xor(_mm512_ror_epi32::<6>(x), _mm512_ror_epi32::<11>(x), _mm512_ror_epi32::<25>(x));
    let start = START.map(|word| _mm512_set1_epi32(word as i32));
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = start;
    for (round, constant) in ROUNDS.into_iter().enumerate() {
        let choice = _mm512_ternarylogic_epi32::<0xca>(e, f, g);
        let majority = _mm512_ternarylogic_epi32::<0xe8>(a, b, c);
        let keyed = add(w[round % 16], _mm512_set1_epi32(constant as i32));
        let first = add(add(h, big_1(e)), add(choice, keyed));
        let second = add(big_0(a), majority);
        (h, g, f, e, d, c, b, a) = (g, f, e, add(d, first), c, b, a, add(first, second));
        let later = add(small_0(w[(round + 1) % 16]), small_1(w[(round + 14) % 16]));
        w[round % 16] = add(add(w[round % 16], w[(round + 9) % 16]), later);
    }
    let mut digests = [[0; 8]; TOGETHER];
    for (word, (state, start)) in [a, b, c, d, e, f, g, h].into_iter().zip(start).enumerate() {
        let mut lanes = [0_u32; TOGETHER];
        // SAFETY: `lanes` has the 64 bytes.
        unsafe { _mm512_storeu_si512(lanes.as_mut_ptr().cast(), add(state, start)) };
        digests.iter_mut().zip(lanes).for_each(|(digest, lane)| digest[word] = lane);
    }
    digests
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buckets::BUCKETS_MAX;

    #[test]
    fn sha256_is_the_standard_at_every_length() {
        use sha2::Digest;
        let message: Vec<u8> = (0..200).collect();
        for length in 0..200 {
            let expected: [u8; 32] = sha2::Sha256::digest(&message[..length]).into();
            let words = expected.as_chunks::<4>().0.iter().map(|&word| u32::from_be_bytes(word));
            assert!(words.eq(digest(&message[..length])), "{length}");
        }
    }

    #[test]
    fn modulo_is_exact_at_the_ends() {
        for buckets in [1, 2, 997, 10_000, BUCKETS_MAX - 1, BUCKETS_MAX] {
            let sha256 = Sha256::new(buckets);
            let slow = |words: [u32; 8]| {
                let rest =
                    words.iter().fold(0_u128, |rest, &word| ((rest << 32) + u128::from(word)) % u128::from(buckets));
                rest as u32
            };
            for words in [[u32::MAX; 8], [0; 8], [1, 2, 3, 4, 5, 6, 7, 8]] {
                assert_eq!(sha256.modulo(words), slow(words), "{buckets}");
            }
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn sixteen_at_a_time_are_as_one_after_the_other() {
        if !is_x86_feature_detected!("avx512f") {
            return;
        }
        for shift in 0..31 {
            let gram = |lane: usize| {
                let text = std::array::from_fn(|place| (place * 31 + lane * 7 + shift) as u8);
                short(&text, 1 + (lane + shift) % 31)
            };
            let grams = std::array::from_fn(gram);
            // SAFETY: AVX-512 is there.
            assert_eq!(unsafe { digests_avx512(&grams) }, digests_plain(&grams, TOGETHER));
        }
    }
}

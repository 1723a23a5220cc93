//! What class each byte of a text belongs to, one bit a byte, found for 64 bytes at a time; and what else runs on
//! vectors.

use crate::sha256::{NUMBERS, ShortGram, TOGETHER, digests_plain};

/// Two bits a byte: word, space; neither is punctuation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mask {
    /// Bit `i`: byte `i` belongs to a word.
    pub word: u64,
    /// Bit `i`: byte `i` is white space.
    pub space: u64,
}

/// A block of 64 bytes in lower case with its classes. Bytes above 0x7f pass unchanged, and their classes mean nothing.
pub struct Block {
    /// The bytes in lower case.
    pub lower: [u8; 64],
    /// Their classes.
    pub mask: Mask,
    /// Bit `i`: byte `i` is not ASCII.
    pub foreign: u64,
}

/// How to look at 64 bytes, and how to write the places of the bits of a mask: the same answers at different speeds.
///
/// All of it is in line, so that it takes on the target features of the caller, who must know that they are there.
pub trait Kernel: Copy {
    /// Looks at 64 bytes.
    fn block(self, bytes: &[u8; 64]) -> Block;

    /// Writes `base` plus the place of each bit to the front of `places`; what is behind them means nothing.
    #[inline(always)]
    fn places(self, mut bits: u64, base: u32, places: &mut [u32; 64]) {
        // Eight at a time without asking whether there are as many: guessing their number wrongly costs more than a few
        // too many.
        for eight in places.chunks_exact_mut(8) {
            for place in eight {
                *place = base.wrapping_add(bits.trailing_zeros());
                bits &= bits.wrapping_sub(1);
            }
            if bits == 0 {
                break;
            }
        }
    }

    /// SHA-256 of the first `count` n-grams.
    #[inline(always)]
    fn digests(self, grams: &[ShortGram; TOGETHER], count: usize) -> [[u32; 8]; TOGETHER] {
        digests_plain(grams, count)
    }
}

/// Runs on any processor.
#[derive(Clone, Copy)]
pub struct Plain;

impl Kernel for Plain {
    #[inline(always)]
    fn block(self, bytes: &[u8; 64]) -> Block {
        plain(bytes)
    }
}

/// Looks at 64 bytes, one after the other: the reference, and what runs where nothing better does.
fn plain(bytes: &[u8; 64]) -> Block {
    let mut block = Block { lower: bytes.map(|byte| byte.to_ascii_lowercase()), mask: Mask::default(), foreign: 0 };
    for (place, byte) in bytes.iter().enumerate() {
        block.mask.word |= u64::from(byte.is_ascii_alphanumeric() || *byte == b'_') << place;
        block.mask.space |= u64::from(matches!(byte, 9..=13 | 28..=32)) << place;
        block.foreign |= u64::from(!byte.is_ascii()) << place;
    }
    block
}

/// Proof that the processor has AVX2.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub struct Avx2(());

#[cfg(target_arch = "x86_64")]
impl Avx2 {
    /// The proof, where the processor gives it.
    pub fn detect() -> Option<Avx2> {
        is_x86_feature_detected!("avx2").then_some(Avx2(()))
    }
}

#[cfg(target_arch = "x86_64")]
impl Kernel for Avx2 {
    #[inline(always)]
    fn block(self, bytes: &[u8; 64]) -> Block {
        // SAFETY: an `Avx2` exists only where AVX2 does.
        unsafe { avx2(bytes) }
    }
}

/// Proof that the processor has AVX-512BW and AVX-512VBMI2.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub struct Avx512(());

#[cfg(target_arch = "x86_64")]
impl Avx512 {
    /// The proof, where the processor gives it.
    pub fn detect() -> Option<Avx512> {
        (is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vbmi2")).then_some(Avx512(()))
    }
}

#[cfg(target_arch = "x86_64")]
impl Kernel for Avx512 {
    #[inline(always)]
    fn block(self, bytes: &[u8; 64]) -> Block {
        // SAFETY: an `Avx512` exists only where AVX-512BW does.
        unsafe { avx512(bytes) }
    }

    #[inline(always)]
    fn places(self, bits: u64, base: u32, places: &mut [u32; 64]) {
        // SAFETY: an `Avx512` exists only where AVX-512BW and AVX-512VBMI2 do.
        unsafe { places_avx512(bits, base, places) }
    }

    #[inline(always)]
    fn digests(self, grams: &[ShortGram; TOGETHER], _count: usize) -> [[u32; 8]; TOGETHER] {
        // SAFETY: an `Avx512` exists only where AVX-512BW does, of which AVX-512F is a part.
        unsafe { crate::sha256::digests_avx512(grams) }
    }
}

/// Packs the numbers 0 to 63 whose bit is set, then widens sixteen at a time.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512bw,avx512vbmi2")]
fn places_avx512(bits: u64, base: u32, places: &mut [u32; 64]) {
    use std::arch::x86_64::*;
    // SAFETY: the array has the 64 bytes; this load needs no alignment.
    let numbers = unsafe { _mm512_loadu_si512(NUMBERS.as_ptr().cast()) };
    let packed = _mm512_maskz_compress_epi8(bits, numbers);
    let quarters = [
        _mm512_castsi512_si128(packed),
        _mm512_extracti32x4_epi32::<1>(packed),
        _mm512_extracti32x4_epi32::<2>(packed),
        _mm512_extracti32x4_epi32::<3>(packed),
    ];
    let found = bits.count_ones() as usize;
    for (quarter, sixteen) in quarters.into_iter().zip(places.chunks_exact_mut(16)).take(found.div_ceil(16)) {
        let wide = _mm512_add_epi32(_mm512_cvtepu8_epi32(quarter), _mm512_set1_epi32(base as i32));
        // SAFETY: `sixteen` has the 64 bytes.
        unsafe { _mm512_storeu_si512(sixteen.as_mut_ptr().cast(), wide) };
    }
}

/// Looks at 64 bytes, 32 at a time.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
fn avx2(bytes: &[u8; 64]) -> Block {
    use std::arch::x86_64::*;
    let within = |bytes: __m256i, first: u8, last: u8| {
        let above = _mm256_sub_epi8(bytes, _mm256_set1_epi8(first as i8));
        _mm256_cmpeq_epi8(_mm256_min_epu8(above, _mm256_set1_epi8((last - first) as i8)), above)
    };
    let bits = |bytes: __m256i| u64::from(_mm256_movemask_epi8(bytes) as u32);
    let mut block = Block { lower: [0; 64], mask: Mask::default(), foreign: 0 };
    for half in 0..2 {
        // SAFETY: half < 2, so the 32 bytes are inside the 64; this load needs no alignment.
        let letters = unsafe { _mm256_loadu_si256(bytes.as_ptr().add(32 * half).cast()) };
        let upper = within(letters, b'A', b'Z');
        let lower = _mm256_add_epi8(letters, _mm256_and_si256(upper, _mm256_set1_epi8(0x20)));
        let alphanumeric = _mm256_or_si256(within(lower, b'a', b'z'), within(lower, b'0', b'9'));
        let word = _mm256_or_si256(alphanumeric, _mm256_cmpeq_epi8(lower, _mm256_set1_epi8(b'_' as i8)));
        let space = _mm256_or_si256(within(lower, 9, 13), within(lower, 28, 32));
        // SAFETY: the 32 bytes are inside the 64 of `lower`, as above.
        unsafe { _mm256_storeu_si256(block.lower.as_mut_ptr().add(32 * half).cast(), lower) };
        block.mask.word |= bits(word) << (32 * half);
        block.mask.space |= bits(space) << (32 * half);
        block.foreign |= bits(letters) << (32 * half);
    }
    block
}

/// Looks at 64 bytes at once.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512bw")]
fn avx512(bytes: &[u8; 64]) -> Block {
    use std::arch::x86_64::*;
    let within = |bytes: __m512i, first: u8, last: u8| {
        let above = _mm512_sub_epi8(bytes, _mm512_set1_epi8(first as i8));
        _mm512_cmple_epu8_mask(above, _mm512_set1_epi8((last - first) as i8))
    };
    // SAFETY: the array has the 64 bytes; this load needs no alignment.
    let letters = unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) };
    let upper = within(letters, b'A', b'Z');
    let lower = _mm512_mask_add_epi8(letters, upper, letters, _mm512_set1_epi8(0x20));
    let underscore = _mm512_cmpeq_epi8_mask(lower, _mm512_set1_epi8(b'_' as i8));
    let mask = Mask {
        word: within(lower, b'a', b'z') | within(lower, b'0', b'9') | underscore,
        space: within(lower, 9, 13) | within(lower, 28, 32),
    };
    let mut block = Block { lower: [0; 64], mask, foreign: _mm512_movepi8_mask(letters) };
    // SAFETY: `lower` has 64 bytes.
    unsafe { _mm512_storeu_si512(block.lower.as_mut_ptr().cast(), lower) };
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agrees_with_the_reference(kernel: impl Kernel) {
        for first in 0..=255_u8 {
            let bytes = std::array::from_fn(|place| first.wrapping_add((place * 7) as u8));
            let (fast, slow) = (kernel.block(&bytes), plain(&bytes));
            assert_eq!(fast.lower, slow.lower);
            assert_eq!(fast.foreign, slow.foreign);
            assert_eq!(fast.mask.word & !fast.foreign, slow.mask.word);
            assert_eq!(fast.mask.space & !fast.foreign, slow.mask.space);
        }
        let mut bits = 0x9e3779b97f4a7c15_u64;
        for round in 0..1000 {
            bits = match round {
                0 => 0,
                1 => u64::MAX,
                _ => bits.rotate_left(7).wrapping_mul(5) ^ bits >> 3,
            };
            let mut places = [0; 64];
            kernel.places(bits, 1000, &mut places);
            let expected: Vec<u32> = (0..64).filter(|place| bits >> place & 1 == 1).map(|place| 1000 + place).collect();
            assert_eq!(places[..expected.len()], expected);
            bits |= 1;
        }
    }

    #[test]
    fn every_kernel_is_as_the_reference() {
        agrees_with_the_reference(Plain);
        #[cfg(target_arch = "x86_64")]
        Avx2::detect().into_iter().for_each(agrees_with_the_reference);
        #[cfg(target_arch = "x86_64")]
        Avx512::detect().into_iter().for_each(agrees_with_the_reference);
    }
}

//! What class each byte of a text belongs to, one bit a byte, found for 64 bytes at a time.

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

/// Looks at 64 bytes, one after the other: the reference, and what runs where nothing better does.
pub fn plain(bytes: &[u8; 64]) -> Block {
    let mut block = Block { lower: bytes.map(|byte| byte.to_ascii_lowercase()), mask: Mask::default(), foreign: 0 };
    for (place, byte) in bytes.iter().enumerate() {
        block.mask.word |= u64::from(byte.is_ascii_alphanumeric() || *byte == b'_') << place;
        block.mask.space |= u64::from(matches!(byte, 9..=13 | 28..=32)) << place;
        block.foreign |= u64::from(!byte.is_ascii()) << place;
    }
    block
}

/// Looks at 64 bytes, 32 at a time.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
pub fn avx2(bytes: &[u8; 64]) -> Block {
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
pub fn avx512(bytes: &[u8; 64]) -> Block {
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

    fn agrees_with_the_reference(look: impl Fn(&[u8; 64]) -> Block) {
        for first in 0..=255_u8 {
            let bytes = std::array::from_fn(|place| first.wrapping_add((place * 7) as u8));
            let (fast, slow) = (look(&bytes), plain(&bytes));
            assert_eq!(fast.lower, slow.lower);
            assert_eq!(fast.foreign, slow.foreign);
            assert_eq!(fast.mask.word & !fast.foreign, slow.mask.word);
            assert_eq!(fast.mask.space & !fast.foreign, slow.mask.space);
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn every_byte_at_every_place_is_as_in_the_reference() {
        if is_x86_feature_detected!("avx2") {
            // SAFETY: AVX2 is there.
            agrees_with_the_reference(|bytes| unsafe { avx2(bytes) });
        }
        if is_x86_feature_detected!("avx512bw") {
            // SAFETY: AVX-512BW is there.
            agrees_with_the_reference(|bytes| unsafe { avx512(bytes) });
        }
    }
}

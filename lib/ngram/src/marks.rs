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

/// Looks at 64 bytes.
#[inline]
pub fn block(bytes: &[u8; 64]) -> Block {
    #[cfg(target_arch = "x86_64")]
    return sse2::block(bytes);
    #[cfg(not(target_arch = "x86_64"))]
    return plain(bytes);
}

/// The same, byte by byte: the reference.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn plain(bytes: &[u8; 64]) -> Block {
    let mut block = Block { lower: bytes.map(|byte| byte.to_ascii_lowercase()), mask: Mask::default(), foreign: 0 };
    for (place, byte) in bytes.iter().enumerate() {
        block.mask.word |= u64::from(byte.is_ascii_alphanumeric() || *byte == b'_') << place;
        block.mask.space |= u64::from(matches!(byte, 9..=13 | 28..=32)) << place;
        block.foreign |= u64::from(!byte.is_ascii()) << place;
    }
    block
}

#[cfg(target_arch = "x86_64")]
mod sse2 {
    use super::{Block, Mask};
    use std::arch::x86_64::{
        __m128i, _mm_add_epi8, _mm_and_si128, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_min_epu8, _mm_movemask_epi8,
        _mm_or_si128, _mm_set1_epi8, _mm_storeu_si128, _mm_sub_epi8,
    };

    #[inline]
    pub fn block(bytes: &[u8; 64]) -> Block {
        let mut block = Block { lower: [0; 64], mask: Mask::default(), foreign: 0 };
        for part in 0..4 {
            // SAFETY: part < 4, so the 16 bytes are inside the 64; SSE2 is part of x86-64 and loads need no alignment.
            let letters = unsafe { _mm_loadu_si128(bytes.as_ptr().add(16 * part).cast()) };
            // SAFETY: all of these need SSE2 only, which is part of x86-64; the store stays inside `lower` as the load above.
            unsafe {
                let upper = within(letters, b'A', b'Z');
                let lower = _mm_add_epi8(letters, _mm_and_si128(upper, _mm_set1_epi8(0x20)));
                let alphanumeric = _mm_or_si128(within(lower, b'a', b'z'), within(lower, b'0', b'9'));
                let word = _mm_or_si128(alphanumeric, _mm_cmpeq_epi8(lower, _mm_set1_epi8(b'_' as i8)));
                let space = _mm_or_si128(within(lower, 9, 13), within(lower, 28, 32));
                _mm_storeu_si128(block.lower.as_mut_ptr().add(16 * part).cast(), lower);
                block.mask.word |= bits(word) << (16 * part);
                block.mask.space |= bits(space) << (16 * part);
                block.foreign |= bits(letters) << (16 * part);
            }
        }
        block
    }

    #[inline]
    unsafe fn within(bytes: __m128i, first: u8, last: u8) -> __m128i {
        // SAFETY: SSE2 is part of x86-64.
        unsafe {
            let above = _mm_sub_epi8(bytes, _mm_set1_epi8(first as i8));
            _mm_cmpeq_epi8(_mm_min_epu8(above, _mm_set1_epi8((last - first) as i8)), above)
        }
    }

    #[inline]
    unsafe fn bits(bytes: __m128i) -> u64 {
        // SAFETY: SSE2 is part of x86-64.
        u64::from(unsafe { _mm_movemask_epi8(bytes) } as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_at_every_place_is_as_in_the_reference() {
        for first in 0..=255_u8 {
            let bytes = std::array::from_fn(|place| first.wrapping_add((place * 7) as u8));
            let (fast, slow) = (block(&bytes), plain(&bytes));
            assert_eq!(fast.lower, slow.lower);
            assert_eq!(fast.foreign, slow.foreign);
            assert_eq!(fast.mask.word & !fast.foreign, slow.mask.word);
            assert_eq!(fast.mask.space & !fast.foreign, slow.mask.space);
        }
    }
}

//! XXH3-64 (seed 0) of up to 16 bytes without a branch.
//!
//! Words are short and their lengths unpredictable, so a hash that branches on the length loses more in mispredicted jumps
//! than in arithmetic. XXH3 has three formulas below 17 bytes (1 to 3, 4 to 8, 9 to 16); all are computed from
//! the same 16 bytes in registers, and one is kept. The answers are XXH3's, which a test compares with the `xxhash-rust` crate.

/// Bytes of XXH3's default secret that the three formulas use, as little-endian numbers; of those that are only ever used
/// xored, the result.
const FLIP_1_TO_3: u64 = 0xb8fe6c39_u32.swap_bytes() as u64 ^ 0x23a44bbe_u32.swap_bytes() as u64;
const FLIP_4_TO_8: u64 = 0x7c01812cf721ad1c_u64.swap_bytes() ^ 0xded46de9839097db_u64.swap_bytes();
const FLIP_LOW: u64 = 0x7240a4a4b7b3671f_u64.swap_bytes() ^ 0xcb79e64eccc0e578_u64.swap_bytes();
const FLIP_HIGH: u64 = 0x825ad07dccff7221_u64.swap_bytes() ^ 0xb8084674f743248e_u64.swap_bytes();

const XXH64_PRIME_2: u64 = 0xc2b2ae3d27d4eb4f;
const XXH64_PRIME_3: u64 = 0x165667b19e3779f9;
const MIX_1: u64 = 0x165667919e3779f9;
const MIX_2: u64 = 0x9fb21c651e98df25;

/// The longest input.
pub const SHORT: usize = 16;

/// XXH3-64 of the first `length` bytes of `bytes`; `length` is 1 to 16, and the bytes behind it do not matter.
#[inline(always)]
pub fn xxh3_short(bytes: &[u8; SHORT], length: u64) -> u64 {
    let whole = u128::from_le_bytes(*bytes);
    let low = whole as u64;
    let among = |chosen: bool, hash: u64| hash & u64::from(chosen).wrapping_neg();
    among(length <= 3, of_1_to_3(low, length))
        | among((length > 3) & (length <= 8), of_4_to_8(low, length))
        | among(length > 8, of_9_to_16(whole, length))
}

/// The number whose lowest byte is the byte at `place`; any other place gives something, which is then not used.
#[inline(always)]
fn from(low: u64, place: u64) -> u64 {
    low.wrapping_shr((place as u32).wrapping_mul(8))
}

#[inline(always)]
fn of_1_to_3(low: u64, length: u64) -> u64 {
    let byte = |place: u64| from(low, place) & 0xff;
    let combined = byte(0) << 16 | byte(length >> 1) << 24 | byte(length.wrapping_sub(1)) | length << 8;
    let hash = combined ^ FLIP_1_TO_3;
    let hash = (hash ^ hash >> 33).wrapping_mul(XXH64_PRIME_2);
    let hash = (hash ^ hash >> 29).wrapping_mul(XXH64_PRIME_3);
    hash ^ hash >> 32
}

#[inline(always)]
fn of_4_to_8(low: u64, length: u64) -> u64 {
    let last = from(low, length.wrapping_sub(4)) & 0xffff_ffff;
    let hash = last.wrapping_add(low << 32) ^ FLIP_4_TO_8;
    let hash = (hash ^ hash.rotate_left(49) ^ hash.rotate_left(24)).wrapping_mul(MIX_2);
    let hash = (hash ^ (hash >> 35).wrapping_add(length)).wrapping_mul(MIX_2);
    hash ^ hash >> 28
}

#[inline(always)]
fn of_9_to_16(whole: u128, length: u64) -> u64 {
    let last = whole.wrapping_shr((length as u32).wrapping_sub(8).wrapping_mul(8)) as u64;
    let (low, high) = (whole as u64 ^ FLIP_LOW, last ^ FLIP_HIGH);
    let product = u128::from(low) * u128::from(high);
    let folded = product as u64 ^ (product >> 64) as u64;
    let hash = length.wrapping_add(low.swap_bytes()).wrapping_add(high).wrapping_add(folded);
    let hash = (hash ^ hash >> 37).wrapping_mul(MIX_1);
    hash ^ hash >> 32
}

/// XXH3-64 of 16 bytes that are two numbers in little endian.
#[inline(always)]
pub fn xxh3_pair(first: u64, second: u64) -> u64 {
    of_9_to_16(u128::from(second) << 64 | u128::from(first), 16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use xxhash_rust::xxh3::xxh3_64;

    #[test]
    fn every_length_is_xxh3() {
        let mut state = 1_u64;
        for _ in 0..2000 {
            let bytes: [u8; SHORT] = std::array::from_fn(|_| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (state >> 56) as u8
            });
            for length in 1..=SHORT {
                assert_eq!(xxh3_short(&bytes, length as u64), xxh3_64(&bytes[..length]), "{length}");
            }
            let half = |at: usize| u64::from_le_bytes(*bytes[at..].first_chunk().unwrap());
            assert_eq!(xxh3_pair(half(0), half(8)), xxh3_64(&bytes));
        }
    }
}

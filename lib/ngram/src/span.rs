//! Where words are in a text.

/// A word's place in the lower-cased text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    /// Where it begins.
    pub start: u32,
    /// Where it ends: the place behind its last byte.
    pub end: u32,
}

impl Span {
    /// The word's bytes in the lower-cased text.
    #[inline(always)]
    pub fn of<'a>(&self, lower: &'a [u8]) -> &'a [u8] {
        &lower[self.start as usize..self.end as usize]
    }

    /// The word's first `N` bytes (at most [`PADDING`](crate::words::PADDING)), whatever its length.
    #[inline(always)]
    pub fn head<'a, const N: usize>(&self, lower: &'a [u8]) -> &'a [u8; N] {
        lower[self.start as usize..].first_chunk().expect("the text is padded")
    }

    /// Length in bytes.
    #[inline(always)]
    pub fn length(&self) -> usize {
        (self.end - self.start) as usize
    }
}

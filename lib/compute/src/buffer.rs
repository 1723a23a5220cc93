//! Memory that starts on a cache line, is zero when new, and grows only.

/// One cache line.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; LINE]);

/// Bytes of a cache line, and of a row of a tile.
pub(crate) const LINE: usize = 64;

/// A block of memory for plain numbers.
#[derive(Debug, Default)]
pub(crate) struct Buffer(Vec<Line>);

/// Types that any bytes are a valid value of, with an alignment of at most a line.
///
/// # Safety
/// As said.
pub(crate) unsafe trait Plain: Copy {}

// SAFETY: any four bytes are a float.
unsafe impl Plain for f32 {}
// SAFETY: any two bytes are a u16.
unsafe impl Plain for u16 {}
// SAFETY: any two bytes are an i16.
unsafe impl Plain for i16 {}

impl Buffer {
    /// At least `count` values for writing. What an earlier call wrote may still stand there: it is never
    /// uninitialised.
    pub(crate) fn take<T: Plain>(&mut self, count: usize) -> *mut T {
        let lines = (count * size_of::<T>()).div_ceil(LINE);
        if self.0.len() < lines {
            // Zeros from the system, not a copy of what nobody needs any more.
            self.0 = vec![Line([0; LINE]); lines];
        }
        self.0.as_mut_ptr().cast()
    }

    /// The first `count` values.
    pub(crate) fn values<T: Plain>(&self, count: usize) -> &[T] {
        assert!(count * size_of::<T>() <= self.0.len() * LINE, "a buffer is read past its end");
        // SAFETY: so many bytes are there, aligned to a line, initialised, and any bytes are a `T`.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), count) }
    }
}

/// `count` rounded up to whole `unit`s.
pub(crate) fn round_up(count: usize, unit: usize) -> usize {
    count.div_ceil(unit) * unit
}

/// Values from one row to the next for rows of `width`: whole lines, an odd number of them, so that equal columns of
/// neighbouring rows fall into different sets of the cache (rows of 4096 bytes would all meet in one).
pub(crate) fn stride<T>(width: usize) -> usize {
    let lines = (width * size_of::<T>()).div_ceil(LINE);
    (lines | 1) * LINE / size_of::<T>()
}

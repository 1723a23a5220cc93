//! Where lines end: at each newline, and at the end of what does not end with one.

/// The lines of some bytes, without their newlines.
pub fn split(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    let newlines = memchr::memchr_iter(b'\n', bytes);
    let last = bytes.last().filter(|&&byte| byte != b'\n').map(|_| bytes.len());
    newlines.chain(last).map(move |end| {
        let line = &bytes[start..end];
        start = end + 1;
        line
    })
}

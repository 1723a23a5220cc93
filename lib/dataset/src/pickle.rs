//! NumPy arrays as Python pickles them (protocol 3).
//!
//! `numpy.core.multiarray` is where `_reconstruct` was until NumPy 2, which still finds it there; so any NumPy reads
//! them.

use pipe::tokens::Dtype;

const BEFORE: &[u8] = b"\x80\x03cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85C\x01b\x87R(K\x01J";
const TYPE: &[u8] = b"\x85cnumpy\ndtype\nX\x02\0\0\0";
const STATE: &[u8] = b"\x89\x88\x87R(K\x03X\x01\0\0\0<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb\x89B";
const BEHIND: &[u8] = b"tb.";

/// Appends the pickle of an array of one dimension.
pub fn write_array(numbers: &[u32], dtype: Dtype, out: &mut Vec<u8>) {
    out.extend_from_slice(BEFORE);
    out.extend((numbers.len() as u32).to_le_bytes());
    out.extend_from_slice(TYPE);
    out.extend(dtype.descr()[1..].bytes());
    out.extend_from_slice(STATE);
    out.extend(((numbers.len() * dtype.size()) as u32).to_le_bytes());
    dtype.write(numbers, out);
    out.extend_from_slice(BEHIND);
}

/// The type and the bytes of the values of an array that [`write_array`] wrote; `None`: it is another pickle.
pub fn read_array(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = bytes.strip_prefix(BEFORE)?;
    let (length, rest) = rest.split_first_chunk()?;
    let (kind, rest) = rest.strip_prefix(TYPE)?.split_at_checked(2)?;
    let (size, rest) = rest.strip_prefix(STATE)?.split_first_chunk()?;
    let values = rest.strip_suffix(BEHIND)?;
    let (length, size) = (u32::from_le_bytes(*length) as usize, u32::from_le_bytes(*size) as usize);
    let width = (kind.get(1)? - b'0') as usize;
    (values.len() == size && length * width == size).then_some((kind, values))
}

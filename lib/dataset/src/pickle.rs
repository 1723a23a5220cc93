//! NumPy arrays as Python pickles them (protocol 3).
//!
//! `numpy.core.multiarray` is where `_reconstruct` was until NumPy 2, which still finds it there; so any NumPy reads
//! them.

use pipe::tokens::Dtype;

const BEFORE: &[u8] = b"\x80\x03cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85C\x01b\x87R(K\x01J";
const TYPE: &[u8] = b"cnumpy\ndtype\nX\x02\0\0\0";
const STATE: &[u8] = b"\x89\x88\x87R(K\x03X\x01\0\0\0<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb\x89B";
const BEHIND: &[u8] = b"tb.";

/// What makes tuples of one and of two numbers.
const ONE: u8 = 0x85;
const TWO: u8 = 0x86;

/// Appends the pickle of an array of one dimension.
pub fn write_array(numbers: &[u32], dtype: Dtype, out: &mut Vec<u8>) {
    let shape = (numbers.len() as u32).to_le_bytes();
    write_head(&[&shape, &[ONE]], &dtype.descr()[1..], numbers.len() * dtype.size(), out);
    dtype.write(numbers, out);
    out.extend_from_slice(BEHIND);
}

/// Appends the pickle of an array of rows of `columns` numbers each, given as the bytes that NumPy has of them; `kind`
/// is its name of their type without the byte order, `f2` for one.
pub fn write_rows(rows: usize, columns: usize, kind: &str, values: &[u8], out: &mut Vec<u8>) {
    let [rows, columns] = [rows, columns].map(|count| (count as u32).to_le_bytes());
    write_head(&[&rows, b"J", &columns, &[TWO]], kind, values.len(), out);
    out.extend_from_slice(values);
    out.extend_from_slice(BEHIND);
}

/// What stands before so many bytes of values.
fn write_head(shape: &[&[u8]], kind: &str, size: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(BEFORE);
    shape.iter().for_each(|part| out.extend_from_slice(part));
    out.extend_from_slice(TYPE);
    out.extend(kind.bytes());
    out.extend_from_slice(STATE);
    out.extend((size as u32).to_le_bytes());
}

/// The type and the bytes of the values of an array that [`write_array`] wrote; `None`: it is another pickle.
pub fn read_array(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = bytes.strip_prefix(BEFORE)?;
    let (length, rest) = rest.split_first_chunk()?;
    let (kind, rest) = rest.strip_prefix(&[ONE])?.strip_prefix(TYPE)?.split_at_checked(2)?;
    let (size, rest) = rest.strip_prefix(STATE)?.split_first_chunk()?;
    let values = rest.strip_suffix(BEHIND)?;
    let (length, size) = (u32::from_le_bytes(*length) as usize, u32::from_le_bytes(*size) as usize);
    let width = (kind.get(1)? - b'0') as usize;
    (values.len() == size && length * width == size).then_some((kind, values))
}

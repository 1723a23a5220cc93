//! Arrays of one dimension as Mosaic's encoding `ndarray` has them: type, number of dimensions and width of the shape,
//! the shape, the values.

use pipe::tokens::Dtype;

/// Appends an array.
pub fn write_array(numbers: &[u32], dtype: Dtype, out: &mut Vec<u8>) {
    out.push(match dtype {
        Dtype::U16 => 16,
        Dtype::U32 => 32,
        Dtype::I32 => 33,
        Dtype::I64 => 65,
    });
    match numbers.len() {
        length @ 0..0x100 => out.extend([1 << 2, length as u8]),
        length @ 0x100..0x1_0000 => {
            out.push(1 << 2 | 1);
            out.extend((length as u16).to_le_bytes());
        }
        length => {
            out.push(1 << 2 | 2);
            out.extend((length as u32).to_le_bytes());
        }
    }
    dtype.write(numbers, out);
}

/// The type and the bytes of the values of an array; `None`: it is not one of these types, or not whole.
pub fn read_array(bytes: &[u8]) -> Option<(&'static [u8], &[u8])> {
    let (&kind, rest) = bytes.split_first()?;
    let (&shape, rest) = rest.split_first()?;
    let kind = match kind {
        16 => b"u2",
        32 => b"u4",
        33 => b"i4",
        65 => b"i8",
        _ => return None,
    };
    let (shape, values) = rest.split_at_checked(1 << (shape & 3)).filter(|_| shape >> 2 == 1)?;
    let length = shape.iter().rev().fold(0, |length: u64, &byte| length << 8 | u64::from(byte));
    (length.checked_mul(u64::from(kind[1] - b'0')) == Some(values.len() as u64)).then_some((kind, values))
}

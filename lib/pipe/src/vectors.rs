//! Vectors: `.npy` arrays and streams one after another, each array or block `(rows, dim)`, written as [`crate::array`]
//! says.

mod reading;

pub use crate::floats::{Dtype, Raw};
pub use reading::{Place, Rounding, Vectors};

use crate::array::RowWriter;
use crate::failure::Failure;
use crate::output::Output;
use half::f16;

/// The value of 16-bit floats, exactly; a NaN stays one. Written so that the compiler makes it of vector instructions.
pub fn widen_f16(bits: u16) -> f32 {
    let (sign, magnitude) = (u32::from(bits & 0x8000) << 16, u32::from(bits & 0x7fff));
    // The fraction and exponent in their places, and the difference of the exponents' biases; subnormals come out
    // right, too.
    let finite = (f32::from_bits(magnitude << 13) * f32::from_bits((127 + 112) << 23)).to_bits();
    let whole = if magnitude < 0x7c00 { finite } else { magnitude << 13 | 0x7f80_0000 };
    f32::from_bits(sign | whole)
}

/// The values of a block have at most this many bytes, unless one vector has more.
pub const BLOCK: usize = 1 << 20;

/// Writes vectors of one dimension.
pub struct VectorWriter {
    rows: RowWriter,
    dim: usize,
    dtype: Dtype,
}

impl VectorWriter {
    /// Begins an array or a stream; writes nothing yet of the latter.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn new(output: Output, dim: usize, dtype: Dtype) -> Result<VectorWriter, Failure> {
        Ok(VectorWriter { rows: RowWriter::new(output, dtype.descr(), dtype.size(), dim, BLOCK)?, dim, dtype })
    }

    /// Writes whole vectors, one after the other.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn write(&mut self, values: &[f32]) -> Result<(), Failure> {
        assert_eq!(values.len() % self.dim, 0, "whole vectors");
        self.rows.write(|bytes| match self.dtype {
            Dtype::F32 => bytes.extend(values.iter().flat_map(|value| value.to_le_bytes())),
            Dtype::F16 => bytes.extend(values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes())),
            Dtype::F64 => bytes.extend(values.iter().flat_map(|&value| f64::from(value).to_le_bytes())),
        })
    }

    /// Writes what is left and fills in the shape, or ends the stream.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn finish(self) -> Result<(), Failure> {
        self.rows.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::npy::{HEADER, Header};
    use std::fs;

    #[test]
    fn a_file_is_one_array_with_its_shape() {
        let path = std::env::temp_dir().join(format!("vectors-{}.npy", std::process::id()));
        let mut writer = VectorWriter::new(Output::create(&path).unwrap(), 2, Dtype::F16).unwrap();
        writer.write(&[1.0, -2.0, 0.5, f32::NAN]).unwrap();
        writer.write(&[3.0, 4.0]).unwrap();
        writer.finish().unwrap();
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(bytes[..HEADER], Header::array("<f2", &[3, 2]));
        assert_eq!(bytes[HEADER..HEADER + 6], [0x00, 0x3c, 0x00, 0xc0, 0x00, 0x38]);
        assert_eq!(bytes.len(), HEADER + 12);
    }

    #[test]
    fn every_half_is_widened_exactly() {
        for bits in 0..=u16::MAX {
            let (sign, exponent, fraction) = (bits >> 15, i32::from(bits >> 10 & 31), f64::from(bits & 0x3ff));
            let size = match exponent {
                0 => fraction * 2f64.powi(-24),
                31 if fraction == 0.0 => f64::INFINITY,
                31 => f64::NAN,
                e => (1.0 + fraction / 1024.0) * 2f64.powi(e - 15),
            };
            let found = f64::from(widen_f16(bits));
            assert!(found.abs() == size || (found.is_nan() && size.is_nan()), "{bits:04x}: {found} {size}");
            assert_eq!(found.is_sign_negative(), sign == 1, "{bits:04x}");
        }
    }
}

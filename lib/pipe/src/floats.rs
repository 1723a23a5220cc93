//! How vectors of floats are stored.

/// More values in a vector than this are a damaged header.
pub const DIM_MAX: u64 = 1 << 24;

/// How a number is stored, little endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dtype {
    /// `<f4`.
    #[default]
    F32,
    /// `<f2`, rounded to the nearest, ties to even.
    F16,
}

impl Dtype {
    /// What `.npy` calls it.
    pub fn descr(self) -> &'static str {
        match self {
            Dtype::F32 => "<f4",
            Dtype::F16 => "<f2",
        }
    }

    /// Bytes of a number.
    pub fn size(self) -> usize {
        match self {
            Dtype::F32 => 4,
            Dtype::F16 => 2,
        }
    }
}

/// Records without any header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raw {
    /// Values of a vector.
    pub dim: usize,
    /// How a value is stored.
    pub dtype: Dtype,
}

impl Raw {
    /// Reads `DIM:DTYPE`.
    pub fn parse(text: &str) -> Option<Raw> {
        let (dim, dtype) = text.split_once(':')?;
        let dtype = match dtype {
            "f32" => Dtype::F32,
            "f16" => Dtype::F16,
            _ => return None,
        };
        let dim = dim.parse().ok().filter(|dim| (1..=DIM_MAX).contains(dim))?;
        Some(Raw { dim: dim as usize, dtype })
    }
}

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
    /// `<f8`, as others write it.
    F64,
}

impl Dtype {
    /// The type of this name.
    pub fn of_descr(descr: &str) -> Option<Dtype> {
        [Dtype::F32, Dtype::F16, Dtype::F64].into_iter().find(|dtype| dtype.descr() == descr)
    }

    /// What `.npy` calls it.
    pub fn descr(self) -> &'static str {
        match self {
            Dtype::F32 => "<f4",
            Dtype::F16 => "<f2",
            Dtype::F64 => "<f8",
        }
    }

    /// Bytes of a number.
    pub fn size(self) -> usize {
        match self {
            Dtype::F32 => 4,
            Dtype::F16 => 2,
            Dtype::F64 => 8,
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

    /// Bytes of a record.
    pub fn row_bytes(self) -> usize {
        self.dim * self.dtype.size()
    }
}

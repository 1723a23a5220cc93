//! What follows pooling: dense layers, normalisation, the Matryoshka cut.

use compute::transformer::Linear;

/// The non-linearity of a dense layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Squash {
    /// None (`torch.nn.modules.linear.Identity`).
    Identity,
    /// `tanh(x)` (`torch.nn.modules.activation.Tanh`).
    Tanh,
    /// `x · Φ(x)` with the error function (`gelu` of Hugging Face).
    Gelu,
}

/// A dense layer behind the pooling, `2_Dense` of sentence-transformers: `squash(x · weightᵀ + bias)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Dense {
    /// The affine map.
    pub linear: Linear,
    /// What follows it.
    pub squash: Squash,
}

impl Dense {
    /// Values that come out.
    pub fn outputs(&self) -> usize {
        self.linear.weight.rows
    }

    /// Maps `x` to `out`, each output summed in 64-bit floats in the order of the inputs and rounded once.
    pub fn apply(&self, x: &[f32], out: &mut [f32]) {
        let weight = &self.linear.weight;
        assert_eq!((x.len(), out.len()), (weight.columns, weight.rows));
        for (o, (out, row)) in out.iter_mut().zip(weight.values.chunks_exact(x.len())).enumerate() {
            let bias = self.linear.bias.get(o).map_or(0.0, |&b| f64::from(b));
            let sum = row.iter().zip(x).fold(0.0, |sum, (&w, &x)| sum + f64::from(w) * f64::from(x));
            *out = match self.squash {
                Squash::Identity => (sum + bias) as f32,
                Squash::Tanh => libm::tanh(sum + bias) as f32,
                Squash::Gelu => gelu(sum + bias) as f32,
            };
        }
    }
}

fn gelu(x: f64) -> f64 {
    0.5 * x * (1.0 + libm::erf(x * std::f64::consts::FRAC_1_SQRT_2))
}

/// Divides a vector by its Euclidean length, in place; a shorter one than 1e-12 by that
/// (`torch.nn.functional.normalize`), so that zeros stay zeros.
pub fn normalize(vector: &mut [f32]) {
    let length = vector.iter().fold(0.0, |sum, &x| sum + f64::from(x) * f64::from(x)).sqrt().max(1e-12);
    vector.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
}

/// Cuts a vector to its first `dim` values; what was normalised before is normalised again.
///
/// This is `truncate_dim` of sentence-transformers followed by its normalisation (`normalize_embeddings`), as models
/// trained in Matryoshka's manner are used.
pub fn cut(vector: &mut Vec<f32>, dim: usize, is_normalized: bool) {
    vector.truncate(dim);
    if is_normalized {
        normalize(vector);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use compute::transformer::Matrix;

    #[test]
    fn dense_maps_and_squashes() {
        let weight = Matrix { rows: 2, columns: 3, values: vec![1.0, 2.0, 3.0, 0.5, 0.0, -0.5] };
        let mut dense = Dense { linear: Linear { weight, bias: vec![1.0, 0.0] }, squash: Squash::Identity };
        let mut out = [f32::NAN; 2];
        dense.apply(&[1.0, 1.0, 2.0], &mut out);
        assert_eq!(out, [10.0, -0.5]);
        (dense.squash, dense.linear.bias) = (Squash::Tanh, Vec::new());
        dense.apply(&[1.0, 1.0, 2.0], &mut out);
        assert_eq!(out, [9f64.tanh() as f32, (-0.5f64).tanh() as f32]);
    }

    #[test]
    fn a_cut_vector_has_length_one_again() {
        let mut vector = vec![0.6, 0.0, 0.8];
        cut(&mut vector, 2, true);
        assert_eq!(vector, [1.0, 0.0]);
        let mut vector = vec![3.0, 4.0, 5.0];
        cut(&mut vector, 2, false);
        assert_eq!(vector, [3.0, 4.0]);
        normalize(&mut vector);
        assert_eq!(vector, [0.6, 0.8]);
    }

    #[test]
    fn zeros_stay_zeros() {
        let mut vector = [0.0; 4];
        normalize(&mut vector);
        assert_eq!(vector, [0.0; 4]);
    }
}

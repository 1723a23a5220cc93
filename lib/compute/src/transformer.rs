//! A transformer encoder as data: what a model folder is read into, and what an encoder is made from.
//!
//! The description is neutral: each architecture that is read (BERT, JinaBERT v2, RoBERTa, XLM-RoBERTa, MPNet, NomicBERT, ModernBERT)
//! becomes one [`Transformer`], and the encoder knows none of their names.
//!
//! Notation: `d` hidden size, `h` heads, `e = d / h` size of one head, `f` inner size of the feed-forward part, `t` tokens of a sequence.

/// A row-major matrix in 32-bit floats.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Matrix {
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub columns: usize,
    /// `rows * columns` values, row after row.
    pub values: Vec<f32>,
}

/// An affine map as PyTorch's `nn.Linear` stores it: `y = x · weightᵀ + bias`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Linear {
    /// `(outputs, inputs)`.
    pub weight: Matrix,
    /// `outputs` values; empty: no bias.
    pub bias: Vec<f32>,
}

/// Layer normalisation over the `d` values of a token: `(x - mean) / sqrt(variance + epsilon) · weight + bias`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Norm {
    /// `d` values.
    pub weight: Vec<f32>,
    /// `d` values; empty: no bias.
    pub bias: Vec<f32>,
    /// Added to the variance.
    pub epsilon: f32,
}

/// The non-linearity of the feed-forward part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x · Φ(x)` with the error function (`gelu` of PyTorch and Hugging Face).
    Gelu,
    /// The tanh approximation (`gelu_new`, `gelu_pytorch_tanh`).
    GeluTanh,
    /// `x · sigmoid(x)` (`silu`, `swish`).
    Silu,
    /// `max(x, 0)`.
    Relu,
}

/// How attention scores learn about positions, beside any position embedding.
#[derive(Debug, Clone, PartialEq)]
pub enum Positions {
    /// Not at all.
    None,
    /// ALiBi as JinaBERT v2 has it: `score(i, j) - slope[head] · |i - j|`, one slope a head.
    Alibi(Vec<f32>),
    /// Rotary embedding of queries and keys, halves rotated against each other (not interleaved): the angle of pair `p` at
    /// position `i` is `i / theta^(2p / e)`.
    Rotary {
        /// The base of the frequencies.
        theta: f32,
    },
    /// A learned bias by distance as MPNet has it: `score(i, j) + table[bucket(j - i)][head]`, T5's bidirectional buckets.
    Relative {
        /// `(buckets, heads)`.
        table: std::sync::Arc<Matrix>,
        /// The distance from which on all share the last bucket (128).
        distance_max: usize,
    },
}

/// Where the normalisations of a block stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormPlace {
    /// `x = norm(x + part(x))`, the BERT family.
    After,
    /// `x = x + part(norm(x))`, ModernBERT.
    Before,
}

/// One block: attention, then the feed-forward part, each with its residual connection.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// `(d, d)` each.
    pub query: Linear,
    /// Keys.
    pub key: Linear,
    /// Values.
    pub value: Linear,
    /// Maps the concatenated heads back.
    pub output: Linear,
    /// Position information in the scores.
    pub positions: Positions,
    /// Token `i` sees token `j` only where `|i - j| <= window`; `None`: all see all.
    pub window: Option<usize>,
    /// Normalisation of the attention part; `None` where the architecture leaves it out (ModernBERT's first block).
    pub attention_norm: Option<Norm>,
    /// `(f, d)`: the gate. With it the feed-forward part is `down(activation(gate(x)) ⊙ up(x))`, without `down(activation(up(x)))`.
    pub gate: Option<Linear>,
    /// `(f, d)`.
    pub up: Linear,
    /// `(d, f)`.
    pub down: Linear,
    /// Normalisation of the feed-forward part.
    pub feed_forward_norm: Option<Norm>,
    /// The non-linearity.
    pub activation: Activation,
    /// Before or after the parts.
    pub norm_place: NormPlace,
}

/// A whole encoder.
#[derive(Debug, Clone, PartialEq)]
pub struct Transformer {
    /// `d`.
    pub hidden: usize,
    /// `h`; divides `d`.
    pub heads: usize,
    /// `(vocabulary, d)`, with the constant token-type row already added to every row where the architecture has one.
    pub tokens: Matrix,
    /// `(positions, d)`, row 0 for the first token of a sequence (RoBERTa's and MPNet's offset already cut off); no rows: none.
    pub positions: Matrix,
    /// After the sum of the embeddings.
    pub embedding_norm: Option<Norm>,
    /// The blocks, first to last.
    pub blocks: Vec<Block>,
    /// After the last block.
    pub final_norm: Option<Norm>,
}

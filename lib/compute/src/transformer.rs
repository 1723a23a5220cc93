//! A transformer as data: what a model folder is read into, and what an encoder or a decoder is made from.
//!
//! The description is neutral: each architecture that is read (BERT, JinaBERT v2, RoBERTa, XLM-RoBERTa, MPNet,
//! NomicBERT, ModernBERT; the causal ones) becomes one [`Transformer`], and what computes it knows none of their names.
//!
//! Notation: `d` hidden size, `h` heads, `g` heads of keys and values, `e` size of one head (of encoders `d / h`), `f`
//! inner size of the feed-forward part, `t` tokens of a sequence.

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

impl Linear {
    /// `weight[output][input]`, zero in the padding.
    pub(crate) fn weight(&self, output: usize, input: usize) -> f32 {
        let m = &self.weight;
        if output < m.rows && input < m.columns { m.values[output * m.columns + input] } else { 0.0 }
    }

    /// The bias of an output, zero where there is none.
    pub(crate) fn bias(&self, output: usize) -> f32 {
        self.bias.get(output).copied().unwrap_or(0.0)
    }

    /// # Panics
    /// Where the shapes are not these.
    pub(crate) fn check(&self, outputs: usize, inputs: usize) {
        assert_eq!((self.weight.rows, self.weight.columns), (outputs, inputs), "shape of a weight");
        assert_eq!(self.weight.values.len(), outputs * inputs, "values of a weight");
        assert!(self.bias.is_empty() || self.bias.len() == outputs, "length of a bias");
    }
}

/// What a normalisation does before weight and bias.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NormKind {
    /// `(x - mean) / sqrt(variance + epsilon)`.
    #[default]
    Layer,
    /// `x / sqrt(mean of squares + epsilon)`: RMSNorm.
    RootMeanSquare,
}

/// Normalisation over the values of a token (`d`), or of a head (`e`), then `· weight + bias`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Norm {
    /// With mean or without.
    pub kind: NormKind,
    /// As many as values.
    pub weight: Vec<f32>,
    /// As many; empty: no bias.
    pub bias: Vec<f32>,
    /// Added to the variance, or the mean of squares.
    pub epsilon: f32,
}

/// The non-linearity of the feed-forward part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Activation {
    /// `x · Φ(x)` with the error function (`gelu` of PyTorch and Hugging Face).
    #[default]
    Gelu,
    /// The tanh approximation (`gelu_new`, `gelu_pytorch_tanh`).
    GeluTanh,
    /// `x · sigmoid(x)` (`silu`, `swish`).
    Silu,
    /// `max(x, 0)`.
    Relu,
}

/// How attention scores learn about positions, beside any position embedding.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Positions {
    /// Not at all.
    #[default]
    None,
    /// ALiBi as JinaBERT v2 has it: `score(i, j) - slope[head] · |i - j|`, one slope a head.
    Alibi(Vec<f32>),
    /// Rotary embedding of queries and keys.
    Rotary(Rotary),
    /// A learned bias by distance as MPNet has it: `score(i, j) + table[bucket(j - i)][head]`, T5's bidirectional
    /// buckets.
    Relative {
        /// `(buckets, heads)`.
        table: std::sync::Arc<Matrix>,
        /// The distance from which on all share the last bucket (128).
        distance_max: usize,
    },
}

/// Rotary embedding: value `p` of a head and value `n + p` are turned against each other (halves, not interleaved) by
/// the angle `i · frequencies[p]` at position `i`, for the `n` frequencies; what lies behind the first `2 n` values of
/// a head stays.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rotary {
    /// Radians a position, `e / 2` of them at most.
    pub frequencies: Vec<f32>,
    /// Cosines and sines are multiplied with it.
    pub scale: f32,
}

impl Rotary {
    /// `theta^(-2p / size)` over `size` values, turned and not scaled.
    pub fn new(theta: f32, size: usize) -> Rotary {
        let frequency = |p: usize| (1.0 / f64::from(theta).powf((2 * p) as f64 / size as f64)) as f32;
        Rotary { frequencies: (0..size / 2).map(frequency).collect(), scale: 1.0 }
    }
}

/// Where the normalisations of a block stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NormPlace {
    /// `x = norm(x + part(x))`, the BERT family.
    #[default]
    After,
    /// `x = x + part(norm(x))`, ModernBERT.
    Before,
}

/// One block: attention, then the feed-forward part, each with its residual connection. The default is an encoder's,
/// without weights.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Block {
    /// `(h e, d)`.
    pub query: Linear,
    /// `(g e, d)`.
    pub key: Linear,
    /// `(g e, d)`.
    pub value: Linear,
    /// `(d, h e)`: maps the concatenated heads back.
    pub output: Linear,
    /// Normalises each head of the queries, before it is turned.
    pub query_norm: Option<Norm>,
    /// The same of keys.
    pub key_norm: Option<Norm>,
    /// Scores are `q · k` times this; `None`: `1 / sqrt e`.
    pub scale: Option<f32>,
    /// Scores become `cap · tanh(score / cap)`.
    pub soft_cap: Option<f32>,
    /// Position information in the scores.
    pub positions: Positions,
    /// Token `i` sees token `j` only where `|i - j| <= window`; `None`: all that the model lets it see.
    pub window: Option<usize>,
    /// Normalisation of the attention part; `None` where the architecture leaves it out (ModernBERT's first block).
    pub attention_norm: Option<Norm>,
    /// `(f, d)`: the gate. With it the feed-forward part is `down(activation(gate(x)) ⊙ up(x))`, without
    /// `down(activation(up(x)))`.
    pub gate: Option<Linear>,
    /// `(f, d)`.
    pub up: Linear,
    /// `(d, f)`.
    pub down: Linear,
    /// Normalisation of the feed-forward part.
    pub feed_forward_norm: Option<Norm>,
    /// Normalises what the attention adds to the stream (Gemma 2).
    pub attention_end_norm: Option<Norm>,
    /// Normalises what the feed-forward part adds to the stream.
    pub feed_forward_end_norm: Option<Norm>,
    /// Both parts see the same stream (GPT-NeoX): `x + attention(norm(x)) + feed_forward(other norm(x))`. Only with
    /// norms before the parts.
    pub is_parallel: bool,
    /// The non-linearity.
    pub activation: Activation,
    /// Before or after the parts.
    pub norm_place: NormPlace,
}

/// A whole model, but for what is made of its final states.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Transformer {
    /// `d`.
    pub hidden: usize,
    /// `h`.
    pub heads: usize,
    /// `g`; divides `h`: neighbouring heads of queries share one of keys and values.
    pub key_heads: usize,
    /// `e`.
    pub head_size: usize,
    /// Token `i` sees token `j` only where `j <= i`.
    pub is_causal: bool,
    /// `(vocabulary, d)`, with the constant token-type row already added to every row where the architecture has one.
    /// With a map, `(vocabulary, w)`.
    pub tokens: Matrix,
    /// `(d, w)`, without bias: makes a token's row of the stream from its own (OPT 350M).
    pub embedding_map: Option<Linear>,
    /// `(positions, d)`, row 0 for the first token of a sequence (RoBERTa's, MPNet's and OPT's offset already cut off);
    /// no rows: none.
    pub positions: Matrix,
    /// After the sum of the embeddings.
    pub embedding_norm: Option<Norm>,
    /// The blocks, first to last.
    pub blocks: Vec<Block>,
    /// After the last block.
    pub final_norm: Option<Norm>,
}

/// What a causal model makes of a final state: one number (a logit) for each token that may come next.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Head {
    /// `(w, d)`, without bias: what logits are made from is this of the final state (OPT 350M).
    pub map: Option<Linear>,
    /// `(vocabulary, d)`, or with a map `(vocabulary, w)`.
    pub linear: Linear,
    /// Logits become `cap · tanh(logit / cap)`; with it there is no bias.
    pub soft_cap: Option<f32>,
}

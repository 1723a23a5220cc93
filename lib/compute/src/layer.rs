//! A [`Block`] packed for products.

use crate::attention::{Attention, Heads};
use crate::buffer::round_up;
use crate::matmul::{Element, PANEL, Packed};
use crate::norm::{Between, Norm};
use crate::transformer::{Activation, Block, NormPlace, Positions};

/// Columns of each of gate and up that stand side by side in a panel.
pub(crate) const HALF: usize = PANEL / 2;

/// A width with its padding.
pub(crate) fn padded(width: usize) -> usize {
    round_up(width, PANEL)
}

/// A block, packed.
#[derive(Debug)]
pub(crate) struct Layer<E> {
    pub(crate) qkv: Packed<E>,
    pub(crate) attention: Attention,
    pub(crate) output: Packed<E>,
    pub(crate) attention_norm: Option<Norm>,
    pub(crate) up: Packed<E>,
    pub(crate) gated: bool,
    pub(crate) activation: Activation,
    pub(crate) down: Packed<E>,
    pub(crate) feed_forward_norm: Option<Norm>,
    pub(crate) attention_end_norm: Option<Norm>,
    pub(crate) feed_forward_end_norm: Option<Norm>,
    pub(crate) norm_place: NormPlace,
    pub(crate) is_parallel: bool,
    /// Added to the stream by the pass before the attention, and by the one between the parts.
    pub(crate) bias_before: Vec<f32>,
    pub(crate) bias_between: Vec<f32>,
}

impl<E: Element> Layer<E> {
    pub(crate) fn new(block: &Block, d: usize, heads: Heads, is_causal: bool) -> Layer<E> {
        let f = block.up.weight.rows;
        check_block(block, d, f, heads);
        let norm = |norm: &Option<_>| norm.as_ref().map(|n| Norm::new(n, padded(d)));
        let head_norm = |norm: &Option<_>| norm.as_ref().map(|n| Norm::new(n, heads.width()));
        let output: Packed<E> = pack_output(block, d, heads);
        let down = Packed::new(f, d, |k, n| block.down.weight(n, k), |n| block.down.bias(n));
        let both = output.bias.iter().zip(&down.bias).map(|(a, b)| a + b);
        let (bias_before, bias_between) = match block.is_parallel {
            true => (Vec::new(), both.collect()),
            false => (output.bias.clone(), down.bias.clone()),
        };
        Layer {
            qkv: pack_qkv(block, d, heads),
            attention: Attention {
                heads,
                is_causal,
                query_norm: head_norm(&block.query_norm),
                key_norm: head_norm(&block.key_norm),
                scale: block.scale.unwrap_or(1.0 / (heads.size as f32).sqrt()),
                soft_cap: block.soft_cap,
                positions: block.positions.clone(),
                window: block.window,
            },
            output,
            attention_norm: norm(&block.attention_norm),
            up: pack_up(block, d, f),
            gated: block.gate.is_some(),
            activation: block.activation,
            down,
            feed_forward_norm: norm(&block.feed_forward_norm),
            attention_end_norm: norm(&block.attention_end_norm),
            feed_forward_end_norm: norm(&block.feed_forward_end_norm),
            norm_place: block.norm_place,
            is_parallel: block.is_parallel,
            bias_before,
            bias_between,
        }
    }

    /// The normalisation of what the attention sees, where it stands before.
    fn norm_before_attention(&self) -> Option<&Norm> {
        self.attention_norm.as_ref().filter(|_| self.norm_place == NormPlace::Before)
    }

    /// The pass between attention and feed-forward part.
    pub(crate) fn between_parts(&self) -> Between<'_> {
        let after = self.norm_place == NormPlace::After;
        Between {
            stream: self.attention_norm.as_ref().filter(|_| after),
            seen: self.feed_forward_norm.as_ref().filter(|_| !after),
            bias: &self.bias_between,
        }
    }

    /// The pass that ends this block and prepares the `next`.
    pub(crate) fn end<'a>(&'a self, next: Option<&'a Layer<E>>) -> Between<'a> {
        let after = self.norm_place == NormPlace::After;
        Between { stream: self.feed_forward_norm.as_ref().filter(|_| after), ..start(next) }
    }
}

/// The part of a pass that prepares a block.
pub(crate) fn start<E: Element>(next: Option<&Layer<E>>) -> Between<'_> {
    Between {
        stream: None,
        seen: next.and_then(Layer::norm_before_attention),
        bias: next.map_or(&[], |next| &next.bias_before),
    }
}

/// The shapes of a block, and what does not go together.
fn check_block(block: &Block, d: usize, f: usize, heads: Heads) {
    let (queries, keys) = (heads.count * heads.size, heads.key_count * heads.size);
    block.query.check(queries, d);
    block.key.check(keys, d);
    block.value.check(keys, d);
    block.output.check(d, queries);
    block.up.check(f, d);
    block.down.check(d, f);
    block.gate.iter().for_each(|gate| gate.check(f, d));
    // Biases are in the stream before the part's sum is.
    assert!(block.attention_end_norm.is_none() || block.output.bias.is_empty(), "no bias before an end norm");
    assert!(block.feed_forward_end_norm.is_none() || block.down.bias.is_empty(), "no bias before an end norm");
    assert!(!block.is_parallel || block.norm_place == NormPlace::Before, "parallel parts have their norms before");
    if let Positions::Rotary(rotary) = &block.positions {
        assert!(2 * rotary.frequencies.len() <= heads.size, "frequencies of a head");
    }
}

/// Queries, keys and values side by side, each head padded.
fn pack_qkv<E: Element>(block: &Block, d: usize, heads: Heads) -> Packed<E> {
    let (width, columns, key_columns) = (heads.width(), heads.columns(), heads.key_columns());
    let place = |n: usize| {
        let (linear, first) = match n {
            _ if n < columns => (&block.query, 0),
            _ if n < columns + key_columns => (&block.key, columns),
            _ => (&block.value, columns + key_columns),
        };
        let (head, inside) = ((n - first) / width, n % width);
        (inside < heads.size).then_some((linear, head * heads.size + inside))
    };
    let value = |k, n| place(n).map_or(0.0, |(linear, output)| linear.weight(output, k));
    Packed::new(d, columns + 2 * key_columns, value, |n| place(n).map_or(0.0, |(linear, output)| linear.bias(output)))
}

/// The map from padded heads back.
fn pack_output<E: Element>(block: &Block, d: usize, heads: Heads) -> Packed<E> {
    let width = heads.width();
    let value = |k: usize, n| {
        let (head, inside) = (k / width, k % width);
        if inside < heads.size { block.output.weight(n, head * heads.size + inside) } else { 0.0 }
    };
    Packed::new(heads.columns(), d, value, |n| block.output.bias(n))
}

/// `up`, or sixteen columns of `gate` and the same of `up` in turn.
fn pack_up<E: Element>(block: &Block, d: usize, f: usize) -> Packed<E> {
    let Some(gate) = &block.gate else {
        return Packed::new(d, f, |k, n| block.up.weight(n, k), |n| block.up.bias(n));
    };
    let place = |n: usize| {
        let linear = if n % PANEL < HALF { gate } else { &block.up };
        (linear, n / PANEL * HALF + n % HALF)
    };
    let value = |k, n| {
        let (linear, output) = place(n);
        linear.weight(output, k)
    };
    let bias = |n| {
        let (linear, output) = place(n);
        linear.bias(output)
    };
    Packed::new(d, 2 * padded(f), value, bias)
}

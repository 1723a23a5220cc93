//! GPT-NeoX (Pythia): rotary positions on a part of a head, attention and feed-forward part side by side, queries, keys
//! and values in one tensor head by head.

use super::rotary::rotary;
use super::{Blocks, Parts, Sizes, head, of_matrix};
use crate::Error;
use crate::architecture::activation;
use crate::json::Settings;
use crate::weights::Weights;
use compute::transformer::{Activation, Block, Linear, Matrix, NormPlace, Positions, Rotary, Transformer};

struct Shape {
    epsilon: f32,
    activation: Activation,
    rotary: Rotary,
    has_bias: bool,
    is_parallel: bool,
}

pub(super) fn read(config: &Settings, mut weights: Weights) -> Result<Parts, Error> {
    let sizes = Sizes::read(config, config.count(&["intermediate_size"])?)?;
    sizes.refuse_other_heads(config)?;
    let d = sizes.hidden;
    let shape = Shape {
        epsilon: config.number_or(&["layer_norm_eps"], 1e-5)? as f32,
        activation: activation(config, &["hidden_act"], "gelu")?,
        rotary: rotary(config, sizes.head_size, 0.25)?,
        has_bias: config.flag_or(&["attention_bias"], true)?,
        is_parallel: config.flag_or(&["use_parallel_residual"], true)?,
    };
    let own = head(config, &weights, "embed_out.weight", &sizes, false)?;
    weights.settle_prefix("embed_in.weight", &["gpt_neox.", ""])?;
    let tokens = weights.matrix("embed_in.weight", sizes.vocabulary, d)?;
    let head = of_matrix(own, &tokens);
    let transformer = Transformer {
        hidden: d,
        heads: sizes.heads,
        key_heads: sizes.heads,
        head_size: sizes.head_size,
        is_causal: true,
        tokens,
        positions: Matrix::default(),
        embedding_norm: None,
        blocks: Vec::new(),
        embedding_map: None,
        final_norm: Some(weights.norm("final_layer_norm", d, shape.epsilon, true)?),
    };
    let blocks = Blocks::new(sizes.layers, move |i| block(&weights, i, &sizes, &shape));
    Ok((transformer, head, blocks))
}

fn block(w: &Weights, i: usize, sizes: &Sizes, shape: &Shape) -> Result<Block, Error> {
    let (d, f) = (sizes.hidden, sizes.inner);
    let at = |part: &str| format!("layers.{i}.{part}");
    let [query, key, value] =
        heads_apart(&w.linear(&at("attention.query_key_value"), 3 * d, d, shape.has_bias)?, sizes);
    Ok(Block {
        query,
        key,
        value,
        output: w.linear(&at("attention.dense"), d, d, shape.has_bias)?,
        positions: Positions::Rotary(shape.rotary.clone()),
        attention_norm: Some(w.norm(&at("input_layernorm"), d, shape.epsilon, true)?),
        up: w.linear(&at("mlp.dense_h_to_4h"), f, d, true)?,
        down: w.linear(&at("mlp.dense_4h_to_h"), d, f, true)?,
        feed_forward_norm: Some(w.norm(&at("post_attention_layernorm"), d, shape.epsilon, true)?),
        is_parallel: shape.is_parallel,
        activation: shape.activation,
        norm_place: NormPlace::Before,
        ..Block::default()
    })
}

/// Queries, keys and values out of a map whose outputs are those three of the first head, then of the second, and so
/// on.
fn heads_apart(whole: &Linear, sizes: &Sizes) -> [Linear; 3] {
    let (d, e) = (sizes.hidden, sizes.head_size);
    let rows = |part: usize| (0..d).map(move |o| o / e * 3 * e + part * e + o % e);
    std::array::from_fn(|part| {
        let values = rows(part).flat_map(|row| whole.weight.values[row * d..][..d].to_vec()).collect();
        let bias = rows(part).filter_map(|row| whole.bias.get(row).copied()).collect();
        Linear { weight: Matrix { rows: d, columns: d, values }, bias }
    })
}

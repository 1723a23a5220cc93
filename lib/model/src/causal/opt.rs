//! OPT: absolute positions from row 2 of their table on, norms before the parts or (350m) behind them, tokens as wide
//! as the stream or (350m) mapped to it and back.

use super::{Blocks, Parts, Sizes, head, of_matrix};
use crate::Error;
use crate::architecture::activation;
use crate::json::Settings;
use crate::weights::Weights;
use compute::transformer::{Activation, Block, Head, Matrix, NormPlace, Transformer};
use serde_json::json;

/// PyTorch's default, which the configuration cannot change.
const EPSILON: f32 = 1e-5;

/// Rows of the position table before that of the first token.
const OFFSET: usize = 2;

struct Shape {
    activation: Activation,
    has_bias: bool,
    norm_place: NormPlace,
}

pub(super) fn read(config: &Settings, mut weights: Weights) -> Result<Parts, Error> {
    let sizes = Sizes::read(config, config.count(&["ffn_dim"])?)?;
    sizes.refuse_other_heads(config)?;
    let d = sizes.hidden;
    let width = config.count_if_there(&["word_embed_proj_dim"])?.unwrap_or(d);
    config.refuse_unless(&["layer_norm_elementwise_affine"], &json!(true))?;
    let is_before = config.flag_or(&["do_layer_norm_before"], true)?;
    let shape = Shape {
        activation: activation(config, &["activation_function"], "relu")?,
        has_bias: config.flag_or(&["enable_bias"], true)?,
        norm_place: if is_before { NormPlace::Before } else { NormPlace::After },
    };
    // The head's columns are the tokens'.
    let own = head(config, &weights, "lm_head.weight", &Sizes { hidden: width, ..sizes }, true)?;
    weights.settle_prefix("embed_tokens.weight", &["model.decoder.", "decoder."])?;
    let tokens = weights.matrix("embed_tokens.weight", sizes.vocabulary, width)?;
    let map = |name, outputs, inputs| (width != d).then(|| weights.linear(name, outputs, inputs, false)).transpose();
    let embedding_map = map("project_in", d, width)?;
    let positions = config.count(&["max_position_embeddings"])?;
    let mut table = weights.matrix("embed_positions.weight", positions + OFFSET, d)?.values;
    let has_final_norm = is_before && !config.flag_or(&["_remove_final_layer_norm"], false)?;
    let final_norm = has_final_norm.then(|| weights.norm("final_layer_norm", d, EPSILON, true)).transpose()?;
    let head = Head { map: map("project_out", width, d)?, ..of_matrix(own, &tokens) };
    let transformer = Transformer {
        hidden: d,
        heads: sizes.heads,
        key_heads: sizes.heads,
        head_size: sizes.head_size,
        is_causal: true,
        tokens,
        positions: Matrix { rows: positions, columns: d, values: table.split_off(OFFSET * d) },
        embedding_map,
        embedding_norm: None,
        blocks: Vec::new(),
        final_norm,
    };
    let blocks = Blocks::new(sizes.layers, move |i| block(&weights, i, &sizes, &shape));
    Ok((transformer, head, blocks))
}

fn block(w: &Weights, i: usize, sizes: &Sizes, shape: &Shape) -> Result<Block, Error> {
    let (d, f, bias) = (sizes.hidden, sizes.inner, shape.has_bias);
    let at = |part: &str| format!("layers.{i}.{part}");
    Ok(Block {
        query: w.linear(&at("self_attn.q_proj"), d, d, bias)?,
        key: w.linear(&at("self_attn.k_proj"), d, d, bias)?,
        value: w.linear(&at("self_attn.v_proj"), d, d, bias)?,
        output: w.linear(&at("self_attn.out_proj"), d, d, bias)?,
        attention_norm: Some(w.norm(&at("self_attn_layer_norm"), d, EPSILON, true)?),
        up: w.linear(&at("fc1"), f, d, bias)?,
        down: w.linear(&at("fc2"), d, f, bias)?,
        feed_forward_norm: Some(w.norm(&at("final_layer_norm"), d, EPSILON, true)?),
        activation: shape.activation,
        norm_place: shape.norm_place,
        ..Block::default()
    })
}

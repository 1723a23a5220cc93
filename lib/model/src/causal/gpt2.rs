//! GPT-2: absolute positions, norms before the parts, weights stored turned.

use super::{Blocks, Parts, Sizes, head, of_matrix};
use crate::Error;
use crate::architecture::activation;
use crate::json::Settings;
use crate::weights::{Weights, split};
use compute::transformer::{Activation, Block, NormPlace, Transformer};
use serde_json::json;

struct Shape {
    epsilon: f32,
    activation: Activation,
    /// Whether scores are divided by the root of the head's size.
    is_scaled: bool,
    /// Whether they are divided by the number of the block, too.
    is_scaled_by_block: bool,
}

pub(super) fn read(config: &Settings, mut weights: Weights) -> Result<Parts, Error> {
    config.refuse_unless(&["add_cross_attention"], &json!(false))?;
    let mut sizes = Sizes::read(config, 0)?;
    sizes.refuse_other_heads(config)?;
    sizes.inner = config.count_if_there(&["n_inner"])?.unwrap_or(4 * sizes.hidden);
    let d = sizes.hidden;
    let shape = Shape {
        epsilon: config.number_or(&["layer_norm_epsilon"], 1e-5)? as f32,
        activation: activation(config, &["activation_function"], "gelu_new")?,
        is_scaled: config.flag_or(&["scale_attn_weights"], true)?,
        is_scaled_by_block: config.flag_or(&["scale_attn_by_inverse_layer_idx"], false)?,
    };
    let own = head(config, &weights, "lm_head.weight", &sizes, true)?;
    weights.settle_prefix("wte.weight", &["transformer.", ""])?;
    let tokens = weights.matrix("wte.weight", sizes.vocabulary, d)?;
    let positions = config.count(&["n_positions", "max_position_embeddings"])?;
    let head = of_matrix(own, &tokens);
    let transformer = Transformer {
        hidden: d,
        heads: sizes.heads,
        key_heads: sizes.heads,
        head_size: sizes.head_size,
        is_causal: true,
        tokens,
        positions: weights.matrix("wpe.weight", positions, d)?,
        embedding_norm: None,
        blocks: Vec::new(),
        embedding_map: None,
        final_norm: Some(weights.norm("ln_f", d, shape.epsilon, true)?),
    };
    let blocks = Blocks::new(sizes.layers, move |i| block(&weights, i, &sizes, &shape));
    Ok((transformer, head, blocks))
}

fn block(w: &Weights, i: usize, sizes: &Sizes, shape: &Shape) -> Result<Block, Error> {
    let (d, f) = (sizes.hidden, sizes.inner);
    let at = |part: &str| format!("h.{i}.{part}");
    let [query, key, value] = split(&w.turned(&at("attn.c_attn"), 3 * d, d)?);
    let root = if shape.is_scaled { (sizes.head_size as f32).sqrt() } else { 1.0 };
    let number = if shape.is_scaled_by_block { (i + 1) as f32 } else { 1.0 };
    Ok(Block {
        query,
        key,
        value,
        output: w.turned(&at("attn.c_proj"), d, d)?,
        scale: Some(1.0 / (root * number)),
        attention_norm: Some(w.norm(&at("ln_1"), d, shape.epsilon, true)?),
        up: w.turned(&at("mlp.c_fc"), f, d)?,
        down: w.turned(&at("mlp.c_proj"), d, f)?,
        feed_forward_norm: Some(w.norm(&at("ln_2"), d, shape.epsilon, true)?),
        activation: shape.activation,
        norm_place: NormPlace::Before,
        ..Block::default()
    })
}

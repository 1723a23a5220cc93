//! ModernBERT: normalisation before each part, rotary positions with two bases, local attention in most blocks.

use super::{Encoder, Sizes, activation, refuse_odd_heads};
use crate::Error;
use crate::json::Settings;
use crate::weights::Weights;
use compute::transformer::{Activation, Block, Matrix, NormPlace, Positions, Rotary, Transformer};
use serde_json::json;

struct Shape {
    epsilon: f32,
    norm_bias: bool,
    attention_bias: bool,
    inner_bias: bool,
    activation: Activation,
    theta_global: f32,
    theta_local: f32,
    window: usize,
    /// One a block.
    is_local: Vec<bool>,
}

pub(super) fn read(config: &Settings, weights: &mut Weights) -> Result<Encoder, Error> {
    let sizes = Sizes::read(config)?;
    refuse_odd_heads(config, &sizes)?;
    let d = sizes.hidden;
    let shape = shape(config, sizes.layers)?;
    weights.settle_prefix("embeddings.tok_embeddings.weight", &["", "model."])?;
    let norm = |name: &str| weights.norm(name, d, shape.epsilon, shape.norm_bias);
    let transformer = Transformer {
        hidden: d,
        heads: sizes.heads,
        key_heads: sizes.heads,
        head_size: d / sizes.heads,
        is_causal: false,
        tokens: weights.matrix("embeddings.tok_embeddings.weight", sizes.vocabulary, d)?,
        positions: Matrix::default(),
        embedding_norm: Some(norm("embeddings.norm")?),
        blocks: (0..sizes.layers).map(|i| block(weights, i, &sizes, &shape)).collect::<Result<_, _>>()?,
        embedding_map: None,
        final_norm: Some(norm("final_norm")?),
    };
    Ok(Encoder { transformer, length_max: config.count(&["max_position_embeddings"])? })
}

fn shape(config: &Settings, layers: usize) -> Result<Shape, Error> {
    for name in ["rope_parameters.full_attention.rope_type", "rope_parameters.sliding_attention.rope_type"] {
        config.refuse_unless(&[name], &json!("default"))?;
    }
    config.refuse_unless(&["rope_scaling"], &json!(null))?;
    let global = ["rope_parameters.full_attention.rope_theta", "global_rope_theta"];
    let local = ["rope_parameters.sliding_attention.rope_theta", "local_rope_theta"];
    Ok(Shape {
        epsilon: config.number_or(&["norm_eps"], 1e-5)? as f32,
        norm_bias: config.flag_or(&["norm_bias"], false)?,
        attention_bias: config.flag_or(&["attention_bias"], false)?,
        inner_bias: config.flag_or(&["mlp_bias"], false)?,
        activation: activation(config, &["hidden_activation"], "gelu")?,
        theta_global: config.number_or(&global, 160_000.0)? as f32,
        theta_local: config.number_or(&local, 10_000.0)? as f32,
        window: config.count_if_there(&["local_attention"])?.unwrap_or(128) / 2,
        is_local: is_local(config, layers)?,
    })
}

/// Which blocks look only near: as `layer_types` says, else all but every n-th.
fn is_local(config: &Settings, layers: usize) -> Result<Vec<bool>, Error> {
    let Some(types) = config.get(&["layer_types"]) else {
        let every = config.count_if_there(&["global_attn_every_n_layers"])?.unwrap_or(3);
        return Ok((0..layers).map(|i| !i.is_multiple_of(every)).collect());
    };
    let types = types.as_array().map(Vec::as_slice).unwrap_or_default();
    if types.len() != layers {
        return Err(config.error(format!("layer_types: expected {layers}, found {}", types.len())));
    }
    let local = |kind: &serde_json::Value| match kind.as_str() {
        Some("sliding_attention") => Ok(true),
        Some("full_attention") => Ok(false),
        _ => Err(config.error(format!("layer_types: {kind} is not known"))),
    };
    types.iter().map(local).collect()
}

fn block(w: &Weights, i: usize, sizes: &Sizes, shape: &Shape) -> Result<Block, Error> {
    let (d, f) = (sizes.hidden, sizes.inner);
    let at = |part: &str| format!("layers.{i}.{part}");
    let norm = |name: &str| w.norm(&at(name), d, shape.epsilon, shape.norm_bias);
    let [query, key, value] = w.fused(&at("attn.Wqkv"), d, d, shape.attention_bias)?;
    let [gate, up] = w.fused(&at("mlp.Wi"), f, d, shape.inner_bias)?;
    let is_local = shape.is_local[i];
    Ok(Block {
        query,
        key,
        value,
        output: w.linear(&at("attn.Wo"), d, d, shape.attention_bias)?,
        positions: Positions::Rotary(Rotary::new(
            if is_local { shape.theta_local } else { shape.theta_global },
            d / sizes.heads,
        )),
        window: is_local.then_some(shape.window),
        // The embeddings are already normalised.
        attention_norm: if i == 0 { None } else { Some(norm("attn_norm")?) },
        gate: Some(gate),
        up,
        down: w.linear(&at("mlp.Wo"), d, f, shape.inner_bias)?,
        feed_forward_norm: Some(norm("mlp_norm")?),
        activation: shape.activation,
        norm_place: NormPlace::Before,
        ..Block::default()
    })
}

//! NomicBERT: rotary positions, gated feed-forward part, queries, keys and values in one tensor, mostly no biases.
//!
//! Both configurations are read: the original's (`n_embd`, `rotary_emb_base`, `activation_function`) and that of
//! transformers 5 (`hidden_size`, `rope_parameters`, `hidden_act`). The tensors have the original's names in both.

use super::{Encoder, Sizes, activation, add_token_type, refuse_odd_heads};
use crate::Error;
use crate::json::Settings;
use crate::weights::Weights;
use compute::transformer::{Activation, Block, Matrix, NormPlace, Positions, Rotary, Transformer};
use serde_json::json;

struct Shape {
    epsilon: f32,
    theta: f32,
    activation: Activation,
    projection_bias: bool,
    inner_bias: bool,
    down_bias: bool,
}

pub(super) fn read(config: &Settings, weights: &mut Weights) -> Result<Encoder, Error> {
    refuse_variants(config)?;
    let mut sizes = Sizes::read(config)?;
    refuse_odd_heads(config, &sizes)?;
    let d = sizes.hidden;
    let shape = shape(config)?;
    weights.settle_prefix("embeddings.word_embeddings.weight", &["", "bert.", "nomic_bert.", "model."])?;
    // The original rounds the inner size up to a multiple of 256, transformers does not: the first tensor tells.
    let rounded = sizes.inner.next_multiple_of(256);
    if weights.shape("encoder.layers.0.mlp.fc11.weight").is_some_and(|found| found == [rounded, d]) {
        sizes.inner = rounded;
    }
    let mut tokens = weights.matrix("embeddings.word_embeddings.weight", sizes.vocabulary, d)?;
    if let Some(types) = token_types(config)? {
        add_token_type(&mut tokens, &weights.matrix("embeddings.token_type_embeddings.weight", types, d)?);
    }
    let transformer = Transformer {
        hidden: d,
        heads: sizes.heads,
        key_heads: sizes.heads,
        head_size: d / sizes.heads,
        is_causal: false,
        tokens,
        positions: Matrix::default(),
        embedding_norm: Some(weights.norm("emb_ln", d, shape.epsilon, true)?),
        blocks: (0..sizes.layers).map(|i| block(weights, i, &sizes, &shape)).collect::<Result<_, _>>()?,
        embedding_map: None,
        final_norm: None,
    };
    Ok(Encoder { transformer, length_max: config.count(&["max_position_embeddings", "n_positions"])? })
}

/// `None` for a size of 0, which the original allows.
fn token_types(config: &Settings) -> Result<Option<usize>, Error> {
    match config.get(&["type_vocab_size"]).and_then(|n| n.as_u64()) {
        Some(0) => Ok(None),
        _ => config.count_if_there(&["type_vocab_size"]),
    }
}

/// The original's configuration can say much that no published model of this description does.
fn refuse_variants(config: &Settings) -> Result<(), Error> {
    for (name, only) in [
        ("prenorm", json!(false)),
        ("causal", json!(false)),
        ("use_rms_norm", json!(false)),
        ("rotary_emb_fraction", json!(1.0)),
        ("rotary_emb_interleaved", json!(false)),
        ("rotary_emb_scale_base", json!(null)),
        ("rotary_scaling_factor", json!(null)),
        ("rope_scaling", json!(null)),
        ("rope_parameters.rope_type", json!("default")),
        ("parallel_block", json!(false)),
        ("moe_every_n_layers", json!(0)),
        ("num_experts", json!(0)),
    ] {
        config.refuse_unless(&[name], &only)?;
    }
    match config.count_if_there(&["num_heads_kv"])? {
        Some(heads) if heads != config.count(&["n_head", "num_attention_heads"])? => {
            Err(config.error(format!("num_heads_kv: {heads} is not supported, only as many as n_head")))
        }
        _ => Ok(()),
    }
}

fn shape(config: &Settings) -> Result<Shape, Error> {
    let is_original = config.get(&["n_embd"]).is_some();
    let activation = match config.text(&["activation_function"])? {
        Some("swiglu") => Activation::Silu,
        Some("geglu") => Activation::Gelu,
        Some(other) => {
            return Err(config.error(format!("activation_function: {other:?} is not supported, only swiglu and geglu")));
        }
        None => activation(config, &["hidden_act"], "silu")?,
    };
    let theta = if is_original { 10_000.0 } else { 1_000.0 };
    Ok(Shape {
        epsilon: config.number_or(&["layer_norm_epsilon", "layer_norm_eps"], 1e-12)? as f32,
        theta: config.number_or(&["rotary_emb_base", "rope_parameters.rope_theta", "rope_theta"], theta)? as f32,
        activation,
        projection_bias: config.flag_or(&["qkv_proj_bias"], is_original)?,
        inner_bias: config.flag_or(&["mlp_fc1_bias"], is_original)?,
        down_bias: config.flag_or(&["mlp_fc2_bias"], is_original)?,
    })
}

fn block(w: &Weights, i: usize, sizes: &Sizes, shape: &Shape) -> Result<Block, Error> {
    let (d, f) = (sizes.hidden, sizes.inner);
    let at = |part: &str| format!("encoder.layers.{i}.{part}");
    let [query, key, value] = w.fused(&at("attn.Wqkv"), d, d, shape.projection_bias)?;
    Ok(Block {
        query,
        key,
        value,
        output: w.linear(&at("attn.out_proj"), d, d, shape.projection_bias)?,
        positions: Positions::Rotary(Rotary::new(shape.theta, d / sizes.heads)),
        window: None,
        attention_norm: Some(w.norm(&at("norm1"), d, shape.epsilon, true)?),
        gate: Some(w.linear(&at("mlp.fc12"), f, d, shape.inner_bias)?),
        up: w.linear(&at("mlp.fc11"), f, d, shape.inner_bias)?,
        down: w.linear(&at("mlp.fc2"), d, f, shape.down_bias)?,
        feed_forward_norm: Some(w.norm(&at("norm2"), d, shape.epsilon, true)?),
        activation: shape.activation,
        norm_place: NormPlace::After,
        ..Block::default()
    })
}

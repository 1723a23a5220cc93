//! JinaBERT v2: BERT with ALiBi instead of a position table, and a gated feed-forward part.
//!
//! (jinaai/jina-bert-implementation. Its sibling for code, with normalised queries and keys and other tensor names, is
//! refused by the first tensor that is missing.)

use super::{Encoder, Sizes, add_token_type};
use crate::Error;
use crate::json::Settings;
use crate::weights::Weights;
use compute::transformer::{Activation, Block, Matrix, NormPlace, Positions, Transformer};
use serde_json::json;

pub(super) fn read(config: &Settings, weights: &mut Weights) -> Result<Encoder, Error> {
    if config.text(&["position_embedding_type"])? != Some("alibi") {
        return Err(config.error("position_embedding_type: only \"alibi\" is supported for JinaBert"));
    }
    let sizes = Sizes::read(config)?;
    let d = sizes.hidden;
    let epsilon = config.number_or(&["layer_norm_eps"], 1e-12)? as f32;
    let activation = activation(config)?;
    weights.settle_prefix("embeddings.word_embeddings.weight", &["", "bert.", "model."])?;
    let mut tokens = weights.matrix("embeddings.word_embeddings.weight", sizes.vocabulary, d)?;
    let types = config.count_if_there(&["type_vocab_size"])?.unwrap_or(2);
    add_token_type(&mut tokens, &weights.matrix("embeddings.token_type_embeddings.weight", types, d)?);
    let slopes = slopes(sizes.heads);
    let block = |i| block(weights, i, &sizes, epsilon, activation, &slopes);
    let transformer = Transformer {
        hidden: d,
        heads: sizes.heads,
        key_heads: sizes.heads,
        head_size: d / sizes.heads,
        is_causal: false,
        tokens,
        positions: Matrix::default(),
        embedding_norm: Some(weights.norm("embeddings.LayerNorm", d, epsilon, true)?),
        blocks: (0..sizes.layers).map(block).collect::<Result<_, _>>()?,
        embedding_map: None,
        final_norm: None,
    };
    Ok(Encoder { transformer, length_max: config.count(&["max_position_embeddings"])? })
}

fn activation(config: &Settings) -> Result<Activation, Error> {
    match config.text(&["feed_forward_type"])?.unwrap_or("original") {
        "geglu" => Ok(Activation::Gelu),
        "reglu" => Ok(Activation::Relu),
        other => {
            Err(config.error(format!("feed_forward_type: {} is not supported, only geglu and reglu", json!(other))))
        }
    }
}

/// ALiBi's slopes (Press et al. 2022, and the authors' code for head counts that are no power of two): for `n = 2^k`
/// heads `2^(-8 i / n)`, `i` from 1; otherwise those of the next smaller power, then every other one of the next
/// larger.
fn slopes(heads: usize) -> Vec<f32> {
    let power = |n: usize| (1..=n).map(move |i| libm::exp2(-8.0 * i as f64 / n as f64) as f32);
    if heads.is_power_of_two() {
        return power(heads).collect();
    }
    let smaller = heads.next_power_of_two() / 2;
    power(smaller).chain(power(2 * smaller).step_by(2)).take(heads).collect()
}

fn block(
    w: &Weights,
    i: usize,
    sizes: &Sizes,
    eps: f32,
    activation: Activation,
    slopes: &[f32],
) -> Result<Block, Error> {
    let (d, f) = (sizes.hidden, sizes.inner);
    let at = |part: &str| format!("encoder.layer.{i}.{part}");
    let [gate, up] = w.fused(&at("mlp.gated_layers"), f, d, false)?;
    Ok(Block {
        query: w.linear(&at("attention.self.query"), d, d, true)?,
        key: w.linear(&at("attention.self.key"), d, d, true)?,
        value: w.linear(&at("attention.self.value"), d, d, true)?,
        output: w.linear(&at("attention.output.dense"), d, d, true)?,
        positions: Positions::Alibi(slopes.to_vec()),
        window: None,
        attention_norm: Some(w.norm(&at("attention.output.LayerNorm"), d, eps, true)?),
        gate: Some(gate),
        up,
        down: w.linear(&at("mlp.wo"), d, f, true)?,
        feed_forward_norm: Some(w.norm(&at("mlp.layernorm"), d, eps, true)?),
        activation,
        norm_place: NormPlace::After,
        ..Block::default()
    })
}

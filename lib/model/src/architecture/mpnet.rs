//! MPNet: BERT with a learned bias by distance, shared by all blocks, and positions that begin at 2.

use super::{Encoder, Sizes, activation, bert};
use crate::Error;
use crate::json::Settings;
use crate::weights::Weights;
use compute::transformer::{Activation, Block, NormPlace, Positions, Transformer};
use std::sync::Arc;

/// Fixed in the reference's code: the padding token's position is 1, whatever the configuration says.
const OFFSET: usize = 2;
/// Likewise: the distance from which on all share a bucket, and the number of buckets that positions are put into.
const DISTANCE_MAX: usize = 128;
const BUCKETS: usize = 32;

pub(super) fn read(config: &Settings, weights: &mut Weights) -> Result<Encoder, Error> {
    config.refuse_unless(&["relative_attention_num_buckets"], &serde_json::json!(BUCKETS))?;
    let sizes = Sizes::read(config)?;
    let d = sizes.hidden;
    let epsilon = config.number_or(&["layer_norm_eps"], 1e-12)? as f32;
    weights.settle_prefix("embeddings.word_embeddings.weight", &["", "mpnet.", "model."])?;
    let rows = config.count(&["max_position_embeddings"])?;
    let table = weights.matrix("embeddings.position_embeddings.weight", rows, d)?;
    let (positions, length_max) = bert::cut_offset(config, table, OFFSET)?;
    let bias = Arc::new(weights.matrix("encoder.relative_attention_bias.weight", BUCKETS, sizes.heads)?);
    let by_distance = Positions::Relative { table: bias, distance_max: DISTANCE_MAX };
    let activation = activation(config, &["hidden_act"], "gelu")?;
    let block = |i| block(weights, i, &sizes, epsilon, activation, &by_distance);
    let transformer = Transformer {
        hidden: d,
        heads: sizes.heads,
        key_heads: sizes.heads,
        head_size: d / sizes.heads,
        is_causal: false,
        tokens: weights.matrix("embeddings.word_embeddings.weight", sizes.vocabulary, d)?,
        positions,
        embedding_norm: Some(weights.norm("embeddings.LayerNorm", d, epsilon, true)?),
        blocks: (0..sizes.layers).map(block).collect::<Result<_, _>>()?,
        embedding_map: None,
        final_norm: None,
    };
    Ok(Encoder { transformer, length_max })
}

fn block(
    w: &Weights,
    i: usize,
    sizes: &Sizes,
    eps: f32,
    activation: Activation,
    positions: &Positions,
) -> Result<Block, Error> {
    let (d, f) = (sizes.hidden, sizes.inner);
    let at = |part: &str| format!("encoder.layer.{i}.{part}");
    Ok(Block {
        query: w.linear(&at("attention.attn.q"), d, d, true)?,
        key: w.linear(&at("attention.attn.k"), d, d, true)?,
        value: w.linear(&at("attention.attn.v"), d, d, true)?,
        output: w.linear(&at("attention.attn.o"), d, d, true)?,
        positions: positions.clone(),
        window: None,
        attention_norm: Some(w.norm(&at("attention.LayerNorm"), d, eps, true)?),
        gate: None,
        up: w.linear(&at("intermediate.dense"), f, d, true)?,
        down: w.linear(&at("output.dense"), d, f, true)?,
        feed_forward_norm: Some(w.norm(&at("output.LayerNorm"), d, eps, true)?),
        activation,
        norm_place: NormPlace::After,
        ..Block::default()
    })
}

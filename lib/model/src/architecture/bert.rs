//! BERT, RoBERTa and XLM-RoBERTa: absolute positions, plain feed-forward part, normalisation after each part.

use super::{Encoder, Sizes, activation, add_token_type};
use crate::Error;
use crate::json::Settings;
use crate::weights::Weights;
use compute::transformer::{Activation, Block, Matrix, NormPlace, Positions, Transformer};
use serde_json::json;

/// What tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The first token has position 0.
    Bert,
    /// The first token has the position behind the padding token's id. (A padding token *inside* a text, which the
    /// reference skips in counting, counts here as any other.)
    Roberta,
}

pub(super) fn read(config: &Settings, weights: &mut Weights, kind: Kind) -> Result<Encoder, Error> {
    config.refuse_unless(&["position_embedding_type"], &json!("absolute"))?;
    let sizes = Sizes::read(config)?;
    let d = sizes.hidden;
    let epsilon = config.number_or(&["layer_norm_eps"], 1e-12)? as f32;
    weights.settle_prefix("embeddings.word_embeddings.weight", &["", "bert.", "roberta.", "model."])?;
    let (positions, length_max) = positions(config, weights, d, kind)?;
    let mut tokens = weights.matrix("embeddings.word_embeddings.weight", sizes.vocabulary, d)?;
    if let Some(types) = config.count_if_there(&["type_vocab_size"])? {
        add_token_type(&mut tokens, &weights.matrix("embeddings.token_type_embeddings.weight", types, d)?);
    }
    let activation = activation(config, &["hidden_act"], "gelu")?;
    let block = |i| block(weights, i, &sizes, epsilon, activation);
    let transformer = Transformer {
        hidden: d,
        heads: sizes.heads,
        key_heads: sizes.heads,
        head_size: d / sizes.heads,
        is_causal: false,
        tokens,
        positions,
        embedding_norm: Some(weights.norm("embeddings.LayerNorm", d, epsilon, true)?),
        blocks: (0..sizes.layers).map(block).collect::<Result<_, _>>()?,
        embedding_map: None,
        final_norm: None,
    };
    Ok(Encoder { transformer, length_max })
}

/// The table without the rows before the first token's, and how many are left.
fn positions(config: &Settings, weights: &Weights, d: usize, kind: Kind) -> Result<(Matrix, usize), Error> {
    let rows = config.count(&["max_position_embeddings"])?;
    let offset = match kind {
        Kind::Bert => 0,
        Kind::Roberta => config.get(&["pad_token_id"]).and_then(|id| id.as_u64()).unwrap_or(1) as usize + 1,
    };
    let table = weights.matrix("embeddings.position_embeddings.weight", rows, d)?;
    cut_offset(config, table, offset)
}

/// Drops the first `offset` rows.
pub(super) fn cut_offset(config: &Settings, mut table: Matrix, offset: usize) -> Result<(Matrix, usize), Error> {
    if table.rows <= offset {
        return Err(config.error(format!("max_position_embeddings: expected more than {offset}, found {}", table.rows)));
    }
    table.values.drain(..offset * table.columns);
    table.rows -= offset;
    let rows = table.rows;
    Ok((table, rows))
}

fn block(w: &Weights, i: usize, sizes: &Sizes, epsilon: f32, activation: Activation) -> Result<Block, Error> {
    let (d, f) = (sizes.hidden, sizes.inner);
    let at = |part: &str| format!("encoder.layer.{i}.{part}");
    Ok(Block {
        query: w.linear(&at("attention.self.query"), d, d, true)?,
        key: w.linear(&at("attention.self.key"), d, d, true)?,
        value: w.linear(&at("attention.self.value"), d, d, true)?,
        output: w.linear(&at("attention.output.dense"), d, d, true)?,
        positions: Positions::None,
        window: None,
        attention_norm: Some(w.norm(&at("attention.output.LayerNorm"), d, epsilon, true)?),
        gate: None,
        up: w.linear(&at("intermediate.dense"), f, d, true)?,
        down: w.linear(&at("output.dense"), d, f, true)?,
        feed_forward_norm: Some(w.norm(&at("output.LayerNorm"), d, epsilon, true)?),
        activation,
        norm_place: NormPlace::After,
        ..Block::default()
    })
}

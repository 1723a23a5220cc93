//! Llama and its kin (SmolLM 3, Mistral, Qwen 2 and 3, Gemma 2): RMS norms, rotary positions, grouped queries, gated
//! feed-forward parts.

use super::rotary::rotary;
use super::{Blocks, Parts, Sizes, head, of_matrix};
use crate::Error;
use crate::architecture::activation;
use crate::json::Settings;
use crate::weights::Weights;
use compute::transformer::{
    Activation, Block, Head, Matrix, Norm, NormKind, NormPlace, Positions, Rotary, Transformer,
};
use serde_json::{Value, json};

/// What tells them apart.
struct Shape {
    epsilon: f32,
    activation: Activation,
    /// Of queries, keys and values; of what maps the heads back; of the feed-forward part.
    projection_bias: bool,
    output_bias: bool,
    inner_bias: bool,
    rotary: Rotary,
    /// Of each block: whether its heads are turned.
    is_turned: Vec<bool>,
    has_head_norms: bool,
    /// Gemma 2: norms behind the parts too, and weights of norms that are less by one.
    is_gemma: bool,
    scale: Option<f32>,
    soft_cap: Option<f32>,
    head_soft_cap: Option<f32>,
    /// Of each block, in tokens with the token itself.
    windows: Vec<Option<usize>>,
    is_tied: bool,
}

impl Shape {
    fn of(config: &Settings, sizes: &Sizes) -> Result<Shape, Error> {
        Ok(Shape {
            epsilon: config.number_or(&["rms_norm_eps"], 1e-6)? as f32,
            activation: activation(config, &["hidden_act"], "silu")?,
            projection_bias: false,
            output_bias: false,
            inner_bias: false,
            rotary: rotary(config, sizes.head_size, 1.0)?,
            is_turned: vec![true; sizes.layers],
            has_head_norms: false,
            is_gemma: false,
            scale: None,
            soft_cap: None,
            head_soft_cap: None,
            windows: vec![None; sizes.layers],
            is_tied: false,
        })
    }
}

pub(super) fn read_llama(config: &Settings, weights: Weights) -> Result<Parts, Error> {
    let mut sizes = Sizes::read(config, config.count(&["intermediate_size"])?)?;
    sizes.key_heads = config.count_if_there(&["num_key_value_heads"])?.unwrap_or(sizes.heads);
    sizes.head_size = config.count_if_there(&["head_dim"])?.unwrap_or(sizes.head_size);
    let bias = config.flag_or(&["attention_bias"], false)?;
    let inner_bias = config.flag_or(&["mlp_bias"], false)?;
    let shape = Shape { projection_bias: bias, output_bias: bias, inner_bias, ..Shape::of(config, &sizes)? };
    read(config, weights, sizes, shape)
}

/// Llama but for blocks without positions.
pub(super) fn read_smollm3(config: &Settings, weights: Weights) -> Result<Parts, Error> {
    config.refuse_unless(&["use_sliding_window"], &json!(false))?;
    config.refuse_unless(&["head_dim"], &json!(null))?;
    if config.get(&["rope_parameters.rope_theta", "rope_theta"]).is_none() {
        return Err(config.error("rope_parameters.rope_theta or rope_theta is missing"));
    }
    let sizes = grouped_sizes(config)?;
    let bias = config.flag_or(&["attention_bias"], false)?;
    let inner_bias = config.flag_or(&["mlp_bias"], false)?;
    let is_turned = turned_blocks(config, sizes.layers)?;
    let shape = Shape::of(config, &sizes)?;
    let shape = Shape { projection_bias: bias, output_bias: bias, inner_bias, is_turned, is_tied: true, ..shape };
    read(config, weights, sizes, shape)
}

/// SmolLM 3's `no_rope_layers` says, in spite of its name, 1 of a block that has rotary positions; else all but every
/// n-th has.
fn turned_blocks(config: &Settings, layers: usize) -> Result<Vec<bool>, Error> {
    let Some(list) = config.get(&["no_rope_layers"]) else {
        let every = config.count_if_there(&["no_rope_layer_interval"])?.unwrap_or(4);
        return Ok((1..=layers).map(|number| !number.is_multiple_of(every)).collect());
    };
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    let all: Option<Vec<bool>> = list.iter().map(|value| value.as_u64().map(|value| value != 0)).collect();
    let wrong = || config.error(format!("no_rope_layers: expected {layers} numbers, 0 or 1"));
    all.filter(|all| all.len() == layers).ok_or_else(wrong)
}

pub(super) fn read_mistral(config: &Settings, weights: Weights) -> Result<Parts, Error> {
    config.refuse_unless(&["layer_types"], &json!(null))?;
    let mut sizes = grouped_sizes(config)?;
    sizes.head_size = config.count_if_there(&["head_dim"])?.unwrap_or(sizes.head_size);
    let windows = vec![config.count_or_off("sliding_window", 4096)?; sizes.layers];
    let shape = Shape { windows, ..Shape::of(config, &sizes)? };
    read(config, weights, sizes, shape)
}

pub(super) fn read_qwen2(config: &Settings, weights: Weights) -> Result<Parts, Error> {
    let mut sizes = grouped_sizes(config)?;
    sizes.head_size = config.count_if_there(&["head_dim"])?.unwrap_or(sizes.head_size);
    let windows = qwen_windows(config, sizes.layers)?;
    let shape = Shape { projection_bias: true, windows, ..Shape::of(config, &sizes)? };
    read(config, weights, sizes, shape)
}

pub(super) fn read_qwen3(config: &Settings, weights: Weights) -> Result<Parts, Error> {
    let mut sizes = grouped_sizes(config)?;
    sizes.head_size = config.count(&["head_dim"])?;
    let bias = config.flag_or(&["attention_bias"], false)?;
    let windows = qwen_windows(config, sizes.layers)?;
    let shape = Shape::of(config, &sizes)?;
    let shape = Shape { projection_bias: bias, output_bias: bias, has_head_norms: true, windows, ..shape };
    read(config, weights, sizes, shape)
}

pub(super) fn read_gemma2(config: &Settings, weights: Weights) -> Result<Parts, Error> {
    config.refuse_unless(&["attention_bias"], &json!(false))?;
    config.refuse_unless(&["use_bidirectional_attention"], &json!(false))?;
    let mut sizes = grouped_sizes(config)?;
    sizes.head_size = config.count(&["head_dim"])?;
    let window = config.count_or_off("sliding_window", 4096)?;
    let kinds = layer_types(config, sizes.layers)?;
    let is_local = |i: usize| kinds.as_ref().map_or(i.is_multiple_of(2), |kinds| kinds[i]);
    let cap = |name: &str, default: f64| Ok::<_, Error>(config.number_or_off(name, default)?.map(|cap| cap as f32));
    let shape = Shape {
        activation: activation(config, &["hidden_activation"], "gelu_pytorch_tanh")?,
        is_gemma: true,
        scale: Some(1.0 / config.number_or(&["query_pre_attn_scalar"], 256.0)?.sqrt() as f32),
        soft_cap: cap("attn_logit_softcapping", 50.0)?,
        head_soft_cap: cap("final_logit_softcapping", 30.0)?,
        windows: (0..sizes.layers).map(|i| window.filter(|_| is_local(i))).collect(),
        is_tied: true,
        ..Shape::of(config, &sizes)?
    };
    read(config, weights, sizes, shape)
}

/// Where fewer heads of keys are the rule, their number must be said.
fn grouped_sizes(config: &Settings) -> Result<Sizes, Error> {
    let sizes = Sizes::read(config, config.count(&["intermediate_size"])?)?;
    Ok(Sizes { key_heads: config.count(&["num_key_value_heads"])?, ..sizes })
}

/// Which blocks look only near, where the configuration says.
fn layer_types(config: &Settings, layers: usize) -> Result<Option<Vec<bool>>, Error> {
    let Some(types) = config.get(&["layer_types"]) else { return Ok(None) };
    let types = types.as_array().map(Vec::as_slice).unwrap_or_default();
    if types.len() != layers {
        return Err(config.error(format!("layer_types: expected {layers}, found {}", types.len())));
    }
    let is_local = |kind: &Value| match kind.as_str() {
        Some("sliding_attention") => Ok(true),
        Some("full_attention") => Ok(false),
        _ => Err(config.error(format!("layer_types: {kind} is not known"))),
    };
    types.iter().map(is_local).collect::<Result<_, _>>().map(Some)
}

/// Qwen's windows are off unless they are said to be used, and then begin at a block.
fn qwen_windows(config: &Settings, layers: usize) -> Result<Vec<Option<usize>>, Error> {
    let is_used = config.flag_or(&["use_sliding_window"], false)?;
    let window = config.count_or_off("sliding_window", 4096)?.filter(|_| is_used);
    let first = config.count_if_there(&["max_window_layers"])?.unwrap_or(28);
    let kinds = layer_types(config, layers)?;
    let is_local = |i: usize| kinds.as_ref().map_or(i >= first, |kinds| kinds[i]);
    Ok((0..layers).map(|i| window.filter(|_| is_local(i))).collect())
}

fn read(config: &Settings, mut weights: Weights, sizes: Sizes, shape: Shape) -> Result<Parts, Error> {
    let d = sizes.hidden;
    if !sizes.heads.is_multiple_of(sizes.key_heads) {
        let why = format!("num_key_value_heads: {} do not divide {} attention heads", sizes.key_heads, sizes.heads);
        return Err(config.error(why));
    }
    let own = head(config, &weights, "lm_head.weight", &sizes, shape.is_tied)?;
    weights.settle_prefix("embed_tokens.weight", &["model.", ""])?;
    let mut tokens = weights.matrix("embed_tokens.weight", sizes.vocabulary, d)?;
    let head = Head { soft_cap: shape.head_soft_cap, ..of_matrix(own, &tokens) };
    if shape.is_gemma {
        let root = (d as f64).sqrt() as f32;
        tokens.values.iter_mut().for_each(|value| *value *= root);
    }
    let transformer = Transformer {
        hidden: d,
        heads: sizes.heads,
        key_heads: sizes.key_heads,
        head_size: sizes.head_size,
        is_causal: true,
        tokens,
        positions: Matrix::default(),
        embedding_norm: None,
        blocks: Vec::new(),
        embedding_map: None,
        final_norm: Some(norm(&weights, "norm", d, &shape)?),
    };
    let blocks = Blocks::new(sizes.layers, move |i| block(&weights, i, &sizes, &shape));
    Ok((transformer, head, blocks))
}

fn norm(w: &Weights, name: &str, size: usize, shape: &Shape) -> Result<Norm, Error> {
    let mut norm = Norm { kind: NormKind::RootMeanSquare, ..w.norm(name, size, shape.epsilon, false)? };
    if shape.is_gemma {
        norm.weight.iter_mut().for_each(|weight| *weight += 1.0);
    }
    Ok(norm)
}

fn block(w: &Weights, i: usize, sizes: &Sizes, shape: &Shape) -> Result<Block, Error> {
    let (d, f, e) = (sizes.hidden, sizes.inner, sizes.head_size);
    let (queries, keys) = (sizes.heads * e, sizes.key_heads * e);
    let at = |part: &str| format!("layers.{i}.{part}");
    let norm = |name: &str, size: usize| norm(w, &at(name), size, shape);
    let some = |is_there: bool, name: &str, size: usize| is_there.then(|| norm(name, size)).transpose();
    let (before, end) = match shape.is_gemma {
        true => ("pre_feedforward_layernorm", "post_attention_layernorm"),
        false => ("post_attention_layernorm", ""),
    };
    Ok(Block {
        query: w.linear(&at("self_attn.q_proj"), queries, d, shape.projection_bias)?,
        key: w.linear(&at("self_attn.k_proj"), keys, d, shape.projection_bias)?,
        value: w.linear(&at("self_attn.v_proj"), keys, d, shape.projection_bias)?,
        output: w.linear(&at("self_attn.o_proj"), d, queries, shape.output_bias)?,
        query_norm: some(shape.has_head_norms, "self_attn.q_norm", e)?,
        key_norm: some(shape.has_head_norms, "self_attn.k_norm", e)?,
        scale: shape.scale,
        soft_cap: shape.soft_cap,
        positions: if shape.is_turned[i] { Positions::Rotary(shape.rotary.clone()) } else { Positions::None },
        // A window counts the token itself.
        window: shape.windows[i].map(|window| window - 1),
        attention_norm: Some(norm("input_layernorm", d)?),
        gate: Some(w.linear(&at("mlp.gate_proj"), f, d, shape.inner_bias)?),
        up: w.linear(&at("mlp.up_proj"), f, d, shape.inner_bias)?,
        down: w.linear(&at("mlp.down_proj"), d, f, shape.inner_bias)?,
        feed_forward_norm: Some(norm(before, d)?),
        attention_end_norm: some(shape.is_gemma, end, d)?,
        feed_forward_end_norm: some(shape.is_gemma, "post_feedforward_layernorm", d)?,
        is_parallel: false,
        activation: shape.activation,
        norm_place: NormPlace::Before,
    })
}

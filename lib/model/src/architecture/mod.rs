//! From a model's `config.json` and tensors to the neutral description: one module an architecture.
//!
//! Sources: the modules `bert`, `roberta`, `xlm_roberta`, `mpnet`, `nomic_bert` and `modernbert` of transformers; for
//! JinaBERT v2 jinaai/jina-bert-implementation; for NomicBERT's own configuration names nomic-ai/contrastors. A setting
//! that changes the computation and is not understood is refused by name, never passed over.

mod bert;
mod jina_bert;
mod modern_bert;
mod mpnet;
mod nomic_bert;

use crate::Error;
use crate::json::Settings;
use crate::weights::Weights;
use compute::transformer::{Activation, Transformer};
use serde_json::json;

/// What an architecture's module returns.
pub(crate) struct Encoder {
    /// The weights.
    pub(crate) transformer: Transformer,
    /// The most tokens that the configuration names.
    pub(crate) length_max: usize,
}

const KNOWN: [(&str, &str); 7] = [
    ("Bert", "bert"),
    ("JinaBert", "bert"),
    ("Roberta", "roberta"),
    ("XLMRoberta", "xlm-roberta"),
    ("MPNet", "mpnet"),
    ("NomicBert", "nomic_bert"),
    ("ModernBert", "modernbert"),
];

/// Reads the encoder that `config.json` describes.
pub(crate) fn read(config: &Settings, weights: &mut Weights) -> Result<Encoder, Error> {
    let family = family(config)?;
    refuse_what_changes_everything(config)?;
    match family {
        "Bert" => bert::read(config, weights, bert::Kind::Bert),
        "Roberta" | "XLMRoberta" => bert::read(config, weights, bert::Kind::Roberta),
        "JinaBert" => jina_bert::read(config, weights),
        "MPNet" => mpnet::read(config, weights),
        "NomicBert" => nomic_bert::read(config, weights),
        _ => modern_bert::read(config, weights),
    }
}

/// `BertForMaskedLM` is of the family `Bert`; without `architectures`, the `model_type` tells.
pub(crate) fn family(config: &Settings) -> Result<&'static str, Error> {
    let class = match config.get(&["architectures"]) {
        Some(list) => match list.get(0).and_then(|name| name.as_str()) {
            Some(name) => Some(name),
            None => return Err(config.error("architectures: expected an array of names")),
        },
        None => None,
    };
    let model_type = config.text(&["model_type"])?;
    let family = match class {
        Some(class) => {
            let end = class.find("Model").or(class.find("For")).unwrap_or(class.len());
            KNOWN.iter().find(|(family, _)| *family == &class[..end])
        }
        None => KNOWN.iter().find(|(_, name)| Some(*name) == model_type),
    };
    let Some(&(family, _)) = family else {
        let known = KNOWN.map(|(family, _)| family).join(", ");
        let found = class.or(model_type).map_or("no architecture".into(), |name| format!("architecture {name:?}"));
        return Err(config.error(format!("{found} is not known; known are {known}")));
    };
    let alibi = config.text(&["position_embedding_type"])? == Some("alibi");
    Ok(if family == "Bert" && alibi { "JinaBert" } else { family })
}

fn refuse_what_changes_everything(config: &Settings) -> Result<(), Error> {
    for name in ["is_decoder", "add_cross_attention"] {
        config.refuse_unless(&[name], &json!(false))?;
    }
    match config.get(&["quantization_config"]) {
        Some(_) => Err(config.error("quantization_config: quantised weights are not supported")),
        None => Ok(()),
    }
}

/// The non-linearity of a name in transformers' table.
pub(crate) fn activation(config: &Settings, names: &[&str], default: &str) -> Result<Activation, Error> {
    match config.text(names)?.unwrap_or(default) {
        "gelu" | "gelu_python" => Ok(Activation::Gelu),
        "gelu_new" | "gelu_pytorch_tanh" => Ok(Activation::GeluTanh),
        "silu" | "swish" => Ok(Activation::Silu),
        "relu" => Ok(Activation::Relu),
        other => Err(config.error(format!("{}: activation {other:?} is not known", names[0]))),
    }
}

/// The sizes that every architecture has.
struct Sizes {
    hidden: usize,
    heads: usize,
    layers: usize,
    inner: usize,
    vocabulary: usize,
}

impl Sizes {
    /// Each by its usual name, or the one in GPT-2's manner.
    fn read(config: &Settings) -> Result<Sizes, Error> {
        let hidden = config.count(&["hidden_size", "n_embd"])?;
        let heads = config.count(&["num_attention_heads", "n_head"])?;
        if !hidden.is_multiple_of(heads) {
            return Err(config.error(format!("{heads} attention heads do not divide a hidden size of {hidden}")));
        }
        config.refuse_unless(&["head_dim"], &json!(hidden / heads))?;
        let layers = config.count(&["num_hidden_layers", "n_layer"])?;
        let inner = config.count(&["intermediate_size", "n_inner"])?;
        Ok(Sizes { hidden, heads, layers, inner, vocabulary: config.count(&["vocab_size"])? })
    }
}

/// Rotary positions turn pairs of values.
fn refuse_odd_heads(config: &Settings, sizes: &Sizes) -> Result<(), Error> {
    match sizes.hidden / sizes.heads {
        odd if !odd.is_multiple_of(2) => {
            Err(config.error(format!("heads of {odd} values cannot have rotary positions")))
        }
        _ => Ok(()),
    }
}

/// Adds row 0 of the token types, which every token of a single text has, to each row of `tokens`.
fn add_token_type(tokens: &mut compute::transformer::Matrix, types: &compute::transformer::Matrix) {
    let constant = &types.values[..types.columns];
    for row in tokens.values.chunks_exact_mut(types.columns) {
        row.iter_mut().zip(constant).for_each(|(value, add)| *value += add);
    }
}

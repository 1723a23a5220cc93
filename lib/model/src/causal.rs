//! The folder of a causal language model, as Hugging Face writes it.
//!
//! Sources: the modules `gpt2`, `gpt_neox`, `opt`, `llama`, `smollm3`, `mistral`, `qwen2`, `qwen3` and `gemma2` of
//! transformers 5.23, and `modeling_rope_utils.py`. A setting that changes the computation and is not understood is
//! refused by name, never passed over.

mod gpt2;
mod gpt_neox;
mod llama;
mod opt;
mod rotary;

use crate::Error;
use crate::folder::check_vocabulary;
use crate::json::Settings;
use crate::tokenizer::Tokenizer;
use crate::weights::Weights;
use compute::transformer::{Block, Head, Linear, Matrix, Transformer};
use serde_json::{Value, json};
use std::path::Path;

/// A causal model.
#[derive(Debug)]
pub struct CausalModel {
    /// All but the blocks and the head.
    pub transformer: Transformer,
    /// The blocks.
    pub blocks: Blocks,
    /// What is made of the final states.
    pub head: Head,
    /// Text to ids.
    pub tokenizer: Tokenizer,
    /// The token that begins a text.
    pub bos: Option<u32>,
    /// The token that ends a text.
    pub eos: Option<u32>,
    /// The most tokens that the model was made for.
    pub length_max: usize,
}

/// The blocks of a model, which are read from its files when they are asked for: a model may be larger than memory.
pub struct Blocks {
    count: usize,
    read: Box<dyn Fn(usize) -> Result<Block, Error> + Send + Sync>,
}

impl Blocks {
    fn new(count: usize, read: impl Fn(usize) -> Result<Block, Error> + Send + Sync + 'static) -> Blocks {
        Blocks { count, read: Box::new(read) }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Reads one, counted from 0.
    ///
    /// # Errors
    /// The file, and the tensor, that is missing or wrong.
    pub fn read(&self, block: usize) -> Result<Block, Error> {
        (self.read)(block)
    }

    /// Reads one after another; an item is an error as [`Blocks::read`] has it.
    pub fn iter(&self) -> impl Iterator<Item = Result<Block, Error>> {
        (0..self.count).map(|block| self.read(block))
    }
}

impl std::fmt::Debug for Blocks {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{} blocks", self.count)
    }
}

/// A model in parts; the transformer has no blocks.
type Parts = (Transformer, Head, Blocks);

/// What reads an architecture.
type Read = fn(&Settings, Weights) -> Result<Parts, Error>;

/// The class in `architectures`, the `model_type`, and what reads it.
const KNOWN: [(&str, &str, Read); 9] = [
    ("GPT2LMHeadModel", "gpt2", gpt2::read),
    ("GPTNeoXForCausalLM", "gpt_neox", gpt_neox::read),
    ("OPTForCausalLM", "opt", opt::read),
    ("LlamaForCausalLM", "llama", llama::read_llama),
    ("SmolLM3ForCausalLM", "smollm3", llama::read_smollm3),
    ("MistralForCausalLM", "mistral", llama::read_mistral),
    ("Qwen2ForCausalLM", "qwen2", llama::read_qwen2),
    ("Qwen3ForCausalLM", "qwen3", llama::read_qwen3),
    ("Gemma2ForCausalLM", "gemma2", llama::read_gemma2),
];

impl CausalModel {
    /// Reads a folder but for its blocks.
    ///
    /// # Errors
    /// The file, and the field or tensor, that is missing, wrong or not known. What is wrong with a block is said when
    /// it is read.
    pub fn open(folder: &Path) -> Result<CausalModel, Error> {
        if !folder.is_dir() {
            let why = if folder.exists() { "expected the folder of a model, found a file" } else { "no such folder" };
            return Err(Error::new(folder, why));
        }
        let config = Settings::read(&folder.join("config.json"))?;
        let read = family(&config)?;
        if config.get(&["quantization_config"]).is_some() {
            return Err(config.error("quantization_config: quantised weights are not supported"));
        }
        let (transformer, head, blocks) = read(&config, Weights::open(folder)?)?;
        let tokenizer = Tokenizer::open(&folder.join("tokenizer.json"), usize::MAX)?;
        check_vocabulary(folder, &tokenizer, &transformer)?;
        let names = Settings::read_if_there(&folder.join("tokenizer_config.json"))?;
        let rows = transformer.tokens.rows;
        let bos = special(&names, &config, &tokenizer, "bos_token", rows)?;
        let eos = special(&names, &config, &tokenizer, "eos_token", rows)?;
        let length_max = config.count(&["max_position_embeddings", "n_positions"])?;
        Ok(CausalModel { transformer, blocks, head, tokenizer, bos, eos, length_max })
    }

    /// The most tokens that the position table has room for; `None`: no table.
    pub fn positions_max(&self) -> Option<usize> {
        Some(self.transformer.positions.rows).filter(|&rows| rows > 0)
    }
}

fn family(config: &Settings) -> Result<Read, Error> {
    let class = config.get(&["architectures"]).and_then(|list| list.get(0)).and_then(Value::as_str);
    let model_type = config.text(&["model_type"])?;
    let found = match class {
        Some(class) => KNOWN.iter().find(|(known, _, _)| *known == class),
        None => KNOWN.iter().find(|(_, known, _)| Some(*known) == model_type),
    };
    let Some((_, _, read)) = found else {
        let known = KNOWN.map(|(class, _, _)| class).join(", ");
        let found = class.or(model_type).map_or("no architecture".into(), |name| format!("architecture {name:?}"));
        return Err(config.error(format!("{found} is not known as a causal model; known are {known}")));
    };
    Ok(*read)
}

/// The id of a special token: by its name in `tokenizer_config.json`, else the one in `config.json`, of several the
/// first.
fn special(
    names: &Settings,
    config: &Settings,
    tokenizer: &Tokenizer,
    token: &str,
    rows: usize,
) -> Result<Option<u32>, Error> {
    let name = names.get(&[token, &format!("{token}.content")]);
    let name = name.and_then(|value| value.as_str().or(value.get("content").and_then(Value::as_str)));
    if let Some(name) = name {
        let missing = || names.error(format!("{token}: {name:?} is not in tokenizer.json"));
        return tokenizer.id(name).ok_or_else(missing).map(Some);
    }
    let field = format!("{token}_id");
    let Some(value) = config.get(&[&field]) else { return Ok(None) };
    let first = value.get(0).unwrap_or(value).as_u64();
    match first.filter(|&id| id < rows as u64) {
        Some(id) => Ok(Some(id as u32)),
        None => Err(config.error(format!("{field}: expected a token below {rows}, found {value}"))),
    }
}

/// The head: the token embedding again, or a matrix of its own outside the body's prefix. To be called before a prefix
/// is settled.
fn head(config: &Settings, weights: &Weights, name: &str, sizes: &Sizes, tied: bool) -> Result<Option<Matrix>, Error> {
    match config.flag_or(&["tie_word_embeddings"], tied)? {
        true => Ok(None),
        false => weights.matrix(name, sizes.vocabulary, sizes.hidden).map(Some),
    }
}

/// A head without bias from a matrix of its own or, tied, the token embedding.
fn of_matrix(own: Option<Matrix>, tokens: &Matrix) -> Head {
    let weight = own.unwrap_or_else(|| tokens.clone());
    Head { linear: Linear { weight, bias: Vec::new() }, ..Head::default() }
}

/// The sizes that every architecture has.
struct Sizes {
    hidden: usize,
    heads: usize,
    key_heads: usize,
    head_size: usize,
    layers: usize,
    inner: usize,
    vocabulary: usize,
}

impl Sizes {
    /// Each by its usual name, or GPT-2's; as many heads of keys as of queries, which share the hidden size.
    fn read(config: &Settings, inner: usize) -> Result<Sizes, Error> {
        let hidden = config.count(&["hidden_size", "n_embd"])?;
        let heads = config.count(&["num_attention_heads", "n_head"])?;
        let layers = config.count(&["num_hidden_layers", "n_layer"])?;
        let vocabulary = config.count(&["vocab_size"])?;
        let head_size = hidden / heads;
        Ok(Sizes { hidden, heads, key_heads: heads, head_size, layers, inner, vocabulary })
    }

    /// For architectures whose heads share the hidden size.
    fn refuse_other_heads(&self, config: &Settings) -> Result<(), Error> {
        let &Sizes { hidden, heads, head_size, .. } = self;
        if !hidden.is_multiple_of(heads) {
            return Err(config.error(format!("{heads} attention heads do not divide a hidden size of {hidden}")));
        }
        config.refuse_unless(&["head_dim"], &json!(head_size))
    }
}

//! A model folder, as sentence-transformers or Hugging Face write it.
//!
//! Source of the defaults: sentence-transformers 6.2. `modules.json` lists what follows the transformer; without it
//! there is mean pooling and nothing else. What is listed and not known is refused by name.

use crate::head::{Dense, Squash, cut, normalize};
use crate::json::Settings;
use crate::pooling::Pooling;
use crate::tokenizer::Tokenizer;
use crate::weights::Weights;
use crate::{Error, architecture};
use compute::transformer::Transformer;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// An embedding model with the defaults of its folder, which a caller may change.
#[derive(Debug, Clone)]
pub struct Model {
    /// The weights.
    pub transformer: Transformer,
    /// Text to ids, cut at the folder's maximum length.
    pub tokenizer: Tokenizer,
    /// Which tokens make the vector.
    pub pooling: Pooling,
    /// Dense layers behind the pooling, first to last.
    pub dense: Vec<Dense>,
    /// Whether vectors leave with length one.
    pub normalize: bool,
    /// Prompt texts by name, put before a text.
    pub prompts: BTreeMap<String, String>,
    /// The prompt that is used when none is asked for.
    pub default_prompt: Option<String>,
}

impl Model {
    /// Reads a folder whole.
    ///
    /// # Errors
    /// The file, and the field or tensor, that is missing or wrong.
    pub fn open(folder: &Path) -> Result<Model, Error> {
        require_folder(folder)?;
        let modules = Modules::read(folder)?;
        let config_path = modules.transformer.join("config.json");
        let config = Settings::read(&config_path)?;
        let encoder = architecture::read(&config, &mut Weights::open(&modules.transformer)?)?;
        let tokenizer = read_tokenizer(&modules.transformer, &encoder)?;
        check_vocabulary(&modules.transformer, &tokenizer, &encoder.transformer)?;
        let width = encoder.transformer.hidden;
        let (pooling, dense, normalize) = modules.read_head(width)?;
        let (prompts, default_prompt) = read_prompts(folder)?;
        Ok(Model { transformer: encoder.transformer, tokenizer, pooling, dense, normalize, prompts, default_prompt })
    }

    /// Values of a vector.
    pub fn dim(&self) -> usize {
        self.dense.last().map_or(self.transformer.hidden, Dense::outputs)
    }

    /// The most tokens that the position table has room for; `None`: no table.
    pub fn positions_max(&self) -> Option<usize> {
        Some(self.transformer.positions.rows).filter(|&rows| rows > 0)
    }

    /// Cuts texts at another length than the folder's own, special tokens included.
    ///
    /// # Errors
    /// Where the length leaves no room for text, or is more than the model has places for.
    pub fn set_length_max(&mut self, length_max: usize) -> Result<(), Error> {
        self.tokenizer = at_length(&self.tokenizer, &self.transformer, length_max)?;
        Ok(())
    }

    /// The text of a prompt.
    ///
    /// # Errors
    /// Those that there are, where this is none of them.
    pub fn prompt(&self, name: &str) -> Result<&str, Error> {
        self.prompts.get(name).map(String::as_str).ok_or_else(|| {
            let names: Vec<&str> = self.prompts.keys().map(String::as_str).collect();
            let known =
                if names.is_empty() { "it has none".to_string() } else { format!("it has {}", names.join(", ")) };
            Error::new(Path::new("prompt"), format!("the model has no prompt {name:?}; {known}"))
        })
    }

    /// The vector of a text from its final hidden states: pooling, dense layers, cut to `dim` values, normalisation.
    pub fn finish(&self, hidden: &[f32], dim: usize, scratch: &mut Vec<f32>, vector: &mut Vec<f32>) {
        vector.clear();
        vector.resize(self.transformer.hidden, 0.0);
        self.pooling.apply(hidden, vector);
        for dense in &self.dense {
            scratch.clear();
            scratch.resize(dense.outputs(), 0.0);
            dense.apply(vector, scratch);
            std::mem::swap(scratch, vector);
        }
        if self.normalize {
            normalize(vector);
        }
        if dim < vector.len() {
            cut(vector, dim, self.normalize);
        }
    }
}

/// What is no folder is refused.
pub(crate) fn require_folder(folder: &Path) -> Result<(), Error> {
    if folder.is_dir() {
        return Ok(());
    }
    let why = if folder.exists() { "expected the folder of a model, found a file" } else { "no such folder" };
    Err(Error::absent(folder, why))
}

/// A tokenizer that cuts at another length, special tokens included, which must leave room for them and have places in
/// the model.
pub(crate) fn at_length(
    tokenizer: &Tokenizer,
    transformer: &Transformer,
    length_max: usize,
) -> Result<Tokenizer, Error> {
    let (special, rows) = (tokenizer.special_tokens(), transformer.positions.rows);
    let why = match length_max {
        _ if rows > 0 && length_max > rows => format!("but the model has {rows} positions"),
        _ if length_max < special => format!("which leaves no room for the {special} special ones"),
        _ => return tokenizer.clone().with_length_max(length_max),
    };
    Err(Error::new(Path::new("max-length"), format!("a maximum length of {length_max}, {why}")))
}

/// What `modules.json` lists.
struct Modules {
    transformer: PathBuf,
    /// Kind and folder of what follows, in order.
    head: Vec<(String, PathBuf)>,
}

impl Modules {
    fn read(folder: &Path) -> Result<Modules, Error> {
        let path = folder.join("modules.json");
        if !path.exists() {
            return Ok(Modules { transformer: folder.to_path_buf(), head: Vec::new() });
        }
        let fail = |why: String| Error::new(&path, why);
        let text = std::fs::read(&path).map_err(|why| Error::io(&path, &why))?;
        let list: serde_json::Value = serde_json::from_slice(&text).map_err(|why| fail(why.to_string()))?;
        let list = list.as_array().ok_or_else(|| fail("expected an array of modules".into()))?;
        let mut modules = Vec::new();
        for (i, module) in list.iter().enumerate() {
            let field = |name: &str| module.get(name).and_then(|v| v.as_str());
            let (Some(kind), Some(place)) = (field("type"), field("path")) else {
                return Err(fail(format!("module {i}: expected the strings type and path")));
            };
            if Path::new(place)
                .components()
                .any(|c| !matches!(c, std::path::Component::Normal(_) | std::path::Component::CurDir))
            {
                return Err(fail(format!("module {i}: path {place:?} is not inside the folder")));
            }
            modules.push((kind.rsplit('.').next().unwrap_or(kind).to_string(), folder.join(place)));
        }
        if modules.first().is_none_or(|(kind, _)| kind != "Transformer") {
            let found = modules.first().map_or("none".to_string(), |(kind, _)| format!("{kind:?}"));
            return Err(fail(format!("first module: expected a Transformer, found {found}")));
        }
        let (_, transformer) = modules.remove(0);
        Ok(Modules { transformer, head: modules })
    }

    fn read_head(&self, hidden: usize) -> Result<(Pooling, Vec<Dense>, bool), Error> {
        let (mut pooling, mut dense, mut normalize) = (None, Vec::<Dense>::new(), false);
        for (kind, folder) in &self.head {
            let width = dense.last().map_or(hidden, Dense::outputs);
            match kind.as_str() {
                "Pooling" if pooling.is_none() => pooling = Some(read_pooling(folder, hidden)?),
                "Dense" if pooling.is_some() && !normalize => dense.push(read_dense(folder, width)?),
                "Normalize" if pooling.is_some() => normalize = true,
                "Dropout" => {}
                "Pooling" | "Dense" | "Normalize" => {
                    return Err(Error::new(folder, format!("modules.json: a {kind} in this place is not supported")));
                }
                other => return Err(Error::new(folder, format!("modules.json: module {other:?} is not supported"))),
            }
        }
        match (pooling, self.head.is_empty()) {
            (Some(pooling), _) => Ok((pooling, dense, normalize)),
            (None, true) => Ok((Pooling::Mean, dense, normalize)),
            (None, false) => Err(Error::new(&self.transformer, "modules.json: no Pooling")),
        }
    }
}

/// The newer `pooling_mode`, or the older flags, one a mode.
fn read_pooling(folder: &Path, hidden: usize) -> Result<Pooling, Error> {
    let settings = Settings::read(&folder.join("config.json"))?;
    let width = ["embedding_dimension", "word_embedding_dimension"];
    settings.refuse_unless(&width, &serde_json::json!(hidden))?;
    settings.refuse_unless(&["include_prompt"], &serde_json::json!(true))?;
    let modes = match settings.get(&["pooling_mode"]) {
        Some(serde_json::Value::String(mode)) => vec![mode.clone()],
        Some(serde_json::Value::Array(modes)) => modes.iter().map(|m| m.as_str().unwrap_or("?").to_string()).collect(),
        Some(_) => return Err(settings.error("pooling_mode: expected a string")),
        None => older_modes(&settings)?,
    };
    match modes.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["mean"] | [] => Ok(Pooling::Mean),
        ["cls"] => Ok(Pooling::Cls),
        ["lasttoken"] => Ok(Pooling::Last),
        other => {
            let why = format!("pooling {} is not supported, only one of mean, cls and lasttoken", other.join(" and "));
            Err(settings.error(why))
        }
    }
}

fn older_modes(settings: &Settings) -> Result<Vec<String>, Error> {
    let mut modes = Vec::new();
    for (flag, mode) in [
        ("pooling_mode_cls_token", "cls"),
        ("pooling_mode_max_tokens", "max"),
        ("pooling_mode_mean_tokens", "mean"),
        ("pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens"),
        ("pooling_mode_weightedmean_tokens", "weightedmean"),
        ("pooling_mode_lasttoken", "lasttoken"),
    ] {
        if settings.flag_or(&[flag], false)? {
            modes.push(mode.to_string());
        }
    }
    Ok(modes)
}

fn read_dense(folder: &Path, width: usize) -> Result<Dense, Error> {
    let settings = Settings::read(&folder.join("config.json"))?;
    settings.refuse_unless(&["in_features"], &serde_json::json!(width))?;
    settings.refuse_unless(&["use_residual"], &serde_json::json!(false))?;
    for name in ["module_input_name", "module_output_name"] {
        settings.refuse_unless(&[name], &serde_json::json!("sentence_embedding"))?;
    }
    let squash = match settings.text(&["activation_function"])?.map(|name| name.rsplit('.').next().unwrap_or(name)) {
        None | Some("Tanh") => Squash::Tanh,
        Some("Identity") => Squash::Identity,
        Some(other) => return Err(settings.error(format!("activation_function: {other:?} is not supported"))),
    };
    let outputs = settings.count(&["out_features"])?;
    let has_bias = settings.flag_or(&["bias"], true)?;
    Ok(Dense { linear: Weights::open(folder)?.linear("linear", outputs, width, has_bias)?, squash })
}

/// The limit that the folder names for texts, else the least of what tokenizer and model can do; never more than the
/// position table has rows (the reference fails on such a text).
pub(crate) fn read_tokenizer(folder: &Path, encoder: &architecture::Encoder) -> Result<Tokenizer, Error> {
    let own = transformer_settings(folder)?;
    let length_max = match own.count_if_there(&["max_seq_length"])? {
        Some(length) => length,
        None => encoder.length_max.min(tokenizer_limit(folder)?),
    };
    let rows = encoder.transformer.positions.rows;
    let length_max = if rows > 0 { length_max.min(rows) } else { length_max };
    let mut tokenizer = Tokenizer::open(&folder.join("tokenizer.json"), length_max)?;
    if own.flag_or(&["do_lower_case"], false)? {
        tokenizer.lower_case()?;
    }
    Ok(tokenizer)
}

/// `sentence_bert_config.json`, under the names that sentence-transformers looks for.
fn transformer_settings(folder: &Path) -> Result<Settings, Error> {
    let name = |kind: &str| folder.join(format!("sentence_{kind}_config.json"));
    let kinds = ["bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet"];
    let there = kinds.iter().map(|kind| name(kind)).find(|path| path.exists());
    Settings::read_if_there(&there.unwrap_or_else(|| name("bert")))
}

/// `model_max_length`, which is 1e30 where nobody set it.
fn tokenizer_limit(folder: &Path) -> Result<usize, Error> {
    let settings = Settings::read_if_there(&folder.join("tokenizer_config.json"))?;
    match settings.get(&["model_max_length"]).map(|limit| limit.as_f64()) {
        None => Ok(usize::MAX),
        Some(Some(limit)) if limit >= 1.0 => Ok(limit as usize),
        Some(_) => Err(settings.error("model_max_length: expected a positive number")),
    }
}

pub(crate) fn check_vocabulary(folder: &Path, tokenizer: &Tokenizer, transformer: &Transformer) -> Result<(), Error> {
    let (ids, rows) = (tokenizer.ids(), transformer.tokens.rows);
    if ids > rows {
        let why = format!(
            "has ids up to {}, but the model's embedding table has {rows} rows: they do not belong together",
            ids - 1
        );
        return Err(Error::new(&folder.join("tokenizer.json"), why));
    }
    Ok(())
}

fn read_prompts(folder: &Path) -> Result<(BTreeMap<String, String>, Option<String>), Error> {
    let settings = Settings::read_if_there(&folder.join("config_sentence_transformers.json"))?;
    let mut prompts = BTreeMap::new();
    let list = match settings.get(&["prompts"]) {
        None => Default::default(),
        Some(serde_json::Value::Object(list)) => list.clone(),
        Some(_) => return Err(settings.error("prompts: expected an object of strings")),
    };
    for (name, text) in &list {
        match text {
            serde_json::Value::String(text) => drop(prompts.insert(name.clone(), text.clone())),
            serde_json::Value::Null => {}
            _ => return Err(settings.error(format!("prompts.{name}: expected a string"))),
        }
    }
    let default = settings.text(&["default_prompt_name"])?.map(str::to_string);
    match default.as_ref().filter(|name| !prompts.contains_key(*name)) {
        Some(name) => Err(settings.error(format!("default_prompt_name: {name:?} is not among the prompts"))),
        None => Ok((prompts, default)),
    }
}

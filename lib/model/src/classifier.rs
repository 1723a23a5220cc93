//! A folder of Hugging Face with an encoder and a head that classifies texts.
//!
//! Source: the classes `...ForSequenceClassification` of transformers 5.23. BERT and NomicBERT: the pooler, a dense
//! layer with tanh on the first token, then a linear layer. RoBERTa, XLM-RoBERTa and MPNet: the same under other names.
//! ModernBERT: a dense layer with GELU and a normalisation on the first token or the mean, then a linear layer.

use crate::architecture::{self, family};
use crate::folder::{at_length, check_vocabulary, read_tokenizer, require_folder};
use crate::head::{Dense, Squash};
use crate::json::Settings;
use crate::pooling::Pooling;
use crate::tokenizer::Tokenizer;
use crate::weights::Weights;
use crate::{Error, architecture::Encoder};
use compute::transformer::{Norm, Transformer};
use serde_json::Value;
use std::path::Path;

/// How what the last layer gives becomes numbers of labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// As it is: scores.
    None,
    /// One label is right: the probability of each.
    Softmax,
    /// Each label is right or wrong by itself: its probability.
    Sigmoid,
}

/// An encoder with a head, and the defaults of its folder, which a caller may change.
#[derive(Debug)]
pub struct Classifier {
    /// The weights of the encoder.
    pub transformer: Transformer,
    /// Text to ids, cut at the folder's maximum length.
    pub tokenizer: Tokenizer,
    /// What follows the last layer.
    pub activation: Activation,
    labels: Vec<String>,
    head: Head,
}

/// What follows the encoder.
#[derive(Debug)]
struct Head {
    pooling: Pooling,
    dense: Dense,
    norm: Option<Norm>,
    output: Dense,
}

/// What a thread needs to finish texts; it keeps its buffers.
#[derive(Debug, Default)]
pub struct Scratch {
    pooled: Vec<f32>,
    dense: Vec<f32>,
}

impl Classifier {
    /// Reads a folder whole.
    ///
    /// # Errors
    /// The file, and the field or tensor, that is missing or wrong; a model without a head that classifies.
    pub fn open(folder: &Path) -> Result<Classifier, Error> {
        require_folder(folder)?;
        let config = Settings::read(&folder.join("config.json"))?;
        let class = config.get(&["architectures"]).and_then(|list| list.get(0)).and_then(Value::as_str);
        match class {
            Some(class) if class.ends_with("ForSequenceClassification") => {}
            _ => {
                let found = class.unwrap_or("none");
                let why = format!("architectures: expected one that ends in ForSequenceClassification, found {found}");
                return Err(config.error(why));
            }
        }
        let mut weights = Weights::open(folder)?;
        let encoder = architecture::read(&config, &mut weights)?;
        let tokenizer = read_tokenizer(folder, &encoder)?;
        let Encoder { transformer, .. } = encoder;
        check_vocabulary(folder, &tokenizer, &transformer)?;
        let labels = labels(&config)?;
        let head = Head::read(&config, &mut weights, transformer.hidden, labels.len())?;
        let activation = activation(&config, labels.len())?;
        Ok(Classifier { transformer, tokenizer, activation, labels, head })
    }

    /// The labels by their number.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// Cuts texts at another length than the folder's own, special tokens included.
    ///
    /// # Errors
    /// Where the length leaves no room for text, or is more than the model has places for.
    pub fn set_length_max(&mut self, length_max: usize) -> Result<(), Error> {
        self.tokenizer = at_length(&self.tokenizer, &self.transformer, length_max)?;
        Ok(())
    }

    /// The number of each label for a text of these final hidden states, one row a token.
    pub fn numbers(&self, hidden: &[f32], scratch: &mut Scratch, numbers: &mut Vec<f32>) {
        let Scratch { pooled, dense } = scratch;
        let d = self.transformer.hidden;
        pooled.resize(d, 0.0);
        dense.resize(d, 0.0);
        numbers.clear();
        numbers.resize(self.labels.len(), 0.0);
        self.head.pooling.apply(hidden, pooled);
        self.head.dense.apply(pooled, dense);
        if let Some(norm) = &self.head.norm {
            apply_norm(norm, dense);
        }
        self.head.output.apply(dense, numbers);
        self.activation.apply(numbers);
    }
}

impl Activation {
    /// In place, in 64-bit floats, rounded once.
    fn apply(self, numbers: &mut [f32]) {
        match self {
            Activation::None => {}
            Activation::Sigmoid => {
                numbers.iter_mut().for_each(|x| *x = (1.0 / (1.0 + libm::exp(-f64::from(*x)))) as f32);
            }
            Activation::Softmax => {
                let greatest = numbers.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let power = |x: f32| libm::exp(f64::from(x) - f64::from(greatest));
                let sum: f64 = numbers.iter().map(|&x| power(x)).sum();
                numbers.iter_mut().for_each(|x| *x = (power(*x) / sum) as f32);
            }
        }
    }
}

impl Head {
    fn read(config: &Settings, weights: &mut Weights, d: usize, labels: usize) -> Result<Head, Error> {
        let dense = |weights: &Weights, name: &str, outputs: usize, has_bias: bool, squash: Squash| {
            Ok::<_, Error>(Dense { linear: weights.linear(name, outputs, d, has_bias)?, squash })
        };
        let head = match family(config)? {
            "Bert" | "NomicBert" => {
                let pooler = dense(weights, "pooler.dense", d, true, Squash::Tanh)?;
                weights.end_prefix();
                let output = dense(weights, "classifier", labels, true, Squash::Identity)?;
                Head { pooling: Pooling::Cls, dense: pooler, norm: None, output }
            }
            "Roberta" | "XLMRoberta" | "MPNet" => {
                weights.end_prefix();
                let first = dense(weights, "classifier.dense", d, true, Squash::Tanh)?;
                let output = dense(weights, "classifier.out_proj", labels, true, Squash::Identity)?;
                Head { pooling: Pooling::Cls, dense: first, norm: None, output }
            }
            "ModernBert" => {
                weights.end_prefix();
                config.refuse_unless(&["classifier_activation"], &"gelu".into())?;
                let has_bias = config.flag_or(&["classifier_bias"], false)?;
                let epsilon = config.number_or(&["norm_eps"], 1e-5)? as f32;
                let norm = weights.norm("head.norm", d, epsilon, config.flag_or(&["norm_bias"], false)?)?;
                let first = dense(weights, "head.dense", d, has_bias, Squash::Gelu)?;
                let output = dense(weights, "classifier", labels, true, Squash::Identity)?;
                Head { pooling: modern_pooling(config)?, dense: first, norm: Some(norm), output }
            }
            other => return Err(config.error(format!("architectures: {other} with a head is not supported"))),
        };
        Ok(head)
    }
}

fn modern_pooling(config: &Settings) -> Result<Pooling, Error> {
    match config.text(&["classifier_pooling"])? {
        None | Some("cls") => Ok(Pooling::Cls),
        Some("mean") => Ok(Pooling::Mean),
        Some(other) => Err(config.error(format!("classifier_pooling: expected cls or mean, found {other:?}"))),
    }
}

/// The names in `id2label`; without it `LABEL_0` and so on, two of them where nothing says how many.
fn labels(config: &Settings) -> Result<Vec<String>, Error> {
    let wrong = || config.error("id2label: expected names of the labels 0, 1 and so on, without tabs and newlines");
    match config.get(&["id2label"]) {
        Some(Value::Object(names)) if !names.is_empty() => {
            let name = |label: usize| {
                let name = names.get(&label.to_string()).and_then(Value::as_str);
                name.filter(|name| !name.contains(['\t', '\n', '\r'])).map(str::to_string).ok_or_else(wrong)
            };
            (0..names.len()).map(name).collect()
        }
        Some(_) => Err(wrong()),
        None => {
            let count = config.count_if_there(&["num_labels"])?.unwrap_or(2);
            Ok((0..count).map(|label| format!("LABEL_{label}")).collect())
        }
    }
}

/// What `problem_type` says; without it a single label is a score, as transformers trains it.
fn activation(config: &Settings, labels: usize) -> Result<Activation, Error> {
    match config.text(&["problem_type"])? {
        Some("regression") => Ok(Activation::None),
        Some("single_label_classification") => Ok(Activation::Softmax),
        Some("multi_label_classification") => Ok(Activation::Sigmoid),
        Some(other) => Err(config.error(format!("problem_type: {other:?} is not known"))),
        None if labels == 1 => Ok(Activation::None),
        None => Ok(Activation::Softmax),
    }
}

/// Layer normalisation in 64-bit floats, rounded once.
fn apply_norm(norm: &Norm, x: &mut [f32]) {
    let count = x.len() as f64;
    let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
    let variance = x.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / count;
    let scale = 1.0 / (variance + f64::from(norm.epsilon)).sqrt();
    for (i, x) in x.iter_mut().enumerate() {
        let bias = norm.bias.get(i).map_or(0.0, |&bias| f64::from(bias));
        *x = ((f64::from(*x) - mean) * scale * f64::from(norm.weight[i]) + bias) as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(activation: Activation, numbers: &[f32]) -> Vec<f32> {
        let mut numbers = numbers.to_vec();
        activation.apply(&mut numbers);
        numbers
    }

    #[test]
    fn activations_are_those_of_their_names() {
        assert_eq!(applied(Activation::None, &[2.5, -1.0]), [2.5, -1.0]);
        assert_eq!(applied(Activation::Sigmoid, &[0.0, 200.0, -200.0]), [0.5, 1.0, 0.0]);
        assert_eq!(applied(Activation::Softmax, &[700.0, 700.0]), [0.5, 0.5]);
        let thirds = applied(Activation::Softmax, &[0.0, 2_f32.ln()]);
        assert!((thirds[0] - 1.0 / 3.0).abs() < 1e-7 && (thirds[1] - 2.0 / 3.0).abs() < 1e-7, "{thirds:?}");
    }
}

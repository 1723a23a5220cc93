//! What a model is made of, read from the folder that sentence-transformers or Hugging Face wrote.
//!
//! [`folder::Model::open`] reads such a folder whole: the weights as the neutral [`compute::transformer::Transformer`],
//! the tokenizer, the pooling and what follows it, the prompts. What a folder says is the default that flags override.
//! [`causal::CausalModel::open`] reads the folder of a causal language model, [`classifier::Classifier::open`] that of
//! an encoder that classifies, [`fasttext::FastText::open`] a file of fastText. [`hash`] embeds without any folder.
//!
//! A crate of its own, because the tokenizer brings eighty others that no other tool should be built from.

pub mod answers;
mod architecture;
pub mod bos;
pub mod causal;
pub mod classifier;
mod definition;
mod error;
pub mod fasttext;
pub mod folder;
pub mod hash;
pub mod head;
mod json;
mod numbers;
mod patterns;
pub mod pooling;
pub mod tokenizer;
pub mod tokens;
mod weights;

pub use error::Error;

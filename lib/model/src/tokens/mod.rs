//! Text to token ids for training, at speed, and exactly as the tokenizer's own implementation does it.
//!
//! [`Tokens`] is a tokenizer, from a `tokenizer.json` or a SentencePiece model; an [`Encoder`] is what one thread needs
//! to use it; [`Tokens::decode`] is the way back. Texts are cut into words where the tokenizer certainly ends a token,
//! and the ids of words are remembered.

mod json;
mod letters;
mod memo;
mod merges;
mod near;
mod normalize;
mod seams;
mod sentencepiece;
mod special;
mod split;
mod surfaces;
mod trie;
mod unigram;
mod window;

use crate::Error;
use json::Json;
use sentencepiece::SentencePiece;
use special::Edge;
use std::fmt::Display;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a text cannot be tokenized.
#[derive(Debug)]
pub(crate) struct Failed(pub(crate) String);

impl Failed {
    fn new(why: impl Display) -> Failed {
        Failed(why.to_string())
    }
}

impl From<String> for Failed {
    fn from(why: String) -> Failed {
        Failed(why)
    }
}

/// A tokenizer, ready for any number of threads.
pub struct Tokens {
    kind: Kind,
    path: PathBuf,
    before: Vec<u32>,
    behind: Vec<u32>,
    id_max: u32,
}

enum Kind {
    Json(Box<Json>),
    SentencePiece(Box<SentencePiece>),
}

impl Tokens {
    /// Reads a `tokenizer.json` or a SentencePiece model. The first's truncation and padding are put aside.
    ///
    /// # Errors
    /// Where the file cannot be read, or is not of a kind that is known.
    pub fn open(path: &Path) -> Result<Tokens, Error> {
        if path.is_dir() {
            return Err(Error::new(path, "is a directory"));
        }
        let bytes = std::fs::read(path).map_err(|why| match why.kind() {
            ErrorKind::NotFound => Error::absent(path, "No such file or directory"),
            _ => Error::io(path, &why),
        })?;
        let is_json = bytes.trim_ascii_start().starts_with(b"{");
        let opened = if is_json { Tokens::json(path, bytes) } else { Tokens::sentencepiece(path, &bytes) };
        opened.map_err(|why| Error::new(path, why.0))
    }

    fn json(path: &Path, bytes: Vec<u8>) -> Result<Tokens, Failed> {
        let json = Json::new(bytes)?;
        let (before, behind) = json.around.clone();
        let id_max = before.iter().chain(&behind).copied().fold(json.id_max, u32::max);
        Ok(Tokens { kind: Kind::Json(Box::new(json)), path: path.to_path_buf(), before, behind, id_max })
    }

    fn sentencepiece(path: &Path, bytes: &[u8]) -> Result<Tokens, Failed> {
        let model = SentencePiece::new(bytes)?;
        let id_max = model.count() as u32 - 1;
        let (before, behind) = Default::default();
        Ok(Tokens { kind: Kind::SentencePiece(Box::new(model)), path: path.to_path_buf(), before, behind, id_max })
    }

    /// The largest id that can come out.
    pub fn id_max(&self) -> u32 {
        self.id_max
    }

    /// What the tokenizer puts before and behind every text by itself.
    pub fn around(&self) -> (Vec<u32>, Vec<u32>) {
        (self.before.clone(), self.behind.clone())
    }

    /// The token that begins texts: this one, or the one that the tokenizer's files name.
    ///
    /// # Errors
    /// Where there is no such token, or the files name none.
    pub fn bos(&self, token: Option<&str>) -> Result<u32, Error> {
        self.edge(token, Edge::Bos)
    }

    /// The token that ends texts.
    ///
    /// # Errors
    /// Where there is no such token, or the files name none.
    pub fn eos(&self, token: Option<&str>) -> Result<u32, Error> {
        self.edge(token, Edge::Eos)
    }

    fn edge(&self, token: Option<&str>, edge: Edge) -> Result<u32, Error> {
        let id = |token: &str| match &self.kind {
            Kind::Json(json) => json.id(token),
            Kind::SentencePiece(model) => model.id(token),
        };
        let trained = match (&self.kind, edge) {
            (Kind::Json(_), _) => None,
            (Kind::SentencePiece(model), Edge::Bos) => Some(model.bos()),
            (Kind::SentencePiece(model), Edge::Eos) => Some(model.eos()),
        };
        match (token, trained) {
            (Some(token), _) => id(token).ok_or_else(|| Error::new(&self.path, format!("no token {token:?}"))),
            (None, Some(Some(id))) => Ok(id),
            (None, Some(None)) => Err(Error::new(&self.path, format!("trained without a token that {}", edge.does()))),
            (None, None) => edge.find(&self.path, id),
        }
    }

    /// The text of some ids, without special tokens, as the tokenizer's own implementation makes it.
    ///
    /// # Errors
    /// Where an id is of no token.
    pub fn decode(&self, ids: &[u32]) -> Result<String, String> {
        match &self.kind {
            Kind::Json(json) => json.decode(ids).map_err(|why| why.0),
            Kind::SentencePiece(model) => model.decode(ids).map_err(|why| why.0),
        }
    }

    /// What tokenizes: `words`, `reference` (Hugging Face's own, for kinds that are not known well enough) or
    /// `sentencepiece`.
    pub fn kind(&self) -> &'static str {
        match &self.kind {
            Kind::Json(json) if json.is_reference() => "reference",
            Kind::Json(_) => "words",
            Kind::SentencePiece(_) => "sentencepiece",
        }
    }
}

/// A thread's encoder: the tokenizer, with the words that it met.
pub struct Encoder {
    tokens: Arc<Tokens>,
    memory: Memory,
}

enum Memory {
    Json(Box<json::Memory>),
    SentencePiece(Box<sentencepiece::Memory>),
}

impl Encoder {
    /// One that has met no word yet.
    pub fn new(tokens: Arc<Tokens>) -> Encoder {
        let memory = match tokens.kind {
            Kind::Json(_) => Memory::Json(Box::new(json::Memory::new())),
            Kind::SentencePiece(_) => Memory::SentencePiece(Box::new(sentencepiece::Memory::new())),
        };
        Encoder { tokens, memory }
    }

    /// Appends the ids of a text, without anything around it.
    ///
    /// # Errors
    /// Why the text has no ids; some may have been appended.
    pub fn encode(&mut self, text: &str, ids: &mut Vec<u32>) -> Result<(), String> {
        let done = match (&self.tokens.kind, &mut self.memory) {
            (Kind::Json(json), Memory::Json(memory)) => json.encode(text, memory, ids),
            (Kind::SentencePiece(model), Memory::SentencePiece(memory)) => model.encode(text, memory, ids),
            _ => unreachable!("an encoder's memory is of its tokenizer's kind"),
        };
        done.map_err(|why| why.0)
    }
}

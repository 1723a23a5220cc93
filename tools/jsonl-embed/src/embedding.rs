//! From texts to vectors: by a model, or by hashing.

use compute::backend::Backend;
use compute::encoder::Precision;
use model::folder::Model;
use model::hash::Embedder;
use model::head::normalize;
use ngram::words::{Tokenizer, Words};

/// What becomes of a text that is longer than the model takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Long {
    /// It is cut.
    #[default]
    Cut,
    /// It is embedded in windows whose vectors are averaged.
    ChunkMean,
}

/// An embedding, ready to use; threads share it.
pub struct Embedding<B> {
    kind: Kind<B>,
    dim: usize,
    prefix: String,
}

enum Kind<B> {
    Hash,
    Model { model: Box<Model>, backend: Box<B>, precision: Precision },
}

/// Tokens that go through the encoder together, about: it takes a few hundred rows at a time through all layers.
const TOKENS: usize = 4096;

impl<B: Backend> Embedding<B> {
    /// The embedded default.
    pub fn hash(dim: usize, prefix: String) -> Embedding<B> {
        Embedding { kind: Kind::Hash, dim, prefix }
    }

    /// A model whose weights are in `backend`.
    pub fn model(model: Model, backend: B, precision: Precision, dim: usize, prefix: String) -> Embedding<B> {
        let kind = Kind::Model { model: Box::new(model), backend: Box::new(backend), precision };
        Embedding { kind, dim, prefix }
    }

    /// Values of a vector.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// What the statistics call the arithmetic.
    pub fn precision(&self) -> &'static str {
        match self.kind {
            Kind::Hash => "exact",
            Kind::Model { precision, .. } => precision.name(),
        }
    }
}

/// A sequence of tokens: a text, or a window of one.
struct Sequence {
    /// Place of the text's vector among the rows.
    row: usize,
    /// Tokens, special ones included.
    length: usize,
}

/// The vectors of some texts in the making. One a thread; it keeps its buffers.
pub struct Vectors<B: Backend> {
    /// Rows, one after the other.
    pub values: Vec<f32>,
    /// Texts that were cut.
    pub cut: u64,
    /// Tokens, special ones included; words for hashing.
    pub tokens: u64,
    text: String,
    ids: Vec<u32>,
    sequences: Vec<Sequence>,
    window: Vec<u32>,
    memory: B::Memory,
    dense: Vec<f32>,
    vector: Vec<f32>,
    words: Words,
    embedder: Option<Embedder>,
}

impl<B: Backend> Vectors<B> {
    /// No rows yet.
    pub fn new(embedding: &Embedding<B>) -> Vectors<B> {
        Vectors {
            values: Vec::new(),
            cut: 0,
            tokens: 0,
            text: String::new(),
            ids: Vec::new(),
            sequences: Vec::new(),
            window: Vec::new(),
            memory: B::Memory::default(),
            dense: Vec::new(),
            vector: Vec::new(),
            words: Words::new(Tokenizer::Words),
            embedder: matches!(embedding.kind, Kind::Hash).then(|| Embedder::new(embedding.dim)),
        }
    }

    /// Appends a row for this text. It may be computed only by [`Vectors::finish`]. A lone surrogate counts as U+FFFD.
    pub fn push(&mut self, embedding: &Embedding<B>, long: Long, text: &[u8]) -> Result<(), String> {
        self.text.clear();
        self.text.push_str(&embedding.prefix);
        self.text.push_str(&String::from_utf8_lossy(text));
        match &embedding.kind {
            Kind::Hash => self.push_hash(),
            Kind::Model { model, backend, .. } => {
                self.push_sequences(model, long)?;
                self.push_missing(embedding);
                if self.ids.len() >= TOKENS {
                    self.encode(model, backend, embedding.dim);
                }
                Ok(())
            }
        }
    }

    /// Appends a row of NaN.
    pub fn push_missing(&mut self, embedding: &Embedding<B>) {
        self.values.resize(self.values.len() + embedding.dim, f32::NAN);
    }

    /// Computes the rows that are not computed yet.
    pub fn finish(&mut self, embedding: &Embedding<B>) {
        if let Kind::Model { model, backend, .. } = &embedding.kind {
            self.encode(model, backend, embedding.dim);
        }
    }

    fn push_hash(&mut self) -> Result<(), String> {
        let embedder = self.embedder.as_mut().expect("made for hashing");
        let found = self.words.find(self.text.as_bytes())?;
        found.words().for_each(|word| embedder.word(word));
        self.tokens += found.len() as u64;
        let start = self.values.len();
        self.values.resize(start + embedder.dim(), 0.0);
        embedder.finish(&mut self.values[start..]);
        Ok(())
    }

    /// Appends the tokens of the text, for the row that comes next.
    fn push_sequences(&mut self, model: &Model, long: Long) -> Result<(), String> {
        let row = self.values.len();
        let before = self.ids.len();
        let Vectors { text, ids, sequences, window, .. } = self;
        let mut push = |tokens: &[u32]| {
            ids.extend_from_slice(tokens);
            sequences.push(Sequence { row, length: tokens.len() });
        };
        match long {
            Long::Cut => {
                let cut = model.tokenizer.encode(text, window).map_err(|why| why.to_string())?;
                self.cut += u64::from(cut);
                push(window);
            }
            Long::ChunkMean => {
                model.tokenizer.encode_windows(text, window, push).map_err(|why| why.to_string())?;
            }
        }
        self.tokens += (self.ids.len() - before) as u64;
        Ok(())
    }

    /// Computes the rows of the sequences that wait, some thousand tokens at a time.
    fn encode(&mut self, model: &Model, backend: &B, dim: usize) {
        let sequences = std::mem::take(&mut self.sequences);
        let (mut ids, mut rest) = (&self.ids[..], &sequences[..]);
        let mut window_sum = WindowSum::new(dim);
        while !rest.is_empty() {
            let lengths: Vec<_> = first_lengths(rest);
            let tokens = lengths.iter().sum();
            let mut hidden = backend.hidden_states(&ids[..tokens], &lengths, &mut self.memory);
            for (place, sequence) in rest[..lengths.len()].iter().enumerate() {
                let (own, behind) = hidden.split_at(sequence.length * model.transformer.hidden);
                hidden = behind;
                model.finish(own, dim, &mut self.dense, &mut self.vector);
                let words = sequence.length.saturating_sub(model.tokenizer.special_tokens());
                window_sum.add(&self.vector, words);
                if rest.get(place + 1).is_none_or(|next| next.row != sequence.row) {
                    window_sum.finish(&mut self.values[sequence.row..][..dim], model.normalize);
                }
            }
            ids = &ids[tokens..];
            rest = &rest[lengths.len()..];
        }
        self.ids.clear();
        self.sequences = sequences;
        self.sequences.clear();
    }
}

/// The mean of a text's windows, by their length. One window is its own mean, to the bit.
struct WindowSum {
    first: Vec<f32>,
    sum: Vec<f64>,
    weight: f64,
    windows: usize,
}

impl WindowSum {
    fn new(dim: usize) -> WindowSum {
        WindowSum { first: vec![0.0; dim], sum: vec![0.0; dim], weight: 0.0, windows: 0 }
    }

    fn add(&mut self, vector: &[f32], tokens: usize) {
        if self.windows == 0 {
            self.first.copy_from_slice(vector);
        }
        // A window without tokens stands alone; its weight must not be 0.
        let weight = tokens.max(1) as f64;
        self.sum.iter_mut().zip(vector).for_each(|(sum, &value)| *sum += weight * f64::from(value));
        self.weight += weight;
        self.windows += 1;
    }

    fn finish(&mut self, row: &mut [f32], is_normalized: bool) {
        if self.windows == 1 {
            row.copy_from_slice(&self.first);
        } else {
            row.iter_mut().zip(&self.sum).for_each(|(value, sum)| *value = (sum / self.weight) as f32);
            if is_normalized {
                normalize(row);
            }
        }
        self.sum.fill(0.0);
        (self.weight, self.windows) = (0.0, 0);
    }
}

/// Lengths of the first sequences that have [`TOKENS`] tokens together, or of the first one.
fn first_lengths(sequences: &[Sequence]) -> Vec<usize> {
    let mut tokens = 0;
    let fits = |sequence: &&Sequence| {
        let is_first = tokens == 0;
        tokens += sequence.length;
        is_first || tokens <= TOKENS
    };
    sequences.iter().take_while(fits).map(|sequence| sequence.length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_average_by_their_tokens() {
        let mut sum = WindowSum::new(2);
        let mut row = [0.0; 2];
        sum.add(&[1.0, 0.0], 3);
        sum.add(&[0.0, 1.0], 1);
        sum.finish(&mut row, false);
        assert_eq!(row, [0.75, 0.25]);
        sum.add(&[0.1, 0.2], 0);
        sum.finish(&mut row, true);
        assert_eq!(row, [0.1, 0.2]);
    }
}

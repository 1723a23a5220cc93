//! From texts to what a classifier says of each: by fastText, or by an encoder with a head.

use compute::encoder::{self, Encoder, Precision};
use model::answers::{Answer, best};
use model::classifier::{self, Classifier};
use model::fasttext::{self, FastText};

/// A classifier, ready to use; threads share it.
pub enum Classification {
    /// A file.
    FastText(Box<FastText>),
    /// A folder, whose weights the encoder has packed.
    Folder {
        /// Tokenizer, head and labels.
        model: Box<Classifier>,
        /// The weights.
        encoder: Box<Encoder>,
        /// What factors are rounded to.
        precision: Precision,
    },
}

/// Tokens that go through the encoder together, about: it takes a few hundred rows at a time through all layers.
const TOKENS: usize = 4096;

impl Classification {
    /// The labels by their number.
    pub fn labels(&self) -> &[String] {
        match self {
            Classification::FastText(model) => model.labels(),
            Classification::Folder { model, .. } => model.labels(),
        }
    }

    /// What the statistics call the arithmetic.
    pub fn precision(&self) -> &'static str {
        match self {
            Classification::Folder { precision, .. } => precision.name(),
            Classification::FastText(_) => Precision::Exact.name(),
        }
    }
}

/// The answers for some texts in the making. One a thread; it keeps its buffers.
#[derive(Default)]
pub struct Answers {
    /// How many answers each text has that the model says something of.
    top: usize,
    /// Whether the model says something of a text, one a text.
    pub is_known: Vec<bool>,
    /// The answers of those texts, greatest first, one text after the other.
    pub list: Vec<Answer>,
    /// Texts that were cut.
    pub cut: u64,
    ids: Vec<u32>,
    lengths: Vec<usize>,
    window: Vec<u32>,
    numbers: Vec<f32>,
    best: Vec<Answer>,
    fasttext: fasttext::Scratch,
    memory: encoder::Scratch,
    head: classifier::Scratch,
}

impl Answers {
    /// No texts yet; each will have the `top` greatest of its labels.
    pub fn new(top: usize) -> Answers {
        Answers { top, ..Answers::default() }
    }

    /// Takes the next text. What is said of it may be known only after [`Answers::finish`].
    pub fn push(&mut self, classification: &Classification, text: &str) -> Result<(), String> {
        match classification {
            Classification::FastText(model) => {
                let found = model.classify(text, self.top, &mut self.fasttext)?;
                self.is_known.push(!found.is_empty());
                self.list.extend(found);
            }
            Classification::Folder { model, encoder, .. } => {
                let cut = model.tokenizer.encode(text, &mut self.window).map_err(|why| why.to_string())?;
                self.cut += u64::from(cut);
                self.ids.extend(&self.window);
                self.lengths.push(self.window.len());
                if self.ids.len() >= TOKENS {
                    self.encode(model, encoder);
                }
            }
        }
        Ok(())
    }

    /// Computes what is not computed yet.
    pub fn finish(&mut self, classification: &Classification) {
        if let Classification::Folder { model, encoder, .. } = classification {
            self.encode(model, encoder);
        }
    }

    /// Computes the answers of the texts that wait: one text too many at the most goes over [`TOKENS`].
    fn encode(&mut self, model: &Classifier, encoder: &Encoder) {
        if self.lengths.is_empty() {
            return;
        }
        let mut hidden = encoder.forward(&self.ids, &self.lengths, &mut self.memory);
        for length in self.lengths.drain(..) {
            let (own, behind) = hidden.split_at(length * model.transformer.hidden);
            hidden = behind;
            model.numbers(own, &mut self.head, &mut self.numbers);
            // Sums of finite weights that are not finite are no answer.
            let is_known = self.numbers.iter().all(|number| number.is_finite());
            self.is_known.push(is_known);
            if is_known {
                best(&self.numbers, self.top, &mut self.best);
                self.list.extend(&self.best);
            }
        }
        self.ids.clear();
    }
}

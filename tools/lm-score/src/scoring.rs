//! From texts to the negative log-likelihoods of their tokens.

use crate::passage::{Long, windows};
use compute::decoder::Decoder;
use compute::encoder::Scratch;
use model::tokenizer::Tokenizer;

/// A model and how texts are shown to it; threads share it.
pub struct Scoring {
    /// The model.
    pub decoder: Decoder,
    /// Text to tokens.
    pub tokenizer: Tokenizer,
    /// Tokens before every text.
    pub before: Vec<u32>,
    /// Tokens behind every text.
    pub behind: Vec<u32>,
    /// The most tokens that the model sees.
    pub length_max: usize,
    /// What becomes of longer texts.
    pub long: Long,
    /// So many of the last tokens are scored; `None`: all.
    pub last: Option<usize>,
}

/// What became of a text.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Score {
    /// The sum of the negative log-likelihoods of the scored tokens, in nats.
    pub sum: f64,
    /// How many were scored.
    pub tokens: u64,
    /// Whether the text was cut.
    pub is_cut: bool,
    /// Whether the tokens of the prompt alone do not begin those of prompt and text.
    pub is_split: bool,
}

impl Score {
    /// The mean over the scored tokens; NaN where there are none.
    pub fn mean(&self) -> f64 {
        self.sum / self.tokens as f64
    }
}

/// Tokens that go through the model together, about.
const TOKENS: usize = 4096;

/// The scores of some texts in the making. One a thread; it keeps its buffers.
#[derive(Default)]
pub struct Scores {
    /// One a text. What its last texts have may not be there before [`Scores::finish`].
    pub texts: Vec<Score>,
    /// The negative log-likelihood of each scored token, text after text.
    pub tokens: Vec<f32>,
    /// Windows that wait: tokens, what comes behind each where it is scored, lengths, and for each the text that it is
    /// of.
    ids: Vec<u32>,
    next: Vec<Option<u32>>,
    lengths: Vec<usize>,
    owners: Vec<usize>,
    text: Vec<u32>,
    prompt: Vec<u32>,
    scratch: Scratch,
}

impl Scores {
    /// Appends the score of `text`, of what comes behind `prompt` where there is one.
    ///
    /// # Errors
    /// Where the tokenizer refuses the text.
    pub fn push(&mut self, scoring: &Scoring, prompt: Option<&str>, text: &str) -> Result<(), String> {
        let (first, mut score) = self.tokenize(scoring, prompt, text)?;
        let length = self.text.len();
        let end = if scoring.long == Long::Cut { length.min(scoring.length_max) } else { length };
        score.is_cut |= end < length;
        let first = first.max(end.saturating_sub(scoring.last.unwrap_or(end))).max(1);
        for window in windows(length, first, scoring.length_max, scoring.long) {
            let start = self.next.len();
            self.ids.extend_from_slice(&self.text[window.seen.clone()]);
            self.next.resize(self.ids.len(), None);
            for place in window.scored {
                self.next[start + place - 1 - window.seen.start] = Some(self.text[place]);
                score.tokens += 1;
            }
            self.lengths.push(window.seen.len());
            self.owners.push(self.texts.len());
        }
        self.texts.push(score);
        if self.ids.len() >= TOKENS {
            self.run(scoring);
        }
        Ok(())
    }

    /// Appends a score of nothing.
    pub fn push_missing(&mut self) {
        self.texts.push(Score::default());
    }

    /// Computes what is not computed yet.
    pub fn finish(&mut self, scoring: &Scoring) {
        self.run(scoring);
    }

    /// Fills `self.text`, special tokens included; gives the place of the first token behind the prompt.
    fn tokenize(&mut self, scoring: &Scoring, prompt: Option<&str>, text: &str) -> Result<(usize, Score), String> {
        let Scoring { tokenizer, before, behind, length_max, long, .. } = scoring;
        // One more than is kept, so that the cut is seen.
        let room = if *long == Long::Cut { *length_max } else { usize::MAX };
        let mut score = Score::default();
        let (mut whole, mut first) = (std::borrow::Cow::Borrowed(text), 0);
        self.prompt.clear();
        if let Some(prompt) = prompt {
            // Spaces at the end of a prompt are a part of the word that follows.
            let alone = prompt.trim_end_matches(' ');
            tokenizer.encode_bare(alone, room, &mut self.prompt).map_err(|why| why.to_string())?;
            first = self.prompt.len();
            whole = format!("{prompt}{text}").into();
        }
        score.is_cut = tokenizer.encode_bare(&whole, room, &mut self.text).map_err(|why| why.to_string())?;
        score.is_split = !self.text.starts_with(&self.prompt);
        self.text.splice(..0, before.iter().copied());
        if !score.is_cut {
            self.text.extend_from_slice(behind);
        }
        Ok((before.len() + first, score))
    }

    /// Computes the windows that wait and adds their numbers to the scores of their texts, in order.
    fn run(&mut self, scoring: &Scoring) {
        let mut found = scoring.decoder.score(&self.ids, &self.lengths, &self.next, &mut self.scratch).iter();
        let mut start = 0;
        for (&length, &owner) in self.lengths.iter().zip(&self.owners) {
            let scored = self.next[start..start + length].iter().flatten().count();
            for &number in found.by_ref().take(scored) {
                self.texts[owner].sum += number;
                self.tokens.push(number as f32);
            }
            start += length;
        }
        self.ids.clear();
        self.next.clear();
        self.lengths.clear();
        self.owners.clear();
    }
}

//! From texts, or tokens, to the negative log-likelihoods of tokens, and to the likeliest ones.

use crate::passage::{Long, windows};
use compute::decoder::{Decoder, Predictions};
use compute::encoder::Scratch;
use model::bos::Bos;
use model::tokenizer::Tokenizer;

/// A model and how texts are shown to it; threads share it.
pub struct Scoring {
    /// The model; `None`: what waits is scored elsewhere, block by block.
    pub decoder: Option<Decoder>,
    /// How many tokens the model knows.
    pub vocabulary: usize,
    /// Text to tokens.
    pub tokenizer: Tokenizer,
    /// Whether a text that begins with the tokens before texts has them once more.
    pub bos: Bos,
    /// Tokens before texts.
    pub before: Vec<u32>,
    /// Tokens behind every text.
    pub behind: Vec<u32>,
    /// The most tokens that the model sees.
    pub length_max: usize,
    /// What becomes of longer texts.
    pub long: Long,
    /// So many of the last tokens are scored; `None`: all.
    pub last: Option<usize>,
    /// Of a context that is given as tokens, the model sees so many of the last.
    pub context_max: usize,
    /// So many of the likeliest tokens are told behind each token; 0: nobody asks.
    pub top: usize,
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
    /// Behind how many of its tokens the likeliest are told.
    pub told: usize,
}

impl Score {
    /// The mean over the scored tokens; NaN where there are none.
    pub fn mean(&self) -> f64 {
        self.sum / self.tokens as f64
    }
}

/// The likeliest tokens behind some tokens.
#[derive(Debug, Default)]
pub struct Likeliest {
    /// Likeliest first, as many behind each token as are asked for.
    pub tokens: Vec<u32>,
    /// Their probabilities, and behind those the probability of all others together.
    pub probabilities: Vec<f32>,
}

/// What is asked of a window: its last tokens see it all, and so many of them are asked for what comes next.
#[derive(Debug, Clone, Copy)]
struct Asked {
    /// The text that it is of.
    owner: usize,
    /// How many are asked at all.
    count: usize,
    /// How many of these, from the first on, have a next token that is scored.
    scored: usize,
    /// Behind how many of these, up to the last, the likeliest are told.
    told: usize,
}

/// Tokens that go through the model together, about.
const TOKENS: usize = 4096;

/// What a model says of the windows that wait.
#[derive(Debug, Clone, Copy)]
pub struct Waiting<'a> {
    /// Their tokens, one window after another.
    pub ids: &'a [u32],
    /// Their lengths.
    pub lengths: &'a [usize],
    /// What comes behind each token that is asked.
    pub next: &'a [Option<u32>],
}

/// The scores of some texts in the making. One a thread; it keeps its buffers.
#[derive(Default)]
pub struct Scores {
    /// One a text. What its last texts have may not be there before [`Scores::finish`].
    pub texts: Vec<Score>,
    /// The negative log-likelihood of each scored token, text after text.
    pub tokens: Vec<f32>,
    /// The likeliest tokens, text after text.
    pub likeliest: Likeliest,
    /// Windows that wait, their lengths, their tokens, and what comes behind each where it is asked for.
    windows: Vec<Asked>,
    lengths: Vec<usize>,
    ids: Vec<u32>,
    next: Vec<Option<u32>>,
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
        let (first, score) = self.tokenize(scoring, prompt, text)?;
        self.place(scoring, first, score);
        Ok(())
    }

    /// Appends the score of tokens, of what comes behind `context`.
    ///
    /// # Errors
    /// A token that the model does not know.
    pub fn push_ids(&mut self, scoring: &Scoring, context: &[u32], ids: &[u32]) -> Result<(), String> {
        let context = &context[context.len().saturating_sub(scoring.context_max)..];
        let known = scoring.vocabulary;
        for (name, ids) in [("token", ids), ("token of the context", context)] {
            if let Some(place) = ids.iter().position(|&id| id as usize >= known) {
                return Err(format!("{name} {}: expected 0 to {}, found {}", place + 1, known - 1, ids[place]));
            }
        }
        self.text.clear();
        self.text.extend(context.iter().chain(ids));
        self.place(scoring, context.len(), Score::default());
        Ok(())
    }

    /// Asks for the tokens of `self.text` from `first` on.
    fn place(&mut self, scoring: &Scoring, first: usize, mut score: Score) {
        let length = self.text.len();
        let end = if scoring.long == Long::Cut { length.min(scoring.length_max) } else { length };
        score.is_cut |= end < length;
        let first = first.max(end.saturating_sub(scoring.last.unwrap_or(end)));
        let owner = self.texts.len();
        if scoring.top > 0 {
            self.place_whole(first, end, &mut score);
        } else {
            for window in windows(length, first.max(1), scoring.length_max, scoring.long) {
                let count = window.scored.len();
                score.tokens += count as u64;
                let seen = self.text[window.seen.clone()].to_vec();
                let next = self.text[window.scored].iter().map(|&id| Some(id)).collect::<Vec<_>>();
                self.ask(&seen, next, Asked { owner, count, scored: count, told: 0 });
            }
        }
        self.texts.push(score);
        if self.ids.len() >= TOKENS {
            self.finish(scoring);
        }
    }

    /// The same of the whole text up to `end`, and what may come behind each of those tokens, the last one too.
    fn place_whole(&mut self, first: usize, end: usize, score: &mut Score) {
        if first >= end {
            return;
        }
        let from = first.max(1);
        score.told = end - first;
        score.tokens = (end - from) as u64;
        let seen = self.text[..end].to_vec();
        // Nobody looks at how likely the token behind the last one is.
        let next: Vec<_> = seen[from..].iter().chain(&[0]).map(|&id| Some(id)).collect();
        let (owner, count) = (self.texts.len(), next.len());
        self.ask(&seen, next, Asked { owner, count, scored: end - from, told: score.told });
    }

    fn ask(&mut self, seen: &[u32], next: Vec<Option<u32>>, asked: Asked) {
        self.ids.extend_from_slice(seen);
        self.next.resize(self.ids.len() - next.len(), None);
        self.next.extend(next);
        self.lengths.push(seen.len());
        self.windows.push(asked);
    }

    /// Appends a score of nothing.
    pub fn push_missing(&mut self) {
        self.texts.push(Score::default());
    }

    /// Computes what is not computed yet, where the model is whole.
    pub fn finish(&mut self, scoring: &Scoring) {
        let Some(decoder) = &scoring.decoder else { return };
        let mut scratch = std::mem::take(&mut self.scratch);
        self.spread(&decoder.predict(&self.ids, &self.lengths, &self.next, scoring.top, &mut scratch), scoring.top);
        self.scratch = scratch;
    }

    /// What waits.
    pub fn waiting(&self) -> Waiting<'_> {
        Waiting { ids: &self.ids, lengths: &self.lengths, next: &self.next }
    }

    /// Hands all over but the buffers, and begins anew.
    pub fn hand_over(&mut self) -> Scores {
        let scratch = std::mem::take(&mut self.scratch);
        std::mem::replace(self, Scores { scratch, ..Scores::default() })
    }

    /// Fills `self.text`, special tokens included; gives the place of the first token behind the prompt.
    fn tokenize(&mut self, scoring: &Scoring, prompt: Option<&str>, text: &str) -> Result<(usize, Score), String> {
        let Scoring { tokenizer, bos, before, behind, length_max, long, .. } = scoring;
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
        if bos.goes_before(before, &self.text) {
            self.text.splice(..0, before.iter().copied());
            first += before.len();
        }
        if !score.is_cut {
            self.text.extend_from_slice(behind);
        }
        Ok((first, score))
    }

    /// Adds what a model says of what waits, `top` likeliest tokens among it, to the texts, in order.
    pub fn spread(&mut self, found: &Predictions, top: usize) {
        let mut start = 0;
        for Asked { owner, count, scored, told } in self.windows.drain(..) {
            for &number in &found.scores[start..start + scored] {
                self.texts[owner].sum += number;
                self.tokens.push(number as f32);
            }
            start += count;
            let (tokens, probabilities) = (&mut self.likeliest.tokens, &mut self.likeliest.probabilities);
            tokens.extend_from_slice(&found.tokens[(start - told) * top..start * top]);
            if top > 0 {
                let (from, to) = ((start - told) * (top + 1), start * (top + 1));
                probabilities.extend_from_slice(&found.probabilities[from..to]);
            }
        }
        self.ids.clear();
        self.next.clear();
        self.lengths.clear();
    }
}

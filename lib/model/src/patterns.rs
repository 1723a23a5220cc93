//! Whether the reference's regular expressions get to the end of a text.
//!
//! The reference crate takes a search that was given up, because it went back too far, for one that found nothing more:
//! what is left of the text is one word, and its ids are wrong. Here the same searches are made before its ids are
//! believed.

use fancy_regex::Regex;
use serde_json::Value;
use tokenizers::{NormalizerWrapper, OffsetReferential, OffsetType, PreTokenizer, PreTokenizerWrapper, Tokenizer};

/// The pattern of `ByteLevel`.
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

/// In a text of no more bytes GPT-2's pattern goes back a fraction of what it may: no further than a run of white space
/// is long.
const SHORT: usize = 250_000;

/// The regular expressions of a tokenizer that look around, which is where searches can be given up.
#[derive(Debug, Clone)]
pub(crate) struct Patterns {
    /// Of the normalizer.
    normalizer: Vec<Regex>,
    /// Of each step of the pre-tokenizer.
    steps: Vec<Option<Regex>>,
    /// Whether one of them is another than GPT-2's.
    is_strange: bool,
}

impl Patterns {
    /// Those of a tokenizer.
    pub(crate) fn of(tokenizer: &Tokenizer) -> Patterns {
        let value = |part: Option<Value>| part.unwrap_or(Value::Null);
        let normalizer = value(tokenizer.get_normalizer().and_then(|part| serde_json::to_value(part).ok()));
        let mut named = Vec::new();
        regexes(&normalizer, &mut named);
        let normalizer: Vec<_> = named.iter().filter_map(|regex| looking_around(regex)).collect();
        let patterns = steps(tokenizer.get_pre_tokenizer()).iter().map(pattern);
        let patterns: Vec<_> = patterns.collect();
        let is_strange = !normalizer.is_empty() || patterns.iter().flatten().any(|pattern| pattern != GPT2);
        let steps = patterns.into_iter().map(|pattern| looking_around(&pattern?)).collect();
        Patterns { normalizer, steps, is_strange }
    }

    /// Fails where a search of this text is given up.
    ///
    /// # Errors
    /// Says so, and why.
    pub(crate) fn check(&self, tokenizer: &Tokenizer, text: &str) -> Result<(), String> {
        let none = self.normalizer.is_empty() && self.steps.iter().all(Option::is_none);
        if none || !self.is_strange && text.len() <= SHORT {
            return Ok(());
        }
        self.normalizer.iter().try_for_each(|regex| search(regex, text))?;
        let normalizer: Option<&NormalizerWrapper> = tokenizer.get_normalizer();
        let mut parts = tokenizer.get_added_vocabulary().extract_and_normalize(normalizer, text);
        for (step, regex) in steps(tokenizer.get_pre_tokenizer()).iter().zip(&self.steps) {
            let texts = parts.get_splits(OffsetReferential::Normalized, OffsetType::None);
            // A part that has tokens already is an added token, which no pattern cuts.
            let texts = texts.iter().filter(|(_, _, tokens)| tokens.is_none()).map(|&(text, _, _)| text);
            regex.iter().try_for_each(|regex| texts.clone().try_for_each(|text| search(regex, text)))?;
            step.pre_tokenize(&mut parts).map_err(|why| why.to_string())?;
        }
        Ok(())
    }
}

fn steps(pre_tokenizer: Option<&PreTokenizerWrapper>) -> &[PreTokenizerWrapper] {
    match pre_tokenizer {
        Some(PreTokenizerWrapper::Sequence(steps)) => steps.as_ref(),
        step => step.map_or(&[], std::slice::from_ref),
    }
}

/// The regular expression that a step cuts by.
fn pattern(step: &PreTokenizerWrapper) -> Option<String> {
    match step {
        PreTokenizerWrapper::ByteLevel(step) => step.use_regex.then(|| GPT2.to_string()),
        PreTokenizerWrapper::Split(_) => {
            serde_json::to_value(step).ok()?["pattern"]["Regex"].as_str().map(str::to_string)
        }
        _ => None,
    }
}

/// Everything that is called a regular expression.
fn regexes(part: &Value, found: &mut Vec<String>) {
    match part {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| match value.as_str() {
            Some(regex) if name == "Regex" => found.push(regex.to_string()),
            _ => regexes(value, found),
        }),
        Value::Array(parts) => parts.iter().for_each(|part| regexes(part, found)),
        _ => {}
    }
}

/// The pattern, if it is one of those that go back: others are what the parser of plain regular expressions takes.
fn looking_around(regex: &str) -> Option<Regex> {
    regex_syntax::parse(regex).is_err().then(|| Regex::new(regex).ok())?
}

fn search(regex: &Regex, text: &str) -> Result<(), String> {
    let given_up = regex.find_iter(text).find_map(Result::err);
    given_up.map_or(Ok(()), |why| Err(format!("a pattern of the tokenizer gives up on the text: {why}")))
}

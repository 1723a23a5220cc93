//! A `tokenizer.json`, looked through before the reference crate reads it: that one panics where the JSON ends within
//! the decoder, and where a template names what is not there, takes memory for every number up to the largest id, and
//! of two tokens of one id decodes now to the one and now to the other.

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt;
use tokenizers::Tokenizer;

/// No vocabulary has ids beyond this, a hundred times the largest there are.
const ID_MAX: u64 = (1 << 24) - 1;

/// Reads a tokenizer.
///
/// # Errors
/// What is wrong with the file.
pub(crate) fn read(bytes: &[u8]) -> Result<Tokenizer, String> {
    check(bytes)?;
    Tokenizer::from_bytes(bytes).map_err(|why| why.to_string())
}

type Fields<'f> = BTreeMap<String, &'f RawValue>;

fn check(bytes: &[u8]) -> Result<(), String> {
    let file: Fields = parse("", bytes)?;
    if let Some(part) = file.get("post_processor") {
        check_templates(&parse("post_processor: ", part.get().as_bytes())?)?;
    }
    if let Some(part) = file.get("added_tokens") {
        let tokens: Vec<Value> = parse("added_tokens: ", part.get().as_bytes())?;
        check_ids("added_tokens", tokens.iter().filter_map(|token| token["id"].as_u64()).collect())?;
    }
    // Of another kind than an object it is the reference's to refuse.
    let model = file.get("model").and_then(|part| serde_json::from_str::<Fields>(part.get()).ok());
    match model.as_ref().and_then(|model| model.get("vocab")) {
        Some(vocabulary) if vocabulary.get().starts_with('{') => {
            check_ids("model.vocab", parse::<Ids>("model.vocab: ", vocabulary.get().as_bytes())?.0)
        }
        _ => Ok(()),
    }
}

fn parse<'f, T: Deserialize<'f>>(place: &str, text: &'f [u8]) -> Result<T, String> {
    serde_json::from_slice(text).map_err(|why| format!("{place}{why}"))
}

/// Refuses ids that are too large, or that come twice.
fn check_ids(place: &str, mut ids: Vec<u64>) -> Result<(), String> {
    ids.sort_unstable();
    if let Some(id) = ids.last().filter(|&&id| id > ID_MAX) {
        return Err(format!("{place}: id {id}: expected no more than {ID_MAX}"));
    }
    let twice = ids.windows(2).find(|pair| pair[0] == pair[1]);
    twice.map_or(Ok(()), |pair| Err(format!("{place}: id {}: expected one token, found several", pair[0])))
}

/// Refuses templates of a single text that name a second one, or a special token that is not listed.
fn check_templates(processor: &Value) -> Result<(), String> {
    for part in processor["processors"].as_array().into_iter().flatten() {
        check_templates(part)?;
    }
    for piece in processor["single"].as_array().into_iter().flatten() {
        let token = piece["SpecialToken"]["id"].as_str();
        if let Some(token) = token.filter(|&token| processor["special_tokens"][token].is_null()) {
            return Err(format!("post_processor: special token {token:?}: expected it in special_tokens"));
        }
        if piece["Sequence"]["id"] == "B" {
            return Err("post_processor: single: expected only text A, found B".to_string());
        }
    }
    Ok(())
}

/// The ids of a vocabulary.
struct Ids(Vec<u64>);

impl<'f> Deserialize<'f> for Ids {
    fn deserialize<D: Deserializer<'f>>(deserializer: D) -> Result<Ids, D::Error> {
        deserializer.deserialize_map(Ids(Vec::new()))
    }
}

impl<'f> Visitor<'f> for Ids {
    type Value = Ids;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a token's id")
    }

    fn visit_map<A: MapAccess<'f>>(mut self, mut map: A) -> Result<Ids, A::Error> {
        while let Some((_, id)) = map.next_entry::<IgnoredAny, u64>()? {
            self.0.push(id);
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{"version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [{"id": 2, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true}],
        "normalizer": null, "pre_tokenizer": null,
        "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}}], "pair": [],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [2], "tokens": ["<s>"]}}},
        "decoder": {"type": "BPEDecoder", "suffix": "</w>"},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "vocab": {"a": 0, "b": 1, "<s>": 2}, "merges": []}}"#;

    #[track_caller]
    fn refused(from: &str, to: &str, said: &str) {
        assert!(FILE.contains(from), "{from}");
        assert_eq!(read(FILE.replace(from, to).as_bytes()).map(|_| ()), Err(said.to_string()));
    }

    #[test]
    fn what_the_reference_cannot_be_given_is_refused() {
        assert!(read(FILE.as_bytes()).is_ok());
        for end in 1..FILE.len() {
            assert!(read(&FILE.as_bytes()[..end]).is_err(), "cut at {end}");
        }
        refused(r#""b": 1"#, r#""b": 4294967294"#, "model.vocab: id 4294967294: expected no more than 16777215");
        refused(r#""b": 1"#, r#""b": 1000000000"#, "model.vocab: id 1000000000: expected no more than 16777215");
        refused(r#""b": 1"#, r#""b": 0"#, "model.vocab: id 0: expected one token, found several");
        refused(r#"[{"id": 2"#, r#"[{"id": 16777216"#, "added_tokens: id 16777216: expected no more than 16777215");
        let unknown = r#"post_processor: special token "<t>": expected it in special_tokens"#;
        refused(r#"{"SpecialToken": {"id": "<s>""#, r#"{"SpecialToken": {"id": "<t>""#, unknown);
        refused(r#"{"id": "A""#, r#"{"id": "B""#, "post_processor: single: expected only text A, found B");
    }
}

//! A `tokenizer.json`, looked through before the reference crate reads it: that one panics where the JSON ends within
//! the decoder, and where a template names what is not there, takes memory for every number up to the largest id, and
//! of two tokens of one id decodes now to the one and now to the other.

use crate::numbers::NumberMap;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
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
    Definition::new(bytes)?.whole()
}

type Fields<'f> = BTreeMap<String, &'f RawValue>;

/// The ids of tokens.
pub(crate) type Vocabulary<'d> = NumberMap<&'d str, u32>;

/// Two tokens that become one, in the order of the list.
pub(crate) type Merge<'f> = (Cow<'f, str>, Cow<'f, str>);

/// A file that was looked through.
pub(crate) struct Definition<'f> {
    bytes: &'f [u8],
    file: Fields<'f>,
    model: Fields<'f>,
    /// Empty where the model has no map of tokens.
    tokens: Vec<(Cow<'f, str>, u64)>,
    added: Vec<Value>,
}

impl<'f> Definition<'f> {
    /// Looks through a file.
    ///
    /// # Errors
    /// What of it the reference crate cannot be given.
    pub(crate) fn new(bytes: &'f [u8]) -> Result<Definition<'f>, String> {
        let file: Fields = parse("", bytes)?;
        let mut added = Vec::new();
        if let Some(part) = file.get("post_processor") {
            check_templates(&parse("post_processor: ", part.get().as_bytes())?)?;
        }
        if let Some(part) = file.get("added_tokens") {
            added = parse::<Vec<Value>>("added_tokens: ", part.get().as_bytes())?;
            check_ids("added_tokens", added.iter().filter_map(|token| token["id"].as_u64()).collect())?;
        }
        // Of another kind than an object it is the reference's to refuse.
        let model = file.get("model").and_then(|part| serde_json::from_str::<Fields>(part.get()).ok());
        let model = model.unwrap_or_default();
        let mut tokens = Vec::new();
        if let Some(part) = model.get("vocab").filter(|part| part.get().starts_with('{')) {
            tokens = parse::<Tokens>("model.vocab: ", part.get().as_bytes())?.0;
            check_ids("model.vocab", tokens.iter().map(|&(_, id)| id).collect())?;
        }
        Ok(Definition { bytes, file, model, tokens, added })
    }

    /// The reference.
    ///
    /// # Errors
    /// What it says.
    pub(crate) fn whole(&self) -> Result<Tokenizer, String> {
        Tokenizer::from_bytes(self.bytes).map_err(|why| why.to_string())
    }

    /// The model's own tokens. Of a token that comes twice, the last id counts.
    pub(crate) fn vocabulary(&self) -> Vocabulary<'_> {
        self.tokens.iter().map(|(token, id)| (&**token, *id as u32)).collect()
    }

    /// The reference without the tokens and merges of its model, which take most of the time to read, and the merges;
    /// `None`: the model is not byte-pair encoding, or something is wrong with it, which the whole reference says.
    pub(crate) fn without_vocabulary(&self) -> Option<(Tokenizer, Vec<Merge<'f>>)> {
        if self.model.get("type")?.get() != "\"BPE\"" {
            return None;
        }
        let list = self.model.get("merges")?.get();
        let merges: Option<Vec<Merge>> = match serde_json::from_str::<Vec<Text>>(list) {
            Ok(lines) => lines.into_iter().map(|line| line.halves()).collect(),
            Err(_) => serde_json::from_str::<Vec<(Text, Text)>>(list)
                .ok()
                .map(|pairs| pairs.into_iter().map(|(left, right)| (left.0, right.0)).collect()),
        };
        let mut model = self.model.clone();
        model.insert("vocab".to_string(), serde_json::from_str("{}").expect("it is JSON"));
        model.insert("merges".to_string(), serde_json::from_str("[]").expect("it is JSON"));
        let model = serde_json::value::to_raw_value(&model).ok()?;
        let mut file = self.file.clone();
        file.insert("model".to_string(), &model);
        let rest = Tokenizer::from_bytes(serde_json::to_vec(&file).ok()?).ok()?;
        Some((rest, merges?))
    }

    /// The added tokens by the ids that the reference gives them, which need not be those in the file: the model's own,
    /// and then the next ones.
    pub(crate) fn added(&self, vocabulary: &Vocabulary) -> Vec<Value> {
        let mut ids = NumberMap::<&str, usize>::default();
        let mut all = BTreeMap::new();
        for token in &self.added {
            let Some(content) = token["content"].as_str().filter(|content| !content.is_empty()) else { continue };
            let next = vocabulary.len() + ids.len();
            let id = match vocabulary.get(content) {
                Some(&id) => id as usize,
                None => *ids.entry(content).or_insert(next),
            };
            let mut token = token.clone();
            token["id"] = id.into();
            all.insert(id, token);
        }
        all.into_values().collect()
    }

    /// The id of a token, added or not.
    pub(crate) fn id(&self, token: &str) -> Option<u32> {
        let vocabulary = self.vocabulary();
        let added = self.added(&vocabulary).into_iter().find(|added| added["content"] == token);
        added.and_then(|added| Some(added["id"].as_u64()? as u32)).or_else(|| vocabulary.get(token).copied())
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

/// The tokens of a vocabulary and their ids, as they come.
struct Tokens<'f>(Vec<(Cow<'f, str>, u64)>);

impl<'f> Deserialize<'f> for Tokens<'f> {
    fn deserialize<D: Deserializer<'f>>(deserializer: D) -> Result<Tokens<'f>, D::Error> {
        deserializer.deserialize_map(Tokens(Vec::new()))
    }
}

impl<'f> Visitor<'f> for Tokens<'f> {
    type Value = Tokens<'f>;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a token's id")
    }

    fn visit_map<A: MapAccess<'f>>(mut self, mut map: A) -> Result<Tokens<'f>, A::Error> {
        while let Some((Text(token), id)) = map.next_entry()? {
            self.0.push((token, id));
        }
        Ok(self)
    }
}

/// A string, borrowed where it has no escapes.
struct Text<'f>(Cow<'f, str>);

impl<'f> Text<'f> {
    /// What is before its only space, and behind.
    fn halves(self) -> Option<Merge<'f>> {
        let halves =
            |text: &str| text.split_once(' ').filter(|(_, right)| !right.contains(' ')).map(|(left, _)| left.len());
        let at = halves(&self.0)?;
        Some(match self.0 {
            Cow::Borrowed(text) => (text[..at].into(), text[at + 1..].into()),
            Cow::Owned(text) => (text[..at].to_string().into(), text[at + 1..].to_string().into()),
        })
    }
}

impl<'f> Deserialize<'f> for Text<'f> {
    fn deserialize<D: Deserializer<'f>>(deserializer: D) -> Result<Text<'f>, D::Error> {
        deserializer.deserialize_str(AnyText)
    }
}

struct AnyText;

impl<'f> Visitor<'f> for AnyText {
    type Value = Text<'f>;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a string")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'f str) -> Result<Text<'f>, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Text<'f>, E> {
        Ok(Text(Cow::Owned(text.to_string())))
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

    /// The reference gives added tokens ids of its own where those in the file are not what it expects.
    #[test]
    fn tokens_have_the_ids_that_the_reference_gives_them() {
        let token = |id: u32, content: &str| {
            format!(
                r#"{{"id": {id}, "content": "{content}", "single_word": false, "lstrip": {}, "rstrip": false,
                "normalized": false, "special": true}}"#,
                id > 8
            )
        };
        for added in [
            vec![(2, "<s>"), (3, "<t>"), (4, "<u>")],
            vec![(7, "<s>"), (1, "<u>"), (5, "<t>")],
            vec![(3, "<t>"), (4, "a"), (9, "<t>"), (5, ""), (6, "<u>")],
        ] {
            let list: Vec<_> = added.iter().map(|&(id, content)| token(id, content)).collect();
            let start = FILE.find(r#"[{"id": 2"#).unwrap();
            let end = FILE.find("}],").unwrap() + 2;
            let file = [&FILE[..start], "[", &list.join(","), "]", &FILE[end..]].concat();
            let reference = serde_json::to_value(read(file.as_bytes()).unwrap()).unwrap();
            let definition = Definition::new(file.as_bytes()).unwrap();
            assert_eq!(
                Value::Array(definition.added(&definition.vocabulary())),
                reference["added_tokens"],
                "{added:?}"
            );
            let whole = read(file.as_bytes()).unwrap();
            for token in ["<s>", "<t>", "<u>", "a", "b", "c", ""] {
                assert_eq!(definition.id(token), whole.token_to_id(token), "{added:?} {token:?}");
            }
        }
    }

    #[test]
    fn merges_are_pairs_or_lines() {
        let merges = |list: &str| {
            let file = FILE.replace(r#""merges": []"#, &format!(r#""merges": {list}"#));
            Definition::new(file.as_bytes()).unwrap().without_vocabulary().map(|(_, merges)| {
                let text = |(left, right): &Merge| format!("{left}|{right}");
                merges.iter().map(text).collect::<Vec<_>>()
            })
        };
        let expected = Some(vec!["a|b".to_string(), "é|\"".to_string()]);
        assert_eq!(merges(r#"["a b", "\u00e9 \""]"#), expected);
        assert_eq!(merges(r#"[["a", "b"], ["é", "\""]]"#), expected);
        for wrong in [r#"["a b c"]"#, r#"["ab"]"#, r#"[["a"]]"#, r#"["a b", ["a", "b"]]"#, "5"] {
            assert_eq!(merges(wrong), None, "{wrong}");
        }
    }
}

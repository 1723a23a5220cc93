//! The ids of hard texts, by tokenizers of every kind, against those of the reference libraries.
//! `scripts/model-fixtures` writes `data/tokens`; `scripts/agree-tokens` compares on more and larger texts.

use model::tokens::{Encoder, Tokens};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tokens")
}

fn open(name: &str) -> Arc<Tokens> {
    Arc::new(Tokens::open(&data().join(name)).unwrap())
}

fn texts() -> Vec<String> {
    serde_json::from_slice(&fs::read(data().join("texts.json")).unwrap()).unwrap()
}

/// FNV-1a, 64 bits, over 4 bytes an id.
fn fnv(ids: &[u32]) -> u64 {
    let bytes = ids.iter().flat_map(|id| id.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

fn encode(encoder: &mut Encoder, text: &str) -> Vec<u32> {
    let mut ids = Vec::new();
    encoder.encode(text, &mut ids).unwrap();
    ids
}

#[test]
fn ids_are_those_of_the_reference_libraries() {
    let texts = texts();
    assert!(texts.len() > 200);
    let mut checked = 0;
    for file in fs::read_dir(data()).unwrap() {
        let path = file.unwrap().path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".ids")) else { continue };
        let tokens = open(name);
        assert_ne!(tokens.kind(), "reference", "{name}");
        let expected = fs::read_to_string(&path).unwrap();
        // Words that are remembered must have the same ids as words that are met for the first time.
        let mut encoder = Encoder::new(tokens.clone());
        for (text, expected) in texts.iter().zip(expected.lines()) {
            for encoder in [&mut encoder, &mut Encoder::new(tokens.clone())] {
                assert_eq!(format!("{:016x}", fnv(&encode(encoder, text))), expected, "{name}: {text:?}");
            }
        }
        assert_eq!(expected.lines().count(), texts.len());
        checked += 1;
    }
    assert!(checked >= 8, "{checked}");
}

#[test]
fn texts_of_ids_are_those_of_the_reference_libraries() {
    let all: Vec<serde_json::Value> = serde_json::from_slice(&fs::read(data().join("decoded.json")).unwrap()).unwrap();
    let path = std::env::temp_dir().join(format!("decoded-{}", std::process::id()));
    let (mut checked, mut unlike) = (0, 0);
    for one in &all {
        let (name, settings) = (one["file"].as_str().unwrap(), one["settings"].as_str().unwrap());
        let mut file = fs::read(data().join(name)).unwrap();
        file.extend((0..settings.len()).step_by(2).map(|at| u8::from_str_radix(&settings[at..at + 2], 16).unwrap()));
        fs::write(&path, file).unwrap();
        let tokens = Tokens::open(&path).unwrap();
        for case in one["cases"].as_array().unwrap() {
            let ids: Vec<u32> = case[0].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect();
            let expected = case[1].as_str().unwrap();
            assert_eq!(tokens.decode(&ids).unwrap(), expected, "{name} {settings}: {ids:?}");
            unlike += usize::from(expected.contains('\u{fffd}') || expected.contains('⁇'));
            checked += 1;
        }
        if name.ends_with(".model") {
            let refused = tokens.decode(&[5, tokens.id_max() + 1]).unwrap_err();
            let expected = format!("token {}: expected 0 to {}", tokens.id_max() + 1, tokens.id_max());
            assert_eq!(refused, expected);
        }
    }
    fs::remove_file(&path).unwrap();
    assert!(checked > 1000 && unlike > 100, "{checked} {unlike}");
}

/// The reference crate itself, on random texts: also with settings that no fixture has.
#[test]
fn ids_are_those_of_the_reference_crate_with_other_settings() {
    let mut state = 3_u64;
    let mut below = |end: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % end
    };
    let parts = texts();
    let bert = fs::read_to_string(data().join("../bert/tokenizer.json")).unwrap();
    let llama = fs::read_to_string(data().join("llama.json")).unwrap();
    let t5 = fs::read_to_string(data().join("t5.json")).unwrap();
    let changed = |file: &str, pointer: &str, value: serde_json::Value| {
        let mut file: serde_json::Value = serde_json::from_str(file).unwrap();
        *file.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value;
        file.to_string()
    };
    let files = [
        bert.clone(),
        changed(&bert, "/normalizer/lowercase", false.into()),
        changed(&bert, "/normalizer/handle_chinese_chars", false.into()),
        changed(&bert, "/normalizer/clean_text", false.into()),
        changed(&llama, "/model/byte_fallback", false.into()),
        changed(&changed(&llama, "/model/byte_fallback", false.into()), "/model/fuse_unk", false.into()),
        changed(&changed(&llama, "/model/byte_fallback", false.into()), "/model/unk_token", serde_json::Value::Null),
        changed(
            &llama,
            "/normalizer",
            serde_json::json!({"type": "Sequence", "normalizers": [
            {"type": "NFKC"}, {"type": "Lowercase"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}),
        ),
        changed(
            &t5,
            "/pre_tokenizer",
            serde_json::json!(
            {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": true}),
        ),
        changed(
            &t5,
            "/normalizer",
            serde_json::json!({"type": "Sequence", "normalizers": [
            {"type": "NFD"}, {"type": "StripAccents"}, {"type": "Strip", "strip_left": true, "strip_right": true},
            {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}]}),
        ),
    ];
    for (number, file) in files.iter().enumerate() {
        let path = std::env::temp_dir().join(format!("tokens-{}-{number}.json", std::process::id()));
        fs::write(&path, file).unwrap();
        let tokens = Arc::new(Tokens::open(&path).unwrap());
        fs::remove_file(&path).unwrap();
        assert_eq!(tokens.kind(), "words", "{number}");
        let reference = tokenizers::Tokenizer::from_bytes(file).unwrap();
        let mut encoder = Encoder::new(tokens);
        for _ in 0..400 {
            let part = |at: usize| parts[at].chars().take(40);
            let text: String = (0..1 + below(4)).flat_map(|_| part(below(parts.len()))).collect();
            let expected = reference.encode_fast(text.as_str(), false).unwrap();
            assert_eq!(encode(&mut encoder, &text), expected.get_ids(), "{number}: {text:?}");
        }
    }
}

#[test]
fn tokens_at_the_ends_are_found() {
    let llama = open("llama.json");
    assert_eq!((llama.bos(None).unwrap(), llama.eos(None).unwrap()), (1, 2));
    assert_eq!(llama.eos(Some("<unk>")).unwrap(), 0);
    assert_eq!(llama.around(), (vec![1], vec![]));
    let refused = llama.bos(Some("<nothing>")).unwrap_err().to_string();
    assert!(refused.ends_with("llama.json: no token \"<nothing>\""), "{refused}");
    let unigram = open("unigram.model");
    assert_eq!(unigram.eos(None).unwrap(), 1);
    let refused = unigram.bos(None).unwrap_err().to_string();
    assert!(refused.ends_with("unigram.model: trained without a token that begins texts"), "{refused}");
    let refused = open("t5.json").bos(None).unwrap_err().to_string();
    assert!(refused.ends_with("no token of a usual name begins texts: expected --bos-token TOKEN"), "{refused}");
}

#[test]
fn what_is_no_tokenizer_is_refused_by_name() {
    let path = std::env::temp_dir().join(format!("no-tokenizer-{}", std::process::id()));
    let model = fs::read(data().join("bpe.model")).unwrap();
    for bytes in [&b""[..], b"\xff\xfe\xfd", b"{}", b"{\"model\": 5}", &model[..model.len() / 2], &model[..7]] {
        fs::write(&path, bytes).unwrap();
        let refused = Tokens::open(&path).err().map(|why| why.to_string()).unwrap_or_default();
        assert!(refused.starts_with(path.to_str().unwrap()), "{refused:?} of {} bytes", bytes.len());
    }
    fs::remove_file(&path).unwrap();
}

/// Quadratic time in any of these would take hours.
#[test]
fn texts_without_seams_take_their_time_in_proportion() {
    let cases = [
        " ".repeat(1 << 20),
        "a".repeat(1 << 20),
        "é".repeat(1 << 18),
        "東京".repeat(1 << 17),
        "=\n ".repeat(1 << 18),
        "\u{301}".repeat(1 << 16),
    ];
    for name in
        ["gpt2.json", "llama3.json", "llama.json", "t5.json", "unigram.model", "bpe.model", "../bert/tokenizer.json"]
    {
        let mut encoder = Encoder::new(open(name));
        for text in &cases {
            encode(&mut encoder, text);
        }
    }
}

/// A file with another pre-tokenizer.
fn with_pre_tokenizer(name: &str, pre_tokenizer: serde_json::Value) -> Arc<Tokens> {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let mut file: serde_json::Value = serde_json::from_slice(&fs::read(data().join(name)).unwrap()).unwrap();
    file["pre_tokenizer"] = pre_tokenizer;
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("pre-tokenizer-{}-{number}.json", std::process::id()));
    fs::write(&path, file.to_string()).unwrap();
    let tokens = Arc::new(Tokens::open(&path).unwrap());
    fs::remove_file(&path).unwrap();
    tokens
}

fn split(regex: &str, behavior: &str) -> serde_json::Value {
    serde_json::json!({"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": regex}, "behavior": behavior, "invert": false},
        {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]})
}

/// A search that the crate of regular expressions gives up is never taken for the end of a text.
#[test]
fn a_search_that_is_given_up_is_an_error() {
    let long = format!("a {}b c d", " ".repeat(1_500_000));
    let strange = r"\s*x(?=y)|\s+(?!\S)|\S+";
    for (behavior, kind) in [("Isolated", "words"), ("MergedWithNext", "reference")] {
        let tokens = with_pre_tokenizer("gpt2.json", split(strange, behavior));
        assert_eq!(tokens.kind(), kind);
        let mut encoder = Encoder::new(tokens);
        assert!(!encode(&mut encoder, "a  b c d").is_empty());
        let refused = encoder.encode(&long, &mut Vec::new()).unwrap_err();
        assert!(refused.contains("pattern") && refused.contains("Max stack size exceeded"), "{behavior}: {refused}");
    }
}

/// Any pattern is cut by as the reference does.
#[test]
fn other_patterns_are_those_of_the_reference_crate() {
    let texts = texts();
    let gpt4o = concat!(
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|",
        r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    );
    for regex in [gpt4o, r"\p{Han}+|\s+(?!\S)|[^\s\p{Han}]+", r"\d{1,3}(?=(?:\d{3})*\b)"] {
        let tokens = with_pre_tokenizer("llama3.json", split(regex, "Isolated"));
        assert_eq!(tokens.kind(), "words");
        let mut file: serde_json::Value =
            serde_json::from_slice(&fs::read(data().join("llama3.json")).unwrap()).unwrap();
        file["pre_tokenizer"] = split(regex, "Isolated");
        let reference = tokenizers::Tokenizer::from_bytes(file.to_string()).unwrap();
        let mut encoder = Encoder::new(tokens);
        for text in &texts {
            let expected = reference.encode_fast(text.as_str(), false).unwrap();
            assert_eq!(encode(&mut encoder, text), expected.get_ids(), "{regex}: {text:?}");
        }
    }
}

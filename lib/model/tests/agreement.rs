//! What is read from a folder, computed in plain loops, against what transformers and sentence-transformers computed.
//! `scripts/model-fixtures` writes the folders.

mod forward;

use compute::encoder::{Encoder, Precision, Scratch};
use model::folder::Model;
use pipe::safetensors::File;
use std::path::{Path, PathBuf};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// The largest difference, as a share of the largest value of the reference.
fn relative_error(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let scale = expected.iter().fold(0f64, |m, x| m.max(x.abs()));
    let difference =
        found.iter().zip(expected).fold(0f64, |m, (a, b)| if (a - b).abs() <= m { m } else { (a - b).abs() });
    difference / scale
}

/// The final hidden states by the encoder.
fn encode(model: &Model, ids: &[u32]) -> Vec<f64> {
    let encoder = Encoder::new(&model.transformer, Precision::Exact);
    encoder.forward(ids, &[ids.len()], &mut Scratch::default()).iter().map(|&x| f64::from(x)).collect()
}

/// The final hidden states in plain loops.
fn plain(model: &Model, ids: &[u32]) -> Vec<f64> {
    forward::forward(&model.transformer, ids).concat()
}

/// The worst error over the sequences of a folder.
fn hidden_error(name: &str, forward: impl Fn(&Model, &[u32]) -> Vec<f64>) -> f64 {
    let model = Model::open(&data(name)).unwrap();
    let expected = File::open(&data(name).join("expected.safetensors")).unwrap();
    let mut worst = 0f64;
    for i in 0..4 {
        let hidden = expected.read(&format!("hidden.{i}")).unwrap();
        let ids = ids(&data(name).join("expected.safetensors"), i);
        let found = forward(&model, &ids);
        let expected: Vec<f64> = hidden.values.iter().map(|&x| f64::from(x)).collect();
        let error = relative_error(&found, &expected);
        worst = if error <= worst { worst } else { error };
    }
    worst
}

/// Ids are stored as I32, which the reader of weights does not read; the test does, by hand.
fn ids(path: &Path, i: usize) -> Vec<u32> {
    let bytes = std::fs::read(path).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let json: serde_json::Value = serde_json::from_slice(&bytes[8..8 + header]).unwrap();
    let offset = |k: usize| json[format!("ids.{i}")]["data_offsets"][k].as_u64().unwrap() as usize;
    bytes[8 + header..][offset(0)..offset(1)].as_chunks().0.iter().map(|&b| u32::from_le_bytes(b)).collect()
}

#[test]
fn every_architecture_agrees_with_transformers() {
    for name in [
        "bert",
        "bert-masked",
        "bert-f16",
        "bert-bf16",
        "roberta",
        "xlm-roberta",
        "mpnet",
        "nomic-bert",
        "nomic-bert-original",
        "modern-bert",
        "jina-bert",
        "jina-bert-reglu",
    ] {
        for (by, error) in [("loops", hidden_error(name, plain)), ("encoder", hidden_error(name, encode))] {
            println!("{name} by {by}: {error:.2e}");
            assert!(error <= 1e-4, "{name} by {by}: {error:e}");
        }
    }
}

#[test]
fn every_pooling_and_head_agrees_with_sentence_transformers() {
    for name in ["sentence-mean", "sentence-cls", "sentence-last", "sentence-dense"] {
        let model = Model::open(&data(name)).unwrap();
        let text = std::fs::read(data(name).join("expected.json")).unwrap();
        let expected: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(model.tokenizer.length_max() as u64, expected["max_length"].as_u64().unwrap(), "{name}");
        assert_eq!(model.default_prompt.as_deref(), expected["default_prompt_name"].as_str());
        let prompt = model.default_prompt.as_ref().map_or("", |name| &model.prompts[name]);
        let mut worst = 0f64;
        for (text, vector) in expected["texts"].as_array().unwrap().iter().zip(expected["vectors"].as_array().unwrap())
        {
            let text = format!("{prompt}{}", text.as_str().unwrap());
            let expected: Vec<f64> = vector.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
            worst = worst.max(relative_error(&embed(&model, &text), &expected));
        }
        println!("{name}: {worst:.2e}");
        assert!(worst <= 1e-4, "{name}: {worst:e}");
    }
}

fn embed(model: &Model, text: &str) -> Vec<f64> {
    let (mut ids, mut scratch, mut vector) = Default::default();
    model.tokenizer.encode(text, &mut ids).unwrap();
    let hidden: Vec<f32> = forward::forward(&model.transformer, &ids).concat().iter().map(|&x| x as f32).collect();
    model.finish(&hidden, model.dim(), &mut scratch, &mut vector);
    vector.iter().map(|&x| f64::from(x)).collect()
}

/// The folder of all-MiniLM-L6-v2, where there is one: `MODEL_MINILM` names it, or `scripts/get-model` brought it.
fn minilm() -> Option<PathBuf> {
    let usual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/models/all-MiniLM-L6-v2");
    let folder = std::env::var_os("MODEL_MINILM").map_or(usual, PathBuf::from);
    let there = folder.join("tokenizer.json").exists();
    if !there {
        eprintln!(
            "skipped: no {}; scripts/get-model all-MiniLM-L6-v2 target/models/all-MiniLM-L6-v2 brings it",
            folder.display()
        );
    }
    there.then_some(folder)
}

#[test]
fn token_ids_of_minilm_agree_with_tokenizers() {
    let Some(folder) = minilm() else { return };
    let tokenizer = model::tokenizer::Tokenizer::open(&folder.join("tokenizer.json"), 256).unwrap();
    let (mut checked, mut cut, mut ids) = (0, 0, Vec::new());
    for line in include_str!("data/minilm-tokens.jsonl").lines() {
        let case: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = case["text"].as_str().unwrap();
        let truncated = tokenizer.encode(text, &mut ids).unwrap();
        let expected: Vec<u32> = case["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect();
        assert_eq!(ids, expected, "{text:?}");
        assert_eq!(truncated, case["truncated"].as_bool().unwrap(), "{text:?}");
        (checked, cut) = (checked + 1, cut + usize::from(truncated));
    }
    assert!(checked >= 290 && cut >= 5, "{checked} {cut}");
}

#[test]
fn minilm_is_read_with_its_own_length() {
    let Some(folder) = minilm() else { return };
    let model = Model::open(&folder).unwrap();
    assert_eq!((model.dim(), model.tokenizer.length_max(), model.normalize), (384, 256, true));
    assert_eq!(model.positions_max(), Some(512));
    assert_eq!((model.transformer.blocks.len(), model.tokenizer.ids()), (6, 30522));
}

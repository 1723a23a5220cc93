//! Folders of causal models against what transformers computed with them in 32-bit floats. `scripts/model-fixtures`
//! writes them.

use compute::decoder::Decoder;
use compute::encoder::{Precision, Scratch, available};
use model::causal::CausalModel;
use pipe::safetensors::File;
use std::path::{Path, PathBuf};

const FOLDERS: [&str; 16] = [
    "gpt2",
    "gpt2-scaled",
    "gpt-neox",
    "gpt-neox-serial",
    "opt",
    "opt-after",
    "opt-mapped",
    "llama",
    "llama-linear",
    "llama-llama3",
    "llama-yarn",
    "smollm3",
    "mistral",
    "qwen2",
    "qwen3",
    "gemma2",
];

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(format!("causal-{name}"))
}

/// The sequences and the negative log-likelihoods of their tokens from the second on.
fn expected(name: &str) -> Vec<(Vec<u32>, Vec<f64>)> {
    let file = File::open(&data(name).join("expected.safetensors")).unwrap();
    let one = |i: usize| {
        let ids = file.read_exactly::<4>(&format!("ids.{i}"), "I32").unwrap();
        let nll = file.read(&format!("nll.{i}")).unwrap().values;
        (ids.into_iter().map(u32::from_le_bytes).collect(), nll.into_iter().map(f64::from).collect())
    };
    (0..3).map(one).collect()
}

/// The largest error of a token, and of the mean of a sequence, in nats.
fn errors(name: &str, precision: Precision) -> (f64, f64) {
    let model = CausalModel::open(&data(name)).unwrap();
    let decoder = Decoder::new(model.transformer, model.head, model.blocks.iter(), precision).unwrap();
    let (mut token, mut mean) = (0f64, 0f64);
    for (ids, wanted) in expected(name) {
        let next: Vec<Option<u32>> = ids[1..].iter().map(|&id| Some(id)).chain([None]).collect();
        let mut scratch = Scratch::default();
        let found = decoder.score(&ids, &[ids.len()], &next, &mut scratch);
        assert_eq!(found.len(), wanted.len());
        let differences: Vec<f64> = found.iter().zip(&wanted).map(|(a, b)| a - b).collect();
        assert!(differences.iter().all(|x| x.is_finite()), "{name}");
        token = differences.iter().fold(token, |most, x| most.max(x.abs()));
        mean = mean.max((differences.iter().sum::<f64>() / differences.len() as f64).abs());
    }
    (token, mean)
}

#[test]
fn every_architecture_agrees_with_transformers() {
    for name in FOLDERS {
        let (token, mean) = errors(name, Precision::Exact);
        println!("{name}: {token:.1e} a token, {mean:.1e} a sequence");
        assert!(token <= 1e-4 && mean <= 2e-5, "{name}: {token:e} a token, {mean:e} a sequence");
    }
}

#[test]
fn rounded_products_stay_near() {
    if !available(Precision::Bf16) {
        return;
    }
    for name in FOLDERS {
        let (token, mean) = errors(name, Precision::Bf16);
        println!("{name}: {token:.1e} a token, {mean:.1e} a sequence");
        assert!(token <= 0.5 && mean <= 0.1, "{name}: {token:e} a token, {mean:e} a sequence");
    }
}

#[test]
fn the_folder_names_the_tokens_that_begin_and_end_a_text() {
    let [gpt2, llama] = ["gpt2", "llama"].map(|name| CausalModel::open(&data(name)).unwrap());
    assert_eq!((gpt2.bos, gpt2.eos, gpt2.length_max, gpt2.positions_max()), (Some(0), Some(1), 96, Some(96)));
    assert_eq!((llama.bos, llama.eos, llama.length_max, llama.positions_max()), (Some(0), Some(1), 96, None));
    assert_eq!(gpt2.tokenizer.around(), (&[][..], &[][..]));
    assert_eq!(llama.tokenizer.around(), (&[0][..], &[][..]));
}

//! `jsonl-embed` with models: tiny ones of every architecture, and all-MiniLM-L6-v2 where it is there.

mod npy;

use contract::corpus::Numbers;
use contract::folder::Folder;
use contract::run::{Outcome, Run};
use npy::{bits, documents, read, vectors};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

const ARCHITECTURES: [&str; 12] = [
    "bert",
    "bert-bf16",
    "bert-f16",
    "bert-masked",
    "jina-bert",
    "jina-bert-reglu",
    "modern-bert",
    "mpnet",
    "nomic-bert",
    "nomic-bert-original",
    "roberta",
    "xlm-roberta",
];

const SENTENCE_MODELS: [&str; 4] = ["sentence-cls", "sentence-dense", "sentence-last", "sentence-mean"];

fn data(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../lib/model/tests/data").join(name);
    path.to_str().expect("the path is UTF-8").to_string()
}

/// A run over these documents.
fn run(args: &[&str], input: &str, folder: &Folder) -> Outcome {
    Run::new(env!("CARGO_BIN_EXE_jsonl-embed"), folder).args(args).stdin(input).outcome()
}

fn bytes(args: &[&str], input: &str) -> Vec<u8> {
    let outcome = run(args, input, &Folder::new());
    outcome.expect(0);
    outcome.stdout
}

/// The vectors of a model in f32.
fn exact<S: AsRef<str>>(model: &str, args: &[&str], texts: &[S]) -> Vec<Vec<f32>> {
    vectors(&[&["--model", &data(model), "--precision", "exact"], args].concat(), texts)
}

/// The statistics of a run in f32.
fn stats(model: &str, args: &[&str], texts: &[String]) -> Value {
    let folder = Folder::new();
    let path = data(model);
    let own = ["--precision", "exact", "--stats", "stats", "--model", &path];
    run(&[&own[..], args].concat(), &documents(texts), &folder).expect(0);
    serde_json::from_slice(&folder.read("stats")).expect("it is JSON")
}

/// exact, and bf16 where the processor has it.
fn precisions() -> Vec<&'static str> {
    let outcome = run(&["--model", &data("bert"), "--precision", "bf16"], "", &Folder::new());
    match outcome.code {
        Some(0) => vec!["exact", "bf16"],
        _ => {
            outcome.expect_refusal(1, &["--precision bf16: this processor has neither AMX nor AVX512-BF16"]);
            eprintln!("bf16 skipped: this processor does not have it");
            vec!["exact"]
        }
    }
}

/// Letters with spaces between them: a token each, in every tokenizer here.
fn letters(count: usize) -> String {
    (0..count).map(|at| char::from(b'a' + (at * 7 % 26) as u8).to_string()).collect::<Vec<_>>().join(" ")
}

fn texts() -> Vec<String> {
    let mut texts: Vec<String> = [
        "",
        " ",
        "a",
        "the code of the model",
        "return data; if (word) cluster.",
        "日本 🙂 ‰",
        "日",
        "éé Füße ΟΔΟΣ",
        "[CLS] the [SEP] </s> <mask>",
        "\0\u{fffd}",
    ]
    .map(str::to_string)
    .to_vec();
    texts.extend([letters(20), letters(61), letters(150), "clustering".repeat(20)]);
    texts
}

fn as_bits(rows: &[Vec<f32>]) -> Vec<Vec<u32>> {
    rows.iter().map(|row| row.iter().map(|value| value.to_bits()).collect()).collect()
}

/// The largest difference, as a share of the largest value.
fn difference(found: &[Vec<f32>], expected: &[Vec<f32>]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let difference = |(found, expected): (&Vec<f32>, &Vec<f32>)| {
        assert_eq!(found.len(), expected.len());
        let scale = expected.iter().fold(0f64, |most, &value| most.max(f64::from(value).abs()));
        let pairs = found.iter().zip(expected).map(|(&a, &b)| (f64::from(a) - f64::from(b)).abs());
        pairs.fold(0.0, |most, now| if now <= most { most } else { now }) / scale
    };
    found.iter().zip(expected).map(difference).fold(0.0, |most, now| if now <= most { most } else { now })
}

fn normalized(row: &[f32]) -> Vec<f32> {
    let length = row.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
    row.iter().map(|&value| (f64::from(value) / length) as f32).collect()
}

#[test]
fn neighbours_batches_and_threads_change_no_bit() {
    let texts = texts();
    // Each text has many neighbours; a field beside it makes the lines long enough for several batches.
    let mut numbers = Numbers(1);
    let mixed: Vec<usize> = (0..20 * texts.len()).map(|_| numbers.below(texts.len() as u64) as usize).collect();
    let beside = format!("{{\"beside\":\"{}\",", "-".repeat(400));
    let many = documents(&mixed.iter().map(|&at| &texts[at]).collect::<Vec<_>>()).replace('{', &beside);
    assert!((0..texts.len()).all(|at| mixed.contains(&at)));
    assert!(many.len() > 3 << 15, "the test must meet batches of lines");
    for precision in precisions() {
        for model in ARCHITECTURES.into_iter().chain(SENTENCE_MODELS) {
            let path = data(model);
            let args = ["--model", &path, "--precision", precision];
            let alone: Vec<_> = texts.iter().map(|text| bits(&bytes(&args, &documents(&[text]))).remove(0)).collect();
            let values: Vec<_> = alone.iter().flatten().map(|&bits| f32::from_bits(bits)).collect();
            assert!(values.iter().all(|value| value.is_finite()), "{model} in {precision}");
            assert!(alone[3] != alone[4] && alone[10] != alone[11], "{model} in {precision}");
            assert!(bits(&bytes(&args, &documents(&texts))) == alone, "{model} in {precision}: in a batch");
            let expected: Vec<_> = mixed.iter().map(|&at| alone[at].clone()).collect();
            for threads in ["1", "2", "3"] {
                let found = bits(&bytes(&[&args[..], &["--threads", threads]].concat(), &many));
                assert!(found == expected, "{model} in {precision}: {threads} threads");
            }
        }
    }
}

#[test]
fn half_precision_is_near_single_precision() {
    if precisions().len() > 1 {
        for model in ARCHITECTURES {
            let near = vectors(&["--model", &data(model), "--precision", "bf16"], &texts());
            let difference = difference(&near, &exact(model, &[], &texts()));
            assert!((1e-9..0.1).contains(&difference), "{model}: {difference}");
        }
    }
}

#[test]
fn folders_of_sentence_transformers_give_its_vectors() {
    for model in SENTENCE_MODELS {
        let expected = fs::read(Path::new(&data(model)).join("expected.json")).expect("the fixture is complete");
        let expected: Value = serde_json::from_slice(&expected).expect("it is JSON");
        let array = |value: &Value| value.as_array().expect("an array").clone();
        let texts: Vec<String> = array(&expected["texts"]).iter().map(|t| t.as_str().expect("text").into()).collect();
        let row = |row: &Value| array(row).iter().map(|x| x.as_f64().expect("a number") as f32).collect();
        let rows: Vec<Vec<f32>> = array(&expected["vectors"]).iter().map(row).collect();
        assert!(texts.len() >= 5);
        let difference = difference(&exact(model, &[], &texts), &rows);
        assert!(difference < 1e-4, "{model}: {difference:e}");
        let stats = stats(model, &[], &texts);
        assert_eq!(stats["dim"], rows[0].len(), "{model}");
        assert_eq!(stats["truncated_rows"], 1, "{model}: one text is longer");
        assert_eq!(stats["precision"], "exact");
    }
}

#[test]
fn pooling_is_the_folders_unless_it_is_said() {
    let texts = texts();
    for (model, own, others) in [
        ("bert", "mean", ["cls", "last"]),
        ("sentence-cls", "cls", ["mean", "last"]),
        ("sentence-last", "last", ["mean", "cls"]),
    ] {
        let default = as_bits(&exact(model, &[], &texts));
        assert!(as_bits(&exact(model, &["--pooling", own], &texts)) == default, "{model}");
        let [one, two] = others.map(|pooling| as_bits(&exact(model, &["--pooling", pooling], &texts)));
        assert!(one != default && two != default && one != two, "{model}");
    }
}

#[test]
fn normalising_is_the_folders_unless_it_is_said() {
    let texts = texts();
    for (model, own, other) in [("sentence-mean", "yes", "no"), ("bert", "no", "yes"), ("sentence-dense", "no", "yes")]
    {
        let default = as_bits(&exact(model, &[], &texts));
        assert!(as_bits(&exact(model, &["--normalize", own], &texts)) == default, "{model}");
        assert!(as_bits(&exact(model, &["--normalize", other], &texts)) != default, "{model}");
        let plain = exact(model, &["--normalize", "no"], &texts);
        let expected: Vec<_> = plain.iter().map(|row| normalized(row)).collect();
        let difference = difference(&exact(model, &["--normalize", "yes"], &texts), &expected);
        assert!(difference < 1e-6, "{model}: {difference:e}");
    }
}

#[test]
fn dim_keeps_the_first_values() {
    let texts = texts();
    for model in ["bert", "sentence-mean", "sentence-dense"] {
        let (plain, cut) = (["--normalize", "no"], ["--normalize", "no", "--dim", "7"]);
        let first: Vec<_> = exact(model, &plain, &texts).iter().map(|row| row[..7].to_vec()).collect();
        assert!(as_bits(&exact(model, &cut, &texts)) == as_bits(&first), "{model}");
        let first: Vec<_> = first.iter().map(|row| normalized(row)).collect();
        let difference = difference(&exact(model, &["--normalize", "yes", "--dim", "7"], &texts), &first);
        assert!(difference < 1e-6, "{model}: {difference:e}");
        let full = exact(model, &[], &texts);
        let dim = full[0].len();
        assert!(as_bits(&exact(model, &["--dim", &dim.to_string()], &texts)) == as_bits(&full), "{model}");
        let more = (dim + 1).to_string();
        let outcome = run(&["--model", &data(model), "--dim", &more], "", &Folder::new());
        outcome.expect_refusal(2, &[&format!("--dim {more}: the model's vectors have {dim} values")]);
    }
}

#[test]
fn max_length_cuts_and_counts() {
    let texts = [letters(8), letters(9), letters(30), String::new()];
    for model in ["bert", "modern-bert", "jina-bert"] {
        let length = ["--max-length", "10"];
        let cut = exact(model, &length, &texts);
        assert!(
            as_bits(&cut) == as_bits(&exact(model, &[], &[letters(8), letters(8), letters(8), String::new()])),
            "{model}"
        );
        let stats = stats(model, &length, &texts);
        assert_eq!((&stats["truncated_rows"], &stats["tokens"]), (&2.into(), &32.into()), "{model}");
        assert_eq!(stats["rows"], 4);
    }
    assert_eq!(stats("bert", &[], &[letters(62), letters(63)])["truncated_rows"], 1, "the folder's own length is 64");
    for (length, said) in [("1", "leaves no room for the 2 special ones"), ("65", "the model has 64 positions")] {
        let outcome = run(&["--model", &data("bert"), "--max-length", length], "", &Folder::new());
        outcome.expect_refusal(2, &["max-length", said]);
    }
}

#[test]
fn prefix_is_written_before_every_text() {
    for model in ["bert", "roberta", "sentence-mean"] {
        let written: Vec<_> = texts().iter().map(|text| format!("the data: {text}")).collect();
        let expected = as_bits(&exact(model, &[], &written));
        assert!(as_bits(&exact(model, &["--prefix", "the data: "], &texts())) == expected, "{model}");
        assert!(as_bits(&exact(model, &[], &texts())) != expected, "{model}");
    }
}

#[test]
fn prompts_are_the_folders() {
    let model = "sentence-cls";
    let prefixed = |prefix: &str| as_bits(&exact(model, &["--prefix", prefix], &texts()));
    let prompted = |name: &str| as_bits(&exact(model, &["--prompt", name], &texts()));
    let default = as_bits(&exact(model, &[], &texts()));
    assert!(default == prefixed("the text: ") && default == prompted("passage"));
    assert!(prompted("query") == prefixed("query: ") && prompted("query") != default);
    assert!(prompted("document") == prefixed("") && prefixed("") != default);
    let refused = |model: &str, said: &[&str]| {
        let outcome = run(&["--model", &data(model), "--prompt", "nope"], "", &Folder::new());
        outcome.expect_refusal(2, said);
    };
    refused(model, &["the model has no prompt \"nope\"; it has document, passage, query"]);
    refused("bert", &["the model has no prompt \"nope\"; it has none"]);
}

#[test]
fn long_texts_are_the_mean_of_their_windows() {
    // Windows of eight letters and two special tokens; the last of the third text has four.
    let texts = [String::new(), letters(8), letters(20), "the code".to_string(), letters(500)];
    let length = ["--max-length", "10"];
    for model in ["bert", "sentence-mean", "jina-bert", "modern-bert"] {
        let long = [&length[..], &["--long", "chunk-mean"]].concat();
        let (whole, cut) = (exact(model, &long, &texts), exact(model, &length, &texts));
        for (at, is_short) in [true, true, false, true, false].into_iter().enumerate() {
            assert_eq!(as_bits(&whole[at..=at]) == as_bits(&cut[at..=at]), is_short, "{model}: text {at}");
        }
        for text in [&texts[2], &texts[4]] {
            let words: Vec<&str> = text.split(' ').collect();
            let windows: Vec<_> = words.chunks(8).map(|words| words.join(" ")).collect();
            let mut mean = vec![0f64; whole[0].len()];
            for (row, window) in exact(model, &length, &windows).iter().zip(words.chunks(8)) {
                let share = window.len() as f64 / words.len() as f64;
                mean.iter_mut().zip(row).for_each(|(mean, &value)| *mean += share * f64::from(value));
            }
            let mean: Vec<f32> = mean.iter().map(|&value| value as f32).collect();
            let mean = if model == "sentence-mean" { normalized(&mean) } else { mean };
            let difference = difference(&exact(model, &long, &[text]), &[mean]);
            assert!(difference < 1e-6, "{model}: {difference:e}");
        }
        let stats = stats(model, &long, &texts);
        assert_eq!(stats["truncated_rows"], 0);
        // 528 letters, 2 words, and 2 special tokens for each of 1 + 1 + 3 + 1 + 63 windows.
        assert_eq!(stats["tokens"], 528 + 2 + 2 * 69, "{model}");
    }
}

#[test]
fn bad_records_are_rows_of_nan_among_vectors() {
    let input = documents(&["the code", "a"]);
    let (first, second) = input.split_once('\n').expect("two lines");
    let spoilt = format!("{first}\n{{}}\n{second}");
    let model = data("bert");
    let args = ["--model", &model, "--precision", "exact", "--on-error", "skip", "--stats", "stats"];
    let folder = Folder::new();
    let outcome = run(&args, &spoilt, &folder);
    outcome.expect(0);
    assert!(
        outcome.stderr.starts_with("jsonl-embed: skipped 1 bad of 3 rows; the first: <stdin>:2: "),
        "{}",
        outcome.stderr
    );
    let rows = read(&outcome.stdout).rows;
    assert!(rows[1].iter().all(|value| value.is_nan()) && rows.len() == 3);
    assert!(as_bits(&[rows[0].clone(), rows[2].clone()]) == as_bits(&exact("bert", &[], &["the code", "a"])));
    let stats: Value = serde_json::from_slice(&folder.read("stats")).expect("it is JSON");
    assert_eq!((&stats["rows"], &stats["bad_rows"]), (&3.into(), &1.into()));
}

#[test]
fn shards_and_files_are_the_rows_of_the_whole() {
    let folder = Folder::new();
    let many: Vec<_> = (0..30).flat_map(|_| texts()).collect();
    folder.write("docs.jsonl", documents(&many));
    let model = data("sentence-mean");
    let script = format!(
        "embed() {{ jsonl-embed --model '{model}' --precision exact \"$@\" docs.jsonl; }}
         embed >whole.npy; embed | cat >pipe
         for shard in 0/3 1/3 2/3; do embed --shard $shard; done | cat >shards"
    );
    Run::shell(&script, &folder).output();
    let whole = bits(&folder.read("whole.npy"));
    assert_eq!(read(&folder.read("whole.npy")).arrays.len(), 1);
    assert_eq!(whole.len(), many.len());
    assert!(bits(&folder.read("pipe")) == whole && bits(&folder.read("shards")) == whole);
}

/// A copy of a tiny model that a test may damage.
fn copy(model: &str) -> Folder {
    let folder = Folder::new();
    copy_into(Path::new(&data(model)), folder.path());
    folder
}

fn copy_into(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("the fixture is there") {
        let path = entry.expect("the fixture can be listed").path();
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            fs::create_dir(&target).expect("a folder can be made");
            copy_into(&path, &target);
        } else {
            fs::copy(&path, &target).expect("a file can be copied");
        }
    }
}

/// The model is refused with one line that has all of these in it, before standard input has come to an end.
fn refused(folder: &Folder, said: &[&str]) {
    let run = Run::new(env!("CARGO_BIN_EXE_jsonl-embed"), folder).args(["--model", "."]);
    let outcome = run.stdin(documents(&["a"])).waiting().outcome();
    outcome.expect_refusal(1, said);
    assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
    assert!(!outcome.stderr.contains("panicked"), "{}", outcome.stderr);
}

#[test]
fn missing_files_of_a_model_are_named() {
    let missing = |model: &str, file: &str| {
        let folder = copy(model);
        fs::remove_file(folder.path().join(file)).unwrap_or_else(|why| panic!("{file}: {why}"));
        refused(&folder, &["jsonl-embed: ", &format!("{file}: No such file or directory")]);
    };
    ["config.json", "tokenizer.json", "model.safetensors"].iter().for_each(|file| missing("bert", file));
    missing("bert-masked", "model-00003-of-00006.safetensors");
    missing("sentence-last", "1_Pooling/config.json");
    missing("sentence-last", "2_Dense/model.safetensors");
}

#[test]
fn truncated_weights_are_refused() {
    let folder = copy("bert");
    let weights = folder.read("model.safetensors");
    let header = 8 + u64::from_le_bytes(weights[..8].try_into().expect("eight bytes")) as usize;
    for length in [0, 1, 8, 100, header - 1, header, header + 4, weights.len() / 2, weights.len() - 1] {
        folder.write("model.safetensors", &weights[..length]);
        refused(&folder, &["model.safetensors: "]);
    }
    let longer = [&weights[..], b"more"].concat();
    folder.write("model.safetensors", longer);
    refused(&folder, &["model.safetensors: "]);
    folder.write("model.safetensors", [&u64::MAX.to_le_bytes(), &weights[8..]].concat());
    refused(&folder, &["model.safetensors: "]);
}

#[test]
fn truncated_settings_are_refused() {
    for file in
        ["config.json", "tokenizer.json", "modules.json", "1_Pooling/config.json", "config_sentence_transformers.json"]
    {
        let folder = copy("sentence-cls");
        let text = folder.read(file);
        for length in [0, 1, text.len() / 2] {
            folder.write(file, &text[..length]);
            refused(&folder, &[&format!("{file}: ")]);
        }
    }
}

#[test]
fn unknown_architectures_are_refused_by_name() {
    let folder = copy("bert");
    let config = folder.text("config.json");
    assert!(config.contains("\"BertModel\""));
    folder.write("config.json", config.replace("\"BertModel\"", "\"LlamaForCausalLM\""));
    refused(&folder, &["config.json: architecture \"LlamaForCausalLM\" is not known; known are Bert, "]);
}

#[test]
fn tokenizer_of_another_model_is_refused() {
    let folder = copy("bert");
    let tokenizer = folder.text("tokenizer.json");
    folder.write("tokenizer.json", tokenizer.replace("\"[unused199]\": 199", "\"[unused199]\": 200"));
    refused(&folder, &["tokenizer.json: has ids up to 200, but the model's embedding table has 200 rows"]);
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
fn minilm_agrees_with_sentence_transformers() {
    let Some(folder) = minilm() else { return };
    let folder = folder.to_str().expect("the path is UTF-8");
    let (mut texts, mut expected) = (Vec::new(), Vec::new());
    for line in include_str!("data/minilm.jsonl").lines() {
        let case: Value = serde_json::from_str(line).expect("it is JSON");
        texts.push(case["text"].as_str().expect("text").to_string());
        let vector = case["vector"].as_array().expect("a vector");
        expected.push(vector.iter().filter_map(Value::as_f64).collect::<Vec<_>>());
    }
    assert!(texts.len() >= 20);
    for precision in precisions() {
        let cosine_min = if precision == "exact" { 0.99999 } else { 0.999 };
        let found = vectors(&["--model", folder, "--precision", precision], &texts);
        assert_eq!(found.len(), texts.len());
        for ((text, found), expected) in texts.iter().zip(&found).zip(&expected) {
            assert_eq!((found.len(), expected.len()), (384, 384));
            let found: Vec<_> = found.iter().map(|&value| f64::from(value)).collect();
            let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let cosine = product(&found, expected) / (product(&found, &found) * product(expected, expected)).sqrt();
            assert!(cosine >= cosine_min, "{precision}: {cosine} for {text:?}");
            assert!((product(&found, &found) - 1.0).abs() < 1e-5, "vectors have length one");
        }
    }
}

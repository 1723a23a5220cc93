//! `lm-score` keeps the contract of all tools, and says of texts what transformers says.

mod tokens;

use contract::corpus;
use contract::folder::Folder;
use contract::npy;
use contract::run::{Outcome, Run};
use contract::tool::{Tool, lines};
use serde_json::{Value, json};
use std::path::Path;

const GPT2: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../lib/model/tests/data/causal-gpt2");

fn tool() -> Tool {
    Tool {
        name: "lm-score",
        program: env!("CARGO_BIN_EXE_lm-score"),
        source: env!("CARGO_MANIFEST_DIR"),
        args: &["--model", GPT2, "--max-length", "12"],
        side_files: &[],
        wrong_values: &[
            ("--model", ""),
            ("--columns", "nll,,tokens"),
            ("--columns", "loss"),
            ("--max-length", "0"),
            ("--bos", "maybe"),
            ("--long", "chunk-mean"),
            ("--long", "stride:0"),
            ("--long", "stride:"),
            ("--last", "0"),
            ("--token-nll", ""),
            ("--precision", "f32"),
            ("--input", "jsonl"),
            ("--context-max", "x"),
            ("--top-k", "0"),
            ("--format", "jsonl"),
            ("--size-limit", "4G"),
            ("--compression", "gzip"),
            ("--hashes", "md5"),
        ],
        prepare: |_, _| (),
        input: |rows| corpus::documents(rows).into_bytes(),
    }
}

contract::holds!(tool: manual, files, documents, records, rows);

fn model(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../lib/model/tests/data").join(format!("causal-{name}"));
    path.to_str().expect("the path is UTF-8").to_string()
}

fn run(folder: &Folder, name: &str, args: &[&str], input: &str) -> Outcome {
    let model = model(name);
    Run::new(tool().program, folder).args(["--model", &model]).args(args).stdin(input).outcome()
}

/// The fields of the rows.
fn rows(folder: &Folder, name: &str, args: &[&str], input: &str) -> Vec<Vec<String>> {
    let outcome = run(folder, name, args, input);
    outcome.expect(0);
    let fields = |row: &[u8]| String::from_utf8_lossy(row).split('\t').map(str::to_string).collect();
    lines(&outcome.stdout).into_iter().map(fields).collect()
}

fn documents(list: &[Value]) -> String {
    list.iter().map(|document| format!("{document}\n")).collect()
}

fn stats(folder: &Folder) -> Value {
    serde_json::from_slice(&folder.read("stats")).expect("it is JSON")
}

/// What transformers says, with the flags that ask for it; `scripts/model-fixtures` writes it.
#[test]
fn numbers_are_those_of_transformers() {
    let expected: Value = serde_json::from_str(include_str!("../data/expected.json")).expect("it is JSON");
    let input = documents(expected["documents"].as_array().expect("documents"));
    let cases = expected["cases"].as_array().expect("cases");
    assert!(cases.len() >= 13);
    for case in cases {
        let flags: Vec<&str> = case["flags"].as_array().expect("flags").iter().filter_map(Value::as_str).collect();
        let found = rows(&Folder::new(), case["model"].as_str().expect("a model"), &flags, &input);
        let wanted = case["rows"].as_array().expect("rows");
        assert_eq!(found.len(), wanted.len());
        for (found, wanted) in found.iter().zip(wanted) {
            let wanted = wanted.as_array().expect("fields");
            assert_eq!(found.len(), wanted.len() + 1, "{flags:?}");
            for (found, wanted) in found.iter().zip(wanted) {
                let (number, shown) = (found.parse::<f64>().expect("a number"), found);
                let good = match wanted.as_f64() {
                    Some(wanted) => (number - wanted).abs() <= 2e-5 * wanted.abs().max(1.0),
                    None => shown == "nan",
                };
                assert!(good, "{flags:?}: {shown}, expected {wanted}");
            }
        }
    }
}

#[test]
fn rows_do_not_depend_on_company() {
    let input = corpus::documents(60);
    for flags in
        [&[][..], &["--max-length", "10", "--long", "stride:4"], &["--prompt-field", "kind", "--columns", "ifd,sum"]]
    {
        let together = run(&Folder::new(), "mistral", flags, &input).stdout;
        for threads in ["1", "2", "7"] {
            let again = run(&Folder::new(), "mistral", &[flags, &["--threads", threads]].concat(), &input).stdout;
            assert!(again == together, "{flags:?}, {threads} threads");
        }
        let alone = input.lines().map(|line| run(&Folder::new(), "mistral", flags, &format!("{line}\n")).stdout);
        assert!(alone.collect::<Vec<_>>().concat() == together, "{flags:?}");
    }
}

#[test]
fn block_by_block_is_the_same_to_the_byte() {
    let input = corpus::documents(80);
    for name in ["gpt2", "gpt-neox", "gpt-neox-serial", "opt-mapped", "llama-yarn", "smollm3", "qwen2", "gemma2"] {
        let flags = ["--columns", "nll,tokens,ifd", "--prompt-field", "kind", "--token-nll", "numbers"];
        let score = |more: &[&str]| {
            let folder = Folder::new();
            let outcome = run(&folder, name, &[&flags[..], more].concat(), &input);
            outcome.expect(0);
            (outcome.stdout, folder.read("numbers"))
        };
        let whole = score(&[]);
        for threads in ["1", "3"] {
            assert!(score(&["--layer-by-layer", "--threads", threads]) == whole, "{name}, {threads} threads");
        }
    }
    let folder = Folder::new();
    let args = ["--layer-by-layer", "--stats", "stats"];
    assert!(rows(&folder, "llama", &args, "").is_empty());
    assert_eq!(stats(&folder)["tokens"], 0);
}

#[test]
fn each_scored_token_is_in_the_array() {
    let folder = Folder::new();
    let input = corpus::documents(50);
    let args = ["--token-nll", "tokens.npy", "--columns", "nll,tokens", "--max-length", "9", "--long", "windows"];
    let rows = rows(&folder, "qwen3", &args, &input);
    let arrays = npy::read(&folder.read("tokens.npy"));
    assert_eq!((arrays.len(), arrays[0].descr.as_str(), arrays[0].shape.len()), (1, "<f4", 2));
    let mut numbers = arrays[0].bytes.as_chunks().0.iter().map(|&bytes| f64::from(f32::from_le_bytes(bytes)));
    for row in &rows {
        let tokens: usize = row[1].parse().expect("a count");
        let mean = numbers.by_ref().take(tokens).sum::<f64>() / tokens as f64;
        assert!(tokens > 0 && (mean - row[0].parse::<f64>().expect("a number")).abs() < 1e-6);
    }
    assert_eq!(numbers.next(), None);
}

#[test]
fn the_numbers_of_a_prefix_are_those_of_the_whole() {
    let text = "the cat and the other dog in the end ran and ran";
    let numbers = |text: &str| {
        let folder = Folder::new();
        run(&folder, "gemma2", &["--token-nll", "numbers"], &documents(&[json!({ "text": text })])).expect(0);
        npy::read(&folder.read("numbers"))[0].bytes.clone()
    };
    let whole = numbers(text);
    for end in [3, 11, 26] {
        let prefix = numbers(&text[..end]);
        assert!(!prefix.is_empty() && whole.starts_with(&prefix), "{:?}", &text[..end]);
    }
}

#[test]
fn what_is_not_scored_is_said_and_counted() {
    let folder = Folder::new();
    let long = "word ".repeat(40);
    let input = documents(&[
        json!({"text": " more", "prompt": long}),
        json!({"text": "the end", "prompt": "An"}),
        json!({"text": "he end", "prompt": "the t"}),
        json!({"text": ""}),
        json!({"text": "the end", "prompt": ""}),
    ]);
    let flags = ["--max-length", "20", "--prompt-field", "prompt", "--on-error", "skip", "--stats", "stats"];
    let rows = rows(&folder, "gpt2", &flags, &input);
    assert_eq!(rows[0][..2], ["nan", "0"]);
    assert_eq!(rows[3], ["nan", "nan", "nan"]);
    assert!(rows[1][0].parse::<f64>().is_ok_and(f64::is_finite));
    let stats = stats(&folder);
    let counts = ["unscored_rows", "split_rows", "truncated_rows", "bad_rows"].map(|name| stats[name].as_u64());
    assert_eq!(counts, [Some(1), Some(1), Some(1), Some(1)], "{stats}");
    assert_eq!(stats["precision"], "exact");
    assert!(stats["instructions"].is_string() && stats["nll"].is_f64());
    let tokens: u64 = rows.iter().filter_map(|row| row[1].parse::<u64>().ok()).sum();
    assert_eq!(stats["tokens"], tokens);
}

#[test]
fn a_bad_prompt_moves_no_number_to_another_row() {
    let good = json!({"text": "the end", "prompt": "In"});
    let input =
        documents(&[good.clone(), json!({"text": "and more"}), json!({"text": 3, "prompt": "x"}), good.clone()]);
    let flags = ["--prompt-field", "prompt", "--columns", "ifd,nll-alone,nll", "--on-error", "skip"];
    let rows = rows(&Folder::new(), "opt", &flags, &input);
    assert_eq!((rows[1][0].as_str(), rows[2][0].as_str()), ("nan", "nan"));
    assert_eq!(rows[0], rows[3]);
    let alone = self::rows(&Folder::new(), "opt", &flags, &documents(&[good]));
    assert_eq!(rows[0], alone[0]);
}

#[test]
fn what_does_not_go_together_is_refused() {
    let refused = |name: &str, args: &[&str], code: i32, why: &str| {
        run(&Folder::new(), name, args, "").expect_refusal(code, &[why]);
    };
    refused("gpt2", &["--columns", "ifd"], 2, "expected --prompt-field");
    refused("gpt2", &["--max-length", "97"], 2, "--max-length 97: the model has 96 positions");
    refused("llama", &["--max-length", "1"], 2, "expected 2 at least");
    refused("llama", &["--max-length", "8", "--long", "stride:9"], 2, "the 8 tokens that the model sees");
    refused("none", &[], 1, "causal-none: no such folder");
    refused("gpt2", &["--input", "ids", "--bos", "yes"], 2, "--bos goes only with --input text");
    refused("gpt2", &["--input", "ids", "--columns", "bits-per-byte"], 2, "tokens are not bytes of a text");
    refused("gpt2", &["--input", "mds"], 2, "--input mds: name the folders");
    refused("gpt2", &["--input", "tokens", "--shard", "0/2"], 2, "--shard needs regular files");
    refused("gpt2", &["--top-k", "5"], 2, "--top-k needs --out");
    refused("gpt2", &["--out", "x"], 2, "--out goes only with --top-k");
    refused("gpt2", &["--top-k", "5", "--out", "x", "--long", "windows"], 2, "--top-k needs --long cut");
    refused("gpt2", &["--top-k", "5", "--out", "x", "--token-nll", "y"], 2, "does not go with --token-nll");
    refused("gpt2", &["--top-k", "5", "--out", "x", "--resume"], 2, "--resume does not go with --input text");
    refused("gpt2", &["--top-k", "100000", "--out", "x"], 2, "--top-k 100000: the model knows");
    Run::new(tool().program, &Folder::new()).stdin("").outcome().expect_refusal(2, &["--model"]);
    let file = model("gpt2") + "/config.json";
    let outcome = Run::new(tool().program, &Folder::new()).args(["--model", &file]).stdin("").outcome();
    outcome.expect_refusal(1, &["expected the folder of a model, found a file"]);
}

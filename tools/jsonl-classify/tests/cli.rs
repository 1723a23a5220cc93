//! `jsonl-classify` keeps the contract of all tools, and says of texts what fastText and transformers say.

use contract::corpus;
use contract::folder::Folder;
use contract::run::{Outcome, Run};
use contract::tool::{INPUT, Tool, lines};
use serde_json::{Value, json};
use std::path::Path;

const FASTTEXT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../lib/model/tests/data/fasttext/ova.bin");

/// With a file of fastText.
fn tool() -> Tool {
    Tool {
        name: "jsonl-classify",
        program: env!("CARGO_BIN_EXE_jsonl-classify"),
        source: env!("CARGO_MANIFEST_DIR"),
        args: &["--model", FASTTEXT],
        side_files: &[],
        wrong_values: &[
            ("--model", ""),
            ("--activation", "relu"),
            ("--max-length", "0"),
            ("--precision", "f16"),
            ("--likeliest", "0"),
            ("--threshold", "much"),
        ],
        prepare: |_, _| (),
        input: |rows| corpus::documents(rows).into_bytes(),
    }
}

contract::holds!(tool: manual, files, documents, records, rows);

/// A fixture of the models' crate: a file of fastText, or the folder of a classifier.
fn model(name: &str) -> String {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../lib/model/tests/data");
    let path =
        if name.contains('.') { data.join("fasttext").join(name) } else { data.join(format!("classify-{name}")) };
    path.to_str().expect("the path is UTF-8").to_string()
}

fn run(folder: &Folder, name: &str, args: &[&str], input: &str) -> Outcome {
    let model = model(name);
    Run::new(tool().program, folder).args(["--model", &model]).args(args).stdin(input).outcome()
}

/// The fields of the rows.
fn rows(name: &str, args: &[&str], input: &str) -> Vec<Vec<String>> {
    let outcome = run(&Folder::new(), name, args, input);
    outcome.expect(0);
    let fields = |row: &[u8]| String::from_utf8_lossy(row).split('\t').map(str::to_string).collect();
    lines(&outcome.stdout).into_iter().map(fields).collect()
}

fn documents(texts: &[Value]) -> String {
    texts.iter().map(|text| format!("{}\n", json!({ "text": text }))).collect()
}

fn number(field: &str) -> f64 {
    field.parse().unwrap_or_else(|_| panic!("{field}: expected a number"))
}

fn array(value: &Value) -> &[Value] {
    value.as_array().expect("an array")
}

/// `scripts/model-fixtures` writes what fastText's own Python predicts.
#[test]
fn labels_and_probabilities_are_those_of_fasttext() {
    let expected: Value = serde_json::from_str(include_str!("data/fasttext.json")).expect("it is JSON");
    let input = documents(array(&expected["texts"]));
    let models = expected["models"].as_object().expect("models");
    assert!(models.len() >= 9);
    for (name, expected) in models {
        let labels = expected["labels"].as_u64().expect("a number").min(5);
        let found = rows(name, &["--likeliest", &labels.to_string()], &input);
        let wanted = array(&expected["rows"]);
        assert_eq!(found.len(), wanted.len());
        for (text, (found, wanted)) in found.iter().zip(wanted).enumerate() {
            let wanted = array(wanted);
            assert_eq!(found.len() as u64, 2 * labels + 1);
            if wanted.is_empty() {
                assert!(found[..found.len() - 1].iter().all(|field| field == "nan"), "{name}, text {text}: {found:?}");
            }
            for (found, wanted) in found.chunks(2).zip(wanted) {
                let label = wanted[0].as_str().and_then(|label| label.strip_prefix("__label__")).expect("a label");
                let difference = (number(&found[1]) - wanted[1].as_f64().expect("a number")).abs();
                assert!(found[0] == label && difference <= 1e-5, "{name}, text {text}: {found:?}, expected {wanted}");
            }
        }
    }
}

/// The same of what transformers computes in 32-bit floats.
#[test]
fn numbers_are_those_of_transformers() {
    let expected: Value = serde_json::from_str(include_str!("data/folders.json")).expect("it is JSON");
    let input = documents(array(&expected["texts"]));
    let folders = expected["folders"].as_object().expect("folders");
    assert!(folders.len() >= 10);
    for (name, expected) in folders {
        let labels: Vec<&str> = array(&expected["labels"]).iter().filter_map(Value::as_str).collect();
        let named: Vec<&str> = labels.iter().flat_map(|label| ["--label", label]).collect();
        for (flags, wanted) in [(&[][..], &expected["rows"]), (&["--activation", "none"], &expected["none"])] {
            let found = rows(name, &[&named, flags].concat(), &input);
            assert_eq!(found.len(), array(wanted).len());
            for (found, wanted) in found.iter().zip(array(wanted)) {
                assert_eq!(found.len(), labels.len() + 1);
                for (found, wanted) in found.iter().zip(array(wanted)) {
                    let wanted = wanted.as_f64().expect("a number");
                    let good = (number(found) - wanted).abs() <= 1e-5 * wanted.abs().max(1.0);
                    assert!(good, "{name} {flags:?}: {found}, expected {wanted}");
                }
            }
        }
    }
}

#[test]
fn a_single_label_goes_without_saying() {
    let input = documents(&[json!("the code of the model")]);
    for name in ["bert-score", "modern-bert-mean", "one.bin"] {
        let alone = rows(name, &[], &input);
        assert_eq!(alone[0].len(), 2, "{name}");
        let named = rows(name, &["--likeliest", "1"], &input);
        assert_eq!((named[0].len(), &named[0][1..]), (3, &alone[0][..]), "{name}");
    }
}

#[test]
fn the_likeliest_of_folders_come_first() {
    let input = corpus::documents(20);
    let numbers = rows("bert", &["--label", "poor", "--label", "quite good", "--label", "très bien"], &input);
    for (row, numbers) in rows("bert", &["--likeliest", "3"], &input).iter().zip(numbers) {
        let mut pairs: Vec<(&str, &str)> =
            ["poor", "quite good", "très bien"].into_iter().zip(numbers.iter().map(String::as_str)).collect();
        pairs.sort_by(|one, other| number(other.1).total_cmp(&number(one.1)));
        let expected: Vec<&str> = pairs.into_iter().flat_map(|(label, number)| [label, number]).collect();
        assert_eq!(row[..6], expected);
        assert_eq!(row[6], numbers[3], "the key");
    }
}

#[test]
fn labels_below_the_threshold_are_left_out() {
    let input = corpus::documents(200);
    let whole = rows("hs.bin", &["--likeliest", "3"], &input);
    let threshold = &whole[0][3];
    let cut = rows("hs.bin", &["--likeliest", "3", "--threshold", threshold], &input);
    assert_eq!(cut[0][..4], whole[0][..4], "what is as much as the threshold stays");
    let mut left_out = 0;
    for (whole, cut) in whole.iter().zip(&cut) {
        for (whole, cut) in whole[..6].chunks(2).zip(cut[..6].chunks(2)) {
            let expected = if number(&whole[1]) < number(threshold) {
                ["nan", "nan"]
            } else {
                [&whole[0], &whole[1]].map(String::as_str)
            };
            assert_eq!(cut, expected);
            left_out += usize::from(cut[0] == "nan");
        }
        assert_eq!(whole[6], cut[6]);
    }
    assert!((1..600).contains(&left_out), "{left_out}");
}

#[test]
fn the_number_of_a_label_is_the_one_beside_it() {
    let input = corpus::documents(100);
    for (name, prefix) in [("pruned.ftz", ""), ("hs.bin", "__label__"), ("ova.bin", "__label__")] {
        let best = rows(name, &["--likeliest", "4"], &input);
        let number = rows(name, &["--label", &format!("{prefix}l1"), "--label", &format!("{prefix}en")], &input);
        for (best, number) in best.iter().zip(&number) {
            for (label, number) in ["l1", "en"].iter().zip(number) {
                if let Some(at) = best.iter().position(|field| field == label) {
                    assert_eq!(&best[at + 1], number, "{name}");
                }
            }
            assert_eq!((number.len(), number.last()), (3, best.last()));
        }
    }
}

#[test]
fn rows_do_not_depend_on_company() {
    let input = corpus::documents(60);
    for name in ["bert", "modern-bert", "mpnet"] {
        let together = run(&Folder::new(), name, &[], &input).stdout;
        for threads in ["1", "2", "7"] {
            let again = run(&Folder::new(), name, &["--threads", threads], &input).stdout;
            assert!(again == together, "{name}, {threads} threads");
        }
        let alone = input.lines().map(|line| run(&Folder::new(), name, &[], &format!("{line}\n")).stdout);
        assert!(alone.collect::<Vec<_>>().concat() == together, "{name}");
        let folder = tool().folder(60);
        let model = model(name);
        let shard = |index: u32| {
            let shard = format!("{index}/3");
            Run::new(tool().program, &folder).args(["--model", &model, "--shard", &shard, INPUT]).output()
        };
        assert!((0..3).flat_map(shard).collect::<Vec<_>>() == together, "{name}");
    }
}

#[test]
fn what_is_rounded_is_near() {
    let input = corpus::documents(40);
    let outcome = run(&Folder::new(), "bert", &["--precision", "bf16"], &input);
    if outcome.code != Some(0) {
        outcome.expect_refusal(1, &["--precision bf16: this processor has neither AMX nor AVX512-BF16"]);
        eprintln!("bf16 skipped: this processor does not have it");
        return;
    }
    for name in ["bert-multi", "mpnet"] {
        let numbers = |precision: &str| rows(name, &["--precision", precision, "--label", "LABEL_1"], &input);
        for (exact, rounded) in numbers("exact").iter().zip(&numbers("bf16")) {
            assert!((number(&exact[0]) - number(&rounded[0])).abs() < 0.05, "{name}: {exact:?}, {rounded:?}");
        }
    }
}

#[test]
fn what_is_cut_or_not_known_is_counted() {
    let stats = |folder: &Folder| -> Value { serde_json::from_slice(&folder.read("stats")).expect("it is JSON") };
    let folder = Folder::new();
    let input = documents(&[json!("the model"), json!("the ".repeat(100)), json!(5), json!("")]);
    let args = ["--on-error", "skip", "--stats", "stats"];
    run(&folder, "bert", &[&args[..], &["--max-length", "8"]].concat(), &input).expect(0);
    let found = stats(&folder);
    assert_eq!(
        [&found["rows"], &found["bad_rows"], &found["truncated_rows"], &found["unknown_rows"], &found["labels"]],
        [4, 1, 1, 0, 3]
    );
    assert_eq!(found["precision"], "exact");
    // This model was trained without an end of lines: it knows nothing of an empty text.
    let outcome = run(&folder, "ova.bin", &args, &input.replace("\"\"", "\"__label__en\""));
    outcome.expect(0);
    let found = stats(&folder);
    assert_eq!([&found["rows"], &found["bad_rows"], &found["truncated_rows"]], [4, 1, 0]);
}

#[test]
fn missing_rows_have_as_many_fields() {
    let input = "{\"text\": 1}\n{\"text\": \"a\"}\n";
    for (name, args) in [
        ("bert", &["--likeliest", "2"][..]),
        ("bert", &["--label", "poor", "--label", "poor"]),
        ("pruned.ftz", &["--label", "en"]),
        ("pruned.ftz", &["--likeliest", "9"]),
    ] {
        let found = rows(name, &[args, &["--on-error", "skip"]].concat(), input);
        assert_eq!(found[0].len(), found[1].len(), "{name} {args:?}");
        assert!(found[0].iter().all(|field| field == "nan") && found[1].iter().all(|field| field != "nan"));
    }
}

#[test]
fn what_a_model_cannot_heed_is_refused() {
    let refused =
        |name: &str, args: &[&str], said: &[&str]| run(&Folder::new(), name, args, "").expect_refusal(2, said);
    refused("hs.bin", &["--activation", "none"], &["--activation: only a model in a folder can heed it"]);
    refused("hs.bin", &["--max-length", "9"], &["--max-length: only a model in a folder can heed it"]);
    refused("hs.bin", &["--precision", "exact"], &["--precision: only a model in a folder can heed it"]);
    refused("ova.bin", &["--likeliest", "5"], &["--likeliest 5: the model has 4 labels"]);
    refused("ova.bin", &["--label", "fr"], &["--label fr: expected one of the model's 4 labels: "]);
    refused(
        "bert",
        &["--label", "fr"],
        &["--label fr: expected one of the model's 3 labels: poor, quite good, très bien"],
    );
    refused("bert", &["--max-length", "100"], &["a maximum length of 100, but the model has 32 positions"]);
    refused("bert", &["--label", "poor", "--threshold", "0"], &["--label does not go with --threshold"]);
}

#[test]
fn a_bad_model_is_refused_by_its_name() {
    let folder = Folder::new();
    folder.write("model.bin", b"BERT is not fastText");
    let refused = |model: &str, said: &[&str]| {
        Run::new(tool().program, &folder).args(["--model", model]).waiting().outcome().expect_refusal(1, said);
    };
    refused("model.bin", &["model.bin: is no fastText model: expected a file that begins with ba 16 4f 2f"]);
    refused("not-there", &["not-there: no such file or folder"]);
    refused("HuggingFaceFW/fineweb-edu-classifier", &["no such file or folder; of the Hub? get-model "]);
    refused(".", &["config.json: No such file or directory"]);
    let embedder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../lib/model/tests/data/bert");
    refused(embedder, &["architectures: expected one that ends in ForSequenceClassification, found BertModel"]);
    let bytes = std::fs::read(model("hs.bin")).expect("the model");
    folder.write("cut.bin", &bytes[..bytes.len() / 2]);
    refused("cut.bin", &["cut.bin: truncated: expected "]);
}

//! `tokens-passages` keeps the contract of all tools, and its passages are those of their documents.

use contract::corpus::Numbers;
use contract::folder::Folder;
use contract::run::Run;
use contract::tool::Tool;
use serde_json::Value;
use std::fs;
use std::path::Path;

const LLAMA: &str = include_str!("../../../lib/model/tests/data/tokens/llama.json");

fn tool() -> Tool {
    Tool {
        name: "tokens-passages",
        program: env!("CARGO_BIN_EXE_tokens-passages"),
        source: env!("CARGO_MANIFEST_DIR"),
        args: &["--length", "8", "--tokenizer", "tokenizer.json"],
        side_files: &["--tokenizer"],
        wrong_values: &[
            ("--length", "0"),
            ("--tokenizer", ""),
            ("--tokens-min", "x"),
            ("--tokens-max", "x"),
            ("--vocab-size", "0"),
            ("--count", "many"),
            ("--split", "../test=1"),
            ("--mix", "a"),
        ],
        prepare: |folder, _| folder.write("tokenizer.json", LLAMA),
        input: |rows| stream(rows),
    }
}

contract::holds!(tool: manual, files, streams);
contract::holds!(@tests tool documents:
    standard_input_is_a_file, threads_change_nothing, reader_may_leave, reader_may_leave_while_input_waits,
    shards_of_what_cannot_be_cut_are_refused, progress_is_not_data);

/// So many documents of 0 to 39 tokens, as several arrays.
fn stream(rows: usize) -> Vec<u8> {
    let mut numbers = Numbers(1);
    let document = |_| (0..numbers.below(40)).map(|_| numbers.below(60) as i64).collect();
    let documents: Vec<Vec<i64>> = (0..rows).map(document).collect();
    let one = |part: &[Vec<i64>]| {
        let lengths = part.iter().map(|document| document.len() as i64);
        let values: Vec<_> =
            std::iter::once(part.len() as i64).chain(lengths).chain(part.iter().flatten().copied()).collect();
        array(&values, "u2")
    };
    if documents.is_empty() { one(&[]) } else { documents.chunks(100).flat_map(one).collect() }
}

/// A `.npy` array of one dimension, as NumPy writes it.
fn array(values: &[i64], kind: &str) -> Vec<u8> {
    let header = format!("{{'descr': '<{kind}', 'fortran_order': False, 'shape': ({},), }}", values.len());
    let mut bytes = b"\x93NUMPY\x01\0\x76\0".to_vec();
    bytes.extend(format!("{header:<117}\n").bytes());
    let width: usize = kind[1..].parse().expect("a width");
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()[..width].to_vec()));
    bytes
}

fn passages(folder: &Folder, line: &str) -> Run {
    tool().bare(folder).args(line.split_whitespace())
}

#[test]
fn passages_have_what_follows_as_neighbour() {
    let tokenizer = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../lib/model/tests/data/bert/tokenizer.json");
    let vocabulary: Value =
        serde_json::from_slice(&fs::read(&tokenizer).expect("the tokenizer is there")).expect("it is JSON");
    let words = vocabulary["model"]["vocab"].as_object().expect("a vocabulary");
    // Whole words of letters, whose text is themselves.
    let plain = words.iter().filter(|(word, _)| word.bytes().all(|byte| byte.is_ascii_lowercase()));
    let plain: Vec<(String, i64)> = plain.map(|(word, id)| (word.clone(), id.as_i64().expect("an id"))).collect();
    let special = words["[SEP]"].as_i64().expect("an id");
    let mut documents: Vec<Vec<usize>> =
        (0..40).map(|length| (0..length).map(|place| (7 * length + place) % plain.len()).collect()).collect();
    documents.swap(3, 33);
    let folder = Folder::new();
    let ids = |document: &[usize]| document.iter().map(|&word| plain[word].1).collect::<Vec<_>>();
    let lengths = documents.iter().map(|document| document.len() as i64);
    let values: Vec<_> =
        std::iter::once(40).chain(lengths).chain(documents.iter().flat_map(|document| ids(document))).collect();
    folder.write("t", array(&values, "i4"));
    let line = format!("--length 6 --tokenizer {} --domain wiki", tokenizer.display());
    let text = |document: &[usize]| document.iter().map(|&word| plain[word].0.as_str()).collect::<Vec<_>>().join(" ");
    let mut expected = Vec::new();
    for (number, document) in documents.iter().enumerate() {
        for place in 0..document.len() / 6 {
            let own = &document[6 * place..6 * place + 6];
            let next = &document[6 * place + 6..document.len().min(6 * place + 12)];
            expected.push(serde_json::json!({
                "id": format!("wiki_{number}_{place}"),
                "contents": text(own),
                "neighbor": text(next),
                "contents_token_ids": ids(own),
                "neighbor_token_ids": ids(next),
            }));
        }
    }
    let found = passages(&folder, &format!("{line} --ids t")).text();
    let lines =
        |text: &str| text.lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect::<Vec<Value>>();
    assert_eq!(lines(&found), expected);
    for threads in [1, 3] {
        assert_eq!(passages(&folder, &format!("{line} --ids --threads {threads} t")).text(), found);
    }
    let parts: String =
        (0..3).map(|part| passages(&folder, &format!("{line} --ids --shard {part}/3 t")).text()).collect();
    assert_eq!(parts, found);
    // Documents are counted through all files, in every shard.
    let all = |args: &str| passages(&folder, &format!("{line} {args} t t")).text();
    let mut whole: Vec<_> = lines(&all(""));
    let mut of_shards: Vec<_> = (0..3).flat_map(|part| lines(&all(&format!("--shard {part}/3")))).collect();
    let id = |passage: &Value| passage["id"].to_string();
    whole.sort_by_key(id);
    of_shards.sort_by_key(id);
    assert!(whole == of_shards && whole.windows(2).all(|two| id(&two[0]) != id(&two[1])));
    let chosen = lines(&passages(&folder, &format!("{line} --ids -n 20 t")).text());
    assert!(chosen.len() == 20 && chosen.iter().all(|passage| expected.contains(passage)));
    let bare = lines(&passages(&folder, &format!("{line} t")).text());
    assert!(bare.iter().all(|passage| passage.as_object().is_some_and(|passage| passage.len() == 3)));
    folder.write("t", array(&[1, 3, special, plain[0].1, special], "u2"));
    let passage = lines(&passages(&folder, &line.replace(" 6 ", " 3 ")).args(["t"]).text());
    assert_eq!(passage[0]["contents"], plain[0].0.as_str(), "special tokens are left out");
    let model = tokenizer.with_file_name("../tokens/bpe.model");
    folder.write("s", array(&[1, 8, 1, 266, 831, 235, 173, 161, 301, 404], "u2"));
    let passage = lines(&passages(&folder, &format!("--length 6 --tokenizer {} s", model.display())).text());
    assert_eq!((&passage[0]["contents"], &passage[0]["neighbor"]), (&Value::from("the 語"), &Value::from("cat")));
    passages(&folder, "--length 6 t").outcome().expect_refusal(2, &["--tokenizer is needed"]);
    passages(&folder, "--length 6 --tokenizer x t").outcome().expect_refusal(1, &["x: No such file"]);
}

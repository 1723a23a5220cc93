//! Documents that are tokens, and the likeliest tokens behind each of theirs.

use super::{documents, model, rows, run, stats, tool};
use contract::folder::Folder;
use contract::npy;
use contract::run::{Run, program};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Documents of these tokens.
fn lists(list: &[&[u32]]) -> Vec<Value> {
    list.iter().map(|ids| json!({ "token_ids": ids })).collect()
}

const IDS: [&[u32]; 6] =
    [&[7, 8, 9, 10, 11, 12], &[3], &[20, 21, 20, 21], &[1, 2, 3, 4, 5, 6, 7, 8, 9], &[30, 31], &[5, 5, 5, 5, 5]];

/// A token array as jsonl-tokenize writes it.
fn array(list: &[&[u32]]) -> Vec<u8> {
    let head = std::iter::once(list.len() as u32).chain(list.iter().map(|ids| ids.len() as u32));
    let numbers: Vec<u32> = head.chain(list.iter().flat_map(|ids| ids.iter().copied())).collect();
    let mut header = format!("{{'descr': '<u4', 'fortran_order': False, 'shape': ({},), }}", numbers.len());
    header.push_str(&" ".repeat(117 - header.len()));
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    bytes.extend(header.bytes());
    bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    bytes
}

/// A Mosaic dataset of windows of four tokens with four before them.
fn dataset(folder: &Folder) {
    let long: Vec<u32> = (0..90).map(|i| i * 7 % 60).collect();
    folder.write("t.npy", array(&[&long[..], IDS[3], &long[5..40]]));
    let args = "--length 4 --prev 4 --mode within --format mds --size-limit 700 --out mds t.npy";
    let status = Command::new(program("pack-tokens")).args(args.split(' ')).current_dir(folder.path()).status();
    assert!(status.expect("pack-tokens runs; cargo build --workspace makes it").success());
}

fn score(folder: &Folder, line: &str) -> Run {
    Run::new(tool().program, folder).args(["--model", &model("llama")]).args(line.split(' '))
}

#[test]
fn the_same_tokens_have_the_same_numbers_however_they_come() {
    let folder = Folder::new();
    let text = "the cat and the other dog in the end ran and ran";
    let args = ["--no-special", "--columns", "sum,tokens"];
    let of_text = rows(&folder, "llama", &args, &documents(&[json!({ "text": text })]));
    let input = documents(&lists(&IDS));
    let of_lists = rows(&folder, "llama", &["--input", "ids", "--columns", "sum,tokens"], &input);
    assert_eq!(of_text.len(), 1);
    assert_eq!(of_lists.iter().map(|row| row[1].as_str()).collect::<Vec<_>>(), ["5", "0", "3", "8", "1", "4"]);
    folder.write("a.npy", array(&[IDS[0], IDS[1], &[], IDS[2]]));
    folder.write("b.npy", array(&[IDS[3], IDS[4], IDS[5]]));
    let run = score(&folder, "--input tokens --columns sum,tokens --stats stats a.npy b.npy").outcome();
    run.expect(0);
    let found = String::from_utf8(run.stdout).expect("text");
    let found: Vec<Vec<&str>> = found.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(found[2], ["nan", "nan", "nan"], "a document without tokens is a missing row");
    let there: Vec<_> = found.iter().filter(|row| row[0] != "nan" || row[1] == "0").collect();
    assert_eq!(there.len(), 6);
    for (list, row) in of_lists.iter().zip(there) {
        assert_eq!(list[..2], row[..2]);
    }
    assert_eq!(stats(&folder)["rows"], 7);
}

#[test]
fn what_stands_before_is_seen_and_not_scored() {
    let folder = Folder::new();
    let whole = documents(&[json!({"token_ids": IDS[3]})]);
    let split = |at: usize| json!({"ids": &IDS[3][at..], "before": &IDS[3][..at]});
    let args = ["--input", "ids", "--last", "4", "--columns", "sum,tokens"];
    let of_whole = rows(&folder, "qwen3", &args, &whole);
    let args = ["--input", "ids", "--field", "ids", "--prompt-field", "before", "--columns", "sum,tokens"];
    let of_split = rows(&folder, "qwen3", &args, &documents(&[split(5)]));
    assert_eq!(of_whole[0][..2], of_split[0][..2]);
    // Tokens before the last ones of a context do not matter.
    let args = [&args[..], &["--context-max", "2"]].concat();
    let (far, near) = (split(5), json!({"ids": &IDS[3][5..], "before": &IDS[3][3..5]}));
    let found = rows(&folder, "qwen3", &args, &documents(&[far, near]));
    assert_eq!(found[0][..2], found[1][..2]);
}

#[test]
fn samples_are_documents_with_what_stands_before() {
    let folder = Folder::new();
    dataset(&folder);
    let of_samples = score(&folder, "--input mds --columns nll,sum,tokens mds").output();
    let long: Vec<u32> = (0..90).map(|i| i * 7 % 60).collect();
    let windows = |ids: &[u32]| -> Vec<Value> {
        let starts = (4..).step_by(4).take_while(|start| start + 4 <= ids.len());
        starts.map(|at| json!({"token_ids": ids[at..at + 4], "prev_token_ids": ids[at - 4..at]})).collect()
    };
    let all = [windows(&long), windows(IDS[3]), windows(&long[5..40])].concat();
    let of_lists = rows(&folder, "llama", &["--input", "ids", "--columns", "nll,sum,tokens"], &documents(&all));
    let of_samples = String::from_utf8(of_samples).expect("text");
    let of_samples: Vec<Vec<&str>> = of_samples.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(of_samples.len(), all.len());
    for (sample, list) in of_samples.iter().zip(&of_lists) {
        assert_eq!(sample[..3], list[..3]);
    }
    let parts: Vec<u8> = (0..3)
        .flat_map(|i| score(&folder, &format!("--input mds --columns nll,sum,tokens --shard {i}/3 mds")).output())
        .collect();
    assert_eq!(parts, score(&folder, "--input mds --columns nll,sum,tokens --threads 7 mds").output());
}

#[test]
fn tokens_that_are_none_are_named() {
    let folder = Folder::new();
    folder.write("t.npy", array(&[&[1, 2], &[3, 99_999]]));
    let said = |line: &str, input: &str, said: &str| {
        score(&folder, line).stdin(input).outcome().expect_refusal(1, &[said]);
    };
    said("--input tokens t.npy", "", "t.npy: document 2: token 2: expected 0 to");
    said("--input ids", "{\"token_ids\": [1, 70000]}\n", ":1: token 2: expected 0 to");
    let context = "{\"token_ids\": [1], \"prev_token_ids\": [70000]}\n";
    said("--input ids", context, ":1: token of the context 1: expected 0 to");
    said("--input ids", "{\"token_ids\": \"x\"}\n", "field \"token_ids\": expected a list of tokens, found string");
    said("--input mds none", "", "none");
    dataset(&folder);
    let shard = folder.path().join("mds/shard.00001.mds");
    let mut bytes = fs::read(&shard).expect("a shard");
    let end = bytes.len() - 9;
    bytes.truncate(end);
    fs::write(&shard, bytes).expect("a shard");
    said("--input mds mds", "", "shard.00001.mds");
}

/// Shape and bytes of the values of a pickled array of two dimensions.
fn pickled(bytes: &[u8]) -> ([usize; 2], &[u8]) {
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize;
    let shape = bytes.windows(4).position(|four| four == b"(K\x01J").expect("a shape") + 4;
    let marker = bytes.windows(3).position(|three| three == b"b\x89B").expect("values") + 3;
    let size = number(marker);
    ([number(shape), number(shape + 5)], &bytes[marker + 4..marker + 4 + size])
}

/// The samples of a dataset: `target_index` and `target_prob` of each, with how many places they have.
fn targets(folder: &Path) -> Vec<(usize, Vec<u8>, Vec<u8>)> {
    let index: Value = serde_json::from_slice(&fs::read(folder.join("index.json")).expect("an index")).expect("JSON");
    let mut samples = Vec::new();
    for shard in index["shards"].as_array().expect("shards") {
        assert_eq!(shard["column_names"], json!(["target_index", "target_prob"]));
        assert_eq!(shard["column_encodings"], json!(["pkl", "pkl"]));
        let bytes = fs::read(folder.join(shard["raw_data"]["basename"].as_str().expect("a name"))).expect("a shard");
        let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize;
        for sample in 0..number(0) {
            let start = number(4 + 4 * sample);
            let (first, second) = (number(start), number(start + 4));
            let (rows, tokens) = pickled(&bytes[start + 8..start + 8 + first]);
            let (same, chances) = pickled(&bytes[start + 8 + first..start + 8 + first + second]);
            assert_eq!((rows[0], rows[1] + 1), (same[0], same[1]));
            assert_eq!((tokens.len(), chances.len()), (4 * rows[0] * rows[1], 2 * same[0] * same[1]));
            samples.push((rows[0], tokens.to_vec(), chances.to_vec()));
        }
    }
    samples
}

fn half(bytes: [u8; 2]) -> f64 {
    let bits = u16::from_le_bytes(bytes);
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 0x3ff));
    if exponent == 0 { fraction * 2f64.powi(-24) } else { (1.0 + fraction / 1024.0) * 2f64.powi(exponent - 15) }
}

/// What transformers and CEPE's arithmetic say.
#[test]
fn the_likeliest_tokens_are_those_of_transformers() {
    let expected: Value = serde_json::from_str(include_str!("../data/expected.json")).expect("it is JSON");
    let samples = expected["samples"].as_array().expect("samples");
    assert!(samples.len() >= 5);
    let folder = Folder::new();
    let args = ["--input", "ids", "--context-max", "6", "--max-length", "17", "--top-k", "5", "--out", "out"];
    run(&folder, "llama", &args, &documents(samples)).expect(0);
    let found = targets(&folder.path().join("out"));
    assert_eq!(found.len(), samples.len());
    for ((places, tokens, chances), sample) in found.iter().zip(samples) {
        let wanted = sample["target_prob"].as_array().expect("places");
        let context = sample["prev_token_ids"].as_array().expect("tokens").len().min(6);
        // Where the context is shorter, more of the tokens are seen; CEPE would tell of 11 at the most.
        assert!(*places == wanted.len() || (context < 6 && *places > wanted.len()), "{places}");
        for (place, wanted) in wanted.iter().enumerate() {
            let wanted: Vec<f64> = wanted.as_array().expect("numbers").iter().filter_map(Value::as_f64).collect();
            assert_eq!(wanted.len(), 6);
            let ids: Vec<u64> =
                sample["target_index"][place].as_array().expect("ids").iter().filter_map(Value::as_u64).collect();
            let token = |k: usize| i32::from_le_bytes(tokens[4 * (5 * place + k)..][..4].try_into().expect("four"));
            let chance = |k: usize| half(chances[2 * (6 * place + k)..][..2].try_into().expect("two"));
            for (k, wanted) in wanted.iter().enumerate() {
                assert!((chance(k) - wanted).abs() < 1e-4 + wanted / 1024.0, "{place}, {k}");
            }
            for k in
                (0..4).filter(|&k| wanted[k] - wanted[k + 1] > 1e-5 && (k == 0 || wanted[k - 1] - wanted[k] > 1e-5))
            {
                assert_eq!(token(k) as u64, ids[k], "{place}, {k}");
            }
        }
    }
}

#[test]
fn datasets_do_not_depend_on_threads_shards_nor_on_being_stopped() {
    let folder = Folder::new();
    dataset(&folder);
    let flags = "--input mds --top-k 3 --last 2 --size-limit 1000";
    let write = |more: &str| score(&folder, &format!("{flags} {more} mds")).output();
    assert!(write("--out whole").is_empty(), "the folder is all that is written");
    let whole = targets(&folder.path().join("whole"));
    let samples = String::from_utf8(score(&folder, "--input mds mds").output()).expect("text").lines().count();
    assert_eq!(whole.len(), samples);
    assert!(whole.iter().all(|(places, _, _)| *places == 2));
    for threads in [1, 7] {
        write(&format!("--threads {threads} --out threads{threads}"));
        assert_eq!(targets(&folder.path().join(format!("threads{threads}"))), whole);
    }
    (0..3).for_each(|i| drop(write(&format!("--shard {i}/3 --out parts/{i}"))));
    let merge = Command::new(program("mds-merge"))
        .args(["--out", "parts", "parts/0", "parts/1", "parts/2"])
        .current_dir(folder.path())
        .status();
    assert!(merge.expect("mds-merge runs").success());
    assert_eq!(targets(&folder.path().join("parts")), whole);

    // As a run leaves it that was killed behind its second shard.
    let names = |name: &str| {
        let entries = fs::read_dir(folder.path().join(name)).expect("a folder").map(|entry| entry.expect("an entry"));
        let mut names: Vec<_> = entries.map(|entry| entry.file_name().into_string().expect("a name")).collect();
        names.sort();
        names
    };
    let shards = names("whole").into_iter().filter(|name| name.starts_with("shard."));
    assert!(shards.clone().count() > 4);
    fs::create_dir(folder.path().join("stopped")).expect("a folder");
    let copy = |name: &str| {
        let (from, to) = (folder.path().join("whole").join(name), folder.path().join("stopped").join(name));
        fs::copy(from, to).expect("a copy");
    };
    shards.take(2).for_each(|name| copy(&name));
    score(&folder, &format!("{flags} --out stopped mds")).outcome().expect_refusal(1, &["--resume finishes it"]);
    write("--resume --out stopped");
    assert_eq!(names("stopped"), names("whole"));
    for name in names("whole") {
        let read = |place: &str| fs::read(folder.path().join(place).join(&name)).expect("a file");
        assert!(read("stopped") == read("whole"), "{name}");
    }
    // Another model, or another number of places, is noticed.
    fs::remove_file(folder.path().join("stopped/index.json")).expect("it was there");
    let other = "--input mds --top-k 3 --last 3 --size-limit 1000 --resume --out stopped mds";
    score(&folder, other).outcome().expect_refusal(1, &["the last sample is not what this run writes"]);
}

#[test]
fn arrays_hold_what_datasets_hold() {
    let folder = Folder::new();
    let input = documents(&[lists(&IDS), vec![json!({ "token_ids": [] }), json!({ "token_ids": "x" })]].concat());
    let write = |more: &[&str]| {
        let args = [&["--input", "ids", "--top-k", "4", "--on-error", "skip"], more].concat();
        run(&folder, "llama", &args, &input).expect(0);
    };
    write(&["--out", "mds"]);
    write(&["--out", "npy", "--format", "npy"]);
    let samples = targets(&folder.path().join("mds"));
    let lengths: Vec<usize> = samples.iter().map(|(places, _, _)| *places).collect();
    assert_eq!(lengths, [6, 1, 4, 9, 2, 5, 0, 0], "a bad row stands there, empty");
    let array = |name: &str| npy::read(&folder.read(&format!("npy/{name}"))).swap_remove(0);
    let counts = array("target_count.npy");
    let lengths: Vec<i64> = lengths.iter().map(|&length| length as i64).collect();
    assert_eq!(npy::integers(&counts.descr, &counts.bytes), lengths);
    let (tokens, chances) = (array("target_index.npy"), array("target_prob.npy"));
    assert_eq!((tokens.descr.as_str(), chances.descr.as_str()), ("<i4", "<f2"));
    assert_eq!((tokens.shape, chances.shape), (vec![27, 4], vec![27, 5]));
    assert_eq!(tokens.bytes, samples.iter().flat_map(|sample| sample.1.clone()).collect::<Vec<_>>());
    assert_eq!(chances.bytes, samples.iter().flat_map(|sample| sample.2.clone()).collect::<Vec<_>>());
}

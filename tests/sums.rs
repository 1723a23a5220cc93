//! The sums in `--stats`: what one program wrote is what the next one read.

use contract::corpus;
use contract::files::file;
use contract::folder::Folder;
use contract::run::Run;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use std::io::Write;
use xxhash_rust::xxh3::xxh3_64;

/// A folder with documents, and some of them compressed.
fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("docs.jsonl", corpus::documents(3000));
    folder.write("target.jsonl", corpus::target(100));
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(corpus::documents(700).as_bytes()).expect("memory can be written");
    folder.write("packed.gz", packed.finish().expect("memory can be written"));
    folder
}

/// Runs a script, and gives what is in its statistics.
fn stats(folder: &Folder, script: &str) -> Value {
    Run::shell(script, folder).outcome().expect(0);
    serde_json::from_slice(&folder.read("stats")).expect("it is JSON")
}

/// Bytes and sum of a file that is there.
fn known(folder: &Folder, name: &str) -> (Value, Value) {
    let bytes = folder.read(name);
    (bytes.len().into(), format!("{:016x}", xxh3_64(&bytes)).into())
}

const UNKNOWN: (Value, Value) = (Value::Null, Value::Null);

#[test]
fn what_one_program_wrote_the_next_one_read() {
    let folder = folder();
    let counts = stats(&folder, "ngram-hash --stats stats docs.jsonl packed.gz > raw");
    for name in ["docs.jsonl", "packed.gz"] {
        assert_eq!(file(&counts, "inputs", name), known(&folder, name), "as it lies there, compressed or not");
    }
    assert_eq!(file(&counts, "outputs", "<stdout>"), known(&folder, "raw"));
    assert_eq!(counts["outputs"][0]["file"], "raw", "what the shell made of it");
    let piped = stats(&folder, "cat target.jsonl | ngram-hash --stats stats > target");
    assert_eq!(file(&piped, "inputs", "<stdin>"), known(&folder, "target.jsonl"));
    assert_eq!(piped["inputs"][0]["file"], Value::Null, "a pipe");
    let weights = stats(&folder, "dsir-weight --raw raw --target target --stats stats docs.jsonl > w");
    for name in ["raw", "target", "docs.jsonl"] {
        assert_eq!(file(&weights, "inputs", name), known(&folder, name));
    }
    let chosen = stats(&folder, "topk-resample -n 100 --weights w --stats stats docs.jsonl > chosen");
    assert_eq!(file(&chosen, "inputs", "w"), file(&weights, "outputs", "<stdout>"));
    assert_eq!(file(&chosen, "outputs", "<stdout>"), known(&folder, "chosen"));
    let cut = stats(&folder, "topk-resample -n 100 --weights w --write-cut cut --stats stats");
    assert_eq!(file(&cut, "outputs", "cut"), known(&folder, "cut"));
}

/// Their shape is filled in when all is written, and may need more room than was left for it.
#[test]
fn arrays_in_files_have_sums_too() {
    let folder = folder();
    let shard = stats(&folder, "jsonl-embed --model hash:8 --shard 0/2 --stats stats docs.jsonl > v.npy");
    assert_eq!(file(&shard, "outputs", "<stdout>"), known(&folder, "v.npy"));
    let behind = stats(&folder, "(printf before; jsonl-embed --model hash:8 --stats stats target.jsonl) > v.npy");
    let (bytes, sum) = file(&behind, "outputs", "<stdout>");
    let written = &folder.read("v.npy")["before".len()..];
    assert_eq!((bytes, sum), (written.len().into(), format!("{:016x}", xxh3_64(written)).into()));
    folder.write("tokenizer.json", include_str!("../lib/model/tests/data/tokens/llama.json"));
    let tokens = stats(&folder, "jsonl-tokenize --tokenizer tokenizer.json --stats stats docs.jsonl > t.npy");
    assert_eq!(file(&tokens, "outputs", "<stdout>"), known(&folder, "t.npy"));
    let packed = "pack-tokens --length 64 --provenance where --stats stats t.npy > packed.npy";
    let packed = stats(&folder, packed);
    assert_eq!(file(&packed, "outputs", "<stdout>"), known(&folder, "packed.npy"));
    assert_eq!(file(&packed, "outputs", "where"), known(&folder, "where"));
}

#[test]
fn a_sum_that_is_not_known_is_none() {
    let folder = folder();
    let shard = stats(&folder, "jsonl-embed --model hash:8 --shard 0/2 --stats stats docs.jsonl > v.npy");
    assert_eq!(file(&shard, "inputs", "docs.jsonl"), UNKNOWN, "a part of the file");
    let stream = stats(&folder, "jsonl-embed --model hash:8 --stats stats docs.jsonl | cat > v.stream");
    assert_eq!(file(&stream, "outputs", "<stdout>"), known(&folder, "v.stream"));
    let cat = stats(&folder, "npy-cat --stats stats v.stream > v.npy");
    assert_eq!(file(&cat, "inputs", "v.stream"), known(&folder, "v.stream"));
    folder.write("w", "0.5\t1\n".repeat(3000));
    let twice = stats(&folder, "topk-resample --top -n 9 --keys documents --weights w --stats stats docs.jsonl > x");
    assert_eq!(file(&twice, "inputs", "docs.jsonl"), known(&folder, "docs.jsonl"), "read twice, named once");
}

//! Memory does not grow with the input: 100 MB of documents in 64 MiB, and 32 bytes a row where rows are chosen; more
//! to shuffle.
//!
//! `scripts/check-memory` does the same with the release build and any size.

use contract::corpus;
use contract::folder::Folder;
use contract::run::{Outcome, Run, program};
use contract::vectors;

const KIB_MAX: u64 = 64 << 10;

/// 100 MB of documents in files that are read one after another: the same 5 MB, twenty times.
fn folder() -> (Folder, Vec<&'static str>) {
    let folder = Folder::new();
    let mut documents = corpus::documents(20_000);
    documents.truncate(documents.rfind('\n').map_or(0, |end| end + 1));
    let times = 5_000_000 / documents.len() + 1;
    folder.write("docs.jsonl", documents.repeat(times));
    (folder, vec!["docs.jsonl"; 20])
}

#[track_caller]
fn within(outcome: &Outcome, kib_max: u64) {
    outcome.expect(0);
    assert!(outcome.resident_max_kib > 0, "nobody looked at the memory");
    assert!(
        outcome.resident_max_kib < kib_max,
        "{}: {} KiB, expected less than {kib_max}",
        outcome.shown,
        outcome.resident_max_kib
    );
}

fn run(folder: &Folder, tool: &str, args: &[&str]) -> Outcome {
    Run::new(program(tool), folder).args(args).args(["--threads", "2"]).outcome()
}

#[test]
fn memory_does_not_grow_with_the_input() {
    let (folder, input) = folder();
    let counts = run(&folder, "ngram-hash", &input);
    within(&counts, KIB_MAX);
    folder.write("counts", counts.stdout);
    within(&run(&folder, "ngram-hash", &[&["--per-document"], &input[..4]].concat()), KIB_MAX);
    within(&run(&folder, "ngram-hash", &[&["--words-max", "9000000"], &input[..]].concat()), KIB_MAX);
    // Of two files, the program is done before anybody can look.
    within(&Run::new(program("ngram-kl"), &folder).args(["counts"; 60]).outcome(), KIB_MAX);
    within(&run(&folder, "jsonl-key", &input), KIB_MAX);
    folder.write("quality.bin", include_bytes!("../lib/model/tests/data/fasttext/hq.bin"));
    within(&run(&folder, "jsonl-classify", &[&["--model", "quality.bin"], &input[..]].concat()), KIB_MAX);
    // A part of the documents at a time.
    within(&run(&folder, "jsonl-shuffle", &input), KIB_MAX + (100 << 10));
}

#[test]
fn memory_does_not_grow_with_what_is_chosen_from_but_for_its_rows() {
    let (folder, input) = folder();
    folder.write("counts", run(&folder, "ngram-hash", &input[..1]).stdout);
    let weights = run(&folder, "dsir-weight", &[&["--raw", "counts", "--target", "counts"], &input[..]].concat());
    within(&weights, KIB_MAX);
    let rows = weights.stdout.iter().filter(|&&byte| byte == b'\n').count() as u64;
    folder.write("weights", weights.stdout);
    for choice in [&["-n", "100000"][..], &["--keys", "documents", "-n", "100000"], &["--budget", "1000000"]] {
        let chosen = run(&folder, "topk-resample", &[choice, &["--weights", "weights"], &input[..]].concat());
        within(&chosen, KIB_MAX + rows * 32 / 1024);
    }
    let cluster = |row: u64| format!("{}\n", row * row % 1000);
    folder.write("clusters", (0..rows).map(cluster).collect::<String>());
    for sample in [&["-n", "100000"][..], &["-n", "400000", "--clip", "3"]] {
        let drawn = run(&folder, "clip-sample", &[sample, &["--clusters", "clusters"], &input[..]].concat());
        within(&drawn, KIB_MAX + rows * 16 / 1024);
    }
}

/// 96 MB of vectors, and sums of some MB each, of many parts.
#[test]
fn memory_does_not_grow_with_the_vectors() {
    let vectors = Folder::new();
    vectors.write("vectors.npy", vectors::array(&vectors::rows(150_000)));
    vectors.write("centroids.npy", vectors::array(&vectors::rows(100)));
    let arrays = vec!["vectors.npy"; 20];
    for name in ["kmeans-assign", "kmeans-sum"] {
        let args = ["--centroids", "centroids.npy", "--threads", "2"];
        within(&Run::new(program(name), &vectors).args(args).args(&arrays).outcome(), KIB_MAX);
    }
    within(&Run::new(program("npy-cat"), &vectors).args(&arrays).outcome(), KIB_MAX);
    vectors.write("row.npy", vectors::array(&vectors::rows(1)));
    for (name, k) in [("kmeans-sum", 40_000), ("gmm-sum", 20_000)] {
        vectors.write("many.npy", vectors::array(&vectors::rows(k)));
        vectors.write("sums", Run::new(program(name), &vectors).args(["--centroids", "many.npy", "row.npy"]).output());
        assert!(vectors.read("sums").len() > 3_000_000, "{name}: sums that would not be seen");
        within(&Run::new(program(name), &vectors).args(["--add"]).args(["sums"; 60]).outcome(), KIB_MAX);
    }
}

/// 18 million documents, whose lengths stand in front of one array.
#[test]
fn memory_does_not_grow_with_the_documents_of_an_array() {
    let folder = Folder::new();
    folder.write("tokens.npy", corpus::tokens(&[0; 60_000]));
    folder.write("all.npy", "");
    let path = folder.path().join("all.npy");
    let cat = Run::new(program("npy-cat"), &folder).args(["tokens.npy"; 300]);
    within(&cat.into_file(path.to_str().expect("it is UTF-8")).outcome(), KIB_MAX);
    within(&Run::new(program("npy-cat"), &folder).args(["all.npy"]).outcome(), KIB_MAX);
}

/// 100 MB of tokens, too; a dataset is made in shards, of which each thread may hold one and two more wait.
#[test]
fn memory_does_not_grow_with_the_tokens() {
    let folder = Folder::new();
    let lengths: Vec<u16> = (0..60_000).map(|place| place % 1600).collect();
    folder.write("tokens.npy", corpus::tokens(&lengths));
    let pack = |args: &str| {
        let args = args.split(' ').chain(["--length", "512", "--threads", "2"]);
        let outcome = Run::new(program("pack-tokens"), &folder).args(args).args(["tokens.npy"]).outcome();
        within(&outcome, KIB_MAX);
    };
    pack("--mode within --prev 512");
    pack("--prev 512 --provenance where");
    within(&Run::new(program("tokens-where"), &folder).args(["where"]).outcome(), KIB_MAX);
    pack("--format jsonl -n 1000");
    pack("--format arrow");
    pack("--format megatron --out m");
    pack("--format mds --size-limit 4M --compression zstd --out mds");
    pack("--mode best-fit --pad 0 --window 1000000");
}

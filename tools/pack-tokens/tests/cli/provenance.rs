//! Where the tokens of sequences come from, beside what tokens that are all different say.

use super::{array, pack, random, readers, stream, words};
use contract::folder::Folder;
use contract::run::{Run, program};
use readers::Sample;
use std::collections::HashMap;
use std::fs;
use xxhash_rust::xxh3::xxh3_64;

/// No document has it.
const PAD: i64 = 65_000;

/// sequence, row, key, begin, length, at.
type Record = (u64, u64, u64, u64, u64, i64);

/// Documents of these lengths in which no token comes twice, from `first` on.
fn different(lengths: &[Vec<i64>], first: i64) -> Vec<Vec<i64>> {
    let mut next = first;
    let mut document = |length: usize| {
        next += length as i64;
        (next - length as i64..next).collect()
    };
    lengths.iter().map(|tokens| document(tokens.len())).collect()
}

/// The records of a file, read by the letter of the manual.
fn records(bytes: &[u8]) -> Vec<Record> {
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte));
    let data = &bytes[10 + number(&bytes[8..10]) as usize..];
    assert_eq!(data.len() % 36, 0);
    let header = String::from_utf8_lossy(&bytes[10..bytes.len() - data.len()]).into_owned();
    assert!(header.contains(&format!("'shape': ({},)", data.len() / 36)), "{header}");
    let record = |bytes: &[u8]| {
        let wide = [0, 8, 16].map(|at| number(&bytes[at..at + 8]));
        let [begin, length, at] = [24, 28, 32].map(|at| number(&bytes[at..at + 4]));
        (wide[0], wide[1], wide[2], begin, length, i64::from(at as u32 as i32))
    };
    data.chunks(36).map(record).collect()
}

/// What the records must be: each run of tokens that are one after another in a document.
fn expected(documents: &[Vec<i64>], samples: &[Sample]) -> Vec<Record> {
    let mut places = HashMap::new();
    for (row, document) in documents.iter().enumerate() {
        let bytes: Vec<u8> = document.iter().flat_map(|&token| (token as u32).to_le_bytes()).collect();
        let key = xxh3_64(&bytes);
        places.extend(document.iter().enumerate().map(|(place, &token)| (token, (row as u64, key, place as u64))));
    }
    let mut records: Vec<Record> = Vec::new();
    for (number, sample) in samples.iter().enumerate() {
        let before = sample.prev.len() as i64;
        for (at, token) in sample.prev.iter().chain(&sample.tokens).enumerate() {
            if *token == PAD {
                continue;
            }
            let (row, key, place) = places[token];
            match records.last_mut() {
                Some(last) if (last.0, last.1, last.3 + last.4) == (number as u64, row, place) => last.4 += 1,
                _ => records.push((number as u64, row, key, place, 1, at as i64 - before)),
            }
        }
    }
    records
}

/// Runs with these flags, and holds the records against the sequences.
fn check(folder: &Folder, line: &str, documents: &[Vec<i64>]) -> Vec<Record> {
    let samples = readers::lines(&pack(folder, &words(line)).args(["--format", "jsonl", "--provenance", "p"]).output());
    let found = records(&folder.read("p"));
    assert!(found == expected(documents, &samples), "{line}");
    assert!(samples.len() as u64 == found.last().map_or(0, |last| last.0 + 1), "{line}: every sequence has a record");
    fs::remove_file(folder.path().join("p")).expect("a file");
    found
}

const SHAPES: [&str; 15] = [
    "--length 7",
    "--length 7 --prev 3",
    "--length 3 --prev 11",
    "--length 100000",
    "--length 16 --tail keep",
    "--length 16 --prev 5 --tail pad --pad 65000",
    "--length 100000 --prev 9 --tail pad --pad 65000",
    "--length 7 --mode within",
    "--length 7 --prev 3 --mode within --tail keep",
    "--length 16 --prev 5 --mode within --pad 65000",
    "--length 16 --prev 30 --mode within --tail pad --pad 65000",
    "--length 64 --mode best-fit --tail keep",
    "--length 30 --mode best-fit --pad 65000",
    "--length 30 --mode best-fit --pad 65000 --window 100",
    "--length 16 --tokens-min 5 --tokens-max 30",
];

#[test]
fn every_token_of_every_mode_comes_from_where_it_says() {
    let documents = different(&random(300, 60, 21), 1);
    let folder = Folder::new();
    folder.write("t", stream(&documents, "u2", 4));
    for shape in SHAPES {
        let found = check(&folder, &format!("{shape} t"), &documents);
        assert!(shape.contains("100000") || found.len() > 100, "{shape}");
    }
}

#[test]
fn what_is_chosen_comes_from_where_it_says() {
    let (one, two) = (different(&random(200, 60, 22), 1), different(&random(150, 60, 23), 30_000));
    let folder = Folder::new();
    folder.write("a", stream(&one, "u2", 4));
    folder.write("b", stream(&two, "u4", 2));
    let [in_order, by_domain] = [[&one[..], &two].concat(), [&two[..], &one].concat()];
    for shape in SHAPES.into_iter().filter(|shape| !shape.contains("100000") && !shape.contains("100 ")) {
        check(&folder, &format!("{shape} a b"), &in_order);
        check(&folder, &format!("{shape} -n 20 --seed 3 a b"), &in_order);
        check(&folder, &format!("{shape} --mix b=0.5,a=0.5 a b"), &by_domain);
        check(&folder, &format!("{shape} --mix b=0.25,a=0.75 -n 16 a b"), &by_domain);
        for part in 0..3 {
            check(&folder, &format!("{shape} --shard {part}/3 a b"), &in_order);
        }
    }
}

#[test]
fn each_part_of_a_split_has_a_file_of_its_own() {
    let documents = different(&random(300, 60, 24), 1);
    for shape in ["--length 9 --prev 2", "--length 9 --mode within", "--length 20 --mode best-fit --tail keep"] {
        for split in ["test=10%,train=80%", "test=15,train=30"] {
            let folder = Folder::new();
            folder.write("t", stream(&documents, "u2", 4));
            let out = "--format jsonl --out {split}.jsonl --provenance where/{split}.npy";
            pack(&folder, &words(&format!("{shape} --split {split} {out} t"))).output();
            for part in ["test", "train"] {
                let samples = readers::lines(&folder.read(&format!("{part}.jsonl")));
                let found = records(&folder.read(&format!("where/{part}.npy")));
                assert!(!found.is_empty() && found == expected(&documents, &samples), "{shape} {split} {part}");
            }
            let line = format!("{shape} --split {split} --format jsonl --out {{split}}.jsonl --provenance folder t");
            pack(&folder, &words(&line)).output();
            assert_eq!(folder.read("folder/train"), folder.read("where/train.npy"), "named as --out is");
        }
    }
}

/// The sequences are the same with and without, in every format; a run that is resumed writes the whole file again.
#[test]
fn provenance_changes_no_byte_and_is_whole_after_a_resumed_run() {
    let documents = different(&random(400, 60, 25), 1);
    let folder = Folder::new();
    folder.write("t", stream(&documents, "u2", 4));
    for format in ["npy", "arrow", "megatron --out m", "jsonl"] {
        let line = format!("--length 16 --prev 4 --format {format}");
        let files = || ["m.bin", "m.idx"].map(|name| if folder.has(name) { folder.read(name) } else { Vec::new() });
        let plain = (pack(&folder, &words(&line)).args(["t"]).output(), files());
        let traced = (pack(&folder, &words(&line)).args(["--provenance", "p", "t"]).output(), files());
        assert!(plain == traced, "{format}");
    }
    let whole = folder.read("p");
    let line = "--length 16 --prev 4 --format mds --size-limit 2K --out mds --provenance p --resume t";
    pack(&folder, &words(line)).output();
    assert_eq!(folder.read("p"), whole);
    for name in ["p", "mds/index.json", "mds/shard.00003.mds"] {
        fs::remove_file(folder.path().join(name)).expect("a file");
    }
    pack(&folder, &words(line)).output();
    assert_eq!(folder.read("p"), whole);
}

/// Of shards that are joined, the files one after another are those of the joined dataset.
#[test]
fn shards_that_are_joined_are_asked_together() {
    let documents = different(&random(300, 60, 26), 1);
    let folder = Folder::new();
    folder.write("t", stream(&documents, "u2", 4));
    let whole = pack(&folder, &words("--length 9 --mode within --provenance whole t")).output();
    assert!(!whole.is_empty());
    for part in 0..3 {
        pack(&folder, &words(&format!("--length 9 --mode within --shard {part}/3 --provenance p{part} t"))).output();
    }
    let all = |files: &[&str]| Run::new(program("tokens-where"), &folder).args(files).text();
    assert_eq!(all(&["p0", "p1", "p2"]), all(&["whole"]));
}

#[test]
fn what_cannot_hold_records_is_refused() {
    let folder = Folder::new();
    folder.write("t", array(&[1, 3, 7, 8, 9], "u2"));
    let refused = |path: &str| pack(&folder, &["--length", "2", "--provenance", path, "t"]).outcome();
    refused("/dev/null").expect_refusal(2, &["/dev/null: is no regular file, which --provenance needs"]);
    refused("nowhere/p").expect_refusal(1, &["nowhere/p: No such file"]);
    pack(&folder, &["--length", "2", "--provenance", "p", "--vocab-size", "8", "t"]).outcome().expect(1);
    assert!(!folder.has("p"), "a run that failed leaves none");
}

//! What is damaged is named, what was interrupted is seen and finished, what is whole is verified and joined.

use crate::{array, array_of_shape, readers};
use contract::folder::Folder;
use contract::run::Run;
use serde_json::Value;
use std::fs;
use std::path::Path;

fn pack(folder: &Folder, line: &str) -> Run {
    Run::new(env!("CARGO_BIN_EXE_pack-tokens"), folder).args(line.split_whitespace())
}

/// Documents of 0, 1, 2, ... tokens in one array.
fn documents(count: i64) -> Vec<i64> {
    let tokens = (0..count).flat_map(|length| (0..length).map(move |place| 100 * length + place));
    std::iter::once(count).chain(0..count).chain(tokens).collect()
}

#[test]
fn damage_is_named_by_its_document() {
    let good = array(&documents(9), "i4");
    let cut = |bytes: &[u8], from_end: usize| bytes[..bytes.len() - from_end].to_vec();
    let changed = |place: usize, value: i64| {
        let mut values = documents(9);
        values[place] = value;
        array(&values, "i4")
    };
    let header = |byte: usize, value: &[u8]| [&good[..byte], value, &good[byte + value.len()..]].concat();
    let behind = |bytes: Vec<u8>| [array(&documents(3), "u2"), bytes].concat();
    for (bytes, said) in [
        (cut(&good, 1), "document 9: expected 8 tokens, found 7: the file ends there"),
        (cut(&good, 4 * 9), "document 8: expected 7 tokens, found 6: the file ends there"),
        (behind(cut(&good, 4 * 9)), "document 11: expected 7 tokens, found 6: the file ends there"),
        (cut(&good, 4 * 38), "the first array: the file ends behind 0 of its lengths"),
        (good[..100].to_vec(), "truncated"),
        (good[..9].to_vec(), "truncated"),
        (header(7, &[9]), "the first array: version 1.9 of .npy: expected 1.0, 2.0 or 3.0"),
        (header(11, b"'shape': (9,), "), "the first array: header: \"shape\" twice"),
        (header(100, b"x"), "the first array: header: expected nothing behind the dictionary"),
        ([&good[..], b"\n"].concat(), "the array behind document 9: expected a .npy array, which begins"),
        (b"{\"text\": \"a document\"}\n".to_vec(), "the first array: expected a .npy array"),
        (changed(0, -1), "the first array: number 1 of its lengths: expected 0 to 4294967295, found -1"),
        (changed(0, 46), "the first array: 46 documents: expected at most 45 in 46 values"),
        (changed(3, 3), "the first array: the lengths of 9 documents add up to 37: expected 36"),
        (changed(3, -2), "number 3 of its lengths: expected 0 to 4294967295, found -2"),
        (changed(10, -7), "document 2: token 1: expected 0 to 4294967295, found -7"),
        (changed(45, -7), "document 9: token 8: expected 0 to 4294967295, found -7"),
        (behind(changed(45, -7)), "document 12: token 8: expected 0 to 4294967295, found -7"),
        (array(&[1, 1, 1 << 40], "i8"), "document 1: token 1: expected 0 to 4294967295, found 1099511627776"),
        (array(&[1, 1, i64::MIN], "i8"), "document 1: token 1: expected 0 to"),
        (array(&[1, 1, 2], "f4"), "the first array: type \"<f4\": expected integers"),
        (array_of_shape(&[1, 1, 2], "u2", "(3, 1)"), "the first array: shape [3, 1]: expected one dimension"),
        (
            array_of_shape(&[1, 1, 2], "u2", "(1099511627776,)"),
            "the first array: not complete: the run that wrote it was killed",
        ),
        (array(&[], "u2"), "the first array: expected the number of documents, found nothing"),
        // A length that is wrong takes no memory.
        (array_of_shape(&[1, 4_000_000_000], "u4", "(4000000002,)"), "document 1: expected 4000000000 tokens, found 0"),
    ] {
        let folder = Folder::new();
        folder.write("t", bytes);
        let outcome = pack(&folder, "--length 4 --dtype i64 t").outcome();
        outcome.expect(1);
        let message = format!("pack-tokens: t: {said}");
        let found = &outcome.stderr;
        assert!(
            found.contains(said) && found.starts_with("pack-tokens: t: ") && found.lines().count() == 1,
            "{found} is not {message}"
        );
        assert!(outcome.resident_max_kib < 64 << 10, "{} KiB", outcome.resident_max_kib);
    }
}

#[test]
fn tokens_that_do_not_fit_are_refused() {
    let folder = Folder::new();
    folder.write("t", array(&[2, 2, 2, 1, 2, 3, 70_000], "i4"));
    let refused =
        |flags: &str, said: &str| pack(&folder, &format!("--length 2 {flags} t")).outcome().expect_refusal(1, &[said]);
    refused("--dtype u16 --format jsonl", "t: document 2: token 2: expected 0 to 65535, found 70000");
    refused("--vocab-size 65536 --format jsonl", "t: document 2: token 2: expected 0 to 65535, found 70000");
    refused("--vocab-size 70000 --format jsonl", "t: document 2: token 2: expected 0 to 69999, found 70000");
    pack(&folder, "--length 2 --vocab-size 70001 t").output();
    for (flags, said) in [
        ("--tail pad", "--pad ID is needed"),
        ("--pad 0", "--pad goes with --tail pad"),
        ("--mode best-fit", "--pad ID fills it or --tail keep"),
        ("--mode best-fit --pad 0 --prev 1", "--prev does not go with"),
        ("--mode within --pad 70000 --vocab-size 70000", "--pad 70000: expected 0 to 69999"),
        ("--tail keep", "--format npy has no place"),
        ("--format mds", "--out DIR is needed"),
        ("--format megatron", "--out PREFIX is needed"),
        ("--format megatron --out x --dtype u32", "Megatron has no such type"),
        ("--hashes sha256", "--hashes goes with --format mds"),
        ("--resume", "--resume goes with --format mds"),
        ("--split a=1", "--out is needed"),
        ("--split a=1 -n 3 --out x", "--count does not go with --split"),
        ("--mix t=1 --domain a", "--mix does not go with --domain"),
        ("--tokenizer t", "--tokenizer goes with --retrieval"),
        ("--retrieval 3", "--retrieval does not go with --length"),
        ("--verify x", "--verify: expected no operands"),
        ("--window 100", "--window goes with --mode best-fit"),
    ] {
        pack(&folder, &format!("--length 2 {flags} t")).outcome().expect_refusal(2, &[said]);
    }
    pack(&folder, "t").outcome().expect_refusal(2, &["--length T is needed"]);
    pack(&folder, "--length 2 -n 1").outcome().expect_refusal(2, &["--count reads the tokens more than once"]);
}

/// The files of a folder, by name.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let names = fs::read_dir(folder).unwrap_or_else(|why| panic!("{}: {why}", folder.display()));
    let mut files: Vec<_> = names
        .map(|entry| {
            let entry = entry.expect("an entry");
            (entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path()).expect("a file"))
        })
        .collect();
    files.sort();
    files
}

const MDS: &str = "--length 5 --prev 3 --mode within --domain book --format mds --size-limit 1kb";

#[test]
fn an_interrupted_run_is_seen_and_finished_with_the_same_bytes() {
    for packed in ["", "--compression zstd", "--hashes xxh3_64", "--compression zstd:1 --hashes sha256"] {
        let folder = Folder::new();
        folder.write("t", array(&documents(90), "u2"));
        let run = |out: &str, more: &str| pack(&folder, &format!("{MDS} {packed} --out {out} {more} t"));
        run("whole", "").output();
        let whole = files(&folder.path().join("whole"));
        assert!(whole.len() > 10, "the test must meet shards");
        run("whole", "").outcome().expect_refusal(1, &["whole: holds a dataset already: expected a new folder"]);
        // What a killed run leaves: some shards, and one that is half-written under another name.
        for (place, left) in [0, 1, 5, whole.len() - 1].into_iter().enumerate() {
            let out = folder.path().join(format!("part{place}"));
            fs::create_dir(&out).expect("a folder");
            for (name, bytes) in whole.iter().filter(|(name, _)| name != "index.json").take(left) {
                fs::write(out.join(name), bytes).expect("a file");
            }
            fs::write(out.join(".shard.00005.mds.123.tmp"), "half").expect("a file");
            let name = format!("part{place}");
            pack(&folder, &format!("--verify {name}")).outcome().expect(1);
            if left > 0 {
                let said = format!("{name}: holds shards of a run that did not finish: --resume finishes it");
                run(&name, "").outcome().expect_refusal(1, &[&said]);
                let other = pack(&folder, &format!("{MDS} {packed} --seed 0 --min-length 20 --resume --out {name} t"));
                let said = "is not what this run writes: expected the same tokens and flags as before";
                let before = files(&out);
                other.outcome().expect_refusal(1, &[&format!("{name}/shard.0"), said]);
                assert!(files(&out).iter().all(|file| before.contains(file)), "a run of other flags writes nothing");
            }
            run(&name, "--resume --threads 3").output();
            assert!(files(&out) == whole, "{packed} {left}");
            run(&name, "--resume").output();
            assert!(files(&out) == whole, "{packed} {left}, again");
        }
        // Shards behind the last one are of another run.
        let last = whole[whole.len() - 1].0.clone();
        fs::write(folder.path().join("part1").join(last.replace("shard.000", "shard.009")), "x").expect("a file");
        run("part1", "--resume")
            .outcome()
            .expect_refusal(1, &["is not of this run: expected no shard behind the last one"]);
    }
}

#[test]
fn a_killed_run_leaves_no_index_and_no_half_shard() {
    let folder = Folder::new();
    folder.write("t", array(&documents(60), "u2"));
    let mds = MDS.replace("1kb", "64kb");
    let outcome = Run::shell(&format!("ulimit -f 1; exec pack-tokens {mds} --out mds t"), &folder).outcome();
    assert_eq!(outcome.code, None, "the run was to be killed by SIGXFSZ: {}", outcome.stderr);
    assert!(files(&folder.path().join("mds")).iter().all(|(name, _)| name.starts_with('.')));
    pack(&folder, &format!("{mds} --out mds --resume t")).output();
    pack(&folder, "--verify mds").output();
    for (format, names) in [("megatron", &["m.bin", "m.idx"][..]), ("npy", &["m"]), ("arrow", &["m"])] {
        let line = format!("--length 5 --prev 3 --mode within --format {format} --out m t");
        let outcome = Run::shell(&format!("ulimit -f 1; exec pack-tokens {line}"), &folder).outcome();
        assert_eq!(outcome.code, None, "{format}: the run was to be killed by SIGXFSZ: {}", outcome.stderr);
        assert!(!names.iter().any(|name| folder.has(name)), "{format}");
    }
}

#[test]
fn a_run_that_fails_leaves_no_half_shard() {
    let folder = Folder::new();
    let document: Vec<i64> = [1, 4_000_000].into_iter().chain((0..4_000_000).map(|place| place % 50_021)).collect();
    folder.write("t", [array(&document, "i4"), array(&document, "i4")[..200].to_vec()].concat());
    for place in 0..5 {
        let out = format!("mds{place}");
        pack(&folder, &format!("--length 2000000 --mode within --format mds --out {out} t")).outcome().expect(1);
        assert!(files(&folder.path().join(out)).is_empty());
    }
}

#[test]
fn threads_change_no_byte() {
    let folder = Folder::new();
    folder.write("t", array(&documents(60), "u2"));
    let run = |threads: u32| {
        let out = format!("mds{threads}");
        pack(&folder, &format!("{MDS} --compression zstd --hashes sha256 --out {out} --threads {threads} t")).output();
        files(&folder.path().join(out))
    };
    let one = run(1);
    assert!(run(2) == one && run(7) == one);
}

#[test]
fn a_shard_in_pieces_is_the_one_that_is_held_whole() {
    // Samples as large as the first, larger ones, smaller ones, and of all sizes; the guess where they begin is right, or wrong.
    let rising: Vec<i64> = (0..900).collect();
    let falling: Vec<i64> = (0..900).rev().collect();
    let lines =
        ["--length 700 --prev 20", "--length 1000 --mode within --tail keep", "--length 1000 --mode best-fit --pad 0"];
    for lengths in [rising, falling] {
        let tokens = (0..lengths.iter().sum()).map(|place| place % 50_021);
        let folder = Folder::new();
        folder.write(
            "t",
            array(&[900].into_iter().chain(lengths.iter().copied()).chain(tokens).collect::<Vec<_>>(), "i4"),
        );
        for (place, (line, limit)) in lines.iter().flat_map(|line| [(line, "600000"), (line, "1mb")]).enumerate() {
            let run = |out: String, more: &str| {
                let line = format!("{line} --format mds --mds-encoding pkl --size-limit {limit} --out {out} {more} t");
                pack(&folder, &line).output();
                files(&folder.path().join(out))
            };
            let pieces = run(format!("pieces{place}"), "");
            assert!(pieces.len() > 2, "the test must meet shards");
            // What is compared with what was there before is held whole.
            assert!(pieces == run(format!("whole{place}"), "--resume"), "{line} {limit}");
            pack(&folder, &format!("--verify pieces{place}")).output();
        }
    }
}

#[test]
fn verify_sees_every_byte() {
    let folder = Folder::new();
    folder.write("t", array(&documents(9), "u2"));
    for packed in ["", "--compression zstd"] {
        let out = folder.path().join("mds");
        pack(&folder, &format!("{MDS} {packed} --size-limit 700 --hashes xxh3_64 --out mds t")).output();
        let report = pack(&folder, "--verify mds --length 5 --vocab-size 808").text();
        let report: Value = serde_json::from_str(&report).expect("it is JSON");
        let (_, samples) = readers::mds(&out);
        assert_eq!((&report["samples"], &report["tokens"]), (&samples.len().into(), &(5 * samples.len()).into()));
        assert_eq!((&report["token_max"], &report["domains"]["book"]), (&807.into(), &samples.len().into()));
        pack(&folder, "--verify mds --vocab-size 807")
            .outcome()
            .expect_refusal(1, &["expected ids below 807, found 807"]);
        pack(&folder, "--verify mds --length 6")
            .outcome()
            .expect_refusal(1, &["token_ids: expected 6 tokens, found 5"]);
        for (name, bytes) in files(&out).into_iter().filter(|(name, _)| name != "index.json").take(1) {
            let shown = format!("pack-tokens: mds/{name}: ");
            for place in 0..bytes.len() {
                let mut changed = bytes.clone();
                changed[place] ^= 1 << (place % 8);
                fs::write(out.join(&name), changed).expect("a file");
                pack(&folder, "--verify mds").outcome().expect_refusal(1, &[&shown]);
            }
            for length in [0, 1, bytes.len() - 1] {
                fs::write(out.join(&name), &bytes[..length]).expect("a file");
                pack(&folder, "--verify mds").outcome().expect_refusal(1, &[&shown, " bytes: expected "]);
            }
            fs::remove_file(out.join(&name)).expect("a file");
            pack(&folder, "--verify mds").outcome().expect_refusal(1, &[&shown, "No such file"]);
            fs::write(out.join(&name), &bytes).expect("a file");
        }
        fs::write(out.join("shard.00077.mds"), "x").expect("a file");
        pack(&folder, "--verify mds").outcome().expect_refusal(1, &["shard.00077.mds: is not in the index"]);
        fs::remove_dir_all(out).expect("a folder");
    }
}

/// Damage that no sum tells of: places, sizes and shapes that do not go together.
#[test]
fn verify_sees_what_does_not_go_together() {
    let folder = Folder::new();
    folder.write("t", array(&documents(20), "u2"));
    for encoding in ["ndarray", "pkl"] {
        let out = folder.path().join("mds");
        pack(&folder, &format!("{MDS} --size-limit 1mb --mds-encoding {encoding} --out mds t")).output();
        let (name, bytes) = files(&out).pop().expect("a shard");
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]) as usize;
        let first = word(4);
        for (place, said) in [
            (0, "samples: expected"),
            (4, "its configuration is not that of the index"),
            (8, "sample 0: "),
            (first - 2, "its configuration is not that of the index"),
            (first, "sample 0: "),
            (first + 4, "sample 0: "),
            (first + 8, "sample 0: "),
        ] {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            fs::write(out.join(&name), changed).expect("a file");
            pack(&folder, "--verify mds").outcome().expect_refusal(1, &[&name, said]);
        }
        fs::remove_dir_all(out).expect("a folder");
    }
}

#[test]
fn datasets_are_joined_by_their_indexes() {
    let folder = Folder::new();
    folder.write("t", array(&documents(40), "u2"));
    pack(&folder, &format!("{MDS} --out whole t")).output();
    for part in 0..3 {
        pack(&folder, &format!("{MDS} --compression zstd --hashes sha256 --shard {part}/3 --out all/{part}/x t"))
            .output();
    }
    pack(&folder, "--merge-index --out all all/0/x all/1/x all/2/x").output();
    let all = folder.path().join("all");
    assert_eq!(readers::mds(&all).1, readers::mds(&folder.path().join("whole")).1);
    let report: Value = serde_json::from_str(&pack(&folder, "--verify all").text()).expect("it is JSON");
    assert_eq!(report["samples"], readers::mds(&all).1.len());
    for (line, code, said) in [
        ("--out all whole", 1, "whole: expected a folder below all"),
        ("--out all all", 1, "all: expected a folder below all"),
        ("--out all all/0", 1, "all/0/index.json: No such file"),
        ("--out all", 2, "--merge-index: expected folders as operands"),
        ("all/0/x", 2, "--out DIR is needed"),
    ] {
        pack(&folder, &format!("--merge-index {line}")).outcome().expect_refusal(code, &[said]);
    }
    pack(&folder, "--length 5 --mode within --format mds --out all/other t").output();
    let other = pack(&folder, "--merge-index --out all all/0/x all/other").outcome();
    other.expect_refusal(
        1,
        &["all/other: columns [\"domain\",\"token_ids\"]", "expected [\"domain\",\"prev_token_ids\""],
    );
    fs::remove_file(all.join("0/x/index.json")).expect("a file");
    let unfinished = pack(&folder, "--merge-index --out all all/0/x").outcome();
    unfinished.expect_refusal(1, &["all/0/x: has no index.json: the run that wrote it did not finish"]);
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
    let line = format!("--retrieval 6 --tokenizer {} --domain wiki", tokenizer.display());
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
    let found = pack(&folder, &format!("{line} --ids t")).text();
    let lines =
        |text: &str| text.lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect::<Vec<Value>>();
    assert_eq!(lines(&found), expected);
    for threads in [1, 3] {
        assert_eq!(pack(&folder, &format!("{line} --ids --threads {threads} t")).text(), found);
    }
    let parts: String = (0..3).map(|part| pack(&folder, &format!("{line} --ids --shard {part}/3 t")).text()).collect();
    assert_eq!(parts, found);
    // Documents are counted through all files, in every shard.
    let all = |args: &str| pack(&folder, &format!("{line} {args} t t")).text();
    let mut whole: Vec<_> = lines(&all(""));
    let mut of_shards: Vec<_> = (0..3).flat_map(|part| lines(&all(&format!("--shard {part}/3")))).collect();
    let id = |passage: &Value| passage["id"].to_string();
    whole.sort_by_key(id);
    of_shards.sort_by_key(id);
    assert!(whole == of_shards && whole.windows(2).all(|two| id(&two[0]) != id(&two[1])));
    let chosen = lines(&pack(&folder, &format!("{line} --ids -n 20 t")).text());
    assert!(chosen.len() == 20 && chosen.iter().all(|passage| expected.contains(passage)));
    let bare = lines(&pack(&folder, &format!("{line} t")).text());
    assert!(bare.iter().all(|passage| passage.as_object().is_some_and(|passage| passage.len() == 3)));
    folder.write("t", array(&[1, 3, special, plain[0].1, special], "u2"));
    let passage = lines(&pack(&folder, &line.replace(" 6 ", " 3 ")).args(["t"]).text());
    assert_eq!(passage[0]["contents"], plain[0].0.as_str(), "special tokens are left out");
    let model = tokenizer.with_file_name("../tokens/bpe.model");
    folder.write("s", array(&[1, 8, 1, 266, 831, 235, 173, 161, 301, 404], "u2"));
    let passage = lines(&pack(&folder, &format!("--retrieval 6 --tokenizer {} s", model.display())).text());
    assert_eq!((&passage[0]["contents"], &passage[0]["neighbor"]), (&Value::from("the 語"), &Value::from("cat")));
    pack(&folder, "--retrieval 6 t").outcome().expect_refusal(2, &["--tokenizer FILE is needed"]);
    pack(&folder, "--retrieval 6 --tokenizer x t").outcome().expect_refusal(1, &["x: No such file"]);
}

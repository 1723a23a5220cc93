//! What is damaged is named, what was interrupted is seen and finished, and nothing is written between what others
//! write.

use crate::{array, array_of_shape};
use contract::folder::Folder;
use contract::run::Run;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

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
        ("--tail pad", "--tail pad needs --pad"),
        ("--pad 0", "--pad goes with --tail pad"),
        ("--mode best-fit", "--pad ID fills it or --tail keep"),
        ("--mode best-fit --pad 0 --tail drop", "--tail drop does not go with --mode best-fit"),
        ("--mode best-fit --pad 0 --prev 1", "--mode best-fit does not go with --prev above 0"),
        ("--mode within --pad 70000 --vocab-size 70000", "--pad 70000: expected 0 to 69999"),
        ("--tail keep", "--format npy does not go with --tail keep"),
        ("--format mds", "--format mds needs --out"),
        ("--format megatron", "--format megatron needs --out"),
        ("--format megatron --out x --dtype u32", "Megatron has no such type"),
        ("--hashes sha256", "--hashes goes only with --format mds"),
        ("--resume", "--resume goes only with --format mds"),
        ("--split a=1", "--split needs --out"),
        ("--split a=1 -n 3 --out x", "--count does not go with --split by numbers"),
        ("--allow-empty", "--allow-empty goes only with --split"),
        ("--mix t=1 --domain a", "--mix does not go with --domain"),
        ("--window 100", "--window goes only with --mode best-fit"),
    ] {
        pack(&folder, &format!("--length 2 {flags} t")).outcome().expect_refusal(2, &[said]);
    }
    pack(&folder, "t").outcome().expect_refusal(2, &["--length is needed"]);
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

const MDS: &str = "--length 5 --prev 3 --mode within --domain book --format mds --size-limit 1K";

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
            if left > 0 {
                let said = format!("{name}: holds shards of a run that did not finish: --resume finishes it");
                run(&name, "").outcome().expect_refusal(1, &[&said]);
                let other = pack(&folder, &format!("{MDS} {packed} --seed 0 --tokens-min 20 --resume --out {name} t"));
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
    let mds = MDS.replace("1K", "64K");
    let outcome = Run::shell(&format!("ulimit -f 1; exec pack-tokens {mds} --out mds t"), &folder).outcome();
    assert_eq!(outcome.code, None, "the run was to be killed by SIGXFSZ: {}", outcome.stderr);
    assert!(files(&folder.path().join("mds")).iter().all(|(name, _)| name.starts_with('.')));
    pack(&folder, &format!("{mds} --out mds --resume t")).output();
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
    // Samples as large as the first, larger ones, smaller ones, and of all sizes; the guess where they begin is right,
    // or wrong.
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
        for (place, (line, limit)) in lines.iter().flat_map(|line| [(line, "600000"), (line, "1M")]).enumerate() {
            let run = |out: String, more: &str| {
                let line = format!("{line} --format mds --mds-encoding pkl --size-limit {limit} --out {out} {more} t");
                pack(&folder, &line).output();
                files(&folder.path().join(out))
            };
            let pieces = run(format!("pieces{place}"), "");
            assert!(pieces.len() > 2, "the test must meet shards");
            // What is compared with what was there before is held whole.
            assert!(pieces == run(format!("whole{place}"), "--resume"), "{line} {limit}");
        }
    }
}

/// A run that waits for more tokens, as long as it lives.
struct Waiting(Child);

impl Waiting {
    /// Begins a run on standard input, gives it some tokens, and waits until `begun` is there.
    fn new(folder: &Folder, line: &str, tokens: &[u8], begun: impl Fn() -> bool) -> Waiting {
        let mut child = Command::new(env!("CARGO_BIN_EXE_pack-tokens"))
            .args(line.split_whitespace())
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs");
        child.stdin.as_mut().expect("a pipe").write_all(tokens).expect("it reads");
        while !begun() {
            assert!(child.try_wait().expect("a child").is_none(), "it ended before it began");
            std::thread::yield_now();
        }
        Waiting(child)
    }

    /// Ends the input; gives the exit code.
    fn finish(mut self) -> Option<i32> {
        drop(self.0.stdin.take());
        self.0.wait().expect("it ends").code()
    }
}

/// Whether some process has locked it, without a lock that would be in the way.
fn is_locked(folder: &Path) -> bool {
    let locks = fs::read_to_string("/proc/locks").expect("the locks of all processes");
    fs::metadata(folder).is_ok_and(|found| locks.contains(&format!(":{} ", found.ino())))
}

#[test]
fn two_runs_do_not_write_into_one_folder() {
    let folder = Folder::new();
    let tokens = array(&documents(40), "u2");
    folder.write("t", tokens.clone());
    pack(&folder, &format!("{MDS} --out alone t")).output();
    for more in ["", "--resume", "--hashes sha256"] {
        let out = folder.path().join("mds");
        // The reader says what it found in the first array before the folder is made, so half of an array must be
        // there.
        let first = Waiting::new(&folder, &format!("{MDS} --out mds"), &tokens, || is_locked(&out));
        let second = pack(&folder, &format!("{MDS} {more} --out mds t")).outcome();
        second.expect_refusal(1, &["mds: another run writes there: expected a new folder"]);
        assert_eq!(first.finish(), Some(0));
        assert!(files(&out) == files(&folder.path().join("alone")));
        fs::remove_dir_all(out).expect("a folder");
    }
}

#[test]
fn a_folder_of_other_files_is_refused() {
    let folder = Folder::new();
    folder.write("t", array(&documents(40), "u2"));
    for name in ["notes.txt", "train", ".hidden", "shard.txt"] {
        fs::create_dir_all(folder.path().join("other")).expect("a folder");
        fs::write(folder.path().join("other").join(name), "mine").expect("a file");
        for more in ["", "--resume"] {
            let outcome = pack(&folder, &format!("{MDS} {more} --out other t")).outcome();
            outcome.expect_refusal(1, &[&format!("other: holds {name}, which is no part of a dataset")]);
        }
        assert_eq!(files(&folder.path().join("other")).len(), 1);
        fs::remove_dir_all(folder.path().join("other")).expect("a folder");
    }
}

#[test]
fn an_old_index_is_never_beside_new_tokens() {
    let folder = Folder::new();
    folder.write("old", array(&documents(30), "u2"));
    pack(&folder, "--length 3 --format megatron --out m old").output();
    let (bin, idx) = (folder.read("m.bin"), folder.read("m.idx"));
    // A run that ends between the two renames: what is to become the index is taken away.
    let half = |name: &String| name.starts_with(".m.idx.") && name.ends_with(".tmp");
    let names = || files(folder.path()).into_iter().map(|(name, _)| name);
    let tokens = array(&documents(50), "u2");
    let run =
        Waiting::new(&folder, "--length 4 --format megatron --out m", &tokens, || names().any(|name| half(&name)));
    names().filter(half).for_each(|name| fs::remove_file(folder.path().join(name)).expect("a file"));
    assert_eq!(run.finish(), Some(1));
    assert!(folder.read("m.bin") != bin, "the test must meet the moment between");
    assert!(!folder.has("m.idx") || folder.read("m.idx") != idx, "the old index is beside new tokens");
}

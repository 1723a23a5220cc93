//! Datasets that pack-tokens writes, looked at by mds-verify and joined by mds-merge.

use contract::folder::Folder;
use contract::run::{Run, program};
use serde_json::Value;
use std::fs;
use std::path::Path;

fn run(name: &str, folder: &Folder, line: &str) -> Run {
    Run::new(program(name), folder).args(line.split_whitespace())
}

/// Documents of 0, 1, 2, ... tokens as an array.
fn documents(count: u16) -> Vec<u8> {
    let tokens = (0..count).flat_map(|length| (0..length).map(move |place| 100 * length + place));
    let numbers: Vec<u16> = std::iter::once(count).chain(0..count).chain(tokens).collect();
    let header = format!("{{'descr': '<u2', 'fortran_order': False, 'shape': ({},), }}", numbers.len());
    let mut bytes = b"\x93NUMPY\x01\0\x76\0".to_vec();
    bytes.extend(format!("{header:<117}\n").bytes());
    bytes.extend(numbers.into_iter().flat_map(u16::to_le_bytes));
    bytes
}

/// The files of a folder, by name.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
    let file = |entry: fs::DirEntry| {
        (entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path()).expect("a file"))
    };
    let mut files: Vec<_> = entries.map(file).collect();
    files.sort();
    files
}

const MDS: &str = "--length 5 --prev 3 --mode within --domain book --format mds --size-limit 1K";

#[test]
fn verify_sees_every_byte() {
    let folder = Folder::new();
    folder.write("t", documents(9));
    for packed in ["", "--compression zstd"] {
        let out = folder.path().join("mds");
        run("pack-tokens", &folder, &format!("{MDS} {packed} --size-limit 700 --hashes xxh3_64 --out mds t")).output();
        let report = run("mds-verify", &folder, "--length 5 --vocab-size 808 mds").text();
        let report: Value = serde_json::from_str(&report).expect("it is JSON");
        // Documents of 0 to 8 tokens: one of 8 is a window of 3 and 5.
        assert_eq!((&report["samples"], &report["tokens"]), (&1.into(), &5.into()));
        assert_eq!((&report["token_max"], &report["domains"]["book"]), (&807.into(), &1.into()));
        run("mds-verify", &folder, "mds --vocab-size 807")
            .outcome()
            .expect_refusal(1, &["expected ids below 807, found 807"]);
        run("mds-verify", &folder, "mds --length 6")
            .outcome()
            .expect_refusal(1, &["token_ids: expected 6 tokens, found 5"]);
        for (name, bytes) in files(&out).into_iter().filter(|(name, _)| name != "index.json").take(1) {
            let shown = format!("mds-verify: mds/{name}: ");
            for place in 0..bytes.len() {
                let mut changed = bytes.clone();
                changed[place] ^= 1 << (place % 8);
                fs::write(out.join(&name), changed).expect("a file");
                run("mds-verify", &folder, "mds").outcome().expect_refusal(1, &[&shown]);
            }
            for length in [0, 1, bytes.len() - 1] {
                fs::write(out.join(&name), &bytes[..length]).expect("a file");
                run("mds-verify", &folder, "mds").outcome().expect_refusal(1, &[&shown, " bytes: expected "]);
            }
            fs::remove_file(out.join(&name)).expect("a file");
            run("mds-verify", &folder, "mds").outcome().expect_refusal(1, &[&shown, "No such file"]);
            fs::write(out.join(&name), &bytes).expect("a file");
        }
        fs::write(out.join("shard.00077.mds"), "x").expect("a file");
        run("mds-verify", &folder, "mds").outcome().expect_refusal(1, &["shard.00077.mds: is not in the index"]);
        fs::remove_dir_all(out).expect("a folder");
    }
}

/// Damage that no sum tells of: places, sizes and shapes that do not go together.
#[test]
fn verify_sees_what_does_not_go_together() {
    let folder = Folder::new();
    folder.write("t", documents(20));
    for encoding in ["ndarray", "pkl"] {
        let out = folder.path().join("mds");
        run("pack-tokens", &folder, &format!("{MDS} --size-limit 1M --mds-encoding {encoding} --out mds t")).output();
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
            run("mds-verify", &folder, "mds").outcome().expect_refusal(1, &[&name, said]);
        }
        fs::remove_dir_all(out).expect("a folder");
    }
}

#[test]
fn datasets_are_joined_by_their_indexes() {
    let folder = Folder::new();
    folder.write("t", documents(40));
    run("pack-tokens", &folder, &format!("{MDS} --out whole t")).output();
    for part in 0..3 {
        run(
            "pack-tokens",
            &folder,
            &format!("{MDS} --compression zstd --hashes sha256 --shard {part}/3 --out all/{part}/x t"),
        )
        .output();
    }
    run("mds-merge", &folder, "--out all all/0/x all/1/x all/2/x").output();
    let all = folder.path().join("all");
    let reports = run("mds-verify", &folder, "all whole").text();
    let reports: Vec<Value> = reports.lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect();
    for key in ["samples", "tokens", "token_max", "lengths", "domains"] {
        assert_eq!(reports[0][key], reports[1][key], "{key}");
    }
    assert_eq!(reports[0]["samples"], (0..40_u64).map(|length| length.saturating_sub(3) / 5).sum::<u64>());
    for (line, code, said) in [
        ("--out all whole", 1, "whole: expected a folder below all"),
        ("--out all all", 1, "all: expected a folder below all"),
        ("--out all all/0", 1, "all/0/index.json: No such file"),
        ("--out all", 2, "FILE is needed: name the folders below --out"),
        ("all/0/x", 2, "--out is needed"),
    ] {
        run("mds-merge", &folder, line).outcome().expect_refusal(code, &[said]);
    }
    run("pack-tokens", &folder, "--length 5 --mode within --format mds --out all/other t").output();
    let other = run("mds-merge", &folder, "--out all all/0/x all/other").outcome();
    other.expect_refusal(
        1,
        &["all/other: columns [\"domain\",\"token_ids\"]", "expected [\"domain\",\"prev_token_ids\""],
    );
    fs::remove_file(all.join("0/x/index.json")).expect("a file");
    let unfinished = run("mds-merge", &folder, "--out all all/0/x").outcome();
    unfinished.expect_refusal(1, &["all/0/x: has no index.json: the run that wrote it did not finish"]);
}

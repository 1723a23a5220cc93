//! `mds-verify` keeps the contract of all tools; an index from anywhere neither ends it in a panic nor makes it open
//! what it should not. What it finds in whole and damaged datasets: tests/datasets.rs of the workspace.

use contract::folder::Folder;
use contract::run::Run;
use contract::tool::Tool;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;

fn tool() -> Tool {
    Tool {
        name: "mds-verify",
        program: env!("CARGO_BIN_EXE_mds-verify"),
        source: env!("CARGO_MANIFEST_DIR"),
        args: &[],
        side_files: &[],
        wrong_values: &[("--length", "0"), ("--vocab-size", "0"), ("--vocab-size", "x")],
        prepare: |_, _| (),
        input: |_| Vec::new(),
    }
}

contract::holds!(tool: manual);

fn verify(folder: &Folder) -> Run {
    tool().bare(folder).args(["mds"])
}

/// A folder `mds` with the dataset that Mosaic's writer made, whose index is changed.
fn changed(change: impl Fn(&mut Value)) -> Folder {
    let folder = Folder::new();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pack-tokens/tests/data/mds");
    fs::create_dir(folder.path().join("mds")).expect("a folder");
    for name in ["shard.00000.mds", "shard.00001.mds", "index.json"] {
        fs::copy(source.join(name), folder.path().join("mds").join(name)).expect("a file");
    }
    let mut index: Value = serde_json::from_slice(&folder.read("mds/index.json")).expect("it is JSON");
    change(&mut index);
    folder.write("mds/index.json", index.to_string());
    folder
}

#[test]
fn a_dataset_of_the_real_writer_is_whole() {
    let folder = changed(|_| ());
    let report: Value = serde_json::from_str(&verify(&folder).text()).expect("it is JSON");
    assert_eq!((&report["shards"], &report["values_not_looked_into"]), (&2.into(), &0.into()));
    let stats = folder.path().join("stats");
    verify(&folder).args(["--stats", "stats"]).output();
    let stats: Value = serde_json::from_slice(&fs::read(stats).expect("a file")).expect("it is JSON");
    assert_eq!(stats["reports"][0], report);
    let full = Run::shell("exec mds-verify mds > /dev/full", &folder).outcome();
    full.expect_refusal(1, &["No space left on device"]);
    tool().bare(&folder).outcome().expect_refusal(2, &["FILE is needed: name the folders to look at"]);
    tool().bare(&folder).args(["nowhere"]).outcome().expect_refusal(1, &["nowhere/index.json: No such file"]);
}

#[test]
fn a_hostile_index_is_refused() {
    let huge = [1_u64 << 42, u64::MAX, 1 << 63, (1 << 32) + 5];
    for size in huge {
        for (place, said) in
            [("raw_data", "bytes: expected"), ("samples", "samples: expected"), ("column_sizes", "mds")]
        {
            let folder = changed(|index| match place {
                "raw_data" => index["shards"][0]["raw_data"]["bytes"] = size.into(),
                "samples" => index["shards"][0]["samples"] = size.into(),
                _ => index["shards"][0]["column_sizes"][0] = size.into(),
            });
            refused(&folder, said);
        }
        // A size of the unpacked shard that no memory has.
        let folder = changed(|index| {
            let shard = &mut index["shards"][0];
            shard["zip_data"] = shard["raw_data"].clone();
            shard["compression"] = "zstd".into();
            shard["raw_data"]["bytes"] = size.into();
        });
        refused(&folder, "bytes: expected");
    }
    for (change, said) in [
        (json!({"column_names": ["a"]}), "its configuration is not that of the index"),
        (json!({"column_sizes": []}), "its configuration is not that of the index"),
        (json!({"raw_data": 7}), "a shard has no name"),
        (json!({"zip_data": "x"}), "a shard has no name"),
        (json!({"samples": -1}), "-1 samples: expected"),
        (json!({"samples": null}), "null samples: expected"),
    ] {
        let folder = changed(|index| {
            for (key, value) in change.as_object().expect("an object") {
                index["shards"][0][key] = value.clone();
            }
        });
        refused(&folder, said);
    }
}

#[test]
fn names_stay_below_the_folder_and_only_files_are_opened() {
    for name in ["/dev/zero", "../secret", "a/../../secret", "/etc/passwd", "", ".", ".."] {
        let folder = changed(|index| index["shards"][0]["raw_data"]["basename"] = name.into());
        folder.write("secret", "secret");
        refused(&folder, "expected a name below the folder");
    }
    let folder = changed(|_| ());
    let shard = folder.path().join("mds/shard.00001.mds");
    for make in ["mkfifo", "mkdir"] {
        let _ = fs::remove_file(&shard);
        assert!(Command::new(make).arg(&shard).status().expect("it runs").success());
        refused(&folder, "shard.00001.mds: expected a regular file");
    }
    let index = folder.path().join("mds/index.json");
    fs::remove_file(&index).expect("a file");
    assert!(Command::new("mkfifo").arg(&index).status().expect("it runs").success());
    refused(&folder, "index.json: expected a regular file");
}

/// Exit 1 with a message, soon and in little memory.
fn refused(folder: &Folder, said: &str) {
    let outcome = verify(folder).outcome();
    outcome.expect_refusal(1, &["mds/", said]);
    assert!(outcome.resident_max_kib < 64 << 10, "{} KiB", outcome.resident_max_kib);
}

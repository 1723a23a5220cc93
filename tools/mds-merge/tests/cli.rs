//! `mds-merge` keeps the contract of all tools; an index from anywhere neither ends it in a panic nor leads out of its
//! folder. What it joins: tests/datasets.rs of the workspace.

use contract::folder::Folder;
use contract::tool::Tool;
use serde_json::{Value, json};
use std::fs;

fn tool() -> Tool {
    Tool {
        name: "mds-merge",
        program: env!("CARGO_BIN_EXE_mds-merge"),
        source: env!("CARGO_MANIFEST_DIR"),
        args: &["--out", "."],
        side_files: &[],
        wrong_values: &[("--out", "")],
        prepare: |_, _| (),
        input: |_| Vec::new(),
    }
}

contract::holds!(tool: manual);

/// A folder with a dataset `part` of one shard, of which no more than the index is there.
fn part(change: impl Fn(&mut Value)) -> Folder {
    let folder = Folder::new();
    fs::create_dir(folder.path().join("part")).expect("a folder");
    let raw = json!({"basename": "shard.00000.mds", "bytes": 100, "hashes": {}});
    let mut shard = json!({
        "samples": 3, "raw_data": raw, "zip_data": null, "column_names": ["domain"], "column_encodings": ["str"],
    });
    change(&mut shard);
    folder.write("part/index.json", json!({"version": 2, "shards": [shard]}).to_string());
    folder
}

#[test]
fn an_index_of_all_shards_is_written() {
    let folder = part(|_| ());
    tool().run(&folder).args(["--stats", "stats", "part", "part"]).output();
    let index: Value = serde_json::from_slice(&folder.read("index.json")).expect("it is JSON");
    for place in 0..2 {
        assert_eq!(index["shards"][place]["raw_data"]["basename"], "part/shard.00000.mds");
    }
    let stats: Value = serde_json::from_slice(&folder.read("stats")).expect("it is JSON");
    assert_eq!(stats["sequences"], 6);
}

#[test]
fn a_hostile_index_is_refused() {
    for (key, value, said) in [
        ("samples", json!(u64::MAX), "samples: expected"),
        ("samples", json!(1_u64 << 42), "samples: expected"),
        ("raw_data", json!({"basename": "x", "bytes": u64::MAX}), "bytes: expected"),
        ("raw_data", json!({"basename": "../../etc/passwd", "bytes": 1}), "expected a name below the folder"),
        ("raw_data", json!({"basename": "/dev/zero", "bytes": 1}), "expected a name below the folder"),
        ("zip_data", json!({"basename": "../x", "bytes": 1}), "expected a name below the folder"),
        ("raw_data", json!(null), "a shard has no name"),
    ] {
        let folder = part(|shard| shard[key] = value.clone());
        let outcome = tool().run(&folder).args(["part"]).outcome();
        outcome.expect_refusal(1, &["part/index.json: ", said]);
        assert!(!folder.has("index.json"));
    }
}

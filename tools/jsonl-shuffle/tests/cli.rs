//! `jsonl-shuffle` keeps the contract of all tools.

use contract::corpus;
use contract::files::temporary_files_are_gone;
use contract::folder::Folder;
use contract::run::Run;
use contract::tool::{INPUT, Tool, lines};
use std::collections::{BTreeMap, BTreeSet};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

fn tool() -> Tool {
    Tool {
        name: "jsonl-shuffle",
        program: env!("CARGO_BIN_EXE_jsonl-shuffle"),
        source: env!("CARGO_MANIFEST_DIR"),
        args: &[],
        side_files: &[],
        wrong_values: &[("--seed", "-1"), ("--seed", "x"), ("--threads", "0")],
        prepare: |_, _| (),
        input: |rows| corpus::documents(rows).into_bytes(),
    }
}

contract::holds!(tool: manual, files);

/// What holds for every tool that reads documents; this one puts them in another order.
#[test]
fn documents_may_come_from_anywhere() {
    let tool = tool();
    contract::documents::no_documents_are_no_rows(&tool);
    contract::documents::last_line_needs_no_newline(&tool);
    contract::documents::standard_input_is_a_file(&tool);
    contract::documents::operands_are_read_in_order(&tool);
    contract::documents::threads_change_nothing(&tool);
    contract::documents::reader_may_leave(&tool);
    contract::documents::very_long_line_is_a_line(&tool);
    contract::documents::progress_is_not_data(&tool);
}

fn shuffle(folder: &Folder, args: &[&str]) -> Vec<u8> {
    tool().bare(folder).args(args).output()
}

fn sorted(text: &[u8]) -> Vec<&[u8]> {
    let mut lines = lines(text);
    lines.sort_unstable();
    lines
}

/// The order does not change between releases.
#[test]
fn the_order_is_frozen() {
    let folder = tool().folder(0);
    folder.write(INPUT, "a\nb\nc\nd\ne\na\na\n");
    assert_eq!(shuffle(&folder, &[INPUT]), b"d\na\ne\nb\nc\na\na\n");
    assert_eq!(shuffle(&folder, &["--seed", "1", INPUT]), b"a\na\nb\na\nc\ne\nd\n");
}

/// The recipe as it is told: lines sorted by the noise of their key and time.
#[test]
fn the_order_is_that_of_the_noise() {
    let folder = tool().folder(0);
    let documents = corpus::documents(2000).repeat(2) + &"same\n".repeat(500);
    folder.write(INPUT, &documents);
    let mut times: BTreeMap<&str, u32> = BTreeMap::new();
    let noise = |line| {
        let time = times.entry(line).or_default();
        *time += 1;
        let input = [&xxh3_64(line.as_bytes()).to_le_bytes()[..], format!("clip-order-{time}").as_bytes()].concat();
        (xxh3_64_with_seed(&input, 9), line)
    };
    let mut expected: Vec<_> = documents.lines().map(noise).collect();
    expected.sort_unstable();
    let expected: String = expected.into_iter().map(|(_, line)| format!("{line}\n")).collect();
    assert!(shuffle(&folder, &["--seed", "9", INPUT]) == expected.as_bytes());
}

#[test]
fn the_order_of_the_input_changes_nothing() {
    let folder = tool().folder(0);
    let documents = corpus::documents(5000).repeat(2) + &"same\n".repeat(3000);
    folder.write(INPUT, &documents);
    let shuffled = shuffle(&folder, &[INPUT]);
    assert!(lines(&shuffled) != lines(documents.as_bytes()) && sorted(&shuffled) == sorted(documents.as_bytes()));
    let mut other: Vec<_> = documents.split_inclusive('\n').collect();
    other.sort_unstable();
    folder.write("other", other.concat());
    assert!(shuffle(&folder, &["other"]) == shuffled);
    assert!(shuffle(&folder, &["other", "--seed", "1"]) != shuffled);
}

/// Places are spread evenly: how many of the first half of the input are in the first half of the output, 4.5 standard
/// deviations of a hypergeometric number. And repeats are spread like other lines.
#[test]
fn every_place_is_as_likely() {
    let folder = tool().folder(4000);
    let documents = folder.read(INPUT);
    for seed in 0..8 {
        let shuffled = shuffle(&folder, &["--seed", &seed.to_string(), INPUT]);
        let half: BTreeSet<_> = lines(&documents).into_iter().take(2000).collect();
        let early = lines(&shuffled)[..2000].iter().filter(|line| half.contains(*line)).count();
        assert!((1000_i64 - early as i64).abs() < 72, "seed {seed}: {early} of 1000");
    }
    folder.write("repeats", documents.repeat(3));
    let shuffled = shuffle(&folder, &["repeats"]);
    let beside = lines(&shuffled).windows(2).filter(|pair| pair[0] == pair[1]).count();
    assert!(beside < 12, "{beside} of 12,000 lines are the one before, 2 expected");
}

/// With an id the lines of one id are numbered as they come, and nothing else depends on the order.
#[test]
fn an_id_tells_equal_lines_apart() {
    let folder = Folder::new();
    folder.write(INPUT, "{\"id\": 1, \"a\": 1}\n{\"id\": 2}\n{\"id\": 1, \"a\": 2}\n");
    folder.write("other", "{\"id\": 2}\n{\"id\": 1, \"a\": 1}\n{\"id\": 1, \"a\": 2}\n");
    let by_id = |file: &str| shuffle(&folder, &["--id-field", "id", file]);
    assert_eq!(by_id(INPUT), by_id("other"));
    folder.write(INPUT, "{\"id\": 1}\n{\"x\": 2}\n");
    let refused = tool().bare(&folder).args(["--id-field", "id", INPUT]).outcome();
    refused.expect_refusal(1, &["jsonl-shuffle: docs.jsonl:2: field \"id\": missing"]);
}

#[test]
fn temporary_files_are_in_tmpdir_and_gone_after() {
    let folder = tool().folder(0);
    // More than is kept in memory.
    folder.write(INPUT, corpus::documents(20_000).repeat(6));
    let out = temporary_files_are_gone(&folder, "jsonl-shuffle", "");
    assert!(sorted(&out) == sorted(&folder.read(INPUT)));
}

/// How often each order of three lines comes, over many seeds: chi-square of six cells, 5 degrees of freedom, is below
/// 25.7 in all but 0.01 % of trials; the seeds are fixed.
#[test]
fn every_order_is_as_likely() {
    let folder = Folder::new();
    folder.write("three", "a\nb\nc\n");
    let script = "seed=0; while [ $seed -lt 600 ]; do jsonl-shuffle --threads 1 --seed $seed three | tr -d '\\n'; \
     echo; seed=$((seed + 1)); done";
    let mut orders = BTreeMap::new();
    Run::shell(script, &folder).text().lines().for_each(|order| *orders.entry(order.to_string()).or_insert(0_u32) += 1);
    let chi_square: f64 = orders.values().map(|&n| (f64::from(n) - 100.0).powi(2) / 100.0).sum();
    assert!(orders.len() == 6 && chi_square < 25.7, "{orders:?}");
}

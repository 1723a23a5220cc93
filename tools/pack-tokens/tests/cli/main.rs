//! `pack-tokens` keeps the contract of all tools, and its formats hold what the rules put there.

mod datasets;
mod provenance;
mod readers;

use contract::corpus::Numbers;
use contract::folder::Folder;
use contract::run::{Outcome, Run};
use contract::tool::Tool;
use readers::Sample;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn tool() -> Tool {
    Tool {
        name: "pack-tokens",
        program: env!("CARGO_BIN_EXE_pack-tokens"),
        source: env!("CARGO_MANIFEST_DIR"),
        args: &["--length", "8"],
        side_files: &[],
        wrong_values: &[
            ("--length", "0"),
            ("--length", "3000000000"),
            ("--mode", "best"),
            ("--prev", "-1"),
            ("--pad", "x"),
            ("--tail", "cut"),
            ("--window", "0"),
            ("--tokens-min", "x"),
            ("--tokens-max", "x"),
            ("--count", "many"),
            ("--split", "test"),
            ("--split", "test=0.5,train=3"),
            ("--split", "test=0.6,train=0.6"),
            ("--split", "test=1,test=2"),
            ("--split", "../test=1"),
            ("--split", "a/b=1"),
            ("--split", ".test=1"),
            ("--mix", "a"),
            ("--mix", "a=0"),
            ("--mix", "a=0.0000001"),
            ("--format", "csv"),
            ("--dtype", "u8"),
            ("--vocab-size", "0"),
            ("--mds-encoding", "json"),
            ("--size-limit", "4G"),
            ("--size-limit", "0"),
            ("--compression", "gzip"),
            ("--compression", "zstd:23"),
            ("--hashes", "md5"),
        ],
        prepare: |_, _| (),
        input: |rows| stream(&documents(rows), "u2", 1 + rows / 100),
    }
}

contract::holds!(tool: manual, files, streams);

contract::holds!(@tests tool documents:
    standard_input_is_a_file, threads_change_nothing, reader_may_leave, reader_may_leave_while_input_waits,
    shards_of_what_cannot_be_cut_are_refused, progress_is_not_data);

/// So many documents of 0 to 39 tokens.
fn documents(rows: usize) -> Vec<Vec<i64>> {
    random(rows, 40, 1)
}

/// So many documents of fewer tokens than that.
fn random(rows: usize, length_max: u64, seed: u64) -> Vec<Vec<i64>> {
    let mut numbers = Numbers(seed);
    let document = |_| {
        let length = numbers.below(length_max);
        (0..length).map(|_| numbers.below(60_000) as i64).collect()
    };
    (0..rows).map(document).collect()
}

/// A `.npy` array of one dimension, as NumPy writes it.
fn array(values: &[i64], kind: &str) -> Vec<u8> {
    array_of_shape(values, kind, &format!("({},)", values.len()))
}

/// The same with any shape in its header.
fn array_of_shape(values: &[i64], kind: &str, shape: &str) -> Vec<u8> {
    let header = format!("{{'descr': '<{kind}', 'fortran_order': False, 'shape': {shape}, }}");
    let mut bytes = b"\x93NUMPY\x01\0\x76\0".to_vec();
    bytes.extend(format!("{header:<117}\n").bytes());
    let width: usize = kind[1..].parse().expect("a width");
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()[..width].to_vec()));
    bytes
}

/// A token stream of so many arrays.
fn stream(documents: &[Vec<i64>], kind: &str, arrays: usize) -> Vec<u8> {
    let parts = documents.chunks(documents.len().div_ceil(arrays).max(1));
    let parts: Vec<_> = if documents.is_empty() { vec![&[][..]] } else { parts.collect() };
    let one = |part: &[Vec<i64>]| {
        let lengths = part.iter().map(|document| document.len() as i64);
        let values: Vec<_> =
            std::iter::once(part.len() as i64).chain(lengths).chain(part.iter().flatten().copied()).collect();
        array(&values, kind)
    };
    parts.into_iter().flat_map(one).collect()
}

fn pack(folder: &Folder, args: &[&str]) -> Run {
    tool().bare(folder).args(args)
}

fn folder(documents: &[Vec<i64>]) -> Folder {
    let folder = Folder::new();
    folder.write("t", stream(documents, "u2", 3));
    folder
}

/// Words of a command line.
fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// Samples of a run with these flags on `t`.
fn samples(folder: &Folder, line: &str) -> Vec<Sample> {
    readers::lines(&pack(folder, &words(line)).args(["--format", "jsonl", "t"]).output())
}

/// Windows by their definition.
fn windows(run: &[i64], length: usize, prev: usize) -> Vec<Sample> {
    let count = run.len().saturating_sub(prev) / length;
    (0..count)
        .map(|i| Sample {
            prev: run[i * length..i * length + prev].to_vec(),
            tokens: run[i * length + prev..(i + 1) * length + prev].to_vec(),
            ..Sample::default()
        })
        .collect()
}

#[test]
fn windows_are_ceps_for_every_type() {
    let documents = random(60, 50, 2);
    let folder = Folder::new();
    for kind in ["u2", "u4", "i4", "i8"] {
        folder.write("t", stream(&documents, kind, 4));
        for (length, prev) in [(1, 0), (7, 0), (8, 3), (3, 8), (5, 100), (400, 0)] {
            let shape = format!("--length {length} --prev {prev}");
            let expected = windows(&documents.concat(), length, prev);
            assert_eq!(samples(&folder, &shape), expected, "{kind} {shape}");
            let rows = readers::rows(&pack(&folder, &words(&shape)).args(["t"]).output());
            let joined: Vec<_> = expected.iter().map(|sample| [&sample.prev[..], &sample.tokens].concat()).collect();
            assert_eq!(rows, joined, "{kind} {shape}");
            let expected: Vec<_> = documents.iter().flat_map(|document| windows(document, length, prev)).collect();
            assert_eq!(samples(&folder, &format!("--mode within {shape}")), expected, "{kind} {shape}");
        }
    }
    // One stream may have arrays of several types.
    let mixed: Vec<u8> = documents
        .iter()
        .zip(["u2", "i8", "u4", "i4"].iter().cycle())
        .flat_map(|(d, kind)| stream(std::slice::from_ref(d), kind, 1))
        .collect();
    folder.write("t", mixed);
    assert_eq!(samples(&folder, "--length 9"), windows(&documents.concat(), 9, 0));
}

/// What is left behind the windows of a run, by the manual.
fn rest(run: &[i64], length: usize, prev: usize, pad: Option<i64>, tail: &str) -> Option<Sample> {
    let count = run.len().saturating_sub(prev) / length;
    let left = &run[count * length..];
    let filled = |mut tokens: Vec<i64>| {
        tokens.resize(length, pad.unwrap_or(-1));
        tokens
    };
    if let (0, Some(pad), false) = (count, pad, run.is_empty()) {
        let (before, own) = run.split_at(run.len().saturating_sub(length));
        let prev = [vec![pad; prev - before.len()], before.to_vec()].concat();
        return Some(Sample { prev, tokens: filled(own.to_vec()), ..Sample::default() });
    }
    let (before, own) = left.split_at_checked(prev).filter(|(_, own)| !own.is_empty())?;
    let tokens = match tail {
        "pad" => filled(own.to_vec()),
        "keep" => own.to_vec(),
        _ => return None,
    };
    Some(Sample { prev: before.to_vec(), tokens, ..Sample::default() })
}

#[test]
fn tails_and_short_documents_become_what_was_asked() {
    let documents = random(50, 40, 3);
    let folder = folder(&documents);
    for (length, prev) in [(7, 0), (8, 5), (30, 20)] {
        for (flags, pad, tail) in [
            ("", None, "drop"),
            ("--tail keep", None, "keep"),
            ("--tail pad --pad 9", Some(9), "pad"),
            ("--pad 9", Some(9), "drop"),
            ("--pad 9 --tail keep", Some(9), "keep"),
        ] {
            let all = |run: &[i64]| {
                [windows(run, length, prev), rest(run, length, prev, pad, tail).into_iter().collect()].concat()
            };
            let shape = format!("--length {length} --prev {prev} {flags}");
            let expected: Vec<_> = documents.iter().flat_map(|document| all(document)).collect();
            assert_eq!(samples(&folder, &format!("--mode within {shape}")), expected, "{shape}");
            if pad.is_none() || tail == "pad" {
                assert_eq!(samples(&folder, &shape), all(&documents.concat()), "{shape}");
            }
        }
    }
}

#[test]
fn every_token_is_accounted_for() {
    let documents = random(80, 60, 4);
    let folder = folder(&documents);
    let whole: u64 = documents.iter().map(|document| document.len() as u64).sum();
    for flags in [
        "--length 16",
        "--length 16 --mode within",
        "--length 16 --prev 8 --mode within --pad 0",
        "--length 16 --mode within --tail pad --pad 0",
        "--length 100",
        "--length 16 --mode best-fit --pad 0",
        "--length 16 --mode within --tokens-min 10 --tokens-max 50",
    ] {
        pack(&folder, &words(flags)).args(["--stats", "s", "t"]).output();
        let stats: serde_json::Value = serde_json::from_slice(&folder.read("s")).expect("it is JSON");
        let number = |name: &str| stats[name].as_u64().expect("a number");
        let fits = |document: &&Vec<i64>| !flags.contains("tokens-min") || (10..=50).contains(&document.len());
        let unqualified = documents.iter().filter(|document| !document.is_empty() && !fits(document)).count() as u64;
        assert_eq!(number("rows_missing"), documents.iter().filter(|document| document.is_empty()).count() as u64);
        assert_eq!(number("rows_unqualified"), unqualified);
        let qualified: u64 = documents.iter().filter(fits).map(|document| document.len() as u64).sum();
        assert_eq!(number("tokens_in"), qualified, "{flags}: of {whole}");
        if !flags.contains("prev") {
            assert_eq!(
                number("tokens_out") + number("tokens_dropped") - number("tokens_padding"),
                qualified,
                "{flags}"
            );
        }
    }
}

/// Best-fit decreasing over everything at once, in quadratic time.
fn best_fit(documents: &[Vec<i64>], length: usize) -> Vec<Sample> {
    let pieces: Vec<_> = documents.iter().flat_map(|document| document.chunks(length)).collect();
    let mut order: Vec<_> = (0..pieces.len()).collect();
    order.sort_by_key(|&piece| (usize::MAX - pieces[piece].len(), piece));
    let mut bins: Vec<(usize, Vec<usize>)> = Vec::new();
    for piece in order {
        let size = pieces[piece].len();
        let fitting = bins.iter().enumerate().filter(|(_, bin)| bin.0 >= size);
        let best = fitting.min_by_key(|(place, bin)| (bin.0, *place)).map(|(place, _)| place);
        let bin = best.unwrap_or_else(|| {
            bins.push((length, Vec::new()));
            bins.len() - 1
        });
        bins[bin].0 -= size;
        bins[bin].1.push(piece);
    }
    let mut bins: Vec<_> = bins.into_iter().map(|bin| bin.1).collect();
    bins.iter_mut().for_each(|bin| bin.sort());
    bins.sort();
    let sample = |bin: Vec<usize>| Sample {
        tokens: bin.iter().flat_map(|&piece| pieces[piece]).copied().collect(),
        lengths: bin.iter().map(|&piece| pieces[piece].len() as i64).collect(),
        ..Sample::default()
    };
    bins.into_iter().map(sample).collect()
}

#[test]
fn best_fit_is_best_fit_decreasing() {
    for seed in 0..5 {
        let documents = random(300, 60, 10 + seed);
        let folder = folder(&documents);
        for length in [10, 32, 59, 200] {
            let expected = best_fit(&documents, length);
            let flags = format!("--mode best-fit --tail keep --length {length}");
            assert_eq!(samples(&folder, &flags), expected, "{flags}");
            let padded = samples(&folder, &format!("--mode best-fit --pad 65535 --length {length}"));
            let fill = |mut sample: Sample| {
                sample.tokens.resize(length, 65535);
                sample
            };
            assert_eq!(padded, expected.into_iter().map(fill).collect::<Vec<_>>());
            let rows = readers::rows(
                &pack(&folder, &words(&format!("--mode best-fit --pad 65535 --length {length} t"))).output(),
            );
            assert!(rows.iter().eq(padded.iter().map(|sample| &sample.tokens)));
        }
        // In small windows every document is still whole, and in some sequence.
        let windowed = samples(&folder, "--mode best-fit --tail keep --length 60 --window 300");
        let mut pieces = BTreeSet::new();
        for sample in &windowed {
            assert!(sample.tokens.len() <= 60);
            let mut at = 0;
            for &length in &sample.lengths {
                pieces.insert(sample.tokens[at..at + length as usize].to_vec());
                at += length as usize;
            }
            assert_eq!(at, sample.tokens.len());
        }
        assert_eq!(pieces, documents.iter().filter(|document| !document.is_empty()).cloned().collect());
        assert!(
            windowed.len() > samples(&folder, "--mode best-fit --tail keep --length 60").len(),
            "the test must meet windows"
        );
    }
}

#[test]
fn all_formats_hold_the_same_sequences() {
    let documents = random(120, 80, 5);
    let folder = folder(&documents);
    for (case, shape) in [
        "--length 16 --prev 8",
        "--length 16",
        "--length 20 --mode within --tail keep",
        "--length 20 --mode within --prev 4 --tail keep",
        "--length 300 --prev 10",
        "--length 64 --mode best-fit --tail keep",
        "--length 100000",
    ]
    .into_iter()
    .enumerate()
    {
        let mut expected = samples(&folder, &format!("{shape} --domain a\u{e9}\"b"));
        assert!(expected.iter().all(|sample| sample.domain == "a\u{e9}\"b"));
        expected.iter_mut().for_each(|sample| sample.domain = "book".to_string());
        let shape = words(shape);
        for (number, dtype) in ["u16", "u32", "i32", "i64"].into_iter().enumerate() {
            let mds_flags =
                ["", "--mds-encoding pkl", "--compression zstd", "--compression zstd:9 --hashes sha256,xxh3_64"];
            let out = format!("mds-{case}-{dtype}");
            let flags = format!(
                "--domain book --dtype {dtype} --format mds --size-limit 2K --out {out} {} t",
                mds_flags[number]
            );
            pack(&folder, &shape).args(words(&flags)).output();
            let (index, found) = readers::mds(&folder.path().join(&out));
            assert_eq!(found, expected, "{shape:?} {flags}");
            assert!(expected.len() < 20 || index["shards"].as_array().is_some_and(|shards| shards.len() > 1));

            let arrow =
                pack(&folder, &shape).args(words(&format!("--domain book --dtype {dtype} --format arrow t"))).output();
            let columns = readers::arrow(&arrow);
            let column = |name: &str, row: usize| columns.get(name).map(|rows| rows[row].0.clone()).unwrap_or_default();
            let sample = |row: usize| Sample {
                prev: column("prev_token_ids", row),
                tokens: column("token_ids", row),
                lengths: column("lengths", row),
                domain: columns["domain"][row].1.clone(),
            };
            let found: Vec<_> = (0..columns["token_ids"].len()).map(sample).collect();
            assert_eq!(found, expected, "{shape:?} {dtype}");
        }
        for dtype in ["u16", "i32", "i64"] {
            pack(&folder, &shape).args(["--dtype", dtype, "--format", "megatron", "--out", "m", "t"]).output();
            let (_, found, ends) = readers::megatron(&folder, "m");
            let joined: Vec<_> = expected.iter().map(|sample| [&sample.prev[..], &sample.tokens].concat()).collect();
            assert_eq!(found, joined, "{shape:?} {dtype}");
            assert_eq!((ends[0], ends.last()), (0, Some(&(found.len() as u64))));
        }
    }
}

/// The fixtures are by the real writers: see scripts/pack-fixtures.
fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    fs::read(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

#[test]
fn files_are_those_of_the_real_writers() {
    let folder = Folder::new();
    folder.write("t", fixture("tokens.npy"));
    let shape = ["--length", "4", "--prev", "2", "--mode", "within", "--domain", "wiki"];
    let mds = "--format mds --size-limit 450 --hashes xxh3_64,sha256,xxh3_128 --out mds t";
    pack(&folder, &shape).args(words(mds)).output();
    for name in ["shard.00000.mds", "shard.00001.mds", "index.json"] {
        assert!(folder.read(&format!("mds/{name}")) == fixture(&format!("mds/{name}")), "{name} is not MDSWriter's");
    }
    assert_eq!(fs::read_dir(folder.path().join("mds")).expect("a folder").count(), 3);
    pack(&folder, &shape).args(["--format", "megatron", "--out", "m", "t"]).output();
    for name in ["bin", "idx"] {
        assert!(folder.read(&format!("m.{name}")) == fixture(&format!("megatron.{name}")), "{name} is not Megatron's");
    }
    // Other layouts of the same are as good: read by the same reader.
    let ours = pack(&folder, &shape).args(["--format", "arrow", "t"]).output();
    assert_eq!(readers::arrow(&ours), readers::arrow(&fixture("pyarrow.arrow")));
    for kind in ["u2", "i8"] {
        assert_eq!(readers::unpickle(&fixture(&format!("array-{kind}.pkl"))), [7, 8, 9, 10, 11]);
    }
}

/// The noise bits of a purpose, by the recipe of corpus-utils(7).
fn noise(seed: u64, purpose: &str, tokens: &[i64]) -> u64 {
    let bytes: Vec<u8> = tokens.iter().flat_map(|&token| (token as u32).to_le_bytes()).collect();
    let key = xxhash_rust::xxh3::xxh3_64(&bytes);
    xxhash_rust::xxh3::xxh3_64_with_seed(&[&key.to_le_bytes()[..], purpose.as_bytes()].concat(), seed)
}

#[test]
fn a_choice_is_the_front_of_the_noise() {
    let mut documents = random(100, 50, 6);
    documents.extend(documents[..20].to_vec());
    let folder = folder(&documents);
    for shape in ["--length 8 --prev 3 --mode within", "--length 8", "--length 30 --mode best-fit --tail keep"] {
        let all = samples(&folder, shape);
        let mut order: Vec<_> = (0..all.len()).collect();
        order.sort_by_key(|&place| (noise(5, "pack", &all[place].tokens), place));
        for count in [0, 1, 7, all.len() / 2, all.len()] {
            let mut chosen = order[..count].to_vec();
            chosen.sort();
            let expected: Vec<_> = chosen.iter().map(|&place| all[place].clone()).collect();
            assert_eq!(samples(&folder, &format!("{shape} --seed 5 -n {count}")), expected, "{shape} -n {count}");
        }
        let more = pack(&folder, &words(shape)).args(["--format", "jsonl", "-n", "100000", "t"]).outcome();
        more.expect(0);
        assert_eq!(more.stderr, format!("pack-tokens: wanted 100000 sequences, found {}\n", all.len()));
        assert_eq!(readers::lines(&more.stdout), all);
    }
}

#[test]
fn keys_are_frozen() {
    let folder = folder(&[vec![1, 2], vec![3, 4], vec![5, 6], vec![7, 8], vec![9, 10]]);
    let first = |line: &str| samples(&folder, line).into_iter().map(|sample| sample.tokens[0]).collect::<Vec<_>>();
    assert_eq!(first("--length 2 -n 2"), [7, 9]);
    assert_eq!(first("--length 2 -n 2 --seed 1"), [3, 5]);
    pack(&folder, &words("--length 2 --split a=0.5,b=0.5 --format jsonl --out {split} t")).outcome().expect(0);
    let split: Vec<_> = readers::lines(&folder.read("a")).into_iter().map(|sample| sample.tokens[0]).collect();
    assert_eq!(split, [3, 9]);
}

#[test]
fn shards_put_together_are_the_whole() {
    let folder = folder(&random(150, 50, 7));
    for choice in ["", "-n 40", "--split a=20,b=30", "--split a=0.2,b=0.5", "--mix t=1"] {
        let flags = format!("--length 8 --prev 2 --mode within --format jsonl {choice} --out");
        pack(&folder, &words(&format!("{flags} whole-{{split}} t"))).outcome().expect(0);
        for count in [1, 4, 11] {
            for part in 0..count {
                let shard = format!("{flags} {count}-{part}-{{split}} --shard {part}/{count} t");
                pack(&folder, &words(&shard)).outcome().expect(0);
            }
            for split in ["a", "b", "{split}"].iter().filter(|split| folder.has(&format!("whole-{split}"))) {
                let parts: Vec<_> = (0..count).map(|part| folder.read(&format!("{count}-{part}-{split}"))).collect();
                assert!(
                    parts.concat() == folder.read(&format!("whole-{split}")),
                    "{choice}: {count} shards of {split}"
                );
            }
        }
    }
    for wrong in ["-n 3", "--mix t=1", "--split a=3,b=4 --out x"] {
        let line = format!("--length 8 --shard 0/2 {wrong} t");
        pack(&folder, &words(&line)).outcome().expect_refusal(2, &["--mode within only"]);
    }
}

/// Splits by these flags: the samples of each.
fn split(folder: &Folder, flags: &str, names: &[&str]) -> (Vec<Vec<Sample>>, Outcome) {
    let run = pack(folder, &words(flags)).args(words("--format jsonl --out s-{split} t")).outcome();
    run.expect(0);
    (names.iter().map(|name| readers::lines(&folder.read(&format!("s-{name}")))).collect(), run)
}

/// Splits by count of windows of T tokens, by the manual: the windows of each, in input order.
fn split_by_count(documents: &[Vec<i64>], length: usize, counts: &[usize]) -> Vec<Vec<Sample>> {
    let mut order: Vec<_> = (0..documents.len()).filter(|&place| !documents[place].is_empty()).collect();
    order.sort_by_key(|&place| (noise(0, "pack-split", &documents[place]), place));
    let mut order = order.into_iter().peekable();
    let mut last: Option<&Vec<i64>> = None;
    let split = |&count: &usize| {
        let mut own: Vec<(usize, Vec<Sample>)> = Vec::new();
        let mut left = count;
        while left > 0
            && let Some(place) = order.next()
        {
            if own.is_empty() && last == Some(&documents[place]) {
                continue;
            }
            let mut samples = windows(&documents[place], length, 0);
            samples.truncate(left);
            left -= samples.len();
            own.push((place, samples));
        }
        last = own.last().map(|own| &documents[own.0]).or(last);
        own.sort_by_key(|own| own.0);
        own.into_iter().flat_map(|own| own.1).collect()
    };
    counts.iter().map(split).collect()
}

#[test]
fn splits_by_count_are_the_documents_in_order_of_their_noise() {
    let mut documents = random(60, 40, 21);
    // Many equal ones, so that splits end between them.
    let again = documents.clone();
    documents.extend(again.iter().cloned());
    documents.extend(again);
    let folder = folder(&documents);
    for test in 0..40 {
        let (found, _) =
            split(&folder, &format!("--length 7 --mode within --split a={test},b=30,c=9"), &["a", "b", "c"]);
        assert_eq!(found, split_by_count(&documents, 7, &[test, 30, 9]), "{test}");
    }
}

#[test]
fn splits_by_count_are_exact_and_apart() {
    let mut documents = random(200, 50, 8);
    documents.extend(documents[..60].to_vec());
    let folder = folder(&documents);
    for mode in ["within", "concat"] {
        let shape = format!("--length 5 --prev 2 --mode {mode} --seed 3");
        let mut before: Vec<Vec<Sample>> = Vec::new();
        for (test, train) in [(0, 10), (1, 50), (30, 100), (31, 200), (200, 300)] {
            let flags = format!("{shape} --split test={test},train={train}");
            let (found, run) = split(&folder, &flags, &["test", "train"]);
            assert_eq!((found[0].len(), found[1].len()), (test, train), "{mode}");
            assert_eq!(run.stderr, "", "a part that wants nothing is not short");
            let alone = split(&folder, &format!("{shape} --split test={test}"), &["test"]).0;
            assert_eq!(alone[0], found[0], "the first does not depend on the second");
            if mode == "within" {
                // Sequences of one document are on one side; so are those of equal documents.
                let of = |sample: &Sample| {
                    let whole = [&sample.prev[..], &sample.tokens].concat();
                    documents
                        .iter()
                        .find(|document| document.windows(7).any(|window| window == whole))
                        .expect("a document")
                };
                let sides: Vec<BTreeSet<_>> = found.iter().map(|samples| samples.iter().map(of).collect()).collect();
                assert!(sides[0].is_disjoint(&sides[1]));
                if let Some(before) = before.first() {
                    assert!(
                        before.iter().all(|sample| found[0].contains(sample)),
                        "a larger set contains the smaller one"
                    );
                }
            }
            before = found;
        }
    }
    let (found, run) = split(&folder, "--length 5 --mode within --split test=10,train=100000", &["test", "train"]);
    assert_eq!(found[0].len(), 10);
    let said = format!(
        "pack-tokens: --split: test wanted 10 sequences, got 10 sequences; train wanted 100000 sequences, got {} \
         sequences\n",
        found[1].len()
    );
    assert_eq!(run.stderr, said);
}

#[test]
fn splits_by_share_are_a_matter_of_each_document() {
    let documents = random(2000, 30, 9);
    let folder = folder(&documents);
    let flags = "--length 5 --mode within --seed 4 --split test=0.1,train=0.7";
    let (found, _) = split(&folder, flags, &["test", "train"]);
    let uniform = |document: &[i64]| ((noise(4, "pack-split", document) >> 12) as f64 + 0.5) / 2f64.powi(52);
    for (side, range) in [(0, 0.0..0.1), (1, 0.1..0.1 + 0.7)] {
        let own = documents.iter().filter(|document| !document.is_empty() && range.contains(&uniform(document)));
        assert_eq!(found[side], own.flat_map(|document| windows(document, 5, 0)).collect::<Vec<_>>());
    }
    // Half of the documents, in another order, beside others: what was there before is where it was.
    let mut others = documents[..1000].to_vec();
    others.reverse();
    others.extend(random(50, 30, 77));
    folder.write("t", stream(&others, "i8", 2));
    let (again, _) = split(&folder, flags, &["test", "train"]);
    assert!(again[0].iter().filter(|sample| found[0].contains(sample)).count() > 100);
    assert!(!again[0].iter().any(|sample| found[1].contains(sample)));
}

#[test]
fn a_few_documents_can_be_split() {
    for count in 1..=3 {
        let folder =
            folder(&random(3, 50, 12)[..count].iter().map(|d| [d.clone(), vec![1; 8]].concat()).collect::<Vec<_>>());
        let (found, _) =
            split(&folder, "--length 4 --mode within --allow-empty --split test=1,train=1", &["test", "train"]);
        assert_eq!(found[0].len(), 1);
        assert_eq!(found[1].len(), usize::from(count > 1));
        let (found, _) =
            split(&folder, "--length 4 --mode within --allow-empty --split test=50%,train=0.5", &["test", "train"]);
        assert_eq!(found[0].len() + found[1].len(), samples(&folder, "--length 4 --mode within").len());
    }
}

#[test]
fn mixtures_have_exact_proportions() {
    let folder = Folder::new();
    for (seed, name) in ["arxiv", "book", "cc"].into_iter().enumerate() {
        folder.write(&format!("{name}.0.npy"), stream(&random(60, 50, 20 + seed as u64), "u2", 2));
        folder.write(&format!("more-{name}"), stream(&random(30, 50, 30 + seed as u64), "i4", 1));
    }
    let files = "arxiv.0.npy book.0.npy cc.0.npy arxiv=more-arxiv book=more-book cc=more-cc";
    let mixed = |flags: &str| {
        let found =
            readers::lines(&pack(&folder, &words(&format!("--length 5 --format jsonl {flags} {files}"))).output());
        let of = |name: &str| found.iter().filter(|sample| sample.domain == name).count();
        let counts = [of("arxiv"), of("book"), of("cc")];
        (found, counts)
    };
    let mix = "--mix arxiv=0.5,book=0.3,cc=0.2";
    let mut before: Vec<Sample> = Vec::new();
    for count in [1, 2, 3, 10, 57, 100, 250] {
        let (found, counts) = mixed(&format!("{mix} -n {count}"));
        assert_eq!(counts.iter().sum::<usize>(), count);
        if count % 10 == 0 {
            assert_eq!(counts, [count / 2, count * 3 / 10, count / 5]);
        }
        assert!(before.iter().all(|sample| found.contains(sample)), "a larger mixture contains the smaller one");
        before = found;
    }
    // Without a number, one more would be more than some domain has.
    let (found, counts) = mixed(mix);
    let (_, more) = mixed("--mix arxiv=1,book=1,cc=1 -n 3");
    assert_eq!(more, [1, 1, 1]);
    let refused = pack(&folder, &words(&format!("--length 5 {mix} -n {} {files}", found.len() + 1))).outcome();
    refused.expect_refusal(1, &["--mix: wanted ", " sequences of ", ", found "]);
    assert!(counts[0].abs_diff(counts.iter().sum::<usize>() / 2) <= 1);
    // Each split has the proportions, too.
    let flags =
        format!("--length 5 --mode within {mix} --split test=10,train=100 --format jsonl --out m-{{split}} {files}");
    pack(&folder, &words(&flags)).output();
    for (name, expected) in [("m-test", [5, 3, 2]), ("m-train", [50, 30, 20])] {
        let found = readers::lines(&folder.read(name));
        let of = |name: &str| found.iter().filter(|sample| sample.domain == name).count();
        assert_eq!([of("arxiv"), of("book"), of("cc")], expected);
    }
    let stranger = pack(&folder, &words("--length 5 --mix arxiv=1 book.0.npy")).outcome();
    stranger.expect_refusal(2, &["book.0.npy: which domain of --mix?"]);
    pack(&folder, &words("--length 5 --mix a=1,b=1 a=x")).outcome().expect_refusal(2, &["--mix: no file for b"]);
}

#[test]
fn a_part_that_gets_nothing_is_an_error() {
    let folder = folder(&random(9, 30, 13));
    for (split, told) in [
        ("a=3,b=100000,c=5", "--split: a wanted 3 sequences, got 3 sequences; b wanted 100000 sequences, got "),
        ("a=0.000000001,b=0.5", "--split: a wanted 0.000000001 of the documents, got 0 sequences; b wanted 0.5 of the"),
        (
            "a=0.000000001,b=0.5 -n 4",
            "--split: a wanted 4 sequences of 0.000000001 of the documents, got 0 sequences; b",
        ),
    ] {
        let flags = format!("--length 4 --mode within --format jsonl --out s-{{split}} --split {split} t");
        let refused = pack(&folder, &words(&flags)).outcome();
        refused.expect_refusal(1, &[told, "a part of nothing is fine with --allow-empty only"]);
        assert!(!folder.has("s-a") && !folder.has("s-b"), "nothing appears");
        let allowed = pack(&folder, &words(&flags)).args(["--allow-empty", "--stats", "stats"]).outcome();
        allowed.expect(0);
        assert!(allowed.stderr.contains(told), "{}", allowed.stderr);
        let stats: serde_json::Value = serde_json::from_slice(&folder.read("stats")).expect("it is JSON");
        assert_eq!(stats["parts"][1]["sequences"], readers::lines(&folder.read("s-b")).len());
        ["s-a", "s-b", "s-c"].iter().filter(|name| folder.has(name)).for_each(|name| {
            fs::remove_file(folder.path().join(name)).expect("a file");
        });
    }
    // Of a shard, what all shards have together counts.
    let line = "--length 4 --mode within --format jsonl --out s-{split} --split a=1,b=1 --shard 0/9 t";
    pack(&folder, &words(line)).outcome().expect(0);
}

/// CEPE's concat: documents by shares, then so many blocks of each part.
#[test]
fn shares_and_then_a_number_take_that_many_of_each_part() {
    let folder = folder(&random(400, 40, 14));
    for shape in ["--length 8", "--length 8 --mode within --prev 2"] {
        let flags = format!("{shape} --split test=10%,valid=40%,train=50%");
        let (whole, _) = split(&folder, &flags, &["test", "valid", "train"]);
        let (found, run) = split(&folder, &format!("{flags} -n 20"), &["test", "valid", "train"]);
        assert_eq!(run.stderr, "");
        for (whole, found) in whole.iter().zip(found) {
            let mut order: Vec<_> = (0..whole.len()).collect();
            order.sort_by_key(|&place| (noise(0, "pack", &whole[place].tokens), place));
            let mut chosen = order[..20].to_vec();
            chosen.sort();
            assert_eq!(found, chosen.into_iter().map(|place| whole[place].clone()).collect::<Vec<_>>(), "{shape}");
        }
    }
}

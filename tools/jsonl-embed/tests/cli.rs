//! `jsonl-embed` keeps the contract of all tools, and writes arrays and streams of vectors.

mod npy;

use contract::corpus;
use contract::folder::Folder;
use contract::npy::{Array, header};
use contract::packed;
use contract::records::with_line;
use contract::run::Run;
use contract::tool::{INPUT, Tool};
use npy::{bits, read, vectors};

/// The embedded default.
fn hash() -> Tool {
    Tool {
        name: "jsonl-embed",
        program: env!("CARGO_BIN_EXE_jsonl-embed"),
        source: env!("CARGO_MANIFEST_DIR"),
        args: &[],
        side_files: &[],
        wrong_values: &[
            ("--model", ""),
            ("--model", "hash:0"),
            ("--model", "hash:"),
            ("--model", "hash:many"),
            ("--model", "hash:1000000000000"),
            ("--pooling", "max"),
            ("--max-length", "0"),
            ("--long", "drop"),
            ("--normalize", "maybe"),
            ("--precision", "f64"),
            ("--dtype", "f64"),
            ("--dim", "0"),
            ("--device", "gpu"),
        ],
        prepare: |_, _| (),
        input: |rows| corpus::documents(rows).into_bytes(),
    }
}

/// Small vectors, for many rows.
fn small() -> Tool {
    Tool { args: &["--model", "hash:8"], ..hash() }
}

contract::holds!(hash: manual, files, records);

contract::holds!(@tests hash documents:
    last_line_needs_no_newline, standard_input_is_a_file, operands_are_read_in_order, reader_may_leave,
    reader_may_leave_while_input_waits, shards_of_what_cannot_be_cut_are_refused, progress_is_not_data,
    byte_order_mark_is_no_part_of_a_line, formats_without_lines_are_named);

/// Rows of more than one block: blocks are of about 1 MB.
const BLOCKS: usize = 3000;

/// The bytes of a file that a run writes into, from its start.
fn file(tool: &Tool, folder: &Folder, args: &[&str]) -> Vec<u8> {
    folder.write("vectors.npy", "");
    let path = folder.path().join("vectors.npy");
    let run = tool.run_on_input(folder).args(args).into_file(path.to_str().expect("it is UTF-8"));
    run.output();
    folder.read("vectors.npy")
}

#[test]
fn a_pipe_gets_a_whole_stream_of_all_rows() {
    let vectors = read(&hash().output(BLOCKS));
    assert!(vectors.arrays.len() > 1, "the test must meet blocks");
    let is_block = |array: &Array| array.in_stream && array.shape[1..] == [384] && array.descr == "<f4";
    assert!(vectors.arrays.iter().all(is_block));
    assert_eq!(vectors.rows.len(), BLOCKS);
    for row in &vectors.rows {
        let length: f64 = row.iter().map(|&value| f64::from(value) * f64::from(value)).sum();
        assert!((length - 1.0).abs() < 1e-6, "{length}");
    }
}

#[test]
fn a_file_is_one_array_with_the_rows_of_a_pipe() {
    for rows in [0, 1, BLOCKS] {
        let bytes = file(&hash(), &hash().folder(rows), &[]);
        let arrays = read(&bytes).arrays;
        assert_eq!((arrays.len(), arrays[0].in_stream, &arrays[0].shape[..]), (1, false, &[rows as u64, 384][..]));
        assert!(bits(&bytes) == bits(&hash().output(rows)), "{rows} rows");
    }
}

#[test]
fn no_documents_are_a_stream_of_no_rows() {
    for (args, dim, descr) in [(&[][..], 384, "<f4"), (&["--model", "hash:7", "--dtype", "f16"], 7, "<f2")] {
        for run in [hash().run(&Folder::new()), hash().run_on_input(&hash().folder(0))] {
            let bytes = run.args(args).output();
            let end = header(&bytes[header(&bytes).length..]);
            assert_eq!((&end.shape[..], end.descr.as_str(), end.total), (&[0, dim][..], descr, Some(vec![0])));
            assert!(read(&bytes).arrays.is_empty());
        }
    }
}

#[test]
fn behind_other_arrays_a_stream_is_appended() {
    let folder = hash().folder(BLOCKS);
    folder.write("more.jsonl", corpus::target(5));
    let script = "jsonl-embed docs.jsonl >all.npy; jsonl-embed more.jsonl >>all.npy; jsonl-embed </dev/null >>all.npy";
    Run::shell(script, &folder).output();
    let all = folder.read("all.npy");
    let more = hash().run(&folder).args(["more.jsonl"]).output();
    assert_eq!(read(&all).arrays.iter().map(|array| array.in_stream).collect::<Vec<_>>(), [false, true]);
    assert!(bits(&all) == [bits(&hash().output(BLOCKS)), bits(&more)].concat());
    // Without O_APPEND, but not at the start: what is in front stays.
    Run::shell("{ printf 'in front'; jsonl-embed more.jsonl; } >other", &folder).output();
    let other = folder.read("other");
    let behind = other.strip_prefix(b"in front").expect("what was in front is still there");
    assert!(!read(behind).arrays[0].in_stream);
    assert_eq!(bits(behind), bits(&more));
}

#[test]
fn a_killed_run_leaves_an_array_that_is_not_complete() {
    let folder = hash().folder(BLOCKS);
    for limit in [1, 2000] {
        // dash counts in 512 bytes, other shells in 1024; either ends within the values.
        let script = format!("ulimit -f {limit}; exec jsonl-embed {INPUT} >vectors.npy");
        let outcome = Run::shell(&script, &folder).outcome();
        assert_eq!(outcome.code, None, "the run was to be killed by SIGXFSZ: {}", outcome.stderr);
        let bytes = folder.read("vectors.npy");
        let header = header(&bytes);
        let claimed = header.shape.iter().map(|&size| u128::from(size)).product::<u128>() * 4;
        assert!(claimed > bytes.len() as u128, "{header:?} over {} bytes", bytes.len());
    }
}

#[test]
fn carriage_returns_change_no_vector() {
    let input = corpus::documents(20).replace('\n', "\r\n");
    assert!(hash().run_on_input(&hash().folder_of(20, input.as_bytes())).output() == hash().output(20));
}

#[test]
fn threads_change_no_byte() {
    for (tool, rows) in [(small(), 20_000), (hash(), BLOCKS)] {
        let folder = tool.folder(rows);
        let expected = file(&tool, &folder, &[]);
        for threads in ["1", "2", "7"] {
            let threads = ["--threads", threads];
            assert!(file(&tool, &folder, &threads) == expected, "{threads:?}");
            assert!(tool.run_on_input(&folder).args(threads).output() == tool.output(rows), "{threads:?}");
        }
    }
}

#[test]
fn shards_put_together_are_the_whole() {
    for rows in [0, 1, 5, BLOCKS] {
        let (folder, whole) = (hash().folder(rows), bits(&hash().output(rows)));
        for count in [1, 3, 8] {
            let shard =
                |index: u32| hash().run_on_input(&folder).args(["--shard", &format!("{index}/{count}")]).output();
            let joined: Vec<u8> = (0..count).flat_map(shard).collect();
            assert!(bits(&joined) == whole, "{count} shards of {rows} rows");
            let files: Vec<u8> = (0..count)
                .flat_map(|index| file(&hash(), &folder, &["--shard", &format!("{index}/{count}")]))
                .collect();
            let vectors = read(&files);
            let found = (vectors.arrays.len(), vectors.rows.len());
            assert_eq!(found, (count as usize, rows), "{count} shards of {rows} rows");
        }
    }
}

#[test]
fn skipped_records_are_rows_of_nan() {
    let tool = hash();
    let mut expected = bits(&tool.output(2000));
    let spoilt = with_line(&tool, 2000, 700, b"{\"text\": 5}");
    let last = spoilt[..spoilt.len() - 1].iter().rposition(|&byte| byte == b'\n').expect("there are lines");
    let folder = tool.folder_of(2000, &[&spoilt[..=last], b"\n"].concat());
    let mut run = |threads: &str| {
        let args = ["--on-error", "skip", "--stats", "stats", "--threads", threads];
        let outcome = tool.run_on_input(&folder).args(args).outcome();
        outcome.expect(0);
        let said = "jsonl-embed: skipped 2 bad of 2000 rows; the first: docs.jsonl:701: field \"text\": expected";
        let end = outcome.stderr.lines().last().unwrap_or_default();
        assert!(end.starts_with(said), "{end}");
        let stats: serde_json::Value = serde_json::from_slice(&folder.read("stats")).expect("it is JSON");
        assert_eq!((&stats["rows"], &stats["bad_rows"]), (&2000.into(), &2.into()));
        let rows = read(&outcome.stdout).rows;
        assert_eq!(rows.len(), 2000);
        for bad in [700, 1999] {
            assert!(rows[bad].iter().all(|value| value.is_nan()) && rows[bad].len() == 384, "row {bad}");
            expected[bad] = rows[bad].iter().map(|value| value.to_bits()).collect();
        }
        assert!(bits(&outcome.stdout) == expected, "rows have shifted");
        assert_eq!(rows.iter().filter(|row| row.iter().any(|value| value.is_nan())).count(), 2);
    };
    ["1", "3"].into_iter().for_each(&mut run);
    let halves = tool.run_on_input(&folder).args(["--on-error", "skip", "--dtype", "f16"]).outcome();
    assert!(read(&halves.stdout).rows[700].iter().all(|value| value.is_nan()));
}

#[test]
fn very_long_line_is_one_vector_in_bounded_memory() {
    let input = corpus::very_long_line();
    let outcome = hash().run_on_input(&hash().folder_of(1, &input)).outcome();
    outcome.expect(0);
    assert_eq!(read(&outcome.stdout).rows.len(), 1);
    // A text is held with a few numbers for each of its words, as in the contract.
    assert!(outcome.resident_max_kib < 16 * (200 << 10), "{} KiB", outcome.resident_max_kib);
}

#[test]
fn halves_are_the_floats_rounded() {
    let tool = hash();
    let folder = tool.folder(300);
    let halves = read(&tool.run_on_input(&folder).args(["--dtype", "f16"]).output());
    assert_eq!(halves.arrays[0].descr, "<f2");
    let rounded = |value: &f32| {
        let exponent = if *value == 0.0 { -14 } else { value.abs().log2().floor().max(-14.0) as i32 };
        let unit = 2f64.powi(exponent - 10);
        (f64::from(*value) / unit).round_ties_even() * unit
    };
    for (half, row) in halves.rows.iter().zip(read(&tool.output(300)).rows) {
        let half: Vec<_> = half.iter().map(|&value| f64::from(value)).collect();
        assert_eq!(half, row.iter().map(rounded).collect::<Vec<_>>());
    }
}

#[test]
fn hashing_is_the_published_recipe() {
    let cases = include_str!("../../../lib/model/tests/data/hash.jsonl");
    let mut checked = 0;
    for line in cases.lines() {
        let case: serde_json::Value = serde_json::from_str(line).expect("it is JSON");
        let words: Vec<_> = case["words"].as_array().expect("words").iter().filter_map(|word| word.as_str()).collect();
        let is_word = |word: &&str| !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || c == '_');
        if !words.iter().all(is_word) {
            continue; // No text has these words.
        }
        let expected: Vec<_> = case["bits"].as_array().expect("bits").iter().filter_map(|bits| bits.as_u64()).collect();
        let model = format!("hash:{}", expected.len());
        for text in [words.join(" "), format!("  {}!\n", words.join(", ").to_uppercase())] {
            let found: Vec<_> =
                vectors(&["--model", &model], &[&text])[0].iter().map(|x| u64::from(x.to_bits())).collect();
            assert_eq!(found, expected, "{model} of {text:?}");
        }
        checked += 1;
    }
    assert!(checked >= 10, "{checked}");
}

#[test]
fn default_is_hash_with_384_values() {
    let texts = ["the cat sat on the mat", "", "?", "\u{1f642}"];
    let default = vectors(&[], &texts);
    assert!(default == vectors(&["--model", "hash"], &texts) && default == vectors(&["--model", "hash:384"], &texts));
    assert_eq!(default[0].len(), 384);
    assert!(default[1] == default[2] && default[1] == default[3], "texts without words share a vector");
    assert!(default[0] != default[1]);
    assert_eq!(vectors(&["--model", "hash:1"], &texts)[0].iter().map(|value| value.abs()).collect::<Vec<_>>(), [1.0]);
}

#[test]
fn prefix_and_template_make_the_text() {
    let written = vectors(&[], &["query: the cat sat"]);
    assert_eq!(vectors(&["--prefix", "query: "], &["the cat sat"]), written);
    let fields = "{\"a\": \"the cat\", \"b\": {\"c\": \"sat\"}}\n";
    let run = |args: &[&str]| read(&hash().run(&Folder::new()).args(args).stdin(fields).output()).rows;
    assert_eq!(run(&["--template", "query: {a} {b.c}"]), written);
    assert_eq!(run(&["--field", "b.c", "--prefix", "query: the cat "]), written);
}

#[test]
fn statistics_say_what_was_computed() {
    let folder = hash().folder_of(2, npy::documents(&["the cat sat", "?"]).as_bytes());
    hash().run_on_input(&folder).args(["--model", "hash:9", "--stats", "stats"]).output();
    let stats: serde_json::Value = serde_json::from_slice(&folder.read("stats")).expect("it is JSON");
    assert_eq!((&stats["dim"], &stats["precision"]), (&9.into(), &"exact".into()));
    assert_eq!((&stats["truncated_rows"], &stats["tokens"]), (&0.into(), &3.into()));
}

#[test]
fn flags_that_do_not_go_together_are_refused() {
    let folder = hash().folder(3);
    let refused = |args: &[&str], said: &str| {
        let outcome = hash().run(&folder).args(args).waiting().outcome();
        outcome.expect_refusal(2, &[said]);
    };
    for (flag, value) in [
        ("--pooling", "cls"),
        ("--max-length", "5"),
        ("--long", "chunk-mean"),
        ("--normalize", "no"),
        ("--prompt", "query"),
        ("--precision", "bf16"),
        ("--dim", "5"),
    ] {
        refused(&[flag, value], &format!("--model hash does not go with {flag}"));
        refused(&["--model", "hash:8", flag, value], &format!("--model hash does not go with {flag}"));
    }
    refused(&["--prefix", "a", "--prompt", "b"], "--prefix does not go with --prompt");
}

#[test]
fn devices_that_are_not_there_are_refused() {
    let folder = hash().folder(3);
    for device in ["cuda", "cuda:0"] {
        let outcome = hash().run_on_input(&folder).args(["--device", device]).outcome();
        outcome.expect_refusal(1, &[&format!("--device {device}: "), "CPU"]);
    }
    assert!(hash().run_on_input(&folder).args(["--device", "cpu"]).output() == hash().output(3));
}

#[test]
fn model_that_is_not_there_is_named_before_input_is_read() {
    let folder = hash().folder(3);
    let refused = |model: &str, said: &str| {
        let outcome = hash().run(&folder).args(["--model", model]).waiting().outcome();
        outcome.expect_refusal(1, &[said]);
    };
    refused("not-there", "jsonl-embed: not-there: no such folder\n");
    refused("hashing", "jsonl-embed: hashing: no such folder\n");
    refused(INPUT, "docs.jsonl: expected the folder of a model, found a file\n");
    refused(".", "config.json: No such file or directory\n");
}

#[test]
fn truncated_input_leaves_no_complete_array() {
    let packed = packed::gzip(&(hash().input)(BLOCKS));
    let folder = hash().folder_of(BLOCKS, &packed[..packed.len() / 2]);
    folder.write("vectors.npy", "");
    let path = folder.path().join("vectors.npy");
    let outcome = hash().run_on_input(&folder).into_file(path.to_str().expect("it is UTF-8")).outcome();
    outcome.expect(1);
    assert_eq!(outcome.stderr, "jsonl-embed: docs.jsonl: truncated\n");
    let bytes = folder.read("vectors.npy");
    let header = header(&bytes);
    assert!(header.shape[0] * header.shape[1] * 4 > bytes.len() as u64, "{header:?}");
}

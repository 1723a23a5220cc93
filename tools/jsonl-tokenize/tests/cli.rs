//! `jsonl-tokenize` keeps the contract of all tools, and writes streams of token documents.

use contract::corpus;
use contract::folder::Folder;
use contract::npy;
use contract::packed;
use contract::records::with_line;
use contract::run::Run;
use contract::tool::{INPUT, Tool};
use std::fs;
use std::path::Path;

const GPT2: &[u8] = include_bytes!("../../../lib/model/tests/data/tokens/gpt2.json");
const LLAMA: &[u8] = include_bytes!("../../../lib/model/tests/data/tokens/llama.json");

fn tool() -> Tool {
    Tool {
        name: "jsonl-tokenize",
        program: env!("CARGO_BIN_EXE_jsonl-tokenize"),
        source: env!("CARGO_MANIFEST_DIR"),
        args: &["--tokenizer", "tokenizer.json"],
        side_files: &["--tokenizer"],
        wrong_values: &[
            ("--tokenizer", ""),
            ("--bos", "maybe"),
            ("--max-length", "0"),
            ("--dtype", "u8"),
            ("--dtype", "U16"),
        ],
        prepare: |folder, _| folder.write("tokenizer.json", LLAMA),
        input: |rows| corpus::documents(rows).into_bytes(),
    }
}

contract::holds!(tool: manual, files, records);

contract::holds!(@tests tool documents:
    last_line_needs_no_newline, standard_input_is_a_file, operands_are_read_in_order,
    threads_change_nothing, reader_may_leave, reader_may_leave_while_input_waits,
    shards_of_what_cannot_be_cut_are_refused,
    progress_is_not_data, byte_order_mark_is_no_part_of_a_line, formats_without_lines_are_named);

/// One array of a stream.
#[derive(Debug, PartialEq, Clone)]
struct Array {
    descr: String,
    documents: Vec<Vec<u64>>,
}

/// The documents of each array, or of each block of a stream.
fn read(bytes: &[u8]) -> Vec<Array> {
    npy::read(bytes).into_iter().map(documents_of).collect()
}

fn documents_of(array: npy::Array) -> Array {
    let values: Vec<_> = npy::integers(&array.descr, &array.bytes).into_iter().map(|value| value as u64).collect();
    let (lengths, mut ids) = values[1..].split_at(values[0] as usize);
    let mut documents = Vec::new();
    for &length in lengths {
        let (document, rest) = ids.split_at(length as usize);
        documents.push(document.to_vec());
        ids = rest;
    }
    assert!(ids.is_empty(), "{} numbers too many", ids.len());
    Array { descr: array.descr, documents }
}

fn documents(bytes: &[u8]) -> Vec<Vec<u64>> {
    read(bytes).into_iter().flat_map(|array| array.documents).collect()
}

/// What a run with these arguments writes into a file.
fn file(folder: &Folder, args: &[&str]) -> Vec<u8> {
    folder.write("tokens.npy", "");
    let path = folder.path().join("tokens.npy");
    tool().run_on_input(folder).args(args).into_file(path.to_str().expect("it is UTF-8")).output();
    folder.read("tokens.npy")
}

/// The tokens of these texts.
fn tokens(args: &[&str], texts: &[&str]) -> Vec<Vec<u64>> {
    let input: String = texts.iter().map(|text| serde_json::json!({ "text": text }).to_string() + "\n").collect();
    documents(&tool().run_on_input(&tool().folder_of(0, input.as_bytes())).args(args).output())
}

#[test]
fn a_file_is_one_array_of_the_documents_of_a_pipe() {
    for rows in [0, 1, 3000] {
        let folder = tool().folder(rows);
        let arrays = read(&file(&folder, &[]));
        assert_eq!((arrays.len(), arrays[0].documents.len(), arrays[0].descr.as_str()), (1, rows, "<u2"));
        assert!(arrays[0].documents == documents(&tool().output(rows)), "{rows} rows");
    }
}

#[test]
fn carriage_returns_change_no_document() {
    let input = corpus::documents(20).replace('\n', "\r\n");
    assert!(tool().run_on_input(&tool().folder_of(20, input.as_bytes())).output() == tool().output(20));
}

#[test]
fn no_documents_are_a_stream_of_none_or_the_array_of_a_zero() {
    for run in [tool().run(&tool().folder(0)), tool().run_on_input(&tool().folder(0))] {
        let stream = run.output();
        let end = npy::header(&stream[npy::header(&stream).length..]);
        assert_eq!((end.descr.as_str(), end.total), ("<u2", Some(vec![0, 0])));
        assert!(read(&stream).is_empty());
    }
    let array = Array { descr: "<u2".to_string(), documents: Vec::new() };
    assert_eq!(read(&file(&tool().folder(0), &[])), [array]);
}

#[test]
fn blocks_depend_on_the_documents_alone() {
    let many = "{\"text\": \"\"}\n".repeat(70_000) + &corpus::documents(60_000);
    let folder = tool().folder_of(0, many.as_bytes());
    let run = |threads: &str| tool().run_on_input(&folder).args(["--threads", threads]).output();
    let expected = run("1");
    let sizes: Vec<_> =
        read(&expected).iter().map(|array| (array.documents.len(), array.documents.concat().len())).collect();
    assert_eq!(sizes[0].0, 65_534);
    assert!(
        sizes.len() >= 4 && sizes[1..sizes.len() - 1].iter().all(|&(rows, tokens)| rows < 65_534 && tokens >= 1 << 19),
        "{sizes:?}"
    );
    assert!(run("5") == expected && tool().run(&folder).stdin(many).output() == expected);
    // The file holds the same, wider where the number of documents does not fit.
    let arrays = read(&file(&folder, &[]));
    assert_eq!((arrays.len(), arrays[0].descr.as_str()), (1, "<u4"));
    assert!(arrays[0].documents == documents(&expected));
}

#[test]
fn a_long_document_makes_its_array_wider() {
    let long = "word ".repeat(70_000);
    let input: String =
        ["a", &long, "b"].iter().map(|text| serde_json::json!({ "text": text }).to_string() + "\n").collect();
    let input = input + &corpus::documents(40_000);
    let folder = tool().folder_of(0, input.as_bytes());
    let blocks = read(&tool().run_on_input(&folder).output());
    let widths: Vec<_> = blocks.iter().map(|array| array.descr.as_str()).collect();
    assert!(widths[0] == "<u4" && widths.len() > 1 && widths[1..].iter().all(|&width| width == "<u2"), "{widths:?}");
    let outcome = tool().run_on_input(&folder).args(["--dtype", "u16"]).outcome();
    outcome.expect(1);
    assert!(
        outcome.stderr.contains("docs.jsonl:2: ")
            && outcome.stderr.contains("tokens: expected 65535 at the most in an array of <u2"),
        "{}",
        outcome.stderr
    );
    let skipping = tool().run_on_input(&folder).args(["--dtype", "u16", "--on-error", "skip"]).outcome();
    assert_eq!(documents(&skipping.stdout)[1], [0; 0]);
    for (dtype, descr) in [("u32", "<u4"), ("i32", "<i4"), ("i64", "<i8")] {
        let arrays = read(&file(&folder, &["--dtype", dtype]));
        assert!(
            arrays[0].descr == descr
                && arrays[0].documents == blocks.iter().flat_map(|array| array.documents.clone()).collect::<Vec<_>>()
        );
    }
}

#[test]
fn too_many_documents_for_one_array_are_an_error() {
    let folder = tool().folder_of(0, "{\"text\": \"\"}\n".repeat(65_535).as_bytes());
    folder.write("tokens.npy", "");
    let path = folder.path().join("tokens.npy");
    let outcome =
        tool().run_on_input(&folder).args(["--dtype", "u16"]).into_file(path.to_str().expect("it is UTF-8")).outcome();
    outcome.expect(1);
    assert_eq!(outcome.stderr, "jsonl-tokenize: more than 65534 documents: expected no more in one array of <u2\n");
    assert_eq!(read(&tool().run_on_input(&folder).args(["--dtype", "u16"]).output()).len(), 2);
}

#[test]
fn a_vocabulary_that_does_not_fit_is_an_error() {
    let file = str::from_utf8(LLAMA).expect("it is text");
    let added = file.replacen("\"added_tokens\":[", "\"added_tokens\":[{\"id\":70000,\"content\":\"<far>\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":false,\"special\":true},", 1);
    let mut json: serde_json::Value = serde_json::from_str(&added).expect("it is JSON");
    json["model"]["vocab"]["<far>"] = 70000.into();
    let folder = tool().folder(3);
    folder.write("tokenizer.json", json.to_string());
    let outcome = tool().run_on_input(&folder).args(["--dtype", "u16"]).outcome();
    outcome.expect_refusal(1, &["the vocabulary has ids up to 70000: expected 65535 at the most in an array of <u2"]);
    assert_eq!(read(&tool().run_on_input(&folder).output())[0].descr, "<u4");
}

#[test]
fn special_tokens_go_where_they_are_asked_for() {
    let bare = &tokens(&["--no-special"], &["the cat", ""]);
    let around =
        |before: &[u64], behind: &[u64]| bare.iter().map(|ids| [before, ids, behind].concat()).collect::<Vec<_>>();
    assert!(bare[0].len() > 1 && bare[1].is_empty());
    let texts = ["the cat", ""];
    assert_eq!(tokens(&[], &texts), around(&[1], &[]));
    assert_eq!(tokens(&["--bos", "yes", "--eos"], &texts), around(&[1], &[2]));
    assert_eq!(tokens(&["--eos"], &texts), around(&[1], &[2]));
    assert_eq!(tokens(&["--bos", "no"], &texts), around(&[], &[]));
    assert_eq!(tokens(&["--bos", "no", "--eos"], &texts), around(&[], &[2]));
    assert_eq!(tokens(&["--eos", "--no-special"], &texts), around(&[], &[2]));
    assert_eq!(tokens(&["--bos", "yes", "--no-special"], &texts), around(&[1], &[]));
    assert_eq!(tokens(&["--bos-token", "</s>"], &texts), around(&[2], &[]));
    assert_eq!(tokens(&["--eos-token", "<unk>"], &texts), around(&[1], &[0]));
    let short = ["--bos", "yes", "--eos", "--max-length", "3"];
    assert_eq!(tokens(&short, &texts), [vec![1, bare[0][0], 2], vec![1, 2]]);
    let outcome = tool().run_on_input(&tool().folder(3)).args(["--bos", "yes", "--eos", "--max-length", "1"]).outcome();
    outcome.expect_refusal(2, &["--max-length 1: no room for the 2 tokens around a text"]);
    let outcome = tool().run_on_input(&tool().folder(3)).args(["--bos", "no", "--bos-token", "<s>"]).outcome();
    outcome.expect_refusal(2, &["--bos-token"]);
    // One that the text has by itself is there once where it is asked for, and twice where the tokenizer puts its own.
    let begun = &["<s>the cat", "<s>"];
    let own = tokens(&["--bos", "no"], begun);
    assert_eq!((own[0][0], own[1].as_slice()), (1, &[1][..]));
    assert_eq!(tokens(&["--bos", "yes"], begun), own);
    assert_eq!(tokens(&["--bos", "yes", "--eos", "--max-length", "3"], begun), [vec![1, own[0][1], 2], vec![1, 2]]);
    assert_eq!(tokens(&[], begun), own.iter().map(|ids| [&[1], &ids[..]].concat()).collect::<Vec<_>>());
    // The files beside it say which; a name that is no token is refused.
    let folder = tool().folder_of(0, b"{\"text\": \"\"}\n");
    folder.write("tokenizer_config.json", r#"{"bos_token": {"content": "</s>"}, "eos_token": "<none>"}"#);
    assert_eq!(documents(&tool().run_on_input(&folder).args(["--bos", "yes"]).output()), [[2]]);
    let outcome = tool().run_on_input(&folder).args(["--eos"]).outcome();
    outcome.expect_refusal(1, &["tokenizer_config.json: eos_token: \"<none>\" is no token"]);
}

#[test]
fn shards_put_together_are_the_whole() {
    for rows in [0, 1, 5, 2000] {
        let (folder, whole) = (tool().folder(rows), documents(&tool().output(rows)));
        for count in [1, 3, 8] {
            let shard =
                |index: u32| tool().run_on_input(&folder).args(["--shard", &format!("{index}/{count}")]).output();
            assert!(
                documents(&(0..count).flat_map(shard).collect::<Vec<u8>>()) == whole,
                "{count} shards of {rows} rows"
            );
        }
    }
}

#[test]
fn skipped_records_are_documents_of_length_0() {
    let mut expected = documents(&tool().output(2000));
    expected[700].clear();
    let folder = tool().folder_of(2000, &with_line(&tool(), 2000, 700, b"{\"text\": 5}"));
    for threads in ["1", "3"] {
        let args = ["--on-error", "skip", "--stats", "stats", "--threads", threads];
        let outcome = tool().run_on_input(&folder).args(args).outcome();
        outcome.expect(0);
        assert!(documents(&outcome.stdout) == expected, "rows have shifted");
        let said = "jsonl-tokenize: skipped 1 bad of 2000 rows; the first: docs.jsonl:701: field \"text\": expected";
        assert!(outcome.stderr.starts_with(said), "{}", outcome.stderr);
        let stats: serde_json::Value = serde_json::from_slice(&folder.read("stats")).expect("it is JSON");
        let lengths = || expected.iter().map(Vec::len);
        assert_eq!((&stats["rows"], &stats["bad_rows"]), (&2000.into(), &1.into()));
        assert_eq!(
            (&stats["tokens"], &stats["tokens_longest"]),
            (&lengths().sum::<usize>().into(), &lengths().max().into())
        );
        let per_byte = stats["tokens"].as_f64().expect("a number") / stats["text_bytes"].as_f64().expect("a number");
        assert_eq!(stats["tokens_per_byte"].as_f64(), Some(per_byte));
    }
}

#[test]
fn a_run_that_does_not_end_leaves_an_array_that_is_not_complete() {
    let packed = packed::gzip(&corpus::documents(20_000).into_bytes());
    let folder = tool().folder_of(0, &packed[..packed.len() / 2]);
    folder.write("tokens.npy", "");
    let path = folder.path().join("tokens.npy");
    let outcome = tool().run_on_input(&folder).into_file(path.to_str().expect("it is UTF-8")).outcome();
    outcome.expect(1);
    let bytes = folder.read("tokens.npy");
    let header = String::from_utf8_lossy(&bytes[..128]).into_owned();
    assert!(bytes.len() > 128 && header.contains("(1099511627776,)"), "{header}");
    // Killed by its limit, also while lengths are put in front: 512 or 1024 bytes a block, as shells count.
    folder.write(INPUT, corpus::documents(3000));
    let whole = file(&folder, &[]).len();
    for limit in [1, 30, whole / 1024, whole / 512] {
        let script = format!("ulimit -f {limit}; exec jsonl-tokenize --tokenizer tokenizer.json {INPUT} >tokens.npy");
        let outcome = Run::shell(&script, &folder).outcome();
        if outcome.code.is_none() {
            assert!(String::from_utf8_lossy(&folder.read("tokens.npy")).contains("(1099511627776,)"), "{limit}");
        }
    }
}

#[test]
fn behind_other_arrays_a_stream_is_appended() {
    let folder = tool().folder(30);
    let command = "jsonl-tokenize --tokenizer tokenizer.json docs.jsonl";
    Run::shell(
        &format!("{command} >all.npy; {command} >>all.npy; {{ printf 'in front'; {command}; }} >other"),
        &folder,
    )
    .output();
    let once = documents(&tool().output(30));
    assert!(documents(&folder.read("all.npy")) == [once.clone(), once.clone()].concat());
    assert!(documents(folder.read("other").strip_prefix(b"in front").expect("it is still there")) == once);
}

#[test]
fn very_long_line_is_one_document_in_bounded_memory() {
    let folder = Folder::new();
    folder.write("tokenizer.json", GPT2);
    folder.write(INPUT, corpus::very_long_line());
    let outcome = tool().run_on_input(&folder).outcome();
    outcome.expect(0);
    assert_eq!(documents(&outcome.stdout).len(), 1);
    assert!(outcome.resident_max_kib < 16 * (200 << 10), "{} KiB", outcome.resident_max_kib);
}

#[test]
fn a_lone_surrogate_is_a_replacement_character() {
    let folder = tool().folder_of(0, b"{\"text\": \"a\\ud800b\"}\n");
    assert_eq!(documents(&tool().run_on_input(&folder).output()), tokens(&[], &["a\u{fffd}b"]));
}

#[test]
fn a_sentencepiece_model_is_a_tokenizer() {
    let folder = tool().folder_of(0, b"{\"text\": \"the cat\"}\n{\"text\": \"\"}\n");
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../lib/model/tests/data/tokens/bpe.model");
    folder.write("bpe.model", fs::read(data).expect("it is there"));
    let run = |args: &[&str]| {
        documents(&Run::new(tool().program, &folder).args(["--tokenizer", "bpe.model", INPUT]).args(args).output())
    };
    let bare = run(&[]);
    assert!(!bare[0].is_empty() && bare[1].is_empty());
    assert_eq!(run(&["--bos", "yes", "--eos"]), [[&[1], &bare[0][..], &[2]].concat(), vec![1, 2]]);
}

#[test]
fn a_tokenizer_is_asked_for() {
    tool().bare(&tool().folder(1)).args([INPUT]).outcome().expect_refusal(2, &["--tokenizer is needed"]);
}

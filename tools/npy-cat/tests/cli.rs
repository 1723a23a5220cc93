//! `npy-cat` keeps the contract of all tools that read vectors or tokens, and loses no byte.

use contract::folder::Folder;
use contract::npy::{self, Array};
use contract::packed;
use contract::run::Run;
use contract::streams::parts;
use contract::tool::{INPUT, Tool};
use contract::vectors::{array, half_array, input, rows};

fn tool() -> Tool {
    Tool {
        name: "npy-cat",
        program: env!("CARGO_BIN_EXE_npy-cat"),
        source: env!("CARGO_MANIFEST_DIR"),
        args: &[],
        side_files: &[],
        wrong_values: &[("--progress", "maybe")],
        prepare: |_, _| (),
        input,
    }
}

contract::holds!(tool: manual, files, streams);

contract::holds!(@tests tool documents: standard_input_is_a_file, reader_may_leave, progress_is_not_data);
contract::holds!(@tests tool vectors: arrays_and_files_are_one_stream);

mod of_tokens {
    fn tool() -> contract::tool::Tool {
        contract::tool::Tool { input: super::documents, ..super::tool() }
    }

    contract::holds!(tool: streams);
    contract::holds!(@tests tool documents: standard_input_is_a_file, reader_may_leave);
}

/// So many documents of 0 to 9 tokens, in arrays of 300.
fn documents(count: usize) -> Vec<u8> {
    let lengths: Vec<_> = (0..count as u16).map(|number| number % 10).collect();
    let arrays = lengths.chunks(300).map(contract::corpus::tokens);
    if count == 0 { contract::corpus::tokens(&[]) } else { arrays.collect::<Vec<_>>().concat() }
}

/// One array, as NumPy writes it.
fn array_of(descr: &str, shape: &str, bytes: &[u8]) -> Vec<u8> {
    [contract::vectors::header(descr, "False", shape), bytes.to_vec()].concat()
}

fn tokens(descr: &str, values: &[i64]) -> Vec<u8> {
    let bytes: Vec<_> = values.iter().flat_map(|value| value.to_le_bytes()[..npy::width(descr)].to_vec()).collect();
    array_of(descr, &format!("({},)", values.len()), &bytes)
}

/// What a run on these files writes into a file: one array.
fn into_file(folder: &Folder, files: &[&str]) -> Array {
    folder.write("out.npy", "");
    let path = folder.path().join("out.npy");
    tool().bare(folder).args(files).into_file(path.to_str().expect("it is UTF-8")).output();
    let mut arrays = npy::read(&folder.read("out.npy"));
    assert_eq!((arrays.len(), arrays[0].in_stream), (1, false));
    arrays.remove(0)
}

#[test]
fn a_file_gets_one_array_and_a_pipe_a_stream() {
    for count in [0, 1, 2500] {
        let expected: Vec<u8> = npy::read(&input(count)).into_iter().flat_map(|array| array.bytes).collect();
        let folder = tool().folder_of(9, &parts(&npy::read(&input(count))).concat());
        let found = into_file(&folder, &[INPUT]);
        assert_eq!((found.descr.as_str(), &found.shape[..]), ("<f4", &[count as u64, 8][..]));
        assert!(found.bytes == expected);
        let stream = tool().run_on_input(&folder).output();
        if count <= 1 {
            assert!(stream == parts(&npy::read(&input(count))).concat(), "the bytes of a stream do not change");
        }
        let piped = npy::read(&stream);
        assert!(piped.iter().all(|array| array.in_stream));
        assert!(piped.into_iter().flat_map(|array| array.bytes).collect::<Vec<_>>() == expected);
    }
}

/// Also values that are no numbers, which a detour through floats may change.
#[test]
fn bytes_of_every_type_stay() {
    for (descr, width) in
        [("<f2", 2), ("<f4", 4), ("<f8", 8), ("<u2", 2), ("<u4", 4), ("<i4", 4), ("<i8", 8), ("|u1", 1), ("|i1", 1)]
    {
        let bytes: Vec<u8> = (0..3 * 5 * width).map(|at| (at * 89 % 256) as u8 | 0xf0).collect();
        let folder = Folder::new();
        folder.write("a", array_of(descr, "(2, 5)", &bytes[..2 * 5 * width]));
        folder.write("b", packed::gzip(&array_of(descr, "(1, 5)", &bytes[2 * 5 * width..])));
        let found = into_file(&folder, &["a", "b"]);
        assert_eq!((found.descr.as_str(), &found.shape[..], found.bytes), (descr, &[3, 5][..], bytes));
    }
}

#[test]
fn other_rows_are_refused_before_anything_is_written() {
    let folder = Folder::new();
    folder.write("a", array(&rows(9)));
    folder.write("half", half_array(&rows(9)));
    folder.write("narrow", array(&[vec![1.0; 5]]));
    folder.write("tokens", tokens("<u2", &[1, 1, 7]));
    folder.write("cut", &array(&rows(9))[..200]);
    for (files, said) in [
        (["a", "half"], "half: array 0: rows of 8 of <f2: expected 8 of <f4, as a has"),
        (["a", "narrow"], "narrow: array 0: rows of 5 of <f4: expected 8 of <f4, as a has"),
        (["a", "tokens"], "tokens: array 0: shape [3]: expected two dimensions"),
        (["tokens", "a"], "a: the first array: type \"<f4\": expected integers"),
        (["a", "cut"], "cut: truncated: row 2 and all behind it are missing, 7 of its array"),
    ] {
        tool().bare(&folder).args(files).outcome().expect_refusal(1, &[said]);
    }
    let piped = tool().bare(&folder).args(["a", "-"]).stdin(half_array(&rows(9))).outcome();
    piped.expect(1);
    assert!(piped.stderr.contains("<stdin>: array 0: rows of 8 of <f2"), "{}", piped.stderr);
}

#[test]
fn fortran_order_becomes_c_order() {
    let columns: Vec<_> = [1, 3, 5, 2, 4, 6].iter().flat_map(|&value: &i32| value.to_le_bytes()).collect();
    let fortran = [contract::vectors::header("<i4", "True", "(3, 2)"), columns].concat();
    let folder = Folder::new();
    folder.write("f", &fortran);
    let found = into_file(&folder, &["f"]);
    assert_eq!((npy::integers("<i4", &found.bytes), found.shape), (vec![1, 2, 3, 4, 5, 6], vec![3, 2]));
    let piped = tool().bare(&folder).stdin(fortran).outcome();
    piped.expect_refusal(1, &["<stdin>: array 0: Fortran order: expected C order", "or a regular file"]);
}

#[test]
fn documents_become_one_array() {
    let folder = tool().folder_of(9, &parts(&npy::read(&documents(2000))).concat());
    folder.write("more", tokens("<u2", &[2, 1, 0, 65535]));
    let found = into_file(&folder, &[INPUT, "more"]);
    let values = npy::integers(&found.descr, &found.bytes);
    let lengths: Vec<_> = (0..2000).map(|number| number % 10).chain([1, 0]).collect();
    assert_eq!((found.descr.as_str(), values[0], &values[1..2003]), ("<u2", 2002, &lengths[..]));
    let ids = (0..2000_i64).collect::<Vec<_>>();
    let expected = ids.chunks(300).flat_map(|some| 1..=some.iter().map(|number| number % 10).sum::<i64>());
    assert!(values[2003..].iter().copied().eq(expected.chain([65535])));
    // A stream of the same.
    let piped = tool().bare(&folder).args([INPUT, "more"]).output();
    let blocks = npy::read(&piped);
    assert!(blocks.iter().all(|block| block.in_stream));
    assert_eq!(npy::totals(&blocks, 1), [2002, values.len() as u64 - 2003]);
    folder.write("stream", piped);
    assert!(into_file(&folder, &["stream"]) == found);
}

#[test]
fn documents_get_the_widest_type() {
    let folder = Folder::new();
    folder.write("a", tokens("<u2", &[1, 2, 7, 8]));
    folder.write("b", tokens("<i4", &[2, 0, 1, 70_000]));
    folder.write("c", tokens("<i8", &[0]));
    for (files, descr, expected) in [
        (&["a"][..], "<u2", &[1, 2, 7, 8][..]),
        (&["a", "b"], "<i4", &[3, 2, 0, 1, 7, 8, 70_000]),
        (&["b", "a"], "<i4", &[3, 0, 1, 2, 70_000, 7, 8]),
        (&["a", "c"], "<i8", &[1, 2, 7, 8]),
    ] {
        let found = into_file(&folder, files);
        assert_eq!((found.descr.as_str(), &npy::integers(descr, &found.bytes)[..]), (descr, expected), "{files:?}");
    }
    let both = [folder.read("a"), folder.read("b")].concat();
    let outcome = tool().bare(&folder).stdin(both.clone()).outcome();
    outcome.expect(1);
    let said = "<stdin>: document 3: token 1: expected 0 to 65535, as <u2 has, found 70000";
    assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
    assert_eq!(tool().bare(&folder).args(["c", "-"]).stdin(both).outcome().code, Some(0));
}

#[test]
fn more_documents_than_a_type_counts_make_it_wider() {
    let folder = Folder::new();
    let many = [&[40_000][..], &[1; 40_000], &[9; 40_000]].concat();
    folder.write("a", tokens("<u2", &many));
    let found = into_file(&folder, &["a", "a"]);
    let values = npy::integers(&found.descr, &found.bytes);
    assert_eq!((found.descr.as_str(), values[0], values.len()), ("<u4", 80_000, 160_001));
    assert!(values[1..80_001].iter().all(|&length| length == 1) && values[80_001..].iter().all(|&id| id == 9));
}

#[test]
fn stats_say_what_was_put_together() {
    let folder = tool().folder(2500);
    let stats = |files: &[&str]| -> serde_json::Value {
        tool().bare(&folder).args(files).args(["--stats", "stats"]).output();
        serde_json::from_slice(&folder.read("stats")).expect("it is JSON")
    };
    let of_rows = stats(&[INPUT]);
    assert_eq!((&of_rows["rows"], &of_rows["dim"], &of_rows["dtype"]), (&2500.into(), &8.into(), &"<f4".into()));
    assert_eq!(of_rows["bytes"], folder.read(INPUT).len());
    folder.write("tokens", tokens("<u2", &[2, 1, 2, 7, 8, 9]));
    let of_tokens = stats(&["tokens"]);
    assert_eq!((&of_tokens["rows"], &of_tokens["tokens"]), (&2.into(), &3.into()));
}

/// What `tee` keeps is a stream, which NumPy refuses; the recipe of the manual makes an array of it, and shell pipes in
/// between change nothing.
#[test]
fn a_kept_stream_becomes_the_array_that_a_file_would_have_got() {
    let folder = tool().folder(2500);
    let script = format!(
        "npy-cat {INPUT} > whole.npy; npy-cat {INPUT} | tee stream | npy-cat > again.npy; npy-cat < stream > array.npy"
    );
    Run::shell(&script, &folder).output();
    let whole = folder.read("whole.npy");
    assert!(folder.read("again.npy") == whole && folder.read("array.npy") == whole);
    assert_eq!(npy::header(&folder.read("stream")).version, [83, 1]);
    assert_eq!(npy::header(&whole).version, [1, 0]);
}

//! Arrays and streams are read alike, and a stream that is not whole is an error.
//!
//! For a tool that reads vectors or tokens: its [`Tool::input`] is arrays. The streams here are made of them as
//! corpus-utils(7) says, and not as the programs write them.

use crate::npy::{self, Array};
use crate::packed;
use crate::tool::{INPUT, Tool};

/// A stream in parts: its beginning, a block for each array that has rows, its end.
pub fn parts(arrays: &[Array]) -> Vec<Vec<u8>> {
    let first = arrays.first().expect("a stream has a type");
    let no_rows = [&[0], &first.shape[1..]].concat();
    let blocks = arrays.iter().filter(|array| array.shape[0] > 0);
    let blocks = blocks.map(|array| [block(&array.descr, &array.shape, None), array.bytes.clone()].concat());
    let end = block(&first.descr, &no_rows, Some(&npy::totals(arrays, no_rows.len())));
    std::iter::once(block(&first.descr, &no_rows, None)).chain(blocks).chain([end]).collect()
}

fn block(descr: &str, shape: &[u64], total: Option<&[u64]>) -> Vec<u8> {
    let total = total.map_or(String::new(), |total| format!("'total': {}, ", tuple(total)));
    let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {}, {total}}}", tuple(shape));
    [b"\x93NUMPYS\x01\x76\x00", format!("{text:<117}\n").as_bytes()].concat()
}

fn tuple(numbers: &[u64]) -> String {
    let numbers: Vec<_> = numbers.iter().map(u64::to_string).collect();
    if numbers.len() == 1 { format!("({},)", numbers[0]) } else { format!("({})", numbers.join(", ")) }
}

/// The arrays of two inputs, of so many rows.
fn arrays(tool: &Tool, rows: [usize; 2]) -> Vec<Array> {
    rows.into_iter().flat_map(|rows| npy::read(&(tool.input)(rows))).collect()
}

/// What a run on these bytes prints, which hold so many rows.
fn output(tool: &Tool, rows: usize, bytes: &[u8]) -> Vec<u8> {
    tool.run_on_input(&tool.folder_of(rows, bytes)).output()
}

/// Runs on these bytes, in a file and in a pipe, end with 1, name the input and say one of these.
fn refused(tool: &Tool, bytes: &[u8], said: &[&str]) {
    let folder = tool.folder_of(9, bytes);
    for (run, name) in [(tool.run_on_input(&folder), INPUT), (tool.run(&folder).stdin(bytes), "<stdin>")] {
        let outcome = run.outcome();
        outcome.expect(1);
        let found = outcome.stderr.strip_prefix(&format!("{}: {name}: ", tool.name)).unwrap_or_default();
        assert!(said.iter().any(|said| found.contains(said)), "{said:?}: {}", outcome.stderr);
    }
}

/// However arrays are wrapped and put together, they are the same rows.
pub fn streams_are_read_as_arrays_are(tool: &Tool) {
    let all = arrays(tool, [2000, 9]);
    let bare = [(tool.input)(2000), (tool.input)(9)].concat();
    let expected = output(tool, 2009, &bare);
    let (one, two) = (parts(&all).concat(), [parts(&all[..1]).concat(), parts(&all[1..]).concat()].concat());
    let mixed = [(tool.input)(2000), parts(&npy::read(&(tool.input)(9))).concat()].concat();
    for bytes in [&one, &two, &mixed, &packed::zstd(&two), &packed::in_parts(packed::gzip, &one)] {
        assert!(output(tool, 2009, bytes) == expected);
        assert!(tool.run(&tool.folder(2009)).stdin(bytes.clone()).output() == expected, "a pipe");
    }
    let folder = tool.folder_of(2009, &parts(&npy::read(&(tool.input)(2000))).concat());
    folder.write("more", parts(&npy::read(&(tool.input)(9))).concat());
    assert!(tool.run_on_input(&folder).args(["more"]).output() == expected, "files");
}

/// Wherever its writer was killed, a stream is refused, also with another behind it.
pub fn killed_writers_are_seen(tool: &Tool) {
    let parts = parts(&arrays(tool, [2, 3]));
    let (stream, said) = (parts.concat(), ["truncated", "without its end", "empty: ", "the file ends"]);
    (0..stream.len()).for_each(|end| refused(tool, &stream[..end], &said));
    let boundaries = (1..parts.len()).map(|count| parts[..count].concat());
    for cut in boundaries.chain([stream[..stream.len() - 1].to_vec(), stream[..200].to_vec()]) {
        refused(
            tool,
            &[&cut[..], &stream].concat(),
            &["without its end", "expected", "lengths", "header", "documents"],
        );
    }
}

/// Nothing at all is no array and no stream.
pub fn nothing_is_refused(tool: &Tool) {
    for bytes in [Vec::new(), packed::gzip(b""), packed::zstd(b"")] {
        refused(tool, &bytes, &["empty: an array or a stream is not"]);
    }
    let folder = tool.folder(9);
    folder.write("nothing", "");
    let outcome = tool.run_on_input(&folder).args(["nothing"]).outcome();
    outcome.expect(1);
    assert!(outcome.stderr.contains(": nothing: empty: "), "{}", outcome.stderr);
}

/// Blocks that are missing, doubled or out of order are refused.
pub fn streams_that_are_not_whole_are_refused(tool: &Tool) {
    let all = arrays(tool, [2, 3]);
    let (array, parts) = ((tool.input)(2), parts(&all));
    let [begin, one, two, end] = &parts[..] else { panic!("{} parts", parts.len()) };
    let (descr, dimensions) = (&all[0].descr, all[0].shape.len());
    let total = npy::totals(&all, dimensions);
    let of = |total: &[u64]| block(descr, &[&[0], &all[0].shape[1..]].concat(), Some(total));
    let more: Vec<_> = total.iter().map(|total| total + 1).collect();
    let not_whole = ["a stream that is not whole: "];
    refused(tool, &[&begin[..], one, end].concat(), &not_whole);
    refused(tool, &[&begin[..], one, two, two, end].concat(), &not_whole);
    refused(tool, &[&begin[..], one, two, &of(&more)].concat(), &not_whole);
    refused(tool, &[&begin[..], one, two, &of(&[])].concat(), &not_whole);
    refused(tool, &[&begin[..], one, two, &of(&[&total[..], &[0]].concat())].concat(), &not_whole);
    refused(tool, &[&one[..], two, end].concat(), &["without its beginning"]);
    refused(tool, &[&begin[..], one, two, end, end].concat(), &["without its beginning"]);
    refused(tool, &[&begin[..], begin, one, two, end].concat(), &["without its end"]);
    refused(tool, &[&begin[..], one, &array, end].concat(), &["without its end"]);
    refused(tool, &[&begin[..], one, two, end, b"\n"].concat(), &["expected a .npy array"]);
}

/// Whatever byte of a header changes, the stream is refused or is the same.
pub fn changed_streams_are_the_same_or_refused(tool: &Tool) {
    let parts = parts(&arrays(tool, [2, 3]));
    let good = parts.concat();
    let expected = output(tool, 5, &good);
    let starts = parts.iter().scan(0, |start, part| Some(std::mem::replace(start, *start + part.len())));
    let places = starts.flat_map(|start| start..start + 128);
    for (at, byte) in places.zip([0, b'9', 255, b'\'', b'1', b' ', 1].into_iter().cycle()) {
        let mut bytes = good.clone();
        bytes[at] = byte;
        let outcome = tool.run_on_input(&tool.folder_of(5, &bytes)).outcome();
        let same = outcome.code == Some(0) && outcome.stdout == expected;
        assert!(same || outcome.code == Some(1), "byte {at} is {byte}: {:?} {}", outcome.code, outcome.stderr);
    }
}

/// The shards of a stream are those of the same array.
pub fn shards_of_a_stream_are_those_of_its_rows(tool: &Tool) {
    if !tool.has("--shard") {
        return;
    }
    let input = (tool.input)(2000);
    let (arrays, streams) = (npy::read(&input), [(tool.input)(0), parts(&npy::read(&input)).concat()].concat());
    let folder = tool.folder_of(2000, &input);
    folder.write("stream", parts(&arrays).concat());
    folder.write("streams", streams);
    for (index, count) in [(0, 1), (0, 3), (1, 3), (2, 3), (7, 8)] {
        let shard = |name: &str| tool.run(&folder).args([name, "--shard", &format!("{index}/{count}")]).output();
        let expected = shard(INPUT);
        assert!(shard("stream") == expected && shard("streams") == expected, "{index}/{count}");
    }
    folder.write("cut", parts(&arrays)[..1].concat());
    let outcome = tool.run(&folder).args(["cut", "--shard", "0/2"]).outcome();
    outcome.expect_refusal(1, &["cut: ", "without its end"]);
}

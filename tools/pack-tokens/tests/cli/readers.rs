//! Readers of the formats, each written from its specification and not from what the tool writes.

use contract::folder::Folder;
use contract::npy;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// One sequence, as far as a format keeps it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sample {
    /// `prev_token_ids`
    pub prev: Vec<i64>,
    /// `token_ids`
    pub tokens: Vec<i64>,
    /// `lengths`
    pub lengths: Vec<i64>,
    /// `domain`
    pub domain: String,
}

fn little(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// Integers of a type that NumPy calls so.
pub fn integers(kind: &str, bytes: &[u8]) -> Vec<i64> {
    npy::integers(&format!("<{kind}"), bytes)
}

/// The rows of arrays and streams one after another.
pub fn rows(bytes: &[u8]) -> Vec<Vec<i64>> {
    let rows = |array: npy::Array| -> Vec<Vec<i64>> {
        let values = npy::integers(&array.descr, &array.bytes);
        values.chunks(array.shape[1] as usize).map(<[i64]>::to_vec).collect()
    };
    npy::read(bytes).into_iter().flat_map(rows).collect()
}

/// Lines of JSON.
pub fn lines(bytes: &[u8]) -> Vec<Sample> {
    let text = str::from_utf8(bytes).expect("it is text");
    text.lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).expect("it is JSON");
            let list = |name: &str| {
                let list = line[name].as_array().map(Vec::as_slice).unwrap_or_default();
                list.iter().map(|number| number.as_i64().expect("a number")).collect()
            };
            let domain = line["domain"].as_str().expect("a label").to_string();
            Sample { prev: list("prev_token_ids"), tokens: list("token_ids"), lengths: list("lengths"), domain }
        })
        .collect()
}

/// An MDS dataset: its index, and the samples of its shards in order.
pub fn mds(folder: &Path) -> (Value, Vec<Sample>) {
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap_or_else(|why| panic!("{name}: {why}"));
    let index: Value = serde_json::from_slice(&read("index.json")).expect("it is JSON");
    assert_eq!(index["version"], 2);
    let mut samples = Vec::new();
    for shard in index["shards"].as_array().expect("there are shards") {
        let raw = &shard["raw_data"];
        let bytes = match shard["zip_data"]["basename"].as_str() {
            Some(name) => {
                let packed = read(name);
                assert_eq!(shard["zip_data"]["bytes"], packed.len());
                zstd::decode_all(&packed[..]).expect("it is zstd")
            }
            None => read(raw["basename"].as_str().expect("a name")),
        };
        assert_eq!(raw["bytes"], bytes.len());
        let word = |at: usize| little(&bytes[at..at + 4]) as usize;
        let count = word(0);
        assert_eq!(shard["samples"], count);
        let config: Value = serde_json::from_slice(&bytes[8 + 4 * count..word(4)]).expect("the configuration is JSON");
        for (key, value) in config.as_object().expect("it is an object") {
            assert_eq!(&shard[key], value, "{key}");
        }
        assert_eq!(word(4 + 4 * count), bytes.len());
        let limit = config["size_limit"].as_u64().expect("a number") as usize;
        assert!(bytes.len() <= limit || count == 1, "{} bytes, over {limit}", bytes.len());
        samples.extend((0..count).map(|place| sample(&config, &bytes[word(4 + 4 * place)..word(8 + 4 * place)])));
    }
    (index, samples)
}

fn sample(config: &Value, bytes: &[u8]) -> Sample {
    let names = config["column_names"].as_array().expect("a list");
    let mut at = 4 * names.len();
    let mut sample = Sample::default();
    for (place, name) in names.iter().enumerate() {
        let size = little(&bytes[4 * place..4 * place + 4]) as usize;
        let value = &bytes[at..at + size];
        at += size;
        let array = match config["column_encodings"][place].as_str().expect("text") {
            "str" => {
                assert_eq!(name, "domain");
                sample.domain = str::from_utf8(value).expect("it is text").to_string();
                continue;
            }
            "ndarray" => ndarray(value),
            "pkl" => unpickle(value),
            other => panic!("{other}"),
        };
        match name.as_str().expect("text") {
            "token_ids" => sample.tokens = array,
            "prev_token_ids" => sample.prev = array,
            "lengths" => sample.lengths = array,
            other => panic!("{other}"),
        }
    }
    assert_eq!(at, bytes.len());
    sample
}

/// Mosaic's encoding `ndarray` with nothing fixed.
fn ndarray(bytes: &[u8]) -> Vec<i64> {
    let kind = match bytes[0] {
        16 => "u2",
        32 => "u4",
        33 => "i4",
        65 => "i8",
        other => panic!("type {other}"),
    };
    let (dimensions, width) = (bytes[1] >> 2, 1 << (bytes[1] & 3));
    assert_eq!(dimensions, 1);
    let values = integers(kind, &bytes[2 + width..]);
    assert_eq!(little(&bytes[2..2 + width]) as usize, values.len());
    values
}

/// What a pickle is made of, as far as arrays need it.
#[derive(Debug, Clone)]
enum Pickled {
    Mark,
    /// `None`, and arrays that have no values yet.
    Other,
    Text(String),
    Bytes(Vec<u8>),
    Integer(i64),
    Tuple(Vec<Pickled>),
    Kind(String),
    Array(Vec<i64>),
}

/// A pickled NumPy array of one dimension: a stack machine for the opcodes of protocols 3 and 4 that occur in one.
pub fn unpickle(bytes: &[u8]) -> Vec<i64> {
    use Pickled::*;
    let (mut at, mut stack, mut memory) = (0, Vec::<Pickled>::new(), Vec::new());
    let take = |at: &mut usize, count: usize| {
        *at += count;
        &bytes[*at - count..*at]
    };
    loop {
        let code = take(&mut at, 1)[0];
        let popped = |stack: &mut Vec<Pickled>, count: usize| stack.split_off(stack.len() - count);
        match code {
            0x80 => drop(take(&mut at, 1)),
            0x95 => drop(take(&mut at, 8)),
            b'c' => {
                let line = |at: &mut usize| {
                    let end = *at + bytes[*at..].iter().position(|&byte| byte == b'\n').expect("a line");
                    let text = String::from_utf8_lossy(&bytes[*at..end]).into_owned();
                    *at = end + 1;
                    text
                };
                let (module, name) = (line(&mut at), line(&mut at));
                stack.push(Text(format!("{module}.{name}")));
            }
            0x93 => {
                let names = popped(&mut stack, 2);
                let [Text(module), Text(name)] = &names[..] else { panic!("{names:?}") };
                stack.push(Text(format!("{module}.{name}")));
            }
            b'K' => stack.push(Integer(take(&mut at, 1)[0].into())),
            b'M' => stack.push(Integer(little(take(&mut at, 2)) as i64)),
            b'J' => stack.push(Integer(i64::from(little(take(&mut at, 4)) as u32 as i32))),
            b'C' => {
                let size = take(&mut at, 1)[0].into();
                stack.push(Bytes(take(&mut at, size).to_vec()));
            }
            b'B' => {
                let size = little(take(&mut at, 4)) as usize;
                stack.push(Bytes(take(&mut at, size).to_vec()));
            }
            0x8c | b'X' => {
                let size = little(take(&mut at, if code == b'X' { 4 } else { 1 })) as usize;
                stack.push(Text(String::from_utf8_lossy(take(&mut at, size)).into_owned()));
            }
            b'N' => stack.push(Other),
            0x88 | 0x89 => stack.push(Integer((code == 0x88).into())),
            b'(' => stack.push(Mark),
            0x85..=0x87 => {
                let items = popped(&mut stack, usize::from(code - 0x84));
                stack.push(Tuple(items));
            }
            b't' => {
                let mark = stack.iter().rposition(|item| matches!(item, Mark)).expect("a mark");
                let items = stack.split_off(mark + 1);
                stack.pop();
                stack.push(Tuple(items));
            }
            0x94 => memory.push(stack.last().cloned().expect("something to remember")),
            b'h' => stack.push(memory[usize::from(take(&mut at, 1)[0])].clone()),
            b'R' => {
                let call = popped(&mut stack, 2);
                let [Text(name), Tuple(arguments)] = &call[..] else { panic!("{call:?}") };
                stack.push(match (name.as_str(), &arguments[..]) {
                    ("numpy.dtype", [Text(kind), ..]) => Kind(kind.clone()),
                    (name, _) if name.ends_with("multiarray._reconstruct") => Other,
                    other => panic!("{other:?}"),
                });
            }
            b'b' => {
                let build = popped(&mut stack, 2);
                stack.push(match &build[..] {
                    [Kind(kind), Tuple(state)] => {
                        assert!(matches!(&state[1], Text(order) if order == "<"), "{state:?}");
                        Kind(kind.clone())
                    }
                    [Other, Tuple(state)] => {
                        let [Integer(1), Tuple(shape), Kind(kind), Integer(0), Bytes(values)] = &state[..] else {
                            panic!("{state:?}")
                        };
                        let values = integers(kind, values);
                        assert!(matches!(shape[..], [Integer(length)] if length == values.len() as i64));
                        Array(values)
                    }
                    other => panic!("{other:?}"),
                });
            }
            b'.' => {
                assert_eq!(at, bytes.len());
                let Some(Array(values)) = stack.pop() else { panic!("no array") };
                return values;
            }
            other => panic!("opcode {other:#x} at {at}"),
        }
    }
}

/// Megatron's indexed dataset: type, sequences, document boundaries.
pub fn megatron(folder: &Folder, prefix: &str) -> (u8, Vec<Vec<i64>>, Vec<u64>) {
    let (bin, idx) = (folder.read(&format!("{prefix}.bin")), folder.read(&format!("{prefix}.idx")));
    assert_eq!(idx[..9], *b"MMIDIDX\0\0");
    assert_eq!(little(&idx[9..17]), 1);
    let kind = match idx[17] {
        4 => "i4",
        5 => "i8",
        8 => "u2",
        other => panic!("type {other}"),
    };
    let (sequences, boundaries) = (little(&idx[18..26]) as usize, little(&idx[26..34]) as usize);
    let (lengths, rest) = idx[34..].split_at(4 * sequences);
    let (starts, ends) = rest.split_at(8 * sequences);
    assert_eq!(ends.len(), 8 * boundaries);
    let width: usize = kind[1..].parse().expect("a width");
    let mut at = 0;
    let sequences = lengths.chunks(4).zip(starts.chunks(8)).map(|(length, start)| {
        assert_eq!(little(start), at as u64, "sequences stand one behind the other");
        at += little(length) as usize * width;
        integers(kind, &bin[little(start) as usize..at])
    });
    let sequences = sequences.collect();
    assert_eq!(at, bin.len());
    (idx[17], sequences, ends.chunks(8).map(little).collect())
}

/// A table of a FlatBuffer.
#[derive(Clone, Copy)]
struct Table<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Table<'a> {
    fn root(bytes: &'a [u8]) -> Table<'a> {
        Table { bytes, at: little(&bytes[..4]) as usize }
    }

    /// Where a field is, from the start of the buffer.
    fn field(self, number: usize) -> Option<usize> {
        let back = little(&self.bytes[self.at..self.at + 4]) as u32 as i32;
        let vtable = (self.at as i64 - i64::from(back)) as usize;
        let size = little(&self.bytes[vtable..vtable + 2]) as usize;
        let slot = 4 + 2 * number;
        let offset = if slot < size { little(&self.bytes[vtable + slot..vtable + slot + 2]) as usize } else { 0 };
        (offset > 0).then_some(self.at + offset)
    }

    fn integer(self, number: usize, width: usize) -> u64 {
        self.field(number).map_or(0, |at| {
            assert_eq!(at % width, 0, "fields are aligned");
            little(&self.bytes[at..at + width])
        })
    }

    fn follow(self, at: usize) -> usize {
        at + little(&self.bytes[at..at + 4]) as usize
    }

    fn table(self, number: usize) -> Table<'a> {
        Table { at: self.follow(self.field(number).expect("the field is there")), ..self }
    }

    /// Where a vector's items begin, and how many.
    fn vector(self, number: usize) -> (usize, usize) {
        let at = self.follow(self.field(number).expect("the field is there"));
        (at + 4, little(&self.bytes[at..at + 4]) as usize)
    }

    fn tables(self, number: usize) -> Vec<Table<'a>> {
        let (start, count) = self.vector(number);
        (0..count).map(|place| Table { at: self.follow(start + 4 * place), ..self }).collect()
    }

    fn text(self, number: usize) -> String {
        let (start, length) = self.vector(number);
        String::from_utf8_lossy(&self.bytes[start..start + length]).into_owned()
    }

    fn pairs(self, number: usize) -> Vec<(usize, usize)> {
        let (start, count) = self.vector(number);
        assert_eq!(start % 8, 0, "structures are aligned");
        let word = |at: usize| little(&self.bytes[at..at + 8]) as usize;
        (0..count).map(|place| (word(start + 16 * place), word(start + 16 * place + 8))).collect()
    }
}

/// A column of an Arrow stream: rows of integers or of text.
pub type Columns = BTreeMap<String, Vec<(Vec<i64>, String)>>;

/// An Arrow IPC stream of lists of integers and of text.
pub fn arrow(bytes: &[u8]) -> Columns {
    let (mut at, mut columns) = (0, Columns::new());
    let mut fields: Vec<(String, Option<String>)> = Vec::new();
    loop {
        assert_eq!(bytes[at..at + 4], [0xff; 4], "every message begins with the mark");
        let size = little(&bytes[at + 4..at + 8]) as usize;
        at += 8;
        if size == 0 {
            assert_eq!(at, bytes.len(), "nothing is behind the end");
            return columns;
        }
        assert_eq!((at + size) % 8, 0, "bodies are aligned");
        let message = Table::root(&bytes[at..at + size]);
        assert_eq!(message.integer(0, 2), 4, "version 5");
        at += size;
        let body = &bytes[at..at + message.integer(3, 8) as usize];
        at += body.len();
        match message.integer(1, 1) {
            1 => {
                for field in message.table(2).tables(1) {
                    let children = field.tables(5);
                    let integers = match (field.integer(2, 1), &children[..]) {
                        (12, [item]) => {
                            let width = item.table(3).integer(0, 4) / 8;
                            Some(format!("{}{width}", if item.table(3).integer(1, 1) == 1 { 'i' } else { 'u' }))
                        }
                        (5, []) => None,
                        (other, _) => panic!("type {other}"),
                    };
                    columns.insert(field.text(0), Vec::new());
                    fields.push((field.text(0), integers));
                }
            }
            3 => {
                let batch = message.table(2);
                let rows = batch.integer(0, 8) as usize;
                let mut nodes = batch.pairs(1).into_iter();
                let mut buffers = batch.pairs(2).into_iter().map(|(start, length)| {
                    assert_eq!(start % 8, 0, "buffers are aligned");
                    &body[start..start + length]
                });
                for (name, kind) in &fields {
                    assert_eq!(nodes.next(), Some((rows, 0)));
                    buffers.next();
                    let ends = integers("i4", buffers.next().expect("offsets"));
                    assert_eq!(ends.len(), rows + 1);
                    if kind.is_some() {
                        assert_eq!(nodes.next(), Some((ends[rows] as usize, 0)));
                        buffers.next();
                    }
                    let values = buffers.next().expect("values");
                    let row = |ends: &[i64]| {
                        let (start, end) = (ends[0] as usize, ends[1] as usize);
                        match kind {
                            Some(kind) => (integers(kind, values)[start..end].to_vec(), String::new()),
                            None => (Vec::new(), String::from_utf8_lossy(&values[start..end]).into_owned()),
                        }
                    };
                    columns.get_mut(name).expect("a column").extend(ends.windows(2).map(row));
                }
            }
            other => panic!("message {other}"),
        }
    }
}

//! The Arrow IPC stream: a schema, record batches, and a mark for the end.
//!
//! A message is a continuation mark, the size of its metadata, the metadata (a FlatBuffer), and a body of buffers.
//! Columns of integers are lists, the label is UTF-8; nothing is null. Only these few kinds of message are ever
//! written, so they are laid out here and not by the crate arrow-ipc.

use super::Opening;
use dataset::packing::Sequence;
use dataset::writing::Writer;
use dataset::{DOMAIN, LENGTHS, PREV, TOKENS};
use pipe::failure::Failure;
use pipe::output::Output;
use pipe::tokens::Dtype;

/// Bytes of values of a batch, unless one sequence has more.
const BATCH: usize = 1 << 20;

/// Buffers of a body begin at multiples of this, as Arrow recommends.
const ALIGN: usize = 64;

// The numbers of the schemas Message.fbs and Schema.fbs of Arrow's format.
const VERSION_5: i16 = 4;
const HEADER_SCHEMA: u8 = 1;
const HEADER_RECORD_BATCH: u8 = 3;
const TYPE_INT: u8 = 2;
const TYPE_UTF8: u8 = 5;
const TYPE_LIST: u8 = 12;

/// A column of a batch: where each row ends in its values.
struct Column {
    name: &'static str,
    /// The type of its integers; `None`: text.
    dtype: Option<Dtype>,
    ends: Vec<u32>,
    values: Vec<u8>,
}

/// Writes the stream.
struct ArrowWriter {
    output: Output,
    columns: Vec<Column>,
}

/// Writes the schema.
///
/// # Errors
/// It cannot be written.
pub fn open(opening: &Opening) -> Result<Box<dyn Writer>, Failure> {
    let (mut output, columns, dtype) = (opening.output()?, opening.columns(), opening.dtype);
    let column = |name, dtype| Column { name, dtype, ends: vec![0], values: Vec::new() };
    let mut list = vec![column(TOKENS, Some(dtype))];
    list.extend(columns.prev.then(|| column(PREV, Some(dtype))));
    list.extend(columns.lengths.then(|| column(LENGTHS, Some(Dtype::I32))));
    list.push(column(DOMAIN, None));
    output.write(&message(&schema(&list)))?;
    Ok(Box::new(ArrowWriter { output, columns: list }))
}

impl ArrowWriter {
    fn write_batch(&mut self) -> Result<(), Failure> {
        let rows = self.columns[0].ends.len() - 1;
        let mut body = Vec::new();
        let (mut nodes, mut buffers) = (Vec::new(), Vec::new());
        for column in &mut self.columns {
            let offsets: Vec<u8> = column.ends.iter().flat_map(|end| end.to_le_bytes()).collect();
            nodes.push([rows as i64, 0]);
            buffers.push([body.len() as i64, 0]);
            push_buffer(&offsets, &mut body, &mut buffers);
            if column.dtype.is_some() {
                nodes.push([i64::from(column.ends[rows]), 0]);
                buffers.push([body.len() as i64, 0]);
            }
            push_buffer(&column.values, &mut body, &mut buffers);
            column.ends.truncate(1);
            column.values.clear();
        }
        self.output.write(&message(&record_batch(rows as i64, &nodes, &buffers, body.len() as i64)))?;
        self.output.write(&body)
    }
}

impl Writer for ArrowWriter {
    fn write(&mut self, sequence: &Sequence, domain: &str) -> Result<(), Failure> {
        for column in &mut self.columns {
            let numbers = match column.name {
                TOKENS => sequence.tokens,
                PREV => sequence.context,
                _ => sequence.lengths,
            };
            let added = match column.dtype {
                Some(dtype) => {
                    dtype.write(numbers, &mut column.values);
                    numbers.len()
                }
                None => {
                    column.values.extend(domain.bytes());
                    domain.len()
                }
            };
            let end = column.ends.last().copied().unwrap_or(0) + added as u32;
            column.ends.push(end);
        }
        let size: usize = self.columns.iter().map(|column| column.values.len()).sum();
        if size >= BATCH { self.write_batch() } else { Ok(()) }
    }

    fn finish(mut self: Box<Self>) -> Result<(), Failure> {
        if self.columns[0].ends.len() > 1 {
            self.write_batch()?;
        }
        self.output.write(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0])?;
        self.output.finish()
    }
}

fn push_buffer(bytes: &[u8], body: &mut Vec<u8>, buffers: &mut Vec<[i64; 2]>) {
    buffers.push([body.len() as i64, bytes.len() as i64]);
    body.extend_from_slice(bytes);
    body.resize(body.len().next_multiple_of(ALIGN), 0);
}

/// Metadata with what stands before it. The whole is a multiple of 8 bytes.
fn message(metadata: &[u8]) -> Vec<u8> {
    let size = (metadata.len() + 8).next_multiple_of(8) - 8;
    let mut bytes = vec![0xff; 4];
    bytes.extend((size as u32).to_le_bytes());
    bytes.extend_from_slice(metadata);
    bytes.resize(8 + size, 0);
    bytes
}

fn schema(columns: &[Column]) -> Vec<u8> {
    let mut flat = Flat::new();
    let message = flat.table(&[Slot::I16(VERSION_5), Slot::U8(HEADER_SCHEMA), Slot::Offset, Slot::I64(0)]);
    flat.link(0, message.start);
    let schema = flat.table(&[Slot::None, Slot::Offset]);
    flat.link(message.slots[2], schema.start);
    let fields = flat.offsets(columns.len());
    flat.link(schema.slots[1], fields.start);
    for (column, &slot) in columns.iter().zip(&fields.slots) {
        let (kind, children) = if column.dtype.is_some() { (TYPE_LIST, 1) } else { (TYPE_UTF8, 0) };
        let child = flat.field(slot, column.name, kind, None, children);
        if let Some(dtype) = column.dtype {
            flat.field(child[0], "item", TYPE_INT, Some(dtype), 0);
        }
    }
    flat.bytes
}

fn record_batch(rows: i64, nodes: &[[i64; 2]], buffers: &[[i64; 2]], body: i64) -> Vec<u8> {
    let mut flat = Flat::new();
    let message = flat.table(&[Slot::I16(VERSION_5), Slot::U8(HEADER_RECORD_BATCH), Slot::Offset, Slot::I64(body)]);
    flat.link(0, message.start);
    let batch = flat.table(&[Slot::I64(rows), Slot::Offset, Slot::Offset]);
    flat.link(message.slots[2], batch.start);
    for (slot, pairs) in [(1, nodes), (2, buffers)] {
        let start = flat.pairs(pairs);
        flat.link(batch.slots[slot], start);
    }
    flat.bytes
}

/// A FlatBuffer that grows forward: a table stands before what it points to.
struct Flat {
    bytes: Vec<u8>,
}

/// A field of a table.
enum Slot {
    None,
    U8(u8),
    I16(i16),
    I32(i32),
    I64(i64),
    /// To be linked.
    Offset,
}

/// Where something begins, and where its parts are.
struct Laid {
    start: usize,
    slots: Vec<usize>,
}

impl Flat {
    /// Only the place of the root.
    fn new() -> Flat {
        Flat { bytes: vec![0; 4] }
    }

    fn align(&mut self, size: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(size), 0);
    }

    /// Lets the offset at `slot` point to `target`.
    fn link(&mut self, slot: usize, target: usize) {
        self.bytes[slot..slot + 4].copy_from_slice(&((target - slot) as u32).to_le_bytes());
    }

    /// A table behind its vtable. Tables begin at multiples of 8, so that each field is where its size wants it.
    fn table(&mut self, fields: &[Slot]) -> Laid {
        let size = 4 + 2 * fields.len();
        self.bytes.resize((self.bytes.len() + size).next_multiple_of(8) - size, 0);
        let (vtable, start) = (self.bytes.len(), self.bytes.len() + size);
        self.bytes.resize(start, 0);
        self.bytes.extend((size as i32).to_le_bytes());
        let mut slots = Vec::new();
        for field in fields {
            let (size, value) = match *field {
                Slot::None => (1, Vec::new()),
                Slot::U8(value) => (1, vec![value]),
                Slot::I16(value) => (2, value.to_le_bytes().to_vec()),
                Slot::I32(value) => (4, value.to_le_bytes().to_vec()),
                Slot::I64(value) => (8, value.to_le_bytes().to_vec()),
                Slot::Offset => (4, vec![0; 4]),
            };
            self.align(size);
            slots.push(if value.is_empty() { start } else { self.bytes.len() });
            self.bytes.extend(value);
        }
        let places = slots.iter().map(|slot| (slot - start) as u16);
        let sizes = [size as u16, (self.bytes.len() - start) as u16];
        let words: Vec<u8> = sizes.into_iter().chain(places).flat_map(u16::to_le_bytes).collect();
        self.bytes[vtable..start].copy_from_slice(&words);
        Laid { start, slots }
    }

    /// A vector of so many offsets.
    fn offsets(&mut self, count: usize) -> Laid {
        self.align(4);
        let start = self.bytes.len();
        self.bytes.extend((count as u32).to_le_bytes());
        self.bytes.resize(start + 4 + 4 * count, 0);
        Laid { start, slots: (0..count).map(|place| start + 4 + 4 * place).collect() }
    }

    /// A vector of structures of two 64-bit integers.
    fn pairs(&mut self, pairs: &[[i64; 2]]) -> usize {
        self.bytes.resize((self.bytes.len() + 4).next_multiple_of(8) - 4, 0);
        let start = self.bytes.len();
        self.bytes.extend((pairs.len() as u32).to_le_bytes());
        self.bytes.extend(pairs.iter().flatten().flat_map(|value| value.to_le_bytes()));
        start
    }

    /// A field of the schema, linked from `slot`; gives the slots of its children.
    fn field(&mut self, slot: usize, name: &str, kind: u8, integers: Option<Dtype>, children: usize) -> Vec<usize> {
        let slots = [Slot::Offset, Slot::U8(1), Slot::U8(kind), Slot::Offset, Slot::None, Slot::Offset];
        let field = self.table(&slots);
        self.link(slot, field.start);
        self.align(4);
        self.link(field.slots[0], self.bytes.len());
        self.bytes.extend((name.len() as u32).to_le_bytes());
        self.bytes.extend(name.bytes());
        self.bytes.push(0);
        let of_type = match integers {
            Some(dtype) => {
                let signed = matches!(dtype, Dtype::I32 | Dtype::I64);
                self.table(&[Slot::I32(8 * dtype.size() as i32), Slot::U8(u8::from(signed))])
            }
            None => self.table(&[]),
        };
        self.link(field.slots[3], of_type.start);
        let children = self.offsets(children);
        self.link(field.slots[5], children.start);
        children.slots
    }
}

//! A [`Transformer`] computed on the CPU, and what a `Decoder` has in common with it.
//!
//! Tokens of all sequences stand back to back, one row each, and no row is padding. Whole sequences form groups of a
//! few hundred rows; a group passes through all blocks before the next begins, so its rows stay in the second-level
//! cache. All widths are padded to multiples of 32 with zero weights, which adds zeros to sums and nothing else.
//!
//! A block is five steps: queries, keys and values in one product; attention; its output product, added to the residual
//! stream in place; `up` with the activation; `down`, added in place. The residual stream, normalisations, softmax and
//! all sums are 32-bit floats; [`Precision`] says what enters the products. The bias of a product that adds to the
//! stream is added to the stream beforehand, by the pass that normalises it, so that the product needs no pass of its
//! own.
//!
//! Numeric contract: a row's bits depend on its own sequence, the model, the precision and the processor's
//! instructions; not on the other sequences, the order, the threads or the scratch. Every sum runs in one order that
//! knows nothing of the batch (see `matmul` and `attention`), and no formula has a scalar tail (see `lanes`).

use crate::activation::activate;
use crate::attention::{self, Heads};
use crate::buffer::{Buffer, round_up, stride};
use crate::cpu::Machine;
use crate::head::{Head, Running, Top};
use crate::lanes::Lanes;
use crate::layer::{HALF, Layer, padded, start};
use crate::matmul::{self, Element, Kernel, PANEL, Packed, View};
use crate::norm::{Between, Norm, pass};
use crate::transformer::{self, Activation, Block, Matrix, Transformer};
use std::borrow::Borrow;
use std::convert::Infallible;
use std::ops::Range;

/// Sequences are computed together until they have so many rows.
const GROUP_ROWS: usize = 512;

/// Products run over about so many rows at a time, of which the feed-forward part keeps its inner values.
const STRIP_ROWS: usize = 256;

/// How many rows the strips of `rows` rows have, but for the last: as nearly the same as whole blocks allow, since each
/// strip goes past all weights.
fn strip_rows<K: Kernel>(rows: usize) -> usize {
    let count = ((rows + STRIP_ROWS / 2) / STRIP_ROWS).max(1);
    round_up(rows.div_ceil(count).max(1), K::ROWS)
}

/// What the factors of matrix products are rounded to. Sums are 32-bit floats either way.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// To nothing that 32-bit floats do not round to, on any processor.
    #[default]
    Exact,
    /// bf16: 8 bits of mantissa; needs AVX512-BF16, and is fastest with AMX.
    Bf16,
}

/// Whether this processor computes in `precision`.
pub fn available(precision: Precision) -> bool {
    machine(precision).is_some()
}

impl Precision {
    /// All, by their names.
    pub const NAMES: [(&str, Precision); 2] = [("exact", Precision::Exact), ("bf16", Precision::Bf16)];

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Precision::Exact => "exact",
            Precision::Bf16 => "bf16",
        }
    }

    /// Asks whether this processor computes so.
    ///
    /// # Errors
    /// What the processor lacks.
    pub fn check(self) -> Result<(), String> {
        if available(self) {
            return Ok(());
        }
        Err(format!("--precision {}: this processor has neither AMX nor AVX512-BF16", self.name()))
    }
}

pub(crate) fn machine(precision: Precision) -> Option<Machine> {
    let machines = match precision {
        Precision::Exact => Machine::exact(),
        Precision::Bf16 => Machine::half(),
    };
    machines.first().copied()
}

/// A model ready to compute: weights packed for one precision. Threads share it.
#[derive(Debug)]
pub struct Encoder {
    machine: Machine,
    hidden: usize,
    heads: Heads,
    tokens: Matrix,
    positions: Matrix,
    embedding_norm: Option<Norm>,
    parts: Precise,
    final_norm: Option<Norm>,
}

/// The parts, packed for the machine.
#[derive(Debug)]
enum Precise {
    F32(Parts<f32>),
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "only x86-64 has such machines"))]
    Bf16(Parts<u16>),
}

/// What products are made with.
#[derive(Debug)]
struct Parts<E> {
    embedding_map: Option<Packed<E>>,
    layers: Vec<Layer<E>>,
    /// Of a decoder.
    head: Option<Head<E>>,
}

/// Where sequences come from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Begin<'a> {
    /// Their tokens.
    Tokens(&'a [u32]),
    /// The stream behind a block, `hidden` values a token.
    Stream(&'a [f32]),
}

impl Begin<'_> {
    fn rows(self, hidden: usize) -> usize {
        match self {
            Begin::Tokens(ids) => ids.len(),
            Begin::Stream(values) => values.len() / hidden,
        }
    }

    fn part(self, rows: Range<usize>, hidden: usize) -> Self {
        match self {
            Begin::Tokens(ids) => Begin::Tokens(&ids[rows]),
            Begin::Stream(values) => Begin::Stream(&values[rows.start * hidden..rows.end * hidden]),
        }
    }
}

/// What is made of the final states.
#[derive(Debug, Clone, Copy)]
pub(crate) enum End<'a> {
    /// They are handed out, into [`Scratch::hidden`].
    States,
    /// The stream is, for the blocks that follow.
    Stream,
    /// What the head thinks of the token that comes next, where one is asked for, into [`Scratch::scores`]; where so
    /// many of the likeliest are asked for, these too.
    Scores(&'a [Option<u32>], usize),
}

/// The memory of one thread. It grows to what the largest call needs and is used again.
#[derive(Debug, Default)]
pub struct Scratch {
    stream: Buffer,
    seen: Buffer,
    qkv: Buffer,
    context: Buffer,
    inner: Buffer,
    blocks: Buffer,
    added: Buffer,
    row: Buffer,
    attention: attention::Scratch,
    hidden: Vec<f32>,
    running: Vec<Running>,
    tops: Vec<Top>,
    pub(crate) scores: Vec<f64>,
    pub(crate) tokens: Vec<u32>,
    pub(crate) probabilities: Vec<f32>,
}

impl Encoder {
    /// Packs the weights for the best that this processor has.
    ///
    /// # Panics
    /// Where `precision` is not [`available`], or the description contradicts itself.
    pub fn new(model: &Transformer, precision: Precision) -> Encoder {
        let machine = machine(precision).expect("a precision that is available");
        Encoder::on(model, machine)
    }

    /// Packs the weights for `machine`, which runs here.
    fn on(model: &Transformer, machine: Machine) -> Encoder {
        let outside = Transformer {
            tokens: model.tokens.clone(),
            positions: model.positions.clone(),
            embedding_map: model.embedding_map.clone(),
            embedding_norm: model.embedding_norm.clone(),
            blocks: Vec::new(),
            final_norm: model.final_norm.clone(),
            ..*model
        };
        let blocks = model.blocks.iter().map(Ok::<_, Infallible>);
        let Ok(encoder) = Encoder::pack(outside, blocks, None, machine);
        encoder
    }

    /// The same with the blocks apart, each of which is done with when it is packed.
    ///
    /// # Errors
    /// Those of `blocks`.
    pub(crate) fn pack<B: Borrow<Block>, E>(
        model: Transformer,
        blocks: impl Iterator<Item = Result<B, E>>,
        head: Option<transformer::Head>,
        machine: Machine,
    ) -> Result<Encoder, E> {
        assert!(model.key_heads > 0 && model.heads.is_multiple_of(model.key_heads), "heads of keys divide the heads");
        let width = model.embedding_map.as_ref().map_or(model.hidden, |map| map.weight.columns);
        model.embedding_map.iter().for_each(|map| map.check(model.hidden, width));
        assert_eq!(model.tokens.columns, width, "columns of the token embedding");
        let heads = Heads { count: model.heads, key_count: model.key_heads, size: model.head_size };
        let norm = |norm: &Option<_>| norm.as_ref().map(|n| Norm::new(n, padded(model.hidden)));
        let parts = match machine {
            Machine::Plain => Precise::F32(Parts::new(&model, blocks, head, heads)?),
            #[cfg(target_arch = "x86_64")]
            Machine::Avx2 | Machine::Avx512 => Precise::F32(Parts::new(&model, blocks, head, heads)?),
            #[cfg(target_arch = "x86_64")]
            Machine::Avx512Bf16 | Machine::Amx => Precise::Bf16(Parts::new(&model, blocks, head, heads)?),
        };
        Ok(Encoder {
            machine,
            hidden: model.hidden,
            heads,
            embedding_norm: norm(&model.embedding_norm),
            final_norm: norm(&model.final_norm),
            tokens: model.tokens,
            positions: model.positions,
            parts,
        })
    }

    /// The instructions that make the bits.
    pub(crate) fn instructions(&self) -> &'static str {
        self.machine.name()
    }

    /// Final hidden states, `hidden` values for each token, of sequences that stand back to back in `ids`.
    ///
    /// # Panics
    /// Where `lengths` do not sum up to the number of `ids`, an id is beyond the vocabulary, or a sequence beyond the
    /// position embedding.
    pub fn forward<'a>(&self, ids: &[u32], lengths: &[usize], scratch: &'a mut Scratch) -> &'a [f32] {
        self.run(Begin::Tokens(ids), lengths, End::States, scratch);
        &scratch.hidden
    }

    /// The same for the blocks that follow: the stream behind those that are here.
    pub(crate) fn stream<'a>(&self, begin: Begin, lengths: &[usize], scratch: &'a mut Scratch) -> &'a [f32] {
        self.run(begin, lengths, End::Stream, scratch);
        &scratch.hidden
    }

    /// Has this block and no other, or none.
    pub(crate) fn replace_blocks(&mut self, block: Option<&Block>) {
        let (d, heads) = (self.hidden, self.heads);
        match &mut self.parts {
            // What is there goes first, so that there is never more than one.
            Precise::F32(parts) => {
                parts.layers.clear();
                parts.layers.extend(block.map(|block| Layer::new(block, d, heads, true)));
            }
            Precise::Bf16(parts) => {
                parts.layers.clear();
                parts.layers.extend(block.map(|block| Layer::new(block, d, heads, true)));
            }
        }
    }

    pub(crate) fn run(&self, begin: Begin, lengths: &[usize], end: End, scratch: &mut Scratch) {
        let rows = begin.rows(self.hidden);
        assert_eq!(lengths.iter().sum::<usize>(), rows, "lengths against tokens");
        if !matches!(end, End::Scores(..)) {
            scratch.hidden.resize(rows * self.hidden, 0.0);
        }
        // SAFETY: the machine was found on this processor, and the parts are packed for it.
        unsafe {
            match (self.machine, &self.parts) {
                (Machine::Plain, Precise::F32(parts)) => {
                    groups::<matmul::plain::PlainKernel>(self, parts, begin, lengths, end, scratch)
                }
                #[cfg(target_arch = "x86_64")]
                (Machine::Avx2, Precise::F32(parts)) => on_avx2(self, parts, begin, lengths, end, scratch),
                #[cfg(target_arch = "x86_64")]
                (Machine::Avx512, Precise::F32(parts)) => on_avx512(self, parts, begin, lengths, end, scratch),
                #[cfg(target_arch = "x86_64")]
                (Machine::Avx512Bf16, Precise::Bf16(parts)) => on_avx512bf16(self, parts, begin, lengths, end, scratch),
                #[cfg(target_arch = "x86_64")]
                (Machine::Amx, Precise::Bf16(parts)) => {
                    let _tiles = matmul::amx::Tiles::configure();
                    on_amx(self, parts, begin, lengths, end, scratch);
                }
                _ => unreachable!("parts are packed for the machine"),
            }
        }
    }
}

/// Compiles everything below [`groups`] once more, with the instructions of a machine.
#[cfg(target_arch = "x86_64")]
macro_rules! compiled_for {
    ($name:ident, $kernel:ty, $features:literal) => {
        /// # Safety
        /// The processor has the instructions.
        #[target_feature(enable = $features)]
        unsafe fn $name(
            encoder: &Encoder,
            parts: &Parts<<$kernel as Kernel>::Element>,
            begin: Begin,
            lengths: &[usize],
            end: End,
            scratch: &mut Scratch,
        ) {
            // SAFETY: the caller's promise.
            unsafe { groups::<$kernel>(encoder, parts, begin, lengths, end, scratch) }
        }
    };
}

#[cfg(target_arch = "x86_64")]
compiled_for!(on_avx2, matmul::avx2::Avx2Kernel, "avx2,fma");
#[cfg(target_arch = "x86_64")]
compiled_for!(on_avx512, matmul::avx512::Avx512Kernel, "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl");
#[cfg(target_arch = "x86_64")]
compiled_for!(
    on_avx512bf16,
    matmul::avx512bf16::Avx512Bf16Kernel,
    "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16"
);
#[cfg(target_arch = "x86_64")]
compiled_for!(on_amx, matmul::amx::AmxKernel<false>, "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16");

impl<E: Element> Parts<E> {
    fn new<B: Borrow<Block>, F>(
        model: &Transformer,
        blocks: impl Iterator<Item = Result<B, F>>,
        head: Option<transformer::Head>,
        heads: Heads,
    ) -> Result<Parts<E>, F> {
        let layer = |block: B| Layer::new(block.borrow(), model.hidden, heads, model.is_causal);
        // The head first: what it was made of is given back before the blocks come.
        let head = head.map(|head| Head::new(&head, model.hidden));
        let layers = blocks.map(|block| block.map(layer)).collect::<Result<_, _>>()?;
        Ok(Parts { embedding_map: model.embedding_map.as_ref().map(Packed::of), layers, head })
    }
}

/// The places of a group's values.
struct Places<E> {
    stream: View<f32>,
    seen: View<E>,
    qkv: View<E>,
    context: View<E>,
    inner: View<E>,
    /// What a part adds to a strip of the stream, where it is normalised before.
    added: View<f32>,
    blocks: *mut f32,
    row: *mut f32,
}

impl<E: Element> Places<E> {
    /// Room for `rows` rows, and a block more that blocks of rows may reach over.
    fn new<K: Kernel<Element = E>>(
        encoder: &Encoder,
        parts: &Parts<E>,
        rows: usize,
        scratch: &mut Scratch,
    ) -> Places<E> {
        fn view<T: crate::buffer::Plain>(buffer: &mut Buffer, rows: usize, columns: usize) -> View<T> {
            let stride = stride::<T>(columns);
            View { start: buffer.take(rows * stride), stride }
        }
        let (d, heads) = (padded(encoder.hidden), encoder.heads.columns());
        let qkv = heads + 2 * encoder.heads.key_columns();
        // Maps go from and to places that are not used at the time.
        let width = parts.embedding_map.as_ref().map_or(d, |map| map.depth);
        let mapped = parts.head.as_ref().and_then(|head| head.map.as_ref()).map_or(0, |map| map.panels * PANEL);
        let f = parts.layers.iter().map(|layer| layer.down.depth).max().unwrap_or(0);
        let strip = strip_rows::<K>(rows);
        let rows = round_up(rows, K::ROWS) + K::ROWS;
        Places {
            stream: view(&mut scratch.stream, rows, d),
            seen: view(&mut scratch.seen, rows, d.max(width)),
            qkv: view(&mut scratch.qkv, rows, qkv),
            context: view(&mut scratch.context, rows, heads.max(mapped)),
            inner: view(&mut scratch.inner, strip, f),
            added: view(&mut scratch.added, strip, d),
            // The head's rows are fewer, and may be in longer strips: no strip has half as many again.
            blocks: scratch.blocks.take(matmul::blocks_len::<K>(rows.min(STRIP_ROWS * 3 / 2))),
            row: scratch.row.take(d),
        }
    }
}

/// Takes sequences group by group through the model.
///
/// # Safety
/// The kernel's instructions are there.
#[inline(always)]
unsafe fn groups<K: Kernel>(
    encoder: &Encoder,
    parts: &Parts<K::Element>,
    begin: Begin,
    lengths: &[usize],
    end: End,
    scratch: &mut Scratch,
) {
    let (mut first, mut lengths) = (0, lengths);
    while !lengths.is_empty() {
        let (count, rows) = next_group(lengths);
        let (group, later) = lengths.split_at(count);
        let tokens = first..first + rows;
        // SAFETY: the caller's promise; the places have room for the group's rows.
        unsafe {
            let begin = begin.part(tokens.clone(), encoder.hidden);
            let places = run_group::<K>(encoder, parts, begin, group, scratch);
            match (end, &parts.head) {
                (End::Scores(next, top), Some(head)) => score::<K>(encoder, head, &places, &next[tokens], top, scratch),
                _ => {
                    let states = first * encoder.hidden..(first + rows) * encoder.hidden;
                    let norm = encoder.final_norm.as_ref().filter(|_| !matches!(end, End::Stream));
                    finish::<K>(norm, &places, rows, encoder.hidden, &mut scratch.hidden[states]);
                }
            }
        }
        (first, lengths) = (first + rows, later);
    }
}

/// How many sequences the next group takes, and their rows.
fn next_group(lengths: &[usize]) -> (usize, usize) {
    let mut rows = lengths[0];
    let mut count = 1;
    while count < lengths.len() && rows + lengths[count] <= GROUP_ROWS {
        rows += lengths[count];
        count += 1;
    }
    (count, rows)
}

/// # Safety
/// The kernel's instructions are there.
#[inline(always)]
unsafe fn run_group<K: Kernel>(
    encoder: &Encoder,
    parts: &Parts<K::Element>,
    begin: Begin,
    lengths: &[usize],
    scratch: &mut Scratch,
) -> Places<K::Element> {
    let (rows, layers) = (begin.rows(encoder.hidden), &parts.layers);
    let places = Places::new::<K>(encoder, parts, rows, scratch);
    let d = padded(encoder.hidden);
    let norm = encoder.embedding_norm.as_ref().filter(|_| matches!(begin, Begin::Tokens(_)));
    let first = Between { stream: norm, ..start(layers.first()) };
    // SAFETY: the places have room for the rows.
    unsafe {
        match begin {
            Begin::Tokens(ids) => embed::<K>(encoder, ids, lengths, &places, parts.embedding_map.as_ref()),
            Begin::Stream(values) => take_up(values, encoder.hidden, places.stream),
        }
        pass::<K>(places.stream, places.seen, rows, d, &first, places.row);
        for (i, layer) in layers.iter().enumerate() {
            run_layer::<K>(layer, layers.get(i + 1), lengths, rows, d, &places, &mut scratch.attention);
        }
    }
    places
}

/// The sum of the embeddings of each token, zero in the padding.
///
/// # Safety
/// As for [`run_group`].
#[inline(always)]
unsafe fn embed<K: Kernel>(
    encoder: &Encoder,
    ids: &[u32],
    lengths: &[usize],
    places: &Places<K::Element>,
    map: Option<&Packed<K::Element>>,
) {
    let (d, width) = (encoder.hidden, encoder.tokens.columns);
    let learned = encoder.positions.rows > 0;
    let positions = lengths.iter().flat_map(|&t| 0..t);
    for (row, (&id, place)) in ids.iter().zip(positions).enumerate() {
        // SAFETY: a row of the stream.
        let line = unsafe { std::slice::from_raw_parts_mut(places.stream.at(row, 0), padded(d)) };
        let token = &encoder.tokens.values[id as usize * width..][..width];
        line.fill(0.0);
        match map {
            None => line[..d].copy_from_slice(token),
            // SAFETY: a row of what is seen, which has room for the map's inputs.
            Some(map) => unsafe { show(token, std::slice::from_raw_parts_mut(places.seen.at(row, 0), map.depth)) },
        }
        if learned {
            let position = &encoder.positions.values[place * d..][..d];
            line.iter_mut().zip(position).for_each(|(x, p)| *x += p);
        }
    }
    if let Some(map) = map {
        // SAFETY: rows of both, in whole blocks.
        unsafe { matmul::add_product::<K>(places.seen, ids.len(), map, places.stream) }
    }
}

/// The stream as it was handed out.
///
/// # Safety
/// `stream` has a row for each `d` values.
unsafe fn take_up(values: &[f32], d: usize, stream: View<f32>) {
    for (row, value) in values.chunks_exact(d).enumerate() {
        // SAFETY: a row of the stream.
        let line = unsafe { std::slice::from_raw_parts_mut(stream.at(row, 0), padded(d)) };
        line[..d].copy_from_slice(value);
        line[d..].fill(0.0);
    }
}

/// Values as a product takes them, zero in the padding.
fn show<E: Element>(values: &[f32], to: &mut [E]) {
    to.fill(E::from_f32(0.0));
    to.iter_mut().zip(values).for_each(|(to, &value)| *to = E::from_f32(value));
}

/// # Safety
/// As for [`run_group`].
#[inline(always)]
unsafe fn run_layer<K: Kernel>(
    layer: &Layer<K::Element>,
    next: Option<&Layer<K::Element>>,
    lengths: &[usize],
    rows: usize,
    d: usize,
    places: &Places<K::Element>,
    scratch: &mut attention::Scratch,
) {
    let strip_rows = strip_rows::<K>(rows);
    let strips = || (0..rows).step_by(strip_rows).map(|first| (first, strip_rows.min(rows - first)));
    // SAFETY: strips are whole blocks of rows, for which all places have room.
    unsafe {
        for (first, rows) in strips() {
            let to = places.qkv.from(first, 0);
            matmul::product::<K>(places.seen.from(first, 0), rows, &layer.qkv, places.blocks, |row, panel, sums| {
                activate_block::<K>(sums, &layer.qkv.bias[panel * PANEL..], None, to.from(row, panel * PANEL));
            });
        }
        layer.attention.run::<K>(places.qkv, places.context, lengths, scratch);
        for (first, rows) in strips() {
            let (stream, seen) = (places.stream.from(first, 0), places.seen.from(first, 0));
            let context = places.context.from(first, 0);
            if layer.is_parallel {
                pass::<K>(stream, seen, rows, d, &layer.between_parts(), places.row);
            }
            add_part::<K>(context, rows, &layer.output, &layer.attention_end_norm, stream, places.added);
            if !layer.is_parallel {
                pass::<K>(stream, seen, rows, d, &layer.between_parts(), places.row);
            }
            feed_up::<K>(layer, seen, rows, places);
            add_part::<K>(places.inner, rows, &layer.down, &layer.feed_forward_end_norm, stream, places.added);
            pass::<K>(stream, seen, rows, d, &layer.end(next), places.row);
        }
    }
}

/// Adds what a part made to the stream, through its end norm where it has one.
///
/// # Safety
/// As for [`run_layer`]; `added` has room for the rows in whole blocks.
#[inline(always)]
unsafe fn add_part<K: Kernel>(
    from: View<K::Element>,
    rows: usize,
    weights: &Packed<K::Element>,
    norm: &Option<Norm>,
    stream: View<f32>,
    added: View<f32>,
) {
    // SAFETY: rows of the stream, and of `added`, which are whole blocks.
    unsafe {
        let Some(norm) = norm else {
            return matmul::add_product::<K>(from, rows, weights, stream);
        };
        let width = weights.panels * PANEL;
        for row in 0..round_up(rows, K::ROWS) {
            std::slice::from_raw_parts_mut(added.at(row, 0), width).fill(0.0);
        }
        matmul::add_product::<K>(from, rows, weights, added);
        for row in 0..rows {
            norm.apply::<K::Lanes>(added.at(row, 0), added.at(row, 0));
            for i in (0..width).step_by(K::Lanes::COUNT) {
                let (more, to) = (K::Lanes::load(added.at(row, i)), stream.at(row, i));
                K::Lanes::load(to).add(more).store(to);
            }
        }
    }
}

/// The inner values of the feed-forward part.
///
/// # Safety
/// As for [`run_layer`].
#[inline(always)]
unsafe fn feed_up<K: Kernel>(
    layer: &Layer<K::Element>,
    seen: View<K::Element>,
    rows: usize,
    places: &Places<K::Element>,
) {
    let inner = places.inner;
    // SAFETY: the inner values have room for a strip of rows. The decisions stand outside so that each loop is compiled
    // for one activation.
    unsafe {
        macro_rules! up {
            ($store:ident, $width:expr, $activation:expr) => {
                matmul::product::<K>(seen, rows, &layer.up, places.blocks, |row, panel, sums| {
                    let bias = &layer.up.bias[panel * PANEL..];
                    $store::<K>(sums, bias, $activation, inner.from(row, panel * $width));
                })
            };
        }
        match (layer.gated, layer.activation) {
            (false, Activation::Gelu) => up!(activate_block, PANEL, Some(Activation::Gelu)),
            (false, Activation::GeluTanh) => up!(activate_block, PANEL, Some(Activation::GeluTanh)),
            (false, Activation::Silu) => up!(activate_block, PANEL, Some(Activation::Silu)),
            (false, Activation::Relu) => up!(activate_block, PANEL, Some(Activation::Relu)),
            (true, Activation::Gelu) => up!(gate_block, HALF, Activation::Gelu),
            (true, Activation::GeluTanh) => up!(gate_block, HALF, Activation::GeluTanh),
            (true, Activation::Silu) => up!(gate_block, HALF, Activation::Silu),
            (true, Activation::Relu) => up!(gate_block, HALF, Activation::Relu),
        }
    }
}

#[inline(always)]
fn activated<K: Kernel>(activation: Activation, x: K::Lanes) -> K::Lanes {
    if K::EXACT { activate::<_, true>(activation, x) } else { activate::<_, false>(activation, x) }
}

/// `activation(sums + bias)`, of a block.
///
/// # Safety
/// The kernel's instructions are there; `sums` and `to` have a block of rows of 32 columns.
#[inline(always)]
unsafe fn activate_block<K: Kernel>(
    sums: View<f32>,
    bias: &[f32],
    activation: Option<Activation>,
    to: View<K::Element>,
) {
    let count = K::Lanes::COUNT;
    for row in 0..K::ROWS {
        for i in (0..PANEL).step_by(2 * count) {
            // SAFETY: within the blocks.
            unsafe {
                let left = K::Lanes::load(sums.at(row, i)).add(K::Lanes::load(bias[i..].as_ptr()));
                let right = K::Lanes::load(sums.at(row, i + count)).add(K::Lanes::load(bias[i + count..].as_ptr()));
                let pair = match activation {
                    Some(activation) => [activated::<K>(activation, left), activated::<K>(activation, right)],
                    None => [left, right],
                };
                K::store_pair(pair, to.at(row, i));
            }
        }
    }
}

/// `activation(gate + bias) ⊙ (up + bias)`, of a block whose left half is the gate.
///
/// # Safety
/// `sums` has a block of rows of 32 columns, `to` of 16.
#[inline(always)]
unsafe fn gate_block<K: Kernel>(sums: View<f32>, bias: &[f32], activation: Activation, to: View<K::Element>) {
    for row in 0..K::ROWS {
        for i in (0..HALF).step_by(K::Lanes::COUNT) {
            // SAFETY: within the blocks.
            unsafe {
                let gate = K::Lanes::load(sums.at(row, i)).add(K::Lanes::load(bias[i..].as_ptr()));
                let up = K::Lanes::load(sums.at(row, HALF + i)).add(K::Lanes::load(bias[HALF + i..].as_ptr()));
                K::store(activated::<K>(activation, gate).mul(up), to.at(row, i));
            }
        }
    }
}

/// A normalisation, and the rows without their padding.
///
/// # Safety
/// As for [`run_group`].
#[inline(always)]
unsafe fn finish<K: Kernel>(
    norm: Option<&Norm>,
    places: &Places<K::Element>,
    rows: usize,
    d: usize,
    states: &mut [f32],
) {
    for (row, state) in (0..rows).zip(states.chunks_exact_mut(d)) {
        // SAFETY: rows of the stream.
        unsafe {
            let line = places.stream.at(row, 0);
            if let Some(norm) = norm {
                norm.apply::<K::Lanes>(line, line);
            }
            state.copy_from_slice(std::slice::from_raw_parts(line, d));
        }
    }
}

/// What the head thinks of the tokens that come next, where one is asked for.
///
/// # Safety
/// As for [`run_group`]; the group has been run.
#[inline(always)]
unsafe fn score<K: Kernel>(
    encoder: &Encoder,
    head: &Head<K::Element>,
    places: &Places<K::Element>,
    next: &[Option<u32>],
    top: usize,
    scratch: &mut Scratch,
) {
    let Scratch { running, tops, scores, tokens, probabilities, .. } = scratch;
    let asked = || next.iter().enumerate().filter_map(|(row, &next)| next.map(|id| (row, id)));
    running.clear();
    running.extend(asked().map(|(_, id)| Running::new(id)));
    tops.clear();
    tops.resize(if top > 0 { running.len() } else { 0 }, Top::new(top));
    let none = Between { stream: None, seen: encoder.final_norm.as_ref(), bias: &[] };
    let strip_rows = strip_rows::<K>(running.len());
    // SAFETY: rows of the group; what is asked for moves to the first rows of `seen`, which nobody needs any more.
    unsafe {
        for (to, (row, _)) in asked().enumerate() {
            let (stream, seen) = (places.stream.from(row, 0), places.seen.from(to, 0));
            pass::<K>(stream, seen, 1, padded(encoder.hidden), &none, places.row);
        }
        for (strip, running) in running.chunks_mut(strip_rows).enumerate() {
            let first = strip * strip_rows;
            let tops = tops.get_mut(first..).unwrap_or_default();
            let mut states = places.seen.from(first, 0);
            if let Some(map) = &head.map {
                let to = places.context.from(first, 0);
                matmul::product::<K>(states, running.len(), map, places.blocks, |row, panel, sums| {
                    activate_block::<K>(sums, &map.bias[panel * PANEL..], None, to.from(row, panel * PANEL));
                });
                states = to;
            }
            head.run::<K>(states, running, tops, places.blocks);
        }
    }
    scores.extend(running.iter().map(Running::score));
    tops.iter_mut().zip(&*running).for_each(|(top, running)| top.finish(running, tokens, probabilities));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{self, Plan, Random, VOCABULARY, random_model};
    use crate::transformer::NormPlace;

    const BASE: Plan = Plan::ENCODER;

    /// Every feature, in sizes with awkward tails: heads of 12 to 64, widths that no register divides.
    fn plans() -> Vec<Plan> {
        vec![
            BASE,
            Plan { f: 70, positions: "alibi", activation: Activation::GeluTanh, ..BASE.split(36, 3) },
            Plan { f: 33, positions: "relative", activation: Activation::Relu, ..BASE.split(32, 1) },
            Plan {
                f: 50,
                positions: "rotary",
                gated: true,
                activation: Activation::Silu,
                bias: false,
                ..BASE.split(48, 3)
            },
            Plan {
                f: 90,
                positions: "rotary",
                window: Some(5),
                gated: true,
                norm_place: NormPlace::Before,
                bias: false,
                norms: false,
                ..BASE.split(72, 2)
            },
            Plan {
                f: 520,
                positions: "alibi",
                window: Some(40),
                gated: true,
                activation: Activation::Relu,
                ..BASE.split(128, 2)
            },
            Plan { f: 48, positions: "none", window: Some(0), norm_place: NormPlace::Before, ..BASE.split(120, 3) },
            Plan { f: 1536, blocks: 1, ..BASE.split(384, 12) },
            Plan {
                f: 1000,
                blocks: 1,
                positions: "relative",
                gated: true,
                activation: Activation::GeluTanh,
                ..BASE.split(768, 12)
            },
        ]
    }

    fn machines() -> Vec<Machine> {
        Machine::exact().into_iter().chain(Machine::half()).collect()
    }

    fn random_ids(random: &mut Random, count: usize) -> Vec<u32> {
        (0..count).map(|_| random.below(VOCABULARY) as u32).collect()
    }

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|v| v.to_bits()).collect()
    }

    fn cosine(a: &[f64], b: &[f64]) -> f64 {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    }

    fn mean_row(rows: &[f64], d: usize) -> Vec<f64> {
        let mut mean = vec![0.0; d];
        for row in rows.chunks(d) {
            mean.iter_mut().zip(row).for_each(|(m, x)| *m += x / (rows.len() / d) as f64);
        }
        mean
    }

    /// Largest difference, as a part of the largest value.
    fn difference(found: &[f64], wanted: &[f64]) -> f64 {
        let most = wanted.iter().fold(0.0f64, |m, x| m.max(x.abs()));
        found.iter().zip(wanted).fold(0.0f64, |m, (a, b)| m.max((a - b).abs())) / most
    }

    #[test]
    fn states_are_those_of_the_reference() {
        let mut random = Random(7);
        for (i, plan) in plans().iter().enumerate() {
            let model = random_model(plan, 1000 + i as u64);
            let lengths: &[usize] = if plan.d > 200 { &[33, 2] } else { &[1, 2, 31, 33, 257] };
            for &t in lengths {
                let ids = random_ids(&mut random, t);
                let wanted: Vec<f64> = reference::forward(&model, &ids).concat();
                for machine in machines() {
                    let encoder = Encoder::on(&model, machine);
                    let mut scratch = Scratch::default();
                    let found: Vec<f64> =
                        encoder.forward(&ids, &[t], &mut scratch).iter().map(|&x| f64::from(x)).collect();
                    assert_eq!(found.len(), wanted.len());
                    let cosine = cosine(&mean_row(&found, plan.d), &mean_row(&wanted, plan.d));
                    let difference = difference(&found, &wanted);
                    let (cosine_least, difference_most) = match encoder.parts {
                        Precise::F32(_) => (0.999_999_99, 1e-5),
                        Precise::Bf16(_) => (0.999, 0.1),
                    };
                    let good = cosine >= cosine_least && difference <= difference_most;
                    assert!(good, "{plan:?}, t {t}, {machine:?}: cosine {cosine}, difference {difference:e}");
                }
            }
        }
    }

    #[test]
    fn bits_do_not_depend_on_the_batch() {
        let mut random = Random(11);
        for (i, plan) in plans().iter().enumerate() {
            let model = random_model(plan, 2000 + i as u64);
            let texts: Vec<Vec<u32>> =
                [1, 2, 15, 16, 31, 33, 64, 100, 257].iter().map(|&t| random_ids(&mut random, t)).collect();
            for machine in machines() {
                let encoder = Encoder::on(&model, machine);
                let alone: Vec<Vec<u32>> =
                    texts.iter().map(|ids| bits(encoder.forward(ids, &[ids.len()], &mut Scratch::default()))).collect();
                let mut scratch = Scratch::default();
                for _ in 0..4 {
                    let batch: Vec<usize> = (0..1 + random.below(12)).map(|_| random.below(texts.len())).collect();
                    let ids: Vec<u32> = batch.iter().flat_map(|&b| texts[b].clone()).collect();
                    let lengths: Vec<usize> = batch.iter().map(|&b| texts[b].len()).collect();
                    let together = bits(encoder.forward(&ids, &lengths, &mut scratch));
                    let wanted: Vec<u32> = batch.iter().flat_map(|&b| alone[b].clone()).collect();
                    assert!(together == wanted, "{plan:?}, {machine:?}, batch of {lengths:?}");
                }
            }
        }
    }

    #[test]
    fn what_an_earlier_call_left_in_the_scratch_does_not_matter() {
        let mut random = Random(13);
        for (i, plan) in plans().iter().enumerate().take(7) {
            let model = random_model(plan, 3000 + i as u64);
            let ids = random_ids(&mut random, 50);
            for machine in machines() {
                let encoder = Encoder::on(&model, machine);
                let fresh = bits(encoder.forward(&ids, &[20, 30], &mut Scratch::default()));
                let mut used = Scratch::default();
                // Not-a-number in every place that the call may read without having written it.
                for buffer in [
                    &mut used.stream,
                    &mut used.seen,
                    &mut used.qkv,
                    &mut used.context,
                    &mut used.inner,
                    &mut used.blocks,
                ] {
                    let values = buffer.take::<f32>(1 << 18);
                    // SAFETY: `take` gave so many values.
                    unsafe { std::slice::from_raw_parts_mut(values, 1 << 18) }.fill(f32::from_bits(0x7fc0_7fc0));
                }
                assert!(bits(encoder.forward(&ids, &[20, 30], &mut used)) == fresh, "{plan:?}, {machine:?}");
            }
        }
    }

    #[test]
    fn long_sequences_of_eight_thousand_tokens_work() {
        let plan = Plan { f: 32, blocks: 1, positions: "alibi", ..BASE.split(32, 1) };
        let model = random_model(&plan, 5);
        let ids = random_ids(&mut Random(17), 8192);
        for machine in machines() {
            let encoder = Encoder::on(&model, machine);
            let mut scratch = Scratch::default();
            let states = encoder.forward(&ids, &[8192], &mut scratch);
            assert!(states.len() == 8192 * 32 && states.iter().all(|x| x.is_finite()));
        }
    }

    #[test]
    fn no_sequences_and_empty_sequences_have_no_states() {
        let encoder = Encoder::new(&random_model(&BASE, 1), Precision::Exact);
        let mut scratch = Scratch::default();
        assert!(encoder.forward(&[], &[], &mut scratch).is_empty());
        assert!(encoder.forward(&[], &[0, 0], &mut scratch).is_empty());
        let one = encoder.forward(&[7], &[1], &mut scratch).to_vec();
        assert!(encoder.forward(&[7], &[0, 1, 0], &mut scratch) == one);
    }
}

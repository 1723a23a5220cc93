//! A [`Transformer`] computed on the CPU.
//!
//! Tokens of all sequences stand back to back, one row each, and no row is padding. Whole sequences form groups of a few
//! hundred rows; a group passes through all blocks before the next begins, so its rows stay in the second-level cache. All
//! widths are padded to multiples of 32 with zero weights, which adds zeros to sums and nothing else.
//!
//! A block is five steps: queries, keys and values in one product; attention; its output product, added to the residual
//! stream in place; `up` with the activation; `down`, added in place. The residual stream, normalisations, softmax and all sums
//! are 32-bit floats; [`Precision`] says what enters the products. The bias of a product that adds to the stream is added to the
//! stream beforehand, by the pass that normalises it, so that the product needs no pass of its own.
//!
//! Numeric contract: a row's bits depend on its own sequence, the model, the precision and the processor's instructions; not
//! on the other sequences, the order, the threads or the scratch. Every sum runs in one order that knows nothing of the
//! batch (see `matmul` and `attention`), and no formula has a scalar tail (see `lanes`).

use crate::activation::activate;
use crate::attention::{self, Attention, Heads};
use crate::buffer::{Buffer, round_up, stride};
use crate::cpu::Machine;
use crate::lanes::Lanes;
use crate::matmul::{self, Element, Kernel, PANEL, Packed, View};
use crate::norm::{Between, Norm, pass};
use crate::transformer::{Activation, Block, Linear, Matrix, NormPlace, Transformer};

/// Sequences are computed together until they have so many rows.
const GROUP_ROWS: usize = 512;

/// Products run over so many rows at a time, of which the feed-forward part keeps its inner values.
const STRIP_ROWS: usize = 256;

/// Columns of each of gate and up that stand side by side in a panel.
const HALF: usize = PANEL / 2;

/// What the factors of matrix products are rounded to. Sums are 32-bit floats either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// 32-bit floats, on any processor.
    F32,
    /// bf16: 8 bits of mantissa; needs AVX512-BF16, and is fastest with AMX.
    Bf16,
}

/// Whether this processor computes in `precision`.
pub fn available(precision: Precision) -> bool {
    machine(precision).is_some()
}

fn machine(precision: Precision) -> Option<Machine> {
    let machines = match precision {
        Precision::F32 => Machine::exact(),
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
    layers: Layers,
    final_norm: Option<Norm>,
}

#[derive(Debug)]
enum Layers {
    F32(Vec<Layer<f32>>),
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "only x86-64 has such machines"))]
    Bf16(Vec<Layer<u16>>),
}

/// A block, packed.
#[derive(Debug)]
struct Layer<E> {
    qkv: Packed<E>,
    attention: Attention,
    output: Packed<E>,
    attention_norm: Option<Norm>,
    up: Packed<E>,
    gated: bool,
    activation: Activation,
    down: Packed<E>,
    feed_forward_norm: Option<Norm>,
    norm_place: NormPlace,
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
    row: Buffer,
    attention: attention::Scratch,
    hidden: Vec<f32>,
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
        assert!(model.heads > 0 && model.hidden.is_multiple_of(model.heads), "the heads divide the hidden size");
        assert_eq!(model.tokens.columns, model.hidden, "columns of the token embedding");
        let heads = Heads { count: model.heads, size: model.hidden / model.heads };
        let norm = |norm: &Option<_>| norm.as_ref().map(|n| Norm::new(n, padded(model.hidden)));
        let layers = match machine {
            Machine::Plain => Layers::F32(pack_layers(model, heads)),
            #[cfg(target_arch = "x86_64")]
            Machine::Avx2 | Machine::Avx512 => Layers::F32(pack_layers(model, heads)),
            #[cfg(target_arch = "x86_64")]
            Machine::Avx512Bf16 | Machine::Amx => Layers::Bf16(pack_layers(model, heads)),
        };
        Encoder {
            machine,
            hidden: model.hidden,
            heads,
            tokens: model.tokens.clone(),
            positions: model.positions.clone(),
            embedding_norm: norm(&model.embedding_norm),
            layers,
            final_norm: norm(&model.final_norm),
        }
    }

    /// Final hidden states, `hidden` values for each token, of sequences that stand back to back in `ids`.
    ///
    /// # Panics
    /// Where `lengths` do not sum up to the number of `ids`, an id is beyond the vocabulary, or a sequence beyond the
    /// position embedding.
    pub fn forward<'a>(&self, ids: &[u32], lengths: &[usize], scratch: &'a mut Scratch) -> &'a [f32] {
        assert_eq!(lengths.iter().sum::<usize>(), ids.len(), "lengths against tokens");
        scratch.hidden.resize(ids.len() * self.hidden, 0.0);
        // SAFETY: the machine was found on this processor, and the layers are packed for it.
        unsafe {
            match (self.machine, &self.layers) {
                (Machine::Plain, Layers::F32(layers)) => {
                    groups::<matmul::plain::PlainKernel>(self, layers, ids, lengths, scratch)
                }
                #[cfg(target_arch = "x86_64")]
                (Machine::Avx2, Layers::F32(layers)) => on_avx2(self, layers, ids, lengths, scratch),
                #[cfg(target_arch = "x86_64")]
                (Machine::Avx512, Layers::F32(layers)) => on_avx512(self, layers, ids, lengths, scratch),
                #[cfg(target_arch = "x86_64")]
                (Machine::Avx512Bf16, Layers::Bf16(layers)) => on_avx512bf16(self, layers, ids, lengths, scratch),
                #[cfg(target_arch = "x86_64")]
                (Machine::Amx, Layers::Bf16(layers)) => {
                    let _tiles = matmul::amx::Tiles::configure();
                    on_amx(self, layers, ids, lengths, scratch);
                }
                _ => unreachable!("layers are packed for the machine"),
            }
        }
        &scratch.hidden
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
            layers: &[Layer<<$kernel as Kernel>::Element>],
            ids: &[u32],
            lengths: &[usize],
            scratch: &mut Scratch,
        ) {
            // SAFETY: the caller's promise.
            unsafe { groups::<$kernel>(encoder, layers, ids, lengths, scratch) }
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

/// A width with its padding.
fn padded(width: usize) -> usize {
    round_up(width, PANEL)
}

fn pack_layers<E: Element>(model: &Transformer, heads: Heads) -> Vec<Layer<E>> {
    model.blocks.iter().map(|block| Layer::new(block, model.hidden, heads)).collect()
}

/// `weight[output][input]` of a linear map, zero in the padding.
fn weight(linear: &Linear, output: usize, input: usize) -> f32 {
    let m = &linear.weight;
    if output < m.rows && input < m.columns { m.values[output * m.columns + input] } else { 0.0 }
}

/// The bias of an output, zero where there is none.
fn bias(linear: &Linear, output: usize) -> f32 {
    linear.bias.get(output).copied().unwrap_or(0.0)
}

fn check(linear: &Linear, outputs: usize, inputs: usize) {
    assert_eq!((linear.weight.rows, linear.weight.columns), (outputs, inputs), "shape of a weight");
    assert_eq!(linear.weight.values.len(), outputs * inputs, "values of a weight");
    assert!(linear.bias.is_empty() || linear.bias.len() == outputs, "length of a bias");
}

impl<E: Element> Layer<E> {
    fn new(block: &Block, d: usize, heads: Heads) -> Layer<E> {
        let f = block.up.weight.rows;
        for linear in [&block.query, &block.key, &block.value, &block.output] {
            check(linear, d, d);
        }
        check(&block.up, f, d);
        check(&block.down, d, f);
        block.gate.iter().for_each(|gate| check(gate, f, d));
        let norm = |norm: &Option<_>| norm.as_ref().map(|n| Norm::new(n, padded(d)));
        Layer {
            qkv: pack_qkv(block, d, heads),
            attention: Attention { heads, positions: block.positions.clone(), window: block.window },
            output: pack_output(block, d, heads),
            attention_norm: norm(&block.attention_norm),
            up: pack_up(block, d, f),
            gated: block.gate.is_some(),
            activation: block.activation,
            down: Packed::new(f, d, |k, n| weight(&block.down, n, k), |n| bias(&block.down, n)),
            feed_forward_norm: norm(&block.feed_forward_norm),
            norm_place: block.norm_place,
        }
    }

    /// The normalisation of what the attention sees, where it stands before.
    fn norm_before_attention(&self) -> Option<&Norm> {
        self.attention_norm.as_ref().filter(|_| self.norm_place == NormPlace::Before)
    }

    /// The pass between attention and feed-forward part.
    fn between_parts(&self) -> Between<'_> {
        let after = self.norm_place == NormPlace::After;
        Between {
            stream: self.attention_norm.as_ref().filter(|_| after),
            seen: self.feed_forward_norm.as_ref().filter(|_| !after),
            bias: &self.down.bias,
        }
    }

    /// The pass that ends this block and prepares the `next`.
    fn end<'a>(&'a self, next: Option<&'a Layer<E>>) -> Between<'a> {
        let after = self.norm_place == NormPlace::After;
        Between { stream: self.feed_forward_norm.as_ref().filter(|_| after), ..start(next) }
    }
}

/// The part of a pass that prepares a block.
fn start<E: Element>(next: Option<&Layer<E>>) -> Between<'_> {
    Between {
        stream: None,
        seen: next.and_then(Layer::norm_before_attention),
        bias: next.map_or(&[], |next| &next.output.bias),
    }
}

/// Queries, keys and values side by side, each head padded.
fn pack_qkv<E: Element>(block: &Block, d: usize, heads: Heads) -> Packed<E> {
    let (width, columns) = (heads.width(), heads.columns());
    let parts = [&block.query, &block.key, &block.value];
    let place = |n: usize| {
        let (part, head, inside) = (n / columns, n % columns / width, n % width);
        (inside < heads.size).then_some((parts[part], head * heads.size + inside))
    };
    let value = |k, n| place(n).map_or(0.0, |(linear, output)| weight(linear, output, k));
    Packed::new(d, 3 * columns, value, |n| place(n).map_or(0.0, |(linear, output)| bias(linear, output)))
}

/// The map from padded heads back.
fn pack_output<E: Element>(block: &Block, d: usize, heads: Heads) -> Packed<E> {
    let width = heads.width();
    let value = |k: usize, n| {
        let (head, inside) = (k / width, k % width);
        if inside < heads.size { weight(&block.output, n, head * heads.size + inside) } else { 0.0 }
    };
    Packed::new(heads.columns(), d, value, |n| bias(&block.output, n))
}

/// `up`, or sixteen columns of `gate` and the same of `up` in turn.
fn pack_up<E: Element>(block: &Block, d: usize, f: usize) -> Packed<E> {
    let Some(gate) = &block.gate else {
        return Packed::new(d, f, |k, n| weight(&block.up, n, k), |n| bias(&block.up, n));
    };
    let place = |n: usize| {
        let linear = if n % PANEL < HALF { gate } else { &block.up };
        (linear, n / PANEL * HALF + n % HALF)
    };
    let value = |k, n| {
        let (linear, output) = place(n);
        weight(linear, output, k)
    };
    let bias = |n| {
        let (linear, output) = place(n);
        bias(linear, output)
    };
    Packed::new(d, 2 * padded(f), value, bias)
}

/// The places of a group's values.
struct Places<E> {
    stream: View<f32>,
    seen: View<E>,
    qkv: View<E>,
    context: View<E>,
    inner: View<E>,
    blocks: *mut f32,
    row: *mut f32,
}

impl<E: Element> Places<E> {
    /// Room for `rows` rows, and a block more that blocks of rows may reach over.
    fn new<K: Kernel<Element = E>>(
        encoder: &Encoder,
        layers: &[Layer<E>],
        rows: usize,
        scratch: &mut Scratch,
    ) -> Places<E> {
        fn view<T: crate::buffer::Plain>(buffer: &mut Buffer, rows: usize, columns: usize) -> View<T> {
            let stride = stride::<T>(columns);
            View { start: buffer.take(rows * stride), stride }
        }
        let (d, heads) = (padded(encoder.hidden), encoder.heads.columns());
        let f = layers.iter().map(|layer| layer.down.depth).max().unwrap_or(0);
        let strip = round_up(rows.min(STRIP_ROWS), K::ROWS);
        let rows = round_up(rows, K::ROWS) + K::ROWS;
        Places {
            stream: view(&mut scratch.stream, rows, d),
            seen: view(&mut scratch.seen, rows, d),
            qkv: view(&mut scratch.qkv, rows, 3 * heads),
            context: view(&mut scratch.context, rows, heads),
            inner: view(&mut scratch.inner, strip, f),
            blocks: scratch.blocks.take(matmul::blocks_len::<K>(strip)),
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
    layers: &[Layer<K::Element>],
    ids: &[u32],
    lengths: &[usize],
    scratch: &mut Scratch,
) {
    let mut hidden = std::mem::take(&mut scratch.hidden);
    let (mut ids, mut lengths, mut to) = (ids, lengths, hidden.as_mut_slice());
    while !lengths.is_empty() {
        let (count, rows) = next_group(lengths);
        let (group, later) = lengths.split_at(count);
        let (tokens, tokens_later) = ids.split_at(rows);
        let (states, states_later) = to.split_at_mut(rows * encoder.hidden);
        // SAFETY: the caller's promise.
        unsafe { run_group::<K>(encoder, layers, tokens, group, scratch, states) }
        (ids, lengths, to) = (tokens_later, later, states_later);
    }
    scratch.hidden = hidden;
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
    layers: &[Layer<K::Element>],
    ids: &[u32],
    lengths: &[usize],
    scratch: &mut Scratch,
    states: &mut [f32],
) {
    let rows = ids.len();
    let places = Places::new::<K>(encoder, layers, rows, scratch);
    let d = padded(encoder.hidden);
    let first = Between { stream: encoder.embedding_norm.as_ref(), ..start(layers.first()) };
    // SAFETY: the places have room for the rows.
    unsafe {
        embed(encoder, ids, lengths, places.stream);
        pass::<K>(places.stream, places.seen, rows, d, &first, places.row);
        for (i, layer) in layers.iter().enumerate() {
            run_layer::<K>(layer, layers.get(i + 1), lengths, rows, d, &places, &mut scratch.attention);
        }
        finish::<K>(encoder, &places, rows, states);
    }
}

/// The sum of the embeddings of each token, zero in the padding.
///
/// # Safety
/// `stream` has a row for each token.
unsafe fn embed(encoder: &Encoder, ids: &[u32], lengths: &[usize], stream: View<f32>) {
    let d = encoder.hidden;
    let learned = encoder.positions.rows > 0;
    let places = lengths.iter().flat_map(|&t| 0..t);
    for (row, (&id, place)) in ids.iter().zip(places).enumerate() {
        // SAFETY: a row of the stream.
        let line = unsafe { std::slice::from_raw_parts_mut(stream.at(row, 0), padded(d)) };
        line[d..].fill(0.0);
        line[..d].copy_from_slice(&encoder.tokens.values[id as usize * d..][..d]);
        if learned {
            let position = &encoder.positions.values[place * d..][..d];
            line.iter_mut().zip(position).for_each(|(x, p)| *x += p);
        }
    }
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
    let strip_rows = STRIP_ROWS / K::ROWS * K::ROWS;
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
            matmul::add_product::<K>(places.context.from(first, 0), rows, &layer.output, stream);
            pass::<K>(stream, seen, rows, d, &layer.between_parts(), places.row);
            feed_up::<K>(layer, seen, rows, places);
            matmul::add_product::<K>(places.inner, rows, &layer.down, stream);
            pass::<K>(stream, seen, rows, d, &layer.end(next), places.row);
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
    // SAFETY: the inner values have room for a strip of rows. The decisions stand outside so that each loop is compiled for one activation.
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

/// The final normalisation, and the rows without their padding.
///
/// # Safety
/// As for [`run_group`].
#[inline(always)]
unsafe fn finish<K: Kernel>(encoder: &Encoder, places: &Places<K::Element>, rows: usize, states: &mut [f32]) {
    let d = encoder.hidden;
    for (row, state) in (0..rows).zip(states.chunks_exact_mut(d)) {
        // SAFETY: rows of the stream.
        unsafe {
            let line = places.stream.at(row, 0);
            if let Some(norm) = &encoder.final_norm {
                norm.apply::<K::Lanes>(line, line);
            }
            state.copy_from_slice(std::slice::from_raw_parts(line, d));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{self, Plan, Random, VOCABULARY, random_model};

    const BASE: Plan = Plan {
        d: 64,
        heads: 2,
        f: 128,
        blocks: 2,
        positions: "learned",
        window: None,
        gated: false,
        activation: Activation::Gelu,
        norm_place: NormPlace::After,
        bias: true,
        norms: true,
    };

    /// Every feature, in sizes with awkward tails: heads of 12 to 64, widths that no register divides.
    fn plans() -> Vec<Plan> {
        vec![
            BASE,
            Plan { d: 36, heads: 3, f: 70, positions: "alibi", activation: Activation::GeluTanh, ..BASE },
            Plan { d: 32, heads: 1, f: 33, positions: "relative", activation: Activation::Relu, ..BASE },
            Plan {
                d: 48,
                heads: 3,
                f: 50,
                positions: "rotary",
                gated: true,
                activation: Activation::Silu,
                bias: false,
                ..BASE
            },
            Plan {
                d: 72,
                heads: 2,
                f: 90,
                positions: "rotary",
                window: Some(5),
                gated: true,
                norm_place: NormPlace::Before,
                bias: false,
                norms: false,
                ..BASE
            },
            Plan {
                d: 128,
                heads: 2,
                f: 520,
                positions: "alibi",
                window: Some(40),
                gated: true,
                activation: Activation::Relu,
                ..BASE
            },
            Plan { d: 120, heads: 3, f: 48, positions: "none", window: Some(0), norm_place: NormPlace::Before, ..BASE },
            Plan { d: 384, heads: 12, f: 1536, blocks: 1, ..BASE },
            Plan {
                d: 768,
                heads: 12,
                f: 1000,
                blocks: 1,
                positions: "relative",
                gated: true,
                activation: Activation::GeluTanh,
                ..BASE
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
                    let (cosine_least, difference_most) = match encoder.layers {
                        Layers::F32(_) => (0.999_999_99, 1e-5),
                        Layers::Bf16(_) => (0.999, 0.1),
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
        let plan = Plan { d: 32, heads: 1, f: 32, blocks: 1, positions: "alibi", ..BASE };
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
        let encoder = Encoder::new(&random_model(&BASE, 1), Precision::F32);
        let mut scratch = Scratch::default();
        assert!(encoder.forward(&[], &[], &mut scratch).is_empty());
        assert!(encoder.forward(&[], &[0, 0], &mut scratch).is_empty());
        let one = encoder.forward(&[7], &[1], &mut scratch).to_vec();
        assert!(encoder.forward(&[7], &[0, 1, 0], &mut scratch) == one);
    }
}

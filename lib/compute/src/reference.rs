//! A [`Transformer`] in 64-bit floats and plain loops: what encoder and decoder are held against. Also random models.

use crate::transformer::*;
use std::sync::Arc;

type Row = Vec<f64>;

fn linear(map: &Linear, x: &Row) -> Row {
    let m = &map.weight;
    let row = |o: usize| (0..m.columns).map(|i| x[i] * f64::from(m.values[o * m.columns + i])).sum::<f64>();
    (0..m.rows).map(|o| row(o) + map.bias.get(o).map_or(0.0, |&b| f64::from(b))).collect()
}

fn norm(norm: &Option<Norm>, x: Row) -> Row {
    let Some(norm) = norm else { return x };
    let count = x.len() as f64;
    let mean = if norm.kind == NormKind::Layer { x.iter().sum::<f64>() / count } else { 0.0 };
    let variance = x.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / count;
    let scale = 1.0 / (variance + f64::from(norm.epsilon)).sqrt();
    let bias = |i: usize| norm.bias.get(i).map_or(0.0, |&b| f64::from(b));
    x.iter().enumerate().map(|(i, v)| (v - mean) * scale * f64::from(norm.weight[i]) + bias(i)).collect()
}

/// The activation in 64-bit floats.
pub(crate) fn activate(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Gelu => 0.5 * x * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2),
        Activation::GeluTanh => {
            0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)).tanh())
        }
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::Relu => x.max(0.0),
    }
}

fn rotate(x: &mut [f64], position: usize, rotary: &Rotary) {
    let n = rotary.frequencies.len();
    for (p, &frequency) in rotary.frequencies.iter().enumerate() {
        let (sine, cosine) = (position as f64 * f64::from(frequency)).sin_cos();
        let (sine, cosine) = (sine * f64::from(rotary.scale), cosine * f64::from(rotary.scale));
        let (a, b) = (x[p], x[p + n]);
        x[p] = a * cosine - b * sine;
        x[p + n] = b * cosine + a * sine;
    }
}

fn bucket(distance: i64, buckets: i64, distance_max: f64) -> i64 {
    let half = buckets / 2;
    let exact = half / 2;
    let n = distance.abs();
    let within = if n < exact {
        n
    } else {
        let ratio = (n as f64 / exact as f64).ln() / (distance_max / exact as f64).ln();
        (exact + (ratio * (half - exact) as f64 + 1e-9).floor() as i64).min(half - 1)
    };
    within + if distance > 0 { half } else { 0 }
}

fn position_bias(positions: &Positions, head: usize, i: usize, j: usize) -> f64 {
    let distance = j as i64 - i as i64;
    match positions {
        Positions::None | Positions::Rotary(_) => 0.0,
        Positions::Alibi(slopes) => -f64::from(slopes[head]) * distance.abs() as f64,
        Positions::Relative { table, distance_max } => {
            let row = bucket(distance, table.rows as i64, *distance_max as f64) as usize;
            f64::from(table.values[row * table.columns + head])
        }
    }
}

fn cap(cap: Option<f32>, x: f64) -> f64 {
    cap.map_or(x, |cap| f64::from(cap) * (x / f64::from(cap)).tanh())
}

fn attention(model: &Transformer, block: &Block, x: &[Row]) -> Vec<Row> {
    let e = model.head_size;
    let project = |map: &Linear, by: &Option<Norm>, turn: bool| -> Vec<Row> {
        let head = |i: usize, head: &[f64]| {
            let mut head = norm(by, head.to_vec());
            if let (true, Positions::Rotary(rotary)) = (turn, &block.positions) {
                rotate(&mut head, i, rotary);
            }
            head
        };
        let row = |(i, x): (usize, &Row)| linear(map, x).chunks(e).flat_map(|h| head(i, h)).collect();
        x.iter().enumerate().map(row).collect()
    };
    let (q, k) = (project(&block.query, &block.query_norm, true), project(&block.key, &block.key_norm, true));
    let v = project(&block.value, &None, false);
    let scale = block.scale.map_or(1.0 / (e as f64).sqrt(), f64::from);
    let context = |i: usize| -> Row {
        let one_head = |head: usize| -> Row {
            let query = &q[i][head * e..(head + 1) * e];
            let key_head = head / (model.heads / model.key_heads);
            let part = key_head * e..(key_head + 1) * e;
            let score = |j: usize| {
                let product: f64 = query.iter().zip(&k[j][part.clone()]).map(|(a, b)| a * b).sum();
                let hidden = block.window.is_some_and(|w| i.abs_diff(j) > w) || (model.is_causal && j > i);
                let score = cap(block.soft_cap, product * scale) + position_bias(&block.positions, head, i, j);
                if hidden { f64::NEG_INFINITY } else { score }
            };
            let scores: Row = (0..x.len()).map(score).collect();
            let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let powers: Row = scores.iter().map(|s| (s - most).exp()).collect();
            let sum: f64 = powers.iter().sum();
            part.map(|c| powers.iter().zip(&v).map(|(p, v)| p / sum * v[c]).sum()).collect()
        };
        (0..model.heads).flat_map(one_head).collect()
    };
    (0..x.len()).map(|i| norm(&block.attention_end_norm, linear(&block.output, &context(i)))).collect()
}

fn feed_forward(block: &Block, x: &Row) -> Row {
    let up = linear(&block.up, x);
    let inner: Row = match &block.gate {
        Some(gate) => linear(gate, x).iter().zip(&up).map(|(&g, u)| activate(block.activation, g) * u).collect(),
        None => up.iter().map(|&u| activate(block.activation, u)).collect(),
    };
    norm(&block.feed_forward_end_norm, linear(&block.down, &inner))
}

fn add(x: &Row, y: Row) -> Row {
    x.iter().zip(y).map(|(a, b)| a + b).collect()
}

/// The final hidden states of one sequence.
pub(crate) fn forward(model: &Transformer, ids: &[u32]) -> Vec<Row> {
    let d = model.hidden;
    let embed = |(place, &id): (usize, &u32)| -> Row {
        let width = model.tokens.columns;
        let token = &model.tokens.values[id as usize * width..][..width];
        let token: Row = token.iter().map(|&t| f64::from(t)).collect();
        let token = model.embedding_map.as_ref().map_or(token.clone(), |map| linear(map, &token));
        let position = |c: usize| model.positions.values.get(place * d + c).map_or(0.0, |&p| f64::from(p));
        let sum = token.iter().enumerate().map(|(c, t)| t + position(c)).collect();
        norm(&model.embedding_norm, sum)
    };
    let mut x: Vec<Row> = ids.iter().enumerate().map(embed).collect();
    for block in &model.blocks {
        let after = block.norm_place == NormPlace::After;
        let seen: Vec<Row> =
            x.iter().map(|x| if after { x.clone() } else { norm(&block.attention_norm, x.clone()) }).collect();
        for (x, part) in x.iter_mut().zip(attention(model, block, &seen)) {
            let before = x.clone();
            let sum = add(x, part);
            *x = if after { norm(&block.attention_norm, sum) } else { sum };
            let seen = if block.is_parallel { &before } else { &*x };
            let seen = if after { seen.clone() } else { norm(&block.feed_forward_norm, seen.clone()) };
            let sum = add(x, feed_forward(block, &seen));
            *x = if after { norm(&block.feed_forward_norm, sum) } else { sum };
        }
    }
    x.into_iter().map(|x| norm(&model.final_norm, x)).collect()
}

/// The negative log-likelihood of the token behind each; NaN where none is asked for.
pub(crate) fn scores(model: &Transformer, head: &Head, ids: &[u32], next: &[Option<u32>]) -> Row {
    let score = |(state, next): (&Row, &Option<u32>)| {
        let Some(next) = next else { return f64::NAN };
        let state = head.map.as_ref().map_or(state.clone(), |map| linear(map, state));
        let logits: Row = linear(&head.linear, &state).into_iter().map(|x| cap(head.soft_cap, x)).collect();
        let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        most + logits.iter().map(|x| (x - most).exp()).sum::<f64>().ln() - logits[*next as usize]
    };
    forward(model, ids).iter().zip(next).map(score).collect()
}

/// xorshift64*.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 33) as usize % bound
    }

    /// Uniform in [-1, 1).
    pub(crate) fn uniform(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    fn values(&mut self, count: usize, scale: f32) -> Vec<f32> {
        (0..count).map(|_| self.uniform() * scale).collect()
    }

    fn matrix(&mut self, rows: usize, columns: usize, scale: f32) -> Matrix {
        Matrix { rows, columns, values: self.values(rows * columns, scale) }
    }

    /// Keeps the spread of its inputs.
    fn linear(&mut self, outputs: usize, inputs: usize, bias: bool) -> Linear {
        let weight = self.matrix(outputs, inputs, (3.0 / inputs as f32).sqrt());
        Linear { weight, bias: if bias { self.values(outputs, 0.3) } else { Vec::new() } }
    }

    fn norm(&mut self, d: usize, bias: bool) -> Norm {
        let weight = (0..d).map(|_| 1.0 + 0.3 * self.uniform()).collect();
        let bias = if bias { self.values(d, 0.3) } else { Vec::new() };
        Norm { kind: NormKind::Layer, weight, bias, epsilon: 1e-5 }
    }
}

/// The sizes and features of a random model.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) d: usize,
    pub(crate) heads: usize,
    pub(crate) f: usize,
    pub(crate) blocks: usize,
    pub(crate) positions: &'static str,
    pub(crate) window: Option<usize>,
    pub(crate) gated: bool,
    pub(crate) activation: Activation,
    pub(crate) norm_place: NormPlace,
    pub(crate) bias: bool,
    /// All norms; else the first block's attention, the embedding and the end go without.
    pub(crate) norms: bool,
    pub(crate) key_heads: usize,
    pub(crate) head_size: usize,
    /// Values of a head that a rotary embedding turns.
    pub(crate) rotary: usize,
    pub(crate) is_causal: bool,
    pub(crate) norm_kind: NormKind,
    pub(crate) has_head_norms: bool,
    pub(crate) has_end_norms: bool,
    pub(crate) is_parallel: bool,
    /// Of scores, with a scale of their own, and of logits.
    pub(crate) soft_cap: Option<f32>,
    /// The size of a token before it is mapped to `d`.
    pub(crate) narrow: Option<usize>,
}

impl Plan {
    /// What BERT is like.
    pub(crate) const ENCODER: Plan = Plan {
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
        key_heads: 2,
        head_size: 32,
        rotary: usize::MAX,
        is_causal: false,
        norm_kind: NormKind::Layer,
        has_head_norms: false,
        has_end_norms: false,
        is_parallel: false,
        soft_cap: None,
        narrow: None,
    };

    /// The same with so many heads that share `d`.
    pub(crate) fn split(self, d: usize, heads: usize) -> Plan {
        Plan { d, heads, key_heads: heads, head_size: d / heads, ..self }
    }
}

/// Vocabulary and position embedding of random models.
pub(crate) const VOCABULARY: usize = 300;
const POSITIONS: usize = 520;

/// A random model of a plan.
pub(crate) fn random_model(plan: &Plan, seed: u64) -> Transformer {
    let mut random = Random(seed | 1);
    let r = &mut random;
    let &Plan { d, heads, key_heads, head_size: e, f, bias, .. } = plan;
    let optional = |r: &mut Random, there: bool, d: usize| {
        there.then(|| Norm { kind: plan.norm_kind, ..r.norm(d, bias && plan.norm_kind == NormKind::Layer) })
    };
    let block = |r: &mut Random, first: bool| Block {
        query: r.linear(heads * e, d, bias),
        key: r.linear(key_heads * e, d, bias),
        value: r.linear(key_heads * e, d, bias),
        output: r.linear(d, heads * e, bias),
        query_norm: optional(r, plan.has_head_norms, e),
        key_norm: optional(r, plan.has_head_norms, e),
        scale: plan.soft_cap.map(|_| 0.4),
        soft_cap: plan.soft_cap,
        positions: match plan.positions {
            "alibi" => Positions::Alibi((0..heads).map(|h| 0.5f32.powi(h as i32 + 1)).collect()),
            "rotary" => Positions::Rotary(Rotary::new(10_000.0, plan.rotary.min(e))),
            "relative" => Positions::Relative { table: Arc::new(r.matrix(32, heads, 1.0)), distance_max: 128 },
            _ => Positions::None,
        },
        window: plan.window,
        attention_norm: optional(r, plan.norms || !first, d),
        gate: plan.gated.then(|| r.linear(f, d, bias)),
        up: r.linear(f, d, bias),
        down: r.linear(d, f, bias),
        feed_forward_norm: optional(r, true, d),
        attention_end_norm: optional(r, plan.has_end_norms, d),
        feed_forward_end_norm: optional(r, plan.has_end_norms, d),
        is_parallel: plan.is_parallel,
        activation: plan.activation,
        norm_place: plan.norm_place,
    };
    let learned = plan.positions == "learned";
    Transformer {
        hidden: d,
        heads,
        key_heads,
        head_size: e,
        is_causal: plan.is_causal,
        tokens: r.matrix(VOCABULARY, plan.narrow.unwrap_or(d), 1.0),
        embedding_map: plan.narrow.map(|width| r.linear(d, width, false)),
        positions: if learned { r.matrix(POSITIONS, d, 0.5) } else { Matrix::default() },
        embedding_norm: optional(r, plan.norms, d),
        blocks: (0..plan.blocks).map(|i| block(r, i == 0)).collect(),
        final_norm: optional(r, plan.norm_place == NormPlace::Before, d),
    }
}

/// A random head for a random model.
pub(crate) fn random_head(plan: &Plan, seed: u64) -> Head {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let bias = plan.bias && plan.soft_cap.is_none();
    let width = plan.narrow.unwrap_or(plan.d);
    let map = plan.narrow.map(|width| random.linear(width, plan.d, false));
    let linear = Linear { weight: random.matrix(VOCABULARY, width, 4.0 / (width as f32).sqrt()), bias: Vec::new() };
    let bias = if bias { random.values(VOCABULARY, 1.0) } else { Vec::new() };
    Head { map, linear: Linear { bias, ..linear }, soft_cap: plan.soft_cap }
}

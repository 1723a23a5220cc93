//! A [`Transformer`] in 64-bit floats and plain loops: what the encoder is held against. Also random models.

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
    let mean = x.iter().sum::<f64>() / count;
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

fn rotate(x: &mut [f64], position: usize, theta: f64) {
    let e = x.len();
    for p in 0..e / 2 {
        let (sine, cosine) = (position as f64 / theta.powf(2.0 * p as f64 / e as f64)).sin_cos();
        let (a, b) = (x[p], x[p + e / 2]);
        x[p] = a * cosine - b * sine;
        x[p + e / 2] = b * cosine + a * sine;
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
        Positions::None | Positions::Rotary { .. } => 0.0,
        Positions::Alibi(slopes) => -f64::from(slopes[head]) * distance.abs() as f64,
        Positions::Relative { table, distance_max } => {
            let row = bucket(distance, table.rows as i64, *distance_max as f64) as usize;
            f64::from(table.values[row * table.columns + head])
        }
    }
}

fn attention(block: &Block, heads: usize, x: &[Row]) -> Vec<Row> {
    let e = x[0].len() / heads;
    let project = |map: &Linear, turn: bool| -> Vec<Row> {
        let row = |(i, x): (usize, &Row)| {
            let mut row = linear(map, x);
            if let (true, Positions::Rotary { theta }) = (turn, &block.positions) {
                row.chunks_mut(e).for_each(|head| rotate(head, i, f64::from(*theta)));
            }
            row
        };
        x.iter().enumerate().map(row).collect()
    };
    let (q, k, v) = (project(&block.query, true), project(&block.key, true), project(&block.value, false));
    let context = |i: usize| -> Row {
        let one_head = |head: usize| -> Row {
            let part = head * e..(head + 1) * e;
            let score = |j: usize| {
                let product: f64 = q[i][part.clone()].iter().zip(&k[j][part.clone()]).map(|(a, b)| a * b).sum();
                let hidden = block.window.is_some_and(|w| i.abs_diff(j) > w);
                let score = product / (e as f64).sqrt() + position_bias(&block.positions, head, i, j);
                if hidden { f64::NEG_INFINITY } else { score }
            };
            let scores: Row = (0..x.len()).map(score).collect();
            let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let powers: Row = scores.iter().map(|s| (s - most).exp()).collect();
            let sum: f64 = powers.iter().sum();
            part.map(|c| powers.iter().zip(&v).map(|(p, v)| p / sum * v[c]).sum()).collect()
        };
        (0..heads).flat_map(one_head).collect()
    };
    (0..x.len()).map(|i| linear(&block.output, &context(i))).collect()
}

fn feed_forward(block: &Block, x: &Row) -> Row {
    let up = linear(&block.up, x);
    let inner: Row = match &block.gate {
        Some(gate) => linear(gate, x).iter().zip(&up).map(|(&g, u)| activate(block.activation, g) * u).collect(),
        None => up.iter().map(|&u| activate(block.activation, u)).collect(),
    };
    linear(&block.down, &inner)
}

fn add(x: &Row, y: Row) -> Row {
    x.iter().zip(y).map(|(a, b)| a + b).collect()
}

/// The final hidden states of one sequence.
pub(crate) fn forward(model: &Transformer, ids: &[u32]) -> Vec<Row> {
    let d = model.hidden;
    let embed = |(place, &id): (usize, &u32)| -> Row {
        let token = &model.tokens.values[id as usize * d..][..d];
        let position = |c: usize| model.positions.values.get(place * d + c).map_or(0.0, |&p| f64::from(p));
        let sum = token.iter().enumerate().map(|(c, &t)| f64::from(t) + position(c)).collect();
        norm(&model.embedding_norm, sum)
    };
    let mut x: Vec<Row> = ids.iter().enumerate().map(embed).collect();
    for block in &model.blocks {
        let after = block.norm_place == NormPlace::After;
        let seen: Vec<Row> =
            x.iter().map(|x| if after { x.clone() } else { norm(&block.attention_norm, x.clone()) }).collect();
        for (x, part) in x.iter_mut().zip(attention(block, model.heads, &seen)) {
            let sum = add(x, part);
            *x = if after { norm(&block.attention_norm, sum) } else { sum };
            let seen = if after { x.clone() } else { norm(&block.feed_forward_norm, x.clone()) };
            let sum = add(x, feed_forward(block, &seen));
            *x = if after { norm(&block.feed_forward_norm, sum) } else { sum };
        }
    }
    x.into_iter().map(|x| norm(&model.final_norm, x)).collect()
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
        Norm { weight, bias: if bias { self.values(d, 0.3) } else { Vec::new() }, epsilon: 1e-5 }
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
}

/// Vocabulary and position embedding of random models.
pub(crate) const VOCABULARY: usize = 300;
const POSITIONS: usize = 520;

/// A random model of a plan.
pub(crate) fn random_model(plan: &Plan, seed: u64) -> Transformer {
    let mut random = Random(seed | 1);
    let r = &mut random;
    let &Plan { d, heads, f, bias, .. } = plan;
    let optional = |r: &mut Random, there: bool| there.then(|| r.norm(d, bias));
    let block = |r: &mut Random, first: bool| Block {
        query: r.linear(d, d, bias),
        key: r.linear(d, d, bias),
        value: r.linear(d, d, bias),
        output: r.linear(d, d, bias),
        positions: match plan.positions {
            "alibi" => Positions::Alibi((0..heads).map(|h| 0.5f32.powi(h as i32 + 1)).collect()),
            "rotary" => Positions::Rotary { theta: 10_000.0 },
            "relative" => Positions::Relative { table: Arc::new(r.matrix(32, heads, 1.0)), distance_max: 128 },
            _ => Positions::None,
        },
        window: plan.window,
        attention_norm: optional(r, plan.norms || !first),
        gate: plan.gated.then(|| r.linear(f, d, bias)),
        up: r.linear(f, d, bias),
        down: r.linear(d, f, bias),
        feed_forward_norm: optional(r, true),
        activation: plan.activation,
        norm_place: plan.norm_place,
    };
    let learned = plan.positions == "learned";
    Transformer {
        hidden: d,
        heads,
        tokens: r.matrix(VOCABULARY, d, 1.0),
        positions: if learned { r.matrix(POSITIONS, d, 0.5) } else { Matrix::default() },
        embedding_norm: optional(r, plan.norms),
        blocks: (0..plan.blocks).map(|i| block(r, i == 0)).collect(),
        final_norm: optional(r, plan.norm_place == NormPlace::Before),
    }
}

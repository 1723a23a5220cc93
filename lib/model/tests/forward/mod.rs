//! A transformer in plain loops and 64-bit floats, from its description alone: slow, and independent of the encoder.

use compute::transformer::{Activation, Block, Linear, Norm, NormPlace, Positions, Transformer};

type Row = Vec<f64>;

/// The final hidden states of one sequence.
pub fn forward(model: &Transformer, ids: &[u32]) -> Vec<Row> {
    let d = model.hidden;
    let embed = |(i, &id): (usize, &u32)| -> Row {
        let token = &model.tokens.values[id as usize * d..][..d];
        let position = |c: usize| if model.positions.rows > 0 { model.positions.values[i * d + c] } else { 0.0 };
        (0..d).map(|c| f64::from(token[c]) + f64::from(position(c))).collect()
    };
    let mut x: Vec<Row> = ids.iter().enumerate().map(embed).map(|row| norm(&model.embedding_norm, row)).collect();
    for block in &model.blocks {
        x = part(block, &block.attention_norm, x, |x| attention(block, model.heads, x));
        x = part(block, &block.feed_forward_norm, x, |x| x.iter().map(|row| feed_forward(block, row)).collect());
    }
    x.into_iter().map(|row| norm(&model.final_norm, row)).collect()
}

fn part(block: &Block, by: &Option<Norm>, x: Vec<Row>, work: impl Fn(&[Row]) -> Vec<Row>) -> Vec<Row> {
    let add = |a: Vec<Row>, b: Vec<Row>| -> Vec<Row> {
        a.iter().zip(&b).map(|(a, b)| a.iter().zip(b).map(|(a, b)| a + b).collect()).collect()
    };
    match block.norm_place {
        NormPlace::After => {
            let y = work(&x);
            add(x, y).into_iter().map(|row| norm(by, row)).collect()
        }
        NormPlace::Before => {
            let y = work(&x.iter().map(|row| norm(by, row.clone())).collect::<Vec<_>>());
            add(x, y)
        }
    }
}

fn norm(norm: &Option<Norm>, x: Row) -> Row {
    let Some(norm) = norm else { return x };
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
    let scale = 1.0 / (variance + f64::from(norm.epsilon)).sqrt();
    let bias = |c: usize| norm.bias.get(c).map_or(0.0, |&b| f64::from(b));
    x.iter().enumerate().map(|(c, v)| (v - mean) * scale * f64::from(norm.weight[c]) + bias(c)).collect()
}

fn linear(map: &Linear, x: &Row) -> Row {
    let w = &map.weight;
    assert_eq!(w.columns, x.len());
    let sum =
        |o: usize| w.values[o * w.columns..][..w.columns].iter().zip(x).map(|(&w, x)| f64::from(w) * x).sum::<f64>();
    (0..w.rows).map(|o| sum(o) + map.bias.get(o).map_or(0.0, |&b| f64::from(b))).collect()
}

fn feed_forward(block: &Block, x: &Row) -> Row {
    let up = linear(&block.up, x);
    let inner = match &block.gate {
        Some(gate) => linear(gate, x).iter().zip(&up).map(|(g, u)| activate(block.activation, *g) * u).collect(),
        None => up.iter().map(|&u| activate(block.activation, u)).collect(),
    };
    linear(&block.down, &inner)
}

fn activate(by: Activation, x: f64) -> f64 {
    match by {
        Activation::Gelu => x * 0.5 * (1.0 + libm::erf(x / 2f64.sqrt())),
        Activation::GeluTanh => {
            x * 0.5 * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh())
        }
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::Relu => x.max(0.0),
    }
}

fn attention(block: &Block, heads: usize, x: &[Row]) -> Vec<Row> {
    let (d, t) = (x[0].len(), x.len());
    let e = d / heads;
    let rows = |map: &Linear| -> Vec<Row> { x.iter().map(|row| linear(map, row)).collect() };
    let (mut q, mut k, v) = (rows(&block.query), rows(&block.key), rows(&block.value));
    if let Positions::Rotary(rotary) = &block.positions {
        for (i, row) in q.iter_mut().enumerate().chain(k.iter_mut().enumerate()) {
            row.chunks_mut(e).for_each(|head| rotate(head, i, &rotary.frequencies));
        }
    }
    let mut out = vec![vec![0.0; d]; t];
    for h in 0..heads {
        let at = h * e..(h + 1) * e;
        for i in 0..t {
            let seen: Vec<usize> = (0..t).filter(|&j| block.window.is_none_or(|w| i.abs_diff(j) <= w)).collect();
            let dot = |j: usize| q[i][at.clone()].iter().zip(&k[j][at.clone()]).map(|(a, b)| a * b).sum::<f64>();
            let scores: Row =
                seen.iter().map(|&j| dot(j) / (e as f64).sqrt() + bias(&block.positions, h, i, j)).collect();
            let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = scores.iter().map(|s| (s - top).exp()).sum();
            for (s, &j) in scores.iter().zip(&seen) {
                let share = (s - top).exp() / total;
                out[i][at.clone()].iter_mut().zip(&v[j][at.clone()]).for_each(|(o, v)| *o += share * v);
            }
        }
    }
    out.iter().map(|row| linear(&block.output, row)).collect()
}

fn rotate(head: &mut [f64], position: usize, frequencies: &[f32]) {
    let half = head.len() / 2;
    for p in 0..half {
        let angle = position as f64 * f64::from(frequencies[p]);
        let (a, b) = (head[p], head[p + half]);
        head[p] = a * angle.cos() - b * angle.sin();
        head[p + half] = b * angle.cos() + a * angle.sin();
    }
}

fn bias(positions: &Positions, head: usize, i: usize, j: usize) -> f64 {
    match positions {
        Positions::None | Positions::Rotary(_) => 0.0,
        Positions::Alibi(slopes) => -f64::from(slopes[head]) * i.abs_diff(j) as f64,
        Positions::Relative { table, distance_max } => {
            let bucket = bucket(j as i64 - i as i64, table.rows, *distance_max);
            f64::from(table.values[bucket * table.columns + head])
        }
    }
}

/// T5's buckets for both directions: half of them for tokens behind, of each half one half exact, the rest logarithmic.
fn bucket(distance: i64, buckets: usize, distance_max: usize) -> usize {
    let half = buckets / 2;
    let exact = half / 2;
    let n = distance.unsigned_abs() as usize;
    let far = || {
        let share = (n as f32 / exact as f32).ln() / (distance_max as f32 / exact as f32).ln();
        (exact + (share * (half - exact) as f32) as usize).min(half - 1)
    };
    (if distance > 0 { half } else { 0 }) + if n < exact { n } else { far() }
}

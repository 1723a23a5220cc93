//! How fast the encoder is on this machine: sequences and GFLOP a second by number of threads, and for AMX the share of
//! what the tile unit does from registers alone, measured in the same run.
//!
//! `cargo run --release -p compute --example encode_bench [-- TOKENS [SECONDS [d layers heads f]]]`; weights are
//! random, which no time depends on.

mod peak;

use compute::encoder::{Encoder, Precision, Scratch, available};
use compute::transformer::*;
use std::time::{Duration, Instant};

/// The sizes of all-MiniLM-L6-v2 unless asked otherwise.
struct Sizes {
    d: usize,
    layers: usize,
    heads: usize,
    f: usize,
}

fn main() {
    let numbers: Vec<usize> = std::env::args().skip(1).map(|a| a.parse().expect("a whole number")).collect();
    let number = |i: usize, default: usize| numbers.get(i).copied().unwrap_or(default);
    let (tokens, seconds) = (number(0, 110), number(1, 3));
    let sizes = Sizes { d: number(2, 384), layers: number(3, 6), heads: number(4, 12), f: number(5, 1536) };
    let model = model(&sizes);
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let peak = peak::of_tiles();
    if let Some(peak) = peak {
        println!("tiles from registers alone: {peak:.0} GFLOP/s a thread");
    }
    for precision in [Precision::Exact, Precision::Bf16] {
        if !available(precision) {
            println!("{precision:?}: not on this processor");
            continue;
        }
        let encoder = Encoder::new(&model, precision);
        for threads in [1, cores] {
            let (rate, fastest) = rate(&encoder, tokens, threads, Duration::from_secs(seconds as u64));
            let gflops = fastest * work(&sizes, tokens) / 1e9;
            let share = peak.filter(|_| precision == Precision::Bf16).map(|p| 100.0 * gflops / threads as f64 / p);
            let share = share.map_or(String::new(), |s| format!(", {s:.0} % of the tiles' peak"));
            println!(
                "{precision:?}, {threads} threads, {tokens} tokens: {rate:.1} sequences/s; fastest calls {fastest:.1}, \
                 {gflops:.0} GFLOP/s{share}"
            );
        }
    }
}

/// Floating-point operations for one sequence: the products only.
fn work(sizes: &Sizes, tokens: usize) -> f64 {
    let Sizes { d, layers, f, .. } = *sizes;
    (2 * layers * tokens * (4 * d * d + 2 * d * f + 2 * tokens * d)) as f64
}

/// Sequences a second, of lengths around `tokens`, in calls of 16: over all the time, and in the threads' fastest
/// calls, which says what an undisturbed machine would do.
fn rate(encoder: &Encoder, tokens: usize, threads: usize, time: Duration) -> (f64, f64) {
    let worker = || {
        let lengths: Vec<usize> = (0..16).map(|i| tokens * (75 + 50 * i / 15) / 100).map(|t| t.max(1)).collect();
        let ids: Vec<u32> = (0..lengths.iter().sum::<usize>()).map(|i| (i * 7919 % 1000) as u32).collect();
        let mut scratch = Scratch::default();
        encoder.forward(&ids, &lengths, &mut scratch);
        let (start, mut calls, mut fastest) = (Instant::now(), 0, f64::MAX);
        while start.elapsed() < time {
            let call = Instant::now();
            encoder.forward(&ids, &lengths, &mut scratch);
            fastest = fastest.min(call.elapsed().as_secs_f64());
            calls += 1;
        }
        ((calls * lengths.len()) as f64 / start.elapsed().as_secs_f64(), lengths.len() as f64 / fastest)
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        let rates = workers.into_iter().map(|w| w.join().expect("a worker"));
        rates.fold((0.0, 0.0), |sum, rate| (sum.0 + rate.0, sum.1 + rate.1))
    })
}

fn model(sizes: &Sizes) -> Transformer {
    let Sizes { d, layers, heads, f } = *sizes;
    let mut state = 1u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let mut matrix = |rows: usize, columns: usize| {
        let scale = (3.0 / columns as f32).sqrt();
        Matrix { rows, columns, values: (0..rows * columns).map(|_| random() * scale).collect() }
    };
    let mut linear = |rows, columns| Linear { weight: matrix(rows, columns), bias: vec![0.1; rows] };
    let norm = || Some(Norm { weight: vec![1.0; d], bias: vec![0.1; d], epsilon: 1e-12, ..Norm::default() });
    let mut block = || Block {
        query: linear(d, d),
        key: linear(d, d),
        value: linear(d, d),
        output: linear(d, d),
        positions: Positions::None,
        window: None,
        attention_norm: norm(),
        gate: None,
        up: linear(f, d),
        down: linear(d, f),
        feed_forward_norm: norm(),
        activation: Activation::Gelu,
        norm_place: NormPlace::After,
        ..Block::default()
    };
    let blocks = (0..layers).map(|_| block()).collect();
    Transformer {
        hidden: d,
        heads,
        key_heads: heads,
        head_size: d / heads,
        is_causal: false,
        tokens: matrix(1000, d),
        positions: matrix(10_000, d),
        embedding_norm: norm(),
        blocks,
        embedding_map: None,
        final_norm: None,
    }
}

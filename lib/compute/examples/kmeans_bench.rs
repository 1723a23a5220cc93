//! How fast nearest centroids are found on this machine: rows and GFLOP a second for each way to compute, the share of
//! rows that needed a second look, and the time of the sums; for AMX the share of what the tile unit does from
//! registers alone.
//!
//! `cargo run --release -p compute --example kmeans_bench [-- ROWS DIM K ITERATIONS [VECTORS.npy]]`. Without a file
//! (one array of `<f4`, `DIM` columns, used again and again with a little noise) rows are random, around 200
//! directions. The environment variable `MACHINE` names the only way to measure.

mod peak;

use compute::kmeans::{Assigner, Centroids, Cpu, Metric, Moves, Nearest, Scratch, Sums, WEIGHT_ONE};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

/// Rows of a call.
const BLOCK: usize = 1024;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: usize| arguments.next().map_or(default, |a| a.parse().expect("a whole number"));
    let (n, dim, k, iterations) = (number(58_587), number(384), number(1000), number(20));
    let rows = rows(n, dim, arguments.next().as_deref());
    let centroids: Vec<f32> = (0..k).flat_map(|j| rows[j * (n / k) * dim..][..dim].to_vec()).collect();
    let centroids = Centroids::new(Metric::Cosine, dim, centroids).expect("finite rows, none zero");
    let peak = peak::of_tiles();
    if let Some(peak) = peak {
        println!("tiles from registers alone: {peak:.0} GFLOP/s a thread");
    }
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let only = std::env::var("MACHINE").ok();
    for machine in Cpu::machines().into_iter().filter(|machine| only.as_ref().is_none_or(|only| only == machine)) {
        for threads in [1, cores] {
            let run = lloyd(&rows, centroids.clone(), &machine, threads, iterations);
            let gflops = |rate: f64| rate * 2.0 * (dim * k) as f64 / 1e9;
            let share = peak.filter(|_| machine == "Amx").map(|p| 100.0 * gflops(run.fastest) / threads as f64 / p);
            let share = share.map_or(String::new(), |s| format!(", {s:.0} % of the tiles' peak"));
            println!(
                "{machine}, {threads} threads: {iterations} iterations {:.3} s; \
                 fastest: centroids {:.1} ms, iteration {:.1} ms, calls {:.0} rows/s ({:.0} GFLOP/s{share}), sums \
                 {:.0} rows/s; re-ranked {:.1} %, inertia {:.6}",
                run.total,
                1e3 * run.prepare,
                1e3 * run.iteration,
                run.fastest,
                gflops(run.fastest),
                run.sums,
                100.0 * run.reranked,
                run.inertia,
            );
        }
    }
}

/// What was measured; rates and times are those of the fastest calls, which an undisturbed machine would do always.
struct Run {
    total: f64,
    prepare: f64,
    iteration: f64,
    fastest: f64,
    sums: f64,
    reranked: f64,
    inertia: f64,
}

/// Lloyd's iterations.
fn lloyd(rows: &[f32], mut centroids: Centroids, machine: &str, threads: usize, iterations: usize) -> Run {
    let (start, dim) = (Instant::now(), centroids.dim);
    let n = rows.len() / dim;
    let mut found = vec![Nearest::MISSING; n];
    let mut sums = Sums::new(&centroids);
    let mut run = Run {
        total: 0.0,
        prepare: f64::MAX,
        iteration: f64::MAX,
        fastest: 0.0,
        sums: 0.0,
        reranked: 0.0,
        inertia: 0.0,
    };
    let mut scratches: Vec<Scratch> = (0..threads).map(|_| Scratch::default()).collect();
    for _ in 0..iterations {
        let step = Instant::now();
        let cpu = Cpu::with(centroids.clone(), machine);
        run.prepare = run.prepare.min(step.elapsed().as_secs_f64());
        let all = Mutex::new(Moves::new(&sums));
        let reranked = AtomicUsize::new(0);
        let blocks = Mutex::new(rows.chunks(BLOCK * dim).zip(found.chunks_mut(BLOCK)));
        let worker = |scratch: &mut Scratch| {
            let (mut fastest, mut fastest_sums, mut moves) = (0.0_f64, 0.0_f64, Moves::new(&sums));
            loop {
                let Some((rows, found)) = blocks.lock().unwrap().next() else {
                    all.lock().unwrap().merge(&moves);
                    return (fastest, fastest_sums);
                };
                let before: Vec<u32> = found.iter().map(|found| found.cluster).collect();
                let call = Instant::now();
                reranked.fetch_add(cpu.nearest(rows, found, scratch), Relaxed);
                fastest = fastest.max(found.len() as f64 / call.elapsed().as_secs_f64());
                let call = Instant::now();
                for ((row, &found), before) in rows.chunks_exact(dim).zip(&*found).zip(before) {
                    moves.add(row, before, found, WEIGHT_ONE).expect("unit vectors");
                }
                fastest_sums = fastest_sums.max(found.len() as f64 / call.elapsed().as_secs_f64());
            }
        };
        let rates = std::thread::scope(|scope| {
            let workers: Vec<_> = scratches.iter_mut().map(|scratch| scope.spawn(|| worker(scratch))).collect();
            let rates = workers.into_iter().map(|worker| worker.join().expect("a worker"));
            rates.fold((0.0, 0.0_f64), |sum, rate| (sum.0 + rate.0, rate.1.max(sum.1)))
        });
        (run.fastest, run.sums) = (run.fastest.max(rates.0), run.sums.max(rates.1));
        sums = sums.after(&all.into_inner().unwrap()).expect("few rows");
        for (j, row) in centroids.values.chunks_exact_mut(dim).enumerate() {
            if let Some(mean) = sums.centroid(j) {
                row.copy_from_slice(&mean);
            }
        }
        run.iteration = run.iteration.min(step.elapsed().as_secs_f64());
        run.inertia = sums.inertia();
        run.reranked = reranked.into_inner() as f64 / n as f64;
    }
    run.total = start.elapsed().as_secs_f64();
    run
}

fn rows(n: usize, dim: usize, file: Option<&str>) -> Vec<f32> {
    let mut state = 1u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let (from, noise) = match file {
        Some(file) => (read(file), 0.01),
        None => ((0..200 * dim).map(|_| random()).collect(), 1.0),
    };
    from.iter().cycle().take(n * dim).map(|value| value + noise * random()).collect()
}

/// The values of an array in a file whose header is 128 bytes.
fn read(file: &str) -> Vec<f32> {
    let bytes = std::fs::read(file).expect("a readable file");
    bytes[128..].as_chunks::<4>().0.iter().map(|&value| f32::from_le_bytes(value)).collect()
}

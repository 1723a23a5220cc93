//! How fast nearest centroids are found on a GPU, after the answers were compared with the CPU's.
//!
//! `kmeans_gpu describe` prints the first GPU, or says why there is none and exits 1; `kmeans_gpu count` how many there
//! are. `kmeans_gpu bench N DIM:K...` prints a table: milliseconds of each kernel with the rows in the GPU's memory,
//! TFLOP/s of the product 2 N DIM K over the assignment, the share of re-ranked rows, and milliseconds of an assignment
//! that starts and ends in the memory of the host. Rows are random, around K directions. `kmeans_gpu rows N DIM` writes
//! such rows to standard output as 32-bit floats, for other programs to measure on; `kmeans_gpu nasty N DIM K` writes K
//! centroids and N rows that are hard to tell apart, too large, too small, or not numbers: what the tests of all
//! devices are of.

use compute::kmeans::trials::{Random, nasty};
use compute::kmeans::{Assigner, Block, Centroids, Cpu, Metric, Nearest, WEIGHT_ONE};
use gpu::device::{Device, Failure};
use gpu::flow::{Buffers, Flow};
use gpu::kmeans::Cuda;
use gpu::resident::Stage;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

/// Rows that are compared.
const COMPARED: usize = 16384;

/// Bytes of the values of a piece of rows that stream.
const PIECE: usize = 64 << 20;

/// Runs of which the fastest counts.
const RUNS: usize = 10;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["describe"] => Device::open(0).and_then(|device| device.describe()).map(|text| println!("{text}")),
        ["count"] => gpu::device::count().map(|count| println!("{count}")),
        ["bench", n, ref shapes @ ..] => bench(number(n), shapes),
        ["rows", n, dim] => {
            print(&rows(number(n), number(dim), 1000));
            Ok(())
        }
        ["nasty", n, dim, k] => {
            let (centroids, rows) = nasty(&mut Random(1), Metric::Cosine, number(dim), number(k), number(n));
            print(&centroids.values);
            print(&rows);
            Ok(())
        }
        _ => {
            eprintln!("kmeans_gpu: expected describe, count, bench N DIM:K..., rows N DIM, or nasty N DIM K");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("kmeans_gpu: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn print(values: &[f32]) {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    std::io::stdout().write_all(&bytes).expect("standard output takes the rows");
}

fn number(word: &str) -> usize {
    word.parse().unwrap_or_else(|_| panic!("{word}: expected a whole number"))
}

fn bench(n: usize, shapes: &[&str]) -> Result<(), Failure> {
    let device = Device::open(0)?;
    println!("# {}, n {n}; ms, the fastest of {RUNS}", device.describe()?);
    println!("dim\tk\tprepare\tpropose\tdecide\tassign\tTFLOP/s\tsums\treranked\tfrom_host");
    for shape in shapes {
        let (dim, k) = shape.split_once(':').map(|(dim, k)| (number(dim), number(k))).expect("DIM:K");
        one(&device, n, dim, k)?;
    }
    Ok(())
}

fn one(device: &Device, n: usize, dim: usize, k: usize) -> Result<(), Failure> {
    let rows = rows(n, dim, k);
    let centroids = Centroids::new(Metric::Cosine, dim, rows[..k * dim].to_vec()).expect("finite rows, none zero");
    let cuda = Arc::new(Cuda::new(device, centroids.clone())?);
    let block = Block { numbers: (0..n as u64).collect(), weights: vec![WEIGHT_ONE; n], values: rows };
    let mut buffers = Buffers::new(device, dim, PIECE / 4 / dim)?;
    let (mut found, mut reranked, mut from_host) = (Vec::with_capacity(n), 0, f64::MAX);
    for _ in 0..3 {
        found.clear();
        let start = Instant::now();
        let mut flow = Flow::new(cuda.clone(), None, buffers);
        flow.push(block.view(0), |row| found.push(row.nearest[0]))?;
        flow.flush(|row| found.push(row.nearest[0]))?;
        reranked = flow.take_reranked();
        buffers = flow.end();
        from_host = from_host.min(milliseconds(start));
    }
    let rows = block.values;
    compare(&centroids, &rows, &found);
    drop(buffers);
    let resident = cuda.resident(&rows)?;
    let mut times = [f64::MAX; 4];
    for _ in 0..RUNS {
        let stages = [Stage::Prepare, Stage::Propose, Stage::Decide, Stage::Sums];
        for (time, stage) in times.iter_mut().zip(stages) {
            let start = Instant::now();
            resident.run(stage)?;
            *time = time.min(milliseconds(start));
        }
    }
    let same = resident.clusters()?.iter().zip(&found).all(|(&cluster, found)| cluster == found.cluster);
    assert!(same, "rows in the GPU's memory and rows that stream have other clusters");
    let [prepare, propose, decide, sums] = times;
    let assign = prepare + propose + decide;
    let teraflops = 2.0 * (n * dim * k) as f64 / assign / 1e9;
    let share = reranked as f64 / n as f64;
    println!(
        "{dim}\t{k}\t{prepare:.2}\t{propose:.2}\t{decide:.2}\t{assign:.2}\t{teraflops:.1}\t{sums:.2}\t\
         {share:.4}\t{from_host:.1}"
    );
    Ok(())
}

fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

/// Holds the first and the last rows against the CPU, bit for bit.
fn compare(centroids: &Centroids, rows: &[f32], found: &[Nearest]) {
    let (cpu, dim) = (Cpu::new(centroids.clone()), centroids.dim);
    let half = COMPARED.min(found.len()) / 2;
    for range in [0..half, found.len() - half..found.len()] {
        let mut expected = vec![Nearest::MISSING; range.len()];
        cpu.nearest(&rows[range.start * dim..range.end * dim], &mut expected, &mut Default::default());
        for (i, (a, b)) in found[range.clone()].iter().zip(&expected).enumerate() {
            let same = a.cluster == b.cluster && a.distance.to_bits() == b.distance.to_bits();
            assert!(same, "row {}: {a:?} on the GPU, {b:?} on the CPU", range.start + i);
        }
    }
}

/// Random rows around `k` random directions.
fn rows(n: usize, dim: usize, k: usize) -> Vec<f32> {
    let mut state = 1_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f32 / (1_u64 << 30) as f32 - 1.0
    };
    let directions: Vec<f32> = (0..k * dim).map(|_| random()).collect();
    (0..n * dim).map(|at| directions[at / dim % k * dim + at % dim] + 0.8 * random()).collect()
}

//! Nearest centroids and sums, on the GPU of this machine and in emulation, beside those of the CPU.

use crate::device::{Device, machines};
use crate::emulator::Emulator;
use crate::flow::{Buffers, Flow};
use crate::kernels::{self, Found};
use crate::kmeans::{Cuda, DeviceSums};
use crate::modules::TILE;
use crate::table::DIM_MAX;
use compute::kmeans::trials::{self, METRICS, Random};
use compute::kmeans::{
    Assigned, Assigner, Block, Centroids, Metric, Nearest, Outlier, Reference, Sums, WEIGHT_ONE, unit_exponent,
};
use half::f16;
use std::sync::Arc;

/// Rows that go in and come out in one call.
pub(crate) struct OneCall {
    pub(crate) cuda: Arc<Cuda>,
    pub(crate) sums: Option<Arc<DeviceSums>>,
    /// Rows of a piece.
    piece: usize,
}

impl OneCall {
    pub(crate) fn new(device: &Device, centroids: &Centroids, summing: bool) -> OneCall {
        let cuda = Arc::new(Cuda::new(device, centroids.clone()).unwrap());
        let sums = summing.then(|| Arc::new(cuda.sums(unit_exponent(centroids)).unwrap()));
        OneCall { cuda, sums, piece: 3 * TILE }
    }

    /// Of each row what is nearest, and whether sums could take it; how many were re-ranked.
    pub(crate) fn run(&self, rows: &[f32], weights: &[u64]) -> (Vec<(Nearest, bool)>, u64) {
        let (n, dim) = (weights.len(), self.cuda.centroids().dim);
        let block = Block { numbers: (0..n as u64).collect(), weights: weights.to_vec(), values: rows.to_vec() };
        let buffers = Buffers::new(self.cuda.device(), dim, self.piece).unwrap();
        let mut flow = Flow::new(self.cuda.clone(), self.sums.clone(), buffers);
        let mut found = Vec::new();
        flow.push(block.view(0), |row| found.push((row.nearest[0], row.summable))).unwrap();
        flow.flush(|row| found.push((row.nearest[0], row.summable))).unwrap();
        (found, flow.take_reranked())
    }
}

impl Assigner for OneCall {
    type Scratch = ();

    fn nearest(&self, rows: &[f32], found: &mut [Nearest], _: &mut ()) -> usize {
        let (nearest, reranked) = self.run(rows, &vec![WEIGHT_ONE; found.len()]);
        found.iter_mut().zip(nearest).for_each(|(place, (nearest, _))| *place = nearest);
        reranked as usize
    }

    fn nearest_several(&self, rows: &[f32], count: usize, found: &mut [Nearest], _: &mut ()) -> usize {
        self.cuda.nearest_several(rows, count, found).unwrap();
        found.len() / count
    }
}

fn everywhere(centroids: &Centroids) -> Vec<(String, OneCall)> {
    machines().iter().map(|device| (device.name(), OneCall::new(device, centroids, false))).collect()
}

#[test]
fn not_one_nasty_row_differs() {
    trials::nasty_rows(everywhere, &[1, 17, 33, 100], &[1, 2, 17, 129]);
}

#[test]
fn every_tail_is_whole() {
    trials::tails(everywhere, [0, 1, 2, 15, 16, 17, 127, 128, 129, 300].into_iter());
}

#[test]
fn wide_and_many() {
    trials::shapes(everywhere, &[(1500, 20, 20), (384, 300, 40), (8, 1000, 150)]);
}

#[test]
fn scales_of_every_size() {
    trials::scales(everywhere, &[-149, -126, -60, 0, 60, 110, 126]);
}

#[test]
fn far_from_the_origin_and_close_together() {
    trials::far_from_the_origin(everywhere);
}

#[test]
fn padding_is_no_centroid() {
    trials::in_the_middle(everywhere, &[1, 120, 127, 128]);
}

#[test]
fn more_alike_than_lists_have_room() {
    trials::more_alike_than_lists_have_room(everywhere);
}

#[test]
fn several_nearest_are_those_of_the_reference() {
    trials::several(everywhere, &[(3, 2, 40), (33, 50, 70)], &[1, 3, 60]);
}

/// A bound so wide that everything is decided in 64 bits would pass all tests above.
#[test]
fn few_rows_are_reranked() {
    for metric in METRICS {
        for (dim, offset) in [(64, 0.0), (384, 0.0), (384, 50.0)] {
            let share = trials::reranked_share(everywhere, metric, dim, 140, offset);
            assert!(share < 0.02, "{metric:?}, d {dim}, offset {offset}: {share}");
        }
    }
}

fn reference(centroids: &Centroids, rows: &[f32]) -> Vec<Nearest> {
    let mut expected = vec![Nearest::MISSING; rows.len() / centroids.dim];
    Reference::new(centroids.clone()).nearest(rows, &mut expected, &mut ());
    expected
}

fn assert_same(found: &[Nearest], expected: &[Nearest], what: &str) {
    let bits = |rows: &[Nearest]| rows.iter().map(|row| (row.cluster, row.distance.to_bits())).collect::<Vec<_>>();
    assert_eq!(bits(found), bits(expected), "{what}");
}

/// The kernel that is the oracle on a GPU, against the one on the CPU.
#[test]
fn the_naive_kernel_is_the_reference() {
    let mut random = Random(9);
    for (metric, device) in
        METRICS.into_iter().flat_map(|metric| machines().into_iter().map(move |device| (metric, device)))
    {
        let (centroids, rows) = trials::nasty(&mut random, metric, 37, 20, 150);
        let cuda = Cuda::new(&device, centroids.clone()).unwrap();
        let on_device = device.array_of(&rows).unwrap();
        let found = Found { cluster: device.array(150).unwrap(), distance: device.array(150).unwrap() };
        let (mut cluster, mut distance) = (vec![7; 150], vec![7.0; 150]);
        let stream = device.stream().unwrap();
        // SAFETY: everything lives until `wait` has returned.
        unsafe {
            kernels::assign_naive(&stream, cuda.shape(150), &on_device, cuda.exact(), &found).unwrap();
            stream.download(&found.cluster, &mut cluster).unwrap();
            stream.download(&found.distance, &mut distance).unwrap();
        }
        stream.wait().unwrap();
        let found: Vec<_> =
            cluster.iter().zip(&distance).map(|(&cluster, &distance)| Nearest { cluster, distance }).collect();
        assert_same(&found, &reference(&centroids, &rows), &device.name());
    }
}

#[test]
fn pieces_and_calls_of_any_size_are_one() {
    let mut random = Random(10);
    let (centroids, rows) = trials::nasty(&mut random, Metric::Cosine, 9, 30, 700);
    let mut expected = vec![Nearest::MISSING; 700];
    let reranked = everywhere(&centroids)[0].1.nearest(&rows, &mut expected, &mut ());
    for (name, one_call) in everywhere(&centroids) {
        let one_call = OneCall { piece: TILE, ..one_call };
        let (mut found, mut seen) = (vec![Nearest::MISSING; 700], 0);
        for range in [0..1, 1..130, 130..131, 131..131, 131..700] {
            seen += one_call.nearest(&rows[range.start * 9..range.end * 9], &mut found[range], &mut ());
        }
        assert_same(&found, &expected, &name);
        assert_eq!(seen, reranked, "{name}");
    }
}

#[test]
fn memory_that_is_short_is_said_to_be() {
    let centroids = Centroids::new(Metric::Euclidean, 32, Random(11).vector(320)).unwrap();
    let Some(emulator) = Emulator::new(false) else { return };
    let device = Device::emulated(emulator.with_limit(60_000));
    let cuda = Cuda::new(&device, centroids).unwrap();
    let (rows, mut found) = (Random(12).vector(2000 * 32), vec![Nearest::MISSING; 6000]);
    assert!(cuda.nearest_several(&rows, 3, &mut found).unwrap_err().out_of_memory);
    cuda.nearest_several(&rows[..100 * 32], 3, &mut found[..300]).unwrap();
    assert!(Buffers::new(&device, 32, 1000).err().unwrap().out_of_memory);
}

/// What the CPU makes of rows, their weights, and what was found for them.
fn sums_on_cpu(
    centroids: &Centroids,
    rows: &[f32],
    weights: &[u64],
    found: &[(Nearest, bool)],
) -> Result<Sums, Outlier> {
    let mut sums = Sums::new(centroids);
    for ((row, &weight), &(found, _)) in rows.chunks_exact(centroids.dim).zip(weights).zip(found) {
        sums.add(row, found, weight)?;
    }
    Ok(sums)
}

#[test]
fn sums_are_those_of_the_cpu() {
    let mut random = Random(12);
    for metric in METRICS {
        for (dim, k, n, spread) in [(5, 3, 300, 1.0), (70, 40, 200, 1e-20), (33, 7, 130, 3e4)] {
            let values = random.vector(dim * k).iter().map(|v| v * spread).collect();
            let centroids = Centroids::new(metric, dim, values).unwrap();
            let mut rows: Vec<f32> = random.vector(dim * n).iter().map(|v| v * 1.5 * spread).collect();
            rows[2 * dim] = f32::NAN;
            rows[3 * dim..4 * dim].fill(0.0);
            let weights: Vec<u64> = (0..n).map(|_| random.bits() >> random.below(31)).collect();
            for device in machines() {
                for weights in [&vec![WEIGHT_ONE; n], &weights] {
                    let one_call = OneCall::new(&device, &centroids, true);
                    let (found, _) = one_call.run(&rows, weights);
                    assert!(found.iter().all(|&(_, summable)| summable));
                    let expected = sums_on_cpu(&centroids, &rows, weights, &found);
                    let sums = one_call.sums.unwrap().collect().unwrap();
                    assert_eq!(sums, (expected, 0), "{device:?}, {metric:?}, d {dim}");
                }
            }
        }
    }
}

#[test]
fn sums_refuse_what_the_cpu_refuses() {
    let centroids = Centroids::new(Metric::Euclidean, 2, vec![0.5, 0.5]).unwrap();
    let cases = [
        ([524289.0, 0.0, 1.0, 1.0], WEIGHT_ONE, [false, true]),
        ([524288.0, 0.0, 1.0, 1.0], WEIGHT_ONE, [true; 2]),
        ([1.0, 0.0, 1.0, 1.0], u64::MAX, [false, true]),
        ([0.0, 0.0, 0.0, 0.0], u64::MAX, [true; 2]),
        ([0.0, 0.0, 0.0, 0.0], u64::MAX - WEIGHT_ONE, [true; 2]),
    ];
    for (rows, weight, summable) in cases {
        for device in machines() {
            let one_call = OneCall::new(&device, &centroids, true);
            let (found, _) = one_call.run(&rows, &[weight, WEIGHT_ONE]);
            let (all, outliers) = one_call.sums.unwrap().collect().unwrap();
            assert_eq!([found[0].1, found[1].1], summable, "{device:?}, {rows:?}, {weight}");
            assert_eq!(outliers, u32::from(!summable[0]));
            let all = all.and_then(|sums| if outliers > 0 { Err(Outlier) } else { Ok(sums) });
            let expected = sums_on_cpu(&centroids, &rows, &[weight, WEIGHT_ONE], &found);
            assert_eq!(all, expected, "{device:?}, {rows:?}, {weight}");
        }
    }
}

/// Rows that flow, in portions of all sizes, come out once each, in order, with what was found for them; and they are
/// added up.
#[test]
fn rows_that_flow_are_those_of_one_call() {
    let mut random = Random(21);
    for (metric, n) in METRICS.into_iter().flat_map(|metric| [0, 1, 127, 128, 129, 700, 1024].map(|n| (metric, n))) {
        let dim = 9;
        let (centroids, _) = trials::nasty(&mut random, metric, dim, 30, 1);
        let rows: Vec<f32> = random.vector(n * dim);
        let weights: Vec<u64> = (0..n).map(|_| random.bits()).collect();
        let numbers: Vec<u64> = (0..n as u64).map(|i| 3 * i + 1).collect();
        let expected = reference(&centroids, &rows);
        let all = Block { numbers: numbers.clone(), weights: weights.clone(), values: rows.clone() };
        for device in machines() {
            let cuda = Arc::new(Cuda::new(&device, centroids.clone()).unwrap());
            let sums = Arc::new(cuda.sums(unit_exponent(&centroids) + 1).unwrap());
            let (mut found, mut at) = (Vec::new(), 0);
            let mut buffers = Buffers::new(&device, dim, 2 * TILE + 1).unwrap();
            // The second flow takes the buffers of the first.
            for _ in 0..2 {
                let mut see = |row: Assigned| {
                    let i = found.len() % n;
                    let expected = (numbers[i], weights[i], &rows[i * dim..][..dim], true);
                    assert_eq!((row.number, row.weight, row.row, row.summable), expected);
                    found.push(row.nearest[0]);
                };
                let mut flow = Flow::new(cuda.clone(), Some(sums.clone()), buffers);
                while at < n {
                    let to = n.min(at + random.below(600));
                    flow.push(all.view(0).part(at..to), &mut see).unwrap();
                    at = to;
                }
                flow.flush(see).unwrap();
                buffers = flow.end();
                at = 0;
            }
            assert_same(&found[..n], &expected, &device.name());
            assert_same(&found[n..], &expected, &device.name());
            let mut twice = Sums { exponent: unit_exponent(&centroids) + 1, ..Sums::new(&centroids) };
            for ((row, &nearest), &weight) in rows.chunks_exact(dim).zip(&expected).zip(&weights) {
                (0..2).for_each(|_| twice.add(row, nearest, weight).unwrap());
            }
            assert_eq!(sums.collect().unwrap(), (Ok(twice), 0), "{device:?}, {metric:?}, n {n}");
        }
    }
}

#[test]
fn vectors_beyond_the_bound_are_refused() {
    let centroids = Centroids::new(Metric::Euclidean, DIM_MAX + 1, vec![0.0; DIM_MAX + 1]).unwrap();
    for device in machines() {
        let failure = Cuda::new(&device, centroids.clone()).err().unwrap();
        assert!(failure.message.contains("65537"), "{failure}");
    }
}

/// Everything rests on this: what a tensor core adds up is within G of the truth (`kmeans_assign.cu`).
fn assert_within_bound(dim: usize, rows: &[u16], centroids: &[u16], starts: &[f32]) {
    let value = |bits: &u16| f16::from_bits(*bits).to_f64();
    let length = |row: &[u16]| row.iter().map(|bits| value(bits).powi(2)).sum::<f64>().sqrt();
    let gain = (dim / 16) as f64 * 2_f64.powi(-18);
    for device in machines() {
        let (rows_there, centroids_there) = (device.array_of(rows).unwrap(), device.array_of(centroids).unwrap());
        let (there, mut scores) = (device.array_of(starts).unwrap(), starts.to_vec());
        let stream = device.stream().unwrap();
        // SAFETY: everything lives until `wait` has returned.
        unsafe {
            kernels::probe(&stream, &rows_there, &centroids_there, dim, &there).unwrap();
            stream.download(&there, &mut scores).unwrap();
        }
        stream.wait().unwrap();
        for (at, (&score, &start)) in scores.iter().zip(starts).enumerate() {
            let x = &rows[(at / 128 * 16 + at % 128 / 8) * dim..][..dim];
            let c = &centroids[(at / 128 * 8 + at % 8) * dim..][..dim];
            let exact = x.iter().zip(c).map(|(x, c)| value(x) * value(c)).sum::<f64>() + f64::from(start);
            let sizes = length(x) * length(c) + f64::from(start.abs());
            let bound = gain * sizes + gain * 2_f64.powi(-14) * (length(x) + 1.0);
            let error = (f64::from(score) - exact).abs();
            assert!(error <= bound, "{device:?}, dim {dim}, {at}: off by {error:e}, at most {bound:e} is assumed");
        }
    }
}

#[test]
fn tensor_cores_are_within_their_bound() {
    const BLOCKS: usize = 12;
    let mut random = Random(15);
    for (dim, spread, start) in
        [(16, 0, 0.0), (16, 12, 1.0), (64, 28, 1e-3), (384, 0, 300.0), (384, 8, 0.0), (2048, 4, -7.0)]
    {
        // Of all sizes within 2^-spread, subnormal ones too; every other pair of products cancels.
        let mut half = |places: usize, largest: i32| -> Vec<u16> {
            let value =
                |random: &mut Random| random.value() * f32::powi(2.0, largest - random.below(spread + 1) as i32);
            (0..places).map(|_| f16::from_f32(value(&mut random)).to_bits()).collect()
        };
        let (mut rows, mut centroids) = (half(BLOCKS * 16 * dim, 3), half(BLOCKS * 8 * dim, 0));
        rows.chunks_exact_mut(4).for_each(|places| places[1] = places[0]);
        centroids.chunks_exact_mut(4).for_each(|places| places[1] = places[0] ^ 0x8000);
        let starts: Vec<f32> = (0..BLOCKS * 128).map(|_| start * random.value()).collect();
        assert_within_bound(dim, &rows, &centroids, &starts);
    }
}

/// The worst: products a little too small for the last bit that is kept beside a large sum, so that all of each is
/// lost.
#[test]
fn tensor_cores_keep_as_many_bits_as_assumed() {
    for (places, sign) in (0..30).flat_map(|places| [(places, 1.0), (places, -1.0)]) {
        let below = |exponent: i32| f16::from_f32(f32::powi(2.0, exponent) * (1.0 - 1.0 / 2048.0)).to_bits();
        let (rows, centroids) = (vec![below(6 - places / 2); 16 * 64], vec![below(6 - (places + 1) / 2); 8 * 64]);
        assert_within_bound(64, &rows, &centroids, &[sign * 4096.0; 128]);
    }
}

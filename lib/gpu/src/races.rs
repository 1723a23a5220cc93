//! No two threads of a kernel race for shared memory, and the test for that would see it.

use crate::device::Device;
use crate::emulator::Emulator;
use crate::seeding::Seeding;
use crate::tests::OneCall;
use compute::kmeans::trials::{METRICS, Random, nasty};
use compute::kmeans::{Centroids, WEIGHT_ONE};
use std::ffi::CStr;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Every kernel that has shared memory, over several tiles and steps, with lists that fill.
fn run(device: &Device) {
    let mut random = Random(31);
    for (metric, (dim, k, n)) in
        METRICS.into_iter().flat_map(|metric| [(70, 300, 140), (20, 300, 129)].map(|shape| (metric, shape)))
    {
        let (mut centroids, rows) = nasty(&mut random, metric, dim, k, n);
        // Many alike, so that lists are tidied.
        let first = centroids.row(0).to_vec();
        centroids.values.chunks_exact_mut(dim).step_by(3).for_each(|row| row.copy_from_slice(&first));
        OneCall::new(device, &centroids, true).run(&rows, &vec![WEIGHT_ONE; n]);
        let good: Vec<f32> = random.vector(n * dim);
        let mut seeding = Seeding::new(device, metric, dim, &good, &vec![1; n], 5).unwrap();
        let take = |count: usize| Centroids::new(metric, dim, good[..count * dim].to_vec()).unwrap();
        seeding.nearer(&take(1)).unwrap();
        seeding.masses(&take(5), 1.0).unwrap();
    }
}

/// Each barrier that the kernels have.
const SOURCES: [(&CStr, &str); 2] = [
    (c"kmeans_assign.cu", include_str!("../../kernels/kmeans_assign.cu")),
    (c"kmeans_seed.cu", include_str!("../../kernels/kmeans_seed.cu")),
];

#[test]
fn threads_do_not_race_and_every_barrier_is_needed() {
    let devices: Vec<_> = [false, true].into_iter().filter_map(Emulator::racing).map(Device::emulated).collect();
    devices.iter().for_each(run);
    let lines = SOURCES.into_iter().flat_map(|(file, source)| {
        let lines = source.lines().enumerate().filter(|(_, line)| line.trim() == "__syncthreads();");
        lines.map(move |(at, _)| (file, at as i32 + 1)).collect::<Vec<_>>()
    });
    for (file, line) in lines {
        if devices.is_empty() {
            return;
        }
        Emulator::skip_barrier(file, line);
        let raced = |device| {
            let said = catch_unwind(AssertUnwindSafe(|| run(device))).err();
            said.is_some_and(|said| said.downcast_ref::<String>().is_some_and(|said| said.contains("races")))
        };
        let seen = devices.iter().any(raced);
        Emulator::skip_barrier(c"", 0);
        assert!(seen, "{file:?}:{line}: without this barrier nothing is found");
    }
}

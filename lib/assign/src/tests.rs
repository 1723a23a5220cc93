use crate::{Devices, Previous};
use cluster::sums::Partial;
use compute::kmeans::trials::{METRICS, Random, nasty};
use compute::kmeans::{Assigner, Block, Centroids, Metric, Nearest, Reference, WEIGHT_ONE};
use pipe::failure::Failure;
use pipe::settings::Common;
use std::sync::Mutex;

const DIM: usize = 9;

fn processor() -> Devices {
    Devices::open(&Common::default()).unwrap()
}

/// Centroids and rows that take part, with weights.
fn setting(metric: Metric, n: usize) -> (Centroids, Block) {
    let mut random = Random(5);
    let (centroids, _) = nasty(&mut random, metric, DIM, 30, 1);
    let weights = (0..n).map(|_| random.bits() % (3 * WEIGHT_ONE)).collect();
    let numbers = (0..n as u64).map(|number| 2 * number + 7).collect();
    (centroids, Block { numbers, weights, values: random.vector(n * DIM) })
}

/// What the rows come to, one after the other.
fn expected(centroids: &Centroids, block: &Block) -> (Vec<Nearest>, Partial) {
    let mut nearest = vec![Nearest::MISSING; block.rows()];
    Reference::new(centroids.clone()).nearest(&block.values, &mut nearest, &mut ());
    let mut partial = Partial::new(centroids);
    for ((_, weight, row), &found) in block.view(0).rows().zip(&nearest) {
        partial.add(row, found, weight).unwrap();
    }
    (nearest, partial)
}

#[test]
fn every_row_comes_out_once_with_its_nearest_and_the_sums_are_those_of_one_after_the_other() {
    for metric in METRICS {
        let (centroids, block) = setting(metric, 3000);
        let (nearest, partial) = expected(&centroids, &block);
        for threads in [1, 3] {
            let devices = processor();
            let pass = devices.summing_pass(&centroids, Partial::new(&centroids), None).unwrap();
            let (seen, workers) = pass
                .run(&mut block.view(0), threads, Vec::new, |seen, row| {
                    assert_eq!(row.row, &block.values[(row.number as usize - 7) / 2 * DIM..][..DIM]);
                    seen.push((row.number, row.nearest[0], row.summable));
                    Ok(())
                })
                .unwrap();
            let mut seen = seen.concat();
            seen.sort_by_key(|&(number, ..)| number);
            let found = block.numbers.iter().zip(&nearest).map(|(&number, &nearest)| (number, nearest, true));
            assert!(seen.into_iter().eq(found), "{metric:?}, {threads}");
            assert_eq!(pass.sums(workers).unwrap().0, partial, "{metric:?}, {threads}");
        }
    }
}

#[test]
fn several_nearest_are_those_of_the_reference() {
    let (centroids, block) = setting(Metric::Cosine, 500);
    let mut expected = vec![Nearest::MISSING; 500 * 40];
    Reference::new(centroids.clone()).nearest_several(&block.values, 40, &mut expected, &mut ());
    let devices = processor();
    let pass = devices.pass(&centroids, 40).unwrap();
    let mut workers = pass.workers(1, 100).unwrap();
    let mut found = Vec::new();
    for part in [0..1, 1..1, 1..300, 300..500] {
        let take = |row: &compute::kmeans::Assigned| {
            found.extend_from_slice(row.nearest);
            Ok(())
        };
        workers[0].assign(block.view(0).part(part), take).unwrap();
    }
    let bits = |found: &[Nearest]| found.iter().map(|f| (f.cluster, f.distance.to_bits())).collect::<Vec<_>>();
    assert_eq!(bits(&found), bits(&expected));
}

/// Passes that go on from each other, of other centroids each, come to what each comes to by itself.
#[test]
fn a_pass_that_goes_on_from_another_is_one_anew() {
    for metric in METRICS {
        let (first, block) = setting(metric, 2000);
        let devices = processor();
        for (labels, bounds) in
            [(None, 0), (Some(block.rows()), 0), (Some(block.rows() + 5), 0), (Some(block.rows()), 8)]
        {
            let mut previous = Previous::of(labels, bounds);
            let mut centroids = first.clone();
            for iteration in 0..6 {
                let pass = devices.summing_pass(&centroids, Partial::new(&centroids), Some(&mut previous)).unwrap();
                let (_, workers) = pass.run(&mut block.view(0), 2, || (), |(), _| Ok(())).unwrap();
                let (partial, _) = pass.sums(workers).unwrap();
                assert_eq!(partial, expected(&centroids, &block).1, "{metric:?}, {labels:?}, {iteration}");
                previous.keep(&partial);
                // The fourth has another unit.
                let factor = if iteration == 3 { 5.0 } else { 1.0 };
                let values = partial.sums.centroid(iteration).unwrap_or_else(|| centroids.row(iteration).to_vec());
                centroids.values[iteration * DIM..][..DIM].copy_from_slice(&values);
                centroids.values.iter_mut().for_each(|value| *value *= factor);
            }
        }
    }
}

#[test]
fn rows_that_sums_cannot_take_are_marked_and_left_out() {
    let (centroids, mut block) = setting(Metric::Euclidean, 400);
    let (_, partial) = expected(&centroids, &block);
    let far = Block { numbers: vec![1], weights: vec![WEIGHT_ONE], values: vec![1e38; DIM] };
    block.extend(far.view(0));
    let devices = processor();
    let pass = devices.summing_pass(&centroids, Partial::new(&centroids), None).unwrap();
    let marked = Mutex::new(Vec::new());
    let see = |(): &mut (), row: &compute::kmeans::Assigned| {
        if !row.summable {
            marked.lock().unwrap().push(row.number);
        }
        Ok(())
    };
    let (_, workers) = pass.run(&mut block.view(0), 2, || (), see).unwrap();
    assert_eq!(pass.sums(workers).unwrap().0, partial);
    assert_eq!(marked.into_inner().unwrap(), [1]);
    // And the first of them can end a pass.
    let pass = devices.summing_pass(&centroids, Partial::new(&centroids), None).unwrap();
    let refuse = |(): &mut (), row: &compute::kmeans::Assigned| match row.summable {
        true => Ok(()),
        false => Err(Failure::work(row.number)),
    };
    assert_eq!(pass.run(&mut block.view(0), 2, || (), refuse).err(), Some(Failure::work(1)));
}

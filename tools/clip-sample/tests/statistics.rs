//! `--by equal --clip C` is ClusterClip: draw a cluster evenly, draw a document in it, and drop it after C.
//!
//! The program itself, with many seeds, against a simulation that does just that. How often each document is drawn on
//! average must agree within 4.5 standard deviations of the difference. Keys and seeds are fixed, so a test that passes
//! goes on passing. (The unit tests of `draws` compare whole distributions, of more cases.)

use contract::corpus::Numbers;
use contract::folder::Folder;
use contract::run::Run;

/// Documents of each cluster: the first has not enough for its share, the second seldom, the third often.
const SIZES: [usize; 3] = [1, 3, 6];
const DRAWS: usize = 12;
const CLIP: u64 = 2;

/// How often each document is drawn in one literal run.
fn simulate(numbers: &mut Numbers) -> Vec<u64> {
    let mut counts = vec![0; SIZES.iter().sum()];
    let mut next = 0..counts.len();
    let mut pools: Vec<Vec<usize>> = SIZES.iter().map(|&size| next.by_ref().take(size).collect()).collect();
    for _ in 0..DRAWS {
        pools.retain(|pool| !pool.is_empty());
        let cluster = numbers.below(pools.len() as u64) as usize;
        let place = numbers.below(pools[cluster].len() as u64) as usize;
        let document = pools[cluster][place];
        counts[document] += 1;
        if counts[document] == CLIP {
            pools[cluster].swap_remove(place);
        }
    }
    counts
}

/// Sums and sums of squares of what the runs give, for each document.
fn moments(runs: impl Iterator<Item = Vec<u64>>) -> Vec<(f64, f64)> {
    let mut moments = vec![(0.0, 0.0); SIZES.iter().sum()];
    for counts in runs {
        for (moment, count) in moments.iter_mut().zip(counts) {
            *moment = (moment.0 + count as f64, moment.1 + (count * count) as f64);
        }
    }
    moments
}

#[test]
fn many_seeds_draw_what_a_literal_simulation_draws() {
    let (seeds, simulations) = (2000_u32, 200_000_u32);
    let folder = Folder::new();
    let documents: usize = SIZES.iter().sum();
    folder.write("docs", (0..documents).map(|document| format!("{document}\n")).collect::<String>());
    let clusters = SIZES.iter().enumerate().map(|(cluster, &size)| format!("{cluster}\n").repeat(size));
    folder.write("clusters", clusters.collect::<String>());
    let command = format!("clip-sample --by equal --clip {CLIP} -n {DRAWS} --threads 1 --clusters clusters");
    let script =
        format!("seed=0; while [ $seed -lt {seeds} ]; do {command} --seed $seed docs; seed=$((seed + 1)); done");
    let drawn: Vec<usize> = Run::shell(&script, &folder).text().lines().filter_map(|line| line.parse().ok()).collect();
    assert_eq!(drawn.len(), seeds as usize * DRAWS);
    let found = moments(drawn.chunks(DRAWS).map(|run| {
        let mut counts = vec![0; documents];
        run.iter().for_each(|&document| counts[document] += 1);
        counts
    }));
    let mut numbers = Numbers(5);
    let expected = moments((0..simulations).map(|_| simulate(&mut numbers)));
    for (document, ((sum, _), (expected, squares))) in found.into_iter().zip(expected).enumerate() {
        let mean = expected / f64::from(simulations);
        let variance = squares / f64::from(simulations) - mean * mean;
        let deviation = (variance / f64::from(seeds) + variance / f64::from(simulations)).sqrt();
        let off = (sum / f64::from(seeds) - mean) / deviation;
        assert!(
            off.abs() <= 4.5,
            "document {document}: {} times, expected {mean}: {off:.1} sigma",
            sum / f64::from(seeds)
        );
    }
}

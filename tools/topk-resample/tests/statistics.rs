//! Gumbel top-k is sampling without replacement in proportion to the weights.
//!
//! The exact probability that a document is among two drawn one after the other, the second from what is left, is
//! summed over all pairs; the frequency over many draws must be within 4.5 standard deviations. Keys and seeds are
//! fixed, so a test that passes goes on passing.

use contract::folder::Folder;
use contract::run::Run;
use xxhash_rust::xxh3::xxh3_64;

/// Weights of the documents; their names are their places.
const WEIGHTS: [f64; 6] = [8.0, 4.0, 2.0, 1.0, 1.0, 0.25];

/// For each document, the probability that it is one of two that are drawn.
fn inclusion(weights: &[f64]) -> Vec<f64> {
    let total: f64 = weights.iter().sum();
    let mut inclusion = vec![0.0; weights.len()];
    for (first, a) in weights.iter().enumerate() {
        for (second, b) in weights.iter().enumerate().filter(|(second, _)| *second != first) {
            let both = a / total * b / (total - a);
            inclusion[first] += both;
            inclusion[second] += both;
        }
    }
    inclusion
}

#[track_caller]
fn agree(chosen: &[u64], draws: u64, expected: &[f64]) {
    assert_eq!(chosen.iter().sum::<u64>(), 2 * draws);
    for (place, (&count, p)) in chosen.iter().zip(expected).enumerate() {
        let (mean, deviation) = (draws as f64 * p, (draws as f64 * p * (1.0 - p)).sqrt());
        let off = (count as f64 - mean) / deviation;
        assert!(
            off.abs() <= 4.5,
            "document {place}: chosen {count} of {draws} times, expected {mean:.0}: {off:.1} sigma"
        );
    }
}

fn tempered(temperature: f64) -> Vec<f64> {
    WEIGHTS.map(|weight| weight.powf(1.0 / temperature)).to_vec()
}

/// A document of a group, which begins with its place.
fn document(place: usize, group: u64) -> String {
    format!("{place} {group}")
}

fn row(place: usize, group: u64) -> String {
    format!("{}\t10\t{:016x}\n", WEIGHTS[place].ln(), xxh3_64(document(place, group).as_bytes()))
}

#[test]
fn expected_values_are_probabilities() {
    let sum: f64 = inclusion(&WEIGHTS).iter().sum();
    assert!((sum - 2.0).abs() < 1e-12);
    assert!(inclusion(&[1.0; 4]).iter().all(|p| (p - 0.5).abs() < 1e-12));
}

/// The same six documents, 2,500 seeds.
#[test]
fn many_seeds_draw_in_proportion() {
    let folder = Folder::new();
    folder.write("weights", (0..6).map(|place| row(place, 0)).collect::<String>());
    folder.write("docs", (0..6).map(|place| document(place, 0) + "\n").collect::<String>());
    let seeds = 2500;
    let script = format!(
        "seed=0; while [ $seed -lt {seeds} ]; do topk-resample -n 2 --threads 1 --seed $seed --weights weights docs; \
         seed=$((seed + 1)); done"
    );
    agree(&counted(&Run::shell(&script, &folder).text()), seeds, &inclusion(&WEIGHTS));
}

/// 30,000 groups of six documents, each with keys of its own: a draw of two in every group.
#[test]
fn many_groups_draw_in_proportion_at_any_temperature() {
    let (folder, groups) = (Folder::new(), 30_000);
    let each =
        |line: fn(usize, u64) -> String| (0..groups).flat_map(move |group| (0..6).map(move |place| line(place, group)));
    folder.write("weights", each(row).collect::<String>());
    folder.write("docs", each(|place, group| document(place, group) + "\n").collect::<String>());
    folder.write("groups", (0..groups).map(|group| format!("{group}\n").repeat(6)).collect::<String>());
    for (seed, temperature) in [("0", 1.0), ("1", 1.0), ("18446744073709551615", 0.5), ("7", 3.0)] {
        let run = Run::new(env!("CARGO_BIN_EXE_topk-resample"), &folder);
        let run = run.args(["--weights", "weights", "--group", "groups", "--per-group-fraction", "0.3333"]);
        let chosen = run.args(["--seed", seed, "--temperature", &temperature.to_string(), "docs"]).text();
        agree(&counted(&chosen), groups, &inclusion(&tempered(temperature)));
    }
}

fn counted(chosen: &str) -> [u64; 6] {
    let mut counts = [0; 6];
    chosen.lines().for_each(|line| counts[usize::from(line.as_bytes()[0] - b'0')] += 1);
    counts
}

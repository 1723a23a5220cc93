//! `pack-tokens`: documents as tokens in, training sequences of one length out.
//!
//! In: token streams, a document after the other. Out: sequences in input order, as rows, lines, record batches, or a dataset that
//! trainers read. What is chosen is a function of seed and tokens, so shards and order change nothing. Memory: one document,
//! and what the format holds back: a batch, the index, or shards that are compressed.

mod choice;
mod corpus;
mod flags;
mod format;
mod packing;
mod plan;

use choice::Packing;
use corpus::Corpus;
use flags::{Args, TOOL};
use format::mds::{merge::merge, verify::verify};
use pipe::failure::Failure;
use pipe::lines::Tally;
use pipe::note;
use pipe::output::Output;
use pipe::stats::Stats;
use plan::Plan;
use std::process::ExitCode;

fn main() -> ExitCode {
    pipe::start(&TOOL, run)
}

fn run(args: Args) -> Result<(), Failure> {
    if args.merge_index || args.verify.is_some() {
        return look_at_datasets(&args);
    }
    let mut plan = Plan::new(&args)?;
    let mut corpus = Corpus::open(&args.common, plan.domains.clone())?;
    if let Some(flag) = plan.reads_twice() {
        corpus.check_rereadable(flag)?;
    }
    plan.check_places()?;
    let (first, narrow) = corpus.first()?;
    let dtype = plan.settle_dtype(narrow)?;
    (corpus.length_min, corpus.length_max) = (args.length_min.unwrap_or(0), args.length_max.unwrap_or(u64::MAX));
    corpus.token_max = plan.token_max(dtype);
    let mut writers = plan.writers(dtype)?;
    let packing = Packing { corpus: &corpus, shape: &plan.shape, wanted: &plan.wanted };
    let (choice, shortfalls) = packing.choose()?;

    let (mut sequences, mut tokens) = (vec![0_u64; writers.len()], 0);
    let packed = packing.pack(&choice, true, Some(first), |split, domain, sequence| {
        sequences[split] += 1;
        tokens += sequence.tokens.len() as u64;
        writers[split].write(sequence, plan.label(domain))
    })?;
    writers.into_iter().try_for_each(|writer| writer.finish())?;
    let empty = plan.wanted.splits.iter().zip(&sequences).filter(|(_, sequences)| **sequences == 0);
    let empty = empty.map(|(split, _)| format!("split {}: no sequences", split.name));
    shortfalls.into_iter().chain(empty).for_each(|message| note(&args.common, &message));
    let waste = packed.waste;
    let stats = Stats::new(&args.common, &packed.seen.tally)
        .with("rows_missing", packed.seen.missing)
        .with("rows_unqualified", packed.seen.unqualified)
        .with("rows_unsplit", packed.unsplit)
        .with("rows_short", waste.short)
        .with("rows_cut", waste.cut)
        .with("tokens_in", packed.seen.tokens)
        .with("tokens_out", tokens)
        .with("tokens_dropped", waste.dropped)
        .with("tokens_padding", waste.padding)
        .with("sequences", sequences.iter().sum::<u64>())
        .with("dtype", dtype.descr());
    stats.write(&args.common)
}

/// `--merge-index` and `--verify` read no tokens.
fn look_at_datasets(args: &Args) -> Result<(), Failure> {
    plan::check_alone(args)?;
    if let Some(folder) = &args.verify {
        let report = verify(folder, plan::expected(args))?;
        Output::stdout().write(format!("{report}\n").as_bytes())?;
        return Stats::new(&args.common, &Tally::default()).with("report", report).write(&args.common);
    }
    let root = args.out.as_deref().ok_or_else(|| Failure::usage("--merge-index: --out DIR is needed"))?;
    let sequences = merge(root, &args.common.operands)?;
    Stats::new(&args.common, &Tally::default()).with("sequences", sequences).write(&args.common)
}

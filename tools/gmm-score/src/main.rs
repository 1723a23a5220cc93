//! `gmm-score`: vectors and a mixture in, a column of log-likelihoods out.
//!
//! One output line per vector, in the same order; a line depends on its vector and the mixtures alone. Memory: the
//! mixtures, and a few blocks of about 1 MB a thread; it does not grow with the input.

mod column;

use cluster::blocks::Blocks;
use column::{Column, Outcome, Writer};
use compute::mixture::{Cpu, Mixture};
use mixture::Model;
use pipe::crew;
use pipe::failure::{Failure, name};
use pipe::flags::{Example, Flag, Options, Rule, Tool};
use pipe::output::Output;
use pipe::progress::Meter;
use pipe::settings::Common;
use pipe::shared;
use pipe::stats::Stats;
use pipe::vectors::Vectors;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

#[derive(Default)]
struct Args {
    common: Common,
    mixture: PathBuf,
    against: Option<PathBuf>,
    responsibilities: bool,
}

impl Options for Args {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

const FLAGS: &[Flag<Args>] = &[
    mixture::flags::mixture(|args: &mut Args, value| {
        args.mixture = value.path()?;
        Ok(())
    }),
    Flag::value(
        "against",
        "FILE",
        "Print by how much that mixture finds a vector less likely",
        "The difference of the two log-likelihoods, the log of the ratio of the densities, in one pass.",
        |args: &mut Args, value| {
            args.against = Some(value.path()?);
            Ok(())
        },
    )
    .reads(),
    Flag::switch(
        "responsibilities",
        "Print how likely a vector comes from each component",
        "As many further fields as there are components, which add up to 1. Of a missing row all are `nan`.",
        |args: &mut Args, _| {
            args.responsibilities = true;
            Ok(())
        },
    )
    .output(),
    shared::headerless(),
    shared::shard_of_rows(),
    shared::on_error(),
    shared::stats(),
    shared::threads(),
    shared::progress(),
];

const RULES: &[Rule] = &[
    Rule::Needed("mixture", "by it vectors are scored"),
    Rule::Excludes("responsibilities", &["against"], "they are those of one mixture: ask for each alone"),
];

const TOOL: Tool<Args> = Tool {
    name: "gmm-score",
    summary: "vectors and a mixture to a column of log-likelihoods",
    operands: "[FILE]...",
    description: &[
        "Reads vectors from the FILEs or from standard input, `.npy` arrays one after the other as jsonl-embed(1) \
         writes them or with --headerless, and prints for each its log-likelihood under a mixture of gmm-fit(1): the \
         natural logarithm of the density, one line a vector, in the same order. It is what scikit-learn's \
         `GaussianMixture.score_samples` gives, within 1e-9, in shortest decimals that read back as the same 64-bit \
         float.",
        "With --mixture of a target and --against of raw documents it prints the log of the density ratio, the \
         embedding half of the weights of hybrid importance resampling (HIR).",
        "A vector of NaN alone is a missing row, and stays one: `nan`. A vector with other values that are not finite \
         is a bad record, as is one so far out that its density is no 64-bit float even as a logarithm.",
    ],
    sections: &[(
        "Exactness",
        &[
            "With x a vector, w, m and v the weight, means and variances of a component, and `s_i = 1 / sqrt(v_i)`, \
             its log density is `ln w + sum ln s_i - dim / 2 * ln(2 pi) - q / 2`, where q is the sum of `z_i^2` with \
             `z_i = x_i s_i - m_i s_i`, all in 64-bit floats: term i of a sum goes to partial sum i mod 16 by a fused \
             multiply-add, i ascending; then partial sum l takes l + 8, then l + 4, l + 2, l + 1. Components more than \
             44 below the largest, which weigh less than 2^-63 of it, count as nothing. This order does not change \
             between releases.",
            "A fast pass in 32 bits goes before, with a bound on its error, and leaves out components that are \
             certainly further below. So the output is the same on every processor, and a line does not depend on its \
             neighbours. `decided_share` of --stats says what share of the log densities was computed in 64 bits.",
        ],
    )],
    flags: FLAGS,
    rules: RULES,
    examples: &[
        Example {
            about: "Which documents are likely ones among the others:",
            command: "jsonl-embed docs.jsonl > vectors.npy\ngmm-fit -k 2 vectors.npy > raw.gmm\n\
                      gmm-score --mixture raw.gmm vectors.npy | paste - docs.jsonl | sort -k1,1gr | head -n 2",
            output: "",
        },
        Example {
            about: "Which are more like the first three than like all:",
            command: "head -n 3 docs.jsonl | jsonl-embed > target.npy\n\
                      gmm-fit -k 1 --reg-covar 1e-3 target.npy > target.gmm\n\
                      gmm-score --mixture target.gmm --against raw.gmm vectors.npy > ratio.tsv",
            output: "",
        },
    ],
    see_also: &["gmm-fit(1)", "jsonl-embed(1)", "dsir-weight(1)", "topk-resample(1)", "corpus-utils(7)"],
};

fn main() -> ExitCode {
    pipe::start(&TOOL, run)
}

fn run(args: Args) -> Result<(), Failure> {
    let (common, path) = (&args.common, &args.mixture);
    let Model { mixture, .. } = Model::open(path)?;
    let against = args.against.as_deref().map(Model::open).transpose()?.map(|model| model.mixture);
    if let (Some(against), Some(other)) = (&against, &args.against)
        && against.dim != mixture.dim
    {
        let (ours, theirs) = (mixture.dim, against.dim);
        let why = format!("components of {theirs} values; those of {} have {ours}", name(path));
        return Err(Failure::file(other, why));
    }
    let vectors = Vectors::open(&common.operands, common.raw, common.shard)?;
    vectors.check_dim(mixture.dim, path)?;
    // A responsibility is a text of many bytes.
    let width = if args.responsibilities { mixture.dim.max(4 * mixture.k()) } else { mixture.dim };
    let blocks = Blocks::new(vectors, None, width, BLOCK);
    write_column(&args, &mixture, against.as_ref(), blocks)
}

/// Values of a block of rows: about 1 MB.
const BLOCK: usize = 1 << 18;

/// Sends all vectors through the threads, and writes the column.
fn write_column(args: &Args, mixture: &Mixture, against: Option<&Mixture>, blocks: Blocks) -> Result<(), Failure> {
    let common = &args.common;
    let column = Column { responsibilities: args.responsibilities, on_error: common.on_error };
    let (ours, other) = (Arc::new(Cpu::new(mixture)), against.map(|mixture| Arc::new(Cpu::new(mixture))));
    let densities = ours.k() + other.as_ref().map_or(0, |other| other.k());
    let writers = (0..common.threads).map(|_| Writer::new(ours.clone(), other.clone(), column)).collect();
    let mut meter = Meter::new(common, blocks.bytes_total());
    let (mut output, mut outcome, rounding) = (Output::stdout(), Outcome::default(), blocks.rounding());
    crew::run(writers, blocks.dealt(), |done| {
        output.write(&done.text)?;
        outcome.add(done, common.on_error)?;
        meter.show(outcome.tally.bytes, outcome.tally.rows);
        Ok(ControlFlow::Continue(()))
    })?;
    output.finish()?;
    meter.end();
    outcome.tally.report(common);
    Stats::new(common, &outcome.tally)
        .with("rows_missing", outcome.rows_missing)
        .with("rounded", rounding.happened())
        .with("k", mixture.k())
        .with("dim", mixture.dim)
        .with("mean", outcome.mean())
        .with("decided_share", outcome.decided as f64 / densities as f64 / outcome.tally.rows as f64)
        .write(common)
}

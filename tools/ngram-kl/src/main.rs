//! `ngram-kl`: count files in, how far the first is from each of the others out.
//!
//! One line a file, in the order of the operands. Memory: three tables of counts.

use ngram::counts::{Counts, difference};
use pipe::column::write_number;
use pipe::failure::Failure;
use pipe::flags::{Example, Flag, Options, Tool};
use pipe::output::Output;
use pipe::settings::Common;
use pipe::shared;
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

#[derive(Default)]
struct Args {
    common: Common,
    smoothing: f64,
}

impl Options for Args {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

const FLAGS: &[Flag<Args>] = &[Flag {
    help: "To those of P and of each Q.",
    default: |args| args.smoothing.to_string(),
    ..shared::smoothing(|args: &mut Args, value| {
        args.smoothing = value.not_negative()?;
        Ok(())
    })
}];

const TOOL: Tool<Args> = Tool {
    name: "ngram-kl",
    summary: "Kullback-Leibler divergence between n-gram counts",
    operands: "P Q...",
    description: &[
        "Prints how far the distribution of the count file P is from that of each count file Q, one line a Q: the \
         divergence in nats, a TAB, the name of Q. Small is alike; 0 is equal.",
        "With p and q the probabilities of a bucket, (count + A) / (grams + A * buckets), it is the sum over all \
         buckets of `p * (ln(p + 1e-8) - ln(q + 1e-8))`: the mean, over the n-grams of P, of the log importance \
         weight that dsir-weight(1) gives with P as the target and Q as the raw corpus. The floor of 1e-8 is DSIR's; \
         it keeps buckets that Q never hit finite.",
    ],
    sections: &[],
    flags: FLAGS,
    rules: &[],
    examples: &[Example {
        about: "Is the selection closer to the target than the corpus was?",
        command: "ngram-hash target.jsonl > target.counts\nngram-hash docs.jsonl > docs.counts\n\
                  ngram-kl target.counts docs.counts target.counts",
        output: "",
    }],
    see_also: &["ngram-hash(1)", "dsir-weight(1)", "corpus-utils(7)"],
};

/// DSIR's floor under a probability.
const FLOOR: f64 = 1e-8;

fn main() -> ExitCode {
    pipe::start(&TOOL, run)
}

fn run(args: Args) -> Result<(), Failure> {
    let [p_name, q_names @ ..] = &args.common.operands[..] else {
        return Err(Failure::usage("expected count files: P Q..."));
    };
    if q_names.is_empty() {
        return Err(Failure::usage("expected a second count file to compare with"));
    }
    let p_counts = Counts::open_sum(p_name)?;
    let p = p_counts.probabilities(args.smoothing).map_err(|why| Failure::file(p_name, why))?;
    let mut rows = Vec::new();
    for name in q_names {
        let counts = Counts::open_sum(name)?;
        if let Some(difference) = difference(&p_counts.parameters, &counts.parameters) {
            return Err(Failure::file(name, difference));
        }
        let q = counts.probabilities(args.smoothing).map_err(|why| Failure::file(name, why))?;
        write_number(divergence(&p, &q), &mut rows);
        rows.push(b'\t');
        rows.extend_from_slice(name.as_os_str().as_bytes());
        rows.push(b'\n');
    }
    Output::stdout().write(&rows)
}

/// `sum p (ln(p + floor) - ln(q + floor))`, in nats.
fn divergence(p: &[f64], q: &[f64]) -> f64 {
    p.iter().zip(q).map(|(p, q)| p * (libm::log(p + FLOOR) - libm::log(q + FLOOR))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_is_zero_and_unequal_is_not() {
        assert_eq!(divergence(&[0.5, 0.5, 0.0], &[0.5, 0.5, 0.0]), 0.0);
        let bits = divergence(&[1.0, 0.0], &[0.5, 0.5]) / std::f64::consts::LN_2;
        assert!((bits - 1.0).abs() < 1e-7, "{bits}");
    }

    #[test]
    fn a_bucket_that_q_never_hit_is_finite() {
        let nats = divergence(&[1.0], &[0.0]);
        assert!((nats - 8.0 * std::f64::consts::LN_10).abs() < 1e-7, "{nats}");
    }
}

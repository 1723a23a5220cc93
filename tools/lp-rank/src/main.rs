//! `lp-rank`: perplexities of examples before training and after each epoch in, a column of learning percentages out.
//!
//! One output line per row, in the same order. Memory: one row of each file; of a pickle the whole.

mod perplexities;
mod pickle;

use perplexities::Perplexities;
use pipe::column::write_number;
use pipe::failure::Failure;
use pipe::flags::{Example, Flag, Options, Tool};
use pipe::lines::Tally;
use pipe::output::Output;
use pipe::settings::Common;
use pipe::shared;
use pipe::stats::Stats;
use std::process::ExitCode;

/// Bytes of rows that are written at a time: few, so that the next program has something to do.
const BUFFER: usize = 8 << 10;

#[derive(Default)]
struct Args {
    common: Common,
}

impl Options for Args {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

const FLAGS: &[Flag<Args>] = &[shared::stats()];

const TOOL: Tool<Args> = Tool {
    name: "lp-rank",
    summary: "perplexities to learning percentages",
    operands: "[FILE]...",
    description: &[
        "Reads the perplexities of examples before training and after each epoch, P0 P1 ... Pn, and prints for each \
         example how much of what it learns over all epochs it has learned after the first: the learning percentage \
         LP(1) of Small2Large (Mekala, Nguyen and Shang, 2024, Smaller Language Models are capable of selecting \
         Instruction-Tuning Training Data for Larger Language Models). Examples with a low one are still being \
         learned, and are the ones to train on.",
        "A row is `LP(1)<TAB>approximation`. LP(1) is (P0 - P1) / (P0 - Pn); the approximation, for which one epoch is \
         enough, is (P0 - P1) / P0. Either is 0 where what it is divided by is 0, and `nan`, a missing row, where a \
         perplexity that it is made of is missing (`nan`, in JSON `null` and `NaN`, too) or infinite.",
        "The FILEs stand beside each other, as with paste(1): a row's perplexities are those of its line in each FILE, \
         in order. A line is numbers with TABs between them, or a JSON array of numbers. A FILE that is named `.pkl` \
         or `.pickle` is a Python pickle of one list of floats, one column, as Small2Large's scripts write it for \
         each epoch; it is read by its own rules, and nothing in it is ever executed. All FILEs have the same number \
         of rows.",
    ],
    sections: &[(
        "Choice",
        &[
            "topk-resample(1) with --bottom takes the lowest first, and with --group and --per-group-fraction does so \
             within each cluster, as Small2Large does. Its scripts choose other numbers than the share says; --compat \
             small2large chooses those. Without it ties go by the documents' keys: let --keys documents make them, or \
             paste(1) the column of jsonl-key(1) behind these.",
            "Where the baseline of that work is wanted, examples at random within each cluster, all weights are 0: see \
             Examples.",
        ],
    )],
    flags: FLAGS,
    rules: &[],
    examples: &[
        Example {
            about: "Three examples, two epochs:",
            command: "printf '10\\t6\\t2\\n8\\t2\\t2\\n5\\t5\\t5\\n' | lp-rank",
            output: "0.5\t0.4\n1\t0.75\n0\t0\n",
        },
        Example {
            about: "A file for each epoch:",
            command: "printf '10\\n8\\n' > before; printf '6\\n2\\n' > first; printf '2\\n2\\n' > second\n\
                      lp-rank before first second | cut -f 1",
            output: "0.5\n1\n",
        },
        Example {
            about: "A third of the examples of each cluster, those that are learned last (perplexities are made up \
             here):",
            command: "awk '{ print 9 + NR % 7 \"\\t\" 8 - NR % 5 \"\\t2\" }' docs.jsonl > p.tsv\n\
                      awk '{ print NR % 4 }' docs.jsonl > clusters.tsv\nlp-rank p.tsv > lp.tsv\n\
                      topk-resample --bottom --group clusters.tsv --per-group-fraction 0.33 --keys documents \
                      --weights lp.tsv docs.jsonl | wc -l",
            output: "132\n",
        },
        Example {
            about: "As many at random:",
            command: "sed 's/.*/0/' lp.tsv > even.tsv\n\
                      topk-resample --group clusters.tsv --per-group-fraction 0.33 --keys documents --weights \
                      even.tsv docs.jsonl | wc -l",
            output: "132\n",
        },
    ],
    see_also: &["topk-resample(1)", "kmeans-assign(1)", "corpus-utils(7)"],
};

fn main() -> ExitCode {
    pipe::start(&TOOL, run)
}

fn run(args: Args) -> Result<(), Failure> {
    let mut perplexities = Perplexities::open(&args.common.operands)?;
    let (mut output, mut buffer, mut tally) = (Output::stdout(), Vec::new(), Tally::default());
    let mut missing = 0_u64;
    while let Some(row) = perplexities.next()? {
        let (percentage, approximation) = learned(row);
        missing += u64::from(percentage.is_nan());
        write_number(percentage, &mut buffer);
        buffer.push(b'\t');
        write_number(approximation, &mut buffer);
        buffer.push(b'\n');
        tally.rows += 1;
        if buffer.len() > BUFFER {
            output.write(&buffer)?;
            buffer.clear();
        }
    }
    output.write(&buffer)?;
    output.finish()?;
    tally.bytes = perplexities.bytes();
    Stats::new(&args.common, &tally).with("rows_missing", missing).write(&args.common)
}

/// LP(1) and its approximation, of the perplexities before training and after each epoch (at least one).
fn learned(perplexities: &[f64]) -> (f64, f64) {
    let known = |perplexity: f64| if perplexity.is_finite() { perplexity } else { f64::NAN };
    let (before, first) = (known(perplexities[0]), known(perplexities[1]));
    let last = known(perplexities[perplexities.len() - 1]);
    (share(before - first, before - last), share(before - first, before))
}

fn share(part: f64, whole: f64) -> f64 {
    if whole == 0.0 { 0.0 } else { part / whole }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_divided_by_zero_is_zero() {
        assert_eq!(learned(&[4.0, 3.0, 2.0]), (0.5, 0.25));
        assert_eq!(learned(&[4.0, 3.0, 4.0]), (0.0, 0.25));
        assert_eq!(learned(&[0.0, 3.0]), (1.0, 0.0));
    }

    #[test]
    fn what_is_made_of_something_missing_is_missing() {
        for wrong in [f64::NAN, f64::INFINITY] {
            for (place, missing) in [(true, true), (true, true), (false, false), (true, false)].into_iter().enumerate()
            {
                let mut row = [4.0, 3.0, 7.0, 2.0];
                row[place] = wrong;
                let (percentage, approximation) = learned(&row);
                assert_eq!((percentage.is_nan(), approximation.is_nan()), missing, "{row:?}");
            }
        }
    }
}

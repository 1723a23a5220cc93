//! `weight-mix`: columns of weights that stand beside each other in, a column of their weighted sums out.
//!
//! One output line per row, in the same order: the sum, then the other fields of the first column. Memory: one row of
//! each file; with --standardise all weights and the first column's other fields.

mod columns;
mod spread;

use columns::{Columns, Row};
use pipe::column::write_number;
use pipe::failure::Failure;
use pipe::flags::{Example, Flag, Options, Rule, Tool};
use pipe::lines::{Tally, split};
use pipe::output::Output;
use pipe::settings::Common;
use pipe::shared;
use pipe::stats::Stats;
use std::path::PathBuf;
use std::process::ExitCode;

/// Bytes of rows that are written at a time: few, so that the next program has something to do.
const BUFFER: usize = 8 << 10;

#[derive(Default)]
struct Args {
    common: Common,
    alpha: Option<f64>,
    coefficients: Vec<f64>,
    standardise: bool,
    spreads: Vec<f64>,
}

impl Options for Args {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

const FLAGS: &[Flag<Args>] = &[
    Flag::value(
        "alpha",
        "A",
        "Of two columns, A of the first and 1 - A of the second",
        "From 0 to 1. With n-grams first and mixtures second this is HIR's alpha.",
        |args: &mut Args, value| {
            args.alpha = Some(value.share()?);
            Ok(())
        },
    ),
    Flag::value(
        "coefficients",
        "A,B,...",
        "What each column is multiplied by",
        "As many numbers as there are FILEs, of either sign.",
        |args: &mut Args, value| {
            args.coefficients =
                numbers(value.text()?, |_| true).ok_or("expected finite numbers with commas between them")?;
            Ok(())
        },
    ),
    Flag::switch(
        "standardise",
        "Divide each column by its spread first",
        "See Scales. The whole columns are read before the first row is printed.",
        |args: &mut Args, _| {
            args.standardise = true;
            Ok(())
        },
    ),
    Flag::value(
        "spreads",
        "A,B,...",
        "Divide each column by this number first",
        "What --stats of a run with --standardise over all rows says, so that a shard's rows are mixed as in the \
         whole.",
        |args: &mut Args, value| {
            args.spreads = numbers(value.text()?, |spread| spread > 0.0)
                .ok_or("expected numbers above 0 with commas between them")?;
            Ok(())
        },
    ),
    shared::stats(),
];

const TOOL: Tool<Args> = Tool {
    name: "weight-mix",
    summary: "columns of weights to a column of their weighted sums",
    operands: "[FILE]...",
    description: &[
        "Reads columns of weights that stand beside each other, a row a document, from the FILEs or one from standard \
         input, and prints the weighted sum of their first fields, followed by the other fields of the first FILE's \
         row: `weight<TAB>length<TAB>key`, where that is dsir-weight(1)'s. topk-resample(1) chooses by it.",
        "With --alpha it is the weight of hybrid importance resampling (HIR, which adds embeddings to DSIR): alpha \
         times the log importance weight of n-grams plus (1 - alpha) times that of mixtures of Gaussians on \
         embeddings.",
        "A row in which a weight is missing (`nan`) has a weight of `nan`, and keeps its other fields; \
         topk-resample(1) never chooses it. All FILEs have the same number of rows. Where a row ends in a document's \
         key (16 hexadecimal digits), and that of the first FILE does, too, the keys must be the same: rows in \
         another order are an error.",
    ],
    sections: &[(
        "Scales",
        &[
            "Log importance weights have no common scale: those of n-grams grow with a document's length, those of \
             mixtures with the number of dimensions, so that the wider column decides nearly alone whatever alpha is. \
             With --standardise alpha means the same for any corpus and any model, so it is recommended; it is off by \
             default because HIR mixes the weights as they are. As it also makes the weights smaller, it weakens the \
             choice against the noise of topk-resample(1), as a --temperature above 1 does: divide by the spread \
             there, such as --temperature 0.1.",
            "The spread of a column is 1.4826 times the median of the absolute deviations from the median, which for a \
             normal distribution is the standard deviation, and which a few extreme documents do not move. Of an even \
             number of rows the median is the mean of the middle two; missing and infinite weights have no part in \
             it. A spread of 0 is an error. Nothing is subtracted, since a constant changes no choice.",
        ],
    )],
    flags: FLAGS,
    rules: &[
        Rule::OneOf(
            &["alpha", "coefficients"],
            "they say how much each column counts; --alpha A is --coefficients A,(1 - A)",
        ),
        Rule::AtMostOne(&["standardise", "spreads"], "either spreads are measured or they are given"),
    ],
    examples: &[
        Example {
            about: "Two columns, the second of which counts most:",
            command: "printf '1\\t5\\n2\\t6\\n' > ngram.tsv; printf '10\\n30\\n' > gmm.tsv\n\
                      weight-mix --alpha 0.25 ngram.tsv gmm.tsv",
            output: "7.75\t5\n23\t6\n",
        },
        Example {
            about: "Columns of other scales, each divided by its spread, 1.4826 and 148.26 here:",
            command: "printf '1\\n2\\n3\\n' > a; printf '100\\n300\\n200\\n' > b\n\
                      weight-mix --alpha 0.5 --standardise a b | cut -c 1-8",
            output: "0.674490\n1.686226\n1.686226\n",
        },
    ],
    see_also: &["dsir-weight(1)", "gmm-score(1)", "topk-resample(1)", "corpus-utils(7)"],
};

fn main() -> ExitCode {
    pipe::start(&TOOL, run)
}

fn numbers(text: &str, sensible: impl Fn(f64) -> bool) -> Option<Vec<f64>> {
    let number = |part: &str| part.parse().ok().filter(|x: &f64| x.is_finite() && sensible(*x));
    text.split(',').map(number).collect()
}

fn run(args: Args) -> Result<(), Failure> {
    let standard = [PathBuf::from("-")];
    let files = if args.common.operands.is_empty() { &standard[..] } else { &args.common.operands };
    let (count, mut columns) = (files.len(), Columns::open(files)?);
    let coefficients = coefficients(&args, count)?;
    if !args.spreads.is_empty() && args.spreads.len() != count {
        let (given, numbers) = (args.spreads.len(), if args.spreads.len() == 1 { "number" } else { "numbers" });
        return Err(Failure::usage(format!("--spreads has {given} {numbers}, and there are {count} FILEs")));
    }
    let mut mix = Mix::new(coefficients);
    if args.standardise {
        let sheet = Sheet::read(&mut columns, count)?;
        mix.spreads = sheet.spreads(files)?;
        sheet.rows().try_for_each(|row| mix.add(row))?;
    } else if !args.spreads.is_empty() {
        mix.spreads = args.spreads;
    }
    while let Some(row) = columns.next()? {
        mix.add(row)?;
    }
    mix.tally.bytes = columns.bytes();
    mix.finish(&args.common)
}

fn coefficients(args: &Args, count: usize) -> Result<Vec<f64>, Failure> {
    let coefficients = match args.alpha {
        Some(alpha) => vec![alpha, 1.0 - alpha],
        None => args.coefficients.clone(),
    };
    if coefficients.len() == count {
        return Ok(coefficients);
    }
    let expected = coefficients.len();
    Err(Failure::usage(format!("expected {expected} FILEs, one for each coefficient, found {count}")))
}

/// All rows of all columns.
struct Sheet {
    /// Row after row.
    weights: Vec<f64>,
    /// A line a row.
    rest: Vec<u8>,
    columns: usize,
}

impl Sheet {
    fn read(columns: &mut Columns, count: usize) -> Result<Sheet, Failure> {
        let mut sheet = Sheet { weights: Vec::new(), rest: Vec::new(), columns: count };
        while let Some(row) = columns.next()? {
            sheet.weights.extend(row.weights);
            sheet.rest.extend_from_slice(row.rest);
            sheet.rest.push(b'\n');
        }
        Ok(sheet)
    }

    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let rows = self.weights.chunks(self.columns).zip(split(&self.rest));
        rows.map(|(weights, rest)| Row { weights, rest })
    }

    /// The spread of each column; 1 where there are no rows.
    fn spreads(&self, files: &[PathBuf]) -> Result<Vec<f64>, Failure> {
        if self.weights.is_empty() {
            return Ok(vec![1.0; self.columns]);
        }
        let of = |place: usize| {
            let column = self.weights.iter().skip(place).step_by(self.columns);
            let named = |why: &str| Failure::file(&files[place], why);
            match spread::robust(column.copied().collect()) {
                Some(spread) if spread > 0.0 => Ok(spread),
                Some(_) => Err(named(
                    "half of the weights are the same, so their spread is 0: --standardise needs one above 0",
                )),
                None => Err(named("no weight is finite, so that --standardise finds no spread")),
            }
        };
        (0..self.columns).map(of).collect()
    }
}

/// The output.
struct Mix {
    coefficients: Vec<f64>,
    spreads: Vec<f64>,
    output: Output,
    buffer: Vec<u8>,
    tally: Tally,
    missing: u64,
}

impl Mix {
    fn new(coefficients: Vec<f64>) -> Mix {
        let spreads = vec![1.0; coefficients.len()];
        let (output, buffer, tally) = (Output::stdout(), Vec::new(), Tally::default());
        Mix { coefficients, spreads, output, buffer, tally, missing: 0 }
    }

    fn add(&mut self, row: Row) -> Result<(), Failure> {
        let terms = row.weights.iter().zip(&self.spreads).zip(&self.coefficients);
        let mixed = mixed(terms.map(|((weight, spread), coefficient)| (*coefficient, weight / spread)));
        self.tally.rows += 1;
        self.missing += u64::from(mixed.is_nan());
        write_number(mixed, &mut self.buffer);
        self.buffer.extend_from_slice(row.rest);
        self.buffer.push(b'\n');
        if self.buffer.len() > BUFFER {
            self.output.write(&self.buffer)?;
            self.buffer.clear();
        }
        Ok(())
    }

    fn finish(mut self, common: &Common) -> Result<(), Failure> {
        self.output.write(&self.buffer)?;
        self.output.finish()?;
        let stats = Stats::new(common, &self.tally).with("rows_missing", self.missing);
        stats.with("coefficients", self.coefficients).with("spreads", self.spreads).write(common)
    }
}

/// The sum of coefficient times weight, in order. A coefficient of 0 leaves its column out, infinite weights too; but
/// what is missing is missing.
fn mixed(terms: impl Iterator<Item = (f64, f64)>) -> f64 {
    let out = |coefficient: f64, weight: f64| coefficient == 0.0 && !weight.is_nan();
    terms
        .fold(0.0, |sum, (coefficient, weight)| if out(coefficient, weight) { sum } else { sum + coefficient * weight })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_of_a_column_is_no_part_but_missing_is_missing() {
        assert_eq!(mixed([(0.0, f64::INFINITY), (1.0, 2.5)].into_iter()), 2.5);
        assert!(mixed([(0.0, f64::NAN), (1.0, 2.5)].into_iter()).is_nan());
        assert_eq!(mixed([(-2.0, 3.0), (0.5, 4.0)].into_iter()), -4.0);
    }
}

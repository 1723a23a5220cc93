//! The command line.

use cluster::flags::{checkpoint, k, memory, number_of_clusters, resume, runs};
use mixture::fit::Rule as Steps;
use mixture::flags::{Iterates, iters, mixture, reg_covar, tol};
use pipe::flags::{Example, Flag, Options, Rule, Tool};
use pipe::settings::Common;
use pipe::shared;
use std::path::PathBuf;

/// What the command line asks for.
pub struct Args {
    pub common: Common,
    pub rule: Steps,
    pub k: usize,
    pub mixture: Option<PathBuf>,
    pub centroids: Option<PathBuf>,
    pub runs: u64,
    pub memory: Option<u64>,
    pub checkpoint: Option<PathBuf>,
    pub resume: bool,
}

impl Default for Args {
    fn default() -> Args {
        Args {
            common: Common::default(),
            rule: Steps::default(),
            k: 0,
            mixture: None,
            centroids: None,
            runs: 1,
            memory: None,
            checkpoint: None,
            resume: false,
        }
    }
}

impl Options for Args {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

impl Iterates for Args {
    fn rule(&mut self) -> &mut Steps {
        &mut self.rule
    }
}

impl Args {
    /// The seed.
    pub fn seed(&self) -> u64 {
        self.common.seed.unwrap_or(0)
    }
}

const FLAGS: &[Flag<Args>] = &[
    shared::headerless(),
    shared::on_error(),
    Flag {
        help: "Each is a component of the mixture. HIR has 1000 for raw and 50 for target.",
        ..k(|args: &mut Args, value| {
            args.k = number_of_clusters(&value)?;
            Ok(())
        })
    },
    Flag {
        help: "The fit begins with it.",
        ..mixture(|args: &mut Args, value| {
            args.mixture = Some(value.path()?);
            Ok(())
        })
    },
    Flag {
        help: "The fit begins with the mixture of the rows that are nearest to each (euclidean). An array has the \
               shape (k, dim), of 16, 32 or 64-bit floats; the latter are rounded to 32 bits.",
        ..shared::centroids(|args: &mut Args, value| {
            args.centroids = Some(value.path()?);
            Ok(())
        })
    },
    iters(),
    tol(),
    reg_covar(),
    Flag {
        help: "That with the largest lower bound. Each begins with other clusters; of equals it is the first.",
        ..runs(|args: &mut Args, value| {
            args.runs = value.positive()?;
            Ok(())
        })
    }
    .default(|args| args.runs.to_string()),
    shared::seed(),
    checkpoint(|args: &mut Args, value| {
        args.checkpoint = Some(value.path()?);
        Ok(())
    }),
    shared::stats(),
    resume(|args: &mut Args, _| {
        args.resume = true;
        Ok(())
    }),
    memory(|args: &mut Args, value| {
        args.memory = Some(value.bytes()?);
        Ok(())
    }),
    shared::threads(),
    shared::progress(),
];

const RULES: &[Rule] = &[
    Rule::OneOf(
        &["k", "mixture", "centroids"],
        "say how many components, or begin with a mixture or centroids of a file, which are as many",
    ),
    Rule::Excludes("mixture", &["runs>1"], "the fit begins with what the file has, in every run alike"),
    Rule::Excludes("centroids", &["runs>1"], "the fit begins with what the file has, in every run alike"),
    Rule::Needs("resume", &["checkpoint"], "that is the file to go on from"),
];

/// The tool.
pub const TOOL: Tool<Args> = Tool {
    name: "gmm-fit",
    summary: "vectors to a mixture of Gaussians",
    operands: "[FILE]...",
    description: &[
        "Reads vectors, as jsonl-embed(1) writes them, from the FILEs or from standard input, and prints a model: a \
         mixture of K Gaussians with diagonal covariances, in a `.safetensors` file, with which gmm-score(1) says how \
         likely other vectors are. Two of them, one of raw documents and one of a target, make the embedding half of \
         hybrid importance resampling (HIR), whose defaults are `-k 1000` for raw and `-k 50` for target.",
        "It is the fit of scikit-learn's `GaussianMixture(covariance_type=\"diag\")`, from k-means on; from the same \
         start the parameters agree within 1e-6. The rows are gone over once an iteration, and may be any number.",
        "What rows add up to is whole numbers, and what decides is computed in one stated order, so the model is a \
         function of the rows and the flags: the same bytes on any number of threads, on any processor, in any memory, \
         killed and resumed, or added up from parts.",
        "Rows that are all NaN are missing: they are counted and left out. A row with some other value that is not \
         finite is a bad record (--on-error). Fewer rows than K are an error.",
    ],
    sections: &[
        (
            "Iterations",
            &[
                "An iteration computes for every row the probability that it comes from each component (its \
                 responsibility), and makes of each component the Gaussian of the rows, weighed with that (Dempster, \
                 Laird and Rubin 1977). The lower bound is the mean log-likelihood of a row. The fit ends after \
                 --iters, or where the lower bound changes by less than --tol; as with scikit-learn, the last lower \
                 bound is that of the mixture before the last step.",
                "As there, each component has a mass of 10 epsilon (2.2e-15) at 0 besides its rows, and --reg-covar is \
                 added to every variance: a component that no row is likely to come from ends there, with next to no \
                 weight. Where equal rows leave a variance of 0 and --reg-covar is 0, that is an error.",
                "Components whose log density is more than 44 below the largest take no part in a row: they would have \
                 less than 2^-63 of it. A row that is, in some coordinate, more than 2^18 times as far from 0 as the \
                 mean and the standard deviation of any component cannot be added up, and is an error.",
            ],
        ),
        (
            "First mixture",
            &["With -k it is that of the clusters of `kmeans-fit -k K --metric euclidean --seed N`: the same \
               centroids. Each component is the Gaussian of its cluster's rows. Run r of --runs has other draws, as \
               those of kmeans-fit(1)."],
        ),
        (
            "In parts",
            &["An iteration over rows that are in many places is a gmm-sum(1) over each part and one gmm-step(1) \
               over their sums. The first model is that of `gmm-fit --iters 0`; the last one is, to the byte, that of \
               one gmm-fit over all parts."],
        ),
        (
            "Model",
            &[
                "Tensors `weights` (F64, K), `means` and `covariances` (F64, K rows), as scikit-learn names them. \
                 Metadata: tool, version, covariance (diag), k, dim, seed, init, init_model (of --mixture and \
                 --centroids: a fingerprint), reg_covar, runs and run (from 0), iterations, lower_bounds (of the first \
                 mixture and after each iteration but the last), converged (whether --tol ended it), rows, \
                 rows_missing (bad ones included).",
                "--stats has the same as JSON, and: start_seconds, iteration_seconds, rows_in (memory, files, a \
                 temporary file), passes_read, rounded (whether 64-bit floats came).",
            ],
        ),
    ],
    flags: FLAGS,
    rules: RULES,
    examples: &[Example {
        about: "A mixture of documents, and how likely each is:",
        command: "jsonl-embed docs.jsonl > vectors.npy\ngmm-fit -k 2 vectors.npy > mixture.safetensors\n\
                  gmm-score --mixture mixture.safetensors vectors.npy > scores.tsv",
        output: "",
    }],
    see_also: &["gmm-score(1)", "gmm-sum(1)", "gmm-step(1)", "kmeans-fit(1)", "jsonl-embed(1)", "corpus-utils(7)"],
};

//! The flags that several tools of k-means have: each means the same in all of them.

use crate::empties::Empty;
use crate::fit::Stopping;
use pipe::flags::{Flag, Options, Value};

/// Where a tool keeps the value of a flag.
type Set<A> = fn(&mut A, Value) -> Result<(), String>;

/// What decides how centroids move, and when they no longer do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Iterations {
    /// Iterations at the most; `None`: nobody said.
    pub iters: Option<u64>,
    /// A decrease of the inertia by this share or less is none.
    pub tol: f64,
    /// The fit ends after so many iterations in a row without a decrease.
    pub patience: u64,
    /// What becomes of empty clusters.
    pub empty: Empty,
}

impl Default for Iterations {
    fn default() -> Iterations {
        Iterations { iters: None, tol: 0.0001, patience: 1, empty: Empty::default() }
    }
}

impl Iterations {
    /// Where nobody says how many.
    pub const ITERS: u64 = 100;

    /// When a fit ends, where nobody said after how many iterations: after so many.
    pub fn stopping(&self, iters: u64) -> Stopping {
        Stopping { iters: self.iters.unwrap_or(iters), tol: self.tol, patience: self.patience }
    }
}

/// The options of a tool that moves centroids.
pub trait Iterates: Options {
    /// The part that all of them share.
    fn iterations(&mut self) -> &mut Iterations;
}

/// `--metric cosine|euclidean`, without a default.
pub const fn metric<A>(set: Set<A>) -> Flag<A> {
    Flag::value("metric", "cosine|euclidean", "What nearness means", "", set)
}

/// `--metric` of centroids that are read.
pub const fn metric_of_file<A>(set: Set<A>) -> Flag<A> {
    let help =
        "Needed where the file does not say it, and it is not the cosine. One that contradicts a model is refused.";
    Flag { help, ..metric(set) }
}

/// `--iters N`.
pub const fn iters<A: Iterates>() -> Flag<A> {
    iters_of(|args: &mut A, value| {
        args.iterations().iters = Some(value.number()?);
        Ok(())
    })
}

/// `--iters N` of any fit.
pub const fn iters_of<A>(set: Set<A>) -> Flag<A> {
    Flag::value("iters", "N", "Iterations at the most", "", set)
}

/// `--tol X` of any fit; the tool says of what.
pub const fn tol_of<A>(set: Set<A>) -> Flag<A> {
    Flag::value("tol", "X", "How small a change no longer counts", "", set)
}

/// `-k, --k K`.
pub const fn k<A>(set: Set<A>) -> Flag<A> {
    Flag::value("k", "K", "How many clusters", "", set).short('k')
}

/// The value of `-k`.
///
/// # Errors
/// Says what was expected.
pub fn number_of_clusters(value: &Value) -> Result<usize, String> {
    let k: u32 = value.positive()?;
    if k < u32::MAX { Ok(k as usize) } else { Err("expected less than 2^32 - 1".to_string()) }
}

/// `--runs R`; the tool says what is best.
pub const fn runs<A>(set: Set<A>) -> Flag<A> {
    Flag::value("runs", "R", "Fit R times, and write the best fit", "", set)
}

/// `--checkpoint FILE`.
pub const fn checkpoint<A>(set: Set<A>) -> Flag<A> {
    let help = "After each iteration: whole, or as it was.";
    Flag::value("checkpoint", "FILE", "Write into FILE where the work stands, again and again", help, set).output()
}

/// `--resume`, beside [`checkpoint`].
pub const fn resume<A>(set: Set<A>) -> Flag<A> {
    let help = "From the file of --checkpoint, which is of the same rows and flags; the output is that of a fit that \
                was not interrupted. Where there is no such file yet, the fit begins.";
    Flag::switch("resume", "Go on where an interrupted run stopped", help, set).common()
}

/// `--memory BYTES`.
pub const fn memory<A>(set: Set<A>) -> Flag<A> {
    let help = "What does not fit is read again in every pass; a pipe goes into a temporary file. Without it half of \
                what is free. The output does not depend on it.";
    Flag::value("memory", "BYTES", "Memory to use, such as 512M or 4G", help, set).common()
}

/// `--tol X`.
pub const fn tol<A: Iterates>() -> Flag<A> {
    let flag: Flag<A> = tol_of(|args: &mut A, value| {
        args.iterations().tol = value.not_negative()?;
        Ok(())
    });
    Flag { help: "A decrease of the inertia by a share of X or less is none.", ..flag }
        .default(|_| Iterations::default().tol.to_string())
}

/// `--patience N`.
pub const fn patience<A: Iterates>() -> Flag<A> {
    let summary = "End after N iterations in a row without a decrease";
    Flag::value("patience", "N", summary, "", |args: &mut A, value| {
        args.iterations().patience = value.positive()?;
        Ok(())
    })
    .default(|_| Iterations::default().patience.to_string())
}

/// `--empty split|farthest|keep`.
pub const fn empty<A: Iterates>() -> Flag<A> {
    let help = "Half of the largest cluster; the row that is farthest from its centroid; nothing.";
    Flag::value("empty", "split|farthest|keep", "What a cluster without rows gets", help, |args: &mut A, value| {
        args.iterations().empty = value.choice(&Empty::NAMES)?;
        Ok(())
    })
    .default(|_| Empty::default().name().to_string())
}

/// What `--weights` means beside vectors.
pub const WEIGHTS: &str = "How often a vector counts: the first field of each line, 0 or more, below 2^40, rounded \
                           to a multiple of 2^-20. A vector beside `nan` is missing.";

//! The flags that several tools of mixtures have: each means the same in all of them.

use crate::fit::Rule;
use pipe::flags::{Flag, Options, Value};

/// Where a tool keeps the value of a flag.
type Set<A> = fn(&mut A, Value) -> Result<(), String>;

/// The options of a tool that moves mixtures.
pub trait Iterates: Options {
    /// The part that all of them share.
    fn rule(&mut self) -> &mut Rule;
}

/// `--mixture FILE`.
pub const fn mixture<A>(set: Set<A>) -> Flag<A> {
    Flag::value("mixture", "FILE", "The mixture: a model of gmm-fit(1)", "", set).reads()
}

/// `--iters N`.
pub const fn iters<A: Iterates>() -> Flag<A> {
    cluster::flags::iters_of(|args: &mut A, value| {
        args.rule().iters = value.number()?;
        Ok(())
    })
    .default(|_| Rule::default().iters.to_string())
}

/// `--tol X`.
pub const fn tol<A: Iterates>() -> Flag<A> {
    cluster::flags::tol_of(|args: &mut A, value| {
        args.rule().tol = value.not_negative()?;
        Ok(())
    })
    .default(|_| Rule::default().tol.to_string())
}

/// `--reg-covar X`.
pub const fn reg_covar<A: Iterates>() -> Flag<A> {
    let help = "So that none is 0.";
    Flag::value("reg-covar", "X", "Added to every variance", help, |args: &mut A, value| {
        args.rule().reg_covar = value.not_negative()?;
        Ok(())
    })
    .default(|_| Rule::default().reg_covar.to_string())
}

//! `pack-tokens`: documents as tokens in, training sequences of one length out.
//!
//! In: token streams, a document after the other. Out: sequences in input order, as rows, lines, record batches, or a
//! dataset that trainers read. What is chosen is a function of seed and tokens, so shards and order change nothing.
//! Memory: one document, and what the format holds back: a batch, the index, or shards that are compressed.

mod flags;
mod format;

use dataset::choice::Packing;
use dataset::corpus::Corpus;
use dataset::packing::Shape;
use dataset::writing::Writer;
use flags::{Args, TOOL};
use format::Opening;
use pipe::failure::Failure;
use pipe::tokens::Dtype;
use std::process::ExitCode;

fn main() -> ExitCode {
    pipe::start(&TOOL, run)
}

fn run(args: Args) -> Result<(), Failure> {
    let (shape, wanted) = (args.shape()?, args.selection.wanted(args.common.seed)?);
    if args.common.shard.is_some() && !shape.by_document() {
        args.selection.check_shard_over_documents()?;
    }
    let mut corpus = Corpus::open(&args.common, args.selection.domains(&args.common.operands)?)?;
    if let Some(flag) = args.selection.reads_twice() {
        corpus.check_rereadable(flag)?;
    }
    args.selection.make_folders()?;
    let (first, narrow) = corpus.first()?;
    let dtype = args.settle_dtype(narrow);
    args.selection.qualify(&mut corpus);
    corpus.token_max = dtype.id_max().min(args.selection.token_max());
    check_pad(shape.pad, corpus.token_max)?;
    let writers = writers(&args, &shape, dtype)?;
    let written = Packing { corpus: &corpus, shape: &shape, wanted: &wanted }.write(first, writers)?;
    written.stats(&args.common).with("dtype", dtype.descr()).write(&args.common)
}

/// What fills up is a token, too.
fn check_pad(pad: Option<u32>, token_max: u32) -> Result<(), Failure> {
    match pad.filter(|&pad| pad > token_max) {
        Some(pad) => Err(Failure::usage(format!("--pad {pad}: expected 0 to {token_max}"))),
        None => Ok(()),
    }
}

/// One a part.
fn writers(args: &Args, shape: &Shape, dtype: Dtype) -> Result<Vec<Box<dyn Writer>>, Failure> {
    let places = args.selection.places();
    let opening = |place| Opening { place, shape, dtype, common: &args.common, mds: &args.mds };
    places.iter().map(|place| (args.format)(&opening(place.as_deref()))).collect()
}

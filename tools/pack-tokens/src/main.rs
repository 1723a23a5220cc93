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
use dataset::provenance::Traced;
use dataset::writing::Writer;
use flags::{Args, TOOL};
use format::Opening;
use pipe::failure::Failure;
use pipe::tokens::Dtype;
use std::path::PathBuf;
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
    args.selection.make_folders(args.selection.out.as_ref())?;
    args.selection.make_folders(args.provenance.as_ref())?;
    let (first, narrow) = corpus.first()?;
    let dtype = args.settle_dtype(narrow);
    args.selection.qualify(&mut corpus);
    corpus.token_max = dtype.id_max().min(args.selection.token_max());
    check_pad(shape.pad, corpus.token_max)?;
    let writers = writers(&args, &shape, dtype)?;
    let packing = Packing { corpus: &corpus, shape: &shape, wanted: &wanted, trace: args.provenance.is_some() };
    let written = packing.write(first, writers)?;
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
    let (places, beside) = (args.selection.places(), args.selection.places_of(args.provenance.as_ref()));
    let writer = |(place, beside): (&Option<PathBuf>, &Option<PathBuf>)| -> Result<Box<dyn Writer>, Failure> {
        let opening = Opening { place: place.as_deref(), shape, dtype, common: &args.common, mds: &args.mds };
        let sequences = (args.format)(&opening)?;
        match beside {
            Some(beside) => Ok(Box::new(Traced::create(beside, sequences)?)),
            None => Ok(sequences),
        }
    };
    places.iter().zip(&beside).map(writer).collect()
}

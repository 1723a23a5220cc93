//! `tokens-passages`: documents as tokens in, passages of them as text out, for retrieval.
//!
//! In: token streams. Out: a JSON object a passage, in input order, each with what follows it. What is chosen is a
//! function of seed and tokens, as in pack-tokens. Memory: one document, and a few thousand passages.

mod passages;

use dataset::choice::Packing;
use dataset::corpus::Corpus;
use dataset::packing::{Mode, Shape, Tail};
use dataset::selection::{self, Selection, Selects};
use dataset::writing::Writer;
use model::tokens::Tokens;
use passages::PassageWriter;
use pipe::failure::Failure;
use pipe::flags::{Example, Flag, Options, Rule, Tool};
use pipe::output::Output;
use pipe::settings::Common;
use pipe::shared;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// What the command line asks for.
#[derive(Default)]
struct Args {
    common: Common,
    selection: Selection,
    length: usize,
    tokenizer: PathBuf,
    ids: bool,
}

impl Options for Args {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

impl Selects for Args {
    fn selection(&mut self) -> &mut Selection {
        &mut self.selection
    }
}

const FLAGS: &[Flag<Args>] = &[
    selection::shard(),
    selection::tokens_min(),
    selection::tokens_max(),
    selection::vocab_size(),
    selection::length(|args: &mut Args, value| {
        args.length = selection::length_of(&value)?;
        Ok(())
    }),
    shared::tokenizer(|args: &mut Args, value| {
        args.tokenizer = value.path()?;
        Ok(())
    }),
    shared::seed(),
    selection::count(),
    selection::split(),
    selection::allow_empty(),
    selection::mix(),
    selection::domain(),
    selection::out("A file; standard output without it."),
    Flag::switch("ids", "Write the tokens, too", "", |args: &mut Args, _| {
        args.ids = true;
        Ok(())
    })
    .output(),
    shared::threads(),
    shared::stats(),
    shared::progress(),
];

const RULES: &[Rule] = &[
    Rule::Needed("length", "say how many tokens a passage has, such as --length 128"),
    Rule::Needed("tokenizer", "tokens become text by the tokenizer that they come from"),
    selection::SPLIT_NEEDS_OUT,
    selection::ALLOW_EMPTY_NEEDS_SPLIT,
    selection::MIX_OR_DOMAIN,
];

const TOOL: Tool<Args> = Tool {
    name: "tokens-passages",
    summary: "documents as tokens to passages of text, for retrieval",
    operands: "[FILE]...",
    description: &[
        "Reads token streams, as jsonl-tokenize(1) writes them, from the FILEs or from standard input, and writes the \
         passages of T tokens of each document as text, each with the up to T tokens behind it. Empty documents, \
         which stand for missing rows, are passed over and counted.",
        "A line has `id` (label, document, passage: `book_41_3`, counted from 0 in the whole input), `contents` and \
         `neighbor`, special tokens left out (an unknown one is what a SentencePiece model shows for it, mostly ` ⁇ \
         `), and with --ids `contents_token_ids` and `neighbor_token_ids`. Documents of fewer than T tokens, and the \
         rest behind the last whole passage, begin no passage; the rest is the last passage's neighbor.",
        "-n, --split, --mix and --shard choose among passages as pack-tokens(1) chooses among sequences of --mode \
         within; the purposes of the noise are the same. --stats is as there, too.",
    ],
    sections: &[],
    flags: FLAGS,
    rules: RULES,
    examples: &[
        Example {
            about: "Passages of eight tokens as text:",
            command: "tokens-passages --length 8 --tokenizer tokenizer.json tokens.npy > passages.jsonl",
            output: "",
        },
        Example {
            about: "Two of them, by their keys, and their tokens:",
            command: "tokens-passages --length 4 -n 2 --ids --tokenizer tokenizer.json tokens.npy | wc -l",
            output: "2\n",
        },
    ],
    see_also: &["jsonl-tokenize(1)", "pack-tokens(1)", "corpus-utils(7)"],
};

fn main() -> ExitCode {
    pipe::start(&TOOL, run)
}

fn run(args: Args) -> Result<(), Failure> {
    let wanted = args.selection.wanted(args.common.seed)?;
    let shape = Shape { mode: Mode::Passages, length: args.length, prev: 0, pad: None, tail: Tail::Drop, window: 0 };
    let mut corpus = Corpus::open(&args.common, args.selection.domains(&args.common.operands)?)?;
    if let Some(flag) = args.selection.reads_twice() {
        corpus.check_rereadable(flag)?;
    }
    let tokenizer = Arc::new(Tokens::open(&args.tokenizer).map_err(Failure::work)?);
    let (first, _) = corpus.first()?;
    args.selection.qualify(&mut corpus);
    corpus.token_max = args.selection.token_max();
    args.selection.make_folders(args.selection.out.as_ref())?;
    let writers = writers(&args, &tokenizer)?;
    let written = Packing { corpus: &corpus, shape: &shape, wanted: &wanted, trace: false }.write(first, writers)?;
    written.stats(&args.common).write(&args.common)
}

/// One a part.
fn writers(args: &Args, tokenizer: &Arc<Tokens>) -> Result<Vec<Box<dyn Writer>>, Failure> {
    let writer = |place: &Option<PathBuf>| {
        let output = place.as_deref().map_or_else(|| Ok(Output::stdout()), Output::create)?;
        let writer = PassageWriter::new(output, tokenizer.clone(), args.ids, args.common.threads);
        Ok(Box::new(writer) as Box<dyn Writer>)
    };
    args.selection.places().iter().map(writer).collect()
}

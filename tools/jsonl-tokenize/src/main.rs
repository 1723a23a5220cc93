//! `jsonl-tokenize`: documents in, token documents out.
//!
//! One token document per input line, in the same order, as `.npy` in CEPE's layout. A document's tokens depend on its
//! own text and the flags. Memory: the tokenizer, some 10 MB a thread for words that were met, and a few batches of
//! lines.

mod rows;

use model::bos::Bos;
use model::tokens::Tokens;
use pipe::failure::Failure;
use pipe::flags::{Example, Flag, Options, Rule, Tool};
use pipe::input::Input;
use pipe::lines::Lines;
use pipe::output::Output;
use pipe::record::Reader;
use pipe::settings::Common;
use pipe::shared;
use pipe::stats::Stats;
use pipe::tokens::{Dtype, TokenWriter};
use rows::{Frame, TokenRows};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

#[derive(Default)]
struct Args {
    common: Common,
    tokenizer: PathBuf,
    bos: Bos,
    bos_token: Option<String>,
    has_eos: bool,
    eos_token: Option<String>,
    no_special: bool,
    length_max: Option<usize>,
    dtype: Option<Dtype>,
}

impl Options for Args {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

const FLAGS: &[Flag<Args>] = &[
    shared::tokenizer(|args: &mut Args, value| {
        args.tokenizer = value.path()?;
        Ok(())
    }),
    Flag {
        help: "`auto`: what the post-processor of a tokenizer.json says, [CLS] or <s>. `yes`: where the text does not \
         begin with it by itself. `no`: nothing.",
        ..shared::bos(|args: &mut Args, value| {
            args.bos = value.choice(&Bos::NAMES)?;
            Ok(())
        })
    },
    Flag {
        help: "In place of what the post-processor says.",
        ..shared::eos(|args: &mut Args, _| {
            args.has_eos = true;
            Ok(())
        })
    },
    Flag::value("bos-token", "TOKEN", "The token for --bos yes, which this implies", "", |args: &mut Args, value| {
        args.bos_token = Some(value.text()?.to_string());
        Ok(())
    }),
    Flag::value("eos-token", "TOKEN", "The token for --eos, which this implies", "", |args: &mut Args, value| {
        args.eos_token = Some(value.text()?.to_string());
        Ok(())
    }),
    Flag {
        help: "None of those that a post-processor says; --bos yes and --eos put theirs.",
        ..shared::no_special(|args: &mut Args, _| {
            args.no_special = true;
            Ok(())
        })
    },
    Flag {
        help: "Those around the text stay. Without it documents are whole: the limit and padding in a tokenizer.json \
         are not heeded.",
        ..shared::max_length(|args: &mut Args, value| {
            args.length_max = Some(value.positive()?);
            Ok(())
        })
    },
    Flag {
        help: "`auto` takes u16 where every id of the vocabulary, added tokens included, is below 65,536, else u32; \
         see Output.",
        default: |_| "auto".to_string(),
        ..shared::dtype("auto|u16|u32|i32|i64", |args: &mut Args, value| {
            let choices = [
                ("auto", None),
                ("u16", Some(Dtype::U16)),
                ("u32", Some(Dtype::U32)),
                ("i32", Some(Dtype::I32)),
                ("i64", Some(Dtype::I64)),
            ];
            args.dtype = value.choice(&choices)?;
            Ok(())
        })
    },
    shared::field(),
    shared::template(),
    shared::shard(),
    shared::on_error(),
    shared::threads(),
    shared::stats(),
    shared::progress(),
];

const TOOL: Tool<Args> = Tool {
    name: "jsonl-tokenize",
    summary: "documents to tokens",
    operands: "[FILE]...",
    description: &[
        "Reads documents as JSON Lines from the FILEs or from standard input and writes the token ids of each, in the \
         same order. The ids are those of the tokenizer's own implementation: Hugging Face's tokenizers 0.23 for a \
         tokenizer.json, SentencePiece 0.2.3 for a model of its own.",
        "A tokenizer.json is used with its special tokens around each text as it says, unless --bos, --eos or \
         --no-special say otherwise; a SentencePiece model adds none by itself. Tokens such as </s> that are written \
         out in a text are taken for the token where the tokenizer does so (tokenizer.json: yes; SentencePiece: no).",
    ],
    sections: &[
        (
            "Output",
            &[
                "NumPy arrays (.npy) of one dimension, each `[n][length of document 1]...[length of document n][tokens \
                 of document 1]...[tokens of document n]`: the layout of CEPE's scripts. Documents that are missing \
                 (--on-error skip) have length 0. No documents are the array `[0]`, or a stream of none.",
                "Into a regular file goes one array, which numpy.load reads. While it is being written its header \
                 claims more than there is, so that what a killed run leaves does not load. The lengths wait in \
                 memory, 4 MB of them, then in a temporary file (TMPDIR), and are put in front at the end, in place: \
                 no second copy is made of the tokens.",
                "Into a pipe, and where the shell appends (>>), goes a stream of such blocks, as corpus-utils(7) \
                 describes it: numpy.load refuses it, and npy-cat(1) makes an array of it, also of one that `tee` \
                 kept. A block ends with the document with which it has 524,288 tokens or more, or with its 65,534th \
                 document: it depends on the documents alone.",
                "The number of documents and each length are numbers of the array, too. With --dtype auto an array in \
                 which one of them does not fit is wider, u32 (then i64): of a pipe, only the blocks with a document \
                 of more than 65,535 tokens; a file, as a whole, so that a large corpus may take half the space as a \
                 stream (`| cat > FILE`). With a type by name, a vocabulary that does not fit is an error at the \
                 start, a document that is too long is a bad record, and more documents than one less than the type's \
                 largest number, in a file, are an error.",
                "CEPE's own scripts add lengths up in the type of the array, which overflows: for them, take --dtype \
                 i64.",
            ],
        ),
        (
            "Begin and end",
            &[
                "For a SentencePiece model, --bos yes and --eos take the pieces that it was trained with. A tokenizer.json \
                 does not say which tokens begin and end texts: they are `bos_token` and `eos_token` of \
                 tokenizer_config.json or special_tokens_map.json in the same folder, else the one token of the \
                 vocabulary that is called as usual: <s>, <bos>, <|begin_of_text|>, [BOS], <|endoftext|> or [CLS] for \
                 the first; </s>, <eos>, <|end_of_text|>, [EOS], <|endoftext|> or [SEP] for the second. If that is \
                 none or several, the run ends with exit 1; --bos-token and --eos-token name any token.",
            ],
        ),
        (
            "Long texts",
            &[
                "Texts are tokenized whole, in time that grows in proportion, a million spaces and texts without any \
                 included. Memory for a text: some ten bytes for each of its bytes, and for each byte of the longest \
                 stretch without a place where a token certainly ends 30 bytes with BPE (90 with a SentencePiece \
                 model) and 35 with Unigram.",
                "That holds where all parts of a tokenizer.json are known: WordPiece as in BERT; byte-level BPE with \
                 the patterns of GPT-2, GPT-4, Llama 3 and Qwen 2; BPE over the whole text as in Llama 2, Mistral and \
                 Gemma; Unigram as in T5 and XLM-RoBERTa. With any other (and for texts with an added token that \
                 takes white space along or is looked for after normalizing), the reference implementation tokenizes, \
                 at its speed, and a text of more than 16 MiB is a bad record. --stats says which (`tokenizer`).",
            ],
        ),
    ],
    flags: FLAGS,
    rules: &[
        Rule::Needed("tokenizer", "what a token is, only a tokenizer says"),
        Rule::Excludes("bos=no", &["bos-token"], "one says that there is none, the other which"),
    ],
    examples: &[
        Example {
            about: "An array that numpy.load reads, each document between the tokens that begin and end texts:",
            command: "jsonl-tokenize --tokenizer tokenizer.json --bos yes --eos docs.jsonl > tokens.npy",
            output: "",
        },
        Example {
            about: "The same tokens in two shards; pack-tokens(1) reads them one after the other, and npy-cat(1) puts \
             them together:",
            command: "jsonl-tokenize --tokenizer tokenizer.json --bos yes --eos --shard 0/2 docs.jsonl > part0.npy\n\
                      jsonl-tokenize --tokenizer tokenizer.json --bos yes --eos --shard 1/2 docs.jsonl > part1.npy",
            output: "",
        },
        Example {
            about: "How many documents, and how many tokens the first has, without what the tokenizer puts around it:",
            command: "jsonl-tokenize --tokenizer tokenizer.json --no-special --dtype i32 docs.jsonl | tail -c +129 | \
                      od -A n -t d4 -N 8",
            output: "",
        },
    ],
    see_also: &["jsonl-embed(1)", "npy-cat(1)", "pack-tokens(1)", "corpus-utils(7)"],
};

/// Bytes of lines that a thread tokenizes at a time.
const BATCH: usize = 128 << 10;

fn main() -> ExitCode {
    pipe::start(&TOOL, run)
}

fn run(args: Args) -> Result<(), Failure> {
    let reader = Reader::new(&args.common)?;
    let mut input = Input::open(&args.common)?;
    input.read_size = BATCH;
    let tokens = Arc::new(Tokens::open(&args.tokenizer).map_err(Failure::work)?);
    // Some hundred thousand pieces of memory: the end of the process gives them back at once.
    std::mem::forget(tokens.clone());
    let frame = frame(&args, &tokens)?;
    let dtype = dtype(&args, &tokens)?;
    let mut writer = TokenWriter::new(Output::stdout(), dtype, args.dtype.is_none())?;
    let (mut total, mut longest, mut cut, mut bytes) = (0_u64, 0, 0, 0);
    let worker = || TokenRows::new(tokens.clone(), reader.clone(), frame.clone());
    let (tally, _) = Lines::new(&args.common, input).run(worker, |rows| {
        total += rows.ids.len() as u64;
        longest = rows.lengths.iter().copied().fold(longest, u32::max);
        cut += rows.cut;
        bytes += rows.bytes;
        writer.write(&rows.lengths, &rows.ids).map(ControlFlow::Continue)
    })?;
    writer.finish()?;
    tally.report(&args.common);
    let stats = Stats::new(&args.common, &tally).with("tokens", total).with("text_bytes", bytes);
    let stats = stats.with("tokens_per_byte", total as f64 / (bytes.max(1)) as f64).with("tokens_longest", longest);
    let stats = stats.with("truncated_rows", cut).with("dtype", dtype.descr()).with("tokenizer", tokens.kind());
    stats.with("before", frame.before).with("behind", frame.behind).write(&args.common)
}

/// What goes around each document.
fn frame(args: &Args, tokens: &Tokens) -> Result<Frame, Failure> {
    let Args { bos_token, eos_token, has_eos, .. } = args;
    let (before, mut behind) = if args.no_special { Default::default() } else { tokens.around() };
    let bos = if bos_token.is_some() { Bos::Yes } else { args.bos };
    let before = bos.before(&before, || tokens.bos(bos_token.as_deref())).map_err(Failure::work)?;
    if *has_eos || eos_token.is_some() {
        behind = vec![tokens.eos(eos_token.as_deref()).map_err(Failure::work)?];
    }
    let (special, length_max) = (before.len() + behind.len(), args.length_max.unwrap_or(usize::MAX));
    if length_max < special {
        return Err(Failure::usage(format!(
            "--max-length {length_max}: no room for the {special} tokens around a text"
        )));
    }
    Ok(Frame { bos, before, behind, length_max, dtype: args.dtype })
}

fn dtype(args: &Args, tokens: &Tokens) -> Result<Dtype, Failure> {
    let id_max = u64::from(tokens.id_max());
    match args.dtype {
        None => Ok(Dtype::for_ids(id_max)),
        Some(dtype) if id_max <= dtype.number_max() => Ok(dtype),
        Some(dtype) => Err(Failure::work(format!(
            "the vocabulary has ids up to {id_max}: expected {} at the most in an array of {}",
            dtype.number_max(),
            dtype.descr()
        ))),
    }
}

//! `jsonl-embed`: documents in, vectors out.
//!
//! One vector per input line, in the same order, as `.npy`. A row's vector depends on its own text and the flags: not
//! on its neighbours, on threads or on batches. Memory: the model, and a few batches of lines a thread; it does not
//! grow with the input.

mod embedding;
mod rows;

use compute::encoder::{Encoder, Precision};
use embedding::{Embedding, Long};
use model::folder::Model;
use model::hash::{DIM, DIM_MAX};
use model::pooling::Pooling;
use pipe::failure::Failure;
use pipe::flags::{Example, Flag, Options, Rule, Tool, Value};
use pipe::input::Input;
use pipe::lines::Lines;
use pipe::output::Output;
use pipe::record::Reader;
use pipe::settings::Common;
use pipe::shared;
use pipe::stats::Stats;
use pipe::vectors::{Dtype, VectorWriter};
use rows::VectorRows;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

#[derive(Default)]
struct Args {
    common: Common,
    model: Source,
    pooling: Option<Pooling>,
    length_max: Option<usize>,
    normalize: Option<bool>,
    prefix: Option<String>,
    prompt: Option<String>,
    precision: Precision,
    long: Long,
    dtype: Dtype,
    dim: Option<usize>,
}

/// Where the vectors come from.
enum Source {
    Hash(usize),
    Folder(PathBuf),
}

impl Default for Source {
    fn default() -> Source {
        Source::Hash(DIM)
    }
}

impl Options for Args {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

const FLAGS: &[Flag<Args>] = &[
    Flag::value(
        "model",
        "DIR|hash[:DIM]",
        "The folder of a model",
        "As sentence-transformers or Hugging Face write it. Or `hash`, which needs no file and compares texts by their \
         words alone, with DIM values a vector.",
        |args: &mut Args, value| {
            args.model = source(value)?;
            Ok(())
        },
    )
    .default(|_| format!("hash:{DIM}")),
    Flag::value(
        "pooling",
        "mean|cls|last",
        "Which tokens make the vector",
        "The mean of all, the first, or the last. Without it, what the folder says.",
        |args: &mut Args, value| {
            let choices = [("mean", Pooling::Mean), ("cls", Pooling::Cls), ("last", Pooling::Last)];
            args.pooling = Some(value.choice(&choices)?);
            Ok(())
        },
    ),
    Flag {
        help: "Without it, what the folder says.",
        ..shared::max_length(|args: &mut Args, value| {
            args.length_max = Some(value.positive()?);
            Ok(())
        })
    },
    Flag::value(
        "long",
        "cut|chunk-mean",
        "What becomes of a text that is longer",
        "It is cut, or it is embedded in consecutive windows whose vectors are averaged by their length in tokens, and \
         normalised again if vectors are.",
        |args: &mut Args, value| {
            args.long = value.choice(&[("cut", Long::Cut), ("chunk-mean", Long::ChunkMean)])?;
            Ok(())
        },
    )
    .default(|_| "cut".to_string()),
    Flag::value(
        "normalize",
        "yes|no",
        "Whether vectors leave with length one",
        "Without it, what the folder says.",
        |args: &mut Args, value| {
            args.normalize = Some(value.choice(&[("yes", true), ("no", false)])?);
            Ok(())
        },
    ),
    Flag::value("prefix", "TEXT", "Put this before every text", "Such as `query: `.", |args: &mut Args, value| {
        args.prefix = Some(value.text()?.to_string());
        Ok(())
    }),
    Flag::value(
        "prompt",
        "NAME",
        "Put the folder's prompt of this name before every text",
        "Without it, the folder's default prompt, if it has one.",
        |args: &mut Args, value| {
            args.prompt = Some(value.text()?.to_string());
            Ok(())
        },
    ),
    shared::precision(|args: &mut Args, value| {
        args.precision = value.choice(&Precision::NAMES)?;
        Ok(())
    })
    .default(|_| "exact".to_string()),
    shared::dtype("f32|f16", |args: &mut Args, value| {
        args.dtype = value.choice(&[("f32", Dtype::F32), ("f16", Dtype::F16)])?;
        Ok(())
    })
    .default(|_| "f32".to_string()),
    Flag::value(
        "dim",
        "D",
        "Keep the first D values of a vector",
        "For models that were trained so. What is kept is normalised again if vectors are.",
        |args: &mut Args, value| {
            args.dim = Some(value.positive()?);
            Ok(())
        },
    )
    .output(),
    shared::field(),
    shared::template(),
    shared::shard(),
    shared::on_error(),
    shared::device(),
    shared::threads(),
    shared::stats(),
    shared::progress(),
];

const TOOL: Tool<Args> = Tool {
    name: "jsonl-embed",
    summary: "documents to vectors",
    operands: "[FILE]...",
    description: &[
        "Reads documents as JSON Lines from the FILEs or from standard input and writes one vector a document, in the \
         same order: a `.npy` array of shape (rows, dim) into a regular file, a stream into a pipe or behind what a \
         file holds already (>>), as corpus-utils(7) describes it: numpy.load refuses a stream, and npy-cat(1) makes \
         an array of it. A missing row is all NaN.",
        "Models are read from a folder with config.json, model.safetensors (32-bit and 16-bit floats, in one file or \
         several) and tokenizer.json, and where present modules.json, the pooling's and dense layers' folders, \
         sentence_bert_config.json and config_sentence_transformers.json. Known architectures: BERT (MiniLM, E5, BGE, \
         GTE), JinaBERT v2, RoBERTa, XLM-RoBERTa, MPNet, NomicBERT, ModernBERT; any other is refused by name.",
        "What the folder says is the default. The model's own maximum length wins over the one in tokenizer.json. Of a \
         text that will be cut, only the beginning is tokenized where the kind of tokenizer allows it (WordPiece as \
         in BERT, byte-level BPE); a text of more than 16 MiB that would have to be tokenized whole is a bad record.",
    ],
    sections: &[(
        "The embedded default",
        &["`hash` is signed feature hashing of words and pairs of neighbouring words with weights 1 + ln(count), \
             eight positions each, normalised: texts are near when they share words. Words are runs of letters, \
             digits and _ in lower case, as ngram-hash(1) finds them with `--word-tokenizer words`. The recipe is \
             frozen; scripts/model/hash.py is the same in Python. A text without words has a vector of its own, of \
             length one like every other."],
    )],
    flags: FLAGS,
    rules: &[
        Rule::AtMostOne(&["prefix", "prompt"], "both are put before every text; write the prompt's text into --prefix"),
        Rule::Excludes(
            "model=hash",
            &["pooling", "max-length", "long=chunk-mean", "normalize=no", "prompt", "precision=bf16", "dim"],
            "only a model in a folder can heed it; `hash:DIM` says how many values a vector has",
        ),
    ],
    examples: &[
        Example {
            about: "Embed without any model file, into an array that numpy loads:",
            command: "jsonl-embed docs.jsonl > vectors.npy",
            output: "",
        },
        Example {
            about: "The same in two shards; programs that read vectors read them one after the other, and npy-cat(1) \
             puts them together:",
            command: "jsonl-embed --shard 0/2 docs.jsonl > part0.npy\njsonl-embed --shard 1/2 docs.jsonl > part1.npy",
            output: "",
        },
        Example {
            about: "Title and body in one text, half the space:",
            command: "printf '%s\\n' '{\"title\": \"Tea\", \"body\": \"How to make it.\"}' |\n\
                      jsonl-embed --template '{title}: {body}' --dtype f16 > tea.npy",
            output: "",
        },
    ],
    see_also: &["kmeans-fit(1)", "npy-cat(1)", "corpus-utils(7)"],
};

/// Bytes of lines that a thread embeds at a time: with a model, about a second's work at the most, so that threads end
/// together.
const MODEL_BATCH: usize = 32 << 10;

fn main() -> ExitCode {
    pipe::start(&TOOL, run)
}

fn source(value: Value) -> Result<Source, String> {
    let text = value.0.to_str().unwrap_or_default();
    let dim = match text.strip_prefix("hash") {
        Some("") => DIM,
        Some(rest) if rest.starts_with(':') => {
            let dim = rest[1..].parse().ok().filter(|dim| (1..=DIM_MAX).contains(dim));
            dim.ok_or_else(|| format!("expected hash:DIM with DIM from 1 to {DIM_MAX}"))?
        }
        _ => return Ok(Source::Folder(value.path()?)),
    };
    Ok(Source::Hash(dim))
}

fn run(args: Args) -> Result<(), Failure> {
    if let Some(gpus) = &args.common.gpus {
        return Err(Failure::work(format!("--device {}: this version computes on the CPU only", gpus.name)));
    }
    let reader = Reader::new(&args.common)?;
    let mut input = Input::open(&args.common)?;
    let embedding = Arc::new(match &args.model {
        Source::Hash(dim) => Embedding::hash(*dim, args.prefix.clone().unwrap_or_default()),
        Source::Folder(folder) => {
            input.read_size = MODEL_BATCH;
            folder_embedding(&args, folder)?
        }
    });
    let mut writer = VectorWriter::new(Output::stdout(), embedding.dim(), args.dtype)?;
    let (mut cut, mut tokens) = (0, 0);
    let worker = || VectorRows::new(embedding.clone(), args.long, reader.clone());
    let (tally, _) = Lines::new(&args.common, input).run(worker, |rows| {
        cut += rows.cut;
        tokens += rows.tokens;
        writer.write(&rows.values).map(ControlFlow::Continue)
    })?;
    writer.finish()?;
    tally.report(&args.common);
    let stats = Stats::new(&args.common, &tally).with("dim", embedding.dim()).with("precision", embedding.precision());
    stats.with("truncated_rows", cut).with("tokens", tokens).write(&args.common)
}

fn folder_embedding(args: &Args, folder: &Path) -> Result<Embedding<Encoder>, Failure> {
    args.precision.check().map_err(Failure::work)?;
    let mut model = Model::open(folder).map_err(Failure::work)?;
    model.pooling = args.pooling.unwrap_or(model.pooling);
    model.normalize = args.normalize.unwrap_or(model.normalize);
    if let Some(length_max) = args.length_max {
        model.set_length_max(length_max).map_err(Failure::usage)?;
    }
    let dim = args.dim.unwrap_or(model.dim());
    if dim > model.dim() {
        return Err(Failure::usage(format!("--dim {dim}: the model's vectors have {} values", model.dim())));
    }
    let prompt = args.prompt.as_deref().or(model.default_prompt.as_deref().filter(|_| args.prefix.is_none()));
    let prefix = match (&args.prefix, prompt) {
        (Some(prefix), _) => prefix.clone(),
        (None, Some(name)) => model.prompt(name).map_err(Failure::usage)?.to_string(),
        (None, None) => String::new(),
    };
    let encoder = Encoder::new(&model.transformer, args.precision);
    // The encoder has packed them; nobody needs them twice.
    model.transformer.blocks.clear();
    model.transformer.tokens.values = Vec::new();
    Ok(Embedding::model(model, encoder, args.precision, dim, prefix))
}

//! `lm-score`: documents in, a column of what a language model thinks of them out.
//!
//! One output line per input line, in the same order. A row's numbers depend on its own text and the flags: not on its
//! neighbours, on threads or on batches. Memory: the model, and a few batches of lines a thread; it does not grow with
//! the input.

mod passage;
mod rows;
mod scoring;

use compute::decoder::Decoder;
use compute::encoder::{Precision, available};
use model::causal::CausalModel;
use passage::Long;
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
use rows::{Column, Plan, Rows, ScoreRows};
use scoring::Scoring;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

struct Args {
    common: Common,
    model: PathBuf,
    columns: Vec<Column>,
    prompt_field: Option<String>,
    has_bos: bool,
    has_eos: bool,
    no_special: bool,
    length_max: Option<usize>,
    long: Long,
    last: Option<usize>,
    token_nll: Option<PathBuf>,
    precision: Option<Precision>,
}

impl Default for Args {
    fn default() -> Args {
        Args {
            common: Common::default(),
            model: PathBuf::new(),
            columns: vec![Column::Nll, Column::Tokens],
            prompt_field: None,
            has_bos: false,
            has_eos: false,
            no_special: false,
            length_max: None,
            long: Long::Cut,
            last: None,
            token_nll: None,
            precision: Some(Precision::F32),
        }
    }
}

impl Options for Args {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

const FLAGS: &[Flag<Args>] = &[
    Flag::value("model", "DIR", "The folder of a model", "As Hugging Face writes it.", |args: &mut Args, value| {
        args.model = value.path()?;
        Ok(())
    }),
    Flag::value(
        "columns",
        "LIST",
        "What stands in a row before the key",
        "Names from the list under Columns, with commas between them.",
        |args: &mut Args, value| {
            args.columns = columns(value)?;
            Ok(())
        },
    )
    .default(|_| "nll,tokens".to_string())
    .output(),
    Flag::value(
        "prompt-field",
        "PATH",
        "The field with the prompt, which is not scored",
        "The text is scored as what follows it; see Prompts.",
        |args: &mut Args, value| {
            args.prompt_field = Some(value.text()?.to_string());
            Ok(())
        },
    ),
    Flag::switch(
        "bos",
        "Begin each document with the token that begins texts",
        "Or, where the model has none, with the one that ends them. With --bos or --eos, nothing else is put around \
         the text.",
        |args: &mut Args, _| {
            args.has_bos = true;
            Ok(())
        },
    ),
    Flag::switch(
        "eos",
        "End each document with the token that ends texts",
        "It is scored like any other. A document that is cut has none.",
        |args: &mut Args, _| {
            args.has_eos = true;
            Ok(())
        },
    ),
    Flag::switch(
        "no-special",
        "Put no special tokens around the text",
        "Without it, those that tokenizer.json says: for Llama a token that begins the text, for GPT-2 none.",
        |args: &mut Args, _| {
            args.no_special = true;
            Ok(())
        },
    ),
    Flag {
        help: "Without it, at the length that the model was made for.",
        ..shared::max_length(|args: &mut Args, value| {
            args.length_max = Some(value.positive()?);
            Ok(())
        })
    },
    Flag::value(
        "long",
        "cut|windows|stride:S",
        "What becomes of a text that is longer",
        "It is cut; or scored in windows, each of which sees as much as the model can; see Long texts.",
        |args: &mut Args, value| {
            args.long = long(value)?;
            Ok(())
        },
    )
    .default(|_| "cut".to_string()),
    Flag::value("last", "N", "Score the last N tokens of each text", "", |args: &mut Args, value| {
        args.last = Some(value.positive()?);
        Ok(())
    }),
    Flag::value(
        "token-nll",
        "FILE",
        "Write the number of each scored token here",
        "An array of 32-bit floats, one a row, text after text: a row of the output with --columns tokens says how \
         many are its own.",
        |args: &mut Args, value| {
            args.token_nll = Some(value.path()?);
            Ok(())
        },
    )
    .output(),
    Flag::value(
        "precision",
        "auto|f32|bf16",
        "What the factors of matrix products are rounded to",
        "Sums are 32-bit floats either way. bf16 is several times faster where the processor has instructions for it \
         (AMX, AVX512-BF16), and off by some hundredths of a nat a token. `auto` takes it there, else f32.",
        |args: &mut Args, value| {
            let choices = [("auto", None), ("f32", Some(Precision::F32)), ("bf16", Some(Precision::Bf16))];
            args.precision = value.choice(&choices)?;
            Ok(())
        },
    )
    .default(|_| "f32".to_string()),
    shared::field(),
    shared::template(),
    shared::id_field(),
    shared::shard(),
    shared::on_error(),
    shared::threads(),
    shared::stats(),
    shared::progress(),
];

const TOOL: Tool<Args> = Tool {
    name: "lm-score",
    summary: "documents to what a language model thinks of them",
    operands: "[FILE]...",
    description: &[
        "Reads documents as JSON Lines from the FILEs or from standard input and prints, for each, how unlikely a \
         causal language model finds it: the mean negative log-likelihood of its tokens, each given those before it.",
        "A row is `nll<TAB>tokens<TAB>key`: the mean in nats (the logarithm of the perplexity), how many tokens were \
         scored, and the document's key in 16 hexadecimal digits; --columns names others. A document of which nothing \
         is scored has `nan` and 0; a missing row is `nan` in every field.",
        "Models are read from a folder with config.json, model.safetensors (32-bit and 16-bit floats, in one file or \
         several) and tokenizer.json. Known architectures: GPT-2, GPT-NeoX (Pythia), OPT, Llama (also SmolLM 1 and \
         2), SmolLM 3, Mistral, Qwen 2 and 3, Gemma 2, with the rotary rules default, linear, llama3 and yarn; any \
         other is refused by name.",
        "The first token of a text is scored only where a token that begins texts stands before it: --bos puts it \
         there. A document's numbers do not depend on its neighbours, on threads or shards; a token's not on what \
         follows it. Another processor may have other instructions, and then the last digits differ: --stats says \
         which were used.",
    ],
    sections: &[
        (
            "Columns",
            &["`nll`: the mean over the scored tokens, in nats. `sum`: the sum. `tokens`: how many. `perplexity`: \
                 exp(nll). `bytes`: the length of the text in UTF-8, without its prompt. `bits-per-byte`: the sum in \
                 bits by those bytes; `nan` where the text is empty or was cut. With a prompt, `nll-alone`: nll of \
                 the text without it; `ifd`: nll by nll-alone, the instruction-following difficulty (Li et al., 2024, \
                 From Quantity to Quality)."],
        ),
        (
            "Prompts",
            &["With --prompt-field, prompt and text are tokenized as one. The tokens behind as many as the prompt \
                 has when it is tokenized alone are scored; spaces at the end of a prompt count as a part of the \
                 text, since tokenizers put a space to the word behind it. Where the prompt's tokens are not those at \
                 the beginning of the whole, the border is in the middle of a token: --stats counts such rows \
                 (`split_rows`). A prompt that fills the length leaves nothing to score (`unscored_rows`)."],
        ),
        (
            "Long texts",
            &["A text has at most as many tokens as config.json says (`max_position_embeddings`, `n_positions`), or \
                 --max-length. With --long cut the rest is not looked at. With --long windows each window scores as \
                 many tokens as the model can see at once, and the last one sees as much before its tokens as there \
                 is room for: the rolling log-likelihood of lm-evaluation-harness. With --long stride:S each window \
                 behind the first scores S tokens, with more before them, for the time of as many more windows."],
        ),
    ],
    flags: FLAGS,
    rules: &[
        Rule::Needed("model", "how likely a text is, only a model says"),
        Rule::Excludes("no-special", &["bos", "eos"], "they are special tokens; leave out one or the other"),
    ],
    examples: &[
        Example {
            about: "Perplexity under a model, of texts up to its length:",
            command: "lm-score --model pythia-70m --bos --columns perplexity,tokens docs.jsonl > perplexity.tsv",
            output: "",
        },
        Example {
            about: "How much the instruction helps with each answer, and the hundred answers that it helps with least, \
             but helps:",
            command: "lm-score --model pythia-70m --field output --prompt-field instruction --columns ifd \
                      alpaca.jsonl > ifd.tsv\n\
                      paste ifd.tsv alpaca.jsonl | awk '$1 < 1' | sort -k1,1gr | head -n 100 | cut -f 3-",
            output: "",
        },
        Example {
            about: "Whole documents in two shards; the columns put together are those of one run:",
            command: "lm-score --model pythia-70m --long windows --shard 0/2 docs.jsonl > part0.tsv\n\
                      lm-score --model pythia-70m --long windows --shard 1/2 docs.jsonl > part1.tsv",
            output: "",
        },
    ],
    see_also: &["cluster-stats(1)", "topk-resample(1)", "jsonl-embed(1)", "corpus-utils(7)"],
};

/// Bytes of lines that a thread scores at a time: some two thousand tokens, so that threads end together.
const BATCH: usize = 8 << 10;

fn main() -> ExitCode {
    pipe::start(&TOOL, run)
}

fn columns(value: Value) -> Result<Vec<Column>, String> {
    let find = |name: &str| {
        let found = Column::ALL.iter().find(|(known, _)| *known == name);
        found.map(|&(_, column)| column).ok_or_else(|| {
            let known = Column::ALL.map(|(known, _)| known).join(", ");
            format!("expected a list of columns with commas between them, of {known}; found {name:?}")
        })
    };
    value.text()?.split(',').map(find).collect()
}

fn long(value: Value) -> Result<Long, String> {
    let wrong = || "expected cut, windows or stride:S with S above zero".to_string();
    match value.text()? {
        "cut" => Ok(Long::Cut),
        "windows" => Ok(Long::Windows),
        text => {
            let step = text.strip_prefix("stride:").and_then(|step| step.parse().ok());
            step.filter(|&step: &usize| step > 0).map(Long::Stride).ok_or_else(wrong)
        }
    }
}

/// What the run adds up, in the order of the rows.
#[derive(Default)]
struct Totals {
    sum: f64,
    tokens: u64,
    cut: u64,
    split: u64,
    unscored: u64,
}

impl Totals {
    fn add(&mut self, rows: &Rows) {
        for score in &rows.scores {
            self.sum += score.sum;
            self.tokens += score.tokens;
            self.cut += u64::from(score.is_cut);
            self.split += u64::from(score.is_split);
            self.unscored += u64::from(score.tokens == 0);
        }
    }
}

fn run(args: Args) -> Result<(), Failure> {
    let plan = plan(&args)?;
    let mut input = Input::open(&args.common)?;
    input.read_size = BATCH;
    let precision = precision(args.precision)?;
    let scoring = Arc::new(scoring(&args, precision)?);
    let mut output = Output::stdout();
    let token_nll = args.token_nll.as_ref().map(|path| VectorWriter::new(Output::create(path)?, 1, Dtype::F32));
    let mut token_nll = token_nll.transpose()?;
    let mut totals = Totals::default();
    let worker = || ScoreRows::new(scoring.clone(), plan.clone());
    let (tally, _) = Lines::new(&args.common, input).run(worker, |rows| {
        totals.add(&rows);
        if let Some(file) = &mut token_nll {
            file.write(&rows.tokens)?;
        }
        output.write(&rows.text).map(ControlFlow::Continue)
    })?;
    if let Some(file) = token_nll {
        file.finish()?;
    }
    tally.report(&args.common);
    let name = if precision == Precision::F32 { "f32" } else { "bf16" };
    let stats = Stats::new(&args.common, &tally).with("precision", name);
    let stats = stats.with("instructions", scoring.decoder.instructions()).with("tokens", totals.tokens);
    let stats = stats.with("nll", totals.sum / totals.tokens as f64).with("truncated_rows", totals.cut);
    stats.with("split_rows", totals.split).with("unscored_rows", totals.unscored).write(&args.common)
}

fn plan(args: &Args) -> Result<Plan, Failure> {
    if args.prompt_field.is_none() && args.columns.iter().any(|column| column.is_of_both()) {
        let why = "--columns nll-alone or ifd: expected --prompt-field, without which there is only the text alone";
        return Err(Failure::usage(why));
    }
    let prompts = args.prompt_field.as_ref().map(|field| {
        let common = Common { field: field.clone(), ..Common::default() };
        Reader::new(&common)
    });
    Ok(Plan { columns: args.columns.clone(), reader: Reader::new(&args.common)?, prompts: prompts.transpose()? })
}

fn scoring(args: &Args, precision: Precision) -> Result<Scoring, Failure> {
    let model = CausalModel::open(&args.model).map_err(Failure::work)?;
    let length_max = length_max(args, &model)?;
    let (before, behind) = around(args, &model)?;
    let CausalModel { transformer, head, tokenizer, .. } = model;
    let decoder = Decoder::new(transformer, &head, precision);
    Ok(Scoring { decoder, tokenizer, before, behind, length_max, long: args.long, last: args.last })
}

fn length_max(args: &Args, model: &CausalModel) -> Result<usize, Failure> {
    let length_max = args.length_max.unwrap_or(model.length_max);
    if let Some(rows) = model.positions_max().filter(|&rows| rows < length_max) {
        return Err(Failure::usage(format!("--max-length {length_max}: the model has {rows} positions")));
    }
    if length_max < 2 {
        return Err(Failure::usage("--max-length 1: expected 2 at least, one token to see and one to score"));
    }
    match args.long {
        Long::Stride(step) if step > length_max => {
            let why = format!("--long stride:{step}: expected at most the {length_max} tokens that the model sees");
            Err(Failure::usage(why))
        }
        _ => Ok(length_max),
    }
}

/// The tokens before and behind every text.
fn around(args: &Args, model: &CausalModel) -> Result<(Vec<u32>, Vec<u32>), Failure> {
    let missing = |flag: &str| {
        let why = "neither tokenizer_config.json nor config.json names such a token";
        Failure::work(format!("{}: {flag}: {why}", args.model.display()))
    };
    if args.no_special {
        return Ok((Vec::new(), Vec::new()));
    }
    if !args.has_bos && !args.has_eos {
        let (before, behind) = model.tokenizer.around();
        return Ok((before.to_vec(), behind.to_vec()));
    }
    let bos = args.has_bos.then(|| model.bos.or(model.eos).ok_or_else(|| missing("--bos"))).transpose()?;
    let eos = args.has_eos.then(|| model.eos.ok_or_else(|| missing("--eos"))).transpose()?;
    Ok((bos.into_iter().collect(), eos.into_iter().collect()))
}

fn precision(wanted: Option<Precision>) -> Result<Precision, Failure> {
    match wanted {
        None if available(Precision::Bf16) => Ok(Precision::Bf16),
        None => Ok(Precision::F32),
        Some(precision) if available(precision) => Ok(precision),
        Some(_) => Err(Failure::work("--precision bf16: this processor has neither AMX nor AVX512-BF16")),
    }
}

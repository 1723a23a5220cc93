//! The command line.

use crate::annotation::Format;
use crate::passage::Long;
use crate::rows::Column;
use crate::sequences;
use compute::encoder::Precision;
use dataset::mds::Storage;
use dataset::mds::storage::{self, Stores};
use model::bos::Bos;
use pipe::flags::{Example, Flag, Options, Rule, Tool, Value};
use pipe::settings::Common;
use pipe::shared;
use std::path::PathBuf;

/// What the command line asks for.
pub struct Args {
    pub common: Common,
    pub model: PathBuf,
    pub input: Kind,
    pub columns: Vec<Column>,
    pub prompt_field: Option<String>,
    pub bos: Bos,
    pub has_eos: bool,
    pub no_special: bool,
    pub length_max: Option<usize>,
    pub context_max: Option<usize>,
    pub long: Long,
    pub last: Option<usize>,
    pub token_nll: Option<PathBuf>,
    pub top: usize,
    pub out: Option<PathBuf>,
    pub format: Format,
    pub storage: Storage,
    pub precision: Precision,
    pub is_layered: bool,
}

/// What the input is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// JSON Lines with texts.
    Texts,
    /// JSON Lines with tokens.
    Ids,
    /// Tokens without lines.
    Sequences(sequences::Kind),
}

impl Default for Args {
    fn default() -> Args {
        Args {
            common: Common::default(),
            model: PathBuf::new(),
            input: Kind::Texts,
            columns: vec![Column::Nll, Column::Tokens],
            prompt_field: None,
            bos: Bos::Auto,
            has_eos: false,
            no_special: false,
            length_max: None,
            context_max: None,
            long: Long::Cut,
            last: None,
            token_nll: None,
            top: 0,
            out: None,
            format: Format::default(),
            storage: Storage::default(),
            precision: Precision::Exact,
            is_layered: false,
        }
    }
}

impl Options for Args {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

impl Stores for Args {
    fn storage(&mut self) -> &mut Storage {
        &mut self.storage
    }
}

const FLAGS: &[Flag<Args>] = &[
    Flag::value("model", "DIR", "The folder of a model", "As Hugging Face writes it.", |args: &mut Args, value| {
        args.model = value.path()?;
        Ok(())
    }),
    Flag::value(
        "input",
        "text|ids|tokens|mds",
        "What the input is",
        "JSON Lines with texts, or with lists of tokens; arrays and streams of tokens as jsonl-tokenize(1) writes \
         them; folders that pack-tokens(1) wrote. See Tokens.",
        |args: &mut Args, value| {
            args.input = value.choice(&[
                ("text", Kind::Texts),
                ("ids", Kind::Ids),
                ("tokens", Kind::Sequences(sequences::Kind::Arrays)),
                ("mds", Kind::Sequences(sequences::Kind::Folders)),
            ])?;
            Ok(())
        },
    )
    .input()
    .default(|_| "text".to_string()),
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
        "The text is scored as what follows it; see Prompts. With --input ids, the tokens before those of the \
         document, where it has any; without the flag, `prev_token_ids`.",
        |args: &mut Args, value| {
            args.prompt_field = Some(value.text()?.to_string());
            Ok(())
        },
    ),
    Flag {
        help: "`auto`: what tokenizer.json says, for Llama such a token, for GPT-2 none. `yes`: where the text does not \
         begin with it by itself; a model that has none takes the one that ends texts. `no`: nothing.",
        ..shared::bos(|args: &mut Args, value| {
            args.bos = value.choice(&Bos::NAMES)?;
            Ok(())
        })
    },
    Flag {
        help: "In place of what tokenizer.json says. It is scored like any other. A document that is cut has none.",
        ..shared::eos(|args: &mut Args, _| {
            args.has_eos = true;
            Ok(())
        })
    },
    Flag {
        help: "None of those that tokenizer.json says; --bos yes and --eos put theirs.",
        ..shared::no_special(|args: &mut Args, _| {
            args.no_special = true;
            Ok(())
        })
    },
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
        "context-max",
        "N",
        "Show the model the last N tokens of a context",
        "Of the tokens that come before those of the document. Without it, all.",
        |args: &mut Args, value| {
            args.context_max = Some(value.number()?);
            Ok(())
        },
    ),
    Flag::value(
        "top-k",
        "K",
        "Write the K likeliest tokens behind each token",
        "Into --out, and nothing to standard output; see Likeliest tokens.",
        |args: &mut Args, value| {
            args.top = value.positive()?;
            Ok(())
        },
    )
    .output(),
    Flag {
        help: "The folder for --top-k, which must be new.",
        ..shared::out(|args: &mut Args, value| {
            args.out = Some(value.path()?);
            Ok(())
        })
    },
    Flag::value(
        "format",
        "mds|npy",
        "What to write",
        "A Mosaic streaming dataset with a sample a document, or arrays with a row a token.",
        |args: &mut Args, value| {
            args.format = value.choice(&[("mds", Format::Mds), ("npy", Format::Npy)])?;
            Ok(())
        },
    )
    .output()
    .default(|_| "mds".to_string()),
    storage::size_limit(),
    storage::compression(),
    storage::hashes(),
    Flag {
        help: "With the same flags and input: shards of mds that are there are kept, and their documents passed over; \
         the last of these is computed again, and ends the run where it differs.",
        ..storage::resume()
    },
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
    shared::precision(|args: &mut Args, value| {
        args.precision = value.choice(&Precision::NAMES)?;
        Ok(())
    })
    .default(|_| "exact".to_string()),
    Flag::switch(
        "layer-by-layer",
        "Hold one block of the model at a time",
        "For a model that is larger than memory. Its blocks are read anew for every 16384 tokens of documents; no \
         number changes. See Memory.",
        |args: &mut Args, _| {
            args.is_layered = true;
            Ok(())
        },
    ),
    Flag {
        help: "A dotted path to a string, or with --input ids to a list of numbers (by default `token_ids`).",
        ..shared::field()
    },
    shared::template(),
    shared::id_field(),
    shared::shard(),
    shared::on_error(),
    shared::threads(),
    shared::stats(),
    shared::progress(),
];

/// The command line and manual.
pub const TOOL: Tool<Args> = Tool {
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
        "The first token of a text is scored only where a token that begins texts stands before it: --bos yes puts \
         it there. A document's numbers do not depend on its neighbours, on threads or shards; a token's not on what \
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
            "Tokens",
            &[
                "With --input ids a document is a list of tokens in its JSON object, with those before it in another \
                 list, which the model sees and which are not scored, as with a prompt. With --input tokens it is a \
                 document of a token array; one without tokens is a missing row. With --input mds it is a sample: its \
                 `token_ids`, and before them its `prev_token_ids`. Nothing is put around tokens: special ones are \
                 among them. A token that the model does not know is an error, and so is whatever is wrong with an \
                 array or a folder, whatever --on-error says.",
                "Arrays and samples have no lines, so their keys are those of pack-tokens(1): of the tokens of the \
                 document, as 32-bit numbers. --shard takes equal parts of the documents of each file or folder.",
            ],
        ),
        (
            "Likeliest tokens",
            &[
                "With --top-k there is a place for each token of the document, the last one too (with --last for each \
                 of the last N), and none for those of its context. At a place stands what the model expects behind \
                 that token: the K likeliest tokens, likeliest first and of equally likely ones the lowest first \
                 (`target_index`, 32-bit integers), their probabilities, and behind these the probability of all \
                 other tokens together (`target_prob`, 16-bit floats, K + 1 of them). That is what CEPE trains with. \
                 There, `--context-max` is num_encoder_tokens and `--max-length` num_encoder_tokens + \
                 num_decoder_tokens.",
                "mds: a sample a document, in the order of the documents, with both arrays as pickles, which CEPE's \
                 loader reads; a missing row has arrays without places, so that it stands beside its documents. Of \
                 several jobs, each writes its shard (--shard) into a folder of its own, and mds-merge(1) makes one \
                 dataset of them. npy: target_index.npy and target_prob.npy with the places of all documents, and \
                 target_count.npy, which says how many are each document's.",
            ],
        ),
        (
            "Precision",
            &["With --precision exact, products of matrices are made of 32-bit floats, summed up in one fixed order \
                 by the best instructions that there are: AVX-512, AVX2, or plain ones. A number is then within some \
                 1e-5 nats of the one that arithmetic without rounding has, as those of any other program with 32-bit \
                 floats are. The same instructions make the same bits, on any processor; others differ in the last \
                 digits. --stats names them (`instructions`: `avx512`, `avx2`, `plain`; of bf16 `amx-bf16`, \
                 `avx512-bf16`)."],
        ),
        (
            "Memory",
            &["In memory is the model, in the type in which it computes (`exact`: 32-bit floats, twice the size of a \
                 folder with 16-bit ones), its token embedding, and some batches of documents a thread; nothing grows \
                 with the input. With --layer-by-layer: one block, as it is read and as it computes, head and token \
                 embedding, and 16384 tokens on their way, of hidden size d 4 d bytes each."],
        ),
        (
            "Long texts",
            &["A text has at most as many tokens as config.json says (`max_position_embeddings`, `n_positions`), or \
                 --max-length. With --long cut the rest is not looked at. With --long windows each window scores as \
                 many tokens as the model can see at once, and the last one sees as much before its tokens as there \
                 is room for: with --bos yes the rolling log-likelihood of lm-evaluation-harness \
                 (add_bos_token=False). With --long stride:S each window behind the first scores S tokens, with more \
                 before them, for the time of as many more windows."],
        ),
    ],
    flags: FLAGS,
    rules: &[
        Rule::Needed("model", "how likely a text is, only a model says"),
        Rule::OnlyWith(
            &["bos", "eos", "no-special", "template"],
            &["input=text"],
            "tokens are scored as they are, special ones among them",
        ),
        Rule::Excludes("input=tokens", &["prompt-field", "field", "id-field"], "an array of tokens has no fields"),
        Rule::Excludes("input=mds", &["prompt-field", "field", "id-field"], "samples have columns, not fields"),
        Rule::Excludes("input=text", &["context-max"], "a prompt is seen whole; give tokens"),
        Rule::Excludes("input=tokens", &["context-max"], "an array of tokens has no context"),
        Rule::Needs("top-k", &["out"], "it is a folder"),
        Rule::OnlyWith(&["out", "format"], &["top-k"], "rows go to standard output"),
        Rule::Needs("top-k", &["long=cut"], "a place in two windows would have two answers"),
        Rule::Excludes("top-k", &["columns", "token-nll"], "the folder is all that is written; run it twice"),
        Rule::OnlyWith(&["size-limit", "compression", "hashes", "resume"], &["top-k"], "nothing else has shards"),
        Rule::Excludes("format=npy", &["size-limit", "compression", "hashes", "resume"], "arrays have no shards"),
        Rule::Excludes("resume", &["input=text", "input=ids"], "lines cannot be passed over; give arrays or folders"),
    ],
    examples: &[
        Example {
            about: "Perplexity under a model, of texts up to its length:",
            command: "lm-score --model pythia-70m --bos yes --columns perplexity,tokens docs.jsonl > perplexity.tsv",
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
        Example {
            about: "CEPE's distillation targets, two jobs and one dataset:",
            command: "pack-tokens --length 4 --prev 4 --mode within --format mds --out mds tokens.npy\n\
                      for i in 0 1; do lm-score --model pythia-70m --input mds --top-k 5 --shard $i/2 --out \
                      targets/$i mds; done\n\
                      mds-merge --out targets targets/0 targets/1",
            output: "",
        },
    ],
    see_also: &[
        "cluster-stats(1)",
        "topk-resample(1)",
        "jsonl-tokenize(1)",
        "pack-tokens(1)",
        "mds-merge(1)",
        "corpus-utils(7)",
    ],
};

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

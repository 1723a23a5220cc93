//! The command line.

use crate::choice::{Amount, Split};
use crate::format::mds::{Encoding, Hash, LEVEL};
use crate::packing::{Mode, Tail};
use crate::plan::{SIZE_LIMIT, WINDOW};
use pipe::flags::{Example, Flag, Options, Tool};
use pipe::settings::Common;
use pipe::shared;
use pipe::tokens::Dtype;
use std::path::PathBuf;

/// What sequences are written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Rows of an array.
    Npy,
    /// An object a line.
    Jsonl,
    /// An Arrow IPC stream.
    Arrow,
    /// Mosaic's streaming dataset.
    Mds,
    /// Megatron's indexed dataset.
    Megatron,
}

/// What the command line asks for.
#[derive(Default)]
pub struct Args {
    pub common: Common,
    pub length: Option<usize>,
    pub mode: Option<Mode>,
    pub prev: Option<usize>,
    pub pad: Option<u32>,
    pub tail: Option<Tail>,
    pub window: Option<usize>,
    pub length_min: Option<u64>,
    pub length_max: Option<u64>,
    pub count: Option<u64>,
    pub splits: Option<Vec<Split>>,
    pub domain: Option<String>,
    pub mix: Option<Vec<(String, u64)>>,
    pub retrieval: Option<usize>,
    pub tokenizer: Option<PathBuf>,
    pub ids: bool,
    pub format: Option<Format>,
    pub out: Option<PathBuf>,
    pub dtype: Option<Dtype>,
    pub vocabulary: Option<u64>,
    pub encoding: Option<Encoding>,
    pub size_limit: Option<u64>,
    pub compression: Option<i32>,
    pub hashes: Option<Vec<Hash>>,
    pub resume: bool,
    pub merge_index: bool,
    pub verify: Option<PathBuf>,
}

impl Options for Args {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

const FLAGS: &[Flag<Args>] = &[
    Flag::value("length", "T", "Tokens of a sequence", "", |args: &mut Args, value| {
        args.length = Some(bounded(value.positive()?)?);
        Ok(())
    }),
    Flag::value(
        "mode",
        "concat|within|best-fit",
        "`concat` puts documents end to end and cuts every T tokens; `within` cuts each document by itself, and leaves out those that are too short; `best-fit` puts whole documents together, and cuts only those of more than T tokens",
        "",
        |args: &mut Args, value| {
            let modes = [("concat", Mode::Concat), ("within", Mode::Within), ("best-fit", Mode::BestFit)];
            args.mode = Some(value.choice(&modes)?);
            Ok(())
        },
    )
    .default(|_| "concat".to_string()),
    Flag::value(
        "prev",
        "P",
        "Give each sequence the P tokens before it, too (`prev_token_ids`)",
        "The first sequence begins behind the first P tokens.",
        |args: &mut Args, value| {
            args.prev = Some(bounded(value.number()?)?);
            Ok(())
        },
    )
    .default(|_| "0".to_string()),
    Flag::value(
        "pad",
        "ID",
        "The token that fills up",
        "In --mode within, documents that are too short are kept and filled up.",
        |args: &mut Args, value| {
            args.pad = Some(value.number()?);
            Ok(())
        },
    ),
    Flag::value(
        "tail",
        "drop|pad|keep",
        "What becomes of the tokens at the end, of each document or of all, that do not fill a sequence: left out, filled up, or a shorter sequence",
        "",
        |args: &mut Args, value| {
            args.tail = Some(value.choice(&[("drop", Tail::Drop), ("pad", Tail::Pad), ("keep", Tail::Keep)])?);
            Ok(())
        },
    )
    .default(|_| "drop".to_string()),
    Flag::value(
        "window",
        "N",
        "Tokens that --mode best-fit holds and looks at together, 4 bytes of memory each",
        "",
        |args: &mut Args, value| {
            args.window = Some(value.positive()?);
            Ok(())
        },
    )
    .default(|_| WINDOW.to_string()),
    Flag::value("min-length", "L", "Documents of fewer than L tokens do not qualify", "", |args: &mut Args, value| {
        args.length_min = Some(value.number()?);
        Ok(())
    }),
    Flag::value("max-length", "L", "Documents of more than L tokens do not qualify", "", |args: &mut Args, value| {
        args.length_max = Some(value.number()?);
        Ok(())
    }),
    Flag::value(
        "count",
        "N",
        "Take N of the sequences, by their keys",
        "The tokens are read twice, so they must be files.",
        |args: &mut Args, value| {
            args.count = Some(value.number()?);
            Ok(())
        },
    )
    .short('n'),
    Flag::value(
        "split",
        "NAME=A,...",
        "Divide the documents, each to one NAME at the most: A is a number of sequences (`test=35000,train=2500000`; files that are read twice), or a share of the documents (`test=0.01,train=0.99`)",
        "Each goes to a place of its own: --out with `{split}` replaced by NAME, or with `/NAME` behind it.",
        |args: &mut Args, value| {
            args.splits = Some(splits(value.text()?)?);
            Ok(())
        },
    ),
    Flag::value("domain", "NAME", "The label of all sequences (column `domain`); empty without it", "", |args: &mut Args, value| {
        args.domain = Some(value.text()?.to_string());
        Ok(())
    }),
    Flag::value(
        "mix",
        "NAME=W,...",
        "Domains and their weights",
        "An operand is `NAME=FILE`, or a FILE whose name is NAME up to the first dot; NAME is its label. Sequences are taken in exact proportion: of --count or of each --split by counts, otherwise as many as there are.",
        |args: &mut Args, value| {
            args.mix = Some(mix(value.text()?)?);
            Ok(())
        },
    ),
    Flag::value(
        "retrieval",
        "R",
        "Instead of sequences, write passages of R tokens of each document as text, each with the up to R tokens behind it",
        "",
        |args: &mut Args, value| {
            args.retrieval = Some(bounded(value.positive()?)?);
            Ok(())
        },
    ),
    Flag::value("tokenizer", "FILE", "The tokenizer.json or SentencePiece .model that turns --retrieval's tokens into text", "", |args: &mut Args, value| {
        args.tokenizer = Some(value.path()?);
        Ok(())
    }),
    Flag::switch("ids", "With --retrieval, write the tokens, too", "", |args: &mut Args, _| {
        args.ids = true;
        Ok(())
    }),
    Flag::value(
        "format",
        "npy|jsonl|arrow|mds|megatron",
        "What to write: rows of a .npy array, one JSON object a line, an Arrow IPC stream, the folder of a Mosaic streaming dataset, or Megatron's .bin and .idx",
        "",
        |args: &mut Args, value| {
            args.format = Some(value.choice(&[
                ("npy", Format::Npy),
                ("jsonl", Format::Jsonl),
                ("arrow", Format::Arrow),
                ("mds", Format::Mds),
                ("megatron", Format::Megatron),
            ])?);
            Ok(())
        },
    )
    .default(|_| "npy".to_string()),
    Flag::value(
        "out",
        "PATH",
        "Where to: the folder for mds, the beginning of both names for megatron, a file otherwise (standard output without it)",
        "",
        |args: &mut Args, value| {
            args.out = Some(value.path()?);
            Ok(())
        },
    ),
    Flag::value(
        "dtype",
        "auto|u16|u32|i32|i64",
        "The type of a token in the output",
        "`auto` is u16 where --vocab-size is at most 65536, or, without it, where tokens come as u16; else i32, since neither PyTorch nor Megatron computes with u32. A token that does not fit is an error.",
        |args: &mut Args, value| {
            args.dtype = value.choice(&[
                ("auto", None),
                ("u16", Some(Dtype::U16)),
                ("u32", Some(Dtype::U32)),
                ("i32", Some(Dtype::I32)),
                ("i64", Some(Dtype::I64)),
            ])?;
            Ok(())
        },
    )
    .default(|_| "auto".to_string()),
    Flag::value("vocab-size", "N", "A token of N or more is an error", "", |args: &mut Args, value| {
        args.vocabulary = Some(value.positive()?);
        Ok(())
    }),
    Flag::value(
        "mds-encoding",
        "ndarray|pkl",
        "How mds stores integers: Mosaic's `ndarray`, or pickled NumPy arrays, which CEPE's loader reads",
        "",
        |args: &mut Args, value| {
            args.encoding = Some(value.choice(&[("ndarray", Encoding::Ndarray), ("pkl", Encoding::Pickle)])?);
            Ok(())
        },
    )
    .default(|_| "ndarray".to_string()),
    Flag::value(
        "size-limit",
        "BYTES",
        "A shard of mds has at most so many bytes before compression, unless one sequence has more: a number below 4 GiB, or one with kb, mb or gb (times 1024)",
        "",
        |args: &mut Args, value| {
            args.size_limit = Some(size(value.text()?)?);
            Ok(())
        },
    )
    .default(|_| SIZE_LIMIT.to_string()),
    Flag::value("compression", "zstd[:LEVEL]", "Compress the shards of mds, with level 3 unless one of 1 to 22 is said", "", |args: &mut Args, value| {
        args.compression = Some(level(value.text()?)?);
        Ok(())
    }),
    Flag::value(
        "hashes",
        "NAME,...",
        "Sums of each shard for the index of mds: sha256, xxh3_128, xxh3_64",
        "",
        |args: &mut Args, value| {
            args.hashes = Some(hashes(value.text()?)?);
            Ok(())
        },
    ),
    Flag::switch(
        "resume",
        "Finish the mds folder of a run that was interrupted, with the same flags and tokens: shards that are there are compared, not written again, and one that differs ends the run",
        "",
        |args: &mut Args, _| {
            args.resume = true;
            Ok(())
        },
    ),
    Flag::switch(
        "merge-index",
        "Read no tokens: the operands are mds folders below --out, and become one dataset there by an index of all their shards, in this order",
        "The shards stay where they are.",
        |args: &mut Args, _| {
            args.merge_index = true;
            Ok(())
        },
    ),
    Flag::value(
        "verify",
        "DIR",
        "Read no tokens: look at every byte of an mds folder (sizes, sums, places, types, ids below --vocab-size, sequences of --length) and print what is in it as a JSON object",
        "",
        |args: &mut Args, value| {
            args.verify = Some(value.path()?);
            Ok(())
        },
    ),
    shared::seed(),
    Flag::value(
        "shard",
        "I/N",
        "Take the I-th (from 0) of N parts of each input file, cut between documents",
        "Refused for pipes and compressed input.",
        shared::shard::<Args>().set,
    ),
    shared::threads(),
    shared::stats(),
    shared::progress(),
];

/// The command line and manual.
pub const TOOL: Tool<Args> = Tool {
    name: "pack-tokens",
    summary: "documents as tokens to training sequences",
    operands: "[FILE]...",
    description: &[
        "Reads arrays and streams of tokens, as jsonl-tokenize(1) writes them, one after another from the FILEs or from standard input, and writes sequences of T tokens, in input order. Empty documents, which stand for missing rows, are passed over and counted.",
        "Nothing is left out in silence: --stats counts documents without tokens (rows_missing), of another length than asked for (rows_unqualified), in no split (rows_unsplit), too short for a sequence (rows_short), cut by best-fit (rows_cut), and tokens that were left out (tokens_dropped) or added (tokens_padding).",
        "A damaged array, an empty file, and a stream that is not whole, are errors that name the document, counted from 1 in its file. In memory is the longest document.",
    ],
    sections: &[
        (
            "Windows",
            &[
                "With T = --length and P = --prev, sequence i of a run of tokens is its tokens iT + P to iT + P + T, and the P tokens before are tokens iT to iT + P; so a document of L tokens has floor((L - P) / T) windows. The run is each document by itself (`within`, as CEPE's sample_mds_ab.py has it) or all documents of a domain and split, end to end (`concat`, as its sample_mds_concat.py has it).",
                "A document of fewer than P + T tokens that --pad keeps is one sequence: its last T tokens, or all of them and padding behind; and before it, padding and what is left of the document. `--tail pad` fills up behind.",
                "`best-fit` takes what has come in windows of --window tokens, longest document first, and puts each where the least room is left that it fits in; of equals, the first. Only a document of more than T tokens is cut, into pieces of T and a rest. Sequences stand in the order of their first documents, and documents in input order within them; the column `lengths` has the length of each, padding not counted. Memory is the window. (Ding and others, Fewer Truncations Improve Language Modeling, 2024.)",
            ],
        ),
        (
            "Choice",
            &[
                "The key of a document is XXH3-64 of its tokens as little-endian 32-bit integers, whatever their type in the file; the key of a sequence is that of its T tokens. Noise is made of it as corpus-utils(7) says, with the purpose `pack-split` for documents and `pack` for sequences. The smallest noise bits come first, of equals the earlier.",
                "-n takes the first N sequences: a larger N contains a smaller one, and order, shards, and other documents change nothing but which of equals is taken. In --mode within, --shard writes its part of what the whole would; in other modes a shard has sequences of its own, and -n, --mix and --split by counts are refused.",
                "A share in --split is a range of the uniform number of a document: a document is on the same side in every run with the same seed and shares, whatever else is in the run, and so are documents that are equal; the shares hold on average. A count is exact: documents, first ones first, go to the first split until it has so many sequences, then to the next; what the last document of a split has too much goes nowhere, and neither do documents that are equal to it. So a split changes neither with what stands behind it, nor in its documents with a larger count of its own. In `concat` and `best-fit`, each split is packed by itself.",
                "--mix shares a number out by Webster's method (Sainte-Lague): exact wherever the shares are whole numbers, and a larger number contains a smaller one. Where a domain has too few sequences, the run fails; without a number, the largest is taken that all domains can meet.",
                "Memory: 24 bytes for each sequence (each document, for --split by counts) that is wanted.",
            ],
        ),
        (
            "Formats",
            &[
                "npy: an array of shape (sequences, P + T), the P tokens in front; in a pipe, a stream, of which npy-cat(1) makes an array. jsonl, arrow: `token_ids`, with --prev `prev_token_ids`, with best-fit `lengths`, and `domain`. A run that is killed leaves an array that does not load, a stream without its end mark, or with --out nothing under the final name.",
                "mds: the same columns, in shards named and indexed as Mosaic's MDSWriter does; without compression and with `ndarray`, the same bytes. Shards appear when they are complete, and index.json last: a folder without it is a run that did not finish, which --resume finishes with the same bytes, and a folder that holds anything is refused without --resume. Memory: a few MB; with --compression, --hashes or --resume, up to three times --size-limit for each of --threads, and once more. `domain` is the label and may be empty. PyTorch before 2.3 reads no u16: CEPE's loader takes `--mds-encoding pkl --dtype i32`.",
                "megatron: 64-bit pointers; windows of one document (`within`) are one document of the index, sequences of other modes are one each; P tokens in front. npy and megatron have no place for `domain` and `lengths`.",
            ],
        ),
        (
            "Passages",
            &[
                "--retrieval writes `id` (label, document, passage: `book_41_3`, counted from 0 in the whole input), `contents` and `neighbor`, special tokens left out (an unknown one is what a SentencePiece model shows for it, mostly ` ⁇ `), and with --ids `contents_token_ids` and `neighbor_token_ids`. Documents of fewer than R tokens, and the rest behind the last whole passage, begin no passage; the rest is the last passage's neighbor. -n, --split, --mix and --shard choose among passages as among sequences of --mode within.",
            ],
        ),
    ],
    flags: FLAGS,
    rules: &[],
    examples: &[
        Example {
            about: "Rows of eight tokens, end to end, for numpy.load (tokens.npy holds three documents):",
            command: "pack-tokens --length 8 tokens.npy > rows.npy",
            output: "",
        },
        Example {
            about: "Windows of four tokens within documents, with the two before:",
            command: "pack-tokens --length 4 --prev 2 --mode within --format jsonl tokens.npy | head -n 1",
            output: "{\"token_ids\": [3, 4, 5, 6], \"prev_token_ids\": [1, 2], \"domain\": \"\"}\n",
        },
        Example {
            about: "A streaming dataset with an evaluation set, and a look at it:",
            command: "pack-tokens --length 4 --mode within --format mds --split test=1,train=3 --hashes xxh3_64 --out mds tokens.npy\npack-tokens --verify mds/test",
            output: "",
        },
        Example {
            about: "Two shards by two jobs, one dataset:",
            command: "for i in 0 1; do pack-tokens --length 4 --mode within --shard $i/2 --format mds --out whole/$i tokens.npy; done\npack-tokens --merge-index --out whole whole/0 whole/1",
            output: "",
        },
        Example {
            about: "Three parts of one domain, one of another:",
            command: "pack-tokens --length 2 --mix a=0.75,b=0.25 --format jsonl a=tokens.npy b=tokens.npy > mixed.jsonl",
            output: "",
        },
    ],
    see_also: &["jsonl-tokenize(1)", "npy-cat(1)", "topk-resample(1)", "corpus-utils(7)"],
};

/// Lengths are 32-bit numbers in most formats.
fn bounded(length: usize) -> Result<usize, String> {
    if length <= i32::MAX as usize { Ok(length) } else { Err("expected less than 2^31".to_string()) }
}

/// `NAME=VALUE,...`, each name once.
fn pairs(text: &str) -> Option<Vec<(&str, &str)>> {
    let pairs: Vec<_> = text.split(',').map(|pair| pair.split_once('=')).collect::<Option<_>>()?;
    let usable = |name: &str| !name.is_empty() && !name.contains('/') && name != "." && name != "..";
    let once = |at: usize| pairs[..at].iter().all(|pair| pair.0 != pairs[at].0);
    (0..pairs.len()).all(|at| usable(pairs[at].0) && once(at)).then_some(pairs)
}

fn splits(text: &str) -> Result<Vec<Split>, String> {
    let expected =
        "expected NAME=COUNT,... or NAME=SHARE,... with shares that have a point and are 1 together at the most";
    let amount = |value: &str| match value.contains('.') {
        true => value.parse().ok().filter(|share| (0.0..=1.0).contains(share)).map(Amount::Share),
        false => value.parse().ok().map(Amount::Sequences),
    };
    let splits = pairs(text).and_then(|pairs| {
        let split = |(name, value): (&str, &str)| Some(Split { name: name.to_string(), amount: amount(value)? });
        pairs.into_iter().map(split).collect::<Option<Vec<_>>>()
    });
    let shares = |splits: &[Split]| -> Vec<f64> {
        splits
            .iter()
            .filter_map(|split| if let Amount::Share(share) = split.amount { Some(share) } else { None })
            .collect()
    };
    let fits = |splits: &Vec<Split>| {
        let shares = shares(splits);
        (shares.is_empty() || shares.len() == splits.len()) && shares.iter().sum::<f64>() <= 1.0 + 1e-9
    };
    splits.filter(fits).ok_or_else(|| expected.to_string())
}

/// Decimals as whole numbers in the same proportion.
fn mix(text: &str) -> Result<Vec<(String, u64)>, String> {
    let expected = "expected NAME=W,... with numbers above zero of up to six digits behind the point";
    let millionths = |value: &str| {
        let (whole, part) = value.split_once('.').unwrap_or((value, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let right =
            digits(whole) && digits(part) && whole.len() <= 6 && part.len() <= 6 && whole.len() + part.len() > 0;
        let number = || format!("{whole}{part:0<6}").parse::<u64>().ok().filter(|&weight| weight > 0);
        right.then(number).flatten()
    };
    let weights = pairs(text).and_then(|pairs| {
        pairs.into_iter().map(|(name, value)| Some((name.to_string(), millionths(value)?))).collect::<Option<Vec<_>>>()
    });
    let weights = weights.ok_or_else(|| expected.to_string())?;
    let divisor = weights.iter().fold(0, |divisor, (_, weight)| common_divisor(divisor, *weight));
    Ok(weights.into_iter().map(|(name, weight)| (name, weight / divisor)).collect())
}

fn common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

fn size(text: &str) -> Result<u64, String> {
    let lower = text.to_lowercase();
    let units = [("kb", 1 << 10), ("mb", 1 << 20), ("gb", 1 << 30)];
    let found = units.iter().find_map(|(unit, times)| Some((lower.strip_suffix(unit)?, *times)));
    let (number, times) = found.unwrap_or((&lower, 1));
    let size = number.parse::<u64>().ok().and_then(|number| number.checked_mul(times));
    size.filter(|size| (1..1 << 32).contains(size))
        .ok_or_else(|| "expected bytes below 4 GiB, as 1000, 64kb, 256mb or 1gb".to_string())
}

fn level(text: &str) -> Result<i32, String> {
    let level = match text.strip_prefix("zstd") {
        Some("") => Some(LEVEL),
        Some(rest) => rest.strip_prefix(':').and_then(|level| level.parse().ok()),
        None => None,
    };
    level
        .filter(|level| (1..=22).contains(level))
        .ok_or_else(|| "expected zstd or zstd:LEVEL with LEVEL from 1 to 22".to_string())
}

fn hashes(text: &str) -> Result<Vec<Hash>, String> {
    let hashes: Option<Vec<_>> = text.split(',').map(Hash::of).collect();
    let mut hashes =
        hashes.ok_or_else(|| "expected sha256, xxh3_128 or xxh3_64, with commas between them".to_string())?;
    // The index has them in the order of their names, each once.
    hashes.sort_unstable();
    hashes.dedup();
    Ok(hashes)
}

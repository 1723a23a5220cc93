//! The command line.

use crate::format::mds::{self, Encoding};
use crate::format::{FORMATS, Open};
use dataset::mds::Storage;
use dataset::mds::storage::{self, Stores};
use dataset::packing::{Mode, Shape, Tail};
use dataset::selection::{self, Selection, Selects};
use pipe::failure::Failure;
use pipe::flags::{Example, Flag, Options, Rule, Tool};
use pipe::settings::Common;
use pipe::shared;
use pipe::tokens::Dtype;
use std::path::PathBuf;

/// Tokens that best fit looks at together where nothing is said: 64 MiB of memory.
const WINDOW: usize = 1 << 24;

/// What the command line asks for.
pub struct Args {
    pub common: Common,
    pub selection: Selection,
    length: usize,
    mode: Mode,
    prev: usize,
    pad: Option<u32>,
    tail: Tail,
    window: usize,
    dtype: Option<Dtype>,
    pub format: Open,
    pub mds: mds::Flags,
    pub provenance: Option<PathBuf>,
}

impl Default for Args {
    fn default() -> Args {
        Args {
            common: Common::default(),
            selection: Selection::default(),
            length: 0,
            mode: Mode::Concat,
            prev: 0,
            pad: None,
            tail: Tail::Drop,
            window: WINDOW,
            dtype: None,
            format: FORMATS[0].1,
            mds: mds::Flags::default(),
            provenance: None,
        }
    }
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

impl Stores for Args {
    fn storage(&mut self) -> &mut Storage {
        &mut self.mds.storage
    }
}

impl Args {
    /// The shape of sequences.
    ///
    /// # Errors
    /// What fills up, and what is to be filled, do not go together.
    pub fn shape(&self) -> Result<Shape, Failure> {
        let Args { mode, length, prev, pad, tail, window, .. } = *self;
        let wrong = match mode {
            Mode::BestFit if tail == Tail::Drop && self.common.given("tail") => {
                Some("--tail drop does not go with --mode best-fit, which drops nothing")
            }
            Mode::BestFit if (tail == Tail::Keep) == pad.is_some() => Some(
                "--mode best-fit leaves room in sequences: either --pad ID fills it or --tail keep leaves them short",
            ),
            Mode::Concat if pad.is_some() && tail != Tail::Pad => Some("--pad goes with --tail pad in --mode concat"),
            _ => None,
        };
        wrong.map_or(Ok(Shape { mode, length, prev, pad, tail, window }), |wrong| Err(Failure::usage(wrong)))
    }

    /// The type of the tokens that are written. `narrow`: those that come are 16 bits wide.
    pub fn settle_dtype(&self, narrow: bool) -> Dtype {
        let narrow = self.selection.vocabulary.map_or(narrow, |ids| ids <= 1 << 16);
        self.dtype.unwrap_or(if narrow { Dtype::U16 } else { Dtype::I32 })
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
    Flag::value(
        "mode",
        "concat|within|best-fit",
        "How documents become sequences",
        "`concat` puts documents end to end and cuts every T tokens; `within` cuts each document by itself, and leaves \
         out those that are too short; `best-fit` puts whole documents together, and cuts only those of more than T \
         tokens.",
        |args: &mut Args, value| {
            let modes = [("concat", Mode::Concat), ("within", Mode::Within), ("best-fit", Mode::BestFit)];
            args.mode = value.choice(&modes)?;
            Ok(())
        },
    )
    .default(|_| "concat".to_string()),
    Flag::value(
        "prev",
        "P",
        "Give each sequence the P tokens before it, too",
        "`prev_token_ids`. The first sequence begins behind the first P tokens.",
        |args: &mut Args, value| {
            args.prev = selection::bounded(value.number()?)?;
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
        "What becomes of tokens that do not fill a sequence",
        "Of those at the end, of each document or of all: they are left out, filled up, or a shorter sequence.",
        |args: &mut Args, value| {
            args.tail = value.choice(&[("drop", Tail::Drop), ("pad", Tail::Pad), ("keep", Tail::Keep)])?;
            Ok(())
        },
    )
    .default(|_| "drop".to_string()),
    Flag::value(
        "window",
        "N",
        "Tokens that best-fit holds and looks at together",
        "4 bytes of memory each.",
        |args: &mut Args, value| {
            args.window = value.positive()?;
            Ok(())
        },
    )
    .default(|args| args.window.to_string()),
    shared::seed(),
    selection::count(),
    selection::split(),
    selection::allow_empty(),
    selection::mix(),
    selection::domain(),
    Flag::value(
        "format",
        "npy|jsonl|arrow|mds|megatron",
        "What to write",
        "Rows of a .npy array, one JSON object a line, an Arrow IPC stream, the folder of a Mosaic streaming dataset, \
         or Megatron's .bin and .idx.",
        |args: &mut Args, value| {
            args.format = value.choice(FORMATS)?;
            Ok(())
        },
    )
    .output()
    .default(|_| FORMATS[0].0.to_string()),
    selection::out(
        "The folder for mds, the beginning of both names for megatron, a file otherwise (standard output \
     without it).",
    ),
    Flag {
        help: "`auto` is u16 where --vocab-size is at most 65536, or, without it, where tokens come as u16; else i32, \
         since neither PyTorch nor Megatron computes with u32. A token that does not fit is an error.",
        ..shared::dtype("auto|u16|u32|i32|i64", |args: &mut Args, value| {
            args.dtype = value.choice(&[
                ("auto", None),
                ("u16", Some(Dtype::U16)),
                ("u32", Some(Dtype::U32)),
                ("i32", Some(Dtype::I32)),
                ("i64", Some(Dtype::I64)),
            ])?;
            Ok(())
        })
        .default(|_| "auto".to_string())
    },
    Flag::value(
        "mds-encoding",
        "ndarray|pkl",
        "How mds stores integers",
        "Mosaic's `ndarray`, or pickled NumPy arrays, which CEPE's loader reads.",
        |args: &mut Args, value| {
            args.mds.encoding = value.choice(&[("ndarray", Encoding::Ndarray), ("pkl", Encoding::Pickle)])?;
            Ok(())
        },
    )
    .output()
    .default(|_| "ndarray".to_string()),
    storage::size_limit(),
    storage::compression(),
    storage::hashes(),
    Flag {
        help: "With the same flags and tokens: shards of mds that are there are compared, not written again, and one \
         that differs ends the run.",
        ..storage::resume()
    },
    Flag::value(
        "provenance",
        "FILE",
        "Say in FILE which documents are in each sequence",
        "See Provenance. With --split, in a file for each part, which is named as its place in --out is.",
        |args: &mut Args, value| {
            args.provenance = Some(value.path()?);
            Ok(())
        },
    )
    .output(),
    shared::threads(),
    shared::stats(),
    shared::progress(),
];

const RULES: &[Rule] = &[
    Rule::Needed("length", "say how many tokens a sequence has, such as --length 2048"),
    Rule::Needs("tail=pad", &["pad"], "which token fills up?"),
    Rule::Excludes("mode=best-fit", &["prev>0"], "its documents are whole, so there is nothing before them"),
    Rule::OnlyWith(&["window"], &["mode=best-fit"], "other modes hold one document"),
    Rule::Excludes("format=npy", &["tail=keep"], "sequences of several lengths have no place in an array: write jsonl"),
    Rule::Excludes("format=megatron", &["dtype=u32"], "Megatron has no such type: u16, i32 or i64 are there"),
    Rule::Needs("format=mds", &["out"], "it is a folder"),
    Rule::Needs("format=megatron", &["out"], "it is two files"),
    Rule::OnlyWith(&MDS_ONLY, &["format=mds"], "other formats have no shards"),
    selection::SPLIT_NEEDS_OUT,
    selection::ALLOW_EMPTY_NEEDS_SPLIT,
    selection::MIX_OR_DOMAIN,
];

const MDS_ONLY: [&str; 5] = ["mds-encoding", "size-limit", "compression", "hashes", "resume"];

/// The command line and manual.
pub const TOOL: Tool<Args> = Tool {
    name: "pack-tokens",
    summary: "documents as tokens to training sequences",
    operands: "[FILE]...",
    description: &[
        "Reads arrays and streams of tokens, as jsonl-tokenize(1) writes them, one after another from the FILEs or \
         from standard input, and writes sequences of T tokens, in input order. Empty documents, which stand for \
         missing rows, are passed over and counted.",
        "Nothing is left out in silence: --stats counts documents without tokens (rows_missing), of another length \
         than asked for (rows_unqualified), in no split (rows_unsplit), too short for a sequence (rows_short), cut by \
         best-fit (rows_cut), and tokens that were left out (tokens_dropped) or added (tokens_padding).",
        "Files that are read twice must stay as they are: one that is replaced or written to between two passes ends \
         the run (inode, size and time of change are compared).",
        "A damaged array, an empty file, and a stream that is not whole, are errors that name the document, counted \
         from 1 in its file. In memory is the longest document.",
    ],
    sections: &[
        (
            "Windows",
            &[
                "With T = --length and P = --prev, sequence i of a run of tokens is its tokens iT + P to iT + P + T, \
                 and the P tokens before are tokens iT to iT + P; so a document of L tokens has floor((L - P) / T) \
                 windows. The run is each document by itself (`within`, as CEPE's sample_mds_ab.py has it) or all \
                 documents of a domain and split, end to end (`concat`, as its sample_mds_concat.py has it).",
                "A document of fewer than P + T tokens that --pad keeps is one sequence: its last T tokens, or all of \
                 them and padding behind; and before it, padding and what is left of the document. `--tail pad` fills \
                 up behind.",
                "`best-fit` takes what has come in windows of --window tokens, longest document first, and puts each \
                 where the least room is left that it fits in; of equals, the first. Only a document of more than T \
                 tokens is cut, into pieces of T and a rest. Sequences stand in the order of their first documents, \
                 and documents in input order within them; the column `lengths` has the length of each, padding not \
                 counted. Memory is the window. (Ding and others, Fewer Truncations Improve Language Modeling, 2024.)",
            ],
        ),
        (
            "Choice",
            &[
                "The key of a document is XXH3-64 of its tokens as little-endian 32-bit integers, whatever their type \
                 in the file; the key of a sequence is that of its T tokens. Noise is made of it as corpus-utils(7) \
                 says, with the purpose `pack-split` for documents and `pack` for sequences. The smallest noise bits \
                 come first, of equals the earlier.",
                "-n takes the first N sequences: a larger N contains a smaller one, and order, shards, and other \
                 documents change nothing but which of equals is taken. In --mode within, --shard writes its part of \
                 what the whole would; in other modes a shard has sequences of its own, and -n, --mix and --split by \
                 counts are refused.",
                "With a --split by shares, -n takes N of the sequences of each part (CEPE's sample_mds_concat.py). A \
                 share in --split is a range of the uniform number of a document: a document is on the same side in \
                 every run with the same seed and shares, whatever else is in the run, and so are documents that are \
                 equal; the shares hold on average. A count is exact: documents, first ones first, go to the first \
                 split until it has so many sequences, then to the next; what the last document of a split has too \
                 much goes nowhere, and neither do documents that are equal to it. So a split changes neither with \
                 what stands behind it, nor in its documents with a larger count of its own. In `concat` and \
                 `best-fit`, each split is packed by itself. Where a part has less than it wanted, a note says how \
                 much each wanted and got; a part that got nothing ends the run with exit 1, unless --allow-empty is \
                 given. (Of a --shard, what all shards have together is what counts, where that is known: with \
                 numbers.)",
                "--mix shares a number out by Webster's method (Sainte-Lague): exact wherever the shares are whole \
                 numbers, and a larger number contains a smaller one. Where a domain has too few sequences, the run \
                 fails; without a number, the largest is taken that all domains can meet.",
                "Memory: 24 bytes for each sequence (each document, for --split by counts) that is wanted.",
            ],
        ),
        (
            "Formats",
            &[
                "npy: an array of shape (sequences, P + T), the P tokens in front; in a pipe, a stream, of which \
                 npy-cat(1) makes an array. jsonl, arrow: `token_ids`, with --prev `prev_token_ids`, with best-fit \
                 `lengths`, and `domain`. A run that is killed leaves an array that does not load, a stream without \
                 its end mark, or with --out nothing under the final name.",
                "mds: the same columns, in shards named and indexed as Mosaic's MDSWriter does; without compression \
                 and with `ndarray`, the same bytes. Shards appear when they are complete, and index.json last: a \
                 folder without it is a run that did not finish, which --resume finishes with the same bytes. A \
                 folder that holds anything is refused without --resume, one that holds other files with it too, and \
                 so is a second run while another writes there. Memory: a few MB; with --compression, --hashes or \
                 --resume, up to three times --size-limit for each of --threads, and once more. `domain` is the label \
                 and may be empty. PyTorch before 2.3 reads no u16: CEPE's loader takes `--mds-encoding pkl --dtype \
                 i32`.",
                "megatron: 64-bit pointers; windows of one document (`within`) are one document of the index, \
                 sequences of other modes are one each; P tokens in front. An index that was there before goes first, \
                 and the new one appears last. npy and megatron have no place for `domain` and `lengths`.",
            ],
        ),
        (
            "Provenance",
            &[
                "--provenance FILE writes, beside the sequences, which tokens of which document stand where in each: a                  NumPy array of records, 36 bytes each, which numpy.load reads and maps into memory, and                  tokens-where(1) looks into. The fields are `sequence`, its place in the output (the sample of mds,                  the row of npy), from 0; `row`, the document's place in the input, from 0, through all files one                  after another (with --mix the files of each domain in the order of the domains), which is the line                  that its text had if the tokens are those of jsonl-tokenize(1); `key`, that of its tokens; `begin`                  and `length`, the first token in the document, from 0, and how many; and `at`, where that token                  stands in the sequence, from 0, or below 0 in the P tokens before it. Padding comes from nowhere.",
                "Records are in order of the sequences, and in each in order of its tokens. The same holds with -n,                  --mix, --split, --resume and --shard: rows are those of the whole input; sequences are those of the                  output, so of shards that mds-merge(1) joins, the files are read one after another in the same order.                  The file must be a regular one; it appears before the dataset is complete. Memory: 32 bytes for each                  document of which tokens wait.",
            ],
        ),
    ],
    flags: FLAGS,
    rules: RULES,
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
            command: "pack-tokens --length 4 --mode within --format mds --split test=1,train=3 --hashes xxh3_64 \
                      --out mds tokens.npy\nmds-verify mds/test",
            output: "",
        },
        Example {
            about: "Two shards by two jobs, one dataset:",
            command: "for i in 0 1; do pack-tokens --length 4 --mode within --shard $i/2 --format mds --out whole/$i \
                      tokens.npy; done\nmds-merge --out whole whole/0 whole/1",
            output: "",
        },
        Example {
            about: "Which tokens of which documents are in the second sequence?",
            command: "pack-tokens --length 8 --provenance where.npy tokens.npy > rows.npy\n\
                      tokens-where --sequence 1 where.npy | cut -f 1-5",
            output: "1\t0\t8\t2\t0\n1\t1\t0\t6\t2\n",
        },
        Example {
            about: "Three parts of one domain, one of another:",
            command: "pack-tokens --length 2 --mix a=0.75,b=0.25 --format jsonl a=tokens.npy b=tokens.npy > \
                      mixed.jsonl",
            output: "",
        },
    ],
    see_also: &[
        "jsonl-tokenize(1)",
        "npy-cat(1)",
        "tokens-passages(1)",
        "tokens-where(1)",
        "mds-verify(1)",
        "mds-merge(1)",
        "corpus-utils(7)",
    ],
};

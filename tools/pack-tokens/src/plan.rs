//! What a command line comes down to: which documents, which shape, which choice, which writers.

use crate::choice::{Amount, Split, Wanted};
use crate::corpus::Domain;
use crate::flags::{Args, Format};
use crate::format::arrow::ArrowWriter;
use crate::format::jsonl::JsonWriter;
use crate::format::mds::verify::Expected;
use crate::format::mds::writer::MdsWriter;
use crate::format::mds::{Encoding, Settings};
use crate::format::megatron::MegatronWriter;
use crate::format::npy::NpyWriter;
use crate::format::passages::PassageWriter;
use crate::format::{Columns, Writer};
use crate::packing::{Mode, Shape, Tail};
use pipe::failure::Failure;
use pipe::output::Output;
use pipe::settings::exclude;
use pipe::tokens::Dtype;
use std::path::{Path, PathBuf};

/// Tokens that best fit looks at together where nothing is said: 64 MiB of memory.
pub const WINDOW: usize = 1 << 24;

/// Bytes of a shard where nothing is said: Mosaic's.
pub const SIZE_LIMIT: u64 = 1 << 26;

/// Everything that is decided before tokens are read.
pub struct Plan<'a> {
    args: &'a Args,
    /// The files by domain.
    pub domains: Vec<Domain>,
    /// The shape of sequences.
    pub shape: Shape,
    /// What is to be taken.
    pub wanted: Wanted,
    format: Format,
}

impl<'a> Plan<'a> {
    /// Refuses what cannot be.
    pub fn new(args: &'a Args) -> Result<Plan<'a>, Failure> {
        let shape = if args.retrieval.is_some() { passages(args)? } else { shape(args)? };
        let format = args.format.unwrap_or(Format::Npy);
        check_format(args, format, &shape)?;
        check_choice(args, &shape)?;
        let mix = args.mix.as_deref().map(|mix| mix.iter().map(|(_, weight)| *weight).collect());
        let wanted = Wanted {
            splits: args.splits.clone().unwrap_or_default(),
            count: args.count,
            mix,
            seed: args.common.seed.unwrap_or(0),
        };
        Ok(Plan { args, domains: domains(args)?, shape, wanted, format })
    }

    /// The flag that takes more than one look at the tokens.
    pub fn reads_twice(&self) -> Option<&'static str> {
        let counts = self.wanted.splits.iter().any(|split| matches!(split.amount, Amount::Sequences(_)));
        let flags = [("mix", self.wanted.mix.is_some()), ("count", self.wanted.count.is_some()), ("split", counts)];
        flags.iter().find(|flag| flag.1).map(|flag| flag.0)
    }

    /// Where each split goes; one place without splits.
    fn places(&self) -> Vec<Option<PathBuf>> {
        let out = self.args.out.as_ref();
        let place = |split: &Split| {
            let text = out?.to_string_lossy();
            let with = if text.contains("{split}") {
                text.replace("{split}", &split.name)
            } else {
                format!("{text}/{}", split.name)
            };
            Some(PathBuf::from(with))
        };
        if self.wanted.splits.is_empty() { vec![out.cloned()] } else { self.wanted.splits.iter().map(place).collect() }
    }

    /// Makes the folders of what is written for a split.
    pub fn check_places(&self) -> Result<(), Failure> {
        for place in self.places().iter().flatten().filter(|_| !self.wanted.splits.is_empty()) {
            if let Some(folder) = place.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                std::fs::create_dir_all(folder).map_err(|why| Failure::file(folder, why))?;
            }
        }
        Ok(())
    }

    /// The type of the tokens that are written. `narrow`: those that come are 16 bits wide.
    pub fn settle_dtype(&mut self, narrow: bool) -> Result<Dtype, Failure> {
        let narrow = self.args.vocabulary.map_or(narrow, |ids| ids <= 1 << 16);
        let dtype = self.args.dtype.unwrap_or(if narrow { Dtype::U16 } else { Dtype::I32 });
        match self.shape.pad {
            Some(pad) if pad > self.token_max(dtype) => {
                Err(Failure::usage(format!("--pad {pad}: expected 0 to {}", self.token_max(dtype))))
            }
            _ => Ok(dtype),
        }
    }

    /// The largest token that may come.
    pub fn token_max(&self, dtype: Dtype) -> u32 {
        let last = self.args.vocabulary.map_or(u64::from(u32::MAX), |ids| ids - 1);
        // Text shows any token.
        if self.args.retrieval.is_some() { last as u32 } else { dtype.id_max().min(last as u32) }
    }

    /// What sequences of a domain carry.
    pub fn label(&self, domain: usize) -> &str {
        &self.domains[domain].name
    }

    /// One writer a split.
    pub fn writers(&self, dtype: Dtype) -> Result<Vec<Box<dyn Writer>>, Failure> {
        self.places().iter().map(|place| self.writer(place.as_deref(), dtype)).collect()
    }

    fn writer(&self, place: Option<&Path>, dtype: Dtype) -> Result<Box<dyn Writer>, Failure> {
        let output = || place.map_or_else(|| Ok(Output::stdout()), Output::create);
        let columns = Columns { prev: self.shape.prev > 0, lengths: self.shape.mode == Mode::BestFit };
        let needed = || place.ok_or_else(|| Failure::usage("--out is needed"));
        if let (Some(_), Some(tokenizer)) = (self.args.retrieval, &self.args.tokenizer) {
            return Ok(Box::new(PassageWriter::new(output()?, tokenizer, self.args.ids, self.args.common.threads)?));
        }
        Ok(match self.format {
            Format::Npy => Box::new(NpyWriter::new(output()?, self.shape.prev + self.shape.length, dtype)?),
            Format::Jsonl => Box::new(JsonWriter::new(output()?, columns)),
            Format::Arrow => Box::new(ArrowWriter::new(output()?, columns, dtype)?),
            Format::Megatron => Box::new(MegatronWriter::new(needed()?, dtype, self.shape.mode == Mode::Within)?),
            Format::Mds => Box::new(MdsWriter::new(needed()?, self.settings(columns, dtype))?),
        })
    }

    fn settings(&self, columns: Columns, dtype: Dtype) -> Settings {
        Settings {
            columns,
            dtype,
            encoding: self.args.encoding.unwrap_or(Encoding::Ndarray),
            size_limit: self.args.size_limit.unwrap_or(SIZE_LIMIT),
            compression: self.args.compression,
            hashes: self.args.hashes.clone().unwrap_or_default(),
            resume: self.args.resume,
            threads: self.args.common.threads,
        }
    }
}

fn passages(args: &Args) -> Result<Shape, Failure> {
    for (flag, given) in [
        ("length", args.length.is_some()),
        ("mode", args.mode.is_some()),
        ("prev", args.prev.is_some()),
        ("pad", args.pad.is_some()),
        ("tail", args.tail.is_some()),
        ("format", args.format.is_some()),
    ] {
        exclude(("retrieval", true), (flag, given))?;
    }
    if args.tokenizer.is_none() {
        return Err(Failure::usage("--retrieval: --tokenizer FILE is needed"));
    }
    let length = args.retrieval.unwrap_or(1);
    Ok(Shape { mode: Mode::Passages, length, prev: 0, pad: None, tail: Tail::Drop, window: 0 })
}

fn shape(args: &Args) -> Result<Shape, Failure> {
    let length = args.length.ok_or_else(|| Failure::usage("--length T is needed"))?;
    for (flag, given) in [("tokenizer", args.tokenizer.is_some()), ("ids", args.ids)] {
        if given {
            return Err(Failure::usage(format!("--{flag} goes with --retrieval")));
        }
    }
    let mode = args.mode.unwrap_or(Mode::Concat);
    let (pad, tail, prev) = (args.pad, args.tail.unwrap_or(Tail::Drop), args.prev.unwrap_or(0));
    let wrong = match mode {
        _ if tail == Tail::Pad && pad.is_none() => Some("--tail pad: --pad ID is needed"),
        Mode::BestFit if prev > 0 => Some("--prev does not go with --mode best-fit"),
        Mode::BestFit if args.tail == Some(Tail::Drop) => {
            Some("--tail drop does not go with --mode best-fit, which drops nothing")
        }
        Mode::BestFit if (tail == Tail::Keep) == pad.is_some() => {
            Some("--mode best-fit leaves room in sequences: either --pad ID fills it or --tail keep leaves them short")
        }
        Mode::Concat if pad.is_some() && tail != Tail::Pad => Some("--pad goes with --tail pad in --mode concat"),
        Mode::Concat | Mode::Within if args.window.is_some() => Some("--window goes with --mode best-fit"),
        _ => None,
    };
    match wrong {
        Some(wrong) => Err(Failure::usage(wrong)),
        None => Ok(Shape { mode, length, prev, pad, tail, window: args.window.unwrap_or(WINDOW) }),
    }
}

fn check_format(args: &Args, format: Format, shape: &Shape) -> Result<(), Failure> {
    for (flag, given) in [
        ("mds-encoding", args.encoding.is_some()),
        ("size-limit", args.size_limit.is_some()),
        ("compression", args.compression.is_some()),
        ("hashes", args.hashes.is_some()),
        ("resume", args.resume),
    ] {
        if given && format != Format::Mds {
            return Err(Failure::usage(format!("--{flag} goes with --format mds")));
        }
    }
    let wrong = match format {
        Format::Mds if args.out.is_none() => Some("--format mds: --out DIR is needed"),
        Format::Megatron if args.out.is_none() => Some("--format megatron: --out PREFIX is needed"),
        Format::Megatron if args.dtype == Some(Dtype::U32) => {
            Some("--dtype u32: Megatron has no such type; expected u16, i32 or i64")
        }
        Format::Npy if shape.tail == Tail::Keep => {
            Some("--tail keep makes sequences of several lengths, which --format npy has no place for")
        }
        _ if args.splits.is_some() && args.out.is_none() => Some("--split: --out is needed"),
        _ => None,
    };
    wrong.map_or(Ok(()), |wrong| Err(Failure::usage(wrong)))
}

fn check_choice(args: &Args, shape: &Shape) -> Result<(), Failure> {
    exclude(("count", args.count.is_some()), ("split", args.splits.is_some()))?;
    exclude(("mix", args.mix.is_some()), ("domain", args.domain.is_some()))?;
    let counts = args.splits.iter().flatten().any(|split| matches!(split.amount, Amount::Sequences(_)));
    let whole = [("count", args.count.is_some()), ("mix", args.mix.is_some()), ("split by counts", counts)];
    let over_documents = matches!(shape.mode, Mode::Concat | Mode::BestFit);
    match whole.iter().find(|(_, given)| *given && over_documents && args.common.shard.is_some()) {
        Some((flag, _)) => {
            let why = "--shard goes with it in --mode within only: in other modes a shard has sequences of its own";
            Err(Failure::usage(format!("--{flag}: {why}")))
        }
        None => Ok(()),
    }
}

/// The operands, one domain; with --mix, by domain.
fn domains(args: &Args) -> Result<Vec<Domain>, Failure> {
    let standard = [PathBuf::from("-")];
    let files = if args.common.operands.is_empty() { &standard[..] } else { &args.common.operands };
    let Some(mix) = &args.mix else {
        return Ok(vec![Domain { name: args.domain.clone().unwrap_or_default(), files: files.to_vec() }]);
    };
    let mut domains: Vec<_> = mix.iter().map(|(name, _)| Domain { name: name.clone(), files: Vec::new() }).collect();
    for file in files {
        let text = file.to_string_lossy();
        let stem =
            file.file_name().map(|name| name.to_string_lossy().split('.').next().unwrap_or_default().to_string());
        let labelled = text.split_once('=').filter(|(name, _)| domains.iter().any(|domain| domain.name == *name));
        let (name, path) = match labelled {
            Some((name, path)) => (name.to_string(), PathBuf::from(path)),
            None => (stem.unwrap_or_default(), file.clone()),
        };
        match domains.iter_mut().find(|domain| domain.name == name) {
            Some(domain) => domain.files.push(path),
            None => return Err(Failure::usage(format!("{text}: which domain of --mix? Write it as NAME={text}"))),
        }
    }
    match domains.iter().find(|domain| domain.files.is_empty()) {
        Some(domain) => Err(Failure::usage(format!("--mix: no file for {}", domain.name))),
        None => Ok(domains),
    }
}

/// What goes with --verify and --merge-index.
pub fn check_alone(args: &Args) -> Result<(), Failure> {
    exclude(("verify", args.verify.is_some()), ("merge-index", args.merge_index))?;
    let (flag, verify) = if args.merge_index { ("merge-index", false) } else { ("verify", true) };
    for (other, given) in [
        ("mode", args.mode.is_some()),
        ("prev", args.prev.is_some()),
        ("pad", args.pad.is_some()),
        ("tail", args.tail.is_some()),
        ("window", args.window.is_some()),
        ("min-length", args.length_min.is_some()),
        ("max-length", args.length_max.is_some()),
        ("count", args.count.is_some()),
        ("split", args.splits.is_some()),
        ("domain", args.domain.is_some()),
        ("mix", args.mix.is_some()),
        ("retrieval", args.retrieval.is_some()),
        ("format", args.format.is_some_and(|format| format != Format::Mds)),
        ("resume", args.resume),
        ("shard", args.common.shard.is_some()),
        ("seed", args.common.seed.is_some()),
        ("out", verify && args.out.is_some()),
        ("length", !verify && args.length.is_some()),
        ("vocab-size", !verify && args.vocabulary.is_some()),
    ] {
        exclude((flag, true), (other, given))?;
    }
    if verify != args.common.operands.is_empty() {
        let expected = if verify { "no operands" } else { "folders as operands" };
        return Err(Failure::usage(format!("--{flag}: expected {expected}")));
    }
    Ok(())
}

/// What --verify expects.
pub fn expected(args: &Args) -> Expected {
    Expected { length: args.length, vocabulary: args.vocabulary }
}

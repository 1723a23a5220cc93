//! `lm-score`: documents in, a column of what a language model thinks of them out.
//!
//! One output line per document, in the same order; or a folder with the likeliest tokens. A document's numbers depend
//! on its own tokens and the flags: not on its neighbours, on threads or on batches. Memory: the model, and a few
//! batches of documents a thread; it does not grow with the input.

mod annotation;
mod flags;
mod layered;
mod passage;
mod rows;
mod scoring;
mod sequences;

use annotation::Annotation;
use compute::decoder::Decoder;
use dataset::{PREV, TOKENS};
use flags::{Args, Kind, TOOL};
use layered::Layered;
use model::causal::CausalModel;
use passage::Long;
use pipe::crew;
use pipe::failure::Failure;
use pipe::input::Input;
use pipe::lines::{Lines, Tally};
use pipe::output::Output;
use pipe::progress::Meter;
use pipe::record::{ListReader, Reader};
use pipe::settings::Common;
use pipe::stats::Stats;
use pipe::vectors::{Dtype, VectorWriter};
use rows::{Column, Documents, Draft, Plan, Rows, ScoreRows};
use scoring::Scoring;
use sequences::Sequences;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// Bytes of lines that a thread scores at a time: some two thousand tokens, so that threads end together.
const BATCH: usize = 8 << 10;

fn main() -> ExitCode {
    pipe::start(&TOOL, run)
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
        self.unscored -= rows.missing;
    }
}

/// Where rows go.
struct Sink {
    totals: Totals,
    output: Output,
    token_nll: Option<VectorWriter>,
    annotation: Option<Annotation>,
    columns: Vec<Column>,
    /// Scores what comes without scores.
    layered: Option<Layered>,
}

impl Sink {
    fn open(args: &Args, layered: Option<Layered>) -> Result<Sink, Failure> {
        let token_nll = args.token_nll.as_ref().map(|path| VectorWriter::new(Output::create(path)?, 1, Dtype::F32));
        let Args { top, format, storage, common, columns, .. } = args;
        let annotate = |folder: &PathBuf| Annotation::open(folder, *format, *top, storage.clone(), common);
        let annotation = args.out.as_ref().map(annotate).transpose()?;
        let (token_nll, columns, output) = (token_nll.transpose()?, columns.clone(), Output::stdout());
        Ok(Sink { totals: Totals::default(), output, token_nll, annotation, columns, layered })
    }

    /// Takes documents, and writes those whose scores are there.
    fn take(&mut self, draft: Draft) -> Result<ControlFlow<()>, Failure> {
        let drafts = match &mut self.layered {
            Some(layered) => layered.add(draft)?,
            None => vec![draft],
        };
        self.write_all(drafts).map(ControlFlow::Continue)
    }

    fn write_all(&mut self, drafts: Vec<Draft>) -> Result<(), Failure> {
        drafts.into_iter().try_for_each(|draft| {
            let rows = draft.rows(&self.columns);
            self.write(&rows)
        })
    }

    fn write(&mut self, rows: &Rows) -> Result<(), Failure> {
        self.totals.add(rows);
        if let Some(file) = &mut self.token_nll {
            file.write(&rows.tokens)?;
        }
        match &mut self.annotation {
            Some(annotation) => annotation.write(rows),
            None => self.output.write(&rows.text),
        }
    }

    fn finish(mut self) -> Result<Totals, Failure> {
        let drafts = self.layered.as_mut().map_or(Ok(Vec::new()), Layered::finish)?;
        self.write_all(drafts)?;
        self.token_nll.map_or(Ok(()), VectorWriter::finish)?;
        self.annotation.map_or(Ok(()), Annotation::finish)?;
        Ok(self.totals)
    }
}

fn run(args: Args) -> Result<(), Failure> {
    let common = &args.common;
    let plan = plan(&args)?;
    args.precision.check().map_err(Failure::work)?;
    let (tally, instructions, sink) = match args.input {
        Kind::Sequences(kind) => {
            let mut sequences = Sequences::open(kind, common)?;
            let Opened { scoring, layered, instructions } = open(&args)?;
            let mut sink = Sink::open(&args, layered)?;
            sequences.pass_over(sink.annotation.as_ref().map_or(0, |annotation| annotation.kept));
            let tally =
                score_sequences(common, sequences, || ScoreRows::new(scoring.clone(), plan.clone()), &mut sink)?;
            (tally, instructions, sink)
        }
        Kind::Texts | Kind::Ids => {
            let mut input = Input::open(common)?;
            input.read_size = BATCH;
            let Opened { scoring, layered, instructions } = open(&args)?;
            let mut sink = Sink::open(&args, layered)?;
            let worker = || ScoreRows::new(scoring.clone(), plan.clone());
            let (tally, _) = Lines::new(common, input).run(worker, |draft| sink.take(draft))?;
            (tally, instructions, sink)
        }
    };
    let totals = sink.finish()?;
    tally.report(common);
    let stats = Stats::new(common, &tally).with("precision", args.precision.name());
    let stats = stats.with("instructions", instructions).with("tokens", totals.tokens);
    let stats = stats.with("nll", totals.sum / totals.tokens as f64).with("truncated_rows", totals.cut);
    stats.with("split_rows", totals.split).with("unscored_rows", totals.unscored).write(common)
}

/// Gives sequences to threads, and what these make of them to the sink, in order.
fn score_sequences(
    common: &Common,
    mut sequences: Sequences,
    worker: impl Fn() -> ScoreRows,
    sink: &mut Sink,
) -> Result<Tally, Failure> {
    let (mut tally, mut meter) = (Tally::default(), Meter::new(common, None));
    let workers = (0..common.threads).map(|_| worker()).collect();
    crew::run(
        workers,
        move || sequences.batch(),
        |draft| {
            let draft = draft?;
            tally.rows += draft.len() as u64;
            meter.show(0, tally.rows);
            sink.take(draft)
        },
    )?;
    meter.end();
    Ok(tally)
}

fn plan(args: &Args) -> Result<Plan, Failure> {
    let Args { common, columns, prompt_field, .. } = args;
    let is_of_text = args.input == Kind::Texts;
    if let Some(column) = columns.iter().find(|column| column.is_of_text()).filter(|_| !is_of_text) {
        return Err(Failure::usage(format!("--columns {}: tokens are not bytes of a text", column.name())));
    }
    if is_of_text && prompt_field.is_none() && columns.iter().any(|column| column.is_of_both()) {
        let why = "--columns nll-alone or ifd: expected --prompt-field, without which there is only the text alone";
        return Err(Failure::usage(why));
    }
    let documents = if is_of_text {
        let prompts = prompt_field.as_ref().map(|field| {
            let common = Common { field: field.clone(), ..Common::default() };
            Reader::new(&common)
        });
        Documents::Texts { reader: Reader::new(common)?, prompts: prompts.transpose()? }
    } else {
        let field = if common.given("field") { common.field.as_str() } else { TOKENS };
        Documents::Ids(ListReader::new(common, &[field, prompt_field.as_deref().unwrap_or(PREV)])?)
    };
    Ok(Plan { columns: columns.clone(), documents })
}

/// A model, ready.
struct Opened {
    scoring: Arc<Scoring>,
    layered: Option<Layered>,
    instructions: &'static str,
}

fn open(args: &Args) -> Result<Opened, Failure> {
    let model = CausalModel::open(&args.model).map_err(Failure::work)?;
    let length_max = length_max(args, &model)?;
    let (before, behind) = around(args, &model)?;
    let known = model.head.linear.weight.rows;
    if args.top > known {
        return Err(Failure::usage(format!("--top-k {}: the model knows {known} tokens", args.top)));
    }
    let CausalModel { transformer, blocks, head, tokenizer, .. } = model;
    let there = if args.is_layered { 0 } else { blocks.count() };
    let decoder = Decoder::new(transformer, head, blocks.iter().take(there), args.precision).map_err(Failure::work)?;
    let instructions = decoder.instructions();
    let (decoder, layered) = match args.is_layered {
        true => (None, Some(Layered::new(decoder, blocks, args.top, args.common.threads))),
        false => (Some(decoder), None),
    };
    let scoring = Scoring {
        decoder,
        vocabulary: known,
        tokenizer,
        bos: args.bos,
        before,
        behind,
        length_max,
        long: args.long,
        last: args.last,
        context_max: args.context_max.unwrap_or(usize::MAX),
        top: args.top,
    };
    Ok(Opened { scoring: Arc::new(scoring), layered, instructions })
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
    let (before, behind) = if args.no_special { (&[][..], &[][..]) } else { model.tokenizer.around() };
    let before = args.bos.before(before, || model.bos.or(model.eos).ok_or_else(|| missing("--bos yes")))?;
    let eos = args.has_eos.then(|| model.eos.ok_or_else(|| missing("--eos"))).transpose()?;
    Ok((before, eos.map_or(behind.to_vec(), |eos| vec![eos])))
}

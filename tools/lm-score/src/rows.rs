//! What a thread does with documents: a row for each.

use crate::scoring::{Likeliest, Score, Scores, Scoring};
use crate::sequences::Sequence;
use dataset::choice::key;
use pipe::column::{write_integer, write_number};
use pipe::crew::Hand;
use pipe::failure::Failure;
use pipe::key::{document_key, write_key};
use pipe::lines::Worker;
use pipe::record::{ListReader, Reader};
use std::sync::Arc;

/// A column of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// The mean negative log-likelihood of a scored token, in nats.
    Nll,
    /// The sum.
    Sum,
    /// How many tokens were scored.
    Tokens,
    /// The exponential of the mean.
    Perplexity,
    /// The sum in bits by the bytes of the text.
    BitsPerByte,
    /// The bytes of the text.
    Bytes,
    /// The mean of the text without its prompt.
    NllAlone,
    /// The mean with the prompt by that without.
    Ifd,
}

impl Column {
    /// All, by name.
    pub const ALL: [(&str, Column); 8] = [
        ("nll", Column::Nll),
        ("sum", Column::Sum),
        ("tokens", Column::Tokens),
        ("perplexity", Column::Perplexity),
        ("bits-per-byte", Column::BitsPerByte),
        ("bytes", Column::Bytes),
        ("nll-alone", Column::NllAlone),
        ("ifd", Column::Ifd),
    ];

    /// What it is called.
    pub fn name(self) -> &'static str {
        Column::ALL.iter().find(|(_, column)| *column == self).map_or("", |(name, _)| name)
    }

    /// Whether it compares with the text without its prompt.
    pub fn is_of_both(self) -> bool {
        matches!(self, Column::NllAlone | Column::Ifd)
    }

    /// Whether it is about the letters of the text.
    pub fn is_of_text(self) -> bool {
        matches!(self, Column::BitsPerByte | Column::Bytes)
    }

    fn write(self, row: &Row, rows: &mut Vec<u8>) {
        let Row { score, alone, bytes, .. } = row;
        match self {
            Column::Nll => write_number(score.mean(), rows),
            Column::Sum if score.tokens == 0 => write_number(f64::NAN, rows),
            Column::Sum => write_number(score.sum, rows),
            Column::Tokens => write_integer(score.tokens, rows),
            Column::Perplexity => write_number(libm::exp(score.mean()), rows),
            // Of a cut text nobody knows how many bytes were scored.
            Column::BitsPerByte if score.is_cut || score.tokens == 0 || *bytes == 0 => write_number(f64::NAN, rows),
            Column::BitsPerByte => write_number(score.sum / std::f64::consts::LN_2 / *bytes as f64, rows),
            Column::Bytes => write_integer(*bytes, rows),
            Column::NllAlone => write_number(alone.mean(), rows),
            Column::Ifd => write_number(score.mean() / alone.mean(), rows),
        }
    }
}

/// What a document is on its line.
#[derive(Clone)]
pub enum Documents {
    /// A text, maybe behind a prompt.
    Texts {
        /// Takes texts.
        reader: Reader,
        /// Takes prompts.
        prompts: Option<Reader>,
    },
    /// Tokens, and those before them.
    Ids(ListReader),
}

/// What is read and what is written.
#[derive(Clone)]
pub struct Plan {
    /// What stands in a row, before the key.
    pub columns: Vec<Column>,
    /// What is on a line, where there are lines.
    pub documents: Documents,
}

impl Plan {
    /// Whether each text is scored without its prompt, too.
    fn is_of_both(&self) -> bool {
        self.columns.iter().any(|column| column.is_of_both())
    }
}

/// A document of the batch; `None` stands for a bad one.
struct Document {
    key: u64,
    bytes: u64,
}

/// A row in the making.
struct Row {
    score: Score,
    alone: Score,
    bytes: u64,
}

/// Writes rows.
pub struct ScoreRows {
    scoring: Arc<Scoring>,
    plan: Plan,
    documents: Vec<Option<Document>>,
    scores: Scores,
    alone: Scores,
    /// The tokens of a document, and those before them.
    ids: [Vec<u32>; 2],
}

/// What becomes rows when its scores are there.
pub struct Draft {
    documents: Vec<Option<Document>>,
    /// What waits where the model is not whole.
    pub scores: Scores,
    /// The same of the texts without their prompts.
    pub alone: Scores,
}

/// The rows of a batch.
#[derive(Default)]
pub struct Rows {
    /// Lines.
    pub text: Vec<u8>,
    /// What became of each document, nothing of bad ones.
    pub scores: Vec<Score>,
    /// How many documents have no row of their own.
    pub missing: u64,
    /// The negative log-likelihood of each scored token.
    pub tokens: Vec<f32>,
    /// The likeliest tokens behind each told token.
    pub likeliest: Likeliest,
}

impl ScoreRows {
    /// No rows yet.
    pub fn new(scoring: Arc<Scoring>, plan: Plan) -> ScoreRows {
        ScoreRows {
            scoring,
            plan,
            documents: Vec::new(),
            scores: Scores::default(),
            alone: Scores::default(),
            ids: Default::default(),
        }
    }

    /// Takes a document of tokens.
    fn add_ids(&mut self, key: u64, ids: &[u32], context: &[u32]) -> Result<(), String> {
        if self.plan.is_of_both() {
            self.alone.push_ids(&self.scoring, &[], ids)?;
        }
        self.scores.push_ids(&self.scoring, context, ids)?;
        self.documents.push(Some(Document { key, bytes: 0 }));
        Ok(())
    }

    /// Takes a document that came without a line.
    fn add_sequence(&mut self, sequence: &Sequence) -> Result<(), Failure> {
        let Sequence { place, ids, context } = sequence;
        if ids.is_empty() {
            self.missing();
            return Ok(());
        }
        let key = key(ids);
        self.add_ids(key, ids, context).map_err(|why| Failure::work(format!("{place}: {why}")))
    }
}

impl Hand for ScoreRows {
    type Job = Vec<Sequence>;
    type Done = Result<Draft, Failure>;

    fn work(&mut self, sequences: Vec<Sequence>) -> Result<Draft, Failure> {
        sequences.iter().try_for_each(|sequence| self.add_sequence(sequence))?;
        Ok(self.take())
    }
}

impl Worker for ScoreRows {
    type Out = Draft;

    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        let is_of_both = self.plan.is_of_both();
        let (reader, prompts) = match &mut self.plan.documents {
            Documents::Texts { reader, prompts } => (reader, prompts),
            Documents::Ids(reader) => {
                let mut lists = std::mem::take(&mut self.ids);
                let key = document_key(reader.read(line, &mut lists)?);
                let added = self.add_ids(key, &lists[0], &lists[1]);
                self.ids = lists;
                return added;
            }
        };
        let prompt = match prompts {
            Some(prompts) => Some(String::from_utf8_lossy(prompts.text(line)?).into_owned()),
            None => None,
        };
        let (text, identity) = reader.document(line)?;
        let text = String::from_utf8_lossy(text);
        if is_of_both {
            self.alone.push(&self.scoring, None, &text)?;
        }
        self.scores.push(&self.scoring, prompt.as_deref(), &text)?;
        self.documents.push(Some(Document { key: document_key(identity), bytes: text.len() as u64 }));
        Ok(())
    }

    fn missing(&mut self) {
        self.documents.push(None);
        self.scores.push_missing();
        // A text may have been scored alone before it turned out to be bad with its prompt.
        if self.plan.is_of_both() && self.alone.texts.len() < self.scores.texts.len() {
            self.alone.push_missing();
        }
    }

    fn take(&mut self) -> Draft {
        self.scores.finish(&self.scoring);
        self.alone.finish(&self.scoring);
        let documents = std::mem::take(&mut self.documents);
        Draft { documents, scores: self.scores.hand_over(), alone: self.alone.hand_over() }
    }
}

impl Draft {
    /// How many documents there are.
    pub fn len(&self) -> usize {
        self.documents.len()
    }

    /// The rows, with these columns before the key.
    pub fn rows(self, columns: &[Column]) -> Rows {
        let Draft { documents, scores, alone } = self;
        let mut rows = Rows { tokens: scores.tokens, likeliest: scores.likeliest, ..Rows::default() };
        for (i, document) in documents.into_iter().enumerate() {
            let Some(Document { key, bytes }) = document else {
                rows.text.extend("nan\t".repeat(columns.len()).bytes());
                rows.text.extend_from_slice(b"nan\n");
                rows.scores.push(Score::default());
                rows.missing += 1;
                continue;
            };
            let row = Row { score: scores.texts[i], alone: alone.texts.get(i).copied().unwrap_or_default(), bytes };
            rows.scores.push(row.score);
            for column in columns {
                column.write(&row, &mut rows.text);
                rows.text.push(b'\t');
            }
            write_key(key, &mut rows.text);
            rows.text.push(b'\n');
        }
        rows
    }
}

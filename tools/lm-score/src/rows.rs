//! What a thread does with documents: a row for each.

use crate::scoring::{Score, Scores, Scoring};
use pipe::column::{write_integer, write_number};
use pipe::key::{document_key, write_key};
use pipe::lines::Worker;
use pipe::record::Reader;
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

    /// Whether it compares with the text without its prompt.
    pub fn is_of_both(self) -> bool {
        matches!(self, Column::NllAlone | Column::Ifd)
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

/// What is read and what is written.
#[derive(Clone)]
pub struct Plan {
    /// What stands in a row, before the key.
    pub columns: Vec<Column>,
    /// Takes texts.
    pub reader: Reader,
    /// Takes prompts.
    pub prompts: Option<Reader>,
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
}

/// The rows of a batch.
#[derive(Default)]
pub struct Rows {
    /// Lines.
    pub text: Vec<u8>,
    /// What became of each document that is not bad.
    pub scores: Vec<Score>,
    /// The negative log-likelihood of each scored token.
    pub tokens: Vec<f32>,
}

impl ScoreRows {
    /// No rows yet.
    pub fn new(scoring: Arc<Scoring>, plan: Plan) -> ScoreRows {
        ScoreRows { scoring, plan, documents: Vec::new(), scores: Scores::default(), alone: Scores::default() }
    }
}

impl Worker for ScoreRows {
    type Out = Rows;

    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        let prompt = match &mut self.plan.prompts {
            Some(prompts) => Some(String::from_utf8_lossy(prompts.text(line)?).into_owned()),
            None => None,
        };
        let is_of_both = self.plan.is_of_both();
        let (text, identity) = self.plan.reader.document(line)?;
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

    fn take(&mut self) -> Rows {
        self.scores.finish(&self.scoring);
        self.alone.finish(&self.scoring);
        let mut rows = Rows { tokens: std::mem::take(&mut self.scores.tokens), ..Rows::default() };
        for (i, document) in self.documents.drain(..).enumerate() {
            let Some(Document { key, bytes }) = document else {
                rows.text.extend("nan\t".repeat(self.plan.columns.len()).bytes());
                rows.text.extend_from_slice(b"nan\n");
                continue;
            };
            let (score, alone) = (self.scores.texts[i], self.alone.texts.get(i).copied().unwrap_or_default());
            rows.scores.push(score);
            for column in &self.plan.columns {
                column.write(&Row { score, alone, bytes }, &mut rows.text);
                rows.text.push(b'\t');
            }
            write_key(key, &mut rows.text);
            rows.text.push(b'\n');
        }
        self.scores.texts.clear();
        self.alone.texts.clear();
        self.alone.tokens.clear();
        rows
    }
}

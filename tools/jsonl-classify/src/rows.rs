//! What a thread does with documents: a row of labels and their numbers for each.

use crate::classification::{Answers, Classification};
use model::answers::Answer;
use pipe::key::{document_key, write_key};
use pipe::lines::Worker;
use pipe::record::Reader;
use std::io::Write;
use std::sync::Arc;

/// What stands in a row, before the key.
#[derive(Debug, Clone)]
pub enum Shown {
    /// So many labels with the greatest numbers, and the numbers.
    Best(usize),
    /// The numbers of these labels.
    Numbers(Vec<u32>),
}

/// How rows are made; threads share it.
pub struct Plan {
    /// What says something of texts.
    pub classification: Classification,
    /// What of it stands in a row.
    pub shown: Shown,
    /// Labels with smaller numbers are left out.
    pub threshold: f32,
}

impl Plan {
    /// How many answers are needed of a text.
    fn top(&self) -> usize {
        match self.shown {
            Shown::Best(count) => count,
            Shown::Numbers(_) => self.classification.labels().len(),
        }
    }

    /// Fields before the key.
    fn fields(&self) -> usize {
        match &self.shown {
            Shown::Best(count) => 2 * count,
            Shown::Numbers(labels) => labels.len(),
        }
    }

    /// Writes the fields before the key, a tab behind each.
    fn write(&self, answers: &[Answer], out: &mut Vec<u8>) {
        match &self.shown {
            Shown::Best(_) => answers.iter().for_each(|answer| self.write_label(*answer, out)),
            Shown::Numbers(labels) => {
                for label in labels {
                    let answer = answers.iter().find(|answer| answer.label == *label).expect("all are there");
                    write!(out, "{}\t", answer.number).expect("writing to memory cannot fail");
                }
            }
        }
    }

    fn write_label(&self, Answer { label, number }: Answer, out: &mut Vec<u8>) {
        let written = if number < self.threshold {
            write!(out, "nan\tnan\t")
        } else {
            write!(out, "{}\t{number}\t", self.classification.labels()[label as usize])
        };
        written.expect("writing to memory cannot fail");
    }
}

/// Writes rows.
pub struct ClassRows {
    plan: Arc<Plan>,
    reader: Reader,
    /// Of the documents of the batch; `None` stands for a bad one.
    keys: Vec<Option<u64>>,
    /// Of the documents that are not bad.
    answers: Answers,
}

/// The rows of a batch.
#[derive(Default)]
pub struct Rows {
    /// Lines.
    pub text: Vec<u8>,
    /// Documents of which the model said nothing.
    pub unknown: u64,
    /// Texts that were cut.
    pub cut: u64,
}

impl ClassRows {
    /// No rows yet.
    pub fn new(plan: Arc<Plan>, reader: Reader) -> ClassRows {
        let answers = Answers::new(plan.top());
        ClassRows { plan, reader, keys: Vec::new(), answers }
    }
}

impl Worker for ClassRows {
    type Out = Rows;

    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        let (text, identity) = self.reader.document(line)?;
        self.answers.push(&self.plan.classification, &String::from_utf8_lossy(text))?;
        self.keys.push(Some(document_key(identity)));
        Ok(())
    }

    fn missing(&mut self) {
        self.keys.push(None);
    }

    fn take(&mut self) -> Rows {
        self.answers.finish(&self.plan.classification);
        let mut rows = Rows { cut: std::mem::take(&mut self.answers.cut), ..Rows::default() };
        let mut known = self.answers.is_known.drain(..);
        let mut answers = self.answers.list.chunks_exact(self.plan.top());
        for key in self.keys.drain(..) {
            let is_known = key.is_some() && known.next() == Some(true);
            match if is_known { answers.next() } else { None } {
                Some(answers) => self.plan.write(answers, &mut rows.text),
                None => {
                    rows.text.extend("nan\t".repeat(self.plan.fields()).bytes());
                    rows.unknown += u64::from(key.is_some());
                }
            }
            match key {
                Some(key) => write_key(key, &mut rows.text),
                None => rows.text.extend_from_slice(b"nan"),
            }
            rows.text.push(b'\n');
        }
        drop(known);
        self.answers.list.clear();
        rows
    }
}

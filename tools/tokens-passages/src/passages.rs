//! Passages for retrieval, as text: one JSON object a line.
//!
//! `id` is the label, the document's place in the input from 0 and the passage's place in the document, so that it is
//! the same in every shard and every choice. `neighbor` is what follows the passage in its document.

use dataset::json::{write_list, write_text};
use dataset::packing::Sequence;
use dataset::writing::Writer;
use model::tokens::Tokens;
use pipe::crew::all_at_once;
use pipe::failure::Failure;
use pipe::output::Output;
use std::sync::Arc;

/// Passages that are decoded together, a share of them on each thread.
const BATCH: usize = 4096;

/// One passage that waits.
struct Passage {
    id: String,
    tokens: Vec<u32>,
    neighbor: Vec<u32>,
}

/// Writes lines.
pub struct PassageWriter {
    output: Output,
    tokenizer: Arc<Tokens>,
    ids: bool,
    threads: usize,
    waiting: Vec<Passage>,
}

impl PassageWriter {
    /// Nothing is written yet. `ids`: lines have the tokens, too.
    pub fn new(output: Output, tokenizer: Arc<Tokens>, ids: bool, threads: usize) -> PassageWriter {
        PassageWriter { output, tokenizer, ids, threads, waiting: Vec::new() }
    }

    fn line(&self, passage: &Passage, line: &mut Vec<u8>) -> Result<(), Failure> {
        let text = |tokens: &[u32]| {
            let text = self.tokenizer.decode(tokens);
            text.map_err(|why| Failure::work(format!("passage {}: {why}", passage.id)))
        };
        line.push(b'{');
        write_text("id", &passage.id, line);
        line.extend(b", ");
        write_text("contents", &text(&passage.tokens)?, line);
        line.extend(b", ");
        write_text("neighbor", &text(&passage.neighbor)?, line);
        if self.ids {
            line.extend(b", ");
            write_list("contents_token_ids", &passage.tokens, line);
            line.extend(b", ");
            write_list("neighbor_token_ids", &passage.neighbor, line);
        }
        line.extend(b"}\n");
        Ok(())
    }

    fn write_waiting(&mut self) -> Result<(), Failure> {
        let waiting = std::mem::take(&mut self.waiting);
        let share = waiting.len().div_ceil(self.threads).max(1);
        let writer = &*self;
        let lines = |passages: &[Passage]| {
            let mut lines = Vec::new();
            passages.iter().try_for_each(|passage| writer.line(passage, &mut lines))?;
            Ok::<_, Failure>(lines)
        };
        let parts = all_at_once(waiting.chunks(share), lines);
        parts.into_iter().try_for_each(|part| self.output.write(&part?))
    }
}

impl Writer for PassageWriter {
    fn write(&mut self, passage: &Sequence, domain: &str) -> Result<(), Failure> {
        let label = if domain.is_empty() { String::new() } else { format!("{domain}_") };
        let id = format!("{label}{}_{}", passage.document, passage.place);
        self.waiting.push(Passage { id, tokens: passage.tokens.to_vec(), neighbor: passage.context.to_vec() });
        if self.waiting.len() == BATCH { self.write_waiting() } else { Ok(()) }
    }

    fn finish(mut self: Box<Self>) -> Result<(), Failure> {
        self.write_waiting()?;
        self.output.finish()
    }
}

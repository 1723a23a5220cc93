//! Sequences to the writers of the parts.

use crate::choice::{Packed, Packing};
use crate::packing::Sequence;
use pipe::failure::Failure;
use pipe::settings::Common;
use pipe::stats::Stats;
use pipe::tokens::TokenReader;
use serde_json::{Value, json};

/// Takes sequences in order.
pub trait Writer {
    /// Takes the next one, which carries this label.
    ///
    /// # Errors
    /// It cannot be written.
    fn write(&mut self, sequence: &Sequence, domain: &str) -> Result<(), Failure>;

    /// Writes what is left, and makes the whole appear under its name.
    ///
    /// # Errors
    /// It cannot be written.
    fn finish(self: Box<Self>) -> Result<(), Failure>;
}

/// What a run wrote.
pub struct Written {
    packed: Packed,
    /// Sequences of each part.
    sequences: Vec<u64>,
    tokens: u64,
    parts: Value,
}

impl Packing<'_> {
    /// Makes the choice, and writes what is chosen: a writer a part. `first`: the documents of the first file, which is
    /// open already. Tells the user wherever there was less than wanted.
    ///
    /// # Errors
    /// Tokens that cannot be read, sequences that cannot be written, a mixture that cannot be had, a part that got
    /// nothing.
    pub fn write(&self, first: TokenReader, mut writers: Vec<Box<dyn Writer>>) -> Result<Written, Failure> {
        let (choice, shortfalls) = self.choose()?;
        let (mut sequences, mut tokens) = (vec![0_u64; writers.len()], 0);
        let packed = self.pack(&choice, true, Some(first), |part, domain, sequence| {
            sequences[part] += 1;
            tokens += sequence.tokens.len() as u64;
            writers[part].write(sequence, &self.corpus.domains[domain].name)
        })?;
        let short = self.short_parts(&choice, &sequences)?;
        writers.into_iter().try_for_each(|writer| writer.finish())?;
        shortfalls.iter().chain(&short).for_each(|message| pipe::note(self.corpus.common, message));
        let parts = self.parts(&sequences);
        Ok(Written { packed, sequences, tokens, parts })
    }

    /// What `--stats` says of the parts.
    fn parts(&self, sequences: &[u64]) -> Value {
        let parts = self.wanted.splits.iter().zip(sequences).enumerate();
        let parts = parts.map(|(place, (split, sequences))| {
            json!({ "name": split.name, "wanted": self.wanted_of(place), "sequences": sequences })
        });
        parts.collect()
    }
}

impl Written {
    /// The statistics of the run.
    pub fn stats(self, common: &Common) -> Stats {
        let Packed { seen, unsplit, waste } = self.packed;
        Stats::new(common, &seen.tally)
            .with("rows_missing", seen.missing)
            .with("rows_unqualified", seen.unqualified)
            .with("rows_unsplit", unsplit)
            .with("rows_short", waste.short)
            .with("rows_cut", waste.cut)
            .with("tokens_in", seen.tokens)
            .with("tokens_out", self.tokens)
            .with("tokens_dropped", waste.dropped)
            .with("tokens_padding", waste.padding)
            .with("sequences", self.sequences.iter().sum::<u64>())
            .with("parts", self.parts)
    }
}

//! One JSON object a line.

use super::{Columns, Opening};
use dataset::json::{write_list, write_text};
use dataset::packing::Sequence;
use dataset::writing::Writer;
use dataset::{DOMAIN, LENGTHS, PREV, TOKENS};
use pipe::failure::Failure;
use pipe::output::Output;

/// Bytes that are written together.
const BATCH: usize = 256 << 10;

/// Writes lines.
struct JsonWriter {
    output: Output,
    columns: Columns,
    lines: Vec<u8>,
}

/// Nothing is written yet.
///
/// # Errors
/// The file cannot be made.
pub fn open(opening: &Opening) -> Result<Box<dyn Writer>, Failure> {
    Ok(Box::new(JsonWriter { output: opening.output()?, columns: opening.columns(), lines: Vec::new() }))
}

impl Writer for JsonWriter {
    fn write(&mut self, sequence: &Sequence, domain: &str) -> Result<(), Failure> {
        let lines = &mut self.lines;
        lines.push(b'{');
        write_list(TOKENS, sequence.tokens, lines);
        if self.columns.prev {
            lines.extend(b", ");
            write_list(PREV, sequence.context, lines);
        }
        if self.columns.lengths {
            lines.extend(b", ");
            write_list(LENGTHS, sequence.lengths, lines);
        }
        lines.extend(b", ");
        write_text(DOMAIN, domain, lines);
        lines.extend(b"}\n");
        if lines.len() >= BATCH {
            self.output.write(lines)?;
            lines.clear();
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), Failure> {
        self.output.write(&self.lines)?;
        self.output.finish()
    }
}

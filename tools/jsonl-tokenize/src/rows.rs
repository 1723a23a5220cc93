//! What a thread does with documents: the tokens of each.

use model::bos::Bos;
use model::tokens::{Encoder, Tokens};
use pipe::lines::Worker;
use pipe::record::Reader;
use pipe::tokens::Dtype;
use std::borrow::Cow;
use std::sync::Arc;

/// What stands around every document, and how long it may be.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Whether a document that begins with the tokens before has them once more.
    pub bos: Bos,
    /// Tokens before.
    pub before: Vec<u32>,
    /// Tokens behind.
    pub behind: Vec<u32>,
    /// The most tokens of a document, these included.
    pub length_max: usize,
    /// The type whose largest number no length may exceed; `None`: it gives way.
    pub dtype: Option<Dtype>,
}

/// Makes the tokens of a batch.
pub struct TokenRows {
    encoder: Encoder,
    reader: Reader,
    frame: Frame,
    rows: Tokenized,
}

/// The documents of a batch.
#[derive(Default)]
pub struct Tokenized {
    /// Tokens of each.
    pub lengths: Vec<u32>,
    /// The tokens, one after the other.
    pub ids: Vec<u32>,
    /// Documents that were cut.
    pub cut: u64,
    /// Bytes of text.
    pub bytes: u64,
}

impl TokenRows {
    /// No rows yet.
    pub fn new(tokens: Arc<Tokens>, reader: Reader, frame: Frame) -> TokenRows {
        TokenRows { encoder: Encoder::new(tokens), reader, frame, rows: Tokenized::default() }
    }
}

impl Worker for TokenRows {
    type Out = Tokenized;

    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        let TokenRows { encoder, reader, frame, rows } = self;
        let text = text(reader.text(line)?);
        let start = rows.ids.len();
        rows.ids.extend_from_slice(&frame.before);
        let done = encoder.encode(&text, &mut rows.ids).and_then(|()| {
            let own = start + frame.before.len();
            if !frame.bos.goes_before(&frame.before, &rows.ids[own..]) {
                rows.ids.drain(start..own);
            }
            let room = frame.length_max - frame.behind.len();
            let is_cut = rows.ids.len() - start > room;
            rows.ids.truncate(start.saturating_add(room));
            rows.ids.extend_from_slice(&frame.behind);
            let length = rows.ids.len() - start;
            frame.dtype.unwrap_or(Dtype::U32).length(length).map(|length| (length, is_cut))
        });
        let (length, is_cut) = done.inspect_err(|_| rows.ids.truncate(start))?;
        rows.lengths.push(length);
        rows.cut += u64::from(is_cut);
        rows.bytes += text.len() as u64;
        Ok(())
    }

    fn missing(&mut self) {
        self.rows.lengths.push(0);
    }

    fn take(&mut self) -> Tokenized {
        std::mem::take(&mut self.rows)
    }
}

/// The text of a document. A lone surrogate, which no tokenizer takes, counts as U+FFFD.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        // Of the three bytes of a surrogate, each is invalid by itself; the first is 0xED.
        text.extend((chunk.invalid().first() == Some(&0xed)).then_some(char::REPLACEMENT_CHARACTER));
    }
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_surrogate_is_one_replacement() {
        assert_eq!(text("aß".as_bytes()), "aß");
        assert_eq!(text(b"a\xed\xa0\x80\xed\xb0\x80b\xed\x9f\xbf"), "a\u{fffd}\u{fffd}b\u{d7ff}");
    }
}

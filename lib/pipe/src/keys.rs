//! The keys of documents, made from them in parallel.

use crate::failure::Failure;
use crate::key::document_key;
use crate::lines::Worker;
use crate::record::Reader;
use crate::settings::Common;

/// Makes keys from documents, and keeps their lines where that is asked for.
#[derive(Clone)]
pub struct KeyReader {
    reader: Reader,
    keep: bool,
    out: Keyed,
}

/// The keys of a batch of documents, `None` where a bad one was skipped; and its lines, each with its newline, if they
/// are kept.
#[derive(Debug, Clone, Default)]
pub struct Keyed {
    /// A key for each document.
    pub keys: Vec<Option<u64>>,
    /// The documents.
    pub lines: Vec<u8>,
}

impl KeyReader {
    /// A reader of keys as `--id-field` asks for.
    ///
    /// # Errors
    /// The path of the field is none.
    pub fn new(common: &Common, keep: bool) -> Result<KeyReader, Failure> {
        Ok(KeyReader { reader: Reader::of_identity(common)?, keep, out: Keyed::default() })
    }
}

impl Worker for KeyReader {
    type Out = Keyed;

    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        self.out.keys.push(Some(document_key(self.reader.document(line)?.1)));
        if self.keep {
            self.out.lines.extend_from_slice(line);
            self.out.lines.push(b'\n');
        }
        Ok(())
    }

    fn missing(&mut self) {
        self.out.keys.push(None);
    }

    fn take(&mut self) -> Keyed {
        std::mem::take(&mut self.out)
    }
}

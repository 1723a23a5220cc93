//! A column that is read beside documents: one row at a time, as documents come.

use crate::column::{more_than, unequal};
use crate::failure::Failure;
use crate::input::{Batch, Input, Source};
use std::path::PathBuf;
use std::sync::Arc;

/// The rows of a column, in order.
pub struct Rows {
    input: Input,
    batch: Option<Batch>,
    /// Bytes of the batch that were given out.
    at: usize,
    source: Option<Arc<Source>>,
    /// Rows of the source that were given out.
    line: u64,
    /// Rows that were given out.
    pub count: u64,
}

impl Rows {
    /// The rows of these files (`-`: standard input; none: standard input).
    ///
    /// # Errors
    /// Where one cannot be opened: before anything is read.
    pub fn open(paths: &[PathBuf]) -> Result<Rows, Failure> {
        let input = Input::of(paths, None)?;
        Ok(Rows { input, batch: None, at: 0, source: None, line: 0, count: 0 })
    }

    /// What `read` makes of the row of the next document.
    ///
    /// # Errors
    /// There are no more rows, or they cannot be read; a row that `read` refuses is named by file and line.
    pub fn next<T>(&mut self, read: impl FnOnce(&[u8]) -> Result<T, String>) -> Result<T, Failure> {
        if !self.fill()? {
            return Err(unequal(more_than(self.count), "rows of clusters", self.count));
        }
        let batch = self.batch.as_ref().expect("just filled");
        let rest = &batch.bytes()[self.at..];
        let length = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        self.at += (length + 1).min(rest.len());
        self.line += 1;
        self.count += 1;
        let (name, line) = (&batch.source.name, self.line);
        read(&rest[..length]).map_err(|why| Failure::work(format!("{name}:{line}: {why}")))
    }

    /// Ends with the documents.
    ///
    /// # Errors
    /// There are more rows.
    pub fn end(mut self) -> Result<(), Failure> {
        let documents = self.count;
        if self.fill()? { Err(unequal(documents, "rows of clusters", more_than(documents))) } else { Ok(()) }
    }

    /// Sees to it that the batch has a row left; `false` at the end of everything.
    fn fill(&mut self) -> Result<bool, Failure> {
        if self.batch.as_ref().is_some_and(|batch| self.at < batch.bytes().len()) {
            return Ok(true);
        }
        let buffer = self.batch.take().map_or_else(Vec::new, Batch::into_buffer);
        self.batch = self.input.next(buffer)?;
        self.at = 0;
        let Some(batch) = &self.batch else { return Ok(false) };
        if !self.source.as_ref().is_some_and(|source| Arc::ptr_eq(source, &batch.source)) {
            self.source = Some(batch.source.clone());
            self.line = 0;
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, text: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("rows-{name}-{}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn rows_are_counted_across_files_and_named_within_one() {
        let files = [column("a", "1\n\n2"), column("b", ""), column("c", "3\nx\n")];
        let read = |row: &[u8]| match row {
            b"x" => Err("no".to_string()),
            row => Ok(String::from_utf8_lossy(row).into_owned()),
        };
        let mut rows = Rows::open(&files).unwrap();
        for expected in ["1", "", "2", "3"] {
            assert_eq!(rows.next(read).as_deref(), Ok(expected));
        }
        assert_eq!(rows.next(read), Err(Failure::work(format!("{}:2: no", files[2].display()))));
        let said = |one: &str, other: &str| {
            let why =
                format!("documents: {one}; rows of clusters: {other}; expected as many of the one as of the other");
            Failure::Work(why)
        };
        assert_eq!(rows.next(read), Err(said("more than 5", "5")));
        assert!(rows.end().is_ok());
        let mut rows = Rows::open(&files).unwrap();
        rows.next(read).unwrap();
        assert_eq!(rows.end(), Err(said("1", "more than 1")));
        files.iter().for_each(|path| std::fs::remove_file(path).unwrap());
    }
}

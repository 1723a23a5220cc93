//! `--stats FILE`: one JSON object about a run.

use crate::digest::{Side, files};
use crate::failure::{Failure, name};
use crate::lines::Tally;
use crate::output::Output;
use crate::settings::Common;
use serde_json::{Map, Value};

/// The object to write, field by field.
pub struct Stats(Map<String, Value>);

impl Stats {
    /// What every tool reports: tool, version, arguments, device, rows, bad rows, bytes.
    pub fn new(common: &Common, tally: &Tally) -> Stats {
        let arguments: Vec<_> = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
        let stats = Stats(Map::new())
            .with("tool", common.tool)
            .with("version", env!("CARGO_PKG_VERSION"))
            .with("arguments", arguments)
            .with("device", "cpu")
            .with("threads", common.threads)
            .with("rows", tally.rows)
            .with("bad_rows", tally.bad)
            .with("bytes", tally.bytes);
        match &tally.first_bad {
            Some(first) => stats.with("first_bad", first.as_str()),
            None => stats,
        }
    }

    /// The same with one more field.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Stats {
        self.0.insert(name.to_string(), value.into());
        self
    }

    /// Writes the object where `--stats` says, if it does, with the files that were read and written, and the seconds
    /// since the start.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn write(self, common: &Common) -> Result<(), Failure> {
        let Some(path) = &common.stats else { return Ok(()) };
        let named = common.operands.iter().chain(&common.side_files).filter(|path| path.exists());
        let whole = self
            .with("inputs", files(Side::Input, named.map(|path| name(path))))
            .with("outputs", files(Side::Output, None))
            .with("seconds", common.started.elapsed().as_secs_f64());
        let mut file = Output::create(path)?;
        file.write(format!("{}\n", Value::Object(whole.0)).as_bytes())?;
        file.finish()
    }
}

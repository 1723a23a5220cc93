//! Which group each row is in.

use pipe::column::fields;
use pipe::failure::{Failure, name};
use pipe::input::Input;
use pipe::lines::{Lines, Worker, split};
use pipe::settings::Common;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// The group of each row: 4 bytes a row, and each name once.
pub struct Groups {
    path: PathBuf,
    ids: Vec<u32>,
    names: Vec<Vec<u8>>,
}

/// The id of rows that are in no group.
const NONE: u32 = u32::MAX;

impl Groups {
    /// Reads the first field of each row.
    pub fn read(common: &Common, path: &Path) -> Result<Groups, Failure> {
        let mut groups = Groups { path: path.to_path_buf(), ids: Vec::new(), names: Vec::new() };
        let mut known = HashMap::new();
        let lines = Lines::new(common, Input::of(&[path.to_path_buf()], None)?).strict();
        lines.run(NameReader::default, |names| {
            for name in split(&names) {
                let is_none = matches!(name, b"nan" | b"-1");
                groups.ids.push(if is_none { NONE } else { number(name, &mut groups.names, &mut known) });
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(groups)
    }

    /// The name of a row's group.
    pub fn of(&self, row: u32) -> Option<&[u8]> {
        self.id(row).map(|id| &self.names[id as usize][..])
    }

    /// The id of a row's group, in order of first appearance.
    pub fn id(&self, row: u32) -> Option<u32> {
        self.ids.get(row as usize).copied().filter(|&id| id != NONE)
    }

    /// Fails unless there are as many rows here as weights.
    pub fn check(&self, rows: u64, weights: &Path) -> Result<(), Failure> {
        if self.ids.len() as u64 == rows {
            return Ok(());
        }
        let why = format!("{} rows, but {} has {rows}: they must be as many", self.ids.len(), name(weights));
        Err(Failure::file(&self.path, why))
    }
}

/// Numbers names in order of first appearance.
fn number(name: &[u8], names: &mut Vec<Vec<u8>>, known: &mut HashMap<Vec<u8>, u32>) -> u32 {
    if let Some(&id) = known.get(name) {
        return id;
    }
    let id = names.len() as u32;
    known.insert(name.to_vec(), id);
    names.push(name.to_vec());
    id
}

/// Cuts the first field out of each row; a newline ends each.
#[derive(Default)]
struct NameReader {
    names: Vec<u8>,
}

impl Worker for NameReader {
    type Out = Vec<u8>;

    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        let name = fields(line).next().unwrap_or_default();
        if name.is_empty() {
            return Err("expected a group in field 1, found nothing".to_string());
        }
        self.names.extend_from_slice(name);
        self.names.push(b'\n');
        Ok(())
    }

    fn missing(&mut self) {}

    fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.names)
    }
}

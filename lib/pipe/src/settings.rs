//! What the flags that all tools share are parsed into.

use crate::floats::Raw;
use std::path::PathBuf;
use std::time::Instant;

/// What to do with a record that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// The first one ends the run.
    #[default]
    Fail,
    /// It becomes a missing row, and is counted.
    Skip,
}

/// Whether to show how far the work has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Progress {
    /// On a terminal only.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// One of `count` parts of each input file: newline-aligned byte ranges of lines, ranges of rows of vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// 0-based.
    pub index: u64,
    /// At least 1.
    pub count: u64,
}

/// GPUs that were asked for by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gpus {
    /// What was said: `cuda:0,1`.
    pub name: String,
    /// Their numbers, as the driver counts; at least one, each once.
    pub numbers: Vec<usize>,
}

/// The part of the options that all tools share.
#[derive(Debug, Clone)]
pub struct Common {
    /// Name of the tool, for messages.
    pub tool: &'static str,
    /// Input files; empty: standard input.
    pub operands: Vec<PathBuf>,
    /// Files that flags name as input.
    pub side_files: Vec<PathBuf>,
    /// The flags that were given, by their long names.
    pub given: Vec<&'static str>,
    /// Worker threads.
    pub threads: usize,
    /// The part of the input to read.
    pub shard: Option<Shard>,
    /// Policy for bad records.
    pub on_error: OnError,
    /// Where to write the statistics of the run.
    pub stats: Option<PathBuf>,
    /// Whether to show progress.
    pub progress: Progress,
    /// Where the text of a document is.
    pub field: String,
    /// Several fields in one text; wins over `field`.
    pub template: Option<String>,
    /// Where the identity of a document is; `None`: the line itself.
    pub id_field: Option<String>,
    /// Seed of every random decision; `None`: 0.
    pub seed: Option<u64>,
    /// How vectors without a header are stored; `None`: they are `.npy` arrays.
    pub raw: Option<Raw>,
    /// The GPUs that were asked for; `None`: the CPU.
    pub gpus: Option<Gpus>,
    /// When the run began.
    pub started: Instant,
}

impl Default for Common {
    fn default() -> Common {
        Common {
            tool: "",
            operands: Vec::new(),
            side_files: Vec::new(),
            given: Vec::new(),
            threads: std::thread::available_parallelism().map_or(1, |cores| cores.get()),
            shard: None,
            on_error: OnError::default(),
            stats: None,
            progress: Progress::default(),
            field: "text".to_string(),
            template: None,
            id_field: None,
            seed: None,
            raw: None,
            gpus: None,
            started: Instant::now(),
        }
    }
}

impl Common {
    /// Whether a flag was given, by its long name.
    pub fn given(&self, flag: &str) -> bool {
        self.given.contains(&flag)
    }
}

impl Shard {
    /// Reads `I/N`; `None` where it is something else, or I is not below N.
    pub fn parse(text: &str) -> Option<Shard> {
        let (index, count) = text.split_once('/')?;
        let shard = Shard { index: index.parse().ok()?, count: count.parse().ok()? };
        (shard.index < shard.count).then_some(shard)
    }
}

impl Gpus {
    /// Reads `auto`, `cpu` (both `None`), `cuda`, `cuda:I` or `cuda:I,J...`.
    ///
    /// # Errors
    /// It is something else; the message says what was expected.
    pub fn parse(text: &str) -> Result<Option<Gpus>, String> {
        let mut numbers = Vec::new();
        match text {
            "auto" | "cpu" => return Ok(None),
            "cuda" => numbers.push(0),
            _ => {
                let list = text.strip_prefix("cuda:").ok_or("expected auto, cpu, cuda, cuda:I or cuda:I,J...")?;
                for word in list.split(',') {
                    let number = word.parse::<u32>().map_err(|_| format!("{word:?}: expected the number of a GPU"))?;
                    if numbers.contains(&(number as usize)) {
                        return Err(format!("{number}: expected each GPU once"));
                    }
                    numbers.push(number as usize);
                }
            }
        }
        Ok(Some(Gpus { name: text.to_string(), numbers }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_are_named_once() {
        for (text, numbers) in [("cuda", &[0][..]), ("cuda:3", &[3]), ("cuda:2,0,11", &[2, 0, 11])] {
            let gpus = Gpus::parse(text).unwrap().unwrap();
            assert_eq!((gpus.name.as_str(), &gpus.numbers[..]), (text, numbers));
        }
        assert_eq!((Gpus::parse("auto"), Gpus::parse("cpu")), (Ok(None), Ok(None)));
        for wrong in ["", "gpu", "cuda:", "cuda0", "cuda:-1", "cuda:0,", "cuda:0,0", "cuda:4294967296", "cuda:0;1"] {
            assert!(Gpus::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_shard_is_below_its_count() {
        assert_eq!(Shard::parse("0/1"), Some(Shard { index: 0, count: 1 }));
        assert_eq!(Shard::parse("2/3"), Some(Shard { index: 2, count: 3 }));
        for wrong in ["3/3", "0/0", "1", "-1/2", "a/b", "1/2/3"] {
            assert_eq!(Shard::parse(wrong), None, "{wrong}");
        }
    }
}

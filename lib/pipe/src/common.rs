//! The flags that mean the same in every tool, and what they are parsed into.

use crate::failure::Failure;
use crate::flags::{Flag, Options};
use crate::vectors::Raw;
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

fn shard_of(text: &str) -> Option<Shard> {
    let (index, count) = text.split_once('/')?;
    let shard = Shard { index: index.parse().ok()?, count: count.parse().ok()? };
    (shard.index < shard.count).then_some(shard)
}

/// `--field PATH`.
pub const fn field<A: Options>() -> Flag<A> {
    Flag::value(
        "field",
        "PATH",
        "The text of a document: the name of a field, or a dotted path to it (`meta.body`; a number is a place in an array, `\\.` a dot in a name).",
        |args: &mut A, value| {
            args.common().field = value.text()?.to_string();
            Ok(())
        },
    )
    .default(|_| Common::default().field)
}

/// `--template TEXT`.
pub const fn template<A: Options>() -> Flag<A> {
    Flag::value(
        "template",
        "TEXT",
        "The text of a document made of several fields: each `{PATH}` is replaced by that field; `{{` and `}}` are braces. Wins over --field.",
        |args: &mut A, value| {
            args.common().template = Some(value.text()?.to_string());
            Ok(())
        },
    )
}

/// `--id-field PATH`.
pub const fn id_field<A: Options>() -> Flag<A> {
    Flag::value(
        "id-field",
        "PATH",
        "The identity of a document, a string or a whole number, from which its key is made; without it the whole line is the identity.",
        |args: &mut A, value| {
            args.common().id_field = Some(value.text()?.to_string());
            Ok(())
        },
    )
}

/// `--seed N`.
pub const fn seed<A: Options>() -> Flag<A> {
    Flag::value(
        "seed",
        "N",
        "Seed of the random decisions. Another seed, another sample; the clock is never asked.",
        |args: &mut A, value| {
            args.common().seed = Some(value.number()?);
            Ok(())
        },
    )
    .default(|_| "0".to_string())
}

/// `--threads N`.
pub const fn threads<A: Options>() -> Flag<A> {
    Flag::value(
        "threads",
        "N",
        "Worker threads; without it, as many as the cores that this process may use. The output does not depend on it.",
        |args: &mut A, value| {
            args.common().threads = value.positive()?;
            Ok(())
        },
    )
}

/// `--shard I/N`.
pub const fn shard<A: Options>() -> Flag<A> {
    Flag::value(
        "shard",
        "I/N",
        "Take the I-th (from 0) of N parts of each input file, cut at line ends. Refused for pipes and compressed input.",
        |args: &mut A, value| {
            args.common().shard = Some(shard_of(value.text()?).ok_or("expected I/N with 0 <= I < N")?);
            Ok(())
        },
    )
}

/// `--shard I/N` of vectors.
pub const fn shard_of_rows<A: Options>() -> Flag<A> {
    Flag {
        help: "Take the I-th (from 0) of N parts of the rows of each input file. Refused for pipes and compressed input.",
        ..shard()
    }
}

/// `--raw DIM:DTYPE`.
pub const fn raw<A: Options>() -> Flag<A> {
    Flag::value(
        "raw",
        "DIM:DTYPE",
        "The vectors are not `.npy` arrays but bare records of DIM little-endian floats, f32 or f16, one after the other.",
        |args: &mut A, value| {
            let raw = Raw::parse(value.text()?);
            args.common().raw = Some(raw.ok_or("expected DIM:f32 or DIM:f16, such as 384:f32")?);
            Ok(())
        },
    )
}

/// `--on-error fail|skip`.
pub const fn on_error<A: Options>() -> Flag<A> {
    Flag::value(
        "on-error",
        "fail|skip",
        "What a bad record does: end the run with exit 1, or become a missing row that is counted and reported at the end.",
        |args: &mut A, value| {
            args.common().on_error = value.choice(&[("fail", OnError::Fail), ("skip", OnError::Skip)])?;
            Ok(())
        },
    )
    .default(|_| "fail".to_string())
}

/// `--device auto|cpu|cuda[:I]` of a tool that computes on the CPU only.
pub const fn device<A: Options>() -> Flag<A> {
    device_with_text(
        "auto|cpu|cuda[:I]",
        "Where to compute. A GPU that is asked for and not there is an error. This version computes on the CPU only.",
    )
}

/// `--device auto|cpu|cuda[:I,J...]` of a tool that computes on GPUs, too, where they are asked for.
pub const fn device_or_gpu<A: Options>() -> Flag<A> {
    device_with_text(
        "auto|cpu|cuda[:I,J...]",
        "Where to compute: on the CPU, or on an NVIDIA GPU, the one numbered I (0 where only `cuda` is said), or on several that share the rows. A GPU that is asked for and not there is an error. `auto` is the CPU in this version: see GPU.",
    )
}

const fn device_with_text<A: Options>(values: &'static str, text: &'static str) -> Flag<A> {
    Flag::value("device", values, text, |args: &mut A, value| {
        args.common().gpus = gpus_of(value.text()?)?;
        Ok(())
    })
    .default(|_| "auto".to_string())
}

fn gpus_of(text: &str) -> Result<Option<Gpus>, String> {
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

/// `--stats FILE`.
pub const fn stats<A: Options>() -> Flag<A> {
    Flag::value(
        "stats",
        "FILE",
        "Write one JSON object about the run: rows, bad rows, bytes, seconds and more.",
        |args: &mut A, value| {
            args.common().stats = Some(value.path()?);
            Ok(())
        },
    )
}

/// `--progress auto|always|never`.
pub const fn progress<A: Options>() -> Flag<A> {
    Flag::value(
        "progress",
        "auto|always|never",
        "Show how far the work has come, on stderr; `auto` does so on a terminal only.",
        |args: &mut A, value| {
            let choices = [("auto", Progress::Auto), ("always", Progress::Always), ("never", Progress::Never)];
            args.common().progress = value.choice(&choices)?;
            Ok(())
        },
    )
    .default(|_| "auto".to_string())
}

/// Refuses two flags that exclude each other.
pub fn exclude(one: (&str, bool), other: (&str, bool)) -> Result<(), Failure> {
    if one.1 && other.1 { Err(Failure::usage(format!("--{} does not go with --{}", one.0, other.0))) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_are_named_once() {
        for (text, numbers) in [("cuda", &[0][..]), ("cuda:3", &[3]), ("cuda:2,0,11", &[2, 0, 11])] {
            let gpus = gpus_of(text).unwrap().unwrap();
            assert_eq!((gpus.name.as_str(), &gpus.numbers[..]), (text, numbers));
        }
        assert_eq!((gpus_of("auto"), gpus_of("cpu")), (Ok(None), Ok(None)));
        for wrong in ["", "gpu", "cuda:", "cuda0", "cuda:-1", "cuda:0,", "cuda:0,0", "cuda:4294967296", "cuda:0;1"] {
            assert!(gpus_of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_shard_is_below_its_count() {
        assert_eq!(shard_of("0/1"), Some(Shard { index: 0, count: 1 }));
        assert_eq!(shard_of("2/3"), Some(Shard { index: 2, count: 3 }));
        for wrong in ["3/3", "0/0", "1", "-1/2", "a/b", "1/2/3"] {
            assert_eq!(shard_of(wrong), None, "{wrong}");
        }
    }
}

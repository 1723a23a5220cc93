//! `mds-merge`: Mosaic datasets below one folder in, one dataset out.
//!
//! In: folders with an index each. Out: an index of all their shards in the folder above them. Tokens are neither read
//! nor moved. Memory: the indexes.

use dataset::mds::{shards, write_index};
use pipe::failure::Failure;
use pipe::flags::{Example, Flag, Options, Rule, Tool};
use pipe::lines::Tally;
use pipe::settings::Common;
use pipe::shared;
use pipe::stats::Stats;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What the command line asks for.
#[derive(Default)]
struct Args {
    common: Common,
    out: PathBuf,
}

impl Options for Args {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

const FLAGS: &[Flag<Args>] = &[
    Flag {
        help: "The folder above all others.",
        ..shared::out(|args: &mut Args, value| {
            args.out = value.path()?;
            Ok(())
        })
    },
    shared::stats(),
];

const TOOL: Tool<Args> = Tool {
    name: "mds-merge",
    summary: "Mosaic datasets below one folder to one dataset",
    operands: "DIR...",
    description: &[
        "Writes the index of a Mosaic streaming dataset (MDS) into the folder --out, which must be above the DIRs: all \
         their shards, in the order of the DIRs. The shards stay where they are, and no token is read. All DIRs must \
         have the same columns.",
        "An index may come from anywhere: a shard's name must stay below its folder.",
        "In memory are the indexes, about 1 KB a shard. --stats counts `sequences`.",
    ],
    sections: &[],
    flags: FLAGS,
    rules: &[
        Rule::Needed("out", "the index goes into the folder above the others"),
        Rule::AnyOf(&["FILE"], "name the folders below --out that become one dataset"),
    ],
    examples: &[Example {
        about: "Two shards by two jobs, one dataset:",
        command: "for i in 0 1; do pack-tokens --length 4 --mode within --shard $i/2 --format mds --out whole/$i \
                  tokens.npy; done\nmds-merge --out whole whole/0 whole/1",
        output: "",
    }],
    see_also: &["pack-tokens(1)", "mds-verify(1)", "corpus-utils(7)"],
};

fn main() -> ExitCode {
    pipe::start(&TOOL, run)
}

fn run(args: Args) -> Result<(), Failure> {
    let sequences = merge(&args.out, &args.common.operands)?;
    Stats::new(&args.common, &Tally::default()).with("sequences", sequences).write(&args.common)
}

/// Writes the index of a folder over the datasets in folders below it, in this order; gives the number of samples.
fn merge(root: &Path, folders: &[PathBuf]) -> Result<u64, Failure> {
    let (above, mut entries, mut samples) = (absolute(root)?, Vec::new(), 0);
    for folder in folders {
        let below = below(&above, folder, root)?;
        for shard in shards(folder)? {
            samples += shard.samples;
            let entry = moved(shard.entry, &below);
            check_columns(folder, &entry, entries.first())?;
            entries.push(entry);
        }
    }
    write_index(root, entries)?;
    Ok(samples)
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    fs::canonicalize(path).map_err(|why| Failure::file(path, why))
}

/// The name of a folder from the one above.
fn below(above: &Path, folder: &Path, root: &Path) -> Result<String, Failure> {
    let whole = absolute(folder)?;
    let below = whole.strip_prefix(above).ok().filter(|below| !below.as_os_str().is_empty());
    let below = below.ok_or_else(|| Failure::file(folder, format!("expected a folder below {}", root.display())))?;
    below.to_str().map(str::to_string).ok_or_else(|| Failure::file(folder, "expected a name in UTF-8"))
}

/// The entry of a shard, seen from the folder above.
fn moved(mut entry: Value, below: &str) -> Value {
    for part in ["raw_data", "zip_data"] {
        if let Some(name) = entry[part]["basename"].as_str() {
            entry[part]["basename"] = format!("{below}/{name}").into();
        }
    }
    entry
}

fn check_columns(folder: &Path, entry: &Value, first: Option<&Value>) -> Result<(), Failure> {
    let columns = |entry: &Value| (entry["column_names"].clone(), entry["column_encodings"].clone());
    match first.map(columns) {
        Some(expected) if expected != columns(entry) => {
            let found = columns(entry);
            let why = format!("columns {} {}: expected {} {}", found.0, found.1, expected.0, expected.1);
            Err(Failure::file(folder, why))
        }
        _ => Ok(()),
    }
}

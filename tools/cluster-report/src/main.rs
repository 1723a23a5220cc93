//! `cluster-report`: what is known of clusters in, one HTML page out, to look at them and choose.
//!
//! The page holds everything and asks for nothing. Memory: the tables, with their texts, and the page.

mod page;
mod table;

use page::{OF, Report};
use pipe::clusters::{Values, parse_table, read_notes, read_table};
use pipe::column::{fields, read_number, write_number};
use pipe::failure::{Failure, name};
use pipe::flags::{Example, Flag, Options, Tool};
use pipe::input::read_whole;
use pipe::lines::{Tally, split};
use pipe::output::Output;
use pipe::settings::Common;
use pipe::shared;
use pipe::stats::Stats;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use table::Table;

struct Args {
    common: Common,
    title: String,
    exclude: Option<PathBuf>,
    plan: Option<PathBuf>,
    map: Option<PathBuf>,
    compare: Option<PathBuf>,
}

impl Default for Args {
    fn default() -> Args {
        Args {
            common: Common::default(),
            title: "Clusters".to_string(),
            exclude: None,
            plan: None,
            map: None,
            compare: None,
        }
    }
}

impl Options for Args {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

const FLAGS: &[Flag<Args>] = &[
    Flag::value("title", "TEXT", "The heading of the page", "", |args: &mut Args, value| {
        args.title = value.text()?.to_string();
        Ok(())
    })
    .default(|args| args.title.clone()),
    Flag {
        help: "They are marked when the page is first opened; what stands behind a TAB is the note.",
        ..shared::exclude(|args: &mut Args, value| {
            args.exclude = Some(value.path()?);
            Ok(())
        })
    },
    Flag {
        help: "Its documents, repeats and shares are shown, and a second treemap: what clip-sample would draw beside \
         what there is.",
        ..shared::plan(|args: &mut Args, value| {
            args.plan = Some(value.path()?);
            Ok(())
        })
    },
    Flag::value(
        "map",
        "FILE",
        "Where clusters lie, as two numbers each",
        "Columns x and y behind a header that names them and cluster, or a row a cluster, from 0 on, that begins with \
         the two numbers, as `vectors-map --centroids` prints them; a row of nan has no place. With it, bubbles stand \
         for the treemap.",
        |args: &mut Args, value| {
            args.map = Some(value.path()?);
            Ok(())
        },
    )
    .reads(),
    Flag::value(
        "compare",
        "FILE",
        "The clusters of another run, by the same numbers",
        "Their numbers are shown beside those of the same cluster, with a treemap of their own.",
        |args: &mut Args, value| {
            args.compare = Some(value.path()?);
            Ok(())
        },
    )
    .reads(),
    shared::stats(),
];

const TOOL: Tool<Args> = Tool {
    name: "cluster-report",
    summary: "what is known of clusters to one page, to look, judge and exclude",
    operands: "[FILE]...",
    description: &[
        "Reads what is known of the clusters from the FILEs or from standard input, and prints one HTML page that \
         shows it: sizes as a treemap, numbers to sort and filter by, histograms of distances and lengths, telling \
         words, the nearest and farthest texts and some at random, and a mark and a note for each cluster. The page \
         needs no server and asks for no address: it opens from disk in any browser, on a phone too, in the dark, \
         and prints. The same input is the same page, to the byte.",
        "A FILE is what cluster-stats(1) prints, also with --compat minicorpus, or TAB-separated text with a header \
         that names cluster. Every number in it is a column of the page, those within objects too (`quantiles.0.5`); \
         every string is a label; `words`, pairs of a word and a number, are listed; `histogram` and \
         `histogram_NAME` are drawn. Further FILEs add to what the first says of its clusters: mean losses, or \
         labels of a model.",
        "Texts of documents are data in the page, never markup. Its security policy allows the page's own script \
         alone.",
    ],
    sections: &[
        (
            "The page",
            &[
                "Type words to find clusters whose texts, labels or words have all of them, and conditions: \
                 `total_examples>1000`, `average_distance<=0.2`, `mark=exclude` (or unsure, keep, none), \
                 `cluster=7`; notes are searched too. Click a column to sort by it. Signs that cannot be seen, and \
                 those that turn the direction of a line, are shown as their code.",
                "Keys: j and k go to the next and the previous cluster, o to the next without a mark; x marks it as \
                 excluded, u as unsure, y to keep, n goes to its note, / to the search, Escape back; space scrolls \
                 its texts. On a phone the marks are at the lower edge.",
                "Texts that are the same but for white space are shown once, with their number. With --compare each \
                 number stands beside the other run's. What is printed is the list, with the notes.",
                "Marks are kept by the browser for a set of clusters with their sizes, so they survive a reload \
                 and a page that is made anew. `Export excluded` saves the file that --exclude of clip-sample(1), \
                 cluster-share(1) and this program take: a cluster a line, then TAB and the note. Several people's \
                 lists become one by `sort -u`; notes on one cluster are shown together. `Export marks` saves all \
                 marks and notes. Import takes either, and adds it to the marks.",
                "The line on top counts the documents that stay, and any other column whose name begins with total_: \
                 words, or tokens.",
            ],
        ),
        (
            "Limits",
            &["Texts of a cluster are taken apart when it is looked at or searched, rows of the list are made when \
                 they are seen: 2,000 clusters of 20 texts open within a second. Search is by letters, whatever their \
                 case."],
        ),
    ],
    flags: FLAGS,
    rules: &[],
    examples: &[
        Example {
            about: "A page of two clusters, and what is excluded marked in it:",
            command: "awk '{ print NR % 2 \"\\t0.\" NR + 100 }' docs.jsonl > clusters.tsv\n\
                      printf '1\\tmostly menus\\n' > exclude.tsv\n\
                      cluster-stats --documents docs.jsonl clusters.tsv | cluster-report --exclude exclude.tsv \
                      --title 'Two halves' > report.html\ngrep -c '<title>Two halves' report.html",
            output: "1\n",
        },
        Example {
            about: "Beside what a plan would draw:",
            command: "cluster-stats --documents docs.jsonl clusters.tsv > clusters.jsonl\n\
                      cluster-share -n 100 clusters.jsonl > plan.tsv\n\
                      cluster-report --plan plan.tsv clusters.jsonl > report.html\n\
                      grep -c '\"columns\":.*plan.documents' report.html",
            output: "1\n",
        },
    ],
    see_also: &["cluster-stats(1)", "cluster-share(1)", "clip-sample(1)", "vectors-map(1)", "corpus-utils(7)"],
};

fn main() -> ExitCode {
    pipe::start(&TOOL, run)
}

fn run(args: Args) -> Result<(), Failure> {
    let excluded = args.exclude.as_deref().map_or_else(|| Ok(Vec::new()), read_notes)?;
    let plan = args.plan.as_deref().map_or_else(|| Ok(BTreeMap::new()), read_plan)?;
    let map = args.map.as_deref().map(read_map).transpose()?;
    let other = args.compare.as_deref().map(Other::read).transpose()?;
    let standard = [PathBuf::from("-")];
    let paths = if args.common.operands.is_empty() { &standard[..] } else { &args.common.operands };
    let (mut table, tally) = read(paths)?;

    known(&table, &paths[0], args.exclude.as_deref(), excluded.iter().map(|&(id, _)| id))?;
    known(&table, &paths[0], args.plan.as_deref(), plan.keys().copied())?;
    known(&table, &paths[0], args.map.as_deref(), map.iter().flat_map(BTreeMap::keys).copied())?;
    for (id, values) in plan {
        let numbers = values.into_iter().map(|(name, value)| (format!("plan.{name}"), text(value)));
        table.entry(id).or_default().numbers.extend(numbers);
    }
    if let Some(other) = &other {
        other.add_to(&mut table);
    }
    let report = Report {
        title: &args.title,
        table: &table,
        other: other.as_ref().map(|other| (other.name.as_str(), &other.table)),
        excluded: &joined(excluded),
        map: map.as_ref(),
    };
    Output::stdout().write(report.html().as_bytes())?;
    Stats::new(&args.common, &tally).with("clusters", table.len()).write(&args.common)
}

fn read(paths: &[PathBuf]) -> Result<(Table, Tally), Failure> {
    let (mut table, mut tally) = (Table::new(), Tally::default());
    for path in paths {
        let text = read_whole(path)?;
        tally.rows += table::add(&mut table, path, &text)?;
        tally.bytes += text.len() as u64;
    }
    Ok((table, tally))
}

/// Fails where the clusters that the file `path` speaks of are not all in the table, which is that of `first`.
fn known(table: &Table, first: &Path, path: Option<&Path>, mut ids: impl Iterator<Item = u32>) -> Result<(), Failure> {
    match (ids.find(|id| !table.contains_key(id)), path) {
        (Some(id), Some(path)) => Err(Failure::file(path, format!("cluster {id} is not in {}", name(first)))),
        _ => Ok(()),
    }
}

/// What stands between several notes; the page takes the same.
const BETWEEN: &str = "; ";

/// The notes on each cluster: lists of several people have some of them more than once.
fn joined(notes: Vec<(u32, String)>) -> BTreeMap<u32, String> {
    let mut all: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for (id, note) in notes {
        let known = all.entry(id).or_default();
        for part in note.split(BETWEEN).filter(|part| !part.is_empty()) {
            if !known.iter().any(|one| one == part) {
                known.push(part.to_string());
            }
        }
    }
    all.into_iter().map(|(id, notes)| (id, notes.join(BETWEEN))).collect()
}

fn read_plan(path: &Path) -> Result<BTreeMap<u32, Values>, Failure> {
    read_table(path, "documents", &["documents", "repeats", "share"], |_| Ok(()))
}

/// The clusters of another run.
struct Other {
    name: String,
    table: Table,
}

impl Other {
    fn read(path: &Path) -> Result<Other, Failure> {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        Ok(Other { name, table: read(&[path.to_path_buf()])?.0 })
    }

    /// Puts its numbers beside those of this run.
    fn add_to(&self, table: &mut Table) {
        for (&id, cluster) in &self.table {
            let numbers =
                cluster.numbers.iter().map(|(name, value)| (format!("{name}{OF}{}", self.name), value.clone()));
            table.entry(id).or_default().numbers.extend(numbers);
        }
    }
}

/// Where clusters lie, but for those that lie nowhere.
fn read_map(path: &Path) -> Result<BTreeMap<u32, [f64; 2]>, Failure> {
    let text = read_whole(path)?;
    let first = split(&text).next().unwrap_or_default();
    let places: Vec<(u32, [f64; 2])> = if place_of(first).is_ok() {
        let row = |(row, line)| match place_of(line) {
            Ok(place) => Ok((row as u32, place)),
            Err(why) => Err(Failure::line(path, row + 1, why)),
        };
        split(&text).enumerate().map(row).collect::<Result<_, _>>()?
    } else {
        let both = |values: &Values| match values.len() {
            2 => Ok(()),
            _ => Err("expected columns x and y".to_string()),
        };
        let table = parse_table(path, &text, "x", &["x", "y"], both)?;
        table.into_iter().map(|(id, values)| (id, [values["x"], values["y"]])).collect()
    };
    Ok(places.into_iter().filter(|(_, at)| at.iter().all(|axis| axis.is_finite())).collect())
}

fn place_of(line: &[u8]) -> Result<[f64; 2], String> {
    let mut numbers = fields(line).take(2).enumerate().map(|(field, text)| read_number(text, field + 1));
    let mut next = || numbers.next().unwrap_or_else(|| Err("expected two numbers with a TAB between them".to_string()));
    Ok([next()?, next()?])
}

fn text(number: f64) -> String {
    let mut text = Vec::new();
    write_number(number, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

//! `cluster-stats`: a column of clusters in, one JSON object a cluster out, in ascending order.
//!
//! Counts, exact sums of distances, quantiles, lengths, and, with the documents beside the column, the texts nearest to
//! the centroid and farthest from it, some at random, and the words that tell the cluster from the others. All of it
//! adds up over parts: the output is its own input. Memory: some 10 kB a cluster, and its texts, whatever the number of
//! rows.

mod decimal;
mod diversity;
mod examples;
mod histogram;
mod layout;
mod lengths;
mod random;
mod rows;
mod summary;
mod telling;

use cluster::Model;
use decimal::Decimal;
use layout::{Parts, Shown, Wanted};
use pipe::clusters::CLUSTERS_MAX;
use pipe::failure::Failure;
use pipe::flags::{Example, Flag, Options, Rule, Tool};
use pipe::input::Input;
use pipe::lines::{Lines, Tally};
use pipe::note;
use pipe::output::Output;
use pipe::record::Reader;
use pipe::rows::Rows;
use pipe::settings::Common;
use pipe::shared;
use pipe::stats::Stats;
use rows::{Layout, PartReader, Row, RowReader, TextReader, Values};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;
use summary::{Known, Most, Summary, Table};
use telling::{Asked, telling};

struct Args {
    common: Common,
    documents: Vec<PathBuf>,
    examples: usize,
    random: usize,
    words: usize,
    chars: usize,
    quantiles: String,
    centroids: Option<PathBuf>,
    diversity: bool,
    add: bool,
    minicorpus: bool,
    cluster_field: usize,
    distance_field: Option<usize>,
    value: Option<PathBuf>,
    value_field: usize,
    value_name: String,
    length_field: Option<usize>,
    length_name: String,
}

impl Default for Args {
    fn default() -> Args {
        Args {
            common: Common::default(),
            documents: Vec::new(),
            examples: 5,
            random: 32,
            words: 10,
            chars: 256,
            quantiles: "0.05,0.25,0.5,0.75,0.95".to_string(),
            centroids: None,
            diversity: false,
            add: false,
            minicorpus: false,
            cluster_field: 1,
            distance_field: None,
            value: None,
            value_field: 1,
            value_name: "value".to_string(),
            length_field: None,
            length_name: "tokens".to_string(),
        }
    }
}

impl Options for Args {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

const FLAGS: &[Flag<Args>] = &[
    Flag::value(
        "documents",
        "FILE",
        "The documents that the rows are of",
        "The texts nearest to the centroids and farthest from them are shown. Given several times, the files are read \
         one after another.",
        |args: &mut Args, value| {
            args.documents.push(value.path()?);
            Ok(())
        },
    )
    .reads(),
    shared::field(),
    shared::template(),
    shared::id_field(),
    Flag::value("examples", "N", "How many texts to show at each end", "", |args: &mut Args, value| {
        args.examples = value.number()?;
        Ok(())
    })
    .default(|args| args.examples.to_string()),
    Flag::value(
        "random",
        "N",
        "How many texts to show of those between",
        "Those whose keys are the smallest: each of the cluster's different documents is as likely as another.",
        |args: &mut Args, value| {
            args.random = value.number()?;
            Ok(())
        },
    )
    .default(|args| args.random.to_string()),
    Flag::value(
        "words",
        "N",
        "How many words to show that tell a cluster from others",
        "They are counted in the texts of --random.",
        |args: &mut Args, value| {
            args.words = value.number()?;
            Ok(())
        },
    )
    .default(|args| args.words.to_string()),
    Flag::value(
        "chars",
        "N",
        "How many characters of a text to show",
        "Unicode code points, from its beginning.",
        |args: &mut Args, value| {
            args.chars = value.number()?;
            Ok(())
        },
    )
    .default(|args| args.chars.to_string()),
    Flag::value(
        "quantiles",
        "Q,Q,...",
        "Which quantiles to show, from 0 to 1",
        "Of the distances, and of the lengths.",
        |args: &mut Args, value| {
            args.quantiles = value.text()?.to_string();
            quantiles(&args.quantiles).map(drop)
        },
    )
    .default(|args| args.quantiles.clone()),
    Flag {
        help: "Each has an object then, with rows or without, and a cluster that is none of them is an error.",
        ..shared::centroids(|args: &mut Args, value| {
            args.centroids = Some(value.path()?);
            Ok(())
        })
    },
    Flag::switch("diversity", "Show the mean cosine distance of a centroid to all others", "", |args: &mut Args, _| {
        args.diversity = true;
        Ok(())
    }),
    Flag::value(
        "value",
        "FILE",
        "A column of numbers to average by cluster",
        "As many rows as there are clusters, such as lm-score(1) writes; `nan` is missing.",
        |args: &mut Args, value| {
            args.value = Some(value.path()?);
            Ok(())
        },
    )
    .reads(),
    Flag::value("value-field", "N", "The field with the number, counted from 1", "", |args: &mut Args, value| {
        args.value_field = value.positive()?;
        Ok(())
    })
    .default(|args| args.value_field.to_string()),
    Flag::value(
        "value-name",
        "NAME",
        "What the numbers are called in the output",
        "With `loss` there is `mean_loss`, by which cluster-share(1) --by loss goes. Letters, digits and `_`.",
        |args: &mut Args, value| {
            args.value_name = name(value.text()?)?;
            Ok(())
        },
    )
    .default(|args| args.value_name.clone()),
    Flag {
        help: "Lengths are shown then, of which there are else only the words of the documents. `nan` is missing.",
        ..shared::length_field(|args: &mut Args, value| {
            args.length_field = Some(value.positive()?);
            Ok(())
        })
    },
    Flag::value(
        "length-name",
        "NAME",
        "What the lengths of --length-field are in",
        "It is part of their names in the output. Letters, digits and `_`.",
        |args: &mut Args, value| {
            args.length_name = name(value.text()?)?;
            match args.length_name.as_str() {
                "examples" | "distance" => Err("there are total_examples and average_distance already".to_string()),
                _ => Ok(()),
            }
        },
    )
    .input()
    .default(|args| args.length_name.clone()),
    Flag {
        help: "The input is the output of cluster-stats over parts of the rows.",
        ..shared::add(|args: &mut Args, _| {
            args.add = true;
            Ok(())
        })
    },
    Flag {
        help: "`minicorpus`: write one object for all clusters, in the layout of its \
         `cluster_info_for_inspection.json`, with an entry for each number from 0 to the largest. --add does not read \
         it.",
        ..shared::compat(|args: &mut Args, value| {
            args.minicorpus = value.choice(&[("minicorpus", true)])?;
            Ok(())
        })
    },
    shared::cluster_field(|args: &mut Args, value| {
        args.cluster_field = value.positive()?;
        Ok(())
    })
    .default(|args| args.cluster_field.to_string()),
    shared::distance_field(|args: &mut Args, value| {
        args.distance_field = Some(value.positive()?);
        Ok(())
    }),
    Flag {
        help: "What a bad document does: end the run with exit 1, or have no text to show; its row counts all the \
         same. A bad row of the column always ends the run.",
        ..shared::on_error()
    },
    Flag {
        help: "Those files are the documents, whose rows the column has then; without --documents, the column. Parts \
         are cut at line ends. Refused for pipes and compressed input.",
        ..shared::shard()
    },
    shared::threads(),
    shared::stats(),
    shared::progress(),
];

const TOOL: Tool<Args> = Tool {
    name: "cluster-stats",
    summary: "clusters of documents to sizes, distances and examples",
    operands: "[FILE]...",
    description: &[
        "Reads a column of clusters from the FILEs or from standard input, as kmeans-assign(1) writes it: the number \
         of a row's cluster, then its distance from the centroid. Prints one JSON object for each cluster, in \
         ascending order. A row whose cluster is `-1` or `nan` has none; a note on stderr says how many these are.",
        "With --documents, the documents are read beside the column, and each object shows the beginnings of those \
         nearest to the centroid and farthest from it, of some at random, how long the documents are, and the words \
         that tell the cluster from the others.",
        "The output is mergeable: --add reads it again and adds up what parts of the rows came to. The sum of parts, \
         in any order and any tree, is what one run over all rows prints, to the byte, where --examples, --random \
         and --chars are the same all along.",
    ],
    sections: &[
        (
            "Output",
            &[
                "`cluster`, `total_examples` (rows), `sum_distance`, `average_distance` (0 without rows), `min` and \
                 `max` (null without rows), `quantiles`; `diversity` with --diversity; with --documents `closest`, \
                 nearest first, and `farthest`, farthest first, of objects with `text`, `distance` and the document's \
                 `key`, and `textless`, the number of rows whose document could not be read; then `histogram`, from \
                 which the quantiles are made.",
                "With --documents, and with --length-field: `total_words`, the words of all documents together, \
                 `average_words`, `quantiles_words`, `histogram_words`; a word is a run of letters, digits and `_`. \
                 Of --length-field the names end in `tokens`, or as --length-name says. Quantiles of lengths are \
                 rounded down, and exact below 128.",
                "With --documents, at the end, `random`, documents with `rows` beside the rest, how many of the \
                 cluster's rows have that key; and `words`, pairs of a word and its weight.",
                "With --value, whose numbers are called NAME: `rows_NAME`, the rows that have one, their sum \
                 `sum_NAME`, and `mean_NAME` (null where there is none). They count as the decimals that they are, as \
                 distances do, so that --add adds them exactly.",
                "Ties among examples go to the smaller key, then to the smaller text. A lone surrogate in a text is \
                 shown as U+FFFD.",
            ],
        ),
        (
            "Sums and quantiles",
            &[
                "Distances count as the decimals that the column has, to 18 places, halves to even: all that \
                 kmeans-assign prints, from 1e-9 on, is exact. Sums are added and printed exactly, so they do not \
                 depend on any order; a sum must stay below 10^20. The average is rounded to 18 places.",
                "Quantile q of n distances is the ceil(q n)-th smallest, at least the first. It is told to within \
                 1/128 of its size: each distance, as a 32-bit float, is counted in the cell of its sign, exponent \
                 and first 6 bits of fraction, and what is shown is the middle of the cell, but not below `min` or \
                 above `max`, which are exact. `histogram` lists cells and counts; the number of a cell is the \
                 float's bits shifted right by 17, negated below 0.",
            ],
        ),
        (
            "Telling words",
            &["A word's weight in a cluster is p ln(1 / f), tf-idf with the cluster in place of a document: p is the \
                 share of the cluster's random texts that have the word, f the share of the corpus, for which those of \
                 all clusters are averaged by their sizes. Lower case; of two characters at least, and in two texts \
                 of the cluster; the last word of a text that was cut does not count."],
        ),
        (
            "Diversity",
            &["The diversity of centroid c is the mean of 1 - cos(c, o) over all other centroids o, in 64-bit \
                 floats, as MiniCorpus has it. It is null where there is only one centroid; a centroid of zeros \
                 counts as at right angles to all. --add keeps the diversity that its input has, or computes it where \
                 --diversity is given."],
        ),
        (
            "Memory",
            &["For each cluster some 400 bytes, 16 for each cell of its histograms that is hit (there are 64 from \
                 one power of two to the next), and its texts: together some 10 kB, and as often the size of a text \
                 as --random and twice --examples say. The different words of the random texts once, for --words. \
                 Rows and documents are streamed."],
        ),
    ],
    flags: FLAGS,
    rules: &[
        Rule::Excludes(
            "add",
            &["documents", "shard", "cluster-field", "distance-field", "value", "length-field"],
            "what is added up are objects of earlier runs, in which rows and documents are no more; give it to those \
             runs",
        ),
        Rule::OnlyWith(&["value-field", "value-name"], &["value"], "there are no numbers without it"),
        Rule::OnlyWith(&["length-name"], &["length-field"], "without it lengths are the words of documents"),
        Rule::Needs(
            "diversity",
            &["centroids"],
            "it is about the distances of centroids, which the column does not have",
        ),
    ],
    examples: &[
        Example {
            about: "Two clusters by a column that is made by hand, and their sizes:",
            command: "awk '{ print NR % 2 \"\\t0.\" NR + 100 }' docs.jsonl > clusters.tsv\n\
                      cluster-stats --documents docs.jsonl clusters.tsv > clusters.jsonl\n\
                      cut -d , -f 1-4 clusters.jsonl",
            output: "{\"cluster\":0,\"total_examples\":200,\"sum_distance\":60.2,\"average_distance\":0.301\n\
                     {\"cluster\":1,\"total_examples\":200,\"sum_distance\":60,\"average_distance\":0.3\n",
        },
        Example {
            about: "The same in two parts:",
            command: "head -n 123 clusters.tsv > a.tsv\nhead -n 123 docs.jsonl > a.jsonl\n\
                      tail -n +124 clusters.tsv > b.tsv\ntail -n +124 docs.jsonl > b.jsonl\n\
                      for i in a b; do cluster-stats --documents $i.jsonl $i.tsv; done | cluster-stats --add | cmp - \
                      clusters.jsonl",
            output: "",
        },
    ],
    see_also: &[
        "kmeans-assign(1)",
        "cluster-split(1)",
        "clip-sample(1)",
        "lm-score(1)",
        "cluster-share(1)",
        "corpus-utils(7)",
    ],
};

fn main() -> ExitCode {
    pipe::start(&TOOL, run)
}

fn name(text: &str) -> Result<String, String> {
    match !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        true => Ok(text.to_string()),
        false => Err("expected letters, digits and _".to_string()),
    }
}

fn quantiles(text: &str) -> Result<Vec<(String, f64)>, String> {
    let quantile = |part: &str| {
        let number: f64 = part.parse().ok().filter(|q| (0.0..=1.0).contains(q))?;
        Some((number.to_string(), number))
    };
    let all: Option<Vec<_>> = text.split(',').map(quantile).collect();
    let all = all.filter(|all| all.is_sorted_by(|a, b| a.1 < b.1));
    all.ok_or_else(|| "expected ascending numbers from 0 to 1, with commas between them".to_string())
}

fn run(args: Args) -> Result<(), Failure> {
    let mut shown = Shown {
        quantiles: quantiles(&args.quantiles).map_err(Failure::usage)?,
        texts: !args.documents.is_empty(),
        value: args.value.as_ref().map(|_| args.value_name.clone()),
        lengths: args.lengths_in(),
    };
    let reader = Reader::new(&args.common)?;
    let model = args.centroids.as_deref().map(|path| Model::open(path, None)).transpose()?;
    let k = model.as_ref().map(|model| model.centroids.k() as u32);
    let table = Table::new(args.most(), k.unwrap_or(0));
    let values = args.value.clone().map(|path| Values::open(path, args.value_field)).transpose()?;
    let mut work = Work { args: &args, known: Known { k }, table, values, missing: 0 };

    let tally = match (args.add, shown.texts) {
        (true, _) => work.add_parts(&mut shown)?,
        (false, true) => work.read_with_documents(reader)?,
        (false, false) => work.read()?,
    };
    let Work { mut table, missing, values, .. } = work;
    values.map_or(Ok(()), Values::end)?;
    if let Some(model) = model.filter(|_| args.diversity) {
        for (cluster, diversity) in diversity::diversities(&model.centroids).into_iter().enumerate() {
            table.cluster(cluster as u32).diversity = Some(diversity);
        }
    }
    if args.minicorpus {
        write_minicorpus(&table)?
    } else {
        let asked = Asked { words: args.words, chars: args.chars };
        write_lines(&table, &shown, asked)?
    }
    if missing > 0 {
        note(&args.common, &format!("{missing} of {} rows have no cluster", tally.rows));
    }
    tally.report(&args.common);
    let stats = Stats::new(&args.common, &tally).with("rows_missing", missing);
    stats.with("clusters", table.clusters.len()).write(&args.common)
}

impl Args {
    fn most(&self) -> Most {
        Most { examples: self.examples, random: self.random }
    }

    /// What lengths are in, where there are any.
    fn lengths_in(&self) -> Option<String> {
        let words = (!self.documents.is_empty()).then(|| "words".to_string());
        self.length_field.map(|_| self.length_name.clone()).or(words)
    }
}

/// What is made of the input.
struct Work<'a> {
    args: &'a Args,
    known: Known,
    table: Table,
    /// Numbers beside the rows.
    values: Option<Values>,
    /// Rows without a cluster.
    missing: u64,
}

impl Work<'_> {
    fn layout(&self) -> Layout {
        let cluster = self.args.cluster_field;
        let distance = self.args.distance_field.unwrap_or(cluster + 1);
        Layout { cluster, distance, length: self.args.length_field, known: self.known }
    }

    /// Reads the column alone.
    fn read(&mut self) -> Result<Tally, Failure> {
        let (args, layout) = (self.args, self.layout());
        let lines = Lines::new(&args.common, Input::open(&args.common)?).strict();
        let (tally, _) = lines.run(
            || RowReader::new(layout),
            |rows| {
                for row in rows {
                    let value = self.values.as_mut().map_or(Ok(None), Values::next)?;
                    match row {
                        Some(row) => self.take(row, value).map_err(|why| of_cluster(row.cluster, &why))?,
                        None => self.missing += 1,
                    }
                }
                Ok(ControlFlow::Continue(()))
            },
        )?;
        Ok(tally)
    }

    /// Reads the column and the documents side by side.
    fn read_with_documents(&mut self, reader: Reader) -> Result<Tally, Failure> {
        let (args, layout) = (self.args, self.layout());
        let mut rows = Rows::open(&args.common.operands)?;
        let documents = Input::of(&args.documents, args.common.shard)?;
        let counted = args.length_field.is_none();
        let (tally, _) = Lines::new(&args.common, documents).run(
            || TextReader::new(reader.clone(), args.chars, counted),
            |texts| {
                for text in texts.iter() {
                    let value = self.values.as_mut().map_or(Ok(None), Values::next)?;
                    let has_cluster = rows.next(|row| {
                        let Some(mut row) = layout.read(row)? else { return Ok(false) };
                        if counted {
                            row.length = text.map(|text| text.words);
                        }
                        self.take(row, value)?;
                        self.table.cluster(row.cluster).show(row.distance, text);
                        Ok(true)
                    })?;
                    self.missing += u64::from(!has_cluster);
                }
                Ok(ControlFlow::Continue(()))
            },
        )?;
        rows.end()?;
        Ok(tally)
    }

    /// Takes a row, and the number beside it.
    fn take(&mut self, row: Row, value: Option<Decimal>) -> Result<(), String> {
        let summary = self.table.cluster(row.cluster);
        summary.add(row.distance)?;
        row.length.map_or(Ok(()), |length| summary.lengths.add(length))?;
        value.map_or(Ok(()), |value| summary.add_value(value))
    }

    /// Adds up what other runs wrote.
    fn add_parts(&mut self, shown: &mut Shown) -> Result<Tally, Failure> {
        let args = self.args;
        let wanted = Wanted { most: args.most(), chars: args.chars, known: self.known };
        let mut alike: Option<Parts> = None;
        let lines = Lines::new(&args.common, Input::open(&args.common)?).strict();
        let (tally, _) = lines.run(
            || PartReader::new(wanted),
            |parts| {
                for (cluster, summary, part) in parts {
                    let first = alike.get_or_insert_with(|| part.clone());
                    if first.texts != part.texts {
                        return Err(Failure::work("some parts were made with --documents and some without"));
                    }
                    if first.value != part.value {
                        return Err(Failure::work("some parts were made with other numbers (--value) than others"));
                    }
                    if first.lengths != part.lengths {
                        return Err(Failure::work(
                            "some parts were made with other lengths (--length-field) than others",
                        ));
                    }
                    self.table.cluster(cluster).merge(summary).map_err(|why| of_cluster(cluster, &why))?;
                }
                Ok(ControlFlow::Continue(()))
            },
        )?;
        let Parts { texts, value, lengths } = alike.unwrap_or_default();
        (shown.texts, shown.value, shown.lengths) = (texts, value, lengths);
        Ok(tally)
    }
}

fn of_cluster(cluster: u32, why: &str) -> Failure {
    Failure::work(format!("cluster {cluster}: {why}"))
}

/// Bytes for one write.
const WRITE: usize = 1 << 20;

/// Writes text as it comes.
fn write_all(texts: impl Iterator<Item = String>) -> Result<(), Failure> {
    let mut output = Output::stdout();
    let mut waiting = String::new();
    for text in texts {
        waiting += &text;
        if waiting.len() > WRITE {
            output.write(waiting.as_bytes())?;
            waiting.clear();
        }
    }
    output.write(waiting.as_bytes())
}

fn write_lines(table: &Table, shown: &Shown, asked: Asked) -> Result<(), Failure> {
    let words = telling(&table.clusters, asked);
    let line = |(&cluster, summary): (&u32, &Summary)| layout::line(cluster, summary, shown, &words[&cluster]);
    write_all(table.clusters.iter().map(line))
}

/// All clusters up to the last, those without rows too.
fn write_minicorpus(table: &Table) -> Result<(), Failure> {
    if let Some((&last, _)) = table.clusters.last_key_value().filter(|(last, _)| **last >= CLUSTERS_MAX) {
        let why = "has an entry for each number up to the last, which must be below 16777216";
        return Err(of_cluster(last, &format!("--compat minicorpus {why}")));
    }
    let empty = Summary::new(Most { examples: 0, random: 0 });
    let count = table.clusters.last_key_value().map_or(0, |(&last, _)| u64::from(last) + 1);
    let entries = (0..count).map(|cluster| {
        let (cluster, between) = (cluster as u32, if cluster == 0 { "{\n" } else { ",\n" });
        between.to_string() + &layout::minicorpus_entry(cluster, table.clusters.get(&cluster).unwrap_or(&empty))
    });
    let end = if count == 0 { "{}\n" } else { "\n}\n" };
    write_all(entries.chain([end.to_string()]))
}

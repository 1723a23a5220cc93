//! `tokens-where`: where the tokens of packed sequences come from in, a column of it out.
//!
//! In: the files that pack-tokens --provenance writes. Out: a line for each document in each sequence, in their order;
//! of one sequence, or of one document, if that is asked for. Memory: a block of records; a sequence is found by
//! bisection in a plain file.

mod table;

use dataset::packing::Span;
use dataset::provenance::Record;
use pipe::column::write_integer;
use pipe::failure::Failure;
use pipe::flags::{Example, Flag, Options, Rule, Tool};
use pipe::input::Bytes;
use pipe::key::{read_key, write_key};
use pipe::lines::Tally;
use pipe::output::Output;
use pipe::progress::Meter;
use pipe::settings::Common;
use pipe::shared;
use pipe::stats::Stats;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use table::Table;

/// Records that are read and written together.
const BLOCK: u64 = 1 << 12;

/// What the command line asks for.
#[derive(Default)]
struct Args {
    common: Common,
    sequence: Option<u64>,
    token: Option<u64>,
    row: Option<u64>,
    key: Option<u64>,
}

impl Options for Args {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

const FLAGS: &[Flag<Args>] = &[
    Flag::value("sequence", "I", "Print what is in sequence I, counted from 0", "", |args: &mut Args, value| {
        args.sequence = Some(value.number()?);
        Ok(())
    }),
    Flag::value(
        "token",
        "N",
        "Print what token N of the sequence comes from",
        "Counted from 0 without the tokens before it (`prev_token_ids`).",
        |args: &mut Args, value| {
            args.token = Some(value.number()?);
            Ok(())
        },
    ),
    Flag::value(
        "row",
        "R",
        "Print where the document in row R is, counted from 0",
        "Through all files that were packed, one after another.",
        |args: &mut Args, value| {
            args.row = Some(value.number()?);
            Ok(())
        },
    ),
    Flag::value(
        "key",
        "KEY",
        "Print where documents with this key are",
        "That of their tokens, in 16 hexadecimal digits.",
        |args: &mut Args, value| {
            let key = read_key(value.text()?.as_bytes()).ok_or("expected 16 hexadecimal digits")?;
            args.key = Some(key);
            Ok(())
        },
    ),
    shared::stats(),
    shared::progress(),
];

const TOOL: Tool<Args> = Tool {
    name: "tokens-where",
    summary: "which documents are in a packed sequence, and which sequences hold a document",
    operands: "[FILE]...",
    description: &[
        "Reads what pack-tokens(1) writes with --provenance, from the FILEs or from standard input, and prints a line \
         for each document in each sequence: `sequence<TAB>row<TAB>begin<TAB>length<TAB>at<TAB>key`. They are its \
         place in the output, the document's row in the input, the place of the first token in the document, how many \
         tokens follow each other there, where the first of them stands in the sequence (below 0 in the tokens before \
         it), and the key of the document's tokens. All are counted from 0.",
        "Several FILEs are those of shards: the sequences of one come after those of the one before, as mds-merge(1) \
         puts datasets together. A row is that of the whole input in any case.",
        "A sequence that is not there is an error; a document that is in none is no line. Files are checked as far as \
         they are read: --sequence reads little of a regular file, everything else reads it to the end.",
    ],
    sections: &[(
        "Rows and keys",
        &["If the tokens are those of jsonl-tokenize(1), the row is the line of the document less one: `sed -n \
             \"$((row + 1))p\" docs.jsonl` prints it, and `jsonl-key docs.jsonl | grep -n KEY` finds the row of a \
             document that is known by the key of its line. The key here is another: XXH3-64 of the tokens, which is \
             the same for documents of equal tokens, wherever they stand."],
    )],
    flags: FLAGS,
    rules: &[
        Rule::AtMostOne(&["sequence", "row", "key"], "each says which lines are printed"),
        Rule::OnlyWith(&["token"], &["sequence"], "a token is counted in its sequence"),
    ],
    examples: &[
        Example {
            about: "Sequences that were packed from three documents, with the two tokens before each:",
            command: "pack-tokens --length 8 --prev 2 --provenance where.npy tokens.npy > rows.npy\n\
                      tokens-where where.npy | cut -f 1-5 | head -n 4",
            output: "0\t0\t0\t10\t-2\n1\t0\t8\t2\t-2\n1\t1\t0\t8\t0\n2\t1\t6\t2\t-2\n",
        },
        Example {
            about: "Which document is token 3 of sequence 1 of, and where is that document?",
            command: "row=$(tokens-where --sequence 1 --token 3 where.npy | cut -f 2); echo $row\n\
                      tokens-where --row $row where.npy | cut -f 1",
            output: "1\n1\n2\n",
        },
        Example {
            about: "How many documents are in a sequence, at the most?",
            command: "tokens-where where.npy | cut -f 1 | uniq -c | sort -n | tail -n 1 | tr -s ' ' | cut -d ' ' -f 2",
            output: "2\n",
        },
    ],
    see_also: &["pack-tokens(1)", "mds-merge(1)", "jsonl-key(1)", "corpus-utils(7)"],
};

fn main() -> ExitCode {
    pipe::start(&TOOL, run)
}

fn run(args: Args) -> Result<(), Failure> {
    let standard = [PathBuf::from("-")];
    let files = if args.common.operands.is_empty() { &standard[..] } else { &args.common.operands };
    let sizes = files.iter().map(|file| Bytes::check(file)).collect::<Result<Vec<_>, _>>()?;
    let (output, meter) = (Output::stdout(), Meter::new(&args.common, sizes.iter().copied().sum()));
    let mut search = Search { args: &args, output, meter, tally: Tally::default(), sequences: 0, printed: 0 };
    files.iter().try_for_each(|file| search.read(file))?;
    search.finish()
}

impl Args {
    /// Whether a line is printed for a record.
    fn wants(&self, record: &Record) -> bool {
        let Span { document, key, length, at, .. } = record.span;
        let token_is = |token| (i128::from(at)..i128::from(at) + i128::from(length)).contains(&i128::from(token));
        self.sequence.is_none_or(|sequence| sequence == record.sequence)
            && self.token.is_none_or(token_is)
            && self.row.is_none_or(|row| row == document)
            && self.key.is_none_or(|wanted| wanted == key)
    }
}

/// What is read, and what is printed of it.
struct Search<'a> {
    args: &'a Args,
    output: Output,
    meter: Meter,
    tally: Tally,
    /// Sequences of the tables that were read.
    sequences: u64,
    /// Lines.
    printed: u64,
}

impl Search<'_> {
    /// All tables of a file. Of a table before or behind the sequence that is wanted, only the end is looked at where
    /// that can be.
    fn read(&mut self, file: &Path) -> Result<(), Failure> {
        let mut table = Table::open(file)?;
        while table.next()? {
            if let Some(sequence) = self.args.sequence {
                table.go_to(sequence.checked_sub(self.sequences).unwrap_or(u64::MAX))?;
            }
            self.read_table(&mut table)?;
            self.sequences += table.sequences();
        }
        self.tally.bytes += table.bytes_read;
        Ok(())
    }

    fn read_table(&mut self, table: &mut Table) -> Result<(), Failure> {
        let (mut records, mut rows) = (Vec::new(), Vec::new());
        while table.read(BLOCK, &mut records)? {
            records.iter_mut().for_each(|record| record.sequence += self.sequences);
            rows.clear();
            for record in records.iter().filter(|record| self.args.wants(record)) {
                append(record, &mut rows);
                self.printed += 1;
            }
            self.output.write(&rows)?;
            self.tally.rows += records.len() as u64;
            self.meter.show(self.tally.bytes + table.bytes_read, self.tally.rows);
            if self.args.sequence.is_some_and(|wanted| records.last().is_some_and(|last| last.sequence > wanted)) {
                table.go_to(u64::MAX)?;
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(), Failure> {
        self.meter.end();
        self.output.finish()?;
        let (args, there) = (self.args, self.sequences);
        if let Some(sequence) = args.sequence.filter(|&sequence| sequence >= there) {
            return Err(Failure::work(format!("--sequence {sequence}: expected one of {there}, from 0")));
        }
        if let Some(token) = args.token.filter(|_| self.printed == 0) {
            return Err(Failure::work(format!("--token {token}: the sequence has no such token, or it is padding")));
        }
        Stats::new(&args.common, &self.tally).with("sequences", there).write(&args.common)
    }
}

/// Appends the line of a record.
fn append(record: &Record, rows: &mut Vec<u8>) {
    let Span { document, key, begin, length, at } = record.span;
    for number in [record.sequence, document, begin.into(), length.into()] {
        write_integer(number, rows);
        rows.push(b'\t');
    }
    rows.extend(format!("{at}\t").bytes());
    write_key(key, rows);
    rows.push(b'\n');
}

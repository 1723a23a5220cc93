//! Documents that come as tokens without lines: arrays and streams of tokens, and Mosaic datasets.

use dataset::corpus::part;
use dataset::mds::{Loaded, Shard, shards};
use dataset::{PREV, TOKENS};
use pipe::failure::{Failure, name};
use pipe::input::Bytes;
use pipe::settings::{self, Common};
use pipe::tokens::TokenReader;
use std::collections::VecDeque;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Tokens that a thread scores at a time, about: few enough that threads end together.
const BATCH: usize = 2048;

/// A document. Without tokens it stands for a missing row.
pub struct Sequence {
    /// What messages call it.
    pub place: String,
    /// Its tokens.
    pub ids: Vec<u32>,
    /// Those before them.
    pub context: Vec<u32>,
}

/// Where documents come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Arrays and streams of tokens.
    Arrays,
    /// Folders of Mosaic datasets.
    Folders,
}

/// The documents of some files or folders, in order.
pub struct Sequences {
    kind: Kind,
    shard: Option<settings::Shard>,
    places: VecDeque<PathBuf>,
    open: Option<Box<dyn Opened>>,
    /// So many documents are passed over.
    skip: u64,
}

/// A file or folder that is read.
trait Opened: Send {
    /// The next document.
    fn next(&mut self) -> Result<Option<Sequence>, Failure>;
}

impl Sequences {
    /// Those of the operands; of standard input where there are none.
    ///
    /// # Errors
    /// A file that is not there, or of which no shard can be taken; no folder.
    pub fn open(kind: Kind, common: &Common) -> Result<Sequences, Failure> {
        let mut places = VecDeque::from(common.operands.clone());
        match kind {
            Kind::Folders if places.is_empty() => return Err(Failure::usage("--input mds: name the folders")),
            Kind::Folders => places.iter().try_for_each(|folder| shards(folder).map(drop))?,
            Kind::Arrays if places.is_empty() => places.push_back(PathBuf::from("-")),
            Kind::Arrays => {}
        }
        for file in places.iter().filter(|_| kind == Kind::Arrays) {
            Bytes::check_for(file, common.shard)?;
        }
        Ok(Sequences { kind, shard: common.shard, places, open: None, skip: 0 })
    }

    /// Passes over so many documents, from the first on.
    pub fn pass_over(&mut self, documents: u64) {
        self.skip = documents;
    }

    /// Some documents, about as many as go through the model together.
    pub fn batch(&mut self) -> Option<Result<Vec<Sequence>, Failure>> {
        let (mut batch, mut tokens) = (Vec::new(), 0);
        while tokens < BATCH {
            match self.next() {
                Ok(None) => break,
                Err(why) => return Some(Err(why)),
                // A document without tokens takes its time, too.
                Ok(Some(sequence)) => {
                    tokens += 1 + sequence.ids.len() + sequence.context.len();
                    batch.push(sequence);
                }
            }
        }
        (!batch.is_empty()).then_some(Ok(batch))
    }

    fn next(&mut self) -> Result<Option<Sequence>, Failure> {
        loop {
            let open = match &mut self.open {
                Some(open) => open,
                None => match self.places.pop_front() {
                    Some(place) => self.open.insert(begin(self.kind, &place, self.shard)?),
                    None => return Ok(None),
                },
            };
            match open.next()? {
                None => self.open = None,
                Some(_) if self.skip > 0 => self.skip -= 1,
                Some(sequence) => return Ok(Some(sequence)),
            }
        }
    }
}

fn begin(kind: Kind, place: &Path, shard: Option<settings::Shard>) -> Result<Box<dyn Opened>, Failure> {
    let range = |count: u64| shard.map_or(0..u64::MAX, |shard| part(count, shard));
    if kind == Kind::Folders {
        let shards = shards(place)?;
        let range = range(shards.iter().map(|shard| shard.samples).sum());
        let next = range.start;
        return Ok(Box::new(Folder { folder: place.to_path_buf(), shards: shards.into(), range, next, loaded: None }));
    }
    let reader = match shard {
        Some(_) => TokenReader::open_range(place, range(TokenReader::count(place)?))?,
        None => TokenReader::open(place)?,
    };
    Ok(Box::new(Array { name: name(place), reader }))
}

/// A file of tokens.
struct Array {
    name: String,
    reader: TokenReader,
}

impl Opened for Array {
    fn next(&mut self) -> Result<Option<Sequence>, Failure> {
        let mut ids = Vec::new();
        let there = self.reader.next(&mut ids)?;
        let place = format!("{}: document {}", self.name, self.reader.number());
        Ok(there.then_some(Sequence { place, ids, context: Vec::new() }))
    }
}

/// A Mosaic dataset.
struct Folder {
    folder: PathBuf,
    /// Those that are not behind.
    shards: VecDeque<Shard>,
    /// The samples that are wanted, and the next of them, from the first of those shards on.
    range: Range<u64>,
    next: u64,
    /// The first of those shards.
    loaded: Option<Loaded>,
}

impl Opened for Folder {
    fn next(&mut self) -> Result<Option<Sequence>, Failure> {
        while let Some(shard) = self.shards.front() {
            if self.next >= self.range.end {
                break;
            }
            if self.next >= shard.samples {
                self.next -= shard.samples;
                self.range.end = self.range.end.saturating_sub(shard.samples);
                self.loaded = None;
                self.shards.pop_front();
                continue;
            }
            let path = self.folder.join(&shard.file().name);
            let loaded = match &mut self.loaded {
                Some(loaded) => loaded,
                None => self.loaded.insert(shard.load(&self.folder)?),
            };
            let place = format!("{}: sample {}", path.display(), self.next);
            self.next += 1;
            let sequence = read(loaded, self.next as usize - 1, place.clone());
            return sequence.map(Some).map_err(|why| Failure::work(format!("{place}: {why}")));
        }
        Ok(None)
    }
}

/// A sample, of which other columns are left aside.
fn read(shard: &Loaded, sample: usize, place: String) -> Result<Sequence, String> {
    let mut sequence = Sequence { place, ids: Vec::new(), context: Vec::new() };
    let mut has_tokens = false;
    for column in shard.sample(sample)? {
        match column.name {
            TOKENS => {
                has_tokens = true;
                column.read_ids(&mut sequence.ids)?;
            }
            PREV => column.read_ids(&mut sequence.context)?,
            _ => {}
        }
    }
    if has_tokens { Ok(sequence) } else { Err(format!("expected a column {TOKENS}")) }
}

//! Shards on their way to the disk, on threads beside the one that fills them.
//!
//! A shard begins with the places of its samples, which are known when it is full. A plain one does not wait for that:
//! it is written in pieces, behind the room that its head takes if all samples are as large as the first, which is the
//! rule; where they are not, and in the last shard, they are moved in the file at the end. So what is written is in the
//! processor's cache, and memory does not depend on the size limit. What is to be compressed, summed up, or compared is
//! held whole.
//!
//! Memory: some pieces; of shards that are held whole, the size limit up to three times for each thread, and once more.

use super::Settings;
use pipe::failure::Failure;
use pipe::output::Output;
use serde_json::{Map, Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender};

/// A piece of a shard, or all of it.
pub struct Job {
    pub number: usize,
    /// Where in the file samples begin, as far as that is known when the first come.
    pub start: u64,
    pub samples: Vec<u8>,
    /// What completes it.
    pub head: Option<Head>,
}

/// What stands before the samples of a shard.
pub struct Head {
    pub bytes: Vec<u8>,
    /// Samples of the shard.
    pub count: usize,
}

/// A shard that is finished.
pub struct Done {
    pub number: usize,
    /// What the index says of it.
    pub shard: Result<Map<String, Value>, Failure>,
    /// The file, where it was not there before.
    pub written: Option<PathBuf>,
}

/// Of a shard of an earlier run: the number of its samples, the last of them, and what the index says of it.
pub type Kept = (u64, Vec<u8>, Map<String, Value>);

/// Finishes shards on a thread.
pub struct Finisher {
    folder: PathBuf,
    settings: Settings,
    config: Map<String, Value>,
    begun: Option<Begun>,
}

/// A shard of which pieces are written.
struct Begun {
    output: Output,
    /// Where its samples begin and end.
    start: u64,
    end: u64,
}

impl Finisher {
    /// One for the shards of this folder.
    pub fn new(folder: &Path, settings: &Settings) -> Finisher {
        Finisher { folder: folder.to_path_buf(), settings: settings.clone(), config: settings.config(), begun: None }
    }

    /// Does jobs until there are none, or one fails.
    pub fn work(mut self, jobs: &Mutex<Receiver<Job>>, done: &Sender<Done>, spent: &Sender<Vec<u8>>) {
        loop {
            let job = jobs.lock().map(|jobs| jobs.recv());
            let Ok(Ok(job)) = job else { return };
            let number = job.number;
            let path = self.path(number);
            let there = self.settings.storage.resume && path.exists();
            let shard = if self.settings.holds() { self.whole(&job, &path, there) } else { self.piece(&job, &path) };
            let failed = shard.is_err();
            let written = (!there && !failed).then_some(path);
            if let Some(shard) = shard.transpose() {
                // Nobody listens any more where another thread has failed.
                let _ = done.send(Done { number, shard, written });
            }
            let _ = spent.send(job.samples);
            if failed {
                return;
            }
        }
    }

    fn path(&self, number: usize) -> PathBuf {
        let packed = if self.settings.storage.compression.is_some() { ".zstd" } else { "" };
        self.folder.join(format!("shard.{number:05}.mds{packed}"))
    }

    /// Writes a piece of a shard; with the last one, gives what the index says of it.
    fn piece(&mut self, job: &Job, path: &Path) -> Result<Option<Map<String, Value>>, Failure> {
        let mut begun = match self.begun.take() {
            Some(begun) => begun,
            None => Begun { output: Output::create(path)?, start: job.start, end: job.start },
        };
        begun.output.rewrite(begun.end, &job.samples)?;
        begun.end += job.samples.len() as u64;
        let Some(head) = &job.head else {
            self.begun = Some(begun);
            return Ok(None);
        };
        let size = begun.complete(&head.bytes)?;
        Ok(Some(self.entry(job.number, head.count, size, &[], None)))
    }

    /// Writes a shard, or compares it with the one that is there; gives what the index says of it.
    fn whole(&self, job: &Job, path: &Path, there: bool) -> Result<Option<Map<String, Value>>, Failure> {
        let head = job.head.as_ref().expect("a shard that is held comes whole");
        let whole = [&head.bytes[..], &job.samples].concat();
        let packed = match self.settings.storage.compression {
            _ if there => Some(self.same(path, &whole)?),
            Some(level) => Some(zstd::bulk::compress(&whole, level).map_err(|why| Failure::file(path, why))?),
            None => None,
        };
        if !there {
            let mut output = Output::create(path)?;
            output.write(packed.as_ref().unwrap_or(&whole))?;
            output.finish()?;
        }
        let packed = packed.filter(|_| self.settings.storage.compression.is_some());
        Ok(Some(self.entry(job.number, head.count, whole.len() as u64, &whole, packed.as_deref())))
    }

    /// Makes sure that a shard of an earlier run is the same; gives the bytes of its file.
    fn same(&self, path: &Path, whole: &[u8]) -> Result<Vec<u8>, Failure> {
        let found = fs::read(path).map_err(|why| Failure::file(path, why))?;
        let same = match self.settings.storage.compression {
            Some(_) => zstd::bulk::decompress(&found, whole.len()).is_ok_and(|found| found == whole),
            None => found == whole,
        };
        let why = "is not what this run writes: expected the same tokens and flags as before";
        if same { Ok(found) } else { Err(Failure::file(path, why)) }
    }

    /// What is known of a shard that is there; `None`: it is not.
    pub fn kept(&self, number: usize, config: &[u8]) -> Result<Option<Kept>, Failure> {
        let path = self.path(number);
        if !path.exists() {
            return Ok(None);
        }
        let found = fs::read(&path).map_err(|why| Failure::file(&path, why))?;
        let whole = match self.settings.storage.compression {
            Some(_) => zstd::stream::decode_all(&found[..]).map_err(|why| Failure::file(&path, why))?,
            None => found.clone(),
        };
        let packed = self.settings.storage.compression.is_some().then_some(&found[..]);
        let kept = last_sample(&whole, config).map(|(count, last)| {
            (count as u64, last.to_vec(), self.entry(number, count, whole.len() as u64, &whole, packed))
        });
        let why = "is not a shard of this run: expected the same flags as before";
        kept.map(Some).ok_or_else(|| Failure::file(&path, why))
    }

    /// What the index says of a shard of this size. Its bytes are for the sums.
    fn entry(&self, number: usize, count: usize, size: u64, whole: &[u8], packed: Option<&[u8]>) -> Map<String, Value> {
        let about = |name: String, size: u64, bytes: &[u8]| {
            let hashes = self.settings.storage.hashes.iter();
            let sums = hashes.map(|hash| (hash.name().to_string(), hash.sum(bytes).into()));
            json!({ "basename": name, "bytes": size, "hashes": sums.collect::<Map<_, _>>() })
        };
        let name = format!("shard.{number:05}.mds");
        let zip = packed.map(|packed| about(format!("{name}.zstd"), packed.len() as u64, packed));
        let mut entry = self.config.clone();
        entry.insert("samples".into(), count.into());
        entry.insert("raw_data".into(), about(name, size, whole));
        entry.insert("zip_data".into(), zip.unwrap_or(Value::Null));
        entry
    }
}

/// The number of samples of a shard, and the last of them; `None`: it has another configuration, or is not whole.
fn last_sample<'a>(whole: &'a [u8], config: &[u8]) -> Option<(usize, &'a [u8])> {
    let number = |at: usize| Some(u32::from_le_bytes(*whole.get(at..)?.first_chunk()?) as usize);
    let count = number(0).filter(|&count| count > 0)?;
    let (start, end) = (number(4 * count)?, number(4 + 4 * count)?);
    let has_config = whole.get(8 + 4 * count..)?.starts_with(config);
    (has_config && end == whole.len()).then_some((count, whole.get(start..end)?))
}

impl Begun {
    /// Puts the head in front, and makes the file appear; gives its size.
    fn complete(mut self, head: &[u8]) -> Result<u64, Failure> {
        let (start, length) = (head.len() as u64, self.end - self.start);
        if start != self.start {
            self.output.shift(self.start, start, length)?;
            self.output.truncate(start + length)?;
        }
        self.output.rewrite(0, head)?;
        self.output.finish()?;
        Ok(start + length)
    }
}

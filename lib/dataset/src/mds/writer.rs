//! Samples to the shards of a dataset.
//!
//! A [thread](super::shard) takes what is full while the next is filled. The bytes do not depend on how many threads
//! there are.

use super::shard::{Done, Finisher, Head, Job};
use super::{INDEX, Settings, is_shard, names, python_json, write_index};
use pipe::crew::start;
use pipe::failure::{Failure, reason};
use pipe::note;
use pipe::settings::Common;
use serde_json::Value;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;

/// Bytes of a shard that are handed over together: few enough to be still in the processor's cache when they are
/// written.
const PIECE: usize = 512 << 10;

/// Pieces that wait to be written.
const QUEUE: usize = 4;

/// Writes a dataset into a folder.
pub struct MdsWriter {
    folder: PathBuf,
    /// Held until the index is written.
    _lock: File,
    settings: Settings,
    config_text: Vec<u8>,
    names: Vec<&'static str>,
    /// Where the samples of the shard end, from the first of them.
    ends: Vec<u64>,
    /// Bytes of its samples that are handed over already.
    sent: u64,
    /// Those that are not.
    samples: Vec<u8>,
    /// So many bytes are a piece.
    piece: usize,
    shards: usize,
    /// What the index says of shards of an earlier run.
    kept: Vec<Value>,
    /// The last sample of those, which comes again.
    again: Option<Vec<u8>>,
    jobs: Option<SyncSender<Job>>,
    done: Receiver<Done>,
    threads: Vec<thread::JoinHandle<()>>,
    spent: Receiver<Vec<u8>>,
}

/// Makes the folder, and keeps other runs out of it as long as the handle lives. What is there already must be nothing,
/// or with `resume` what an earlier run left.
///
/// # Errors
/// The folder cannot be made, holds something else, or another run writes there.
pub fn claim(folder: &Path, resume: bool, common: &Common) -> Result<File, Failure> {
    let failed = |why: io::Error| Failure::file(folder, why);
    fs::create_dir_all(folder).map_err(failed)?;
    let lock = File::open(folder).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(Failure::file(folder, "another run writes there: expected a new folder"));
        }
        // Some network file systems have no locks for folders.
        Err(TryLockError::Error(why)) => {
            let why = reason(why);
            note(common, &format!("{}: cannot be locked ({why}): no other run may write there", folder.display()));
        }
    }
    check_contents(folder, resume)?;
    Ok(lock)
}

fn check_contents(folder: &Path, resume: bool) -> Result<(), Failure> {
    let (mut finished, mut begun) = (false, false);
    for name in names(folder)? {
        let half_written =
            [".shard.", ".index.json."].iter().any(|start| name.starts_with(start)) && name.ends_with(".tmp");
        if half_written && resume {
            fs::remove_file(folder.join(&name)).map_err(|why| Failure::file(&folder.join(&name), why))?;
        }
        finished |= name == INDEX;
        begun |= half_written || is_shard(&name);
        if !half_written && !is_shard(&name) && name != INDEX {
            let why = format!("holds {name}, which is no part of a dataset: expected a new folder");
            return Err(Failure::file(folder, why));
        }
    }
    match (resume, finished, begun) {
        (false, true, _) => Err(Failure::file(folder, "holds a dataset already: expected a new folder")),
        (false, _, true) => {
            Err(Failure::file(folder, "holds shards of a run that did not finish: --resume finishes it"))
        }
        _ => Ok(()),
    }
}

impl MdsWriter {
    /// Starts a dataset in a folder that is [claimed](claim).
    ///
    /// # Errors
    /// The system does not give as many threads.
    pub fn new(folder: &Path, lock: File, settings: Settings) -> Result<MdsWriter, Failure> {
        let mut text = String::new();
        python_json(&Value::Object(settings.config()), &mut text);
        let (jobs, waiting) = sync_channel(if settings.holds() { 0 } else { QUEUE });
        let (finished, done) = channel();
        let (unused, spent) = channel();
        let waiting = Arc::new(Mutex::new(waiting));
        // Writing alone is not faster with more than one.
        let alone = settings.storage.compression.is_none() && settings.storage.hashes.is_empty();
        let count = if alone { 1 } else { settings.threads };
        let threads = (0..count).map(|_| {
            let finisher = Finisher::new(folder, &settings);
            let (waiting, finished, unused) = (waiting.clone(), finished.clone(), unused.clone());
            start(count, move || finisher.work(&waiting, &finished, &unused))
        });
        Ok(MdsWriter {
            folder: folder.to_path_buf(),
            _lock: lock,
            names: settings.columns.iter().map(|column| column.0).collect(),
            threads: threads.collect::<Result<_, _>>()?,
            piece: if settings.holds() { usize::MAX } else { PIECE },
            settings,
            config_text: text.into_bytes(),
            ends: Vec::new(),
            sent: 0,
            samples: Vec::new(),
            shards: 0,
            kept: Vec::new(),
            again: None,
            jobs: Some(jobs),
            done,
            spent,
        })
    }

    /// Keeps the shards that an earlier run has finished, before anything is written. Gives the number of samples that
    /// need not come again: all of theirs but the last, which is compared with the first that comes.
    ///
    /// # Errors
    /// A shard cannot be read, or is of another dataset.
    pub fn keep(&mut self) -> Result<u64, Failure> {
        let finisher = Finisher::new(&self.folder, &self.settings);
        let mut samples = 0;
        while let Some((count, last, entry)) = finisher.kept(self.shards, &self.config_text)? {
            samples += count;
            self.shards += 1;
            self.kept.push(Value::Object(entry));
            self.again = Some(last);
        }
        // What this run adds is worth keeping, too, where it fails.
        self.settings.storage.resume = false;
        Ok(if self.again.is_some() { samples - 1 } else { 0 })
    }

    /// Bytes of the shard so far.
    fn size(&self) -> u64 {
        self.head_size(self.ends.len() as u64) + self.sent + self.samples.len() as u64
    }

    /// Bytes before the samples, for so many.
    fn head_size(&self, count: u64) -> u64 {
        8 + 4 * count + self.config_text.len() as u64
    }

    /// Where the samples of the shard begin, if all are as large as the first.
    fn start(&self) -> u64 {
        let room = self.settings.storage.size_limit.saturating_sub(self.head_size(0));
        self.head_size((room / (4 + self.ends[0])).max(1))
    }

    /// Completes a shard of the first `count` samples.
    fn close(&mut self, count: usize) -> Result<(), Failure> {
        let end = self.ends[count - 1];
        let size = self.head_size(count as u64);
        let mut bytes = (count as u32).to_le_bytes().to_vec();
        let places = std::iter::once(0).chain(self.ends.drain(..count));
        bytes.extend(places.flat_map(|place| ((size + place) as u32).to_le_bytes()));
        bytes.extend_from_slice(&self.config_text);
        self.hand_over((end - self.sent) as usize, size, Some(Head { bytes, count }))?;
        self.ends.iter_mut().for_each(|place| *place -= end);
        self.sent = 0;
        self.shards += 1;
        Ok(())
    }

    /// Hands so many bytes of samples over. Of a shard of which none were before, samples begin at `start`.
    fn hand_over(&mut self, bytes: usize, start: u64, head: Option<Head>) -> Result<(), Failure> {
        let rest = self.samples.split_off(bytes);
        let samples = std::mem::take(&mut self.samples);
        let job = Job { number: self.shards, start, samples, head };
        if self.jobs.as_ref().is_none_or(|jobs| jobs.send(job).is_err()) {
            // A thread that failed is gone, and has said why.
            return Err(self.collect().err().unwrap_or(Failure::work("a thread panicked")));
        }
        self.sent += bytes as u64;
        // Who took this one has given the one before back.
        self.samples = self.spent.try_recv().unwrap_or_default();
        self.samples.clear();
        self.samples.extend_from_slice(&rest);
        Ok(())
    }

    /// Waits for all shards; gives what the index says of them.
    fn collect(&mut self) -> Result<Vec<Value>, Failure> {
        self.jobs = None;
        let panicked = self.threads.drain(..).map(|thread| thread.join().is_err()).fold(false, |any, one| any | one);
        let mut done: Vec<_> = self.done.try_iter().collect();
        done.sort_by_key(|done| done.number);
        let failed = panicked || done.iter().any(|done| done.shard.is_err());
        // A run that is not the one to be resumed leaves nothing of its own.
        if failed && self.settings.storage.resume {
            done.iter().filter_map(|done| done.written.as_ref()).for_each(|path| drop(fs::remove_file(path)));
        }
        let shards: Vec<_> = done.into_iter().map(|done| done.shard.map(Value::Object)).collect::<Result<_, _>>()?;
        match panicked {
            true => Err(Failure::work("a thread panicked")),
            false => Ok(self.kept.drain(..).chain(shards).collect()),
        }
    }

    /// Takes the next sample: `append` puts the value of each column, which it is told the name of, behind what is
    /// there.
    ///
    /// # Errors
    /// A shard cannot be written, or the sample is larger than one can be.
    pub fn write(&mut self, append: impl Fn(&str, &mut Vec<u8>)) -> Result<(), Failure> {
        let start = self.samples.len();
        let names = std::mem::take(&mut self.names);
        self.samples.resize(start + 4 * names.len(), 0);
        for (place, name) in names.iter().enumerate() {
            let before = self.samples.len();
            append(name, &mut self.samples);
            let size = ((self.samples.len() - before) as u32).to_le_bytes();
            self.samples[start + 4 * place..][..4].copy_from_slice(&size);
        }
        self.names = names;
        if let Some(expected) = self.again.take() {
            if self.samples[start..] != expected {
                let why = "the last sample is not what this run writes: expected the same input and flags as before";
                return Err(Failure::file(&self.folder, why));
            }
            self.samples.truncate(start);
            return Ok(());
        }
        self.ends.push(self.sent + self.samples.len() as u64);
        if self.size() > self.settings.storage.size_limit && self.ends.len() > 1 {
            self.close(self.ends.len() - 1)?;
        }
        if self.size() > u64::from(u32::MAX) {
            return Err(Failure::work("a sample of more than 4 GiB does not fit into a shard"));
        }
        if self.samples.len() >= self.piece { self.hand_over(self.samples.len(), self.start(), None) } else { Ok(()) }
    }

    /// Writes what is left, and the index.
    ///
    /// # Errors
    /// It cannot be written, or a shard is there that is not of this run.
    pub fn finish(mut self) -> Result<(), Failure> {
        if !self.ends.is_empty() {
            self.close(self.ends.len())?;
        }
        let shards = self.collect()?;
        for name in names(&self.folder)? {
            let number = name.strip_prefix("shard.").and_then(|rest| rest.split('.').next()?.parse::<usize>().ok());
            if is_shard(&name) && number.is_none_or(|number| number >= self.shards) {
                let why = "is not of this run: expected no shard behind the last one";
                return Err(Failure::file(&self.folder.join(name), why));
            }
        }
        write_index(&self.folder, shards)
    }
}

impl Drop for MdsWriter {
    /// A run that failed does not end before its threads took away what they had begun.
    fn drop(&mut self) {
        self.jobs = None;
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

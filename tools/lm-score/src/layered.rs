//! A model of which one block is in memory at a time: many documents go past a block before the next is read.

use crate::rows::Draft;
use crate::scoring::{Scores, Waiting};
use compute::decoder::{Decoder, Predictions};
use compute::encoder::Scratch;
use model::causal::Blocks;
use pipe::crew::all_at_once;
use pipe::failure::Failure;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Tokens that go past the blocks together, about.
const TOKENS: usize = 16 << 10;

/// Tokens that a thread takes at a time.
const GROUP: usize = 512;

/// The model, and documents that wait for it.
pub struct Layered {
    decoder: Decoder,
    blocks: Blocks,
    top: usize,
    scratches: Vec<Mutex<Scratch>>,
    drafts: Vec<Draft>,
    tokens: usize,
}

/// Windows that one thread takes past a block.
struct Group<'a> {
    windows: Waiting<'a>,
    /// Whose they are.
    owner: usize,
    stream: Vec<f32>,
    found: Found,
}

/// What the model says of windows.
#[derive(Default)]
struct Found {
    scores: Vec<f64>,
    tokens: Vec<u32>,
    probabilities: Vec<f32>,
}

impl Layered {
    /// A model without blocks and the blocks, which are read one at a time; `top` likeliest tokens are told.
    pub fn new(decoder: Decoder, blocks: Blocks, top: usize, threads: usize) -> Layered {
        let scratches = (0..threads).map(|_| Mutex::default()).collect();
        Layered { decoder, blocks, top, scratches, drafts: Vec::new(), tokens: 0 }
    }

    /// Takes documents; gives those that waited, with their scores, once they are enough.
    ///
    /// # Errors
    /// A block that cannot be read.
    pub fn add(&mut self, draft: Draft) -> Result<Vec<Draft>, Failure> {
        self.tokens += draft.scores.waiting().ids.len() + draft.alone.waiting().ids.len();
        self.drafts.push(draft);
        if self.tokens >= TOKENS { self.finish() } else { Ok(Vec::new()) }
    }

    /// Gives what waits, with its scores.
    ///
    /// # Errors
    /// A block that cannot be read.
    pub fn finish(&mut self) -> Result<Vec<Draft>, Failure> {
        let mut drafts = std::mem::take(&mut self.drafts);
        self.tokens = 0;
        let mut all: Vec<&mut Scores> = Vec::new();
        drafts.iter_mut().for_each(|draft| all.extend([&mut draft.scores, &mut draft.alone]));
        let waiting: Vec<Waiting> = all.iter().map(|scores| scores.waiting()).collect();
        let found = self.predict(&waiting)?;
        for (scores, Found { scores: numbers, tokens, probabilities }) in all.iter_mut().zip(&found) {
            scores.spread(&Predictions { scores: numbers, tokens, probabilities }, self.top);
        }
        Ok(drafts)
    }

    fn predict(&mut self, waiting: &[Waiting]) -> Result<Vec<Found>, Failure> {
        let groups: Vec<_> = waiting.iter().enumerate().flat_map(|(owner, waiting)| groups(owner, *waiting)).collect();
        let top = self.top;
        if !groups.is_empty() {
            self.each(&groups, |decoder, group, scratch| {
                let Waiting { ids, lengths, .. } = group.windows;
                group.stream = decoder.stream_of_tokens(ids, lengths, scratch).to_vec();
            });
            for number in 0..self.blocks.count() {
                let block = self.blocks.read(number).map_err(Failure::work)?;
                self.decoder.replace_blocks(Some(&block));
                drop(block);
                self.each(&groups, |decoder, group, scratch| {
                    let behind = decoder.stream_past(&group.stream, group.windows.lengths, scratch);
                    group.stream.copy_from_slice(behind);
                });
                self.decoder.replace_blocks(None);
            }
            self.each(&groups, |decoder, group, scratch| {
                let Waiting { lengths, next, .. } = group.windows;
                let Predictions { scores, tokens, probabilities } =
                    decoder.predict_from(&group.stream, lengths, next, top, scratch);
                let (scores, tokens) = (scores.to_vec(), tokens.to_vec());
                group.found = Found { scores, tokens, probabilities: probabilities.to_vec() };
            });
        }
        let mut all: Vec<Found> = waiting.iter().map(|_| Found::default()).collect();
        for group in groups {
            let Group { owner, found, .. } = group.into_inner().expect("nobody panicked");
            all[owner].scores.extend(found.scores);
            all[owner].tokens.extend(found.tokens);
            all[owner].probabilities.extend(found.probabilities);
        }
        Ok(all)
    }

    /// Does some work on each group, on all threads.
    fn each(&self, groups: &[Mutex<Group>], work: impl Fn(&Decoder, &mut Group, &mut Scratch) + Sync) {
        let next = AtomicUsize::new(0);
        all_at_once(0..self.scratches.len(), |thread| {
            let mut scratch = self.scratches[thread].lock().expect("nobody panicked");
            while let Some(group) = groups.get(next.fetch_add(1, Ordering::Relaxed)) {
                work(&self.decoder, &mut group.lock().expect("nobody panicked"), &mut scratch);
            }
        });
    }
}

/// Whole windows, some at a time.
fn groups(owner: usize, waiting: Waiting) -> Vec<Mutex<Group>> {
    let Waiting { mut ids, mut lengths, mut next } = waiting;
    let mut groups = Vec::new();
    while !lengths.is_empty() {
        let (mut count, mut tokens) = (1, lengths[0]);
        while count < lengths.len() && tokens + lengths[count] <= GROUP {
            tokens += lengths[count];
            count += 1;
        }
        let windows = Waiting { ids: &ids[..tokens], lengths: &lengths[..count], next: &next[..tokens] };
        (ids, lengths, next) = (&ids[tokens..], &lengths[count..], &next[tokens..]);
        groups.push(Mutex::new(Group { windows, owner, stream: Vec::new(), found: Found::default() }));
    }
    groups
}

//! The Unigram language model: of all ways to write a text as pieces, the one with the largest sum of scores.
//!
//! Pieces are tried in the order of where they begin, then of their length, and a later way counts only where it is
//! better: so both reference implementations break ties. They differ in their arithmetic, which decides near ties in
//! long texts: `tokenizers` adds up in f64, a word at a time; SentencePiece (0.2.3) over the whole text, in f32,
//! beginning at zero again where a sum is beyond [`SUM_MAX`].

use super::trie::Trie;

/// Larger sums begin anew, in f32.
const SUM_MAX: f64 = 100_000.0;

/// How the sums are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sums {
    /// As f64.
    F64,
    /// As f32.
    F32,
}

/// The pieces with their scores.
pub struct Unigram {
    trie: Trie,
    /// Score of each id.
    scores: Vec<f64>,
    /// Ids whose score is a tenth for each byte but the first: they win.
    favoured: Vec<bool>,
    unknown_score: f64,
    unknown: Option<u32>,
    sums: Sums,
}

/// The best way to write the text up to here.
#[derive(Clone, Copy)]
struct Node {
    score: f64,
    start: u32,
    id: u32,
}

/// Nothing ends here.
const NOWHERE: u32 = u32::MAX;

/// Memory to use again: 16 bytes for each byte of a text.
#[derive(Default)]
pub struct Scratch {
    nodes: Vec<Node>,
    /// The pieces, last first: where each begins, its id, where it ends.
    pieces: Vec<(u32, u32, u32)>,
}

impl Unigram {
    /// Pieces with id and score, and how many ids there are.
    pub fn new<'a>(
        pieces: impl Iterator<Item = (&'a [u8], u32, f64)> + Clone,
        ids: usize,
        score_min: f64,
        favoured: Vec<bool>,
        unknown: Option<u32>,
        sums: Sums,
    ) -> Unigram {
        let mut scores = vec![0.0; ids];
        pieces.clone().for_each(|(_, id, score)| scores[id as usize] = score);
        let trie = Trie::new(pieces.map(|(piece, id, _)| (piece, id)));
        let unknown_score = score_min - 10.0;
        let unknown_score = if sums == Sums::F32 { f64::from(unknown_score as f32) } else { unknown_score };
        Unigram { trie, scores, favoured, unknown_score, unknown, sums }
    }

    fn score(&self, id: u32, length: usize) -> f64 {
        match self.favoured.get(id as usize) {
            Some(true) => f64::from((0.1 * (length - 1) as f64) as f32),
            _ => self.scores[id as usize],
        }
    }

    /// Calls `piece` with the text and the id of each piece, in order. `base` is the sum before this text; gives the
    /// sum behind it.
    pub fn encode<'t>(
        &self,
        text: &'t str,
        base: f64,
        Scratch { nodes, pieces }: &mut Scratch,
        mut piece: impl FnMut(&'t str, u32),
    ) -> Result<f64, String> {
        nodes.clear();
        nodes.resize(text.len() + 1, Node { score: 0.0, start: NOWHERE, id: 0 });
        nodes[0].score = base;
        let round = |sum: f64| if self.sums == Sums::F32 { f64::from(sum as f32) } else { sum };
        let mut reached = 0;
        for (start, letter) in text.char_indices() {
            if self.sums == Sums::F32 && nodes[start].score.abs() > SUM_MAX {
                let sum = nodes[start].score;
                let known = |node: &&mut Node| node.start != NOWHERE;
                nodes[start + 1..=reached.max(start)]
                    .iter_mut()
                    .filter(known)
                    .for_each(|node| node.score = round(node.score - sum));
                nodes[start].score = 0.0;
            }
            let till_here = nodes[start].score;
            let mut is_known = false;
            let mut offer = |length: usize, sum: f64, id: u32| {
                reached = reached.max(start + length);
                let node = &mut nodes[start + length];
                if node.start == NOWHERE || sum > node.score {
                    *node = Node { score: sum, start: start as u32, id };
                }
            };
            self.trie.prefixes(&text.as_bytes()[start..], |length, id| {
                offer(length, round(self.score(id, length) + till_here), id);
                is_known |= length == letter.len_utf8();
            });
            if !is_known {
                let unknown =
                    self.unknown.ok_or("a character that is not in the vocabulary, which has no unknown token")?;
                offer(letter.len_utf8(), round(self.unknown_score + till_here), unknown);
            }
        }
        pieces.clear();
        let mut end = text.len();
        while end > 0 {
            let node = nodes[end];
            pieces.push((node.start, node.id, end as u32));
            end = node.start as usize;
        }
        pieces.iter().rev().for_each(|&(start, id, end)| piece(&text[start as usize..end as usize], id));
        let sum = nodes[text.len()].score;
        // A giant text's memory is not kept.
        if nodes.len() > 1 << 20 {
            (*nodes, *pieces) = Default::default();
        }
        Ok(sum)
    }
}

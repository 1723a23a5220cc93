//! The head of a decoder: how likely a token is, without ever holding a logit for every token of the vocabulary.
//!
//! For a final state `x`: `logit(v) = x · weight(v) + bias(v)`, `score = ln Σ exp logit(v) - logit(next)`, the negative
//! log-likelihood of the token that comes next in nats. The vocabulary goes by in panels of 32, in one order; a row
//! keeps the largest logit so far, the sum of the exponentials of all logits less that one, and the logit of its next
//! token. Sums over 16 panels of one column are 32-bit floats, all others 64-bit. Where the likeliest tokens are asked
//! for, a row also keeps the largest logits, of equal ones those of the lowest tokens.

use crate::activation::{exp2, soft_cap};
use crate::lanes::Lanes;
use crate::matmul::{self, Element, Kernel, PANEL, Packed, View};
use crate::transformer;
use std::cmp::Ordering;

/// The logit of a token that no vocabulary has: its exponential vanishes beside any other.
const MISSING: f32 = -1e30;

/// A head, packed.
#[derive(Debug)]
pub(crate) struct Head<E> {
    /// The bias of what pads the vocabulary is [`MISSING`].
    weights: Packed<E>,
    /// What the states go through before.
    pub(crate) map: Option<Packed<E>>,
    soft_cap: Option<f32>,
}

/// After so many panels, sums in the lanes go into the one sum.
const FOLD: usize = 16;

/// What a row knows of the vocabulary so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Running {
    next: usize,
    most: f32,
    /// Of `exp(logit - most)`, but for the panels since the last fold.
    sum: f64,
    /// The same of those panels, column by column.
    recent: [f32; PANEL],
    /// The logit of `next`.
    logit: f32,
}

impl Running {
    /// Nothing, of a row behind which `next` comes.
    pub(crate) fn new(next: u32) -> Running {
        Running { next: next as usize, most: f32::NEG_INFINITY, sum: 0.0, recent: [0.0; PANEL], logit: f32::NAN }
    }

    /// The logarithm of the sum of the exponentials of all logits, once all panels went by.
    fn total(&self) -> f64 {
        f64::from(self.most) + self.whole_sum().ln()
    }

    /// The negative log-likelihood, once all panels went by.
    pub(crate) fn score(&self) -> f64 {
        self.total() - f64::from(self.logit)
    }

    fn whole_sum(&self) -> f64 {
        self.recent.iter().fold(self.sum, |sum, &recent| sum + f64::from(recent))
    }

    /// Makes one sum of all, less `most` from now on.
    #[cold]
    fn fold(&mut self, most: f32) {
        let scale = if most == self.most { 1.0 } else { f64::from(self.most - most).exp() };
        self.sum = self.whole_sum() * scale;
        self.recent = [0.0; PANEL];
        self.most = most;
    }

    /// Takes in the logits of a panel.
    ///
    /// # Safety
    /// The instructions of the lanes are there; `logits` has 32 values.
    #[inline(always)]
    unsafe fn add<L: Lanes>(&mut self, panel: usize, logits: *const f32) {
        // SAFETY: within the 32 values of each.
        unsafe {
            if reaches::<L>(logits, self.most) {
                self.fold(largest::<L>(logits));
            }
            let most = L::zero().splat(self.most);
            let log2_e = most.splat(std::f32::consts::LOG2_E);
            for i in (0..PANEL).step_by(L::COUNT) {
                let to = self.recent.as_mut_ptr().add(i);
                let power = exp2::<_, true>(L::load(logits.add(i)).sub(most).mul(log2_e));
                L::load(to).add(power).store(to);
            }
            if panel % FOLD == FOLD - 1 {
                self.fold(self.most);
            }
            if self.next / PANEL == panel {
                self.logit = *logits.add(self.next % PANEL);
            }
        }
    }
}

/// Whether one of the logits of a panel is `bound` or more.
///
/// # Safety
/// The instructions of the lanes are there; `logits` has 32 values.
#[inline(always)]
unsafe fn reaches<L: Lanes>(logits: *const f32, bound: f32) -> bool {
    let mut found = 0;
    for i in (0..PANEL).step_by(L::COUNT) {
        // SAFETY: within the 32 values.
        let logits = unsafe { L::load(logits.add(i)) };
        found |= logits.at_least(logits.splat(bound));
    }
    found != 0
}

/// The largest logit of a panel.
///
/// # Safety
/// As for [`reaches`].
#[inline(always)]
unsafe fn largest<L: Lanes>(logits: *const f32) -> f32 {
    // SAFETY: within the 32 values.
    unsafe {
        let mut most = L::load(logits);
        for i in (0..PANEL).step_by(L::COUNT) {
            most = most.max(L::load(logits.add(i)));
        }
        most.largest()
    }
}

/// The largest logits of a row so far, and their tokens.
#[derive(Debug, Clone)]
pub(crate) struct Top {
    count: usize,
    /// Only what is above it belongs to them.
    least: f32,
    /// Fewer than twice as many as are asked for.
    found: Vec<(f32, u32)>,
}

impl Top {
    /// None yet of `count`.
    pub(crate) fn new(count: usize) -> Top {
        Top { count, least: f32::NEG_INFINITY, found: Vec::with_capacity(2 * count) }
    }

    /// Takes in the logits of a panel. Panels come in ascending order, so an equal logit is a later token's.
    fn add(&mut self, panel: usize, logits: &[f32]) {
        for (column, &logit) in logits.iter().enumerate() {
            if logit > self.least {
                self.found.push((logit, (panel * PANEL + column) as u32));
                if self.found.len() == 2 * self.count {
                    self.found.select_nth_unstable_by(self.count - 1, likelier);
                    self.found.truncate(self.count);
                    self.least = self.found[self.count - 1].0;
                }
            }
        }
    }

    /// Appends the tokens, likeliest first, and their probabilities and that of all other tokens together, once all
    /// panels of `running` went by.
    pub(crate) fn finish(&mut self, running: &Running, tokens: &mut Vec<u32>, probabilities: &mut Vec<f32>) {
        self.found.sort_unstable_by(likelier);
        // Where weights overflow no logit is a number.
        self.found.resize(self.count, (f32::NAN, 0));
        let total = running.total();
        let mut rest = 1.0;
        for &(logit, token) in &self.found {
            let probability = (f64::from(logit) - total).exp();
            rest -= probability;
            tokens.push(token);
            probabilities.push(probability as f32);
        }
        probabilities.push(if rest < 0.0 { 0.0 } else { rest as f32 });
    }
}

/// Larger logits first, of equal ones those of lower tokens.
fn likelier(a: &(f32, u32), b: &(f32, u32)) -> Ordering {
    b.0.partial_cmp(&a.0).unwrap_or(Ordering::Equal).then(a.1.cmp(&b.1))
}

impl<E: Element> Head<E> {
    /// Packs the weights, of `d` inputs.
    pub(crate) fn new(head: &transformer::Head, d: usize) -> Head<E> {
        let vocabulary = head.linear.weight.rows;
        let width = head.map.as_ref().map_or(d, |map| map.weight.rows);
        head.map.iter().for_each(|map| map.check(width, d));
        head.linear.check(vocabulary, width);
        assert!(head.soft_cap.is_none() || head.linear.bias.is_empty(), "a head with a soft cap has no bias");
        let value = |k, n| head.linear.weight(n, k);
        let bias = |n| if n < vocabulary { head.linear.bias(n) } else { MISSING };
        let map = head.map.as_ref().map(Packed::of);
        Head { weights: Packed::new(width, vocabulary, value, bias), map, soft_cap: head.soft_cap }
    }

    /// Takes a row of `states` for each of `running`, and of `tops` where there are any, past the vocabulary.
    ///
    /// # Safety
    /// The kernel's instructions are there; `states` has so many rows in whole blocks, `blocks` is writable for as many
    /// rows of 32.
    #[inline(always)]
    pub(crate) unsafe fn run<K: Kernel<Element = E>>(
        &self,
        states: View<E>,
        running: &mut [Running],
        tops: &mut [Top],
        blocks: *mut f32,
    ) {
        let rows = running.len();
        // SAFETY: the caller's promise; rows below `rows` are real.
        unsafe {
            matmul::product::<K>(states, rows, &self.weights, blocks, |first, panel, sums| {
                let bias = &self.weights.bias[panel * PANEL..][..PANEL];
                for (row, running) in running[first..].iter_mut().enumerate().take(K::ROWS) {
                    finish_logits::<K::Lanes>(sums.at(row, 0), bias, self.soft_cap);
                    running.add::<K::Lanes>(panel, sums.at(row, 0));
                    if let Some(top) = tops.get_mut(first + row)
                        && reaches::<K::Lanes>(sums.at(row, 0), top.least)
                    {
                        top.add(panel, std::slice::from_raw_parts(sums.at(row, 0), PANEL));
                    }
                }
            });
        }
    }
}

/// Soft cap and bias of a panel of logits, in place.
///
/// # Safety
/// The instructions of the lanes are there; `logits` and `bias` have 32 values.
#[inline(always)]
unsafe fn finish_logits<L: Lanes>(logits: *mut f32, bias: &[f32], cap: Option<f32>) {
    for i in (0..PANEL).step_by(L::COUNT) {
        // SAFETY: within the 32 values.
        unsafe {
            let mut logit = L::load(logits.add(i));
            if let Some(cap) = cap {
                logit = soft_cap(logit, cap);
            }
            logit.add(L::load(bias[i..].as_ptr())).store(logits.add(i));
        }
    }
}

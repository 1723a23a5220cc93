//! The head of a decoder: how likely a token is, without ever holding a logit for every token of the vocabulary.
//!
//! For a final state `x`: `logit(v) = x · weight(v) + bias(v)`, `score = ln Σ exp logit(v) - logit(next)`, the negative
//! log-likelihood of the token that comes next in nats. The vocabulary goes by in panels of 32, in one order; a row
//! keeps the largest logit so far, the sum of the exponentials of all logits less that one, and the logit of its next
//! token. Within a panel sums are 32-bit floats, from panel to panel 64-bit.

use crate::activation::{exp2, soft_cap};
use crate::lanes::Lanes;
use crate::matmul::{self, Element, Kernel, PANEL, Packed, View};
use crate::transformer;

/// The logit of a token that no vocabulary has: its exponential vanishes beside any other.
const MISSING: f32 = -1e30;

/// A head, packed.
#[derive(Debug)]
pub(crate) struct Head<E> {
    /// The bias of what pads the vocabulary is [`MISSING`].
    weights: Packed<E>,
    soft_cap: Option<f32>,
}

/// What a row knows of the vocabulary so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Running {
    next: usize,
    most: f32,
    /// Of `exp(logit - most)`.
    sum: f64,
    /// The logit of `next`.
    logit: f32,
}

impl Running {
    /// Nothing, of a row behind which `next` comes.
    pub(crate) fn new(next: u32) -> Running {
        Running { next: next as usize, most: f32::NEG_INFINITY, sum: 0.0, logit: f32::NAN }
    }

    /// The negative log-likelihood, once all panels went by.
    pub(crate) fn score(&self) -> f64 {
        f64::from(self.most) + self.sum.ln() - f64::from(self.logit)
    }

    /// Takes in the logits of a panel.
    ///
    /// # Safety
    /// The instructions of the lanes are there; `logits` has 32 values.
    #[inline(always)]
    unsafe fn add<L: Lanes>(&mut self, panel: usize, logits: *const f32) {
        // SAFETY: within the 32 values.
        unsafe {
            let mut most = L::load(logits);
            for i in (0..PANEL).step_by(L::COUNT) {
                most = most.max(L::load(logits.add(i)));
            }
            let most = most.largest();
            if most > self.most {
                self.sum *= f64::from(self.most - most).exp();
                self.most = most;
            }
            let most = L::zero().splat(self.most);
            let log2_e = most.splat(std::f32::consts::LOG2_E);
            let mut sum = L::zero();
            for i in (0..PANEL).step_by(L::COUNT) {
                sum = sum.add(exp2::<_, true>(L::load(logits.add(i)).sub(most).mul(log2_e)));
            }
            self.sum += f64::from(sum.sum());
            if self.next / PANEL == panel {
                self.logit = *logits.add(self.next % PANEL);
            }
        }
    }
}

impl<E: Element> Head<E> {
    /// Packs the weights, of `d` inputs.
    pub(crate) fn new(head: &transformer::Head, d: usize) -> Head<E> {
        let vocabulary = head.linear.weight.rows;
        head.linear.check(vocabulary, d);
        assert!(head.soft_cap.is_none() || head.linear.bias.is_empty(), "a head with a soft cap has no bias");
        let value = |k, n| head.linear.weight(n, k);
        let bias = |n| if n < vocabulary { head.linear.bias(n) } else { MISSING };
        Head { weights: Packed::new(d, vocabulary, value, bias), soft_cap: head.soft_cap }
    }

    /// Takes a row of `states` for each of `running` past the vocabulary.
    ///
    /// # Safety
    /// The kernel's instructions are there; `states` has so many rows in whole blocks, `blocks` is writable for as many
    /// rows of 32.
    #[inline(always)]
    pub(crate) unsafe fn run<K: Kernel<Element = E>>(
        &self,
        states: View<E>,
        running: &mut [Running],
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

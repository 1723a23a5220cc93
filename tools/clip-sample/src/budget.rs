//! A budget of tokens, until nothing more fits.
//!
//! A cluster gives documents up to the first that its share of the budget does not hold, and so leaves some of it: on
//! average half a document, and nearly all where its next document is a very long one. What all of them leave is shared
//! out again, on top of the budget, for as long as that brings documents and these fit. In the end, one after another
//! from the cluster that leaves most of its share, each gets its next document if that fits. So no cluster is more than
//! a document above its share of what is drawn, and what is left holds the next document of no other.

use crate::draws::{Last, Pool, Stock};
use crate::plan::Plan;
use std::cmp::Reverse;

/// The last draw of each cluster, of so many tokens in all.
pub fn fill(pool: &Pool, plan: &Plan, stock: &[Stock], wanted: u64) -> Vec<Last> {
    let (mut total, mut shares) = (wanted, plan.tokens(stock, wanted));
    let mut lasts = pool.last(stock, &shares);
    while weight(&lasts) < wanted {
        total = total.saturating_add(wanted - weight(&lasts));
        let more_shares = plan.tokens(stock, total);
        let more = pool.last(stock, &more_shares);
        if weight(&more) > wanted || weight(&more) == weight(&lasts) {
            break;
        }
        (shares, lasts) = (more_shares, more);
    }
    add_next(&mut lasts, &shares, wanted);
    lasts
}

fn weight(lasts: &[Last]) -> u64 {
    lasts.iter().map(|last| last.weight).sum()
}

/// Gives each cluster its next document if it fits, those first that leave most of their share.
fn add_next(lasts: &mut [Last], shares: &[u64], wanted: u64) {
    let mut left = wanted - weight(lasts);
    let mut order: Vec<usize> = (0..lasts.len()).filter(|&place| lasts[place].next.is_some()).collect();
    order.sort_by_key(|&place| Reverse(shares[place] - lasts[place].weight));
    for place in order {
        let Some((weight, bound)) = lasts[place].next.filter(|(weight, _)| *weight <= left) else { continue };
        left -= weight;
        lasts[place] = Last { bound: Some(bound), weight: lasts[place].weight + weight, next: None };
    }
}

//! The words that tell a cluster from the others: tf-idf with the cluster in place of a document.
//!
//! The texts are those that were drawn at random, as far as they are shown. The weight of a word in a cluster is `p
//! ln(1 / f)`: p is the share of the cluster's texts that have it, f that of the corpus, for which the shares of all
//! clusters are averaged by their sizes. A word that all texts have weighs nothing; what a single text of the cluster
//! has is not told. Sums go through the clusters in ascending order, and the logarithm is libm's, so that the same
//! texts give the same bytes. Memory: the different words of all the texts.

use crate::summary::Summary;
use ngram::words::{Tokenizer, Words};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Which words are told.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// How many of each cluster.
    pub words: usize,
    /// A text of so many characters may have been cut within its last word, which does not count then.
    pub chars: usize,
}

/// Words that weigh less are not told: sums of shares that come to 1 may miss it by a little.
const WEIGHT_MIN: f64 = 0.001;

/// A word and its weight.
pub type Telling = (String, f64);

/// The most telling words of each cluster, by its number, in descending order of their weights, then of the alphabet.
pub fn telling(clusters: &BTreeMap<u32, Summary>, asked: Asked) -> BTreeMap<u32, Vec<Telling>> {
    let mut finder = Words::new(Tokenizer::Words);
    let told = clusters.values().filter(|summary| !summary.random.drawn.is_empty());
    let rows: f64 = told.map(|summary| summary.total as f64).sum();
    let mut corpus: HashMap<String, f64> = HashMap::new();
    for summary in clusters.values() {
        let size = summary.total as f64 / rows;
        for (word, share) in shares(summary, asked.chars, &mut finder) {
            *corpus.entry(word).or_default() += size * share;
        }
    }
    let mut best = |summary: &Summary| {
        let once = 1.5 / summary.random.drawn.len() as f64;
        let shares = shares(summary, asked.chars, &mut finder).into_iter().filter(|&(_, share)| share > once);
        let weigh = |(word, share): (String, f64)| {
            let weight = -share * libm::log(corpus[&word].min(1.0));
            (word, weight)
        };
        let mut words: Vec<Telling> = shares.map(weigh).filter(|&(_, weight)| weight >= WEIGHT_MIN).collect();
        words.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        words.truncate(asked.words);
        words
    };
    clusters.iter().map(|(&cluster, summary)| (cluster, best(summary))).collect()
}

/// The words of a cluster's texts, each with the share of them that have it.
fn shares(summary: &Summary, chars: usize, finder: &mut Words) -> BTreeMap<String, f64> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for one in summary.random.drawn.values() {
        for word in words(&one.text, chars, finder) {
            *counts.entry(word).or_default() += 1;
        }
    }
    let texts = summary.random.drawn.len() as f64;
    counts.into_iter().map(|(word, count)| (word, count as f64 / texts)).collect()
}

/// The different words of a text that have two characters at least.
fn words(text: &str, chars: usize, finder: &mut Words) -> BTreeSet<String> {
    let whole = text.chars().count() < chars;
    let text = match text.rfind(|sign: char| !(sign.is_alphanumeric() || sign == '_')) {
        _ if whole => text,
        last => &text[..last.unwrap_or(0)],
    };
    let found = finder.find(text.as_bytes()).expect("a text that is shown is short");
    let word = |word| String::from_utf8_lossy(word).into_owned();
    found.words().map(word).filter(|word| word.chars().nth(1).is_some()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decimal::Decimal;
    use crate::summary::Most;

    fn cluster(rows: u64, texts: &[&str]) -> Summary {
        let mut summary = Summary::new(Most { examples: 0, random: 99 });
        summary.total = rows;
        for (key, text) in texts.iter().enumerate() {
            summary.random.add(key as u64, Decimal::default(), text, 1).unwrap();
        }
        summary
    }

    #[test]
    fn what_a_cluster_has_more_than_the_corpus_comes_first() {
        let fruit = cluster(30, &["the Apple and a pear", "the apple, the apple!", "the quince and PEAR", "the"]);
        let verse = cluster(10, &["the rose", "the rose and x x"]);
        let clusters = [(4, fruit), (7, verse), (9, cluster(0, &[]))].into_iter().collect();
        let found = telling(&clusters, Asked { words: 3, chars: 256 });
        // Shares of the corpus: apple and pear 3/4 * 1/2, "and" 1/2, rose 1/4, "the" 1.
        let expected = [("apple", 0.375), ("pear", 0.375), ("and", 0.5)];
        let expected = expected.map(|(word, share): (_, f64)| (word, 0.5 * (1.0 / share).ln()));
        assert_eq!(found[&4].len(), 3);
        for ((word, weight), (name, expected)) in found[&4].iter().zip(expected) {
            assert!(word == name && (weight - expected).abs() < 1e-12, "{word} {weight}: {name} {expected}");
        }
        assert_eq!(found[&7].iter().map(|(word, _)| word.as_str()).collect::<Vec<_>>(), ["rose"]);
        assert!(found[&9].is_empty());
    }

    #[test]
    fn rows_beyond_counting_are_shares_all_the_same() {
        let clusters = [(0, cluster(u64::MAX, &["ab cd", "ab cd"])), (1, cluster(u64::MAX, &["ab ef", "ab ef"]))];
        let found = telling(&clusters.into_iter().collect(), Asked { words: 9, chars: 256 });
        assert_eq!(found[&0], [("cd".to_string(), std::f64::consts::LN_2)]);
    }

    #[test]
    fn a_word_that_may_be_cut_does_not_count() {
        let mut finder = Words::new(Tokenizer::Words);
        let mut found = |text: &str, chars| words(text, chars, &mut finder).into_iter().collect::<Vec<_>>();
        assert_eq!(found("one two thr", 11), ["one", "two"]);
        assert_eq!(found("one two thr", 12), ["one", "thr", "two"]);
        assert_eq!(found("one two thr.", 12), ["one", "thr", "two"]);
        assert!(found("undivided", 9).is_empty());
    }
}

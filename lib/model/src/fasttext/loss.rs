//! From the products of a text with the rows of the output to probabilities, as fastText computes and prints them.
//!
//! It keeps the logarithm of a probability plus 0.00001 and prints its exponential, so what it prints is more by that
//! much, and more than 1 at times. Published thresholds are of these numbers.

use crate::answers::{Answer, best};

/// What fastText adds to a probability before it takes the logarithm.
const MARGIN: f64 = 1e-5;

/// Sigmoids are read off a table of so many steps from -8 to 8.
const STEPS: usize = 512;
const SIGMOID_MAX: f32 = 8.0;

/// How a model turns products into probabilities.
#[derive(Debug)]
pub(super) enum Loss {
    Softmax,
    /// One against all others, label by label; also what is left of negative sampling.
    Sigmoid(Vec<f32>),
    Tree(Tree),
}

/// Hierarchical softmax: labels are the leaves of a Huffman tree, each other node is a row of the output.
#[derive(Debug)]
pub(super) struct Tree {
    labels: usize,
    /// The two nodes below each inner one; leaves come first, the root last.
    children: Vec<[u32; 2]>,
    /// By how much a logarithm may grow on the way down from any node.
    slack: f32,
}

/// The buffers of a thread.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    numbers: Vec<f32>,
    open: Vec<(u32, f32)>,
}

impl Loss {
    /// The loss of fastText's number, for labels that occurred so often.
    pub(super) fn new(number: i32, counts: impl Iterator<Item = i64>) -> Result<Loss, String> {
        match number {
            1 => Tree::new(counts).map(Loss::Tree),
            2 | 4 => Ok(Loss::Sigmoid((0..=STEPS).map(sigmoid_step).collect())),
            3 => Ok(Loss::Softmax),
            _ => Err(format!("loss: expected 1 to 4, found {number}")),
        }
    }

    /// The likeliest labels, likeliest first, by the `product` of the text with each row of the output.
    pub(super) fn answer(
        &self,
        labels: usize,
        top: usize,
        product: impl Fn(usize) -> f32,
        scratch: &mut Scratch,
        answers: &mut Vec<Answer>,
    ) -> Result<(), String> {
        let Scratch { numbers, open } = scratch;
        let product = |row: usize| Some(product(row)).filter(|product| product.is_finite()).ok_or_else(overflow);
        if let Loss::Tree(tree) = self {
            tree.search(top, product, open, answers)?;
        } else {
            numbers.clear();
            for row in 0..labels {
                numbers.push(product(row)?);
            }
            match self {
                Loss::Sigmoid(table) => numbers.iter_mut().for_each(|number| *number = sigmoid(*number, table)),
                _ => softmax(numbers),
            }
            best(numbers, top, answers);
            answers.iter_mut().for_each(|answer| answer.number = logarithm(answer.number.into()));
        }
        answers.iter_mut().for_each(|answer| answer.number = libm::exp(answer.number.into()) as f32);
        Ok(())
    }
}

fn overflow() -> String {
    "the weights of the model are finite, but their sums for this text are not".to_string()
}

fn logarithm(probability: f64) -> f32 {
    libm::log(f64::from(probability as f32) + MARGIN) as f32
}

fn softmax(numbers: &mut [f32]) {
    let greatest = numbers.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    numbers.iter_mut().for_each(|number| *number = libm::exp(f64::from(*number - greatest)) as f32);
    let sum: f32 = numbers.iter().sum();
    numbers.iter_mut().for_each(|number| *number /= sum);
}

fn sigmoid_step(step: usize) -> f32 {
    let x = (step as f32 * 2.0 * SIGMOID_MAX) / STEPS as f32 - SIGMOID_MAX;
    (1.0 / (1.0 + libm::exp(f64::from(-x)))) as f32
}

fn sigmoid(x: f32, table: &[f32]) -> f32 {
    if x < -SIGMOID_MAX {
        0.0
    } else if x > SIGMOID_MAX {
        1.0
    } else {
        table[((x + SIGMOID_MAX) * STEPS as f32 / SIGMOID_MAX / 2.0) as usize]
    }
}

impl Tree {
    /// The tree that fastText builds of the counts, which its files have in descending order.
    fn new(counts: impl Iterator<Item = i64>) -> Result<Tree, String> {
        // More than all counts together: no node that is not made yet is taken for the rarest.
        const MOST: i64 = 1_000_000_000_000_000;
        let mut counts: Vec<i64> = counts.collect();
        let labels = counts.len();
        let sum = counts.iter().try_fold(0_i64, |sum, &count| sum.checked_add(count).filter(|_| count >= 0));
        if sum.is_none_or(|sum| sum >= MOST) {
            return Err("dictionary: expected counts of labels from 0 to 10^15 together".to_string());
        }
        let (mut leaves, mut inner, mut children) = (labels, labels, Vec::with_capacity(labels - 1));
        for node in labels..2 * labels - 1 {
            let mut rarest = || {
                if leaves > 0 && (inner >= node || counts[leaves - 1] < counts[inner]) {
                    leaves -= 1;
                    leaves
                } else {
                    inner += 1;
                    inner - 1
                }
            };
            let pair = [rarest(), rarest()];
            counts.push(counts[pair[0]] + counts[pair[1]]);
            children.push(pair.map(|child| child as u32));
        }
        let slack = height(labels, &children) as f32 * 2.0 * MARGIN as f32;
        Ok(Tree { labels, children, slack })
    }

    /// The leaves of the greatest sums of logarithms, which stand in `answers`. The likelier side is searched first,
    /// and nothing below a node that is already worse than the last of those that are found.
    fn search(
        &self,
        top: usize,
        product: impl Fn(usize) -> Result<f32, String>,
        open: &mut Vec<(u32, f32)>,
        answers: &mut Vec<Answer>,
    ) -> Result<(), String> {
        answers.clear();
        open.clear();
        open.push((2 * self.labels as u32 - 2, 0.0));
        while let Some((node, score)) = open.pop() {
            let is_full = answers.len() >= top;
            if is_full && answers.last().is_none_or(|last| score + self.slack < last.number) {
                continue;
            }
            let Some(row) = (node as usize).checked_sub(self.labels) else {
                insert(Answer { label: node, number: score }, top, answers);
                continue;
            };
            let right = (1.0 / (1.0 + libm::exp(f64::from(-product(row)?)))) as f32;
            let below = [1.0 - f64::from(right), right.into()].map(|share| score + logarithm(share));
            let [left, right] = self.children[row];
            let mut pair = [(left, below[0]), (right, below[1])];
            if below[0] > below[1] {
                pair.swap(0, 1);
            }
            open.extend(pair);
        }
        Ok(())
    }
}

fn insert(answer: Answer, top: usize, answers: &mut Vec<Answer>) {
    let at = answers.partition_point(|other| other.order(&answer).is_lt());
    answers.insert(at, answer);
    answers.truncate(top);
}

/// The longest way from the root to a leaf.
fn height(labels: usize, children: &[[u32; 2]]) -> usize {
    let mut heights = vec![0_usize; labels];
    for pair in children {
        heights.push(1 + pair.map(|child| heights[child as usize]).into_iter().max().unwrap_or_default());
    }
    heights.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(loss: &Loss, products: &[f32], labels: usize, top: usize) -> Vec<Answer> {
        let mut answers = Vec::new();
        loss.answer(labels, top, |row| products[row], &mut Scratch::default(), &mut answers).unwrap();
        answers
    }

    #[test]
    fn rare_labels_are_deep_in_the_tree() {
        let Ok(Loss::Tree(tree)) = Loss::new(1, [8, 4, 2, 1].into_iter()) else { panic!("a tree") };
        assert_eq!(tree.children, [[3, 2], [4, 1], [5, 0]]);
        assert_eq!(height(4, &tree.children), 3);
        for wrong in [&[-1, 2][..], &[1 << 60, 1 << 60]] {
            assert!(Loss::new(1, wrong.iter().copied()).is_err());
        }
    }

    #[test]
    fn a_search_for_a_few_finds_the_first_of_all() {
        let labels = 40;
        let loss = Loss::new(1, (1..=labels as i64).rev()).unwrap();
        let products: Vec<f32> = (0..labels).map(|i| ((i * 37) % 11) as f32 - 5.0).collect();
        let all = answers(&loss, &products, labels, labels);
        assert_eq!(all.len(), labels);
        let sum: f32 = all.iter().map(|answer| answer.number).sum();
        assert!((sum - 1.0).abs() < 1e-2, "{sum}");
        for top in [1, 2, 5, 39] {
            assert_eq!(answers(&loss, &products, labels, top), all[..top]);
        }
    }

    #[test]
    fn one_label_is_certain() {
        let loss = Loss::new(1, [5].into_iter()).unwrap();
        assert_eq!(answers(&loss, &[], 1, 1), [Answer { label: 0, number: 1.0 }]);
    }

    #[test]
    fn sigmoids_are_those_of_a_table() {
        let loss = Loss::new(4, [].into_iter()).unwrap();
        let found = answers(&loss, &[0.0, 0.03, 9.0, -9.0], 4, 4);
        assert_eq!(found.iter().map(|answer| answer.label).collect::<Vec<_>>(), [2, 0, 1, 3]);
        assert_eq!(found[1].number, found[2].number);
        assert!((found[1].number - 0.50001).abs() < 1e-6 && found[0].number > 1.0 && found[3].number < 1.1e-5);
    }

    #[test]
    fn what_is_not_finite_is_said() {
        for number in 1..=4 {
            let loss = Loss::new(number, [2, 1].into_iter()).unwrap();
            let outcome = loss.answer(2, 1, |_| f32::INFINITY, &mut Scratch::default(), &mut Vec::new());
            assert_eq!(outcome, Err(overflow()), "{number}");
        }
    }
}

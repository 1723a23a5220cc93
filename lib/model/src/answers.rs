//! What a classifier says of a text: labels, each with its number.

use std::cmp::Ordering;

/// A label and its number: a probability, or what the model's last layer gives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Answer {
    /// Which of the model's labels, counted from 0.
    pub label: u32,
    /// Its number; never NaN.
    pub number: f32,
}

impl Answer {
    /// The greater number first; of equal ones the first label.
    pub(crate) fn order(&self, other: &Answer) -> Ordering {
        other.number.total_cmp(&self.number).then(self.label.cmp(&other.label))
    }
}

/// Puts the labels of the greatest of `numbers`, one a label, into `answers`: at most `top` of them, greatest first, of
/// equal ones the first label.
pub fn best(numbers: &[f32], top: usize, answers: &mut Vec<Answer>) {
    answers.clear();
    answers.extend((0..).zip(numbers).map(|(label, &number)| Answer { label, number }));
    if top < answers.len() {
        answers.select_nth_unstable_by(top, Answer::order);
        answers.truncate(top);
    }
    answers.sort_unstable_by(Answer::order);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_come_first_and_the_first_of_equals() {
        let numbers = [0.1, 0.3, -0.5, 0.3, 0.2];
        let labels = |top| {
            let mut answers = Vec::new();
            best(&numbers, top, &mut answers);
            answers.iter().map(|answer| answer.label).collect::<Vec<_>>()
        };
        assert_eq!(labels(1), [1]);
        assert_eq!(labels(3), [1, 3, 4]);
        assert_eq!(labels(5), [1, 3, 4, 0, 2]);
        assert_eq!(labels(9), [1, 3, 4, 0, 2]);
        assert_eq!(labels(0), [0; 0]);
    }
}

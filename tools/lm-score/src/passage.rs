//! Which tokens of a text are scored, and what the model sees before each.

use std::ops::Range;

/// What becomes of a text that is longer than the model takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Long {
    /// It is cut.
    #[default]
    Cut,
    /// It is scored window by window.
    Windows,
    /// The same with windows that begin so many tokens apart.
    Stride(usize),
}

/// A piece of a text that goes through the model at once, as places in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// What the model sees.
    pub seen: Range<usize>,
    /// What is scored: each from what is seen before it.
    pub scored: Range<usize>,
}

/// The windows over `length` tokens of which those from `first` on (1 at the least: nothing stands before the first
/// token) are scored, where the model sees `most` at a time.
///
/// The first window scores as many as the model can see. Each later one scores the `step` tokens that come next and
/// sees the `most` before the last of them. With a step of `most` that is lm-evaluation-harness' rolling
/// log-likelihood.
pub fn windows(length: usize, first: usize, most: usize, long: Long) -> impl Iterator<Item = Window> {
    let step = match long {
        Long::Cut | Long::Windows => most,
        Long::Stride(step) => step,
    };
    let length = if long == Long::Cut { length.min(most) } else { length };
    let mut from = 1;
    let next = move || {
        let to = (from + if from == 1 { most } else { step }).min(length);
        let scored = std::mem::replace(&mut from, to)..to;
        (!scored.is_empty()).then_some(scored)
    };
    let wanted = move |scored: Range<usize>| Window {
        seen: (scored.end - 1).saturating_sub(most)..scored.end - 1,
        scored: scored.start.max(first)..scored.end,
    };
    std::iter::from_fn(next).map(wanted).filter(|window| !window.scored.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(length: usize, first: usize, most: usize, long: Long) -> Vec<(Range<usize>, Range<usize>)> {
        windows(length, first, most, long).map(|window| (window.seen, window.scored)).collect()
    }

    #[test]
    fn short_texts_are_one_window() {
        for long in [Long::Cut, Long::Windows, Long::Stride(2)] {
            assert_eq!(all(0, 1, 4, long), []);
            assert_eq!(all(1, 1, 4, long), []);
            assert_eq!(all(4, 1, 4, long), [(0..3, 1..4)]);
            assert_eq!(all(4, 3, 4, long), [(0..3, 3..4)]);
            assert_eq!(all(4, 4, 4, long), []);
        }
    }

    #[test]
    fn a_cut_text_has_as_many_tokens_as_the_model_takes() {
        assert_eq!(all(9, 1, 4, Long::Cut), [(0..3, 1..4)]);
        assert_eq!(all(9, 4, 4, Long::Cut), []);
    }

    #[test]
    fn windows_are_those_of_the_harness() {
        // lm_eval.utils.get_rolling_token_windows(range(1, 11), prefix_token=0, max_seq_len=4, context_len=1), version
        // 0.4.9.
        assert_eq!(all(11, 1, 4, Long::Windows), [(0..4, 1..5), (4..8, 5..9), (6..10, 9..11)]);
    }

    #[test]
    fn strides_overlap_and_score_each_token_once() {
        let found = all(11, 1, 4, Long::Stride(2));
        assert_eq!(found, [(0..4, 1..5), (2..6, 5..7), (4..8, 7..9), (6..10, 9..11)]);
        let scored: Vec<usize> = found.into_iter().flat_map(|(_, scored)| scored).collect();
        assert_eq!(scored, (1..11).collect::<Vec<_>>());
    }

    #[test]
    fn windows_without_a_wanted_token_are_left_out() {
        assert_eq!(all(11, 7, 4, Long::Windows), [(4..8, 7..9), (6..10, 9..11)]);
    }
}

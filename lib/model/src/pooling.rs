//! From the hidden states of a text's tokens to one vector.

/// Which tokens make the vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// The mean of all tokens, special ones included.
    Mean,
    /// The first token.
    Cls,
    /// The last token.
    Last,
}

impl Pooling {
    /// `mean`, `cls` or `last`, as flags name them.
    pub fn parse(name: &str) -> Option<Pooling> {
        match name {
            "mean" => Some(Pooling::Mean),
            "cls" => Some(Pooling::Cls),
            "last" => Some(Pooling::Last),
            _ => None,
        }
    }

    /// Pools `hidden`, one row of `out.len()` values a token, into `out`. No tokens: zeros.
    ///
    /// The mean is summed in 64-bit floats, token after token, and rounded once.
    pub fn apply(self, hidden: &[f32], out: &mut [f32]) {
        assert!(!out.is_empty() && hidden.len().is_multiple_of(out.len()), "whole rows");
        match self {
            _ if hidden.is_empty() => out.fill(0.0),
            Pooling::Mean => mean(hidden, out),
            Pooling::Cls => out.copy_from_slice(&hidden[..out.len()]),
            Pooling::Last => out.copy_from_slice(&hidden[hidden.len() - out.len()..]),
        }
    }
}

fn mean(hidden: &[f32], out: &mut [f32]) {
    const LANES: usize = 32;
    let (d, rows) = (out.len(), (hidden.len() / out.len()) as f64);
    for (block, out) in out.chunks_mut(LANES).enumerate() {
        let mut sums = [0f64; LANES];
        for row in hidden.chunks_exact(d) {
            let part = &row[block * LANES..][..out.len()];
            sums.iter_mut().zip(part).for_each(|(sum, &x)| *sum += f64::from(x));
        }
        out.iter_mut().zip(sums).for_each(|(out, sum)| *out = (sum / rows) as f32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pooling_takes_its_tokens() {
        let hidden = [1.0, 10.0, 2.0, 20.0, 6.0, 30.0];
        let pooled = |pooling: Pooling| {
            let mut out = [f32::NAN; 2];
            pooling.apply(&hidden, &mut out);
            out
        };
        assert_eq!(pooled(Pooling::Mean), [3.0, 20.0]);
        assert_eq!(pooled(Pooling::Cls), [1.0, 10.0]);
        assert_eq!(pooled(Pooling::Last), [6.0, 30.0]);
    }

    #[test]
    fn mean_of_awkward_sizes_is_the_plain_mean() {
        for d in [1, 31, 32, 33, 100] {
            let hidden: Vec<f32> = (0..7 * d).map(|i| ((i * 37) % 101) as f32 - 50.0).collect();
            let mut out = vec![f32::NAN; d];
            Pooling::Mean.apply(&hidden, &mut out);
            let plain = |c: usize| ((0..7).map(|r| f64::from(hidden[r * d + c])).sum::<f64>() / 7.0) as f32;
            assert!((0..d).all(|c| out[c] == plain(c)), "{d}");
        }
    }

    #[test]
    fn no_tokens_give_zeros() {
        let mut out = [1.0; 3];
        Pooling::Last.apply(&[], &mut out);
        assert_eq!(out, [0.0; 3]);
    }
}

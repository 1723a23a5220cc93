//! A causal [`Transformer`] with its head: what it thinks of texts.

use crate::cpu::Machine;
use crate::encoder::{Begin, Encoder, End, Precision, Scratch, machine};
use crate::transformer::{Block, Head, Transformer};

/// A causal model ready to compute: an [`Encoder`] whose tokens see no later ones, and the head. Threads share it.
#[derive(Debug)]
pub struct Decoder {
    encoder: Encoder,
    vocabulary: usize,
}

/// What a [`Decoder`] thinks of what comes next, at the places that were asked for.
#[derive(Debug, Clone, Copy)]
pub struct Predictions<'a> {
    /// The negative log-likelihood of the token that comes, one number a place.
    pub scores: &'a [f64],
    /// The likeliest tokens, likeliest first: as many a place as were asked for.
    pub tokens: &'a [u32],
    /// Their probabilities, and behind those of each place that of all other tokens together.
    pub probabilities: &'a [f32],
}

impl Decoder {
    /// Packs the weights for the best that this processor has, of `model` without its own blocks. What is packed is
    /// given back before the next block is asked for.
    ///
    /// # Errors
    /// Those of `blocks`.
    ///
    /// # Panics
    /// Where `precision` is not [`crate::encoder::available`], or the description contradicts itself or is not causal.
    pub fn new<E>(
        model: Transformer,
        head: Head,
        blocks: impl Iterator<Item = Result<Block, E>>,
        precision: Precision,
    ) -> Result<Decoder, E> {
        Decoder::on(model, head, blocks, machine(precision).expect("a precision that is available"))
    }

    fn on<E>(
        model: Transformer,
        head: Head,
        blocks: impl Iterator<Item = Result<Block, E>>,
        machine: Machine,
    ) -> Result<Decoder, E> {
        assert!(model.is_causal, "a causal model");
        let vocabulary = head.linear.weight.rows;
        Ok(Decoder { encoder: Encoder::pack(model, blocks, Some(head), machine)?, vocabulary })
    }

    /// The instructions that make the bits.
    pub fn instructions(&self) -> &'static str {
        self.encoder.instructions()
    }

    /// The negative log-likelihood, in nats, of the token that `next` says comes behind each token of the sequences
    /// which stand back to back in `ids`; where it says none, nothing is computed and no number comes out. One number a
    /// token asked for, in order.
    ///
    /// A number's bits depend on the tokens of its own sequence up to its place alone: not on what follows, on other
    /// sequences, the thread or the scratch.
    ///
    /// # Panics
    /// Where `lengths` do not sum up to the number of `ids` and of `next`, an id is beyond the vocabulary, or a
    /// sequence beyond the position embedding.
    pub fn score<'a>(
        &self,
        ids: &[u32],
        lengths: &[usize],
        next: &[Option<u32>],
        scratch: &'a mut Scratch,
    ) -> &'a [f64] {
        self.predict(ids, lengths, next, 0, scratch).scores
    }

    /// The same, and the `top` likeliest tokens there: those of largest logits, of equal ones the lowest.
    ///
    /// # Panics
    /// As [`Decoder::score`], and where `top` is more than the vocabulary.
    pub fn predict<'a>(
        &self,
        ids: &[u32],
        lengths: &[usize],
        next: &[Option<u32>],
        top: usize,
        scratch: &'a mut Scratch,
    ) -> Predictions<'a> {
        self.run(Begin::Tokens(ids), lengths, next, top, scratch)
    }

    fn run<'a>(
        &self,
        begin: Begin,
        lengths: &[usize],
        next: &[Option<u32>],
        top: usize,
        scratch: &'a mut Scratch,
    ) -> Predictions<'a> {
        assert_eq!(lengths.iter().sum::<usize>(), next.len(), "next tokens against tokens");
        assert!(next.iter().flatten().all(|&id| (id as usize) < self.vocabulary), "next tokens are in the vocabulary");
        assert!(top <= self.vocabulary, "no more tokens than the vocabulary has");
        scratch.scores.clear();
        scratch.tokens.clear();
        scratch.probabilities.clear();
        self.encoder.run(begin, lengths, End::Scores(next, top), scratch);
        Predictions { scores: &scratch.scores, tokens: &scratch.tokens, probabilities: &scratch.probabilities }
    }

    /// Has this block and no other, or none: a model of which one block is in memory at a time. What a sequence comes
    /// to has the same bits as in one with all: the stream of its tokens ([`Decoder::stream_of_tokens`], without
    /// blocks) past each block ([`Decoder::stream_past`]) to [`Decoder::predict_from`].
    pub fn replace_blocks(&mut self, block: Option<&Block>) {
        self.encoder.replace_blocks(block);
    }

    /// The stream behind the blocks that are here, `hidden` values a token, of sequences back to back in `ids`.
    ///
    /// # Panics
    /// As [`Decoder::score`].
    pub fn stream_of_tokens<'a>(&self, ids: &[u32], lengths: &[usize], scratch: &'a mut Scratch) -> &'a [f32] {
        self.encoder.stream(Begin::Tokens(ids), lengths, scratch)
    }

    /// The same of sequences whose stream comes from other blocks.
    ///
    /// # Panics
    /// Where `lengths` do not sum up to its tokens.
    pub fn stream_past<'a>(&self, stream: &[f32], lengths: &[usize], scratch: &'a mut Scratch) -> &'a [f32] {
        self.encoder.stream(Begin::Stream(stream), lengths, scratch)
    }

    /// As [`Decoder::predict`], of the stream behind the last of other blocks; without blocks.
    ///
    /// # Panics
    /// As [`Decoder::predict`].
    pub fn predict_from<'a>(
        &self,
        stream: &[f32],
        lengths: &[usize],
        next: &[Option<u32>],
        top: usize,
        scratch: &'a mut Scratch,
    ) -> Predictions<'a> {
        self.run(Begin::Stream(stream), lengths, next, top, scratch)
    }

    /// How many tokens the model knows.
    pub fn vocabulary(&self) -> usize {
        self.vocabulary
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{self, Plan, Random, VOCABULARY, random_head, random_model};
    use crate::transformer::{Activation, NormKind, NormPlace};
    use std::convert::Infallible;

    const BASE: Plan = Plan { is_causal: true, norm_place: NormPlace::Before, ..Plan::ENCODER };

    const LLAMA: Plan = Plan {
        d: 48,
        f: 100,
        heads: 4,
        key_heads: 2,
        head_size: 12,
        positions: "rotary",
        gated: true,
        activation: Activation::Silu,
        norm_kind: NormKind::RootMeanSquare,
        bias: false,
        ..BASE
    };

    /// Every feature, in sizes with awkward tails.
    fn plans() -> Vec<Plan> {
        vec![
            Plan { activation: Activation::GeluTanh, ..BASE },
            Plan { positions: "rotary", rotary: 10, is_parallel: true, ..BASE },
            Plan { norm_place: NormPlace::After, activation: Activation::Relu, ..BASE },
            Plan { norm_place: NormPlace::After, positions: "learned", narrow: Some(21), ..BASE },
            LLAMA,
            Plan { heads: 6, key_heads: 1, head_size: 40, window: Some(0), ..LLAMA },
            Plan { key_heads: 4, window: Some(33), ..LLAMA },
            Plan { heads: 6, key_heads: 3, head_size: 64, bias: true, has_head_norms: true, ..LLAMA },
            Plan { has_end_norms: true, soft_cap: Some(5.0), activation: Activation::GeluTanh, ..LLAMA },
            Plan { d: 400, f: 800, blocks: 1, ..BASE },
        ]
    }

    fn machines() -> Vec<Machine> {
        Machine::exact().into_iter().chain(Machine::half()).collect()
    }

    fn random_ids(random: &mut Random, count: usize) -> Vec<u32> {
        (0..count).map(|_| random.below(VOCABULARY) as u32).collect()
    }

    /// The token behind each; behind the last one any.
    fn next(ids: &[u32]) -> Vec<Option<u32>> {
        ids.iter().skip(1).chain([&3]).map(|&id| Some(id)).collect()
    }

    fn bits(values: &[f64]) -> Vec<u64> {
        values.iter().map(|v| v.to_bits()).collect()
    }

    fn decoder(model: &Transformer, head: &Head, machine: Machine) -> Decoder {
        let mut model = model.clone();
        let blocks = std::mem::take(&mut model.blocks).into_iter().map(Ok::<_, Infallible>);
        Decoder::on(model, head.clone(), blocks, machine).unwrap()
    }

    fn decoders(plan: &Plan, seed: u64) -> impl Iterator<Item = (Machine, Decoder)> {
        let (model, head) = (random_model(plan, seed), random_head(plan, seed));
        machines().into_iter().map(move |machine| (machine, decoder(&model, &head, machine)))
    }

    #[test]
    fn scores_are_those_of_the_reference() {
        let mut random = Random(7);
        for (i, plan) in plans().iter().enumerate() {
            let seed = 4000 + i as u64;
            let (model, head) = (random_model(plan, seed), random_head(plan, seed));
            for t in if plan.d > 200 { vec![70] } else { vec![1, 2, 31, 33, 150] } {
                let ids = random_ids(&mut random, t);
                let wanted = reference::scores(&model, &head, &ids, &next(&ids));
                for (machine, decoder) in decoders(plan, seed) {
                    let mut scratch = Scratch::default();
                    let found = decoder.score(&ids, &[t], &next(&ids), &mut scratch);
                    assert_eq!(found.len(), t);
                    let error = found.iter().zip(&wanted).fold(0.0f64, |most, (a, b)| most.max((a - b).abs()));
                    let most = if Machine::exact().contains(&machine) { 5e-5 } else { 0.3 };
                    assert!(error <= most, "{plan:?}, t {t}, {machine:?}: {error:e} nats");
                }
            }
        }
    }

    #[test]
    fn bits_do_not_depend_on_the_batch_nor_on_what_else_is_asked() {
        let mut random = Random(11);
        for (i, plan) in plans().iter().enumerate() {
            let texts: Vec<Vec<u32>> = [1, 2, 15, 16, 31, 33, 64, 100].map(|t| random_ids(&mut random, t)).into();
            for (machine, decoder) in decoders(plan, 5000 + i as u64) {
                let score =
                    |ids: &[u32]| decoder.score(ids, &[ids.len()], &next(ids), &mut Scratch::default()).to_vec();
                let alone: Vec<Vec<f64>> = texts.iter().map(|ids| score(ids)).collect();
                let mut scratch = Scratch::default();
                for round in 0..4 {
                    let batch: Vec<usize> = (0..1 + random.below(12)).map(|_| random.below(texts.len())).collect();
                    let ids: Vec<u32> = batch.iter().flat_map(|&b| texts[b].clone()).collect();
                    let lengths: Vec<usize> = batch.iter().map(|&b| texts[b].len()).collect();
                    let asked: Vec<bool> = ids.iter().map(|_| round == 0 || random.below(3) == 0).collect();
                    let all = batch.iter().flat_map(|&b| next(&texts[b])).zip(&asked);
                    let some: Vec<Option<u32>> = all.map(|(next, &asked)| next.filter(|_| asked)).collect();
                    let together = decoder.score(&ids, &lengths, &some, &mut scratch);
                    let wanted = batch.iter().flat_map(|&b| alone[b].clone()).zip(asked).filter(|(_, asked)| *asked);
                    let wanted: Vec<f64> = wanted.map(|(score, _)| score).collect();
                    assert!(bits(together) == bits(&wanted), "{plan:?}, {machine:?}, batch of {lengths:?}");
                }
            }
        }
    }

    #[test]
    fn the_scores_of_a_prefix_do_not_depend_on_what_follows() {
        let mut random = Random(13);
        for (i, plan) in plans().iter().enumerate() {
            let ids = random_ids(&mut random, 130);
            for (machine, decoder) in decoders(plan, 6000 + i as u64) {
                let whole = bits(decoder.score(&ids, &[130], &next(&ids), &mut Scratch::default()));
                for t in [1, 2, 12, 31, 32, 33, 64, 95, 129] {
                    let mut others = ids.clone();
                    others[t..].iter_mut().for_each(|id| *id = (*id + 7) % VOCABULARY as u32);
                    let wanted = &next(&ids)[..t];
                    for ids in [&ids[..t], &others] {
                        let asked: Vec<Option<u32>> =
                            (0..ids.len()).map(|i| wanted.get(i).copied().flatten()).collect();
                        let found = bits(decoder.score(ids, &[ids.len()], &asked, &mut Scratch::default()));
                        assert!(found == whole[..t], "{plan:?}, {machine:?}, {t} of {} tokens", ids.len());
                    }
                }
            }
        }
    }

    #[test]
    fn block_by_block_is_the_same_to_the_bit() {
        let mut random = Random(19);
        for (i, plan) in plans().iter().enumerate() {
            let lengths = [3, 40, 1, 33];
            let ids = random_ids(&mut random, lengths.iter().sum());
            let (model, head) = (random_model(plan, 8000 + i as u64), random_head(plan, 8000 + i as u64));
            for machine in machines() {
                let whole = decoder(&model, &head, machine);
                let mut scratch = Scratch::default();
                let wanted = bits(whole.predict(&ids, &lengths, &next(&ids), 4, &mut scratch).scores);
                let empty = Transformer { blocks: Vec::new(), ..model.clone() };
                let mut parts = decoder(&empty, &head, machine);
                let mut stream = parts.stream_of_tokens(&ids, &lengths, &mut scratch).to_vec();
                for block in &model.blocks {
                    parts.replace_blocks(Some(block));
                    stream = parts.stream_past(&stream, &lengths, &mut scratch).to_vec();
                }
                parts.replace_blocks(None);
                let found = parts.predict_from(&stream, &lengths, &next(&ids), 4, &mut scratch);
                assert!(bits(found.scores) == wanted, "{plan:?}, {machine:?}");
            }
        }
    }

    #[test]
    fn the_likeliest_tokens_are_those_of_all_scores() {
        let mut random = Random(17);
        for (i, plan) in plans().iter().enumerate().take(8) {
            let ids = random_ids(&mut random, 9);
            for (machine, decoder) in decoders(plan, 7000 + i as u64) {
                let ask = |token: u32, top: usize, scratch: &mut Scratch| {
                    let next: Vec<Option<u32>> = (0..9).map(|place| (place % 4 != 2).then_some(token)).collect();
                    let found = decoder.predict(&ids, &[9], &next, top, scratch);
                    (found.scores.to_vec(), found.tokens.to_vec(), found.probabilities.to_vec())
                };
                let mut scratch = Scratch::default();
                let all: Vec<Vec<f64>> = (0..VOCABULARY as u32).map(|token| ask(token, 0, &mut scratch).0).collect();
                for top in [1, 2, 7, 40, VOCABULARY] {
                    let (scores, tokens, probabilities) = ask(3, top, &mut scratch);
                    assert!(bits(&scores) == bits(&all[3]), "scores do not depend on what else is asked");
                    assert_eq!((tokens.len(), probabilities.len()), (7 * top, 7 * (top + 1)));
                    for place in 0..7 {
                        let mut wanted: Vec<u32> = (0..VOCABULARY as u32).collect();
                        wanted.sort_by(|&a, &b| all[a as usize][place].total_cmp(&all[b as usize][place]));
                        let tokens = &tokens[place * top..][..top];
                        assert_eq!(tokens, &wanted[..top], "{plan:?}, {machine:?}");
                        let probability = |token: u32| (-all[token as usize][place]).exp();
                        let probabilities = &probabilities[place * (top + 1)..][..top + 1];
                        for (&token, &found) in tokens.iter().zip(probabilities) {
                            assert!((f64::from(found) - probability(token)).abs() < 1e-6);
                        }
                        let rest: f64 = wanted[top..].iter().map(|&token| probability(token)).sum();
                        assert!((f64::from(probabilities[top]) - rest).abs() < 1e-5);
                    }
                }
            }
        }
    }

    #[test]
    fn of_equally_likely_tokens_the_lowest_come_first() {
        let (model, mut head) = (random_model(&BASE, 3), random_head(&BASE, 3));
        let d = head.linear.weight.columns;
        head.linear.bias.clear();
        // Tokens 5, 15, 25, ... are the same.
        for token in (15..VOCABULARY).step_by(10) {
            head.linear.weight.values.copy_within(5 * d..6 * d, token * d);
        }
        for machine in machines() {
            let decoder = decoder(&model, &head, machine);
            let mut scratch = Scratch::default();
            for top in 1..VOCABULARY {
                let found = decoder.predict(&[1, 2, 3], &[3], &[None, None, Some(0)], top, &mut scratch).tokens;
                let same: Vec<u32> = found.iter().copied().filter(|token| token % 10 == 5).collect();
                let wanted: Vec<u32> = (0..same.len() as u32).map(|i| 10 * i + 5).collect();
                assert_eq!(same, wanted, "{machine:?}, {top}");
            }
        }
    }

    #[test]
    fn nothing_asked_is_nothing_said() {
        let (_, decoder) = decoders(&BASE, 1).next().unwrap();
        let mut scratch = Scratch::default();
        assert!(decoder.score(&[], &[], &[], &mut scratch).is_empty());
        assert!(decoder.score(&[1, 2, 3], &[0, 3], &[None; 3], &mut scratch).is_empty());
        assert_eq!(decoder.score(&[1, 2, 3], &[3], &[None, Some(9), None], &mut scratch).len(), 1);
    }
}

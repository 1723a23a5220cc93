//! A causal [`Transformer`] with its head: what it thinks of texts.

use crate::cpu::Machine;
use crate::encoder::{Encoder, End, Precision, Scratch, machine};
use crate::transformer::{Head, Transformer};

/// A causal model ready to compute: an [`Encoder`] whose tokens see no later ones, and the head. Threads share it.
#[derive(Debug)]
pub struct Decoder {
    encoder: Encoder,
    vocabulary: usize,
}

impl Decoder {
    /// Packs the weights for the best that this processor has; a block's own are given back as soon as they are packed.
    ///
    /// # Panics
    /// Where `precision` is not [`crate::encoder::available`], or the description contradicts itself or is not causal.
    pub fn new(model: Transformer, head: &Head, precision: Precision) -> Decoder {
        Decoder::on(model, head, machine(precision).expect("a precision that is available"))
    }

    fn on(mut model: Transformer, head: &Head, machine: Machine) -> Decoder {
        assert!(model.is_causal, "a causal model");
        let blocks = std::mem::take(&mut model.blocks);
        let encoder = Encoder::pack(&model, blocks.into_iter(), Some(head), machine);
        Decoder { encoder, vocabulary: head.linear.weight.rows }
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
        assert_eq!(ids.len(), next.len(), "next tokens against tokens");
        assert!(next.iter().flatten().all(|&id| (id as usize) < self.vocabulary), "next tokens are in the vocabulary");
        scratch.scores.clear();
        self.encoder.run(ids, lengths, End::Scores(next), scratch);
        &scratch.scores
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{self, Plan, Random, VOCABULARY, random_head, random_model};
    use crate::transformer::{Activation, NormKind, NormPlace};

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

    fn decoders(plan: &Plan, seed: u64) -> impl Iterator<Item = (Machine, Decoder)> {
        let (model, head) = (random_model(plan, seed), random_head(plan, seed));
        machines().into_iter().map(move |machine| (machine, Decoder::on(model.clone(), &head, machine)))
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
    fn nothing_asked_is_nothing_said() {
        let (_, decoder) = decoders(&BASE, 1).next().unwrap();
        let mut scratch = Scratch::default();
        assert!(decoder.score(&[], &[], &[], &mut scratch).is_empty());
        assert!(decoder.score(&[1, 2, 3], &[0, 3], &[None; 3], &mut scratch).is_empty());
        assert_eq!(decoder.score(&[1, 2, 3], &[3], &[None, Some(9), None], &mut scratch).len(), 1);
    }
}

//! Log importance weights of documents.

use ngram::buckets::{Features, Parameters};
use pipe::column::{write_integer, write_number};
use pipe::key::{document_key, write_key};
use pipe::lines::Worker;
use pipe::record::Reader;
use std::sync::Arc;

/// DSIR's floor under a probability.
const FLOOR: f64 = 1e-8;

/// `ln(p + floor) - ln(q + floor)` for each bucket and target, where p is the target's and q the raw corpus' share.
pub struct LogRatios {
    /// Bucket after bucket, the targets of a bucket side by side.
    values: Vec<f64>,
    targets: usize,
}

impl LogRatios {
    /// The ratios of some targets' shares to the raw shares; all have one value a bucket.
    pub fn new(raw: &[f64], targets: &[Vec<f64>]) -> LogRatios {
        let ratio =
            |bucket: usize, target: &Vec<f64>| libm::log(target[bucket] + FLOOR) - libm::log(raw[bucket] + FLOOR);
        let values = (0..raw.len()).flat_map(|bucket| targets.iter().map(move |target| ratio(bucket, target)));
        LogRatios { values: values.collect(), targets: targets.len() }
    }
}

/// Writes a row a document.
pub struct WeightRows {
    parameters: Parameters,
    ratios: Arc<LogRatios>,
    reader: Reader,
    features: Features,
    weights: Vec<f64>,
    rows: Vec<u8>,
}

impl WeightRows {
    /// No rows yet.
    pub fn new(parameters: &Parameters, ratios: Arc<LogRatios>, reader: Reader) -> WeightRows {
        WeightRows {
            parameters: parameters.clone(),
            weights: vec![0.0; ratios.targets],
            ratios,
            reader,
            features: Features::new(parameters),
            rows: Vec::new(),
        }
    }

    /// Adds up the weights of a text; gives the number of its n-grams.
    fn weigh(features: &mut Features, ratios: &LogRatios, text: &[u8], weights: &mut [f64]) -> Result<u64, String> {
        let mut grams = 0;
        weights.fill(0.0);
        features.each(text, |buckets| {
            grams += buckets.len() as u64;
            for (target, weight) in weights.iter_mut().enumerate() {
                *weight += sum_of(buckets, |bucket| ratios.values[bucket as usize * ratios.targets + target]);
            }
        })?;
        Ok(grams)
    }
}

/// Adds in four lanes, because one addition after the other waits for itself. The order is fixed, so the sum is too.
#[inline]
fn sum_of(buckets: &[u32], value: impl Fn(u32) -> f64) -> f64 {
    let mut lanes = [0.0; 4];
    let (whole, rest) = buckets.as_chunks();
    for four in whole {
        let four: &[u32; 4] = four;
        lanes.iter_mut().zip(four).for_each(|(lane, &bucket)| *lane += value(bucket));
    }
    lanes.iter_mut().zip(rest).for_each(|(lane, &bucket)| *lane += value(bucket));
    (lanes[0] + lanes[1]) + (lanes[2] + lanes[3])
}

impl Worker for WeightRows {
    type Out = Vec<u8>;

    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        let (text, identity) = self.reader.document(line)?;
        let grams = WeightRows::weigh(&mut self.features, &self.ratios, text, &mut self.weights)?;
        for weight in &self.weights {
            write_number(*weight, &mut self.rows);
            self.rows.push(b'\t');
        }
        write_integer(self.parameters.length(grams), &mut self.rows);
        self.rows.push(b'\t');
        write_key(document_key(identity), &mut self.rows);
        self.rows.push(b'\n');
        Ok(())
    }

    fn missing(&mut self) {
        self.rows.extend("nan\t".repeat(self.weights.len() + 1).bytes());
        self.rows.extend_from_slice(b"nan\n");
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipe::settings::Common;

    #[test]
    fn one_target_or_many_give_the_same_weights() {
        let parameters = Parameters { buckets: 7, ..Parameters::default() };
        let raw = [0.1, 0.2, 0.0, 0.3, 0.2, 0.1, 0.1];
        let targets: Vec<Vec<f64>> = vec![vec![1.0 / 7.0; 7], vec![0.0, 0.0, 0.5, 0.0, 0.0, 0.0, 0.5]];
        let reader = Reader::new(&Common::default()).unwrap();
        let column = |targets: &[Vec<f64>]| {
            let mut rows = WeightRows::new(&parameters, Arc::new(LogRatios::new(&raw, targets)), reader.clone());
            rows.line(br#"{"text": "to be or not to be, that is the question"}"#).unwrap();
            String::from_utf8(rows.take()).unwrap()
        };
        let (both, first, second) = (column(&targets), column(&targets[..1]), column(&targets[1..]));
        let (first_weight, rest) = first.split_once('\t').unwrap();
        assert_eq!(both, format!("{first_weight}\t{second}"));
        assert!(second.ends_with(rest) && rest.starts_with("11\t"), "{rest}");
    }
}

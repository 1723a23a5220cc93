//! Supervised fastText models: `.bin` and quantised `.ftz` files, read and applied.
//!
//! Source: fastText 0.9.2 (facebookresearch/fastText), whose numbers these are, to the rounding: the tokens of a text,
//! the hashed n-grams of letters and of words, the mean of their rows, and softmax, hierarchical softmax or one
//! sigmoid a label. A file is the settings; the dictionary, words then labels, and where it was pruned the numbers of
//! the n-grams that are left; whether the input is quantised, the input matrix; the same of the output.
//!
//! The file stays in memory as it is, and everything refers into it: what a file claims is compared with its length
//! before anything is made of it.

mod bytes;
mod dictionary;
mod loss;
mod matrix;
mod settings;

use crate::Error;
use crate::answers::Answer;
use bytes::Bytes;
use dictionary::Dictionary;
use loss::Loss;
use matrix::Matrix;
use settings::Settings;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

/// The first bytes of a file.
const MAGIC: i32 = 793_712_314;

/// A classifier. Threads share it.
#[derive(Debug)]
pub struct FastText {
    bytes: Vec<u8>,
    dictionary: Dictionary,
    input: Matrix,
    output: Matrix,
    loss: Loss,
    labels: Vec<String>,
}

/// What a thread needs to classify texts; it keeps its buffers.
#[derive(Debug, Default)]
pub struct Scratch {
    words: dictionary::Scratch,
    hidden: Vec<f32>,
    loss: loss::Scratch,
    answers: Vec<Answer>,
}

impl FastText {
    /// Reads a file whole.
    ///
    /// # Errors
    /// The file cannot be read, is no fastText model or one of word vectors, is truncated or damaged, has a value that
    /// is not finite.
    pub fn open(path: &Path) -> Result<FastText, Error> {
        let bytes = read(path)?;
        FastText::of_bytes(bytes).map_err(|why| Error::new(path, why))
    }

    /// The same of a file's bytes.
    fn of_bytes(bytes: Vec<u8>) -> Result<FastText, String> {
        let mut reader = Bytes::new(&bytes);
        let settings = Settings::read(&mut reader)?;
        let dictionary = Dictionary::read(&mut reader, &settings)?;
        let is_quantised = reader.flag("quantised input")?;
        let input = Matrix::read(&mut reader, "input", is_quantised, settings.dim)?;
        // The flag of the output counts only where the input is quantised.
        let is_quantised = reader.flag("quantised output")? && is_quantised;
        let output = Matrix::read(&mut reader, "output", is_quantised, settings.dim)?;
        reader.end()?;
        dictionary.check(input.rows(), input.is_quantised())?;
        let labels = dictionary.labels(&bytes)?;
        if output.rows() != labels.len() {
            return Err(format!("output: expected {} rows, one a label, found {}", labels.len(), output.rows()));
        }
        let loss = Loss::new(settings.loss, dictionary.label_counts(&bytes))?;
        Ok(FastText { bytes, dictionary, input, output, loss, labels })
    }

    /// The labels, without the `__label__` before them.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// The `top` likeliest labels of a text, likeliest first, with their probabilities as fastText prints them (it adds
    /// 0.00001). A text is one line to fastText: newlines in it are spaces. None: no word or n-gram of it is known.
    ///
    /// # Errors
    /// The sum of finite weights is not finite.
    pub fn classify<'a>(&self, text: &str, top: usize, scratch: &'a mut Scratch) -> Result<&'a [Answer], String> {
        let Scratch { words, hidden, loss, answers } = scratch;
        hidden.clear();
        hidden.resize(self.input.columns(), 0.0);
        answers.clear();
        let mut rows = 0_usize;
        self.dictionary.rows(&self.bytes, text.as_bytes(), words, |row| {
            self.input.add_row(&self.bytes, row, hidden);
            rows += 1;
        });
        if rows > 0 {
            let share = (1.0 / rows as f64) as f32;
            hidden.iter_mut().for_each(|value| *value *= share);
            let hidden = &hidden[..];
            let product = |row| self.output.dot(&self.bytes, row, hidden);
            self.loss.answer(self.labels.len(), top, product, loss, answers)?;
        }
        Ok(answers)
    }
}

/// The bytes of a file that begins as it should: nothing is read of one that does not, which may have no end.
fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let mut file = File::open(path).map_err(|why| match why.kind() {
        ErrorKind::NotFound => Error::absent(path, "no such file or folder"),
        _ => Error::io(path, &why),
    })?;
    let mut bytes = Vec::new();
    file.by_ref().take(4).read_to_end(&mut bytes).map_err(|why| Error::io(path, &why))?;
    if bytes != MAGIC.to_le_bytes() {
        return Err(Error::new(path, "is no fastText model: expected a file that begins with ba 16 4f 2f"));
    }
    file.read_to_end(&mut bytes).map_err(|why| Error::io(path, &why))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODELS: [(&str, &[u8]); 4] = [
        ("hs.bin", include_bytes!("../../tests/data/fasttext/hs.bin")),
        ("ova.bin", include_bytes!("../../tests/data/fasttext/ova.bin")),
        ("pruned.ftz", include_bytes!("../../tests/data/fasttext/pruned.ftz")),
        ("quantised.ftz", include_bytes!("../../tests/data/fasttext/quantised.ftz")),
    ];

    /// What is wrong with a file, or what it says of a text.
    fn outcome(bytes: &[u8]) -> Result<Vec<Answer>, String> {
        let model = FastText::of_bytes(bytes.to_vec())?;
        let text = "a b __label__en ñ日本 </s>";
        model.classify(text, model.labels().len(), &mut Scratch::default()).map(<[Answer]>::to_vec)
    }

    /// The file with other bytes at a place.
    fn with(model: &[u8], place: usize, bytes: &[u8]) -> Vec<u8> {
        let mut changed = model.to_vec();
        changed[place..place + bytes.len()].copy_from_slice(bytes);
        changed
    }

    #[test]
    fn a_file_that_is_cut_anywhere_is_refused() {
        for (name, model) in MODELS {
            assert!(outcome(model).is_ok(), "{name}");
            for length in (4..model.len()).step_by(1 + model.len() / 1000) {
                assert!(outcome(&model[..length]).is_err_and(|why| why.contains("truncated: ")), "{name}: {length}");
            }
            let longer = outcome(&[model, b"\0"].concat());
            assert_eq!(longer, Err("1 bytes behind the model: expected none".to_string()), "{name}");
        }
    }

    #[test]
    fn a_file_that_is_changed_anywhere_is_no_crash() {
        for (name, model) in MODELS {
            for place in (4..model.len()).step_by(1 + model.len() / 1000) {
                for byte in [0, 0x7f, 0x80, 0xff, !model[place]] {
                    if let Ok(answers) = outcome(&with(model, place, &[byte])) {
                        let good = answers.iter().all(|answer| answer.number.is_finite());
                        assert!(good, "{name}: byte {place} is {byte}");
                    }
                }
            }
        }
    }

    /// The offsets are those of the settings and of the dictionary's head.
    #[test]
    fn what_a_file_claims_is_compared_with_its_length() {
        let (_, model) = MODELS[1];
        let huge = i32::MAX.to_le_bytes();
        for (place, said) in [
            (4, "version: expected 11 or 12, found 2147483647"),
            (8, "input: expected 2147483647 columns, as dim says, found 3"),
            (36, "is a model of word vectors (model 2147483647): expected a classifier (model 3)"),
            (32, "loss: expected 1 to 4, found 2147483647"),
            (40, "input: expected "),
            (64, "dictionary: expected "),
            (68, "dictionary: expected 2147483647 words and 4 labels, found "),
        ] {
            let why = outcome(&with(model, place, &huge)).unwrap_err();
            assert!(why.starts_with(said), "{place}: {why}");
        }
        let why = outcome(&with(model, 40, &0_i32.to_le_bytes())).unwrap_err();
        assert_eq!(why, "bucket: expected some for the n-grams, found 0");
        let why = outcome(&with(model, 8, &(-3_i32).to_le_bytes())).unwrap_err();
        assert_eq!(why, "dim: expected 1 or more, found -3");
    }

    #[test]
    fn values_that_are_not_finite_are_named() {
        let (_, model) = MODELS[1];
        let end = model.len() - 4;
        for (value, shown) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (f32::NEG_INFINITY, "-inf")] {
            let why = outcome(&with(model, end, &value.to_le_bytes())).unwrap_err();
            assert_eq!(why, format!("output: value 11 is {shown}"));
        }
    }

    #[test]
    fn what_is_no_model_is_not_read_to_its_end() {
        let why = FastText::open(Path::new("/dev/zero")).unwrap_err().to_string();
        assert_eq!(why, "/dev/zero: is no fastText model: expected a file that begins with ba 16 4f 2f");
        let why = FastText::open(Path::new("not-there.bin")).unwrap_err().to_string();
        assert_eq!(why, "not-there.bin: no such file or folder");
    }
}

//! The head of a file.

use super::bytes::Bytes;

/// The newest version that there is. The one before has no n-grams of letters in classifiers.
const VERSION: i32 = 12;

/// The settings that a prediction depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub(super) dim: usize,
    pub(super) word_ngrams: usize,
    pub(super) loss: i32,
    pub(super) buckets: u32,
    pub(super) letters_min: usize,
    pub(super) letters_max: usize,
}

impl Settings {
    pub(super) fn read(reader: &mut Bytes) -> Result<Settings, String> {
        reader.i32("magic number")?;
        let version = reader.i32("version")?;
        if !(11..=VERSION).contains(&version) {
            return Err(format!("version: expected 11 or {VERSION}, found {version}"));
        }
        let dim = reader.size("dim", 1)?;
        for name in ["ws", "epoch", "minCount", "neg"] {
            reader.i32(name)?;
        }
        let word_ngrams = reader.size("wordNgrams", 0)?;
        let loss = reader.i32("loss")?;
        let model = reader.i32("model")?;
        if model != 3 {
            return Err(format!("is a model of word vectors (model {model}): expected a classifier (model 3)"));
        }
        let buckets = reader.size("bucket", 0)? as u32;
        let letters_min = reader.size("minn", 0)?;
        let letters_max = if version == 11 { reader.size("maxn", 0).map(|_| 0)? } else { reader.size("maxn", 0)? };
        reader.i32("lrUpdateRate")?;
        reader.take("t", 8)?;
        if buckets == 0 && (word_ngrams > 1 || letters_max > 0) {
            return Err("bucket: expected some for the n-grams, found 0".to_string());
        }
        Ok(Settings { dim, word_ngrams, loss, buckets, letters_min, letters_max })
    }
}

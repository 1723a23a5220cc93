//! Words, n-grams, and their hashed counts: the features of DSIR.
//!
//! A text becomes [`words`], their runs of one to `n` become [`buckets`], and documents add up to [`counts`].

pub mod buckets;
pub mod counts;
pub mod letters;
mod marks;
mod sha256;
mod short;
mod span;
mod unicode;
pub mod words;

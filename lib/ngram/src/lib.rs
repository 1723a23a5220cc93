//! Words, n-grams and their hashed counts.

pub mod letters;
mod unicode;

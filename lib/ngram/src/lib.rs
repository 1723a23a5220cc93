//! Words, n-grams and their hashed counts.

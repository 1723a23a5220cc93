//! ngram-hash.
fn main() {}

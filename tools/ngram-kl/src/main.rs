//! ngram-kl.
fn main() {}

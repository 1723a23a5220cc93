//! dsir-weight.
fn main() {}

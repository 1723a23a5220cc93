//! topk-resample.
fn main() {}

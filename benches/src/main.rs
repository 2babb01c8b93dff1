//! The scenario benchmark.

fn main() {}

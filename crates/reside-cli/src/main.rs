//! The `reside` command.

fn main() {}

//! The `callbox` binary: parses and dispatches.

fn main() {}

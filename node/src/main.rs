//! The edge server: flags, signals, exit codes.
fn main() {}

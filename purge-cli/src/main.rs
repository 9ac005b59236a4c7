//! Invalidates keys across all nodes of a fleet.
fn main() {}

//! Micro benches with criterion in `benches/`: `cargo bench -p larder-benches`. The comparison with other servers is in
//! `load/`: `benches/load/run`.

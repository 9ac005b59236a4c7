//! What operators see of the node: events that are a log line and a metric at once, counters that cost a few
//! nanoseconds, and lines that are written by threads of their own.
//!
//! This is a bottom floor: it knows no other part. Label values come in as names (`Served::as_str`), values of other
//! parts through [`metric::Metrics::gather`].
pub mod event;
pub mod lines;
pub mod metric;
pub mod trace;

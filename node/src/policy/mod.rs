//! RFC 9111 as pure functions: fields and a time in, a verdict and its reason out. No I/O, no clock, no async.

use std::time::Duration;

/// What a site says about caching, as meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Share of the time since `Last-Modified` that is taken for a lifetime, in percent (RFC 9111 4.2.2).
    pub heuristic_percent: u32,
    /// Longest heuristic lifetime.
    pub heuristic_max: Duration,
    /// `stale-while-revalidate` where the origin says nothing.
    pub stale_while_revalidate: Duration,
    /// `stale-if-error` where the origin says nothing.
    pub stale_if_error: Duration,
    /// Whether `no-cache`, `no-store`, `max-age` and `only-if-cached` of a client count.
    pub client_directives: bool,
    /// Whether `max-stale` and `min-fresh` of a client count.
    pub client_staleness: bool,
    /// How long a stale answer is kept for revalidation after its lifetime.
    pub keep: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            heuristic_percent: 10,
            heuristic_max: Duration::from_secs(24 * 3600),
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            client_directives: true,
            client_staleness: false,
            keep: Duration::from_secs(7 * 24 * 3600),
        }
    }
}

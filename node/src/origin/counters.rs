//! Plain counters that telemetry reads; nothing here decides anything.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::Kind;

/// What happened between this node and one site's origin since the start, all workers together.
#[derive(Debug, Default)]
pub struct Counters {
    /// Requests given to the pool.
    pub requests: Counter,
    /// Connections established, TLS included.
    pub connects: Counter,
    /// Requests sent on a connection that had served another one before.
    pub reuses: Counter,
    /// Requests sent a second time.
    pub retries: Counter,
    /// Endpoints taken out of the rotation.
    pub ejections: Counter,
    failures: [Counter; Kind::ALL.len()],
}

/// One number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// The number now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Counters {
    /// Attempts that failed in this way, those that a second one made up for included, and bodies that broke off.
    #[must_use]
    pub fn failures(&self, kind: Kind) -> u64 {
        self.failures[kind as usize].get()
    }

    pub(super) fn failed(&self, kind: Kind) {
        self.failures[kind as usize].add();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_counter_of_its_own() {
        let counters = Counters::default();
        for (index, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, index, "Kind::ALL is in the order of declaration");
            counters.failed(kind);
            assert_eq!(counters.failures(kind), 1, "{}", kind.as_str());
        }
    }
}

//! Connection permits: one count over all listeners and workers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::Notify;

use super::Shared;

/// How many connections are open and may be.
#[derive(Debug)]
pub(super) struct Permits {
    used: AtomicUsize,
    max: AtomicUsize,
    freed: Notify,
}

impl Permits {
    pub(super) fn new(max: usize) -> Self {
        let max = AtomicUsize::new(allowed(max));
        Self { used: AtomicUsize::new(0), max, freed: Notify::new() }
    }

    /// Changes the limit; connections over a lower one may stay.
    pub(super) fn set_max(&self, max: usize) {
        self.max.store(allowed(max), Ordering::Relaxed);
        self.freed.notify_waiters();
    }

    fn take(&self) -> bool {
        let max = self.max.load(Ordering::Relaxed);
        let more = |used| (used < max).then_some(used + 1);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }
}

/// As many of the `wanted` connections as there are descriptors for, after asking the system for enough of them. Each
/// may need a second one, to an origin or a file: without the reserve a full node could not answer anybody.
fn allowed(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let needed = (wanted as u64).saturating_mul(2);
    let raised = needed.min(limit.maximum.unwrap_or(u64::MAX));
    let mut have = limit.current.unwrap_or(u64::MAX);
    if have < raised && setrlimit(Resource::Nofile, Rlimit { current: Some(raised), ..limit }).is_ok() {
        have = raised;
    }
    let allowed = share(wanted, have);
    if allowed < wanted {
        tracing::warn!(wanted, allowed, descriptors = have, "too few descriptors for connections_max");
    }
    allowed
}

fn share(wanted: usize, descriptors: u64) -> usize {
    wanted.min(usize::try_from(descriptors / 2).unwrap_or(usize::MAX)).max(1)
}

/// Permission for one connection, given back when it goes.
#[derive(Debug)]
pub(super) struct Permit(Arc<Shared>);

impl Permit {
    /// Waits for a free permit.
    pub(super) async fn acquire(shared: &Arc<Shared>) -> Self {
        let mut waited = false;
        loop {
            let freed = shared.permits.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            if shared.permits.take() {
                shared.counters.open();
                return Self(Arc::clone(shared));
            }
            if !std::mem::replace(&mut waited, true) {
                shared.counters.wait();
            }
            freed.await;
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.counters.close();
        self.0.permits.used.fetch_sub(1, Ordering::Relaxed);
        self.0.permits.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_descriptors_are_left_for_the_other_side() {
        for (wanted, descriptors, allowed) in
            [(10_000, 20_000, 10_000), (10_000, 256, 128), (10, 256, 10), (10, 0, 1), (5, u64::MAX, 5)]
        {
            assert_eq!(share(wanted, descriptors), allowed, "{wanted} of {descriptors}");
        }
    }
}

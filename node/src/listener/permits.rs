//! Connection permits: one count over all listeners and workers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

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
        Self { used: AtomicUsize::new(0), max: AtomicUsize::new(max), freed: Notify::new() }
    }

    /// Changes the limit; connections over a lower one may stay.
    pub(super) fn set_max(&self, max: usize) {
        self.max.store(max, Ordering::Relaxed);
        self.freed.notify_waiters();
    }

    fn take(&self) -> bool {
        let max = self.max.load(Ordering::Relaxed);
        let more = |used| (used < max).then_some(used + 1);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }
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

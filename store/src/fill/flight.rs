//! All fills together: how much of them is in memory, and somebody who looks after them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::Fill;

/// Bytes of all fills that are in memory.
#[derive(Debug)]
pub(crate) struct Flight {
    bytes: AtomicU64,
    max: u64,
    /// Fills that are not small ones in memory, so that somebody looks after them from time to time.
    fills: Mutex<Vec<Weak<Fill>>>,
}

impl Flight {
    pub(crate) const fn new(max: u64) -> Self {
        Self { bytes: AtomicU64::new(0), max, fills: Mutex::new(Vec::new()) }
    }

    /// Called every [`crate::limits::TICK`]; `stalled`: the disk hangs.
    pub(crate) fn tick(&self, stalled: bool) {
        // Not under the lock: a fill registers itself while it holds its own.
        let mut fills = std::mem::take(&mut *self.fills.lock());
        fills.retain(|fill| fill.upgrade().is_some_and(|fill| fill.tick(stalled)));
        self.fills.lock().append(&mut fills);
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Memory is short: hold no more than needed.
    pub(super) fn short(&self) -> bool {
        self.bytes() > self.max
    }

    /// Memory is so short that fills must go without storing.
    pub(super) fn exhausted(&self) -> bool {
        self.bytes() > self.max.saturating_mul(2)
    }

    pub(super) fn hold(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn let_go(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn register(&self, fill: &Arc<Fill>) {
        self.fills.lock().push(Arc::downgrade(fill));
    }
}

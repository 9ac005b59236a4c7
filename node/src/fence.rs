//! From which purge position on the store is to be believed.
//!
//! A node that may have missed purges does not know which of its entries are meant. What was asked for before the fence is
//! served only after the origin has confirmed it, and never stale; what was asked for since is as good as ever.

use std::sync::atomic::{AtomicU64, Ordering};

use larder_store::Seq;

/// A position; everything born before it is doubted.
#[derive(Debug, Default)]
pub struct Fence(AtomicU64);

impl Fence {
    /// Believes what was born at `position` or later, and doubts the rest.
    pub fn set(&self, position: u64) {
        self.0.store(position, Ordering::Release);
    }

    /// Doubts everything, also what is still being fetched.
    pub fn doubt_all(&self) {
        self.set(u64::MAX);
    }

    /// Whether something that was `born` then may be used only when the origin has confirmed it. One load and a compare, on
    /// every hit.
    #[must_use]
    pub fn doubts(&self, born: Seq) -> bool {
        born.0 < self.0.load(Ordering::Acquire)
    }
}

//! How much of the budget is taken: bytes are reserved before they are written.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::limits::{DIRECTORIES_COST, DISK_UNIT, FIXED_COST};

/// Bytes on disk.
#[derive(Debug)]
pub(crate) struct Space {
    used: AtomicU64,
    /// What the operator allows.
    budget: u64,
    /// What entries may take: the rest is for directories that are always there, and for one segment more while its
    /// survivors are copied.
    most: u64,
    spare: u64,
    freed: Condvar,
    guard: Mutex<()>,
}

impl Space {
    /// A budget of which `spare` bytes are kept for cleaning.
    pub(crate) fn new(budget: u64, spare: u64) -> Self {
        let most = budget.saturating_sub(FIXED_COST + spare);
        Self { used: AtomicU64::new(0), budget, most, spare, freed: Condvar::new(), guard: Mutex::new(()) }
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Acquire)
    }

    pub(crate) const fn budget(&self) -> u64 {
        self.budget
    }

    /// What entries may take.
    pub(crate) const fn most(&self) -> u64 {
        self.most
    }

    /// Takes `bytes` if they fit.
    pub(crate) fn reserve(&self, bytes: u64) -> bool {
        self.take(bytes, self.most)
    }

    /// Takes `bytes` of what is kept for cleaning, if need be.
    pub(crate) fn reserve_spare(&self, bytes: u64) -> bool {
        self.take(bytes, self.most + self.spare)
    }

    fn take(&self, bytes: u64, most: u64) -> bool {
        let fits = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= most);
        self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits).is_ok()
    }

    /// Takes `bytes` that are there already.
    pub(crate) fn charge(&self, bytes: u64) {
        self.used.fetch_add(bytes, Ordering::AcqRel);
    }

    pub(crate) fn free(&self, bytes: u64) {
        if bytes == 0 {
            return;
        }
        self.used.fetch_sub(bytes, Ordering::AcqRel);
        drop(self.guard.lock());
        self.freed.notify_all();
    }

    /// Waits until something is freed, or for this long.
    pub(crate) fn wait(&self, at_most: Duration) {
        self.freed.wait_for(&mut self.guard.lock(), at_most);
    }
}

/// What a block in a file of its own costs: with the two directories it may need.
pub(crate) const fn cost(len: u32) -> u64 {
    (len as u64).next_multiple_of(DISK_UNIT) + DIRECTORIES_COST
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_cleaning_may_take_the_spare_and_nobody_more() {
        let space = Space::new(FIXED_COST + 1000, 300);
        assert!(space.reserve(700) && !space.reserve(1));
        assert!(space.reserve_spare(300) && !space.reserve_spare(1));
        space.free(301);
        assert!(space.reserve(1) && !space.reserve(1));
        assert_eq!(space.used(), 700);
    }
}

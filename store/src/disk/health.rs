//! Whether the disk takes new entries. After a few write errors in a row it rests, then one write may try again.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::limits::{STEP_BACK, STEP_BACK_AFTER};

#[derive(Debug)]
pub(crate) struct Health {
    failures: AtomicU32,
    /// Rests until then, in milliseconds since `start`.
    until: AtomicU64,
    stalled: AtomicBool,
    /// The file system is short of space.
    short: AtomicBool,
    /// Second of the last event, plus one.
    spoke: AtomicU64,
    start: Instant,
}

impl Health {
    pub(crate) fn new() -> Self {
        Self {
            failures: AtomicU32::new(0),
            until: AtomicU64::new(0),
            stalled: AtomicBool::new(false),
            short: AtomicBool::new(false),
            spoke: AtomicU64::new(0),
            start: Instant::now(),
        }
    }

    pub(crate) fn good(&self) -> bool {
        self.good_at(self.start.elapsed())
    }

    fn good_at(&self, now: Duration) -> bool {
        !self.stalled() && !self.short() && now.as_millis() as u64 >= self.until.load(Ordering::Relaxed)
    }

    pub(crate) fn success(&self) {
        self.failures.store(0, Ordering::Relaxed);
    }

    /// Notes a failed write; true if the disk steps back now.
    pub(crate) fn failure(&self) -> bool {
        self.failure_at(self.start.elapsed())
    }

    fn failure_at(&self, now: Duration) -> bool {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        if failures < STEP_BACK_AFTER {
            return false;
        }
        // The next one is a try: if it fails too, rest again.
        self.failures.store(STEP_BACK_AFTER - 1, Ordering::Relaxed);
        self.until.store((now + STEP_BACK).as_millis() as u64, Ordering::Relaxed);
        true
    }

    /// Whether to say that something failed: once a second is enough.
    pub(crate) fn loud(&self) -> bool {
        let now = self.start.elapsed().as_secs() + 1;
        self.spoke.swap(now, Ordering::Relaxed) != now
    }

    pub(crate) fn set_stalled(&self, stalled: bool) -> bool {
        self.stalled.swap(stalled, Ordering::Relaxed) != stalled
    }

    /// Notes whether the file system is short of space; true if that is news.
    pub(crate) fn set_short(&self, short: bool) -> bool {
        self.short.swap(short, Ordering::Relaxed) != short
    }

    pub(crate) fn short(&self) -> bool {
        self.short.load(Ordering::Relaxed)
    }

    pub(crate) fn stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_after_failures_in_a_row_and_tries_again() {
        let health = Health::new();
        let at = Duration::from_secs;
        assert!(!health.failure_at(at(1)));
        health.success();
        assert!(!health.failure_at(at(1)) && !health.failure_at(at(1)));
        assert!(health.good_at(at(1)));
        assert!(health.failure_at(at(1)));
        assert!(!health.good_at(at(1)) && health.good_at(at(1) + STEP_BACK));
        assert!(health.failure_at(at(10)), "one failed try is enough");
        assert!(!health.good_at(at(10)));
        health.success();
        assert!(!health.failure_at(at(20)));
    }
}

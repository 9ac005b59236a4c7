//! Passive ejection: an endpoint that fails several times in a row rests for a while.
//!
//! One [`Health`] is shared by the pools of all workers, so that the failures one worker sees spare the others.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Timestamp;

/// How one endpoint has fared lately.
#[derive(Debug)]
pub(super) struct Health {
    /// Failures since the last exchange that was whole.
    failures: AtomicU32,
    /// Milliseconds since 1970 until which the endpoint rests; 0 when it never did.
    rests_until: AtomicU64,
    eject_after: u32,
    eject_time: Duration,
}

impl Health {
    /// `eject_after` 0 never ejects.
    pub(super) fn new(eject_after: u32, eject_time: Duration) -> Self {
        Self { failures: AtomicU32::new(0), rests_until: AtomicU64::new(0), eject_after, eject_time }
    }

    /// Notes an exchange that was whole to its last byte.
    pub(super) fn works(&self) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
            self.rests_until.store(0, Ordering::Relaxed);
        }
    }

    /// Notes a failure; true when it ejects the endpoint. After its rest the first failure ejects it again.
    pub(super) fn fails(&self, now: Timestamp) -> bool {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if self.eject_after == 0 || failures < self.eject_after || self.rests(now) {
            return false;
        }
        self.rests_until.store(now.plus(self.eject_time).0, Ordering::Relaxed);
        true
    }

    /// Whether it is out of the rotation now.
    pub(super) fn rests(&self, now: Timestamp) -> bool {
        now < self.rests_until()
    }

    /// The end of its last rest; the smaller, the longer it has rested.
    pub(super) fn rests_until(&self) -> Timestamp {
        Timestamp(self.rests_until.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: Duration = Duration::from_secs(10);
    const START: Timestamp = Timestamp(1_000_000);

    #[test]
    fn ejected_after_failures_in_a_row_and_back_after_the_rest() {
        let health = Health::new(3, REST);
        assert!(!health.fails(START) && !health.fails(START));
        health.works();
        assert!(!health.fails(START) && !health.fails(START), "a success in between starts the row anew");
        assert!(health.fails(START), "the third in a row");
        assert!(health.rests(START.plus(REST - Duration::from_millis(1))));
        assert!(!health.rests(START.plus(REST)));
    }

    #[test]
    fn after_the_rest_one_failure_is_enough_and_one_success_forgives() {
        let health = Health::new(3, REST);
        assert_eq!([(); 3].map(|()| health.fails(START)), [false, false, true]);
        assert!(!health.fails(START), "a failure of an exchange begun before is no second ejection");
        let later = START.plus(REST);
        assert!(health.fails(later), "still failing");
        let later = later.plus(REST);
        health.works();
        assert!(!health.fails(later) && !health.rests(later));
    }

    #[test]
    fn zero_never_ejects() {
        let health = Health::new(0, REST);
        assert!((0..100).all(|_| !health.fails(START)) && !health.rests(START));
    }
}

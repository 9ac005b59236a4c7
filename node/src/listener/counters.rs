//! What telemetry reads of the listeners.

use std::sync::atomic::{AtomicU64, Ordering};

use super::refusal::{Refusal, Timeout};

/// Counts over all listeners and workers since the start; `active` goes both ways.
#[derive(Debug)]
pub struct Counters {
    accepted: AtomicU64,
    active: AtomicU64,
    full: AtomicU64,
    exhausted: AtomicU64,
    handshakes_failed: AtomicU64,
    refused: [AtomicU64; Refusal::ALL.len()],
    timeouts: [AtomicU64; Timeout::ALL.len()],
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            accepted: AtomicU64::new(0),
            active: AtomicU64::new(0),
            full: AtomicU64::new(0),
            exhausted: AtomicU64::new(0),
            handshakes_failed: AtomicU64::new(0),
            refused: [const { AtomicU64::new(0) }; Refusal::ALL.len()],
            timeouts: [const { AtomicU64::new(0) }; Timeout::ALL.len()],
        }
    }
}

impl Counters {
    /// Connections accepted.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Connections open now.
    #[must_use]
    pub fn active(&self) -> u64 {
        self.active.load(Ordering::Relaxed)
    }

    /// Connections that had to wait because all permits were taken.
    #[must_use]
    pub fn full(&self) -> u64 {
        self.full.load(Ordering::Relaxed)
    }

    /// Times accepting paused because the process or the system had no descriptors or buffers left.
    #[must_use]
    pub fn exhausted(&self) -> u64 {
        self.exhausted.load(Ordering::Relaxed)
    }

    /// TLS handshakes that failed, those out of time included.
    #[must_use]
    pub fn handshakes_failed(&self) -> u64 {
        self.handshakes_failed.load(Ordering::Relaxed)
    }

    /// Requests refused for `why`.
    #[must_use]
    pub fn refused(&self, why: Refusal) -> u64 {
        self.refused[why as usize].load(Ordering::Relaxed)
    }

    /// Connections or bodies ended because patience with `what` ended.
    #[must_use]
    pub fn timeouts(&self, what: Timeout) -> u64 {
        self.timeouts[what as usize].load(Ordering::Relaxed)
    }

    pub(super) fn accept(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn open(&self) {
        self.active.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn close(&self) {
        self.active.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn wait(&self) {
        self.full.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn exhaust(&self) {
        self.exhausted.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn fail_handshake(&self) {
        self.handshakes_failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refuse(&self, why: Refusal) {
        self.refused[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn time_out(&self, what: Timeout) {
        self.timeouts[what as usize].fetch_add(1, Ordering::Relaxed);
    }
}

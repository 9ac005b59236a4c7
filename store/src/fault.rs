//! A disk that fails on cue, for tests: every call of the disk tier asks here first.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::limits::{FOLD_AGE, SCRUB_REST, SWEEP_EVERY};

/// What tests may turn. Not for production: the defaults are what the store's promises rest on.
#[derive(Debug, Clone)]
pub struct Seams {
    /// Which calls to the disk fail.
    pub faults: Arc<Faults>,
    /// Age at which a purge that was swept may be folded away.
    pub fold_age: Duration,
    /// Time between two sweeps.
    pub sweep_every: Duration,
    /// Time between two passes of the scrub, and before the first if that is shorter than usual.
    pub scrub_rest: Duration,
}

impl Default for Seams {
    fn default() -> Self {
        Self { faults: Arc::default(), fold_age: FOLD_AGE, sweep_every: SWEEP_EVERY, scrub_rest: SCRUB_REST }
    }
}

/// Decides which calls to the disk fail. By default none does.
#[derive(Debug, Default)]
pub struct Faults {
    calls: AtomicU64,
    nth: AtomicU64,
    all: AtomicBool,
    hang: Mutex<bool>,
    released: Condvar,
    hangs: AtomicBool,
    /// Bytes that the file system is said to have free, plus one; 0: the truth.
    free: AtomicU64,
}

impl Faults {
    /// Lets the `n`th call from now on fail, once; 0 = none.
    pub fn fail_nth(&self, n: u64) {
        let at = if n == 0 { 0 } else { self.calls.load(Ordering::SeqCst) + n };
        self.nth.store(at, Ordering::SeqCst);
    }

    /// Lets every call fail, or none any more.
    pub fn fail_all(&self, on: bool) {
        self.all.store(on, Ordering::SeqCst);
    }

    /// Lets every call wait, or all of them go on.
    pub fn hang(&self, on: bool) {
        *self.hang.lock() = on;
        self.hangs.store(on, Ordering::SeqCst);
        self.released.notify_all();
    }

    /// Lets the file system have so many bytes free; `None`: what it really has.
    pub fn set_free(&self, bytes: Option<u64>) {
        self.free.store(bytes.map_or(0, |bytes| bytes + 1), Ordering::SeqCst);
    }

    pub(crate) fn free(&self) -> Option<u64> {
        self.free.load(Ordering::Relaxed).checked_sub(1)
    }

    /// Calls made so far.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    /// The same for what must not wait: false instead of hanging.
    pub(crate) fn call_now(&self, what: &'static str) -> io::Result<bool> {
        if self.hangs.load(Ordering::Relaxed) {
            return Ok(false);
        }
        self.call(what).map(|()| true)
    }

    pub(crate) fn call(&self, what: &'static str) -> io::Result<()> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        if self.hangs.load(Ordering::Relaxed) {
            let mut hang = self.hang.lock();
            while *hang {
                self.released.wait(&mut hang);
            }
        }
        if self.all.load(Ordering::Relaxed) || self.nth.load(Ordering::Relaxed) == number {
            return Err(io::Error::other(format!("injected failure of {what}")));
        }
        Ok(())
    }
}

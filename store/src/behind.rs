//! Entries that are in memory already and wait to be written to disk.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Mutex, MutexGuard};

use crate::entry::Entry;
use crate::key::KeyRef;
use crate::memory::Straight;
use crate::tier::Tier;

#[derive(Debug)]
pub(crate) struct Behind<H> {
    waiting: Mutex<Waiting<H>>,
    /// The same as the number in `waiting`, to be asked without its lock.
    count: AtomicUsize,
    max: u64,
}

#[derive(Debug)]
pub(crate) struct Waiting<H> {
    entries: HashMap<u128, Arc<Entry<H>>, Straight>,
    bytes: u64,
}

impl<H> Behind<H> {
    pub(crate) fn new(max: u64) -> Self {
        let waiting = Waiting { entries: HashMap::default(), bytes: 0 };
        Self { waiting: Mutex::new(waiting), count: AtomicUsize::new(0), max }
    }

    /// The entry of this key, if it waits.
    pub(crate) fn get(&self, key: KeyRef<'_>) -> Option<Arc<Entry<H>>> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.waiting.lock().entries.get(&key.hash()).filter(|entry| entry.key().is(key)).cloned()
    }

    /// Holds everything: whatever changes what a key stands for does it under this lock, so that memory, this and the
    /// disk's slots change in the same order.
    pub(crate) fn lock(&self) -> Locked<'_, H> {
        Locked { behind: self, waiting: self.waiting.lock() }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.waiting.lock().bytes
    }
}

/// The lock on what waits.
pub(crate) struct Locked<'a, H> {
    behind: &'a Behind<H>,
    waiting: MutexGuard<'a, Waiting<H>>,
}

impl<H> Locked<'_, H> {
    /// Adds an entry, in place of an older one with its key; false when too much waits.
    pub(crate) fn add(&mut self, entry: &Arc<Entry<H>>) -> bool {
        self.remove(entry.key().hash());
        if self.waiting.bytes + held(entry) > self.behind.max {
            return false;
        }
        self.waiting.bytes += held(entry);
        self.waiting.entries.insert(entry.key().hash(), Arc::clone(entry));
        self.note();
        true
    }

    pub(crate) fn remove(&mut self, hash: u128) -> bool {
        let removed = self.waiting.entries.remove(&hash);
        if let Some(entry) = &removed {
            self.waiting.bytes -= held(entry);
            self.note();
        }
        removed.is_some()
    }

    pub(crate) fn get(&self, hash: u128) -> Option<&Arc<Entry<H>>> {
        self.waiting.entries.get(&hash)
    }

    /// Whether this very entry waits.
    pub(crate) fn has(&self, entry: &Arc<Entry<H>>) -> bool {
        self.get(entry.key().hash()).is_some_and(|found| Arc::ptr_eq(found, entry))
    }

    fn note(&self) {
        self.behind.count.store(self.waiting.entries.len(), Ordering::Release);
    }
}

/// Bytes of memory that wait with it; a body that is on disk already waits for its record only.
fn held<H>(entry: &Entry<H>) -> u64 {
    match entry.tier() {
        Tier::Memory => entry.len(),
        Tier::Disk => 0,
    }
}

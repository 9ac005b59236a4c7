//! The memory tier: moka (TinyLFU) behind a small window, weighed in bytes, without any notion of freshness.
//!
//! TinyLFU lets nothing in that was asked for less often than what it would push out. A new entry has never been asked
//! for; the window keeps it for a while, so that it can show what it is worth before it is compared.

mod window;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use moka::sync::Cache;

use crate::entry::{Entry, Head};
use crate::key::KeyRef;
use crate::limits::WINDOW_PERCENT;
use window::Window;

/// The part of the budget that may be inserted before moka is made to evict.
const UNSETTLED_PART: u64 = 16;

#[derive(Debug)]
pub(crate) struct Memory<H: Head> {
    window: Window<H>,
    cache: Cache<u128, Arc<Entry<H>>, Straight>,
    budget: u64,
    /// Bytes inserted since moka last put its house in order.
    unsettled: AtomicU64,
}

/// Keys are hashes already.
#[derive(Debug, Clone, Default)]
pub(crate) struct Straight;

#[derive(Debug, Default)]
pub(crate) struct StraightHasher(u64);

impl std::hash::BuildHasher for Straight {
    type Hasher = StraightHasher;

    fn build_hasher(&self) -> StraightHasher {
        StraightHasher::default()
    }
}

impl std::hash::Hasher for StraightHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxhash_rust::xxh3::xxh3_64(bytes);
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write_u128(&mut self, hash: u128) {
        self.0 = (hash ^ (hash >> 64)) as u64;
    }
}

impl<H: Head> Memory<H> {
    pub(crate) fn new(budget: u64) -> Self {
        let window = budget / 100 * WINDOW_PERCENT;
        let cache = Cache::builder()
            .name("larder")
            .max_capacity(budget - window)
            .weigher(|_, entry: &Arc<Entry<H>>| u32::try_from(entry.weight()).unwrap_or(u32::MAX))
            .build_with_hasher(Straight);
        Self { window: Window::new(window), cache, budget, unsettled: AtomicU64::new(0) }
    }

    pub(crate) fn get(&self, key: KeyRef<'_>) -> Option<Arc<Entry<H>>> {
        self.find(key.hash()).filter(|entry| entry.key().is(key))
    }

    fn find(&self, hash: u128) -> Option<Arc<Entry<H>>> {
        // moka first: asking it counts, also for what is still in the window.
        self.cache.get(&hash).or_else(|| self.window.get(hash))
    }

    /// Puts it in place of what was there. One at a time: the lock on [`crate::behind::Behind`] is held.
    pub(crate) fn insert(&self, entry: Arc<Entry<H>>) {
        let hash = entry.key().hash();
        if self.cache.contains_key(&hash) || !self.window.takes(&entry) {
            self.settle_in(entry);
            self.window.remove(hash);
            return;
        }
        self.window.insert(entry);
        while let Some(oldest) = self.window.overflow() {
            // In this order: it is always found in one of them.
            self.settle_in(Arc::clone(&oldest));
            self.window.remove_entry(&oldest);
        }
    }

    fn settle_in(&self, entry: Arc<Entry<H>>) {
        let weight = entry.weight();
        self.cache.insert(entry.key().hash(), entry);
        // moka evicts when it gets round to it, hundreds of inserts later: with large bodies that is the budget twice.
        let unsettled = self.unsettled.fetch_add(weight, Ordering::Relaxed) + weight;
        if unsettled > self.budget / UNSETTLED_PART {
            self.unsettled.store(0, Ordering::Relaxed);
            self.settle();
        }
    }

    /// Forgets what is kept under this hash, whatever it is.
    pub(crate) fn remove(&self, hash: u128) {
        self.window.remove(hash);
        self.cache.invalidate(&hash);
    }

    /// Forgets `entry`, but nothing that has replaced it.
    pub(crate) fn remove_entry(&self, entry: &Arc<Entry<H>>) {
        self.remove_if(entry.key().hash(), |found| Arc::ptr_eq(found, entry));
    }

    /// Forgets what is kept under this hash if it is what is meant. Between the look and the removal another may be
    /// inserted and lost: that is a miss, never a wrong answer.
    pub(crate) fn remove_if(&self, hash: u128, meant: impl FnOnce(&Arc<Entry<H>>) -> bool) -> bool {
        let remove = self.find(hash).is_some_and(|found| meant(&found));
        if remove {
            self.remove(hash);
        }
        remove
    }

    /// Whether it is here and was asked for here.
    pub(crate) fn is_proven(&self, hash: u128) -> bool {
        self.find(hash).is_some_and(|entry| entry.proven())
    }

    /// It has left the disk; the next one that asks for it may bring it back there.
    pub(crate) fn displaced(&self, hash: u128) {
        if let Some(entry) = self.find(hash) {
            entry.place(0);
            entry.prove(false);
        }
    }

    /// Visits every entry.
    pub(crate) fn each(&self, mut visit: impl FnMut(&Arc<Entry<H>>)) {
        self.cache.iter().for_each(|(_, entry)| visit(&entry));
        self.window.each(visit);
    }

    /// Lets moka do what it has put off.
    pub(crate) fn settle(&self) {
        self.cache.run_pending_tasks();
    }

    pub(crate) fn objects(&self) -> u64 {
        self.cache.entry_count() + self.window.objects()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.cache.weighted_size() + self.window.bytes()
    }

    pub(crate) const fn budget(&self) -> u64 {
        self.budget
    }
}

//! Where new entries wait: first in, first out, bounded in bytes.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};

use super::Straight;
use crate::entry::{Entry, Head};

/// Locks, so that readers on many cores seldom share one.
const SHARDS: usize = 16;

type Shard<H> = RwLock<HashMap<u128, Arc<Entry<H>>, Straight>>;

#[derive(Debug)]
pub(super) struct Window<H: Head> {
    shards: Vec<Shard<H>>,
    /// In the order they came; some have left since.
    order: Mutex<VecDeque<Weak<Entry<H>>>>,
    bytes: AtomicU64,
    objects: AtomicU64,
    max: u64,
}

impl<H: Head> Window<H> {
    pub(super) fn new(max: u64) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            order: Mutex::default(),
            bytes: AtomicU64::new(0),
            objects: AtomicU64::new(0),
            max,
        }
    }

    fn shard(&self, hash: u128) -> &Shard<H> {
        &self.shards[(hash >> 96) as usize % SHARDS]
    }

    /// Whether it is small enough.
    pub(super) fn takes(&self, entry: &Entry<H>) -> bool {
        entry.weight() <= self.max
    }

    pub(super) fn get(&self, hash: u128) -> Option<Arc<Entry<H>>> {
        self.shard(hash).read().get(&hash).cloned()
    }

    /// Puts it in place of what was there; ask for the [`Window::overflow`] afterwards.
    pub(super) fn insert(&self, entry: Arc<Entry<H>>) {
        let hash = entry.key().hash();
        self.bytes.fetch_add(entry.weight(), Ordering::Relaxed);
        self.objects.fetch_add(1, Ordering::Relaxed);
        let old = self.shard(hash).write().insert(hash, Arc::clone(&entry));
        self.account(old);
        let mut order = self.order.lock();
        order.push_back(Arc::downgrade(&entry));
        if order.len() as u64 > self.objects() * 2 + 64 {
            order.retain(|entry| entry.upgrade().is_some_and(|entry| self.holds(&entry)));
        }
    }

    /// The oldest entry, while there are too many bytes: to be removed when it has found another place.
    pub(super) fn overflow(&self) -> Option<Arc<Entry<H>>> {
        while self.bytes() > self.max {
            let oldest = self.order.lock().pop_front()?.upgrade();
            if let Some(oldest) = oldest.filter(|oldest| self.holds(oldest)) {
                return Some(oldest);
            }
        }
        None
    }

    fn holds(&self, entry: &Arc<Entry<H>>) -> bool {
        self.get(entry.key().hash()).is_some_and(|found| Arc::ptr_eq(&found, entry))
    }

    pub(super) fn remove(&self, hash: u128) {
        if self.objects() > 0 {
            let old = self.shard(hash).write().remove(&hash);
            self.account(old);
        }
    }

    /// Removes `entry`, but nothing that has replaced it.
    pub(super) fn remove_entry(&self, entry: &Arc<Entry<H>>) {
        let hash = entry.key().hash();
        let mut shard = self.shard(hash).write();
        if shard.get(&hash).is_some_and(|found| Arc::ptr_eq(found, entry)) {
            let old = shard.remove(&hash);
            drop(shard);
            self.account(old);
        }
    }

    fn account(&self, gone: Option<Arc<Entry<H>>>) {
        if let Some(entry) = gone {
            self.bytes.fetch_sub(entry.weight(), Ordering::Relaxed);
            self.objects.fetch_sub(1, Ordering::Relaxed);
        }
    }

    pub(super) fn each(&self, mut visit: impl FnMut(&Arc<Entry<H>>)) {
        for shard in &self.shards {
            let entries: Vec<_> = shard.read().values().cloned().collect();
            entries.iter().for_each(&mut visit);
        }
    }

    pub(super) fn objects(&self) -> u64 {
        self.objects.load(Ordering::Relaxed)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

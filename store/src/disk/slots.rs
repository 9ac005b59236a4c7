//! What lies on disk, in memory: a few words for every entry, so that an absent key never touches the disk, and the
//! records that wait to be written to the index.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use parking_lot::RwLock;

use crate::limits::{DISK_UNIT, EVICT_SAMPLE, RECORD_COST};
use crate::memory::Straight;

const SHARDS: usize = 64;

/// An entry on disk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot {
    pub(crate) hash: u128,
    /// Grows with every change of what is kept under this hash.
    pub(crate) version: u64,
    pub(crate) born: u64,
    /// Bytes of the body.
    pub(crate) length: u64,
    /// Bytes of the record.
    pub(crate) record: u32,
    /// When it was last asked for, in lookups.
    used: u32,
    /// How often it was asked for, saturating.
    hits: u8,
}

impl Slot {
    pub(crate) const fn new(hash: u128, born: u64, length: u64, record: u32) -> Self {
        Self { hash, version: 0, born, length, record, used: 0, hits: 0 }
    }

    /// Bytes that are freed with it, unless others share its blocks.
    pub(crate) const fn cost(&self) -> u64 {
        record_cost(self.record) + self.length.next_multiple_of(DISK_UNIT)
    }
}

/// What a record costs in the index.
pub(crate) const fn record_cost(bytes: u32) -> u64 {
    bytes as u64 * RECORD_COST
}

/// What the index must come to hold under a hash.
#[derive(Debug, Clone)]
pub(crate) enum Wish {
    Put(Arc<Vec<u8>>),
    Remove,
}

impl Wish {
    fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Put(a), Self::Put(b)) => Arc::ptr_eq(a, b),
            (Self::Remove, Self::Remove) => true,
            _ => false,
        }
    }
}

#[derive(Debug)]
struct Waiting {
    wish: Wish,
    /// The index thread is at it.
    taken: bool,
}

#[derive(Debug, Default)]
struct Shard {
    /// Positions in `slots`, by the lower half of the hash.
    positions: HashMap<u64, u32, Straight>,
    slots: Vec<Slot>,
    waiting: HashMap<u128, Waiting, Straight>,
}

/// What a change leaves to do for who made it.
#[derive(Debug, Default)]
pub(crate) struct Change {
    /// Whether there was something.
    pub(crate) found: bool,
    /// Tell the index thread about this hash.
    pub(crate) news: bool,
    /// A record that never reached the index: give its blocks back.
    pub(crate) unwritten: Vec<Arc<Vec<u8>>>,
    /// Another hash with the same lower half that had to go, as good as never in practice.
    pub(crate) displaced: Option<u128>,
}

#[derive(Debug)]
pub(crate) struct Slots {
    shards: Vec<RwLock<Shard>>,
    versions: AtomicU64,
    clock: AtomicU32,
    count: AtomicU64,
    random: AtomicU64,
}

impl Shard {
    fn find(&self, hash: u128) -> Option<usize> {
        let at = *self.positions.get(&(hash as u64))? as usize;
        self.slots.get(at).filter(|slot| slot.hash == hash).map(|_| at)
    }

    fn take(&mut self, hash: u128) -> Option<Slot> {
        let at = self.find(hash)?;
        self.positions.remove(&(hash as u64));
        let slot = self.slots.swap_remove(at);
        if let Some(moved) = self.slots.get(at) {
            self.positions.insert(moved.hash as u64, at as u32);
        }
        Some(slot)
    }

    fn wish(&mut self, hash: u128, wish: Wish, change: &mut Change) {
        let waiting = Waiting { wish, taken: false };
        match self.waiting.insert(hash, waiting) {
            // If the index thread is at it, the index will hold it for a moment and give it back itself.
            Some(Waiting { wish: Wish::Put(record), taken: false }) => change.unwritten.push(record),
            Some(Waiting { taken: false, .. }) => {}
            Some(Waiting { taken: true, .. }) | None => change.news = true,
        }
    }
}

impl Slots {
    pub(crate) fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            versions: AtomicU64::new(1),
            clock: AtomicU32::new(1),
            count: AtomicU64::new(0),
            random: AtomicU64::new(0x9e37_79b9_7f4a_7c15),
        }
    }

    fn shard(&self, hash: u128) -> &RwLock<Shard> {
        &self.shards[(hash >> 122) as usize % SHARDS]
    }

    pub(crate) fn len(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    pub(crate) fn get(&self, hash: u128) -> Option<Slot> {
        let shard = self.shard(hash).read();
        shard.find(hash).map(|at| shard.slots[at])
    }

    /// Notes that it was asked for.
    pub(crate) fn touch(&self, hash: u128) {
        let now = self.clock.fetch_add(1, Ordering::Relaxed);
        let mut shard = self.shard(hash).write();
        if let Some(at) = shard.find(hash) {
            let slot = &mut shard.slots[at];
            slot.used = now;
            slot.hits = slot.hits.saturating_add(1);
        }
    }

    /// At open: what the index holds already.
    pub(crate) fn restore(&self, slot: Slot) -> bool {
        let mut shard = self.shard(slot.hash).write();
        if shard.positions.contains_key(&(slot.hash as u64)) {
            return false;
        }
        self.add(&mut shard, slot);
        true
    }

    fn add(&self, shard: &mut Shard, mut slot: Slot) -> u64 {
        slot.version = self.versions.fetch_add(1, Ordering::Relaxed);
        let at = shard.slots.len() as u32;
        shard.positions.insert(slot.hash as u64, at);
        shard.slots.push(slot);
        self.count.fetch_add(1, Ordering::Relaxed);
        slot.version
    }

    /// From now on this entry is on disk, with this record, as the version given back. Replaces what was there.
    pub(crate) fn put(&self, mut slot: Slot, record: Arc<Vec<u8>>) -> (u64, Change) {
        let mut change = Change::default();
        let hash = slot.hash;
        let mut shard = self.shard(hash).write();
        slot.used = self.clock.load(Ordering::Relaxed);
        if let Some(old) = shard.take(hash) {
            (slot.hits, change.found) = (old.hits, true);
            self.count.fetch_sub(1, Ordering::Relaxed);
        } else if let Some(at) = shard.positions.get(&(hash as u64)).copied() {
            let other = shard.slots[at as usize].hash;
            shard.take(other);
            self.count.fetch_sub(1, Ordering::Relaxed);
            shard.wish(other, Wish::Remove, &mut change);
            change.displaced = Some(other);
        }
        let version = self.add(&mut shard, slot);
        shard.wish(hash, Wish::Put(record), &mut change);
        (version, change)
    }

    /// Gives an entry another record, unless it has changed since `slot` was looked at.
    pub(crate) fn replace(&self, slot: Slot, record: Arc<Vec<u8>>) -> Option<Change> {
        let mut change = Change::default();
        let mut shard = self.shard(slot.hash).write();
        let at = shard.find(slot.hash).filter(|at| shard.slots[*at].version == slot.version)?;
        shard.slots[at].record = record.len() as u32;
        shard.wish(slot.hash, Wish::Put(record), &mut change);
        Some(change)
    }

    /// From now on this entry is not on disk. With `version`: only if it has not changed since.
    pub(crate) fn remove(&self, hash: u128, version: Option<u64>) -> Change {
        let mut change = Change::default();
        let mut shard = self.shard(hash).write();
        let Some(at) = shard.find(hash) else { return change };
        if version.is_some_and(|version| shard.slots[at].version != version) {
            return change;
        }
        shard.take(hash);
        self.count.fetch_sub(1, Ordering::Relaxed);
        change.found = true;
        shard.wish(hash, Wish::Remove, &mut change);
        change
    }

    /// The record of this hash if it has not reached the index yet. `Some(None)`: it is to be removed.
    pub(crate) fn waiting(&self, hash: u128) -> Option<Option<Arc<Vec<u8>>>> {
        self.shard(hash).read().waiting.get(&hash).map(|waiting| match &waiting.wish {
            Wish::Put(record) => Some(Arc::clone(record)),
            Wish::Remove => None,
        })
    }

    /// For the index thread: what to do about this hash.
    pub(crate) fn take_wish(&self, hash: u128) -> Option<Wish> {
        let mut shard = self.shard(hash).write();
        let waiting = shard.waiting.get_mut(&hash)?;
        waiting.taken = true;
        Some(waiting.wish.clone())
    }

    /// For the index thread: it is done, unless there is a new wish.
    pub(crate) fn wish_done(&self, hash: u128, wish: &Wish) {
        let mut shard = self.shard(hash).write();
        if shard.waiting.get(&hash).is_some_and(|waiting| waiting.taken && waiting.wish.same(wish)) {
            shard.waiting.remove(&hash);
        }
    }

    /// The least valuable of a few: the longest unused, for how often it was used. `hot`: in memory as well.
    pub(crate) fn victim(&self, hot: impl Fn(u128) -> bool) -> Option<Slot> {
        let now = self.clock.load(Ordering::Relaxed);
        let mut best: Option<(u64, Slot)> = None;
        let start = self.random() as usize;
        for step in 0..SHARDS {
            let shard = self.shards[(start + step) % SHARDS].read();
            for _ in 0..EVICT_SAMPLE.min(shard.slots.len()) {
                let slot = shard.slots[self.random() as usize % shard.slots.len()];
                let age = u64::from(now.wrapping_sub(slot.used)) * 16 / (1 + u64::from(slot.hits.min(15)));
                let age = if hot(slot.hash) { age / 8 } else { age };
                if best.is_none_or(|(oldest, _)| age > oldest) {
                    best = Some((age, slot));
                }
            }
            if step >= 3 && best.is_some() {
                break;
            }
        }
        best.map(|(_, slot)| slot)
    }

    /// For the index thread: a record could not be written. Whatever the index holds under this hash must go; returns
    /// the hash's change if the entry was still wanted.
    pub(crate) fn wish_failed(&self, hash: u128, wish: &Wish) -> Change {
        let mut change = Change::default();
        let mut shard = self.shard(hash).write();
        if !shard.waiting.get(&hash).is_some_and(|waiting| waiting.taken && waiting.wish.same(wish)) {
            return change;
        }
        if shard.take(hash).is_some() {
            self.count.fetch_sub(1, Ordering::Relaxed);
            change.found = true;
        }
        shard.waiting.insert(hash, Waiting { wish: Wish::Remove, taken: false });
        change
    }

    /// The slots of one of [`Slots::shards`] shards.
    pub(crate) fn shard_copy(&self, number: usize) -> Vec<Slot> {
        self.shards[number].read().slots.clone()
    }

    pub(crate) const fn shards() -> usize {
        SHARDS
    }

    fn random(&self) -> u64 {
        // splitmix64: any two threads get different numbers.
        let mut z = self.random.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(hash: u128) -> Slot {
        Slot::new(hash, 0, 10, 100)
    }

    fn record() -> Arc<Vec<u8>> {
        Arc::new(vec![1])
    }

    #[test]
    fn slots_are_found_until_removed() {
        let slots = Slots::new();
        for hash in 0..1000 {
            slots.put(slot(hash << 100 | hash), record());
        }
        for hash in (0..1000).step_by(2) {
            assert!(slots.remove(hash << 100 | hash, None).found);
        }
        for hash in 0..1000 {
            assert_eq!(slots.get(hash << 100 | hash).is_some(), hash % 2 == 1);
        }
        assert_eq!(slots.len(), 500);
    }

    #[test]
    fn only_the_version_that_was_meant_is_removed() {
        let slots = Slots::new();
        slots.put(slot(7), record());
        let old = slots.get(7).unwrap().version;
        slots.put(slot(7), record());
        assert!(!slots.remove(7, Some(old)).found);
        assert!(slots.remove(7, slots.get(7).map(|slot| slot.version)).found);
    }

    #[test]
    fn a_record_that_is_overtaken_is_given_back_once() {
        let slots = Slots::new();
        let (first, second) = (record(), record());
        assert!(slots.put(slot(7), Arc::clone(&first)).1.news);
        let (_, change) = slots.put(slot(7), Arc::clone(&second));
        assert!(!change.news, "the index thread knows of this hash already");
        assert!(Arc::ptr_eq(&change.unwritten[0], &first));
        let wish = slots.take_wish(7).unwrap();
        let change = slots.remove(7, None);
        assert!(change.news && change.unwritten.is_empty(), "the index thread is writing it");
        slots.wish_done(7, &wish);
        assert!(matches!(slots.take_wish(7), Some(Wish::Remove)));
        assert!(matches!(slots.waiting(7), Some(None)));
        slots.wish_done(7, &Wish::Remove);
        assert!(slots.waiting(7).is_none());
    }

    #[test]
    fn hashes_that_share_a_half_displace_each_other() {
        let slots = Slots::new();
        slots.put(slot(7), record());
        let (_, change) = slots.put(slot(7 | 1 << 70), record());
        assert_eq!(change.displaced, Some(7));
        assert!(slots.get(7).is_none() && slots.get(7 | 1 << 70).is_some());
    }

    #[test]
    fn the_victim_is_old_and_rarely_used() {
        let slots = Slots::new();
        for hash in 0..8 {
            slots.put(slot(hash), record());
        }
        for _ in 0..3 {
            (0..8).filter(|hash| *hash != 5).for_each(|hash| slots.touch(hash));
        }
        let victims: Vec<u128> =
            (0..20).filter_map(|_| slots.victim(|_| false)).map(|slot| slot.hash).collect();
        assert!(victims.iter().filter(|hash| **hash == 5).count() >= 10, "{victims:?}");
    }
}

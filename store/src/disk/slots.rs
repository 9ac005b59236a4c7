//! What lies on disk, in memory: a few words for every entry, so that an absent key never touches the disk, and the
//! records that wait to be written to the index.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use super::queues::{Lane, Lanes, Node, Part};
use crate::limits::{ASKS_MAX, DISK_UNIT, EVICT_LOOKS_MAX, EVICT_SPARED_MAX, RECORD_COST};
use crate::memory::Straight;
use crate::standing::{Share, Standing};

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
    /// Whose part of the disk it takes.
    share: u16,
    /// Where it stands among those that may be evicted.
    part: Part,
    /// How often it was asked for since it was last looked at for eviction, up to [`ASKS_MAX`].
    asks: u8,
}

impl Slot {
    /// `proven`: it was asked for again already.
    pub(crate) const fn new(
        hash: u128,
        born: u64,
        length: u64,
        record: u32,
        standing: Standing,
        proven: bool,
    ) -> Self {
        let part = match (standing.pinned, proven) {
            (true, _) => Part::Pinned,
            (false, true) => Part::Main,
            (false, false) => Part::Small,
        };
        Self { hash, version: 0, born, length, record, share: standing.share, part, asks: 0 }
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

/// What becomes of an entry that was looked at for eviction.
enum Looked {
    Stays,
    Leaves,
    Gone,
}

#[derive(Debug)]
pub(crate) struct Slots {
    shards: Vec<RwLock<Shard>>,
    versions: AtomicU64,
    count: AtomicU64,
    lanes: Lanes,
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
            count: AtomicU64::new(0),
            lanes: Lanes::new(),
        }
    }

    /// Sets who has which part of the disk, and how many bytes may be pinned.
    pub(crate) fn arrange(&self, shares: &[Share], pinned_max: u64) {
        self.lanes.arrange(shares, pinned_max);
    }

    /// Bytes of every share.
    pub(crate) fn bytes_by_share(&self) -> Vec<(u16, u64)> {
        self.lanes.bytes()
    }

    /// Bytes that are pinned.
    pub(crate) fn pinned(&self) -> u64 {
        self.lanes.pinned()
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
        let mut shard = self.shard(hash).write();
        if let Some(at) = shard.find(hash) {
            let slot = &mut shard.slots[at];
            slot.asks = (slot.asks + 1).min(ASKS_MAX);
        }
    }

    /// At open: what the index holds already.
    pub(crate) fn restore(&self, slot: Slot) -> bool {
        let mut shard = self.shard(slot.hash).write();
        if shard.positions.contains_key(&(slot.hash as u64)) {
            return false;
        }
        let slot = self.add(&mut shard, slot);
        drop(shard);
        self.enqueue(&slot);
        true
    }

    /// Its place in the queues is taken by [`Slots::enqueue`], without the lock.
    fn add(&self, shard: &mut Shard, mut slot: Slot) -> Slot {
        slot.version = self.versions.fetch_add(1, Ordering::Relaxed);
        if slot.part == Part::Pinned && !self.lanes.may_pin(slot.cost()) {
            slot.part = Part::Main;
        }
        let at = shard.slots.len() as u32;
        shard.positions.insert(slot.hash as u64, at);
        shard.slots.push(slot);
        self.count.fetch_add(1, Ordering::Relaxed);
        self.lanes.of(slot.share).charge(slot.part, slot.cost());
        slot
    }

    fn enqueue(&self, slot: &Slot) {
        self.enqueue_in(&self.lanes.of(slot.share), slot.part, Node::new(slot.hash, slot.version));
    }

    fn enqueue_in(&self, lane: &Lane, part: Part, node: Node) {
        lane.push(part, node, |node| self.get(node.hash()).is_some_and(|slot| slot.version == node.version));
    }

    fn take(&self, shard: &mut Shard, hash: u128) -> Option<Slot> {
        let slot = shard.take(hash)?;
        self.count.fetch_sub(1, Ordering::Relaxed);
        self.lanes.of(slot.share).release(slot.part, slot.cost());
        Some(slot)
    }

    /// From now on this entry is on disk, with this record, as the version given back. Replaces what was there.
    pub(crate) fn put(&self, mut slot: Slot, record: Arc<Vec<u8>>) -> (u64, Change) {
        let mut change = Change::default();
        let hash = slot.hash;
        let mut shard = self.shard(hash).write();
        if let Some(old) = self.take(&mut shard, hash) {
            (slot.asks, change.found) = (old.asks, true);
            if slot.part == Part::Small && old.part == Part::Main {
                slot.part = Part::Main;
            }
        } else if let Some(at) = shard.positions.get(&(hash as u64)).copied() {
            let other = shard.slots[at as usize].hash;
            self.take(&mut shard, other);
            shard.wish(other, Wish::Remove, &mut change);
            change.displaced = Some(other);
        }
        let slot = self.add(&mut shard, slot);
        shard.wish(hash, Wish::Put(record), &mut change);
        drop(shard);
        self.enqueue(&slot);
        (slot.version, change)
    }

    /// Gives an entry another record, unless it has changed since `slot` was looked at.
    pub(crate) fn replace(&self, slot: Slot, record: Arc<Vec<u8>>) -> Option<Change> {
        let mut change = Change::default();
        let mut shard = self.shard(slot.hash).write();
        let at = shard.find(slot.hash).filter(|at| shard.slots[*at].version == slot.version)?;
        let before = shard.slots[at];
        shard.slots[at].record = record.len() as u32;
        let (lane, after) = (self.lanes.of(before.share), shard.slots[at]);
        lane.charge(after.part, after.cost());
        lane.release(before.part, before.cost());
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
        self.take(&mut shard, hash);
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

    /// The entry that leaves next. `hot`: whether it is asked for in memory, where the disk does not see it.
    pub(crate) fn victim(&self, hot: impl Fn(u128) -> bool) -> Option<Slot> {
        let mut spared = 0;
        let mut last = None;
        for _ in 0..EVICT_LOOKS_MAX {
            if let Some(lane) = self.lanes.pinned_too_much()
                && let Some(node) = lane.pop(Part::Pinned)
            {
                self.unpin(&lane, node);
                continue;
            }
            let lane = self.lanes.fullest()?;
            let (part, node) = lane.next()?;
            let Some(slot) = self.get(node.hash()).filter(|slot| slot.version == node.version) else {
                continue;
            };
            let hot = slot.asks == 0 && spared < EVICT_SPARED_MAX && hot(slot.hash);
            spared += usize::from(hot);
            match self.look(&lane, part, node, hot) {
                Looked::Stays => last = Some(slot),
                Looked::Leaves => return Some(slot),
                Looked::Gone => {}
            }
        }
        last
    }

    /// Decides about one entry that has come to the front of its queue.
    fn look(&self, lane: &Lane, part: Part, node: Node, hot: bool) -> Looked {
        let mut shard = self.shard(node.hash()).write();
        let found = shard.find(node.hash()).filter(|at| {
            let slot = &shard.slots[*at];
            slot.version == node.version && slot.part == part
        });
        let Some(at) = found else { return Looked::Gone };
        let slot = &mut shard.slots[at];
        let needed = if part == Part::Main { lane.asks_needed(slot.cost()) } else { 1 };
        if slot.asks >= needed {
            slot.asks = if part == Part::Main { slot.asks - needed } else { 0 };
        } else if !hot {
            return Looked::Leaves;
        }
        if part == Part::Small {
            lane.release(part, slot.cost());
            slot.part = Part::Main;
            lane.charge(slot.part, slot.cost());
        }
        drop(shard);
        self.enqueue_in(lane, Part::Main, node);
        Looked::Stays
    }

    fn unpin(&self, lane: &Lane, node: Node) {
        let mut shard = self.shard(node.hash()).write();
        let Some(at) = shard.find(node.hash()).filter(|at| shard.slots[*at].version == node.version) else {
            return;
        };
        let slot = &mut shard.slots[at];
        lane.release(slot.part, slot.cost());
        slot.part = Part::Main;
        lane.charge(slot.part, slot.cost());
        drop(shard);
        self.enqueue_in(lane, Part::Main, node);
    }

    /// For the index thread: a record could not be written. Whatever the index holds under this hash must go; returns
    /// the hash's change if the entry was still wanted.
    pub(crate) fn wish_failed(&self, hash: u128, wish: &Wish) -> Change {
        let mut change = Change::default();
        let mut shard = self.shard(hash).write();
        if !shard.waiting.get(&hash).is_some_and(|waiting| waiting.taken && waiting.wish.same(wish)) {
            return change;
        }
        change.found = self.take(&mut shard, hash).is_some();
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
}

#[cfg(test)]
mod tests;

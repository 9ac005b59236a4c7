//! What lies on disk, in memory: a few words for every entry, so that an absent key never touches the disk. What is here
//! is what counts; the index follows.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use hashbrown::HashTable;
use parking_lot::RwLock;

use super::blocks::Body;
use super::frame::{At, record_bytes};
use super::queues::{Lane, Lanes, Node, Part};
use crate::limits::{ASKS_MAX, EVICT_LOOKS_MAX, EVICT_SPARED_MAX};
use crate::standing::{Share, Standing};

const SHARDS: usize = 64;

/// An entry on disk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot {
    key: [u64; 2],
    pub(crate) born: u64,
    /// Bytes of the body.
    pub(crate) length: u64,
    /// Grows with every change of what is kept under this hash, and begins anew after four billion.
    pub(crate) version: u32,
    /// Its frame.
    pub(crate) at: At,
    /// Bytes of the record.
    pub(crate) record: u32,
    /// Its blocks, referred to for it.
    pub(crate) body: Body,
    /// Of the URL, see [`crate::urls::Urls`].
    pub(crate) url: u32,
    /// Whose part of the disk it takes.
    share: u16,
    /// Where it stands among those that may be evicted.
    part: Part,
    /// How often it was asked for since it was last looked at for eviction, up to [`ASKS_MAX`].
    asks: u8,
    /// It is pinned, if not too much is.
    pinned: bool,
    /// A soft purge has expired it for good.
    pub(crate) expired: bool,
}

const _: () = assert!(size_of::<Slot>() == 64, "there is one for each entry");

impl Slot {
    /// `proven`: it was asked for again already.
    pub(crate) const fn new(
        hash: u128,
        born: u64,
        length: u64,
        url: u32,
        standing: Standing,
        proven: bool,
    ) -> Self {
        let part = match (standing.pinned, proven) {
            (true, _) => Part::Pinned,
            (false, true) => Part::Main,
            (false, false) => Part::Small,
        };
        Self {
            key: [hash as u64, (hash >> 64) as u64],
            born,
            length,
            version: 0,
            at: At::NOWHERE,
            record: 0,
            body: Body::EMPTY,
            url,
            share: standing.share,
            part,
            asks: 0,
            pinned: standing.pinned,
            expired: false,
        }
    }

    pub(crate) const fn hash(&self) -> u128 {
        self.key[0] as u128 | (self.key[1] as u128) << 64
    }

    pub(crate) const fn standing(&self) -> Standing {
        Standing { share: self.share, pinned: self.pinned }
    }

    pub(crate) const fn asks(&self) -> u8 {
        self.asks
    }

    /// Whether it has its place before `other`: it was asked for later or, if not, written later.
    pub(crate) fn is_later(&self, other: &Self) -> bool {
        (self.born, self.at) > (other.born, other.at)
    }

    /// A copy of its record alone, that is not wanted.
    pub(crate) fn copied(&self, at: At) -> Self {
        Self { at, body: Body::EMPTY, ..*self }
    }

    /// Bytes that are freed with it sooner or later, unless others share its blocks.
    pub(crate) const fn cost(&self) -> u64 {
        record_bytes(self.record) + self.length
    }
}

/// What becomes of an entry that was looked at for eviction.
enum Looked {
    Stays,
    Leaves,
    Gone,
}

#[derive(Debug, Default)]
struct Shard {
    /// Positions in `slots`.
    table: HashTable<u32>,
    slots: Vec<Slot>,
}

#[derive(Debug)]
pub(crate) struct Slots {
    shards: Vec<RwLock<Shard>>,
    versions: AtomicU32,
    count: AtomicU64,
    lanes: Lanes,
}

impl Shard {
    fn find(&self, hash: u128) -> Option<usize> {
        let found = self.table.find(hash as u64, |at| self.slots[*at as usize].hash() == hash);
        found.map(|at| *at as usize)
    }

    fn add(&mut self, slot: Slot) {
        let at = self.slots.len() as u32;
        // A quarter more each time, not twice as much.
        if self.slots.len() == self.slots.capacity() {
            self.slots.reserve_exact(64.max(self.slots.len() / 4));
        }
        self.slots.push(slot);
        let Self { table, slots } = self;
        table.insert_unique(slot.key[0], at, |at| slots[*at as usize].key[0]);
    }

    fn take(&mut self, hash: u128) -> Option<Slot> {
        let at = self.find(hash)?;
        self.table.find_entry(hash as u64, |found| *found as usize == at).ok()?.remove();
        let slot = self.slots.swap_remove(at);
        if let Some(moved) = self.slots.get(at) {
            let from = self.slots.len() as u32;
            if let Some(place) = self.table.find_mut(moved.key[0], |found| *found == from) {
                *place = at as u32;
            }
        }
        Some(slot)
    }
}

impl Slots {
    pub(crate) fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            versions: AtomicU32::new(1),
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

    fn version(&self) -> u32 {
        // 0 is the version of what is not on disk.
        self.versions.fetch_add(1, Ordering::Relaxed).max(1)
    }

    /// Its place in the queues is taken by [`Slots::enqueue`], without the lock.
    fn add(&self, shard: &mut Shard, mut slot: Slot) -> Slot {
        slot.version = self.version();
        if slot.part == Part::Pinned && !self.lanes.may_pin(slot.cost()) {
            slot.part = Part::Main;
        }
        shard.add(slot);
        self.count.fetch_add(1, Ordering::Relaxed);
        self.lanes.of(slot.share).charge(slot.part, slot.cost());
        slot
    }

    fn enqueue(&self, slot: &Slot) {
        self.enqueue_in(&self.lanes.of(slot.share), slot.part, Node::new(slot.hash(), slot.version));
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

    /// From now on this entry is on disk, as the version given back. Gives back what was there.
    pub(crate) fn put(&self, slot: Slot) -> (u32, Option<Slot>) {
        let mut shard = self.shard(slot.hash()).write();
        let (slot, old) = self.place(&mut shard, slot);
        drop(shard);
        self.enqueue(&slot);
        (slot.version, old)
    }

    fn place(&self, shard: &mut Shard, mut slot: Slot) -> (Slot, Option<Slot>) {
        let old = self.take(shard, slot.hash());
        if let Some(old) = &old {
            slot.asks = old.asks;
            if slot.part == Part::Small && old.part == Part::Main {
                slot.part = Part::Main;
            }
        }
        (self.add(shard, slot), old)
    }

    /// What was found on disk, unless something later has its place. Gives back what is not in place now.
    pub(crate) fn adopt(&self, slot: Slot) -> Option<Slot> {
        let mut shard = self.shard(slot.hash()).write();
        if shard.find(slot.hash()).is_some_and(|at| !slot.is_later(&shard.slots[at])) {
            return Some(slot);
        }
        let (slot, old) = self.place(&mut shard, slot);
        drop(shard);
        self.enqueue(&slot);
        old
    }

    /// Changes an entry in place, but not its size, unless it has changed since `slot` was looked at.
    pub(crate) fn change(&self, hash: u128, version: u32, change: impl FnOnce(&mut Slot)) -> bool {
        let mut shard = self.shard(hash).write();
        let found = shard.find(hash).filter(|at| shard.slots[*at].version == version);
        if let Some(at) = found {
            change(&mut shard.slots[at]);
        }
        found.is_some()
    }

    /// From now on this entry is not on disk. With `version`: only if it has not changed since.
    pub(crate) fn remove(&self, hash: u128, version: Option<u32>) -> Option<Slot> {
        let mut shard = self.shard(hash).write();
        let at = shard.find(hash)?;
        if version.is_some_and(|version| shard.slots[at].version != version) {
            return None;
        }
        self.take(&mut shard, hash)
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
            let hot = slot.asks == 0 && spared < EVICT_SPARED_MAX && hot(slot.hash());
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

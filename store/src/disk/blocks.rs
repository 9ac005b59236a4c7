//! Who refers to which block, and how much of the budget is taken.
//!
//! Every record and every open body counts one for each of its blocks. A file is removed when nobody is left, under the
//! lock of its shard, so that nobody can come to rely on it at that moment.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::content::{BlockInfo, Hash};
use crate::limits::DISK_UNIT;

const SHARDS: usize = 64;

/// Bytes on disk, reserved before they are written.
#[derive(Debug)]
pub(crate) struct Space {
    used: AtomicU64,
    budget: u64,
    freed: Condvar,
    guard: Mutex<()>,
}

impl Space {
    pub(crate) fn new(budget: u64) -> Self {
        Self { used: AtomicU64::new(0), budget, freed: Condvar::new(), guard: Mutex::new(()) }
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Acquire)
    }

    pub(crate) const fn budget(&self) -> u64 {
        self.budget
    }

    /// Takes `bytes` if they fit.
    pub(crate) fn reserve(&self, bytes: u64) -> bool {
        let fits = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= self.budget);
        self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits).is_ok()
    }

    /// Takes `bytes` that are there already.
    pub(crate) fn charge(&self, bytes: u64) {
        self.used.fetch_add(bytes, Ordering::AcqRel);
    }

    pub(crate) fn free(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::AcqRel);
        drop(self.guard.lock());
        self.freed.notify_all();
    }

    /// Waits until something is freed, or for this long.
    pub(crate) fn wait(&self, at_most: Duration) {
        self.freed.wait_for(&mut self.guard.lock(), at_most);
    }
}

/// What a block costs.
pub(crate) const fn cost(len: u32) -> u64 {
    (len as u64).next_multiple_of(DISK_UNIT)
}

#[derive(Debug)]
struct State {
    refs: u32,
    len: u32,
    /// On disk, complete, and not known to be damaged.
    present: bool,
}

/// What a new reference found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The block is there.
    Present,
    /// Write it, then say [`Blocks::written`].
    Write,
    /// Reserve its cost, then ask again.
    Unknown,
}

#[derive(Debug)]
pub(crate) struct Blocks {
    shards: Vec<Mutex<HashMap<Hash, State>>>,
    pub(crate) space: Space,
}

impl Blocks {
    pub(crate) fn new(budget: u64) -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), space: Space::new(budget) }
    }

    fn shard(&self, hash: &Hash) -> &Mutex<HashMap<Hash, State>> {
        &self.shards[usize::from(hash[31]) % SHARDS]
    }

    /// A new reference to a block that may have to be written. With `reserved` its cost was reserved, and is given back if
    /// somebody else had it already.
    pub(crate) fn refer(&self, block: &BlockInfo, reserved: bool) -> Found {
        match self.shard(&block.hash).lock().entry(block.hash) {
            Entry::Occupied(mut entry) => {
                let state = entry.get_mut();
                state.refs += 1;
                if reserved {
                    self.space.free(cost(block.len));
                }
                if state.present { Found::Present } else { Found::Write }
            }
            Entry::Vacant(entry) if reserved => {
                entry.insert(State { refs: 1, len: block.len, present: false });
                Found::Write
            }
            Entry::Vacant(_) => Found::Unknown,
        }
    }

    /// New references to blocks that must all be there; otherwise none.
    pub(crate) fn refer_all(&self, blocks: &[Arc<BlockInfo>], remove: impl Fn(&Hash)) -> bool {
        for (done, block) in blocks.iter().enumerate() {
            let mut shard = self.shard(&block.hash).lock();
            match shard.get_mut(&block.hash) {
                Some(state) if state.present && state.len == block.len => state.refs += 1,
                _ => {
                    drop(shard);
                    blocks[..done].iter().for_each(|block| self.drop_one(block, &remove));
                    return false;
                }
            }
        }
        true
    }

    /// At open: a reference of a record to a block that is believed to be there.
    pub(crate) fn restore(&self, block: &BlockInfo) {
        let mut shard = self.shard(&block.hash).lock();
        let state = shard.entry(block.hash).or_insert_with(|| {
            self.space.charge(cost(block.len));
            State { refs: 0, len: block.len, present: true }
        });
        state.refs += 1;
    }

    /// The block is on disk now.
    pub(crate) fn written(&self, hash: &Hash) {
        if let Some(state) = self.shard(hash).lock().get_mut(hash) {
            state.present = true;
        }
    }

    /// The block on disk is bad: whoever brings it again shall write it again.
    pub(crate) fn damaged(&self, hash: &Hash) {
        if let Some(state) = self.shard(hash).lock().get_mut(hash) {
            state.present = false;
        }
    }

    /// One reference less; with the last one `remove` is called under the lock.
    pub(crate) fn drop_one(&self, block: &BlockInfo, remove: impl FnOnce(&Hash)) {
        let mut shard = self.shard(&block.hash).lock();
        let Entry::Occupied(mut entry) = shard.entry(block.hash) else { return };
        let state = entry.get_mut();
        state.refs -= 1;
        if state.refs == 0 {
            remove(&block.hash);
            let bytes = cost(state.len);
            entry.remove();
            drop(shard);
            self.space.free(bytes);
        }
    }

    /// Calls `remove` under the lock unless somebody refers to this block.
    pub(crate) fn if_orphan(&self, hash: &Hash, remove: impl FnOnce()) {
        let shard = self.shard(hash).lock();
        if !shard.contains_key(hash) {
            remove();
        }
    }

    #[cfg(test)]
    fn refs(&self, hash: &Hash) -> u32 {
        self.shard(hash).lock().get(hash).map_or(0, |state| state.refs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::content::describe;

    fn block(byte: u8) -> Arc<BlockInfo> {
        Arc::new(describe(&[vec![byte; 10].into()]))
    }

    #[test]
    fn equal_blocks_are_charged_once_and_removed_with_the_last_reference() {
        let blocks = Blocks::new(DISK_UNIT);
        let one = block(1);
        assert_eq!(blocks.refer(&one, false), Found::Unknown);
        assert!(blocks.space.reserve(cost(one.len)));
        assert_eq!(blocks.refer(&one, true), Found::Write);
        assert_eq!(blocks.refer(&one, false), Found::Write, "not written yet");
        assert!(!blocks.refer_all(&[Arc::clone(&one)], |_| {}), "not there yet");
        blocks.written(&one.hash);
        assert_eq!(blocks.refer(&one, false), Found::Present);
        assert!(!blocks.space.reserve(1));
        let mut removed = 0;
        for left in [2, 1, 0] {
            blocks.drop_one(&one, |_| removed += 1);
            assert_eq!((blocks.refs(&one.hash), removed), (left, u32::from(left == 0)));
        }
        assert_eq!(blocks.space.used(), 0);
    }

    #[test]
    fn references_are_all_or_none() {
        let blocks = Blocks::new(1 << 20);
        let (one, two) = (block(1), block(2));
        blocks.restore(&one);
        assert!(!blocks.refer_all(&[Arc::clone(&one), Arc::clone(&two)], |_| {}));
        assert_eq!(blocks.refs(&one.hash), 1);
        blocks.damaged(&one.hash);
        assert!(!blocks.refer_all(&[Arc::clone(&one)], |_| {}), "a damaged block is not there");
        assert_eq!(blocks.refer(&one, false), Found::Write, "and is written again");
    }
}

//! Space: evicting entries when new ones need room, and removing files that no record knows.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::fs::statvfs;

use super::Disk;
use crate::error::NotKept;
use crate::limits::ROOM_WAIT;
use crate::stats::Counters;

/// Share of the budget, in percent, above which entries are evicted before anybody waits for it.
const HIGH_WATER: u64 = 98;
/// Time after which who waits for space looks again.
const TURN: Duration = Duration::from_millis(20);
/// Part of the file system's inodes below which it is short of them.
const INODES_PART: u64 = 100;
/// Entries evicted ahead in one go.
const AHEAD: usize = 64;

impl Disk {
    /// Reserves bytes of the budget, evicting as much as it takes.
    pub(super) fn make_room(&self, bytes: u64) -> Result<(), NotKept> {
        let space = &self.blocks.space;
        if bytes > space.budget() {
            return Err(NotKept::TooLarge);
        }
        let until = Instant::now() + ROOM_WAIT;
        let mut coming = 0;
        while !space.reserve(bytes) {
            if Instant::now() > until {
                return Err(NotKept::Busy);
            }
            // Space comes back with the next flush of the index: make each worth it.
            let wanted = bytes + space.budget() / 100;
            let mut evicted = 0;
            while coming < wanted && evicted < AHEAD {
                let Some(freed) = self.evict() else { break };
                coming += freed;
                evicted += 1;
            }
            if coming == 0 {
                // Nothing to evict, and nothing on its way: what is left is being read or filled.
                return Err(NotKept::Busy);
            }
            self.keeper.hurry();
            space.wait(TURN);
            // What was evicted may share its blocks or be read by somebody: then more must go.
            coming = if evicted == 0 { 0 } else { coming };
        }
        Ok(())
    }

    /// Looks at what the file system has left. Blocks.
    pub(crate) fn watch_space(&self) {
        if self.free_min == 0 {
            return;
        }
        let Ok(system) = statvfs(&self.directory) else { return };
        let free = self.faults.free().unwrap_or_else(|| system.f_bavail.saturating_mul(system.f_frsize));
        // Some file systems do not count inodes.
        let inodes_low = system.f_files > 0 && system.f_favail < system.f_files / INODES_PART;
        // What was short stays so until there is clearly more, or it would come and go with each body.
        let least = if self.health.short() { self.free_min + self.free_min / 8 } else { self.free_min };
        let short = free < least || inodes_low;
        if self.health.set_short(short) {
            let (free_min, inodes) = (self.free_min, system.f_favail);
            if short {
                Counters::add(&self.counters.steps_back);
                tracing::error!(
                    free,
                    free_min,
                    inodes,
                    "the file system is short of space: the cache makes room"
                );
            } else {
                tracing::info!(free, free_min, inodes, "the file system has room again");
            }
        }
    }

    /// Evicts ahead of need.
    pub(crate) fn reclaim(&self) {
        if self.health.short() {
            for _ in 0..AHEAD {
                if self.evict().is_none() {
                    break;
                }
            }
            self.keeper.hurry();
        }
        let space = &self.blocks.space;
        let high = space.budget() / 100 * HIGH_WATER;
        let mut coming = 0;
        for _ in 0..AHEAD {
            if space.used().saturating_sub(coming) <= high {
                return;
            }
            match self.evict() {
                Some(freed) => coming += freed,
                None => return,
            }
        }
    }

    fn evict(&self) -> Option<u64> {
        let above = self.above.get();
        let slot = self.slots.victim(|hash| above.is_some_and(|above| above.hot(hash)))?;
        if self.forget(slot.hash, Some(slot.version)) {
            self.gate.note(slot.hash);
            Counters::add(&self.counters.evictions);
            if let Some(above) = above {
                above.evicted(slot.hash);
            }
        }
        Some(slot.cost())
    }

    /// Removes files that no record and no fill knows. `go_on` is asked between two directories.
    pub(crate) fn sweep_orphans(&self, mut go_on: impl FnMut() -> bool) {
        if !self.orphans.swap(false, Ordering::Relaxed) {
            return;
        }
        for part in 0..=u8::MAX {
            if !go_on() {
                self.orphans.store(true, Ordering::Relaxed);
                return;
            }
            match self.content.list(part) {
                Ok((blocks, strangers)) => {
                    for hash in blocks {
                        self.blocks.if_orphan(&hash, || match self.content.remove(&hash) {
                            Ok(()) => Counters::add(&self.counters.orphans),
                            Err(error) => self.count_error("remove", &error),
                        });
                    }
                    for path in strangers {
                        tracing::warn!(path = %path.display(), "not a file of the store, left alone");
                    }
                }
                Err(error) => self.count_error("list", &error),
            }
        }
    }
}

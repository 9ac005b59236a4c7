//! Space: evicting entries when new ones need room, and removing files that no record knows.

use std::sync::atomic::Ordering;
use std::time::Instant;

use rustix::fs::statvfs;

use super::Disk;
use crate::error::NotKept;
use crate::limits::{ROOM_WAIT, TURN};
use crate::stats::Counters;

/// Share of the budget, in percent, above which entries are evicted before anybody waits for it.
const HIGH_WATER: u64 = 98;
/// Part of the file system's inodes below which it is short of them.
const INODES_PART: u64 = 100;
/// Entries evicted in one go.
const AHEAD: usize = 64;

impl Disk {
    /// Reserves bytes of the budget for a file, evicting as much as it takes. Blocks.
    pub(super) fn make_room(&self, bytes: u64) -> Result<(), NotKept> {
        let space = &self.blocks.space;
        if bytes > space.most() {
            return Err(NotKept::TooLarge);
        }
        let until = Instant::now() + ROOM_WAIT;
        while !space.reserve(bytes) {
            // A little more than is wanted: each turn of the index thread should be worth it.
            if Instant::now() > until || !self.give_back(bytes + space.budget() / 100) {
                // Nothing to evict: what is left is being read or filled.
                return Err(NotKept::Busy);
            }
            self.keeper.hurry();
            space.wait(TURN);
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

    /// Evicts entries that are worth least, and has segments cleaned if they lie in some; false if there is none.
    fn give_back(&self, bytes: u64) -> bool {
        let mut coming = 0;
        for _ in 0..AHEAD {
            let Some(victim) = self.victim() else { return coming > 0 };
            self.evict(&victim);
            if self.is_packed(&victim) {
                // One by one they give nothing back: the packer gives back what is around them.
                self.packer.clean();
                return true;
            }
            coming += victim.cost();
            if coming >= bytes {
                break;
            }
        }
        true
    }

    /// Evicts ahead of need.
    pub(crate) fn reclaim(&self) {
        if self.health.short() {
            self.give_back(u64::MAX);
            self.keeper.hurry();
        }
        let space = &self.blocks.space;
        let high = space.most() / 100 * HIGH_WATER;
        let over = space.used().saturating_sub(high);
        if over > 0 {
            self.give_back(over);
        }
    }

    /// Removes files that no record and no fill knows. `go_on` is asked between two directories.
    pub(crate) fn sweep_orphans(&self, mut go_on: impl FnMut() -> bool) {
        // While the index is rebuilt nobody knows which files are wanted.
        if self.rebuilding() || !self.orphans.swap(false, Ordering::Relaxed) {
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

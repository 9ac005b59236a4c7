//! The memory tier as the disk below it sees it.

use std::sync::Arc;

use crate::disk::Above;
use crate::entry::Head;
use crate::memory::Memory;
use crate::purge::tables::Tables;
use crate::tier::Tier;

/// A memory tier as the disk sees it.
pub(crate) struct MemoryAbove<H: Head> {
    pub(crate) memory: Arc<Memory<H>>,
    pub(crate) tables: Arc<Tables>,
}

impl<H: Head> Above for MemoryAbove<H> {
    fn hot(&self, hash: u128) -> bool {
        self.memory.is_proven(hash)
    }

    fn evicted(&self, hash: u128) {
        self.memory.displaced(hash);
        if self.memory.remove_if(hash, |entry| entry.tier() == Tier::Disk) {
            // moka lets go of a removed value when it gets round to it; its blocks are wanted now.
            self.memory.settle();
        }
    }

    fn seq(&self) -> u64 {
        self.tables.seq().0
    }
}

//! What a store can be asked about itself.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident),+ $(,)?) => {
        /// Events counted since the start of the process.
        #[derive(Debug, Default)]
        pub(crate) struct Counters { $(pub(crate) $name: AtomicU64),+ }

        /// Events counted since the start of the process.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct Events { $($(#[doc = $doc])+ pub $name: u64),+ }

        impl Counters {
            pub(crate) fn snapshot(&self) -> Events {
                Events { $($name: self.$name.load(Ordering::Relaxed)),+ }
            }
        }
    };
}

counters! {
    /// Lookups answered from memory.
    memory_hits,
    /// Lookups answered from disk.
    disk_hits,
    /// Lookups that found nothing.
    misses,
    /// Lookups that found an entry that was purged or broken, counted as misses too.
    dead,
    /// Lookups refused because the disk had too much to do.
    busy,
    /// Bodies committed.
    commits,
    /// Bodies that were complete but not kept.
    not_kept,
    /// Entries that went to memory only, because the disk could not keep up, was resting or had no room.
    stores_dropped,
    /// Entries that went to memory only, because they were asked for once and the disk is crowded.
    not_admitted,
    /// Entries written to disk because they were asked for again while they were in memory.
    admitted_again,
    /// Bytes of blocks written to disk.
    written_bytes,
    /// Entries evicted from disk for space.
    evictions,
    /// Calls to the disk that failed.
    disk_errors,
    /// Records or bodies found damaged, each removed.
    corrupt,
    /// Blocks that were on disk already when they were to be written.
    deduplicated,
    /// Bytes of the same.
    deduplicated_bytes,
    /// Purges applied.
    purges,
    /// Dead entries removed by sweeps.
    swept,
    /// Files without a record removed.
    orphans,
    /// Bytes of bodies on disk that were read to be compared with their checksums.
    scrubbed_bytes,
    /// Times that all bodies on disk were.
    scrub_passes,
    /// Entries that were found damaged so, and removed.
    scrub_damaged,
    /// Times the disk stepped back after errors or for want of space.
    steps_back,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64) {
        Self::add_many(counter, 1);
    }

    pub(crate) fn add_many(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }

    /// A block of so many bytes need not be written.
    pub(crate) fn deduplicated(&self, bytes: u64) {
        Self::add(&self.deduplicated);
        self.deduplicated_bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// A look at the store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Entries in memory.
    pub memory_objects: u64,
    /// Bytes of entries in memory, overhead included.
    pub memory_bytes: u64,
    /// The most that `memory_bytes` may be.
    pub memory_budget: u64,
    /// Entries on disk.
    pub disk_objects: u64,
    /// Bytes taken or reserved on disk.
    pub disk_bytes: u64,
    /// The most that `disk_bytes` may be.
    pub disk_budget: u64,
    /// Bytes on disk that are not evicted for space.
    pub disk_pinned: u64,
    /// Bytes of bodies being filled that are in memory.
    pub flight_bytes: u64,
    /// Bytes of small bodies that wait to be written to disk.
    pub behind_bytes: u64,
    /// Selectors in the purge tables.
    pub purge_selectors: u64,
    /// Position of the newest purge.
    pub seq: u64,
    /// Whether the disk takes new entries. No as well when the store had to be opened without its disk.
    pub disk_healthy: bool,
    /// Entries that the scrub has seen in its last or present pass.
    pub scrub_seen: u64,
    /// What has happened.
    pub events: Events,
}

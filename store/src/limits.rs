//! Every limit of the store, with its unit and its reason. Nothing grows without a line here.

use std::sync::LazyLock;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};

pub(crate) const KIB: usize = 1024;
pub(crate) const MIB: usize = 1024 * KIB;

// --- bodies ---

/// Bytes of a block: what is deduplicated, stored in one file and kept back from memory as one.
pub(crate) const BLOCK_BYTES: usize = MIB;
/// Bytes under one checksum and given out at once from disk. A slow reader holds one of these.
pub(crate) const PIECE_BYTES: usize = 128 * KIB;
/// Bytes given out at once from memory; sharing them costs nothing.
pub(crate) const SLICE_BYTES: usize = 256 * KIB;
/// Chunks below this are copied together: an origin that sends single bytes must not cost 50 bytes for each.
pub(crate) const CHUNK_BYTES_MIN: usize = 4 * KIB;
/// Bytes copied together before they become one chunk.
pub(crate) const TAIL_BYTES: usize = 32 * KIB;
/// Bytes of one fill that may wait for the disk before its writer waits too.
pub(crate) const WINDOW_BYTES: u64 = 4 * MIB as u64;
/// Bytes of one fill that cannot be stored and waits for its slowest reader.
pub(crate) const RELAY_BYTES: u64 = MIB as u64;
/// The same when memory is short.
pub(crate) const RELAY_BYTES_SHORT: u64 = 64 * KIB as u64;
/// Bytes of all fills together, at the least; else a quarter of the memory tier.
pub(crate) const FLIGHT_BYTES_MIN: u64 = 16 * MIB as u64;
/// Seconds a fill that cannot be stored waits for its first reader.
pub(crate) const READER_WAIT_TICKS: u32 = 20;

/// Bytes of one body in the memory tier, at the most: it is read and copied as a whole.
pub(crate) const MEMORY_OBJECT_BYTES_MAX: u64 = 64 * MIB as u64;

// --- heads and keys, as read back from disk ---

/// Bytes of a record without its block list; a longer one was not written by us.
pub(crate) const RECORD_TEXT_BYTES_MAX: usize = 4 * MIB;
/// Tags of one entry; with more it is not kept, because a purge by one that was left out would miss it. What the CDNs
/// take, and 8 KB in memory.
pub const TAGS_MAX: usize = 1000;

// --- purges ---

/// Selectors in one purge.
pub(crate) const PURGE_SELECTORS_MAX: usize = 100_000;
/// Bytes of all texts of one purge.
pub(crate) const PURGE_BYTES_MAX: usize = 16 * MIB;
/// Bytes of the note kept with a purge.
pub(crate) const NOTE_BYTES_MAX: usize = 64 * KIB;
/// Selectors held in the tables before purges have to wait for a sweep.
pub(crate) const EPOCHS_MAX: usize = 2_000_000;
/// Regular expressions in force at a time: each costs every hit a match of its URL once, some 100 ns to some µs.
pub(crate) const BANS_MAX: usize = 128;
/// Purges that wait for one sync of the journal.
pub(crate) const PURGE_QUEUE_MAX: usize = 4096;
/// Bytes of the journal that make a rewrite worth while.
pub(crate) const JOURNAL_REWRITE_BYTES: u64 = 8 * MIB as u64;
/// Time after which a purge may be folded away: longer than any fetch samples its `born` before it makes a writer.
pub(crate) const FOLD_AGE: Duration = Duration::from_secs(15 * 60);
/// Time between two sweeps for dead entries.
pub(crate) const SWEEP_EVERY: Duration = Duration::from_secs(30);

/// Bytes of a memo: a few lines for each of a few dozen other nodes.
pub(crate) const MEMO_BYTES_MAX: usize = 256 * KIB;

// --- threads and queues ---

/// Turns of the maintenance thread.
pub(crate) const TICK: Duration = Duration::from_millis(250);
/// Reads that may wait for the I/O threads; more are answered `Busy`.
pub(crate) const READS_MAX: usize = 8192;
/// Writes that may wait for the I/O threads; more are not stored.
pub(crate) const WRITES_MAX: usize = 2048;
/// Bytes of small bodies that wait to be written, at the least; else an eighth of the memory tier.
pub(crate) const BEHIND_BYTES_MIN: u64 = 8 * MIB as u64;
/// Small bodies and records that wait for the packer; more are not stored.
pub(crate) const PARCELS_MAX: usize = 32 * KIB;
/// Hashes that wait for the index thread before the packer waits too.
pub(crate) const RECORDS_WAITING_MAX: usize = 64 * KIB;
/// Time between two flushes of the index: what a crash may forget.
pub(crate) const FLUSH_EVERY: Duration = Duration::from_millis(500);
/// Time an I/O thread waits for space or for the index before it gives the store up.
pub(crate) const ROOM_WAIT: Duration = Duration::from_secs(1);
/// Time after which who waits for space looks again.
pub(crate) const TURN: Duration = Duration::from_millis(20);
/// Time the packer waits for more to write at once.
pub(crate) const LINGER: Duration = Duration::from_millis(2);
/// Time one disk call may take before the disk counts as hanging.
pub(crate) const STALL: Duration = Duration::from_secs(3);
/// Time that a store being closed has to write what waits.
pub(crate) const CLOSE_WAIT: Duration = Duration::from_secs(3);
/// Write errors in a row after which the disk steps back.
pub(crate) const STEP_BACK_AFTER: u32 = 3;
/// Time between the start and the first look at all bodies: after a restart there is enough to read.
pub(crate) const SCRUB_START: Duration = Duration::from_secs(60);
/// Time between two looks at all bodies: rot is slow.
pub(crate) const SCRUB_REST: Duration = Duration::from_secs(6 * 3600);
/// Time it then rests before the next try.
pub(crate) const STEP_BACK: Duration = Duration::from_secs(3);

// --- what lies on disk ---

/// Bytes of sled's page cache; its default is a GiB, and it takes several times this.
pub(crate) const INDEX_CACHE_BYTES: u64 = 8 * MIB as u64;
/// Entries looked at to find one to evict, at the most: then the one looked at last leaves, whatever it is worth.
pub(crate) const EVICT_LOOKS_MAX: usize = 4096;
/// Entries that one eviction spares because memory is asked for them.
pub(crate) const EVICT_SPARED_MAX: usize = 64;
/// Asks that are counted for an entry on disk; more tell nothing about the future (S3-FIFO).
pub(crate) const ASKS_MAX: u8 = 3;
/// Keys that have left the disk or were not let in, and are remembered: 4 bytes each.
pub(crate) const GHOST_KEYS_MIN: u64 = 1024;
/// The same at the most, 8 MiB.
pub(crate) const GHOST_KEYS_MAX: u64 = 1 << 21;
/// Bytes of disk for which one key is remembered: a usual object.
pub(crate) const GHOST_OBJECT_BYTES: u64 = 16 * KIB as u64;
/// Percent of the memory tier for new entries, which no older one can keep out.
pub(crate) const WINDOW_PERCENT: u64 = 6;
/// Bytes of the usual line with its name, as the bound of the index counts them.
pub(crate) const INDEX_LINE_BYTES: u64 = 108;
/// Bytes of an index that are never worth a rewrite.
pub(crate) const INDEX_BYTES_MIN: u64 = 16 * MIB as u64;
/// Bytes a file really takes on disk are multiples of this.
pub(crate) const DISK_UNIT: u64 = 4096;
/// Bytes of a segment: a sixty-fourth of the budget, within these.
pub(crate) const SEGMENT_BYTES_MIN: u64 = 128 * KIB as u64;
/// The same.
pub(crate) const SEGMENT_BYTES_MAX: u64 = 32 * MIB as u64;
/// Bytes of the largest body that is packed into a segment, unless segments are small; larger ones are files.
pub(crate) const PACK_BYTES_MAX: u64 = 64 * KIB as u64;
/// Bytes that the packer writes at once.
pub(crate) const BATCH_BYTES: usize = MIB;
/// Segments open for reading, and as many files of blocks: a sixteenth of the descriptors this process may have, so that
/// its connections do not want for them.
pub(crate) fn open_files_max() -> usize {
    static MAX: LazyLock<usize> = LazyLock::new(|| {
        let may = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        usize::try_from(may / 16).unwrap_or(usize::MAX).clamp(8, 256)
    });
    *MAX
}
/// Bytes of budget for the two directories a block's file may need.
pub(crate) const DIRECTORIES_COST: u64 = 2 * DISK_UNIT;
/// Bytes of budget for a segment's line in its directory.
pub(crate) const SEGMENT_COST: u64 = 64;
/// Bytes of budget for the directories that are always there, and `lock`, `format` and the like.
pub(crate) const FIXED_COST: u64 = 64 * KIB as u64;

const _: () = {
    assert!(BLOCK_BYTES.is_multiple_of(PIECE_BYTES));
    assert!(PIECE_BYTES <= SLICE_BYTES);
    assert!(TAIL_BYTES >= CHUNK_BYTES_MIN && TAIL_BYTES <= BLOCK_BYTES);
    assert!(WINDOW_BYTES >= BLOCK_BYTES as u64);
};

//! The disk tier: small bodies and all records in segments, large bodies as content-addressed blocks, an index over both.
//!
//! # Order of writes
//! - Put: blocks, then the frame with the record, then the slot, then the index. A record points only to blocks that were
//!   complete and known by their checksums.
//! - Remove: the slot, then the frame's mark, then the index and blocks that nobody refers to any more. A block without a
//!   record is garbage and is swept.
//! - Space is reserved before it is written and given back when it is free again.
//!
//! What counts is what lies in the segments: the index only says it faster, and is rebuilt from them when it is lost.
//! Nothing is synced but the journal of purges: after a power failure a block may hold anything, which its checksums tell.
//!
//! # Who may block
//! I/O threads ([`pool`]), the packer and the index thread ([`keeper`]). Nothing here that a worker calls does.

mod blocks;
mod bodies;
mod body;
mod clean;
mod content;
mod fetch;
mod frame;
mod health;
mod index;
mod keeper;
mod line;
mod now;
mod packer;
mod pool;
mod queues;
mod rebuild;
mod reclaim;
mod record;
mod recover;
mod segments;
mod slots;
mod space;

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::admission::{Gate, Verdict};
use crate::config::Config;
use crate::error::OpenError;
use crate::fault::Faults;
use crate::limits::{CLOSE_WAIT, STALL, STEP_BACK};
use crate::standing::Share;
use crate::stats::Counters;
use crate::urls::Urls;

use blocks::Blocks;
use content::Content;
use frame::{At, Mark};
use health::Health;
use index::Index;
use keeper::Keeper;
use packer::Packer;
use pool::Pool;
use segments::Segments;

pub(crate) use blocks::Body;
pub(crate) use body::DiskBody;
pub(crate) use content::{BlockInfo, OpenBlock, Piece, PieceError, describe};
pub(crate) use fetch::{How, NotFetched, checked};
pub(crate) use packer::{Packet, Parcel};
pub(crate) use record::Record;
pub(crate) use recover::{full, make_room, ours, trouble};
pub(crate) use slots::{Slot, Slots};

/// What the disk tier asks of the one above it.
pub(crate) trait Above: Send + Sync {
    /// Whether the entry is in memory and was asked for there.
    fn hot(&self, hash: u128) -> bool;
    /// The entry has left the disk.
    fn evicted(&self, hash: u128);
    /// Position of the newest purge, to be noted in the index.
    fn seq(&self) -> u64;
}

pub(crate) struct Disk {
    content: Content,
    segments: Segments,
    blocks: Blocks,
    slots: Slots,
    gate: Gate,
    /// What may be here, by URL; the tiers above add to it.
    pub(crate) urls: Arc<Urls>,
    index: Index,
    keeper: Keeper,
    packer: Packer,
    pool: Arc<Pool>,
    health: Health,
    counters: Arc<Counters>,
    above: OnceLock<Box<dyn Above>>,
    /// There may be files that no record knows.
    orphans: AtomicBool,
    /// The index was lost: while it is rebuilt, what was removed meanwhile.
    rebuilding: Mutex<Option<HashSet<u128>>>,
    rebuilds: AtomicBool,
    directory: PathBuf,
    free_min: u64,
    lock: Mutex<Option<File>>,
    faults: Arc<Faults>,
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk").field("slots", &self.slots.len()).finish_non_exhaustive()
    }
}

impl Disk {
    /// Opens the tier; also says the highest position of a purge that it knows of, if it holds anything.
    pub(crate) fn open(
        config: &Config,
        counters: Arc<Counters>,
        faults: &Arc<Faults>,
    ) -> Result<(Arc<Self>, Option<u64>), OpenError> {
        let (directory, budget): (&Path, _) = (&config.directory, config.disk);
        let found = recover::recover(directory, budget, faults)?;
        found.slots.arrange(&config.shares, budget / 100 * u64::from(config.pinned_max));
        let seq = found.holds_anything.then_some(found.seq);
        let next = found.next;
        let disk = Arc::new(Self {
            content: Content::new(directory, Arc::clone(faults)),
            segments: found.segments,
            blocks: found.blocks,
            slots: found.slots,
            gate: Gate::new(config.admission, budget),
            urls: Arc::new(found.urls),
            index: found.index,
            keeper: Keeper::default(),
            packer: Packer::new(packer::segment_bytes(budget)),
            pool: Pool::start(config.io_threads.max(2)).map_err(OpenError::Thread)?,
            health: Health::new(),
            counters,
            above: OnceLock::new(),
            orphans: AtomicBool::new(true),
            directory: directory.to_owned(),
            free_min: config.free_min,
            rebuilding: Mutex::new(found.lost.then(HashSet::new)),
            rebuilds: AtomicBool::new(found.lost),
            lock: Mutex::new(Some(found.lock)),
            faults: Arc::clone(faults),
        });
        for slot in found.buried {
            disk.keeper.bury(slot);
        }
        found.news.iter().for_each(|hash| disk.keeper.news(*hash));
        disk.packer.set_upto(At { segment: next, offset: 0 });
        disk.keeper.sweep();
        disk.start("larder-index", Self::keep_index)?;
        disk.start("larder-pack", move |disk| disk.pack(next))?;
        Ok((disk, seq))
    }

    fn start(
        self: &Arc<Self>,
        name: &str,
        work: impl FnOnce(&Arc<Self>) + Send + 'static,
    ) -> Result<(), OpenError> {
        let mine = Arc::clone(self);
        let started = thread::Builder::new().name(name.into()).spawn(move || work(&mine));
        started.map(drop).map_err(|error| {
            self.pool.close();
            self.packer.close();
            self.keeper.close();
            OpenError::Thread(error)
        })
    }

    /// Goes to work below a tier that knows the purges.
    pub(crate) fn set_above(self: &Arc<Self>, above: Box<dyn Above>) -> Result<(), OpenError> {
        let _ = self.above.set(above);
        if self.rebuilding() { self.start("larder-rebuild", Self::rebuild) } else { Ok(()) }
    }

    fn above(&self) -> Option<&dyn Above> {
        self.above.get().map(|above| &**above)
    }

    fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Whether the index was lost and not everything has been found again.
    pub(crate) fn rebuilding(&self) -> bool {
        self.rebuilds.load(Ordering::Acquire)
    }

    /// Position of the newest purge.
    fn seq(&self) -> u64 {
        self.above.get().map_or(0, |above| above.seq())
    }

    /// Whether new entries are taken.
    pub(crate) fn healthy(&self) -> bool {
        self.health.good()
    }

    pub(crate) fn objects(&self) -> u64 {
        self.slots.len()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.blocks.space.used()
    }

    pub(crate) fn budget(&self) -> u64 {
        self.blocks.space.budget()
    }

    /// Sets who has which part, and what percentage may be pinned.
    pub(crate) fn arrange(&self, shares: &[Share], pinned_max: u8) {
        self.slots.arrange(shares, self.budget() / 100 * u64::from(pinned_max));
    }

    /// Bytes that are pinned.
    pub(crate) fn pinned(&self) -> u64 {
        self.slots.pinned()
    }

    /// Bytes of every share.
    pub(crate) fn bytes_by_share(&self) -> Vec<(u16, u64)> {
        self.slots.bytes_by_share()
    }

    /// Whether a new key is written.
    pub(crate) fn judge(&self, hash: u128) -> Verdict {
        self.gate.judge(hash, self.bytes(), self.blocks.space.most())
    }

    /// Whether a key was here or asked for a while ago.
    pub(crate) fn recall(&self, hash: u128) -> bool {
        self.gate.recall(hash)
    }

    pub(crate) fn slot(&self, hash: u128) -> Option<Slot> {
        self.slots.get(hash)
    }

    pub(crate) fn touch(&self, hash: u128) {
        self.slots.touch(hash);
    }

    /// All entries, shard by shard.
    pub(crate) fn each_shard(&self) -> impl Iterator<Item = Vec<Slot>> + '_ {
        (0..Slots::shards()).map(|number| self.slots.shard_copy(number))
    }

    /// The entries of one of [`Slots::shards`] shards.
    pub(crate) fn shard(&self, number: usize) -> Vec<Slot> {
        self.slots.shard_copy(number)
    }

    /// Forgets an entry; with `version` only if it has not changed since. The disk follows behind.
    pub(crate) fn forget(&self, hash: u128, version: Option<u32>) -> bool {
        if self.rebuilding()
            && let Some(removed) = &mut *self.rebuilding.lock()
        {
            removed.insert(hash);
        }
        let gone = self.slots.remove(hash, version);
        let found = gone.is_some();
        gone.into_iter().for_each(|slot| self.keeper.bury(slot));
        found
    }

    /// Appends a record, and perhaps a body, when its turn comes; false when too many wait. `rush`: somebody waits for it.
    pub(crate) fn append(&self, parcel: Box<dyn Parcel>, rush: bool) -> bool {
        self.packer.send(parcel, rush)
    }

    /// The entry is on disk from now on; its frame is written and its blocks are referred to.
    pub(crate) fn put(&self, slot: Slot) -> u32 {
        let (version, old) = self.slots.put(slot);
        old.into_iter().for_each(|old| self.keeper.bury(old));
        self.keeper.news(slot.hash());
        version
    }

    /// What was written for this slot is not wanted.
    pub(crate) fn discard(&self, slot: Slot) {
        self.keeper.bury(slot);
    }

    /// Waits, for a second at the most, until the threads behind have caught up. For who may block.
    pub(crate) fn catch_up(&self) {
        let _ = self.keeper.wait_for_room();
    }

    /// Notes that a soft purge has expired an entry.
    pub(crate) fn expire(&self, slot: Slot) {
        if self.slots.change(slot.hash(), slot.version, |slot| slot.expired = true) {
            self.mark_expired(slot.hash());
        }
    }

    /// Changes the mark of an entry that has expired.
    pub(crate) fn mark_expired(&self, hash: u128) {
        if let Some(slot) = self.slots.get(hash).filter(|slot| slot.expired) {
            self.keeper.mark(slot.at, Mark::Expired, hash);
        }
    }

    /// Gives references back, without waiting.
    pub(crate) fn release_body(&self, body: Body) {
        if body != Body::EMPTY {
            self.keeper.let_go_body(body);
        }
    }

    /// A job that begins with a read; false when there are too many.
    pub(crate) fn read_job(&self, job: impl FnOnce() + Send + 'static) -> bool {
        self.pool.read(Box::new(job))
    }

    /// A job that writes; false when there are too many.
    pub(crate) fn write_job(&self, job: impl FnOnce() + Send + 'static) -> bool {
        self.pool.write(Box::new(job))
    }

    /// Answers when all records so far are in the index, and that on disk.
    pub(crate) fn flush(&self) -> oneshot::Receiver<io::Result<()>> {
        self.keeper.flush()
    }

    /// Looks after itself; called every [`crate::limits::TICK`]. Says whether the disk hangs.
    pub(crate) fn tick(&self) -> bool {
        let stalled = self.pool.slowest().max(self.packer.slowest()) > STALL;
        if self.health.set_stalled(stalled) {
            tracing::warn!(stalled, "the disk does not answer, or does again");
        }
        self.reclaim();
        stalled
    }

    /// Whether a lookup may hope for an answer.
    pub(crate) fn readable(&self) -> bool {
        !self.health.stalled()
    }

    fn write_failed(&self, what: &'static str, error: &io::Error) {
        self.count_error(what, error);
        if self.health.failure() {
            Counters::add(&self.counters.steps_back);
            tracing::error!(seconds = STEP_BACK.as_secs(), "the disk fails: nothing is stored for a while");
        }
    }

    fn count_error(&self, what: &'static str, error: &io::Error) {
        Counters::add(&self.counters.disk_errors);
        if self.health.loud() {
            tracing::warn!(what, %error, "the disk failed");
        }
    }

    fn unlock(&self) {
        drop(self.lock.lock().take());
    }

    /// Ends the threads when they have done what they were told.
    pub(crate) fn close(&self) {
        self.keeper.close();
    }

    /// The same, and waits for them. For who may block.
    pub(crate) fn close_now(&self) {
        self.close();
        self.keeper.wait_ended(CLOSE_WAIT * 2);
    }

    /// Answers when they have ended.
    pub(crate) fn ended(&self) -> oneshot::Receiver<()> {
        self.keeper.ended()
    }
}

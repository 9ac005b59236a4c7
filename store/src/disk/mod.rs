//! The disk tier: bodies as content-addressed blocks, records in an index.
//!
//! # Order of writes
//! - Put: blocks, then the record. A record points only to blocks that were complete and known by their checksums.
//! - Remove: the record, then blocks that nobody refers to any more. A block without a record is garbage and is swept.
//! - Space is reserved before it is written and given back when it is free again.
//!
//! Nothing is synced but the journal of purges: after a power failure a block may hold anything, which its checksums tell.
//!
//! # Who may block
//! I/O threads ([`pool`]) and the index thread ([`keeper`]). Nothing here that a worker calls does.

mod blocks;
mod body;
mod content;
mod health;
mod index;
mod keeper;
mod pool;
mod queues;
mod reclaim;
mod record;
mod recover;
mod slots;

use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::thread;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::admission::{Gate, Verdict};
use crate::config::Config;
use crate::error::{NotKept, OpenError};
use crate::fault::Faults;
use crate::fill::Fill;
use crate::limits::{CLOSE_WAIT, STALL, STEP_BACK};
use crate::standing::Share;
use crate::stats::Counters;
use crate::urls::Urls;

use blocks::{Blocks, Found, cost};
use content::{Content, describe};
use health::Health;
use index::Index;
use keeper::Keeper;
use pool::Pool;
use slots::record_cost;

pub(crate) use body::DiskBody;
pub(crate) use content::{BlockInfo, OpenBlock, Piece, PieceError};
pub(crate) use record::Record;
use record::expire;
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
    blocks: Blocks,
    slots: Slots,
    gate: Gate,
    /// What may be here, by URL; the tiers above add to it.
    pub(crate) urls: Arc<Urls>,
    index: Index,
    keeper: Keeper,
    pool: Arc<Pool>,
    health: Health,
    counters: Arc<Counters>,
    above: OnceLock<Box<dyn Above>>,
    /// There may be files that no record knows.
    orphans: AtomicBool,
    directory: PathBuf,
    free_min: u64,
    faults: Arc<Faults>,
    lock: Mutex<Option<File>>,
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
        let (directory, threads): (&Path, _) = (&config.directory, config.io_threads);
        let found = recover::recover(directory, config.disk, faults)?;
        found.slots.arrange(&config.shares, config.disk / 100 * u64::from(config.pinned_max));
        let content = Content::new(directory, Arc::clone(faults));
        let seq = (found.slots.len() > 0 || found.seq > 0).then_some(found.seq);
        let disk = Arc::new(Self {
            content,
            blocks: found.blocks,
            slots: found.slots,
            gate: Gate::new(config.admission, config.disk),
            urls: Arc::new(found.urls),
            index: found.index,
            keeper: Keeper::default(),
            pool: Pool::start(threads.max(2)).map_err(OpenError::Thread)?,
            health: Health::new(),
            counters,
            above: OnceLock::new(),
            orphans: AtomicBool::new(true),
            directory: directory.to_owned(),
            free_min: config.free_min,
            faults: Arc::clone(faults),
            lock: Mutex::new(Some(found.lock)),
        });
        for hash in found.corrupt {
            Counters::add(&disk.counters.corrupt);
            let _ = disk.index.remove(hash);
        }
        let mine = Arc::clone(&disk);
        let index_thread =
            thread::Builder::new().name("larder-index".into()).spawn(move || mine.keep_index());
        if let Err(error) = index_thread {
            disk.pool.close();
            return Err(OpenError::Thread(error));
        }
        Ok((disk, seq))
    }

    pub(crate) fn set_above(&self, above: Box<dyn Above>) {
        let _ = self.above.set(above);
    }

    /// Position of the newest purge.
    fn seq(&self) -> u64 {
        self.above.get().map_or(0, |above| above.seq())
    }

    /// Whether new entries are taken.
    pub(crate) fn healthy(&self) -> bool {
        self.health.good() && !self.index.distrusted()
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
        self.gate.judge(hash, self.bytes(), self.budget())
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

    /// The record of an entry, from wherever it is. Blocks.
    pub(crate) fn record(&self, hash: u128) -> io::Result<Option<Arc<Vec<u8>>>> {
        if let Some(waiting) = self.slots.waiting(hash) {
            return Ok(waiting);
        }
        let record = self.index.get(hash).inspect_err(|error| self.count_error("record read", error))?;
        Ok(record.map(Arc::new))
    }

    /// Forgets an entry; with `version` only if it has not changed since. The disk follows behind.
    pub(crate) fn forget(&self, hash: u128, version: Option<u64>) -> bool {
        let change = self.slots.remove(hash, version);
        let found = change.found;
        self.keeper.tell(hash, change);
        found
    }

    /// Reads all blocks of a body. Blocks.
    pub(crate) fn read_all(&self, blocks: &[Arc<BlockInfo>], length: u64) -> Result<Bytes, PieceError> {
        let mut bytes = vec![0; length as usize];
        match self.content.read_all(blocks, &mut bytes) {
            Ok(()) => Ok(bytes.into()),
            Err(failed) => {
                self.report(&failed.block, failed.error);
                Err(failed.error)
            }
        }
    }

    /// References for an open body, if all its blocks are still there.
    pub(crate) fn lease(self: &Arc<Self>, hash: u128, blocks: &[Arc<BlockInfo>]) -> Option<DiskBody> {
        self.refer_all(blocks).then(|| DiskBody::new(self, hash, blocks.to_vec()))
    }

    /// References for a record, if all its blocks are still there.
    pub(crate) fn refer_all(&self, blocks: &[Arc<BlockInfo>]) -> bool {
        self.blocks.refer_all(blocks, |hash| drop(self.content.remove(hash)))
    }

    /// A piece of a block, on an I/O thread.
    pub(crate) fn read_piece(
        self: &Arc<Self>,
        block: Arc<BlockInfo>,
        piece: u32,
        open: Option<OpenBlock>,
    ) -> oneshot::Receiver<Result<Piece, PieceError>> {
        let (done, answer) = oneshot::channel();
        let disk = Arc::clone(self);
        self.pool.read_on(Box::new(move || {
            if done.is_closed() {
                return;
            }
            let open = open.map_or_else(|| disk.content.open(&block), Ok);
            let _ = done.send(open.and_then(|open| disk.content.read(open, piece)));
        }));
        answer
    }

    /// A block could not be read.
    pub(crate) fn report(&self, block: &BlockInfo, error: PieceError) {
        match error {
            PieceError::Busy => {}
            PieceError::Failed => Counters::add(&self.counters.disk_errors),
            PieceError::Missing | PieceError::Damaged => {
                if self.health.loud() {
                    tracing::warn!(?error, "a block is lost");
                }
                Counters::add(&self.counters.corrupt);
                self.blocks.damaged(&block.hash);
            }
        }
    }

    /// Writes a block of a fill, on an I/O thread, which then tells the fill.
    pub(crate) fn save_block(
        self: &Arc<Self>,
        fill: Arc<Fill>,
        number: u64,
        chunks: Vec<Bytes>,
    ) -> Result<(), NotKept> {
        let disk = Arc::clone(self);
        let sent = self.pool.write(Box::new(move || {
            let save = || if fill.saving() { disk.store_block(&chunks) } else { Err(NotKept::Busy) };
            let result = catch_unwind(AssertUnwindSafe(save)).unwrap_or(Err(NotKept::Busy));
            drop(chunks);
            fill.saved(number, result);
        }));
        if sent { Ok(()) } else { Err(NotKept::Busy) }
    }

    /// Makes sure a block is on disk, with a reference for the caller. Blocks.
    pub(crate) fn store_block(&self, chunks: &[Bytes]) -> Result<Arc<BlockInfo>, NotKept> {
        let block = Arc::new(describe(chunks));
        let mut found = self.blocks.refer(&block, false);
        if found == Found::Unknown {
            self.make_room(cost(block.len))?;
            found = self.blocks.refer(&block, true);
        }
        // Somebody else may have removed or cut the file: a look is cheap, and damage inside is found by its readers.
        if found == Found::Present && self.content.holds(&block) {
            Counters::add(&self.counters.deduplicated);
            return Ok(block);
        }
        match self.content.write(&block.hash, chunks) {
            Ok(()) => {
                self.blocks.written(&block.hash);
                Counters::add_many(&self.counters.written_bytes, u64::from(block.len));
                self.health.success();
                Ok(block)
            }
            Err(error) => {
                self.write_failed("block", &error);
                self.release_block(&block);
                Err(NotKept::Busy)
            }
        }
    }

    /// Makes room for a record. Blocks.
    pub(crate) fn reserve_record(&self, record: &[u8]) -> Result<(), NotKept> {
        if self.keeper.wait_for_room() {
            self.make_room(record_cost(record.len() as u32))
        } else {
            Err(NotKept::Busy)
        }
    }

    /// Gives back what [`Disk::reserve_record`] and [`Disk::refer_all`] took.
    pub(crate) fn unreserve_record(&self, record: &[u8], blocks: Vec<Arc<BlockInfo>>) {
        self.blocks.space.free(record_cost(record.len() as u32));
        self.release_later(blocks);
    }

    /// The entry is on disk from now on; its blocks are referred to and its record reserved.
    pub(crate) fn put(&self, slot: Slot, record: Arc<Vec<u8>>) -> u64 {
        let (version, change) = self.slots.put(slot, record);
        self.keeper.tell(slot.hash, change);
        version
    }

    /// Notes in the record of an entry that a soft purge has expired it. Blocks.
    pub(crate) fn expire(&self, slot: Slot, record: &Record<'_>, bytes: &[u8]) -> Result<(), NotKept> {
        let expired = expire(slot.hash, bytes).map(Arc::new).map_err(|_| NotKept::Busy)?;
        self.reserve_record(&expired)?;
        if !self.refer_all(&record.blocks) {
            self.unreserve_record(&expired, Vec::new());
            return Err(NotKept::Busy);
        }
        match self.slots.replace(slot, Arc::clone(&expired)) {
            Some(change) => self.keeper.tell(slot.hash, change),
            None => self.unreserve_record(&expired, record.blocks.clone()),
        }
        Ok(())
    }

    /// Gives references back, without waiting.
    pub(crate) fn release_later(&self, blocks: Vec<Arc<BlockInfo>>) {
        if !blocks.is_empty() {
            self.keeper.let_go(blocks);
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
        let stalled = self.pool.slowest() > STALL;
        if self.health.set_stalled(stalled) {
            tracing::warn!(stalled, "the disk does not answer, or does again");
        }
        self.reclaim();
        stalled
    }

    /// Whether a lookup may hope for an answer.
    pub(crate) fn readable(&self) -> bool {
        !self.health.stalled() && !self.index.distrusted()
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

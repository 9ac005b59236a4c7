//! A look at every body on disk now and then, at a bounded rate: what has rotted is found before somebody asks for it. And a
//! look at the file system: when it is short of space or inodes, the cache makes room.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::disk::{Disk, PieceError, Record, Slot, Slots};
use crate::entry::Head;
use crate::limits::{BLOCK_BYTES, SCRUB_START};
use crate::stats::Counters;
use crate::tiers::Shared;

/// Looks at the free space once in so many turns.
const SPACE_TURNS: u32 = 8;

/// What the thread knows from turn to turn.
#[derive(Debug)]
pub(crate) struct Scrubber {
    /// Time between two passes.
    rest: Duration,
    /// When the next pass may begin.
    next: Instant,
    /// The shard that comes next in this pass; none between passes.
    shard: Option<usize>,
    todo: VecDeque<Slot>,
    /// The block of the first of `todo` that comes next.
    block: usize,
    /// Bytes that may be read now; less than none after a large block.
    allowance: i64,
    turned: Instant,
    turns: u32,
}

impl Scrubber {
    pub(crate) fn new(rest: Duration) -> Self {
        let now = Instant::now();
        Self {
            rest,
            next: now + rest.min(SCRUB_START),
            shard: None,
            todo: VecDeque::new(),
            block: 0,
            allowance: 0,
            turned: now,
            turns: 0,
        }
    }

    pub(crate) fn turn<H: Head>(&mut self, shared: &Shared<H>) {
        let Some(disk) = shared.disk() else { return };
        if self.turns.is_multiple_of(SPACE_TURNS) {
            disk.watch_space();
        }
        self.turns = self.turns.wrapping_add(1);
        let rate = i64::try_from(shared.config.scrub).unwrap_or(i64::MAX);
        let passed = self.turned.elapsed().min(Duration::from_secs(1));
        self.turned = Instant::now();
        if rate == 0 || Instant::now() < self.next || !disk.readable() {
            return;
        }
        let earned = (rate as f64 * passed.as_secs_f64()) as i64;
        self.allowance = self.allowance.saturating_add(earned).min(rate.max(BLOCK_BYTES as i64));
        while self.allowance > 0 && shared.open() {
            if !self.step(shared, disk) {
                return;
            }
        }
    }

    /// Looks at one block; false at the end of a pass.
    fn step<H: Head>(&mut self, shared: &Shared<H>, disk: &Disk) -> bool {
        let Some(slot) = self.todo.front().copied() else { return self.load(shared, disk) };
        let record = disk.record(slot.hash()).ok().flatten();
        let record = record.as_ref().and_then(|bytes| Record::decode(slot.hash(), bytes).ok());
        // One that cannot be read is found by whoever asks for it, and by sweeps.
        let block = record.as_ref().and_then(|record| record.blocks.get(self.block));
        let Some((record, block)) = record.as_ref().zip(block) else {
            self.next_entry(shared);
            return true;
        };
        self.allowance -= i64::from(block.len);
        Counters::add_many(&shared.counters.scrubbed_bytes, u64::from(block.len));
        match disk.read_all(std::slice::from_ref(block), u64::from(block.len)) {
            Ok(_) | Err(PieceError::Busy | PieceError::Failed) => self.block += 1,
            Err(error @ (PieceError::Missing | PieceError::Damaged)) => {
                // It may have been replaced or evicted while it was read: then nothing is wrong.
                if disk.forget(slot.hash(), Some(slot.version)) {
                    tracing::warn!(
                        url = record.url,
                        ?error,
                        "a stored body has rotted: removed, to be fetched anew"
                    );
                    Counters::add(&shared.counters.scrub_damaged);
                    shared.memory.displaced(slot.hash());
                }
                self.next_entry(shared);
            }
        }
        true
    }

    fn next_entry<H: Head>(&mut self, shared: &Shared<H>) {
        self.block = 0;
        self.todo.pop_front();
        shared.scrubbed.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes up the next shard; false when all are done.
    fn load<H: Head>(&mut self, shared: &Shared<H>, disk: &Disk) -> bool {
        let shard = self.shard.unwrap_or_else(|| {
            shared.scrubbed.store(0, Ordering::Relaxed);
            0
        });
        if shard < Slots::shards() {
            self.todo = disk.shard(shard).into();
            self.shard = Some(shard + 1);
            return true;
        }
        self.shard = None;
        self.next = Instant::now() + self.rest;
        Counters::add(&shared.counters.scrub_passes);
        let seen = shared.scrubbed.load(Ordering::Relaxed);
        tracing::info!(entries = seen, "every body on disk was looked at");
        false
    }
}

//! How an entry moves between the tiers: into memory and behind it to disk, from disk back into memory, out of both.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::behind::{Behind, Locked};
use crate::config::Config;
use crate::disk::{BlockInfo, Disk, PieceError, Record, Slot};
use crate::entry::{Entry, EntryBody, Head, State};
use crate::error::NotKept;
use crate::fill::{Fill, Flight, Whole};
use crate::key::{Key, KeyRef};
use crate::limits::BLOCK_BYTES;
use crate::memory::{Memory, Straight};
use crate::purge::Seq;
use crate::purge::ledger::Ledger;
use crate::purge::tables::Tables;
use crate::stats::Counters;
use crate::tier::{Hit, Load, Peek, Tier};
use crate::urls::Urls;
use crate::writer::Parts;

/// What all clones of a store share.
#[derive(Debug)]
pub(crate) struct Shared<H: Head> {
    pub(crate) config: Config,
    pub(crate) memory: Arc<Memory<H>>,
    /// What may be stored, by URL.
    pub(crate) urls: Arc<Urls>,
    pub(crate) behind: Behind<H>,
    pub(crate) disk: Option<Arc<Disk>>,
    pub(crate) tables: Arc<Tables>,
    pub(crate) ledger: Ledger,
    pub(crate) flight: Arc<Flight>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) loads: Mutex<Loads<H>>,
    pub(crate) closing: AtomicBool,
    /// Entries seen in this pass of the scrub.
    pub(crate) scrubbed: AtomicU64,
    /// Held while a survey walks.
    pub(crate) surveying: Mutex<()>,
}

/// Loads that are under way, and who waits for them.
type Loads<H> = HashMap<u128, Vec<oneshot::Sender<Option<Arc<Entry<H>>>>>, Straight>;

impl<H: Head> Shared<H> {
    pub(crate) fn disk(&self) -> Option<&Arc<Disk>> {
        self.disk.as_ref()
    }

    /// What is known without the disk.
    pub(crate) fn peek(self: &Arc<Self>, key: KeyRef<'_>) -> Peek<H> {
        if let Some(hit) = self.hit(key) {
            return Peek::Memory(hit);
        }
        match self.disk() {
            Some(disk) if self.slot_alive(disk, key) => Peek::Disk,
            _ => Peek::Absent,
        }
    }

    fn hit(self: &Arc<Self>, key: KeyRef<'_>) -> Option<Hit<H>> {
        let entry = self.memory.get(key).or_else(|| self.behind.get(key))?;
        match entry.state(&self.tables) {
            State::Alive { expired } if !entry.broken() => {
                let tier = entry.tier();
                match (tier, self.disk()) {
                    (Tier::Disk, Some(disk)) => {
                        Counters::add(&self.counters.disk_hits);
                        disk.touch(key.hash());
                    }
                    _ => Counters::add(&self.counters.memory_hits),
                }
                if !entry.proven() {
                    self.prove(&entry);
                }
                Some(Hit { entry, expired, tier })
            }
            State::Hidden => None,
            State::Alive { .. } | State::Dead => {
                Counters::add(&self.counters.dead);
                self.memory.remove_entry(&entry);
                None
            }
        }
    }

    fn slot_alive(&self, disk: &Disk, key: KeyRef<'_>) -> bool {
        let floor = self.tables.floor();
        let Some(slot) = disk.slot(key.hash()).filter(|_| disk.readable()) else { return false };
        // Its tags are not known here; those are looked at when it is loaded.
        !self.tables.verdict(key.url(), &[], slot.born, slot.born.max(floor)).0.dead
    }

    /// Memory, then disk, then promote.
    pub(crate) async fn load(self: &Arc<Self>, key: KeyRef<'_>) -> Load<H> {
        let disk = match (self.peek(key), self.disk()) {
            (Peek::Memory(hit), _) => return Load::Hit(hit),
            (Peek::Disk, Some(disk)) => disk,
            _ => {
                Counters::add(&self.counters.misses);
                return Load::Miss;
            }
        };
        let Some(answer) = self.join_load(disk, key.hash()) else {
            Counters::add(&self.counters.busy);
            return Load::Busy;
        };
        let Ok(found) = answer.await else {
            Counters::add(&self.counters.busy);
            return Load::Busy;
        };
        let entry = found.filter(|entry| entry.key().is(key));
        match entry.and_then(|entry| entry.check(&self.tables).map(|expired| (entry, expired))) {
            Some((entry, expired)) => {
                Counters::add(&self.counters.disk_hits);
                disk.touch(key.hash());
                Load::Hit(Hit { entry, expired, tier: Tier::Disk })
            }
            None => {
                Counters::add(&self.counters.misses);
                Load::Miss
            }
        }
    }

    /// Waits for the load of this hash, and starts it if nobody has.
    fn join_load(
        self: &Arc<Self>,
        disk: &Arc<Disk>,
        hash: u128,
    ) -> Option<oneshot::Receiver<Option<Arc<Entry<H>>>>> {
        let (sender, answer) = oneshot::channel();
        let mut loads = self.loads.lock();
        let waiting = loads.entry(hash).or_default();
        waiting.push(sender);
        if waiting.len() > 1 {
            return Some(answer);
        }
        drop(loads);
        let shared = Arc::clone(self);
        let started = disk.read_job(move || {
            let read = || shared.disk().and_then(|disk| shared.read_entry(disk, hash));
            let found = catch_unwind(AssertUnwindSafe(read)).unwrap_or_default();
            let waiting = shared.loads.lock().remove(&hash).unwrap_or_default();
            waiting.into_iter().for_each(|waiting| drop(waiting.send(found.clone())));
        });
        if !started {
            self.loads.lock().remove(&hash);
            return None;
        }
        Some(answer)
    }

    /// Reads an entry from disk and promotes it. Blocks.
    fn read_entry(&self, disk: &Arc<Disk>, hash: u128) -> Option<Arc<Entry<H>>> {
        // In this order: what is still there after the floor was read was found alive by the sweep that raised it.
        let floor = self.tables.floor();
        let slot = disk.slot(hash)?;
        let bytes = disk.record(hash).ok()??;
        let forget = |why: &str| {
            tracing::warn!(why, "dropped an entry");
            Counters::add(&self.counters.corrupt);
            disk.forget(hash, Some(slot.version));
        };
        let record = Record::decode(hash, &bytes).inspect_err(|error| forget(&error.to_string())).ok()?;
        let Some(head) = H::decode(record.head) else {
            forget("its head cannot be read");
            return None;
        };
        let checked = record.born.max(floor);
        let verdict = self.tables.verdict(record.url, &record.tags, record.born, checked).0;
        if verdict.dead {
            if verdict.gone {
                disk.forget(hash, Some(slot.version));
            }
            return None;
        }
        let body = if record.length <= self.config.memory_object_max {
            disk.read_all(&record.blocks, record.length).map(EntryBody::Memory)
        } else {
            disk.lease(hash, &record.blocks)
                .map(|body| EntryBody::Disk(Arc::new(body)))
                .ok_or(PieceError::Missing)
        };
        let body = body
            .inspect_err(|error| {
                if matches!(error, PieceError::Damaged | PieceError::Missing) {
                    disk.forget(hash, Some(slot.version));
                }
            })
            .ok()?;
        let key = Key::new(record.url, record.variant);
        let entry = Entry::new(
            key,
            head,
            record.tags.into(),
            Seq(record.born),
            body,
            checked,
            (false, record.expired),
        );
        let entry = Arc::new(entry.standing_at(record.standing));
        entry.place(slot.version);
        let locked = self.behind.lock();
        if locked.get(hash).is_none() && disk.slot(hash).is_some_and(|now| now.version == slot.version) {
            self.memory.insert(Arc::clone(&entry));
        }
        drop(locked);
        Some(entry)
    }

    /// Looks at the purges since the last look.
    pub(crate) fn check(&self, parts: &mut Parts<H>) {
        if parts.checked == self.tables.seq().0 {
            return;
        }
        let (verdict, seq) = self.tables.verdict(parts.key.url(), &parts.tags, parts.born.0, parts.checked);
        parts.dead |= verdict.dead;
        parts.expired |= verdict.expired;
        parts.aged |= verdict.aged;
        parts.checked = seq;
    }

    /// Makes an entry of a complete fill.
    pub(crate) async fn keep(
        self: &Arc<Self>,
        parts: Parts<H>,
        whole: Whole,
        fill: &Arc<Fill>,
    ) -> Result<Arc<Entry<H>>, NotKept> {
        let entry = match whole {
            Whole::Memory(bytes) => {
                let entry = self.entry(parts, EntryBody::Memory(bytes))?;
                let mut locked = self.behind.lock();
                if self.is_newest(&locked, &entry) {
                    self.keep_now(&mut locked, &entry);
                }
                entry
            }
            Whole::Disk(blocks) => {
                let fill = Arc::clone(fill);
                let shared = Arc::clone(self);
                self.on_disk(move |disk| {
                    // The fill holds on to the blocks until the record does.
                    let _fill = fill;
                    let body = disk.lease(parts.key.hash(), &blocks).ok_or(NotKept::Busy)?;
                    let entry = shared.entry(parts, EntryBody::Disk(Arc::new(body)))?;
                    shared.store_large(disk, &entry, &blocks)?;
                    Ok(entry)
                })
                .await?
            }
        };
        Counters::add(&self.counters.commits);
        Ok(entry)
    }

    /// The same body under new facts; `None` if they or what they are about are dead, or something else is there by now.
    pub(crate) fn renew(self: &Arc<Self>, old: &Arc<Entry<H>>, mut parts: Parts<H>) -> Option<Arc<Entry<H>>> {
        let (url, born) = (old.key().url(), parts.born.0);
        let held = self.tables.hold();
        // A purge may have named what the new facts no longer say.
        let dead = held.verdict(url, old.tags(), old.born().0, old.checked()).dead;
        let before = held.verdict(url, old.tags(), born, old.checked());
        let now = held.verdict(url, &parts.tags, born, parts.checked);
        parts.dead |= dead || before.dead || now.dead;
        parts.expired |= before.expired || now.expired;
        parts.aged |= before.aged || now.aged;
        parts.checked = held.seq();
        parts.born = parts.born.max(old.born());
        parts.standing = parts.standing.or(Some(old.standing()));
        let entry = made(parts, old.body().clone()).ok()?;
        let mut locked = self.behind.lock();
        self.is_present(&locked, old).then(|| {
            self.keep_now(&mut locked, &entry);
            entry
        })
    }

    async fn on_disk<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<Disk>) -> Result<R, NotKept> + Send + 'static,
    ) -> Result<R, NotKept> {
        let disk = self.disk().ok_or(NotKept::TooLarge)?;
        let (done, answer) = oneshot::channel();
        let mine = Arc::clone(disk);
        if !disk.write_job(move || drop(done.send(work(&mine)))) {
            return Err(NotKept::Busy);
        }
        answer.await.unwrap_or(Err(NotKept::Busy))
    }

    fn entry(&self, mut parts: Parts<H>, body: EntryBody) -> Result<Arc<Entry<H>>, NotKept> {
        self.check(&mut parts);
        made(parts, body)
    }

    /// Whether nothing is there that was asked for later.
    fn is_newest(&self, locked: &Locked<'_, H>, entry: &Entry<H>) -> bool {
        let key = entry.key();
        let waiting = locked.get(key.hash()).map(|entry| entry.born());
        let memory = self.memory.get(key.as_ref()).map(|entry| entry.born());
        let disk = self.disk().and_then(|disk| disk.slot(key.hash())).map(|slot| Seq(slot.born));
        waiting.max(memory).max(disk).is_none_or(|born| born <= entry.born())
    }

    /// Whether `entry` is still what its key stands for.
    fn is_present(&self, locked: &Locked<'_, H>, entry: &Arc<Entry<H>>) -> bool {
        let hash = entry.key().hash();
        if locked.get(hash).is_some() {
            return locked.has(entry);
        }
        match self.disk().and_then(|disk| disk.slot(hash)) {
            Some(slot) => entry.lies_in(slot.version),
            None => self.memory.get(entry.key().as_ref()).is_some_and(|found| Arc::ptr_eq(&found, entry)),
        }
    }

    /// Writes an entry to disk that waits for it. Blocks.
    pub(crate) fn write_behind(&self, entry: &Arc<Entry<H>>) {
        let Some(disk) = self.disk() else { return };
        if !self.behind.lock().has(entry) {
            return;
        }
        let blocks = match entry.body() {
            EntryBody::Memory(bytes) => store_blocks(disk, bytes),
            EntryBody::Disk(body) if disk.refer_all(body.blocks()) => Ok(body.blocks().to_vec()),
            EntryBody::Disk(_) => Err(NotKept::Busy),
        };
        // A newer entry of this key may have come meanwhile, or it was removed.
        let admit = |locked: &mut Locked<'_, H>| locked.has(entry) && locked.remove(entry.key().hash());
        if let Err(why) = blocks.and_then(|blocks| self.store(disk, entry, blocks, admit)) {
            let mut locked = self.behind.lock();
            if locked.has(entry) {
                locked.remove(entry.key().hash());
                disk.forget(entry.key().hash(), None);
                entry.prove(false);
                tracing::debug!(why = why.word(), "not written to disk");
                Counters::add(&self.counters.stores_dropped);
            }
        }
    }

    fn store_large(
        &self,
        disk: &Arc<Disk>,
        entry: &Arc<Entry<H>>,
        blocks: &[Arc<BlockInfo>],
    ) -> Result<(), NotKept> {
        if !disk.refer_all(blocks) {
            return Err(NotKept::Busy);
        }
        self.store(disk, entry, blocks.to_vec(), |locked| {
            let newest = self.is_newest(locked, entry);
            if newest {
                locked.remove(entry.key().hash());
                self.memory.insert(Arc::clone(entry));
            }
            newest
        })
    }

    /// Writes the record of an entry whose blocks were referred to for it. `admit` has the last word, under the lock.
    fn store(
        &self,
        disk: &Arc<Disk>,
        entry: &Arc<Entry<H>>,
        blocks: Vec<Arc<BlockInfo>>,
        admit: impl Fn(&mut Locked<'_, H>) -> bool,
    ) -> Result<(), NotKept> {
        enum Outcome {
            Stored,
            Superseded,
            Dead,
            Changed,
        }
        let key = entry.key();
        let (standing, proven) = (entry.standing(), entry.proven() || disk.recall(key.hash()));
        let mut head = Vec::new();
        entry.head().encode(&mut head);
        loop {
            if entry.check(&self.tables).is_none() {
                disk.release_later(blocks);
                return Err(NotKept::Purged);
            }
            // What may be taken back is not written into it: it stands in the journal.
            entry.sweep(&self.tables);
            let aged = entry.aged();
            let record = Record {
                url: key.url(),
                variant: key.variant(),
                head: &head,
                tags: entry.tags().to_vec(),
                born: entry.born().0,
                expired: aged,
                length: entry.len(),
                standing,
                blocks: blocks.clone(),
            };
            let record = Arc::new(record.encode(key.hash()));
            if let Err(why) = disk.reserve_record(&record) {
                disk.release_later(blocks);
                return Err(why);
            }
            let size = record.len() as u32;
            let slot = Slot::new(key.hash(), entry.born().0, entry.len(), size, standing, proven);
            let held = self.tables.hold();
            let verdict = held.verdict(key.url(), entry.tags(), entry.born().0, entry.checked());
            let outcome = if verdict.dead {
                Outcome::Dead
            } else if verdict.aged && !aged {
                Outcome::Changed
            } else {
                let mut locked = self.behind.lock();
                if admit(&mut locked) {
                    entry.place(disk.put(slot, Arc::clone(&record)));
                    Outcome::Stored
                } else {
                    Outcome::Superseded
                }
            };
            drop(held);
            match outcome {
                Outcome::Stored => return Ok(()),
                Outcome::Changed => disk.unreserve_record(&record, Vec::new()),
                Outcome::Superseded => {
                    disk.unreserve_record(&record, blocks);
                    return Ok(());
                }
                Outcome::Dead => {
                    disk.unreserve_record(&record, blocks);
                    return Err(NotKept::Purged);
                }
            }
        }
    }

    /// Forgets an entry in all tiers.
    pub(crate) fn forget(&self, hash: u128) {
        let mut locked = self.behind.lock();
        locked.remove(hash);
        if let Some(disk) = self.disk() {
            disk.forget(hash, None);
        }
        self.memory.remove(hash);
    }

    pub(crate) fn not_kept(&self, why: NotKept) -> NotKept {
        Counters::add(&self.counters.not_kept);
        why
    }
}

fn made<H: Head>(parts: Parts<H>, body: EntryBody) -> Result<Arc<Entry<H>>, NotKept> {
    if parts.dead {
        return Err(NotKept::Purged);
    }
    let Parts { key, head, tags, born, checked, expired, aged, standing, .. } = parts;
    let entry = Entry::new(key, head, tags, born, body, checked, (expired, aged));
    Ok(Arc::new(entry.standing_at(standing.unwrap_or_default())))
}

/// Makes sure the blocks of a body are on disk, with a reference for each. Blocks.
fn store_blocks(disk: &Disk, bytes: &bytes::Bytes) -> Result<Vec<Arc<BlockInfo>>, NotKept> {
    let mut blocks = Vec::with_capacity(bytes.len().div_ceil(BLOCK_BYTES));
    for from in (0..bytes.len()).step_by(BLOCK_BYTES) {
        let chunk = bytes.slice(from..bytes.len().min(from + BLOCK_BYTES));
        let stored = if disk.healthy() { disk.store_block(&[chunk]) } else { Err(NotKept::Busy) };
        match stored {
            Ok(block) => blocks.push(block),
            Err(why) => {
                disk.release_later(blocks);
                return Err(why);
            }
        }
    }
    Ok(blocks)
}

impl<H: Head> Drop for Shared<H> {
    fn drop(&mut self) {
        if let Some(disk) = self.disk() {
            disk.close();
        }
    }
}

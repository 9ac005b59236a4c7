//! Who has what: an entry comes into memory and behind it to disk, is renewed, and goes out of both, all under one lock.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::behind::{Behind, Locked};
use crate::config::Config;
use crate::disk::Disk;
use crate::entry::{Entry, EntryBody, Head, State};
use crate::error::NotKept;
use crate::fill::{Flight, Whole};
use crate::key::KeyRef;
use crate::memory::{Memory, Straight};
use crate::purge::Seq;
use crate::purge::ledger::Ledger;
use crate::purge::tables::Tables;
use crate::stats::Counters;
use crate::tier::{Hit, Peek, Tier};
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
                let disk = self.disk.as_ref().ok_or(NotKept::TooLarge)?;
                // The fill holds on to the blocks until the body does.
                let body = disk.lease(parts.key.hash(), &blocks).ok_or(NotKept::Busy)?;
                let entry = self.entry(parts, EntryBody::Disk(Arc::new(body)))?;
                self.keep_large(disk, &entry).await?;
                entry
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

    fn entry(&self, mut parts: Parts<H>, body: EntryBody) -> Result<Arc<Entry<H>>, NotKept> {
        self.check(&mut parts);
        made(parts, body)
    }

    /// Whether nothing is there that was asked for later.
    pub(crate) fn is_newest(&self, locked: &Locked<'_, H>, entry: &Entry<H>) -> bool {
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
            Some(slot) => entry.lies_in(slot.version.into()),
            None => self.memory.get(entry.key().as_ref()).is_some_and(|found| Arc::ptr_eq(&found, entry)),
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

impl<H: Head> Drop for Shared<H> {
    fn drop(&mut self) {
        if let Some(disk) = self.disk() {
            disk.close();
        }
    }
}

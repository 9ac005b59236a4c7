//! From disk into memory.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::admission::promotes;
use crate::disk::{self, Disk, How, NotFetched, PieceError, Record, Slot};
use crate::entry::{Entry, EntryBody, Head};
use crate::key::{Key, KeyRef};
use crate::purge::Seq;
use crate::stats::Counters;
use crate::tier::{Hit, Load, Peek, Tier};
use crate::tiers::Shared;

/// What a look at the disk has come to.
enum Found<H> {
    Entry(Arc<Entry<H>>),
    Nothing,
    /// It takes waiting.
    Waits,
}

impl<H: Head> Shared<H> {
    /// Memory, then disk, then promote.
    pub(crate) async fn load(self: &Arc<Self>, key: KeyRef<'_>) -> Load<H> {
        let disk = match (self.peek(key), &self.disk) {
            (Peek::Memory(hit), _) => return Load::Hit(hit),
            (Peek::Disk, Some(disk)) => disk,
            _ => {
                Counters::add(&self.counters.misses);
                return Load::Miss;
            }
        };
        let found = match self.read_entry(disk, key.hash(), How::Now) {
            Found::Entry(entry) => Some(entry),
            Found::Nothing => None,
            Found::Waits => match self.load_elsewhere(disk, key.hash()).await {
                Some(found) => found,
                None => {
                    Counters::add(&self.counters.busy);
                    return Load::Busy;
                }
            },
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

    /// Loads on an I/O thread, where waiting is allowed; `None` if that has too much to do.
    async fn load_elsewhere(self: &Arc<Self>, disk: &Arc<Disk>, hash: u128) -> Option<Option<Arc<Entry<H>>>> {
        self.join_load(disk, hash)?.await.ok()
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
            let read = || match shared.disk.as_ref().map(|disk| shared.read_entry(disk, hash, How::Wait)) {
                Some(Found::Entry(entry)) => Some(entry),
                _ => None,
            };
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

    /// Reads an entry from disk and promotes it.
    fn read_entry(&self, disk: &Arc<Disk>, hash: u128, how: How) -> Found<H> {
        // In this order: what is still there after the floor was read was found alive by the sweep that raised it.
        let floor = self.tables.floor();
        let mut fetched = match disk.fetch(hash, how) {
            Ok(fetched) => fetched,
            Err(NotFetched::Absent) => return Found::Nothing,
            Err(NotFetched::Waits) => return Found::Waits,
            Err(NotFetched::Failed(slot, error)) => {
                self.lost(disk, &slot, error);
                return Found::Nothing;
            }
        };
        let (slot, body) = (fetched.slot, fetched.take_body());
        let drop_it = |why: &str| {
            tracing::warn!(why, "dropped an entry");
            self.lost(disk, &slot, PieceError::Damaged);
            Found::Nothing
        };
        let record = match Record::decode(hash, fetched.record()) {
            Ok(record) => record,
            Err(error) => return drop_it(&error.to_string()),
        };
        let Some(head) = H::decode(record.head) else { return drop_it("its head cannot be read") };
        let checked = record.born.max(floor);
        let verdict = self.tables.verdict(record.url, &record.tags, record.born, checked).0;
        if verdict.dead {
            if verdict.gone {
                disk.forget(hash, Some(slot.version));
            }
            return Found::Nothing;
        }
        let promotes = self.promotes(&slot);
        let body = match body {
            Some(body) => self.packed_body(disk, &slot, &record, body),
            None if record.length > 0 && promotes && how == How::Now => return Found::Waits,
            None => self.file_body(disk, &slot, &record, promotes),
        };
        let Some(body) = body else { return Found::Nothing };
        let key = Key::new(record.url, record.variant);
        let expired = record.expired || slot.expired;
        let (tags, born) = (record.tags.into(), Seq(record.born));
        let entry = Entry::new(key, head, tags, born, body, checked, (false, expired));
        let entry = Arc::new(entry.standing_at(record.standing));
        entry.place(slot.version.into());
        if promotes || entry.len() > self.config.memory_object_max {
            self.promote(disk, &slot, &entry);
        }
        Found::Entry(entry)
    }

    /// Whether a body goes into memory as a whole.
    fn promotes(&self, slot: &Slot) -> bool {
        let memory = &self.memory;
        let room = memory.bytes() + slot.length < memory.budget() / 8 * 7;
        slot.length <= self.config.memory_object_max && promotes(room, slot.asks())
    }

    fn packed_body(
        &self,
        disk: &Arc<Disk>,
        slot: &Slot,
        record: &Record<'_>,
        body: Vec<u8>,
    ) -> Option<EntryBody> {
        match disk::checked(record, body) {
            Ok(bytes) => Some(EntryBody::Memory(bytes)),
            Err(error) => {
                // If the entry was replaced while it was read these are somebody else's bytes.
                if disk.slot(slot.hash()).is_some_and(|now| now.version == slot.version && now.at == slot.at)
                {
                    record.blocks.iter().for_each(|block| disk.report(block, error));
                    disk.forget(slot.hash(), Some(slot.version));
                }
                None
            }
        }
    }

    fn file_body(
        &self,
        disk: &Arc<Disk>,
        slot: &Slot,
        record: &Record<'_>,
        promotes: bool,
    ) -> Option<EntryBody> {
        let body = if record.length == 0 {
            Ok(EntryBody::Memory(Bytes::new()))
        } else if promotes {
            disk.read_all(&record.blocks, record.length).map(EntryBody::Memory)
        } else {
            let leased = disk.lease(slot.hash(), &record.blocks);
            leased.map(|body| EntryBody::Disk(Arc::new(body))).ok_or(PieceError::Missing)
        };
        body.inspect_err(|error| {
            if matches!(error, PieceError::Damaged | PieceError::Missing) {
                disk.forget(slot.hash(), Some(slot.version));
            }
        })
        .ok()
    }

    /// Keeps an entry in memory, unless something else has taken its place.
    fn promote(&self, disk: &Disk, slot: &Slot, entry: &Arc<Entry<H>>) {
        let locked = self.behind.lock();
        let hash = slot.hash();
        if locked.get(hash).is_none() && disk.slot(hash).is_some_and(|now| now.version == slot.version) {
            self.memory.insert(Arc::clone(entry));
        }
    }

    /// An entry could not be read.
    fn lost(&self, disk: &Disk, slot: &Slot, error: PieceError) {
        match error {
            PieceError::Busy => {}
            PieceError::Failed => Counters::add(&self.counters.disk_errors),
            PieceError::Damaged | PieceError::Missing => {
                Counters::add(&self.counters.corrupt);
                disk.forget(slot.hash(), Some(slot.version));
            }
        }
    }
}

//! From memory to disk, behind the answer: an entry is in memory, and findable, until its record is on disk.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::behind::Locked;
use crate::disk::{BlockInfo, Body, Disk, DiskBody, Packet, Parcel, Record, Slot, describe};
use crate::entry::{Entry, EntryBody, Head};
use crate::error::NotKept;
use crate::limits::BLOCK_BYTES;
use crate::stats::Counters;
use crate::tiers::Shared;
use crate::urls;

/// The blocks of a body, referred to; the reference as it goes into a slot, and the bytes if they are nowhere yet.
type Referred = (Vec<Arc<BlockInfo>>, Body, Option<Bytes>);

/// An entry on its way.
pub(crate) struct Shelved<H: Head> {
    shared: Arc<Shared<H>>,
    entry: Arc<Entry<H>>,
    way: Way,
}

enum Way {
    /// In memory as well, and waiting in `behind`; with the blocks of a large body, which are written and referred to.
    Behind(Option<Vec<Arc<BlockInfo>>>),
    /// Complete on disk; somebody waits to hear whether it is kept.
    Ahead(Option<oneshot::Sender<Result<(), NotKept>>>),
}

impl<H: Head> Shared<H> {
    /// Sends an entry that waits in `behind` on its way; false if there is too much to do.
    pub(crate) fn shelve(self: &Arc<Self>, disk: &Arc<Disk>, entry: &Arc<Entry<H>>) -> bool {
        let (shared, entry) = (Arc::clone(self), Arc::clone(entry));
        match entry.body() {
            EntryBody::Memory(bytes) if bytes.len() as u64 > disk.pack_max() => {
                disk.write_job(move || shared.write_blocks(&entry))
            }
            _ => disk.append(Box::new(Shelved { shared, entry, way: Way::Behind(None) }), false),
        }
    }

    /// Keeps an entry whose body is complete on disk.
    pub(crate) async fn keep_large(
        self: &Arc<Self>,
        disk: &Arc<Disk>,
        entry: &Arc<Entry<H>>,
    ) -> Result<(), NotKept> {
        let (done, answer) = oneshot::channel();
        let (shared, entry) = (Arc::clone(self), Arc::clone(entry));
        if !disk.append(Box::new(Shelved { shared, entry, way: Way::Ahead(Some(done)) }), true) {
            return Err(NotKept::Busy);
        }
        answer.await.unwrap_or(Err(NotKept::Busy))
    }

    /// Writes the blocks of an entry that waits, then sends it on. Blocks.
    fn write_blocks(self: &Arc<Self>, entry: &Arc<Entry<H>>) {
        let (Some(disk), EntryBody::Memory(bytes)) = (&self.disk, entry.body()) else { return };
        if !self.behind.lock().has(entry) {
            return;
        }
        let sent = store_blocks(disk, bytes).and_then(|blocks| {
            let (shared, entry) = (Arc::clone(self), Arc::clone(entry));
            let way = Way::Behind(Some(blocks.clone()));
            if disk.append(Box::new(Shelved { shared, entry, way }), false) {
                return Ok(());
            }
            disk.release_later(blocks);
            Err(NotKept::Busy)
        });
        if let Err(why) = sent {
            self.not_shelved(disk, entry, why);
        }
    }

    /// An entry that waited stays in memory only.
    fn not_shelved(&self, disk: &Disk, entry: &Arc<Entry<H>>, why: NotKept) {
        let mut locked = self.behind.lock();
        if locked.has(entry) {
            locked.remove(entry.key().hash());
            // What the disk has is older than what memory has, and must not outlive it.
            disk.forget(entry.key().hash(), None);
            tracing::debug!(why = why.word(), "not written to disk");
            Counters::add(&self.counters.stores_dropped);
        }
    }

    /// Puts an entry in its slot, whose frame is written. `admit` has the last word, under the lock.
    fn enter(
        &self,
        disk: &Disk,
        entry: &Arc<Entry<H>>,
        mut slot: Slot,
        admit: impl FnOnce(&mut Locked<'_, H>) -> bool,
    ) -> Result<(), NotKept> {
        let held = self.tables.hold();
        let key = entry.key();
        let verdict = held.verdict(key.url(), entry.tags(), entry.born().0, entry.checked());
        if verdict.dead {
            disk.discard(slot);
            return Err(NotKept::Purged);
        }
        let expires = verdict.aged && !slot.expired;
        slot.expired |= verdict.aged;
        let mut locked = self.behind.lock();
        if admit(&mut locked) {
            entry.place(disk.put(slot).into());
            if expires {
                disk.mark_expired(key.hash());
            }
        } else {
            disk.discard(slot);
        }
        Ok(())
    }
}

impl<H: Head> Shelved<H> {
    fn refer(&self, disk: &Disk) -> Result<Referred, NotKept> {
        match (&self.way, self.entry.body()) {
            (Way::Behind(Some(blocks)), _) => Ok((blocks.clone(), disk.body_of(blocks), None)),
            (_, EntryBody::Memory(bytes)) if bytes.is_empty() => Ok((Vec::new(), Body::EMPTY, None)),
            (_, EntryBody::Memory(bytes)) => {
                let block = describe(std::slice::from_ref(bytes));
                let (body, present) = disk.refer_packed(&block);
                Ok((vec![Arc::new(block)], body, (!present).then(|| bytes.clone())))
            }
            (_, EntryBody::Disk(body)) => refer_disk(disk, body),
        }
    }

    fn fail(self, disk: &Disk, why: NotKept) {
        match self.way {
            Way::Behind(_) => self.shared.not_shelved(disk, &self.entry, why),
            Way::Ahead(done) => drop(done.map(|done| done.send(Err(why)))),
        }
    }

    /// Why it is not wanted any more, or whether a soft purge has expired it for good.
    fn wanted(&self, disk: &Disk) -> Result<bool, NotKept> {
        let superseded = matches!(self.way, Way::Behind(_)) && !self.shared.behind.lock().has(&self.entry);
        if superseded || !disk.healthy() {
            return Err(NotKept::Busy);
        }
        self.entry.check(&self.shared.tables).ok_or(NotKept::Purged)?;
        // What may be taken back is not written into it: it stands in the journal.
        self.entry.sweep(&self.shared.tables);
        Ok(self.entry.aged())
    }
}

impl<H: Head> Parcel for Shelved<H> {
    fn pack(&mut self, disk: &Disk) -> Result<Packet, NotKept> {
        let expired = self.wanted(disk).inspect_err(|_| {
            if let Way::Behind(Some(blocks)) = &mut self.way {
                disk.release_later(std::mem::take(blocks));
            }
        })?;
        let (blocks, body, inline) = self.refer(disk)?;
        let (entry, key) = (&self.entry, self.entry.key());
        let mut head = Vec::new();
        entry.head().encode(&mut head);
        let inline = inline.and_then(|bytes| Some((blocks.first()?.hash, bytes)));
        let record = Record {
            url: key.url(),
            variant: key.variant(),
            head: &head,
            tags: entry.tags().to_vec(),
            born: entry.born().0,
            expired,
            length: entry.len(),
            standing: entry.standing(),
            blocks,
        };
        let proven = entry.proven() || disk.recall(key.hash());
        let url = urls::hash(key.url());
        let mut slot = Slot::new(key.hash(), record.born, record.length, url, record.standing, proven);
        (slot.body, slot.expired) = (body, expired);
        Ok(Packet { slot, record: record.encode(key.hash()), inline })
    }

    fn placed(self: Box<Self>, disk: &Arc<Disk>, placed: Result<Slot, NotKept>) {
        let slot = match placed {
            Ok(slot) => slot,
            Err(why) => return self.fail(disk, why),
        };
        let (shared, entry) = (&self.shared, &self.entry);
        let hash = entry.key().hash();
        let kept = shared.enter(disk, entry, slot, |locked| match self.way {
            // A newer entry of this key may have come meanwhile, or it was removed.
            Way::Behind(_) => locked.has(entry) && locked.remove(hash),
            Way::Ahead(_) => {
                let newest = shared.is_newest(locked, entry);
                if newest {
                    locked.remove(hash);
                    shared.memory.insert(Arc::clone(entry));
                }
                newest
            }
        });
        match (kept, self.way) {
            (kept, Way::Ahead(done)) => drop(done.map(|done| done.send(kept))),
            (Err(why), Way::Behind(_)) => self.shared.not_shelved(disk, &self.entry, why),
            (Ok(()), Way::Behind(_)) => {}
        }
    }
}

fn refer_disk(disk: &Disk, body: &DiskBody) -> Result<Referred, NotKept> {
    if !disk.refer_all(body.blocks()) {
        return Err(NotKept::Busy);
    }
    Ok((body.blocks().to_vec(), disk.body_of(body.blocks()), None))
}

/// Makes sure the blocks of a body are on disk, with a reference for each. Blocks.
fn store_blocks(disk: &Disk, bytes: &Bytes) -> Result<Vec<Arc<BlockInfo>>, NotKept> {
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

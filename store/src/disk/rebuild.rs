//! Finding entries in the segments: those that were appended after the index was last flushed, and all of them, in the
//! background, when the index was lost.
//!
//! What was removed has a mark, so nothing that a purge has removed comes back. That rests on the journal of purges: if
//! that has lost something too, which shows in entries that were born later than it knows, nothing is taken.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Disk;
use super::content::Hash;
use super::frame::{At, Frames, Header, Mark, record_bytes};
use super::record::Record;
use super::slots::Slot;
use crate::limits::PACK_BYTES_MAX;
use crate::stats::Counters;
use crate::urls;

/// An entry that was found: its slot, not referring to blocks yet, its blocks and where the only one of them lies, as
/// [`super::blocks::Blocks::restore`] wants it.
#[derive(Debug)]
pub(super) struct Revived {
    pub(super) slot: Slot,
    pub(super) blocks: Vec<(Hash, u32)>,
    pub(super) packed: Option<At>,
}

/// Visits the entries that are alive in a segment, from `from` on, until `visit` has enough. Where bodies lie whose
/// entries are dead is noted in `bodies`: others may share them.
pub(super) fn scan(
    file: &File,
    from: At,
    bodies: &mut HashMap<Hash, At>,
    mut visit: impl FnMut(Revived) -> bool,
) -> io::Result<()> {
    let mut frames = Frames::new(file, from)?;
    while let Some((at, header)) = frames.next()? {
        let revived = match header.mark {
            Mark::Alive | Mark::Expired if header.record > 0 => {
                revive(at, &header, frames.record(at, &header)?)
            }
            _ => None,
        };
        let go_on = match revived {
            Some(revived) => visit(revived),
            None => {
                if header.body > 0 {
                    bodies.insert(header.name, header.body_at(at));
                }
                true
            }
        };
        if !go_on {
            break;
        }
    }
    Ok(())
}

fn revive(at: At, header: &Header, record: &[u8]) -> Option<Revived> {
    let found = Record::decode(header.hash, record).ok()?;
    let url = urls::hash(found.url);
    let mut slot = Slot::new(header.hash, found.born, found.length, url, found.standing, true);
    (slot.at, slot.record) = (at, header.record);
    slot.expired = found.expired || header.mark == Mark::Expired;
    let blocks: Vec<_> = found.blocks.iter().map(|block| (block.hash, block.len)).collect();
    let packed = match &blocks[..] {
        [(name, len)] if *name == header.name && *len == header.body => Some(header.body_at(at)),
        [(_, len)] if u64::from(*len) <= PACK_BYTES_MAX => Some(At::NOWHERE),
        _ => None,
    };
    Some(Revived { slot, blocks, packed })
}

impl Disk {
    /// The life of the thread that fills a new index from the segments, while the store is at work.
    pub(super) fn rebuild(self: &Arc<Self>) {
        let (seq, upto) = (self.seq(), self.packer.upto().segment);
        let mut bodies = HashMap::new();
        let mut found = 0;
        for number in self.segments.numbers().into_iter().filter(|number| *number < upto) {
            if self.pool.closed() {
                return;
            }
            match self.revive_segment(number, seq, &mut bodies) {
                Ok(Some(entries)) => found += entries,
                Ok(None) => {
                    tracing::error!("the journal of purges has lost something: everything stored is removed");
                    Counters::add(&self.counters.corrupt);
                    let all: Vec<Slot> =
                        self.each_shard().flatten().filter(|slot| slot.at.segment < upto).collect();
                    all.iter().for_each(|slot| _ = self.forget(slot.hash(), Some(slot.version)));
                    break;
                }
                Err(error) => self.count_error("rebuild", &error),
            }
        }
        let file = |name: &Hash, len| self.content.has(name, len).then_some(At::NOWHERE);
        self.blocks.find_lost(
            |name, len| bodies.get(name).copied().or_else(|| file(name, len)),
            |at, len| self.segments.alive(at, u64::from(len)),
        );
        tracing::info!(found, "the index was built from the segments");
        *self.rebuilding.lock() = None;
        self.rebuilds.store(false, Ordering::Release);
        self.keeper.sweep();
    }

    /// Takes the entries of one segment; `None` if one of them is newer than the journal of purges.
    fn revive_segment(
        self: &Arc<Self>,
        number: u32,
        seq: u64,
        bodies: &mut HashMap<Hash, At>,
    ) -> io::Result<Option<u64>> {
        let file = self.segments.file(number)?;
        let (mut found, mut sound) = (0, true);
        scan(&file, At { segment: number, offset: 0 }, bodies, |revived| {
            let Revived { mut slot, blocks, packed } = revived;
            sound = slot.born <= seq;
            // Held to the end: who removes an entry meanwhile is either seen here or finds it in its slot.
            let removed = self.rebuilding.lock();
            let gone = removed.as_ref().is_some_and(|removed| removed.contains(&slot.hash()));
            let known = self.slots.get(slot.hash());
            if !sound || known.is_some_and(|known| known.at == slot.at) {
                return sound;
            }
            self.segments.alive(slot.at, record_bytes(slot.record));
            if gone || known.is_some_and(|known| known.is_later(&slot)) {
                self.keeper.bury(slot);
                return true;
            }
            slot.body = self.blocks.restore(blocks.into_iter(), packed, |at, len| {
                self.segments.alive(at, u64::from(len));
            });
            self.urls.add_hash(slot.url);
            let before = self.slots.adopt(slot);
            drop(removed);
            before.into_iter().for_each(|slot| self.keeper.bury(slot));
            self.keeper.news(slot.hash());
            found += 1;
            true
        })?;
        Ok(sound.then_some(found))
    }
}

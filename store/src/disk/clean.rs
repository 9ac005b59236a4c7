//! Giving the space of segments back: what is alive is copied to the end, and the file goes. Which entries leave is decided
//! one by one, by the rules ([`super::queues`]).

use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::Disk;
use super::blocks::Body;
use super::content::Hash;
use super::frame::{At, Frames, HEADER, Header, Mark};
use super::packer::{Desk, Item, MovedBody};
use super::segments::charge;
use super::slots::Slot;
use crate::limits::BATCH_BYTES;
use crate::stats::Counters;

/// Part of a segment, in thousandths, that may be alive when it is cleaned.
const WORTH_CLEANING: u64 = 750;

/// A frame in which something is alive.
struct Found {
    at: At,
    header: Header,
    /// Its entry, if that is alive.
    slot: Option<Slot>,
    /// Whether its body is alive, and shared.
    body: Option<bool>,
}

impl Found {
    fn bytes(&self) -> u64 {
        self.header.length()
    }
}

impl Disk {
    /// A segment that is worth cleaning. If there is none, entries leave by the rules until some are; the index thread has
    /// to catch up before that shows.
    pub(super) fn choose_segment(&self) -> Option<u32> {
        let chosen = self.segments.emptiest(WORTH_CLEANING);
        let mut coming = 0;
        while chosen.is_none() && coming < self.packer.segment_bytes / 4 {
            let victim = self.victim()?;
            self.evict(&victim);
            coming += victim.cost();
        }
        chosen
    }

    /// Whether evicting it alone gives nothing back.
    pub(super) fn is_packed(&self, slot: &Slot) -> bool {
        slot.body == Body::EMPTY || self.blocks.only(slot.body).is_some_and(|block| !block.charged)
    }

    /// Cleans one segment ahead of need.
    pub(super) fn clean_ahead(self: &Arc<Self>, desk: &mut Desk) {
        let Some(segment) = self.choose_segment().and_then(|number| self.segments.get(number)) else {
            return;
        };
        if !desk.fits(segment.bytes()) {
            self.flush_desk(desk);
            if !self.blocks.space.reserve_spare(charge(self.packer.segment_bytes)) {
                return;
            }
            self.seal(desk);
            if self.begin(desk).is_err() {
                return;
            }
        }
        self.clean_segment(desk, segment.number);
        self.flush_desk(desk);
    }

    /// Copies what is alive in a segment. What does not fit into the active one, because that is smaller, is evicted.
    pub(super) fn clean_segment(self: &Arc<Self>, desk: &mut Desk, number: u32) {
        if desk.writes(number) {
            return;
        }
        let cleaned = self.find_alive(number).and_then(|found| self.copy_alive(desk, number, found));
        if let Err(error) = cleaned
            // Everything in it has died in between, and it was removed.
            && error.kind() != io::ErrorKind::NotFound
        {
            self.count_error("segment clean", &error);
        }
        self.flush_desk(desk);
        // Entries whose frames could not be read, and those that were not seen for damage.
        if self.segments.get(number).is_some_and(|segment| segment.live() > 0) {
            for slot in self.each_shard().flatten().filter(|slot| slot.at.segment == number) {
                self.evict(&slot);
            }
        }
        self.keeper.sweep();
    }

    fn find_alive(&self, number: u32) -> io::Result<Vec<Found>> {
        let file = self.segments.file(number)?;
        self.faults().call("segment scan")?;
        let mut frames = Frames::new(&file, At { segment: number, offset: 0 })?;
        let mut all = Vec::new();
        while let Some((at, header)) = frames.next()? {
            let slot = self.slots.get(header.hash).filter(|slot| slot.at == at);
            let lies_here = |state: &mut super::blocks::State| {
                (state.packed == header.body_at(at)).then(|| state.shared())
            };
            let body =
                if header.body > 0 { self.blocks.change(&header.name, lies_here).flatten() } else { None };
            if slot.is_none() && body.is_none() {
                continue;
            }
            all.push(Found { at, header, slot, body });
        }
        Ok(all)
    }

    fn copy_alive(self: &Arc<Self>, desk: &mut Desk, number: u32, all: Vec<Found>) -> io::Result<()> {
        let file = self.segments.file(number)?;
        for mut found in all {
            if !desk.fits(found.bytes()) {
                if let Some(slot) = found.slot.take() {
                    self.evict(&slot);
                }
                continue;
            }
            if let Err(error) = copy(desk, &file, &found) {
                self.count_error("segment read", &error);
            }
            if desk.waiting() >= BATCH_BYTES {
                self.flush_desk(desk);
            }
        }
        Ok(())
    }

    pub(super) fn hot(&self, hash: u128) -> bool {
        self.above().is_some_and(|above| above.hot(hash))
    }

    /// The entry that is worth least, of a few.
    pub(super) fn victim(&self) -> Option<Slot> {
        self.slots.victim(|hash| self.hot(hash))
    }

    /// Evicts an entry, unless it has changed.
    pub(super) fn evict(&self, slot: &Slot) {
        if self.forget(slot.hash(), Some(slot.version)) {
            self.gate.note(slot.hash());
            Counters::add(&self.counters.evictions);
            if let Some(above) = self.above() {
                above.evicted(slot.hash());
            }
        }
    }
}

/// Copies a frame, or its body alone if its entry is dead.
fn copy(desk: &mut Desk, file: &std::fs::File, found: &Found) -> io::Result<()> {
    let Header { record, body, .. } = found.header;
    let read = |from: At, length: u32| {
        let mut bytes = vec![0; length as usize];
        file.read_exact_at(&mut bytes, u64::from(from.offset)).map(|()| bytes)
    };
    let record_at = At { offset: found.at.offset + HEADER as u32, ..found.at };
    let body_at = found.header.body_at(found.at);
    let record = if found.slot.is_some() { read(record_at, record)? } else { Vec::new() };
    let bytes = if found.body.is_some() { read(body_at, body)? } else { Vec::new() };
    let header = Header {
        mark: if found.slot.is_some_and(|slot| slot.expired) { Mark::Expired } else { Mark::Alive },
        record: record.len() as u32,
        body: bytes.len() as u32,
        hash: found.slot.map_or(0, |slot| slot.hash()),
        name: if bytes.is_empty() { Hash::default() } else { found.header.name },
    };
    let to = desk.add(header, &[&record, &bytes]);
    let body = found.body.map(|shared| MovedBody {
        name: header.name,
        length: header.body,
        from: body_at,
        to: header.body_at(to),
        shared,
    });
    match (found.slot, body) {
        (Some(slot), body) => desk.push(Item::Moved { slot, to, body }),
        (None, Some(body)) => desk.push(Item::Body(body)),
        (None, None) => {}
    }
    Ok(())
}

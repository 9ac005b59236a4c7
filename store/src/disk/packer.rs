//! The one thread that appends to segments: records and small bodies, as many as wait in one write. It also cleans: copies
//! what is worth keeping out of a segment whose space is wanted ([`super::clean`]).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};

use super::Disk;
use super::content::Hash;
use super::frame::{ALIGN, At, Header, Mark, record_bytes};
use super::segments::{Segment, charge};
use super::slots::Slot;
use crate::error::NotKept;
use crate::limits::{BATCH_BYTES, LINGER, PARCELS_MAX, ROOM_WAIT, TURN};
use crate::stats::Counters;

/// Something to be appended.
pub(crate) trait Parcel: Send {
    /// Says what, or why it is not wanted any more. Called once, on the packer's thread.
    fn pack(&mut self, disk: &Disk) -> Result<Packet, NotKept>;
    /// It is on disk and may be put in its slot, or could not be written.
    fn placed(self: Box<Self>, disk: &Arc<Disk>, placed: Result<Slot, NotKept>);
}

/// A record and perhaps a body. Its slot refers to its blocks already.
#[derive(Debug)]
pub(crate) struct Packet {
    pub(crate) slot: Slot,
    pub(crate) record: Vec<u8>,
    /// A body that does not lie anywhere yet.
    pub(crate) inline: Option<(Hash, Bytes)>,
}

#[derive(Debug)]
pub(crate) struct Packer {
    queue: Mutex<Queue>,
    news: Condvar,
    /// Everything before is in its slot, or dead, and the index thread was told.
    upto: AtomicU64,
    /// Bytes of a new segment.
    pub(crate) segment_bytes: u64,
    /// When the write that is under way began, in milliseconds since `start` plus one; 0 = none is.
    writing: AtomicU64,
    start: Instant,
}

#[derive(Default)]
struct Queue {
    parcels: VecDeque<Box<dyn Parcel>>,
    /// Somebody waits for an answer: do not linger.
    rush: bool,
    /// Segments that are to be cleaned ahead of need.
    clean: bool,
    nudged: bool,
    closing: bool,
    ended: bool,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("parcels", &self.parcels.len()).finish_non_exhaustive()
    }
}

impl Packer {
    pub(crate) fn new(segment_bytes: u64) -> Self {
        Self {
            queue: Mutex::default(),
            news: Condvar::new(),
            upto: AtomicU64::new(0),
            segment_bytes,
            writing: AtomicU64::new(0),
            start: Instant::now(),
        }
    }

    fn now(&self) -> u64 {
        self.start.elapsed().as_millis() as u64 + 1
    }

    /// How long the write that is under way has taken.
    pub(crate) fn slowest(&self) -> Duration {
        let begun = self.writing.load(Ordering::Relaxed);
        Duration::from_millis(if begun == 0 { 0 } else { self.now().saturating_sub(begun) })
    }

    /// Hands over a parcel; false when too many wait. `rush`: somebody waits for it.
    pub(crate) fn send(&self, parcel: Box<dyn Parcel>, rush: bool) -> bool {
        let mut queue = self.queue.lock();
        if queue.ended || queue.parcels.len() >= PARCELS_MAX {
            return false;
        }
        queue.parcels.push_back(parcel);
        queue.rush |= rush;
        // While it lingers it need not be told of more than the first.
        let wake = rush || queue.parcels.len() == 1;
        drop(queue);
        if wake {
            self.news.notify_one();
        }
        true
    }

    /// Space will be wanted soon.
    pub(crate) fn clean(&self) {
        self.queue.lock().clean = true;
        self.news.notify_one();
    }

    /// The segment that is written may be empty.
    pub(crate) fn nudge(&self) {
        self.queue.lock().nudged = true;
        self.news.notify_one();
    }

    /// Ends the thread after what waits.
    pub(crate) fn close(&self) {
        self.queue.lock().closing = true;
        self.news.notify_one();
    }

    pub(crate) fn ended(&self) -> bool {
        self.queue.lock().ended
    }

    pub(crate) fn upto(&self) -> At {
        let upto = self.upto.load(Ordering::Acquire);
        At { segment: (upto >> 32) as u32, offset: upto as u32 }
    }

    pub(crate) fn set_upto(&self, at: At) {
        self.upto.store(u64::from(at.segment) << 32 | u64::from(at.offset), Ordering::Release);
    }

    fn next(&self) -> (VecDeque<Box<dyn Parcel>>, bool, bool) {
        let mut queue = self.queue.lock();
        while queue.parcels.is_empty() && !queue.clean && !queue.nudged && !queue.closing {
            self.news.wait(&mut queue);
        }
        let until = Instant::now() + LINGER;
        while !queue.parcels.is_empty() && !queue.rush && !queue.closing {
            if self.news.wait_until(&mut queue, until).timed_out() {
                break;
            }
        }
        (queue.rush, queue.nudged) = (false, false);
        (std::mem::take(&mut queue.parcels), std::mem::take(&mut queue.clean), queue.closing)
    }
}

/// What the thread works with.
#[derive(Default)]
pub(super) struct Desk {
    pub(super) active: Option<Active>,
    buffer: Vec<u8>,
    items: Vec<Item>,
    /// Number of the next segment.
    next: u32,
}

pub(super) struct Active {
    segment: Arc<Segment>,
    /// Bytes written.
    written: u64,
    room: u64,
}

/// What to do when it is written.
pub(super) enum Item {
    Parcel(Box<dyn Parcel>, Slot, Option<(Hash, At, u32)>),
    /// An entry that was copied, and its body, from where to where.
    Moved {
        slot: Slot,
        to: At,
        body: Option<MovedBody>,
    },
    Body(MovedBody),
}

pub(super) struct MovedBody {
    pub(super) name: Hash,
    pub(super) length: u32,
    pub(super) from: At,
    pub(super) to: At,
    /// Others refer to it too.
    pub(super) shared: bool,
}

impl Disk {
    /// The life of the packer's thread.
    pub(super) fn pack(self: &Arc<Self>, next: u32) {
        let mut desk = Desk { next, ..Desk::default() };
        loop {
            let (parcels, clean, closing) = self.packer.next();
            for parcel in parcels {
                self.pack_one(&mut desk, parcel);
            }
            self.flush_desk(&mut desk);
            if clean {
                self.clean_ahead(&mut desk);
            }
            self.retire_empty(&mut desk);
            let mut queue = self.packer.queue.lock();
            if closing && queue.parcels.is_empty() {
                queue.ended = true;
                break;
            }
        }
        self.seal(&mut desk);
    }

    fn pack_one(self: &Arc<Self>, desk: &mut Desk, mut parcel: Box<dyn Parcel>) {
        let Packet { mut slot, record, mut inline } = match parcel.pack(self) {
            Ok(packet) => packet,
            Err(why) => return parcel.placed(self, Err(why)),
        };
        if let Some((name, bytes)) = &inline
            && desk.holds(name)
        {
            // The same body waits in front of it: when that is written this one need not be.
            self.flush_desk(desk);
            if self.blocks.change(name, |state| state.present()) == Some(true) {
                self.counters.deduplicated(bytes.len() as u64);
                inline = None;
            }
        }
        slot.record = record.len() as u32;
        let (name, bytes) = inline.unwrap_or_default();
        let mark = if slot.expired { Mark::Expired } else { Mark::Alive };
        let header = Header { mark, record: slot.record, body: bytes.len() as u32, hash: slot.hash(), name };
        let room = if header.length() > self.packer.segment_bytes {
            Err(NotKept::TooLarge)
        } else {
            self.make_space(desk, header.length())
        };
        if let Err(why) = room {
            self.release_body(slot.body);
            parcel.placed(self, Err(why));
            return;
        }
        slot.at = desk.add(header, &[&record, &bytes]);
        let inline = (!bytes.is_empty()).then(|| (name, header.body_at(slot.at), header.body));
        desk.items.push(Item::Parcel(parcel, slot, inline));
        if desk.buffer.len() >= BATCH_BYTES {
            self.flush_desk(desk);
        }
    }

    /// Makes sure that the next `bytes` fit into the active segment.
    fn make_space(self: &Arc<Self>, desk: &mut Desk, bytes: u64) -> Result<(), NotKept> {
        if desk.fits(bytes) {
            return Ok(());
        }
        self.flush_desk(desk);
        self.seal(desk);
        let until = Instant::now() + ROOM_WAIT;
        let need = charge(self.packer.segment_bytes);
        while !self.blocks.space.reserve(need) {
            let chosen = self.choose_segment();
            if let Some(number) = chosen
                && self.blocks.space.reserve_spare(need)
            {
                self.begin(desk)?;
                self.clean_segment(desk, number);
                self.flush_desk(desk);
                if desk.fits(bytes) {
                    return Ok(());
                }
                self.seal(desk);
            } else if Instant::now() > until || self.segments.oldest().is_none() {
                return Err(NotKept::Busy);
            }
            self.keeper.hurry();
            self.blocks.space.wait(TURN);
        }
        self.begin(desk)
    }

    /// Begins a segment whose bytes are reserved.
    pub(super) fn begin(&self, desk: &mut Desk) -> Result<(), NotKept> {
        let bytes = charge(self.packer.segment_bytes);
        let begun = self.segments.begin(desk.next, bytes);
        desk.next += 1;
        match begun {
            Ok(segment) => {
                desk.active = Some(Active { segment, written: 0, room: self.packer.segment_bytes });
                Ok(())
            }
            Err(error) => {
                self.blocks.space.free(bytes);
                self.write_failed("segment", &error);
                Err(NotKept::Busy)
            }
        }
    }

    /// Ends the active segment.
    pub(super) fn seal(&self, desk: &mut Desk) {
        if let Some(active) = desk.active.take() {
            self.blocks.space.free(self.segments.seal(&active.segment, active.written));
            if self.segments.empty(active.segment.number) {
                self.keeper.sweep();
            }
        }
    }

    /// Ends a segment in which nothing is alive, so that its space is given back.
    fn retire_empty(&self, desk: &mut Desk) {
        if desk.active.as_ref().is_some_and(|active| active.segment.live() == 0) {
            self.seal(desk);
        }
    }

    /// Writes what is on the desk.
    pub(super) fn flush_desk(self: &Arc<Self>, desk: &mut Desk) {
        let items = std::mem::take(&mut desk.items);
        let Some(active) = desk.active.as_mut().filter(|_| !items.is_empty()) else { return };
        self.packer.writing.store(self.packer.now(), Ordering::Relaxed);
        let written = self.segments.append(&active.segment, active.written, &desk.buffer);
        self.packer.writing.store(0, Ordering::Relaxed);
        match written {
            Ok(()) => {
                active.written += desk.buffer.len() as u64;
                Counters::add_many(&self.counters.written_bytes, desk.buffer.len() as u64);
                let upto = At { segment: active.segment.number, offset: active.written as u32 };
                self.health.success();
                items.into_iter().for_each(|item| self.placed(item));
                self.packer.set_upto(upto);
            }
            Err(error) => {
                self.write_failed("segment", &error);
                for item in items {
                    if let Item::Parcel(parcel, slot, _) = item {
                        self.release_body(slot.body);
                        parcel.placed(self, Err(NotKept::Busy));
                    }
                }
                // Not a byte more where nobody knows what was written.
                self.seal(desk);
            }
        }
        desk.buffer.clear();
        // A flood is held back here, not by memory that grows.
        let _ = self.keeper.wait_for_room();
    }

    /// An item is on disk.
    fn placed(self: &Arc<Self>, item: Item) {
        match item {
            Item::Parcel(parcel, slot, inline) => {
                self.segments.alive(slot.at, record_bytes(slot.record));
                if let Some((name, at, length)) = inline {
                    self.segments.alive(at, u64::from(length));
                    if !self.blocks.packed(&name, at) {
                        self.segments.dead(at, u64::from(length));
                    }
                }
                parcel.placed(self, Ok(slot));
            }
            Item::Moved { slot, to, body } => {
                let bytes = record_bytes(slot.record);
                self.segments.alive(to, bytes);
                let hash = slot.hash();
                if self.slots.change(hash, slot.version, |slot| slot.at = to) {
                    self.segments.dead(slot.at, bytes);
                    if !slot.expired {
                        // Unless that has changed while it was copied.
                        self.mark_expired(hash);
                    }
                } else {
                    self.keeper.bury(slot.copied(to));
                }
                if let Some(body) = body {
                    self.body_moved(&body);
                }
                self.keeper.news(slot.hash());
            }
            Item::Body(body) => self.body_moved(&body),
        }
    }

    fn body_moved(&self, body: &MovedBody) {
        let bytes = u64::from(body.length);
        self.segments.alive(body.to, bytes);
        if self.blocks.moved(&body.name, body.from, body.to) {
            self.segments.dead(body.from, bytes);
            if body.shared {
                self.blocks.change(&body.name, |state| state.line = true);
                self.keeper.block_news(body.name);
            }
        } else {
            self.segments.dead(body.to, bytes);
        }
    }
}

impl Desk {
    pub(super) fn fits(&self, bytes: u64) -> bool {
        let waiting = self.buffer.len() as u64;
        self.active.as_ref().is_some_and(|active| active.written + waiting + bytes <= active.room)
    }

    /// Puts a frame, which fits, behind those that wait; says where it will be.
    pub(super) fn add(&mut self, header: Header, parts: &[&[u8]]) -> At {
        let active = self.active.as_ref().expect("a frame that fits has a segment");
        let offset = (active.written + self.buffer.len() as u64) as u32;
        let at = At { segment: active.segment.number, offset };
        self.buffer.extend_from_slice(&header.encode(at));
        parts.iter().for_each(|part| self.buffer.extend_from_slice(part));
        self.buffer.resize(self.buffer.len().next_multiple_of(ALIGN as usize), 0);
        at
    }

    /// Whether this body is among those that wait.
    fn holds(&self, name: &Hash) -> bool {
        let is = |item: &Item| matches!(item, Item::Parcel(_, _, Some((found, ..))) if found == name);
        self.items.iter().any(is)
    }

    pub(super) fn push(&mut self, item: Item) {
        self.items.push(item);
    }

    /// Bytes that wait to be written.
    pub(super) fn waiting(&self) -> usize {
        self.buffer.len()
    }

    /// Whether this segment is being written.
    pub(super) fn writes(&self, number: u32) -> bool {
        self.active.as_ref().is_some_and(|active| active.segment.number == number)
    }
}

/// Bytes of a segment for a budget of so many.
pub(crate) fn segment_bytes(budget: u64) -> u64 {
    use crate::limits::{SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN};
    (budget / 64).clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX).next_multiple_of(ALIGN)
}

/// Largest body that is packed, for segments of this size.
pub(crate) fn pack_max(segment_bytes: u64) -> u64 {
    (segment_bytes / 4).min(crate::limits::PACK_BYTES_MAX)
}

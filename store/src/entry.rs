//! A complete body with its head, as it is found by a lookup.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::disk::DiskBody;
use crate::key::Key;
use crate::limits::BLOCK_BYTES;
use crate::purge::Seq;
use crate::purge::tables::Tables;
use crate::reader::Reader;
use crate::standing::Standing;
use crate::tier::Tier;

/// What the caller keeps beside a body; the store does not look into it.
pub trait Head: Send + Sync + 'static + Sized {
    /// Appends its bytes; `decode` must understand them in later versions too.
    fn encode(&self, out: &mut Vec<u8>);
    /// Reads what `encode` wrote; `None` for anything else, which is a miss.
    fn decode(bytes: &[u8]) -> Option<Self>;
    /// Bytes it takes in memory, for the budget.
    fn weight(&self) -> usize;
    /// Where the entry stands when the disk runs out of room; `None` leaves it as it was.
    fn standing(&self) -> Option<Standing> {
        None
    }
}

/// A stored body with its head. Whoever holds it can read it to its end, even if it is purged or evicted meanwhile.
#[derive(Debug)]
pub struct Entry<H> {
    key: Key,
    head: H,
    tags: Box<[u64]>,
    born: Seq,
    body: EntryBody,
    checked: Checked,
    id: OnceLock<u64>,
    /// The version of its slot on disk; 0 while it has none.
    slot: AtomicU64,
    standing: Standing,
    /// It was asked for again since it came to memory.
    proven: AtomicBool,
}

/// Where the bytes are.
#[derive(Debug, Clone)]
pub(crate) enum EntryBody {
    Memory(Bytes),
    Disk(Arc<DiskBody>),
}

/// The position an entry was last checked against the purges at, and in the top bits whether a soft one matched.
#[derive(Debug)]
struct Checked(AtomicU64);

const EXPIRED: u64 = 1 << 63;
/// Expired by a purge that cannot be taken back.
const AGED: u64 = 1 << 62;
const FLAGS: u64 = EXPIRED | AGED;

/// What the purges make of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// To be served; stale if a soft purge has expired it.
    Alive { expired: bool },
    /// Not to be served, unless the purge is taken back.
    Hidden,
    /// Never to be served again.
    Dead,
}

impl<H> Entry<H> {
    /// An entry that was checked against the purges at `checked`.
    pub(crate) fn new(
        key: Key,
        head: H,
        tags: Box<[u64]>,
        born: Seq,
        body: EntryBody,
        checked: u64,
        (expired, aged): (bool, bool),
    ) -> Self {
        let checked = Checked(AtomicU64::new(checked | flags(expired || aged, aged)));
        Self {
            key,
            head,
            tags,
            born,
            body,
            checked,
            id: OnceLock::new(),
            slot: AtomicU64::new(0),
            standing: Standing::default(),
            proven: AtomicBool::new(false),
        }
    }

    /// What it is found by.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// What the caller keeps with it.
    pub fn head(&self) -> &H {
        &self.head
    }

    /// Bytes of the body.
    pub fn len(&self) -> u64 {
        match &self.body {
            EntryBody::Memory(bytes) => bytes.len() as u64,
            EntryBody::Disk(body) => body.len(),
        }
    }

    /// Whether the body has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The position of the purges before the fetch that brought it.
    pub fn born(&self) -> Seq {
        self.born
    }

    /// The same for the same bytes, also after a restart; other bytes have another (64 bits of SHA-256).
    pub fn body_id(&self) -> u64 {
        *self.id.get_or_init(|| match &self.body {
            EntryBody::Memory(bytes) => {
                body_id(bytes.chunks(BLOCK_BYTES).map(|block| Sha256::digest(block).into()))
            }
            EntryBody::Disk(body) => body_id(body.blocks().iter().map(|block| block.hash)),
        })
    }

    /// The whole body if it is in memory.
    pub fn bytes(&self) -> Option<Bytes> {
        match &self.body {
            EntryBody::Memory(bytes) => Some(bytes.clone()),
            EntryBody::Disk(_) => None,
        }
    }

    /// Reads the bytes from `from` up to and without `to`; both are cut to the length of the body.
    pub fn read(self: &Arc<Self>, from: u64, to: u64) -> Reader {
        let to = to.min(self.len());
        let from = from.min(to);
        match &self.body {
            EntryBody::Memory(bytes) => Reader::memory(bytes.slice(from as usize..to as usize)),
            EntryBody::Disk(body) => Reader::disk(Arc::clone(body), from, to),
        }
    }

    pub(crate) fn tags(&self) -> &[u64] {
        &self.tags
    }

    pub(crate) fn body(&self) -> &EntryBody {
        &self.body
    }

    pub(crate) fn tier(&self) -> Tier {
        match &self.body {
            EntryBody::Memory(_) => Tier::Memory,
            EntryBody::Disk(_) => Tier::Disk,
        }
    }

    /// Whether reading it has failed, so that nobody should be given it again.
    pub(crate) fn broken(&self) -> bool {
        matches!(&self.body, EntryBody::Disk(body) if body.broken())
    }

    /// `None`: not to be served. `Some(expired)`: alive. One compare unless there was a purge since the last look.
    pub(crate) fn check(&self, tables: &Tables) -> Option<bool> {
        match self.state(tables) {
            State::Alive { expired } => Some(expired),
            State::Hidden | State::Dead => None,
        }
    }

    /// What the purges make of it now.
    pub(crate) fn state(&self, tables: &Tables) -> State {
        let stored = self.checked.0.load(Ordering::Acquire);
        let at = stored & !FLAGS;
        if at == tables.seq().0 {
            return State::Alive { expired: stored & EXPIRED != 0 };
        }
        let held = tables.hold();
        // What an undo may have changed is looked at from the beginning.
        let (since, expired) =
            if at < held.undone() { (0, stored & AGED != 0) } else { (at, stored & EXPIRED != 0) };
        let verdict = held.since(self.key.url(), &self.tags, self.born.0, at, since);
        let seq = held.seq();
        drop(held);
        if verdict.dead {
            return if verdict.gone { State::Dead } else { State::Hidden };
        }
        let aged = stored & AGED != 0 || verdict.aged;
        let expired = expired || verdict.expired;
        self.move_to(seq, flags(expired, aged));
        State::Alive { expired }
    }

    /// What a sweep does: looks at everything that is settled, whatever was seen before. False: it must go.
    pub(crate) fn sweep(&self, tables: &Tables) -> bool {
        let stored = self.checked.0.load(Ordering::Acquire);
        let held = tables.hold();
        let settled = held.settled();
        let verdict = held.verdict(self.key.url(), &self.tags, self.born.0, stored & !FLAGS);
        let seq = held.seq();
        drop(held);
        if verdict.gone {
            return false;
        }
        let aged = stored & AGED != 0 || verdict.aged;
        // One that is hidden keeps its place before the purge that hides it, which is not settled.
        let to = if verdict.dead { settled } else { seq };
        self.move_to(to, flags(aged || verdict.expired, aged));
        true
    }

    /// Another thread may have looked at a newer position already: never move back, and never forget what is for good.
    fn move_to(&self, seq: u64, flags: u64) {
        let _ = self.checked.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| {
            let newer = now & !FLAGS > seq;
            let (at, own) = if newer { (now & !FLAGS, now & FLAGS) } else { (seq, flags) };
            let for_good = if (now | flags) & AGED == 0 { 0 } else { FLAGS };
            Some(at | own | for_good)
        });
    }

    /// The same, standing there when the disk runs out of room.
    pub(crate) fn standing_at(self, standing: Standing) -> Self {
        Self { standing, ..self }
    }

    /// Where it stands when the disk runs out of room.
    pub const fn standing(&self) -> Standing {
        self.standing
    }

    /// Whether it was asked for again since it came to memory.
    pub(crate) fn proven(&self) -> bool {
        self.proven.load(Ordering::Relaxed)
    }

    pub(crate) fn prove(&self, proven: bool) {
        self.proven.store(proven, Ordering::Relaxed);
    }

    /// Whether it has a place on disk, as far as it was told.
    pub(crate) fn lies_somewhere(&self) -> bool {
        self.slot.load(Ordering::Acquire) != 0
    }

    /// Notes where on disk it lies.
    pub(crate) fn place(&self, version: u64) {
        self.slot.store(version, Ordering::Release);
    }

    /// Whether it lies where `version` says; the same entry read twice does.
    pub(crate) fn lies_in(&self, version: u64) -> bool {
        self.slot.load(Ordering::Acquire) == version
    }

    /// The position it was last checked at.
    pub(crate) fn checked(&self) -> u64 {
        self.checked.0.load(Ordering::Acquire) & !FLAGS
    }

    /// Whether it is expired for good, so that its record says so.
    pub(crate) fn aged(&self) -> bool {
        self.checked.0.load(Ordering::Acquire) & AGED != 0
    }
}

impl<H: Head> Entry<H> {
    /// Bytes it takes in memory.
    pub(crate) fn weight(&self) -> u64 {
        let body = match &self.body {
            EntryBody::Memory(bytes) => bytes.len(),
            EntryBody::Disk(body) => body.weight(),
        };
        (size_of::<Self>() + OVERHEAD + self.key.weight() + self.head.weight() + self.tags.len() * 8 + body)
            as u64
    }
}

const fn flags(expired: bool, aged: bool) -> u64 {
    (if expired { EXPIRED } else { 0 }) | (if aged { AGED } else { 0 })
}

/// Bytes the memory tier needs for an entry beside the entry itself: its map, its queues, the allocator.
const OVERHEAD: usize = 320;

fn body_id(blocks: impl Iterator<Item = [u8; 32]>) -> u64 {
    let mut all = Sha256::new();
    blocks.for_each(|hash| all.update(hash));
    let [a, b, c, d, e, f, g, h, ..]: [u8; 32] = all.finalize().into();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

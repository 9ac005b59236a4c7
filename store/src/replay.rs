//! The rules of both tiers without a disk, for replaying traces: the same queues, gate and memory that the store uses.

use std::sync::Arc;

use bytes::Bytes;

use crate::admission::{Gate, Verdict};
use crate::config::Config;
use crate::disk::{Slot, Slots};
use crate::entry::{Entry, EntryBody, Head};
use crate::key::Key;
use crate::limits::MEMORY_OBJECT_BYTES_MAX;
use crate::memory::Memory;
use crate::purge::Seq;
use crate::standing::Standing;
use crate::tier::Tier;

/// Bytes of a record that a usual entry has.
const RECORD: u32 = 400;

#[derive(Debug)]
struct Nothing;

impl Head for Nothing {
    fn encode(&self, _: &mut Vec<u8>) {}

    fn decode(_: &[u8]) -> Option<Self> {
        Some(Self)
    }

    fn weight(&self) -> usize {
        0
    }
}

/// Both tiers as they decide, without the bytes.
#[derive(Debug)]
pub struct Rules {
    config: Config,
    memory: Memory<Nothing>,
    slots: Slots,
    gate: Gate,
    used: u64,
    written: u64,
    /// What every body is a part of, so that it has its weight and takes no room.
    bytes: Bytes,
}

impl Rules {
    /// The rules under these settings.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            memory: Memory::new(config.memory),
            slots: Slots::new(),
            gate: Gate::new(config.admission, config.disk),
            used: 0,
            written: 0,
            bytes: vec![0; config.memory_object_max.min(MEMORY_OBJECT_BYTES_MAX) as usize].into(),
            config,
        }
    }

    /// A request for a body of `size` bytes: where it is found, or `None`; then it comes and is kept as far as the rules
    /// say.
    pub fn ask(&mut self, url: &str, size: u64) -> Option<Tier> {
        let key = Key::new(url, "");
        let hash = key.hash();
        let served = if let Some(entry) = self.memory.get(key.as_ref()) {
            self.ask_memory(&entry, size);
            Some(Tier::Memory)
        } else if self.slots.get(hash).is_some() {
            self.slots.touch(hash);
            self.promote(key, size, true);
            Some(Tier::Disk)
        } else {
            self.come(key, size);
            None
        };
        // As often as moka likes, so that the same trace always ends the same way.
        self.memory.settle();
        served
    }

    fn ask_memory(&mut self, entry: &Entry<Nothing>, size: u64) {
        let hash = entry.key().hash();
        if entry.proven() {
            return;
        }
        entry.prove(true);
        if self.slots.get(hash).is_none() && size <= self.config.object_max {
            self.gate.recall(hash);
            self.write(hash, size, true);
        }
    }

    fn promote(&self, key: Key, size: u64, on_disk: bool) {
        if size > self.config.memory_object_max {
            return;
        }
        let body = EntryBody::Memory(self.bytes.slice(..size as usize));
        let entry = Entry::new(key, Nothing, Box::default(), Seq(0), body, 0, (false, false));
        entry.place(u64::from(on_disk));
        self.memory.insert(Arc::new(entry));
    }

    fn come(&mut self, key: Key, size: u64) {
        let hash = key.hash();
        if size > self.config.object_max {
            return;
        }
        let verdict = if size <= self.config.memory_object_max {
            self.promote(key, size, false);
            self.gate.judge(hash, self.used, self.config.disk)
        } else if self.gate.recall(hash) {
            Verdict::Proven
        } else {
            Verdict::Probation
        };
        if verdict != Verdict::Refused {
            self.write(hash, size, verdict == Verdict::Proven);
        }
    }

    fn write(&mut self, hash: u128, size: u64, proven: bool) {
        let mut slot = Slot::new(hash, 0, size, 0, Standing::default(), proven);
        slot.record = RECORD;
        while self.used + slot.cost() > self.config.disk {
            let Some(victim) = self.slots.victim(|hash| self.memory.is_proven(hash)) else { return };
            self.slots.remove(victim.hash(), None);
            self.used -= victim.cost();
            self.gate.note(victim.hash());
            self.memory.displaced(victim.hash());
        }
        self.used += slot.cost();
        self.written += size;
        self.slots.put(slot);
    }

    /// Bytes of bodies that went to disk.
    #[must_use]
    pub const fn written(&self) -> u64 {
        self.written
    }
}

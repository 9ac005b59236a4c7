//! The store: memory, then disk, then promote.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use crate::config::Config;
use crate::disk::Disk;
use crate::entry::{Entry, EntryBody, Head};
use crate::error::{NotKept, OpenError, PurgeError};
use crate::fill::{Fill, Flight, Whole};
use crate::key::{Key, KeyRef};
use crate::limits::FLIGHT_BYTES_MIN;
use crate::memory::Memory;
use crate::purge::tables::{Tables, tag_hash};
use crate::purge::{Purge, Receipt, Recorded, Seq};
use crate::stats::{Counters, Stats};
use crate::tier::{Hit, Load, Peek};
use crate::writer::{Parts, Writer};

/// A tiered cache. Clones share it.
#[derive(Debug)]
pub struct Store<H: Head>(Arc<Shared<H>>);

impl<H: Head> Clone for Store<H> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

#[derive(Debug)]
pub(crate) struct Shared<H: Head> {
    config: Config,
    memory: Memory<H>,
    disk: Option<Arc<Disk>>,
    tables: Arc<Tables>,
    flight: Arc<Flight>,
    counters: Arc<Counters>,
    history: Mutex<Vec<Recorded>>,
}

impl<H: Head> Store<H> {
    /// Opens the store.
    ///
    /// # Errors
    /// Only if the directory cannot be used at all.
    pub fn open(config: Config) -> Result<Self, OpenError> {
        Ok(Self(Arc::new(Shared {
            memory: Memory::new(config.memory),
            disk: None,
            tables: Arc::default(),
            flight: Arc::new(Flight::new((config.memory / 4).max(FLIGHT_BYTES_MIN))),
            counters: Arc::default(),
            history: Mutex::default(),
            config,
        })))
    }

    /// Position of the newest purge. Sample it before the lookup that precedes a fetch; it is the `born` of what is fetched.
    #[must_use]
    pub fn seq(&self) -> Seq {
        self.0.tables.seq()
    }

    /// What is known without touching the disk. Never blocks.
    #[must_use]
    pub fn peek(&self, key: KeyRef<'_>) -> Peek<H> {
        self.0.hit(key).map_or(Peek::Absent, Peek::Memory)
    }

    /// Memory, then disk, then promote. Any trouble of the disk is a miss.
    #[expect(clippy::unused_async, reason = "the disk tier awaits")]
    pub async fn load(&self, key: KeyRef<'_>) -> Load<H> {
        self.0.hit(key).map_or(Load::Miss, Load::Hit)
    }

    /// Begins an entry. `born`: [`Store::seq`] from before the lookup; `length`: if the body's length is known.
    #[must_use]
    pub fn writer(&self, key: Key, head: H, tags: Vec<String>, born: Seq, length: Option<u64>) -> Writer<H> {
        let shared = &self.0;
        let tags = tags.iter().map(|tag| tag_hash(tag)).collect();
        let mut parts = Parts { key, head, tags, born, checked: born.0, dead: false, expired: false };
        shared.check(&mut parts);
        let config = &shared.config;
        let fill = Fill::new(
            Arc::clone(&shared.flight),
            shared.disk.clone(),
            config.memory_object_max,
            config.object_max,
            length,
        );
        Writer { shared: Arc::clone(shared), fill, parts: Some(parts), length, written: 0 }
    }

    /// The same body under a new head, after the origin has confirmed it (304). `None` if it was purged meanwhile.
    #[expect(clippy::unused_async, reason = "the disk tier awaits")]
    pub async fn refresh(
        &self,
        entry: &Arc<Entry<H>>,
        head: H,
        tags: Vec<String>,
        born: Seq,
    ) -> Option<Arc<Entry<H>>> {
        let tags = tags.iter().map(|tag| tag_hash(tag)).collect();
        let key = entry.key().clone();
        let mut parts = Parts { key, head, tags, born, checked: born.0, dead: false, expired: false };
        self.0.check(&mut parts);
        self.0.insert(parts, entry.body().clone()).ok()
    }

    /// Forgets one entry.
    pub fn remove(&self, key: KeyRef<'_>) {
        self.0.memory.remove(key.hash());
    }

    /// Applies a purge; durable before it returns. `note` is kept with it in the history.
    ///
    /// # Errors
    /// When it is not confirmed.
    #[expect(clippy::unused_async, reason = "the journal awaits")]
    pub async fn purge(&self, purge: &Purge, note: &str) -> Result<Receipt, PurgeError> {
        let mut history = self.0.history.lock();
        let seq = Seq(self.0.tables.seq().0 + 1);
        self.0.tables.apply(purge, seq.0);
        history.push(Recorded { seq, purge: purge.clone(), note: note.to_owned() });
        Counters::add(&self.0.counters.purges);
        Ok(Receipt { seq })
    }

    /// What a purge would hit now.
    #[expect(clippy::unused_async, reason = "the disk tier awaits")]
    pub async fn survey(&self, purge: &Purge) -> Survey {
        let probe = Tables::default();
        probe.apply(purge, 1);
        let mut survey = Survey::default();
        self.0.memory.each(|entry| {
            let (verdict, _) = probe.verdict(entry.key().url(), entry.tags(), 0, 0);
            if (verdict.dead || verdict.expired) && entry.check(&self.0.tables).is_some() {
                survey.objects += 1;
                survey.bytes += entry.len();
            }
        });
        survey
    }

    /// The purges that are remembered, oldest first.
    #[must_use]
    pub fn history(&self) -> Vec<Recorded> {
        self.0.history.lock().clone()
    }

    /// A look at the counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let shared = &self.0;
        Stats {
            memory_objects: shared.memory.objects(),
            memory_bytes: shared.memory.bytes(),
            memory_budget: shared.memory.budget(),
            flight_bytes: shared.flight.bytes(),
            purge_selectors: shared.tables.len() as u64,
            seq: shared.tables.seq().0,
            events: shared.counters.snapshot(),
            ..Stats::default()
        }
    }

    /// Writes everything out and ends the threads.
    #[expect(clippy::unused_async, reason = "the disk tier awaits")]
    pub async fn close(self) {
        self.0.memory.settle();
    }
}

/// What a dry run of a purge found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Survey {
    /// Entries that match.
    pub objects: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
}

impl<H: Head> Shared<H> {
    fn hit(&self, key: KeyRef<'_>) -> Option<Hit<H>> {
        let entry = self.memory.get(key)?;
        match entry.check(&self.tables) {
            Some(expired) if !entry.broken() => {
                self.counters.memory_hits.fetch_add(1, Ordering::Relaxed);
                let tier = entry.tier();
                Some(Hit { entry, expired, tier })
            }
            _ => {
                Counters::add(&self.counters.dead);
                self.memory.remove_entry(&entry);
                None
            }
        }
    }

    /// Looks at the purges since the last look.
    pub(crate) fn check(&self, parts: &mut Parts<H>) {
        if parts.checked == self.tables.seq().0 && parts.checked >= self.tables.floor() {
            return;
        }
        let (verdict, seq) = self.tables.verdict(parts.key.url(), &parts.tags, parts.born.0, parts.checked);
        parts.dead |= verdict.dead;
        parts.expired |= verdict.expired;
        parts.checked = seq;
    }

    #[expect(clippy::unused_async, reason = "the disk tier awaits")]
    pub(crate) async fn keep(
        &self,
        parts: Parts<H>,
        whole: Whole,
        _fill: &Arc<Fill>,
    ) -> Result<Arc<Entry<H>>, NotKept> {
        match whole {
            Whole::Memory(bytes) => self.insert(parts, EntryBody::Memory(bytes)),
            Whole::Disk(_) => Err(NotKept::Busy),
        }
    }

    fn insert(&self, mut parts: Parts<H>, body: EntryBody) -> Result<Arc<Entry<H>>, NotKept> {
        self.check(&mut parts);
        if parts.dead {
            return Err(NotKept::Purged);
        }
        let Parts { key, head, tags, born, checked, expired, .. } = parts;
        let entry = Arc::new(Entry::new(key, head, tags, born, body, checked, expired));
        self.memory.insert(Arc::clone(&entry));
        Counters::add(&self.counters.commits);
        Ok(entry)
    }

    pub(crate) fn not_kept(&self, why: NotKept) -> NotKept {
        Counters::add(&self.counters.not_kept);
        why
    }
}

//! The store: memory, then disk, then promote.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::above::MemoryAbove;
use crate::behind::Behind;
use crate::config::Config;
use crate::disk::{self, Disk, Record};
use crate::entry::{Entry, Head};
use crate::error::{OpenError, PurgeError};
use crate::fault::{Faults, Seams};
use crate::fill::{Fill, Flight};
use crate::key::{Key, KeyRef};
use crate::limits::{BEHIND_BYTES_MIN, FLIGHT_BYTES_MIN, MEMORY_OBJECT_BYTES_MAX, TAGS_MAX};
use crate::memory::Memory;
use crate::purge::history::Past;
use crate::purge::ledger::Ledger;
use crate::purge::tables::{Tables, tag_hash};
use crate::purge::{Page, Purge, Receipt, Recorded, Seq};
use crate::standing::Share;
use crate::stats::{Counters, Stats};
use crate::tier::{Load, Peek};
use crate::tiers::Shared;
use crate::upkeep;
use crate::writer::{Parts, Writer};

/// A tiered cache. Clones share it.
#[derive(Debug)]
pub struct Store<H: Head>(Arc<Shared<H>>);

impl<H: Head> Clone for Store<H> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<H: Head> Store<H> {
    /// Opens the store and recovers what an earlier one has left, however it ended. Blocks, for a second or so per
    /// 100,000 entries at the most. On a full disk everything stored is given up if that makes room. With a disk that stays
    /// full, is read-only or fails it is a store in memory: [`Stats::disk_healthy`] is false and purges are never durable.
    ///
    /// # Errors
    /// Only if the directory is not ours to use. A damaged index is set aside, a damaged journal of purges counts as a
    /// purge of everything.
    pub fn open(config: Config) -> Result<Self, OpenError> {
        Self::open_with(config, Seams::default())
    }

    /// [`Store::open`], for tests.
    ///
    /// # Errors
    /// See there.
    #[doc(hidden)]
    pub fn open_with(mut config: Config, seams: Seams) -> Result<Self, OpenError> {
        config.memory_object_max = config.memory_object_max.min(MEMORY_OBJECT_BYTES_MAX).min(config.memory);
        let counters: Arc<Counters> = Arc::default();
        let (disk, ledger) = open_or_do_without(&config, &counters, &seams.faults)?;
        let memory = Arc::new(Memory::new(config.memory));
        if let Some(disk) = &disk {
            let (memory, tables) = (Arc::clone(&memory), Arc::clone(ledger.tables()));
            disk.set_above(Box::new(MemoryAbove { memory, tables }))?;
        }
        let urls = disk.as_ref().map_or_else(Arc::default, |disk| Arc::clone(&disk.urls));
        let shared = Arc::new(Shared {
            memory,
            urls,
            behind: Behind::new((config.memory / 8).max(BEHIND_BYTES_MIN)),
            disk,
            tables: Arc::clone(ledger.tables()),
            ledger,
            flight: Arc::new(Flight::new((config.memory / 4).max(FLIGHT_BYTES_MIN))),
            counters,
            loads: Mutex::default(),
            closing: false.into(),
            scrubbed: 0.into(),
            surveying: Mutex::default(),
            config,
        });
        upkeep::start(&shared, seams)?;
        Ok(Self(shared))
    }

    /// Position of the newest purge. Sample it before the lookup that precedes a fetch: it is the `born` of what is
    /// fetched.
    #[must_use]
    pub fn seq(&self) -> Seq {
        self.0.tables.seq()
    }

    /// What is known without touching the disk. Never blocks.
    #[must_use]
    pub fn peek(&self, key: KeyRef<'_>) -> Peek<H> {
        self.0.peek(key)
    }

    /// Memory, then disk, then promote. Any trouble of the disk is a miss.
    pub async fn load(&self, key: KeyRef<'_>) -> Load<H> {
        self.0.load(key).await
    }

    /// Begins an entry. `born`: [`Store::seq`] from before the lookup; `length`: of the body, if it is known. With more
    /// than [`TAGS_MAX`] tags it is not kept.
    #[must_use]
    pub fn writer(&self, key: Key, head: H, tags: Vec<String>, born: Seq, length: Option<u64>) -> Writer<H> {
        let shared = &self.0;
        let parts = self.parts(key, head, &tags, born);
        let config = &shared.config;
        let fill = Fill::new(
            Arc::clone(&shared.flight),
            shared.disk().cloned(),
            config.memory_object_max,
            config.object_max,
            length,
        );
        Writer { shared: Arc::clone(shared), fill, parts: Some(parts), length, written: 0 }
    }

    /// The same body under a new head, after the origin has confirmed it (304). `None` if it was purged (hard), replaced or
    /// removed meanwhile.
    #[expect(clippy::unused_async, reason = "whether it waits for the disk is ours to change")]
    pub async fn refresh(
        &self,
        entry: &Arc<Entry<H>>,
        head: H,
        tags: Vec<String>,
        born: Seq,
    ) -> Option<Arc<Entry<H>>> {
        let parts = self.parts(entry.key().clone(), head, &tags, born);
        self.0.renew(entry, parts)
    }

    fn parts(&self, key: Key, head: H, tags: &[String], born: Seq) -> Parts<H> {
        self.0.urls.add(key.url());
        let dead = tags.len() > TAGS_MAX;
        let tags = tags.iter().take(TAGS_MAX).map(|tag| tag_hash(tag)).collect();
        let standing = head.standing();
        let (expired, aged) = (false, false);
        let mut parts = Parts { key, head, tags, born, checked: born.0, dead, expired, aged, standing };
        self.0.check(&mut parts);
        parts
    }

    /// Whether there may be an entry of `url`, under whatever variant: no is certain, and a yes stays for a while after
    /// the last one has gone.
    #[must_use]
    pub fn may_hold(&self, url: &str) -> bool {
        self.0.urls.may_hold(url)
    }

    /// Whether a purge by URL, prefix, host or all, hard or soft, met `url` after `born`; yes also where that is no longer
    /// known. For an entry of another URL that is about to be given out for this one.
    #[must_use]
    pub fn purged_since(&self, url: &str, born: Seq) -> bool {
        let tables = &self.0.tables;
        let (verdict, _) = tables.verdict(url, &[], born.0, born.0);
        verdict.dead || verdict.expired || born.0 < tables.floor()
    }

    /// Whether there is an entry of this key on disk, besides one in memory.
    #[must_use]
    pub fn on_disk(&self, key: KeyRef<'_>) -> bool {
        self.0.disk().is_some_and(|disk| disk.slot(key.hash()).is_some())
    }

    /// Forgets one entry, here and now; the disk follows behind.
    pub fn remove(&self, key: KeyRef<'_>) {
        self.0.forget(key.hash());
    }

    /// Applies a purge: in force and durable when this returns. `note` is kept with it in the history.
    ///
    /// # Errors
    /// When it is not confirmed; the error says whether it is in force.
    pub async fn purge(&self, purge: &Purge, note: &str) -> Result<Receipt, PurgeError> {
        let receipt = self.0.ledger.purge(purge, note).await?;
        Counters::add(&self.0.counters.purges);
        Ok(receipt)
    }

    /// Takes the purge at `purge` back: what it hit, and is still there, is served again. Durable and in force when this
    /// returns; what was fetched since then stays. `note` is kept with it in the history.
    ///
    /// # Errors
    /// When the purge stays in force, and why.
    pub async fn undo(&self, purge: Seq, note: &str) -> Result<Receipt, PurgeError> {
        self.0.ledger.undo(purge, note).await
    }

    /// What a purge would hit now. Walks everything, on a thread of its own; one survey at a time.
    pub async fn survey(&self, purge: &Purge) -> Survey {
        let (done, answer) = oneshot::channel();
        let (shared, purge) = (Arc::clone(&self.0), purge.clone());
        let walk = move || {
            let _one = shared.surveying.lock();
            let _ = done.send(survey(&shared, &purge));
        };
        if let Err(error) = thread::Builder::new().name("larder-survey".into()).spawn(walk) {
            tracing::warn!(%error, "cannot start a survey");
        }
        answer.await.unwrap_or_default()
    }

    /// The purges that are remembered, oldest first.
    #[must_use]
    pub fn history(&self) -> Vec<Recorded> {
        self.0.ledger.history()
    }

    /// The remembered purges after `after`, oldest first: at most `count`, and no more when their texts have `bytes`.
    #[must_use]
    pub fn past(&self, after: Seq, count: usize, bytes: usize) -> Past {
        self.0.ledger.past(after, count, bytes)
    }

    /// The first purges after a position, or without one the newest; at most `limit`, and no more once they take `bytes`.
    #[must_use]
    pub fn page(&self, after: Option<Seq>, limit: usize, bytes: usize) -> Page {
        self.0.ledger.page(after, limit, bytes)
    }

    /// A look at the counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let shared = &self.0;
        let disk = shared.disk();
        Stats {
            memory_objects: shared.memory.objects(),
            memory_bytes: shared.memory.bytes(),
            memory_budget: shared.memory.budget(),
            disk_objects: disk.map_or(0, |disk| disk.objects()),
            disk_bytes: disk.map_or(0, |disk| disk.bytes()),
            disk_budget: disk.map_or(0, |disk| disk.budget()),
            disk_pinned: disk.map_or(0, |disk| disk.pinned()),
            flight_bytes: shared.flight.bytes(),
            behind_bytes: shared.behind.bytes(),
            purge_selectors: shared.tables.len() as u64,
            seq: shared.tables.seq().0,
            disk_healthy: disk.map_or(shared.config.disk == 0, |disk| disk.healthy()),
            scrub_seen: shared.scrubbed.load(Ordering::Relaxed),
            events: shared.counters.snapshot(),
        }
    }

    /// Sets anew who has which part of the disk, and what percentage of it may be pinned.
    pub fn arrange(&self, shares: &[Share], pinned_max: u8) {
        if let Some(disk) = self.0.disk() {
            disk.arrange(shares, pinned_max);
        }
    }

    /// Bytes on disk by share, see [`Config::shares`]; equal bodies count for each of their entries.
    #[must_use]
    pub fn shares(&self) -> Vec<(u16, u64)> {
        self.0.disk().map_or_else(Vec::new, |disk| disk.bytes_by_share())
    }

    /// Writes out what waits and ends the threads, within a few seconds. The directory can be opened again afterwards.
    pub async fn close(self) {
        let shared = &self.0;
        shared.closing.store(true, Ordering::Relaxed);
        let _ = shared.ledger.close().await;
        if let Some(disk) = shared.disk() {
            disk.close();
            let _ = disk.ended().await;
        }
    }
}

/// The tier on disk and the purges; of a disk in trouble only purges, that nobody is told are durable.
fn open_or_do_without(
    config: &Config,
    counters: &Arc<Counters>,
    faults: &Arc<Faults>,
) -> Result<(Option<Arc<Disk>>, Ledger), OpenError> {
    if config.disk == 0 {
        return Ok((None, Ledger::volatile(config.purges)?));
    }
    let mut opened = open_disk(config, counters, faults);
    if let Err(OpenError::Directory { path, source }) = &opened
        && disk::full(source)
    {
        tracing::error!(path = %path.display(), error = %source, "the disk is full: everything stored is removed");
        match disk::make_room(path) {
            Ok(()) => opened = open_disk(config, counters, faults),
            Err(error) => tracing::warn!(?error, "no room was made"),
        }
    }
    let error = match opened {
        Ok((disk, ledger)) => return Ok((Some(disk), ledger)),
        Err(error) => error,
    };
    let fix = error.fix().unwrap_or_default();
    match error {
        OpenError::Directory { path, source } if disk::trouble(&source) => {
            tracing::error!(
                path = %path.display(), error = %source, fix,
                "running without its disk, from memory only: purges are in force but not confirmed"
            );
            Ok((None, Ledger::undurable(source, config.purges)?))
        }
        error => Err(error),
    }
}

fn open_disk(
    config: &Config,
    counters: &Arc<Counters>,
    faults: &Arc<Faults>,
) -> Result<(Arc<Disk>, Ledger), OpenError> {
    let (disk, seq) = Disk::open(config, Arc::clone(counters), faults)?;
    let directory = &config.directory;
    let ledger = Ledger::open(directory, seq, config.purges, faults).inspect_err(|_| disk.close_now())?;
    Ok((disk, ledger))
}

/// What a dry run of a purge found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Survey {
    /// Entries that match.
    pub objects: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
}

impl Survey {
    fn add(&mut self, bytes: u64) {
        self.objects += 1;
        self.bytes += bytes;
    }
}

fn survey<H: Head>(shared: &Shared<H>, purge: &Purge) -> Survey {
    let probe = Tables::default();
    probe.apply(purge, 1);
    let meant = |url: &str, tags: &[u64]| {
        let (verdict, _) = probe.verdict(url, tags, 0, 0);
        verdict.dead || verdict.expired
    };
    let mut survey = Survey::default();
    let on_disk = |hash| shared.disk().is_some_and(|disk| disk.slot(hash).is_some());
    // What is written to disk between the two walks is counted once.
    let mut counted = HashSet::new();
    shared.memory.each(|entry| {
        let alive = !on_disk(entry.key().hash()) && entry.check(&shared.tables).is_some();
        if alive && meant(entry.key().url(), entry.tags()) {
            counted.insert(entry.key().hash());
            survey.add(entry.len());
        }
    });
    let Some(disk) = shared.disk() else { return survey };
    for slot in disk.each_shard().flatten().filter(|slot| !counted.contains(&slot.hash())) {
        let floor = shared.tables.floor();
        let Ok(Some(bytes)) = disk.record(slot.hash()) else { continue };
        let Ok(record) = Record::decode(slot.hash(), &bytes) else { continue };
        let checked = record.born.max(floor);
        let alive = !shared.tables.verdict(record.url, &record.tags, record.born, checked).0.dead;
        if alive && meant(record.url, &record.tags) {
            survey.add(record.length);
        }
    }
    survey
}

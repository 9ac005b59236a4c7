//! A look at what lies on disk while no node runs with it: nothing is served, evicted or swept.
//!
//! Opening does to what is damaged what the start of a node would do: an index that cannot be opened is set aside, records
//! that are none are dropped. Bodies are left as they are.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::config::{Config, Purges};
use crate::disk::{self, BlockInfo, Disk, PieceError, Record, Slot};
use crate::error::OpenError;
use crate::purge::Seq;
use crate::purge::ledger::Ledger;
use crate::standing::Standing;
use crate::stats::Counters;

/// Budget of a disk that must not evict anything.
const ENDLESS: u64 = u64::MAX / 4;

/// Nothing of the journal is to be forgotten by looking at it.
const REMEMBER: Purges =
    Purges { undo_window: TEN_YEARS, history: usize::MAX, history_bytes: usize::MAX, history_age: TEN_YEARS };
const TEN_YEARS: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// A store's directory, locked and open.
#[derive(Debug)]
pub struct Offline {
    disk: Arc<Disk>,
    ledger: Ledger,
    counters: Arc<Counters>,
}

/// An entry on disk.
#[derive(Debug)]
pub struct Item {
    /// The URL.
    pub url: String,
    /// Which of its variants.
    pub variant: String,
    /// The head, as its owner encoded it.
    pub head: Vec<u8>,
    /// Position of the purges before the fetch.
    pub born: Seq,
    /// Bytes of the body.
    pub length: u64,
    /// A purge has named it since: it is never served and goes with the next sweep.
    pub purged: bool,
    /// A soft purge has named it since: it is stale.
    pub expired: bool,
    /// Whose part of the disk it takes, and whether it is pinned.
    pub standing: Standing,
    blocks: Vec<Arc<BlockInfo>>,
}

/// What is wrong with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Its record cannot be read.
    #[error("its record cannot be read")]
    Record,
    /// A part of its body is not there.
    #[error("a part of its body is missing")]
    Missing,
    /// A part of its body is not what was written.
    #[error("a part of its body was changed")]
    Changed,
    /// The disk fails.
    #[error("the disk fails to read its body")]
    Unreadable,
}

impl Offline {
    /// Opens a directory that a store has left.
    ///
    /// # Errors
    /// If it is in use, is none of a store of this format, or cannot be read.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        if !disk::ours(directory) {
            return Err(OpenError::Foreign { path: directory.to_owned() });
        }
        let counters: Arc<Counters> = Arc::default();
        let config = Config { io_threads: 2, ..Config::new(directory, 0, ENDLESS) };
        let faults = Arc::default();
        let (disk, seq) = Disk::open(&config, Arc::clone(&counters), &faults)?;
        let ledger = Ledger::open(directory, seq, REMEMBER, &faults).inspect_err(|_| disk.close_now())?;
        Ok(Self { disk, ledger, counters })
    }

    /// Entries.
    #[must_use]
    pub fn objects(&self) -> u64 {
        self.disk.objects()
    }

    /// Bytes taken on disk: equal bodies once, with their records.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.disk.bytes()
    }

    /// Position of the newest purge.
    #[must_use]
    pub fn seq(&self) -> Seq {
        self.ledger.tables().seq()
    }

    /// Records that were dropped because they were damaged.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.counters.corrupt.load(Ordering::Relaxed)
    }

    /// Visits all entries in no order, until `visit` says no.
    pub fn each(&self, mut visit: impl FnMut(Result<Item, Damage>) -> bool) {
        for slots in self.disk.each_shard() {
            for slot in slots {
                if !visit(self.item(slot)) {
                    return;
                }
            }
        }
    }

    fn item(&self, slot: Slot) -> Result<Item, Damage> {
        let bytes = self.disk.record(slot.hash()).ok().flatten().ok_or(Damage::Record)?;
        let record = Record::decode(slot.hash(), &bytes).map_err(|_| Damage::Record)?;
        let tables = self.ledger.tables();
        let checked = record.born.max(tables.floor());
        let (verdict, _) = tables.verdict(record.url, &record.tags, record.born, checked);
        Ok(Item {
            url: record.url.to_owned(),
            variant: record.variant.to_owned(),
            head: record.head.to_vec(),
            born: Seq(record.born),
            length: record.length,
            purged: verdict.dead,
            expired: verdict.expired || record.expired || slot.expired,
            standing: record.standing,
            blocks: record.blocks,
        })
    }

    /// Reads a body in parts of up to 1 MiB, each compared with its checksums before it is given out.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(&self, item: &Item, mut part: impl FnMut(&[u8])) -> Result<(), Damage> {
        for block in &item.blocks {
            let bytes = self.disk.read_all(std::slice::from_ref(block), u64::from(block.len));
            part(&bytes.map_err(|error| match error {
                PieceError::Missing => Damage::Missing,
                PieceError::Damaged => Damage::Changed,
                PieceError::Busy | PieceError::Failed => Damage::Unreadable,
            })?);
        }
        Ok(())
    }

    /// Lets go of the directory.
    pub fn close(self) {
        drop(self.ledger.close().blocking_recv());
        self.disk.close_now();
    }
}

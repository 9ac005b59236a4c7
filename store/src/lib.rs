//! A tiered cache: memory over a content-addressed store on disk, with durable purges. It knows bytes, keys, tags and
//! sizes; what they mean (HTTP) is the caller's.
//!
//! ```
//! use larder_store::{Config, Head, Key, KeyRef, Load, Purge, Selector, Store};
//!
//! struct Type(String);
//!
//! impl Head for Type {
//!     fn encode(&self, out: &mut Vec<u8>) {
//!         out.extend_from_slice(self.0.as_bytes());
//!     }
//!     fn decode(bytes: &[u8]) -> Option<Self> {
//!         String::from_utf8(bytes.to_vec()).ok().map(Self)
//!     }
//!     fn weight(&self) -> usize {
//!         self.0.len()
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! # let directory = tempfile::tempdir().unwrap();
//! let store = Store::open(Config::new(directory.path(), 64 << 20, 1 << 30)).unwrap();
//!
//! // A fetch: sample the position of the purges, look, then fill. Readers may follow while it grows.
//! let born = store.seq();
//! let url = "http://www.example.com:80/logo.svg";
//! let key = Key::new(url, "");
//! let mut writer = store.writer(key.clone(), Type("image/svg+xml".into()), vec!["logo".into()], born, None);
//! let follower = writer.tap().reader(0).unwrap();
//! writer.write("<svg/>".into()).await.unwrap();
//! writer.commit().await.unwrap();
//!
//! // A hit, from memory or, after a restart, from disk.
//! let Load::Hit(hit) = store.load(KeyRef::new(url, "")).await else { panic!("it was just stored") };
//! assert_eq!(hit.entry.bytes().unwrap(), "<svg/>");
//!
//! // A purge is durable and in force when it returns.
//! store.purge(&Purge { selectors: vec![Selector::Tag("logo".into())], soft: false }, "").await.unwrap();
//! assert!(matches!(store.load(KeyRef::new(url, "")).await, Load::Miss));
//! # drop(follower);
//! store.close().await;
//! # });
//! ```
//!
//! # What it promises
//! - No wrong byte: every piece read from disk is compared with its checksum before it is given out, every record with
//!   one that covers its key. What is damaged is a miss, is forgotten and counted.
//! - No byte older than an acknowledged purge: a purge is synced to a journal before it is acknowledged, is in force from
//!   the next lookup on, and kills fetches that were in flight. If the journal is damaged, everything older is dead.
//! - It survives `kill -9` at any moment; what was stored in the last half second may be gone.
//! - Trouble of the disk is a miss. Bodies go on to their readers, memory goes on to hit, and the disk is tried again.
//! - Budgets hold: bytes on disk are reserved before they are written; a fill holds a few MiB, whatever its length.
//! - Equal bodies are kept once, and removing one entry never harms another. Who holds an entry can read it to its end.
//!
//! # How it is built
//! ```text
//! store      the interface: one page           writer    filling; dropped without commit = never existed
//! tiers      who has what, under one lock      fill      a growing body and its followers
//! load       from disk into memory             shelve    from memory to disk
//! memory     moka, after a window              reader    a body in verified pieces
//! behind     in memory, on its way to disk     upkeep    sweeps that carry purges out
//! admission  what goes to disk                 standing  what may be evicted
//! disk/      order of writes; content (cacache), segments of frames (packer, clean), index (sled), slots, blocks, keeper,
//!            pool, recover, rebuild, reclaim
//! scrub      bodies compared in the background
//! purge/     selectors (always compiled); tables (epochs), journal, ledger
//! ```
//! It starts threads of its own (I/O, index, journal, upkeep) and needs no Tokio runtime features; nothing that is called
//! from a worker blocks. What lies on disk is drawn in `docs/disk-format.md`.

#[cfg(feature = "engine")]
mod above;
#[cfg(feature = "engine")]
mod admission;
#[cfg(feature = "engine")]
mod behind;
#[cfg(feature = "engine")]
mod config;
#[cfg(feature = "engine")]
mod disk;
#[cfg(feature = "engine")]
mod entry;
#[cfg(feature = "engine")]
mod error;
#[cfg(feature = "engine")]
#[doc(hidden)]
pub mod fault;
#[cfg(feature = "engine")]
mod fill;
#[cfg(feature = "engine")]
mod keep;
#[cfg(feature = "engine")]
mod key;
#[cfg(feature = "engine")]
mod limits;
mod load;
#[cfg(feature = "engine")]
mod memo;
#[cfg(feature = "engine")]
mod memory;
#[cfg(feature = "engine")]
pub mod offline;
pub mod purge;
#[cfg(feature = "engine")]
mod reader;
#[cfg(feature = "engine")]
#[doc(hidden)]
pub mod replay;
#[cfg(feature = "engine")]
mod scrub;
mod shelve;
#[cfg(feature = "engine")]
mod standing;
#[cfg(feature = "engine")]
mod stats;
#[cfg(feature = "engine")]
mod store;
#[cfg(feature = "engine")]
mod tier;
#[cfg(feature = "engine")]
mod tiers;
#[cfg(feature = "engine")]
mod upkeep;
#[cfg(feature = "engine")]
mod urls;
#[cfg(feature = "engine")]
mod writer;

pub use purge::{Page, Purge, Receipt, Recorded, Selector, SelectorError, Seq, Told};

#[cfg(feature = "engine")]
pub use engine::*;

#[cfg(feature = "engine")]
mod engine {
    pub use crate::admission::Admission;
    pub use crate::config::{Config, Purges};
    pub use crate::entry::{Entry, Head};
    pub use crate::error::{NotKept, NotUndoable, OpenError, PurgeError, ReadError, WriteError};
    pub use crate::key::{Key, KeyRef};
    pub use crate::limits::TAGS_MAX;
    pub use crate::memo::{Memo, Noted};
    pub use crate::purge::history::Past;
    pub use crate::reader::Reader;
    pub use crate::standing::{Share, Standing};
    pub use crate::stats::{Events, Stats};
    pub use crate::store::{Store, Survey};
    pub use crate::tier::{Hit, Load, Peek, Tier};
    pub use crate::writer::{Tap, Writer};
}

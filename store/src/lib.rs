//! A tiered cache: memory over a content-addressed store on disk, with durable purges. It knows bytes, keys, tags and
//! sizes; what they mean (HTTP) is the caller's.

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
mod key;
#[cfg(feature = "engine")]
mod limits;
#[cfg(feature = "engine")]
mod memory;
pub mod purge;
#[cfg(feature = "engine")]
mod reader;
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
mod writer;

pub use purge::{Purge, Receipt, Recorded, Selector, SelectorError, Seq};

#[cfg(feature = "engine")]
pub use engine::*;

#[cfg(feature = "engine")]
mod engine {
    pub use crate::config::Config;
    pub use crate::entry::{Entry, Head};
    pub use crate::error::{NotKept, OpenError, PurgeError, ReadError, WriteError};
    pub use crate::key::{Key, KeyRef};
    pub use crate::reader::Reader;
    pub use crate::stats::{Events, Stats};
    pub use crate::store::{Store, Survey};
    pub use crate::tier::{Hit, Load, Peek, Tier};
    pub use crate::writer::{Tap, Writer};
}

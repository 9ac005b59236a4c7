//! The answers of a lookup.

use std::sync::Arc;

use crate::entry::Entry;

/// Where a body was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tier {
    /// In memory as a whole.
    Memory,
    /// On disk; small ones are in memory from now on, large ones are read piece by piece.
    Disk,
}

impl Tier {
    /// One word for logs and metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
        }
    }
}

/// A found entry.
#[derive(Debug)]
pub struct Hit<H> {
    /// The entry.
    pub entry: Arc<Entry<H>>,
    /// Purged softly: treat it as stale.
    pub expired: bool,
    /// Where its body was.
    pub tier: Tier,
}

impl<H> Clone for Hit<H> {
    fn clone(&self) -> Self {
        Self { entry: Arc::clone(&self.entry), expired: self.expired, tier: self.tier }
    }
}

/// What is known without touching the disk.
#[derive(Debug)]
pub enum Peek<H> {
    /// Found.
    Memory(Hit<H>),
    /// Probably on disk: ask [`crate::Store::load`].
    Disk,
    /// In no tier.
    Absent,
}

/// What a full lookup found.
#[derive(Debug)]
pub enum Load<H> {
    /// Found.
    Hit(Hit<H>),
    /// The disk has too much to do: treat it as a miss, and better do not store either.
    Busy,
    /// In no tier.
    Miss,
}

//! What an operator decides about a store.

use std::path::PathBuf;
use std::time::Duration;

use crate::admission::Admission;
use crate::standing::Share;

/// The settings of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where everything on disk lies. Not touched when `disk` is 0.
    pub directory: PathBuf,
    /// Bytes of entries kept in memory. Bodies in flight may take a quarter more, at least 16 MiB.
    pub memory: u64,
    /// Bytes on disk; 0 = memory only, no files at all.
    pub disk: u64,
    /// Largest body that is stored, bytes.
    pub object_max: u64,
    /// Largest body that is kept in memory as a whole, bytes; larger ones are read from disk piece by piece.
    pub memory_object_max: u64,
    /// Threads that read and write the disk.
    pub io_threads: usize,
    /// Which new bodies are written to disk.
    pub admission: Admission,
    /// Who has a part of the disk that others cannot take, up to 100 percent together.
    pub shares: Vec<Share>,
    /// Percent of the disk that may be pinned; what is above is as if it were not.
    pub pinned_max: u8,
    /// Bytes a second of bodies on disk that are compared with their checksums in the background; 0 = none.
    pub scrub: u64,
    /// Bytes that stay free on the file system: below it nothing is stored and the cache makes room. 0 = not looked at.
    pub free_min: u64,
    /// How purges are remembered.
    pub purges: Purges,
}

/// How purges are remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purges {
    /// Time for which a purge can be taken back: what it hit is kept that long, unserved. Zero = never.
    pub undo_window: Duration,
    /// Purges of the history, at the most.
    pub history: usize,
    /// Bytes of the history, at the most.
    pub history_bytes: usize,
    /// Age after which a purge leaves the history.
    pub history_age: Duration,
}

impl Default for Purges {
    /// No undo, and a month or 10,000 purges or 32 MiB of them.
    fn default() -> Self {
        Self {
            undo_window: Duration::ZERO,
            history: 10_000,
            history_bytes: 32 << 20,
            history_age: Duration::from_secs(30 * 24 * 3600),
        }
    }
}

impl Config {
    /// The usual proportions for these sizes.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>, memory: u64, disk: u64) -> Self {
        let memory_object_max = (memory / 8).min(8 << 20);
        let object_max = if disk == 0 { memory_object_max } else { disk / 4 };
        Self {
            directory: directory.into(),
            memory,
            disk,
            object_max,
            memory_object_max,
            io_threads: 4,
            purges: Purges::default(),
            admission: Admission::Auto,
            shares: Vec::new(),
            pinned_max: 20,
            scrub: 0,
            free_min: 0,
        }
    }
}

impl Default for Config {
    /// 256 MiB of memory and no disk.
    fn default() -> Self {
        Self::new(PathBuf::new(), 256 << 20, 0)
    }
}

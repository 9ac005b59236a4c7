//! What can go wrong, said in words that tell the caller what to do.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use crate::disk;
pub use crate::purge::history::NotUndoable;

/// The store cannot be opened at all. A broken index or journal is no reason: those are repaired.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory cannot be made, read or written.
    #[error("cannot use the directory {path}")]
    Directory {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another process has it open.
    #[error("the directory {path} is in use by another process")]
    Locked {
        /// Which one.
        path: PathBuf,
    },
    /// It is not the directory of a store, or of one of another format.
    #[error("{path} is not a cache directory of this version")]
    Foreign {
        /// Which one.
        path: PathBuf,
    },
    /// A thread could not be started.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
}

impl OpenError {
    /// What to do about it, if that is known.
    #[must_use]
    pub fn fix(&self) -> Option<String> {
        let (path, source) = match self {
            Self::Locked { .. } => {
                return Some("end that process, or give each a directory of its own".into());
            }
            Self::Thread(_) | Self::Foreign { .. } => return None,
            Self::Directory { path, source } => (path.display(), source),
        };
        Some(match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                format!("free space (df -h {path}) or files (df -i {path}) there, then restart")
            }
            ErrorKind::ReadOnlyFilesystem => format!(
                "mount it for writing (findmnt -T {path}; dmesg says whether the disk failed), or name it in \
                 ReadWritePaths of the unit, then restart"
            ),
            ErrorKind::PermissionDenied => {
                format!("install -d -m 700 -o USER {path}, USER being who runs larder")
            }
            ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
                format!("name a directory: {path} or what is above it is a file")
            }
            _ if disk::trouble(source) => {
                format!("dmesg says whether the disk failed; if it did not, empty {path}; then restart")
            }
            _ => return None,
        })
    }
}

/// A body that cannot be read to its end. What was given out before is right.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// The fill that was being followed ended early.
    #[error("the fill was aborted: {0}")]
    Aborted(Arc<str>),
    /// The disk failed or gave other bytes than were stored; the entry is forgotten.
    #[error("the stored body cannot be read")]
    Broken,
}

/// The bytes of a fill are of no use any more; stop fetching.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// It cannot be stored and nobody reads along.
    #[error("not storable and not wanted by any reader")]
    Unwanted,
    /// More bytes than `length` announced.
    #[error("longer than announced")]
    Length,
}

/// The body was complete for its readers, but there is no entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotKept {
    /// Larger than the store takes.
    #[error("too large")]
    TooLarge,
    /// Purged (hard) while it was on its way.
    #[error("purged meanwhile")]
    Purged,
    /// The store could not keep up, or its disk has trouble.
    #[error("the store is busy")]
    Busy,
    /// Fewer bytes than `length` announced; readers saw an abort.
    #[error("shorter than announced")]
    Length,
}

impl NotKept {
    /// One word for logs and metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::TooLarge => "too-large",
            Self::Purged => "purged",
            Self::Busy => "busy",
            Self::Length => "length",
        }
    }
}

/// The purge was not confirmed.
#[derive(Debug, thiserror::Error)]
pub enum PurgeError {
    /// It is in force now, but may be forgotten if the process dies: the journal cannot be written.
    #[error("applied, but not durable")]
    NotDurable(#[source] Arc<std::io::Error>),
    /// More selectors or text than one purge may carry; nothing was applied.
    #[error("more than {max} {what} in one purge")]
    TooLarge {
        /// Of what.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// More purges than the store can hold before it has swept; nothing was applied. Try again in a moment.
    #[error("too many purges at once")]
    Busy,
    /// More regular expressions than hits may be compared with at a time; nothing was applied.
    #[error("{held} regular expressions are in force, of at most {max}")]
    Bans {
        /// In force now.
        held: usize,
        /// The limit.
        max: usize,
    },
    /// The purge is not taken back, and stays in force.
    #[error("not undone: {0}")]
    NotUndoable(NotUndoable),
    /// The purge is not taken back, and stays in force: the journal cannot be written.
    #[error("not undone, because that cannot be made durable")]
    NotUndone(#[source] Arc<std::io::Error>),
    /// The store is being closed; nothing was applied.
    #[error("the store is closed")]
    Closed,
}

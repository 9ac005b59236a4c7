//! Opening what an earlier process has left, however it ended.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::blocks::Blocks;
use super::content::Content;
use super::index::Index;
use super::record::Record;
use super::slots::{Slot, Slots, record_cost};
use crate::error::OpenError;
use crate::fault::Faults;
use crate::urls::Urls;

/// The directory's format; another one is set aside.
const FORMAT: &str = "larder-store 1\n";

/// What was found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) lock: File,
    pub(super) index: Index,
    pub(super) slots: Slots,
    pub(super) blocks: Blocks,
    pub(super) urls: Urls,
    /// The highest position of a purge that the index knows of.
    pub(super) seq: u64,
    /// Records that are damaged and must go.
    pub(super) corrupt: Vec<u128>,
}

pub(super) fn recover(directory: &Path, budget: u64, faults: &Arc<Faults>) -> Result<Found, OpenError> {
    let unusable = |source| OpenError::Directory { path: directory.to_owned(), source };
    fs::create_dir_all(directory).map_err(unusable)?;
    let lock = lock(directory)?;
    if ours(directory) {
        // Before anything is written: it may be what the disk is full of.
        Content::new(directory, Arc::clone(faults)).clear_temporary();
    }
    check_format(directory).map_err(unusable)?;
    let (index, _) = Index::open(directory, Arc::clone(faults)).map_err(unusable)?;
    let mut scan = Scan::new(budget);
    match index.each(|hash, record| scan.take(hash, record)).and_then(|()| index.noted_seq()) {
        Ok(seq) => scan.seq = scan.seq.max(seq),
        Err(error) => {
            tracing::error!(%error, "the index cannot be read: starting with an empty one");
            index.start_over().map_err(unusable)?;
            scan = Scan::new(budget);
        }
    }
    let Scan { slots, blocks, urls, seq, corrupt } = scan;
    Ok(Found { lock, index, slots, blocks, urls, seq, corrupt })
}

/// Whether the disk has no room.
pub(crate) fn full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Whether this is trouble of a disk, or of what lies on it, and not a directory that is the wrong one.
pub(crate) fn trouble(error: &io::Error) -> bool {
    let broken = || match Errno::from_io_error(error) {
        Some(errno) => {
            matches!(
                errno,
                Errno::IO | Errno::NXIO | Errno::NODEV | Errno::UCLEAN | Errno::STALE | Errno::TIMEDOUT
            )
        }
        // Not of the system: an index that fails even when it is new.
        None => error.kind() == io::ErrorKind::Other,
    };
    full(error) || error.kind() == io::ErrorKind::ReadOnlyFilesystem || broken()
}

/// Whether a store has been here. If not, nothing in the directory is ours to remove.
pub(crate) fn ours(directory: &Path) -> bool {
    fs::read(directory.join("format")).is_ok_and(|found| found == FORMAT.as_bytes())
}

/// Removes everything stored, but not the journal of purges.
pub(crate) fn make_room(directory: &Path) -> Result<(), OpenError> {
    let _lock = lock(directory)?;
    if !ours(directory) {
        return Ok(());
    }
    // The records first: none may be left that says there is a body.
    for name in ["index", "index.broken", "content-v2"] {
        match fs::remove_dir_all(directory.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(OpenError::Directory { path: directory.to_owned(), source: error });
            }
            _ => {}
        }
    }
    Ok(())
}

struct Scan {
    slots: Slots,
    blocks: Blocks,
    urls: Urls,
    seq: u64,
    corrupt: Vec<u128>,
}

impl Scan {
    fn new(budget: u64) -> Self {
        let (slots, blocks, urls) = (Slots::new(), Blocks::new(budget), Urls::default());
        Self { slots, blocks, urls, seq: 0, corrupt: Vec::new() }
    }

    fn take(&mut self, hash: u128, bytes: &[u8]) {
        let record = match Record::decode(hash, bytes) {
            Ok(record) => record,
            Err(error) => {
                tracing::warn!(%error, "dropped an entry");
                self.corrupt.push(hash);
                return;
            }
        };
        let size = bytes.len() as u32;
        if !self.slots.restore(Slot::new(hash, record.born, record.length, size, record.standing, true)) {
            self.corrupt.push(hash);
            return;
        }
        self.urls.add(record.url);
        record.blocks.iter().for_each(|block| self.blocks.restore(block));
        self.blocks.space.charge(record_cost(size));
        self.seq = self.seq.max(record.born);
    }
}

fn lock(directory: &Path) -> Result<File, OpenError> {
    let path = directory.join("lock");
    let unusable = |source| OpenError::Directory { path: directory.to_owned(), source };
    let file = fs::OpenOptions::new().create(true).append(true).open(path).map_err(unusable)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::WOULDBLOCK) => Err(OpenError::Locked { path: directory.to_owned() }),
        Err(error) => Err(unusable(error.into())),
    }
}

/// A directory of another format keeps its files, under other names, and we begin anew.
fn check_format(directory: &Path) -> io::Result<()> {
    let path = directory.join("format");
    match fs::read(&path) {
        Ok(found) if found == FORMAT.as_bytes() => return Ok(()),
        Ok(found) if found.is_empty() => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Ok(_) => {
            tracing::error!("the directory holds another format: set aside in other-format");
            let aside = directory.join("other-format");
            fs::create_dir_all(&aside)?;
            for name in ["index", "purge.log", "content-v2", "format"] {
                match fs::rename(directory.join(name), aside.join(name)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        }
        Err(error) => return Err(error),
    }
    let mut file = fs::OpenOptions::new().create(true).write(true).truncate(true).open(&path)?;
    io::Write::write_all(&mut file, FORMAT.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_made_of_what_is_ours_and_the_purges_stay() {
        let directory = tempfile::tempdir().unwrap();
        let there = |name: &str| directory.path().join(name).exists();
        let names = ["index", "index.broken", "content-v2"];
        names.iter().for_each(|name| fs::create_dir(directory.path().join(name)).unwrap());
        make_room(directory.path()).unwrap();
        assert!(names.iter().all(|name| there(name)), "without our format it is somebody else's");
        check_format(directory.path()).unwrap();
        fs::create_dir(directory.path().join("purge.log")).unwrap();
        make_room(directory.path()).unwrap();
        assert!(!names.iter().any(|name| there(name)));
        assert!(there("purge.log") && there("format"));
    }

    #[test]
    fn trouble_of_the_disk_is_told_from_a_wrong_directory() {
        for errno in [Errno::NOSPC, Errno::DQUOT, Errno::ROFS, Errno::IO] {
            assert!(trouble(&errno.into()), "{errno}");
        }
        for errno in [Errno::ACCESS, Errno::PERM, Errno::NOTDIR, Errno::EXIST, Errno::NOENT, Errno::MFILE] {
            assert!(!trouble(&errno.into()), "{errno}");
        }
        assert!(trouble(&io::Error::other("the index panicked")));
    }
}

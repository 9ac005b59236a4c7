//! Opening what an earlier process has left, however it ended.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::blocks::{Blocks, Body};
use super::content::{Content, Hash};
use super::frame::{At, record_bytes};
use super::index::{Index, Opened};
use super::line;
use super::packer::segment_bytes;
use super::rebuild::{Revived, scan};
use super::segments::{Segments, charge};
use super::slots::{Slot, Slots};
use super::space::Space;
use crate::error::OpenError;
use crate::fault::Faults;
use crate::purge::journal::Journal;
use crate::urls::Urls;

/// The directory's format; another one is set aside.
const FORMAT: &str = "larder-store 2\n";

/// What was found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) lock: File,
    pub(super) index: Index,
    pub(super) segments: Segments,
    pub(super) slots: Slots,
    pub(super) blocks: Blocks,
    pub(super) urls: Urls,
    /// The highest position of a purge that the index knows of.
    pub(super) seq: u64,
    /// Number of the next segment: higher than any that was ever mentioned.
    pub(super) next: u32,
    /// Whether anything may be found that purges could hit.
    pub(super) holds_anything: bool,
    /// The index was lost and must be built from the segments.
    pub(super) lost: bool,
    /// Lines that must be written again or go.
    pub(super) news: Vec<u128>,
    /// Entries that something later has replaced.
    pub(super) buried: Vec<Slot>,
}

pub(super) fn recover(directory: &Path, budget: u64, faults: &Arc<Faults>) -> Result<Found, OpenError> {
    let unusable = |source| OpenError::Directory { path: directory.to_owned(), source };
    fs::create_dir_all(directory).map_err(unusable)?;
    let lock = lock(directory)?;
    let content = Content::new(directory, Arc::clone(faults));
    if ours(directory) {
        // Before anything is written: it may be what the disk is full of.
        content.clear_temporary();
    }
    check_format(directory).map_err(unusable)?;
    let segments = Segments::new(directory, Arc::clone(faults));
    let charged = segments.find().map_err(unusable)?;
    let (index, opened) = Index::open(directory, Arc::clone(faults)).map_err(unusable)?;
    let mut lost = opened == Opened::New && charged > 0;
    let mut scan = Scan::new(budget, segments, charged);
    let read = if lost { Ok(0) } else { scan.read(&index, &content) };
    match read {
        Ok(seq) => scan.seq = scan.seq.max(seq),
        Err(error) => {
            tracing::error!(%error, "the index cannot be used: it is built anew from the segments");
            index.start_over().map_err(unusable)?;
            lost = true;
        }
    }
    if lost {
        let segments = Segments::new(directory, Arc::clone(faults));
        forget_if_purged(directory, &segments).map_err(unusable)?;
        let charged = segments.find().map_err(unusable)?;
        scan = Scan::new(budget, segments, charged);
        lost = charged > 0;
    }
    let holds_anything = lost || scan.slots.len() > 0 || scan.seq > 0;
    let Scan { slots, blocks, segments, urls, seq, news, buried, last, .. } = scan;
    let next = segments.numbers().last().copied().unwrap_or(0).max(last) + 1;
    Ok(Found { lock, index, segments, slots, blocks, urls, seq, next, holds_anything, lost, news, buried })
}

/// Without an index nobody knows how new the entries are. If the journal of purges has lost something as well they count
/// as purged, and its positions might be given again: then they must not be there.
fn forget_if_purged(directory: &Path, segments: &Segments) -> io::Result<()> {
    let journal = Journal::replay(directory)?;
    if !(journal.lost || journal.absent) {
        return Ok(());
    }
    segments.find()?;
    let numbers = segments.numbers();
    if !numbers.is_empty() {
        tracing::error!("the index and the journal of purges are lost: everything stored is removed");
    }
    numbers.into_iter().try_for_each(|number| segments.remove(number).map(drop))
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
    for name in ["index", "index.broken", "segments", "content-v2"] {
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
    segments: Segments,
    urls: Urls,
    seq: u64,
    damaged: bool,
    /// The highest number of a segment that the index mentions.
    last: u32,
    news: Vec<u128>,
    buried: Vec<Slot>,
}

impl Scan {
    fn new(budget: u64, segments: Segments, charged: u64) -> Self {
        let space = Space::new(budget, charge(segment_bytes(budget)));
        space.charge(charged);
        Self {
            slots: Slots::new(),
            blocks: Blocks::new(space),
            segments,
            urls: Urls::default(),
            seq: 0,
            damaged: false,
            last: 0,
            news: Vec::new(),
            buried: Vec::new(),
        }
    }

    /// Reads the index, then what was appended after it was last flushed; the position of purges that it has noted.
    fn read(&mut self, index: &Index, content: &Content) -> io::Result<u64> {
        let mut moved = Vec::new();
        index.each(|name, line| match (<[u8; 16]>::try_from(name), Hash::try_from(name)) {
            (Ok(name), _) => self.take(u128::from_be_bytes(name), line),
            (_, Ok(name)) => moved.extend(line::read_place(line).map(|at| (name, at))),
            _ => {}
        })?;
        if self.damaged {
            // Its frame may be alive, and must not be forgotten.
            return Err(io::Error::other("a line is damaged"));
        }
        for (name, at) in moved {
            self.place(&name, at);
        }
        let seq = index.noted_seq()?;
        let upto = index.noted_upto()?.and_then(|place| line::read_place(&place)).unwrap_or_default();
        self.last = self.last.max(upto.segment);
        let mut bodies = HashMap::new();
        for number in self.segments.numbers().into_iter().filter(|number| *number >= upto.segment) {
            let from = At { segment: number, offset: if number == upto.segment { upto.offset } else { 0 } };
            if let Err(error) = self.take_tail(from, &mut bodies) {
                tracing::warn!(number, %error, "a segment cannot be read");
            }
        }
        let file = |name: &Hash, len| content.has(name, len).then_some(At::NOWHERE);
        self.blocks.find_lost(
            |name, len| bodies.get(name).copied().or_else(|| file(name, len)),
            |at, len| self.segments.alive(at, u64::from(len)),
        );
        Ok(seq)
    }

    fn take(&mut self, hash: u128, bytes: &[u8]) {
        let line = match line::decode(hash, bytes) {
            Ok(line) => line,
            Err(error) => {
                tracing::warn!(%error, "a line of the index is damaged");
                self.damaged = true;
                return;
            }
        };
        self.last = self.last.max(line.slot.at.segment);
        // Its segment was cleaned after the index was flushed; the copy is found further on.
        if !self.segments.exists(line.slot.at.segment) {
            self.news.push(hash);
            return;
        }
        let packed = match line.packed {
            At::NOWHERE => None,
            at if self.segments.exists(at.segment) => Some(at),
            _ => Some(At::NOWHERE),
        };
        let mut slot = line.slot;
        slot.body = self.restore(line.blocks(), packed);
        self.enter(slot);
    }

    fn restore(&self, blocks: impl ExactSizeIterator<Item = (Hash, u32)>, packed: Option<At>) -> Body {
        self.blocks.restore(blocks, packed, |at, len| self.segments.alive(at, u64::from(len)))
    }

    /// Puts an entry, whose blocks are referred to, in its slot.
    fn enter(&mut self, slot: Slot) {
        self.urls.add_hash(slot.url);
        self.seq = self.seq.max(slot.born);
        self.segments.alive(slot.at, record_bytes(slot.record));
        self.buried.extend(self.slots.adopt(slot));
    }

    /// A block lies here, if anybody refers to it.
    fn place(&mut self, name: &Hash, at: At) {
        if !self.segments.exists(at.segment) {
            return;
        }
        let before = self.blocks.change(name, |state| {
            state.line = true;
            (std::mem::replace(&mut state.packed, at), u64::from(state.len))
        });
        if let Some((before, length)) = before {
            self.segments.dead(before, length);
            self.segments.alive(at, length);
        }
    }

    /// Takes what was appended after the index was last flushed.
    fn take_tail(&mut self, from: At, bodies: &mut HashMap<Hash, At>) -> io::Result<()> {
        let file = self.segments.file(from.segment)?;
        scan(&file, from, bodies, |revived| {
            let Revived { mut slot, blocks, packed } = revived;
            match self.slots.get(slot.hash()) {
                Some(known) if known.at == slot.at => return true,
                Some(known) if known.is_later(&slot) => {
                    self.segments.alive(slot.at, record_bytes(slot.record));
                    self.buried.push(slot);
                    return true;
                }
                _ => {}
            }
            slot.body = self.restore(blocks.into_iter(), packed);
            self.news.push(slot.hash());
            self.enter(slot);
            true
        })
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
            for name in ["index", "purge.log", "segments", "content-v2", "format"] {
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
        let names = ["index", "index.broken", "segments", "content-v2"];
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

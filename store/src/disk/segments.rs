//! Segment files: small bodies and all records, appended one after the other. A segment is written by one thread until
//! it is full, and removed as a whole when nothing in it is alive; only the marks of its frames change in between. Its
//! number is never used again.

use std::collections::{HashMap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use super::frame::{At, Mark};
use crate::fault::Faults;
use crate::limits::{DISK_UNIT, SEGMENT_COST, open_files_max};

#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) number: u32,
    /// Open while it is written or was read of late.
    file: RwLock<Option<Arc<File>>>,
    /// Bytes charged for it.
    charged: AtomicU64,
    /// Bytes of records and bodies that somebody refers to.
    live: AtomicU64,
    /// Nothing is appended any more.
    sealed: AtomicBool,
    /// Marks were changed since the last sync.
    marked: AtomicBool,
}

impl Segment {
    fn new(number: u32, file: Option<File>, charged: u64, sealed: bool) -> Self {
        Self {
            number,
            file: RwLock::new(file.map(Arc::new)),
            charged: charged.into(),
            live: AtomicU64::new(0),
            sealed: sealed.into(),
            marked: AtomicBool::new(false),
        }
    }

    pub(crate) fn live(&self) -> u64 {
        self.live.load(Ordering::Acquire)
    }

    pub(crate) fn sealed(&self) -> bool {
        self.sealed.load(Ordering::Acquire)
    }

    /// Bytes on disk.
    pub(crate) fn bytes(&self) -> u64 {
        self.charged.load(Ordering::Acquire) - SEGMENT_COST
    }

    fn empty(&self) -> bool {
        self.sealed() && self.live() == 0
    }
}

#[derive(Debug)]
pub(crate) struct Segments {
    directory: PathBuf,
    table: RwLock<HashMap<u32, Arc<Segment>>>,
    /// Those that were opened for reading, the oldest first.
    opened: Mutex<VecDeque<u32>>,
    faults: Arc<Faults>,
}

impl Segments {
    pub(crate) fn new(directory: &Path, faults: Arc<Faults>) -> Self {
        let directory = directory.join("segments");
        Self { directory, table: RwLock::default(), opened: Mutex::default(), faults }
    }

    /// Takes note of the segments that lie here; gives the bytes charged for them.
    pub(crate) fn find(&self) -> io::Result<u64> {
        self.faults.call("segments list")?;
        fs::create_dir_all(&self.directory)?;
        let mut all = 0;
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(number) = name.to_str().and_then(number_of) else {
                tracing::warn!(path = %entry.path().display(), "not a file of the store, left alone");
                continue;
            };
            let charged = charge(entry.metadata()?.len());
            all += charged;
            self.table.write().insert(number, Arc::new(Segment::new(number, None, charged, true)));
        }
        Ok(all)
    }

    /// The numbers of all segments, the oldest first.
    pub(crate) fn numbers(&self) -> Vec<u32> {
        let mut numbers: Vec<u32> = self.table.read().keys().copied().collect();
        numbers.sort_unstable();
        numbers
    }

    pub(crate) fn get(&self, number: u32) -> Option<Arc<Segment>> {
        self.table.read().get(&number).cloned()
    }

    pub(crate) fn exists(&self, number: u32) -> bool {
        self.table.read().contains_key(&number)
    }

    /// Begins a segment for which `bytes` were reserved, with [`SEGMENT_COST`].
    pub(crate) fn begin(&self, number: u32, bytes: u64) -> io::Result<Arc<Segment>> {
        self.faults.call("segment begin")?;
        let path = self.path(number);
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path);
        let file = file.or_else(|error| match error.kind() {
            // Somebody has emptied the directory, and removed it too.
            io::ErrorKind::NotFound => {
                fs::create_dir_all(&self.directory)?;
                OpenOptions::new().read(true).write(true).create_new(true).open(&path)
            }
            _ => Err(error),
        })?;
        let segment = Arc::new(Segment::new(number, Some(file), bytes, false));
        self.table.write().insert(number, Arc::clone(&segment));
        Ok(segment)
    }

    /// Writes at the end of a segment that is not sealed. What was written in part is cut off again.
    pub(crate) fn append(&self, segment: &Segment, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let file = segment.file.read().clone().ok_or_else(|| io::Error::other("the segment is sealed"))?;
        let written = self.faults.call("segment write").and_then(|()| file.write_all_at(bytes, offset));
        written.inspect_err(|_| {
            if let Err(error) = file.set_len(offset) {
                tracing::warn!(%error, "what was written in part cannot be cut off");
            }
        })
    }

    /// Ends a segment after `bytes`; gives back what of its charge is free.
    pub(crate) fn seal(&self, segment: &Segment, bytes: u64) -> u64 {
        let charged = charge(bytes);
        let before = segment.charged.swap(charged, Ordering::AcqRel);
        segment.sealed.store(true, Ordering::Release);
        self.note_opened(segment.number);
        before.saturating_sub(charged)
    }

    /// These bytes are referred to.
    pub(crate) fn alive(&self, at: At, bytes: u64) {
        if let Some(segment) = self.table.read().get(&at.segment) {
            segment.live.fetch_add(bytes, Ordering::AcqRel);
        }
    }

    /// These bytes are not referred to any more.
    pub(crate) fn dead(&self, at: At, bytes: u64) {
        if let Some(segment) = self.table.read().get(&at.segment) {
            segment.live.fetch_sub(bytes, Ordering::AcqRel);
        }
    }

    /// Whether nothing in this segment is alive and nothing will be.
    pub(crate) fn empty(&self, number: u32) -> bool {
        self.table.read().get(&number).is_some_and(|segment| segment.empty())
    }

    /// All that are empty.
    pub(crate) fn all_empty(&self) -> Vec<u32> {
        self.table.read().values().filter(|segment| segment.empty()).map(|segment| segment.number).collect()
    }

    /// The sealed segment with the least part alive, if that is less than `most` thousandths.
    pub(crate) fn emptiest(&self, most: u64) -> Option<u32> {
        let table = self.table.read();
        let sealed = table.values().filter(|segment| segment.sealed());
        let part = |segment: &Segment| segment.live() * 1000 / segment.bytes().max(1);
        let least = sealed.map(|segment| (part(segment), segment.number)).min();
        least.filter(|(part, _)| *part < most).map(|(_, number)| number)
    }

    /// The sealed segment with the lowest number.
    pub(crate) fn oldest(&self) -> Option<u32> {
        let table = self.table.read();
        table.values().filter(|segment| segment.sealed()).map(|segment| segment.number).min()
    }

    /// The file if it is open.
    pub(crate) fn opened(&self, number: u32) -> Option<Arc<File>> {
        self.table.read().get(&number)?.file.read().clone()
    }

    /// The file, opened if need be; "not found" if there is none.
    pub(crate) fn file(&self, number: u32) -> io::Result<Arc<File>> {
        let segment = self.get(number).ok_or(io::ErrorKind::NotFound)?;
        if let Some(file) = segment.file.read().clone() {
            return Ok(file);
        }
        self.faults.call("segment open")?;
        // For reading, and for marks.
        let file = Arc::new(OpenOptions::new().read(true).write(true).open(self.path(number))?);
        *segment.file.write() = Some(Arc::clone(&file));
        self.note_opened(number);
        Ok(file)
    }

    /// Closes the one that was opened first when too many are open.
    fn note_opened(&self, number: u32) {
        let mut opened = self.opened.lock();
        opened.push_back(number);
        if opened.len() > open_files_max()
            && let Some(first) = opened.pop_front()
            && let Some(segment) = self.get(first)
        {
            *segment.file.write() = None;
        }
    }

    /// Changes the mark of a frame; that its segment is gone is fine.
    pub(crate) fn mark(&self, at: At, mark: Mark) -> io::Result<()> {
        let Some(segment) = self.get(at.segment) else { return Ok(()) };
        let file = match self.file(at.segment) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            file => file?,
        };
        self.faults.call("segment mark")?;
        file.write_all_at(&mark.bytes(), u64::from(at.offset))?;
        segment.marked.store(true, Ordering::Release);
        Ok(())
    }

    /// Returns when all marks are on disk.
    pub(crate) fn sync_marks(&self) -> io::Result<()> {
        let marked = |segment: &&Arc<Segment>| segment.marked.load(Ordering::Acquire);
        let marked: Vec<_> = self.table.read().values().filter(marked).cloned().collect();
        for segment in marked {
            segment.marked.store(false, Ordering::Release);
            let synced =
                self.faults.call("segment sync").and_then(|()| self.file(segment.number)?.sync_data());
            match synced {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    segment.marked.store(true, Ordering::Release);
                    return Err(error);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes a segment; gives back the bytes that are free then.
    pub(crate) fn remove(&self, number: u32) -> io::Result<u64> {
        if !self.exists(number) {
            return Ok(0);
        }
        self.faults.call("segment remove")?;
        match fs::remove_file(self.path(number)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.opened.lock().retain(|opened| *opened != number);
        let removed = self.table.write().remove(&number);
        Ok(removed.map_or(0, |segment| segment.charged.load(Ordering::Acquire)))
    }

    fn path(&self, number: u32) -> PathBuf {
        self.directory.join(format!("{number:010}"))
    }
}

/// What a segment of this length costs.
pub(crate) fn charge(bytes: u64) -> u64 {
    bytes.next_multiple_of(DISK_UNIT) + SEGMENT_COST
}

fn number_of(name: &str) -> Option<u32> {
    let digits = name.len() == 10 && name.bytes().all(|byte| byte.is_ascii_digit());
    name.parse().ok().filter(|number| digits && *number > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments() -> (tempfile::TempDir, Segments) {
        let directory = tempfile::tempdir().unwrap();
        let segments = Segments::new(directory.path(), Arc::default());
        assert_eq!(segments.find().unwrap(), 0);
        (directory, segments)
    }

    #[test]
    fn what_is_appended_is_found_again_and_removed_when_empty() {
        let (directory, segments) = segments();
        let segment = segments.begin(7, charge(100_000)).unwrap();
        segments.append(&segment, 0, &[1; 5000]).unwrap();
        let at = At { segment: 7, offset: 0 };
        segments.alive(at, 5000);
        segments.mark(at, Mark::Dead).unwrap();
        segments.sync_marks().unwrap();
        assert_eq!(segments.seal(&segment, 5000), charge(100_000) - charge(5000));
        assert!(!segments.empty(7) && segments.emptiest(500).is_none());
        segments.dead(at, 5000);
        assert_eq!((segments.all_empty(), segments.emptiest(500)), (vec![7], Some(7)));

        let again = Segments::new(directory.path(), Arc::default());
        assert_eq!(again.find().unwrap(), charge(5000));
        let mut bytes = [9; 16];
        again.file(7).unwrap().read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(bytes, [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]);
        assert_eq!(segments.remove(7).unwrap(), charge(5000));
        assert_eq!(segments.remove(7).unwrap(), 0);
        assert_eq!(segments.file(7).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_bounded_number_of_files_is_open() {
        let (_directory, segments) = segments();
        for number in 1..=open_files_max() as u32 + 20 {
            let segment = segments.begin(number, charge(64)).unwrap();
            segments.append(&segment, 0, &[1; 64]).unwrap();
            segments.seal(&segment, 64);
        }
        let open = |segments: &Segments| {
            segments.numbers().into_iter().filter(|number| segments.opened(*number).is_some()).count()
        };
        assert_eq!(open(&segments), open_files_max());
        assert!(segments.opened(1).is_none());
        segments.file(1).unwrap();
        assert!(segments.opened(1).is_some() && segments.opened(21).is_none());
        assert_eq!(open(&segments), open_files_max());
    }
}

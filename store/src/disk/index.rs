//! The lines on disk. The only file that names sled: a rebuildable index, never the only copy of anything, never asked on
//! the hit path, written by one thread.
//!
//! sled answers some damage with a panic and some with an error; both mean the same here. If it cannot be opened it is
//! moved aside to `index.broken` (the last one only) and a new one is begun, to be filled from the segments.
//!
//! Its files never shrink and grow with churn, so it is rewritten when they are too large for what is in it: `index/`
//! holds a directory for each generation, and `current` names the one that counts. The next one is filled little by
//! little beside it; what is written meanwhile goes to both. When it is whole and on disk `current` is replaced, by a
//! rename, and the old one removed. Whenever that ends early, the old one counts.

use std::fs;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;

use super::recover::full;
use crate::fault::Faults;
use crate::limits::{INDEX_BYTES_MIN, INDEX_CACHE_BYTES, INDEX_LINE_BYTES};

/// Names of what is no line of an entry (16 bytes) or a block (32).
const SEQ: &[u8] = b"seq";
const UPTO: &[u8] = b"upto";
/// Lines copied in one turn of a rewrite.
const STRIDE: usize = 4096;
/// Puts and removals after which the size is looked at.
const LOOK_EVERY: u64 = 10_000;

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opened {
    /// As it was left.
    Whole,
    /// None, or one that could not be used: a new one was begun.
    New,
}

#[derive(Debug)]
pub(crate) struct Index {
    generations: RwLock<Generations>,
    path: PathBuf,
    faults: Arc<Faults>,
    /// It panicked or found damage: not to be opened again.
    distrusted: AtomicBool,
    /// Changes since its size was last looked at.
    changes: AtomicU64,
    /// Bytes that are never worth a rewrite.
    least: u64,
}

#[derive(Debug)]
struct Generations {
    /// `None`: closed.
    db: Option<sled::Db>,
    number: u64,
    next: Option<Next>,
}

/// The generation that is being filled.
#[derive(Debug)]
struct Next {
    db: sled::Db,
    /// Everything up to this name is in it.
    upto: Vec<u8>,
}

impl Index {
    /// Opens the index in `directory`, a new one if need be.
    pub(crate) fn open(directory: &Path, faults: Arc<Faults>) -> io::Result<(Self, Opened)> {
        let path = directory.join("index");
        let fresh = !path.exists();
        let opened = match current(&path) {
            _ if path.join("distrusted").exists() => Err(io::Error::other("found damaged while in use")),
            Ok(Some(number)) => open(&path, number, &faults).map(|db| (db, number)),
            Ok(None) if fresh => begin(&path, &faults),
            Ok(None) => Err(io::Error::other("it does not say which generation counts")),
            Err(error) => Err(error),
        };
        let ((db, number), found) = match opened {
            Ok(opened) => (opened, if fresh { Opened::New } else { Opened::Whole }),
            // A new one would not fare better.
            Err(error) if full(&error) || error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                return Err(error);
            }
            Err(error) => {
                tracing::error!(%error, "the index cannot be opened: it is built anew from the segments");
                set_aside(&path)?;
                (begin(&path, &faults)?, Opened::New)
            }
        };
        remove_others(&path, number);
        let generations = RwLock::new(Generations { db: Some(db), number, next: None });
        let (distrusted, changes) = (AtomicBool::new(false), AtomicU64::new(0));
        Ok((Self { generations, path, faults, distrusted, changes, least: INDEX_BYTES_MIN }, found))
    }

    /// Gives up an index whose lines cannot even be listed, and begins a new one.
    pub(crate) fn start_over(&self) -> io::Result<()> {
        let mut generations = self.generations.write();
        discard(generations.db.take());
        set_aside(&self.path)?;
        let (db, number) = begin(&self.path, &self.faults)?;
        *generations = Generations { db: Some(db), number, next: None };
        self.distrusted.store(false, Ordering::Relaxed);
        Ok(())
    }

    pub(crate) fn put(&self, name: &[u8], line: &[u8]) -> io::Result<()> {
        self.changes.fetch_add(1, Ordering::Relaxed);
        self.run("index put", |generations, db| {
            if let Some(next) = generations.reached(name) {
                next.insert(name, line)?;
            }
            db.insert(name, line).map(drop)
        })
    }

    pub(crate) fn remove(&self, name: &[u8]) -> io::Result<()> {
        self.changes.fetch_add(1, Ordering::Relaxed);
        self.run("index remove", |generations, db| {
            if let Some(next) = generations.reached(name) {
                next.remove(name)?;
            }
            db.remove(name).map(drop)
        })
    }

    /// Notes the position of the newest purge, so that a journal that has lost its end is found out.
    pub(crate) fn note_seq(&self, seq: u64) -> io::Result<()> {
        self.put(SEQ, &seq.to_le_bytes())
    }

    /// The position noted last; 0 if none.
    pub(crate) fn noted_seq(&self) -> io::Result<u64> {
        let noted = self.run("index note", |_, db| db.get(SEQ))?;
        Ok(noted.and_then(|noted| noted.as_ref().try_into().ok()).map_or(0, u64::from_le_bytes))
    }

    /// Notes that all frames before this place are in it, or dead.
    pub(crate) fn note_upto(&self, place: [u8; 8]) -> io::Result<()> {
        self.put(UPTO, &place)
    }

    /// The place noted last.
    pub(crate) fn noted_upto(&self) -> io::Result<Option<Vec<u8>>> {
        Ok(self.run("index note", |_, db| db.get(UPTO))?.map(|place| place.to_vec()))
    }

    /// Returns when everything before is on disk, as far as the system says so.
    pub(crate) fn flush(&self) -> io::Result<()> {
        let number = self.run("index flush", |generations, db| db.flush().map(|_| generations.number))?;
        // sled asks for the range only, not for the file's length.
        fs::File::open(generation(&self.path, number).join("db")).and_then(|file| file.sync_data())
    }

    /// Visits all lines, by name.
    pub(crate) fn each(&self, mut visit: impl FnMut(&[u8], &[u8])) -> io::Result<()> {
        self.run("index scan", |_, db| {
            for item in db.iter() {
                let (name, line) = item?;
                visit(&name, &line);
            }
            Ok(())
        })
    }

    /// Goes on with a rewrite, or begins one if it is due for what is in it, `entries` of them; true while one is under
    /// way.
    pub(crate) fn tend(&self, entries: u64) -> io::Result<bool> {
        if self.distrusted() {
            return Ok(false);
        }
        if self.generations.read().next.is_some() {
            return self.go_on().inspect_err(|_| self.give_up());
        }
        if self.changes.load(Ordering::Relaxed) < LOOK_EVERY {
            return Ok(false);
        }
        self.changes.store(0, Ordering::Relaxed);
        let bytes = self.run("index size", |_, db| db.size_on_disk())?;
        if bytes < self.least.max(entries * INDEX_LINE_BYTES * 2) {
            return Ok(false);
        }
        let mut generations = self.generations.write();
        let db = open(&self.path, generations.number + 1, &self.faults)?;
        generations.next = Some(Next { db, upto: Vec::new() });
        Ok(true)
    }

    /// Copies some lines; when all are there, the next generation counts.
    fn go_on(&self) -> io::Result<bool> {
        let mut generations = self.generations.write();
        let Generations { db: Some(db), next: Some(next), .. } = &mut *generations else { return Ok(false) };
        self.faults.call("index rewrite")?;
        let copied = catch_unwind(AssertUnwindSafe(|| {
            let mut copied = 0;
            for item in db.range(next.upto.clone()..).take(STRIDE) {
                let (name, line) = item?;
                next.db.insert(&name, line)?;
                (next.upto, copied) = (name.to_vec(), copied + 1);
            }
            if copied < STRIDE { next.db.flush().map(|_| true) } else { Ok(false) }
        }));
        if !copied.map_err(|_| io::Error::other("panicked"))?.map_err(as_io)? {
            return Ok(true);
        }
        let number = generations.number + 1;
        write_current(&self.path, number, &self.faults)?;
        let next = generations.next.take().map(|next| next.db);
        let old = std::mem::replace(&mut generations.db, next);
        generations.number = number;
        drop(generations);
        discard(old);
        remove_others(&self.path, number);
        Ok(false)
    }

    /// Ends a rewrite that has failed: what counts goes on to count.
    fn give_up(&self) {
        let mut generations = self.generations.write();
        discard(generations.next.take().map(|next| next.db));
        remove_others(&self.path, generations.number);
    }

    /// Whether it has failed in a way that only a new one cures.
    pub(crate) fn distrusted(&self) -> bool {
        self.distrusted.load(Ordering::Relaxed)
    }

    /// Flushes and lets go of the files.
    pub(crate) fn close(&self) {
        if let Err(error) = self.flush() {
            tracing::warn!(%error, "the index could not be flushed");
        }
        self.give_up();
        discard(self.generations.write().db.take());
    }

    fn run<T>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Generations, &sled::Db) -> sled::Result<T>,
    ) -> io::Result<T> {
        self.faults.call(what)?;
        let generations = self.generations.read();
        let Some(db) = generations.db.as_ref() else { return Err(io::Error::other("the index is closed")) };
        match catch_unwind(AssertUnwindSafe(|| work(&generations, db))) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(sled::Error::Io(error))) => Err(error),
            Ok(Err(error)) => Err(self.distrust(what, &error.to_string())),
            Err(_) => Err(self.distrust(what, "panicked")),
        }
    }

    fn distrust(&self, what: &str, why: &str) -> io::Error {
        if !self.distrusted.swap(true, Ordering::Relaxed) {
            tracing::error!(what, why, "the index is damaged: it will be replaced at the next start");
            let marked = fs::OpenOptions::new().create(true).append(true).open(self.path.join("distrusted"));
            if let Err(error) = marked {
                tracing::warn!(%error, "the index cannot be marked as damaged");
            }
        }
        io::Error::other(format!("{what}: {why}"))
    }
}

impl Generations {
    /// The next generation, if it has come as far as this name.
    fn reached(&self, name: &[u8]) -> Option<&sled::Db> {
        self.next.as_ref().filter(|next| name <= &next.upto[..]).map(|next| &next.db)
    }
}

fn generation(path: &Path, number: u64) -> PathBuf {
    path.join(format!("g{number}"))
}

/// The generation that counts; `None` if none is named.
fn current(path: &Path) -> io::Result<Option<u64>> {
    match fs::read_to_string(path.join("current")) {
        Ok(text) => match text.strip_suffix('\n').and_then(|text| text.parse().ok()) {
            Some(number) if generation(path, number).exists() => Ok(Some(number)),
            _ => Err(io::Error::other("the generation that counts is not there")),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn write_current(path: &Path, number: u64, faults: &Faults) -> io::Result<()> {
    faults.call("index switch")?;
    let new = path.join("current.new");
    let mut file = fs::OpenOptions::new().create(true).write(true).truncate(true).open(&new)?;
    file.write_all(format!("{number}\n").as_bytes())?;
    file.sync_all()?;
    fs::rename(new, path.join("current"))
}

fn begin(path: &Path, faults: &Faults) -> io::Result<(sled::Db, u64)> {
    let db = open(path, 1, faults)?;
    write_current(path, 1, faults)?;
    Ok((db, 1))
}

/// Removes what a rewrite has left.
fn remove_others(path: &Path, number: u64) {
    let keep = [generation(path, number), path.join("current"), path.join("distrusted")];
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        let other = entry.path();
        if keep.contains(&other) {
            continue;
        }
        if let Err(error) = fs::remove_dir_all(&other).or_else(|_| fs::remove_file(&other)) {
            tracing::warn!(path = %other.display(), %error, "an old index cannot be removed");
        }
    }
}

fn as_io(error: sled::Error) -> io::Error {
    match error {
        sled::Error::Io(error) => error,
        other => io::Error::other(other),
    }
}

fn open(path: &Path, number: u64, faults: &Faults) -> io::Result<sled::Db> {
    faults.call("index open")?;
    let path = generation(path, number);
    fs::create_dir_all(&path)?;
    remove_half_snapshots(&path)?;
    let config = sled::Config::new()
        .path(&path)
        .cache_capacity(INDEX_CACHE_BYTES)
        .flush_every_ms(None)
        .mode(sled::Mode::HighThroughput);
    // The lock of an index that was just closed by this process may linger in a thread of sled.
    for _ in 0..40 {
        match catch_unwind(AssertUnwindSafe(|| config.open())) {
            Ok(Ok(db)) => return Ok(db),
            Ok(Err(sled::Error::Io(error))) if error.to_string().contains("lock") => {
                std::thread::sleep(Duration::from_millis(25));
            }
            Ok(Err(sled::Error::Io(error))) => return Err(error),
            Ok(Err(error)) => return Err(io::Error::other(error)),
            Err(_) => return Err(io::Error::other("panicked while opening")),
        }
    }
    Err(io::Error::other("still locked"))
}

/// A kill while sled wrote its snapshot leaves one that it would take for a whole one.
fn remove_half_snapshots(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn set_aside(path: &Path) -> io::Result<()> {
    let aside = path.with_extension("broken");
    match fs::remove_dir_all(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    match fs::rename(path, &aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Dropping it flushes, which may panic like anything else.
fn discard(db: Option<sled::Db>) {
    if catch_unwind(AssertUnwindSafe(|| drop(db))).is_err() {
        tracing::warn!("the index panicked while it was closed");
    }
}

#[cfg(test)]
mod tests;

//! The records on disk. The only file that names sled: a rebuildable index, never the only copy of anything that must
//! last, never asked on the hit path, written by one thread.
//!
//! sled answers some damage with a panic and some with an error; both mean the same here. If it cannot be opened it is
//! moved aside to `index.broken` (the last one only) and a new one is begun.

use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::RwLock;

use super::recover::full;
use crate::fault::Faults;
use crate::limits::INDEX_CACHE_BYTES;

/// The name of what is no record; records have names of 16 bytes.
const SEQ: &[u8] = b"seq";

#[derive(Debug)]
pub(crate) struct Index {
    db: RwLock<Option<sled::Db>>,
    path: PathBuf,
    faults: Arc<Faults>,
    /// It panicked or found damage: not to be opened again.
    distrusted: AtomicBool,
}

impl Index {
    /// Opens the index in `directory`, a new one if need be; says whether an old one was set aside.
    pub(crate) fn open(directory: &Path, faults: Arc<Faults>) -> io::Result<(Self, bool)> {
        let path = directory.join("index");
        let distrusted = path.join("distrusted").exists();
        let opened = if distrusted {
            Err(io::Error::other("found damaged while in use"))
        } else {
            open(&path, &faults)
        };
        let (db, aside) = match opened {
            Ok(db) => (db, false),
            // A new one would not fare better.
            Err(error) if full(&error) || error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                return Err(error);
            }
            Err(error) => {
                tracing::error!(%error, "the index cannot be opened: starting with an empty one");
                set_aside(&path)?;
                (open(&path, &faults)?, true)
            }
        };
        Ok((Self { db: RwLock::new(Some(db)), path, faults, distrusted: AtomicBool::new(false) }, aside))
    }

    /// Gives up an index whose records cannot even be listed, and begins a new one.
    pub(crate) fn start_over(&self) -> io::Result<()> {
        let mut db = self.db.write();
        discard(db.take());
        set_aside(&self.path)?;
        *db = Some(open(&self.path, &self.faults)?);
        self.distrusted.store(false, Ordering::Relaxed);
        Ok(())
    }

    pub(crate) fn get(&self, hash: u128) -> io::Result<Option<Vec<u8>>> {
        self.run("index get", |db| Ok(db.get(hash.to_be_bytes())?.map(|value| value.to_vec())))
    }

    /// Puts a record and gives back the one it replaces.
    pub(crate) fn put(&self, hash: u128, record: &[u8]) -> io::Result<Option<Vec<u8>>> {
        self.run("index put", |db| Ok(db.insert(hash.to_be_bytes(), record)?.map(|value| value.to_vec())))
    }

    /// Removes a record and gives it back.
    pub(crate) fn remove(&self, hash: u128) -> io::Result<Option<Vec<u8>>> {
        self.run("index remove", |db| Ok(db.remove(hash.to_be_bytes())?.map(|value| value.to_vec())))
    }

    /// Notes the position of the newest purge, so that a journal that has lost its end is found out.
    pub(crate) fn note_seq(&self, seq: u64) -> io::Result<()> {
        self.run("index note", |db| db.insert(SEQ, &seq.to_le_bytes()).map(drop))
    }

    /// The position noted last; 0 if none.
    pub(crate) fn noted_seq(&self) -> io::Result<u64> {
        let noted = self.run("index note", |db| db.get(SEQ))?;
        Ok(noted.and_then(|noted| noted.as_ref().try_into().ok()).map_or(0, u64::from_le_bytes))
    }

    /// Returns when everything before is on disk, as far as the system says so.
    pub(crate) fn flush(&self) -> io::Result<()> {
        self.run("index flush", |db| db.flush().map(drop))?;
        // sled asks for the range only, not for the file's length.
        fs::File::open(self.path.join("db")).and_then(|file| file.sync_data())
    }

    /// Visits all records. Those with a name that is none of ours are passed over.
    pub(crate) fn each(&self, mut visit: impl FnMut(u128, &[u8])) -> io::Result<()> {
        self.run("index scan", |db| {
            for item in db.iter() {
                let (name, record) = item?;
                if let Ok(name) = name.as_ref().try_into() {
                    visit(u128::from_be_bytes(name), &record);
                }
            }
            Ok(())
        })
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
        discard(self.db.write().take());
    }

    fn run<T>(&self, what: &'static str, work: impl FnOnce(&sled::Db) -> sled::Result<T>) -> io::Result<T> {
        self.faults.call(what)?;
        let db = self.db.read();
        let Some(db) = db.as_ref() else { return Err(io::Error::other("the index is closed")) };
        match catch_unwind(AssertUnwindSafe(|| work(db))) {
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

fn open(path: &Path, faults: &Faults) -> io::Result<sled::Db> {
    faults.call("index open")?;
    fs::create_dir_all(path)?;
    remove_half_snapshots(path)?;
    let config = sled::Config::new()
        .path(path)
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
mod tests {
    use super::*;

    fn open_at(path: &Path) -> (Index, bool) {
        Index::open(path, Arc::default()).unwrap()
    }

    #[test]
    fn records_survive_and_replaced_ones_come_back() {
        let directory = tempfile::tempdir().unwrap();
        let (index, aside) = open_at(directory.path());
        assert!(!aside);
        assert_eq!(index.put(1, b"one").unwrap(), None);
        assert_eq!(index.put(1, b"two").unwrap().as_deref(), Some(&b"one"[..]));
        index.put(2, &vec![9; 400_000]).unwrap();
        index.close();
        let (index, aside) = open_at(directory.path());
        assert!(!aside);
        let mut all = Vec::new();
        index.each(|hash, record| all.push((hash, record.len()))).unwrap();
        assert_eq!(all, [(1, 3), (2, 400_000)]);
        assert_eq!(index.remove(1).unwrap().as_deref(), Some(&b"two"[..]));
        assert_eq!(index.get(1).unwrap(), None);
        index.close();
        assert!(index.get(1).is_err());
    }

    #[test]
    fn a_half_written_snapshot_does_no_harm() {
        let directory = tempfile::tempdir().unwrap();
        let (index, _) = open_at(directory.path());
        index.put(1, b"one").unwrap();
        index.close();
        for name in ["snap.0000000000000000.generating", "snap.FFFFFFFFFFFFFFF0.generating"] {
            let mut options = fs::OpenOptions::new();
            let mut file =
                options.create(true).append(true).open(directory.path().join("index").join(name)).unwrap();
            io::Write::write_all(&mut file, b"half").unwrap();
        }
        let (index, aside) = open_at(directory.path());
        assert!(!aside);
        assert_eq!(index.get(1).unwrap().as_deref(), Some(&b"one"[..]));
    }

    #[test]
    fn what_cannot_be_opened_is_set_aside_once() {
        let directory = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            let (index, _) = open_at(directory.path());
            index.put(1, b"one").unwrap();
            index.close();
            fs::remove_file(directory.path().join("index/db")).unwrap();
            fs::create_dir(directory.path().join("index/db")).unwrap();
            let (index, aside) = open_at(directory.path());
            assert!(aside);
            assert_eq!(index.get(1).unwrap(), None);
            index.close();
        }
        assert!(directory.path().join("index.broken").exists());
    }
}

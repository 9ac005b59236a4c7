//! Words for the cases.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use larder_store::fault::{Faults, Seams};
use larder_store::{
    Config, Entry, Head, Hit, Key, KeyRef, Load, NotKept, Peek, Purge, ReadError, Reader, Selector, Store,
};

pub(crate) const KIB: u64 = 1024;
pub(crate) const MIB: u64 = 1024 * KIB;

/// A head that is a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Label(pub(crate) String);

impl Head for Label {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.as_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        String::from_utf8(bytes.to_vec()).ok().map(Self)
    }

    fn weight(&self) -> usize {
        self.0.capacity()
    }
}

pub(crate) type Shop = Store<Label>;

pub(crate) fn config(directory: &Path, memory: u64, disk: u64) -> Config {
    Config { io_threads: 2, ..Config::new(directory, memory, disk) }
}

pub(crate) fn open(directory: &Path, memory: u64, disk: u64) -> Shop {
    Store::open(config(directory, memory, disk)).unwrap()
}

pub(crate) fn open_with(config: Config, faults: &Arc<Faults>) -> Shop {
    let seams = Seams {
        faults: Arc::clone(faults),
        fold_age: Duration::ZERO,
        sweep_every: Duration::ZERO,
        ..Seams::default()
    };
    Store::open_with(config, seams).unwrap()
}

pub(crate) fn url(path: &str) -> String {
    format!("http://a:80/{path}")
}

/// Bytes that no other name and length has.
pub(crate) fn body(name: &str, length: u64) -> Bytes {
    let mut state = name.bytes().fold(length ^ 0x9e37_79b9_7f4a_7c15, |state, byte| {
        (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut bytes = Vec::with_capacity(length as usize + 8);
    while (bytes.len() as u64) < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length as usize);
    bytes.into()
}

pub(crate) async fn put(store: &Shop, path: &str, bytes: &Bytes) -> Result<Arc<Entry<Label>>, NotKept> {
    put_tagged(store, path, bytes, &[]).await
}

pub(crate) async fn put_tagged(
    store: &Shop,
    path: &str,
    bytes: &Bytes,
    tags: &[&str],
) -> Result<Arc<Entry<Label>>, NotKept> {
    let tags = tags.iter().map(|&tag| tag.to_owned()).collect();
    let length = Some(bytes.len() as u64);
    let mut writer = store.writer(Key::new(&url(path), ""), Label(path.into()), tags, store.seq(), length);
    let mut rest = bytes.clone();
    while !rest.is_empty() {
        let chunk = rest.split_to(rest.len().min(64 * 1024));
        if writer.write(chunk).await.is_err() {
            break;
        }
    }
    writer.commit().await
}

pub(crate) async fn read(mut reader: Reader) -> Result<Bytes, ReadError> {
    let mut bytes = Vec::new();
    while let Some(piece) = reader.next().await {
        let piece = piece?;
        assert!(!piece.is_empty() && piece.len() <= 256 * 1024);
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.into())
}

pub(crate) async fn read_all(entry: &Arc<Entry<Label>>) -> Result<Bytes, ReadError> {
    read(entry.read(0, u64::MAX)).await
}

pub(crate) async fn find(store: &Shop, path: &str) -> Option<Hit<Label>> {
    match store.load(KeyRef::new(&url(path), "")).await {
        Load::Hit(hit) => Some(hit),
        Load::Busy | Load::Miss => None,
    }
}

/// The body that the store has for this path.
pub(crate) async fn get(store: &Shop, path: &str) -> Option<Bytes> {
    let hit = find(store, path).await?;
    assert_eq!(hit.entry.head().0, path);
    Some(read_all(&hit.entry).await.expect("a hit is readable"))
}

pub(crate) fn in_memory(store: &Shop, path: &str) -> bool {
    matches!(store.peek(KeyRef::new(&url(path), "")), Peek::Memory(_))
}

pub(crate) fn hard(selector: Selector) -> Purge {
    Purge { selectors: vec![selector], soft: false }
}

pub(crate) fn soft(selector: Selector) -> Purge {
    Purge { selectors: vec![selector], soft: true }
}

/// Waits for something that another thread does.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < end, "waited in vain until {what}");
        std::thread::yield_now();
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// Waits until small bodies are on disk.
pub(crate) fn settled(store: &Shop) {
    until("bodies are written", || store.stats().behind_bytes == 0);
}

/// All files below a directory.
pub(crate) fn files(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![directory.to_owned()];
    while let Some(directory) = todo.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                todo.push(entry.path());
            } else {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

/// The files of large bodies.
pub(crate) fn blocks(directory: &Path) -> Vec<std::path::PathBuf> {
    files(&directory.join("content-v2"))
}

/// The files of small bodies and records.
pub(crate) fn segments(directory: &Path) -> Vec<std::path::PathBuf> {
    files(&directory.join("segments"))
}

/// Bytes that the directory takes, as `du` counts them, without the index and the journal of purges.
pub(crate) fn usage(directory: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let mut sum = 0;
    let mut todo = vec![directory.to_owned()];
    while let Some(path) = todo.pop() {
        let Ok(found) = path.symlink_metadata() else { continue };
        sum += found.blocks() * 512;
        for entry in std::fs::read_dir(&path).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if !["index", "index.broken", "purge.log"].iter().any(|other| name == *other) {
                todo.push(entry.path());
            }
        }
    }
    sum
}

/// A small generator, so that a printed seed replays a run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

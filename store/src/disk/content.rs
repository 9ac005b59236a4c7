//! Blocks as files. The only file that names cacache: it writes and removes content by hash; reading is ours, because a
//! range must not read what is before it and no byte may leave before it was verified.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, IoSliceMut, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use cacache::{Algorithm, Integrity, WriteOpts};
use parking_lot::Mutex;
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

use super::now::read_now;
use crate::fault::Faults;
use crate::limits::{PIECE_BYTES, open_files_max};

/// Times that a block is written when its directories are removed at the same moment, again and again.
const ATTEMPTS: usize = 4;

/// The name of a block's content.
pub(crate) type Hash = [u8; 32];

/// What is known about a block: enough to find it and to verify each piece of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BlockInfo {
    pub(crate) hash: Hash,
    pub(crate) len: u32,
    /// xxh3-64 of each piece.
    pub(crate) sums: Box<[u64]>,
}

impl BlockInfo {
    fn piece_len(&self, piece: u32) -> usize {
        let from = piece as usize * PIECE_BYTES;
        (self.len as usize).saturating_sub(from).min(PIECE_BYTES)
    }
}

/// The block that these chunks make up.
pub(crate) fn describe(chunks: &[Bytes]) -> BlockInfo {
    let mut name = Sha256::new();
    let mut sums = Vec::new();
    let mut sum = Xxh3Default::new();
    let (mut len, mut room) = (0, PIECE_BYTES);
    for chunk in chunks {
        name.update(chunk);
        len += chunk.len() as u32;
        let mut rest = &chunk[..];
        while !rest.is_empty() {
            let (part, after) = rest.split_at(rest.len().min(room));
            sum.update(part);
            room -= part.len();
            rest = after;
            if room == 0 {
                sums.push(sum.digest());
                sum.reset();
                room = PIECE_BYTES;
            }
        }
    }
    if room < PIECE_BYTES {
        sums.push(sum.digest());
    }
    BlockInfo { hash: name.finalize().into(), len, sums: sums.into() }
}

/// Why a piece could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PieceError {
    /// The disk is gone or has too much to do.
    Busy,
    /// There is no such file.
    Missing,
    /// The disk reports an error.
    Failed,
    /// Other bytes than were written.
    Damaged,
}

/// A block, open for reading: a file of its own or a place in a segment.
#[derive(Debug, Clone)]
pub(crate) struct OpenBlock {
    block: Arc<BlockInfo>,
    file: Arc<File>,
    /// Where it begins in the file.
    base: u64,
}

impl OpenBlock {
    pub(crate) fn new(block: &Arc<BlockInfo>, file: Arc<File>, base: u64) -> Self {
        Self { block: Arc::clone(block), file, base }
    }

    pub(crate) fn is(&self, block: &Arc<BlockInfo>) -> bool {
        Arc::ptr_eq(&self.block, block)
    }
}

/// A verified piece.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) bytes: Bytes,
    pub(crate) open: OpenBlock,
}

#[derive(Debug)]
pub(crate) struct Content {
    directory: PathBuf,
    faults: Arc<Faults>,
    /// Files that were read of late, the oldest first.
    files: Mutex<VecDeque<(Hash, Arc<File>)>>,
}

impl Content {
    pub(crate) fn new(directory: &Path, faults: Arc<Faults>) -> Self {
        Self { directory: directory.to_owned(), faults, files: Mutex::default() }
    }

    /// Writes a block; it appears under its name at once and complete.
    pub(crate) fn write(&self, hash: &Hash, chunks: &[Bytes]) -> io::Result<()> {
        let mut left = ATTEMPTS;
        loop {
            left -= 1;
            match self.try_write(hash, chunks) {
                // A removal beside it took the directories that were just made or found.
                Err(error) if left > 0 && vanished(&error) => {}
                result => return result,
            }
        }
    }

    fn try_write(&self, hash: &Hash, chunks: &[Bytes]) -> io::Result<()> {
        self.faults.call("content write")?;
        let mut writer =
            WriteOpts::new().algorithm(Algorithm::Sha256).open_hash_sync(&self.directory).map_err(as_io)?;
        for chunk in chunks {
            writer.write_all(chunk)?;
        }
        self.faults.call("content commit")?;
        let written = writer.commit().map_err(as_io)?;
        if written != integrity(hash)? {
            return Err(io::Error::other("the bytes changed while they were written"));
        }
        Ok(())
    }

    /// Whether there is a file of the right length.
    pub(crate) fn holds(&self, block: &BlockInfo) -> bool {
        self.has(&block.hash, block.len)
    }

    /// The same, by its name.
    pub(crate) fn has(&self, name: &Hash, len: u32) -> bool {
        fs::metadata(self.path(name)).is_ok_and(|found| found.len() == u64::from(len))
    }

    pub(crate) fn open(&self, block: &Arc<BlockInfo>) -> Result<OpenBlock, PieceError> {
        let open = self.faults.call("content open").and_then(|()| File::open(self.path(&block.hash)));
        open.map(|file| OpenBlock::new(block, Arc::new(file), 0)).map_err(|error| failed(&error))
    }

    /// The same for a body that holds its blocks: the file stays open for a while.
    pub(crate) fn open_kept(&self, block: &Arc<BlockInfo>) -> Result<OpenBlock, PieceError> {
        if let Some(open) = self.opened(block) {
            return Ok(open);
        }
        let open = self.open(block)?;
        let mut files = self.files.lock();
        if files.len() >= open_files_max() {
            files.pop_front();
        }
        files.push_back((block.hash, Arc::clone(&open.file)));
        Ok(open)
    }

    /// The file if it is open.
    pub(crate) fn opened(&self, block: &Arc<BlockInfo>) -> Option<OpenBlock> {
        let files = self.files.lock();
        let (_, file) = files.iter().rev().find(|(hash, _)| *hash == block.hash)?;
        Some(OpenBlock::new(block, Arc::clone(file), 0))
    }

    /// Reads a piece if that takes no waiting; `None` if it does.
    pub(crate) fn read_now(&self, open: &OpenBlock, piece: u32) -> Option<Result<Bytes, PieceError>> {
        let mut bytes = vec![0; open.block.piece_len(piece)];
        let from = open.base + u64::from(piece) * PIECE_BYTES as u64;
        let read = self
            .faults
            .call_now("content read")
            .and_then(|goes| Ok(goes && read_now(&open.file, &mut [IoSliceMut::new(&mut bytes)], from)?));
        match read {
            Ok(true) if open.block.sums.get(piece as usize) == Some(&xxh3_64(&bytes)) => {
                Some(Ok(bytes.into()))
            }
            Ok(true) => Some(Err(PieceError::Damaged)),
            Ok(false) => None,
            Err(error) => Some(Err(failed(&error))),
        }
    }

    pub(crate) fn read(&self, open: OpenBlock, piece: u32) -> Result<Piece, PieceError> {
        let mut bytes = vec![0; open.block.piece_len(piece)];
        self.read_into(&open, piece, &mut bytes)?;
        Ok(Piece { bytes: bytes.into(), open })
    }

    /// Fills `buffer` with all blocks, one after the other, which `open` opens.
    pub(crate) fn read_all(
        &self,
        blocks: &[Arc<BlockInfo>],
        buffer: &mut [u8],
        open: impl Fn(&Arc<BlockInfo>) -> Result<OpenBlock, PieceError>,
    ) -> Result<(), PieceErrorAt> {
        let mut rest = buffer;
        for block in blocks {
            let at = |error| PieceErrorAt { block: Arc::clone(block), error };
            let open = open(block).map_err(at)?;
            for piece in 0..block.sums.len() as u32 {
                let (part, after) = rest
                    .split_at_mut_checked(block.piece_len(piece))
                    .ok_or_else(|| at(PieceError::Damaged))?;
                self.read_into(&open, piece, part).map_err(at)?;
                rest = after;
            }
        }
        Ok(())
    }

    fn read_into(&self, open: &OpenBlock, piece: u32, buffer: &mut [u8]) -> Result<(), PieceError> {
        let from = open.base + u64::from(piece) * PIECE_BYTES as u64;
        let read = self.faults.call("content read").and_then(|()| open.file.read_exact_at(buffer, from));
        match read {
            Ok(()) if open.block.sums.get(piece as usize) == Some(&xxh3_64(buffer)) => Ok(()),
            Ok(()) => Err(PieceError::Damaged),
            Err(error) => Err(failed(&error)),
        }
    }

    /// Removes a block and the directories that are empty then; that it is gone already is fine.
    pub(crate) fn remove(&self, hash: &Hash) -> io::Result<()> {
        self.files.lock().retain(|(open, _)| open != hash);
        self.faults.call("content remove")?;
        match cacache::remove_hash_sync(&self.directory, &integrity(hash)?).map_err(as_io) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        }
        // Not empty, or removed by somebody else: both are as good.
        let path = self.path(hash);
        let _ = path.ancestors().skip(1).take(2).try_for_each(fs::remove_dir);
        Ok(())
    }

    /// Removes what a crash has left half written. Nobody may be writing.
    pub(crate) fn clear_temporary(&self) {
        if let Err(error) = fs::remove_dir_all(self.directory.join("tmp"))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "cannot remove temporary files");
        }
    }

    /// The blocks that lie on disk in the `part`th of 256 directories, and files there that are none. Directories found
    /// empty are removed: a kill between a block's removal and theirs leaves them.
    pub(crate) fn list(&self, part: u8) -> io::Result<(Vec<Hash>, Vec<PathBuf>)> {
        let (mut blocks, mut strangers) = (Vec::new(), Vec::new());
        let first = format!("{part:02x}");
        let outer = self.root().join(&first);
        for inner in entries(&outer)? {
            let second =
                inner.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            for path in entries(&inner)? {
                let third =
                    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                match from_hex(&format!("{first}{second}{third}")) {
                    Some(hash) => blocks.push(hash),
                    None => strangers.push(path),
                }
            }
            let _ = fs::remove_dir(&inner);
        }
        let _ = fs::remove_dir(&outer);
        Ok((blocks, strangers))
    }

    fn root(&self) -> PathBuf {
        self.directory.join("content-v2").join("sha256")
    }

    fn path(&self, hash: &Hash) -> PathBuf {
        let hex = to_hex(hash);
        let mut path = self.root();
        path.push(&hex[..2]);
        path.push(&hex[2..4]);
        path.push(&hex[4..]);
        path
    }
}

/// Whether a directory went between being made and being used; `create_dir_all` says "exists" then.
fn vanished(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists)
}

/// Being out of descriptors or memory says nothing about the block.
pub(crate) fn failed(error: &io::Error) -> PieceError {
    tracing::debug!(%error, "cannot read a block");
    match error.kind() {
        io::ErrorKind::NotFound => return PieceError::Missing,
        io::ErrorKind::UnexpectedEof => return PieceError::Damaged,
        _ => {}
    }
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM) => PieceError::Busy,
        _ => PieceError::Failed,
    }
}

/// A failed read, and of which block.
#[derive(Debug)]
pub(crate) struct PieceErrorAt {
    pub(crate) block: Arc<BlockInfo>,
    pub(crate) error: PieceError,
}

fn entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(directory) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect(),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    }
}

fn integrity(hash: &Hash) -> io::Result<Integrity> {
    Integrity::from_hex(to_hex(hash), Algorithm::Sha256).map_err(io::Error::other)
}

fn as_io(error: cacache::Error) -> io::Error {
    match error {
        cacache::Error::IoError(error, _) => error,
        other => io::Error::other(other),
    }
}

fn to_hex(hash: &Hash) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value)]);
    hash.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn from_hex(text: &str) -> Option<Hash> {
    let mut hash = [0; 32];
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        return None;
    }
    for (byte, at) in hash.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content() -> (tempfile::TempDir, Content) {
        let directory = tempfile::tempdir().unwrap();
        let content = Content::new(directory.path(), Arc::default());
        (directory, content)
    }

    #[test]
    fn a_block_is_the_same_however_it_is_cut() {
        let bytes: Vec<u8> = (0..PIECE_BYTES * 2 + 77).map(|i| (i % 251) as u8).collect();
        let whole = describe(&[bytes.clone().into()]);
        for size in [1, 1000, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1] {
            let chunks: Vec<Bytes> = bytes.chunks(size).map(Bytes::copy_from_slice).collect();
            assert_eq!(describe(&chunks), whole, "{size}");
        }
        assert_eq!(whole.sums.len(), 3);
        assert_eq!(whole.sums[2], xxh3_64(&bytes[PIECE_BYTES * 2..]));
    }

    #[test]
    fn written_blocks_are_read_listed_and_removed() {
        let (_directory, content) = content();
        let bytes: Bytes = vec![3; PIECE_BYTES + 5].into();
        let block = Arc::new(describe(std::slice::from_ref(&bytes)));
        assert_eq!(content.open(&block).unwrap_err(), PieceError::Missing);
        content.write(&block.hash, std::slice::from_ref(&bytes)).unwrap();
        let piece = content.read(content.open(&block).unwrap(), 1).unwrap();
        assert_eq!(piece.bytes, bytes.slice(PIECE_BYTES..));
        assert_eq!(content.list(block.hash[0]).unwrap().0, [block.hash]);
        content.remove(&block.hash).unwrap();
        content.remove(&block.hash).unwrap();
        assert_eq!(content.list(block.hash[0]).unwrap().0, [] as [Hash; 0]);
    }

    fn folders(below: &Path) -> usize {
        let inner = entries(below).unwrap().into_iter().filter(|path| path.is_dir());
        inner.map(|path| 1 + folders(&path)).sum()
    }

    #[test]
    fn no_more_directories_than_files_need() {
        let (directory, content) = content();
        let root = directory.path().join("content-v2");
        let block = |number: u32| Bytes::copy_from_slice(&number.to_le_bytes());
        let name = |number| describe(&[block(number)]).hash;
        let most = |files: usize| files * 2 + 1;
        for number in 0..300 {
            content.write(&name(number), &[block(number)]).unwrap();
            if number >= 10 {
                content.remove(&name(number - 10)).unwrap();
            }
            assert!(folders(&root) <= most(11), "{} directories at {number}", folders(&root));
        }
        (290..300).for_each(|number| content.remove(&name(number)).unwrap());
        assert_eq!(folders(&root), most(0));
    }

    #[test]
    fn empty_directories_of_an_earlier_process_go_with_the_sweep() {
        let (_directory, content) = content();
        let block = Bytes::from_static(b"kept");
        let hash = describe(std::slice::from_ref(&block)).hash;
        content.write(&hash, &[block]).unwrap();
        for part in 0..=u8::MAX {
            fs::create_dir_all(content.root().join(format!("{part:02x}/00"))).unwrap();
        }
        let found: Vec<Hash> = (0..=u8::MAX).flat_map(|part| content.list(part).unwrap().0).collect();
        assert_eq!(found, [hash]);
        assert_eq!(folders(&content.root()), 2);
    }

    #[test]
    fn a_write_beside_removals_is_not_lost() {
        let (_directory, content) = content();
        let block = Bytes::from_static(b"comes and goes");
        let hash = describe(std::slice::from_ref(&block)).hash;
        let over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let remover = scope.spawn(|| {
                while !over.load(std::sync::atomic::Ordering::Relaxed) {
                    content.remove(&hash).unwrap();
                }
            });
            let failed = (0..3000).find_map(|_| content.write(&hash, std::slice::from_ref(&block)).err());
            over.store(true, std::sync::atomic::Ordering::Relaxed);
            remover.join().unwrap();
            assert!(failed.is_none(), "{failed:?}");
        });
    }

    #[test]
    fn other_bytes_are_noticed() {
        let (_directory, content) = content();
        let bytes: Bytes = vec![3; 5].into();
        let block = Arc::new(describe(std::slice::from_ref(&bytes)));
        content.write(&block.hash, &[bytes]).unwrap();
        for bad in [&b"\x03\x03\x03\x03\x02"[..], b"\x03\x03", b""] {
            #[expect(clippy::disallowed_methods, reason = "a test may block")]
            fs::write(content.path(&block.hash), bad).unwrap();
            assert_eq!(content.read(content.open(&block).unwrap(), 0).unwrap_err(), PieceError::Damaged);
        }
    }

    #[test]
    fn hexadecimal_there_and_back() {
        let hash = std::array::from_fn(|i| (i * 8) as u8);
        assert_eq!(from_hex(&to_hex(&hash)), Some(hash));
        assert_eq!(from_hex(&"+0".repeat(32)), None);
        assert_eq!(from_hex("00"), None);
    }
}

//! The purges on disk: `purge.log`, appended and synced before a purge is acknowledged. Little endian:
//!
//! ```text
//!  offset  size  head of the file
//!       0     8  "LARDPRG\n"
//!       8     4  version, 1
//!      12     4  zero
//!      16     8  floor: purges up to here are carried out; their frames are history only
//!      24     8  xxh3-64 of the 24 bytes before
//!
//!                then frames, with growing positions
//!       0     4  bytes of the payload (n)
//!       4     4  low half of xxh3-64 of the other 4 + 8 bytes of this head
//!       8     8  position
//!      16     8  xxh3-64 of the payload, seeded with the position
//!      24     n  payload
//!
//!                payload
//!       0     1  flags: bit 0 = soft
//!       1     4  selectors (s)
//!                s times: kind (1 byte: 1 url, 2 prefix, 3 tag, 4 host, 5 all), bytes (4), text
//!             4  bytes of the note, then the note
//! ```
//!
//! A file that is damaged anywhere, or does not end where a frame ends, may have lost an acknowledged purge. Which one
//! nobody knows, so everything older counts as purged: see [`Replay::lost`].

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::{Purge, Recorded, Selector, Seq};
use crate::fault::Faults;
use crate::limits::{NOTE_BYTES_MAX, PURGE_BYTES_MAX, PURGE_SELECTORS_MAX};

const MAGIC: [u8; 8] = *b"LARDPRG\n";
const VERSION: u32 = 1;
const HEAD: usize = 32;
const FRAME_HEAD: usize = 24;
const PAYLOAD_MAX: usize = PURGE_BYTES_MAX + NOTE_BYTES_MAX + PURGE_SELECTORS_MAX * 5 + 9;

/// What an existing journal says.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    /// Every frame that could be read, history included.
    pub(crate) purges: Vec<Recorded>,
    /// Purges up to here are carried out.
    pub(crate) floor: u64,
    /// The highest position seen.
    pub(crate) seq: u64,
    /// Acknowledged purges may be missing.
    pub(crate) lost: bool,
    /// There was no journal.
    pub(crate) absent: bool,
}

#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    /// Bytes that are known to be good and synced.
    length: u64,
    /// The file may hold more than that.
    torn: bool,
    faults: Arc<Faults>,
}

impl Journal {
    /// Reads what is there. Nothing is changed yet: [`Journal::begin`] does that.
    pub(crate) fn replay(directory: &Path) -> io::Result<Replay> {
        match File::open(directory.join("purge.log")) {
            Ok(file) => {
                let replay = read(&mut BufReader::new(file))?;
                if replay.lost {
                    salvage(&fs::read(directory.join("purge.log"))?, replay)
                } else {
                    Ok(replay)
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Ok(Replay { absent: true, ..Replay::default() })
            }
            Err(error) => Err(error),
        }
    }

    /// Begins a journal that holds these purges, in place of what was there.
    pub(crate) fn begin(
        directory: &Path,
        floor: u64,
        purges: &[Recorded],
        faults: Arc<Faults>,
    ) -> io::Result<Self> {
        let path = directory.join("purge.log");
        let (file, length) = replace(&path, floor, &faults, |out| {
            purges.iter().try_for_each(|purge| out.write_all(&encode(purge)))
        })?;
        Ok(Self { path, file, length, torn: false, faults })
    }

    /// Continues a journal that was replayed without loss.
    pub(crate) fn resume(directory: &Path, faults: Arc<Faults>) -> io::Result<Self> {
        let path = directory.join("purge.log");
        faults.call("journal open")?;
        let mut file = OpenOptions::new().read(true).write(true).open(&path)?;
        let length = file.seek(SeekFrom::End(0))?;
        Ok(Self { path, file, length, torn: false, faults })
    }

    /// Appends purges; they are on disk when it returns.
    pub(crate) fn append(&mut self, purges: &[Recorded]) -> io::Result<()> {
        let frames: Vec<u8> = purges.iter().flat_map(encode).collect();
        if self.torn {
            self.cut()?;
        }
        self.torn = true;
        let written = self.faults.call("journal write").and_then(|()| self.file.write_all(&frames));
        let synced =
            written.and_then(|()| self.faults.call("journal sync")).and_then(|()| self.file.sync_data());
        match synced {
            Ok(()) => {
                self.length += frames.len() as u64;
                self.torn = false;
                Ok(())
            }
            Err(error) => {
                // What was half written must not be there when the next purge is appended.
                let _ = self.cut();
                Err(error)
            }
        }
    }

    fn cut(&mut self) -> io::Result<()> {
        self.faults.call("journal cut")?;
        self.file.set_len(self.length)?;
        self.file.seek(SeekFrom::Start(self.length))?;
        self.torn = false;
        Ok(())
    }

    /// Bytes of the file.
    pub(crate) const fn length(&self) -> u64 {
        self.length
    }

    /// Writes a new file without the purges up to `floor`, but with those from `history` on.
    pub(crate) fn rewrite(&mut self, floor: u64, history: u64) -> io::Result<()> {
        let mut old = BufReader::new(File::open(&self.path)?.take(self.length));
        old.seek_relative(HEAD as i64)?;
        let (file, length) = replace(&self.path, floor, &self.faults, |out| {
            loop {
                match read_frame(&mut old)? {
                    Frame::Whole(purge) if purge.seq.0 > floor || purge.seq.0 >= history => {
                        out.write_all(&encode(&purge))?;
                    }
                    Frame::Whole(_) => {}
                    Frame::End => return Ok(()),
                    Frame::Damaged(_) | Frame::Torn => {
                        return Err(io::Error::other("the journal changed on disk"));
                    }
                }
            }
        })?;
        (self.file, self.length, self.torn) = (file, length, false);
        Ok(())
    }
}

/// Writes a new journal beside the old one, syncs it and puts it in its place.
fn replace(
    path: &Path,
    floor: u64,
    faults: &Faults,
    fill: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
) -> io::Result<(File, u64)> {
    faults.call("journal begin")?;
    let new = path.with_extension("new");
    let mut file = OpenOptions::new().create(true).read(true).write(true).truncate(true).open(&new)?;
    let mut out = BufWriter::new(&file);
    out.write_all(&head(floor))?;
    fill(&mut out)?;
    out.flush()?;
    drop(out);
    faults.call("journal sync")?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    if let Some(directory) = path.parent() {
        File::open(directory)?.sync_all()?;
    }
    let length = file.seek(SeekFrom::End(0))?;
    Ok((file, length))
}

fn head(floor: u64) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..8].copy_from_slice(&MAGIC);
    head[8..12].copy_from_slice(&VERSION.to_le_bytes());
    head[16..24].copy_from_slice(&floor.to_le_bytes());
    let sum = xxh3_64(&head[..24]);
    head[24..].copy_from_slice(&sum.to_le_bytes());
    head
}

fn read(input: &mut impl Read) -> io::Result<Replay> {
    let mut replay = Replay::default();
    let mut found = [0; HEAD];
    let count = fill(input, &mut found)?;
    let floor = u64::from_le_bytes(found[16..24].try_into().expect("8 bytes"));
    if count < HEAD || found != head(floor) {
        replay.lost = true;
        return Ok(replay);
    }
    (replay.floor, replay.seq) = (floor, floor);
    let mut last = 0;
    loop {
        match read_frame(input)? {
            Frame::Whole(purge) if purge.seq.0 > last => {
                last = purge.seq.0;
                replay.seq = replay.seq.max(last);
                replay.purges.push(purge);
            }
            Frame::Whole(_) => replay.lost = true,
            Frame::Damaged(seq) => {
                replay.lost = true;
                replay.seq = replay.seq.max(seq);
            }
            Frame::End => return Ok(replay),
            Frame::Torn => {
                replay.lost = true;
                return Ok(replay);
            }
        }
    }
}

/// Looks for whole frames anywhere in a damaged file: their positions must not be given again.
fn salvage(bytes: &[u8], mut replay: Replay) -> io::Result<Replay> {
    replay.purges.clear();
    let mut rest = bytes;
    while rest.len() >= FRAME_HEAD {
        match read_frame(&mut &*rest)? {
            Frame::Whole(purge) => {
                replay.seq = replay.seq.max(purge.seq.0);
                rest = &rest[encode(&purge).len()..];
                replay.purges.push(purge);
            }
            Frame::Damaged(seq) => {
                replay.seq = replay.seq.max(seq);
                rest = &rest[1..];
            }
            Frame::Torn | Frame::End => rest = &rest[1..],
        }
    }
    replay.purges.sort_by_key(|purge| purge.seq);
    replay.purges.dedup_by_key(|purge| purge.seq);
    Ok(replay)
}

enum Frame {
    Whole(Recorded),
    /// Its head is whole, with this position, but not what it holds.
    Damaged(u64),
    /// Not a frame; what follows cannot be found.
    Torn,
    End,
}

fn read_frame(input: &mut impl Read) -> io::Result<Frame> {
    let mut head = [0; FRAME_HEAD];
    match fill(input, &mut head)? {
        0 => return Ok(Frame::End),
        FRAME_HEAD => {}
        _ => return Ok(Frame::Torn),
    }
    let size = u32::from_le_bytes(head[..4].try_into().expect("4 bytes"));
    let seq = u64::from_le_bytes(head[8..16].try_into().expect("8 bytes"));
    if head[4..8] != head_sum(size, seq) || size as usize > PAYLOAD_MAX {
        return Ok(Frame::Torn);
    }
    let mut payload = vec![0; size as usize];
    if fill(input, &mut payload)? < payload.len() {
        return Ok(Frame::Torn);
    }
    if head[16..] != xxh3_64_with_seed(&payload, seq).to_le_bytes() {
        return Ok(Frame::Damaged(seq));
    }
    Ok(decode(Seq(seq), &payload).map_or(Frame::Damaged(seq), Frame::Whole))
}

fn head_sum(size: u32, seq: u64) -> [u8; 4] {
    let mut bytes = [0; 12];
    bytes[..4].copy_from_slice(&size.to_le_bytes());
    bytes[4..].copy_from_slice(&seq.to_le_bytes());
    (xxh3_64(&bytes) as u32).to_le_bytes()
}

/// Reads until the buffer is full or the input ends.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while count < buffer.len() {
        match input.read(&mut buffer[count..]) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

const fn kind(selector: &Selector) -> u8 {
    match selector {
        Selector::Url(_) => 1,
        Selector::Prefix(_) => 2,
        Selector::Tag(_) => 3,
        Selector::Host(_) => 4,
        Selector::All => 5,
    }
}

fn encode(recorded: &Recorded) -> Vec<u8> {
    let Recorded { seq, purge, note } = recorded;
    let mut out = vec![0; FRAME_HEAD];
    let size = |length: usize| u32::try_from(length).expect("the ledger refuses longer ones").to_le_bytes();
    out.push(u8::from(purge.soft));
    out.extend_from_slice(&size(purge.selectors.len()));
    for selector in &purge.selectors {
        out.push(kind(selector));
        out.extend_from_slice(&size(selector.text().len()));
        out.extend_from_slice(selector.text().as_bytes());
    }
    out.extend_from_slice(&size(note.len()));
    out.extend_from_slice(note.as_bytes());
    let length = u32::try_from(out.len() - FRAME_HEAD).expect("the ledger refuses longer ones");
    let sum = xxh3_64_with_seed(&out[FRAME_HEAD..], seq.0);
    out[..4].copy_from_slice(&length.to_le_bytes());
    out[4..8].copy_from_slice(&head_sum(length, seq.0));
    out[8..16].copy_from_slice(&seq.0.to_le_bytes());
    out[16..24].copy_from_slice(&sum.to_le_bytes());
    out
}

fn decode(seq: Seq, payload: &[u8]) -> Option<Recorded> {
    let (&flags, rest) = payload.split_first()?;
    let mut rest = rest;
    let count = number(&mut rest)?;
    let mut selectors = Vec::with_capacity(count.min(rest.len() / 5 + 1));
    for _ in 0..count {
        let (&kind, after) = rest.split_first()?;
        rest = after;
        let text = text(&mut rest)?;
        selectors.push(match kind {
            1 => Selector::Url(text),
            2 => Selector::Prefix(text),
            3 => Selector::Tag(text),
            4 => Selector::Host(text),
            5 => Selector::All,
            _ => return None,
        });
    }
    let note = text(&mut rest)?;
    rest.is_empty().then_some(Recorded { seq, purge: Purge { selectors, soft: flags & 1 != 0 }, note })
}

fn number(input: &mut &[u8]) -> Option<usize> {
    let (bytes, rest) = input.split_first_chunk::<4>()?;
    *input = rest;
    Some(u32::from_le_bytes(*bytes) as usize)
}

fn text(input: &mut &[u8]) -> Option<String> {
    let size = number(input)?;
    let (bytes, rest) = input.split_at_checked(size)?;
    *input = rest;
    String::from_utf8(bytes.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(seq: u64) -> Recorded {
        let selectors =
            vec![Selector::Tag(format!("t{seq}")), Selector::All, Selector::Url("http://a:80/".into())];
        Recorded {
            seq: Seq(seq),
            purge: Purge { selectors, soft: seq.is_multiple_of(2) },
            note: "{\"id\":1}".into(),
        }
    }

    fn written(count: u64) -> (tempfile::TempDir, Vec<Recorded>) {
        let directory = tempfile::tempdir().unwrap();
        let all: Vec<_> = (1..=count).map(recorded).collect();
        let mut journal = Journal::begin(directory.path(), 0, &all[..1], Arc::default()).unwrap();
        journal.append(&all[1..]).unwrap();
        (directory, all)
    }

    #[test]
    fn what_is_appended_is_replayed() {
        let (directory, all) = written(5);
        let replay = Journal::replay(directory.path()).unwrap();
        assert_eq!((replay.purges, replay.seq, replay.floor, replay.lost), (all, 5, 0, false));
        assert!(Journal::replay(&directory.path().join("no")).unwrap().absent);
    }

    #[test]
    fn a_rewrite_keeps_what_is_in_force_and_some_history() {
        let (directory, all) = written(9);
        let mut journal = Journal::resume(directory.path(), Arc::default()).unwrap();
        let before = journal.length();
        journal.rewrite(6, 5).unwrap();
        assert!(journal.length() < before);
        journal.append(&[recorded(10)]).unwrap();
        let replay = Journal::replay(directory.path()).unwrap();
        assert_eq!(replay.purges[..5], all[4..]);
        assert_eq!((replay.purges.len(), replay.seq, replay.floor, replay.lost), (6, 10, 6, false));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_a_loss() {
        let (directory, _) = written(3);
        let good = fs::read(directory.path().join("purge.log")).unwrap();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let replay = read(&mut &bad[..]).unwrap();
            assert!(replay.lost, "bit {bit}");
            assert!(replay.purges.len() < 3);
        }
        let ends: Vec<usize> =
            (0..=3).map(|n| HEAD + (1..=n).map(|seq| encode(&recorded(seq)).len()).sum::<usize>()).collect();
        for cut in 0..good.len() {
            assert_eq!(read(&mut &good[..cut]).unwrap().lost, !ends.contains(&cut), "cut at {cut}");
        }
    }

    #[test]
    fn a_failed_append_leaves_no_trace() {
        let (directory, _) = written(2);
        let faults = Arc::new(Faults::default());
        let mut journal = Journal::resume(directory.path(), Arc::clone(&faults)).unwrap();
        for n in 1..=3 {
            faults.fail_nth(n);
            let result = journal.append(&[recorded(2 + n)]);
            assert_eq!(result.is_err(), n < 3, "{n}");
        }
        faults.fail_nth(0);
        let replay = Journal::replay(directory.path()).unwrap();
        assert_eq!(replay.purges.iter().map(|purge| purge.seq.0).collect::<Vec<_>>(), [1, 2, 5]);
        assert!(!replay.lost);
    }
}

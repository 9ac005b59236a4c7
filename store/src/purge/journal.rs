//! The purges on disk: `purge.log`, appended and synced before a purge is acknowledged. Little endian:
//!
//! ```text
//!  offset  size  head of the file
//!       0     8  "LARDPRG\n"
//!       8     4  version, 2; 1 had no name and no end
//!      12     4  name of the log: drawn when it is begun, other than 0; a log that had to be begun anew has another
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
//!       0     1  flags: bit 0 = soft, bit 1 = ends in time and position
//!       1     4  selectors (s)
//!                s times: kind (1 byte: 1 url, 2 prefix, 3 tag, 4 host, 5 all, 6 regex), bytes (4), text
//!             4  bytes of the note, then the note
//!             8  time it was written, milliseconds since 1970 (UTC)
//!             8  position of the purge that this one takes back; 0 = it is a purge itself
//!
//!                and at the very end, overwritten by the next frame, so that a file that was cut off at the end of a frame
//!                does not look whole
//!       0     4  0xffffffff
//!       4     4  as in a frame
//!       8     8  the newest position
//!      16     8  xxh3-64 of "end", seeded with the position
//! ```
//!
//! A file that is damaged anywhere, or does not end so, may have lost an acknowledged purge. Which one
//! nobody knows, so everything older counts as purged: see [`Replay::lost`].

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::{Purge, Recorded, Selector, Seq};
use crate::fault::Faults;
use crate::limits::{NOTE_BYTES_MAX, PURGE_BYTES_MAX, PURGE_SELECTORS_MAX};

const MAGIC: [u8; 8] = *b"LARDPRG\n";
const VERSION: u32 = 2;
const VERSION_WITHOUT_END: u32 = 1;
const HEAD: usize = 32;
const FRAME_HEAD: usize = 24;
/// In place of a size: the end of the file.
const END: u32 = u32::MAX;
const SOFT: u8 = 1;
const DATED: u8 = 2;
const PAYLOAD_MAX: usize = PURGE_BYTES_MAX + NOTE_BYTES_MAX + PURGE_SELECTORS_MAX * 5 + 25;

/// What an existing journal says.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    /// Every frame that could be read, history included.
    pub(crate) purges: Vec<Recorded>,
    /// Purges up to here are carried out.
    pub(crate) floor: u64,
    /// The highest position seen.
    pub(crate) seq: u64,
    /// The name of the log; 0 in one that is older than names.
    pub(crate) name: u32,
    /// Acknowledged purges may be missing.
    pub(crate) lost: bool,
    /// It is of an earlier version, and must be begun anew with what it says.
    pub(crate) old: bool,
    /// There was no journal.
    pub(crate) absent: bool,
}

#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    name: u32,
    /// Bytes that are known to be good and synced, without the end mark.
    length: u64,
    /// The newest position written.
    newest: u64,
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
        let name = draw_name();
        let newest = purges.last().map_or(floor, |purge| purge.seq.0.max(floor));
        let (file, length) = replace(&path, (floor, newest), name, &faults, |out| {
            purges.iter().try_for_each(|purge| out.write_all(&encode(purge)))
        })?;
        Ok(Self { path, file, name, length, newest, torn: false, faults })
    }

    /// Continues a journal that was replayed without loss.
    pub(crate) fn resume(directory: &Path, replay: &Replay, faults: Arc<Faults>) -> io::Result<Self> {
        let path = directory.join("purge.log");
        faults.call("journal open")?;
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        let length = file.metadata()?.len().saturating_sub(FRAME_HEAD as u64);
        Ok(Self { path, file, name: replay.name, length, newest: replay.seq, torn: false, faults })
    }

    /// What tells this log from one that was begun anew.
    pub(crate) const fn name(&self) -> u32 {
        self.name
    }

    /// Appends purges; they are on disk when it returns.
    pub(crate) fn append(&mut self, purges: &[Recorded]) -> io::Result<()> {
        let mut frames: Vec<u8> = purges.iter().flat_map(encode).collect();
        let newest = purges.last().map_or(self.newest, |purge| purge.seq.0);
        frames.extend_from_slice(&end(newest));
        if self.torn {
            self.cut()?;
        }
        self.torn = true;
        let written =
            self.faults.call("journal write").and_then(|()| self.file.write_all_at(&frames, self.length));
        let synced =
            written.and_then(|()| self.faults.call("journal sync")).and_then(|()| self.file.sync_data());
        match synced {
            Ok(()) => {
                self.length += (frames.len() - FRAME_HEAD) as u64;
                self.newest = newest;
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
        self.file.write_all_at(&end(self.newest), self.length)?;
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
        let (file, length) =
            replace(&self.path, (floor, self.newest.max(floor)), self.name, &self.faults, |out| {
                loop {
                    match read_frame(&mut old)? {
                        Frame::Whole(purge) if purge.seq.0 > floor || purge.seq.0 >= history => {
                            out.write_all(&encode(&purge))?;
                        }
                        Frame::Whole(_) => {}
                        Frame::End => return Ok(()),
                        Frame::Damaged(_) | Frame::Mark(_) | Frame::Torn => {
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
    (floor, newest): (u64, u64),
    name: u32,
    faults: &Faults,
    fill: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
) -> io::Result<(File, u64)> {
    faults.call("journal begin")?;
    let new = path.with_extension("new");
    let file = OpenOptions::new().create(true).read(true).write(true).truncate(true).open(&new)?;
    let mut out = BufWriter::new(&file);
    out.write_all(&head(VERSION, floor, name))?;
    fill(&mut out)?;
    out.write_all(&end(newest))?;
    out.flush()?;
    drop(out);
    faults.call("journal sync")?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    if let Some(directory) = path.parent() {
        File::open(directory)?.sync_all()?;
    }
    let length = file.metadata()?.len().saturating_sub(FRAME_HEAD as u64);
    Ok((file, length))
}

/// A number that another journal hardly has.
fn draw_name() -> u32 {
    (RandomState::new().hash_one(std::process::id()) as u32).max(1)
}

/// What stands at the end of the file.
fn end(newest: u64) -> [u8; FRAME_HEAD] {
    let mut mark = [0; FRAME_HEAD];
    mark[..4].copy_from_slice(&END.to_le_bytes());
    mark[4..8].copy_from_slice(&head_sum(END, newest));
    mark[8..16].copy_from_slice(&newest.to_le_bytes());
    mark[16..].copy_from_slice(&xxh3_64_with_seed(b"end", newest).to_le_bytes());
    mark
}

fn head(version: u32, floor: u64, name: u32) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..8].copy_from_slice(&MAGIC);
    head[8..12].copy_from_slice(&version.to_le_bytes());
    head[12..16].copy_from_slice(&name.to_le_bytes());
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
    let name = u32::from_le_bytes(found[12..16].try_into().expect("4 bytes"));
    replay.old = found == head(VERSION_WITHOUT_END, floor, 0);
    if count < HEAD || !(replay.old || found == head(VERSION, floor, name)) {
        replay.lost = true;
        return Ok(replay);
    }
    (replay.floor, replay.seq, replay.name) = (floor, floor, name);
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
            Frame::Mark(newest) => {
                replay.seq = replay.seq.max(newest);
                let over = newest >= last && matches!(read_frame(input)?, Frame::End);
                replay.lost |= !over || replay.old;
                return Ok(replay);
            }
            Frame::End => {
                replay.lost |= !replay.old;
                return Ok(replay);
            }
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
            Frame::Damaged(seq) | Frame::Mark(seq) => {
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
    /// The mark at the end, with the newest position.
    Mark(u64),
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
    if size == END && head == end(seq) {
        return Ok(Frame::Mark(seq));
    }
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
        Selector::Regex(_) => 6,
    }
}

fn encode(recorded: &Recorded) -> Vec<u8> {
    let Recorded { seq, purge, note, time, undoes } = recorded;
    let mut out = vec![0; FRAME_HEAD];
    let size = |length: usize| u32::try_from(length).expect("the ledger refuses longer ones").to_le_bytes();
    out.push(if purge.soft { SOFT } else { 0 } | DATED);
    out.extend_from_slice(&size(purge.selectors.len()));
    for selector in &purge.selectors {
        out.push(kind(selector));
        out.extend_from_slice(&size(selector.text().len()));
        out.extend_from_slice(selector.text().as_bytes());
    }
    out.extend_from_slice(&size(note.len()));
    out.extend_from_slice(note.as_bytes());
    out.extend_from_slice(&time.to_le_bytes());
    out.extend_from_slice(&undoes.unwrap_or_default().0.to_le_bytes());
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
            6 => Selector::Regex(text),
            _ => return None,
        });
    }
    let note = text(&mut rest)?;
    let (time, undoes) = if flags & DATED != 0 { (word(&mut rest)?, word(&mut rest)?) } else { (0, 0) };
    let purge = Purge { selectors, soft: flags & SOFT != 0 };
    let undoes = (undoes > 0).then_some(Seq(undoes));
    rest.is_empty().then_some(Recorded { seq, purge, note, time, undoes })
}

fn word(input: &mut &[u8]) -> Option<u64> {
    let (bytes, rest) = input.split_first_chunk::<8>()?;
    *input = rest;
    Some(u64::from_le_bytes(*bytes))
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
mod tests;

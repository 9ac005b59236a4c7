//! Reading an entry: its record and, if they lie in segments, the bytes of its body.

use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use super::content::{PieceError, failed};
use super::frame::{At, HEADER, Header, Mark};
use super::now::read_now;
use super::record::Record;
use super::{Disk, Slot};

/// Times an entry is looked up again because it was moved or replaced while it was read.
const TRIES: usize = 4;

/// What was read of an entry.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) slot: Slot,
    /// Header and record.
    head: Vec<u8>,
    /// The body if it lies in a segment; not compared with its checksum yet.
    body: Option<Vec<u8>>,
}

/// How to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// Record and body, if it takes no waiting.
    Now,
    /// Record and body. Blocks.
    Wait,
    /// The record only. Blocks.
    Record,
}

/// Why nothing was read.
#[derive(Debug)]
pub(crate) enum NotFetched {
    /// There is no such entry.
    Absent,
    /// It takes waiting for the disk.
    Waits,
    /// It is damaged, or the disk failed.
    Failed(Slot, PieceError),
}

impl Fetched {
    pub(crate) fn record(&self) -> &[u8] {
        &self.head[HEADER..]
    }

    /// The body if it lies in a segment.
    pub(crate) fn take_body(&mut self) -> Option<Vec<u8>> {
        self.body.take()
    }
}

/// A body from a segment, compared with what the record says of it.
pub(crate) fn checked(record: &Record<'_>, body: Vec<u8>) -> Result<Bytes, PieceError> {
    match &record.blocks[..] {
        [only] if only.len as usize == body.len() && only.sums[..] == [xxh3_64(&body)] => Ok(body.into()),
        _ => Err(PieceError::Damaged),
    }
}

impl Disk {
    /// Reads the record of an entry, and its body if that lies in a segment.
    pub(crate) fn fetch(&self, hash: u128, how: How) -> Result<Fetched, NotFetched> {
        let mut slot = self.slots.get(hash).ok_or(NotFetched::Absent)?;
        for _ in 0..TRIES {
            let error = match self.fetch_slot(slot, how) {
                Ok(Some(fetched)) => return Ok(fetched),
                Ok(None) => return Err(NotFetched::Waits),
                Err(error) => error,
            };
            // Its segment may have been cleaned, or the entry replaced, while it was read.
            let again = self.slots.get(hash).ok_or(NotFetched::Absent)?;
            if (again.version, again.at) == (slot.version, slot.at) {
                return Err(NotFetched::Failed(slot, error));
            }
            slot = again;
        }
        Err(NotFetched::Failed(slot, PieceError::Busy))
    }

    fn fetch_slot(&self, slot: Slot, how: How) -> Result<Option<Fetched>, PieceError> {
        let mut head = vec![0; HEADER + slot.record as usize];
        let now = how == How::Now;
        let block = if how == How::Record { None } else { self.blocks.only(slot.body) };
        let packed = block.map_or(At::NOWHERE, |block| block.packed);
        let mut body = (packed != At::NOWHERE).then(|| vec![0; slot.length as usize]);
        let follows = At { offset: slot.at.offset + head.len() as u32, ..slot.at };
        let read = match &mut body {
            Some(body) if packed == follows => self.read_at(slot.at, &mut [&mut head, body], now),
            Some(body) => self
                .read_at(slot.at, &mut [&mut head], now)
                .and_then(|whole| Ok(whole && self.read_at(packed, &mut [body], now)?)),
            None => self.read_at(slot.at, &mut [&mut head], now),
        };
        if !read.map_err(|error| failed(&error))? {
            return Ok(None);
        }
        match Header::decode(&head, slot.at) {
            Some(header) if header.hash == slot.hash() && header.mark != Mark::Dead => {
                Ok(Some(Fetched { slot, head, body }))
            }
            _ => Err(PieceError::Damaged),
        }
    }

    /// Fills the buffers from a segment; false if that would take waiting.
    fn read_at(&self, at: At, buffers: &mut [&mut Vec<u8>], now: bool) -> io::Result<bool> {
        if now {
            let Some(file) = self.segments.opened(at.segment) else { return Ok(false) };
            if !self.faults().call_now("segment read")? {
                return Ok(false);
            }
            let mut slices: Vec<_> = buffers.iter_mut().map(|buffer| IoSliceMut::new(buffer)).collect();
            return read_now(&file, &mut slices, u64::from(at.offset));
        }
        let file = self.segments.file(at.segment)?;
        self.faults().call("segment read")?;
        let mut from = u64::from(at.offset);
        for buffer in buffers {
            file.read_exact_at(buffer, from)?;
            from += buffer.len() as u64;
        }
        Ok(true)
    }

    /// The record of an entry. Blocks.
    pub(crate) fn record(&self, hash: u128) -> io::Result<Option<Arc<Vec<u8>>>> {
        match self.fetch(hash, How::Record) {
            Ok(fetched) => Ok(Some(Arc::new(fetched.head[HEADER..].to_vec()))),
            Err(NotFetched::Absent | NotFetched::Failed(_, PieceError::Missing | PieceError::Damaged)) => {
                Ok(None)
            }
            Err(_) => Err(io::Error::other("the record cannot be read")),
        }
    }
}

//! Frames: what a segment file is made of, one after the other from its first byte, each at a multiple of 64.
//!
//! ```text
//!  offset  size  field
//!       0     8  "LRDFRAME" = alive; "lrd stal" = alive, expired by a soft purge; anything else = dead
//!       8     4  bytes of the record (r); 0 = a body alone
//!      12     4  bytes of the body (n); 0 = no body here
//!      16    16  hash of the entry's key, big endian; 0 of a body alone
//!      32    32  SHA-256 of the body; 0 if none
//!      64     8  xxh3-64 of the 56 bytes before, seeded with segment and offset
//!      72     r  record, see record.rs
//!             n  body
//! ```
//!
//! The mark is overwritten in place when the entry is removed or expires: one flipped bit makes an alive frame a dead
//! one, never the other way. The seed makes a frame that turns up elsewhere a damaged one.

use std::io;
use std::os::unix::fs::FileExt;
use std::{fs::File, ops::Range};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::content::Hash;

/// Bytes before the record.
pub(crate) const HEADER: usize = 72;
/// Frames begin at multiples of this.
pub(crate) const ALIGN: u64 = 64;
/// Bytes read at once when frames are listed.
const WINDOW: usize = 256 * 1024;

/// Where a frame or a body begins. Positions grow: a later frame has a larger one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct At {
    /// Number of the segment; 0 = nowhere.
    pub(crate) segment: u32,
    pub(crate) offset: u32,
}

impl At {
    pub(crate) const NOWHERE: Self = Self { segment: 0, offset: 0 };

    const fn seed(self) -> u64 {
        (self.segment as u64) << 32 | self.offset as u64
    }
}

/// The first bytes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Alive,
    Expired,
    Dead,
}

impl Mark {
    pub(crate) const fn bytes(self) -> [u8; 8] {
        match self {
            Self::Alive => *b"LRDFRAME",
            Self::Expired => *b"lrd stal",
            Self::Dead => [0; 8],
        }
    }

    fn of(bytes: [u8; 8]) -> Self {
        [Self::Alive, Self::Expired].into_iter().find(|mark| mark.bytes() == bytes).unwrap_or(Self::Dead)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) mark: Mark,
    pub(crate) record: u32,
    pub(crate) body: u32,
    pub(crate) hash: u128,
    pub(crate) name: Hash,
}

impl Header {
    pub(crate) fn encode(&self, at: At) -> [u8; HEADER] {
        let mut out = [0; HEADER];
        out[..8].copy_from_slice(&self.mark.bytes());
        out[8..12].copy_from_slice(&self.record.to_le_bytes());
        out[12..16].copy_from_slice(&self.body.to_le_bytes());
        out[16..32].copy_from_slice(&self.hash.to_be_bytes());
        out[32..64].copy_from_slice(&self.name);
        let sum = xxh3_64_with_seed(&out[8..64], at.seed());
        out[64..].copy_from_slice(&sum.to_le_bytes());
        out
    }

    /// Reads the header of a frame that is said to begin at `at`; `None` if there is none.
    pub(crate) fn decode(bytes: &[u8], at: At) -> Option<Self> {
        let bytes: &[u8; HEADER] = bytes.get(..HEADER)?.try_into().ok()?;
        if xxh3_64_with_seed(&bytes[8..64], at.seed()).to_le_bytes() != bytes[64..] {
            return None;
        }
        Some(Self {
            mark: Mark::of(bytes[..8].try_into().ok()?),
            record: u32::from_le_bytes(bytes[8..12].try_into().ok()?),
            body: u32::from_le_bytes(bytes[12..16].try_into().ok()?),
            hash: u128::from_be_bytes(bytes[16..32].try_into().ok()?),
            name: bytes[32..64].try_into().ok()?,
        })
    }

    /// Bytes without what follows up to the next frame.
    const fn bytes(&self) -> u64 {
        HEADER as u64 + self.record as u64 + self.body as u64
    }

    /// Bytes the frame takes in its segment.
    pub(crate) const fn length(&self) -> u64 {
        self.bytes().next_multiple_of(ALIGN)
    }

    /// Offset of its body in the segment.
    pub(crate) const fn body_at(&self, at: At) -> At {
        At { segment: at.segment, offset: at.offset + HEADER as u32 + self.record }
    }
}

/// What a record counts as in its segment, with the header.
pub(crate) const fn record_bytes(record: u32) -> u64 {
    HEADER as u64 + record as u64
}

/// Lists the frames of a segment file, dead ones too, from a window that moves over it. What is damaged is passed over.
#[derive(Debug)]
pub(crate) struct Frames<'a> {
    file: &'a File,
    segment: u32,
    length: u64,
    next: u64,
    window: Vec<u8>,
    window_at: u64,
}

impl<'a> Frames<'a> {
    pub(crate) fn new(file: &'a File, from: At) -> io::Result<Self> {
        let length = file.metadata()?.len().min(u64::from(u32::MAX));
        let next = u64::from(from.offset).next_multiple_of(ALIGN);
        Ok(Self { file, segment: from.segment, length, next, window: Vec::new(), window_at: 0 })
    }

    /// The next frame that lies in the file as a whole.
    pub(crate) fn next(&mut self) -> io::Result<Option<(At, Header)>> {
        while self.next + HEADER as u64 <= self.length {
            let at = At { segment: self.segment, offset: self.next as u32 };
            let range = self.load(self.next, HEADER)?;
            match Header::decode(&self.window[range], at) {
                Some(header) if self.next + header.bytes() <= self.length => {
                    self.next += header.length();
                    return Ok(Some((at, header)));
                }
                _ => self.next += ALIGN,
            }
        }
        Ok(None)
    }

    /// The record of a frame that was just listed.
    pub(crate) fn record(&mut self, at: At, header: &Header) -> io::Result<&[u8]> {
        let range = self.load(u64::from(at.offset) + HEADER as u64, header.record as usize)?;
        Ok(&self.window[range])
    }

    /// Makes sure these bytes are in the window.
    fn load(&mut self, from: u64, length: usize) -> io::Result<Range<usize>> {
        let inside = from.checked_sub(self.window_at).map(|start| start as usize);
        if let Some(start) = inside.filter(|start| start + length <= self.window.len()) {
            return Ok(start..start + length);
        }
        let size = (self.length - from.min(self.length)).min(WINDOW.max(length) as u64) as usize;
        self.window.resize(size, 0);
        self.window_at = from;
        self.file.read_exact_at(&mut self.window, from)?;
        if size < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(0..length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(record: u32, body: u32) -> Header {
        Header { mark: Mark::Alive, record, body, hash: 7 << 100, name: [9; 32] }
    }

    #[test]
    fn what_is_written_is_read_and_only_where_it_was_written() {
        let at = At { segment: 3, offset: 640 };
        let bytes = header(100, 4000).encode(at);
        assert_eq!(Header::decode(&bytes, at), Some(header(100, 4000)));
        assert_eq!(Header::decode(&bytes, At { segment: 4, ..at }), None);
        assert_eq!(Header::decode(&bytes, At { offset: 704, ..at }), None);
        for bit in 0..HEADER * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            let found = Header::decode(&bad, at);
            assert_eq!(found.map(|header| header.mark), (bit < 64).then_some(Mark::Dead), "bit {bit}");
        }
        let mut dead = bytes;
        for bit in 0..64 {
            dead[..8].fill(0);
            dead[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&dead, at).map(|header| header.mark), Some(Mark::Dead), "bit {bit}");
        }
    }

    #[test]
    fn frames_are_listed_past_damage_and_a_torn_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("segment");
        let mut bytes = Vec::new();
        let mut starts = Vec::new();
        for number in 0..200u32 {
            let at = At { segment: 5, offset: bytes.len() as u32 };
            let header = header(100 + number, number * 50);
            starts.push(at);
            bytes.extend_from_slice(&header.encode(at));
            bytes.resize(at.offset as usize + header.length() as usize, 1);
        }
        let list = |bytes: &[u8]| {
            #[expect(clippy::disallowed_methods, reason = "a test may block")]
            std::fs::write(&path, bytes).unwrap();
            let file = File::open(&path).unwrap();
            let mut frames = Frames::new(&file, At { segment: 5, offset: 0 }).unwrap();
            let mut found = Vec::new();
            while let Some((at, header)) = frames.next().unwrap() {
                assert!(frames.record(at, &header).unwrap().iter().all(|byte| *byte == 1));
                found.push(at);
            }
            found
        };
        assert_eq!(list(&bytes), starts);
        let cut = bytes.len() - 5000;
        assert_eq!(list(&bytes[..cut]), starts[..199]);
        bytes[starts[100].offset as usize + 20] ^= 1;
        let without: Vec<At> = starts.iter().copied().filter(|at| *at != starts[100]).collect();
        assert_eq!(list(&bytes), without);
    }
}

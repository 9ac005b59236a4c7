//! What the index keeps, little endian inside. Of an entry, under the 16 bytes of its key's hash (big endian):
//!
//! ```text
//!  offset  size  field
//!       0     1  version, 2
//!       1     1  flags: bit 0 = expired by a soft purge, bit 1 = pinned
//!       2     2  share of the disk it counts to, 0 = the common one
//!       4     4  bytes of the record
//!       8     8  its frame: segment, offset
//!      16     8  born: position of the purges before the fetch
//!      24     8  bytes of the body
//!      32     4  low half of xxh3-64 of the URL
//!      36     8  the only block in a segment: segment, offset; 0 = all blocks are files
//!      44     4  blocks (b)
//!                b times:
//!            32    SHA-256 of the block
//!             4    bytes of the block
//!             8  xxh3-64 of all before, seeded with the two halves of the key's hash xor-ed
//! ```
//!
//! Of a block that was moved without the entries that share it, under the 32 bytes of its SHA-256: where it lies, 8 bytes.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::blocks::State;
use super::content::Hash;
use super::frame::At;
use super::record::Corrupt;
use super::slots::Slot;
use crate::standing::Standing;

const VERSION: u8 = 2;
const EXPIRED: u8 = 1;
const PINNED: u8 = 2;
const FIXED: usize = 48;
const BLOCK: usize = 36;
const CHECKSUM: usize = 8;

/// A line, decoded: a slot that refers to no blocks yet, and the blocks.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    pub(crate) slot: Slot,
    /// Where the only block lies in a segment.
    pub(crate) packed: At,
    blocks: &'a [u8],
}

impl Line<'_> {
    pub(crate) fn blocks(&self) -> impl ExactSizeIterator<Item = (Hash, u32)> + '_ {
        self.blocks.chunks_exact(BLOCK).map(|block| {
            let mut name = [0; 32];
            name.copy_from_slice(&block[..32]);
            (name, u32_at(block, 32))
        })
    }
}

/// The line of an entry with these blocks.
pub(crate) fn encode(slot: &Slot, blocks: &[State]) -> Vec<u8> {
    let packed = match blocks {
        [one] => one.packed,
        _ => At::NOWHERE,
    };
    let mut out = Vec::with_capacity(FIXED + blocks.len() * BLOCK + CHECKSUM);
    let flag = |on: bool, bit: u8| if on { bit } else { 0 };
    let [low, high] = slot.standing().share.to_le_bytes();
    out.extend_from_slice(&[
        VERSION,
        flag(slot.expired, EXPIRED) | flag(slot.standing().pinned, PINNED),
        low,
        high,
    ]);
    out.extend_from_slice(&slot.record.to_le_bytes());
    out.extend_from_slice(&place(slot.at));
    out.extend_from_slice(&slot.born.to_le_bytes());
    out.extend_from_slice(&slot.length.to_le_bytes());
    out.extend_from_slice(&slot.url.to_le_bytes());
    out.extend_from_slice(&place(packed));
    out.extend_from_slice(&u32::try_from(blocks.len()).expect("bodies are limited").to_le_bytes());
    for block in blocks {
        out.extend_from_slice(&block.name);
        out.extend_from_slice(&block.len.to_le_bytes());
    }
    let sum = checksum(slot.hash(), &out);
    out.extend_from_slice(&sum.to_le_bytes());
    out
}

/// Reads a line; whatever is not exactly one is [`Corrupt`].
pub(crate) fn decode(hash: u128, bytes: &[u8]) -> Result<Line<'_>, Corrupt> {
    let split = bytes.len().checked_sub(CHECKSUM).filter(|split| *split >= FIXED).ok_or(Corrupt("short"))?;
    let (rest, sum) = bytes.split_at(split);
    if sum != checksum(hash, rest).to_le_bytes() {
        return Err(Corrupt("checksum"));
    }
    if rest[0] != VERSION {
        return Err(Corrupt("version"));
    }
    let blocks = &rest[FIXED..];
    if blocks.len() != u32_at(rest, 44) as usize * BLOCK {
        return Err(Corrupt("blocks"));
    }
    let standing = Standing { share: u16::from_le_bytes([rest[2], rest[3]]), pinned: rest[1] & PINNED != 0 };
    let mut slot = Slot::new(hash, u64_at(rest, 16), u64_at(rest, 24), u32_at(rest, 32), standing, true);
    (slot.expired, slot.record, slot.at) = (rest[1] & EXPIRED != 0, u32_at(rest, 4), at(rest, 8));
    Ok(Line { slot, packed: at(rest, 36), blocks })
}

/// A place, as it is written.
pub(crate) fn place(at: At) -> [u8; 8] {
    (u64::from(at.segment) | u64::from(at.offset) << 32).to_le_bytes()
}

/// Reads what [`place`] wrote.
pub(crate) fn read_place(bytes: &[u8]) -> Option<At> {
    (bytes.len() == 8).then(|| at(bytes, 0))
}

fn at(bytes: &[u8], from: usize) -> At {
    At { segment: u32_at(bytes, from), offset: u32_at(bytes, from + 4) }
}

fn u32_at(bytes: &[u8], from: usize) -> u32 {
    bytes[from..from + 4].iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte))
}

fn u64_at(bytes: &[u8], from: usize) -> u64 {
    u64::from(u32_at(bytes, from)) | u64::from(u32_at(bytes, from + 4)) << 32
}

fn checksum(hash: u128, bytes: &[u8]) -> u64 {
    xxh3_64_with_seed(bytes, (hash ^ (hash >> 64)) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::blocks::Blocks;
    use crate::disk::space::Space;

    fn sample(count: u8) -> (Slot, Vec<State>) {
        let at = |segment| At { segment, offset: 4096 };
        let standing = Standing { share: 0x1234, pinned: true };
        let mut slot = Slot::new(5 << 90 | 3, 42, 1 << 40, 99, standing, false);
        (slot.at, slot.record, slot.expired) = (at(7), 500, true);
        let blocks = Blocks::new(Space::new(u64::MAX / 2, 0));
        let names: Vec<_> = (0..count).map(|n| ([n; 32], 10 + u32::from(n))).collect();
        let body = blocks.restore(names.into_iter(), (count == 1).then(|| at(6)), |_, _| {});
        (slot, blocks.of(body))
    }

    #[test]
    fn what_is_written_is_read() {
        for count in [0, 1, 5] {
            let (slot, blocks) = sample(count);
            let bytes = encode(&slot, &blocks);
            let line = decode(slot.hash(), &bytes).unwrap();
            assert_eq!((line.slot.at, line.slot.record, line.slot.expired), (slot.at, 500, true));
            assert_eq!(line.slot.standing(), slot.standing());
            assert_eq!((line.slot.born, line.slot.length, line.slot.url), (42, 1 << 40, 99));
            assert_eq!(line.packed.segment, if count == 1 { 6 } else { 0 });
            let names: Vec<_> = blocks.iter().map(|block| (block.name, block.len)).collect();
            assert_eq!(line.blocks().collect::<Vec<_>>(), names);
        }
        let at = At { segment: 1, offset: u32::MAX };
        assert_eq!(read_place(&place(at)), Some(at));
        assert_eq!(read_place(b"short"), None);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let (slot, blocks) = sample(2);
        let bytes = encode(&slot, &blocks);
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(slot.hash(), &bad).is_err(), "bit {bit}");
        }
        for cut in 0..bytes.len() {
            assert!(decode(slot.hash(), &bytes[..cut]).is_err(), "cut at {cut}");
        }
        assert_eq!(decode(slot.hash() ^ 1, &bytes).unwrap_err(), Corrupt("checksum"), "under another key");
    }
}

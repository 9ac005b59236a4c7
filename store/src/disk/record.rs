//! An entry without its body, in a frame of a segment. Little endian:
//!
//! ```text
//!  offset  size  field
//!       0     3  "LRD"
//!       3     1  version, 1
//!       4     1  flags: bit 0 = expired by a soft purge when it was written; later ones change the frame's mark;
//!                   bit 1 = pinned
//!       5     1  zero
//!       6     2  share of the disk it counts to, 0 = the common one
//!       8     8  born: position of the purges before the fetch
//!      16     8  bytes of the body
//!      24     4  bytes of the URL (u)
//!      28     4  bytes of the variant (v)
//!      32     4  bytes of the head (h)
//!      36     4  tags (t)
//!      40     4  blocks (b)
//!      44     u  URL
//!             v  variant
//!             h  head, as the caller encoded it
//!           8 t  tags: xxh3-64 of each
//!                b times, all but the last of 1 MiB:
//!            32    SHA-256 of the block, the name of its content
//!             4    bytes of the block (n)
//!     8 n/128Ki    xxh3-64 of each piece of 128 KiB
//!             8  xxh3-64 of all before, seeded with the key's hash
//! ```
//!
//! The seed makes a record that turns up under another key a damaged one.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::content::BlockInfo;
use crate::key::Key;
use crate::limits::{BLOCK_BYTES, PIECE_BYTES, RECORD_TEXT_BYTES_MAX, TAGS_MAX};
use crate::standing::Standing;

const MAGIC: [u8; 3] = *b"LRD";
const VERSION: u8 = 1;
const EXPIRED: u8 = 1;
const PINNED: u8 = 2;
const FIXED: usize = 44;
const CHECKSUM: usize = 8;

/// A record that was not written by us, or not for this key, or changed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("damaged record: {0}")]
pub(crate) struct Corrupt(pub(crate) &'static str);

/// An entry without its body.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    pub(crate) url: &'a str,
    pub(crate) variant: &'a str,
    pub(crate) head: &'a [u8],
    pub(crate) tags: Vec<u64>,
    pub(crate) born: u64,
    pub(crate) expired: bool,
    pub(crate) length: u64,
    pub(crate) standing: Standing,
    pub(crate) blocks: Vec<Arc<BlockInfo>>,
}

impl Record<'_> {
    pub(crate) fn encode(&self, hash: u128) -> Vec<u8> {
        assert!(self.tags.len() <= TAGS_MAX, "the store keeps no entry with more");
        assert!(
            self.blocks.iter().map(|block| u64::from(block.len)).sum::<u64>() == self.length,
            "blocks are the body"
        );
        let mut out = Vec::with_capacity(256 + self.head.len() + self.blocks.len() * 64);
        out.extend_from_slice(&MAGIC);
        out.push(VERSION);
        let flag = |on: bool, bit: u8| if on { bit } else { 0 };
        let [low, high] = self.standing.share.to_le_bytes();
        let flags = flag(self.expired, EXPIRED) | flag(self.standing.pinned, PINNED);
        out.extend_from_slice(&[flags, 0, low, high]);
        out.extend_from_slice(&self.born.to_le_bytes());
        out.extend_from_slice(&self.length.to_le_bytes());
        for size in [self.url.len(), self.variant.len(), self.head.len(), self.tags.len(), self.blocks.len()]
        {
            out.extend_from_slice(&u32::try_from(size).expect("texts are limited").to_le_bytes());
        }
        out.extend_from_slice(self.url.as_bytes());
        out.extend_from_slice(self.variant.as_bytes());
        out.extend_from_slice(self.head);
        self.tags.iter().for_each(|tag| out.extend_from_slice(&tag.to_le_bytes()));
        for block in &self.blocks {
            out.extend_from_slice(&block.hash);
            out.extend_from_slice(&block.len.to_le_bytes());
            block.sums.iter().for_each(|sum| out.extend_from_slice(&sum.to_le_bytes()));
        }
        seal(hash, out)
    }

    /// Reads a record; whatever is not exactly one is [`Corrupt`].
    pub(crate) fn decode(hash: u128, bytes: &[u8]) -> Result<Record<'_>, Corrupt> {
        let mut input = Input(checked(hash, bytes)?);
        if input.array::<3>()? != MAGIC {
            return Err(Corrupt("magic"));
        }
        let [version] = input.array()?;
        if version != VERSION {
            return Err(Corrupt("version"));
        }
        let [flags, _, low, high] = input.array()?;
        let standing = Standing { share: u16::from_le_bytes([low, high]), pinned: flags & PINNED != 0 };
        let born = input.u64()?;
        let length = input.u64()?;
        let [url, variant, head, tags, blocks] =
            [input.u32()?, input.u32()?, input.u32()?, input.u32()?, input.u32()?].map(|size| size as usize);
        if tags > TAGS_MAX || [url, variant, head].iter().sum::<usize>() > RECORD_TEXT_BYTES_MAX {
            return Err(Corrupt("sizes"));
        }
        let url = input.text(url)?;
        let variant = input.text(variant)?;
        if Key::new(url, variant).hash() != hash {
            return Err(Corrupt("key"));
        }
        let head = input.take(head)?;
        let tags = (0..tags).map(|_| input.u64()).collect::<Result<_, _>>()?;
        let blocks = input.blocks(blocks, length)?;
        if !input.0.is_empty() {
            return Err(Corrupt("trailing bytes"));
        }
        let expired = flags & EXPIRED != 0;
        Ok(Record { url, variant, head, tags, born, expired, length, standing, blocks })
    }
}

fn checked(hash: u128, bytes: &[u8]) -> Result<&[u8], Corrupt> {
    let split = bytes.len().checked_sub(CHECKSUM).filter(|split| *split >= FIXED).ok_or(Corrupt("short"))?;
    let (rest, sum) = bytes.split_at(split);
    if sum != checksum(hash, rest).to_le_bytes() {
        return Err(Corrupt("checksum"));
    }
    Ok(rest)
}

fn seal(hash: u128, mut out: Vec<u8>) -> Vec<u8> {
    let sum = checksum(hash, &out);
    out.extend_from_slice(&sum.to_le_bytes());
    out
}

fn checksum(hash: u128, bytes: &[u8]) -> u64 {
    xxh3_64_with_seed(bytes, (hash ^ (hash >> 64)) as u64)
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, size: usize) -> Result<&'a [u8], Corrupt> {
        let (taken, rest) = self.0.split_at_checked(size).ok_or(Corrupt("short"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Corrupt> {
        self.take(N)?.try_into().map_err(|_| Corrupt("short"))
    }

    fn u32(&mut self) -> Result<u32, Corrupt> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, Corrupt> {
        self.array().map(u64::from_le_bytes)
    }

    fn text(&mut self, size: usize) -> Result<&'a str, Corrupt> {
        std::str::from_utf8(self.take(size)?).map_err(|_| Corrupt("text"))
    }

    fn blocks(&mut self, count: usize, length: u64) -> Result<Vec<Arc<BlockInfo>>, Corrupt> {
        if count as u64 != length.div_ceil(BLOCK_BYTES as u64) {
            return Err(Corrupt("blocks"));
        }
        let mut blocks = Vec::with_capacity(count.min(self.0.len() / 44));
        let mut rest = length;
        for _ in 0..count {
            let hash = self.array()?;
            let len = self.u32()?;
            if u64::from(len) != rest.min(BLOCK_BYTES as u64) {
                return Err(Corrupt("block length"));
            }
            rest -= u64::from(len);
            let pieces = (len as usize).div_ceil(PIECE_BYTES);
            let sums = (0..pieces).map(|_| self.u64()).collect::<Result<_, _>>()?;
            blocks.push(Arc::new(BlockInfo { hash, len, sums }));
        }
        Ok(blocks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::content::describe;

    fn sample() -> (u128, Vec<u8>) {
        let body = vec![7; BLOCK_BYTES + PIECE_BYTES + 1];
        let blocks =
            body.chunks(BLOCK_BYTES).map(|block| Arc::new(describe(&[block.to_vec().into()]))).collect();
        let record = Record {
            url: "http://a:80/ä",
            variant: "v",
            head: b"head",
            tags: vec![1, u64::MAX],
            born: 42,
            expired: false,
            length: body.len() as u64,
            standing: Standing { share: 0x1234, pinned: true },
            blocks,
        };
        let hash = Key::new(record.url, record.variant).hash();
        (hash, record.encode(hash))
    }

    #[test]
    fn what_is_written_is_read() {
        let (hash, bytes) = sample();
        let record = Record::decode(hash, &bytes).unwrap();
        assert_eq!((record.url, record.variant, record.head), ("http://a:80/ä", "v", &b"head"[..]));
        assert_eq!((record.born, record.expired, &record.tags[..]), (42, false, &[1, u64::MAX][..]));
        assert_eq!(record.standing, Standing { share: 0x1234, pinned: true });
        assert_eq!(record.blocks.len(), 2);
        assert_eq!(record.blocks[1].sums.len(), 2);
        assert_eq!(record.encode(hash), bytes);
        let expired = Record { expired: true, ..record }.encode(hash);
        assert!(Record::decode(hash, &expired).unwrap().expired);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let (hash, bytes) = sample();
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Record::decode(hash, &bad).is_err(), "bit {bit}");
        }
        for cut in 0..bytes.len() {
            assert!(Record::decode(hash, &bytes[..cut]).is_err(), "cut at {cut}");
        }
        assert_eq!(Record::decode(hash ^ 1, &bytes).unwrap_err(), Corrupt("checksum"), "under another key");
    }

    #[test]
    fn sealed_nonsense_is_corrupt_not_a_panic() {
        let (hash, bytes) = sample();
        for at in 0..bytes.len() - CHECKSUM {
            for value in [0, 1, 0x7f, 0xff] {
                let mut bad = bytes[..bytes.len() - CHECKSUM].to_vec();
                bad[at] = value;
                let _ = Record::decode(hash, &seal(hash, bad));
            }
        }
    }
}

//! The blocks of a large answer: where they lie, and how one is found and begun.
//!
//! They lie beside their answer, under the same URL and with its tags, so that every purge that reaches the answer
//! reaches them. Each names the body it is a part of: a block of another version is no block.

use std::ops::Range;
use std::sync::Arc;

use larder_store::{Key, KeyRef, Peek, Seq, Writer};

use super::stored::{Answer, Stored};
use super::{Cache, Entry};

/// That the bytes of an answer lie in blocks beside it, as many of them as were asked for so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InBlocks {
    /// Bytes of the whole.
    pub complete: u64,
    /// Bytes of a block; the last one may be shorter.
    pub size: u64,
}

/// The head of a block: of which body, and where in it the block's bytes begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// [`Answer::version`] of the answer it is a part of.
    pub version: u64,
    /// Place of its first byte in the whole body.
    pub from: u64,
}

/// One block of an answer.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The primary key.
    pub url: &'a str,
    /// The secondary key of the answer.
    pub variant: &'a str,
    /// [`Answer::version`].
    pub version: u64,
    /// Its number, from 0.
    pub number: u64,
}

/// Bytes of a block, all of them or those that came.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its bytes.
    pub entry: Arc<Entry>,
    /// Which bytes of the whole they are.
    pub range: Range<u64>,
}

impl Found {
    /// Whether all of `range` is here.
    #[must_use]
    pub fn covers(&self, range: &Range<u64>) -> bool {
        self.range.start <= range.start && range.end <= self.range.end
    }
}

impl InBlocks {
    /// Which bytes the block `number` has when it is whole.
    #[must_use]
    pub fn range(&self, number: u64) -> Range<u64> {
        let at = |number: u64| number.saturating_mul(self.size).min(self.complete);
        at(number)..at(number.saturating_add(1))
    }

    /// The blocks that hold `range`.
    #[must_use]
    pub fn numbers(&self, range: &Range<u64>) -> Range<u64> {
        range.start / self.size..range.end.div_ceil(self.size)
    }
}

impl Place<'_> {
    fn variant(&self) -> String {
        format!("{}\n#{}", self.variant, self.number)
    }

    /// Under which flights others may join the fetch of this block.
    #[must_use]
    pub fn flight(&self) -> u128 {
        KeyRef::new(self.url, &self.variant()).hash() ^ u128::from(self.version)
    }
}

impl Cache {
    /// What is stored of a block.
    pub async fn block(&self, place: &Place<'_>) -> Option<Found> {
        let hit = self.get(KeyRef::new(place.url, &place.variant())).await?;
        found(hit.entry, place)
    }

    /// Whether a block is stored, as far as can be told without asking the disk: then it most probably is.
    #[must_use]
    pub fn may_hold_block(&self, place: &Place<'_>, wanted: &Range<u64>) -> bool {
        match self.store().peek(KeyRef::new(place.url, &place.variant())) {
            Peek::Memory(hit) => found(hit.entry, place).is_some_and(|found| found.covers(wanted)),
            Peek::Disk => true,
            Peek::Absent => false,
        }
    }

    /// Starts to store the bytes `range` of `answer` as (a part of) the block at `place`.
    #[must_use]
    pub fn begin_block(
        &self,
        place: &Place<'_>,
        answer: &Answer,
        range: &Range<u64>,
        born: Seq,
    ) -> Writer<Stored> {
        let head = Stored::Block(Block { version: place.version, from: range.start });
        // An answer with too many tags was not stored, so it has no blocks.
        let tags = crate::policy::tags::of_url(place.url, &answer.headers).unwrap_or_default();
        let key = Key::new(place.url, &place.variant());
        self.store().writer(key, head, tags, born, Some(range.end.saturating_sub(range.start)))
    }
}

impl Cache {
    /// Forgets a block.
    pub fn forget_block(&self, place: &Place<'_>) {
        self.store().remove(KeyRef::new(place.url, &place.variant()));
    }
}

fn found(entry: Arc<Entry>, place: &Place<'_>) -> Option<Found> {
    let Stored::Block(Block { version, from }) = *entry.head() else { return None };
    let range = from..from.saturating_add(entry.len());
    (version == place.version).then_some(Found { entry, range })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_cover_the_whole_and_no_more() {
        let blocks = InBlocks { complete: 10, size: 4 };
        let ranges: Vec<_> = blocks.numbers(&(0..10)).map(|number| blocks.range(number)).collect();
        assert_eq!(ranges, [0..4, 4..8, 8..10]);
        for (range, numbers) in
            [(0..1, 0..1), (3..4, 0..1), (3..5, 0..2), (4..8, 1..2), (9..10, 2..3), (0..10, 0..3)]
        {
            assert_eq!(blocks.numbers(&range), numbers, "{range:?}");
        }
        assert_eq!(blocks.range(3), 10..10);
        assert_eq!(InBlocks { complete: u64::MAX, size: 4 }.range(u64::MAX), u64::MAX..u64::MAX);
    }
}

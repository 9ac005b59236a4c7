//! One block of a growing body: chunks as they came, small ones copied together.

use std::sync::Arc;

use bytes::Bytes;

use super::Step;
use crate::disk::BlockInfo;
use crate::limits::{BLOCK_BYTES, CHUNK_BYTES_MIN, SLICE_BYTES, TAIL_BYTES};

#[derive(Debug, Default)]
pub(super) struct Block {
    pub(super) stage: Stage,
    /// Each with the offset of its end in the block; the first ones may be trimmed away.
    chunks: Vec<(u32, Bytes)>,
    /// Small chunks that are being copied together; follows the last of `chunks`.
    tail: Vec<u8>,
    len: u32,
    /// Bytes before this offset are gone.
    gone: u32,
    saved: Option<Arc<BlockInfo>>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// May grow.
    #[default]
    Open,
    /// Complete, on its way to the disk.
    Sealed,
}

impl Block {
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    pub(super) fn room(&self) -> usize {
        match self.stage {
            Stage::Open => BLOCK_BYTES - self.len as usize,
            Stage::Sealed => 0,
        }
    }

    pub(super) fn push(&mut self, chunk: Bytes) {
        if chunk.len() < CHUNK_BYTES_MIN {
            if self.tail.len() + chunk.len() > TAIL_BYTES {
                self.freeze();
            }
            self.tail.extend_from_slice(&chunk);
            self.len += chunk.len() as u32;
            return;
        }
        self.freeze();
        self.len += chunk.len() as u32;
        self.chunks.push((self.len, chunk));
    }

    fn freeze(&mut self) {
        if !self.tail.is_empty() {
            self.chunks.push((self.len, std::mem::take(&mut self.tail).into()));
        }
    }

    pub(super) fn seal(&mut self) -> Vec<Bytes> {
        self.freeze();
        self.stage = Stage::Sealed;
        self.chunks.iter().map(|(_, chunk)| chunk.clone()).collect()
    }

    /// All bytes, in order.
    pub(super) fn chunks(&self) -> Vec<Bytes> {
        let tail = (!self.tail.is_empty()).then(|| Bytes::copy_from_slice(&self.tail));
        self.chunks.iter().map(|(_, chunk)| chunk.clone()).chain(tail).collect()
    }

    pub(super) fn saved(&self) -> Option<Arc<BlockInfo>> {
        self.saved.clone()
    }

    /// It is on disk: drops the bytes and says how many.
    pub(super) fn save(&mut self, info: Arc<BlockInfo>) -> u64 {
        self.saved = Some(info);
        self.chunks.drain(..).map(|(_, chunk)| chunk.len() as u64).sum()
    }

    /// Drops chunks that end at or before `offset`: the bytes dropped, and the offset below which they are gone.
    pub(super) fn trim(&mut self, offset: u32) -> (u64, u32) {
        if offset >= self.len && !self.tail.is_empty() {
            self.freeze();
        }
        let count = self.chunks.iter().take_while(|(end, _)| *end <= offset).count();
        let mut bytes = 0;
        for (end, chunk) in self.chunks.drain(..count) {
            bytes += chunk.len() as u64;
            self.gone = end;
        }
        (bytes, self.gone)
    }

    /// Whether nothing of it is left and nothing will come.
    pub(super) fn gone(&self) -> bool {
        self.saved.is_none() && self.gone as usize == BLOCK_BYTES
    }

    /// What there is at `offset`, which must have been written.
    pub(super) fn at(&self, offset: u32) -> Option<Step> {
        if let Some(info) = &self.saved {
            return Some(Step::Saved(Arc::clone(info), offset));
        }
        if offset < self.gone || offset >= self.len {
            return None;
        }
        let at = self.chunks.partition_point(|(end, _)| *end <= offset);
        let (end, bytes) = match self.chunks.get(at) {
            Some((end, chunk)) => (*end, chunk.clone()),
            None => (self.len, Bytes::copy_from_slice(&self.tail)),
        };
        let skip = bytes.len() - (end - offset) as usize;
        let take = (bytes.len() - skip).min(SLICE_BYTES);
        Some(Step::Bytes(bytes.slice(skip..skip + take)))
    }
}

//! A body that is read from disk piece by piece. While it lives its blocks stay.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Disk;
use super::content::{BlockInfo, PieceError};
use crate::limits::BLOCK_BYTES;

#[derive(Debug)]
pub(crate) struct DiskBody {
    disk: Arc<Disk>,
    blocks: Vec<Arc<BlockInfo>>,
    len: u64,
    /// The entry it belongs to, to be forgotten if it cannot be read.
    hash: u128,
    broken: AtomicBool,
}

impl DiskBody {
    /// A body of blocks that were referred to for it.
    pub(super) fn new(disk: &Arc<Disk>, hash: u128, blocks: Vec<Arc<BlockInfo>>) -> Self {
        let len = blocks.iter().map(|block| u64::from(block.len)).sum();
        Self { disk: Arc::clone(disk), blocks, len, hash, broken: AtomicBool::new(false) }
    }

    pub(crate) const fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn blocks(&self) -> &[Arc<BlockInfo>] {
        &self.blocks
    }

    /// Bytes in memory.
    pub(crate) fn weight(&self) -> usize {
        size_of::<Self>() + self.blocks.len() * 160
    }

    pub(crate) fn broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    pub(crate) const fn disk(&self) -> &Arc<Disk> {
        &self.disk
    }

    /// The block at this position, which is inside the body, and the offset in it.
    pub(crate) fn at(&self, position: u64) -> (&Arc<BlockInfo>, u32) {
        let number = (position / BLOCK_BYTES as u64) as usize;
        (&self.blocks[number], (position % BLOCK_BYTES as u64) as u32)
    }

    /// A block could not be read: nobody shall be given this body again.
    pub(crate) fn report(&self, block: &BlockInfo, error: PieceError) {
        self.disk.report(block, error);
        if error != PieceError::Busy && !self.broken.swap(true, Ordering::Relaxed) {
            self.disk.forget(self.hash, None);
        }
    }
}

impl Drop for DiskBody {
    fn drop(&mut self) {
        self.disk.release_later(std::mem::take(&mut self.blocks));
    }
}

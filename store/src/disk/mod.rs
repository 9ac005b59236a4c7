//! The disk tier.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::error::NotKept;
use crate::fill::Fill;

#[derive(Debug)]
pub(crate) struct BlockInfo {
    pub(crate) hash: [u8; 32],
    pub(crate) len: u32,
}

#[derive(Debug)]
pub(crate) struct OpenBlock(Arc<BlockInfo>);

impl OpenBlock {
    pub(crate) fn is(&self, block: &Arc<BlockInfo>) -> bool {
        Arc::ptr_eq(&self.0, block)
    }
}

#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) bytes: Bytes,
    pub(crate) open: OpenBlock,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum PieceError {
    Busy,
    Damaged,
}

#[derive(Debug)]
pub(crate) struct DiskBody {
    disk: Arc<Disk>,
    blocks: Vec<Arc<BlockInfo>>,
}

impl DiskBody {
    pub(crate) fn len(&self) -> u64 {
        self.blocks.iter().map(|b| u64::from(b.len)).sum()
    }
    pub(crate) fn blocks(&self) -> &[Arc<BlockInfo>] {
        &self.blocks
    }
    pub(crate) fn weight(&self) -> usize {
        self.blocks.len() * 72
    }
    pub(crate) fn broken(&self) -> bool {
        false
    }
    pub(crate) fn disk(&self) -> &Arc<Disk> {
        &self.disk
    }
    pub(crate) fn at(&self, position: u64) -> (&Arc<BlockInfo>, u32) {
        let (number, offset) = crate::reader::block_at(position);
        (&self.blocks[number], offset)
    }
    pub(crate) fn report(&self, _block: &Arc<BlockInfo>, _error: PieceError) {}
}

#[derive(Debug)]
pub(crate) struct Disk;

impl Disk {
    pub(crate) fn healthy(&self) -> bool {
        true
    }
    pub(crate) fn save_block(
        &self,
        _fill: Arc<Fill>,
        _number: u64,
        _chunks: Vec<Bytes>,
    ) -> Result<(), NotKept> {
        Err(NotKept::Busy)
    }
    pub(crate) fn release_later(&self, _blocks: Vec<Arc<BlockInfo>>) {}
    pub(crate) fn read_piece(
        self: &Arc<Self>,
        _block: Arc<BlockInfo>,
        _piece: u32,
        _open: Option<OpenBlock>,
    ) -> oneshot::Receiver<Result<Piece, PieceError>> {
        oneshot::channel().1
    }
    pub(crate) fn report(&self, _block: &Arc<BlockInfo>, _error: PieceError) {}
}

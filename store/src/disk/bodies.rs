//! Blocks: referred to, opened, read and written, wherever they lie.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::blocks::{Blocks, Body, Found, State};
use super::content::{self, BlockInfo, OpenBlock, Piece, PieceError, describe};
use super::frame::At;
use super::packer;
use super::space::cost;
use super::{Disk, DiskBody};
use crate::error::NotKept;
use crate::fill::Fill;
use crate::stats::Counters;

impl Disk {
    /// Reads all blocks of a body. Blocks.
    pub(crate) fn read_all(&self, blocks: &[Arc<BlockInfo>], length: u64) -> Result<Bytes, PieceError> {
        let mut bytes = vec![0; length as usize];
        match self.content.read_all(blocks, &mut bytes, |block| self.open_block(block, false)) {
            Ok(()) => Ok(bytes.into()),
            Err(failed) => {
                self.report(&failed.block, failed.error);
                Err(failed.error)
            }
        }
    }

    /// References for an open body, if all its blocks are still there.
    pub(crate) fn lease(self: &Arc<Self>, hash: u128, blocks: &[Arc<BlockInfo>]) -> Option<DiskBody> {
        self.refer_all(blocks).then(|| DiskBody::new(self, hash, blocks.to_vec()))
    }

    /// References for a record, if all its blocks are still there.
    pub(crate) fn refer_all(&self, blocks: &[Arc<BlockInfo>]) -> bool {
        self.blocks.refer_all(blocks, |state| self.remove_late(state))
    }

    /// What references that are held come to in a slot.
    pub(crate) fn body_of(&self, blocks: &[Arc<BlockInfo>]) -> Body {
        self.blocks.body(blocks)
    }

    /// A reference to a small body that goes into a segment, and whether it lies somewhere already.
    pub(crate) fn refer_packed(&self, block: &BlockInfo) -> (Body, bool) {
        let (id, present) = self.blocks.refer_packed(block.hash, block.len);
        if present {
            self.counters.deduplicated(u64::from(block.len));
        }
        (Blocks::single(id), present)
    }

    /// Largest body that goes into a segment.
    pub(crate) fn pack_max(&self) -> u64 {
        packer::pack_max(self.packer.segment_bytes)
    }

    /// Opens a block, wherever it lies. Blocks. `kept`: the caller holds a reference.
    fn open_block(&self, block: &Arc<BlockInfo>, kept: bool) -> Result<OpenBlock, PieceError> {
        loop {
            let place = self.place(block);
            match place {
                (false, at) if at != At::NOWHERE => match self.segments.file(at.segment) {
                    Ok(file) => return Ok(OpenBlock::new(block, file, u64::from(at.offset))),
                    // Its segment was cleaned in between.
                    Err(_) if self.place(block) != place => {}
                    Err(error) => return Err(content::failed(&error)),
                },
                _ if kept => return self.content.open_kept(block),
                _ => return self.content.open(block),
            }
        }
    }

    fn place(&self, block: &BlockInfo) -> (bool, At) {
        self.blocks.change(&block.hash, |state| (state.file, state.packed)).unwrap_or((true, At::NOWHERE))
    }

    /// A piece of a block if it takes no waiting, with the file.
    pub(crate) fn piece_now(
        &self,
        block: &Arc<BlockInfo>,
        piece: u32,
        open: Option<OpenBlock>,
    ) -> (Option<OpenBlock>, Option<Result<Bytes, PieceError>>) {
        let open = open.or_else(|| match self.place(block) {
            (false, at) if at != At::NOWHERE => {
                let file = self.segments.opened(at.segment)?;
                Some(OpenBlock::new(block, file, u64::from(at.offset)))
            }
            _ => self.content.opened(block),
        });
        let read = open.as_ref().and_then(|open| self.content.read_now(open, piece));
        (open, read)
    }

    /// A piece of a block, on an I/O thread.
    pub(crate) fn read_piece(
        self: &Arc<Self>,
        block: Arc<BlockInfo>,
        piece: u32,
        open: Option<OpenBlock>,
    ) -> oneshot::Receiver<Result<Piece, PieceError>> {
        let (done, answer) = oneshot::channel();
        let disk = Arc::clone(self);
        self.pool.read_on(Box::new(move || {
            if done.is_closed() {
                return;
            }
            let open = open.map_or_else(|| disk.open_block(&block, true), Ok);
            let _ = done.send(open.and_then(|open| disk.content.read(open, piece)));
        }));
        answer
    }

    /// A block could not be read.
    pub(crate) fn report(&self, block: &BlockInfo, error: PieceError) {
        match error {
            PieceError::Busy => {}
            PieceError::Failed => Counters::add(&self.counters.disk_errors),
            PieceError::Missing | PieceError::Damaged => {
                if self.health.loud() {
                    tracing::warn!(?error, "a block is lost");
                }
                Counters::add(&self.counters.corrupt);
                if let Some((at, length)) = self.blocks.damaged(&block.hash) {
                    self.segments.dead(at, u64::from(length));
                }
            }
        }
    }

    /// Writes a block of a fill, on an I/O thread, which then tells the fill.
    pub(crate) fn save_block(
        self: &Arc<Self>,
        fill: Arc<Fill>,
        number: u64,
        chunks: Vec<Bytes>,
    ) -> Result<(), NotKept> {
        let disk = Arc::clone(self);
        let sent = self.pool.write(Box::new(move || {
            let save = || if fill.saving() { disk.store_block(&chunks) } else { Err(NotKept::Busy) };
            let result = catch_unwind(AssertUnwindSafe(save)).unwrap_or(Err(NotKept::Busy));
            drop(chunks);
            fill.saved(number, result);
        }));
        if sent { Ok(()) } else { Err(NotKept::Busy) }
    }

    /// Makes sure a block has a file, with a reference for the caller. Blocks.
    pub(crate) fn store_block(&self, chunks: &[Bytes]) -> Result<Arc<BlockInfo>, NotKept> {
        if self.rebuilding() {
            // Nobody knows yet how much of the budget is taken by files.
            return Err(NotKept::Busy);
        }
        let block = Arc::new(describe(chunks));
        let mut found = self.blocks.refer_file(&block, false);
        if found == Found::Unknown {
            self.make_room(cost(block.len))?;
            found = self.blocks.refer_file(&block, true);
        }
        // Somebody else may have removed or cut the file: a look is cheap, and damage inside is found by its readers.
        if found == Found::Present && self.content.holds(&block) {
            self.counters.deduplicated(u64::from(block.len));
            return Ok(block);
        }
        match self.content.write(&block.hash, chunks) {
            Ok(()) => {
                self.blocks.file_written(&block.hash);
                Counters::add_many(&self.counters.written_bytes, u64::from(block.len));
                self.health.success();
                Ok(block)
            }
            Err(error) => {
                self.write_failed("block", &error);
                self.release_later(vec![block]);
                Err(NotKept::Busy)
            }
        }
    }

    fn remove_late(&self, state: &State) {
        // Only another thread can have let go of it in between: the next sweep finds the file.
        self.orphans.fetch_or(state.charged, Ordering::Relaxed);
        if state.packed != At::NOWHERE {
            self.segments.dead(state.packed, u64::from(state.len));
        }
    }

    /// Gives references back, without waiting.
    pub(crate) fn release_later(&self, blocks: Vec<Arc<BlockInfo>>) {
        if !blocks.is_empty() {
            self.keeper.let_go(blocks);
        }
    }
}

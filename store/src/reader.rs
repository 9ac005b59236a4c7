//! Reading a body, whole or growing, in pieces that are each right when they are given out.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::disk::{BlockInfo, Disk, DiskBody, OpenBlock, Piece, PieceError};
use crate::error::ReadError;
use crate::fill::{Fill, Step};
use crate::limits::{PIECE_BYTES, SLICE_BYTES};

/// Gives out a body piece by piece, at most 256 KiB at once. Each piece was compared with its checksum before.
#[derive(Debug)]
pub struct Reader {
    source: Source,
    position: u64,
    to: u64,
    failed: bool,
}

#[derive(Debug)]
enum Source {
    Memory(Bytes),
    Disk(Arc<DiskBody>, Cursor),
    Fill(Seat, Cursor),
}

/// The file that is open, and the piece that is being read.
#[derive(Debug, Default)]
struct Cursor {
    open: Option<OpenBlock>,
    pending: Option<oneshot::Receiver<Result<Piece, PieceError>>>,
}

/// A place among the readers of a fill, given back when dropped.
#[derive(Debug)]
struct Seat {
    fill: Arc<Fill>,
    disk: Option<Arc<Disk>>,
    id: u64,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.fill.leave(self.id);
    }
}

impl Reader {
    pub(crate) fn memory(bytes: Bytes) -> Self {
        let to = bytes.len() as u64;
        Self { source: Source::Memory(bytes), position: 0, to, failed: false }
    }

    pub(crate) fn disk(body: Arc<DiskBody>, from: u64, to: u64) -> Self {
        Self { source: Source::Disk(body, Cursor::default()), position: from, to, failed: false }
    }

    pub(crate) fn fill(fill: &Arc<Fill>, from: u64) -> Option<Self> {
        let id = fill.sit(from)?;
        let seat = Seat { fill: Arc::clone(fill), disk: fill.disk().cloned(), id };
        Some(Self {
            source: Source::Fill(seat, Cursor::default()),
            position: from,
            to: u64::MAX,
            failed: false,
        })
    }

    /// The next piece; `None` at the end. After an error there is nothing more.
    pub async fn next(&mut self) -> Option<Result<Bytes, ReadError>> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The same for who polls.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ReadError>>> {
        if self.failed || self.position >= self.to {
            return Poll::Ready(None);
        }
        let position = self.position;
        let result = match &mut self.source {
            Source::Memory(bytes) => Ok(bytes.split_to(bytes.len().min(SLICE_BYTES))),
            Source::Disk(body, cursor) => {
                let (block, offset) = body.at(position);
                let result = ready!(cursor.poll(cx, body.disk(), block, offset));
                result.inspect_err(|error| body.report(block, *error)).map_err(|_| ReadError::Broken)
            }
            Source::Fill(seat, cursor) => match ready!(poll_fill(seat, cursor, position, cx)) {
                Some(result) => result,
                None => {
                    self.to = position;
                    return Poll::Ready(None);
                }
            },
        };
        match result {
            Ok(mut bytes) => {
                let wanted = usize::try_from(self.to - position).unwrap_or(usize::MAX);
                bytes.truncate(wanted);
                self.position += bytes.len() as u64;
                Poll::Ready(Some(Ok(bytes)))
            }
            Err(error) => {
                self.failed = true;
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    /// Bytes given out so far, from where the reader started.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }
}

fn poll_fill(
    seat: &mut Seat,
    cursor: &mut Cursor,
    position: u64,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Bytes, ReadError>>> {
    let (block, offset) = match ready!(seat.fill.poll_step(seat.id, position, cx)) {
        Ok(Step::Bytes(bytes)) => {
            cursor.pending = None;
            return Poll::Ready(Some(Ok(bytes)));
        }
        Ok(Step::End) => return Poll::Ready(None),
        Ok(Step::Saved(block, offset)) => (block, offset),
        Err(error) => return Poll::Ready(Some(Err(error))),
    };
    let Some(disk) = &seat.disk else { return Poll::Ready(Some(Err(ReadError::Broken))) };
    let result = ready!(cursor.poll(cx, disk, &block, offset));
    let result = result.inspect_err(|error| disk.report(&block, *error)).map_err(|_| ReadError::Broken);
    Poll::Ready(Some(result))
}

impl Cursor {
    /// The bytes of the block's piece at `offset`, from there on.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        disk: &Arc<Disk>,
        block: &Arc<BlockInfo>,
        offset: u32,
    ) -> Poll<Result<Bytes, PieceError>> {
        let number = offset / PIECE_BYTES as u32;
        let pending = match &mut self.pending {
            Some(pending) => pending,
            None => {
                let open = self.open.take().filter(|open| open.is(block));
                let (open, read) = disk.piece_now(block, number, open);
                if let Some(bytes) = read {
                    self.open = open;
                    return Poll::Ready(bytes.and_then(|bytes| from_offset(&bytes, offset)));
                }
                self.pending.insert(disk.read_piece(Arc::clone(block), number, open))
            }
        };
        let piece = ready!(Pin::new(pending).poll(cx));
        self.pending = None;
        let piece = piece.unwrap_or(Err(PieceError::Busy))?;
        self.open = Some(piece.open);
        Poll::Ready(from_offset(&piece.bytes, offset))
    }
}

/// The bytes of a piece from an offset in its block on.
fn from_offset(piece: &Bytes, offset: u32) -> Result<Bytes, PieceError> {
    let skip = offset as usize % PIECE_BYTES;
    if skip < piece.len() { Ok(piece.slice(skip..)) } else { Err(PieceError::Damaged) }
}

const _: fn() = || {
    fn holds<T: Send + Unpin + 'static>() {}
    holds::<Reader>();
};

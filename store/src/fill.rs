//! A body while it grows: one writer, any number of readers that follow it at their own pace.
//!
//! It is in one of three modes. *Keep*: everything is in memory, because it may become an entry of the memory tier.
//! *Save*: full blocks go to disk and leave memory when they are there; readers that lag read them from disk.
//! *Relay*: it will not be stored; bytes leave memory when every reader has them, and the slowest reader sets the pace.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::disk::{BlockInfo, Disk};
use crate::error::{NotKept, ReadError, WriteError};
use crate::limits::{BLOCK_BYTES, READER_WAIT_TICKS, RELAY_BYTES, RELAY_BYTES_SHORT, WINDOW_BYTES};

mod block;
mod flight;

use block::{Block, Stage};

pub(crate) use flight::Flight;

#[derive(Debug)]
pub(crate) struct Fill {
    state: Mutex<State>,
    flight: Arc<Flight>,
    disk: Option<Arc<Disk>>,
    keep_max: u64,
    object_max: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Keep,
    Save,
    Relay(NotKept),
}

#[derive(Debug, Clone)]
enum End {
    Open,
    Whole,
    Aborted(Arc<str>),
}

#[derive(Debug)]
struct State {
    mode: Mode,
    blocks: VecDeque<Block>,
    /// Number of the first block in `blocks`; those before were dropped by a relay.
    base: u64,
    written: u64,
    /// Bytes in memory.
    held: u64,
    /// Bytes of full blocks that are not on disk yet.
    unsaved: u64,
    /// Bytes before this are gone.
    start: u64,
    /// Position of the slowest reader when a relay last looked.
    slowest: u64,
    end: End,
    readers: HashMap<u64, Seat>,
    next_reader: u64,
    taps: usize,
    writer: Option<Waker>,
    ticks: u32,
    registered: bool,
}

#[derive(Debug)]
struct Seat {
    position: u64,
    waker: Option<Waker>,
}

/// What a reader finds at its position.
#[derive(Debug)]
pub(crate) enum Step {
    Bytes(Bytes),
    /// In this block on disk, at this offset.
    Saved(Arc<BlockInfo>, u32),
    End,
}

/// What a complete fill is made of.
#[derive(Debug)]
pub(crate) enum Whole {
    Memory(Bytes),
    Disk(Vec<Arc<BlockInfo>>),
}

impl Fill {
    pub(crate) fn new(
        flight: Arc<Flight>,
        disk: Option<Arc<Disk>>,
        keep_max: u64,
        object_max: u64,
        length: Option<u64>,
    ) -> Arc<Self> {
        let fill = Self {
            state: Mutex::new(State {
                mode: Mode::Keep,
                blocks: VecDeque::new(),
                base: 0,
                written: 0,
                held: 0,
                unsaved: 0,
                start: 0,
                slowest: 0,
                end: End::Open,
                readers: HashMap::new(),
                next_reader: 0,
                taps: 0,
                writer: None,
                ticks: 0,
                registered: false,
            }),
            flight,
            disk,
            keep_max,
            object_max,
        };
        let fill = Arc::new(fill);
        fill.choose(&mut fill.state.lock(), length.unwrap_or(0));
        fill
    }

    /// Appends a chunk; readers see it at once.
    pub(crate) fn push(self: &Arc<Self>, mut chunk: Bytes) -> Result<(), WriteError> {
        let mut state = self.state.lock();
        state.check_wanted()?;
        while !chunk.is_empty() {
            if state.blocks.back().is_none_or(|block| block.room() == 0) {
                state.blocks.push_back(Block::default());
            }
            let block = state.blocks.back_mut().expect("there is one");
            let part = chunk.split_to(chunk.len().min(block.room()));
            let length = part.len() as u64;
            block.push(part);
            state.written += length;
            self.hold(&mut state, length);
        }
        let written = state.written;
        self.choose(&mut state, written);
        self.seal(&mut state, false);
        state.wake_readers();
        Ok(())
    }

    /// Ready when the next chunk may be pushed.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<Result<(), WriteError>> {
        let mut state = self.state.lock();
        state.check_wanted()?;
        let room = match state.mode {
            Mode::Keep => true,
            Mode::Save if self.flight.short() => state.unsaved == 0,
            Mode::Save => state.unsaved <= WINDOW_BYTES,
            Mode::Relay(_) => {
                self.trim(&mut state);
                let max = if self.flight.short() { RELAY_BYTES_SHORT } else { RELAY_BYTES };
                state.held <= max
            }
        };
        if room {
            state.ticks = 0;
            return Poll::Ready(Ok(()));
        }
        state.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    /// The body is complete: its readers end well from here on.
    pub(crate) fn finish(self: &Arc<Self>) {
        let mut state = self.state.lock();
        state.end = End::Whole;
        self.seal(&mut state, true);
        state.wake_readers();
    }

    /// The body, when all of it is where it belongs. Call after [`Fill::finish`].
    pub(crate) fn poll_whole(&self, cx: &mut Context<'_>) -> Poll<Result<Whole, NotKept>> {
        let mut state = self.state.lock();
        match state.mode {
            Mode::Relay(why) => Poll::Ready(Err(why)),
            Mode::Keep => {
                let chunks: Vec<Bytes> = state.blocks.iter().flat_map(Block::chunks).collect();
                let written = state.written;
                drop(state);
                Poll::Ready(Ok(Whole::Memory(join(&chunks, written))))
            }
            Mode::Save if state.unsaved > 0 => {
                state.writer = Some(cx.waker().clone());
                Poll::Pending
            }
            Mode::Save => {
                let saved: Option<Vec<_>> = state.blocks.iter().map(Block::saved).collect();
                Poll::Ready(saved.map(Whole::Disk).ok_or(NotKept::Busy))
            }
        }
    }

    pub(crate) fn abort(&self, why: &str) {
        let mut state = self.state.lock();
        if matches!(state.end, End::Open) {
            state.end = End::Aborted(why.into());
            state.wake_readers();
        }
    }

    /// Called every [`crate::limits::TICK`]: a relay does not wait for its first reader for ever.
    /// False when nobody needs to call it again.
    pub(crate) fn tick(&self, stalled: bool) -> bool {
        let mut state = self.state.lock();
        if stalled && state.unsaved > 0 && state.mode == Mode::Save {
            self.relay(&mut state, NotKept::Busy);
        }
        if matches!(state.mode, Mode::Relay(_)) && state.readers.is_empty() && state.writer.is_some() {
            state.ticks += 1;
            if state.ticks >= READER_WAIT_TICKS {
                state.wake_writer();
            }
        }
        matches!(state.end, End::Open) || state.unsaved > 0
    }

    pub(crate) const fn disk(&self) -> Option<&Arc<Disk>> {
        self.disk.as_ref()
    }

    pub(crate) fn written(&self) -> u64 {
        self.state.lock().written
    }

    /// Whether a new reader could start at the first byte.
    pub(crate) fn readable(&self) -> bool {
        let state = self.state.lock();
        state.start == 0 && !matches!(state.end, End::Aborted(_))
    }

    /// Why it broke off, if it did.
    pub(crate) fn aborted(&self) -> Option<Arc<str>> {
        match &self.state.lock().end {
            End::Aborted(why) => Some(Arc::clone(why)),
            End::Open | End::Whole => None,
        }
    }

    pub(crate) fn add_tap(&self, more: bool) {
        let mut state = self.state.lock();
        if more {
            state.taps += 1;
        } else {
            state.taps -= 1;
            if state.taps == 0 {
                state.wake_writer();
            }
        }
    }

    /// A seat for a reader that starts at `from`; `None` when the bytes there are gone.
    pub(crate) fn sit(&self, from: u64) -> Option<u64> {
        let mut state = self.state.lock();
        if from < state.start || matches!(state.end, End::Aborted(_)) {
            return None;
        }
        let id = state.next_reader;
        state.next_reader += 1;
        state.readers.insert(id, Seat { position: from, waker: None });
        Some(id)
    }

    pub(crate) fn leave(&self, id: u64) {
        let mut state = self.state.lock();
        state.readers.remove(&id);
        state.wake_writer();
    }

    /// What is at `position`; the reader `id` has everything before it.
    pub(crate) fn poll_step(
        &self,
        id: u64,
        position: u64,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Step, ReadError>> {
        let mut state = self.state.lock();
        let before = state.readers.get_mut(&id).map(|seat| std::mem::replace(&mut seat.position, position));
        let pressed = state.writer.is_some() || !matches!(state.end, End::Open);
        let slowest = before.is_some_and(|before| before <= state.slowest && before < position);
        if pressed && slowest && matches!(state.mode, Mode::Relay(_)) {
            self.trim(&mut state);
            state.wake_writer();
        }
        if position < state.written {
            return Poll::Ready(state.at(position));
        }
        match &state.end {
            End::Whole => Poll::Ready(Ok(Step::End)),
            End::Aborted(why) => Poll::Ready(Err(ReadError::Aborted(Arc::clone(why)))),
            End::Open => {
                if let Some(seat) = state.readers.get_mut(&id) {
                    seat.waker = Some(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }

    /// Takes note of a block that was written, or could not be.
    pub(crate) fn saved(&self, number: u64, result: Result<Arc<BlockInfo>, NotKept>) {
        let mut state = self.state.lock();
        let base = state.base;
        match result {
            Ok(info) => {
                let length = u64::from(info.len);
                state.unsaved = state.unsaved.saturating_sub(length);
                // Its chunks are dropped, unless a relay has dropped the whole block meanwhile.
                match number.checked_sub(base).and_then(|at| state.blocks.get_mut(at as usize)) {
                    Some(block) => {
                        let freed = block.save(info);
                        self.let_go(&mut state, freed);
                    }
                    None => self.release(vec![info]),
                }
            }
            Err(why) => self.relay(&mut state, why),
        }
        state.wake_writer();
    }

    /// Whether a block that waits to be written is still needed.
    pub(crate) fn saving(&self) -> bool {
        let state = self.state.lock();
        state.mode == Mode::Save && !matches!(state.end, End::Aborted(_))
    }

    /// Moves on to the mode that `bytes` of body demand.
    fn choose(self: &Arc<Self>, state: &mut State, bytes: u64) {
        if matches!(state.mode, Mode::Relay(_)) {
            return;
        }
        let exhausted = self.flight.exhausted() && state.held > RELAY_BYTES_SHORT;
        let crowded = self.flight.short() && state.held > BLOCK_BYTES as u64;
        if bytes <= self.object_max
            && !exhausted
            && (state.mode != Mode::Keep || (bytes <= self.keep_max && !crowded))
        {
            return;
        }
        self.register(state);
        match &self.disk {
            _ if bytes > self.object_max => self.relay(state, NotKept::TooLarge),
            _ if exhausted => self.relay(state, NotKept::Busy),
            Some(disk) if disk.healthy() => state.mode = Mode::Save,
            Some(_) => self.relay(state, NotKept::Busy),
            None if bytes > self.keep_max => self.relay(state, NotKept::TooLarge),
            None => self.relay(state, NotKept::Busy),
        }
    }

    fn relay(&self, state: &mut State, why: NotKept) {
        if !matches!(state.mode, Mode::Relay(_)) {
            state.mode = Mode::Relay(why);
            state.unsaved = 0;
            state.wake_writer();
        }
    }

    /// Sends full blocks to the disk; with `last` also the one that will not grow any more.
    fn seal(self: &Arc<Self>, state: &mut State, last: bool) {
        let (Mode::Save, Some(disk)) = (state.mode, &self.disk) else { return };
        let base = state.base;
        let mut sent = Ok(());
        let mut bytes = 0;
        for (at, block) in state.blocks.iter_mut().enumerate() {
            if block.stage != Stage::Open || (block.room() > 0 && !last) {
                continue;
            }
            let chunks = block.seal();
            bytes += u64::from(block.len());
            sent = disk.save_block(Arc::clone(self), base + at as u64, chunks);
            if sent.is_err() {
                break;
            }
        }
        state.unsaved += bytes;
        if sent.is_err() {
            self.relay(state, NotKept::Busy);
        }
    }

    /// Drops what every reader has.
    fn trim(&self, state: &mut State) {
        let Some(slowest) = state.readers.values().map(|seat| seat.position).min() else { return };
        state.slowest = slowest;
        let mut freed = 0;
        let base = state.base;
        for (at, block) in state.blocks.iter_mut().enumerate() {
            let from = (base + at as u64) * BLOCK_BYTES as u64;
            if from >= slowest {
                break;
            }
            let (bytes, gone) = block.trim((slowest - from).min(BLOCK_BYTES as u64) as u32);
            freed += bytes;
            state.start = state.start.max(if gone > 0 { from + u64::from(gone) } else { 0 });
        }
        while state.blocks.len() > 1 && state.blocks.front().is_some_and(Block::gone) {
            state.blocks.pop_front();
            state.base += 1;
        }
        self.let_go(state, freed);
    }

    fn hold(&self, state: &mut State, bytes: u64) {
        state.held += bytes;
        self.flight.hold(bytes);
    }

    fn let_go(&self, state: &mut State, bytes: u64) {
        state.held -= bytes;
        self.flight.let_go(bytes);
    }

    fn register(self: &Arc<Self>, state: &mut State) {
        if !std::mem::replace(&mut state.registered, true) {
            self.flight.register(self);
        }
    }

    fn release(&self, blocks: Vec<Arc<BlockInfo>>) {
        if let Some(disk) = &self.disk {
            disk.release_later(blocks);
        }
    }
}

impl Drop for Fill {
    fn drop(&mut self) {
        let state = self.state.get_mut();
        self.flight.let_go(state.held);
        let saved: Vec<_> = state.blocks.iter().filter_map(Block::saved).collect();
        if !saved.is_empty() {
            self.release(saved);
        }
    }
}

impl State {
    fn wake_readers(&mut self) {
        self.readers.values_mut().filter_map(|seat| seat.waker.take()).for_each(Waker::wake);
    }

    fn wake_writer(&mut self) {
        if let Some(waker) = self.writer.take() {
            waker.wake();
        }
    }

    /// A relay that nobody reads, and nobody will: it is of no use.
    fn check_wanted(&self) -> Result<(), WriteError> {
        let unread = matches!(self.mode, Mode::Relay(_)) && self.readers.is_empty();
        let hopeless = self.next_reader > 0 || self.taps == 0 || self.ticks >= READER_WAIT_TICKS;
        if unread && hopeless { Err(WriteError::Unwanted) } else { Ok(()) }
    }

    fn at(&self, position: u64) -> Result<Step, ReadError> {
        let number = position / BLOCK_BYTES as u64;
        let offset = (position % BLOCK_BYTES as u64) as u32;
        let block = number.checked_sub(self.base).and_then(|at| self.blocks.get(at as usize));
        let gone = || ReadError::Aborted("its bytes are gone".into());
        block.and_then(|block| block.at(offset)).ok_or_else(gone)
    }
}

/// One exact copy: chunks may hold on to buffers many times their size.
fn join(chunks: &[Bytes], length: u64) -> Bytes {
    let mut whole = Vec::with_capacity(length as usize);
    chunks.iter().for_each(|chunk| whole.extend_from_slice(chunk));
    whole.into()
}

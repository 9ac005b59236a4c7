//! The one thread that writes the index and gives space back: marks the frames of entries that are gone, removes blocks
//! and segments when nobody refers to them any more.
//!
//! It is told which hashes have news and looks up what they should come to: so many changes of one entry cost one write,
//! and two changes of it can never be written in the wrong order.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::Disk;
use super::blocks::{Body, State};
use super::content::{BlockInfo, Hash};
use super::frame::{At, Mark, record_bytes};
use super::line;
use super::slots::Slot;
use crate::limits::{CLOSE_WAIT, FLUSH_EVERY, RECORDS_WAITING_MAX, ROOM_WAIT};

/// Time between two turns when somebody waits.
const SHORT_TURN: Duration = Duration::from_millis(5);

/// Hashes that are worth a turn of their own.
const NEWS_ENOUGH: usize = 4096;

/// What the thread knows from turn to turn.
#[derive(Debug)]
struct Book {
    flushed: Instant,
    dirty: bool,
    /// The position of purges that the index holds.
    noted: u64,
    /// What could not be done, to be tried again.
    again: Vec<u128>,
    names: Vec<Hash>,
    marks: Vec<(At, Mark)>,
    segments: HashSet<u32>,
    /// The index is being rewritten.
    rewriting: bool,
}

impl Book {
    fn new() -> Self {
        Self {
            flushed: Instant::now(),
            dirty: false,
            noted: 0,
            again: Vec::new(),
            names: Vec::new(),
            marks: Vec::new(),
            segments: HashSet::new(),
            rewriting: false,
        }
    }

    /// Whether everything told so far has been carried out.
    fn settled(&self) -> bool {
        self.again.is_empty() && self.names.is_empty() && self.marks.is_empty() && self.segments.is_empty()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Keeper {
    inbox: Mutex<Inbox>,
    news: Condvar,
    room: Condvar,
}

#[derive(Debug, Default)]
struct Inbox {
    hashes: VecDeque<u128>,
    /// Blocks that have, or need no more, a line of their own.
    names: Vec<Hash>,
    /// Entries that are gone.
    gone: Vec<Slot>,
    /// Frames whose marks are to change.
    marks: Vec<(At, Mark)>,
    /// Blocks that a reader or a fill has let go.
    blocks: Vec<Arc<BlockInfo>>,
    bodies: Vec<Body>,
    flushes: Vec<oneshot::Sender<io::Result<()>>>,
    /// Segments may be empty.
    sweep: bool,
    hurry: bool,
    closing: bool,
    ended: bool,
    watchers: Vec<oneshot::Sender<()>>,
}

impl Inbox {
    fn is_empty(&self) -> bool {
        self.hashes.is_empty()
            && self.gone.is_empty()
            && self.names.is_empty()
            && self.marks.is_empty()
            && self.blocks.is_empty()
            && self.bodies.is_empty()
            && self.flushes.is_empty()
            && !self.sweep
    }
}

impl Keeper {
    /// Waits until the index thread is not too far behind; false if it does not catch up.
    pub(crate) fn wait_for_room(&self) -> bool {
        let mut inbox = self.inbox.lock();
        let until = Instant::now() + ROOM_WAIT;
        while inbox.hashes.len() >= RECORDS_WAITING_MAX && !inbox.closing {
            self.news.notify_one();
            if self.room.wait_until(&mut inbox, until).timed_out() {
                return false;
            }
        }
        true
    }

    /// What the index holds of this hash has changed. It need not be written at once.
    pub(crate) fn news(&self, hash: u128) {
        let mut inbox = self.inbox.lock();
        inbox.hashes.push_back(hash);
        let many = inbox.hashes.len().is_multiple_of(NEWS_ENOUGH);
        drop(inbox);
        if many {
            self.news.notify_one();
        }
    }

    /// What the index holds of this block has changed.
    pub(crate) fn block_news(&self, name: Hash) {
        self.inbox.lock().names.push(name);
    }

    /// An entry has been taken out of its slot, or was never put in.
    pub(crate) fn bury(&self, slot: Slot) {
        let mut inbox = self.inbox.lock();
        inbox.hashes.push_back(slot.hash());
        inbox.gone.push(slot);
        drop(inbox);
        self.news.notify_one();
    }

    /// The mark of a frame is to change.
    pub(crate) fn mark(&self, at: At, mark: Mark, hash: u128) {
        let mut inbox = self.inbox.lock();
        inbox.marks.push((at, mark));
        inbox.hashes.push_back(hash);
    }

    pub(crate) fn let_go(&self, blocks: impl IntoIterator<Item = Arc<BlockInfo>>) {
        self.inbox.lock().blocks.extend(blocks);
        self.news.notify_one();
    }

    pub(crate) fn let_go_body(&self, body: Body) {
        self.inbox.lock().bodies.push(body);
        self.news.notify_one();
    }

    /// Segments may have become empty.
    pub(crate) fn sweep(&self) {
        self.inbox.lock().sweep = true;
        self.news.notify_one();
    }

    /// Wakes the thread: somebody waits for space.
    pub(crate) fn hurry(&self) {
        self.inbox.lock().hurry = true;
        self.news.notify_one();
    }

    /// Answers when everything told so far is in the index and the index is on disk.
    pub(crate) fn flush(&self) -> oneshot::Receiver<io::Result<()>> {
        let (done, answer) = oneshot::channel();
        let mut inbox = self.inbox.lock();
        if !inbox.ended {
            inbox.flushes.push(done);
        }
        drop(inbox);
        self.news.notify_one();
        answer
    }

    /// Ends the thread after what it was told so far.
    pub(crate) fn close(&self) {
        self.inbox.lock().closing = true;
        self.news.notify_one();
        self.room.notify_all();
    }

    /// Answers when the thread has ended.
    pub(crate) fn ended(&self) -> oneshot::Receiver<()> {
        let (done, answer) = oneshot::channel();
        let mut inbox = self.inbox.lock();
        if inbox.ended {
            let _ = done.send(());
        } else {
            inbox.watchers.push(done);
        }
        answer
    }

    /// Waits until the thread has ended, or for this long. For who may block.
    pub(crate) fn wait_ended(&self, at_most: Duration) {
        let until = Instant::now() + at_most;
        let mut inbox = self.inbox.lock();
        while !inbox.ended && !self.room.wait_until(&mut inbox, until).timed_out() {}
    }

    fn next(&self, at_most: Duration) -> (Inbox, bool) {
        let mut inbox = self.inbox.lock();
        if inbox.is_empty() && !inbox.hurry {
            self.news.wait_for(&mut inbox, at_most);
        }
        let fresh = Inbox {
            closing: inbox.closing,
            watchers: std::mem::take(&mut inbox.watchers),
            ..Inbox::default()
        };
        let taken = std::mem::replace(&mut *inbox, fresh);
        let closing = taken.closing;
        drop(inbox);
        self.room.notify_all();
        (taken, closing)
    }
}

impl Disk {
    /// The life of the index thread.
    pub(super) fn keep_index(self: &Arc<Self>) {
        let mut book = Book::new();
        let mut deadline = None;
        loop {
            // Before the inbox is emptied: what is told by jobs that have ended is in it then.
            let done = self.pool.ended() && self.packer.ended();
            let last = deadline.is_some_and(|deadline| done || Instant::now() > deadline);
            let wait = if deadline.is_some() || book.rewriting { SHORT_TURN } else { FLUSH_EVERY };
            // So is everything before this position.
            let upto = self.packer.upto();
            let (inbox, closing) = self.keeper.next(wait);
            if closing && deadline.is_none() {
                self.pool.close();
                deadline = Some(Instant::now() + CLOSE_WAIT);
            }
            if deadline.is_some() && self.pool.ended() {
                self.packer.close();
            }
            self.turn(&mut book, inbox, upto, last);
            if last {
                break;
            }
        }
        self.index.close();
        self.unlock();
        let mut inbox = self.keeper.inbox.lock();
        inbox.ended = true;
        inbox.flushes.clear();
        self.keeper.room.notify_all();
        for done in inbox.watchers.drain(..) {
            let _ = done.send(());
        }
    }

    fn turn(self: &Arc<Self>, book: &mut Book, inbox: Inbox, upto: At, last: bool) {
        book.dirty |= !inbox.hashes.is_empty() || !inbox.names.is_empty();
        // Marks come before the index forgets: nobody knows of a frame that is alive and not in it.
        self.release(book, &inbox);
        for hash in std::mem::take(&mut book.again).into_iter().chain(inbox.hashes) {
            if !self.settle(hash) {
                book.again.push(hash);
            }
        }
        for name in std::mem::take(&mut book.names).into_iter().chain(inbox.names) {
            if !self.settle_block(&name) {
                book.names.push(name);
            }
        }
        match self.index.tend(self.slots.len()) {
            Ok(rewriting) => book.rewriting = rewriting,
            Err(error) => self.count_error("index rewrite", &error),
        }
        let seq = self.seq();
        book.dirty |= seq > book.noted;
        let due = book.dirty && book.flushed.elapsed() >= FLUSH_EVERY;
        if !(due || last || !inbox.flushes.is_empty()) {
            return;
        }
        let result = if book.settled() {
            self.note_and_flush(seq, upto, last || !inbox.flushes.is_empty())
        } else {
            Err(io::Error::other("something could not be written"))
        };
        let result = result.inspect_err(|error| self.write_failed("flush", error));
        (book.flushed, book.dirty, book.noted) = (Instant::now(), result.is_err(), seq);
        let copy = |error: &io::Error| io::Error::new(error.kind(), error.to_string());
        for done in inbox.flushes {
            let _ = done.send(result.as_ref().copied().map_err(copy));
        }
    }

    /// `thorough`: what was marked is on disk as well.
    fn note_and_flush(&self, seq: u64, upto: At, thorough: bool) -> io::Result<()> {
        if thorough {
            self.segments.sync_marks()?;
        }
        // While the store is being opened the position is not known yet.
        if seq > 0 {
            self.index.note_seq(seq)?;
        }
        if upto != At::NOWHERE && !self.rebuilding() {
            self.index.note_upto(line::place(upto))?;
        }
        self.index.flush()
    }

    /// Brings the index to what its slot says; false: try again later.
    fn settle(&self, hash: u128) -> bool {
        let done = match self.slots.get(hash) {
            Some(slot) => {
                let blocks = self.blocks.of(slot.body);
                // If it changed in between there is more news of it.
                self.index.put(&hash.to_be_bytes(), &line::encode(&slot, &blocks))
            }
            None => self.index.remove(&hash.to_be_bytes()),
        };
        self.done_or_again(done)
    }

    fn settle_block(&self, name: &Hash) -> bool {
        let place = self.blocks.change(name, |state| state.line.then_some(state.packed)).flatten();
        let done = match place {
            Some(at) if at != At::NOWHERE => self.index.put(name, &line::place(at)),
            _ => self.index.remove(name),
        };
        self.done_or_again(done)
    }

    fn done_or_again(&self, done: io::Result<()>) -> bool {
        // A damaged index is replaced at the next start; until then nobody asks it.
        done.is_ok()
            || self.index.distrusted()
            || done.inspect_err(|error| self.write_failed("record", error)).is_ok()
    }

    /// Gives back what nobody refers to any more.
    fn release(&self, book: &mut Book, inbox: &Inbox) {
        let names = Mutex::new(Vec::new());
        let remove = |state: &State| self.remove_block(state, &names);
        inbox.blocks.iter().for_each(|block| self.blocks.drop_one(&block.hash, remove));
        inbox.bodies.iter().for_each(|body| self.blocks.drop_body(*body, remove));
        for slot in &inbox.gone {
            if slot.at != At::NOWHERE {
                self.segments.dead(slot.at, record_bytes(slot.record));
            }
            self.blocks.drop_body(slot.body, remove);
        }
        book.names.extend(names.into_inner());
        let released = !inbox.gone.is_empty() || !inbox.bodies.is_empty() || !inbox.blocks.is_empty();
        if !self.rebuilding() && (inbox.sweep || released) {
            book.segments.extend(self.segments.all_empty());
        }
        book.segments.retain(|number| match self.segments.remove(*number) {
            Ok(freed) => {
                self.blocks.space.free(freed);
                false
            }
            Err(error) => {
                self.count_error("remove", &error);
                true
            }
        });
        let gone = inbox.gone.iter().map(|slot| (slot.at, Mark::Dead)).filter(|(at, _)| *at != At::NOWHERE);
        book.marks.extend(inbox.marks.iter().copied().chain(gone));
        book.marks.retain(|(at, mark)| match self.segments.mark(*at, *mark) {
            Ok(()) => false,
            Err(error) => {
                self.write_failed("mark", &error);
                true
            }
        });
        if released {
            // What is being written may be empty as well.
            self.packer.nudge();
        }
    }

    /// Removes what lies on disk of a block that nobody refers to.
    fn remove_block(&self, state: &State, names: &Mutex<Vec<Hash>>) {
        if state.charged
            && let Err(error) = self.content.remove(&state.name)
        {
            self.orphans.store(true, Ordering::Relaxed);
            self.count_error("remove", &error);
        }
        if state.packed != At::NOWHERE {
            self.segments.dead(state.packed, u64::from(state.len));
        }
        if state.line {
            names.lock().push(state.name);
        }
    }
}

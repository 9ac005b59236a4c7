//! The one thread that writes the index, and removes blocks when nobody refers to them any more.
//!
//! It is told which hashes have news and looks up what they should come to: so many changes of one entry cost one write,
//! and two changes of it can never be written in the wrong order.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::Disk;
use super::content::BlockInfo;
use super::record::Record;
use super::slots::{Change, Wish, record_cost};
use crate::limits::{CLOSE_WAIT, FLUSH_EVERY, RECORDS_WAITING_MAX, ROOM_WAIT};
use crate::stats::Counters;

/// Time between two turns when somebody waits.
const SHORT_TURN: Duration = Duration::from_millis(5);

/// What the thread knows from turn to turn.
#[derive(Debug)]
struct Book {
    flushed: Instant,
    dirty: bool,
    /// The position of purges that the index holds.
    noted: u64,
    /// Hashes whose records could not be written.
    again: Vec<u128>,
    /// Records that were replaced or removed, but not on disk yet: until then a crash brings them back, and what they
    /// point to should be there.
    garbage: Vec<(u128, Vec<u8>)>,
    /// Somebody waits for space.
    hurry: bool,
}

impl Book {
    /// Whether somebody waits for the space that a flush would free.
    fn wanted(&self) -> bool {
        self.hurry && !self.garbage.is_empty()
    }

    fn new() -> Self {
        Self {
            flushed: Instant::now(),
            dirty: false,
            noted: 0,
            again: Vec::new(),
            garbage: Vec::new(),
            hurry: false,
        }
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
    /// Records that never reached the index, or have left it.
    records: Vec<(u128, Arc<Vec<u8>>)>,
    /// Blocks that a reader or a fill has let go.
    blocks: Vec<Arc<BlockInfo>>,
    flushes: Vec<oneshot::Sender<io::Result<()>>>,
    hurry: bool,
    closing: bool,
    ended: bool,
    watchers: Vec<oneshot::Sender<()>>,
}

impl Inbox {
    fn is_empty(&self) -> bool {
        self.hashes.is_empty() && self.records.is_empty() && self.blocks.is_empty() && self.flushes.is_empty()
    }
}

impl Keeper {
    /// Waits until the index thread is not too far behind; false if it does not catch up.
    pub(crate) fn wait_for_room(&self) -> bool {
        let mut inbox = self.inbox.lock();
        let until = Instant::now() + ROOM_WAIT;
        while inbox.hashes.len() >= RECORDS_WAITING_MAX && !inbox.closing {
            if self.room.wait_until(&mut inbox, until).timed_out() {
                return false;
            }
        }
        true
    }

    /// Carries on what a change of the slots has left to do.
    pub(crate) fn tell(&self, hash: u128, change: Change) {
        let Change { news, unwritten, displaced, .. } = change;
        if !news && unwritten.is_empty() && displaced.is_none() {
            return;
        }
        let mut inbox = self.inbox.lock();
        inbox.hashes.extend(news.then_some(hash).into_iter().chain(displaced));
        inbox.records.extend(unwritten.into_iter().map(|record| (hash, record)));
        drop(inbox);
        self.news.notify_one();
    }

    pub(crate) fn let_go(&self, blocks: impl IntoIterator<Item = Arc<BlockInfo>>) {
        self.inbox.lock().blocks.extend(blocks);
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
        self.inbox.lock().flushes.push(done);
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
        let hurry = std::mem::take(&mut inbox.hurry);
        let taken = Inbox {
            hashes: std::mem::take(&mut inbox.hashes),
            records: std::mem::take(&mut inbox.records),
            blocks: std::mem::take(&mut inbox.blocks),
            flushes: std::mem::take(&mut inbox.flushes),
            hurry,
            ..Inbox::default()
        };
        let closing = inbox.closing;
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
            let last = deadline.is_some_and(|deadline| self.pool.ended() || Instant::now() > deadline);
            let wait = if deadline.is_some() || book.wanted() { SHORT_TURN } else { FLUSH_EVERY };
            let (inbox, closing) = self.keeper.next(wait);
            if closing && deadline.is_none() {
                self.pool.close();
                deadline = Some(Instant::now() + CLOSE_WAIT);
            }
            self.turn(&mut book, inbox, last);
            if last {
                break;
            }
        }
        self.index.close();
        self.unlock();
        let mut inbox = self.keeper.inbox.lock();
        inbox.ended = true;
        self.keeper.room.notify_all();
        for done in inbox.watchers.drain(..) {
            let _ = done.send(());
        }
    }

    fn turn(&self, book: &mut Book, inbox: Inbox, last: bool) {
        book.hurry |= inbox.hurry;
        book.dirty |= !inbox.hashes.is_empty();
        for hash in std::mem::take(&mut book.again).into_iter().chain(inbox.hashes) {
            if !self.settle(hash, book) {
                book.again.push(hash);
            }
        }
        inbox.records.iter().for_each(|(hash, record)| self.release_record(*hash, record));
        inbox.blocks.iter().for_each(|block| self.release_block(block));
        let seq = self.seq();
        book.dirty |= seq > book.noted;
        let since = book.flushed.elapsed();
        let due = (book.dirty && since >= FLUSH_EVERY) || (book.wanted() && since >= SHORT_TURN);
        if !(due || last || !inbox.flushes.is_empty()) {
            return;
        }
        let result = if book.again.is_empty() {
            self.note_and_flush(seq)
        } else {
            Err(io::Error::other("some records could not be written"))
        };
        let result = result.inspect_err(|error| self.write_failed("flush", error));
        (book.flushed, book.dirty, book.noted, book.hurry) = (Instant::now(), result.is_err(), seq, false);
        // Even if it failed: an old record that a crash brings back then points to nothing, which is a miss.
        book.garbage.drain(..).for_each(|(hash, record)| self.release_record(hash, &record));
        let copy = |error: &io::Error| io::Error::new(error.kind(), error.to_string());
        for done in inbox.flushes {
            let _ = done.send(result.as_ref().copied().map_err(copy));
        }
    }

    fn note_and_flush(&self, seq: u64) -> io::Result<()> {
        // While the store is being opened the position is not known yet.
        if seq > 0 {
            self.index.note_seq(seq)?;
        }
        self.index.flush()
    }

    /// Brings the index to what is wished for this hash; false: try again later.
    fn settle(&self, hash: u128, book: &mut Book) -> bool {
        let Some(wish) = self.slots.take_wish(hash) else { return true };
        let old = match &wish {
            Wish::Put(record) => self.index.put(hash, record),
            Wish::Remove => self.index.remove(hash),
        };
        match old {
            Ok(old) => {
                self.slots.wish_done(hash, &wish);
                book.garbage.extend(old.map(|old| (hash, old)));
                self.health.success();
                true
            }
            Err(error) => {
                self.write_failed("record", &error);
                if let Wish::Put(record) = &wish {
                    self.slots.wish_failed(hash, &wish);
                    self.release_record(hash, record);
                    Counters::add(&self.counters.stores_dropped);
                }
                // A damaged index is replaced at the next start; until then nothing in it is reachable.
                self.index.distrusted()
            }
        }
    }

    fn release_record(&self, hash: u128, record: &[u8]) {
        self.blocks.space.free(record_cost(record.len() as u32));
        match Record::decode(hash, record) {
            Ok(record) => record.blocks.iter().for_each(|block| self.release_block(block)),
            Err(error) => {
                tracing::warn!(%error, "a removed record was damaged: its blocks stay until the next start");
                Counters::add(&self.counters.corrupt);
            }
        }
    }

    pub(super) fn release_block(&self, block: &BlockInfo) {
        self.blocks.drop_one(block, |hash| {
            if let Err(error) = self.content.remove(hash) {
                self.orphans.store(true, Ordering::Relaxed);
                self.count_error("remove", &error);
            }
        });
    }
}

//! Purges in order: each gets its position, is made durable, put in force and only then acknowledged. One thread; purges
//! that wait share one sync. An undo is a record like them: it gets a position, is made durable and then takes effect.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::history::{History, Past};
use super::journal::{Journal, Replay};
use super::tables::Tables;
use super::{Page, Purge, Receipt, Recorded, Selector, Seq};
use crate::config::Purges;
use crate::error::{OpenError, PurgeError};
use crate::fault::Faults;
use crate::limits::{
    BANS_MAX, EPOCHS_MAX, JOURNAL_REWRITE_BYTES, NOTE_BYTES_MAX, PURGE_BYTES_MAX, PURGE_QUEUE_MAX,
    PURGE_SELECTORS_MAX,
};

/// Purges written with one sync.
const TOGETHER: usize = 1024;

type Answer = oneshot::Sender<Result<Receipt, PurgeError>>;

#[derive(Debug)]
pub(crate) struct Ledger {
    tables: Arc<Tables>,
    history: Arc<Mutex<History>>,
    sender: Mutex<Option<SyncSender<Order>>>,
}

#[derive(Debug)]
enum Order {
    Purge(Purge, String, Answer),
    Undo(Seq, String, Answer),
    /// Something in the history is due.
    Tidy,
    /// A sweep has carried out everything up to this position.
    Fold(u64),
    Close(oneshot::Sender<()>),
}

impl Ledger {
    /// A ledger without a journal, for what is not to outlive the process.
    pub(crate) fn volatile(bounds: Purges) -> Result<Self, OpenError> {
        Self::start(Arc::default(), Pages::None, History::new(bounds, 0, 0))
    }

    /// A ledger whose journal cannot be had: purges are put in force but not confirmed, because what lies in the
    /// directory may be found again without them.
    pub(crate) fn undurable(why: io::Error, bounds: Purges) -> Result<Self, OpenError> {
        Self::start(Arc::default(), Pages::Lost(Arc::new(why)), History::new(bounds, 0, 0))
    }

    /// Opens the journal in `directory`; `known`: the highest position that the index knows of, if it holds anything.
    pub(crate) fn open(
        directory: &Path,
        known: Option<u64>,
        bounds: Purges,
        faults: &Arc<Faults>,
    ) -> Result<Self, OpenError> {
        let unusable = |source| OpenError::Directory { path: directory.to_owned(), source };
        let mut replay = Journal::replay(directory).map_err(unusable)?;
        // The index is ahead: the journal has lost its end, or all of it.
        let behind = known.is_some_and(|known| known > replay.seq || replay.absent);
        let journal = if replay.lost || behind {
            let seq = replay.seq.max(known.unwrap_or(0)) + 1;
            tracing::error!(
                seq,
                "the journal of purges has lost something: everything stored counts as purged"
            );
            let purge = Purge { selectors: vec![Selector::All], soft: false };
            let note = r#"{"reason":"journal damaged"}"#.into();
            replay.purges.push(Recorded { seq: Seq(seq), purge, note, time: now(), undoes: None });
            (replay.seq, replay.lost) = (seq, true);
            Journal::begin(directory, replay.floor, &replay.purges, Arc::clone(faults))
        } else if replay.absent || replay.old {
            Journal::begin(directory, replay.floor, &replay.purges, Arc::clone(faults))
        } else {
            Journal::resume(directory, &replay, Arc::clone(faults))
        };
        let journal = journal.map_err(unusable)?;
        let tables = Tables::new(replay.seq, replay.floor);
        let history = recall(replay, &tables, bounds, journal.name());
        Self::start(Arc::new(tables), Pages::Kept(journal), history)
    }

    fn start(tables: Arc<Tables>, pages: Pages, history: History) -> Result<Self, OpenError> {
        let window = history.window();
        let history = Arc::new(Mutex::new(history));
        let (sender, orders) = sync_channel(PURGE_QUEUE_MAX);
        let clerk = Clerk {
            tables: Arc::clone(&tables),
            history: Arc::clone(&history),
            next: tables.seq().0 + 1,
            pages,
            window,
        };
        thread::Builder::new()
            .name("larder-journal".into())
            .spawn(move || clerk.run(&orders))
            .map_err(OpenError::Thread)?;
        Ok(Self { tables, history, sender: Mutex::new(Some(sender)) })
    }

    /// Takes a purge back.
    pub(crate) async fn undo(&self, purge: Seq, note: &str) -> Result<Receipt, PurgeError> {
        check(&Purge { selectors: Vec::new(), soft: false }, note)?;
        let (done, answer) = oneshot::channel();
        self.send(Order::Undo(purge, note.to_owned(), done))?;
        answer.await.unwrap_or(Err(PurgeError::Closed))
    }

    /// Settles what is old enough. To be called a few times a second.
    pub(crate) fn tick(&self) {
        if self.history.lock().is_due(&self.tables) {
            let _ = self.send(Order::Tidy);
        }
    }

    pub(crate) fn tables(&self) -> &Arc<Tables> {
        &self.tables
    }

    pub(crate) async fn purge(&self, purge: &Purge, note: &str) -> Result<Receipt, PurgeError> {
        check(purge, note)?;
        if self.tables.len() + purge.selectors.len() > EPOCHS_MAX {
            return Err(PurgeError::Busy);
        }
        let (done, answer) = oneshot::channel();
        self.send(Order::Purge(purge.clone(), note.to_owned(), done))?;
        answer.await.unwrap_or(Err(PurgeError::Closed))
    }

    /// Everything up to `upto` has been carried out, and what was removed for it is gone for good.
    pub(crate) fn fold(&self, upto: u64) {
        if upto > self.tables.floor() {
            let _ = self.send(Order::Fold(upto));
        }
    }

    pub(crate) fn history(&self) -> Vec<Recorded> {
        self.history.lock().all()
    }

    /// [`History::page`].
    pub(crate) fn page(&self, after: Option<Seq>, limit: usize, bytes: usize) -> Page {
        self.history.lock().page(after, limit, bytes, &self.tables)
    }

    pub(crate) fn past(&self, after: Seq, count: usize, bytes: usize) -> Past {
        self.history.lock().past(after.0, count, bytes)
    }

    /// Ends the thread; answers when it has.
    pub(crate) fn close(&self) -> oneshot::Receiver<()> {
        let (done, answer) = oneshot::channel();
        if let Some(sender) = self.sender.lock().take() {
            let _ = sender.try_send(Order::Close(done));
        }
        answer
    }

    fn send(&self, order: Order) -> Result<(), PurgeError> {
        match self.sender.lock().as_ref().map(|sender| sender.try_send(order)) {
            Some(Ok(())) => Ok(()),
            Some(Err(TrySendError::Full(_))) => Err(PurgeError::Busy),
            Some(Err(TrySendError::Disconnected(_))) | None => Err(PurgeError::Closed),
        }
    }
}

fn check(purge: &Purge, note: &str) -> Result<(), PurgeError> {
    let bytes: usize = purge.selectors.iter().map(|selector| selector.text().len()).sum();
    let rows = [
        (purge.selectors.len(), PURGE_SELECTORS_MAX, "selectors"),
        (bytes, PURGE_BYTES_MAX, "bytes of selectors"),
        (note.len(), NOTE_BYTES_MAX, "bytes of note"),
    ];
    match rows.into_iter().find(|(found, max, _)| found > max) {
        Some((_, max, what)) => Err(PurgeError::TooLarge { what, max }),
        None => Ok(()),
    }
}

/// The history of a journal, with what is in force of it put in force.
fn recall(replay: Replay, tables: &Tables, bounds: Purges, log: u32) -> History {
    let undone: HashMap<Seq, Seq> =
        replay.purges.iter().filter_map(|record| Some((record.undoes?, record.seq))).collect();
    let now = now();
    let reaches = match replay.purges.first() {
        Some(first) if !replay.lost => first.seq.0 - 1,
        Some(_) | None => replay.seq,
    };
    let mut history = History::new(bounds, reaches, log);
    history.newest(replay.seq);
    for recorded in replay.purges {
        let (seq, age) = (recorded.seq, now.saturating_sub(recorded.time));
        let by = undone.get(&seq).copied();
        if seq.0 > replay.floor && by.is_none() && recorded.undoes.is_none() {
            tables.apply(&recorded.purge, seq.0);
        }
        let left = bounds.undo_window.saturating_sub(Duration::from_millis(age));
        // After a loss nobody knows what was taken back and what was not: everything stays purged.
        let dated = recorded.time > 0 && recorded.undoes.is_none() && !replay.lost;
        history.push(recorded, if dated { left } else { Duration::ZERO });
        if let Some(by) = by {
            history.mark_undone(seq, by);
        }
    }
    history.tidy(tables, now);
    history
}

/// Milliseconds since 1970: what the record of a purge is dated with.
#[expect(
    clippy::disallowed_methods,
    reason = "the time of day is only kept with a purge; a step of the clock settles it early"
)]
fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Where purges are written down.
enum Pages {
    None,
    Kept(Journal),
    Lost(Arc<io::Error>),
}

impl Pages {
    fn append(&mut self, purges: &[Recorded]) -> Result<(), Arc<io::Error>> {
        match self {
            Self::None => Ok(()),
            Self::Kept(journal) => journal.append(purges).map_err(Arc::new),
            Self::Lost(why) => Err(Arc::clone(why)),
        }
    }
}

/// The thread's side.
struct Clerk {
    tables: Arc<Tables>,
    history: Arc<Mutex<History>>,
    pages: Pages,
    /// Time for which a purge can be taken back.
    window: Duration,
    /// Never given twice, not even when a purge could not be written.
    next: u64,
}

impl Clerk {
    fn run(mut self, orders: &Receiver<Order>) {
        let mut kept_back = None;
        while let Some(first) = kept_back.take().or_else(|| orders.recv().ok()) {
            match first {
                Order::Purge(purge, note, done) => {
                    let mut waiting = Vec::new();
                    self.admit(purge, note, done, &mut waiting);
                    while waiting.len() < TOGETHER {
                        match orders.try_recv() {
                            Ok(Order::Purge(purge, note, done)) => {
                                self.admit(purge, note, done, &mut waiting);
                            }
                            Ok(other) => {
                                kept_back = Some(other);
                                break;
                            }
                            Err(_) => break,
                        }
                    }
                    self.apply(waiting);
                }
                Order::Undo(seq, note, done) => {
                    let _ = done.send(self.undo(seq, note));
                }
                Order::Tidy => self.history.lock().tidy(&self.tables, now()),
                Order::Fold(upto) => self.fold(upto),
                Order::Close(done) => {
                    drop(self);
                    let _ = done.send(());
                    return;
                }
            }
        }
    }

    fn record(&mut self, purge: Purge, note: String) -> Recorded {
        let seq = Seq(self.next);
        self.next += 1;
        Recorded { seq, purge, note, time: now(), undoes: None }
    }

    /// Gives a purge its place, unless it would add more regular expressions than hits may be compared with.
    fn admit(&mut self, purge: Purge, note: String, done: Answer, waiting: &mut Vec<(Recorded, Answer)>) {
        if purge.selectors.iter().any(|selector| matches!(selector, Selector::Regex(_))) {
            let regexes = |(recorded, _): &(Recorded, _)| {
                let of = |selector: &&Selector| matches!(selector, Selector::Regex(_));
                recorded.purge.selectors.iter().filter(of).count()
            };
            let (held, more) = self.tables.bans_with(&purge);
            if more > 0 && held + more + waiting.iter().map(regexes).sum::<usize>() > BANS_MAX {
                let _ = done.send(Err(PurgeError::Bans { held, max: BANS_MAX }));
                return;
            }
        }
        waiting.push((self.record(purge, note), done));
    }

    fn apply(&mut self, waiting: Vec<(Recorded, Answer)>) {
        let (purges, done): (Vec<_>, Vec<_>) = waiting.into_iter().unzip();
        if purges.is_empty() {
            return;
        }
        let durable = self.pages.append(&purges);
        if let Err(error) = &durable {
            tracing::error!(%error, "a purge is in force but not durable");
        }
        for recorded in &purges {
            self.tables.apply(&recorded.purge, recorded.seq.0);
        }
        let receipts: Vec<_> = purges
            .iter()
            .map(|recorded| match &durable {
                Ok(()) => Ok(Receipt { seq: recorded.seq }),
                Err(error) => Err(PurgeError::NotDurable(Arc::clone(error))),
            })
            .collect();
        let mut history = self.history.lock();
        for recorded in purges {
            if durable.is_ok() {
                history.push(recorded, self.window);
            } else {
                self.tables.settle_early(&recorded.purge, recorded.seq.0);
            }
        }
        history.tidy(&self.tables, now());
        drop(history);
        for (receipt, done) in receipts.into_iter().zip(done) {
            let _ = done.send(receipt);
        }
    }

    /// Takes a purge back once that is durable: before, it stays in force.
    fn undo(&mut self, seq: Seq, note: String) -> Result<Receipt, PurgeError> {
        self.history.lock().undoable(seq, &self.tables).map_err(PurgeError::NotUndoable)?;
        let empty = Purge { selectors: Vec::new(), soft: false };
        let recorded = Recorded { undoes: Some(seq), ..self.record(empty, note) };
        let by = recorded.seq;
        self.pages.append(std::slice::from_ref(&recorded)).map_err(PurgeError::NotUndone)?;
        let mut history = self.history.lock();
        history.push(recorded, Duration::ZERO);
        history.undo(seq, by, &self.tables);
        history.tidy(&self.tables, now());
        Ok(Receipt { seq: by })
    }

    fn fold(&mut self, upto: u64) {
        let upto = upto.min(self.tables.seq().0);
        if let Pages::Kept(journal) = &mut self.pages {
            let before = journal.length();
            self.history.lock().tidy(&self.tables, now());
            let history = self.history.lock().oldest();
            if let Err(error) = journal.rewrite(upto, history) {
                tracing::warn!(%error, "the journal of purges cannot be rewritten, it goes on growing");
                return;
            }
            if before > JOURNAL_REWRITE_BYTES {
                tracing::info!(before, after = journal.length(), "the journal of purges was rewritten");
            }
        }
        self.tables.fold(upto);
    }
}

#[cfg(test)]
mod tests;

//! Purges in order: each gets its position, is made durable, put in force and only then acknowledged. One thread; purges
//! that wait share one sync.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::journal::Journal;
use super::tables::Tables;
use super::{Purge, Receipt, Recorded, Selector, Seq};
use crate::error::{OpenError, PurgeError};
use crate::fault::Faults;
use crate::limits::{
    EPOCHS_MAX, HISTORY_BYTES_MAX, HISTORY_MAX, JOURNAL_REWRITE_BYTES, NOTE_BYTES_MAX, PURGE_BYTES_MAX,
    PURGE_QUEUE_MAX, PURGE_SELECTORS_MAX,
};

/// Purges written with one sync.
const TOGETHER: usize = 1024;

#[derive(Debug)]
pub(crate) struct Ledger {
    tables: Arc<Tables>,
    history: Arc<Mutex<History>>,
    sender: Mutex<Option<SyncSender<Order>>>,
}

#[derive(Debug)]
enum Order {
    Purge(Purge, String, oneshot::Sender<Result<Receipt, PurgeError>>),
    /// A sweep has carried out everything up to this position.
    Fold(u64),
    Close(oneshot::Sender<()>),
}

/// A part of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    /// Purges, oldest first.
    pub purges: Vec<Recorded>,
    /// Every confirmed purge after this position is still remembered.
    pub complete_after: Seq,
    /// With these purges everything up to here is known.
    pub upto: Seq,
    /// There is more after that.
    pub more: bool,
}

#[derive(Debug, Default)]
struct History {
    purges: VecDeque<Recorded>,
    bytes: usize,
    /// Position of the newest purge that is no longer remembered.
    forgotten: u64,
    /// Position of the newest one that ever was.
    newest: u64,
}

impl History {
    fn push(&mut self, recorded: Recorded) {
        self.bytes += weight(&recorded);
        self.newest = recorded.seq.0;
        self.purges.push_back(recorded);
        while self.purges.len() > HISTORY_MAX || self.bytes > HISTORY_BYTES_MAX {
            let Some(old) = self.purges.pop_front() else { break };
            self.bytes -= weight(&old);
            self.forgotten = old.seq.0;
        }
    }

    /// What came after `after`; both ends are of one moment, so that nothing falls between two parts.
    fn past(&self, after: u64, count: usize, bytes: usize) -> Past {
        let (mut purges, mut weighed) = (Vec::new(), 0);
        let from = self.purges.partition_point(|recorded| recorded.seq.0 <= after);
        for recorded in self.purges.range(from..) {
            weighed += weight(recorded);
            if purges.len() >= count || (weighed > bytes && !purges.is_empty()) {
                break;
            }
            purges.push(recorded.clone());
        }
        let more = from + purges.len() < self.purges.len();
        let upto = match purges.last() {
            Some(last) if more => last.seq,
            _ => Seq(self.newest),
        };
        Past { purges, complete_after: Seq(self.forgotten), upto, more }
    }

    fn oldest(&self) -> u64 {
        self.purges.front().map_or(u64::MAX, |recorded| recorded.seq.0)
    }
}

fn weight(recorded: &Recorded) -> usize {
    let texts: usize = recorded.purge.selectors.iter().map(|selector| selector.text().len() + 48).sum();
    texts + recorded.note.len() + 64
}

impl Ledger {
    /// A ledger without a journal, for what is not to outlive the process.
    pub(crate) fn volatile(tables: Arc<Tables>) -> Result<Self, OpenError> {
        Self::start(tables, Pages::None, History::default())
    }

    /// A ledger whose journal cannot be had: purges are put in force but not confirmed, because what lies in the
    /// directory may be found again without them.
    pub(crate) fn undurable(why: io::Error) -> Result<Self, OpenError> {
        Self::start(Arc::default(), Pages::Lost(Arc::new(why)), History::default())
    }

    /// Opens the journal in `directory`; `known`: the highest position that the index knows of, if it holds anything.
    pub(crate) fn open(
        directory: &Path,
        known: Option<u64>,
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
            replay.purges.push(Recorded {
                seq: Seq(seq),
                purge,
                note: r#"{"reason":"journal damaged"}"#.into(),
            });
            replay.seq = seq;
            Journal::begin(directory, replay.floor, &replay.purges, Arc::clone(faults))
        } else if replay.absent {
            Journal::begin(directory, 0, &[], Arc::clone(faults))
        } else {
            Journal::resume(directory, Arc::clone(faults))
        };
        let journal = journal.map_err(unusable)?;
        let tables = Tables::new(replay.seq, replay.floor);
        let first = replay.purges.first().map_or(replay.seq, |recorded| recorded.seq.0.saturating_sub(1));
        let mut history = History { forgotten: first, newest: replay.seq, ..History::default() };
        for recorded in replay.purges {
            if recorded.seq.0 > replay.floor {
                tables.apply(&recorded.purge, recorded.seq.0);
            }
            history.push(recorded);
        }
        Self::start(Arc::new(tables), Pages::Kept(journal), history)
    }

    fn start(tables: Arc<Tables>, pages: Pages, history: History) -> Result<Self, OpenError> {
        let history = Arc::new(Mutex::new(history));
        let (sender, orders) = sync_channel(PURGE_QUEUE_MAX);
        let clerk = Clerk {
            tables: Arc::clone(&tables),
            history: Arc::clone(&history),
            next: tables.seq().0 + 1,
            pages,
        };
        thread::Builder::new()
            .name("larder-journal".into())
            .spawn(move || clerk.run(&orders))
            .map_err(OpenError::Thread)?;
        Ok(Self { tables, history, sender: Mutex::new(Some(sender)) })
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
        self.history.lock().purges.iter().cloned().collect()
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
    /// Never given twice, not even when a purge could not be written.
    next: u64,
}

impl Clerk {
    fn run(mut self, orders: &Receiver<Order>) {
        let mut kept_back = None;
        while let Some(first) = kept_back.take().or_else(|| orders.recv().ok()) {
            match first {
                Order::Purge(purge, note, done) => {
                    let mut waiting = vec![(self.record(purge, note), done)];
                    while waiting.len() < TOGETHER {
                        match orders.try_recv() {
                            Ok(Order::Purge(purge, note, done)) => {
                                waiting.push((self.record(purge, note), done))
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
        Recorded { seq, purge, note }
    }

    fn apply(&mut self, waiting: Vec<(Recorded, oneshot::Sender<Result<Receipt, PurgeError>>)>) {
        let (purges, done): (Vec<_>, Vec<_>) = waiting.into_iter().unzip();
        let durable = self.pages.append(&purges);
        if let Err(error) = &durable {
            tracing::error!(%error, "a purge is in force but not durable");
        }
        for (recorded, done) in purges.into_iter().zip(done) {
            let seq = recorded.seq;
            self.tables.apply(&recorded.purge, seq.0);
            let answer = match &durable {
                Ok(()) => Ok(Receipt { seq }),
                Err(error) => Err(PurgeError::NotDurable(Arc::clone(error))),
            };
            if answer.is_ok() {
                self.history.lock().push(recorded);
            }
            let _ = done.send(answer);
        }
    }

    fn fold(&mut self, upto: u64) {
        let upto = upto.min(self.tables.seq().0);
        if let Pages::Kept(journal) = &mut self.pages {
            let before = journal.length();
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
mod tests {
    use super::*;

    fn purge(tag: &str) -> Purge {
        Purge { selectors: vec![Selector::Tag(tag.into())], soft: false }
    }

    fn dead(ledger: &Ledger, tag: &str, born: u64) -> bool {
        ledger.tables().verdict("x", &[crate::purge::tables::tag_hash(tag)], born, born).0.dead
    }

    #[tokio::test]
    async fn purges_survive_and_positions_never_go_back() {
        let directory = tempfile::tempdir().unwrap();
        let faults = Arc::new(Faults::default());
        for round in 0..3 {
            let ledger = Ledger::open(directory.path(), None, &faults).unwrap();
            assert_eq!(ledger.tables().seq(), Seq(round));
            let receipt = ledger.purge(&purge(&format!("t{round}")), "note").await.unwrap();
            assert_eq!(receipt.seq, Seq(round + 1));
            assert!((0..=round).all(|old| dead(&ledger, &format!("t{old}"), 0)));
            let _ = ledger.close().await;
            assert!(matches!(ledger.purge(&purge("x"), "").await, Err(PurgeError::Closed)));
        }
        assert_eq!(Ledger::open(directory.path(), Some(3), &faults).unwrap().history().len(), 3);
    }

    #[tokio::test]
    async fn a_lost_journal_fails_safe() {
        let faults = Arc::new(Faults::default());
        for born in [Some(7), None] {
            let directory = tempfile::tempdir().unwrap();
            let ledger = Ledger::open(directory.path(), born, &faults).unwrap();
            assert_eq!(dead(&ledger, "any", 7), born.is_some(), "entries without a journal are dead");
            let again = Ledger::open(directory.path(), born, &faults).unwrap();
            assert_eq!(again.tables().seq(), ledger.tables().seq(), "and only once");
        }
        let directory = tempfile::tempdir().unwrap();
        drop(Ledger::open(directory.path(), None, &faults).unwrap());
        let ledger = Ledger::open(directory.path(), Some(1), &faults).unwrap();
        assert!(dead(&ledger, "any", 1), "an entry from after the end of the journal");
        assert!(!dead(&ledger, "any", ledger.tables().seq().0));
    }

    #[tokio::test]
    async fn what_is_not_durable_is_in_force_and_said() {
        let directory = tempfile::tempdir().unwrap();
        let faults = Arc::new(Faults::default());
        let ledger = Ledger::open(directory.path(), None, &faults).unwrap();
        faults.fail_all(true);
        assert!(matches!(ledger.purge(&purge("t"), "").await, Err(PurgeError::NotDurable(_))));
        assert!(dead(&ledger, "t", 0));
        faults.fail_all(false);
        assert_eq!(
            ledger.purge(&purge("u"), "").await.unwrap().seq,
            Seq(2),
            "a position is never given twice"
        );
    }

    #[tokio::test]
    async fn folding_empties_the_tables_and_the_journal() {
        let directory = tempfile::tempdir().unwrap();
        let faults = Arc::new(Faults::default());
        let ledger = Ledger::open(directory.path(), None, &faults).unwrap();
        for tag in ["a", "b", "c"] {
            ledger.purge(&purge(tag), "").await.unwrap();
        }
        ledger.fold(2);
        ledger.purge(&purge("d"), "").await.unwrap();
        assert_eq!((ledger.tables().len(), ledger.tables().floor()), (2, 2));
        let _ = ledger.close().await;
        let ledger = Ledger::open(directory.path(), None, &faults).unwrap();
        assert_eq!((ledger.tables().len(), ledger.tables().floor(), ledger.history().len()), (2, 2, 4));
    }

    #[tokio::test]
    async fn too_much_is_refused_whole() {
        let ledger = Ledger::volatile(Arc::default()).unwrap();
        let large = Purge { selectors: vec![Selector::All; PURGE_SELECTORS_MAX + 1], soft: false };
        assert!(matches!(
            ledger.purge(&large, "").await,
            Err(PurgeError::TooLarge { what: "selectors", .. })
        ));
        let note = "x".repeat(NOTE_BYTES_MAX + 1);
        assert!(matches!(ledger.purge(&purge("t"), &note).await, Err(PurgeError::TooLarge { .. })));
        assert_eq!(ledger.tables().seq(), Seq(0));
    }
}

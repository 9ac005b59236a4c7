//! The purges that are remembered: for whoever asks what was purged, for other nodes that missed some, and for taking one
//! back. Bounded in number, bytes and age; what leaves it for want of room is settled first.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::tables::Tables;
use super::{Page, Recorded, Seq, Told};
use crate::config::Purges;

/// A purge that is remembered.
#[derive(Debug)]
struct Kept {
    recorded: Recorded,
    /// The record that took it back.
    undone: Option<Seq>,
    /// It may be taken back until then.
    until: Instant,
}

impl Kept {
    /// Whether it is in force, as far as it is up to undos.
    const fn stands(&self) -> bool {
        self.undone.is_none() && self.recorded.undoes.is_none()
    }
}

/// A part of the history, for whoever follows it.
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

/// Why a purge is not taken back. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotUndoable {
    /// It is not remembered.
    #[error("no such purge is remembered")]
    Unknown,
    /// What is meant is not a purge.
    #[error("it is an undo itself")]
    Undo,
    /// It was taken back before.
    #[error("it was undone already")]
    Undone,
    /// Its time is over; what it hit may be gone.
    #[error("its undo window is over")]
    Late,
}

/// The history and its bounds.
#[derive(Debug)]
pub(crate) struct History {
    kept: VecDeque<Kept>,
    bytes: usize,
    /// Nothing after this position was dropped.
    reaches: u64,
    /// Position of the newest record there ever was.
    newest: u64,
    log: u32,
    bounds: Purges,
}

impl History {
    pub(crate) fn new(bounds: Purges, reaches: u64, log: u32) -> Self {
        Self { kept: VecDeque::new(), bytes: 0, reaches, newest: reaches, log, bounds }
    }

    /// Time for which a purge can be taken back.
    pub(crate) const fn window(&self) -> Duration {
        self.bounds.undo_window
    }

    /// Notes that there were records up to `seq`.
    pub(crate) fn newest(&mut self, seq: u64) {
        self.newest = self.newest.max(seq);
    }

    /// Adds the newest record; it can be taken back for `left`.
    pub(crate) fn push(&mut self, recorded: Recorded, left: Duration) {
        self.bytes += weight(&recorded);
        self.newest(recorded.seq.0);
        self.kept.push_back(Kept { recorded, undone: None, until: Instant::now() + left });
    }

    /// Settles what is old enough, and drops what is too much; `now` in milliseconds since 1970.
    pub(crate) fn tidy(&mut self, tables: &Tables, now: u64) {
        let at = Instant::now();
        let mut next = self.first_after(tables.settled());
        while let Some(kept) = self.kept.get(next).filter(|kept| kept.until <= at) {
            settle(kept, tables);
            next += 1;
        }
        while let Some(front) = self.kept.front().filter(|front| self.is_over(front, now)) {
            if front.recorded.seq.0 > tables.settled() {
                settle(front, tables);
            }
            self.bytes -= weight(&front.recorded);
            self.reaches = self.reaches.max(front.recorded.seq.0);
            self.kept.pop_front();
        }
        if self.kept.back().is_none_or(|newest| newest.recorded.seq.0 <= tables.settled()) {
            // What is in force without being remembered could not be written, and cannot be taken back.
            tables.settle(None, tables.seq().0);
        }
    }

    /// Whether [`History::tidy`] has something to settle.
    pub(crate) fn is_due(&self, tables: &Tables) -> bool {
        let first = self.kept.get(self.first_after(tables.settled()));
        first.is_some_and(|kept| kept.until <= Instant::now())
    }

    fn is_over(&self, oldest: &Kept, now: u64) -> bool {
        let age = now.saturating_sub(oldest.recorded.time);
        let old = oldest.recorded.time > 0 && u128::from(age) > self.bounds.history_age.as_millis();
        let settled = oldest.until <= Instant::now();
        self.kept.len() > self.bounds.history || self.bytes > self.bounds.history_bytes || (old && settled)
    }

    fn first_after(&self, seq: u64) -> usize {
        self.kept.partition_point(|kept| kept.recorded.seq.0 <= seq)
    }

    fn find(&self, seq: Seq) -> Option<&Kept> {
        let at = self.kept.binary_search_by_key(&seq, |kept| kept.recorded.seq).ok()?;
        self.kept.get(at)
    }

    /// Whether the purge at `seq` can be taken back.
    pub(crate) fn undoable(&self, seq: Seq, tables: &Tables) -> Result<(), NotUndoable> {
        let kept = self.find(seq).ok_or(NotUndoable::Unknown)?;
        if kept.recorded.undoes.is_some() {
            Err(NotUndoable::Undo)
        } else if kept.undone.is_some() {
            Err(NotUndoable::Undone)
        } else if seq.0 <= tables.settled() {
            Err(NotUndoable::Late)
        } else {
            Ok(())
        }
    }

    /// Takes the purge at `seq`, which is undoable, back in `tables`.
    pub(crate) fn undo(&mut self, seq: Seq, by: Seq, tables: &Tables) {
        self.mark_undone(seq, by);
        let Some(undone) = self.find(seq) else { return };
        let standing = self.kept.range(self.first_after(tables.settled())..).filter(|kept| kept.stands());
        tables.undo(
            &undone.recorded.purge,
            standing.map(|kept| (&kept.recorded.purge, kept.recorded.seq)),
            by.0,
        );
    }

    /// Notes that the purge at `seq` was taken back.
    pub(crate) fn mark_undone(&mut self, seq: Seq, by: Seq) {
        if let Ok(at) = self.kept.binary_search_by_key(&seq, |kept| kept.recorded.seq) {
            self.kept[at].undone = Some(by);
        }
    }

    /// Position of the oldest record.
    pub(crate) fn oldest(&self) -> u64 {
        self.kept.front().map_or(u64::MAX, |kept| kept.recorded.seq.0)
    }

    /// Every record, oldest first.
    pub(crate) fn all(&self) -> Vec<Recorded> {
        self.kept.iter().map(|kept| kept.recorded.clone()).collect()
    }

    /// What came after `after`; both ends are of one moment, so that nothing falls between two parts.
    pub(crate) fn past(&self, after: u64, count: usize, bytes: usize) -> Past {
        let (mut purges, mut weighed) = (Vec::new(), 0);
        let from = self.first_after(after);
        for kept in self.kept.range(from..) {
            weighed += weight(&kept.recorded);
            if purges.len() >= count || (weighed > bytes && !purges.is_empty()) {
                break;
            }
            purges.push(kept.recorded.clone());
        }
        let more = from + purges.len() < self.kept.len();
        let upto = match purges.last() {
            Some(last) if more => last.seq,
            _ => Seq(self.newest),
        };
        Past { purges, complete_after: Seq(self.reaches), upto, more }
    }

    /// The first records after `after`, or without it the newest ones; at most `limit`, and about `bytes` of them.
    pub(crate) fn page(&self, after: Option<Seq>, limit: usize, bytes: usize, tables: &Tables) -> Page {
        let mut left = bytes;
        let mut fits = |kept: &&Kept| {
            let weight = weight(&kept.recorded);
            let first = left == bytes;
            let fits = first || weight <= left;
            left = left.saturating_sub(weight.max(1));
            fits
        };
        let tell = |kept: &Kept| self.tell(kept, tables);
        let (purges, more) = match after {
            Some(after) => {
                let from = self.kept.range(self.first_after(after.0)..);
                let all = from.len();
                let purges: Vec<Told> = from.take(limit).take_while(&mut fits).map(tell).collect();
                let more = purges.len() < all;
                (purges, more)
            }
            None => {
                let newest = self.kept.iter().rev().take(limit).take_while(&mut fits);
                let mut purges: Vec<Told> = newest.map(tell).collect();
                purges.reverse();
                let more = purges.len() < self.kept.len();
                (purges, more)
            }
        };
        Page { purges, reaches: Seq(self.reaches), seq: tables.seq(), log: self.log, more }
    }

    fn tell(&self, kept: &Kept, tables: &Tables) -> Told {
        let left = kept.until.saturating_duration_since(Instant::now());
        let undoable = kept.stands() && kept.recorded.seq.0 > tables.settled() && !left.is_zero();
        let left = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        Told { recorded: kept.recorded.clone(), undone: kept.undone, undoable: undoable.then_some(left) }
    }
}

fn settle(kept: &Kept, tables: &Tables) {
    tables.settle(kept.stands().then_some(&kept.recorded.purge), kept.recorded.seq.0);
}

fn weight(recorded: &Recorded) -> usize {
    let texts: usize = recorded.purge.selectors.iter().map(|selector| selector.text().len() + 48).sum();
    texts + recorded.note.len() + 160
}

//! The purges in force, as epochs: who matches and was born before one is dead (hard) or expired (soft).
//!
//! An entry that was checked at position N need not be looked at again until the position moves, so that a hit costs one
//! compare. What was checked long ago, before purges were folded away, counts as dead: see [`Tables::floor`].
//!
//! A purge that may still be taken back is in force like any other, but nothing is removed for it: that is done when it
//! is settled. Whoever was checked before the newest [`Tables::undone`] is looked at anew from the beginning.

mod sets;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{RwLock, RwLockReadGuard};
use xxhash_rust::xxh3::xxh3_64;

use self::sets::{Pair, Place, Ready, Sets};
use super::{Purge, Seq};

/// Selectors added without letting lookups in between.
const AT_ONCE: usize = 256;

/// The hash a tag is kept by. A collision purges too much, never too little.
pub(crate) fn tag_hash(tag: &str) -> u64 {
    xxh3_64(tag.as_bytes())
}

/// What the purges say about an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) dead: bool,
    pub(crate) expired: bool,
    /// Dead, whatever is taken back.
    pub(crate) gone: bool,
    /// Expired, whatever is taken back.
    pub(crate) aged: bool,
}

/// The purges in force.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    sets: RwLock<Sets>,
    seq: AtomicU64,
    floor: AtomicU64,
    settled: AtomicU64,
    undone: AtomicU64,
}

impl Tables {
    /// Tables that stand at `seq`, with everything up to `floor` folded away.
    pub(crate) fn new(seq: u64, floor: u64) -> Self {
        Self { seq: seq.into(), floor: floor.into(), settled: floor.into(), ..Self::default() }
    }

    /// Position of the newest purge in force.
    pub(crate) fn seq(&self) -> Seq {
        Seq(self.seq.load(Ordering::Acquire))
    }

    /// Purges up to here are no longer in the tables: a sweep has carried them out. Whoever was last checked before
    /// this position was not seen by that sweep and must be treated as dead.
    pub(crate) fn floor(&self) -> u64 {
        self.floor.load(Ordering::Acquire)
    }

    /// Purges up to here cannot be taken back.
    pub(crate) fn settled(&self) -> u64 {
        self.settled.load(Ordering::Acquire)
    }

    /// Puts a purge in force; `seq` must be newer than all before. Only one thread may do this. Lookups are not kept
    /// waiting by a long list: who looks in between looks again when the position has moved.
    pub(crate) fn apply(&self, purge: &Purge, seq: u64) {
        self.in_parts(purge, |sets, places| sets.add(places, purge.soft, seq));
        let sets = self.sets.write();
        self.seq.fetch_max(seq, Ordering::AcqRel);
        drop(sets);
    }

    /// The purge at `seq`, if it is given and stands, and all before it cannot be taken back any more.
    pub(crate) fn settle(&self, purge: Option<&Purge>, seq: u64) {
        if let Some(purge) = purge {
            self.settle_early(purge, seq);
        }
        self.settled.fetch_max(seq, Ordering::AcqRel);
    }

    /// [`Tables::settle`] out of turn, for a purge that will never be taken back.
    pub(crate) fn settle_early(&self, purge: &Purge, seq: u64) {
        self.in_parts(purge, |sets, places| sets.settle(places, purge.soft, seq));
    }

    /// Takes a purge back; `standing` are the others that are not settled and not taken back. In force when it returns,
    /// at position `seq`.
    pub(crate) fn undo<'a>(&self, purge: &Purge, standing: impl Iterator<Item = (&'a Purge, Seq)>, seq: u64) {
        let mut left: HashMap<Place, Pair> =
            purge.selectors.iter().map(|selector| (Place::of(selector), Pair::default())).collect();
        for (other, at) in standing {
            for selector in &other.selectors {
                if let Some(pair) = left.get_mut(&Place::of(selector)) {
                    pair.raise(at.0, other.soft);
                }
            }
        }
        let mut sets = self.sets.write();
        sets.lower(left.iter());
        self.undone.fetch_max(seq, Ordering::AcqRel);
        self.seq.fetch_max(seq, Ordering::AcqRel);
        drop(sets);
    }

    fn in_parts(&self, purge: &Purge, change: impl Fn(&mut Sets, &[Ready])) {
        for selectors in purge.selectors.chunks(AT_ONCE) {
            let places: Vec<Ready> = selectors.iter().map(Ready::of).collect();
            change(&mut self.sets.write(), &places);
        }
    }

    /// What the purges say about an entry that was `born` then and last `checked` then; also the position this holds for.
    pub(crate) fn verdict(&self, address: &str, tags: &[u64], born: u64, checked: u64) -> (Verdict, u64) {
        let held = self.hold();
        (held.verdict(address, tags, born, checked), held.seq())
    }

    /// Keeps purges from being applied or folded while somebody acts on what they say.
    pub(crate) fn hold(&self) -> Held<'_> {
        Held { sets: self.sets.read(), tables: self }
    }

    /// Selectors held.
    pub(crate) fn len(&self) -> usize {
        self.sets.read().len()
    }

    /// Regular expressions held, and how many more with `purge`.
    pub(crate) fn bans_with(&self, purge: &Purge) -> (usize, usize) {
        let sets = self.sets.read();
        (sets.bans(), sets.new_bans(purge))
    }

    /// Forgets the purges up to `upto`, which a finished sweep has carried out. Only the thread that applies may do this.
    pub(crate) fn fold(&self, upto: u64) {
        let rest = self.sets.read().folded(upto);
        let mut sets = self.sets.write();
        let old = std::mem::replace(&mut *sets, rest);
        self.floor.fetch_max(upto, Ordering::AcqRel);
        drop(sets);
        drop(old);
    }
}

/// The purges as they stay until this is dropped. Not to be asked for twice by one thread.
pub(crate) struct Held<'a> {
    sets: RwLockReadGuard<'a, Sets>,
    tables: &'a Tables,
}

impl Held<'_> {
    /// [`Tables::verdict`].
    pub(crate) fn verdict(&self, address: &str, tags: &[u64], born: u64, checked: u64) -> Verdict {
        self.since(address, tags, born, checked, born)
    }

    /// [`Tables::verdict`], for an entry that remembers what the regular expressions up to `since` say.
    pub(crate) fn since(&self, address: &str, tags: &[u64], born: u64, checked: u64, since: u64) -> Verdict {
        if checked < self.tables.floor() {
            return Verdict { dead: true, expired: true, gone: true, aged: true };
        }
        let found = self.sets.find(address, tags, since.max(born));
        Verdict {
            dead: found.all.hard > born,
            expired: found.all.soft > born,
            gone: found.settled.hard > born,
            aged: found.settled.soft > born,
        }
    }

    /// Whether a purge of everything that cannot be taken back has hit what was born then.
    pub(crate) fn all_gone(&self, born: u64) -> bool {
        self.sets.all_settled() > born
    }

    /// [`Tables::seq`].
    pub(crate) fn seq(&self) -> u64 {
        self.tables.seq().0
    }

    /// [`Tables::settled`].
    pub(crate) fn settled(&self) -> u64 {
        self.tables.settled()
    }

    /// Position at which a purge was last taken back: who was checked before it may have come to life.
    pub(crate) fn undone(&self) -> u64 {
        self.tables.undone.load(Ordering::Acquire)
    }
}

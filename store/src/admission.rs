//! Which bodies go to disk. What is asked for once is a large part of what comes and of no use later; while the disk has
//! room that does no harm, and afterwards it would push out what is of use.
//!
//! So a new body needs a second request within a while once the disk is crowded: while it is in memory, or after it has
//! left, as long as the ghost remembers it. Bodies too large for memory are written as they come; they stand in the
//! short queue of the disk (see [`crate::disk`]) and leave it first.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use crate::limits::{GHOST_KEYS_MAX, GHOST_KEYS_MIN, GHOST_OBJECT_BYTES};

/// Share of the disk's budget, in percent, from which on it is crowded.
const CROWDED: u64 = 90;
/// Places of a key in the ghost.
const WAYS: usize = 8;

/// Which new bodies are written to disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Admission {
    /// All while there is room; then those that are asked for a second time.
    #[default]
    Auto,
    /// All.
    All,
    /// Those that are asked for a second time, from the first on.
    Second,
}

/// What is said about a body that is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Asked for again: among those that stay.
    Proven,
    /// Among those that have to show it.
    Probation,
    /// Not on disk.
    Refused,
}

/// Whether a body that was read from disk goes into memory: if there is room, or if it was asked for since it was last
/// looked at for eviction.
pub(crate) const fn promotes(room: bool, asks: u8) -> bool {
    room || asks > 0
}

#[derive(Debug)]
pub(crate) struct Gate {
    rule: Admission,
    ghost: Ghost,
}

impl Gate {
    pub(crate) fn new(rule: Admission, budget: u64) -> Self {
        Self { rule, ghost: Ghost::new(budget / GHOST_OBJECT_BYTES) }
    }

    /// Judges a key that is not on disk, of which `used` of `budget` bytes are taken.
    pub(crate) fn judge(&self, hash: u128, used: u64, budget: u64) -> Verdict {
        if self.ghost.recall(hash) {
            return Verdict::Proven;
        }
        let room = match self.rule {
            Admission::All => true,
            Admission::Auto => used < budget / 100 * CROWDED,
            Admission::Second => false,
        };
        if room {
            Verdict::Probation
        } else {
            self.ghost.note(hash);
            Verdict::Refused
        }
    }

    /// Whether it was asked for a while ago; it is forgotten with the answer.
    pub(crate) fn recall(&self, hash: u128) -> bool {
        self.ghost.recall(hash)
    }

    /// It has left the disk or was not let in.
    pub(crate) fn note(&self, hash: u128) {
        self.ghost.note(hash);
    }
}

/// The keys seen last, as 32 bits each: a wrong yes for one in half a billion a look.
#[derive(Debug)]
struct Ghost {
    marks: Box<[AtomicU32]>,
    /// Which of its places each set fills next.
    next: Box<[AtomicU8]>,
}

impl Ghost {
    fn new(keys: u64) -> Self {
        let keys = keys.clamp(GHOST_KEYS_MIN, GHOST_KEYS_MAX).next_power_of_two() as usize;
        Self {
            marks: (0..keys).map(|_| AtomicU32::new(0)).collect(),
            next: (0..keys / WAYS).map(|_| AtomicU8::new(0)).collect(),
        }
    }

    fn find(&self, hash: u128) -> (usize, &[AtomicU32], u32) {
        let set = (hash >> 64) as usize % self.next.len();
        // 0 is an empty place.
        (set, &self.marks[set * WAYS..(set + 1) * WAYS], hash as u32 | 1)
    }

    fn note(&self, hash: u128) {
        let (set, places, mark) = self.find(hash);
        if places.iter().any(|place| place.load(Ordering::Relaxed) == mark) {
            return;
        }
        let at = usize::from(self.next[set].fetch_add(1, Ordering::Relaxed)) % WAYS;
        places[at].store(mark, Ordering::Relaxed);
    }

    fn recall(&self, hash: u128) -> bool {
        let (_, places, mark) = self.find(hash);
        let taken =
            |place: &AtomicU32| place.compare_exchange(mark, 0, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        places.iter().any(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(number: u64) -> u128 {
        xxhash_rust::xxh3::xxh3_128(&number.to_le_bytes())
    }

    #[test]
    fn a_crowded_disk_takes_what_is_asked_for_again() {
        let gate = Gate::new(Admission::Auto, 1 << 30);
        assert_eq!(gate.judge(hash(1), 0, 1000), Verdict::Probation, "there is room");
        assert_eq!(gate.judge(hash(1), 900, 1000), Verdict::Refused);
        assert_eq!(gate.judge(hash(1), 900, 1000), Verdict::Proven);
        assert_eq!(gate.judge(hash(1), 900, 1000), Verdict::Refused, "that was used up");
        gate.note(hash(2));
        assert_eq!(gate.judge(hash(2), 0, 1000), Verdict::Proven, "it was here");
        let all = Gate::new(Admission::All, 1 << 30);
        assert_eq!(all.judge(hash(1), 1000, 1000), Verdict::Probation);
        let second = Gate::new(Admission::Second, 1 << 30);
        assert_eq!(second.judge(hash(1), 0, 1000), Verdict::Refused);
        assert_eq!(second.judge(hash(1), 0, 1000), Verdict::Proven);
    }

    #[test]
    fn the_ghost_remembers_the_last_and_not_more() {
        let ghost = Ghost::new(0);
        let size = ghost.marks.len() as u64;
        (0..size * 10).for_each(|number| ghost.note(hash(number)));
        let recalled = |from: u64, to: u64| (from..to).filter(|number| ghost.recall(hash(*number))).count();
        assert!(recalled(0, size * 8) < 100, "the old ones are forgotten");
        let last = recalled(size * 10 - size / 4, size * 10) as u64;
        assert!(last > size / 4 * 9 / 10, "{last} of the last {}", size / 4);
    }
}

//! What goes to disk, and when: as it comes, or when it is asked for again.

use std::sync::Arc;

use crate::admission::Verdict;
use crate::behind::Locked;
use crate::disk::Disk;
use crate::entry::{Entry, Head};
use crate::stats::Counters;
use crate::tier::Tier;
use crate::tiers::Shared;

impl<H: Head> Shared<H> {
    /// Into memory now, to disk behind.
    pub(crate) fn keep_now(self: &Arc<Self>, locked: &mut Locked<'_, H>, entry: &Arc<Entry<H>>) {
        self.memory.insert(Arc::clone(entry));
        let Some(disk) = self.disk() else { return };
        let hash = entry.key().hash();
        let fits = disk.healthy() && entry.len() <= self.config.object_max;
        // What is there already was let in before.
        let known = entry.standing().pinned || locked.get(hash).is_some() || disk.slot(hash).is_some();
        if fits && !known {
            match disk.judge(hash) {
                Verdict::Proven => entry.prove(true),
                Verdict::Probation => {}
                Verdict::Refused => {
                    Counters::add(&self.counters.not_admitted);
                    return;
                }
            }
        }
        if !(fits && self.send_behind(locked, disk, entry)) {
            // What the disk has is older than what memory has, and must not outlive it.
            locked.remove(hash);
            disk.forget(hash, None);
            Counters::add(&self.counters.stores_dropped);
        }
    }

    fn send_behind(
        self: &Arc<Self>,
        locked: &mut Locked<'_, H>,
        disk: &Arc<Disk>,
        entry: &Arc<Entry<H>>,
    ) -> bool {
        locked.add(entry) && self.shelve(disk, entry)
    }

    /// It was asked for again: worth a place on disk if it has none.
    #[cold]
    pub(crate) fn prove(self: &Arc<Self>, entry: &Arc<Entry<H>>) {
        entry.prove(true);
        let (Some(disk), Tier::Memory) = (self.disk(), entry.tier()) else { return };
        let hash = entry.key().hash();
        if entry.lies_somewhere() || entry.len() > self.config.object_max || !disk.healthy() {
            // One that does not lie there because the disk was resting gets another chance.
            entry.prove(entry.lies_somewhere() || disk.healthy());
            return;
        }
        let mut locked = self.behind.lock();
        let current = self.memory.get(entry.key().as_ref()).is_some_and(|found| Arc::ptr_eq(&found, entry));
        if !current || locked.get(hash).is_some() || disk.slot(hash).is_some() {
            return;
        }
        disk.recall(hash);
        if self.send_behind(&mut locked, disk, entry) {
            Counters::add(&self.counters.admitted_again);
        } else {
            locked.remove(hash);
            entry.prove(false);
        }
    }
}

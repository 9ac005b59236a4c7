//! What happens without being asked: a look at everything a few times a second, and sweeps that carry purges out.
//!
//! A sweep walks all entries once, removes those that are dead and marks those that are expired, as far as that cannot be
//! taken back any more. When it is done and old
//! enough, the purges it has seen are folded away: nothing they could hit is left, and whoever was not seen by it counts
//! as dead (see [`crate::purge::tables::Tables::floor`]).

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use crate::disk::{Disk, Record, Slot};
use crate::entry::Head;
use crate::error::OpenError;
use crate::fault::Seams;
use crate::limits::TICK;
use crate::scrub::Scrubber;
use crate::stats::Counters;
use crate::tiers::Shared;

/// Entries looked at in one go; then others get a turn.
const STRIDE: usize = 256;
/// Time others get.
const PAUSE: Duration = Duration::from_millis(1);
/// Finished sweeps that wait to be old enough.
const SWEPT_MAX: usize = 1024;

/// Starts the threads; they end when the store is closed or gone.
pub(crate) fn start<H: Head>(shared: &Arc<Shared<H>>, seams: Seams) -> Result<(), OpenError> {
    let named = |name: &str| thread::Builder::new().name(name.into());
    let weak = Arc::downgrade(shared);
    named("larder-tick").spawn(move || repeat(&weak, Shared::tick)).map_err(OpenError::Thread)?;
    let weak = Arc::downgrade(shared);
    let mut scrubber = Scrubber::new(seams.scrub_rest);
    named("larder-scrub")
        .spawn(move || repeat(&weak, |shared| scrubber.turn(shared)))
        .map_err(OpenError::Thread)?;
    let weak = Arc::downgrade(shared);
    let mut sweeper = Sweeper { seams, begun: None, swept: VecDeque::new(), clean: 0 };
    named("larder-sweep")
        .spawn(move || repeat(&weak, |shared| sweeper.turn(shared)))
        .map_err(OpenError::Thread)?;
    Ok(())
}

fn repeat<H: Head>(weak: &Weak<Shared<H>>, mut turn: impl FnMut(&Shared<H>)) {
    loop {
        thread::sleep(TICK);
        match weak.upgrade() {
            Some(shared) if shared.open() => turn(&shared),
            _ => return,
        }
    }
}

impl<H: Head> Shared<H> {
    pub(crate) fn open(&self) -> bool {
        !self.closing.load(Ordering::Relaxed)
    }

    fn tick(&self) {
        let stalled = self.disk().is_some_and(|disk| disk.tick());
        self.flight.tick(stalled);
        if stalled {
            // Their answers may never come: who waits is told that the disk is busy.
            self.loads.lock().clear();
        }
        self.memory.settle();
    }
}

struct Sweeper {
    seams: Seams,
    begun: Option<Instant>,
    /// Positions that sweeps have reached, and when.
    swept: VecDeque<(u64, Instant)>,
    /// The position that the last whole sweep has reached.
    clean: u64,
}

impl Sweeper {
    fn turn<H: Head>(&mut self, shared: &Shared<H>) {
        if let Some(disk) = shared.disk() {
            disk.sweep_orphans(|| shared.open());
        }
        let due = self.begun.is_none_or(|begun| begun.elapsed() >= self.seams.sweep_every);
        shared.ledger.tick();
        let upto = shared.tables.settled();
        if due && upto > self.clean && shared.tables.floor() < upto {
            self.begun = Some(Instant::now());
            if sweep(shared) {
                self.clean = upto;
                if self.swept.len() < SWEPT_MAX {
                    self.swept.push_back((upto, Instant::now()));
                }
            }
        }
        let old = self.swept.iter().take_while(|(_, at)| at.elapsed() >= self.seams.fold_age).count();
        if let Some((upto, _)) = self.swept.drain(..old).next_back() {
            shared.ledger.fold(upto);
        }
    }
}

/// Walks everything once; true if all of it was seen and what was removed is gone for good.
fn sweep<H: Head>(shared: &Shared<H>) -> bool {
    let mut dead = Vec::new();
    shared.memory.each(|entry| {
        if !entry.sweep(&shared.tables) {
            dead.push(Arc::clone(entry));
        }
    });
    dead.iter().for_each(|entry| shared.memory.remove_entry(entry));
    let Some(disk) = shared.disk() else { return true };
    // An entry whose record could not be read, or that is not known again yet, might be one of those that must go.
    let mut whole = !disk.rebuilding();
    for slots in disk.each_shard() {
        for slots in slots.chunks(STRIDE) {
            if !shared.open() {
                return false;
            }
            for slot in slots {
                whole &= look(shared, disk, *slot);
            }
            disk.catch_up();
            thread::sleep(PAUSE);
        }
    }
    whole && matches!(disk.flush().blocking_recv(), Ok(Ok(())))
}

/// Carries the purges out on one entry; false if it could not be seen.
fn look<H: Head>(shared: &Shared<H>, disk: &Disk, slot: Slot) -> bool {
    let tables = &shared.tables;
    if slot.born >= tables.seq().0 {
        return true;
    }
    let floor = tables.floor();
    // What everything counts as needs no look at the record.
    if tables.hold().all_gone(slot.born) {
        sweep_away(shared, disk, slot);
        return true;
    }
    let hash = slot.hash();
    let Ok(bytes) = disk.record(hash) else { return false };
    let Some(record) = bytes.as_ref().and_then(|bytes| Record::decode(hash, bytes).ok()) else {
        disk.forget(hash, Some(slot.version));
        return true;
    };
    let (verdict, _) = tables.verdict(record.url, &record.tags, record.born, record.born.max(floor));
    if verdict.gone {
        sweep_away(shared, disk, slot);
    } else if verdict.aged && !slot.expired {
        disk.expire(slot);
    }
    true
}

fn sweep_away<H: Head>(shared: &Shared<H>, disk: &Disk, slot: Slot) {
    if disk.forget(slot.hash(), Some(slot.version)) {
        Counters::add(&shared.counters.swept);
    }
}

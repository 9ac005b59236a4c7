//! Which entry leaves the disk next: S3-FIFO (Yang et al., SOSP 2023), in a lane for each share of the disk.
//!
//! ```text
//! new -> small (a tenth) -- asked for meanwhile -> main -- asked for meanwhile -> main again, one ask less
//!             |                                     |
//!             +----------- evicted, noted in the ghost
//! ```
//! A scan fills the small queue only. An ask costs a counter; queues are touched by puts and evictions alone. Removed
//! entries stay in their queue as a node that points to nothing, until they come to its front or are too many.
//!
//! Room is made by the lane that has most for its share.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use crate::standing::Share;

/// Part of a lane, in percent, above which its small queue makes room first.
const SMALL: u64 = 10;
/// Size, in mean sizes of its lane, above which an entry needs two asks for what others get for one.
const LARGE: u64 = 4;
/// Nodes beyond twice the entries that are put up with.
const STALE_MAX: u64 = 256;
/// What all shares have together.
const WHOLE: u32 = 100;

/// Which queue an entry stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Small,
    Main,
    Pinned,
}

/// A place in a queue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    high: u64,
    low: u64,
    pub(super) version: u32,
}

impl Node {
    pub(super) const fn new(hash: u128, version: u32) -> Self {
        Self { high: (hash >> 64) as u64, low: hash as u64, version }
    }

    pub(super) const fn hash(&self) -> u128 {
        ((self.high as u128) << 64) | self.low as u128
    }
}

#[derive(Debug, Default)]
struct Queue {
    bytes: AtomicU64,
    count: AtomicU64,
    nodes: Mutex<VecDeque<Node>>,
}

#[derive(Debug)]
pub(super) struct Lane {
    share: u16,
    percent: AtomicU32,
    small: Queue,
    main: Queue,
    pinned: Queue,
}

impl Lane {
    fn new(share: u16) -> Self {
        let percent = AtomicU32::new(WHOLE);
        Self { share, percent, small: Queue::default(), main: Queue::default(), pinned: Queue::default() }
    }

    const fn queue(&self, part: Part) -> &Queue {
        match part {
            Part::Small => &self.small,
            Part::Main => &self.main,
            Part::Pinned => &self.pinned,
        }
    }

    fn bytes_in(&self, part: Part) -> u64 {
        self.queue(part).bytes.load(Ordering::Relaxed)
    }

    /// Bytes that may be evicted.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes_in(Part::Small) + self.bytes_in(Part::Main)
    }

    /// An entry joins; its node is pushed when no shard is locked any more.
    pub(super) fn charge(&self, part: Part, bytes: u64) {
        self.queue(part).bytes.fetch_add(bytes, Ordering::Relaxed);
        self.queue(part).count.fetch_add(1, Ordering::Relaxed);
    }

    /// An entry leaves.
    pub(super) fn release(&self, part: Part, bytes: u64) {
        self.queue(part).bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.queue(part).count.fetch_sub(1, Ordering::Relaxed);
    }

    /// Takes its place at the end; `alive` is asked when there are many nodes of entries that have gone.
    pub(super) fn push(&self, part: Part, node: Node, alive: impl Fn(&Node) -> bool) {
        let queue = self.queue(part);
        let mut nodes = queue.nodes.lock();
        nodes.push_back(node);
        if nodes.len() as u64 > queue.count.load(Ordering::Relaxed) * 2 + STALE_MAX {
            nodes.retain(alive);
            nodes.shrink_to(STALE_MAX as usize);
        }
    }

    /// The next to be looked at, and where it stands.
    pub(super) fn next(&self) -> Option<(Part, Node)> {
        let small_first = self.bytes_in(Part::Small) * 100 > self.bytes() * SMALL;
        let order = if small_first { [Part::Small, Part::Main] } else { [Part::Main, Part::Small] };
        order.into_iter().find_map(|part| Some((part, self.pop(part)?)))
    }

    pub(super) fn pop(&self, part: Part) -> Option<Node> {
        self.queue(part).nodes.lock().pop_front()
    }

    /// Asks that an entry of this size needs to stay in the main queue for another round.
    pub(super) fn asks_needed(&self, bytes: u64) -> u8 {
        let count = self.small.count.load(Ordering::Relaxed) + self.main.count.load(Ordering::Relaxed);
        if bytes > self.bytes() / count.max(1) * LARGE { 2 } else { 1 }
    }
}

/// All lanes; the first is what those without a share have together.
#[derive(Debug)]
pub(super) struct Lanes {
    lanes: RwLock<Vec<Arc<Lane>>>,
    pinned_max: AtomicU64,
}

impl Lanes {
    pub(super) fn new() -> Self {
        Self { lanes: RwLock::new(vec![Arc::new(Lane::new(0))]), pinned_max: AtomicU64::new(u64::MAX) }
    }

    /// Sets who has which part, and how many bytes may be pinned.
    pub(super) fn arrange(&self, shares: &[Share], pinned_max: u64) {
        self.pinned_max.store(pinned_max, Ordering::Relaxed);
        shares.iter().for_each(|share| drop(self.of(share.share)));
        let taken: u32 = shares.iter().map(|share| u32::from(share.percent)).sum();
        let rest = WHOLE.saturating_sub(taken).max(1);
        for lane in self.lanes.read().iter() {
            let own = shares.iter().find(|share| share.share == lane.share && share.share != 0);
            let percent = own.map_or(rest, |share| u32::from(share.percent).max(1));
            lane.percent.store(percent, Ordering::Relaxed);
        }
    }

    /// The lane of a share.
    pub(super) fn of(&self, share: u16) -> Arc<Lane> {
        let find = |lanes: &[Arc<Lane>]| lanes.iter().find(|lane| lane.share == share).cloned();
        if let Some(lane) = find(&self.lanes.read()) {
            return lane;
        }
        let mut lanes = self.lanes.write();
        find(&lanes).unwrap_or_else(|| {
            let lane = Arc::new(Lane::new(share));
            lane.percent.store(lanes[0].percent.load(Ordering::Relaxed), Ordering::Relaxed);
            lanes.push(Arc::clone(&lane));
            lane
        })
    }

    /// The lane that has most for its share.
    pub(super) fn fullest(&self) -> Option<Arc<Lane>> {
        let weight = |lane: &Arc<Lane>| lane.bytes() * 1000 / u64::from(lane.percent.load(Ordering::Relaxed));
        let lanes = self.lanes.read();
        lanes.iter().filter(|lane| lane.bytes() > 0).max_by_key(|lane| weight(lane)).cloned()
    }

    /// Whether so many more bytes may be pinned.
    pub(super) fn may_pin(&self, bytes: u64) -> bool {
        self.pinned() + bytes <= self.pinned_max.load(Ordering::Relaxed)
    }

    pub(super) fn pinned(&self) -> u64 {
        self.lanes.read().iter().map(|lane| lane.bytes_in(Part::Pinned)).sum()
    }

    /// A lane that has to give up something pinned, because too much is.
    pub(super) fn pinned_too_much(&self) -> Option<Arc<Lane>> {
        if self.may_pin(0) {
            return None;
        }
        self.lanes.read().iter().max_by_key(|lane| lane.bytes_in(Part::Pinned)).cloned()
    }

    /// Bytes of every share, the pinned ones included.
    pub(super) fn bytes(&self) -> Vec<(u16, u64)> {
        let lanes = self.lanes.read();
        lanes.iter().map(|lane| (lane.share, lane.bytes() + lane.bytes_in(Part::Pinned))).collect()
    }
}

//! Which ids are done: the last so many, each with its receipt.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use larder_store::Purge;
use tokio::sync::OnceCell;
use xxhash_rust::xxh3::Xxh3;

use super::Receipt;

/// An order that is in force and durable.
#[derive(Debug, Clone)]
pub(super) struct Done {
    /// What was purged, as a [`print`].
    pub(super) print: u64,
    /// What the first caller got.
    pub(super) receipt: Receipt,
}

/// The place of one id: empty until its order is done.
pub(super) type Slot = Arc<OnceCell<Done>>;

/// The last ids, oldest first out.
pub(super) struct Seen {
    max: usize,
    slots: HashMap<Arc<str>, Slot>,
    order: VecDeque<Arc<str>>,
}

impl Seen {
    /// Remembers at most `max` ids.
    pub(super) fn new(max: usize) -> Self {
        Self { max, slots: HashMap::new(), order: VecDeque::new() }
    }

    /// The place of `id`, made when it is new.
    pub(super) fn slot(&mut self, id: &str) -> Slot {
        self.place(id, Slot::default())
    }

    /// Whether an order with `id` was done.
    pub(super) fn knows(&self, id: &str) -> bool {
        self.slots.get(id).is_some_and(|slot| slot.initialized())
    }

    /// What is known of `id`.
    pub(super) fn get(&self, id: &str) -> Option<Done> {
        self.slots.get(id)?.get().cloned()
    }

    /// An order that was done earlier.
    pub(super) fn remember(&mut self, done: Done) {
        let id = done.receipt.id.clone();
        self.place(&id, Arc::new(OnceCell::new_with(Some(done))));
    }

    fn place(&mut self, id: &str, slot: Slot) -> Slot {
        if let Some(slot) = self.slots.get(id) {
            return Arc::clone(slot);
        }
        while self.order.len() >= self.max {
            let Some(oldest) = self.order.pop_front() else { break };
            self.slots.remove(&oldest);
        }
        let id: Arc<str> = id.into();
        self.order.push_back(Arc::clone(&id));
        self.slots.insert(id, Arc::clone(&slot));
        slot
    }
}

/// A fingerprint, to notice an id that is used for two different purges.
pub(super) fn print(purge: &Purge, undo: Option<&str>) -> u64 {
    let mut hash = Xxh3::new();
    if let Some(id) = undo {
        hash.update(b"undo");
        hash.update(id.as_bytes());
    }
    hash.update(&[u8::from(purge.soft)]);
    for selector in &purge.selectors {
        hash.update(selector.kind().as_bytes());
        hash.update(selector.text().as_bytes());
        hash.update(&[0]);
    }
    hash.digest()
}

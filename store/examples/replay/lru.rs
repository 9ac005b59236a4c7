//! What the store is compared with: one queue of the least recently used, of as many bytes.

use std::collections::{BTreeMap, HashMap};

/// A plain LRU.
#[derive(Debug)]
pub(crate) struct Lru {
    budget: u64,
    used: u64,
    clock: u64,
    /// By key: when it was last asked for, and its bytes.
    entries: HashMap<String, (u64, u64)>,
    order: BTreeMap<u64, String>,
    written: u64,
}

impl Lru {
    pub(crate) fn new(budget: u64) -> Self {
        Self { budget, used: 0, clock: 0, entries: HashMap::new(), order: BTreeMap::new(), written: 0 }
    }

    /// Whether it is there; if not it is put.
    pub(crate) fn ask(&mut self, key: &str, size: u64) -> bool {
        self.clock += 1;
        if let Some((at, _)) = self.entries.get_mut(key) {
            let name = self.order.remove(at).unwrap_or_default();
            *at = self.clock;
            self.order.insert(self.clock, name);
            return true;
        }
        if size <= self.budget {
            self.entries.insert(key.to_owned(), (self.clock, size));
            self.order.insert(self.clock, key.to_owned());
            self.used += size;
            self.written += size;
        }
        while self.used > self.budget {
            let Some((_, oldest)) = self.order.pop_first() else { break };
            self.used -= self.entries.remove(&oldest).map_or(0, |(_, size)| size);
        }
        false
    }

    /// Bytes that were put.
    pub(crate) const fn written(&self) -> u64 {
        self.written
    }
}

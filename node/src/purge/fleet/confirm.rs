//! Who has confirmed what: a node that asks for what comes after a position has everything up to it, durably.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::watch;

use super::Fleet;
use crate::limits;

/// For whom to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Every node of the fleet.
    All,
    /// More than half of them, this one counted.
    Quorum,
}

/// Whether those one waited for have confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Confirmed {
    /// Enough of them have.
    pub done: bool,
    /// Names of the nodes that have it, this one first.
    pub confirmed: Vec<String>,
    /// Those that have not so far: by name, by URL where it was never reached.
    pub missing: Vec<String>,
}

/// The last position each node has asked after.
pub(super) struct Book {
    positions: Mutex<HashMap<String, u64>>,
    changed: watch::Sender<()>,
}

impl Default for Book {
    fn default() -> Self {
        Self { positions: Mutex::default(), changed: watch::Sender::new(()) }
    }
}

impl Book {
    pub(super) fn note(&self, node: &str, position: u64) {
        let mut positions = self.positions.lock();
        // Only nodes with the fleet's token get here; still, nothing grows without a bound.
        if positions.len() < limits::FLEET_PEERS_MAX || positions.contains_key(node) {
            positions.insert(node.to_owned(), position);
        }
        drop(positions);
        self.changed.send_replace(());
    }

    pub(super) fn of(&self, node: &str) -> Option<u64> {
        self.positions.lock().get(node).copied()
    }
}

impl Fleet {
    /// Waits until those of `wait` have confirmed this node's purge at `sequence`, for `most` at the longest.
    pub async fn confirmed(&self, sequence: u64, wait: Wait, most: Duration) -> Confirmed {
        let mut changed = self.confirmed.changed.subscribe();
        let enough = async {
            loop {
                changed.borrow_and_update();
                let now = self.confirmed_now(sequence, wait);
                if now.done || changed.changed().await.is_err() {
                    return now;
                }
            }
        };
        match tokio::time::timeout(most, enough).await {
            Ok(confirmed) => confirmed,
            Err(_) => self.confirmed_now(sequence, wait),
        }
    }

    fn confirmed_now(&self, sequence: u64, wait: Wait) -> Confirmed {
        let mut now =
            Confirmed { done: false, confirmed: vec![self.purges.node().to_string()], missing: Vec::new() };
        for source in &self.sources {
            // Only a peer whose name was read from its own log counts: a name alone says little.
            match source.about.lock().node.clone() {
                Some(node) if self.confirmed.of(&node).is_some_and(|position| position >= sequence) => {
                    now.confirmed.push(node);
                }
                node => now.missing.push(node.unwrap_or_else(|| source.peer.url.clone())),
            }
        }
        now.done = match wait {
            Wait::All => now.missing.is_empty(),
            Wait::Quorum => now.confirmed.len() > now.missing.len(),
        };
        now
    }
}

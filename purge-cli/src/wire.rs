//! What goes over the wire to a node's admin listener and comes back. Unknown fields of newer nodes do not matter.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// One purge as `POST /purge` takes it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Order<'a> {
    /// `url`, `tag`, `prefix`, `host` or `all`.
    pub(crate) kind: &'static str,
    /// Normalised selectors; none for `all`.
    pub(crate) selectors: &'a [String],
    /// Stale instead of gone.
    pub(crate) soft: bool,
    /// Count only.
    pub(crate) dry_run: bool,
    /// The same for every node and every try, so that none purges twice.
    pub(crate) id: String,
    /// Who.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) author: Option<&'a str>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<&'a str>,
}

/// An answer that may come in parts, when a long list is sent in several orders.
pub(crate) trait Answer: DeserializeOwned + Send + 'static {
    /// What the node calls itself.
    fn node(&self) -> &str;

    /// Why this is no answer to the request that was sent.
    fn check(&self, id: &str, dry_run: bool) -> Result<(), String>;

    /// Both parts as one.
    fn and(self, later: Self) -> Self;
}

/// A node's receipt for one order.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Receipt {
    /// The node's own name.
    pub(crate) node: String,
    /// The order's id.
    pub(crate) id: String,
    /// Position of the purge in the node's log.
    pub(crate) sequence: Option<u64>,
    /// Whether nothing was purged on purpose.
    pub(crate) dry_run: bool,
    /// Objects hit, where the node counted them.
    pub(crate) objects: Option<u64>,
    /// Their bytes.
    pub(crate) bytes: Option<u64>,
    /// When, by the node's clock.
    pub(crate) applied_at: Option<String>,
    /// Whether the node had done it before.
    pub(crate) repeated: bool,
}

impl Answer for Receipt {
    fn node(&self) -> &str {
        &self.node
    }

    fn check(&self, id: &str, dry_run: bool) -> Result<(), String> {
        if self.id != id {
            return Err(format!("the receipt is for {:?}, not for {id:?}", self.id));
        }
        if self.dry_run != dry_run {
            return Err(format!("the receipt says \"dry_run\": {}", self.dry_run));
        }
        if !dry_run && self.sequence.is_none() {
            return Err("the receipt names no sequence".to_owned());
        }
        Ok(())
    }

    fn and(self, later: Self) -> Self {
        let sum = |a: Option<u64>, b: Option<u64>| a.zip(b).map(|(a, b)| a.saturating_add(b));
        Self {
            objects: sum(self.objects, later.objects),
            bytes: sum(self.bytes, later.bytes),
            repeated: self.repeated && later.repeated,
            ..later
        }
    }
}

/// A node's answer to `GET /status`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Status {
    /// Its own name.
    pub(crate) node: String,
    /// Its version.
    pub(crate) version: String,
    /// Position of its newest purge.
    pub(crate) sequence: u64,
    /// Objects stored.
    #[serde(default)]
    pub(crate) objects: Option<u64>,
    /// Bytes in memory.
    #[serde(default)]
    pub(crate) bytes_memory: Option<u64>,
    /// Bytes on disk.
    #[serde(default)]
    pub(crate) bytes_disk: Option<u64>,
    /// Time since its start.
    #[serde(default)]
    pub(crate) uptime_seconds: Option<u64>,
    /// Whether it takes traffic.
    #[serde(default)]
    pub(crate) ready: bool,
}

impl Answer for Status {
    fn node(&self) -> &str {
        &self.node
    }

    fn check(&self, _id: &str, _dry_run: bool) -> Result<(), String> {
        Ok(())
    }

    fn and(self, later: Self) -> Self {
        later
    }
}

/// A node's answer to `GET /purges`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Listing {
    /// Its own name.
    pub(crate) node: String,
    /// Its latest purges, the newest first.
    pub(crate) purges: Vec<Line>,
}

/// One purge of the past.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Line {
    /// Its position in the node's log.
    pub(crate) sequence: u64,
    /// Its id.
    pub(crate) id: String,
    /// When.
    pub(crate) time: String,
    /// Who.
    pub(crate) author: Option<String>,
    /// Why.
    pub(crate) reason: Option<String>,
    /// `url`, `tag`, ..., `undo`.
    pub(crate) kind: String,
    /// Stale instead of gone.
    pub(crate) soft: bool,
    /// What.
    pub(crate) selectors: Vec<String>,
    /// The position of what took it back.
    pub(crate) undone_by: Option<u64>,
    /// For how long it can be taken back.
    pub(crate) undoable_seconds: Option<u64>,
}

impl Answer for Listing {
    fn node(&self) -> &str {
        &self.node
    }

    fn check(&self, _id: &str, _dry_run: bool) -> Result<(), String> {
        Ok(())
    }

    fn and(self, later: Self) -> Self {
        later
    }
}

/// A node's refusal, as all of them look.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Refusal {
    /// What is wrong.
    pub(crate) error: String,
    /// What to do.
    #[serde(default)]
    pub(crate) hint: Option<String>,
}
